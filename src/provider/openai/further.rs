//! The other answers to one request: they come piece by piece between those of the first one, and each is
//! handed on when it is whole. It must not know how they were asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::wire::Choice;
use crate::repeats::Repeats;

/// For a server that writes an answer at once.
const LEAST: Duration = Duration::from_secs(1);

/// What came of the answers besides the first.
pub(super) struct Further {
    /// How many were asked for, the first included.
    wanted: u32,
    /// What the model was shown.
    shown: Arc<[String]>,
    answers: BTreeMap<u32, One>,
    /// When the first text of any answer came.
    began: Option<Instant>,
    /// When each answer ended, the first one's among them.
    ends: Vec<Instant>,
}

struct One {
    text: String,
    repeats: Repeats,
    /// Nothing of use comes any more.
    has_ended: bool,
}

impl Further {
    /// So many answers, the first included, to these texts.
    pub(super) fn new(wanted: u32, shown: Arc<[String]>) -> Further {
        Further { wanted, shown, answers: BTreeMap::new(), began: None, ends: Vec::new() }
    }

    /// Whether there may be any.
    pub(super) fn are_wanted(&self) -> bool {
        self.wanted > 1
    }

    /// Takes a piece, and gives the answer if this was its last one. One that was cut at its limit or goes round
    /// in circles is of no use. A server that sends more answers than it was asked for has nothing to add.
    pub(super) fn take(&mut self, choice: Choice) -> Option<String> {
        if choice.index >= self.wanted {
            return None;
        }
        self.begin();
        let new = || One { text: String::new(), repeats: Repeats::new(self.shown.clone()), has_ended: false };
        let one = self.answers.entry(choice.index).or_insert_with(new);
        let said = choice.delta.or(choice.message).and_then(|said| said.content).unwrap_or_default();
        one.text.push_str(&said);
        one.has_ended |= one.repeats.push(&said);
        if one.has_ended {
            return None;
        }
        let reason = choice.finish_reason.filter(|reason| !reason.is_empty())?;
        one.has_ended = true;
        let text = std::mem::take(&mut one.text);
        self.one_ended();
        (reason == "stop" && !text.is_empty()).then_some(text)
    }

    /// Notes that text came, of whichever answer.
    pub(super) fn begin(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    /// Notes that an answer ended, whichever.
    pub(super) fn one_ended(&mut self) {
        self.ends.push(Instant::now());
    }

    /// Whether one of them is still being written.
    pub(super) fn are_open(&self) -> bool {
        self.answers.values().any(|one| !one.has_ended)
    }

    /// How much longer to wait for what is not complete yet. Answers in which the model goes round must not
    /// keep the others: once half of them have ended, the rest has as long again, but a second at least. One
    /// that ends before may be a short excuse: the rest has three times as long then.
    pub(super) fn patience(&self) -> Option<Duration> {
        let (began, first) = (self.began?, self.ends.first()?);
        let half = (self.wanted as usize / 2).max(1);
        let until = match self.ends.get(half - 1) {
            Some(end) => *end + end.duration_since(began).max(LEAST),
            None => *first + 3 * first.duration_since(began).max(LEAST),
        };
        self.are_wanted().then(|| until.saturating_duration_since(Instant::now()))
    }
}
