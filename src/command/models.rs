//! `countersign models`: what is here and what servers offer, what is known about a model, getting one,
//! choosing one, removing one.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::cli::{ModelArgs, ModelShowArgs, ModelsArgs, ModelsCommand, ProviderName};
use crate::command::{json, offer};
use crate::config::{Config, set_model};
use crate::connect;
use crate::failure::{Failure, OrUsage as _};
use crate::measured::{EditTrial, Measurements};
use crate::provider::{ModelInfo, ModelKind, Provider, discover, embedded};
use crate::sanitize::visible;
use crate::ui;
use crate::weights::{Checked, Entry};

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
    /// A file that `countersign models pull` would get; it is not here yet.
    to_get: bool,
    /// Of a model file, where it is known.
    licence: Option<String>,
    /// Of a model file: whether it fits the memory that is free now.
    fits: Option<bool>,
}

impl Row {
    fn of(server: &str, model: &ModelInfo) -> Row {
        Row {
            server: server.to_owned(),
            name: model.name.clone(),
            bytes: model.bytes,
            loaded: model.loaded,
            window: model.window,
            chat: model.kind == ModelKind::Chat,
            to_get: false,
            licence: None,
            fits: None,
        }
    }

    /// A model file that is here, with what the manifest says about it, if it is one of its.
    fn here(model: &ModelInfo, entry: Option<&Entry>) -> Row {
        let licence = entry.map(|entry| entry.licence.clone());
        Row { licence, fits: model.bytes.map(embedded::fits), ..Row::of("this process", model) }
    }

    fn to_get(entry: &Entry) -> Row {
        Row {
            server: "this process".to_owned(),
            name: entry.name.clone(),
            bytes: Some(entry.bytes),
            loaded: false,
            window: Some(entry.context),
            chat: true,
            to_get: true,
            licence: Some(entry.licence.clone()),
            fits: Some(embedded::fits(entry.bytes)),
        }
    }
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
        ModelsCommand::Pull(arguments) => pull(config, &arguments).await,
        ModelsCommand::Rm(arguments) => remove(config, &arguments.model),
        ModelsCommand::Verify(arguments) => verify(config, &arguments.model),
        ModelsCommand::Use(arguments) => choose(config, &arguments.model).await,
    }
}

async fn list(config: &Config, as_json: bool) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    let mut silent = Vec::new();
    if config.model.preset.is_some() || config.model.url.is_some() {
        let provider = connect::server(&config.model)?;
        rows.extend(provider.models().await?.iter().map(|model| Row::of(&provider.describe(), model)));
    } else {
        for found in discover::discover(&connect::places(&config.model), None).await.found {
            match &found.models {
                Ok(models) => rows.extend(models.iter().map(|model| Row::of(found.place.kind.name(), model))),
                Err(error) => silent.push(error.to_string()),
            }
        }
        if matches!(config.model.provider, None | Some(ProviderName::Embedded)) {
            let weights = &config.model.weights;
            let here = embedded::here(weights);
            rows.extend(here.iter().map(|model| Row::here(model, weights.manifest.named(&model.name))));
            let missing = weights.manifest.models().iter().filter(|entry| !weights.store.has(entry));
            rows.extend(missing.map(Row::to_get));
        }
    }
    if rows.is_empty() {
        let what = if silent.is_empty() { "no server has a model".into() } else { silent.join("; ") };
        return Err(connect::no_model(&config.model, what));
    }
    if as_json {
        return json(&rows);
    }
    let mut page = String::new();
    let mut ask_to_get = true;
    for row in &rows {
        if row.to_get && std::mem::take(&mut ask_to_get) {
            page.push_str("\nto get with `countersign models pull NAME`:\n");
        }
        let size = row.bytes.map(|bytes| format!(", {:.1} GB", bytes as f64 / 1e9)).unwrap_or_default();
        let window = row.window.map(|tokens| format!(", window {tokens}")).unwrap_or_default();
        let loaded = if row.loaded { ", loaded" } else { "" };
        let kind = if row.chat { "" } else { ", for vectors only" };
        let licence = row.licence.as_ref().map(|licence| format!(", {licence}")).unwrap_or_default();
        let fits = if row.fits == Some(false) { ", more than the memory that is free" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "{}  ({}{size}{window}{loaded}{kind}{}{fits})",
            visible(&row.name),
            visible(&row.server),
            visible(&licence)
        );
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
    let held = edits.held.map(|held| {
        let used = if edits.is_better_held() { "used" } else { "not used" };
        format!("{} of {} as blocks held to the shown lines ({used})", held.right, held.tried)
    });
    format!("tiny ones right: {}", forms.chain(held).collect::<Vec<_>>().join(", "))
}

async fn pull(config: &Config, arguments: &ModelArgs) -> anyhow::Result<String> {
    let model = arguments.model.as_str();
    let choice = &config.model;
    let entry = choice.weights.manifest.named(model);
    let named_server = choice.url.is_some() || choice.preset.is_some();
    // A colon is how Ollama writes it.
    let ours = match choice.provider {
        Some(ProviderName::Embedded) => true,
        Some(_) => false,
        None => !named_server && !model.contains(':') && entry.is_some(),
    };
    if ours {
        let Some(entry) = entry else { return Err(unknown(config, model)) };
        let path = offer::get(choice, entry).await.map_err(|error| Failure {
            kind: crate::failure::Kind::Provider,
            message: format!("{error:#}"),
            advice: "What has come is kept: the same command goes on from there. HF_ENDPOINT names a mirror of huggingface.co.".into(),
        })?;
        return Ok(format!(
            "{} is in {}; licence: {}\n`countersign models use {}` makes it the default\n",
            entry.name,
            path.display(),
            entry.licence,
            entry.name
        ));
    }
    let server = connect::server(choice)?;
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

fn remove(config: &Config, model: &str) -> anyhow::Result<String> {
    let weights = &config.model.weights;
    let Some(entry) = weights.manifest.named(model) else { return Err(unknown(config, model)) };
    let bytes = weights.store.remove(entry).or_usage("`countersign models list` shows what is here.")?;
    Ok(format!("{} is gone; {:.2} GB are free again\n", entry.name, bytes as f64 / 1e9))
}

fn verify(config: &Config, model: &str) -> anyhow::Result<String> {
    let weights = &config.model.weights;
    let Some(entry) = weights.manifest.named(model) else { return Err(unknown(config, model)) };
    let checked = weights.store.verify(entry);
    match checked.or_usage("`countersign models list` shows what is here.")? {
        Checked::Whole => Ok(format!("{} is whole: sha256 {}\n", entry.name, entry.sha256)),
        Checked::Damaged => {
            let what = format!("{} is not what it should be", weights.store.path(entry).display());
            let advice = format!("`countersign models pull {}` gets it anew.", entry.name);
            Err(Failure::usage(what, advice).into())
        }
    }
}

/// The error for a name that the manifest does not have.
fn unknown(config: &Config, model: &str) -> anyhow::Error {
    let all = config.model.weights.manifest.models().iter();
    let names: Vec<&str> = all.map(|entry| entry.name.as_str()).collect();
    let advice =
        format!("There are {}; a file of your own is used with --model PATH.gguf.", names.join(", "));
    Failure::usage(format!("no model is called {model:?}"), advice).into()
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
