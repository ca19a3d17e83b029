//! The approval dialogue and cancellation, in a pseudo-terminal, as a person meets them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::pty::{CONTROL_C, ENTER, ESCAPE, Pty};
use crate::support::{GREETER, Place, plan, replace};

const QUESTION: &str = "? Apply? [y n a d A s e f w v u q ?]";

fn version(place: &Place) -> std::path::PathBuf {
    place.script(&[
        plan(&[("edit", "greeter/cli.py", "version", "return 2.0")]),
        replace("greeter/cli.py", "    return \"1.0\"", "    return \"2.0\""),
    ])
}

fn start(place: &Place, script: &std::path::Path, columns: u16) -> Pty {
    let mut command = place.command();
    command.args(["run", "--script", script.to_str().unwrap(), "return version 2.0"]);
    Pty::spawn(&command, columns, 30)
}

#[test]
fn a_hunk_is_shown_whole_and_applied_after_yes() {
    for columns in [80, 40] {
        let place = Place::new(GREETER);
        let mut terminal = start(&place, &version(&place), columns);
        terminal.expect("return \"1.0\"");
        terminal.expect("return \"2.0\"");
        terminal.expect(QUESTION);
        assert!(place.read("greeter/cli.py").contains("1.0"), "nothing before consent");
        terminal.send("y");
        terminal.expect("countersign undo");
        assert_eq!(terminal.exit_code(), 0);
        assert!(place.read("greeter/cli.py").contains("2.0"));
    }
}

#[test]
fn enter_alone_accepts_nothing_and_no_declines() {
    let place = Place::new(GREETER);
    let before = place.tree();
    let mut terminal = start(&place, &version(&place), 80);
    terminal.expect("return \"2.0\"");
    terminal.expect(QUESTION);
    terminal.send(ENTER);
    terminal.send(ENTER);
    terminal.send("x");
    terminal.expect("y applies, n does not");
    terminal.expect(QUESTION);
    assert_eq!(place.tree(), before);
    terminal.send("n");
    assert_eq!(terminal.exit_code(), 4);
    assert_eq!(place.tree(), before);
}

#[test]
fn keys_typed_ahead_sign_nothing() {
    let place = Place::new(GREETER);
    let before = place.tree();
    let script = place.script(&[
        json!({"role": "architect", "chunks": [{"delay_ms": 400}, plan(&[("edit", "greeter/cli.py", "version", "x")])["text"].as_str().unwrap()]}),
        replace("greeter/cli.py", "    return \"1.0\"", "    return \"2.0\""),
    ]);
    let mut terminal = start(&place, &script, 80);
    terminal.expect("architect");
    terminal.send("y\ry\ry\r");
    terminal.expect("return \"2.0\"");
    terminal.expect(QUESTION);
    terminal.send("q");
    assert_eq!(terminal.exit_code(), 4);
    assert_eq!(place.tree(), before);
}

#[test]
fn escape_and_control_c_cancel_at_once_and_leave_the_tree_whole() {
    for key in [ESCAPE, CONTROL_C] {
        let place = Place::new(GREETER);
        let before = place.tree();
        let script =
            place.script(&[json!({"role": "architect", "chunks": ["{", {"delay_ms": 60_000}, "}"]})]);
        let mut terminal = start(&place, &script, 80);
        terminal.expect("architect");
        terminal.send(key);
        let pressed = Instant::now();
        terminal.expect("cancelled");
        // 100 ms is the promise; the rest is what a busy machine may take, far less than the answer.
        assert!(pressed.elapsed() < Duration::from_secs(20), "{:?}", pressed.elapsed());
        assert_eq!(terminal.exit_code(), 130);
        assert_eq!(place.tree(), before);
    }
}

#[test]
fn control_c_in_the_question_cancels() {
    let place = Place::new(GREETER);
    let before = place.tree();
    let mut terminal = start(&place, &version(&place), 80);
    terminal.expect("return \"2.0\"");
    terminal.expect(QUESTION);
    terminal.send(CONTROL_C);
    assert_eq!(terminal.exit_code(), 130);
    assert_eq!(place.tree(), before);
}

#[test]
fn what_a_model_writes_cannot_move_the_cursor() {
    let place = Place::new(GREETER);
    let script = place.script(&[
        plan(&[("edit", "greeter/cli.py", "version", "\u{1b}[2J\u{202e}looks harmless")]),
        replace("greeter/cli.py", "    return \"1.0\"", "    return \"\u{1b}]0;owned\u{7}\u{200b}2.0\""),
    ]);
    let mut terminal = start(&place, &script, 80);
    terminal.expect("u{1b}]0;owned");
    terminal.expect(QUESTION);
    terminal.send("n");
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert_eq!(terminal.exit_code(), 4);
    for hostile in ["\u{1b}]0;owned", "\u{1b}[2J", "\u{202e}", "\u{200b}"] {
        assert!(!raw.contains(hostile), "{hostile:?} reached the terminal");
    }
}

#[test]
fn a_session_takes_requests_and_undoes_them() {
    let place = Place::new(GREETER);
    let script = version(&place);
    let before = place.tree();
    let mut command = place.command();
    command.args(["--script", script.to_str().unwrap()]);
    let mut terminal = Pty::spawn(&command, 80, 30);
    terminal.expect("/help");
    terminal.expect("countersign");
    terminal.send_line("return version 2.0");
    terminal.expect("return \"2.0\"");
    terminal.expect(QUESTION);
    terminal.send("y");
    terminal.expect("done: 1 hunk applied");
    terminal.expect("? countersign");
    terminal.send_line("/undo");
    terminal.expect("restored greeter/cli.py");
    assert_eq!(place.tree(), before);
    terminal.expect("? countersign");
    terminal.send_line("/context greeting");
    terminal.expect("LEDGER");
    terminal.expect("greeter/text.py");
    terminal.expect("? countersign");
    terminal.send_line("/quit");
    assert_eq!(terminal.exit_code(), 0);
}

/// Two hunks of one file that are near enough to be one.
fn two_places(place: &Place) -> std::path::PathBuf {
    place.script(&[
        plan(&[("edit", "greeter/cli.py", "", "new texts")]),
        json!({"role": "coder", "text": concat!(
            "greeter/cli.py\n<<<<<<< SEARCH\n    return parser().format_usage()\n=======\n    return parser().format_help()\n>>>>>>> REPLACE\n",
            "greeter/cli.py\n<<<<<<< SEARCH\n    return \"1.0\"\n=======\n    return \"2.0\"\n>>>>>>> REPLACE\n"
        )}),
    ])
}

#[test]
fn a_hunk_is_split_an_answer_is_taken_back_and_the_rest_waits_for_a_review() {
    for columns in [80, 40] {
        let place = Place::new(GREETER);
        let script = two_places(&place);
        let mut command = place.command();
        command.args(["run", "--script", script.to_str().unwrap(), "return version 2.0"]);
        let mut terminal = Pty::spawn(&command, columns, 100);
        terminal.expect("hunk 1 of 1");
        terminal.expect(QUESTION);
        terminal.send("s");
        terminal.expect("hunk 1 of 2");
        terminal.expect(QUESTION);
        terminal.send("n");
        terminal.expect("hunk 2 of 2");
        terminal.expect(QUESTION);
        terminal.send("u");
        terminal.expect("hunk 1 of 2");
        terminal.expect(QUESTION);
        terminal.send("y");
        terminal.expect("hunk 2 of 2");
        terminal.expect(QUESTION);
        terminal.send("v");
        terminal.expect("whole file greeter/cli.py");
        terminal.expect(QUESTION);
        terminal.send("q");
        terminal.expect("countersign review 000001");
        assert_eq!(terminal.exit_code(), 4);
        let text = place.read("greeter/cli.py");
        assert!(text.contains("format_help") && text.contains("\"1.0\""), "{text}");

        let mut command = place.command();
        command.arg("review");
        let mut review = Pty::spawn(&command, columns, 30);
        review.expect("return \"2.0\"");
        review.expect(QUESTION);
        review.send("y");
        review.expect("done: 1 hunk applied");
        assert_eq!(review.exit_code(), 0);
        assert!(place.read("greeter/cli.py").contains("\"2.0\""));
        place.run(&["review"]).succeeds().stdout.contains("no patch waits").then_some(()).unwrap();
    }
}

#[test]
fn a_hunk_is_changed_in_the_owners_editor() {
    let place = Place::new(GREETER);
    let script = version(&place);
    let mut command = place.command();
    command.env("EDITOR", "sed -i s/2.0/3.0/");
    command.args(["run", "--script", script.to_str().unwrap(), "return version 2.0"]);
    let mut terminal = Pty::spawn(&command, 80, 30);
    terminal.expect(QUESTION);
    terminal.send("e");
    terminal.expect("edited by you");
    terminal.expect("return \"3.0\"");
    terminal.expect(QUESTION);
    terminal.send("y");
    assert_eq!(terminal.exit_code(), 0);
    assert!(place.read("greeter/cli.py").contains("\"3.0\""));
}

#[test]
fn feedback_sends_a_hunk_back_to_the_coder() {
    let place = Place::new(GREETER);
    let mut again = replace("greeter/cli.py", "    return \"1.0\"", "    return \"4.0\"");
    again["expect"] = json!(["declined by the person", "make it four"]);
    let script = place.script(&[
        plan(&[("edit", "greeter/cli.py", "version", "return 2.0")]),
        replace("greeter/cli.py", "    return \"1.0\"", "    return \"2.0\""),
        again,
    ]);
    let mut terminal = start(&place, &script, 80);
    terminal.expect(QUESTION);
    terminal.send("f");
    terminal.expect("What should be different?");
    terminal.send_line("make it four");
    terminal.expect("back to the coder");
    terminal.expect("return \"4.0\"");
    terminal.expect(QUESTION);
    terminal.send("y");
    assert_eq!(terminal.exit_code(), 0);
    assert!(place.read("greeter/cli.py").contains("\"4.0\""));
}

#[test]
fn a_long_diff_pages() {
    let place = Place::new(GREETER);
    let long: String = (0..80).map(|n| format!("line_{n} = {n}\n")).collect();
    let script = place.script(&[
        plan(&[("create", "greeter/long.py", "", "many lines")]),
        json!({"role": "coder", "text": format!("greeter/long.py\n```\n{long}```\n")}),
    ]);
    let mut terminal = start(&place, &script, 80);
    let first = terminal.expect("more lines [space");
    assert!(!first.contains("line_79"), "{first}");
    for _ in 0..2 {
        terminal.send(" ");
        terminal.expect("more lines [space");
    }
    terminal.send(" ");
    terminal.expect("line_79 = 79");
    terminal.expect(QUESTION);
    assert!(!place.exists("greeter/long.py"));
    terminal.send("y");
    assert_eq!(terminal.exit_code(), 0);
    assert_eq!(place.read("greeter/long.py"), long);
}
