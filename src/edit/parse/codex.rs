//! Reads patches between `*** Begin Patch` and `*** End Patch`, as Codex's public documentation
//! describes them. Pure. It must not know whether the paths exist.
//!
//! What is forgiven and what is not is the same as in other formats; the table in
//! `src/edit/README.md` lists where this differs from Codex.

use super::{name, unified::Body};
use crate::edit::{
    Code, Edit, Planned, Refusal,
    diff::{End, Hunk},
};

const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const END_OF_FILE: &str = "*** End of File";

/// Whether a patch begins at this line.
pub fn begins(line: &str) -> bool {
    line.trim() == BEGIN
}

pub fn parse(answer: &str, planned: &Planned) -> Result<Vec<Edit>, Refusal> {
    let lines: Vec<&str> = answer.lines().collect();
    let Some(begin) = lines.iter().position(|line| begins(line)) else {
        return Err(Refusal::new(
            Code::NoEdits,
            "",
            "There is no patch. It begins with a line `*** Begin Patch` and ends with `*** End Patch`.",
        ));
    };
    let Some(length) = lines[begin..].iter().position(|line| line.trim() == END) else {
        let message = "The patch has no `*** End Patch` line: it may be cut. Write it to its end.";
        return Err(Refusal::new(Code::Truncated, "", message));
    };
    if let Some(second) = lines[begin + length..].iter().position(|line| begins(line)) {
        let at = begin + length + second + 1;
        let message = format!("At line {at} a second patch begins. Put all files into one patch.");
        return Err(Refusal::new(Code::Malformed, "", message));
    }
    let mut reader = Reader { lines: &lines[..begin + length], at: begin + 1, planned, edits: Vec::new() };
    while reader.at < reader.lines.len() {
        reader.section()?;
    }
    match reader.edits.is_empty() {
        false => Ok(reader.edits),
        true => Err(Refusal::new(Code::NoEdits, "", "The patch changes no file.")),
    }
}

struct Reader<'a> {
    lines: &'a [&'a str],
    at: usize,
    planned: &'a Planned,
    edits: Vec<Edit>,
}

impl<'a> Reader<'a> {
    fn path(&self, text: &str) -> String {
        name::resolve(text.trim(), self.planned)
    }

    /// A header that stands alone on its line, whatever stands around it.
    fn header(&self, at: usize) -> Option<&'a str> {
        self.lines.get(at).map(|line| line.trim()).filter(|line| line.starts_with("*** "))
    }

    fn section(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        let Some(header) = self.header(start) else {
            return match self.lines[start].trim().is_empty() {
                true => {
                    self.at += 1;
                    Ok(())
                }
                false => Err(self.malformed(
                    start,
                    "stands something that belongs to no file. Begin with `*** Update File: PATH`, `*** Add \
                     File: PATH` or `*** Delete File: PATH`.",
                )),
            };
        };
        self.at += 1;
        if let Some(path) = header.strip_prefix("*** Add File:") {
            let path = self.path(path);
            let content = self.added()?;
            self.edits.push(Edit::Create { path, content });
        } else if let Some(path) = header.strip_prefix("*** Delete File:") {
            let path = self.path(path);
            self.edits.push(Edit::Delete { path });
        } else if let Some(path) = header.strip_prefix("*** Update File:") {
            let path = self.path(path);
            let moved = self.header(self.at).and_then(|line| line.strip_prefix("*** Move to:"));
            let moved = moved.map(|to| self.path(to));
            self.at += usize::from(moved.is_some());
            let hunks = self.hunks()?;
            if hunks.is_empty() && moved.is_none() {
                let message = "The patch names this file and changes nothing in it.";
                return Err(Refusal::new(Code::Malformed, path, message));
            }
            if !hunks.is_empty() {
                self.edits.push(Edit::Hunks { path: path.clone(), hunks });
            }
            self.edits.extend(moved.map(|to| Edit::Rename { from: path, to }));
        } else {
            return Err(self.malformed(
                start,
                "stands an unknown header. There are `*** Add File:`, `*** Delete File:`, `*** Update File:` \
                 and `*** Move to:`.",
            ));
        }
        Ok(())
    }

    fn added(&mut self) -> Result<String, Refusal> {
        let mut content = String::new();
        while self.at < self.lines.len() && self.header(self.at).is_none() {
            let line = self.lines[self.at];
            match line.strip_prefix('+') {
                Some(text) => content += &format!("{text}\n"),
                // A blank line before the next header is around the file, not of it.
                None if line.trim().is_empty() && self.only_blank_before_header() => {}
                None => return Err(self.malformed(self.at, "a line of a new file does not begin with `+`.")),
            }
            self.at += 1;
        }
        Ok(content)
    }

    fn only_blank_before_header(&self) -> bool {
        let rest = self.lines[self.at..].iter().find(|line| !line.trim().is_empty());
        rest.is_none_or(|line| line.trim().starts_with("*** "))
    }

    fn hunks(&mut self) -> Result<Vec<Hunk>, Refusal> {
        let mut hunks = Vec::new();
        while self.at < self.lines.len() {
            if self.lines[self.at].trim().is_empty() && self.only_blank_before_header() {
                self.at += 1;
                continue;
            }
            if self.header(self.at).is_some_and(|header| header != END_OF_FILE) {
                break;
            }
            let start = self.at;
            let mut under = Vec::new();
            while let Some(header) = self.lines.get(self.at).and_then(|line| line.strip_prefix("@@")) {
                let header = header.strip_prefix(' ').unwrap_or(header).trim_end();
                let header = header.strip_suffix("@@").unwrap_or(header).trim_end();
                under.extend((!header.is_empty()).then(|| header.to_owned()));
                self.at += 1;
            }
            if self.at == start && !hunks.is_empty() {
                return Err(self.malformed(start, "a hunk does not begin with `@@`."));
            }
            hunks.push(self.hunk(start, under)?);
        }
        Ok(hunks)
    }

    fn hunk(&mut self, start: usize, under: Vec<String>) -> Result<Hunk, Refusal> {
        let mut body = Body::default();
        let mut end = End::Anywhere;
        while let Some(line) = self.lines.get(self.at).copied() {
            if self.header(self.at) == Some(END_OF_FILE) {
                end = End::OfFile;
                self.at += 1;
                break;
            }
            if line.starts_with("@@") || self.header(self.at).is_some() {
                break;
            }
            match line.chars().next() {
                None => body.push(' ', ""),
                Some(sign @ (' ' | '+' | '-')) => body.push(sign, &line[1..]),
                Some(_) => {
                    let what = "a line of the hunk begins with neither a space, nor `+`, nor `-`.";
                    return Err(self.malformed(self.at, what));
                }
            }
            self.at += 1;
        }
        if self.lines.get(self.at).is_none_or(|line| !line.starts_with("@@")) && end == End::Anywhere {
            body.drop_blank_end();
        }
        if body.counts() == (0, 0) {
            return Err(self.malformed(start, "a hunk has no lines."));
        }
        let mut hunk = body.into_hunk(under, None);
        hunk.end = end;
        if hunk.search.is_empty() && hunk.under.is_empty() {
            // Lines without a place go to the end of the file.
            hunk.end = End::OfFile;
        }
        Ok(hunk)
    }

    fn malformed(&self, at: usize, what: &str) -> Refusal {
        Refusal::new(Code::Malformed, "", format!("At line {} of the patch {what}", at + 1))
    }
}
