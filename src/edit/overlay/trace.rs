//! Which edit wrote which line, and which lines it was placed by. From that follows what a hunk
//! builds on: if a person declines what an edit was placed by, the edit is not forced without it.
//! Pure; it must not know what the lines mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use similar::DiffOp;

use crate::edit::{anchor, patch::LineChange};

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// The file on the disk, by number from 0.
    Base(usize),
    /// An edit. No two lines have the same number.
    Written(usize),
}

/// All edits of an overlay.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    files: BTreeMap<String, Vec<Line>>,
    /// By file and line of the base, the edit that took it away.
    removed: BTreeMap<String, BTreeMap<usize, usize>>,
    /// By written line, the edit that wrote it.
    writers: Vec<usize>,
    /// By edit, the written lines that it was placed by.
    reads: Vec<BTreeSet<usize>>,
}

/// What an edit rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rests {
    /// On all lines of its place: they were searched for.
    OnItsPlace,
    /// On the lines that it takes away: the whole file was given anew.
    OnWhatItRemoves,
}

impl Trace {
    /// Notes the edits of one answer: places in `before` (the file's lines until then), in order, and
    /// the text that each gets.
    pub fn note(&mut self, key: &str, before: &[&str], edits: &[(Range<usize>, &str)], rests: Rests) {
        let known = self.files.remove(key);
        let old = known.unwrap_or_else(|| (0..before.len()).map(Line::Base).collect());
        let mut lines = Vec::with_capacity(old.len());
        let mut at = 0;
        for (range, text) in edits {
            let edit = self.reads.len();
            let mut reads = BTreeSet::new();
            if rests == Rests::OnItsPlace {
                reads.extend(old[range.clone()].iter().filter_map(written));
            }
            lines.extend_from_slice(&old[at..range.start]);
            at = range.end;
            let new = anchor::lines(text);
            for op in anchor::diff(&before[range.clone()], &new) {
                let place = &old[range.clone()][op.old_range()];
                if let DiffOp::Equal { .. } = op {
                    lines.extend_from_slice(place);
                    continue;
                }
                for line in place {
                    match line {
                        Line::Base(base) => {
                            self.removed.entry(key.to_owned()).or_default().insert(*base, edit);
                        }
                        Line::Written(id) => drop(reads.insert(*id)),
                    }
                }
                for _ in op.new_range() {
                    lines.push(Line::Written(self.writers.len()));
                    self.writers.push(edit);
                }
            }
            self.reads.push(reads);
        }
        lines.extend_from_slice(&old[at..]);
        self.files.insert(key.to_owned(), lines);
    }

    /// Forgets who wrote what in a file. If it has text on both sides, the difference is one edit that
    /// gave the file anew.
    pub fn restart(&mut self, key: &str, sides: Option<(&str, &str)>) {
        self.files.remove(key);
        self.removed.remove(key);
        if let Some((before, after)) = sides {
            let before = anchor::lines(before);
            self.note(key, &before, &[(0..before.len(), after)], Rests::OnWhatItRemoves);
        }
    }

    /// By hunk, the hunks that it builds on.
    pub fn needs(&self, changes: &[LineChange]) -> BTreeMap<u32, BTreeSet<u32>> {
        // By written line, the hunks that show it.
        let mut shown_by: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        let mut edits: Vec<BTreeSet<usize>> = Vec::new();
        for change in changes {
            let lines = self.files.get(&change.key).map_or(&[][..], Vec::as_slice);
            let mut by = BTreeSet::new();
            for id in lines.get(change.new.clone()).unwrap_or_default().iter().filter_map(written) {
                shown_by.entry(id).or_default().insert(change.hunk);
                by.insert(self.writers[id]);
            }
            if let Some(removed) = self.removed.get(&change.key) {
                by.extend(removed.range(change.old.clone()).map(|(_, edit)| *edit));
            }
            edits.push(by);
        }
        let mut needs: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for (change, by) in changes.iter().zip(&edits) {
            let reads = by.iter().flat_map(|edit| &self.reads[*edit]);
            for other in reads.filter_map(|line| shown_by.get(line)).flatten() {
                if *other != change.hunk {
                    needs.entry(change.hunk).or_default().insert(*other);
                }
            }
        }
        needs
    }
}

fn written(line: &Line) -> Option<usize> {
    match line {
        Line::Base(_) => None,
        Line::Written(id) => Some(*id),
    }
}
