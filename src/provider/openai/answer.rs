//! A running answer: events of either API in, chunks out, one end. It must not know how they were asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_openai::types::stream::StreamResponse;
use futures::StreamExt;
use tokio::time::Instant;

use super::super::error::{ProviderError, reported};
use super::super::quirks::Holding;
use super::super::{Chunk, Ending, StopReason};
use super::Inner;
use super::further::Further;
use super::transport::Told;
use super::wire::{Choice, Event};

/// How long the token counts may take once the answer itself is complete.
const COUNTS_LIMIT: Duration = Duration::from_secs(2);

/// The reason comes first, the counts in a later event; both together make the end.
#[derive(Default)]
struct Ended {
    reason: Option<StopReason>,
    /// Nothing follows.
    last: bool,
    prompt_tokens: Option<u32>,
    evaluated_tokens: Option<u32>,
    answer_tokens: Option<u32>,
}

/// A running answer: events in, chunks out.
pub(super) struct Answer {
    inner: Arc<Inner>,
    events: StreamResponse<Event>,
    told: Told,
    ready: VecDeque<Chunk>,
    ending: Ended,
    /// What it was held to, if it was.
    held: Option<Held>,
    further: Further,
    /// When the text of the first answer was complete.
    whole_since: Option<Instant>,
    /// Since when no other one is open either.
    all_since: Option<Instant>,
}

/// What a held answer has to begin with. A server may ignore what it was asked for.
pub(super) struct Held {
    /// Empty where it may begin with anything.
    heads: Vec<String>,
    /// What came, as far as it matters.
    begun: String,
}

impl Held {
    pub(super) fn new(heads: Vec<String>) -> Held {
        Held { heads, begun: String::new() }
    }

    fn take(&mut self, text: &str) {
        if self.heads.iter().any(|head| head.len() > self.begun.len()) {
            self.begun.push_str(text);
        }
    }

    /// Whether the answer began as it had to; cut ones as far as they go.
    fn was_kept(&self) -> bool {
        let begun = self.begun.trim_start();
        let agrees = |head: &str| begun.starts_with(head) || head.starts_with(begun);
        self.heads.is_empty() || !begun.is_empty() && self.heads.iter().any(|head| agrees(head.trim_start()))
    }
}

impl Answer {
    /// An answer, and others that were asked for with it.
    pub(super) fn new(
        inner: Arc<Inner>,
        events: StreamResponse<Event>,
        told: Told,
        held: Option<Held>,
        further: Further,
    ) -> Answer {
        let (ready, ending) = (VecDeque::new(), Ended::default());
        Answer { inner, events, told, ready, ending, held, further, whole_since: None, all_since: None }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Chunk, ProviderError>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            if self.ending.last {
                self.end();
                continue;
            }
            let next = match self.patience() {
                Some(limit) => tokio::time::timeout(limit, self.events.next()).await.ok(),
                None => Some(self.events.next().await),
            };
            let is_fine = matches!(&next, Some(Some(Ok(event))) if event.error.is_none());
            if self.ending.reason.is_some() && !is_fine {
                // The text is whole; what else may come is not worth an error.
                self.end();
                continue;
            }
            let event = match next {
                Some(Some(Ok(event))) => event,
                Some(Some(Err(error))) => return Some(Err(self.inner.failure(error, &self.told))),
                Some(None) => return None,
                None => {
                    // Another answer was complete long ago, so this one will not be.
                    self.ending.reason = Some(StopReason::Length);
                    self.end();
                    continue;
                }
            };
            if let Some(error) = &event.error {
                return Some(Err(self.inner.without_key(reported(self.inner.address.shown(), error))));
            }
            if let Err(error) = self.take(event) {
                return Some(Err(error));
            }
        }
    }

    /// How long to wait for the next event; `None` for as long as it takes.
    fn patience(&self) -> Option<Duration> {
        // Nothing is shown while the others are waited for, which must not look like a stall.
        let most = self.inner.limits.stall / 2;
        match (self.whole_since, self.all_since) {
            // Counts are welcome, but not worth a long wait, whatever else comes.
            (_, Some(since)) => Some(COUNTS_LIMIT.min(most).saturating_sub(since.elapsed())),
            (Some(since), None) => {
                self.further.patience().map(|patience| patience.min(most.saturating_sub(since.elapsed())))
            }
            (None, None) => self.further.patience(),
        }
    }

    fn take(&mut self, event: Event) -> Result<(), ProviderError> {
        let counts = event.counts();
        let choices = event.choices.unwrap_or_default();
        self.ending.last = event.last;
        self.ending.prompt_tokens = counts.prompt.or(self.ending.prompt_tokens);
        self.ending.evaluated_tokens = counts.evaluated.or(self.ending.evaluated_tokens);
        self.ending.answer_tokens = match (counts.answer, self.ending.answer_tokens) {
            // llama.cpp counts each of several answers apart, after its end.
            (Some(more), Some(before)) if choices.is_empty() && self.further.are_wanted() => {
                Some(before.saturating_add(more))
            }
            (now, before) => now.or(before),
        };
        for choice in choices {
            match choice.index {
                0 => self.take_first(choice)?,
                _ => self.ready.extend(self.further.take(choice).map(Chunk::Further)),
            }
        }
        if self.whole_since.is_some() && !self.further.are_open() {
            self.all_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    fn take_first(&mut self, choice: Choice) -> Result<(), ProviderError> {
        if let Some(said) = choice.delta.or(choice.message) {
            self.further.begin();
            let thinking = said.reasoning_content.or(said.reasoning);
            self.ready.extend(thinking.filter(|text| !text.is_empty()).map(Chunk::Thinking));
            if let (Some(held), Some(text)) = (&mut self.held, &said.content) {
                held.take(text);
            }
            self.ready.extend(said.content.filter(|text| !text.is_empty()).map(Chunk::Text));
            // Nobody offered tools. A model that calls one all the same has put its answer there.
            let calls = said.tool_calls.into_iter().flatten().filter_map(|call| call.function?.arguments);
            self.ready.extend(calls.filter(|text| !text.is_empty()).map(Chunk::Text));
        }
        let reason = match choice.finish_reason.as_deref() {
            None | Some("") => return Ok(()),
            Some("length") => StopReason::Length,
            Some("content_filter") => {
                return Err(ProviderError::ServerError {
                    url: self.inner.address.shown().to_owned(),
                    message: "its content filter stopped the answer".to_owned(),
                });
            }
            Some("error") => {
                return Err(ProviderError::ServerError {
                    url: self.inner.address.shown().to_owned(),
                    message: "it ended the answer with an error that it does not name".to_owned(),
                });
            }
            Some(_) => StopReason::Complete,
        };
        self.ending.reason = Some(reason);
        self.whole_since = Some(Instant::now());
        self.further.one_ended();
        Ok(())
    }

    /// Makes the end ready.
    fn end(&mut self) {
        if self.held.take().is_some_and(|held| !held.was_kept()) {
            self.inner.leave_free(Holding::Ignored);
        }
        let ended = std::mem::take(&mut self.ending);
        self.ready.push_back(Chunk::End(Ending {
            reason: ended.reason.unwrap_or(StopReason::Complete),
            prompt_tokens: ended.prompt_tokens,
            evaluated_tokens: ended.evaluated_tokens,
            answer_tokens: ended.answer_tokens,
        }));
    }
}
