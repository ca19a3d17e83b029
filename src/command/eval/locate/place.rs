//! Owns the throw-away work tree of one repository, and what is kept for it from task to task.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context as _;
use countersign_index::{Checkout, Index};

use super::aider_map::AiderMap;
use super::loom::Loom;
use super::task::Task;
use crate::config::Config;

/// Work tree and index of one repository, gone when dropped.
pub struct Place {
    pub checkout: Checkout,
    pub index: Index,
    pub loom: Loom,
    /// Started for the first request.
    pub aider_map: Option<AiderMap>,
    _folder: tempfile::TempDir,
}

impl Place {
    pub fn new(config: &Config, clone: &Path) -> anyhow::Result<Place> {
        let folder = tempfile::Builder::new()
            .prefix("eval-")
            .tempdir_in(config.data.folder())
            .context("cannot make a folder for throw-away work trees")?;
        let (tree, store) = (folder.path().join("tree"), folder.path().join("index"));
        std::fs::create_dir(&tree).context("cannot make a folder for throw-away work trees")?;
        let checkout = Checkout::new(clone, &tree)?;
        let index = Index::open(&tree, &store)?;
        Ok(Place { checkout, index, loom: Loom::default(), aider_map: None, _folder: folder })
    }

    /// Goes to the commit before the change.
    pub fn switch(&mut self, task: &Task) -> anyhow::Result<()> {
        self.checkout.switch(&task.base_commit).with_context(|| format!("task `{}`", task.id))?;
        self.index.update(&mut |_| ControlFlow::Continue(()))?;
        Ok(())
    }
}
