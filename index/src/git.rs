//! Owns what is read from git: HEAD, its tree, and what recent commits say and touch. It reads
//! objects only: no configuration but the repository's own, no environment, no hook, no filter,
//! no other program. It must not know storage or ranking, and nothing it meets is a failure: a
//! damaged repository is a note.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;

use gix::ObjectId;
use gix::objs::tree::{EntryKind, EntryRef};
use gix::odb::pack::cache::lru::MemoryCappedHashmap;
use gix::sec::trust::Mapping;

use crate::IndexError;
use crate::past::{Commit, Terms};
use crate::token::append_tokens;

/// Commits that are read.
pub const HISTORY_LIMIT: usize = 10_000;
/// Commits looked at to find them; merges say nothing of their own and are passed over.
const WALK_LIMIT: usize = 3 * HISTORY_LIMIT;
/// A commit that touches more is cut here: it would say nothing about each.
const TOUCHED_LIMIT: usize = 2_000;
/// Trees nested deeper, or holding more entries, are not read: they are made to exhaust us.
const DEPTH_LIMIT: usize = 128;
const ENTRY_LIMIT: usize = 1_000_000;
/// Bytes of a message that are read.
const MESSAGE_LIMIT: usize = 8 * 1024;
/// Bytes of whole objects, and of objects that others are stored as differences from, that each
/// reader keeps: neighbouring commits share most of their trees, and a tree is the last of a long
/// chain of differences.
const OBJECT_CACHE: usize = 32 << 20;
const DELTA_BASE_CACHE: usize = 32 << 20;
/// Commits waiting for the writer.
const QUEUE: usize = 64;

/// A git repository around the root.
pub struct Repository {
    inner: gix::ThreadSafeRepository,
    /// From the work tree to the root, with a final `/`, or empty.
    prefix: String,
}

impl Repository {
    /// Finds the repository of `root`, there or above. `Ok(None)` when there is none.
    ///
    /// # Errors
    /// A note for people when there is one that cannot be read.
    pub fn discover(root: &Path) -> Result<Option<Repository>, String> {
        let isolated = || gix::open::Options::isolated().strict_config(false);
        let trust = Mapping { full: isolated(), reduced: isolated() };
        let is_there = root.ancestors().any(|directory| directory.join(".git").exists());
        if !is_there {
            return Ok(None);
        }
        let inner = gix::ThreadSafeRepository::discover_opts(root, Default::default(), trust)
            .map_err(|error| format!("git state is not used: {error}"))?;
        let workdir = inner.work_dir().and_then(|directory| directory.canonicalize().ok());
        let below = workdir.as_deref().and_then(|workdir| root.strip_prefix(workdir).ok());
        let Some(below) = below.and_then(Path::to_str) else {
            return Err("git state is not used: the work tree of the repository is elsewhere".to_owned());
        };
        let mut prefix = below.replace(std::path::MAIN_SEPARATOR, "/");
        if !prefix.is_empty() {
            prefix.push('/');
        }
        Ok(Some(Repository { inner, prefix }))
    }

    /// A view for one thread, which remembers what it reads.
    fn reader(&self) -> gix::Repository {
        let mut repository = self.inner.to_thread_local();
        repository.object_cache_size(OBJECT_CACHE);
        repository.objects.set_pack_cache(|| Box::new(MemoryCappedHashmap::new(DELTA_BASE_CACHE)));
        repository
    }

    /// What the reading of a commit depends on besides its id: the part of the tree that is ours,
    /// and where a shallow clone is cut.
    pub fn place(&self) -> String {
        let shallow = crate::file::Content::read(&self.inner.to_thread_local().common_dir().join("shallow"))
            .map(|content| content.bytes)
            .unwrap_or_default();
        format!("{}:{}", self.prefix, &blake3::hash(&shallow).to_hex()[..16])
    }

    /// Id of the commit that HEAD names; `Ok(None)` before the first commit.
    pub fn head(&self) -> Result<Option<Vec<u8>>, String> {
        let repository = self.inner.to_thread_local();
        let head = repository.head().map_err(|error| format!("git HEAD cannot be read: {error}"))?;
        if head.is_unborn() {
            return Ok(None);
        }
        let id = head.into_peeled_id().map_err(|error| format!("git HEAD cannot be read: {error}"))?;
        Ok(Some(id.detach().as_slice().to_vec()))
    }

    /// Paths and blob ids in the tree of a commit, below the root.
    pub fn tree(&self, commit: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
        let repository = self.reader();
        let tree = ObjectId::try_from(commit)
            .ok()
            .and_then(|id| repository.find_commit(id).ok())
            .and_then(|commit| commit.tree_id().ok())
            .ok_or("git: the commit of HEAD cannot be read; changed files are unknown")?;
        let mut entries = Vec::new();
        let mut note = None;
        let mut open = vec![(tree.detach(), String::new(), 0)];
        while let Some((id, path, depth)) = open.pop() {
            let Ok(tree) = repository.find_tree(id) else {
                note = Some("git: a tree of HEAD cannot be read; changed files are unknown");
                continue;
            };
            let Ok(tree) = tree.decode() else { continue };
            for entry in tree.entries {
                let Ok(name) = std::str::from_utf8(entry.filename) else { continue };
                let path = format!("{path}{name}");
                match entry.mode.kind() {
                    EntryKind::Tree if depth < DEPTH_LIMIT && self.may_hold(&path) => {
                        open.push((entry.oid.to_owned(), format!("{path}/"), depth + 1));
                    }
                    EntryKind::Blob | EntryKind::BlobExecutable => {
                        if let Some(path) = path.strip_prefix(&self.prefix) {
                            entries.push((path.to_owned(), entry.oid.as_bytes().to_vec()));
                        }
                    }
                    _ => {}
                }
            }
            if entries.len() + open.len() > ENTRY_LIMIT {
                return Err("git: the tree of HEAD is too large; changed files are unknown".to_owned());
            }
        }
        match note {
            Some(note) => Err(note.to_owned()),
            None => Ok(entries),
        }
    }

    /// Ids of the newest commits reachable from `head` without merges, newest first, and a note
    /// when the walk could not be finished.
    pub fn recent(&self, head: &[u8]) -> (Vec<Vec<u8>>, Option<String>) {
        use gix::revision::walk::Sorting;
        use gix::traverse::commit::simple::CommitTimeOrder::NewestFirst;
        let repository = self.reader();
        let mut ids = Vec::new();
        let Ok(tip) = ObjectId::try_from(head) else { return (ids, None) };
        let walk =
            repository.rev_walk([tip]).sorting(Sorting::ByCommitTime(NewestFirst)).use_commit_graph(false);
        let walk = match walk.all() {
            Ok(walk) => walk,
            Err(error) => return (ids, Some(format!("git history is not used: {error}"))),
        };
        for commit in walk.take(WALK_LIMIT) {
            match commit {
                Ok(commit) if commit.parent_ids.len() < 2 => ids.push(commit.id.as_slice().to_vec()),
                Ok(_) => {}
                Err(error) => return (ids, Some(format!("git history is incomplete: {error}"))),
            }
            if ids.len() == HISTORY_LIMIT {
                break;
            }
        }
        (ids, None)
    }

    /// Reads commits, on all cores, and hands each to `take`, in no particular order, on this
    /// thread. A commit that cannot be read is left out. Stops early when `take` fails.
    pub fn commits(
        &self,
        ids: &[Vec<u8>],
        mut take: impl FnMut(&[u8], Commit) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(ids.len().max(1));
        let (sender, receiver) = mpsc::sync_channel(QUEUE);
        // Neighbours share most of their trees, so that each thread takes a run of them.
        let share = ids.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for ids in ids.chunks(share) {
                let sender = sender.clone();
                scope.spawn(move || {
                    let repository = self.reader();
                    for id in ids {
                        let commit = self.commit(&repository, id);
                        if commit.is_some_and(|commit| sender.send((id, commit)).is_err()) {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            // The receiver is dropped before the scope waits, so that no worker blocks for ever.
            receiver.into_iter().try_for_each(|(id, commit)| take(id, commit))
        })
    }

    fn commit(&self, repository: &gix::Repository, id: &[u8]) -> Option<Commit> {
        let commit = repository.find_commit(ObjectId::try_from(id).ok()?).ok()?;
        let time = commit.time().ok()?.seconds;
        let message = commit.message_raw_sloppy();
        let message = String::from_utf8_lossy(&message[..message.len().min(MESSAGE_LIMIT)]);
        let mut terms = String::new();
        for line in message.lines().filter(|line| !is_trailer(line)) {
            append_tokens(line, &mut terms);
        }
        let subject: String = message
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .take(100)
            .collect();
        let new = commit.tree_id().ok()?.detach();
        let parent = commit.parent_ids().next().map(|id| id.detach());
        // The parent of a shallow clone's last commits is not there: what they touch is unknown.
        let old = match parent {
            Some(parent) => repository
                .find_commit(parent)
                .ok()
                .and_then(|parent| parent.tree_id().ok())
                .map(|id| Some(id.detach())),
            None => Some(None),
        };
        let touched = old.map_or_else(Vec::new, |old| {
            let mut difference = Difference { repository, prefix: &self.prefix, changes: BTreeMap::new() };
            difference.compare(old, Some(new), "", 0);
            renames(difference.changes)
        });
        Some(Commit { time, subject, terms: Terms::of(&terms), touched })
    }

    fn may_hold(&self, directory: &str) -> bool {
        let directory = format!("{directory}/");
        directory.starts_with(&self.prefix) || self.prefix.starts_with(&directory)
    }
}

/// `Signed-off-by: …` and its like name people, not files.
fn is_trailer(line: &str) -> bool {
    line.split_once(": ").is_some_and(|(key, _)| key.ends_with("-by") && !key.contains(' '))
}

/// Blob ids of a path before and after.
type Change = (Option<ObjectId>, Option<ObjectId>);

struct Difference<'a> {
    repository: &'a gix::Repository,
    prefix: &'a str,
    changes: BTreeMap<String, Change>,
}

impl Difference<'_> {
    fn compare(&mut self, old: Option<ObjectId>, new: Option<ObjectId>, path: &str, depth: usize) {
        if old == new || depth > DEPTH_LIMIT || self.changes.len() >= TOUCHED_LIMIT {
            return;
        }
        let read = |id: Option<ObjectId>| id.and_then(|id| self.repository.find_tree(id).ok());
        let (old_tree, new_tree) = (read(old), read(new));
        fn entries<'t>(tree: &'t Option<gix::Tree>) -> Vec<EntryRef<'t>> {
            let tree = tree.as_ref().and_then(|tree| tree.decode().ok());
            tree.map(|tree| tree.entries).unwrap_or_default()
        }
        // Most entries are the same on both sides: they cancel out here, without a map.
        let (old, new) = unequal(&entries(&old_tree), &entries(&new_tree));
        let sides = old.into_iter().map(|entry| (0, entry)).chain(new.into_iter().map(|entry| (1, entry)));
        let mut names: BTreeMap<&str, [Option<(EntryKind, ObjectId)>; 2]> = BTreeMap::new();
        for (side, entry) in sides {
            let Ok(name) = std::str::from_utf8(entry.filename) else { continue };
            names.entry(name).or_default()[side] = Some((entry.mode.kind(), entry.oid.to_owned()));
        }
        for (name, [old, new]) in names {
            if old == new {
                continue;
            }
            let path = format!("{path}{name}");
            let tree = |side: Option<(EntryKind, ObjectId)>| {
                side.filter(|(kind, _)| *kind == EntryKind::Tree).map(|(_, id)| id)
            };
            let blob = |side: Option<(EntryKind, ObjectId)>| {
                side.filter(|(kind, _)| matches!(kind, EntryKind::Blob | EntryKind::BlobExecutable))
                    .map(|(_, id)| id)
            };
            if tree(old).is_some() || tree(new).is_some() {
                self.compare(tree(old), tree(new), &format!("{path}/"), depth + 1);
            }
            if blob(old) != blob(new)
                && self.changes.len() < TOUCHED_LIMIT
                && let Some(path) = path.strip_prefix(self.prefix)
            {
                self.changes.insert(path.to_owned(), (blob(old), blob(new)));
            }
        }
    }
}

/// What of two trees, each in git's order, is not in both. Equal entries that stand in different
/// order, as only a malformed tree has them, stay: they are equal again when their names meet.
fn unequal<'t>(old: &[EntryRef<'t>], new: &[EntryRef<'t>]) -> (Vec<EntryRef<'t>>, Vec<EntryRef<'t>>) {
    let (mut only_old, mut only_new) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (Some(a), Some(b)) if a == b => drop((old.next(), new.next())),
            (Some(a), Some(b)) => match a.cmp(b) {
                std::cmp::Ordering::Less => only_old.extend(old.next()),
                std::cmp::Ordering::Greater => only_new.extend(new.next()),
                std::cmp::Ordering::Equal => {
                    only_old.extend(old.next());
                    only_new.extend(new.next());
                }
            },
            (None, Some(_)) => only_new.extend(new.next()),
            (Some(_), None) => only_old.extend(old.next()),
            (None, None) => return (only_old, only_new),
        }
    }
}

/// Pairs removed with added files: of the same content, or of the same file name when that is
/// unique on both sides (a directory that moved). Everything else was touched in place.
fn renames(changes: BTreeMap<String, Change>) -> Vec<(String, Option<String>)> {
    let basename = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let mut by_content: BTreeMap<ObjectId, Vec<&String>> = BTreeMap::new();
    let mut by_name: BTreeMap<String, (Vec<&String>, usize)> = BTreeMap::new();
    for (path, change) in &changes {
        match change {
            (Some(old), None) => {
                by_content.entry(*old).or_default().push(path);
                by_name.entry(basename(path)).or_default().0.push(path);
            }
            (None, Some(_)) => by_name.entry(basename(path)).or_default().1 += 1,
            _ => {}
        }
    }
    let before = |path: &String, new: &ObjectId| -> Option<String> {
        if let Some([only]) = by_content.get(new).map(Vec::as_slice) {
            return Some((*only).clone());
        }
        match by_name.get(&basename(path)).map(|(removed, added)| (removed.as_slice(), added)) {
            Some(([only], 1)) => Some((*only).clone()),
            _ => None,
        }
    };
    changes
        .iter()
        .filter_map(|(path, change)| match change {
            (None, Some(new)) => Some((path.clone(), before(path, new))),
            (Some(_), Some(_)) => Some((path.clone(), None)),
            _ => None,
        })
        .collect()
}

/// git's id of these bytes, followed by that of the bytes with LF for CRLF when it is another one:
/// which of the two a work tree holds depends on configuration that is not read.
pub fn blob_ids(bytes: &[u8]) -> Vec<u8> {
    let id = |bytes: &[u8]| {
        gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, bytes)
            .map(|id| id.as_slice().to_vec())
            .unwrap_or_default()
    };
    let mut ids = id(bytes);
    if bytes.contains(&b'\r') && bytes.windows(2).any(|pair| pair == b"\r\n") {
        let mut unix = Vec::with_capacity(bytes.len());
        for (at, &byte) in bytes.iter().enumerate() {
            if byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
                unix.push(byte);
            }
        }
        ids.extend(id(&unix));
    }
    ids
}
