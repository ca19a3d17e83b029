//! The approval dialogue without its terminal: what to show, what to ask, what an answer does.
//!
//! Pure. A hunk is accepted only by an answer to a question that was asked after the hunk had been
//! shown whole; everything else is declined. It must not know how keys are read, and it must not
//! apply anything: it ends in a [`Decision`], which the engine checks.

use std::collections::BTreeSet;

use crate::protocol::{Approval, ChangeKind, CheckResult, Decision, FileReview, HunkReview};
use crate::ui::diff;
use crate::ui::text::{Line, Tone, count, duration};

/// What is asked: the answers that are valid depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// About the hunk above.
    Hunk,
    /// About several hunks, all of them shown above.
    Several(usize),
}

impl Prompt {
    /// The question, short enough for 40 columns.
    pub fn text(self) -> String {
        match self {
            Prompt::Hunk => "Apply? [y n a d A w q ?]".into(),
            Prompt::Several(hunks) => format!("Apply all {hunks}? [y n]"),
        }
    }

    /// What a typed line means here. An empty line means nothing, so that Enter alone signs nothing.
    ///
    /// # Errors
    /// The sentence to show before asking again.
    pub fn parse(self, typed: &str) -> Result<Answer, &'static str> {
        match (self, typed.trim()) {
            (_, "y" | "yes") => Ok(Answer::Yes),
            (_, "n" | "no") => Ok(Answer::No),
            (_, "q") => Ok(Answer::DeclineRest),
            (_, "w") => Ok(Answer::Why),
            (_, "?" | "help") => Ok(Answer::Help),
            (Prompt::Hunk, "a") => Ok(Answer::AcceptFile),
            (Prompt::Hunk, "d") => Ok(Answer::DeclineFile),
            (Prompt::Hunk, "A") => Ok(Answer::AcceptAll),
            (Prompt::Hunk, "") => Err("y applies, n does not; ? lists the keys"),
            (Prompt::Hunk, _) => Err("answer y, n, a, d, A, w, q or ?"),
            (Prompt::Several(_), _) => Err("answer y or n"),
        }
    }
}

/// One answer of the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Yes,
    No,
    AcceptFile,
    DeclineFile,
    AcceptAll,
    DeclineRest,
    Why,
    Help,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Ask(Vec<Line>, Prompt),
    Done(Vec<Line>, Decision),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Declined,
}

/// An approval on its way to a decision.
pub struct Review {
    approval: Approval,
    /// File and hunk of each place, in the order of the approval.
    places: Vec<(usize, usize)>,
    /// One for each place answered so far; the place in question is the next.
    verdicts: Vec<Verdict>,
    /// Places before this one have been shown.
    shown: usize,
    /// Where the places that the open question covers end.
    until: usize,
    /// What to show before the next question.
    pending: Vec<Line>,
}

impl Review {
    pub fn new(approval: Approval, columns: usize) -> Review {
        let hunks = |(at, file): (usize, &FileReview)| (0..file.hunks.len()).map(move |hunk| (at, hunk));
        let places: Vec<_> = approval.files.iter().enumerate().flat_map(hunks).collect();
        let files = approval.files.len() as u64;
        let title = format!("Review: {} in {}", count(places.len() as u64, "hunk"), count(files, "file"));
        let mut pending = vec![Line::default(), Line::new(Tone::Heading, &title)];
        pending.extend(checks(&approval.checks).into_iter().flat_map(|line| line.wrap(columns, 4)));
        for file in approval.files.iter().filter(|file| file.hunks.is_empty()) {
            let text = format!("{} came without a hunk, so that there is nothing to decide", file.path);
            pending.extend(Line::new(Tone::Warning, &text).wrap(columns, 2));
        }
        let mut review = Review { approval, places, verdicts: Vec::new(), shown: 0, until: 0, pending };
        review.turn_to_next(columns);
        review
    }

    /// [`Approval::id`].
    pub fn id(&self) -> u64 {
        self.approval.id
    }

    /// The decision that applies nothing, whatever was answered before.
    pub fn decline_all(&self) -> Decision {
        Decision { approval: self.approval.id, digest: self.approval.digest.clone(), accept: Vec::new() }
    }

    /// What to show and to ask now, or the decision.
    pub fn next_question(&mut self) -> Next {
        let lines = std::mem::take(&mut self.pending);
        if self.verdicts.len() == self.places.len() {
            let total = self.places.len();
            let accept = self.accepted();
            let text = format!("{} of {} accepted", accept.len(), count(total as u64, "hunk"));
            let mut lines = lines;
            lines.push(Line::new(Tone::Strong, &text));
            let digest = self.approval.digest.clone();
            return Next::Done(lines, Decision { approval: self.approval.id, digest, accept });
        }
        let covered = self.until - self.verdicts.len();
        Next::Ask(lines, if covered == 1 { Prompt::Hunk } else { Prompt::Several(covered) })
    }

    /// Follows one answer to the open question.
    pub fn answer(&mut self, answer: Answer, columns: usize) {
        let at = self.verdicts.len();
        if at == self.places.len() {
            return;
        }
        let several = self.until - at > 1;
        match answer {
            Answer::Yes => self.settle(self.until, Verdict::Accepted, columns),
            // A "no" to several goes back to the one in question; nothing is decided by it.
            Answer::No if several => {
                self.until = at + 1;
                self.pending = self.place(at, columns);
            }
            Answer::No => self.settle(at + 1, Verdict::Declined, columns),
            Answer::AcceptFile => self.offer(self.file_end(at), columns),
            Answer::AcceptAll => self.offer(self.places.len(), columns),
            Answer::DeclineFile => self.settle(self.file_end(at), Verdict::Declined, columns),
            Answer::DeclineRest => self.settle(self.places.len(), Verdict::Declined, columns),
            Answer::Why => self.pending = self.why(at, columns),
            Answer::Help => self.pending = help(columns),
        }
    }

    /// Ids to apply. Should an id stand for two places, both must have been accepted.
    fn accepted(&self) -> Vec<u32> {
        let id = |place: &(usize, usize)| self.approval.files[place.0].hunks[place.1].id;
        let declined: Vec<u32> = self
            .places
            .iter()
            .zip(&self.verdicts)
            .filter(|(_, verdict)| **verdict == Verdict::Declined)
            .map(|(place, _)| id(place))
            .collect();
        let accepted: BTreeSet<u32> =
            self.places.iter().map(id).filter(|id| !declined.contains(id)).collect();
        accepted.into_iter().collect()
    }

    fn settle(&mut self, until: usize, verdict: Verdict, columns: usize) {
        self.verdicts.resize(until, verdict);
        self.turn_to_next(columns);
    }

    /// Asks about the next place alone, and shows it.
    fn turn_to_next(&mut self, columns: usize) {
        let at = self.verdicts.len();
        if at < self.places.len() {
            self.until = at + 1;
            let lines = self.place(at, columns);
            self.pending.extend(lines);
            self.shown = self.shown.max(at + 1);
        }
    }

    /// Offers to accept everything up to `until`. What has not been shown yet is shown first, and
    /// then there is one more question: nobody signs what they had no chance to read.
    fn offer(&mut self, until: usize, columns: usize) {
        if until <= self.verdicts.len() + 1 {
            return self.settle(until, Verdict::Accepted, columns);
        }
        self.until = until;
        self.pending = (self.shown..until).flat_map(|at| self.place(at, columns)).collect();
        self.shown = self.shown.max(until);
    }

    fn file_end(&self, at: usize) -> usize {
        let file = self.places[at].0;
        at + self.places[at..].iter().take_while(|place| place.0 == file).count()
    }

    /// One hunk, whole, under the name of its file.
    fn place(&self, at: usize, columns: usize) -> Vec<Line> {
        let (file, number) = self.places[at];
        let file = &self.approval.files[file];
        let hunk = &file.hunks[number];
        let mut lines = vec![Line::default()];
        lines.extend(title(file).wrap(columns, 2));
        if let Some(why) = file.why.first() {
            lines.extend(Line::new(Tone::Dim, "  why: ").and(Tone::Dim, why).wrap(columns, 7));
        }
        let position = format!("hunk {} of {}  ", at + 1, self.places.len());
        let head = Line::new(Tone::Strong, &position).and(Tone::Heading, &hunk.header).join(tier(hunk));
        lines.extend(head.wrap(columns, 2));
        lines.extend(diff::hunk(hunk, columns));
        lines
    }

    fn why(&self, at: usize, columns: usize) -> Vec<Line> {
        let file = &self.approval.files[self.places[at].0];
        let mut lines = title(file).wrap(columns, 2);
        if file.why.is_empty() {
            lines.push(Line::new(Tone::Dim, "  no reasons were recorded"));
        }
        for why in &file.why {
            lines.extend(Line::new(Tone::Plain, "  - ").and(Tone::Plain, why).wrap(columns, 4));
        }
        for check in &self.approval.checks {
            lines.extend(labelled_check(check).wrap(columns, 2));
            lines.extend(output(&check.output_tail, columns));
        }
        lines
    }
}

/// What happens to which file.
pub fn title(file: &FileReview) -> Line {
    let (verb, tone) = match file.change {
        ChangeKind::Create => ("create", Tone::Strong),
        ChangeKind::Modify => ("change", Tone::Strong),
        ChangeKind::Delete => ("DELETE", Tone::Bad),
        ChangeKind::Rename => ("RENAME", Tone::Warning),
    };
    let line = Line::new(tone, verb).and(Tone::Plain, " ");
    match file.change == ChangeKind::Rename || file.old_path != file.path {
        true => line.and(Tone::Strong, &file.old_path).and(Tone::Plain, " -> ").and(Tone::Strong, &file.path),
        false => line.and(Tone::Strong, &file.path),
    }
}

/// How the hunk was placed; anything but an exact match is worth a second look.
pub fn tier(hunk: &HunkReview) -> Line {
    let tone = if hunk.tier == "exact" { Tone::Dim } else { Tone::Warning };
    match hunk.tier.is_empty() {
        true => Line::default(),
        false => Line::new(tone, "  match: ").and(tone, &hunk.tier),
    }
}

fn checks(checks: &[CheckResult]) -> Vec<Line> {
    match checks {
        [] => vec![Line::new(Tone::Dim, "no check ran on this patch")],
        checks => checks.iter().map(labelled_check).collect(),
    }
}

/// How a check ended, in a few words.
pub fn check(result: &CheckResult) -> Line {
    let (tone, how) = match (result.passed, result.timed_out, result.exit_code) {
        (true, _, _) => (Tone::Good, "passed".to_string()),
        (false, true, _) => (Tone::Bad, "ran out of time".to_string()),
        (false, false, Some(code)) => (Tone::Bad, format!("FAILED with exit code {code}")),
        (false, false, None) => (Tone::Bad, "was killed".to_string()),
    };
    let took = format!(" after {}", duration(result.millis));
    Line::new(tone, &how).and(Tone::Dim, &took)
}

fn labelled_check(result: &CheckResult) -> Line {
    Line::new(Tone::Plain, "check ").join(check(result))
}

/// The end of what a check printed, indented.
pub fn output(tail: &str, columns: usize) -> Vec<Line> {
    let indent = |part: Line| Line::new(Tone::Dim, "  | ").join(part);
    let room = columns.saturating_sub(4).max(8);
    tail.lines().flat_map(|line| Line::new(Tone::Dim, line).fold(room)).map(indent).collect()
}

fn help(columns: usize) -> Vec<Line> {
    let keys = [
        ("y", "apply this hunk"),
        ("n", "do not apply this hunk"),
        ("a", "apply this and the rest of this file, after showing them"),
        ("d", "decline this and the rest of this file"),
        ("A", "apply this and all that follow, after showing them"),
        ("w", "why: reasons for this file, output of the checks"),
        ("q", "decline this and all that follow"),
        ("Esc", "or Ctrl-C: cancel, nothing is written"),
    ];
    let line = |(key, text): &(&str, &str)| {
        Line::new(Tone::Strong, &format!("  {key:<4}")).and(Tone::Plain, text).wrap(columns, 6)
    };
    let mut lines: Vec<Line> = keys.iter().flat_map(line).collect();
    lines.extend(Line::new(Tone::Dim, "  Nothing is written before the last answer.").wrap(columns, 2));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunk(id: u32) -> HunkReview {
        let lines = vec![format!("-old {id}"), format!("+new {id}")];
        HunkReview { id, header: format!("@@ -{id} +{id} @@"), lines, tier: "exact".into() }
    }

    /// Two files of two hunks (1, 2) and one of one (3), then one of two (4, 5).
    fn approval() -> Approval {
        let file = |path: &str, ids: &[u32]| FileReview {
            old_path: path.into(),
            path: path.into(),
            change: ChangeKind::Modify,
            hunks: ids.iter().map(|id| hunk(*id)).collect(),
            why: vec!["step 1: make it so".into(), "path +1.20: \"a\"".into()],
        };
        let files = vec![file("a.rs", &[1, 2]), file("b.rs", &[3]), file("c.rs", &[4, 5])];
        Approval { id: 7, digest: "abc".into(), files, checks: vec![] }
    }

    /// Answers a whole review; gives the accepted ids and every line shown.
    fn decide(approval: Approval, answers: &str) -> (Vec<u32>, String) {
        let mut review = Review::new(approval, 80);
        let mut answers = answers.chars();
        let mut text = String::new();
        let mut add = |lines: &[Line]| lines.iter().for_each(|line| text += &(line.text() + "\n"));
        loop {
            match review.next_question() {
                Next::Ask(lines, prompt) => {
                    add(&lines);
                    let key = answers.next().expect("the answers suffice").to_string();
                    review.answer(prompt.parse(&key).expect("a valid key"), 80);
                }
                Next::Done(lines, decision) => {
                    add(&lines);
                    assert_eq!((decision.approval, decision.digest.as_str()), (7, "abc"));
                    assert_eq!(answers.as_str(), "", "answers left over");
                    return (decision.accept, text);
                }
            }
        }
    }

    #[test]
    fn answers_decide_what_they_say() {
        for (answers, expected) in [
            ("yyyyy", vec![1, 2, 3, 4, 5]),
            ("nnnnn", vec![]),
            ("ynyny", vec![1, 3, 5]),
            ("ayyd", vec![1, 2, 3]),
            ("dyyn", vec![3, 4]),
            ("Ay", vec![1, 2, 3, 4, 5]),
            ("yAy", vec![1, 2, 3, 4, 5]),
            ("q", vec![]),
            ("yq", vec![1]),
            ("w?w?yq", vec![1]),
            ("Anq", vec![]),
            ("Aq", vec![]),
            ("A?wnyq", vec![1]),
        ] {
            assert_eq!(decide(approval(), answers).0, expected, "answers {answers}");
        }
    }

    #[test]
    fn every_hunk_is_shown_before_it_can_be_accepted() {
        for answers in ["yyyyy", "ayyay", "Ay", "yyAy", "yyyay"] {
            let (accepted, text) = decide(approval(), answers);
            assert_eq!(accepted.len(), 5, "answers {answers}");
            for id in 1..=5 {
                assert_eq!(text.matches(&format!("+ new {id}")).count(), 1, "hunk {id} of {answers}: {text}");
            }
        }
    }

    #[test]
    fn enter_and_noise_are_no_answers() {
        for typed in ["", " ", "\t", "yy", "Y", "ja", "1", "\u{1b}", "y\u{200b}", "all"] {
            assert!(Prompt::Hunk.parse(typed).is_err(), "{typed:?}");
            assert!(Prompt::Several(2).parse(typed).is_err(), "{typed:?}");
        }
        assert!(Prompt::Several(2).parse("A").is_err());
        assert_eq!(Prompt::Hunk.parse(" y "), Ok(Answer::Yes));
    }

    #[test]
    fn an_approval_without_hunks_accepts_nothing() {
        let mut empty = approval();
        empty.files.iter_mut().for_each(|file| file.hunks.clear());
        let (accepted, text) = decide(empty, "");
        assert!(accepted.is_empty());
        assert!(text.contains("a.rs came without a hunk"), "{text}");
    }

    #[test]
    fn an_id_used_twice_needs_both_answers() {
        let mut twice = approval();
        twice.files[1].hunks[0].id = 1;
        assert_eq!(decide(twice.clone(), "ynnnn").0, Vec::<u32>::new());
        assert_eq!(decide(twice, "ynynn").0, vec![1]);
    }

    fn screen(approval: Approval, columns: usize) -> String {
        let Next::Ask(lines, prompt) = Review::new(approval, columns).next_question() else {
            panic!("a question")
        };
        assert!(lines.iter().all(|line| line.width() <= columns));
        assert!(prompt.text().len() <= 36);
        let text: Vec<String> = lines.iter().map(Line::text).collect();
        text.join("\n")
    }

    #[test]
    fn a_hunk_stands_with_its_evidence() {
        let mut failing = approval();
        failing.files[0].hunks[0].tier = "whitespace".into();
        failing.checks = vec![CheckResult {
            passed: false,
            exit_code: Some(101),
            timed_out: false,
            output_tail: "boom\n".into(),
            millis: 3_200,
        }];
        let expected = "
Review: 5 hunks in 3 files
check FAILED with exit code 101 after 3.2 s

change a.rs
  why: step 1: make it so
hunk 1 of 5  @@ -1 +1 @@  match: whitespace
1   - old 1
  1 + new 1";
        assert_eq!(screen(failing.clone(), 80), expected);
        let narrow = "
Review: 5 hunks in 3 files
check FAILED with exit code 101 after
    3.2 s

change a.rs
  why: step 1: make it so
hunk 1 of 5  @@ -1 +1 @@  match:
  whitespace
1 - old 1
1 + new 1";
        assert_eq!(screen(failing, 40), narrow);
    }

    #[test]
    fn why_gives_all_reasons_and_the_check_output() {
        let mut checked = approval();
        checked.checks = vec![CheckResult {
            passed: true,
            exit_code: Some(0),
            timed_out: false,
            output_tail: "ok \u{1b}[2J\nall good".into(),
            millis: 12,
        }];
        let (_, text) = decide(checked, "wq");
        assert!(text.contains("  - step 1: make it so\n  - path +1.20: \"a\"\n"), "{text}");
        assert!(text.contains("check passed after 12 ms\n  | ok "), "{text}");
        assert!(text.contains("  | all good"));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn hostile_names_reasons_and_tiers_are_escaped() {
        let evil = "x\u{1b}]0;t\u{7}\u{202e}\r\n\u{200b}";
        let mut hostile = approval();
        for file in &mut hostile.files {
            (file.path, file.old_path, file.why) = (evil.into(), "b".into(), vec![evil.into()]);
            file.hunks.iter_mut().for_each(|hunk| (hunk.tier, hunk.header) = (evil.into(), evil.into()));
        }
        let (_, text) = decide(hostile, "wAy");
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}' || c == '\u{200b}';
        assert!(!text.contains(bad), "{text:?}");
    }

    proptest::proptest! {
        /// Whatever is typed: what is accepted had been shown before the answer that accepted it.
        #[test]
        fn nothing_unseen_is_accepted(typed in proptest::collection::vec("[yndaAw?q]|", 0..40)) {
            let mut review = Review::new(approval(), 60);
            let mut seen = String::new();
            let mut typed = typed.into_iter();
            let decision = loop {
                match review.next_question() {
                    Next::Done(_, decision) => break decision,
                    Next::Ask(lines, prompt) => {
                        lines.iter().for_each(|line| seen += &(line.text() + "\n"));
                        let Some(key) = typed.next() else { break review.decline_all() };
                        if let Ok(answer) = prompt.parse(&key) {
                            review.answer(answer, 60);
                        }
                        for (place, verdict) in review.places.iter().zip(&review.verdicts) {
                            let id = review.approval.files[place.0].hunks[place.1].id;
                            let shown = seen.contains(&format!("+ new {id}\n"));
                            proptest::prop_assert!(*verdict == Verdict::Declined || shown);
                        }
                    }
                }
            };
            let unseen = decision.accept.iter().filter(|id| !seen.contains(&format!("+ new {id}\n"))).count();
            proptest::prop_assert_eq!(unseen, 0);
        }
    }
}
