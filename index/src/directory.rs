//! Owns where tantivy keeps things: segments are files in one folder, and the list of segments
//! lives in memory, from where the store takes it into its own transaction. So one commit, that
//! of the store, makes an update visible, and a process that dies at any moment leaves the old
//! list with the old files. It must not know schemas or documents.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite,
    WatchCallback, WatchHandle, WritePtr,
};

/// tantivy's name for the list of segments.
const LIST: &str = "meta.json";

/// A folder of segments with a list of them that is not in the folder.
#[derive(Debug, Clone)]
pub struct Segments {
    folder: PathBuf,
    mapped: MmapDirectory,
    small: Arc<Mutex<BTreeMap<PathBuf, Vec<u8>>>>,
}

impl Segments {
    /// Opens the folder with this list of segments; `None` for an index that is still empty.
    pub fn open(folder: &Path, list: Option<&str>) -> tantivy::Result<Segments> {
        let mapped = MmapDirectory::open(folder)?;
        let small = list.map(|list| (PathBuf::from(LIST), list.as_bytes().to_vec()));
        Ok(Segments {
            folder: folder.to_owned(),
            mapped,
            small: Arc::new(Mutex::new(small.into_iter().collect())),
        })
    }

    /// The list as tantivy last wrote it.
    pub fn list(&self) -> Option<String> {
        self.held().get(Path::new(LIST)).map(|list| String::from_utf8_lossy(list).into_owned())
    }

    /// Files of the segments of a list, with their lengths.
    pub fn files(&self, list: &str) -> io::Result<BTreeMap<String, u64>> {
        let list: serde_json::Value = serde_json::from_str(list)?;
        let mut living: BTreeMap<String, Option<String>> = BTreeMap::new();
        for segment in list["segments"].as_array().into_iter().flatten() {
            // tantivy writes an id with hyphens into the list, and without into file names.
            let Some(id) = segment["segment_id"].as_str() else { continue };
            let id = id.replace('-', "");
            let removed = segment["deletes"]["opstamp"].as_u64().map(|stamp| format!("{id}.{stamp}.del"));
            living.insert(id, removed);
        }
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_living = living.get(name.split('.').next().unwrap_or_default()).is_some_and(|removed| {
                // Of the lists of removed documents only the newest counts.
                !name.ends_with(".del") || removed.as_ref() == Some(&name)
            });
            if is_living {
                files.insert(name, entry.metadata()?.len());
            }
        }
        Ok(files)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Vec<u8>>> {
        // Whoever panicked held whole values only.
        self.small.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes every file of the folder but these: what merged segments, removed documents and
/// processes that died have left behind. The caller holds the store's write lock; a reader that has
/// a file open keeps it.
pub fn sweep(folder: &Path, living: &BTreeSet<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_none_or(|name| !living.contains(name)) {
            // Where an open file cannot be removed, the next update tries again.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A file that is flushed but not synced: a crash of the machine is found by the lengths that the
/// store keeps, and a crash of the process loses nothing.
struct Unsynced(std::fs::File);

impl Write for Unsynced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl TerminatingWrite for Unsynced {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.0.flush()
    }
}

impl Directory for Segments {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.mapped.get_file_handle(path)
    }

    /// Nothing: the committed list may still name the file. [`sweep`] removes it after the commit.
    fn delete(&self, _: &Path) -> Result<(), DeleteError> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.held().contains_key(path) || self.folder.join(path).exists())
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(self.folder.join(path));
        match file {
            Ok(file) => Ok(BufWriter::new(Box::new(Unsynced(file)))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(OpenWriteError::FileAlreadyExists(path.to_owned()))
            }
            Err(error) => Err(OpenWriteError::wrap_io_error(error, path.to_owned())),
        }
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.held().get(path).cloned().ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))
    }

    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        self.held().insert(path.to_owned(), data.to_vec());
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    /// The store's write lock keeps writers apart, and readers open what a list names.
    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
