//! `countersign eval`: what countersign achieves, measured by its own command.

mod edit;
mod locate;
mod plot;
mod report;
mod statistics;
mod whole;

use crate::cli::EvalCommand;
use crate::config::Config;

pub async fn eval(config: &Config, command: EvalCommand) -> anyhow::Result<String> {
    match command {
        EvalCommand::Locate(arguments) => locate::locate(config, &arguments),
        EvalCommand::Edit(arguments) => edit::edit(config, &arguments).await,
        EvalCommand::Task(arguments) => whole::whole(config, &arguments).await,
        EvalCommand::Report(arguments) => report::report(&arguments),
    }
}
