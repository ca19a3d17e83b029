//! A patch as states of files: what the journal keeps of each path before and after, and what the disk
//! holds in the end. Reads the tree, writes nothing.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ApplyError,
    carry::{self, Move},
    journal::{Content, FileState, Intent},
};
use crate::{
    edit::{
        Code, PatchSet, Planned, Refusal,
        attributes::Attributes,
        gate,
        patch::Side,
        tree::{Stored, Tree},
    },
    protocol::{AppliedFile, ChangeKind},
};

/// Bytes that are to be stored.
pub type Contents = Vec<Arc<[u8]>>;

/// The states of all paths of a patch, and the contents that have to be kept.
pub fn states(patch: &PatchSet, tree: &Tree) -> Result<(Vec<FileState>, Contents), ApplyError> {
    let mut files: BTreeMap<String, FileState> = BTreeMap::new();
    let mut contents = Vec::new();
    for file in patch.files() {
        // Only what is not part of the patch is taken from the disk; whether the rest still is as
        // approved is checked afterwards.
        let mut kept = (None, Attributes::default());
        let before = match file.before() {
            None => None,
            Some(side) => {
                let found = tree.read(file.old_path()).ok().flatten();
                kept = found.map_or(kept, |found| (found.owner, found.attributes));
                contents.push(side.bytes.clone());
                Some(content(side, &kept))
            }
        };
        let after = file.after().map(|side| {
            contents.push(side.bytes.clone());
            content(side, &kept)
        });
        let mut add = |path: &str, before: Option<Content>, after: Option<Content>| {
            gate::path(path, &Planned::Any).map_err(ApplyError::Path)?;
            if let Ok(Some(folder)) = tree.git_directory(path) {
                let message = format!("`{folder}` is a git directory, which is never touched.");
                return Err(ApplyError::Path(Refusal::new(Code::BadPath, path, message)));
            }
            let state = FileState { path: path.to_owned(), before, after };
            if state.after.as_ref().is_some_and(|content| content.bytes > carry::LIMIT) {
                let message = "The new text is beyond the limit for edits.";
                return Err(ApplyError::Path(Refusal::new(Code::TooLarge, path, message)));
            }
            match files.insert(path.to_owned(), state) {
                None => Ok(()),
                Some(_) => {
                    let message = "The patch changes this path twice.";
                    Err(ApplyError::Path(Refusal::new(Code::Overlap, path, message)))
                }
            }
        };
        match file.kind() {
            ChangeKind::Rename => {
                add(file.old_path(), before, None)?;
                add(file.path(), None, after)?;
            }
            _ => add(file.path(), before, after)?,
        }
    }
    Ok((files.into_values().collect(), contents))
}

fn content(side: &Side, (owner, attributes): &(Option<(u32, u32)>, Attributes)) -> Content {
    Content {
        hash: side.hash.to_hex().to_string(),
        bytes: side.bytes.len() as u64,
        mode: side.mode,
        owner: *owner,
        attributes: attributes.clone(),
    }
}

/// A new file's mode is known only now; redo gives it the same.
pub fn note_modes(files: &mut [FileState], read: &[(String, Option<Stored>)]) {
    for file in files {
        let found = read.iter().find(|(path, _)| *path == file.path).and_then(|(_, found)| found.as_ref());
        if let (Some(after), Some(found)) = (file.after.as_mut(), found) {
            *after = carry::content_of(found);
        }
    }
}

/// What the disk holds now, in the words of the protocol.
pub fn report(intent: &Intent, read: &[(String, Option<Stored>)]) -> Vec<AppliedFile> {
    let moves: BTreeMap<&str, &Move> =
        intent.moves.iter().map(|moved| (moved.path.as_str(), moved)).collect();
    // A file that goes and one that comes under its other name are one file.
    let mut renamed: BTreeMap<&str, &str> = BTreeMap::new();
    for change in intent.records.iter().flat_map(|(_, record)| &record.changes) {
        for (gone, come) in [(&change.old_path, &change.path), (&change.path, &change.old_path)] {
            let goes = moves.get(gone.as_str()).is_some_and(|moved| moved.after.is_none());
            let comes = moves.get(come.as_str()).is_some_and(|moved| moved.before.is_none());
            if change.kind == ChangeKind::Rename && goes && comes {
                renamed.insert(gone, come);
            }
        }
    }
    let files = read.iter().filter(|(path, _)| !renamed.contains_key(path.as_str()));
    files
        .map(|(path, found)| {
            let moved = moves.get(path.as_str());
            let change = match moved.map(|moved| (&moved.before, &moved.after)) {
                _ if renamed.values().any(|come| come == path) => ChangeKind::Rename,
                Some((None, _)) => ChangeKind::Create,
                Some((_, None)) => ChangeKind::Delete,
                _ => ChangeKind::Modify,
            };
            AppliedFile {
                path: path.clone(),
                change,
                hash: found.as_ref().map(|found| found.hash.to_hex().to_string()),
                bytes: found.as_ref().map_or(0, |found| found.bytes.len() as u64),
            }
        })
        .collect()
}
