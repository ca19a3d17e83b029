//! A parser for JSON as models write it: comments, trailing commas, single quotes, Python's words,
//! names without quotes, line ends inside strings. Each is accepted because it can mean one thing
//! only. It must not know what surrounds the value, nor what the value should be.

mod strings;

use serde_json::{Map, Number, Value};

/// Deeper nesting than any answer has; keeps recursion small.
const DEPTH: usize = 100;

/// The repairs of one value, as bits so that a parser pays nothing for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Repairs(u32);

/// In alphabetical order; the constants below are positions.
const NAMES: [&str; 16] = [
    "Python string",
    "Python tuple",
    "Python word",
    "backtick string",
    "comma missing at a line end",
    "comment",
    "curly quotes",
    "field given twice",
    "function-call syntax",
    "line end inside a string",
    "needless escape",
    "single quotes",
    "tool call in tags",
    "trailing comma",
    "unknown escape kept",
    "unquoted field name",
];
const PYTHON_STRING: u32 = 1;
const TUPLE: u32 = 1 << 1;
const PYTHON: u32 = 1 << 2;
const BACKTICK: u32 = 1 << 3;
const LOST_COMMA: u32 = 1 << 4;
const COMMENT: u32 = 1 << 5;
const CURLY: u32 = 1 << 6;
const TWICE: u32 = 1 << 7;
pub(super) const CALL: u32 = 1 << 8;
const RAW_LINE: u32 = 1 << 9;
const NEEDLESS: u32 = 1 << 10;
const SINGLE: u32 = 1 << 11;
pub(super) const TAGS: u32 = 1 << 12;
const COMMA: u32 = 1 << 13;
const UNKNOWN: u32 = 1 << 14;
const UNQUOTED: u32 = 1 << 15;

impl Repairs {
    pub(super) fn only(bit: u32) -> Repairs {
        Repairs(bit)
    }

    pub(super) fn and(self, other: Repairs) -> Repairs {
        Repairs(self.0 | other.0)
    }

    /// In alphabetical order.
    pub(super) fn names(self) -> Vec<&'static str> {
        NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| *name).collect()
    }
}

/// A value and where it ends, in bytes.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) value: Value,
    pub(super) end: usize,
    pub(super) repairs: Repairs,
}

/// Why no value could be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    /// Byte at which it failed.
    pub(super) at: usize,
    pub(super) problem: &'static str,
    pub(super) kind: FailureKind,
    /// Whether it had gone far enough that this can only have been meant as JSON.
    pub(super) intent: Intent,
    /// Fields and positions that it was inside of, innermost first.
    path: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The text ended.
    Cut,
    Wrong,
}

/// Whether a failed attempt was at JSON at all, or at a brace in prose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Doubtful,
    /// A field name and its colon were there.
    Clear,
}

impl Failure {
    pub(super) fn cut(at: usize, problem: &'static str) -> Failure {
        Failure { at, problem, kind: FailureKind::Cut, intent: Intent::Clear, path: Vec::new() }
    }

    pub(super) fn wrong(at: usize, problem: &'static str) -> Failure {
        Failure { kind: FailureKind::Wrong, ..Failure::cut(at, problem) }
    }

    /// Such as `steps[1].file`.
    pub(super) fn place(&self) -> String {
        let mut place = String::new();
        for part in self.path.iter().rev() {
            if !place.is_empty() && !part.starts_with('[') {
                place.push('.');
            }
            place.push_str(part);
        }
        if place.is_empty() { "the top level".to_owned() } else { format!("`{place}`") }
    }
}

/// Reads the value that starts at the byte `start`, which must be a character boundary.
pub(super) fn value(text: &str, start: usize) -> Result<Read, Failure> {
    let mut parser = Parser { text, at: start, repairs: 0, intent: Intent::Doubtful };
    let value = parser.value(0)?;
    Ok(Read { value, end: parser.at, repairs: Repairs(parser.repairs) })
}

/// Reads `name=value, …)` from the byte `start`: the arguments of a call, up to its closing bracket.
/// Only named arguments count, since a position means nothing here.
pub(super) fn arguments(text: &str, start: usize) -> Result<Read, Failure> {
    let mut parser = Parser { text, at: start, repairs: CALL, intent: Intent::Doubtful };
    let mut fields = Map::new();
    loop {
        parser.space()?;
        if parser.peek() == Some(')') && !fields.is_empty() {
            parser.take();
            let value = Value::Object(fields);
            return Ok(Read { value, end: parser.at, repairs: Repairs(parser.repairs) });
        }
        let name = parser.word_at();
        if name.is_empty() {
            return parser.fail("an argument without a name");
        }
        parser.at += name.len();
        parser.space()?;
        if parser.peek() != Some('=') || parser.text[parser.at..].starts_with("==") {
            return parser.fail("an argument without a name");
        }
        parser.take();
        let value = parser.value(1).map_err(|failure| inside(failure, &name))?;
        parser.intent = Intent::Clear;
        if fields.insert(name, value).is_some() {
            return parser.fail_as(FailureKind::Wrong, "an argument is given twice");
        }
        parser.space()?;
        match parser.peek() {
            Some(',') => drop(parser.take()),
            Some(')') => {}
            _ => return parser.fail("a comma or a closing bracket is missing"),
        }
    }
}

struct Parser<'text> {
    text: &'text str,
    at: usize,
    repairs: u32,
    intent: Intent,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn fail<T>(&self, problem: &'static str) -> Result<T, Failure> {
        let kind = if self.at >= self.text.len() { FailureKind::Cut } else { FailureKind::Wrong };
        self.fail_as(kind, problem)
    }

    fn fail_as<T>(&self, kind: FailureKind, problem: &'static str) -> Result<T, Failure> {
        Err(Failure { at: self.at, problem, kind, intent: self.intent, path: Vec::new() })
    }

    /// Skips white space and comments.
    fn space(&mut self) -> Result<(), Failure> {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("//") || trimmed.starts_with('#') {
                self.repairs |= COMMENT;
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if let Some(comment) = trimmed.strip_prefix("/*") {
                self.repairs |= COMMENT;
                let Some(end) = comment.find("*/") else {
                    self.at = self.text.len();
                    return self.fail("a comment is not closed");
                };
                self.at += end + "/**/".len();
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Failure> {
        self.space()?;
        match self.peek() {
            _ if depth > DEPTH => self.fail_as(FailureKind::Wrong, "it is nested too deeply"),
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            Some('(') => self.tuple(depth),
            Some('"' | '\'' | '“' | '„' | '`') => self.string().map(Value::String),
            Some('-' | '0'..='9') => self.number(),
            Some(first) if first.is_ascii_alphabetic() => self.word(),
            _ => self.fail("a value is missing"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Failure> {
        self.take();
        let mut fields = Map::new();
        loop {
            self.space()?;
            if self.peek() == Some('}') {
                self.take();
                if !fields.is_empty() {
                    // Only a comma leads here with fields: without one the loop below returns.
                    self.repairs |= COMMA;
                }
                return Ok(Value::Object(fields));
            }
            let name = self.name()?;
            self.space()?;
            if self.peek() != Some(':') {
                return self.fail("a colon is missing after a field name");
            }
            self.take();
            self.intent = Intent::Clear;
            let value = self.value(depth + 1).map_err(|failure| inside(failure, &name))?;
            let ended = self.at;
            if let Some(before) = fields.get(&name) {
                if *before != value {
                    return self
                        .fail_as(FailureKind::Wrong, "a field is given twice with different values")
                        .map_err(|failure| inside(failure, &name));
                }
                self.repairs |= TWICE;
            }
            fields.insert(name, value);
            self.space()?;
            match self.peek() {
                Some(',') => drop(self.take()),
                Some('}') => {
                    self.take();
                    return Ok(Value::Object(fields));
                }
                Some('"' | '\'') if self.lost_comma(ended) => {}
                _ => return self.fail("a comma or a closing brace is missing"),
            }
        }
    }

    fn name(&mut self) -> Result<String, Failure> {
        match self.peek() {
            Some('"' | '\'' | '“' | '„') => self.string(),
            Some(first) if first.is_ascii_alphabetic() || first == '_' => {
                let rest = &self.text[self.at..];
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
                let name = &rest[..end.unwrap_or(rest.len())];
                self.at += name.len();
                self.repairs |= UNQUOTED;
                Ok(name.to_owned())
            }
            _ => self.fail("a field name is missing"),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Failure> {
        self.take();
        let mut items = Vec::new();
        loop {
            self.space()?;
            if self.peek() == Some(']') {
                self.take();
                if !items.is_empty() {
                    self.repairs |= COMMA;
                }
                return Ok(Value::Array(items));
            }
            let item = self.value(depth + 1).map_err(|mut failure| {
                failure.path.push(format!("[{}]", items.len()));
                failure
            })?;
            items.push(item);
            let ended = self.at;
            self.space()?;
            match self.peek() {
                Some(',') => drop(self.take()),
                Some(']') => {
                    self.take();
                    return Ok(Value::Array(items));
                }
                Some('{') if self.lost_comma(ended) => {}
                _ => return self.fail("a comma or a closing bracket is missing"),
            }
        }
    }

    /// Whether a line ended between the last value and here. Then the comma can be missing without
    /// a doubt; on one line it may as well be a quotation mark too many.
    fn lost_comma(&mut self, ended: usize) -> bool {
        let lost = self.text[ended..self.at].contains('\n');
        if lost {
            self.repairs |= LOST_COMMA;
        }
        lost
    }

    /// Python's `("a", "b")`, which is a list, and `("a")`, which is the value inside.
    fn tuple(&mut self, depth: usize) -> Result<Value, Failure> {
        self.take();
        self.repairs |= TUPLE;
        let mut items = Vec::new();
        let mut commas = 0;
        loop {
            self.space()?;
            if self.peek() == Some(')') {
                self.take();
                let alone = items.len() == 1 && commas == 0;
                return Ok(if alone { items.remove(0) } else { Value::Array(items) });
            }
            if commas < items.len() {
                return self.fail("a comma or a closing bracket is missing");
            }
            items.push(self.value(depth + 1)?);
            self.space()?;
            if self.peek() == Some(',') {
                self.take();
                commas += 1;
            }
        }
    }

    fn number(&mut self) -> Result<Value, Failure> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_')));
        let text = &rest[..end.unwrap_or(rest.len())];
        match serde_json::from_str::<Number>(text) {
            Ok(number) => {
                self.at += text.len();
                Ok(Value::Number(number))
            }
            Err(_) if text.len() == rest.len() => self.fail_as(FailureKind::Cut, "a number is cut"),
            Err(_) => self.fail_as(FailureKind::Wrong, "this is not a number in JSON"),
        }
    }

    fn word(&mut self) -> Result<Value, Failure> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let word = &rest[..end];
        if matches!(word, "r" | "R") && rest[end..].starts_with(['"', '\'']) {
            return self.raw_string().map(Value::String);
        }
        let value = match word {
            "true" | "True" => Value::Bool(true),
            "false" | "False" => Value::Bool(false),
            "null" | "None" => Value::Null,
            _ if end == rest.len()
                && ["true", "false", "null", "True", "False", "None"]
                    .iter()
                    .any(|whole| whole.starts_with(word)) =>
            {
                return self.fail_as(FailureKind::Cut, "a word is cut");
            }
            _ => return self.fail_as(FailureKind::Wrong, "a string needs quotes"),
        };
        if word.starts_with(char::is_uppercase) {
            self.repairs |= PYTHON;
        }
        self.at += end;
        Ok(value)
    }
}

fn inside(mut failure: Failure, name: &str) -> Failure {
    let short: String = name.chars().take(60).collect();
    failure.path.push(short);
    failure
}
