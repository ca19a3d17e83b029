//! What is done about a check that fails: steps are done again with what it says, corrected on the lines as they
//! are or written anew. It must not ask the owner.

use std::collections::BTreeSet;

use crate::check::{self, Ran, suggest};
use crate::edit::grammar;
use crate::message::Step;
use crate::protocol::Event;
use crate::turn::Stop;
use crate::turn::code::{self, Draft, Notes};
use crate::turn::make::{Checked, DRAWN, Maker};

/// Bytes of a check's output that the Coder gets.
const OUTPUT_BYTES: usize = 1500;
/// How many repairs there are at most for each one that is asked for, since those that gain do not count.
const MOST_GAINS: u32 = 3;
/// How many repairs of what fails in the tree itself there are for each one that is asked for.
const OF_TREE: u32 = 2;
/// Of so many repairs of the tree the last one corrects its lines, and the others write them anew: of ten wrong
/// answers of a 1.5B model to exercises, four drafts each written anew solved four in 16 to 53 s, and corrected one
/// in 40 to 82 s.
const CORRECTED: u32 = 3;
/// Tests of all answers so far that a further one is told of.
const MOST_EXAMPLES: usize = 12;
/// Steps that are done again for one failed check: more would be another plan.
const MOST_REPAIRED: usize = 2;

/// A check that failed, in the words that the Coder gets.
pub(super) struct Failed {
    /// Its output, as far as it matters.
    essence: String,
    /// What its tests say in a line each, or else the essence.
    told: String,
    /// What has to hold, by its tests, a line each.
    examples: Vec<String>,
}

impl Failed {
    pub fn of(ran: &Ran, draft: &Draft) -> Failed {
        Failed::said(&ran.output, draft)
    }

    /// Of what a check printed on a draft.
    fn said(output: &str, draft: &Draft) -> Failed {
        let essence = check::essence(output, OUTPUT_BYTES);
        let (mut told, mut examples) = (String::new(), Vec::new());
        for line in code::in_short(output, &draft.overlay) {
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
    /// The tree as it is, repaired; for a request that tells of a failure which a check shows as well, or says that
    /// tests fail. The check says all of it where a paste is cut, and it judges several answers at once. `None`
    /// where no check shows it, or no repair gains anything.
    pub(super) async fn repaired_tree(&self) -> Result<Option<Checked>, Stop> {
        let request = &self.job.request.text;
        let tells = check::tells_a_failure(request);
        let can_be_shown = tells || check::says_that_tests_fail(request);
        if !self.desk.parts.early_checks || !can_be_shown {
            return Ok(None);
        }
        if check::tells_of_no_end(request) {
            return self.rewritten().await;
        }
        let tree = self.tree()?;
        let patch = tree.overlay.patch();
        let judged = self.judged(tree, patch).await?;
        // Who quotes no failure means any.
        let shows_it =
            |ran: &Ran| !ran.result.passed && (!tells || check::tells_the_same(request, &ran.output));
        if !judged.checks.iter().any(shows_it) {
            return Ok(None);
        }
        // Which may be all that it takes.
        let checked = self.compiling(judged).await?;
        let repaired = self.repaired(checked).await?;
        Ok(Some(repaired).filter(|repaired| !repaired.patch.is_empty()))
    }

    /// The steps written anew by what their tests ask for, for a request that tells of a check without an end: to
    /// run it again would cost its whole time. `None` where no check can judge the answers, no test can be read, or
    /// no answer changes anything.
    async fn rewritten(&self) -> Result<Option<Checked>, Stop> {
        let tree = self.tree()?;
        let mut examples = self.stated(&tree).await?;
        examples.truncate(MOST_EXAMPLES);
        if examples.is_empty() || !self.desk.signer.can_check().await? {
            return Ok(None);
        }
        self.desk.events.emit(Event::RepairStarted { attempt: 1, of: 1 });
        let failure = Failed::said(&self.job.request.text, &tree);
        let mut tried = vec![tree.overlay.patch().digest()];
        let notes = Notes { anew: true, examples, ..Notes::default() };
        let drafts = self.mended(tree, &failure, notes).await?;
        match self.nearest(drafts, &mut tried).await? {
            Some(nearest) => Ok(Some(self.repaired(nearest).await?)),
            None => Ok(None),
        }
    }

    /// The draft itself if its check passed, or one that the Coder made with the check's output, if that
    /// one passes. Otherwise the draft as the plan had it: a repair that does not help is only more to
    /// read. Where that draft changes nothing, it is the repair with which the most tests pass.
    ///
    /// A repair after which more tests pass is gone on from, and does not count. After one of a draft that gains
    /// nothing, the next forgets the answer before: a small model that is sure of a mistake keeps it whatever the
    /// check says. What fails in the tree itself is written anew, and corrected every third time.
    pub(super) async fn repaired(&self, original: Checked) -> Result<Checked, Stop> {
        let is_tree = original.patch.is_empty();
        let mut of = self.desk.tries.repairs.saturating_mul(if is_tree { OF_TREE } else { 1 });
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
            let mut failure = Failed::of(failed, &from.draft);
            if suggest::could_not_compile(&failed.output) {
                failure.examples = self.stated(&from.draft).await?;
            }
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
                    let variation = if attempt > 1 { DRAWN + attempt - 1 } else { 0 };
                    // Without an example, what is hidden could not be written again.
                    let anew = attempt % CORRECTED != 0 && !examples.is_empty();
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

    /// What tests ask of the steps' files by their own words: those that do not compile say nothing of it.
    async fn stated(&self, draft: &Draft) -> Result<Vec<String>, Stop> {
        let files: Vec<String> =
            self.steps_of(|_| true).into_iter().map(|(_, step)| step.file.clone()).collect();
        let mut overlay = draft.overlay.clone();
        let mut names = BTreeSet::new();
        for file in &files {
            let text = overlay.read(file).ok().flatten().unwrap_or_default();
            names.extend(grammar::definitions(file, &text).into_iter().map(|one| one.name));
        }
        let tests = self.desk.retriever.with(move |library| {
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            Ok(check::tests_of(&library.index, &files))
        });
        let texts = tests.await?.into_iter().filter_map(|path| overlay.read(&path).ok().flatten());
        Ok(texts.flat_map(|text| check::stated(&text, &names)).collect())
    }

    /// The first new draft whose check passes, or else the one with the most tests that do.
    pub(super) async fn nearest(
        &self,
        drafts: Vec<Draft>,
        tried: &mut Vec<String>,
    ) -> Result<Option<Checked>, Stop> {
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
    pub(super) async fn mended(
        &self,
        draft: Draft,
        failure: &Failed,
        notes: Notes,
    ) -> Result<Vec<Draft>, Stop> {
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
}
