//! Inner loops for 64-bit ARM processors with byte products: Apple's, and Cortex since A75.
//!
//! Two instructions are written as such, because Rust 1.90 has no stable functions for them.

use super::tile::{LANES, Tile};
use super::{Block, Kernels, portable};
use crate::activation::{PANEL, Panel};
use crate::format::{Format, Input};
use std::arch::aarch64::*;
use std::arch::asm;

static KERNELS: Kernels = Kernels { name: "NEON", dots, product, scores, mix, ..portable::KERNELS };

/// What this processor can run.
pub fn available() -> Option<&'static Kernels> {
    std::arch::is_aarch64_feature_detected!("dotprod").then_some(&KERNELS)
}

/// Lanes of a register.
const FOUR: usize = 4;

/// `sums[i] + Σ weights[4 i + k] * bytes[4 LANE + k]`, with one of the four quads of `bytes` for all lanes.
#[target_feature(enable = "neon,dotprod")]
fn dot<const LANE: u32>(mut sums: int32x4_t, weights: int8x16_t, bytes: int8x16_t) -> int32x4_t {
    // SAFETY: it works on registers alone, and the function's features include the instruction.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {weights:v}.16b, {bytes:v}.4b[{lane}]",
            sums = inout(vreg) sums, weights = in(vreg) weights, bytes = in(vreg) bytes, lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// `Σ a[4 i + k] * b[4 i + k]`
#[target_feature(enable = "neon,dotprod")]
fn dots_of(a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sums = vdupq_n_s32(0);
    // SAFETY: as above.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// Four numbers in half precision, widened.
#[target_feature(enable = "neon")]
fn widen(halves: uint16x4_t) -> float32x4_t {
    let numbers: float32x4_t;
    // SAFETY: as above.
    unsafe {
        asm!(
            "fcvtl {numbers:v}.4s, {halves:v}.4h",
            numbers = out(vreg) numbers, halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    numbers
}

/// # Safety
/// The processor has these features; lengths are as `Kernels::dots` checks them.
#[target_feature(enable = "neon,dotprod")]
unsafe fn dots(format: Format, rows: &[u8], len: usize, vector: &Panel, out: &mut [f32]) {
    let mut numbers = vec![0.0; if format.input() == Input::Float { len } else { 0 }];
    for (row, out) in rows.chunks_exact(format.row_bytes(len)).zip(out) {
        *out = if format.input() == Input::Float {
            format.read(row, &mut numbers);
            let mut sums = [0.0; LANES];
            for (a, b) in numbers.as_chunks::<LANES>().0.iter().zip(vector.floats.as_chunks::<LANES>().0) {
                sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
            }
            sums.iter().sum()
        } else {
            integer_dot(format, row, vector)
        };
    }
}

#[target_feature(enable = "neon,dotprod")]
fn integer_dot(format: Format, row: &[u8], vector: &Panel) -> f32 {
    let mut q = [0; 32];
    let mut sums = vdupq_n_f32(0.0);
    let mut floors = 0.0;
    // Bytes are signed here: those of the only format with all eight bits are moved down by 128, which is
    // just what its floor does.
    let flip = vdupq_n_u8(if format == Format::Q8_0 { 0x80 } else { 0 });
    for (group, bytes) in vector.bytes.as_chunks::<32>().0.iter().enumerate() {
        let steps = format.unpack(row, group, &mut q);
        for half in 0..2 {
            // SAFETY: 16 bytes from 0 or 16 on.
            let (q, bytes) =
                unsafe { (vld1q_u8(q.as_ptr().add(half * 16)), vld1q_s8(bytes.as_ptr().add(half * 16))) };
            let products = vcvtq_f32_s32(dots_of(vreinterpretq_s8_u8(veorq_u8(q, flip)), bytes));
            sums = vfmaq_n_f32(sums, products, steps.step[half] * vector.scales[group]);
            if format != Format::Q8_0 {
                floors += steps.floor[half] * vector.half_sums[group * 2 + half];
            }
        }
    }
    vaddvq_f32(sums) - floors
}

/// # Safety
/// The processor has these features; the panel has the tile's length and kind.
#[target_feature(enable = "neon,dotprod")]
unsafe fn product(tile: &Tile, panel: &Panel, out: &mut Block) {
    for lane in (0..LANES).step_by(FOUR) {
        // SAFETY: passed on.
        let sums = unsafe {
            if tile.format.input() == Input::Float {
                numbers(tile, panel, lane)
            } else if tile.format.halves() {
                integers::<4>(tile, panel, lane)
            } else {
                integers::<8>(tile, panel, lane)
            }
        };
        store(sums, lane, out);
    }
}

#[target_feature(enable = "neon,dotprod")]
unsafe fn integers<const QUADS: usize>(tile: &Tile, panel: &Panel, lane: usize) -> [float32x4_t; PANEL] {
    let signed = tile.format == Format::Q8_0;
    let flip = vdupq_n_u8(if signed { 0x80 } else { 0 });
    let totals = if QUADS == 4 { panel.half_sums } else { panel.sums };
    let mut sums = [vdupq_n_f32(0.0); PANEL];
    for group in 0..tile.steps.len() {
        let mut products = [vdupq_n_s32(0); PANEL];
        // SAFETY: the tile has `QUADS` quads for each of its groups, and the panel has the same length.
        unsafe {
            for k in group * QUADS..(group + 1) * QUADS {
                let weights = vld1q_u8(tile.quads.as_ptr().add(k).cast::<u8>().add(lane * 4));
                let weights = vreinterpretq_s8_u8(veorq_u8(weights, flip));
                for (i, products) in products.as_chunks_mut::<FOUR>().0.iter_mut().enumerate() {
                    let bytes = vld1q_s8(panel.bytes.as_ptr().add(k * PANEL * 4 + i * 16));
                    products[0] = dot::<0>(products[0], weights, bytes);
                    products[1] = dot::<1>(products[1], weights, bytes);
                    products[2] = dot::<2>(products[2], weights, bytes);
                    products[3] = dot::<3>(products[3], weights, bytes);
                }
            }
            let steps = vld1q_f32(tile.steps.as_ptr().add(group).cast::<f32>().add(lane));
            let floors = vld1q_f32(tile.floors.as_ptr().add(group).cast::<f32>().add(lane));
            for (i, (sum, product)) in sums.iter_mut().zip(products).enumerate() {
                let scale = *panel.scales.get_unchecked(group * QUADS / 8 * PANEL + i);
                *sum = vfmaq_f32(*sum, vcvtq_f32_s32(product), vmulq_n_f32(steps, scale));
                if !signed {
                    *sum = vfmsq_n_f32(*sum, floors, *totals.get_unchecked(group * PANEL + i));
                }
            }
        }
    }
    sums
}

#[target_feature(enable = "neon")]
fn numbers(tile: &Tile, panel: &Panel, lane: usize) -> [float32x4_t; PANEL] {
    let mut sums = [vdupq_n_f32(0.0); PANEL];
    for (weights, activations) in tile.floats.iter().zip(panel.floats.as_chunks::<PANEL>().0) {
        // SAFETY: four lanes from `lane` on.
        let weights = unsafe { vld1q_f32(weights.0.as_ptr().add(lane)) };
        for (sum, activation) in sums.iter_mut().zip(activations) {
            *sum = vfmaq_n_f32(*sum, weights, *activation);
        }
    }
    sums
}

#[target_feature(enable = "neon")]
fn store(sums: [float32x4_t; PANEL], lane: usize, out: &mut Block) {
    for (sum, out) in sums.into_iter().zip(out) {
        // SAFETY: four numbers from `lane` on.
        unsafe { vst1q_f32(out.as_mut_ptr().add(lane), sum) };
    }
}

/// # Safety
/// The processor has these features.
#[target_feature(enable = "neon")]
unsafe fn scores(keys: &[u16], queries: &[f32], _columns: usize, out: &mut Block) {
    for lane in (0..LANES).step_by(FOUR) {
        let mut sums = [vdupq_n_f32(0.0); PANEL];
        for (keys, queries) in keys.as_chunks::<LANES>().0.iter().zip(queries.as_chunks::<PANEL>().0) {
            // SAFETY: four keys from `lane` on.
            let keys = widen(unsafe { vld1_u16(keys.as_ptr().add(lane)) });
            for (sum, query) in sums.iter_mut().zip(queries) {
                *sum = vfmaq_n_f32(*sum, keys, *query);
            }
        }
        store(sums, lane, out);
    }
}

/// # Safety
/// The processor has these features; lengths are as `Kernels::mix` checks them.
#[target_feature(enable = "neon")]
unsafe fn mix(values: &[u16], stride: usize, weights: &[Block], columns: usize, out: &mut Block) {
    for lane in (0..LANES).step_by(FOUR) {
        // SAFETY: four numbers from `lane` on.
        let mut sums = out.each_ref().map(|out| unsafe { vld1q_f32(out.as_ptr().add(lane)) });
        for (block, weights) in weights.iter().enumerate() {
            for place in 0..LANES {
                // SAFETY: there is a value for each place.
                let values =
                    unsafe { vld1_u16(values.as_ptr().add((block * LANES + place) * stride + lane)) };
                let values = widen(values);
                for (sum, weights) in sums[..columns].iter_mut().zip(weights) {
                    *sum = vfmaq_n_f32(*sum, values, weights[place]);
                }
            }
        }
        store(sums, lane, out);
    }
}
