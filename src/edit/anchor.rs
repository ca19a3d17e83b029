//! Where an edit lands: whole lines, exactly one place or none. Pure, over the lines of one text.
//!
//! A ladder of tiers; the first one at which the searched lines are found decides, and if they are
//! found twice there, the edit is refused rather than moved on. A line's end (`\n`, `\r\n`) is not
//! part of the line, since a model cannot write it. What is rewritten is what the edit changes: a
//! line that it keeps has the file's bytes afterwards, not the model's. It must not know paths,
//! plans or the disk.

mod indent;
mod keys;
mod similar;

use std::ops::Range;

use ::similar::{Algorithm, DiffOp, TextDiff, capture_diff_slices};
use serde::{Deserialize, Serialize};

pub use self::indent::{Shift, front};

/// How an edit found its place. Ordered: a later tier deserves a closer look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// No lines were searched: a new, deleted or renamed file.
    File,
    /// The place was named, by a definition's name or by the tags of its lines.
    Named,
    /// Every line is equal.
    Exact,
    /// Equal but for spaces and tabs at the ends of lines.
    TrailingSpace,
    /// Equal but for one shift of the indentation; new lines were shifted with it.
    Indentation,
    /// Equal but for runs of white space within lines, blank lines around, or typographic punctuation.
    Spacing,
    /// The whole file was given anew.
    Whole,
    /// The owner wrote it during the review.
    Owner,
    /// The file has changed since; what was proposed was merged into it.
    Merged,
    /// Only similar: five lines or more, and no other place comes near.
    Fuzzy,
}

impl Tier {
    /// As it is shown beside a hunk.
    pub fn label(self) -> &'static str {
        match self {
            Tier::File => "file",
            Tier::Named => "named place",
            Tier::Exact => "exact",
            Tier::TrailingSpace => "exact but for trailing space",
            Tier::Indentation => "re-indented",
            Tier::Spacing => "exact but for spacing",
            Tier::Whole => "whole file",
            Tier::Owner => "edited by you",
            Tier::Merged => "RE-ANCHORED in a changed file",
            Tier::Fuzzy => "ONLY SIMILAR",
        }
    }

    /// Whether the place was found by likeness alone, so that a person has to look at it.
    pub fn is_guess(self) -> bool {
        self == Tier::Fuzzy
    }

    /// The tiers at which lines are searched for, up to likeness, in order.
    const LADDER: [Tier; 4] = [Tier::Exact, Tier::TrailingSpace, Tier::Indentation, Tier::Spacing];
}

/// The place of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Lines of the text, from 0, end excluded; never empty.
    pub lines: Range<usize>,
    pub tier: Tier,
    /// From the searched lines' indentation to the file's.
    pub shift: Shift,
    /// The first searched line's white space and the file's, where it alone had lost some: models
    /// trim what they answer.
    pub first: Option<(String, String)>,
    /// By searched line, the line within `lines` that it is; `None` for one that the file lacks.
    pub pairs: Vec<Option<usize>>,
}

impl Anchor {
    /// A place where line after line is what was searched.
    pub fn lines(lines: Range<usize>, tier: Tier) -> Anchor {
        let pairs = (0..lines.len()).map(Some).collect();
        Anchor { lines, tier, shift: Shift::Same, first: None, pairs }
    }
}

/// What to do when lines are found in several places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Several {
    #[default]
    Refuse,
    /// As other programs do it: the first one is taken.
    First,
}

/// Why an edit has no place.
#[derive(Debug, Clone, PartialEq)]
pub enum Miss {
    /// Nothing but blank lines to search for.
    Empty,
    /// Not found; the most similar lines, if any are similar at all.
    Nowhere(Option<Nearest>),
    /// Found more than once: the first line of each place, from 0.
    Several(Vec<usize>),
}

/// Lines that resemble what was searched.
#[derive(Debug, Clone, PartialEq)]
pub struct Nearest {
    /// Lines of the text, from 0, end excluded.
    pub lines: Range<usize>,
    /// From 0 (nothing in common) to 1 (equal).
    pub ratio: f32,
}

/// The lines of a text with their ends.
pub fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// A line without its end.
pub fn content(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

/// Finds `search` in `text`, both as [`lines`]. With a `region` (the lines that the model was shown)
/// the region is searched first, and the rest only if nothing there is equal at any tier. Likeness
/// is the last resort, in the same order.
pub fn locate(
    text: &[&str],
    search: &[&str],
    region: Option<Range<usize>>,
    several: Several,
) -> Result<Anchor, Miss> {
    if search.iter().all(|line| line.trim().is_empty()) {
        return Err(Miss::Empty);
    }
    let whole = 0..text.len();
    let region = region.map(|lines| lines.start.min(whole.end)..lines.end.min(whole.end));
    let scopes: Vec<Range<usize>> = region.into_iter().chain([whole]).collect();
    for scope in &scopes {
        let mut places = places(text, search, scope);
        match (places.len(), several) {
            (0, _) => {}
            (1, _) | (_, Several::First) => return Ok(places.swap_remove(0)),
            _ => return Err(Miss::Several(places.into_iter().map(|place| place.lines.start).collect())),
        }
    }
    for scope in &scopes {
        if let Some(anchor) = alike(text, search, scope) {
            return Ok(anchor);
        }
    }
    Err(Miss::Nowhere(nearest(text, search)))
}

/// All places of `scope` that are equal to `search`, at the first tier at which there are any.
pub fn places(text: &[&str], search: &[&str], scope: &Range<usize>) -> Vec<Anchor> {
    let found = equal_places(text, search, scope);
    if !found.is_empty() {
        return found;
    }
    // Blank lines around the block are the model's way of showing it, more often than not.
    let blank = |line: &&&str| line.trim().is_empty();
    let above = search.iter().take_while(blank).count();
    let below = search.iter().rev().take_while(blank).count();
    if above + below == 0 || above == search.len() {
        return Vec::new();
    }
    let mut found = equal_places(text, &search[above..search.len() - below], scope);
    for anchor in &mut found {
        anchor.tier = anchor.tier.max(Tier::Spacing);
        anchor.pairs.splice(0..0, std::iter::repeat_n(None, above));
        anchor.pairs.extend(std::iter::repeat_n(None, below));
    }
    found
}

fn equal_places(text: &[&str], search: &[&str], scope: &Range<usize>) -> Vec<Anchor> {
    let Some(scoped) = text.get(scope.clone()) else { return Vec::new() };
    if search.is_empty() || scoped.len() < search.len() {
        return Vec::new();
    }
    for tier in Tier::LADDER {
        let key = |line: &str| match tier {
            Tier::TrailingSpace => content(line).trim_end().to_owned(),
            Tier::Indentation => content(line).trim().to_owned(),
            Tier::Spacing => keys::spaced(content(line).trim()),
            _ => content(line).to_owned(),
        };
        let found: Vec<Anchor> = match tier {
            // The usual case, without copies.
            Tier::Exact => windows(scoped, search, |line, sought| content(line) == content(sought)),
            _ => {
                let (keys, sought): (Vec<String>, Vec<String>) = (
                    scoped.iter().map(|line| key(line)).collect(),
                    search.iter().map(|line| key(line)).collect(),
                );
                windows(&keys, &sought, |line, sought| line == sought)
            }
        }
        .into_iter()
        .filter_map(|at| {
            let lines = scope.start + at..scope.start + at + search.len();
            let mut anchor = Anchor::lines(lines.clone(), tier);
            if tier >= Tier::Indentation {
                let pairs = search.iter().zip(&text[lines]);
                let pairs: Vec<(&str, &str)> =
                    pairs.map(|(sought, found)| (content(sought), content(found))).collect();
                (anchor.shift, anchor.first) = shift(&pairs)?;
            }
            Some(anchor)
        })
        .collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// The rule for all lines, or for all but a first one that has lost its white space.
fn shift(pairs: &[(&str, &str)]) -> Option<(Shift, Option<(String, String)>)> {
    if let Some(shift) = Shift::between(pairs.iter().copied()) {
        return Some((shift, None));
    }
    let ((sought, found), rest) = pairs.split_first()?;
    let lost = front(sought).len() < front(found).len() && !sought.trim().is_empty();
    let shift = Shift::between(rest.iter().copied()).filter(|_| lost)?;
    Some((shift, Some((front(sought).to_owned(), front(found).to_owned()))))
}

/// Where each line of a window is equal to the searched line.
fn windows<T>(lines: &[T], search: &[T], equal: impl Fn(&T, &T) -> bool) -> Vec<usize> {
    lines
        .windows(search.len())
        .enumerate()
        .filter(|(_, window)| window.iter().zip(search).all(|(line, sought)| equal(line, sought)))
        .map(|(at, _)| at)
        .collect()
}

/// The one place that is similar enough, if there is one. Its indentation has to follow one rule, or
/// nobody could say how new lines are to be indented.
pub fn alike(text: &[&str], search: &[&str], scope: &Range<usize>) -> Option<Anchor> {
    let found = similar::find(text, search, scope).filter(similar::Alike::is_certain)?;
    let pairs = search
        .iter()
        .zip(&found.pairs)
        .filter_map(|(sought, at)| Some((content(sought), content(text[found.lines.start + (*at)?]))));
    let shift = Shift::between(pairs)?;
    Some(Anchor { lines: found.lines, tier: Tier::Fuzzy, shift, first: None, pairs: found.pairs })
}

/// The text with each anchored range replaced. Ranges must not overlap; bytes outside of them stay.
pub fn splice(text: &[&str], mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| range.start);
    let mut result = String::with_capacity(text.iter().map(|line| line.len()).sum());
    let mut at = 0;
    for (range, replacement) in edits {
        debug_assert!(range.start >= at, "overlapping edits are refused before");
        result.extend(text[at..range.start].iter().copied());
        result.push_str(&replacement);
        at = range.end;
    }
    result.extend(text[at..].iter().copied());
    result
}

/// New bytes for the lines of `anchor`, of which the model saw `old` and wants `new`.
///
/// Lines that are in both keep their bytes, so that a context line keeps its trailing space and its
/// own line end; the others get the file's line end and indentation. The last line of the file ends
/// as it did. `None` if a new line cannot be indented, or if a line that the model did not see lies
/// within what it replaces.
pub fn rewrite(text: &[&str], anchor: &Anchor, old: &[&str], new: &[&str]) -> Option<String> {
    debug_assert_eq!(anchor.pairs.len(), old.len());
    let range = anchor.lines.clone();
    let base = &text[range.clone()];
    let end = line_end(base).or_else(|| line_end(text)).unwrap_or("\n");
    let old: Vec<&str> = old.iter().map(|line| content(line)).collect();
    let new: Vec<&str> = new.iter().map(|line| content(line)).collect();
    let mut result = String::new();
    let push = |result: &mut String, line: &str| {
        // Only a file's last line lacks an end, and it may have become another.
        if !result.is_empty() && !result.ends_with('\n') {
            result.push_str(end);
        }
        result.push_str(line);
    };
    let mut next = 0;
    for op in diff(&old, &new) {
        if let DiffOp::Equal { old_index, len, .. } = op {
            for at in anchor.pairs[old_index..old_index + len].iter().flatten() {
                base[next..=*at].iter().for_each(|line| push(&mut result, line));
                next = at + 1;
            }
            continue;
        }
        let gone: Vec<usize> = anchor.pairs[op.old_range()].iter().flatten().copied().collect();
        if let (Some(first), Some(last)) = (gone.first(), gone.last()) {
            if last - first + 1 != gone.len() {
                return None;
            }
            base[next..*first].iter().for_each(|line| push(&mut result, line));
            next = last + 1;
        }
        for at in op.new_range() {
            let line = match &anchor.first {
                Some((lost, there)) if at == 0 && front(new[0]) == lost => {
                    there.to_owned() + new[0].trim_start()
                }
                _ => anchor.shift.line(new[at])?,
            };
            push(&mut result, &line);
            result.push_str(end);
        }
    }
    base[next..].iter().for_each(|line| push(&mut result, line));
    let was_open = range.end == text.len() && base.last().is_some_and(|line| !line.ends_with('\n'));
    Some(match (was_open, result.ends_with('\n')) {
        (true, true) => content(&result).to_owned(),
        (false, false) if !result.is_empty() => result + end,
        _ => result,
    })
}

/// Line operations between two texts; the same for the same input, whatever the machine does.
pub fn diff(old: &[&str], new: &[&str]) -> Vec<DiffOp> {
    capture_diff_slices(Algorithm::Myers, old, new)
}

/// The line end that most lines have; `None` where no line has one.
pub fn line_end(lines: &[&str]) -> Option<&'static str> {
    let ended = lines.iter().filter(|line| line.ends_with('\n')).count();
    let windows = lines.iter().filter(|line| line.ends_with("\r\n")).count();
    (ended > 0).then_some(if windows * 2 > ended { "\r\n" } else { "\n" })
}

/// Below this a "nearest" place would mislead more than it helps.
const NEAREST_RATIO: f32 = 0.5;

/// Beyond this many lines the search for similar ones is not worth its time.
const NEAREST_LINES: usize = 50_000;

/// The place most like `search`: lines that resemble its longest line are tried, and the window
/// around each is compared in full.
fn nearest(text: &[&str], search: &[&str]) -> Option<Nearest> {
    if text.len() > NEAREST_LINES {
        return None;
    }
    let (key, sought) =
        search.iter().enumerate().max_by_key(|(at, line)| (line.trim().len(), usize::MAX - at))?;
    let sought = pairs(sought.trim());
    let mut alike: Vec<(usize, usize)> = text
        .iter()
        .enumerate()
        .map(|(at, line)| (overlap(&sought, &pairs(line.trim())), at))
        .filter(|(score, _)| *score > 300)
        .collect();
    alike.sort_by_key(|(score, at)| (usize::MAX - score, *at));
    alike.truncate(5);
    let wanted: String = clip(&search.concat());
    alike
        .into_iter()
        .map(|(_, at)| {
            let start = at.saturating_sub(key);
            let lines = start..(start + search.len()).min(text.len());
            let ratio = TextDiff::from_chars(clip(&text[lines.clone()].concat()), wanted.as_str()).ratio();
            Nearest { lines, ratio }
        })
        .filter(|nearest| nearest.ratio >= NEAREST_RATIO)
        .max_by(|one, other| one.ratio.total_cmp(&other.ratio).then(other.lines.start.cmp(&one.lines.start)))
}

fn clip(text: &str) -> String {
    text.chars().take(2_000).collect()
}

/// The pairs of neighbouring characters, sorted.
fn pairs(text: &str) -> Vec<(char, char)> {
    let mut pairs: Vec<(char, char)> = text.chars().zip(text.chars().skip(1)).take(400).collect();
    pairs.sort_unstable();
    pairs
}

/// How much two sorted lists of pairs have in common, in thousandths (Dice's coefficient).
fn overlap(one: &[(char, char)], other: &[(char, char)]) -> usize {
    let (mut common, mut at, mut beside) = (0, 0, 0);
    while at < one.len() && beside < other.len() {
        match one[at].cmp(&other[beside]) {
            std::cmp::Ordering::Less => at += 1,
            std::cmp::Ordering::Greater => beside += 1,
            std::cmp::Ordering::Equal => (common, at, beside) = (common + 1, at + 1, beside + 1),
        }
    }
    2_000 * common / (one.len() + other.len()).max(1)
}

#[cfg(test)]
mod tests;
