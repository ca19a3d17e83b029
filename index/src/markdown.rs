//! Owns the headings of Markdown, as symbols. A scanner of lines: a grammar would find no more of
//! them. Pure.

use crate::line::Lines;
use crate::symbol::{Symbol, SymbolKind};

/// ATX (`## Title`) and setext (underlined) headings outside fenced code. A heading reaches to the
/// next one of its level or above; its container is the heading around it.
pub fn headings(source: &str, lines: &Lines) -> Vec<Symbol> {
    let mut symbols: Vec<Symbol> = Vec::new();
    // Headings that are still open, outer first: a stack, so that a file of headings only is linear.
    let mut open: Vec<(usize, usize)> = Vec::new();
    for (line, level, title) in scan(lines) {
        while open.last().is_some_and(|&(_, outer)| outer >= level) {
            if let Some((at, _)) = open.pop() {
                close(&mut symbols[at], line - 1, lines);
            }
        }
        open.push((symbols.len(), level));
        let container = open.len().checked_sub(2).map(|outer| symbols[open[outer].0].name.clone());
        symbols.push(Symbol {
            signature: format!("{} {title}", "#".repeat(level)),
            name: title,
            kind: SymbolKind::Heading,
            container,
            start_line: line,
            end_line: lines.count(),
            start_byte: lines.start(line),
            end_byte: source.len() as u32,
            doc: String::new(),
        });
    }
    symbols
}

fn close(heading: &mut Symbol, end_line: u32, lines: &Lines) {
    heading.end_line = end_line;
    heading.end_byte = lines.end(end_line);
}

/// Line, level and title of each heading.
fn scan(lines: &Lines) -> Vec<(u32, usize, String)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    let mut is_commented = false;
    for line in behind_front_matter(lines)..=lines.count() {
        let text = lines.text(line).trim_end();
        let inner = text.trim_start();
        if fence.is_none() && (is_commented || inner.starts_with("<!--")) {
            is_commented = !inner.contains("-->");
            continue;
        }
        let mark = ["```", "~~~"].into_iter().find(|mark| inner.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            _ => {}
        }
        if fence.is_some() || mark.is_some() {
            continue;
        }
        let level = text.bytes().take_while(|&byte| byte == b'#').count();
        if (1..=6).contains(&level) && text[level..].starts_with([' ', '\t']) {
            let title = text[level..].trim().trim_end_matches('#').trim_end();
            push(&mut found, line, level, title);
        } else if line > 1 && text.len() >= 2 && (is_run(text, b'=') || is_run(text, b'-')) {
            let above = lines.text(line - 1).trim();
            let is_title = above.starts_with(char::is_alphanumeric)
                && found.last().is_none_or(|heading| heading.0 < line - 1);
            if is_title {
                push(&mut found, line - 1, if text.starts_with('=') { 1 } else { 2 }, above);
            }
        }
    }
    found
}

/// First line behind a block of settings between `---` at the beginning of the text.
fn behind_front_matter(lines: &Lines) -> u32 {
    let is_rule = |line: u32| lines.text(line).trim_end() == "---";
    let end = if is_rule(1) { (2..=lines.count()).find(|&line| is_rule(line)) } else { None };
    end.map_or(1, |end| end + 1)
}

fn push(found: &mut Vec<(u32, usize, String)>, line: u32, level: usize, title: &str) {
    let title: String = title.chars().take(200).collect();
    if !title.is_empty() {
        found.push((line, level, title));
    }
}

fn is_run(text: &str, byte: u8) -> bool {
    text.bytes().all(|other| other == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[(&str, u32, u32, Option<&str>)]) {
        let symbols = headings(source, &Lines::new(source));
        let seen: Vec<_> = symbols
            .iter()
            .map(|s| (s.name.as_str(), s.start_line, s.end_line, s.container.as_deref()))
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn headings_nest_by_level() {
        check(
            "# A\ntext\n## B\n### C ###\n## D\n",
            &[("A", 1, 5, None), ("B", 3, 4, Some("A")), ("C", 4, 4, Some("B")), ("D", 5, 5, Some("A"))],
        );
        check("Title\n=====\n\nSub\n---\n", &[("Title", 1, 5, None), ("Sub", 4, 5, Some("Title"))]);
    }

    #[test]
    fn what_only_looks_like_a_heading() {
        check("```sh\n# comment\n```\n#hashtag\n####### seven\n\n---\n- item\n---\n", &[]);
        check("---\ntitle: a\n---\n# b\n", &[("b", 4, 4, None)]);
        check("<!--\n# in\n-->\n<!-- # in -->\n", &[]);
        check("~~~\n```\n# in\n~~~\n# out\n", &[("out", 5, 5, None)]);
    }
}
