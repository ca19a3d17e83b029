//! Apply and its reverse over real directories, with every step failing or the process dying there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::{steps::Fault, *};
use crate::{
    approval,
    edit::{
        Edit, Overlay, Planned,
        gate::{Deletion, Gates},
    },
    protocol::{ChangeKind, Decision},
};

#[cfg(target_os = "linux")]
mod attributes;
mod fault;
mod parts;

#[cfg(unix)]
mod kill;

struct Case {
    /// Holds the repository and, beside it, the journal.
    folder: Folder,
}

enum Folder {
    /// Goes with the case.
    Own(tempfile::TempDir),
    /// Belongs to another process.
    Lent(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Folder::Own(folder) => folder.path(),
            Folder::Lent(path) => path,
        }
    }
}

/// In memory where that is at hand: the hundreds of runs below would wait for the disk to sync.
fn fast_folder() -> Folder {
    Folder::Own(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
}

const NOTE: Note<'static> = Note { at_ms: 1_000, summary: "a change", task: None };

/// Every path with its bytes and mode; directories end with `/`.
type Picture = BTreeMap<String, (Vec<u8>, u32)>;

impl Case {
    /// A tree with what a change can meet: nested, empty, binary and executable files.
    fn new() -> Case {
        let case = Case { folder: fast_folder() };
        for (path, bytes) in [
            ("a.rs", &b"one\ntwo\n"[..]),
            ("b.rs", b"b\n"),
            ("src/c.rs", b"c\r\nd"),
            ("src/deep/e.rs", b"e\n"),
            ("empty", b""),
            ("bin", b"\0\xff"),
            ("run.sh", b"#!/bin/sh\n"),
            ("bystander", b"not part of it\n"),
        ] {
            case.write(path, bytes);
        }
        case.set_mode("run.sh", 0o750);
        case
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("data/journal")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), bytes).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    #[cfg(unix)]
    fn set_mode(&self, path: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[cfg(not(unix))]
    fn set_mode(&self, _: &str, _: u32) {}

    fn picture(&self) -> Picture {
        let mut picture = Picture::new();
        let mut folders = vec![self.root()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let found = path.symlink_metadata().unwrap();
                let name = path.strip_prefix(self.root()).unwrap().to_str().unwrap().replace('\\', "/");
                if found.is_dir() {
                    picture.insert(name + "/", (Vec::new(), 0));
                    folders.push(path);
                } else {
                    picture.insert(name, (fs::read(&path).unwrap_or_default(), mode(&found)));
                }
            }
        }
        picture
    }

    fn patch(&self, edits: &[Edit]) -> PatchSet {
        let mut overlay = Overlay::open(&self.root()).unwrap();
        let gates = Gates { deletion: Deletion::Planned, syntax: &|_, _| None, ..Gates::new(Planned::Any) };
        overlay.propose(edits, &gates).unwrap();
        overlay.patch()
    }

    /// Creates, changes, deletes and renames, in old and new directories.
    fn mixed(&self) -> PatchSet {
        self.patch(&[
            replace("a.rs", "two\n", "2\nthree\n"),
            replace("src/c.rs", "d\n", "D\n"),
            replace("run.sh", "#!/bin/sh\n", "#!/bin/sh\nexit 0\n"),
            replace("empty", "", "full\n"),
            create("new.rs", "n\n"),
            create("x/y/z.rs", "z\n"),
            create("x/w.rs", ""),
            Edit::Delete { path: "b.rs".into() },
            Edit::Delete { path: "bin".into() },
            Edit::Rename { from: "src/deep/e.rs".into(), to: "x/e.rs".into() },
        ])
    }

    fn sign(&self, patch: &PatchSet) -> Approved<PatchSet> {
        let accept = patch.ids().into_iter().collect();
        let decision = Decision { approval: 1, digest: patch.digest(), accept, ..Decision::default() };
        let (none, authority) = (BTreeSet::new(), crate::rules::Authority::default());
        let ruling = approval::by_rules(patch, &none, &authority, &[], &crate::rules::Place::lexical);
        approval::decide(patch, 1, &ruling, &decision, &|_, _| None).unwrap().approved.unwrap()
    }

    fn apply(&self, patch: &PatchSet) -> Result<AppliedChange, ApplyError> {
        apply(self.sign(patch), &self.root(), &self.journal(), NOTE)
    }

    fn apply_stepped(&self, patch: &PatchSet, steps: Steps<'_>) -> Result<AppliedChange, Stop> {
        apply_stepped(patch, &self.root(), &self.journal(), NOTE, steps)
    }

    fn undo(&self, which: Which<'_>) -> Result<AppliedChange, ApplyError> {
        undo(&self.root(), &self.journal(), which, Extent::Change)
    }

    fn redo(&self, which: Which<'_>) -> Result<AppliedChange, ApplyError> {
        redo(&self.root(), &self.journal(), which, Extent::Change)
    }

    fn recover(&self) -> Option<Recovered> {
        recover(&self.root(), &self.journal()).unwrap()
    }

    fn states(&self) -> Vec<State> {
        history(&self.journal()).unwrap().into_iter().map(|entry| entry.state).collect()
    }
}

#[cfg(unix)]
fn mode(found: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    found.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> u32 {
    0
}

fn replace(path: &str, search: &str, replace: &str) -> Edit {
    Edit::Replace { path: path.into(), search: search.into(), replace: replace.into() }
}

fn create(path: &str, content: &str) -> Edit {
    Edit::Create { path: path.into(), content: content.into() }
}

fn conflicting(error: ApplyError) -> Vec<String> {
    match error {
        ApplyError::StaleBase { files } | ApplyError::ChangedSince { files, .. } => {
            files.into_iter().map(|file| file.path).collect()
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_signed_patch_reaches_the_disk_and_is_read_back() {
    let case = Case::new();
    let change = case.apply(&case.mixed()).unwrap();
    assert_eq!(case.read("a.rs"), "one\n2\nthree\n");
    assert_eq!(case.read("src/c.rs"), "c\r\nD");
    assert_eq!(case.read("x/y/z.rs"), "z\n");
    assert_eq!(case.read("x/e.rs"), "e\n");
    assert!(!case.at("b.rs").exists() && !case.at("bin").exists() && !case.at("src/deep/e.rs").exists());
    let told: Vec<_> =
        change.files.iter().map(|file| (file.path.as_str(), file.change, file.bytes)).collect();
    assert_eq!(
        told,
        [
            ("a.rs", ChangeKind::Modify, 12),
            ("b.rs", ChangeKind::Delete, 0),
            ("bin", ChangeKind::Delete, 0),
            ("empty", ChangeKind::Modify, 5),
            ("new.rs", ChangeKind::Create, 2),
            ("run.sh", ChangeKind::Modify, 17),
            ("src/c.rs", ChangeKind::Modify, 4),
            ("x/e.rs", ChangeKind::Rename, 2),
            ("x/w.rs", ChangeKind::Create, 0),
            ("x/y/z.rs", ChangeKind::Create, 2),
        ]
    );
    for file in &change.files {
        let hash = fs::read(case.at(&file.path)).ok().map(|bytes| blake3::hash(&bytes).to_hex().to_string());
        assert_eq!(file.hash, hash, "{}", file.path);
    }
    assert!(case.picture().keys().all(|path| !path.contains(".countersign")), "no temporary file is left");
}

#[test]
fn undo_and_redo_restore_bytes_modes_and_directories() {
    let case = Case::new();
    let before = case.picture();
    let patch = case.mixed();
    let applied = case.apply(&patch).unwrap();
    let after = case.picture();
    assert_eq!(case.states(), [State::Applied]);
    for _ in 0..2 {
        let undone = case.undo(Which::Latest).unwrap();
        assert_eq!(undone.id, applied.id);
        assert_eq!(case.picture(), before);
        assert_eq!(case.states(), [State::Undone]);
        let told: BTreeSet<_> =
            undone.files.iter().map(|file| (file.path.as_str(), file.hash.is_some())).collect();
        assert!(told.contains(&("b.rs", true)) && told.contains(&("new.rs", false)));
        assert!(told.contains(&("src/deep/e.rs", true)));
        assert_eq!(case.redo(Which::Id(&applied.id)).unwrap().files, applied.files);
        assert_eq!(case.picture(), after);
    }
}

#[test]
fn a_directory_that_somebody_else_uses_outlives_undo() {
    let case = Case::new();
    case.apply(&case.patch(&[create("made/here/a.rs", "a\n")])).unwrap();
    case.write("made/mine.txt", b"mine");
    case.undo(Which::Latest).unwrap();
    assert_eq!(case.read("made/mine.txt"), "mine");
    assert!(!case.at("made/here").exists());
}

#[test]
fn undo_in_any_order_that_is_possible() {
    let case = Case::new();
    let first = case.apply(&case.patch(&[replace("a.rs", "one\n", "1\n")])).unwrap();
    let second = case.apply(&case.patch(&[replace("a.rs", "two\n", "2\n")])).unwrap();
    let third = case.apply(&case.patch(&[replace("b.rs", "b\n", "B\n")])).unwrap();
    assert!(first.id < second.id && second.id < third.id);
    assert_eq!(conflicting(case.undo(Which::Id(&first.id)).unwrap_err()), ["a.rs"]);
    assert_eq!(case.undo(Which::Latest).unwrap().id, third.id);
    assert_eq!(case.undo(Which::Latest).unwrap().id, second.id);
    assert_eq!(case.redo(Which::Latest).unwrap().id, second.id, "what was undone last is redone first");
    assert_eq!(case.redo(Which::Latest).unwrap().id, third.id);
    assert!(matches!(case.redo(Which::Latest), Err(ApplyError::Nothing("redo"))));
    case.undo(Which::Id(&second.id)).unwrap();
    case.undo(Which::Id("000001")).unwrap();
    assert_eq!(case.read("a.rs"), "one\ntwo\n");
    assert_eq!(case.states(), [State::Undone, State::Undone, State::Applied]);
    assert!(matches!(case.undo(Which::Id(&second.id)), Err(ApplyError::WrongState { .. })));
    assert!(matches!(case.undo(Which::Id("zzz")), Err(ApplyError::UnknownChange(_))));
    assert!(matches!(case.undo(Which::Id("")), Err(ApplyError::UnknownChange(_))));
    assert!(matches!(case.undo(Which::Id("00000")), Err(ApplyError::SeveralChanges { .. })));
}

#[test]
fn work_done_by_hand_is_not_lost() {
    let case = Case::new();
    case.apply(&case.mixed()).unwrap();
    case.write("a.rs", b"one\n2\nthree\nby hand\n");
    case.write("b.rs", b"new life\n");
    fs::remove_file(case.at("new.rs")).unwrap();
    let picture = case.picture();
    let error = case.undo(Which::Latest).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("a.rs: its content is another") && text.contains("+by hand"), "{text}");
    // What somebody removed by hand needs no taking back.
    assert_eq!(conflicting(error), ["a.rs", "b.rs"]);
    assert_eq!(case.picture(), picture);
    assert_eq!(case.states(), [State::Applied]);
}

#[test]
fn a_base_that_changed_after_the_review_stops_everything() {
    type Meddle = fn(&Case);
    let meddle: &[(&str, Meddle)] = &[
        ("a.rs", |case| case.write("a.rs", b"saved meanwhile\n")),
        ("b.rs", |case| fs::remove_file(case.at("b.rs")).unwrap()),
        ("new.rs", |case| case.write("new.rs", b"theirs\n")),
        ("x/e.rs", |case| case.write("x/e.rs", b"theirs\n")),
        ("a.rs", |case| {
            fs::remove_file(case.at("a.rs")).unwrap();
            fs::create_dir(case.at("a.rs")).unwrap();
        }),
    ];
    for (path, meddle) in meddle {
        let case = Case::new();
        let patch = case.mixed();
        meddle(&case);
        let picture = case.picture();
        assert_eq!(conflicting(case.apply(&patch).unwrap_err()), [*path]);
        assert_eq!(case.picture(), picture);
        assert_eq!(case.states(), []);
    }
}

#[cfg(unix)]
#[test]
fn links_and_modes_that_turned_up_after_the_review_stop_everything() {
    use std::os::unix::fs::symlink;
    type Meddle = fn(&Case);
    let meddle: &[(&str, Meddle)] = &[
        ("a.rs", |case| {
            fs::rename(case.at("a.rs"), case.at("hidden")).unwrap();
            symlink("hidden", case.at("a.rs")).unwrap();
        }),
        ("src/c.rs", |case| {
            fs::rename(case.at("src"), case.folder.path().join("outside")).unwrap();
            symlink(case.folder.path().join("outside"), case.at("src")).unwrap();
        }),
        ("a.rs", |case| fs::hard_link(case.at("a.rs"), case.at("second")).unwrap()),
        ("run.sh", |case| case.set_mode("run.sh", 0o700)),
        ("new.rs", |case| symlink("nowhere", case.at("new.rs")).unwrap()),
        ("x/e.rs", |case| symlink("/tmp", case.at("x")).unwrap()),
    ];
    for (path, meddle) in meddle {
        let case = Case::new();
        let patch = case.mixed();
        meddle(&case);
        let picture = case.picture();
        let found = conflicting(case.apply(&patch).unwrap_err());
        assert!(found.contains(&(*path).to_owned()), "{path}: {found:?}");
        assert_eq!(case.picture(), picture);
    }
}

#[test]
fn a_file_saved_between_two_renames_is_kept() {
    let case = Case::new();
    let before = case.picture();
    let patch = case.mixed();
    let mut steps = |what: &str| {
        if what == "write `x/e.rs`" {
            case.write("b.rs", b"saved just now\n");
        }
        Ok(())
    };
    let Err(Stop::Failed(error)) = case.apply_stepped(&patch, &mut steps) else { panic!() };
    assert_eq!(conflicting(error), ["b.rs"]);
    let mut expected = before;
    expected.get_mut("b.rs").unwrap().0 = b"saved just now\n".to_vec();
    assert_eq!(case.picture(), expected);
    assert_eq!(case.states(), []);
}

#[test]
fn a_path_that_may_never_be_written_is_refused_even_if_signed() {
    use crate::edit::{
        anchor::Tier,
        patch::{FileChange, Side},
    };
    let case = Case::new();
    for path in ["../evil", ".git/hooks/pre-commit", "/etc/evil", "a\\b"] {
        let after = Some((path.to_owned(), Side::new(*b"x", None)));
        let patch = PatchSet::derive(vec![FileChange { before: None, after, tier: Tier::File }]);
        assert!(matches!(case.apply(&patch), Err(ApplyError::Path(_))), "{path}");
    }
    let before = Some(("a.rs".to_owned(), Side::new(*b"one\ntwo\n", None)));
    let twice = |path: &str| FileChange {
        before: before.clone(),
        after: Some((path.to_owned(), Side::new(*b"x", None))),
        tier: Tier::File,
    };
    let patch = PatchSet::derive(vec![twice("b"), twice("c")]);
    assert!(matches!(case.apply(&patch), Err(ApplyError::Path(_))));
}

#[test]
fn recovery_leaves_alone_what_was_changed_after_the_kill() {
    let case = Case::new();
    let patch = case.mixed();
    let killed = case.apply_stepped(&patch, &mut |what| {
        if what == "remove `b.rs`" { Err(Fault::Crash) } else { Ok(()) }
    });
    assert!(matches!(killed, Err(Stop::Crashed)));
    case.write("a.rs", b"rewritten by hand\n");
    let recovered = case.recover();
    assert_eq!(recovered.unwrap().left, ["a.rs"]);
    assert_eq!(case.read("a.rs"), "rewritten by hand\n");
    assert_eq!(case.read("empty"), "");
    assert!(!case.at("x").exists());
}

#[test]
fn the_next_apply_recovers_first() {
    let case = Case::new();
    let patch = case.mixed();
    let killed = case.apply_stepped(&patch, &mut |what| {
        if what == "remove `b.rs`" { Err(Fault::Crash) } else { Ok(()) }
    });
    assert!(matches!(killed, Err(Stop::Crashed)));
    case.apply(&patch).unwrap();
    assert_eq!(case.states(), [State::Applied]);
    assert_eq!(case.read("a.rs"), "one\n2\nthree\n");
}

#[test]
fn a_damaged_journal_is_reported_and_nothing_written() {
    let case = Case::new();
    case.apply(&case.patch(&[replace("b.rs", "b\n", "B\n")])).unwrap();
    let contents = case.journal().join("contents");
    let old = contents.join(blake3::hash(b"b\n").to_hex().as_str());
    fs::write(&old, b"x\n").unwrap();
    let picture = case.picture();
    let error = case.undo(Which::Latest).unwrap_err();
    assert!(matches!(&error, ApplyError::Journal { .. }), "{error}");
    assert_eq!(case.picture(), picture);
    assert_eq!(case.states(), [State::Applied]);
    let record = case.journal().join(format!("changes/{}.json", history(&case.journal()).unwrap()[0].id));
    fs::write(&record, "{").unwrap();
    let patch = case.patch(&[replace("a.rs", "one\n", "1\n")]);
    let error = case.apply(&patch).unwrap_err();
    assert!(error.to_string().contains("changes/000001-"), "{error}");
    assert_eq!(case.picture(), picture);
}

#[cfg(unix)]
#[test]
fn the_journal_is_its_owners_alone_and_new_files_are_not() {
    let case = Case::new();
    case.apply(&case.mixed()).unwrap();
    let mode_of = |path: PathBuf| mode(&fs::metadata(path).unwrap());
    for folder in ["", "changes", "contents"] {
        assert_eq!(mode_of(case.journal().join(folder)), 0o700, "{folder}");
    }
    for folder in ["changes", "contents"] {
        for entry in fs::read_dir(case.journal().join(folder)).unwrap() {
            assert_eq!(mode_of(entry.unwrap().path()), 0o600);
        }
    }
    // The usual mode of a new file, less what the process masks.
    let probe = case.folder.path().join("probe");
    fs::write(&probe, "").unwrap();
    assert_eq!(mode_of(case.at("new.rs")), mode_of(probe) & 0o644);
    assert_eq!(mode_of(case.at("run.sh")), 0o750);
}

#[cfg(unix)]
#[test]
fn the_owner_of_a_file_survives() {
    use std::os::unix::fs::MetadataExt;
    let case = Case::new();
    // Only the superuser may give files away; for others this is about keeping what there is.
    let _ = std::os::unix::fs::chown(case.at("a.rs"), Some(4321), Some(4322));
    let _ = std::os::unix::fs::chown(case.at("src/deep/e.rs"), Some(4321), Some(4322));
    let owner = |path: &str| {
        let found = fs::metadata(case.at(path)).unwrap();
        (found.uid(), found.gid())
    };
    let (changed, renamed) = (owner("a.rs"), owner("src/deep/e.rs"));
    case.apply(&case.mixed()).unwrap();
    assert_eq!((owner("a.rs"), owner("x/e.rs")), (changed, renamed));
    case.undo(Which::Latest).unwrap();
    assert_eq!((owner("a.rs"), owner("src/deep/e.rs")), (changed, renamed));
}

#[cfg(unix)]
#[test]
fn a_read_only_directory_refuses_everything_or_nothing() {
    let case = Case::new();
    let patch = case.mixed();
    case.set_mode("src", 0o555);
    let old = case.picture();
    let result = case.apply(&patch);
    match result {
        // The superuser writes everywhere.
        Ok(_) => assert_eq!(
            (case.read("a.rs"), case.read("src/c.rs")),
            ("one\n2\nthree\n".into(), "c\r\nD".into())
        ),
        Err(error) => {
            assert!(error.to_string().contains("check who may write there"), "{error}");
            assert_eq!(case.picture(), old);
        }
    }
    case.set_mode("src", 0o755);
}

#[test]
fn a_repository_without_a_journal_has_no_history() {
    let case = Case::new();
    assert_eq!(history(&case.journal()).unwrap(), []);
    assert_eq!(case.recover(), None);
    assert!(!case.journal().exists(), "looking makes nothing");
    assert!(matches!(case.undo(Which::Latest), Err(ApplyError::Nothing("undo"))));
    let patch = case.mixed();
    let error = apply(case.sign(&patch), &case.root().join("gone"), &case.journal(), NOTE).unwrap_err();
    assert!(matches!(error, ApplyError::Io { .. }));
}

#[test]
fn two_appliers_take_turns() {
    let case = Case::new();
    let patches: Vec<PatchSet> = (0..8).map(|n| case.patch(&[create(&format!("new/{n}"), "x\n")])).collect();
    std::thread::scope(|scope| {
        for patch in &patches {
            scope.spawn(|| case.apply(patch).unwrap());
        }
    });
    assert_eq!(case.states(), [State::Applied; 8]);
    assert_eq!(fs::read_dir(case.at("new")).unwrap().count(), 8);
}
