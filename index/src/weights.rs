//! Owns the numbers of the ranking, read from `weights.toml`. It must not know what they are
//! applied to. An unknown or missing key is an error, so that no weight is without effect.

use serde::Deserialize;

use crate::IndexError;

const BUILT_IN: &str = include_str!("../weights.toml");

/// All weights; `weights.toml` explains each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    pub rules: Rules,
    pub discount: Discount,
    pub query: QueryWeights,
    pub chunk: ChunkWeights,
    pub file: Bm25,
    pub history: HistoryWeights,
    pub pack: PackWeights,
}

/// Points of a candidate that is best in a rule.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    pub tag: f64,
    pub mention: f64,
    pub chunk: f64,
    pub file: f64,
    pub history: f64,
    pub path: f64,
    pub definition: f64,
    pub definition_tokens: f64,
    pub frame: f64,
    pub path_suffix: f64,
    pub basename: f64,
    pub changed: f64,
}

/// Factors on the sum of a candidate's points.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discount {
    pub test: f64,
    pub document: f64,
    pub configuration: f64,
    pub generated: f64,
    pub vendored: f64,
    pub minified: f64,
    pub lock: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryWeights {
    pub title: f64,
    pub prose: f64,
    pub code: f64,
    pub identifier: f64,
    pub compound_title: f64,
    pub compound_prose: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkWeights {
    pub k1: f64,
    pub b: f64,
    pub definition_boost: f64,
    pub best: usize,
    pub decay: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bm25 {
    pub k1: f64,
    pub b: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryWeights {
    pub k1: f64,
    pub b: f64,
    pub best: usize,
    pub most_files: usize,
    pub half_life_floor: f64,
    pub age_days: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackWeights {
    pub files: usize,
    pub temperature: f64,
    pub chunk_power: f64,
    pub size_power: f64,
    pub tail_share: f64,
    pub tail_tokens: usize,
    pub tail_paths: usize,
}

impl Weights {
    /// The weights this crate was built with.
    pub fn built_in() -> Result<Weights, IndexError> {
        toml::from_str(BUILT_IN)
            .map_err(|error| IndexError::Data { name: "weights.toml".into(), reason: error.to_string() })
    }
}

/// Identifies the built-in weights.
pub fn hash() -> String {
    blake3::hash(BUILT_IN.as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_whole() {
        Weights::built_in().unwrap();
    }

    #[test]
    fn a_key_without_effect_is_refused() {
        let text = BUILT_IN.replace("[file]", "[file]\nk2 = 1.0");
        assert!(toml::from_str::<Weights>(&text).unwrap_err().to_string().contains("k2"));
    }
}
