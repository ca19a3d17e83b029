//! Owns the history signal: which files were touched by commits whose messages resemble the
//! request. It must not read git, and ages are counted from the newest commit, not from a clock.

use std::collections::{BTreeMap, HashMap};

use crate::past::term_key;
use crate::query::Query;
use crate::rank::Signal;
use crate::snapshot::{Slot, Snapshot};
use crate::weights::HistoryWeights;

const SECONDS_A_DAY: f64 = 86_400.0;
/// Size of the filter for tokens that a request does not hold; several times the most terms of one.
const FILTER: usize = 1 << 14;

/// BM25 over the messages; the best commits give their files `score / sqrt(files)`, less with
/// age; a file's value is the root of the sum of squares.
pub fn score(snapshot: &Snapshot, query: &Query, weights: &HistoryWeights) -> Signal {
    let wanted: HashMap<u64, usize> =
        query.terms.iter().enumerate().map(|(at, term)| (term_key(&term.text), at)).collect();
    // Most tokens of a message are none of the request; a bit tells without a look into the map.
    let mut may_be_wanted = vec![false; FILTER];
    wanted.keys().for_each(|key| may_be_wanted[*key as usize % FILTER] = true);
    let mut lengths = Vec::with_capacity(snapshot.history.len());
    let mut frequencies = vec![0u32; query.terms.len()];
    let mut counts: Vec<BTreeMap<usize, u32>> = Vec::with_capacity(snapshot.history.len());
    for commit in &snapshot.history {
        let mut found: BTreeMap<usize, u32> = BTreeMap::new();
        for (key, count) in &commit.terms.counts {
            if may_be_wanted[*key as usize % FILTER]
                && let Some(&term) = wanted.get(key)
            {
                *found.entry(term).or_default() += count;
            }
        }
        for term in found.keys() {
            frequencies[*term] += 1;
        }
        lengths.push(f64::from(commit.terms.length));
        counts.push(found);
    }
    let total = snapshot.history.len() as f64;
    let average = (lengths.iter().sum::<f64>() / total.max(1.0)).max(1.0);
    let newest = snapshot.history.iter().map(|commit| commit.time).max().unwrap_or(0);
    let mut scored: Vec<(f64, usize)> = Vec::new();
    for (at, found) in counts.iter().enumerate() {
        let commit = &snapshot.history[at];
        if commit.slots.is_empty() || commit.touched > weights.most_files {
            continue;
        }
        let score: f64 = found
            .iter()
            .map(|(term, count)| {
                let with = f64::from(frequencies[*term]);
                let idf = (1.0 + (total - with + 0.5) / (with + 0.5)).ln();
                let count = f64::from(*count);
                let norm = weights.k1 * (1.0 - weights.b + weights.b * lengths[at] / average);
                query.terms[*term].weight * idf * count * (weights.k1 + 1.0) / (count + norm)
            })
            .sum();
        if score > 0.0 {
            scored.push((score, at));
        }
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.truncate(weights.best);
    let mut squares: BTreeMap<Slot, (f64, f64, usize, usize)> = BTreeMap::new();
    for (score, at) in scored {
        let commit = &snapshot.history[at];
        let days = (newest - commit.time) as f64 / SECONDS_A_DAY;
        let freshness =
            weights.half_life_floor + (1.0 - weights.half_life_floor) * (-days / weights.age_days).exp();
        let share = score / (commit.touched as f64).sqrt() * freshness;
        for &slot in &commit.slots {
            let (sum, best, which, commits) = squares.entry(slot).or_insert((0.0, 0.0, at, 0));
            *sum += share * share;
            *commits += 1;
            if share > *best {
                (*best, *which) = (share, at);
            }
        }
    }
    squares
        .into_iter()
        .map(|(slot, (sum, _, which, commits))| {
            let subject = &snapshot.history[which].subject;
            let detail = match commits {
                1 => format!("\"{subject}\""),
                more => format!("\"{subject}\" and {} more", more - 1),
            };
            (slot, (sum.sqrt(), detail))
        })
        .collect()
}
