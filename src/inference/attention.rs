//! Attention of a run of tokens to everything before them and to themselves.

use crate::activation::PANEL;
use crate::cache::Cache;
use crate::disjoint::Disjoint;
use crate::kernel::{Block, LANES};
use crate::product::{Machine, Scratch, Watch};
use std::ops::ControlFlow;

/// The sizes of one layer's attention.
#[derive(Clone, Copy)]
pub struct Heads {
    pub queries: usize,
    /// Heads of keys and values; each serves `queries / keys` of the heads of queries.
    pub keys: usize,
    pub size: usize,
    /// What scores are multiplied with.
    pub scale: f32,
    /// A token sees this many places, itself among them; `None` sees all.
    pub window: Option<usize>,
}

/// `out` and `queries` are `[token][head][head size]`; the first token is at `place`, and the keys and
/// values of all of them are in the cache already.
#[expect(clippy::too_many_arguments, reason = "what is read, what is written, and who watches")]
pub fn attend(
    machine: &Machine,
    cache: &Cache,
    layer: usize,
    heads: Heads,
    place: usize,
    queries: &[f32],
    out: &mut [f32],
    watch: &mut Watch,
) -> ControlFlow<()> {
    let group = heads.queries / heads.keys;
    let row = heads.queries * heads.size;
    // Columns are a token and a head of queries; those that share a head of keys are computed together.
    let columns = queries.len() / row * group;
    let share = (heads.keys * columns).div_ceil(machine.pool.workers() * 2).clamp(1, PANEL);
    let panels = columns.div_ceil(share);
    let out = Disjoint::new(out);
    let cost = 2 * share * heads.size * (place + columns / group);
    machine.run(heads.keys * panels, cost, watch, &|item, worker| {
        let (head, panel) = (item / panels, item % panels);
        let first = panel * share;
        let count = share.min(columns - first);
        let at = |column: usize| {
            let (token, query) = ((first + column) / group, (first + column) % group);
            (token, token * row + (head * group + query) * heads.size)
        };
        let mut scratch = machine.scratch(worker);
        let Scratch { queries: panel, scores, .. } = &mut *scratch;
        panel.clear();
        panel.resize(heads.size * PANEL, 0.0);
        for column in 0..count {
            let query = &queries[at(column).1..][..heads.size];
            for (lanes, number) in panel.chunks_exact_mut(PANEL).zip(query) {
                lanes[column] = number * heads.scale;
            }
        }
        let seen = |column: usize| {
            let end = place + at(column).0 + 1;
            (heads.window.map_or(0, |window| end.saturating_sub(window)), end)
        };
        // The first column sees furthest back, the last one furthest on.
        let start = seen(0).0 / LANES;
        let blocks = seen(count - 1).1.div_ceil(LANES) - start;
        if scores.len() < blocks {
            scores.resize(blocks, [[0.0; LANES]; PANEL]);
        }
        let scores = &mut scores[..blocks];
        let keys = &cache.keys(layer, head)[start * LANES * heads.size..];
        for (keys, scores) in keys.chunks_exact(LANES * heads.size).zip(&mut *scores) {
            machine.kernels.scores(keys, panel, count, scores);
        }
        let mut sums = [0.0; PANEL];
        for (column, sum) in sums[..count].iter_mut().enumerate() {
            let (first, end) = seen(column);
            *sum = machine.kernels.soften(scores, column, first - start * LANES, end - start * LANES);
        }
        let values = &cache.values(layer, head)[start * LANES * heads.size..];
        for lanes in (0..heads.size).step_by(LANES) {
            let mut mixed: Block = [[0.0; LANES]; PANEL];
            machine.kernels.mix(&values[lanes..], heads.size, scores, count, &mut mixed);
            for column in 0..count {
                let start = at(column).1 + lanes;
                // SAFETY: this head of this token belongs to this item alone.
                let out = unsafe { out.part(start..start + LANES) };
                for (out, mixed) in out.iter_mut().zip(&mixed[column]) {
                    *out = mixed / sums[column];
                }
            }
        }
    })
}
