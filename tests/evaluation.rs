//! `countersign eval task`, `edit` and `report`: whole tasks with hidden tests, with a script in place of a
//! model, and a peer that is played.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::server::{Reply, Server};
use crate::support::{Finished, Place, plan, replace, whole};

/// A place with a task of our own form and an exercise of Exercism's.
struct Tasks {
    place: Place,
}

const ADD: &str = "def add(a, b):\n    return a - b\n";
const RIGHT: &str = "def add(a, b):\n    return a + b\n";
const WRONG: &str = "def add(a, b):\n    return a * b\n";

impl Tasks {
    fn new() -> Tasks {
        let tasks = Tasks { place: Place::new(&[]) };
        for (path, text) in [
            (
                "own/sum/task.toml",
                "request = \"add() in calc/sums.py has to add its numbers\"\nlanguage = \"python\"\nkind = \"fix\"\n\
                 check = [\"python3\", \"-m\", \"unittest\"]\nfiles = [\"calc/sums.py\"]\ndecoys = [\"calc/other.py\"]\ndifficulty = 1\n",
            ),
            ("own/sum/tree/calc/sums.py", ADD),
            ("own/sum/tree/calc/other.py", "def add(a, b):\n    return [a, b]\n"),
            ("own/sum/tree/calc/__init__.py", ""),
            (
                "own/sum/tree/test_visible.py",
                "import unittest\nfrom calc.sums import add\n\n\nclass Visible(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(add(1, 1), 2)\n",
            ),
            ("own/sum/solution/calc/sums.py", RIGHT),
            (
                "own/sum/oracle/test_sums.py",
                "import unittest\nfrom calc.sums import add\n\n\nclass Sums(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n",
            ),
            (
                "track/exercises/practice/plus/.meta/config.json",
                r#"{"files": {"solution": ["plus.py"], "test": ["plus_test.py"], "example": [".meta/example.py"]}}"#,
            ),
            ("track/exercises/practice/plus/.meta/example.py", RIGHT),
            ("track/exercises/practice/plus/.docs/instructions.md", "# Plus\n\nAdd two numbers.\n"),
            ("track/exercises/practice/plus/plus.py", "def add(a, b):\n    pass\n"),
            (
                "track/exercises/practice/plus/plus_test.py",
                "import unittest\nfrom plus import add\n\n\nclass Plus(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(add(2, 3), 5)\n",
            ),
        ] {
            tasks.write(path, text);
        }
        tasks
    }

    fn folder(&self) -> PathBuf {
        self.place.config().join("tasks")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn out(&self) -> PathBuf {
        self.place.config().join("results.jsonl")
    }

    /// Runs `eval task` on a folder; `None`, with a message, where nothing may run for want of a sandbox.
    #[expect(clippy::print_stderr, reason = "a test that is skipped has to say so")]
    fn run(&self, folder: &str, script: &[Value], arguments: &[&str]) -> Option<Finished> {
        let script = self.place.script(script);
        let mut command = self.place.command();
        command.args(["eval", "task"]).arg(self.folder().join(folder)).arg("--out").arg(self.out());
        if !arguments.contains(&"--url") {
            command.arg("--script").arg(script);
        }
        let finished = Finished::of(command.args(arguments).output().unwrap());
        if finished.stderr.contains("the sandbox for tests does not hold") {
            assert_eq!(finished.code, 2);
            eprintln!("SKIPPED, this test proves nothing here: {}", finished.stderr);
            return None;
        }
        Some(finished)
    }

    fn results(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.out()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn sums() -> Value {
    plan(&[("edit", "calc/sums.py", "", "add the numbers")])
}

#[test]
fn a_task_is_solved_in_a_copy_and_its_run_is_not_made_twice() {
    let tasks = Tasks::new();
    let script = [sums(), whole("calc/sums.py", RIGHT)];
    let Some(run) = tasks.run("own", &script, &["--json"]) else { return };
    let summary: Value = serde_json::from_str(&run.succeeds().stdout).unwrap();
    let all = &summary["agents"]["countersign"]["all"];
    assert_eq!(
        (&all["pass1"]["hits"], &all["pass2"]["hits"], &all["runs"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let results = tasks.results();
    assert_eq!(results[0], json!({"line": "task", "task": "fix/sum", "unusable": null, "tests": 2}));
    let attempt = &results[1]["attempts"][0];
    assert_eq!(
        (&attempt["changed"], &attempt["unreported"]),
        (&json!(["calc/sums.py"]), &json!([])),
        "{attempt:#}"
    );
    let untouched = std::fs::read_to_string(tasks.folder().join("own/sum/tree/calc/sums.py")).unwrap();
    assert_eq!(untouched, ADD, "the task itself stays as it is");
    // An interrupted line is made again, a whole one is not: this script could not solve anything.
    std::fs::write(tasks.out(), std::fs::read_to_string(tasks.out()).unwrap() + "{\"line\":\"ru").unwrap();
    let again = tasks.run("own", &[], &[]).unwrap().succeeds();
    assert!(again.stdout.contains("100.0 [21, 100]"), "{}", again.stdout);
    assert_eq!(tasks.results(), results);
    tasks.run("own", &[], &["--seconds", "9"]).unwrap().fails(2, "with another model, program or setting");
}

#[test]
fn the_second_attempt_starts_from_the_first_and_failures_have_a_cause() {
    let tasks = Tasks::new();
    let mut told = sums();
    told["expect"] = json!(["See the testing errors above", "add() in calc/sums.py has to add"]);
    let second = [sums(), whole("calc/sums.py", WRONG), told, whole("calc/sums.py", RIGHT)];
    let Some(run) = tasks.run("own", &second, &["--without", "early-checks", "--tests", "hidden"]) else {
        return;
    };
    run.succeeds();
    let results = tasks.results();
    assert_eq!(results[1]["agent"], "countersign without early checks");
    let attempts = &results[1]["attempts"];
    // The task's own check fails in the tree, which the agent says.
    assert_eq!(
        (&attempts[0]["passed"], &attempts[0]["cause"]),
        (&json!(false), &json!("check")),
        "{attempts:#}"
    );
    assert_eq!((&attempts[1]["passed"], &attempts[1]["cause"]), (&json!(true), &Value::Null));

    let cause = |name: &str, script: &[Value], expected: &str| {
        let arguments = ["--attempts", "1", "--seed", name];
        let summary = tasks.run("own", script, &arguments).unwrap().succeeds().stdout;
        let last = tasks.results().pop().unwrap();
        assert_eq!(last["attempts"][0]["cause"], expected, "{last:#}\n{summary}");
        last["attempts"][0].clone()
    };
    let other = plan(&[("edit", "calc/other.py", "", "add")]);
    let touched = cause("2", &[other, whole("calc/other.py", WRONG)], "plan");
    assert_eq!(touched["decoys"], json!(["calc/other.py"]));
    let refusals: Vec<Value> =
        (0..3).map(|_| json!({"role": "coder", "text": "I would rather not."})).collect();
    let refused = cause("3", &[vec![sums()], refusals].concat(), "edit");
    assert_eq!(refused["refused"], 3);
    cause("4", &[json!({"role": "architect", "error": "the server is down"})], "server");
}

#[test]
fn after_a_failed_attempt_the_tests_are_the_agents_own_check() {
    let tasks = Tasks::new();
    let worse = "def add(a, b):\n    return 7\n";
    let mut repair = whole("plus.py", RIGHT);
    // The request has what the tests said of the first attempt, the repair what they say of this one.
    repair["expect"] =
        json!(["See the testing errors above", "a check failed", "`add(2, 3)` gave 7, but it must give 5"]);
    // Each attempt reads the script from its beginning: the first wants one answer, the second is told that
    // it changes nothing, and goes on.
    let mut second = whole("plus.py", worse);
    second["expect"] = json!(["In short", "`add(2, 3)` gave 6, but it must give 5"]);
    let script = [whole("plus.py", WRONG), second, repair];
    let Some(run) = tasks.run("track", &script, &[]) else { return };
    run.succeeds();
    let attempts = &tasks.results()[1]["attempts"];
    assert_eq!((&attempts[0]["calls"], &attempts[0]["passed"]), (&json!(1), &json!(false)), "{attempts:#}");
    assert_eq!((&attempts[1]["calls"], &attempts[1]["passed"]), (&json!(3), &json!(true)), "{attempts:#}");
    assert_eq!(attempts[1]["changed"], json!(["plus.py"]), "the tests are not the agent's change");
}

#[test]
fn an_exercise_needs_no_plan_and_hides_its_tests() {
    let tasks = Tasks::new();
    // A script without an Architect's answer.
    let script = [whole("plus.py", RIGHT)];
    let Some(run) = tasks.run("track", &script, &[]) else { return };
    run.succeeds();
    let attempt = &tasks.results()[1]["attempts"][0];
    assert_eq!((&attempt["passed"], &attempt["changed"]), (&json!(true), &json!(["plus.py"])), "{attempt:#}");
    // Tests that pass on the stub, or fail on the solution, say nothing.
    std::fs::remove_file(tasks.out()).unwrap();
    let practice = "track/exercises/practice/plus";
    tasks.write(&format!("{practice}/.meta/example.py"), WRONG);
    let unusable = tasks.run("track", &script, &[]).unwrap().succeeds();
    assert!(unusable.stdout.contains("not usable: python/plus (its solution fails"), "{}", unusable.stdout);
    std::fs::remove_file(tasks.out()).unwrap();
    tasks.write(&format!("{practice}/.meta/example.py"), RIGHT);
    tasks.write(&format!("{practice}/plus.py"), RIGHT);
    let unusable = tasks.run("track", &script, &[]).unwrap().succeeds();
    assert!(unusable.stdout.contains("(its tests pass before anything is done)"), "{}", unusable.stdout);
}

#[test]
fn a_solution_that_ends_its_tests_has_not_passed_them() {
    let tasks = Tasks::new();
    let script = [whole("plus.py", "import os\nos._exit(0)\n")];
    let Some(run) = tasks.run("track", &script, &["--attempts", "1"]) else { return };
    run.succeeds();
    assert_eq!(tasks.results()[1]["attempts"][0]["passed"], false);
}

#[test]
fn nothing_leads_out_of_the_copy() {
    let tasks = Tasks::new();
    let victim = tasks.place.config().join("victim.py");
    std::fs::write(&victim, "x = 1\n").unwrap();
    let out = format!("../../..{}", victim.display());
    let mut script = vec![plan(&[("create", &out, "", "write")])];
    script.extend((0..3).map(|_| whole(&out, "x = 2\n")));
    let Some(run) = tasks.run("own", &script, &["--attempts", "1"]) else { return };
    run.succeeds();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "x = 1\n");
    assert_eq!(tasks.results()[1]["attempts"][0]["changed"], json!([]));
    // The mode by which a copy is changed without asking is for copies alone.
    tasks.place.run(&["run", "--mode", "evaluation", "x"]).fails(2, "invalid value 'evaluation'");
    std::fs::write(tasks.place.config().join("config.toml"), "mode = \"evaluation\"\n").unwrap();
    tasks.place.run(&["rules", "list"]).fails(2, "unknown variant `evaluation`");
}

#[test]
fn mistakes_are_told_before_the_work_begins() {
    let tasks = Tasks::new();
    tasks.write("empty/readme.txt", "nothing");
    for (folder, arguments, said) in [
        ("empty", &[][..], "holds no tasks"),
        ("own", &["--only", "nothing"], "no task fits"),
        ("own", &["--difficulty", "1", "--language", "rust"], "no task fits"),
        ("own", &["--peer", "aider"], "--url"),
        ("own", &["--temperature", "7"], "between 0 and 2"),
    ] {
        let Some(run) = tasks.run(folder, &[], arguments) else { return };
        run.fails(2, said);
    }
    let twice = tasks.folder().join("own");
    let out = tasks.out();
    let arguments =
        ["eval", "task", twice.to_str().unwrap(), twice.to_str().unwrap(), "--out", out.to_str().unwrap()];
    tasks.place.run(&arguments).fails(2, "two tasks are called fix/sum");
}

/// A Python package that plays Aider: it asks the server once and writes what the request says.
fn play_aider(folder: &Path) {
    let package = folder.join("aider");
    std::fs::create_dir_all(&package).unwrap();
    std::fs::write(package.join("__init__.py"), "__version__ = \"0.0.1\"\n").unwrap();
    std::fs::write(
        package.join("main.py"),
        r#"
import json, os, sys, urllib.request

class Coder:
    num_malformed_responses = 0
    num_exhausted_context_windows = 0
    def __init__(self, base):
        self.base = base
        self.messages = 0
    def run(self, with_message):
        print("this is not an answer to anybody")
        self.messages += 1
        body = json.dumps({"messages": [{"role": "user", "content": with_message}]}).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.base + "/chat/completions", body, headers)
        text = json.load(urllib.request.urlopen(request))["choices"][0]["message"]["content"]
        assert os.path.exists("plus_test.py") == (self.messages > 1)
        open("plus.py", "w").write(text if self.messages > 2 else "def add(a, b):\n    return 0\n")
        open("hidden.txt", "w").write("not reported")
        self.aider_edited_files = {"plus.py"}

def main(arguments, return_coder):
    assert return_coder and "--yes-always" in arguments and "--no-suggest-shell-commands" in arguments
    assert arguments[-1] == "plus.py" and os.path.exists("plus.py") and not os.path.exists("plus_test.py")
    assert "OPENAI_API_KEY" not in os.environ
    return Coder(arguments[arguments.index("--openai-api-base") + 1])
"#,
    )
    .unwrap();
}

#[test]
fn a_peer_does_the_same_tasks_and_is_counted_by_the_server() {
    let tasks = Tasks::new();
    let packages = tasks.place.config().join("packages");
    play_aider(&packages);
    let python = tasks.place.config().join("python");
    std::fs::write(&python, format!("#!/bin/sh\nPYTHONPATH='{}' exec python3 \"$@\"\n", packages.display()))
        .unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&python, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let server = Server::start(|asked| match asked.line.split(' ').nth(1).unwrap_or_default() {
        "/v1/models" => Reply::json(json!({"data": [{"id": "m"}]})),
        "/v1/chat/completions" => Reply::json(json!({
            "choices": [{"message": {"role": "assistant", "content": RIGHT}, "finish_reason": "stop"}],
            "timings": {"prompt_n": 100, "cache_n": 11, "predicted_n": 7},
        })),
        _ => Reply::text(404, "text/plain", "no"),
    });
    let url = server.url;
    let python = python.display().to_string();
    let arguments = ["--peer", "aider", "--peer-format", "diff", "--peer-python", &python, "--url", &url];
    let Some(run) = tasks.run("track", &[], &arguments) else { return };
    run.succeeds();
    let results = tasks.results();
    assert_eq!((&results[1]["agent"], &results[1]["version"]), (&json!("aider diff"), &json!("0.0.1")));
    let attempts = &results[1]["attempts"];
    assert_eq!(
        (&attempts[0]["passed"], &attempts[0]["cause"]),
        (&json!(false), &json!("model")),
        "{attempts:#}"
    );
    assert_eq!(attempts[1]["passed"], true, "one conversation, which goes on while its tests fail");
    for (attempt, calls) in [(0, 1), (1, 2)] {
        let counted = ["calls", "prompt_tokens", "evaluated_tokens", "answer_tokens"]
            .map(|key| attempts[attempt][key].clone());
        assert_eq!(counted, [1, 111, 100, 7].map(|one| json!(one * calls)));
    }
    assert_eq!(attempts[0]["unreported"], json!(["hidden.txt"]), "what it did not report counts by itself");
}

#[test]
fn a_report_is_one_page() {
    let tasks = Tasks::new();
    let Some(run) = tasks.run("own", &[sums(), whole("calc/sums.py", RIGHT)], &[]) else { return };
    run.succeeds();
    let page = tasks.place.config().join("report.html");
    let (out, page_name) = (tasks.out(), page.to_str().unwrap());
    tasks.place.run(&["eval", "report", out.to_str().unwrap(), "--out", page_name]).succeeds();
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(
        text.contains("1 runs of 1 agents") && text.contains("<svg") && !text.contains("<script"),
        "{text}"
    );
    tasks.place.run(&["eval", "report", "missing.jsonl"]).fails(2, "cannot read missing.jsonl");
    let twice = ["eval", "report", out.to_str().unwrap(), out.to_str().unwrap()];
    tasks.place.run(&twice).fails(2, "a second run of countersign on fix/sum");
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped has to say so")]
fn single_edits_are_right_by_their_text_or_by_their_tests() {
    let place = Place::new(&[]);
    // The first edit of the set, written in another way than expected; then nothing that could be read.
    let mut first = replace("greet.py", "    return \"Hello \" + name", "    return f\"Goodbye {name}\"");
    first["role"] = json!("trial");
    let mut script = vec![first];
    script.extend((0..60).map(|_| json!({"text": "I would rather not."})));
    let script = place.script(&script).display().to_string();
    let arguments = ["eval", "edit", "--format", "search_replace", "--json", "--script", &script];
    let run = place.run(&arguments);
    if run.stderr.contains("the sandbox for tests does not hold") {
        eprintln!("SKIPPED, this test proves nothing here: {}", run.stderr);
        return;
    }
    let report: Value = serde_json::from_str(&run.succeeds().stdout).unwrap();
    let figures = &report["forms"][0];
    // A script cannot be held to anything.
    assert_eq!(figures["form"], "search_replace");
    assert_eq!((&figures["held"], report["forms"].as_array().map(Vec::len)), (&json!(false), Some(1)));
    assert!(figures["asked"].as_u64() >= Some(24), "{report:#}");
    let far = ["parsed", "anchored", "gated", "right_by_tests"].map(|key| figures[key].as_u64());
    assert_eq!((far, figures["right"]["hits"].as_u64()), ([Some(1); 4], Some(1)));
    assert!(!figures["wrong"].as_array().unwrap().contains(&json!("greet.py")));
    // What was measured is known to `doctor` and to every run.
    let kept = std::fs::read_dir(place.data().join("models")).unwrap().next().unwrap().unwrap();
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(kept.path()).unwrap()).unwrap();
    assert_eq!(kept["edits"]["forms"]["search_replace"]["right"], 1);
}
