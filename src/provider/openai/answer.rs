//! A running answer: events of either API in, chunks out, one end. It must not know how they were asked for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_openai::types::stream::StreamResponse;
use futures::StreamExt;

use super::super::blocks::head;
use super::super::error::{ProviderError, reported};
use super::super::quirks::Holding;
use super::super::{Chunk, Ending, Searchable, StopReason};
use super::Inner;
use super::transport::Told;
use super::wire::Event;

/// How long the token counts may take once the answer itself is complete.
const COUNTS_LIMIT: Duration = Duration::from_secs(2);

/// The reason comes first, the counts in a later event; both together make the end.
#[derive(Default)]
pub(super) struct Ended {
    reason: Option<StopReason>,
    /// Nothing follows.
    last: bool,
    prompt_tokens: Option<u32>,
    evaluated_tokens: Option<u32>,
    answer_tokens: Option<u32>,
}

/// A running answer: events in, chunks out.
pub(super) struct Answer {
    pub(super) inner: Arc<Inner>,
    pub(super) events: StreamResponse<Event>,
    pub(super) told: Told,
    pub(super) ready: VecDeque<Chunk>,
    pub(super) ending: Ended,
    /// What it was held to, if it was.
    pub(super) held: Option<Held>,
}

/// What an answer in held blocks has to begin with. A server may ignore what it was asked for.
pub(super) struct Held {
    heads: Vec<String>,
    /// What came, as far as it matters.
    begun: String,
}

impl Held {
    pub(super) fn new(blocks: &Searchable) -> Held {
        Held { heads: blocks.files.iter().map(|file| head(file)).collect(), begun: String::new() }
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
        !begun.is_empty() && self.heads.iter().any(|head| agrees(head.trim_start()))
    }
}

impl Answer {
    pub(super) async fn next(&mut self) -> Option<Result<Chunk, ProviderError>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            if self.ending.last {
                return Some(Ok(self.end()));
            }
            let event = if self.ending.reason.is_some() {
                // The text is whole. Counts are welcome, but not worth an error or a long wait.
                let limit = COUNTS_LIMIT.min(self.inner.limits.stall / 2);
                match tokio::time::timeout(limit, self.events.next()).await {
                    Ok(Some(Ok(event))) if event.error.is_none() => event,
                    _ => return Some(Ok(self.end())),
                }
            } else {
                match self.events.next().await? {
                    Ok(event) => event,
                    Err(error) => return Some(Err(self.inner.failure(error, &self.told))),
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

    fn take(&mut self, event: Event) -> Result<(), ProviderError> {
        let counts = event.counts();
        self.ending.last = event.last;
        self.ending.prompt_tokens = counts.prompt.or(self.ending.prompt_tokens);
        self.ending.evaluated_tokens = counts.evaluated.or(self.ending.evaluated_tokens);
        self.ending.answer_tokens = counts.answer.or(self.ending.answer_tokens);
        // We never ask for a second choice; a server that sends one has nothing to add to the first.
        let Some(choice) = event.choices.into_iter().flatten().find(|choice| choice.index == 0) else {
            return Ok(());
        };
        if let Some(said) = choice.delta.or(choice.message) {
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
        match choice.finish_reason.as_deref() {
            None | Some("") => {}
            Some("length") => self.ending.reason = Some(StopReason::Length),
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
            Some(_) => self.ending.reason = Some(StopReason::Complete),
        }
        Ok(())
    }

    fn end(&mut self) -> Chunk {
        if self.held.take().is_some_and(|held| !held.was_kept()) {
            self.inner.leave_free(Holding::Ignored);
        }
        let ended = std::mem::take(&mut self.ending);
        Chunk::End(Ending {
            reason: ended.reason.unwrap_or(StopReason::Complete),
            prompt_tokens: ended.prompt_tokens,
            evaluated_tokens: ended.evaluated_tokens,
            answer_tokens: ended.answer_tokens,
        })
    }
}
