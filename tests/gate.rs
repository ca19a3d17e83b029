//! What stands between a proposal and the disk: repair, candidates, feedback, revisions, patches that
//! wait, and what follows a check that fails on what was applied.

use countersign::protocol::{
    AfterFailure, Approval, Choice, Decision, Event, Feedback, HunkChange, Op, Outcome, Revision,
};
use serde_json::{Value, json};

use crate::support::{GREETER, Place, accept_all, converse, converse_with, ids, plan, replace};

pub fn planned() -> Value {
    plan(&[("edit", "greeter/cli.py", "version", "return 2.0")])
}

/// The Coder's answer that makes it this version.
fn to(version: &str) -> Value {
    replace("greeter/cli.py", "    return \"1.0\"", &format!("    return \"{version}\""))
}

/// A check that passes when the version is 2.0.
pub const IS_TWO: &str = "grep -q 2.0 greeter/cli.py";

fn outcome(conversation: &crate::support::Conversation) -> Outcome {
    conversation.find(|event| match event {
        Event::TurnFinished { outcome, .. } => Some(outcome.clone()),
        _ => None,
    })
}

#[test]
fn a_failed_check_goes_to_the_coder_before_the_owner_is_asked() {
    let place = Place::new(GREETER);
    let mut repair = replace("greeter/cli.py", "    return \"1.5\"", "    return \"2.0\"");
    repair["expect"] = json!(["return \"1.5\"", "a check failed", "no two here"]);
    let check = format!("sh -c \"{IS_TWO} || {{ echo no two here; exit 1; }}\"");
    let run = place.run_json(&[planned(), to("1.5"), repair], &["--check", &check, "x"], accept_all).exits(0);
    run.find(|event| matches!(event, Event::RepairStarted { attempt: 1, of: 3 }).then_some(()));
    let approval = run.find(|event| match event {
        Event::ApprovalNeeded(approval) => Some(approval.clone()),
        _ => None,
    });
    assert!(approval.checks.iter().all(|check| check.passed));
    assert!(place.read("greeter/cli.py").contains("\"2.0\""));
}

#[test]
fn a_repair_that_does_not_help_is_not_offered() {
    let place = Place::new(GREETER);
    let worse = replace("greeter/cli.py", "    return \"1.5\"", "    return \"1.6\"");
    let check = ["--check", IS_TWO, "--repairs", "1", "x"];
    let run = place.run_json(&[planned(), to("1.5"), worse], &check, |approval| {
        assert!(!approval.checks[0].passed);
        assert!(approval.files[0].hunks[0].lines.contains(&"+    return \"1.5\"".to_owned()));
        vec![Op::Cancel]
    });
    run.exits(130);
    let unrepaired =
        place.run_json(&[planned(), to("1.5")], &["--check", IS_TWO, "--repairs", "0", "x"], |_| {
            vec![Op::Cancel]
        });
    assert!(!unrepaired.events.iter().any(|event| matches!(event, Event::RepairStarted { .. })));
}

#[test]
fn every_second_repair_begins_again_without_what_failed() {
    let place = Place::new(GREETER);
    let mut afresh = to("2.0");
    afresh["expect"] = json!(["return \"1.0\""]);
    let answers =
        [planned(), to("1.5"), replace("greeter/cli.py", "    return \"1.5\"", "    return \"1.6\""), afresh];
    let run = place.run_json(&answers, &["--check", IS_TWO, "x"], accept_all).exits(0);
    run.find(|event| matches!(event, Event::RepairStarted { attempt: 2, of: 3 }).then_some(()));
    assert!(!run.events.iter().any(|event| matches!(event, Event::RepairStarted { attempt: 3, .. })));
    assert!(place.read("greeter/cli.py").contains("\"2.0\""));
}

#[test]
fn the_best_of_several_candidates_is_offered_with_the_table() {
    let place = Place::new(GREETER);
    let answers = [planned(), to("1.5"), to("2.0 of many words"), to("2.0"), to("1.5")];
    let run = place.run_json(&answers, &["--check", IS_TWO, "--candidates", "4", "x"], accept_all).exits(0);
    let candidates = run.find(|event| match event {
        Event::CandidatesCompared { candidates } => Some(candidates.clone()),
        _ => None,
    });
    let rows: Vec<_> =
        candidates.iter().map(|one| (one.number, one.passed, one.same_as, one.chosen)).collect();
    assert_eq!(
        rows,
        [
            (1, Some(false), None, false),
            (2, Some(true), None, true),
            (3, Some(true), None, false),
            (4, Some(false), Some(1), false)
        ]
    );
    let checks = run.events.iter().filter(|event| matches!(event, Event::CheckFinished { .. })).count();
    assert_eq!(checks, 4, "three different candidates on a copy, and the chosen one in the tree");
    assert!(place.read("greeter/cli.py").contains("2.0 of many words"));
}

fn decision(approval: &Approval) -> Decision {
    Decision { approval: approval.id, digest: approval.digest.clone(), ..Decision::default() }
}

#[test]
fn feedback_is_answered_by_a_new_patch_over_what_was_not_declined() {
    let place = Place::new(GREETER);
    let mut again = to("4.0");
    again["expect"] = json!(["make it four", "return \"1.0\""]);
    let mut asked = 0;
    let run = place.run_json(&[planned(), to("2.0"), again], &["x"], |approval| {
        asked += 1;
        let feedback = Feedback { hunks: ids(approval), text: "make it four".into() };
        match asked {
            1 => vec![Op::Decide(Decision { feedback: vec![feedback], ..decision(approval) })],
            _ => accept_all(approval),
        }
    });
    run.exits(0);
    assert!(place.read("greeter/cli.py").contains("\"4.0\""));
}

#[test]
fn what_the_owner_edits_is_gated_like_everything_else() {
    let place = Place::new(GREETER);
    let mut asked = 0;
    let edit = |approval: &Approval, line: &str| {
        let lines = approval.files[0].hunks[0].lines.iter().map(|old| match old.starts_with('+') {
            true => line.to_owned(),
            false => old.clone(),
        });
        let change = HunkChange::Edit { lines: lines.collect() };
        let (approval, digest) = (approval.id, approval.digest.clone());
        vec![Op::Revise(Revision { approval, digest, hunk: 1, change })]
    };
    let run = place.run_json(&[planned(), to("2.0")], &["x"], |approval| {
        asked += 1;
        match asked {
            1 => edit(approval, "+    return ((\"3.0\""),
            2 => {
                let refused = approval.refused.as_deref().unwrap_or_default();
                assert!(refused.contains("syntax"), "{refused}");
                edit(approval, "+    return \"3.0\"")
            }
            _ => {
                assert_eq!(
                    (approval.files[0].hunks[0].tier.as_str(), &approval.refused),
                    ("edited by you", &None)
                );
                accept_all(approval)
            }
        }
    });
    run.exits(0);
    assert!(place.read("greeter/cli.py").contains("\"3.0\""));
}

#[test]
fn a_revision_of_another_patch_is_refused() {
    let place = Place::new(GREETER);
    let run = place.run_json(&[planned(), to("2.0")], &["x"], |approval| {
        let wrong = Revision {
            approval: approval.id,
            digest: "0".repeat(64),
            hunk: 1,
            change: HunkChange::Edit { lines: vec!["+evil".into()] },
        };
        let mut ops = vec![Op::Revise(wrong)];
        ops.extend(accept_all(approval));
        ops
    });
    run.find(|event| matches!(event, Event::Refused { .. }).then_some(()));
    assert!(!place.read("greeter/cli.py").contains("evil"));
    run.exits(0);
}

#[test]
fn a_headless_patch_waits_and_a_later_review_applies_or_discards_it() {
    let place = Place::new(GREETER);
    let before = place.tree();
    let script = place.script(&[planned(), to("2.0")]);
    let headless = ["run", "--script", script.to_str().unwrap(), "return version 2.0"];
    let printed = place.run(&headless).fails(4, "countersign review").stdout;
    assert!(printed.contains("+    return \"2.0\""), "{printed}");
    assert_eq!(place.tree(), before);
    place.run(&headless).fails(4, "000002");
    let list = place.run(&["review", "--list"]).succeeds().stdout;
    assert!(list.contains("000001") && list.contains("greeter/cli.py"), "{list}");
    let rows: Value =
        serde_json::from_str(&place.run(&["review", "--list", "--json"]).succeeds().stdout).unwrap();
    assert_eq!(rows[1]["id"], "000002");
    place.run(&["review", "--discard", "2"]).succeeds();
    place.run(&["review", "2"]).fails(2, "no patch \"2\"");

    // Nobody can answer: it goes on waiting, under its next number.
    place.run(&["review", "1"]).fails(4, "nobody can answer");
    let mut command = place.command();
    command.args(["review", "--json"]);
    converse(command, accept_all).exits(0);
    assert!(place.read("greeter/cli.py").contains("\"2.0\""));
    assert!(place.run(&["review", "--list"]).succeeds().stdout.contains("no patch waits"));
    place.run(&["undo"]).succeeds();
    assert_eq!(place.tree(), before);
}

#[test]
fn a_waiting_patch_is_merged_into_a_changed_file_visibly_or_refused() {
    let place = Place::new(GREETER);
    let script = place.script(&[planned(), to("2.0")]);
    let headless = ["run", "--script", script.to_str().unwrap(), "return version 2.0"];
    place.run(&headless).fails(4, "countersign review");
    let text = place.read("greeter/cli.py");
    place.write("greeter/cli.py", text.replace("import sys\n", "import sys\nimport os\n"));
    let review = |answer: fn(&Approval) -> Vec<Op>| {
        let mut command = place.command();
        command.args(["review", "--json"]);
        converse(command, answer)
    };
    let merged = review(|approval| {
        assert!(approval.files[0].hunks[0].tier.starts_with("RE-ANCHORED"), "{approval:?}");
        vec![Op::Cancel]
    });
    merged.find(|event| match event {
        Event::Warning { text } => text.contains("has changed since").then_some(()),
        _ => None,
    });
    merged.exits(130);
    place.write("greeter/cli.py", text.replace("\"1.0\"", "\"9.0\""));
    let refused = review(|_| panic!("nothing to ask about"));
    assert!(matches!(outcome(&refused), Outcome::Declined { .. }));
    refused.exits(4);
    assert!(place.read("greeter/cli.py").contains("9.0"));
    assert!(place.run(&["review", "--list"]).succeeds().stdout.contains("000001"), "it is not lost");
}

#[test]
fn after_a_check_that_fails_in_the_tree_the_owner_undoes_keeps_or_repairs() {
    // The copy has no .git, so that this check passes there and fails in the tree.
    let only_in_copy = "test ! -d .git";
    let run = |answers: &[Value], answer: AfterFailure| {
        let place = Place::new(GREETER);
        place.write(".git/HEAD", "ref: refs/heads/main\n");
        let script = place.script(answers);
        let mut command = place.command();
        command
            .args(["run", "--json", "--ask-after-failure", "--check", only_in_copy, "--script"])
            .arg(script)
            .arg("x");
        let mut answer = Some(answer);
        let conversation = converse_with(command, |event| match event {
            Event::ApprovalNeeded(approval) => accept_all(approval),
            Event::ChoiceNeeded { choice, .. } => {
                let answer = answer.take().unwrap_or(AfterFailure::Keep);
                vec![Op::Choose(Choice { choice: *choice, answer })]
            }
            _ => Vec::new(),
        });
        assert_eq!(conversation.code, 6, "{conversation:#?}");
        (place.read("greeter/cli.py"), outcome(&conversation))
    };
    let (text, taken_back) = run(&[planned(), to("2.0")], AfterFailure::Undo);
    assert!(text.contains("\"1.0\"") && matches!(taken_back, Outcome::TakenBack { .. }), "{taken_back:?}");
    let (text, kept) = run(&[planned(), to("2.0")], AfterFailure::Keep);
    assert!(text.contains("\"2.0\"") && matches!(kept, Outcome::ChecksFailed { .. }), "{kept:?}");
    let mended = replace("greeter/cli.py", "    return \"2.0\"", "    return \"2.1\"");
    let (text, _) = run(&[planned(), to("2.0"), mended], AfterFailure::Repair);
    assert!(text.contains("\"2.1\""), "{text}");
}

#[test]
fn cancelling_after_a_change_was_applied_does_not_hide_it() {
    let place = Place::new(GREETER);
    place.write(".git/HEAD", "ref: refs/heads/main\n");
    let mended =
        |version: &str| replace("greeter/cli.py", "    return \"2.0\"", &format!("    return \"{version}\""));
    let endless = json!({"role": "coder", "chunks": ["<", {"delay_ms": 600_000}, "<"]});
    let script = place.script(&[planned(), to("2.0"), mended("2.1"), endless]);
    let mut command = place.command();
    command.args(["run", "--json", "--ask-after-failure", "--check", "test ! -d .git", "--script"]);
    command.arg(script).arg("x");
    let mut reviews = 0;
    let conversation = converse_with(command, |event| match event {
        Event::ApprovalNeeded(approval) => {
            reviews += 1;
            if reviews == 1 {
                return accept_all(approval);
            }
            let feedback = Feedback { hunks: ids(approval), text: "not so".into() };
            vec![Op::Decide(Decision { feedback: vec![feedback], ..decision(approval) })]
        }
        Event::SentBack { .. } => vec![Op::Cancel],
        Event::ChoiceNeeded { choice, .. } => {
            vec![Op::Choose(Choice { choice: *choice, answer: AfterFailure::Repair })]
        }
        _ => Vec::new(),
    });
    assert!(matches!(outcome(&conversation), Outcome::ChecksFailed { .. }), "{conversation:#?}");
    conversation.exits(6);
    assert!(place.read("greeter/cli.py").contains("\"2.0\""), "what was applied stays, and was told");
}

/// Waits until the newest job is in this state.
fn job_becomes(place: &Place, state: &str) -> String {
    let began = std::time::Instant::now();
    loop {
        let jobs: Value =
            serde_json::from_str(&place.run(&["jobs", "list", "--json"]).succeeds().stdout).unwrap();
        let job = jobs.as_array().unwrap().last().expect("a job");
        if job["state"] == state {
            return job["id"].as_str().unwrap().to_owned();
        }
        assert!(began.elapsed().as_secs() < 60, "{jobs:#}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_detached_run_waits_for_a_review() {
    let place = Place::new(GREETER);
    let script = place.script(&[planned(), to("2.0")]);
    let detached = ["run", "--detach", "--script", script.to_str().unwrap(), "return version 2.0"];
    let said = place.run(&detached).succeeds().stdout;
    let id = job_becomes(&place, "waiting_for_approval");
    assert!(said.starts_with(&id), "{said}");
    assert!(place.read("greeter/cli.py").contains("\"1.0\""), "nothing is written unasked");
    let attached = place.run(&["jobs", "attach", &id]).succeeds();
    assert!(
        attached.stderr.contains("countersign review") && attached.stdout.contains("waiting for approval")
    );
    let logs = place.run(&["jobs", "logs", &id]).succeeds().stdout;
    assert!(logs.contains("+    return \"2.0\""), "{logs}");
    let mut command = place.command();
    command.args(["review", "--json"]);
    converse(command, accept_all).exits(0);
    assert_eq!(job_becomes(&place, "done"), id);
    assert!(place.read("greeter/cli.py").contains("\"2.0\""));
}

#[test]
fn a_job_is_cancelled_and_a_killed_one_has_crashed() {
    let place = Place::new(GREETER);
    let script = place.script(&[json!({"role": "architect", "chunks": ["{", {"delay_ms": 60_000}, "}"]})]);
    let detached = ["run", "--detach", "--script", script.to_str().unwrap(), "x"];
    place.run(&detached).succeeds();
    let id = job_becomes(&place, "running");
    assert!(place.run(&["jobs", "cancel", &id]).succeeds().stdout.contains("is cancelled"));
    assert!(place.run(&["jobs", "cancel", &id]).succeeds().stdout.contains("nothing to cancel"));

    place.run(&detached).succeeds();
    let id = job_becomes(&place, "running");
    let jobs: Value = serde_json::from_str(&place.run(&["jobs", "list", "--json"]).stdout).unwrap();
    let pid = jobs.as_array().unwrap().last().unwrap()["pid"].to_string();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    assert_eq!(job_becomes(&place, "crashed"), id);
    place.run(&["jobs", "attach", "x"]).fails(2, "no job");
}

#[test]
fn a_check_that_may_not_write_in_the_tree_is_repeated_on_a_copy_of_it() {
    let place = Place::new(GREETER);
    // As cargo does where there is no lock file.
    let check = format!("sh -c \"touch lock && {IS_TWO}\"");
    let run = place.run_json(&[planned(), to("2.0")], &["--check", &check, "x"], accept_all).exits(0);
    let repeated =
        |event: &Event| matches!(event, Event::Warning { text } if text.contains("repeated on a copy"));
    // Where no sandbox holds, the check writes, and nothing is repeated.
    assert_ne!(run.events.iter().any(repeated), place.root().join("lock").exists());
    // A verdict on the copy counts like any other.
    let (place, fails) = (Place::new(GREETER), "sh -c \"touch lock && false\"");
    let arguments = ["--check", fails, "--repairs", "0", "x"];
    let failed = place.run_json(&[planned(), to("2.0")], &arguments, accept_all);
    assert!(matches!(outcome(&failed), Outcome::ChecksFailed { .. }));
}
