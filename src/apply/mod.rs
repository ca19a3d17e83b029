//! From consent to disk, all or nothing, and back: apply, recover, undo, redo, history, collect.
//!
//! Takes an [`Approved`] patch and nothing less. Contents are kept and the intent is noted before
//! the first name in the tree changes; whatever happens then, the tree can be brought back. It does
//! not use the repository's git, and it must not know who approved, or ask anybody anything.
//!
//! Blocking: call it where waiting for a disk harms nobody. Two processes on one repository take
//! turns. What it cannot do: between the last look at a file and the change of its name lie
//! microseconds in which an editor's save would be lost from the tree.

mod carry;
mod error;
mod journal;
mod merge;
mod states;
mod steps;
mod turn;

use std::{collections::BTreeSet, path::Path};

pub(crate) use self::merge::merge;
use self::{
    carry::Place,
    journal::{Change, Intent, Journal, Record, Stage},
    states::{note_modes, report, states},
    steps::{Steps, Stop, failure, no_fault},
    turn::{Plan, Turn},
};
pub use self::{
    error::{ApplyError, Conflict},
    journal::State,
};
use crate::{
    approval::Approved,
    edit::{PatchSet, tree::Tree},
    protocol::AppliedFile,
};

/// How many changes are kept unless a person says otherwise.
pub const KEPT_CHANGES: usize = 500;

/// How many bytes of contents the kept changes may have; older ones go first.
pub const KEPT_BYTES: u64 = 1 << 30;

/// What the journal keeps about a change besides its files.
#[derive(Debug, Clone, Copy)]
pub struct Note<'a> {
    /// Milliseconds since the Unix epoch, from the caller's clock.
    pub at_ms: u64,
    /// One line for the history.
    pub summary: &'a str,
    /// What the change is part of, such as one turn of a session: such changes can be undone together.
    pub task: Option<&'a str>,
}

/// A change that is on the disk and was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedChange {
    /// Of a task, the ids of all its changes.
    pub id: String,
    pub files: Vec<AppliedFile>,
}

/// Which change is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// The one that was applied (for undo) or undone (for redo) last.
    Latest,
    /// By its id or the beginning of it.
    Id(&'a str),
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent<'a> {
    /// All that is left of it.
    Change,
    /// These hunks, by the numbers that [`show`] gives.
    Hunks(&'a BTreeSet<u32>),
    /// All changes of the task that it is part of.
    Task,
}

/// An interrupted apply, undo or redo that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    pub id: String,
    pub summary: String,
    /// Files that somebody changed in between; they were left alone.
    pub left: Vec<String>,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    pub id: String,
    pub at_ms: u64,
    pub summary: String,
    pub task: Option<String>,
    pub state: State,
    /// Of an applied change, the hunks that were undone by themselves.
    pub undone: Vec<u32>,
    /// Paths after the change, or of deleted files.
    pub paths: Vec<String>,
}

/// What a collection removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// Changes that cannot be undone any more.
    pub changes: usize,
    /// Copies of files, and their bytes.
    pub contents: u64,
    pub bytes: u64,
}

/// Applies a signed patch to the tree at `root`, after recovering what an earlier process left.
///
/// # Errors
/// See [`ApplyError`]; the tree is as it was, except after [`ApplyError::HalfDone`].
pub fn apply(
    approved: Approved<PatchSet>,
    root: &Path,
    journal: &Path,
    note: Note<'_>,
) -> Result<AppliedChange, ApplyError> {
    apply_stepped(approved.get(), root, journal, note, &mut no_fault).map_err(failure)
}

/// Takes back whatever a killed process left half done, or finishes it if only the journal was
/// behind. Call it at start; apply, undo and redo do it as well.
pub fn recover(root: &Path, journal: &Path) -> Result<Option<Recovered>, ApplyError> {
    recover_stepped(root, journal, &mut no_fault).map_err(failure)
}

/// Takes a change back: bytes, modes, and directories. What was done to the files since stays, where
/// that can be told apart.
///
/// # Errors
/// [`ApplyError::ChangedSince`] if it cannot; nothing is touched then.
pub fn undo(
    root: &Path,
    journal: &Path,
    which: Which<'_>,
    extent: Extent<'_>,
) -> Result<AppliedChange, ApplyError> {
    turn_stepped(root, journal, (which, extent), Turn::Undo, &mut no_fault).map_err(failure)
}

/// Makes an undone change again, in the same way.
///
/// # Errors
/// [`ApplyError::ChangedSince`] if that is not clear; nothing is touched then.
pub fn redo(
    root: &Path,
    journal: &Path,
    which: Which<'_>,
    extent: Extent<'_>,
) -> Result<AppliedChange, ApplyError> {
    turn_stepped(root, journal, (which, extent), Turn::Redo, &mut no_fault).map_err(failure)
}

/// All changes, oldest first. A journal that is not there yet has none.
pub fn history(journal: &Path) -> Result<Vec<Entry>, ApplyError> {
    Ok(Journal::read(journal)?.into_iter().map(entry).collect())
}

/// One change with its hunks, as they are numbered for undo.
pub fn show(journal: &Path, id: &str) -> Result<(Entry, PatchSet), ApplyError> {
    if Journal::read(journal)?.is_empty() {
        return Err(ApplyError::UnknownChange(id.to_owned()));
    }
    let journal = Journal::open(journal)?;
    let record = by_id(journal.records()?, id)?;
    let patch = turn::patch(&journal, &record)?;
    Ok((entry(record), patch))
}

/// Forgets all but the latest `keep` changes, and every copy that the others do not need. The tree
/// stays as it is.
pub fn collect(root: &Path, journal: &Path, keep: usize) -> Result<Collected, ApplyError> {
    if Journal::read(journal)?.is_empty() {
        return Ok(Collected::default());
    }
    let collect = || {
        let (journal, tree) = open(root, journal)?;
        let steps: &mut Steps<'_> = &mut (&mut no_fault as _);
        recover_all(&journal, &tree, steps)?;
        let records = journal.records()?;
        forget_oldest(&journal, &records, records.len().saturating_sub(keep), steps)
    };
    collect().map_err(failure)
}

fn entry(record: Record) -> Entry {
    Entry {
        id: record.id,
        at_ms: record.at_ms,
        summary: record.summary,
        task: record.task,
        state: record.state,
        undone: record.undone.into_iter().collect(),
        paths: record.changes.into_iter().map(|change| change.path).collect(),
    }
}

fn open(root: &Path, journal: &Path) -> Result<(Journal, Tree), ApplyError> {
    let tree = Tree::open(root)
        .map_err(|source| ApplyError::Io { what: format!("open `{}`", root.display()), source })?;
    Ok((Journal::open(journal)?, tree))
}

fn apply_stepped(
    patch: &PatchSet,
    root: &Path,
    journal: &Path,
    note: Note<'_>,
    mut steps: Steps<'_>,
) -> Result<AppliedChange, Stop> {
    let (journal, tree) = open(root, journal)?;
    recover_all(&journal, &tree, &mut steps)?;
    let mut record = journal.new_record(&patch.digest(), note.at_ms, note.summary)?;
    record.task = note.task.map(str::to_owned);
    let (files, contents) = states(patch, &tree)?;
    record.files = files;
    record.changes = patch
        .files()
        .iter()
        .map(|file| Change { old_path: file.old_path().into(), path: file.path().into(), kind: file.kind() })
        .collect();
    journal.store(&contents, &mut steps)?;
    let moves = record.files.clone();
    let place = Place { tree: &tree, journal: &journal, id: &record.id };
    let conflicts = carry::conflicts(&place, &moves);
    if !conflicts.is_empty() {
        return Err(ApplyError::StaleBase { files: conflicts }.into());
    }
    let intent = Intent::new(&record.id.clone(), moves, vec![(None, record)]);
    let applied = carry_out(&tree, &journal, intent, &mut steps)?;
    // The change is done; room that could not be made is made next time.
    let _ = bound(&journal, &mut steps);
    Ok(applied)
}

fn turn_stepped(
    root: &Path,
    journal: &Path,
    (which, extent): (Which<'_>, Extent<'_>),
    turn: Turn,
    mut steps: Steps<'_>,
) -> Result<AppliedChange, Stop> {
    let (journal, tree) = open(root, journal)?;
    recover_all(&journal, &tree, &mut steps)?;
    let records = journal.records()?;
    let next = journal::next_turn(&records);
    let chosen = choose(records, which, extent, turn)?;
    let hunks = match extent {
        Extent::Hunks(hunks) => Some(hunks),
        Extent::Change | Extent::Task => None,
    };
    let Plan { moves, contents, records } = turn::plan(&tree, &journal, chosen, hunks, turn, next)?;
    journal.store(&contents, &mut steps)?;
    let id = records.iter().map(|(_, record)| record.id.as_str()).collect::<Vec<_>>().join(", ");
    let file = records.first().map_or("", |(_, record)| record.id.as_str()).to_owned();
    let mut applied = carry_out(&tree, &journal, Intent::new(&file, moves, records), &mut steps)?;
    applied.id = id;
    Ok(applied)
}

/// The records that are meant, in the order in which they are to be taken.
fn choose(
    records: Vec<Record>,
    which: Which<'_>,
    extent: Extent<'_>,
    turn: Turn,
) -> Result<Vec<Record>, ApplyError> {
    let can = |record: &Record| match turn {
        Turn::Undo => record.state == State::Applied,
        Turn::Redo => record.state == State::Undone || !record.undone.is_empty(),
    };
    let one = match which {
        Which::Latest => {
            let verb = if turn == Turn::Undo { "undo" } else { "redo" };
            let latest = records.iter().filter(|record| can(record)).max_by_key(|record| record.turn);
            latest.cloned().ok_or(ApplyError::Nothing(verb))?
        }
        Which::Id(prefix) => by_id(records.clone(), prefix)?,
    };
    let (Extent::Task, Some(_)) = (extent, &one.task) else { return Ok(vec![one]) };
    let mut all: Vec<Record> =
        records.into_iter().filter(|record| record.task == one.task && can(record)).collect();
    if all.is_empty() {
        all.push(one);
    }
    if turn == Turn::Undo {
        all.reverse();
    }
    Ok(all)
}

fn by_id(records: Vec<Record>, prefix: &str) -> Result<Record, ApplyError> {
    let mut found: Vec<Record> =
        records.into_iter().filter(|record| !prefix.is_empty() && record.id.starts_with(prefix)).collect();
    if found.len() > 1 {
        let ids = found.into_iter().map(|record| record.id).collect();
        return Err(ApplyError::SeveralChanges { prefix: prefix.into(), ids });
    }
    found.pop().ok_or_else(|| ApplyError::UnknownChange(prefix.into()))
}

/// Notes the intent, carries the files over, notes that they are there, then writes the records; on
/// failure, the way back. From the second note on the change is done, whatever happens.
fn carry_out(
    tree: &Tree,
    journal: &Journal,
    mut intent: Intent,
    steps: &mut Steps<'_>,
) -> Result<AppliedChange, Stop> {
    let id = intent.id.clone();
    let place = Place { tree, journal, id: &id };
    intent.making = carry::missing_folders(&place, &intent.moves)
        .map_err(|source| ApplyError::Io { what: "look for the directories".into(), source })?;
    let carried = journal.intend(&intent, steps).and_then(|()| {
        let read = carry::forward(&place, &intent.moves, &intent.making, steps)?;
        let mut done = intent.clone();
        done.stage = Stage::Carried;
        let mut making = std::mem::take(&mut done.making);
        for (before, record) in &mut done.records {
            match record.state {
                State::Undone => carry::remove_folders(&place, &std::mem::take(&mut record.made), steps)?,
                State::Applied => record.made.append(&mut making),
            }
            if before.is_none() {
                note_modes(&mut record.files, &read);
            }
        }
        journal.intend(&done, steps)?;
        finish(journal, &done, steps)?;
        Ok((done, read))
    });
    match carried {
        Ok((done, read)) => Ok(AppliedChange { files: report(&done, &read), id }),
        Err(Stop::Crashed) => Err(Stop::Crashed),
        Err(Stop::Failed(error)) => {
            match reopen(journal, &intent, steps).and_then(|()| take_back(&place, &intent, steps)) {
                Ok(_) => Err(Stop::Failed(error)),
                Err(Stop::Crashed) => Err(Stop::Crashed),
                Err(Stop::Failed(rollback)) => {
                    let (what, source) = match error {
                        ApplyError::Io { what, source } => (what, source),
                        other => ("finish the change".to_owned(), std::io::Error::other(other.to_string())),
                    };
                    Err(ApplyError::HalfDone { what, source, rollback: rollback.to_string() }.into())
                }
            }
        }
    }
}

/// Writes the records of a change whose files are there.
fn finish(journal: &Journal, intent: &Intent, steps: &mut Steps<'_>) -> Result<(), Stop> {
    for (_, record) in &intent.records {
        journal.write(record, steps)?;
    }
    journal.settle(steps)
}

/// Notes a change as unfinished again if its end was noted already: the way back may be interrupted
/// too. If that fails, the tree is wholly changed and noted so, and stays.
fn reopen(journal: &Journal, intent: &Intent, steps: &mut Steps<'_>) -> Result<(), Stop> {
    match journal.intent()? {
        Some(noted) if noted == *intent => Ok(()),
        // It may also have been settled already, or never noted.
        _ => journal.intend(intent, steps),
    }
}

/// Brings an unfinished change back to where it started, and notes that.
fn take_back(place: &Place<'_>, intent: &Intent, steps: &mut Steps<'_>) -> Result<Vec<String>, Stop> {
    let left = carry::back(place, &intent.moves, &intent.making, steps)?;
    let known = place.journal.records()?;
    for (before, after) in &intent.records {
        let noted = known.iter().find(|record| record.id == after.id);
        match before {
            _ if noted == before.as_ref() => {}
            Some(before) => place.journal.write(before, steps)?,
            None => place.journal.forget(&after.id, steps)?,
        }
    }
    place.journal.settle(steps)?;
    Ok(left)
}

fn recover_stepped(root: &Path, journal: &Path, mut steps: Steps<'_>) -> Result<Option<Recovered>, Stop> {
    if !journal.exists() {
        return Ok(None);
    }
    let (journal, tree) = open(root, journal)?;
    recover_all(&journal, &tree, &mut steps)
}

fn recover_all(journal: &Journal, tree: &Tree, steps: &mut Steps<'_>) -> Result<Option<Recovered>, Stop> {
    journal.sweep();
    let Some(intent) = journal.intent()? else { return Ok(None) };
    if intent.stage == Stage::Carried {
        finish(journal, &intent, steps)?;
        return Ok(None);
    }
    let summary = intent.records.first().map(|(_, record)| record.summary.clone()).unwrap_or_default();
    let left = take_back(&Place { tree, journal, id: &intent.id }, &intent, steps)?;
    Ok(Some(Recovered { id: intent.id, summary, left }))
}

/// Keeps the journal within [`KEPT_CHANGES`] and [`KEPT_BYTES`].
fn bound(journal: &Journal, steps: &mut Steps<'_>) -> Result<(), Stop> {
    let records = journal.records()?;
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut bytes = 0;
    let kept = records.iter().rev().take(KEPT_CHANGES).take_while(|record| {
        let contents = record.files.iter().flat_map(|file| file.before.iter().chain(&file.after));
        bytes +=
            contents.filter(|content| seen.insert(&content.hash)).map(|content| content.bytes).sum::<u64>();
        bytes <= KEPT_BYTES
    });
    // The latest one stays, however large it is.
    let kept = kept.count().max(1);
    if kept < records.len() {
        forget_oldest(journal, &records, records.len() - kept, steps)?;
    }
    Ok(())
}

fn forget_oldest(
    journal: &Journal,
    records: &[Record],
    count: usize,
    steps: &mut Steps<'_>,
) -> Result<Collected, Stop> {
    for record in records.iter().take(count) {
        journal.forget(&record.id, steps)?;
    }
    let (contents, bytes) = journal.collect(steps)?;
    Ok(Collected { changes: count, contents, bytes })
}

#[cfg(test)]
mod tests;
