//! Tools that look for something: `search`, `regex`, `references`.

use crate::retrieve::Library;
use crate::tool::MOST_LINES;

/// Most parts of files that a search returns.
const HITS: usize = 5;
/// Lines shown of each.
const HIT_LINES: usize = 12;
/// Longest line that is shown whole; generated files have lines of megabytes.
const LINE_BYTES: usize = 300;

pub(super) fn search(library: &Library, text: &str) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for hit in library.index.search(text, HITS)? {
        lines.push(format!("{}:{}-{}", hit.path, hit.start_line, hit.end_line));
        let all: Vec<&str> = hit.text.lines().collect();
        lines.extend(all.iter().take(HIT_LINES).map(|line| format!("    {}", short(line))));
        if all.len() > HIT_LINES {
            lines.push(format!("    ({} more lines; use read)", all.len() - HIT_LINES));
        }
    }
    Ok(lines)
}

pub(super) fn regex(library: &Library, pattern: &str) -> anyhow::Result<Vec<String>> {
    let regex = match regex::RegexBuilder::new(pattern).size_limit(1 << 20).build() {
        Ok(regex) => regex,
        Err(error) => return Ok(vec![format!("{pattern:?} is not a regular expression: {error}")]),
    };
    let mut lines = Vec::new();
    for file in library.index.files()? {
        let Some(text) = super::show::text(library, &file.path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if regex.is_match(line) {
                lines.push(format!("{}:{}: {}", file.path, number + 1, short(line)));
            }
        }
        // Ten screens are enough to say that the expression is too wide.
        if lines.len() > 10 * MOST_LINES {
            break;
        }
    }
    Ok(lines)
}

pub(super) fn references(library: &Library, name: &str) -> anyhow::Result<Vec<String>> {
    let name = name.trim_matches('`').trim_end_matches("()");
    let references = library.index.references(name)?;
    Ok(references
        .into_iter()
        .map(|found| format!("{}:{}: {}", found.path, found.line, short(found.text.trim())))
        .collect())
}

/// A line, or its beginning and the number of bytes that are missing.
fn short(line: &str) -> String {
    match line.char_indices().map(|(at, _)| at).find(|at| *at >= LINE_BYTES) {
        Some(at) => format!("{} ({} more bytes)", &line[..at], line.len() - at),
        None => line.to_owned(),
    }
}
