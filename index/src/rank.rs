//! Owns the ranking: from an analysed request and a snapshot to points by rule. It must not know
//! budgets, and nothing in it may depend on document addresses or on the order of a map.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::IndexError;
use crate::history;
use crate::kind::FileKind;
use crate::ledger::{RequestTerm, Rule, RulePoints};
use crate::mention;
use crate::origin::OriginKind;
use crate::query::Query;
use crate::snapshot::{Slot, Snapshot};
use crate::text::In;
use crate::together;
use crate::weights::Weights;

/// Words named in one line of the ledger.
const DETAIL_WORDS: usize = 4;

/// A file with points.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    pub slot: Slot,
    pub points: f64,
    pub rules: Vec<RulePoints>,
    /// Chunks that hold a term of the request: ordinal and score, by ordinal.
    pub chunks: Vec<(u32, f64)>,
    /// Lines that a frame names.
    pub lines: Vec<u32>,
    pub is_tagged: bool,
}

impl Ranked {
    /// Points without what the owner's tag or mention gave, and without those that only order the
    /// places behind the best: a commit of two files says nothing of their passages.
    pub fn evidence(&self) -> f64 {
        self.rules
            .iter()
            .filter(|rule| !rule.rule.is_owners() && rule.rule != Rule::Together)
            .map(|rule| rule.points)
            .sum()
    }

    /// Whether the owner's tag or mention gave points.
    pub fn is_meant(&self) -> bool {
        self.rules.iter().any(|rule| rule.rule.is_owners() && rule.points > 0.0)
    }
}

/// All candidates, best first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranking {
    pub files: Vec<Ranked>,
    pub terms: Vec<RequestTerm>,
    pub unknown_tags: Vec<String>,
}

/// Values of one rule: raw value and what it is for, by slot.
pub(crate) type Signal = BTreeMap<Slot, (f64, String)>;

/// A term that exists in the index, with where it stands.
struct Found<'a> {
    word: &'a str,
    weight: f64,
    /// Document address and occurrences, in no meaningful order.
    body: Vec<(u32, u32)>,
    /// Documents that define a name with this term in it.
    names: Vec<u32>,
}

/// Files that may hold a name: those with all its search tokens, or all files when it has none.
pub fn holding(snapshot: &Snapshot, name: &str) -> Result<Vec<Slot>, IndexError> {
    let mut slots: Option<std::collections::BTreeSet<Slot>> = None;
    for token in crate::token::tokens(name) {
        let with = snapshot.view.postings(In::Body, &token)?;
        let with = with.into_iter().filter_map(|(document, _)| snapshot.slots[document as usize]);
        let with: std::collections::BTreeSet<Slot> = with.map(|slot| slot as Slot).collect();
        slots = Some(match slots {
            Some(slots) => &slots & &with,
            None => with,
        });
    }
    Ok(slots.map_or_else(|| (0..snapshot.files.len()).collect(), |slots| slots.into_iter().collect()))
}

/// Ranks every file that any rule speaks for.
pub fn rank(
    snapshot: &Snapshot,
    query: &Query,
    tags: &[String],
    weights: &Weights,
) -> Result<Ranking, IndexError> {
    let mut terms = Vec::new();
    let mut found = Vec::new();
    for term in &query.terms {
        let body: Vec<_> = snapshot.view.postings(In::Body, &term.text)?;
        let body: Vec<_> =
            body.into_iter().filter(|(document, _)| snapshot.slots[*document as usize].is_some()).collect();
        if body.is_empty() {
            continue;
        }
        let names = snapshot
            .view
            .postings(In::Names, &term.text)?
            .into_iter()
            .map(|(document, _)| document)
            .collect();
        terms.push(RequestTerm {
            term: term.text.clone(),
            word: term.word.clone(),
            weight: term.weight,
            chunks: body.len() as u32,
        });
        found.push(Found { word: &term.word, weight: term.weight, body, names });
    }
    let mut chunk_scores = score_chunks(snapshot, &found, weights);
    let (tagged, unknown_tags) = mention::tagged(snapshot, tags);
    let frames = mention::frames(snapshot, query);
    let signals: Vec<(Rule, f64, Signal)> = vec![
        (Rule::Tag, weights.rules.tag, tagged),
        (Rule::Mention, weights.rules.mention, mention::named(snapshot, query)),
        (
            Rule::Frame,
            weights.rules.frame,
            frames.iter().map(|(slot, frame)| (*slot, (frame.value, frame.detail.clone()))).collect(),
        ),
        (Rule::Chunk, weights.rules.chunk, chunk_signal(&mut chunk_scores, weights)),
        (Rule::File, weights.rules.file, score_files(snapshot, &found, weights)),
        (Rule::History, weights.rules.history, history::score(snapshot, query, &weights.history)),
        (Rule::Path, weights.rules.path, score_paths(snapshot, query)?),
        (Rule::PathSuffix, weights.rules.path_suffix, mention::suffixes(snapshot, query)),
        (Rule::Basename, weights.rules.basename, mention::basenames(snapshot, query)),
        (Rule::Definition, weights.rules.definition, score_definitions(snapshot, query)?),
        (Rule::DefinitionTokens, weights.rules.definition_tokens, score_names(snapshot, &found)),
    ];
    let mut rules: Vec<Vec<RulePoints>> = vec![Vec::new(); snapshot.files.len()];
    for (rule, weight, signal) in signals {
        let best = signal.values().map(|(value, _)| *value).fold(0.0, f64::max);
        if best <= 0.0 {
            continue;
        }
        for (slot, (value, detail)) in signal {
            rules[slot].push(RulePoints { rule, points: weight * value / best, detail });
        }
    }
    let mut chunks = chunk_scores;
    let mut files: Vec<Ranked> = rules
        .into_iter()
        .enumerate()
        .filter(|(_, rules)| !rules.is_empty())
        .map(|(slot, mut rules)| {
            adjust(snapshot, slot, query, weights, &mut rules);
            Ranked {
                slot,
                points: rules.iter().map(|rule| rule.points).sum(),
                is_tagged: rules.iter().any(|rule| rule.rule == Rule::Tag),
                rules,
                chunks: chunks.remove(&slot).map(|scores| scores.chunks).unwrap_or_default(),
                lines: frames.get(&slot).map(|frame| frame.lines.clone()).unwrap_or_default(),
            }
        })
        .collect();
    files.sort_by(by_points);
    together::lift(snapshot, &mut files, weights);
    Ok(Ranking { files, terms, unknown_tags })
}

/// The order of a ranking. Slots ascend by path: the path breaks every tie.
pub(crate) fn by_points(a: &Ranked, b: &Ranked) -> Ordering {
    b.points.total_cmp(&a.points).then(a.slot.cmp(&b.slot))
}

/// Takes points from kinds of files the request is not about and from files that are not written
/// here by hand, and gives the tie-breaker.
fn adjust(snapshot: &Snapshot, slot: Slot, query: &Query, weights: &Weights, rules: &mut Vec<RulePoints>) {
    let file = &snapshot.files[slot];
    let (factor, detail) = match file.kind {
        FileKind::Test if !query.about.tests => (weights.discount.test, "test"),
        FileKind::Document if !query.about.documents => (weights.discount.document, "document"),
        FileKind::Configuration if !query.about.configuration => {
            (weights.discount.configuration, "configuration")
        }
        _ => (1.0, ""),
    };
    let by_kind = (Rule::Kind, factor, detail.to_owned());
    let is_meant = rules.iter().any(|rule| rule.rule.is_owners());
    let by_origin = file.origin.as_ref().filter(|_| !is_meant).map(|origin| {
        let factor = match origin.kind {
            OriginKind::Generated => weights.discount.generated,
            OriginKind::Vendored => weights.discount.vendored,
            OriginKind::Minified => weights.discount.minified,
            OriginKind::Lock => weights.discount.lock,
        };
        (Rule::Origin, factor, format!("{}, {}", origin.kind.name(), origin.reason))
    });
    for (rule, factor, detail) in
        [by_kind].into_iter().chain(by_origin).filter(|(_, factor, _)| *factor < 1.0)
    {
        // The second discount is taken from what the first one left.
        let evidence: f64 = rules
            .iter()
            .filter(|rule| !rule.rule.is_owners() && rule.rule != Rule::Frame)
            .map(|rule| rule.points)
            .sum();
        let detail = format!("{detail}: x{factor}");
        rules.push(RulePoints { rule, points: evidence * (factor - 1.0), detail });
    }
    if let Some(state) = &file.row.git {
        rules.push(RulePoints { rule: Rule::Changed, points: weights.rules.changed, detail: state.clone() });
    }
}

/// Scores of the chunks of one file, and which words earned them.
#[derive(Debug, Clone, Default)]
struct ChunkScores {
    chunks: Vec<(u32, f64)>,
    detail: String,
}

/// Standard inverse document frequency, never negative.
fn idf(total: f64, with: f64) -> f64 {
    (1.0 + (total - with + 0.5) / (with + 0.5)).ln()
}

/// What each file gained by which word; by slot. Files are many and most of them gain something from
/// a common word, so that a place for each is quicker than a map.
struct Gains {
    by_slot: Vec<Vec<(f64, usize)>>,
}

impl Gains {
    fn new(snapshot: &Snapshot) -> Gains {
        Gains { by_slot: vec![Vec::new(); snapshot.files.len()] }
    }

    fn add(&mut self, slot: u32, gain: f64, word: usize) {
        self.by_slot[slot as usize].push((gain, word));
    }

    /// The sum for each file that gained anything, with the words that earned most.
    fn into_signal(self, found: &[Found]) -> Signal {
        let gained = self.by_slot.into_iter().enumerate().filter(|(_, gains)| !gains.is_empty());
        let value = |(slot, mut gains): (Slot, Vec<(f64, usize)>)| {
            let sum = gains.iter().map(|(gain, _)| *gain).fold(0.0, |sum, gain| sum + gain);
            (slot, (sum, best_words(&mut gains, found)))
        };
        gained.map(value).collect()
    }
}

fn score_chunks(snapshot: &Snapshot, found: &[Found], weights: &Weights) -> BTreeMap<Slot, ChunkScores> {
    let documents = &snapshot.view.documents;
    let total = snapshot.chunk_count as f64;
    let average = (snapshot.token_count as f64 / total.max(1.0)).max(1.0);
    let (k1, b) = (weights.chunk.k1, weights.chunk.b);
    let mut scores = vec![0.0f64; documents.file.len()];
    let mut gains = Gains::new(snapshot);
    // Of the current word: the best gain in each file, and the files that have one.
    let mut best = vec![0.0f64; snapshot.files.len()];
    let mut gained: Vec<u32> = Vec::new();
    for (word, term) in found.iter().enumerate() {
        let idf = idf(total, term.body.len() as f64);
        for &(document, count) in &term.body {
            let length = f64::from(documents.length[document as usize]);
            let count = f64::from(count);
            let gain =
                term.weight * idf * count * (k1 + 1.0) / (count + k1 * (1.0 - b + b * length / average));
            scores[document as usize] += gain;
            if let Some(slot) = snapshot.slots[document as usize] {
                let best = &mut best[slot as usize];
                if *best == 0.0 {
                    gained.push(slot);
                }
                *best = best.max(gain);
            }
        }
        for slot in gained.drain(..) {
            gains.add(slot, std::mem::take(&mut best[slot as usize]), word);
        }
        for &document in &term.names {
            if snapshot.slots[document as usize].is_some() {
                scores[document as usize] += weights.chunk.definition_boost * idf * term.weight;
            }
        }
    }
    let mut chunks: Vec<Vec<(u32, f64)>> = vec![Vec::new(); snapshot.files.len()];
    for (document, &score) in scores.iter().enumerate() {
        if let Some(slot) = snapshot.slots[document].filter(|_| score > 0.0) {
            chunks[slot as usize].push((documents.ordinal[document], score));
        }
    }
    let files = chunks.into_iter().zip(gains.by_slot).enumerate();
    let files = files.filter(|(_, (chunks, _))| !chunks.is_empty());
    files
        .map(|(slot, (mut chunks, mut gains))| {
            chunks.sort_unstable_by_key(|(ordinal, _)| *ordinal);
            (slot, ChunkScores { chunks, detail: best_words(&mut gains, found) })
        })
        .collect()
}

/// The words that gained most, most first.
fn best_words(gains: &mut [(f64, usize)], found: &[Found]) -> String {
    gains.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut words: Vec<&str> = Vec::new();
    for (_, word) in gains.iter() {
        let word = found[*word].word;
        if words.len() < DETAIL_WORDS && !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(", ")
}

fn chunk_signal(scores: &mut BTreeMap<Slot, ChunkScores>, weights: &Weights) -> Signal {
    let value = |chunks: &[(u32, f64)]| {
        let mut best: Vec<f64> = chunks.iter().map(|(_, score)| *score).collect();
        best.sort_unstable_by(|a, b| b.total_cmp(a));
        let mut factor = 1.0;
        let mut sum = 0.0;
        for score in best.iter().take(weights.chunk.best) {
            sum += score * factor;
            factor *= weights.chunk.decay;
        }
        sum
    };
    let signal = |(slot, scores): (&Slot, &mut ChunkScores)| {
        (*slot, (value(&scores.chunks), std::mem::take(&mut scores.detail)))
    };
    scores.iter_mut().map(signal).collect()
}

fn score_files(snapshot: &Snapshot, found: &[Found], weights: &Weights) -> Signal {
    let total = snapshot.files.len() as f64;
    let average = (snapshot.token_count as f64 / total.max(1.0)).max(1.0);
    let (k1, b) = (weights.file.k1, weights.file.b);
    let mut gains = Gains::new(snapshot);
    let mut counts = vec![0u64; snapshot.files.len()];
    let mut counted: Vec<u32> = Vec::new();
    for (word, term) in found.iter().enumerate() {
        for &(document, count) in &term.body {
            if let Some(slot) = snapshot.slots[document as usize] {
                if counts[slot as usize] == 0 {
                    counted.push(slot);
                }
                counts[slot as usize] += u64::from(count);
            }
        }
        let idf = idf(total, counted.len() as f64);
        for slot in counted.drain(..) {
            let length = snapshot.files[slot as Slot].row.tokens as f64;
            let count = std::mem::take(&mut counts[slot as usize]) as f64;
            let gain =
                term.weight * idf * count * (k1 + 1.0) / (count + k1 * (1.0 - b + b * length / average));
            gains.add(slot, gain, word);
        }
    }
    gains.into_signal(found)
}

/// Words of the request in names that the file defines.
fn score_names(snapshot: &Snapshot, found: &[Found]) -> Signal {
    let total = snapshot.files.len() as f64;
    let mut gains = Gains::new(snapshot);
    for (word, term) in found.iter().enumerate() {
        let mut slots: Vec<u32> =
            term.names.iter().filter_map(|document| snapshot.slots[*document as usize]).collect();
        slots.sort_unstable();
        slots.dedup();
        let gain = term.weight * idf(total, slots.len() as f64);
        for slot in slots {
            gains.add(slot, gain, word);
        }
    }
    gains.into_signal(found)
}

/// Identifiers of the request that the file defines.
fn score_definitions(snapshot: &Snapshot, query: &Query) -> Result<Signal, IndexError> {
    let total = snapshot.files.len() as f64;
    let mut signal = Signal::new();
    for (name, weight) in &query.names {
        let documents = snapshot.view.postings(In::Defined, name)?;
        let slots: std::collections::BTreeSet<u32> =
            documents.iter().filter_map(|(document, _)| snapshot.slots[*document as usize]).collect();
        let gain = weight * (1.0 + total / slots.len().max(1) as f64).ln();
        for slot in slots {
            add(&mut signal, slot as Slot, gain, name);
        }
    }
    Ok(signal)
}

/// Words of the request in the path, twice for the file name.
fn score_paths(snapshot: &Snapshot, query: &Query) -> Result<Signal, IndexError> {
    let total = snapshot.files.len() as f64;
    let mut signal = Signal::new();
    for term in query.terms.iter() {
        let slots = |place| -> Result<std::collections::BTreeSet<u32>, IndexError> {
            let documents = snapshot.view.postings(place, &term.text)?;
            Ok(documents.iter().filter_map(|(document, _)| snapshot.slots[*document as usize]).collect())
        };
        let (directories, names) = (slots(In::Directories)?, slots(In::Basename)?);
        let either = directories.union(&names).count();
        let idf = idf(total, either as f64);
        for slot in directories.union(&names) {
            let factor = if names.contains(slot) { 2.0 } else { 1.0 };
            add(&mut signal, *slot as Slot, factor * idf, &term.word);
        }
    }
    Ok(signal)
}

/// Adds to a file's value and names what for.
pub(crate) fn add(signal: &mut Signal, slot: Slot, value: f64, what: &str) {
    let entry = signal.entry(slot).or_default();
    entry.0 += value;
    if entry.1.split(", ").count() < DETAIL_WORDS && !entry.1.split(", ").any(|word| word == what) {
        if !entry.1.is_empty() {
            entry.1.push_str(", ");
        }
        entry.1.push_str(what);
    }
}
