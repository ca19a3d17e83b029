//! Owns the correspondence of byte offsets and lines of one text. Pure.

/// Where each line of a text begins.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<u32>,
}

impl<'a> Lines<'a> {
    /// Lines end at `\n`; what stands after the last `\n` is a line if it is not empty.
    pub fn new(text: &'a str) -> Lines<'a> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1);
        let starts = std::iter::once(0).chain(ends).filter(|&start| (start as usize) < text.len()).collect();
        Lines { text, starts }
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.starts.len() as u32
    }

    /// Byte offset of line `line` (1-based); the end of the text for lines behind the last.
    pub fn start(&self, line: u32) -> u32 {
        self.starts.get(line.saturating_sub(1) as usize).copied().unwrap_or(self.text.len() as u32)
    }

    /// Byte offset behind line `line` (1-based) with its line end.
    pub fn end(&self, line: u32) -> u32 {
        self.start(line.saturating_add(1))
    }

    /// Line `line` (1-based) with its line end; empty for lines that do not exist.
    pub fn text(&self, line: u32) -> &'a str {
        &self.text[self.start(line) as usize..self.end(line) as usize]
    }

    /// Whether line `line` holds nothing but white space.
    pub fn is_blank(&self, line: u32) -> bool {
        self.text(line).trim().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_editors_do() {
        assert_eq!(Lines::new("").count(), 0);
        assert_eq!(Lines::new("a").count(), 1);
        assert_eq!(Lines::new("a\n").count(), 1);
        let lines = Lines::new("a\r\n\nb");
        assert_eq!((lines.count(), lines.text(1), lines.text(2), lines.text(3)), (3, "a\r\n", "\n", "b"));
        assert_eq!((lines.start(3), lines.end(3), lines.end(9)), (4, 5, 5));
    }
}
