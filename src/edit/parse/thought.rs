//! Takes away what a model thought aloud before it answered. Pure.

use std::borrow::Cow;

use crate::edit::{Code, Refusal};

const OPEN: [&str; 2] = ["<think>", "<thinking>"];
const CLOSE: [&str; 2] = ["</think>", "</thinking>"];

/// The answer without thoughts. A tag in the midst of a line is content.
///
/// # Errors
/// [`Code::Truncated`] if a thought has no end.
pub fn strip(answer: &str) -> Result<Cow<'_, str>, Refusal> {
    let begins = |line: &str, tags: [&str; 2]| tags.iter().any(|tag| line.trim_start().starts_with(tag));
    if !answer.lines().any(|line| begins(line, OPEN) || begins(line, CLOSE)) {
        return Ok(Cow::Borrowed(answer));
    }
    let mut kept = String::with_capacity(answer.len());
    let mut thinking = false;
    for line in answer.split_inclusive('\n') {
        let mut rest = line;
        if !thinking && begins(line, OPEN) {
            thinking = true;
        } else if !thinking && begins(line, CLOSE) {
            // The tag that opened it was in the prompt: everything until here was thought.
            kept.clear();
            thinking = true;
        }
        if thinking {
            let end = CLOSE.iter().find_map(|tag| rest.find(tag).map(|at| at + tag.len()));
            let Some(end) = end else { continue };
            thinking = false;
            rest = &rest[end..];
        }
        kept.push_str(rest);
    }
    match thinking {
        false => Ok(Cow::Owned(kept)),
        true => Err(unfinished()),
    }
}

pub fn unfinished() -> Refusal {
    Refusal::new(
        Code::Truncated,
        "",
        "The answer ended while thinking, before any edit. Answer with the edits alone, at once.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: Option<&str>) {
        assert_eq!(strip(answer).ok().as_deref(), expected, "{answer:?}");
    }

    #[test]
    fn thoughts_go_and_content_stays() {
        check("a\nb", Some("a\nb"));
        check("<think>\nx\n</think>\na\n", Some("\na\n"));
        check("<think>x</think>a\n", Some("a\n"));
        check("x\n</think>\na\n", Some("\na\n"));
        check("<thinking>\nx\n", None);
        check("let tag = \"<think>\";\n", Some("let tag = \"<think>\";\n"));
    }
}
