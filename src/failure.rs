//! How a failure ends the program: one table from kinds to exit codes, and what to try next.

use std::fmt;

use crate::provider::ProviderError;
use crate::role::CallError;

/// Kinds of failure, by who can do something about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A defect of ours, or a disk that fails.
    Internal,
    /// Flags, configuration, or a tree that cannot be worked on as asked.
    Usage,
    /// The model server.
    Provider,
    /// The model could not produce a valid change.
    NoValidChange,
}

impl Kind {
    /// The exit code of README's table.
    pub fn code(self) -> u8 {
        match self {
            Kind::Internal => 1,
            Kind::Usage => 2,
            Kind::Provider => 3,
            Kind::NoValidChange => 5,
        }
    }
}

/// An error with its kind and the next thing to try. As context of an [`anyhow::Error`] it decides
/// the exit code.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
    pub advice: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    pub fn usage(message: impl Into<String>, advice: impl Into<String>) -> Failure {
        Failure { kind: Kind::Usage, message: message.into(), advice: advice.into() }
    }

    /// What an error of any layer means for the person: its kind, the whole chain of causes in one
    /// line, and advice.
    pub fn of(error: &anyhow::Error) -> Failure {
        let message = format!("{error:#}");
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return Failure { kind: failure.kind, message, advice: failure.advice.clone() };
        }
        if let Some(error) = error.downcast_ref::<CallError>() {
            return Failure::of_call(error);
        }
        if error.downcast_ref::<ProviderError>().is_some() {
            return Failure { kind: Kind::Provider, message, advice: SERVER_ADVICE.into() };
        }
        let advice = "If this looks like a defect of countersign, please report it.";
        Failure { kind: Kind::Internal, message, advice: advice.into() }
    }

    /// What a role's failure means for the person.
    pub fn of_call(error: &CallError) -> Failure {
        let (kind, advice) = match error {
            CallError::Provider(_) => (Kind::Provider, SERVER_ADVICE),
            CallError::TooLarge { .. } => (
                Kind::Usage,
                "Load the model with a larger context window (see --window), or set a smaller evidence_tokens in config.toml.",
            ),
            CallError::PromptCut { .. } => (
                Kind::Provider,
                "Nothing was written. Start the server with a larger context window, or tell its real size with --window.",
            ),
            CallError::OutOfCalls { .. } => (
                Kind::NoValidChange,
                "Say more precisely what should change and where (--tag FILE puts a file into the evidence), or use a larger model.",
            ),
            CallError::Spent { .. } => (
                Kind::NoValidChange,
                "Ask for less at a time, or use a larger model; budgets of roles can be set in roles/ of your configuration folder.",
            ),
            CallError::Prompt(_) => {
                (Kind::Usage, "Look at the roles and prompts in your configuration folder.")
            }
            CallError::Evidence(_) => (Kind::Internal, "Try `countersign index`."),
        };
        Failure { kind, message: error.to_string(), advice: advice.into() }
    }
}

const SERVER_ADVICE: &str = "`countersign doctor` shows which model servers answer.";

/// Marks the errors of a result as mistakes of use: exit code 2.
pub trait OrUsage<T> {
    fn or_usage(self, advice: &str) -> anyhow::Result<T>;
}

impl<T> OrUsage<T> for anyhow::Result<T> {
    fn or_usage(self, advice: &str) -> anyhow::Result<T> {
        self.map_err(|error| {
            let failure = Failure::usage(format!("{error:#}"), advice);
            anyhow::Error::new(failure)
        })
    }
}
