//! From a proposal to the disk: ask the owner, apply, check in the tree, and what then.
//!
//! A turn with its roles and a review of patches that waited end here alike. It must not know models:
//! what has to be made again is asked of a [`Maker`], if there is one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::apply::{self, ApplyError, Extent, Note, Which};
use crate::approval::{self, Approved, Ruling, Verdict};
use crate::check::{Place, Runner};
use crate::edit::{Overlay, PatchSet, grammar};
use crate::engine::{Asked, Reply, Work};
use crate::events::Events;
use crate::failure::Failure;
use crate::message::Step;
use crate::pending::{self, PendingStore, Waiting};
use crate::protocol::{
    AfterFailure, CandidateView, CheckResult, Decision, Event, HunkChange, Outcome, Revision, StartRequest,
    Usage,
};
use crate::retrieve::Retriever;
use crate::rules::{self, Authority, Mode};
use crate::turn::make::Maker;
use crate::turn::{Checks, Stop, unless};

/// What it takes to have a patch signed and written. Cheap to clone.
#[derive(Clone)]
pub struct Signer {
    pub events: Events,
    pub session: String,
    pub root: PathBuf,
    pub journal: PathBuf,
    pub pending: PendingStore,
    /// How far it goes without asking.
    pub authority: Authority,
    pub checks: Checks,
    pub runner: Runner,
    /// Which tests concern a change; without it all run.
    pub retriever: Option<Retriever>,
    /// Whether somebody can say what to do when a check fails on what was applied; else it is kept.
    pub asks_after_failure: bool,
    /// Whether somebody can say whether a check that nobody approved yet may run; else it does not.
    pub asks_about_checks: bool,
    /// Hashes of the checks that its owner does not want now, or was told of that they do not run.
    pub told: Arc<Mutex<BTreeSet<String>>>,
    /// Last id of a question that was given out; ids are never used twice in a session.
    pub ids: Arc<AtomicU64>,
    /// The way to the owner.
    pub owner: mpsc::Sender<Asked>,
}

/// A patch that waits for its owner.
pub(super) struct Proposal {
    pub overlay: Overlay,
    pub patch: PatchSet,
    /// Steps of the plan that could not be carried out, with the reasons.
    pub failed: Vec<String>,
    pub request: String,
    pub summary: String,
    pub why: Why,
    /// What was checked, for this very patch.
    pub checks: Vec<CheckResult>,
    pub candidates: Vec<CandidateView>,
}

/// Why a file is changed.
pub(super) enum Why {
    /// By the steps of a plan; and the first ledger reasons of each file.
    Planned { steps: Vec<Step>, reasons: HashMap<String, Vec<String>> },
    /// As it was noted when the patch was put aside, by path.
    Noted(BTreeMap<String, Vec<String>>),
}

impl Why {
    /// What is said beside a file's hunks: the plan's step, then the ledger.
    fn of(&self, path: &str) -> Vec<String> {
        match self {
            Why::Noted(noted) => noted.get(path).cloned().unwrap_or_default(),
            Why::Planned { steps, reasons } => {
                let steps = (1..).zip(steps).filter(|(_, step)| step.file == path || step.target == path);
                let steps = steps.map(|(number, step)| format!("step {number}: {}", step.task));
                steps.chain(reasons.get(path).into_iter().flatten().cloned()).collect()
            }
        }
    }
}

impl Proposal {
    fn why(&self) -> BTreeMap<String, Vec<String>> {
        let paths = self.patch.files().iter().map(|file| file.path());
        paths.map(|path| (path.to_owned(), self.why.of(path))).collect()
    }

    /// The paths that the plan names; none for a patch whose plan is not known any more.
    fn planned(&self) -> BTreeSet<&str> {
        match &self.why {
            Why::Noted(_) => BTreeSet::new(),
            Why::Planned { steps, .. } => {
                let paths = steps.iter().flat_map(|step| [step.file.as_str(), step.target.as_str()]);
                paths.filter(|path| !path.is_empty()).collect()
            }
        }
    }

    /// What its owner made of it. Checks spoke of another patch then.
    fn revise(&mut self, revision: Revision) -> Result<(), String> {
        match revision.change {
            HunkChange::Split {} => {
                let split = self.patch.split(revision.hunk);
                let split = split.ok_or("this hunk cannot be split: its changed lines are one run")?;
                self.patch = self.overlay.bound(split);
            }
            HunkChange::Edit { lines } => {
                let rewritten = self.patch.with_new_lines(revision.hunk, &lines);
                let (path, text) = rewritten.ok_or("the lines of this hunk cannot be edited")?;
                let refused = |refusals: Vec<crate::edit::Refusal>| {
                    let texts: Vec<String> = refusals.iter().map(ToString::to_string).collect();
                    format!("your edit was not taken: {}", texts.join("; "))
                };
                self.overlay.write_as_owner(&path, &text).map_err(refused)?;
                self.patch = self.overlay.patch();
                self.checks.clear();
            }
        }
        Ok(())
    }
}

/// What rules and the owner said.
enum Answer {
    /// With what was denied, a line a file.
    Decided(Verdict, Vec<String>),
    SentBack(Decision),
}

/// Has a proposal signed and written, and again what is made of it then.
pub(super) async fn settle(
    signer: &Signer,
    maker: Option<&Maker<'_>>,
    mut proposal: Proposal,
    cancel: &CancellationToken,
) -> Result<Outcome, Stop> {
    let mut applied = 0;
    let mut failure: Option<String> = None;
    // What was asked once is asked in every later version, whatever would allow that one.
    let mut asked_before = BTreeSet::new();
    loop {
        let Some(answer) = unless(cancel, signer.ask(&mut proposal, &mut asked_before)).await else {
            return Ok(cancelled(failure));
        };
        let (verdict, denials) = match (answer?, maker) {
            (Answer::Decided(verdict, denials), _) => (verdict, denials),
            (Answer::SentBack(decision), Some(maker)) => {
                match unless(cancel, maker.sent_back(proposal, &decision)).await {
                    Some(made) => proposal = made?,
                    None => return Ok(cancelled(failure)),
                }
                continue;
            }
            (Answer::SentBack(_), None) => {
                signer
                    .events
                    .warn("there is no model here to send it back to; decide about the patch as it is");
                continue;
            }
        };
        let Some(approved) = verdict.approved else {
            let waiting = signer.put_aside(&proposal, &verdict.accepted, &verdict.pending)?;
            return Ok(match (waiting, failure) {
                (_, Some(reason)) => Outcome::ChecksFailed { reason },
                (Some((id, pending)), None) => Outcome::Pending { applied, pending, id },
                (None, None) => Outcome::Declined { reason: declined(&denials) },
            });
        };

        // From here to the end of `write` nothing is cancelled: the tree is as it was or fully changed.
        let (change, files) = match signer.write(approved, &proposal.summary).await {
            Ok(written) => written,
            Err(stop) => {
                // The owner's work is not lost with the tree that it was meant for.
                let wanted = [verdict.accepted.as_slice(), &verdict.pending].concat();
                signer.put_aside(&proposal, &[], &wanted)?;
                return Err(stop);
            }
        };
        let waiting = signer.put_aside(&proposal, &verdict.accepted, &verdict.pending)?;
        applied += verdict.accepted.len() as u32;

        let checked = unless(cancel, signer.check(Place::Tree, &proposal.patch)).await.transpose()?;
        if let Some(result) = checked.into_iter().flatten().find(|ran| !ran.result.passed) {
            let reason = format!(
                "the check failed after {files} files were changed; `countersign undo` takes them back"
            );
            if !signer.asks_after_failure {
                return Ok(Outcome::ChecksFailed { reason });
            }
            let answer = unless(cancel, signer.ask_after_failure(&reason, maker.is_some())).await;
            match (answer.transpose()?, maker) {
                (Some(AfterFailure::Undo), _) => {
                    signer.take_back(&change).await?;
                    let reason = "the check failed, and the change was taken back".to_owned();
                    return Ok(Outcome::TakenBack { reason });
                }
                (Some(AfterFailure::Repair), Some(maker)) => {
                    match unless(cancel, maker.mend(&result)).await {
                        Some(made) => proposal = made?,
                        None => return Ok(Outcome::ChecksFailed { reason }),
                    }
                    failure = Some(reason);
                    continue;
                }
                _ => return Ok(Outcome::ChecksFailed { reason }),
            }
        }
        let declined = verdict.declined.len() as u32;
        return Ok(match (waiting, proposal.failed.is_empty()) {
            (Some((id, pending)), _) => Outcome::Pending { applied, pending, id },
            (None, true) => Outcome::Done { applied, declined, summary: proposal.summary },
            (None, false) => Outcome::Incomplete { applied, declined, reason: proposal.failed.join("; ") },
        });
    }
}

/// How a turn ends that is cancelled before this round applied anything: an earlier round may have, and
/// its check failed.
fn cancelled(failure: Option<String>) -> Outcome {
    failure.map_or(Outcome::Cancelled, |reason| Outcome::ChecksFailed { reason })
}

/// Why nothing is applied.
fn declined(denials: &[String]) -> String {
    let reason = "no hunk was accepted; nothing was written";
    match denials {
        [] => reason.to_owned(),
        denials => format!("{reason}. Denied: {}", denials.join(", ")),
    }
}

impl Signer {
    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What mode and rules say of the patch as it is now, with its checks.
    fn ruling(&self, proposal: &Proposal, asked_before: &BTreeSet<String>) -> Ruling {
        let place = |path: &str| rules::disk::place(&self.root, path);
        let (patch, planned) = (&proposal.patch, proposal.planned());
        approval::by_rules(patch, &planned, &self.authority, &proposal.checks, &place)
            .asking_again(patch, asked_before)
    }

    /// Lets rules decide their part of a proposal, and shows the rest to its owner until they decide or
    /// send it back. Nobody is asked if nothing is left.
    async fn ask(
        &self,
        proposal: &mut Proposal,
        asked_before: &mut BTreeSet<String>,
    ) -> Result<Answer, Stop> {
        let (mut replaces, mut refused) = (None, None);
        loop {
            let id = self.next_id();
            let ruling = self.ruling(proposal, asked_before);
            let why = proposal.why();
            let files = ruling.decided(&proposal.patch, &why);
            if !files.is_empty() {
                self.events.emit(Event::RulesDecided { approval: id, files, asked: ruling.asks() });
            }
            let denials = ruling.denials(&proposal.patch);
            if !ruling.asks() {
                let verdict = approval::without_asking(&proposal.patch, &ruling, &grammar::syntax);
                let verdict = verdict.context("the ruling does not fit")?;
                return Ok(Answer::Decided(self.decided(id, verdict), denials));
            }
            let mut approval = approval::review(id, &proposal.patch, &ruling, &why, proposal.checks.clone());
            asked_before.extend(approval.files.iter().map(|file| file.path.clone()));
            (approval.replaces, approval.refused) = (replaces, refused.take());
            approval.candidates.clone_from(&proposal.candidates);
            let (reply, answer) = oneshot::channel();
            let asked = Asked::Approval { approval, patch: proposal.patch.clone(), reply };
            self.owner.send(asked).await.ok().context("the engine is gone")?;
            match answer.await.context("the engine ended while a patch waited for its owner")? {
                Reply::Decide(decision) if decision.feedback.is_empty() => {
                    let verdict = approval::decide(&proposal.patch, id, &ruling, &decision, &grammar::syntax);
                    let verdict = verdict.context("the decision does not fit")?;
                    return Ok(Answer::Decided(self.decided(id, verdict), denials));
                }
                Reply::Decide(decision) => {
                    let feedback = decision.feedback.clone();
                    self.events.emit(Event::SentBack { approval: id, feedback });
                    return Ok(Answer::SentBack(decision));
                }
                Reply::Revise(revision) => {
                    refused = proposal.revise(revision).err();
                    replaces = Some(id);
                }
            }
        }
    }

    /// Tells what was decided, and by what.
    fn decided(&self, id: u64, verdict: Verdict) -> Verdict {
        if !verdict.stale.is_empty() {
            let hunks: Vec<String> = verdict.stale.iter().map(u32::to_string).collect();
            self.events.warn(format!(
                "hunks {} were left out: they build on what was declined, or do not parse without it",
                hunks.join(", ")
            ));
        }
        for share in verdict.shares.clone() {
            let (accepted, declined, pending) = (share.accepted, share.declined, share.pending);
            self.events.emit(Event::Decided { approval: id, accepted, declined, pending, by: share.by });
        }
        verdict
    }

    /// Keeps hunks for a later review, over the tree with the accepted ones in it; gives their id and
    /// number.
    fn put_aside(
        &self,
        proposal: &Proposal,
        accepted: &[u32],
        pending: &[u32],
    ) -> Result<Option<(String, u32)>, Stop> {
        let accepted: BTreeSet<u32> = accepted.iter().copied().collect();
        let pending: BTreeSet<u32> = pending.iter().copied().collect();
        let rest = proposal.patch.rest(&accepted, &pending);
        if rest.is_empty() {
            return Ok(None);
        }
        let mut note = pending::Note::new(&self.session, &proposal.request, &proposal.summary);
        (note.why, note.checks) = (proposal.why(), proposal.checks.clone());
        let id = self.pending.keep(&rest, note)?;
        let hunks = pending.len() as u32;
        self.events.emit(Event::LeftPending { id: id.clone(), hunks });
        Ok(Some((id, hunks)))
    }

    async fn ask_after_failure(&self, reason: &str, can_repair: bool) -> Result<AfterFailure, Stop> {
        let mut options = vec![AfterFailure::Undo, AfterFailure::Keep];
        if can_repair {
            options.insert(0, AfterFailure::Repair);
        }
        let (reply, answer) = oneshot::channel();
        let asked = Asked::Choice { choice: self.next_id(), reason: reason.to_owned(), options, reply };
        self.owner.send(asked).await.ok().context("the engine is gone")?;
        Ok(answer.await.context("the engine ended while a choice waited for its owner")?)
    }

    /// Writes and reads back; gives the change's id and the number of files.
    async fn write(&self, approved: Approved<PatchSet>, summary: &str) -> Result<(String, usize), Stop> {
        let (root, journal, summary) = (self.root.clone(), self.journal.clone(), summary.to_owned());
        // One turn is one task; ids of approvals tell turns of the same second apart.
        let task = format!("{}-{}", crate::clock::stamp(), self.ids.load(Ordering::Relaxed));
        let applied = tokio::task::spawn_blocking(move || {
            let note = Note { at_ms: crate::clock::now_ms(), summary: &summary, task: Some(&task) };
            apply::apply(approved, &root, &journal, note)
        })
        .await
        .context("the thread that applies changes ended")?;
        let change = applied.map_err(|error| Stop::Other(refused(error)))?;
        let files = change.files.len();
        self.events.emit(Event::Applied { change: change.id.clone(), files: change.files });
        Ok((change.id, files))
    }

    async fn take_back(&self, change: &str) -> Result<(), Stop> {
        let (root, journal, id) = (self.root.clone(), self.journal.clone(), change.to_owned());
        tokio::task::spawn_blocking(move || apply::undo(&root, &journal, Which::Id(&id), Extent::Change))
            .await
            .context("the thread that takes changes back ended")?
            .map_err(|error| Stop::Other(refused(error)))?;
        self.events.emit(Event::Undone { change: change.to_owned() });
        Ok(())
    }
}

/// A tree that changed meanwhile, or that may not be written, is for its owner to mend.
fn refused(error: ApplyError) -> anyhow::Error {
    match error {
        ApplyError::HalfDone { .. } | ApplyError::Journal { .. } => error.into(),
        error => Failure::usage(error.to_string(), "Nothing was written. Run the request again.").into(),
    }
}

/// The review of a patch that waited: a turn without roles.
pub struct Review {
    pub signer: Signer,
    pub waiting: Waiting,
}

impl Work for Review {
    fn begin(&self, _request: StartRequest, cancel: CancellationToken) -> BoxFuture<'static, Outcome> {
        let (signer, waiting) = (self.signer.clone(), self.waiting.clone());
        Box::pin(async move { review(&signer, waiting, &cancel).await.unwrap_or_else(Stop::outcome) })
    }

    fn take_usage(&self) -> Usage {
        Usage::default()
    }
}

async fn review(signer: &Signer, waiting: Waiting, cancel: &CancellationToken) -> Result<Outcome, Stop> {
    let offered = waiting.offer(&signer.root)?;
    for path in &offered.merged {
        signer.events.warn(format!("{path} has changed since; the change was merged into it, so look twice"));
    }
    for path in &offered.conflicts {
        signer.events.warn(format!(
            "{path} has changed since so that this change has no clear place in it; it is left out"
        ));
    }
    if offered.patch.is_empty() {
        let reason = format!(
            "nothing of patch {} fits the tree any more; `countersign review --discard {}` forgets it",
            waiting.id, waiting.id
        );
        return Ok(Outcome::Declined { reason });
    }
    let same = offered.merged.is_empty() && offered.conflicts.is_empty();
    let note = &waiting.note;
    let mut proposal = Proposal {
        overlay: offered.overlay,
        patch: offered.patch,
        failed: Vec::new(),
        request: note.request.clone(),
        summary: note.summary.clone(),
        why: Why::Noted(note.why.clone()),
        // Of the patch as it was; not of what has become of it.
        checks: if same { note.checks.clone() } else { Vec::new() },
        candidates: Vec::new(),
    };
    if !same {
        let again = signer.check(Place::Scratch, &proposal.patch).await?;
        proposal.checks = again.into_iter().map(|ran| ran.result).collect();
    }
    let outcome = settle(signer, None, proposal, cancel).await?;
    // What is left of it waits under a new id. A mode that applies nothing only shows what waits.
    if !matches!(outcome, Outcome::Cancelled) && !matches!(signer.authority.mode, Mode::Deny | Mode::Plan) {
        signer.pending.remove(&waiting.id)?;
    }
    Ok(outcome)
}
