//! Nothing of a repository runs before its owner agrees.

use super::*;

/// The checks that `countersign checks` lists: whether each is approved, by its command.
fn listed(place: &Place) -> BTreeMap<String, bool> {
    let listed = place.run(&["checks", "--json"]).succeeds().stdout;
    let report: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let rows = report["checks"].as_array().unwrap().iter();
    rows.map(|row| (row["command"].as_str().unwrap().to_owned(), row["approved"] == json!(true))).collect()
}

fn started(events: &[Event]) -> Vec<String> {
    let command = |event: &Event| match event {
        Event::CheckStarted { command, .. } => Some(command.join(" ")),
        _ => None,
    };
    events.iter().filter_map(command).collect()
}

#[test]
fn what_a_repository_says_has_no_effect_until_its_owner_agrees() {
    let place = Place::new(GREETER);
    let proof = place.root().join("../proof");
    let touch = |name: &str| format!("touch {}", proof.join(name).display());
    std::fs::create_dir(&proof).unwrap();
    place.write(
        "countersign.toml",
        format!(
            "provider = \"openai\"\nurl = \"http://127.0.0.1:1\"\napi_key_env = \"HOME\"\nmodel = \"evil\"\n\
             [rules]\nallow = [\"**\"]\n\
             [[checks]]\nrun = \"{}\"\n[[checks]]\nrun = \"true\"\n",
            touch("declared")
        ),
    );
    place.write("Makefile", format!("test:\n\t{}\n", touch("made")));
    place.write("package.json", json!({"scripts": {"test": touch("scripted")}}).to_string());
    let run = place.run_json(&version_2(), &["return version 2.0"], accept_all).exits(0);
    assert_eq!(started(&run.events), [""; 0]);
    let warned = run.events.iter().any(|event| {
        matches!(event, Event::Warning { text } if text.contains("`true`") && text.contains("npm test"))
    });
    assert!(warned, "{:#?}", run.events);
    let model = run.find(|event| match event {
        Event::SessionStarted { model, .. } => Some(model.clone()),
        _ => None,
    });
    assert_ne!(model, "evil");
    assert_eq!(std::fs::read_dir(&proof).unwrap().count(), 0);
    place.run(&["undo"]).succeeds();

    // One is approved, and runs before and after; the others still do not.
    let hash = |command: &str| {
        let listed = place.run(&["checks", "--json"]).succeeds().stdout;
        let report: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let row = report["checks"].as_array().unwrap().iter().find(|row| row["command"] == command).unwrap();
        row["hash"].as_str().unwrap().to_owned()
    };
    place.run(&["checks", "approve", &hash("true")[..12]]).succeeds();
    let run = place.run_json(&version_2(), &["return version 2.0"], accept_all).exits(0);
    assert_eq!(started(&run.events), ["true", "true"]);
    assert_eq!(std::fs::read_dir(&proof).unwrap().count(), 0);
    place.run(&["undo"]).succeeds();
    let run = place.run_json(&version_2(), &["--no-check", "return version 2.0"], accept_all).exits(0);
    assert_eq!(started(&run.events), [""; 0]);
    place.run(&["undo"]).succeeds();

    // Another command under the same name is another check, and a changed definition as well.
    place.run(&["checks", "approve", "--all"]).succeeds();
    assert!(listed(&place).values().all(|approved| *approved));
    place.write("countersign.toml", "[[checks]]\nrun = \"true\"\ntimeout = 5\n");
    place.write("package.json", json!({"scripts": {"test": touch("other")}}).to_string());
    assert!(listed(&place).values().all(|approved| !approved), "{:?}", listed(&place));
    let page = place.run(&["checks"]).succeeds().stdout;
    assert!(page.contains("not approved") && page.contains("| test: touch"), "{page}");
    assert!(page.contains("approved, but not here or changed: true"), "{page}");
    place.run(&["checks", "revoke", "--all"]).succeeds();
    assert!(!place.run(&["checks"]).succeeds().stdout.contains("not here or changed"));
    assert!(
        std::fs::read_dir(place.data().join("repositories"))
            .unwrap()
            .flatten()
            .any(|repository| { repository.path().join("checks/copy-0/tree/README.md").exists() })
    );
    place.run(&["checks", "clean"]).succeeds();
    assert!(
        std::fs::read_dir(place.data().join("repositories"))
            .unwrap()
            .flatten()
            .all(|repository| { !repository.path().join("checks/copy-0/tree").exists() })
    );
    place.run(&["checks", "approve", "zzz"]).fails(2, "there is no check \"zzz\"");
    place.run(&["checks", "approve"]).fails(2, "required");
}

#[test]
fn a_check_that_needs_a_shell_is_a_mistake_of_use() {
    let place = Place::new(GREETER);
    let script = place.script(&version_2());
    let script = script.to_str().unwrap();
    for check in ["git status && x", "a | b", "a; b", "a > b", "echo $(id)", "echo `id`", "sleep 1 &"] {
        place
            .run(&["run", "--script", script, "--check", check, "x"])
            .fails(2, "no shell is used; write sh -c");
    }
}

#[test]
fn doctor_says_what_holds_checks_back() {
    let place = Place::new(GREETER);
    let report = place.run(&["doctor", "--json"]).succeeds().stdout;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let said = report["sandbox"]["Ok"]["description"].as_str().unwrap();
    assert!(
        said.starts_with("checks are sandboxed") || said.starts_with("checks are not sandboxed"),
        "{said}"
    );
    assert!(place.run(&["doctor"]).succeeds().stdout.contains(said));
}

#[test]
fn the_tests_that_concern_a_change_come_first() {
    let place = Place::new(GREETER);
    place.write("tests/__init__.py", "");
    let test = |body: &str| {
        format!(
            "import unittest\n\nfrom greeter.cli import version\n\n\nclass Tests(unittest.TestCase):\n    def test_it(self):\n        {body}\n"
        )
    };
    place.write("tests/test_version.py", test("self.assertEqual(version(), \"1.0\")"));
    place.write(
        "tests/test_other.py",
        "import unittest\n\n\nclass Tests(unittest.TestCase):\n    def test_it(self):\n        pass\n",
    );
    let discover = "python3 -m unittest discover";
    let first = "python3 -m unittest tests.test_version";
    // It fails, so that the others need not run, before the approval and after it.
    let run = place.run_json(&version_2(), &["--check", discover, "version 2.0"], accept_all).exits(6);
    assert_eq!(started(&run.events), [first, first]);
    place.run(&["undo"]).succeeds();
    place.write("tests/test_version.py", test("self.assertIn(\".\", version())"));
    let run = place.run_json(&version_2(), &["--check", discover, "version 2.0"], accept_all).exits(0);
    assert_eq!(started(&run.events), [first, discover, first, discover]);
}

#[test]
fn the_supervisor_is_hidden_from_people() {
    let place = Place::new(&[]);
    assert!(!place.run(&["--help"]).succeeds().stdout.contains("__supervise"));
    assert!(!place.run(&["completions", "bash"]).succeeds().stdout.contains("__supervise"));
    place.run(&["__supervise", "me"]).fails(1, "error: ");
}
