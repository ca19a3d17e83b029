//! A temporary tree with an index beside it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_index::{Budget, Context, Index, Request, UpdateReport, Verdict};

pub struct Tree {
    directory: tempfile::TempDir,
}

impl Tree {
    pub fn empty() -> Tree {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("root")).unwrap();
        Tree { directory }
    }

    /// A copy of `fixtures/repos/<name>`.
    pub fn fixture(name: &str) -> Tree {
        let tree = Tree::empty();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/repos").join(name);
        copy(&from, &tree.root());
        tree
    }

    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn remove(&self, path: &str) {
        std::fs::remove_file(self.root().join(path)).unwrap();
    }

    pub fn open(&self) -> Index {
        Index::open(&self.root(), &self.store()).unwrap()
    }

    /// An index that is up to date.
    pub fn index(&self) -> Index {
        let mut index = self.open();
        update(&mut index);
        index
    }

    /// An index made from nothing, elsewhere.
    pub fn rebuilt(&self) -> Index {
        let store = tempfile::tempdir_in(self.directory.path()).unwrap().keep();
        let mut index = Index::open(&self.root(), &store).unwrap();
        update(&mut index);
        index
    }

    /// Runs git without the configuration of whoever runs the test.
    pub fn git(&self, arguments: &[&str]) {
        self.git_at(arguments, 1_700_000_000);
    }

    pub fn git_at(&self, arguments: &[&str], seconds: u64) {
        let date = format!("{seconds} +0000");
        let output = Command::new("git")
            .args(["-c", "core.autocrlf=false", "-c", "gc.auto=0"])
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
            .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@example.org")])
            .envs([("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)])
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn commit(&self, message: &str, seconds: u64) {
        self.git(&["add", "-A"]);
        self.git_at(&["commit", "-q", "--allow-empty", "-m", message], seconds);
    }
}

/// A fixture with an index that is up to date; the tree lives as long as its first part.
pub fn indexed(name: &str) -> (Tree, Index) {
    let tree = Tree::fixture(name);
    let index = tree.index();
    (tree, index)
}

pub fn update(index: &mut Index) -> UpdateReport {
    index.update(&mut |_| ControlFlow::Continue(())).unwrap()
}

pub fn context(index: &Index, text: &str, tokens: u32) -> Context {
    context_tagged(index, text, &[], tokens)
}

pub fn context_tagged(index: &Index, text: &str, tags: &[&str], tokens: u32) -> Context {
    let request = Request { text: text.to_owned(), tags: tags.iter().map(|tag| (*tag).to_owned()).collect() };
    index.context(&request, Budget { tokens }).unwrap()
}

/// Paths of all candidates, best first.
pub fn ranked(context: &Context) -> Vec<&str> {
    context.ledger.candidates.iter().map(|candidate| candidate.path.as_str()).collect()
}

/// The ledger as a person reads it.
pub fn ledger(context: &Context) -> String {
    let mut out = String::new();
    for candidate in &context.ledger.candidates {
        let verdict = match &candidate.verdict {
            Verdict::Kept { lines } => format!("kept {lines:?}"),
            Verdict::Listed => "listed".to_owned(),
            Verdict::LeftOut { reason } => format!("left out: {reason}"),
        };
        out += &format!("{:.2} {} ({verdict}) {:?}\n", candidate.points, candidate.path, candidate.labels);
        for rule in &candidate.rules {
            out += &format!("    {} {:+.2}: {}\n", rule.rule.name(), rule.points, rule.detail);
        }
    }
    out
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
