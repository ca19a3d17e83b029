//! The throw-away copy in which an agent works, and what has really changed in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::task::{Files, Task, read_files, write_files};

/// A tree made for one run; gone when dropped.
pub struct Ground {
    folder: tempfile::TempDir,
    tree: PathBuf,
}

/// Hashes of a tree's files, by path.
pub type Snapshot = BTreeMap<String, blake3::Hash>;

impl Ground {
    /// Lays the task's tree out as a git repository with one commit.
    ///
    /// # Errors
    /// When it cannot be written, or git cannot be run.
    pub fn new(task: &Task) -> anyhow::Result<Ground> {
        let folder =
            tempfile::Builder::new().prefix("eval-").tempdir().context("cannot make a throw-away folder")?;
        let tree = folder.path().canonicalize()?.join("tree");
        std::fs::create_dir(&tree).context("cannot make a throw-away folder")?;
        git(&tree, &["init", "--quiet", "--template="])?;
        let ground = Ground { folder, tree };
        ground.add(&task.tree)?;
        Ok(ground)
    }

    /// Lays files over the tree, and commits what is there then.
    ///
    /// # Errors
    /// When they cannot be written, or git cannot be run.
    pub fn add(&self, files: &Files) -> anyhow::Result<()> {
        write_files(files, &self.tree)?;
        git(&self.tree, &["add", "--all", "--force", "--", ".", ":!.aider*", ":!target"])?;
        let who = ["-c", "user.name=eval", "-c", "user.email=eval@localhost"];
        git(&self.tree, &[&who[..], &["commit", "--quiet", "--allow-empty", "-m", "files"]].concat())
    }

    /// The tree, by its canonical path.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// A folder beside the tree for files of the agent.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn beside(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.path().join(name);
        crate::disk::private_folder(&folder)?;
        Ok(folder.canonicalize()?)
    }

    /// The files as they are now.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn files(&self) -> anyhow::Result<Files> {
        // Aider keeps what it knows of the repository there.
        read_files(&self.tree, &|path| path == ".git" || path.starts_with(".aider") || path == "target")
    }
}

fn git(tree: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("git");
    command.current_dir(tree).args(["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false"]);
    command.args(arguments).stdin(Stdio::null());
    // The owner's own settings and a surrounding repository have no say in a throw-away copy.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.output().context("git cannot be run; throw-away copies are git repositories")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {} failed in a throw-away copy: {}", arguments[0], said.trim());
    Ok(())
}

/// The hashes of files.
pub fn snapshot(files: &Files) -> Snapshot {
    files.iter().map(|(path, bytes)| (path.clone(), blake3::hash(bytes))).collect()
}

/// Paths that are not the same in both.
pub fn changed(before: &Snapshot, after: &Snapshot) -> BTreeSet<String> {
    let paths = before.keys().chain(after.keys());
    paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_a_ground_is_seen() {
        let files = [("a.py", "1"), ("gone.py", "2"), (".gitignore", "*.log\n"), ("same.py", "3")];
        let tree: Files =
            files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into_iter().collect();
        let ground = Ground::new(&Task { tree: tree.clone(), ..Task::default() }).unwrap();
        ground.add(&[("late.py".to_owned(), b"4".to_vec())].into()).unwrap();
        let mut before = snapshot(&ground.files().unwrap());
        assert!(before.contains_key("late.py"));
        before.remove("late.py");
        assert_eq!(before, snapshot(&tree));
        std::fs::remove_file(ground.tree().join("late.py")).unwrap();
        let write = |path: &str| std::fs::write(ground.tree().join(path), "new").unwrap();
        write("a.py");
        write("new.py");
        // Also what git would not tell.
        write("ignored.log");
        std::fs::remove_file(ground.tree().join("gone.py")).unwrap();
        let after = snapshot(&ground.files().unwrap());
        let changed: Vec<String> = changed(&before, &after).into_iter().collect();
        assert_eq!(changed, ["a.py", "gone.py", "ignored.log", "new.py"]);
    }
}
