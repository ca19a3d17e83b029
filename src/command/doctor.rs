//! `countersign doctor`: what runs on this machine, and what would be used.

use std::fmt::Write as _;

use serde::Serialize;

use crate::check::run::Sandbox;
use crate::cli::DoctorArgs;
use crate::command::trial::{self, SchemaKept, Trial};
use crate::command::{json, models};
use crate::config::Config;
use crate::connect;
use crate::measured::{EditTrial, Measurements};
use crate::prompt::Prompts;
use crate::provider::{Memory, discover};
use crate::role::Roles;
use crate::sanitize::visible;
use crate::ui;

/// Everything that `doctor` finds out. It asks servers on this machine, or the one that is named,
/// and nobody else.
#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    root: String,
    data_dir: String,
    config_dir: String,
    /// The usual places, whether or not one of them is used.
    servers: Vec<Server>,
    /// What a run would use now.
    chosen: Result<Chosen, String>,
    /// What holds checks back.
    sandbox: Result<Sandbox, String>,
    /// What is wrong with the user's own roles or prompts, if anything.
    roles: Result<&'static str, String>,
}

#[derive(Debug, Serialize)]
struct Server {
    kind: &'static str,
    url: String,
    millis: u64,
    models: Vec<Model>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Model {
    name: String,
    bytes: Option<u64>,
    loaded: bool,
    /// Bytes of the loaded model in all, and those on a GPU.
    memory: Option<Memory>,
    window: Option<u32>,
}

#[derive(Debug, Serialize)]
struct Chosen {
    provider: String,
    model: String,
    window: u32,
    window_source: String,
    notes: Vec<String>,
    /// Prompts of this model that its server has counted, and the average error of our estimate.
    counted: usize,
    estimate_error: Option<f64>,
    /// The built-in edits, by form.
    edits: Option<EditTrial>,
    /// What was tried out just now.
    trial: Option<Result<Trial, String>>,
}

pub async fn doctor(config: &Config, arguments: DoctorArgs) -> anyhow::Result<String> {
    let places = discover::usual_places(config.model.ollama_host.as_deref());
    let discovery = discover::discover(&places, None).await;
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        root: config.root.display().to_string(),
        data_dir: config.data.folder().display().to_string(),
        config_dir: config.config_dir.display().to_string(),
        servers: discovery.found.iter().map(server).collect(),
        chosen: chosen(config, arguments.trial.then_some(Try)).await,
        sandbox: config.runner.sandbox().await.map_err(|error| format!("{error:#}")),
        roles: roles(config).map(|()| "ok").map_err(|error| format!("{error:#}")),
    };
    if arguments.json { json(&report) } else { Ok(render(&report)) }
}

fn server(found: &discover::Found) -> Server {
    let models = found.models.as_deref().unwrap_or_default();
    Server {
        kind: found.place.kind.name(),
        url: found.place.url.clone(),
        millis: found.millis,
        models: models
            .iter()
            .map(|model| Model {
                name: model.name.clone(),
                bytes: model.bytes,
                loaded: model.loaded,
                memory: model.memory,
                window: model.window,
            })
            .collect(),
        error: found.models.as_ref().err().map(|error| error.to_string()),
    }
}

/// That the model is to be tried out.
struct Try;

async fn chosen(config: &Config, asked: Option<Try>) -> Result<Chosen, String> {
    let connected = connect::connect(&config.model).await.map_err(|error| format!("{error:#}"))?;
    let kept = Measurements::in_folder(&config.measurements);
    let mut measured = kept.of(connected.provider.model());
    let mut tried = None;
    if asked.is_some() {
        let result = run_trial(config, &connected).await.map_err(|error| format!("{error:#}"));
        if let Ok(trial) = &result {
            measured.edits = Some(trial.edits.clone());
            kept.keep(&measured).map_err(|error| format!("{error:#}"))?;
        }
        tried = Some(result);
    }
    Ok(Chosen {
        provider: connected.provider.describe(),
        model: connected.provider.model().to_owned(),
        window: connected.window,
        window_source: connected.window_source,
        notes: connected.notes,
        counted: measured.tokens.samples(),
        estimate_error: measured.tokens.error(),
        edits: measured.edits,
        trial: tried,
    })
}

async fn run_trial(config: &Config, connected: &connect::Connected) -> anyhow::Result<Trial> {
    let prompts = Prompts::load(config.own("prompts").as_deref())?;
    let roles = Roles::load(config.own("roles").as_deref(), &prompts)?;
    let line = ui::progress::line();
    let trial =
        trial::run(&connected.provider, connected.window, &prompts, &roles, |what| line.show(what, 0, None))
            .await;
    line.clear();
    trial
}

fn roles(config: &Config) -> anyhow::Result<()> {
    let prompts = Prompts::load(config.own("prompts").as_deref())?;
    Roles::load(config.own("roles").as_deref(), &prompts).map(drop)
}

fn tried(trial: &Trial) -> String {
    let speed =
        |per_second: Option<f64>| per_second.map_or("unknown".to_owned(), |n| format!("{n:.1} tokens/s"));
    let schema = match trial.schema {
        SchemaKept::Kept => "kept",
        SchemaKept::Ignored => "ignored: answers are only validated",
        SchemaKept::Refused => "refused by the server: answers are only validated",
    };
    format!(
        "  speed: prompt {}, answer {}, first token after {} ms\n  streaming: {}\n  schema: {schema}\n  tool calls: {}\n",
        speed(trial.prompt_per_second),
        speed(trial.answer_per_second),
        trial.first_token_ms,
        if trial.streams { "yes" } else { "no, answers come in one piece" },
        trial.dialect,
    )
}

/// How much of a model is on which processor.
fn split(memory: Memory) -> String {
    match (memory.on_gpu, memory.bytes) {
        (0, _) => "on the CPU".to_owned(),
        (on_gpu, bytes) if on_gpu >= bytes => "on the GPU".to_owned(),
        (on_gpu, bytes) => {
            let share = (on_gpu as f64 * 100.0 / bytes as f64) as u8;
            format!("{share}% on the GPU and {}% on the CPU, which is slower", 100 - share)
        }
    }
}

fn render(report: &Report) -> String {
    let mut text = String::new();
    let page = &mut text;
    // Writing to a string cannot fail.
    let _ = writeln!(page, "countersign {}", report.version);
    let _ = writeln!(page, "repository     {}", visible(&report.root));
    let _ = writeln!(page, "data           {}", visible(&report.data_dir));
    let _ = writeln!(page, "configuration  {}", visible(&report.config_dir));
    let sandbox = report.sandbox.as_ref().map_or_else(|error| error, |sandbox| &sandbox.description);
    let _ = writeln!(page, "checks         {}", visible(sandbox));
    if let Err(error) = &report.roles {
        let _ = writeln!(page, "roles          {}", visible(error));
    }
    let _ = writeln!(page, "\nmodel servers");
    for server in &report.servers {
        match &server.error {
            Some(error) => {
                let _ = writeln!(page, "  {:10} {}", server.kind, visible(error));
            }
            None => {
                let _ =
                    writeln!(page, "  {:10} {} ({} ms)", server.kind, visible(&server.url), server.millis);
            }
        }
        for model in &server.models {
            let size = model.bytes.map(|bytes| format!(", {:.1} GB", bytes as f64 / 1e9)).unwrap_or_default();
            let window = model.window.map(|tokens| format!(", window {tokens}")).unwrap_or_default();
            let loaded = match model.memory {
                Some(memory) => format!(", loaded {}", split(memory)),
                None if model.loaded => ", loaded".to_owned(),
                None => String::new(),
            };
            let _ = writeln!(page, "             {}{size}{window}{loaded}", visible(&model.name));
        }
    }
    let _ = writeln!(page, "\na run would use");
    match &report.chosen {
        Ok(chosen) => {
            let _ = writeln!(page, "  {} of {}", visible(&chosen.model), visible(&chosen.provider));
            let _ = writeln!(page, "  window {} tokens ({})", chosen.window, visible(&chosen.window_source));
            let _ = writeln!(page, "  tokens {}", models::estimate(chosen.counted, chosen.estimate_error));
            let _ = writeln!(page, "  edits {}", models::trial(chosen.edits.as_ref()));
            match &chosen.trial {
                None => {}
                Some(Err(error)) => {
                    let _ = writeln!(page, "  the trial failed: {}", visible(error));
                }
                Some(Ok(trial)) => page.push_str(&tried(trial)),
            }
            for note in &chosen.notes {
                let _ = writeln!(page, "  note: {}", visible(note));
            }
        }
        Err(error) => {
            let _ = writeln!(page, "  nothing: {}", visible(error));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_model_lies_is_told_whatever_a_server_claims() {
        let told = |bytes, on_gpu| split(Memory { bytes, on_gpu });
        assert_eq!(told(10, 0), "on the CPU");
        assert_eq!(told(10, 10), "on the GPU");
        assert_eq!(told(10, 4), "40% on the GPU and 60% on the CPU, which is slower");
        assert_eq!(told(0, 7), "on the GPU");
        assert!(told(u64::MAX, u64::MAX - 1).contains("GPU"));
    }
}
