//! Asking again when it is worth it: a server that is loading, busy, or not up yet.
//!
//! Only until the first piece of an answer has arrived. From then on somebody has seen text, and a
//! second answer would contradict the first. There is no total deadline while a model is being
//! loaded: each wait is announced, and cancelling is dropping the future. This file must not know
//! who watches.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::StreamExt as _;

use super::{ChatRequest, ChatStream, Chunk, Provider, ProviderError};

/// How long we are willing to wait, in which steps.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The first wait; each further one is twice as long.
    pub first: Duration,
    /// The longest of these waits, and the longest `Retry-After` that is followed.
    pub longest: Duration,
    /// Further attempts after a refusal or a failed connection.
    pub attempts: u32,
    /// Further attempts while a server says that it is loading a model.
    pub loading_attempts: u32,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            attempts: 5,
            // With the waits above this is a quarter of an hour: the largest model from a slow disk.
            loading_attempts: 35,
        }
    }
}

/// One wait before another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The attempt that follows the wait; the first one of all is 1.
    pub attempt: u32,
    pub length: Duration,
    /// What the last attempt ended with.
    pub because: ProviderError,
}

/// An answer that has begun.
#[derive(Debug)]
pub struct Begun {
    pub first: Chunk,
    pub rest: ChatStream,
}

/// Sends a request until an answer begins, saying each wait before it is made.
///
/// # Errors
/// The first error that waiting does not mend, or the last of those that it might have.
pub async fn begin(
    provider: &Provider,
    request: &ChatRequest,
    patience: Patience,
    mut announce: impl FnMut(&Wait),
) -> Result<Begun, ProviderError> {
    let mut waits = ExponentialBuilder::default()
        .with_min_delay(patience.first)
        .with_max_delay(patience.longest)
        .without_max_times()
        .build();
    let mut attempt = 1;
    loop {
        let because = match once(provider, request).await {
            Ok(begun) => return Ok(begun),
            Err(error) => error,
        };
        // The invariant behind the default: a backoff without a most number of times never ends.
        let planned = waits.next().unwrap_or(patience.longest);
        let Some(length) = wait(&because, attempt, planned, patience) else { return Err(because) };
        attempt += 1;
        let wait = Wait { attempt, length, because };
        announce(&wait);
        tokio::time::sleep(length).await;
    }
}

async fn once(provider: &Provider, request: &ChatRequest) -> Result<Begun, ProviderError> {
    let mut rest = provider.chat(request).await?;
    let first = rest.next().await.unwrap_or_else(|| {
        Err(ProviderError::Protocol { url: provider.describe(), what: "the answer has no end".to_owned() })
    })?;
    Ok(Begun { first, rest })
}

/// How long to wait after the attempt that failed so; `None` when asking again is no use.
fn wait(error: &ProviderError, attempt: u32, planned: Duration, patience: Patience) -> Option<Duration> {
    let (most, length) = match error {
        ProviderError::Busy { message, retry_after, .. } => {
            let loading = message.to_ascii_lowercase().contains("loading");
            let most = if loading { patience.loading_attempts } else { patience.attempts };
            match retry_after.map(Duration::from_secs) {
                // An hour of rate limit is for the person to know, not to sit through.
                Some(asked) if asked > patience.longest => return None,
                Some(asked) => (most, asked.max(patience.first)),
                None => (most, planned),
            }
        }
        ProviderError::Unreachable { .. } | ProviderError::EndedEarly { received: 0, .. } => {
            (patience.attempts, planned)
        }
        // A gateway whose server is not there yet, a time-out of its own, Anthropic's overload.
        ProviderError::Http { status: 408 | 502 | 504 | 529, .. } => (patience.attempts, planned),
        _ => return None,
    };
    (attempt <= most).then_some(length)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::super::testing::{Server, limits, request};
    use super::super::{Limits, OpenAi};
    use super::*;

    fn hasty() -> Patience {
        Patience {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(4),
            attempts: 3,
            loading_attempts: 6,
        }
    }

    const ANSWER: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

    /// A server that answers well from the given request on, and how often it was asked.
    async fn recovering(after: u32, status: u16, body: &'static str) -> (Provider, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let server = Server::start(move |_, mut wire| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move {
                match number >= after {
                    true => wire.whole(200, "text/event-stream", ANSWER.as_bytes()).await,
                    false if status == 0 => wire.raw(body.as_bytes()).await,
                    false => wire.whole(status, "application/json", body.as_bytes()).await,
                }
            }
        })
        .await;
        (Provider::OpenAi(OpenAi::new(&server.url, None, "m", limits()).unwrap()), asked)
    }

    async fn attempts(
        after: u32,
        status: u16,
        body: &'static str,
    ) -> (Result<Chunk, ProviderError>, Vec<u32>) {
        let (provider, _) = recovering(after, status, body).await;
        let mut seen = Vec::new();
        let begun = begin(&provider, &request("x"), hasty(), |wait| seen.push(wait.attempt)).await;
        (begun.map(|begun| begun.first), seen)
    }

    #[tokio::test]
    async fn what_passes_is_waited_for_and_each_wait_is_said() {
        let hi = || Ok(Chunk::Text("hi".to_owned()));
        assert_eq!(attempts(2, 503, r#"{"error":{"message":"busy"}}"#).await, (hi(), vec![2, 3]));
        assert_eq!(attempts(1, 429, "slow down").await, (hi(), vec![2]));
        assert_eq!(attempts(1, 502, "<html><title>Bad Gateway</title>").await, (hi(), vec![2]));
        // The head of an answer and then nothing: no token was shown.
        let cut = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        assert_eq!(attempts(1, 0, cut).await, (hi(), vec![2]));
        assert_eq!(attempts(0, 0, "").await, (hi(), vec![]));
    }

    #[tokio::test]
    async fn loading_is_given_more_time_than_refusals() {
        let (end, seen) = attempts(9, 503, r#"{"error":{"message":"Loading model"}}"#).await;
        assert!(matches!(end, Err(ProviderError::Busy { .. })), "{end:?}");
        assert_eq!(seen.len(), 6);
        let (end, seen) = attempts(9, 503, r#"{"error":{"message":"no slot"}}"#).await;
        assert!(matches!(end, Err(ProviderError::Busy { .. })), "{end:?}");
        assert_eq!(seen.len(), 3);
    }

    #[tokio::test]
    async fn what_waiting_does_not_mend_is_told_at_once() {
        for (status, body) in
            [(400, "bad"), (401, "who"), (404, r#"{"error":"model 'm' not found"}"#), (500, "out of memory")]
        {
            let (end, seen) = attempts(1, status, body).await;
            assert!(end.is_err() && seen.is_empty(), "{status}: {end:?} after {seen:?}");
        }
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_tried_again_and_then_told() {
        let limits = Limits { connect: Duration::from_millis(200), ..limits() };
        let provider = Provider::OpenAi(OpenAi::new("http://127.0.0.1:1", None, "m", limits).unwrap());
        let mut waits = Vec::new();
        let end = begin(&provider, &request("x"), hasty(), |wait| waits.push(wait.length)).await;
        assert!(matches!(end, Err(ProviderError::Unreachable { .. })));
        assert_eq!(waits, [1, 2, 4].map(Duration::from_millis), "each wait is longer");
    }

    #[test]
    fn retry_after_is_followed_up_to_a_limit() {
        let busy = |retry_after| ProviderError::Busy {
            url: String::new(),
            status: 429,
            message: String::new(),
            retry_after,
        };
        let patience = Patience::default();
        let planned = Duration::from_secs(1);
        assert_eq!(wait(&busy(Some(7)), 1, planned, patience), Some(Duration::from_secs(7)));
        assert_eq!(wait(&busy(Some(0)), 1, planned, patience), Some(patience.first));
        assert_eq!(wait(&busy(Some(3600)), 1, planned, patience), None);
        assert_eq!(wait(&busy(None), 1, planned, patience), Some(planned));
        assert_eq!(wait(&busy(None), 6, planned, patience), None);
    }

    #[test]
    fn nothing_is_tried_again_once_text_was_shown() {
        let patience = Patience::default();
        for received in [1, 500] {
            let torn = ProviderError::EndedEarly { url: String::new(), received, cause: String::new() };
            assert_eq!(wait(&torn, 1, Duration::from_secs(1), patience), None);
        }
        let stalled = ProviderError::Stalled { url: String::new(), seconds: 60 };
        assert_eq!(wait(&stalled, 1, Duration::from_secs(1), patience), None);
    }
}
