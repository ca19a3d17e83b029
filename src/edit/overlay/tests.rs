//! Proposals over real directories: what lands, what is refused, and that the disk stays as it was.

use std::fs;

use super::*;
use crate::edit::{Planned, gate::Region, gate::Syntax};

struct Case {
    folder: tempfile::TempDir,
    overlay: Overlay,
}

fn tree(files: &[(&str, &str)]) -> Case {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let overlay = Overlay::open(folder.path()).unwrap();
    Case { folder, overlay }
}

fn no_syntax(_: &str, _: &str) -> Option<Syntax> {
    None
}

fn gates() -> Gates<'static> {
    Gates { syntax: &no_syntax, ..Gates::new(Planned::Any) }
}

impl Case {
    fn propose(&mut self, edits: &[Edit]) -> Result<Proposed, Vec<Refusal>> {
        self.overlay.propose(edits, &gates())
    }

    fn refused(&mut self, edits: &[Edit]) -> Vec<(Code, String)> {
        self.refused_by(edits, &gates())
    }

    /// The refusals' codes and paths; nothing may have changed.
    fn refused_by(&mut self, edits: &[Edit], gates: &Gates<'_>) -> Vec<(Code, String)> {
        let before = self.overlay.patch();
        let refusals =
            self.overlay.propose(edits, gates).expect_err(&format!("should be refused: {edits:?}"));
        assert_eq!(self.overlay.patch(), before, "a refused answer changes nothing");
        refusals.into_iter().map(|refusal| (refusal.code, refusal.path)).collect()
    }

    fn message(&mut self, edit: Edit) -> String {
        self.propose(&[edit]).unwrap_err()[0].to_string()
    }

    fn text(&mut self, path: &str) -> Option<String> {
        self.overlay.read(path).unwrap()
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.folder.path().join(path)
    }

    fn kinds(&self) -> Vec<(String, ChangeKind)> {
        self.overlay.patch().files().iter().map(|file| (file.path().to_owned(), file.kind())).collect()
    }
}

fn replace(path: &str, search: &str, replace: &str) -> Edit {
    Edit::Replace { path: path.into(), search: search.into(), replace: replace.into() }
}

fn whole(path: &str, content: &str) -> Edit {
    Edit::Whole { path: path.into(), content: content.into() }
}

fn create(path: &str, content: &str) -> Edit {
    Edit::Create { path: path.into(), content: content.into() }
}

fn delete(path: &str) -> Edit {
    Edit::Delete { path: path.into() }
}

fn rename(from: &str, to: &str) -> Edit {
    Edit::Rename { from: from.into(), to: to.into() }
}

fn planned_deletion() -> Gates<'static> {
    Gates { deletion: Deletion::Planned, ..gates() }
}

#[test]
fn blocks_land_and_the_disk_stays() {
    let mut case = tree(&[("a.rs", "one\ntwo\nthree\n"), ("b.rs", "x\n")]);
    let proposed = case
        .propose(&[
            replace("a.rs", "three\n", "3\n"),
            replace("a.rs", "one\n", "1\n"),
            replace("b.rs", "x\n", "y\n"),
        ])
        .unwrap();
    assert_eq!(
        proposed.files[0],
        ProposedFile { path: "a.rs".into(), change: ChangeKind::Modify, tier: Tier::Exact }
    );
    assert_eq!(case.text("a.rs").unwrap(), "1\ntwo\n3\n");
    assert_eq!(case.text("b.rs").unwrap(), "y\n");
    assert_eq!(fs::read_to_string(case.at("a.rs")).unwrap(), "one\ntwo\nthree\n");
}

#[test]
fn later_steps_see_earlier_ones() {
    let mut case = tree(&[("a.rs", "one\n")]);
    case.propose(&[replace("a.rs", "one\n", "two\n")]).unwrap();
    assert_eq!(case.refused(&[replace("a.rs", "one\n", "x\n")]), [(Code::NoMatch, "a.rs".into())]);
    case.propose(&[replace("a.rs", "two\n", "three\n")]).unwrap();
    case.propose(&[create("b.rs", "new\n")]).unwrap();
    case.propose(&[replace("b.rs", "new\n", "newer\n")]).unwrap();
    let patch = case.overlay.patch();
    assert_eq!(&patch.files()[0].before().unwrap().bytes[..], b"one\n");
    assert_eq!(&patch.files()[0].after().unwrap().bytes[..], b"three\n");
    assert_eq!(&patch.files()[1].after().unwrap().bytes[..], b"newer\n");
    assert!(case.overlay.is_changed());
    case.propose(&[replace("a.rs", "three\n", "one\n")]).unwrap();
    assert_eq!(case.kinds(), [("b.rs".to_owned(), ChangeKind::Create)], "back to the base is no change");
}

#[test]
fn an_answer_is_taken_whole_or_not_at_all() {
    let mut case = tree(&[("a.rs", "one\n"), ("b.rs", "two\n")]);
    let refused = case.refused(&[
        replace("a.rs", "one\n", "1\n"),
        replace("b.rs", "missing\n", "x\n"),
        replace("b.rs", "\n", "x\n"),
        create("a.rs", "x\n"),
    ]);
    assert_eq!(
        refused,
        [
            (Code::AddOverExisting, "a.rs".into()),
            (Code::NoMatch, "b.rs".into()),
            (Code::EmptySearch, "b.rs".into())
        ]
    );
    assert!(!case.overlay.is_changed());
    assert_eq!(case.text("a.rs").unwrap(), "one\n");
}

#[test]
fn every_code_has_a_way_to_it() {
    let mut case = tree(&[("a.rs", "x\ny\nx\n"), ("b.rs", "1\n2\n3\n"), ("dir/c.rs", "c\n"), ("empty", "")]);
    for folder in ["bare/objects", "bare/refs", "bare/hooks"] {
        fs::create_dir_all(case.at(folder)).unwrap();
    }
    fs::write(case.at("bare/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(case.at("bin"), b"a\0b").unwrap();
    fs::write(case.at("utf16"), b"\xff\xfea\0\n\0").unwrap();
    fs::write(case.at("latin1"), b"caf\xe9\n").unwrap();
    fs::File::create(case.at("huge")).unwrap().set_len(tree::FILE_LIMIT + 1).unwrap();
    let mut check = |edits: &[Edit], code: Code| {
        let refused = case.refused(edits);
        assert_eq!(refused.first().map(|(code, _)| *code), Some(code), "{edits:?}");
    };
    check(&[replace("a.rs", "z\n", "1\n")], Code::NoMatch);
    check(&[replace("empty", "z\n", "1\n")], Code::NoMatch);
    check(&[replace("a.rs", "x\n", "1\n")], Code::Ambiguous);
    check(&[replace("a.rs", "", "1\n")], Code::EmptySearch);
    check(&[replace("a.rs", "y\n", "y\n")], Code::NoOp);
    check(&[whole("a.rs", "x\ny\nx\n")], Code::NoOp);
    check(&[rename("a.rs", "a.rs")], Code::NoOp);
    check(&[replace("b.rs", "1\n2\n", "a\n"), replace("b.rs", "2\n3\n", "b\n")], Code::Overlap);
    check(&[replace("b.rs", "1\n", "a\n"), replace("b.rs", "1\n", "a\n")], Code::Overlap);
    check(&[replace("b.rs", "1\n", "a\n"), whole("b.rs", "b\n")], Code::Overlap);
    check(&[replace("b.rs", "1\n", "a\n"), rename("b.rs", "d.rs"), whole("d.rs", "b\n")], Code::Overlap);
    check(&[replace("b.rs", "1\n", "a\n"), delete("b.rs")], Code::Overlap);
    check(&[create("n", "a\n"), whole("n", "b\n")], Code::Overlap);
    check(&[create("n", "a\n"), replace("n", "a\n", "b\n")], Code::Overlap);
    check(&[rename("b.rs", "d"), rename("d", "e")], Code::Overlap);
    check(&[create("b.rs", "a\n")], Code::AddOverExisting);
    check(&[rename("b.rs", "a.rs")], Code::AddOverExisting);
    check(&[rename("b.rs", "d.rs"), create("b.rs", "a\n")], Code::AddOverExisting);
    check(&[replace("missing.rs", "a\n", "b\n")], Code::NoSuchFile);
    check(&[delete("missing.rs")], Code::NoSuchFile);
    check(&[rename("missing.rs", "d.rs")], Code::NoSuchFile);
    check(&[create("../evil", "a\n")], Code::BadPath);
    check(&[create(".git/hooks/pre-commit", "a\n")], Code::BadPath);
    check(&[create("bare/hooks/post-checkout", "a\n")], Code::BadPath);
    check(&[create("nul", "a\n")], Code::BadPath);
    check(&[create("A.RS", "a\n")], Code::BadPath);
    check(&[create("DIR/d.rs", "a\n")], Code::BadPath);
    check(&[create("n", "a\n"), create("N", "a\n")], Code::BadPath);
    check(&[create("n", "a\n"), create("n/m", "a\n")], Code::BadPath);
    check(&[create("a.rs/b", "a\n")], Code::NotAFile);
    check(&[create("dir", "a\n")], Code::NotAFile);
    check(&[replace("dir", "a\n", "a\n")], Code::NotAFile);
    check(&[replace("bin", "a\n", "b\n")], Code::Binary);
    check(&[replace("utf16", "a\n", "b\n")], Code::Binary);
    check(&[whole("bin", "b\n")], Code::Binary);
    check(&[create("n", "a\0\n")], Code::Binary);
    check(&[replace("b.rs", "1\n", "a\0\n")], Code::Binary);
    check(&[replace("latin1", "a\n", "b\n")], Code::NotUtf8);
    check(&[replace("huge", "a\n", "b\n")], Code::TooLarge);
    check(&[create("n", &"a".repeat(tree::FILE_LIMIT as usize + 1))], Code::TooLarge);
    check(&[replace("b.rs", "2\n", "// ... existing code ...\n")], Code::Elision);
    check(&[replace("b.rs", "1\n// ...\n3\n", "x\n")], Code::Elision);
    check(&[whole("b.rs", "1\n# rest unchanged\n")], Code::Elision);
    check(&[create("n", "... rest of code ...\n")], Code::Elision);
    check(&[delete("b.rs")], Code::LargeDeletion);
}

#[test]
fn the_gates_of_the_step_hold() {
    let long: String = (0..100).map(|n| format!("{n}\n")).collect();
    let mut case = tree(&[("a.rs", "x\n"), ("long.txt", &long)]);
    let planned = || Planned::Only(vec!["a.rs".into(), "c.rs".into()]);
    let gates = Gates { planned: planned(), ..gates() };
    for edit in [create("b.rs", "x\n"), rename("a.rs", "b.rs"), rename("b.rs", "a.rs"), delete("long.txt")] {
        assert_eq!(case.refused_by(&[edit], &gates)[0].0, Code::UnplannedPath);
    }
    assert_eq!(case.refused(&[whole("long.txt", "1\n")]), [(Code::LargeDeletion, "long.txt".into())]);
    let brackets = |_: &str, text: &str| {
        let open = text.matches('(').count().abs_diff(text.matches(')').count());
        Some(Syntax { errors: open, first_line: Some(1) })
    };
    let gates = Gates { planned: planned(), syntax: &brackets, ..planned_deletion() };
    assert_eq!(case.refused_by(&[replace("a.rs", "x\n", "f(\n")], &gates)[0].0, Code::MoreSyntaxErrors);
    assert_eq!(case.refused_by(&[create("c.rs", "f(\n")], &gates)[0].0, Code::MoreSyntaxErrors);
    assert!(case.overlay.propose(&[create("c.rs", "f()\n")], &gates).is_ok());
}

#[test]
fn the_region_that_was_shown_decides_between_two_places() {
    let mut case = tree(&[("a.rs", "x\ny\nx\n")]);
    let regions = BTreeMap::from([("a.rs".to_owned(), Region { first_line: 3, last_line: 3 })]);
    case.overlay.propose(&[replace("a.rs", "x\n", "z\n")], &Gates { regions, ..gates() }).unwrap();
    assert_eq!(case.text("a.rs").unwrap(), "x\ny\nz\n");
}

#[test]
fn files_come_go_and_move() {
    let mut case = tree(&[("a.rs", "a\n"), ("b.rs", "b\n"), ("e", "")]);
    case.overlay
        .propose(
            &[
                create("new/x.rs", "n\n"),
                replace("y.rs", "", "y\n"),
                replace("e", "", "no longer empty\n"),
                rename("a.rs", "c.rs"),
                replace("a.rs", "a\n", "A\n"),
                delete("b.rs"),
            ],
            &planned_deletion(),
        )
        .unwrap();
    assert_eq!(
        case.kinds(),
        [
            ("b.rs".to_owned(), ChangeKind::Delete),
            ("c.rs".to_owned(), ChangeKind::Rename),
            ("e".to_owned(), ChangeKind::Modify),
            ("new/x.rs".to_owned(), ChangeKind::Create),
            ("y.rs".to_owned(), ChangeKind::Create),
        ]
    );
    assert_eq!(case.text("c.rs").unwrap(), "A\n");
    assert_eq!((case.text("a.rs"), case.text("b.rs")), (None, None));
    // A chain of renames is one, a way back is none, and what never was on the disk leaves no trace.
    case.propose(&[rename("c.rs", "d.rs")]).unwrap();
    assert_eq!(case.overlay.patch().files()[1].old_path(), "a.rs");
    case.propose(&[rename("d.rs", "a.rs")]).unwrap();
    case.propose(&[replace("a.rs", "A\n", "a\n"), delete("y.rs"), create("b.rs", "b\n")]).unwrap();
    assert_eq!(
        case.kinds(),
        [("e".to_owned(), ChangeKind::Modify), ("new/x.rs".to_owned(), ChangeKind::Create)]
    );
}

#[test]
fn binary_files_can_go_and_move() {
    let mut case = tree(&[]);
    fs::write(case.at("a.bin"), b"\0\xff").unwrap();
    fs::write(case.at("b.bin"), b"\0\xfe").unwrap();
    case.overlay.propose(&[delete("a.bin"), rename("b.bin", "c.bin")], &planned_deletion()).unwrap();
    assert_eq!(&case.overlay.patch().files()[1].after().unwrap().bytes[..], b"\0\xfe");
    assert!(case.overlay.read("c.bin").is_err());
}

#[test]
fn the_form_of_the_file_stays() {
    let mut case = tree(&[("a.txt", "\u{feff}one\r\ntwo"), ("b.txt", "one  \ntwo\n")]);
    assert_eq!(case.text("a.txt").unwrap(), "one\r\ntwo");
    let proposed = case
        .propose(&[replace("a.txt", "two\n", "2\nthree\n"), replace("b.txt", "one\ntwo\n", "one\n2\n")])
        .unwrap();
    assert_eq!(
        &case.overlay.patch().files()[0].after().unwrap().bytes[..],
        "\u{feff}one\r\n2\r\nthree".as_bytes()
    );
    assert_eq!(case.text("b.txt").unwrap(), "one  \n2\n");
    assert_eq!(proposed.files[1].tier, Tier::TrailingSpace);
    case.propose(&[whole("a.txt", "uno\n2\n")]).unwrap();
    assert_eq!(&case.overlay.patch().files()[0].after().unwrap().bytes[..], "\u{feff}uno\r\n2".as_bytes());
    assert_eq!(case.overlay.patch().files()[0].tier(), Tier::Whole);
}

#[test]
fn a_file_that_changed_under_us_is_noticed() {
    let mut case = tree(&[("a.rs", "one\n"), ("b.rs", "b\n")]);
    case.text("a.rs");
    fs::write(case.at("a.rs"), "one\nby hand\n").unwrap();
    assert_eq!(case.refused(&[replace("a.rs", "one\n", "1\n")]), [(Code::StaleBase, "a.rs".into())]);
    case.text("b.rs");
    fs::remove_file(case.at("b.rs")).unwrap();
    assert_eq!(case.refused(&[replace("b.rs", "b\n", "1\n")]), [(Code::StaleBase, "b.rs".into())]);
    case.propose(&[create("c.rs", "c\n")]).unwrap();
    fs::write(case.at("c.rs"), "somebody else's\n").unwrap();
    assert_eq!(case.refused(&[replace("c.rs", "c\n", "d\n")]), [(Code::StaleBase, "c.rs".into())]);
}

#[test]
fn messages_help_to_do_better() {
    let mut case = tree(&[("a.rs", "fn main() {\n    let total = 1;\n}\n\nx\ny\nx\n")]);
    let near = case.message(replace("a.rs", "  let totals = 1;\n", "z\n"));
    assert!(near.contains("line 2:\n    let total = 1;\n"), "{near}");
    let twice = case.message(replace("a.rs", "x\n", "z\n"));
    assert!(twice.contains("2 times (line 5, line 7)"), "{twice}");
    let done = case.message(replace("a.rs", "gone\n", "y\n"));
    assert!(done.contains("the new lines are, at line 6"), "{done}");
    let far = case.message(replace("a.rs", "struct Nothing;\n", "z\n"));
    assert!(far.contains("Nothing in the file resembles"), "{far}");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_shared_or_read_only_files_not_changed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mut case = tree(&[("real.rs", "x\n"), ("dir/a.rs", "x\n"), ("locked.rs", "x\n"), ("two.rs", "x\n")]);
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("f.rs"), "x\n").unwrap();
    symlink("real.rs", case.at("link.rs")).unwrap();
    symlink(outside.path(), case.at("out")).unwrap();
    symlink("nowhere", case.at("dangling.rs")).unwrap();
    fs::hard_link(case.at("two.rs"), case.at("twin.rs")).unwrap();
    fs::set_permissions(case.at("locked.rs"), fs::Permissions::from_mode(0o444)).unwrap();
    for path in ["link.rs", "out/f.rs", "out", "dangling.rs"] {
        assert_eq!(case.refused(&[replace(path, "x\n", "y\n")])[0].0, Code::NotAFile, "{path}");
        assert_eq!(case.refused(&[whole(path, "y\n")])[0].0, Code::NotAFile, "{path}");
        assert!(case.overlay.read(path).is_err(), "{path}");
    }
    assert_eq!(case.refused(&[create("out/new.rs", "y\n")])[0].0, Code::NotAFile);
    for edit in
        [replace("two.rs", "x\n", "y\n"), whole("twin.rs", "y\n"), rename("two.rs", "z"), delete("two.rs")]
    {
        assert_eq!(case.refused_by(&[edit], &planned_deletion())[0].0, Code::HardLink);
    }
    assert_eq!(case.refused(&[replace("locked.rs", "x\n", "y\n")])[0].0, Code::ReadOnly);
    assert_eq!(case.text("two.rs").unwrap(), "x\n", "reading is free");
}

/// A definition's new text takes the place of the old, and of nothing else.
#[test]
fn a_definition_is_replaced_by_name() {
    let rust = "use a;\n\n/// Reads.\n#[inline]\nfn read() -> u8 {\n    1\n}\n\nimpl Parser {\n    /// Parses.\n    fn parse(&self) -> u8 {\n        read()\n    }\n\n    fn other(&self) {}\n}\n\nfn parse() {}\n";
    let symbol = |symbol: &str, content: &str| Edit::Symbol {
        path: "a.rs".into(),
        symbol: symbol.into(),
        content: content.into(),
    };
    let check = |edit: Edit, from: &str, to: &str| {
        let mut case = tree(&[("a.rs", rust)]);
        let proposed = case.overlay.propose(&[edit], &Gates::new(Planned::Any)).unwrap();
        assert_eq!(case.text("a.rs").unwrap(), rust.replace(from, to));
        assert_eq!(proposed.files[0].tier, Tier::Named);
    };
    // Comments and attributes that the model left out stay; those that it gave take the old ones' place.
    check(symbol("read", "fn read() -> u8 {\n    2\n}\n"), "    1\n", "    2\n");
    check(symbol("read()", "#[cold]\nfn read() -> u8 {\n    1\n}"), "#[inline]", "#[cold]");
    check(
        symbol("read", "/// Reads it.\n#[inline]\nfn read() -> u8 {\n    1\n}"),
        "/// Reads.",
        "/// Reads it.",
    );
    // From the margin, with only the first line at the margin, or as it stands in the file.
    for content in [
        "fn parse(&self) -> u8 {\n    read() + 1\n}\n",
        "fn parse(&self) -> u8 {\n        read() + 1\n    }\n",
        "    fn parse(&self) -> u8 {\n        read() + 1\n    }\n",
        "\n    fn parse(&self) -> u8 {\n        read() + 1\n    }\n\n",
    ] {
        check(symbol("Parser.parse", content), "        read()\n", "        read() + 1\n");
    }
    // A helper may come with it.
    check(
        symbol("read", "fn read() -> u8 {\n    one()\n}\n\nfn one() -> u8 {\n    1\n}"),
        "    1\n}\n",
        "    one()\n}\n\nfn one() -> u8 {\n    1\n}\n",
    );
    let refused = |edit: Edit| {
        let mut case = tree(&[("a.rs", rust)]);
        case.refused_by(&[edit], &Gates::new(Planned::Any))[0].0
    };
    assert_eq!(refused(symbol("parse", "fn parse() { }")), Code::Ambiguous);
    assert_eq!(refused(symbol("gone", "fn gone() {}")), Code::NoMatch);
    assert_eq!(refused(symbol("read", "    2\n")), Code::Malformed);
    assert_eq!(refused(symbol("Parser.parse", "impl Parser {\n    fn parse(&self) {}\n}")), Code::Malformed);
    assert_eq!(refused(symbol("read", &rust.replace("    1\n", "    2\n"))), Code::Malformed);
    assert_eq!(refused(symbol("read", "fn read() -> u8 {\n    // ... existing code ...\n}")), Code::Elision);
    assert_eq!(refused(symbol("read", "fn read() -> u8 {\n    1\n}")), Code::NoOp);
    assert_eq!(refused(symbol("read", "fn read() -> u8 {\n    (1\n}")), Code::MoreSyntaxErrors);
}

#[test]
fn tagged_lines_are_replaced_if_they_are_still_there() {
    use crate::edit::tag::tag;
    let text = "one\ntwo\nthree\n";
    let lines = |first: String, last: String, content: &str| Edit::Lines {
        path: "a.txt".into(),
        first,
        last,
        content: content.into(),
    };
    let mut case = tree(&[("a.txt", text)]);
    case.propose(&[
        lines(tag(2, "two"), tag(3, "three"), "2\n3\n4\n"),
        lines(tag(1, "one"), tag(1, "one"), ""),
    ])
    .unwrap();
    assert_eq!(case.text("a.txt").unwrap(), "2\n3\n4\n");
    let mut refused = |edit| case.refused(&[edit])[0].0;
    assert_eq!(refused(lines(tag(1, "one"), tag(1, "one"), "1\n")), Code::NoMatch);
    assert_eq!(refused(lines(tag(3, "4"), tag(1, "2"), "1\n")), Code::Malformed);
    assert_eq!(refused(lines(tag(1, "2"), tag(1, "2"), "2\n")), Code::NoOp);
    let message = case.message(lines("3:000".into(), tag(3, "4"), ""));
    assert!(message.contains(&format!("`{}|4`", tag(3, "4"))), "{message}");
}

#[test]
fn what_builds_on_a_declined_hunk_is_stale() {
    let base: String = (0..60).map(|n| format!("line {n}\n")).collect();
    let mut case = tree(&[("a.txt", &base), ("b.txt", "b\n")]);
    case.propose(&[replace("a.txt", "line 5\n", "line 5\nfive\n"), replace("b.txt", "b\n", "B\n")]).unwrap();
    // The second step was placed by what the first one wrote, and reaches far beyond it.
    let search: String = base
        .replace("line 5\n", "line 5\nfive\n")
        .lines()
        .skip(6)
        .take(30)
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(search.starts_with("five\n"));
    case.propose(&[replace("a.txt", &search, &search.replace("line 30\n", "thirty\n"))]).unwrap();
    case.propose(&[replace("a.txt", "line 50\n", "fifty\n")]).unwrap();
    let patch = case.overlay.patch();
    assert_eq!(patch.ids(), BTreeSet::from([1, 2, 3, 4]));
    let stale = |accepted: &[u32]| patch.stale(&accepted.iter().copied().collect(), &no_syntax);
    assert_eq!(stale(&[1, 2, 3, 4]), BTreeSet::new());
    assert_eq!(stale(&[2, 3, 4]), BTreeSet::from([2]), "only what was placed by the declined line");
    assert_eq!(stale(&[1, 3]), BTreeSet::new());
    assert_eq!(stale(&[]), BTreeSet::new());
}

#[test]
fn a_guess_is_badged() {
    let text = "def volume(box):\n    total = 0\n    for layer in box.layers:\n        total += area(layer) * layer.depth\n    assert total >= 0, box\n    return total\n";
    let search = text.replace("total += area(layer) *", "total = total + area(layer) *");
    let mut case = tree(&[("a.py", text)]);
    let proposed =
        case.propose(&[replace("a.py", &search, &search.replace("return total", "return -total"))]).unwrap();
    assert!(proposed.files[0].tier.is_guess());
    assert_eq!(case.text("a.py").unwrap(), text.replace("return total", "return -total"));
}

#[test]
fn hunks_that_only_parse_together_are_not_torn() {
    let base: String = "x\nmark\n".to_owned() + &"y\n".repeat(30) + "end\n";
    let mut case = tree(&[("a.txt", &base)]);
    case.propose(&[replace("a.txt", "mark\n", "(\n"), replace("a.txt", "end\n", ")\n")]).unwrap();
    let brackets = |_: &str, text: &str| {
        let errors = text.matches('(').count().abs_diff(text.matches(')').count());
        Some(Syntax { errors, first_line: None })
    };
    let patch = case.overlay.patch();
    assert_eq!(patch.ids().len(), 2);
    let stale = |accepted: &[u32]| patch.stale(&accepted.iter().copied().collect(), &brackets);
    assert_eq!(stale(&[1, 2]), BTreeSet::new());
    assert_eq!(stale(&[1]), BTreeSet::from([1]));
    assert_eq!(stale(&[2]), BTreeSet::from([2]));
}
