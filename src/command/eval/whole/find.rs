//! Finds the tasks below the folders that were named, and chooses among them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use super::task::Task;
use super::{exercise, own};
use crate::cli::{LanguageName, TaskArgs};
use crate::failure::Failure;

/// How deep a folder may lie below the one that was named: set, track, `exercises`, `practice`, exercise.
const DEEPEST: usize = 5;

/// Difficulties of a track's exercises, from its `config.json`.
#[derive(Debug, Deserialize)]
struct Track {
    exercises: Exercises,
}

#[derive(Debug, Deserialize)]
struct Exercises {
    practice: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    slug: String,
    difficulty: u32,
}

/// The tasks below the folders, by id, as far as the flags want them.
///
/// # Errors
/// A folder without tasks, or with one that cannot be read; two tasks of one id.
pub fn tasks(arguments: &TaskArgs) -> anyhow::Result<Vec<Task>> {
    let mut found: BTreeMap<String, Task> = BTreeMap::new();
    for folder in &arguments.folders {
        let mut below = Vec::new();
        search(folder, DEEPEST, &BTreeMap::new(), &mut below)?;
        if below.is_empty() {
            let advice = "A task is a folder with task.toml, or with .meta/config.json as Exercism has it.";
            return Err(Failure::usage(format!("{} holds no tasks", folder.display()), advice).into());
        }
        for task in below {
            if let Some(other) = found.insert(task.id.clone(), task) {
                let message = format!("two tasks are called {}", other.id);
                return Err(Failure::usage(message, "Name only one of their folders.").into());
            }
        }
    }
    let tasks: Vec<Task> = found.into_values().filter(|task| wanted(task, arguments)).collect();
    if tasks.is_empty() {
        return Err(Failure::usage(
            "no task fits the flags",
            "Leave out --only, --language or --difficulty.",
        )
        .into());
    }
    Ok(tasks)
}

fn wanted(task: &Task, arguments: &TaskArgs) -> bool {
    let name = task.id.rsplit('/').next().unwrap_or(&task.id);
    let language = arguments.language.is_none_or(|language| match language {
        LanguageName::Python => task.language == "python",
        LanguageName::Rust => task.language == "rust",
    });
    let named =
        arguments.only.is_empty() || arguments.only.iter().any(|only| only == name || *only == task.id);
    // What is not known to be easy is left out.
    let easy = arguments.difficulty.is_none_or(|most| task.difficulty.is_some_and(|has| has <= most));
    language && named && easy
}

fn search(
    folder: &Path,
    deeper: usize,
    difficulties: &BTreeMap<String, u32>,
    tasks: &mut Vec<Task>,
) -> anyhow::Result<()> {
    if folder.join("task.toml").is_file() {
        tasks.push(own::read(folder)?);
        return Ok(());
    }
    if folder.join(".meta/config.json").is_file() {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if let Some(mut task) = exercise::read(folder)? {
            task.difficulty = difficulties.get(name.as_ref()).copied();
            tasks.push(task);
        }
        return Ok(());
    }
    let own = track(folder)?;
    let difficulties = own.as_ref().unwrap_or(difficulties);
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|e| e.path())
        .collect();
    folders.sort();
    for folder in folders.iter().filter(|_| deeper > 0) {
        // Concept exercises teach one thing of a language with much of the solution in place.
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if name != "concept" && !name.starts_with('.') {
            search(folder, deeper - 1, difficulties, tasks)?;
        }
    }
    Ok(())
}

/// The difficulties that a track's own file gives; `None` where there is no such file.
fn track(folder: &Path) -> anyhow::Result<Option<BTreeMap<String, u32>>> {
    let Ok(text) = std::fs::read_to_string(folder.join("config.json")) else { return Ok(None) };
    // Another file of this name is no track's.
    let Ok(track) = serde_json::from_str::<Track>(&text) else { return Ok(None) };
    Ok(Some(track.exercises.practice.into_iter().map(|one| (one.slug, one.difficulty)).collect()))
}
