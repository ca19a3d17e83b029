//! Throw-away work trees: what is laid out, and what a hostile clone cannot do.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_index::{Checkout, IndexError};

use crate::support::Tree;

/// Runs git in a tree, with bytes for its input, and gives what it printed.
fn git(tree: &Tree, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(tree.root())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn head(tree: &Tree) -> String {
    git(tree, &["rev-parse", "HEAD"], b"")
}

fn repository() -> Tree {
    let tree = Tree::empty();
    tree.git(&["init", "-q"]);
    tree
}

/// Files of a work tree without `.git`.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().unwrap() != ".git" {
                open.push(path);
            } else if path.is_file() {
                found.push(path.strip_prefix(root).unwrap().display().to_string().replace('\\', "/"));
            } else {
                found.extend((!path.is_dir()).then(|| "a special file".to_owned()));
            }
        }
    }
    found.sort();
    found
}

fn beside(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(name);
    std::fs::create_dir(&root).unwrap();
    (folder, root)
}

#[test]
fn it_moves_from_commit_to_commit() {
    let tree = repository();
    tree.write("a/b/old.py", "old");
    tree.write("same.py", "one");
    tree.commit("first", 1_700_000_000);
    let first = head(&tree);
    tree.remove("a/b/old.py");
    std::fs::remove_dir(tree.root().join("a/b")).unwrap();
    tree.write("a/b", "a file where a directory was");
    tree.write("same.py", "two");
    tree.commit("second", 1_700_000_100);
    let second = head(&tree);
    for clone in [tree.root(), tree.root().join(".git")] {
        let (_folder, root) = beside("tree");
        let mut checkout = Checkout::new(&clone, &root).unwrap();
        assert_eq!(checkout.switch(&first).unwrap().written, 2);
        assert_eq!(files(&root), ["a/b/old.py", "same.py"]);
        let moved = checkout.switch(&second).unwrap();
        assert_eq!((moved.written, moved.removed), (2, 1));
        assert_eq!(files(&root), ["a/b", "same.py"]);
        assert_eq!(std::fs::read_to_string(root.join("same.py")).unwrap(), "two");
        assert_eq!(checkout.switch(&second).unwrap().written, 0, "what is there is not written again");
        checkout.switch(&first).unwrap();
        assert_eq!(files(&root), ["a/b/old.py", "same.py"]);
        let seen =
            Command::new("git").args(["log", "--all", "--format=%s"]).current_dir(&root).output().unwrap();
        assert_eq!(String::from_utf8(seen.stdout).unwrap().trim(), "first", "later history is not seen");
    }
}

#[test]
fn links_submodules_and_names_that_lead_outside_are_left_out() {
    let tree = repository();
    tree.write("good.py", "good");
    tree.commit("base", 1_700_000_000);
    let blob = git(&tree, &["rev-parse", "HEAD:good.py"], b"");
    let inner = git(&tree, &["mktree"], format!("100644 blob {blob}\tescaped.py\n").as_bytes());
    let raw = |id: &str| (0..20).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()).collect();
    let mut entries: Vec<u8> = Vec::new();
    for (mode, name, id) in [
        ("40000", "..", &inner),
        ("40000", ".GIT", &inner),
        ("40000", "a/../../up", &inner),
        ("100644", "..\\up.py", &blob),
        ("120000", "link", &blob),
        ("160000", "module", &head(&tree)),
        ("100644", "good.py", &blob),
    ] {
        let id: Vec<u8> = raw(id);
        entries.extend(format!("{mode} {name}\0").bytes().chain(id));
    }
    let hostile = git(&tree, &["hash-object", "-t", "tree", "-w", "--stdin", "--literally"], &entries);
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
    let commit = git(&tree, &[&identity[..], &["commit-tree", &hostile, "-m", "x"]].concat(), b"");
    let (folder, root) = beside("tree");
    let mut checkout = Checkout::new(&tree.root(), &root).unwrap();
    checkout.switch(&commit).unwrap();
    assert_eq!(files(&root), ["good.py"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is outside");
    assert!(!root.join(".git/escaped.py").exists());
}

#[test]
fn a_lost_object_is_told_and_nothing_older_stands_for_it() {
    let tree = repository();
    tree.write("part.py", "one");
    tree.commit("first", 1_700_000_000);
    let first = head(&tree);
    tree.write("part.py", "two");
    tree.commit("second", 1_700_000_100);
    let second = head(&tree);
    let blob = git(&tree, &["rev-parse", "HEAD:part.py"], b"");
    let object = tree.root().join(".git/objects").join(&blob[..2]).join(&blob[2..]);
    std::fs::remove_file(object).unwrap();
    let (_folder, root) = beside("tree");
    let mut checkout = Checkout::new(&tree.root(), &root).unwrap();
    checkout.switch(&first).unwrap();
    assert_eq!(checkout.switch(&second).unwrap().missing, ["part.py"]);
    assert!(files(&root).is_empty());
}

#[test]
fn what_is_no_clone_or_no_commit_is_refused() {
    let tree = repository();
    tree.write("a.py", "a");
    tree.commit("first", 1_700_000_000);
    let (folder, root) = beside("tree");
    assert!(matches!(Checkout::new(folder.path(), &root), Err(IndexError::Clone { .. })));
    assert!(matches!(Checkout::new(&folder.path().join("none"), &root), Err(IndexError::Clone { .. })));
    assert!(matches!(Checkout::new(&tree.root(), &tree.root()), Err(IndexError::Root { .. })), "not empty");
    let mut checkout = Checkout::new(&tree.root(), &root).unwrap();
    for commit in ["", "HEAD", "master", &head(&tree)[..12], &"0".repeat(40), "../../x"] {
        assert!(matches!(checkout.switch(commit), Err(IndexError::Clone { .. })), "{commit}");
    }
}
