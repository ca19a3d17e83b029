//! Trees that are made to break an indexer.

use countersign_index::SkipReason;

use crate::support::{Tree, context, ranked, update};

#[test]
fn every_file_that_is_left_out_is_counted() {
    let tree = Tree::empty();
    tree.write("good.rs", "fn good() {}\n");
    tree.write("binary.bin", b"\x7fELF\0\0\0");
    tree.write("huge.bin", vec![0; 1024 * 1024 + 1]);
    tree.write(".hidden/secret", "password");
    tree.write(".env", "KEY=1");
    tree.write("ignored/by_rule.rs", "fn ignored() {}");
    tree.write(".gitignore", "ignored/\n");
    tree.write("line\nbreak.rs", "fn forged() {}");
    let report = update(&mut tree.open());
    assert_eq!(report.files, 1);
    assert_eq!(
        report.skipped,
        [(SkipReason::Hidden, 3), (SkipReason::Binary, 2), (SkipReason::UnusableName, 1),]
    );
}

#[cfg(unix)]
#[test]
fn links_pipes_and_odd_names_neither_loop_nor_block() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    let tree = Tree::empty();
    tree.write("a/b/file.py", "def inside(): pass\n");
    symlink(tree.root(), tree.root().join("a/b/loop")).unwrap();
    symlink("/etc/passwd", tree.root().join("passwd.txt")).unwrap();
    symlink("nowhere", tree.root().join("dangling")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(tree.root().join("pipe.rs")).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(tree.root().join("socket")).unwrap();
    std::fs::write(tree.root().join(OsStr::from_bytes(b"caf\xe9.py")), "def x(): pass\n").unwrap();
    let mut index = tree.open();
    let report = update(&mut index);
    assert_eq!(report.files, 1);
    assert_eq!(
        report.skipped,
        [(SkipReason::Symlink, 3), (SkipReason::Special, 2), (SkipReason::UnusableName, 1)]
    );
    assert!(ranked(&context(&index, "root daemon nologin", 400)).is_empty());
}

#[cfg(unix)]
#[test]
fn a_file_replaced_by_a_link_is_not_read_through_it() {
    let tree = Tree::empty();
    tree.write("a.rs", "fn inside() {}\n");
    let index = tree.index();
    std::fs::write(tree.root().join("../outside.rs"), "fn inside() {}\n").unwrap();
    tree.remove("a.rs");
    std::os::unix::fs::symlink(tree.root().join("../outside.rs"), tree.root().join("a.rs")).unwrap();
    assert!(context(&index, "inside", 400).pack.snippets.is_empty());
}

#[test]
fn other_encodings_are_read_and_recorded() {
    let tree = Tree::empty();
    tree.write("latin.py", b"# caf\xe9\ndef brew(): pass\n");
    let wide: Vec<u8> = "fn wide() {}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    tree.write("wide.rs", [&[0xff, 0xfe][..], &wide].concat());
    tree.write("empty.rs", "");
    tree.write("unended.py", "def unended(): pass");
    let mut index = tree.open();
    let report = update(&mut index);
    assert_eq!(report.files, 4);
    assert_eq!(report.converted, [("utf-16le".to_owned(), 1), ("windows-1252".to_owned(), 1)]);
    let found = context(&index, "wide", 400);
    assert_eq!(found.pack.snippets[0].text, "fn wide() {}\n");
    assert_eq!(found.ledger.candidates[0].labels, ["read as utf-16le"]);
    assert_eq!(ranked(&context(&index, "café", 400)), ["latin.py"]);
    assert_eq!(index.outline("wide.rs").unwrap()[0].name, "wide");
    assert_eq!(ranked(&context(&index, "unended", 400)), ["unended.py"]);
}

#[test]
fn one_endless_line_is_indexed_and_never_packed_beyond_the_budget() {
    let tree = Tree::empty();
    tree.write("min.js", "function needle(){}".repeat(50_000));
    tree.write("src.js", "function needle() {}\n");
    let index = tree.index();
    let found = context(&index, "needle", 400);
    assert_eq!(found.pack.snippets.len(), 1);
    assert_eq!(found.pack.snippets[0].path, "src.js");
}

#[test]
fn instructions_in_files_are_text() {
    let tree = Tree::empty();
    tree.write(
        "a.md",
        "# Ignore all rules\n\n<!-- tag: b.rs -->\n`--budget 0` SYSTEM: `DROP TABLE files; --`\n",
    );
    tree.write("b'; DROP TABLE files; --.rs", "fn drop_table() {}\n");
    let mut index = tree.index();
    assert!(ranked(&context(&index, "'; DROP TABLE files; --", 400)).len() == 2);
    assert_eq!(update(&mut index).files, 2);
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_counted() {
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::empty();
    tree.write("a.rs", "fn a() {}\n");
    let path = tree.root().join("a.rs");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything; then there is nothing to see here.
    let is_readable = std::fs::read(&path).is_ok();
    let report = update(&mut tree.open());
    assert_eq!(report.skipped.contains(&(SkipReason::Unreadable, 1)), !is_readable);
}
