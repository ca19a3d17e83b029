//! One request, from pack to verification. It must not know who is watching.
//!
//! Read `run` as the list in the design: evidence, plan (with the Explorer's findings), one step
//! after the other into the overlay, check on a scratch copy, rules, approval, apply, check in the
//! tree. Everything before the approval can be cancelled at any await; apply is never cancelled once
//! it began.

mod anew;
mod checks;
mod code;
mod evidence;
mod format;
mod lost;
mod make;
mod obvious;
mod repair;
mod sign;

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::engine::Work;
use crate::events::Events;
use crate::failure::Failure;
use crate::mailbox::Gone;
use crate::message::{EditFormat, ExploreRequest, Plan, PlanRequest, Planned, Round};
use crate::protocol::{Event, Outcome, StartRequest, StepView, Usage};
use crate::retrieve::Retriever;
use crate::role::{Architect, CallError, Coder, Explorer, Model, Roles};
use crate::rules::Mode;

pub use checks::Checks;
use evidence::Gathered;
pub(crate) use evidence::reasons;
use make::Maker;
pub use sign::{Review, Signer};

/// How often the Architect may ask before it has to plan.
const MOST_ROUNDS: usize = 2;

/// Everything that a turn works with. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    pub events: Events,
    /// Whose tokens the pack is counted in.
    pub architect_model: Model,
    /// Whose tokens the lines of a step are counted in.
    pub coder_model: Model,
    pub roles: Arc<Roles>,
    pub architect: Architect,
    pub explorer: Explorer,
    pub coder: Coder,
    pub retriever: Retriever,
    pub root: std::path::PathBuf,
    /// The way to the owner and to the disk.
    pub signer: Signer,
    /// Forms in which the Coder's model was tried, the best first; empty when it was not.
    pub edit_forms: Vec<EditFormat>,
    /// Whether the searches of blocks are held to what is shown, where the model can be held.
    pub holds_blocks: bool,
    /// Most tokens of the pack.
    pub evidence_tokens: u32,
    pub tries: Tries,
    pub parts: Parts,
    /// Ends what the models read ahead of the first request.
    pub reading_ahead: CancellationToken,
}

/// How much time is spent on quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// How often each plan is carried out, to choose the best result; at least 1.
    pub candidates: u32,
    /// How often the Coder is asked again for a check that failed; twice as often for one that fails in the tree
    /// already.
    pub repairs: u32,
}

impl Default for Tries {
    fn default() -> Tries {
        Tries { candidates: 1, repairs: 3 }
    }
}

/// The parts of a turn that can be left out or fixed, to measure what each is worth. All are there
/// unless `countersign eval` says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The pack; without it the Architect sees the names of files alone.
    pub evidence: bool,
    /// The Architect; without it the Coder gets the request itself, for each tagged file or else for the
    /// file that ranks first.
    pub architect: bool,
    /// A schema that the server holds answers to; without it they are only validated.
    pub schema: bool,
    /// Checks on a copy, and the repairs that follow from them, before anything is applied.
    pub early_checks: bool,
    /// Several answers to one request at once, where the server can write them side by side.
    pub draws: bool,
    /// What the compiler itself offers to correct.
    pub corrections: bool,
    /// The one form in which the Coder is asked, wherever it is possible.
    pub format: Option<EditFormat>,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts {
            evidence: true,
            architect: true,
            schema: true,
            early_checks: true,
            draws: true,
            corrections: true,
            format: None,
        }
    }
}

impl Desk {
    /// How many answers to one request the Coder is asked for where several are of use. They cost little
    /// more than one: what a machine of this size does for each token, it does for several at once. On
    /// 2 cores, Qwen2.5-Coder-1.5B and llama.cpp's server wrote 13.4 tokens a second of one answer, 18.9 of
    /// two, 28.9 of four.
    fn draws(&self) -> u32 {
        const MOST: u32 = 4;
        if self.parts.draws { self.coder_model.provider.draws().min(MOST) } else { 1 }
    }
}

/// A request that has its evidence and its plan.
pub(crate) struct Job {
    request: StartRequest,
    gathered: Gathered,
    plan: Plan,
}

impl Work for Desk {
    fn begin(&self, request: StartRequest, cancel: CancellationToken) -> BoxFuture<'static, Outcome> {
        self.reading_ahead.cancel();
        Box::pin(run(self.clone(), request, cancel))
    }

    fn take_usage(&self) -> Usage {
        // Beside each other, they keep one account.
        self.architect_model.take_usage()
    }
}

/// Why a turn ends early.
pub(crate) enum Stop {
    Call(CallError),
    Gone(Gone),
    Other(anyhow::Error),
    /// An ending that is not an error.
    Outcome(Outcome),
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Stop {
        Stop::Call(error)
    }
}

impl From<Gone> for Stop {
    fn from(error: Gone) -> Stop {
        Stop::Gone(error)
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Stop {
        Stop::Other(error)
    }
}

impl Stop {
    fn outcome(self) -> Outcome {
        let failure = match self {
            Stop::Outcome(outcome) => return outcome,
            Stop::Call(error @ CallError::OutOfCalls { .. }) => {
                return Outcome::NoValidChange { reason: error.to_string() };
            }
            Stop::Call(error) => Failure::of_call(&error),
            Stop::Gone(error) => Failure::of(&error.into()),
            Stop::Other(error) => Failure::of(&error),
        };
        Outcome::Failed { code: failure.kind.code(), reason: failure.message, advice: failure.advice }
    }
}

/// Runs one turn to its end.
async fn run(desk: Desk, request: StartRequest, cancel: CancellationToken) -> Outcome {
    let outcome = async {
        let Some(proposed) = unless(&cancel, propose(&desk, request)).await else {
            return Ok(Outcome::Cancelled);
        };
        let (maker, proposal) = proposed?;
        sign::settle(&desk.signer, Some(&maker), proposal, &cancel).await
    };
    outcome.await.unwrap_or_else(Stop::outcome)
}

/// The result, or nothing if the turn is cancelled first; the work is dropped then.
async fn unless<T>(cancel: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        done = work => Some(done),
    }
}

/// From the request to a patch in the overlay. Nothing is written.
async fn propose(desk: &Desk, request: StartRequest) -> Result<(Maker<'_>, sign::Proposal), Stop> {
    let gathered = evidence::gather(desk, &request).await?;
    let plan = plan(desk, &request, &gathered).await?;
    if desk.signer.authority.mode == Mode::Plan {
        return Err(Stop::Outcome(Outcome::Planned { summary: plan.summary }));
    }
    let maker = Maker { desk, job: Job { request, gathered, plan } };
    let proposal = maker.propose().await?;
    Ok((maker, proposal))
}

async fn plan(desk: &Desk, request: &StartRequest, gathered: &Gathered) -> Result<Plan, Stop> {
    let obvious = match desk.parts.architect {
        true => obvious::plan(request, &gathered.paths),
        false => Some(obvious::without_architect(request, &gathered.evidence)?),
    };
    if let Some(plan) = obvious {
        desk.events.emit(plan_event(&plan));
        return Ok(plan);
    }
    let mut rounds: Vec<Round> = Vec::new();
    for round in 0..=MOST_ROUNDS {
        let planned = desk
            .architect
            .ask(PlanRequest {
                request: request.text.clone(),
                evidence: gathered.evidence.clone(),
                rounds: rounds.clone(),
                paths: gathered.paths.clone(),
            })
            .await??;
        let (questions, asked) = match planned {
            Planned::Ready(plan) => {
                desk.events.emit(plan_event(&plan));
                return Ok(plan);
            }
            Planned::Needs { questions, asked } => (questions, asked),
        };
        desk.events.emit(Event::Questions { questions: questions.clone() });
        if round == MOST_ROUNDS {
            let reason = format!("the architect still asks: {}", questions.join(" "));
            return Err(Stop::Outcome(Outcome::NoValidChange { reason }));
        }
        let shown = gathered.evidence.regions.iter();
        let shown = shown.map(|region| (region.path.clone(), region.start_line, region.end_line)).collect();
        let request = ExploreRequest { request: request.text.clone(), questions, shown };
        let findings = desk.explorer.ask(request).await??;
        for finding in &findings {
            desk.events.emit(Event::Findings {
                question: finding.question.clone(),
                answer: finding.answer.clone(),
                evidence: finding.evidence.clone(),
            });
        }
        rounds.push(Round { asked, findings });
    }
    unreachable!("the last round returns")
}

fn plan_event(plan: &Plan) -> Event {
    let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let steps = plan
        .steps
        .iter()
        .map(|step| StepView {
            action: step.action.word().to_owned(),
            file: step.file.clone(),
            symbol: named(&step.symbol),
            target: named(&step.target),
            task: step.task.clone(),
        })
        .collect();
    Event::PlanReady { summary: plan.summary.clone(), steps }
}
