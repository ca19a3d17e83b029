//! Any text, read as an answer in every form: it is read or refused, and nothing is made up.
#![no_main]

use countersign::edit::parse::{Expected, Format, parse};
use countersign::edit::{Edit, Planned};
use libfuzzer_sys::fuzz_target;

const FORMATS: [Format; 6] = [
    Format::SearchReplace,
    Format::Whole,
    Format::Symbol,
    Format::AnchoredLines,
    Format::Unified,
    Format::Codex,
];

fuzz_target!(|answer: &str| {
    let planned = [
        (Planned::Any, None),
        (Planned::Only(vec!["src/parse.rs".into(), "notes.md".into()]), Some("parse".to_owned())),
        (Planned::Only(vec!["a.py".into()]), None),
    ];
    let detected = Format::detect(answer);
    for format in FORMATS.into_iter().chain([detected]) {
        for (planned, symbol) in planned.clone() {
            let Ok(edits) = parse(answer, &Expected { format, planned, symbol }) else { continue };
            assert!(!edits.is_empty(), "an answer without edits is refused");
            edits.iter().for_each(|edit| is_from(answer, edit));
        }
    }
});

/// Every line of an edit's text stands in the answer.
fn is_from(answer: &str, edit: &Edit) {
    assert!(!edit.path().is_empty(), "an edit without a path is refused");
    let texts: Vec<&str> = match edit {
        Edit::Replace { search, replace, .. } => vec![search, replace],
        Edit::Hunks { hunks, .. } => {
            hunks.iter().flat_map(|hunk| [hunk.search.as_str(), hunk.replace.as_str()]).collect()
        }
        Edit::Symbol { content, .. }
        | Edit::Lines { content, .. }
        | Edit::Whole { content, .. }
        | Edit::Create { content, .. }
        | Edit::Remove { content, .. } => vec![content],
        Edit::Delete { .. } | Edit::Rename { .. } => vec![],
    };
    for line in texts.iter().flat_map(|text| text.lines()) {
        assert!(answer.contains(line), "made up: {line:?}");
    }
}
