//! Matrix products, split over the threads.

use crate::activation::{Activations, PANEL};
use crate::disjoint::Disjoint;
use crate::format::{Format, Input};
use crate::kernel::{Block, Kernels, LANES, Tile};
use crate::pool::Pool;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A matrix of weights where it lies: `rows` rows of `len` weights.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    pub format: Format,
    pub rows: usize,
    pub len: usize,
    pub bytes: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// The bytes of a range of rows.
    pub fn rows(&self, first: usize, count: usize) -> &'a [u8] {
        let row = self.format.row_bytes(self.len);
        &self.bytes[first * row..(first + count) * row]
    }
}

/// A product to make: `out[column][row] = matrix[row] · activations[column]`.
pub struct Product<'a> {
    pub matrix: Matrix<'a>,
    pub out: &'a mut [f32],
}

/// Memory that a worker keeps between steps.
#[derive(Default)]
pub struct Scratch {
    pub tile: Tile,
    /// Queries of one panel, `[head size][PANEL]`.
    pub queries: Vec<f32>,
    /// Scores of one panel, by block of places.
    pub scores: Vec<Block>,
}

/// What every step of a forward pass needs.
pub struct Machine<'a> {
    pub pool: &'a Pool,
    pub kernels: &'static Kernels,
    /// One for each worker.
    pub scratch: &'a [Mutex<Scratch>],
}

/// A row batch that a worker takes at a time, in bytes of weights.
const BATCH_BYTES: usize = 1 << 16;

/// Multiplications between two questions whether to go on: a few milliseconds of one core.
const UNASKED: usize = 1 << 28;

/// Asked between steps; a break ends the run.
pub type Watch<'a> = dyn FnMut() -> ControlFlow<()> + 'a;

impl Machine<'_> {
    pub fn scratch(&self, worker: usize) -> MutexGuard<'_, Scratch> {
        self.scratch[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does items of `cost` multiplications each, and asks in between if they take long.
    pub fn run(
        &self,
        items: usize,
        cost: usize,
        watch: &mut Watch,
        work: &(dyn Fn(usize, usize) + Sync),
    ) -> ControlFlow<()> {
        // Whole rounds of the workers, so that none waits for the others more than at the end.
        let round = self.pool.workers();
        let batch = (UNASKED / cost.max(1)).max(1).saturating_mul(round);
        for start in (0..items).step_by(batch) {
            self.pool.run(batch.min(items - start), &|item, worker| work(start + item, worker));
            watch()?;
        }
        ControlFlow::Continue(())
    }

    /// Multiplies the same vectors (`input`, `columns` of them) with each matrix.
    pub fn multiply(
        &self,
        activations: &mut Activations,
        input: &[f32],
        columns: usize,
        products: &mut [Product],
        watch: &mut Watch,
    ) -> ControlFlow<()> {
        for kind in [Input::Float, Input::Block32, Input::Block256] {
            let mut chosen: Vec<_> =
                products.iter_mut().filter(|product| product.matrix.format.input() == kind).collect();
            if let Some(first) = chosen.first() {
                let len = first.matrix.len;
                self.arrange(activations, kind, input, columns, len);
                self.multiply_arranged(activations, &mut chosen, watch)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// Lays out vectors of `len` numbers as one kind of activations.
    fn arrange(&self, activations: &mut Activations, kind: Input, input: &[f32], columns: usize, len: usize) {
        assert_eq!(input.len(), columns * len);
        activations.prepare(kind, columns, len);
        let width = activations.width;
        let mut panels = activations.panels_mut();
        let count = panels.len();
        let panels = Disjoint::new(&mut panels);
        self.pool.run(count, &|index, _| {
            // SAFETY: each panel is one item.
            let panel = &mut unsafe { panels.part(index..index + 1) }[0];
            for column in 0..width {
                match input.get((index * width + column) * len..(index * width + column + 1) * len) {
                    Some(vector) => self.kernels.fill(panel, column, vector),
                    None => panel.clear(column),
                }
            }
        });
    }

    fn multiply_arranged(
        &self,
        activations: &Activations,
        products: &mut [&mut Product],
        watch: &mut Watch,
    ) -> ControlFlow<()> {
        let few = activations.width == 1;
        let mut parts = Vec::new();
        for product in products.iter_mut() {
            let matrix = product.matrix;
            assert!(matrix.len == activations.len && product.out.len() == matrix.rows * activations.columns);
            let batch = if few {
                let even = matrix.rows.div_ceil(self.pool.workers() * 2);
                (BATCH_BYTES / matrix.format.row_bytes(matrix.len)).clamp(1, even.max(1))
            } else {
                LANES
            };
            let out = Disjoint::new(&mut *product.out);
            parts.push((matrix, out, batch, matrix.rows.div_ceil(batch)));
        }
        let items = parts.iter().map(|(.., items)| items).sum();
        let rows = parts.iter().map(|(_, _, batch, _)| *batch).max().unwrap_or(1);
        self.run(items, rows * activations.len * activations.columns, watch, &|mut item, worker| {
            for (matrix, out, batch, items) in &parts {
                if item >= *items {
                    item -= items;
                    continue;
                }
                let first = item * batch;
                let count = (*batch).min(matrix.rows - first);
                if few {
                    self.few_columns(activations, matrix, out, first, count);
                } else {
                    self.tile(activations, matrix, out, first, count, worker);
                }
                return;
            }
        })
    }

    fn few_columns(
        &self,
        activations: &Activations,
        matrix: &Matrix,
        out: &Disjoint<f32>,
        first: usize,
        count: usize,
    ) {
        for column in 0..activations.columns {
            let start = column * matrix.rows + first;
            // SAFETY: these rows belong to this item alone.
            let out = unsafe { out.part(start..start + count) };
            let rows = matrix.rows(first, count);
            self.kernels.dots(matrix.format, rows, matrix.len, &activations.panel(column), out);
        }
    }

    fn tile(
        &self,
        activations: &Activations,
        matrix: &Matrix,
        out: &Disjoint<f32>,
        first: usize,
        count: usize,
        worker: usize,
    ) {
        let mut scratch = self.scratch(worker);
        let tile = &mut scratch.tile;
        self.kernels.unpack(matrix.format, matrix.rows(first, count), matrix.len, tile);
        let mut block: Block = [[0.0; LANES]; PANEL];
        for index in 0..activations.panels() {
            let panel = activations.panel(index);
            self.kernels.product(tile, &panel, &mut block);
            for (column, lanes) in block[..panel.columns].iter().enumerate() {
                let start = (index * PANEL + column) * matrix.rows + first;
                // SAFETY: these rows belong to this item alone.
                unsafe { out.part(start..start + count) }.copy_from_slice(&lanes[..count]);
            }
        }
    }
}
