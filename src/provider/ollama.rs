//! Ollama's own API. Its OpenAI-compatible one cannot set the window, so it is not used.
//!
//! `ollama-rs` has the types of the request and the management calls. Its decoder of streamed
//! answers is not used: it drops text when a character is split between two reads, and takes an error
//! in the middle of an answer for its end (the tests beside this file show both, and will fail when it
//! no longer does). This file must not know roles or prompts.

use std::sync::Arc;

use ollama_rs::error::OllamaError;
use ollama_rs::generation::chat::ChatMessage;
use ollama_rs::generation::chat::request::ChatMessageRequest;
use ollama_rs::generation::parameters::{FormatType, JsonStructure, KeepAlive, ThinkType, TimeUnit};
use ollama_rs::models::ModelOptions;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::error::{ProviderError, excerpt, refused, reported};
use super::http::{self, Address};
use super::lines::{Line, Lines};
use super::size::{self, CacheType, Loaded, Shape, Sized};
use super::stream::wire_limit;
use super::{
    ChatRequest, ChatStream, Chunk, Ending, Limits, Memory, ModelInfo, Speaker, StopReason, Window,
    WindowKind, kind_by_name,
};

/// How long the model stays in memory after an answer: the owner may read a diff for a while, and
/// loading it again costs more than the memory does.
const KEEP_ALIVE: KeepAlive = KeepAlive::Until { time: 30, unit: TimeUnit::Minutes };

/// Most bytes of reports about a pull: hours of them.
const PULL_LIMIT: usize = 64 * 1024 * 1024;

/// How far a pull is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// In the server's words.
    pub status: String,
    /// Bytes of the current part.
    pub done: u64,
    pub total: Option<u64>,
}

/// One model of one Ollama.
#[derive(Clone)]
pub struct Ollama {
    inner: Arc<Inner>,
}

struct Inner {
    address: Address,
    http: reqwest::Client,
    api: ollama_rs::Ollama,
    model: String,
    limits: Limits,
    shown: OnceCell<Shown>,
}

/// What `/api/show` tells about the model.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    window: Option<u32>,
    thinking: Thinking,
    shape: Option<Shape>,
}

/// Whether the model thinks aloud when it is not told otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Thinking {
    /// Ollama answers 400 when such a model is told anything about thinking.
    #[default]
    Never,
    Unless,
}

impl std::fmt::Debug for Ollama {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inner { address, model, .. } = &*self.inner;
        formatter
            .debug_struct("Ollama")
            .field("url", &address.shown())
            .field("model", model)
            .finish_non_exhaustive()
    }
}

impl Ollama {
    /// `base` is the server's address without `/api`.
    ///
    /// # Errors
    /// [`ProviderError::Address`] for an address that cannot be used.
    pub fn new(base: &str, model: &str, limits: Limits) -> Result<Ollama, ProviderError> {
        let address = Address::parse(base)?;
        let http = http::client(&address, &limits)?;
        let refuse = |why: String| ProviderError::Address { address: address.shown().to_owned(), why };
        // `ollama-rs` appends `api/…` to the text of its address.
        let url = ollama_http::Url::parse(&format!("{}/", address.base()))
            .map_err(|error| refuse(error.to_string()))?;
        let api = ollama_rs::Ollama::builder().url(url).reqwest_client(
            management_client(&address, &limits).map_err(|error| refuse(http::innermost(&error)))?,
        );
        let shown = OnceCell::new();
        let inner = Inner { address, http, api: api.build(), model: model.to_owned(), limits, shown };
        Ok(Ollama { inner: Arc::new(inner) })
    }

    /// The same server with another model.
    pub(super) fn with_model(&self, model: &str) -> Result<Ollama, ProviderError> {
        Ollama::new(&self.inner.address.base(), model, self.inner.limits)
    }

    pub(super) fn model(&self) -> &str {
        &self.inner.model
    }

    pub(super) fn shown(&self) -> &str {
        self.inner.address.shown()
    }

    pub(super) async fn chat(&self, request: &ChatRequest) -> Result<ChatStream, ProviderError> {
        let inner = &self.inner;
        let thinking = inner.show().await?.thinking;
        let body = body(request, &inner.model, thinking);
        let url = format!("{}/api/chat", inner.address.base());
        let sent = inner.http.post(url).json(&body).send().await;
        let response = sent.map_err(|error| http::unreachable(&inner.address, &error))?;
        let response = match http::accepted(&inner.address, &inner.model, response).await {
            Ok(response) => response,
            Err(error) => return Err(inner.with_available(error).await),
        };
        let answer = Answer {
            lines: Lines::new(response.bytes_stream(), wire_limit(request.answer_limit)),
            url: inner.address.shown().to_owned(),
            answer_limit: request.answer_limit,
            ready: Vec::new(),
        };
        let chunks = futures::stream::unfold(answer, |mut answer| async move {
            let item = answer.next().await?;
            Some((item, answer))
        });
        Ok(ChatStream::watched(chunks, inner.address.shown(), inner.limits, request.answer_limit))
    }

    pub(super) async fn models(&self) -> Result<Vec<ModelInfo>, ProviderError> {
        let inner = &self.inner;
        let listed = inner.managed(inner.api.list_local_models()).await?;
        // Which of them are in memory is good to know and nothing more: old servers cannot tell.
        let url = format!("{}/api/ps", inner.address.base());
        let running = http::question(&inner.http, &inner.address, &url, None).await.unwrap_or_default();
        let running = running["models"].as_array().cloned().unwrap_or_default();
        Ok(listed
            .into_iter()
            .map(|model| {
                let row =
                    running.iter().find(|row| row["name"] == *model.name || row["model"] == *model.name);
                ModelInfo {
                    bytes: Some(model.size),
                    loaded: row.is_some(),
                    memory: row.and_then(memory),
                    window: row.and_then(|row| u32::try_from(row["context_length"].as_u64()?).ok()),
                    kind: kind_by_name(&model.name),
                    name: model.name,
                }
            })
            .collect())
    }

    /// Lets the server get a model; `told` hears how far it is.
    ///
    /// # Errors
    /// What the server says is wrong, such as a name that nobody knows.
    pub async fn pull(&self, model: &str, mut told: impl FnMut(Pulled)) -> Result<(), ProviderError> {
        let inner = &self.inner;
        let url = format!("{}/api/pull", inner.address.base());
        let body = serde_json::json!({"model": model, "name": model, "stream": true});
        let sent = inner.http.post(url).json(&body).send().await;
        let response = sent.map_err(|error| http::unreachable(&inner.address, &error))?;
        let response = http::accepted(&inner.address, model, response).await?;
        let mut lines = Lines::new(response.bytes_stream(), PULL_LIMIT);
        let shown = inner.address.shown();
        loop {
            // Servers report at least once a second, also while they verify what they got.
            let next = tokio::time::timeout(inner.limits.stall, lines.next()).await;
            let line = match next {
                Err(_) => {
                    let seconds = inner.limits.stall.as_secs();
                    return Err(ProviderError::Stalled { url: shown.to_owned(), seconds });
                }
                Ok(None) => {
                    let cause = "the connection closed before the model was there".to_owned();
                    return Err(ProviderError::EndedEarly { url: shown.to_owned(), received: 0, cause });
                }
                Ok(Some(line)) => line.map_err(|broken| broken.answer(shown))?,
            };
            let Ok(said) = serde_json::from_slice::<Value>(&line.bytes) else { continue };
            if let Some(error) = said.get("error") {
                return Err(reported(shown, error));
            }
            let status = excerpt(said["status"].as_str().unwrap_or_default().as_bytes());
            if status == "success" {
                return Ok(());
            }
            let (done, total) = (said["completed"].as_u64().unwrap_or(0), said["total"].as_u64());
            told(Pulled { status, done, total });
        }
    }

    /// It has one sequence of its own for a model, unless its owner says otherwise, which it does not tell.
    pub(super) fn prompts_kept(&self) -> usize {
        usize::from(self.inner.address.is_this_machine())
    }

    /// The window that fits the memory of this machine; `None` for a server elsewhere, and where
    /// the metadata are missing.
    pub(super) async fn sized(&self, cache: CacheType) -> Option<Sized> {
        let inner = &self.inner;
        let shown = inner.show().await.ok()?;
        let (trained, shape) = (shown.window?, shown.shape?);
        if !inner.address.is_this_machine() {
            return None;
        }
        let mine = |name: &str| name == inner.model || name.strip_suffix(":latest") == Some(&inner.model);
        let listed = inner.managed(inner.api.list_local_models()).await.ok()?;
        let weights = listed.iter().find(|model| mine(&model.name))?.size;
        let url = format!("{}/api/ps", inner.address.base());
        let running = http::question(&inner.http, &inner.address, &url, None).await.unwrap_or_default();
        let row = running["models"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| [&row["name"], &row["model"]].iter().any(|name| name.as_str().is_some_and(mine)));
        let loaded = row.and_then(|row| {
            Some(Loaded {
                window: u32::try_from(row["context_length"].as_u64()?).ok()?,
                memory: memory(row)?,
            })
        });
        let free = size::free_memory();
        Some(size::choose(&size::Known { trained, shape, weights, cache, free, loaded }))
    }

    /// The largest window that the model can have: which one it gets is said with each request.
    pub(super) async fn window(&self) -> Result<Option<Window>, ProviderError> {
        let shown = self.inner.show().await?;
        Ok(shown.window.map(|tokens| Window {
            tokens,
            kind: WindowKind::Maximum,
            source: "/api/show of Ollama",
        }))
    }
}

/// What a row of `/api/ps` says.
fn memory(row: &Value) -> Option<Memory> {
    Some(Memory { bytes: row["size"].as_u64()?, on_gpu: row["size_vram"].as_u64()? })
}

/// The client of `ollama-rs` is an older one than ours; it gets the same rules.
fn management_client(address: &Address, limits: &Limits) -> Result<ollama_http::Client, ollama_http::Error> {
    http::install_cryptography();
    let builder = ollama_http::Client::builder()
        .connect_timeout(limits.connect)
        .redirect(ollama_http::redirect::Policy::none());
    let builder = if address.is_this_machine() { builder.no_proxy() } else { builder };
    builder.build()
}

impl Inner {
    /// What the server knows about the model; asked once. A server that cannot tell (an emulation, or
    /// an old one) is no reason to give up; one without the model, or without life, is.
    async fn show(&self) -> Result<Shown, ProviderError> {
        let asked = self.shown.get_or_try_init(|| async {
            match self.managed(self.api.show_model_info(self.model.clone())).await {
                Ok(info) => Ok(Shown {
                    window: trained_window(&info.model_info),
                    shape: Shape::of(&info.model_info),
                    thinking: if info.capabilities.iter().any(|capability| capability == "thinking") {
                        Thinking::Unless
                    } else {
                        Thinking::Never
                    },
                }),
                Err(error @ (ProviderError::Unreachable { .. } | ProviderError::NoModel { .. })) => {
                    Err(error)
                }
                Err(_) => Ok(Shown::default()),
            }
        });
        match asked.await {
            Ok(shown) => Ok(*shown),
            Err(error) => Err(self.with_available(error).await),
        }
    }

    /// Runs a call of `ollama-rs` within a limit and reads its error.
    async fn managed<T>(
        &self,
        call: impl Future<Output = Result<T, OllamaError>>,
    ) -> Result<T, ProviderError> {
        let url = self.address.shown();
        http::within_limit(&self.address, async {
            call.await.map_err(|error| match error {
                OllamaError::ReqwestError(error) => ProviderError::Unreachable {
                    url: url.to_owned(),
                    cause: excerpt(http::innermost(&error).as_bytes()),
                },
                // The body of an answer with any other status than success; the status is lost.
                OllamaError::Other(body) if body.contains("not found") && body.contains("model") => {
                    refused(url, 404, None, body.as_bytes(), &self.model)
                }
                OllamaError::Other(body) => {
                    let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
                    reported(url, &body)
                }
                other => ProviderError::Protocol {
                    url: url.to_owned(),
                    what: format!(
                        "its answer about models cannot be read: {}",
                        excerpt(other.to_string().as_bytes())
                    ),
                },
            })
        })
        .await
    }

    /// Says which models there are to someone who asked for one that is not there.
    async fn with_available(&self, error: ProviderError) -> ProviderError {
        let ProviderError::NoModel { url, model, .. } = error else { return error };
        let listed = self.managed(self.api.list_local_models()).await.unwrap_or_default();
        let mut available: Vec<String> =
            listed.iter().map(|model| excerpt(model.name.as_bytes())).take(20).collect();
        available.sort();
        ProviderError::NoModel { url, model, available }
    }
}

/// `general.architecture` names the family, under which the window is found.
fn trained_window(info: &serde_json::Map<String, Value>) -> Option<u32> {
    let family = info.get("general.architecture").and_then(Value::as_str);
    let exact = family.and_then(|family| info.get(&format!("{family}.context_length")));
    let value = exact
        .or_else(|| info.iter().find(|(name, _)| name.ends_with(".context_length")).map(|(_, value)| value));
    value?.as_u64().and_then(|tokens| u32::try_from(tokens).ok()).filter(|tokens| *tokens > 0)
}

/// The request for a streamed answer.
fn body(request: &ChatRequest, model: &str, thinking: Thinking) -> Value {
    let messages = request.messages.iter().map(|message| match message.speaker {
        Speaker::System => ChatMessage::system(message.text.clone()),
        Speaker::User => ChatMessage::user(message.text.clone()),
        Speaker::Assistant => ChatMessage::assistant(message.text.clone()),
    });
    let mut options = ModelOptions::default()
        .num_ctx(u64::from(request.window))
        .num_predict(i32::try_from(request.answer_limit).unwrap_or(i32::MAX))
        .temperature(request.temperature);
    if let Some(seed) = request.seed {
        // Ollama's seed is signed, and negative ones mean chance.
        options = options.seed((seed & 0x7fff_ffff) as i32);
    }
    let narrowing = request.narrowing;
    if let Some(top_k) = narrowing.top_k {
        options = options.top_k(top_k);
    }
    if let Some(top_p) = narrowing.top_p {
        options = options.top_p(top_p);
    }
    if let Some(min_p) = narrowing.min_p {
        options = options.min_p(min_p);
    }
    if let Some(penalty) = narrowing.repeat_penalty {
        options = options.repeat_penalty(penalty);
    }
    let mut body =
        ChatMessageRequest::new(model.to_owned(), messages.collect()).options(options).keep_alive(KEEP_ALIVE);
    if let Some(schema) = request.schema.as_ref().and_then(|schema| schema.json.clone().try_into().ok()) {
        body = body.format(FormatType::StructuredJson(Box::new(JsonStructure::new_for_schema(schema))));
    }
    if thinking == Thinking::Unless {
        body = body.think(ThinkType::False);
    }
    // Invariant: a struct of strings, numbers and lists always becomes a JSON object.
    let mut body = serde_json::to_value(body).expect("a request is always JSON");
    // `ollama-rs` does not know these two: an overflow is an error and never a cut prompt. Servers
    // that do not know them either ignore them.
    body["stream"] = Value::Bool(true);
    body["truncate"] = Value::Bool(false);
    body["shift"] = Value::Bool(false);
    body
}

/// One line of an answer. The type of `ollama-rs` has no `done_reason`, and loses all counts when
/// one of them is left out, which Ollama does with those that are zero.
#[derive(Debug, Deserialize)]
struct Reply {
    message: Option<Said>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u32>,
    eval_count: Option<u32>,
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Said {
    content: Option<String>,
    thinking: Option<String>,
}

/// A running answer: lines in, chunks out.
struct Answer<B> {
    lines: Lines<B>,
    url: String,
    answer_limit: u32,
    /// A line can hold thinking, text and the end at once; what is left of it, last first.
    ready: Vec<Chunk>,
}

impl<B: AsRef<[u8]>> Answer<B> {
    async fn next(&mut self) -> Option<Result<Chunk, ProviderError>> {
        loop {
            if let Some(chunk) = self.ready.pop() {
                return Some(Ok(chunk));
            }
            let line = match self.lines.next().await? {
                Ok(line) => line,
                Err(broken) => return Some(Err(broken.answer(&self.url))),
            };
            if line.bytes.trim_ascii().is_empty() {
                continue;
            }
            match self.read(&line) {
                // Last first, since they are taken from the end.
                Ok(chunks) => self.ready = chunks.into_iter().rev().collect(),
                Err(Some(error)) => return Some(Err(error)),
                Err(None) => return None,
            }
        }
    }

    /// The chunks of one line; `Err(None)` for a line that was cut by the end of the connection.
    fn read(&self, line: &Line) -> Result<Vec<Chunk>, Option<ProviderError>> {
        let reply: Reply = match serde_json::from_slice(&line.bytes) {
            Ok(reply) => reply,
            Err(_) if !line.ended && line.bytes.trim_ascii_start().starts_with(b"{") => return Err(None),
            Err(error) => {
                let what = format!("a line of its answer cannot be read ({error}): {}", excerpt(&line.bytes));
                return Err(Some(ProviderError::Protocol { url: self.url.clone(), what }));
            }
        };
        if let Some(error) = &reply.error {
            return Err(Some(reported(&self.url, error)));
        }
        let mut chunks = Vec::new();
        if let Some(said) = reply.message {
            chunks.extend(said.thinking.filter(|text| !text.is_empty()).map(Chunk::Thinking));
            chunks.extend(said.content.filter(|text| !text.is_empty()).map(Chunk::Text));
        }
        if reply.done {
            let cut = match reply.done_reason.as_deref() {
                Some(reason) => reason == "length",
                // Servers before 0.1.48 give no reason.
                None => reply.eval_count.is_some_and(|count| count >= self.answer_limit),
            };
            chunks.push(Chunk::End(Ending {
                reason: if cut { StopReason::Length } else { StopReason::Complete },
                prompt_tokens: reply.prompt_eval_count,
                evaluated_tokens: None,
                answer_tokens: reply.eval_count,
            }));
        }
        Ok(chunks)
    }
}

#[cfg(test)]
mod tests;
