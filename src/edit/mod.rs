//! From a model's answer to a patch that can be reviewed: what is meant ([`parse`]), where it lands
//! ([`anchor`], [`diff`], [`tag`]; [`layout`] says so before it is written), whether it may
//! ([`gate`]), what the tree would look like ([`overlay`]), and what changes ([`patch`]). Nothing in here writes to the disk. `README.md`
//! beside this file has the formats, the ladder, and how well it does on corrupted blocks.

use serde::{Deserialize, Serialize};

pub mod refusal;

pub mod parse;

pub mod anchor;
pub mod diff;
pub mod layout;
mod searchable;
pub mod tag;

pub mod gate;
pub mod grammar;

pub mod attributes;
pub mod tree;

pub mod overlay;

pub mod patch;

#[cfg(test)]
mod peers;

pub use overlay::Overlay;
pub use patch::PatchSet;
pub use refusal::{Code, Refusal};

/// One thing that a model asks to have done. Text has `\n` line ends and no byte order mark; what
/// the file has instead is put back when the edit is placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// Lines of a file in place of others. An empty `search` means a new file.
    Replace { path: String, search: String, replace: String },
    /// The hunks of one file of a diff, in the order of the file.
    Hunks { path: String, hunks: Vec<diff::Hunk> },
    /// The whole text of one definition. `symbol` is a name such as `parse` or `Parser.parse`.
    Symbol { path: String, symbol: String, content: String },
    /// New lines in place of those from one [`tag`] to another, both included.
    Lines { path: String, first: String, last: String, content: String },
    /// The whole text of a file that may or may not exist.
    Whole { path: String, content: String },
    /// A file that must not exist yet.
    Create { path: String, content: String },
    /// The file goes away.
    Delete { path: String },
    /// The file goes away if this is its text: a diff says what it deletes.
    Remove { path: String, content: String },
    /// The file gets another path; its content stays.
    Rename { from: String, to: String },
}

impl Edit {
    /// The path that the edit is about: the old one of a rename.
    pub fn path(&self) -> &str {
        match self {
            Edit::Replace { path, .. }
            | Edit::Hunks { path, .. }
            | Edit::Symbol { path, .. }
            | Edit::Lines { path, .. }
            | Edit::Whole { path, .. }
            | Edit::Create { path, .. }
            | Edit::Delete { path }
            | Edit::Remove { path, .. }
            | Edit::Rename { from: path, .. } => path,
        }
    }
}

/// The paths that a step may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// Any path under the root: a patch that a person brings along.
    Any,
    /// These repository-relative paths, and no other.
    Only(Vec<String>),
}

impl Planned {
    pub fn allows(&self, path: &str) -> bool {
        match self {
            Planned::Any => true,
            Planned::Only(paths) => paths.iter().any(|planned| planned == path),
        }
    }

    /// The planned paths; none where any is allowed.
    pub fn paths(&self) -> &[String] {
        match self {
            Planned::Any => &[],
            Planned::Only(paths) => paths,
        }
    }
}
