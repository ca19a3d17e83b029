//! The front end for a person: lines and questions on standard error, a patch on standard output.
//!
//! [`run`] watches one turn. It owns the order of things on the screen and the keyboard; what is
//! shown comes from [`view`], what is asked from [`review`]. It must not decide anything: it sends
//! the owner's answers as ops and believes only events.

pub mod ask;
mod checks;
mod editor;
mod keyboard;
pub mod keys;
pub mod review;
pub mod screen;
pub mod stream;
pub mod view;

pub use self::ask::agrees;

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::ask::{Question, Reply};
use self::checks::CheckReview;
use self::keys::{Process, Wish, Wishes};
use self::review::{Answer, Key, Next, Prompt, Review};
use self::screen::Screen;
use self::stream::Stream;
use self::view::View;
use super::text::{Line, Tone, count, meter, thousands};
use super::{Audience, Ended, Settings, Stdout, unified};
use crate::protocol::{
    AfterFailure, Approval, CheckPlace, CheckQuestion, Choice, Decision, Envelope, Event, FileReview, Op,
    Outcome, RuledFile,
};

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
    let (colour, editor) = (settings.colour, settings.editor.clone());
    let ask = Box::new(move |question| ask::ask(question, colour, editor.clone()));
    Ok(Front::new(settings.clone(), Screen::of_process(settings), ask).watch(events, ops, wishes).await)
}

type Ask = Box<dyn FnMut(Question) -> oneshot::Receiver<Reply> + Send>;

/// A question on the screen, with what happened since it was asked: nothing is printed into it.
struct Open {
    about: About,
    /// `None` while the engine has to answer first.
    reply: Option<oneshot::Receiver<Reply>>,
    /// What is still to be shown, and the question behind it.
    page: Vec<Line>,
    next: Option<Question>,
    held: VecDeque<Event>,
}

/// What a question is about.
enum About {
    Review(Box<Review>),
    Choice { id: u64, options: Vec<AfterFailure> },
    Checks(CheckReview),
}

impl Open {
    fn new(about: About) -> Open {
        Open { about, reply: None, page: Vec::new(), next: None, held: VecDeque::new() }
    }

    fn approval(&self) -> Option<u64> {
        match &self.about {
            About::Review(review) => Some(review.id()),
            About::Choice { .. } | About::Checks(_) => None,
        }
    }
}

/// The state of one watched turn.
struct Front {
    settings: Settings,
    screen: Screen,
    ask: Ask,
    view: View,
    stream: Option<Stream>,
    question: Option<Open>,
    /// A review that was sent back: what was answered in it stands for the hunks that come again.
    earlier: Option<Review>,
    /// Ops on their way; sending must never keep this loop from listening.
    outbox: VecDeque<Op>,
    /// Files that rules decided, with the approval they belong to.
    ruled: (u64, Vec<RuledFile>),
    /// What standard output gets if the turn ends with the plan.
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
            earlier: None,
            outbox: VecDeque::new(),
            ruled: (0, Vec::new()),
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
        let Some(open) = &mut self.question else { return self.show(event, wishes) };
        let approval = open.approval();
        match event {
            Event::TurnFinished { .. } => self.closed(event, wishes),
            Event::Decided { approval: decided, .. } if Some(decided) == approval => {
                self.closed(event, wishes)
            }
            Event::ApprovalNeeded(next) if approval.is_some() && next.replaces == approval => {
                self.replaced(next, wishes);
            }
            // It was shown with the approval that is being revised; only the numbers of hunks may differ.
            Event::RulesDecided { approval, files, asked: true } if same(&self.ruled.1, &files) => {
                self.ruled = (approval, files);
            }
            Event::FileShown { .. } | Event::Refused { .. } if open.reply.is_none() => {
                let lines = self.view.lines(&event, self.settings.columns());
                open.page.extend(lines);
                self.advance(wishes);
            }
            event => open.held.push_back(event),
        }
    }

    /// The engine takes the question back.
    fn closed(&mut self, event: Event, wishes: &mut Wishes) {
        ask::release_terminal();
        self.screen.print(&[Line::default(), Line::new(Tone::Warning, "the question is closed")]);
        self.close_question(wishes);
        self.show(event, wishes);
    }

    /// Goes on with an approval that was revised.
    fn replaced(&mut self, approval: Approval, wishes: &mut Wishes) {
        let columns = self.settings.columns();
        let Some(open) = self.question.take() else { return };
        let About::Review(review) = open.about else { return };
        let about = About::Review(Box::new(review.revised(approval, columns)));
        self.question = Some(Open { about, ..open });
        self.advance(wishes);
    }

    /// Takes the question away and shows what was held back meanwhile.
    fn close_question(&mut self, wishes: &mut Wishes) -> Option<Review> {
        let open = self.question.take();
        wishes.resume();
        let open = open?;
        for event in open.held {
            self.event(event, wishes);
        }
        match open.about {
            About::Review(review) => Some(*review),
            About::Choice { .. } | About::Checks(_) => None,
        }
    }

    fn show(&mut self, event: Event, wishes: &mut Wishes) {
        let columns = self.settings.columns();
        self.moving(&event, columns);
        let lines = self.view.lines(&event, columns);
        self.screen.print(&lines);
        match event {
            Event::RulesDecided { approval, files, asked } => {
                self.rules_decided(approval, files, asked, columns)
            }
            Event::ApprovalNeeded(approval) => self.approval(approval, columns, wishes),
            Event::PlanReady { .. } => self.plan = lines,
            Event::ChoiceNeeded { choice, options, .. } => self.choice(choice, options, wishes),
            Event::ChecksUnapproved(question) => self.checks(question, wishes),
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
            Event::CallStarted { role, estimated_tokens, window, draws, .. } => {
                self.finish_stream(columns);
                let role = if *draws > 1 { &format!("{role} x {draws}") } else { role };
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
                let review = match self.earlier.take() {
                    Some(earlier) => earlier.revised(approval, columns),
                    None => Review::new(approval, columns),
                };
                self.question = Some(Open::new(About::Review(Box::new(review))));
                self.advance(wishes);
            }
            Audience::Nobody => self.leave_unseen(&approval, columns),
        }
    }

    fn choice(&mut self, id: u64, options: Vec<AfterFailure>, wishes: &mut Wishes) {
        match self.settings.audience {
            Audience::Person => {
                wishes.pause();
                self.question = Some(Open::new(About::Choice { id, options }));
                self.advance(wishes);
            }
            // What was applied was approved; whoever did that will read the exit code.
            Audience::Nobody => {
                self.outbox.push_back(Op::Choose(Choice { choice: id, answer: AfterFailure::Keep }));
            }
        }
    }

    fn checks(&mut self, question: CheckQuestion, wishes: &mut Wishes) {
        match self.settings.audience {
            Audience::Person => {
                wishes.pause();
                self.question = Some(Open::new(About::Checks(CheckReview::new(question))));
                self.advance(wishes);
            }
            Audience::Nobody => self.outbox.push_back(Op::ApproveChecks(question.answer_with_none())),
        }
    }

    /// Whether standard output is for somebody who does not see the screen.
    fn has_reader(&self) -> bool {
        self.settings.stdout == Stdout::Data || self.settings.audience == Audience::Nobody
    }

    /// Remembers what rules decided. If that applies nothing and nobody is asked, the patch is given
    /// out: it is all that comes of the turn.
    fn rules_decided(&mut self, approval: u64, files: Vec<RuledFile>, asked: bool, columns: usize) {
        if !asked && self.has_reader() && files.iter().all(|file| !file.allowed) {
            let files: Vec<FileReview> = files.iter().map(|file| file.file.clone()).collect();
            self.give_out(&unified::files(&files), columns);
        }
        self.ruled = (approval, files);
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

    /// Nobody can sign: gives out the whole patch, with what rules decided, and leaves all of it pending.
    fn leave_unseen(&mut self, approval: &Approval, columns: usize) {
        let mut files = approval.files.clone();
        if self.ruled.0 == approval.id {
            files.extend(self.ruled.1.iter().map(|ruled| ruled.file.clone()));
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        self.give_out(&unified::files(&files), columns);
        let hunks = approval.files.iter().map(|file| file.hunks.len() as u64).sum();
        let text = format!(
            "approval needed for {}, and nobody can answer here: the patch is on standard output and \
             nothing is applied. `countersign review` decides about it later, in a terminal.",
            count(hunks, "hunk")
        );
        self.screen.print(&Line::new(Tone::Warning, &text).wrap(columns, 2));
        let ids = approval.files.iter().flat_map(|file| file.hunks.iter().map(|hunk| hunk.id));
        let (pending, digest) = (ids.collect(), approval.digest.clone());
        self.decide(Decision { approval: approval.id, digest, pending, ..Decision::default() });
    }

    fn decide(&mut self, decision: Decision) {
        self.outbox.push_back(Op::Decide(decision));
    }

    /// Shows and asks what comes next, or sends what its owner wants.
    fn advance(&mut self, wishes: &mut Wishes) {
        let Some(open) = &mut self.question else { return };
        let next = match &mut open.about {
            About::Checks(review) => match review.next_page(self.settings.columns()) {
                Some(lines) => Next::Ask(lines, Prompt::Check),
                None => {
                    self.outbox.push_back(Op::ApproveChecks(review.answered()));
                    self.close_question(wishes);
                    return;
                }
            },
            About::Choice { options, .. } => Next::Ask(Vec::new(), Prompt::AfterFailure(options.clone())),
            About::Review(review) => review.next_question(),
        };
        let (lines, op) = match next {
            Next::Ask(lines, prompt) => return self.put_after(lines, Question::Prompt(prompt)),
            Next::Edit(lines, hunk) => return self.put_after(lines, Question::Edit(hunk)),
            Next::Revise(lines, revision) => (lines, Op::Revise(revision)),
            Next::Show(lines, show) => (lines, Op::Show(show)),
            Next::Done(lines, decision) => {
                self.screen.print(&lines);
                let sent_back = !decision.feedback.is_empty();
                self.decide(decision);
                let review = self.close_question(wishes);
                self.earlier = review.filter(|_| sent_back).map(Review::without_feedback);
                return;
            }
        };
        self.screen.print(&lines);
        open.reply = None;
        self.outbox.push_back(op);
    }

    /// Shows lines, a screenful at a time, and then asks.
    fn put_after(&mut self, lines: Vec<Line>, question: Question) {
        let Some(open) = &mut self.question else { return };
        open.page.extend(lines);
        open.next = Some(question);
        self.turn_page();
    }

    fn turn_page(&mut self) {
        let Some(open) = &mut self.question else { return };
        let fits = match self.settings.rows() {
            Some(rows) if open.page.len() + 2 > rows => rows - 2,
            _ => open.page.len(),
        };
        let rest = open.page.split_off(fits);
        self.screen.print(&std::mem::replace(&mut open.page, rest));
        let question = match open.page.len() {
            0 => open.next.take(),
            more => Some(Question::Prompt(Prompt::More(more))),
        };
        if let Some(question) = question {
            self.put(question);
        }
    }

    fn put(&mut self, question: Question) {
        let reply = (self.ask)(question);
        if let Some(open) = &mut self.question {
            open.reply = Some(reply);
        }
    }

    fn reply(&mut self, reply: Reply, wishes: &mut Wishes) {
        let columns = self.settings.columns();
        let Some(open) = &mut self.question else { return };
        match (reply, &mut open.about) {
            (Reply::Key(Key::Answer(answer)), About::Review(review)) => {
                if answer == Answer::Leave {
                    (open.page, open.next) = (Vec::new(), None);
                }
                review.answer(answer, columns);
                self.advance(wishes);
            }
            (Reply::Key(Key::Answer(answer)), About::Checks(review)) => {
                if answer == Answer::Leave {
                    (open.page, open.next) = (Vec::new(), None);
                }
                review.answer(&answer, columns);
                self.advance(wishes);
            }
            (Reply::Key(Key::Feedback), About::Review(_)) => self.put(Question::Prompt(Prompt::Feedback)),
            (Reply::Key(Key::More), _) => self.turn_page(),
            (Reply::Key(Key::AfterFailure(answer)), About::Choice { id, .. }) => {
                let choice = *id;
                self.outbox.push_back(Op::Choose(Choice { choice, answer }));
                self.close_question(wishes);
            }
            (Reply::Text(text), About::Review(review)) => {
                match text.trim() {
                    "" => {}
                    text => review.answer(Answer::SendBack(text.to_owned()), columns),
                }
                self.advance(wishes);
            }
            (Reply::Edited(lines), About::Review(review)) => match review.edited(lines) {
                Some(revision) => {
                    open.reply = None;
                    self.outbox.push_back(Op::Revise(revision));
                }
                None => self.advance(wishes),
            },
            (Reply::NotEdited(reason), About::Review(_)) => {
                self.screen.print(&Line::new(Tone::Warning, &reason).wrap(columns, 2));
                self.advance(wishes);
            }
            (Reply::Stop, _) => {
                self.close_question(wishes);
                self.wish(Wish::Stop);
            }
            (Reply::Broken(reason), About::Review(review)) => {
                let text = format!("the question could not be asked, so that nothing is applied: {reason}");
                self.screen.print(&Line::new(Tone::Bad, &text).wrap(columns, 2));
                let decision = review.leave_all();
                self.decide(decision);
                self.close_question(wishes);
            }
            (Reply::Broken(reason), About::Checks(review)) => {
                let text = format!("the question could not be asked, so that no check is approved: {reason}");
                self.screen.print(&Line::new(Tone::Bad, &text).wrap(columns, 2));
                self.outbox.push_back(Op::ApproveChecks(review.none()));
                self.close_question(wishes);
            }
            (_, About::Choice { id, .. }) => {
                let choice = *id;
                self.outbox.push_back(Op::Choose(Choice { choice, answer: AfterFailure::Keep }));
                self.close_question(wishes);
            }
            // No prompt gives such an answer here.
            (_, About::Review(_) | About::Checks(_)) => self.advance(wishes),
        }
    }
}

/// Whether the same was decided about the same lines.
fn same(one: &[RuledFile], other: &[RuledFile]) -> bool {
    let lines = |file: &RuledFile| -> Vec<Vec<String>> {
        file.file.hunks.iter().map(|hunk| hunk.lines.clone()).collect()
    };
    let alike = |(one, other): (&RuledFile, &RuledFile)| {
        (&one.file.path, one.allowed, &one.by) == (&other.file.path, other.allowed, &other.by)
            && lines(one) == lines(other)
    };
    one.len() == other.len() && one.iter().zip(other).all(alike)
}

/// The answer to the open question; never, when there is none.
async fn reply(question: &mut Option<Open>) -> Reply {
    match question.as_mut().and_then(|open| open.reply.as_mut()) {
        Some(reply) => match reply.await {
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
