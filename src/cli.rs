//! Flags as typed. It reads neither files nor the environment; [`crate::config`] does.

mod arguments;
mod eval;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

pub use self::arguments::*;
pub use self::eval::*;
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
    /// Of the interactive session.
    #[command(flatten)]
    pub mode: ModeFlag,
    /// Of the interactive session.
    #[command(flatten)]
    pub model: RequestFlags,
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
}

/// How far to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct ModeFlag {
    /// How far to go without asking [default: ask, or `mode` of config.toml]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
}

/// Flags that choose a server. Without any, countersign finds what runs on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Model")]
pub struct ServerFlags {
    /// Kind of model server
    #[arg(long, value_enum)]
    pub provider: Option<ProviderName>,
    /// Address of the model server, such as http://127.0.0.1:8080
    #[arg(long)]
    pub url: Option<String>,
    /// Environment variable that holds the API key of a hosted server
    #[arg(long, value_name = "NAME")]
    pub api_key_env: Option<String>,
    /// A hosted service: openai, anthropic, gemini, deepseek, openrouter, groq, mistral, or one of
    /// presets.toml in the configuration folder. Prompts are sent there
    #[arg(long, value_name = "NAME", conflicts_with_all = ["provider", "url"])]
    pub preset: Option<String>,
}

/// Flags that choose a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelFlags {
    #[command(flatten)]
    pub server: ServerFlags,
    /// Name of the model, or the path of a .gguf file
    #[arg(long)]
    pub model: Option<String>,
    /// Context window in tokens [default: what the server has loaded]
    #[arg(long, value_name = "TOKENS")]
    pub window: Option<u32>,
    /// Replay the model's answers from a file of JSON lines instead of asking a server
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    pub script: Option<PathBuf>,
}

/// Flags for the models of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Model")]
pub struct RequestFlags {
    #[command(flatten)]
    pub all: ModelFlags,
    /// Another model for the Architect, at the same server
    #[arg(long, value_name = "MODEL")]
    pub architect_model: Option<String>,
    /// Another model for the Explorer, at the same server
    #[arg(long, value_name = "MODEL")]
    pub explorer_model: Option<String>,
    /// Another model for the Coder, at the same server
    #[arg(long, value_name = "MODEL")]
    pub coder_model: Option<String>,
    /// Write the model's answers to a new file that --script replays
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

impl From<ModelFlags> for RequestFlags {
    fn from(all: ModelFlags) -> RequestFlags {
        RequestFlags { all, ..RequestFlags::default() }
    }
}

impl From<ServerFlags> for RequestFlags {
    fn from(server: ServerFlags) -> RequestFlags {
        ModelFlags { server, ..ModelFlags::default() }.into()
    }
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
    /// A model file that runs in this process, without a server
    Embedded,
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
  countersign context --why src/parse.py \"the parser fails on an empty line\"

The ledger lists every candidate file with its points for each rule, and why it was
kept or left out. Same tree, same request: same bytes.")]
    Context(ContextArgs),
    /// Bring the index up to date and say what is in it
    #[command(after_help = "\
Examples:
  countersign index
  countersign index --json
  countersign index export monorepo.index
  countersign index import monorepo.index
  countersign index pull s3://bucket/monorepo.index

An archive saves building a large index on every machine: it is checked, taken over
whole or not at all, and then updated by what differs here.")]
    Index(IndexArgs),
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
    /// Decide about patches that were left pending
    #[command(after_help = "\
Examples:
  countersign review                  the oldest one
  countersign review 3
  countersign review --list
  countersign review --discard 3

A patch is left pending when you leave a review with q, and when nobody was there to
approve it. Where a file has changed since, the change is merged into it, and said; or
it is left out.")]
    Review(ReviewArgs),
    /// Watch and stop runs that were started with `run --detach`
    #[command(
        subcommand,
        after_help = "\
Examples:
  countersign run --detach \"make parse() accept an empty line\"
  countersign jobs list
  countersign jobs attach 20260101-120000
  countersign jobs cancel 20260101-120000

A job is queued, running, waiting for approval (see `countersign review`), done, failed,
cancelled or crashed. Ctrl-C leaves `attach`, and the job at work."
    )]
    Jobs(JobsCommand),
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
  countersign models pull qwen2.5-coder-1.5b    a file for --provider embedded
  countersign models verify qwen2.5-coder-1.5b
  countersign models rm qwen2.5-coder-1.5b
  countersign models pull qwen2.5-coder:1.5b    the same model, got and kept by Ollama
  countersign models show qwen2.5-coder:7b
  countersign models use qwen2.5-coder:1.5b
  countersign models list --preset openrouter

A name with a hyphen where Ollama has a colon is a file of our own, as the
list shows them. Such files lie in the data directory, for all repositories; HF_ENDPOINT
may name a mirror of huggingface.co.")]
    Models(ModelsArgs),
    /// List the checks of a repository, and say which of them may run
    #[command(after_help = "\
Examples:
  countersign checks
  countersign checks approve 3f2a91c0
  countersign checks approve --all
  countersign checks revoke 3f2a91c0
  countersign checks clean

Checks are found by the files that build tools read, or declared as [[checks]] in your
config.toml or the repository's countersign.toml. None runs before you have approved it
for this repository. An approval is for the command, its folder, time and variables, and
the text that defines it, such as the script in package.json: when one of them changes,
you are asked again. What you type after --check needs none.")]
    Checks(ChecksArgs),
    /// Measure countersign itself
    #[command(after_help = "\
Examples:
  countersign eval locate tasks.jsonl --repos ../clones
  countersign eval edit
  countersign eval task fixtures/tasks --out results.jsonl
  countersign eval report results.jsonl")]
    Eval {
        #[command(subcommand)]
        command: EvalCommand,
    },
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
    List(RulesListArgs),
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
pub struct RulesListArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub mode: ModeFlag,
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
    #[command(flatten)]
    pub mode: ModeFlag,
}

#[derive(Debug, Args)]
pub struct ChecksArgs {
    #[command(subcommand)]
    pub command: Option<ChecksCommand>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with checks.
#[derive(Debug, Subcommand)]
pub enum ChecksCommand {
    /// What there is and what may run
    List,
    /// Let checks run in this repository
    Approve(ChosenChecks),
    /// Take approvals back
    Revoke(ChosenChecks),
    /// Remove the copies and caches of checks; the next check builds everything anew
    Clean,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct ChosenChecks {
    /// Beginnings of the hashes that `countersign checks` shows
    pub check: Vec<String>,
    /// All of them
    #[arg(long)]
    pub all: bool,
}

impl Command {
    /// The flags for models; `None` for a command that uses none.
    pub fn model_flags(&self) -> Option<RequestFlags> {
        match self {
            Command::Run(arguments) => Some(arguments.model.clone()),
            Command::Doctor(arguments) => Some(arguments.model.clone().into()),
            Command::Eval { command: EvalCommand::Edit(arguments) } => Some(arguments.model.clone()),
            Command::Eval { command: EvalCommand::Task(arguments) } => Some(arguments.model.clone()),
            Command::Models(ModelsArgs { command }) => Some(match command {
                ModelsCommand::List(arguments) => arguments.server.clone().into(),
                ModelsCommand::Show(arguments) => ModelFlags {
                    server: arguments.server.clone(),
                    model: Some(arguments.model.clone()),
                    window: arguments.window,
                    script: None,
                }
                .into(),
                ModelsCommand::Pull(arguments) => arguments.server.clone().into(),
                ModelsCommand::Rm(_) | ModelsCommand::Verify(_) => RequestFlags::default(),
                ModelsCommand::Use(arguments) => {
                    let (server, model) = (arguments.server.clone(), Some(arguments.model.clone()));
                    ModelFlags { server, model, ..ModelFlags::default() }.into()
                }
            }),
            _ => None,
        }
    }

    /// The mode that was typed, if the command knows one.
    pub fn mode(&self) -> Option<Mode> {
        let flag = match self {
            Command::Run(arguments) => arguments.mode,
            Command::Review(arguments) => arguments.mode,
            Command::Patch(PatchCommand::Check(arguments)) => arguments.mode,
            Command::Patch(PatchCommand::Apply(arguments)) => arguments.patch.mode,
            Command::Rules(RulesCommand::List(arguments)) => arguments.mode,
            Command::Rules(RulesCommand::Test(arguments)) => arguments.mode,
            _ => return None,
        };
        flag.mode
    }
}

#[cfg(test)]
mod tests;
