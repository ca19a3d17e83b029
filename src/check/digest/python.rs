//! Failures as unittest and pytest print them.

use std::sync::LazyLock;

use regex::Regex;

use super::{Source, gave, statement, truth};

const TRUTH: [&str; 2] = ["False", "True"];

struct Patterns {
    /// The head of a failure of unittest, with the test's name.
    head: Regex,
    frame: Regex,
    /// The error at the end of a traceback, and what it says.
    raised: Regex,
    /// The head of a failure of pytest.
    banner: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let regex = |text: &str| Regex::new(text).expect("a built-in pattern is valid");
    Patterns {
        head: regex(r"^(?:FAIL|ERROR): (\S+)"),
        frame: regex(r#"^  File "(.+)", line (\d+), in (\S+)"#),
        raised: regex(r"^((?:\w+\.)*\w+)(?:: (.*))?$"),
        banner: regex(r"^_{3,} \S.*? _{3,}$"),
    }
});

/// One place of a traceback.
struct Frame<'a> {
    file: &'a str,
    line: usize,
    function: &'a str,
    text: &'a str,
}

/// The lines of each failure, from its head to the next separator.
pub(super) fn unittest(lines: &[&str], source: &Source<'_>) -> Vec<String> {
    let starts = (0..lines.len()).filter(|at| PATTERNS.head.is_match(lines[*at]));
    let failures = starts.filter_map(|start| {
        let rest = &lines[start + 1..];
        let end = rest.iter().position(|line| line.len() >= 20 && line.bytes().all(|byte| byte == b'='));
        let name = PATTERNS.head.captures(lines[start])?;
        failure(&name[1], &rest[..end.unwrap_or(rest.len())], source)
    });
    failures.collect()
}

fn failure(name: &str, block: &[&str], source: &Source<'_>) -> Option<String> {
    let frames: Vec<Frame> = (0..block.len()).filter_map(|at| frame(block, at)).collect();
    let after = block.iter().rposition(|line| PATTERNS.frame.is_match(line))? + 1;
    let is_error = |line: &&str| !line.starts_with(' ') && PATTERNS.raised.is_match(line);
    let said = after + block[after..].iter().position(is_error)?;
    let raised = PATTERNS.raised.captures(block[said])?;
    let (error, message) = (&raised[1], raised.get(2).map_or("", |message| message.as_str()));
    let test = frames.iter().rfind(|frame| frame.function.starts_with("test"))?;
    let call = source(test.file).and_then(|text| statement::at(&text, test.line));
    let call = call.unwrap_or_else(|| test.text.to_owned());
    if error == "AssertionError" {
        let more = block[said + 1..].iter().find(|line| !line.is_empty());
        return Some(asserted(name, &call, message, more.copied().unwrap_or_default()));
    }
    let place = frames.last().filter(|frame| frame.function != test.function).map(|frame| {
        let file = frame.file.rsplit('/').next().unwrap_or(frame.file);
        format!(", in `{}` ({file}, line {})", frame.text, frame.line)
    });
    Some(format!("`{call}` raised {error}: {message}{}", place.unwrap_or_default()))
}

fn frame<'a>(block: &[&'a str], at: usize) -> Option<Frame<'a>> {
    let frame = PATTERNS.frame.captures(block[at])?;
    Some(Frame {
        file: frame.get(1)?.as_str(),
        line: frame[2].parse().ok()?,
        function: frame.get(3)?.as_str(),
        text: block.get(at + 1).map_or("", |line| line.trim()),
    })
}

/// What an assertion of unittest says; `more` is the next line of its message.
fn asserted(name: &str, call: &str, message: &str, more: &str) -> String {
    let kinds = ["Lists", "Tuples", "Dicts", "Sets", "Sequences"];
    let differ = kinds.iter().find_map(|kind| message.strip_prefix(kind)?.strip_prefix(" differ: "));
    let message = differ.unwrap_or(message);
    let values = [" != ", " is not "].iter().find_map(|between| message.split_once(between));
    let told = gave(statement::compared(call), values);
    // With a message of its own, an assertion says more than that something is not true.
    if let Some(line) = told.or_else(|| truth(call, TRUTH).filter(|_| message.contains(" is not "))) {
        return line;
    }
    match statement::is_whole(call) {
        // Of some, only the next line says what is wrong.
        true if message.ends_with(':') => format!("`{call}`: {message} {more}"),
        true => format!("`{call}`: {message}"),
        false => format!("{name}: {message}"),
    }
}

/// The line of each failed test that pytest marks, and its first word on it.
pub(super) fn pytest(lines: &[&str]) -> Vec<String> {
    let starts = (0..lines.len()).filter(|at| PATTERNS.banner.is_match(lines[*at]));
    let failures = starts.filter_map(|start| {
        let is_next = |line: &&&str| PATTERNS.banner.is_match(line) || line.starts_with("===");
        let block: Vec<&str> = lines[start + 1..].iter().take_while(|line| !is_next(line)).copied().collect();
        let call = block.iter().find_map(|line| line.strip_prefix('>'))?.trim();
        let said = block.iter().find_map(|line| line.strip_prefix("E "))?.trim();
        let message = said.strip_prefix("AssertionError: ").unwrap_or(said);
        let values = message.strip_prefix("assert ").and_then(|values| values.split_once(" == "));
        let failed = message.starts_with("assert ");
        let line = gave(statement::compared(call), values);
        let line = line.or_else(|| truth(call, TRUTH).filter(|_| failed));
        Some(line.unwrap_or_else(|| format!("`{call}`: {message}")))
    });
    failures.collect()
}
