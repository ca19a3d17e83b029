//! Which lines of a file the Coder sees for a step. Pure: text and symbols in, regions out.
//!
//! Whole definitions, or the whole file when it is short; a region is never cut in the middle to make
//! it fit.

use countersign_index::Symbol;

use crate::message::Region;

/// A file of this size or less is shown whole: its imports and neighbours cost less than a second
/// attempt.
const WHOLE_FILE_BYTES: usize = 2500;
/// Most lines of a file's head (imports, constants) shown beside a definition.
const HEAD_LINES: u32 = 25;

/// What is known about a step's file.
pub struct Place<'a> {
    pub path: &'a str,
    pub text: &'a str,
    /// The plan's symbol; empty when it names none.
    pub symbol: &'a str,
    pub symbols: &'a [Symbol],
    /// Line ranges of this file that were in the pack, best first; 1-based, inclusive.
    pub shown: &'a [(u32, u32)],
    /// Most bytes of all regions together.
    pub room: usize,
}

/// The regions for a step, in the order of the file.
///
/// # Errors
/// A message for the owner when not even the most important region fits.
pub fn choose(place: &Place) -> Result<Vec<Region>, String> {
    let lines: Vec<&str> = place.text.split_inclusive('\n').collect();
    let last = lines.len() as u32;
    if last == 0 || place.text.len() <= WHOLE_FILE_BYTES.min(place.room) {
        return Ok(vec![whole(place.path, place.text)]);
    }
    let named = ranges_of(place.symbol, place.symbols);
    let found = !named.is_empty();
    let mut wanted = named;
    if found {
        let head = place.symbols.iter().map(|symbol| symbol.start_line).min().unwrap_or(1);
        wanted.push((1, head.saturating_sub(1).min(HEAD_LINES)));
    } else {
        wanted.extend(place.shown);
    }
    if wanted.is_empty() {
        wanted.push((1, last));
    }
    let size = |(first, end): (u32, u32)| -> usize {
        (first..=end.min(last)).map(|line| lines[line as usize - 1].len()).sum()
    };
    let mut left = place.room;
    let mut kept: Vec<(u32, u32)> = Vec::new();
    for range in wanted.into_iter().filter(|(first, end)| *first >= 1 && first <= end) {
        if size(range) <= left {
            left -= size(range);
            kept.push(range);
        }
    }
    if kept.is_empty() {
        return Err(format!(
            "{}{} does not fit the model's window; name a smaller place, or use a larger window",
            place.path,
            if found { format!(", {}", place.symbol) } else { String::new() }
        ));
    }
    Ok(merge(kept)
        .into_iter()
        .map(|(first, end)| Region {
            path: place.path.to_owned(),
            start_line: first,
            end_line: end.min(last),
            enclosing: None,
            text: lines[first as usize - 1..end.min(last) as usize].concat(),
            whole: first == 1 && end >= last,
        })
        .collect())
}

/// A whole file as one region.
pub fn whole(path: &str, text: &str) -> Region {
    let lines = text.lines().count() as u32;
    Region {
        path: path.to_owned(),
        start_line: lines.min(1),
        end_line: lines,
        enclosing: None,
        text: text.to_owned(),
        whole: true,
    }
}

/// Line ranges of the definitions that a plan's symbol names: `parse`, `Parser.parse`,
/// `Parser::parse`, `parse()`.
pub fn ranges_of(symbol: &str, symbols: &[Symbol]) -> Vec<(u32, u32)> {
    let written = symbol.trim().trim_end_matches("()");
    let parts: Vec<&str> = written.split(['.', ':', '#']).filter(|part| !part.is_empty()).collect();
    let Some((name, containers)) = parts.split_last() else { return Vec::new() };
    let named: Vec<&Symbol> = symbols.iter().filter(|symbol| symbol.name == *name).collect();
    let inside: Vec<&&Symbol> = named
        .iter()
        .filter(|symbol| {
            containers.last().is_none_or(|container| symbol.container.as_deref() == Some(container))
        })
        .collect();
    // A container that is a module, not a type, says nothing here.
    let chosen: Vec<&Symbol> = if inside.is_empty() { named } else { inside.into_iter().copied().collect() };
    chosen.iter().map(|symbol| (symbol.start_line, symbol.end_line)).collect()
}

/// Sorts ranges and joins those that touch.
fn merge(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (first, end) in ranges {
        match merged.last_mut() {
            Some(previous) if first <= previous.1 + 1 => previous.1 = previous.1.max(end),
            _ => merged.push((first, end)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(functions: usize) -> (String, Vec<Symbol>) {
        let mut text = String::from("import os\n\n");
        for n in 0..functions {
            text.push_str(&format!("def f{n}(x):\n    # {}\n    return x + {n}\n\n", "-".repeat(60)));
        }
        let language = countersign_index::lang::for_path("a.py");
        let symbols = countersign_index::extract::extract(language, &text).unwrap().symbols;
        (text, symbols)
    }

    fn check(symbol: &str, shown: &[(u32, u32)], room: usize) -> Result<Vec<(u32, u32)>, String> {
        let (text, symbols) = python(100);
        let place = Place { path: "a.py", text: &text, symbol, symbols: &symbols, shown, room };
        Ok(choose(&place)?.into_iter().map(|region| (region.start_line, region.end_line)).collect())
    }

    #[test]
    fn a_named_definition_comes_whole_with_the_head_of_the_file() {
        assert_eq!(check("f50", &[], 4000), Ok(vec![(1, 2), (203, 205)]));
        assert_eq!(check("f50()", &[(9, 12)], 4000), Ok(vec![(1, 2), (203, 205)]));
    }

    #[test]
    fn without_a_name_the_packs_lines_are_taken_as_far_as_they_fit() {
        assert_eq!(check("", &[(20, 40), (10, 19)], 4000), Ok(vec![(10, 40)]));
        assert_eq!(check("unknown", &[(20, 40), (50, 90)], 800), Ok(vec![(20, 40)]));
    }

    #[test]
    fn what_does_not_fit_is_said_not_cut() {
        assert!(check("", &[], 4000).unwrap_err().contains("does not fit"));
    }

    #[test]
    fn a_short_file_is_whole_and_an_empty_one_has_no_lines() {
        let (text, symbols) = python(2);
        let place =
            Place { path: "a.py", text: &text, symbol: "f1", symbols: &symbols, shown: &[], room: 9000 };
        assert!(choose(&place).unwrap()[0].whole);
        let empty = Place { path: "a.py", text: "", symbol: "", symbols: &[], shown: &[], room: 9000 };
        assert_eq!(choose(&empty).unwrap()[0].end_line, 0);
    }
}
