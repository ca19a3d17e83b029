//! Any text, read as a role's answer: it is read or refused, an object in perfect form is read as it
//! is, and an empty one is never made up.
#![no_main]

use countersign::answer::json as read_json;
use countersign::message::{ExploreAnswer, PlanAnswer};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|answer: &str| {
    let _ = read_json::<PlanAnswer>(answer);
    let _ = read_json::<ExploreAnswer>(answer);
    let read = read_json::<Value>(answer);
    if let Ok(parsed) = &read {
        assert!(parsed.value.is_object() || parsed.value.is_array(), "only those can be told from prose");
        let brace = ["{", "7b", "7B"].iter().any(|written| answer.contains(written));
        assert!(brace || parsed.value != Value::Object(Default::default()), "made up");
    }
    if let Ok(value) = serde_json::from_str::<Value>(answer) {
        // Written anew: a field twice is refused, a tool call unwrapped.
        let written = json!({ "only": value }).to_string();
        match read_json::<Value>(&written) {
            Ok(parsed) => {
                assert!(parsed.repairs.is_empty(), "{:?}", parsed.repairs);
                // A float's last bit may differ between two readings of it, so both are read once more.
                let again = |value: &Value| serde_json::from_str::<Value>(&value.to_string()).ok();
                assert_eq!(Some(parsed.value), again(&json!({ "only": value })));
            }
            Err(error) => assert!(depth(&value) > DEEPEST, "valid JSON is read: {error}"),
        }
    }
});

/// Valid JSON that is nested deeper may be refused.
const DEEPEST: usize = 95;

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
