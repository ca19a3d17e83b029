//! One model call: check that it fits, ask, stream, and compare the server's count with ours.
//!
//! Nothing is cut silently, neither by us nor by the server. It must not know what a role's answer
//! means.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;

use crate::events::Events;
use crate::measured::{Measured, Measurements};
use crate::prompt::Prompts;
use crate::protocol::{Event, Usage};
use crate::provider::record::Recorder;
use crate::provider::{
    ChatRequest, Chunk, Ending, Holding, Layout, Message, Provider, ProviderError, Schema, SchemaForm,
    Speaker, StopReason, retry,
};
use crate::repeats::Repeats;
use crate::role::{RoleSpec, TaskLimits};
use crate::tokens::{self, Size};

/// Why a role could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Said before anything is sent.
    #[error(
        "the {role}'s prompt is about {estimated} tokens and its answer up to {answer}, but the model's window is {window}"
    )]
    TooLarge { role: String, estimated: u32, answer: u32, window: u32 },
    /// The server's count of the prompt cannot be explained by what was sent.
    #[error("the server read {counted} tokens of a prompt of about {estimated}: it cut the {role}'s prompt")]
    PromptCut { role: String, estimated: u32, counted: u32 },
    /// Several answers in a row could not be used.
    #[error("no usable answer from the {role} after {calls} calls: {reason}")]
    OutOfCalls { role: String, calls: u32, reason: String },
    /// A limit of the role or of the task is reached; what was done before is kept.
    #[error("the {role} stops here: {whose} limit of {what} is reached")]
    Spent { role: String, whose: &'static str, what: String },
    /// A prompt of the user's own configuration cannot be filled in.
    #[error("{0:#}")]
    Prompt(anyhow::Error),
    /// The evidence could not be read.
    #[error("{0:#}")]
    Evidence(anyhow::Error),
}

/// The model behind the roles of a session. Clones share what was spent and learned.
#[derive(Clone)]
pub struct Model {
    pub provider: Provider,
    /// Context window in tokens, the same for every call of the session.
    pub window: u32,
    pub limits: TaskLimits,
    /// Whether the server is asked to hold answers to their schemas.
    pub constrained: bool,
    recorder: Option<Recorder>,
    calls: Arc<AtomicU32>,
    spent: Arc<Mutex<Spent>>,
    learned: Arc<Mutex<Learned>>,
}

/// What a task has spent.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    /// As servers counted it.
    usage: Usage,
    /// Sent and answered, estimated where the server did not count.
    tokens: u64,
}

/// What the calls of a session taught about the model.
struct Learned {
    measured: Measured,
    /// Where it is kept; nowhere in tests and trials.
    kept: Option<Measurements>,
    /// The weaker constraint that was announced already.
    form: Option<SchemaForm>,
    /// Whether it was announced that answers are not held.
    free: bool,
}

impl Model {
    pub fn new(provider: Provider, window: u32) -> Model {
        let measured = Measured { model: provider.model().to_owned(), ..Measured::default() };
        Model {
            provider,
            window,
            limits: TaskLimits::default(),
            constrained: true,
            recorder: None,
            calls: Arc::default(),
            spent: Arc::default(),
            learned: Arc::new(Mutex::new(Learned { measured, kept: None, form: None, free: false })),
        }
    }

    /// With what is known about the model from earlier sessions, to which this one adds.
    pub fn measured_in(self, kept: Measurements) -> Model {
        let measured = kept.of(self.provider.model());
        let learned = Learned { measured, kept: Some(kept), form: None, free: false };
        Model { learned: Arc::new(Mutex::new(learned)), ..self }
    }

    /// With every answer written to a script.
    pub fn recorded(self, recorder: Recorder) -> Model {
        Model { recorder: Some(recorder), ..self }
    }

    /// Another model for one role, with the same limits, the same account and the same script.
    pub fn beside(&self, provider: Provider) -> Model {
        let kept = self.learned().kept.clone();
        let other = Model::new(provider, self.window);
        let other = Model {
            limits: self.limits,
            constrained: self.constrained,
            recorder: self.recorder.clone(),
            calls: self.calls.clone(),
            spent: self.spent.clone(),
            ..other
        };
        match kept {
            Some(kept) => other.measured_in(kept),
            None => other,
        }
    }

    /// What has been spent since the last call of this function.
    pub fn take_usage(&self) -> Usage {
        std::mem::take(&mut *self.spent.lock().unwrap_or_else(PoisonError::into_inner)).usage
    }

    /// Bytes of text that fit so many tokens of this model, as far as it is known.
    pub fn bytes_of(&self, tokens: u32) -> usize {
        self.learned().measured.tokens.bytes_of(tokens)
    }

    /// Tokens of a text: counted by the server where it can, else estimated.
    pub async fn tokens_of(&self, text: &str) -> u32 {
        let message = Message { speaker: Speaker::User, text: text.to_owned() };
        match self.provider.count(std::slice::from_ref(&message)).await {
            Some(tokens) => tokens,
            None => self.learned().measured.tokens.estimate(Size::of([text])),
        }
    }

    /// How well the estimate of this model's tokens is known: prompts counted, and its average
    /// error as a share.
    pub fn estimate_error(&self) -> Option<(usize, f64)> {
        let learned = self.learned();
        learned.measured.tokens.error().map(|error| (learned.measured.tokens.samples(), error))
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spent(&self) -> Spent {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, usage: &Usage, tokens: u64) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.tokens += tokens;
        let sum = &mut spent.usage;
        // A sum over some of the calls would look like one over all of them.
        let first = sum.calls == 0;
        let plus = |a: Option<u32>, b: Option<u32>| if first { b } else { Some(a?.saturating_add(b?)) };
        sum.calls += usage.calls;
        sum.prompt_tokens = plus(sum.prompt_tokens, usage.prompt_tokens);
        sum.evaluated_tokens = plus(sum.evaluated_tokens, usage.evaluated_tokens);
        sum.answer_tokens = plus(sum.answer_tokens, usage.answer_tokens);
        sum.millis += usage.millis;
    }
}

/// What a role has used of its budget for one request to it.
pub struct Allowance {
    began: Instant,
    tokens: u64,
}

/// A limit of time, with its name for the message.
struct TimeLimit {
    left: Duration,
    whose: &'static str,
    what: String,
}

/// The size of a prompt, and how that is known.
#[derive(Clone, Copy)]
enum Prompt {
    /// Counted by the server.
    Exact(u32),
    Estimated(u32),
}

impl Prompt {
    fn tokens(self) -> u32 {
        match self {
            Prompt::Exact(tokens) | Prompt::Estimated(tokens) => tokens,
        }
    }
}

/// A role's access to its model.
#[derive(Clone)]
pub struct Caller {
    pub spec: RoleSpec,
    pub prompts: Arc<Prompts>,
    pub model: Model,
    pub events: Events,
}

/// The form that an answer must have, as far as the model can be held to it.
#[derive(Debug, Clone, Copy)]
pub enum Form<'a> {
    Free,
    Json(&'a Schema),
    Layout(&'a Layout),
}

impl<'a> Form<'a> {
    fn schema(self) -> Option<&'a Schema> {
        match self {
            Form::Json(schema) => Some(schema),
            Form::Free | Form::Layout(_) => None,
        }
    }

    fn layout(self) -> Option<&'a Layout> {
        match self {
            Form::Layout(layout) => Some(layout),
            Form::Free | Form::Json(_) => None,
        }
    }
}

/// An answer, complete or cut at its limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub reason: StopReason,
    /// Other answers to the same request, all complete.
    pub further: Vec<String>,
}

impl Caller {
    /// The role's system prompt as the first message.
    pub fn system(&self, values: impl serde::Serialize) -> Result<Message, CallError> {
        let text = self.prompts.render(&self.spec.system, values).map_err(CallError::Prompt)?;
        Ok(Message { speaker: Speaker::System, text })
    }

    /// The role's request as a message.
    pub fn user(&self, values: impl serde::Serialize) -> Result<Message, CallError> {
        let text = self.prompts.render(&self.spec.user, values).map_err(CallError::Prompt)?;
        Ok(Message { speaker: Speaker::User, text })
    }

    /// The two messages that send a refused answer back with the reasons.
    pub fn correct(&self, answer: &str, reasons: &[String], again: &str) -> Result<[Message; 2], CallError> {
        let values = serde_json::json!({"reasons": reasons, "again": again});
        let text = self.prompts.render("correction.md", values).map_err(CallError::Prompt)?;
        Ok(crate::role::exchange(answer, text))
    }

    /// The same, for the n-th further answer to one request.
    pub fn varied(&self, n: u32) -> Caller {
        let spec = RoleSpec { sampling: self.spec.sampling.varied(n), ..self.spec.clone() };
        Caller { spec, ..self.clone() }
    }

    /// A fresh account for one request to the role.
    pub fn allowance(&self) -> Allowance {
        Allowance { began: Instant::now(), tokens: 0 }
    }

    /// Asks the model and streams its answer as events.
    pub async fn call(
        &self,
        allowance: &mut Allowance,
        messages: &[Message],
        form: Form<'_>,
    ) -> Result<Answer, CallError> {
        self.draw(allowance, messages, form, 1).await
    }

    /// The same for several answers at once, of which the first is streamed.
    pub async fn draw(
        &self,
        allowance: &mut Allowance,
        messages: &[Message],
        form: Form<'_>,
        draws: u32,
    ) -> Result<Answer, CallError> {
        let role = self.spec.name.clone();
        let limit = self.within_limits(allowance)?;
        let size = Size::of(messages.iter().map(|message| message.text.as_str()));
        let prompt = match self.model.provider.count(messages).await {
            Some(tokens) => Prompt::Exact(tokens),
            None => Prompt::Estimated(self.model.learned().measured.tokens.estimate(size)),
        };
        let window = self.model.window;
        let answer_limit = self.spec.budget.answer_limit(window);
        let estimated = prompt.tokens();
        if estimated.saturating_add(answer_limit) > window {
            return Err(CallError::TooLarge { role, estimated, answer: answer_limit, window });
        }
        let call = self.model.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.events.emit(Event::CallStarted {
            call,
            role: role.clone(),
            estimated_tokens: estimated,
            answer_limit,
            window,
            draws,
        });
        let request = ChatRequest {
            role: role.clone(),
            messages: messages.to_vec(),
            schema: form.schema().filter(|_| self.model.constrained).cloned(),
            layout: form.layout().filter(|_| self.model.constrained).cloned(),
            draws,
            window,
            answer_limit,
            temperature: self.spec.sampling.temperature,
            seed: self.spec.sampling.seed,
            narrowing: self.spec.sampling.narrowing(),
        };
        let began = Instant::now();
        let mut came = Vec::new();
        let streamed = tokio::time::timeout(limit.left, self.stream(call, &request, &mut came)).await;
        let in_time = streamed.is_ok();
        // What was streamed is gone with the call; a replay ends at the same place.
        let end = streamed.unwrap_or_else(|_| {
            Err(ProviderError::EndedEarly {
                url: self.model.provider.describe(),
                received: 0,
                cause: "the time limit was reached".into(),
            })
        });
        if let Some(recorder) = &self.model.recorder {
            recorder.answer(&role, &came, &end)?;
        }
        let ended = end.as_ref().ok();
        let usage = Usage {
            calls: 1,
            prompt_tokens: ended.and_then(|ending| ending.prompt_tokens),
            evaluated_tokens: ended.and_then(|ending| ending.evaluated_tokens),
            answer_tokens: ended.and_then(|ending| ending.answer_tokens),
            millis: began.elapsed().as_millis() as u64,
        };
        let text = text_of(&came);
        let tokens = u64::from(usage.prompt_tokens.unwrap_or(estimated))
            + u64::from(usage.answer_tokens.unwrap_or_else(|| tokens::estimate(&text)));
        if in_time && let Err(error) = end {
            return Err(error.into());
        }
        self.model.add(&usage, tokens);
        allowance.tokens += tokens;
        self.events.emit(Event::CallFinished { call, role: role.clone(), usage });
        if !in_time {
            return Err(self.spent(limit.whose, limit.what));
        }
        let ending = end?;
        self.announce_form();
        self.announce_holding();
        if let Some(counted) = ending.prompt_tokens {
            self.compare(&role, prompt, size, counted)?;
        }
        let further = came.iter().filter_map(Chunk::further).map(str::to_owned).collect();
        Ok(Answer { text, reason: ending.reason, further })
    }

    fn spent(&self, whose: &'static str, what: String) -> CallError {
        CallError::Spent { role: self.spec.name.clone(), whose, what }
    }

    /// The time that a call may take, by the limit that ends first.
    fn within_limits(&self, allowance: &Allowance) -> Result<TimeLimit, CallError> {
        let (limits, spent) = (self.model.limits, self.model.spent());
        if let Some(what) = limits.reached(&spent.usage, spent.tokens) {
            return Err(self.spent("the task's", what));
        }
        let budget = self.spec.budget;
        if allowance.tokens >= u64::from(budget.tokens) {
            return Err(self.spent("its own", format!("{} tokens", budget.tokens)));
        }
        let whole = Duration::from_secs(budget.seconds.into());
        let own = TimeLimit {
            left: whole.saturating_sub(allowance.began.elapsed()),
            whose: "its own",
            what: format!("{} seconds", budget.seconds),
        };
        if own.left.is_zero() {
            return Err(self.spent(own.whose, own.what));
        }
        let left = limits.time_left(&spent.usage);
        let task = TimeLimit { left, whose: "the task's", what: limits.time_in_words() };
        Ok(if task.left < own.left { task } else { own })
    }

    async fn stream(
        &self,
        call: u32,
        request: &ChatRequest,
        came: &mut Vec<Chunk>,
    ) -> Result<Ending, ProviderError> {
        let begun = retry::begin(&self.model.provider, request, retry::Patience::default(), |wait| {
            self.events.emit(Event::CallDelayed {
                call,
                role: request.role.clone(),
                attempt: wait.attempt,
                wait_ms: wait.length.as_millis() as u64,
                reason: wait.because.to_string(),
            });
        });
        let begun = begun.await?;
        let mut chunks = futures::stream::iter([Ok(begun.first)]).chain(begun.rest);
        let mut repeats = Repeats::new(request.texts());
        let began = Instant::now();
        // The server stops when nobody listens any more; what it would have counted is not known.
        let gone_round = Ending {
            reason: StopReason::Repetition,
            prompt_tokens: None,
            evaluated_tokens: None,
            answer_tokens: None,
        };
        // Until when others are waited for, once the first answer goes round.
        let mut patience: Option<tokio::time::Instant> = None;
        loop {
            let next = match patience {
                Some(until) => tokio::time::timeout_at(until, chunks.next()).await,
                None => Ok(chunks.next().await),
            };
            let Ok(next) = next else { return Ok(gone_round) };
            let Some(chunk) = next.transpose()? else { break };
            let mut goes_round = false;
            match &chunk {
                Chunk::Text(part) => {
                    self.events.emit(Event::CallDelta { call, text: part.clone() });
                    goes_round = patience.is_none() && repeats.push(part);
                }
                Chunk::Thinking(part) => self.events.emit(Event::CallThinking { call, text: part.clone() }),
                Chunk::Further(_) => {}
                Chunk::End(ending) if patience.is_some() => {
                    return Ok(Ending { reason: StopReason::Repetition, ..*ending });
                }
                Chunk::End(ending) => return Ok(*ending),
            }
            came.push(chunk);
            if goes_round && request.draws == 1 {
                return Ok(gone_round);
            }
            if goes_round {
                patience = Some(tokio::time::Instant::now() + began.elapsed() / 2);
            }
        }
        // A provider's stream always closes with an ending or an error of its own.
        Err(ProviderError::Protocol {
            url: self.model.provider.describe(),
            what: "the answer has no end".into(),
        })
    }

    /// Says it once when the server refused a schema and a weaker constraint was used.
    fn announce_form(&self) {
        let Some(form) = self.model.provider.schema_form() else { return };
        if self.model.learned().form.replace(form) != Some(form) {
            let now = match form {
                SchemaForm::JsonSchema => "a schema",
                SchemaForm::JsonObject => "JSON without a schema",
                SchemaForm::None => "no constraint at all",
            };
            self.events.warn(format!(
                "the server refused the answer's schema; it gets {now}, and answers are validated here"
            ));
        }
    }

    /// Says it once when the server turned out not to hold answers to their layout.
    fn announce_holding(&self) {
        let holding = self.model.provider.holding();
        if !matches!(holding, Holding::Refused | Holding::Ignored) || self.model.learned().free {
            return;
        }
        self.model.learned().free = true;
        self.events
            .warn(format!("{}: edits are free from now on, and read as they come", holding.describe()));
    }

    fn compare(&self, role: &str, prompt: Prompt, size: Size, counted: u32) -> Result<(), CallError> {
        let estimated = prompt.tokens();
        let compared = match prompt {
            Prompt::Exact(tokens) => tokens::compare_exact(tokens, counted),
            Prompt::Estimated(tokens) => tokens::compare(tokens, counted),
        };
        match compared {
            tokens::Count::Plausible => {
                self.learn(size, counted);
                Ok(())
            }
            tokens::Count::Cut => Err(CallError::PromptCut { role: role.to_owned(), estimated, counted }),
            tokens::Count::Larger => {
                self.events.warn(format!(
                    "the server counted {counted} tokens where about {estimated} were expected; its chat template adds text of its own"
                ));
                Ok(())
            }
        }
    }

    /// Remembers a count. That it cannot be kept is said, and is no reason to stop.
    fn learn(&self, size: Size, counted: u32) {
        let mut learned = self.model.learned();
        learned.measured.tokens.add(size, counted);
        if let Some(kept) = &learned.kept
            && let Err(error) = kept.keep(&learned.measured)
        {
            learned.kept = None;
            drop(learned);
            self.events.warn(format!("what was learned about the model is not kept: {error:#}"));
        }
    }

    /// Says which repairs an answer needed, if any.
    pub fn repaired(&self, repairs: &[&'static str]) {
        if !repairs.is_empty() {
            let repairs = repairs.iter().map(|name| (*name).to_owned()).collect();
            self.events.emit(Event::Repaired { role: self.spec.name.clone(), repairs });
        }
    }
}

fn text_of(came: &[Chunk]) -> String {
    came.iter()
        .map(|chunk| match chunk {
            Chunk::Text(text) => text.as_str(),
            Chunk::Thinking(_) | Chunk::Further(_) | Chunk::End(_) => "",
        })
        .collect()
}

#[cfg(test)]
mod tests;
