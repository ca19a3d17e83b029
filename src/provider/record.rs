//! Answers written down as they come, in the form that [`Scripted`](super::Scripted) replays: to
//! reproduce a failing session elsewhere, without the model.
//!
//! Only what was used is written: attempts that were made again leave no line. This file must not
//! know what an answer means.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::{Chunk, Ending, ProviderError, StopReason};

/// A script under way. Clones write to the same file.
#[derive(Debug, Clone)]
pub struct Recorder {
    path: String,
    file: Arc<Mutex<File>>,
}

impl Recorder {
    /// Begins a new file with the header line. It is for its owner's eyes only, since answers quote
    /// source code.
    ///
    /// # Errors
    /// [`ProviderError::Script`] when the file exists or cannot be written.
    pub fn create(path: &Path, model: &str, window: u32, draws: u32) -> Result<Recorder, ProviderError> {
        let shown = path.display().to_string();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| ProviderError::Script {
            path: shown.clone(),
            what: format!("answers cannot be recorded there: {error}. Give the path of a new file"),
        })?;
        let recorder = Recorder { path: shown, file: Arc::new(Mutex::new(file)) };
        let mut header = json!({"model": model, "window": window});
        if draws > 1 {
            header["draws"] = json!(draws);
        }
        recorder.line(&header)?;
        Ok(recorder)
    }

    /// Writes one answer: what came, and how it ended.
    ///
    /// # Errors
    /// [`ProviderError::Script`] when the disk takes no more.
    pub fn answer(
        &self,
        role: &str,
        came: &[Chunk],
        end: &Result<Ending, ProviderError>,
    ) -> Result<(), ProviderError> {
        let mut pieces = pieces(came);
        let mut line = json!({ "role": role });
        let further: Vec<&str> = came.iter().filter_map(Chunk::further).collect();
        if !further.is_empty() {
            line["further"] = json!(further);
        }
        match end {
            Ok(ending) => {
                if ending.reason == StopReason::Length {
                    line["stop"] = json!("length");
                }
                for (name, count) in [
                    ("prompt_tokens", ending.prompt_tokens),
                    ("evaluated_tokens", ending.evaluated_tokens),
                    ("answer_tokens", ending.answer_tokens),
                ] {
                    if let Some(count) = count {
                        line[name] = json!(count);
                    }
                }
            }
            Err(ProviderError::EndedEarly { .. }) => line["stop"] = json!("closed"),
            Err(ProviderError::ServerError { message, .. }) => pieces.push(json!({ "error": message })),
            Err(error) => pieces.push(json!({ "error": error.to_string() })),
        }
        match pieces.as_slice() {
            [] => line["text"] = json!(""),
            [Value::String(text)] => line["text"] = json!(text),
            _ => line["chunks"] = Value::Array(pieces),
        }
        self.line(&line)
    }

    fn line(&self, line: &Value) -> Result<(), ProviderError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // One write, so that a crash leaves whole lines.
        file.write_all(format!("{line}\n").as_bytes()).map_err(|error| ProviderError::Script {
            path: self.path.clone(),
            what: format!("the answer cannot be recorded: {error}. Free some space, or leave --record out"),
        })
    }
}

/// Pieces of the same kind become one: how a network cut a text is nobody's business.
fn pieces(came: &[Chunk]) -> Vec<Value> {
    let mut joined: Vec<Chunk> = Vec::new();
    for chunk in came {
        match (joined.last_mut(), chunk) {
            (Some(Chunk::Text(before)), Chunk::Text(more))
            | (Some(Chunk::Thinking(before)), Chunk::Thinking(more)) => before.push_str(more),
            _ => joined.push(chunk.clone()),
        }
    }
    joined
        .into_iter()
        .filter_map(|chunk| match chunk {
            Chunk::Text(text) => Some(json!(text)),
            Chunk::Thinking(text) => Some(json!({ "thinking": text })),
            Chunk::Further(_) | Chunk::End(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{request, told};
    use super::super::{Provider, Scripted};
    use super::*;

    fn ending(reason: StopReason) -> Ending {
        Ending { reason, prompt_tokens: Some(7), evaluated_tokens: Some(3), answer_tokens: None }
    }

    fn text(text: &str) -> Chunk {
        Chunk::Text(text.to_owned())
    }

    #[tokio::test]
    async fn what_is_recorded_replays_to_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.jsonl");
        let recorder = Recorder::create(&path, "m:7b", 4096, 3).unwrap();
        let url = String::new();
        let closed = ProviderError::EndedEarly { url: url.clone(), received: 3, cause: String::new() };
        let failed = ProviderError::ServerError { url, message: "GPU fell off".into() };
        let thinking = Chunk::Thinking("hm".into());
        recorder
            .answer("architect", &[thinking, text("a"), text("b")], &Ok(ending(StopReason::Length)))
            .unwrap();
        recorder.answer("architect", &[text("par")], &Err(closed)).unwrap();
        recorder.answer("architect", &[text("x")], &Err(failed)).unwrap();
        recorder.answer("architect", &[], &Ok(ending(StopReason::Complete))).unwrap();

        let script = Scripted::open(&path).unwrap();
        let provider = Provider::Scripted(script.clone());
        assert_eq!((provider.model(), provider.window().await.unwrap().unwrap().tokens), ("m:7b", 4096));
        let next = async || told(provider.chat(&request("x")).await?).await;
        assert_eq!(next().await, Ok(("ab".to_owned(), ending(StopReason::Length))));
        assert!(matches!(next().await, Err(ProviderError::EndedEarly { received: 3, .. })));
        assert!(
            matches!(next().await, Err(ProviderError::ServerError { message, .. }) if message == "GPU fell off")
        );
        assert_eq!(next().await, Ok((String::new(), ending(StopReason::Complete))));
        assert_eq!(script.remaining(), 0);
    }

    #[test]
    fn a_file_that_exists_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.jsonl");
        std::fs::write(&path, "mine").unwrap();
        let error = Recorder::create(&path, "m", 1, 1).unwrap_err().to_string();
        assert!(error.contains("new file"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
