//! A check that nobody approved yet, and the question about it: in a pseudo-terminal, over JSON, and
//! where nobody can be asked.

use countersign::protocol::{CheckAnswer, CheckQuestion, Event, Op};
use serde_json::json;

use crate::support::pty::{ENTER, Pty};
use crate::support::{Conversation, GREETER, Place, accept_all, converse_with, plan, replace};

const CHECK: &str = "? Approve this check? [y n q ?]";
const HUNK: &str = "? Apply? [y n a d A s e f w v u q ?]";

/// The greeter with one declared check, which passes.
fn place() -> Place {
    let place = Place::new(GREETER);
    place.write("countersign.toml", "[[checks]]\nrun = \"true\"\n");
    place
}

fn version_2() -> [serde_json::Value; 2] {
    [
        plan(&[("edit", "greeter/cli.py", "version", "return 2.0")]),
        replace("greeter/cli.py", "    return \"1.0\"", "    return \"2.0\""),
    ]
}

fn start(place: &Place, columns: u16) -> Pty {
    let mut command = place.command();
    let script = place.script(&version_2());
    command.args(["run", "--script", script.to_str().unwrap(), "return version 2.0"]);
    Pty::spawn(&command, columns, 40)
}

/// Whether each check that is here is approved.
fn approved(place: &Place) -> Vec<bool> {
    let listed = place.run(&["checks", "--json"]).succeeds().stdout;
    let report: serde_json::Value = serde_json::from_str(&listed).unwrap();
    report["checks"].as_array().unwrap().iter().map(|row| row["approved"] == json!(true)).collect()
}

#[test]
fn a_check_is_approved_in_the_dialogue_once_and_again_when_it_changes() {
    for columns in [80, 40] {
        let place = place();
        let mut terminal = start(&place, columns);
        let shown = terminal.expect(CHECK);
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["Check 1 of 1", "runs true", "the root of the repository", "countersign.toml", "sandbox"]
        {
            assert!(words.contains(part), "{part}: {shown}");
        }
        assert_eq!(approved(&place), [false]);
        terminal.send("?");
        terminal.expect("neither this one");
        terminal.expect(CHECK);
        terminal.send("y");
        terminal.expect("1 approved");
        terminal.expect(HUNK);
        terminal.send("n");
        assert_eq!(terminal.exit_code(), 4);
        assert_eq!(approved(&place), [true]);

        let mut terminal = start(&place, columns);
        let shown = terminal.expect(HUNK);
        assert!(!shown.contains(CHECK), "it was approved: {shown}");
        terminal.send("n");
        assert_eq!(terminal.exit_code(), 4);

        place.write("countersign.toml", "[[checks]]\nrun = \"true\"\ntimeout = 5\n");
        let mut terminal = start(&place, columns);
        terminal.expect("5 seconds");
        terminal.expect(CHECK);
        terminal.send("n");
        terminal.expect("0 approved");
        terminal.expect(HUNK);
        terminal.send("n");
        assert_eq!(terminal.exit_code(), 4);
        assert_eq!(approved(&place), [false]);
    }
}

#[test]
fn enter_and_keys_typed_ahead_approve_nothing() {
    let place = place();
    let before = place.tree();
    let [first, second] = version_2();
    let slow = json!({"role": "architect", "chunks": [{"delay_ms": 400}, first["text"].as_str().unwrap()]});
    let script = place.script(&[slow, second]);
    let mut command = place.command();
    command.args(["run", "--script", script.to_str().unwrap(), "return version 2.0"]);
    let mut terminal = Pty::spawn(&command, 80, 40);
    terminal.expect("architect");
    terminal.send("y\ry\ry\r");
    terminal.expect(CHECK);
    terminal.send(ENTER);
    terminal.send("A");
    terminal.expect("y approves it, n does not");
    terminal.expect(CHECK);
    assert_eq!(approved(&place), [false]);
    terminal.send("q");
    terminal.expect("0 approved");
    terminal.expect(HUNK);
    terminal.send("n");
    assert_eq!(terminal.exit_code(), 4);
    assert_eq!(approved(&place), [false]);
    assert_eq!(place.tree(), before);
}

#[test]
fn what_a_repository_declares_cannot_move_the_cursor_or_answer() {
    let place = place();
    place.write(
        "countersign.toml",
        "approved = true\n[[checks]]\nrun = \"true '\\u001B[2J\\u001B]0;owned\\u0007\\u202E y'\"\n",
    );
    let mut terminal = start(&place, 80);
    let shown = terminal.expect(CHECK);
    assert!(shown.contains("u{1b}[2J") && shown.contains("u{202e}"), "{shown}");
    assert_eq!(approved(&place), [false]);
    terminal.send("n");
    terminal.expect(HUNK);
    terminal.send("n");
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert_eq!(terminal.exit_code(), 4);
    for hostile in ["\u{1b}]0;owned", "\u{1b}[2J", "\u{202e}"] {
        assert!(!raw.contains(hostile), "{hostile:?} reached the terminal");
    }
}

#[test]
fn what_changes_while_its_question_is_open_is_asked_again() {
    let place = Place::new(GREETER);
    place.write("Makefile", "test:\n\ttrue\n");
    let mut terminal = start(&place, 80);
    terminal.expect(CHECK);
    place.write("Makefile", "test:\n\ttouch swapped\n");
    terminal.send("y");
    terminal.expect("touch swapped");
    terminal.expect(CHECK);
    assert_eq!(approved(&place), [false]);
    terminal.send("n");
    terminal.expect(HUNK);
    terminal.send("n");
    assert_eq!(terminal.exit_code(), 4);
    assert_eq!(approved(&place), [false]);
    assert!(!place.exists("swapped"));
}

#[test]
fn a_session_asks_once() {
    let place = place();
    let again = |from: &str, to: &str| {
        replace("greeter/cli.py", &format!("    return \"{from}\""), &format!("    return \"{to}\""))
    };
    let step = || plan(&[("edit", "greeter/cli.py", "version", "another version")]);
    let script = place.script(&[step(), again("1.0", "2.0"), step(), again("1.0", "3.0")]);
    let mut command = place.command();
    command.args(["--script", script.to_str().unwrap()]);
    let mut terminal = Pty::spawn(&command, 80, 40);
    terminal.expect("/help");
    terminal.expect("countersign");
    terminal.send_line("return version 2.0");
    terminal.expect(CHECK);
    terminal.send("n");
    terminal.expect(HUNK);
    terminal.send("n");
    terminal.expect("declined");
    terminal.expect("countersign");
    terminal.send_line("return version 3.0");
    let shown = terminal.expect(HUNK);
    assert!(!shown.contains(CHECK), "{shown}");
    terminal.send("n");
    terminal.expect("declined");
    terminal.expect("countersign");
    terminal.send_line("/quit");
    assert_eq!(terminal.exit_code(), 0);
    assert_eq!(approved(&place), [false]);
}

fn over_json(place: &Place, flags: &[&str], answer: impl FnMut(&Event) -> Vec<Op>) -> Conversation {
    let mut command = place.json(&version_2());
    command.args(flags).arg("return version 2.0");
    converse_with(command, answer)
}

fn answer(question: &CheckQuestion, approve: &[&str]) -> CheckAnswer {
    CheckAnswer {
        question: question.id,
        digest: question.digest.clone(),
        approve: approve.iter().map(|hash| (*hash).to_owned()).collect(),
    }
}

#[test]
fn a_program_answers_for_exactly_what_it_was_asked() {
    let place = place();
    let run = over_json(&place, &["--ask-about-checks"], |event| match event {
        Event::ChecksUnapproved(question) => {
            assert_eq!(question.checks[0].argv, ["true"]);
            let hash = question.checks[0].hash.as_str();
            let wrong = [
                CheckAnswer { digest: "another".into(), ..answer(question, &[hash]) },
                CheckAnswer { question: question.id + 1, ..answer(question, &[hash]) },
                answer(question, &[hash, "0123"]),
            ];
            wrong.into_iter().chain([answer(question, &[hash])]).map(Op::ApproveChecks).collect()
        }
        Event::ApprovalNeeded(approval) => accept_all(approval),
        _ => Vec::new(),
    });
    let run = run.exits(0);
    let refused = |event: &&Event| matches!(event, Event::Refused { .. });
    assert_eq!(run.events.iter().filter(refused).count(), 3, "{:#?}", run.events);
    let started = |event: &&Event| matches!(event, Event::CheckStarted { .. });
    assert_eq!(run.events.iter().filter(started).count(), 2, "on a copy and in the tree");
    assert_eq!(approved(&place), [true]);
}

#[test]
fn nobody_is_asked_who_cannot_answer() {
    let place = place();
    // A program that does not know the question does not get it.
    let answers = |event: &Event| match event {
        Event::ApprovalNeeded(approval) => accept_all(approval),
        _ => Vec::new(),
    };
    let run = over_json(&place, &[], answers).exits(0);
    let asked =
        |run: &Conversation| run.events.iter().any(|event| matches!(event, Event::ChecksUnapproved(_)));
    assert!(!asked(&run), "{:#?}", run.events);
    let told =
        |event: &&Event| matches!(event, Event::Warning { text } if text.contains("not approved it: `true`"));
    assert_eq!(run.events.iter().filter(told).count(), 1, "{:#?}", run.events);
    place.run(&["undo"]).succeeds();

    // Without a terminal nothing is asked, and the run ends by itself.
    let script = place.script(&version_2());
    let headless = place.run(&["run", "--script", script.to_str().unwrap(), "return version 2.0"]);
    let headless = headless.fails(4, "not approved it: `true`");
    assert!(!headless.stderr.contains("Approve this check"), "{}", headless.stderr);

    // A program that asks for the question and has gone approves nothing.
    let script = place.script(&version_2());
    let flags =
        ["run", "--json", "--ask-about-checks", "--script", script.to_str().unwrap(), "return version 2.0"];
    let gone = place.run(&flags);
    assert_eq!(gone.code, 4, "{gone:#?}");
    assert!(
        gone.stdout.contains("checks_unapproved") && gone.stdout.contains("checks_answered"),
        "{gone:#?}"
    );
    assert_eq!(approved(&place), [false]);
}
