//! What a model is, from the metadata of its file: read in milliseconds, without its weights.

use crate::error::Error;
use crate::gguf::{Gguf, Value};
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;

/// A model's family, which decides what a layer computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
}

impl Architecture {
    pub const ALL: [Architecture; 4] =
        [Architecture::Llama, Architecture::Qwen2, Architecture::Qwen3, Architecture::Gemma3];

    /// The name in `general.architecture`, which is also the prefix of its keys.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
            Architecture::Gemma3 => "gemma3",
        }
    }
}

/// What the metadata says. All sizes are checked for sense, and against each other.
#[derive(Debug, Clone)]
pub struct Header {
    pub architecture: Architecture,
    /// `general.name`, as its maker wrote it.
    pub name: Option<String>,
    /// Tokens that it was trained on at once.
    pub context: usize,
    pub layers: usize,
    /// Heads of queries, and of keys and values.
    pub heads: usize,
    pub key_heads: usize,
    pub head_size: usize,
    /// Numbers for a token between layers, and inside a feed-forward layer.
    pub embedding: usize,
    pub feed_forward: usize,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    pub file_bytes: u64,
    /// As llama.cpp names mixtures, for example `Q4_K_M`.
    pub quantisation: String,
    /// The Jinja template of a chat; text of a stranger.
    pub chat_template: Option<String>,
    pub(crate) details: Details,
}

/// What only the forward pass needs.
#[derive(Debug, Clone)]
pub(crate) struct Details {
    pub epsilon: f32,
    /// Rotary positions: the base, what positions are divided by, and how many numbers of a head turn.
    pub rope_base: f64,
    pub rope_divisor: f64,
    pub rope_size: usize,
    /// Gemma's layers but each sixth see this many tokens only, with a rope base of their own.
    pub window: Option<usize>,
    pub window_rope_base: f64,
    /// What scores of attention are multiplied with.
    pub attention_scale: f32,
}

impl Header {
    /// Reads the header of a file. A file that something else writes into at the same time is not safe to
    /// read, here and in [`crate::Model::open`]: files of models are placed whole, and never changed.
    pub fn read(path: &Path) -> Result<Header, Error> {
        let file = map(path)?;
        Self::of(&file, &Gguf::parse(&file)?)
    }

    pub(crate) fn of(file: &[u8], gguf: &Gguf) -> Result<Header, Error> {
        let text = |key: &str| gguf.value(key).and_then(|value| value.text(file)).map(str::to_owned);
        let name = text("general.architecture").ok_or_else(|| Error::damaged("it names no architecture"))?;
        let architecture = Architecture::ALL
            .into_iter()
            .find(|architecture| architecture.name() == name)
            .ok_or_else(|| {
                let known = Architecture::ALL.map(Architecture::name).join(", ");
                Error::unsupported(format!("its architecture is {name:?}; known are {known}"))
            })?;
        let keys = Keys { gguf, file, prefix: architecture.name() };
        let embedding = keys.size("embedding_length", 1 << 17)?;
        let heads = keys.size("attention.head_count", 1 << 10)?;
        let key_heads = keys.size_or("attention.head_count_kv", 1 << 10, heads)?;
        let head_size = keys.size_or("attention.key_length", 1 << 10, embedding / heads)?;
        let feed_forward = keys.size("feed_forward_length", 1 << 20)?;
        let layers = keys.size("block_count", 1 << 10)?;
        if !heads.is_multiple_of(key_heads) {
            return Err(Error::damaged(format!("{heads} heads cannot share {key_heads} heads of keys")));
        }
        if head_size == 0 || !head_size.is_multiple_of(16) {
            return Err(Error::unsupported(format!(
                "heads of {head_size} numbers; multiples of 16 are known"
            )));
        }
        if !embedding.is_multiple_of(32) || !feed_forward.is_multiple_of(32) {
            return Err(Error::unsupported(format!("layers of {embedding} and {feed_forward} numbers")));
        }
        if keys.size_or("attention.value_length", 1 << 10, head_size)? != head_size {
            return Err(Error::unsupported("keys and values of different lengths"));
        }
        if keys.whole("expert_count").is_some_and(|experts| experts > 0) {
            return Err(Error::unsupported("a mixture of experts"));
        }
        let tokens = gguf.value("tokenizer.ggml.tokens").and_then(Value::array);
        let vocabulary = tokens.map_or(0, |tokens| tokens.len());
        if vocabulary == 0 || vocabulary > 1 << 22 {
            return Err(Error::damaged(format!("a vocabulary of {vocabulary} tokens")));
        }
        Ok(Header {
            architecture,
            name: text("general.name"),
            context: keys.size("context_length", 1 << 30)?,
            layers,
            heads,
            key_heads,
            head_size,
            embedding,
            feed_forward,
            vocabulary,
            file_bytes: file.len() as u64,
            quantisation: quantisation(gguf),
            chat_template: text("tokenizer.chat_template"),
            details: Details::of(&keys, architecture, layers, embedding / heads, head_size)?,
        })
    }
}

impl Details {
    fn of(
        keys: &Keys,
        architecture: Architecture,
        layers: usize,
        share: usize,
        head_size: usize,
    ) -> Result<Self, Error> {
        let gemma = architecture == Architecture::Gemma3;
        let rope_size = keys.size_or("rope.dimension_count", 1 << 10, head_size)?;
        if rope_size > head_size || !rope_size.is_multiple_of(2) {
            return Err(Error::damaged(format!("{rope_size} of {head_size} numbers turn")));
        }
        let scaling = keys.text("rope.scaling.type").unwrap_or("linear");
        let rope_divisor = match scaling {
            "none" => 1.0,
            "linear" => keys.float("rope.scaling.factor").or(keys.float("rope.scale_linear")).unwrap_or(1.0),
            _ => return Err(Error::unsupported(format!("positions scaled by {scaling:?}"))),
        };
        let details = Details {
            epsilon: keys
                .float("attention.layer_norm_rms_epsilon")
                .ok_or_else(|| Error::damaged("it has no attention.layer_norm_rms_epsilon"))?
                as f32,
            rope_base: keys.float("rope.freq_base").unwrap_or(10_000.0),
            rope_divisor: if rope_divisor == 0.0 { 1.0 } else { rope_divisor },
            rope_size,
            window: if gemma { Some(keys.size("attention.sliding_window", 1 << 30)?) } else { None },
            window_rope_base: keys.float("rope.freq_base_swa").unwrap_or(10_000.0),
            // The model of 27B, known by its layers, scales by the share of a head in the embedding.
            attention_scale: 1.0 / (if gemma && layers == 62 { share } else { head_size } as f32).sqrt(),
        };
        let sound = |number: f64| number.is_finite() && number > 0.0;
        if !sound(f64::from(details.epsilon))
            || !sound(details.rope_base)
            || !sound(details.rope_divisor)
            || !sound(details.window_rope_base)
        {
            return Err(Error::damaged("a setting of norms or positions is no positive number"));
        }
        Ok(details)
    }
}

/// Keys of one architecture.
struct Keys<'a> {
    gguf: &'a Gguf,
    file: &'a [u8],
    prefix: &'a str,
}

impl Keys<'_> {
    fn value(&self, key: &str) -> Option<&Value> {
        self.gguf.value(&format!("{}.{key}", self.prefix))
    }

    fn whole(&self, key: &str) -> Option<u64> {
        self.value(key).and_then(Value::whole)
    }

    fn float(&self, key: &str) -> Option<f64> {
        self.value(key).and_then(Value::float)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.value(key).and_then(|value| value.text(self.file))
    }

    /// A number from 1 to `most` that has to be there.
    fn size(&self, key: &str, most: usize) -> Result<usize, Error> {
        let prefix = self.prefix;
        match self.value(key) {
            None => Err(Error::damaged(format!("it has no {prefix}.{key}"))),
            Some(Value::Array(_)) => {
                Err(Error::unsupported(format!("{prefix}.{key} differs from layer to layer")))
            }
            Some(value) => value
                .whole()
                .and_then(|value| usize::try_from(value).ok())
                .filter(|value| (1..=most).contains(value))
                .ok_or_else(|| Error::damaged(format!("{prefix}.{key} is not between 1 and {most}"))),
        }
    }

    fn size_or(&self, key: &str, most: usize, default: usize) -> Result<usize, Error> {
        if self.value(key).is_some() { self.size(key, most) } else { Ok(default) }
    }
}

/// The name of the mixture, or of the format of most weights if the file does not say.
fn quantisation(gguf: &Gguf) -> String {
    let name = match gguf.value("general.file_type").and_then(Value::whole) {
        Some(0) => "F32",
        Some(1) => "F16",
        Some(2) => "Q4_0",
        Some(3) => "Q4_1",
        Some(7) => "Q8_0",
        Some(8) => "Q5_0",
        Some(9) => "Q5_1",
        Some(10) => "Q2_K",
        Some(11) => "Q3_K_S",
        Some(12) => "Q3_K_M",
        Some(13) => "Q3_K_L",
        Some(14) => "Q4_K_S",
        Some(15) => "Q4_K_M",
        Some(16) => "Q5_K_S",
        Some(17) => "Q5_K_M",
        Some(18) => "Q6_K",
        Some(32) => "BF16",
        _ => {
            let mut bytes = std::collections::HashMap::new();
            for (_, place) in gguf.tensors() {
                *bytes.entry(place.format).or_insert(0) += place.bytes.len();
            }
            let most = bytes.into_iter().max_by_key(|(format, bytes)| (*bytes, format.ggml()));
            return most.map_or_else(|| "unknown".to_owned(), |(format, _)| format!("{format:?}"));
        }
    };
    name.to_owned()
}

/// The bytes of a file, as the system shows them.
pub(crate) fn map(path: &Path) -> Result<Mmap, Error> {
    let failed = |source| Error::File { path: path.display().to_string(), source };
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("this is not a file")));
    }
    // SAFETY: the bytes must not change while they are mapped, which `Header::read` demands of its caller.
    unsafe { Mmap::map(&file) }.map_err(failed)
}
