//! How a proposal comes to be: carry out the plan, perhaps several times; check; choose.
//!
//! A small model buys quality with time here, and nowhere else. What is proposed is always a whole
//! patch over the tree as it is; the owner sees how it was chosen. It must not ask the owner.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::check::suggest::{self, Told};
use crate::check::{Place, Ran, tally};
use crate::edit::{Overlay, PatchSet};
use crate::message::{Step, StepAction};
use crate::protocol::{CandidateView, Decision, Event, Outcome};
use crate::turn::code::{self, Draft, Notes};
use crate::turn::repair::Failed;
use crate::turn::sign::{Proposal, Why};
use crate::turn::{Desk, Job, Stop};

/// How often a compiler's corrections are made: each lets it see further.
const MOST_CORRECTED: usize = 3;
/// How freely answers are sampled that are drawn side by side: at the usual temperature of 0 they would be
/// the same, and by less than 0.6 a 1.5B model that is sure of itself is not moved.
pub(super) const DRAWN: u32 = 3;

/// Makes proposals for one request, and makes them again.
pub(super) struct Maker<'a> {
    pub desk: &'a Desk,
    pub job: Job,
}

/// A draft with what a check says about it.
pub(super) struct Checked {
    pub draft: Draft,
    pub patch: PatchSet,
    pub checks: Vec<Ran>,
    /// In how many places a compiler corrected a file.
    corrected: BTreeMap<String, u32>,
}

impl Checked {
    pub fn passed(&self) -> Option<bool> {
        (!self.checks.is_empty()).then(|| self.checks.iter().all(|check| check.result.passed))
    }

    /// Better drafts are smaller: a check that passes, then all steps, then few lines.
    fn rank(&self) -> (bool, usize, usize) {
        let (added, removed) = self.patch.size();
        (self.passed() == Some(false), self.draft.failed.len(), added + removed)
    }

    /// Tests that passed, of all checks: how near a draft is that did not pass.
    /// `None` where none could run.
    pub fn tests(&self) -> Option<u32> {
        self.checks.iter().filter_map(|ran| tally::passed(&ran.output)).reduce(u32::saturating_add)
    }
}

impl Maker<'_> {
    /// A patch for the whole plan.
    ///
    /// # Errors
    /// [`Outcome::NoValidChange`] if no step could be carried out, and what ends a turn.
    pub async fn propose(&self) -> Result<Proposal, Stop> {
        if let Some(repaired) = self.repaired_tree().await? {
            return Ok(self.proposal(repaired, Vec::new()));
        }
        let mut drafts: Vec<Checked> = Vec::new();
        let mut views: Vec<CandidateView> = Vec::new();
        let mut reasons = Vec::new();
        let mut carried_out = VecDeque::new();
        for number in 1..=self.desk.tries.candidates.max(1) {
            if carried_out.is_empty() {
                // The first is the surest answer; the others can be drawn together.
                let draws = if number > 1 { self.desk.draws() } else { 1 };
                let variation = if draws > 1 { DRAWN } else { number - 1 };
                let wanted = draws.min(self.desk.tries.candidates + 1 - number);
                carried_out.extend(code::carry_out(self.desk, &self.job, variation, wanted).await?);
            }
            let Some(draft) = carried_out.pop_front() else { break };
            let patch = draft.overlay.patch();
            if patch.is_empty() {
                reasons.extend(draft.failed);
                continue;
            }
            let twin = drafts.iter().position(|other| other.patch.digest() == patch.digest());
            let of = |checked: &Checked, same_as| {
                let (added, removed) = checked.patch.size();
                CandidateView {
                    number,
                    same_as,
                    failed_steps: checked.draft.failed.len() as u32,
                    passed: checked.passed(),
                    added: added as u32,
                    removed: removed as u32,
                    chosen: false,
                }
            };
            match twin {
                Some(twin) => {
                    let first = views.iter().filter(|view| view.same_as.is_none()).nth(twin);
                    views.push(of(&drafts[twin], first.map(|view| view.number)));
                }
                None => {
                    let checked = self.checked(draft, patch).await?;
                    views.push(of(&checked, None));
                    drafts.push(checked);
                }
            }
        }
        let Some(best) = (0..drafts.len()).min_by_key(|at| drafts[*at].rank()) else {
            reasons.dedup();
            let reason =
                if reasons.is_empty() { "the edits change nothing".into() } else { reasons.join("; ") };
            return Err(Stop::Outcome(Outcome::NoValidChange { reason }));
        };
        if self.desk.tries.candidates > 1 {
            let mut originals = views.iter_mut().filter(|view| view.same_as.is_none());
            originals.nth(best).into_iter().for_each(|view| view.chosen = true);
            self.desk.events.emit(Event::CandidatesCompared { candidates: views.clone() });
        }
        let chosen = self.repaired(drafts.swap_remove(best)).await?;
        Ok(self.proposal(chosen, views))
    }

    /// The patch without what was declined, and the declined steps done again in the owner's words.
    ///
    /// # Errors
    /// What ends a turn. A step that cannot be done again is said, and left out.
    pub async fn sent_back(&self, proposal: Proposal, decision: &Decision) -> Result<Proposal, Stop> {
        let Proposal { mut overlay, patch, mut failed, .. } = proposal;
        let path_of = |hunk: u32| {
            let has = |hunks: &[crate::edit::patch::Hunk]| hunks.iter().any(|one| one.id() == hunk);
            patch.files().iter().find(|file| has(file.hunks())).map(|file| file.path().to_owned())
        };
        let returned: BTreeSet<u32> =
            decision.feedback.iter().flat_map(|feedback| feedback.hunks.iter().copied()).collect();
        overlay.keep(&patch, &patch.ids().difference(&returned).copied().collect());
        for feedback in &decision.feedback {
            let paths: BTreeSet<String> = feedback.hunks.iter().filter_map(|hunk| path_of(*hunk)).collect();
            for (number, step) in self.steps_of(|step| paths.contains(&step.file)) {
                let notes = Notes { feedback: feedback.text.clone(), ..Notes::default() };
                if let Err(reason) = code::again(self.desk, &self.job, &mut overlay, number, notes).await? {
                    let reason = format!("step {number} ({}): {reason}", step.file);
                    self.desk.events.warn(format!("{reason}; it is left out"));
                    failed.push(reason);
                }
            }
        }
        let patch = overlay.patch();
        if patch.is_empty() {
            let reason = "what was left after the feedback changes nothing".to_owned();
            return Err(Stop::Outcome(Outcome::NoValidChange { reason }));
        }
        let checked = self.checked(Draft { overlay, failed }, patch).await?;
        Ok(self.proposal(checked, Vec::new()))
    }

    /// A patch over the tree as it is, for a check that failed in it.
    ///
    /// # Errors
    /// [`Outcome::ChecksFailed`] if the Coder has nothing to propose, and what ends a turn.
    pub async fn mend(&self, failure: &Ran) -> Result<Proposal, Stop> {
        let draft = self.tree()?;
        self.desk.events.emit(Event::RepairStarted { attempt: 1, of: 1 });
        let failure = Failed::of(failure, &draft);
        let drafts = self.mended(draft, &failure, Notes::default()).await?;
        match self.nearest(drafts, &mut Vec::new()).await? {
            Some(checked) => Ok(self.proposal(checked, Vec::new())),
            None => {
                let reason = "a check failed, and no repair could be proposed; `countersign undo` takes the change back";
                Err(Stop::Outcome(Outcome::ChecksFailed { reason: reason.into() }))
            }
        }
    }

    /// The draft that changes nothing.
    pub(super) fn tree(&self) -> Result<Draft, Stop> {
        let overlay = Overlay::open(&self.desk.root).map_err(anyhow::Error::from)?;
        Ok(Draft { overlay, failed: Vec::new() })
    }

    /// Steps that a model carries out, with their numbers.
    pub(super) fn steps_of(&self, wanted: impl Fn(&Step) -> bool) -> Vec<(u32, &Step)> {
        let codes = |step: &Step| matches!(step.action, StepAction::Edit | StepAction::Create);
        (1..).zip(&self.job.plan.steps).filter(|(_, step)| codes(step) && wanted(step)).collect()
    }

    pub(super) async fn checked(&self, draft: Draft, patch: PatchSet) -> Result<Checked, Stop> {
        let judged = self.judged(draft, patch).await?;
        self.compiling(judged).await
    }

    /// What checks say of a draft as it is.
    pub(super) async fn judged(&self, draft: Draft, patch: PatchSet) -> Result<Checked, Stop> {
        let checks = match self.desk.parts.early_checks {
            true => self.desk.signer.check(Place::Scratch, &patch).await?,
            false => Vec::new(),
        };
        Ok(Checked { draft, patch, checks, corrected: BTreeMap::new() })
    }

    /// The draft itself, or where it does not compile, one that the compiler has corrected.
    pub(super) async fn compiling(&self, checked: Checked) -> Result<Checked, Stop> {
        let fails = |ran: &Ran| !ran.result.passed && suggest::could_not_compile(&ran.output);
        match self.desk.parts.corrections && checked.checks.iter().any(fails) {
            true => self.corrected(checked).await,
            false => Ok(checked),
        }
    }

    /// With what the compiler itself offers to correct, as long as that leaves fewer errors. No model has to
    /// be asked for what is known.
    async fn corrected(&self, checked: Checked) -> Result<Checked, Stop> {
        let signer = &self.desk.signer;
        let Some(telling) = signer.telling().await? else { return Ok(checked) };
        let mut told = signer.told(&telling, &checked.patch).await?;
        // What the plan is about may be corrected, too, when nothing is changed yet.
        let planned = self.steps_of(|_| true).into_iter().map(|(_, step)| step.file.clone());
        let changed = checked.patch.files().iter().map(|file| file.path().to_owned());
        let paths: BTreeSet<String> = planned.chain(changed).collect();
        let (mut draft, mut corrected) = (checked.draft.clone(), BTreeMap::new());
        for _ in 0..MOST_CORRECTED {
            let mut next = draft.clone();
            let files = correct(&mut next, &told, &paths);
            if files.is_empty() {
                break;
            }
            let now = signer.told(&telling, &next.overlay.patch()).await?;
            if now.errors >= told.errors {
                break;
            }
            files.into_iter().for_each(|(path, places)| *corrected.entry(path).or_default() += places);
            (draft, told) = (next, now);
        }
        let patch = draft.overlay.patch();
        if corrected.is_empty() || patch.is_empty() {
            return Ok(checked);
        }
        let checks = signer.check(Place::Scratch, &patch).await?;
        self.desk.events.emit(Event::CompilerCorrected { files: corrected.clone() });
        Ok(Checked { draft, patch, checks, corrected })
    }

    fn proposal(&self, checked: Checked, candidates: Vec<CandidateView>) -> Proposal {
        let mut reasons = self.job.gathered.reasons.clone();
        for (path, places) in checked.corrected {
            let what = if places == 1 { "place" } else { "places" };
            let reason = format!("corrected in {places} {what} as the compiler offers");
            reasons.entry(path).or_default().insert(0, reason);
        }
        Proposal {
            overlay: checked.draft.overlay,
            patch: checked.patch,
            failed: checked.draft.failed,
            request: self.job.request.text.clone(),
            summary: self.job.plan.summary.clone(),
            why: Why::Planned { steps: self.job.plan.steps.clone(), reasons },
            checks: checked.checks.into_iter().map(|ran| ran.result).collect(),
            candidates,
        }
    }
}

/// Corrects these files; gives the number of places in each. A file that a gate
/// says no to stays as it is.
fn correct(draft: &mut Draft, told: &Told, paths: &BTreeSet<String>) -> BTreeMap<String, u32> {
    let mut places = BTreeMap::new();
    for path in paths {
        let Ok(Some(text)) = draft.overlay.read(path) else { continue };
        let mine = told.in_file(path, &text);
        let new = suggest::corrected(&text, &mine);
        let Some(new) = new.filter(|new| *new != text) else { continue };
        if draft.overlay.correct(path, &new).is_ok() {
            places.insert(path.to_owned(), mine.len() as u32);
        }
    }
    places
}
