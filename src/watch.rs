//! Owns the watching of a tree: which paths may have changed since they were last asked for. Whoever
//! asks gets every change that happened before, or is told to look at everything. It must not read
//! files or know the index.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use notify::event::{CreateKind, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// With more paths than this, looking at everything is quicker.
const MOST_PATHS: usize = 1_000;
/// How long a mark may take to come back; then something is wrong with the watch.
const MARK_PATIENCE: Duration = Duration::from_millis(500);

/// What may have changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Changes {
    Everything,
    /// At or below these paths, relative to the root.
    Paths(Vec<String>),
}

/// A watch on one tree.
pub struct Watch {
    /// Held since dropping it ends the watch.
    _watcher: RecommendedWatcher,
    shared: Arc<Shared>,
    marks: PathBuf,
    mark: u64,
}

struct Shared {
    noted: Mutex<Noted>,
    mark_came: Condvar,
}

#[derive(Default)]
struct Noted {
    paths: BTreeSet<String>,
    /// New folders: what is put into one before it is watched makes no event, so that each is looked
    /// at twice.
    folders: BTreeSet<String>,
    /// Events were lost, or something happened that paths cannot say.
    is_everything: bool,
    /// The latest mark that came back.
    mark: u64,
}

impl Watch {
    /// Watches the tree at `root`, a canonical path. `marks` is a folder outside of it, created here,
    /// for files by which events are told apart in time.
    ///
    /// # Errors
    /// When the system refuses, such as for want of watches for so many folders.
    pub fn start(root: &Path, marks: &Path) -> anyhow::Result<Watch> {
        std::fs::create_dir_all(marks).with_context(|| format!("cannot create {}", marks.display()))?;
        let marks = marks.canonicalize()?;
        let shared = Arc::new(Shared {
            // Nothing is known of what happened before.
            noted: Mutex::new(Noted { is_everything: true, ..Noted::default() }),
            mark_came: Condvar::new(),
        });
        let (held, place, own) = (shared.clone(), root.to_owned(), marks.clone());
        let mut watcher = notify::recommended_watcher(move |event| {
            held.lock().note(event, &place, &own);
            held.mark_came.notify_all();
        })?;
        // One queue for both: a mark comes back after everything that happened before it.
        watcher.watch(&marks, RecursiveMode::NonRecursive)?;
        watcher.watch(root, RecursiveMode::Recursive)?;
        Ok(Watch { _watcher: watcher, shared, marks, mark: 0 })
    }

    /// What may have changed since the last call. Everything that happened before this call counts.
    pub fn take(&mut self) -> Changes {
        self.mark += 1;
        let file = self.marks.join(self.mark.to_string());
        let is_written = std::fs::write(&file, "").is_ok();
        let mut noted = self.shared.lock();
        if is_written {
            let mark = self.mark;
            let wait =
                self.shared.mark_came.wait_timeout_while(noted, MARK_PATIENCE, |noted| noted.mark < mark);
            noted = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        let is_complete = noted.mark == self.mark;
        let taken = std::mem::take(&mut *noted);
        noted.mark = taken.mark;
        noted.paths = taken.folders;
        drop(noted);
        // A mark that stays is written again under another name.
        let _ = std::fs::remove_file(&file);
        if taken.is_everything || !is_complete {
            return Changes::Everything;
        }
        Changes::Paths(taken.paths.into_iter().collect())
    }

    /// Forgets what is known: the next answer is everything. For who could not use an answer.
    pub fn forget(&mut self) {
        self.shared.lock().is_everything = true;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn note(&mut self, event: notify::Result<Event>, root: &Path, marks: &Path) {
        let Ok(event) = event else {
            self.is_everything = true;
            return;
        };
        self.is_everything |= event.need_rescan();
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        for path in &event.paths {
            if let Ok(mark) = path.strip_prefix(marks) {
                let mark = mark.to_str().and_then(|mark| mark.parse().ok());
                self.mark = self.mark.max(mark.unwrap_or(0));
            } else if let Ok(path) = path.strip_prefix(root) {
                self.note_path(path, root, event.kind);
            }
        }
    }

    fn note_path(&mut self, path: &Path, root: &Path, kind: EventKind) {
        let Some(text) = path.to_str() else {
            self.is_everything = true;
            return;
        };
        let text = text.replace(std::path::MAIN_SEPARATOR, "/");
        let name = text.rsplit('/').next().unwrap_or_default();
        if text == ".git" || text.starts_with(".git/") {
            // HEAD is looked at anyway; the rest does not say which files there are.
            self.is_everything |= text == ".git/info/exclude";
            return;
        }
        let decides_for_others = matches!(name, ".gitignore" | ".ignore") || text.is_empty();
        // A folder that moved takes along what is below, and its watches know their old place only.
        let is_moved_folder =
            matches!(kind, EventKind::Modify(ModifyKind::Name(_))) && root.join(path).is_dir();
        if decides_for_others || is_moved_folder || self.paths.len() >= MOST_PATHS {
            self.is_everything = true;
            return;
        }
        if matches!(kind, EventKind::Create(CreateKind::Folder | CreateKind::Any)) {
            self.folders.insert(text.clone());
        }
        self.paths.insert(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retrieve::Library;

    struct Place {
        _folder: tempfile::TempDir,
        root: PathBuf,
        library: Library,
    }

    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("a.py"), "def first(): pass\n").unwrap();
        let mut library = Library::open(&root, &folder.path().join("store")).unwrap();
        library.watch();
        assert!(library.is_watched());
        library.update(&mut |_| std::ops::ControlFlow::Continue(())).unwrap();
        Place { _folder: folder, root, library }
    }

    impl Place {
        /// Updates by what the watch tells, and compares with an index that looks at everything.
        fn check(&mut self, what: &str) {
            self.library.update(&mut |_| std::ops::ControlFlow::Continue(())).unwrap();
            let files = self.library.index.files().unwrap();
            let store = tempfile::tempdir().unwrap();
            let mut fresh = Library::open(&self.root, store.path()).unwrap();
            fresh.update(&mut |_| std::ops::ControlFlow::Continue(())).unwrap();
            assert_eq!(files, fresh.index.files().unwrap(), "{what}");
        }
    }

    #[test]
    fn what_happens_in_a_tree_reaches_the_index() {
        let mut place = place();
        let root = place.root.clone();
        type Step = (&'static str, fn(&Path));
        let steps: [Step; 9] = [
            ("nothing", |_| {}),
            ("an edit", |root| std::fs::write(root.join("a.py"), "def other(): pass\n").unwrap()),
            ("a new file", |root| std::fs::write(root.join("b.py"), "b = 1\n").unwrap()),
            ("a new folder with files", |root| {
                std::fs::create_dir_all(root.join("d/e")).unwrap();
                std::fs::write(root.join("d/e/f.py"), "f = 1\n").unwrap();
            }),
            ("a file in it", |root| std::fs::write(root.join("d/e/g.py"), "g = 1\n").unwrap()),
            ("a renamed folder", |root| std::fs::rename(root.join("d"), root.join("x")).unwrap()),
            ("a file in that", |root| std::fs::write(root.join("x/e/g.py"), "g = 22\n").unwrap()),
            ("an ignore file", |root| std::fs::write(root.join(".gitignore"), "b.py\n").unwrap()),
            ("a removed folder", |root| std::fs::remove_dir_all(root.join("x")).unwrap()),
        ];
        for (what, step) in steps {
            step(&root);
            place.check(what);
        }
    }

    #[test]
    fn one_edit_is_one_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("root");
        std::fs::create_dir(&root).unwrap();
        let mut watch = Watch::start(&root, &folder.path().join("marks")).unwrap();
        assert_eq!(watch.take(), Changes::Everything, "nothing is known of the time before");
        assert_eq!(watch.take(), Changes::Paths(vec![]));
        std::fs::write(root.join("a.py"), "x\n").unwrap();
        assert_eq!(watch.take(), Changes::Paths(vec!["a.py".into()]));
        watch.forget();
        assert_eq!(watch.take(), Changes::Everything);
    }

    #[test]
    fn lost_events_mean_everything() {
        let (root, marks) = (Path::new("/r"), Path::new("/m"));
        let is_everything = |event: notify::Result<Event>| {
            let mut noted = Noted::default();
            noted.note(event, root, marks);
            noted.is_everything
        };
        assert!(is_everything(Err(notify::Error::generic("overflow"))));
        let rescan = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert!(is_everything(Ok(rescan)));
        let edit = |path: &str| Event::new(EventKind::Any).add_path(path.into());
        assert!(!is_everything(Ok(edit("/r/a"))));
        assert!(!is_everything(Ok(edit("/r/.git/index"))));
        assert!(is_everything(Ok(edit("/r/.git/info/exclude"))));
        assert!(is_everything(Ok(edit("/r/a/.gitignore"))));
        let mut noted = Noted::default();
        for at in 0..=MOST_PATHS {
            noted.note(Ok(edit(&format!("/r/{at}"))), root, marks);
        }
        assert!(noted.is_everything);
    }
}
