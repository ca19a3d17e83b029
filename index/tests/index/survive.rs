//! What an update does to those who die in it or read beside it.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use countersign_index::Index;

use crate::support::{Tree, context, update};

const FILES: usize = 40;
/// Moments at which a build is killed.
const KILLS: u32 = 32;

/// Gives every file the content of one version.
fn write(tree: &Tree, version: &str) {
    for file in 0..FILES {
        let functions: String = (0..20)
            .map(|at| format!("/// {version}\nfn {version}_{file}_{at}() {{ call_{at}(); }}\n"))
            .collect();
        tree.write(&format!("d{}/f{file}.rs", file % 7), functions);
    }
}

/// The one version that all files are of; panics when they are not.
fn version(index: &Index, versions: [&str; 2]) -> String {
    let context = context(index, &versions.join(" "), 100);
    let chunks = |version: &str| {
        context.ledger.terms.iter().find(|term| term.word == version).map_or(0, |term| term.chunks)
    };
    let [old, new] = versions.map(chunks);
    assert!(old == 0 || new == 0, "of both versions: {old} and {new} chunks");
    assert!(old.max(new) as usize >= FILES, "{old} and {new} chunks");
    versions[usize::from(new > 0)].to_owned()
}

/// Run in a process of its own by the tests below; by itself it does nothing.
#[test]
fn child() {
    let Some(root) = std::env::var_os("INDEX_TEST_ROOT") else { return };
    let store = std::env::var_os("INDEX_TEST_STORE").unwrap();
    let mut index = Index::open(root.as_ref(), store.as_ref()).unwrap();
    update(&mut index);
    if let Some(file) = std::env::var_os("INDEX_TEST_ANSWER") {
        std::fs::write(file, crate::same::everything(&index)).unwrap();
    }
}

fn command(tree: &Tree, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(["survive::child", "--exact", "--nocapture"])
        .env("INDEX_TEST_ROOT", tree.root())
        .env("INDEX_TEST_STORE", tree.store())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[test]
fn a_process_killed_at_any_moment_leaves_an_index() {
    let tree = Tree::empty();
    write(&tree, "before");
    let myself = std::env::current_exe().unwrap();
    let myself = myself.to_str().unwrap();
    let mut index = tree.index();
    let versions = ["alpha", "gamma"];
    write(&tree, versions[0]);
    let began = Instant::now();
    assert!(command(&tree, myself, &[]).status().unwrap().success());
    let whole = began.elapsed();
    let mut is = versions[0].to_owned();
    let mut ends = [0, 0];
    for kill in 0..KILLS {
        let next = versions[usize::from(is == versions[0])];
        write(&tree, next);
        let mut child = command(&tree, myself, &[]).spawn().unwrap();
        std::thread::sleep(whole * kill / KILLS);
        child.kill().unwrap();
        child.wait().unwrap();
        let found = version(&tree.open(), versions);
        assert!(found == is || found == next);
        ends[usize::from(found == next)] += 1;
        let report = update(&mut index);
        assert_eq!((report.rebuilt, report.added, report.files), (None, 0, FILES as u64), "kill {kill}");
        is = version(&index, versions);
        assert_eq!(is, next);
    }
    assert!(ends[0] > 0, "no kill came before the end: {ends:?}");
    let left = std::fs::read_dir(tree.store().join("text")).unwrap().count();
    assert!(left < 100, "{left} files: what dead processes left was not removed");
}

#[test]
fn readers_see_one_state_while_another_writes() {
    let tree = Tree::empty();
    let versions = ["alpha", "gamma"];
    write(&tree, versions[0]);
    let mut writer = tree.index();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let reader = tree.open();
                    let mut reads = 0;
                    while !done.load(Ordering::Relaxed) || reads == 0 {
                        version(&reader, versions);
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for round in 0..12 {
            write(&tree, versions[(round + 1) % 2]);
            assert_eq!(update(&mut writer).updated, FILES as u64);
        }
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert_eq!(version(&writer, versions), versions[0]);
}

/// One processor means one thread that lists and one that parses.
#[cfg(target_os = "linux")]
#[test]
fn the_number_of_threads_does_not_show() {
    let tree = Tree::fixture("python");
    write(&tree, "before");
    let myself = std::env::current_exe().unwrap();
    let myself = myself.to_str().unwrap();
    let says = |program: &str, arguments: &[&str]| {
        drop(std::fs::remove_dir_all(tree.store()));
        let answer = tree.root().with_file_name("answer");
        let status = command(&tree, program, arguments).env("INDEX_TEST_ANSWER", &answer).status().unwrap();
        assert!(status.success(), "{program}");
        std::fs::read_to_string(answer).unwrap()
    };
    let many = says(myself, &[]);
    assert!(many.contains("before_0_0"), "{many}");
    assert_eq!(says("taskset", &["-c", "0", myself]), many);
}
