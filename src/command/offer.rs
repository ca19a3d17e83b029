//! Where there is no model: the offer to get one, and getting it.

use std::path::PathBuf;

use crate::command::run;
use crate::config::{Config, ModelChoice};
use crate::connect::{self, Connected, Offer};
use crate::ui;
use crate::weights::{Entry, Patience, fetch};

/// Who hears an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offers {
    /// Whoever sits at the terminal, if there is one.
    Asked,
    /// Nobody is asked; the error says what could be got.
    Told,
}

/// What to do instead of failing with `error`: offer a model, get it, and connect to it.
///
/// # Errors
/// The same error if there is nothing to offer, nobody to ask, or no wish for it; and whatever goes
/// wrong with getting it.
pub async fn instead(config: &Config, offers: Offers, error: anyhow::Error) -> anyhow::Result<Connected> {
    let settings = run::settings(config);
    let Some(Offer { entry, fits }) = connect::offer(&config.model) else { return Err(error) };
    if offers == Offers::Told || settings.audience == ui::Audience::Nobody {
        return Err(error);
    }
    let size = entry.bytes as f64 / 1e9;
    let missing = match (&config.model.model, config.model.provider) {
        (Some(model), _) => format!("The model {model} is not here"),
        (None, Some(_)) => "No model file is here".to_owned(),
        (None, None) => "No model server answers".to_owned(),
    };
    let question = format!(
        "{missing}. Get {} ({size:.1} GB, licence: {}) and run it in this process?{}",
        entry.title,
        entry.licence,
        if fits { "" } else { " It does not fit the memory that is free now." },
    );
    if !ui::terminal::agrees(&question, fits, settings.colour).await? {
        return Err(error);
    }
    get(&config.model, &entry).await?;
    let model = ModelChoice { model: Some(entry.name.clone()), ..config.model.clone() };
    connect::connect(&model).await
}

/// Gets a model's file, with a bar for whoever watches.
///
/// # Errors
/// What each source did wrong, or a disk that is full.
pub async fn get(choice: &ModelChoice, entry: &Entry) -> anyhow::Result<PathBuf> {
    let weights = &choice.weights;
    let bar = ui::progress::bytes();
    let mut told = |progress: fetch::Progress<'_>| {
        let what = format!("{} from {}", entry.name, progress.what);
        bar.show(&what, progress.done, Some(progress.total));
    };
    let got = fetch::pull(&weights.store, entry, &weights.hub, Patience::default(), &mut told).await;
    bar.clear();
    got
}
