//! Failures as unittest and pytest print them.

use std::sync::LazyLock;

use regex::Regex;

use super::statement::{self, Compared};
use super::{AFTER, GAVE, MUST_GIVE, MUST_RAISE, RAISED, Source, gave, local, truth};

const TRUTH: [&str; 2] = ["False", "True"];
/// Most elements of one list that are told.
const COUNTED: usize = 3;

struct Patterns {
    /// The head of a failure of unittest, with the test's name.
    head: Regex,
    frame: Regex,
    /// The error at the end of a traceback, and what it says.
    raised: Regex,
    /// An element that two lists do not have equally often.
    counts: Regex,
    /// A statement that has to raise an error.
    raises: Regex,
    /// Where unittest has left out a part of a value.
    shortened: Regex,
    /// The head of a failure of pytest.
    banner: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let regex = |text: &str| Regex::new(text).expect("a built-in pattern is valid");
    Patterns {
        head: regex(r"^(?:FAIL|ERROR): (\S+)"),
        frame: regex(r#"^  File "(.+)", line (\d+), in (\S+)"#),
        raised: regex(r"^((?:\w+\.)*\w+)(?:: (.*))?$"),
        counts: regex(r"^First has (\d+), Second has (\d+): +(.+)$"),
        raises: regex(r"^with self\.assertRaises(?:Regex)?\(([\w.]+)[^)]*\)(?: as \w+)?: (.+)$"),
        shortened: regex(r"\[\d+ chars\]"),
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
    let error = raised[1].rsplit('.').next()?;
    let message = raised.get(2).map_or("", |message| message.as_str());
    let test = frames.iter().rfind(|frame| frame.function.starts_with("test"))?;
    let text = source(test.file);
    let call = text.as_deref().and_then(|text| local::at(text, test.line));
    let call = call.unwrap_or_else(|| test.text.to_owned());
    // What an error says is compared after it was raised.
    let text = text.as_deref();
    let with = text.filter(|_| call.contains(".exception")).and_then(|text| local::with(text, test.line));
    let done = with.clone().or_else(|| local::history(text?, test.line));
    let done = done.map_or_else(String::new, |done| format!("{AFTER}{done}`"));
    if error == "AssertionError" {
        if let Some(line) = not_raised(with.as_deref(), &call, message) {
            return Some(line);
        }
        let more: Vec<&str> = block[said + 1..].iter().filter(|line| !line.is_empty()).copied().collect();
        return Some(asserted(name, &call, message, &more) + &done);
    }
    let place = frames.last().filter(|frame| frame.function != test.function).map(|frame| {
        let file = frame.file.rsplit('/').next().unwrap_or(frame.file);
        format!(", in `{}` ({file}, line {})", frame.text, frame.line)
    });
    Some(format!("`{call}{RAISED}{error}: {message}{}{done}", place.unwrap_or_default()))
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

/// The statement that `with self.assertRaises(…):` is about, and the error that it must raise.
pub(super) fn raises(statement: &str) -> Option<(&str, &str)> {
    let raises = PATTERNS.raises.captures(statement)?;
    Some((raises.get(2)?.as_str(), raises.get(1)?.as_str()))
}

/// What is told of an error that was not raised, or that says something else; `with` raised it.
fn not_raised(with: Option<&str>, call: &str, message: &str) -> Option<String> {
    if message.contains(" not raised") {
        let (code, error) = raises(call)?;
        return Some(format!("`{code}`{GAVE}no error{MUST_RAISE}{error}"));
    }
    let (code, error) = raises(with?)?;
    let Compared { is_first, .. } = statement::compared(call)?;
    let (first, second) = message.split_once(" != ")?;
    let (found, expected) = if is_first { (first, second) } else { (second, first) };
    Some(format!("`{code}{RAISED}{error} that says {found}{MUST_RAISE}{error} that says {expected}"))
}

/// What an assertion of unittest says; `more` are the next lines of its message.
fn asserted(name: &str, call: &str, message: &str, more: &[&str]) -> String {
    let kinds = ["Lists", "Tuples", "Dicts", "Sets", "Sequences"];
    let differ = kinds.iter().find_map(|kind| message.strip_prefix(kind)?.strip_prefix(" differ: "));
    let message = differ.unwrap_or(message);
    let values = [" != ", " is not "].iter().find_map(|between| message.split_once(between));
    let compared = statement::compared(call);
    let told = match (&compared, values) {
        (Some(compared), Some(values)) => shortened(compared, values, more),
        _ => None,
    };
    let told = told.or_else(|| gave(compared, values));
    // With a message of its own, an assertion says more than that something is not true.
    let told = told.or_else(|| truth(call, TRUTH).filter(|_| message.contains(" is not ")));
    if let Some(line) = told.or_else(|| counted(call, more)) {
        return line;
    }
    match statement::is_whole(call) {
        // Of some, only the next line says what is wrong.
        true if message.ends_with(':') => format!("`{call}`: {message} {}", more.first().unwrap_or(&"")),
        true => format!("`{call}`: {message}"),
        false => format!("{name}: {message}"),
    }
}

/// What is told of values of which unittest has left out a part: what must come as the test has it, or else the
/// first element that differs.
fn shortened(compared: &Compared, (first, second): (&str, &str), more: &[&str]) -> Option<String> {
    let Compared { code, value, is_first } = compared;
    if !PATTERNS.shortened.is_match(first) && !PATTERNS.shortened.is_match(second) {
        return None;
    }
    if !is_name(value) {
        return Some(format!("`{code}`{GAVE}{}{MUST_GIVE}{value}", if *is_first { first } else { second }));
    }
    let at = more.iter().position(|line| line.starts_with("First differing element "))?;
    let number = more[at].trim_start_matches("First differing element ").trim_end_matches(':');
    let values = more.get(at + 1).copied().zip(more.get(at + 2).copied());
    gave(
        Some(Compared { code: format!("{code}[{number}]"), value: value.clone(), is_first: *is_first }),
        values,
    )
}

/// Whether a value is only called by a name, which says nothing to who does not see what it stands for.
fn is_name(value: &str) -> bool {
    value.chars().all(statement::is_word)
}

/// What `assertCountEqual` says of elements that are there too often or not often enough.
fn counted(call: &str, more: &[&str]) -> Option<String> {
    let Compared { code, value, is_first } = statement::compared(call)?;
    let is_shown = !is_name(&value);
    let wrong: Vec<String> = more
        .iter()
        .filter_map(|line| {
            let counts = PATTERNS.counts.captures(line)?;
            let (gave, must) = if is_first { (&counts[1], &counts[2]) } else { (&counts[2], &counts[1]) };
            let times = |count: &str| if count == "1" { "once".to_owned() } else { format!("{count} times") };
            let between = if is_shown { " instead of" } else { ", but must give it" };
            Some(format!("{} {}{between} {}", &counts[3], times(gave), times(must)))
        })
        .take(COUNTED)
        .collect();
    let must = if is_shown { format!("{MUST_GIVE}{value} in any order") } else { String::new() };
    (!wrong.is_empty()).then(|| format!("`{code}`{GAVE}{}{must}", wrong.join("; ")))
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
