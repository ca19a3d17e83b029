//! Archives: they carry an index over, and nothing else.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use countersign_index::{Index, IndexError, Manifest};

use crate::support::{Tree, context, update};

const REQUEST: &str = "wrong line ending in quoted cells";

/// A tree with a commit, its archive, and what its index says.
fn exported() -> (Tree, PathBuf, Manifest, String) {
    let tree = Tree::fixture("rust");
    tree.git(&["init", "-q"]);
    tree.commit("fix the line ending of quoted cells", 1_700_000_000);
    let mut index = tree.index();
    let path = tree.root().with_file_name("index.archive");
    let manifest = index.export(&path).unwrap();
    let says = serde_json::to_string(&context(&index, REQUEST, 400)).unwrap();
    (tree, path, manifest, says)
}

fn import(index: &mut Index, path: &Path) -> Result<Manifest, IndexError> {
    index.import(path, None, &mut |_| ControlFlow::Continue(()))
}

/// An index of the same tree elsewhere.
fn elsewhere(tree: &Tree) -> (tempfile::TempDir, Index) {
    let store = tempfile::tempdir().unwrap();
    let index = Index::open(&tree.root(), &store.path().join("index")).unwrap();
    (store, index)
}

#[test]
fn an_index_is_the_same_elsewhere_and_only_differences_are_read() {
    let (tree, path, manifest, says) = exported();
    assert_eq!((manifest.files, manifest.commit.as_ref().map(String::len)), (6, Some(40)));
    let (_store, mut index) = elsewhere(&tree);
    assert_eq!(import(&mut index, &path).unwrap(), manifest);
    let report = update(&mut index);
    assert_eq!(
        (report.files, report.added, report.updated, report.removed, report.rebuilt),
        (6, 0, 0, 0, None)
    );
    assert_eq!(serde_json::to_string(&context(&index, REQUEST, 400)).unwrap(), says);

    tree.write("src/fresh.rs", "fn fresh() {}\n");
    tree.remove("src/print.rs");
    let (_store, mut index) = elsewhere(&tree);
    import(&mut index, &path).unwrap();
    let report = update(&mut index);
    assert_eq!((report.files, report.added, report.updated, report.removed), (6, 1, 0, 1));
    let rebuilt = tree.rebuilt();
    for request in [REQUEST, "fresh"] {
        assert_eq!(
            serde_json::to_string(&context(&index, request, 400)).unwrap(),
            serde_json::to_string(&context(&rebuilt, request, 400)).unwrap()
        );
    }
}

#[test]
fn what_attributes_say_of_origins_is_carried_over_and_replaces_what_was_there() {
    let (tree, other) = (Tree::fixture("rust"), Tree::fixture("rust"));
    let plain = tree.root().with_file_name("plain.archive");
    tree.index().export(&plain).unwrap();
    other.write(".gitattributes", "*.rs linguist-generated\n");
    let marked = other.root().with_file_name("marked.archive");
    let mut index = other.index();
    index.export(&marked).unwrap();
    let says = |index: &Index| serde_json::to_string(&context(index, REQUEST, 400)).unwrap();
    let expected = says(&index);
    assert!(expected.contains("generated"));
    let (_store, mut index) = elsewhere(&tree);
    import(&mut index, &marked).unwrap();
    assert_eq!(says(&index), expected);
    import(&mut index, &plain).unwrap();
    assert_eq!(says(&index), says(&tree.open()));
}

#[test]
fn the_same_index_gives_the_same_archive_and_its_address_can_be_asked_for() {
    let (tree, path, manifest, _) = exported();
    let again = path.with_extension("again");
    assert_eq!(tree.open().export(&again).unwrap(), manifest);
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
    let (_store, mut index) = elsewhere(&tree);
    let wrong = index.import(&path, Some("0000"), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(wrong, Err(IndexError::Archive { .. })));
    index.import(&path, Some(&manifest.total), &mut |_| ControlFlow::Continue(())).unwrap();
    // Over itself: the segments are there already.
    import(&mut tree.open(), &path).unwrap();
    assert_eq!(update(&mut tree.open()).rebuilt, None);
}

#[test]
fn an_archive_holds_no_place_of_its_maker() {
    let (tree, path, _, _) = exported();
    let bytes = std::fs::read(&path).unwrap();
    let start = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).unwrap().0 + 1;
    let content = zstd::decode_all(&bytes[start..]).unwrap();
    let root = tree.root().to_str().unwrap().to_owned();
    assert!(!content.windows(root.len()).any(|window| window == root.as_bytes()));
}

/// Every broken archive is refused, and the index is what it was.
fn check_refused(bytes: &[u8], what: &str) {
    let tree = Tree::fixture("rust");
    let mut index = tree.index();
    let before = serde_json::to_string(&context(&index, REQUEST, 400)).unwrap();
    let path = tree.root().with_file_name("broken");
    std::fs::write(&path, bytes).unwrap();
    let error = import(&mut index, &path).expect_err(what);
    assert!(matches!(error, IndexError::Archive { .. }), "{what}: {error}");
    assert_eq!(serde_json::to_string(&context(&index, REQUEST, 400)).unwrap(), before, "{what}");
    let report = update(&mut index);
    assert_eq!((report.added, report.updated, report.rebuilt), (0, 0, None), "{what}");
    assert_eq!(serde_json::to_string(&context(&index, REQUEST, 400)).unwrap(), before, "{what}");
}

/// Magic, manifest, content.
fn taken_apart(bytes: &[u8]) -> (Vec<u8>, serde_json::Value, Vec<u8>) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let magic = lines.next().unwrap().to_vec();
    let manifest = serde_json::from_slice(lines.next().unwrap()).unwrap();
    (magic, manifest, zstd::decode_all(lines.next().unwrap()).unwrap())
}

/// An archive whose manifest has the hashes that it should have: made by someone who knows how.
fn signed(mut manifest: serde_json::Value, parts: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut content = Vec::new();
    let part = |(name, bytes): &(&str, Vec<u8>)| {
        content.extend_from_slice(bytes);
        serde_json::json!({"name": name, "bytes": bytes.len(), "blake3": blake3::hash(bytes).to_hex().to_string()})
    };
    manifest["parts"] = parts.iter().map(part).collect();
    manifest["total"] = "".into();
    let mut signed: Manifest = serde_json::from_value(manifest).unwrap();
    signed.total = blake3::hash(&serde_json::to_vec(&signed).unwrap()).to_hex().to_string();
    let mut out = b"countersign-index archive 1\n".to_vec();
    out.extend(serde_json::to_vec(&signed).unwrap());
    out.push(b'\n');
    out.extend(zstd::encode_all(&content[..], 3).unwrap());
    out
}

/// The parts of a good archive.
fn parts() -> (serde_json::Value, Vec<(String, Vec<u8>)>) {
    let (_tree, path, manifest, _) = exported();
    let (_, value, content) = taken_apart(&std::fs::read(path).unwrap());
    let mut rest = &content[..];
    let parts = manifest.parts.iter().map(|part| {
        let (bytes, after) = rest.split_at(part.bytes as usize);
        rest = after;
        (part.name.clone(), bytes.to_vec())
    });
    let parts = parts.collect();
    (value, parts)
}

fn borrowed(parts: &[(String, Vec<u8>)]) -> Vec<(&str, Vec<u8>)> {
    parts.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect()
}

/// The head of an archive and what is compressed behind it, if it can be unpacked.
fn content(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let start = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1)?.0 + 1;
    Some((bytes[..start].to_vec(), zstd::decode_all(&bytes[start..]).ok()?))
}

#[test]
fn damaged_and_cut_archives_are_refused() {
    let (_tree, path, _, _) = exported();
    let good = std::fs::read(path).unwrap();
    check_refused(b"", "empty");
    check_refused(b"PK\x03\x04 something else entirely, long enough to be read", "foreign");
    for share in 1..20 {
        check_refused(&good[..good.len() * share / 20], &format!("cut at {share}/20"));
    }
    check_refused(&good[..good.len() - 1], "one byte short");
    for share in 1..20 {
        let mut flipped = good.clone();
        let at = good.len() * share / 20;
        flipped[at] ^= 0x10;
        // Some bits of the compressed stream mean nothing, such as the reserved ones of a zstd header.
        if content(&flipped).is_some_and(|flipped| Some(flipped) == content(&good)) {
            continue;
        }
        check_refused(&flipped, &format!("a bit flipped at {at}"));
    }
}

#[test]
fn archives_that_promise_something_else_are_refused() {
    let (value, parts) = parts();
    let good = signed(value.clone(), &borrowed(&parts));
    let tree = Tree::fixture("rust");
    let path = tree.root().with_file_name("good");
    std::fs::write(&path, &good).unwrap();
    import(&mut tree.index(), &path).expect("what is put together again is good");

    let mut other_version = value.clone();
    other_version["version"] = "0.0.1-elsewhere".into();
    check_refused(&signed(other_version, &borrowed(&parts)), "another version");

    for name in ["../../escaped", "/tmp/escaped", "sub/dir.idx", "meta.json", "index.sqlite", "..", ""] {
        let mut renamed = borrowed(&parts);
        renamed[1].0 = name;
        check_refused(&signed(value.clone(), &renamed), name);
    }
    let mut fewer = borrowed(&parts);
    fewer.pop();
    check_refused(&signed(value.clone(), &fewer), "a file of a segment is missing");
    let mut twice = borrowed(&parts);
    twice.push(twice[1].clone());
    check_refused(&signed(value.clone(), &twice), "a part twice");
    let mut longer = good.clone();
    longer.extend(zstd::encode_all(&b"more"[..], 3).unwrap());
    check_refused(&longer, "more than promised");
}

#[test]
fn a_bomb_is_refused_before_it_unpacks() {
    let (value, parts) = parts();
    let mut bomb = borrowed(&parts);
    // 200 MB of zeros are some ten kilobytes of archive.
    bomb[1].1 = vec![0; 200 << 20];
    let bytes = signed(value, &bomb);
    assert!(bytes.len() < 200 << 10, "{}", bytes.len());
    check_refused(&bytes, "bomb");
}

#[test]
fn rows_and_segments_made_to_hurt_are_refused() {
    let (value, parts) = parts();
    let rows = &parts[0].1;
    let find = |needle: &[u8]| rows.windows(needle.len()).position(|window| window == needle).unwrap();
    let with_rows = |rows: Vec<u8>| {
        let mut changed = borrowed(&parts);
        changed[0].1 = rows;
        signed(value.clone(), &changed)
    };
    let mut traversing = rows.clone();
    let at = find(b"src/parse.rs");
    traversing[at..at + 12].copy_from_slice(b"../../passwd");
    check_refused(&with_rows(traversing), "a path above the root");
    let mut forging = rows.clone();
    forging[at + 3] = b'\n';
    check_refused(&with_rows(forging), "a path that forges lines");
    check_refused(&with_rows(rows[..rows.len() / 2].to_vec()), "half of the rows");
    check_refused(&with_rows(Vec::new()), "no rows");
    let mut huge = rows.clone();
    huge[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    check_refused(&with_rows(huge), "a row of four gigabytes");
    for at in (8..rows.len()).step_by(rows.len() / 40) {
        let mut noisy = rows.clone();
        noisy[at..(at + 8).min(rows.len())].fill(0xff);
        // It may hit text that says nothing; what is imported must then be usable.
        check_refused_or_harmless(&with_rows(noisy));
    }
    for part in 1..parts.len() {
        for share in 1..8 {
            let mut changed = borrowed(&parts);
            let at = changed[part].1.len() * share / 8;
            let end = (at + 4).min(changed[part].1.len());
            changed[part].1[at..end].fill(0xff);
            check_refused_or_harmless(&signed(value.clone(), &changed));
        }
    }
}

fn check_refused_or_harmless(bytes: &[u8]) {
    let tree = Tree::fixture("rust");
    let path = tree.root().with_file_name("noisy");
    std::fs::write(&path, bytes).unwrap();
    let (_store, mut index) = elsewhere(&tree);
    match import(&mut index, &path) {
        Err(error) => assert!(matches!(error, IndexError::Archive { .. }), "{error}"),
        Ok(_) => {
            update(&mut index);
            context(&index, REQUEST, 400);
            index.search(REQUEST, 20).unwrap();
            index.references("LineEnding").unwrap();
            for file in index.files().unwrap() {
                index.outline(&file.path).unwrap();
            }
        }
    }
}

#[test]
fn an_archive_that_ends_within_any_part_is_refused() {
    let (value, parts) = parts();
    for part in 0..parts.len() {
        let whole: usize = parts[..part].iter().map(|(_, bytes)| bytes.len()).sum();
        let good = signed(value.clone(), &borrowed(&parts));
        let (mut head, mut content) = content(&good).unwrap();
        content.truncate(whole + parts[part].1.len() / 2);
        head.extend(zstd::encode_all(&content[..], 3).unwrap());
        check_refused(&head, &parts[part].0);
    }
}

/// The rows of a good archive, each with what is behind its length.
fn split(rows: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut split) = (rows, Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (row, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        split.push(row.to_vec());
        rest = after;
    }
    split
}

fn joined(rows: &[Vec<u8>]) -> Vec<u8> {
    rows.iter().flat_map(|row| [&(row.len() as u32).to_le_bytes()[..], row].concat()).collect()
}

/// The beginning of a row: that it is one, its table, and how many values it has.
const FILE: [u8; 3] = [1, 0, 15];
const DETAILS: [u8; 3] = [1, 1, 5];
const COMMIT: [u8; 3] = [1, 4, 2];

/// Cached commits that say nothing, 12 MB of them: more than waits between two threads.
fn many_commits() -> Vec<Vec<u8>> {
    let commit = |id: u8| [&COMMIT[..], &[3, 1, id, 3, 0x80, 0x80, 0x40], &vec![0; 1 << 20]].concat();
    (0..12).map(commit).collect()
}

/// An archive whose rows are `begin`, then those of a good one, then many commits.
fn long(begin: &[Vec<u8>], change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let (value, mut parts) = parts();
    let mut rows = split(&parts[0].1);
    change(&mut rows);
    parts[0].1 = joined(&[begin, &rows, &many_commits()].concat());
    signed(value, &borrowed(&parts))
}

#[test]
fn rows_that_are_refused_early_stop_the_unpacking_of_the_others() {
    let one = |rows: &[Vec<u8>], begin: [u8; 3]| rows.iter().position(|row| row.starts_with(&begin)).unwrap();
    let nothing = |_: &mut Vec<Vec<u8>>| {};
    let tree = Tree::fixture("rust");
    let path = tree.root().with_file_name("long");
    std::fs::write(&path, long(&[], nothing)).unwrap();
    import(&mut tree.index(), &path).expect("many commits are no reason");

    check_refused(&long(&[vec![7; 9]], nothing), "something that is no row");
    check_refused(&long(&[vec![1, 6, 1, 0]], nothing), "a table that there is not");
    check_refused(&long(&[vec![1, 5, 2, 0, 0]], nothing), "more values than columns");
    check_refused(&long(&[vec![0x81, 0, 5, 2, 0, 0]], nothing), "the same, disguised");
    let bomb = [&[1, 5, 0x80, 0x80, 0x80, 0x08][..], &vec![0; 16 << 20]].concat();
    check_refused(&long(&[bomb], nothing), "sixteen million values");
    check_refused(&long(&many_commits()[..1], nothing), "a commit twice, which only the store knows");
    let damage = |rows: &mut Vec<Vec<u8>>| {
        let at = one(rows, DETAILS);
        let end = rows[at].len();
        rows[at][end - 4..].fill(0xff);
    };
    check_refused(&long(&[], damage), "references that cannot be unpacked");
    let lose = |rows: &mut Vec<Vec<u8>>| drop(rows.remove(one(rows, DETAILS)));
    check_refused(&long(&[], lose), "a file of which nothing is known");
    let forget = |rows: &mut Vec<Vec<u8>>| drop(rows.remove(one(rows, FILE)));
    check_refused(&long(&[], forget), "something known of no file");
    let exchange = |rows: &mut Vec<Vec<u8>>| {
        let at = one(rows, DETAILS);
        let (id, other) = (rows[at][4], rows[at + 1][4]);
        (rows[at][4], rows[at + 1][4]) = (other, id);
    };
    check_refused(&long(&[], exchange), "chunks of another file");
}

#[test]
fn cancelling_an_import_at_any_time_keeps_the_old_index() {
    let (tree, path, _, says) = exported();
    std::fs::write(&path, long(&[], |_| {})).unwrap();
    let mut index = tree.open();
    // The second time that all is unpacked, the full text is being read.
    for (share, time) in [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (4, 2)] {
        let mut times = 0;
        let stopped = index.import(&path, None, &mut |at| {
            times += u32::from(at.total.is_some_and(|total| at.done * 4 >= total * share));
            if times == time { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(stopped, Err(IndexError::Cancelled)), "{share}/4");
        assert_eq!(serde_json::to_string(&context(&index, REQUEST, 400)).unwrap(), says);
        assert_eq!(update(&mut index).rebuilt, None);
    }
}

#[test]
fn nothing_is_exported_before_there_is_an_index() {
    let tree = Tree::fixture("rust");
    let path = tree.root().with_file_name("none");
    assert!(matches!(tree.open().export(&path), Err(IndexError::Archive { .. })));
    assert!(!path.exists());
}
