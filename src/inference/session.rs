//! One text in the making: the tokens read so far, and what attention remembers of them.

use crate::cache::Cache;
use crate::error::Error;
use crate::forward::Buffers;
use crate::model::Model;
use crate::product::{Machine, Scratch};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Tokens that go through the layers together.
pub(crate) const RUN: usize = 96;

/// The longest time between two questions whether to go on, but for a single step that takes longer.
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(10);

/// A sequence of tokens that a model has read. Not shared between threads, but it may move.
pub struct Session {
    model: Model,
    tokens: Vec<u32>,
    cache: Cache,
    buffers: Buffers,
    scratch: Vec<Mutex<Scratch>>,
    logits: Vec<f32>,
}

/// How reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Done,
    /// The closure said so. [`Session::tokens`] says what was read, and there are no logits.
    Stopped,
}

impl Session {
    pub fn new(model: &Model) -> Result<Self, Error> {
        let header = model.header();
        Ok(Session {
            model: model.clone(),
            tokens: Vec::new(),
            cache: Cache::new(header.layers, header.key_heads, header.head_size, model.context())?,
            buffers: Buffers::default(),
            scratch: (0..model.pool().workers()).map(|_| Mutex::default()).collect(),
            logits: Vec::new(),
        })
    }

    /// The tokens that the cache holds: what has been read and not been cut off.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Forgets all tokens but the first `len`. There are no logits until something is read.
    pub fn truncate(&mut self, len: usize) {
        if len < self.tokens.len() {
            self.tokens.truncate(len);
            self.logits.clear();
        }
    }

    /// Reads tokens after those that are there, so that [`Session::logits`] are those after the last one.
    ///
    /// `watch` hears how many of these tokens have been read, every ten milliseconds or so, and can stop it.
    /// On an error nothing has been read.
    pub fn read(
        &mut self,
        tokens: &[u32],
        watch: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Reading, Error> {
        let vocabulary = self.model.header().vocabulary;
        if let Some(token) = tokens.iter().find(|token| **token as usize >= vocabulary) {
            return Err(Error::UnknownToken { token: *token, vocabulary });
        }
        let (needed, context) = (self.tokens.len() + tokens.len(), self.model.context());
        if needed > context {
            return Err(Error::ContextFull { needed, context });
        }
        if tokens.is_empty() {
            return Ok(Reading::Done);
        }
        self.logits.clear();
        let model = self.model.clone();
        let parts = model.parts();
        let mut asked = Instant::now();
        for (index, run) in tokens.chunks(RUN).enumerate() {
            let machine = Machine { pool: model.pool(), kernels: model.kernels(), scratch: &self.scratch };
            let mut between = || {
                if asked.elapsed() < ASK_EVERY {
                    return ControlFlow::Continue(());
                }
                asked = Instant::now();
                watch(index * RUN)
            };
            let place = self.tokens.len();
            if parts.run(&machine, &mut self.cache, &mut self.buffers, place, run, &mut between).is_break() {
                return Ok(Reading::Stopped);
            }
            self.tokens.extend_from_slice(run);
        }
        let machine = Machine { pool: model.pool(), kernels: model.kernels(), scratch: &self.scratch };
        parts.logits(&machine, &mut self.buffers, &mut self.logits);
        Ok(Reading::Done)
    }

    /// A number for each token of the vocabulary: how likely it is to be next, before softmax. Empty if
    /// nothing has been read since the session began, was cut or was stopped.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }
}
