//! Owns the writing of one update: rows into the store's transaction, documents into new segments,
//! and one commit that makes both visible. It must not know files or git.

use rusqlite::Connection;

use crate::IndexError;
use crate::seen;
use crate::store::{self, FileRow, set_meta};
use crate::symbol::Extracted;
use crate::text::{Change, ChunkText, Text};

/// A file that was read and parsed.
pub struct Parsed {
    pub row: FileRow,
    pub extracted: Extracted,
    pub chunks: Vec<ChunkText>,
}

/// The one writer of an update.
pub struct Writer<'a> {
    connection: &'a Connection,
    text: &'a Text,
    /// The committed segments.
    list: Option<String>,
    /// Opened with the first change: an update that changes nothing writes nothing.
    change: Option<Change>,
    /// Files that will be read: how much memory the change deserves.
    expected: usize,
    /// Counts updates that changed anything; tells readers that what they hold is old.
    generation: u64,
    files: u64,
    /// Ids of the files that this update wrote.
    pub written: Vec<i64>,
    pub next_id: i64,
}

impl<'a> Writer<'a> {
    pub fn new(connection: &'a Connection, text: &'a Text) -> Result<Writer<'a>, IndexError> {
        let number = |key| Ok(store::meta(connection, key)?.and_then(|text| text.parse().ok()).unwrap_or(0));
        Ok(Writer {
            connection,
            text,
            list: store::meta(connection, "text")?,
            change: None,
            expected: 0,
            generation: number("generation")?,
            files: number("files")?,
            written: Vec::new(),
            next_id: store::next_file_id(connection)?,
        })
    }

    /// Whether the segments that the store names are all there.
    pub fn is_whole(&self) -> bool {
        self.text.is_whole(self.list.as_deref())
    }

    /// Says how many files will be written, before the first one is.
    pub fn expect(&mut self, files: usize) {
        self.expected = files;
    }

    fn change(&mut self) -> Result<&mut Change, IndexError> {
        if self.change.is_none() {
            self.text.sweep(self.list.as_deref());
            self.change = Some(self.text.begin_write(self.list.as_deref(), self.expected)?);
        }
        // Filled one line above.
        self.change.as_mut().ok_or(IndexError::Unsettled)
    }

    /// Forgets every file.
    pub fn clear(&mut self) -> Result<(), IndexError> {
        store::clear_files(self.connection)?;
        (self.list, self.files, self.next_id) = (None, 0, 1);
        set_meta(self.connection, "files", "0")
    }

    /// Adds a file under the id that its row holds.
    pub fn add(&mut self, parsed: Parsed) -> Result<(), IndexError> {
        store::insert_file(self.connection, &parsed.row, &parsed.extracted)?;
        self.files += 1;
        self.written.push(parsed.row.id);
        self.change()?.add(parsed.row.id, &parsed.row.path, parsed.chunks)
    }

    /// Removes a file.
    pub fn remove(&mut self, id: i64) -> Result<(), IndexError> {
        store::remove_file(self.connection, id)?;
        self.files = self.files.saturating_sub(1);
        self.change()?.remove(id);
        Ok(())
    }

    /// Remembers what was seen of a path.
    pub fn see(&mut self, seen: &seen::Seen) -> Result<(), IndexError> {
        seen::put(self.connection, seen)
    }

    /// How many files the index holds now.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Whether files were added or removed.
    pub fn has_changed(&self) -> bool {
        self.change.is_some()
    }

    /// Writes what is still in memory. Nothing is visible yet. `is_visible` says whether readers
    /// would notice a difference.
    pub fn finish(self, is_visible: bool) -> Result<(), IndexError> {
        if is_visible {
            set_meta(self.connection, "generation", &(self.generation + 1).to_string())?;
            set_meta(self.connection, "files", &self.files.to_string())?;
        }
        if let Some(change) = self.change {
            set_meta(self.connection, "text", &change.finish()?)?;
        }
        Ok(())
    }
}
