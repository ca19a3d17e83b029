use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(super) struct Plan {
    reason: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(super) struct Step {
    file: String,
    task: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Loose {
    #[serde(default)]
    reason: String,
}

const GOOD: &str = r#"{"reason": "r", "steps": [{"file": "a.rs", "task": "t"}]}"#;

fn plan(reason: &str) -> Plan {
    Plan { reason: reason.into(), steps: vec![Step { file: "a.rs".into(), task: Some("t".into()) }] }
}

/// Reads to the value of [`GOOD`] with exactly these repairs.
fn check(text: &str, repairs: &[&str]) {
    match json::<Plan>(text) {
        Ok(parsed) => assert_eq!((parsed.value, parsed.repairs.as_slice()), (plan("r"), repairs), "{text}"),
        Err(error) => panic!("{text}\n{error}"),
    }
}

fn refused(text: &str) -> AnswerError {
    match json::<Plan>(text) {
        Ok(parsed) => panic!("accepted: {text}\nas {parsed:?}"),
        Err(error) => error,
    }
}

#[test]
fn good_form_needs_no_repair() {
    check(GOOD, &[]);
    check(&format!("\n  {GOOD}\n"), &[]);
}

#[test]
fn what_stands_around_is_forgiven() {
    check(&format!("```json\n{GOOD}\n```"), &["code fence"]);
    check(&format!("```json {GOOD}```"), &["code fence"]);
    check(
        &format!("Here is the plan {{as asked}}: {GOOD} I hope [it] helps {{}}!"),
        &["several JSON values", "text around the JSON"],
    );
    check(
        &format!("<think>\nmaybe {{\"reason\": \"x\", \"steps\": []}}?\n</think>\n{GOOD}"),
        &["reasoning before the answer"],
    );
    check(
        &format!("maybe {{\"reason\": \"x\", \"steps\": []}}?\n</think>{GOOD}"),
        &["reasoning before the answer"],
    );
    check(&serde_json::to_string(GOOD).unwrap(), &["JSON inside a string"]);
    check(&format!("[{GOOD}]"), &["list of one"]);
    check(&format!("{GOOD}\n{GOOD}"), &["several JSON values"]);
}

#[test]
fn other_languages_are_forgiven() {
    check(r#"{"reason": "r", "steps": [{"file": "a.rs", "task": "t",},],}"#, &["trailing comma"]);
    check("{'reason': 'r', 'steps': [{'file': 'a.rs', 'task': 't'}]}", &["single quotes"]);
    check(r#"{reason: "r", steps: [{file: "a.rs", task: "t"}]}"#, &["unquoted field name"]);
    check(
        "{ // why\n\"reason\": \"r\", /* and {what} */ \"steps\": # now\n [{\"file\": \"a.rs\", \"task\": \"t\"}]}",
        &["comment"],
    );
    let parsed = json::<Plan>("{'reason': 'it\\'s', 'steps': [{'file': 'a', 'task': None}]}").unwrap();
    assert_eq!((parsed.value.reason.as_str(), &parsed.value.steps[0].task), ("it's", &None));
    assert_eq!(parsed.repairs, ["Python word", "needless escape", "single quotes"]);
    let parsed = json::<Plan>("{\"reason\": \"one\ntwo \\d+ \\ud83e\\udd80\", \"steps\": []}").unwrap();
    assert_eq!(parsed.value.reason, "one\ntwo \\d+ 🦀");
    assert_eq!(parsed.repairs, ["line end inside a string", "unknown escape kept"]);
}

#[test]
fn a_tool_call_printed_as_text_is_unwrapped() {
    let repairs = &["tool call unwrapped"];
    check(&format!("<tool_call>\n{{\"name\": \"plan\", \"arguments\": {GOOD}}}\n</tool_call>"), repairs);
    check(&format!("[TOOL_CALLS][{{\"name\": \"plan\", \"arguments\": {GOOD}}}]"), repairs);
    check(
        &format!("<|python_tag|>{{\"type\": \"function\", \"name\": \"plan\", \"parameters\": {GOOD}}}"),
        repairs,
    );
    check(&json!({"function": {"name": "plan", "arguments": GOOD}}).to_string(), repairs);
    // A type that everything fits is not filled from the call around its arguments.
    let parsed = json::<Loose>(r#"{"name": "plan", "arguments": {"reason": "inner"}}"#).unwrap();
    assert_eq!(parsed.value.reason, "inner");
}

#[test]
fn marks_inside_strings_are_text() {
    let text = r#"{"reason": "strip <think> and ``` and </think> {} // # /* [TOOL_CALLS]", "steps": []}"#;
    let parsed = json::<Plan>(text).unwrap();
    assert!(parsed.value.reason.ends_with("[TOOL_CALLS]"));
    assert_eq!(parsed.repairs, Vec::<&str>::new());
}

#[test]
fn a_cut_answer_says_where() {
    for (cut, place) in [
        (r#"{"reason": "r", "steps": [{"file": "a.rs"}, {"file": "b"#, "`steps[1].file`"),
        (r#"{"reason": "r", "steps": [{"file": "a.rs"},"#, "`steps[1]`"),
        (r#"{"reason": "r", "steps": [{"file": "a.rs", "task": nu"#, "`steps[0].task`"),
        (r#"{"reason": "r\u00"#, "`reason`"),
    ] {
        assert_eq!(refused(cut), AnswerError::Truncated { place: place.into() }, "{cut}");
    }
    assert!(matches!(refused(r#"{"rea"#), AnswerError::NoJson | AnswerError::Truncated { .. }));
}

#[test]
fn every_prefix_of_an_answer_is_refused() {
    for text in [
        GOOD.to_owned(),
        format!("<think>hm</think>\n```json\n{GOOD}"),
        format!("<tool_call>{{\"name\": \"p\", \"arguments\": {GOOD}}}"),
    ] {
        for end in 0..text.len() {
            refused(&text[..end]);
        }
    }
}

#[test]
fn nothing_is_made_up() {
    assert_eq!(refused(""), AnswerError::Empty);
    assert_eq!(refused(" \n"), AnswerError::Empty);
    assert_eq!(refused("I cannot do that."), AnswerError::NoJson);
    assert_eq!(refused("<think>well {\"reason\": \"x\", \"steps\": []}"), AnswerError::OnlyThinking);
    assert_eq!(refused("<think>well</think>"), AnswerError::OnlyThinking);
    // `{}` would fit this type; in code or prose it is not an answer.
    assert_eq!(json::<Loose>("fn main() {}"), Err(AnswerError::NoJson));
    assert_eq!(json::<Loose>("use `{}` here"), Err(AnswerError::NoJson));
    assert!(json::<Loose>("```json\n{}\n```").is_ok(), "the model may say {{}} itself");
    // A list is not a struct by position.
    assert!(matches!(refused(r#"["r", [["a.rs", "t"]]]"#), AnswerError::Mismatch { .. }));
    assert!(
        matches!(refused(r#"{"reason": "r", "steps": [["a.rs", "t"]]}"#), AnswerError::Mismatch { place, .. } if place == "`steps[0]`")
    );
}

#[test]
fn a_piece_of_a_broken_answer_is_no_answer() {
    // The inner object fits `Step`, the whole is broken.
    for text in [
        r#"{"steps": [{"file": "a.rs"} oops {"file": "b.rs"}]}"#,
        r#"{"steps": [{"file": "a.rs"}, {"file": "b"#,
        r#"{"file": "a.rs"} and {"file": "b"#,
    ] {
        assert!(json::<Step>(text).is_err(), "{text}");
    }
    // A sketch of the form before the answer does no harm.
    check(&format!("The form is {{\"reason\": ..., \"steps\": [...]}}.\n{GOOD}"), &["text around the JSON"]);
}

#[test]
fn two_different_answers_are_refused() {
    let other = GOOD.replace("\"r\"", "\"s\"");
    assert_eq!(refused(&format!("{GOOD}\nor\n{other}")), AnswerError::Ambiguous { count: 2 });
    assert!(matches!(refused(r#"{"reason": "a", "reason": "b", "steps": []}"#), AnswerError::Syntax { .. }));
}

#[test]
fn errors_name_the_field_and_the_place() {
    let error = refused(r#"{"reason": "r", "steps": [{"task": "t"}]}"#).to_string();
    assert!(error.contains("`steps[0]`") && error.contains("missing field `file`"), "{error}");
    let error = refused(r#"{"reason": 3, "steps": []}"#).to_string();
    assert!(error.contains("`reason`") && error.contains("expected a string"), "{error}");
    let error = refused("{\"reason\": \"r\",\n \"steps\": [}").to_string();
    assert!(error.contains("line 2, column 12") && error.contains("a value is missing"), "{error}");
    let error = refused(r#"{"reason": "add "foo" here", "steps": []}"#).to_string();
    assert!(error.contains("a comma or a closing brace is missing, near `"), "{error}");
}

#[test]
fn an_unknown_field_is_named_as_a_repair() {
    check(&GOOD.replacen('{', "{\"note\": 1, ", 1), &["unknown field left out"]);
}

#[test]
fn hostile_texts_take_linear_time() {
    let n = 40_000;
    let start = Instant::now();
    for unit in [
        "{",
        "[",
        "{\"",
        "{'",
        "{/*",
        "[{\"a\":",
        "{\"a\":{",
        "`",
        "```",
        "<think>",
        "</think>",
        "{a ",
        "[1,",
        "[\"",
        "{} ",
        "//",
        "{#",
        "\\",
        "(",
        "a(",
        "a(b=",
        "a(b=1,",
        "f(x=1) ",
        "<function=a>",
        "<function=a><parameter=b>c</parameter>",
        "<|channel|>analysis<|message|>",
        "<|x|>",
        "<｜",
        "[THINK]",
        "[r\"",
        "{\"\"\"",
        "{`",
        "{“",
        "[(",
        "\u{200b}",
    ] {
        let _ = json::<Plan>(&unit.repeat(n / unit.len()));
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// What models write, in pieces, so that random texts come close to answers.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "'",
        "\\",
        "\"reason\"",
        "\"steps\"",
        "\"file\"",
        "\"x\"",
        "null",
        "True",
        "1",
        "-",
        "\n",
        " ",
        "```json\n",
        "```",
        "<think>",
        "</think>",
        "<tool_call>",
        "//",
        "/*",
        "*/",
        "é",
        "🦀",
        "\\u",
        "d83e",
        "\u{0}",
        "{\"reason\": \"r\", \"steps\": []}",
        "\"arguments\"",
        "\"name\"",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = json::<Plan>(&text);
        let _ = json::<Value>(&text);
    }

    #[test]
    fn no_near_answer_panics(text in pieces()) {
        let _ = json::<Plan>(&text);
        let _ = json::<Value>(&text);
    }

    #[test]
    fn valid_json_is_read_as_it_is(value in any_json()) {
        // serde_json's own reading of a float may differ from the float in its last bit.
        let text = json!({ "only": value }).to_string();
        let value: Value = serde_json::from_str(&text).unwrap();
        let parsed = json::<Value>(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(parsed, Parsed { value: value.clone(), repairs: vec![] });
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(json::<Value>(&pretty).map(|parsed| parsed.value), serde_json::from_str(&pretty).map_err(|_| AnswerError::NoJson));
    }

    #[test]
    fn no_prefix_of_valid_json_is_accepted(value in any_json(), share in 0.0..1.0_f64) {
        let text = json!({ "reason": "r", "steps": [], "more": value }).to_string();
        let mut end = (text.len() as f64 * share) as usize;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        prop_assert!(json::<Plan>(&text[..end]).is_err());
    }
}
