//! The blocks of one file, each brought to its place: by its lines, by a diff's hunks, by a
//! definition's name, by tags. It must not know other files, nor what else the answer does.

use super::{explain, explain::Sought};
use crate::edit::{
    Code, Refusal,
    anchor::{self, Anchor, Shift, Tier},
    diff::{self, Hunk, LastLine},
    gate::{self, Gates},
    grammar::{self, Definition},
    tag,
};

/// An edit of a part of a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Block<'e> {
    Lines { search: &'e str, replace: &'e str },
    Hunks(&'e [Hunk]),
    Symbol { symbol: &'e str, content: &'e str },
    Tagged { first: &'e str, last: &'e str, content: &'e str },
}

/// A block that has its place, and the bytes that go there.
pub(super) struct Placed {
    pub anchor: Anchor,
    pub text: String,
}

/// The text in which the blocks of one file are placed: as it was before the answer.
pub(super) struct Place<'a> {
    pub gates: &'a Gates<'a>,
    pub path: &'a str,
    /// The path that the file has on the disk.
    pub key: &'a str,
    pub text: &'a str,
    pub lines: &'a [&'a str],
}

impl Place<'_> {
    /// Most blocks have one place; the hunks of a diff have one each. `last_line` tells what becomes of
    /// the file's last line end.
    pub fn block(&self, block: Block<'_>, last_line: &mut LastLine) -> Result<Vec<Placed>, Refusal> {
        match block {
            Block::Lines { search, replace } => {
                let placed = self.lines(search, replace)?;
                self.unchanged(placed).map(|placed| vec![placed])
            }
            Block::Hunks(hunks) => self.hunks(hunks, last_line),
            Block::Symbol { symbol, content } => {
                let placed = self.symbol(symbol, content)?;
                self.unchanged(placed).map(|placed| vec![placed])
            }
            Block::Tagged { first, last, content } => {
                let placed = self.tagged(first, last, content)?;
                self.unchanged(placed).map(|placed| vec![placed])
            }
        }
    }

    fn lines(&self, search: &str, replace: &str) -> Result<Placed, Refusal> {
        let regions = &self.gates.regions;
        let region = regions.get(self.path).or_else(|| regions.get(self.key));
        let region = region.map(|region| region.first_line.saturating_sub(1)..region.last_line);
        let anchor = anchor::locate(self.lines, &anchor::lines(search), region, self.gates.several)
            .map_err(|miss| explain::missed(&self.sought(search, replace, &|| self.definitions()), miss))?;
        self.fitted(anchor, search, replace)
    }

    /// All hunks of a diff, each below the one before.
    fn hunks(&self, hunks: &[Hunk], last_line: &mut LastLine) -> Result<Vec<Placed>, Refusal> {
        let mut placed: Vec<Placed> = Vec::new();
        let mut from = 0;
        for hunk in hunks {
            let added = hunk.search.is_empty() && hunk.end == diff::End::OfFile;
            let found = match (added, self.lines.last()) {
                // New lines at the end: behind the last line.
                (true, Some(last)) if from < self.lines.len() => {
                    let at = self.lines.len() - 1;
                    let last = format!("{}\n", anchor::content(last));
                    let replace = format!("{last}{}", hunk.replace);
                    self.fitted(Anchor::lines(at..at + 1, Tier::Exact), &last, &replace)?
                }
                _ => {
                    let anchor =
                        diff::locate(self.lines, hunk, from, self.gates.several).map_err(|lost| {
                            explain::lost(
                                &self.sought(&hunk.search, &hunk.replace, &|| self.definitions()),
                                lost,
                            )
                        })?;
                    self.fitted(anchor, &hunk.search, &hunk.replace)?
                }
            };
            from = found.anchor.lines.end;
            if hunk.last_line != LastLine::Kept {
                *last_line = hunk.last_line;
            }
            placed.push(found);
        }
        Ok(placed)
    }

    /// The whole text of a definition in its place.
    fn symbol(&self, symbol: &str, content: &str) -> Result<Placed, Refusal> {
        let definitions = self.definitions();
        let found = match grammar::named(&definitions, symbol).as_slice() {
            [] => return Err(explain::no_such_definition(self.path, symbol, &definitions)),
            [only] => (*only).clone(),
            several => return Err(explain::several_definitions(self.path, symbol, several)),
        };
        let content = content.trim_start_matches(['\r', '\n']).trim_end();
        let new: Vec<&str> = content.lines().collect();
        // Comments above belong to the definition if the model gave some; otherwise they stay.
        let start =
            found.start(self.lines, new.first().map_or(grammar::Begins::Code, |line| grammar::begins(line)));
        let anchor = Anchor::lines(start..found.lines.end, Tier::Named);
        let old = &self.lines[anchor.lines.clone()];
        let Some(new) = indented_like(old, &new) else {
            return Err(explain::not_that_definition(self.path, symbol));
        };
        let placed = self.fitted(anchor, &old.concat(), &new)?;
        self.is_definition(&found, &placed, &new)
            .then_some(placed)
            .ok_or_else(|| explain::not_that_definition(self.path, symbol))
    }

    /// Whether the new text is made of definitions that stand where the old one stood, and of nothing
    /// that was around it.
    fn is_definition(&self, old: &Definition, placed: &Placed, new: &str) -> bool {
        let start = placed.anchor.lines.start;
        let lines = start..start + anchor::lines(new).len();
        let text = anchor::splice(self.lines, vec![(placed.anchor.lines.clone(), placed.text.clone())]);
        let within: Vec<Definition> = (self.gates.definitions)(self.path, &text)
            .into_iter()
            .filter(|one| lines.contains(&one.lines.start))
            .collect();
        let twin = |one: &Definition| {
            one.name != old.name
                && one.container == old.container
                && self.definitions().iter().any(|known| {
                    known.name == one.name
                        && known.container == one.container
                        && !placed.anchor.lines.contains(&known.lines.start)
                })
        };
        let outermost = within.iter().min_by_key(|one| (one.lines.start, usize::MAX - one.lines.end));
        // What is around the definition may have been written with it: the container in itself.
        outermost
            .is_some_and(|one| one.container == old.container && Some(&one.name) != old.container.as_ref())
            && within.iter().all(|one| one.lines.end <= lines.end && !twin(one))
    }

    fn tagged(&self, first: &str, last: &str, content: &str) -> Result<Placed, Refusal> {
        let at = |given: &str| {
            tag::resolve(self.lines, given).ok_or_else(|| explain::no_such_tag(self.path, self.lines, given))
        };
        let (start, end) = (at(first)?, at(last)?);
        if end < start {
            return Err(explain::tags_reversed(self.path));
        }
        let anchor = Anchor::lines(start..end + 1, Tier::Named);
        let old: String = self.lines[start..=end].concat();
        self.fitted(anchor, &old, content)
    }

    /// A place with its new bytes.
    fn fitted(&self, anchor: Anchor, old: &str, new: &str) -> Result<Placed, Refusal> {
        if new.contains('\0') {
            let message = "The new text holds a NUL character. Write text only.";
            return Err(Refusal::new(Code::Binary, self.path, message));
        }
        gate::placeholder(self.path, self.text, new)?;
        let text = anchor::rewrite(self.lines, &anchor, &anchor::lines(old), &anchor::lines(new));
        let text = text.ok_or_else(|| explain::unfit(self.path, self.lines, &anchor.lines))?;
        Ok(Placed { anchor, text })
    }

    fn unchanged(&self, placed: Placed) -> Result<Placed, Refusal> {
        match placed.text == self.lines[placed.anchor.lines.clone()].concat() {
            true => Err(explain::no_change(self.path)),
            false => Ok(placed),
        }
    }

    fn definitions(&self) -> Vec<Definition> {
        (self.gates.definitions)(self.path, self.text)
    }

    fn sought<'s>(
        &'s self,
        search: &'s str,
        replace: &'s str,
        definitions: &'s dyn Fn() -> Vec<Definition>,
    ) -> Sought<'s> {
        Sought { path: self.path, lines: self.lines, search, replace, definitions }
    }
}

/// The lines of a definition, indented as the one that they replace: models write methods from the
/// margin, or cut the space in front of the first line only.
fn indented_like(old: &[&str], new: &[&str]) -> Option<String> {
    let (first, rest) = new.split_first()?;
    let wanted = anchor::front(anchor::content(old.first()?));
    let depth = |line: &&str| anchor::front(line).len();
    let shallowest = rest.iter().filter(|line| !line.trim().is_empty()).map(depth).min();
    let first_alone =
        anchor::front(first).len() < wanted.len() && shallowest.is_some_and(|depth| depth >= wanted.len());
    let text =
        |lines: Vec<String>| -> String { lines.into_iter().flat_map(|line| [line, "\n".into()]).collect() };
    if first_alone && (shallowest > Some(wanted.len()) || closes(rest, wanted)) {
        let first = format!("{wanted}{}", first.trim_start());
        return Some(text(
            std::iter::once(first).chain(rest.iter().map(|line| (*line).to_owned())).collect(),
        ));
    }
    let shift = Shift::between([(*first, anchor::content(old[0]))])?;
    new.iter().map(|line| shift.line(line)).collect::<Option<Vec<String>>>().map(text)
}

/// Whether the last line closes, at this indentation, what the first one opened.
fn closes(rest: &[&str], wanted: &str) -> bool {
    let last = rest.iter().rev().find(|line| !line.trim().is_empty());
    last.is_some_and(|line| {
        anchor::front(line) == wanted && line.trim_start().starts_with(['}', ')', ']', 'e'])
    })
}
