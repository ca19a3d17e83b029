//! `countersign models`: what servers offer, what is known about a model, getting one, choosing one.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::cli::{ModelShowArgs, ModelsArgs, ModelsCommand};
use crate::command::json;
use crate::config::{Config, set_model};
use crate::connect;
use crate::failure::{Failure, OrUsage as _};
use crate::measured::{EditTrial, Measurements};
use crate::provider::{ModelInfo, ModelKind, Provider, discover};
use crate::sanitize::visible;
use crate::ui;

/// One row of the list.
#[derive(Debug, Serialize)]
struct Row {
    server: String,
    name: String,
    bytes: Option<u64>,
    loaded: bool,
    window: Option<u32>,
    /// False for models that only make vectors.
    chat: bool,
}

/// What is known about one model.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    server: String,
    window: u32,
    window_source: String,
    /// Prompts that its server has counted.
    counted: usize,
    /// By how much the estimate of tokens is off on average, as a share.
    estimate_error: Option<f64>,
    /// The built-in edits, by form.
    edits: Option<EditTrial>,
}

pub async fn models(config: &Config, arguments: ModelsArgs) -> anyhow::Result<String> {
    match arguments.command {
        ModelsCommand::List(arguments) => list(config, arguments.json).await,
        ModelsCommand::Show(arguments) => show(config, arguments).await,
        ModelsCommand::Pull(arguments) => pull(config, &arguments.model).await,
        ModelsCommand::Use(arguments) => choose(config, &arguments.model).await,
    }
}

async fn list(config: &Config, as_json: bool) -> anyhow::Result<String> {
    let row = |server: &str, model: &ModelInfo| Row {
        server: server.to_owned(),
        name: model.name.clone(),
        bytes: model.bytes,
        loaded: model.loaded,
        window: model.window,
        chat: model.kind == ModelKind::Chat,
    };
    let mut rows = Vec::new();
    let mut silent = Vec::new();
    if config.model.preset.is_some() || config.model.url.is_some() {
        let provider = connect::server(&config.model)?;
        rows.extend(provider.models().await?.iter().map(|model| row(&provider.describe(), model)));
    } else {
        for found in discover::discover(&connect::places(&config.model), None).await.found {
            match &found.models {
                Ok(models) => rows.extend(models.iter().map(|model| row(found.place.kind.name(), model))),
                Err(error) => silent.push(error.to_string()),
            }
        }
    }
    if rows.is_empty() {
        let what = if silent.is_empty() { "no server has a model".into() } else { silent.join("; ") };
        return Err(connect::no_model(what));
    }
    if as_json {
        return json(&rows);
    }
    let mut page = String::new();
    for row in &rows {
        let size = row.bytes.map(|bytes| format!(", {:.1} GB", bytes as f64 / 1e9)).unwrap_or_default();
        let window = row.window.map(|tokens| format!(", window {tokens}")).unwrap_or_default();
        let loaded = if row.loaded { ", loaded" } else { "" };
        let kind = if row.chat { "" } else { ", for vectors only" };
        // Writing to a string cannot fail.
        let _ =
            writeln!(page, "{}  ({}{size}{window}{loaded}{kind})", visible(&row.name), visible(&row.server));
    }
    Ok(page)
}

async fn show(config: &Config, arguments: ModelShowArgs) -> anyhow::Result<String> {
    let connected = connect::connect(&config.model).await?;
    let measured = Measurements::in_folder(&config.measurements).of(connected.provider.model());
    let shown = Shown {
        name: connected.provider.model().to_owned(),
        server: connected.provider.describe(),
        window: connected.window,
        window_source: connected.window_source,
        counted: measured.tokens.samples(),
        estimate_error: measured.tokens.error(),
        edits: measured.edits,
    };
    if arguments.json {
        return json(&shown);
    }
    let mut page = String::new();
    let _ = writeln!(page, "{} of {}", visible(&shown.name), visible(&shown.server));
    let _ = writeln!(page, "window   {} tokens ({})", shown.window, visible(&shown.window_source));
    let _ = writeln!(page, "tokens   {}", estimate(shown.counted, shown.estimate_error));
    let _ = writeln!(page, "edits    {}", trial(shown.edits.as_ref()));
    Ok(page)
}

/// How well tokens are estimated, in a line.
pub(super) fn estimate(counted: usize, error: Option<f64>) -> String {
    match error {
        None => "estimated; nothing was counted yet".to_owned(),
        Some(error) => {
            format!("estimated from {counted} counted prompts, off by {:.1}% on average", error * 100.0)
        }
    }
}

/// What is right in each form, the best first, in a line.
pub(super) fn trial(edits: Option<&EditTrial>) -> String {
    let Some(edits) = edits else { return "not tried yet; `countersign doctor --trial` does".to_owned() };
    let forms = edits.ranked().into_iter().map(|form| {
        let score = edits.forms[&form];
        format!("{} of {} as {}", score.right, score.tried, form.describe())
    });
    format!("tiny ones right: {}", forms.collect::<Vec<_>>().join(", "))
}

async fn pull(config: &Config, model: &str) -> anyhow::Result<String> {
    let server = connect::server(&config.model)?;
    let Provider::Ollama(ollama) = &server else {
        let advice = "Only Ollama loads models by name; give other servers a file when they start.";
        return Err(Failure::usage(format!("{} cannot pull models", server.describe()), advice).into());
    };
    let bar = ui::progress::bytes();
    let pulled =
        ollama.pull(model, |progress| bar.show(&progress.status, progress.done, progress.total)).await;
    bar.clear();
    pulled?;
    Ok(format!(
        "{} is there; `countersign models use {}` makes it the default\n",
        visible(model),
        visible(model)
    ))
}

async fn choose(config: &Config, model: &str) -> anyhow::Result<String> {
    ensure!(!model.trim().is_empty(), "the name of the model is empty");
    // A name that no server knows would only fail later.
    let connected = connect::connect(&config.model).await?;
    let path = config.config_dir.join("config.toml");
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let after = set_model(&before, model).or_usage("Set `model` in config.toml by hand.")?;
    std::fs::create_dir_all(&config.config_dir)
        .with_context(|| format!("cannot create {}", config.config_dir.display()))?;
    std::fs::write(&path, after).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(format!(
        "{} of {} is the default now ({})\n",
        visible(model),
        visible(&connected.provider.describe()),
        path.display()
    ))
}
