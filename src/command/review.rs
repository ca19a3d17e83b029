//! `countersign review`: patches that were left pending.

use std::fmt::Write as _;

use anyhow::Context as _;

use crate::apply;
use crate::check::Check;
use crate::cli::ReviewArgs;
use crate::command::run::{Running, settings, signer, watch};
use crate::command::{Finished, checks, json};
use crate::config::Config;
use crate::events::Events;
use crate::failure::OrUsage as _;
use crate::pending::{PendingStore, Waiting};
use crate::protocol::{Event, Op, StartRequest};
use crate::sanitize::visible;
use crate::session::SessionLog;
use crate::turn::{Checks, Review};
use crate::ui::Audience;

pub async fn review(config: &Config, arguments: ReviewArgs) -> anyhow::Result<Finished> {
    let store = PendingStore::in_folder(&config.data.pending());
    let known = "`countersign review --list` shows what waits.";
    if let Some(id) = arguments.discard {
        let waiting = store.find(&id).or_usage(known)?;
        store.remove(&waiting.id)?;
        return Ok(format!("forgotten: patch {} ({})\n", waiting.id, visible(&waiting.note.request)).into());
    }
    if arguments.list {
        return Ok(list(&store.list()?, arguments.json)?.into());
    }
    let waiting = match &arguments.patch {
        Some(id) => store.find(id).or_usage(known)?,
        None => match store.list()?.into_iter().next() {
            Some(oldest) => oldest,
            None => return Ok("no patch waits for a review in this repository\n".to_owned().into()),
        },
    };
    let typed = arguments.check.as_deref().map(Check::typed).transpose();
    let typed = typed.or_usage("Write one command and its arguments, such as --check \"cargo test\".")?;
    let authority = config.tightened();
    // Not the repository's rules: a check that it could stop would not be there to fail.
    let own = &config.authority.rules;
    let checks = match typed {
        Some(check) => Checks::These(vec![checks::not_denied(check, own)?]),
        None => Checks::Found(checks::finder(config)),
    };
    let problems = authority.rules.problems().to_vec();
    apply::recover(&config.root, &config.data.journal())?;
    let (session, log) = SessionLog::create(&config.data.sessions(), &crate::clock::stamp())?;
    let (events, receiver) = Events::new(log);
    let (mut signer, asked) = signer(config, authority, events.clone(), session.clone(), checks);
    events.emit(Event::SessionStarted {
        session: session.clone(),
        root: config.root.display().to_string(),
        provider: "none, for a review".into(),
        model: "no model".into(),
        window: 0,
        window_source: "not needed".into(),
    });
    signer.asks_after_failure = !arguments.json;
    signer.asks_about_checks = !arguments.json && settings(config).audience == Audience::Person;
    problems.into_iter().for_each(|note| events.warn(note));
    signer.note_checks()?;
    let text = format!("review of patch {}: {}", waiting.id, waiting.note.request);
    let mut engine = Running::start(session, Review { signer, waiting }, (events, receiver), asked);
    let request = StartRequest { text, tags: Vec::new() };
    engine.ops.send(Op::Start(request)).await.context("the engine ended at once")?;
    let finished = watch(config, &mut engine, arguments.json).await?;
    engine.stop().await;
    Ok(finished)
}

/// One line a patch, the oldest first.
fn list(waiting: &[Waiting], as_json: bool) -> anyhow::Result<String> {
    if as_json {
        let row = |one: &Waiting| {
            serde_json::json!({
                "id": one.id,
                "at_ms": one.note.at_ms,
                "session": one.note.session,
                "request": one.note.request,
                "summary": one.note.summary,
                "paths": one.paths(),
            })
        };
        return json(&waiting.iter().map(row).collect::<Vec<_>>());
    }
    if waiting.is_empty() {
        return Ok("no patch waits for a review in this repository\n".into());
    }
    let mut text = String::new();
    for one in waiting {
        let paths = one.paths().join(", ");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  session {}  {}", one.id, one.note.session, visible(&one.note.request));
        let _ = writeln!(text, "        {}", visible(&paths));
    }
    Ok(text)
}
