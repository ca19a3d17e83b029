//! The commands that say whether a change works: found, approved by their owner, run in a sandbox.
//!
//! | question | file |
//! |---|---|
//! | What is a check? | this one |
//! | Which checks does a repository have? | `detect`, `declare` |
//! | Which of them did the owner approve? | `trust` |
//! | Which may run now, and which wait for a word of their owner? | `found` |
//! | Where does it run before anything is written? | `scratch` |
//! | What may it see of the environment? | `environment` |
//! | Who starts it, limits it and ends it? | `run`, `supervise`, `process` |
//! | What can it not reach? | `sandbox`, `paths` |
//! | Which tests concern a change? | `select` |
//! | What is kept of its output, and what matters in it? | `output`, `essence` |
//! | What do failed tests say, in a line each? | `digest` |
//! | What does a request say besides the failures pasted into it? | `paste` |
//! | How many tests passed? | `tally` |
//! | What would a compiler correct by itself? | `suggest` |
//!
//! It must not judge what a result means.

pub mod declare;
pub mod detect;
mod digest;
pub mod environment;
mod essence;
pub mod found;
mod output;
mod pace;
mod paste;
mod paths;
pub mod run;
pub mod scratch;
mod select;
pub mod suggest;
pub mod tally;
pub mod trust;

#[cfg(unix)]
pub mod order;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod sandbox;
#[cfg(unix)]
pub mod supervise;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

pub use digest::{digest, must_hold, stated};
pub use essence::{
    essence, says_that_tests_fail, tells_a_denial, tells_a_failure, tells_of_no_end, tells_the_same,
};
pub use pace::Paces;
pub use paste::without_failures;
pub use run::{Limits, Place, Ran, Runner};
pub use select::{select, tests_of};

/// Longest run of a check unless it says otherwise. Builds of a large workspace fit; a hanging test
/// does not hang us.
pub const DEFAULT_TIMEOUT_S: u64 = 600;

/// One command that must pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Program and arguments; no shell sees them.
    pub argv: Vec<String>,
    /// Where it runs, relative to the root and with `/`; empty is the root itself.
    pub directory: String,
    /// Seconds after which it is ended.
    pub timeout_s: u64,
    /// Names of the owner's environment variables that it sees besides the usual ones.
    pub environment: Vec<String>,
    /// Where it was declared.
    pub source: Source,
    /// The text of the repository that defines what the command does, such as the script in
    /// `package.json`; empty when the arguments say it all.
    pub definition: String,
}

/// Where a check was declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// Typed by the owner, which approves it.
    Typed,
    /// The owner's `config.toml`.
    Configuration,
    /// The repository's `countersign.toml`.
    Repository,
    /// Found by a file of the tree that its tool reads.
    Detected { tool: String, file: String },
}

impl Source {
    /// For a person, such as `found by Cargo.toml`.
    pub fn describe(&self) -> String {
        match self {
            Source::Typed => "typed".to_owned(),
            Source::Configuration => "your config.toml".to_owned(),
            Source::Repository => format!("the repository's {}", declare::REPOSITORY_FILE),
            Source::Detected { file, .. } => format!("found by {file}"),
        }
    }
}

impl Check {
    /// What the owner typed after `--check`.
    ///
    /// # Errors
    /// See [`split`].
    pub fn typed(command: &str) -> anyhow::Result<Check> {
        Ok(Check::of(split(command)?, Source::Typed))
    }

    /// A check at the root with the usual limits.
    pub fn of(argv: Vec<String>, source: Source) -> Check {
        Check {
            argv,
            directory: String::new(),
            timeout_s: DEFAULT_TIMEOUT_S,
            environment: Vec::new(),
            source,
            definition: String::new(),
        }
    }

    /// The command as one line that a shell would read the same way.
    pub fn command_line(&self) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
        let words = self.argv.iter().map(|word| match !word.is_empty() && word.chars().all(plain) {
            true => word.clone(),
            // Only a zero byte has no quotation, and no program can be given one.
            false => shlex::try_quote(word).map_or_else(|_| word.clone(), |word| word.into_owned()),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    /// What an approval is bound to, in hexadecimal: everything that decides what will run. Another
    /// byte in it is another check.
    pub fn hash(&self) -> String {
        // A list of strings and numbers has one form in JSON.
        let told =
            (&self.argv, &self.directory, self.timeout_s, &self.environment, &self.source, &self.definition);
        let bytes = serde_json::to_vec(&told).unwrap_or_default();
        blake3::hash(&bytes).to_hex().to_string()
    }
}

/// Splits a command line into arguments as a shell would, without any expansion.
///
/// # Errors
/// An empty line, an open quote, or something that only a shell would understand: run without one,
/// `git status && x` would hand `&&` and `x` to git.
pub fn split(command: &str) -> anyhow::Result<Vec<String>> {
    if let Some(operator) = shell_operator(command) {
        bail!(
            "the check {command:?} has the shell operator {operator:?}, but no shell is used; \
             write sh -c '…' if you mean one, or quote it if it is part of an argument"
        );
    }
    let words = shlex::split(command).filter(|words| !words.is_empty());
    words.with_context(|| format!("the check {command:?} is empty or has an open quote"))
}

/// The first unquoted text that a shell would act on.
fn shell_operator(command: &str) -> Option<&'static str> {
    let mut quote = None;
    let mut characters = command.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        match (quote, character) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => {
                characters.next();
            }
            // A shell acts on these two inside double quotes as well.
            (_, '`') => return Some("`"),
            (_, '$') if next == Some('(') => return Some("$("),
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '&') if next == Some('&') => return Some("&&"),
            (None, '|') if next == Some('|') => return Some("||"),
            (None, '&') => return Some("&"),
            (None, '|') => return Some("|"),
            (None, ';') => return Some(";"),
            (None, '>') => return Some(">"),
            (None, '<') => return Some("<"),
            (None, '\n') => return Some("\n"),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_not_interpreted() {
        assert_eq!(split("cargo test -- 'a b' $HOME").unwrap(), ["cargo", "test", "--", "a b", "$HOME"]);
        assert_eq!(split(r#"sh -c 'a && b | c > d; `e` $(f) & g'"#).unwrap()[2].len(), 28);
        assert_eq!(split(r#"grep "a;b|c>d" \; x\&y"#).unwrap(), ["grep", "a;b|c>d", ";", "x&y"]);
        assert!(split("echo 'open").is_err());
        assert!(split("  ").is_err());
    }

    #[test]
    fn what_only_a_shell_understands_is_refused() {
        for (command, operator) in [
            ("git status && x", "&&"),
            ("a || b", "||"),
            ("a|b", "|"),
            ("make;x", ";"),
            ("a > b", ">"),
            ("a < b", "<"),
            ("sleep 1 &", "&"),
            ("echo $(id)", "$("),
            ("echo \"$(id)\"", "$("),
            ("echo `id`", "`"),
            ("echo \"`id`\"", "`"),
            ("a\nb", "\n"),
            ("echo 'it'; x", ";"),
            ("echo \\\\; x", ";"),
        ] {
            let error = split(command).unwrap_err().to_string();
            assert!(error.contains(&format!("{operator:?}")) && error.contains("sh -c"), "{error}");
        }
    }

    #[test]
    fn an_approval_is_bound_to_everything_that_decides_what_runs() {
        let check = Check::typed("make test").unwrap();
        let others = [
            Check { argv: vec!["make".into(), "test2".into()], ..check.clone() },
            Check { argv: vec!["make test".into()], ..check.clone() },
            Check { directory: "sub".into(), ..check.clone() },
            Check { timeout_s: 601, ..check.clone() },
            Check { environment: vec!["A".into()], ..check.clone() },
            Check { source: Source::Repository, ..check.clone() },
            Check { definition: "test:\n\trm -rf /\n".into(), ..check.clone() },
        ];
        for other in &others {
            assert_ne!(other.hash(), check.hash(), "{other:?}");
        }
        assert_eq!(check.hash(), check.clone().hash());
    }
}
