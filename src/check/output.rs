//! What is kept of a check's output: its beginning and its end, as plain text.

use std::collections::VecDeque;

/// How many bytes of the beginning are kept: the command's own first words, the first error.
const HEAD_BYTES: usize = 16 * 1024;
/// How many bytes of the end are kept: the summary.
const TAIL_BYTES: usize = 48 * 1024;

/// Output as it arrives, bounded.
#[derive(Debug, Default)]
pub struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    seen: u64,
}

impl Output {
    pub fn push(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        let room = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        // Of a large piece only the end can stay.
        let rest = &bytes[room..];
        self.tail.extend(&rest[rest.len().saturating_sub(TAIL_BYTES)..]);
        let excess = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..excess);
    }

    /// How many bytes arrived.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Beginning and end with a line between them that says what was left out; escape sequences are
    /// removed.
    pub fn text(&self) -> String {
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        let left_out = self.seen - (self.head.len() + tail.len()) as u64;
        if left_out == 0 {
            return plain(&[self.head.as_slice(), &tail].concat());
        }
        // Whole lines, as far as there are any.
        let head_end = self.head.iter().rposition(|byte| *byte == b'\n').map_or(self.head.len(), |at| at + 1);
        let tail_start = tail.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let cut = left_out + (self.head.len() - head_end) as u64 + tail_start as u64;
        let (head, tail) = (plain(&self.head[..head_end]), plain(&tail[tail_start..]));
        let end = if head.ends_with('\n') { "" } else { "\n" };
        format!("{head}{end}[… {cut} bytes left out …]\n{tail}")
    }
}

/// Bytes of a terminal program as text: no escape sequences, and of a line that was drawn over and
/// over, as progress bars are, only what was left standing.
fn plain(bytes: &[u8]) -> String {
    let stripped = anstream::adapter::strip_bytes(bytes).into_vec();
    let text = String::from_utf8_lossy(&stripped).replace("\r\n", "\n");
    let mut lines =
        text.split('\n').map(|line| line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or(""));
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + "\n" + line)
}

/// The last place of a text, at most `at`, that is not inside of a character.
pub fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The first place of a text, at least `at`, that is not inside of a character.
pub fn ceil(text: &str, at: usize) -> usize {
    (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pieces: &[&[u8]]) -> String {
        let mut output = Output::default();
        pieces.iter().for_each(|piece| output.push(piece));
        output.text()
    }

    #[test]
    fn short_output_is_kept_as_it_is() {
        assert_eq!(text(&[b"a\n", b"b"]), "a\nb");
        assert_eq!(text(&[]), "");
    }

    #[test]
    fn of_long_output_both_ends_stay() {
        let all: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
        let pieces: Vec<&[u8]> = all.as_bytes().chunks(777).collect();
        let text = text(&pieces);
        assert!(text.starts_with("1\n2\n") && text.ends_with("99999\n100000\n"));
        let (head, rest) = text.split_once("[… ").unwrap();
        let (cut, tail) = rest.split_once(" bytes left out …]\n").unwrap();
        assert_eq!(head.len() + tail.len() + cut.parse::<usize>().unwrap(), all.len());
        assert!(text.len() <= HEAD_BYTES + TAIL_BYTES + 100);
    }

    #[test]
    fn one_piece_that_is_larger_than_everything_kept() {
        let text = text(&[&vec![b'x'; 10_000_000]]);
        assert!(text.contains("bytes left out") && text.len() <= HEAD_BYTES + TAIL_BYTES + 100);
    }

    #[test]
    fn colours_and_progress_bars_do_not_show() {
        assert_eq!(text(&[b"\x1b[31merror\x1b[0m: x\r\n\x1b]0;title\x07y"]), "error: x\ny");
        assert_eq!(text(&[b" 10%\r 50%\r100%\ndone\r"]), "100%\ndone");
    }
}
