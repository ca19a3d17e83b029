//! Stands between an agent and the model server, and adds up what the server says it did, for our own agent
//! and for others alike.
//!
//! One connection, one request. It listens on this machine alone. Besides the headers that concern the
//! connection it changes one thing: it asks for the counts with every piece of an answer (`timings_per_token`
//! of llama.cpp), since an answer that is broken off has no end that would say them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::agent::Spent;

/// Largest request line with its headers, and largest body.
const HEAD_BYTES: u64 = 64 << 10;
const BODY_BYTES: usize = 64 << 20;

/// How long a request may take to end whose client has left.
const END: Duration = Duration::from_secs(10);

/// A proxy that runs until it is dropped.
pub struct Proxy {
    port: u16,
    counted: Arc<Mutex<Spent>>,
    /// Requests that are being passed on.
    open: watch::Sender<u32>,
    task: JoinHandle<()>,
}

/// The end of an answer, as llama.cpp's server writes it, streamed or whole.
#[derive(Debug, Deserialize)]
struct Ending {
    #[serde(default)]
    choices: Vec<Choice>,
    timings: Option<Timings>,
    usage: Option<Usage>,
}

/// Which of several answers a piece is of.
#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
}

#[derive(Debug, Deserialize)]
struct Timings {
    prompt_n: u64,
    #[serde(default)]
    cache_n: u64,
    predicted_n: u64,
}

#[derive(Debug, Deserialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
}

#[derive(Debug, Deserialize)]
struct Details {
    cached_tokens: u64,
}

impl Proxy {
    /// Listens on a free port, in front of the server at `url`, such as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When there is no port or no client.
    pub async fn start(url: &str) -> anyhow::Result<Proxy> {
        let bare = url.trim_end_matches('/');
        let upstream = bare.strip_suffix("/v1").unwrap_or(bare).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the counting proxy")?;
        let port = listener.local_addr()?.port();
        crate::provider::install_cryptography();
        // Neither a proxy of the environment nor a redirect may take a prompt elsewhere.
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("no client for the counting proxy")?;
        let counted =
            Arc::new(Mutex::new(Spent { prompt: Some(0), evaluated: Some(0), answer: Some(0), calls: 0 }));
        let sum = counted.clone();
        let open = watch::Sender::new(0);
        let opened = open.clone();
        let task = tokio::spawn(async move {
            // An end of the listener would end every later request as well; the agent says that.
            while let Ok((stream, _)) = listener.accept().await {
                let (client, upstream, sum) = (client.clone(), upstream.clone(), sum.clone());
                let opened = opened.clone();
                opened.send_modify(|open| *open += 1);
                tokio::spawn(async move {
                    // What goes wrong on one connection, its client sees.
                    let _ = pass(stream, &client, &upstream, &sum).await;
                    opened.send_modify(|open| *open -= 1);
                });
            }
        });
        Ok(Proxy { port, counted, open, task })
    }

    /// The address to give to an agent in place of the server's.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// What was counted since the last call of this function. An agent that was stopped has left requests
    /// open, which end now.
    pub async fn take(&self) -> Spent {
        // An error says that it took too long: what is open then is not counted.
        let _ = tokio::time::timeout(END, self.open.subscribe().wait_for(|open| *open == 0)).await;
        let zero = Spent { prompt: Some(0), evaluated: Some(0), answer: Some(0), calls: 0 };
        std::mem::replace(&mut *self.counted.lock().unwrap_or_else(PoisonError::into_inner), zero)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    stream: TcpStream,
    client: &reqwest::Client,
    upstream: &str,
    counted: &Mutex<Spent>,
) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let request = read(&mut stream).await?;
    let url = format!("{upstream}{}", request.path);
    let counts = request.path.ends_with("/completions");
    let body = if counts { with_timings(request.body) } else { request.body };
    let mut sent = client.request(request.method, url).body(body);
    for (name, value) in request.headers {
        sent = sent.header(name, value);
    }
    let answer = tokio::select! {
        answer = sent.send() => answer,
        _ = stream.fill_buf() => {
            // It reads a prompt, or has begun to answer: nobody knows what it has counted.
            if counts {
                add(counted, "");
            }
            bail!("the client has left")
        }
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let text = format!("the model server does not answer: {error}");
            let head = format!(
                "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            stream.write_all(format!("{head}{text}").as_bytes()).await?;
            return Ok(stream.shutdown().await?);
        }
    };
    let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", answer.status());
    if let Some(kind) = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()) {
        head.push_str(&format!("Content-Type: {kind}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await?;
    let mut body = Vec::new();
    let passed = hand_on(&mut stream, answer, &mut body).await;
    // Before the client sees the end, since it may ask for the counts at once; and also if it has left.
    if counts {
        add(counted, &String::from_utf8_lossy(&body));
    }
    passed?;
    Ok(stream.shutdown().await?)
}

/// Hands an answer on as it comes, and keeps it. Ends with the client, so that the server does not work
/// for nobody.
async fn hand_on(
    stream: &mut BufReader<TcpStream>,
    answer: reqwest::Response,
    body: &mut Vec<u8>,
) -> anyhow::Result<()> {
    let mut pieces = answer.bytes_stream();
    loop {
        let piece = tokio::select! {
            piece = pieces.next() => piece,
            _ = stream.fill_buf() => bail!("the client has left"),
        };
        let Some(piece) = piece.transpose()? else { return Ok(()) };
        if body.len() + piece.len() <= BODY_BYTES {
            body.extend_from_slice(&piece);
        }
        stream.write_all(&piece).await?;
        stream.flush().await?;
    }
}

/// A request that asks for the counts with every piece. What is no JSON object goes as it came.
fn with_timings(body: Vec<u8>) -> Vec<u8> {
    let Ok(mut read) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&body) else {
        return body;
    };
    read.insert("timings_per_token".into(), true.into());
    serde_json::to_vec(&read).unwrap_or(body)
}

struct Request {
    method: http::Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

async fn read(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Request> {
    let mut head = stream.take(HEAD_BYTES);
    let mut line = String::new();
    head.read_line(&mut line).await?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path), Some(_)) = (words.next(), words.next(), words.next()) else {
        bail!("not a request")
    };
    // Another host in the path would make this an open proxy.
    ensure!(path.starts_with('/') && !path.starts_with("//"), "not a path");
    let (method, path) = (method.parse()?, path.to_owned());
    let mut headers = Vec::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        ensure!(head.read_line(&mut line).await? > 0, "the head has no end");
        let Some((name, value)) = line.split_once(':') else { break };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
        match name.as_str() {
            "content-length" => length = value.parse::<usize>()?,
            // Agents send what they ask in one piece.
            "transfer-encoding" => bail!("bodies in pieces are not read"),
            // A compressed answer could not be counted.
            "host" | "connection" | "accept-encoding" | "expect" | "keep-alive" => {}
            _ => headers.push((name, value)),
        }
    }
    ensure!(length <= BODY_BYTES, "the body is too large");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Request { method, path, headers, body })
}

/// Adds what an answer says of itself. An answer that says nothing makes the sum unknown: a sum over some
/// of the calls would look like one over all of them.
fn add(counted: &Mutex<Spent>, body: &str) {
    let pieces = body.lines().map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
    let endings: Vec<Ending> = pieces.filter_map(|piece| serde_json::from_str(piece).ok()).collect();
    let timings = timings(&endings);
    let usage = endings.iter().rev().find_map(|ending| ending.usage.as_ref());
    let counts = match (timings, usage) {
        (Some((prompt, evaluated, answer)), _) => (Some(prompt), Some(evaluated), Some(answer)),
        (None, Some(usage)) => {
            let cached = usage.prompt_tokens_details.as_ref().map(|details| details.cached_tokens);
            let evaluated = cached.map(|cached| usage.prompt_tokens.saturating_sub(cached));
            (Some(usage.prompt_tokens), evaluated, Some(usage.completion_tokens))
        }
        (None, None) => (None, None, None),
    };
    let mut sum = counted.lock().unwrap_or_else(PoisonError::into_inner);
    let plus = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
    sum.calls += 1;
    sum.prompt = plus(sum.prompt, counts.0);
    sum.evaluated = plus(sum.evaluated, counts.1);
    sum.answer = plus(sum.answer, counts.2);
}

/// The prompt's tokens, those of them that were evaluated, and those of all answers; `None` where nothing is
/// told of them.
///
/// Each piece has the counts of its answer so far. Several answers share a prompt, whose counts each of
/// them repeats.
fn timings(endings: &[Ending]) -> Option<(u64, u64, u64)> {
    let counted =
        endings.iter().filter_map(|ending| Some((ending.choices.first(), ending.timings.as_ref()?)));
    let (mut prompt, mut evaluated, mut index) = (0, 0, 0);
    let mut answers: BTreeMap<u32, u64> = BTreeMap::new();
    for (choice, timings) in counted {
        prompt = prompt.max(timings.prompt_n + timings.cache_n);
        evaluated = evaluated.max(timings.prompt_n);
        // Counts without an answer follow the end of one.
        index = choice.map_or(index, |choice| choice.index);
        let answer = answers.entry(index).or_default();
        *answer = timings.predicted_n.max(*answer);
    }
    (!answers.is_empty()).then(|| (prompt, evaluated, answers.values().sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every request with `body`, and the request that it got last.
    async fn server(body: &'static str) -> (String, Arc<Mutex<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(String::new()));
        let kept = got.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let request = read(&mut stream).await.unwrap();
                *kept.lock().unwrap() = format!(
                    "{} {} {}",
                    request.method,
                    request.path,
                    String::from_utf8(request.body).unwrap()
                );
                // In pieces, cut in the middle of the counts.
                let (one, two) = body.split_at(body.len() / 2);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                let text = format!("{head}{:x}\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", one.len(), two.len());
                stream.write_all(text.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        (url, got)
    }

    async fn ask(url: &str, text: &str) -> String {
        let address = url.trim_start_matches("http://").split('/').next().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A proxy that does not like the request hangs up before it has read or answered all of it.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    const POST: &str =
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br\r\nContent-Length: 2\r\n\r\n{}";

    #[tokio::test]
    async fn what_the_server_counts_is_added_up() {
        let streamed = "data: {\"choices\":[]}\n\ndata: {\"choices\":[],\"timings\":{\"prompt_n\":10,\"cache_n\":20,\"predicted_n\":5}}\n\ndata: [DONE]\n\n";
        let (url, got) = server(streamed).await;
        let proxy = Proxy::start(&format!("{url}/v1")).await.unwrap();
        for _ in 0..2 {
            let answer = ask(&proxy.url(), POST).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(streamed), "{answer}");
        }
        assert_eq!(*got.lock().unwrap(), "POST /v1/chat/completions {\"timings_per_token\":true}");
        let expected = Spent { calls: 2, prompt: Some(60), evaluated: Some(20), answer: Some(10) };
        assert_eq!(proxy.take().await, expected);
        assert_eq!(proxy.take().await.calls, 0);
        // What is no completion costs nothing.
        ask(&proxy.url(), "GET /v1/models HTTP/1.1\r\n\r\n").await;
        assert_eq!(proxy.take().await.calls, 0);
    }

    /// As llama.cpp's server sends two answers to one request, each with its counts.
    #[tokio::test]
    async fn the_prompt_of_several_answers_is_counted_once() {
        let two = concat!(
            "data: {\"choices\":[{\"index\":1}],\"timings\":{\"prompt_n\":10,\"cache_n\":20,\"predicted_n\":2}}\n\n",
            "data: {\"choices\":[{\"index\":0}],\"timings\":{\"prompt_n\":10,\"cache_n\":20,\"predicted_n\":6}}\n\n",
            "data: {\"choices\":[],\"timings\":{\"prompt_n\":10,\"cache_n\":20,\"predicted_n\":7}}\n\n",
            "data: {\"choices\":[{\"index\":1}],\"timings\":{\"prompt_n\":10,\"cache_n\":20,\"predicted_n\":4}}\n\n",
            "data: [DONE]\n\n"
        );
        let proxy = Proxy::start(&server(two).await.0).await.unwrap();
        ask(&proxy.url(), POST).await;
        let expected = Spent { calls: 1, prompt: Some(30), evaluated: Some(10), answer: Some(11) };
        assert_eq!(proxy.take().await, expected);
    }

    #[tokio::test]
    async fn without_counts_the_sum_is_unknown() {
        let whole = "{\"usage\":{\"prompt_tokens\":30,\"completion_tokens\":7,\"prompt_tokens_details\":{\"cached_tokens\":12}}}";
        let proxy = Proxy::start(&server(whole).await.0).await.unwrap();
        ask(&proxy.url(), POST).await;
        assert_eq!(
            proxy.take().await,
            Spent { calls: 1, prompt: Some(30), evaluated: Some(18), answer: Some(7) }
        );
        let proxy = Proxy::start(&server("{\"error\":{}}").await.0).await.unwrap();
        ask(&proxy.url(), POST).await;
        assert_eq!(proxy.take().await, Spent { calls: 1, prompt: None, evaluated: None, answer: None });
    }

    #[tokio::test]
    async fn it_leads_to_its_server_and_nowhere_else() {
        let (url, got) = server("{}").await;
        let proxy = Proxy::start(&url).await.unwrap();
        for hostile in [
            "GET http://127.0.0.1:1/ HTTP/1.1\r\n\r\n".to_owned(),
            "GET //127.0.0.1:1/ HTTP/1.1\r\n\r\n".to_owned(),
            "GET @127.0.0.1:1/ HTTP/1.1\r\n\r\n".to_owned(),
            format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", usize::MAX),
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES as usize)),
            "nonsense\r\n\r\n".to_owned(),
        ] {
            assert_eq!(ask(&proxy.url(), &hostile).await, "", "{}", &hostile[..30.min(hostile.len())]);
        }
        assert!(got.lock().unwrap().is_empty());
        let nobody = Proxy::start("http://127.0.0.1:1").await.unwrap();
        assert!(ask(&nobody.url(), POST).await.starts_with("HTTP/1.1 502"));
    }
}
