//! The folder with model files, one for all repositories. It must not know where files come from.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use ring::digest::{Context as Digest, SHA256};

use super::Entry;

/// Where model files lie.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// What became of looking at a whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// Length and sha256 are those of the manifest.
    Whole,
    /// They are not.
    Damaged,
}

impl Store {
    /// Nothing is created until a file is placed.
    pub fn in_folder(folder: &Path) -> Store {
        Store { folder: folder.to_owned() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file of a model is, or would be.
    pub fn path(&self, entry: &Entry) -> PathBuf {
        self.folder.join(&entry.file)
    }

    /// Whether the file of a model is there in full length. Its content was checked when it was
    /// placed; [`Store::verify`] does it again.
    pub fn has(&self, entry: &Entry) -> bool {
        self.path(entry).metadata().is_ok_and(|found| found.is_file() && found.len() == entry.bytes)
    }

    /// Reads the whole file of a model and compares it with the manifest.
    ///
    /// # Errors
    /// A file that is not there or cannot be read.
    pub fn verify(&self, entry: &Entry) -> anyhow::Result<Checked> {
        let path = self.path(entry);
        let found = path.metadata().with_context(|| format!("cannot find {}", path.display()))?;
        if found.len() != entry.bytes {
            return Ok(Checked::Damaged);
        }
        Ok(if sha256(&path)? == entry.sha256 { Checked::Whole } else { Checked::Damaged })
    }

    /// Removes the file of a model and what an unfinished download left. Returns the bytes that it
    /// had.
    ///
    /// # Errors
    /// Nothing to remove, or a folder that refuses.
    pub fn remove(&self, entry: &Entry) -> anyhow::Result<u64> {
        let mut bytes = 0;
        let mut found = false;
        for path in [self.path(entry), self.partial(entry), self.wheel(entry), self.lock(entry)] {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            bytes += metadata.len();
            found |= path != self.lock(entry);
        }
        ensure!(found, "{} is not in {}", entry.name, self.folder.display());
        Ok(bytes)
    }

    /// The file while it grows.
    pub(super) fn partial(&self, entry: &Entry) -> PathBuf {
        self.folder.join(format!("{}.partial", entry.file))
    }

    /// A wheel while it grows.
    pub(super) fn wheel(&self, entry: &Entry) -> PathBuf {
        self.folder.join(format!("{}.wheel", entry.file))
    }

    /// Held while the file is got.
    pub(super) fn lock(&self, entry: &Entry) -> PathBuf {
        self.folder.join(format!("{}.lock", entry.file))
    }
}

/// sha256 of a file in hexadecimal digits.
pub(super) fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut digest = Digest::new(&SHA256);
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if read == 0 {
            return Ok(hexadecimal(digest));
        }
        digest.update(&buffer[..read]);
    }
}

pub(super) fn hexadecimal(digest: Digest) -> String {
    digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
