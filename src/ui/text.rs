//! Styled lines for people: the one door through which text reaches the screen.
//!
//! Every span of a [`Line`] passes `visible`, so that a renderer cannot forget to escape what a
//! model, a file or a server said. This file must not know what an event is.

use countersign_index::TokenKind;
use unicode_width::UnicodeWidthChar;

use crate::sanitize::visible;

/// Whether lines carry colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    On,
    Off,
}

/// What a span means; how that looks is decided in one place, `Tone::code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Dim,
    Strong,
    Heading,
    Good,
    Warning,
    Bad,
    Added,
    Removed,
    /// The part of an added or removed line that differs from its counterpart.
    AddedPart,
    RemovedPart,
    /// A token of source code.
    Context(TokenKind),
    AddedToken(TokenKind),
    RemovedToken(TokenKind),
}

impl Tone {
    /// The parameters of the terminal's "select graphic rendition" sequence.
    fn code(self) -> Option<&'static str> {
        match self {
            Tone::Plain => None,
            Tone::Dim => Some("2"),
            Tone::Strong => Some("1"),
            Tone::Heading => Some("1;36"),
            Tone::Good | Tone::Added => Some("32"),
            Tone::Warning => Some("33"),
            Tone::Bad | Tone::Removed => Some("31"),
            Tone::AddedPart => Some("1;4;32"),
            Tone::RemovedPart => Some("1;4;31"),
            Tone::Context(TokenKind::Keyword) => Some("35"),
            Tone::Context(TokenKind::Text) => Some("33"),
            Tone::Context(TokenKind::Comment) => Some("2;3"),
            Tone::Context(TokenKind::Number | TokenKind::Constant) => Some("36"),
            Tone::Context(TokenKind::Type) => Some("34"),
            // Green and red say what happens to a line; its tokens differ by weight and slant only.
            Tone::AddedToken(TokenKind::Keyword) => Some("1;32"),
            Tone::AddedToken(TokenKind::Text) => Some("3;32"),
            Tone::AddedToken(TokenKind::Comment) => Some("2;3;32"),
            Tone::AddedToken(_) => Some("32"),
            Tone::RemovedToken(TokenKind::Keyword) => Some("1;31"),
            Tone::RemovedToken(TokenKind::Text) => Some("3;31"),
            Tone::RemovedToken(TokenKind::Comment) => Some("2;3;31"),
            Tone::RemovedToken(_) => Some("31"),
        }
    }
}

/// One line of output, without its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    spans: Vec<(Tone, String)>,
}

impl Line {
    /// A line of one span; more follow with [`Line::and`].
    pub fn new(tone: Tone, text: &str) -> Line {
        Line::default().and(tone, text)
    }

    /// Appends a span. Control, bidirectional and zero-width characters are escaped, line ends
    /// included: a span never becomes two lines.
    pub fn and(mut self, tone: Tone, text: &str) -> Line {
        let text = visible(text).replace('\t', "    ").replace('\n', "\\n").replace('\r', "\\r");
        if !text.is_empty() {
            self.spans.push((tone, text));
        }
        self
    }

    /// Appends the spans of another line.
    pub fn join(mut self, other: Line) -> Line {
        self.spans.extend(other.spans);
        self
    }

    /// Columns that the line takes.
    pub fn width(&self) -> usize {
        self.spans.iter().map(|(_, text)| width(text)).sum()
    }

    /// The text alone.
    pub fn text(&self) -> String {
        self.spans.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The text with its colours, each span closed.
    pub fn paint(&self, colour: Colour) -> String {
        let mut painted = String::new();
        for (tone, text) in &self.spans {
            match (colour, tone.code()) {
                (Colour::On, Some(code)) => painted.push_str(&format!("\x1b[{code}m{text}\x1b[0m")),
                _ => painted.push_str(text),
            }
        }
        painted
    }

    /// Breaks between words where it can; following lines are indented by `hanging` columns.
    /// Nothing but the spaces at the breaks is lost.
    pub fn wrap(&self, columns: usize, hanging: usize) -> Vec<Line> {
        let columns = columns.max(hanging + 8);
        let mut lines = Vec::new();
        let mut rest: &[(Tone, char)] = &self.characters();
        let mut indent = 0;
        loop {
            let room = columns - indent;
            let fits = prefix(rest, room);
            if fits == rest.len() {
                lines.push(Line::gather(indent, rest));
                return lines;
            }
            let blank = |at: &usize| rest[*at].1 == ' ';
            // Only a space that follows some text is a break; leading spaces are indentation.
            let text_starts = rest[..fits].iter().position(|(_, c)| *c != ' ').unwrap_or(fits + 1);
            let space = (text_starts..=fits).rev().find(blank);
            let (end, next) = match space {
                Some(space) => {
                    let next = (space..rest.len()).find(|at| !blank(at)).unwrap_or(rest.len());
                    (space, next)
                }
                None => (fits, fits),
            };
            lines.push(Line::gather(indent, &rest[..end]));
            rest = &rest[next..];
            if rest.is_empty() {
                return lines;
            }
            indent = hanging;
        }
    }

    /// Breaks at exactly `columns`, for text whose spaces matter. The pieces joined are the line.
    pub fn fold(&self, columns: usize) -> Vec<Line> {
        let mut rest: &[(Tone, char)] = &self.characters();
        let mut lines = Vec::new();
        loop {
            let fits = prefix(rest, columns);
            lines.push(Line::gather(0, &rest[..fits]));
            rest = &rest[fits..];
            if rest.is_empty() {
                return lines;
            }
        }
    }

    fn characters(&self) -> Vec<(Tone, char)> {
        self.spans.iter().flat_map(|(tone, text)| text.chars().map(|c| (*tone, c))).collect()
    }

    fn gather(indent: usize, characters: &[(Tone, char)]) -> Line {
        let mut spans: Vec<(Tone, String)> = Vec::new();
        if indent > 0 {
            spans.push((Tone::Plain, " ".repeat(indent)));
        }
        for (tone, character) in characters {
            match spans.last_mut() {
                Some((last, text)) if last == tone => text.push(*character),
                _ => spans.push((*tone, character.to_string())),
            }
        }
        Line { spans }
    }
}

/// How many of `characters` fit in `columns`: at least one, so that whoever loops gets on.
fn prefix(characters: &[(Tone, char)], columns: usize) -> usize {
    let mut used = 0;
    for (at, (_, character)) in characters.iter().enumerate() {
        used += character.width().unwrap_or(0);
        if used > columns && at > 0 {
            return at;
        }
    }
    characters.len()
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// `1240` as `1,240`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 hunk`, `2 hunks`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number))
}

/// A duration in the unit a person would use.
pub fn duration(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("{} min {} s", thousands(millis / 60_000), millis % 60_000 / 1_000),
    }
}

/// How full a window is, in `cells` cells: anything used shows at least one, and only a full
/// window shows all.
pub fn meter(used: u32, window: u32, cells: u32) -> String {
    let full = if used >= window {
        cells
    } else {
        let share = (u64::from(used) * u64::from(cells)).div_ceil(u64::from(window));
        (share as u32).min(cells.saturating_sub(1))
    };
    format!("[{}{}]", "#".repeat(full as usize), "-".repeat((cells - full) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[Line]) -> Vec<String> {
        lines.iter().map(Line::text).collect()
    }

    #[test]
    fn hostile_text_cannot_leave_its_line_or_colour() {
        let line = Line::new(Tone::Dim, "a\x1b[2J\r\nb\u{202e}c\u{200b}\u{7}\u{9b}");
        assert!(line.text().chars().all(|c| !c.is_control()), "{:?}", line.text());
        assert!(!line.text().contains(['\u{202e}', '\u{200b}']));
        let painted = line.paint(Colour::On);
        assert_eq!(painted.matches('\x1b').count(), 2, "only our own sequences: {painted:?}");
        assert_eq!(line.paint(Colour::Off), line.text());
    }

    #[test]
    fn wrap_breaks_between_words_and_keeps_them_all() {
        let line = Line::new(Tone::Plain, "  one two three").and(Tone::Bad, " four fivesixseveneight");
        assert_eq!(
            texts(&line.wrap(14, 4)),
            ["  one two", "    three four", "    fivesixsev", "    eneight"]
        );
        assert_eq!(texts(&line.wrap(200, 4)), ["  one two three four fivesixseveneight"]);
        assert_eq!(texts(&Line::default().wrap(10, 0)), [""]);
    }

    #[test]
    fn wrap_of_a_long_word_after_indentation_does_not_lose_the_indentation() {
        assert_eq!(texts(&Line::new(Tone::Plain, "    abcdefghijkl").wrap(8, 0)), ["    abcd", "efghijkl"]);
        assert_eq!(texts(&Line::new(Tone::Plain, "            ").wrap(8, 0)).concat().len(), 12);
    }

    #[test]
    fn fold_counts_columns_and_loses_nothing() {
        let line = Line::new(Tone::Added, "ab世界cd").and(Tone::AddedPart, "  e");
        assert_eq!(texts(&line.fold(3)), ["ab", "世", "界c", "d  ", "e"]);
        assert!(line.fold(3).iter().all(|line| line.width() <= 3));
        assert_eq!(texts(&line.fold(1)).concat(), line.text());
    }

    #[test]
    fn numbers() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_240), "1,240");
        assert_eq!(thousands(12_345_678), "12,345,678");
        assert_eq!(duration(412), "412 ms");
        assert_eq!(duration(8_460), "8.4 s");
        assert_eq!(duration(80_000), "1 min 20 s");
        assert_eq!(meter(1_240, 8_192, 8), "[##------]");
        assert_eq!(meter(1, 8_192, 8), "[#-------]");
        assert_eq!(meter(0, 8_192, 8), "[--------]");
        assert_eq!(meter(8_191, 8_192, 8), "[#######-]");
        assert_eq!(meter(9_000, 8_192, 8), "[########]");
        assert_eq!(meter(0, 0, 8), "[########]");
    }
}
