//! The inner loops in plain Rust: the definition of what the others compute.
//!
//! They are written so that the compiler can use vectors of whatever width it is allowed to.

use super::tile::{LANES, Lanes, Tile};
use super::{Block, Gate, Kernels};
use crate::activation::{PANEL, Panel, PanelMut};
use crate::format::{Format, Input};
use crate::half::from_f16;

pub const KERNELS: Kernels =
    Kernels { name: "portable", dots, unpack, product, fill, scores, soften, mix, gate };

fn dots(format: Format, rows: &[u8], len: usize, vector: &Panel, out: &mut [f32]) {
    let mut numbers = vec![0.0; if format.input() == Input::Float { len } else { 0 }];
    for (row, out) in rows.chunks_exact(format.row_bytes(len)).zip(out) {
        *out = if format.input() == Input::Float {
            format.read(row, &mut numbers);
            numbers.iter().zip(vector.floats).map(|(a, b)| a * b).sum()
        } else {
            integer_dot(format, row, len, vector)
        };
    }
}

#[inline(always)]
pub(super) fn integer_dot(format: Format, row: &[u8], len: usize, vector: &Panel) -> f32 {
    let mut q = [0; 32];
    let mut sum = 0.0;
    for group in 0..len / 32 {
        let steps = format.unpack(row, group, &mut q);
        let bytes = &vector.bytes[group * 32..][..32];
        let mut halves = [0i32; 2];
        for (i, (q, byte)) in q.iter().zip(bytes).enumerate() {
            halves[i / 16] += i32::from(*q) * i32::from(*byte);
        }
        let scale = vector.scales[group];
        if format.halves() {
            for (half, product) in halves.iter().enumerate() {
                sum += steps.step[half] * scale * *product as f32
                    - steps.floor[half] * vector.half_sums[group * 2 + half];
            }
        } else {
            sum +=
                steps.step[0] * scale * (halves[0] + halves[1]) as f32 - steps.floor[0] * vector.sums[group];
        }
    }
    sum
}

/// The tile is prepared for the format and the length.
#[inline(always)]
pub(super) fn unpack(format: Format, rows: &[u8], row_bytes: usize, len: usize, tile: &mut Tile) {
    let present = rows.len() / row_bytes;
    if format.input() == Input::Float {
        let mut numbers = vec![0.0; len];
        for lane in 0..LANES {
            match rows.get(lane * row_bytes..(lane + 1) * row_bytes) {
                Some(row) => format.read(row, &mut numbers),
                None => numbers.fill(0.0),
            }
            for (lanes, number) in tile.floats.iter_mut().zip(&numbers) {
                lanes.0[lane] = *number;
            }
        }
        return;
    }
    let mut q = [0; 32];
    for lane in 0..LANES {
        for group in 0..len / 32 {
            let steps = if lane < present {
                format.unpack(&rows[lane * row_bytes..][..row_bytes], group, &mut q)
            } else {
                q.fill(0);
                crate::format::Steps { step: [0.0; 2], floor: [0.0; 2] }
            };
            for (quad, four) in tile.quads[group * 8..][..8].iter_mut().zip(q.as_chunks::<4>().0) {
                quad.0[lane] = *four;
            }
            let halves = if format.halves() { 2 } else { 1 };
            for half in 0..halves {
                tile.steps[group * halves + half].0[lane] = steps.step[half];
                tile.floors[group * halves + half].0[lane] = steps.floor[half];
            }
        }
    }
}

fn product(tile: &Tile, panel: &Panel, out: &mut Block) {
    *out = [[0.0; LANES]; PANEL];
    if tile.format.input() == Input::Float {
        for (weights, activations) in tile.floats.iter().zip(panel.floats.as_chunks::<PANEL>().0) {
            for column in 0..panel.columns {
                add_scaled(&mut out[column], activations[column], &weights.0);
            }
        }
        return;
    }
    let per_group = if tile.format.halves() { 4 } else { 8 };
    let sums = if tile.format.halves() { panel.half_sums } else { panel.sums };
    for group in 0..tile.steps.len() {
        for column in 0..panel.columns {
            let mut dots = [0i32; LANES];
            for quad in group * per_group..(group + 1) * per_group {
                let four = &panel.bytes[(quad * PANEL + column) * 4..][..4];
                for (dot, weights) in dots.iter_mut().zip(&tile.quads[quad].0) {
                    *dot += i32::from(weights[0]) * i32::from(four[0])
                        + i32::from(weights[1]) * i32::from(four[1])
                        + i32::from(weights[2]) * i32::from(four[2])
                        + i32::from(weights[3]) * i32::from(four[3]);
                }
            }
            let scale = panel.scales[group * per_group / 8 * PANEL + column];
            let sum = sums[group * PANEL + column];
            let (Lanes(steps), Lanes(floors)) = (&tile.steps[group], &tile.floors[group]);
            for lane in 0..LANES {
                out[column][lane] += steps[lane] * scale * dots[lane] as f32 - floors[lane] * sum;
            }
        }
    }
}

#[inline(always)]
fn add_scaled(sums: &mut [f32; LANES], factor: f32, numbers: &[f32; LANES]) {
    for (sum, number) in sums.iter_mut().zip(numbers) {
        *sum += factor * number;
    }
}

#[inline(always)]
pub(super) fn fill(panel: &mut PanelMut, column: usize, vector: &[f32]) {
    panel.fill(column, vector);
}

fn scores(keys: &[u16], queries: &[f32], columns: usize, out: &mut Block) {
    *out = [[0.0; LANES]; PANEL];
    for (keys, queries) in keys.as_chunks::<LANES>().0.iter().zip(queries.as_chunks::<PANEL>().0) {
        let keys = keys.map(from_f16);
        for column in 0..columns {
            add_scaled(&mut out[column], queries[column], &keys);
        }
    }
}

#[inline(always)]
pub(super) fn soften(scores: &mut [Block], column: usize, first: usize, end: usize) -> f32 {
    let blocks = first / LANES..end.div_ceil(LANES);
    let mut largest = [f32::NEG_INFINITY; LANES];
    for index in blocks.clone() {
        let scores = &mut scores[index][column];
        if index * LANES < first || (index + 1) * LANES > end {
            for (lane, score) in scores.iter_mut().enumerate() {
                if !(first..end).contains(&(index * LANES + lane)) {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        for (largest, score) in largest.iter_mut().zip(scores) {
            *largest = largest.max(*score);
        }
    }
    let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0.0; LANES];
    for index in blocks.clone() {
        for (score, sum) in scores[index][column].iter_mut().zip(&mut sums) {
            *score = exp(*score - largest);
            *sum += *score;
        }
    }
    scores[..blocks.start].iter_mut().for_each(|block| block[column] = [0.0; LANES]);
    scores[blocks.end..].iter_mut().for_each(|block| block[column] = [0.0; LANES]);
    sums.into_iter().sum()
}

fn mix(values: &[u16], stride: usize, weights: &[Block], columns: usize, out: &mut Block) {
    for (place, value) in values.chunks(stride).take(weights.len() * LANES).enumerate() {
        let mut numbers = [0.0; LANES];
        numbers.iter_mut().zip(value).for_each(|(number, bits)| *number = from_f16(*bits));
        for column in 0..columns {
            add_scaled(&mut out[column], weights[place / LANES][column][place % LANES], &numbers);
        }
    }
}

#[inline(always)]
pub(super) fn gate(function: Gate, gate: &mut [f32], up: &[f32]) {
    match function {
        Gate::Silu => {
            for (gate, up) in gate.iter_mut().zip(up) {
                *gate = *gate / (1.0 + exp(-*gate)) * up;
            }
        }
        Gate::Gelu => {
            for (gate, up) in gate.iter_mut().zip(up) {
                let x = *gate;
                // 0.5 (1 + tanh y) is 1 / (1 + exp(-2 y)).
                let y = 0.797_884_6 * x * (1.0 + 0.044_715 * x * x);
                *gate = x / (1.0 + exp(-2.0 * y)) * up;
            }
        }
    }
}

/// `e` to the power of `x`, within two units of the last place; zero below -87, and infinite above 88.
///
/// A polynomial as in Cephes' `expf`, without branches, so that it can be computed for many at once.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let inside = if x > -87.0 { if x < 88.0 { x } else { 88.0 } } else { -87.0 };
    // Adding 1.5 * 2^23 leaves the nearest whole number in the lowest bits.
    let shifted = inside * std::f32::consts::LOG2_E + 12_582_912.0;
    let whole = shifted - 12_582_912.0;
    let r = inside - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_6e-1;
    let p = p * r + 0.5;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    let value = (p * r * r + r + 1.0) * power;
    if x < -87.0 {
        0.0
    } else if x < 88.0 {
        value
    } else {
        // Infinite, or not a number if `x` is none.
        x * f32::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_a_millionth() {
        for i in -870_000..880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "{x}: {} {exact}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(1000.0), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }
}
