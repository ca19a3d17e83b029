//! The tree as it would be: the files on the disk with the proposed edits over them.
//!
//! A file's bytes, hash and mode are remembered when it is first read; everything that is proposed
//! and shown rests on that base, and apply checks it again. The overlay reads the disk through
//! [`Tree`] alone and never writes. Proposals are all or nothing: an answer with one bad edit
//! changes nothing. Once its patch is applied an overlay has done its work: open a new one.

mod explain;
mod place;
mod staged;
mod trace;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
};

use self::{staged::Staged, trace::Trace};
use super::{
    Code, Edit, Planned, Refusal,
    anchor::Tier,
    gate::{self, Deletion, Gates},
    patch::{FileChange, FilePatch, PatchSet, Side},
    tree::{self, Stored, Tree, TreeError},
};
use crate::protocol::ChangeKind;

const MARK: &str = "\u{feff}";

/// The proposed tree. A clone goes its own way over the same disk.
#[derive(Debug, Clone)]
pub struct Overlay {
    tree: Arc<Tree>,
    files: Files,
    trace: Trace,
}

/// By the path a file has on the disk, or that it was first created at.
type Files = BTreeMap<String, File>;

#[derive(Debug, Clone)]
struct File {
    /// As it is on the disk.
    base: Option<Stored>,
    /// As it is proposed to be; `None` when it does not exist (any more).
    now: Option<Now>,
    /// The least certain tier of its edits.
    tier: Tier,
}

impl File {
    /// The text before and after, where both are text.
    fn lines(&self) -> Option<(&str, &str)> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let (base, now) = (self.base.as_ref()?, self.now.as_ref()?);
        Some((text(&base.bytes)?, text(&now.bytes)?))
    }
}

#[derive(Debug, Clone)]
struct Now {
    path: String,
    bytes: Arc<[u8]>,
}

/// What one answer would change, by path after the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    pub files: Vec<ProposedFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposedFile {
    pub path: String,
    /// Against the disk, not against the step before.
    pub change: ChangeKind,
    pub tier: Tier,
}

impl Overlay {
    /// # Errors
    /// If the root is not a directory that can be opened.
    pub fn open(root: &Path) -> io::Result<Overlay> {
        Ok(Overlay { tree: Arc::new(Tree::open(root)?), files: Files::new(), trace: Trace::default() })
    }

    /// The text of a file as proposed, without its byte order mark; `None` if there is no file.
    ///
    /// # Errors
    /// A refusal that says why the path or the file cannot be read as text.
    pub fn read(&mut self, path: &str) -> Result<Option<String>, Refusal> {
        gate::path(path, &Planned::Any)?;
        if key(&self.files, path).is_none() {
            load(&self.tree, &mut self.files, path)?;
        }
        let file = key(&self.files, path).and_then(|key| self.files.get(&key));
        let now = file.and_then(|file| file.now.as_ref());
        now.map(|now| text(path, &now.bytes).map(|text| unmarked(text).to_owned())).transpose()
    }

    /// Whether anything is proposed.
    pub fn is_changed(&self) -> bool {
        let mut changes = self.files.iter().filter_map(|(path, file)| change(path, file));
        changes.any(|change| change.changes())
    }

    /// All that is proposed so far, against the disk as it was read.
    pub fn patch(&self) -> PatchSet {
        let changes = self.files.iter().filter_map(|(path, file)| change(path, file)).collect();
        self.bound(PatchSet::derive(changes))
    }

    /// The same patch, with what each of its hunks builds on in this overlay.
    pub fn bound(&self, patch: PatchSet) -> PatchSet {
        let needs = self.trace.needs(&patch.line_changes());
        patch.with_needs(needs)
    }

    /// Takes back every hunk of `patch`, which is this overlay's own, but `kept`.
    pub fn keep(&mut self, patch: &PatchSet, kept: &BTreeSet<u32>) {
        let selected = patch.select(kept);
        let after = |key: &str| {
            let mine = selected.files().iter().find(|file| file.old_path() == key)?;
            let side = mine.after()?;
            Some(Now { path: mine.path().to_owned(), bytes: side.bytes.clone() })
        };
        for file in patch.files() {
            let key = file.old_path();
            let Some(mine) = self.files.get_mut(key) else { continue };
            let selected = selected.files().iter().any(|file| file.old_path() == key);
            mine.now = match (selected, &mine.base) {
                (true, _) => after(key),
                (false, Some(base)) => Some(Now { path: key.to_owned(), bytes: base.bytes.clone() }),
                (false, None) => None,
            };
            self.trace.restart(key, mine.lines());
        }
        self.files.retain(|_, file| file.base.is_some() || file.now.is_some());
    }

    /// Takes back every change of one file.
    pub fn take_back(&mut self, path: &str) {
        let patch = self.patch();
        let of_file = |file: &&FilePatch| file.path() == path || file.old_path() == path;
        let taken: BTreeSet<u32> = patch
            .files()
            .iter()
            .filter(of_file)
            .flat_map(|file| file.hunks())
            .map(|hunk| hunk.id())
            .collect();
        self.keep(&patch, &patch.ids().difference(&taken).copied().collect());
    }

    /// Puts the owner's own text in the place of a file that this overlay changes.
    ///
    /// # Errors
    /// What a gate says against it; nothing is changed then. The owner may delete as much as they like.
    pub fn write_as_owner(&mut self, path: &str, content: &str) -> Result<(), Vec<Refusal>> {
        self.put(path, content, Deletion::Planned, Some(Tier::Owner))
    }

    /// Puts a file as a compiler corrected it in the place of one that this overlay changes. How surely the
    /// edits before were placed stays as it was.
    ///
    /// # Errors
    /// What a gate says against it; nothing is changed then.
    pub fn correct(&mut self, path: &str, content: &str) -> Result<(), Vec<Refusal>> {
        let before = key(&self.files, path).map(|key| self.files[&key].tier);
        self.put(path, content, Deletion::Limited, before)
    }

    fn put(
        &mut self,
        path: &str,
        content: &str,
        deletion: Deletion,
        tier: Option<Tier>,
    ) -> Result<(), Vec<Refusal>> {
        let edit = Edit::Whole { path: path.to_owned(), content: content.to_owned() };
        let gates = Gates { deletion, ..Gates::new(Planned::Only(vec![path.to_owned()])) };
        self.propose(&[edit], &gates)?;
        if let Some(file) = key(&self.files, path).and_then(|key| self.files.get_mut(&key)) {
            file.tier = tier.unwrap_or(file.tier);
        }
        Ok(())
    }

    /// Lays changes over the tree that were proposed in another process, on the base that they name.
    ///
    /// # Errors
    /// The first path that cannot be read, or whose file is not the one that the change was made for.
    pub fn adopt(&mut self, changes: &[FileChange]) -> Result<(), Refusal> {
        for change in changes {
            let old = change.before.as_ref().or(change.after.as_ref()).map_or("", |(path, _)| path);
            for (path, _) in change.before.iter().chain(&change.after) {
                gate::path(path, &Planned::Any)?;
                not_in_git_directory(&self.tree, path)?;
            }
            load(&self.tree, &mut self.files, old)?;
            let base = self.files.get(old).and_then(|file| file.base.clone());
            if base.as_ref().map(|base| base.hash) != change.before.as_ref().map(|(_, side)| side.hash) {
                return Err(stale(old));
            }
            let now = change
                .after
                .as_ref()
                .map(|(path, side)| Now { path: path.clone(), bytes: side.bytes.clone() });
            let file = File { base, now, tier: change.tier };
            self.trace.restart(old, file.lines());
            self.files.insert(old.to_owned(), file);
        }
        Ok(())
    }

    /// Lays the edits of one answer over the tree, if all of them pass.
    ///
    /// Edits of one file are all placed in the text as it was before this answer, so that none lands
    /// in what another one wrote.
    ///
    /// # Errors
    /// Every refusal that could be found; nothing is changed then. Files read for the first time are
    /// remembered all the same.
    pub fn propose(&mut self, edits: &[Edit], gates: &Gates<'_>) -> Result<Proposed, Vec<Refusal>> {
        let mut refusals = Vec::new();
        for path in edits.iter().flat_map(paths) {
            let loaded = gate::path(path, &gates.planned)
                .and_then(|()| not_in_git_directory(&self.tree, path))
                .and_then(|()| match key(&self.files, path) {
                    Some(_) => Ok(()),
                    None => load(&self.tree, &mut self.files, path),
                });
            if let Err(refusal) = loaded
                && !refusals.contains(&refusal)
            {
                refusals.push(refusal);
            }
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let mut staged = Staged {
            tree: &self.tree,
            gates,
            before: &self.files,
            files: self.files.clone(),
            trace: self.trace.clone(),
            claims: BTreeMap::new(),
        };
        staged.lay(edits, &mut refusals);
        let touched: BTreeSet<String> = staged.claims.into_keys().collect();
        let (files, trace) = (staged.files, staged.trace);
        if refusals.is_empty() {
            let touched: Vec<&String> = touched.iter().collect();
            refusals = in_parallel(&touched, |key| self.check(key, &files, gates).err());
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        (self.files, self.trace) = (files, trace);
        let proposed = touched.iter().filter_map(|key| {
            let change = change(key, &self.files[key]).filter(FileChange::changes)?;
            Some(ProposedFile { path: change.path().to_owned(), change: change.kind(), tier: change.tier })
        });
        Ok(Proposed { files: proposed.collect() })
    }

    /// The gates that need to see a file's text before and after.
    fn check(&self, key: &str, files: &Files, gates: &Gates<'_>) -> Result<(), Refusal> {
        let Some(is) = files.get(key) else { return Ok(()) };
        let was = self.files.get(key);
        fresh(&self.tree, key, was.and_then(|was| was.base.as_ref()))?;
        let Some(now) = &is.now else {
            return match gates.deletion {
                Deletion::Planned | Deletion::Named => Ok(()),
                Deletion::Limited if is.base.is_none() => Ok(()),
                Deletion::Limited => Err(Refusal::new(
                    Code::LargeDeletion,
                    key,
                    "This would delete the file, which the step does not ask for.",
                )),
            };
        };
        let was_now = was.and_then(|was| was.now.as_ref());
        if was_now.is_some_and(|was| was.bytes == now.bytes) {
            return Ok(());
        }
        if now.bytes.len() as u64 > tree::FILE_LIMIT {
            return Err(explain::refused(&now.path, TreeError::TooLarge));
        }
        let after = unmarked(text(&now.path, &now.bytes)?);
        let before = was_now.and_then(|was| std::str::from_utf8(&was.bytes).ok()).map(unmarked);
        gate::deletion(&now.path, before.unwrap_or_default(), after, gates.deletion)?;
        gate::syntax(&now.path, before, after, gates)
    }
}

/// What `of` says of each item, in their order, on all cores: parsing takes most of the time of a large
/// patch.
fn in_parallel<T: Sync, R: Send>(items: &[T], of: impl Fn(&T) -> Option<R> + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(cores).max(MIN_SHARE);
    if items.len() <= share {
        return items.iter().filter_map(of).collect();
    }
    let of = &of;
    std::thread::scope(|scope| {
        let shares: Vec<_> = items
            .chunks(share)
            .map(|share| scope.spawn(move || share.iter().filter_map(of).collect::<Vec<R>>()))
            .collect();
        let results = shares.into_iter().map(|share| share.join());
        results.flat_map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// Fewer files are not worth a thread.
const MIN_SHARE: usize = 8;

fn not_in_git_directory(tree: &Tree, path: &str) -> Result<(), Refusal> {
    match tree.git_directory(path).map_err(|error| explain::refused(path, error))? {
        None => Ok(()),
        Some(folder) => Err(Refusal::new(
            Code::BadPath,
            path,
            format!("`{folder}` is a git directory, which is never touched. Choose another path."),
        )),
    }
}

/// The file that has this path in the proposed tree.
fn key(files: &Files, path: &str) -> Option<String> {
    let has = |file: &File| file.now.as_ref().is_some_and(|now| now.path == path);
    match files.get(path) {
        Some(file) if has(file) => Some(path.to_owned()),
        _ => files.iter().find(|(_, file)| has(file)).map(|(key, _)| key.clone()),
    }
}

/// Reads a file from the disk once. What does not exist is not remembered, so that it is looked for
/// again when it is needed again.
fn load(tree: &Tree, files: &mut Files, path: &str) -> Result<(), Refusal> {
    if files.contains_key(path) {
        return Ok(());
    }
    if let Some(base) = tree.read(path).map_err(|error| explain::refused(path, error))? {
        let now = Some(Now { path: path.to_owned(), bytes: base.bytes.clone() });
        files.insert(path.to_owned(), File { base: Some(base), now, tier: Tier::File });
    }
    Ok(())
}

/// The disk is still as it was when the file was first read.
fn fresh(tree: &Tree, key: &str, base: Option<&Stored>) -> Result<(), Refusal> {
    let now = tree.read(key).map_err(|error| explain::refused(key, error))?;
    if now.map(|stored| stored.hash) == base.map(|stored| stored.hash) {
        return Ok(());
    }
    Err(stale(key))
}

fn stale(key: &str) -> Refusal {
    Refusal::new(
        Code::StaleBase,
        key,
        "The file changed on the disk after it was read. Start the request again, so that it is read anew.",
    )
}

fn change(path: &str, file: &File) -> Option<FileChange> {
    let mode = file.base.as_ref().and_then(|base| base.mode);
    let before = file
        .base
        .as_ref()
        .map(|base| (path.to_owned(), Side { bytes: base.bytes.clone(), hash: base.hash, mode: base.mode }));
    let after = file.now.as_ref().map(|now| (now.path.clone(), Side::new(now.bytes.clone(), mode)));
    (before.is_some() || after.is_some()).then_some(FileChange { before, after, tier: file.tier })
}

fn paths(edit: &Edit) -> impl Iterator<Item = &str> {
    let second = match edit {
        Edit::Rename { to, .. } => Some(to.as_str()),
        _ => None,
    };
    std::iter::once(edit.path()).chain(second)
}

/// Bytes as text that can be edited.
fn text<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str, Refusal> {
    if bytes.contains(&0) {
        return Err(Refusal::new(
            Code::Binary,
            path,
            "The file is binary (or UTF-16), so it cannot be edited as text.",
        ));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        Refusal::new(
            Code::NotUtf8,
            path,
            format!(
                "The file is not UTF-8 (at byte {}), so it cannot be edited without damage. Convert it first.",
                error.valid_up_to()
            ),
        )
    })
}

fn unmarked(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

fn marked_like(base: &str, text: String) -> String {
    if base.starts_with(MARK) { format!("{MARK}{text}") } else { text }
}

#[cfg(test)]
mod tests;
