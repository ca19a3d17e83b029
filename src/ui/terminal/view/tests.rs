//! What each event leaves on a screen of 80 and of 40 columns.

use super::*;
use crate::protocol::{CheckResult, Skipped};

fn show(view: &mut View, events: &[Event], columns: usize) -> String {
    let lines: Vec<Line> = events.iter().flat_map(|event| view.lines(event, columns)).collect();
    for line in &lines {
        assert!(line.width() <= columns, "{:?} is wider than {columns}", line.text());
    }
    lines.iter().map(|line| line.text() + "\n").collect()
}

fn check(events: &[Event], columns: usize, expected: &str) {
    assert_eq!(show(&mut View::default(), events, columns), expected.trim_start_matches('\n'));
}

fn pack() -> Event {
    let part = |path: &str, start_line, end_line, tokens| SnippetView {
        path: path.into(),
        start_line,
        end_line,
        tokens,
    };
    let row = |path: &str, points, reason: &str| LedgerRow {
        path: path.into(),
        points,
        kept: true,
        reasons: vec![reason.into(), "content +0.10".into()],
    };
    Event::PackReady {
        tokens: 1_830,
        budget: 4_000,
        snippets: vec![part("src/parser.rs", 10, 58, 1_412), part("README.md", 1, 20, 418)],
        ledger: vec![
            row("src/parser.rs", 3.2, "path +1.20: \"parser\""),
            row("README.md", 0.5, "heading +0.50: \"Parsing\""),
        ],
        candidates: 57,
    }
}

#[test]
fn the_pack_is_a_table_at_80() {
    check(
        &[pack()],
        80,
        "
evidence: 1,830 of 4,000 tokens, 2 parts out of 57 candidates
  src/parser.rs:10-58 1,412   +3.20  path +1.20: \"parser\"
  README.md:1-20        418   +0.50  heading +0.50: \"Parsing\"
",
    );
}

#[test]
fn the_pack_has_two_lines_a_part_at_40() {
    check(
        &[pack()],
        40,
        "
evidence: 1,830 of 4,000 tokens, 2 parts
  out of 57 candidates
  src/parser.rs:10-58
   1,412   +3.20  path +1.20: \"parser\"
  README.md:1-20
     418   +0.50  heading +0.50:
        \"Parsing\"
",
    );
}

fn call(prompt_tokens: Option<u32>) -> [Event; 2] {
    let usage = Usage {
        calls: 1,
        prompt_tokens,
        evaluated_tokens: Some(400),
        answer_tokens: Some(212),
        millis: 8_400,
    };
    [
        Event::CallStarted {
            call: 1,
            role: "architect".into(),
            estimated_tokens: 1_240,
            answer_limit: 800,
            window: 8_192,
            draws: 1,
        },
        Event::CallFinished { call: 1, role: "architect".into(), usage },
    ]
}

#[test]
fn the_meter_shows_the_servers_count_or_says_about() {
    check(
        &call(Some(1_238)),
        80,
        "architect  1,238 / 8,192 tokens [####----------------] 400 of them new, answered\n  212, 8.4 s\n",
    );
    check(&call(None), 40, "architect  about 1,240 / 8,192 tokens\n  [##------] answered 212, 8.4 s\n");
    let alone = &call(Some(5))[1..];
    check(alone, 80, "architect  answered 212, 8.4 s\n");
}

#[test]
fn a_turn_ends_with_what_was_read_back() {
    let usage = Usage {
        calls: 3,
        prompt_tokens: Some(4_200),
        evaluated_tokens: None,
        answer_tokens: Some(612),
        millis: 40_000,
    };
    let events = [
        Event::Decided {
            approval: 1,
            accepted: vec![1, 2],
            declined: vec![3],
            pending: vec![],
            by: "owner".into(),
        },
        Event::Applied {
            change: "c".into(),
            files: vec![
                AppliedFile {
                    path: "src/a.rs".into(),
                    change: ChangeKind::Modify,
                    hash: Some("h".into()),
                    bytes: 1_204,
                },
                AppliedFile { path: "old.rs".into(), change: ChangeKind::Delete, hash: None, bytes: 0 },
            ],
        },
        Event::TurnFinished {
            turn: 1,
            outcome: Outcome::Done { applied: 2, declined: 1, summary: "Adds a flag.\nTwo lines.".into() },
            usage,
            millis: 41_200,
        },
    ];
    check(
        &events,
        80,
        "
decided: 2 accepted, 1 declined, by owner

done: 2 hunks applied, 1 declined
  Adds a flag.
  Two lines.
  changed src/a.rs  1,204 bytes on disk
  deleted old.rs  gone from the disk
3 calls, 4,200 tokens sent, 612 answered, 41.2 s
next: countersign undo takes it back
",
    );
}

#[test]
fn a_failure_says_that_nothing_was_written_and_what_to_try() {
    let outcome = Outcome::Failed { code: 3, reason: "the server is gone".into(), advice: "start it".into() };
    let end = Event::TurnFinished { turn: 1, outcome, usage: Usage::default(), millis: 10 };
    let expected = "\nfailed: the server is gone\ntry: start it\nnothing was written\n0 calls, 10 ms\n";
    assert_eq!(show(&mut View::default(), &[end], 80), expected);
}

#[test]
fn plan_and_refusals() {
    let events = [
        Event::PlanReady {
            summary: "Add a flag".into(),
            steps: vec![StepView {
                action: "modify".into(),
                file: "src/a.rs".into(),
                symbol: Some("main".into()),
                target: None,
                task: "parse it".into(),
            }],
        },
        Event::StepStarted { step: 1, of: 1, title: "modify src/a.rs".into() },
        Event::EditRefused { step: 1, reasons: vec!["no such text\nin the file".into()], attempt: 1 },
        Event::StepProposed { step: 1, files: vec!["src/a.rs".into()] },
        Event::Warning { text: "first\nsecond".into() },
    ];
    check(
        &events,
        80,
        "
plan: Add a flag
  1. modify src/a.rs main
     parse it
step 1 of 1: modify src/a.rs
step 1: edit 1 was refused
  - no such text
    in the file
step 1: proposed a change of src/a.rs
warning: first
  second
",
    );
}

/// One of each event whose fields hold foreign text.
fn hostile() -> Vec<Event> {
    let evil = || "x\u{1b}]0;t\u{7}\u{202e}\r\u{200b}\u{9b}2J".to_string();
    let result = CheckResult {
        command: evil(),
        passed: false,
        exit_code: None,
        timed_out: true,
        output_tail: evil(),
        millis: 0,
    };
    vec![
        Event::SessionStarted {
            session: evil(),
            root: evil(),
            provider: evil(),
            model: evil(),
            window: 0,
            window_source: evil(),
        },
        Event::IndexReady {
            files: 0,
            updated: 0,
            removed: 0,
            skipped: vec![Skipped { reason: evil(), files: 1 }],
            millis: 0,
        },
        Event::PackReady {
            tokens: 0,
            budget: 0,
            snippets: vec![SnippetView { path: evil(), start_line: 1, end_line: 2, tokens: 3 }],
            ledger: vec![LedgerRow { path: evil(), points: f64::NAN, kept: true, reasons: vec![evil()] }],
            candidates: 0,
        },
        Event::CallStarted {
            call: 1,
            role: evil(),
            estimated_tokens: 9,
            answer_limit: 0,
            window: 0,
            draws: 1,
        },
        Event::CallFinished { call: 1, role: evil(), usage: Usage::default() },
        Event::Corrected { role: evil(), reason: evil(), attempt: 1 },
        Event::Questions { questions: vec![evil()] },
        Event::ToolUsed { tool: evil(), argument: evil(), result_bytes: 0 },
        Event::Findings { question: evil(), answer: evil(), evidence: vec![evil()] },
        Event::PlanReady {
            summary: evil(),
            steps: vec![StepView {
                action: evil(),
                file: evil(),
                symbol: Some(evil()),
                target: Some(evil()),
                task: evil(),
            }],
        },
        Event::StepStarted { step: 1, of: 1, title: evil() },
        Event::EditRefused { step: 1, reasons: vec![evil()], attempt: 1 },
        Event::StepProposed { step: 1, files: vec![evil()] },
        Event::CheckFinished { command: vec![evil()], place: CheckPlace::Tree, result },
        Event::Decided { approval: 1, accepted: vec![], declined: vec![], pending: vec![], by: evil() },
        Event::Applied {
            change: evil(),
            files: vec![AppliedFile { path: evil(), change: ChangeKind::Create, hash: None, bytes: 0 }],
        },
        Event::Warning { text: evil() },
        Event::Refused { reason: evil() },
        Event::TurnFinished {
            turn: 1,
            outcome: Outcome::Failed { code: 1, reason: evil(), advice: evil() },
            usage: Usage::default(),
            millis: 0,
        },
    ]
}

#[test]
fn nothing_foreign_reaches_the_screen_unescaped() {
    for event in hostile() {
        let mut view = View::default();
        for columns in [20, 40, 80] {
            let text = show(&mut view, std::slice::from_ref(&event), columns);
            let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}' || c == '\u{200b}';
            assert!(!text.contains(bad), "{event:?} shows {text:?}");
        }
    }
}

#[test]
fn waits_repairs_and_what_the_cache_saved_are_told() {
    let repaired = |names: &[&str]| Event::Repaired {
        role: "architect".into(),
        repairs: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let usage =
        Usage { calls: 2, prompt_tokens: Some(4_000), evaluated_tokens: Some(1_500), ..Usage::default() };
    let events = [
        Event::CallDelayed {
            call: 1,
            role: "architect".into(),
            attempt: 2,
            wait_ms: 500,
            reason: "Loading model".into(),
        },
        repaired(&["code fence", "trailing comma"]),
        repaired(&["code fence"]),
        Event::TurnFinished { turn: 1, outcome: Outcome::Cancelled, usage, millis: 1_000 },
    ];
    let text = show(&mut View::default(), &events, 80);
    for wanted in [
        "architect: attempt 2 in",
        "Loading model",
        "4,000 tokens sent, 1,500 of them evaluated (63% saved)",
        "answers mended in form: code fence 2, trailing comma 1",
    ] {
        assert!(text.contains(wanted), "{wanted:?} is not in\n{text}");
    }
}
