//! Fences outside of marked blocks: around blocks, around a whole file or a definition, or around an example
//! that is passed over. It must not know what is in a marked block.

use super::marks::{self, Fence};
use super::{Format, Reader, Said, Target, join, name};
use crate::edit::{Code, Edit, Planned, Refusal, gate::is_prose};

impl<'a> Reader<'a> {
    /// A fence line outside of blocks: the end of a fence around blocks, a file, or an example.
    pub(super) fn fence(&mut self, fence: Fence<'a>) -> Result<(), Refusal> {
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
