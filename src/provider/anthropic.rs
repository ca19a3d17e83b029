//! Anthropic's own Messages API, streamed, with prompt caching. llama.cpp speaks it too.
//!
//! A schema becomes the input of the one tool that the model must call: the strongest constraint
//! which every model there knows. The system prompt and the first message are marked for the cache,
//! since both stay the same from call to call. This file must not know roles or prompts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{ProviderError, excerpt, reported};
use super::http::{self, Address};
use super::lines::{Line, Lines};
use super::stream::wire_limit;
use super::{ChatRequest, ChatStream, Chunk, Ending, Limits, ModelInfo, ModelKind, Speaker, StopReason};

/// The version of the protocol that is spoken here.
const VERSION: &str = "2023-06-01";

/// One model behind the Messages API.
#[derive(Clone)]
pub struct Anthropic {
    inner: Arc<Inner>,
}

struct Inner {
    address: Address,
    key: Option<SecretString>,
    http: reqwest::Client,
    model: String,
    limits: Limits,
    /// Some models refuse a temperature; they say so once.
    without_temperature: AtomicBool,
}

impl std::fmt::Debug for Anthropic {
    /// Without the key and without a login in the address.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inner { address, model, .. } = &*self.inner;
        formatter
            .debug_struct("Anthropic")
            .field("url", &address.shown())
            .field("model", model)
            .finish_non_exhaustive()
    }
}

impl Anthropic {
    /// `base` is the address without `/v1`.
    ///
    /// # Errors
    /// [`ProviderError::Address`] for an address or a key that cannot be sent.
    pub fn new(
        base: &str,
        key: Option<SecretString>,
        model: &str,
        limits: Limits,
    ) -> Result<Anthropic, ProviderError> {
        let address = Address::parse(base)?;
        let key = http::usable_key(&address, key, |key| header(key).is_some())?;
        let http = http::client(&address, &limits)?;
        let without_temperature = AtomicBool::new(false);
        let inner = Inner { address, key, http, model: model.to_owned(), limits, without_temperature };
        Ok(Anthropic { inner: Arc::new(inner) })
    }

    /// The same server with another model.
    pub(super) fn with_model(&self, model: &str) -> Result<Anthropic, ProviderError> {
        let Inner { address, key, limits, .. } = &*self.inner;
        Anthropic::new(&address.base(), key.clone(), model, *limits)
    }

    pub(super) fn model(&self) -> &str {
        &self.inner.model
    }

    pub(super) fn shown(&self) -> &str {
        self.inner.address.shown()
    }

    pub(super) async fn chat(&self, request: &ChatRequest) -> Result<ChatStream, ProviderError> {
        let inner = &self.inner;
        let response = match inner.send(request).await {
            Err(ProviderError::Http { status: 400, body, .. })
                if body.contains("temperature")
                    && !inner.without_temperature.swap(true, Ordering::Relaxed) =>
            {
                inner.send(request).await
            }
            sent => sent,
        };
        let response = response.map_err(|error| inner.without_key(error))?;
        let answer = Answer {
            lines: Lines::new(response.bytes_stream(), wire_limit(request.answer_limit)),
            inner: inner.clone(),
            ending: Ending {
                reason: StopReason::Complete,
                prompt_tokens: None,
                evaluated_tokens: None,
                answer_tokens: None,
            },
        };
        let chunks = futures::stream::unfold(answer, |mut answer| async move {
            let item = answer.next().await?;
            Some((item, answer))
        });
        Ok(ChatStream::watched(chunks, inner.address.shown(), inner.limits, request.answer_limit))
    }

    pub(super) async fn models(&self) -> Result<Vec<ModelInfo>, ProviderError> {
        let inner = &self.inner;
        let asked = async {
            let url = format!("{}/v1/models?limit=1000", inner.address.base());
            let sent = inner.headers(inner.http.get(url)).send().await;
            let response = sent.map_err(|error| http::unreachable(&inner.address, &error))?;
            let response = http::accepted(&inner.address, "", response).await?;
            let bytes =
                http::body(response).await.map_err(|broken| broken.question(inner.address.shown()))?;
            let rows = serde_json::from_slice::<Value>(&bytes).ok();
            let rows = rows.as_ref().and_then(|list| list["data"].as_array());
            let named = |row: &Value| {
                Some(ModelInfo {
                    name: row["id"].as_str()?.to_owned(),
                    bytes: None,
                    loaded: false,
                    window: row["max_input_tokens"].as_u64().and_then(|tokens| u32::try_from(tokens).ok()),
                    kind: ModelKind::Chat,
                })
            };
            rows.and_then(|rows| rows.iter().map(named).collect()).ok_or_else(|| ProviderError::Protocol {
                url: inner.address.shown().to_owned(),
                what: format!("its list of models is not one: {}", excerpt(&bytes)),
            })
        };
        http::within_limit(&inner.address, asked).await.map_err(|error| inner.without_key(error))
    }
}

fn header(key: &SecretString) -> Option<reqwest::header::HeaderValue> {
    let mut value = reqwest::header::HeaderValue::from_str(key.expose_secret().trim()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Inner {
    fn headers(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let request = request.header("anthropic-version", VERSION);
        match self.key.as_ref().and_then(header) {
            Some(key) => request.header("x-api-key", key),
            None => request,
        }
    }

    async fn send(&self, request: &ChatRequest) -> Result<reqwest::Response, ProviderError> {
        let url = format!("{}/v1/messages", self.address.base());
        let mut body = body(request, &self.model);
        if self.without_temperature.load(Ordering::Relaxed)
            && let Value::Object(fields) = &mut body
        {
            fields.remove("temperature");
        }
        let sent = self.headers(self.http.post(url)).json(&body).send().await;
        let response = sent.map_err(|error| http::unreachable(&self.address, &error))?;
        let response = http::accepted(&self.address, &self.model, response).await?;
        let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
        if kind.contains("event-stream") {
            return Ok(response);
        }
        let body = http::body(response).await.map_err(|broken| broken.answer(self.address.shown()))?;
        let what = format!("instead of an answer it sent {}", excerpt(&body));
        Err(ProviderError::Protocol { url: self.address.shown().to_owned(), what })
    }

    /// Servers like to repeat the key that they refuse.
    fn without_key(&self, mut error: ProviderError) -> ProviderError {
        if let Some(key) = &self.key
            && let ProviderError::Http { body: text, .. }
            | ProviderError::Busy { message: text, .. }
            | ProviderError::ServerError { message: text, .. }
            | ProviderError::Protocol { what: text, .. } = &mut error
        {
            *text = text.replace(key.expose_secret(), "[key]");
        }
        error
    }
}

/// The request for a streamed answer.
fn body(request: &ChatRequest, model: &str) -> Value {
    let cached = json!({"type": "ephemeral"});
    let mut system = Vec::new();
    let mut messages: Vec<Value> = Vec::new();
    for message in &request.messages {
        let mut block = json!({"type": "text", "text": message.text});
        let role = match message.speaker {
            Speaker::System => {
                system.push(block);
                continue;
            }
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
        };
        if messages.is_empty() {
            // The evidence, which every correction repeats.
            block["cache_control"] = cached.clone();
        }
        messages.push(json!({"role": role, "content": [block]}));
    }
    if let Some(last) = system.last_mut() {
        last["cache_control"] = cached;
    }
    let mut body = json!({
        "model": model,
        "max_tokens": request.answer_limit,
        "temperature": request.temperature,
        "stream": true,
        "messages": messages,
    });
    if !system.is_empty() {
        body["system"] = Value::Array(system);
    }
    // Newer models refuse it beside a temperature, so only its owner's word sends it.
    if let Some(top_p) = request.narrowing.top_p {
        body["top_p"] = json!(top_p);
    }
    if let Some(schema) = &request.schema {
        let about = "The answer, in its only accepted form.";
        body["tools"] = json!([{"name": schema.name, "description": about, "input_schema": schema.json}]);
        body["tool_choice"] = json!({"type": "tool", "name": schema.name});
    }
    body
}

/// One event of a stream, whichever it is.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    message: Option<Started>,
    delta: Option<Delta>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Started {
    usage: Option<Usage>,
}

#[derive(Debug, Default, Deserialize)]
struct Delta {
    text: Option<String>,
    thinking: Option<String>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Usage {
    input_tokens: Option<u32>,
    cache_creation_input_tokens: Option<u32>,
    cache_read_input_tokens: Option<u32>,
    output_tokens: Option<u32>,
}

/// A running answer: lines in, chunks out.
struct Answer<B> {
    lines: Lines<B>,
    inner: Arc<Inner>,
    ending: Ending,
}

impl<B: AsRef<[u8]>> Answer<B> {
    async fn next(&mut self) -> Option<Result<Chunk, ProviderError>> {
        loop {
            let Line { bytes, ended } = match self.lines.next().await? {
                Ok(line) => line,
                Err(broken) => return Some(Err(broken.answer(self.inner.address.shown()))),
            };
            // Event names repeat what the data says.
            let Some(data) = bytes.strip_prefix(b"data:") else { continue };
            let event: Event = match serde_json::from_slice(data.trim_ascii()) {
                Ok(event) => event,
                // Cut by the end of the connection, which the stream's watcher reports.
                Err(_) if !ended => return None,
                Err(error) => {
                    let what = format!("an event cannot be read ({error}): {}", excerpt(data));
                    let url = self.inner.address.shown().to_owned();
                    return Some(Err(ProviderError::Protocol { url, what }));
                }
            };
            match self.take(event) {
                Ok(Some(chunk)) => return Some(Ok(chunk)),
                Ok(None) => {}
                Err(error) => return Some(Err(self.inner.without_key(error))),
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<Option<Chunk>, ProviderError> {
        if let Some(error) = &event.error {
            let url = self.inner.address.shown().to_owned();
            return Err(match error["type"].as_str() {
                Some("overloaded_error" | "rate_limit_error") => ProviderError::Busy {
                    url,
                    status: 529,
                    message: excerpt(error["message"].as_str().unwrap_or_default().as_bytes()),
                    retry_after: None,
                },
                _ => reported(&url, error),
            });
        }
        if let Some(usage) = event.usage.or(event.message.and_then(|message| message.usage)) {
            self.count(&usage);
        }
        let delta = event.delta.unwrap_or_default();
        match event.kind.as_str() {
            "content_block_delta" => {
                let text = delta.text.or(delta.partial_json).filter(|text| !text.is_empty()).map(Chunk::Text);
                Ok(text.or(delta.thinking.filter(|text| !text.is_empty()).map(Chunk::Thinking)))
            }
            "message_delta" => match delta.stop_reason.as_deref() {
                Some("max_tokens" | "model_context_window_exceeded") => {
                    self.ending.reason = StopReason::Length;
                    Ok(None)
                }
                Some("refusal") => Err(ProviderError::ServerError {
                    url: self.inner.address.shown().to_owned(),
                    message: "the model refused to answer".to_owned(),
                }),
                _ => Ok(None),
            },
            "message_stop" => Ok(Some(Chunk::End(self.ending))),
            // `ping`, block starts and ends, and whatever is added later.
            _ => Ok(None),
        }
    }

    /// The prompt is counted in three parts: read anew, written to the cache, and read from it.
    fn count(&mut self, usage: &Usage) {
        if let Some(input) = usage.input_tokens.filter(|_| self.ending.prompt_tokens.is_none()) {
            let evaluated = input + usage.cache_creation_input_tokens.unwrap_or(0);
            self.ending.evaluated_tokens = Some(evaluated);
            self.ending.prompt_tokens = Some(evaluated + usage.cache_read_input_tokens.unwrap_or(0));
        }
        self.ending.answer_tokens = usage.output_tokens.or(self.ending.answer_tokens);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Server, limits, request, told};
    use super::super::{Message, Schema};
    use super::*;

    const ANSWER: &str = concat!(
        "event: message_start\n",
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":20,\"cache_read_input_tokens\":300,\"output_tokens\":1}}}\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"text_delta\",\"text\":\"grö\"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"ßer🦀\"}}\n\n",
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n",
        "data: {\"type\":\"message_stop\"}\n\n",
    );

    fn client(url: &str) -> Anthropic {
        let key: SecretString = "sk-secret".to_owned().into();
        Anthropic::new(url, Some(key), "claude", limits()).unwrap()
    }

    async fn answered(status: u16, kind: &str, body: &str) -> Result<(String, Ending), ProviderError> {
        let server = Server::saying(status, kind, body).await;
        told(client(&server.url).chat(&request("x")).await?).await
    }

    #[tokio::test]
    async fn an_answer_is_read_with_its_three_kinds_of_prompt_tokens() {
        let (text, ending) = answered(200, "text/event-stream", ANSWER).await.unwrap();
        assert_eq!(text, "größer🦀");
        assert_eq!(
            ending,
            Ending {
                reason: StopReason::Complete,
                prompt_tokens: Some(325),
                evaluated_tokens: Some(25),
                answer_tokens: Some(9)
            }
        );
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_anywhere_is_no_answer() {
        let end = ANSWER.find("data: {\"type\":\"message_stop\"").unwrap();
        for at in (0..end).step_by(17) {
            let Some(cut) = ANSWER.get(..at) else { continue };
            let end = answered(200, "text/event-stream", cut).await;
            assert!(matches!(end, Err(ProviderError::EndedEarly { .. })), "cut at {at}: {end:?}");
        }
    }

    #[tokio::test]
    async fn the_request_marks_what_stays_the_same_and_forces_the_form() {
        let server = Server::saying(200, "text/event-stream", ANSWER).await;
        let mut asked = request("evidence");
        asked.messages.insert(0, Message { speaker: Speaker::System, text: "be brief".into() });
        asked.messages.push(Message { speaker: Speaker::Assistant, text: "no".into() });
        asked.messages.push(Message { speaker: Speaker::User, text: "again".into() });
        asked.schema = Some(Schema { name: "plan".into(), json: json!({"type": "object"}) });
        told(client(&server.url).chat(&asked).await.unwrap()).await.unwrap();
        let sent = server.last("POST /v1/messages");
        assert!(sent.headers.contains("x-api-key: sk-secret") && sent.headers.contains("anthropic-version"));
        let body = sent.json();
        assert_eq!(body["system"][0]["cache_control"]["type"], "ephemeral");
        assert_eq!(body["messages"][0]["content"][0]["cache_control"]["type"], "ephemeral");
        assert!(body["messages"][2]["content"][0]["cache_control"].is_null());
        assert_eq!(body["tool_choice"], json!({"type": "tool", "name": "plan"}));
        assert_eq!(body["tools"][0]["input_schema"], json!({"type": "object"}));
    }

    #[tokio::test]
    async fn each_way_to_fail_is_told_apart_and_no_key_is_shown() {
        let overloaded = "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        let end = answered(200, "text/event-stream", overloaded).await;
        assert!(matches!(end, Err(ProviderError::Busy { .. })), "{end:?}");
        let refused =
            r#"{"type":"error","error":{"type":"authentication_error","message":"bad key sk-secret"}}"#;
        let end = answered(401, "application/json", refused).await.unwrap_err().to_string();
        assert!(end.contains("[key]") && !end.contains("sk-secret"), "{end}");
        let end = answered(200, "text/html", "<html><title>Hi</title>").await.unwrap_err().to_string();
        assert!(end.contains("an HTML page, “Hi”"), "{end}");
        let end = answered(200, "text/event-stream", "data: {\"type\":3}\n\n").await;
        assert!(matches!(end, Err(ProviderError::Protocol { .. })), "{end:?}");
        let long = "prompt is too long: 250000 tokens > 200000 maximum";
        let body = json!({"type": "error", "error": {"type": "invalid_request_error", "message": long}});
        let end = answered(400, "application/json", &body.to_string()).await;
        assert!(matches!(end, Err(ProviderError::Overflow { .. })), "{end:?}");
    }

    #[tokio::test]
    async fn a_model_without_a_temperature_is_asked_without_one() {
        let server = Server::start(|asked, mut wire| async move {
            match asked.json()["temperature"].is_null() {
                true => wire.whole(200, "text/event-stream", ANSWER.as_bytes()).await,
                false => {
                    wire.whole(
                        400,
                        "application/json",
                        br#"{"error":{"message":"`temperature` is deprecated for this model"}}"#,
                    )
                    .await
                }
            }
        })
        .await;
        let client = client(&server.url);
        told(client.chat(&request("x")).await.unwrap()).await.unwrap();
        told(client.chat(&request("y")).await.unwrap()).await.unwrap();
        assert_eq!(server.asked().len(), 3, "it is remembered");
    }
}
