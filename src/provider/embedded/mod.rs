//! A model that runs in this process, from a file of our own.
//!
//! [`Embedded`] is the provider; below it one thread a file loads, reads and draws (`engine`), with
//! the form of the conversation from the file (`template`), the choice of tokens (`sample`) and
//! what may be chosen (`constrain`). How large a window fits is arithmetic
//! (`memory`). It must not know roles or prompts.

mod constrain;
mod engine;
mod memory;
mod sample;
mod template;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_inference::{Header, physical_cores};
use tokio::sync::{mpsc, oneshot};

use self::engine::{Engine, Job};
use self::memory::Plan;
use super::size::{self, Sized};
use super::{
    ChatRequest, ChatStream, Limits, Memory, Message, ModelInfo, ModelKind, ProviderError, Window, WindowKind,
};
use crate::weights::{Weights, is_path};

/// Chunks that may wait for whoever reads an answer. The thread waits when there are more.
const WAITING_CHUNKS: usize = 64;

/// A model in this process. Clones, and all that are made for the same file, share one copy of it.
#[derive(Debug, Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Name of the manifest, or of the file.
    name: String,
    path: PathBuf,
    header: Header,
    plan: Plan,
    engine: Arc<Engine>,
    weights: Weights,
}

impl Embedded {
    /// The model of this name in the store, or in a file at this path. Only its header is read;
    /// weights are mapped when it is first asked something.
    ///
    /// # Errors
    /// [`ProviderError::Model`] when there is no such model, or its file cannot be used.
    pub fn open(weights: &Weights, model: &str) -> Result<Embedded, ProviderError> {
        let refuse = |what: String| ProviderError::Model { model: model.to_owned(), what };
        let Some((name, path)) = weights.find(model) else {
            return Err(refuse(match weights.manifest.named(model) {
                Some(entry) => format!("it is not here yet; `countersign models pull {}` gets it", entry.name),
                None => "there is no such file, and no model of this name; `countersign models list` shows those that there are".to_owned(),
            }));
        };
        let header = Header::read(&path).map_err(|error| refuse(error.to_string()))?;
        let threads = weights.threads.unwrap_or_else(physical_cores);
        let plan = memory::plan(&header, size::free_memory());
        let engine = Engine::of(&path, &name, threads, &plan);
        Ok(Embedded { inner: Arc::new(Inner { name, path, header, plan, engine, weights: weights.clone() }) })
    }

    pub(super) fn with_model(&self, model: &str) -> Result<Embedded, ProviderError> {
        Embedded::open(&self.inner.weights, model)
    }

    /// The models that are here.
    pub(super) fn models(&self) -> Vec<ModelInfo> {
        here(&self.inner.weights)
    }

    pub(super) fn model(&self) -> &str {
        &self.inner.name
    }

    pub(super) fn describe(&self) -> String {
        format!("this process ({})", self.inner.path.display())
    }

    /// What is known of the file.
    pub fn header(&self) -> &Header {
        &self.inner.header
    }

    pub(super) fn window(&self) -> Window {
        let tokens = u32::try_from(self.inner.header.context).unwrap_or(u32::MAX);
        Window { tokens, kind: WindowKind::Maximum, source: "the model's file" }
    }

    pub(super) fn sized(&self) -> Sized {
        Sized { tokens: self.inner.plan.window, why: self.inner.plan.why.clone() }
    }

    pub(super) fn prompts_kept(&self) -> usize {
        self.inner.plan.sessions
    }

    /// Dropping the stream ends the work within a token, or some ten milliseconds of a prompt.
    pub(super) fn chat(&self, request: &ChatRequest) -> ChatStream {
        let (chunks, mut arriving) = mpsc::channel(WAITING_CHUNKS);
        self.inner.engine.ask(Job::Chat { request: Box::new(request.clone()), chunks });
        let stream = futures::stream::poll_fn(move |context| arriving.poll_recv(context));
        ChatStream::watched(stream, &self.describe(), Limits::default(), request.answer_limit)
    }

    pub(super) async fn count(&self, messages: &[Message]) -> Option<u32> {
        let (answer, arriving) = oneshot::channel();
        self.inner.engine.ask(Job::Count { messages: messages.to_vec(), answer });
        arriving.await.ok()
    }
}

/// The models that are here, sorted by name.
pub fn here(weights: &Weights) -> Vec<ModelInfo> {
    let info = |(name, path): (String, PathBuf)| {
        let header = Header::read(&path).ok()?;
        let loaded = path.canonicalize().is_ok_and(|path| Engine::is_loaded(&path));
        Some(ModelInfo {
            bytes: Some(header.file_bytes),
            loaded,
            memory: loaded.then_some(Memory { bytes: header.file_bytes, on_gpu: 0 }),
            window: u32::try_from(header.context).ok(),
            kind: ModelKind::Chat,
            name,
        })
    };
    weights.here().into_iter().filter_map(info).collect()
}

/// Whether a file with this many bytes of weights fits the memory that is free now, with room for its
/// cache.
pub fn fits(bytes: u64) -> bool {
    memory::roughly(bytes) <= size::free_memory()
}

/// The best of the models that are here: one that fits the memory, made for code, the larger one.
pub fn best(weights: &Weights) -> Option<String> {
    let all = here(weights);
    let fitting: Vec<ModelInfo> = all.iter().filter(|model| model.bytes.is_some_and(fits)).cloned().collect();
    let among = if fitting.is_empty() { &all } else { &fitting };
    super::discover::best(among).map(|model| model.name.clone())
}

/// Whether a name that was typed for a model is the path of a file.
pub fn is_file(model: &str) -> bool {
    is_path(model) && Path::new(model).is_file()
}

#[cfg(test)]
mod tests;
