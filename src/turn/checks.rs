//! Which checks run on a patch, whether their owner lets them, and what they say. It must not know what a
//! failed one means for the turn.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use anyhow::Context as _;
use tokio::sync::oneshot;

use crate::check::found::{self, Finder};
use crate::check::scratch::Workspace;
use crate::check::suggest::{self, Told};
use crate::check::{self, Check, Place, Ran};
use crate::edit::PatchSet;
use crate::engine::Asked;
use crate::protocol::{CheckAnswer, CheckPlace, CheckQuestion, CheckView, Event};
use crate::turn::{Signer, Stop};

/// Which checks run.
#[derive(Debug, Clone)]
pub enum Checks {
    /// These, in this order.
    These(Vec<Check>),
    /// Those of the repository that its owner has approved.
    Found(Finder),
}

impl Signer {
    /// Says at the start which checks do not run, unless their owner will be asked.
    ///
    /// # Errors
    /// When the approvals cannot be read.
    pub fn note_checks(&self) -> anyhow::Result<()> {
        let Checks::Found(finder) = &self.checks else { return Ok(()) };
        let found = finder.find()?;
        found.notes.into_iter().for_each(|note| self.events.warn(note));
        if !self.asks_about_checks {
            self.leave_out(&found.unapproved);
        }
        Ok(())
    }

    /// Says once that these checks do not run.
    fn leave_out(&self, checks: &[Check]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<Check> = checks.iter().filter(|check| told.insert(check.hash())).cloned().collect();
        found::not_approved(&new).into_iter().for_each(|note| self.events.warn(note));
    }

    /// The checks that may run now. Their owner is asked about each other one, once: again only when it
    /// has changed, which it may have done while the question was open.
    async fn approved_checks(&self) -> Result<Vec<Check>, Stop> {
        let finder = match &self.checks {
            Checks::These(checks) => return Ok(checks.clone()),
            Checks::Found(finder) => finder,
        };
        loop {
            let found = finder.find()?;
            if !self.asks_about_checks {
                self.leave_out(&found.unapproved);
                return Ok(found.ready);
            }
            let new: Vec<Check> = {
                let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                found.unapproved.into_iter().filter(|check| !told.contains(&check.hash())).collect()
            };
            if new.is_empty() {
                return Ok(found.ready);
            }
            let answer = self.ask_about_checks(&new).await?;
            let (mut approved, mut not_now) = (Vec::new(), Vec::new());
            for check in &new {
                let hash = check.hash();
                let kept = answer.approve.contains(&hash).then(|| {
                    finder.trust().and_then(|mut trust| trust.approve(check, crate::clock::now_ms()))
                });
                // What cannot be written down is not approved; the work so far is not lost with it.
                if let Some(Err(error)) = &kept {
                    self.events.warn(format!("not approved: `{}`: {error:#}", check.command_line()));
                }
                match kept {
                    Some(Ok(())) => approved.push(hash),
                    _ => not_now.push(hash),
                }
            }
            self.told.lock().unwrap_or_else(PoisonError::into_inner).extend(not_now.iter().cloned());
            self.events.emit(Event::ChecksAnswered { question: answer.question, approved, not_now });
        }
    }

    /// Whether there is a check that may run.
    pub(super) async fn can_check(&self) -> Result<bool, Stop> {
        Ok(!self.approved_checks().await?.is_empty())
    }

    async fn ask_about_checks(&self, checks: &[Check]) -> Result<CheckAnswer, Stop> {
        let sandbox = self.runner.sandbox().await?;
        let views: Vec<CheckView> = checks.iter().map(check_view).collect();
        let mut digest = blake3::Hasher::new();
        for view in &views {
            digest.update(view.hash.as_bytes());
        }
        let question = CheckQuestion {
            id: self.next_id(),
            digest: digest.finalize().to_hex().to_string(),
            checks: views,
            sandboxed: sandbox.warning.is_none(),
            sandbox: sandbox.description,
        };
        let (reply, answer) = oneshot::channel();
        self.owner.send(Asked::Checks { question, reply }).await.ok().context("the engine is gone")?;
        Ok(answer.await.context("the engine ended while checks waited for their owner")?)
    }

    /// Runs the checks, on a copy with the whole patch in it or in the tree, and gives the result of
    /// each. Tests that concern the change come first; when they fail, the rest of their check would
    /// not change the verdict.
    pub(super) async fn check(&self, place: Place, patch: &PatchSet) -> Result<Vec<Ran>, Stop> {
        let checks = self.approved_checks().await?;
        if checks.is_empty() {
            return Ok(Vec::new());
        }
        let mut workspace = self.runner.workspace()?;
        if place == Place::Scratch {
            if let Some(warning) = self.runner.sandbox().await?.warning {
                self.events.warn(warning);
            }
            workspace = self.filled(workspace, patch).await?;
        }
        let mut results = Vec::new();
        let mut is_copied = false;
        for check in &checks {
            let mut ran = None;
            if let Some(selected) = self.selected(check, patch).await? {
                ran = Some(self.run_check(&selected, &workspace, place).await?);
            }
            if ran.as_ref().is_none_or(|ran| ran.result.passed) {
                ran = Some(self.run_check(check, &workspace, place).await?);
            }
            let is_denied = |ran: &Ran| !ran.result.passed && check::tells_a_denial(&ran.output);
            if place == Place::Tree && ran.as_ref().is_some_and(is_denied) {
                // Such as cargo, which makes a lock file where there is none. The copy is of the tree as it
                // is now, so the verdict is one on the tree.
                self.events.warn(format!(
                    "`{}` was not permitted something in the tree, where checks may not write; it is repeated on a copy of it",
                    check.command_line()
                ));
                if !is_copied {
                    workspace = self.filled(workspace, &PatchSet::default()).await?;
                    is_copied = true;
                }
                ran = Some(self.run_check(check, &workspace, Place::Scratch).await?);
            }
            results.extend(ran);
        }
        Ok(results)
    }

    /// The check by which a compiler tells what it would correct; `None` where none of the checks is of such a
    /// compiler.
    pub(super) async fn telling(&self) -> Result<Option<Check>, Stop> {
        Ok(self.approved_checks().await?.iter().find_map(suggest::telling))
    }

    /// What a compiler says about a patch that does not compile, and offers to correct.
    pub(super) async fn told(&self, telling: &Check, patch: &PatchSet) -> Result<Told, Stop> {
        let workspace = self.filled(self.runner.workspace()?, patch).await?;
        let ran = self.runner.run(telling, &workspace, Place::Scratch).await?;
        let mut told = suggest::told(&ran.output);
        // Some name a file from where they run, cargo from the top of its workspace.
        for correction in &mut told.corrections {
            let from_root = format!("{}/{}", telling.directory, correction.file);
            if !telling.directory.is_empty() && patch.files().iter().any(|file| file.path() == from_root) {
                correction.file = from_root;
            }
        }
        Ok(told)
    }

    /// The workspace with the tree in it, and a patch over that.
    async fn filled(&self, workspace: Workspace, patch: &PatchSet) -> Result<Workspace, Stop> {
        let (root, copied) = (self.root.clone(), patch.clone());
        let filled = tokio::task::spawn_blocking(move || {
            workspace.fill(&root, &copied)?;
            anyhow::Ok(workspace)
        });
        Ok(filled.await.context("the thread of the scratch copy ended")??)
    }

    /// The part of a check that concerns a patch, if it can be told.
    async fn selected(&self, check: &Check, patch: &PatchSet) -> Result<Option<Check>, Stop> {
        let Some(retriever) = &self.retriever else { return Ok(None) };
        let both = patch.files().iter().flat_map(|file| [file.old_path(), file.path()]);
        let changed: BTreeSet<String> = both.map(str::to_owned).collect();
        let whole = check.clone();
        let selected = retriever.with(move |library| {
            let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
            Ok(check::select(&library.index, &changed, &whole))
        });
        Ok(selected.await?)
    }

    async fn run_check(&self, check: &Check, workspace: &Workspace, place: Place) -> Result<Ran, Stop> {
        let (command, shown) = (
            check.argv.clone(),
            match place {
                Place::Scratch => CheckPlace::Scratch,
                Place::Tree => CheckPlace::Tree,
            },
        );
        self.events.emit(Event::CheckStarted { command: command.clone(), place: shown });
        let ran = self.runner.run(check, workspace, place).await?;
        self.events.emit(Event::CheckFinished { command, place: shown, result: ran.result.clone() });
        Ok(ran)
    }
}

/// A check with all that its hash is of.
fn check_view(check: &Check) -> CheckView {
    CheckView {
        hash: check.hash(),
        argv: check.argv.clone(),
        command: check.command_line(),
        directory: check.directory.clone(),
        source: check.source.describe(),
        timeout_s: check.timeout_s,
        environment: check.environment.clone(),
        definition: check.definition.clone(),
    }
}
