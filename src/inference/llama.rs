//! The same [`Model`] and [`Session`] computed by llama.cpp, with the feature `llama-cpp`.
//!
//! Headers, vocabularies and what is refused stay ours; llama.cpp gets tokens and gives logits. Its C
//! interface is used through the bindings below the crate `llama-cpp-2`, which itself has no way to stop a
//! prompt in its middle.

use crate::error::Error;
use crate::gguf::Gguf;
use crate::header::{Header, map};
use crate::model::Options;
use crate::session::{ASK_EVERY, Reading};
use crate::vocabulary::Vocabulary;
use llama_cpp_sys_2 as llama;
use std::any::Any;
use std::ffi::{CString, c_char, c_void};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Arc, Once};
use std::thread::ThreadId;
use std::time::Instant;

/// Tokens that llama.cpp is given at a time.
const BATCH: usize = 512;

/// A model that is ready to run. Cheap to clone.
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    header: Header,
    vocabulary: Vocabulary,
    options: Options,
    model: NonNull<llama::llama_model>,
}

// SAFETY: llama.cpp only reads a model once it has been loaded.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: loaded in `Model::open`, and no session is left, as each holds this.
        unsafe { llama::llama_model_free(self.model.as_ptr()) }
    }
}

impl Model {
    /// Loads the file, with as many layers on a graphics card as it has room for.
    pub fn open(path: &Path, options: &Options) -> Result<Self, Error> {
        let file = map(path)?;
        let gguf = Gguf::parse(&file)?;
        let header = Header::of(&file, &gguf)?;
        let vocabulary = Vocabulary::of(&file, &gguf)?;
        drop(file);
        let name = path.to_str().and_then(|path| CString::new(path).ok());
        let name = name.ok_or_else(|| Error::unsupported("llama.cpp opens no path that is not UTF-8"))?;
        static START: Once = Once::new();
        START.call_once(|| {
            // SAFETY: once, before anything else.
            unsafe {
                llama::llama_log_set(Some(ignore), std::ptr::null_mut());
                llama::llama_backend_init();
            }
        });
        // SAFETY: the parameters are llama.cpp's own, and the name ends with a zero.
        let model =
            unsafe { llama::llama_model_load_from_file(name.as_ptr(), llama::llama_model_default_params()) };
        let model = NonNull::new(model).ok_or_else(|| Error::unsupported("llama.cpp cannot load it"))?;
        let options = Options { threads: options.threads.max(1), context: options.context.max(1) };
        Ok(Model(Arc::new(Inner { header, vocabulary, options, model })))
    }

    pub fn header(&self) -> &Header {
        &self.0.header
    }

    pub fn vocabulary(&self) -> &Vocabulary {
        &self.0.vocabulary
    }

    /// Tokens that a session can hold.
    pub fn context(&self) -> usize {
        self.0.options.context
    }

    /// What computes, for a report.
    pub fn instructions(&self) -> &'static str {
        "llama.cpp"
    }
}

/// llama.cpp's log, which nobody asked for.
extern "C" fn ignore(_level: llama::ggml_log_level, _text: *const c_char, _data: *mut c_void) {}

/// A sequence of tokens that a model has read. Not shared between threads, but it may move.
pub struct Session {
    context: NonNull<llama::llama_context>,
    /// Where llama.cpp finds who is to be asked; it keeps its address.
    asker: NonNull<Asker>,
    model: Model,
    tokens: Vec<u32>,
    logits: Vec<f32>,
}

// SAFETY: a context may be used from any thread, by one at a time.
unsafe impl Send for Session {}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: both were made in `Session::new`, and the context that knows the asker goes first.
        unsafe {
            llama::llama_free(self.context.as_ptr());
            drop(Box::from_raw(self.asker.as_ptr()));
        }
    }
}

impl Session {
    pub fn new(model: &Model) -> Result<Self, Error> {
        let Options { threads, context } = model.0.options;
        let asker = NonNull::from(Box::leak(Box::new(Asker::default())));
        // SAFETY: plain settings; the model outlives the context, which the session drops first.
        let made = unsafe {
            let mut settings = llama::llama_context_default_params();
            settings.n_ctx = u32::try_from(context).unwrap_or(u32::MAX);
            settings.n_batch = BATCH as u32;
            settings.n_threads = i32::try_from(threads).unwrap_or(i32::MAX);
            settings.n_threads_batch = settings.n_threads;
            settings.no_perf = true;
            // Else what is outside of Gemma's window is forgotten, and nothing can be cut back.
            settings.swa_full = true;
            llama::llama_init_from_model(model.0.model.as_ptr(), settings)
        };
        let Some(made) = NonNull::new(made) else {
            // SAFETY: made above, and nobody else has it.
            drop(unsafe { Box::from_raw(asker.as_ptr()) });
            let bytes = crate::model::memory_needed(&model.0.header, context).cache;
            return Err(Error::Memory { context, bytes, source: std::io::ErrorKind::OutOfMemory.into() });
        };
        // SAFETY: the asker keeps its address until after the context is gone.
        unsafe { llama::llama_set_abort_callback(made.as_ptr(), Some(ask), asker.as_ptr().cast()) };
        Ok(Session { context: made, asker, model: model.clone(), tokens: Vec::new(), logits: Vec::new() })
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
            self.forget();
        }
    }

    /// Removes from llama.cpp's cache what is not in `tokens`.
    fn forget(&mut self) {
        let len = self.tokens.len() as i32;
        // SAFETY: the context is alive.
        unsafe { llama::llama_memory_seq_rm(llama::llama_get_memory(self.context.as_ptr()), 0, len, -1) };
    }

    /// Reads tokens after those that are there, so that [`Session::logits`] are those after the last one.
    ///
    /// `watch` hears how many of these tokens have been read, every ten milliseconds or so (on a graphics
    /// card between batches), and can stop it. On an error nothing has been read.
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
        let before = self.tokens.len();
        for (index, batch) in tokens.chunks(BATCH).enumerate() {
            match self.decode(batch, &mut |()| watch(index * BATCH)) {
                Ok(()) => self.tokens.extend_from_slice(batch),
                Err(Some(error)) => {
                    self.tokens.truncate(before);
                    self.forget();
                    return Err(error);
                }
                Err(None) => {
                    self.forget();
                    return Ok(Reading::Stopped);
                }
            }
        }
        // SAFETY: the last batch asked for the logits of its last token, and there is one for each token.
        let logits = unsafe {
            let logits = llama::llama_get_logits_ith(self.context.as_ptr(), -1);
            assert!(!logits.is_null(), "llama.cpp has read a token and has no logits");
            std::slice::from_raw_parts(logits, vocabulary)
        };
        self.logits.extend_from_slice(logits);
        Ok(Reading::Done)
    }

    /// Reads up to [`BATCH`] tokens; an error without a text means that it was stopped.
    fn decode(&mut self, tokens: &[u32], watch: &mut Watch) -> Result<(), Option<Error>> {
        let mut tokens: Vec<i32> = tokens.iter().map(|token| *token as i32).collect();
        let watch: *mut Watch = watch;
        // SAFETY: only the lifetime changes; it is taken back below, before this function returns.
        let watch = unsafe { std::mem::transmute::<*mut Watch, *mut Watch<'static>>(watch) };
        let asker = self.asker.as_ptr();
        // SAFETY: nobody else uses the asker while llama.cpp does not compute; the batch points to `tokens`,
        // which llama.cpp reads before it returns.
        let (result, asked) = unsafe {
            *asker = Asker {
                watch: Some((watch, std::thread::current().id(), Instant::now())),
                ..Asker::default()
            };
            let batch = llama::llama_batch_get_one(tokens.as_mut_ptr(), tokens.len() as i32);
            let result = llama::llama_decode(self.context.as_ptr(), batch);
            (result, std::mem::take(&mut *asker))
        };
        if let Some(panic) = asked.panic {
            self.forget();
            resume_unwind(panic);
        }
        match result {
            0 if !asked.stopped => Ok(()),
            // It was stopped at the last moment: what was read is forgotten all the same.
            0 | 2 if asked.stopped => Err(None),
            code => {
                Err(Some(Error::unsupported(format!("llama.cpp cannot read these tokens (code {code})"))))
            }
        }
    }

    /// A number for each token of the vocabulary: how likely it is to be next, before softmax. Empty if
    /// nothing has been read since the session began, was cut or was stopped.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }
}

type Watch<'a> = dyn FnMut(()) -> ControlFlow<()> + 'a;

/// Who is asked while llama.cpp computes.
#[derive(Default)]
struct Asker {
    /// The closure, the thread that it belongs to, and when it was asked last.
    watch: Option<(*mut Watch<'static>, ThreadId, Instant)>,
    stopped: bool,
    panic: Option<Box<dyn Any + Send>>,
}

/// Called by llama.cpp between steps; `true` ends the computation.
extern "C" fn ask(asker: *mut c_void) -> bool {
    // SAFETY: the asker of the session, which only the thread that computes uses; that thread is the one that
    // called `llama_decode`, and others are turned away before they touch anything that changes.
    unsafe {
        let asker = asker.cast::<Asker>();
        let Some((watch, thread, asked)) = (*asker).watch else { return false };
        if thread != std::thread::current().id() {
            return false;
        }
        if !(*asker).stopped && asked.elapsed() >= ASK_EVERY {
            (*asker).watch = Some((watch, thread, Instant::now()));
            // A panic must not cross the frames of C.
            match catch_unwind(AssertUnwindSafe(|| (*watch)(()))) {
                Ok(flow) => (*asker).stopped = flow.is_break(),
                Err(panic) => {
                    (*asker).panic = Some(panic);
                    (*asker).stopped = true;
                }
            }
        }
        (*asker).stopped
    }
}
