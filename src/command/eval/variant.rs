//! Owns the ways of ranking that `eval locate` compares: the whole rule, the rule without one of its
//! parts, and a plain baseline.

use std::path::{Path, PathBuf};

use countersign_index::{Budget, Index, IndexError, Request, Rule, Weights};

use super::prediction::{Passage, Prediction};
use super::score::PACK_TOKENS;
use crate::failure::Failure;

/// Ranked files that are kept of each answer.
const RANKED: usize = 50;

/// One way of ranking and packing.
pub struct Variant {
    /// For people and, with dashes, for file names.
    pub name: String,
    pub weights: Weights,
    pub packing: Packing,
}

/// What stands in the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// The index's own.
    Passages,
    /// Whole files by rank, as many as fit.
    WholeFiles,
}

/// The whole rule, then without each of `ablate` (keys of rules, or `all`), then the baseline.
pub fn variants(ablate: &[String], with_bm25: bool) -> anyhow::Result<Vec<Variant>> {
    let built_in = Weights::built_in()?;
    let passages = |name: String, weights| Variant { name, weights, packing: Packing::Passages };
    let mut variants = vec![passages("countersign".to_owned(), built_in.clone())];
    for rule in Rule::ALL {
        if ablate.iter().any(|wanted| wanted == rule.key() || wanted == "all") {
            variants.push(passages(format!("without {}", rule.key()), built_in.clone().without(rule)));
        }
    }
    if let Some(unknown) =
        ablate.iter().find(|wanted| *wanted != "all" && Rule::ALL.iter().all(|rule| rule.key() != *wanted))
    {
        let keys: Vec<&str> = Rule::ALL.iter().map(|rule| rule.key()).collect();
        let advice = format!("Rules are: all, {}.", keys.join(", "));
        return Err(Failure::usage(format!("there is no rule `{unknown}`"), advice).into());
    }
    if with_bm25 {
        let weights = built_in.bm25_over_files();
        variants.push(Variant { name: "bm25".to_owned(), weights, packing: Packing::WholeFiles });
    }
    Ok(variants)
}

impl Variant {
    /// Where its predictions go: the file given for the first, and files beside it for the others.
    pub fn file(&self, out: &Path, is_first: bool) -> PathBuf {
        if is_first {
            return out.to_owned();
        }
        let stem = out.file_stem().unwrap_or_default().to_string_lossy();
        let extension = out.extension().map_or("jsonl".into(), |extension| extension.to_string_lossy());
        out.with_file_name(format!("{stem}.{}.{extension}", self.name.replace([' ', '_'], "-")))
    }

    /// All that its predictions depend on besides the task.
    pub fn fingerprint(&self, budget: u32) -> String {
        let all = format!(
            "{} {} {:?} {:?} {budget}",
            env!("CARGO_PKG_VERSION"),
            countersign_index::version(),
            self.weights,
            self.packing
        );
        blake3::hash(all.as_bytes()).to_hex()[..16].to_owned()
    }

    /// Answers one request.
    pub fn predict(
        &self,
        index: &mut Index,
        id: &str,
        query: &str,
        budget: u32,
    ) -> Result<Prediction, IndexError> {
        index.set_weights(self.weights.clone());
        let request = Request { text: query.to_owned(), tags: Vec::new() };
        let began = std::time::Instant::now();
        let context = index.context(&request, Budget { tokens: budget })?;
        let seconds = began.elapsed().as_secs_f64();
        let ranked_files: Vec<String> =
            context.ledger.candidates.into_iter().take(RANKED).map(|candidate| candidate.path).collect();
        let pack = match self.packing {
            Packing::WholeFiles => whole_files(index, &ranked_files, budget)?,
            Packing::Passages => {
                let snippets = context.pack.snippets.into_iter().map(|snippet| Passage {
                    bytes: u64::from(snippet.tokens) * 4,
                    path: snippet.path,
                    start: Some(snippet.start_line),
                    end: Some(snippet.end_line),
                });
                let tail = context.pack.tail.into_iter().map(|entry| Passage {
                    bytes: u64::from(entry.tokens()) * 4,
                    path: entry.path,
                    start: None,
                    end: None,
                });
                snippets.chain(tail).collect()
            }
        };
        Ok(Prediction { id: id.to_owned(), ranked_files, seconds, pack, made_with: String::new() })
    }
}

fn whole_files(index: &Index, ranked: &[String], budget: u32) -> Result<Vec<Passage>, IndexError> {
    let mut left = f64::from(budget).min(PACK_TOKENS) * 4.0;
    let files = index.files()?;
    let mut pack = Vec::new();
    for path in ranked {
        let Ok(at) = files.binary_search_by(|file| file.path.as_str().cmp(path)) else { continue };
        let file = &files[at];
        if file.bytes as f64 <= left {
            left -= file.bytes as f64;
            let (start, end) = (Some(1), Some(file.lines));
            pack.push(Passage { path: path.clone(), bytes: file.bytes, start, end });
        }
    }
    Ok(pack)
}
