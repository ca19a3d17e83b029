//! `countersign index`: bring the index up to date and say what is in it; write it to an archive, or
//! take one over.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use countersign_index::{IndexError, Manifest, UpdateReport};
use serde::Serialize;

use crate::cli::{ArchiveCommand, IndexArgs};
use crate::command::json;
use crate::config::Config;
use crate::failure::Failure;
use crate::pull;
use crate::retrieve::Library;
use crate::sanitize::visible;
use crate::ui::progress::{self, Bar};

/// What the commands about archives answer.
#[derive(Debug, Serialize)]
struct Archived {
    archive: Manifest,
    /// The update after, or before it was written.
    update: UpdateReport,
}

pub async fn index(config: &Config, arguments: IndexArgs) -> anyhow::Result<String> {
    let mut library = Library::open(&config.root, &config.data.index())?;
    let is_json = arguments.json;
    match arguments.archive {
        None => {
            let report = update(&mut library)?;
            if is_json { json(&report) } else { Ok(describe(&report)) }
        }
        Some(ArchiveCommand::Export { file }) => {
            let update = update(&mut library)?;
            let archive = library.index.export(&absolute(&file)?).map_err(refused)?;
            let done = format!("{} files written to {}", archive.files, visible(&file.display().to_string()));
            answer(is_json, &done, Archived { archive, update })
        }
        Some(ArchiveCommand::Import { file, hash }) => import(&mut library, &file, hash.as_deref(), is_json),
        Some(ArchiveCommand::Pull { url, hash }) => {
            if let Some(file) = local(&url) {
                return import(&mut library, &file, hash.as_deref(), is_json);
            }
            // Beside the index, for its owner's eyes only, and gone when this ends.
            let folder = tempfile::tempdir_in(config.data.folder())?;
            let file = folder.path().join("archive");
            let bar = progress::bytes();
            let settings = &config.cloud.0;
            let fetched =
                pull::fetch(&url, settings, &file, |done, all| bar.show("fetching", done, Some(all))).await;
            bar.clear();
            fetched.map_err(|error| {
                Failure::usage(
                    format!("{error:#}"),
                    "Check the address, and the variables with the access to it.",
                )
            })?;
            import(&mut library, &file, hash.as_deref(), is_json)
        }
    }
}

/// The path in a `file:` address.
fn local(url: &str) -> Option<PathBuf> {
    url::Url::parse(url).ok().filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok())
}

fn absolute(file: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(file).with_context(|| format!("cannot write {}", file.display()))
}

fn update(library: &mut Library) -> anyhow::Result<UpdateReport> {
    let bar = progress::steps();
    let report = library.update(&mut |at| {
        bar.show(at.phase.describe(), at.done, at.total);
        ControlFlow::Continue(())
    });
    bar.clear();
    report
}

fn import(library: &mut Library, file: &Path, hash: Option<&str>, is_json: bool) -> anyhow::Result<String> {
    let bar: Bar = progress::bytes();
    let archive = library.index.import(file, hash, &mut |at| {
        bar.show(at.phase.describe(), at.done, at.total);
        ControlFlow::Continue(())
    });
    bar.clear();
    let archive = archive.map_err(refused)?;
    let update = update(library)?;
    let done = format!("{} files taken over", archive.files);
    answer(is_json, &done, Archived { archive, update })
}

fn refused(error: IndexError) -> anyhow::Error {
    match error {
        IndexError::Archive { .. } => Failure::usage(
            error.to_string(),
            "The index is as it was. Use another archive, or build the index here with `countersign index`.",
        )
        .into(),
        other => other.into(),
    }
}

fn answer(is_json: bool, done: &str, archived: Archived) -> anyhow::Result<String> {
    if is_json {
        return json(&archived);
    }
    let mut text = format!("{done}\nhash {}\n", archived.archive.total);
    // Writing to a string cannot fail.
    if let Some(commit) = &archived.archive.commit {
        let _ = writeln!(text, "commit {}", visible(commit));
    }
    text += &describe(&archived.update);
    Ok(text)
}

fn describe(report: &UpdateReport) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} files indexed: {} added, {} updated, {} removed",
        report.files, report.added, report.updated, report.removed
    );
    if report.files == 0 {
        text.push_str(
            "note: there is nothing to find evidence in; if there are files here, a .gitignore or .ignore\n\
             excludes all of them\n",
        );
    }
    for (reason, files) in &report.skipped {
        let _ = writeln!(text, "not indexed: {files} files, {}", reason.describe());
    }
    if report.heads > 0 {
        let _ = writeln!(text, "indexed by their beginning: {} files, larger than 1 MiB", report.heads);
    }
    for note in report.rebuilt.iter().chain(&report.git) {
        let _ = writeln!(text, "note: {note}");
    }
    text
}
