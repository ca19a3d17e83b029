//! The edits of one answer, laid over a copy of the proposed files. The overlay takes the copy if
//! nothing was refused; this must not judge what needs the text before and after as a whole.

use std::collections::BTreeMap;

use super::{
    File, Files, MARK, Now, explain, key, marked_like,
    place::{Block, Place},
    text,
    trace::{Rests, Trace},
    unmarked,
};
use crate::edit::{
    Code, Edit, Refusal,
    anchor::{self, Anchor, Tier},
    diff::LastLine,
    gate::{self, Gates},
    tree::{self, Tree},
};

/// The edits of one answer on their way.
pub(super) struct Staged<'a> {
    pub tree: &'a Tree,
    pub gates: &'a Gates<'a>,
    /// Before this answer: where blocks are placed.
    pub before: &'a Files,
    pub files: Files,
    pub trace: Trace,
    /// By the key of a file, what the answer does to it.
    pub claims: BTreeMap<String, Vec<Claim>>,
}

/// What an answer does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    Rename,
    Blocks,
    Text,
    Delete,
}

impl Claim {
    fn goes_with(self, other: Claim) -> bool {
        match (self, other) {
            (Claim::Blocks, Claim::Blocks) => true,
            (Claim::Rename, other) | (other, Claim::Rename) => matches!(other, Claim::Blocks | Claim::Text),
            _ => false,
        }
    }
}

impl Staged<'_> {
    /// Renames and whole files first, in order; then the blocks, file by file.
    pub fn lay(&mut self, edits: &[Edit], refusals: &mut Vec<Refusal>) {
        let mut blocks: BTreeMap<String, Vec<Block<'_>>> = BTreeMap::new();
        for edit in edits {
            let block = match edit {
                Edit::Replace { search, replace, .. } => Some(Block::Lines { search, replace }),
                Edit::Hunks { hunks, .. } => Some(Block::Hunks(hunks)),
                Edit::Symbol { symbol, content, .. } => Some(Block::Symbol { symbol, content }),
                Edit::Lines { first, last, content, .. } => Some(Block::Tagged { first, last, content }),
                _ => None,
            };
            let laid = match (edit, block) {
                (_, Some(block)) => self.part(edit.path(), block, &mut blocks),
                (Edit::Whole { path, content }, _) => self.write(path, content),
                (Edit::Create { path, content }, _) => match key(&self.files, path) {
                    Some(_) => Err(explain::exists(path)),
                    None => self.write(path, content),
                },
                (Edit::Remove { path, content }, _) => {
                    self.has_text(path, content).and_then(|()| self.delete(path))
                }
                (Edit::Delete { path }, _) => self.delete(path),
                (Edit::Rename { from, to }, _) => self.rename(from, to),
                // Every other edit is a block.
                _ => Ok(()),
            };
            refusals.extend(laid.err());
        }
        for (key, blocks) in blocks {
            self.replace(&key, &blocks, refusals);
        }
    }

    /// Keeps an edit of a part of a file for later; that of an empty or new file is its whole text.
    fn part<'e>(
        &mut self,
        path: &str,
        block: Block<'e>,
        blocks: &mut BTreeMap<String, Vec<Block<'e>>>,
    ) -> Result<(), Refusal> {
        let whole = match block {
            Block::Lines { search, replace } if search.trim().is_empty() => Some(replace),
            Block::Hunks([hunk]) if hunk.search.is_empty() => Some(hunk.replace.as_str()),
            _ => None,
        };
        match (self.key_before(path), whole) {
            (Some(key), _) if !self.is_empty(&key) => {
                blocks.entry(key.clone()).or_default().push(block);
                self.claim(&key, Claim::Blocks)
            }
            (Some(_), Some(text)) => self.write(path, text),
            (None, Some(text)) if matches!(block, Block::Lines { .. }) => self.write(path, text),
            (Some(_), None) => Err(explain::no_match_in_empty(path)),
            (None, _) => Err(explain::no_such_file(path)),
        }
    }

    /// Whether a file that is to be deleted is the one that was meant.
    fn has_text(&self, path: &str, content: &str) -> Result<(), Refusal> {
        let now = key(&self.files, path).and_then(|key| self.files.get(&key)?.now.as_ref());
        let Some(now) = now else { return Err(explain::no_such_file(path)) };
        let found = unmarked(text(path, &now.bytes)?);
        let contents =
            |text| anchor::lines(text).into_iter().map(|line| anchor::content(line).trim_end()).collect();
        let (found, expected): (Vec<&str>, Vec<&str>) = (contents(found), contents(content));
        match found == expected {
            true => Ok(()),
            false => Err(Refusal::new(
                Code::StaleBase,
                path,
                "The diff deletes this file with another text than it has. Make the diff anew.",
            )),
        }
    }

    /// The file that had this path before the answer, or got it by a rename in it.
    fn key_before(&self, path: &str) -> Option<String> {
        key(self.before, path).or_else(|| key(&self.files, path))
    }

    fn is_empty(&self, key: &str) -> bool {
        let now = self.files.get(key).and_then(|file| file.now.as_ref());
        now.is_some_and(|now| now.bytes.is_empty() || &now.bytes[..] == MARK.as_bytes())
    }

    fn claim(&mut self, key: &str, claim: Claim) -> Result<(), Refusal> {
        let claims = self.claims.entry(key.to_owned()).or_default();
        if claims.iter().all(|other| claim.goes_with(*other)) {
            claims.push(claim);
            return Ok(());
        }
        Err(Refusal::new(
            Code::Overlap,
            key,
            "The answer changes this file in two ways that exclude each other. Give either blocks, or the \
             whole file once, or its deletion.",
        ))
    }

    /// The whole text of a file, new or not.
    fn write(&mut self, path: &str, content: &str) -> Result<(), Refusal> {
        if content.contains('\0') {
            return Err(Refusal::new(
                Code::Binary,
                path,
                "The new text holds a NUL character. Write text only.",
            ));
        }
        let Some(key) = key(&self.files, path) else {
            self.free(path)?;
            gate::placeholder(path, "", content)?;
            // A deleted file that comes back is changed, and keeps its mode.
            self.claim(path, Claim::Text)?;
            let base = self.files.get(path).and_then(|file| file.base.clone());
            let now = Some(Now { path: path.to_owned(), bytes: content.as_bytes().into() });
            self.files.insert(path.to_owned(), File { base, now, tier: Tier::File });
            return Ok(());
        };
        self.claim(&key, Claim::Text)?;
        self.writable(&key)?;
        let file = &self.files[&key];
        let Some(now) = &file.now else { return Err(explain::no_such_file(path)) };
        let base = text(path, &now.bytes)?;
        gate::placeholder(path, base, content)?;
        let lines = anchor::lines(unmarked(base));
        let place = Anchor::lines(0..lines.len(), Tier::Whole);
        // Nothing is shifted or left out, so it always fits.
        let fitted = anchor::rewrite(&lines, &place, &lines, &anchor::lines(content)).unwrap_or_default();
        if fitted == unmarked(base) {
            return Err(explain::no_change(path));
        }
        let tier = if self.is_empty(&key) { Tier::File } else { Tier::Whole };
        self.trace.note(&key, &lines, &[(place.lines, &fitted)], Rests::OnWhatItRemoves);
        let text = marked_like(base, fitted);
        self.set(&key, text, tier);
        Ok(())
    }

    fn delete(&mut self, path: &str) -> Result<(), Refusal> {
        let Some(key) = key(&self.files, path) else { return Err(explain::no_such_file(path)) };
        self.claim(&key, Claim::Delete)?;
        self.writable(&key)?;
        if let Some(file) = self.files.get_mut(&key) {
            (file.now, file.tier) = (None, Tier::File);
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), Refusal> {
        let Some(key) = key(&self.files, from) else { return Err(explain::no_such_file(from)) };
        if from == to {
            return Err(explain::no_change(from));
        }
        self.claim(&key, Claim::Rename)?;
        self.writable(&key)?;
        if to != key {
            self.free(to)?;
            if self.files.get(to).is_some_and(|file| file.base.is_some()) {
                return Err(explain::exists(to));
            }
        }
        if let Some(now) = self.files.get_mut(&key).and_then(|file| file.now.as_mut()) {
            now.path = to.to_owned();
        }
        Ok(())
    }

    /// Nothing may stand in the way of a new path, on this disk or on one that ignores case.
    fn free(&self, path: &str) -> Result<(), Refusal> {
        gate::new_path(path)?;
        if key(&self.files, path).is_some() {
            return Err(explain::exists(path));
        }
        if self.files.get(path).is_some_and(|file| file.now.is_some()) {
            return Err(Refusal::new(
                Code::AddOverExisting,
                path,
                "The file that is here was renamed in this change, and its old name is not free before that is \
                 approved. Choose another name.",
            ));
        }
        let collides = |other: &str| {
            let (one, other) = (tree::fold(path), tree::fold(other));
            one == other || below(&one, &other) || below(&other, &one)
        };
        let names = self.files.iter().flat_map(|(key, file)| {
            let now = file.now.as_ref().map(|now| now.path.as_str());
            file.base.as_ref().map(|_| key.as_str()).into_iter().chain(now)
        });
        if let Some(other) = names.filter(|other| *other != path).find(|other| collides(other)) {
            return Err(explain::collision(path, other));
        }
        match self.tree.twin(path) {
            Ok(None) => Ok(()),
            Ok(Some(other)) => Err(explain::collision(path, &other)),
            Err(error) => Err(explain::refused(path, error)),
        }
    }

    /// Whether the file on the disk may be replaced.
    fn writable(&self, key: &str) -> Result<(), Refusal> {
        let Some(base) = self.files.get(key).and_then(|file| file.base.as_ref()) else { return Ok(()) };
        if base.links > 1 {
            return Err(Refusal::new(
                Code::HardLink,
                key,
                format!(
                    "The file has {} names (hard links). Changing it would change or cut off the others; its \
                     owner has to separate them first.",
                    base.links
                ),
            ));
        }
        if base.mode.is_some_and(|mode| mode & 0o200 == 0) {
            return Err(Refusal::new(
                Code::ReadOnly,
                key,
                "The file is read-only. Its owner has to make it writable (`chmod u+w`) before it can be changed.",
            ));
        }
        Ok(())
    }

    /// All blocks of one file.
    fn replace(&mut self, key: &str, blocks: &[Block<'_>], refusals: &mut Vec<Refusal>) {
        let before = refusals.len();
        let laid = self.writable(key).and_then(|()| {
            let Some(now) = self.files.get(key).and_then(|file| file.now.as_ref()) else {
                return Err(explain::no_such_file(key));
            };
            let path = now.path.clone();
            let base = text(&path, &now.bytes)?.to_owned();
            let lines = anchor::lines(unmarked(&base));
            let place = Place { gates: self.gates, path: &path, key, text: unmarked(&base), lines: &lines };
            let mut placed = Vec::new();
            let mut last_line = LastLine::Kept;
            for block in blocks {
                match place.block(*block, &mut last_line) {
                    Ok(found) => placed.extend(found),
                    Err(refusal) => refusals.push(refusal),
                }
            }
            placed.sort_by_key(|one| one.anchor.lines.start);
            for pair in placed.windows(2) {
                if let [one, other] = pair
                    && other.anchor.lines.start < one.anchor.lines.end
                {
                    return Err(Refusal::new(
                        Code::Overlap,
                        &path,
                        format!(
                            "Two blocks change the same lines ({} and {}). Join them into one block.",
                            explain::shown_range(&one.anchor.lines),
                            explain::shown_range(&other.anchor.lines)
                        ),
                    ));
                }
            }
            let tier = placed.iter().map(|one| one.anchor.tier).max().unwrap_or(Tier::Exact);
            let edits: Vec<_> =
                placed.iter().map(|one| (one.anchor.lines.clone(), one.text.as_str())).collect();
            // Should something be refused after all, nobody takes this trace over.
            self.trace.note(key, &lines, &edits, Rests::OnItsPlace);
            let edits = placed.into_iter().map(|one| (one.anchor.lines, one.text)).collect();
            let mut spliced = anchor::splice(&lines, edits);
            match last_line {
                LastLine::Kept => {}
                LastLine::Unended => spliced.truncate(anchor::content(&spliced).len()),
                LastLine::Ended if spliced.is_empty() || spliced.ends_with('\n') => {}
                LastLine::Ended => spliced.push_str(anchor::line_end(&lines).unwrap_or("\n")),
            }
            if refusals.len() == before && spliced == unmarked(&base) {
                return Err(explain::no_change(&path));
            }
            Ok((marked_like(&base, spliced), tier))
        });
        match laid {
            Err(refusal) => refusals.push(refusal),
            Ok((text, tier)) if refusals.len() == before => self.set(key, text, tier),
            Ok(_) => {}
        }
    }

    fn set(&mut self, key: &str, text: String, tier: Tier) {
        if let Some(file) = self.files.get_mut(key)
            && let Some(now) = file.now.as_mut()
        {
            now.bytes = text.into_bytes().into();
            file.tier = file.tier.max(tier);
        }
    }
}

fn below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
