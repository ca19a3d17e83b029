//! The dialogue about checks that nobody approved yet, without its terminal. Pure.
//!
//! Each check is shown whole before it is asked about; what is not answered with a yes is not
//! approved. It ends in a [`CheckAnswer`], which the engine compares with what it asked.

use super::review::Answer;
use crate::protocol::{CheckAnswer, CheckQuestion, CheckView};
use crate::ui::text::{Line, Tone, count};

/// A question about checks on its way to an answer.
pub struct CheckReview {
    question: CheckQuestion,
    /// The check in question.
    at: usize,
    /// Hashes.
    approved: Vec<String>,
    /// What to show before the next question; `None` while the check itself has not been shown.
    page: Option<Vec<Line>>,
}

/// Keys and what they do.
const KEYS: [(&str, &str); 5] = [
    (
        "y",
        "approve it: it may run here, now and in later sessions, as long as all that is shown above stays the same",
    ),
    ("n", "not now: it does not run in this session, and you are asked again in the next one"),
    ("q", "not now, neither this one nor those that follow"),
    ("?", "show this list"),
    ("Esc", "or Ctrl-C: cancel the request, nothing is written"),
];

impl CheckReview {
    pub fn new(question: CheckQuestion) -> CheckReview {
        CheckReview { question, at: 0, approved: Vec::new(), page: None }
    }

    /// What to show before the next check is asked about; `None` when all are answered.
    pub fn next_page(&mut self, columns: usize) -> Option<Vec<Line>> {
        let check = self.question.checks.get(self.at)?;
        let shown = self.page.replace(Vec::new());
        Some(shown.unwrap_or_else(|| page(check, self.at, &self.question, columns)))
    }

    /// What the owner said about the check in question.
    pub fn answer(&mut self, answer: &Answer, columns: usize) {
        match answer {
            Answer::Yes => {
                let check = self.question.checks.get(self.at);
                self.approved.extend(check.map(|check| check.hash.clone()));
                self.turn_to(self.at + 1);
            }
            Answer::No => self.turn_to(self.at + 1),
            Answer::Leave => self.turn_to(self.question.checks.len()),
            Answer::Help => {
                let line = |(key, text): &(&str, &str)| {
                    let key = format!("  {key:<4}");
                    Line::new(Tone::Strong, &key).and(Tone::Plain, text).wrap(columns, 6)
                };
                self.page = Some(KEYS.iter().flat_map(line).collect());
            }
            // No key of this question means any of the others.
            _ => {}
        }
    }

    /// The answer as far as it goes.
    pub fn answered(&self) -> CheckAnswer {
        CheckAnswer { approve: self.approved.clone(), ..self.none() }
    }

    /// The answer that approves nothing, whatever was said before.
    pub fn none(&self) -> CheckAnswer {
        self.question.answer_with_none()
    }

    fn turn_to(&mut self, at: usize) {
        (self.at, self.page) = (at, None);
    }
}

/// One check, whole: an approval is for all of it.
fn page(check: &CheckView, at: usize, question: &CheckQuestion, columns: usize) -> Vec<Line> {
    let of = question.checks.len();
    let title = format!("Check {} of {of} needs your approval before it runs here", at + 1);
    let mut lines = vec![Line::default()];
    lines.extend(Line::new(Tone::Heading, &title).wrap(columns, 2));
    let mut row = |label: &str, tone: Tone, text: &str| {
        let label = format!("  {label:<8} ");
        lines.extend(Line::new(Tone::Dim, &label).and(tone, text).wrap(columns, 11));
    };
    row("runs", Tone::Strong, &check.command);
    let folder = match check.directory.as_str() {
        "" => "the root of the repository",
        folder => folder,
    };
    row("in", Tone::Plain, folder);
    row("from", Tone::Plain, &check.source);
    if !check.environment.is_empty() {
        row("sees", Tone::Plain, &check.environment.join(", "));
    }
    row("at most", Tone::Plain, &count(check.timeout_s, "second"));
    let tone = if question.sandboxed { Tone::Plain } else { Tone::Warning };
    row("sandbox", tone, &question.sandbox);
    if !check.definition.is_empty() {
        row("defined", Tone::Plain, "by these lines of the repository:");
        for line in check.definition.lines() {
            lines.extend(Line::new(Tone::Dim, "  | ").and(Tone::Plain, line).wrap(columns, 4));
        }
    }
    let meaning = "An approval is for exactly this: when any of it changes, you are asked again.";
    lines.extend(Line::new(Tone::Dim, meaning).wrap(columns, 2));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> CheckQuestion {
        let check = |name: &str| CheckView {
            hash: format!("hash of {name}"),
            argv: vec![name.into()],
            command: name.into(),
            directory: String::new(),
            source: "the repository's countersign.toml".into(),
            timeout_s: 600,
            environment: vec!["TOKEN".into()],
            definition: "test:\n\t\u{1b}[2Jrm -rf /".into(),
        };
        CheckQuestion {
            id: 7,
            digest: "d".into(),
            checks: vec![check("one"), check("two\u{1b}]0;x\u{7}\u{202e}"), check("three")],
            sandboxed: false,
            sandbox: "checks are not sandboxed".into(),
        }
    }

    fn answers(answers: &[Answer]) -> Vec<String> {
        let mut review = CheckReview::new(question());
        for answer in answers {
            assert!(review.next_page(80).is_some(), "there is something to answer");
            review.answer(answer, 80);
        }
        assert_eq!(review.next_page(80), None);
        review.answered().approve
    }

    #[test]
    fn what_is_not_answered_with_a_yes_is_not_approved() {
        use Answer::{Help, Leave, No, Yes};
        assert_eq!(answers(&[Yes, No, Yes]), ["hash of one", "hash of three"]);
        assert_eq!(answers(&[Help, No, Help, No, No]), [""; 0]);
        assert_eq!(answers(&[Leave]), [""; 0]);
        assert_eq!(answers(&[Yes, Leave]), ["hash of one"]);
        assert_eq!(answers(&[Answer::AcceptAll, Answer::AcceptFile, Leave]), [""; 0]);
    }

    #[test]
    fn all_of_a_check_is_shown_and_nothing_of_it_reaches_the_terminal_raw() {
        for columns in [80, 40] {
            let mut review = CheckReview::new(question());
            review.next_page(columns);
            review.answer(&Answer::Yes, columns);
            let lines = review.next_page(columns).unwrap();
            assert!(lines.iter().all(|line| line.width() <= columns));
            let text: String = lines.iter().map(|line| line.text() + "\n").collect();
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for part in [
                "Check 2 of 3",
                "\\u{1b}]0;x\\u{7}\\u{202e}",
                "the root of the repository",
                "countersign.toml",
                "TOKEN",
                "600 seconds",
                "not sandboxed",
                "\\u{1b}[2Jrm -rf /",
                "asked again",
            ] {
                assert!(words.contains(part), "{part} in {text}");
            }
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{text:?}");
        }
    }
}
