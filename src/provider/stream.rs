//! How an answer has to end: with exactly one [`Chunk::End`] or one error, and nothing after.
//!
//! Every provider's stream passes through here, so that a silent server, one that never stops and one
//! that just closes the connection look the same to the caller whichever dialect it speaks. This file
//! must not know any dialect.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};

use super::error::ProviderError;
use super::{Chunk, Ending, Limits, StopReason};

type Chunks = Pin<Box<dyn Stream<Item = Result<Chunk, ProviderError>> + Send>>;

/// A running answer. Dropping it closes the connection.
pub struct ChatStream {
    chunks: Chunks,
}

impl std::fmt::Debug for ChatStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ChatStream").finish_non_exhaustive()
    }
}

impl Stream for ChatStream {
    type Item = Result<Chunk, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.as_mut().poll_next(context)
    }
}

/// Bytes that a token can plausibly stand for; the longest in common vocabularies are runs of 128
/// spaces. Text beyond this many bytes for each allowed token means that the limit is ignored.
const BYTES_PER_TOKEN: u64 = 128;

/// Bytes on the wire that a token can plausibly cost: its text, escaped, in an event of its own.
const WIRE_PER_TOKEN: usize = 4096;

/// Most bytes of a whole answer on the wire.
pub(super) fn wire_limit(answer_limit: u32) -> usize {
    1024 * 1024 + WIRE_PER_TOKEN.saturating_mul(answer_limit as usize)
}

struct Watched {
    chunks: Chunks,
    url: String,
    limits: Limits,
    text_limit: u64,
    received: u64,
    over: bool,
}

impl ChatStream {
    /// Puts the common rules around a dialect's chunks.
    pub(super) fn watched(
        chunks: impl Stream<Item = Result<Chunk, ProviderError>> + Send + 'static,
        url: &str,
        limits: Limits,
        answer_limit: u32,
    ) -> ChatStream {
        let watched = Watched {
            chunks: Box::pin(chunks),
            url: url.to_owned(),
            limits,
            text_limit: 4096 + BYTES_PER_TOKEN * u64::from(answer_limit),
            received: 0,
            over: false,
        };
        let chunks = futures::stream::unfold(watched, |mut watched| async move {
            let item = watched.next().await?;
            Some((item, watched))
        });
        ChatStream { chunks: Box::pin(chunks) }
    }
}

impl Watched {
    async fn next(&mut self) -> Option<Result<Chunk, ProviderError>> {
        if self.over {
            return None;
        }
        let item = if self.received == 0 {
            self.chunks.next().await
        } else {
            match tokio::time::timeout(self.limits.stall, self.chunks.next()).await {
                Ok(item) => item,
                Err(_) => Some(Err(ProviderError::Stalled {
                    url: self.url.clone(),
                    seconds: self.limits.stall.as_secs(),
                })),
            }
        };
        let item = match item {
            Some(Ok(Chunk::Text(text) | Chunk::Thinking(text))) if self.exceeds(&text) => {
                Ok(Chunk::End(Ending {
                    reason: StopReason::Length,
                    prompt_tokens: None,
                    evaluated_tokens: None,
                    answer_tokens: None,
                }))
            }
            Some(Err(ProviderError::EndedEarly { url, cause, .. })) => {
                Err(ProviderError::EndedEarly { url, cause, received: self.received })
            }
            Some(item) => item,
            None => Err(ProviderError::EndedEarly {
                url: self.url.clone(),
                received: self.received,
                cause: "the connection closed before the answer was complete".to_owned(),
            }),
        };
        self.over = matches!(item, Err(_) | Ok(Chunk::End(_)));
        if self.over {
            // Whatever the server still wants to say is of no interest; this closes the connection.
            self.chunks = Box::pin(futures::stream::empty());
        }
        Some(item)
    }

    /// Counts text, and tells whether the server ignores the answer limit.
    fn exceeds(&mut self, text: &str) -> bool {
        self.received += text.len() as u64;
        self.received > self.text_limit
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const END: Ending = Ending {
        reason: StopReason::Complete,
        prompt_tokens: None,
        evaluated_tokens: None,
        answer_tokens: None,
    };

    fn text(text: &str) -> Result<Chunk, ProviderError> {
        Ok(Chunk::Text(text.to_owned()))
    }

    fn watched(chunks: impl Stream<Item = Result<Chunk, ProviderError>> + Send + 'static) -> ChatStream {
        let limits = Limits { connect: Duration::from_secs(1), stall: Duration::from_millis(40) };
        ChatStream::watched(chunks, "http://host", limits, 10)
    }

    #[tokio::test]
    async fn nothing_follows_the_end() {
        let chunks = futures::stream::iter([text("a"), Ok(Chunk::End(END)), text("b")]);
        let all: Vec<_> = watched(chunks).collect().await;
        assert_eq!(all, [text("a"), Ok(Chunk::End(END))]);
    }

    #[tokio::test]
    async fn a_missing_end_is_an_error() {
        let all: Vec<_> = watched(futures::stream::iter([text("abc")])).collect().await;
        assert!(matches!(all[1], Err(ProviderError::EndedEarly { received: 3, .. })), "{all:?}");
    }

    #[tokio::test]
    async fn silence_counts_only_after_the_first_text() {
        let late = futures::stream::once(async {
            tokio::time::sleep(Duration::from_millis(80)).await;
            text("a")
        });
        let all: Vec<_> = watched(late.chain(futures::stream::pending())).collect().await;
        assert_eq!(all[0], text("a"));
        assert!(matches!(all[1], Err(ProviderError::Stalled { .. })), "{all:?}");
        assert_eq!(all.len(), 2);
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        let endless = futures::stream::repeat_with(|| text(&"x".repeat(1000)));
        let all: Vec<_> = watched(endless).collect().await;
        assert_eq!(all.len(), 6, "5 kB of text fit into a limit of 10 tokens, generously counted");
        assert!(matches!(all.last(), Some(Ok(Chunk::End(Ending { reason: StopReason::Length, .. })))));
    }
}
