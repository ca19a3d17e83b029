//! What two lines have in common when white space and typography are set aside. Pure.

/// A line with each run of white space as one space, and typographic punctuation as typed.
pub fn spaced(line: &str) -> String {
    let mut key = String::with_capacity(line.len());
    let mut gap = false;
    for c in line.chars() {
        if c.is_whitespace() {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) {
            key.push(' ');
        }
        match c {
            '\u{2018}'..='\u{201b}' | '\u{2032}' => key.push('\''),
            '\u{201c}'..='\u{201f}' | '\u{2033}' => key.push('"'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => key.push('-'),
            '\u{2026}' => key.push_str("..."),
            // Neither seen nor copied.
            '\u{200b}' | '\u{2060}' | '\u{feff}' => {}
            c => key.push(c),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spacing_and_typography_do_not_count() {
        assert_eq!(spaced("a\u{a0} = \u{201c}b\u{201d} \u{2014}  c\u{2026}"), "a = \"b\" - c...");
        assert_eq!(spaced("\tx = 1 \t"), " x = 1");
        assert_ne!(spaced("a b"), spaced("ab"), "a space more is not a space less");
    }
}
