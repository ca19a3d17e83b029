//! Owns the signals that name files: tags, paths, modules, file names and frames. It must not know
//! full text.

use std::collections::BTreeMap;

use crate::query::{Mention, MentionKind, Query};
use crate::rank::{Signal, add};
use crate::snapshot::{Slot, Snapshot};

/// Files that share a name with more others than this are not meant by that name (`mod.rs`).
const MOST_NAMESAKES: usize = 20;
/// Frames that count.
const MOST_FRAMES: usize = 50;

/// What frames say of one file.
#[derive(Debug, Clone, Default)]
pub struct FrameValue {
    pub value: f64,
    pub detail: String,
    pub lines: Vec<u32>,
}

/// Files whose path, or a directory of it, the owner tagged, and the tags that name nothing.
pub fn tagged(snapshot: &Snapshot, tags: &[String]) -> (Signal, Vec<String>) {
    let mut signal = Signal::new();
    let mut unknown = Vec::new();
    for tag in tags {
        let wanted = tag.replace('\\', "/");
        let wanted = wanted.trim_start_matches("./").trim_end_matches('/');
        let directory = format!("{wanted}/");
        let before = signal.len();
        for (slot, file) in snapshot.files.iter().enumerate() {
            if file.row.path == wanted || file.row.path.starts_with(&directory) {
                signal.insert(slot, (1.0, tag.clone()));
            }
        }
        if signal.len() == before && snapshot.slot(wanted).is_none() {
            unknown.push(tag.clone());
        }
    }
    (signal, unknown)
}

/// Files whose whole path stands in the title or prose, or whose unique file name does.
pub fn named(snapshot: &Snapshot, query: &Query) -> Signal {
    let mut signal = Signal::new();
    for mention in query.paths.iter().filter(|mention| mention.kind == MentionKind::Path) {
        if let [slot] = ending_in(snapshot, &mention.parts)[..] {
            signal.insert(slot, (1.0, mention.parts.join("/")));
        }
    }
    signal
}

/// Files that end in a path or module of at least two parts.
pub fn suffixes(snapshot: &Snapshot, query: &Query) -> Signal {
    let mut signal = Signal::new();
    for mention in query.paths.iter().filter(|mention| mention.parts.len() > 1) {
        let slots = match mention.kind {
            MentionKind::Path | MentionKind::PathInCode => best_suffix(snapshot, &mention.parts),
            MentionKind::Module => module(snapshot, mention),
            MentionKind::Word => Vec::new(),
        };
        let separator = if mention.kind == MentionKind::Module { "." } else { "/" };
        for &slot in &slots {
            let value = 1.0 / slots.len() as f64;
            let known = signal.get(&slot).map_or(0.0, |(value, _)| *value);
            if value > known {
                signal.insert(slot, (value, mention.parts.join(separator)));
            }
        }
    }
    signal
}

/// Files whose name, with or without its extension, is a word of the request.
pub fn basenames(snapshot: &Snapshot, query: &Query) -> Signal {
    let mut by_name: BTreeMap<&str, Vec<Slot>> = BTreeMap::new();
    for (slot, file) in snapshot.files.iter().enumerate() {
        let name = file.row.path.rsplit('/').next().unwrap_or(&file.row.path);
        let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
        by_name.entry(name).or_default().push(slot);
        if stem != name && !stem.is_empty() {
            by_name.entry(stem).or_default().push(slot);
        }
    }
    let mut signal = Signal::new();
    for mention in &query.paths {
        let Some(last) = mention.parts.last() else { continue };
        let lower = last.to_lowercase();
        let slots = by_name.get(last.as_str()).or_else(|| by_name.get(lower.as_str()));
        for &slot in slots.into_iter().flatten() {
            let namesakes = slots.map_or(1, Vec::len);
            let value = 1.0 / namesakes as f64;
            if namesakes <= MOST_NAMESAKES
                && signal.get(&slot).is_none_or(|(known, _): &(f64, String)| *known < value)
            {
                signal.insert(slot, (value, last.clone()));
            }
        }
    }
    signal
}

/// Files that frames name; the innermost frame counts most.
pub fn frames(snapshot: &Snapshot, query: &Query) -> BTreeMap<Slot, FrameValue> {
    let mut found: BTreeMap<Slot, FrameValue> = BTreeMap::new();
    let mut depth = 0.0;
    for frame in query.frames.iter().take(MOST_FRAMES) {
        let slots = best_suffix(snapshot, &frame.parts);
        let [slot] = slots[..] else { continue };
        depth += 1.0;
        let entry = found.entry(slot).or_default();
        let value: f64 = 1.0 / depth;
        if value > entry.value {
            entry.value = value;
        }
        if entry.lines.len() < 8 && !entry.lines.contains(&frame.line) {
            let mut signal = Signal::from([(slot, (0.0, std::mem::take(&mut entry.detail)))]);
            add(&mut signal, slot, 0.0, &format!("line {}", frame.line));
            entry.detail = signal.remove(&slot).map(|(_, detail)| detail).unwrap_or_default();
            entry.lines.push(frame.line);
        }
    }
    found
}

/// Files whose path ends in exactly these components.
fn ending_in(snapshot: &Snapshot, parts: &[String]) -> Vec<Slot> {
    let wanted = parts.join("/");
    let tail = format!("/{wanted}");
    let matches = |path: &str| path == wanted || path.ends_with(&tail);
    snapshot
        .files
        .iter()
        .enumerate()
        .filter(|(_, file)| matches(&file.row.path))
        .map(|(slot, _)| slot)
        .collect()
}

/// Files that share most last components with this path, which may be absolute on another
/// machine; one shared component is enough only when the path has no more or one file has it.
fn best_suffix(snapshot: &Snapshot, parts: &[String]) -> Vec<Slot> {
    let mut best = 0;
    let mut slots = Vec::new();
    for (slot, file) in snapshot.files.iter().enumerate() {
        let shared = file.row.path.rsplit('/').zip(parts.iter().rev()).take_while(|(a, b)| a == b).count();
        if shared > best {
            (best, slots) = (shared, Vec::new());
        }
        if shared == best && shared > 0 {
            slots.push(slot);
        }
    }
    if best == 1 && (slots.len() > 1 || parts.len() > 3) { Vec::new() } else { slots }
}

/// Files that a dotted name means, alone or with one or two names defined in it.
fn module(snapshot: &Snapshot, mention: &Mention) -> Vec<Slot> {
    for drop in 0..=2 {
        let Some(parts) = mention.parts.len().checked_sub(drop).map(|keep| &mention.parts[..keep]) else {
            break;
        };
        if parts.len() < 2 {
            break;
        }
        let wanted = parts.join("/");
        let matches = |path: &str| {
            let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
            let stem =
                ["/__init__", "/mod", "/index"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem);
            stem.strip_suffix(&wanted).is_some_and(|before| before.is_empty() || before.ends_with('/'))
        };
        let slots: Vec<Slot> = snapshot
            .files
            .iter()
            .enumerate()
            .filter(|(_, file)| matches(&file.row.path))
            .map(|(slot, _)| slot)
            .collect();
        if !slots.is_empty() {
            return slots;
        }
    }
    Vec::new()
}
