//! `countersign run`: one request, from start to its outcome. Also how any engine is put together.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cli::RunArgs;
use crate::command::Finished;
use crate::config::Config;
use crate::connect;
use crate::engine;
use crate::events::Events;
use crate::failure::OrUsage as _;
use crate::measured::Measurements;
use crate::prompt::Prompts;
use crate::protocol::{Envelope, Event, Op, StartRequest};
use crate::provider::record::Recorder;
use crate::retrieve::{Library, Retriever};
use crate::role::{self, Caller, Model, RoleSpec, Roles};
use crate::session::SessionLog;
use crate::turn::Desk;
use crate::ui::{self, Colour, Ended, Settings};
use crate::{apply, check, rules};

pub async fn run(config: &Config, arguments: RunArgs) -> anyhow::Result<Finished> {
    let check = arguments.check.as_deref().map(check::split).transpose();
    let check = check.or_usage("Write it as you would in a shell, such as --check \"cargo test\".")?;
    let request = StartRequest { text: arguments.request.join(" "), tags: arguments.tag };
    let mut engine = start(config, check).await?;
    engine.ops.send(Op::Start(request)).await.context("the engine ended at once")?;
    let ended = match arguments.json {
        true => ui::json::run(&mut engine.events, &engine.ops, ui::json::Life::OneTurn).await?,
        false => ui::terminal::run(&mut engine.events, &engine.ops, &settings(config)).await?,
    };
    engine.stop().await;
    let code = match ended {
        Ended::Turn(outcome) => outcome.exit_code(),
        Ended::Refused(_) => 2,
        Ended::Quit => 130,
        Ended::EngineGone => 1,
    };
    Ok(Finished { text: String::new(), code })
}

fn describe_recovery(recovered: &apply::Recovered) -> String {
    let mut text = format!("an interrupted change was taken back: {} ({})", recovered.id, recovered.summary);
    if !recovered.left.is_empty() {
        text.push_str(&format!(
            "; left alone, since they were edited meanwhile: {}",
            recovered.left.join(", ")
        ));
    }
    text
}

/// How the terminal front end shows things here.
pub fn settings(config: &Config) -> Settings {
    Settings::for_streams(if config.color { Colour::On } else { Colour::Off })
}

/// An engine at work, with the ends of its channels.
pub struct Running {
    pub ops: mpsc::Sender<Op>,
    pub events: mpsc::UnboundedReceiver<Envelope>,
    task: JoinHandle<()>,
}

impl Running {
    /// Waits until the engine has ended. What it still says is in the session's log.
    pub async fn stop(self) {
        drop(self.ops);
        // An error would mean that the engine's task panicked; its turn has reported that.
        let _ = self.task.await;
    }
}

/// Finishes what an interrupted apply left, finds a model, opens the index, and starts engine and
/// roles.
pub async fn start(config: &Config, check: Option<Vec<String>>) -> anyhow::Result<Running> {
    let prompts = Prompts::load(config.own("prompts").as_deref()).or_usage("Mend or remove that prompt.")?;
    let roles =
        Roles::load(config.own("roles").as_deref(), &prompts).or_usage("Mend or remove that role file.")?;
    let recovered = apply::recover(&config.root, &config.data.journal())?;
    let recovered = recovered.iter().map(describe_recovery);
    let connected = connect::connect(&config.model).await?;
    let library = Library::open(&config.root, &config.data.index())?;

    let (session, log) = SessionLog::create(&config.data.sessions(), &crate::clock::stamp())?;
    let (events, receiver) = Events::new(log);
    events.emit(Event::SessionStarted {
        session,
        root: config.root.display().to_string(),
        provider: connected.provider.describe(),
        model: connected.provider.model().to_owned(),
        window: connected.window,
        window_source: connected.window_source,
    });
    let mut authority = config.authority.clone();
    authority.rules = authority.rules.tightened(rules::disk::repository(&config.root));
    let problems = authority.rules.problems().iter().cloned();
    for note in connected.notes.into_iter().chain(recovered).chain(problems) {
        events.warn(note);
    }

    let kept = Measurements::in_folder(&config.measurements);
    let coder = config.model.for_roles.coder.as_deref().unwrap_or(connected.provider.model());
    let edit_forms = kept.of(coder).edits.map(|edits| edits.ranked()).unwrap_or_default();
    let mut model = Model::new(connected.provider, connected.window).measured_in(kept);
    if let Some(path) = &config.model.record {
        let recorder = Recorder::create(path, model.provider.model(), model.window)?;
        events.warn(format!("answers, which quote source code, are recorded in {}", path.display()));
        model = model.recorded(recorder);
    }
    let retriever = Retriever::new(library);
    let (prompts, roles) = (Arc::new(prompts), Arc::new(roles));
    let named = &config.model.for_roles;
    let caller = |spec: &RoleSpec, own: &Option<String>| -> anyhow::Result<Caller> {
        let model = match own {
            Some(name) if name != model.provider.model() => model.beside(model.provider.with_model(name)?),
            _ => model.clone(),
        };
        Ok(Caller { spec: spec.clone(), prompts: prompts.clone(), model, events: events.clone() })
    };
    let (approvals, asked) = mpsc::channel(1);
    let desk = Desk {
        architect: role::spawn_architect(caller(&roles.architect, &named.architect)?),
        explorer: role::spawn_explorer(caller(&roles.explorer, &named.explorer)?, retriever.clone()),
        coder: role::spawn_coder(caller(&roles.coder, &named.coder)?),
        events: events.clone(),
        model: model.clone(),
        roles: roles.clone(),
        retriever,
        root: config.root.clone(),
        journal: config.data.journal(),
        edit_forms,
        evidence_tokens: config.evidence_tokens,
        authority,
        check,
        approval_ids: Arc::default(),
        approvals,
    };
    let (ops, task) = engine::start(desk, asked);
    Ok(Running { ops, events: receiver, task })
}
