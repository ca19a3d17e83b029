//! Failures as Rust's test harness prints them.

use std::sync::LazyLock;

use regex::Regex;

use super::{DOES, Source, gave, local, statement, truth};

/// Lines below a panic in which its two values are looked for.
const VALUES: usize = 4;

static PANICKED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^thread '(.+?)'.* panicked at (.+?):(\d+):\d+:$").expect("a built-in pattern is valid")
});

/// Which test binary the lines below it come from.
static RUNNING: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^\s+Running (?:unittests )?(\S+) \(").expect("a built-in pattern is valid")
});

/// A test that does not end. The harness says so after a minute.
static HANGS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^test (\S+) has been running for over \d+ seconds$").expect("a built-in pattern is valid")
});

/// What each panic of a test says, and what each test does that does not end.
pub(super) fn cargo(lines: &[&str], source: &Source<'_>) -> Vec<String> {
    let mut tests = None;
    let told = (0..lines.len()).filter_map(|at| {
        tests = RUNNING.captures(lines[at]).and_then(|running| Some(running.get(1)?.as_str())).or(tests);
        panic(&lines[at..], tests, source).or_else(|| hang(lines[at], tests, source))
    });
    told.collect()
}

fn hang(line: &str, tests: Option<&str>, source: &Source<'_>) -> Option<String> {
    let hangs = HANGS.captures(line)?;
    let name = hangs[1].rsplit("::").next()?;
    let body = tests.and_then(|tests| statement::body(&source(tests)?, name));
    Some(match body {
        Some(body) => format!("{name} does not end. It does `{body}`"),
        None => format!("{name} does not end"),
    })
}

/// One panic, in a binary whose tests begin in the file `tests`, if that is known.
fn panic(lines: &[&str], tests: Option<&str>, source: &Source<'_>) -> Option<String> {
    let panicked = PANICKED.captures(lines[0])?;
    let (test, file, line) = (&panicked[1], &panicked[2], panicked[3].parse::<usize>().ok()?);
    let message = lines.get(1)?.trim();
    let below = || lines[2..].iter().take(VALUES);
    let value = |name: &str| below().find_map(|line| line.trim().strip_prefix(name));
    let values = value("left: ").zip(value("right: "));
    let text = source(file);
    let call = text.as_deref().and_then(|text| statement::at(text, line));
    // With the values of the test's variables; those of the code itself are not known.
    let shown = match call.as_deref().is_some_and(is_assertion) {
        true => text.as_deref().and_then(|text| local::at(text, line)),
        false => call.clone(),
    };
    let told = gave(shown.as_deref().and_then(statement::compared), values);
    let is_condition = message.starts_with("assertion failed: ");
    let condition = || truth(shown.as_deref().filter(|_| is_condition)?, ["false", "true"]);
    let told = told.or_else(condition).unwrap_or_else(|| match (&shown, values) {
        (Some(call), Some((left, right))) => format!("`{call}`: left {left}, right {right}"),
        (None, Some((left, right))) => format!("left {left}, right {right}"),
        (Some(call), None) if !is_assertion(call) => format!("{message}, in `{call}`"),
        (_, None) => message.to_owned(),
    });
    // A helper that compares, and the code itself, do not say with what they were called.
    let name = test.rsplit("::").next().unwrap_or(test);
    let body = |file: &str| statement::body(&source(file)?, name);
    let body = body(file).or_else(|| body(tests.filter(|tests| *tests != file)?));
    let plain = |text: &str| text.replace(char::is_whitespace, "");
    let is_elsewhere = |body: &String| !call.as_ref().is_some_and(|call| plain(body).contains(&plain(call)));
    Some(match body.filter(is_elsewhere) {
        Some(body) => format!("{test}{DOES}{body}`: {told} ({file}, line {line})"),
        None => {
            match text.as_deref().filter(|_| call.is_some()).and_then(|text| local::history(text, line)) {
                Some(done) => format!("{test}: {told}, after `{done}`"),
                None => format!("{test}: {told}"),
            }
        }
    })
}

/// Whether a statement of a test panicked because it is there to do so.
fn is_assertion(call: &str) -> bool {
    ["assert", "panic!", "todo!", "unimplemented!"].iter().any(|head| call.starts_with(head))
}
