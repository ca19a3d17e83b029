//! Checks that somebody wrote down: the owner in `config.toml`, a repository in `countersign.toml`.
//!
//! ```toml
//! [[checks]]
//! run = "cargo test --workspace"   # or ["cargo", "test", "--workspace"]
//! directory = "server"             # relative to the root; the root unless given
//! timeout = 900                    # seconds; 600 unless given
//! environment = ["DATABASE_URL"]   # variables of yours that it sees besides the usual ones
//! ```
//!
//! Whoever wrote it, nothing runs before the owner has approved it for this repository. Of a
//! repository's file only the checks are read here; whatever else it says has no effect.

use std::path::{Component, Path};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{Check, DEFAULT_TIMEOUT_S, Source, environment, split};

/// The file at a repository's root.
pub const REPOSITORY_FILE: &str = "countersign.toml";
/// Longest time that can be asked for: a day.
const LONGEST_S: u64 = 24 * 60 * 60;
/// A file that is longer is not read.
const LARGEST_FILE: u64 = 256 * 1024;

/// One `[[checks]]` of a file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    run: Run,
    #[serde(default)]
    directory: String,
    #[serde(default = "default_timeout")]
    timeout: u64,
    #[serde(default)]
    environment: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Run {
    Line(String),
    Arguments(Vec<String>),
}

fn default_timeout() -> u64 {
    DEFAULT_TIMEOUT_S
}

impl Declared {
    /// The check that it declares.
    ///
    /// # Errors
    /// A command that is empty or needs a shell, a folder outside of the tree, a time of zero or more
    /// than a day, a variable that holds a secret by its name.
    pub fn check(&self, source: Source) -> anyhow::Result<Check> {
        let argv = match &self.run {
            Run::Line(line) => split(line)?,
            Run::Arguments(arguments) => {
                ensure!(arguments.first().is_some_and(|program| !program.is_empty()), "a check is empty");
                arguments.clone()
            }
        };
        let directory = self.directory.trim_end_matches('/');
        let inside = Path::new(directory).components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(inside, "the directory {directory:?} of a check is not a plain path inside the repository");
        ensure!(
            (1..=LONGEST_S).contains(&self.timeout),
            "the timeout of a check is {} seconds; it can be 1 to {LONGEST_S}",
            self.timeout
        );
        if let Some(name) = self.environment.iter().find(|name| environment::is_secret(name)) {
            anyhow::bail!("the variable {name} looks like a secret; no check sees such");
        }
        Ok(Check {
            directory: directory.to_owned(),
            timeout_s: self.timeout,
            environment: self.environment.clone(),
            ..Check::of(argv, source)
        })
    }
}

/// The part of a repository's file that is read.
#[derive(Debug, Default, Deserialize)]
struct RepositoryFile {
    #[serde(default)]
    checks: Vec<Declared>,
}

/// The checks that the repository at `root` declares.
///
/// # Errors
/// A file that cannot be read or understood. It is the repository's fault, so the caller says it and
/// goes on without.
pub fn of_repository(root: &Path) -> anyhow::Result<Vec<Check>> {
    let path = root.join(REPOSITORY_FILE);
    let Ok(found) = path.symlink_metadata() else { return Ok(Vec::new()) };
    let read = || {
        ensure!(found.is_file(), "it is not a plain file");
        ensure!(found.len() <= LARGEST_FILE, "it is larger than {} KiB", LARGEST_FILE / 1024);
        let file: RepositoryFile = toml::from_str(&std::fs::read_to_string(&path)?)?;
        file.checks.iter().map(|declared| declared.check(Source::Repository)).collect()
    };
    read().with_context(|| format!("the repository's {REPOSITORY_FILE} has no effect"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(text: &str) -> anyhow::Result<Vec<Check>> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(REPOSITORY_FILE), text).unwrap();
        of_repository(root.path())
    }

    #[test]
    fn both_forms_of_a_command_are_read() {
        let line = declared("[[checks]]\nrun = \"make -C sub 'a b'\"\ntimeout = 5").unwrap();
        let words = declared("[[checks]]\nrun = [\"make\", \"-C\", \"sub\", \"a b\"]\ntimeout = 5").unwrap();
        assert_eq!(line, words);
        assert_eq!((line[0].timeout_s, line[0].source.clone()), (5, Source::Repository));
        let sub =
            declared("[[checks]]\nrun = \"x\"\ndirectory = \"a/b/\"\nenvironment = [\"PORT\"]").unwrap();
        assert_eq!((sub[0].directory.as_str(), sub[0].environment[0].as_str()), ("a/b", "PORT"));
        assert_eq!(declared("").unwrap(), []);
    }

    #[test]
    fn mistakes_are_named() {
        let fails = |text: &str, expected: &str| {
            let error = format!("{:#}", declared(&format!("[[checks]]\n{text}")).unwrap_err());
            assert!(error.contains(expected) && error.contains("has no effect"), "{error}");
        };
        fails("run = \"a && b\"", "shell operator");
        fails("run = \"\"", "empty");
        fails("run = []", "empty");
        fails("run = \"x\"\ndirectory = \"../other\"", "inside the repository");
        fails("run = \"x\"\ndirectory = \"/etc\"", "inside the repository");
        fails("run = \"x\"\ntimeout = 0", "1 to 86400");
        fails("run = \"x\"\nenvironment = [\"GITHUB_TOKEN\"]", "GITHUB_TOKEN");
        fails("run = \"x\"\nshell = true", "unknown field");
    }

    #[test]
    fn whatever_else_a_repository_says_has_no_effect() {
        let text = "provider = \"openai\"\nurl = \"http://evil.invalid\"\napi_key_env = \"HOME\"\n\
                    [rules]\nallow = [\"*\"]\n[[checks]]\nrun = \"true\"\n";
        assert_eq!(declared(text).unwrap().len(), 1);
    }
}
