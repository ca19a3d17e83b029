//! How long `countersign patch apply` takes for 1,000 hunks over 200 files, against GNU `patch` on the
//! same diff, as whole processes: reading, placing, gates, journal, syncs and reading back included.
//!
//! `cargo bench --bench patch_apply`. The aim is less than five times as long. It says so if there is no
//! `patch` to compare with.
#![allow(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILES: usize = 200;
const HUNKS: usize = 5;
const ROUNDS: usize = 7;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let diff = folder.path().join("change.diff");
    std::fs::write(&diff, diff_of_all()).unwrap();
    let ours = best(folder.path(), |root, number| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(["patch", "apply", "--format", "unified", "--root"]).arg(root);
        command.arg("--data-dir").arg(folder.path().join(format!("data{number}")));
        command.stdin(std::fs::File::open(&diff).unwrap());
        command
    });
    println!("countersign patch apply: {:.0} ms (best of {ROUNDS})", ours.as_secs_f64() * 1e3);
    let is_there = Command::new("patch").arg("--version").stdout(Stdio::null()).status();
    if !is_there.is_ok_and(|status| status.success()) {
        println!("there is no `patch` here to compare with");
        return;
    }
    let theirs = best(folder.path(), |root, _| {
        let mut command = Command::new("patch");
        command.args(["-p1", "-s", "-d"]).arg(root).arg("-i").arg(&diff);
        command
    });
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!(
        "GNU patch:               {:.0} ms; ours takes {ratio:.1} times as long",
        theirs.as_secs_f64() * 1e3
    );
}

/// The shortest of several runs, each on a fresh tree; all of them have to do the whole change.
fn best(folder: &Path, command: impl Fn(&Path, usize) -> Command) -> Duration {
    (0..ROUNDS)
        .map(|number| {
            let root = folder.join("tree");
            std::fs::create_dir_all(&root).unwrap();
            for file in 0..FILES {
                let path = root.join(name(file));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text(file, "old")).unwrap();
            }
            let began = Instant::now();
            let status = command(&root, number).stdout(Stdio::null()).status().unwrap();
            let took = began.elapsed();
            assert!(status.success());
            for file in 0..FILES {
                assert_eq!(std::fs::read_to_string(root.join(name(file))).unwrap(), text(file, "new"));
            }
            std::fs::remove_dir_all(&root).unwrap();
            took
        })
        .min()
        .unwrap()
}

fn name(file: usize) -> String {
    format!("part{}/file{file}.py", file % 10)
}

/// A hundred lines of Python (so that syntax is checked as well), of which every twentieth is in the word's version.
fn text(file: usize, word: &str) -> String {
    (0..HUNKS * 20)
        .map(|line| match line % 20 {
            10 => format!("{word}_{line} = {file}\n"),
            _ => format!("value_{line} = \"line {line} of file {file} stays as it is\"\n"),
        })
        .collect()
}

fn diff_of_all() -> String {
    let mut diff = String::new();
    for file in 0..FILES {
        let (old, new) = (text(file, "old"), text(file, "new"));
        let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
        diff += &format!("--- a/{0}\n+++ b/{0}\n", name(file));
        for hunk in 0..HUNKS {
            let at = hunk * 20 + 10;
            diff += &format!("@@ -{0},7 +{0},7 @@\n", at - 2);
            for line in at - 3..=at + 3 {
                match line == at {
                    true => diff += &format!("-{}\n+{}\n", old[line], new[line]),
                    false => diff += &format!(" {}\n", old[line]),
                }
            }
        }
    }
    diff
}
