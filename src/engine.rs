//! The loop over ops and finished work. It must not know what a terminal is.
//!
//! One `select!` over one closed set of inputs: an op from the observer, a patch that waits for its
//! owner, the end of a turn. Turns run one at a time, each in a task of its own; everything they say
//! goes through the events of the desk. The engine ends when the observer drops its sender or sends
//! [`Op::Quit`].

use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::protocol::{Approval, Decision, Event, Op, Outcome, StartRequest};
use crate::turn::{self, Desk};

/// How many ops may wait. An observer that sends more waits itself.
const OPS_WAITING: usize = 16;

/// A patch on its way to its owner, with the way back for the answer.
pub struct Asked {
    pub approval: Approval,
    /// `None` when nobody is there who could answer.
    pub reply: oneshot::Sender<Option<Decision>>,
}

/// Starts the engine. Its events go to the observer of the desk's [`Events`](crate::events::Events).
pub fn start(desk: Desk, mut asked: mpsc::Receiver<Asked>) -> (mpsc::Sender<Op>, JoinHandle<()>) {
    let (sender, mut ops) = mpsc::channel(OPS_WAITING);
    let task = tokio::spawn(async move {
        let mut engine = Engine { desk, turns: 0, running: None };
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

struct Engine {
    desk: Desk,
    turns: u32,
    running: Option<Running>,
}

struct Running {
    task: JoinHandle<Outcome>,
    cancel: CancellationToken,
    began: Instant,
    pending: Option<Asked>,
}

impl Engine {
    fn follow(&mut self, op: Op) {
        match op {
            Op::Start(request) => self.begin(request),
            Op::Decide(decision) => self.decide(decision),
            Op::Unanswered { approval } => self.leave_unanswered(approval),
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
        self.desk.events.emit(Event::TurnStarted { turn: self.turns, request: request.clone() });
        let cancel = CancellationToken::new();
        let task = tokio::spawn(turn::run(self.desk.clone(), request, cancel.clone()));
        self.running = Some(Running { task, cancel, began: Instant::now(), pending: None });
    }

    fn ask_owner(&mut self, asked: Asked) {
        if let Some(running) = &mut self.running {
            self.desk.events.emit(Event::ApprovalNeeded(asked.approval.clone()));
            running.pending = Some(asked);
        }
    }

    /// Passes the owner's answer on. What does not fit the open question is refused and the question
    /// stays open; the approval module checks all of it once more.
    fn decide(&mut self, decision: Decision) {
        let Some(running) = &mut self.running else { return self.refuse("nothing is running") };
        let Some(asked) = running.pending.take() else {
            return self.refuse("nothing waits for an approval");
        };
        let wrong = if decision.approval != asked.approval.id {
            Some(format!("approval {} is open, not {}", asked.approval.id, decision.approval))
        } else if decision.digest != asked.approval.digest {
            Some("the digest is not that of the patch that was shown".to_owned())
        } else {
            let known =
                |id: &u32| asked.approval.files.iter().any(|file| file.hunks.iter().any(|h| h.id == *id));
            decision.accept.iter().find(|id| !known(id)).map(|id| format!("the patch has no hunk {id}"))
        };
        match wrong {
            Some(reason) => {
                running.pending = Some(asked);
                self.refuse(reason);
            }
            // An error means that the turn was cancelled in this very moment.
            None => drop(asked.reply.send(Some(decision))),
        }
    }

    fn leave_unanswered(&mut self, approval: u64) {
        let Some(running) = &mut self.running else { return self.refuse("nothing is running") };
        match running.pending.take_if(|asked| asked.approval.id == approval) {
            Some(asked) => drop(asked.reply.send(None)),
            None => self.refuse(format!("approval {approval} is not open")),
        }
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
        let usage = self.desk.model.take_usage();
        self.desk.events.emit(Event::TurnFinished { turn: self.turns, outcome, usage, millis });
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
        self.desk.events.emit(Event::Refused { reason: reason.into() });
    }
}
