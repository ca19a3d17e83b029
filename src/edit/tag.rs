//! Short names for lines: `12:a3f` is line 12 if it still has the content that it was shown with.
//! Pure. It must not know who shows them.

use super::anchor::content;

/// What stands behind a tag where lines are shown.
pub const SIGN: char = '|';

/// Hexadecimal digits of a line's hash. With the number beside it, a mistake has one chance in 4,096.
const DIGITS: usize = 3;

/// The tag of a line, counted from 1. Space at its end does not count.
pub fn tag(number: usize, line: &str) -> String {
    let hash = blake3::hash(content(line).trim_end().as_bytes()).to_hex();
    format!("{number}:{}", &hash[..DIGITS])
}

/// Lines as a model is shown them: each behind its tag. `first` counts from 1.
pub fn tagged(text: &str, first: usize) -> String {
    let lines = super::anchor::lines(text);
    (first..).zip(lines).map(|(number, line)| format!("{}{SIGN}{line}", tag(number, line))).collect()
}

/// Reads a tag, perhaps with the line behind it: number and hash.
pub fn read(text: &str) -> Option<(usize, &str)> {
    let text = text.trim().trim_matches(['`', '[', ']']);
    let text = text.split(SIGN).next().unwrap_or(text);
    let (number, hash) = text.split_once(':')?;
    let is_hash = hash.len() == DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then_some((number.parse().ok()?, hash))
}

/// The line, from 0, that a tag names in a text.
pub fn resolve(lines: &[&str], text: &str) -> Option<usize> {
    let (number, hash) = read(text)?;
    let at = number.checked_sub(1)?;
    let real = tag(number, lines.get(at)?);
    real.ends_with(&format!(":{}", hash.to_ascii_lowercase())).then_some(at)
}

/// The text without tags, if every line that is not blank has one: models repeat what they see.
pub fn untagged(text: &str) -> Option<String> {
    let mut bare = String::with_capacity(text.len());
    let mut any = false;
    for line in super::anchor::lines(text) {
        match line.split_once(SIGN) {
            Some((tag, rest)) if tag.len() < 12 && read(tag).is_some() => {
                any = true;
                bare.push_str(rest);
            }
            _ if line.trim().is_empty() => bare.push_str(line),
            _ => return None,
        }
    }
    any.then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_a_line_as_long_as_it_is_the_same() {
        let text = "one\ntwo  \nthree";
        let lines = super::super::anchor::lines(text);
        let two = tag(2, "two");
        assert_eq!(resolve(&lines, &two), Some(1));
        assert_eq!(resolve(&lines, &format!("{two}|two")), Some(1));
        assert_eq!(resolve(&lines, &two.replace("2:", "3:")), None);
        for bad in ["", "2", "2:", "0:abc", "9:abc", "x:abc", "2:zzz", ":abc", "99999999999999999999:abc"] {
            assert_eq!(resolve(&lines, bad), None, "{bad}");
        }
    }

    #[test]
    fn shown_tags_are_taken_off_again() {
        let text = "fn a() {\n\n    x | y\n}\n";
        assert_eq!(untagged(&tagged(text, 7)).as_deref(), Some(text));
        assert_eq!(untagged(text), None);
        assert_eq!(untagged("1:abc|a\nb\n"), None, "half of it would be a guess");
        assert_eq!(untagged("\n"), None);
    }
}
