//! The front end for a person: lines and questions on standard error, a patch on standard output.
//!
//! [`run`] watches one turn. It owns the order of things on the screen and the keyboard; what is
//! shown comes from [`view`], what is asked from [`review`]. It must not decide anything: it sends
//! the owner's answers as ops and believes only events.

pub mod ask;
mod keyboard;
pub mod keys;
pub mod review;
pub mod screen;
pub mod stream;
pub mod view;

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::ask::Reply;
use self::keys::{Process, Wish, Wishes};
use self::review::{Next, Prompt, Review};
use self::screen::Screen;
use self::stream::Stream;
use self::view::View;
use super::text::{Line, Tone, count, meter, thousands};
use super::{Audience, Ended, Settings, Stdout, unified};
use crate::protocol::{Approval, CheckPlace, Decision, Envelope, Event, FileReview, Op, Outcome, RuledFile};

/// How long a second Ctrl-C waits for the engine to leave by itself: long enough to finish or take
/// back an apply that is under way.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Shows events and answers questions until the turn is over, the engine is gone, or the owner
/// leaves. The op that starts the turn may be sent before or after this begins. The terminal is
/// restored when the future is done or dropped.
///
/// # Errors
/// When signals or the terminal's modes cannot be set up.
pub async fn run(
    events: &mut mpsc::UnboundedReceiver<Envelope>,
    ops: &mpsc::Sender<Op>,
    settings: &Settings,
) -> anyhow::Result<Ended> {
    let process = match settings.audience {
        Audience::Person => Process::with_keyboard(),
        Audience::Nobody => Process::without_keyboard(),
    };
    let process = process.context("cannot listen to the terminal; try `--json`, which needs none")?;
    let wishes = Wishes::Process(Box::new(process));
    let colour = settings.colour;
    let ask = Box::new(move |prompt| ask::ask(prompt, colour));
    Ok(Front::new(*settings, Screen::of_process(settings), ask).watch(events, ops, wishes).await)
}

type Ask = Box<dyn FnMut(Prompt) -> oneshot::Receiver<Reply> + Send>;

/// A question on the screen, with what happened since it was asked: nothing is printed into it.
struct Question {
    review: Review,
    reply: oneshot::Receiver<Reply>,
    held: VecDeque<Event>,
}

/// The state of one watched turn.
struct Front {
    settings: Settings,
    screen: Screen,
    ask: Ask,
    view: View,
    stream: Option<Stream>,
    question: Option<Question>,
    /// Ops on their way; sending must never keep this loop from listening.
    outbox: VecDeque<Op>,
    /// Files that rules decided, and the plan: what standard output gets if nobody is asked.
    ruled: Vec<RuledFile>,
    plan: Vec<Line>,
    began: bool,
    stops: u32,
    grace: Duration,
    leave_at: Option<Instant>,
    ended: Option<Ended>,
}

impl Front {
    fn new(settings: Settings, screen: Screen, ask: Ask) -> Front {
        Front {
            settings,
            screen,
            ask,
            view: View::default(),
            stream: None,
            question: None,
            outbox: VecDeque::new(),
            ruled: Vec::new(),
            plan: Vec::new(),
            began: false,
            stops: 0,
            grace: GRACE,
            leave_at: None,
            ended: None,
        }
    }

    async fn watch(
        mut self,
        events: &mut mpsc::UnboundedReceiver<Envelope>,
        ops: &mpsc::Sender<Op>,
        mut wishes: Wishes,
    ) -> Ended {
        loop {
            if let Some(ended) = self.ended.take() {
                if self.question.is_some() {
                    ask::release_terminal();
                    self.screen.print(&[Line::default()]);
                }
                return ended;
            }
            let leave_at = self.leave_at;
            tokio::select! {
                biased;
                // First, so that a wish that ends the program cannot overtake the ops before it.
                permit = ops.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(op) = self.outbox.pop_front() {
                            permit.send(op);
                        }
                    }
                    // Nobody takes ops any more; the events will say the rest.
                    Err(_) => self.outbox.clear(),
                },
                wish = wishes.next() => self.wish(wish),
                reply = reply(&mut self.question) => self.reply(reply, &mut wishes),
                () = at(leave_at) => self.ended = Some(Ended::Quit),
                envelope = events.recv() => match envelope {
                    Some(envelope) => self.event(envelope.event, &mut wishes),
                    None => self.ended = Some(if leave_at.is_some() { Ended::Quit } else { Ended::EngineGone }),
                },
            }
        }
    }

    fn wish(&mut self, wish: Wish) {
        self.stops += 1;
        let leaving = wish == Wish::Quit || self.stops > 1;
        let (text, op) = match (leaving, self.stops) {
            (false, _) => ("cancelling; once more leaves the program", Op::Cancel),
            (true, ..=2) => ("leaving", Op::Quit),
            (true, _) => return self.ended = Some(Ended::Quit),
        };
        self.outbox.push_back(op);
        if leaving {
            self.leave_at = Some(Instant::now() + self.grace);
        }
        // A question keeps its place on the screen until the engine takes it back.
        if self.question.is_none() {
            self.screen.end();
            self.screen.print(&[Line::new(Tone::Warning, text)]);
        }
    }

    fn event(&mut self, event: Event, wishes: &mut Wishes) {
        if let Some(question) = &mut self.question {
            let over = match &event {
                Event::TurnFinished { .. } => true,
                Event::Decided { approval, .. } => *approval == question.review.id(),
                _ => false,
            };
            if !over {
                return question.held.push_back(event);
            }
            ask::release_terminal();
            self.screen.print(&[Line::default(), Line::new(Tone::Warning, "the question is closed")]);
            self.close_question(wishes);
        }
        self.show(event, wishes);
    }

    /// Takes the question away and shows what was held back meanwhile.
    fn close_question(&mut self, wishes: &mut Wishes) {
        let held = self.question.take().map(|question| question.held).unwrap_or_default();
        wishes.resume();
        for event in held {
            self.event(event, wishes);
        }
    }

    fn show(&mut self, event: Event, wishes: &mut Wishes) {
        let columns = self.settings.columns();
        self.moving(&event, columns);
        let lines = self.view.lines(&event, columns);
        self.screen.print(&lines);
        match event {
            Event::RulesDecided { files, asked, .. } => self.rules_decided(files, asked, columns),
            Event::ApprovalNeeded(approval) => self.approval(approval, columns, wishes),
            Event::PlanReady { .. } => self.plan = lines,
            Event::TurnStarted { .. } => self.began = true,
            Event::TurnFinished { outcome, .. } => {
                if let Outcome::Planned { .. } = outcome
                    && self.has_reader()
                {
                    let plan: String = self.plan.iter().map(|line| line.text() + "\n").collect();
                    self.give_out(&plan, columns);
                }
                self.ended = Some(Ended::Turn(outcome));
            }
            Event::Refused { reason } if !self.began => self.ended = Some(Ended::Refused(reason)),
            _ => {}
        }
    }

    /// The moving line and the model's text above it.
    fn moving(&mut self, event: &Event, columns: usize) {
        match event {
            Event::IndexProgress { phase, done, total } => {
                self.screen.progress(&format!("index: {phase}"), *done, *total);
            }
            Event::CallStarted { role, estimated_tokens, window, .. } => {
                self.finish_stream(columns);
                self.stream = Some(Stream::default());
                let (used, all) = (thousands((*estimated_tokens).into()), thousands((*window).into()));
                let label = match self.settings.audience {
                    Audience::Person if columns < 60 => format!("{role} {used} / {all}"),
                    _ => format!("{role} {used} / {all} tokens {}", meter(*estimated_tokens, *window, 8)),
                };
                self.screen.begin(&label);
                self.screen.message("waiting for the first token");
            }
            Event::CallDelta { text, .. } => {
                let limit = self.stream_lines();
                let stream = self.stream.get_or_insert_default();
                let lines = stream.push(text, limit, columns);
                self.screen.message(&tail(stream.partial(), columns));
                self.screen.print(&lines);
            }
            Event::CallThinking { text, .. } => {
                self.screen.message(&format!("thinking: {}", tail(text, columns)));
            }
            Event::CheckStarted { command, place } => {
                let place = match place {
                    CheckPlace::Scratch => "in a scratch copy",
                    CheckPlace::Tree => "in the tree",
                };
                self.screen.begin(&format!("check {place}: {}", command.join(" ")));
            }
            Event::IndexReady { .. }
            | Event::CallFinished { .. }
            | Event::CheckFinished { .. }
            | Event::ApprovalNeeded(_)
            | Event::Corrected { .. }
            | Event::TurnFinished { .. } => {
                self.screen.end();
                self.finish_stream(columns);
            }
            _ => {}
        }
    }

    fn finish_stream(&mut self, columns: usize) {
        if let Some(stream) = self.stream.take() {
            let lines = stream.finish(self.stream_lines(), columns);
            self.screen.print(&lines);
        }
    }

    /// A log has no use for text that comes in pieces; the events hold it.
    fn stream_lines(&self) -> usize {
        match self.settings.audience {
            Audience::Person => self.settings.stream_lines,
            Audience::Nobody => 0,
        }
    }

    fn approval(&mut self, approval: Approval, columns: usize, wishes: &mut Wishes) {
        match self.settings.audience {
            Audience::Person => {
                wishes.pause();
                let (_, reply) = oneshot::channel();
                let review = Review::new(approval, columns);
                self.question = Some(Question { review, reply, held: VecDeque::new() });
                self.advance(wishes);
            }
            Audience::Nobody => self.decline_unseen(&approval, columns),
        }
    }

    /// Whether standard output is for somebody who does not see the screen.
    fn has_reader(&self) -> bool {
        self.settings.stdout == Stdout::Data || self.settings.audience == Audience::Nobody
    }

    /// Remembers what rules decided. If that applies nothing and nobody is asked, the patch is given
    /// out: it is all that comes of the turn.
    fn rules_decided(&mut self, files: Vec<RuledFile>, asked: bool, columns: usize) {
        if !asked && self.has_reader() && files.iter().all(|file| !file.allowed) {
            let files: Vec<FileReview> = files.iter().map(|file| file.file.clone()).collect();
            self.give_out(&unified::files(&files), columns);
        }
        self.ruled = files;
    }

    /// Text for standard output: exact for a program, escaped on a screen.
    fn give_out(&mut self, text: &str, columns: usize) {
        let written = match self.settings.stdout {
            Stdout::Data => self.screen.data(text),
            Stdout::Screen => {
                let lines = text.lines().map(|line| Line::new(Tone::Plain, line).text() + "\n");
                self.screen.data(&lines.collect::<String>())
            }
        };
        if let Err(error) = written {
            let text = format!("warning: standard output could not be written: {error}");
            self.screen.print(&Line::new(Tone::Warning, &text).wrap(columns, 2));
        }
    }

    /// Nobody can sign: gives out the whole patch, with what rules decided, and leaves the question
    /// unanswered.
    fn decline_unseen(&mut self, approval: &Approval, columns: usize) {
        let mut files = approval.files.clone();
        files.extend(std::mem::take(&mut self.ruled).into_iter().map(|ruled| ruled.file));
        files.sort_by(|one, other| one.path.cmp(&other.path));
        self.give_out(&unified::files(&files), columns);
        let hunks = approval.files.iter().map(|file| file.hunks.len() as u64).sum();
        let text = format!(
            "approval needed for {}, and nobody can answer here: the patch is on standard output and \
             nothing is applied. To decide, run this in a terminal or use `--json`.",
            count(hunks, "hunk")
        );
        self.screen.print(&Line::new(Tone::Warning, &text).wrap(columns, 2));
        self.outbox.push_back(Op::Unanswered { approval: approval.id });
    }

    fn decide(&mut self, decision: Decision) {
        self.outbox.push_back(Op::Decide(decision));
    }

    /// Asks the next question of the review, or sends its decision.
    fn advance(&mut self, wishes: &mut Wishes) {
        let Some(question) = &mut self.question else { return };
        match question.review.next_question() {
            Next::Ask(lines, prompt) => {
                self.screen.print(&lines);
                question.reply = (self.ask)(prompt);
            }
            Next::Done(lines, decision) => {
                self.screen.print(&lines);
                self.decide(decision);
                self.close_question(wishes);
            }
        }
    }

    fn reply(&mut self, reply: Reply, wishes: &mut Wishes) {
        let columns = self.settings.columns();
        let Some(question) = &mut self.question else { return };
        match reply {
            Reply::Said(answer) => {
                question.review.answer(answer, columns);
                self.advance(wishes);
            }
            Reply::Stop => {
                self.close_question(wishes);
                self.wish(Wish::Stop);
            }
            Reply::Broken(reason) => {
                let text = format!("the question could not be asked, so that nothing is applied: {reason}");
                self.screen.print(&Line::new(Tone::Bad, &text).wrap(columns, 2));
                self.outbox.push_back(Op::Unanswered { approval: question.review.id() });
                self.close_question(wishes);
            }
        }
    }
}

/// The answer to the open question; never, when there is none.
async fn reply(question: &mut Option<Question>) -> Reply {
    match question {
        Some(question) => match (&mut question.reply).await {
            Ok(reply) => reply,
            Err(_) => Reply::Broken("the prompt ended without an answer".into()),
        },
        None => std::future::pending().await,
    }
}

/// At that time; never, when there is none.
pub(super) async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The end of a text, as much as a moving line may have room for.
fn tail(text: &str, columns: usize) -> String {
    let skip = text.chars().count().saturating_sub(columns / 2);
    text.chars().skip(skip).collect()
}

#[cfg(test)]
mod tests;
