//! Products of rows of weights with one vector, by AVX2, straight from the format that they are stored in.
//!
//! A token that is written reads each weight once, so these are bound by memory on most machines; 256 bits
//! are enough.

use super::super::portable;
use crate::activation::Panel;
use crate::format::Format;
use std::arch::x86_64::*;

/// `out[i] = rows[i] · vector`. Lengths are checked in `Kernels::dots`.
///
/// # Safety
/// The processor has these features, the panel has width 1 and the length `len` in the format's kind, and
/// `rows` are `out.len()` rows of `len` weights.
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn dots(format: Format, rows: &[u8], len: usize, vector: &Panel, out: &mut [f32]) {
    let row_bytes = format.row_bytes(len);
    let each = rows.chunks_exact(row_bytes).zip(out);
    // SAFETY: each row has the bytes of `len` weights, and the vector is of that length: the caller's promise.
    unsafe {
        match format {
            Format::F32 => each.for_each(|(row, out)| *out = floats::<0>(row, vector.floats)),
            Format::F16 => each.for_each(|(row, out)| *out = floats::<1>(row, vector.floats)),
            Format::BF16 => each.for_each(|(row, out)| *out = floats::<2>(row, vector.floats)),
            Format::Q4_0 => each.for_each(|(row, out)| *out = small::<Q4_0>(row, vector)),
            Format::Q4_1 => each.for_each(|(row, out)| *out = small::<Q4_1>(row, vector)),
            Format::Q5_0 => each.for_each(|(row, out)| *out = small::<Q5_0>(row, vector)),
            Format::Q5_1 => each.for_each(|(row, out)| *out = small::<Q5_1>(row, vector)),
            Format::Q8_0 => each.for_each(|(row, out)| *out = small::<Q8_0>(row, vector)),
            Format::Q4_K => each.for_each(|(row, out)| *out = large::<false>(row, vector)),
            Format::Q5_K => each.for_each(|(row, out)| *out = large::<true>(row, vector)),
            Format::Q6_K => each.for_each(|(row, out)| *out = sixth(row, vector)),
            Format::Q2_K | Format::Q3_K => each.for_each(|(row, out)| *out = rest(format, row, vector)),
        }
    }
}

const Q4_0: u32 = 2;
const Q4_1: u32 = 3;
const Q5_0: u32 = 6;
const Q5_1: u32 = 7;
const Q8_0: u32 = 8;

/// How far ahead of a block what follows it is asked for, in bytes.
const AHEAD: usize = 4096;

/// Asks for the lines of a block that comes later. The processor does so by itself within a page of 4 KiB,
/// and files are mapped in such pages: without this each of them would begin with a wait.
#[target_feature(enable = "avx2,fma,f16c")]
fn ask_ahead<const BYTES: usize>(block: *const u8) {
    for line in (0..BYTES).step_by(64) {
        // An address behind the end is no access: nothing is read that could not be.
        _mm_prefetch::<_MM_HINT_T0>(block.wrapping_add(AHEAD + line).cast());
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn sum(lanes: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

/// The number in half precision at `at`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn half(at: *const u8) -> f32 {
    // SAFETY: the caller points into a block.
    let bits = unsafe { at.cast::<u16>().read_unaligned() };
    _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(bits))))
}

/// `KIND` is 0 for single precision, 1 for half, 2 for bfloat16.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn floats<const KIND: u32>(row: &[u8], vector: &[f32]) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 4];
    for start in (0..vector.len()).step_by(32) {
        for (i, sum) in sums.iter_mut().enumerate() {
            let at = start + i * 8;
            // SAFETY: lengths are multiples of 32, and the row has as many weights as the vector has numbers.
            unsafe {
                ask_ahead::<1>(row.as_ptr().add(if KIND == 0 { at * 4 } else { at * 2 }));
                let bits = |bytes| _mm_loadu_si128(row.as_ptr().add(bytes).cast());
                let weights = match KIND {
                    0 => _mm256_loadu_ps(row.as_ptr().cast::<f32>().add(at)),
                    1 => _mm256_cvtph_ps(bits(at * 2)),
                    _ => _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits(at * 2)))),
                };
                *sum = _mm256_fmadd_ps(weights, _mm256_loadu_ps(vector.as_ptr().add(at)), *sum);
            }
        }
    }
    sum(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])))
}

/// Low halves of 16 bytes, then the high ones.
#[target_feature(enable = "avx2")]
unsafe fn nibbles(at: *const u8) -> __m256i {
    // SAFETY: the caller points to 16 bytes.
    let bytes = unsafe { _mm_loadu_si128(at.cast()) };
    let both = _mm256_set_m128i(_mm_srli_epi16::<4>(bytes), bytes);
    _mm256_and_si256(both, _mm256_set1_epi8(15))
}

/// 16 where a bit of four bytes is set, by its place.
#[target_feature(enable = "avx2")]
unsafe fn fifth_bits(at: *const u8) -> __m256i {
    // SAFETY: the caller points to four bytes.
    let bits = _mm256_set1_epi32(unsafe { at.cast::<i32>().read_unaligned() });
    let spread = _mm256_setr_epi64x(0, 0x0101_0101_0101_0101, 0x0202_0202_0202_0202, 0x0303_0303_0303_0303);
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let bytes = _mm256_and_si256(_mm256_shuffle_epi8(bits, spread), bit);
    _mm256_and_si256(_mm256_cmpeq_epi8(bytes, bit), _mm256_set1_epi8(16))
}

/// Formats with blocks of 32.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn small<const FORMAT: u32>(row: &[u8], vector: &Panel) -> f32 {
    let block_bytes = match FORMAT {
        Q4_0 => 18,
        Q4_1 => 20,
        Q5_0 => 22,
        Q5_1 => 24,
        _ => 34,
    };
    let ones = _mm256_set1_epi16(1);
    let mut sums = _mm256_setzero_ps();
    let mut floors = 0.0;
    for group in 0..vector.scales.len() {
        // SAFETY: one block and 32 bytes of the vector for each of its scales.
        unsafe {
            let block = row.as_ptr().add(group * block_bytes);
            ask_ahead::<1>(block);
            let bytes = _mm256_loadu_si256(vector.bytes.as_ptr().add(group * 32).cast());
            let scale = *vector.scales.get_unchecked(group);
            let total = *vector.sums.get_unchecked(group);
            let step = half(block);
            let products = if FORMAT == Q8_0 {
                // Signed: the sign goes to the other factor. There is no floor then.
                let weights = _mm256_loadu_si256(block.add(2).cast());
                _mm256_maddubs_epi16(_mm256_sign_epi8(weights, weights), _mm256_sign_epi8(bytes, weights))
            } else {
                let q = match FORMAT {
                    Q4_0 => nibbles(block.add(2)),
                    Q4_1 => nibbles(block.add(4)),
                    Q5_0 => _mm256_or_si256(nibbles(block.add(6)), fifth_bits(block.add(2))),
                    _ => _mm256_or_si256(nibbles(block.add(8)), fifth_bits(block.add(4))),
                };
                floors += total
                    * match FORMAT {
                        Q4_0 => step * 8.0,
                        Q5_0 => step * 16.0,
                        _ => -half(block.add(2)),
                    };
                _mm256_maddubs_epi16(q, bytes)
            };
            let products = _mm256_cvtepi32_ps(_mm256_madd_epi16(products, ones));
            sums = _mm256_fmadd_ps(products, _mm256_set1_ps(step * scale), sums);
        }
    }
    sum(sums) - floors
}

/// `Q4_K`, and with `FIFTH` `Q5_K`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn large<const FIFTH: bool>(row: &[u8], vector: &Panel) -> f32 {
    let block_bytes = if FIFTH { 176 } else { 144 };
    let low = _mm256_set1_epi8(15);
    let mut sums = _mm256_setzero_ps();
    let mut floors = _mm256_setzero_ps();
    for index in 0..vector.scales.len() / 8 {
        // SAFETY: one block and 256 bytes of the vector for each eight of its scales.
        unsafe {
            let block = row.as_ptr().add(index * block_bytes);
            ask_ahead::<144>(block);
            let bytes = vector.bytes.as_ptr().add(index * 256);
            let scale = *vector.scales.get_unchecked(index * 8);
            let steps = scales_and_minima(block.add(4));
            let minima = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(steps)));
            let totals = _mm256_loadu_ps(vector.sums.as_ptr().add(index * 8));
            floors =
                _mm256_fmadd_ps(_mm256_mul_ps(minima, totals), _mm256_set1_ps(half(block.add(2))), floors);
            let steps = _mm_cvtepu8_epi16(steps);
            let steps = _mm256_set_m128i(steps, steps);
            let high = if FIFTH { _mm256_loadu_si256(block.add(16).cast()) } else { _mm256_setzero_si256() };
            let mut products = _mm256_setzero_si256();
            // Bytes 2 i and 2 i + 1 of each half: step i, 16 bits.
            let mut spread = _mm256_set1_epi16(0x0100);
            let mut bit = _mm256_set1_epi8(1);
            for pair in 0..4 {
                let two = _mm256_loadu_si256(block.add(if FIFTH { 48 } else { 16 } + pair * 32).cast());
                let mut groups =
                    [_mm256_and_si256(two, low), _mm256_and_si256(_mm256_srli_epi16::<4>(two), low)];
                for (i, q) in groups.iter_mut().enumerate() {
                    if FIFTH {
                        let set = _mm256_cmpeq_epi8(_mm256_and_si256(high, bit), bit);
                        *q = _mm256_or_si256(*q, _mm256_and_si256(set, _mm256_set1_epi8(16)));
                        bit = _mm256_add_epi8(bit, bit);
                    }
                    let bytes = _mm256_loadu_si256(bytes.add(pair * 64 + i * 32).cast());
                    let step = _mm256_shuffle_epi8(steps, spread);
                    spread = _mm256_add_epi8(spread, _mm256_set1_epi8(2));
                    products =
                        _mm256_add_epi32(products, _mm256_madd_epi16(_mm256_maddubs_epi16(*q, bytes), step));
                }
            }
            let factor = _mm256_set1_ps(scale * half(block));
            sums = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), factor, sums);
        }
    }
    sum(_mm256_sub_ps(sums, floors))
}

/// Eight scales, then eight minima, of the 12 bytes of `Q4_K` and `Q5_K`.
#[target_feature(enable = "avx2")]
unsafe fn scales_and_minima(at: *const u8) -> __m128i {
    // SAFETY: the caller points to 12 bytes.
    let [a, b, c] = [0, 1, 2].map(|i| u32::from_le(unsafe { at.cast::<u32>().add(i).read_unaligned() }));
    let (low, high) = (0x0f0f_0f0f, 0x3030_3030);
    _mm_setr_epi32(
        (a & 0x3f3f_3f3f) as i32,
        (c & low | a >> 2 & high) as i32,
        (b & 0x3f3f_3f3f) as i32,
        (c >> 4 & low | b >> 2 & high) as i32,
    )
}

/// `Q6_K`
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn sixth(row: &[u8], vector: &Panel) -> f32 {
    let (low, top) = (_mm256_set1_epi8(15), _mm256_set1_epi8(0x30));
    let mut sums = _mm256_setzero_ps();
    for index in 0..vector.scales.len() / 8 {
        // SAFETY: one block and 256 bytes of the vector for each eight of its scales.
        unsafe {
            let block = row.as_ptr().add(index * 210);
            ask_ahead::<210>(block);
            let bytes = vector.bytes.as_ptr().add(index * 256);
            let scale = *vector.scales.get_unchecked(index * 8);
            let step = half(block.add(208));
            let steps = _mm_loadu_si128(block.add(192).cast());
            let mut floors = _mm256_setzero_ps();
            for (i, steps) in [steps, _mm_srli_si128::<8>(steps)].into_iter().enumerate() {
                let steps = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(steps));
                let totals = _mm256_loadu_ps(vector.half_sums.as_ptr().add(index * 16 + i * 8));
                floors = _mm256_fmadd_ps(steps, totals, floors);
            }
            sums = _mm256_fnmadd_ps(floors, _mm256_set1_ps(step * 32.0), sums);
            let wide = _mm256_cvtepi8_epi16(steps);
            let (first, second) = (_mm256_castsi256_si128(wide), _mm256_extracti128_si256::<1>(wide));
            let mut products = _mm256_setzero_si256();
            for (n, steps) in [first, second].into_iter().enumerate() {
                let steps = _mm256_set_m128i(steps, steps);
                // Steps 2 j for the lower half of the register and 2 j + 1 for the upper one.
                let mut spread = _mm256_set_m128i(_mm_set1_epi16(0x0302), _mm_set1_epi16(0x0100));
                let high = _mm256_loadu_si256(block.add(128 + n * 32).cast());
                let four = [
                    _mm256_loadu_si256(block.add(n * 64).cast()),
                    _mm256_loadu_si256(block.add(n * 64 + 32).cast()),
                ];
                let highs = [
                    _mm256_slli_epi16::<4>(high),
                    _mm256_slli_epi16::<2>(high),
                    high,
                    _mm256_srli_epi16::<2>(high),
                ];
                for (j, high) in highs.into_iter().enumerate() {
                    let bits = if j < 2 { four[j] } else { _mm256_srli_epi16::<4>(four[j - 2]) };
                    let q = _mm256_or_si256(_mm256_and_si256(bits, low), _mm256_and_si256(high, top));
                    let bytes = _mm256_loadu_si256(bytes.add(n * 128 + j * 32).cast());
                    let step = _mm256_shuffle_epi8(steps, spread);
                    spread = _mm256_add_epi8(spread, _mm256_set1_epi8(4));
                    products =
                        _mm256_add_epi32(products, _mm256_madd_epi16(_mm256_maddubs_epi16(q, bytes), step));
                }
            }
            sums = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_set1_ps(scale * step), sums);
        }
    }
    sum(sums)
}

/// Formats that are seldom: the portable code, compiled for these processors.
#[target_feature(enable = "avx2,fma,f16c")]
fn rest(format: Format, row: &[u8], vector: &Panel) -> f32 {
    portable::integer_dot(format, row, vector.scales.len() * 32, vector)
}
