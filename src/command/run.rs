//! `countersign run`: one request, from start to its outcome. Also how any engine is put together.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::apply;
use crate::check::Check;
use crate::cli::RunArgs;
use crate::command::{Finished, checks, jobs, offer};
use crate::config::Config;
use crate::connect;
use crate::engine::{self, Asked, Work};
use crate::events::Events;
use crate::failure::OrUsage as _;
use crate::job::JobStore;
use crate::measured::{EditTrial, Measurements};
use crate::message::EditFormat;
use crate::pending::PendingStore;
use crate::prompt::Prompts;
use crate::protocol::{Envelope, Event, Op, StartRequest};
use crate::provider::record::Recorder;
use crate::retrieve::{Library, Retriever};
use crate::role::{self, Caller, Model, RoleSpec, Roles, Sampling};
use crate::rules::Authority;
use crate::session::SessionLog;
use crate::turn::{Checks, Desk, Parts, Signer, Tries};
use crate::ui::{self, Audience, Colour, Ended, Settings};

pub async fn run(config: &Config, arguments: RunArgs) -> anyhow::Result<Finished> {
    let typed = arguments.check.as_deref().map(Check::typed).transpose();
    let typed = typed.or_usage("Write one command and its arguments, such as --check \"cargo test\".")?;
    let wanted = match (typed, arguments.no_check) {
        (Some(check), _) => Wanted::Typed(check),
        (None, true) => Wanted::None,
        (None, false) => Wanted::Approved,
    };
    let request = StartRequest { text: arguments.request.join(" "), tags: arguments.tag };
    if arguments.detach && config.job.is_none() {
        return jobs::detach(config, &request.text);
    }
    let tries = Tries {
        candidates: arguments.candidates.unwrap_or(config.tries.candidates),
        repairs: arguments.repairs.unwrap_or(config.tries.repairs),
    };
    if config.job.is_some() {
        // Away from the terminal that started it. An error means that this is so already.
        #[cfg(unix)]
        let _ = rustix::process::setsid();
    }
    let asks_after_failure = !arguments.json || arguments.ask_after_failure;
    let asks_about_checks = match arguments.json {
        true => arguments.ask_about_checks,
        false => settings(config).audience == Audience::Person,
    };
    let offers = match arguments.json {
        // Its standard input carries ops.
        true => offer::Offers::Told,
        false => offer::Offers::Asked,
    };
    let how =
        How { wanted, tries, asks_after_failure, asks_about_checks, offers, ..How::usual(Requests::One) };
    let mut engine = start(config, how).await?;
    let store = JobStore::in_folder(&config.data.jobs());
    let _held = config.job.as_deref().map(|job| store.begin(job, &engine.session)).transpose()?;
    engine.ops.send(Op::Start(request)).await.context("the engine ended at once")?;
    let ended = watch(config, &mut engine, arguments.json).await?;
    engine.stop().await;
    Ok(ended)
}

/// Watches one turn, for a program or a person.
pub async fn watch(config: &Config, engine: &mut Running, json: bool) -> anyhow::Result<Finished> {
    let ended = match json {
        true => ui::json::run(&mut engine.events, &engine.ops, ui::json::Life::OneTurn).await?,
        false => ui::terminal::run(&mut engine.events, &engine.ops, &settings(config)).await?,
    };
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
    let settings = Settings::for_streams(if config.color { Colour::On } else { Colour::Off });
    Settings { editor: config.editor.clone(), ..settings }
}

/// Which checks run.
#[derive(Debug, Clone)]
pub enum Wanted {
    None,
    /// Those that the owner has approved for this repository.
    Approved,
    /// This one.
    Typed(Check),
}

/// How requests are carried out.
#[derive(Debug, Clone)]
pub struct How {
    pub wanted: Wanted,
    pub tries: Tries,
    /// See [`Signer::asks_after_failure`].
    pub asks_after_failure: bool,
    /// See [`Signer::asks_about_checks`].
    pub asks_about_checks: bool,
    pub requests: Requests,
    /// What to do where there is no model.
    pub offers: offer::Offers,
    pub parts: Parts,
    /// How every role samples, instead of what its file says.
    pub sampling: Option<Sampling>,
}

impl How {
    /// Approved checks, and a person who is asked.
    pub fn usual(requests: Requests) -> How {
        How {
            wanted: Wanted::Approved,
            tries: Tries::default(),
            asks_after_failure: true,
            asks_about_checks: false,
            requests,
            offers: offer::Offers::Asked,
            parts: Parts::default(),
            sampling: None,
        }
    }
}

/// An engine at work, with the ends of its channels.
pub struct Running {
    /// Id of the session.
    pub session: String,
    pub ops: mpsc::Sender<Op>,
    pub events: mpsc::UnboundedReceiver<Envelope>,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts an engine for this work.
    pub fn start(
        session: String,
        work: impl Work,
        events: (Events, mpsc::UnboundedReceiver<Envelope>),
        asked: mpsc::Receiver<Asked>,
    ) -> Running {
        let (ops, task) = engine::start(work, events.0, asked);
        Running { session, ops, events: events.1, task }
    }

    /// Waits until the engine has ended. What it still says is in the session's log.
    pub async fn stop(self) {
        drop(self.ops);
        // An error would mean that the engine's task panicked; its turn has reported that.
        let _ = self.task.await;
    }
}

/// How many requests there will be: for many, the tree is watched in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requests {
    One,
    Many,
}

/// Finishes what an interrupted apply left, finds a model, opens the index, and starts engine and
/// roles.
pub async fn start(config: &Config, how: How) -> anyhow::Result<Running> {
    let prompts = Prompts::load(config.own("prompts").as_deref()).or_usage("Mend or remove that prompt.")?;
    let mut roles =
        Roles::load(config.own("roles").as_deref(), &prompts).or_usage("Mend or remove that role file.")?;
    if let Some(sampling) = how.sampling {
        for role in [&mut roles.architect, &mut roles.explorer, &mut roles.coder] {
            role.sampling = sampling;
        }
    }
    let recovered = apply::recover(&config.root, &config.data.journal())?;
    let recovered = recovered.iter().map(describe_recovery);
    let connected = match connect::connect(&config.model).await {
        Err(error) => offer::instead(config, how.offers, error).await?,
        connected => connected?,
    };
    let mut library = Library::open(&config.root, &config.data.index())?;
    if how.requests == Requests::Many {
        library.watch();
    }

    let (session, log) = SessionLog::create(&config.data.sessions(), &crate::clock::stamp())?;
    let (events, receiver) = Events::new(log);
    events.emit(Event::SessionStarted {
        session: session.clone(),
        root: config.root.display().to_string(),
        provider: connected.provider.describe(),
        model: connected.provider.model().to_owned(),
        window: connected.window,
        window_source: connected.window_source,
    });
    let authority = config.tightened();
    // Not the repository's rules: a check that it could stop would not be there to fail.
    let own = &config.authority.rules;
    let checks = match how.wanted {
        Wanted::None => Checks::These(Vec::new()),
        Wanted::Typed(check) => Checks::These(vec![checks::not_denied(check, own)?]),
        Wanted::Approved => Checks::Found(checks::finder(config)),
    };
    let problems = authority.rules.problems().to_vec();
    for note in connected.notes.into_iter().chain(recovered).chain(problems) {
        events.warn(note);
    }

    let kept = Measurements::in_folder(&config.measurements);
    let coder = config.model.for_roles.coder.as_deref().unwrap_or(connected.provider.model());
    let edits = kept.of(coder).edits;
    // Better on every model that was measured so far; a trial of this one decides.
    let tried = edits.as_ref().filter(|edits| edits.held.is_some());
    let holds_blocks = tried.is_none_or(EditTrial::is_better_held);
    let edit_forms = edits.map(|edits| edits.ranked()).unwrap_or_default();
    let mut model = Model::new(connected.provider, connected.window).measured_in(kept);
    model.constrained = how.parts.schema;
    if let Some(path) = &config.model.record {
        let recorder = Recorder::create(path, model.provider.model(), model.window, model.provider.draws())?;
        events.warn(format!("answers, which quote source code, are recorded in {}", path.display()));
        model = model.recorded(recorder);
    }
    let retriever = Retriever::new(library);
    let (prompts, roles) = (Arc::new(prompts), Arc::new(roles));
    let named = &config.model.for_roles;
    let of = |own: &Option<String>| -> anyhow::Result<Model> {
        Ok(match own {
            Some(name) if name != model.provider.model() => model.beside(model.provider.with_model(name)?),
            _ => model.clone(),
        })
    };
    let (architect_model, coder_model) = (of(&named.architect)?, of(&named.coder)?);
    let caller = |spec: &RoleSpec, model: &Model| {
        let model = model.clone();
        Caller { spec: spec.clone(), prompts: prompts.clone(), model, events: events.clone() }
    };
    let (mut signer, asked) = signer(config, authority, events.clone(), session.clone(), checks);
    signer.retriever = Some(retriever.clone());
    signer.asks_after_failure = how.asks_after_failure;
    signer.asks_about_checks = how.asks_about_checks;
    signer.note_checks()?;
    let (architect, coder) = (caller(&roles.architect, &architect_model), caller(&roles.coder, &coder_model));
    let explorer = caller(&roles.explorer, &of(&named.explorer)?);
    let reading_ahead = CancellationToken::new();
    if how.requests == Requests::Many {
        let format = edit_forms.first().copied().unwrap_or(EditFormat::ALL[0]);
        let rules = [&architect, &explorer, &coder].map(|caller| role::Rules::of(caller, format));
        let rules = rules.into_iter().collect::<Result<_, _>>()?;
        tokio::spawn(role::read_rules(rules, reading_ahead.clone()));
    }
    let desk = Desk {
        architect: role::spawn_architect(architect),
        explorer: role::spawn_explorer(explorer, retriever.clone()),
        coder: role::spawn_coder(coder),
        events: events.clone(),
        architect_model,
        coder_model,
        roles: roles.clone(),
        retriever,
        root: config.root.clone(),
        signer,
        edit_forms,
        holds_blocks,
        evidence_tokens: config.evidence_tokens,
        tries: how.tries,
        parts: how.parts,
        reading_ahead,
    };
    Ok(Running::start(session, desk, (events, receiver), asked))
}

/// The way to the owner and to the disk, with the end at which the engine hears what is asked.
pub fn signer(
    config: &Config,
    authority: Authority,
    events: Events,
    session: String,
    checks: Checks,
) -> (Signer, mpsc::Receiver<Asked>) {
    let (owner, asked) = mpsc::channel(1);
    let signer = Signer {
        events,
        session,
        root: config.root.clone(),
        journal: config.data.journal(),
        pending: PendingStore::in_folder(&config.data.pending()),
        authority,
        checks,
        runner: config.runner.clone(),
        retriever: None,
        asks_after_failure: true,
        asks_about_checks: false,
        told: Arc::default(),
        ids: Arc::default(),
        owner,
    };
    (signer, asked)
}
