//! Owns the pack: which passages of the ranked files fit a budget. It must not name a model; a
//! token is four bytes, rounded up.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::rank::Ranking;
use crate::snapshot::Slot;
use crate::symbol::{Chunk, Symbol};
use crate::weights::PackWeights;

/// Definitions named for a path of the tail.
const TAIL_DEFINITIONS: usize = 8;

/// A run of lines, quoted from a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snippet {
    pub path: String,
    /// First and last line, 1-based, inclusive.
    pub start_line: u32,
    pub end_line: u32,
    /// Half-open range of bytes in the decoded text of the file.
    pub start_byte: u32,
    pub end_byte: u32,
    pub text: String,
    /// Signatures of what the first line stands in, outer first, when it begins before it.
    pub enclosing: Option<String>,
    /// Of text, path and enclosing signature.
    pub tokens: u32,
}

/// A further file, by path and some of the names it defines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TailEntry {
    pub path: String,
    pub definitions: Vec<String>,
}

impl TailEntry {
    /// What it costs in a pack.
    pub fn tokens(&self) -> u32 {
        tokens(self.path.len() + self.definitions.iter().map(|name| name.len() + 2).sum::<usize>())
    }
}

/// The evidence of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// By rank of the file, then by line.
    pub snippets: Vec<Snippet>,
    /// By rank.
    pub tail: Vec<TailEntry>,
    /// Of snippets and tail; never more than `budget`.
    pub tokens: u32,
    pub budget: u32,
}

/// What the pack needs to know of a file.
pub struct Material {
    pub source: String,
    pub chunks: Vec<Chunk>,
    pub symbols: Vec<Symbol>,
}

/// Tokens of a text: its bytes divided by four, rounded up.
pub fn tokens(bytes: usize) -> u32 {
    bytes.div_ceil(4) as u32
}

/// A chunk that may be taken.
struct Offer {
    gain: f64,
    rank: usize,
    ordinal: usize,
    cost: usize,
}

/// Fills the budget by density: the probability that the file matters, times that the chunk does,
/// by the root of its size. `material` holds the files that may give chunks, by slot.
pub fn pack(
    ranking: &Ranking,
    material: &BTreeMap<Slot, Material>,
    paths: impl Fn(Slot) -> String,
    definitions: impl Fn(Slot) -> Vec<String>,
    budget: u32,
    weights: &PackWeights,
) -> Pack {
    let reserve = ((f64::from(budget) * weights.tail_share) as usize).min(weights.tail_tokens);
    let offers = offers(ranking, material, weights);
    let mut taken: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut order = Vec::new();
    let mut left = (budget as usize - reserve) * 4;
    for offer in &offers {
        let neighbours = taken.get(&offer.rank);
        let joins = neighbours.is_some_and(|taken| {
            taken.contains(&(offer.ordinal + 1)) || offer.ordinal > 0 && taken.contains(&(offer.ordinal - 1))
        });
        let material = &material[&ranking.files[offer.rank].slot];
        let header = header(
            &material.symbols,
            &material.chunks[offer.ordinal],
            &paths(ranking.files[offer.rank].slot),
        );
        // Rounding up costs at most three bytes for a snippet.
        let cost = if joins { offer.cost } else { offer.cost + header + 3 };
        if cost <= left {
            left -= cost;
            taken.entry(offer.rank).or_default().insert(offer.ordinal);
            order.push((offer.rank, offer.ordinal));
        }
    }
    let limit = budget - reserve as u32;
    let mut snippets = build(ranking, material, &taken, &paths);
    // A merged snippet may begin deeper than the chunk that paid for its header.
    while snippets.iter().map(|snippet| snippet.tokens).sum::<u32>() > limit {
        let Some((rank, ordinal)) = order.pop() else { break };
        if let Some(ordinals) = taken.get_mut(&rank) {
            ordinals.remove(&ordinal);
        }
        snippets = build(ranking, material, &taken, &paths);
    }
    let mut pack = Pack {
        tokens: snippets.iter().map(|snippet| snippet.tokens).sum(),
        snippets,
        tail: Vec::new(),
        budget,
    };
    for ranked in
        ranking.files.iter().enumerate().filter(|(rank, _)| taken.get(rank).is_none_or(BTreeSet::is_empty))
    {
        let entry = TailEntry { path: paths(ranked.1.slot), definitions: definitions(ranked.1.slot) };
        let cost = entry.tokens();
        if pack.tail.len() == weights.tail_paths || pack.tokens + cost > budget {
            break;
        }
        pack.tokens += cost;
        pack.tail.push(entry);
    }
    pack
}

fn offers(ranking: &Ranking, material: &BTreeMap<Slot, Material>, weights: &PackWeights) -> Vec<Offer> {
    let shares = shares(ranking, material, weights.temperature);
    let mut offers = Vec::new();
    for (rank, share) in shares {
        let ranked = &ranking.files[rank];
        let material = &material[&ranked.slot];
        let mut scores: BTreeMap<usize, f64> =
            ranked.chunks.iter().map(|(ordinal, score)| (*ordinal as usize, *score)).collect();
        let best = scores.values().copied().fold(0.0, f64::max);
        for line in &ranked.lines {
            // A line that a traceback names is worth as much as the best passage, and more.
            if let Some(at) =
                material.chunks.iter().position(|chunk| (chunk.start_line..=chunk.end_line).contains(line))
            {
                *scores.entry(at).or_default() += best.max(1.0);
            }
        }
        if scores.is_empty() && !material.chunks.is_empty() {
            scores.insert(0, 1.0);
        }
        let powers: Vec<(usize, f64)> =
            scores.into_iter().map(|(at, score)| (at, score.powf(weights.chunk_power))).collect();
        let sum: f64 = powers.iter().map(|(_, power)| power).sum();
        let first = powers.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
        for &(ordinal, power) in &powers {
            let Some(chunk) = material.chunks.get(ordinal) else { continue };
            let cost = (chunk.end_byte - chunk.start_byte) as usize;
            let mut gain = share * power / sum / (cost.max(1) as f64).powf(weights.size_power);
            if ranked.is_tagged && first.is_some_and(|(best, _)| best == ordinal) {
                // What the owner tagged is in the pack, come what may.
                gain += 1.0;
            }
            offers.push(Offer { gain, rank, ordinal, cost });
        }
    }
    offers.sort_by(|a, b| b.gain.total_cmp(&a.gain).then((a.rank, a.ordinal).cmp(&(b.rank, b.ordinal))));
    offers
}

/// Probability of each file by rank: the softmax of its evidence. The owner's own signals are left
/// out of it, for they would leave nothing to the others; they lift a file to the best instead.
fn shares(ranking: &Ranking, material: &BTreeMap<Slot, Material>, temperature: f64) -> Vec<(usize, f64)> {
    let files: Vec<usize> =
        (0..ranking.files.len()).filter(|rank| material.contains_key(&ranking.files[*rank].slot)).collect();
    let evidence: Vec<f64> = files.iter().map(|rank| ranking.files[*rank].evidence()).collect();
    let best = evidence.iter().copied().fold(0.0, f64::max);
    let powers: Vec<f64> = files
        .iter()
        .zip(&evidence)
        .map(|(rank, evidence)| {
            let file = &ranking.files[*rank];
            let lifted = if file.is_meant() { best } else { *evidence };
            ((lifted - best) / temperature).exp()
        })
        .collect();
    let sum: f64 = powers.iter().sum();
    files.into_iter().zip(powers.into_iter().map(|power| power / sum)).collect()
}

fn header(symbols: &[Symbol], chunk: &Chunk, path: &str) -> usize {
    path.len() + enclosing(symbols, chunk.start_line).map_or(0, |text| text.len())
}

/// Signatures of the innermost two symbols that a line stands in without being their first.
pub fn enclosing(symbols: &[Symbol], line: u32) -> Option<String> {
    let around: Vec<&str> = symbols
        .iter()
        .filter(|symbol| symbol.start_line < line && line <= symbol.end_line)
        .map(|symbol| symbol.signature.as_str())
        .collect();
    let inner = &around[around.len().saturating_sub(2)..];
    (!inner.is_empty()).then(|| inner.join(" > "))
}

fn build(
    ranking: &Ranking,
    material: &BTreeMap<Slot, Material>,
    taken: &BTreeMap<usize, BTreeSet<usize>>,
    paths: &impl Fn(Slot) -> String,
) -> Vec<Snippet> {
    let mut snippets = Vec::new();
    for (rank, ordinals) in taken {
        let slot = ranking.files[*rank].slot;
        let material = &material[&slot];
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for &ordinal in ordinals {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == ordinal => *last = ordinal,
                _ => runs.push((ordinal, ordinal)),
            }
        }
        for (first, last) in runs {
            let (first, last) = (&material.chunks[first], &material.chunks[last]);
            let text = material.source[first.start_byte as usize..last.end_byte as usize].to_owned();
            let (path, enclosing) = (paths(slot), enclosing(&material.symbols, first.start_line));
            snippets.push(Snippet {
                tokens: tokens(text.len() + path.len() + enclosing.as_ref().map_or(0, String::len)),
                path,
                start_line: first.start_line,
                end_line: last.end_line,
                start_byte: first.start_byte,
                end_byte: last.end_byte,
                text,
                enclosing,
            });
        }
    }
    snippets
}

/// Names for the tail: what the file defines at its top level, in its order.
pub fn top_names(symbols: &[Symbol]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for symbol in symbols.iter().filter(|symbol| symbol.container.is_none()) {
        if names.len() < TAIL_DEFINITIONS && !names.contains(&symbol.name) {
            names.push(symbol.name.clone());
        }
    }
    names
}
