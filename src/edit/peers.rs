//! The public scenarios of other programs' edit formats, retold in `fixtures/edits/peers`: what is
//! the same here, and what is not and why.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{
    Code, Overlay, Planned,
    anchor::Several,
    gate::{Deletion, Gates},
    parse::{Expected, Format, parse},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    case: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// The tree before.
    #[serde(default)]
    files: BTreeMap<String, String>,
    answer: String,
    /// Any path may be changed unless some are named.
    planned: Option<Vec<String>>,
    /// The tree after; that before if the answer is refused.
    expected: Option<BTreeMap<String, String>>,
    refused: Option<Code>,
    differs: Option<String>,
}

fn cases(name: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/edits/peers").join(name);
    let cases: Cases = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    cases.case
}

/// The tree after an answer, or why it was refused.
fn carry_out(case: &Case, format: Format, several: Several) -> Result<BTreeMap<String, String>, Code> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in &case.files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let planned = case.planned.clone().map_or(Planned::Any, Planned::Only);
    let expected = Expected { format, planned: planned.clone(), symbol: None };
    let edits = parse(&case.answer, &expected).map_err(|refusal| refusal.code)?;
    let gates = Gates { deletion: Deletion::Planned, several, ..Gates::new(planned) };
    let mut overlay = Overlay::open(folder.path()).unwrap();
    overlay.propose(&edits, &gates).map_err(|refusals| refusals[0].code)?;
    let mut tree = case.files.clone();
    for file in overlay.patch().files() {
        tree.remove(file.old_path());
        if let Some(after) = file.after() {
            tree.insert(file.path().to_owned(), String::from_utf8(after.bytes.to_vec()).unwrap());
        }
    }
    Ok(tree)
}

fn check(name: &str, format: Format, least: usize) {
    let cases = cases(name);
    assert!(cases.len() >= least, "only {} cases", cases.len());
    for case in cases {
        let found = carry_out(&case, format, Several::Refuse);
        match (&case.expected, case.refused) {
            (Some(expected), None) => assert_eq!(found.as_ref(), Ok(expected), "{}", case.name),
            (None, Some(code)) => assert_eq!(found, Err(code), "{}", case.name),
            _ => panic!("{}: give either `expected` or `refused`", case.name),
        }
        if case.refused == Some(Code::Ambiguous) {
            assert!(case.differs.is_some_and(|why| why.contains("--first-match")), "{}", case.name);
        }
    }
}

#[test]
fn codex() {
    check("codex.toml", Format::Codex, 35);
}

#[test]
fn aider() {
    check("aider.toml", Format::SearchReplace, 24);
}

#[test]
fn the_first_of_several_places_is_taken_on_demand() {
    for (name, format) in [("codex.toml", Format::Codex), ("aider.toml", Format::SearchReplace)] {
        for case in cases(name).iter().filter(|case| case.refused == Some(Code::Ambiguous)) {
            let found = carry_out(case, format, Several::First).unwrap();
            let text = &found["a.txt"];
            let first = text.lines().next().unwrap().trim();
            assert!(["z", "1"].contains(&first), "{}: {text:?}", case.name);
        }
    }
}
