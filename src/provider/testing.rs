//! Small HTTP servers over real sockets, written by hand so that they can misbehave at any byte.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{ChatRequest, ChatStream, Chunk, Ending, Limits, Message, ProviderError, Speaker};

/// What a client sent.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Method and path, such as `POST /api/chat`.
    pub(super) line: String,
    /// Header lines in lower case.
    pub(super) headers: String,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("the client sends JSON")
    }
}

/// A server whose every connection is handled by the given function.
pub(super) struct Server {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(super) async fn start<F, Fut>(handle: F) -> Server
    where
        F: Fn(Asked, Wire) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let handle = Arc::new(handle);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (handle, log) = (handle.clone(), log.clone());
                tokio::spawn(async move {
                    let mut wire = Wire { socket };
                    if let Some(asked) = wire.read().await {
                        log.lock().unwrap().push(asked.clone());
                        handle(asked, wire).await;
                    }
                });
            }
        });
        Server { url, asked }
    }

    /// A server that answers everything with the same bytes.
    pub(super) async fn saying(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Server {
        let (kind, body) = (kind.to_owned(), body.into());
        Server::start(move |_, mut wire| {
            let (kind, body) = (kind.clone(), body.clone());
            async move { wire.whole(status, &kind, &body).await }
        })
        .await
    }

    /// All requests so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The last request with this method and path.
    pub(super) fn last(&self, line: &str) -> Asked {
        self.asked().into_iter().rev().find(|asked| asked.line == line).expect("such a request was made")
    }
}

/// One connection of a server.
pub(super) struct Wire {
    socket: TcpStream,
}

impl Wire {
    async fn read(&mut self) -> Option<Asked> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if self.socket.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let (line, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
        let headers = headers.to_ascii_lowercase();
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |length| length.trim().parse().expect("a number"));
        while bytes.len() < end + 4 + length {
            if self.socket.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
        let line = line.trim_end_matches(" HTTP/1.1").to_owned();
        Some(Asked { line, headers, body })
    }

    /// Bytes as they are; flushed, so that they arrive as a part of their own.
    pub(super) async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.socket.set_nodelay(true);
        let _ = self.socket.write_all(bytes).await;
        let _ = self.socket.flush().await;
    }

    /// A head whose body goes on until the connection closes.
    pub(super) async fn head(&mut self, status: u16, kind: &str) {
        let head = format!("HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
        self.raw(head.as_bytes()).await;
    }

    /// A head for [`Wire::part`]; without the last part the client knows that it was cut off.
    pub(super) async fn chunked(&mut self, kind: &str) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
        self.raw(head.as_bytes()).await;
    }

    pub(super) async fn part(&mut self, bytes: &[u8]) {
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        self.raw(&framed).await;
    }

    pub(super) async fn whole(&mut self, status: u16, kind: &str, body: &[u8]) {
        self.head(status, kind).await;
        self.raw(body).await;
    }

    /// Waits until the client closes its side.
    pub(super) async fn closed(mut self) {
        let mut sink = [0; 64];
        while matches!(self.socket.read(&mut sink).await, Ok(count) if count > 0) {}
    }
}

/// Limits that no honest server meets, however busy the machine is.
pub(super) fn limits() -> Limits {
    Limits { connect: Duration::from_secs(10), stall: Duration::from_secs(20) }
}

/// Limits for tests of silence.
pub(super) fn hasty() -> Limits {
    Limits { stall: Duration::from_millis(150), ..limits() }
}

pub(super) fn request(text: &str) -> ChatRequest {
    ChatRequest {
        role: "architect".to_owned(),
        messages: vec![Message { speaker: Speaker::User, text: text.to_owned() }],
        schema: None,
        layout: None,
        draws: 1,
        window: 4096,
        answer_limit: 100,
        temperature: 0.0,
        seed: Some(7),
        narrowing: super::Narrowing::default(),
    }
}

/// The text of an answer and how it ended. A test that would hang fails instead.
pub(super) async fn told(stream: ChatStream) -> Result<(String, Ending), ProviderError> {
    told_within(Duration::from_secs(20), stream).await
}

/// The same for an answer that is computed, which takes its time on a busy machine.
pub(super) async fn told_within(
    limit: Duration,
    mut stream: ChatStream,
) -> Result<(String, Ending), ProviderError> {
    let all = async {
        let mut text = String::new();
        while let Some(chunk) = stream.next().await {
            match chunk? {
                Chunk::Text(more) => text.push_str(&more),
                Chunk::Thinking(_) | Chunk::Further(_) => {}
                Chunk::End(ending) => return Ok((text, ending)),
            }
        }
        panic!("the stream ended without an end or an error");
    };
    tokio::time::timeout(limit, all).await.expect("the answer ends")
}
