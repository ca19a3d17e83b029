//! Owns what the look of a line or a word tells: an import, a name of the source, the number of an
//! issue. Pure. It must not know weights or what exists in the index.

use crate::token::Word;

/// `#1234` names an issue, not a word of the source.
pub fn is_number_of_issue(line: &str, word: Word) -> bool {
    line[..word.start].ends_with('#') && word.text.bytes().all(|byte| byte.is_ascii_digit())
}

/// An import of Python, JavaScript, Java or Rust, behind a prompt or not.
pub fn is_import(line: &str) -> bool {
    let line = line.trim_start();
    let line =
        if line.starts_with("In [") { line.split_once("]: ").map_or(line, |(_, code)| code) } else { line };
    let line = line.trim_start_matches(">>> ");
    line.starts_with("import ")
        || line.starts_with("use ")
        || line.starts_with("from ") && line.contains(" import ")
}

/// Whether a word stands in backticks or is written as names are.
pub fn is_code_like(line: &str, word: Word) -> bool {
    is_quoted(line, word.start, word.text.len()) || looks_like_code(line, word.start, word.text)
}

/// Bytes of a line that a person may have quoted something in; it is counted through for each word.
const LONGEST_LINE: usize = 4096;

fn is_quoted(line: &str, start: usize, length: usize) -> bool {
    if line.len() > LONGEST_LINE {
        return false;
    }
    let before = line[..start].matches('`').count();
    before % 2 == 1 && line[start + length..].contains('`')
}

/// An underscore inside, a capital after a small letter, a call, a part of `a.b` or `a::b`, or of a
/// flag such as `--no-color`.
fn looks_like_code(line: &str, start: usize, word: &str) -> bool {
    let after = &line[start + word.len()..];
    let before = &line[..start];
    let inner = word.trim_matches('_');
    let mixed = word.chars().zip(word.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase());
    let continues = |text: &str| text.chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_');
    let joined = after.strip_prefix('.').is_some_and(continues)
        || after.strip_prefix("::").is_some_and(continues)
        || before.ends_with("::")
        || (before.ends_with('.')
            && before[..before.len() - 1].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    let hyphenated = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '-').map_or(0, |at| {
        // The found character may have several bytes.
        at + before[at..].chars().next().map_or(0, char::len_utf8)
    });
    let flag = before[hyphenated..].starts_with("--");
    inner.contains('_') || inner.len() < word.len() || mixed || after.starts_with('(') || joined || flag
}
