//! Measures the anchoring ladder: blocks are taken from real files, spoilt as models spoil them, and
//! placed again. Where they come from is known, so a wrong place is a wrong place.
//!
//! `cargo run --release --example anchoring -- FOLDER... [--blocks N]` reads every text file below the
//! folders and prints the table of `src/edit/README.md`. The same files give the same table.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for a terminal")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use countersign::edit::anchor::{Miss, Several, Tier, front, lines, locate};

/// How a block is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    Nothing,
    TrailingSpace,
    Dedented,
    TabsForSpaces,
    InnerSpace,
    BlankLinesAround,
    FirstLineDedented,
    WordChanged,
    CommentChanged,
    LineLeftOut,
    LineMadeUp,
    ThreeLinesChanged,
    Elsewhere,
}

const HARMS: [Harm; 13] = [
    Harm::Nothing,
    Harm::TrailingSpace,
    Harm::Dedented,
    Harm::TabsForSpaces,
    Harm::InnerSpace,
    Harm::BlankLinesAround,
    Harm::FirstLineDedented,
    Harm::WordChanged,
    Harm::CommentChanged,
    Harm::LineLeftOut,
    Harm::LineMadeUp,
    Harm::ThreeLinesChanged,
    Harm::Elsewhere,
];

impl Harm {
    fn label(self) -> &'static str {
        match self {
            Harm::Nothing => "nothing",
            Harm::TrailingSpace => "space at the ends of lines",
            Harm::Dedented => "indentation taken off",
            Harm::TabsForSpaces => "tabs for spaces, spaces for tabs",
            Harm::InnerSpace => "space within a line doubled",
            Harm::BlankLinesAround => "blank lines around",
            Harm::FirstLineDedented => "first line's indentation lost",
            Harm::WordChanged => "one word changed",
            Harm::CommentChanged => "one line rewritten",
            Harm::LineLeftOut => "one line left out",
            Harm::LineMadeUp => "one line made up",
            Harm::ThreeLinesChanged => "three words changed",
            Harm::Elsewhere => "block of another file",
        }
    }
}

/// What became of the blocks that were spoilt in one way, or landed at one tier.
#[derive(Default, Clone, Copy)]
struct Count {
    blocks: u32,
    right: u32,
    wrong: u32,
    several: u32,
}

fn main() {
    let mut folders = Vec::new();
    let mut blocks = 4_000;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--blocks" => blocks = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(blocks),
            folder => folders.push(PathBuf::from(folder)),
        }
    }
    let mut files = Vec::new();
    folders.iter().for_each(|folder| collect(folder, &mut files));
    files.sort();
    let texts: Vec<String> = files
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .filter(|text| (20..4_000).contains(&text.lines().count()))
        .collect();
    if texts.len() < 2 {
        eprintln!(
            "usage: anchoring FOLDER... [--blocks N], with at least two text files of 20 lines or more"
        );
        std::process::exit(2);
    }
    measure(&texts, blocks);
}

fn measure(texts: &[String], blocks: usize) {
    let mut random = Random(1);
    let mut by_harm: BTreeMap<Harm, Count> = BTreeMap::new();
    let mut by_tier: BTreeMap<Tier, Count> = BTreeMap::new();
    for number in 0..blocks {
        let text = lines(&texts[random.below(texts.len())]);
        let length = 1 + random.below(20);
        if text.len() < length + 2 {
            continue;
        }
        let start = random.below(text.len() - length);
        let block = &text[start..start + length];
        if block.iter().filter(|line| line.trim().len() > 3).count() * 2 < length {
            continue;
        }
        let harm = HARMS[number % HARMS.len()];
        let other = lines(&texts[random.below(texts.len())]);
        let Some(search) = spoil(block, &other, harm, &mut random) else { continue };
        let sought: Vec<&str> = search.iter().map(String::as_str).collect();
        let count = by_harm.entry(harm).or_default();
        count.blocks += 1;
        match locate(&text, &sought, None, Several::Refuse) {
            Ok(place) => {
                let tier = by_tier.entry(place.tier).or_default();
                tier.blocks += 1;
                // The edges may have grown or shrunk by a blank or made-up line; the rest must be the place.
                let shared = place.lines.start.max(start)..place.lines.end.min(start + length);
                let right = harm != Harm::Elsewhere && 2 * shared.len() > length.min(place.lines.len())
                    || is_copy(&text, &place.lines, &sought);
                if right {
                    count.right += 1;
                    tier.right += 1;
                } else {
                    count.wrong += 1;
                    tier.wrong += 1;
                }
            }
            Err(Miss::Several(_)) => count.several += 1,
            Err(_) => {}
        }
    }
    print("What was done to the block", by_harm.iter().map(|(harm, count)| (harm.label(), *count)));
    println!();
    print("Tier at which it landed", by_tier.iter().map(|(tier, count)| (tier.label(), *count)));
    println!("\n{} files", texts.len());
}

/// Whether the place holds the very lines that were searched: then nobody could tell that it is
/// another one.
fn is_copy(text: &[&str], place: &std::ops::Range<usize>, sought: &[&str]) -> bool {
    text[place.clone()].iter().map(|line| line.trim()).eq(sought.iter().map(|line| line.trim()))
}

fn print<'a>(title: &str, rows: impl Iterator<Item = (&'a str, Count)>) {
    println!("| {title} | blocks | right place | refused, several | refused, none | wrong place |");
    println!("|---|---|---|---|---|---|");
    for (label, count) in rows {
        let share = |part: u32| format!("{:.1}%", 100.0 * f64::from(part) / f64::from(count.blocks.max(1)));
        let none = count.blocks - count.right - count.wrong - count.several;
        println!(
            "| {label} | {} | {} | {} | {} | {} |",
            count.blocks,
            share(count.right),
            share(count.several),
            share(none),
            share(count.wrong)
        );
    }
}

/// The block as a model may give it; `None` where that harm cannot be done to it.
fn spoil(block: &[&str], other: &[&str], harm: Harm, random: &mut Random) -> Option<Vec<String>> {
    let mut lines: Vec<String> =
        block.iter().map(|line| line.trim_end_matches(['\r', '\n']).to_owned()).collect();
    match harm {
        Harm::Nothing => {}
        Harm::TrailingSpace => lines.iter_mut().for_each(|line| line.push_str("  ")),
        Harm::Dedented => {
            let least =
                lines.iter().filter(|line| !line.trim().is_empty()).map(|line| front(line).len()).min()?;
            if least == 0 {
                return None;
            }
            lines
                .iter_mut()
                .filter(|line| !line.trim().is_empty())
                .for_each(|line| drop(line.drain(..least)));
        }
        Harm::TabsForSpaces => {
            if lines.iter().all(|line| front(line).is_empty()) {
                return None;
            }
            for line in &mut lines {
                let space = front(line).to_owned();
                let new = match space.contains('\t') {
                    true => space.replace('\t', "    "),
                    false => space.replace("    ", "\t"),
                };
                line.replace_range(..space.len(), &new);
            }
        }
        Harm::InnerSpace => {
            let at = lines.iter().position(|line| line.trim().contains(' '))?;
            let depth = front(&lines[at]).len();
            let inner = lines[at][depth..].replacen(' ', "  ", 1);
            lines[at].replace_range(depth.., &inner);
        }
        Harm::BlankLinesAround => {
            lines.insert(0, String::new());
            lines.push(String::new());
        }
        Harm::FirstLineDedented => {
            if lines.len() < 2 || front(&lines[0]).is_empty() {
                return None;
            }
            lines[0] = lines[0].trim_start().to_owned();
        }
        Harm::WordChanged => change_word(&mut lines, random)?,
        Harm::ThreeLinesChanged => {
            for _ in 0..3 {
                change_word(&mut lines, random)?;
            }
        }
        Harm::CommentChanged => {
            let at = random.below(lines.len());
            lines[at] = format!("{}// as it was before, in other words", front(&lines[at]));
        }
        Harm::LineLeftOut => {
            if lines.len() < 3 {
                return None;
            }
            // In the middle: at an edge it would only be a shorter block.
            lines.remove(1 + random.below(lines.len() - 2));
        }
        Harm::LineMadeUp => {
            let at = random.below(lines.len() + 1);
            let made_up = other[random.below(other.len())].trim_end_matches(['\r', '\n']).to_owned();
            lines.insert(at, made_up);
        }
        Harm::Elsewhere => {
            let length = lines.len().min(other.len());
            let start = random.below(other.len() - length + 1);
            lines = other[start..start + length]
                .iter()
                .map(|line| line.trim_end_matches(['\r', '\n']).to_owned())
                .collect();
        }
    }
    lines.iter_mut().for_each(|line| line.push('\n'));
    Some(lines)
}

/// Another word in the place of one of four letters or more.
fn change_word(lines: &mut [String], random: &mut Random) -> Option<()> {
    let at = random.below(lines.len());
    let words: Vec<(usize, usize)> = {
        let line = &lines[at];
        let mut found = Vec::new();
        let mut start = None;
        for (position, c) in line.char_indices().chain([(line.len(), ' ')]) {
            match (c.is_ascii_alphabetic(), start) {
                (true, None) => start = Some(position),
                (false, Some(first)) => {
                    if position - first >= 4 {
                        found.push((first, position));
                    }
                    start = None;
                }
                _ => {}
            }
        }
        found
    };
    if words.is_empty() {
        return None;
    }
    let (start, end) = words[random.below(words.len())];
    lines[at].replace_range(start..end, ["value", "result", "items", "current"][random.below(4)]);
    Some(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != ".git" {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| {
            ["rs", "py", "go", "js", "ts", "c", "h", "java", "toml", "md"]
                .iter()
                .any(|known| ending == *known)
        }) {
            files.push(path);
        }
    }
}

/// Knuth's linear congruential generator: the same table everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}
