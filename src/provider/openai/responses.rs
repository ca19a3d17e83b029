//! The Responses API, `/responses`: the same conversation in other words, and its events as those of
//! chat completions.
//!
//! Where a service has both, a preset says which one is used; a server without it is asked for chat
//! completions instead. Nothing is kept there (`store` is false): what a turn needs is sent with it.
//! llama.cpp serves it too, but without constraints on the answer, so its chat completions fit better.
//! This file must not do any input or output.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::http::Address;
use super::super::quirks::{Quirks, SchemaForm};
use super::super::{ChatRequest, Message, Speaker};
use super::wire::{self, Choice, Delta, PromptDetails, Timings, Usage};

/// A request for a streamed answer. The API has no seed.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    input: Vec<Value>,
    stream: bool,
    store: bool,
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_prompt: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_slot: Option<usize>,
}

impl<'a> Body<'a> {
    pub(super) fn new(
        request: &ChatRequest,
        model: &'a str,
        address: &Address,
        quirks: Quirks,
        slot: Option<usize>,
    ) -> Body<'a> {
        let format = request.schema.as_ref().and_then(|schema| match quirks.schema {
            SchemaForm::JsonSchema => Some(
                json!({"type": "json_schema", "name": schema.name, "strict": true, "schema": schema.json}),
            ),
            SchemaForm::JsonObject => Some(json!({"type": "json_object"})),
            SchemaForm::None => None,
        });
        let has_slots = quirks.slots && address.is_this_machine();
        Body {
            model,
            input: request.messages.iter().map(item).collect(),
            stream: true,
            store: false,
            max_output_tokens: request.answer_limit,
            temperature: Some(request.temperature).filter(|_| quirks.temperature),
            text: format.map(|format| json!({ "format": format })),
            cache_prompt: has_slots.then_some(true),
            id_slot: slot.filter(|_| has_slots),
        }
    }
}

fn item(message: &Message) -> Value {
    let (role, kind) = match message.speaker {
        Speaker::System => ("system", "input_text"),
        Speaker::User => ("user", "input_text"),
        Speaker::Assistant => ("assistant", "output_text"),
    };
    json!({"type": "message", "role": role, "content": [{"type": kind, "text": message.text}]})
}

/// One event of a stream; also the whole answer of a server that does not stream.
#[derive(Debug, Deserialize)]
#[serde(from = "Raw")]
pub(super) struct Event(pub(super) wire::Event);

#[derive(Debug, Deserialize)]
struct Raw {
    #[serde(rename = "type", default)]
    kind: String,
    delta: Option<Value>,
    response: Option<Answer>,
    error: Option<Value>,
    /// Of an event of the type `error`, which is an error as a whole.
    code: Option<Value>,
    message: Option<Value>,
    /// llama.cpp's own figures.
    timings: Option<Timings>,
    #[serde(flatten)]
    whole: Answer,
}

#[derive(Debug, Default, Deserialize)]
struct Answer {
    status: Option<String>,
    output: Option<Vec<Item>>,
    usage: Option<Tokens>,
    incomplete_details: Option<Value>,
    #[serde(rename = "error")]
    failure: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Item {
    content: Option<Vec<Part>>,
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tokens {
    input_tokens: Option<u32>,
    output_tokens: Option<u32>,
    input_tokens_details: Option<PromptDetails>,
}

impl From<Raw> for Event {
    fn from(raw: Raw) -> Event {
        let said = raw.delta.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut event = wire::Event { timings: raw.timings, error: raw.error, ..wire::Event::default() };
        match raw.kind.as_str() {
            // Nobody offered tools; a model that calls one all the same has put its answer there.
            "response.output_text.delta"
            | "response.refusal.delta"
            | "response.function_call_arguments.delta" => event.choices = choice(Delta::text(said), None),
            "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
                event.choices = choice(Delta::thinking(said), None);
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                close(&mut event, raw.response.unwrap_or_default(), "");
            }
            "error" => {
                let own = json!({"code": raw.code, "message": raw.message});
                event.error = event.error.take().or(Some(own));
            }
            "" if raw.whole.output.is_some() => {
                let mut whole = raw.whole;
                let items = whole.output.take().unwrap_or_default();
                let parts = items.into_iter().filter_map(|item| item.content).flatten();
                let text: String =
                    parts.filter(|part| part.kind == "output_text").filter_map(|part| part.text).collect();
                close(&mut event, whole, &text);
            }
            // Items and parts that begin and end say nothing that the pieces do not.
            _ => {}
        }
        Event(event)
    }
}

/// The end of an answer: why, what it cost, and `text` where it comes all at once.
fn close(event: &mut wire::Event, answer: Answer, text: &str) {
    event.error = event.error.take().or(answer.failure).filter(|error| !error.is_null());
    let reason = match (answer.status.as_deref(), answer.incomplete_details) {
        (Some("failed"), _) => {
            event.error.get_or_insert_with(|| json!("the answer failed, and it is not said why"));
            "error"
        }
        (_, Some(details)) if details["reason"] == "content_filter" => "content_filter",
        (Some("incomplete"), _) => "length",
        _ => "stop",
    };
    event.choices = choice(Delta::text(text.to_owned()), Some(reason));
    event.usage = answer.usage.map(|tokens| Usage {
        prompt_tokens: tokens.input_tokens,
        completion_tokens: tokens.output_tokens,
        prompt_tokens_details: tokens.input_tokens_details,
    });
    event.last = true;
}

fn choice(delta: Delta, reason: Option<&str>) -> Option<Vec<Choice>> {
    Some(vec![Choice {
        index: 0,
        delta: Some(delta),
        message: None,
        finish_reason: reason.map(str::to_owned),
    }])
}

#[cfg(test)]
mod tests {
    use super::super::super::quirks::Api;
    use super::super::super::testing::{Server, limits, request, told};
    use super::super::super::{Ending, ProviderError, Schema, StopReason};
    use super::super::OpenAi;
    use super::*;

    const TEXT: &str = "ï🦀“x”";

    /// A stream as OpenAI sends it: everything has a beginning and an end, and the counts come last.
    fn stream(end: Value) -> String {
        let mut events = vec![
            json!({"type": "response.created", "response": {"status": "in_progress", "output": []}}),
            json!({"type": "response.output_item.added", "item": {"type": "reasoning"}}),
            json!({"type": "response.reasoning_summary_text.delta", "delta": "hm ü"}),
        ];
        events.extend(
            TEXT.chars().map(|c| json!({"type": "response.output_text.delta", "delta": c.to_string()})),
        );
        events.push(json!({"type": "response.output_text.done", "text": TEXT}));
        events.push(end);
        let line = |event: &Value| {
            format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
        };
        events.iter().map(line).collect()
    }

    fn completed() -> Value {
        let usage =
            json!({"input_tokens": 30, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 20}});
        json!({"type": "response.completed", "response": {"status": "completed", "usage": usage, "error": null}})
    }

    fn client(server: &Server) -> OpenAi {
        let quirks = Quirks { api: Api::Responses, ..Quirks::default() };
        OpenAi::with_quirks(&format!("{}/v1", server.url), None, "m", limits(), quirks).unwrap()
    }

    async fn ask(server: &Server) -> Result<(String, Ending), ProviderError> {
        told(client(server).chat(&request("hello")).await?).await
    }

    async fn saying(end: Value) -> Result<(String, Ending), ProviderError> {
        ask(&Server::saying(200, "text/event-stream", stream(end)).await).await
    }

    fn assert_complete(told: Result<(String, Ending), ProviderError>) {
        let (text, ending) = told.unwrap();
        let counts = (ending.prompt_tokens, ending.evaluated_tokens, ending.answer_tokens);
        assert_eq!((text.as_str(), counts), (TEXT, (Some(30), Some(10), Some(5))));
        assert_eq!(ending.reason, StopReason::Complete);
    }

    #[tokio::test]
    async fn the_request_is_kept_by_nobody_and_holds_the_schema() {
        let server = Server::saying(200, "text/event-stream", stream(completed())).await;
        let message = |speaker, text: &str| Message { speaker, text: text.into() };
        let mut asked = request("question");
        asked.messages.insert(0, message(Speaker::System, "rules"));
        asked.messages.push(message(Speaker::Assistant, "wrong"));
        asked.schema = Some(Schema { name: "plan".into(), json: json!({"type": "object"}) });
        told(client(&server).chat(&asked).await.unwrap()).await.unwrap();
        let body = server.last("POST /v1/responses").json();
        assert_eq!((&body["store"], &body["stream"]), (&json!(false), &json!(true)));
        assert_eq!((&body["max_output_tokens"], &body["id_slot"]), (&json!(100), &Value::Null));
        let said: Vec<(&str, &str)> = body["input"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["role"].as_str().unwrap(), item["content"][0]["type"].as_str().unwrap()))
            .collect();
        assert_eq!(said, [("system", "input_text"), ("user", "input_text"), ("assistant", "output_text")]);
        let format =
            json!({"type": "json_schema", "name": "plan", "strict": true, "schema": {"type": "object"}});
        assert_eq!(body["text"]["format"], format);
    }

    #[tokio::test]
    async fn an_answer_cut_at_any_byte_arrives_whole() {
        let length = stream(completed()).len();
        let server = Server::start(|asked, mut wire| async move {
            let stream = stream(completed()).into_bytes();
            let input = &asked.json()["input"][0]["content"][0]["text"];
            let at: usize = input.as_str().unwrap().parse().unwrap();
            wire.chunked("text/event-stream").await;
            wire.part(&stream[..at]).await;
            tokio::task::yield_now().await;
            wire.part(&stream[at..]).await;
            wire.raw(b"0\r\n\r\n").await;
        })
        .await;
        let client = client(&server);
        for at in 1..length - 1 {
            assert_complete(told(client.chat(&request(&at.to_string())).await.unwrap()).await);
        }
    }

    #[tokio::test]
    async fn an_answer_in_one_piece_is_an_answer() {
        let mut whole = completed()["response"].clone();
        whole["output"] = json!([
            {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"type": "message", "content": [{"type": "output_text", "text": TEXT}]},
        ]);
        let server = Server::saying(200, "application/json", whole.to_string()).await;
        assert_complete(ask(&server).await);
    }

    #[tokio::test]
    async fn each_other_end_is_told_apart() {
        let ended = |kind: &str, response: Value| json!({"type": kind, "response": response});
        let cut = json!({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}});
        let (_, ending) = saying(ended("response.incomplete", cut)).await.unwrap();
        assert_eq!(ending.reason, StopReason::Length);
        let filtered = json!({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}});
        let failed = json!({"status": "failed", "error": {"code": "server_error", "message": "out of luck"}});
        let silent = json!({"status": "failed"});
        for (end, says) in [
            (ended("response.incomplete", filtered), "content filter"),
            (ended("response.failed", failed), "out of luck"),
            (ended("response.failed", silent), "not said why"),
            (json!({"type": "error", "code": "x", "message": "broken pipe"}), "broken pipe"),
        ] {
            let error = saying(end).await.unwrap_err();
            assert!(matches!(&error, ProviderError::ServerError { .. }), "{error:?}");
            assert!(error.to_string().contains(says), "{error}");
        }
        let over =
            json!({"status": "failed", "error": {"code": "context_length_exceeded", "message": "too long"}});
        let error = saying(ended("response.failed", over)).await.unwrap_err();
        assert!(matches!(error, ProviderError::Overflow { .. }), "{error:?}");
        let error = saying(json!({"type": "response.output_text.done"})).await.unwrap_err();
        assert!(matches!(error, ProviderError::EndedEarly { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_server_without_it_is_asked_for_chat_completions() {
        let server = Server::start(|asked, mut wire| async move {
            match asked.line.as_str() {
                "POST /v1/chat/completions" => {
                    let choice = json!({"index": 0, "delta": {"content": TEXT}, "finish_reason": "stop"});
                    let body = format!("data: {}\n\ndata: [DONE]\n\n", json!({ "choices": [choice] }));
                    wire.whole(200, "text/event-stream", body.as_bytes()).await;
                }
                _ => wire.whole(404, "text/plain", b"404 page not found").await,
            }
        })
        .await;
        let client = client(&server);
        for _ in 0..2 {
            let (text, _) = told(client.chat(&request("hello")).await.unwrap()).await.unwrap();
            assert_eq!(text, TEXT);
        }
        let tried = server.asked().iter().filter(|asked| asked.line == "POST /v1/responses").count();
        assert_eq!(tried, 1, "what is not there is looked for once");
    }
}
