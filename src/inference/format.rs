//! How weights are stored: ggml's formats, read block by block.
//!
//! Every integer format is read as unsigned integers with, for each 16 of them, a step and a floor:
//! `weight = step * q - floor`. So there is one product of integers for all of them. Layouts follow
//! `ggml-common.h` and `ggml-quants.c` of llama.cpp.

use crate::half::{from_bf16, from_f16};

/// A storage format of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types, reason = "ggml's own names")]
pub enum Format {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// What a weight is multiplied with: activations as they are, or as bytes with one scale for each 32 or 256.
///
/// llama.cpp pairs formats in the same way, so that both round in the same places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    Float,
    Block32,
    Block256,
}

/// Step and floor of the two halves of 32 weights; equal where the format has one for all 32.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steps {
    pub step: [f32; 2],
    pub floor: [f32; 2],
}

impl Steps {
    fn one(step: f32, floor: f32) -> Self {
        Steps { step: [step; 2], floor: [floor; 2] }
    }
}

impl Format {
    pub const ALL: [Format; 13] = [
        Format::F32,
        Format::F16,
        Format::BF16,
        Format::Q4_0,
        Format::Q4_1,
        Format::Q5_0,
        Format::Q5_1,
        Format::Q8_0,
        Format::Q2_K,
        Format::Q3_K,
        Format::Q4_K,
        Format::Q5_K,
        Format::Q6_K,
    ];

    /// ggml's number of the format, as it is in the file.
    pub fn ggml(self) -> u32 {
        match self {
            Format::F32 => 0,
            Format::F16 => 1,
            Format::Q4_0 => 2,
            Format::Q4_1 => 3,
            Format::Q5_0 => 6,
            Format::Q5_1 => 7,
            Format::Q8_0 => 8,
            Format::Q2_K => 10,
            Format::Q3_K => 11,
            Format::Q4_K => 12,
            Format::Q5_K => 13,
            Format::Q6_K => 14,
            Format::BF16 => 30,
        }
    }

    pub fn from_ggml(kind: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.ggml() == kind)
    }

    /// Weights in a block.
    pub const fn block_len(self) -> usize {
        match self {
            Format::F32 | Format::F16 | Format::BF16 => 1,
            Format::Q4_0 | Format::Q4_1 | Format::Q5_0 | Format::Q5_1 | Format::Q8_0 => 32,
            Format::Q2_K | Format::Q3_K | Format::Q4_K | Format::Q5_K | Format::Q6_K => 256,
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Format::F32 => 4,
            Format::F16 | Format::BF16 => 2,
            Format::Q4_0 => 18,
            Format::Q4_1 => 20,
            Format::Q5_0 => 22,
            Format::Q5_1 => 24,
            Format::Q8_0 => 34,
            Format::Q2_K => 84,
            Format::Q3_K => 110,
            Format::Q4_K => 144,
            Format::Q5_K => 176,
            Format::Q6_K => 210,
        }
    }

    /// Bytes of a row of `len` weights, which must be whole blocks.
    pub const fn row_bytes(self, len: usize) -> usize {
        len / self.block_len() * self.block_bytes()
    }

    pub const fn input(self) -> Input {
        match self.block_len() {
            1 => Input::Float,
            32 => Input::Block32,
            _ => Input::Block256,
        }
    }

    /// Whether the two halves of 32 weights have steps of their own.
    pub const fn halves(self) -> bool {
        matches!(self, Format::Q2_K | Format::Q3_K | Format::Q6_K)
    }

    /// The integers of 32 weights and their steps: group `group` of a row in an integer format.
    #[inline(always)]
    pub fn unpack(self, row: &[u8], group: usize, q: &mut [u8; 32]) -> Steps {
        let groups = self.block_len() / 32;
        let (block, group) = (group / groups, group % groups);
        let block = &row[block * self.block_bytes()..][..self.block_bytes()];
        match self {
            Format::F32 | Format::F16 | Format::BF16 => unreachable!("has no integers"),
            Format::Q4_0 => {
                nibbles(&block[2..18], q);
                let step = half(block, 0);
                Steps::one(step, step * 8.0)
            }
            Format::Q4_1 => {
                nibbles(&block[4..20], q);
                Steps::one(half(block, 0), -half(block, 2))
            }
            Format::Q5_0 => {
                nibbles(&block[6..22], q);
                fifth_bits(&block[2..6], q);
                let step = half(block, 0);
                Steps::one(step, step * 16.0)
            }
            Format::Q5_1 => {
                nibbles(&block[8..24], q);
                fifth_bits(&block[4..8], q);
                Steps::one(half(block, 0), -half(block, 2))
            }
            Format::Q8_0 => {
                for (q, byte) in q.iter_mut().zip(&block[2..34]) {
                    *q = byte ^ 0x80;
                }
                let step = half(block, 0);
                Steps::one(step, step * 128.0)
            }
            Format::Q2_K => {
                let (scales, quarters) = block.split_at(16);
                let shift = 2 * (group % 4);
                for (q, byte) in q.iter_mut().zip(&quarters[group / 4 * 32..][..32]) {
                    *q = byte >> shift & 3;
                }
                let (step, floor) = (half(block, 80), half(block, 82));
                let scales = [scales[2 * group], scales[2 * group + 1]];
                Steps {
                    step: scales.map(|scale| step * f32::from(scale & 15)),
                    floor: scales.map(|scale| floor * f32::from(scale >> 4)),
                }
            }
            Format::Q3_K => {
                let (high, quarters, scales) = (&block[..32], &block[32..96], &block[96..108]);
                let shift = 2 * (group % 4);
                for ((q, byte), high) in q.iter_mut().zip(&quarters[group / 4 * 32..][..32]).zip(high) {
                    *q = byte >> shift & 3 | (high >> group & 1) << 2;
                }
                let step = half(block, 108);
                let step = [2 * group, 2 * group + 1].map(|k| {
                    let low = if k < 8 { scales[k] & 15 } else { scales[k - 8] >> 4 };
                    let high = scales[8 + k % 4] >> (2 * (k / 4)) & 3;
                    step * (f32::from(low | high << 4) - 32.0)
                });
                Steps { step, floor: step.map(|step| step * 4.0) }
            }
            Format::Q4_K => {
                nibble_half(&block[16 + group / 2 * 32..][..32], group, q);
                sixth_bits(block, group)
            }
            Format::Q5_K => {
                nibble_half(&block[48 + group / 2 * 32..][..32], group, q);
                for (q, high) in q.iter_mut().zip(&block[16..48]) {
                    *q |= (high >> group & 1) << 4;
                }
                sixth_bits(block, group)
            }
            Format::Q6_K => {
                let (n, j) = (group / 4, group % 4);
                let low = &block[64 * n + 32 * (j % 2)..][..32];
                let high = &block[128 + 32 * n..][..32];
                for ((q, low), high) in q.iter_mut().zip(low).zip(high) {
                    *q = low >> (4 * (j / 2)) & 15 | (high >> (2 * j) & 3) << 4;
                }
                let step = half(block, 208);
                let scales = &block[192 + 2 * group..][..2];
                let step = [scales[0], scales[1]].map(|scale| step * f32::from(scale as i8));
                Steps { step, floor: step.map(|step| step * 32.0) }
            }
        }
    }

    /// A whole row as numbers. `row` must be the bytes of `out.len()` weights.
    pub fn read(self, row: &[u8], out: &mut [f32]) {
        assert_eq!(row.len(), self.row_bytes(out.len()));
        let pairs = row.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        match self {
            Format::F32 => {
                for (out, bytes) in out.iter_mut().zip(row.chunks_exact(4)) {
                    *out = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                }
            }
            Format::F16 => out.iter_mut().zip(pairs).for_each(|(out, bits)| *out = from_f16(bits)),
            Format::BF16 => out.iter_mut().zip(pairs).for_each(|(out, bits)| *out = from_bf16(bits)),
            _ => {
                let mut q = [0; 32];
                for (group, out) in out.chunks_exact_mut(32).enumerate() {
                    let steps = self.unpack(row, group, &mut q);
                    for (i, (out, q)) in out.iter_mut().zip(&q).enumerate() {
                        *out = steps.step[i / 16] * f32::from(*q) - steps.floor[i / 16];
                    }
                }
            }
        }
    }
}

/// The half-precision number at `at`.
#[inline(always)]
fn half(block: &[u8], at: usize) -> f32 {
    from_f16(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// 16 bytes to 32 integers: first the low halves, then the high ones.
#[inline(always)]
fn nibbles(bytes: &[u8], q: &mut [u8; 32]) {
    let (low, high) = q.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = byte & 15;
        *high = byte >> 4;
    }
}

/// The low (even groups) or high (odd groups) halves of 32 bytes.
#[inline(always)]
fn nibble_half(bytes: &[u8], group: usize, q: &mut [u8; 32]) {
    let shift = 4 * (group % 2);
    for (q, byte) in q.iter_mut().zip(bytes) {
        *q = byte >> shift & 15;
    }
}

/// Bit `i` of four bytes becomes bit 4 of integer `i`.
#[inline(always)]
fn fifth_bits(bytes: &[u8], q: &mut [u8; 32]) {
    let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    for (i, q) in q.iter_mut().enumerate() {
        *q |= ((bits >> i & 1) << 4) as u8;
    }
}

/// The six-bit scale and minimum of a group of `Q4_K` and `Q5_K`: 16 of them in the 12 bytes at 4.
#[inline(always)]
fn sixth_bits(block: &[u8], group: usize) -> Steps {
    let packed = &block[4..16];
    let (scale, minimum) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let low = packed[group + 4];
        (low & 15 | packed[group - 4] >> 6 << 4, low >> 4 | packed[group] >> 6 << 4)
    };
    Steps::one(half(block, 0) * f32::from(scale), half(block, 2) * f32::from(minimum))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of every format against what ggml's own Python package reads in them.
    #[test]
    fn blocks_are_read_as_ggml_reads_them() {
        let mut seen = 0;
        for line in include_str!("tests/formats.txt").lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(' ');
            let name = words.next().unwrap();
            let format = Format::ALL.into_iter().find(|format| format!("{format:?}") == name).unwrap();
            let hex = words.next().unwrap().as_bytes().chunks(2);
            let block: Vec<u8> =
                hex.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect();
            let expected: Vec<f32> = words.map(|word| word.parse().unwrap()).collect();
            let mut read = vec![0.0; block.len() / format.block_bytes() * format.block_len()];
            format.read(&block, &mut read);
            let apart = if format.block_len() == 256 { 15 } else { 1 };
            let read: Vec<f32> = read.into_iter().step_by(apart).collect();
            assert_eq!(read.len(), expected.len());
            for (read, expected) in read.iter().zip(&expected) {
                assert!(
                    (read - expected).abs() <= 1e-4 * (1.0 + expected.abs()),
                    "{name}: {read} {expected}"
                );
            }
            seen += 1;
        }
        assert_eq!(seen, Format::ALL.len() - 1, "all but single precision");
    }

    #[test]
    fn numbers_of_formats_lead_back() {
        for format in Format::ALL {
            assert_eq!(Format::from_ggml(format.ggml()), Some(format));
        }
        assert_eq!(Format::from_ggml(4), None);
    }
}
