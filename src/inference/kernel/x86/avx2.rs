//! Inner loops for AVX2, FMA and F16C: most processors since 2013.

use super::super::tile::{LANES, Tile};
use super::super::{Block, Gate, Kernels, portable};
use super::dots::dots;
use crate::activation::{PANEL, Panel, PanelMut};
use crate::format::Format;
use std::arch::x86_64::*;

pub static KERNELS: Kernels =
    Kernels { name: "AVX2", dots, unpack, product, fill, scores, soften, mix, gate };

/// Columns that are computed at once: with eight lanes each, as many as the registers hold.
const COLUMNS: usize = 4;

#[target_feature(enable = "avx2,fma,f16c")]
fn unpack(format: Format, rows: &[u8], row_bytes: usize, len: usize, tile: &mut Tile) {
    portable::unpack(format, rows, row_bytes, len, tile);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn fill(panel: &mut PanelMut, column: usize, vector: &[f32]) {
    portable::fill(panel, column, vector);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn soften(scores: &mut [Block], column: usize, first: usize, end: usize) -> f32 {
    portable::soften(scores, column, first, end)
}

#[target_feature(enable = "avx2,fma,f16c")]
fn gate(function: Gate, gate: &mut [f32], up: &[f32]) {
    portable::gate(function, gate, up);
}

/// # Safety
/// The processor has these features, and the panel has the tile's length and kind.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn product(tile: &Tile, panel: &Panel, out: &mut Block) {
    for column in (0..panel.columns).step_by(COLUMNS) {
        for lane in [0, LANES / 2] {
            // SAFETY: passed on.
            let sums = unsafe {
                match tile.format {
                    // 15 * 127 * 2 fits into 16 bits eight times, 31 * 127 * 2 four times, 63 * 127 * 2 twice.
                    Format::Q4_0 | Format::Q4_1 | Format::Q4_K => integers::<8, 8>(tile, panel, column, lane),
                    Format::Q5_0 | Format::Q5_1 | Format::Q5_K => integers::<8, 4>(tile, panel, column, lane),
                    Format::Q2_K | Format::Q3_K => integers::<4, 4>(tile, panel, column, lane),
                    Format::Q6_K => integers::<4, 2>(tile, panel, column, lane),
                    Format::Q8_0 => integers::<8, 0>(tile, panel, column, lane),
                    Format::F32 | Format::F16 | Format::BF16 => numbers(tile, panel, column, lane),
                }
            };
            for (i, sum) in sums.into_iter().enumerate() {
                // SAFETY: eight numbers from `lane` on.
                unsafe { _mm256_storeu_ps(out[column + i].as_mut_ptr().add(lane), sum) };
            }
        }
    }
}

/// `QUADS` in a group; `RUN` of them are added up in 16 bits before they are widened. With a run of 0 the
/// weights have all eight bits, which are taken apart so that no sum of two products is too large.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn integers<const QUADS: usize, const RUN: usize>(
    tile: &Tile,
    panel: &Panel,
    column: usize,
    lane: usize,
) -> [__m256; COLUMNS] {
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_ps(); COLUMNS];
    let totals = if QUADS == 4 { panel.half_sums } else { panel.sums };
    for group in 0..tile.steps.len() {
        let mut products = [_mm256_setzero_si256(); COLUMNS];
        // SAFETY: the tile has `QUADS` quads for each of its groups, and the panel has the same length.
        unsafe {
            let quad = |quad: usize| {
                let quad = tile.quads.get_unchecked(group * QUADS + quad);
                _mm256_load_si256(quad.0.as_ptr().add(lane).cast())
            };
            let bytes = |quad: usize, i: usize| {
                let at = panel.bytes.as_ptr().add(((group * QUADS + quad) * PANEL + column + i) * 4);
                _mm256_set1_epi32(at.cast::<i32>().read_unaligned())
            };
            if RUN == 0 {
                for k in 0..QUADS {
                    let low = _mm256_and_si256(quad(k), _mm256_set1_epi8(127));
                    let high = _mm256_and_si256(_mm256_srli_epi16::<7>(quad(k)), _mm256_set1_epi8(1));
                    for (i, product) in products.iter_mut().enumerate() {
                        let bytes = bytes(k, i);
                        let low = _mm256_madd_epi16(_mm256_maddubs_epi16(low, bytes), ones);
                        let high =
                            _mm256_madd_epi16(_mm256_maddubs_epi16(high, bytes), _mm256_set1_epi16(128));
                        *product = _mm256_add_epi32(*product, _mm256_add_epi32(low, high));
                    }
                }
            } else {
                for start in (0..QUADS).step_by(RUN.max(1)) {
                    let mut short = [_mm256_setzero_si256(); COLUMNS];
                    for k in start..start + RUN {
                        let weights = quad(k);
                        for (i, short) in short.iter_mut().enumerate() {
                            *short = _mm256_add_epi16(*short, _mm256_maddubs_epi16(weights, bytes(k, i)));
                        }
                    }
                    for (product, short) in products.iter_mut().zip(short) {
                        *product = _mm256_add_epi32(*product, _mm256_madd_epi16(short, ones));
                    }
                }
            }
            let steps = _mm256_load_ps(tile.steps.get_unchecked(group).0.as_ptr().add(lane));
            let floors = _mm256_load_ps(tile.floors.get_unchecked(group).0.as_ptr().add(lane));
            for (i, (sum, product)) in sums.iter_mut().zip(products).enumerate() {
                let scale = *panel.scales.get_unchecked(group * QUADS / 8 * PANEL + column + i);
                let total = *totals.get_unchecked(group * PANEL + column + i);
                let factor = _mm256_mul_ps(steps, _mm256_set1_ps(scale));
                *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(product), factor, *sum);
                *sum = _mm256_fnmadd_ps(floors, _mm256_set1_ps(total), *sum);
            }
        }
    }
    sums
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn numbers(tile: &Tile, panel: &Panel, column: usize, lane: usize) -> [__m256; COLUMNS] {
    let mut sums = [_mm256_setzero_ps(); COLUMNS];
    for (weights, activations) in tile.floats.iter().zip(panel.floats.as_chunks::<PANEL>().0) {
        // SAFETY: eight lanes from `lane` on.
        let weights = unsafe { _mm256_load_ps(weights.0.as_ptr().add(lane)) };
        for (sum, activation) in sums.iter_mut().zip(&activations[column..column + COLUMNS]) {
            *sum = _mm256_fmadd_ps(weights, _mm256_set1_ps(*activation), *sum);
        }
    }
    sums
}

/// # Safety
/// The processor has these features; lengths are as `Kernels::scores` checks them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scores(keys: &[u16], queries: &[f32], columns: usize, out: &mut Block) {
    for column in (0..columns).step_by(COLUMNS) {
        for lane in [0, LANES / 2] {
            let mut sums = [_mm256_setzero_ps(); COLUMNS];
            for (keys, queries) in keys.as_chunks::<LANES>().0.iter().zip(queries.as_chunks::<PANEL>().0) {
                // SAFETY: eight keys from `lane` on.
                let keys = unsafe { _mm256_cvtph_ps(_mm_loadu_si128(keys.as_ptr().add(lane).cast())) };
                for (sum, query) in sums.iter_mut().zip(&queries[column..column + COLUMNS]) {
                    *sum = _mm256_fmadd_ps(keys, _mm256_set1_ps(*query), *sum);
                }
            }
            for (i, sum) in sums.into_iter().enumerate() {
                // SAFETY: eight scores from `lane` on.
                unsafe { _mm256_storeu_ps(out[column + i].as_mut_ptr().add(lane), sum) };
            }
        }
    }
}

/// # Safety
/// The processor has these features; lengths are as `Kernels::mix` checks them.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn mix(values: &[u16], stride: usize, weights: &[Block], columns: usize, out: &mut Block) {
    for column in (0..columns).step_by(COLUMNS) {
        for lane in [0, LANES / 2] {
            let mut sums = [_mm256_setzero_ps(); COLUMNS];
            for (block, weights) in weights.iter().enumerate() {
                for place in 0..LANES {
                    // SAFETY: there is a value for each place.
                    let values = unsafe {
                        let at = values.as_ptr().add((block * LANES + place) * stride + lane);
                        _mm256_cvtph_ps(_mm_loadu_si128(at.cast()))
                    };
                    for (sum, weights) in sums.iter_mut().zip(&weights[column..column + COLUMNS]) {
                        *sum = _mm256_fmadd_ps(values, _mm256_set1_ps(weights[place]), *sum);
                    }
                }
            }
            for (i, sum) in sums.into_iter().enumerate() {
                let out = &mut out[column + i];
                // SAFETY: eight numbers from `lane` on.
                unsafe {
                    let at = out.as_mut_ptr().add(lane);
                    _mm256_storeu_ps(at, _mm256_add_ps(_mm256_loadu_ps(at), sum));
                }
            }
        }
    }
}
