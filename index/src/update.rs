//! Owns the way from the tree to the store: what may have changed is read, its hash decides, and
//! one transaction writes. It must not know ranking.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde::{Deserialize, Serialize};

use crate::IndexError;
use crate::attributes::{self, Rule};
use crate::decode::decode;
use crate::extract::extract;
use crate::file::Content;
use crate::git::{Repository, blob_ids};
use crate::lang;
use crate::origin;
use crate::past;
use crate::seen::{self, Seen, Stamp};
use crate::store::{self, FileRow, Store, set_meta};
use crate::symbol::Extracted;
use crate::text::{ChunkText, Text};
use crate::token::append_tokens;
use crate::walk::{Found, SkipReason, Skips, What, walk};
use crate::writer::{Parsed, Writer};

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
    /// Taking over an archive; counted in bytes.
    Import,
}

impl Phase {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Phase::Walk => "listing files",
            Phase::Files => "reading files",
            Phase::History => "reading history",
            Phase::Commit => "writing",
            Phase::Import => "reading the archive",
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
    /// Files that are so large that only their beginning is indexed.
    pub heads: u64,
    /// Why the index was built anew, when it was.
    pub rebuilt: Option<String>,
    /// What is worth knowing about the git state, such as that it cannot be read.
    pub git: Option<String>,
}

/// A file that was read, on its way to the writer.
enum Read {
    /// The content is what it was.
    Unchanged,
    Changed(Box<Parsed>),
    Skipped(SkipReason),
    Failed(IndexError),
}

/// A file that has to be read.
struct Task<'a> {
    path: &'a str,
    stamp: Option<Stamp>,
    /// Id under which it will be stored.
    id: i64,
    /// Id and hash of what is stored.
    before: Option<(i64, [u8; 32])>,
}

/// Brings store and text up to date with the tree under `root`: with all of it, or with what is at
/// or below the paths of `scope`.
pub fn update(
    root: &Path,
    own: &Path,
    store: &mut Store,
    text: &Text,
    scope: Option<&[String]>,
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
    let transaction = store.begin_write()?;
    let mut report = UpdateReport { rebuilt, ..UpdateReport::default() };
    let mut writer = Writer::new(&transaction, text)?;
    let mut scope = scope;
    if !writer.is_whole() {
        report.rebuilt.get_or_insert_with(|| "a part of the full text was lost".to_owned());
        writer.clear()?;
        scope = None;
    }
    let known = seen::all(&transaction, scope)?;
    // Taken before anything is looked at: what changes from here on has a later time.
    let now = seen::now(own);
    let found = walk(root, own, scope);
    let Difference { read, skip, gone, mut skips } = compare(&found, &known);
    if scope.is_some() {
        skips = elsewhere(stored_skips(&transaction)?, &known, skips);
    }

    let mut tasks = Vec::with_capacity(read.len());
    for (stamp, path, before) in read {
        let before = match before.and_then(|seen| seen.file) {
            Some(id) => store::hash(&transaction, id)?.map(|hash| (id, hash)),
            None => None,
        };
        tasks.push(Task { path, stamp, id: writer.next_id + tasks.len() as i64, before });
    }
    writer.expect(tasks.len());
    let total = tasks.len() as u64;
    let mut done = 0;
    let mut has_seen = !(skip.is_empty() && gone.is_empty());
    read_all(root, &tasks, |task, read| {
        done += 1;
        if done % PROGRESS_STEP == 0 || done == total {
            tell(Phase::Files, done, Some(total))?;
        }
        let mut seen = Seen {
            path: task.path.to_owned(),
            stamp: task.stamp.filter(|stamp| stamp.is_settled(now)),
            skipped: None,
            file: None,
        };
        match read {
            Read::Failed(error) => return Err(error),
            Read::Unchanged => seen.file = task.before.map(|(id, _)| id),
            Read::Skipped(reason) => {
                *skips.entry(reason).or_default() += 1;
                seen.skipped = Some(reason);
                if let Some((id, _)) = task.before {
                    report.removed += 1;
                    writer.remove(id)?;
                }
            }
            Read::Changed(parsed) => {
                seen.file = Some(task.id);
                match task.before {
                    Some((id, _)) => {
                        report.updated += 1;
                        writer.remove(id)?;
                    }
                    None => report.added += 1,
                }
                writer.add(*parsed)?;
            }
        }
        has_seen = true;
        writer.see(&seen)
    })?;
    for (path, reason, before) in skip {
        if let Some(id) = before.and_then(|seen| seen.file) {
            report.removed += 1;
            writer.remove(id)?;
        }
        writer.see(&Seen { path: path.to_owned(), stamp: None, skipped: Some(reason), file: None })?;
    }
    for gone in gone {
        if let Some(id) = gone.file {
            report.removed += 1;
            writer.remove(id)?;
        }
        seen::remove(&transaction, &gone.path)?;
    }

    let (git, git_changed) = update_git(root, &transaction, &writer.written, &mut tell)?;
    report.git = git;
    let skips_changed = stored_skips(&transaction)? != skips;
    report.skipped = skips.iter().map(|(reason, count)| (*reason, *count)).collect();
    if skips_changed {
        set_meta(&transaction, "skipped", &serde_json::to_string(&report.skipped).unwrap_or_default())?;
    }
    let rules = attribute_rules(root, &found, stored_rules(&transaction)?, scope);
    let rules_changed = stored_rules(&transaction)? != rules;
    if rules_changed {
        set_meta(&transaction, "attributes", &serde_json::to_string(&rules).unwrap_or_default())?;
    }
    let unusual = store::unusual(&transaction)?;
    report.files = writer.files();
    report.gave_up = unusual.iter().map(|row| row.gave_up).sum();
    report.heads = unusual.iter().map(|row| row.heads).sum();
    report.converted =
        unusual.into_iter().filter(|row| row.name != "utf-8").map(|row| (row.name, row.files)).collect();
    tell(Phase::Commit, 0, None)?;
    let is_visible =
        writer.has_changed() || git_changed || skips_changed || rules_changed || report.rebuilt.is_some();
    if !(is_visible || has_seen) {
        return Ok(report);
    }
    let has_segments = writer.has_changed();
    writer.finish(is_visible)?;
    tell(Phase::Commit, 0, None)?;
    // The one moment at which everything that was written becomes visible.
    transaction.commit().map_err(crate::error::store("committing"))?;
    if has_segments {
        store.if_free(|connection| {
            if let Ok(list) = store::meta(connection, "text") {
                text.sweep(list.as_deref());
            }
        });
    }
    Ok(report)
}

/// What the tree has that was not seen before, and the other way round.
struct Difference<'a> {
    /// Files to read, with what was known of them.
    read: Vec<(Option<Stamp>, &'a str, Option<&'a Seen>)>,
    /// Entries that are left out now for another reason than before.
    skip: Vec<(&'a str, SkipReason, Option<&'a Seen>)>,
    gone: Vec<&'a Seen>,
    /// Of everything that is not read.
    skips: Skips,
}

/// Merges two lists that are sorted by path.
fn compare<'a>(found: &'a [Found], known: &'a [Seen]) -> Difference<'a> {
    let mut difference =
        Difference { read: Vec::new(), skip: Vec::new(), gone: Vec::new(), skips: Skips::new() };
    let mut known = known.iter().peekable();
    for entry in found {
        while let Some(gone) = known.next_if(|seen| seen.path < entry.path) {
            difference.gone.push(gone);
        }
        let before = known.next_if(|seen| seen.path == entry.path);
        match entry.what {
            What::Skipped(reason) => {
                *difference.skips.entry(reason).or_default() += 1;
                if before.is_none_or(|seen| seen.skipped != Some(reason) || seen.stamp.is_some()) {
                    difference.skip.push((&entry.path, reason, before));
                }
            }
            What::File(stamp) => match before {
                Some(seen) if stamp.is_some() && seen.stamp == stamp => {
                    if let Some(reason) = seen.skipped {
                        *difference.skips.entry(reason).or_default() += 1;
                    }
                }
                _ => difference.read.push((stamp, &entry.path, before)),
            },
        }
    }
    difference.gone.extend(known);
    difference
}

/// The counts of the whole tree, when those of one part of it were `before` and are `now`.
fn elsewhere(all: Skips, before: &[Seen], now: Skips) -> Skips {
    let mut counts = all;
    for reason in before.iter().filter_map(|seen| seen.skipped) {
        let count = counts.entry(reason).or_default();
        *count = count.saturating_sub(1);
    }
    for (reason, count) in now {
        *counts.entry(reason).or_default() += count;
    }
    counts.retain(|_, count| *count > 0);
    counts
}

fn stored_skips(connection: &rusqlite::Connection) -> Result<Skips, IndexError> {
    let stored = store::meta(connection, "skipped")?.unwrap_or_default();
    let pairs: Vec<(SkipReason, u64)> = serde_json::from_str(&stored).unwrap_or_default();
    Ok(pairs.into_iter().collect())
}

fn stored_rules(connection: &rusqlite::Connection) -> Result<Vec<Rule>, IndexError> {
    Ok(serde_json::from_str(&store::meta(connection, "attributes")?.unwrap_or_default()).unwrap_or_default())
}

/// What every `.gitattributes` says of where files come from; `before` still holds for what is not
/// in `scope`.
fn attribute_rules(root: &Path, found: &[Found], before: Vec<Rule>, scope: Option<&[String]>) -> Vec<Rule> {
    let is_in_scope = |path: &str| {
        scope.is_none_or(|scope| {
            scope.iter().any(|wanted| {
                path.strip_prefix(wanted.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        })
    };
    let mut rules: Vec<Rule> = before.into_iter().filter(|rule| !is_in_scope(&rule.file)).collect();
    let is_named = |path: &str| path == ".gitattributes" || path.ends_with("/.gitattributes");
    for path in found.iter().map(|found| found.path.as_str()).filter(|path| is_named(path)) {
        let content =
            Content::read(&root.join(path)).filter(|content| content.size <= attributes::LONGEST_FILE);
        let text = content.and_then(|content| String::from_utf8(content.bytes).ok());
        rules.extend(attributes::rules(path, &text.unwrap_or_default()));
    }
    rules.sort_by(|a, b| a.file.cmp(&b.file));
    rules
}

/// Reads and parses on all cores; hands each result to `take`, in no particular order, on this
/// thread. Stops early when `take` fails.
fn read_all<'a>(
    root: &Path,
    tasks: &'a [Task<'a>],
    mut take: impl FnMut(&'a Task<'a>, Read) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(tasks.len());
    let (sender, receiver) = mpsc::sync_channel(QUEUE);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let sender = sender.clone();
            let next = &next;
            let work = move || {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = read(root, task);
                    if sender.send((task, result)).is_err() {
                        break;
                    }
                }
            };
            let spawned = std::thread::Builder::new().stack_size(WORKER_STACK).spawn_scoped(scope, work);
            spawned.map_err(|error| IndexError::Threads { reason: error.to_string() })?;
        }
        drop(sender);
        // The receiver is dropped before the scope waits, so that no worker blocks for ever.
        receiver.into_iter().try_for_each(|(task, result)| take(task, result))
    })
}

fn read(root: &Path, task: &Task) -> Read {
    let Some(content) = Content::read(&root.join(task.path)) else {
        return Read::Skipped(SkipReason::Unreadable);
    };
    let (hash, size, indexed) = (content.hash, content.size, content.bytes.len() as u64);
    if task.before.is_some_and(|(_, before)| before == hash) {
        return Read::Unchanged;
    }
    // Git names whole files only.
    let blob = if content.is_head() { Vec::new() } else { blob_ids(&content.bytes) };
    let Some((source, encoding)) = decode(content.bytes) else { return Read::Skipped(SkipReason::Binary) };
    let by_text = origin::of_text(task.path, &source);
    let is_plain = [&by_text, &origin::of_path(task.path)]
        .into_iter()
        .any(|origin| origin.as_ref().is_some_and(|origin| origin.kind.is_plain()));
    let language = if is_plain { None } else { lang::for_file(task.path, &source) };
    let extracted = match extract(language, &source) {
        Ok(extracted) => extracted,
        Err(error) => return Read::Failed(error),
    };
    let chunks = chunk_texts(&source, &extracted);
    let row = FileRow {
        id: task.id,
        path: task.path.to_owned(),
        hash,
        blob,
        bytes: size,
        lines: extracted.lines,
        tokens: chunks.iter().map(|chunk| chunk.length).sum(),
        chunks: chunks.len() as u32,
        language: language.map(|language| language.name.to_owned()),
        encoding,
        // A text that is cut off is broken, which says nothing of the file.
        syntax_errors: if indexed < size { 0 } else { extracted.syntax_errors },
        gave_up: extracted.gave_up,
        git: None,
        indexed,
        origin: by_text,
    };
    Read::Changed(Box::new(Parsed { row, extracted, chunks }))
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

/// Brings HEAD, history and the git state of each file up to date; `written` are the files that
/// are new in the store. Answers a note for people, if there is anything to say, and whether
/// anything changed.
fn update_git(
    root: &Path,
    connection: &rusqlite::Connection,
    written: &[i64],
    tell: &mut impl FnMut(Phase, u64, Option<u64>) -> Result<(), IndexError>,
) -> Result<(Option<String>, bool), IndexError> {
    tell(Phase::History, 0, None)?;
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
    if before.as_deref() == Some(&state) && stored_note.is_empty() && note.is_none() {
        store::mark_git_state(connection, Some(written))?;
        return Ok((None, false));
    }
    if before.as_deref().is_none_or(|before| !before.starts_with(&format!("{place}@"))) {
        past::set(connection, &[])?;
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
            let unknown = past::unknown(connection, &order)?;
            let total = unknown.len() as u64;
            let mut done = 0;
            repository.commits(&unknown, |id, commit| {
                done += 1;
                if done % PROGRESS_STEP == 0 {
                    tell(Phase::History, done, Some(total))?;
                }
                past::add(connection, id, &commit)
            })?;
            past::set(connection, &order)?;
        }
        _ => {
            store::set_head(connection, &[])?;
            past::set(connection, &[])?;
        }
    }
    set_meta(connection, "git", &state)?;
    set_meta(connection, "git_note", note.as_deref().unwrap_or_default())?;
    store::mark_git_state(connection, None)?;
    let changed = before.as_deref() != Some(&state) || note.as_deref().unwrap_or_default() != stored_note;
    Ok((note, changed))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
