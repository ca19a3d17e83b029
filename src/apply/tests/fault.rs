//! Every step of apply, undo and redo fails once, or is the last one before the process dies.

use super::*;

/// What is done with a fault in it, and what the journal says of the change before and after.
pub struct Act {
    pub prepare: fn(&Case) -> PatchSet,
    pub run: fn(&Case, &PatchSet, Steps<'_>) -> Result<AppliedChange, Stop>,
    pub states: (Option<State>, Option<State>),
}

pub static ACTS: [Act; 3] = [
    Act {
        prepare: Case::mixed,
        run: |case, patch, steps| case.apply_stepped(patch, steps),
        states: (None, Some(State::Applied)),
    },
    Act {
        prepare: |case| {
            let patch = case.mixed();
            case.apply(&patch).unwrap();
            patch
        },
        run: |case, _, steps| {
            turn_stepped(&case.root(), &case.journal(), (Which::Latest, Extent::Change), Turn::Undo, steps)
        },
        states: (Some(State::Applied), Some(State::Undone)),
    },
    Act {
        prepare: |case| {
            let patch = case.mixed();
            case.apply(&patch).unwrap();
            case.undo(Which::Latest).unwrap();
            patch
        },
        run: |case, _, steps| {
            turn_stepped(&case.root(), &case.journal(), (Which::Latest, Extent::Change), Turn::Redo, steps)
        },
        states: (Some(State::Undone), Some(State::Applied)),
    },
];

/// An act that went well once: what there was before and after, and the names of its steps.
pub struct Rehearsed {
    pub prepared: Case,
    pub patch: PatchSet,
    pub act: &'static Act,
    pub names: Vec<String>,
    pub old: (Picture, Option<State>),
    pub new: (Picture, Option<State>),
}

impl Rehearsed {
    pub fn all() -> impl Iterator<Item = Rehearsed> {
        ACTS.iter().map(|act| {
            let prepared = Case::new();
            let patch = (act.prepare)(&prepared);
            let healthy = prepared.copy();
            let mut names = Vec::new();
            let mut note = |what: &str| {
                names.push(what.to_owned());
                Ok(())
            };
            (act.run)(&healthy, &patch, &mut note).unwrap();
            let old = (prepared.picture(), act.states.0);
            let new = (healthy.picture(), act.states.1);
            assert_ne!(old, new);
            Rehearsed { prepared, patch, act, names, old, new }
        })
    }

    /// Runs the act on a fresh copy; `fault` decides at each step, by its number.
    pub fn run(&self, fault: impl Fn(usize) -> Option<Fault>) -> (Case, Result<AppliedChange, Stop>) {
        let case = self.prepared.copy();
        let result = (self.act.run)(&case, &self.patch, &mut numbered(fault));
        (case, result)
    }
}

fn numbered(fault: impl Fn(usize) -> Option<Fault>) -> impl FnMut(&str) -> Result<(), Fault> {
    let mut step = 0;
    move |_| {
        step += 1;
        fault(step - 1).map_or(Ok(()), Err)
    }
}

impl Case {
    /// The same repository and journal at another place.
    pub fn copy(&self) -> Case {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                let to = to.join(path.file_name().unwrap());
                if path.is_dir() { copy(&path, &to) } else { fs::copy(&path, &to).map(drop).unwrap() }
            }
        }
        let case = Case { folder: fast_folder() };
        copy(self.folder.path(), case.folder.path());
        case
    }

    pub fn now(&self) -> (Picture, Option<State>) {
        (self.picture(), self.states().first().copied())
    }
}

fn disk_full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

fn not_allowed() -> io::Error {
    io::Error::from(io::ErrorKind::PermissionDenied)
}

#[test]
fn a_kill_at_any_step_leaves_the_old_or_the_new_tree_after_recovery() {
    let mut points = 0;
    for act in Rehearsed::all() {
        for at in 0..act.names.len() {
            let (case, result) = act.run(|step| (step == at).then_some(Fault::Crash));
            assert!(matches!(result, Err(Stop::Crashed)));
            case.recover();
            let now = case.now();
            assert!(now == act.old || now == act.new, "torn after a kill before: {}", act.names[at]);
            assert_eq!(case.recover(), None, "nothing is left to recover");
            points += 1;
        }
    }
    assert!(points >= 200, "only {points} kill points");
}

#[test]
fn a_failure_at_any_step_leaves_the_old_tree_at_once() {
    for act in Rehearsed::all() {
        for at in 0..act.names.len() {
            for (fault, advice) in
                [(disk_full as fn() -> io::Error, "make room"), (not_allowed, "who may write there")]
            {
                let (case, result) = act.run(|step| (step == at).then(|| Fault::Error(fault())));
                let Err(Stop::Failed(error)) = result else { panic!("{}", act.names[at]) };
                assert!(matches!(error, ApplyError::Io { .. }), "{error}");
                assert!(error.to_string().contains(advice), "{error}");
                assert_eq!(case.now(), act.old, "{}", act.names[at]);
                assert_eq!(case.recover(), None);
            }
        }
    }
}

#[test]
fn a_disk_that_stays_broken_is_repaired_by_the_next_start() {
    for act in Rehearsed::all() {
        for at in 0..act.names.len() {
            let (case, result) = act.run(|step| (step >= at).then(|| Fault::Error(disk_full())));
            assert!(matches!(result, Err(Stop::Failed(ApplyError::Io { .. } | ApplyError::HalfDone { .. }))));
            case.recover();
            let now = case.now();
            assert!(now == act.old || now == act.new, "torn by a failure from: {}", act.names[at]);
            if now == act.new {
                let noting = |name: &String| name.starts_with("note in the journal");
                assert!(act.names[at..].iter().all(noting), "only the end may have been noted already");
            }
        }
    }
}

/// The process is killed while it takes back what failed, and while it recovers from a kill.
#[test]
fn a_kill_on_the_way_back_is_recovered() {
    for act in Rehearsed::all() {
        // Where the tree is most torn: in the midst of the names, and at the very end.
        let first = act.names.iter().position(|name| name.starts_with("write `")).unwrap();
        for at in [first + 1, first + 8, act.names.len() - 1] {
            for second in (at + 1).. {
                let (case, result) = act.run(|step| match step {
                    _ if step == at => Some(Fault::Error(disk_full())),
                    _ => (step == second).then_some(Fault::Crash),
                });
                case.recover();
                let now = case.now();
                assert!(now == act.old || now == act.new, "torn: {}, then {second}", act.names[at]);
                if matches!(result, Err(Stop::Failed(_))) {
                    break;
                }
            }
        }
        for second in 0.. {
            let (case, _) = act.run(|step| (step == first + 8).then_some(Fault::Crash));
            let mut steps = numbered(|step| (step == second).then_some(Fault::Crash));
            let recovered = recover_stepped(&case.root(), &case.journal(), &mut steps);
            case.recover();
            assert_eq!(case.now(), act.old, "torn by a kill during recovery, at {second}");
            if recovered.is_ok() {
                break;
            }
        }
    }
}
