//! What `countersign eval` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::RequestFlags;
use crate::message::EditFormat;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum EvalCommand {
    /// How well the files are found that a change will touch, from its request alone
    #[command(after_help = "\
Examples:
  countersign eval locate tasks.jsonl --repos ../clones --out predictions.jsonl
  countersign eval locate tasks.jsonl --repos ../clones --ablate all
  countersign eval locate tasks.jsonl --repos ../clones --ablate history --baseline bm25 --json

A task is a JSON line with id, repo (owner/name), base_commit, query, gold_files and,
if known, gold_lines. Commits are laid out in throw-away work trees: no hook, filter or
other program runs, and later history is not seen. No model is used.")]
    Locate(LocateArgs),
    /// How well the model writes single edits, by the form in which it is asked
    #[command(after_help = "\
Examples:
  countersign eval edit
  countersign eval edit --format whole --format search_replace --repeats 3 --temperature 0.2
  countersign eval edit --json

Each edit has one right result or tests that tell (run in the sandbox, with python3 and cargo).
The result is kept for the model: a run then asks in the form that it writes best.")]
    Edit(EditArgs),
    /// How many whole tasks the agent gets right, in throw-away copies and with hidden tests
    #[command(after_help = "\
Examples:
  countersign eval task fixtures/tasks --out results.jsonl
  countersign eval task exercism-python exercism-rust --difficulty 4 --limit 10 --out results.jsonl
  countersign eval task DIR --without architect --out results.jsonl
  countersign eval task DIR --peer aider --peer-python venv/bin/python --peer-format whole --url http://127.0.0.1:8080 --out results.jsonl

A DIR is an exercise, a track or several tracks of Exercism (also the polyglot set), or tasks of the form
of fixtures/tasks. The tests are not in the copy during the first attempt; what the agent changes is applied
without asking, by the mode `evaluation`, in the copy alone. A second run with the same --out goes on where the
first one stopped.")]
    Task(Box<TaskArgs>),
    /// One page with tables and plots from the results of `eval task`
    #[command(after_help = "\
Example:
  countersign eval report results.jsonl other.jsonl --out report.html")]
    Report(ReportArgs),
}

#[derive(Debug, Args)]
pub struct LocateArgs {
    /// The task file, in JSON lines
    pub tasks: PathBuf,
    /// Folder with clones, called owner/name, owner+name, owner__name or name
    #[arg(long, value_name = "DIR")]
    pub repos: PathBuf,
    /// Write predictions to this file, those of other ways beside it; a second run goes on with it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Only tasks of this repository (may be repeated)
    #[arg(long, value_name = "OWNER/NAME")]
    pub repo: Vec<String>,
    /// Size of the pack in tokens (four bytes each); the figures count 8000 at most
    #[arg(long, value_name = "TOKENS", default_value_t = 8_000)]
    pub budget: u32,
    /// Measure also without this rule; `all` for each in turn (may be repeated)
    #[arg(long, value_name = "RULE")]
    pub ablate: Vec<String>,
    /// Measure also another way, to compare (may be repeated)
    #[arg(long, value_enum)]
    pub baseline: Vec<Baseline>,
    /// A Python with Aider, for its map
    #[arg(long, value_name = "PATH", default_value = "python3", value_parser = program)]
    pub peer_python: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Other ways of finding files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Baseline {
    /// BM25 over whole files, and whole files in the pack
    Bm25,
    /// The rules of ProtoAgent's Context Loom, on our index
    Loom,
    /// Aider's map of the repository
    AiderMap,
}

#[derive(Debug, Args)]
pub struct EditArgs {
    /// Only this form (may be repeated) [default: all]
    #[arg(long, value_enum)]
    pub format: Vec<EditFormat>,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Do not keep the result for later runs
    #[arg(long)]
    pub forget: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: RequestFlags,
}

/// How the model samples, and how often it is asked.
#[derive(Debug, Clone, Copy, Args)]
pub struct SamplingArgs {
    /// Ask N times, each time with the next seed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeats: u32,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u32,
    /// At 0 a model gives the same answer for every seed
    #[arg(long, default_value_t = 0.0, value_parser = temperature)]
    pub temperature: f32,
}

/// A program by its name, or by its path from here: it is started in another folder.
fn program(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.components().count() < 2 {
        return Ok(path);
    }
    std::path::absolute(path).map_err(|error| error.to_string())
}

fn temperature(text: &str) -> Result<f32, String> {
    let read = text.parse::<f32>().map_err(|error| error.to_string())?;
    (0.0..=2.0).contains(&read).then_some(read).ok_or_else(|| "it must lie between 0 and 2".to_owned())
}

#[derive(Debug, Args)]
pub struct TaskArgs {
    /// Folders with tasks
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Write results to this file, one JSON line each; what is in it already is not done again
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Only this task (may be repeated)
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Only tasks in this language
    #[arg(long, value_enum)]
    pub language: Option<LanguageName>,
    /// Only tasks that are known to be at most this difficult, from 1 to 10
    #[arg(long, value_name = "N")]
    pub difficulty: Option<u32>,
    /// Of each language only the first N tasks that can be used, by name
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Attempts at each task; the second sees what the tests said of the first
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=4))]
    pub attempts: u32,
    /// Whether the tests lie in the copy, for either agent to run, once an attempt has failed
    #[arg(long, value_enum, default_value_t = Tests::Shown)]
    pub tests: Tests,
    /// Seconds for all attempts at one task, without the tests that judge them
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// Carry each plan out N times and take the best result
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub candidates: u32,
    /// The only form in which the Coder is asked, where it is possible
    #[arg(long, value_enum)]
    pub format: Option<EditFormat>,
    /// Leave out a part of the agent, to see what it is worth (may be repeated)
    #[arg(long, value_enum, value_name = "PART")]
    pub without: Vec<Part>,
    /// Let another agent do the same tasks, with the same server, time and seeds
    #[arg(long, value_enum, requires = "url", conflicts_with_all = ["candidates", "format", "without"])]
    pub peer: Option<Peer>,
    /// The other agent's form of edits
    #[arg(long, value_enum, default_value_t = PeerFormat::Whole, requires = "peer")]
    pub peer_format: PeerFormat,
    /// The Python that has the other agent installed
    #[arg(long, value_name = "PATH", default_value = "python3", value_parser = program, requires = "peer")]
    pub peer_python: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: RequestFlags,
}

/// Languages whose tests can be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LanguageName {
    Python,
    Rust,
}

/// What becomes of the tests after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tests {
    /// They lie in the copy: ours has them as its check, Aider goes on by itself as with --auto-test
    Shown,
    /// Only what they said is told
    Hidden,
}

/// A part of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Part {
    /// The pack: the Architect sees names of files alone
    Evidence,
    /// The plan: the Coder gets the request itself
    Architect,
    /// The schema that the server holds answers to
    Schema,
    /// Checks on a copy before anything is applied, and the repairs that follow
    EarlyChecks,
    /// Several answers to one request at once, where the server has slots for them
    Draws,
    /// What the compiler itself offers to correct
    Corrections,
}

/// Other agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// Aider, from the package aider-chat
    Aider,
}

/// Forms of edits of other agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PeerFormat {
    Whole,
    Diff,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Files that `eval task` wrote
    #[arg(required = true, value_name = "RESULTS")]
    pub results: Vec<PathBuf>,
    /// Write the page to this file
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub out: PathBuf,
}
