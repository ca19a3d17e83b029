//! Runs the tests of a task on a tree. What a model wrote runs in the sandbox of checks, in a copy of its
//! own, without a network.

use std::path::Path;

use anyhow::Context as _;

use super::task::{Files, Task, write_files};
use crate::check::{Check, Limits, Place, Runner, Source, tally};
use crate::edit::PatchSet;

/// Longest run of a task's tests, in seconds, the build included.
const SECONDS: u64 = 180;
/// Most memory of it: a solution that never ends must not take the model server with it.
const MEMORY_BYTES: u64 = 4 << 30;
const PROCESSES: u64 = 512;

/// How the tests went.
#[derive(Debug, Clone)]
pub struct Exam {
    /// The command ended well.
    pub passed: bool,
    /// Tests that passed, where the command says so.
    pub count: Option<u32>,
    pub output: String,
    /// How long they took.
    pub seconds: f64,
}

impl Exam {
    /// Whether it counts as solved: also a program that ends itself before its tests ends well.
    pub fn solves(&self, expected: Option<u32>) -> bool {
        self.passed && self.count >= expected
    }
}

/// Runs the tests of `task` on `files` with the hidden ones laid over them.
///
/// # Errors
/// When they cannot be started.
pub async fn take(task: &Task, files: &Files, runner: &Runner) -> anyhow::Result<Exam> {
    let folder =
        tempfile::Builder::new().prefix("exam-").tempdir().context("cannot make a folder for tests")?;
    let mut all = files.clone();
    all.extend(task.oracle.clone());
    run(&all, &task.tests, folder.path(), runner).await
}

/// Runs a command on a copy of `files` in `folder`, which must be empty.
///
/// # Errors
/// When it cannot be started.
pub async fn run(files: &Files, argv: &[String], folder: &Path, runner: &Runner) -> anyhow::Result<Exam> {
    let folder = folder.canonicalize()?;
    let tree = folder.join("tree");
    std::fs::create_dir(&tree).context("cannot make a folder for tests")?;
    write_files(files, &tree)?;
    let usual = runner.limits.clone();
    let limits = Limits { memory_bytes: usual.memory_bytes.min(MEMORY_BYTES), processes: PROCESSES, ..usual };
    let paces = Default::default();
    let runner =
        Runner { root: tree.clone(), folder: folder.join("checks"), limits, paces, ..runner.clone() };
    let mut workspace = runner.workspace()?;
    workspace = tokio::task::spawn_blocking(move || {
        workspace.fill(&tree, &PatchSet::default())?;
        anyhow::Ok(workspace)
    })
    .await
    .context("the thread of the copy ended")??;
    let check = Check { timeout_s: SECONDS, ..Check::of(argv.to_vec(), Source::Typed) };
    let began = std::time::Instant::now();
    let ran = runner.run(&check, &workspace, Place::Scratch).await?;
    let seconds = began.elapsed().as_secs_f64();
    let mut output = ran.output;
    if ran.result.timed_out {
        output.push_str(&format!("\nThe tests were ended after {SECONDS} seconds.\n"));
    }
    Ok(Exam { passed: ran.result.passed, count: tally::passed(&output), output, seconds })
}

/// The first lines of what tests said, as the next attempt gets them; Aider's benchmark cuts there too.
pub fn first_lines(output: &str) -> String {
    const LINES: usize = 50;
    const BYTES: usize = 6_000;
    let mut text = String::new();
    for line in output.lines().take(LINES) {
        if text.len() + line.len() > BYTES {
            break;
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_ends_well_has_to_have_run_its_tests() {
        let exam = |passed, count| Exam { passed, count, output: String::new(), seconds: 0.0 };
        assert!(exam(true, Some(8)).solves(Some(7)), "the agent may have added a test");
        assert!(!exam(true, None).solves(Some(7)), "ended before its tests");
        assert!(!exam(true, Some(0)).solves(Some(7)) && !exam(false, Some(7)).solves(Some(7)));
        assert!(exam(true, None).solves(None));
    }

    #[test]
    fn long_output_is_cut_between_lines() {
        let text = first_lines(&"a line\n".repeat(80));
        assert_eq!(text.lines().count(), 50);
        assert!(first_lines(&format!("{}\n{}\n", "x".repeat(5_000), "y".repeat(5_000))).len() < 6_000);
    }
}
