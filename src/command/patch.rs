//! `countersign patch`: the edit engine by itself, from standard input to the journal.
//!
//! Typing `apply` is the owner's approval of exactly what is read; what was placed by likeness alone
//! needs to be asked for in words. It must not judge edits; the overlay does.

use std::fmt::Write as _;
use std::io::Read as _;

use anyhow::Context as _;
use serde::Serialize;

use crate::apply::{self, Note};
use crate::approval::{self, Guesses, Ruling};
use crate::cli::{PatchApplyArgs, PatchArgs, PatchCommand, PatchFormat};
use crate::command::{Finished, json, undo};
use crate::config::Config;
use crate::edit::anchor::Several;
use crate::edit::gate::{Deletion, Gates};
use crate::edit::parse::{self, Expected, Format};
use crate::edit::{Overlay, PatchSet, Planned, Refusal};
use crate::failure::{Failure, OrUsage as _};
use crate::protocol::{AppliedFile, ChangeKind};
use crate::rules;
use crate::sanitize::{visible, visible_text};

/// Most bytes of a patch; more is a mistake.
const LARGEST: u64 = 64 * 1024 * 1024;
/// Exit codes of README's table.
const NEEDS_APPROVAL: u8 = 4;
const NO_VALID_CHANGE: u8 = 5;

pub fn patch(config: &Config, command: PatchCommand) -> anyhow::Result<Finished> {
    let text = read_input(std::io::stdin().lock())?;
    match command {
        PatchCommand::Check(arguments) => {
            let (mut report, patch) = check(config, &arguments, &text)?;
            if let Some(patch) = &patch {
                report.denials = ruling(config, patch).denials(patch);
            }
            let code = match (&patch, report.denials.is_empty()) {
                (None, _) => NO_VALID_CHANGE,
                (Some(_), false) => NEEDS_APPROVAL,
                (Some(_), true) => 0,
            };
            let text = if arguments.json { json(&report)? } else { report.render() };
            Ok(Finished { text, code })
        }
        PatchCommand::Apply(arguments) => apply(config, &arguments, &text),
    }
}

/// What would happen, or what has happened.
#[derive(Debug, Serialize)]
struct Report {
    format: Format,
    files: Vec<FileReport>,
    /// Why nothing can be applied; empty if it can.
    refusals: Vec<Refusal>,
    /// What rules or the mode deny, a line a file; nothing is applied then.
    denials: Vec<String>,
    /// All of it as one unified diff.
    diff: String,
    /// Id of the change, once it is on the disk.
    change: Option<String>,
    /// The files as they were read back.
    applied: Vec<AppliedFile>,
}

#[derive(Debug, Serialize)]
struct FileReport {
    path: String,
    old_path: String,
    change: ChangeKind,
    hunks: usize,
    /// The least certain way in which an edit of the file found its place.
    tier: &'static str,
    /// Found by likeness alone.
    guess: bool,
}

fn read_input(input: impl std::io::Read) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    input.take(LARGEST + 1).read_to_end(&mut bytes).context("cannot read standard input")?;
    let advice = "Pipe a patch in: countersign patch check < change.diff";
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::usage("the patch is larger than 64 MiB", advice).into());
    }
    String::from_utf8(bytes).context("the patch is not UTF-8 text").or_usage(advice)
}

/// Lays the edits over the tree; `None` if any of them is refused.
fn check(config: &Config, arguments: &PatchArgs, text: &str) -> anyhow::Result<(Report, Option<PatchSet>)> {
    let format = match arguments.format {
        PatchFormat::Auto => Format::detect(text),
        PatchFormat::Symbol => Format::Symbol,
        PatchFormat::Whole => Format::Whole,
        PatchFormat::SearchReplace => Format::SearchReplace,
        PatchFormat::AnchoredLines => Format::AnchoredLines,
        PatchFormat::Unified => Format::Unified,
        PatchFormat::Codex => Format::Codex,
    };
    let mut report = Report {
        format,
        files: Vec::new(),
        refusals: Vec::new(),
        denials: Vec::new(),
        diff: String::new(),
        change: None,
        applied: Vec::new(),
    };
    let expected = Expected { format, planned: Planned::Any, symbol: None };
    let edits = match parse::parse(text, &expected) {
        Ok(edits) => edits,
        Err(refusal) => {
            report.refusals.push(refusal);
            return Ok((report, None));
        }
    };
    let gates = Gates {
        several: if arguments.first_match { Several::First } else { Several::Refuse },
        deletion: match format {
            // What they leave out, they do not say.
            Format::Whole | Format::Symbol => Deletion::Named,
            _ => Deletion::Planned,
        },
        ..Gates::new(Planned::Any)
    };
    let mut overlay = Overlay::open(&config.root).context("cannot open the repository")?;
    if let Err(refusals) = overlay.propose(&edits, &gates) {
        report.refusals = refusals;
        return Ok((report, None));
    }
    let patch = overlay.patch();
    report.diff = patch.unified_diff();
    report.files = patch
        .files()
        .iter()
        .map(|file| FileReport {
            path: file.path().to_owned(),
            old_path: file.old_path().to_owned(),
            change: file.kind(),
            hunks: file.hunks().len(),
            tier: file.tier().label(),
            guess: file.tier().is_guess(),
        })
        .collect();
    Ok((report, Some(patch)))
}

fn apply(config: &Config, arguments: &PatchApplyArgs, text: &str) -> anyhow::Result<Finished> {
    let (mut report, patch) = check(config, &arguments.patch, text)?;
    let as_json = arguments.patch.json;
    let Some(patch) = patch else {
        if as_json {
            return Ok(Finished { text: json(&report)?, code: NO_VALID_CHANGE });
        }
        let reasons: Vec<String> = report.refusals.iter().map(Refusal::to_string).collect();
        return Err(Failure {
            kind: crate::failure::Kind::NoValidChange,
            message: format!("nothing was written: {}", reasons.join("; ")),
            advice: "`countersign patch check` says what would happen.".into(),
        }
        .into());
    };
    let guesses = if arguments.accept_similar { Guesses::Accepted } else { Guesses::Declined };
    let ruling = ruling(config, &patch);
    report.denials = ruling.denials(&patch);
    let Some(approved) = approval::by_command(&patch, &ruling, guesses) else {
        let text = match (as_json, report.denials.is_empty()) {
            (true, _) => json(&report)?,
            (false, true) => report.render() + NEEDS_WORD,
            (false, false) => report.render() + DENIED,
        };
        return Ok(Finished { text, code: NEEDS_APPROVAL });
    };
    let summary = format!("patch from standard input, {} files", report.files.len());
    let note = Note { at_ms: crate::clock::now_ms(), summary: &summary, task: None };
    let change = apply::apply(approved, &config.root, &config.data.journal(), note).map_err(undo::usage)?;
    report.change = Some(change.id);
    report.applied = change.files;
    Ok(Finished { text: if as_json { json(&report)? } else { report.render_applied() }, code: 0 })
}

/// What the mode and the rules deny of the patch. Whoever types `apply` answers whatever they ask.
fn ruling(config: &Config, patch: &PatchSet) -> Ruling {
    let authority = config.tightened();
    let paths = patch.files().iter().flat_map(|file| [file.old_path(), file.path()]).collect();
    approval::by_rules(patch, &paths, &authority, &[], &|path| rules::disk::place(&config.root, path))
}

const DENIED: &str = "\nNothing was written: a rule or the mode denies a part of it. `countersign rules test` explains \
                      a path.\n";

const NEEDS_WORD: &str = "\nNothing was written: a place was found by likeness alone. If it is the right one, apply \
                          again with --accept-similar.\n";

impl Report {
    /// For people. Writing to a string cannot fail.
    fn render(&self) -> String {
        let mut text = String::new();
        for refusal in &self.refusals {
            let _ = writeln!(text, "refused ({}): {}", code(refusal), visible_text(&refusal.to_string()));
        }
        for denial in &self.denials {
            let _ = writeln!(text, "denied: {}", visible(denial));
        }
        for file in &self.files {
            let word = word(file.change);
            let from = match file.old_path == file.path {
                true => String::new(),
                false => format!(" (was {})", visible(&file.old_path)),
            };
            let _ =
                writeln!(text, "{word} {}{from}: {} hunks, {}", visible(&file.path), file.hunks, file.tier);
        }
        if !self.diff.is_empty() {
            let _ = write!(text, "\n{}", visible_text(&self.diff));
        }
        text
    }

    fn render_applied(&self) -> String {
        let mut text = format!("applied: {}\n", self.change.as_deref().unwrap_or_default());
        for file in &self.applied {
            let _ = writeln!(text, "    {} {}", word(file.change), visible(&file.path));
        }
        text
    }
}

fn word(change: ChangeKind) -> &'static str {
    match change {
        ChangeKind::Create => "create",
        ChangeKind::Modify => "modify",
        ChangeKind::Delete => "delete",
        ChangeKind::Rename => "rename",
    }
}

/// The code as it is written in JSON.
fn code(refusal: &Refusal) -> String {
    let value = serde_json::to_value(refusal.code).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
