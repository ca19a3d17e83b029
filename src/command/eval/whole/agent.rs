//! Our own agent at work on one task: the same engine, roles and gate as ever, watched by its events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::ground::{Ground, Snapshot};
use super::proxy::Proxy;
use crate::cli::ProviderName;
use crate::command::run::{self, How, Running};
use crate::config::Config;
use crate::failure::Kind;
use crate::protocol::{Decision, Event, Op, Outcome, StartRequest};
use crate::rules::{Authority, Mode, Rules};

/// How long a cancelled turn may take to end: an apply that has begun is finished.
const GRACE: Duration = Duration::from_secs(30);

/// What was seen of one attempt, of whichever agent.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Why it ended before its own end.
    pub stopped: Option<Stopped>,
    /// Its end in its own words.
    pub ended: String,
    /// Paths in the evidence; `None` for an agent that shows none.
    pub evidence: Option<Vec<String>>,
    /// Whether it is an agent that plans.
    pub plans: bool,
    /// Paths in the plan; `None` if there was none.
    pub planned: Option<Vec<String>>,
    /// Files that it says it changed, with the hash that it read back, where it says one.
    pub applied: BTreeMap<String, Option<String>>,
    /// Files that were there before.
    pub existing: BTreeSet<String>,
    /// Its own check failed on what is in the tree.
    pub check_failed: bool,
    /// Answers of the model that could not be used as edits.
    pub refused: u32,
    pub spent: Spent,
    pub seconds: f64,
}

/// Tokens as the server counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    pub calls: u64,
    /// Prompt tokens, and those among them that were not in the server's cache.
    pub prompt: Option<u64>,
    pub evaluated: Option<u64>,
    pub answer: Option<u64>,
}

/// Why an attempt ended before its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    Time,
    Server,
    Agent,
}

impl Spent {
    fn and(self, more: Spent) -> Spent {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
        Spent {
            calls: self.calls + more.calls,
            prompt: sum(self.prompt, more.prompt),
            evaluated: sum(self.evaluated, more.evaluated),
            answer: sum(self.answer, more.answer),
        }
    }
}

impl Seen {
    /// What was seen of both, where `more` followed in the same attempt.
    pub fn then(mut self, more: Seen) -> Seen {
        self.applied.extend(more.applied);
        Seen {
            stopped: more.stopped,
            ended: more.ended,
            check_failed: more.check_failed,
            refused: self.refused + more.refused,
            spent: self.spent.and(more.spent),
            seconds: self.seconds + more.seconds,
            ..self
        }
    }

    /// Changed files that it did not report, or reported with other content.
    pub fn unreported(&self, changed: &BTreeSet<String>, now: &Snapshot) -> Vec<String> {
        let is_reported = |path: &&String| match self.applied.get(*path) {
            None => false,
            Some(None) => true,
            Some(Some(hash)) => now.get(*path).is_some_and(|now| now.to_hex().as_str() == hash),
        };
        changed.iter().filter(|path| !is_reported(path)).cloned().collect()
    }
}

/// Our agent in one throw-away copy.
pub struct Ours {
    engine: Running,
    /// Counts for us as it does for others, where the server's address is known.
    proxy: Option<Proxy>,
}

impl Ours {
    /// Starts an engine. What it may do there without asking is a mode that only an evaluation has, judged
    /// at the same gate as every other; the owner's own rules are about other folders.
    ///
    /// # Errors
    /// What starting an engine can fail with, such as a server that does not answer.
    pub async fn start(config: &Config, ground: &Ground, how: How) -> anyhow::Result<Ours> {
        let mut config = config.elsewhere(ground.tree(), &ground.beside("data")?)?;
        config.authority = Authority { mode: Mode::Evaluation, rules: Rules::default() };
        let mut proxy = None;
        if let (Some(url), true) = (&config.model.url, config.model.provider != Some(ProviderName::Ollama)) {
            let started = Proxy::start(url).await?;
            config.model.url = Some(started.url());
            proxy = Some(started);
        }
        Ok(Ours { engine: run::start(&config, how).await?, proxy })
    }

    /// Carries out one request in a tree with the `existing` files, until `deadline` at the latest.
    ///
    /// # Errors
    /// When the engine is gone.
    pub async fn attempt(
        &mut self,
        request: &StartRequest,
        existing: BTreeSet<String>,
        deadline: Instant,
    ) -> anyhow::Result<Seen> {
        let began = Instant::now();
        let mut seen = Seen { plans: true, evidence: Some(Vec::new()), existing, ..Seen::default() };
        self.engine.ops.send(Op::Start(request.clone())).await.context("the engine is gone")?;
        let mut until = deadline;
        loop {
            let next = tokio::time::timeout_at(until.into(), self.engine.events.recv()).await;
            match next {
                Ok(Some(envelope)) => {
                    if self.note(&mut seen, envelope.event).await? {
                        break;
                    }
                }
                Ok(None) => anyhow::bail!("the engine ended in the middle of a turn"),
                Err(_) if seen.stopped.is_none() => {
                    seen.stopped = Some(Stopped::Time);
                    self.engine.ops.send(Op::Cancel).await.context("the engine is gone")?;
                    until = Instant::now() + GRACE;
                }
                Err(_) => anyhow::bail!("a turn that was cancelled does not end"),
            }
        }
        seen.seconds = began.elapsed().as_secs_f64();
        if let Some(proxy) = &self.proxy {
            seen.spent = proxy.take().await;
        }
        Ok(seen)
    }

    /// Ends the engine.
    pub async fn stop(self) {
        self.engine.stop().await;
    }

    /// Takes down what an event says; true at the end of the turn.
    async fn note(&self, seen: &mut Seen, event: Event) -> anyhow::Result<bool> {
        match event {
            Event::PackReady { snippets, .. } => {
                seen.evidence = Some(snippets.into_iter().map(|snippet| snippet.path).collect());
            }
            Event::Findings { evidence, .. } => {
                // The Explorer's quotations name the files that they are from.
                let known =
                    seen.existing.iter().filter(|path| evidence.iter().any(|quote| quote.contains(*path)));
                let known: Vec<String> = known.cloned().collect();
                seen.evidence.get_or_insert_default().extend(known);
            }
            Event::PlanReady { steps, .. } => {
                let paths = steps.into_iter().flat_map(|step| [Some(step.file), step.target]);
                seen.planned = Some(paths.flatten().collect());
            }
            Event::EditRefused { .. } => seen.refused += 1,
            // Where even this mode asks, the path may lead out of the copy: nobody is there to say yes.
            Event::ApprovalNeeded(approval) => {
                let decision =
                    Decision { approval: approval.id, digest: approval.digest, ..Decision::default() };
                self.engine.ops.send(Op::Decide(decision)).await.context("the engine is gone")?;
            }
            Event::Applied { files, .. } => {
                seen.applied.extend(files.into_iter().map(|file| (file.path, file.hash)));
            }
            Event::TurnFinished { outcome, usage, .. } => {
                seen.spent = Spent {
                    calls: usage.calls.into(),
                    prompt: usage.prompt_tokens.map(u64::from),
                    evaluated: usage.evaluated_tokens.map(u64::from),
                    answer: usage.answer_tokens.map(u64::from),
                };
                seen.ended = describe(&outcome);
                match outcome {
                    Outcome::ChecksFailed { .. } => seen.check_failed = true,
                    Outcome::Failed { code, .. } if seen.stopped.is_none() => {
                        let server = code == Kind::Provider.code();
                        seen.stopped = Some(if server { Stopped::Server } else { Stopped::Agent });
                    }
                    _ => {}
                }
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NoValidChange { reason }
        | Outcome::Declined { reason }
        | Outcome::TakenBack { reason }
        | Outcome::Incomplete { reason, .. }
        | Outcome::Failed { reason, .. } => format!("{}: {reason}", outcome.word()),
        _ => outcome.word().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_in_an_attempt_is_added() {
        let seen = |path: &str, evaluated: Option<u64>| Seen {
            applied: [(path.to_owned(), None)].into(),
            spent: Spent { calls: 1, prompt: Some(10), evaluated, answer: Some(1) },
            seconds: 1.5,
            refused: 1,
            ..Seen::default()
        };
        let both = seen("a.py", Some(7)).then(Seen { stopped: Some(Stopped::Time), ..seen("b.py", Some(2)) });
        assert_eq!(both.applied.keys().collect::<Vec<_>>(), ["a.py", "b.py"]);
        assert_eq!(both.spent, Spent { calls: 2, prompt: Some(20), evaluated: Some(9), answer: Some(2) });
        assert_eq!((both.seconds, both.refused, both.stopped), (3.0, 2, Some(Stopped::Time)));
        let uncounted = seen("a.py", Some(7)).then(seen("a.py", None));
        assert_eq!(uncounted.spent.evaluated, None, "a sum of what is not known is not known");
    }

    #[test]
    fn a_change_counts_as_reported_only_with_its_content() {
        let hash = |text: &str| blake3::hash(text.as_bytes());
        let now: Snapshot = [("a.py", "1"), ("b.py", "2"), ("c.py", "3")]
            .map(|(path, text)| (path.to_owned(), hash(text)))
            .into();
        let report = [
            ("a.py", Some(hash("1").to_hex().to_string())),
            ("b.py", Some(hash("something else").to_hex().to_string())),
            ("gone.py", None),
        ];
        let applied = report.map(|(path, hash)| (path.to_owned(), hash)).into();
        let seen = Seen { applied, ..Seen::default() };
        let changed = ["a.py", "b.py", "c.py", "gone.py"].map(str::to_owned).into();
        assert_eq!(seen.unreported(&changed, &now), ["b.py", "c.py"]);
    }
}
