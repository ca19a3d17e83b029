//! Owns a throw-away work tree for commits of another repository, so that the index can be measured
//! on the past. It copies objects and nothing else: no hook, filter or other program runs, no
//! configuration of the clone is read, and links and submodules are left out. The clone is not
//! written to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gix::ObjectId;
use gix::objs::tree::EntryKind;

use crate::IndexError;

/// Trees nested deeper, or holding more entries, are refused: they are made to exhaust us.
const DEPTH_LIMIT: usize = 128;
const ENTRY_LIMIT: usize = 1_000_000;

/// A work tree that moves from commit to commit.
pub struct Checkout {
    root: PathBuf,
    clone: PathBuf,
    repository: gix::Repository,
    /// What was written, by path.
    files: BTreeMap<String, ObjectId>,
}

/// What one move did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switched {
    pub written: usize,
    pub removed: usize,
    /// Files whose content the clone does not have, as in a partial one; they are not in the tree.
    pub missing: Vec<String>,
}

impl Checkout {
    /// Prepares the empty directory `root` for commits of `clone`, a work tree or a bare repository.
    /// The new repository shares the clone's objects and knows no branch of it.
    ///
    /// # Errors
    /// When `clone` is not a repository, or `root` is not empty or cannot be written.
    pub fn new(clone: &Path, root: &Path) -> Result<Checkout, IndexError> {
        let refused = |reason: String| IndexError::Clone { path: clone.to_owned(), reason };
        let options = gix::open::Options::isolated().strict_config(false);
        let opened = gix::ThreadSafeRepository::open_opts(clone, options)
            .map_err(|error| refused(error.to_string()))?;
        let repository = opened.to_thread_local();
        let common = repository.common_dir().canonicalize().map_err(|error| refused(error.to_string()))?;
        let objects = common.join("objects");
        let Some(alternates) = objects.to_str().filter(|path| !path.contains(['\n', '"'])) else {
            return Err(refused("its path cannot be written to git's list of alternates".to_owned()));
        };
        let failed = |error: std::io::Error| IndexError::Root {
            path: root.to_owned(),
            reason: format!("it cannot hold a work tree: {error}"),
        };
        if std::fs::read_dir(root).map_err(failed)?.next().is_some() {
            return Err(IndexError::Root { path: root.to_owned(), reason: "it is not empty".to_owned() });
        }
        let git = root.join(".git");
        let write = || -> std::io::Result<()> {
            for directory in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
                std::fs::create_dir_all(git.join(directory))?;
            }
            std::fs::write(git.join("objects/info/alternates"), format!("{alternates}\n"))?;
            std::fs::write(git.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = false\n")?;
            std::fs::write(git.join("HEAD"), "ref: refs/heads/none\n")?;
            match std::fs::copy(common.join("shallow"), git.join("shallow")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        write().map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        Ok(Checkout { root, clone: clone.to_owned(), repository, files: BTreeMap::new() })
    }

    /// The work tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the tree and HEAD those of a commit, given by its full id.
    ///
    /// # Errors
    /// When the clone does not have the commit or a tree of it, or the disk fails; the tree is then
    /// of no use.
    pub fn switch(&mut self, commit: &str) -> Result<Switched, IndexError> {
        let id = ObjectId::from_hex(commit.as_bytes())
            .map_err(|_| self.refused(format!("`{commit}` is not the full id of a commit")))?;
        let tree = self
            .repository
            .find_commit(id)
            .ok()
            .and_then(|commit| commit.tree_id().ok())
            .ok_or_else(|| self.refused(format!("it does not have the commit {commit}")))?
            .detach();
        let wanted = self.list(tree)?;
        let mut switched = Switched::default();
        let gone: Vec<String> =
            self.files.keys().filter(|path| !wanted.contains_key(*path)).cloned().collect();
        for path in gone {
            self.remove(&path)?;
            switched.removed += 1;
        }
        for (path, id) in wanted {
            if self.files.get(&path) == Some(&id) {
                continue;
            }
            let Ok(blob) = self.repository.find_blob(id) else {
                // An older version must not pass for it.
                self.remove(&path)?;
                switched.missing.push(path);
                continue;
            };
            let target = self.root.join(&path);
            let parent = target.parent().unwrap_or(&self.root);
            std::fs::create_dir_all(parent)
                .and_then(|()| std::fs::write(&target, &blob.data))
                .map_err(|error| self.unwritable(&target, &error))?;
            self.files.insert(path, id);
            switched.written += 1;
        }
        let head = self.root.join(".git/HEAD");
        std::fs::write(&head, format!("{id}\n")).map_err(|error| self.unwritable(&head, &error))?;
        Ok(switched)
    }

    /// Regular files of a tree by path.
    fn list(&self, tree: ObjectId) -> Result<BTreeMap<String, ObjectId>, IndexError> {
        let mut files = BTreeMap::new();
        let mut open = vec![(tree, String::new(), 0)];
        while let Some((id, directory, depth)) = open.pop() {
            let tree = self
                .repository
                .find_tree(id)
                .map_err(|_| self.refused(format!("it does not have the tree of `{directory}`")))?;
            let tree = tree.decode().map_err(|error| self.refused(error.to_string()))?;
            for entry in tree.entries {
                let Some(name) = std::str::from_utf8(entry.filename).ok().filter(|name| is_safe(name)) else {
                    continue;
                };
                match entry.mode.kind() {
                    EntryKind::Tree if depth < DEPTH_LIMIT => {
                        open.push((entry.oid.to_owned(), format!("{directory}{name}/"), depth + 1));
                    }
                    EntryKind::Blob | EntryKind::BlobExecutable => {
                        files.insert(format!("{directory}{name}"), entry.oid.to_owned());
                    }
                    _ => {}
                }
            }
            if files.len() + open.len() > ENTRY_LIMIT {
                return Err(self.refused("the tree of the commit is too large".to_owned()));
            }
        }
        Ok(files)
    }

    /// Removes a file that was written, and the directories it leaves empty.
    fn remove(&mut self, path: &str) -> Result<(), IndexError> {
        if self.files.remove(path).is_none() {
            return Ok(());
        }
        let target = self.root.join(path);
        std::fs::remove_file(&target).map_err(|error| self.unwritable(&target, &error))?;
        let mut directory = target.parent();
        while let Some(empty) = directory.filter(|directory| *directory != self.root) {
            if std::fs::remove_dir(empty).is_err() {
                break;
            }
            directory = empty.parent();
        }
        Ok(())
    }

    fn refused(&self, reason: String) -> IndexError {
        IndexError::Clone { path: self.clone.clone(), reason }
    }

    fn unwritable(&self, path: &Path, error: &std::io::Error) -> IndexError {
        IndexError::Root { path: path.to_owned(), reason: format!("it cannot be written: {error}") }
    }
}

/// Whether a name of a tree entry is one component inside the tree, on any system, and not git's.
fn is_safe(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\', ':', '\0'])
        // "git~1" is what some systems call ".git"; they also drop dots and spaces at the end.
        && !matches!(name.trim_end_matches(['.', ' ']).to_ascii_lowercase().as_str(), ".git" | "git~1")
}

#[cfg(test)]
mod tests {
    use super::is_safe;

    #[test]
    fn names_that_lead_out_of_the_tree_are_left_out() {
        for name in ["", ".", "..", "a/b", "a\\b", "c:x", "x\0", ".git", ".GIT", ".git.", ".git ", "GIT~1"] {
            assert!(!is_safe(name), "{name:?}");
        }
        for name in ["a", ".gitignore", "...a", "git", "ä b", ".github"] {
            assert!(is_safe(name), "{name:?}");
        }
    }
}
