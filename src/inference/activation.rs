//! Activations in the shape that the products read them in.
//!
//! Many columns are laid out in panels of [`PANEL`], so that four bytes of each of them lie side by side; a
//! few columns are panels of width 1, that is, plain vectors. A column is one token's vector.

use crate::format::Input;
use crate::half::{from_f16, to_f16};

/// Columns in a panel: as many as one step of the widest kernel keeps in registers.
pub const PANEL: usize = 12;

/// Columns up to which each is multiplied by itself: unpacking a tile of weights costs as much as a few dots.
const FEW: usize = 2;

/// A matrix of activations, `columns` vectors of `len` numbers each.
#[derive(Default)]
pub struct Activations {
    /// What it holds: numbers, or bytes with scales.
    input: Option<Input>,
    pub columns: usize,
    pub len: usize,
    /// Columns in a panel: 1 or [`PANEL`].
    pub width: usize,
    /// `[panel][len][width]`, for [`Input::Float`].
    floats: Vec<f32>,
    /// `[panel][len / 4][width][4]`, between -127 and 127.
    bytes: Vec<i8>,
    /// `[panel][len / 32][width]`
    scales: Vec<f32>,
    /// The sum of each 32 times their scale, `[panel][len / 32][width]`.
    sums: Vec<f32>,
    /// The same for each 16, `[panel][len / 16][width]`.
    half_sums: Vec<f32>,
}

/// One panel of [`Activations`].
#[derive(Clone, Copy)]
pub struct Panel<'a> {
    /// Columns that hold something; the rest of the width is zero.
    pub columns: usize,
    pub floats: &'a [f32],
    pub bytes: &'a [i8],
    pub scales: &'a [f32],
    pub sums: &'a [f32],
    pub half_sums: &'a [f32],
}

impl Panel<'_> {
    /// Panics unless this is a panel of that kind, length and width.
    pub fn check(&self, input: Input, len: usize, width: usize) {
        let (floats, bytes) = if input == Input::Float { (len * width, 0) } else { (0, len * width) };
        assert!(self.columns <= width && self.floats.len() == floats && self.bytes.len() == bytes);
        assert!(self.scales.len() == bytes / 32 && self.sums.len() == bytes / 32);
        assert!(self.half_sums.len() == bytes / 16);
    }
}

/// Writable parts of one panel, so that panels can be filled by several threads.
pub struct PanelMut<'a> {
    input: Input,
    width: usize,
    pub floats: &'a mut [f32],
    pub bytes: &'a mut [i8],
    pub scales: &'a mut [f32],
    pub sums: &'a mut [f32],
    pub half_sums: &'a mut [f32],
}

impl Activations {
    /// Makes room for `columns` vectors of `len` numbers, a multiple of 32 (256 for [`Input::Block256`]).
    pub fn prepare(&mut self, input: Input, columns: usize, len: usize) {
        assert!(len.is_multiple_of(if input == Input::Block256 { 256 } else { 32 }));
        (self.input, self.columns, self.len) = (Some(input), columns, len);
        self.width = if columns <= FEW { 1 } else { PANEL };
        let all = self.panels() * self.width * len;
        let (floats, bytes) = if input == Input::Float { (all, 0) } else { (0, all) };
        self.floats.resize(floats, 0.0);
        self.bytes.resize(bytes, 0);
        self.scales.resize(bytes / 32, 0.0);
        self.sums.resize(bytes / 32, 0.0);
        self.half_sums.resize(bytes / 16, 0.0);
    }

    pub fn panels(&self) -> usize {
        self.columns.div_ceil(self.width)
    }

    pub fn panel(&self, index: usize) -> Panel<'_> {
        let all = self.width * self.len;
        let part = |len: usize, size: usize| if len == 0 { 0..0 } else { index * size..(index + 1) * size };
        Panel {
            columns: self.width.min(self.columns - index * self.width),
            floats: &self.floats[part(self.floats.len(), all)],
            bytes: &self.bytes[part(self.bytes.len(), all)],
            scales: &self.scales[part(self.scales.len(), all / 32)],
            sums: &self.sums[part(self.sums.len(), all / 32)],
            half_sums: &self.half_sums[part(self.half_sums.len(), all / 16)],
        }
    }

    /// Every panel, to be filled.
    pub fn panels_mut(&mut self) -> Vec<PanelMut<'_>> {
        let (all, width, panels) = (self.width * self.len, self.width, self.panels());
        let input = self.input.expect("prepared");
        let (mut floats, mut bytes) = (self.floats.chunks_exact_mut(all), self.bytes.chunks_exact_mut(all));
        let (mut scales, mut sums) =
            (self.scales.chunks_exact_mut(all / 32), self.sums.chunks_exact_mut(all / 32));
        let mut half_sums = self.half_sums.chunks_exact_mut(all / 16);
        (0..panels)
            .map(|_| PanelMut {
                input,
                width,
                floats: floats.next().unwrap_or_default(),
                bytes: bytes.next().unwrap_or_default(),
                scales: scales.next().unwrap_or_default(),
                sums: sums.next().unwrap_or_default(),
                half_sums: half_sums.next().unwrap_or_default(),
            })
            .collect()
    }
}

impl PanelMut<'_> {
    /// Puts one vector into column `column`.
    #[inline(always)]
    pub fn fill(&mut self, column: usize, vector: &[f32]) {
        let width = self.width;
        match self.input {
            Input::Float => {
                for (i, value) in vector.iter().enumerate() {
                    self.floats[i * width + column] = *value;
                }
            }
            Input::Block32 => {
                for (group, values) in vector.as_chunks::<32>().0.iter().enumerate() {
                    let largest = largest(values);
                    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                    let scale = from_f16(to_f16(largest / 127.0));
                    self.group(group, column, values, inverse, scale);
                }
            }
            Input::Block256 => {
                for (block, values) in vector.as_chunks::<256>().0.iter().enumerate() {
                    let largest = largest(values);
                    // ggml gives the number of the largest magnitude the byte -127, whatever its sign.
                    let positive = values.contains(&largest);
                    let (inverse, scale) = match largest {
                        0.0 => (0.0, 0.0),
                        _ if positive => (-127.0 / largest, -largest / 127.0),
                        _ => (127.0 / largest, largest / 127.0),
                    };
                    for (i, values) in values.as_chunks::<32>().0.iter().enumerate() {
                        self.group(block * 8 + i, column, values, inverse, scale);
                    }
                }
            }
        }
    }

    /// Puts away a column that holds nothing.
    pub fn clear(&mut self, column: usize) {
        let width = self.width;
        self.floats.iter_mut().skip(column).step_by(width).for_each(|value| *value = 0.0);
        self.bytes.chunks_exact_mut(4).skip(column).step_by(width).for_each(|quad| quad.fill(0));
        for numbers in [&mut *self.scales, self.sums, self.half_sums] {
            numbers.iter_mut().skip(column).step_by(width).for_each(|value| *value = 0.0);
        }
    }

    #[inline(always)]
    fn group(&mut self, group: usize, column: usize, values: &[f32; 32], inverse: f32, scale: f32) {
        let width = self.width;
        let mut bytes = [0i8; 32];
        for (byte, value) in bytes.iter_mut().zip(values) {
            *byte = (value * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
        }
        for (quad, four) in bytes.as_chunks::<4>().0.iter().enumerate() {
            let at = ((group * 8 + quad) * width + column) * 4;
            self.bytes[at..at + 4].copy_from_slice(four);
        }
        let sums =
            [&bytes[..16], &bytes[16..]].map(|half| half.iter().map(|byte| i32::from(*byte)).sum::<i32>());
        self.scales[group * width + column] = scale;
        self.sums[group * width + column] = scale * (sums[0] + sums[1]) as f32;
        for (half, sum) in sums.iter().enumerate() {
            self.half_sums[(group * 2 + half) * width + column] = scale * *sum as f32;
        }
    }
}

/// The largest magnitude; what is not a number counts as nothing.
#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for values in values.as_chunks::<16>().0 {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane = if value.abs() > *lane { value.abs() } else { *lane };
        }
    }
    lanes.into_iter().fold(0.0, f32::max)
}
