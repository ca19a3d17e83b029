//! The append-only log of a session and its replay. It must not interpret events.
//!
//! One file of JSON lines a session, mode 0600, in the data directory of the repository.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::protocol::{Envelope, Event};

/// A session's file, open for appending.
#[derive(Debug)]
pub struct SessionLog {
    file: File,
    path: PathBuf,
}

impl SessionLog {
    /// Starts a session and gives its id: the time as `YYYYMMDD-HHMMSS`, with a counter when two
    /// begin within one second. Ids sort by age.
    pub fn create(folder: &Path, now: &str) -> anyhow::Result<(String, SessionLog)> {
        crate::disk::private_folder(folder)?;
        let path = |id: &str| folder.join(format!("{id}.jsonl"));
        let made = crate::disk::under_free_id(now, |id| private_file().create_new(true).open(path(id)));
        let made = made.with_context(|| format!("cannot create a session in {}", folder.display()))?;
        let made =
            made.with_context(|| format!("a thousand sessions began in one second in {}", folder.display()));
        let (id, file) = made?;
        let path = path(&id);
        Ok((id, SessionLog { file, path }))
    }

    /// Appends one line.
    pub fn append(&mut self, envelope: &Envelope) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(envelope)?;
        line.push(b'\n');
        self.file.write_all(&line).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// One line of `countersign sessions`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SessionSummary {
    pub id: String,
    pub requests: Vec<String>,
    /// How each finished turn ended, in a word.
    pub outcomes: Vec<String>,
    pub events: u64,
}

/// All sessions of a repository, oldest first.
pub fn list(folder: &Path) -> anyhow::Result<Vec<SessionSummary>> {
    let mut ids = ids(folder)?;
    ids.sort();
    ids.iter().map(|id| summary(folder, id)).collect()
}

fn ids(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in crate::disk::entries(folder)?.into_iter().flatten() {
        let name = entry?.file_name();
        if let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".jsonl")) {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}

fn summary(folder: &Path, id: &str) -> anyhow::Result<SessionSummary> {
    let mut summary =
        SessionSummary { id: id.to_owned(), requests: Vec::new(), outcomes: Vec::new(), events: 0 };
    for envelope in replay(folder, id)?.envelopes {
        summary.events += 1;
        match envelope.event {
            Event::TurnStarted { request, .. } => summary.requests.push(request.text),
            Event::TurnFinished { outcome, .. } => summary.outcomes.push(outcome.word().to_owned()),
            _ => {}
        }
    }
    Ok(summary)
}

/// A session read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    pub envelopes: Vec<Envelope>,
    /// Lines that could not be read, such as the last one of a run that was killed.
    pub damaged_lines: u64,
}

/// Reads a session back. `id` may be shortened to any unique beginning.
pub fn replay(folder: &Path, id: &str) -> anyhow::Result<Replay> {
    let fitting: Vec<String> = ids(folder)?.into_iter().filter(|known| known.starts_with(id)).collect();
    let id = match fitting.as_slice() {
        [one] => one,
        _ if fitting.iter().any(|known| known == id) => id,
        [] => bail!("there is no session {id:?} here; `countersign sessions` lists them"),
        _ => bail!("{id:?} fits {} sessions; write more of it", fitting.len()),
    };
    let path = folder.join(format!("{id}.jsonl"));
    let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut replay = Replay { envelopes: Vec::new(), damaged_lines: 0 };
    for line in BufReader::new(file).split(b'\n') {
        match serde_json::from_slice(&line?) {
            Ok(envelope) => replay.envelopes.push(envelope),
            Err(_) => replay.damaged_lines += 1,
        }
    }
    Ok(replay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::PROTOCOL_VERSION;

    fn event(seq: u64) -> Envelope {
        let event = Event::Warning { text: format!("line {seq}\nwith a second one") };
        Envelope { v: PROTOCOL_VERSION, seq, at_ms: 0, event }
    }

    #[test]
    fn what_was_written_is_read_back_and_a_torn_line_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (id, mut log) = SessionLog::create(folder.path(), "20260101-000000").unwrap();
        let (second, _) = SessionLog::create(folder.path(), "20260101-000000").unwrap();
        assert_ne!(id, second);
        for seq in 1..=3 {
            log.append(&event(seq)).unwrap();
        }
        log.file.write_all(b"{\"v\":1,\"se").unwrap();
        let replay = replay(folder.path(), &id).unwrap();
        assert_eq!(replay.envelopes, [event(1), event(2), event(3)]);
        assert_eq!(replay.damaged_lines, 1);
    }

    #[test]
    fn an_unknown_or_unclear_id_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        SessionLog::create(folder.path(), "20260101-000000").unwrap();
        SessionLog::create(folder.path(), "20260102-000000").unwrap();
        assert!(replay(folder.path(), "2026").unwrap_err().to_string().contains("fits 2"));
        assert!(replay(folder.path(), "x").unwrap_err().to_string().contains("no session"));
        assert!(replay(folder.path(), "20260102").is_ok());
    }
}
