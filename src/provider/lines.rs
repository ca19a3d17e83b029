//! Bytes to lines, with limits. Both wire formats are lines of JSON, and both are cut by the network
//! at any byte, inside a character too; so text is only looked at when its line is whole.
//!
//! This file must not know what a line means.

use std::pin::Pin;

use futures::{Stream, StreamExt};

use super::error::{ProviderError, excerpt};
use super::http::innermost;

/// Why bytes stopped coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection failed.
    Transport(String),
    /// More bytes than any honest answer has.
    TooLong(usize),
}

impl Broken {
    /// The error when a running answer broke.
    pub(super) fn answer(self, url: &str) -> ProviderError {
        match self {
            // How much text had arrived is known to the stream that gave it out, which fills it in.
            Broken::Transport(cause) => ProviderError::EndedEarly {
                url: url.to_owned(),
                received: 0,
                cause: excerpt(cause.as_bytes()),
            },
            Broken::TooLong(limit) => endless(url, limit),
        }
    }

    /// The error when the answer to a small question broke.
    pub(super) fn question(self, url: &str) -> ProviderError {
        match self {
            Broken::Transport(cause) => {
                ProviderError::Unreachable { url: url.to_owned(), cause: excerpt(cause.as_bytes()) }
            }
            Broken::TooLong(limit) => endless(url, limit),
        }
    }
}

fn endless(url: &str, limit: usize) -> ProviderError {
    let what = format!("it sent more than {limit} bytes, which no answer of the size asked for needs");
    ProviderError::Protocol { url: url.to_owned(), what }
}

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    /// False for what follows the last line end: a whole line, or one that was cut.
    pub(super) ended: bool,
}

/// The lines of a body.
pub(super) struct Lines<B> {
    body: Pin<Box<dyn Stream<Item = reqwest::Result<B>> + Send>>,
    buffer: Vec<u8>,
    /// Start of the first line that was not given out yet.
    start: usize,
    /// Everything from `start` to here is known to hold no line end.
    searched: usize,
    /// Bytes that may still come.
    left: usize,
    limit: usize,
    over: bool,
}

impl<B: AsRef<[u8]>> Lines<B> {
    /// `limit` bounds the whole body in bytes.
    pub(super) fn new(
        body: impl Stream<Item = reqwest::Result<B>> + Send + 'static,
        limit: usize,
    ) -> Lines<B> {
        let body = Box::pin(body);
        Lines { body, buffer: Vec::new(), start: 0, searched: 0, left: limit, limit, over: false }
    }

    /// The next line; `None` after the last one and after an error.
    pub(super) async fn next(&mut self) -> Option<Result<Line, Broken>> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let end = self.searched + at;
                let bytes = self.buffer[self.start..end].to_vec();
                self.start = end + 1;
                self.searched = self.start;
                return Some(Ok(Line { bytes: without_return(bytes), ended: true }));
            }
            if self.over {
                let bytes = std::mem::take(&mut self.buffer).split_off(self.start);
                (self.start, self.searched) = (0, 0);
                return (!bytes.is_empty()).then_some(Ok(Line { bytes, ended: false }));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            self.searched = self.buffer.len();
            match self.body.next().await {
                None => self.over = true,
                Some(Ok(bytes)) => {
                    let bytes = bytes.as_ref();
                    let Some(left) = self.left.checked_sub(bytes.len()) else {
                        return Some(Err(self.broken(Broken::TooLong(self.limit))));
                    };
                    self.left = left;
                    self.buffer.extend_from_slice(bytes);
                }
                Some(Err(error)) => return Some(Err(self.broken(Broken::Transport(innermost(&error))))),
            }
        }
    }

    fn broken(&mut self, why: Broken) -> Broken {
        self.over = true;
        self.buffer.clear();
        (self.start, self.searched) = (0, 0);
        why
    }
}

fn without_return(mut line: Vec<u8>) -> Vec<u8> {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    line
}

/// A whole body of at most `limit` bytes.
pub(super) async fn whole<B: AsRef<[u8]>>(
    body: impl Stream<Item = reqwest::Result<B>>,
    limit: usize,
) -> Result<Vec<u8>, Broken> {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(|error| Broken::Transport(innermost(&error)))?;
        if bytes.len() + part.as_ref().len() > limit {
            return Err(Broken::TooLong(limit));
        }
        bytes.extend_from_slice(part.as_ref());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn split(parts: Vec<Vec<u8>>, limit: usize) -> Vec<Result<Line, Broken>> {
        let mut lines = Lines::new(futures::stream::iter(parts.into_iter().map(Ok)), limit);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await {
            all.push(line);
        }
        all
    }

    fn line(text: &str, ended: bool) -> Result<Line, Broken> {
        Ok(Line { bytes: text.as_bytes().to_vec(), ended })
    }

    #[tokio::test]
    async fn any_cut_gives_the_same_lines() {
        let text = "é\r\n\n🦀 two\nlast";
        let expected = vec![line("é", true), line("", true), line("🦀 two", true), line("last", false)];
        for at in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(at);
            assert_eq!(split(vec![head.to_vec(), tail.to_vec()], 100).await, expected, "cut at {at}");
        }
        let bytes = text.bytes().map(|byte| vec![byte]).collect();
        assert_eq!(split(bytes, 100).await, expected, "byte by byte");
    }

    #[tokio::test]
    async fn a_body_over_the_limit_ends_with_an_error() {
        let all = split(vec![b"ab\n".to_vec(), b"cdef".to_vec()], 6).await;
        assert_eq!(all, [line("ab", true), Err(Broken::TooLong(6))]);
    }
}
