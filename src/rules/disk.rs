//! What rules need to know of the disk: whether a path is one file under one name, and the
//! repository's own file. Reading only, and the only part of the rules that is not pure.

use std::path::{Component, Path};

use cap_fs_ext::MetadataExt as _;

use super::written::{self, REPOSITORY_FILE, Repository};
use super::{Place, pattern};
use crate::edit::tree::{Tree, TreeError};

/// Largest file of a repository's rules, in bytes. More is a mistake.
const LARGEST: usize = 256 * 1024;

/// A path with what its disk says of it: links on the way, and other names of the same file.
///
/// What is found may change before anything is written; the writer follows no link whatever this
/// said.
pub fn place(root: &Path, given: &str) -> Place {
    let mut place = Place::lexical(given);
    if place.path.is_empty() {
        return place;
    }
    let path = Path::new(&place.path);
    // The longest part that exists has one true name.
    for known in path.ancestors().filter(|known| !known.as_os_str().is_empty()) {
        let Ok(found) = root.join(known).canonicalize() else {
            // A link that leads nowhere exists all the same.
            if root.join(known).symlink_metadata().is_ok() {
                place.doubts.push(format!("`{}` is a link that leads nowhere", known.display()));
            }
            continue;
        };
        // Some systems give names in another composition than they took them.
        let same = |one: &Path, other: &Path| match (one.to_str(), other.to_str()) {
            (Some(one), Some(other)) => pattern::composed(one) == pattern::composed(other),
            _ => one == other,
        };
        if same(&found, &root.join(known)) {
            break;
        }
        let rest = path.strip_prefix(known).unwrap_or(Path::new(""));
        match found.strip_prefix(root).ok().and_then(|inside| slashed(&inside.join(rest))) {
            Some(inside) => {
                place.doubts.push(format!("on the disk it is `{inside}`, by a link or another spelling"));
                place.others.push(inside);
            }
            None => place.doubts.push("a link on the way leads out of the repository".to_owned()),
        }
        break;
    }
    if let Some(names) = names(root, &place.path).filter(|names| *names > 1) {
        place.doubts.push(format!("the file has {names} names (hard links)"));
    }
    place
}

/// A relative path with `/` between its names. `None` for one that is not text.
fn slashed(path: &Path) -> Option<String> {
    let names = path.components().filter(|part| !matches!(part, Component::CurDir));
    let names: Option<Vec<&str>> = names.map(|part| part.as_os_str().to_str()).collect();
    names.map(|names| names.join("/")).filter(|path| !path.is_empty())
}

/// How many names the file has, if there is one that is reached without a link.
fn names(root: &Path, path: &str) -> Option<u64> {
    let tree = Tree::open(root).ok()?;
    let (folder, name) = tree.parent(path).ok()??;
    let found = folder.symlink_metadata(name).ok()?;
    found.is_file().then(|| found.nlink())
}

/// The rules of the repository's own file; none if there is no such file. A file that cannot be read
/// tightens everything, since nobody knows what it would have said.
pub fn repository(root: &Path) -> Repository {
    let unread = |problem: String| Repository {
        rules: Vec::new(),
        problems: vec![format!("{REPOSITORY_FILE} of the repository {problem}, so that everything is asked")],
        unread: true,
    };
    let stored = Tree::open(root).map_err(TreeError::Io).and_then(|tree| tree.read(REPOSITORY_FILE));
    match stored {
        Ok(None) => Repository::default(),
        Ok(Some(stored)) if stored.bytes.len() > LARGEST => {
            unread(format!("is larger than {} KiB", LARGEST >> 10))
        }
        Ok(Some(stored)) => match std::str::from_utf8(&stored.bytes) {
            Ok(text) => written::repository(text.strip_prefix('\u{feff}').unwrap_or(text)),
            Err(_) => unread("is not UTF-8 text".to_owned()),
        },
        Err(error) => unread(format!("cannot be read ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("secret")).unwrap();
        std::fs::write(root.join("secret/x.txt"), "x").unwrap();
        (folder, root)
    }

    #[test]
    fn plain_files_and_new_ones_are_certain() {
        let (_folder, root) = root();
        for path in ["secret/x.txt", "secret/new.txt", "new/folder/file.txt"] {
            let place = place(&root, path);
            assert!(place.doubts.is_empty() && place.others.is_empty(), "{place:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_looked_through() {
        let (_folder, root) = root();
        std::os::unix::fs::symlink("secret", root.join("open")).unwrap();
        std::os::unix::fs::symlink("secret/x.txt", root.join("file.txt")).unwrap();
        std::os::unix::fs::symlink("/", root.join("outside")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
        std::fs::hard_link(root.join("secret/x.txt"), root.join("twin.txt")).unwrap();
        for (path, other) in [
            ("open/x.txt", Some("secret/x.txt")),
            ("open/new.txt", Some("secret/new.txt")),
            ("open/deep/new.txt", Some("secret/deep/new.txt")),
            ("file.txt", Some("secret/x.txt")),
            ("outside/etc/passwd", None),
            ("dangling", None),
            ("dangling/x", None),
            ("twin.txt", None),
        ] {
            let place = place(&root, path);
            assert!(!place.doubts.is_empty(), "{path}");
            assert_eq!(place.others.first().map(String::as_str), other, "{path}");
        }
    }

    #[test]
    fn a_file_of_rules_that_cannot_be_read_tightens() {
        let (_folder, root) = root();
        assert!(!repository(&root).unread);
        std::fs::write(root.join(REPOSITORY_FILE), [0xff, 0xfe]).unwrap();
        assert!(repository(&root).unread);
        std::fs::write(root.join(REPOSITORY_FILE), "#".repeat(LARGEST + 1)).unwrap();
        assert!(repository(&root).unread);
        std::fs::write(root.join(REPOSITORY_FILE), "\u{feff}[[rules]]\nverdict = \"deny\"\npath = \"a\"\n")
            .unwrap();
        let read = repository(&root);
        assert!(!read.unread && read.rules.len() == 1, "{read:?}");
        std::fs::remove_file(root.join(REPOSITORY_FILE)).unwrap();
        std::fs::create_dir(root.join(REPOSITORY_FILE)).unwrap();
        assert!(repository(&root).unread);
    }
}
