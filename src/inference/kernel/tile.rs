//! Sixteen rows of weights, unpacked so that one instruction works on all of them.

use crate::format::{Format, Input};

/// Rows in a tile: the 32-bit numbers in the widest register.
pub const LANES: usize = 16;

/// 16 rows by 4 weights of each.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Quad(pub [[u8; 4]; LANES]);

/// 16 numbers, one for each row.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Lanes(pub [f32; LANES]);

/// Up to 16 rows of weights of one length; scratch memory of a thread.
pub struct Tile {
    pub format: Format,
    /// Weights in a row.
    pub len: usize,
    /// `[len / 4]`, for integer formats.
    pub quads: Vec<Quad>,
    /// Step and floor by group: `[len / 16]` for formats with halves, `[len / 32]` for the others.
    pub steps: Vec<Lanes>,
    pub floors: Vec<Lanes>,
    /// `[len]`, for formats of floats.
    pub floats: Vec<Lanes>,
}

impl Default for Tile {
    fn default() -> Self {
        let (quads, steps, floors, floats) = Default::default();
        Tile { format: Format::F32, len: 0, quads, steps, floors, floats }
    }
}

impl Tile {
    /// Makes room for rows of `len` weights. What was in it may still be there.
    pub fn prepare(&mut self, format: Format, len: usize) {
        (self.format, self.len) = (format, len);
        let (quads, groups, floats) = match format.input() {
            Input::Float => (0, 0, len),
            _ => (len / 4, len / if format.halves() { 16 } else { 32 }, 0),
        };
        self.quads.resize(quads, Quad([[0; 4]; LANES]));
        self.steps.resize(groups, Lanes([0.0; LANES]));
        self.floors.resize(groups, Lanes([0.0; LANES]));
        self.floats.resize(floats, Lanes([0.0; LANES]));
    }
}
