//! Owns the figures of `eval locate`: what a prediction is worth against its task. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::prediction::Prediction;
use super::task::Task;
use crate::command::eval::statistics::median;

/// Tokens of the pack that count, four bytes each; of a larger pack the beginning.
pub const PACK_TOKENS: f64 = 8_000.0;

/// Figures of one task or the mean of several; all but the last two are between 0 and 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// A gold file stands first.
    pub acc1: f64,
    /// Share of the gold files among the first 5, 10 and 20.
    pub recall5: f64,
    pub recall10: f64,
    pub recall20: f64,
    /// All gold files are among the first 10.
    pub all10: f64,
    /// One by the rank of the best gold file.
    pub mrr: f64,
    /// Share of the gold files in the pack.
    pub pack: f64,
    /// Share of the gold hunks of which the pack quotes a line; of the tasks that have hunks.
    pub hunks: Option<f64>,
    /// Tokens of the pack; of several tasks the median.
    pub tokens: f64,
    /// From the request to the pack, index at hand; of several tasks the median.
    pub seconds: f64,
}

/// Figures of one prediction.
pub fn score(task: &Task, prediction: &Prediction) -> Figures {
    let mut ranks: BTreeMap<&str, usize> = BTreeMap::new();
    for file in &prediction.ranked_files {
        let next = ranks.len() + 1;
        ranks.entry(file).or_insert(next);
    }
    let gold: Vec<Option<usize>> =
        task.gold_files.iter().map(|file| ranks.get(file.as_str()).copied()).collect();
    let within = |limit: usize| share(&gold, |rank| rank.is_some_and(|rank| rank <= limit));
    let best = gold.iter().flatten().min();
    let mut tokens = 0.0;
    let mut covered: BTreeSet<&str> = BTreeSet::new();
    let mut quoted: BTreeMap<&str, Vec<(u32, u32)>> = BTreeMap::new();
    for passage in &prediction.pack {
        let cost = passage.bytes as f64 / 4.0;
        if tokens + cost > PACK_TOKENS {
            break;
        }
        tokens += cost;
        covered.insert(&passage.path);
        if let (Some(start), Some(end)) = (passage.start, passage.end) {
            quoted.entry(&passage.path).or_default().push((start, end));
        }
    }
    let hunks: Vec<(&str, u32, u32)> = task
        .gold_lines
        .iter()
        .flat_map(|(file, lines)| lines.iter().map(|(first, last)| (file.as_str(), *first, *last)))
        .collect();
    let is_quoted = |&(file, first, last): &(&str, u32, u32)| {
        quoted.get(file).is_some_and(|lines| lines.iter().any(|(a, b)| *a <= last && first <= *b))
    };
    Figures {
        acc1: f64::from(u8::from(best == Some(&1))),
        recall5: within(5),
        recall10: within(10),
        recall20: within(20),
        all10: f64::from(u8::from(within(10) == 1.0)),
        mrr: best.map_or(0.0, |rank| 1.0 / *rank as f64),
        pack: share(&task.gold_files, |file| covered.contains(file.as_str())),
        // A pack without a single quoted line says nothing about hunks.
        hunks: (!hunks.is_empty() && !quoted.is_empty()).then(|| share(&hunks, is_quoted)),
        tokens,
        seconds: prediction.seconds,
    }
}

/// Means, and medians of tokens and seconds; zeros for none.
pub fn mean(figures: &[Figures]) -> Figures {
    let mean = |value: fn(&Figures) -> f64| average(figures.iter().map(value));
    let hunks: Vec<f64> = figures.iter().filter_map(|figures| figures.hunks).collect();
    Figures {
        acc1: mean(|figures| figures.acc1),
        recall5: mean(|figures| figures.recall5),
        recall10: mean(|figures| figures.recall10),
        recall20: mean(|figures| figures.recall20),
        all10: mean(|figures| figures.all10),
        mrr: mean(|figures| figures.mrr),
        pack: mean(|figures| figures.pack),
        hunks: (!hunks.is_empty()).then(|| average(hunks.iter().copied())),
        tokens: median(figures.iter().map(|figures| figures.tokens).collect()),
        seconds: median(figures.iter().map(|figures| figures.seconds).collect()),
    }
}

fn share<T>(all: &[T], is_met: impl Fn(&T) -> bool) -> f64 {
    all.iter().filter(|one| is_met(one)).count() as f64 / all.len().max(1) as f64
}

fn average(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::eval::locate::prediction::Passage;

    fn task() -> Task {
        Task {
            id: "1".into(),
            repo: "a/b".into(),
            base_commit: String::new(),
            query: String::new(),
            gold_files: vec!["x".into(), "y".into()],
            gold_lines: BTreeMap::from([("x".into(), vec![(5, 9), (40, 40)]), ("y".into(), vec![(1, 1)])]),
        }
    }

    fn passage(path: &str, bytes: u64, lines: Option<(u32, u32)>) -> Passage {
        let (start, end) = lines.unzip();
        Passage { path: path.into(), bytes, start, end }
    }

    fn prediction(files: &[&str], pack: Vec<Passage>) -> Prediction {
        let ranked_files = files.iter().map(|file| (*file).to_owned()).collect();
        Prediction { ranked_files, pack, seconds: 0.5, ..Prediction::default() }
    }

    #[test]
    fn ranks_are_counted_without_doubles() {
        let found = score(&task(), &prediction(&["a", "a", "x", "b", "c", "d", "y"], vec![]));
        assert_eq!((found.acc1, found.mrr), (0.0, 0.5));
        assert_eq!((found.recall5, found.recall10, found.all10), (0.5, 1.0, 1.0));
        assert_eq!((found.pack, found.hunks), (0.0, None));
        let first = score(&task(), &prediction(&["y"], vec![]));
        assert_eq!((first.acc1, first.mrr, first.recall10, first.all10), (1.0, 1.0, 0.5, 0.0));
        assert_eq!(score(&task(), &prediction(&[], vec![])).mrr, 0.0);
    }

    #[test]
    fn the_pack_counts_up_to_its_limit() {
        let pack = vec![
            passage("x", 16_000, Some((9, 30))),
            passage("z", 15_996, None),
            passage("y", 8, Some((1, 2))),
            passage("x", 1, Some((40, 40))),
        ];
        let found = score(&task(), &prediction(&[], pack));
        assert_eq!(found.tokens, 7_999.0);
        assert_eq!((found.pack, found.hunks), (0.5, Some(1.0 / 3.0)));
    }

    #[test]
    fn means_and_the_median_time() {
        let of = |acc1, hunks, seconds| Figures { acc1, hunks, seconds, ..Figures::default() };
        let all = mean(&[of(1.0, Some(0.5), 3.0), of(0.0, None, 1.0), of(0.5, Some(1.0), 8.0)]);
        assert_eq!((all.acc1, all.hunks, all.seconds), (0.5, Some(0.75), 3.0));
        assert_eq!(mean(&[]), Figures::default());
    }
}
