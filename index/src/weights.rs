//! Owns the numbers of the ranking, read from `weights.toml`. It must not know what they are
//! applied to. An unknown or missing key is an error, so that no weight is without effect.

use serde::Deserialize;

use crate::IndexError;
use crate::ledger::Rule;

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
    pub together: f64,
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
    pub name_in_code: f64,
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
        Weights::parse(BUILT_IN)
    }

    /// Weights in the form of `weights.toml`; every key must be there, and no other.
    pub fn parse(text: &str) -> Result<Weights, IndexError> {
        toml::from_str(text)
            .map_err(|error| IndexError::Data { name: "weights.toml".into(), reason: error.to_string() })
    }

    /// A plain baseline: BM25 over whole files, every word alike, and no other rule but that kinds
    /// and origins of files are ranked down, without which it would be a straw man.
    pub fn bm25_over_files(mut self) -> Weights {
        let stays = |rule: &Rule| matches!(rule, Rule::File | Rule::Kind | Rule::Origin);
        for rule in Rule::ALL.into_iter().filter(|rule| !stays(rule)) {
            self = self.without(rule);
        }
        let [title, prose, code] = [1.0; 3];
        let [compound_title, compound_prose, name_in_code] = [0.0; 3];
        self.query = QueryWeights { title, prose, code, compound_title, compound_prose, name_in_code };
        self
    }

    /// The same without one rule, to learn what that rule is worth.
    pub fn without(mut self, rule: Rule) -> Weights {
        let rules = &mut self.rules;
        let weight = match rule {
            Rule::Tag => &mut rules.tag,
            Rule::Mention => &mut rules.mention,
            Rule::Frame => &mut rules.frame,
            Rule::Chunk => &mut rules.chunk,
            Rule::File => &mut rules.file,
            Rule::History => &mut rules.history,
            Rule::Path => &mut rules.path,
            Rule::PathSuffix => &mut rules.path_suffix,
            Rule::Basename => &mut rules.basename,
            Rule::Definition => &mut rules.definition,
            Rule::DefinitionTokens => &mut rules.definition_tokens,
            Rule::Changed => &mut rules.changed,
            Rule::Together => &mut rules.together,
            Rule::Kind => {
                self.discount = Discount { test: 1.0, document: 1.0, configuration: 1.0, ..self.discount };
                return self;
            }
            Rule::Origin => {
                let [generated, vendored, minified, lock] = [1.0; 4];
                self.discount = Discount { generated, vendored, minified, lock, ..self.discount };
                return self;
            }
        };
        *weight = 0.0;
        self
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
    fn a_rule_can_be_left_out() {
        let whole = Weights::built_in().unwrap();
        for rule in Rule::ALL {
            assert_ne!(whole.clone().without(rule), whole, "{rule:?}");
        }
        let plain = whole.clone().bm25_over_files();
        assert_eq!((plain.rules.file, plain.rules.chunk, plain.rules.history), (whole.rules.file, 0.0, 0.0));
        assert_eq!(plain.discount, whole.discount);
    }

    #[test]
    fn a_key_without_effect_is_refused() {
        let text = BUILT_IN.replace("[file]", "[file]\nk2 = 1.0");
        assert!(toml::from_str::<Weights>(&text).unwrap_err().to_string().contains("k2"));
    }
}
