//! The loop of [`super::run`] against an engine that follows a script.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::review::Answer;
use super::*;
use crate::protocol::{ChangeKind, CheckAnswer, CheckView, FileReview, HunkReview, Outcome, Usage};
use crate::ui::Colour;

/// A stream that remembers.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A front end on paper, with the engine's and the owner's ends of its channels.
struct Stage {
    people: Paper,
    data: Paper,
    events: mpsc::UnboundedSender<Envelope>,
    ops: mpsc::Receiver<Op>,
    wishes: mpsc::UnboundedSender<Wish>,
    /// Each question, with the way to answer it.
    questions: mpsc::UnboundedReceiver<(Question, oneshot::Sender<Reply>)>,
    front: tokio::task::JoinHandle<Ended>,
}

fn stage(audience: Audience) -> Stage {
    // Long, so that a test that needs it to pass would hang and not pass by accident.
    stage_with_grace(audience, Duration::from_secs(3_600))
}

fn stage_with_grace(audience: Audience, grace: Duration) -> Stage {
    let settings = Settings {
        colour: Colour::Off,
        audience,
        stdout: Stdout::Data,
        width: Some(80),
        stream_lines: 2,
        height: Some(100),
        editor: Vec::new(),
    };
    let (people, data) = (Paper::default(), Paper::default());
    let screen = Screen::new(&settings, Box::new(people.clone()), Box::new(data.clone()));
    let (events, mut event_receiver) = mpsc::unbounded_channel();
    let (op_sender, ops) = mpsc::channel(1);
    let (wishes, wish_receiver) = mpsc::unbounded_channel();
    let (asked, questions) = mpsc::unbounded_channel();
    let ask = Box::new(move |prompt| {
        let (sender, receiver) = oneshot::channel();
        let _ = asked.send((prompt, sender));
        receiver
    });
    let mut front = Front::new(settings, screen, ask);
    front.grace = grace;
    let front = tokio::spawn(async move {
        front.watch(&mut event_receiver, &op_sender, Wishes::Scripted(wish_receiver)).await
    });
    Stage { people, data, events, ops, wishes, questions, front }
}

impl Stage {
    fn tell(&self, event: Event) {
        let _ = self.events.send(Envelope { v: 1, seq: 1, at_ms: 0, event });
    }

    async fn answer(&mut self, expected: Prompt, reply: Reply) {
        let (question, sender) = self.questions.recv().await.expect("a question");
        assert_eq!(question, Question::Prompt(expected));
        sender.send(reply).expect("someone waits for the answer");
    }

    async fn op(&mut self) -> Op {
        self.ops.recv().await.expect("an op")
    }
}

fn approval() -> Event {
    let hunk = |id| HunkReview {
        id,
        header: "@@ -1 +1 @@".into(),
        lines: vec!["-a\u{1b}[2J".into(), "+b".into()],
        tier: "exact".into(),
    };
    let file = FileReview {
        old_path: "a.rs".into(),
        path: "a.rs".into(),
        change: ChangeKind::Modify,
        hunks: vec![hunk(1), hunk(2)],
        why: vec![],
    };
    Event::ApprovalNeeded(Approval { id: 9, digest: "d9".into(), files: vec![file], ..Approval::default() })
}

/// A file of the same approval that is decided without asking.
fn ruled(path: &str, allowed: bool, asked: bool) -> Event {
    let hunk = HunkReview {
        id: 3,
        header: "@@ -1 +1 @@".into(),
        lines: vec!["-c\u{1b}[2J".into(), "+d".into()],
        tier: "exact".into(),
    };
    let file = FileReview {
        old_path: path.into(),
        path: path.into(),
        change: ChangeKind::Modify,
        hunks: vec![hunk],
        why: vec![],
    };
    let file = RuledFile { file, allowed, by: "rule: allow b*\u{1b}".into() };
    Event::RulesDecided { approval: 9, files: vec![file], asked }
}

fn started() -> Event {
    Event::TurnStarted { turn: 1, request: crate::protocol::StartRequest { text: "x".into(), tags: vec![] } }
}

fn finished(outcome: Outcome) -> Event {
    Event::TurnFinished { turn: 1, outcome, usage: Usage::default(), millis: 0 }
}

fn decision(accept: &[u32]) -> Op {
    Op::Decide(Decision { approval: 9, digest: "d9".into(), accept: accept.to_vec(), ..Decision::default() })
}

/// Nobody decided: both hunks wait.
fn left() -> Op {
    Op::Decide(Decision { approval: 9, digest: "d9".into(), pending: vec![1, 2], ..Decision::default() })
}

fn said(answer: Answer) -> Reply {
    Reply::Key(Key::Answer(answer))
}

#[tokio::test]
async fn hunks_are_decided_one_by_one() {
    let mut stage = stage(Audience::Person);
    stage.tell(started());
    stage.tell(approval());
    stage.answer(Prompt::Hunk, said(Answer::Yes)).await;
    stage.answer(Prompt::Hunk, said(Answer::No)).await;
    assert_eq!(stage.op().await, decision(&[1]));
    let outcome = Outcome::Done { applied: 1, declined: 1, summary: String::new() };
    stage.tell(finished(outcome.clone()));
    assert_eq!(stage.front.await.unwrap(), Ended::Turn(outcome));
    assert!(stage.people.text().contains("1 of 2 hunks accepted"), "{}", stage.people.text());
    assert!(!stage.people.text().contains('\u{1b}'));
    assert_eq!(stage.data.text(), "");
}

#[tokio::test]
async fn with_nobody_there_the_patch_is_printed_and_left_pending() {
    let mut stage = stage(Audience::Nobody);
    stage.tell(started());
    stage.tell(ruled("b.rs", true, true));
    stage.tell(approval());
    assert_eq!(stage.op().await, left());
    let outcome = Outcome::Declined { reason: "nobody".into() };
    stage.tell(finished(outcome.clone()));
    assert_eq!(stage.front.await.unwrap(), Ended::Turn(outcome));
    assert!(stage.data.text().contains("--- a/b.rs\n"), "the whole patch, with what rules allow");
    assert!(stage.data.text().starts_with("diff --git a/a.rs b/a.rs\n--- a/a.rs\n"), "{}", stage.data.text());
    assert!(stage.data.text().contains("-a\u{1b}[2J\n"), "data is exact");
    assert!(stage.people.text().contains("`countersign review` decides"), "{}", stage.people.text());
    assert!(!stage.people.text().contains('\u{1b}'));
}

#[tokio::test]
async fn escape_in_a_question_cancels_and_accepts_nothing() {
    let mut stage = stage(Audience::Person);
    stage.tell(approval());
    stage.answer(Prompt::Hunk, said(Answer::Yes)).await;
    stage.answer(Prompt::Hunk, Reply::Stop).await;
    assert_eq!(stage.op().await, Op::Cancel);
    stage.tell(finished(Outcome::Cancelled));
    assert_eq!(stage.front.await.unwrap(), Ended::Turn(Outcome::Cancelled));
}

#[tokio::test]
async fn a_broken_terminal_accepts_nothing() {
    let mut stage = stage(Audience::Person);
    stage.tell(approval());
    stage.answer(Prompt::Hunk, said(Answer::Yes)).await;
    let (_, sender) = stage.questions.recv().await.unwrap();
    drop(sender);
    assert_eq!(stage.op().await, left());
}

#[tokio::test]
async fn stops_go_from_cancel_to_quit_to_leaving_even_when_the_engine_is_stuck() {
    let mut stage = stage(Audience::Person);
    stage.tell(started());
    for _ in 0..3 {
        stage.wishes.send(Wish::Stop).unwrap();
    }
    assert_eq!((&mut stage.front).await.unwrap(), Ended::Quit);
    // The channel holds one op, which nobody took.
    assert_eq!(stage.op().await, Op::Cancel);
}

#[tokio::test]
async fn a_second_stop_asks_the_engine_to_leave() {
    let mut stage = stage(Audience::Person);
    stage.wishes.send(Wish::Stop).unwrap();
    assert_eq!(stage.op().await, Op::Cancel);
    stage.wishes.send(Wish::Stop).unwrap();
    assert_eq!(stage.op().await, Op::Quit);
    drop(stage.events);
    assert_eq!(stage.front.await.unwrap(), Ended::Quit);
}

#[tokio::test]
async fn a_termination_signal_is_followed_even_by_a_dead_engine() {
    let mut stage = stage_with_grace(Audience::Person, Duration::from_millis(1));
    stage.wishes.send(Wish::Quit).unwrap();
    assert_eq!(stage.op().await, Op::Quit);
    assert_eq!(stage.front.await.unwrap(), Ended::Quit);
}

#[tokio::test]
async fn an_engine_that_ends_during_a_question_ends_the_front_end() {
    let mut stage = stage(Audience::Person);
    stage.tell(approval());
    let (_, open) = stage.questions.recv().await.unwrap();
    stage.tell(Event::Warning { text: "held back".into() });
    stage.tell(finished(Outcome::Cancelled));
    assert_eq!(stage.front.await.unwrap(), Ended::Turn(Outcome::Cancelled));
    let text = stage.people.text();
    assert!(text.contains("the question is closed\nwarning: held back\n"), "{text}");
    assert!(open.is_closed());
}

#[tokio::test]
async fn an_engine_that_vanishes_during_a_question_ends_the_front_end() {
    let mut stage = stage(Audience::Person);
    stage.tell(approval());
    let _open = stage.questions.recv().await.unwrap();
    drop(stage.events);
    assert_eq!(stage.front.await.unwrap(), Ended::EngineGone);
}

#[tokio::test]
async fn events_wait_until_the_question_is_answered() {
    let mut stage = stage(Audience::Person);
    stage.tell(approval());
    let (_, sender) = stage.questions.recv().await.unwrap();
    stage.tell(Event::Warning { text: "later".into() });
    // A stop is served before events; when it has been, the warning has not been printed.
    stage.wishes.send(Wish::Stop).unwrap();
    assert_eq!(stage.op().await, Op::Cancel);
    assert!(!stage.people.text().contains("later"));
    sender.send(said(Answer::Leave)).unwrap();
    assert_eq!(stage.op().await, left());
    stage.tell(finished(Outcome::Cancelled));
    stage.front.await.unwrap();
    assert!(
        stage.people.text().contains("0 of 2 hunks accepted, 2 left pending\nwarning: later\n"),
        "{}",
        stage.people.text()
    );
}

#[tokio::test]
async fn what_rules_decide_is_shown_whole_and_given_out_if_nothing_is_applied() {
    for (audience, allowed, given) in [
        (Audience::Nobody, false, true),
        (Audience::Nobody, true, false),
        (Audience::Person, false, true),
        (Audience::Person, true, false),
    ] {
        let stage = stage(audience);
        stage.tell(started());
        stage.tell(ruled("b.rs", allowed, false));
        let outcome = Outcome::Declined { reason: "mode".into() };
        stage.tell(finished(outcome.clone()));
        assert_eq!(stage.front.await.unwrap(), Ended::Turn(outcome));
        let people = stage.people.text();
        let said = if allowed { "applied without asking, by rule" } else { "declined, by rule" };
        assert!(people.contains(said) && people.contains("+ d"), "{people}");
        assert!(!people.contains('\u{1b}'), "{people}");
        assert_eq!(stage.data.text().contains("+++ b/b.rs"), given, "{}", stage.data.text());
    }
}

#[tokio::test]
async fn a_plan_that_is_the_end_of_a_turn_is_given_out() {
    let stage = stage(Audience::Nobody);
    stage.tell(started());
    let step = crate::protocol::StepView {
        action: "edit".into(),
        file: "a\u{1b}.rs".into(),
        symbol: None,
        target: None,
        task: "do it".into(),
    };
    stage.tell(Event::PlanReady { summary: "the sum".into(), steps: vec![step] });
    stage.tell(finished(Outcome::Planned { summary: "the sum".into() }));
    assert!(matches!(stage.front.await.unwrap(), Ended::Turn(Outcome::Planned { .. })));
    let data = stage.data.text();
    assert!(data.contains("plan: the sum") && data.contains("edit a") && data.contains("do it"), "{data}");
    assert!(!data.contains('\u{1b}'), "{data}");
}

#[tokio::test]
async fn a_refused_start_ends_the_watch_and_a_later_refusal_does_not() {
    let one = stage(Audience::Nobody);
    one.tell(Event::Refused { reason: "busy".into() });
    assert_eq!(one.front.await.unwrap(), Ended::Refused("busy".into()));

    let two = stage(Audience::Nobody);
    two.tell(started());
    two.tell(Event::Refused { reason: "stale".into() });
    two.tell(finished(Outcome::Cancelled));
    assert_eq!(two.front.await.unwrap(), Ended::Turn(Outcome::Cancelled));
    assert!(two.people.text().contains("refused: stale\n"));
}

#[tokio::test]
async fn a_call_is_announced_streamed_and_measured() {
    let stage = stage(Audience::Nobody);
    stage.tell(Event::CallStarted {
        call: 1,
        role: "coder".into(),
        estimated_tokens: 1_240,
        answer_limit: 9,
        window: 8_192,
        draws: 1,
    });
    stage.tell(Event::CallDelta { call: 1, text: "a\nb\nc\n".into() });
    let usage = Usage { prompt_tokens: Some(1_300), ..Usage::default() };
    stage.tell(Event::CallFinished { call: 1, role: "coder".into(), usage });
    stage.tell(finished(Outcome::Cancelled));
    stage.front.await.unwrap();
    let expected = "\
coder 1,240 / 8,192 tokens [##------] ...
coder  1,300 / 8,192 tokens [####----------------] 0 ms

cancelled
nothing was written
0 calls, 0 ms
";
    assert_eq!(stage.people.text(), expected);
}

#[tokio::test]
async fn a_long_diff_pages_and_is_asked_about_after_its_last_line() {
    let mut stage = stage(Audience::Person);
    let Event::ApprovalNeeded(mut long) = approval() else { unreachable!() };
    long.files[0].hunks.truncate(1);
    long.files[0].hunks[0].lines = (0..150).map(|n| format!("+line {n}")).collect();
    stage.tell(Event::ApprovalNeeded(long));
    let (question, sender) = stage.questions.recv().await.unwrap();
    let Question::Prompt(Prompt::More(left)) = question else { panic!("{question:?}") };
    assert!(stage.people.text().lines().count() <= 98 && !stage.people.text().contains("line 149"));
    assert!(left > 50);
    sender.send(Reply::Key(Key::More)).unwrap();
    stage.answer(Prompt::Hunk, said(Answer::Yes)).await;
    assert!(stage.people.text().contains("line 149"));
    assert_eq!(stage.op().await, decision(&[1]));
}

#[tokio::test]
async fn a_revision_goes_to_the_engine_and_the_next_approval_is_asked_about() {
    let mut stage = stage(Audience::Person);
    stage.tell(approval());
    stage.answer(Prompt::Hunk, said(Answer::Yes)).await;
    stage.answer(Prompt::Hunk, said(Answer::Split)).await;
    let Op::Revise(revision) = stage.op().await else { panic!("a revision") };
    assert_eq!(revision.hunk, 2);
    let Event::ApprovalNeeded(mut next) = approval() else { unreachable!() };
    (next.id, next.replaces) = (10, Some(9));
    let mut extra = next.files[0].hunks[1].clone();
    (extra.id, extra.header, extra.lines) = (3, "@@ -9 +9 @@".into(), vec!["+c".into()]);
    next.files[0].hunks.push(extra);
    next.files[0].hunks[1].lines = vec!["+other".into()];
    stage.tell(Event::ApprovalNeeded(next));
    stage.answer(Prompt::Hunk, said(Answer::No)).await;
    stage.answer(Prompt::Hunk, said(Answer::Whole)).await;
    assert!(matches!(stage.op().await, Op::Show(_)));
    stage.tell(Event::FileShown { approval: 10, path: "a.rs".into(), lines: vec![" whole".into()] });
    stage.answer(Prompt::Hunk, said(Answer::Yes)).await;
    let Op::Decide(decision) = stage.op().await else { panic!("a decision") };
    assert_eq!((decision.approval, decision.accept), (10, vec![1, 3]));
    assert!(stage.people.text().contains("whole file a.rs"), "{}", stage.people.text());
}

#[tokio::test]
async fn feedback_is_a_line_of_text_and_the_next_patch_is_asked_about_alone() {
    let mut stage = stage(Audience::Person);
    stage.tell(approval());
    stage.answer(Prompt::Hunk, said(Answer::Yes)).await;
    stage.answer(Prompt::Hunk, Reply::Key(Key::Feedback)).await;
    stage.answer(Prompt::Feedback, Reply::Text(" ".into())).await;
    stage.answer(Prompt::Hunk, Reply::Key(Key::Feedback)).await;
    stage.answer(Prompt::Feedback, Reply::Text("use a constant".into())).await;
    let Op::Decide(sent) = stage.op().await else { panic!("a decision") };
    assert_eq!(sent.feedback[0].text, "use a constant");
    stage.tell(Event::SentBack { approval: 9, feedback: sent.feedback });
    let Event::ApprovalNeeded(mut next) = approval() else { unreachable!() };
    next.id = 10;
    next.files[0].hunks[1].lines = vec!["+CONSTANT".into()];
    stage.tell(Event::ApprovalNeeded(next));
    stage.answer(Prompt::Hunk, said(Answer::Yes)).await;
    let Op::Decide(decision) = stage.op().await else { panic!("a decision") };
    assert_eq!((decision.approval, decision.accept), (10, vec![1, 2]));
}

#[tokio::test]
async fn after_a_failed_check_the_owner_chooses_and_a_pipe_keeps() {
    let needed = |options: &[AfterFailure]| Event::ChoiceNeeded {
        choice: 4,
        reason: "it failed".into(),
        options: options.to_vec(),
    };
    let options = [AfterFailure::Undo, AfterFailure::Keep];
    let mut person = stage(Audience::Person);
    person.tell(needed(&options));
    let undo = Reply::Key(Key::AfterFailure(AfterFailure::Undo));
    person.answer(Prompt::AfterFailure(options.to_vec()), undo).await;
    assert_eq!(person.op().await, Op::Choose(Choice { choice: 4, answer: AfterFailure::Undo }));
    let mut nobody = stage(Audience::Nobody);
    nobody.tell(needed(&options));
    assert_eq!(nobody.op().await, Op::Choose(Choice { choice: 4, answer: AfterFailure::Keep }));
}

#[tokio::test]
async fn checks_are_approved_one_by_one_and_a_pipe_or_a_broken_terminal_approves_none() {
    let check = |hash: &str| CheckView {
        hash: hash.into(),
        argv: vec!["true\u{1b}[2J".into()],
        command: "true\u{1b}[2J".into(),
        directory: String::new(),
        source: "found by Makefile".into(),
        timeout_s: 600,
        environment: vec![],
        definition: String::new(),
    };
    let needed = || {
        Event::ChecksUnapproved(CheckQuestion {
            id: 4,
            digest: "d4".into(),
            checks: vec![check("one"), check("two")],
            sandboxed: true,
            sandbox: "Landlock".into(),
        })
    };
    let approved = |hashes: &[&str]| {
        let approve = hashes.iter().map(|hash| (*hash).to_owned()).collect();
        Op::ApproveChecks(CheckAnswer { question: 4, digest: "d4".into(), approve })
    };
    let mut person = stage(Audience::Person);
    person.tell(needed());
    person.answer(Prompt::Check, said(Answer::Help)).await;
    person.answer(Prompt::Check, said(Answer::No)).await;
    person.answer(Prompt::Check, said(Answer::Yes)).await;
    assert_eq!(person.op().await, approved(&["two"]));
    assert!(!person.people.text().contains('\u{1b}'));

    let mut broken = stage(Audience::Person);
    broken.tell(needed());
    broken.answer(Prompt::Check, said(Answer::Yes)).await;
    broken.answer(Prompt::Check, Reply::Broken("no terminal".into())).await;
    assert_eq!(broken.op().await, approved(&[]));

    let mut stopped = stage(Audience::Person);
    stopped.tell(needed());
    stopped.answer(Prompt::Check, Reply::Stop).await;
    assert_eq!(stopped.op().await, Op::Cancel);

    let mut nobody = stage(Audience::Nobody);
    nobody.tell(needed());
    assert_eq!(nobody.op().await, approved(&[]));
}
