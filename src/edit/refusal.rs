//! Why an edit was not taken: a code for programs, a message for the model that has to do better.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of refusal. They are stable: corrections, statistics and tests name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The answer holds no edit at all.
    NoEdits,
    /// The answer ends inside a block.
    Truncated,
    /// A block's markers do not say clearly what belongs to it.
    Malformed,
    /// It cannot be told which file a block is for.
    MissingPath,
    /// The path is not in the plan.
    UnplannedPath,
    /// The path is not one that may ever be written.
    BadPath,
    /// The file to change does not exist.
    NoSuchFile,
    /// A file would be created where one exists.
    AddOverExisting,
    /// A directory, symbolic link, device, pipe or socket.
    NotAFile,
    /// The file has other names, which would change with it or be cut off from it.
    HardLink,
    /// The file's owner made it read-only.
    ReadOnly,
    /// The file is not text.
    Binary,
    /// The file is text in another encoding.
    NotUtf8,
    /// The file is beyond [`super::tree::FILE_LIMIT`].
    TooLarge,
    /// The file could not be read.
    Unreadable,
    /// The file changed on the disk after it was read.
    StaleBase,
    /// The searched lines are not in the file.
    NoMatch,
    /// The searched lines are in the file more than once.
    Ambiguous,
    /// There are no lines to search for, and the file has content.
    EmptySearch,
    /// The edit changes nothing.
    NoOp,
    /// Two edits of one answer touch the same lines or the same file in ways that exclude each other.
    Overlap,
    /// A placeholder stands where code should be.
    Elision,
    /// The file would have more syntax errors than it has.
    MoreSyntaxErrors,
    /// Much more would be deleted than the plan speaks of.
    LargeDeletion,
}

/// One refused edit. `message` says what was wrong, where, and what to do instead, in words that a
/// small model can follow; it may quote the file, so show it through [`crate::sanitize`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: Code,
    /// Empty where no path is known.
    pub path: String,
    pub message: String,
}

impl Refusal {
    pub fn new(code: Code, path: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { code, path: path.into(), message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => write!(out, "{}", self.message),
            path => write!(out, "{path}: {}", self.message),
        }
    }
}

impl std::error::Error for Refusal {}
