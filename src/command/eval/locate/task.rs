//! Owns the task file of `eval locate`: requests with the files that a real change touched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::failure::Failure;

const ADVICE: &str = "A task file holds JSON lines with `id`, `repo` (owner/name), `base_commit`, `query`, \
                      `gold_files` (a list of paths) and, if known, `gold_lines` (path to a list of [first, last]).";

/// One request whose answer is known. Other keys of the line are ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Task {
    pub id: String,
    /// `owner/name`.
    pub repo: String,
    /// Full id of the commit before the change.
    pub base_commit: String,
    pub query: String,
    /// Files that the change modified.
    pub gold_files: Vec<String>,
    /// First and last line of each hunk as the file was before the change, 1-based, inclusive.
    #[serde(default)]
    pub gold_lines: BTreeMap<String, Vec<(u32, u32)>>,
}

/// Reads a task file, in its order; of `repos`, if any are given.
///
/// # Errors
/// With the line, when one is not a task, has no gold files, or has the id of an earlier one.
pub fn read(path: &Path, repos: &[String]) -> anyhow::Result<Vec<Task>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display()), ADVICE))?;
    let mut ids = BTreeSet::new();
    let mut tasks = Vec::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let wrong =
            |reason: String| Failure::usage(format!("{}, line {number}: {reason}", path.display()), ADVICE);
        let task: Task = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if task.gold_files.is_empty() {
            return Err(wrong(format!("task `{}` has no gold files", task.id)).into());
        }
        if !ids.insert(task.id.clone()) {
            return Err(wrong(format!("a second task has the id `{}`", task.id)).into());
        }
        tasks.push(task);
    }
    tasks.retain(|task| repos.is_empty() || repos.contains(&task.repo));
    if tasks.is_empty() {
        return Err(Failure::usage(format!("{} holds no such task", path.display()), ADVICE).into());
    }
    Ok(tasks)
}

/// The clone of a repository below `folder`: `owner/name`, `owner+name`, `owner__name` or `name`,
/// or a folder `repo` in one of these.
///
/// # Errors
/// When there is none, or the name leads out of the folder.
pub fn clone_of(repo: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let places = [
        repo.to_owned(),
        repo.replace('/', "+"),
        repo.replace('/', "__"),
        repo.rsplit('/').next().unwrap_or(repo).to_owned(),
    ];
    let is_inside = |name: &&String| {
        !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
    };
    let is_repository = |place: &PathBuf| place.join("HEAD").is_file() || place.join(".git").exists();
    let found = places
        .iter()
        .filter(is_inside)
        .flat_map(|name| [folder.join(name), folder.join(name).join("repo")])
        .find(is_repository);
    found.ok_or_else(|| {
        Failure::usage(
            format!("no clone of `{repo}` in {}", folder.display()),
            format!("Clone it with its full history, such as: git clone --bare URL {}", places[1]),
        )
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_found_under_any_of_its_names_and_never_outside() {
        let folder = tempfile::tempdir().unwrap();
        let repos = folder.path().join("repos");
        for place in ["a/one/.git", "b+two/repo", "three/.git", "../outside/.git"] {
            std::fs::create_dir_all(repos.join(place)).unwrap();
        }
        std::fs::write(repos.join("b+two/repo/HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(clone_of("a/one", &repos).unwrap(), repos.join("a/one"));
        assert_eq!(clone_of("b/two", &repos).unwrap(), repos.join("b+two/repo"));
        assert_eq!(clone_of("c/three", &repos).unwrap(), repos.join("three"));
        for repo in ["../outside", "", "/", "a/missing", ".."] {
            assert!(clone_of(repo, &repos).is_err(), "{repo}");
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.jsonl");
        let good = r#"{"id":"1","repo":"a/b","base_commit":"x","query":"q","gold_files":["f"],"lang":"py"}"#;
        for (second, expected) in [
            ("{", "line 2"),
            (good, "second task"),
            (&good.replace("[\"f\"]", "[]").replace("\"1\"", "\"2\""), "no gold"),
        ] {
            std::fs::write(&path, format!("{good}\n{second}\n")).unwrap();
            let error = format!("{:#}", read(&path, &[]).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        std::fs::write(&path, format!("{good}\n\n")).unwrap();
        assert_eq!(read(&path, &[]).unwrap().len(), 1);
        assert!(read(&path, &["other/repo".into()]).is_err());
    }
}
