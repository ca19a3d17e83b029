//! The parts of a file that a change touches, cut where items of its top level begin. If they hold no syntax error
//! before and after, the whole file cannot have one more, and needs no parser: that takes most of the time of a
//! large patch. Whatever is not plain is left to the whole files. Pure.

use similar::DiffOp;

use super::anchor;

/// Files whose top level is made of items that begin with a word at the first column. Others begin with a mark
/// without which the rest is another language (PHP), or are one item.
const ENDINGS: [&str; 17] = [
    "rs", "py", "go", "java", "kt", "c", "h", "cc", "cpp", "cs", "js", "ts", "rb", "swift", "scala", "lua",
    "zig",
];

/// Shorter texts are parsed as fast as they are cut.
const LEAST_BYTES: usize = 2_000;

/// Words that go on with the item before.
const GOES_ON: [&str; 18] = [
    "else", "elif", "elsif", "elseif", "except", "rescue", "ensure", "finally", "catch", "case", "default",
    "end", "where", "when", "and", "or", "then", "do",
];

/// What begins or ends a text or a comment of several lines, in any of the languages: with one of these in a changed
/// line, what lies behind it may read otherwise.
const SPANS: [&str; 14] =
    ["\"\"\"", "'''", "`", "/*", "*/", "<<", "#\"", "\"#", "@\"", "=begin", "=end", "[[", "]]", "[="];

/// A touched part, before and after.
pub(super) type Part = (String, String);

/// The touched parts, each of which is to be whole for itself: what one of them leaves open another one might close.
/// `None` if they are most of the text, or not plain.
pub(super) fn touched(path: &str, before: &str, after: &str) -> Option<Vec<Part>> {
    let ending = path.rsplit_once('.')?.1;
    if after.len() < LEAST_BYTES || !ENDINGS.contains(&ending) {
        return None;
    }
    let (old, new) = (anchor::lines(before), anchor::lines(after));
    let rows = rows(&old, &new);
    let is_changed = |row: &Row<'_>| row.old.is_none() || row.new.is_none();
    let mut changed = rows.iter().filter(|row| is_changed(row)).filter_map(|row| row.old.or(row.new));
    if changed.any(|line| !is_plain(line)) {
        return None;
    }
    let begins_item = |row: &Row<'_>| !is_changed(row) && row.new.is_some_and(begins_item);
    let mut parts: Vec<Part> = Vec::new();
    let mut at = 0;
    while let Some(first) = rows[at..].iter().position(is_changed).map(|first| at + first) {
        let start = rows[at..first].iter().rposition(begins_item).map_or(at, |start| at + start);
        // With the item behind: it must be able to follow.
        let mut next = (first..rows.len()).filter(|row| begins_item(&rows[*row])).skip(1);
        let end = next.next().unwrap_or(rows.len());
        let part = &rows[start..end];
        parts.push((
            part.iter().filter_map(|row| row.old).collect(),
            part.iter().filter_map(|row| row.new).collect(),
        ));
        at = end;
    }
    let bytes: usize = parts.iter().map(|(old, new)| old.len() + new.len()).sum();
    (2 * bytes <= after.len()).then_some(parts)
}

/// A line of either text, or of both.
struct Row<'a> {
    old: Option<&'a str>,
    new: Option<&'a str>,
}

fn rows<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Row<'a>> {
    let mut rows = Vec::with_capacity(old.len().max(new.len()));
    for op in anchor::diff(old, new) {
        let (olds, news) = (&old[op.old_range()], &new[op.new_range()]);
        match op {
            DiffOp::Equal { .. } => {
                rows.extend(olds.iter().zip(news).map(|(old, new)| Row { old: Some(old), new: Some(new) }));
            }
            _ => {
                rows.extend(olds.iter().map(|old| Row { old: Some(old), new: None }));
                rows.extend(news.iter().map(|new| Row { old: None, new: Some(new) }));
            }
        }
    }
    rows
}

/// Whether a line cannot change how the lines behind it are read, beyond what a parser says of its own item.
fn is_plain(line: &str) -> bool {
    !line.trim_end().ends_with('\\') && !SPANS.iter().any(|span| line.contains(span))
}

fn begins_item(line: &str) -> bool {
    let word = line.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    let begins = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '@');
    begins && !GOES_ON.contains(&word)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::edit::grammar;

    fn source(functions: usize) -> String {
        (0..functions).fold(String::new(), |mut text, n| {
            let _ = write!(text, "def f{n}(a):\n    if a:\n        return [a, {n}]\n    return ({n})\n\n\n");
            text
        })
    }

    #[test]
    fn what_is_touched_is_cut_where_items_begin() {
        let before = source(60);
        let after = before.replace("(7)", "(8)").replace("def f30(a)", "def f30(b)") + "x = 1\n";
        let parts = touched("a.py", &before, &after).unwrap();
        let [(one, _), (two, changed), (end, added)] = &parts[..] else { panic!("{parts:?}") };
        assert!(
            one.starts_with("def f7(a):") && one.contains("def f8(a):") && !one.contains("def f9("),
            "{one}"
        );
        assert!(two.starts_with("def f29(a):") && changed.contains("def f30(b)"), "{two}{changed}");
        assert!(end.starts_with("def f59(a):") && added.ends_with("x = 1\n"), "{end}{added}");
    }

    #[test]
    fn what_is_not_plain_is_left_whole() {
        let before = source(60);
        for (from, to) in [
            ("    return (7)\n", "    return \"\"\"\n"),
            ("    return (7)\n", "    return 7 + \\\n"),
            ("def", "async def"),
        ] {
            assert_eq!(touched("a.py", &before, &before.replace(from, to)), None, "{to}");
        }
        let after = before.replace("(7)", "(8)");
        assert!(touched("a.py", &before, &after).is_some());
        assert_eq!(touched("a.php", &before, &after), None);
        assert_eq!(touched("a.py", &source(9), &source(9).replace("(7)", "(8)")), None);
    }

    /// Whatever is done to sources of every language: if their parts stay whole, they have no error more.
    #[test]
    fn parts_without_errors_are_of_files_without_more() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/index/tests/languages");
        let mut random = 7_u64;
        let mut next = move |below: usize| {
            // Knuth's linear congruential generator.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below.max(1)
        };
        let (mut accepted, mut refused) = (0, 0);
        for language in std::fs::read_dir(folder).unwrap() {
            for file in std::fs::read_dir(language.unwrap().path()).unwrap() {
                let path = file.unwrap().path().display().to_string();
                if !ENDINGS.iter().any(|ending| path.ends_with(&format!(".{ending}"))) {
                    continue;
                }
                let once = std::fs::read_to_string(&path).unwrap();
                let before = once.repeat(8_000_usize.div_ceil(once.len()));
                // Where a parser is lost already, what it makes of the rest is chance.
                if grammar::syntax(&path, &before).is_none_or(|syntax| syntax.errors > 0) {
                    continue;
                }
                for _ in 0..60 {
                    let mut lines: Vec<String> =
                        anchor::lines(&before).into_iter().map(str::to_owned).collect();
                    for _ in 0..=next(3) {
                        let at = next(lines.len());
                        let other = lines[next(lines.len())].clone();
                        match next(5) {
                            0 => drop(lines.remove(at)),
                            1 => lines.insert(at, other),
                            2 => lines[at] = other,
                            3 => {
                                let marks: Vec<usize> = lines[at]
                                    .match_indices(|c: char| "(){}[]\"';:,#".contains(c))
                                    .map(|(at, _)| at)
                                    .collect();
                                if !marks.is_empty() {
                                    lines[at].remove(marks[next(marks.len())]);
                                }
                            }
                            _ => lines[at].insert(0, ['(', '}', '"', '\'', '#', ' ', 'x', '/'][next(8)]),
                        }
                    }
                    let after = lines.concat();
                    let Some(parts) = touched(&path, &before, &after) else { continue };
                    let is_clean =
                        |text: &str| grammar::syntax(&path, text).is_some_and(|syntax| syntax.errors == 0);
                    if parts.iter().all(|(old, new)| is_clean(new) && is_clean(old)) {
                        accepted += 1;
                        let has = grammar::syntax(&path, &after).map_or(0, |syntax| syntax.errors);
                        assert_eq!(has, 0, "{path} {parts:#?}");
                    } else {
                        refused += 1;
                    }
                }
            }
        }
        assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} not");
    }
}
