//! Owns the ways of finding files that `eval locate` compares: the whole rule, the rule without one of
//! its parts, and those of others.

use std::path::{Path, PathBuf};

use countersign_index::{Budget, Index, IndexError, Request, Rule, Weights};

use super::aider_map::{self, AiderMap};
use super::place::Place;
use super::prediction::{Passage, Prediction};
use super::score::PACK_TOKENS;
use super::task::Task;
use crate::cli::{Baseline, LocateArgs};
use crate::failure::Failure;

/// Ranked files that are kept of each answer.
const RANKED: usize = 50;

/// One way of finding files.
pub struct Variant {
    /// For people and, with dashes, for file names.
    pub name: String,
    pub way: Way,
}

/// How files are found.
pub enum Way {
    /// By our index.
    Index { weights: Box<Weights>, packing: Packing },
    /// By the rules of ProtoAgent's Context Loom. It ranks only.
    Loom,
    /// By Aider's map of the repository. It ranks only.
    AiderMap { python: PathBuf, version: String },
}

/// What stands in the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// The index's own.
    Passages,
    /// Whole files by rank, as many as fit.
    WholeFiles,
}

/// The whole rule, then without each rule that is named (by key, or `all`), then the ways of others.
///
/// # Errors
/// When there is no such rule, or Aider is wanted and not there.
pub fn variants(arguments: &LocateArgs) -> anyhow::Result<Vec<Variant>> {
    let built_in = Weights::built_in()?;
    let index = |name: String, weights: Weights, packing| {
        let way = Way::Index { weights: Box::new(weights), packing };
        Variant { name, way }
    };
    let ablate = &arguments.ablate;
    let mut variants = vec![index("countersign".to_owned(), built_in.clone(), Packing::Passages)];
    for rule in Rule::ALL {
        if ablate.iter().any(|wanted| wanted == rule.key() || wanted == "all") {
            let weights = built_in.clone().without(rule);
            variants.push(index(format!("without {}", rule.key()), weights, Packing::Passages));
        }
    }
    if let Some(unknown) =
        ablate.iter().find(|wanted| *wanted != "all" && Rule::ALL.iter().all(|rule| rule.key() != *wanted))
    {
        let keys: Vec<&str> = Rule::ALL.iter().map(|rule| rule.key()).collect();
        let advice = format!("Rules are: all, {}.", keys.join(", "));
        return Err(Failure::usage(format!("there is no rule `{unknown}`"), advice).into());
    }
    let mut baselines = arguments.baseline.clone();
    baselines.sort_unstable();
    baselines.dedup();
    for baseline in baselines {
        variants.push(match baseline {
            Baseline::Bm25 => {
                index("bm25".to_owned(), built_in.clone().bm25_over_files(), Packing::WholeFiles)
            }
            Baseline::Loom => Variant { name: "loom".to_owned(), way: Way::Loom },
            Baseline::AiderMap => {
                let python = arguments.peer_python.clone();
                let version = aider_map::version(&python)?;
                Variant { name: "aider map".to_owned(), way: Way::AiderMap { python, version } }
            }
        });
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
        let ours = format!("{} {}", env!("CARGO_PKG_VERSION"), countersign_index::version());
        let all = match &self.way {
            Way::Index { weights, packing } => format!("{ours} {weights:?} {packing:?} {budget}"),
            Way::Loom => format!("{ours} loom"),
            Way::AiderMap { version, .. } => format!("aider map {version} {budget}"),
        };
        blake3::hash(all.as_bytes()).to_hex()[..16].to_owned()
    }

    /// Answers the request of a task, in its tree.
    pub fn predict(&self, place: &mut Place, task: &Task, budget: u32) -> anyhow::Result<Prediction> {
        let began = std::time::Instant::now();
        let (mut ranked_files, pack) = match &self.way {
            Way::Index { weights, packing } => by_index(place, weights, *packing, &task.query, budget)?,
            Way::Loom => (place.loom.rank(&place.index, place.checkout.root(), &task.query)?, Vec::new()),
            Way::AiderMap { python, .. } => {
                let map = match &mut place.aider_map {
                    Some(map) => map,
                    none => none.insert(AiderMap::start(python, &place.checkout, budget)?),
                };
                (map.rank(&task.query)?, Vec::new())
            }
        };
        ranked_files.truncate(RANKED);
        let seconds = began.elapsed().as_secs_f64();
        Ok(Prediction { id: task.id.clone(), ranked_files, seconds, pack, made_with: String::new() })
    }

    /// Does what is done once for a tree, such as reading the index into memory: it is no part of the
    /// time of an answer.
    pub fn warm_up(&self, place: &mut Place, budget: u32) -> anyhow::Result<()> {
        if let Way::Index { weights, packing } = &self.way {
            by_index(place, weights, *packing, "", budget)?;
        }
        Ok(())
    }
}

fn by_index(
    place: &mut Place,
    weights: &Weights,
    packing: Packing,
    query: &str,
    budget: u32,
) -> Result<(Vec<String>, Vec<Passage>), IndexError> {
    let index = &mut place.index;
    index.set_weights(weights.clone());
    let request = Request { text: query.to_owned(), tags: Vec::new() };
    let context = index.context(&request, Budget { tokens: budget })?;
    let ranked: Vec<String> =
        context.ledger.candidates.into_iter().take(RANKED).map(|candidate| candidate.path).collect();
    if packing == Packing::WholeFiles {
        let pack = whole_files(index, &ranked, budget)?;
        return Ok((ranked, pack));
    }
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
    Ok((ranked, snippets.chain(tail).collect()))
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
