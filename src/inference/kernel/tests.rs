//! Every set of inner loops against the portable one, and that one against plain arithmetic.

use super::{Block, Gate, Kernels, LANES, Tile};
use crate::activation::{Activations, PANEL};
use crate::format::{Format, Input};
use crate::half::{from_f16, to_f16};
use crate::sample::Random;
use proptest::prelude::*;

/// Vectors of `len` numbers; some with large or no values, as they occur.
fn vectors(random: &mut Random, columns: usize, len: usize) -> Vec<f32> {
    let mut vectors: Vec<f32> = (0..columns * len).map(|_| random.number() * 3.0).collect();
    let zero = random.next() as usize % columns;
    vectors[zero * len..zero * len + len / 2].fill(0.0);
    vectors[random.next() as usize % (columns * len)] = 300.0;
    vectors
}

fn arrange(kernels: &Kernels, input: Input, columns: usize, vectors: &[f32]) -> Activations {
    let mut activations = Activations::default();
    let len = vectors.len() / columns;
    activations.prepare(input, columns, len);
    let width = activations.width;
    for (index, mut panel) in activations.panels_mut().into_iter().enumerate() {
        for column in 0..width {
            match vectors.chunks_exact(len).nth(index * width + column) {
                Some(vector) => kernels.fill(&mut panel, column, vector),
                None => panel.clear(column),
            }
        }
    }
    activations
}

fn rows(random: &mut Random, format: Format, count: usize, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    (0..count * len / format.block_len()).for_each(|_| random.block(format, &mut bytes));
    bytes
}

/// What rounding may change in a sum of `len` products.
fn near(a: f32, b: f32, len: usize) -> bool {
    (a - b).abs() <= 1e-5 * (1.0 + a.abs()) * (len as f32).sqrt()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn products_agree(seed in 1u64.., blocks in 1usize..5, count in 1usize..=LANES, columns in 1usize..=30) {
        let mut random = Random(seed);
        let len = blocks * 256;
        let vectors = vectors(&mut random, columns, len);
        for format in Format::ALL {
            let rows = rows(&mut random, format, count, len);
            let plain = arrange(Kernels::all()[0], format.input(), columns, &vectors);
            let mut numbers = vec![0.0; len];
            for kernels in Kernels::all() {
                let activations = arrange(kernels, format.input(), columns, &vectors);
                prop_assert_eq!(activations.panel(0).bytes, plain.panel(0).bytes);
                let mut tile = Tile::default();
                kernels.unpack(format, &rows, len, &mut tile);
                for index in 0..activations.panels() {
                    let panel = activations.panel(index);
                    let mut block: Block = [[f32::NAN; LANES]; PANEL];
                    if activations.width == PANEL {
                        kernels.product(&tile, &panel, &mut block);
                    } else {
                        let mut out = vec![f32::NAN; count];
                        kernels.dots(format, &rows, len, &panel, &mut out);
                        block[0][..count].copy_from_slice(&out);
                    }
                    for (column, lanes) in block[..panel.columns].iter().enumerate() {
                        for (lane, row) in rows.chunks_exact(format.row_bytes(len)).enumerate() {
                            format.read(row, &mut numbers);
                            let exact = exact(&activations, index, column, &numbers);
                            prop_assert!(
                                near(exact, lanes[lane], len),
                                "{} {format:?}: {exact} {}", kernels.name, lanes[lane]
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn attention_agrees(
        seed in 1u64.., size in 1usize..9, blocks in 1usize..7, columns in 1usize..=PANEL,
        first in 0usize..40, kept in 0.0f64..1.0,
    ) {
        let mut random = Random(seed);
        let size = size * 16;
        let places = blocks * LANES;
        let mut halves = |count: usize| -> Vec<u16> { (0..count).map(|_| to_f16(random.number())).collect() };
        let (keys, values) = (halves(places * size), halves(places * size));
        let queries: Vec<f32> = (0..size * PANEL).map(|_| random.number() * 2.0).collect();
        let first = first.min(places - 1);
        let end = first + 1 + ((places - first - 1) as f64 * kept) as usize;
        for kernels in Kernels::all() {
            let mut scores = vec![[[f32::NAN; LANES]; PANEL]; blocks];
            for (keys, scores) in keys.chunks_exact(size * LANES).zip(&mut scores) {
                kernels.scores(keys, &queries, columns, scores);
            }
            for column in 0..columns {
                let exact = |place: usize| -> f32 {
                    let keys = &keys[place / LANES * LANES * size..];
                    (0..size).map(|i| from_f16(keys[i * LANES + place % LANES]) * queries[i * PANEL + column]).sum()
                };
                let exact: Vec<f32> = (0..places).map(exact).collect();
                for (place, exact) in exact.iter().enumerate() {
                    prop_assert!(near(*exact, scores[place / LANES][column][place % LANES], size));
                }
                let largest = exact[first..end].iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum = kernels.soften(&mut scores, column, first, end);
                let expected: f32 = exact[first..end].iter().map(|score| (score - largest).exp()).sum();
                prop_assert!((sum - expected).abs() < 1e-3 * expected, "{}: {sum} {expected}", kernels.name);
                for place in (0..places).filter(|place| !(first..end).contains(place)) {
                    prop_assert_eq!(scores[place / LANES][column][place % LANES], 0.0);
                }
            }
            for lanes in (0..size).step_by(LANES) {
                let mut out: Block = [[0.5; LANES]; PANEL];
                kernels.mix(&values[lanes..], size, &scores, columns, &mut out);
                for (column, out) in out[..columns].iter().enumerate() {
                    for (lane, out) in out.iter().enumerate() {
                        let value = |place: usize| from_f16(values[place * size + lanes + lane]);
                        let weight = |place: usize| scores[place / LANES][column][place % LANES];
                        let exact: f32 = 0.5 + (0..places).map(|place| value(place) * weight(place)).sum::<f32>();
                        prop_assert!(near(exact, *out, places));
                    }
                }
            }
        }
    }
}

/// The product of a row of numbers with a column as it was rounded.
fn exact(activations: &Activations, index: usize, column: usize, row: &[f32]) -> f32 {
    let (panel, width) = (activations.panel(index), activations.width);
    let value = |i: usize| {
        if panel.bytes.is_empty() {
            return panel.floats[i * width + column];
        }
        let byte = panel.bytes[(i / 4 * width + column) * 4 + i % 4];
        f32::from(byte) * panel.scales[i / 32 * width + column]
    };
    row.iter().enumerate().map(|(i, weight)| f64::from(weight * value(i))).sum::<f64>() as f32
}

#[test]
fn the_widest_products_do_not_overflow() {
    // Weights with all bits set and vectors of the largest bytes: the sums of 16 bits must hold them.
    for format in Format::ALL.into_iter().filter(|format| format.input() != Input::Float) {
        for byte in [0xff, 0x80, 0x7f] {
            let mut row = vec![byte; format.row_bytes(512)];
            // Scales of one, so that what is compared is the integers.
            for block in row.chunks_exact_mut(format.block_bytes()) {
                let at = match format {
                    Format::Q2_K => 80,
                    Format::Q3_K => 108,
                    Format::Q6_K => 208,
                    _ => 0,
                };
                block[at..at + 2].copy_from_slice(&0x3c00u16.to_le_bytes());
                if matches!(format, Format::Q4_1 | Format::Q5_1 | Format::Q2_K | Format::Q4_K | Format::Q5_K)
                {
                    block[at + 2..at + 4].copy_from_slice(&0x3c00u16.to_le_bytes());
                }
            }
            let mut numbers = vec![0.0; 512];
            format.read(&row, &mut numbers);
            for columns in [1, PANEL] {
                let vectors: Vec<f32> =
                    (0..512 * columns).map(|i| if i % 3 == 0 { -1.0 } else { 1.0 }).collect();
                for kernels in Kernels::all() {
                    let activations = arrange(kernels, format.input(), columns, &vectors);
                    let panel = activations.panel(0);
                    let mut block: Block = [[0.0; LANES]; PANEL];
                    if columns == 1 {
                        kernels.dots(format, &row, 512, &panel, &mut block[0][..1]);
                    } else {
                        let mut tile = Tile::default();
                        kernels.unpack(format, &row, 512, &mut tile);
                        kernels.product(&tile, &panel, &mut block);
                    }
                    let exact = exact(&activations, 0, 0, &numbers);
                    let size: f32 = numbers.iter().map(|number| number.abs()).sum();
                    assert!(
                        (exact - block[0][0]).abs() < 1e-3 * size,
                        "{} {format:?} {byte:x}: {exact} {}",
                        kernels.name,
                        block[0][0]
                    );
                }
            }
        }
    }
}

#[test]
fn gates_agree() {
    let numbers: Vec<f32> = (-2000..2000).map(|i| i as f32 * 0.05).chain([f32::NEG_INFINITY, 1e30]).collect();
    let up = vec![2.0; numbers.len()];
    for kernels in Kernels::all() {
        for function in [Gate::Silu, Gate::Gelu] {
            let mut gated = numbers.clone();
            kernels.gate(function, &mut gated, &up);
            for (x, y) in numbers.iter().zip(&gated).filter(|(x, _)| x.is_finite() && x.abs() < 1e3) {
                let x = f64::from(*x);
                let exact = match function {
                    Gate::Silu => 2.0 * x / (1.0 + (-x).exp()),
                    Gate::Gelu => {
                        x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
                    }
                };
                let error = (exact - f64::from(*y)).abs();
                assert!(error < 1e-4 * exact.abs() + 1e-5, "{} {function:?}({x}): {y} {exact}", kernels.name);
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_in_its_column() {
    for kernels in Kernels::all() {
        for input in [Input::Block32, Input::Block256] {
            let mut vectors = vec![1.0; 256 * 5];
            vectors[256..512].fill(f32::NAN);
            vectors[512..600].fill(f32::INFINITY);
            let activations = arrange(kernels, input, 5, &vectors);
            let row = rows(&mut Random(7), Format::Q8_0, 1, 256);
            let row = if input == Input::Block32 { row } else { rows(&mut Random(7), Format::Q4_K, 1, 256) };
            let format = if input == Input::Block32 { Format::Q8_0 } else { Format::Q4_K };
            let mut tile = Tile::default();
            kernels.unpack(format, &row, 256, &mut tile);
            let mut block: Block = [[0.0; LANES]; PANEL];
            kernels.product(&tile, &activations.panel(0), &mut block);
            assert!(block[0][0].is_finite() && block[0][0] == block[3][0], "{}", kernels.name);
        }
    }
}
