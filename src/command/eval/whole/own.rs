//! Reads a task of our own form: `task.toml`, and beside it `tree/`, `oracle/` and `solution/`.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::task::{Files, Task, is_inside, read_files};

/// `task.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// As a person would write it.
    request: String,
    language: String,
    kind: String,
    /// Runs the tests, in the tree. It is also the check that the agent may run, on the visible ones.
    check: Vec<String>,
    /// What a right solution changes, makes or removes.
    files: Vec<String>,
    /// What it must not change.
    decoys: Vec<String>,
    /// From 1 to 5.
    difficulty: u32,
    #[serde(default)]
    removed: Vec<String>,
}

/// Reads the task in `folder`.
///
/// # Errors
/// What cannot be read, and a task that names files outside of its tree or no tests.
pub fn read(folder: &Path) -> anyhow::Result<Task> {
    let path = folder.join("task.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let written: Written = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    let listed = || written.files.iter().chain(&written.decoys).chain(&written.removed);
    if let Some(outside) = listed().find(|path| !is_inside(path)) {
        anyhow::bail!("{}: {outside:?} leads out of the tree", path.display());
    }
    ensure!(!written.check.is_empty(), "{}: `check` is empty", path.display());
    let part = |name: &str| -> anyhow::Result<Files> {
        let place = folder.join(name);
        let is_built =
            |path: &str| path.split('/').any(|part| matches!(part, "__pycache__" | "target" | ".git"));
        if place.is_dir() { read_files(&place, &is_built) } else { Ok(Files::new()) }
    };
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    Ok(Task {
        id: format!("{}/{name}", written.kind),
        language: written.language,
        request: written.request.trim().to_owned(),
        tree: part("tree")?,
        tags: Vec::new(),
        needed: written.files,
        decoys: written.decoys,
        solution: part("solution")?,
        removed: written.removed,
        oracle: part("oracle")?,
        tests: written.check.clone(),
        check: Some(written.check),
        difficulty: Some(written.difficulty),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "request = '''\nRename it.\n'''\nlanguage = \"python\"\nkind = \"rename-api\"\ncheck = [\"true\"]\n\
                        files = [\"a.py\"]\ndecoys = [\"b.py\"]\ndifficulty = 2\n";

    fn task(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("task.toml", text),
            ("tree/a.py", "x = 1\n"),
            ("tree/__pycache__/a.pyc", ""),
            ("tree/old.py", ""),
            ("solution/a.py", "y = 1\n"),
            ("oracle/test_a.py", "import a\n"),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
        super::super::task::write_files(&files.into(), folder.path()).unwrap();
        folder
    }

    #[test]
    fn a_task_is_read_with_its_parts() {
        let read = read(task(&format!("{TASK}removed = [\"old.py\"]\n")).path()).unwrap();
        assert!(read.id.starts_with("rename-api/") && read.request == "Rename it.");
        assert_eq!(read.tree.keys().collect::<Vec<_>>(), ["a.py", "old.py"]);
        assert_eq!(read.solved(), Files::from([("a.py".to_owned(), b"y = 1\n".to_vec())]));
        assert_eq!(read.oracle.len(), 1);
    }

    #[test]
    fn our_own_tasks_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tasks");
        let mut folders: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.retain(|folder| folder.join("task.toml").is_file());
        assert!(folders.len() >= 20);
        for folder in folders {
            let task = read(&folder).unwrap();
            let changes = |path: &String| task.solution.contains_key(path) || task.removed.contains(path);
            assert!(task.needed.iter().all(changes) && !task.oracle.is_empty(), "{}", task.id);
            let stays = |path: &String| task.tree.contains_key(path) && !changes(path);
            assert!(task.decoys.iter().all(stays) && !task.decoys.is_empty(), "{}", task.id);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, said) in [
            ("\"a.py\"", "\"../a.py\"", "leads out"),
            ("[\"true\"]", "[]", "`check` is empty"),
            ("kind", "kinds", "unknown field"),
        ] {
            let error = format!("{:#}", read(task(&TASK.replacen(from, to, 1)).path()).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
