//! A copy of the tree in which a check sees a change before anyone agreed to it.
//!
//! Copies are kept between checks and brought up to date by content, so that a build tool, which
//! looks at times, builds again what differs and nothing else. The one who left them was a check,
//! maybe a hostile one: before anything is written, everything is removed that is not a plain file or
//! folder of the tree, so that no link of its leads a write of ours elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Check, Source, detect};
use crate::disk::private_folder;
use crate::edit::PatchSet;

/// Copies of one repository that can be in use at the same time.
const MOST_WORKSPACES: usize = 32;

/// What checks of all copies share, such as Go's cache, which tells by content what is built.
pub const CACHE: &str = "cache";
/// What is built of the tree itself where it has no folder of its own for that.
pub const TREE_BUILD: &str = "tree-build";

/// A copy and the folders around it, claimed by one process.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
    _claimed: File,
}

impl Workspace {
    /// The first place below `folder` that nobody uses.
    ///
    /// # Errors
    /// When none can be made, or all are in use.
    pub fn claim(folder: &Path) -> anyhow::Result<Workspace> {
        for number in 0..MOST_WORKSPACES {
            let folder = folder.join(format!("copy-{number}"));
            private_folder(&folder)?;
            let lock = |name: &str| -> anyhow::Result<Option<File>> {
                let path = folder.join(name);
                let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
                Ok(file.try_lock().is_ok().then_some(file))
            };
            let Some(claimed) = lock("claimed")? else { continue };
            // Its last check may still be ending.
            if lock("busy")?.is_some() {
                // Canonical, as the sandbox and the paths in output need it.
                let folder = folder.canonicalize()?;
                return Ok(Workspace { folder, _claimed: claimed });
            }
        }
        anyhow::bail!("{MOST_WORKSPACES} checks of this repository run already")
    }

    /// Removes every copy and cache below `folder` that is not in use; gives whether all were free.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove_all(folder: &Path) -> anyhow::Result<bool> {
        let mut held = Vec::new();
        for number in 0..MOST_WORKSPACES {
            let copy = folder.join(format!("copy-{number}"));
            if !copy.is_dir() {
                continue;
            }
            let lock = |name: &str| {
                File::create(copy.join(name)).is_ok_and(|file| {
                    let free = file.try_lock().is_ok();
                    held.push(file);
                    free
                })
            };
            if !["claimed", "busy"].into_iter().all(lock) {
                return Ok(false);
            }
            // The locked files stay, so that whoever waits for one does not hold another.
            for name in ["tree", "build", "temp"] {
                remove(&copy.join(name))?;
            }
        }
        remove(&folder.join(CACHE))?;
        remove(&folder.join(TREE_BUILD))?;
        Ok(true)
    }

    /// The copy of the tree.
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// What is built of the copy, outside of it. Kept between checks.
    pub fn build(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// A folder for temporary files, emptied around each check.
    pub fn temp(&self) -> PathBuf {
        self.folder.join("temp")
    }

    /// The check's HOME.
    pub fn home(&self) -> PathBuf {
        self.temp().join("home")
    }

    /// The file that a supervisor keeps locked until the last process of its check has ended.
    pub fn busy(&self) -> PathBuf {
        self.folder.join("busy")
    }

    pub(super) fn empty_temp(&self) -> anyhow::Result<()> {
        remove(&self.temp())?;
        private_folder(&self.home())
    }

    /// Makes the copy equal to the tree at `root` with `patch` applied.
    ///
    /// Files that git ignores are not copied, but for lock files: without them, other versions would be
    /// checked. Dependencies among them (`node_modules`, `.venv` and the
    /// like) are linked, for reading; links of the tree that stay inside of it are kept; anything that
    /// is neither file, folder nor link is left out.
    ///
    /// # Errors
    /// When something cannot be read or written; the copy is then of no use, until the next time.
    pub fn fill(&self, root: &Path, patch: &PatchSet) -> anyhow::Result<()> {
        let mut wanted = wanted(root)?;
        for file in patch.files() {
            wanted.remove(Path::new(file.old_path()));
            if let Some(after) = file.after() {
                // A link in its way would lead the write out of the copy.
                for folder in Path::new(file.path()).ancestors().skip(1) {
                    wanted.remove(folder);
                }
                let bytes = Entry::Bytes(after.bytes.to_vec(), after.mode);
                wanted.insert(PathBuf::from(file.path()), bytes);
            }
        }
        let tree = self.tree();
        private_folder(&tree)?;
        let folders: BTreeSet<PathBuf> =
            wanted.keys().flat_map(|path| path.ancestors().skip(1)).map(Path::to_owned).collect();
        scrub(&tree, Path::new(""), &wanted, &folders)?;
        for folder in &folders {
            std::fs::create_dir_all(tree.join(folder))?;
        }
        for (path, entry) in &wanted {
            put(entry, &tree.join(path)).with_context(|| format!("cannot copy {}", path.display()))?;
        }
        Ok(())
    }
}

/// What an entry of the copy is to be.
#[derive(Debug)]
enum Entry {
    /// Equal to this file.
    Copy(PathBuf),
    /// These bytes, with this mode on Unix.
    Bytes(Vec<u8>, Option<u32>),
    /// A link to this place.
    Link(PathBuf),
}

/// The entries of a copy by their path relative to its top, folders left out.
fn wanted(root: &Path) -> anyhow::Result<BTreeMap<PathBuf, Entry>> {
    let mut entries = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    let walk = ignore::WalkBuilder::new(root)
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for entry in walk {
        let entry = entry.context("cannot walk the tree for a copy")?;
        let Some(kind) = entry.file_type() else { continue };
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned();
        if kind.is_dir() {
            folders.push(path);
        } else if kind.is_file() {
            entries.insert(path, Entry::Copy(entry.path().to_owned()));
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path())?;
            if stays_inside(&path, &target) {
                entries.insert(path, Entry::Link(target));
            }
        }
    }
    for folder in folders {
        for name in detect::lock_files() {
            let path = folder.join(name);
            let there = root.join(&path);
            if there.symlink_metadata().is_ok_and(|found| found.is_file()) {
                entries.entry(path).or_insert(Entry::Copy(there));
            }
        }
        for name in detect::dependency_folders() {
            let path = folder.join(name);
            let there = root.join(&path);
            let is_folder = there.symlink_metadata().is_ok_and(|found| found.is_dir());
            if is_folder && !entries.keys().any(|known| known.starts_with(&path)) {
                link_dependencies(&there, &path, &mut entries)?;
            }
        }
    }
    Ok(entries)
}

/// Whether a link at `path` with this target stays inside of the tree, by its text alone.
fn stays_inside(path: &Path, target: &Path) -> bool {
    use std::path::Component;
    let mut depth = path.components().count() as i64 - 1;
    target.components().all(|component| {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth -= 1,
            Component::RootDir | Component::Prefix(_) => depth = i64::MIN / 2,
        }
        depth >= 0
    })
}

/// Links to the entries of a folder with dependencies. One that is a link itself and leads to a part
/// of the tree, as packages of a workspace do, is kept as it is: the copy has that part, changed.
fn link_dependencies(
    there: &Path,
    path: &Path,
    entries: &mut BTreeMap<PathBuf, Entry>,
) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(there)?.flatten() {
        let (from, to) = (entry.path(), path.join(entry.file_name()));
        let kind = entry.file_type()?;
        // Scopes of npm: folders that hold packages.
        if kind.is_dir() && entry.file_name().as_encoded_bytes().starts_with(b"@") {
            link_dependencies(&from, &to, entries)?;
            continue;
        }
        let own = kind.is_symlink().then(|| std::fs::read_link(&from)).transpose()?;
        let target = own.filter(|target| target.is_relative() && stays_inside(&to, target));
        entries.insert(to, Entry::Link(target.unwrap_or(from)));
    }
    Ok(())
}

/// Removes what is not wanted, and everything that is not what it is wanted to be: links, special
/// files, files with other names elsewhere, folders in place of files. Build folders are kept.
fn scrub(
    tree: &Path,
    folder: &Path,
    wanted: &BTreeMap<PathBuf, Entry>,
    folders: &BTreeSet<PathBuf>,
) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(tree.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        let found = entry.metadata()?;
        if found.is_dir() && folders.contains(&path) {
            make_usable(&entry.path())?;
            scrub(tree, &path, wanted, folders)?;
        } else if found.is_dir() && is_build_folder(&path) && !wanted.contains_key(&path) {
            make_usable(&entry.path())?;
        } else if !(found.is_file() && has_one_name(&found) && wanted.contains_key(&path)) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn is_build_folder(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| detect::build_folders().contains(&name))
}

#[cfg(unix)]
fn has_one_name(found: &std::fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(found) == 1
}

#[cfg(not(unix))]
fn has_one_name(_found: &std::fs::Metadata) -> bool {
    true
}

/// Puts an entry at `to`, unless it is there already. What is there is replaced, never written into.
fn put(entry: &Entry, to: &Path) -> anyhow::Result<()> {
    let present = to.symlink_metadata().is_ok_and(|found| found.is_file());
    let (bytes, mode) = match entry {
        Entry::Copy(from) => {
            if present && same(from, to)? {
                return copy_mode(from, to);
            }
            remove(to)?;
            reflink_copy::reflink_or_copy(from, to)?;
            // Some systems keep the time with a copy; for a build tool this is a new file.
            #[cfg(unix)]
            File::open(to)?.set_modified(std::time::SystemTime::now())?;
            return copy_mode(from, to);
        }
        Entry::Link(target) => {
            remove(to)?;
            return link(target, to);
        }
        Entry::Bytes(bytes, mode) => (bytes, mode),
    };
    if !present || std::fs::read(to)? != *bytes {
        remove(to)?;
        std::fs::write(to, bytes)?;
    }
    #[cfg(unix)]
    if let Some(mode) = mode {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(to, std::fs::Permissions::from_mode(*mode))?;
    }
    #[cfg(not(unix))]
    let _ = mode;
    Ok(())
}

fn same(one: &Path, two: &Path) -> anyhow::Result<bool> {
    if one.metadata()?.len() != two.metadata()?.len() {
        return Ok(false);
    }
    // A file that the check made unreadable is not the same.
    Ok(std::fs::read(two).is_ok_and(|two| std::fs::read(one).is_ok_and(|one| one == two)))
}

fn copy_mode(from: &Path, to: &Path) -> anyhow::Result<()> {
    Ok(std::fs::set_permissions(to, from.metadata()?.permissions())?)
}

#[cfg(unix)]
fn link(target: &Path, to: &Path) -> anyhow::Result<()> {
    Ok(std::os::unix::fs::symlink(target, to)?)
}

#[cfg(windows)]
fn link(target: &Path, to: &Path) -> anyhow::Result<()> {
    let is_folder = to.parent().is_some_and(|parent| parent.join(target).is_dir());
    Ok(match is_folder {
        true => std::os::windows::fs::symlink_dir(target, to)?,
        false => std::os::windows::fs::symlink_file(target, to)?,
    })
}

/// Lets its owner read, write and enter a folder, which a check may have forbidden.
fn make_usable(folder: &Path) -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = folder.symlink_metadata()?.permissions().mode();
        if mode & 0o700 != 0o700 {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode | 0o700))?;
        }
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Removes a file, a link or a folder with everything in it; links are not followed, and folders
/// without permissions do not stop it. Nothing there is fine.
fn remove(path: &Path) -> anyhow::Result<()> {
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    let result = if found.is_dir() {
        make_usable(path)?;
        for entry in std::fs::read_dir(path)? {
            remove(&entry?.path())?;
        }
        std::fs::remove_dir(path)
    } else {
        std::fs::remove_file(path)
    };
    result.with_context(|| format!("cannot remove {}", path.display()))
}

/// Folders of the real tree that a check may write to after a change was applied: those for the
/// results of builds that are there and that git ignores. A detected tool's own are made if missing,
/// since without them it cannot run.
pub fn build_folders(root: &Path, check: &Check) -> anyhow::Result<Vec<PathBuf>> {
    let base = root.join(&check.directory);
    let tracked: BTreeSet<PathBuf> = ignore::WalkBuilder::new(&base)
        .hidden(false)
        .require_git(false)
        .max_depth(Some(1))
        .build()
        .filter_map(|entry| Some(entry.ok()?.into_path()))
        .collect();
    if let Source::Detected { tool, .. } = &check.source {
        for name in detect::writes(tool) {
            let folder = base.join(name);
            if folder.symlink_metadata().is_err() {
                std::fs::create_dir(&folder)
                    .with_context(|| format!("cannot make the build folder {}", folder.display()))?;
            }
        }
    }
    let own = match &check.source {
        Source::Detected { tool, .. } => detect::writes(tool),
        _ => Vec::new(),
    };
    let mut folders: Vec<PathBuf> = Vec::new();
    for name in detect::build_folders() {
        let folder = base.join(name);
        // A link could lead anywhere.
        let is_folder = folder.symlink_metadata().is_ok_and(|found| found.is_dir());
        if is_folder && (!tracked.contains(&folder) || own.contains(&name)) {
            folders.push(folder);
        }
    }
    Ok(folders)
}

#[cfg(all(test, unix))]
mod tests;
