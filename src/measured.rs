//! What is known about a model by measurement, kept between sessions: one small file a model.
//!
//! Everything in it can be measured again, so a file that cannot be read is begun anew. It must not
//! know how anything is measured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::message::EditFormat;
use crate::tokens::Calibration;

/// The measurements of one model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Its name, for people who look into the file.
    pub model: String,
    pub tokens: Calibration,
    pub edits: Option<EditTrial>,
}

/// How a model did on the built-in set of tiny edits, by the form in which it was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditTrial {
    pub forms: BTreeMap<EditFormat, Score>,
    /// Blocks whose searches were held to the lines that are shown, where the model can be held so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Score>,
}

/// Edits in one form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    pub tried: u32,
    pub right: u32,
}

impl Score {
    pub fn add(&mut self, right: bool) {
        self.tried += 1;
        self.right += u32::from(right);
    }
}

impl EditTrial {
    /// Whether blocks came out better when their searches were held to the lines that are shown.
    pub fn is_better_held(&self) -> bool {
        let free = self.forms.get(&EditFormat::SearchReplace).copied().unwrap_or_default();
        // In whole numbers: right / tried of both, multiplied out.
        self.held.is_some_and(|held| held.right * free.tried > free.right * held.tried)
    }

    /// The forms by the share that was right, the best first; among equals the order of
    /// [`EditFormat::ALL`]. Blocks count as they would be asked for: held, where that is better.
    pub fn ranked(&self) -> Vec<EditFormat> {
        let mut forms: Vec<EditFormat> =
            EditFormat::ALL.into_iter().filter(|form| self.forms.contains_key(form)).collect();
        // Stable, and in whole numbers: right / tried of two forms, multiplied out.
        forms.sort_by(|a, b| {
            let score = |form: &EditFormat| match (form, self.held) {
                (EditFormat::SearchReplace, Some(held)) if self.is_better_held() => held,
                _ => self.forms[form],
            };
            let (a, b) = (score(a), score(b));
            (b.right * a.tried).cmp(&(a.right * b.tried))
        });
        forms
    }
}

/// Where the measurements of all models are.
#[derive(Debug, Clone)]
pub struct Measurements {
    folder: PathBuf,
}

impl Measurements {
    pub fn in_folder(folder: &Path) -> Measurements {
        Measurements { folder: folder.to_owned() }
    }

    /// What is known about a model; nothing, where there is no file or it cannot be read.
    pub fn of(&self, model: &str) -> Measured {
        let text = std::fs::read_to_string(self.path(model)).unwrap_or_default();
        let read = serde_json::from_str::<Measured>(&text).ok().filter(|known| known.model == model);
        read.unwrap_or_else(|| Measured { model: model.to_owned(), ..Measured::default() })
    }

    /// Keeps what is known, replacing the file as a whole.
    pub fn keep(&self, measured: &Measured) -> anyhow::Result<()> {
        crate::disk::private_folder(&self.folder)?;
        let path = self.path(&measured.model);
        let json = serde_json::to_vec(measured).context("measurements cannot be written as JSON")?;
        crate::disk::replace(&path, &json)
    }

    /// Names of models hold slashes and colons, and differ in case on some systems only.
    fn path(&self, model: &str) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
        let short: String = model.chars().map(plain).take(60).collect();
        let hash = blake3::hash(model.as_bytes()).to_hex();
        self.folder.join(format!("{}-{}.json", short.trim_start_matches('.'), &hash[..8]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Size;

    #[test]
    fn what_is_kept_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let all = Measurements::in_folder(&folder.path().join("models"));
        let mut one = all.of("library/qwen:7b");
        assert_eq!(one.tokens.samples(), 0);
        one.tokens.add(Size { bytes: 4_000, messages: 2 }, 1_000);
        one.edits = Some(EditTrial {
            forms: [
                (EditFormat::SearchReplace, Score { tried: 12, right: 3 }),
                (EditFormat::Whole, Score { tried: 12, right: 9 }),
                (EditFormat::Symbol, Score { tried: 4, right: 3 }),
            ]
            .into(),
            held: Some(Score { tried: 12, right: 4 }),
        });
        all.keep(&one).unwrap();
        assert_eq!(all.of("library/qwen:7b"), one);
        assert_eq!(all.of("library_qwen:7b").tokens.samples(), 0, "another model");
        let edits = one.edits.unwrap();
        assert!(edits.is_better_held());
        assert!(!EditTrial { held: Some(Score { tried: 12, right: 3 }), ..edits.clone() }.is_better_held());
        let ranked = edits.ranked();
        assert_eq!(ranked, [EditFormat::Symbol, EditFormat::Whole, EditFormat::SearchReplace]);
        let held = EditTrial { held: Some(Score { tried: 12, right: 12 }), ..edits };
        assert_eq!(held.ranked()[0], EditFormat::SearchReplace);
    }

    #[test]
    fn a_broken_file_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let all = Measurements::in_folder(folder.path());
        std::fs::write(all.path("../../m"), "{\"tokens\": 3").unwrap();
        assert_eq!(all.of("../../m").tokens.samples(), 0);
        assert!(all.path("../../m").starts_with(folder.path()));
        assert_eq!(all.path("../../m").parent(), Some(folder.path()));
    }
}
