//! Which model a session uses: what its owner named, or else what runs on this machine, or else a
//! model file of our own.
//!
//! Everything that was found out or assumed is said. It must not know roles.

use anyhow::Context as _;

use crate::cli::ProviderName;
use crate::config::ModelChoice;
use crate::failure::Failure;
use crate::provider::preset::Preset;
use crate::provider::{
    Anthropic, Embedded, Limits, Ollama, OpenAi, Provider, ProviderError, Scripted, Window, WindowKind,
    discover, embedded,
};
use crate::weights::Entry;

/// A provider that answered, and the window to work with.
pub struct Connected {
    pub provider: Provider,
    /// Tokens.
    pub window: u32,
    /// How the window is known, for people.
    pub window_source: String,
    /// What is worth knowing about the choice.
    pub notes: Vec<String>,
}

/// Finds the model.
///
/// # Errors
/// A server that does not answer, or no server at all: exit code 3. A script that cannot be read:
/// exit code 2.
pub async fn connect(choice: &ModelChoice) -> anyhow::Result<Connected> {
    let mut notes = Vec::new();
    let provider = match (choice.provider, &choice.script) {
        (Some(ProviderName::Scripted), Some(script)) => {
            Provider::Scripted(Scripted::open(script).map_err(unusable_script)?)
        }
        _ => found(choice, &mut notes).await?,
    };
    let (mut window, mut window_source) = window(&provider, choice, &mut notes).await?;
    // One number for the whole task: what fits the smallest model fits all.
    let roles = &choice.for_roles;
    for name in [&roles.architect, &roles.explorer, &roles.coder].into_iter().flatten() {
        if name != provider.model()
            && let Some(known) = provider.with_model(name)?.window().await?
            && known.ask(choice.window) < window
        {
            window = known.ask(choice.window);
            window_source = format!("{}, for {name}", known.source);
        }
    }
    Ok(Connected { provider, window, window_source, notes })
}

fn unusable_script(error: ProviderError) -> anyhow::Error {
    Failure::usage(error.to_string(), "fixtures/README.md describes the format.").into()
}

async fn found(choice: &ModelChoice, notes: &mut Vec<String>) -> anyhow::Result<Provider> {
    let is_own_file = choice.provider.is_none() && choice.model.as_deref().is_some_and(embedded::is_file);
    match (&choice.preset, &choice.url) {
        _ if choice.provider == Some(ProviderName::Embedded) => in_this_process(choice, notes),
        (Some(preset), _) => hosted(choice, preset, notes),
        (None, None) if is_own_file => in_this_process(choice, notes),
        (None, Some(url)) => named(choice, url).await,
        (None, None) => on_this_machine(choice, notes).await,
    }
}

/// A hosted service. Its models cost money, so none is chosen for its owner.
fn hosted(choice: &ModelChoice, preset: &Preset, notes: &mut Vec<String>) -> anyhow::Result<Provider> {
    let Some(model) = &choice.model else {
        let advice = "`countersign models list` with the same preset shows what there is.";
        return Err(Failure::usage(
            format!("{} needs the name of a model: --model NAME", preset.name),
            advice,
        )
        .into());
    };
    notes.push(format!("prompts, which hold source code, are sent to {} ({})", preset.name, preset.base_url));
    let key = choice.api_key.as_ref().map(|key| key.0.clone().into());
    Ok(preset.provider(key, model, Limits::default())?)
}

/// The server that is meant, whichever model: a preset, an address, or Ollama on this machine.
///
/// # Errors
/// An address or a key that cannot be used.
pub fn server(choice: &ModelChoice) -> anyhow::Result<Provider> {
    let model = choice.model.as_deref().unwrap_or_default();
    Ok(match (&choice.preset, &choice.url) {
        (Some(preset), _) => {
            let key = choice.api_key.as_ref().map(|key| key.0.clone().into());
            preset.provider(key, model, Limits::default())?
        }
        (None, Some(url)) => at(choice, url, model)?,
        (None, None) => {
            // The first of the usual places is Ollama's, which is the one that manages models.
            let places = discover::usual_places(choice.ollama_host.as_deref());
            places.first().context("there is a usual place")?.provider(model, Limits::default())?
        }
    })
}

/// The server at an address that its owner gave. Without a kind, Ollama's own port means Ollama.
fn at(choice: &ModelChoice, url: &str, model: &str) -> Result<Provider, ProviderError> {
    let kind = choice.provider.unwrap_or(match url.trim_end_matches('/').ends_with(":11434") {
        true => ProviderName::Ollama,
        false => ProviderName::Openai,
    });
    let key = choice.api_key.as_ref().map(|key| key.0.clone().into());
    let limits = Limits::default();
    Ok(match kind {
        ProviderName::Ollama => Provider::Ollama(Ollama::new(url, model, limits)?),
        ProviderName::Anthropic => {
            let bare = url.trim_end_matches('/');
            let base = bare.strip_suffix("/v1").unwrap_or(bare);
            Provider::Anthropic(Anthropic::new(base, key, model, limits)?)
        }
        // The last two have no address, which the configuration has checked.
        ProviderName::Openai | ProviderName::Embedded | ProviderName::Scripted => {
            Provider::OpenAi(OpenAi::new(&with_version(url), key, model, limits)?)
        }
    })
}

async fn named(choice: &ModelChoice, url: &str) -> anyhow::Result<Provider> {
    if let Some(model) = &choice.model {
        return Ok(at(choice, url, model)?);
    }
    let models = at(choice, url, "")?.models().await?;
    let best = discover::best(&models).with_context(|| format!("{url} offers no model that can answer"));
    Ok(at(choice, url, &best.map_err(|error| no_model(choice, error.to_string()))?.name)?)
}

/// Most people write the address of a server without the version that its paths begin with.
fn with_version(url: &str) -> String {
    let bare = url.trim_end_matches('/');
    let has_path = bare.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if has_path { bare.to_owned() } else { format!("{bare}/v1") }
}

async fn on_this_machine(choice: &ModelChoice, notes: &mut Vec<String>) -> anyhow::Result<Provider> {
    let places = places(choice);
    let discovery = discover::discover(&places, choice.model.as_deref()).await;
    let Some(chosen) = discovery.choice else {
        let ours = match &choice.model {
            Some(model) => choice.weights.find(model).is_some(),
            None => !embedded::here(&choice.weights).is_empty(),
        };
        if choice.provider.is_none() && ours {
            return in_this_process(choice, notes);
        }
        let tried: Vec<String> = discovery.found.iter().map(describe).collect();
        let wanted = match &choice.model {
            Some(model) => format!("no server on this machine offers the model {model:?}"),
            None => "no model server answers on this machine".to_owned(),
        };
        return Err(no_model(choice, format!("{wanted}: {}", tried.join("; "))));
    };
    notes.push(format!(
        "using {} of {} at {} ({})",
        chosen.model,
        chosen.place.kind.name(),
        chosen.place.url,
        chosen.why
    ));
    Ok(chosen.place.provider(&chosen.model, Limits::default())?)
}

/// The model file that is named, or the best one that is here.
fn in_this_process(choice: &ModelChoice, notes: &mut Vec<String>) -> anyhow::Result<Provider> {
    let Some(model) = choice.model.clone().or_else(|| embedded::best(&choice.weights)) else {
        return Err(no_model(choice, "no model file is here".to_owned()));
    };
    let provider = Provider::Embedded(Embedded::open(&choice.weights, &model)?);
    notes.push(format!("using {} in {}", provider.model(), provider.describe()));
    Ok(provider)
}

/// A model that could be got for who has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub entry: Entry,
    /// Whether it fits the memory that is free now.
    pub fits: bool,
}

/// The model to offer when there was none to connect to: the one that was named, or the first of the
/// manifest that fits the memory. `None` where another server was meant, or a model is here.
pub fn offer(choice: &ModelChoice) -> Option<Offer> {
    let elsewhere = choice.preset.is_some() || choice.url.is_some() || choice.script.is_some();
    let ours = matches!(choice.provider, None | Some(ProviderName::Embedded));
    if elsewhere || !ours {
        return None;
    }
    let offered = |entry: &Entry| Offer { entry: entry.clone(), fits: embedded::fits(entry.bytes) };
    let weights = &choice.weights;
    if let Some(model) = &choice.model {
        return weights.manifest.named(model).filter(|entry| !weights.store.has(entry)).map(offered);
    }
    if !weights.here().is_empty() {
        return None;
    }
    let all: Vec<Offer> = weights.manifest.models().iter().filter(|entry| entry.offer).map(offered).collect();
    all.iter().find(|offer| offer.fits).or(all.last()).cloned()
}

/// Where to look, given what is already decided.
pub fn places(choice: &ModelChoice) -> Vec<discover::Place> {
    let mut places = discover::usual_places(choice.ollama_host.as_deref());
    places.retain(|place| match choice.provider {
        Some(ProviderName::Ollama) => place.kind == discover::ServerKind::Ollama,
        Some(ProviderName::Openai | ProviderName::Anthropic) => place.kind != discover::ServerKind::Ollama,
        Some(ProviderName::Embedded) => false,
        Some(ProviderName::Scripted) | None => true,
    });
    places
}

/// What one place answered, in a line.
pub fn describe(found: &discover::Found) -> String {
    let answer = match &found.models {
        Ok(models) if models.is_empty() => "it has no model".to_owned(),
        Ok(models) => format!("{} models", models.len()),
        Err(error) => error.to_string(),
    };
    format!("{} at {}: {answer}", found.place.kind.name(), found.place.url)
}

pub fn no_model(choice: &ModelChoice, message: String) -> anyhow::Error {
    let start = "start a server (such as `ollama serve` and `ollama pull qwen2.5-coder:1.5b`), or name one with --url";
    let advice = match offer(choice) {
        Some(Offer { entry, .. }) => format!(
            "Get a model that runs without a server: `countersign models pull {}` ({:.1} GB, {}). Or {start}.",
            entry.name,
            entry.bytes as f64 / 1e9,
            entry.licence
        ),
        None => format!("{}{}.", start[..1].to_uppercase(), &start[1..]),
    };
    Failure { kind: crate::failure::Kind::Provider, message, advice }.into()
}

/// The window to work with, and how it is known.
async fn window(
    provider: &Provider,
    choice: &ModelChoice,
    notes: &mut Vec<String>,
) -> Result<(u32, String), ProviderError> {
    let wanted = choice.window;
    let preset = choice.preset.as_ref().and_then(|preset| preset.window);
    let Some(known) = provider.window().await? else {
        let (tokens, source) = match (wanted, preset) {
            (Some(tokens), _) => (tokens, "--window or config.toml"),
            (None, Some(tokens)) => (tokens, "the preset"),
            (None, None) => (Window::USUAL, "assumed"),
        };
        if source == "assumed" {
            notes.push(format!(
                "the server does not say its context window; {tokens} tokens are assumed (see --window)"
            ));
        }
        return Ok((tokens, source.to_owned()));
    };
    if wanted.is_none()
        && known.kind == WindowKind::Maximum
        && let Some(sized) = provider.sized(choice.cache_type.as_deref()).await
    {
        return Ok((sized.tokens, format!("sized for this machine: {}", sized.why)));
    }
    let tokens = known.ask(wanted);
    if wanted.is_some_and(|wanted| wanted > tokens) {
        notes.push(format!("the model's window is {tokens} tokens, less than what was asked for"));
    }
    Ok((tokens, known.source.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_the_version() {
        assert_eq!(with_version("http://127.0.0.1:8080"), "http://127.0.0.1:8080/v1");
        assert_eq!(with_version("http://127.0.0.1:8080/"), "http://127.0.0.1:8080/v1");
        assert_eq!(with_version("https://host/api/v1"), "https://host/api/v1");
    }

    #[test]
    fn the_kind_narrows_where_to_look() {
        let of = |provider| places(&ModelChoice { provider, ..ModelChoice::default() }).len();
        assert_eq!((of(None), of(Some(ProviderName::Ollama)), of(Some(ProviderName::Openai))), (3, 1, 2));
    }
}
