//! Commands without a model: context, index, undo, completions, help.

use crate::support::{GREETER, Place};

#[test]
fn context_prints_the_same_bytes_each_time() {
    let place = Place::new(GREETER);
    let first = place.run(&["context", "where is the greeting text made"]).succeeds();
    let second = place.run(&["context", "where is the greeting text made"]).succeeds();
    assert_eq!(first.stdout, second.stdout);
    assert!(first.stdout.contains("greeter/text.py"), "{}", first.stdout);
    assert!(first.stdout.contains("def greeting(name):"), "{}", first.stdout);
}

#[test]
fn context_as_json_gives_every_candidate_its_points_and_its_verdict() {
    let place = Place::new(GREETER);
    let run = place.run(&["context", "--json", "--tag", "README.md", "greeting"]).succeeds();
    let context: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let candidates = context["ledger"]["candidates"].as_array().unwrap();
    assert!(!candidates.is_empty());
    for candidate in candidates {
        let sum: f64 =
            candidate["rules"].as_array().unwrap().iter().map(|rule| rule["points"].as_f64().unwrap()).sum();
        assert!((sum - candidate["points"].as_f64().unwrap()).abs() < 1e-6, "{candidate:#}");
        assert!(!candidate["verdict"].is_null());
    }
    assert_eq!(candidates[0]["path"], "README.md", "what its owner tagged stands first");
    let budget = context["pack"]["budget"].as_u64().unwrap();
    assert!(context["pack"]["tokens"].as_u64().unwrap() <= budget);
}

#[test]
fn why_a_file_is_where_it_is() {
    let place = Place::new(GREETER);
    place.write("logo.bin", b"\0\0\0\x01binary");
    place.write(".gitignore", "ignored.py\n");
    place.write("ignored.py", "greeting = 1\n");
    let why = |path: &str| place.run(&["context", "--why", path, "greeting text"]).succeeds().stdout;
    let first = why("greeter/text.py");
    assert!(first.contains("greeter/text.py is number ") && first.contains("greeting"), "{first}");
    assert!(why("logo.bin").contains("binary"));
    assert!(why("ignored.py").contains(".gitignore"));
    assert!(why("greeter/").contains("folder"));
    let json = place.run(&["context", "--json", "--why", "greeter/text.py", "greeting text"]).succeeds();
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let said = format!("is number {} of {} candidates", json["rank"], json["candidates"]);
    assert!(json["place"] == "ranked" && first.contains(&said), "{json:#}");
}

#[test]
fn the_budget_is_kept() {
    let place = Place::new(GREETER);
    let run = place.run(&["context", "--json", "--budget", "60", "greeting parser version"]).succeeds();
    let context: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(context["pack"]["tokens"].as_u64().unwrap() <= 60, "{context:#}");
}

#[test]
fn whose_ignore_rules_exclude_everything_is_told() {
    let place = Place::new(&[(".gitignore", "*\n"), ("a.py", "a = 1\n")]);
    let nothing = place.run(&["index"]).succeeds().stdout;
    assert!(nothing.contains("0 files indexed") && nothing.contains("excludes all of them"), "{nothing}");
    let some = Place::new(GREETER).run(&["index"]).succeeds().stdout;
    assert!(!some.contains("excludes all"), "{some}");
}

#[test]
fn what_is_not_indexed_is_counted_with_its_reason() {
    let place = Place::new(GREETER);
    place.write("logo.bin", b"\0\0\0\x01binary");
    place.write("huge.txt", "x\n".repeat(3_000_000));
    let run = place.run(&["index"]).succeeds();
    assert!(run.stdout.contains("not indexed: 1 files"), "{}", run.stdout);
    let again = place.run(&["index", "--json"]).succeeds();
    let report: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&report["added"], &report["updated"]), (&0.into(), &0.into()), "{report:#}");
}

#[test]
fn undo_with_nothing_to_undo_says_so() {
    let place = Place::new(GREETER);
    place.run(&["undo"]).fails(2, "no change");
    place.run(&["redo"]).fails(2, "no change");
    place.run(&["undo", "no-such-change"]).fails(2, "no-such-change");
    let listed = place.run(&["history"]).succeeds();
    assert!(listed.stdout.contains("no changes yet"), "{}", listed.stdout);
}

#[test]
fn completions_are_made_for_every_shell() {
    let place = Place::new(GREETER);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&["completions", shell]).succeeds().stdout;
        assert!(script.contains("countersign"), "{shell}");
    }
}

#[test]
fn doctor_works_without_any_server() {
    let place = Place::new(GREETER);
    let run = place.run(&["doctor", "--json"]).succeeds();
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert!(report["servers"].is_array(), "{report:#}");
    assert!(report["data_dir"].as_str().unwrap().contains("data"), "{report:#}");
}

#[test]
fn mistakes_of_use_have_code_2() {
    let place = Place::new(GREETER);
    place.run(&["run"]).fails(2, "required");
    place.run(&["--root", "nowhere", "context", "x"]).fails(2, "cannot find the folder nowhere");
    place.run(&["run", "--provider", "scripted", "x"]).fails(2, "--script FILE");
    place.run(&["run", "--script", "missing.jsonl", "x"]).fails(2, "missing.jsonl");
    place.run(&["undo", "--model", "m"]).fails(2, "unexpected argument");
    place.run(&["--model", "m", "run", "x"]).fails(2, "after the command");
    std::fs::write(place.config().join("config.toml"), "modle = 1").unwrap();
    place.run(&["context", "x"]).fails(2, "modle");
}

#[test]
fn a_command_without_a_model_needs_no_key() {
    let place = Place::new(GREETER);
    std::fs::write(place.config().join("config.toml"), "preset = \"openai\"").unwrap();
    place.run(&["history"]).succeeds();
    place.run(&["run", "x"]).fails(2, "OPENAI_API_KEY");
}
