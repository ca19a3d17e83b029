//! The repository as a directory handle: the only door through which the edit engine sees the disk.
//!
//! Every path is walked one component at a time from the root's handle, and no symbolic link is
//! followed, whatever it points to and whenever it appeared. Reading only; `apply` writes through
//! the handles that this module opens. It must not know plans or text.

use std::{
    fmt,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use blake3::Hash;
use cap_fs_ext::{DirExt, FollowSymlinks, MetadataExt, OpenOptionsFollowExt, OpenOptionsSyncExt};
use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, OpenOptions},
};
use unicode_normalization::UnicodeNormalization;

use super::attributes;
pub use super::attributes::Attributes;

/// Largest file that is read for editing, in bytes.
pub const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// A repository's root.
#[derive(Debug)]
pub struct Tree {
    root: Dir,
    path: PathBuf,
}

/// A file's content and what must survive a change of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub bytes: Arc<[u8]>,
    pub hash: Hash,
    /// Permission bits; `None` where the platform has none.
    pub mode: Option<u32>,
    /// User and group; `None` where the platform has none.
    pub owner: Option<(u32, u32)>,
    /// How many names the file has.
    pub links: u64,
    pub attributes: Attributes,
}

/// Why a path cannot be used as a file.
#[derive(Debug)]
pub enum TreeError {
    /// It, or a part of it, is something else. `what` reads like "a symbolic link".
    NotAFile {
        at: String,
        what: &'static str,
    },
    /// Larger than [`FILE_LIMIT`].
    TooLarge,
    Io(io::Error),
}

impl fmt::Display for TreeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeError::NotAFile { at, what } if *what == FILE => {
                write!(out, "`{at}` is a file, so nothing can be below it")
            }
            TreeError::NotAFile { at, what } => write!(out, "`{at}` is {what}, not a regular file"),
            TreeError::TooLarge => {
                write!(out, "it is larger than the limit of {} MiB for edits", FILE_LIMIT >> 20)
            }
            TreeError::Io(error) => write!(out, "{error}"),
        }
    }
}

impl std::error::Error for TreeError {}

impl From<io::Error> for TreeError {
    fn from(error: io::Error) -> Self {
        TreeError::Io(error)
    }
}

impl Tree {
    /// Opens a root. The root itself may be a symbolic link: its owner chose it.
    pub fn open(root: &Path) -> io::Result<Tree> {
        Ok(Tree { root: Dir::open_ambient_dir(root, ambient_authority())?, path: root.to_owned() })
    }

    /// The root as it was given, for messages only.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a regular file. `None` if there is nothing at the path.
    pub fn read(&self, path: &str) -> Result<Option<Stored>, TreeError> {
        let Some((folder, name)) = self.parent(path)? else { return Ok(None) };
        read_file(&folder, name, path)
    }

    /// The directory that holds `path`, and the last name of `path` in it. `None` if a directory on
    /// the way does not exist.
    pub(crate) fn parent<'a>(&self, path: &'a str) -> Result<Option<(Dir, &'a str)>, TreeError> {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut folder = self.root.try_clone()?;
        let mut walked = 0;
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            walked = path[walked..].find(part).map_or(walked, |at| walked + at + part.len());
            folder = match folder.open_dir_nofollow(part) {
                Ok(next) => next,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => {
                    let what = folder.symlink_metadata(part).ok().and_then(|found| not_a_folder(&found));
                    return Err(match what {
                        Some(what) => TreeError::NotAFile { at: path[..walked].to_owned(), what },
                        None => TreeError::Io(error),
                    });
                }
            };
        }
        Ok(Some((folder, name)))
    }

    /// The directory on the way to `path` that is a git directory under another name than `.git`: a bare
    /// repository, or where a submodule keeps its own. What is written there is run by git.
    pub fn git_directory(&self, path: &str) -> Result<Option<String>, TreeError> {
        let mut folder = self.root.try_clone()?;
        let mut walked = 0;
        // The root is its owner's choice.
        for part in path.split('/').rev().skip(1).collect::<Vec<_>>().into_iter().rev() {
            walked += part.len();
            match folder.open_dir_nofollow(part) {
                Ok(next) => folder = next,
                Err(_) => return Ok(None),
            }
            let is_folder = |name| folder.symlink_metadata(name).is_ok_and(|found| found.is_dir());
            if is_folder("objects") && is_folder("refs") && folder.symlink_metadata("HEAD").is_ok() {
                return Ok(Some(path[..walked].to_owned()));
            }
            walked += 1;
        }
        Ok(None)
    }

    /// Another name on the disk that some file systems take for a part of `path`: it differs in case
    /// or in the composition of its characters only. `None` if each part is there as spelled, or new.
    pub fn twin(&self, path: &str) -> Result<Option<String>, TreeError> {
        let mut folder = self.root.try_clone()?;
        let mut walked = String::new();
        for part in path.split('/') {
            let folded = fold(part);
            let mut twin = None;
            let mut exact = false;
            for entry in folder.entries()? {
                let name = entry?.file_name();
                let Some(name) = name.to_str() else { continue };
                if name == part {
                    exact = true;
                } else if fold(name) == folded {
                    twin = twin.max(Some(name.to_owned()));
                }
            }
            if !exact {
                return Ok(twin.map(|twin| walked + &twin));
            }
            walked = walked + part + "/";
            match folder.open_dir_nofollow(part) {
                Ok(next) => folder = next,
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// A name as file systems that ignore case and composition compare it.
pub fn fold(name: &str) -> String {
    name.nfc().collect::<String>().to_lowercase().nfc().collect()
}

/// Reads `name` in `folder` as a regular file; `path` is for messages.
pub(crate) fn read_file(folder: &Dir, name: &str, path: &str) -> Result<Option<Stored>, TreeError> {
    // Looked at before it is opened: opening a device can already do something.
    match folder.symlink_metadata(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(found) => refuse_other_than_file(&found, path)?,
    }
    let mut options = OpenOptions::new();
    // Should it have become a pipe in between, opening must not wait for a writer.
    options.read(true).follow(FollowSymlinks::No).nonblock(true);
    let file = match folder.open_with(name, &options) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let found = file.metadata()?;
    refuse_other_than_file(&found, path)?;
    let attributes = attributes::of(&file)?;
    // One more than there should be, so that the end is found without growing.
    let mut bytes = Vec::with_capacity(found.len().min(FILE_LIMIT) as usize + 1);
    file.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(TreeError::TooLarge);
    }
    let hash = blake3::hash(&bytes);
    Ok(Some(Stored {
        bytes: bytes.into(),
        hash,
        mode: mode(&found),
        owner: owner(&found),
        links: found.nlink(),
        attributes,
    }))
}

fn refuse_other_than_file(found: &Metadata, path: &str) -> Result<(), TreeError> {
    let what = match not_a_folder(found) {
        Some(FILE) => return Ok(()),
        Some(what) => what,
        None => "a directory",
    };
    Err(TreeError::NotAFile { at: path.to_owned(), what })
}

const FILE: &str = "a file";

fn not_a_folder(found: &Metadata) -> Option<&'static str> {
    let kind = found.file_type();
    if kind.is_dir() {
        None
    } else if kind.is_symlink() {
        Some("a symbolic link")
    } else if kind.is_file() {
        Some(FILE)
    } else {
        Some("a device, pipe or socket")
    }
}

#[cfg(unix)]
fn mode(found: &Metadata) -> Option<u32> {
    use cap_std::fs::PermissionsExt;
    Some(found.permissions().mode() & 0o7777)
}

#[cfg(unix)]
fn owner(found: &Metadata) -> Option<(u32, u32)> {
    use cap_std::fs::MetadataExt;
    Some((found.uid(), found.gid()))
}

#[cfg(not(unix))]
fn owner(_: &Metadata) -> Option<(u32, u32)> {
    None
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree() -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::open(folder.path()).unwrap();
        (folder, tree)
    }

    fn problem(tree: &Tree, path: &str) -> String {
        tree.read(path).unwrap_err().to_string()
    }

    #[test]
    fn files_are_read_with_what_must_survive() {
        let (folder, tree) = tree();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/c.txt"), "text").unwrap();
        let stored = tree.read("a/b/c.txt").unwrap().unwrap();
        assert_eq!((&stored.bytes[..], stored.hash, stored.links), (&b"text"[..], blake3::hash(b"text"), 1));
        for missing in ["a/b/d.txt", "x/y/z.txt", "x"] {
            assert_eq!(tree.read(missing).unwrap(), None, "{missing}");
        }
    }

    #[test]
    fn what_is_not_a_file_is_named() {
        let (folder, tree) = tree();
        fs::create_dir(folder.path().join("dir")).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(problem(&tree, "dir"), "`dir` is a directory, not a regular file");
        assert_eq!(problem(&tree, "file/below"), "`file` is a file, so nothing can be below it");
    }

    #[test]
    fn a_path_that_climbs_out_is_refused_even_without_the_gate() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dir")).unwrap();
        fs::write(folder.path().join("secret"), "").unwrap();
        let tree = Tree::open(&folder.path().join("dir")).unwrap();
        let absolute = folder.path().join("secret");
        for path in ["../secret", "x/../../secret", absolute.to_str().unwrap()] {
            assert!(!matches!(tree.read(path), Ok(Some(_))), "{path}");
        }
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused() {
        let (folder, tree) = tree();
        let file = fs::File::create(folder.path().join("huge")).unwrap();
        file.set_len(FILE_LIMIT + 1).unwrap();
        assert!(matches!(tree.read("huge"), Err(TreeError::TooLarge)));
        file.set_len(FILE_LIMIT).unwrap();
        assert!(tree.read("huge").is_ok());
    }

    #[test]
    fn git_directories_are_known_by_what_is_in_them() {
        let (folder, tree) = tree();
        for name in ["vendor/x/objects", "vendor/x/refs", "vendor/x/hooks", "vendor/y/objects"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for name in ["vendor/x/HEAD", "vendor/y/HEAD"] {
            fs::write(folder.path().join(name), "ref: refs/heads/main\n").unwrap();
        }
        let found = |path| tree.git_directory(path).unwrap();
        assert_eq!(found("vendor/x/hooks/post-checkout").as_deref(), Some("vendor/x"));
        assert_eq!(found("vendor/x/config").as_deref(), Some("vendor/x"));
        for path in ["vendor/x", "vendor/y/config", "vendor/new/file", "file"] {
            assert_eq!(found(path), None, "{path}");
        }
    }

    #[test]
    fn twins_are_found_at_every_level() {
        let (folder, tree) = tree();
        fs::create_dir(folder.path().join("Docs")).unwrap();
        fs::write(folder.path().join("Docs/caf\u{e9}.md"), "").unwrap();
        let twin = |path| tree.twin(path).unwrap();
        assert_eq!(twin("Docs/caf\u{e9}.md"), None);
        assert_eq!(twin("Docs/other.md"), None);
        assert_eq!(twin("docs/new.md").as_deref(), Some("Docs"));
        assert_eq!(twin("Docs/cafe\u{301}.md").as_deref(), Some("Docs/caf\u{e9}.md"));
        assert_eq!(twin("Docs/CAF\u{c9}.MD").as_deref(), Some("Docs/caf\u{e9}.md"));
    }

    #[cfg(unix)]
    #[test]
    fn links_pipes_and_devices_are_not_followed_or_opened() {
        use std::os::unix::fs::symlink;
        let (folder, tree) = tree();
        let root = folder.path();
        fs::write(root.join("real"), "secret").unwrap();
        fs::create_dir(root.join("dir")).unwrap();
        fs::write(root.join("dir/file"), "").unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink("dir", root.join("linked")).unwrap();
        symlink("/dev/null", root.join("null")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::from_raw_mode(0o600))
            .unwrap();
        assert_eq!(problem(&tree, "link"), "`link` is a symbolic link, not a regular file");
        assert_eq!(problem(&tree, "null"), "`null` is a symbolic link, not a regular file");
        assert_eq!(problem(&tree, "linked/file"), "`linked` is a symbolic link, not a regular file");
        assert_eq!(problem(&tree, "pipe"), "`pipe` is a device, pipe or socket, not a regular file");
    }

    #[cfg(unix)]
    #[test]
    fn modes_and_names_are_counted() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, tree) = tree();
        let file = folder.path().join("run.sh");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o750)).unwrap();
        fs::hard_link(&file, folder.path().join("same")).unwrap();
        let stored = tree.read("run.sh").unwrap().unwrap();
        assert_eq!((stored.mode, stored.links), (Some(0o750), 2));
    }
}
