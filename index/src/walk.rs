//! Owns which files of a tree count, in sorted order. It must not know languages or storage, and
//! it reads no environment: a global git configuration does not change what is indexed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Larger files are skipped: they are generated or data, and would crowd out everything else.
pub const LARGEST_FILE: u64 = 1024 * 1024;

/// Why a file is not in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// A name that begins with a dot. A hidden directory counts once.
    Hidden,
    /// Symbolic links are never followed.
    Symlink,
    /// Not a regular file: pipe, socket, device.
    Special,
    /// Larger than [`LARGEST_FILE`].
    TooLarge,
    /// NUL bytes, or bytes that no supported encoding explains.
    Binary,
    /// Could not be opened, read or listed.
    Unreadable,
    /// The name is not UTF-8, or holds a control character.
    UnusableName,
}

impl SkipReason {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            SkipReason::Hidden => "hidden (name begins with a dot)",
            SkipReason::Symlink => "symbolic link (not followed)",
            SkipReason::Special => "not a regular file",
            SkipReason::TooLarge => "larger than 1 MiB",
            SkipReason::Binary => "binary, or in an unknown encoding",
            SkipReason::Unreadable => "could not be read",
            SkipReason::UnusableName => "name is not UTF-8 or holds control characters",
        }
    }
}

/// How many files were skipped for each reason.
pub type Skips = BTreeMap<SkipReason, u64>;

/// One file that is worth reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Relative to the root, with `/`.
    pub path: String,
    pub absolute: PathBuf,
}

/// Lists the regular files under `root` that no ignore rule excludes, sorted by path, with counts
/// of what was left out. `own` is the index's own directory. What `.gitignore` and `.ignore` exclude is not visited and not counted.
pub fn walk(root: &Path, own: &Path) -> (Vec<Found>, Skips) {
    let hidden = Arc::new(AtomicU64::new(0));
    let counter = hidden.clone();
    let own = own.to_owned();
    let walker = ignore::WalkBuilder::new(root)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .require_git(false)
        .follow_links(false)
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .filter_entry(move |entry| {
            let is_hidden = entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
            if is_hidden && entry.file_name() != ".git" {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            // An index that lies in the tree must not index itself.
            !is_hidden && entry.path() != own
        })
        .build();
    let mut found = Vec::new();
    let mut skips = Skips::new();
    let mut skip = |reason| *skips.entry(reason).or_default() += 1;
    for entry in walker {
        let Ok(entry) = entry else {
            skip(SkipReason::Unreadable);
            continue;
        };
        let Some(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            continue;
        }
        if kind.is_symlink() {
            skip(SkipReason::Symlink);
        } else if !kind.is_file() {
            skip(SkipReason::Special);
        } else if let Some(path) = relative(root, entry.path()) {
            match entry.metadata() {
                Ok(metadata) if metadata.len() > LARGEST_FILE => skip(SkipReason::TooLarge),
                Ok(_) => found.push(Found { path, absolute: entry.into_path() }),
                Err(_) => skip(SkipReason::Unreadable),
            }
        } else {
            skip(SkipReason::UnusableName);
        }
    }
    let hidden = hidden.load(Ordering::Relaxed);
    if hidden > 0 {
        skips.insert(SkipReason::Hidden, hidden);
    }
    // The walker sorts names within a directory; paths as a whole sort a little differently.
    found.sort_by(|a, b| a.path.cmp(&b.path));
    (found, skips)
}

/// The path in the form in which it is stored, or `None` when it has no such form. A control
/// character in a name could forge lines wherever paths are shown or sent.
fn relative(root: &Path, path: &Path) -> Option<String> {
    let mut out = String::new();
    for component in path.strip_prefix(root).ok()?.components() {
        let name = component.as_os_str().to_str()?;
        if name.chars().any(char::is_control) {
            return None;
        }
        if !out.is_empty() {
            out.push('/');
        }
        out.push_str(name);
    }
    (!out.is_empty()).then_some(out)
}
