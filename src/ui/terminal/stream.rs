//! A model's answer while it arrives: the first lines dimmed, then a count.
//!
//! Pure. What is not shown is not lost: it is in the session's events, and the count says how much
//! there was. It must not know what the text means.

use crate::ui::text::{Line, Tone, count};

/// The answer of one call under way.
#[derive(Default)]
pub struct Stream {
    /// The end of the text, as far as it is no whole line yet.
    partial: String,
    shown: usize,
    hidden: u64,
}

/// A line of an answer is cut into pieces of this many bytes at most while it arrives, so that an
/// answer without line ends is neither kept in memory nor kept from view.
const LONGEST_PARTIAL: usize = 2_000;

impl Stream {
    /// Takes a piece of the answer; gives the lines to show, `limit` in all.
    pub fn push(&mut self, text: &str, limit: usize, columns: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in text.split_inclusive('\n') {
            self.partial.push_str(piece.trim_end_matches(['\n', '\r']));
            if piece.ends_with('\n') || self.partial.len() > LONGEST_PARTIAL {
                self.flush(limit, columns, &mut lines);
            }
        }
        lines
    }

    /// The end of the text that has arrived, for a status line.
    pub fn partial(&self) -> &str {
        &self.partial
    }

    /// The answer is complete; gives its last lines.
    pub fn finish(mut self, limit: usize, columns: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        if !self.partial.is_empty() {
            self.flush(limit, columns, &mut lines);
        }
        if self.hidden > 0 && limit > 0 {
            let text = format!("| and {}", count(self.hidden, "more line"));
            lines.push(Line::new(Tone::Dim, &text));
        }
        lines
    }

    fn flush(&mut self, limit: usize, columns: usize, lines: &mut Vec<Line>) {
        let text = std::mem::take(&mut self.partial);
        if self.shown >= limit {
            self.hidden += 1;
            return;
        }
        let room = columns.saturating_sub(2).max(8);
        for part in Line::new(Tone::Dim, &text).fold(room) {
            lines.push(Line::new(Tone::Dim, "| ").join(part));
            self.shown += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], limit: usize, expected: &[&str]) {
        let mut stream = Stream::default();
        let mut lines: Vec<Line> = pieces.iter().flat_map(|piece| stream.push(piece, limit, 20)).collect();
        lines.extend(stream.finish(limit, 20));
        assert_eq!(lines.iter().map(Line::text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        check(&["one", "\ntw", "o\r\n", "\nthree"], 9, &["| one", "| two", "| ", "| three"]);
        check(&[], 9, &[]);
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        check(&["1\n2\n3\n4\n5"], 2, &["| 1", "| 2", "| and 3 more lines"]);
        check(&["1\n2\n"], 0, &[]);
    }

    #[test]
    fn an_answer_without_line_ends_is_shown_and_not_kept() {
        let mut stream = Stream::default();
        for _ in 0..10_000 {
            stream.push("xxxxxxxxxx", 4, 80);
            assert!(stream.partial().len() <= LONGEST_PARTIAL + 10);
        }
        assert!(stream.shown > 0 && stream.hidden > 0);
    }

    #[test]
    fn escape_sequences_split_between_pieces_stay_harmless() {
        let mut stream = Stream::default();
        let mut lines = stream.push("\u{1b}", 9, 80);
        lines.extend(stream.push("[2J\n", 9, 80));
        assert!(!lines[0].text().contains('\u{1b}'));
    }
}
