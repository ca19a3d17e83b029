//! Owns the reading of a full text that somebody else wrote: each posting once, as queries will, on
//! all cores, so that nothing in it can surprise them later. It must not know archives.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use tantivy::postings::TermInfo;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{SegmentReader, TantivyError};

use super::Text;
use crate::IndexError;
use crate::error::text;

/// Between two calls of the function that may stop it.
const PULSE: Duration = Duration::from_millis(100);

/// What becomes of one field of one segment; the outer error is a panic.
type Verdict = Result<tantivy::Result<()>, Box<dyn Any + Send>>;

impl Text {
    /// Reads everything once. `most` bounds the documents; `tell` may stop it.
    ///
    /// # Errors
    /// [`IndexError::Archive`] when any of it cannot be read, and those of `tell`.
    pub fn verify(
        &self,
        list: &str,
        most: u64,
        tell: impl FnMut() -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        // tantivy trusts its own files, and may panic on others.
        let segments = guarded(|| self.segments(list, most))?;
        let fields = super::schema().1.searchable();
        // The text of chunks, by far the most, comes first: what is short fills the gaps at the end.
        let jobs: Vec<(&SegmentReader, Field)> =
            fields.into_iter().flat_map(|field| segments.iter().map(move |one| (one, field))).collect();
        read_all(&jobs, tell)?;
        guarded(|| self.view(Some(list)).map(drop))
    }

    fn segments(&self, list: &str, most: u64) -> Result<Vec<SegmentReader>, IndexError> {
        let doing = "opening its segments";
        let (index, ..) = self.index(Some(list)).map_err(text(doing))?;
        let metas = index.searchable_segment_metas().map_err(text(doing))?;
        if metas.iter().map(|segment| u64::from(segment.max_doc())).sum::<u64>() > most {
            return Err(IndexError::Text { doing, reason: "more documents than files have".to_owned() });
        }
        let segments = index.searchable_segments().map_err(text(doing))?;
        segments.iter().map(|segment| SegmentReader::open(segment).map_err(text(doing))).collect()
    }
}

fn guarded<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| damaged())?.map_err(unreadable)
}

fn damaged() -> IndexError {
    IndexError::Archive { reason: "its full text is damaged".to_owned() }
}

fn unreadable(error: impl std::fmt::Display) -> IndexError {
    IndexError::Archive { reason: format!("its full text cannot be read ({error})") }
}

/// Does the jobs on all cores, the longest of which is no more than one field of one segment.
fn read_all(
    jobs: &[(&SegmentReader, Field)],
    mut tell: impl FnMut() -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let (next, is_stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(jobs.len());
    // Holds no more than one verdict of each job, so that no worker ever waits.
    let (sender, receiver) = mpsc::channel::<Verdict>();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, is_stopped) = (sender.clone(), &next, &is_stopped);
            let work = move || {
                while let Some((segment, field)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let read = AssertUnwindSafe(|| read_field(segment, *field, is_stopped));
                    if sender.send(catch_unwind(read)).is_err() {
                        break;
                    }
                }
            };
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, work) {
                is_stopped.store(true, Ordering::Relaxed);
                return Err(IndexError::Threads { reason: error.to_string() });
            }
        }
        drop(sender);
        let result = loop {
            let outcome = match receiver.recv_timeout(PULSE) {
                Ok(verdict) => verdict.map_err(|_| damaged()).and_then(|read| read.map_err(unreadable)),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            };
            if let Err(error) = outcome.and_then(|()| tell()) {
                break Err(error);
            }
        };
        is_stopped.store(result.is_err(), Ordering::Relaxed);
        result
    })
}

/// Reads the postings of every term of a field, block by block.
fn read_field(segment: &SegmentReader, field: Field, is_stopped: &AtomicBool) -> tantivy::Result<()> {
    let inverted = segment.inverted_index(field)?;
    // Opened for no term: opened for a damaged one it could take all others for terms without counts.
    let nothing = TermInfo { doc_freq: 0, postings_range: 0..0, positions_range: 0..0 };
    let mut postings = inverted.read_block_postings_from_terminfo(&nothing, IndexRecordOption::WithFreqs)?;
    let mut terms = inverted.terms().stream()?;
    while let Some((_, info)) = terms.next() {
        inverted.reset_block_postings_from_terminfo(info, &mut postings)?;
        while !postings.docs().is_empty() {
            if postings.docs().iter().any(|document| *document >= segment.max_doc()) {
                return Err(TantivyError::InvalidArgument("a posting is nowhere".to_owned()));
            }
            std::hint::black_box(postings.freqs());
            postings.advance();
        }
        if is_stopped.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(())
}
