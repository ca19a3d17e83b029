//! Real processes and a real `kill -9`: this test binary runs itself, and the child kills itself
//! immediately before one of its numbered steps.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use super::fault::{ACTS, Rehearsed};
use super::*;

const FOLDER: &str = "COUNTERSIGN_TEST_KILL_FOLDER";
const ACT: &str = "COUNTERSIGN_TEST_KILL_ACT";
const STEP: &str = "COUNTERSIGN_TEST_KILL_STEP";

/// As a child: carries out one act and dies at one of its steps. By itself: carries them all out.
#[test]
fn child() {
    let variable = |name| std::env::var(name).ok();
    let (Some(folder), Some(act), Some(step)) = (variable(FOLDER), variable(ACT), variable(STEP)) else {
        for act in Rehearsed::all() {
            let (case, result) = act.run(|_| None);
            assert!(result.is_ok());
            assert_eq!(case.now(), act.new);
        }
        return;
    };
    let (act, last): (usize, usize) = (act.parse().unwrap(), step.parse().unwrap());
    let case = Case { folder: Folder::Lent(folder.into()) };
    let patch = if act == 0 { case.mixed() } else { PatchSet::default() };
    let mut step = 0;
    let mut steps = |_: &str| {
        if step == last {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
        }
        step += 1;
        Ok(())
    };
    (ACTS[act].run)(&case, &patch, &mut steps).unwrap();
}

#[test]
fn a_killed_process_leaves_the_old_or_the_new_tree() {
    use std::os::unix::process::ExitStatusExt;
    let program = std::env::current_exe().unwrap();
    let acts: Vec<Rehearsed> = Rehearsed::all().collect();
    let points: Vec<(usize, usize)> = acts
        .iter()
        .enumerate()
        .flat_map(|(act, rehearsed)| (0..rehearsed.names.len()).map(move |step| (act, step)))
        .collect();
    assert!(points.len() >= 200, "only {} kill points", points.len());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((act, step)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let rehearsed = &acts[*act];
                    let case = rehearsed.prepared.copy();
                    let status = Command::new(&program)
                        .args(["--exact", "apply::tests::kill::child", "--quiet"])
                        .env(FOLDER, case.folder.path())
                        .env(ACT, act.to_string())
                        .env(STEP, step.to_string())
                        .stdout(Stdio::null())
                        .stderr(Stdio::null())
                        .status()
                        .unwrap();
                    let name = &rehearsed.names[*step];
                    assert_eq!(status.signal(), Some(9), "before: {name}");
                    case.recover();
                    let now = case.now();
                    assert!(now == rehearsed.old || now == rehearsed.new, "torn by a kill before: {name}");
                    assert_eq!(case.recover(), None, "nothing is left to recover");
                    // What is left of it works: the change can be made, or taken back.
                    match now.1 {
                        Some(State::Applied) => drop(case.undo(Which::Latest).unwrap()),
                        Some(State::Undone) => drop(case.redo(Which::Latest).unwrap()),
                        None => drop(case.apply(&rehearsed.patch).unwrap()),
                    }
                }
            });
        }
    });
}
