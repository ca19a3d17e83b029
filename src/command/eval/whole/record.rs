//! Owns the result file of `eval task`: one JSON line a run, appended as it is known, so that an
//! interrupted evaluation goes on where it stopped.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::cause::Cause;
use crate::failure::Failure;

/// One line of a result file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// A task whose tests were tried on its stub and its solution.
    Task(Known),
    /// An agent at work on a task.
    Run(Record),
}

/// What is known of a task itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    pub task: String,
    /// Why it cannot be used here; `None` if it can.
    pub unusable: Option<String>,
    /// Tests that the solution passes, where the command says so.
    pub tests: Option<u32>,
}

/// One run: one agent, one task, one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub task: String,
    pub language: String,
    /// Such as `countersign` or `aider whole`.
    pub agent: String,
    pub version: String,
    pub seed: u32,
    pub model: String,
    /// Hash of everything that the run depends on besides the task; others must not be mixed with it.
    pub made_with: String,
    /// In order; the last one passed, or no more were allowed.
    pub attempts: Vec<Attempt>,
}

/// One attempt with its tests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub passed: bool,
    /// Of the agent alone, without the tests.
    pub seconds: f64,
    pub calls: u64,
    /// As the server counted them; `None` where it did not.
    pub prompt_tokens: Option<u64>,
    pub evaluated_tokens: Option<u64>,
    pub answer_tokens: Option<u64>,
    /// Why it failed.
    pub cause: Option<Cause>,
    /// How the agent itself says it ended.
    pub ended: String,
    /// Answers that could not be used as edits.
    pub refused: u32,
    /// What has really changed.
    pub changed: Vec<String>,
    /// Changes that the agent's own report does not have.
    pub unreported: Vec<String>,
    /// Changed files that a right solution leaves alone.
    pub decoys: Vec<String>,
    /// The end of what the tests said, if they failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tests: String,
}

impl Record {
    /// Whether one of the first `attempts` passed.
    pub fn passes(&self, attempts: usize) -> bool {
        self.attempts.iter().take(attempts).any(|attempt| attempt.passed)
    }

    pub fn seconds(&self) -> f64 {
        self.attempts.iter().map(|attempt| attempt.seconds).sum()
    }
}

/// Results by task and agent, kept in a file.
pub struct Results {
    path: PathBuf,
    pub tasks: BTreeMap<String, Known>,
    pub runs: Vec<Record>,
}

impl Results {
    /// Reads what an earlier run left. A last line without its end was being written when that run ended,
    /// and is dropped.
    ///
    /// # Errors
    /// When the file holds anything but results.
    pub fn open(path: &Path) -> anyhow::Result<Results> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let (tasks, runs) = read(&text[..whole], path)?;
        if whole < text.len() {
            let file = std::fs::OpenOptions::new().write(true).open(path);
            file.and_then(|file| file.set_len(whole as u64))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Results { path: path.to_owned(), tasks, runs })
    }

    /// The run that is known already.
    ///
    /// # Errors
    /// When it was made otherwise: results of different settings are not one result.
    pub fn done(&self, task: &str, agent: &str, seed: u32, made_with: &str) -> anyhow::Result<bool> {
        let same = |run: &&Record| run.task == task && run.agent == agent && run.seed == seed;
        match self.runs.iter().find(same) {
            None => Ok(false),
            Some(run) if run.made_with == made_with => Ok(true),
            Some(_) => Err(Failure::usage(
                format!(
                    "{} has a run of {agent} on {task} with another model, program or setting",
                    self.path.display()
                ),
                "Give another file to --out, or remove this one.",
            )
            .into()),
        }
    }

    /// Adds a line, in the file first.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, line: Line) -> anyhow::Result<()> {
        let text = serde_json::to_string(&line)? + "\n";
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&self.path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        match line {
            Line::Task(known) => drop(self.tasks.insert(known.task.clone(), known)),
            Line::Run(run) => self.runs.push(run),
        }
        Ok(())
    }
}

type Read = (BTreeMap<String, Known>, Vec<Record>);

/// Reads the lines of a result file.
///
/// # Errors
/// With the number of the first line that is none.
pub fn read(text: &str, path: &Path) -> anyhow::Result<Read> {
    let (mut tasks, mut runs) = Read::default();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(Line::Task(known)) => drop(tasks.insert(known.task.clone(), known)),
            Ok(Line::Run(run)) => runs.push(run),
            Err(error) => {
                return Err(Failure::usage(
                    format!("{}, line {number}: not a result of `eval task`: {error}", path.display()),
                    "Give another file.",
                )
                .into());
            }
        }
    }
    Ok((tasks, runs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(task: &str) -> Record {
        Record {
            task: task.into(),
            language: "python".into(),
            agent: "countersign".into(),
            version: "1".into(),
            seed: 1,
            model: "m".into(),
            made_with: "x".into(),
            attempts: vec![Attempt { cause: Some(Cause::Plan), ..Attempt::default() }],
        }
    }

    #[test]
    fn an_interrupted_evaluation_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut first = Results::open(&path).unwrap();
        first.add(Line::Task(Known { task: "a".into(), unusable: None, tests: Some(3) })).unwrap();
        first.add(Line::Run(run("a"))).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"line\":\"run\",\"ta")
            .unwrap();
        let mut second = Results::open(&path).unwrap();
        assert_eq!((second.tasks["a"].tests, second.runs.len()), (Some(3), 1));
        assert!(second.done("a", "countersign", 1, "x").unwrap());
        for (task, agent, seed) in [("b", "countersign", 1), ("a", "aider whole", 1), ("a", "countersign", 2)]
        {
            assert!(!second.done(task, agent, seed, "x").unwrap());
        }
        assert!(second.done("a", "countersign", 1, "y").is_err(), "another model is another result");
        second.add(Line::Run(run("b"))).unwrap();
        assert_eq!(Results::open(&path).unwrap().runs, [run("a"), run("b")]);
        std::fs::write(&path, "{}\n").unwrap();
        assert!(Results::open(&path).err().unwrap().to_string().contains("line 1"));
    }
}
