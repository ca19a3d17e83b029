//! Owns the prediction file: one JSON line a task, appended as it is known, so that an interrupted
//! run goes on where it stopped.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What was found for one task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    pub id: String,
    /// Best first.
    pub ranked_files: Vec<String>,
    /// From the request to the pack, index at hand.
    pub seconds: f64,
    /// In order.
    pub pack: Vec<Passage>,
    /// What it was made with: program, weights and budget. Others must not be mixed with it.
    pub made_with: String,
}

/// A run of lines in the pack, or the mere path of a further file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Passage {
    pub path: String,
    /// What it costs, paths and signatures included.
    pub bytes: u64,
    /// First and last line, 1-based, inclusive.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub start: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<u32>,
}

/// Predictions by task, kept in a file if one was given.
pub struct Predictions {
    known: BTreeMap<String, Prediction>,
    made_with: String,
    file: Option<PathBuf>,
}

impl Predictions {
    /// Reads what an earlier run left in `file`. A last line without its end was being written when
    /// that run ended, and is dropped.
    ///
    /// # Errors
    /// When the file holds anything but predictions that were made alike.
    pub fn open(file: Option<PathBuf>, made_with: String) -> anyhow::Result<Predictions> {
        let mut predictions = Predictions { known: BTreeMap::new(), made_with, file };
        let Some(path) = &predictions.file else { return Ok(predictions) };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        for (line, number) in text[..whole].lines().zip(1..) {
            let prediction = serde_json::from_str::<Prediction>(line)
                .ok()
                .filter(|prediction| prediction.made_with == predictions.made_with)
                .ok_or_else(|| {
                    Failure::usage(
                        format!(
                            "{}, line {number}: not a prediction of these weights and this budget",
                            path.display()
                        ),
                        "Give another file to --out, or remove this one.",
                    )
                })?;
            predictions.known.insert(prediction.id.clone(), prediction);
        }
        if whole < text.len() {
            let file = std::fs::OpenOptions::new().write(true).open(path);
            file.and_then(|file| file.set_len(whole as u64))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(predictions)
    }

    pub fn get(&self, id: &str) -> Option<&Prediction> {
        self.known.get(id)
    }

    /// Adds a prediction, in the file too.
    pub fn add(&mut self, mut prediction: Prediction) -> anyhow::Result<()> {
        prediction.made_with.clone_from(&self.made_with);
        if let Some(path) = &self.file {
            append(path, &(serde_json::to_string(&prediction)? + "\n"))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        self.known.insert(prediction.id.clone(), prediction);
        Ok(())
    }
}

fn append(path: &Path, line: &str) -> std::io::Result<()> {
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_where_it_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let open = |made_with: &str| Predictions::open(Some(path.clone()), made_with.into());
        let mut first = open("a").unwrap();
        first.add(Prediction { id: "1".into(), ..Prediction::default() }).unwrap();
        append(&path, "{\"id\":\"2\",\"ranked").unwrap();
        let mut second = open("a").unwrap();
        assert!(second.get("1").is_some() && second.get("2").is_none());
        second.add(Prediction { id: "2".into(), ..Prediction::default() }).unwrap();
        assert!(open("a").unwrap().get("2").is_some());
        assert!(open("b").err().unwrap().to_string().contains("line 1"), "other weights are not mixed");
        append(&path, "something else\n").unwrap();
        assert!(open("a").err().unwrap().to_string().contains("line 3"));
    }
}
