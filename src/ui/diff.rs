//! One hunk as lines for a person: line numbers, signs, colours.
//!
//! Pure. Whoever signs must see everything, so nothing is ever cut: long lines fold, and what a
//! screen would not show (tabs, spaces at a line's end) is drawn on the lines that change. It must
//! not know who asks about the hunk, or what the answer is.

use countersign_index::{TokenKind, highlight};

use super::text::{Line, Tone};
use crate::protocol::HunkReview;

/// Below this many columns there is one column of line numbers instead of two.
const NARROW: usize = 60;
/// Columns between tab stops.
const TAB: usize = 4;

/// A line of a hunk by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Context,
    Added,
    Removed,
    /// `\ No newline at end of file`
    Note,
    /// No sign we know. It is shown as it is, loudly.
    Unknown,
}

/// The hunk's lines, without its header, in at most `columns` columns. A folded line goes on below
/// an empty number and a `>` where the sign was, so that text cannot pass for a line of its own. The
/// file's `path` says what language it is in.
pub fn hunk(hunk: &HunkReview, path: &str, columns: usize) -> Vec<Line> {
    let (mut old, mut new) = starts(&hunk.header);
    let last = hunk.lines.len() as u64 + old.max(new);
    let digits = last.to_string().len();
    let changed = changed_parts(&hunk.lines);
    let tokens = tokens(path, &hunk.lines);
    let mut lines = Vec::new();
    for (at, line) in hunk.lines.iter().enumerate() {
        let (kind, sign, text) = split(line);
        let (left, right) = match kind {
            Kind::Context => (Some(old), Some(new)),
            Kind::Removed => (Some(old), None),
            Kind::Added => (None, Some(new)),
            Kind::Note | Kind::Unknown => (None, None),
        };
        old += u64::from(matches!(kind, Kind::Context | Kind::Removed));
        new += u64::from(matches!(kind, Kind::Context | Kind::Added));

        let numbers = if columns < NARROW {
            number(right.or(left), digits)
        } else {
            format!("{} {}", number(left, digits), number(right, digits))
        };
        let tone = match kind {
            Kind::Context => Tone::Plain,
            Kind::Added => Tone::Added,
            Kind::Removed => Tone::Removed,
            Kind::Note => Tone::Dim,
            Kind::Unknown => Tone::Warning,
        };
        let room = columns.saturating_sub(numbers.len() + 3).max(8);
        let body = body(kind, text, changed[at].as_ref(), &tokens[at]);
        for (piece, part) in body.fold(room).into_iter().enumerate() {
            let gutter = match piece {
                0 => Line::new(Tone::Dim, &numbers).and(tone, &format!(" {sign} ")),
                _ => Line::new(Tone::Dim, &format!("{} > ", " ".repeat(numbers.len()))),
            };
            lines.push(gutter.join(part));
        }
    }
    lines
}

fn number(number: Option<u64>, digits: usize) -> String {
    match number {
        Some(number) => format!("{number:>digits$}"),
        None => " ".repeat(digits),
    }
}

/// First old and new line number of `@@ -a,b +c,d @@`; 1 and 1 for a header such as `delete file`.
pub(super) fn starts(header: &str) -> (u64, u64) {
    let parse = || {
        let mut words = header.strip_prefix("@@ ")?.split(' ');
        let mut start = |sign: char| {
            let word = words.next()?.strip_prefix(sign)?;
            word.split(',').next()?.parse::<u32>().ok()
        };
        let old = start('-')?;
        Some((u64::from(old), u64::from(start('+')?)))
    };
    parse().unwrap_or((1, 1))
}

/// Sign and text of a diff line. An empty line is context whose one space was stripped on the way.
fn split(line: &str) -> (Kind, char, &str) {
    match line.chars().next() {
        None => (Kind::Context, ' ', ""),
        Some(' ') => (Kind::Context, ' ', &line[1..]),
        Some('+') => (Kind::Added, '+', &line[1..]),
        Some('-') => (Kind::Removed, '-', &line[1..]),
        Some('\\') => (Kind::Note, '\\', &line[1..]),
        Some(_) => (Kind::Unknown, '?', line),
    }
}

/// The bytes of a line's text that differ from its counterpart.
type Part = std::ops::Range<usize>;

/// Pairs the nth removed with the nth added line where a run of one is followed by an equally long
/// run of the other, and gives what lies between their common start and common end.
fn changed_parts(lines: &[String]) -> Vec<Option<Part>> {
    let kind = |at: usize| lines.get(at).map(|line| split(line).0);
    let run = |from: usize, wanted: Kind| (from..).take_while(|at| kind(*at) == Some(wanted)).count();
    let mut parts = vec![None; lines.len()];
    let mut at = 0;
    while at < lines.len() {
        let removed = run(at, Kind::Removed);
        let added = run(at + removed, Kind::Added);
        if removed > 0 && removed == added {
            for pair in at..at + removed {
                let (before, after) = (split(&lines[pair]).2, split(&lines[pair + removed]).2);
                if let Some((old, new)) = difference(before, after) {
                    parts[pair] = Some(old);
                    parts[pair + removed] = Some(new);
                }
            }
        }
        at += (removed + added).max(1);
    }
    parts
}

/// What differs between two lines, when they share enough for that to help a reader.
fn difference(before: &str, after: &str) -> Option<(Part, Part)> {
    let shared = |pairs: &mut dyn Iterator<Item = (char, char)>| -> usize {
        pairs.take_while(|(old, new)| old == new).map(|(old, _)| old.len_utf8()).sum()
    };
    let start = shared(&mut before.chars().zip(after.chars()));
    let (old, new) = (&before[start..], &after[start..]);
    let end = shared(&mut old.chars().rev().zip(new.chars().rev()));
    let helps = (start + end) * 2 >= before.len().max(after.len());
    helps.then(|| (start..before.len() - end, start..after.len() - end))
}

/// The tokens of each line's text. The old and the new text of the hunk are read each by itself, as far
/// as a parser can make something of a part of a file.
fn tokens(path: &str, lines: &[String]) -> Vec<Vec<(Part, TokenKind)>> {
    let mut tokens = vec![Vec::new(); lines.len()];
    for of in [Kind::Removed, Kind::Added] {
        let (mut text, mut places) = (String::new(), Vec::new());
        for (at, line) in lines.iter().enumerate() {
            let (kind, _, line) = split(line);
            if kind == of || kind == Kind::Context {
                places.push((at, text.len()..text.len() + line.len()));
                text.push_str(line);
                text.push('\n');
            }
        }
        let found = highlight(path, &text);
        for (at, place) in places {
            let first = found.partition_point(|token| token.range.end <= place.start);
            let here = found[first..].iter().take_while(|token| token.range.start < place.end);
            let within = |token: &countersign_index::Token| {
                let (start, end) = (token.range.start.max(place.start), token.range.end.min(place.end));
                (start - place.start..end - place.start, token.kind)
            };
            tokens[at] = here.map(within).collect();
        }
    }
    tokens
}

/// The text of a line with everything in it drawn.
fn body(kind: Kind, text: &str, changed: Option<&Part>, tokens: &[(Part, TokenKind)]) -> Line {
    let (tone, strong) = match kind {
        Kind::Added => (Tone::Added, Tone::AddedPart),
        Kind::Removed => (Tone::Removed, Tone::RemovedPart),
        Kind::Context => (Tone::Plain, Tone::Plain),
        Kind::Note => (Tone::Dim, Tone::Dim),
        Kind::Unknown => (Tone::Warning, Tone::Warning),
    };
    let changes = matches!(kind, Kind::Added | Kind::Removed);
    let ends = text.trim_end_matches(' ').len();
    let mut line = Line::default();
    let mut column = 0;
    for (at, character) in text.char_indices() {
        let token = tokens.get(tokens.partition_point(|(part, _)| part.end <= at));
        let token = token.filter(|(part, _)| part.start <= at).map(|(_, token)| *token);
        let tone = match (kind, token) {
            _ if changed.is_some_and(|part| part.contains(&at)) => strong,
            (Kind::Context, Some(token)) => Tone::Context(token),
            (Kind::Added, Some(token)) => Tone::AddedToken(token),
            (Kind::Removed, Some(token)) => Tone::RemovedToken(token),
            _ => tone,
        };
        let drawn = match character {
            '\t' => {
                let mark = if changes { "→" } else { " " };
                Line::new(tone, mark).and(tone, &" ".repeat(TAB - 1 - column % TAB))
            }
            ' ' if changes && at >= ends => Line::new(tone, "·"),
            _ => Line::new(tone, character.encode_utf8(&mut [0; 4])),
        };
        column += drawn.width();
        line = line.join(drawn);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, lines: &[&str], columns: usize, expected: &str) {
        let review = HunkReview {
            id: 1,
            header: header.into(),
            lines: lines.iter().map(|line| line.to_string()).collect(),
            tier: "exact".into(),
        };
        let shown = hunk(&review, "a.rs", columns);
        assert!(shown.iter().all(|line| line.width() <= columns), "wider than {columns}");
        let text: Vec<String> = shown.iter().map(Line::text).collect();
        assert_eq!(text.join("\n"), expected.trim_matches('\n'));
    }

    #[test]
    fn two_columns_of_numbers_at_80() {
        check(
            "@@ -98,4 +98,5 @@ fn parse",
            &[
                " fn parse() {",
                "-    old();",
                "+    new();",
                "+    more();",
                " }",
                "\\ No newline at end of file",
            ],
            80,
            "
 98  98   fn parse() {
 99     -     old();
     99 +     new();
    100 +     more();
100 101   }
        \\  No newline at end of file",
        );
    }

    #[test]
    fn one_column_of_numbers_and_folding_at_40() {
        check(
            "@@ -7 +7 @@",
            &["-short", "+let message = \"a line that does not fit in forty columns\";"],
            40,
            "
7 - short
7 + let message = \"a line that does not 
  > fit in forty columns\";",
        );
    }

    #[test]
    fn what_a_screen_hides_is_drawn_on_changed_lines() {
        check(
            "@@ -1,2 +1,2 @@",
            &[" \ta\tb ", "-\tx", "+    x  ", ""],
            80,
            "
1 1       a   b 
2   - →   x
  2 +     x··
3 3   ",
        );
    }

    #[test]
    fn files_without_ranges_are_numbered_from_one() {
        check("delete file", &["-a", "-b"], 80, "1   - a\n2   - b");
        check("@@ -0,0 +1,1 @@", &["+a"], 80, "  1 + a");
        check("@@ -x,y +z @@", &["+a"], 40, "1 + a");
    }

    #[test]
    fn nothing_is_cut_or_obeyed() {
        let long = format!("+{}", "x".repeat(5_000));
        let hostile = "+\u{1b}[2Ka\u{202e}b\rc";
        let review = HunkReview {
            id: 1,
            header: "@@ -1,0 +1,3 @@".into(),
            lines: vec![long, hostile.into(), "~no sign".into()],
            tier: "exact".into(),
        };
        for columns in [0, 1, 20, 40, 80, 200] {
            let text: String = hunk(&review, "a.rs", columns).iter().map(Line::text).collect();
            assert_eq!(text.matches('x').count(), 5_000);
            assert!(text.chars().all(|c| !c.is_control() && c != '\u{202e}'));
            assert!(text.contains("? ~"), "an unknown sign is shown: {text}");
        }
    }

    #[test]
    fn code_is_coloured_by_what_it_is_and_what_happens_to_it() {
        let painted = |path: &str, line: &str| {
            let review = HunkReview {
                id: 1,
                header: "@@ -1 +1 @@".into(),
                lines: vec![" /* a".into(), " b */".into(), line.into()],
                tier: "exact".into(),
            };
            let lines = hunk(&review, path, 40);
            lines.iter().map(|line| line.paint(super::super::text::Colour::On)).collect::<Vec<_>>()
        };
        let rust = painted("a.rs", "+let a = \"b\";");
        assert!(rust[1].contains("\u{1b}[2;3mb */"), "a comment of two lines: {rust:?}");
        assert!(rust[2].contains("\u{1b}[1;32mlet") && rust[2].contains("\u{1b}[3;32m\"b\""), "{rust:?}");
        let plain = painted("a.txt", "+let a = \"b\";");
        assert!(plain[2].ends_with("\u{1b}[32mlet a = \"b\";\u{1b}[0m"), "{plain:?}");
    }

    #[test]
    fn marks_only_the_part_that_changed() {
        let lines = ["-let a = 1;", "-gone", "+let a = 22;", "+entirely new"].map(String::from);
        assert_eq!(changed_parts(&lines), [Some(8..9), None, Some(8..10), None]);
        assert_eq!(difference("äbc", "äxc"), Some((2..3, 2..3)));
        assert_eq!(difference("aa", "aaa"), Some((2..2, 2..3)));
        assert_eq!(difference("one", "two"), None);
        let uneven = ["-a", "+a", "+b"].map(String::from);
        assert_eq!(changed_parts(&uneven), [None, None, None]);
    }
}
