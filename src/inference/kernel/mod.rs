//! The inner loops, chosen once for the processor that this runs on.
//!
//! [`portable`] says what each computes; the others compute the same faster, and are tested against it.
//! Knows no layers and no threads.

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::activation::{PANEL, Panel, PanelMut};
use crate::format::Format;
pub use tile::{LANES, Tile};

/// One number for each of the rows of a tile, by column of a panel.
pub type Block = [[f32; LANES]; PANEL];

/// The function between the two halves of a feed-forward layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `x / (1 + exp(-x))`
    Silu,
    /// The approximation of the Gaussian error linear unit by a hyperbolic tangent.
    Gelu,
}

/// The functions of one instruction set.
///
/// They are `unsafe` as functions of an instruction set that may be missing; [`Kernels::best`] only gives
/// out what the processor has, and the methods check every length that they rely on.
pub struct Kernels {
    pub name: &'static str,
    dots: unsafe fn(Format, &[u8], usize, &Panel, &mut [f32]),
    unpack: unsafe fn(Format, &[u8], usize, usize, &mut Tile),
    product: unsafe fn(&Tile, &Panel, &mut Block),
    fill: unsafe fn(&mut PanelMut, usize, &[f32]),
    scores: unsafe fn(&[u16], &[f32], usize, &mut Block),
    soften: unsafe fn(&mut [Block], usize, usize, usize) -> f32,
    mix: unsafe fn(&[u16], usize, &[Block], usize, &mut Block),
    gate: unsafe fn(Gate, &mut [f32], &[f32]),
}

impl Kernels {
    /// The fastest that this processor can run.
    pub fn best() -> &'static Kernels {
        Self::all().last().expect("the portable ones are always there")
    }

    /// All that this processor can run, the slowest first.
    pub fn all() -> Vec<&'static Kernels> {
        #[cfg_attr(
            not(any(target_arch = "x86_64", target_arch = "aarch64")),
            expect(unused_mut, reason = "nothing is added")
        )]
        let mut all = vec![&portable::KERNELS];
        #[cfg(target_arch = "x86_64")]
        all.extend(x86::available());
        #[cfg(target_arch = "aarch64")]
        all.extend(neon::available());
        all
    }

    /// The products of `out.len()` rows of weights with a vector: `out[i] = rows[i] · vector`.
    ///
    /// `rows` are the bytes of the rows, one after the other; the panel has width 1.
    pub fn dots(&self, format: Format, rows: &[u8], len: usize, vector: &Panel, out: &mut [f32]) {
        assert!(rows.len() == format.row_bytes(len) * out.len() && vector.columns == 1);
        vector.check(format.input(), len, 1);
        // SAFETY: the instruction set is there (see `best`), and the lengths agree.
        unsafe { (self.dots)(format, rows, len, vector, out) }
    }

    /// Unpacks up to [`LANES`] rows of weights; lanes without a row become zero.
    pub fn unpack(&self, format: Format, rows: &[u8], len: usize, tile: &mut Tile) {
        let row_bytes = format.row_bytes(len);
        assert!(rows.len().is_multiple_of(row_bytes) && rows.len() / row_bytes <= LANES);
        tile.prepare(format, len);
        // SAFETY: as above, and the tile has room for the rows.
        unsafe { (self.unpack)(format, rows, row_bytes, len, tile) }
    }

    /// `out[column][lane] = tile[lane] · panel[column]`
    pub fn product(&self, tile: &Tile, panel: &Panel, out: &mut Block) {
        panel.check(tile.format.input(), tile.len, PANEL);
        // SAFETY: as above.
        unsafe { (self.product)(tile, panel, out) }
    }

    /// Puts a vector into a column of a panel.
    pub fn fill(&self, panel: &mut PanelMut, column: usize, vector: &[f32]) {
        // SAFETY: the instruction set is there; the function checks its indices itself.
        unsafe { (self.fill)(panel, column, vector) }
    }

    /// `out[column][lane] = key[lane] · query[column]` for [`LANES`] keys in half precision.
    ///
    /// `keys` is `[head size][LANES]`, `queries` is `[head size][PANEL]`.
    pub fn scores(&self, keys: &[u16], queries: &[f32], columns: usize, out: &mut Block) {
        assert!(columns <= PANEL && keys.len() / LANES == queries.len() / PANEL);
        assert!(keys.len().is_multiple_of(LANES) && queries.len().is_multiple_of(PANEL));
        // SAFETY: as above.
        unsafe { (self.scores)(keys, queries, columns, out) }
    }

    /// Makes weights of the scores of a column: those from `first` to before `end` become
    /// `exp(score - largest)`, all others zero. Returns the sum of the weights.
    ///
    /// A score's place counts from the first lane of `scores[0]`.
    pub fn soften(&self, scores: &mut [Block], column: usize, first: usize, end: usize) -> f32 {
        assert!(column < PANEL && first <= end && end <= scores.len() * LANES);
        // SAFETY: as above.
        unsafe { (self.soften)(scores, column, first, end) }
    }

    /// `out[column][lane] += Σ weights[place][column] * values[place][lane]` for [`LANES`] numbers of each
    /// value, in half precision. `values` begins at the first number of the first value; the next value is
    /// `stride` numbers on.
    pub fn mix(&self, values: &[u16], stride: usize, weights: &[Block], columns: usize, out: &mut Block) {
        let places = weights.len() * LANES;
        assert!(columns <= PANEL && (places == 0 || values.len() >= (places - 1) * stride + LANES));
        // SAFETY: as above.
        unsafe { (self.mix)(values, stride, weights, columns, out) }
    }

    /// `gate[i] = function(gate[i]) * up[i]`
    pub fn gate(&self, function: Gate, gate: &mut [f32], up: &[f32]) {
        assert_eq!(gate.len(), up.len());
        // SAFETY: as above.
        unsafe { (self.gate)(function, gate, up) }
    }
}
