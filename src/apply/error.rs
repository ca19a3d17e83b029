//! What can go wrong between consent and disk, in words for its owner. Typed, because the engine
//! answers a stale base differently from a full disk.

use std::{fmt, io};

use thiserror::Error;

use crate::{edit::Refusal, sanitize::visible_text};

/// A file that is not as it was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub path: String,
    /// What is there instead, such as "it is gone" or "its content is another".
    pub found: String,
    /// From the expected to the found text, shortened; empty where there is no text to compare.
    pub diff: String,
}

/// Why a change was not applied, undone or redone. Unless it is [`ApplyError::HalfDone`], the tree
/// is as it was.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The base that was approved is not on the disk any more.
    #[error(
        "nothing was written, since the tree changed after the patch was made; run the request again\n{}",
        Conflicts(.files)
    )]
    StaleBase { files: Vec<Conflict> },

    /// A change cannot be undone or redone without losing what was done since.
    #[error(
        "change {id} was left as it is, since files changed after it; undo those changes first, or edit by hand\n{}",
        Conflicts(.files)
    )]
    ChangedSince { id: String, files: Vec<Conflict> },

    /// A path that may not be written, whoever approved it.
    #[error("nothing was written: {0}")]
    Path(Refusal),

    #[error("there is no change to {0}")]
    Nothing(&'static str),

    #[error("there is no change `{0}`; `history` lists them")]
    UnknownChange(String),

    #[error("`{prefix}` is the beginning of several changes ({}); write more of it", .ids.join(", "))]
    SeveralChanges { prefix: String, ids: Vec<String> },

    #[error("change {id} has no hunk {hunk}: it has {hunks}; `history {id}` shows them")]
    UnknownHunk { id: String, hunk: u32, hunks: usize },

    #[error("change {id} cannot be {wanted}: it is {state}")]
    WrongState { id: String, wanted: &'static str, state: &'static str },

    /// Something failed; what had been done was taken back.
    #[error("nothing was changed: could not {what}: {source}; {}", advice(.source))]
    Io { what: String, source: io::Error },

    /// Something failed, and taking back failed as well. The journal still knows how.
    #[error(
        "could not {what}: {source}; taking back what was done failed as well ({rollback}). The journal has all \
         that is needed: remove the cause ({}), then start again to repair the tree",
        advice(.source)
    )]
    HalfDone { what: String, source: io::Error, rollback: String },

    /// A file of the journal cannot be read or is not what it was.
    #[error("the journal's file `{file}` is damaged: {reason}; move it away to go on without it")]
    Journal { file: String, reason: String },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "check who may write there, then try again"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on the disk, then try again",
        _ => "try again",
    }
}

struct Conflicts<'a>(&'a [Conflict]);

impl fmt::Display for Conflicts<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, conflict) in self.0.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            write!(out, "{end}  {}: {}", conflict.path, conflict.found)?;
            for line in conflict.diff.lines() {
                write!(out, "\n    {}", visible_text(line))?;
            }
        }
        Ok(())
    }
}
