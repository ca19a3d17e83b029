//! `countersign index`: bring the index up to date and say what is in it.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::ops::ControlFlow;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::JsonFlag;
use crate::command::json;
use crate::config::Config;
use crate::retrieve::Library;

pub fn index(config: &Config, flag: JsonFlag) -> anyhow::Result<String> {
    let mut library = Library::open(&config.root, &config.data.index())?;
    let bar = if std::io::stderr().is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{msg} {pos}/{len} files, {per_sec}, {eta} left")?);
    let report = library.index.update(&mut |progress| {
        bar.set_message(progress.phase.describe());
        if let Some(total) = progress.total {
            bar.set_length(total);
        }
        bar.set_position(progress.done);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let report = report?;
    if flag.json {
        return json(&report);
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} files indexed: {} added, {} updated, {} removed",
        report.files, report.added, report.updated, report.removed
    );
    for (reason, files) in &report.skipped {
        let _ = writeln!(text, "not indexed: {files} files, {}", reason.describe());
    }
    if report.heads > 0 {
        let _ = writeln!(text, "indexed by their beginning: {} files, larger than 1 MiB", report.heads);
    }
    for note in report.rebuilt.iter().chain(&report.git) {
        let _ = writeln!(text, "note: {note}");
    }
    Ok(text)
}
