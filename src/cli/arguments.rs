//! What each command takes besides the flags that all have.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ModeFlag, ModelFlags, RequestFlags, ServerFlags};

#[derive(Debug, Args)]
pub struct RunArgs {
    /// What you want
    #[arg(required = true)]
    pub request: Vec<String>,
    /// A file that must be in the evidence (may be repeated)
    #[arg(long, value_name = "PATH")]
    pub tag: Vec<String>,
    /// A command that must pass; it runs on a copy before you are asked, and in the tree after.
    /// Without it the checks run that you have approved (see `countersign checks`)
    #[arg(long, value_name = "COMMAND", conflicts_with = "no_check")]
    pub check: Option<String>,
    /// Carry the plan out N times and offer the best result: its check passes, it is small [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub candidates: Option<u32>,
    /// How often the Coder is asked again for a check that failed, before you are asked; what fails in the
    /// tree already is repaired twice as often [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=8))]
    pub repairs: Option<u32>,
    /// Run no checks
    #[arg(long)]
    pub no_check: bool,
    /// One event a line on stdout, ops as JSON lines on stdin
    #[arg(long)]
    pub json: bool,
    /// With --json: ask what to do when a check fails on what was applied (the op is `choose`)
    #[arg(long, requires = "json")]
    pub ask_after_failure: bool,
    /// With --json: ask about checks that nobody approved yet (the op is `approve_checks`)
    #[arg(long, requires = "json")]
    pub ask_about_checks: bool,
    /// Go on without this terminal; what is proposed waits for `countersign review`
    #[arg(long, conflicts_with = "json")]
    pub detach: bool,
    #[command(flatten)]
    pub mode: ModeFlag,
    #[command(flatten)]
    pub model: RequestFlags,
}

#[derive(Debug, Args)]
pub struct ContextArgs {
    /// What you want to know or change
    #[arg(required = true)]
    pub request: Vec<String>,
    /// A file that must be in the evidence (may be repeated)
    #[arg(long, value_name = "PATH")]
    pub tag: Vec<String>,
    /// Size of the pack in tokens (four bytes each) [default: 4000]
    #[arg(long, value_name = "TOKENS")]
    pub budget: Option<u32>,
    /// Say of this file only why it is where it is, or why it is not there
    #[arg(long, value_name = "PATH")]
    pub why: Option<String>,
    /// Print pack and ledger as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct IndexArgs {
    #[command(subcommand)]
    pub archive: Option<ArchiveCommand>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with an archive of the index.
#[derive(Debug, Subcommand)]
pub enum ArchiveCommand {
    /// Bring the index up to date and write it to a file
    #[command(after_help = "Example:\n  countersign index export monorepo.index")]
    Export { file: PathBuf },
    /// Take over the index in a file, then read what differs in this tree
    #[command(after_help = "Example:\n  countersign index import monorepo.index")]
    Import {
        file: PathBuf,
        /// The hash that the archive must have, as `export` prints it
        #[arg(long)]
        hash: Option<String>,
    },
    /// The same with a file from s3://, gs://, az://, http://, https:// or file://
    #[command(after_help = "\
Examples:
  countersign index pull https://example.org/monorepo.index
  AWS_REGION=eu-central-1 countersign index pull s3://bucket/monorepo.index

Settings are read from the variables of the cloud's own tools: AWS_…, GOOGLE_…, AZURE_….")]
    Pull {
        url: String,
        /// The hash that the archive must have, as `export` prints it
        #[arg(long)]
        hash: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct JsonFlag {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to do with a patch.
#[derive(Debug, Subcommand)]
pub enum PatchCommand {
    /// Say what would happen, and change nothing
    #[command(after_help = "Example:\n  countersign patch check --json < change.diff")]
    Check(PatchArgs),
    /// Apply it: all of it or nothing
    #[command(after_help = "Example:\n  countersign patch apply < change.diff")]
    Apply(PatchApplyArgs),
}

#[derive(Debug, Args)]
pub struct PatchArgs {
    /// The form of the patch
    #[arg(long, value_enum, default_value_t = PatchFormat::Auto)]
    pub format: PatchFormat,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Where lines are in the file several times, take the first instead of refusing
    #[arg(long)]
    pub first_match: bool,
    #[command(flatten)]
    pub mode: ModeFlag,
}

#[derive(Debug, Args)]
pub struct PatchApplyArgs {
    #[command(flatten)]
    pub patch: PatchArgs,
    /// Apply also what was found by likeness alone
    #[arg(long)]
    pub accept_similar: bool,
}

/// Forms of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum PatchFormat {
    /// Told by its first marks
    Auto,
    /// SYMBOL path name, and a fence with the definition
    Symbol,
    /// A path, and a fence with the whole file
    Whole,
    /// SEARCH/REPLACE blocks
    SearchReplace,
    /// LINES blocks with tags of lines
    AnchoredLines,
    /// A unified diff, of git or plain
    Unified,
    /// *** Begin Patch
    Codex,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Try out what the model can do, and keep the result
    #[arg(long)]
    pub trial: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelFlags,
}

#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// What is here: model files, and what the servers on this machine offer, or the one that is named
    List(ModelListArgs),
    /// What is known about one model: its window with the arithmetic, and what was measured
    Show(ModelShowArgs),
    /// Get a model file, or let Ollama get a model
    Pull(ModelArgs),
    /// Remove a model file
    Rm(FileArgs),
    /// Read a model file and compare it with what it should be
    Verify(FileArgs),
    /// Make a model the default, in config.toml
    Use(ModelArgs),
}

#[derive(Debug, Args)]
pub struct ModelListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerFlags,
}

#[derive(Debug, Args)]
pub struct ModelShowArgs {
    pub model: String,
    /// Context window in tokens [default: what the server has loaded]
    #[arg(long, value_name = "TOKENS")]
    pub window: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerFlags,
}

#[derive(Debug, Args)]
pub struct ModelArgs {
    pub model: String,
    #[command(flatten)]
    pub server: ServerFlags,
}

#[derive(Debug, Args)]
pub struct FileArgs {
    /// A name of `countersign models list`
    pub model: String,
}

#[derive(Debug, Args)]
pub struct UndoArgs {
    /// Id of the change [default: the latest one possible]
    pub change: Option<String>,
    /// Only this hunk of it (may be repeated)
    #[arg(long, value_name = "N", conflicts_with = "task")]
    pub hunk: Vec<u32>,
    /// All changes of the task that it is part of
    #[arg(long)]
    pub task: bool,
}

#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// Id of a change, or its beginning [default: list them all]
    pub change: Option<String>,
    /// Forget all but the latest N changes, and remove the copies of files that only they need
    #[arg(long, value_name = "N", conflicts_with = "change")]
    pub keep: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ReviewArgs {
    /// Number of a pending patch [default: the oldest one]
    pub patch: Option<String>,
    /// List the pending patches
    #[arg(long, conflicts_with = "patch")]
    pub list: bool,
    /// Forget a pending patch
    #[arg(long, value_name = "PATCH", conflicts_with_all = ["patch", "list"])]
    pub discard: Option<String>,
    /// A command that must pass; it runs in the tree after the patch is applied
    #[arg(long, value_name = "COMMAND")]
    pub check: Option<String>,
    /// Print JSON: the list, or one event a line with ops on stdin
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub mode: ModeFlag,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List them with their states
    List(JsonFlag),
    /// Show what happens in one, until it is over
    Attach(JobArgs),
    /// Stop one; what it has begun to apply is finished first
    Cancel(JobArgs),
    /// Show what happened in one
    Logs(JobArgs),
}

#[derive(Debug, Args)]
pub struct JobArgs {
    /// Id of a job, or its beginning
    pub job: String,
}

#[derive(Debug, Args)]
pub struct SessionsArgs {
    /// Id of a session, or its beginning [default: list them all]
    pub session: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
