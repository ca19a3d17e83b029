//! The loop over ops and finished work. It must not know what a terminal is.
//!
//! One `select!` over one closed set of inputs: an op from the observer, a patch that waits for its
//! owner, the end of a turn. Turns run one at a time, each in a task of its own; everything they say
//! goes through the events of the desk. The engine ends when the observer drops its sender or sends
//! [`Op::Quit`].

use std::time::Instant;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::edit::PatchSet;
use crate::events::Events;
use crate::protocol::{
    AfterFailure, Approval, CheckAnswer, CheckQuestion, Choice, Decision, Event, Op, Outcome, Revision, Show,
    StartRequest, Usage,
};

/// How many ops may wait. An observer that sends more waits itself.
const OPS_WAITING: usize = 16;

/// What a turn does: a request with its roles, or the review of a patch that waited.
pub trait Work: Send + 'static {
    /// Everything that happens to one request.
    fn begin(&self, request: StartRequest, cancel: CancellationToken) -> BoxFuture<'static, Outcome>;

    /// What has been spent since the last call of this function.
    fn take_usage(&self) -> Usage;
}

/// Something that only the owner can answer, on its way to them, with the way back.
pub enum Asked {
    Approval {
        approval: Approval,
        /// The very patch, for whoever wants to see more of it.
        patch: PatchSet,
        reply: oneshot::Sender<Reply>,
    },
    Choice {
        choice: u64,
        reason: String,
        options: Vec<AfterFailure>,
        reply: oneshot::Sender<AfterFailure>,
    },
    Checks {
        question: CheckQuestion,
        reply: oneshot::Sender<CheckAnswer>,
    },
}

/// An answer to an approval.
#[derive(Debug)]
pub enum Reply {
    Decide(Decision),
    /// Another approval follows.
    Revise(Revision),
}

/// Starts the engine. What happens goes to the observer of `events`.
pub fn start(
    work: impl Work,
    events: Events,
    mut asked: mpsc::Receiver<Asked>,
) -> (mpsc::Sender<Op>, JoinHandle<()>) {
    let (sender, mut ops) = mpsc::channel(OPS_WAITING);
    let task = tokio::spawn(async move {
        let mut engine = Engine { work, events, turns: 0, running: None };
        loop {
            tokio::select! {
                // Ops first: a cancellation must not wait behind other work.
                biased;
                op = ops.recv() => match op {
                    Some(Op::Quit) | None => break,
                    Some(op) => engine.follow(op),
                },
                Some(asked) = asked.recv() => engine.ask_owner(asked),
                ended = engine.turn_ended() => engine.finish(ended),
            }
        }
        engine.stop().await;
    });
    (sender, task)
}

struct Engine<W> {
    work: W,
    events: Events,
    turns: u32,
    running: Option<Running>,
}

struct Running {
    task: JoinHandle<Outcome>,
    cancel: CancellationToken,
    began: Instant,
    pending: Option<Asked>,
}

impl<W: Work> Engine<W> {
    fn follow(&mut self, op: Op) {
        match op {
            Op::Start(request) => self.begin(request),
            Op::Decide(decision) => self.decide(decision),
            Op::Revise(revision) => self.revise(revision),
            Op::Show(show) => self.show(show),
            Op::Choose(choice) => self.choose(choice),
            Op::ApproveChecks(answer) => self.approve_checks(answer),
            Op::Cancel => match &mut self.running {
                Some(running) => {
                    running.pending = None;
                    running.cancel.cancel();
                }
                None => self.refuse("nothing is running"),
            },
            // The loop handles it, since it ends the loop.
            Op::Quit => {}
        }
    }

    fn begin(&mut self, request: StartRequest) {
        if self.running.is_some() {
            return self.refuse("a turn is running; cancel it or wait for its end");
        }
        if request.text.trim().is_empty() {
            return self.refuse("the request is empty");
        }
        self.turns += 1;
        self.events.emit(Event::TurnStarted { turn: self.turns, request: request.clone() });
        let cancel = CancellationToken::new();
        let task = tokio::spawn(self.work.begin(request, cancel.clone()));
        self.running = Some(Running { task, cancel, began: Instant::now(), pending: None });
    }

    fn ask_owner(&mut self, asked: Asked) {
        let Some(running) = &mut self.running else { return };
        self.events.emit(match &asked {
            Asked::Approval { approval, .. } => Event::ApprovalNeeded(approval.clone()),
            Asked::Choice { choice, reason, options, .. } => {
                Event::ChoiceNeeded { choice: *choice, reason: reason.clone(), options: options.clone() }
            }
            Asked::Checks { question, .. } => Event::ChecksUnapproved(question.clone()),
        });
        running.pending = Some(asked);
    }

    /// Passes the owner's answer on. What does not fit the open question is refused and the question
    /// stays open; the approval module checks all of it once more.
    fn decide(&mut self, decision: Decision) {
        let feedback = decision.feedback.iter().flat_map(|feedback| &feedback.hunks);
        let named: Vec<u32> =
            decision.accept.iter().chain(&decision.pending).chain(feedback).copied().collect();
        if let Some(reply) = self.open_approval(decision.approval, &decision.digest, &named) {
            // An error means that the turn was cancelled in this very moment.
            let _ = reply.send(Reply::Decide(decision));
        }
    }

    fn revise(&mut self, revision: Revision) {
        if let Some(reply) = self.open_approval(revision.approval, &revision.digest, &[revision.hunk]) {
            let _ = reply.send(Reply::Revise(revision));
        }
    }

    /// The way back of the open approval, if it is this one and has these hunks; else refuses.
    fn open_approval(&mut self, id: u64, digest: &str, hunks: &[u32]) -> Option<oneshot::Sender<Reply>> {
        let pending = self.running.as_mut().and_then(|running| running.pending.take());
        let (wrong, pending) = match pending {
            Some(Asked::Approval { approval, patch, reply }) => {
                // Only what is asked; rules have decided the rest of the patch.
                let asked = approval.files.iter().flat_map(|file| &file.hunks).map(|hunk| hunk.id);
                let known = |id: &u32| asked.clone().any(|asked| asked == *id);
                let wrong = if approval.id != id {
                    format!("approval {} is open, not {id}", approval.id)
                } else if approval.digest != digest {
                    "the digest is not that of the patch that was shown".to_owned()
                } else if let Some(hunk) = hunks.iter().find(|hunk| !known(hunk)) {
                    format!("there is no hunk {hunk} in what is asked")
                } else {
                    return Some(reply);
                };
                (wrong, Some(Asked::Approval { approval, patch, reply }))
            }
            other => ("nothing waits for an approval".to_owned(), other),
        };
        if let Some(running) = &mut self.running {
            running.pending = pending;
        }
        self.refuse(wrong);
        None
    }

    fn show(&self, show: Show) {
        let pending = self.running.as_ref().and_then(|running| running.pending.as_ref());
        let Some(Asked::Approval { approval, patch, .. }) = pending else {
            return self.refuse("nothing waits for an approval");
        };
        match patch.files().iter().find(|file| file.path() == show.path && approval.id == show.approval) {
            Some(file) => {
                let (approval, path) = (approval.id, show.path);
                self.events.emit(Event::FileShown { approval, path, lines: file.whole() });
            }
            None => self.refuse(format!("the open approval has no file {}", show.path)),
        }
    }

    fn choose(&mut self, answer: Choice) {
        let Some(running) = &mut self.running else { return self.refuse("nothing is running") };
        match running.pending.take() {
            Some(Asked::Choice { choice, options, reply, .. })
                if choice == answer.choice && options.contains(&answer.answer) =>
            {
                let _ = reply.send(answer.answer);
            }
            other => {
                running.pending = other;
                self.refuse("no such choice is open");
            }
        }
    }

    /// Passes the owner's answer about checks on, if it is one to exactly what was asked.
    fn approve_checks(&mut self, answer: CheckAnswer) {
        let Some(running) = &mut self.running else { return self.refuse("nothing is running") };
        let wrong = match running.pending.take() {
            Some(Asked::Checks { question, reply }) => {
                let asked = |hash: &String| question.checks.iter().any(|check| check.hash == *hash);
                let wrong = if question.id != answer.question {
                    format!("question {} is open, not {}", question.id, answer.question)
                } else if question.digest != answer.digest {
                    "the digest is not that of the checks that were shown".to_owned()
                } else if let Some(hash) = answer.approve.iter().find(|hash| !asked(hash)) {
                    format!("there is no check {hash} in what is asked")
                } else {
                    // An error means that the turn was cancelled in this very moment.
                    let _ = reply.send(answer);
                    return;
                };
                running.pending = Some(Asked::Checks { question, reply });
                wrong
            }
            other => {
                running.pending = other;
                "no check waits for an approval".to_owned()
            }
        };
        self.refuse(wrong);
    }

    /// The outcome of the running turn; never, when none runs.
    async fn turn_ended(&mut self) -> Outcome {
        match &mut self.running {
            None => std::future::pending().await,
            Some(running) => match (&mut running.task).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::Failed {
                    code: 1,
                    reason: format!("the turn's task ended unexpectedly: {error}"),
                    advice: "Please report it with the session's log (`countersign sessions`).".into(),
                },
            },
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        let millis = self.running.take().map_or(0, |running| running.began.elapsed().as_millis() as u64);
        let usage = self.work.take_usage();
        self.events.emit(Event::TurnFinished { turn: self.turns, outcome, usage, millis });
    }

    /// Cancels what runs and waits for it: an apply that has begun is finished first.
    async fn stop(&mut self) {
        if let Some(running) = &mut self.running {
            running.pending = None;
            running.cancel.cancel();
            let outcome = self.turn_ended().await;
            self.finish(outcome);
        }
    }

    fn refuse(&self, reason: impl Into<String>) {
        self.events.emit(Event::Refused { reason: reason.into() });
    }
}
