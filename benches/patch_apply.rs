//! How long `countersign patch apply` takes for 1,000 hunks over 200 files, against GNU `patch` on the
//! same diff, as whole processes: reading, placing, gates, journal, syncs and reading back included.
//!
//! `cargo bench --bench patch_apply`, with `TMPDIR` naming a folder on the file system that is meant. The aim
//! is less than five times as long. It says so if there is no `patch` to compare with.
#![allow(clippy::print_stdout, reason = "it is a program for a terminal")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FILES: usize = 200;
const HUNKS: usize = 5;
const ROUNDS: usize = 9;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let diff = folder.path().join("change.diff");
    std::fs::write(&diff, diff_of_all()).unwrap();
    let ours = |root: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(["patch", "apply", "--format", "unified", "--root"]).arg(root);
        command.arg("--data-dir").arg(root.with_extension("data"));
        command.stdin(std::fs::File::open(&diff).unwrap());
        command
    };
    let theirs = |root: &Path| {
        let mut command = Command::new("patch");
        command.args(["-p1", "-s", "-d"]).arg(root).arg("-i").arg(&diff);
        command
    };
    let found = Command::new("patch").arg("--version").stdout(Stdio::null()).status();
    let compares = found.is_ok_and(|status| status.success());
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Taken in turn, so that what else the machine does concerns both.
        our_times.push(timed(&folder.path().join(format!("ours{round}")), ours));
        if compares {
            their_times.push(timed(&folder.path().join(format!("theirs{round}")), theirs));
        }
    }
    let (best, median) = best_and_median(our_times);
    println!("countersign patch apply: {best:.0} ms, median {median:.0} ms of {ROUNDS}");
    if !compares {
        println!("there is no `patch` here to compare with");
        return;
    }
    let (their_best, their_median) = best_and_median(their_times);
    println!("GNU patch:               {their_best:.0} ms, median {their_median:.0} ms");
    println!("as long: {:.1} times, by the medians {:.1}", best / their_best, median / their_median);
}

/// How long the change of a tree takes that nobody has used before; it has to be done whole. A tree in
/// the place of a deleted one would have the file system look for room among what was just freed, and
/// one that is not on the disk yet would be written by whoever syncs first.
fn timed(root: &Path, command: impl Fn(&Path) -> Command) -> Duration {
    for file in 0..FILES {
        let path = root.join(name(file));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text(file, "old")).unwrap();
    }
    // Where there is no such program the times are only noisier.
    let _ = Command::new("sync").status();
    let began = Instant::now();
    let status = command(root).stdout(Stdio::null()).status().unwrap();
    let took = began.elapsed();
    assert!(status.success());
    for file in 0..FILES {
        assert_eq!(std::fs::read_to_string(root.join(name(file))).unwrap(), text(file, "new"));
    }
    took
}

/// In milliseconds.
fn best_and_median(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let millis = |at: usize| times[at].as_secs_f64() * 1e3;
    (millis(0), millis(times.len() / 2))
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
