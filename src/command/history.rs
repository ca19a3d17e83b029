//! `countersign history`: the changes that can be taken back, one of them with its hunks, and what
//! is no longer worth its room.

use std::fmt::Write as _;

use serde_json::json;

use crate::apply::{self, Entry};
use crate::cli::HistoryArgs;
use crate::command::{self, undo};
use crate::config::Config;
use crate::edit::PatchSet;
use crate::sanitize::{visible, visible_text};

pub fn history(config: &Config, arguments: HistoryArgs) -> anyhow::Result<String> {
    let journal = config.data.journal();
    if let Some(keep) = arguments.keep {
        let gone = apply::collect(&config.root, &journal, keep).map_err(undo::usage)?;
        let (changes, contents, bytes) = (gone.changes, gone.contents, gone.bytes);
        return match arguments.json {
            true => command::json(&json!({"changes": changes, "contents": contents, "bytes": bytes})),
            false => Ok(format!("forgot {changes} changes and {contents} copies of files, {bytes} bytes\n")),
        };
    }
    match &arguments.change {
        Some(id) => {
            let (entry, patch) = apply::show(&journal, id).map_err(undo::usage)?;
            match arguments.json {
                true => command::json(&one_json(&entry, &patch)),
                false => Ok(one(&entry, &patch)),
            }
        }
        None => {
            let entries = apply::history(&journal).map_err(undo::usage)?;
            if arguments.json { command::json(&entries) } else { Ok(list(&entries)) }
        }
    }
}

/// Writing to a string cannot fail, here and below.
fn list(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "no changes yet in this repository\n".into();
    }
    let mut text = String::new();
    for entry in entries {
        head(&mut text, entry);
        for path in &entry.paths {
            let _ = writeln!(text, "    {}", visible(path));
        }
    }
    text
}

fn head(text: &mut String, entry: &Entry) {
    let at = i64::try_from(entry.at_ms).ok().and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let at = at.map_or(String::new(), |at| at.strftime("%Y-%m-%d %H:%M").to_string());
    let mut state = entry.state.label().to_owned();
    if !entry.undone.is_empty() {
        let hunks: Vec<String> = entry.undone.iter().map(u32::to_string).collect();
        state += &format!(" but for hunk {}", hunks.join(", "));
    }
    let _ = writeln!(text, "{}  {at}  {state}  {}", entry.id, visible(&entry.summary));
}

fn one(entry: &Entry, patch: &PatchSet) -> String {
    let mut text = String::new();
    head(&mut text, entry);
    if let Some(task) = &entry.task {
        let _ = writeln!(text, "part of task {}", visible(task));
    }
    for file in patch.files() {
        let _ = writeln!(text, "\n{}", visible(file.path()));
        for hunk in file.hunks() {
            let undone = if entry.undone.contains(&hunk.id()) { ", undone" } else { "" };
            let _ = writeln!(text, "hunk {}{undone}: {}", hunk.id(), visible(hunk.header()));
            for line in hunk.shown_lines() {
                let _ = writeln!(text, "    {}", visible_text(&line));
            }
        }
    }
    text
}

fn one_json(entry: &Entry, patch: &PatchSet) -> serde_json::Value {
    let files: Vec<_> = patch
        .files()
        .iter()
        .map(|file| {
            let hunks: Vec<_> = file
                .hunks()
                .iter()
                .map(|hunk| json!({"id": hunk.id(), "header": hunk.header(), "lines": hunk.shown_lines()}))
                .collect();
            json!({"path": file.path(), "old_path": file.old_path(), "change": file.kind(), "hunks": hunks})
        })
        .collect();
    json!({"entry": entry, "files": files})
}
