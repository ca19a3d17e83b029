//! The approval dialogue without its terminal: what to show, what to ask, what an answer does.
//!
//! Pure. A hunk is accepted only by an answer to a question that was asked after the hunk had been
//! shown whole; what is not answered is left pending. It must not know how keys are read, and it
//! must not apply anything: it ends in a [`Decision`], which the engine checks.

mod page;
mod prompt;

use std::collections::BTreeSet;

pub use self::page::{check, output, tier, title};
pub use self::prompt::{Answer, KEYS, Key, Prompt};
use crate::protocol::{Approval, Decision, Feedback, FileReview, HunkChange, HunkReview, Revision, Show};
use crate::ui::text::{Line, Tone, count};

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Ask(Vec<Line>, Prompt),
    /// Something for the engine, which answers with an event; the question comes again then.
    Revise(Vec<Line>, Revision),
    Show(Vec<Line>, Show),
    /// The lines of a hunk for the owner's editor.
    Edit(Vec<Line>, Vec<String>),
    Done(Vec<Line>, Decision),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Declined,
    /// Declined, with the owner's words for the Coder.
    SentBack(String),
}

/// What an answer asks for besides a verdict.
#[derive(Debug)]
enum Wanted {
    Split,
    Edit,
    Show,
}

/// An approval on its way to a decision.
pub struct Review {
    approval: Approval,
    /// File and hunk of each place, in the order of the approval.
    places: Vec<(usize, usize)>,
    /// What was answered about each place, if anything.
    verdicts: Vec<Option<Verdict>>,
    /// Verdicts as they were before each answer that gave any, with the place it was given at.
    history: Vec<(Vec<Option<Verdict>>, usize)>,
    /// Places that have been shown.
    shown: BTreeSet<usize>,
    /// The place in question.
    at: usize,
    /// Further places that a "yes" to the open question covers.
    covered: Vec<usize>,
    /// The owner leaves what is not answered.
    left: bool,
    wanted: Option<Wanted>,
    /// What to show before the next question.
    pending: Vec<Line>,
}

impl Review {
    pub fn new(approval: Approval, columns: usize) -> Review {
        let hunks = |(at, file): (usize, &FileReview)| (0..file.hunks.len()).map(move |hunk| (at, hunk));
        let places: Vec<_> = approval.files.iter().enumerate().flat_map(hunks).collect();
        let pending = page::head(&approval, places.len(), columns);
        let verdicts = vec![None; places.len()];
        let mut review = Review {
            approval,
            places,
            verdicts,
            history: Vec::new(),
            shown: BTreeSet::new(),
            at: 0,
            covered: Vec::new(),
            left: false,
            wanted: None,
            pending,
        };
        review.turn_to(0, columns);
        review
    }

    /// The same review of the approval that takes this one's place. What was answered about a hunk
    /// stands if the very same hunk is there again: path, place, and lines.
    pub fn revised(self, approval: Approval, columns: usize) -> Review {
        // After a revision the review goes on where it was; after new work, with what is new.
        let from = if approval.replaces.is_some() { self.at } else { 0 };
        let old = self.answers();
        let refused = approval.refused.clone();
        let mut review = Review::new(approval, columns);
        review.pending.clear();
        review.shown.clear();
        if let Some(reason) = refused {
            review.pending.extend(Line::new(Tone::Warning, &reason).wrap(columns, 2));
        }
        for at in 0..review.places.len() {
            let key = review.key(at);
            if let Some((shown, verdict)) =
                old.iter().find(|(known, ..)| *known == key).map(|(_, s, v)| (s, v))
            {
                review.verdicts[at].clone_from(verdict);
                if *shown {
                    review.shown.insert(at);
                }
            }
        }
        if let Some(at) = review.next_open(from.min(review.places.len())) {
            review.turn_to(at, columns);
        }
        review
    }

    /// The same answers, but for the hunks that went back to the Coder.
    pub fn without_feedback(mut self) -> Review {
        for verdict in &mut self.verdicts {
            if matches!(verdict, Some(Verdict::SentBack(_))) {
                *verdict = None;
            }
        }
        self
    }

    /// [`Approval::id`].
    pub fn id(&self) -> u64 {
        self.approval.id
    }

    /// The decision that applies nothing and leaves all of it pending, whatever was answered before.
    pub fn leave_all(&self) -> Decision {
        let pending = (0..self.places.len()).map(|at| self.hunk(at).id).collect();
        Decision { pending, ..self.decision() }
    }

    /// What to show and to ask now, or what the engine has to do.
    pub fn next_question(&mut self) -> Next {
        let mut lines = std::mem::take(&mut self.pending);
        if self.left || self.verdicts.iter().all(Option::is_some) {
            let decision = self.decided();
            let total = count(self.places.len() as u64, "hunk");
            let mut text = format!("{} of {total} accepted", decision.accept.len());
            if !decision.feedback.is_empty() {
                text = "sent back to the coder; nothing is written yet".to_owned();
            } else if !decision.pending.is_empty() {
                text += &format!(", {} left pending", decision.pending.len());
            }
            lines.push(Line::new(Tone::Strong, &text));
            return Next::Done(lines, decision);
        }
        let wanted = self.wanted.take();
        let hunk = self.hunk(self.at);
        let revision = |change| Revision {
            approval: self.approval.id,
            digest: self.approval.digest.clone(),
            hunk: hunk.id,
            change,
        };
        match wanted {
            None if self.covered.is_empty() => Next::Ask(lines, Prompt::Hunk),
            None => Next::Ask(lines, Prompt::Several(self.covered.len() + 1)),
            Some(Wanted::Split) => Next::Revise(lines, revision(HunkChange::Split {})),
            Some(Wanted::Edit) => Next::Edit(lines, hunk.lines.clone()),
            Some(Wanted::Show) => {
                let path = self.file(self.at).path.clone();
                Next::Show(lines, Show { approval: self.approval.id, path })
            }
        }
    }

    /// What the owner's editor left of the hunk in question; nothing, if it is as it was.
    pub fn edited(&self, lines: Vec<String>) -> Option<Revision> {
        let hunk = self.hunk(self.at);
        (lines != hunk.lines && !lines.is_empty()).then(|| Revision {
            approval: self.approval.id,
            digest: self.approval.digest.clone(),
            hunk: hunk.id,
            change: HunkChange::Edit { lines },
        })
    }

    /// Follows one answer to the open question.
    pub fn answer(&mut self, answer: Answer, columns: usize) {
        if self.places.is_empty() {
            return;
        }
        let here = self.at;
        match answer {
            Answer::Yes => self.settle(Verdict::Accepted, columns),
            // A "no" to several goes back to the one in question; nothing is decided by it.
            Answer::No if !self.covered.is_empty() => self.turn_to(here, columns),
            Answer::No => self.settle(Verdict::Declined, columns),
            Answer::SendBack(text) => self.settle(Verdict::SentBack(text), columns),
            Answer::AcceptFile => self.offer(self.open_after(Some(self.places[here].0)), columns),
            Answer::AcceptAll => self.offer(self.open_after(None), columns),
            Answer::DeclineFile => {
                self.covered = self.open_after(Some(self.places[here].0));
                self.settle(Verdict::Declined, columns);
            }
            Answer::Leave => self.left = true,
            Answer::Split => self.wanted = Some(Wanted::Split),
            Answer::Edit => self.wanted = Some(Wanted::Edit),
            Answer::Whole => self.wanted = Some(Wanted::Show),
            Answer::Why => self.pending = page::why(&self.approval, self.file(here), columns),
            Answer::Next => self.turn_to((here + 1) % self.places.len(), columns),
            Answer::Previous => self.turn_to((here + self.places.len() - 1) % self.places.len(), columns),
            Answer::Undo => match self.history.pop() {
                Some((verdicts, at)) => {
                    self.verdicts = verdicts;
                    self.turn_to(at, columns);
                }
                None => self.pending = vec![Line::new(Tone::Warning, "nothing is answered yet")],
            },
            Answer::Help => self.pending = page::help(columns),
        }
    }

    fn file(&self, at: usize) -> &FileReview {
        &self.approval.files[self.places[at].0]
    }

    fn hunk(&self, at: usize) -> &HunkReview {
        &self.file(at).hunks[self.places[at].1]
    }

    /// What makes a hunk the same hunk in another approval of the same base.
    fn key(&self, at: usize) -> (String, u64, Vec<String>) {
        let (start, _) = crate::ui::diff::starts(&self.hunk(at).header);
        (self.file(at).path.clone(), start, self.hunk(at).lines.clone())
    }

    #[expect(clippy::type_complexity, reason = "only for the one loop in `revised`")]
    fn answers(&self) -> Vec<((String, u64, Vec<String>), bool, Option<Verdict>)> {
        let one = |at: usize| (self.key(at), self.shown.contains(&at), self.verdicts[at].clone());
        (0..self.places.len()).map(one).collect()
    }

    fn decision(&self) -> Decision {
        Decision { approval: self.approval.id, digest: self.approval.digest.clone(), ..Decision::default() }
    }

    /// The decision as answered. Should an id stand for two places, both must have been accepted.
    fn decided(&self) -> Decision {
        let mut decision = self.decision();
        let ids = |wanted: &dyn Fn(&Option<Verdict>) -> bool| -> BTreeSet<u32> {
            let places = (0..self.places.len()).filter(|at| wanted(&self.verdicts[*at]));
            places.map(|at| self.hunk(at).id).collect()
        };
        let open = ids(&Option::is_none);
        let declined = ids(&|verdict| matches!(verdict, Some(Verdict::Declined | Verdict::SentBack(_))));
        let accepted = ids(&|verdict| *verdict == Some(Verdict::Accepted));
        decision.accept =
            accepted.iter().filter(|id| !declined.contains(id) && !open.contains(id)).copied().collect();
        decision.pending = open.difference(&declined).copied().collect();
        for at in 0..self.places.len() {
            if let Some(Verdict::SentBack(text)) = &self.verdicts[at] {
                decision.feedback.push(Feedback { hunks: vec![self.hunk(at).id], text: text.clone() });
            }
        }
        decision
    }

    /// Gives this verdict to the place in question and the ones covered, and asks about the next.
    fn settle(&mut self, verdict: Verdict, columns: usize) {
        self.history.push((self.verdicts.clone(), self.at));
        let covered = std::mem::take(&mut self.covered);
        for at in covered.into_iter().chain([self.at]) {
            self.verdicts[at] = Some(verdict.clone());
        }
        if let Some(next) = self.next_open(self.at) {
            self.turn_to(next, columns);
        }
    }

    /// The next place without an answer, at or after this one, or before it.
    fn next_open(&self, from: usize) -> Option<usize> {
        let all = self.places.len();
        (from..all).chain(0..from.min(all)).find(|at| self.verdicts[*at].is_none())
    }

    /// Asks about one place alone, and shows it.
    fn turn_to(&mut self, at: usize, columns: usize) {
        self.covered.clear();
        if at >= self.places.len() {
            return;
        }
        self.at = at;
        let lines = self.place(at, columns);
        self.pending.extend(lines);
        self.shown.insert(at);
    }

    /// Offers to accept these places with the one in question. What has not been shown yet is shown
    /// first, and then there is one more question: nobody signs what they had no chance to read.
    fn offer(&mut self, others: Vec<usize>, columns: usize) {
        if others.is_empty() {
            return self.settle(Verdict::Accepted, columns);
        }
        let unseen = others.iter().filter(|at| !self.shown.contains(at));
        self.pending = unseen.flat_map(|at| self.place(*at, columns)).collect();
        self.shown.extend(others.iter().copied());
        self.covered = others;
    }

    /// Places behind the one in question that have no answer, perhaps of one file only.
    fn open_after(&self, file: Option<usize>) -> Vec<usize> {
        let open = |at: &usize| self.verdicts[*at].is_none();
        let wanted = |at: &usize| file.is_none_or(|file| self.places[*at].0 == file);
        (self.at + 1..self.places.len()).filter(open).filter(wanted).collect()
    }

    /// One hunk, whole, under the name of its file.
    fn place(&self, at: usize, columns: usize) -> Vec<Line> {
        let mut lines = page::place(self.file(at), self.hunk(at), (at + 1, self.places.len()), columns);
        let said = match &self.verdicts[at] {
            None => return lines,
            Some(Verdict::Accepted) => "answered so far: apply".to_owned(),
            Some(Verdict::Declined) => "answered so far: do not apply".to_owned(),
            Some(Verdict::SentBack(text)) => format!("answered so far: back to the coder: {text}"),
        };
        lines.extend(Line::new(Tone::Dim, &said).wrap(columns, 2));
        lines
    }
}

#[cfg(test)]
mod tests;
