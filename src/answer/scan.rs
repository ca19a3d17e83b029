//! Where in a model's text there is JSON, and what stands around it: prose, fences, reasoning.
//!
//! One pass from left to right. A brace that starts no JSON is prose; one that clearly does and then
//! breaks is skipped as a whole, because a piece of a broken object must never pass for an answer.
//! This file must not know what the JSON should be.

use serde_json::Value;

use super::AnswerError;
use super::dialect;
use super::lenient::{self, Failure, FailureKind, Intent, Read, Repairs};

/// A whole JSON object or array.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) value: Value,
    pub(super) repairs: Repairs,
    /// Of its text, in bytes.
    pub(super) length: usize,
}

/// What a text holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) candidates: Vec<Candidate>,
    /// JSON that does not end, or whose end cannot be made out.
    pub(super) fatal: Option<Failure>,
    /// JSON that is broken, when other JSON may follow it.
    pub(super) failure: Option<Failure>,
    pub(super) has_prose: bool,
    pub(super) has_fence: bool,
    pub(super) has_thinking: bool,
    /// Where the last candidate ended, in bytes.
    end: usize,
}

impl Found {
    fn add(&mut self, read: Read, start: usize) {
        let length = read.end - start;
        self.candidates.push(Candidate { value: read.value, repairs: read.repairs, length });
        self.end = read.end;
    }
}

const THINKING: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
];

pub(super) fn scan(text: &str) -> Found {
    let mut found = Found::default();
    let mut at = 0;
    // Attempts at braces in prose may read on before they fail. What they may read in total is
    // bounded, so that a text made of nothing but such braces takes linear time as well.
    let mut allowance = 8 * text.len() + 4096;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        match first {
            '{' | '[' => {
                if let Some(length) = dialect::mark(rest) {
                    at += length;
                    continue;
                }
                if rest.starts_with("[THINK]") {
                    found.has_thinking = true;
                    let Some(end) = rest.find("[/THINK]") else { return found };
                    at += end + "[/THINK]".len();
                    continue;
                }
                match lenient::value(text, at) {
                    Ok(read) => {
                        found.add(read, at);
                        at = found.end;
                        continue;
                    }
                    Err(failure) if failure.intent == Intent::Clear => {
                        let end = matching_end(rest).filter(|_| failure.kind == FailureKind::Wrong);
                        let Some(end) = end else {
                            found.fatal = Some(failure);
                            return found;
                        };
                        found.failure = Some(failure);
                        found.has_prose = true;
                        at += end;
                        continue;
                    }
                    Err(failure) => {
                        let Some(left) = allowance.checked_sub(failure.at.saturating_sub(at) + 1) else {
                            found.fatal = Some(failure);
                            return found;
                        };
                        allowance = left;
                        if failure.kind == FailureKind::Cut && rest.trim_end().len() == 1 {
                            // The last thing in the text is an opening brace.
                            found.failure = Some(failure);
                        }
                        found.has_prose = true;
                    }
                }
            }
            '<' => {
                match dialect::channel(rest) {
                    Some(dialect::Channel::Thinking(length)) => {
                        found.has_thinking = true;
                        let Some(length) = length else { return found };
                        at += length;
                        continue;
                    }
                    Some(dialect::Channel::Message(length)) => {
                        at += length;
                        continue;
                    }
                    None => {}
                }
                if let Some(length) = dialect::opening_tag(rest) {
                    at += length;
                    match dialect::parameters(text, at) {
                        // The tags are around JSON, or around nothing.
                        None => {}
                        Some(Ok(read)) => {
                            found.add(read, at);
                            at = found.end;
                        }
                        Some(Err(failure)) => {
                            found.fatal = Some(failure);
                            return found;
                        }
                    }
                    continue;
                }
                if let Some(length) = dialect::mark(rest) {
                    at += length;
                    continue;
                }
                if let Some((_, close)) = THINKING.iter().find(|(open, _)| rest.starts_with(open)) {
                    found.has_thinking = true;
                    // Without an end, all the rest is thought; a draft in it is no answer.
                    let Some(end) = rest.find(close) else { return found };
                    at += end + close.len();
                    continue;
                }
                if let Some((_, close)) = THINKING.iter().find(|(_, close)| rest.starts_with(close)) {
                    // Some templates put the opening tag into the prompt: all of this was thought.
                    found = Found { has_thinking: true, ..Found::default() };
                    at += close.len();
                    continue;
                }
                found.has_prose = true;
            }
            '`' if rest.starts_with("```") => {
                found.has_fence = true;
                let line = rest.find('\n').unwrap_or(rest.len());
                let language = rest[..line].trim_start_matches('`');
                let word = language.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(language.len());
                at += rest[..line].len() - language.len() + word;
                continue;
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                // A word as a whole, so that each is looked at once; then perhaps a call of it.
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')));
                at += end.unwrap_or(rest.len());
                if text[at..].starts_with('(') {
                    match lenient::arguments(text, at + 1) {
                        Ok(read) => {
                            found.add(read, at);
                            at = found.end;
                            continue;
                        }
                        Err(failure)
                            if failure.intent == Intent::Clear && failure.kind == FailureKind::Cut =>
                        {
                            found.fatal = Some(failure);
                            return found;
                        }
                        Err(failure) => match allowance.checked_sub(failure.at.saturating_sub(at) + 1) {
                            Some(left) => allowance = left,
                            None => {
                                found.fatal = Some(failure);
                                return found;
                            }
                        },
                    }
                }
                found.has_prose = true;
                continue;
            }
            c if c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}') => {}
            _ => found.has_prose = true,
        }
        at += first.len_utf8();
    }
    found
}

/// Length of a bracketed text up to its closing bracket, strings respected.
fn matching_end(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// A failure in words for the model.
pub(super) fn explain(text: &str, failure: &Failure) -> AnswerError {
    if failure.kind == FailureKind::Cut {
        return AnswerError::Truncated { place: failure.place() };
    }
    // Failures are at character boundaries; should one not be, the message is less precise.
    let before = text.get(..failure.at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line_before = &before[line_start..];
    let after = text[before.len()..].lines().next().unwrap_or_default();
    let mut near: Vec<char> = line_before.chars().rev().take(24).collect();
    near.reverse();
    let near = near.into_iter().chain(after.chars().take(16));
    AnswerError::Syntax {
        line: before.matches('\n').count() + 1,
        column: line_before.chars().count() + 1,
        problem: failure.problem.to_owned(),
        near: near.filter(|c| !c.is_control()).collect::<String>().trim().to_owned(),
    }
}
