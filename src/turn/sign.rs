//! The end of a turn: check on a scratch copy, ask the owner, apply, check in the tree.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::apply::{self, ApplyError, Note};
use crate::approval::{self, Approved, Verdict};
use crate::check::scratch::Workspace;
use crate::check::{self, Check, Place};
use crate::edit::{PatchSet, grammar};
use crate::engine::Asked;
use crate::failure::Failure;
use crate::message::Step;
use crate::protocol::{CheckPlace, CheckResult, Event, Outcome};
use crate::turn::{Desk, Stop};

/// A patch that waits for its owner.
pub(super) struct Proposal {
    pub patch: PatchSet,
    /// Steps of the plan that could not be carried out, with the reasons.
    pub failed: Vec<String>,
    pub summary: String,
    pub steps: Vec<Step>,
    /// The first ledger reasons of each file.
    pub reasons: HashMap<String, Vec<String>>,
}

pub(super) async fn sign(
    desk: &Desk,
    proposal: Proposal,
    cancel: &CancellationToken,
) -> Result<Outcome, Stop> {
    let decided = tokio::select! {
        biased;
        () = cancel.cancelled() => return Ok(Outcome::Cancelled),
        decided = decide(desk, &proposal) => decided?,
    };
    let Verdict { approved: Some(approved), accepted, declined, .. } = decided else {
        return Ok(Outcome::Declined { reason: "no hunk was accepted; nothing was written".into() });
    };

    // From here to the end of `write` nothing is cancelled: the tree is as it was or fully changed.
    let files = write(desk, approved, &proposal.summary).await?;

    let checked = tokio::select! {
        biased;
        () = cancel.cancelled() => Vec::new(),
        checked = check_tree(desk, &proposal.patch) => checked?,
    };
    let (applied, declined) = (accepted.len() as u32, declined.len() as u32);
    if checked.iter().any(|result| !result.passed) {
        let reason =
            format!("the check failed after {files} files were changed; `countersign undo` takes them back");
        return Ok(Outcome::ChecksFailed { reason });
    }
    Ok(match proposal.failed.is_empty() {
        true => Outcome::Done { applied, declined, summary: proposal.summary },
        false => Outcome::Incomplete { applied, declined, reason: proposal.failed.join("; ") },
    })
}

async fn decide(desk: &Desk, proposal: &Proposal) -> Result<Verdict, Stop> {
    let checks = check_scratch(desk, &proposal.patch).await?;
    let paths = proposal.patch.files().iter().map(|file| file.path());
    let why = paths.map(|path| (path.to_owned(), why(proposal, path))).collect();
    let id = desk.approval_ids.fetch_add(1, Ordering::Relaxed) + 1;
    let approval = approval::review(id, &proposal.patch, &why, checks);
    let (reply, answer) = oneshot::channel();
    desk.approvals.send(Asked { approval, reply }).await.ok().context("the engine is gone")?;
    let decision = answer.await.context("the engine ended while a patch waited for its owner")?;
    let decided = approval::decide(&proposal.patch, id, &decision, &grammar::syntax)
        .context("the decision does not fit")?;
    if !decided.stale.is_empty() {
        let hunks: Vec<String> = decided.stale.iter().map(u32::to_string).collect();
        desk.events.warn(format!(
            "hunks {} were left out: they build on what was declined, or do not parse without it",
            hunks.join(", ")
        ));
    }
    let (accepted, declined) = (decided.accepted.clone(), decided.declined.clone());
    desk.events.emit(Event::Decided { approval: id, accepted, declined, by: "owner".into() });
    Ok(decided)
}

/// What is said beside a file's hunks: the plan's step, then the ledger.
fn why(proposal: &Proposal, path: &str) -> Vec<String> {
    let steps = (1..).zip(&proposal.steps).filter(|(_, step)| step.file == path || step.target == path);
    let mut lines: Vec<String> =
        steps.map(|(number, step)| format!("step {number}: {}", step.task)).collect();
    lines.extend(proposal.reasons.get(path).into_iter().flatten().cloned());
    lines
}

/// Runs the checks on a copy with the whole patch in it.
async fn check_scratch(desk: &Desk, patch: &PatchSet) -> Result<Vec<CheckResult>, Stop> {
    if desk.checks.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(warning) = desk.runner.sandbox().await?.warning {
        desk.events.warn(warning);
    }
    let workspace = desk.runner.workspace()?;
    let (root, copied) = (desk.root.clone(), patch.clone());
    let workspace = tokio::task::spawn_blocking(move || {
        workspace.fill(&root, &copied)?;
        anyhow::Ok(workspace)
    })
    .await
    .context("the thread of the scratch copy ended")??;
    run_checks(desk, patch, &workspace, Place::Scratch).await
}

async fn check_tree(desk: &Desk, patch: &PatchSet) -> Result<Vec<CheckResult>, Stop> {
    if desk.checks.is_empty() {
        return Ok(Vec::new());
    }
    run_checks(desk, patch, &desk.runner.workspace()?, Place::Tree).await
}

/// The result of each check. Tests that concern the change come first; when they fail, the rest of
/// their check would not change the verdict.
async fn run_checks(
    desk: &Desk,
    patch: &PatchSet,
    workspace: &Workspace,
    place: Place,
) -> Result<Vec<CheckResult>, Stop> {
    let mut results = Vec::new();
    for check in &desk.checks {
        let (changed, whole) = (paths(patch), check.clone());
        let selected = desk.retriever.with(move |library| {
            let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
            Ok(check::select(&library.index, &changed, &whole))
        });
        let mut result = None;
        if let Some(selected) = selected.await? {
            result = Some(run_check(desk, &selected, workspace, place).await?);
        }
        if result.as_ref().is_none_or(|result| result.passed) {
            result = Some(run_check(desk, check, workspace, place).await?);
        }
        results.extend(result);
    }
    Ok(results)
}

/// Every path that a patch touches.
fn paths(patch: &PatchSet) -> Vec<String> {
    let both = patch.files().iter().flat_map(|file| [file.old_path(), file.path()]);
    both.map(str::to_owned).collect::<BTreeSet<String>>().into_iter().collect()
}

async fn run_check(
    desk: &Desk,
    check: &Check,
    workspace: &Workspace,
    place: Place,
) -> Result<CheckResult, Stop> {
    let (command, shown) = (
        check.argv.clone(),
        match place {
            Place::Scratch => CheckPlace::Scratch,
            Place::Tree => CheckPlace::Tree,
        },
    );
    desk.events.emit(Event::CheckStarted { command: command.clone(), place: shown });
    let ran = desk.runner.run(check, workspace, place).await?;
    desk.events.emit(Event::CheckFinished { command, place: shown, result: ran.result.clone() });
    Ok(ran.result)
}

/// Writes and reads back; gives the number of files.
async fn write(desk: &Desk, approved: Approved<PatchSet>, summary: &str) -> Result<usize, Stop> {
    let (root, journal, summary) = (desk.root.clone(), desk.journal.clone(), summary.to_owned());
    // One turn is one task; ids of approvals tell turns of the same second apart.
    let task = format!("{}-{}", crate::clock::stamp(), desk.approval_ids.load(Ordering::Relaxed));
    let applied = tokio::task::spawn_blocking(move || {
        let note = Note { at_ms: crate::clock::now_ms(), summary: &summary, task: Some(&task) };
        apply::apply(approved, &root, &journal, note)
    })
    .await
    .context("the thread that applies changes ended")?;
    match applied {
        Ok(change) => {
            let files = change.files.len();
            desk.events.emit(Event::Applied { change: change.id, files: change.files });
            Ok(files)
        }
        Err(error) => Err(Stop::Other(refused(error))),
    }
}

/// A tree that changed meanwhile, or that may not be written, is for its owner to mend.
fn refused(error: ApplyError) -> anyhow::Error {
    match error {
        ApplyError::HalfDone { .. } | ApplyError::Journal { .. } => error.into(),
        error => Failure::usage(error.to_string(), "Nothing was written. Run the request again.").into(),
    }
}
