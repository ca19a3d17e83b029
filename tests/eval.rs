//! `countersign eval locate` on a made-up history: predictions, figures, resume, ablation.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::Place;

/// A clone with a commit after the base, hooks that would leave a trace, and filters that would
/// change the text, all of which must stay without effect.
struct Clone {
    place: Place,
    base: String,
}

impl Clone {
    fn new() -> Clone {
        let place = Place::new(&[]);
        let clone = Clone { place, base: String::new() };
        let folder = clone.repository();
        std::fs::create_dir_all(&folder).unwrap();
        let write = |path: &str, text: &str| {
            std::fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
            std::fs::write(folder.join(path), text).unwrap();
        };
        write("src/parse.py", "def parse_header(line):\n    return line.split(\":\")\n");
        write("src/render.py", "def render_table(rows):\n    return rows\n\n\nWIDTH = 80\n");
        write("src/cache.py", "def evict(entry):\n    entry.clear()\n");
        write("README.md", "# Tables\n\nHeaders are parsed and tables rendered.\n");
        git(&folder, &["init", "-q"]);
        commit(&folder, "start");
        let base = String::from_utf8(git(&folder, &["rev-parse", "HEAD"])).unwrap().trim().to_owned();
        write("src/later.py", "def parse_header_of_render_table(): pass\n");
        commit(&folder, "later");
        let trace = clone.place.root().join("a-hook-ran");
        let hook = format!("#!/bin/sh\ntouch '{}'\ncat\n", trace.display());
        for name in ["post-checkout", "post-index-change", "reference-transaction", "smudge.sh"] {
            write(&format!(".git/hooks/{name}"), &hook);
            make_executable(&folder.join(".git/hooks").join(name));
        }
        write(".git/info/attributes", "*.py filter=trace\n");
        git(&folder, &["config", "filter.trace.smudge", ".git/hooks/smudge.sh"]);
        Clone { base, ..clone }
    }

    fn repository(&self) -> PathBuf {
        self.clones().join("made+up")
    }

    fn clones(&self) -> PathBuf {
        self.place.config().join("clones")
    }

    fn task(&self, id: &str, query: &str, gold: &[&str], lines: Value) -> String {
        json!({"id": id, "repo": "made/up", "base_commit": self.base, "query": query, "gold_files": gold, "gold_lines": lines})
            .to_string()
    }

    fn tasks(&self, lines: &[String]) -> String {
        let path = self.place.config().join("tasks.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        path.display().to_string()
    }

    fn run(&self, tasks: &str, arguments: &[&str]) -> crate::support::Finished {
        let clones = self.clones().display().to_string();
        let all = [&["eval", "locate", tasks, "--repos", &clones], arguments].concat();
        self.place.run(&all)
    }

    fn two(&self) -> String {
        self.tasks(&[
            self.task(
                "header",
                "parse_header fails on an empty line",
                &["src/parse.py"],
                json!({"src/parse.py": [[2, 2]]}),
            ),
            // Nothing in the request leads to the second file.
            self.task(
                "table",
                "render_table ignores its rows",
                &["src/cache.py", "src/render.py"],
                json!({"src/render.py": [[1, 2]], "src/cache.py": [[2, 2]]}),
            ),
        ])
    }
}

fn git(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("git")
        .args([
            "-c",
            "core.autocrlf=false",
            "-c",
            "gc.auto=0",
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@example.org",
        ])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn commit(folder: &Path, message: &str) {
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-q", "-m", message]);
}

fn make_executable(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    #[cfg(not(unix))]
    let _ = path;
}

fn report(stdout: &str) -> Value {
    serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

fn lines(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn figures_are_those_of_the_definition() {
    let clone = Clone::new();
    let out = clone.place.config().join("out.jsonl");
    let run = clone.run(&clone.two(), &["--json", "--out", out.to_str().unwrap()]).succeeds();
    let found = lines(&out);
    assert_eq!(found[0]["ranked_files"][0], "src/parse.py", "{:#}", found[0]);
    assert_eq!(found[1]["ranked_files"][0], "src/render.py");
    assert!(!found[1].to_string().contains("later"), "later history is not seen");
    let report = report(&run.stdout);
    let all = &report["variants"][0]["all"];
    // header: all found. table: one of two files, one of two hunks.
    for (figure, expected) in [
        ("tasks", 2.0),
        ("acc1", 1.0),
        ("recall5", 0.75),
        ("recall10", 0.75),
        ("all10", 0.5),
        ("mrr", 1.0),
        ("pack", 0.75),
        ("hunks", 0.75),
    ] {
        assert_eq!(all[figure], expected, "{figure} in {all:#}");
    }
    assert_eq!(report["variants"][0]["repositories"]["made/up"], *all);
    assert!(!clone.place.exists("a-hook-ran"), "a hook or filter of the clone ran");
    let left = clone.place.tree().len() + std::fs::read_dir(clone.place.data()).unwrap().count();
    assert!(left < 10 && !folder_holds(&clone.place.data(), "eval-"), "the throw-away trees are gone");
}

fn folder_holds(folder: &Path, prefix: &str) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let entry = entry.unwrap();
        entry.file_name().to_string_lossy().starts_with(prefix)
            || entry.path().is_dir() && folder_holds(&entry.path(), prefix)
    })
}

#[test]
fn an_interrupted_run_goes_on() {
    let clone = Clone::new();
    let out = clone.place.config().join("out.jsonl");
    let arguments = ["--out", out.to_str().unwrap()];
    let tasks = clone.two();
    clone.run(&tasks, &arguments).succeeds();
    let whole = std::fs::read_to_string(&out).unwrap();
    let first = whole.lines().next().unwrap();
    std::fs::write(&out, format!("{first}\n{{\"id\": \"tab")).unwrap();
    let again = clone.run(&tasks, &arguments).succeeds();
    let found = lines(&out);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].to_string(), report(first).to_string(), "what was known is kept, times too");
    assert_eq!(found[1]["id"], "table");
    assert!(again.stdout.contains("all                                    2"), "{}", again.stdout);
    // Nothing is left to do: not even the clones are needed.
    std::fs::remove_dir_all(clone.clones()).unwrap();
    clone.run(&tasks, &arguments).succeeds();
    clone.run(&tasks, &[&arguments[..], &["--budget", "500"]].concat()).fails(2, "not a prediction of these");
}

#[test]
fn each_rule_can_be_left_out_and_a_baseline_compared() {
    let clone = Clone::new();
    let out = clone.place.config().join("out.jsonl");
    let tasks = clone.two();
    let run = clone
        .run(&tasks, &["--json", "--ablate", "all", "--baseline", "bm25", "--out", out.to_str().unwrap()])
        .succeeds();
    let report = report(&run.stdout);
    let names: Vec<&str> = report["variants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variant| variant["name"].as_str().unwrap())
        .collect();
    assert_eq!((names[0], names.len()), ("countersign", 1 + countersign_index::Rule::ALL.len() + 1));
    assert!(names.contains(&"without definition_tokens") && names.contains(&"bm25"), "{names:?}");
    let without = lines(&out.with_file_name("out.without-definition-tokens.jsonl"));
    assert_eq!(without.len(), 2);
    let plain = lines(&out.with_file_name("out.bm25.jsonl"));
    let pack = plain[0]["pack"].as_array().unwrap();
    assert_eq!((&pack[0]["start"], &pack[0]["end"]), (&json!(1), &json!(2)), "whole files: {:#}", plain[0]);
    let table = clone.run(&tasks, &["--ablate", "history"]).succeeds().stdout;
    assert!(table.contains("without history"), "{table}");
}

#[test]
fn others_ways_stand_beside_ours() {
    let clone = Clone::new();
    // Speaks as the driver of Aider does; the real one is no part of the tests.
    let python = clone.place.config().join("python");
    let script = "#!/bin/sh\n[ \"$1\" = -c ] && { echo 0.1; exit; }\necho '{\"files\": []}'\n\
                  while read -r line; do echo '{\"files\": [\"README.md\", \"src/parse.py\"]}'; done\n";
    std::fs::write(&python, script).unwrap();
    make_executable(&python);
    let (python, out) = (python.display().to_string(), clone.place.config().join("out.jsonl"));
    let tasks = clone.two();
    let arguments = [
        "--baseline",
        "aider-map",
        "--baseline",
        "loom",
        "--out",
        out.to_str().unwrap(),
        "--peer-python",
        &python,
    ];
    let table = clone.run(&tasks, &arguments).succeeds().stdout;
    assert!(table.contains("loom ") && table.contains("aider map "), "{table}");
    let ranked = |name: &str| lines(&out.with_file_name(name))[0]["ranked_files"].clone();
    assert_eq!(ranked("out.aider-map.jsonl"), json!(["README.md", "src/parse.py"]));
    // "parse_header" is a part of a defined name (7) and of the text (2), "line" of the text alone.
    assert_eq!(ranked("out.loom.jsonl"), json!(["src/parse.py"]));
    clone
        .run(&tasks, &["--baseline", "aider-map", "--peer-python", "/no/such"])
        .fails(2, "/no/such has no Aider");
}

#[test]
fn mistakes_are_told_before_the_work_begins() {
    let clone = Clone::new();
    let tasks = clone.two();
    clone.run(&tasks, &["--ablate", "magic"]).fails(2, "no rule `magic`");
    clone.run(&tasks, &["--repo", "no/such"]).fails(2, "no such task");
    clone.run("missing.jsonl", &[]).fails(2, "missing.jsonl");
    let elsewhere = clone.task("x", "q", &["f"], json!({})).replace("made/up", "not/here");
    clone.run(&clone.tasks(&[elsewhere]), &[]).fails(2, "no clone of `not/here`");
    let unknown = clone.task("x", "q", &["f"], json!({})).replace(&clone.base, &"0".repeat(40));
    clone.run(&clone.tasks(&[unknown]), &[]).fails(1, "does not have the commit");
}
