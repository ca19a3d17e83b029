//! Owns the way from the tree to the store: content hashes decide, one transaction writes. It must
//! not trust times of modification, and must not know ranking.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::decode::decode;
use crate::extract::extract;
use crate::git::{Repository, blob_ids};
use crate::lang;
use crate::store::{self, FileRow, Store, set_meta};
use crate::symbol::Extracted;
use crate::text::{Change, ChunkText, Text};
use crate::token::append_tokens;
use crate::walk::{Found, LARGEST_FILE, SkipReason, walk};

/// Results waiting for the writer; bounds memory.
const QUEUE: usize = 64;
/// The parser recurses on broken text; only what is used of it takes memory.
const WORKER_STACK: usize = 64 << 20;
/// Files between two calls of the progress function, at most.
const PROGRESS_STEP: u64 = 16;

/// What the update is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Listing the tree.
    Walk,
    /// Reading, hashing and parsing files.
    Files,
    /// Reading git objects.
    History,
    /// Writing to the disk.
    Commit,
}

impl Phase {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Phase::Walk => "listing files",
            Phase::Files => "reading files",
            Phase::History => "reading history",
            Phase::Commit => "writing",
        }
    }
}

/// How far the update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub phase: Phase,
    pub done: u64,
    pub total: Option<u64>,
}

/// What an update did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateReport {
    /// Files in the index now.
    pub files: u64,
    pub added: u64,
    pub updated: u64,
    pub removed: u64,
    /// Files that are not in the index, by reason. What ignore rules exclude is not visited and
    /// not counted.
    pub skipped: Vec<(SkipReason, u64)>,
    /// Files whose bytes are not UTF-8 and were converted, by encoding.
    pub converted: Vec<(String, u64)>,
    /// Files whose parser gave up; they are indexed as plain text.
    pub gave_up: u64,
    /// Why the index was built anew, when it was.
    pub rebuilt: Option<String>,
    /// What is worth knowing about the git state, such as that it cannot be read.
    pub git: Option<String>,
}

/// A file that was read, on its way to the writer.
enum Read {
    Unchanged,
    Changed(Box<Parsed>),
    Skipped(SkipReason),
    Failed(IndexError),
}

struct Parsed {
    row: FileRow,
    extracted: Extracted,
    chunks: Vec<ChunkText>,
}

/// Brings store and text up to date with the tree under `root`.
pub fn update(
    root: &Path,
    own: &Path,
    store: &mut Store,
    text: &Text,
    rebuilt: Option<String>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<UpdateReport, IndexError> {
    let mut tell = |phase, done, total| match progress(Progress { phase, done, total }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(IndexError::Cancelled),
    };
    tell(Phase::Walk, 0, None)?;
    if !root.is_dir() {
        return Err(IndexError::Root { path: root.to_owned(), reason: "it is gone".to_owned() });
    }
    let (found, mut skips) = walk(root, own);
    let total = found.len() as u64;

    let transaction = store.begin_write()?;
    let mut report = UpdateReport { rebuilt, ..UpdateReport::default() };
    let mut writer = Writer::new(&transaction, text)?;
    if text.generation()? != writer.text_generation {
        // A process died between the two commits, or a file of the full-text part was lost.
        report.rebuilt.get_or_insert_with(|| "store and full text were not of the same update".to_owned());
        writer.clear()?;
    }
    let known = writer.known()?;
    let mut present: HashSet<&str> = HashSet::new();
    let mut done = 0;
    read_all(&found, &known, |path, read| {
        done += 1;
        if done % PROGRESS_STEP == 0 || done == total {
            tell(Phase::Files, done, Some(total))?;
        }
        match read {
            Read::Unchanged => {}
            Read::Failed(error) => return Err(error),
            Read::Skipped(reason) => {
                *skips.entry(reason).or_default() += 1;
                return Ok(());
            }
            Read::Changed(parsed) => match known.get(path) {
                Some(before) => {
                    report.updated += 1;
                    writer.replace(before.id, *parsed)?;
                }
                None => {
                    report.added += 1;
                    writer.add(*parsed)?;
                }
            },
        }
        present.insert(path);
        Ok(())
    })?;
    for gone in known.values().filter(|row| !present.contains(row.path.as_str())) {
        report.removed += 1;
        writer.remove(gone.id)?;
    }

    tell(Phase::History, 0, None)?;
    let files_changed = report.added + report.updated + report.removed > 0;
    let (git, git_changed) = update_git(root, &transaction, files_changed)?;
    report.git = git;
    report.skipped = skips.iter().map(|(reason, count)| (*reason, *count)).collect();
    let skipped = serde_json::to_string(&report.skipped).unwrap_or_default();
    let skips_changed = store::meta(&transaction, "skipped")?.as_deref() != Some(&skipped);
    if skips_changed {
        set_meta(&transaction, "skipped", &skipped)?;
    }
    report.count(&transaction)?;
    tell(Phase::Commit, 0, None)?;
    if !(files_changed || git_changed || skips_changed || writer.change.is_some()) {
        return Ok(report);
    }
    writer.finish()?.commit(transaction)?;
    Ok(report)
}

impl UpdateReport {
    fn count(&mut self, connection: &rusqlite::Connection) -> Result<(), IndexError> {
        let rows = store::encodings(connection)?;
        self.files = rows.iter().map(|row| row.files).sum();
        self.gave_up = rows.iter().map(|row| row.gave_up).sum();
        self.converted =
            rows.into_iter().filter(|row| row.name != "utf-8").map(|row| (row.name, row.files)).collect();
        Ok(())
    }
}

/// The one writer of an update.
struct Writer<'a> {
    connection: &'a rusqlite::Connection,
    text: &'a Text,
    /// Opened with the first change: an update that changes nothing writes nothing.
    change: Option<Change>,
    /// Counts updates that changed anything; tells readers that what they hold is old.
    generation: u64,
    /// The generation of the last update that changed the full text.
    text_generation: u64,
    names: HashMap<String, i64>,
    next_id: i64,
}

/// What is left to do once every row is written.
struct Finished {
    change: Option<Change>,
    generation: u64,
}

impl<'a> Writer<'a> {
    fn new(connection: &'a rusqlite::Connection, text: &'a Text) -> Result<Writer<'a>, IndexError> {
        let number = |key| Ok(store::meta(connection, key)?.and_then(|text| text.parse().ok()).unwrap_or(0));
        Ok(Writer {
            connection,
            text,
            change: None,
            generation: number("generation")?,
            text_generation: number("text")?,
            names: HashMap::new(),
            next_id: 1,
        })
    }

    fn known(&mut self) -> Result<BTreeMap<String, FileRow>, IndexError> {
        let rows = store::files(self.connection)?;
        self.next_id = rows.iter().map(|row| row.id).max().unwrap_or(0) + 1;
        Ok(rows.into_iter().map(|row| (row.path.clone(), row)).collect())
    }

    fn change(&mut self) -> Result<&mut Change, IndexError> {
        if self.change.is_none() {
            self.change = Some(self.text.begin_write()?);
        }
        // Filled one line above.
        self.change.as_mut().ok_or(IndexError::Unsettled)
    }

    fn clear(&mut self) -> Result<(), IndexError> {
        store::clear_files(self.connection)?;
        self.change()?.clear()
    }

    fn add(&mut self, mut parsed: Parsed) -> Result<(), IndexError> {
        parsed.row.id = self.next_id;
        self.next_id += 1;
        store::insert_file(self.connection, &parsed.row, &parsed.extracted, &mut self.names)?;
        self.change()?.add(parsed.row.id, &parsed.row.path, parsed.chunks)
    }

    fn replace(&mut self, id: i64, parsed: Parsed) -> Result<(), IndexError> {
        self.remove(id)?;
        self.add(parsed)
    }

    fn remove(&mut self, id: i64) -> Result<(), IndexError> {
        store::remove_file(self.connection, id)?;
        self.change()?.remove(id);
        Ok(())
    }

    fn finish(self) -> Result<Finished, IndexError> {
        let generation = self.generation + 1;
        set_meta(self.connection, "generation", &generation.to_string())?;
        if self.change.is_some() {
            set_meta(self.connection, "text", &generation.to_string())?;
        }
        Ok(Finished { change: self.change, generation })
    }
}

impl Finished {
    fn commit(self, transaction: rusqlite::Transaction) -> Result<(), IndexError> {
        let commit = || transaction.commit().map_err(crate::error::store("committing"));
        match self.change {
            Some(change) => change.commit(self.generation, commit),
            None => commit(),
        }
    }
}

/// Reads and parses on all cores; hands each result to `take`, in no particular order, on this
/// thread. Stops early when `take` fails.
fn read_all<'a>(
    found: &'a [Found],
    known: &BTreeMap<String, FileRow>,
    mut take: impl FnMut(&'a str, Read) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let (sender, receiver) = mpsc::sync_channel(QUEUE);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            let next = &next;
            let work = move || {
                while let Some(file) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = read(file, known.get(&file.path));
                    if sender.send((file.path.as_str(), result)).is_err() {
                        break;
                    }
                }
            };
            let spawned = std::thread::Builder::new().stack_size(WORKER_STACK).spawn_scoped(scope, work);
            spawned.map_err(|error| IndexError::Threads { reason: error.to_string() })?;
        }
        drop(sender);
        // The receiver is dropped before the scope waits, so that no worker blocks for ever.
        receiver.into_iter().try_for_each(|(path, result)| take(path, result))
    })
}

fn read(file: &Found, known: Option<&FileRow>) -> Read {
    let Some(bytes) = read_regular(&file.absolute) else { return Read::Skipped(SkipReason::Unreadable) };
    if bytes.len() as u64 > LARGEST_FILE {
        return Read::Skipped(SkipReason::TooLarge);
    }
    let hash = *blake3::hash(&bytes).as_bytes();
    if known.is_some_and(|row| row.hash == hash) {
        return Read::Unchanged;
    }
    let (size, blob) = (bytes.len() as u64, blob_ids(&bytes));
    let Some((source, encoding)) = decode(bytes) else { return Read::Skipped(SkipReason::Binary) };
    let language = lang::for_file(&file.path, &source);
    let extracted = match extract(language, &source) {
        Ok(extracted) => extracted,
        Err(error) => return Read::Failed(error),
    };
    let chunks = chunk_texts(&source, &extracted);
    let row = FileRow {
        id: 0,
        path: file.path.clone(),
        hash,
        blob,
        bytes: size,
        lines: extracted.lines,
        tokens: chunks.iter().map(|chunk| chunk.length).sum(),
        chunks: chunks.len() as u32,
        language: language.map(|language| language.name.to_owned()),
        encoding: encoding.name().to_owned(),
        syntax_errors: extracted.syntax_errors,
        gave_up: extracted.gave_up,
        git: None,
    };
    Read::Changed(Box::new(Parsed { row, extracted, chunks }))
}

/// The bytes of a regular file that is no larger than it may be and a little, or `None`. What was
/// listed may have been replaced since: a pipe must not block us, a link must not be followed.
pub(crate) fn read_regular(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read as _;
    if !std::fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn chunk_texts(source: &str, extracted: &Extracted) -> Vec<ChunkText> {
    let mut texts: Vec<ChunkText> = Vec::with_capacity(extracted.chunks.len());
    for chunk in &extracted.chunks {
        let mut tokens = String::new();
        let length = append_tokens(&source[chunk.start_byte as usize..chunk.end_byte as usize], &mut tokens);
        texts.push(ChunkText { tokens, length: length as u64, ..ChunkText::default() });
    }
    for symbol in &extracted.symbols {
        let at = extracted.chunks.partition_point(|chunk| chunk.end_byte <= symbol.start_byte);
        let Some(text) = texts.get_mut(at) else { continue };
        append_tokens(&symbol.name, &mut text.names);
        text.defined.push_str(symbol.name.trim());
        text.defined.push(' ');
    }
    texts
}

/// Brings HEAD, history and the git state of each file up to date. Answers a note for people, if
/// there is anything to say, and whether anything changed.
fn update_git(
    root: &Path,
    connection: &rusqlite::Connection,
    files_changed: bool,
) -> Result<(Option<String>, bool), IndexError> {
    let (repository, head, mut note) = match Repository::discover(root) {
        Ok(Some(repository)) => match repository.head() {
            Ok(head) => (Some(repository), head, None),
            Err(note) => (None, None, Some(note)),
        },
        Ok(None) => (None, None, None),
        Err(note) => (None, None, Some(note)),
    };
    // What a cached commit says depends on where history is cut and which part of it is ours.
    let place = repository.as_ref().map(Repository::place).unwrap_or_default();
    let state = format!("{place}@{}", head.as_deref().map(hex).unwrap_or_default());
    let before = store::meta(connection, "git")?;
    let stored_note = store::meta(connection, "git_note")?.unwrap_or_default();
    let is_same = before.as_deref() == Some(&state) && stored_note.is_empty() && note.is_none();
    if is_same && !files_changed {
        return Ok((None, false));
    }
    if !is_same {
        if before.as_deref().is_none_or(|before| !before.starts_with(&format!("{place}@"))) {
            store::set_history(connection, &[], &[])?;
        }
        match (&repository, &head) {
            (Some(repository), Some(head)) => {
                let tree = repository.tree(head).unwrap_or_else(|problem| {
                    note = Some(problem);
                    Vec::new()
                });
                store::set_head(connection, &tree)?;
                let (order, problem) = repository.recent(head);
                note = note.or(problem);
                let unknown = store::unknown_commits(connection, &order)?;
                store::set_history(connection, &repository.commits(&unknown), &order)?;
            }
            _ => {
                store::set_head(connection, &[])?;
                store::set_history(connection, &[], &[])?;
            }
        }
        set_meta(connection, "git", &state)?;
        set_meta(connection, "git_note", note.as_deref().unwrap_or_default())?;
    }
    store::mark_git_state(connection)?;
    let changed = before.as_deref() != Some(&state) || note.as_deref().unwrap_or_default() != stored_note;
    Ok((note, changed))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
