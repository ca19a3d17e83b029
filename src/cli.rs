//! Flags as typed. It reads neither files nor the environment; [`crate::config`] does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use crate::rules::Mode;

/// A coding agent for small local models: deterministic evidence, narrow roles, and nothing is
/// written until you have countersigned it.
///
/// Without a command it starts an interactive session.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalFlags,
    #[command(flatten)]
    pub model: ModelFlags,
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  countersign                                   an interactive session
  countersign run \"add a --version flag\"        one request, approved hunk by hunk
  countersign context \"where are dates parsed\"  the evidence alone, without a model
  countersign undo                              take the last change back
  countersign doctor                            what runs on this machine

Exit codes: 0 done, 1 internal error, 2 usage or configuration, 3 model server,
4 declined or approval needed, 5 no valid change from the model, 6 checks failed,
130 cancelled.";

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct GlobalFlags {
    /// The repository, or any folder [default: the current one]
    #[arg(long, short = 'C', global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Where index, sessions and undo are kept [default: the platform's data directory, or
    /// $COUNTERSIGN_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// How far to go without asking [default: ask, or `mode` of config.toml]
    #[arg(long, global = true, value_enum)]
    pub mode: Option<Mode>,
}

/// Flags that choose a model. Without any, countersign finds what runs on this machine.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelFlags {
    /// Kind of model server
    #[arg(long, global = true, value_enum)]
    pub provider: Option<ProviderName>,
    /// Address of the model server, such as http://127.0.0.1:8080
    #[arg(long, global = true)]
    pub url: Option<String>,
    /// Name of the model
    #[arg(long, global = true)]
    pub model: Option<String>,
    /// Environment variable that holds the API key of a hosted server
    #[arg(long, global = true, value_name = "NAME")]
    pub api_key_env: Option<String>,
    /// Context window in tokens [default: what the server has loaded]
    #[arg(long, global = true, value_name = "TOKENS")]
    pub window: Option<u32>,
    /// A hosted service: openai, anthropic, gemini, deepseek, openrouter, groq, mistral, or one of
    /// presets.toml in the configuration folder. Prompts are sent there
    #[arg(long, global = true, value_name = "NAME", conflicts_with_all = ["provider", "url", "script"])]
    pub preset: Option<String>,
    /// Another model for the Architect, at the same server
    #[arg(long, global = true, value_name = "MODEL")]
    pub architect_model: Option<String>,
    /// Another model for the Explorer, at the same server
    #[arg(long, global = true, value_name = "MODEL")]
    pub explorer_model: Option<String>,
    /// Another model for the Coder, at the same server
    #[arg(long, global = true, value_name = "MODEL")]
    pub coder_model: Option<String>,
    /// Replay the model's answers from a file of JSON lines instead of asking a server
    #[arg(long, global = true, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Write the model's answers to a new file that --script replays
    #[arg(long, global = true, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

/// Kinds of model server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderName {
    /// Ollama's own protocol
    Ollama,
    /// llama.cpp, LM Studio, vLLM, and hosted servers with the OpenAI protocol
    Openai,
    /// Anthropic's own protocol, which llama.cpp speaks as well
    Anthropic,
    /// Answers from a file (see --script)
    Scripted,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Carry out one request
    #[command(after_help = "\
Examples:
  countersign run \"make parse() accept an empty line\"
  countersign run --tag src/parse.py \"accept an empty line\"
  countersign run --check \"cargo test\" \"rename Config::load to Config::read\"
  countersign run --mode auto \"…\"    apply what is exact, planned and not sensitive; ask the rest
  countersign run --mode plan \"…\"    print the plan and stop
  countersign run --json \"…\" <ops.jsonl >events.jsonl

Every change is shown hunk by hunk and applied only if you accept it, or if a rule of
yours allows it (`countersign rules`). Without a terminal nobody can accept: if anything
has to be asked nothing is applied, the patch is printed, and the exit code is 4.")]
    Run(RunArgs),
    /// Show the evidence for a request, without a model
    #[command(after_help = "\
Examples:
  countersign context \"the parser fails on an empty line\"
  countersign context --budget 8000 --json \"…\" >context.json

The ledger lists every candidate file with its points for each rule, and why it was
kept or left out. Same tree, same request: same bytes.")]
    Context(ContextArgs),
    /// Bring the index up to date and say what is in it
    #[command(after_help = "\
Examples:
  countersign index
  countersign index --json")]
    Index(JsonFlag),
    /// Check or apply a patch from standard input, without a model
    #[command(
        subcommand,
        after_help = "\
Examples:
  countersign patch check < change.diff
  countersign patch apply --format codex < answer.txt
  git diff other-branch | countersign patch apply --json

Read are unified diffs, *** Begin Patch, SEARCH/REPLACE blocks, whole files under
their paths, SYMBOL path name with its text, and LINES blocks. A place is found by
its lines, not by numbers; what fits twice is refused, and so is what a rule of yours
denies; nothing else is asked. What is applied is in the
journal: `countersign undo` takes it back."
    )]
    Patch(PatchCommand),
    /// Take a change back
    #[command(after_help = "\
Examples:
  countersign undo                    the latest change
  countersign undo --task             all that one request changed
  countersign undo 000007             that one
  countersign undo 000007 --hunk 2    one hunk of it (`countersign history 000007` shows them)

Bytes and modes are restored from countersign's own journal; git is not used. What
was edited since stays as far as the two can be merged; otherwise nothing is done, and
the difference is shown.")]
    Undo(UndoArgs),
    /// Apply a change again that was taken back
    #[command(after_help = "\
Examples:
  countersign redo
  countersign redo 000007 --hunk 2")]
    Redo(UndoArgs),
    /// List the changes that were made, or show one with its hunks
    #[command(after_help = "\
Examples:
  countersign history
  countersign history 000007
  countersign history --keep 50    forget all but the latest 50

Without --keep the latest 500 changes are kept, as far as their copies of files stay
below 1 GiB; a forgotten change cannot be undone any more.")]
    History(HistoryArgs),
    /// List sessions, or show one
    #[command(after_help = "\
Examples:
  countersign sessions
  countersign sessions 20260101-120000
  countersign sessions --json 20260101-120000 >events.jsonl")]
    Sessions(SessionsArgs),
    /// Say what runs on this machine and what would be used
    #[command(after_help = "\
Examples:
  countersign doctor
  countersign doctor --json
  countersign doctor --provider openai --url http://127.0.0.1:8080
  countersign doctor --trial

The trial asks the model some thirty small things (minutes on a slow machine) and keeps what
it learns: speed, whether a schema is kept, how tool calls are printed, and in which form the
model writes edits best.")]
    Doctor(DoctorArgs),
    /// List, show, get and choose models
    #[command(after_help = "\
Examples:
  countersign models list
  countersign models show qwen2.5-coder:7b
  countersign models pull qwen2.5-coder:1.5b
  countersign models use qwen2.5-coder:1.5b
  countersign models list --preset openrouter")]
    Models(ModelsArgs),
    /// Show what may be changed or run without asking, and explain a verdict
    #[command(subcommand, after_help = RULES)]
    Rules(RulesCommand),
    /// Print completions for a shell
    #[command(after_help = "\
Example:
  countersign completions bash > ~/.local/share/bash-completion/completions/countersign")]
    Completions { shell: clap_complete::Shell },
}

const RULES: &str = "\
Examples:
  countersign rules list
  countersign rules test src/main.rs
  countersign rules test 'git status && rm -rf x'
  countersign rules test --mode auto --json Cargo.lock

Rules are in your config.toml:

  mode = \"ask\"                  # ask, auto, plan or deny

  [[rules]]
  verdict = \"allow\"             # allow, ask or deny
  path = \"src/**\"               # a glob over paths of the repository

  [[rules]]
  verdict = \"deny\"
  run = [\"rm\", \"**\"]            # words: `*` is any word, `**` all that follow

deny wins over ask, ask over allow; without a rule the answer is ask. A repository's
countersign.toml can only add `ask` and `deny`.";

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// The mode, every rule with its file, and what is built in
    List(JsonFlag),
    /// The verdict about a path or a command, and everything that led to it
    #[command(after_help = "\
Examples:
  countersign rules test src/main.rs
  countersign rules test -- cargo test --workspace
  countersign rules test 'cargo test --workspace'
  countersign rules test --run make

One word is a path, several are a command. Nothing is run.")]
    Test(RulesTestArgs),
}

#[derive(Debug, Args)]
pub struct RulesTestArgs {
    /// A path of the repository, or a command
    #[arg(required = true, value_name = "PATH or ARGV")]
    pub tested: Vec<String>,
    /// Read one word as a command
    #[arg(long, conflicts_with = "path")]
    pub run: bool,
    /// Read words with spaces as one path
    #[arg(long)]
    pub path: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// What you want
    #[arg(required = true)]
    pub request: Vec<String>,
    /// A file that must be in the evidence (may be repeated)
    #[arg(long, value_name = "PATH")]
    pub tag: Vec<String>,
    /// A command that must pass; it runs on a copy before you are asked, and in the tree after
    #[arg(long, value_name = "COMMAND")]
    pub check: Option<String>,
    /// One event a line on stdout, ops as JSON lines on stdin
    #[arg(long)]
    pub json: bool,
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
    /// Print pack and ledger as JSON
    #[arg(long)]
    pub json: bool,
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
}

#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    pub command: ModelsCommand,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// What the servers on this machine offer, or the one that is named
    List(JsonFlag),
    /// What is known about one model: its window with the arithmetic, and what was measured
    Show(ModelArgs),
    /// Let Ollama get a model
    Pull { model: String },
    /// Make a model the default, in config.toml
    Use { model: String },
}

#[derive(Debug, Args)]
pub struct ModelArgs {
    pub model: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
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
pub struct SessionsArgs {
    /// Id of a session, or its beginning [default: list them all]
    pub session: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(|help| help.to_string()).unwrap_or_default();
            assert!(help.contains("Example"), "{} has no example", command.get_name());
        }
    }
}
