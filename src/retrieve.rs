//! The only asynchronous door to the index. It moves work to a blocking thread; it must not rank.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use countersign_index::{Index, Progress, UpdateReport};
use tokio_util::sync::CancellationToken;

use crate::watch::{Changes, Watch};

/// The index together with the tree that it describes.
pub struct Library {
    pub index: Index,
    pub root: PathBuf,
    /// Where the watch may keep its marks.
    marks: PathBuf,
    watch: Option<Watch>,
}

impl Library {
    /// Opens the index of the repository at `root`, kept in `store`.
    pub fn open(root: &Path, store: &Path) -> anyhow::Result<Library> {
        let index = Index::open(root, store)?;
        Ok(Library { index, root: root.to_owned(), marks: store.join("marks"), watch: None })
    }

    /// Watches the tree from now on, so that later updates look only at what has changed. Where it
    /// cannot be watched, they look at everything.
    pub fn watch(&mut self) {
        self.watch = Watch::start(self.index.root(), &self.marks).ok();
    }

    /// Whether the tree is watched.
    pub fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    /// Brings the index up to date, by the shortest way.
    ///
    /// # Errors
    /// Those of [`Index::update`].
    pub fn update(
        &mut self,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> anyhow::Result<UpdateReport> {
        let changes = self.watch.as_mut().map_or(Changes::Everything, Watch::take);
        let report = match changes {
            Changes::Everything => self.index.update(progress),
            Changes::Paths(paths) => self.index.update_paths(&paths, progress),
        };
        if report.is_err()
            && let Some(watch) = &mut self.watch
        {
            watch.forget();
        }
        Ok(report?)
    }

    /// Paths of all indexed files.
    pub fn paths(&self) -> anyhow::Result<BTreeSet<String>> {
        Ok(self.index.files()?.into_iter().map(|file| file.path).collect())
    }
}

/// A handle to the index for the roles and the turn.
#[derive(Clone)]
pub struct Retriever {
    library: Arc<Mutex<Library>>,
}

impl Retriever {
    pub fn new(library: Library) -> Retriever {
        Retriever { library: Arc::new(Mutex::new(library)) }
    }

    /// Runs `work` on a blocking thread. Work that was begun is finished even if nobody waits.
    pub async fn with<T, F>(&self, work: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Library) -> anyhow::Result<T> + Send + 'static,
    {
        let library = self.library.clone();
        tokio::task::spawn_blocking(move || {
            let mut library = library.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut library)
        })
        .await
        .context("the index's thread ended")?
    }

    /// Brings the index up to date. When this future is dropped, the update stops at the next file
    /// and the old index stays.
    pub async fn update(
        &self,
        mut progress: impl FnMut(Progress) + Send + 'static,
    ) -> anyhow::Result<UpdateReport> {
        let stop = CancellationToken::new();
        let _stop_when_dropped = stop.clone().drop_guard();
        self.with(move |library| {
            library.update(&mut |at| {
                progress(at);
                if stop.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        })
        .await
    }
}
