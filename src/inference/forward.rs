//! One run of tokens through all layers.

use crate::activation::Activations;
use crate::attention::{Heads, attend};
use crate::cache::Cache;
use crate::disjoint::Disjoint;
use crate::header::{Architecture, Header};
use crate::kernel::Gate;
use crate::product::{Machine, Matrix, Product, Watch};
use crate::rope::Rope;
use crate::weights::{Layer, Projection, Stored, Weights};
use std::ops::ControlFlow;

/// A model's numbers, in the bytes of its file.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub header: &'a Header,
    pub weights: &'a Weights,
    pub file: &'a [u8],
}

/// Memory that is kept between runs, for as many tokens as the longest run had.
#[derive(Default)]
pub struct Buffers {
    /// What goes from layer to layer, `[token][embedding]`.
    state: Vec<f32>,
    normed: Vec<f32>,
    /// What a layer's half adds to the state.
    added: Vec<f32>,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    attended: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    activations: Activations,
}

impl Buffers {
    /// Bytes for a run of so many tokens, nearly.
    pub fn bytes(header: &Header, tokens: usize) -> u64 {
        let queries = header.heads * header.head_size;
        let keys = header.key_heads * header.head_size;
        let numbers = 3 * header.embedding + 2 * queries + 2 * keys + 2 * header.feed_forward;
        (tokens * (4 * numbers + 2 * header.feed_forward)) as u64
    }
}

impl Parts<'_> {
    fn matrix(&self, stored: &Stored) -> Matrix<'_> {
        stored.of(self.file)
    }

    /// Runs tokens that are to be at `place` and after, and puts them into the cache. `watch` is asked
    /// between steps and can stop the run.
    pub fn run(
        &self,
        machine: &Machine,
        cache: &mut Cache,
        buffers: &mut Buffers,
        place: usize,
        tokens: &[u32],
        watch: &mut Watch,
    ) -> ControlFlow<()> {
        let width = self.header.embedding;
        buffers.state.resize(tokens.len() * width, 0.0);
        let embedding = self.matrix(&self.weights.embedding);
        let gemma = self.header.architecture == Architecture::Gemma3;
        for (token, state) in tokens.iter().zip(buffers.state.chunks_exact_mut(width)) {
            embedding.format.read(embedding.rows(*token as usize, 1), state);
            if gemma {
                let scale = (width as f32).sqrt();
                state.iter_mut().for_each(|number| *number *= scale);
            }
        }
        let details = &self.header.details;
        let factors = self.weights.rope_factors.as_deref();
        let rope = Rope::new(
            details.rope_size,
            details.rope_base,
            details.rope_divisor,
            factors,
            place,
            tokens.len(),
        );
        let window_rope = details
            .window
            .map(|_| Rope::new(details.rope_size, details.window_rope_base, 1.0, None, place, tokens.len()));
        for (index, layer) in self.weights.layers.iter().enumerate() {
            // Gemma's layers see a window, but each sixth sees all.
            let (rope, window) = match &window_rope {
                Some(window_rope) if index % 6 != 5 => (window_rope, details.window),
                _ => (&rope, None),
            };
            self.attention(machine, cache, buffers, (index, layer), place, rope, window, watch)?;
            self.feed_forward(machine, buffers, layer, watch)?;
        }
        ControlFlow::Continue(())
    }

    /// The logits of the last token of the last run.
    pub fn logits(&self, machine: &Machine, buffers: &mut Buffers, logits: &mut Vec<f32>) {
        let width = self.header.embedding;
        let last = buffers.state.len() - width;
        buffers.normed.resize(width, 0.0);
        norm(&buffers.state[last..], &self.weights.norm, self.header.details.epsilon, &mut buffers.normed);
        logits.resize(self.header.vocabulary, 0.0);
        let matrix = self.matrix(&self.weights.output);
        let product = Product { matrix, out: logits };
        // As short as the step of a token, so nobody is asked.
        let never: &mut Watch = &mut || ControlFlow::Continue(());
        let _ = machine.multiply(&mut buffers.activations, &buffers.normed, 1, &mut [product], never);
    }

    #[expect(clippy::too_many_arguments, reason = "what one layer reads and writes")]
    fn attention(
        &self,
        machine: &Machine,
        cache: &mut Cache,
        buffers: &mut Buffers,
        (index, layer): (usize, &Layer),
        place: usize,
        rope: &Rope,
        window: Option<usize>,
        watch: &mut Watch,
    ) -> ControlFlow<()> {
        let header = self.header;
        let Buffers { state, normed, added, queries, keys, values, attended, activations, .. } = buffers;
        let tokens = state.len() / header.embedding;
        let size = header.head_size;
        self.norm_all(machine, state, &layer.attention_norm, normed);
        for (projection, out) in
            [(&layer.queries, &mut *queries), (&layer.keys, &mut *keys), (&layer.values, &mut *values)]
        {
            out.resize(tokens * self.matrix(&projection.matrix).rows, 0.0);
        }
        machine.multiply(
            activations,
            normed,
            tokens,
            &mut [
                Product { matrix: self.matrix(&layer.queries.matrix), out: queries },
                Product { matrix: self.matrix(&layer.keys.matrix), out: keys },
                Product { matrix: self.matrix(&layer.values.matrix), out: values },
            ],
            watch,
        )?;
        add_bias(&layer.queries, queries);
        add_bias(&layer.keys, keys);
        add_bias(&layer.values, values);
        let halves = header.architecture != Architecture::Llama;
        for (numbers, norm_weights) in [(&mut *queries, &layer.query_norm), (&mut *keys, &layer.key_norm)] {
            let row = numbers.len() / tokens;
            for (token, row) in numbers.chunks_exact_mut(row).enumerate() {
                for head in row.chunks_exact_mut(size) {
                    if let Some(weights) = norm_weights {
                        norm_in_place(head, weights, header.details.epsilon);
                    }
                    rope.turn(token, head, halves);
                }
            }
        }
        let row = header.key_heads * size;
        for (token, (keys, values)) in keys.chunks_exact(row).zip(values.chunks_exact(row)).enumerate() {
            cache.put(index, place + token, keys, values);
        }
        attended.resize(queries.len(), 0.0);
        let heads = Heads {
            queries: header.heads,
            keys: header.key_heads,
            size,
            scale: header.details.attention_scale,
            window,
        };
        attend(machine, cache, index, heads, place, queries, attended, watch)?;
        added.resize(state.len(), 0.0);
        let out = &layer.attention_out;
        let product = Product { matrix: self.matrix(&out.matrix), out: added };
        machine.multiply(activations, attended, tokens, &mut [product], watch)?;
        add_bias(out, added);
        self.add(layer.attention_out_norm.as_deref(), added, state);
        ControlFlow::Continue(())
    }

    fn feed_forward(
        &self,
        machine: &Machine,
        buffers: &mut Buffers,
        layer: &Layer,
        watch: &mut Watch,
    ) -> ControlFlow<()> {
        let header = self.header;
        let Buffers { state, normed, added, gate, up, activations, .. } = buffers;
        let tokens = state.len() / header.embedding;
        self.norm_all(machine, state, &layer.feed_forward_norm, normed);
        gate.resize(tokens * header.feed_forward, 0.0);
        up.resize(tokens * header.feed_forward, 0.0);
        machine.multiply(
            activations,
            normed,
            tokens,
            &mut [
                Product { matrix: self.matrix(&layer.gate), out: gate },
                Product { matrix: self.matrix(&layer.up), out: up },
            ],
            watch,
        )?;
        let function = if header.architecture == Architecture::Gemma3 { Gate::Gelu } else { Gate::Silu };
        let part = gate.len().div_ceil(machine.pool.workers());
        let gates = Disjoint::new(gate);
        machine.pool.run(up.len().div_ceil(part), &|item, _| {
            let range = item * part..((item + 1) * part).min(up.len());
            // SAFETY: each item has a part of its own.
            machine.kernels.gate(function, unsafe { gates.part(range.clone()) }, &up[range]);
        });
        added.resize(state.len(), 0.0);
        let product = Product { matrix: self.matrix(&layer.down), out: added };
        machine.multiply(activations, gate, tokens, &mut [product], watch)?;
        self.add(layer.feed_forward_out_norm.as_deref(), added, state);
        ControlFlow::Continue(())
    }

    fn norm_all(&self, machine: &Machine, state: &[f32], weights: &[f32], out: &mut Vec<f32>) {
        let width = self.header.embedding;
        out.resize(state.len(), 0.0);
        let rows = Disjoint::new(out);
        machine.pool.run(state.len() / width, &|token, _| {
            let range = token * width..(token + 1) * width;
            // SAFETY: each token has a row of its own.
            let out = unsafe { rows.part(range.clone()) };
            norm(&state[range], weights, self.header.details.epsilon, out);
        });
    }

    /// Adds to the state, normed first where the model does.
    fn add(&self, weights: Option<&[f32]>, added: &mut [f32], state: &mut [f32]) {
        if let Some(weights) = weights {
            for row in added.chunks_exact_mut(self.header.embedding) {
                norm_in_place(row, weights, self.header.details.epsilon);
            }
        }
        for (state, added) in state.iter_mut().zip(added) {
            *state += *added;
        }
    }
}

fn add_bias(projection: &Projection, out: &mut [f32]) {
    let Some(bias) = &projection.bias else { return };
    for row in out.chunks_exact_mut(bias.len()) {
        row.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
    }
}

/// One over the root of the mean square.
fn inverse_size(numbers: &[f32], epsilon: f32) -> f32 {
    let (chunks, rest) = numbers.as_chunks::<16>();
    let mut sums = [0f32; 16];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, number)| *sum += number * number);
    }
    let sum = sums.iter().sum::<f32>() + rest.iter().map(|number| number * number).sum::<f32>();
    1.0 / (sum / numbers.len() as f32 + epsilon).sqrt()
}

fn norm(numbers: &[f32], weights: &[f32], epsilon: f32, out: &mut [f32]) {
    let scale = inverse_size(numbers, epsilon);
    for ((out, number), weight) in out.iter_mut().zip(numbers).zip(weights) {
        *out = number * scale * weight;
    }
}

fn norm_in_place(numbers: &mut [f32], weights: &[f32], epsilon: f32) {
    let scale = inverse_size(numbers, epsilon);
    for (number, weight) in numbers.iter_mut().zip(weights) {
        *number *= scale * weight;
    }
}
