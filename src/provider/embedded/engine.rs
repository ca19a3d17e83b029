//! The thread on which a model runs: it loads the file when it is first asked, answers one request
//! after the other, keeps the prompts of the last roles, and lets go of everything after a while.
//!
//! Everything here blocks, so nothing of it may run on the async threads. Whoever waits for an answer
//! holds the other end of its channel; when that is gone, the work ends.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc as blocking};
use std::time::Duration;

use countersign_inference::{Header, Model, Options, Reading, Session};
use tokio::sync::{mpsc, oneshot};

use super::constrain::{Constrainer, Next};
use super::memory::{self, Plan};
use super::sample::Sampler;
use super::template::Template;
use super::words::{ModelWords, Special, encode};
use crate::provider::size::free_memory;
use crate::provider::{ChatRequest, Chunk, Ending, Message, ProviderError, StopReason};

/// How long a model stays in memory after an answer: the owner may read a diff for a while.
const KEEP: Duration = Duration::from_secs(10 * 60);

/// What is said of a template that cannot be used.
const TEMPLATE: &str = "its chat template cannot be used";

/// Where an answer goes.
pub(super) type Chunks = mpsc::Sender<Result<Chunk, ProviderError>>;

/// Something to do.
pub(super) enum Job {
    Chat {
        request: Box<ChatRequest>,
        chunks: Chunks,
    },
    /// Without an answer if it cannot be told.
    Count {
        messages: Vec<Message>,
        answer: oneshot::Sender<u32>,
    },
}

/// The way to the thread of one file. The thread ends with the last of them.
#[derive(Debug)]
pub(super) struct Engine {
    path: PathBuf,
    jobs: blocking::Sender<Job>,
    loaded: Arc<AtomicBool>,
}

/// One engine a file in this process.
static ENGINES: Mutex<Vec<Weak<Engine>>> = Mutex::new(Vec::new());

impl Engine {
    /// The engine of a file: the one that there is, or a new one.
    pub(super) fn of(path: &Path, name: &str, threads: usize, plan: &Plan) -> Arc<Engine> {
        let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
        engines.retain(|engine| engine.strong_count() > 0);
        if let Some(engine) = engines.iter().filter_map(Weak::upgrade).find(|engine| engine.path == path) {
            return engine;
        }
        let engine = Arc::new(Engine::start(path, name, threads, plan, KEEP));
        engines.push(Arc::downgrade(&engine));
        engine
    }

    fn start(path: &Path, name: &str, threads: usize, plan: &Plan, keep: Duration) -> Engine {
        let (jobs, arriving) = blocking::channel();
        let loaded = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            path: path.to_owned(),
            name: name.to_owned(),
            threads,
            plan: plan.clone(),
            keep,
            shown: loaded.clone(),
            loaded: None,
        };
        std::thread::spawn(move || worker.run(&arriving));
        Engine { path: path.to_owned(), jobs, loaded }
    }

    /// Whether the model of a file is in memory.
    pub(super) fn is_loaded(path: &Path) -> bool {
        let engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
        let mut engines = engines.iter().filter_map(Weak::upgrade);
        engines.any(|engine| engine.path == path && engine.loaded.load(Ordering::Relaxed))
    }

    /// Gives the thread something to do.
    pub(super) fn ask(&self, job: Job) {
        // The thread ends only with its engine. Were it gone all the same, the job's channel would close,
        // which whoever waits hears.
        let _ = self.jobs.send(job);
    }
}

/// What the thread has.
struct Worker {
    path: PathBuf,
    name: String,
    threads: usize,
    plan: Plan,
    /// How long the model stays in memory after an answer.
    keep: Duration,
    /// For those who ask from outside.
    shown: Arc<AtomicBool>,
    loaded: Option<Loaded>,
}

/// A model in memory.
struct Loaded {
    model: Model,
    template: Template,
    special: Special,
    /// Made when the first constraint is asked for.
    constrainer: Option<Constrainer>,
    slots: Vec<Slot>,
}

/// The prompt that a role had last.
struct Slot {
    role: String,
    session: Session,
    /// Which of all answers was its last one.
    used: u64,
}

/// Why there is no answer.
enum Stop {
    /// Nobody waits for it any more.
    Gone,
    Failed(ProviderError),
}

impl From<ProviderError> for Stop {
    fn from(error: ProviderError) -> Stop {
        Stop::Failed(error)
    }
}

impl Worker {
    fn run(mut self, jobs: &blocking::Receiver<Job>) {
        loop {
            let job = match jobs.recv_timeout(self.keep) {
                Ok(job) => job,
                Err(blocking::RecvTimeoutError::Timeout) => {
                    self.unload();
                    continue;
                }
                Err(blocking::RecvTimeoutError::Disconnected) => return,
            };
            match job {
                Job::Chat { request, chunks } => self.chat(&request, &chunks),
                Job::Count { messages, answer } => {
                    let counted = catch_unwind(AssertUnwindSafe(|| self.prompt(&messages)));
                    // Dropping the sender says that it cannot be told.
                    if let Ok(Ok(tokens)) = counted {
                        let _ = answer.send(u32::try_from(tokens.len()).unwrap_or(u32::MAX));
                    }
                }
            }
        }
    }

    fn unload(&mut self) {
        self.loaded = None;
        self.shown.store(false, Ordering::Relaxed);
    }

    fn chat(&mut self, request: &ChatRequest, chunks: &Chunks) {
        if chunks.is_closed() {
            return;
        }
        let answered = catch_unwind(AssertUnwindSafe(|| self.answer(request, chunks)));
        let last = match answered {
            Ok(Ok(ending)) => Ok(Chunk::End(ending)),
            Ok(Err(Stop::Gone)) => return,
            Ok(Err(Stop::Failed(error))) => Err(error),
            Err(_) => {
                // What it was doing may be half done.
                self.unload();
                Err(self.refuse("it failed; this is a defect of countersign, please report it"))
            }
        };
        // An error only says that nobody waits any more.
        let _ = chunks.blocking_send(last);
    }

    fn refuse(&self, what: impl Into<String>) -> ProviderError {
        ProviderError::Model { model: self.name.clone(), what: what.into() }
    }

    /// The model with a window of so many tokens at least.
    fn load(&mut self, window: u32) -> Result<&mut Loaded, ProviderError> {
        let kept = self.loaded.take().filter(|loaded| loaded.model.context() >= window as usize);
        self.shown.store(false, Ordering::Relaxed);
        let loaded = match kept {
            Some(loaded) => loaded,
            None => self.open(window)?,
        };
        self.shown.store(true, Ordering::Relaxed);
        Ok(self.loaded.insert(loaded))
    }

    fn open(&self, window: u32) -> Result<Loaded, ProviderError> {
        let header = Header::read(&self.path).map_err(|error| self.refuse(error.to_string()))?;
        let (needed, free) = (memory::needed(&header, window, 1), free_memory());
        if needed > free {
            return Err(ProviderError::Memory { model: self.name.clone(), window, needed, free });
        }
        let options = Options { threads: self.threads, context: window as usize };
        let model = Model::open(&self.path, &options).map_err(|error| self.refuse(error.to_string()))?;
        let special = Special::of(&ModelWords(model.clone())).map_err(|what| self.refuse(what))?;
        let text = |token: Option<u32>| {
            let bytes = token.map(|token| model.vocabulary().bytes(token)).unwrap_or_default();
            String::from_utf8_lossy(bytes).into_owned()
        };
        let end = (0..model.vocabulary().len() as u32).find(|token| model.vocabulary().is_end(*token));
        let (begin, end) = (text(model.vocabulary().begin()), text(end));
        let template = Template::new(header.chat_template.as_deref(), &begin, &end);
        let template = template.map_err(|what| self.refuse(format!("{TEMPLATE}: {what}")))?;
        Ok(Loaded { model, template, special, constrainer: None, slots: Vec::new() })
    }

    /// The tokens of a conversation.
    fn prompt(&mut self, messages: &[Message]) -> Result<Vec<u32>, ProviderError> {
        // Whatever window it has will do to count.
        let window = if self.loaded.is_some() { 0 } else { self.plan.window };
        let loaded = self.load(window)?;
        let parts = loaded.template.render(messages, |text| loaded.special.is_in(text));
        let tokens = parts.map(|parts| encode(&loaded.model, &parts));
        tokens.map_err(|what| self.refuse(format!("{TEMPLATE}: {what}")))
    }

    fn answer(&mut self, request: &ChatRequest, chunks: &Chunks) -> Result<Ending, Stop> {
        self.load(request.window)?;
        let tokens = self.prompt(&request.messages)?;
        let prompt_tokens = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        if tokens.is_empty() || prompt_tokens >= request.window {
            return Err(Stop::Failed(ProviderError::Overflow {
                url: format!("the model {} in this process", self.name),
                prompt_tokens: Some(prompt_tokens),
                window: Some(request.window),
            }));
        }
        let (name, sessions) = (self.name.clone(), self.plan.sessions);
        let refuse = |what: String| Stop::Failed(ProviderError::Model { model: name, what });
        let loaded = self.load(request.window)?;
        let answered = loaded.answer(request, &tokens, sessions, chunks);
        let written = answered.map_err(|unread| match unread {
            Unread::Gone => Stop::Gone,
            Unread::Failed(what) => refuse(what),
        })?;
        Ok(Ending {
            reason: written.reason,
            prompt_tokens: Some(prompt_tokens),
            evaluated_tokens: Some(prompt_tokens - written.kept),
            answer_tokens: Some(written.tokens),
        })
    }
}

/// An answer that was written to its end.
struct Written {
    reason: StopReason,
    tokens: u32,
    /// Tokens of the prompt that were there already.
    kept: u32,
}

impl Loaded {
    fn constraint(&mut self, request: &ChatRequest) -> Result<Option<super::constrain::Constraint>, String> {
        if request.schema.is_none() && request.layout.is_none() {
            return Ok(None);
        }
        let constrainer = match self.constrainer.take() {
            Some(constrainer) => constrainer,
            None => Constrainer::new(Arc::new(ModelWords(self.model.clone())))?,
        };
        self.constrainer.insert(constrainer).of(request)
    }

    /// Reads what is new of the prompt, and writes the answer behind it.
    fn answer(
        &mut self,
        request: &ChatRequest,
        prompt: &[u32],
        sessions: usize,
        chunks: &Chunks,
    ) -> Result<Written, Unread> {
        let mut constraint = self.constraint(request)?;
        let Loaded { model, slots, .. } = self;
        let session = &mut slot(slots, model, &request.role, sessions)?.session;
        let same = session.tokens().iter().zip(prompt).take_while(|(a, b)| a == b).count();
        // The last token is always read anew: its scores are what the answer begins with.
        let kept = same.min(prompt.len() - 1);
        session.truncate(kept);
        read(session, &prompt[kept..], chunks)?;
        let vocabulary = model.vocabulary();
        let mut sampler = Sampler::new(request.temperature, request.seed, &request.narrowing);
        let most = request.answer_limit.min(request.window - prompt.len() as u32);
        let (mut text, mut tokens) = (Text::default(), 0);
        let reason = loop {
            let next = match &mut constraint {
                None => Next::Any,
                Some(constraint) => constraint.next()?,
            };
            let next = match next {
                Next::End => break StopReason::Complete,
                _ if tokens >= most => break StopReason::Length,
                Next::Any => vec![drawn(&mut sampler, session, |_| true)?],
                Next::Allowed(allowed) => {
                    vec![drawn(&mut sampler, session, |token| allowed.is_allowed(token))?]
                }
                Next::Forced(mut forced) => {
                    forced.truncate((most - tokens) as usize);
                    forced
                }
            };
            if next.first().is_none_or(|token| vocabulary.is_end(*token)) {
                break StopReason::Complete;
            }
            if let Some(constraint) = &mut constraint {
                constraint.take(&next)?;
            }
            tokens += next.len() as u32;
            for token in next.iter().filter(|token| !vocabulary.is_special(**token)) {
                text.push(vocabulary.bytes(*token));
            }
            if let Some(piece) = text.take() {
                chunks.blocking_send(Ok(Chunk::Text(piece))).map_err(|_| Unread::Gone)?;
            }
            if tokens < most {
                read(session, &next, chunks)?;
            }
        };
        if let Some(rest) = text.rest() {
            chunks.blocking_send(Ok(Chunk::Text(rest))).map_err(|_| Unread::Gone)?;
        }
        Ok(Written { reason, tokens, kept: kept as u32 })
    }
}

/// The session of a role: its own, a new one, or that of the role which was asked longest ago.
fn slot<'a>(
    slots: &'a mut Vec<Slot>,
    model: &Model,
    role: &str,
    most: usize,
) -> Result<&'a mut Slot, String> {
    let now = slots.iter().map(|slot| slot.used).max().unwrap_or(0) + 1;
    let at = match slots.iter().position(|slot| slot.role == role) {
        Some(at) => at,
        None => {
            if slots.len() >= most {
                let oldest = (0..slots.len()).min_by_key(|at| slots[*at].used);
                oldest.map(|at| slots.swap_remove(at));
            }
            let session = Session::new(model).map_err(|error| error.to_string())?;
            slots.push(Slot { role: role.to_owned(), session, used: 0 });
            slots.len() - 1
        }
    };
    slots[at].used = now;
    Ok(&mut slots[at])
}

/// Why an answer ended before its end.
enum Unread {
    Gone,
    Failed(String),
}

impl From<String> for Unread {
    fn from(what: String) -> Unread {
        Unread::Failed(what)
    }
}

fn read(session: &mut Session, tokens: &[u32], chunks: &Chunks) -> Result<(), Unread> {
    let mut watch = |_| match chunks.is_closed() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    match session.read(tokens, &mut watch) {
        Ok(Reading::Done) => Ok(()),
        Ok(Reading::Stopped) => Err(Unread::Gone),
        Err(error) => Err(Unread::Failed(error.to_string())),
    }
}

fn drawn(sampler: &mut Sampler, session: &Session, allowed: impl Fn(u32) -> bool) -> Result<u32, String> {
    let token = sampler.draw(session.logits(), allowed);
    token
        .ok_or_else(|| "it has no score for any token that may come next; its file may be damaged".to_owned())
}

/// Bytes of tokens as text: a character may be split between two of them.
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What is whole, with a mark for what can become nothing any more.
    fn take(&mut self) -> Option<String> {
        let mut taken = String::new();
        loop {
            match std::str::from_utf8(&self.bytes) {
                Ok(whole) => {
                    taken.push_str(whole);
                    self.bytes.clear();
                    break;
                }
                Err(error) => {
                    let (whole, rest) = self.bytes.split_at(error.valid_up_to());
                    // The first part is valid, which the error says.
                    taken.push_str(&String::from_utf8_lossy(whole));
                    let Some(wrong) = error.error_len() else {
                        self.bytes = rest.to_vec();
                        break;
                    };
                    taken.push(char::REPLACEMENT_CHARACTER);
                    self.bytes = rest[wrong..].to_vec();
                }
            }
        }
        (!taken.is_empty()).then_some(taken)
    }

    /// What is left at the end: a character without its last bytes.
    fn rest(self) -> Option<String> {
        (!self.bytes.is_empty()).then(|| String::from_utf8_lossy(&self.bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_model_that_nobody_asks_is_let_go_and_comes_back() {
        use countersign_inference::{format::Format, header::Architecture, sample::Sample};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        let sample = Sample { architecture: Architecture::Llama, format: Format::Q8_0, seed: 3 };
        std::fs::write(&path, sample.gguf()).unwrap();
        let plan = Plan { window: 512, sessions: 1, why: String::new() };
        let engine = Engine::start(&path, "tiny", 1, &plan, Duration::from_millis(20));
        for _ in 0..2 {
            let (answer, arriving) = oneshot::channel();
            engine.ask(Job::Count { messages: Vec::new(), answer });
            assert!(arriving.await.is_ok());
            let gone = async {
                while engine.loaded.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), gone).await.expect("it is let go");
        }
    }

    #[test]
    fn characters_that_are_split_between_tokens_come_whole() {
        let mut text = Text::default();
        let mut pieces = Vec::new();
        for byte in "aé€😀".bytes() {
            text.push(&[byte]);
            pieces.extend(text.take());
        }
        assert_eq!(pieces, ["a", "é", "€", "😀"]);
        text.push(b"\xff\xc3(");
        assert_eq!(text.take().as_deref(), Some("\u{fffd}\u{fffd}("));
        text.push(b"\xe2\x82");
        assert_eq!(text.take(), None);
        assert_eq!(text.rest().as_deref(), Some("\u{fffd}"));
    }
}
