//! The middle of a turn: each step of the plan becomes edits in the overlay.
//!
//! The Coder is asked only for what needs a model; a deletion or a renaming is the plan's word
//! already. After a refused answer the model is asked afresh, with the reasons; before the last
//! attempt the form of the answer changes, if it can. A step that fails is reported, and the others
//! go on. It must not know what becomes of a draft.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Context as _;
use countersign_index::{extract, lang};

use crate::check;
use crate::edit::gate::{self, Deletion, Gates};
use crate::edit::grammar::{self, Definition};
use crate::edit::parse::{self, Expected, Format};
use crate::edit::{Code, Edit, Overlay, Planned, Refusal, layout, tag};
use crate::message::{Cut, EditFormat, Region, Step, StepAction, StepRequest};
use crate::protocol::Event;
use crate::provider::{Layout, Preface};
use crate::region::{self, Place};
use crate::role::{Budget, CallError};
use crate::rules;
use crate::turn::anew::{self, Anew};
use crate::turn::format::Target;
use crate::turn::{Desk, Job, Stop, lost};

/// How much further the sampling goes for an answer that changed nothing: by 0.8, since less did not move a
/// 1.5B model that was sure of itself.
const MUCH_WARMER: u32 = 4;
/// Answers that change nothing after which the step is given up: further ones are the same.
const MOST_UNCHANGED: u32 = 2;

/// A plan carried out, as far as it could be. Nothing is written.
#[derive(Clone)]
pub(super) struct Draft {
    pub overlay: Overlay,
    /// Steps of the plan that could not be carried out, with the reasons.
    pub failed: Vec<String>,
}

impl Draft {
    /// This draft, and others that differ from it in what they make of the tree.
    pub fn and(self, others: Vec<Overlay>) -> Vec<Draft> {
        let failed = self.failed.clone();
        let others = others.into_iter().map(|overlay| Draft { overlay, failed: failed.clone() });
        std::iter::once(self).chain(others).collect()
    }
}

/// What the Coder is told besides its step.
#[derive(Clone, Default)]
pub(super) struct Notes {
    /// What a check said about the lines as they are now.
    pub failure: String,
    /// What has to hold, a line each, as tests of earlier answers said.
    pub examples: Vec<String>,
    /// Whether the functions that `failure` and `examples` speak of are to be written anew, by the examples; where they cannot be,
    /// the lines are corrected as they are.
    pub anew: bool,
    /// What the owner said about the step's earlier change.
    pub feedback: String,
    /// Which of several candidates this is for, from 0.
    pub variation: u32,
    /// How many answers are wanted at once; 0 is one.
    pub draws: u32,
}

/// Carries out every step of the plan, each over the ones before. Several drafts come of a plan of one step,
/// if so many are wanted and the model can write them side by side; at least one comes in any case.
pub(super) async fn carry_out(
    desk: &Desk,
    job: &Job,
    variation: u32,
    wanted: u32,
) -> Result<Vec<Draft>, Stop> {
    let draws = if job.plan.steps.len() == 1 { wanted } else { 1 };
    let mut further = Vec::new();
    let mut overlay = Overlay::open(&desk.root).context("cannot open the repository")?;
    let mut failed = Vec::new();
    let of = job.plan.steps.len() as u32;
    for (number, step) in (1..).zip(&job.plan.steps) {
        let title = format!("{} {}: {}", step.action.word(), step.file, step.task);
        desk.events.emit(Event::StepStarted { step: number, of, title });
        let notes = Notes { variation, draws, ..Notes::default() };
        let mut work =
            Work { desk, job, step, number, notes, anew: None, overlay: &mut overlay, further: Vec::new() };
        match work.run().await? {
            Ok(files) => {
                further = work.further;
                desk.events.emit(Event::StepProposed { step: number, files });
            }
            Err(reason) => {
                let reason =
                    format!("step {number} of {of} ({} {}): {reason}", step.action.word(), step.file);
                desk.events.warn(format!("{reason}; the step is left out"));
                failed.push(reason);
            }
        }
    }
    Ok(Draft { overlay, failed }.and(further))
}

/// Has one step done again on the lines as they are in `overlay`; gives what other answers made of them. The
/// inner error is why it could not be; the overlay is as it was then.
pub(super) async fn again(
    desk: &Desk,
    job: &Job,
    overlay: &mut Overlay,
    number: u32,
    notes: Notes,
) -> Result<Result<Vec<Overlay>, String>, Stop> {
    let planned = &job.plan.steps[number as usize - 1];
    // What is there already cannot be created again.
    let text = overlay.read(&planned.file).ok().flatten();
    let action = if text.is_some() { StepAction::Edit } else { planned.action };
    let anew = text.filter(|_| notes.anew).and_then(|text| {
        let told = format!("{}\n{}", notes.failure, notes.examples.join("\n"));
        anew::without_bodies(&planned.file, &text, &told)
    });
    let only = anew.as_ref().and_then(|anew| anew.only.clone());
    let symbol = only.unwrap_or_else(|| planned.symbol.clone());
    let step = Step { action, symbol, ..planned.clone() };
    let of = job.plan.steps.len() as u32;
    let title = format!("again: {} {}: {}", step.action.word(), step.file, step.task);
    desk.events.emit(Event::StepStarted { step: number, of, title });
    let mut work = Work { desk, job, step: &step, number, notes, anew, overlay, further: Vec::new() };
    let done = work.run().await?;
    Ok(done.map(|files| {
        desk.events.emit(Event::StepProposed { step: number, files });
        work.further
    }))
}

/// One step at work.
struct Work<'a> {
    desk: &'a Desk,
    job: &'a Job,
    step: &'a Step,
    number: u32,
    notes: Notes,
    /// The file without what is to be written anew.
    anew: Option<Anew>,
    overlay: &'a mut Overlay,
    /// What other answers to the same request made of the tree.
    further: Vec<Overlay>,
}

impl Work<'_> {
    /// The paths that the step changes. The inner error is why it cannot be done; the turn goes on
    /// without it.
    async fn run(&mut self) -> Result<Result<Vec<String>, String>, Stop> {
        let step = self.step;
        if let Some(reason) = self.denied() {
            return Ok(Err(reason));
        }
        let fixed = match step.action {
            StepAction::Delete => Edit::Delete { path: step.file.clone() },
            StepAction::Rename => Edit::Rename { from: step.file.clone(), to: step.target.clone() },
            StepAction::Edit | StepAction::Create => return self.code().await,
        };
        Ok(self.propose(&[fixed], None).map_err(|refusals| joined(&refusals)))
    }

    /// Why a rule denies a path of the step. Nobody is asked for an edit that could not be applied.
    fn denied(&self) -> Option<String> {
        let paths = [&self.step.file, &self.step.target].into_iter().filter(|path| !path.is_empty());
        let denies = |path: &String| {
            let by = self.desk.signer.authority.denies(&rules::disk::place(&self.desk.root, path))?;
            Some(format!("{path} may not be changed ({by})"))
        };
        paths.into_iter().find_map(denies)
    }

    async fn code(&mut self) -> Result<Result<Vec<String>, String>, Stop> {
        let budget = self.desk.roles.coder.budget;
        let text = match self.step.action {
            StepAction::Create => String::new(),
            _ => match self.overlay.read(&self.step.file) {
                Ok(Some(text)) => text,
                Ok(None) => return Ok(Err(format!("there is no file {} any more", self.step.file))),
                Err(refusal) => return Ok(Err(refusal.to_string())),
            },
        };
        let regions = match self.regions(&text, budget) {
            Ok(regions) => regions,
            Err(reason) => return Ok(Err(reason)),
        };
        let step = self.step;
        let definitions = grammar::definitions(&step.file, &text);
        let fits_answer =
            text.len() <= self.desk.coder_model.bytes_of(budget.answer_limit(self.desk.coder_model.window));
        let ranked = &self.desk.edit_forms;
        let fixed = self.desk.parts.format;
        let target = Target { step, text: &text, definitions: &definitions, fits_answer, ranked, fixed };
        let before = self.overlay.clone();
        let anew = self.anew.take().filter(|anew| anew.only.is_some() || fits_answer);
        // As a last resort, one that was refused is asked for in another form, on the lines as they are.
        let form_anew = anew.as_ref().map(|anew| match anew.only {
            Some(_) => EditFormat::Symbol,
            None => EditFormat::Whole,
        });
        let mut format = form_anew.unwrap_or_else(|| target.first());
        let is_told_of_failure =
            step.action == StepAction::Edit && check::tells_a_failure(&self.job.request.text);
        let in_short = match is_told_of_failure && self.notes.failure.is_empty() {
            true => in_short(&self.job.request.text, self.overlay),
            false => Vec::new(),
        };
        // What a check has just said is newer than what was pasted, and says it of the lines as they are.
        let request = match self.notes.failure.is_empty() {
            true => self.job.request.text.clone(),
            false => match check::without_failures(&self.job.request.text) {
                rest if rest.is_empty() => "Make the failing check pass.".to_owned(),
                rest => rest,
            },
        };
        let mut reasons: Vec<String> = Vec::new();
        let mut variation = self.notes.variation;
        // Answers that were the file as it is: no other form would change that.
        let mut unchanged = 0;
        // What an answer made of the tree that leaves definitions out: usable, if there is no better one.
        let mut lossy: Option<(Overlay, Vec<String>)> = None;
        for attempt in 1..=budget.calls {
            if attempt == budget.calls
                && attempt > 1
                && unchanged == 0
                && let Some(other) = target.after(format)
            {
                format = other;
                // They speak of a form that is not asked for any more.
                reasons.clear();
            }
            let heads = anew.as_ref().filter(|_| form_anew == Some(format)).map(|anew| anew.heads.as_str());
            let failure = if heads.is_some() { String::new() } else { self.notes.failure.clone() };
            let fails = heads.is_none() && (is_told_of_failure || !failure.is_empty() || unchanged > 0);
            let layout = match format {
                EditFormat::SearchReplace if !self.desk.holds_blocks => None,
                _ => {
                    let preface = if fails { Preface::of(&request) } else { Preface::Nothing };
                    layout::of(format, &step.file, &text, &regions, preface)
                }
            };
            let asked = StepRequest {
                request: request.clone(),
                step: match step.task == self.job.request.text {
                    true => Step { task: request.clone(), ..step.clone() },
                    false => step.clone(),
                },
                format,
                regions: match heads {
                    Some(heads) => vec![region::whole(&step.file, heads)],
                    None => shown(&regions, format, &text, step),
                },
                // Who is held to blocks has no place for words.
                diagnose: fails && !matches!(layout, Some(Layout::Blocks(_))),
                layout,
                reasons: std::mem::take(&mut reasons),
                // Who is told what fails reads them there.
                examples: if failure.is_empty() { self.notes.examples.clone() } else { Vec::new() },
                failure,
                in_short: in_short.clone(),
                feedback: self.notes.feedback.clone(),
                variation,
                // With other reasons, the model is asked for the one thing that they name.
                draws: if attempt == 1 || unchanged > 0 { self.notes.draws.max(1) } else { 1 },
            };
            let answer = match self.desk.coder.ask(asked).await? {
                Ok(answer) => answer,
                Err(error @ (CallError::TooLarge { .. } | CallError::Spent { .. })) => {
                    return Ok(Err(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            };
            for text in &answer.further {
                let is_usable = self.read_and_propose(text, format, &target, &regions).is_ok()
                    && self.left_out(format, &definitions).is_none();
                let made = std::mem::replace(self.overlay, before.clone());
                self.further.extend(is_usable.then_some(made));
            }
            reasons = match answer.cut {
                Some(Cut::AtLimit) => {
                    vec!["The answer was cut at its limit. Write a shorter edit.".to_owned()]
                }
                Some(Cut::Repeating) => {
                    // Asked alike, it would go round in the same circle.
                    variation += 1;
                    vec!["The answer repeated the same lines over and over. Find a shorter way.".to_owned()]
                }
                None => match self.read_and_propose(&answer.text, format, &target, &regions) {
                    Ok(files) => match self.left_out(format, &definitions) {
                        Some(told) if lossy.is_none() && attempt < budget.calls => {
                            let made = std::mem::replace(self.overlay, before.clone());
                            lossy = Some((made, files));
                            vec![told]
                        }
                        _ => return Ok(Ok(files)),
                    },
                    Err(refusals) => {
                        let same = refusals.iter().all(|refusal| refusal.code == Code::NoOp);
                        unchanged += u32::from(same);
                        // Asked alike, a model that is sure of its answer gives it again.
                        variation += if same { MUCH_WARMER } else { 0 };
                        match same {
                            true => vec![format!(
                                "The answer was {} as it is now, and that is not what the task asks for. Find what has to be different, and change it.",
                                step.file
                            )],
                            false => refusals.iter().map(Refusal::to_string).collect(),
                        }
                    }
                },
            };
            // One of them is better than to ask again.
            if !self.further.is_empty() {
                *self.overlay = self.further.remove(0);
                return Ok(Ok(vec![step.file.clone()]));
            }
            self.desk.events.emit(Event::EditRefused {
                step: self.number,
                reasons: reasons.clone(),
                attempt,
            });
            if unchanged == MOST_UNCHANGED && lossy.is_none() {
                return Ok(Err(format!("{attempt} attempts: {}", reasons.join("; "))));
            }
        }
        if let Some((made, files)) = lossy {
            *self.overlay = made;
            return Ok(Ok(files));
        }
        Ok(Err(format!("no usable edit after {} attempts: {}", budget.calls, reasons.join("; "))))
    }

    /// What to say of definitions that a file written anew does not have any more.
    fn left_out(&mut self, format: EditFormat, before: &[Definition]) -> Option<String> {
        if format != EditFormat::Whole || before.is_empty() {
            return None;
        }
        let text = self.overlay.read(&self.step.file).ok()??;
        let after = grammar::definitions(&self.step.file, &text);
        lost::told(before, &after, &format!("{}\n{}", self.job.request.text, self.step.task))
    }

    fn regions(&self, text: &str, budget: Budget) -> Result<Vec<Region>, String> {
        if self.step.action == StepAction::Create {
            return Ok(Vec::new());
        }
        let path = self.step.file.as_str();
        let symbols = match lang::for_file(path, text) {
            Some(language) => {
                extract::extract(Some(language), text).map_err(|error| error.to_string())?.symbols
            }
            None => Vec::new(),
        };
        let shown: Vec<(u32, u32)> = self
            .job
            .gathered
            .evidence
            .regions
            .iter()
            .filter(|region| region.path == path)
            .map(|region| (region.start_line, region.end_line))
            .collect();
        let room = self.desk.coder_model.bytes_of(budget.evidence_tokens(self.desk.coder_model.window));
        region::choose(&Place {
            path,
            text,
            symbol: &self.step.symbol,
            symbols: &symbols,
            shown: &shown,
            room,
        })
    }

    fn read_and_propose(
        &mut self,
        answer: &str,
        format: EditFormat,
        target: &Target<'_>,
        regions: &[Region],
    ) -> Result<Vec<String>, Vec<Refusal>> {
        let (format, symbol) = match format {
            EditFormat::SearchReplace => (Format::SearchReplace, None),
            EditFormat::Whole => (Format::Whole, None),
            EditFormat::Symbol => (Format::Symbol, Some(self.step.symbol.clone())),
            EditFormat::AnchoredLines => (Format::AnchoredLines, None),
        };
        let planned = Planned::Only(vec![self.step.file.clone()]);
        let expected = Expected { format, planned, symbol };
        let edits = parse::parse(answer, &expected).map_err(|refusal| vec![refusal])?;
        // What the step names is searched first, then what was shown.
        let first = match (target.definition(), regions) {
            (Some(found), _) => Some(gate::Region { first_line: found.lead + 1, last_line: found.lines.end }),
            (None, [one]) if !one.whole => {
                Some(gate::Region { first_line: one.start_line as usize, last_line: one.end_line as usize })
            }
            _ => None,
        };
        self.propose(&edits, first)
    }

    /// Lays edits over the tree, if all of them pass. The lines of `first` are searched first.
    fn propose(&mut self, edits: &[Edit], first: Option<gate::Region>) -> Result<Vec<String>, Vec<Refusal>> {
        let mut planned = vec![self.step.file.clone()];
        let mut deletion = Deletion::Limited;
        match self.step.action {
            StepAction::Rename => planned.push(self.step.target.clone()),
            StepAction::Delete => deletion = Deletion::Planned,
            StepAction::Edit | StepAction::Create => {}
        }
        let regions =
            first.map(|lines| (self.step.file.clone(), lines)).into_iter().collect::<BTreeMap<_, _>>();
        let gates = Gates { regions, deletion, ..Gates::new(Planned::Only(planned)) };
        let proposed = self.overlay.propose(edits, &gates)?;
        Ok(proposed.files.into_iter().map(|file| file.path).collect())
    }
}

/// What the Coder sees for an answer of this form.
fn shown(regions: &[Region], format: EditFormat, text: &str, step: &Step) -> Vec<Region> {
    let mut shown = match format {
        // Who writes the whole file has to see all of it.
        EditFormat::Whole if !text.is_empty() => vec![region::whole(&step.file, text)],
        _ => regions.to_vec(),
    };
    if format == EditFormat::AnchoredLines {
        for region in &mut shown {
            region.text = tag::tagged(&region.text, region.start_line.max(1) as usize);
        }
    }
    shown
}

/// What failed tests say, with their lines as they are in `overlay`.
pub(super) fn in_short(output: &str, overlay: &Overlay) -> Vec<String> {
    // Reading remembers what it has read.
    let overlay = RefCell::new(overlay.clone());
    check::digest(output, &|path| overlay.borrow_mut().read(path).ok().flatten())
}

fn joined(refusals: &[Refusal]) -> String {
    refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; ")
}
