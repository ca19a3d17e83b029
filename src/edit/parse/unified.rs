//! Reads unified diffs, git's and plain ones, also as models write them: in a fence, with prose
//! around, with wrong counts. Pure. It must not know whether the paths exist.
//!
//! Nothing that a diff says is dropped: what cannot be carried out (binary parts, links, modes,
//! copies) refuses the whole of it.

use super::fence_line;
use crate::edit::{
    Code, Edit, Planned, Refusal,
    diff::{End, Hunk, LastLine},
};

/// Whether a diff begins at this line.
pub fn begins(lines: &[&str], at: usize) -> bool {
    lines[at].starts_with("diff --git ") || is_header(lines, at)
}

/// `---` and `+++`, which only together are a header.
fn is_header(lines: &[&str], at: usize) -> bool {
    lines[at].starts_with("--- ") && lines.get(at + 1).is_some_and(|next| next.starts_with("+++ "))
}

pub fn parse(answer: &str, planned: &Planned) -> Result<Vec<Edit>, Refusal> {
    let mut reader = Reader { lines: answer.split('\n').collect(), at: 0, planned, edits: Vec::new() };
    if reader.lines.last() == Some(&"") {
        reader.lines.pop();
    }
    for line in &mut reader.lines {
        // Diffs of files with `\r\n` have it too; the file keeps its own ends.
        *line = line.strip_suffix('\r').unwrap_or(line);
    }
    while reader.at < reader.lines.len() {
        match begins(&reader.lines, reader.at) {
            true => reader.file()?,
            false => reader.at += 1,
        }
    }
    match reader.edits.is_empty() {
        false => Ok(reader.edits),
        true => Err(Refusal::new(
            Code::NoEdits,
            "",
            "There is no diff. It begins with a line `--- a/PATH`, then `+++ b/PATH`, then hunks that begin \
             with `@@`.",
        )),
    }
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
    planned: &'a Planned,
    edits: Vec<Edit>,
}

/// What the lines above the hunks of a file say.
#[derive(Default)]
struct Header {
    old: Option<String>,
    new: Option<String>,
    rename: Option<(String, String)>,
    created: bool,
    deleted: bool,
}

impl<'a> Reader<'a> {
    fn file(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        let header = self.header()?;
        let mut hunks = Vec::new();
        while self.lines.get(self.at).is_some_and(|line| line.starts_with("@@")) {
            hunks.push(self.hunk()?);
        }
        let named = |path: Option<String>| path.filter(|path| path != "/dev/null");
        let created = header.created || header.old.as_deref() == Some("/dev/null");
        let deleted = header.deleted || header.new.as_deref() == Some("/dev/null");
        let (old, new) = (named(header.old), named(header.new));
        let resolve = |path: &str| super::name::resolve(path, self.planned);
        if let Some((from, to)) = header.rename {
            if !hunks.is_empty() {
                self.edits.push(Edit::Hunks { path: resolve(&from), hunks });
            }
            self.edits.push(Edit::Rename { from: resolve(&from), to: resolve(&to) });
            return Ok(());
        }
        let Some(path) = new.or(old).map(|path| resolve(&path)) else {
            return Err(self.malformed(start, "the diff does not say which file it is for."));
        };
        if created {
            if hunks.len() > 1 || hunks.first().is_some_and(|hunk| !hunk.search.is_empty()) {
                return Err(self.malformed(start, "a new file is one hunk of `+` lines."));
            }
            let mut content = hunks.pop().unwrap_or_default();
            if content.last_line == LastLine::Unended {
                content.replace.pop();
            }
            self.edits.push(Edit::Create { path, content: content.replace });
        } else if deleted {
            // What the diff removes has to be what is there, or something else would be deleted.
            if hunks.iter().any(|hunk| !hunk.replace.is_empty()) {
                return Err(self.malformed(start, "a deleted file keeps no lines."));
            }
            let content = hunks.iter().map(|hunk| hunk.search.as_str()).collect();
            self.edits.push(Edit::Remove { path, content });
        } else if hunks.is_empty() {
            return Err(self.malformed(start, "the diff of this file has no hunk (`@@ … @@`)."));
        } else {
            self.edits.push(Edit::Hunks { path, hunks });
        }
        Ok(())
    }

    fn header(&mut self) -> Result<Header, Refusal> {
        let mut header = Header::default();
        let mut renamed = (None, None);
        let cannot = |what: &str| {
            let message = format!("The diff {what}, which cannot be carried out here. Leave that part out.");
            Err(Refusal::new(Code::Malformed, "", message))
        };
        if let Some(names) = self.lines[self.at].strip_prefix("diff --git ") {
            if let Some((old, new)) = git_names(names) {
                (header.old, header.new) = (Some(old), Some(new));
            }
            self.at += 1;
        }
        while let Some(line) = self.lines.get(self.at).copied() {
            if is_header(&self.lines, self.at) {
                let (old, new) = (file_name(&line[4..]), file_name(&self.lines[self.at + 1][4..]));
                let (old, new) = match (old.strip_prefix("a/"), new.strip_prefix("b/")) {
                    (Some(old), Some(new)) => (old.to_owned(), new.to_owned()),
                    (Some(bare), None) if new == "/dev/null" => (bare.to_owned(), new),
                    (None, Some(bare)) if old == "/dev/null" => (old, bare.to_owned()),
                    _ => (old, new),
                };
                (header.old, header.new) = (Some(old), Some(new));
                self.at += 2;
                break;
            }
            let is_mode = |line: &str| line.ends_with(" 100644") || line.ends_with(" 100664");
            if let Some(path) = line.strip_prefix("rename from ") {
                renamed.0 = Some(unquoted(path));
            } else if let Some(path) = line.strip_prefix("rename to ") {
                renamed.1 = Some(unquoted(path));
            } else if line.starts_with("new file mode ") {
                if !is_mode(line) {
                    return cannot("makes an executable file or a link");
                }
                header.created = true;
            } else if line.starts_with("deleted file mode ") {
                header.deleted = true;
            } else if line.starts_with("old mode ") || line.starts_with("new mode ") {
                return cannot("changes a file's mode");
            } else if line.starts_with("copy from ") || line.starts_with("copy to ") {
                return cannot("copies a file");
            } else if line.starts_with("GIT binary patch") || line.starts_with("Binary files ") {
                return Err(Refusal::new(
                    Code::Binary,
                    "",
                    "The diff changes a binary file, which is not text.",
                ));
            } else if !(line.starts_with("index ") || line.contains("similarity index ")) {
                break;
            }
            self.at += 1;
        }
        if let (Some(from), Some(to)) = renamed {
            header.rename = Some((from, to));
        }
        Ok(header)
    }

    fn hunk(&mut self) -> Result<Hunk, Refusal> {
        let start = self.at;
        let (counts, section) = counts(self.lines[start]);
        self.at += 1;
        let mut body = Body::default();
        let counted = counts.map(|counts| (counts.old, counts.new));
        let mut left = counted;
        while let Some(line) = self.lines.get(self.at).copied() {
            if left == Some((0, 0)) && !line.starts_with('\\') && self.ends_hunk() {
                break;
            }
            let (sign, text) = match line.chars().next() {
                None => (' ', ""),
                Some(sign @ (' ' | '+' | '-' | '\\')) => (sign, &line[1..]),
                Some(_) => break,
            };
            // With lines left to come, `--- x` is a removed line; without, it is the next file.
            if left.is_none_or(|(old, new)| old + new == 0) && self.ends_hunk() {
                break;
            }
            body.push(sign, text);
            left = left.map(|(old, new)| match sign {
                '+' => (old, new.saturating_sub(1)),
                '-' => (old.saturating_sub(1), new),
                ' ' => (old.saturating_sub(1), new.saturating_sub(1)),
                _ => (old, new),
            });
            self.at += 1;
        }
        let at_end = self.at >= self.lines.len() || fence_line(self.lines[self.at]).is_some();
        if at_end && left.is_some_and(|(old, new)| old + new > 0) && body.counts() != (0, 0) {
            let what = format!("the hunk at line {} has fewer lines than its `@@` line says", start + 1);
            return Err(Refusal::new(
                Code::Truncated,
                "",
                format!("{what}: it may be cut. Write it to its end."),
            ));
        }
        if counted != Some(body.counts()) {
            body.drop_blank_end();
        }
        if body.counts() == (0, 0) {
            return Err(self.malformed(start, "the hunk has no lines."));
        }
        if counted != Some(body.counts()) && self.at < self.lines.len() && !self.is_boundary() {
            let what = "a line of the hunk begins with neither a space, nor `+`, nor `-`.";
            return Err(self.malformed(self.at, what));
        }
        let under = match counts {
            None => section.into_iter().collect(),
            Some(_) => Vec::new(),
        };
        Ok(body.into_hunk(under, counts.map(|counts| counts.line)))
    }

    /// Whether something other than a line of a hunk stands here.
    fn ends_hunk(&self) -> bool {
        let line = self.lines[self.at];
        begins(&self.lines, self.at)
            || line == "-- "
            || line.is_empty() && self.at + 1 == self.lines.len()
            || !line.is_empty() && !line.starts_with([' ', '+', '-', '\\'])
    }

    /// Whether what stands here may follow a hunk whose length nobody knows.
    fn is_boundary(&self) -> bool {
        let line = self.lines[self.at];
        line.starts_with("@@")
            || line.starts_with("*** ")
            || line.trim().is_empty()
            || line == "-- "
            || begins(&self.lines, self.at)
            || fence_line(line).is_some()
    }

    fn malformed(&self, at: usize, what: &str) -> Refusal {
        Refusal::new(Code::Malformed, "", format!("At line {} of the diff {what}", at + 1))
    }
}

/// The lines of a hunk on their way.
#[derive(Default)]
pub struct Body<'a> {
    lines: Vec<(char, &'a str)>,
    /// By side, whether its last line has no line end.
    open: (bool, bool),
}

impl<'a> Body<'a> {
    /// A line by its sign; `\` says that the line before has no end.
    pub fn push(&mut self, sign: char, text: &'a str) {
        match (sign, self.lines.last()) {
            ('\\', Some(('-', _))) => self.open.0 = true,
            ('\\', Some(('+', _))) => self.open.1 = true,
            ('\\', _) => self.open = (true, true),
            _ => self.lines.push((sign, text)),
        }
    }

    /// Lines of the old and of the new side.
    pub fn counts(&self) -> (usize, usize) {
        let without = |sign: char| self.lines.iter().filter(|(other, _)| *other != sign).count();
        (without('+'), without('-'))
    }

    /// Takes away blank context at the end: it is more often around the diff than of it.
    pub fn drop_blank_end(&mut self) {
        while self.lines.last().is_some_and(|(sign, text)| *sign == ' ' && text.trim().is_empty()) {
            self.lines.pop();
        }
    }

    pub fn into_hunk(self, under: Vec<String>, line: Option<usize>) -> Hunk {
        let side = |without: char| -> String {
            self.lines
                .iter()
                .filter(|(sign, _)| *sign != without)
                .flat_map(|(_, text)| [*text, "\n"])
                .collect()
        };
        let last_line = match self.open {
            (true, false) => LastLine::Ended,
            (false, true) => LastLine::Unended,
            _ => LastLine::Kept,
        };
        // A side that says that it has no end is at the end.
        let end = if self.open.0 { End::OfFile } else { End::Anywhere };
        Hunk { under, search: side('+'), replace: side('-'), line, end, last_line }
    }
}

#[derive(Clone, Copy)]
struct Counts {
    line: usize,
    old: usize,
    new: usize,
}

/// `@@ -12,3 +12,4 @@ section`: the numbers, if there are any, and the section.
fn counts(line: &str) -> (Option<Counts>, Option<String>) {
    let rest = line.trim_start_matches('@');
    let (numbers, section) = rest.split_once("@@").unwrap_or((rest, ""));
    let range = |text: &str, sign: char| -> Option<(usize, usize)> {
        let text = text.strip_prefix(sign)?;
        let (line, count) = text.split_once(',').unwrap_or((text, "1"));
        Some((line.parse().ok()?, count.parse().ok()?))
    };
    let mut words = numbers.split_whitespace();
    let found = (|| {
        let (line, old) = range(words.next()?, '-')?;
        let (_, new) = range(words.next()?, '+')?;
        Some(Counts { line, old, new })
    })();
    // Without numbers the line may hold the header alone: `@@ def f():` or `@@ def f(): @@`.
    let section = if found.is_some() { section } else { numbers };
    let section = section.strip_prefix(' ').unwrap_or(section).trim_end();
    let says = section.chars().any(char::is_alphanumeric);
    (found, says.then(|| section.to_owned()))
}

/// The names of `diff --git a/x b/x`, where they can be told apart: both are the same, or quoted.
fn git_names(text: &str) -> Option<(String, String)> {
    let bare = |old: &str, new: &str| {
        let (old, new) = (unquoted(old), unquoted(new));
        Some((old.strip_prefix("a/")?.to_owned(), new.strip_prefix("b/")?.to_owned()))
    };
    let halves = text.match_indices(' ').map(|(at, _)| (&text[..at], &text[at + 1..]));
    let mut same = halves.filter_map(|(old, new)| bare(old, new)).filter(|(old, new)| old == new);
    same.next()
}

/// A name in a header, up to the tab before a date.
fn file_name(text: &str) -> String {
    let text = text.split('\t').next().unwrap_or(text);
    unquoted(text.trim_end())
}

/// A name as git quotes it: `"a\303\244.txt"`.
fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(digit @ b'0'..=b'3') => {
                let mut value = digit - b'0';
                for _ in 0..2 {
                    if let Some(digit @ b'0'..=b'7') = rest.peek().copied() {
                        value = value.wrapping_mul(8).wrapping_add(digit - b'0');
                        rest.next();
                    }
                }
                bytes.push(value);
            }
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'r') => bytes.push(b'\r'),
            Some(other) => bytes.push(other),
            None => bytes.push(b'\\'),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
