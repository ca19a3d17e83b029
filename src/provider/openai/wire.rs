//! The JSON of the OpenAI-compatible dialects, as it is sent and as it comes.
//!
//! Everything that a server may leave out is optional here; what is missing where it matters is
//! judged by the caller. This file must not do any input or output.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::super::http::Address;
use super::super::quirks::{Holding, LimitName, Quirks, SchemaForm, SeedName};
use super::super::{ChatRequest, Message, ModelInfo, ModelKind, Speaker, kind_by_name};

/// A request for a streamed answer.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<Said<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    /// This and the next two are known to servers on this machine only.
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeat_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    random_seed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
    /// llama.cpp's own; see `layout`. Never together with a schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    grammar: Option<&'a str>,
    /// llama.cpp before 2025 keeps nothing of the last prompt unless asked to; later ones always do.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_prompt: Option<bool>,
    /// llama.cpp's slot that keeps this role's prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    id_slot: Option<usize>,
    /// How many answers, where several are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct Said<'a> {
    role: &'static str,
    content: &'a str,
}

/// Messages as the wire has them.
pub(super) fn said(messages: &[Message]) -> Vec<Said<'_>> {
    let one = |message: &'_ Message| match message.speaker {
        Speaker::System => "system",
        Speaker::User => "user",
        Speaker::Assistant => "assistant",
    };
    messages.iter().map(|message| Said { role: one(message), content: &message.text }).collect()
}

impl<'a> Body<'a> {
    pub(super) fn new(
        request: &'a ChatRequest,
        model: &'a str,
        address: &Address,
        quirks: Quirks,
        slot: Option<usize>,
        grammar: Option<&'a str>,
        draws: u32,
    ) -> Body<'a> {
        let free = request.schema.as_ref().filter(|_| grammar.is_none());
        let schema = free.and_then(|schema| match quirks.schema {
            SchemaForm::JsonSchema => {
                let strict = json!({"name": schema.name, "strict": true, "schema": schema.json});
                Some(json!({"type": "json_schema", "json_schema": strict}))
            }
            SchemaForm::JsonObject => Some(json!({"type": "json_object"})),
            SchemaForm::None => None,
        });
        let limit = |name| Some(request.answer_limit).filter(|_| quirks.limit == name);
        let seed = |name| request.seed.filter(|_| quirks.seed == name);
        let has_slots = quirks.slots && address.is_this_machine();
        let narrowing = request.narrowing;
        Body {
            model,
            messages: said(&request.messages),
            stream: true,
            stream_options: quirks.usage.then(|| json!({"include_usage": true})),
            max_tokens: limit(LimitName::MaxTokens),
            max_completion_tokens: limit(LimitName::MaxCompletionTokens),
            temperature: Some(request.temperature).filter(|_| quirks.temperature),
            top_p: narrowing.top_p.filter(|_| quirks.temperature),
            top_k: narrowing.top_k.filter(|_| has_slots),
            min_p: narrowing.min_p.filter(|_| has_slots),
            repeat_penalty: narrowing.repeat_penalty.filter(|_| has_slots),
            seed: seed(SeedName::Seed),
            random_seed: seed(SeedName::RandomSeed),
            response_format: schema,
            grammar,
            cache_prompt: has_slots.then_some(true),
            id_slot: slot.filter(|_| has_slots),
            n: Some(draws).filter(|draws| *draws > 1),
        }
    }
}

/// One event of a stream; also the whole answer of a server that does not stream.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Event {
    pub(super) choices: Option<Vec<Choice>>,
    pub(super) usage: Option<Usage>,
    pub(super) timings: Option<Timings>,
    pub(super) error: Option<Value>,
    /// Whether nothing follows it; only the Responses API says so.
    #[serde(skip)]
    pub(super) last: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) index: u32,
    pub(super) delta: Option<Delta>,
    /// Instead of `delta` where the server does not stream.
    pub(super) message: Option<Delta>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta {
    #[serde(default, deserialize_with = "text_or_parts")]
    pub(super) content: Option<String>,
    /// llama.cpp, DeepSeek and older vLLM.
    pub(super) reasoning_content: Option<String>,
    /// Newer vLLM, OpenRouter and Ollama.
    pub(super) reasoning: Option<String>,
    pub(super) tool_calls: Option<Vec<ToolCall>>,
}

impl Delta {
    pub(super) fn text(text: String) -> Delta {
        Delta { content: Some(text), ..Delta::default() }
    }

    pub(super) fn thinking(text: String) -> Delta {
        Delta { reasoning: Some(text), ..Delta::default() }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ToolCall {
    pub(super) function: Option<Function>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Function {
    pub(super) arguments: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: Option<u32>,
    pub(super) completion_tokens: Option<u32>,
    pub(super) prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PromptDetails {
    cached_tokens: Option<u32>,
}

/// llama.cpp's own figures.
#[derive(Debug, Deserialize)]
pub(super) struct Timings {
    /// Prompt tokens that were read anew.
    prompt_n: Option<u32>,
    /// Prompt tokens that came from the cache; newer servers only.
    cache_n: Option<u32>,
    predicted_n: Option<u32>,
}

/// Mistral sends the content of some models as a list of typed parts.
fn text_or_parts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Content {
        Text(String),
        Parts(Vec<Part>),
    }
    #[derive(Deserialize)]
    struct Part {
        text: Option<String>,
    }
    Ok(Option::<Content>::deserialize(deserializer)?.map(|content| match content {
        Content::Text(text) => text,
        Content::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
    }))
}

/// Tokens as far as an event tells.
pub(super) struct Counts {
    pub(super) prompt: Option<u32>,
    pub(super) evaluated: Option<u32>,
    pub(super) answer: Option<u32>,
}

impl Event {
    pub(super) fn counts(&self) -> Counts {
        let usage = self.usage.as_ref();
        let timings = self.timings.as_ref();
        let whole = timings.and_then(|timings| timings.prompt_n?.checked_add(timings.cache_n?));
        let prompt = usage.and_then(|usage| usage.prompt_tokens).or(whole);
        let cached = usage.and_then(|usage| usage.prompt_tokens_details.as_ref()?.cached_tokens);
        let uncached = cached.and_then(|cached| prompt?.checked_sub(cached));
        Counts {
            prompt,
            evaluated: timings.and_then(|timings| timings.prompt_n).or(uncached),
            answer: usage
                .and_then(|usage| usage.completion_tokens)
                .or(timings.and_then(|timings| timings.predicted_n)),
        }
    }
}

fn tokens(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|tokens| u32::try_from(tokens).ok()).filter(|tokens| *tokens > 0)
}

/// The window of one slot in llama.cpp's `/props`.
pub(super) fn props_window(props: &Value) -> Option<u32> {
    tokens(&props["default_generation_settings"]["n_ctx"])
}

/// Whether llama.cpp's `/props` says that answers can be held to a grammar. The grammar counts from
/// the first token on, which for a model that thinks before it answers would be a thought: some
/// servers report the answer as one then, and some crash (llama.cpp issue 22537).
pub(super) fn props_holding(props: &Value) -> Holding {
    const THOUGHTS: [&str; 6] = ["<think>", "<thinking>", "[THINK]", "<seed:think>", "<|channel", "<|think"];
    let is_llama_cpp = props_window(props).is_some() && props["build_info"].is_string();
    let template = props["chat_template"].as_str().unwrap_or_default();
    match is_llama_cpp && !THOUGHTS.iter().any(|mark| template.contains(mark)) {
        true => Holding::Held,
        false => Holding::Unknown,
    }
}

/// LM Studio's own list; `None` when it is not one. Other servers may answer the same address with
/// the common list, which lacks `state`.
pub(super) fn lm_studio_models(list: &Value) -> Option<Vec<ModelInfo>> {
    let rows = list["data"].as_array()?;
    rows.iter()
        .map(|row| {
            let name = row["id"].as_str()?.to_owned();
            let loaded = row["state"].as_str()? == "loaded";
            let window = tokens(&row["loaded_context_length"]).filter(|_| loaded);
            let kind = match row["type"].as_str() {
                Some("embeddings") => ModelKind::Embedding,
                _ => ModelKind::Chat,
            };
            Some(ModelInfo {
                name,
                bytes: None,
                loaded,
                memory: None,
                window: window.or(tokens(&row["max_context_length"])),
                kind,
            })
        })
        .collect()
}

/// The list at `/v1/models`; `None` when it is not one.
pub(super) fn listed_models(list: &Value) -> Option<Vec<ModelInfo>> {
    let rows = list["data"].as_array()?;
    rows.iter()
        .map(|row| {
            let name = row["id"].as_str()?.to_owned();
            // llama.cpp and vLLM have what they list in memory, unless llama.cpp says otherwise,
            // which it does where it serves several models by turns.
            let status = row["status"]["value"].as_str();
            let loaded = matches!(row["owned_by"].as_str(), Some("llamacpp" | "vllm"))
                && status.is_none_or(|status| status == "loaded");
            let kind = kind_by_name(&name);
            Some(ModelInfo {
                bytes: row["meta"]["size"].as_u64(),
                loaded,
                memory: None,
                window: row_window(row),
                kind,
                name,
            })
        })
        .collect()
}

/// The window of one model in the list at `/v1/models`.
pub(super) fn listed_window(list: &Value, model: &str) -> Option<u32> {
    row_window(list["data"].as_array()?.iter().find(|row| row["id"] == *model)?)
}

/// vLLM, OpenRouter, Groq and llama.cpp each have a name for it. llama.cpp's `n_ctx_train` is not
/// among them: it is what the model could have, not what it has.
fn row_window(row: &Value) -> Option<u32> {
    let named =
        ["max_model_len", "context_length", "context_window"].iter().find_map(|name| tokens(&row[*name]));
    named.or_else(|| tokens(&row["meta"]["n_ctx"]))
}
