//! What single lines of an answer look like: block markers and code fences. Pure, one line at a
//! time; it must not know paths or what comes before a line.

/// A code fence: its character, how many of them, and what stands behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence<'a> {
    pub mark: char,
    pub length: usize,
    pub info: &'a str,
}

impl Fence<'_> {
    /// Whether this line could end a block that `opened` began.
    pub fn closes(&self, opened: &Fence<'_>) -> bool {
        self.info.is_empty() && self.mark == opened.mark && self.length >= opened.length
    }
}

/// Reads a fence line. As in Markdown it may be indented by three spaces at most, and the text
/// behind backticks holds none.
pub fn fence(line: &str) -> Option<Fence<'_>> {
    let text = outdent(line)?;
    let mark = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let (length, rest) = run(text, mark);
    let info = rest.trim();
    (length >= 3 && !(mark == '`' && info.contains('`'))).then_some(Fence { mark, length, info })
}

/// `<<<<<<< SEARCH`, perhaps with a path behind: the length of the mark and the path.
pub fn opening(line: &str) -> Option<(usize, &str)> {
    let (length, rest) = run(outdent(line)?, '<');
    let rest = word(rest, "SEARCH")?;
    (length >= 5).then(|| (length, rest.trim_start_matches([':', '>']).trim()))
}

/// `<<<<<<< LINES 12:a3f 15:0c1`: the length of the mark and the tags.
pub fn tagged(line: &str) -> Option<(usize, &str)> {
    let (length, rest) = run(outdent(line)?, '<');
    let rest = word(rest, "LINES")?;
    (length >= 5).then(|| (length, rest.trim_matches([':', '>', ' ', '\t'])))
}

/// `=======`: the length of the mark. Up to nine, since longer lines are headings and rules.
pub fn divider(line: &str) -> Option<usize> {
    let (length, rest) = run(outdent(line)?, '=');
    ((5..=9).contains(&length) && rest.trim().is_empty()).then_some(length)
}

/// `>>>>>>> REPLACE`: the length of the mark. A fence that sticks to it is forgiven.
pub fn ending(line: &str) -> Option<usize> {
    let (length, rest) = run(outdent(line)?, '>');
    let rest = word(rest, "REPLACE")?;
    (length >= 5 && rest.trim_matches([':', '`', ' ', '\t']).is_empty()).then_some(length)
}

/// The line without up to three spaces in front; `None` when there are more, as in quoted code.
fn outdent(line: &str) -> Option<&str> {
    let text = line.trim_start_matches(' ');
    (line.len() - text.len() <= 3).then_some(text)
}

/// How often `mark` stands in front, and what follows.
fn run(text: &str, mark: char) -> (usize, &str) {
    let rest = text.trim_start_matches(mark);
    ((text.len() - rest.len()) / mark.len_utf8(), rest)
}

/// What follows `expected` in any case of letters, if the text begins with it as a word.
fn word<'a>(text: &'a str, expected: &str) -> Option<&'a str> {
    let text = text.trim_start();
    let rest = text.get(expected.len()..)?;
    let begins = text.as_bytes()[..expected.len()].eq_ignore_ascii_case(expected.as_bytes());
    (begins && !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_read_in_the_forms_that_models_write() {
        for line in
            ["<<<<<<< SEARCH", "<<<<<<<SEARCH", "<<<<< search", "  <<<<<<< SEARCH: ", "<<<<<<< SEARCH>"]
        {
            assert_eq!(opening(line).map(|(_, path)| path), Some(""), "{line:?}");
        }
        assert_eq!(opening("<<<<<<< SEARCH src/a.rs"), Some((7, "src/a.rs")));
        for line in [">>>>>>> REPLACE", ">>>>>>>REPLACE", ">>>>>>> replace```", ">>>>>>>> REPLACE "] {
            assert!(ending(line).is_some(), "{line:?}");
        }
        assert_eq!(divider("======="), Some(7));
    }

    #[test]
    fn ordinary_code_is_no_marker() {
        for line in
            ["<<<< SEARCH", "    <<<<<<< SEARCH", "<<<<<<< SEARCHING", "<<<<<<< HEAD", "x <<<<<<< SEARCH"]
        {
            assert_eq!(opening(line), None, "{line:?}");
        }
        for line in [">>>>>>> main", ">>> REPLACE", ">>>>>>> REPLACED", ">>>>>>> REPLACE this"] {
            assert_eq!(ending(line), None, "{line:?}");
        }
        for line in ["====", "==========", "======= x", "    ======="] {
            assert_eq!(divider(line), None, "{line:?}");
        }
    }

    #[test]
    fn fences_close_only_their_own_kind() {
        let opened = fence("````rust").unwrap();
        assert_eq!(opened, Fence { mark: '`', length: 4, info: "rust" });
        assert!(fence("`````").unwrap().closes(&opened));
        assert!(!fence("```").unwrap().closes(&opened));
        assert!(!fence("~~~~").unwrap().closes(&opened));
        assert!(!fence("````rust").unwrap().closes(&opened));
        for line in ["``", "    ```", "```a``` b", "/// ```"] {
            assert_eq!(fence(line), None, "{line:?}");
        }
    }

    #[test]
    fn cutting_a_wide_character_does_not_panic() {
        for line in ["<<<<<<< SEARCÄ", "<<<<<<< é", "<<<<<<< ÉÉÉÉÉÉ", ">>>>>>> REPLAC日"] {
            assert_eq!((opening(line), ending(line)), (None, None), "{line:?}");
        }
    }
}
