//! Several answers to one request: repairs and candidates that a server writes side by side.

use countersign::protocol::{Event, Op};
use serde_json::{Value, json};

use crate::gate::{IS_TWO, planned};
use crate::support::{Conversation, GREETER, Place, accept_all, plan, replace};

/// A model that writes so many answers at once.
fn writes(draws: u32) -> Value {
    json!({"model": "m", "draws": draws})
}

fn from_to(from: &str, to: &str) -> Value {
    replace("greeter/cli.py", &format!("    return \"{from}\""), &format!("    return \"{to}\""))
}

/// One answer and others to the same request.
fn answers(from: &str, to: &[&str]) -> Value {
    let mut first = from_to(from, to[0]);
    let texts = to[1..].iter().map(|to| from_to(from, to)["text"].clone());
    first["further"] = texts.collect();
    first
}

fn calls(run: &Conversation) -> Vec<u32> {
    let draws = run.events.iter().filter_map(|event| match event {
        Event::CallStarted { role, draws, .. } if role == "coder" => Some(*draws),
        _ => None,
    });
    draws.collect()
}

#[test]
fn the_first_repair_that_passes_is_taken_of_those_that_came_together() {
    let place = Place::new(GREETER);
    // One that has no place in the file, one that was refused before, one that passes, one too many.
    let mut repairs = answers("1.5", &["1.6", "1.5", "2.0", "2.0.1"]);
    repairs["further"][0] = json!("greeter/cli.py\n<<<<<<< SEARCH\nnowhere\n=======\nx\n>>>>>>> REPLACE\n");
    let script = [writes(8), planned(), from_to("1.0", "1.5"), repairs];
    let run = place.run_json(&script, &["--check", IS_TWO, "x"], accept_all).exits(0);
    assert_eq!(calls(&run), [1, 4], "no more at once than are of use");
    let checks = run.events.iter().filter(|event| matches!(event, Event::CheckFinished { .. })).count();
    assert_eq!(checks, 4, "the proposal, two repairs, and the tree");
    assert!(place.read("greeter/cli.py").contains("\"2.0\""));
}

#[test]
fn a_repair_that_gains_is_gone_on_from_and_one_that_does_not_is_forgotten() {
    let place = Place::new(GREETER);
    let near = answers("1.5", &["1.6", "1.8", "1.7"]);
    let mut onward = answers("1.8", &["1.3", "1.8 b", "1.2"]);
    onward["expect"] = json!(["return \"1.8\""]);
    let mut afresh = answers("1.0", &["1.3", "2.0"]);
    afresh["expect"] = json!(["return \"1.0\""]);
    let check = format!(
        "sh -c '{IS_TWO} && exit 0; grep -q 1.8 greeter/cli.py && echo \"test result: FAILED. 1 passed; 1 failed\"; exit 1'"
    );
    let script = [writes(3), planned(), from_to("1.0", "1.5"), near, onward, afresh];
    let run = place.run_json(&script, &["--check", &check, "--repairs", "2", "x"], accept_all).exits(0);
    assert_eq!(calls(&run), [1, 3, 3, 3]);
    assert!(place.read("greeter/cli.py").contains("\"2.0\""));
}

#[test]
fn another_answer_serves_where_the_first_cannot_be_used() {
    let place = Place::new(GREETER);
    let mut repair = answers("9.9", &["2.0", "x"]);
    repair["further"] = json!([from_to("1.5", "2.0")["text"]]);
    let script = [writes(2), planned(), from_to("1.0", "1.5"), repair];
    let run = place.run_json(&script, &["--check", IS_TWO, "x"], accept_all).exits(0);
    assert!(!run.events.iter().any(|event| matches!(event, Event::EditRefused { .. })));
    assert!(place.read("greeter/cli.py").contains("\"2.0\""));
}

#[test]
fn candidates_after_the_first_are_drawn_together() {
    let place = Place::new(GREETER);
    let script = [writes(3), planned(), from_to("1.0", "1.5"), answers("1.0", &["1.6", "2.0", "1.7"])];
    let run = place.run_json(&script, &["--check", IS_TWO, "--candidates", "4", "x"], accept_all).exits(0);
    assert_eq!(calls(&run), [1, 3]);
    let chosen = run.find(|event| match event {
        Event::CandidatesCompared { candidates } => {
            candidates.iter().find(|one| one.chosen).map(|one| one.number)
        }
        _ => None,
    });
    assert_eq!(chosen, 3);
    assert!(place.read("greeter/cli.py").contains("\"2.0\""));
}

/// What one step changed the next one may need: several ways to do two steps would be no plan any more.
#[test]
fn several_steps_are_done_again_one_by_one() {
    let place = Place::new(GREETER);
    let plan = plan(&[
        ("edit", "greeter/cli.py", "version", "return 2.0"),
        ("edit", "greeter/cli.py", "version", "return 2.0 indeed"),
    ]);
    let script = [
        writes(3),
        plan,
        from_to("1.0", "1.4"),
        from_to("1.4", "1.5"),
        from_to("1.5", "1.6"),
        from_to("1.6", "2.0"),
    ];
    let run = place.run_json(&script, &["--check", IS_TWO, "x"], accept_all).exits(0);
    assert_eq!(calls(&run), [1, 1, 1, 1]);
    assert!(place.read("greeter/cli.py").contains("\"2.0\""));
}

#[test]
fn a_model_that_writes_one_answer_is_asked_for_one() {
    let place = Place::new(GREETER);
    let script = [planned(), from_to("1.0", "1.5"), from_to("1.5", "1.6")];
    let run =
        place.run_json(&script, &["--check", IS_TWO, "--repairs", "1", "x"], |_| vec![Op::Cancel]).exits(130);
    assert_eq!(calls(&run), [1, 1]);
}

/// A model that is sure of its mistake gives the same lines again, whatever is pasted.
#[test]
fn where_a_told_failure_moves_nothing_the_check_itself_is_asked() {
    let place = Place::new(GREETER);
    let told = "mend version\nFAIL: test_version (tests.Test.test_version)\nAssertionError: '1.0' != '2.0'";
    let same = from_to("1.0", "1.0");
    // One answer, then as many as can be written side by side, since the first changed nothing.
    let script = [writes(2), planned(), same.clone(), same.clone(), answers("1.0", &["1.5", "2.0"])];
    let run = place.run_json(&script, &["--check", IS_TWO, told], accept_all).exits(0);
    let checks = run.events.iter().filter(|event| matches!(event, Event::CheckFinished { .. }));
    assert!(checks.count() >= 3, "the tree, and both answers");
    assert!(run.events.iter().any(|event| matches!(event, Event::RepairStarted { attempt: 1, .. })));
    assert!(place.read("greeter/cli.py").contains("\"2.0\""));

    // Nothing is judged by a check that passes on the tree as it is.
    let place = Place::new(GREETER);
    let script = [writes(2), planned(), same.clone(), same];
    place.run_json(&script, &["--check", "grep -q 1.0 greeter/cli.py", told], accept_all).exits(5);
    assert!(place.read("greeter/cli.py").contains("\"1.0\""));
}
