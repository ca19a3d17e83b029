//! Undo and redo: which bytes each file gets when a change, a hunk of it, or a whole task is taken
//! back or made again. Reads the tree and the journal, writes neither.
//!
//! A change is what it turned into what: the difference between two states of its files. To take it
//! back is to merge the way back into whatever the files have become since; where that is not clear,
//! nothing is done.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    ApplyError, Conflict,
    carry::{self, Move},
    journal::{Content, FileState, Journal, Record, State},
    merge::merge,
};
use crate::{
    edit::{
        PatchSet,
        anchor::Tier,
        attributes::Attributes,
        patch::{FileChange, Side},
        tree::{Stored, Tree},
    },
    protocol::ChangeKind,
};

/// Which way a recorded change is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Undo,
    Redo,
}

/// What is to be done, and the contents that are needed for it.
pub struct Plan {
    pub moves: Vec<Move>,
    pub contents: Vec<Arc<[u8]>>,
    pub records: Vec<(Option<Record>, Record)>,
}

/// A file as it is, or as it will be after the changes before.
#[derive(Clone, PartialEq, Eq)]
struct Now {
    bytes: Arc<[u8]>,
    mode: Option<u32>,
    owner: Option<(u32, u32)>,
    attributes: Attributes,
}

impl Now {
    fn of(stored: &Stored) -> Now {
        Now {
            bytes: stored.bytes.clone(),
            mode: stored.mode,
            owner: stored.owner,
            attributes: stored.attributes.clone(),
        }
    }

    fn content(&self) -> Content {
        Content {
            hash: blake3::hash(&self.bytes).to_hex().to_string(),
            bytes: self.bytes.len() as u64,
            mode: self.mode,
            owner: self.owner,
            attributes: self.attributes.clone(),
        }
    }
}

/// Takes records one way, in the order given. `hunks` limits it to these of every record.
pub fn plan(
    tree: &Tree,
    journal: &Journal,
    records: Vec<Record>,
    hunks: Option<&BTreeSet<u32>>,
    turn: Turn,
    next_turn: u64,
) -> Result<Plan, ApplyError> {
    let mut tree = Virtual { tree, first: BTreeMap::new(), now: BTreeMap::new() };
    let mut done = Vec::new();
    let mut conflicts = Vec::new();
    let ids: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
    for record in records {
        let patch = patch(journal, &record)?;
        let all = patch.ids();
        let was = match record.state {
            State::Applied => record.undone.clone(),
            State::Undone => all.clone(),
        };
        let wanted = hunks.unwrap_or(&all);
        if let Some(unknown) = wanted.difference(&all).next() {
            return Err(ApplyError::UnknownHunk { id: record.id, hunk: *unknown, hunks: all.len() });
        }
        let will: BTreeSet<u32> = match turn {
            Turn::Undo => was.union(wanted).copied().collect(),
            Turn::Redo => was.difference(wanted).copied().collect(),
        };
        if will == was {
            let wanted = if turn == Turn::Undo { "undone" } else { "redone" };
            return Err(ApplyError::WrongState { wanted, state: record.state.label(), id: record.id });
        }
        let (from, to) = (variant(&patch, &was), variant(&patch, &will));
        tree.take(&record, &from, &to, &mut conflicts);
        let mut after = record.clone();
        after.state = if will == all { State::Undone } else { State::Applied };
        after.undone = if will == all { BTreeSet::new() } else { will };
        after.turn = next_turn;
        done.push((Some(record), after));
    }
    if !conflicts.is_empty() {
        return Err(ApplyError::ChangedSince { id: ids.join(", "), files: conflicts });
    }
    let (moves, contents) = tree.moves();
    Ok(Plan { moves, contents, records: done })
}

/// The patch of a record, as its owner saw it.
pub fn patch(journal: &Journal, record: &Record) -> Result<PatchSet, ApplyError> {
    patch_of(record, &|hash| journal.content(hash))
}

/// The same, with contents from elsewhere.
pub fn patch_of(
    record: &Record,
    content: &dyn Fn(&str) -> Result<Vec<u8>, ApplyError>,
) -> Result<PatchSet, ApplyError> {
    let states: BTreeMap<&str, &FileState> =
        record.files.iter().map(|file| (file.path.as_str(), file)).collect();
    let side = |path: &str, content_of: Option<&Content>| -> Result<Option<(String, Side)>, ApplyError> {
        let Some(known) = content_of else { return Ok(None) };
        Ok(Some((path.to_owned(), Side::new(content(&known.hash)?, known.mode))))
    };
    let mut changes = Vec::new();
    for change in &record.changes {
        let before = states.get(change.old_path.as_str()).and_then(|state| state.before.as_ref());
        let after = states.get(change.path.as_str()).and_then(|state| state.after.as_ref());
        changes.push(FileChange {
            before: side(&change.old_path, before)?,
            after: side(&change.path, after)?,
            tier: Tier::Exact,
        });
    }
    Ok(PatchSet::derive(changes))
}

/// By path, what a change makes of its files when these hunks of it are undone.
fn variant(patch: &PatchSet, undone: &BTreeSet<u32>) -> BTreeMap<String, Option<Side>> {
    let mut states: BTreeMap<String, Option<Side>> = BTreeMap::new();
    for file in patch.files() {
        states.insert(file.path().to_owned(), None);
        states.insert(file.old_path().to_owned(), file.before().cloned());
    }
    let kept = patch.ids().difference(undone).copied().collect();
    for file in patch.select(&kept).files() {
        if file.path() != file.old_path() || file.after().is_none() {
            states.insert(file.old_path().to_owned(), None);
        }
        if let Some(after) = file.after() {
            states.insert(file.path().to_owned(), Some(after.clone()));
        }
    }
    states
}

/// The tree with the changes that were planned so far.
struct Virtual<'a> {
    tree: &'a Tree,
    first: BTreeMap<String, Option<Now>>,
    now: BTreeMap<String, Option<Now>>,
}

impl Virtual<'_> {
    /// A file as it is by now; the inner error says why it cannot be used.
    fn read(&mut self, path: &str) -> Result<Option<Now>, String> {
        if let Some(now) = self.now.get(path) {
            return Ok(now.clone());
        }
        let found = match self.tree.read(path) {
            Ok(Some(found)) if found.links > 1 => return Err("it has other names now (hard links)".into()),
            Ok(found) => found.as_ref().map(Now::of),
            Err(error) => return Err(error.to_string()),
        };
        self.first.insert(path.to_owned(), found.clone());
        self.now.insert(path.to_owned(), found.clone());
        Ok(found)
    }

    /// Takes the files of one record from one variant to another.
    fn take(
        &mut self,
        record: &Record,
        from: &BTreeMap<String, Option<Side>>,
        to: &BTreeMap<String, Option<Side>>,
        conflicts: &mut Vec<Conflict>,
    ) {
        let side = |states: &BTreeMap<String, Option<Side>>, path: &str| states.get(path).cloned().flatten();
        let mut taken: BTreeSet<&str> = BTreeSet::new();
        // A file that gets its other name takes along what was done to it since.
        for change in record.changes.iter().filter(|change| change.kind == ChangeKind::Rename) {
            let ends = [(&change.path, &change.old_path), (&change.old_path, &change.path)];
            for (here, there) in ends {
                let (Some(was), None, Some(will)) = (side(from, here), side(to, here), side(to, there))
                else {
                    continue;
                };
                if side(from, there).is_some() {
                    continue;
                }
                taken.extend([here.as_str(), there.as_str()]);
                match self.read(there) {
                    Ok(None) => {}
                    Ok(Some(_)) => {
                        conflicts.push(conflict(there, "a file is here now", None, None));
                        continue;
                    }
                    Err(problem) => {
                        conflicts.push(conflict(there, &problem, None, None));
                        continue;
                    }
                }
                if let Some(now) = self.merged(here, Some(&was), &will, conflicts) {
                    self.now.insert(here.to_string(), None);
                    self.now.insert(there.to_string(), Some(now));
                }
            }
        }
        for file in &record.files {
            let path = file.path.as_str();
            if taken.contains(path) {
                continue;
            }
            let (was, will) = (side(from, path), side(to, path));
            if was.as_ref().map(|side| side.hash) == will.as_ref().map(|side| side.hash) {
                continue;
            }
            match (was, will) {
                (was, Some(will)) => {
                    let Some(mut now) = self.merged(path, was.as_ref(), &will, conflicts) else { continue };
                    if was.is_none() {
                        // A file that comes back is as it was before the change, or after it.
                        let known = [&file.before, &file.after].into_iter().flatten();
                        if let Some(known) =
                            known.into_iter().find(|known| known.hash == will.hash.to_hex().as_str())
                        {
                            (now.mode, now.owner) = (known.mode, known.owner);
                            now.attributes = known.attributes.clone();
                        }
                    }
                    self.now.insert(path.to_owned(), Some(now));
                }
                (Some(was), None) => match self.read(path) {
                    Ok(None) => {}
                    Ok(Some(now)) if now.bytes == was.bytes => drop(self.now.insert(path.to_owned(), None)),
                    Ok(Some(now)) => {
                        conflicts.push(conflict(
                            path,
                            "its content is another",
                            Some(&was.bytes),
                            Some(&now.bytes),
                        ));
                    }
                    Err(problem) => conflicts.push(conflict(path, &problem, None, None)),
                },
                (None, None) => {}
            }
        }
    }

    /// What a file becomes: the way from `was` to `will`, merged into what it is.
    fn merged(
        &mut self,
        path: &str,
        was: Option<&Side>,
        will: &Side,
        conflicts: &mut Vec<Conflict>,
    ) -> Option<Now> {
        let (found, expected) = match (self.read(path), was) {
            (Err(problem), _) => (Err(problem), None),
            (Ok(None), None) => {
                let (bytes, mode) = (will.bytes.clone(), will.mode);
                return Some(Now { bytes, mode, owner: None, attributes: Attributes::default() });
            }
            (Ok(Some(now)), None) if now.bytes == will.bytes => return Some(now),
            (Ok(Some(_)), None) => (Err("a file is here now".to_owned()), None),
            (Ok(None), Some(_)) => (Err("it is gone".to_owned()), None),
            (Ok(Some(now)), Some(was)) => (Ok(now), Some(was)),
        };
        let problem = match (found, expected) {
            (Ok(now), Some(was)) => match merge(&was.bytes, &now.bytes, &will.bytes) {
                // The mode is whatever its owner made of it since.
                Some(bytes) => return Some(Now { bytes: bytes.into(), ..now }),
                None => conflict(path, "its content is another", Some(&was.bytes), Some(&now.bytes)),
            },
            (Ok(_), None) => return None,
            (Err(problem), _) => conflict(path, &problem, None, None),
        };
        conflicts.push(problem);
        None
    }

    /// The moves from the tree to what was planned, and every content in them.
    fn moves(self) -> (Vec<Move>, Vec<Arc<[u8]>>) {
        let (mut moves, mut contents) = (Vec::new(), Vec::new());
        for (path, now) in self.now {
            let first = self.first.get(&path).cloned().flatten();
            if first == now {
                continue;
            }
            contents.extend(first.iter().chain(&now).map(|file| file.bytes.clone()));
            let content = |file: &Option<Now>| file.as_ref().map(Now::content);
            moves.push(Move { before: content(&first), after: content(&now), path });
        }
        (moves, contents)
    }
}

fn conflict(path: &str, found: &str, expected: Option<&Arc<[u8]>>, now: Option<&Arc<[u8]>>) -> Conflict {
    let diff = match (expected, now) {
        (Some(expected), Some(now)) => carry::short_diff(expected, now),
        _ => String::new(),
    };
    Conflict { path: path.to_owned(), found: found.to_owned(), diff }
}
