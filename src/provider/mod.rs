//! Messages in, streamed text out. Knows model servers; must not know roles, prompts or files.
//!
//! [`Provider`] is the one door: a closed set of servers behind the same three questions. What they
//! have in common below that lives in `http` (addresses, rules of the client), `lines` (bytes to
//! lines), `error` (what servers say when they fail) and `stream` (how an answer has to end).

mod anthropic;
pub mod discover;
pub mod embedded;
mod error;
mod http;
mod layout;
mod lines;
mod ollama;
mod openai;
pub mod preset;
mod quirks;
pub mod record;
pub mod retry;
mod scripted;
pub mod size;
mod stream;
#[cfg(test)]
mod testing;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use anthropic::Anthropic;
pub use embedded::Embedded;
pub use error::ProviderError;
pub(crate) use http::{innermost, install_cryptography};
pub use ollama::{Ollama, Pulled};
pub use openai::OpenAi;
pub use quirks::{Api, Holding, Quirks, SchemaForm};
pub use scripted::Scripted;
pub use secrecy::SecretString;
pub use stream::ChatStream;

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    System,
    User,
    Assistant,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub speaker: Speaker,
    pub text: String,
}

/// A constraint on the form of the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Letters, digits and underscores, as the OpenAI API demands.
    pub name: String,
    pub json: serde_json::Value,
}

/// A constraint on an answer that carries code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    Blocks(Searchable),
    Fenced(Fenced),
}

/// One code block and nothing behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fenced {
    /// The path of the file that the block is, on the line before it.
    pub name: Option<String>,
    pub preface: Preface,
}

/// What may stand before a code block, in a few lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preface {
    Nothing,
    /// Words of ASCII. Asked in English, Qwen2.5-Coder-1.5B went on in Chinese in one diagnosis of ten, whose
    /// words no space counts.
    Ascii,
    Any,
}

impl Preface {
    /// Those of the script that a request is written in.
    pub fn of(request: &str) -> Preface {
        let is_ascii = |c: char| c.is_ascii() || !c.is_alphabetic();
        if request.chars().all(is_ascii) { Preface::Ascii } else { Preface::Any }
    }
}

/// What SEARCH/REPLACE blocks may search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Searchable {
    /// Paths that a block may name; at least one.
    pub files: Vec<String>,
    /// Lines that a block may search for, in regions of consecutive ones.
    pub regions: Vec<Vec<SearchLine>>,
}

/// One line that may be searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchLine {
    /// Without its line end.
    pub text: String,
    /// Lines that a search needs at least which begins here, to be found in one place only; `None`
    /// where none can begin.
    pub fewest: Option<usize>,
}

/// Which tokens may be drawn at all, beside temperature and seed. What is `None` is the server's to
/// say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Narrowing {
    /// Only so many of the most likely tokens; 0 is all of them.
    pub top_k: Option<u32>,
    /// Only the most likely tokens that together have this share, 0 to 1.
    pub top_p: Option<f32>,
    /// Only tokens with at least this share of the most likely one's probability, 0 to 1.
    pub min_p: Option<f32>,
    /// By how much the score of a token is divided that was there a moment ago; 1 is not at all.
    pub repeat_penalty: Option<f32>,
}

/// One request to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// Name of the role that asks; the scripted provider checks it.
    pub role: String,
    pub messages: Vec<Message>,
    /// Sent in the strongest form that the server has; the caller validates all the same.
    pub schema: Option<Schema>,
    /// Kept where [`Provider::holding`] says so; else the answer is free. Not together with a schema.
    pub layout: Option<Layout>,
    /// Answers that are wanted to this one prompt; at most [`Provider::draws`], at least 1. The first is
    /// streamed, each other comes whole as a [`Chunk::Further`]. There may be fewer.
    pub draws: u32,
    /// Context window in tokens. The same for a whole task, since Ollama reloads on a change.
    pub window: u32,
    /// Most tokens of the answer.
    pub answer_limit: u32,
    pub temperature: f32,
    pub seed: Option<u32>,
    pub narrowing: Narrowing,
}

impl ChatRequest {
    /// What the model is shown.
    pub fn texts(&self) -> Arc<[String]> {
        self.messages.iter().map(|message| message.text.clone()).collect()
    }
}

/// What a running answer yields.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunk {
    /// Text of the answer.
    Text(String),
    /// Reasoning that the server reports apart from the answer.
    Thinking(String),
    /// Another answer to the same request, complete.
    Further(String),
    /// The answer is complete. Always the last chunk of a successful stream.
    End(Ending),
}

impl Chunk {
    /// The text of another answer.
    pub fn further(&self) -> Option<&str> {
        match self {
            Chunk::Further(text) => Some(text),
            Chunk::Text(_) | Chunk::Thinking(_) | Chunk::End(_) => None,
        }
    }
}

/// How an answer ended, and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    pub reason: StopReason,
    /// Prompt tokens of the whole prompt as the server counted them, cached ones included.
    pub prompt_tokens: Option<u32>,
    /// Prompt tokens that the server really read anew.
    pub evaluated_tokens: Option<u32>,
    pub answer_tokens: Option<u32>,
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It was finished.
    Complete,
    /// The answer limit or the window was reached: the text is cut.
    Length,
    /// It wrote the same over and over and was stopped: the text is of no use.
    Repetition,
}

/// Time limits of one call. There is no limit before the first token: loading a model or reading a
/// long prompt on a laptop takes minutes, and cancelling is one key.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To establish a connection.
    pub connect: Duration,
    /// Longest silence between two chunks once the answer has begun.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connect: Duration::from_secs(5), stall: Duration::from_secs(60) }
    }
}

/// A model that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    pub name: String,
    /// Size of its weights, where the server says.
    pub bytes: Option<u64>,
    /// Whether it is in memory now, so that its first answer comes without loading.
    pub loaded: bool,
    /// Where it lies in memory, if it is loaded and the server says.
    pub memory: Option<Memory>,
    /// The window in tokens that it is loaded with, or the largest that it can have.
    pub window: Option<u32>,
    pub kind: ModelKind,
}

/// Memory that a loaded model takes, its cache included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes of them in the memory of a GPU; the rest is read by the CPU.
    pub on_gpu: u64,
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    Chat,
    /// Turns text into vectors and cannot answer.
    Embedding,
}

/// The context window of a model, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub tokens: u32,
    pub kind: WindowKind,
    /// Where the figure comes from, such as `/props`.
    pub source: &'static str,
}

/// Who decides about a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// The server has loaded the model with it.
    Fixed,
    /// The model can have up to this; each request says how much.
    Maximum,
}

impl Window {
    /// Asked for where the window is ours to choose: enough for a pack and an answer, and small
    /// enough that a 7B model with its cache stays in 8 GB.
    pub const USUAL: u32 = 8192;

    /// The window to put into [`ChatRequest::window`], given what the owner wants, if anything.
    pub fn ask(&self, wanted: Option<u32>) -> u32 {
        let unasked = match self.kind {
            WindowKind::Fixed => self.tokens,
            WindowKind::Maximum => Self::USUAL,
        };
        wanted.unwrap_or(unasked).min(self.tokens)
    }
}

/// A model behind a server, or in this process. Cheap to clone; clones share connections and, for scripts, the place.
#[derive(Debug, Clone)]
pub enum Provider {
    Ollama(Ollama),
    OpenAi(OpenAi),
    Anthropic(Anthropic),
    Embedded(Embedded),
    Scripted(Scripted),
}

impl Provider {
    /// Sends a conversation and returns the answer as it arrives. Dropping the future or the stream
    /// closes the connection, upon which the servers stop generating.
    pub async fn chat(&self, request: &ChatRequest) -> Result<ChatStream, ProviderError> {
        match self {
            Provider::Ollama(ollama) => ollama.chat(request).await,
            Provider::OpenAi(openai) => openai.chat(request).await,
            Provider::Anthropic(anthropic) => anthropic.chat(request).await,
            Provider::Embedded(embedded) => Ok(embedded.chat(request)),
            Provider::Scripted(scripted) => scripted.chat(request),
        }
    }

    /// What the server offers, sorted by name.
    pub async fn models(&self) -> Result<Vec<ModelInfo>, ProviderError> {
        let mut models = match self {
            Provider::Ollama(ollama) => ollama.models().await?,
            Provider::OpenAi(openai) => openai.models().await?,
            Provider::Anthropic(anthropic) => anthropic.models().await?,
            Provider::Embedded(embedded) => embedded.models(),
            Provider::Scripted(scripted) => scripted.models(),
        };
        models.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(models)
    }

    /// The window of the model; `None` where the server does not say.
    pub async fn window(&self) -> Result<Option<Window>, ProviderError> {
        match self {
            Provider::Ollama(ollama) => ollama.window().await,
            Provider::OpenAi(openai) => openai.window().await,
            Provider::Anthropic(anthropic) => {
                let models = anthropic.models().await?;
                let mine = models.into_iter().find(|model| model.name == anthropic.model());
                let tokens = mine.and_then(|model| model.window);
                Ok(tokens.map(|tokens| Window { tokens, kind: WindowKind::Fixed, source: "/v1/models" }))
            }
            Provider::Embedded(embedded) => Ok(Some(embedded.window())),
            Provider::Scripted(scripted) => Ok(Some(scripted.window())),
        }
    }

    /// The same server with another model; a script answers for every model.
    ///
    /// # Errors
    /// [`ProviderError::Address`], which cannot happen for an address that was used before, and
    /// [`ProviderError::Model`] for a model of our own that is not there.
    pub fn with_model(&self, model: &str) -> Result<Provider, ProviderError> {
        Ok(match self {
            Provider::Ollama(ollama) => Provider::Ollama(ollama.with_model(model)?),
            Provider::OpenAi(openai) => Provider::OpenAi(openai.with_model(model)?),
            Provider::Anthropic(anthropic) => Provider::Anthropic(anthropic.with_model(model)?),
            Provider::Embedded(embedded) => Provider::Embedded(embedded.with_model(model)?),
            Provider::Scripted(scripted) => Provider::Scripted(scripted.clone()),
        })
    }

    /// The window to load the model with, where that is ours to say and there is enough to compute it
    /// from. `cache_type` is the value of Ollama's own variable `OLLAMA_KV_CACHE_TYPE`.
    pub async fn sized(&self, cache_type: Option<&str>) -> Option<size::Sized> {
        match self {
            Provider::Ollama(ollama) => ollama.sized(size::CacheType::named(cache_type)).await,
            Provider::Embedded(embedded) => Some(embedded.sized()),
            Provider::OpenAi(_) | Provider::Anthropic(_) | Provider::Scripted(_) => None,
        }
    }

    /// Exactly how many tokens a conversation is for this model, its chat template included; `None`
    /// where the server cannot tell, or does not in time.
    pub async fn count(&self, messages: &[Message]) -> Option<u32> {
        match self {
            Provider::OpenAi(openai) => openai.count(messages).await,
            Provider::Embedded(embedded) => embedded.count(messages).await,
            Provider::Ollama(_) | Provider::Anthropic(_) | Provider::Scripted(_) => None,
        }
    }

    /// Whether an answer is held to [`ChatRequest::layout`] token by token. What a server does is
    /// known from [`Provider::window`] on.
    pub fn holding(&self) -> Holding {
        match self {
            Provider::Embedded(_) => Holding::Held,
            Provider::OpenAi(openai) => openai.holding(),
            Provider::Ollama(_) | Provider::Anthropic(_) | Provider::Scripted(_) => Holding::Unknown,
        }
    }

    /// How many answers to one prompt are written side by side, the prompt being read once; 1 where that
    /// cannot be, or is not known. Known from [`Provider::window`] on.
    pub fn draws(&self) -> u32 {
        match self {
            Provider::OpenAi(openai) => openai.draws(),
            Provider::Scripted(scripted) => scripted.draws(),
            Provider::Ollama(_) | Provider::Anthropic(_) | Provider::Embedded(_) => 1,
        }
    }

    /// How many prompts, of a role each, are kept so that only what follows is read in the next call; 0 where
    /// reading costs money, or happens on a machine that others may be waiting for. Known from
    /// [`Provider::window`] on.
    pub fn prompts_kept(&self) -> usize {
        match self {
            Provider::Ollama(ollama) => ollama.prompts_kept(),
            Provider::OpenAi(openai) => openai.prompts_kept(),
            Provider::Embedded(embedded) => embedded.prompts_kept(),
            Provider::Anthropic(_) | Provider::Scripted(_) => 0,
        }
    }

    /// The constraint that the server turned out to take; `None` where nothing was refused yet.
    pub fn schema_form(&self) -> Option<SchemaForm> {
        match self {
            Provider::OpenAi(openai) => openai.schema_form(),
            Provider::Ollama(_) | Provider::Anthropic(_) | Provider::Embedded(_) | Provider::Scripted(_) => {
                None
            }
        }
    }

    /// The model that answers.
    pub fn model(&self) -> &str {
        match self {
            Provider::Ollama(ollama) => ollama.model(),
            Provider::OpenAi(openai) => openai.model(),
            Provider::Anthropic(anthropic) => anthropic.model(),
            Provider::Embedded(embedded) => embedded.model(),
            Provider::Scripted(scripted) => scripted.model(),
        }
    }

    /// Kind and address of the server, for people: `Ollama at http://127.0.0.1:11434`.
    pub fn describe(&self) -> String {
        match self {
            Provider::Ollama(ollama) => format!("Ollama at {}", ollama.shown()),
            Provider::OpenAi(openai) => format!("OpenAI-compatible server at {}", openai.shown()),
            Provider::Anthropic(anthropic) => format!("Messages API at {}", anthropic.shown()),
            Provider::Embedded(embedded) => embedded.describe(),
            Provider::Scripted(scripted) => format!("script {}", scripted.shown()),
        }
    }
}

/// Whether a model's name says that it only makes vectors. Used where the server does not tell.
fn kind_by_name(name: &str) -> ModelKind {
    const SIGNS: [&str; 8] =
        ["embed", "bge-", "minilm", "e5-", "gte-", "rerank", "arctic-embed", "paraphrase-"];
    let name = name.to_ascii_lowercase();
    if SIGNS.iter().any(|sign| name.contains(sign)) { ModelKind::Embedding } else { ModelKind::Chat }
}
