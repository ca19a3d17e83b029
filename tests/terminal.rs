//! The approval dialogue and cancellation, in a pseudo-terminal, as a person meets them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::pty::{CONTROL_C, ENTER, ESCAPE, Pty};
use crate::support::{GREETER, Place, plan, replace};

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
        terminal.expect("? Apply? [y n a d A w q ?]");
        assert!(place.read("greeter/cli.py").contains("1.0"), "nothing before consent");
        terminal.send_line("y");
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
    terminal.expect("? Apply? [y n a d A w q ?]");
    terminal.send(ENTER);
    terminal.expect("? Apply? [y n a d A w q ?]");
    assert_eq!(place.tree(), before);
    terminal.send_line("n");
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
    terminal.expect("? Apply? [y n a d A w q ?]");
    terminal.send_line("q");
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
        // 100 ms is the promise; the rest is what a busy machine and its terminal may take.
        assert!(pressed.elapsed() < Duration::from_millis(1000), "{:?}", pressed.elapsed());
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
    terminal.expect("? Apply? [y n a d A w q ?]");
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
    terminal.expect("? Apply? [y n a d A w q ?]");
    terminal.send_line("n");
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
    terminal.expect("? Apply? [y n a d A w q ?]");
    terminal.send_line("y");
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
