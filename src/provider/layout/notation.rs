//! How texts and rules are written in the two notations.

use std::fmt::Write as _;

/// Rules of GBNF, one a line.
#[derive(Default)]
pub(super) struct Rules {
    pub text: String,
}

impl Rules {
    pub fn add(&mut self, name: &str, ways: &[String]) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{name} ::= {}", ways.join(" | "));
    }
}

/// A string of GBNF.
pub(super) fn literal(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // Writing to a string cannot fail.
            c if c.is_control() => drop(write!(quoted, "\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A string of Lark, which is one of JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
