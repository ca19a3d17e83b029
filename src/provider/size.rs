//! How large a window a model can have on this machine: arithmetic over its own metadata.
//!
//! A cache holds, for each token and layer, one key and one value for each KV head. Weights and cache
//! together have to stay in the memory that is fast; a window that pushes layers out of it costs more
//! than it brings. This file must not ask a server, and must not know any by name.

use std::fmt;

use serde_json::{Map, Value};

use super::Window;

/// The windows to choose from: few, so that two sessions rarely differ and a model is not reloaded.
pub(super) const BUCKETS: [u32; 3] = [16_384, 8_192, 4_096];

/// Buffers of the computation itself, beside a tenth of the weights.
const OVERHEAD: u64 = 256 * 1024 * 1024;

/// What the metadata tell about the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub layers: u32,
    /// KV heads of all layers together; some models have fewer in some layers.
    pub kv_heads: u64,
    /// Numbers in one key and one value together.
    pub head_size: u32,
}

/// How a number of the cache is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheType {
    F16,
    Q8,
    Q4,
}

impl CacheType {
    /// By Ollama's names; what is unknown or unset is f16, its default.
    pub fn named(name: Option<&str>) -> CacheType {
        match name.map(str::trim) {
            Some("q8_0") => CacheType::Q8,
            Some("q4_0") => CacheType::Q4,
            _ => CacheType::F16,
        }
    }

    /// Bytes of 32 numbers: two each, or one or half of one and a common scale.
    fn bytes_of_32(self) -> u64 {
        match self {
            CacheType::F16 => 64,
            CacheType::Q8 => 34,
            CacheType::Q4 => 18,
        }
    }

    fn name(self) -> &'static str {
        match self {
            CacheType::F16 => "f16",
            CacheType::Q8 => "q8_0",
            CacheType::Q4 => "q4_0",
        }
    }
}

impl Shape {
    /// Reads the metadata of a GGUF file as servers show them; `None` when a number is missing.
    pub fn of(info: &Map<String, Value>) -> Option<Shape> {
        let family = info.get("general.architecture")?.as_str()?;
        let number = |name: &str| {
            let value = info.get(&format!("{family}.{name}"))?;
            value.as_u64().and_then(|value| u32::try_from(value).ok()).filter(|value| *value > 0)
        };
        let layers = number("block_count")?;
        let heads = number("attention.head_count");
        let kv_heads = match info.get(&format!("{family}.attention.head_count_kv")) {
            Some(Value::Array(each)) => each.iter().filter_map(Value::as_u64).sum(),
            _ => u64::from(number("attention.head_count_kv").or(heads)?) * u64::from(layers),
        };
        let usual = || Some(number("embedding_length")? / heads?);
        let key = number("attention.key_length").or_else(usual)?;
        let value = number("attention.value_length").or_else(usual)?;
        Some(Shape { layers, kv_heads, head_size: key.checked_add(value)? })
            .filter(|shape| shape.kv_heads > 0)
    }

    /// Bytes of cache for one token.
    pub fn bytes_per_token(&self, cache: CacheType) -> u64 {
        self.kv_heads.saturating_mul(u64::from(self.head_size)).saturating_mul(cache.bytes_of_32()) / 32
    }
}

/// A model in memory, as the server tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    pub window: u32,
    /// Bytes in all, and of them on the GPU.
    pub size: u64,
    pub on_gpu: u64,
}

/// Everything that the choice depends on.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The largest window that the model was trained for.
    pub trained: u32,
    pub shape: Shape,
    /// Bytes of the weights.
    pub weights: u64,
    pub cache: CacheType,
    /// Bytes of RAM that are free.
    pub free: u64,
    pub loaded: Option<Loaded>,
}

/// A window with its reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sized {
    /// Tokens.
    pub tokens: u32,
    /// The arithmetic, for people.
    pub why: String,
}

/// The largest bucket that stays in fast memory, or the window that the model has already if that
/// is enough: asking for another one loads it again.
pub fn choose(known: &Known) -> Sized {
    let per_token = known.shape.bytes_per_token(known.cache);
    let need = |tokens: u32| {
        let cache = per_token.saturating_mul(tokens.into());
        cache.saturating_add(known.weights).saturating_add(known.weights / 10).saturating_add(OVERHEAD)
    };
    if let Some(loaded) = known.loaded
        && (Window::USUAL..=known.trained).contains(&loaded.window)
        && (loaded.on_gpu == 0 || loaded.on_gpu >= loaded.size)
    {
        let place = if loaded.on_gpu == 0 { "RAM" } else { "the GPU" };
        let why =
            format!("it is loaded with this window and lies in {place} as a whole ({})", Bytes(loaded.size));
        return Sized { tokens: loaded.window, why };
    }
    let (room, place) = match known.loaded {
        // More than the GPU takes: what lies there now is what it has.
        Some(loaded) if loaded.on_gpu > 0 => (loaded.on_gpu, "on the GPU"),
        Some(loaded) => {
            (share(known.free.saturating_add(loaded.size)), "of RAM (four fifths of what is free)")
        }
        None => (share(known.free), "of RAM (four fifths of what is free)"),
    };
    let fitting = BUCKETS.iter().copied().find(|tokens| need(*tokens) <= room);
    let smallest = BUCKETS[BUCKETS.len() - 1];
    let tokens = fitting.unwrap_or(smallest).min(known.trained);
    let Shape { layers, kv_heads, head_size } = known.shape;
    let why = format!(
        "{layers} layers with {kv_heads} KV heads of {head_size} numbers in {}: {} a token, {} for {tokens}; with weights of {} and buffers {}, {} {} {place}",
        known.cache.name(),
        Bytes(per_token),
        Bytes(per_token.saturating_mul(tokens.into())),
        Bytes(known.weights),
        Bytes(need(tokens)),
        if fitting.is_some() { "within" } else { "more than" },
        Bytes(room),
    );
    Sized { tokens, why }
}

/// What of the free memory may be used.
pub(super) fn share(free: u64) -> u64 {
    free / 5 * 4
}

/// Bytes for people.
pub(super) struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..10_000 => write!(f, "{} bytes", self.0),
            10_000..1_000_000 => write!(f, "{:.1} kB", self.0 as f64 / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.0} MB", self.0 as f64 / 1e6),
            _ => write!(f, "{:.1} GB", self.0 as f64 / 1e9),
        }
    }
}

/// Bytes of RAM that are free on this machine, or within the limit of its container.
pub fn free_memory() -> u64 {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let limit = system.cgroup_limits().map(|limits| limits.free_memory);
    limit.unwrap_or(u64::MAX).min(system.available_memory())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Qwen2.5-Coder 7B: 28 layers, 4 KV heads of 128.
    fn qwen() -> Shape {
        let info = json!({
            "general.architecture": "qwen2", "qwen2.block_count": 28, "qwen2.attention.head_count": 28,
            "qwen2.attention.head_count_kv": 4, "qwen2.embedding_length": 3584,
        });
        Shape::of(info.as_object().unwrap()).unwrap()
    }

    fn known(free: u64, loaded: Option<Loaded>) -> Known {
        let weights = 4_700_000_000;
        Known { trained: 32_768, shape: qwen(), weights, cache: CacheType::F16, free, loaded }
    }

    const GB: u64 = 1_000_000_000;

    #[test]
    fn the_cache_of_a_token_is_computed_from_the_metadata() {
        assert_eq!(qwen(), Shape { layers: 28, kv_heads: 112, head_size: 256 });
        assert_eq!(qwen().bytes_per_token(CacheType::F16), 57_344);
        assert_eq!(qwen().bytes_per_token(CacheType::Q8), 30_464);
        let gemma = json!({
            "general.architecture": "gemma3", "gemma3.block_count": 18, "gemma3.attention.head_count": 4,
            "gemma3.attention.head_count_kv": 1, "gemma3.attention.key_length": 256,
            "gemma3.attention.value_length": 256, "gemma3.embedding_length": 640,
        });
        assert_eq!(Shape::of(gemma.as_object().unwrap()).unwrap().bytes_per_token(CacheType::F16), 18_432);
        let mixed = json!({
            "general.architecture": "m", "m.block_count": 3, "m.attention.head_count": 8,
            "m.attention.head_count_kv": [0, 8, 0], "m.embedding_length": 512,
        });
        assert_eq!(Shape::of(mixed.as_object().unwrap()).unwrap().kv_heads, 8);
        assert_eq!(Shape::of(&Map::new()), None);
        let evil =
            json!({"general.architecture": "x", "x.block_count": u64::MAX, "x.attention.head_count": 0});
        assert_eq!(Shape::of(evil.as_object().unwrap()), None);
    }

    #[test]
    fn the_largest_bucket_that_fits_is_taken() {
        assert_eq!(choose(&known(16 * GB, None)).tokens, 16_384);
        assert_eq!(choose(&known(75 * GB / 10, None)).tokens, 8_192);
        let tight = choose(&known(6 * GB, None));
        assert_eq!(tight.tokens, 4_096);
        assert!(tight.why.contains("more than 4.8 GB of RAM"), "{}", tight.why);
        let small = Known { trained: 2_048, ..known(16 * GB, None) };
        assert_eq!(choose(&small).tokens, 2_048, "never beyond what it was trained for");
    }

    #[test]
    fn a_model_that_is_loaded_well_is_not_loaded_again() {
        let loaded = |window, size, on_gpu| Some(Loaded { window, size, on_gpu });
        assert_eq!(choose(&known(GB, loaded(12_000, 6 * GB, 6 * GB))).tokens, 12_000);
        assert_eq!(choose(&known(GB, loaded(8_192, 6 * GB, 0))).tokens, 8_192);
        // Too small a window is worth a reload; its own memory counts as free then.
        assert_eq!(choose(&known(10 * GB, loaded(4_096, 6 * GB, 0))).tokens, 16_384);
        // Half of it was pushed out of the GPU: the smallest window that there is.
        assert_eq!(choose(&known(64 * GB, loaded(32_768, 8 * GB, 4 * GB))).tokens, 4_096);
    }

    #[test]
    fn no_metadata_overflow_the_arithmetic() {
        let shape = Shape { layers: u32::MAX, kv_heads: u64::MAX, head_size: u32::MAX };
        let absurd = Known { shape, weights: u64::MAX, ..known(u64::MAX, None) };
        assert_eq!(choose(&absurd).tokens, 4_096);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(free_memory() > 1_000_000);
    }
}
