//! Inner loops for AVX-512 with byte products (VNNI): servers since 2019, desktops since Zen 4.

use super::super::tile::{LANES, Tile};
use super::super::{Block, Gate, Kernels, portable};
use super::dots::dots;
use crate::activation::{PANEL, Panel, PanelMut};
use crate::format::{Format, Input};
use std::arch::x86_64::*;

pub static KERNELS: Kernels =
    Kernels { name: "AVX-512 VNNI", dots, unpack, product, fill, scores, soften, mix, gate };

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn unpack(format: Format, rows: &[u8], row_bytes: usize, len: usize, tile: &mut Tile) {
    portable::unpack(format, rows, row_bytes, len, tile);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn fill(panel: &mut PanelMut, column: usize, vector: &[f32]) {
    portable::fill(panel, column, vector);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn soften(scores: &mut [Block], column: usize, first: usize, end: usize) -> f32 {
    portable::soften(scores, column, first, end)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn gate(function: Gate, gate: &mut [f32], up: &[f32]) {
    portable::gate(function, gate, up);
}

/// Calls a function that is compiled for 1, 2, 4, 6, 8 and 12 columns with the least that is enough: panels
/// have 12, of which those that hold nothing are zero.
macro_rules! by_columns {
    ($columns:expr, $function:ident $(::<$($constant:literal),*>)?, $($argument:expr),*) => {
        match $columns {
            0 | 1 => $function::<1 $($(, $constant)*)?>($($argument),*),
            2 => $function::<2 $($(, $constant)*)?>($($argument),*),
            3 | 4 => $function::<4 $($(, $constant)*)?>($($argument),*),
            5 | 6 => $function::<6 $($(, $constant)*)?>($($argument),*),
            7 | 8 => $function::<8 $($(, $constant)*)?>($($argument),*),
            _ => $function::<12 $($(, $constant)*)?>($($argument),*),
        }
    };
}

/// # Safety
/// The processor has these features, and the panel has the tile's length and kind.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn product(tile: &Tile, panel: &Panel, out: &mut Block) {
    // SAFETY: passed on.
    unsafe {
        if tile.format.input() == Input::Float {
            by_columns!(panel.columns, numbers, tile, panel, out)
        } else if tile.format.halves() {
            by_columns!(panel.columns, integers::<4>, tile, panel, out)
        } else {
            by_columns!(panel.columns, integers::<8>, tile, panel, out)
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn integers<const COLUMNS: usize, const QUADS: usize>(tile: &Tile, panel: &Panel, out: &mut Block) {
    let totals = if QUADS == 4 { panel.half_sums } else { panel.sums };
    let mut sums = [_mm512_setzero_ps(); COLUMNS];
    for group in 0..tile.steps.len() {
        let mut products = [_mm512_setzero_si512(); COLUMNS];
        // SAFETY: the tile has `QUADS` quads for each of its groups, and the panel has the same length.
        unsafe {
            for k in group * QUADS..(group + 1) * QUADS {
                let weights = _mm512_load_si512(tile.quads.as_ptr().add(k).cast());
                let bytes = panel.bytes.as_ptr().add(k * PANEL * 4).cast::<i32>();
                for (i, product) in products.iter_mut().enumerate() {
                    let bytes = _mm512_set1_epi32(bytes.add(i).read_unaligned());
                    *product = _mm512_dpbusd_epi32(*product, weights, bytes);
                }
            }
            let steps = _mm512_load_ps(tile.steps.as_ptr().add(group).cast());
            let floors = _mm512_load_ps(tile.floors.as_ptr().add(group).cast());
            let scales = panel.scales.as_ptr().add(group * QUADS / 8 * PANEL);
            let totals = totals.as_ptr().add(group * PANEL);
            for (i, (sum, product)) in sums.iter_mut().zip(products).enumerate() {
                let factor = _mm512_mul_ps(steps, _mm512_set1_ps(*scales.add(i)));
                *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), factor, *sum);
                *sum = _mm512_fnmadd_ps(floors, _mm512_set1_ps(*totals.add(i)), *sum);
            }
        }
    }
    store(sums, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn numbers<const COLUMNS: usize>(tile: &Tile, panel: &Panel, out: &mut Block) {
    let mut sums = [_mm512_setzero_ps(); COLUMNS];
    for (weights, activations) in tile.floats.iter().zip(panel.floats.as_chunks::<PANEL>().0) {
        // SAFETY: it is 16 numbers, aligned.
        let weights = unsafe { _mm512_load_ps(weights.0.as_ptr()) };
        for (sum, activation) in sums.iter_mut().zip(activations) {
            *sum = _mm512_fmadd_ps(weights, _mm512_set1_ps(*activation), *sum);
        }
    }
    store(sums, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn store<const COLUMNS: usize>(sums: [__m512; COLUMNS], out: &mut Block) {
    for (sum, out) in sums.into_iter().zip(out) {
        // SAFETY: there is room for 16 numbers.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
    }
}

/// # Safety
/// The processor has these features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn scores(keys: &[u16], queries: &[f32], columns: usize, out: &mut Block) {
    by_columns!(columns, some_scores, keys, queries, out)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn some_scores<const COLUMNS: usize>(keys: &[u16], queries: &[f32], out: &mut Block) {
    let mut sums = [_mm512_setzero_ps(); COLUMNS];
    for (keys, queries) in keys.as_chunks::<LANES>().0.iter().zip(queries.as_chunks::<PANEL>().0) {
        let keys = widen(keys);
        for (sum, query) in sums.iter_mut().zip(queries) {
            *sum = _mm512_fmadd_ps(keys, _mm512_set1_ps(*query), *sum);
        }
    }
    store(sums, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
fn widen(halves: &[u16; LANES]) -> __m512 {
    // SAFETY: it is 16 halves.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(halves.as_ptr().cast()) })
}

/// # Safety
/// The processor has these features; lengths are as `Kernels::mix` checks them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn mix(values: &[u16], stride: usize, weights: &[Block], columns: usize, out: &mut Block) {
    // SAFETY: passed on.
    unsafe { by_columns!(columns, mix_some, values, stride, weights, out) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
unsafe fn mix_some<const COLUMNS: usize>(values: &[u16], stride: usize, weights: &[Block], out: &mut Block) {
    let mut sums = [_mm512_setzero_ps(); COLUMNS];
    for (block, weights) in weights.iter().enumerate() {
        for place in 0..LANES {
            // SAFETY: there is a value of 16 numbers for each place.
            let values = widen(unsafe { &*values.as_ptr().add((block * LANES + place) * stride).cast() });
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm512_fmadd_ps(values, _mm512_set1_ps(weights[place]), *sum);
            }
        }
    }
    for (sum, out) in sums.iter_mut().zip(&*out) {
        // SAFETY: it is 16 numbers.
        *sum = _mm512_add_ps(*sum, unsafe { _mm512_loadu_ps(out.as_ptr()) });
    }
    store(sums, out);
}
