//! Failures as Rust's test harness prints them.

use std::sync::LazyLock;

use regex::Regex;

use super::{Source, gave, statement};

/// Lines below a panic in which its two values are looked for.
const VALUES: usize = 4;

static PANICKED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^thread '(.+?)'.* panicked at (.+?):(\d+):\d+:$").expect("a built-in pattern is valid")
});

/// What each panic of a test says.
pub(super) fn cargo(lines: &[&str], source: &Source<'_>) -> Vec<String> {
    (0..lines.len()).filter_map(|at| panic(&lines[at..], source)).collect()
}

fn panic(lines: &[&str], source: &Source<'_>) -> Option<String> {
    let panicked = PANICKED.captures(lines[0])?;
    let (test, file, line) = (&panicked[1], &panicked[2], panicked[3].parse::<usize>().ok()?);
    let message = lines.get(1)?.trim();
    let below = || lines[2..].iter().take(VALUES);
    let value = |name: &str| below().find_map(|line| line.trim().strip_prefix(name));
    let values = value("left: ").zip(value("right: "));
    let text = source(file);
    let call = text.as_deref().and_then(|text| statement::at(text, line));
    let told = gave(call.as_deref().and_then(statement::compared), values);
    let told = told.unwrap_or_else(|| match (&call, values) {
        (Some(call), Some((left, right))) => format!("`{call}`: left {left}, right {right}"),
        (None, Some((left, right))) => format!("left {left}, right {right}"),
        (_, None) => message.to_owned(),
    });
    // A helper that compares does not say with what it was called.
    let name = test.rsplit("::").next().unwrap_or(test);
    let body = text.as_deref().and_then(|text| statement::body(text, name));
    let is_elsewhere = |body: &String| !call.as_ref().is_some_and(|call| body.contains(call));
    Some(match body.filter(is_elsewhere) {
        Some(body) => format!("{test} does `{body}`: {told} ({file}, line {line})"),
        None => format!("{test}: {told}"),
    })
}
