//! `countersign eval`: what countersign achieves, measured by its own command.

mod locate;
mod prediction;
mod score;
mod table;
mod task;
mod variant;

use crate::cli::EvalCommand;
use crate::config::Config;

pub fn eval(config: &Config, command: EvalCommand) -> anyhow::Result<String> {
    match command {
        EvalCommand::Locate(arguments) => locate::locate(config, &arguments),
    }
}
