//! `countersign eval report`: one page with tables and plots, which needs nothing beside it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use minijinja::value::Serde;
use minijinja::{Environment, Value};
use serde::Serialize;

use super::plot;
use super::whole::cause::Cause;
use super::whole::record::{self, Known, Record};
use super::whole::summary::{Figures, Summary};
use crate::cli::ReportArgs;
use crate::failure::Failure;
use crate::sanitize::visible;

const PAGE: &str = include_str!("report.html");

pub fn report(arguments: &ReportArgs) -> anyhow::Result<String> {
    let mut tasks: BTreeMap<String, Known> = BTreeMap::new();
    let mut runs: Vec<Record> = Vec::new();
    for path in &arguments.results {
        let advice = "`countersign eval task --out FILE` writes such a file.";
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display()), advice))?;
        let (known, more) = record::read(&text, path)?;
        tasks.extend(known);
        for run in more {
            let same =
                |other: &Record| (&other.task, &other.agent, other.seed) == (&run.task, &run.agent, run.seed);
            if runs.iter().any(same) {
                let what = format!("{}: a second run of {} on {}", path.display(), run.agent, run.task);
                let advice = "Name only files whose runs are different, or different agents.";
                return Err(Failure::usage(what, advice).into());
            }
            runs.push(run);
        }
    }
    if runs.is_empty() {
        return Err(
            Failure::usage("the files hold no runs", "Let `countersign eval task` make some first.").into()
        );
    }
    let page = page(&runs, &tasks)?;
    std::fs::write(&arguments.out, page)
        .with_context(|| format!("cannot write {}", arguments.out.display()))?;
    Ok(format!("{}\n", arguments.out.display()))
}

/// What the template is filled with.
#[derive(Serialize)]
struct Page {
    runs: usize,
    common: usize,
    agents: Vec<String>,
    rows: Vec<Row>,
    plots: Vec<Plot>,
    tasks: Vec<TaskLine>,
    unusable: Vec<Reason>,
}

#[derive(Serialize)]
struct Reason {
    task: String,
    reason: String,
}

#[derive(Serialize)]
struct Row {
    agent: String,
    group: String,
    model: String,
    runs: usize,
    pass1: String,
    pass2: String,
    seconds: String,
    median: String,
    sent: u64,
    evaluated: String,
    answered: u64,
    calls: u64,
    unreported: usize,
    decoys: usize,
}

#[derive(Serialize)]
struct Plot {
    title: &'static str,
    svg: String,
}

#[derive(Serialize)]
struct TaskLine {
    task: String,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    kind: &'static str,
    text: String,
}

fn page(runs: &[Record], tasks: &BTreeMap<String, Known>) -> anyhow::Result<String> {
    let all: Vec<&Record> = runs.iter().collect();
    let unusable: Vec<&Known> = tasks.values().filter(|known| known.unusable.is_some()).collect();
    let summary = Summary::new(&all, &unusable);
    let agents: Vec<&String> = summary.agents.keys().collect();
    let rows = summary
        .agents
        .iter()
        .flat_map(|(agent, groups)| groups.iter().map(|(group, figures)| row(agent, group, figures)));
    let mut environment = Environment::new();
    // By its name the template is HTML: every value is escaped.
    environment.add_template("report.html", PAGE)?;
    let reasons = summary.unusable.iter().map(|(task, reason)| Reason {
        task: visible(task).to_string(),
        reason: visible(reason).to_string(),
    });
    let page = environment.get_template("report.html")?.render(Value::from(Serde(Page {
        runs: runs.len(),
        common: summary.common,
        agents: agents.iter().map(|agent| visible(agent).to_string()).collect(),
        rows: rows.collect(),
        plots: plots(&all, &agents),
        tasks: lines(runs, &agents),
        unusable: reasons.collect(),
    })));
    page.context("the page cannot be filled in")
}

fn row(agent: &str, group: &str, figures: &Figures) -> Row {
    let uncounted = match figures.uncounted {
        0 => String::new(),
        n => format!(" ({n} not counted)"),
    };
    Row {
        agent: visible(agent).to_string(),
        group: visible(group).to_string(),
        model: visible(figures.model.rsplit('/').next().unwrap_or(&figures.model)).to_string(),
        runs: figures.runs,
        pass1: figures.pass1.in_percent(),
        pass2: figures.pass2.in_percent(),
        seconds: format!("{:.0}", figures.seconds),
        median: format!("{:.1}", figures.median_seconds),
        sent: figures.prompt_tokens,
        evaluated: format!("{}{uncounted}", figures.evaluated_tokens),
        answered: figures.answer_tokens,
        calls: figures.calls,
        unreported: figures.unreported,
        decoys: figures.decoys,
    }
}

/// The plots, on what every agent has done.
fn plots(runs: &[&Record], agents: &[&String]) -> Vec<Plot> {
    let done = |agent: &str| -> BTreeSet<(&str, u32)> {
        runs.iter().filter(|run| run.agent == agent).map(|run| (run.task.as_str(), run.seed)).collect()
    };
    let common = agents.iter().map(|agent| done(agent)).reduce(|a, b| &a & &b).unwrap_or_default();
    let of = |agent: &str| -> Figures {
        let in_common =
            |run: &&&Record| run.agent == agent && common.contains(&(run.task.as_str(), run.seed));
        Figures::new(&runs.iter().filter(in_common).copied().collect::<Vec<_>>())
    };
    let figures: Vec<(&String, Figures)> = agents.iter().map(|agent| (*agent, of(agent))).collect();
    let shares = figures.iter().enumerate().flat_map(|(at, (agent, figures))| {
        [(format!("{agent}, pass@1"), figures.pass1, at), (format!("{agent}, pass@2"), figures.pass2, at)]
    });
    let amounts = |value: &dyn Fn(&Figures) -> f64| -> Vec<(String, f64, usize)> {
        figures
            .iter()
            .enumerate()
            .map(|(at, (agent, figures))| ((*agent).clone(), value(figures), at))
            .collect()
    };
    let per_run = |sum: u64, figures: &Figures| sum as f64 / figures.runs.max(1) as f64;
    let causes: Vec<(String, Vec<usize>)> = figures
        .iter()
        .map(|(agent, figures)| {
            let count = |cause: &Cause| figures.causes.get(cause).copied().unwrap_or_default();
            ((*agent).clone(), Cause::ALL.iter().map(count).collect())
        })
        .collect();
    let names: Vec<&str> = Cause::ALL.iter().map(|cause| cause.describe()).collect();
    let plot = |title, svg| Plot { title, svg };
    vec![
        plot("Solved tasks", plot::shares("Solved tasks", &shares.collect::<Vec<_>>())),
        plot(
            "Time of a run",
            plot::amounts(
                "Time of a run",
                " s",
                &amounts(&|figures| figures.seconds / figures.runs.max(1) as f64),
            ),
        ),
        plot(
            "Prompt tokens evaluated in a run",
            plot::amounts("Evaluated", "", &amounts(&|figures| per_run(figures.evaluated_tokens, figures))),
        ),
        plot(
            "Tokens answered in a run",
            plot::amounts("Answered", "", &amounts(&|figures| per_run(figures.answer_tokens, figures))),
        ),
        plot("Failures by their cause", plot::parts("Failures by their cause", &names, &causes)),
    ]
}

fn lines(runs: &[Record], agents: &[&String]) -> Vec<TaskLine> {
    let keys: BTreeSet<(&str, u32)> = runs.iter().map(|run| (run.task.as_str(), run.seed)).collect();
    let many = keys.iter().map(|(_, seed)| seed).collect::<BTreeSet<_>>().len() > 1;
    let line = |(task, seed): (&str, u32)| {
        let cells = agents.iter().map(|agent| {
            let found = runs.iter().find(|run| run.task == task && run.seed == seed && &&run.agent == agent);
            found.map_or(Cell { kind: "none", text: String::new() }, cell)
        });
        let seed = if many { format!(", seed {seed}") } else { String::new() };
        TaskLine { task: format!("{}{seed}", visible(task)), cells: cells.collect() }
    };
    keys.into_iter().map(line).collect()
}

fn cell(run: &Record) -> Cell {
    let seconds = run.seconds();
    let passed = run.attempts.iter().position(|attempt| attempt.passed);
    match (passed, run.attempts.last().and_then(|attempt| attempt.cause)) {
        (Some(0), _) => Cell { kind: "pass1", text: format!("1 ({seconds:.0} s)") },
        (Some(_), _) => Cell { kind: "pass2", text: format!("2 ({seconds:.0} s)") },
        (None, cause) => Cell {
            kind: "fail",
            text: format!("{} ({seconds:.0} s)", cause.map_or("failed", Cause::describe)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::whole::record::Attempt;
    use super::*;

    fn run(agent: &str, task: &str, passed: bool) -> Record {
        let attempt =
            Attempt { passed, seconds: 3.0, cause: (!passed).then_some(Cause::Edit), ..Attempt::default() };
        Record {
            task: task.into(),
            language: "python".into(),
            agent: agent.into(),
            version: "1".into(),
            seed: 1,
            model: "/models/m.gguf".into(),
            made_with: String::new(),
            attempts: vec![attempt],
        }
    }

    #[test]
    fn a_page_stands_for_itself_and_runs_nothing() {
        let hostile = "<script>alert(1)</script>";
        let runs = [run("ours", "a", true), run(hostile, "a", false), run("ours", hostile, false)];
        let known = Known { task: "b".into(), unusable: Some(hostile.into()), tests: None };
        let page = page(&runs, &BTreeMap::from([("b".to_owned(), known)])).unwrap();
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
        for outside in ["src=", "href=", "http://", "https://", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        for said in ["1 (3 s)", "edit (3 s)", "m.gguf", "on the 1 runs", "50.0 [9, 91]"] {
            assert!(page.contains(said), "{said}: {page}");
        }
        assert_eq!(page.matches("<svg").count(), 5);
    }
}
