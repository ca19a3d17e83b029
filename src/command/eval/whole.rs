//! `countersign eval task`: whole tasks in throw-away copies, with tests that the agent does not see.

mod agent;
pub mod aider;
pub mod cause;
pub mod exam;
mod exercise;
mod find;
mod ground;
mod own;
mod proxy;
pub mod record;
pub mod summary;
pub mod task;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use self::agent::{Ours, Seen};
use self::aider::{Aider, Setup};
use self::exam::Exam;
use self::ground::{Ground, changed, snapshot};
use self::record::{Attempt, Known, Line, Record, Results};
use self::summary::Summary;
use self::task::{Files, Task};
use crate::check::{Check, Source};
use crate::cli::{Part, TaskArgs, Tests};
use crate::command::json;
use crate::command::offer::Offers;
use crate::command::run::{How, Requests, Wanted};
use crate::config::Config;
use crate::connect::{self, Connected};
use crate::failure::Failure;
use crate::protocol::StartRequest;
use crate::role::Sampling;
use crate::turn::{Parts, Tries};
use crate::ui::progress;

/// Longest run of a check of our agent, in seconds: a solution that never ends should not take all of its time.
const CHECK_SECONDS: u64 = 60;
/// Most bytes of what tests said that a result keeps.
const KEPT_BYTES: usize = 2_000;

pub async fn whole(config: &Config, arguments: &TaskArgs) -> anyhow::Result<String> {
    let tasks = find::tasks(arguments)?;
    if let Some(warning) = config.runner.sandbox().await?.warning {
        // What a model writes is run here without anybody having looked at it.
        let advice = "`countersign doctor` says what is missing; run the evaluation where it is not, such as in a container.";
        return Err(Failure::usage(format!("the sandbox for tests does not hold: {warning}"), advice).into());
    }
    let connected = connect::connect(&config.model).await?;
    let mut results = Results::open(&arguments.out)?;
    let evaluation =
        Evaluation { config, arguments, made_with: made_with(arguments, &connected)?, connected };
    let agent = evaluation.agent();
    let bar = progress::count();
    let total = tasks.len() as u64 * u64::from(arguments.sampling.repeats);
    let mut of_language: BTreeMap<&str, usize> = BTreeMap::new();
    let mut chosen: Vec<&str> = Vec::new();
    let mut done = 0;
    for task in &tasks {
        if arguments.limit.is_some_and(|limit| of_language.get(task.language.as_str()) >= Some(&limit)) {
            continue;
        }
        bar.show(&task.id, done, Some(total));
        let known = evaluation.known(task, &mut results).await?;
        if known.unusable.is_none() {
            *of_language.entry(&task.language).or_default() += 1;
            for seed in evaluation.seeds() {
                bar.show(&task.id, done, Some(total));
                done += 1;
                if !results.done(&task.id, &agent, seed, &evaluation.made_with)? {
                    let run = evaluation.run(task, &known, seed).await?;
                    results.add(Line::Run(run))?;
                }
            }
        }
        chosen.push(&task.id);
    }
    bar.clear();
    let runs: Vec<&Record> = results.runs.iter().filter(|run| chosen.contains(&run.task.as_str())).collect();
    let unusable: Vec<&Known> = results
        .tasks
        .values()
        .filter(|known| known.unusable.is_some() && chosen.contains(&known.task.as_str()))
        .collect();
    let summary = Summary::new(&runs, &unusable);
    if arguments.json { json(&summary) } else { Ok(summary.render()) }
}

/// Everything that the results depend on besides the tasks and the agent's name.
fn made_with(arguments: &TaskArgs, connected: &Connected) -> anyhow::Result<String> {
    let all = serde_json::json!([
        env!("CARGO_PKG_VERSION"),
        countersign_index::version(),
        connected.provider.model(),
        connected.window,
        arguments.attempts,
        arguments.seconds,
        arguments.tests == Tests::Shown,
        arguments.sampling.temperature,
    ]);
    Ok(blake3::hash(&serde_json::to_vec(&all)?).to_hex()[..16].to_owned())
}

struct Evaluation<'a> {
    config: &'a Config,
    arguments: &'a TaskArgs,
    connected: Connected,
    made_with: String,
}

impl Evaluation<'_> {
    /// The name under which results are compared.
    fn agent(&self) -> String {
        let arguments = self.arguments;
        if arguments.peer.is_some() {
            return format!("aider {}", arguments.peer_format.name());
        }
        let mut name = "countersign".to_owned();
        if let Some(format) = arguments.format {
            name.push_str(&format!(" {}", format.describe()));
        }
        let mut without: Vec<Part> = arguments.without.clone();
        without.sort_unstable();
        without.dedup();
        for part in without {
            name.push_str(match part {
                Part::Evidence => " without evidence",
                Part::Architect => " without architect",
                Part::Schema => " without schema",
                Part::EarlyChecks => " without early checks",
                Part::Draws => " without draws",
                Part::Corrections => " without corrections",
            });
        }
        if arguments.candidates > 1 {
            name.push_str(&format!(" {} candidates", arguments.candidates));
        }
        name
    }

    fn seeds(&self) -> impl Iterator<Item = u32> + use<> {
        let sampling = self.arguments.sampling;
        (0..sampling.repeats).map(move |repeat| sampling.seed.wrapping_add(repeat))
    }

    /// Tries the tests on the stub, which must fail, and on the solution, which must pass; once for each
    /// result file.
    async fn known(&self, task: &Task, results: &mut Results) -> anyhow::Result<Known> {
        if let Some(known) = results.tasks.get(&task.id) {
            return Ok(known.clone());
        }
        let solved = exam::take(task, &task.solved(), &self.config.runner).await?;
        let mut unusable = None;
        if task.solution.is_empty() && task.removed.is_empty() {
            unusable = Some("it has no solution to try the tests on".to_owned());
        } else if !solved.passed {
            let last = solved.output.trim_end().lines().last().unwrap_or_default().to_owned();
            unusable = Some(format!("its solution fails the tests here: {last}"));
        } else if exam::take(task, &task.tree, &self.config.runner).await?.solves(solved.count) {
            unusable = Some("its tests pass before anything is done".to_owned());
        }
        let known = Known { task: task.id.clone(), unusable, tests: solved.count };
        results.add(Line::Task(known.clone()))?;
        Ok(known)
    }

    async fn run(&self, task: &Task, known: &Known, seed: u32) -> anyhow::Result<Record> {
        let ground = Ground::new(task)?;
        let mut before = snapshot(&task.tree);
        let began = Instant::now();
        let mut worker = self.worker(task, &ground, seed, task.check.as_ref()).await?;
        let mut starting = began.elapsed();
        let mut left = Duration::from_secs(self.arguments.seconds).saturating_sub(starting);
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut failure = None;
        let mut files = task.tree.clone();
        while attempts.len() < self.arguments.attempts as usize {
            let shown = self.arguments.tests == Tests::Shown && !attempts.is_empty();
            if shown && attempts.len() == 1 {
                let began = Instant::now();
                ground.add(&task.oracle)?;
                before.extend(snapshot(&task.oracle));
                files = ground.files()?;
                if let Worker::Ours(ours) = worker {
                    ours.stop().await;
                    worker = self.worker(task, &ground, seed, Some(&task.tests)).await?;
                }
                starting = began.elapsed();
                left = left.saturating_sub(starting);
            }
            let at = snapshot(&files);
            let mut seen = worker.attempt(task, &files, failure.as_deref(), Instant::now() + left).await?;
            // Starting is part of the first attempt that it was for.
            seen.seconds += std::mem::take(&mut starting).as_secs_f64();
            left = left.saturating_sub(Duration::from_secs_f64(seen.seconds));
            files = ground.files()?;
            let mut exam = exam::take(task, &files, &self.config.runner).await?;
            // An agent that has the tests runs them itself: ours does as its check, Aider is told what they say.
            for _ in 0..if shown { worker.reflections() } else { 0 } {
                let passed = exam.solves(known.tests);
                let ran = Duration::from_secs_f64(exam.seconds);
                if passed || seen.stopped.is_some() || left <= ran {
                    break;
                }
                let text = again(task, &exam);
                let mut more = worker.attempt(task, &files, Some(&text), Instant::now() + left - ran).await?;
                more.seconds += ran.as_secs_f64();
                left = left.saturating_sub(Duration::from_secs_f64(more.seconds));
                seen = seen.then(more);
                files = ground.files()?;
                exam = exam::take(task, &files, &self.config.runner).await?;
            }
            let attempt = judged(task, &seen, &exam, &at, &before, &files, known);
            let (passed, stopped) = (attempt.passed, seen.stopped.is_some());
            attempts.push(attempt);
            if passed || stopped {
                break;
            }
            failure = Some(again(task, &exam));
        }
        let version = worker.version().to_owned();
        worker.stop().await;
        Ok(Record {
            task: task.id.clone(),
            language: task.language.clone(),
            agent: self.agent(),
            version,
            seed,
            model: self.connected.provider.model().to_owned(),
            made_with: self.made_with.clone(),
            attempts,
        })
    }

    /// An agent at its start. `check` is what ours may run itself.
    async fn worker(
        &self,
        task: &Task,
        ground: &Ground,
        seed: u32,
        check: Option<&Vec<String>>,
    ) -> anyhow::Result<Worker> {
        let arguments = self.arguments;
        let temperature = arguments.sampling.temperature;
        if arguments.peer.is_some() {
            let path = self.config.runner.variables.0.get("PATH").cloned().unwrap_or_default();
            let setup = Setup {
                python: &arguments.peer_python,
                format: arguments.peer_format,
                model: self.connected.provider.model(),
                window: self.connected.window,
                sampling: arguments.sampling,
                seed,
                files: &task.tags,
                path: &path,
            };
            let url = self.config.model.url.as_deref().context("a peer needs --url")?;
            return Ok(Worker::Aider(Box::new(Aider::start(ground, setup, url).await?)));
        }
        let without = |part| arguments.without.contains(&part);
        let limited =
            |argv: &Vec<String>| Check { timeout_s: CHECK_SECONDS, ..Check::of(argv.clone(), Source::Typed) };
        let check = check.map(limited);
        let how = How {
            wanted: check.map_or(Wanted::None, Wanted::Typed),
            tries: Tries { candidates: arguments.candidates, ..self.config.tries },
            asks_after_failure: false,
            offers: Offers::Told,
            parts: Parts {
                evidence: !without(Part::Evidence),
                architect: !without(Part::Architect),
                schema: !without(Part::Schema),
                early_checks: !without(Part::EarlyChecks),
                draws: !without(Part::Draws),
                corrections: !without(Part::Corrections),
                format: arguments.format,
            },
            sampling: Some(Sampling { temperature, seed: Some(seed), ..Sampling::default() }),
            ..How::usual(Requests::One)
        };
        Ok(Worker::Ours(Ours::start(self.config, ground, how).await?))
    }
}

/// An agent at work.
enum Worker {
    Ours(Ours),
    Aider(Box<Aider>),
}

impl Worker {
    /// How often it goes on by itself within an attempt when the tests fail that it may run.
    fn reflections(&self) -> usize {
        match self {
            // Within its turn, by its own repairs.
            Worker::Ours(_) => 0,
            Worker::Aider(_) => aider::REFLECTIONS,
        }
    }

    /// The first attempt, or one after `failure` was said of the one before. `files` are what is there.
    async fn attempt(
        &mut self,
        task: &Task,
        files: &Files,
        failure: Option<&str>,
        deadline: Instant,
    ) -> anyhow::Result<Seen> {
        match self {
            Worker::Ours(ours) => {
                // A request stands for itself; nothing is remembered of the one before.
                let text = match failure {
                    None => task.request.clone(),
                    Some(failure) => format!("{}\n{failure}", task.request),
                };
                let existing = files.keys().cloned().collect();
                ours.attempt(&StartRequest { text, tags: task.tags.clone() }, existing, deadline).await
            }
            Worker::Aider(aider) => {
                let text = failure.unwrap_or(&task.request);
                aider.attempt(text, deadline).await
            }
        }
    }

    fn version(&self) -> &str {
        match self {
            Worker::Ours(_) => env!("CARGO_PKG_VERSION"),
            Worker::Aider(aider) => &aider.version,
        }
    }

    async fn stop(self) {
        match self {
            Worker::Ours(ours) => ours.stop().await,
            Worker::Aider(aider) => aider.stop().await,
        }
    }
}

/// The result of one attempt. `at` is the tree at its beginning, `before` that of the task.
fn judged(
    task: &Task,
    seen: &Seen,
    exam: &Exam,
    at: &ground::Snapshot,
    before: &ground::Snapshot,
    files: &Files,
    known: &Known,
) -> Attempt {
    let now = snapshot(files);
    let here = changed(at, &now);
    let in_all = changed(before, &now);
    let passed = exam.solves(known.tests);
    // What an earlier attempt has changed already need not be changed again.
    let mut with_earlier = seen.clone();
    for path in &in_all {
        with_earlier.applied.entry(path.clone()).or_insert(None);
    }
    let tail = exam.output.len().saturating_sub(KEPT_BYTES);
    let tail = (tail..=exam.output.len()).find(|at| exam.output.is_char_boundary(*at)).unwrap_or_default();
    Attempt {
        passed,
        seconds: seen.seconds,
        calls: seen.spent.calls,
        prompt_tokens: seen.spent.prompt,
        evaluated_tokens: seen.spent.evaluated,
        answer_tokens: seen.spent.answer,
        cause: (!passed).then(|| cause::of(&with_earlier, &task.needed)),
        ended: seen.ended.clone(),
        refused: seen.refused,
        changed: here.iter().cloned().collect(),
        unreported: seen.unreported(&here, &now),
        decoys: task.decoys.iter().filter(|path| in_all.contains(*path)).cloned().collect(),
        tests: if passed { String::new() } else { exam.output[tail..].to_owned() },
    }
}

/// The next request, in the words of Aider's benchmark.
fn again(task: &Task, exam: &Exam) -> String {
    let files = if task.tags.is_empty() { "the code".to_owned() } else { task.tags.join(" ") };
    format!(
        "{}\n####\n\nSee the testing errors above.\nThe tests are correct, don't try and change them.\n\
         Fix the code in {files} to resolve the errors.\n",
        exam::first_lines(&exam.output)
    )
}
