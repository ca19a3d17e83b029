//! A model in memory, shared by its sessions.

use crate::cache::Cache;
use crate::error::Error;
use crate::forward::{Buffers, Parts};
use crate::gguf::Gguf;
use crate::header::{Header, map};
use crate::kernel::Kernels;
use crate::pool::Pool;
use crate::session::RUN;
use crate::vocabulary::Vocabulary;
use crate::weights::Weights;
use memmap2::Mmap;
use std::path::Path;
use std::sync::Arc;

/// How a model is to be run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads that compute; [`physical_cores`] is a good number.
    pub threads: usize,
    /// Tokens that a session can hold.
    pub context: usize,
}

/// A model that is ready to run. Cheap to clone; the threads and the mapped file are shared, and sessions
/// that run at the same time take turns at each step.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    file: Mmap,
    header: Header,
    vocabulary: Vocabulary,
    weights: Weights,
    context: usize,
    pool: Pool,
    kernels: &'static Kernels,
}

impl Model {
    /// Maps the file, and checks everything in it that a forward pass relies on.
    pub fn open(path: &Path, options: &Options) -> Result<Self, Error> {
        let file = map(path)?;
        let gguf = Gguf::parse(&file)?;
        let header = Header::of(&file, &gguf)?;
        let vocabulary = Vocabulary::of(&file, &gguf)?;
        let weights = Weights::find(&gguf, &file, &header)?;
        let pool = Pool::new(options.threads)
            .map_err(|source| Error::File { path: "a thread for the model".to_owned(), source })?;
        let context = options.context.max(1);
        let kernels = Kernels::best();
        Ok(Model(Arc::new(Inner { file, header, vocabulary, weights, context, pool, kernels })))
    }

    pub fn header(&self) -> &Header {
        &self.0.header
    }

    pub fn vocabulary(&self) -> &Vocabulary {
        &self.0.vocabulary
    }

    /// Tokens that a session can hold.
    pub fn context(&self) -> usize {
        self.0.context
    }

    /// The instruction set that is used, for a report.
    pub fn instructions(&self) -> &'static str {
        self.0.kernels.name
    }

    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts { header: &self.0.header, weights: &self.0.weights, file: &self.0.file }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    pub(crate) fn kernels(&self) -> &'static Kernels {
        self.0.kernels
    }
}

/// Bytes of memory that a model needs with one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The file, which the system can drop and read again if memory is short, at the price of speed.
    pub weights: u64,
    /// Keys and values of a full context; taken as tokens are read.
    pub cache: u64,
    /// Buffers of a run, and the vocabulary.
    pub working: u64,
}

impl Memory {
    pub fn total(&self) -> u64 {
        self.weights + self.cache + self.working
    }
}

/// What opening the model with one session of `context` tokens needs.
pub fn memory_needed(header: &Header, context: usize) -> Memory {
    // A token of the vocabulary takes about 100 bytes with its merges; its logit takes 4.
    let vocabulary = header.vocabulary as u64 * 104;
    Memory {
        weights: header.file_bytes,
        cache: Cache::bytes(header.layers, header.key_heads, header.head_size, context),
        working: Buffers::bytes(header, RUN) + vocabulary + (context * 64) as u64,
    }
}

/// Cores of this machine, two threads of one core counted once; what can be told of it.
pub fn physical_cores() -> usize {
    let logical = std::thread::available_parallelism().map_or(1, |count| count.get());
    linux_cores().map_or(logical, |cores| cores.min(logical)).max(1)
}

/// Pairs of package and core in the kernel's table of processors.
fn linux_cores() -> Option<usize> {
    let mut cores = std::collections::HashSet::new();
    for entry in std::fs::read_dir("/sys/devices/system/cpu").ok()? {
        let topology = entry.ok()?.path().join("topology");
        let number = |name: &str| std::fs::read_to_string(topology.join(name)).ok();
        if let (Some(package), Some(core)) = (number("physical_package_id"), number("core_id")) {
            cores.insert((package, core));
        }
    }
    (!cores.is_empty()).then_some(cores.len())
}
