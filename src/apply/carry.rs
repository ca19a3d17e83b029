//! Carries a set of files from one state to another, or back. It is told the states and knows their
//! contents by hash; it must not know patches, approvals or what a change is called.
//!
//! Everything that will be needed is written under other names first; then names change one by one.
//! The caller has noted the intent, so that from any point in between [`back`] leads to the start.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use cap_std::fs::{Dir, File, OpenOptions};
use similar::TextDiff;

use super::{
    ApplyError, Conflict,
    journal::{Content, FileState, Journal, Unsynced, ignore_missing},
    steps::{Steps, Stop, step},
};
use crate::edit::{
    attributes,
    tree::{self, Stored, Tree, TreeError},
};

/// One path on its way: from its state before to the one after.
pub type Move = FileState;

/// Where a change is carried out, and how its temporary files are called.
pub struct Place<'a> {
    pub tree: &'a Tree,
    pub journal: &'a Journal,
    pub id: &'a str,
}

impl Place<'_> {
    /// A name beside a file; it tells the change, so that recovery knows it for its own.
    fn beside(&self, at: usize) -> String {
        format!(".countersign-{}-{at}.tmp", self.id)
    }

    fn folder(&self, path: &str) -> io::Result<Option<Dir>> {
        self.tree.parent(path).map(|found| found.map(|(folder, _)| folder)).map_err(to_io)
    }
}

/// Files that are not in the state that a move starts from.
pub fn conflicts(place: &Place<'_>, moves: &[Move]) -> Vec<Conflict> {
    moves
        .iter()
        .filter_map(|moved| {
            let found = place.tree.read(&moved.path);
            let problem = difference(&found, moved.before.as_ref())?;
            let diff = match (&moved.before, &found) {
                (Some(from), Ok(Some(found))) => match place.journal.content(&from.hash) {
                    Ok(expected) => short_diff(&expected, &found.bytes),
                    Err(_) => String::new(),
                },
                _ => String::new(),
            };
            Some(Conflict { path: moved.path.clone(), found: problem, diff })
        })
        .collect()
}

/// What is wrong with a file that should be in a state; `None` if nothing is.
pub fn difference(found: &Result<Option<Stored>, TreeError>, expected: Option<&Content>) -> Option<String> {
    match (found, expected) {
        (Ok(None), None) => None,
        (Ok(None), Some(_)) => Some("it is gone".into()),
        (Ok(Some(_)), None) => Some("a file is here now".into()),
        (Err(error), _) => Some(error.to_string()),
        (Ok(Some(found)), Some(expected)) if found.hash.to_hex().as_str() != expected.hash => {
            Some("its content is another".into())
        }
        (Ok(Some(found)), Some(_)) if found.links > 1 => Some("it has other names now (hard links)".into()),
        (Ok(Some(found)), Some(expected)) => match (found.mode, expected.mode) {
            (Some(mode), Some(wanted)) if mode != wanted => {
                Some(format!("its mode is {mode:o}, and was {wanted:o}"))
            }
            (_, Some(_)) if found.attributes != expected.attributes => {
                Some("its extended attributes or access rules are others".into())
            }
            _ => None,
        },
    }
}

/// The directories that are missing for the files to be, from the top down.
pub fn missing_folders(place: &Place<'_>, moves: &[Move]) -> io::Result<Vec<String>> {
    let mut missing = BTreeSet::new();
    for moved in moves.iter().filter(|moved| moved.after.is_some()) {
        let mut path = moved.path.as_str();
        while let Some((folder, _)) = path.rsplit_once('/') {
            // Asked for as the parent of something, so that no link on the way is followed.
            if place.folder(path)?.is_some() {
                break;
            }
            missing.insert(folder.to_owned());
            path = folder;
        }
    }
    Ok(missing.into_iter().collect())
}

/// Carries the files forward and reads back what is there then.
///
/// # Errors
/// On the first failure, with the files somewhere in between: [`back`] is next.
pub fn forward(
    place: &Place<'_>,
    moves: &[Move],
    making: &[String],
    steps: &mut Steps<'_>,
) -> Result<Vec<(String, Option<Stored>)>, Stop> {
    for folder in making {
        make_folder(place, folder, steps)?;
    }
    let mut written = Unsynced::default();
    for (at, moved) in moves.iter().enumerate() {
        if let Some(to) = &moved.after {
            let file = write_beside(place, at, &moved.path, to, steps)?;
            step(steps, "sync the new files", || written.push(file))?;
        }
    }
    step(steps, "sync the new files", || written.sync())?;
    // What appears comes before what goes, so that a renamed file is always somewhere.
    let numbered = || moves.iter().enumerate();
    for (at, moved) in numbered().filter(|(_, moved)| moved.after.is_some()) {
        recheck(place, moved)?;
        step(steps, &format!("write `{}`", moved.path), || put(place, at, moved))?;
    }
    for (_, moved) in numbered().filter(|(_, moved)| moved.after.is_none()) {
        recheck(place, moved)?;
        step(steps, &format!("remove `{}`", moved.path), || remove(place, &moved.path))?;
    }
    sync_folders(place, moves, making, steps)?;
    let mut read = Vec::new();
    for moved in moves {
        let what = format!("read back `{}`", moved.path);
        let found = step(steps, &what, || Ok(place.tree.read(&moved.path)))?;
        if let Some(problem) = difference(&found, moved.after.as_ref()) {
            let source = io::Error::other(problem);
            return Err(ApplyError::Io { what, source }.into());
        }
        read.push((moved.path.clone(), found.unwrap_or_default()));
    }
    Ok(read)
}

/// Brings the files back to where the moves started, from anywhere in between, as often as it takes.
/// Returns the paths that somebody else changed meanwhile; they are left alone.
pub fn back(
    place: &Place<'_>,
    moves: &[Move],
    making: &[String],
    steps: &mut Steps<'_>,
) -> Result<Vec<String>, Stop> {
    for (at, moved) in moves.iter().enumerate() {
        let what = format!("clean up beside `{}`", moved.path);
        step(steps, &what, || match place.folder(&moved.path) {
            Ok(Some(folder)) => ignore_missing(folder.remove_file(place.beside(at))),
            Ok(None) => Ok(()),
            // Something else stands where a directory was: nothing of ours is behind it.
            Err(_) => Ok(()),
        })?;
    }
    let mut left = Vec::new();
    let mut restored = Vec::new();
    for (at, moved) in moves.iter().enumerate() {
        let found = place.tree.read(&moved.path);
        if is(&found, moved.before.as_ref()) {
            continue;
        }
        if !is(&found, moved.after.as_ref()) {
            left.push(moved.path.clone());
            continue;
        }
        let what = format!("restore `{}`", moved.path);
        match &moved.before {
            None => step(steps, &what, || remove(place, &moved.path))?,
            Some(from) => {
                let back = Move {
                    path: moved.path.clone(),
                    before: moved.after.clone(),
                    after: moved.before.clone(),
                };
                let folders = missing_folders(place, std::slice::from_ref(&back))
                    .map_err(|source| ApplyError::Io { what: what.clone(), source })?;
                for folder in &folders {
                    make_folder(place, folder, steps)?;
                }
                let written = write_beside(place, at, &moved.path, from, steps)?;
                step(steps, &what, || written.sync_all())?;
                step(steps, &what, || put(place, at, &back))?;
            }
        }
        restored.push(moved.clone());
    }
    remove_folders(place, making, steps)?;
    sync_folders(place, &restored, &[], steps)?;
    Ok(left)
}

/// Removes directories that were made for a change, from the bottom up, as far as they are empty.
pub fn remove_folders(place: &Place<'_>, folders: &[String], steps: &mut Steps<'_>) -> Result<(), Stop> {
    let mut folders: Vec<&String> = folders.iter().collect();
    folders.sort_by(|one, other| other.cmp(one));
    for path in folders {
        let what = format!("remove the directory `{path}`");
        step(steps, &what, || {
            let Ok(Some((folder, name))) = place.tree.parent(path) else { return Ok(()) };
            match folder.remove_dir(name) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(()),
                other => ignore_missing(other),
            }
        })?;
    }
    Ok(())
}

/// Whether a file has the content of a state, whatever its mode and names: enough to know whose it is.
fn is(found: &Result<Option<Stored>, TreeError>, state: Option<&Content>) -> bool {
    match (found, state) {
        (Ok(None), None) => true,
        (Ok(Some(found)), Some(state)) => found.hash.to_hex().as_str() == state.hash,
        _ => false,
    }
}

/// Looks once more, immediately before a name changes: a person may save a file at any moment.
fn recheck(place: &Place<'_>, moved: &Move) -> Result<(), Stop> {
    let found = place.tree.read(&moved.path);
    match difference(&found, moved.before.as_ref()) {
        None => Ok(()),
        Some(_) => Err(ApplyError::StaleBase { files: conflicts(place, std::slice::from_ref(moved)) }.into()),
    }
}

fn make_folder(place: &Place<'_>, path: &str, steps: &mut Steps<'_>) -> Result<(), Stop> {
    step(steps, &format!("make the directory `{path}`"), || {
        let Some((folder, name)) = place.tree.parent(path).map_err(to_io)? else {
            return Err(io::ErrorKind::NotFound.into());
        };
        match folder.create_dir(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    })
}

/// Writes a content under its temporary name, complete; it is for the caller to sync it.
fn write_beside(
    place: &Place<'_>,
    at: usize,
    path: &str,
    content: &Content,
    steps: &mut Steps<'_>,
) -> Result<File, Stop> {
    let bytes = place.journal.content(&content.hash)?;
    let what = format!("write beside `{path}`");
    let mut file = step(steps, &what, || {
        let folder = place.folder(path)?.ok_or(io::ErrorKind::NotFound)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use cap_std::fs::OpenOptionsExt;
            // A file with a mode of its own is nobody else's until it has it.
            options.mode(if content.mode.is_some() { 0o600 } else { 0o644 });
        }
        folder.open_with(place.beside(at), &options)
    })?;
    step(steps, &what, || file.write_all(&bytes))?;
    step(steps, &what, || dress(&file, content))?;
    Ok(file)
}

/// Gives a file its owner, its attributes, and then its mode, since a change of owner clears bits of the
/// mode, and access rules are among the attributes.
#[cfg(unix)]
fn dress(file: &cap_std::fs::File, content: &Content) -> io::Result<()> {
    use cap_std::fs::{MetadataExt, Permissions, PermissionsExt};
    if let Some((user, group)) = content.owner {
        let now = file.metadata()?;
        if (now.uid(), now.gid()) != (user, group) {
            rustix::fs::fchown(
                file,
                Some(rustix::fs::Uid::from_raw(user)),
                Some(rustix::fs::Gid::from_raw(group)),
            )?;
        }
    }
    // A new file is as its directory makes it.
    let Some(mode) = content.mode else { return Ok(()) };
    attributes::put(file, &content.attributes)?;
    file.set_permissions(Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn dress(_: &cap_std::fs::File, _: &Content) -> io::Result<()> {
    Ok(())
}

/// Gives the file under the temporary name its own.
fn put(place: &Place<'_>, at: usize, moved: &Move) -> io::Result<()> {
    let Some((folder, name)) = place.tree.parent(&moved.path).map_err(to_io)? else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let beside = place.beside(at);
    if moved.before.is_some() {
        return folder.rename(&beside, &folder, name);
    }
    // A link, unlike a rename, never replaces what turned up in between.
    match folder.hard_link(&beside, &folder, name) {
        Ok(()) => folder.remove_file(&beside),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Not every file system has links. The place was free a moment ago.
        Err(_) => folder.rename(&beside, &folder, name),
    }
}

fn remove(place: &Place<'_>, path: &str) -> io::Result<()> {
    match place.tree.parent(path).map_err(to_io)? {
        Some((folder, name)) => folder.remove_file(name),
        None => Ok(()),
    }
}

/// Makes the new names durable: those in each directory, and in those above a made one.
fn sync_folders(
    place: &Place<'_>,
    moves: &[Move],
    making: &[String],
    steps: &mut Steps<'_>,
) -> Result<(), Stop> {
    let paths = moves.iter().map(|moved| &moved.path).chain(making);
    let folders: BTreeSet<&str> =
        paths.map(|path| path.rsplit_once('/').map_or("", |(folder, _)| folder)).collect();
    let mut changed = Unsynced::default();
    for path in folders {
        step(steps, &format!("sync the directory `{path}`"), || {
            // The parent of any name in the directory is the directory.
            match place.folder(format!("{path}/x").trim_start_matches('/'))? {
                Some(folder) => changed.push_folder(&folder),
                None => Ok(()),
            }
        })?;
    }
    step(steps, "sync the directories", || changed.sync())
}

fn to_io(error: TreeError) -> io::Error {
    match error {
        TreeError::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// Most lines of a diff in a message.
const DIFF_LINES: usize = 20;

pub fn short_diff(expected: &[u8], found: &[u8]) -> String {
    let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text: &&str| !text.contains('\0'));
    let (Some(expected), Some(found)) = (text(expected), text(found)) else { return String::new() };
    let diff = TextDiff::from_lines(expected, found).unified_diff().context_radius(1).to_string();
    let lines: Vec<&str> = diff.lines().collect();
    match lines.len() > DIFF_LINES {
        true => format!("{}\n({} lines more)", lines[..DIFF_LINES].join("\n"), lines.len() - DIFF_LINES),
        false => lines.join("\n"),
    }
}

/// What the record keeps of a file that is on the disk.
pub fn content_of(stored: &Stored) -> Content {
    Content {
        hash: stored.hash.to_hex().to_string(),
        bytes: stored.bytes.len() as u64,
        mode: stored.mode,
        owner: stored.owner,
        attributes: stored.attributes.clone(),
    }
}

/// The largest file that can be in a change; larger ones are refused by the tree.
pub const LIMIT: u64 = tree::FILE_LIMIT;
