//! Extended attributes and access control lists survive apply, undo and redo.

use rustix::fs::{XattrFlags, getxattr, setxattr};

use super::*;

const LIST: &str = "system.posix_acl_access";

/// Whether the file system that the case is on has attributes at all.
fn set(case: &Case, path: &str, name: &str, value: &[u8]) -> bool {
    match setxattr(case.at(path), name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(rustix::io::Errno::NOTSUP) => false,
        Err(error) => panic!("{name}: {error}"),
    }
}

fn get(case: &Case, path: &str, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let length = getxattr(case.at(path), name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

/// A list in the kernel's form: its owner may read and write, one other user may read, nobody else anything.
fn list() -> Vec<u8> {
    let entries =
        [(0x01, 6, u32::MAX), (0x02, 4, 4321), (0x04, 0, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(u16::to_le_bytes(rights));
        bytes.extend(u32::to_le_bytes(id));
    }
    bytes
}

#[test]
fn attributes_and_access_rules_survive() {
    let case = Case::new();
    // Changed, deleted, renamed. Longer than what is read at first, and not text.
    let long = [0xff; 700];
    for path in ["a.rs", "b.rs", "src/deep/e.rs"] {
        if !set(&case, path, "user.origin", &long) {
            return; // This file system has no attributes: there is nothing to keep.
        }
        set(&case, path, "user.empty", b"");
    }
    let has_lists = set(&case, "a.rs", LIST, &list());
    let all = |case: &Case, path: &str| ["user.origin", "user.empty", LIST].map(|name| get(case, path, name));
    let old = ["a.rs", "b.rs", "src/deep/e.rs"].map(|path| all(&case, path));
    assert!(old[0][0].as_deref() == Some(&long[..]) && old[0][2].is_some() == has_lists);
    case.apply(&case.mixed()).unwrap();
    for _ in 0..2 {
        assert_eq!([all(&case, "a.rs"), all(&case, "x/e.rs")], [old[0].clone(), old[2].clone()]);
        assert_eq!(all(&case, "new.rs"), [None, None, None]);
        case.undo(Which::Latest).unwrap();
        assert_eq!(["a.rs", "b.rs", "src/deep/e.rs"].map(|path| all(&case, path)), old);
        case.redo(Which::Latest).unwrap();
    }
}

#[test]
fn a_file_gets_no_access_rules_that_it_did_not_have() {
    let case = Case::new();
    // New files in this directory get the list; the one that is there has none.
    if !set(&case, "src", "system.posix_acl_default", &list()) {
        return; // This file system has no access control lists: there is nothing to keep.
    }
    assert_eq!(get(&case, "src/c.rs", LIST), None);
    case.apply(&case.patch(&[replace("src/c.rs", "d\n", "D\n"), create("src/new.rs", "n\n")])).unwrap();
    assert_eq!(get(&case, "src/c.rs", LIST), None);
    assert!(get(&case, "src/new.rs", LIST).is_some(), "a new file is as its directory makes it");
    case.undo(Which::Latest).unwrap();
    assert_eq!(get(&case, "src/c.rs", LIST), None);
}

#[test]
fn attributes_that_change_during_an_apply_stop_it() {
    let case = Case::new();
    if !set(&case, "empty", "user.origin", b"one") {
        return; // This file system has no attributes: there is nothing to keep.
    }
    let patch = case.mixed();
    let mut steps = |what: &str| {
        if what == "write `a.rs`" {
            set(&case, "empty", "user.origin", b"two");
        }
        Ok(())
    };
    let Err(Stop::Failed(error)) = case.apply_stepped(&patch, &mut steps) else { panic!() };
    assert_eq!(conflicting(error), ["empty"]);
    assert_eq!(get(&case, "empty", "user.origin").as_deref(), Some(&b"two"[..]));
    assert_eq!(case.read("a.rs"), "one\ntwo\n");
}
