//! The journal's directory: a lock, the contents by their hash, one record for each change, and at
//! most one intent: what is being done right now.
//!
//! It lies outside of the repository and is its owner's alone (0700, files 0600). A record is written
//! beside its place, synced, and renamed into it, so that it is there whole or not at all; a content
//! proves itself by its name. It must not know how a change is carried out.

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};

use cap_std::{
    ambient_authority,
    fs::{Dir, DirBuilder, File, OpenOptions},
};
use serde::{Deserialize, Serialize};

use super::{
    ApplyError,
    steps::{Steps, Stop, step},
};
use crate::{edit::attributes::Attributes, protocol::ChangeKind};

/// Version of [`Record`] and [`Intent`] on the disk.
const VERSION: u32 = 2;

const INTENT: &str = "intent.json";
const RECORDS: &str = "changes";
const CONTENTS: &str = "contents";

/// An open, locked journal. The lock goes with it.
#[derive(Debug)]
pub struct Journal {
    folder: Dir,
    records: Dir,
    contents: Dir,
    _lock: std::fs::File,
}

/// One change, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    /// Sorts by the order of changes.
    pub id: String,
    /// Grows with every apply, undo and redo in this journal; the latest has the highest.
    pub turn: u64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub summary: String,
    /// The task that the change is part of, such as one turn of a session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    pub state: State,
    /// Of an applied change, the hunks that were undone by themselves.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub undone: BTreeSet<u32>,
    pub files: Vec<FileState>,
    /// What the owner was told that happens, for reports.
    pub changes: Vec<Change>,
    /// Directories that the change made; undo removes them when they are empty.
    pub made: Vec<String>,
}

/// Where a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Applied,
    Undone,
}

impl State {
    pub fn label(self) -> &'static str {
        match self {
            State::Applied => "applied",
            State::Undone => "undone",
        }
    }
}

/// What is being done, noted before it begins: enough to take it back, or to finish it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    version: u32,
    /// Names the temporary files.
    pub id: String,
    pub stage: Stage,
    pub moves: Vec<FileState>,
    /// Directories that are made for it.
    pub making: Vec<String>,
    /// The records of the changes, as they were (`None` for a new change) and as they will be.
    pub records: Vec<(Option<Record>, Record)>,
}

/// How far an intent has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Files are on their way: it is taken back.
    Carrying,
    /// All files are there and were read back: the records follow.
    Carried,
}

impl Intent {
    pub fn new(id: &str, moves: Vec<FileState>, records: Vec<(Option<Record>, Record)>) -> Intent {
        let (id, stage) = (id.to_owned(), Stage::Carrying);
        Intent { version: VERSION, id, stage, moves, making: Vec::new(), records }
    }
}

/// One path before and after the change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileState {
    pub path: String,
    pub before: Option<Content>,
    pub after: Option<Content>,
}

/// A file's content, by its hash, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// blake3, hexadecimal.
    pub hash: String,
    pub bytes: u64,
    /// Permission bits; `None` for the usual ones of a new file.
    pub mode: Option<u32>,
    /// User and group; `None` for whoever applies.
    pub owner: Option<(u32, u32)>,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

/// What happened to a file, in the words of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub old_path: String,
    pub path: String,
    pub kind: ChangeKind,
}

impl Journal {
    /// Opens the journal, waiting while another process changes the same repository.
    pub fn open(folder: &Path) -> Result<Journal, ApplyError> {
        let open = || -> io::Result<Journal> {
            make_private(folder)?;
            let dir = Dir::open_ambient_dir(folder, ambient_authority())?;
            let lock = dir.open_with("lock", private().create(true).truncate(false))?.into_std();
            lock.lock()?;
            for name in [RECORDS, CONTENTS] {
                match dir.create_dir_with(name, &private_folder()) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    other => other?,
                }
            }
            // The intent makes these names durable with its own, and nothing rests on them before.
            let (records, contents) = (dir.open_dir(RECORDS)?, dir.open_dir(CONTENTS)?);
            Ok(Journal { folder: dir, records, contents, _lock: lock })
        };
        open().map_err(|source| {
            let what = format!("open the journal in `{}`", folder.display());
            ApplyError::Io { what, source }
        })
    }

    /// All records by id. Reading needs no lock: records are replaced whole.
    pub fn read(folder: &Path) -> Result<Vec<Record>, ApplyError> {
        match Dir::open_ambient_dir(folder.join(RECORDS), ambient_authority()) {
            Ok(records) => read_records(&records),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => {
                Err(ApplyError::Io { what: format!("open the journal in `{}`", folder.display()), source })
            }
        }
    }

    pub fn records(&self) -> Result<Vec<Record>, ApplyError> {
        read_records(&self.records)
    }

    /// A record for a new change, not written yet.
    pub fn new_record(&self, digest: &str, at_ms: u64, summary: &str) -> Result<Record, ApplyError> {
        let records = self.records()?;
        let number =
            |record: &Record| record.id.split('-').next().and_then(|number| number.parse::<u64>().ok());
        let next = records.iter().filter_map(number).max().unwrap_or(0) + 1;
        Ok(Record {
            version: VERSION,
            id: format!("{next:06}-{}", digest.get(..8).unwrap_or(digest)),
            turn: next_turn(&records),
            at_ms,
            summary: summary.to_owned(),
            task: None,
            state: State::Applied,
            undone: BTreeSet::new(),
            files: Vec::new(),
            changes: Vec::new(),
            made: Vec::new(),
        })
    }

    /// Writes a record in place of the one with its id.
    pub fn write(&self, record: &Record, steps: &mut Steps<'_>) -> Result<(), Stop> {
        let what = format!("note in the journal that change {} is {}", record.id, record.state.label());
        self.replace(&self.records, &format!("{}.json", record.id), record, &what, steps)
    }

    /// Removes the record of a change that never was, if there is one.
    pub fn forget(&self, id: &str, steps: &mut Steps<'_>) -> Result<(), Stop> {
        let what = format!("take change {id} out of the journal");
        step(steps, &what, || ignore_missing(self.records.remove_file(format!("{id}.json"))))?;
        step(steps, &what, || sync(&self.records))
    }

    /// What an earlier process did not finish.
    pub fn intent(&self) -> Result<Option<Intent>, ApplyError> {
        let damaged = |reason: String| ApplyError::Journal { file: INTENT.into(), reason };
        let text = match self.folder.read(INTENT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| damaged(error.to_string()))?,
        };
        let intent: Intent = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        match intent.version {
            VERSION => Ok(Some(intent)),
            other => Err(damaged(format!("it is of version {other}, this program knows {VERSION}"))),
        }
    }

    /// Notes what is being done, in place of what was.
    pub fn intend(&self, intent: &Intent, steps: &mut Steps<'_>) -> Result<(), Stop> {
        self.replace(&self.folder, INTENT, intent, "note in the journal what is being done", steps)
    }

    /// Nothing is being done any more.
    pub fn settle(&self, steps: &mut Steps<'_>) -> Result<(), Stop> {
        let what = "note in the journal that it is done";
        step(steps, what, || ignore_missing(self.folder.remove_file(INTENT)))?;
        step(steps, what, || sync(&self.folder))
    }

    fn replace(
        &self,
        folder: &Dir,
        name: &str,
        value: &impl Serialize,
        what: &str,
        steps: &mut Steps<'_>,
    ) -> Result<(), Stop> {
        // A struct of strings and numbers always becomes JSON.
        let text = serde_json::to_vec_pretty(value).unwrap_or_default();
        let beside = format!("{name}.tmp");
        step(steps, what, || write_file(folder, &beside, &text))?;
        step(steps, what, || folder.rename(&beside, folder, name))?;
        step(steps, what, || sync(folder))
    }

    /// Stores contents under their hashes, unless they are there, and makes sure that they outlive a
    /// power cut. One that was cut off does not have its hash, and is written again.
    pub fn store(&self, contents: &[Arc<[u8]>], steps: &mut Steps<'_>) -> Result<(), Stop> {
        let what = "keep a copy in the journal";
        let mut written = Unsynced::default();
        for bytes in contents {
            let hash = blake3::hash(bytes).to_hex().to_string();
            if self.content(&hash).is_ok() {
                continue;
            }
            step(steps, what, || {
                let mut file = self.contents.open_with(&hash, private().create(true).truncate(true))?;
                file.write_all(bytes)?;
                written.push(file)
            })?;
        }
        step(steps, what, || written.push_folder(&self.contents))?;
        step(steps, what, || written.sync())
    }

    /// A stored content, checked against its hash.
    pub fn content(&self, hash: &str) -> Result<Vec<u8>, ApplyError> {
        let damaged = |reason: String| ApplyError::Journal { file: format!("{CONTENTS}/{hash}"), reason };
        let bytes = self.contents.read(hash).map_err(|error| damaged(error.to_string()))?;
        match blake3::hash(&bytes).to_hex().as_str() == hash {
            true => Ok(bytes),
            false => Err(damaged("its content does not have this hash".into())),
        }
    }

    /// Removes what an interrupted write left beside its place.
    pub fn sweep(&self) {
        for folder in [&self.folder, &self.records] {
            let Ok(entries) = folder.entries() else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                if name.to_str().is_some_and(|name| name.ends_with(".tmp")) {
                    // Left over and never read: failing to remove it harms nothing.
                    let _ = folder.remove_file(&name);
                }
            }
        }
    }

    /// Removes every content that no record needs: how many, and how many bytes. Nothing may be
    /// under way.
    pub fn collect(&self, steps: &mut Steps<'_>) -> Result<(u64, u64), Stop> {
        let records = self.records()?;
        let needed: BTreeSet<&str> = records
            .iter()
            .flat_map(|record| &record.files)
            .flat_map(|file| file.before.iter().chain(&file.after))
            .map(|content| content.hash.as_str())
            .collect();
        let what = "remove copies that nothing needs";
        step(steps, what, || {
            let (mut files, mut bytes) = (0, 0);
            for entry in self.contents.entries()? {
                let entry = entry?;
                let name = entry.file_name();
                if !name.to_str().is_some_and(|name| needed.contains(name)) {
                    bytes += entry.metadata()?.len();
                    files += 1;
                    self.contents.remove_file(&name)?;
                }
            }
            Ok((files, bytes))
        })
    }
}

/// Freshly written files and changed directories that are not durable yet. Few are kept open, whatever
/// their number.
#[derive(Debug, Default)]
pub struct Unsynced {
    files: Vec<File>,
    /// One of the others for each file system that they are on.
    #[cfg(target_os = "linux")]
    more: std::collections::BTreeMap<u64, File>,
}

/// From so many files on, one sync of the file system is cheaper than one of each file.
const MANY: usize = 8;

impl Unsynced {
    pub fn push(&mut self, file: File) -> io::Result<()> {
        if self.files.len() < MANY {
            self.files.push(file);
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        {
            use std::collections::btree_map::Entry;

            match self.more.entry(rustix::fs::fstat(&file)?.st_dev) {
                Entry::Occupied(_) => return Ok(()),
                Entry::Vacant(place) if hears_of_syncfs(&file)? => {
                    place.insert(file);
                    return Ok(());
                }
                Entry::Vacant(_) => {}
            }
        }
        sync_one(&file)
    }

    /// The names in a directory, where the system can make them durable.
    #[cfg(unix)]
    pub fn push_folder(&mut self, folder: &Dir) -> io::Result<()> {
        self.push(folder.open(".")?)
    }

    #[cfg(not(unix))]
    pub fn push_folder(&mut self, _: &Dir) -> io::Result<()> {
        Ok(())
    }

    /// Makes all of them durable: one by one, or, when there are many, with all else that their file
    /// systems have to write. Linux's `syncfs` waits for the data and the metadata of every file and
    /// directory of a file system as `fsync` does for one; but the disk is told once to empty its
    /// cache, not once for each.
    pub fn sync(self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        for file in self.more.values() {
            rustix::fs::syncfs(file)?;
        }
        for file in &self.files {
            #[cfg(target_os = "linux")]
            if self.more.contains_key(&rustix::fs::fstat(file)?.st_dev) {
                continue;
            }
            sync_one(file)?;
        }
        Ok(())
    }
}

/// Whether `syncfs` reaches whoever keeps the bytes: a file system in user space is told of `fsync` alone.
#[cfg(target_os = "linux")]
fn hears_of_syncfs(file: &File) -> io::Result<bool> {
    const FUSE_SUPER_MAGIC: rustix::fs::FsWord = 0x6573_5546;
    Ok(rustix::fs::fstatfs(file)?.f_type != FUSE_SUPER_MAGIC)
}

fn sync_one(file: &File) -> io::Result<()> {
    match file.sync_all() {
        // Some file systems have no sync of directories; they promise no more without it.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
                && file.metadata()?.is_dir() =>
        {
            Ok(())
        }
        other => other,
    }
}

pub fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

pub fn next_turn(records: &[Record]) -> u64 {
    records.iter().map(|record| record.turn).max().unwrap_or(0) + 1
}

fn read_records(folder: &Dir) -> Result<Vec<Record>, ApplyError> {
    let failed = |source| ApplyError::Io { what: "list the journal".into(), source };
    let mut records: Vec<Record> = Vec::new();
    for entry in folder.entries().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
        let damaged = |reason: String| ApplyError::Journal { file: format!("{RECORDS}/{id}.json"), reason };
        let mut text = Vec::new();
        folder
            .open(&name)
            .and_then(|mut file| file.read_to_end(&mut text))
            .map_err(|error| damaged(error.to_string()))?;
        let record: Record = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if record.version != VERSION {
            return Err(damaged(format!(
                "it is of version {}, this program knows {VERSION}",
                record.version
            )));
        }
        if record.id != id {
            return Err(damaged(format!("it is the record of change {}", record.id)));
        }
        records.push(record);
    }
    records.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(records)
}

/// Writes and syncs a file that is its owner's alone, in place of a leftover.
fn write_file(folder: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = folder.open_with(name, private().create(true).truncate(true))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use cap_std::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

#[cfg_attr(not(unix), allow(unused_mut))]
fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use cap_std::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder
}

/// Makes the journal's directory, with those above it.
fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Makes renames in a directory durable, where the system can.
pub fn sync(folder: &Dir) -> io::Result<()> {
    let mut unsynced = Unsynced::default();
    unsynced.push_folder(folder)?;
    unsynced.sync()
}
