//! What would change, as hunks that are decided one by one. Pure.
//!
//! Hunks are derived from the bytes before and after and from nothing else, so that what is shown is
//! what would be applied: no constructor takes both. It must not know the disk or who decides.

mod revise;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use blake3::Hash;
use similar::DiffOp;

use super::{
    anchor::{self, Tier},
    gate::Syntax,
};
use crate::protocol::ChangeKind;

/// Lines of context around a change.
const CONTEXT: usize = 3;

/// The content of a file on one side of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    pub bytes: Arc<[u8]>,
    pub hash: Hash,
    /// Permission bits; `None` for a new file (it gets the usual ones) and where there are none.
    pub mode: Option<u32>,
}

impl Side {
    pub fn new(bytes: impl Into<Arc<[u8]>>, mode: Option<u32>) -> Side {
        let bytes = bytes.into();
        Side { hash: blake3::hash(&bytes), bytes, mode }
    }

    fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().filter(|text| !text.contains('\0'))
    }
}

/// One file before and after, with its path on either side. At least one side exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    pub before: Option<(String, Side)>,
    pub after: Option<(String, Side)>,
    /// The least certain way in which an edit of this file found its place.
    pub tier: Tier,
}

/// The changes of any number of files, in the order of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PatchSet {
    files: Vec<FilePatch>,
    /// By hunk, the hunks that it builds on.
    needs: BTreeMap<u32, BTreeSet<u32>>,
}

/// One run of changed lines, for whoever knows where lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineChange {
    pub hunk: u32,
    /// The path of the file on the disk.
    pub key: String,
    pub old: Range<usize>,
    pub new: Range<usize>,
}

/// The change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    change: FileChange,
    hunks: Vec<Hunk>,
}

/// A part of a change that is accepted or declined by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    id: u32,
    header: String,
    lines: Vec<String>,
    part: Part,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// The file comes or goes, or changes in a way that has no lines.
    File,
    /// The file gets its new path.
    Path,
    /// Lines before, and the lines after that stand in their place.
    Lines(Vec<(Range<usize>, Range<usize>)>),
}

impl PatchSet {
    /// The patch that makes these changes. A file that does not change is left out.
    pub fn derive(changes: Vec<FileChange>) -> PatchSet {
        let mut changes: Vec<FileChange> = changes.into_iter().filter(FileChange::changes).collect();
        changes.sort_by(|one, other| one.path().cmp(other.path()));
        let mut next_id = 1..;
        let files = changes
            .into_iter()
            .map(|change| {
                let hunks = hunks(&change, &mut next_id);
                FilePatch { change, hunks }
            })
            .collect();
        PatchSet { files, needs: BTreeMap::new() }
    }

    /// The same patch, with what its hunks build on.
    pub(super) fn with_needs(mut self, needs: BTreeMap<u32, BTreeSet<u32>>) -> PatchSet {
        self.needs = needs;
        self
    }

    /// Every run of changed lines of the changed files, in order.
    pub(crate) fn line_changes(&self) -> Vec<LineChange> {
        let mut found = Vec::new();
        for file in &self.files {
            for hunk in &file.hunks {
                let Part::Lines(changes) = &hunk.part else { continue };
                found.extend(changes.iter().map(|(old, new)| LineChange {
                    hunk: hunk.id,
                    key: file.old_path().to_owned(),
                    old: old.clone(),
                    new: new.clone(),
                }));
            }
        }
        found
    }

    /// Of the accepted hunks, those that cannot stand by themselves: they build on one that is not
    /// accepted, or the file would have more syntax errors with them alone than before.
    pub fn stale(
        &self,
        accepted: &BTreeSet<u32>,
        syntax: &dyn Fn(&str, &str) -> Option<Syntax>,
    ) -> BTreeSet<u32> {
        let mut left = accepted.clone();
        loop {
            let builds_on_others =
                |hunk: &u32| self.needs.get(hunk).is_some_and(|needs| !needs.is_subset(&left));
            let mut stale: BTreeSet<u32> = left.iter().copied().filter(builds_on_others).collect();
            stale.extend(self.files.iter().flat_map(|file| file.broken_by(&left, syntax)));
            if stale.is_empty() {
                return accepted.difference(&left).copied().collect();
            }
            left = left.difference(&stale).copied().collect();
        }
    }

    pub fn files(&self) -> &[FilePatch] {
        &self.files
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The ids of all hunks, from 1.
    pub fn ids(&self) -> BTreeSet<u32> {
        self.files.iter().flat_map(|file| &file.hunks).map(|hunk| hunk.id).collect()
    }

    /// Binds a decision to exactly this change of exactly this base: 64 hexadecimal digits over
    /// paths, hashes and modes of both sides, and the hunks as they are shown.
    pub fn digest(&self) -> String {
        let mut digest = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            digest.update(&(bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        add(b"countersign patch 1");
        for file in &self.files {
            for side in [&file.change.before, &file.change.after] {
                let Some((path, side)) = side else {
                    add(b"absent");
                    continue;
                };
                add(b"present");
                add(path.as_bytes());
                add(side.hash.as_bytes());
                add(&side.mode.map_or([0xff; 4], u32::to_le_bytes));
            }
            for hunk in &file.hunks {
                add(&hunk.id.to_le_bytes());
                add(hunk.header.as_bytes());
                hunk.lines.iter().for_each(|line| add(line.as_bytes()));
            }
        }
        for (hunk, needs) in &self.needs {
            add(&hunk.to_le_bytes());
            needs.iter().for_each(|need| add(&need.to_le_bytes()));
        }
        digest.finalize().to_hex().to_string()
    }

    /// The patch of the accepted hunks alone: the text after is made anew from the text before, so
    /// that declined hunks leave it as it was. Unknown ids are ignored.
    pub fn select(&self, accepted: &BTreeSet<u32>) -> PatchSet {
        if self.ids().is_subset(accepted) {
            return self.clone();
        }
        PatchSet::derive(self.files.iter().filter_map(|file| file.select(accepted)).collect())
    }

    /// What is left to do after the accepted hunks for the pending ones to be there as well.
    pub fn rest(&self, accepted: &BTreeSet<u32>, pending: &BTreeSet<u32>) -> PatchSet {
        let both = accepted.union(pending).copied().collect();
        let rest = self.files.iter().filter_map(|file| {
            let before = match file.select(accepted) {
                Some(change) => change.after,
                None => file.change.before.clone(),
            };
            Some(FileChange { before, after: file.select(&both)?.after, tier: file.tier() })
        });
        PatchSet::derive(rest.collect())
    }

    /// The changes, whole.
    pub fn changes(&self) -> impl Iterator<Item = &FileChange> {
        self.files.iter().map(|file| &file.change)
    }

    /// Lines added and removed.
    pub fn size(&self) -> (usize, usize) {
        let lines = || self.files.iter().flat_map(|file| &file.hunks).flat_map(|hunk| &hunk.lines);
        let with = |sign: char| lines().filter(|line| line.starts_with(sign)).count();
        (with('+'), with('-'))
    }

    /// The whole patch in git's form, for programs and pipes. Raw text: not for a terminal.
    pub fn unified_diff(&self) -> String {
        self.files.iter().map(FilePatch::unified_diff).collect()
    }
}

impl FileChange {
    /// Whether anything is different after it.
    pub fn changes(&self) -> bool {
        self.before != self.after
    }

    pub fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (None, _) => ChangeKind::Create,
            (_, None) => ChangeKind::Delete,
            (Some((old, _)), Some((new, _))) if old != new => ChangeKind::Rename,
            _ => ChangeKind::Modify,
        }
    }

    /// The path after the change, or of the deleted file.
    pub fn path(&self) -> &str {
        self.after.as_ref().or(self.before.as_ref()).map_or("", |(path, _)| path)
    }
}

impl FilePatch {
    pub fn kind(&self) -> ChangeKind {
        self.change.kind()
    }

    /// The path after the change, or of the deleted file.
    pub fn path(&self) -> &str {
        self.change.path()
    }

    /// The path before the change, or of the created file.
    pub fn old_path(&self) -> &str {
        self.change.before.as_ref().or(self.change.after.as_ref()).map_or("", |(path, _)| path)
    }

    pub fn before(&self) -> Option<&Side> {
        self.change.before.as_ref().map(|(_, side)| side)
    }

    pub fn after(&self) -> Option<&Side> {
        self.change.after.as_ref().map(|(_, side)| side)
    }

    pub fn tier(&self) -> Tier {
        self.change.tier
    }

    pub fn hunks(&self) -> &[Hunk] {
        &self.hunks
    }

    fn select(&self, accepted: &BTreeSet<u32>) -> Option<FileChange> {
        let mut taken = self.hunks.iter().filter(|hunk| accepted.contains(&hunk.id)).peekable();
        taken.peek()?;
        let (Some((old_path, before)), Some((new_path, after))) = (&self.change.before, &self.change.after)
        else {
            return Some(self.change.clone());
        };
        let mut path = old_path;
        let mut lines = Vec::new();
        let mut whole = false;
        for hunk in taken {
            match &hunk.part {
                Part::Lines(changes) => lines.extend(changes),
                Part::Path => path = new_path,
                Part::File => whole = true,
            }
        }
        let bytes = match lines.as_slice() {
            [] if whole => after.bytes.clone(),
            [] => before.bytes.clone(),
            lines => pick(before.text()?, after.text()?, lines).into_bytes().into(),
        };
        let side = Side::new(bytes, after.mode);
        Some(FileChange {
            before: self.change.before.clone(),
            after: Some((path.clone(), side)),
            tier: self.change.tier,
        })
    }

    /// The accepted hunks, if they are some of the file's and break it without the others.
    fn broken_by(&self, accepted: &BTreeSet<u32>, syntax: &dyn Fn(&str, &str) -> Option<Syntax>) -> Vec<u32> {
        let taken: Vec<u32> = self.hunks.iter().map(Hunk::id).filter(|id| accepted.contains(id)).collect();
        let errors = |side: Option<&Side>| {
            let text = side.and_then(Side::text).unwrap_or_default();
            syntax(self.path(), text).map_or(0, |syntax| syntax.errors)
        };
        let is_part = !taken.is_empty() && taken.len() < self.hunks.len();
        let Some(part) = is_part.then(|| self.select(accepted)).flatten() else { return Vec::new() };
        let had = errors(self.before()).max(errors(self.after()));
        match errors(part.after.as_ref().map(|(_, side)| side)) > had {
            true => taken,
            false => Vec::new(),
        }
    }

    fn unified_diff(&self) -> String {
        let (old, new) = (quoted("a/", self.old_path()), quoted("b/", self.path()));
        let mode = |side: Option<&Side>| match side.and_then(|side| side.mode) {
            Some(mode) if mode & 0o111 != 0 => "100755",
            _ => "100644",
        };
        let mut text = format!("diff --git {old} {new}\n");
        match self.kind() {
            ChangeKind::Create => text += &format!("new file mode {}\n", mode(self.after())),
            ChangeKind::Delete => text += &format!("deleted file mode {}\n", mode(self.before())),
            ChangeKind::Rename => {
                text += &format!(
                    "rename from {}\nrename to {}\n",
                    quoted("", self.old_path()),
                    quoted("", self.path())
                );
            }
            ChangeKind::Modify => {}
        }
        let mut named = false;
        for hunk in &self.hunks {
            if hunk.lines.is_empty() {
                if self.kind() == ChangeKind::Delete
                    && self.before().is_some_and(|side| side.text().is_none())
                {
                    text += &format!("Binary files {old} and /dev/null differ\n");
                }
                continue;
            }
            if !named {
                // A tab behind a name with spaces keeps other tools from cutting it.
                let ended =
                    |name: &str| if name.contains(' ') { format!("{name}\t") } else { name.to_owned() };
                let old = if self.before().is_some() { ended(&old) } else { "/dev/null".into() };
                let new = if self.after().is_some() { ended(&new) } else { "/dev/null".into() };
                text += &format!("--- {old}\n+++ {new}\n");
                named = true;
            }
            text += &hunk.header;
            text.push('\n');
            for line in &hunk.lines {
                text += line;
                text.push('\n');
            }
        }
        text
    }
}

impl Hunk {
    /// Unique within the patch set, from 1.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// `@@ -a,b +c,d @@`, or what happens to the file.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The diff lines with their sign, as they are shown: the `\r` of a file that ends its lines with
    /// `\r\n` is left out where every line has it.
    pub fn shown_lines(&self) -> Vec<String> {
        let unended = |at: usize| self.lines.get(at + 1).is_some_and(|next| next.starts_with('\\'));
        let windows = self
            .lines
            .iter()
            .enumerate()
            .all(|(at, line)| line.ends_with('\r') || line.starts_with('\\') || unended(at));
        self.lines
            .iter()
            .map(|line| line.strip_suffix('\r').filter(|_| windows).unwrap_or(line).to_owned())
            .collect()
    }
}

/// The lines of `before`, with each of `changes` made, in order.
fn pick(before: &str, after: &str, changes: &[&(Range<usize>, Range<usize>)]) -> String {
    let (before, after) = (anchor::lines(before), anchor::lines(after));
    let mut text = String::new();
    let mut at = 0;
    for (old, new) in changes {
        text.extend(before[at..old.start].iter().copied());
        text.extend(after[new.clone()].iter().copied());
        at = old.end;
    }
    text.extend(before[at..].iter().copied());
    text
}

fn hunks(change: &FileChange, ids: &mut impl Iterator<Item = u32>) -> Vec<Hunk> {
    let mut hunk = |header: String, lines: Vec<String>, part: Part| {
        // The range that numbers hunks has no end.
        let id = ids.next().unwrap_or(u32::MAX);
        Hunk { id, header, lines, part }
    };
    let (one_side, sign, verb) = match (&change.before, &change.after) {
        (None, None) => return Vec::new(),
        (None, Some((_, side))) => (side, '+', "new"),
        (Some((_, side)), None) => (side, '-', "delete"),
        (Some((old_path, before)), Some((new_path, after))) => {
            let mut found = Vec::new();
            if old_path != new_path {
                found.push(hunk(format!("rename {old_path} -> {new_path}"), Vec::new(), Part::Path));
            }
            if before.hash != after.hash {
                match (before.text(), after.text()) {
                    (Some(before), Some(after)) => {
                        for (header, lines, part) in line_hunks(before, after) {
                            found.push(hunk(header, lines, part));
                        }
                    }
                    _ => found.push(hunk("binary file changes".into(), Vec::new(), Part::File)),
                }
            }
            return found;
        }
    };
    let header = match one_side.text().map(|text| anchor::lines(text).len()) {
        None => format!("{verb} binary file of {} bytes", one_side.bytes.len()),
        Some(0) => format!("{verb} empty file"),
        Some(lines) if sign == '+' => format!("@@ -0,0 +{} @@", span(0..lines)),
        Some(lines) => format!("@@ -{} +0,0 @@", span(0..lines)),
    };
    let mut lines = Vec::new();
    for line in anchor::lines(one_side.text().unwrap_or_default()) {
        push_line(&mut lines, sign, line);
    }
    vec![hunk(header, lines, Part::File)]
}

fn line_hunks(before: &str, after: &str) -> Vec<(String, Vec<String>, Part)> {
    let (before, after) = (anchor::lines(before), anchor::lines(after));
    similar::group_diff_ops(anchor::diff(&before, &after), CONTEXT)
        .into_iter()
        .filter_map(|group| {
            let (first, last) = (group.first()?, group.last()?);
            let old = first.old_range().start..last.old_range().end;
            let new = first.new_range().start..last.new_range().end;
            let mut lines = Vec::new();
            let mut changes = Vec::new();
            for op in &group {
                push_change(&mut lines, op, &before, &after);
                if !matches!(op, DiffOp::Equal { .. }) {
                    changes.push((op.old_range(), op.new_range()));
                }
            }
            Some((format!("@@ -{} +{} @@", span(old), span(new)), lines, Part::Lines(changes)))
        })
        .collect()
}

/// A range of lines as diffs write it: from 1, or the line before an empty one.
fn span(lines: Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => format!("{}", lines.start + 1),
        length => format!("{},{length}", lines.start + 1),
    }
}

fn push_change(lines: &mut Vec<String>, op: &DiffOp, before: &[&str], after: &[&str]) {
    if let DiffOp::Equal { .. } = op {
        return before[op.old_range()].iter().for_each(|line| push_line(lines, ' ', line));
    }
    before[op.old_range()].iter().for_each(|line| push_line(lines, '-', line));
    after[op.new_range()].iter().for_each(|line| push_line(lines, '+', line));
}

fn push_line(lines: &mut Vec<String>, sign: char, line: &str) {
    let text = line.strip_suffix('\n');
    lines.push(format!("{sign}{}", text.unwrap_or(line)));
    if text.is_none() {
        lines.push("\\ No newline at end of file".into());
    }
}

/// A path in a diff's header, quoted as git does where it would be misread.
fn quoted(front: &str, path: &str) -> String {
    if !path.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
        return format!("{front}{path}");
    }
    let mut text = format!("\"{front}");
    for c in path.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| text += &format!("\\{byte:03o}"));
            }
            c => text.push(c),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests;
