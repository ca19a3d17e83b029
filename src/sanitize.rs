//! Makes text safe to look at: what a model, a file or a server wrote must not move the cursor,
//! reorder a line or hide in it (CVE-2021-42574). Pure; it must not know terminals or colours.
//!
//! Only the shown copy is escaped. The protocol and the patch carry the raw text.

use std::borrow::Cow;

/// One line made visible: everything that is not seen as it is becomes `\u{…}`; a tab stays.
///
/// Escaped are control characters (line breaks too), bidirectional marks, zero-width and other
/// invisible characters, and the separators that some terminals take for a line break.
///
/// ```
/// use countersign::sanitize::visible;
/// assert_eq!(visible("plain\ttext"), "plain\ttext");
/// assert_eq!(visible("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
/// ```
pub fn visible(line: &str) -> Cow<'_, str> {
    escape(line, |c| c == '\t')
}

/// Like [`visible`] for text of several lines: `\n` stays as well. Not for paths and other single
/// lines, which could then forge a line of their own.
pub fn visible_text(text: &str) -> Cow<'_, str> {
    escape(text, |c| c == '\t' || c == '\n')
}

fn escape(text: &str, kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let Some(first) = text.find(|c| hides(c) && !kept(c)) else { return Cow::Borrowed(text) };
    let mut shown = String::with_capacity(text.len() + 16);
    shown.push_str(&text[..first]);
    for c in text[first..].chars() {
        if hides(c) && !kept(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Whether a character acts on the display, or is on it without being seen.
pub fn hides(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}'                      // soft hyphen
            | '\u{34f}'                   // combining grapheme joiner
            | '\u{61c}'                   // Arabic letter mark
            | '\u{115f}' | '\u{1160}'     // Hangul fillers
            | '\u{17b4}' | '\u{17b5}'     // Khmer inherent vowels
            | '\u{180b}'..='\u{180f}'     // Mongolian selectors and vowel separator
            | '\u{200b}'..='\u{200f}'     // zero-width space and joiners, directional marks
            | '\u{2028}'..='\u{202e}'     // separators, bidirectional embeddings and overrides
            | '\u{2060}'..='\u{206f}'     // word joiner, invisible operators, isolates
            | '\u{2800}'                  // blank braille pattern
            | '\u{3164}' | '\u{ffa0}'     // Hangul fillers
            | '\u{fe00}'..='\u{fe0f}'     // variation selectors
            | '\u{feff}'                  // byte order mark
            | '\u{fff0}'..='\u{fffb}'     // interlinear annotation
            | '\u{1d173}'..='\u{1d17a}'   // musical formatting
            | '\u{e0000}'..='\u{e0fff}'   // tags and supplementary variation selectors
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(visible(text), expected, "{text:?}");
    }

    #[test]
    fn ordinary_text_is_borrowed() {
        for text in ["", "fn main() {\t}", "naïve 日本語 Ελληνικά עברית", "a\u{a0}b"] {
            assert!(matches!(visible(text), Cow::Borrowed(_)), "{text:?}");
            check(text, text);
        }
    }

    #[test]
    fn terminal_sequences_are_shown_as_text() {
        check("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}");
        check("safe\rrm -rf", "safe\\u{d}rm -rf");
        check("\u{9b}31m", "\\u{9b}31m");
        check("back\x08\x7f", "back\\u{8}\\u{7f}");
        check("two\nlines", "two\\u{a}lines");
    }

    #[test]
    fn a_reordered_or_hidden_text_is_shown_in_its_real_order() {
        check("if access\u{202e} \u{2066}// admin\u{2069}", "if access\\u{202e} \\u{2066}// admin\\u{2069}");
        check("na\u{200b}me\u{feff}", "na\\u{200b}me\\u{feff}");
        check("x\u{e0041}\u{fe0f}", "x\\u{e0041}\\u{fe0f}");
        check("a\u{2028}b", "a\\u{2028}b");
    }

    #[test]
    fn only_text_keeps_its_line_breaks() {
        assert_eq!(visible_text("a\n\tb\r\n"), "a\n\tb\\u{d}\n");
    }

    #[test]
    fn nothing_that_hides_survives() {
        for c in ('\0'..=char::MAX).filter(|c| hides(*c) && *c != '\t') {
            assert!(!visible(&format!("a{c}b")).contains(c), "{c:?}");
        }
    }
}
