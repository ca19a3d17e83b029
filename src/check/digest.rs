//! What failed tests say in a line each: the call, what it gave, what it must give. A small model reads that
//! where it does not read a traceback.
//!
//! Known are unittest, pytest and Rust's `assert_eq!`. Which of two values came from the code is told by the
//! test's own line, so the tree is asked for it. It must not know what a digest is for.

use std::sync::LazyLock;

use regex::Regex;

use super::statement::{self, Compared};

/// Most failures that are told.
const MOST: usize = 8;
/// Longest line of a digest, in characters: a value may be a whole file.
const LONGEST: usize = 400;

/// Lines of a file of the tree, if there is such a file.
pub type Source<'a> = dyn Fn(&str) -> Option<String> + 'a;

struct Patterns {
    unittest: Regex,
    frame: Regex,
    raised: Regex,
    pytest: Regex,
    panicked: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let regex = |text: &str| Regex::new(text).expect("a built-in pattern is valid");
    Patterns {
        unittest: regex(r"^(?:FAIL|ERROR): (\S+)"),
        frame: regex(r#"^  File "(.+)", line (\d+), in (\S+)"#),
        raised: regex(r"^((?:\w+\.)*\w+)(?:: (.*))?$"),
        pytest: regex(r"^_{3,} (\S.*?) _{3,}$"),
        panicked: regex(r"^thread '(.+?)'.* panicked at (.+?):(\d+):\d+:$"),
    }
});

/// What the failures in an output say, each once; empty where nothing is understood.
pub fn digest(output: &str, source: &Source<'_>) -> Vec<String> {
    let lines: Vec<&str> = output.lines().map(str::trim_end).collect();
    let mut told: Vec<String> = Vec::new();
    let found = unittest(&lines, source).into_iter().chain(pytest(&lines)).chain(cargo(&lines, source));
    for line in found {
        let line = match line.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{} …", &line[..end]),
            None => line,
        };
        if !told.contains(&line) && told.len() < MOST {
            told.push(line);
        }
    }
    told
}

/// One place of a Python traceback.
struct Frame<'a> {
    file: &'a str,
    line: usize,
    function: &'a str,
    text: &'a str,
}

fn unittest(lines: &[&str], source: &Source<'_>) -> Vec<String> {
    let is_head = |line: &&str| PATTERNS.unittest.is_match(line);
    let starts: Vec<usize> = (0..lines.len()).filter(|at| is_head(&lines[*at])).collect();
    starts
        .iter()
        .filter_map(|start| {
            let rest = &lines[start + 1..];
            let end = rest.iter().position(|line| line.len() >= 20 && line.bytes().all(|byte| byte == b'='));
            let block = &rest[..end.unwrap_or(rest.len())];
            let name = &PATTERNS.unittest.captures(lines[*start])?[1];
            let frames: Vec<Frame> = (0..block.len())
                .filter_map(|at| {
                    let frame = PATTERNS.frame.captures(block[at])?;
                    let text = block.get(at + 1).map_or("", |line| line.trim());
                    Some(Frame {
                        file: frame.get(1)?.as_str(),
                        line: frame[2].parse().ok()?,
                        function: frame.get(3)?.as_str(),
                        text,
                    })
                })
                .collect();
            let last = block.iter().rposition(|line| PATTERNS.frame.is_match(line))?;
            let said = block[last + 1..]
                .iter()
                .position(|line| !line.starts_with(' ') && PATTERNS.raised.is_match(line))?;
            let raised = PATTERNS.raised.captures(block[last + 1 + said])?;
            let (error, message) = (&raised[1], raised.get(2).map_or("", |message| message.as_str()));
            let test = frames.iter().rfind(|frame| frame.function.starts_with("test"))?;
            let call = source(test.file)
                .and_then(|text| statement::at(&text, test.line))
                .unwrap_or_else(|| test.text.to_owned());
            if error == "AssertionError" {
                let more = block[last + 2 + said..].iter().find(|line| !line.is_empty());
                return Some(asserted(name, &call, message, more.copied().unwrap_or_default()));
            }
            let place = frames.last().filter(|frame| frame.function != test.function);
            let place = place.map(|frame| {
                let file = frame.file.rsplit('/').next().unwrap_or(frame.file);
                format!(", in `{}` ({file}, line {})", frame.text, frame.line)
            });
            Some(format!("`{call}` raised {error}: {message}{}", place.unwrap_or_default()))
        })
        .collect()
}

/// What an assertion of unittest says.
fn asserted(name: &str, call: &str, message: &str, more: &str) -> String {
    let message = ["Lists", "Tuples", "Dicts", "Sets", "Sequences"]
        .iter()
        .find_map(|kind| message.strip_prefix(kind)?.strip_prefix(" differ: "))
        .unwrap_or(message);
    let values = [" != ", " is not "].iter().find_map(|between| message.split_once(between));
    match (statement::compared(call), values) {
        (Some(Compared { code, is_first: true }), Some((first, second))) => gave(&code, first, second),
        (Some(Compared { code, is_first: false }), Some((first, second))) => gave(&code, second, first),
        // Of some, only the next line says what is wrong.
        _ if message.ends_with(':') => format!("`{call}`: {message} {more}"),
        _ if statement::is_whole(call) => format!("`{call}`: {message}"),
        _ => format!("{name}: {message}"),
    }
}

fn gave(code: &str, found: &str, expected: &str) -> String {
    format!("`{code}` gave {found}, but it must give {expected}")
}

fn pytest(lines: &[&str]) -> Vec<String> {
    let starts: Vec<usize> = (0..lines.len()).filter(|at| PATTERNS.pytest.is_match(lines[*at])).collect();
    starts
        .iter()
        .filter_map(|start| {
            let block = lines[start + 1..]
                .iter()
                .take_while(|line| !PATTERNS.pytest.is_match(line) && !line.starts_with("==="));
            let block: Vec<&str> = block.copied().collect();
            let call = block.iter().find_map(|line| line.strip_prefix(">"))?.trim();
            let said = block.iter().find_map(|line| line.strip_prefix("E "))?.trim();
            let message = said.strip_prefix("AssertionError: ").unwrap_or(said);
            let values = message.strip_prefix("assert ").and_then(|values| values.split_once(" == "));
            Some(match (statement::compared(call), values) {
                (Some(Compared { code, is_first: true }), Some((first, second))) => {
                    gave(&code, first, second)
                }
                (Some(Compared { code, is_first: false }), Some((first, second))) => {
                    gave(&code, second, first)
                }
                _ => format!("`{call}`: {message}"),
            })
        })
        .collect()
}

fn cargo(lines: &[&str], source: &Source<'_>) -> Vec<String> {
    let starts: Vec<usize> = (0..lines.len()).filter(|at| PATTERNS.panicked.is_match(lines[*at])).collect();
    starts
        .iter()
        .filter_map(|start| {
            let panicked = PATTERNS.panicked.captures(lines[*start])?;
            let (test, file, line) = (&panicked[1], &panicked[2], panicked[3].parse::<usize>().ok()?);
            let message = lines.get(start + 1)?.trim();
            let value = |name: &str| {
                lines[start + 2..].iter().take(4).find_map(|line| line.trim().strip_prefix(name))
            };
            let text = source(file);
            let call = text.as_deref().and_then(|text| statement::at(text, line));
            let compared = call.as_deref().and_then(statement::compared);
            let told = match (compared, value("left: "), value("right: ")) {
                (Some(Compared { code, is_first: true }), Some(left), Some(right)) => {
                    gave(&code, left, right)
                }
                (Some(Compared { code, is_first: false }), Some(left), Some(right)) => {
                    gave(&code, right, left)
                }
                (None, Some(left), Some(right)) => format!("left {left}, right {right}"),
                _ => message.to_owned(),
            };
            // A helper that compares does not say with what it was called.
            let name = test.rsplit("::").next().unwrap_or(test);
            let body = text.as_deref().and_then(|text| statement::body(text, name));
            let is_helper =
                body.as_ref().is_some_and(|body| !call.as_ref().is_some_and(|call| body.contains(call)));
            Some(match body.filter(|_| is_helper) {
                Some(body) => format!("{test} does `{body}`: {told} ({file}, line {line})"),
                None => format!("{test}: {told}"),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
