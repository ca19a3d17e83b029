//! The last resort: the place that is most like the searched lines, if no other comes near. Pure.
//!
//! Every window of about the searched length is compared, line by line in order, so that "the
//! second best" really is. What it finds is shown with a badge and never taken on its own.

use std::ops::Range;

use super::{content, keys::spaced};

/// Fewest searched lines with text.
pub const LEAST_LINES: usize = 5;
/// Least likeness, from 0 to 1.
pub const LEAST_RATIO: f32 = 0.85;
/// Least distance to any other place.
pub const LEAST_MARGIN: f32 = 0.10;
/// Most pairs of lines that are compared; beyond, nothing is found.
const MOST_PAIRS: usize = 1_500_000;
/// Lines that are less alike than this are not each other's.
const LEAST_LINE: f32 = 0.5;

/// A place that resembles.
#[derive(Debug, Clone, PartialEq)]
pub struct Alike {
    /// Lines of the text, end excluded.
    pub lines: Range<usize>,
    /// By searched line, its line within `lines`.
    pub pairs: Vec<Option<usize>>,
    pub ratio: f32,
    /// Likeness of the best other place.
    pub second: f32,
}

impl Alike {
    /// Whether it is like enough, and nothing else is.
    pub fn is_certain(&self) -> bool {
        self.ratio >= LEAST_RATIO && self.ratio - self.second >= LEAST_MARGIN
    }
}

/// The place of `scope` that is most like `search`. `None` if there are too few lines to tell, or
/// too many to compare.
pub fn find(text: &[&str], search: &[&str], scope: &Range<usize>) -> Option<Alike> {
    let scope = scope.start.min(text.len())..scope.end.min(text.len());
    let told = search.iter().filter(|line| !line.trim().is_empty()).count();
    if told < LEAST_LINES || scope.is_empty() || search.len().checked_mul(scope.len())? > MOST_PAIRS {
        return None;
    }
    let sought: Vec<Line> = search.iter().map(|line| Line::new(line)).collect();
    let found: Vec<Line> = text[scope.clone()].iter().map(|line| Line::new(line)).collect();
    let mut likeness: Vec<Vec<f32>> =
        sought.iter().map(|one| found.iter().map(|other| one.likeness(other)).collect()).collect();
    let best = best(&sought, &found, &likeness)?;
    let pairs = align(&sought, &found[best.lines.clone()], &likeness, best.lines.start);
    // Whatever shares no pair of lines with the best place is another place.
    for (row, pair) in likeness.iter_mut().zip(&pairs) {
        if let Some(at) = pair {
            row[best.lines.start + at] = 0.0;
        }
    }
    let second = self::best(&sought, &found, &likeness).map_or(0.0, |second| second.ratio);
    let (first, last) = (pairs.iter().flatten().min()?, pairs.iter().flatten().max()?);
    // Lines at the edges that nothing pairs with do not belong to the place.
    let lines = scope.start + best.lines.start + first..scope.start + best.lines.start + last + 1;
    let pairs = pairs.iter().map(|pair| pair.map(|at| at - first)).collect();
    Some(Alike { lines, pairs, ratio: best.ratio, second })
}

/// A line, prepared for comparing.
struct Line {
    key: String,
    /// The pairs of neighbouring characters, sorted.
    pairs: Vec<(char, char)>,
    /// What the line counts for: a blank one nearly nothing.
    weight: f32,
}

impl Line {
    fn new(line: &str) -> Line {
        let key = spaced(content(line).trim());
        let mut pairs: Vec<(char, char)> = key.chars().zip(key.chars().skip(1)).take(300).collect();
        pairs.sort_unstable();
        let weight = 1.0 + key.chars().take(300).count() as f32;
        Line { key, pairs, weight }
    }

    fn likeness(&self, other: &Line) -> f32 {
        if self.key == other.key {
            return 1.0;
        }
        let (one, two) = (self.pairs.len(), other.pairs.len());
        if 2 * one.min(two) < (one + two) / 2 || one + two == 0 {
            return 0.0;
        }
        let ratio = super::overlap(&self.pairs, &other.pairs) as f32 / 1000.0;
        if ratio < LEAST_LINE { 0.0 } else { ratio }
    }
}

struct Window {
    lines: Range<usize>,
    ratio: f32,
}

/// The best window: the earliest of the shortest of equally good ones.
fn best(sought: &[Line], found: &[Line], likeness: &[Vec<f32>]) -> Option<Window> {
    let band = 1 + sought.len() / 10;
    let whole: f32 = sought.iter().map(|line| line.weight).sum();
    let mut best: Option<Window> = None;
    for start in 0..found.len() {
        // A window begins with a line that pairs with one of the first searched lines.
        if (0..=band.min(sought.len() - 1)).all(|row| likeness[row][start] == 0.0) {
            continue;
        }
        let longest = (sought.len() + band).min(found.len() - start);
        let mut scores = vec![0.0_f32; longest + 1];
        for (row, one) in sought.iter().enumerate() {
            let mut diagonal = scores[0];
            for at in 1..=longest {
                let above = scores[at];
                let near = row.abs_diff(at - 1) <= band;
                let like = if near { likeness[row][start + at - 1] } else { 0.0 };
                let paired = match like > 0.0 {
                    true => diagonal + like * (one.weight + found[start + at - 1].weight),
                    false => 0.0,
                };
                scores[at] = paired.max(above).max(scores[at - 1]);
                diagonal = above;
            }
        }
        let mut weight = 0.0;
        for length in 1..=longest {
            weight += found[start + length - 1].weight;
            let ratio = scores[length] / (whole + weight);
            if best.as_ref().is_none_or(|best| ratio > best.ratio) {
                best = Some(Window { lines: start..start + length, ratio });
            }
        }
    }
    best
}

/// By searched line, its line in the window.
fn align(sought: &[Line], window: &[Line], likeness: &[Vec<f32>], start: usize) -> Vec<Option<usize>> {
    let (rows, columns) = (sought.len(), window.len());
    let mut scores = vec![vec![0.0_f32; columns + 1]; rows + 1];
    let worth = |row: usize, at: usize| {
        let like = likeness[row][start + at];
        if like > 0.0 { like * (sought[row].weight + window[at].weight) } else { f32::NEG_INFINITY }
    };
    for row in (0..rows).rev() {
        for at in (0..columns).rev() {
            let paired = scores[row + 1][at + 1] + worth(row, at);
            scores[row][at] = paired.max(scores[row + 1][at]).max(scores[row][at + 1]);
        }
    }
    let mut pairs = vec![None; rows];
    let (mut row, mut at) = (0, 0);
    while row < rows && at < columns {
        let paired = scores[row + 1][at + 1] + worth(row, at);
        if paired >= scores[row][at] {
            pairs[row] = Some(at);
            (row, at) = (row + 1, at + 1);
        } else if scores[row + 1][at] >= scores[row][at + 1] {
            row += 1;
        } else {
            at += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "def area(width, height):\n    # in square metres\n    if width < 0 or height < 0:\n        raise ValueError(\"negative\")\n    return width * height\n\n\ndef volume(box):\n    total = 0\n    for layer in box.layers:\n        total += area(layer.width, layer.height) * layer.depth\n    return total\n";

    fn check(search: &str, expected: Option<(Range<usize>, bool)>) {
        let (text, search) = (super::super::lines(TEXT), super::super::lines(search));
        let found = find(&text, &search, &(0..text.len()));
        assert_eq!(found.map(|found| (found.lines.clone(), found.is_certain())), expected);
    }

    #[test]
    fn what_is_nearly_the_same_is_found() {
        check(
            "def area(width, height):\n    # in square meters\n    if width < 0 or height < 0:\n        raise ValueError('negative')\n    return width * height\n",
            Some((0..5, true)),
        );
        // A line that the model left out, and one that it made up.
        check(
            "def volume(box):\n    total = 0\n    count = 0\n    for layer in box.layers:\n        total += area(layer.width, layer.height) * layer.depth\n    return total\n",
            Some((7..12, true)),
        );
    }

    #[test]
    fn few_lines_are_no_evidence() {
        check("def area(width, heigth):\n    # in square metres\n", None);
    }

    #[test]
    fn twins_are_not_certain() {
        let one =
            "fn first() {\n    let a = load(1);\n    let b = parse(a);\n    check(b);\n    save(b)\n}\n";
        let text = format!("{one}\n{}", one.replace("first", "other").replace("(1)", "(2)"));
        let (text, search) =
            (super::super::lines(&text), one.replace("first", "forst").replace("(1)", "(3)"));
        let search = super::super::lines(&search);
        assert!(!find(&text, &search, &(0..text.len())).unwrap().is_certain());
    }
}
