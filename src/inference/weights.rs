//! A model's tensors by what they do, checked once against the sizes in the header.

use crate::error::Error;
use crate::format::Format;
use crate::gguf::Gguf;
use crate::header::Header;
use crate::product::Matrix;
use std::collections::BTreeSet;
use std::ops::Range;

/// A matrix of the file.
#[derive(Debug, Clone)]
pub struct Stored {
    format: Format,
    rows: usize,
    len: usize,
    bytes: Range<usize>,
}

impl Stored {
    /// The matrix in the bytes of the file that it was found in.
    pub fn of<'a>(&self, file: &'a [u8]) -> Matrix<'a> {
        Matrix { format: self.format, rows: self.rows, len: self.len, bytes: &file[self.bytes.clone()] }
    }
}

/// A matrix and what is added to its product.
pub struct Projection {
    pub matrix: Stored,
    pub bias: Option<Vec<f32>>,
}

pub struct Layer {
    pub attention_norm: Vec<f32>,
    pub queries: Projection,
    pub keys: Projection,
    pub values: Projection,
    pub query_norm: Option<Vec<f32>>,
    pub key_norm: Option<Vec<f32>>,
    pub attention_out: Projection,
    /// Gemma's norm of what attention adds.
    pub attention_out_norm: Option<Vec<f32>>,
    pub feed_forward_norm: Vec<f32>,
    pub gate: Stored,
    pub up: Stored,
    pub down: Stored,
    pub feed_forward_out_norm: Option<Vec<f32>>,
}

pub struct Weights {
    pub embedding: Stored,
    pub layers: Vec<Layer>,
    pub norm: Vec<f32>,
    /// To the logits; for many models the embedding itself.
    pub output: Stored,
    /// What the angle of each pair is divided by, for models that stretch positions that way.
    pub rope_factors: Option<Vec<f32>>,
}

impl Weights {
    pub fn find(gguf: &Gguf, file: &[u8], header: &Header) -> Result<Self, Error> {
        if let Some((name, kind)) = gguf.strange() {
            return Err(Error::unsupported(format!("tensor {name:?} is stored as ggml's type {kind}")));
        }
        let mut found = Finder { gguf, file, unused: gguf.tensors().map(|(name, _)| name).collect() };
        let embedding = found.matrix("token_embd.weight", header.vocabulary, header.embedding)?;
        let weights = Weights {
            layers: (0..header.layers).map(|layer| found.layer(layer, header)).collect::<Result<_, _>>()?,
            norm: found.vector("output_norm.weight", header.embedding)?,
            output: match gguf.tensor("output.weight") {
                Some(_) => found.matrix("output.weight", header.vocabulary, header.embedding)?,
                None => embedding.clone(),
            },
            rope_factors: found.vector_if_there("rope_freqs.weight", header.details.rope_size / 2)?,
            embedding,
        };
        // A tensor that nothing uses means that the model computes something else than we would.
        match found.unused.first() {
            Some(name) => Err(Error::unsupported(format!("it has a tensor {name:?}"))),
            None => Ok(weights),
        }
    }
}

struct Finder<'a> {
    gguf: &'a Gguf,
    file: &'a [u8],
    unused: BTreeSet<&'a str>,
}

impl Finder<'_> {
    fn layer(&mut self, layer: usize, header: &Header) -> Result<Layer, Error> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (width, inner) = (header.embedding, header.feed_forward);
        let queries = header.heads * header.head_size;
        let keys = header.key_heads * header.head_size;
        Ok(Layer {
            attention_norm: self.vector(&name("attn_norm.weight"), width)?,
            queries: self.projection(&name("attn_q"), queries, width)?,
            keys: self.projection(&name("attn_k"), keys, width)?,
            values: self.projection(&name("attn_v"), keys, width)?,
            query_norm: self.vector_if_there(&name("attn_q_norm.weight"), header.head_size)?,
            key_norm: self.vector_if_there(&name("attn_k_norm.weight"), header.head_size)?,
            attention_out: self.projection(&name("attn_output"), width, queries)?,
            attention_out_norm: self.vector_if_there(&name("post_attention_norm.weight"), width)?,
            feed_forward_norm: self.vector(&name("ffn_norm.weight"), width)?,
            gate: self.matrix(&name("ffn_gate.weight"), inner, width)?,
            up: self.matrix(&name("ffn_up.weight"), inner, width)?,
            down: self.matrix(&name("ffn_down.weight"), width, inner)?,
            feed_forward_out_norm: self.vector_if_there(&name("post_ffw_norm.weight"), width)?,
        })
    }

    fn projection(&mut self, name: &str, rows: usize, len: usize) -> Result<Projection, Error> {
        Ok(Projection {
            matrix: self.matrix(&format!("{name}.weight"), rows, len)?,
            bias: self.vector_if_there(&format!("{name}.bias"), rows)?,
        })
    }

    fn matrix(&mut self, name: &str, rows: usize, len: usize) -> Result<Stored, Error> {
        let place =
            self.gguf.tensor(name).ok_or_else(|| Error::damaged(format!("it has no tensor {name:?}")))?;
        if place.shape != [len, rows] {
            let shape = &place.shape;
            return Err(Error::damaged(format!(
                "tensor {name:?} has the shape {shape:?}, not [{len}, {rows}]"
            )));
        }
        self.unused.remove(name);
        Ok(Stored { format: place.format, rows, len, bytes: place.bytes.clone() })
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        self.vector_if_there(name, len)?.ok_or_else(|| Error::damaged(format!("it has no tensor {name:?}")))
    }

    fn vector_if_there(&mut self, name: &str, len: usize) -> Result<Option<Vec<f32>>, Error> {
        let Some(place) = self.gguf.tensor(name) else { return Ok(None) };
        if place.shape != [len] {
            return Err(Error::damaged(format!(
                "tensor {name:?} has the shape {:?}, not [{len}]",
                place.shape
            )));
        }
        self.unused.remove(name);
        let mut vector = vec![0.0; len];
        place.format.read(&self.file[place.bytes.clone()], &mut vector);
        Ok(Some(vector))
    }
}
