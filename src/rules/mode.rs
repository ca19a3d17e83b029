//! How far a run goes without its owner.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What happens to hunks that no rule decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Ask about each
    #[default]
    Ask,
    /// Apply exact, planned changes of files that are not sensitive; ask about the rest
    Auto,
    /// Stop after the plan and print it
    Plan,
    /// Print the patch and apply nothing
    Deny,
    /// Apply everything that no rule denies: for a folder that was made to be thrown away. Neither a flag
    /// nor a file can name it; only [`crate::command`] sets it, for `countersign eval`
    #[value(skip)]
    #[serde(skip_deserializing)]
    Evaluation,
}

impl Mode {
    /// The word that flags and configuration use.
    pub fn word(self) -> &'static str {
        match self {
            Mode::Ask => "ask",
            Mode::Auto => "auto",
            Mode::Plan => "plan",
            Mode::Deny => "deny",
            Mode::Evaluation => "evaluation",
        }
    }
}
