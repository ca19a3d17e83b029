//! Owns the keys of YAML, as symbols. A scanner of lines: where block mappings stand is all that is
//! wanted of them, and the grammar that exists writes behind its buffer when they nest too deep.
//! Pure.

use crate::line::Lines;
use crate::symbol::{Symbol, SymbolKind};

/// Keys nested deeper are data more often than settings.
const DEEPEST_KEY: usize = 3;
/// Longest name and signature, in characters.
const LONGEST: usize = 200;

/// What the lines below another one belong to, when they are not keys.
#[derive(Clone, Copy)]
enum Inside {
    /// A block scalar, an item of a list: whatever is indented deeper.
    Deeper(usize),
    /// A quoted scalar, up to this character.
    Quotes(char),
    /// A flow collection with so many open brackets.
    Brackets(usize),
}

impl Inside {
    /// What still goes on behind a line, and whether the line is a part of it.
    fn after(self, line: &str, indent: usize) -> (Option<Inside>, bool) {
        match self {
            Inside::Deeper(around) => {
                let is_part = line.is_empty() || indent > around;
                (is_part.then_some(self), is_part)
            }
            Inside::Quotes(quote) => ((!closes(line, quote)).then_some(self), true),
            Inside::Brackets(depth) => {
                let depth = brackets(line, depth);
                ((depth > 0).then_some(Inside::Brackets(depth)), true)
            }
        }
    }
}

/// Keys of block mappings down to the third level, outside of lists. A key reaches to the last line
/// of its value.
pub fn keys(lines: &Lines) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::new();
    // Keys that are still open with their indentation, outer first.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut inside: Option<Inside> = None;
    let mut last = 0;
    for line in 1..=lines.count() {
        let text = lines.text(line).trim_end();
        let inner = text.trim_start_matches([' ', '\u{feff}']);
        let indent = text.len() - inner.len();
        let is_blank = inner.is_empty() || inner.starts_with('#');
        if let Some(around) = inside.take() {
            let (goes_on, is_part) = around.after(inner, indent);
            inside = goes_on;
            if is_part {
                last = if is_blank { last } else { line };
                continue;
            }
        }
        if is_blank {
            continue;
        }
        let is_item = inner == "-" || inner.starts_with("- ");
        let is_boundary = indent == 0 && (inner.starts_with("---") || inner == "...");
        // A list may stand at the indentation of the key that it belongs to.
        while open
            .last()
            .is_some_and(|&(_, outer)| is_boundary || outer > indent || outer == indent && !is_item)
        {
            if let Some((at, _)) = open.pop() {
                close(&mut symbols[at], last, lines);
            }
        }
        last = line;
        if is_item {
            inside = Some(Inside::Deeper(indent));
            continue;
        }
        let Some((key, value)) = key(inner).filter(|_| !is_boundary) else { continue };
        inside = opened(value, indent);
        if open.len() >= DEEPEST_KEY {
            inside = inside.or(Some(Inside::Deeper(indent)));
            continue;
        }
        let container = open.last().map(|&(at, _)| symbols[at].name.clone());
        open.push((symbols.len(), indent));
        let start_byte = lines.start(line) + indent as u32;
        symbols.push(Symbol {
            name: key.chars().take(LONGEST).collect(),
            kind: SymbolKind::Key,
            container,
            signature: inner.trim_end_matches(':').chars().take(LONGEST).collect(),
            start_line: line,
            end_line: line,
            start_byte,
            end_byte: lines.end(line),
            doc: String::new(),
        });
    }
    for (at, _) in open {
        close(&mut symbols[at], last, lines);
    }
    symbols
}

fn close(symbol: &mut Symbol, last: u32, lines: &Lines) {
    symbol.end_line = last.max(symbol.start_line);
    symbol.end_byte = lines.end(symbol.end_line);
}

/// Key and value of a line of a mapping; `None` for anything else and for the merge key.
fn key(line: &str) -> Option<(&str, &str)> {
    let (key, rest) = match line.chars().next()? {
        quote @ ('"' | '\'') => line[1..].split_once(quote)?,
        '{' | '[' | ']' | '}' | '&' | '*' | '!' | '|' | '>' | '%' | '@' | '`' | '?' | ',' => return None,
        _ => {
            let end = line
                .match_indices(':')
                .map(|(at, _)| at)
                .find(|&at| matches!(line.as_bytes().get(at + 1), None | Some(b' ' | b'\t')))?;
            (line[..end].trim_end(), &line[end..])
        }
    };
    let value = rest.trim_start().strip_prefix(':')?;
    let is_key = !key.is_empty() && key != "<<" && !key.contains(" #");
    (is_key && (value.is_empty() || value.starts_with([' ', '\t']))).then(|| (key, value.trim()))
}

/// What a value opens that goes on below.
fn opened(value: &str, indent: usize) -> Option<Inside> {
    // Anchors and tags stand before the value.
    let value = value.split_whitespace().find(|word| !word.starts_with(['&', '!'])).map_or("", |word| {
        let at = word.as_ptr() as usize - value.as_ptr() as usize;
        &value[at..]
    });
    match value.chars().next()? {
        '|' | '>' => Some(Inside::Deeper(indent)),
        quote @ ('"' | '\'') if !closes(&value[1..], quote) => Some(Inside::Quotes(quote)),
        '"' | '\'' => None,
        '{' | '[' => Some(brackets(value, 0)).filter(|&depth| depth > 0).map(Inside::Brackets),
        '#' => None,
        // What is indented deeper goes on with a plain scalar.
        _ => Some(Inside::Deeper(indent)),
    }
}

/// Whether a quoted scalar ends in `text`. A backslash escapes in double quotes.
fn closes(text: &str, quote: char) -> bool {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c == quote {
            return true;
        }
        if c == '\\' && quote == '"' {
            characters.next();
        }
    }
    false
}

/// How many brackets are open behind `text`, when `depth` were before it. Quotes are not looked at:
/// at worst some lines are taken for data.
fn brackets(text: &str, depth: usize) -> usize {
    text.bytes().fold(depth, |depth, byte| match byte {
        b'{' | b'[' => depth + 1,
        b'}' | b']' => depth.saturating_sub(1),
        _ => depth,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[(&str, u32, u32, Option<&str>)]) {
        let symbols = keys(&Lines::new(source));
        let seen: Vec<_> = symbols
            .iter()
            .map(|s| (s.name.as_str(), s.start_line, s.end_line, s.container.as_deref()))
            .collect();
        assert_eq!(seen, expected, "{source}");
    }

    #[test]
    fn keys_nest_by_indentation() {
        check(
            "a:\n  b: 1\n\n  # c: no\n  d:\n    e: 2\n    f:\n      g: 3\nh: 4\n",
            &[
                ("a", 1, 8, None),
                ("b", 2, 2, Some("a")),
                ("d", 5, 8, Some("a")),
                ("e", 6, 6, Some("d")),
                ("f", 7, 8, Some("d")),
                ("h", 9, 9, None),
            ],
        );
        check("---\na: 1\n---\nb: 1\n...\n", &[("a", 2, 2, None), ("b", 4, 4, None)]);
        check(
            "url: http://a:80/b\n\"q: k\": 1\n't': 2\n",
            &[("url", 1, 1, None), ("q: k", 2, 2, None), ("t", 3, 3, None)],
        );
    }

    #[test]
    fn what_is_no_key() {
        check("a: |\n  b: 1\n\n  c: 2\nd: >-\n  e: 3\n", &[("a", 1, 4, None), ("d", 5, 6, None)]);
        check("a:\n- b: 1\n  c: 2\n- d: 3\ne: 1\n", &[("a", 1, 4, None), ("e", 5, 5, None)]);
        check("a:\n  - b: 1\n    c: 2\n  -\n    d: 3\n", &[("a", 1, 5, None)]);
        check("a: \"b\n  c: d\n  e\\\" f: g\"\nh: 1\n", &[("a", 1, 3, None), ("h", 4, 4, None)]);
        check(
            "a: {b: 1,\n c: 2}\nd: [\n  e: 1\n]\nf: 1\n",
            &[("a", 1, 2, None), ("d", 3, 5, None), ("f", 6, 6, None)],
        );
        check(
            "a: word\n  b: still the word\nc: &x\n  d: 1\n",
            &[("a", 1, 2, None), ("c", 3, 4, None), ("d", 4, 4, Some("c"))],
        );
        check("{{- if .Values.a }}\n- a: b\n? c\n<<: *d\nno colon:here\n", &[]);
    }
}
