//! `countersign undo` and `redo`: through countersign's own journal, without git.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::apply::{self, AppliedChange, ApplyError, Extent, Which};
use crate::cli::UndoArgs;
use crate::config::Config;
use crate::failure::Failure;
use crate::protocol::ChangeKind;
use crate::sanitize::visible;

pub fn undo(config: &Config, arguments: UndoArgs) -> anyhow::Result<String> {
    let (which, hunks) = meant(&arguments);
    let extent = extent(&arguments, &hunks);
    let change = apply::undo(&config.root, &config.data.journal(), which, extent).map_err(usage)?;
    Ok(describe("undone", &change))
}

pub fn redo(config: &Config, arguments: UndoArgs) -> anyhow::Result<String> {
    let (which, hunks) = meant(&arguments);
    let extent = extent(&arguments, &hunks);
    let change = apply::redo(&config.root, &config.data.journal(), which, extent).map_err(usage)?;
    Ok(describe("redone", &change))
}

fn meant(arguments: &UndoArgs) -> (Which<'_>, BTreeSet<u32>) {
    let which = arguments.change.as_deref().map_or(Which::Latest, Which::Id);
    (which, arguments.hunk.iter().copied().collect())
}

fn extent<'a>(arguments: &UndoArgs, hunks: &'a BTreeSet<u32>) -> Extent<'a> {
    match (arguments.task, hunks.is_empty()) {
        (true, _) => Extent::Task,
        (false, true) => Extent::Change,
        (false, false) => Extent::Hunks(hunks),
    }
}

/// What the disk holds now, read back.
fn describe(done: &str, change: &AppliedChange) -> String {
    let mut text = format!("{done}: {}\n", change.id);
    for file in &change.files {
        let verb = match file.change {
            ChangeKind::Create => "created",
            ChangeKind::Modify => "restored",
            ChangeKind::Delete => "deleted",
            ChangeKind::Rename => "renamed",
        };
        let _ = writeln!(text, "    {verb} {}", visible(&file.path));
    }
    text
}

/// A tree that does not allow it is for its owner to mend; a failing disk is not.
pub fn usage(error: ApplyError) -> anyhow::Error {
    let advice = "`countersign history` shows all changes, and `history CHANGE` its hunks.";
    match error {
        ApplyError::Io { .. } | ApplyError::HalfDone { .. } | ApplyError::Journal { .. } => error.into(),
        refused => Failure::usage(refused.to_string(), advice).into(),
    }
}
