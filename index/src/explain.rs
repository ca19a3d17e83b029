//! Owns the answer to "why is this file where it is, or not there": [`Index::explain`]. It must not
//! rank by rules of its own.

use serde::{Deserialize, Serialize};

use crate::ledger::Candidate;
use crate::walk::SkipReason;
use crate::{Budget, Index, IndexError, Request, seen};

/// Why a path appears for a request, or does not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    pub path: String,
    /// Files that any rule spoke for.
    pub candidates: usize,
    #[serde(flatten)]
    pub place: Place,
}

/// Where a path stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "place", rename_all = "snake_case")]
pub enum Place {
    /// Among the candidates.
    Ranked {
        /// From 1, the best.
        rank: usize,
        /// Points of the candidate one rank above; `None` for the first.
        above: Option<f64>,
        candidate: Box<Candidate>,
    },
    /// Indexed, but it has nothing in common with the request.
    NoRule,
    /// Seen, but not indexed.
    Skipped { reason: SkipReason },
    /// A directory with indexed files in it.
    Directory { files: usize },
    /// Not seen by the last update: it does not exist, is new, or an ignore rule excludes it.
    Unknown,
}

impl Index {
    /// Why a path appears for a request, or does not: its rules with their points and its rank, or
    /// what keeps it out.
    ///
    /// ```
    /// # use std::ops::ControlFlow;
    /// use countersign_index::{Budget, Index, Place, Request};
    ///
    /// # let root = tempfile::tempdir()?;
    /// # let data = tempfile::tempdir()?;
    /// # std::fs::write(root.path().join("parser.rs"), "pub fn parse_line() {}\n")?;
    /// # std::fs::write(root.path().join("printer.rs"), "pub fn print() {}\n")?;
    /// # let mut index = Index::open(root.path(), &data.path().join("index"))?;
    /// # index.update(&mut |_| ControlFlow::Continue(()))?;
    /// let request = Request { text: "parse_line fails".into(), tags: vec![] };
    /// let explanation = index.explain(&request, Budget { tokens: 4_000 }, "parser.rs")?;
    /// let Place::Ranked { rank: 1, candidate, .. } = explanation.place else { panic!() };
    /// assert!(candidate.rules.iter().any(|rule| rule.detail.contains("parse_line")));
    /// let other = index.explain(&request, Budget { tokens: 4_000 }, "printer.rs")?;
    /// assert_eq!(other.place, Place::NoRule);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn explain(&self, request: &Request, budget: Budget, path: &str) -> Result<Explanation, IndexError> {
        let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
        let mut candidates = self.context(request, budget)?.ledger.candidates;
        let count = candidates.len();
        let place = match candidates.iter().position(|candidate| candidate.path == path) {
            Some(at) => Place::Ranked {
                rank: at + 1,
                above: at.checked_sub(1).map(|above| candidates[above].points),
                candidate: Box::new(candidates.swap_remove(at)),
            },
            None => self.place_outside(&path)?,
        };
        Ok(Explanation { path, candidates: count, place })
    }

    /// Where a path stands that is no candidate.
    fn place_outside(&self, path: &str) -> Result<Place, IndexError> {
        let seen = seen::all(self.store.reader(), Some(&[path.to_owned()]))?;
        if let Some(itself) = seen.iter().find(|seen| seen.path == path) {
            return Ok(match itself.skipped {
                Some(reason) => Place::Skipped { reason },
                None => Place::NoRule,
            });
        }
        // What is hidden is seen as one, whatever lies in it.
        let mut around = path;
        while let Some((above, _)) = around.rsplit_once('/') {
            around = above;
            let above = seen::all(self.store.reader(), Some(&[above.to_owned()]))?;
            let above = above.iter().find(|seen| seen.path == around);
            if let Some(reason) = above.and_then(|seen| seen.skipped) {
                return Ok(Place::Skipped { reason });
            }
        }
        let files = seen.iter().filter(|seen| seen.file.is_some()).count();
        Ok(if files > 0 { Place::Directory { files } } else { Place::Unknown })
    }
}
