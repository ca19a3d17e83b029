//! The corpus of answers in `fixtures/edits/answers`, and what no answer at all may cause.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    format: Format,
    planned: Vec<String>,
    symbol: Option<String>,
    edits: Option<Vec<Edit>>,
    refused: Option<Code>,
}

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/edits/answers");
    let mut answers: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    answers.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    answers.sort();
    answers
}

fn read(path: &Path) -> (String, Case) {
    let answer = std::fs::read_to_string(path).unwrap();
    let case = std::fs::read_to_string(path.with_extension("json")).unwrap();
    (answer, serde_json::from_str(&case).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

#[test]
fn every_answer_of_the_corpus_is_read_as_its_case_says() {
    let answers = corpus();
    assert!(answers.len() > 50, "only {} answers", answers.len());
    for path in answers {
        let (answer, case) = read(&path);
        let expected =
            Expected { format: case.format, planned: Planned::Only(case.planned), symbol: case.symbol };
        let found = parse(&answer, &expected);
        let name = path.file_name().unwrap().display();
        match (case.edits, case.refused) {
            (Some(edits), None) => assert_eq!(found, Ok(edits), "{name}"),
            (None, Some(code)) => assert_eq!(found.map_err(|refusal| refusal.code), Err(code), "{name}"),
            _ => panic!("{name}: give either `edits` or `refused`"),
        }
    }
}

/// Cutting an answer anywhere loses edits from its end or is refused; it never changes one.
#[test]
fn a_cut_block_is_never_half_an_edit() {
    for path in corpus() {
        let (answer, case) = read(&path);
        let Some(edits) = case.edits else { continue };
        if edits.iter().any(|edit| !matches!(edit, Edit::Replace { .. })) || answer.contains("</think>") {
            continue;
        }
        let expected =
            Expected { format: case.format, planned: Planned::Only(case.planned), symbol: case.symbol };
        for end in (0..answer.len()).filter(|end| answer.is_char_boundary(*end)) {
            if let Ok(found) = parse(&answer[..end], &expected) {
                assert!(edits.starts_with(&found), "{} cut at {end}: {found:?}", path.display());
            }
        }
    }
}

#[test]
fn messages_say_what_to_do() {
    let expected = Expected {
        format: Format::SearchReplace,
        planned: Planned::Only(vec!["a.rs".into(), "b.rs".into()]),
        symbol: None,
    };
    let message = |answer| parse(answer, &expected).unwrap_err().message;
    assert!(message("").contains("<<<<<<< SEARCH"));
    assert!(message("<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE").contains("a.rs, b.rs"));
    assert!(message("a.rs\n\n<<<<<<< SEARCH\na\n").contains("line 3"));
}

proptest! {
    #[test]
    fn no_answer_panics(answer in "(<<<<<<< SEARCH|<<<<<<< LINES 1:abc|=======|>>>>>>> REPLACE|--- a/a\\.rs|\\+\\+\\+ b/a\\.rs|@@ -1,[0-3] \\+1,[0-3] @@|@@|[+ -]x|\\\\ No|diff --git a/x b/x|\\*\\*\\* (Begin Patch|End Patch|Add File: b|Update File: a|Move to: c|End of File)|SYMBOL a\\.rs f|```[a-z]{0,4}|a\\.rs|</?think>|DELETE |RENAME |-> |[ -~é日]{0,6}|\r?\n){0,60}") {
        use Format::*;
        let _ = Format::detect(&answer);
        for format in [SearchReplace, Whole, Symbol, AnchoredLines, Unified, Codex] {
            for planned in [Planned::Any, Planned::Only(vec!["a.rs".into()])] {
                let _ = parse(&answer, &Expected { format, planned, symbol: Some("f".into()) });
            }
        }
    }

    /// Whatever a block holds, short of marks, comes out as it went in.
    #[test]
    fn content_is_not_touched(search in "[ -~\t]{0,12}(\n[ -~\t]{0,12}){0,4}", replace in "([ -~\tß]{0,12}\n){0,4}") {
        let search = format!("{search}\n");
        let marked = |text: &str| text.lines().any(|line| {
            marks::opening(line).is_some() || marks::divider(line).is_some() || marks::ending(line).is_some()
                || marks::fence(line).is_some()
        });
        prop_assume!(!marked(&search) && !marked(&replace));
        let answer = format!("a.rs\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n");
        let expected = Expected { format: Format::SearchReplace, planned: Planned::Any, symbol: None };
        prop_assert_eq!(parse(&answer, &expected), Ok(vec![Edit::Replace { path: "a.rs".into(), search, replace }]));
    }
}

#[test]
fn a_diff_that_names_no_file_is_refused() {
    let expected = Expected { format: Format::Unified, planned: Planned::Any, symbol: None };
    for answer in ["--- /dev/null\n+++ \n@@ -0,0 +1 @@\n+x\n", "--- \n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"] {
        let refusal = parse(answer, &expected).unwrap_err();
        assert!(matches!(refusal.code, Code::MissingPath | Code::Malformed | Code::NoEdits), "{refusal:?}");
    }
}
