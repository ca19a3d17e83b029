//! Owns which files of a tree count, in sorted order. It must not know languages or storage, and
//! it reads no environment: a global git configuration does not change what is indexed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::seen::Stamp;

/// Listing a tree is mostly waiting for the file system; more threads only wait for each other.
const MOST_THREADS: usize = 8;

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
    /// NUL bytes, or bytes that no supported encoding explains.
    Binary,
    /// Could not be opened, read or listed.
    Unreadable,
    /// The name is not UTF-8, or holds a control character.
    UnusableName,
}

const NAMES: [(SkipReason, &str); 6] = [
    (SkipReason::Hidden, "hidden"),
    (SkipReason::Symlink, "symlink"),
    (SkipReason::Special, "special"),
    (SkipReason::Binary, "binary"),
    (SkipReason::Unreadable, "unreadable"),
    (SkipReason::UnusableName, "unusable_name"),
];

impl SkipReason {
    /// As it is stored.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(reason, _)| *reason == self).map_or("", |(_, name)| name)
    }

    pub(crate) fn by_name(name: &str) -> Option<SkipReason> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(reason, _)| *reason)
    }

    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            SkipReason::Hidden => "hidden (name begins with a dot)",
            SkipReason::Symlink => "symbolic link (not followed)",
            SkipReason::Special => "not a regular file",
            SkipReason::Binary => "binary, or in an unknown encoding",
            SkipReason::Unreadable => "could not be read",
            SkipReason::UnusableName => "name is not UTF-8 or holds control characters",
        }
    }
}

/// How many files were skipped for each reason.
pub type Skips = BTreeMap<SkipReason, u64>;

/// One entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Relative to the root, with `/`. Of an unusable name, a form that no usable one has.
    pub path: String,
    pub what: What,
}

/// Whether an entry is worth reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A regular file, and what the file system says of it.
    File(Option<Stamp>),
    Skipped(SkipReason),
}

/// Lists the entries under `root` that no ignore rule excludes, sorted by path. `own` is the
/// index's own directory. What `.gitignore` and `.ignore` exclude is not visited and not listed.
/// With a `scope`, only what is at or below one of its paths is listed, by the same rules.
pub fn walk(root: &Path, own: &Path, scope: Option<&[String]>) -> Vec<Found> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let hidden = found.clone();
    let scope: Option<Vec<PathBuf>> = scope.map(|paths| paths.iter().map(|path| root.join(path)).collect());
    let (base, own) = (root.to_owned(), own.to_owned());
    let wanted = scope.clone();
    let is_wanted = move |path: &Path| {
        wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| path.starts_with(wanted)))
    };
    let is_listed = is_wanted.clone();
    let leads_to_wanted = move |path: &Path| {
        scope.as_ref().is_none_or(|scope| scope.iter().any(|wanted| wanted.starts_with(path)))
    };
    let walker = ignore::WalkBuilder::new(root)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .require_git(false)
        .follow_links(false)
        .threads(std::thread::available_parallelism().map_or(1, |n| n.get()).min(MOST_THREADS))
        .filter_entry(move |entry| {
            let is_hidden = entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
            // An index that lies in the tree must not index itself.
            if !(is_wanted(entry.path()) || leads_to_wanted(entry.path())) || entry.path() == own {
                return false;
            }
            if is_hidden && entry.file_name() != ".git" && is_wanted(entry.path()) {
                let what = What::Skipped(SkipReason::Hidden);
                push(
                    &hidden,
                    [Found { path: relative(&base, entry.path()).unwrap_or_else(|path| path), what }],
                );
            }
            !is_hidden
        })
        .build_parallel();
    walker.run(|| {
        let mut own = Batch { entries: Vec::new(), into: found.clone() };
        let is_listed = &is_listed;
        Box::new(move |entry| {
            own.entries.extend(entry_of(root, entry).filter(|found| is_listed(&root.join(&found.path))));
            ignore::WalkState::Continue
        })
    });
    let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    // Only what has no path, such as a directory that cannot be listed, can be there twice.
    found.dedup_by(|a, b| a.path == b.path);
    found
}

/// What one thread has found; handed over when the thread ends.
struct Batch {
    entries: Vec<Found>,
    into: Arc<Mutex<Vec<Found>>>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        push(&self.into, std::mem::take(&mut self.entries));
    }
}

fn push(into: &Mutex<Vec<Found>>, entries: impl IntoIterator<Item = Found>) {
    into.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
}

fn entry_of(root: &Path, entry: Result<ignore::DirEntry, ignore::Error>) -> Option<Found> {
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => {
            let path = path_of(&error).and_then(|path| relative(root, path).ok());
            return Some(Found {
                path: path.unwrap_or_else(|| format!("\0{error}")),
                what: What::Skipped(SkipReason::Unreadable),
            });
        }
    };
    let kind = entry.file_type()?;
    if kind.is_dir() {
        return None;
    }
    let path = relative(root, entry.path());
    let what = if kind.is_symlink() {
        What::Skipped(SkipReason::Symlink)
    } else if !kind.is_file() {
        What::Skipped(SkipReason::Special)
    } else if path.is_err() {
        What::Skipped(SkipReason::UnusableName)
    } else {
        match entry.metadata() {
            Ok(metadata) => What::File(Stamp::of(&metadata)),
            Err(_) => What::Skipped(SkipReason::Unreadable),
        }
    };
    Some(Found { path: path.unwrap_or_else(|path| path), what })
}

fn path_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        _ => None,
    }
}

/// Whether a stored path is one that [`walk`] could have found.
pub fn is_usable(path: &str) -> bool {
    let mut names = path.split('/');
    names.all(|name| !matches!(name, "" | "." | ".."))
        && relative(Path::new("/"), &Path::new("/").join(path)).as_deref() == Ok(path)
}

/// The path in the form in which it is stored. A name that is not UTF-8, or holds a control
/// character that could forge lines wherever paths are shown or sent, gives an error with a form
/// that identifies it and that no usable path has.
fn relative(root: &Path, path: &Path) -> Result<String, String> {
    let mut out = String::new();
    let mut is_usable = true;
    let below = path.strip_prefix(root).unwrap_or(path);
    for component in below.components() {
        if !out.is_empty() {
            out.push('/');
        }
        match component.as_os_str().to_str().filter(|name| !name.chars().any(char::is_control)) {
            Some(name) => out.push_str(name),
            None => {
                is_usable = false;
                out.push('\0');
                out.push_str(&component.as_os_str().as_encoded_bytes().escape_ascii().to_string());
            }
        }
    }
    if is_usable && !out.is_empty() { Ok(out) } else { Err(out) }
}
