//! Model files of our own: which there are to get, where they come from, and where they lie.
//!
//! [`Manifest`] is data about models, [`Store`] the folder that all repositories share, and
//! [`fetch`] the way from one to the other. Nothing here reads what is in a model, and nothing is
//! trusted that a server sends: a file has its place once its length and sha256 are those of the
//! manifest.

use std::path::{Path, PathBuf};

pub mod fetch;
mod manifest;
mod resume;
mod store;
mod wheel;

pub use manifest::{Entry, Manifest, Source, Wheel};
pub use resume::Patience;
pub use store::{Checked, Store};

/// Whether what was typed for a model is meant as the path of a file.
pub fn is_path(model: &str) -> bool {
    model.to_ascii_lowercase().ends_with(".gguf")
}

/// Everything about our own models that a command needs to know.
#[derive(Debug, Clone)]
pub struct Weights {
    pub manifest: Manifest,
    pub store: Store,
    /// Address of Hugging Face, or of a mirror of it.
    pub hub: String,
    /// Threads that compute; `None` for as many as there are cores.
    pub threads: Option<usize>,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights {
            manifest: Manifest::default(),
            store: Store::in_folder(Path::new("")),
            hub: fetch::HUB.to_owned(),
            threads: None,
        }
    }
}

impl Weights {
    /// The file of a model that is here, and what it is called: by its name in the manifest, by the
    /// name of a file in the store, or by the path of a file. What is neither in the store nor looks
    /// like a path is not looked for: a repository could bring a file with the name of a model.
    pub fn find(&self, model: &str) -> Option<(String, PathBuf)> {
        let known = self.manifest.named(model).filter(|entry| self.store.has(entry));
        let (name, path) = match known {
            Some(entry) => (entry.name.clone(), self.store.path(entry)),
            None => match self.here().into_iter().find(|(name, _)| name == model) {
                Some(found) => found,
                None if is_path(model) => {
                    (Path::new(model).file_name()?.to_string_lossy().into_owned(), PathBuf::from(model))
                }
                None => return None,
            },
        };
        // One path for each file, since that is how it is known whether it is loaded.
        Some((name, path.canonicalize().ok().filter(|path| path.is_file())?))
    }

    /// The models in the store, sorted by name. A file that the manifest does not know, or that has
    /// another length than it says, goes by its own name.
    pub fn here(&self) -> Vec<(String, PathBuf)> {
        let entries = std::fs::read_dir(self.store.folder()).into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| {
            let file = entry.file_name().into_string().ok().filter(|file| file.ends_with(".gguf"))?;
            let known = self.manifest.of_file(&file).filter(|known| self.store.has(known));
            Some((known.map_or(file, |known| known.name.clone()), entry.path()))
        });
        let mut found: Vec<(String, PathBuf)> = files.filter(|(_, path)| path.is_file()).collect();
        found.sort();
        found
    }
}
