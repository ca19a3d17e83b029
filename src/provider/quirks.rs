//! In what a server differs from the protocol it speaks, and what to give up when it says no.
//!
//! Pure data and one pure function. It must not know any server by name: presets bring values, and
//! a refusal names the field that was too much.

use serde::{Deserialize, Serialize};

/// What a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Quirks {
    pub api: Api,
    pub schema: SchemaForm,
    pub limit: LimitName,
    pub seed: SeedName,
    /// Whether `stream_options.include_usage` is known.
    pub usage: bool,
    pub temperature: bool,
    /// Whether llama.cpp's `cache_prompt` and `id_slot` may be sent to a server on this machine.
    pub slots: bool,
    /// Whether `n`, several answers to one request, may be asked for where there are slots.
    pub draws: bool,
}

impl Default for Quirks {
    fn default() -> Quirks {
        Quirks {
            api: Api::Chat,
            schema: SchemaForm::JsonSchema,
            limit: LimitName::MaxTokens,
            seed: SeedName::Seed,
            usage: true,
            temperature: true,
            slots: true,
            draws: true,
        }
    }
}

/// Which of the two APIs of the protocol is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// `/chat/completions`, which every server has.
    Chat,
    /// `/responses`, where a service's newer models need it or think better with it.
    Responses,
}

/// The strongest constraint on an answer that is asked for. The answer is validated in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaForm {
    JsonSchema,
    JsonObject,
    None,
}

/// Whether answers are held to a grammar of ours: JSON, SEARCH/REPLACE blocks and whole code blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// The server is not known to be one that can, or its model thinks before it answers.
    #[default]
    Unknown,
    Held,
    /// The server refused the grammar; from then on answers are free.
    Refused,
    /// An answer was not what the grammar says; from then on answers are free.
    Ignored,
}

impl Holding {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Holding::Unknown => "the server is not known to hold answers to a grammar",
            Holding::Held => "the server holds them to a grammar",
            Holding::Refused => "the server refused the grammar that they are held to",
            Holding::Ignored => "the server took the grammar that they are held to, but did not keep it",
        }
    }
}

/// What the answer limit is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    MaxTokens,
    MaxCompletionTokens,
}

/// What the seed is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeedName {
    Seed,
    RandomSeed,
    None,
}

impl Quirks {
    /// These quirks without the one thing that the server's refusal names; `None` when it names
    /// nothing that could be left out, so that asking again would be refused again.
    pub fn without(self, refusal: &str) -> Option<Quirks> {
        let refusal = refusal.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| refusal.contains(word));
        let mut less = self;
        if self.schema != SchemaForm::None
            && says(&[
                "response_format",
                "response format",
                "text.format",
                "json_schema",
                "json_object",
                "json mode",
                "structured output",
                "grammar",
            ])
        {
            less.schema = match self.schema {
                SchemaForm::JsonSchema => SchemaForm::JsonObject,
                _ => SchemaForm::None,
            };
        } else if says(&["max_completion_tokens"]) {
            less.limit = match self.limit {
                LimitName::MaxTokens => LimitName::MaxCompletionTokens,
                LimitName::MaxCompletionTokens => LimitName::MaxTokens,
            };
        } else if self.usage && says(&["stream_options", "include_usage"]) {
            less.usage = false;
        } else if self.temperature && says(&["temperature"]) {
            less.temperature = false;
        } else if self.slots && says(&["cache_prompt", "id_slot"]) {
            less.slots = false;
        } else if self.draws && says(&["field 'n'", "n_cmpl", "completion choice"]) {
            less.draws = false;
        } else if self.seed != SeedName::None && says(&["seed"]) {
            less.seed = SeedName::None;
        } else {
            return None;
        }
        Some(less)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given_up(refusal: &str) -> Option<Quirks> {
        Quirks::default().without(refusal)
    }

    #[test]
    fn a_refusal_costs_only_what_it_names() {
        let whole = Quirks::default();
        for (refusal, expected) in [
            (
                "This model does not support response format `json_schema`.",
                Quirks { schema: SchemaForm::JsonObject, ..whole },
            ),
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                Quirks { limit: LimitName::MaxCompletionTokens, ..whole },
            ),
            ("'temperature' does not support 0 with this model", Quirks { temperature: false, ..whole }),
            ("Extra inputs are not permitted: stream_options", Quirks { usage: false, ..whole }),
            ("unknown field: seed", Quirks { seed: SeedName::None, ..whole }),
            ("failed to parse grammar", Quirks { schema: SchemaForm::JsonObject, ..whole }),
            ("Unrecognized request argument: id_slot", Quirks { slots: false, ..whole }),
            ("Only one completion choice is allowed", Quirks { draws: false, ..whole }),
            ("Field 'n': Value must be between 1 <= value <= 2", Quirks { draws: false, ..whole }),
        ] {
            assert_eq!(given_up(refusal), Some(expected), "{refusal}");
        }
        assert_eq!(given_up("messages must alternate"), None);
    }

    #[test]
    fn giving_up_ends() {
        let mut quirks = Quirks::default();
        let mut steps = 0;
        while let Some(less) = quirks.without("response_format, temperature, seed, stream_options, id_slot") {
            assert_ne!(less, quirks);
            quirks = less;
            steps += 1;
            assert!(steps <= 6);
        }
        assert_eq!(quirks.schema, SchemaForm::None);
    }
}
