//! Which checks of one repository its owner has approved, by the hash of everything that decides what
//! runs. Kept in our data folder, where no check can write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{Check, Source};
use crate::disk::{private_folder, replace};

/// The approvals of one repository.
#[derive(Debug)]
pub struct Trust {
    path: PathBuf,
    approved: BTreeMap<String, Approval>,
}

/// What was approved and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// For people; only the hash counts.
    pub command: String,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Trust {
    /// The approvals that are kept in `folder`.
    ///
    /// # Errors
    /// A file that cannot be read: better said than taken for an empty one, which the next approval
    /// would then write over it.
    pub fn open(folder: &Path) -> anyhow::Result<Trust> {
        let path = folder.join("approved.json");
        let approved = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is damaged; delete it and approve checks again", path.display())
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Trust { path, approved })
    }

    /// Whether this very check may run: approved here, or typed by its owner.
    pub fn allows(&self, check: &Check) -> bool {
        check.source == Source::Typed || self.approved.contains_key(&check.hash())
    }

    /// All approvals by hash.
    pub fn approved(&self) -> &BTreeMap<String, Approval> {
        &self.approved
    }

    /// Approves a check.
    ///
    /// # Errors
    /// When it cannot be written down; it is not approved then.
    pub fn approve(&mut self, check: &Check, at_ms: u64) -> anyhow::Result<()> {
        let mut approved = self.approved.clone();
        approved.insert(check.hash(), Approval { command: check.command_line(), at_ms });
        self.keep(approved)
    }

    /// Takes an approval back; gives whether there was one.
    ///
    /// # Errors
    /// When it cannot be written down; it stays approved then.
    pub fn revoke(&mut self, hash: &str) -> anyhow::Result<bool> {
        let mut approved = self.approved.clone();
        let found = approved.remove(hash).is_some();
        self.keep(approved)?;
        Ok(found)
    }

    fn keep(&mut self, approved: BTreeMap<String, Approval>) -> anyhow::Result<()> {
        let folder = self.path.parent().context("a file without a folder")?;
        private_folder(folder)?;
        replace(&self.path, &serde_json::to_vec_pretty(&approved)?)?;
        self.approved = approved;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_is_for_one_check_and_survives() {
        let folder = tempfile::tempdir().unwrap();
        let check = Check::of(vec!["make".into(), "test".into()], Source::Repository);
        let changed = Check { definition: "other".into(), ..check.clone() };
        let mut trust = Trust::open(folder.path()).unwrap();
        assert!(!trust.allows(&check));
        trust.approve(&check, 1).unwrap();
        let mut trust = Trust::open(folder.path()).unwrap();
        assert!(trust.allows(&check) && !trust.allows(&changed));
        assert!(trust.revoke(&check.hash()).unwrap());
        assert!(!trust.revoke(&check.hash()).unwrap());
        assert!(!Trust::open(folder.path()).unwrap().allows(&check));
    }

    #[test]
    fn what_the_owner_typed_is_approved_by_that() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::open(folder.path()).unwrap();
        assert!(trust.allows(&Check::typed("make test").unwrap()));
    }

    #[test]
    fn a_damaged_file_is_said_and_approves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("approved.json"), "{").unwrap();
        assert!(Trust::open(folder.path()).unwrap_err().to_string().contains("damaged"));
    }
}
