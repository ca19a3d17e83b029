//! Undo and redo of hunks, changes and tasks, in any order, over whatever was done by hand since.

use proptest::{prelude::*, strategy::ValueTree as _};

use super::*;

impl Case {
    fn hunks(&self, turn: Turn, id: &str, hunks: &[u32]) -> Result<AppliedChange, ApplyError> {
        let hunks = hunks.iter().copied().collect();
        let extent = Extent::Hunks(&hunks);
        match turn {
            Turn::Undo => undo(&self.root(), &self.journal(), Which::Id(id), extent),
            Turn::Redo => redo(&self.root(), &self.journal(), Which::Id(id), extent),
        }
    }

    fn entry(&self, id: &str) -> Entry {
        show(&self.journal(), id).unwrap().0
    }
}

fn numbered_lines(count: usize) -> String {
    (0..count).map(|n| format!("line {n}\n")).collect()
}

/// A file of sixty lines, and a change of three far-apart lines of it, a new and a renamed file.
fn three_hunks() -> (Case, String) {
    let case = Case::new();
    case.write("long.txt", numbered_lines(60).as_bytes());
    let change = |n: usize| replace("long.txt", &format!("line {n}\n"), &format!("changed {n}\n"));
    let patch = case.patch(&[
        change(5),
        change(30),
        change(55),
        create("made/new.rs", "new\n"),
        Edit::Rename { from: "b.rs".into(), to: "moved.rs".into() },
    ]);
    let id = case.apply(&patch).unwrap().id;
    (case, id)
}

#[test]
fn hunks_are_taken_back_one_by_one_in_any_order() {
    let (case, id) = three_hunks();
    let after = case.picture();
    assert_eq!(show(&case.journal(), &id).unwrap().1.ids().len(), 5);
    case.hunks(Turn::Undo, &id, &[2]).unwrap();
    let text = case.read("long.txt");
    assert!(text.contains("changed 5\n") && text.contains("line 30\n") && text.contains("changed 55\n"));
    assert_eq!(case.entry(&id).undone, [2]);
    case.hunks(Turn::Undo, &id, &[1, 4]).unwrap();
    assert!(!case.at("made/new.rs").exists());
    assert!(case.read("long.txt").contains("line 5\n"));
    assert!(matches!(case.hunks(Turn::Undo, &id, &[2]), Err(ApplyError::WrongState { .. })));
    assert!(matches!(
        case.hunks(Turn::Undo, &id, &[9]),
        Err(ApplyError::UnknownHunk { hunk: 9, hunks: 5, .. })
    ));
    case.hunks(Turn::Redo, &id, &[2]).unwrap();
    assert_eq!(case.entry(&id).undone, [1, 4]);
    case.hunks(Turn::Undo, &id, &[5]).unwrap();
    assert!(case.at("b.rs").exists() && !case.at("moved.rs").exists());
    case.redo(Which::Id(&id)).unwrap();
    assert_eq!(case.picture(), after);
    // Taken back whole from a part, it is as if it had never been.
    case.hunks(Turn::Undo, &id, &[3]).unwrap();
    case.undo(Which::Id(&id)).unwrap();
    assert_eq!(case.read("long.txt"), numbered_lines(60));
    assert!(!case.at("made").exists());
    assert_eq!(case.entry(&id).state, State::Undone);
}

#[test]
fn work_by_hand_stays_where_it_can_be_told_apart() {
    let (case, id) = three_hunks();
    let by_hand = case.read("long.txt").replace("line 10\n", "by hand\n").replace("line 40\n", "");
    case.write("long.txt", by_hand.as_bytes());
    case.write("moved.rs", b"b\nby hand\n");
    case.set_mode("long.txt", 0o640);
    case.undo(Which::Id(&id)).unwrap();
    let expected = numbered_lines(60).replace("line 10\n", "by hand\n").replace("line 40\n", "");
    assert_eq!(case.read("long.txt"), expected);
    assert_eq!(case.read("b.rs"), "b\nby hand\n");
    #[cfg(unix)]
    assert_eq!(case.picture()["long.txt"].1, 0o640, "the mode is whatever its owner made of it");
    case.redo(Which::Id(&id)).unwrap();
    assert_eq!(case.read("long.txt"), by_hand);
    assert_eq!(case.read("moved.rs"), "b\nby hand\n");
}

#[test]
fn what_cannot_be_told_apart_is_refused_with_the_difference() {
    let (case, id) = three_hunks();
    case.write("long.txt", case.read("long.txt").replace("changed 30\n", "mine 30\n").as_bytes());
    let picture = case.picture();
    let error = case.undo(Which::Id(&id)).unwrap_err();
    assert!(error.to_string().contains("+mine 30"), "{error}");
    assert_eq!(conflicting(error), ["long.txt"]);
    assert_eq!(case.picture(), picture);
    // The other hunks can still be taken back.
    case.hunks(Turn::Undo, &id, &[1, 3]).unwrap();
    assert!(case.read("long.txt").contains("mine 30\n"));
    for (path, found) in [("made/new.rs", "its content is another"), ("b.rs", "a file is here now")] {
        let (case, id) = three_hunks();
        case.write(path, b"mine\n");
        let picture = case.picture();
        let error = case.undo(Which::Id(&id)).unwrap_err();
        assert!(error.to_string().contains(found), "{error}");
        assert_eq!(case.picture(), picture);
    }
}

#[test]
fn what_was_taken_back_by_hand_is_no_conflict() {
    let (case, id) = three_hunks();
    case.write("long.txt", numbered_lines(60).as_bytes());
    fs::remove_file(case.at("made/new.rs")).unwrap();
    case.undo(Which::Id(&id)).unwrap();
    assert_eq!(case.read("long.txt"), numbered_lines(60));
    assert!(!case.at("made").exists());
}

#[test]
fn a_task_is_taken_back_whole() {
    let case = Case::new();
    let before = case.picture();
    let task = |name| Note { task: Some(name), ..NOTE };
    let apply_as = |note, edits: &[Edit]| {
        let patch = case.patch(edits);
        apply(case.sign(&patch), &case.root(), &case.journal(), note).unwrap()
    };
    apply_as(task("one"), &[replace("a.rs", "one\n", "1\n"), create("x/new.rs", "n\n")]);
    apply_as(task("one"), &[replace("a.rs", "1\n", "uno\n"), Edit::Delete { path: "bin".into() }]);
    let other = apply_as(task("two"), &[replace("b.rs", "b\n", "B\n")]);
    apply_as(task("one"), &[Edit::Rename { from: "x/new.rs".into(), to: "y/new.rs".into() }]);
    let mut after = case.picture();
    // Where the renamed file was in between; made at once, the changes need it no more.
    after.remove("x/");
    let undone = undo(&case.root(), &case.journal(), Which::Latest, Extent::Task).unwrap();
    assert_eq!(undone.id.split(", ").count(), 3);
    let mut expected = before;
    expected.get_mut("b.rs").unwrap().0 = b"B\n".to_vec();
    assert_eq!(case.picture(), expected);
    assert_eq!(case.states(), [State::Undone, State::Undone, State::Applied, State::Undone]);
    redo(&case.root(), &case.journal(), Which::Id("000001"), Extent::Task).unwrap();
    assert_eq!(case.picture(), after);
    case.undo(Which::Id(&other.id)).unwrap();
    assert_eq!(case.read("b.rs"), "b\n");
}

#[test]
fn the_journal_is_bounded_on_demand() {
    let case = Case::new();
    for n in 0..6 {
        case.apply(&case.patch(&[create(&format!("n{n}"), &format!("{n}\n"))])).unwrap();
    }
    let contents = || fs::read_dir(case.journal().join("contents")).unwrap().count();
    assert_eq!(contents(), 6);
    let picture = case.picture();
    let gone = collect(&case.root(), &case.journal(), 2).unwrap();
    assert_eq!(gone, Collected { changes: 4, contents: 4, bytes: 8 });
    assert_eq!((case.states().len(), contents()), (2, 2));
    assert_eq!(case.picture(), picture);
    case.undo(Which::Latest).unwrap();
    case.undo(Which::Latest).unwrap();
    assert!(matches!(case.undo(Which::Latest), Err(ApplyError::Nothing("undo"))));
    assert!(case.at("n3").exists() && !case.at("n4").exists());
    // Ids go on where they were.
    let next = case.apply(&case.patch(&[create("n9", "9\n")])).unwrap();
    assert!(next.id.starts_with("000007-"), "{}", next.id);
    assert_eq!(collect(&case.root(), &case.journal(), 9).unwrap(), Collected::default());
}

/// Ten thousand edits in random runs of apply, undo, redo and work by hand: once everything that was
/// applied is undone, the tree is what it was, with what was typed since.
#[test]
fn no_byte_is_lost_on_undo() {
    const FILES: usize = 24;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let end = prop_oneof![Just("\n"), Just("\r\n")];
    let lines = proptest::collection::vec("[ab \t]{0,3}|[a-zß日]{4}", 60..90);
    // Which lines change, and into what: other lines, or none.
    let changes = proptest::collection::btree_map(0usize..60, proptest::option::of("[A-Z]{1,4}"), 4..16);
    let file = (lines, changes, end, any::<bool>());
    let round =
        (proptest::collection::vec(file, FILES), proptest::collection::vec((0u8..4, any::<u16>()), 3..7));
    let mut edits = 0;
    while edits < 10_000 {
        let (files, acts) = round.new_tree(&mut runner).unwrap().current();
        let case = Case::new();
        let mut whole = Vec::new();
        for (number, (lines, changes, end, open)) in files.iter().enumerate() {
            let path = format!("t{number}.txt");
            let text = |lines: Vec<&str>| lines.join(end) + if *open { "" } else { end };
            case.write(&path, text(lines.iter().map(String::as_str).collect()).as_bytes());
            let changed = lines.iter().enumerate().filter_map(|(at, line)| match changes.get(&at) {
                None => Some(line.as_str()),
                Some(new) => new.as_deref(),
            });
            let content: String = changed.flat_map(|line| [line, "\n"]).collect();
            whole.push(Edit::Whole { path, content });
        }
        let before = case.picture();
        let patch = case.patch(&whole);
        let hunks: Vec<u32> = patch.ids().into_iter().collect();
        edits += patch.line_changes().len();
        let id = case.apply(&patch).unwrap().id;
        for (act, chosen) in acts {
            let some: Vec<u32> =
                hunks.iter().copied().filter(|hunk| (u32::from(chosen) >> (hunk % 16)) & 1 == 1).collect();
            // Some of these are impossible, such as to undo twice; then nothing happens.
            let _ = match act {
                0 => case.undo(Which::Id(&id)),
                1 => case.redo(Which::Id(&id)),
                2 => case.hunks(Turn::Undo, &id, &some),
                _ => case.hunks(Turn::Redo, &id, &some),
            };
        }
        // Somebody types at the end of a file that has room for it.
        let typed = case.at("t0.txt");
        let ended = fs::read(&typed).unwrap().ends_with(b"\n");
        if ended {
            let text = [fs::read(&typed).unwrap(), b"1\n2\n3\n4\nby hand\n".to_vec()].concat();
            fs::write(&typed, text).unwrap();
        }
        let mut expected = before;
        if ended {
            expected.get_mut("t0.txt").unwrap().0.extend_from_slice(b"1\n2\n3\n4\nby hand\n");
        }
        if case.entry(&id).state == State::Applied {
            match case.undo(Which::Id(&id)) {
                Ok(_) => assert_eq!(case.picture(), expected),
                // The last lines were changed as well: it is refused, and nothing is lost either.
                Err(error) => assert_eq!(conflicting(error), ["t0.txt"]),
            }
        } else {
            assert_eq!(case.picture(), expected);
        }
    }
}
