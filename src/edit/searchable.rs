//! What a SEARCH block may say so that it is found: runs of the lines that are shown, each long enough
//! to be in the file once. Pure; it must not know how a model is held to it.

use std::collections::HashMap;

use super::anchor;
use crate::message::Region;
use crate::provider::{SearchLine, Searchable};

/// Lines beyond which a grammar of them costs more than it helps.
const MOST_LINES: usize = 400;
/// A search that is longer than this to be found once is not worth writing.
const LONGEST_START: usize = 12;

/// The lines of `regions` of the file at `path`, whose whole text is `text`. `None` where blocks cannot
/// be told apart from what they hold, or where there is nothing to search for.
pub fn of(path: &str, text: &str, regions: &[Region]) -> Option<Searchable> {
    let lines = content(text);
    let marks = ["<<<<<<<", "=======", ">>>>>>>"];
    let confusing = |line: &str| {
        marks.iter().any(|mark| line.starts_with(mark))
            || line.contains(|c: char| c.is_control() && c != '\t')
    };
    if path.contains(char::is_control) || lines.iter().any(|line| confusing(line)) {
        return None;
    }
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, line) in lines.iter().enumerate() {
        places.entry(line).or_default().push(at);
    }
    // Those places of which all lines up to now are the same, until one is left.
    let fewest = |start: usize, end: usize| {
        let mut same = places.get(lines[start])?.clone();
        for length in 1..=LONGEST_START.min(end - start) {
            if same.len() == 1 {
                return Some(length);
            }
            let next = lines.get(start + length)?;
            same.retain(|at| lines.get(at + length) == Some(next));
        }
        None
    };
    let regions: Vec<Vec<SearchLine>> = regions
        .iter()
        .map(|region| {
            let start = (region.start_line.max(1) - 1) as usize;
            let end = (region.end_line as usize).min(lines.len());
            (start..end)
                .map(|at| SearchLine {
                    text: lines[at].to_owned(),
                    fewest: fewest(at, end).filter(|_| !lines[at].trim().is_empty()),
                })
                .collect()
        })
        .filter(|region: &Vec<SearchLine>| !region.is_empty())
        .collect();
    let count: usize = regions.iter().map(Vec::len).sum();
    let any = regions.iter().flatten().any(|line| line.fewest.is_some());
    (any && count <= MOST_LINES).then(|| Searchable { files: vec![path.to_owned()], regions })
}

fn content(text: &str) -> Vec<&str> {
    anchor::lines(text).into_iter().map(anchor::content).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region;

    const TEXT: &str = "def a():\n    return 1\n\ndef b():\n    return 1\n\ndef b():\n    return 2\n";

    fn fewest(text: &str, regions: &[Region]) -> Option<Vec<Option<usize>>> {
        let found = of("a.py", text, regions)?;
        Some(found.regions.iter().flatten().map(|line| line.fewest).collect())
    }

    #[test]
    fn each_line_says_how_long_a_search_from_it_has_to_be() {
        let whole = [region::whole("a.py", TEXT)];
        // The first `return 1` and the second are told apart by the third line behind them alone: by
        // `return 1` or `return 2` below `def b():`.
        let expected = [Some(1), Some(4), None, Some(2), Some(4), None, Some(2), Some(1)];
        assert_eq!(fewest(TEXT, &whole).unwrap(), expected);
    }

    #[test]
    fn a_region_is_searched_in_the_whole_file() {
        let part = Region { start_line: 2, end_line: 2, ..region::whole("a.py", TEXT) };
        assert_eq!(fewest(TEXT, &[part]), None, "the only line shown is there twice");
        let part = Region { start_line: 7, end_line: 8, ..region::whole("a.py", TEXT) };
        assert_eq!(fewest(TEXT, &[part]).unwrap(), [Some(2), Some(1)]);
    }

    #[test]
    fn texts_in_which_blocks_cannot_be_told_are_left_free() {
        for text in ["a\n=======\nb\n", "<<<<<<< HEAD\n", "a\u{7}b\n", ""] {
            assert_eq!(of("a.py", text, &[region::whole("a.py", text)]), None, "{text:?}");
        }
        assert_eq!(of("a\n.py", "a\n", &[region::whole("a.py", "a\n")]), None);
        let long = "x = 1\ny = 2\n".repeat(300);
        assert_eq!(of("a.py", &long, &[region::whole("a.py", &long)]), None);
    }
}
