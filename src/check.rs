//! Runs the owner's check, in a scratch copy or in the tree. It must not judge what a result means.
//!
//! The command is what the owner typed, split into arguments; no shell sees it. It is not sandboxed,
//! and the events say so.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::edit::PatchSet;
use crate::protocol::CheckResult;

/// Longest run of a check. Builds of a large workspace fit; a hanging test does not hang us.
const LONGEST: Duration = Duration::from_secs(600);
/// How much of the output's end is kept.
const TAIL_BYTES: usize = 4096;

/// Splits a command line into arguments as a shell would, without any expansion.
pub fn split(command: &str) -> anyhow::Result<Vec<String>> {
    let words = shlex::split(command).filter(|words| !words.is_empty());
    words.with_context(|| format!("the check {command:?} is empty or has an open quote"))
}

/// Runs `command` in `folder`. Dropping the future kills it with everything that it started.
///
/// # Errors
/// Only if it cannot be started; that it fails is a result.
pub async fn run(command: &[String], folder: &Path) -> anyhow::Result<CheckResult> {
    let began = Instant::now();
    let (program, arguments) = command.split_first().context("the check is empty")?;
    let mut child = Command::new(program);
    child.args(arguments).current_dir(folder);
    child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // A group of its own, so that what it starts can be ended with it.
    #[cfg(unix)]
    child.process_group(0);
    let mut child = child
        .spawn()
        .with_context(|| format!("cannot start the check {program:?}; is it installed and on the PATH?"))?;
    let _group = Group(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let finished = tokio::time::timeout(LONGEST, async {
        let (out, err, status) = tokio::join!(tail(stdout), tail(stderr), child.wait());
        (out, err, status)
    })
    .await;
    let millis = || began.elapsed().as_millis() as u64;
    let Ok((out, err, status)) = finished else {
        return Ok(CheckResult {
            passed: false,
            exit_code: None,
            timed_out: true,
            output_tail: format!("ended after {} seconds", LONGEST.as_secs()),
            millis: millis(),
        });
    };
    let status = status.context("cannot wait for the check")?;
    let mut output = out;
    output.extend(err);
    Ok(CheckResult {
        passed: status.success(),
        exit_code: status.code(),
        timed_out: false,
        output_tail: String::from_utf8_lossy(&output).into_owned(),
        millis: millis(),
    })
}

/// Reads to the end and keeps the last bytes.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut buffer = [0; 8192];
    while let Ok(n) = stream.read(&mut buffer).await {
        if n == 0 {
            break;
        }
        kept.extend_from_slice(&buffer[..n]);
        if kept.len() > TAIL_BYTES {
            kept.drain(..kept.len() - TAIL_BYTES);
        }
    }
    kept
}

/// Kills the whole process group when dropped, whether the check ended, timed out or was cancelled.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = self.0.and_then(|id| rustix::process::Pid::from_raw(id as i32)) {
            // An error means that nobody is left in the group.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Copies every file of `root` that is not ignored into `scratch`. Links and special files are left
/// out: a copy must not lead back into the tree.
pub fn copy_tree(root: &Path, scratch: &Path) -> anyhow::Result<()> {
    let walk = ignore::WalkBuilder::new(root)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for entry in walk {
        let entry = entry.context("cannot walk the tree for a scratch copy")?;
        let Some(kind) = entry.file_type() else { continue };
        let target = scratch.join(entry.path().strip_prefix(root).unwrap_or(entry.path()));
        if kind.is_dir() {
            std::fs::create_dir_all(&target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Writes a proposed patch into a scratch copy. The paths have passed the gates, and the copy has no
/// links that could lead out of it.
pub fn lay(patch: &PatchSet, scratch: &Path) -> anyhow::Result<()> {
    for file in patch.files() {
        if file.before().is_some() {
            let old = scratch.join(file.old_path());
            std::fs::remove_file(&old).with_context(|| format!("cannot replace {}", old.display()))?;
        }
        let Some(after) = file.after() else { continue };
        let new = scratch.join(file.path());
        std::fs::create_dir_all(new.parent().unwrap_or(scratch))?;
        std::fs::write(&new, &after.bytes).with_context(|| format!("cannot write {}", new.display()))?;
        #[cfg(unix)]
        if let Some(mode) = after.mode {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn argv(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| word.to_string()).collect()
    }

    #[tokio::test]
    async fn results_are_told_apart() {
        let here = Path::new(".");
        assert!(run(&argv(&["true"]), here).await.unwrap().passed);
        let failed = run(&argv(&["sh", "-c", "echo why >&2; exit 3"]), here).await.unwrap();
        assert_eq!((failed.passed, failed.exit_code), (false, Some(3)));
        assert_eq!(failed.output_tail, "why\n");
        let missing = run(&argv(&["no-such-program-anywhere"]), here).await.unwrap_err();
        assert!(missing.to_string().contains("on the PATH"), "{missing}");
    }

    #[tokio::test]
    async fn output_is_bounded_by_its_end() {
        let result = run(&argv(&["sh", "-c", "seq 1 100000"]), Path::new(".")).await.unwrap();
        assert!(result.output_tail.ends_with("99999\n100000\n"));
        assert!(result.output_tail.len() <= TAIL_BYTES);
    }

    #[tokio::test]
    async fn a_cancelled_check_leaves_nothing_running() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("alive");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        // The grandchild holds the pipe open for writing as long as it lives.
        let script = format!("(exec 3>'{}'; sleep 600) & wait", fifo.display());
        let command = argv(&["sh", "-c", &script]);
        let check = tokio::spawn(async move { run(&command, Path::new(".")).await });
        let open = tokio::task::spawn_blocking(move || std::fs::File::open(fifo).unwrap()).await.unwrap();
        check.abort();
        let read = tokio::task::spawn_blocking(move || std::io::read_to_string(open).unwrap());
        assert_eq!(read.await.unwrap(), "");
    }

    #[test]
    fn a_command_is_split_not_interpreted() {
        assert_eq!(
            split("cargo test -- 'a b' $HOME;x").unwrap(),
            argv(&["cargo", "test", "--", "a b", "$HOME;x"])
        );
        assert!(split("echo 'open").is_err());
        assert!(split("  ").is_err());
    }

    #[test]
    fn a_copy_leaves_out_what_is_ignored_and_links() {
        let root = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("target")).unwrap();
        std::fs::create_dir_all(root.path().join(".git")).unwrap();
        std::fs::write(root.path().join("target/big"), "x").unwrap();
        std::fs::write(root.path().join(".gitignore"), "/target\n").unwrap();
        std::fs::write(root.path().join("a.txt"), "a").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.path().join("link")).unwrap();
        copy_tree(root.path(), scratch.path()).unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".gitignore", "a.txt"]);
    }
}
