//! What is asked, and which keys answer it. Pure.

use crate::protocol::AfterFailure;

/// What is asked: the answers that are valid depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// About the hunk above.
    Hunk,
    /// About several hunks, all of them shown above.
    Several(usize),
    /// There are so many more lines to show.
    More(usize),
    /// A check failed on what was applied.
    AfterFailure(Vec<AfterFailure>),
    /// Why a hunk is declined, in the owner's words: a line of text.
    Feedback,
    /// About the check above.
    Check,
}

/// One answer of the owner about hunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    AcceptFile,
    DeclineFile,
    AcceptAll,
    /// Leave the rest pending.
    Leave,
    Split,
    Edit,
    /// Back to the Coder, with these words.
    SendBack(String),
    Why,
    /// Show the whole file.
    Whole,
    Next,
    Previous,
    Undo,
    Help,
}

/// What a key means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    Answer(Answer),
    /// Ask for the text of a feedback.
    Feedback,
    /// Show more lines.
    More,
    AfterFailure(AfterFailure),
}

/// Keys and what they do, in the order of the help.
pub const KEYS: [(&str, &str); 16] = [
    ("y", "apply this hunk"),
    ("n", "do not apply this hunk"),
    ("a", "apply this and the rest of this file, after showing them"),
    ("d", "decline this and the rest of this file"),
    ("A", "apply this and all that follow, after showing them"),
    ("s", "split this hunk into its runs of changed lines"),
    ("e", "edit this hunk in your editor ($VISUAL or $EDITOR)"),
    ("f", "decline with feedback: the coder tries again"),
    ("w", "why: reasons for this file, output of the checks"),
    ("v", "view the whole file with its changes"),
    ("j", "go to the next hunk"),
    ("k", "go to the hunk before"),
    ("u", "undo the last answer"),
    ("q", "leave; what is not answered stays pending (countersign review)"),
    ("?", "show this list"),
    ("Esc", "or Ctrl-C: cancel, nothing is written"),
];

impl Prompt {
    /// The question, short enough for 40 columns.
    pub fn text(&self) -> String {
        match self {
            Prompt::Hunk => "Apply? [y n a d A s e f w v u q ?]".into(),
            Prompt::Several(hunks) => format!("Apply all {hunks}? [y n]"),
            Prompt::More(lines) => format!("{lines} more lines [space, q leaves]"),
            Prompt::AfterFailure(options) if options.contains(&AfterFailure::Repair) => {
                "[r]epair, [u]ndo or [k]eep it?".into()
            }
            Prompt::AfterFailure(_) => "[u]ndo or [k]eep it?".into(),
            Prompt::Feedback => "What should be different?".into(),
            Prompt::Check => "Approve this check? [y n q ?]".into(),
        }
    }

    /// What a key means here. Enter means nothing where something could be signed.
    ///
    /// # Errors
    /// The sentence to show before asking again.
    pub fn key(&self, key: char) -> Result<Key, &'static str> {
        use Answer::*;
        let answer = match (self, key) {
            (Prompt::More(_), ' ' | '\r' | '\n' | 'j') => return Ok(Key::More),
            (Prompt::More(_), 'q') => Leave,
            (Prompt::More(_), _) => return Err("space goes on; q leaves all of it pending"),
            (Prompt::AfterFailure(options), key) => {
                let wanted = match key {
                    'r' => Some(AfterFailure::Repair),
                    'u' => Some(AfterFailure::Undo),
                    'k' => Some(AfterFailure::Keep),
                    _ => None,
                };
                let wanted = wanted.filter(|wanted| options.contains(wanted));
                return wanted.map(Key::AfterFailure).ok_or("answer with one of the letters in brackets");
            }
            (Prompt::Feedback, _) => return Err("write a line"),
            (Prompt::Check, key) if !"ynq?".contains(key) => {
                return Err("y approves it, n does not; ? lists the keys");
            }
            (Prompt::Hunk, 'f') => return Ok(Key::Feedback),
            (_, 'y') => Yes,
            (_, 'n') => No,
            (_, 'q') => Leave,
            (_, 'w') => Why,
            (_, '?') => Help,
            (Prompt::Hunk, 'a') => AcceptFile,
            (Prompt::Hunk, 'd') => DeclineFile,
            (Prompt::Hunk, 'A') => AcceptAll,
            (Prompt::Hunk, 's') => Split,
            (Prompt::Hunk, 'e') => Edit,
            (Prompt::Hunk, 'v') => Whole,
            (Prompt::Hunk, 'j') => Next,
            (Prompt::Hunk, 'k') => Previous,
            (Prompt::Hunk, 'u') => Undo,
            (Prompt::Hunk, _) => return Err("y applies, n does not; ? lists the keys"),
            (Prompt::Several(_) | Prompt::Check, _) => return Err("answer y or n"),
        };
        Ok(Key::Answer(answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_and_noise_are_no_answers() {
        for key in ['\r', '\n', ' ', '\t', 'Y', 'N', '1', '\u{1b}', '\u{200b}', 'ý'] {
            assert!(Prompt::Hunk.key(key).is_err(), "{key:?}");
            assert!(Prompt::Several(2).key(key).is_err(), "{key:?}");
            assert!(Prompt::Check.key(key).is_err(), "{key:?}");
            assert!(Prompt::AfterFailure(vec![AfterFailure::Undo]).key(key).is_err(), "{key:?}");
        }
        assert!(Prompt::Several(2).key('A').is_err());
        assert!(Prompt::AfterFailure(vec![AfterFailure::Undo]).key('r').is_err());
        assert_eq!(Prompt::More(3).key('\r'), Ok(Key::More));
    }

    #[test]
    fn every_key_of_the_help_is_one_and_questions_fit_40_columns() {
        for (key, _) in KEYS.iter().filter(|(key, _)| key.len() == 1) {
            let key = key.chars().next().unwrap_or_default();
            assert!(Prompt::Hunk.key(key).is_ok(), "{key}");
        }
        let all = vec![AfterFailure::Repair, AfterFailure::Undo, AfterFailure::Keep];
        for prompt in [
            Prompt::Hunk,
            Prompt::Several(999),
            Prompt::More(99_999),
            Prompt::AfterFailure(all),
            Prompt::Feedback,
            Prompt::Check,
        ] {
            assert!(prompt.text().len() <= 36, "{prompt:?}");
        }
    }
}
