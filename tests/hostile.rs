//! A repository whose git configuration names programs to run: none of our commands runs any.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory as _;
use countersign::cli::Cli;

use crate::support::{Finished, GREETER, Place, accept_all, plan, replace};

/// Keys of a git configuration whose value is a command that some git command runs.
const PROGRAMS: &[&str] = &[
    "core.fsmonitor",
    "core.pager",
    "core.editor",
    "core.sshCommand",
    "core.askPass",
    "core.alternateRefsCommand",
    "core.gitProxy",
    "credential.helper",
    "diff.external",
    "diff.evil.command",
    "diff.evil.textconv",
    "filter.evil.clean",
    "filter.evil.smudge",
    "filter.evil.process",
    "gpg.program",
    "gpg.ssh.program",
    "interactive.diffFilter",
    "merge.evil.driver",
    "pager.log",
    "pager.status",
    "pager.diff",
    "remote.origin.uploadpack",
    "remote.origin.vcs",
    "sequence.editor",
    "uploadpack.packObjectsHook",
];

/// A repository in which every git command that a person would use runs `proof`.
fn hostile(proof: &Path) -> Place {
    let place = Place::new(GREETER);
    let git = |arguments: &[&str]| {
        let run = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(place.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "start"]);
    let touch = format!("touch {}", proof.display());
    for key in PROGRAMS {
        git(&["config", key, &touch]);
    }
    for (key, value) in
        [("commit.gpgSign", "true"), ("filter.evil.required", "true"), ("log.showSignature", "true")]
    {
        git(&["config", key, value]);
    }
    // Hooks, where they usually are and where the configuration says.
    let hooks = place.root().join("hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    for folder in [hooks, place.root().join(".git/hooks")] {
        for name in [
            "post-index-change",
            "post-checkout",
            "pre-commit",
            "fsmonitor-watchman",
            "reference-transaction",
        ] {
            let path = folder.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{touch}\n")).unwrap();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
    git_unchecked(&place, &["config", "core.hooksPath", "hooks"]);
    place.write(".gitattributes", "* filter=evil diff=evil merge=evil\n");
    place.write("greeter/text.py", "def greeting(name):\n    return \"Hi \" + name\n");
    place
}

fn git_unchecked(place: &Place, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.args(arguments).current_dir(place.root()).env("GIT_CONFIG_GLOBAL", "/dev/null");
    // Some of the programs fail, and git with them; only that they run matters.
    let _ = git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
}

/// Arguments for every command and its parts; what it reads from standard input.
fn arguments(command: &str) -> &'static [(&'static [&'static str], &'static str)] {
    const DIFF: &str = "--- a/greeter/text.py\n+++ b/greeter/text.py\n@@ -1,2 +1,2 @@\n def greeting(name):\n-    return \"Hi \" + name\n+    return \"Ho \" + name\n";
    match command {
        "run" => &[(&["run", "--script", "SCRIPT", "return version 2.0"], "")],
        "context" => &[(&["context", "greeting"], "")],
        "index" => &[(&["index"], "")],
        "patch" => &[(&["patch", "check"], DIFF), (&["patch", "apply"], DIFF)],
        "undo" => &[(&["undo"], "")],
        "redo" => &[(&["redo"], "")],
        "history" => &[(&["history"], "")],
        "sessions" => &[(&["sessions"], "")],
        "doctor" => &[(&["doctor"], "")],
        "models" => &[(&["models", "list"], ""), (&["models", "show", "x"], "")],
        "checks" => &[(&["checks"], ""), (&["checks", "approve", "--all"], "")],
        "review" => &[(&["review", "--list"], ""), (&["review"], "")],
        "rules" => &[(&["rules", "list"], ""), (&["rules", "test", "greeter/text.py"], "")],
        "jobs" => &[(&["jobs", "list"], "")],
        "eval" => &[(&["eval", "locate", "tasks.jsonl", "--repos", "."], "")],
        "completions" => &[(&["completions", "bash"], "")],
        other => panic!("say here how `countersign {other}` is tried on a hostile repository"),
    }
}

#[test]
fn a_hostile_git_configuration_is_never_executed() {
    let folder = tempfile::tempdir().unwrap();
    let proof = folder.path().join("executed");
    // The trap works: git itself falls into it.
    let trap = hostile(&proof);
    git_unchecked(&trap, &["status"]);
    assert!(proof.exists(), "git does not run what is configured, so that this test proves nothing");
    std::fs::remove_file(&proof).unwrap();

    let place = hostile(&proof);
    let script = place.script(&version_2());
    let commands = Cli::command();
    for command in commands.get_subcommands().map(|command| command.get_name()) {
        for (words, input) in arguments(command) {
            let words =
                words.iter().map(|word| if *word == "SCRIPT" { script.to_str().unwrap() } else { word });
            let mut process = place.command();
            process.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut process = process.spawn().unwrap();
            // A command that does not read has closed its end.
            let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
            let finished = Finished::of(process.wait_with_output().unwrap());
            assert!(
                !proof.exists(),
                "`{command}` ran a command of the repository's configuration: {finished:?}"
            );
            assert_ne!(finished.code, 1, "`{command}`: {finished:?}");
        }
    }
    // And a whole turn, written and taken back.
    place.run_json(&version_2(), &["return version 2.0"], accept_all).exits(0);
    place.run(&["undo"]).succeeds();
    assert!(!proof.exists(), "a turn ran a command of the repository's configuration");
}

fn version_2() -> [serde_json::Value; 2] {
    [
        plan(&[("edit", "greeter/cli.py", "version", "return 2.0")]),
        replace("greeter/cli.py", "    return \"1.0\"", "    return \"2.0\""),
    ]
}
