//! Owns the step from source text to symbols, references, imports and chunks. Pure: unsaved text
//! works as well as a file. It must not know storage or paths.

use std::cell::RefCell;

use tree_sitter::{Node, QueryCursor, StreamingIterator, Tree};

use crate::IndexError;
use crate::chunk::partition;
use crate::lang::{Capture, Compiled, Language, Structure};
use crate::line::Lines;
use crate::markdown;
use crate::parse::parse;
use crate::symbol::{Extracted, Import, Symbol, SymbolKind, Use};
use crate::yaml;

/// Patterns of a query that may be half matched at a time: each node is compared with all of them, and
/// a chain of calls opens one for each of its parts. Beyond that the outermost are given up.
const MOST_OPEN_MATCHES: u32 = 128;
/// Longest signature and documentation line, in characters.
const LONGEST_LINE: usize = 200;
/// Comment and attribute lines above a definition that count as its own.
const LONGEST_LEAD: u32 = 60;

/// Extracts what is known about `source`. `None` as language gives chunks of plain text.
///
/// ```
/// let rust = countersign_index::lang::for_path("lib.rs");
/// let found = countersign_index::extract::extract(rust, "/// Says hello.\nfn hello() {}\n")?;
/// assert_eq!(found.symbols[0].signature, "fn hello()");
/// assert_eq!(found.symbols[0].doc, "Says hello.");
/// # Ok::<(), countersign_index::IndexError>(())
/// ```
///
/// # Errors
/// Only when the language's built-in query is malformed.
pub fn extract(language: Option<&Language>, source: &str) -> Result<Extracted, IndexError> {
    let lines = Lines::new(source);
    let mut extracted = Extracted { lines: lines.count(), ..Extracted::default() };
    let Some(language) = language else {
        extracted.chunks = partition(&lines, &[]);
        return Ok(extracted);
    };
    match language.structure {
        Structure::Headings => extracted.symbols = markdown::headings(source, &lines),
        Structure::Keys => {
            extracted.symbols = yaml::keys(&lines);
            for key in &mut extracted.symbols {
                key.doc = comment_above(language, &lines, key.start_line);
            }
        }
        Structure::Grammar { .. } => {
            let compiled = language.compiled()?;
            let parsed = compiled.and_then(|compiled| Some((compiled, parse(language, source)?)));
            extracted.gave_up = parsed.as_ref().is_none_or(|(_, parsed)| parsed.is_hopeless);
            if let Some((compiled, parsed)) = parsed {
                extracted.syntax_errors = parsed.errors.count as u32;
                if !parsed.is_hopeless {
                    collect(language, compiled, &parsed.tree, source, &lines, &mut extracted);
                }
            }
        }
    }
    extracted.chunks = partition(&lines, &boundaries(language, &extracted.symbols, &lines));
    Ok(extracted)
}

thread_local! {
    /// A cursor keeps its memory from one file to the next.
    static CURSOR: RefCell<QueryCursor> = RefCell::new({
        let mut cursor = QueryCursor::new();
        cursor.set_match_limit(MOST_OPEN_MATCHES);
        cursor
    });
}

fn collect(
    language: &Language,
    compiled: &Compiled,
    tree: &Tree,
    source: &str,
    lines: &Lines,
    extracted: &mut Extracted,
) {
    let uses = CURSOR
        .with_borrow_mut(|cursor| collect_with(cursor, language, compiled, tree, source, lines, extracted));
    extracted.references = distinct(uses);
    extracted.imports.sort_by(|a, b| (a.line, &a.target).cmp(&(b.line, &b.target)));
    extracted.imports.dedup();
    nest(&mut extracted.symbols);
}

/// Collects symbols and imports, and answers each use of a name with its line.
fn collect_with<'s>(
    cursor: &mut QueryCursor,
    language: &Language,
    compiled: &Compiled,
    tree: &Tree,
    source: &'s str,
    lines: &Lines,
    extracted: &mut Extracted,
) -> Vec<(&'s str, u32)> {
    let mut uses = Vec::new();
    let mut matches = cursor.matches(&compiled.query, tree.root_node(), source.as_bytes());
    while let Some(found) = matches.next() {
        let mut name = None;
        let mut container = None;
        let mut body = None;
        let mut meaning = None;
        for capture in found.captures() {
            match compiled.captures[capture.index as usize] {
                Capture::Name => name = Some(capture.node),
                Capture::Container => container = Some(one_line(text(capture.node, source))),
                Capture::Body => body = Some(capture.node),
                Capture::Condition => {}
                other => meaning = Some((other, capture.node)),
            }
        }
        match (meaning, name) {
            (Some((Capture::Definition(kind), node)), Some(name)) => {
                let body = body.or_else(|| body_of(language, node));
                let symbol = symbol(language, kind, [node, name], body, source, lines);
                if !symbol.name.is_empty() {
                    extracted.symbols.push(Symbol { container, ..symbol });
                }
            }
            (Some((Capture::Reference, _)), Some(name)) => {
                uses.push((unquoted(text(name, source)), name.start_position().row as u32 + 1));
            }
            (Some((Capture::Import, node)), _) => extracted.imports.push(Import {
                target: one_line(text(node, source).trim_start_matches("import ")),
                line: node.start_position().row as u32 + 1,
            }),
            _ => {}
        }
    }
    uses
}

/// Uses by name, then line, each once: a name stands in a file many times, and is copied for each line.
fn distinct(mut uses: Vec<(&str, u32)>) -> Vec<Use> {
    uses.sort_unstable();
    uses.dedup();
    uses.into_iter().map(|(name, line)| Use { name: name.to_owned(), line }).collect()
}

fn text<'a>(node: Node, source: &'a str) -> &'a str {
    source.get(node.byte_range()).unwrap_or_default()
}

fn symbol(
    language: &Language,
    kind: SymbolKind,
    [node, name]: [Node; 2],
    body: Option<Node>,
    source: &str,
    lines: &Lines,
) -> Symbol {
    let head_end = body.map_or(node.end_byte(), |body| body.start_byte());
    let head = source.get(node.start_byte()..head_end).unwrap_or_default();
    let head = without_attributes(language, head);
    // What has no body is shown by its first line only, unless its parameters stand on the next.
    let is_whole = body.is_some() || matches!(kind, SymbolKind::Function | SymbolKind::Method);
    let head = if is_whole { head } else { head.lines().next().unwrap_or_default() };
    let whole = node.parent().filter(|parent| language.wrappers.contains(&parent.kind())).unwrap_or(node);
    let (start, end) = (whole.start_position(), whole.end_position());
    let start_line = start.row as u32 + 1;
    let end_line = if end.column == 0 && end.row > start.row { end.row } else { end.row + 1 } as u32;
    // A comment above speaks of what stands first on the line.
    let before = source.get(lines.start(start_line) as usize..whole.start_byte()).unwrap_or_default();
    let above =
        || if before.trim().is_empty() { comment_above(language, lines, start_line) } else { String::new() };
    let doc = body.and_then(|body| docstring(body, source)).unwrap_or_else(above);
    let written = text(name, source);
    let written = if name.kind() == "simple_symbol" { &written[1..] } else { written };
    Symbol {
        name: unquoted(&one_line(written)).to_owned(),
        kind,
        container: None,
        signature: one_line(head.trim_end_matches(['{', ':', '=', ' ', '\n', ';', ',', '\\'])),
        start_line,
        end_line,
        start_byte: whole.start_byte() as u32,
        end_byte: whole.end_byte() as u32,
        doc,
    }
}

/// Where the signature of a definition ends.
fn body_of<'a>(language: &Language, node: Node<'a>) -> Option<Node<'a>> {
    let by_kind = || {
        // A cursor: the nth child costs n steps.
        let mut cursor = (!language.bodies.is_empty()).then(|| node.walk())?;
        node.children(&mut cursor).find(|child| language.bodies.contains(&child.kind()))
    };
    by_kind().or_else(|| node.child_by_field_name("body"))
}

/// What is left of the head of a definition behind the attributes at its beginning.
fn without_attributes<'a>(language: &Language, head: &'a str) -> &'a str {
    let mut rest = head.trim_start();
    while let Some(open) = language.attributes.iter().find(|open| rest.starts_with(**open)) {
        let behind = if open.ends_with('[') {
            behind_brackets(rest)
        } else {
            let name =
                rest[open.len()..].find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.' | ':'));
            let name_end = open.len() + name.unwrap_or(rest.len() - open.len());
            // Java's `@interface` defines one.
            let is_attribute = name_end > open.len() && &rest[..name_end] != "@interface";
            let with_arguments = rest[name_end..].starts_with(['(', '[']);
            match is_attribute {
                true if with_arguments => behind_brackets(rest),
                true => Some(&rest[name_end..]),
                false => None,
            }
        };
        match behind.map(str::trim_start).filter(|behind| !behind.is_empty()) {
            Some(behind) => rest = behind,
            None => break,
        }
    }
    rest
}

/// What follows the first bracket of `text` and all that it encloses, `None` if it stays open.
fn behind_brackets(text: &str) -> Option<&str> {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => {
                depth -= 1;
                // `@throws[E]("why")`: one more pair may follow.
                if depth <= 0 && !text[at + 1..].starts_with(['(', '[']) {
                    return text.get(at + 1..);
                }
            }
            _ => {}
        }
    }
    None
}

/// A name without the quotes around it.
fn unquoted(name: &str) -> &str {
    let inner = |quote: char| name.strip_prefix(quote)?.strip_suffix(quote);
    ['"', '\'', '`'].into_iter().find_map(inner).unwrap_or(name)
}

/// A string that is the first statement of a body (Python).
fn docstring(body: Node, source: &str) -> Option<String> {
    let first = body.named_child(0).filter(|node| node.kind() == "expression_statement")?;
    let string = first.named_child(0).filter(|node| node.kind() == "string")?;
    let inner = text(string, source).trim_start_matches(|c: char| c.is_ascii_alphabetic());
    Some(first_paragraph(inner.trim_matches(['"', '\'']).lines()))
}

fn comment_above(language: &Language, lines: &Lines, start_line: u32) -> String {
    let first = lead(language, lines, start_line);
    let comments = (first..start_line).map(|line| lines.text(line).trim());
    let comments = comments.filter(|line| !line.starts_with("#[") && !line.starts_with('@'));
    first_paragraph(comments.map(|line| without_marks(language, line)))
}

/// A line of a comment without what makes it one.
fn without_marks<'a>(language: &Language, line: &'a str) -> &'a str {
    let (open, close) = language.block_comment.unwrap_or_default();
    let line = line.strip_prefix(open).unwrap_or(line);
    let line = line.strip_suffix(close).unwrap_or(line);
    let marks = |c: char| matches!(c, '/' | '*' | '#' | '!') || c == '-' && language.leads.contains(&"--");
    let mut line = line.trim_start_matches(marks).trim();
    for tag in ["<summary>", "</summary>", "@brief ", "\\brief "] {
        line = line.strip_prefix(tag).unwrap_or(line);
        line = line.strip_suffix(tag).unwrap_or(line);
    }
    line
}

/// The lines up to the first blank one, or to the first that describes a parameter and the like.
fn first_paragraph<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let is_tag = |line: &str| line.starts_with(['@', '\\', '<']);
    let lines = lines.map(str::trim).skip_while(|line| line.is_empty());
    let lines = lines.take_while(|line| !line.is_empty() && !is_tag(line));
    one_line(&lines.collect::<Vec<_>>().join(" "))
}

/// White space collapsed, cut at [`LONGEST_LINE`] characters with an ellipsis.
fn one_line(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
        if out.len() > LONGEST_LINE * 4 {
            break;
        }
    }
    match out.char_indices().nth(LONGEST_LINE) {
        Some((at, _)) => format!("{}…", &out[..at]),
        None => out,
    }
}

/// Sorts symbols outer before inner, drops doubles, and names each one's container, unless the
/// query has named it.
fn nest(symbols: &mut Vec<Symbol>) {
    symbols.sort_by(|a, b| {
        (a.start_byte, std::cmp::Reverse(a.end_byte), &a.name, a.kind).cmp(&(
            b.start_byte,
            std::cmp::Reverse(b.end_byte),
            &b.name,
            b.kind,
        ))
    });
    symbols.dedup_by(|a, b| (a.start_byte, a.end_byte, &a.name) == (b.start_byte, b.end_byte, &b.name));
    let mut around: Vec<usize> = Vec::new();
    for at in 0..symbols.len() {
        let (start, end) = (symbols[at].start_byte, symbols[at].end_byte);
        while around.last().is_some_and(|&outer| symbols[outer].end_byte <= start) {
            around.pop();
        }
        // Names bound by one statement share its range; none contains the other.
        let outer = around
            .iter()
            .rev()
            .find(|&&outer| (symbols[outer].start_byte, symbols[outer].end_byte) != (start, end));
        let is_named = symbols[at].container.is_some();
        if let Some(&outer) = outer.filter(|_| !is_named) {
            symbols[at].container = Some(symbols[outer].name.clone());
        }
        let in_type = outer.is_some_and(|&outer| symbols[outer].kind.has_methods());
        if symbols[at].kind == SymbolKind::Function && (is_named || in_type) {
            symbols[at].kind = SymbolKind::Method;
        }
        around.push(at);
    }
}

/// First of the comment and attribute lines directly above `line`.
fn lead(language: &Language, lines: &Lines, line: u32) -> u32 {
    let text = |line: u32| lines.text(line).trim();
    // `#!` and `//!` speak of the file, not of what stands below.
    let speaks_of_file = |text: &str| text.starts_with("//!") || text.starts_with("#!");
    let oldest = line.saturating_sub(LONGEST_LEAD).max(1);
    let mut first = line;
    while first > oldest {
        let above = text(first - 1);
        if speaks_of_file(above) {
            break;
        }
        let block = language.block_comment.filter(|(_, close)| above.ends_with(close));
        // A block comment reaches up to the line that opens it.
        let opening =
            block.and_then(|(open, _)| (oldest..first).rev().find(|&line| text(line).starts_with(open)));
        match opening {
            Some(opening) => first = opening,
            None if language.leads.iter().any(|lead| above.starts_with(lead)) => first -= 1,
            None => break,
        }
    }
    first
}

/// Lines at which chunks begin: definitions that are not local to a function, each with the
/// comments and attributes above it.
fn boundaries(language: &Language, symbols: &[Symbol], lines: &Lines) -> Vec<u32> {
    let mut boundaries = Vec::new();
    let mut function_end = 0;
    for symbol in symbols.iter().filter(|symbol| symbol.kind.begins_chunk()) {
        if symbol.start_byte < function_end {
            continue;
        }
        boundaries.push(lead(language, lines, symbol.start_line));
        if matches!(symbol.kind, SymbolKind::Function | SymbolKind::Method) {
            function_end = symbol.end_byte;
        }
    }
    boundaries.sort_unstable();
    boundaries.dedup();
    boundaries
}
