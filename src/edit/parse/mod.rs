//! Reads a model's answer into edits: lenient in form, strict in meaning. Pure.
//!
//! Forgiven are preambles, thoughts, fences, decorated paths, marks of other lengths. Never
//! forgiven are a block that does not end, a block whose file is not clear, and text of which it is
//! not clear whether it belongs to a block: a refused answer costs a question, half an edit costs a
//! file. It must not know the disk, so it cannot say whether a path exists.
//!
//! An answer that the server cut off (`StopReason::Length`) must not come here: where it was cut may
//! look like an end.

mod codex;
mod fence;
mod marks;
mod name;
mod thought;
mod unified;

use serde::{Deserialize, Serialize};

use self::marks::Fence;
use super::{Code, Edit, Planned, Refusal, gate::is_prose};

/// The form that the model was asked for. Marked blocks and directives are read in each of the first
/// four; the form decides what a fence without marks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `<<<<<<< SEARCH` blocks. A fence under a path is a new file, and an example otherwise.
    SearchReplace,
    /// A path and a fence with the file's whole text.
    Whole,
    /// A fence with one definition's whole text, below `SYMBOL path name` or where it is clear which.
    Symbol,
    /// `<<<<<<< LINES tag tag` blocks.
    AnchoredLines,
    /// A unified diff.
    Unified,
    /// `*** Begin Patch`.
    Codex,
}

impl Format {
    /// The form of a text that nobody asked for in any particular one.
    pub fn detect(answer: &str) -> Format {
        let Ok(answer) = thought::strip(answer) else { return Format::SearchReplace };
        let lines: Vec<&str> = answer.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if codex::begins(line) {
                return Format::Codex;
            }
            if marks::opening(line).is_some() {
                return Format::SearchReplace;
            }
            if marks::tagged(line).is_some() {
                return Format::AnchoredLines;
            }
            if unified::begins(&lines, at) {
                return Format::Unified;
            }
            if matches!(name::read(line, &Planned::Any), Some(name::Line::Symbol(..))) {
                return Format::Symbol;
            }
        }
        Format::Whole
    }
}

/// What an answer is read against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub format: Format,
    pub planned: Planned,
    /// The definition that [`Format::Symbol`] asked for, where the answer need not name it.
    pub symbol: Option<String>,
}

/// Reads all edits of an answer, in its order.
///
/// # Errors
/// The first thing that is unclear, as one of [`Code::NoEdits`], [`Code::Truncated`],
/// [`Code::Malformed`] and [`Code::MissingPath`]. Paths are checked by the gate, not here.
pub fn parse(answer: &str, expected: &Expected) -> Result<Vec<Edit>, Refusal> {
    match expected.format {
        Format::Unified => return unified::parse(&thought::strip(answer)?, &expected.planned),
        Format::Codex => return codex::parse(&thought::strip(answer)?, &expected.planned),
        _ => {}
    }
    let lines = answer.lines().collect();
    let mut reader = Reader {
        expected,
        lines,
        at: 0,
        edits: Vec::new(),
        named: None,
        beside: None,
        mentions: Vec::new(),
        open: None,
    };
    while reader.at < reader.lines.len() {
        reader.line()?;
    }
    match reader.edits.is_empty() {
        false => Ok(reader.edits),
        true => Err(Refusal::new(Code::NoEdits, "", no_edits(expected.format))),
    }
}

/// Length of the marks in the format that models are asked for.
const USUAL_LENGTH: usize = 7;

fn no_edits(format: Format) -> &'static str {
    match format {
        Format::SearchReplace => {
            "The answer has no edit. Write the path of the file on a line, then a line `<<<<<<< SEARCH`, \
             the lines to find, a line `=======`, the new lines, and a line `>>>>>>> REPLACE`."
        }
        Format::Whole => {
            "The answer has no file. Write the path of the file on a line, and below it the whole \
             new text of the file in a fence of ``` lines."
        }
        Format::Symbol => {
            "The answer has no code. Write the whole new text of the definition, and nothing else, in a fence \
             of ``` lines."
        }
        Format::AnchoredLines => {
            "The answer has no edit. Write a line `<<<<<<< LINES FIRST LAST` with the tags of the first and the \
             last line to replace, then the new lines, then a line `>>>>>>> REPLACE`."
        }
        Format::Unified | Format::Codex => "The answer has no edit.",
    }
}

/// The path that a line gave, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Change(String),
    Create(String),
    /// A definition of a file.
    Symbol(String, String),
}

impl Target {
    fn path(&self) -> &str {
        match self {
            Target::Change(path) | Target::Create(path) | Target::Symbol(path, _) => path,
        }
    }
}

/// How a line named a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// The line is the name: a heading of what follows.
    Alone,
    /// The line is a sentence that speaks of it: enough for a marked block, not for a whole file.
    InProse,
}

/// Walks an answer outside of blocks; blocks are taken whole.
struct Reader<'a> {
    expected: &'a Expected,
    lines: Vec<&'a str>,
    at: usize,
    edits: Vec<Edit>,
    /// The file that the answer is about, until another line names one.
    named: Option<Target>,
    /// The file that the line above names, blank lines aside, and how.
    beside: Option<(Target, Said)>,
    /// Planned files that prose spoke of since a file was named.
    mentions: Vec<String>,
    /// The fence around blocks that has not been closed yet.
    open: Option<Fence<'a>>,
}

impl<'a> Reader<'a> {
    /// Takes one line, or all lines of the block that begins here.
    fn line(&mut self) -> Result<(), Refusal> {
        let line = self.lines[self.at];
        let text = line.trim();
        if text.starts_with("<think>") || text.starts_with("<thinking>") {
            return self.skip_thought();
        }
        if let Some(rest) = ["</think>", "</thinking>"].iter().find_map(|tag| text.strip_prefix(tag)) {
            // The tag that opened it was in the prompt: everything until here was thought.
            self.edits.clear();
            (self.named, self.beside, self.open) = (None, None, None);
            self.mentions.clear();
            self.lines[self.at] = rest;
            return Ok(());
        }
        if let Some((length, inline)) = marks::opening(line) {
            return self.block(length, inline);
        }
        if let Some((length, tags)) = marks::tagged(line) {
            return self.tagged(length, tags);
        }
        if marks::ending(line).is_some() {
            return Err(self.malformed(
                self.at,
                "there is a `>>>>>>> REPLACE` line without its block. If the file itself holds such \
                 lines, use longer marks (`<<<<<<<<< SEARCH`, `=========`, `>>>>>>>>> REPLACE`) around it.",
            ));
        }
        if let Some(fence) = marks::fence(line) {
            return self.fence(fence);
        }
        self.at += 1;
        if text.is_empty() {
            return Ok(());
        }
        self.beside = None;
        match name::read(line, &self.expected.planned) {
            Some(name::Line::Path(path)) => self.name(Target::Change(path)),
            Some(name::Line::Create(path)) => self.name(Target::Create(path)),
            Some(name::Line::Symbol(path, symbol)) => self.name(Target::Symbol(path, symbol)),
            Some(name::Line::Delete(path)) => self.edits.push(Edit::Delete { path }),
            Some(name::Line::Rename(from, to)) => self.edits.push(Edit::Rename { from, to }),
            None => {
                if let Some(path) = name::mentioned(line, &self.expected.planned) {
                    self.beside = Some((Target::Change(path.clone()), Said::InProse));
                    self.mentions.push(path);
                }
            }
        }
        Ok(())
    }

    fn name(&mut self, target: Target) {
        self.beside = Some((target.clone(), Said::Alone));
        self.named = Some(target);
        self.mentions.clear();
    }

    fn skip_thought(&mut self) -> Result<(), Refusal> {
        for at in self.at..self.lines.len() {
            let ends = ["</think>", "</thinking>"]
                .iter()
                .find_map(|tag| self.lines[at].find(tag).map(|start| start + tag.len()));
            if let Some(end) = ends {
                self.lines[at] = &self.lines[at][end..];
                self.at = at;
                return Ok(());
            }
        }
        Err(thought::unfinished())
    }

    /// New lines for a range of tags.
    fn tagged(&mut self, length: usize, tags: &str) -> Result<(), Refusal> {
        let start = self.at;
        let path = self.target_of_block("")?;
        let end = self.end_of_block(start, length, &path)?;
        let words = tags.split([' ', ',', '.', '-']).map(|word| word.trim_matches('`'));
        let mut words = words.filter(|word| !word.is_empty());
        let (Some(first), last, None) = (words.next(), words.next(), words.next()) else {
            let what =
                "the `LINES` line does not name one tag or two, such as `<<<<<<< LINES 12:a3f 15:0c1`.";
            return Err(self.malformed(start, what));
        };
        let body = &self.lines[start + 1..end];
        if body.iter().any(|line| marks::divider(line) == Some(length)) {
            let what =
                "the block has a `=======` line. Write the new lines only, not those that they replace.";
            return Err(self.malformed(start, what));
        }
        let content = join(body);
        let content = super::tag::untagged(&content).unwrap_or(content);
        let (first, last) = (first.to_owned(), last.unwrap_or(first).to_owned());
        self.edits.push(Edit::Lines { path: path.clone(), first, last, content });
        self.named = Some(Target::Change(path));
        self.beside = None;
        self.mentions.clear();
        self.at = end + 1;
        Ok(())
    }

    /// A SEARCH/REPLACE block that opens at the current line.
    fn block(&mut self, length: usize, inline: &str) -> Result<(), Refusal> {
        let start = self.at;
        let path = self.target_of_block(inline)?;
        let end = self.end_of_block(start, length, &path)?;
        let divider = self.divider(start, end, length)?;
        let search = &self.lines[start + 1..divider];
        let replace = &self.lines[divider + 1..end];
        let (search, replace) = match (inside_fence(search), inside_fence(replace)) {
            // A fence within both halves is form, save where fences are content.
            (Some(search), Some(replace)) if !is_prose(&path) => (search, replace),
            _ => (search, replace),
        };
        self.edits.push(Edit::Replace { path: path.clone(), search: join(search), replace: join(replace) });
        self.named = Some(Target::Change(path));
        self.beside = None;
        self.mentions.clear();
        self.at = end + 1;
        Ok(())
    }

    fn target_of_block(&self, inline: &str) -> Result<String, Refusal> {
        if !inline.is_empty() {
            return Ok(match name::read(inline, &self.expected.planned) {
                Some(name::Line::Path(path)) => path,
                _ => name::resolve(inline, &self.expected.planned),
            });
        }
        let beside = self.beside.as_ref().map(|(target, _)| target);
        if let Some(target) = beside.or(self.named.as_ref()) {
            return Ok(target.path().to_owned());
        }
        if let Some(first) =
            self.mentions.first().filter(|first| self.mentions.iter().all(|path| path == *first))
        {
            return Ok(first.clone());
        }
        match self.expected.planned.paths() {
            [only] => Ok(only.clone()),
            paths => Err(Refusal::new(
                Code::MissingPath,
                "",
                format!(
                    "It is not clear which file the block at line {} is for. Write the path on a line of its \
                     own above the block{}.",
                    self.at + 1,
                    choices(paths)
                ),
            )),
        }
    }

    /// The line that ends the block: the next one whose mark is as long as the opening, or, when
    /// there is none before the next block, the first of any length. Whoever opens with a longer
    /// mark than usual does so because shorter ones are content.
    fn end_of_block(&self, start: usize, length: usize, path: &str) -> Result<usize, Refusal> {
        let mut other_length = None;
        for (at, line) in self.lines.iter().enumerate().skip(start + 1) {
            let opening = marks::opening(line).or_else(|| marks::tagged(line));
            match (marks::ending(line), opening) {
                (Some(found), _) if found == length => return Ok(at),
                (Some(_), _) if length <= USUAL_LENGTH => other_length = other_length.or(Some(at)),
                (None, Some((found, _))) if found == length => break,
                _ => {}
            }
        }
        other_length.ok_or_else(|| {
            Refusal::new(
                Code::Truncated,
                path,
                format!(
                    "The block that starts at line {} of the answer has no `>>>>>>> REPLACE` line. Write \
                     every block to its end; make several small blocks rather than one long.",
                    start + 1
                ),
            )
        })
    }

    fn divider(&self, start: usize, end: usize, length: usize) -> Result<usize, Refusal> {
        let found: Vec<(usize, usize)> = (start + 1..end)
            .filter_map(|at| marks::divider(self.lines[at]).map(|length| (at, length)))
            .collect();
        let as_long: Vec<usize> =
            found.iter().filter(|(_, found)| *found == length).map(|(at, _)| *at).collect();
        match (found.as_slice(), as_long.as_slice()) {
            ([(at, _)], _) if length <= USUAL_LENGTH => Ok(*at),
            (_, [at]) => Ok(*at),
            (_, []) => Err(self.malformed(
                start,
                "the block has no `=======` line (as long as its other marks) between the lines to find and \
                 the new lines.",
            )),
            _ => Err(self.malformed(
                start,
                "the block has more than one `=======` line. If the file itself holds such lines, use longer \
                 marks (`<<<<<<<<< SEARCH`, `=========`, `>>>>>>>>> REPLACE`); otherwise write one block \
                 for each change.",
            )),
        }
    }

    fn malformed(&self, at: usize, what: &str) -> Refusal {
        Refusal::new(Code::Malformed, "", format!("At line {} of the answer {what}", at + 1))
    }
}

/// A fence line, for readers of other forms that may stand in one.
fn fence_line(line: &str) -> Option<Fence<'_>> {
    marks::fence(line)
}

fn join(lines: &[&str]) -> String {
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}

/// The lines between a fence on the first and one on the last line.
fn inside_fence<'a, 'b>(lines: &'b [&'a str]) -> Option<&'b [&'a str]> {
    let [first, inner @ .., last] = lines else { return None };
    let open = marks::fence(first)?;
    marks::fence(last)?.closes(&open).then_some(inner)
}

fn choices(paths: &[String]) -> String {
    match paths {
        [] => String::new(),
        paths => format!(": {}", paths.join(", ")),
    }
}

#[cfg(test)]
mod tests;
