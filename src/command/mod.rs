//! One file for each command: what it does, on a resolved configuration.
//!
//! Commands return what belongs on stdout; only `run` and the session talk to the terminal
//! themselves, through the front ends.

mod context;
mod doctor;
mod history;
mod index;
mod models;
mod patch;
mod rules;
mod run;
mod session;
mod sessions;
mod trial;
mod undo;

use clap::CommandFactory as _;

use crate::cli::{Cli, Command, GlobalFlags, ModelFlags};
use crate::config::{Config, Environment};
use crate::failure::OrUsage as _;

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
    let config = |global: &GlobalFlags, flags: &ModelFlags| {
        Config::resolve(global, flags, environment).or_usage("`countersign --help` explains the flags.")
    };
    let Some(command) = cli.command else {
        return session::session(&config(&cli.global, &cli.model)?).await;
    };
    if let Command::Completions { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "countersign", &mut script);
        return Ok(String::from_utf8_lossy(&script).into_owned().into());
    }
    let config = config(&cli.global, &cli.model)?;
    match command {
        Command::Run(arguments) => run::run(&config, arguments).await,
        Command::Context(arguments) => context::context(&config, arguments).map(Finished::from),
        Command::Index(flag) => index::index(&config, flag).map(Finished::from),
        Command::Patch(command) => patch::patch(&config, command),
        Command::Undo(arguments) => undo::undo(&config, arguments).map(Finished::from),
        Command::Redo(arguments) => undo::redo(&config, arguments).map(Finished::from),
        Command::History(arguments) => history::history(&config, arguments).map(Finished::from),
        Command::Sessions(arguments) => sessions::sessions(&config, arguments).map(Finished::from),
        Command::Doctor(arguments) => doctor::doctor(&config, arguments).await.map(Finished::from),
        Command::Models(arguments) => models::models(&config, arguments).await.map(Finished::from),
        Command::Rules(command) => rules::rules(&config, command).map(Finished::from),
        Command::Completions { .. } => unreachable!("handled above"),
    }
}

/// JSON for people and programs: indented, one line end at the end.
fn json(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
