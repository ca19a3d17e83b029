//! Owns the figures of `eval task`: what its results come to, by agent and by language. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;

use super::cause::Cause;
use super::record::{Known, Record};
use crate::command::eval::statistics::{Share, median};
use crate::sanitize::visible;

/// Everything that the results come to.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// By agent and then by language, with `all` for all of them.
    pub agents: BTreeMap<String, BTreeMap<String, Figures>>,
    /// Tasks that cannot be used here, with the reasons.
    pub unusable: BTreeMap<String, String>,
    /// Tasks that every agent has done: only on these are agents compared with each other.
    pub common: usize,
}

/// The figures of one agent.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    pub model: String,
    pub tasks: usize,
    pub runs: usize,
    /// Shares of runs; the interval takes runs of one task for independent, which is too narrow for repeats.
    pub pass1: Share,
    pub pass2: Share,
    /// Of all runs.
    pub seconds: f64,
    /// Of a run.
    pub median_seconds: f64,
    /// Sums over all attempts that the server counted.
    pub prompt_tokens: u64,
    pub evaluated_tokens: u64,
    pub answer_tokens: u64,
    /// Attempts of which it did not count every call.
    pub uncounted: usize,
    pub calls: u64,
    /// Why runs failed, by the last attempt.
    pub causes: BTreeMap<Cause, usize>,
    /// Runs with a change that the agent did not report, and runs that touched a decoy.
    pub unreported: usize,
    pub decoys: usize,
}

impl Figures {
    pub fn new(runs: &[&Record]) -> Figures {
        let tasks: BTreeSet<&str> = runs.iter().map(|run| run.task.as_str()).collect();
        let passes = |attempts| runs.iter().filter(|run| run.passes(attempts)).count();
        let models: BTreeSet<&str> = runs.iter().map(|run| run.model.as_str()).collect();
        let mut causes = BTreeMap::new();
        for run in runs.iter().filter(|run| !run.passes(usize::MAX)) {
            if let Some(cause) = run.attempts.last().and_then(|attempt| attempt.cause) {
                *causes.entry(cause).or_default() += 1;
            }
        }
        let attempts = || runs.iter().flat_map(|run| &run.attempts);
        let with = |is: &dyn Fn(&Record) -> bool| runs.iter().filter(|run| is(run)).count();
        Figures {
            model: models.into_iter().collect::<Vec<_>>().join(", "),
            tasks: tasks.len(),
            runs: runs.len(),
            pass1: Share::new(passes(1), runs.len()),
            pass2: Share::new(passes(2), runs.len()),
            seconds: runs.iter().map(|run| run.seconds()).sum(),
            median_seconds: median(runs.iter().map(|run| run.seconds()).collect()),
            prompt_tokens: attempts().filter_map(|attempt| attempt.prompt_tokens).sum(),
            evaluated_tokens: attempts().filter_map(|attempt| attempt.evaluated_tokens).sum(),
            answer_tokens: attempts().filter_map(|attempt| attempt.answer_tokens).sum(),
            uncounted: attempts().filter(|attempt| attempt.evaluated_tokens.is_none()).count(),
            calls: attempts().map(|attempt| attempt.calls).sum(),
            causes,
            unreported: with(&|run| run.attempts.iter().any(|attempt| !attempt.unreported.is_empty())),
            decoys: with(&|run| run.attempts.iter().any(|attempt| !attempt.decoys.is_empty())),
        }
    }
}

impl Summary {
    pub fn new(runs: &[&Record], unusable: &[&Known]) -> Summary {
        let names: BTreeSet<&str> = runs.iter().map(|run| run.agent.as_str()).collect();
        let tasks_of = |agent: &str| -> BTreeSet<(&str, u32)> {
            runs.iter().filter(|run| run.agent == agent).map(|run| (run.task.as_str(), run.seed)).collect()
        };
        let mut common: Option<BTreeSet<(&str, u32)>> = None;
        let mut agents = BTreeMap::new();
        for name in names {
            let done = tasks_of(name);
            common = Some(common.map_or_else(|| done.clone(), |common| &common & &done));
            let own: Vec<&Record> = runs.iter().copied().filter(|run| run.agent == name).collect();
            let mut groups: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
            for run in &own {
                groups.entry(run.language.clone()).or_default().push(run);
            }
            groups.insert("all".to_owned(), own);
            let figures = groups.into_iter().map(|(group, runs)| (group, Figures::new(&runs))).collect();
            agents.insert(name.to_owned(), figures);
        }
        let unusable =
            unusable.iter().map(|known| (known.task.clone(), known.unusable.clone().unwrap_or_default()));
        Summary { agents, unusable: unusable.collect(), common: common.unwrap_or_default().len() }
    }

    pub fn render(&self) -> String {
        let mut text = format!(
            "{:34} {:>4} {:>16} {:>16} {:>8} {:>8} {:>9} {:>9} {:>8}\n",
            "", "runs", "pass@1 %", "pass@2 %", "seconds", "median", "sent", "evaluated", "answered"
        );
        for (agent, groups) in &self.agents {
            for (group, figures) in groups {
                let name = format!("{}, {}", visible(agent), visible(group));
                // Writing to a string cannot fail.
                let _ = writeln!(
                    text,
                    "{name:34} {:>4} {:>16} {:>16} {:>8.0} {:>8.1} {:>9} {:>9} {:>8}",
                    figures.runs,
                    figures.pass1.in_percent(),
                    figures.pass2.in_percent(),
                    figures.seconds,
                    figures.median_seconds,
                    figures.prompt_tokens,
                    figures.evaluated_tokens,
                    figures.answer_tokens,
                );
            }
        }
        text.push('\n');
        for (agent, groups) in &self.agents {
            let Some(all) = groups.get("all") else { continue };
            let causes: Vec<String> =
                all.causes.iter().map(|(cause, runs)| format!("{} {runs}", cause.describe())).collect();
            let causes = if causes.is_empty() { "none".to_owned() } else { causes.join(", ") };
            let _ = writeln!(
                text,
                "{}: failures by cause: {causes}; runs with unreported changes {}, with touched decoys {}; attempts that the server did not count {}",
                visible(agent),
                all.unreported,
                all.decoys,
                all.uncounted
            );
        }
        for (task, reason) in &self.unusable {
            let _ = writeln!(text, "not usable: {} ({})", visible(task), visible(reason));
        }
        text.push_str(
            "\nIn brackets: 95 % intervals (Wilson). seconds: of the agents, without the tests. sent, evaluated, answered:\n\
             tokens as the server counted them; evaluated are those of the prompts that were not in its cache.\n",
        );
        if self.agents.len() > 1 {
            let _ = writeln!(text, "{} runs were made by every agent above.", self.common);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Attempt;
    use super::*;

    fn run(agent: &str, task: &str, passed: &[bool], evaluated: Option<u64>) -> Record {
        let attempts = passed.iter().map(|passed| Attempt {
            passed: *passed,
            seconds: 2.0,
            evaluated_tokens: evaluated,
            cause: (!passed).then_some(Cause::Model),
            unreported: if task == "b" { vec!["x".into()] } else { Vec::new() },
            ..Attempt::default()
        });
        Record {
            task: task.into(),
            language: if task == "a" { "rust" } else { "python" }.into(),
            agent: agent.into(),
            version: "1".into(),
            seed: 1,
            model: "m".into(),
            made_with: String::new(),
            attempts: attempts.collect(),
        }
    }

    #[test]
    fn figures_are_sums_and_shares_of_runs() {
        let runs = [
            run("ours", "a", &[true], Some(10)),
            run("ours", "b", &[false, true], Some(20)),
            run("ours", "c", &[false, false], Some(30)),
            run("other", "a", &[false, false], None),
        ];
        let unusable = Known { task: "d".into(), unusable: Some("no".into()), tests: None };
        let summary = Summary::new(&runs.iter().collect::<Vec<_>>(), &[&unusable]);
        let ours = &summary.agents["ours"]["all"];
        assert_eq!((ours.pass1.hits, ours.pass2.hits, ours.runs, ours.tasks), (1, 2, 3, 3));
        assert_eq!((ours.seconds, ours.evaluated_tokens, ours.uncounted), (10.0, 110, 0));
        assert_eq!((ours.unreported, ours.causes[&Cause::Model]), (1, 1), "what passed at last has no cause");
        assert_eq!(summary.agents["ours"]["python"].runs, 2);
        assert_eq!(summary.agents["other"]["all"].uncounted, 2);
        assert_eq!(summary.common, 1);
        let text = summary.render();
        for said in ["33.3 [6, 79]", "model limit 1", "not usable: d (no)", "1 runs were made by every agent"]
        {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}
