//! Three texts into one: what was, what it has become by other hands, and what it shall be. Pure.
//!
//! Bytes that neither side changed stay as they are; where both sides changed the same lines, there
//! is no answer.

/// The bytes with both changes made. `None` where they conflict, or where there is no text to merge.
pub fn merge(was: &[u8], theirs: &[u8], ours: &[u8]) -> Option<Vec<u8>> {
    if theirs == was || theirs == ours {
        return Some(ours.to_vec());
    }
    if ours == was {
        return Some(theirs.to_vec());
    }
    let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text: &&str| !text.contains('\0'));
    diffy::merge(text(was)?, text(theirs)?, text(ours)?).ok().map(String::into_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(was: &str, theirs: &str, ours: &str, expected: Option<&str>) {
        let merged = merge(was.as_bytes(), theirs.as_bytes(), ours.as_bytes());
        assert_eq!(merged.as_deref(), expected.map(str::as_bytes), "{was:?} {theirs:?} {ours:?}");
    }

    #[test]
    fn changes_in_different_places_are_both_made() {
        check("a\nb\nc\nd\ne\n", "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n", Some("A\nb\nc\nd\nE\n"));
        check("a\r\nb\r\nc\r\nd", "a\r\nb\r\nc\r\nD", "A\r\nb\r\nc\r\nd", Some("A\r\nb\r\nc\r\nD"));
        check("a\n", "a\n", "b\n", Some("b\n"));
        check("a\n", "b\n", "b\n", Some("b\n"));
        check("a\n", "b\n", "a\n", Some("b\n"));
        check("a\n", "b\n", "c\n", None);
        check("a\n", "", "c\n", None);
        check("\0a\n\n\nb", "\0A\n\n\nb", "\0a\n\n\nB", None);
    }

    proptest! {
        /// Each line is the one that somebody changed, or the one that nobody did.
        #[test]
        fn no_change_is_lost(lines in 9usize..30, one in 0usize..30, other in 0usize..30, end in "(\n|\r\n)", open in any::<bool>()) {
            let (one, other) = (one % lines, other % lines);
            prop_assume!(one.abs_diff(other) > 3);
            let text = |changed: &[usize]| {
                let lines: Vec<String> =
                    (0..lines).map(|n| if changed.contains(&n) { format!("new {n}") } else { format!("old {n}") }).collect();
                let text = lines.join(&end);
                if open { text } else { text + &end }
            };
            let merged = merge(text(&[]).as_bytes(), text(&[one]).as_bytes(), text(&[other]).as_bytes());
            prop_assert_eq!(merged, Some(text(&[one, other]).into_bytes()));
        }
    }
}
