//! How a proposal comes to be: carry out the plan, perhaps several times; check; choose; repair.
//!
//! A small model buys quality with time here, and nowhere else. What is proposed is always a whole
//! patch over the tree as it is; the owner sees how it was chosen. It must not ask the owner.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::check::suggest::{self, Correction};
use crate::check::{self, Place, Ran, tally};
use crate::edit::{Overlay, PatchSet};
use crate::message::{Step, StepAction};
use crate::protocol::{CandidateView, Decision, Event, Outcome};
use crate::turn::code::{self, Draft, Notes};
use crate::turn::sign::{Proposal, Why};
use crate::turn::{Desk, Job, Stop};

/// Steps that are done again for one failed check: more would be another plan.
const MOST_REPAIRED: usize = 2;
/// Bytes of a check's output that the Coder gets.
const OUTPUT_BYTES: usize = 1500;
/// How many repairs there are at most for each one that is asked for, since those that gain do not count.
const MOST_GAINS: u32 = 3;
/// In how many ways what fails in the tree itself is repaired, each as often as is asked for.
const WAYS: u32 = 2;
/// Tests of all answers so far that a further one is told of.
const MOST_EXAMPLES: usize = 12;
/// How often a compiler's corrections are made: each lets it see further.
const MOST_CORRECTED: usize = 3;
/// How freely answers are sampled that are drawn side by side: at the usual temperature of 0 they would be
/// the same, and by less than 0.6 a 1.5B model that is sure of itself is not moved.
const DRAWN: u32 = 3;

/// Makes proposals for one request, and makes them again.
pub(super) struct Maker<'a> {
    pub desk: &'a Desk,
    pub job: Job,
}

/// A draft with what a check says about it.
struct Checked {
    draft: Draft,
    patch: PatchSet,
    checks: Vec<Ran>,
    /// In how many places a compiler corrected a file.
    corrected: BTreeMap<String, u32>,
}

impl Checked {
    fn passed(&self) -> Option<bool> {
        (!self.checks.is_empty()).then(|| self.checks.iter().all(|check| check.result.passed))
    }

    /// Better drafts are smaller: a check that passes, then all steps, then few lines.
    fn rank(&self) -> (bool, usize, usize) {
        let (added, removed) = self.patch.size();
        (self.passed() == Some(false), self.draft.failed.len(), added + removed)
    }

    /// Tests that passed, of all checks: how near a draft is that did not pass.
    /// `None` where none could run.
    fn tests(&self) -> Option<u32> {
        self.checks.iter().filter_map(|ran| tally::passed(&ran.output)).reduce(u32::saturating_add)
    }
}

/// A check that failed, in the words that the Coder gets.
struct Failed {
    /// Its output, as far as it matters.
    essence: String,
    /// What its tests say in a line each, or else the essence.
    told: String,
    /// What has to hold, by its tests, a line each.
    examples: Vec<String>,
}

impl Failed {
    fn of(ran: &Ran, draft: &Draft) -> Failed {
        let essence = check::essence(&ran.output, OUTPUT_BYTES);
        let (mut told, mut examples) = (String::new(), Vec::new());
        for line in code::in_short(&ran.output, &draft.overlay) {
            if told.len() + line.len() > OUTPUT_BYTES {
                break;
            }
            told.push_str(&format!("- {line}\n"));
            examples.push(check::must_hold(&line));
        }
        let told = if told.is_empty() { essence.clone() } else { told };
        Failed { essence, told, examples }
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

    /// The tree as it is, repaired; for a request that tells of a failure which a check shows as well. The
    /// check says all of it where a paste is cut, and it judges several answers at once. `None` where no check
    /// shows it, or no repair gains anything.
    async fn repaired_tree(&self) -> Result<Option<Checked>, Stop> {
        let request = &self.job.request.text;
        if !self.desk.parts.early_checks || !check::tells_a_failure(request) {
            return Ok(None);
        }
        let tree = self.tree()?;
        let patch = tree.overlay.patch();
        let checked = self.checked(tree, patch).await?;
        let shows_it = |ran: &Ran| !ran.result.passed && check::tells_the_same(request, &ran.output);
        if !checked.checks.iter().any(shows_it) {
            return Ok(None);
        }
        let repaired = self.repaired(checked).await?;
        Ok(Some(repaired).filter(|repaired| !repaired.patch.is_empty()))
    }

    /// The draft that changes nothing.
    fn tree(&self) -> Result<Draft, Stop> {
        let overlay = Overlay::open(&self.desk.root).map_err(anyhow::Error::from)?;
        Ok(Draft { overlay, failed: Vec::new() })
    }

    /// The draft itself if its check passed, or one that the Coder made with the check's output, if that
    /// one passes. Otherwise the draft as the plan had it: a repair that does not help is only more to
    /// read. Where that draft changes nothing, it is the repair with which the most tests pass.
    ///
    /// A repair after which more tests pass is gone on from, and does not count. After one of a draft that gains
    /// nothing, the next forgets the answer before: a small model that is sure of a mistake keeps it whatever the
    /// check says. What fails in the tree itself is written anew and corrected in turns.
    async fn repaired(&self, original: Checked) -> Result<Checked, Stop> {
        let is_tree = original.patch.is_empty();
        let mut of = self.desk.tries.repairs.saturating_mul(if is_tree { WAYS } else { 1 });
        let most = of.saturating_mul(MOST_GAINS);
        let mut tried = vec![original.patch.digest()];
        let mut latest: Option<Checked> = None;
        let (mut attempt, mut goes_on) = (0, true);
        let mut examples: Vec<String> = Vec::new();
        while attempt < of {
            let from = latest.as_ref().unwrap_or(&original);
            let Some(failed) = from.checks.iter().find(|check| !check.result.passed) else { break };
            attempt += 1;
            self.desk.events.emit(Event::RepairStarted { attempt, of });
            let failure = Failed::of(failed, &from.draft);
            for line in &failure.examples {
                if !examples.contains(line) {
                    examples.push(line.clone());
                }
            }
            examples.truncate(MOST_EXAMPLES);
            let notes = Notes { examples: examples.clone(), ..Notes::default() };
            let draft = from.draft.clone();
            let done = match goes_on {
                _ if is_tree => {
                    // Asked for much the same again, it is asked more freely.
                    let variation = if attempt > 2 { DRAWN + (attempt - 1) / 2 } else { 0 };
                    // Without an example, what is hidden could not be written again.
                    let anew = attempt % 2 == 1 && !examples.is_empty();
                    let notes = Notes { anew, variation, ..notes };
                    self.mended(draft, &failure, notes).await
                }
                true => self.mended(draft, &failure, Notes::default()).await,
                false => self.afresh(draft, &failure, Notes { variation: attempt + 1, ..notes }).await,
            };
            let drafts = match done {
                // What there is already is not lost with a server that fails now.
                Err(Stop::Call(error)) => {
                    self.desk.events.warn(format!("no repair: {error}"));
                    break;
                }
                done => done?,
            };
            let before = from.tests();
            let nearest = self.nearest(drafts, &mut tried).await?;
            let gains = nearest.as_ref().is_some_and(|nearest| nearest.tests() > before);
            if gains && of < most {
                of += 1;
            }
            goes_on = gains || !goes_on;
            let is_of_use = |checked: &Checked| {
                checked.passed() != Some(false) || gains || !is_tree && checked.tests() >= before
            };
            latest = nearest.filter(is_of_use).or(latest);
        }
        match latest {
            Some(latest) if latest.passed() == Some(true) => Ok(latest),
            Some(latest) if is_tree && latest.tests() > original.tests() => {
                self.desk.events.warn("no repair passed the check; the nearest one is offered");
                Ok(latest)
            }
            Some(_) if is_tree => Ok(original),
            Some(_) => {
                self.desk.events.warn("no repair passed the check; the first proposal is offered");
                Ok(original)
            }
            None => Ok(original),
        }
    }

    /// The first new draft whose check passes, or else the one with the most tests that do.
    async fn nearest(&self, drafts: Vec<Draft>, tried: &mut Vec<String>) -> Result<Option<Checked>, Stop> {
        let mut nearest: Option<Checked> = None;
        for draft in drafts {
            let patch = draft.overlay.patch();
            if patch.is_empty() || tried.contains(&patch.digest()) {
                continue;
            }
            tried.push(patch.digest());
            let checked = self.checked(draft, patch).await?;
            if checked.passed() != Some(false) {
                return Ok(Some(checked));
            }
            if nearest.as_ref().is_none_or(|nearest| checked.tests() > nearest.tests()) {
                nearest = Some(checked);
            }
        }
        Ok(nearest)
    }

    /// Does the steps again that a failing check speaks of, on the lines as they are.
    async fn mended(&self, draft: Draft, failure: &Failed, notes: Notes) -> Result<Vec<Draft>, Stop> {
        let steps: Vec<u32> =
            self.spoken_of(&failure.essence).into_iter().map(|(number, _)| number).collect();
        self.done_again(draft, &steps, Notes { failure: failure.told.clone(), ..notes }).await
    }

    /// Does them again as if they had not been done. A file's other steps go with it.
    async fn afresh(&self, mut draft: Draft, failure: &Failed, notes: Notes) -> Result<Vec<Draft>, Stop> {
        let files: BTreeSet<&str> =
            self.spoken_of(&failure.essence).into_iter().map(|(_, step)| step.file.as_str()).collect();
        files.iter().for_each(|file| draft.overlay.take_back(file));
        let steps = self.steps_of(|step| files.contains(step.file.as_str()));
        let steps: Vec<u32> = steps.into_iter().map(|(number, _)| number).collect();
        self.done_again(draft, &steps, notes).await
    }

    /// The steps that a check's output names, or any, if it names none: few, and the last first, since the
    /// later ones saw the earlier ones, and what does not fit is more likely theirs.
    fn spoken_of(&self, output: &str) -> Vec<(u32, &Step)> {
        let named = |step: &Step| output.contains(step.file.rsplit('/').next().unwrap_or(&step.file));
        let mut steps = self.steps_of(named);
        if steps.is_empty() {
            steps = self.steps_of(|_| true);
        }
        steps.into_iter().rev().take(MOST_REPAIRED).collect()
    }

    /// Does steps again; one alone in as many ways as the model can write side by side.
    async fn done_again(&self, mut draft: Draft, steps: &[u32], notes: Notes) -> Result<Vec<Draft>, Stop> {
        let draws = if steps.len() == 1 { self.desk.draws() } else { 1 };
        let variation = if draws > 1 { notes.variation.max(DRAWN) } else { notes.variation };
        let notes = Notes { variation, draws, ..notes };
        let mut further = Vec::new();
        for number in steps {
            match code::again(self.desk, &self.job, &mut draft.overlay, *number, notes.clone()).await? {
                Ok(others) => further = others,
                Err(reason) => {
                    let file = &self.job.plan.steps[*number as usize - 1].file;
                    let text = format!("step {number} ({file}) could not be done again: {reason}");
                    self.desk.events.warn(text);
                }
            }
        }
        Ok(draft.and(further))
    }

    /// Steps that a model carries out, with their numbers.
    fn steps_of(&self, wanted: impl Fn(&Step) -> bool) -> Vec<(u32, &Step)> {
        let codes = |step: &Step| matches!(step.action, StepAction::Edit | StepAction::Create);
        (1..).zip(&self.job.plan.steps).filter(|(_, step)| codes(step) && wanted(step)).collect()
    }

    async fn checked(&self, draft: Draft, patch: PatchSet) -> Result<Checked, Stop> {
        let checks = match self.desk.parts.early_checks {
            true => self.desk.signer.check(Place::Scratch, &patch).await?,
            false => Vec::new(),
        };
        let checked = Checked { draft, patch, checks, corrected: BTreeMap::new() };
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
        let (mut draft, mut corrected) = (checked.draft.clone(), BTreeMap::new());
        for _ in 0..MOST_CORRECTED {
            let mut next = draft.clone();
            let files = correct(&mut next, &told.corrections, &checked.patch);
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

/// Makes corrections in files that `patch` changes; gives the number of places in each. A file that a gate
/// says no to stays as it is.
fn correct(draft: &mut Draft, corrections: &[Correction], patch: &PatchSet) -> BTreeMap<String, u32> {
    let mut places = BTreeMap::new();
    for file in patch.files() {
        let path = file.path();
        let mine: Vec<&Correction> =
            corrections.iter().filter(|correction| correction.file == path).collect();
        let Ok(Some(text)) = draft.overlay.read(path) else { continue };
        let new = suggest::corrected(&text, mine.iter().copied());
        let Some(new) = new.filter(|new| *new != text) else { continue };
        if draft.overlay.correct(path, &new).is_ok() {
            places.insert(path.to_owned(), mine.len() as u32);
        }
    }
    places
}
