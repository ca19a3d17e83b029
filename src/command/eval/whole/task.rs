//! Owns what a whole task is: a tree, a request, and tests that the agent does not see.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use anyhow::{Context as _, ensure};

/// Files of a tree by their paths in it, with `/`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Most files of a task, and most bytes of one: tasks are small, and anything else is a mistake.
const MOST_FILES: usize = 2_000;
const MOST_BYTES: u64 = 4 << 20;

/// One whole task.
#[derive(Debug, Clone, Default)]
pub struct Task {
    /// Such as `python/anagram`.
    pub id: String,
    pub language: String,
    pub request: String,
    /// What the agent gets.
    pub tree: Files,
    /// Files that are pointed out with the request.
    pub tags: Vec<String>,
    /// Files that a right solution changes, makes or removes.
    pub needed: Vec<String>,
    /// Files that a wrong choice would change.
    pub decoys: Vec<String>,
    /// Laid over the tree by a right solution, and what it removes.
    pub solution: Files,
    pub removed: Vec<String>,
    /// Laid over the tree before the tests: what the agent must not see.
    pub oracle: Files,
    /// The tests, as a command in the tree.
    pub tests: Vec<String>,
    /// A check that the agent may run itself.
    pub check: Option<Vec<String>>,
    /// From 1 to 10, where it is known.
    pub difficulty: Option<u32>,
}

impl Task {
    /// The tree with its solution.
    pub fn solved(&self) -> Files {
        let mut files = self.tree.clone();
        files.retain(|path, _| !self.removed.contains(path));
        files.extend(self.solution.clone());
        files
    }
}

/// Every file below a folder by its path, without links, and without what `skip` says, which is asked
/// about folders as well.
///
/// # Errors
/// What cannot be read, and a folder that is too large for a task.
pub fn read_files(folder: &Path, skip: &dyn Fn(&str) -> bool) -> anyhow::Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let entries =
            std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            let name = entry.file_name();
            let name = name
                .to_str()
                .with_context(|| format!("{} is not a name in UTF-8", entry.path().display()))?;
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if skip(&path) || kind.is_symlink() {
                continue;
            }
            if kind.is_dir() {
                folders.push((entry.path(), format!("{path}/")));
            } else if kind.is_file() {
                let size = entry.metadata()?.len();
                ensure!(size <= MOST_BYTES, "{} is too large for a task", entry.path().display());
                let bytes = std::fs::read(entry.path())
                    .with_context(|| format!("cannot read {}", entry.path().display()))?;
                files.insert(path, bytes);
                ensure!(files.len() <= MOST_FILES, "{} has too many files for a task", folder.display());
            }
        }
    }
    Ok(files)
}

/// Writes files into a folder.
///
/// # Errors
/// A path that leads out of it, or what cannot be written.
pub fn write_files(files: &Files, folder: &Path) -> anyhow::Result<()> {
    for (path, bytes) in files {
        ensure!(is_inside(path), "{path:?} is not a path inside of a task");
        let place = folder.join(path);
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        std::fs::write(&place, bytes).with_context(|| format!("cannot write {}", place.display()))?;
    }
    Ok(())
}

/// Whether a path stays below the folder that it is joined to.
pub fn is_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_without_links_and_never_written_outside() {
        let folder = tempfile::tempdir().unwrap();
        let files: Files = [("a.py", "x"), ("src/b.rs", "y"), ("skip/c", "z")]
            .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
            .into();
        write_files(&files, folder.path()).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        let read = read_files(folder.path(), &|path| path == "skip").unwrap();
        assert_eq!(read.keys().collect::<Vec<_>>(), ["a.py", "src/b.rs"]);
        for path in ["../out", "/out", "a/../../out", ""] {
            let one = Files::from([(path.to_owned(), Vec::new())]);
            assert!(write_files(&one, &folder.path().join("src")).is_err(), "{path}");
        }
        assert!(!folder.path().join("out").exists());
    }
}
