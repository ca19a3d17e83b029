//! Owns what changes an index: updates and archives. It must not rank.

use std::ops::ControlFlow;
use std::path::Path;

use crate::archive::{self, Manifest};
use crate::store::{self, Store};
use crate::update::{self, Phase, Progress, UpdateReport};
use crate::{Index, IndexError, error};

impl Index {
    /// Brings the index up to date with the tree, by content. It happens wholly or not at all,
    /// whatever stops it; `progress` can stop it too.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use countersign_index::{Index, IndexError};
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let data = tempfile::tempdir()?;
    /// # std::fs::write(root.path().join("a.py"), "a = 1\n")?;
    /// let mut index = Index::open(root.path(), &data.path().join("index"))?;
    /// let stopped = index.update(&mut |_progress| ControlFlow::Break(()));
    /// assert!(matches!(stopped, Err(IndexError::Cancelled)));
    /// let report = index.update(&mut |_progress| ControlFlow::Continue(()))?;
    /// assert_eq!((report.added, report.updated, report.removed), (1, 0, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`IndexError::Cancelled`] when `progress` broke off, [`IndexError::Busy`] when another
    /// process is updating.
    pub fn update(
        &mut self,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<UpdateReport, IndexError> {
        self.update_within(None, progress)
    }

    /// Like [`Index::update`], but looks only at what lies at or below these paths (relative to the
    /// root, with `/`). For who knows what has changed since the last update, such as a watcher of
    /// the file system. Paths that change which files count, such as a `.gitignore`, are not for it.
    ///
    /// # Errors
    /// Those of [`Index::update`].
    pub fn update_paths(
        &mut self,
        paths: &[String],
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<UpdateReport, IndexError> {
        self.update_within(Some(paths), progress)
    }

    /// Writes the index as one file, wholly or not at all, that [`Index::import`] reads on another
    /// machine.
    ///
    /// # Errors
    /// When there is no index yet, or the file cannot be written.
    pub fn export(&mut self, to: &Path) -> Result<Manifest, IndexError> {
        let transaction = self.store.begin_write()?;
        archive::export(&transaction, &self.text, &self.store_dir, to)
    }

    /// Replaces the index by that of an archive, wholly or not at all; afterwards an update reads
    /// what differs in this tree. `expected` is the address that the archive must have, if known.
    ///
    /// # Errors
    /// [`IndexError::Archive`] when the archive is damaged, of another version or not an archive;
    /// [`IndexError::Cancelled`] when `progress` broke off. The old index is still there.
    pub fn import(
        &mut self,
        from: &Path,
        expected: Option<&str>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Manifest, IndexError> {
        let unread =
            |error: std::io::Error| IndexError::Archive { reason: format!("{}: {error}", from.display()) };
        let file = std::fs::File::open(from).map_err(unread)?;
        let size = file.metadata().map_err(unread)?.len();
        let mut file = std::io::BufReader::new(file);
        let manifest = archive::read_manifest(&mut file, size)?;
        if expected.is_some_and(|expected| expected != manifest.total) {
            return Err(IndexError::Archive {
                reason: format!("its hash is {}, not the expected one", manifest.total),
            });
        }
        let tell = |done, total| match progress(Progress { phase: Phase::Import, done, total: Some(total) }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(IndexError::Cancelled),
        };
        let transaction = self.store.begin_write()?;
        let generation =
            store::meta(&transaction, "generation")?.and_then(|text| text.parse().ok()).unwrap_or(0u64);
        archive::import(&transaction, &self.text, &manifest, file, tell)?;
        store::set_meta(&transaction, "generation", &(generation + 1).to_string())?;
        transaction.commit().map_err(error::store("taking over an archive"))?;
        self.rebuilt = None;
        let text = &self.text;
        self.store.if_free(|connection| {
            if let Ok(list) = store::meta(connection, "text") {
                text.sweep(list.as_deref());
            }
        });
        Ok(manifest)
    }

    fn update_within(
        &mut self,
        scope: Option<&[String]>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<UpdateReport, IndexError> {
        let mut report = self.update_once(scope, progress);
        if report.as_ref().is_err_and(store::is_damage) {
            self.rebuilt = Some("the index was damaged".to_owned());
            self.store = Store::replace(&self.store_dir.join("index.sqlite"), "")?.0;
            report = self.update_once(None, progress);
        }
        let report = report?;
        self.rebuilt = None;
        Ok(report)
    }

    fn update_once(
        &mut self,
        scope: Option<&[String]>,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<UpdateReport, IndexError> {
        update::update(
            &self.root,
            &self.store_dir,
            &mut self.store,
            &self.text,
            scope,
            self.rebuilt.clone(),
            progress,
        )
    }
}
