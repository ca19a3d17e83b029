//! Updates: what is seen, what stops them, what survives.

use std::ops::ControlFlow;

use countersign_index::{Index, IndexError, Phase};

use crate::support::{Tree, context, ranked, update};

#[test]
fn only_what_changed_is_read_again() {
    let tree = Tree::fixture("rust");
    let mut index = tree.open();
    let first = update(&mut index);
    assert_eq!((first.files, first.added, first.updated, first.removed), (6, 6, 0, 0));
    let again = update(&mut index);
    assert_eq!((again.files, again.added, again.updated, again.removed, again.rebuilt), (6, 0, 0, 0, None));
    tree.write("src/parse.rs", "fn lonely() {}\n");
    tree.write("src/fresh.rs", "fn fresh() {}\n");
    tree.remove("src/print.rs");
    let change = update(&mut index);
    assert_eq!((change.files, change.added, change.updated, change.removed), (6, 1, 1, 1));
    assert_eq!(ranked(&context(&index, "lonely", 100)), ["src/parse.rs"]);
    assert!(!ranked(&context(&index, "widths padding Layout", 100)).contains(&"src/print.rs"));
}

#[test]
fn an_update_without_changes_writes_nothing() {
    let tree = Tree::fixture("rust");
    tree.git(&["init", "-q"]);
    tree.commit("first", 1_700_000_000);
    let mut index = tree.index();
    let listing = || {
        let mut files: Vec<_> =
            std::fs::read_dir(tree.store().join("text")).unwrap().map(|e| e.unwrap().file_name()).collect();
        files.sort();
        files
    };
    let before = listing();
    update(&mut index);
    assert_eq!(listing(), before);
}

#[test]
fn cancelling_leaves_the_old_index() {
    let tree = Tree::fixture("rust");
    let mut index = tree.index();
    let before = context(&index, "parse quoted cells", 400);
    tree.write("src/parse.rs", "fn lonely() {}\n");
    for stop_at in [Phase::Walk, Phase::Files, Phase::History, Phase::Commit] {
        let result = index.update(&mut |progress| {
            if progress.phase == stop_at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(result, Err(IndexError::Cancelled)), "{stop_at:?}");
        assert_eq!(
            context(&index, "parse quoted cells", 400).ledger.candidates.len(),
            before.ledger.candidates.len()
        );
        assert!(ranked(&context(&index, "lonely", 400)).is_empty());
    }
    assert_eq!(update(&mut index).updated, 1);
    assert_eq!(ranked(&context(&index, "lonely", 400)), ["src/parse.rs"]);
}

#[test]
fn a_second_writer_is_told_and_a_reader_sees_one_state() {
    let tree = Tree::fixture("rust");
    let mut writer = tree.index();
    let reader = tree.open();
    let before = serde_json::to_string(&context(&reader, "line ending", 400)).unwrap();
    tree.write("src/fresh.rs", "fn line_ending() {}\n");
    let mut seen = Vec::new();
    writer
        .update(&mut |progress| {
            if progress.phase == Phase::Commit {
                seen.push(serde_json::to_string(&context(&reader, "line ending", 400)).unwrap());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(!seen.is_empty() && seen.iter().all(|seen| *seen == before));
    assert!(ranked(&context(&reader, "line ending", 400)).contains(&"src/fresh.rs"), "the reader notices");
}

/// Files of the full-text part that hold terms and where they stand.
fn postings(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "idx" || extension == "term"))
        .collect();
    assert!(!paths.is_empty());
    paths
}

#[test]
fn damage_is_repaired_and_reported() {
    let tree = Tree::fixture("rust");
    let healthy = serde_json::to_string(&context(&tree.index(), "quoted cells", 400)).unwrap();
    type Break = fn(&std::path::Path);
    let damage: [(&str, Break); 5] = [
        ("index.sqlite", |path| std::fs::write(path, "not a database").unwrap()),
        ("index.sqlite", |path| std::fs::remove_file(path).unwrap()),
        ("text", |path| std::fs::remove_dir_all(path).unwrap()),
        ("text", |path| {
            for path in postings(path) {
                std::fs::remove_file(path).unwrap();
            }
        }),
        ("text", |path| {
            for path in postings(path) {
                std::fs::write(path, "").unwrap();
            }
        }),
    ];
    for (file, break_it) in damage {
        break_it(&tree.store().join(file));
        let mut index = tree.open();
        let report = update(&mut index);
        assert!(report.rebuilt.is_some(), "{file}");
        assert_eq!(serde_json::to_string(&context(&index, "quoted cells", 400)).unwrap(), healthy, "{file}");
        assert_eq!(update(&mut index).rebuilt, None, "said once");
    }
}

#[test]
fn another_version_is_rebuilt_and_reported() {
    let tree = Tree::fixture("rust");
    drop(tree.index());
    let database = rusqlite::Connection::open(tree.store().join("index.sqlite")).unwrap();
    database.execute("UPDATE meta SET value = 'older' WHERE key = 'version'", []).unwrap();
    drop(database);
    let mut index = tree.open();
    let report = update(&mut index);
    assert!(report.rebuilt.unwrap().contains("another version"));
    assert_eq!(report.added, 6);
}

#[test]
fn an_index_inside_the_tree_does_not_index_itself() {
    let tree = Tree::fixture("rust");
    let store = tree.root().join("data/index");
    let mut index = Index::open(&tree.root(), &store).unwrap();
    assert_eq!(update(&mut index).files, 6);
    assert_eq!(update(&mut index).files, 6);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_index() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::fixture("rust");
    drop(tree.index());
    let mode = |path: std::path::PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(tree.store()), 0o700);
    assert_eq!(mode(tree.store().join("index.sqlite")), 0o600);
}

#[test]
fn impossible_roots_are_errors_for_people() {
    let tree = Tree::empty();
    tree.write("file", "x");
    let missing = Index::open(&tree.root().join("no"), &tree.store()).err().unwrap().to_string();
    assert!(missing.contains("cannot index") && missing.contains("no"), "{missing}");
    assert!(matches!(Index::open(&tree.root().join("file"), &tree.store()), Err(IndexError::Root { .. })));
    assert!(matches!(
        Index::open(&tree.root(), &tree.root().join("file")),
        Err(IndexError::Directory { .. })
    ));
    let mut index = tree.open();
    std::fs::remove_dir_all(tree.root()).unwrap();
    let gone = index.update(&mut |_| ControlFlow::Continue(()));
    assert!(matches!(gone, Err(IndexError::Root { .. })));
}
