//! Where a hunk of a diff lands: below the lines that its header names, after the hunk before it,
//! and by the same ladder as any other block. Pure, over the lines of one text.
//!
//! The line number of a unified diff is no search: it decides only between places that are equally
//! good. It must not know how a diff is written.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::anchor::{self, Anchor, Miss, Several};

/// One hunk: lines, and what it says of their place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hunk {
    /// Lines that stand somewhere above the place, the outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under: Vec<String>,
    /// Context and removed lines.
    pub search: String,
    /// Context and added lines.
    pub replace: String,
    /// The number of its first line in the file as it was, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The place is the end of the file.
    #[serde(default, skip_serializing_if = "End::is_anywhere")]
    pub end: End,
    /// What becomes of the line end of the file's last line.
    #[serde(default, skip_serializing_if = "LastLine::is_kept")]
    pub last_line: LastLine,
}

/// Where in the file the hunk may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    #[default]
    Anywhere,
    /// Its last line is the file's last line.
    OfFile,
}

impl End {
    fn is_anywhere(&self) -> bool {
        *self == End::Anywhere
    }
}

/// Whether a diff changes the line end at the end of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastLine {
    #[default]
    Kept,
    /// It gets a line end.
    Ended,
    /// It loses its line end.
    Unended,
}

impl LastLine {
    fn is_kept(&self) -> bool {
        *self == LastLine::Kept
    }
}

/// Why a hunk has no place.
#[derive(Debug, Clone, PartialEq)]
pub enum Lost {
    /// As with any other block.
    Missed(Miss),
    /// No such line as this one of its header.
    Header(String),
    /// Found only above the hunk before it: the first line, from 0.
    OutOfOrder(usize),
    /// It adds lines without saying where.
    Nowhere,
}

/// Finds one hunk in the lines from `from` on.
pub fn locate(text: &[&str], hunk: &Hunk, from: usize, several: Several) -> Result<Anchor, Lost> {
    let search = anchor::lines(&hunk.search);
    if search.iter().all(|line| line.trim().is_empty()) && (search.is_empty() || hunk.line.is_none()) {
        return Err(match search.is_empty() {
            true => Lost::Nowhere,
            false => Lost::Missed(Miss::Empty),
        });
    }
    let headers = headers(text, &hunk.under)?;
    let scope = from.min(text.len())..text.len();
    let mut places = anchor::places(text, &search, &scope);
    if hunk.end == End::OfFile {
        places.retain(|place| place.lines.end == text.len());
    }
    if places.is_empty() {
        return missed(text, &search, hunk, &scope);
    }
    if let Some(headers) = &headers {
        let below: Vec<Anchor> = places
            .iter()
            .filter(|place| headers.iter().any(|header| place.lines.end > *header))
            .cloned()
            .collect();
        // A header is a definition's first line: what it encloses comes before what follows it.
        let within: Vec<Anchor> = below
            .iter()
            .filter(|place| headers.iter().any(|header| encloses(text, *header, place.lines.start)))
            .cloned()
            .collect();
        places = if within.is_empty() { below } else { within };
    }
    if places.len() > 1
        && let Some(at) = places.iter().position(|place| Some(place.lines.start + 1) == hunk.line)
    {
        return Ok(places.swap_remove(at));
    }
    match (places.len(), several) {
        (0, _) => missed(text, &search, hunk, &scope),
        (1, _) | (_, Several::First) => Ok(places.swap_remove(0)),
        _ => Err(Lost::Missed(Miss::Several(places.into_iter().map(|place| place.lines.start).collect()))),
    }
}

fn missed(text: &[&str], search: &[&str], hunk: &Hunk, scope: &Range<usize>) -> Result<Anchor, Lost> {
    if hunk.end == End::Anywhere {
        if hunk.under.is_empty()
            && let Some(anchor) = anchor::alike(text, search, scope)
        {
            return Ok(anchor);
        }
        if let Some(above) = anchor::places(text, search, &(0..scope.start)).first() {
            return Err(Lost::OutOfOrder(above.lines.start));
        }
    }
    match anchor::locate(text, search, None, Several::Refuse) {
        // Equal lines elsewhere are what resembles most.
        Ok(place) => {
            let nearest = anchor::Nearest { lines: place.lines, ratio: 1.0 };
            Err(Lost::Missed(Miss::Nowhere(Some(nearest))))
        }
        Err(miss) => Err(Lost::Missed(miss)),
    }
}

/// The lines that the innermost header can be; `None` without a header.
fn headers(text: &[&str], under: &[String]) -> Result<Option<Vec<usize>>, Lost> {
    let Some((innermost, outer)) = under.split_last() else { return Ok(None) };
    let mut from = 0;
    for header in outer {
        match anchor::places(text, &[header.as_str()], &(from..text.len())).first() {
            Some(place) => from = place.lines.end,
            None => return Err(Lost::Header(header.clone())),
        }
    }
    let found = anchor::places(text, &[innermost.as_str()], &(from..text.len()));
    match found.is_empty() {
        true => Err(Lost::Header(innermost.clone())),
        false => Ok(Some(found.into_iter().map(|place| place.lines.start).collect())),
    }
}

/// Whether all lines between a header and a place are indented deeper than the header.
fn encloses(text: &[&str], header: usize, at: usize) -> bool {
    let depth = |line: &str| anchor::front(line).chars().count();
    let own = depth(text[header]);
    at > header
        && text[header + 1..at].iter().filter(|line| !line.trim().is_empty()).all(|line| {
            // The rest of a signature may stand below its beginning.
            depth(line) > own || line.trim_start().starts_with([')', '{'])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, hunk: &Hunk, from: usize, expected: Result<usize, Lost>) {
        let found = locate(&anchor::lines(text), hunk, from, Several::Refuse);
        assert_eq!(found.map(|anchor| anchor.lines.start), expected, "{hunk:?}");
    }

    fn hunk(search: &str) -> Hunk {
        Hunk { search: search.into(), replace: "new\n".into(), ..Hunk::default() }
    }

    const TWINS: &str = "def f():\n    x = 1\n    return x\n\ndef g():\n    x = 1\n    return x\n";

    #[test]
    fn hunks_come_one_after_the_other() {
        check(TWINS, &hunk("    return x\n"), 3, Ok(6));
        check(TWINS, &hunk("    return x\n"), 0, Err(Lost::Missed(Miss::Several(vec![2, 6]))));
        check(TWINS, &hunk("def f():\n"), 3, Err(Lost::OutOfOrder(0)));
    }

    #[test]
    fn a_header_says_under_what() {
        let under = |header: &str| Hunk { under: vec![header.into()], ..hunk("    return x\n") };
        check(TWINS, &under("def f():"), 0, Ok(2));
        check(TWINS, &under("def g():"), 0, Ok(6));
        check(TWINS, &under("def h():"), 0, Err(Lost::Header("def h():".into())));
        let nested = "class A:\n    def f(self):\n        pass\n\nclass B:\n    def f(self):\n        pass\n";
        let both =
            Hunk { under: vec!["class B:".into(), "    def f(self):".into()], ..hunk("        pass\n") };
        check(nested, &both, 0, Ok(6));
    }

    #[test]
    fn a_number_decides_between_equals_only() {
        check(TWINS, &Hunk { line: Some(7), ..hunk("    return x\n") }, 0, Ok(6));
        let wrong = Hunk { line: Some(4), ..hunk("    return x\n") };
        check(TWINS, &wrong, 0, Err(Lost::Missed(Miss::Several(vec![2, 6]))));
        check(TWINS, &Hunk { line: Some(90), ..hunk("def g():\n") }, 0, Ok(4));
    }

    #[test]
    fn the_end_of_the_file_is_a_place() {
        check(TWINS, &Hunk { end: End::OfFile, ..hunk("    return x\n") }, 0, Ok(6));
        let not_there = Hunk { end: End::OfFile, ..hunk("def g():\n") };
        assert!(locate(&anchor::lines(TWINS), &not_there, 0, Several::Refuse).is_err());
    }
}
