//! Notices an answer that repeats itself and will not end: small models write the same lines over and over
//! until their limit, which takes minutes and is never of use. Pure.

use std::sync::Arc;

/// How many bytes of the end are looked at, how often the end must repeat itself in them, and with which period at
/// least. A short pattern may be a table until it is long; a line or two that come four times are sure before that,
/// and a long pattern needs more.
const LOOKS: &[(usize, usize, usize)] = &[(400, 4, 20), (800, 5, 0), (1_600, 3, 0), (2_400, 2, 0)];

/// How much text comes between two looks.
const EVERY: usize = 80;

/// Watches one answer as it arrives.
pub struct Repeats {
    /// What the model was shown. What repeats there already may be repeated.
    shown: Arc<[String]>,
    text: Vec<u8>,
    next: usize,
}

impl Repeats {
    /// For an answer to these texts.
    pub fn new(shown: Arc<[String]>) -> Repeats {
        Repeats { shown, text: Vec::new(), next: EVERY }
    }

    /// Takes the next piece; true once the text goes round in circles.
    pub fn push(&mut self, piece: &str) -> bool {
        self.text.extend_from_slice(piece.as_bytes());
        if self.text.len() < self.next {
            return false;
        }
        self.next = self.text.len() + EVERY;
        LOOKS.iter().any(|(bytes, times, least)| {
            let Some(start) = self.text.len().checked_sub(*bytes) else { return false };
            let end = &self.text[start..];
            let period = period(end);
            period >= *least && period * times <= *bytes && !self.is_shown(end)
        })
    }

    fn is_shown(&self, end: &[u8]) -> bool {
        // Cut at a byte: whole characters of it are enough to tell.
        let end = String::from_utf8_lossy(end);
        let end = end.trim_matches('\u{fffd}');
        self.shown.iter().any(|shown| shown.contains(end))
    }
}

/// The shortest period of a text: the distance after which each byte is the same again (Knuth, Morris and
/// Pratt's failure function).
fn period(text: &[u8]) -> usize {
    let mut borders = vec![0; text.len()];
    let mut border = 0;
    for at in 1..text.len() {
        while border > 0 && text[at] != text[border] {
            border = borders[border - 1];
        }
        if text[at] == text[border] {
            border += 1;
        }
        borders[at] = border;
    }
    text.len() - border
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where an answer is stopped, in bytes.
    fn stopped(answer: &str, shown: &str) -> Option<usize> {
        let mut repeats = Repeats::new([shown.to_owned()].into());
        let mut seen = 0;
        // In pieces as tokens are.
        for piece in answer.as_bytes().chunks(7) {
            seen += piece.len();
            if repeats.push(&String::from_utf8_lossy(piece)) {
                return Some(seen);
            }
        }
        None
    }

    #[test]
    fn a_model_that_goes_round_in_circles_is_stopped() {
        let signs =
            [":", ";", "(", ")", "[", "]", "{", "}", "|", "~", "^", "&", "*", "+", "-", "_", "=", "/"];
        let line = |sign: &&str| format!("    words = words.replace(\"{sign}\", \"\")\n");
        let long: String = signs.iter().map(line).collect();
        let beginning = "def abbreviate(words):\n    words = words.upper()\n";
        for (what, cycle, most) in [
            ("a line", line(&"!"), 550),
            ("two lines", signs[..2].iter().map(line).collect(), 550),
            ("three lines", signs[..3].iter().map(line).collect(), 1_200),
            ("many lines", long.clone(), 2_800),
            ("one word", "0, ".to_owned(), 1_200),
        ] {
            let answer = format!("{beginning}{}", cycle.repeat(9_000 / cycle.len()));
            let at = stopped(&answer, "");
            assert!(at.is_some_and(|at| at <= most), "{what}: {at:?}");
        }
    }

    #[test]
    fn what_only_looks_alike_goes_on() {
        let table: String = (0..400).map(|n| format!("    assert_eq!(square({n}), {});\n", n * n)).collect();
        assert_eq!(stopped(&table, ""), None);
        let thrice = format!("{}\nend\n", "    0, 0, 0, 0,\n".repeat(20));
        assert_eq!(stopped(&thrice, ""), None, "a short run");
        let handful = format!("{}\nend\n", "    assert_eq!(iterator.next(), None);\n".repeat(8));
        assert_eq!(stopped(&handful, ""), None, "a line that means to come again");
        let zeros = "    0, 0, 0, 0, 0, 0, 0, 0,\n".repeat(200);
        assert!(stopped(&zeros, "").is_some());
        assert_eq!(stopped(&zeros, &format!("static ZEROS: … {zeros}")), None, "the file has it already");
    }

    #[test]
    fn periods() {
        assert_eq!([period(b"abcabcab"), period(b"aaaa"), period(b"abcd"), period(b"aab")], [3, 1, 4, 3]);
    }
}
