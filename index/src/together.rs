//! Owns the second stage of the ranking: the best files stand, and of those behind them the ones
//! that commits changed together with the best come nearer. It must not move the best files, and it
//! brings no file in that no other rule speaks for.

use std::collections::BTreeMap;

use crate::ledger::{Rule, RulePoints};
use crate::rank::{Ranked, by_points};
use crate::snapshot::{Slot, Snapshot};
use crate::weights::Weights;

/// Places that stand, and whose companions are looked for.
const STANDING: usize = 5;

/// What speaks for a file that changed together with the best.
#[derive(Debug, Clone, Default, PartialEq)]
struct Companion {
    value: f64,
    /// The file among the best that gave most of it, by place, and the commits that touched both.
    with: usize,
    commits: u32,
}

/// Gives points to companions of the best files and orders what is behind these anew. `files` are
/// best first; only those that may give passages to the pack are moved, so that the set of these does
/// not depend on this stage. The points are less than what the file lacks to the last of the best: it
/// comes nearer to that one and never as far.
pub fn lift(snapshot: &Snapshot, files: &mut [Ranked], weights: &Weights) {
    let reach = files.len().min(weights.pack.files);
    let Some((standing, behind)) = files[..reach].split_at_mut_checked(STANDING) else { return };
    let Some(limit) = standing.last().map(|last| last.points) else { return };
    let best_slots: Vec<Slot> = standing.iter().map(|ranked| ranked.slot).collect();
    let touched = snapshot.history.iter().filter(|commit| commit.touched <= weights.history.most_files);
    let companions = companions(&best_slots, touched.map(|commit| commit.slots.as_slice()));
    let lifted: Vec<(&mut Ranked, &Companion)> = behind
        .iter_mut()
        .filter(|ranked| !is_ranked_down(ranked))
        .filter_map(|ranked| companions.get(&ranked.slot).map(|companion| (ranked, companion)))
        .collect();
    let best = lifted.iter().map(|(_, companion)| companion.value).fold(0.0, f64::max);
    for (ranked, companion) in lifted {
        let wanted = weights.rules.together * companion.value / best;
        let points = nearer(limit - ranked.points, wanted);
        if points > 0.0 {
            let path = &snapshot.files[best_slots[companion.with]].row.path;
            let commits = if companion.commits == 1 { "commit" } else { "commits" };
            let detail = format!("{path}, {} {commits}", companion.commits);
            ranked.points += points;
            ranked.rules.push(RulePoints { rule: Rule::Together, points, detail });
        }
    }
    behind.sort_by(by_points);
}

/// Nearly `wanted` where there is much room, nearly the room where there is little, and less than
/// either.
fn nearer(room: f64, wanted: f64) -> f64 {
    if room > 0.0 && wanted > 0.0 { room * wanted / (room + wanted) } else { 0.0 }
}

/// Whether a file is of a kind or an origin that the request is not about. Tests and change logs
/// change together with everything.
fn is_ranked_down(ranked: &Ranked) -> bool {
    ranked.rules.iter().any(|rule| matches!(rule.rule, Rule::Kind | Rule::Origin))
}

/// Files that commits touched together with one of the best; each of the best counts by its place,
/// and more commits of the same two files count ever less.
fn companions<'a>(best: &[Slot], commits: impl Iterator<Item = &'a [Slot]>) -> BTreeMap<Slot, Companion> {
    let mut counts: BTreeMap<Slot, [u32; STANDING]> = BTreeMap::new();
    for slots in commits {
        for (place, slot) in best.iter().enumerate().take(STANDING) {
            if slots.binary_search(slot).is_ok() {
                for other in slots.iter().filter(|other| !best.contains(other)) {
                    counts.entry(*other).or_default()[place] += 1;
                }
            }
        }
    }
    let companion = |counts: [u32; STANDING]| {
        let mut most = 0.0;
        let mut companion = Companion::default();
        for (place, commits) in counts.into_iter().enumerate() {
            let value = f64::from(commits).ln_1p() / (place + 1) as f64;
            companion.value += value;
            if value > most {
                most = value;
                (companion.with, companion.commits) = (place, commits);
            }
        }
        companion
    };
    counts.into_iter().map(|(slot, counts)| (slot, companion(counts))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companions_are_counted_by_place_and_named_by_the_nearest() {
        let commits: [&[Slot]; 4] = [&[0, 1, 7], &[0, 7], &[1, 8], &[7, 8]];
        let found = companions(&[1, 0], commits.into_iter());
        let (two, one) = (f64::ln_1p(2.0), f64::ln_1p(1.0));
        let of = |value, with, commits| Companion { value, with, commits };
        assert_eq!(found[&7], of(one + two / 2.0, 0, 1));
        assert_eq!(found[&8], of(one, 0, 1));
        assert_eq!(found.len(), 2, "the best are not companions of one another");
    }

    #[test]
    fn nothing_comes_as_far_as_the_best() {
        for room in [1e-9, 0.1, 3.0, 200.0] {
            for wanted in [1e-9, 0.1, 2.0, 100.0] {
                let points = nearer(room, wanted);
                assert!(0.0 < points && points < room && points < wanted, "{room} {wanted}: {points}");
            }
        }
        assert_eq!((nearer(0.0, 2.0), nearer(2.0, 0.0), nearer(0.0, 0.0)), (0.0, 0.0, 0.0));
    }
}
