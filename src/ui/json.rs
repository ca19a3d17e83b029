//! The front end for programs: one event a line on standard output, ops a line on standard input.
//!
//! Standard output holds envelopes and nothing else. When standard input ends there is nobody left
//! who could sign, so that whatever waits for approval, now or later, is left pending. It must not know
//! what any event means beyond that.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, Write};

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Ended;
use super::terminal::keys::{Process, Wish, Wishes};
use super::terminal::{GRACE, at};
use super::text::{Line, Tone};
use crate::protocol::{AfterFailure, Choice, Decision, Envelope, Event, Op};
use crate::sanitize::visible;

/// The longest op in bytes; a longer line is refused, not stored.
const LONGEST_OP: usize = 1 << 20;

/// When the loop ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// With the turn that was started for it.
    OneTurn,
    /// When the engine ends. The end of standard input ends the engine after the running turn.
    UntilQuit,
}

/// Writes events and forwards ops, until `life` is over. Ctrl-C cancels, a second one and a
/// termination signal leave.
///
/// # Errors
/// When nobody reads standard output any more (the engine is told to leave), or signals cannot be
/// handled.
pub async fn run(
    events: &mut mpsc::UnboundedReceiver<Envelope>,
    ops: &mpsc::Sender<Op>,
    life: Life,
) -> anyhow::Result<Ended> {
    let process = Process::without_keyboard().context("cannot listen for signals")?;
    let (lines, mut input) = mpsc::channel(16);
    // A plain thread: a runtime that ends would wait for a blocking task, and so for input.
    std::thread::spawn(move || read_ops(&mut std::io::stdin().lock(), &lines));
    let mut loop_ = Loop::new(life, std::io::stdout(), std::io::stderr());
    loop_.watch(events, ops, &mut input, Wishes::Process(Box::new(process))).await
}

/// One line of input.
#[derive(Debug, PartialEq)]
enum Input {
    Op(Op),
    /// A line that is no op: its number, from 1, and why.
    Malformed(u64, String),
}

/// Reads ops until the input ends or nobody wants them. A line that is too long, not UTF-8 or no op
/// is reported and skipped.
fn read_ops(input: &mut impl BufRead, lines: &mpsc::Sender<Input>) {
    let mut buffer = Vec::new();
    for number in 1.. {
        let whole = match read_line(input, &mut buffer) {
            Ok(Some(whole)) => whole,
            // An input that cannot be read has ended.
            Ok(None) | Err(_) => return,
        };
        let parsed = match whole {
            Whole::Yes if buffer.trim_ascii().is_empty() => continue,
            Whole::Yes => serde_json::from_slice::<Op>(&buffer).map_err(|error| error.to_string()),
            Whole::No => Err(format!("it is longer than {LONGEST_OP} bytes")),
        };
        let line = parsed.map_or_else(|reason| Input::Malformed(number, reason), Input::Op);
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}

enum Whole {
    Yes,
    No,
}

/// Reads one line without its end, at most [`LONGEST_OP`] bytes of it; `None` at the end of input.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<Option<Whole>> {
    line.clear();
    let mut whole = Whole::Yes;
    let mut any = false;
    loop {
        let available = match input.fill_buf() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        if available.is_empty() {
            return Ok(any.then_some(whole));
        }
        any = true;
        let end = available.iter().position(|byte| *byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        if line.len() + part.len() > LONGEST_OP {
            whole = Whole::No;
        } else {
            line.extend_from_slice(part);
        }
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}

/// Writes characters that a screen would obey or hide (bidirectional, zero-width, C1 controls) as
/// JSON escapes: the data is the same, and a terminal that shows the line is safe. In JSON they
/// occur inside strings only.
fn escape_hidden(json: String) -> String {
    if visible(&json) == json {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        let mut buffer = [0; 4];
        let text = &*character.encode_utf8(&mut buffer);
        if visible(text) == text {
            escaped.push(character);
        } else {
            let units = character.encode_utf16(&mut [0; 2]).to_vec();
            units.iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}")));
        }
    }
    escaped
}

/// How far an approval is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    None,
    /// Sent, but the engine has not said yet that it counts.
    Sent,
}

struct Loop<Output, Complaints> {
    life: Life,
    output: Output,
    complaints: Complaints,
    /// Questions that are open, with what is said about them when nobody can.
    waiting: BTreeMap<u64, (Op, Answer)>,
    outbox: VecDeque<Op>,
    input_open: bool,
    in_turn: bool,
    stops: u32,
    /// Someone wants the engine to end, so that its end is no surprise.
    leaving: bool,
    leave_at: Option<Instant>,
}

impl<Output: Write, Complaints: Write> Loop<Output, Complaints> {
    fn new(life: Life, output: Output, complaints: Complaints) -> Self {
        Loop {
            life,
            output,
            complaints,
            waiting: BTreeMap::new(),
            outbox: VecDeque::new(),
            input_open: true,
            in_turn: false,
            stops: 0,
            leaving: false,
            leave_at: None,
        }
    }

    async fn watch(
        &mut self,
        events: &mut mpsc::UnboundedReceiver<Envelope>,
        ops: &mpsc::Sender<Op>,
        input: &mut mpsc::Receiver<Input>,
        mut wishes: Wishes,
    ) -> anyhow::Result<Ended> {
        loop {
            let leave_at = self.leave_at;
            tokio::select! {
                biased;
                permit = ops.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(op) = self.outbox.pop_front() {
                            permit.send(op);
                        }
                    }
                    Err(_) => self.outbox.clear(),
                },
                wish = wishes.next() => {
                    self.stops += 1;
                    let leave = wish == Wish::Quit || self.stops > 1;
                    if self.stops > 2 {
                        return Ok(Ended::Quit);
                    }
                    self.outbox.push_back(if leave { Op::Quit } else { Op::Cancel });
                    if leave {
                        self.leaving = true;
                        self.leave_at = Some(Instant::now() + GRACE);
                    }
                }
                () = at(leave_at) => return Ok(Ended::Quit),
                envelope = events.recv() => match envelope {
                    None => return Ok(if self.leaving { Ended::Quit } else { Ended::EngineGone }),
                    Some(envelope) => {
                        if let Err(error) = self.write(&envelope) {
                            // Unwatched work must not go on; the engine stops as for a closed terminal.
                            let _ = ops.try_send(Op::Quit);
                            return Err(error).context("cannot write events to standard output");
                        }
                        if let Some(ended) = self.follow(envelope.event) {
                            return Ok(ended);
                        }
                    }
                },
                line = input.recv(), if self.input_open && self.outbox.is_empty() => self.input(line),
            }
        }
    }

    /// One envelope, one line, at once.
    fn write(&mut self, envelope: &Envelope) -> anyhow::Result<()> {
        let mut line = escape_hidden(serde_json::to_string(envelope)?);
        line.push('\n');
        self.output.write_all(line.as_bytes())?;
        self.output.flush()?;
        Ok(())
    }

    /// What the loop itself has to know of an event.
    fn follow(&mut self, event: Event) -> Option<Ended> {
        match event {
            Event::TurnStarted { .. } => self.in_turn = true,
            Event::ApprovalNeeded(approval) => {
                self.waiting.clear();
                let hunks = approval.files.iter().flat_map(|file| &file.hunks);
                let pending = hunks.map(|hunk| hunk.id).collect();
                let (id, digest) = (approval.id, approval.digest);
                let leave = Decision { approval: id, digest, pending, ..Decision::default() };
                self.waiting.insert(id, (Op::Decide(leave), Answer::None));
                self.answer_if_alone();
            }
            Event::ChoiceNeeded { choice, .. } => {
                let keep = Op::Choose(Choice { choice, answer: AfterFailure::Keep });
                self.waiting.insert(choice, (keep, Answer::None));
                self.answer_if_alone();
            }
            Event::ChecksUnapproved(question) => {
                let none = Op::ApproveChecks(question.answer_with_none());
                self.waiting.insert(question.id, (none, Answer::None));
                self.answer_if_alone();
            }
            Event::Decided { approval: answered, .. }
            | Event::SentBack { approval: answered, .. }
            | Event::ChecksAnswered { question: answered, .. } => {
                self.waiting.remove(&answered);
            }
            Event::Refused { reason } => {
                if !self.in_turn && self.life == Life::OneTurn {
                    return Some(Ended::Refused(reason));
                }
                // It may have been an answer that was refused; then the approval is still open.
                self.waiting.values_mut().for_each(|(_, answer)| *answer = Answer::None);
                self.answer_if_alone();
            }
            Event::TurnFinished { outcome, .. } => {
                self.in_turn = false;
                self.waiting.clear();
                if self.life == Life::OneTurn {
                    return Some(Ended::Turn(outcome));
                }
                self.quit_if_alone();
            }
            _ => {}
        }
        None
    }

    fn input(&mut self, line: Option<Input>) {
        match line {
            Some(Input::Op(op)) => {
                let about = match &op {
                    Op::Decide(decision) => Some(decision.approval),
                    Op::Revise(revision) => Some(revision.approval),
                    Op::Choose(choice) => Some(choice.choice),
                    Op::ApproveChecks(answer) => Some(answer.question),
                    _ => None,
                };
                if let Some((_, answer)) = about.and_then(|about| self.waiting.get_mut(&about)) {
                    *answer = Answer::Sent;
                }
                // A start may be the last line of all; its turn is then waited for.
                self.in_turn |= matches!(op, Op::Start(_));
                self.leaving |= op == Op::Quit;
                self.outbox.push_back(op);
            }
            Some(Input::Malformed(number, reason)) => {
                let text = format!("refused: line {number} of standard input is no op: {reason}");
                let text = Line::new(Tone::Plain, &text).text();
                let _ = writeln!(self.complaints, "{text}");
            }
            None => {
                self.input_open = false;
                self.answer_if_alone();
                self.quit_if_alone();
            }
        }
    }

    /// Leaves a patch pending, an applied change as it is, and checks unapproved.
    fn answer_if_alone(&mut self) {
        if self.input_open {
            return;
        }
        for (op, answer) in self.waiting.values_mut() {
            if *answer == Answer::None {
                *answer = Answer::Sent;
                self.outbox.push_back(op.clone());
            }
        }
    }

    fn quit_if_alone(&mut self) {
        if !self.input_open && !self.in_turn && self.life == Life::UntilQuit {
            self.leaving = true;
            self.outbox.push_back(Op::Quit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Approval, Outcome, StartRequest, Usage};

    /// What became of a run: its end and both outputs.
    struct Run {
        ended: anyhow::Result<Ended>,
        output: String,
        complaints: String,
    }

    /// Runs the loop on events that are all there, with an input that has ended.
    async fn run(life: Life, events: Vec<Event>) -> Run {
        let (_, mut input) = mpsc::channel(1);
        let (sender, mut event_receiver) = mpsc::unbounded_channel();
        let (ops, _op_receiver) = mpsc::channel(64);
        let (_wishes, wish_receiver) = mpsc::unbounded_channel();
        for (at, event) in events.into_iter().enumerate() {
            let _ = sender.send(Envelope { v: 1, seq: at as u64 + 1, at_ms: 0, event });
        }
        drop(sender);
        let mut loop_ = new_loop(life);
        let wishes = Wishes::Scripted(wish_receiver);
        let ended = loop_.watch(&mut event_receiver, &ops, &mut input, wishes).await;
        Run {
            ended,
            output: String::from_utf8(loop_.output).unwrap(),
            complaints: String::from_utf8(loop_.complaints).unwrap(),
        }
    }

    fn new_loop(life: Life) -> Loop<Vec<u8>, Vec<u8>> {
        Loop::new(life, Vec::new(), Vec::new())
    }

    fn approval(id: u64) -> Event {
        Event::ApprovalNeeded(Approval { id, digest: format!("d{id}"), ..Approval::default() })
    }

    fn decide(id: u64, accept: &[u32]) -> Op {
        Op::Decide(Decision {
            approval: id,
            digest: format!("d{id}"),
            accept: accept.to_vec(),
            ..Decision::default()
        })
    }

    fn refused() -> Event {
        Event::Refused { reason: "no".into() }
    }

    fn started() -> Event {
        Event::TurnStarted { turn: 1, request: StartRequest { text: "x".into(), tags: vec![] } }
    }

    fn finished() -> Event {
        Event::TurnFinished { turn: 1, outcome: Outcome::Cancelled, usage: Usage::default(), millis: 0 }
    }

    #[tokio::test]
    async fn one_envelope_a_line_and_nothing_else() {
        let evil = Event::Warning { text: "a\nb\u{1b}[2J\u{2028}ä\u{202e}\u{9b}\u{e0001}".into() };
        let run = run(Life::OneTurn, vec![started(), evil.clone(), finished()]).await;
        assert_eq!(run.ended.unwrap(), Ended::Turn(Outcome::Cancelled));
        let lines: Vec<Envelope> =
            run.output.lines().map(|line| serde_json::from_str(line).expect("an envelope")).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((lines[1].seq, &lines[1].event), (2, &evil));
        assert!(!run.output.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{}", run.output);
        assert!(run.output.contains('ä'));
        assert_eq!(run.complaints, "");
    }

    #[test]
    fn the_end_of_input_declines_what_waits_and_what_comes() {
        let mut loop_ = new_loop(Life::OneTurn);
        loop_.follow(started());
        loop_.follow(approval(1));
        assert!(loop_.outbox.is_empty(), "someone may still answer");
        loop_.input(None);
        loop_.follow(approval(2));
        assert_eq!(loop_.outbox, [decide(1, &[]), decide(2, &[])]);
    }

    #[test]
    fn an_answer_that_was_sent_is_not_declined_unless_it_was_refused() {
        let mut loop_ = new_loop(Life::OneTurn);
        loop_.follow(started());
        loop_.follow(approval(1));
        loop_.input(Some(Input::Op(decide(1, &[3]))));
        loop_.input(None);
        assert_eq!(loop_.outbox, [decide(1, &[3])]);
        loop_.follow(refused());
        assert_eq!(loop_.outbox, [decide(1, &[3]), decide(1, &[])]);
        loop_.follow(refused());
        assert_eq!(loop_.outbox.len(), 3, "a refused refusal is repeated, not lost");

        let mut loop_ = new_loop(Life::OneTurn);
        loop_.follow(started());
        loop_.follow(approval(1));
        loop_.input(Some(Input::Op(decide(1, &[3]))));
        loop_.follow(Event::Decided {
            approval: 1,
            accepted: vec![3],
            declined: vec![],
            pending: vec![],
            by: "owner".into(),
        });
        loop_.input(None);
        assert_eq!(loop_.outbox, [decide(1, &[3])]);
    }

    #[tokio::test]
    async fn malformed_lines_are_reported_and_skipped() {
        let input = "\n{\"op\":\"cancel\"}\nnot json\u{1b}[2J\n{\"op\":\"launch\"}\n{\"op\":\"decide\",\"approval\":1,\"digest\":\"d\",\"accept\":[],\"x\":1}\n{\"op\":\"quit\"}";
        let (lines, mut receiver) = mpsc::channel(64);
        let bytes = input.as_bytes().to_vec();
        tokio::task::spawn_blocking(move || read_ops(&mut bytes.as_slice(), &lines)).await.unwrap();
        let mut loop_ = new_loop(Life::OneTurn);
        while let Some(line) = receiver.recv().await {
            loop_.input(Some(line));
        }
        assert_eq!(loop_.outbox, [Op::Cancel, Op::Quit]);
        let complaints = String::from_utf8(loop_.complaints).unwrap();
        let complaints: Vec<&str> = complaints.lines().collect();
        assert_eq!(complaints.len(), 3, "{complaints:?}");
        assert!(complaints[0].starts_with("refused: line 3 of standard input is no op: expected"));
        assert!(complaints[1].contains("line 4") && complaints[1].contains("launch"));
        assert!(complaints.iter().all(|line| !line.contains('\u{1b}')));
    }

    #[test]
    fn lines_that_are_too_long_or_not_text_do_not_hurt_their_neighbours() {
        let mut bytes = vec![b'x'; LONGEST_OP + 10];
        bytes.extend(b"\n\xff\xfe\n{\"op\":\"cancel\"}\n");
        let (lines, mut receiver) = mpsc::channel(8);
        // A small buffer, so that the long line comes in many pieces.
        let mut input = std::io::BufReader::with_capacity(100, bytes.as_slice());
        read_ops(&mut input, &lines);
        drop(lines);
        let read: Vec<Input> = std::iter::from_fn(|| receiver.blocking_recv()).collect();
        assert!(matches!(&read[0], Input::Malformed(1, reason) if reason.contains("longer")), "{read:?}");
        assert!(matches!(&read[1], Input::Malformed(2, _)), "{read:?}");
        assert_eq!(read[2], Input::Op(Op::Cancel));
        assert_eq!(read.len(), 3);
    }

    #[tokio::test]
    async fn a_refused_start_ends_one_turn_but_not_a_longer_life() {
        let one = run(Life::OneTurn, vec![refused()]).await;
        assert_eq!(one.ended.unwrap(), Ended::Refused("no".into()));
        let long = run(Life::UntilQuit, vec![refused()]).await;
        assert_eq!(long.ended.unwrap(), Ended::EngineGone);
    }

    #[test]
    fn a_longer_life_ends_with_its_input_after_the_turn() {
        let mut loop_ = new_loop(Life::UntilQuit);
        let start = Op::Start(StartRequest { text: "x".into(), tags: vec![] });
        loop_.input(Some(Input::Op(start.clone())));
        loop_.input(None);
        assert_eq!(loop_.outbox.len(), 1, "the turn is waited for");
        loop_.follow(started());
        assert_eq!(loop_.follow(finished()), None);
        assert_eq!(loop_.outbox, [start, Op::Quit]);
    }

    #[tokio::test]
    async fn a_reader_that_is_gone_ends_the_run() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut loop_ = Loop::new(Life::OneTurn, Closed, Vec::new());
        let (sender, mut events) = mpsc::unbounded_channel();
        let (ops, mut op_receiver) = mpsc::channel(4);
        let (_lines, mut input) = mpsc::channel(4);
        let (_wishes, wish_receiver) = mpsc::unbounded_channel();
        sender.send(Envelope { v: 1, seq: 1, at_ms: 0, event: started() }).unwrap();
        let ended = loop_.watch(&mut events, &ops, &mut input, Wishes::Scripted(wish_receiver)).await;
        assert!(ended.unwrap_err().to_string().contains("standard output"));
        assert_eq!(op_receiver.recv().await, Some(Op::Quit));
    }
}
