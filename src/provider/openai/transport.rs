//! What stands between `async-openai` and the network, and notices what it does not.
//!
//! `async-openai` 0.43 by itself retries 429 and every 5xx three times, waiting as long as the server
//! likes; loses the status of an error whose `code` is a number (llama.cpp's and vLLM's are); reads
//! error pages and streams without any limit; takes an HTML page for an empty stream; and skips an
//! `error:` line (older llama.cpp servers report errors so). The tests beside this file show it.
//! This file must not know what an event means.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use serde_json::{Value, json};

use super::super::error::{ProviderError, excerpt};
use super::super::http::{self, Address};
use super::super::lines::{Line, Lines};

/// Where our typed error waits while `async-openai` passes a text of it upwards.
pub(super) type Told = Arc<Mutex<Option<ProviderError>>>;

/// Sends one request and lets only what can be an answer through.
#[derive(Clone)]
pub(super) struct Transport {
    pub(super) http: reqwest::Client,
    pub(super) address: Address,
    pub(super) model: String,
    /// Most bytes of the whole answer.
    pub(super) limit: usize,
    pub(super) told: Told,
}

type Sent = Pin<Box<dyn Future<Output = Result<reqwest::Response, OpenAIError>> + Send>>;

impl tower_service::Service<HttpRequestFactory> for Transport {
    type Response = reqwest::Response;
    type Error = OpenAIError;
    type Future = Sent;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Sent {
        let transport = self.clone();
        Box::pin(async move {
            let request = request.build().await?;
            transport.send(request).await.map_err(|error| tell(&transport.told, error))
        })
    }
}

/// Leaves the typed error for the caller; `async-openai` gets its text.
fn tell(told: &Told, error: ProviderError) -> OpenAIError {
    let text = error.to_string();
    told.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    OpenAIError::InvalidArgument(text)
}

impl Transport {
    async fn send(&self, request: reqwest::Request) -> Result<reqwest::Response, ProviderError> {
        let streams = request.method() == reqwest::Method::POST;
        let sent = self.http.execute(request).await;
        let response = sent.map_err(|error| http::unreachable(&self.address, &error))?;
        let response = http::accepted(&self.address, &self.model, response).await?;
        let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
        if !streams || kind.contains("html") || kind.contains("json") {
            let body = http::body(response).await.map_err(|broken| broken.answer(self.address.shown()))?;
            return self.at_once(&body, streams);
        }
        let guard = Guard {
            lines: Lines::new(response.bytes_stream(), self.limit),
            url: self.address.shown().to_owned(),
            told: self.told.clone(),
            failing: false,
            open: false,
        };
        let body = futures::stream::unfold(guard, |mut guard| async move {
            let item = guard.next().await?;
            Some((item, guard))
        });
        Ok(http::response_with(reqwest::Body::wrap_stream(body)))
    }

    /// An answer in one piece: what was asked for (lists), an answer from a server that does not
    /// stream, which becomes the one event of a stream, or nonsense.
    fn at_once(&self, body: &[u8], streams: bool) -> Result<reqwest::Response, ProviderError> {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Err(nonsense(self.address.shown(), body));
        };
        let text = if streams { format!("data: {value}\n\n") } else { value.to_string() };
        Ok(http::response_with(reqwest::Body::from(text)))
    }
}

fn nonsense(url: &str, bytes: &[u8]) -> ProviderError {
    let what = format!("instead of an answer it sent {}", excerpt(bytes));
    ProviderError::Protocol { url: url.to_owned(), what }
}

/// What a line of an event stream can begin with; `error` only in older llama.cpp servers.
const FIELDS: [&[u8]; 5] = [b"data", b"event", b"id", b"retry", b"error"];

/// Lets whole lines of an event stream pass.
struct Guard<B> {
    lines: Lines<B>,
    url: String,
    told: Told,
    /// Inside an `event: error`.
    failing: bool,
    /// Whether a field was passed on since the last end of an event.
    open: bool,
}

impl<B: AsRef<[u8]>> Guard<B> {
    async fn next(&mut self) -> Option<Result<Vec<u8>, OpenAIError>> {
        loop {
            let line = match self.lines.next().await? {
                Ok(line) => line,
                Err(broken) => return Some(Err(tell(&self.told, broken.answer(&self.url)))),
            };
            match self.pass(line) {
                Ok(Some(line)) => return Some(Ok(line)),
                Ok(None) => {}
                Err(error) => return Some(Err(tell(&self.told, error))),
            }
        }
    }

    fn pass(&mut self, Line { bytes, ended }: Line) -> Result<Option<Vec<u8>>, ProviderError> {
        let (field, value) = match bytes.iter().position(|byte| *byte == b':') {
            Some(at) => (&bytes[..at], bytes[at + 1..].trim_ascii()),
            None => (bytes.as_slice(), &b""[..]),
        };
        let line = match field.strip_prefix("\u{feff}".as_bytes()).unwrap_or(field) {
            b"data" if !ended => {
                // The connection closed here. A whole event is used; a cut one is no event.
                let whole = value == b"[DONE]" || serde_json::from_slice::<Value>(value).is_ok();
                return Ok(whole.then(|| [&bytes[..], b"\n\n"].concat()));
            }
            b"data" if self.failing => failure(value),
            // Older llama.cpp servers put the error where the field's name belongs.
            b"error" => failure(value),
            b"event" => {
                self.failing = value == b"error";
                bytes
            }
            b"" => {
                // The end of an event. Comments and further blank lines say nothing; a server that
                // sends nothing else costs no more than reading them.
                if bytes.is_empty() {
                    self.failing = false;
                }
                if !bytes.is_empty() || !std::mem::take(&mut self.open) {
                    return Ok(None);
                }
                return Ok(Some(b"\n".to_vec()));
            }
            b"data" | b"id" | b"retry" => bytes,
            // Cut inside the name of a field.
            start if !ended && FIELDS.iter().any(|field| field.starts_with(start)) => return Ok(None),
            _ => return Err(nonsense(&self.url, &bytes)),
        };
        self.open = true;
        Ok(Some([&line[..], b"\n"].concat()))
    }
}

/// An error in the one shape that the reader of events knows, as an event of its own.
fn failure(value: &[u8]) -> Vec<u8> {
    let error = serde_json::from_slice::<Value>(value)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(value).into_owned()));
    let error = match error {
        Value::Object(fields) if fields.contains_key("error") => Value::Object(fields),
        other => json!({ "error": other }),
    };
    format!("data: {error}\n").into_bytes()
}

/// What the guard passes on of a body in these parts, for tests.
#[cfg(test)]
pub(super) fn guarded_bytes(parts: Vec<Vec<u8>>, limit: usize) -> Vec<u8> {
    let body = futures::stream::iter(parts.into_iter().map(Ok));
    let mut guard = Guard {
        lines: Lines::new(body, limit),
        url: String::new(),
        told: Told::default(),
        failing: false,
        open: false,
    };
    futures::executor::block_on(async {
        let mut passed = Vec::new();
        while let Some(Ok(bytes)) = guard.next().await {
            passed.extend(bytes);
        }
        passed
    })
}
