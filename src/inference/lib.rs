//! Runs a language model from a GGUF file in this process.
//!
//! It knows tensors and tokens. It must not know roles, prompts, providers, async, the terminal or the
//! environment: whoever calls it turns messages into tokens, samples from the logits, and decides on which
//! thread that happens.
//!
//! ```no_run
//! use countersign_inference::{Model, Options, Session};
//! use std::ops::ControlFlow;
//!
//! let model = Model::open("model.gguf".as_ref(), &Options { threads: 4, context: 4096 })?;
//! let mut session = Session::new(&model)?;
//! let prompt = model.vocabulary().encode("fn main() {", true);
//! session.read(&prompt, &mut |_done| ControlFlow::Continue(()))?;
//! let logits = session.logits();
//! # Ok::<(), countersign_inference::Error>(())
//! ```
//!
//! | question | module |
//! |---|---|
//! | What is in the file? | [`gguf`], [`header`] |
//! | How does text become tokens, and back? | [`vocabulary`] |
//! | How are weights stored, and activations? | [`format`](mod@format), `activation`, `half` |
//! | How is it computed fast? | `kernel`, `pool`, `disjoint`, `product` |
//! | What does the model compute? | `weights`, `forward`, `rope`, `attention`, `cache` |
//! | Who holds what between calls? | [`model`], [`session`] |
//! | What does llama.cpp do instead, if asked for? | `llama`, with the feature `llama-cpp` |
//! | What are tests run on? | [`sample`] |

#[cfg(target_endian = "big")]
compile_error!("weights in GGUF files are little-endian, and are used where they lie");

pub mod error;
pub mod gguf;
pub mod header;
pub mod vocabulary;

pub mod format;
mod half;

mod activation;
mod disjoint;
mod kernel;
mod pool;
mod product;

mod attention;
mod cache;
mod forward;
mod rope;
mod weights;

pub mod model;
pub mod sample;
pub mod session;

#[cfg(feature = "llama-cpp")]
pub mod llama;

pub use error::Error;
pub use header::Header;
#[cfg(feature = "llama-cpp")]
pub use llama::{Model, Session};
pub use model::{Memory, Options, memory_needed, physical_cores};
pub use session::Reading;
pub use vocabulary::Vocabulary;
#[cfg(not(feature = "llama-cpp"))]
pub use {model::Model, session::Session};
