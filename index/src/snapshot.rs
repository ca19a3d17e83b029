//! Owns what a query reads of one generation of the index, held in memory between queries. It must
//! not know requests. Files are numbered by path, so that nothing depends on how the index came
//! about.

use std::collections::HashMap;

use crate::IndexError;
use crate::attributes::Attributes;
use crate::kind::FileKind;
use crate::origin::{self, Origin};
use crate::past::{self, Past, Terms};
use crate::store::{self, FileRow, Store};
use crate::text::{Text, View};
use crate::walk::SkipReason;

/// Attempts to open what a list of segments names while another process goes on to later ones.
const ATTEMPTS: usize = 100;

/// Position of a file among all files sorted by path.
pub type Slot = usize;

/// One generation of the index.
pub struct Snapshot {
    pub generation: String,
    /// By path.
    pub files: Vec<File>,
    pub view: View,
    /// Slot of each document of the view; `None` for those of files that are gone.
    pub slots: Vec<Option<u32>>,
    pub chunk_count: u64,
    pub token_count: u64,
    /// Newest first.
    pub history: Vec<Commit>,
    pub skipped: Vec<(SkipReason, u64)>,
}

/// A file with what its path and `.gitattributes` say.
pub struct File {
    pub row: FileRow,
    pub kind: FileKind,
    pub origin: Option<Origin>,
}

/// A commit of the history, with paths as they are called today.
pub struct Commit {
    pub time: i64,
    pub subject: String,
    pub terms: Terms,
    /// Files that the commit touched, present or not.
    pub touched: usize,
    /// Those that still exist, ascending.
    pub slots: Vec<Slot>,
}

impl Snapshot {
    /// Reads the current generation.
    ///
    /// # Errors
    /// [`IndexError::Unsettled`] when the full text is not what the store says.
    pub fn read(store: &Store, text: &Text) -> Result<Snapshot, IndexError> {
        for _ in 0..ATTEMPTS {
            // Read transaction first: what it sees stays fixed while the full text is opened.
            let reader = store.reader();
            let transaction =
                reader.unchecked_transaction().map_err(crate::error::store("beginning to read"))?;
            let list = store::meta(&transaction, "text")?;
            if let Ok(view) = text.view(list.as_deref()) {
                return Snapshot::assemble(&transaction, view);
            }
            drop(transaction);
            // Another process may have committed and removed the segments in between.
            if store.meta("text")? == list {
                break;
            }
        }
        Err(IndexError::Unsettled)
    }

    fn assemble(connection: &rusqlite::Connection, view: View) -> Result<Snapshot, IndexError> {
        let generation = store::meta(connection, "generation")?.unwrap_or_default();
        let rows = store::files(connection)?;
        let by_id: HashMap<i64, u32> =
            rows.iter().enumerate().map(|(slot, row)| (row.id, slot as u32)).collect();
        let by_path: HashMap<&str, Slot> =
            rows.iter().enumerate().map(|(slot, row)| (row.path.as_str(), slot)).collect();
        let history = present(past::read(connection)?, &by_path);
        let skipped = store::meta(connection, "skipped")?.unwrap_or_default();
        let rules = store::meta(connection, "attributes")?.unwrap_or_default();
        let attributes = Attributes::new(serde_json::from_str(&rules).unwrap_or_default());
        let slots = view.documents.file.iter().map(|id| by_id.get(id).copied()).collect();
        Ok(Snapshot {
            generation,
            slots,
            chunk_count: rows.iter().map(|row| u64::from(row.chunks)).sum(),
            token_count: rows.iter().map(|row| row.tokens).sum(),
            files: rows.into_iter().map(|row| file(row, &attributes)).collect(),
            view,
            history,
            skipped: serde_json::from_str(&skipped).unwrap_or_default(),
        })
    }

    /// Slot of a path.
    pub fn slot(&self, path: &str) -> Option<Slot> {
        self.files.binary_search_by(|file| file.row.path.as_str().cmp(path)).ok()
    }
}

fn file(row: FileRow, attributes: &Attributes) -> File {
    let kind = match (FileKind::of_path(&row.path), attributes.documentation(&row.path)) {
        (FileKind::Source, Some(true)) => FileKind::Document,
        (FileKind::Document, Some(false)) => FileKind::Source,
        (kind, _) => kind,
    };
    let origin = origin::of_file(&row.path, row.origin.clone(), attributes);
    File { kind, origin, row }
}

/// The history with the slots of the files that still exist.
fn present(past: Past, by_path: &HashMap<&str, Slot>) -> Vec<Commit> {
    let slots: Vec<Option<Slot>> =
        past.paths.iter().map(|path| by_path.get(path.as_str()).copied()).collect();
    let resolve = |commit: past::Resolved| {
        let touched = commit.touched.len();
        let mut present: Vec<Slot> =
            commit.touched.iter().filter_map(|path| slots.get(*path as usize).copied().flatten()).collect();
        present.sort_unstable();
        present.dedup();
        Commit { time: commit.time, subject: commit.subject, terms: commit.terms, touched, slots: present }
    };
    past.commits.into_iter().map(resolve).collect()
}
