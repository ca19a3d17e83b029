use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use super::*;
use crate::edit::anchor::Tier;
use crate::edit::patch::{FileChange, Side};

/// A tree, and the folder for its copies.
fn place(files: &[(&str, &str)]) -> (tempfile::TempDir, tempfile::TempDir) {
    let (root, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    (root, data)
}

fn written(path: &str, text: &str) -> PatchSet {
    let after = Some((path.to_owned(), Side::new(text.as_bytes(), None)));
    PatchSet::derive(vec![FileChange { before: None, after, tier: Tier::Exact }])
}

fn nothing() -> PatchSet {
    PatchSet::derive(Vec::new())
}

#[test]
fn what_git_ignores_is_not_copied_and_dependencies_are_linked() {
    let (root, data) = place(&[
        (".gitignore", "target\nnode_modules\n.env\nCargo.lock\n"),
        ("Cargo.lock", "locked"),
        ("src/a.js", "a"),
        ("target/big", "x"),
        (".env", "TOKEN=1"),
        (".git/config", ""),
        ("node_modules/left/index.js", "x"),
        ("node_modules/@scope/right/index.js", "x"),
        ("packages/own/index.js", "x"),
    ]);
    symlink("../packages/own", root.path().join("node_modules/own")).unwrap();
    symlink("src/a.js", root.path().join("inside")).unwrap();
    symlink("/etc/hostname", root.path().join("absolute")).unwrap();
    symlink("../../outside", root.path().join("src/outside")).unwrap();
    let workspace = Workspace::claim(data.path()).unwrap();
    workspace.fill(root.path(), &nothing()).unwrap();
    let tree = workspace.tree();
    for absent in ["target", ".env", ".git", "absolute", "src/outside"] {
        assert!(tree.join(absent).symlink_metadata().is_err(), "{absent}");
    }
    assert_eq!(std::fs::read_to_string(tree.join("Cargo.lock")).unwrap(), "locked");
    let target = |path: &str| std::fs::read_link(tree.join(path)).unwrap();
    assert_eq!(target("inside"), Path::new("src/a.js"));
    assert_eq!(target("node_modules/left"), root.path().join("node_modules/left"));
    assert_eq!(target("node_modules/@scope/right"), root.path().join("node_modules/@scope/right"));
    // A package of the tree itself is the copy's own, in which the change is.
    let own = tree.join("node_modules/own").canonicalize().unwrap();
    assert_eq!(own, tree.join("packages/own").canonicalize().unwrap());
}

#[test]
fn a_patch_is_laid_over_and_taken_away_again() {
    let (root, data) = place(&[("a.txt", "old"), ("b.txt", "b")]);
    let workspace = Workspace::claim(data.path()).unwrap();
    let read = |path: &str| std::fs::read_to_string(workspace.tree().join(path)).ok();
    let before = Some(("a.txt".to_owned(), Side::new("old".as_bytes(), None)));
    let after = Some(("sub/c.txt".to_owned(), Side::new("new".as_bytes(), None)));
    let renamed = PatchSet::derive(vec![FileChange { before, after, tier: Tier::Exact }]);
    workspace.fill(root.path(), &renamed).unwrap();
    assert_eq!((read("a.txt"), read("sub/c.txt").as_deref()), (None, Some("new")));
    workspace.fill(root.path(), &nothing()).unwrap();
    assert_eq!((read("a.txt").as_deref(), read("sub/c.txt")), (Some("old"), None));
    assert_eq!(std::fs::read_to_string(root.path().join("a.txt")).unwrap(), "old");
}

#[test]
fn only_what_differs_is_written_again() {
    let (root, data) = place(&[("same.txt", "same"), ("other.txt", "one"), (".gitignore", "target\n")]);
    let workspace = Workspace::claim(data.path()).unwrap();
    workspace.fill(root.path(), &nothing()).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in ["same.txt", "other.txt"] {
        let file = File::options().write(true).open(workspace.tree().join(name)).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    std::fs::create_dir(workspace.tree().join("target")).unwrap();
    std::fs::write(workspace.tree().join("target/built"), "").unwrap();
    // As long as before: only the bytes tell.
    workspace.fill(root.path(), &written("other.txt", "two")).unwrap();
    let modified = |name: &str| workspace.tree().join(name).metadata().unwrap().modified().unwrap();
    assert_eq!(modified("same.txt"), long_ago);
    assert!(modified("other.txt") > long_ago, "a build tool must see that it changed");
    assert!(workspace.tree().join("target/built").exists(), "what was built is kept");
}

#[test]
fn a_patch_does_not_follow_a_link_out_of_the_copy() {
    let (root, data) = place(&[("node_modules/left/index.js", "mine"), (".gitignore", "node_modules\n")]);
    let workspace = Workspace::claim(data.path()).unwrap();
    workspace.fill(root.path(), &written("node_modules/left/index.js", "theirs")).unwrap();
    let read = |folder: &Path| std::fs::read_to_string(folder.join("node_modules/left/index.js")).unwrap();
    assert_eq!((read(root.path()), read(&workspace.tree())), ("mine".to_owned(), "theirs".to_owned()));
}

#[test]
fn a_workspace_is_claimed_once_and_can_be_removed() {
    let (root, data) = place(&[("a.txt", "a")]);
    let one = Workspace::claim(data.path()).unwrap();
    one.fill(root.path(), &nothing()).unwrap();
    assert_ne!(Workspace::claim(data.path()).unwrap().tree(), one.tree());
    assert!(!Workspace::remove_all(data.path()).unwrap(), "one is in use");
    let tree = one.tree();
    drop(one);
    // A supervisor that still ends its check keeps the place busy.
    let busy = File::create(tree.with_file_name("busy")).unwrap();
    busy.lock().unwrap();
    assert_ne!(Workspace::claim(data.path()).unwrap().tree(), tree);
    drop(busy);
    assert!(Workspace::remove_all(data.path()).unwrap() && !tree.exists());
    assert_eq!(Workspace::claim(data.path()).unwrap().tree(), tree);
}
