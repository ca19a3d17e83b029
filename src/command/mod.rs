//! One file for each command: what it does, on a resolved configuration.
//!
//! Commands return what belongs on stdout; only `run` and the session talk to the terminal
//! themselves, through the front ends.

mod checks;
mod context;
mod doctor;
mod eval;
mod history;
mod index;
mod jobs;
mod models;
mod offer;
mod patch;
mod review;
mod rules;
mod run;
mod session;
mod sessions;
mod trial;
mod undo;

use clap::CommandFactory as _;

use crate::cli::{Cli, Command, ModeFlag, RequestFlags};
use crate::config::{Config, Environment};
use crate::failure::{Failure, OrUsage as _};

/// What a command leaves to say.
#[derive(Debug, Default)]
pub struct Finished {
    /// For stdout.
    pub text: String,
    pub code: u8,
}

impl From<String> for Finished {
    fn from(text: String) -> Finished {
        Finished { text, code: 0 }
    }
}

/// Does what the command line says.
pub async fn dispatch(cli: Cli, environment: &Environment) -> anyhow::Result<Finished> {
    let config = |flags: Option<&RequestFlags>| {
        Config::resolve(&cli.global, flags, environment).or_usage("`countersign --help` explains the flags.")
    };
    let Some(command) = cli.command else {
        return session::session(&config(Some(&cli.model))?.in_mode(cli.mode.mode)).await;
    };
    if cli.model != RequestFlags::default() {
        let advice = "Write them after the command, as in `countersign run --model NAME \"…\"`.";
        return Err(Failure::usage("flags for a model stand before the command", advice).into());
    }
    if cli.mode != ModeFlag::default() {
        let advice = "Write it after the command, as in `countersign run --mode auto \"…\"`.";
        return Err(Failure::usage("--mode stands before the command", advice).into());
    }
    if let Command::Completions { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "countersign", &mut script);
        return Ok(String::from_utf8_lossy(&script).into_owned().into());
    }
    let config = config(command.model_flags().as_ref())?.in_mode(command.mode());
    match command {
        Command::Run(arguments) => run::run(&config, arguments).await,
        Command::Context(arguments) => context::context(&config, arguments).map(Finished::from),
        Command::Index(arguments) => index::index(&config, arguments).await.map(Finished::from),
        Command::Patch(command) => patch::patch(&config, command),
        Command::Undo(arguments) => undo::undo(&config, arguments).map(Finished::from),
        Command::Redo(arguments) => undo::redo(&config, arguments).map(Finished::from),
        Command::History(arguments) => history::history(&config, arguments).map(Finished::from),
        Command::Review(arguments) => review::review(&config, arguments).await,
        Command::Jobs(command) => jobs::jobs(&config, command).await,
        Command::Sessions(arguments) => sessions::sessions(&config, arguments).map(Finished::from),
        Command::Doctor(arguments) => doctor::doctor(&config, arguments).await.map(Finished::from),
        Command::Models(arguments) => models::models(&config, arguments).await.map(Finished::from),
        Command::Checks(arguments) => checks::checks(&config, arguments).map(Finished::from),
        Command::Eval { command } => eval::eval(&config, command).map(Finished::from),
        Command::Rules(command) => rules::rules(&config, command).map(Finished::from),
        Command::Completions { .. } => unreachable!("handled above"),
    }
}

/// JSON for people and programs: indented, one line end at the end.
fn json(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
