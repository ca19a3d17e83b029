//! Every answer of `fixtures/malformed/` is read to its value, or refused for its reason.

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::json;
use super::tests::Plan;
use crate::message::{ExploreAnswer, PlanAnswer};

const CORPUS: &str = include_str!("../../fixtures/malformed/answers.jsonl");

#[derive(Deserialize)]
struct Case {
    name: String,
    /// The type that was asked for; a small plan of the tests when nothing is said.
    #[serde(rename = "as")]
    asked: Option<String>,
    text: String,
    value: Option<Value>,
    /// The kind of refusal, or `any`.
    error: Option<String>,
}

/// The value, or the kind of refusal.
fn judged<T: DeserializeOwned + Serialize>(text: &str) -> Result<Value, String> {
    match json::<T>(text) {
        Ok(parsed) => Ok(serde_json::to_value(parsed.value).unwrap()),
        Err(error) => Err(format!("{error:?}").split([' ', '{']).next().unwrap_or_default().to_owned()),
    }
}

#[test]
fn the_corpus_of_malformed_answers_is_judged_right() {
    let (mut recoverable, mut others) = (0, 0);
    let mut wrong = Vec::new();
    for line in CORPUS.lines() {
        let Case { name, asked, text, value, error } = serde_json::from_str(line).unwrap();
        let judged = match asked.as_deref() {
            None => judged::<Plan>(&text),
            Some("architect") => judged::<PlanAnswer>(&text),
            Some("explorer") => judged::<ExploreAnswer>(&text),
            Some(other) => panic!("{name}: unknown type {other}"),
        };
        let right = match (&value, error.as_deref()) {
            (Some(value), None) => {
                recoverable += 1;
                judged.as_ref() == Ok(value)
            }
            (None, Some(kind)) => {
                others += 1;
                judged.as_ref().is_err_and(|judged| kind == "any" || judged == kind)
            }
            _ => panic!("{name}: give either a value or an error"),
        };
        if !right {
            wrong.push(format!("{name}: {judged:?}\n{text}"));
        }
    }
    // The bar is 99% of the recoverable ones and none of the others; the corpus holds no exception.
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), recoverable + others, wrong.join("\n\n"));
    assert!(recoverable >= 150 && others >= 100, "{recoverable} and {others}");
}
