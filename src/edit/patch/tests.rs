//! Hunks: what they say, and that any choice of them does what applying them by hand does.

use proptest::prelude::*;

use super::*;

fn modify(path: &str, before: &str, after: &str) -> FileChange {
    let side = |text: &str| Some((path.to_owned(), Side::new(text.as_bytes(), Some(0o644))));
    FileChange { before: side(before), after: side(after), tier: Tier::Exact }
}

fn create(path: &str, text: &str) -> FileChange {
    FileChange {
        before: None,
        after: Some((path.into(), Side::new(text.as_bytes(), None))),
        tier: Tier::File,
    }
}

fn delete(path: &str, bytes: &[u8]) -> FileChange {
    FileChange { before: Some((path.into(), Side::new(bytes, Some(0o644)))), after: None, tier: Tier::File }
}

fn numbers(range: Range<u32>) -> String {
    range.map(|number| format!("{number}\n")).collect()
}

fn after(patch: &PatchSet) -> Vec<(String, String)> {
    let text = |file: &FilePatch| String::from_utf8(file.after().unwrap().bytes.to_vec()).unwrap();
    patch.files().iter().map(|file| (file.path().to_owned(), text(file))).collect()
}

#[test]
fn a_change_reads_as_a_unified_diff() {
    let before = numbers(0..30);
    let text = before.replace("\n5\n", "\nfive\n").replace("\n20\n", "\n20\n20b\n");
    let patch = PatchSet::derive(vec![modify("a.txt", &before, &text), create("b.txt", "x\ny")]);
    assert_eq!(
        patch.unified_diff(),
        "diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n\
         @@ -3,7 +3,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n\
         @@ -19,6 +19,7 @@\n 18\n 19\n 20\n+20b\n 21\n 22\n 23\n\
         diff --git a/b.txt b/b.txt\nnew file mode 100644\n--- /dev/null\n+++ b/b.txt\n\
         @@ -0,0 +1,2 @@\n+x\n+y\n\\ No newline at end of file\n"
    );
    assert_eq!(patch.ids(), BTreeSet::from([1, 2, 3]));
}

#[test]
fn files_that_come_go_or_move_are_hunks() {
    let moved = FileChange {
        before: Some(("old.rs".into(), Side::new(*b"a\n", Some(0o755)))),
        after: Some(("new.rs".into(), Side::new(*b"b\n", Some(0o755)))),
        tier: Tier::Exact,
    };
    let patch = PatchSet::derive(vec![
        moved,
        delete("gone.txt", b"x\n"),
        delete("gone.bin", b"\0\x01\xff"),
        delete("gone.empty", b""),
        create("made.empty", ""),
    ]);
    let shown: Vec<_> = patch
        .files()
        .iter()
        .flat_map(|file| {
            file.hunks().iter().map(move |hunk| (file.path(), file.kind(), hunk.header().to_owned()))
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("gone.bin", ChangeKind::Delete, "delete binary file of 3 bytes".into()),
            ("gone.empty", ChangeKind::Delete, "delete empty file".into()),
            ("gone.txt", ChangeKind::Delete, "@@ -1 +0,0 @@".into()),
            ("made.empty", ChangeKind::Create, "new empty file".into()),
            ("new.rs", ChangeKind::Rename, "rename old.rs -> new.rs".into()),
            ("new.rs", ChangeKind::Rename, "@@ -1 +1 @@".to_string()),
        ]
    );
    assert!(
        patch.unified_diff().contains("rename from old.rs\nrename to new.rs\n--- a/old.rs\n+++ b/new.rs\n")
    );
}

#[test]
fn a_rename_can_be_declined_without_its_lines() {
    let change = FileChange {
        before: Some(("old.rs".into(), Side::new(*b"a\n", Some(0o755)))),
        after: Some(("new.rs".into(), Side::new(*b"b\n", Some(0o755)))),
        tier: Tier::Exact,
    };
    let patch = PatchSet::derive(vec![change]);
    let select = |id| after(&patch.select(&BTreeSet::from([id])));
    assert_eq!(select(1), [("new.rs".to_owned(), "a\n".to_owned())]);
    assert_eq!(select(2), [("old.rs".to_owned(), "b\n".to_owned())]);
    assert_eq!(patch.select(&BTreeSet::from([2])).files()[0].kind(), ChangeKind::Modify);
    assert_eq!(patch.select(&BTreeSet::from([1])).files()[0].after().unwrap().mode, Some(0o755));
}

#[test]
fn declined_hunks_leave_the_base() {
    let before = numbers(0..40);
    let text = before.replace("\n5\n", "\n").replace("\n20\n", "\n20\nx\ny\n").replace("\n35\n", "\nz\n");
    let patch = PatchSet::derive(vec![modify("a", &before, &text), delete("b", b"x")]);
    assert_eq!(patch.ids().len(), 4);
    assert_eq!(
        after(&patch.select(&BTreeSet::from([1, 3]))),
        [("a".to_owned(), before.replace("\n5\n", "\n").replace("\n35\n", "\nz\n"))]
    );
    assert!(patch.select(&BTreeSet::new()).is_empty());
    assert!(patch.select(&BTreeSet::from([99])).is_empty());
    assert_eq!(patch.select(&patch.ids()), patch);
}

#[test]
fn a_binary_change_is_one_hunk() {
    let side = |bytes: &[u8]| Some(("a".to_owned(), Side::new(bytes, None)));
    let change = FileChange { before: side(b"\0x"), after: side(b"\0y"), tier: Tier::File };
    let other = modify("b", "1\n", "2\n");
    let patch = PatchSet::derive(vec![change, other]);
    let selected = patch.select(&BTreeSet::from([1]));
    assert_eq!(selected.files(), &patch.files()[..1]);
}

#[test]
fn what_does_not_change_is_no_patch() {
    assert!(PatchSet::derive(vec![modify("a", "x", "x")]).is_empty());
}

#[test]
fn the_digest_sees_everything() {
    let base = || modify("a", "1\n", "2\n");
    let digest = |change| PatchSet::derive(vec![change]).digest();
    let with = |alter: fn(&mut FileChange)| {
        let mut change = base();
        alter(&mut change);
        digest(change)
    };
    let mut seen = BTreeSet::from([
        digest(base()),
        digest(modify("b", "1\n", "2\n")),
        digest(modify("a", "0\n", "2\n")),
        digest(modify("a", "1\n", "3\n")),
        digest(modify("a", "1\n", "2")),
        with(|change| change.after.as_mut().unwrap().1.mode = Some(0o755)),
        with(|change| change.before.as_mut().unwrap().1.mode = Some(0o600)),
        with(|change| change.before.as_mut().unwrap().0 = "c".into()),
        digest(delete("a", b"1\n")),
        digest(create("a", "1\n")),
        PatchSet::derive(vec![base(), create("b", "")]).digest(),
        PatchSet::default().digest(),
    ]);
    assert_eq!(seen.len(), 12);
    assert!(!seen.insert(digest(base())), "the same patch has the same digest");
}

#[test]
fn windows_line_ends_show_only_where_they_differ() {
    let lines =
        |before, text| PatchSet::derive(vec![modify("a", before, text)]).files()[0].hunks()[0].shown_lines();
    assert_eq!(lines("a\r\nb\r\n", "a\r\nc\r\n"), [" a", "-b", "+c"]);
    assert_eq!(lines("a\r\nb", "a\r\nc").len(), 5);
    assert_eq!(lines("a\r\nb", "a\r\nc")[0], " a");
    assert_eq!(lines("a\r\n", "a\n"), ["-a\r", "+a"]);
}

#[test]
fn odd_names_are_quoted_in_the_diff() {
    let diff = PatchSet::derive(vec![create("my \"x\"\n.md", "a\n"), create("a b.md", "a\n")]).unified_diff();
    assert!(diff.contains("+++ \"b/my \\\"x\\\"\\012.md\""), "{diff}");
    assert!(diff.contains("+++ b/a b.md\t\n"), "{diff}");
}

/// Applies unified diff lines to a text without any knowledge of how they were made.
fn by_hand(before: &str, hunks: &[&Hunk]) -> String {
    let lines = anchor::lines(before);
    let mut text = String::new();
    let mut at = 0;
    for hunk in hunks {
        let numbers = hunk.header.strip_prefix("@@ -").unwrap().split(' ').next().unwrap();
        let (start, length) = numbers.split_once(',').unwrap_or((numbers, "1"));
        let start: usize = start.parse().unwrap();
        let start = if length == "0" { start } else { start - 1 };
        text.extend(lines[at..start].iter().copied());
        at = start;
        for line in &hunk.lines {
            let (sign, rest) = line.split_at(1);
            match sign {
                "\\" => {
                    // The newline that the line before should not have had.
                    if text.ends_with('\u{1}') {
                        text.pop();
                    } else {
                        text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                    }
                }
                "+" => text += &format!("{rest}\n"),
                " " => {
                    assert_eq!(lines[at].strip_suffix('\n').unwrap_or(lines[at]), rest);
                    text += &format!("{rest}\n");
                    at += 1;
                }
                _ => {
                    assert_eq!(lines[at].strip_suffix('\n').unwrap_or(lines[at]), rest);
                    at += 1;
                    if !lines[at - 1].ends_with('\n') {
                        text.push('\u{1}');
                    }
                }
            }
        }
        text = text.replace('\u{1}', "");
    }
    text.extend(lines[at..].iter().copied());
    text
}

/// A text and an edited copy of it, far enough apart here and there for several hunks.
fn texts() -> impl Strategy<Value = (String, String)> {
    let line = "[abc]{0,2}(\r)?";
    (
        prop::collection::vec(
            (line, prop_oneof![12 => Just(None), 1 => "([xyz]\n){0,2}".prop_map(Some)]),
            0..60,
        ),
        any::<(bool, bool)>(),
    )
        .prop_map(|(lines, (open_before, open_after))| {
            let mut before: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
            let mut after: String =
                lines.iter().map(|(line, edit)| edit.clone().unwrap_or(format!("{line}\n"))).collect();
            if open_before {
                before.pop();
            }
            if open_after {
                after.pop();
            }
            (before, after)
        })
}

proptest! {
    #[test]
    fn any_choice_of_hunks_is_what_applying_them_by_hand_gives((before, text) in texts(), choice in any::<u64>()) {
        let patch = PatchSet::derive(vec![modify("a", &before, &text)]);
        prop_assume!(!patch.is_empty());
        let file = &patch.files()[0];
        let accepted: BTreeSet<u32> = patch.ids().into_iter().filter(|id| choice >> (id % 64) & 1 == 1).collect();
        let chosen: Vec<&Hunk> = file.hunks().iter().filter(|hunk| accepted.contains(&hunk.id)).collect();
        let expected = by_hand(&before, &chosen);
        let selected = patch.select(&accepted);
        let got = after(&selected).pop().map_or(before.clone(), |(_, text)| text);
        prop_assert_eq!(got, expected);
        let all: Vec<&Hunk> = file.hunks().iter().collect();
        prop_assert_eq!(by_hand(&before, &all), text);
    }

    /// Declining and then accepting the rest in a second patch ends where accepting all does.
    #[test]
    fn declined_hunks_can_follow_later((before, text) in texts(), choice in any::<u64>()) {
        let patch = PatchSet::derive(vec![modify("a", &before, &text)]);
        let accepted: BTreeSet<u32> = patch.ids().into_iter().filter(|id| choice >> (id % 64) & 1 == 1).collect();
        let halfway = after(&patch.select(&accepted)).pop().map_or(before, |(_, text)| text);
        let rest = PatchSet::derive(vec![modify("a", &halfway, &text)]);
        let end = after(&rest).pop().map_or(halfway, |(_, text)| text);
        prop_assert_eq!(end, text);
    }
}
