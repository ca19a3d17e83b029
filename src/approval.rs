//! Consent: what the owner is shown, and the only place where an [`Approved`] comes into being.
//!
//! A decision names the digest of what was shown and the hunks that are accepted; whatever it does
//! not name is declined. It must not apply anything, and no front end or role can build an approval
//! without passing through [`decide`]. Rules and modes have one door, [`by_rules`]: what comes out of
//! it is bound to one patch, and counts only as a part of a decision or, where nothing is left to
//! ask, through [`without_asking`]. [`by_command`] is for the command that is an approval.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::{
    edit::{PatchSet, gate::Syntax, patch::FilePatch},
    protocol::{Approval, CheckResult, Decision, FileReview, HunkReview, RuledFile},
    rules::{Authority, Change, Place, Ruled},
};

/// Something that its owner signed. It cannot be built outside of this module, and apply accepts
/// nothing else:
///
/// ```compile_fail,E0423
/// let patch = countersign::edit::PatchSet::default();
/// let forged = countersign::approval::Approved(patch);
/// ```
///
/// nor changed after it was signed:
///
/// ```compile_fail,E0616
/// fn swap(approved: &mut countersign::approval::Approved<countersign::edit::PatchSet>) {
///     approved.0 = countersign::edit::PatchSet::default();
/// }
/// ```
#[derive(Debug)]
pub struct Approved<T>(T);

impl<T> Approved<T> {
    pub fn get(&self) -> &T {
        &self.0
    }

    /// Uses the approval up.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// What a decision came to.
#[derive(Debug)]
pub struct Verdict {
    /// The accepted hunks as a patch of their own; `None` if there are none.
    pub approved: Option<Approved<PatchSet>>,
    pub accepted: Vec<u32>,
    /// Hunks that are kept for a later review.
    pub pending: Vec<u32>,
    /// Everything else, stale hunks included.
    pub declined: Vec<u32>,
    /// Hunks that were accepted and cannot stand without one that was declined.
    pub stale: Vec<u32>,
    /// Who or what decided which hunks, in the order of their names; each hunk once.
    pub shares: Vec<Share>,
}

/// The hunks that one rule, the mode or the owner decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// `owner`, or what decided, such as `rule: allow src/**`.
    pub by: String,
    pub accepted: Vec<u32>,
    pub declined: Vec<u32>,
    /// Kept for a later review; nobody has said yes to it.
    pub pending: Vec<u32>,
}

/// The name under which the owner's answers are told.
const OWNER: &str = "owner";

/// What rules and mode say of each file of one patch. Only [`by_rules`] makes one.
#[derive(Debug, Clone)]
pub struct Ruling {
    digest: String,
    /// By file of the patch, in its order.
    files: Vec<Ruled>,
    /// By hunk, what becomes of its file.
    hunks: BTreeMap<u32, Ruled>,
}

/// Holds a patch against the mode and the rules. `planned` are the paths of the plan: a file that is
/// not among them is always asked, and being among them allows nothing by itself. `place` says what the
/// disk knows of a path. Nothing is allowed on which one of the `checks` failed.
///
/// Paths, kinds of change and modes are all that is looked at. No text that a model wrote is an input.
pub fn by_rules(
    patch: &PatchSet,
    planned: &BTreeSet<&str>,
    authority: &Authority,
    checks: &[CheckResult],
    place: &dyn Fn(&str) -> Place,
) -> Ruling {
    let check_failed = checks.iter().any(|check| !check.passed);
    let judge = |file| authority.judge(&Change { check_failed, ..change(file, planned, place) });
    let files: Vec<Ruled> = patch.files().iter().map(judge).collect();
    let of_file = |(file, ruled): (&FilePatch, &Ruled)| {
        file.hunks().iter().map(|hunk| (hunk.id(), ruled.clone())).collect::<Vec<_>>()
    };
    let hunks = patch.files().iter().zip(&files).flat_map(of_file).collect();
    Ruling { digest: patch.digest(), files, hunks }
}

fn change(file: &FilePatch, planned: &BTreeSet<&str>, place: &dyn Fn(&str) -> Place) -> Change {
    let paths = BTreeSet::from([file.old_path(), file.path()]);
    let executable = |mode: Option<u32>| mode.is_some_and(|mode| mode & 0o111 != 0);
    let before = file.before().is_some_and(|side| executable(side.mode));
    Change {
        kind: file.kind(),
        tier: file.tier(),
        planned: paths.iter().all(|path| planned.contains(path)),
        executable_before: before,
        check_failed: false,
        // What goes away changes no bit.
        executable_after: file.after().map_or(before, |side| executable(side.mode)),
        places: paths.into_iter().map(place).collect(),
    }
}

impl Ruling {
    /// Whether anything is left for the owner.
    pub fn asks(&self) -> bool {
        self.files.iter().any(|ruled| matches!(ruled, Ruled::Asked { .. }))
    }

    /// The files that are decided already, as an observer sees them.
    pub fn decided(&self, patch: &PatchSet, why: &BTreeMap<String, Vec<String>>) -> Vec<RuledFile> {
        let shown = patch.files().iter().zip(&self.files).filter_map(|(file, ruled)| {
            let (allowed, by) = match ruled {
                Ruled::Allowed { by } => (true, by),
                Ruled::Denied { by } => (false, by),
                Ruled::Asked { .. } => return None,
            };
            Some(RuledFile { file: file_review(file, why), allowed, by: by.clone() })
        });
        shown.collect()
    }

    /// What is denied, a line a file: its path, and what denies it.
    pub fn denials(&self, patch: &PatchSet) -> Vec<String> {
        let lines = patch.files().iter().zip(&self.files).filter_map(|(file, ruled)| match ruled {
            Ruled::Denied { by } => Some(format!("{} ({by})", file.path())),
            _ => None,
        });
        lines.collect()
    }

    fn by(&self, hunk: u32) -> &str {
        match self.hunks.get(&hunk) {
            Some(Ruled::Allowed { by } | Ruled::Denied { by }) => by,
            _ => OWNER,
        }
    }

    /// The hunks that need no answer.
    fn allowed(&self) -> BTreeSet<u32> {
        self.hunks
            .iter()
            .filter(|(_, ruled)| matches!(ruled, Ruled::Allowed { .. }))
            .map(|(hunk, _)| *hunk)
            .collect()
    }

    /// The hunks that the owner is asked about.
    fn asked(&self) -> BTreeSet<u32> {
        self.hunks.keys().copied().filter(|hunk| self.is_asked(*hunk)).collect()
    }

    /// The same for a patch whose owner was asked about these paths before: they are asked again. An
    /// open question is closed by an answer, never by a new version that rules would allow.
    pub fn asking_again(mut self, patch: &PatchSet, before: &BTreeSet<String>) -> Ruling {
        for (file, ruled) in patch.files().iter().zip(&mut self.files) {
            if before.contains(file.path()) && matches!(ruled, Ruled::Allowed { .. }) {
                *ruled = Ruled::Asked { because: Some("you were asked about it before".into()) };
                self.hunks.extend(file.hunks().iter().map(|hunk| (hunk.id(), ruled.clone())));
            }
        }
        self
    }

    fn is_asked(&self, hunk: u32) -> bool {
        matches!(self.hunks.get(&hunk), Some(Ruled::Asked { .. }))
    }
}

/// What becomes of places that were found by likeness alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guesses {
    /// The owner asked for them in words.
    Accepted,
    Declined,
}

/// Why a decision decides nothing. The approval stays open.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecisionError {
    #[error("the decision is about approval {given}, and the open one is {open}; answer that one")]
    OtherApproval { given: u64, open: u64 },
    #[error("the decision is about another patch than the one that was shown; look at it again, then decide")]
    OtherPatch,
    #[error("there is no hunk {0} in this approval; accept hunks by the ids that were shown")]
    UnknownHunk(u32),
    #[error("rules do not decide all of the patch; ask its owner about the rest")]
    LeftToAsk,
    #[error("hunk {0} is accepted and left pending at once; decide for one")]
    Contradiction(u32),
}

/// What the owner is shown: the files of the patch that are not decided by rules already. `why` gives
/// the reasons of a file by its path after the change. The digest is that of the whole patch. The text
/// is raw: a front end shows it through [`crate::sanitize::visible`].
pub fn review(
    id: u64,
    patch: &PatchSet,
    ruling: &Ruling,
    why: &BTreeMap<String, Vec<String>>,
    checks: Vec<CheckResult>,
) -> Approval {
    let asked = patch.files().iter().zip(&ruling.files).filter_map(|(file, ruled)| match ruled {
        Ruled::Asked { because } => Some((file, because)),
        _ => None,
    });
    let files = asked
        .map(|(file, because)| {
            let mut review = file_review(file, why);
            review.why.extend(because.as_ref().map(|because| format!("it is asked: {because}")));
            review
        })
        .collect();
    Approval { id, digest: patch.digest(), files, checks, ..Approval::default() }
}

fn file_review(file: &FilePatch, why: &BTreeMap<String, Vec<String>>) -> FileReview {
    FileReview {
        old_path: file.old_path().to_owned(),
        path: file.path().to_owned(),
        change: file.kind(),
        hunks: file
            .hunks()
            .iter()
            .map(|hunk| HunkReview {
                id: hunk.id(),
                header: hunk.header().to_owned(),
                lines: hunk.shown_lines(),
                tier: file.tier().label().to_owned(),
            })
            .collect(),
        why: why.get(file.path()).cloned().unwrap_or_default(),
    }
}

/// Turns a decision about `patch`, which was shown as approval `id`, into a signed patch: what the
/// owner accepted, and what the ruling allows. What the ruling denies stays declined.
///
/// `syntax` counts the errors of a file's text, if anybody can: what does not parse without a declined
/// hunk is not forced.
///
/// # Errors
/// If the decision or the ruling is about something else than what was shown; nothing is approved then.
pub fn decide(
    patch: &PatchSet,
    id: u64,
    ruling: &Ruling,
    decision: &Decision,
    syntax: &dyn Fn(&str, &str) -> Option<Syntax>,
) -> Result<Verdict, DecisionError> {
    if decision.approval != id {
        return Err(DecisionError::OtherApproval { given: decision.approval, open: id });
    }
    if decision.digest != patch.digest() || decision.digest != ruling.digest {
        return Err(DecisionError::OtherPatch);
    }
    // Only what was asked was shown.
    let mut accepted: BTreeSet<u32> = decision.accept.iter().copied().collect();
    let mut pending: BTreeSet<u32> = decision.pending.iter().copied().collect();
    if let Some(unknown) = accepted.union(&pending).find(|hunk| !ruling.is_asked(**hunk)) {
        return Err(DecisionError::UnknownHunk(*unknown));
    }
    if let Some(both) = accepted.intersection(&pending).next() {
        return Err(DecisionError::Contradiction(*both));
    }
    // Nobody has answered anything: then what rules allow waits as well. The parts of a patch belong
    // together.
    let unanswered = !pending.is_empty() && pending == ruling.asked();
    if unanswered { &mut pending } else { &mut accepted }.extend(ruling.allowed());
    Ok(sign(patch, ruling, accepted, pending, syntax))
}

/// The verdict on a patch of which nothing is left to ask.
///
/// # Errors
/// If the ruling is about another patch, or leaves something to ask; nothing is approved then.
pub fn without_asking(
    patch: &PatchSet,
    ruling: &Ruling,
    syntax: &dyn Fn(&str, &str) -> Option<Syntax>,
) -> Result<Verdict, DecisionError> {
    if patch.digest() != ruling.digest {
        return Err(DecisionError::OtherPatch);
    }
    match ruling.asks() {
        true => Err(DecisionError::LeftToAsk),
        false => Ok(sign(patch, ruling, ruling.allowed(), BTreeSet::new(), syntax)),
    }
}

fn sign(
    patch: &PatchSet,
    ruling: &Ruling,
    accepted: BTreeSet<u32>,
    pending: BTreeSet<u32>,
    syntax: &dyn Fn(&str, &str) -> Option<Syntax>,
) -> Verdict {
    let mut stale = patch.stale(&accepted, syntax);
    let accepted: BTreeSet<u32> = accepted.difference(&stale).copied().collect();
    // What waits stands on what is accepted now; it goes with what it cannot stand without.
    stale.extend(patch.stale(&accepted.union(&pending).copied().collect(), syntax));
    let accepted: BTreeSet<u32> = accepted.difference(&stale).copied().collect();
    let pending: BTreeSet<u32> = pending.difference(&stale).copied().collect();
    let signed = patch.select(&accepted);
    let is_declined = |id: &u32| !accepted.contains(id) && !pending.contains(id);
    let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
    for hunk in patch.ids() {
        let by = ruling.by(hunk);
        let new = || Share { by: by.to_owned(), ..Share::default() };
        let share = shares.entry(by).or_insert_with(new);
        match (accepted.contains(&hunk), pending.contains(&hunk)) {
            (true, _) => share.accepted.push(hunk),
            (false, true) => share.pending.push(hunk),
            (false, false) => share.declined.push(hunk),
        }
    }
    Verdict {
        approved: (!signed.is_empty()).then_some(Approved(signed)),
        declined: patch.ids().into_iter().filter(is_declined).collect(),
        accepted: accepted.into_iter().collect(),
        pending: pending.into_iter().collect(),
        stale: stale.into_iter().collect(),
        shares: shares.into_values().collect(),
    }
}

/// The approval of an owner who typed the command that applies this very patch: the answer to
/// whatever is asked. `None` if the ruling is about another patch or denies a part of it, or if a place
/// in it is a guess and guesses are declined: nobody has looked at it.
pub fn by_command(patch: &PatchSet, ruling: &Ruling, guesses: Guesses) -> Option<Approved<PatchSet>> {
    let guessed = patch.files().iter().any(|file| file.tier().is_guess());
    let denied = ruling.files.iter().any(|ruled| matches!(ruled, Ruled::Denied { .. }));
    let fits = ruling.digest == patch.digest() && !denied;
    (fits && (!guessed || guesses == Guesses::Accepted)).then(|| Approved(patch.clone()))
}

#[cfg(test)]
mod tests;
