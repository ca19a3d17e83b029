//! What the file system says of a file spares reading it, and never decides.

use crate::support::{Tree, update};

/// Sets what is remembered of a file to what the file system says of it now, as if it had been read
/// just so.
#[cfg(unix)]
fn remember_as_is(tree: &Tree, path: &str) {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(tree.root().join(path)).unwrap();
    let nanoseconds = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
    let database = rusqlite::Connection::open(tree.store().join("index.sqlite")).unwrap();
    let changed = database
        .execute(
            "UPDATE seen SET bytes = ?, modified = ?, changed = ?, inode = ? WHERE path = ?",
            rusqlite::params![
                found.len() as i64,
                nanoseconds(found.mtime(), found.mtime_nsec()),
                nanoseconds(found.ctime(), found.ctime_nsec()),
                found.ino() as i64,
                path
            ],
        )
        .unwrap();
    assert_eq!(changed, 1);
}

#[test]
fn a_file_that_changed_as_it_was_read_is_read_again() {
    let tree = Tree::empty();
    tree.write("a.txt", "first\n");
    let mut index = tree.index();
    // It is as young as the index: it may change within the same tick of the clock, and keep its
    // size. So nothing is remembered by which it could pass for unchanged.
    let database = rusqlite::Connection::open(tree.store().join("index.sqlite")).unwrap();
    let remembered: Option<i64> =
        database.query_row("SELECT bytes FROM seen WHERE path = 'a.txt'", [], |row| row.get(0)).unwrap();
    assert_eq!(remembered, None);
    let path = tree.root().join("a.txt");
    let time = std::fs::metadata(&path).unwrap().modified().unwrap();
    tree.write("a.txt", "other\n");
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    assert_eq!(update(&mut index).updated, 1);
    assert_eq!(index.search("other", 1).unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn what_is_remembered_spares_reading_until_anything_differs() {
    let tree = Tree::empty();
    tree.write("a.txt", "first\n");
    tree.write("b.bin", b"\0\0\0\0");
    let mut index = tree.index();
    tree.write("a.txt", "other\n");
    tree.write("b.bin", "text\n");
    remember_as_is(&tree, "a.txt");
    remember_as_is(&tree, "b.bin");
    let report = update(&mut index);
    assert_eq!((report.updated, report.added, report.skipped.len()), (0, 0, 1), "nothing was read");
    // The same bytes at another time, in another file: their hash decides.
    std::fs::rename(tree.root().join("a.txt"), tree.root().join("c.txt")).unwrap();
    std::fs::copy(tree.root().join("c.txt"), tree.root().join("a.txt")).unwrap();
    tree.write("b.bin", "text!\n");
    let report = update(&mut index);
    assert_eq!((report.updated, report.added, report.removed, report.skipped.len()), (1, 2, 0, 0));
    assert_eq!(index.search("other", 5).unwrap().len(), 2);
}

#[test]
fn touching_files_changes_nothing() {
    let tree = Tree::fixture("rust");
    let mut index = tree.index();
    let search =
        |index: &countersign_index::Index| serde_json::to_string(&index.search("line", 5).unwrap()).unwrap();
    let before = search(&index);
    for file in index.files().unwrap() {
        let path = tree.root().join(&file.path);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let report = update(&mut index);
    assert_eq!((report.updated, report.added, report.removed), (0, 0, 0));
    assert_eq!(search(&index), before);
}
