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

    /// A fence line outside of blocks: the end of a fence around blocks, a file, or an example.
    fn fence(&mut self, fence: Fence<'a>) -> Result<(), Refusal> {
        if self.open.is_some_and(|open| fence.closes(&open)) {
            self.open = None;
            self.at += 1;
            return Ok(());
        }
        let in_info = name_in_info(fence.info, &self.expected.planned);
        if self.is_around_edits(&fence) {
            if let Some(path) = in_info {
                self.name(Target::Change(path));
            }
            self.open = Some(fence);
            self.at += 1;
            return Ok(());
        }
        if in_info.is_none()
            && self.beside.is_none()
            && let Some(path) = self.only_name_in(&fence)
        {
            self.name(Target::Change(path));
            self.at += 3;
            return Ok(());
        }
        match self.target_of_fence(&fence, in_info) {
            Some((target, first)) => self.file(fence, target, first),
            None => {
                self.skip_example(fence);
                Ok(())
            }
        }
    }

    /// The path that is all that stands in a fence: some models give it one of its own.
    fn only_name_in(&self, fence: &Fence<'_>) -> Option<String> {
        let [inside, end, ..] = self.lines.get(self.at + 1..)? else { return None };
        let closes = marks::fence(end).is_some_and(|end| end.closes(fence));
        match name::read(inside, &self.expected.planned) {
            Some(name::Line::Path(path)) if closes => Some(path),
            _ => None,
        }
    }

    /// Whether blocks or directives, rather than a file's text, stand in the fence.
    fn is_around_edits(&self, fence: &Fence<'_>) -> bool {
        let mut inside = self.lines[self.at + 1..].iter().filter(|line| !line.trim().is_empty());
        let Some(first) = inside.next() else { return false };
        let is_block = |line: &str| marks::opening(line).is_some() || marks::tagged(line).is_some();
        if is_block(first) {
            return true;
        }
        match name::read(first, &self.expected.planned) {
            Some(name::Line::Path(_) | name::Line::Create(_)) => {
                inside.next().is_some_and(|second| is_block(second))
            }
            Some(name::Line::Delete(_) | name::Line::Rename(..)) => {
                let directive = |line: &str| {
                    matches!(
                        name::read(line, &self.expected.planned),
                        Some(name::Line::Delete(_) | name::Line::Rename(..))
                    )
                };
                inside
                    .find(|line| !directive(line))
                    .and_then(|line| marks::fence(line))
                    .is_some_and(|end| end.closes(fence))
            }
            Some(name::Line::Symbol(..)) | None => false,
        }
    }

    /// Which file the text in a fence is, and at which line after the fence it begins. `None` makes
    /// it an example.
    fn target_of_fence(&self, fence: &Fence<'_>, in_info: Option<String>) -> Option<(Target, usize)> {
        let planned = &self.expected.planned;
        let first = self.lines.get(self.at + 1).copied().unwrap_or_default();
        // A bare path on the first line is an echo. Behind a comment sign it may be the file's own.
        let echoed = planned.paths().iter().find(|path| *path == first.trim());
        let whole = matches!(self.expected.format, Format::Whole | Format::Symbol);
        let awaited = |target: &Target| whole && !is_shell(fence.info) && !self.is_given(target.path());
        let beside = match &self.beside {
            Some((target, Said::Alone)) => Some(target.clone()),
            Some((target, Said::InProse)) => Some(target.clone()).filter(awaited),
            None => None,
        };
        let given = in_info.map(Target::Change).or(beside).or_else(|| self.named.clone().filter(awaited));
        if let Some(target) = given {
            let skipped = usize::from(echoed.is_some_and(|path| path == target.path()));
            return Some((target, skipped));
        }
        if let Some(path) = echoed {
            return Some((Target::Change(path.clone()), 1));
        }
        if let Some(name::Line::Path(path)) = name::read(first, planned)
            && planned.paths().contains(&path)
        {
            return Some((Target::Change(path), 1));
        }
        match planned.paths() {
            [only] => Some(Target::Change(only.clone())).filter(awaited).map(|target| (target, 0)),
            _ => None,
        }
    }

    fn is_given(&self, path: &str) -> bool {
        self.edits.iter().any(|edit| edit.path() == path)
    }

    /// The whole text of a file in a fence that opens at the current line.
    fn file(&mut self, fence: Fence<'a>, target: Target, skipped: usize) -> Result<(), Refusal> {
        let path = target.path().to_owned();
        let end = self.end_of_file(&fence, &path)?;
        let first = (self.at + 1 + skipped).min(end);
        let content = join(&self.lines[first..end]);
        let asked = self.expected.symbol.clone();
        self.edits.push(match (target, self.expected.format, asked) {
            (Target::Symbol(path, symbol), ..) | (Target::Change(path), Format::Symbol, Some(symbol)) => {
                Edit::Symbol { path, symbol, content }
            }
            (Target::Change(path), Format::Whole, _) => Edit::Whole { path, content },
            (Target::Create(path) | Target::Change(path), ..) => Edit::Create { path, content },
        });
        self.named = Some(Target::Change(path));
        self.beside = None;
        self.mentions.clear();
        self.at = end + 1;
        Ok(())
    }

    /// The fence that closes a file's text. Files hold fences themselves (READMEs, docstrings), so
    /// the first one that could close is taken only if what follows it makes sense without it; in
    /// Markdown the last one is taken otherwise, and elsewhere nothing is guessed.
    fn end_of_file(&self, open: &Fence<'_>, path: &str) -> Result<usize, Refusal> {
        let limit = self.next_section(open);
        let fences: Vec<(usize, Fence<'_>)> = (self.at + 1..limit)
            .filter_map(|at| marks::fence(self.lines[at]).map(|fence| (at, fence)))
            .filter(|(_, fence)| fence.mark == open.mark && fence.length >= open.length)
            .collect();
        let mut depth = 0usize;
        let first = fences.iter().position(|(_, fence)| {
            match fence.info.is_empty() {
                false => depth += 1,
                true if depth == 0 => return true,
                true => depth -= 1,
            }
            false
        });
        let Some(first) = first else {
            return Err(Refusal::new(
                Code::Truncated,
                path,
                format!(
                    "The fence that opens at line {} of the answer is never closed. Write the file to its end, \
                     then a line ```.",
                    self.at + 1
                ),
            ));
        };
        let mut inside = false;
        let rest_is_examples = fences[first + 1..].iter().all(|(_, fence)| {
            let expected = fence.info.is_empty() == inside;
            inside = !inside;
            expected
        }) && !inside;
        let last = fences.iter().rposition(|(_, fence)| fence.info.is_empty()).unwrap_or(first);
        match rest_is_examples {
            true => Ok(fences[first].0),
            false if is_prose(path) => Ok(fences[last].0),
            false => Err(self.malformed(
                self.at,
                "it is not clear where the file ends, since it holds ``` lines. Put a fence of four \
                 backticks (````) around the file.",
            )),
        }
    }

    /// The line at which another planned file's own fence or block begins, after a fence that could
    /// close this one; the number of lines when there is none.
    fn next_section(&self, open: &Fence<'_>) -> usize {
        let mut closed = false;
        for at in self.at + 1..self.lines.len() {
            let line = self.lines[at];
            if marks::fence(line).is_some_and(|fence| fence.closes(open)) {
                closed = true;
                continue;
            }
            let names_file = closed
                && matches!(name::read(line, &self.expected.planned),
                    Some(name::Line::Path(path) | name::Line::Create(path) | name::Line::Symbol(path, _))
                        if self.expected.planned.paths().contains(&path));
            let next = self.lines[at + 1..].iter().find(|line| !line.trim().is_empty());
            if names_file
                && next.is_some_and(|next| marks::fence(next).is_some() || marks::opening(next).is_some())
            {
                return at;
            }
        }
        self.lines.len()
    }

    /// Steps over a fence that is no file. If a block turns up before its end, only over the fence
    /// line itself: the block counts, whatever is around it.
    fn skip_example(&mut self, open: Fence<'a>) {
        self.beside = None;
        for at in self.at + 1..self.lines.len() {
            if marks::opening(self.lines[at]).is_some() || marks::tagged(self.lines[at]).is_some() {
                break;
            }
            if marks::fence(self.lines[at]).is_some_and(|fence| fence.closes(&open)) {
                self.at = at + 1;
                return;
            }
        }
        self.open = Some(open);
        self.at += 1;
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

/// A path in a fence's info string: `rust src/a.rs`, `rust:src/a.rs`, `src/a.rs`, `title="src/a.rs"`.
fn name_in_info(info: &str, planned: &Planned) -> Option<String> {
    info.split([' ', ':', '=', '"', '\'', '{', '}', ',']).find_map(|word| match name::read(word, planned) {
        Some(name::Line::Path(path)) => Some(path),
        _ => None,
    })
}

/// Languages of fences that show what to type or what is printed.
fn is_shell(info: &str) -> bool {
    let language = info.split([' ', ':']).next().unwrap_or_default();
    ["bash", "sh", "shell", "console", "zsh", "text", "output", "powershell"]
        .iter()
        .any(|known| language.eq_ignore_ascii_case(known))
}

fn choices(paths: &[String]) -> String {
    match paths {
        [] => String::new(),
        paths => format!(": {}", paths.join(", ")),
    }
}

#[cfg(test)]
mod tests;
