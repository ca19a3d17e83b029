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

/// The check tells all of a failure, and judges several answers at once.
#[test]
fn a_told_failure_that_a_check_shows_is_repaired_by_it() {
    let told = "mend version\nFAIL: test_version (tests.Test.test_version)\nAssertionError: '1.0' != '2.0'";
    let place = |fails: &str| {
        let check = format!("grep -q 2.0 greeter/cli.py || {{ echo '{fails}'; exit 1; }}");
        Place::new(&[GREETER, &[("check.sh", check.as_str())]].concat())
    };
    let same = place("FAIL: test_version (tests.Test.test_version)");
    let script = [writes(2), planned(), answers("1.0", &["1.0", "2.0"])];
    let run = same.run_json(&script, &["--check", "sh check.sh", told], accept_all).exits(0);
    assert_eq!(calls(&run), [2], "the Coder is asked once, for two answers");
    let checks = run.events.iter().filter(|event| matches!(event, Event::CheckFinished { .. }));
    assert!(checks.count() >= 2, "of the tree as it is, and of the answer");
    assert!(same.read("greeter/cli.py").contains("\"2.0\""));

    // Who only says so means whatever fails.
    let said = place("FAIL: test_version (tests.Test.test_version)");
    let script = [writes(2), planned(), answers("1.0", &["1.0", "2.0"])];
    let asked = ["--check", "sh check.sh", "Two tests fail, mend version."];
    let run = said.run_json(&script, &asked, accept_all).exits(0);
    assert!(run.events.iter().any(|event| matches!(event, Event::RepairStarted { .. })));

    // Another failure is not what was asked about.
    let other = place("FAIL: test_other (tests.Test.test_other)");
    let script = [writes(2), planned(), from_to("1.0", "2.0")];
    let run = other.run_json(&script, &["--check", "sh check.sh", told], accept_all).exits(0);
    assert!(!run.events.iter().any(|event| matches!(event, Event::RepairStarted { .. })));
    assert!(other.read("greeter/cli.py").contains("\"2.0\""));
}

/// A model that sees a wrong answer gives it again, so it sees what has to hold in its place.
#[test]
fn what_fails_in_the_tree_is_written_anew_twice_and_then_corrected() {
    let told = "mend it\nFAIL: test_version (tests.Test.test_version)\n\nKeep describe as it is.";
    let check = "grep -q 2.0 greeter/cli.py && exit 0\ncat <<'END'\nFAIL: test_version (tests.Test.test_version)\nTraceback (most recent call last):\n  File \"tests.py\", line 3, in test_version\n    self.assertEqual(version(), \"2.0\")\nAssertionError: '1.0' != '2.0'\nEND\nexit 1\n";
    let place = Place::new(&[GREETER, &[("check.sh", check)]].concat());
    let whole = |version: &str| {
        let text = place.read("greeter/cli.py").replace("\"1.0\"", &format!("\"{version}\""));
        json!({"role": "coder", "text": format!("greeter/cli.py\n```\n{text}```\n")})
    };
    let mut anew = whole("1.5");
    anew["expect"] = json!([
        "mend it\n\nKeep describe as it is.\n\nThese must hold",
        "- `version()` must give '2.0'\n",
        "def version():\n    pass\n",
        "return usage() + version()",
    ]);
    let mut again = whole("1.6");
    again["expect"] = json!("def version():\n    pass\n");
    let mut corrected = from_to("1.0", "2.0");
    corrected["expect"] =
        json!(["- `version()` gave '1.0', but it must give '2.0'\n", "    return \"1.0\"\n"]);
    let script = [planned(), anew, again, corrected];
    place.run_json(&script, &["--check", "sh check.sh", told], accept_all).exits(0);
    assert!(place.read("greeter/cli.py").contains("\"2.0\""));
}

/// Each line of an answer is waited for, and most of such a file would be written only to be as it was.
#[test]
fn one_function_of_a_longer_file_is_written_anew_alone() {
    let told = "mend it\nFAIL: test_version (tests.Test.test_version)\n";
    let check = "grep -q 2.0 version.py && exit 0\ncat <<'END'\nFAIL: test_version (tests.Test.test_version)\nTraceback (most recent call last):\n  File \"tests.py\", line 3, in test_version\n    self.assertEqual(version(), \"2.0\")\nAssertionError: '1.0' != '2.0'\nEND\nexit 1\n";
    let notes: String = (0..30).map(|n| format!("# Note {n}.\n")).collect();
    let file = format!("{notes}\ndef version():\n    return \"1.0\"\n");
    let place = Place::new(&[("check.sh", check), ("version.py", &file)]);
    let anew = json!({
        "role": "coder",
        "expect": ["- `version()` must give '2.0'\n", "# Note 29.\n\ndef version():\n    pass\n", "Write all of `version` anew."],
        "text": "```\ndef version():\n    return \"2.0\"\n```\n",
    });
    let script = [plan(&[("edit", "version.py", "", "mend it")]), anew];
    place.run_json(&script, &["--check", "sh check.sh", told], accept_all).exits(0);
    assert_eq!(place.read("version.py"), file.replace("1.0", "2.0"));
}

/// A test that does not compile says by its text alone what it asks for.
#[test]
fn what_does_not_compile_is_written_anew_by_what_its_tests_state() {
    let told = "mend it, the build fails\nwarning: unused variable: `x`\n --> src/lib.rs:2:9\n";
    let check = "grep -q 'of . 2' src/lib.rs && exit 0\ncat <<'END'\nwarning: unused variable: `x`\n --> src/lib.rs:2:9\n\nerror[E0308]: mismatched types\n --> src/lib.rs:3:5\n\nerror: could not compile `a` (lib) due to 1 previous error\nEND\nexit 101\n";
    let lib = "pub fn double(of: i32) -> i32 {\n    let x = of;\n    \"\"\n}\n";
    let tests = "use a::double;\n\n#[test]\nfn doubles() {\n    let expected = 6;\n    assert_eq!(double(3), expected);\n}\n";
    let place = Place::new(&[("check.sh", check), ("src/lib.rs", lib), ("tests/double.rs", tests)]);
    let anew = json!({
        "role": "coder",
        "expect": ["mend it, the build fails\n", "- doubles: `double(3)` must give 6\n", "    todo!()\n}\n"],
        "text": "src/lib.rs\n```\npub fn double(of: i32) -> i32 {\n    of * 2\n}\n```\n",
    });
    let script = [plan(&[("edit", "src/lib.rs", "double", "mend it")]), anew];
    place.run_json(&script, &["--check", "sh check.sh", told], accept_all).exits(0);
    assert!(place.read("src/lib.rs").contains("of * 2"));
}

/// To run again what does not end would cost its whole time, and its text says what it asks for.
#[test]
fn what_does_not_end_is_written_anew_without_being_run_again() {
    let told = "mend it\n     Running tests/double.rs (target/debug/deps/double-1)\n\nrunning 1 test\ntest doubles has been running for over 60 seconds\n[the check was ended: it ran longer than 180 seconds]\n";
    let check = "grep -q 'of . 2' src/lib.rs && exit 0\necho 'test doubles ... FAILED'\nexit 101\n";
    let lib = "pub fn double(of: i32) -> i32 {\n    let mut x = of;\n    loop {\n        x += 1;\n    }\n}\n";
    let tests = "use a::double;\n\n#[test]\nfn doubles() {\n    assert_eq!(double(3), 6);\n}\n";
    let place = Place::new(&[("check.sh", check), ("src/lib.rs", lib), ("tests/double.rs", tests)]);
    let anew = json!({
        "role": "coder",
        "expect": ["- doubles: `double(3)` must give 6\n", "    todo!()\n}\n"],
        "text": "src/lib.rs\n```\npub fn double(of: i32) -> i32 {\n    of * 2\n}\n```\n",
    });
    let planned = plan(&[("edit", "src/lib.rs", "double", "mend it")]);
    let script = [planned.clone(), anew];
    let run = place.run_json(&script, &["--check", "sh check.sh", told], accept_all).exits(0);
    let checks = run.events.iter().filter(|event| matches!(event, Event::CheckFinished { .. })).count();
    assert_eq!(checks, 2, "of the answer, before and after");
    assert!(place.read("src/lib.rs").contains("of * 2"));

    // Where nothing could judge the answers, it is a step like any other.
    let plain = Place::new(&[("src/lib.rs", lib), ("tests/double.rs", tests)]);
    let edit = replace("src/lib.rs", "        x += 1;", "        return x * 2;");
    let run = plain.run_json(&[planned, edit], &[told], accept_all).exits(0);
    assert!(!run.events.iter().any(|event| matches!(event, Event::RepairStarted { .. })));
}

/// A repair that helps is more than nothing.
#[test]
fn where_no_repair_passes_the_nearest_is_offered() {
    let told = "mend version\nFAIL: test_version (tests.Test.test_version)";
    let check = "grep -q 2.0 greeter/cli.py && exit 0\ngrep -q 1.5 greeter/cli.py && n=1 || n=2\necho 'FAIL: test_version (tests.Test.test_version)'\necho 'Ran 2 tests in 0.1s'\necho\necho \"FAILED (failures=$n)\"\nexit 1\n";
    let place = Place::new(&[GREETER, &[("check.sh", check)]].concat());
    let script = [writes(2), planned(), answers("1.0", &["1.5", "1.6"]), answers("1.5", &["1.7", "1.8"])];
    let arguments = ["--check", "sh check.sh", "--repairs", "1", told];
    let run = place.run_json(&script, &arguments, |_| vec![Op::Cancel]).exits(130);
    let said = |text: &str| {
        run.events.iter().any(|event| matches!(event, Event::Warning { text: said } if said.contains(text)))
    };
    assert!(said("no repair passed the check; the nearest one is offered"), "{:#?}", run.events);
    let is_offered = |event: &Event| match event {
        Event::ApprovalNeeded(approval) => Some(format!("{approval:?}").contains("1.5")),
        _ => None,
    };
    assert!(run.find(is_offered));
}
