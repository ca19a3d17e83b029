use serde_json::{Value, json};

use super::*;
use crate::check::Source;

fn telling_of(command: &str) -> Option<String> {
    let argv = command.split(' ').map(str::to_owned).collect();
    telling(&Check::of(argv, Source::Typed)).map(|check| check.argv.join(" "))
}

#[test]
fn cargo_tells_what_it_would_correct_and_runs_nothing() {
    for (command, expected) in [
        ("cargo test", "cargo test --message-format=json --no-run"),
        ("cargo test --offline -- --ignored", "cargo test --message-format=json --no-run --offline"),
        ("cargo +stable check -p a", "cargo +stable check --message-format=json -p a"),
        ("/usr/bin/cargo clippy", "/usr/bin/cargo clippy --message-format=json"),
    ] {
        assert_eq!(telling_of(command).as_deref(), Some(expected));
    }
    for other in ["cargo fmt --check", "cargo", "cargo test --message-format=short", "pytest", "make test"] {
        assert_eq!(telling_of(other), None, "{other}");
    }
}

fn span(range: Range<usize>, text: &str, applicability: &str) -> Value {
    json!({
        "file_name": "src/lib.rs", "byte_start": range.start, "byte_end": range.end,
        "suggested_replacement": text, "suggestion_applicability": applicability,
    })
}

/// What cargo prints for an error with these suggestions.
fn error(text: &str, suggestions: &[Vec<Value>]) -> String {
    let children: Vec<Value> =
        suggestions.iter().map(|spans| json!({"level": "help", "spans": spans})).collect();
    let place = json!({"file_name": "src/lib.rs", "byte_start": 0, "byte_end": 1});
    let message = json!({"level": "error", "rendered": text, "spans": [place], "children": children});
    json!({"reason": "compiler-message", "message": message}).to_string()
}

fn texts(output: &str) -> Vec<String> {
    let parts = told(output).corrections.into_iter().flat_map(|correction| correction.parts);
    parts.map(|(range, text)| format!("{}..{} {text}", range.start, range.end)).collect()
}

#[test]
fn the_surest_suggestion_of_each_error_is_taken() {
    let sure = "MachineApplicable";
    let perhaps = "MaybeIncorrect";
    let output = [
        "   Compiling x v0.1.0".to_owned(),
        error("a", &[vec![span(5..6, "perhaps", perhaps)], vec![span(7..7, "&", sure)]]),
        // The same again, for the tests.
        error("a", &[vec![span(5..6, "perhaps", perhaps)], vec![span(7..7, "&", sure)]]),
        error("b", &[vec![span(20..20, "use a::M;\n", perhaps), span(20..20, "use b::M;\n", perhaps)]]),
        error("c", &[vec![span(40..41, "}", sure), span(30..31, "{", sure)]]),
        error("d", &[vec![span(50..51, "/* value */", "HasPlaceholders")]]),
        error("e", &[]),
        // In the way of another one: its turn comes when the first is made.
        error("f", &[vec![span(6..8, "x", sure)]]),
        "{\"reason\":\"build-finished\",\"success\":false}".to_owned(),
        "{ not JSON".to_owned(),
    ]
    .join("\n");
    assert_eq!(told(&output).errors, 6);
    assert_eq!(texts(&output), ["7..7 &", "20..20 use a::M;\n", "30..31 {", "40..41 }"]);
}

#[test]
fn what_the_compiler_is_not_sure_of_is_taken_alone() {
    let unsure = error("a", &[vec![span(5..6, "&'a str", "Unspecified")]]);
    assert_eq!(texts(&unsure), ["5..6 &'a str"]);
    let sure = error("b", &[vec![span(20..20, "mut ", "MachineApplicable")]]);
    assert_eq!(texts(&format!("{unsure}\n{sure}")), ["20..20 mut "]);
}

#[test]
fn what_lies_elsewhere_is_left_alone() {
    for file in ["/home/a/.cargo/registry/x/src/lib.rs", "../other/src/lib.rs"] {
        let mut outside = span(1..2, "x", "MachineApplicable");
        outside["file_name"] = json!(file);
        assert_eq!(texts(&error("a", &[vec![outside]])), [""; 0], "{file}");
    }
    let mut second = span(8..9, "y", "MachineApplicable");
    second["file_name"] = json!("src/other.rs");
    assert_eq!(texts(&error("a", &[vec![span(1..2, "x", "MachineApplicable"), second]])), [""; 0]);
    let warning =
        error("a", &[vec![span(1..2, "x", "MachineApplicable")]]).replace("\"error\"", "\"warning\"");
    assert_eq!(told(&warning), Told::default());
}

#[test]
fn corrections_are_made_in_the_text_they_were_told_of() {
    let of = |parts: &[(Range<usize>, &str)]| Correction {
        file: "a".into(),
        parts: parts.iter().map(|(range, text)| (range.clone(), (*text).to_owned())).collect(),
    };
    let text = "f(ä) + g(y)";
    let made = corrected(text, &[of(&[(10..11, "&y")]), of(&[(0..1, "h"), (2..2, "&")])]);
    assert_eq!(made.as_deref(), Some("h(&ä) + g(&y)"));
    assert_eq!(corrected(text, &[of(&[(3..4, "")])]), None, "inside of a character");
    assert_eq!(corrected(text, &[of(&[(90..91, "")])]), None);
    assert_eq!(corrected(text, &[of(&[(0..4, "")]), of(&[(2..5, "")])]), None, "they overlap");
}
