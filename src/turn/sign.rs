//! The end of a turn: check on a scratch copy, ask the owner, apply, check in the tree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::apply::{self, ApplyError, Note};
use crate::approval::{self, Approved, Ruling, Verdict};
use crate::check;
use crate::edit::{PatchSet, grammar};
use crate::engine::Asked;
use crate::failure::Failure;
use crate::message::Step;
use crate::protocol::{CheckPlace, CheckResult, Event, Outcome};
use crate::rules;
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
    let Decided { verdict, reason } = decided;
    let Verdict { approved: Some(approved), accepted, declined, .. } = verdict else {
        return Ok(Outcome::Declined { reason });
    };

    // From here to the end of `write` nothing is cancelled: the tree is as it was or fully changed.
    let files = write(desk, approved, &proposal.summary).await?;

    let checked = tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        checked = check_tree(desk) => checked?,
    };
    let (applied, declined) = (accepted.len() as u32, declined.len() as u32);
    if let Some(result) = checked
        && !result.passed
    {
        let reason =
            format!("the check failed after {files} files were changed; `countersign undo` takes them back");
        return Ok(Outcome::ChecksFailed { reason });
    }
    Ok(match proposal.failed.is_empty() {
        true => Outcome::Done { applied, declined, summary: proposal.summary },
        false => Outcome::Incomplete { applied, declined, reason: proposal.failed.join("; ") },
    })
}

/// A verdict, and why nothing is applied if it approves nothing.
struct Decided {
    verdict: Verdict,
    reason: String,
}

async fn decide(desk: &Desk, proposal: &Proposal) -> Result<Decided, Stop> {
    let checks: Vec<CheckResult> = check_scratch(desk, &proposal.patch).await?.into_iter().collect();
    let (patch, id) = (&proposal.patch, desk.approval_ids.fetch_add(1, Ordering::Relaxed) + 1);
    let planned = proposal.steps.iter().flat_map(|step| [step.file.as_str(), step.target.as_str()]);
    let place = |path: &str| rules::disk::place(&desk.root, path);
    let ruling =
        approval::by_rules(patch, &planned.collect::<BTreeSet<_>>(), &desk.authority, &checks, &place);
    let why = patch.files().iter().map(|file| (file.path().to_owned(), why(proposal, file.path()))).collect();
    let verdict = ask(desk, id, patch, &ruling, &why, checks).await?;
    if !verdict.stale.is_empty() {
        let hunks: Vec<String> = verdict.stale.iter().map(u32::to_string).collect();
        desk.events.warn(format!(
            "hunks {} were left out: they build on what was declined, or do not parse without it",
            hunks.join(", ")
        ));
    }
    for share in verdict.shares.clone() {
        let (accepted, declined) = (share.accepted, share.declined);
        desk.events.emit(Event::Decided { approval: id, accepted, declined, by: share.by });
    }
    let denials = ruling.denials(patch);
    let reason = match denials.is_empty() {
        true => "no hunk was accepted; nothing was written".to_owned(),
        false => format!("no hunk was accepted; nothing was written. Denied: {}", denials.join(", ")),
    };
    Ok(Decided { verdict, reason })
}

/// What rules leave open is asked; without anything open nobody is.
async fn ask(
    desk: &Desk,
    id: u64,
    patch: &PatchSet,
    ruling: &Ruling,
    why: &BTreeMap<String, Vec<String>>,
    checks: Vec<CheckResult>,
) -> Result<Verdict, Stop> {
    let files = ruling.decided(patch, why);
    if !files.is_empty() {
        desk.events.emit(Event::RulesDecided { approval: id, files, asked: ruling.asks() });
    }
    let unfit = "the decision does not fit";
    if !ruling.asks() {
        return Ok(approval::without_asking(patch, ruling, &grammar::syntax).context(unfit)?);
    }
    let approval = approval::review(id, patch, ruling, why, checks);
    let (reply, answer) = oneshot::channel();
    desk.approvals.send(Asked { approval, reply }).await.ok().context("the engine is gone")?;
    let answered = answer.await.context("the engine ended while a patch waited for its owner")?;
    Ok(match answered {
        Some(decision) => approval::decide(patch, id, ruling, &decision, &grammar::syntax).context(unfit)?,
        None => approval::unanswered(patch),
    })
}

/// What is said beside a file's hunks: the plan's step, then the ledger.
fn why(proposal: &Proposal, path: &str) -> Vec<String> {
    let steps = (1..).zip(&proposal.steps).filter(|(_, step)| step.file == path || step.target == path);
    let mut lines: Vec<String> =
        steps.map(|(number, step)| format!("step {number}: {}", step.task)).collect();
    lines.extend(proposal.reasons.get(path).into_iter().flatten().cloned());
    lines
}

async fn check_scratch(desk: &Desk, patch: &PatchSet) -> Result<Option<CheckResult>, Stop> {
    let Some(command) = &desk.check else { return Ok(None) };
    let scratch = tempfile::tempdir().context("cannot make a folder for the scratch copy")?;
    let (root, folder, patch) = (desk.root.clone(), scratch.path().to_owned(), patch.clone());
    tokio::task::spawn_blocking(move || {
        check::copy_tree(&root, &folder)?;
        check::lay(&patch, &folder)
    })
    .await
    .context("the thread of the scratch copy ended")??;
    desk.events.warn("the check is not sandboxed: it can do whatever you can");
    Ok(Some(run_check(desk, command, CheckPlace::Scratch, scratch.path()).await?))
}

async fn check_tree(desk: &Desk) -> Result<Option<CheckResult>, Stop> {
    let Some(command) = &desk.check else { return Ok(None) };
    Ok(Some(run_check(desk, command, CheckPlace::Tree, &desk.root).await?))
}

async fn run_check(
    desk: &Desk,
    command: &[String],
    place: CheckPlace,
    folder: &std::path::Path,
) -> Result<CheckResult, Stop> {
    desk.events.emit(Event::CheckStarted { command: command.to_vec(), place });
    let result = check::run(command, folder).await?;
    desk.events.emit(Event::CheckFinished { command: command.to_vec(), place, result: result.clone() });
    Ok(result)
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
