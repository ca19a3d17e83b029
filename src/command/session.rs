//! The interactive session: one engine, many requests.

use crate::cli::UndoArgs;
use crate::command::{Finished, context, run, sessions, undo};
use crate::config::Config;
use crate::protocol::{Op, StartRequest};
use crate::ui::session::{Command, Flow};
use crate::ui::terminal::screen::Screen;
use crate::ui::{self, Ended};

pub async fn session(config: &Config) -> anyhow::Result<Finished> {
    let settings = run::settings(config);
    if settings.audience == ui::Audience::Nobody {
        return Err(crate::failure::Failure::usage(
            "an interactive session needs a terminal",
            "Use `countersign run \"…\"`, or see `countersign --help`.",
        )
        .into());
    }
    let usual = run::How::usual(run::Requests::Many);
    let how = run::How { tries: config.tries, asks_about_checks: true, ..usual };
    let mut engine = run::start(config, how).await?;
    let latest = || UndoArgs { change: None, hunk: Vec::new(), task: false };
    let mut screen = Screen::of_process(&settings);
    ui::session::run(&settings, async |command| {
        let text = match command {
            Command::Request(text) => {
                engine.ops.send(Op::Start(StartRequest { text, tags: Vec::new() })).await?;
                return Ok(match ui::terminal::run(&mut engine.events, &engine.ops, &settings).await? {
                    Ended::Turn(_) | Ended::Refused(_) => Flow::Continue,
                    Ended::Quit | Ended::EngineGone => Flow::Leave,
                });
            }
            Command::Undo => undo::undo(config, latest())?,
            Command::Redo => undo::redo(config, latest())?,
            Command::Context(text) => {
                context::render(&context::gather(config, &text, Vec::new(), config.evidence_tokens)?)
            }
            Command::Sessions => sessions::list(&crate::session::list(&config.data.sessions())?, false)?,
            // The front end answers `/help` itself.
            Command::Help => String::new(),
            Command::Quit => return Ok(Flow::Leave),
        };
        screen.data(&text)?;
        Ok(Flow::Continue)
    })
    .await?;
    engine.stop().await;
    Ok(Finished::default())
}
