//! Owns [`IndexError`], the one error type of this crate. It must not know how an error is shown.

use std::path::PathBuf;

/// Why the index could not do what was asked. Callers match on the variant; the text says what
/// happened, where, and what to try next.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The root is missing, unreadable or not a directory.
    #[error("cannot index {}: {reason}; give the directory of the repository", path.display())]
    Root { path: PathBuf, reason: String },
    /// A clone whose commits are wanted cannot be used.
    #[error("cannot use the repository {}: {reason}; give a clone with its full history", path.display())]
    Clone { path: PathBuf, reason: String },
    /// The directory that holds the index cannot be created or used.
    #[error("cannot use the index directory {}: {reason}; check its permissions and free space, or choose another data directory", path.display())]
    Directory { path: PathBuf, reason: String },
    /// Another process holds the write lock of this index.
    #[error("another process is updating the index in {}; wait for it to finish and try again", path.display())]
    Busy { path: PathBuf },
    /// The caller's progress function asked to stop; the old index is still valid.
    #[error("the update of the index was cancelled; the index is as it was before")]
    Cancelled,
    /// The path is not in the index.
    #[error("{path} is not in the index; it may be ignored, binary, too large, or new since the last update")]
    UnknownPath { path: String },
    /// SQLite failed.
    #[error(
        "the index store failed while {doing}: {source}; if it persists, delete the index directory and it will be rebuilt"
    )]
    Store { doing: &'static str, source: rusqlite::Error },
    /// tantivy failed.
    #[error(
        "the full-text part of the index failed while {doing}: {reason}; if it persists, delete the index directory and it will be rebuilt"
    )]
    Text { doing: &'static str, reason: String },
    /// A query file of a language does not compile, or a data file of this crate is malformed.
    #[error("built-in data {name} is malformed: {reason}; this is a defect of the program, please report it")]
    Data { name: String, reason: String },
    /// An archive cannot be written, or is not one that can be taken over; the index is as it was.
    #[error("the archive cannot be used: {reason}")]
    Archive { reason: String },
    /// The system refused a thread.
    #[error(
        "no thread could be started to read files: {reason}; free memory or raise the limit on processes"
    )]
    Threads { reason: String },
    /// Store and full text are not of one update, and did not become so.
    #[error("the index is being written, or its last update was interrupted; update it and try again")]
    Unsettled,
}

/// Turns SQLite's error into ours, with what was being done.
pub(crate) fn store(doing: &'static str) -> impl Fn(rusqlite::Error) -> IndexError {
    move |source| IndexError::Store { doing, source }
}

/// Turns any error of the full-text part into ours, with what was being done.
pub(crate) fn text<E: std::fmt::Display>(doing: &'static str) -> impl Fn(E) -> IndexError {
    move |error| IndexError::Text { doing, reason: error.to_string() }
}
