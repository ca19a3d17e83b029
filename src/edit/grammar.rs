//! What the index's parsers say of a text: syntax errors, and where definitions are. The only door
//! of the edit engine to them; everything else in here is passed what it needs of this.

use std::ops::Range;

use countersign_index::{SymbolKind, extract, lang};

use super::gate::Syntax;

/// A definition, and the lines that it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    /// Name of the definition around it.
    pub container: Option<String>,
    /// Lines of the text, from 0, end excluded.
    pub lines: Range<usize>,
    /// The first of the comment and attribute lines that stand directly above; the start of `lines`
    /// without any.
    pub lead: usize,
}

/// With what the text of a definition begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    Comment,
    /// An attribute or a decorator on a line of its own.
    Attribute,
    Code,
}

impl Definition {
    /// `Parser.parse`, or `parse` outside of anything.
    pub fn full_name(&self) -> String {
        match &self.container {
            Some(container) => format!("{container}.{}", self.name),
            None => self.name.clone(),
        }
    }

    /// The first line to replace by a text that begins so: comments and attributes that the new
    /// text does not have stay.
    pub fn start(&self, lines: &[&str], with: Begins) -> usize {
        let is = |at: usize, what: Begins| lines.get(at).is_some_and(|line| begins(line) == what);
        let mut start = self.lines.start;
        while start + 1 < self.lines.end && !is(start, Begins::Code) {
            start += 1;
        }
        match with {
            Begins::Comment => self.lead,
            Begins::Code => start,
            Begins::Attribute => {
                while start > self.lead && is(start - 1, Begins::Attribute) {
                    start -= 1;
                }
                start
            }
        }
    }
}

/// What the parser says of a text; `None` for languages without a grammar, and when it gives up: it
/// cannot say anything against an edit then.
pub fn syntax(path: &str, text: &str) -> Option<Syntax> {
    let found = countersign_index::syntax_errors(lang::for_file(path, text)?, text)?;
    Some(Syntax { errors: found.count, first_line: found.first_line.map(|line| line as usize) })
}

/// The functions, types and other definitions of a text, in its order.
pub fn definitions(path: &str, text: &str) -> Vec<Definition> {
    let Some(language) = lang::for_file(path, text) else { return Vec::new() };
    let Ok(found) = extract::extract(Some(language), text) else { return Vec::new() };
    let lines = super::anchor::lines(text);
    let mut definitions: Vec<Definition> = found
        .symbols
        .into_iter()
        .filter(|symbol| !matches!(symbol.kind, SymbolKind::Field | SymbolKind::Heading | SymbolKind::Key))
        .map(|symbol| {
            let lines_of = (symbol.start_line as usize).saturating_sub(1)..symbol.end_line as usize;
            Definition {
                lead: lead(&lines, lines_of.start),
                name: symbol.name,
                container: symbol.container,
                lines: lines_of,
            }
        })
        .collect();
    definitions.sort_by_key(|one| (one.lines.start, usize::MAX - one.lines.end));
    definitions
}

/// The definitions that a name means: `parse`, `Parser.parse`, `Parser::parse`, `parse()`.
pub fn named<'a>(definitions: &'a [Definition], name: &str) -> Vec<&'a Definition> {
    let written = name.trim().trim_end_matches("()");
    let parts: Vec<&str> = written.split(['.', ':', '#']).filter(|part| !part.is_empty()).collect();
    let Some((name, containers)) = parts.split_last() else { return Vec::new() };
    let all: Vec<&Definition> = definitions.iter().filter(|one| one.name == *name).collect();
    let Some(container) = containers.last() else { return all };
    let inside: Vec<&Definition> =
        all.iter().copied().filter(|one| one.container.as_deref() == Some(container)).collect();
    // A container that is a module, not a type, says nothing here.
    if inside.is_empty() { all } else { inside }
}

/// The innermost definition around a line, from 0.
pub fn around(definitions: &[Definition], line: usize) -> Option<&Definition> {
    definitions.iter().filter(|one| one.lines.contains(&line)).min_by_key(|one| one.lines.len())
}

/// What stands on a line.
pub fn begins(line: &str) -> Begins {
    let text = line.trim();
    let attribute = text.starts_with("#[") && text.ends_with(']') || text.starts_with('@');
    if attribute {
        return Begins::Attribute;
    }
    let comment = ["//", "/*", "* ", "*/", "--"].iter().any(|sign| text.starts_with(sign))
        || text.starts_with('#') && !text.starts_with("#[");
    if comment { Begins::Comment } else { Begins::Code }
}

fn lead(lines: &[&str], start: usize) -> usize {
    let above = lines.get(..start).unwrap_or_default();
    start - above.iter().rev().take_while(|line| begins(line) != Begins::Code).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "use a;\n\n/// Reads.\n/// More.\n#[inline]\nfn read() {}\n\nstruct Parser;\n\nimpl Parser {\n    // Parses.\n    fn parse(&self) {\n        read()\n    }\n}\n\nfn parse() {}\n";

    #[test]
    fn definitions_have_lines_and_leads() {
        let found = definitions("a.rs", TEXT);
        let read = &named(&found, "read()")[0];
        assert_eq!((read.lead, read.lines.end), (2, 6));
        let lines = super::super::anchor::lines(TEXT);
        let starts = [Begins::Comment, Begins::Attribute, Begins::Code].map(|with| read.start(&lines, with));
        assert_eq!(starts, [2, 4, 5]);
        let python = "import a\n\n\n# About f.\n@a.b\ndef f():\n    pass\n";
        let f = &definitions("a.py", python)[0];
        let lines = super::super::anchor::lines(python);
        let starts = [Begins::Comment, Begins::Attribute, Begins::Code].map(|with| f.start(&lines, with));
        assert_eq!(starts, [3, 4, 5]);
        let method = named(&found, "Parser::parse");
        assert_eq!((method.len(), method[0].lead, method[0].lines.clone()), (1, 10, 11..14));
        assert_eq!(named(&found, "parse").len(), 2);
        assert_eq!(named(&found, "module::read").len(), 1);
        assert_eq!(around(&found, 12).unwrap().full_name(), "Parser.parse");
        assert_eq!(definitions("a.txt", TEXT), []);
    }
}
