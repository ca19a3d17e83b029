//! Consent: what the owner is shown, and the only place where an [`Approved`] comes into being.
//!
//! A decision names the digest of what was shown and the hunks that are accepted; whatever it does
//! not name is declined. It must not apply anything, and no front end, role or rule can build an
//! approval without passing through [`decide`]; [`by_command`] is for the command that is one.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::{
    edit::{PatchSet, gate::Syntax},
    protocol::{Approval, CheckResult, Decision, FileReview, HunkReview},
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
    #[error("hunk {0} is accepted and left pending at once; decide for one")]
    Contradiction(u32),
}

/// What the owner is shown of a patch. `why` gives the reasons of a file by its path after the
/// change. The text is raw: a front end shows it through [`crate::sanitize::visible`].
pub fn review(
    id: u64,
    patch: &PatchSet,
    why: &BTreeMap<String, Vec<String>>,
    checks: Vec<CheckResult>,
) -> Approval {
    let files = patch
        .files()
        .iter()
        .map(|file| FileReview {
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
        })
        .collect();
    Approval { id, digest: patch.digest(), files, checks, ..Approval::default() }
}

/// Turns a decision about `patch`, which was shown as approval `id`, into a signed patch.
///
/// `syntax` counts the errors of a file's text, if anybody can: what does not parse without a declined
/// hunk is not forced.
///
/// # Errors
/// If the decision is about something else than what was shown; nothing is approved then.
pub fn decide(
    patch: &PatchSet,
    id: u64,
    decision: &Decision,
    syntax: &dyn Fn(&str, &str) -> Option<Syntax>,
) -> Result<Verdict, DecisionError> {
    if decision.approval != id {
        return Err(DecisionError::OtherApproval { given: decision.approval, open: id });
    }
    if decision.digest != patch.digest() {
        return Err(DecisionError::OtherPatch);
    }
    let shown = patch.ids();
    let accepted: BTreeSet<u32> = decision.accept.iter().copied().collect();
    let pending: BTreeSet<u32> = decision.pending.iter().copied().collect();
    if let Some(unknown) = accepted.union(&pending).find(|id| !shown.contains(id)) {
        return Err(DecisionError::UnknownHunk(*unknown));
    }
    if let Some(both) = accepted.intersection(&pending).next() {
        return Err(DecisionError::Contradiction(*both));
    }
    let mut stale = patch.stale(&accepted, syntax);
    let accepted: BTreeSet<u32> = accepted.difference(&stale).copied().collect();
    // What waits stands on what is accepted now; it goes with what it cannot stand without.
    stale.extend(patch.stale(&accepted.union(&pending).copied().collect(), syntax));
    let accepted: BTreeSet<u32> = accepted.difference(&stale).copied().collect();
    let pending: BTreeSet<u32> = pending.difference(&stale).copied().collect();
    let signed = patch.select(&accepted);
    let is_declined = |id: &u32| !accepted.contains(id) && !pending.contains(id);
    Ok(Verdict {
        approved: (!signed.is_empty()).then_some(Approved(signed)),
        declined: shown.iter().copied().filter(is_declined).collect(),
        accepted: accepted.into_iter().collect(),
        pending: pending.into_iter().collect(),
        stale: stale.into_iter().collect(),
    })
}

/// The approval of an owner who typed the command that applies this very patch. `None` if a place in
/// it is a guess and guesses are declined: nobody has looked at it.
pub fn by_command(patch: &PatchSet, guesses: Guesses) -> Option<Approved<PatchSet>> {
    let guessed = patch.files().iter().any(|file| file.tier().is_guess());
    (!guessed || guesses == Guesses::Accepted).then(|| Approved(patch.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{
        anchor::Tier,
        patch::{FileChange, Side},
    };

    fn patch(text: &str) -> PatchSet {
        let side = |text: &str| Some(("a.rs".to_owned(), Side::new(text.as_bytes(), None)));
        let lines: String = (0..30).map(|n| format!("{n}\n")).collect();
        let after = lines.replace("\n5\n", &format!("\n{text}\n")).replace("\n25\n", "\n");
        PatchSet::derive(vec![FileChange { before: side(&lines), after: side(&after), tier: Tier::Exact }])
    }

    fn none(_: &str, _: &str) -> Option<Syntax> {
        None
    }

    fn decision(patch: &PatchSet, accept: &[u32]) -> Decision {
        Decision { approval: 7, digest: patch.digest(), accept: accept.to_vec(), ..Decision::default() }
    }

    #[test]
    fn what_is_shown_is_what_is_decided() {
        let patch = patch("five");
        let why = BTreeMap::from([("a.rs".to_owned(), vec!["step 1".to_owned()])]);
        let shown = review(7, &patch, &why, Vec::new());
        assert_eq!((shown.id, &shown.digest), (7, &patch.digest()));
        assert_eq!(shown.files[0].why, ["step 1"]);
        assert_eq!(shown.files[0].hunks[0].lines, [" 2", " 3", " 4", "-5", "+five", " 6", " 7", " 8"]);
        assert_eq!(shown.files[0].hunks[1].id, 2);
        assert_eq!(shown.files[0].hunks[1].tier, "exact");
    }

    #[test]
    fn only_accepted_hunks_are_signed() {
        let patch = patch("five");
        let verdict = decide(&patch, 7, &decision(&patch, &[2, 2]), &none).unwrap();
        assert_eq!((verdict.accepted, verdict.declined), (vec![2], vec![1]));
        let signed = verdict.approved.unwrap();
        let text = String::from_utf8(signed.get().files()[0].after().unwrap().bytes.to_vec()).unwrap();
        assert!(text.contains("\n5\n") && !text.contains("\n25\n"));
        let all = decide(&patch, 7, &decision(&patch, &[1, 2]), &none).unwrap();
        assert_eq!(all.approved.unwrap().into_inner(), patch);
        let none = decide(&patch, 7, &decision(&patch, &[]), &none).unwrap();
        assert!(none.approved.is_none());
        assert_eq!(none.declined, [1, 2]);
    }

    #[test]
    fn what_waits_is_neither_accepted_nor_declined() {
        let patch = patch("five");
        let mut later = decision(&patch, &[1]);
        later.pending = vec![2];
        let verdict = decide(&patch, 7, &later, &none).unwrap();
        assert_eq!((verdict.accepted, verdict.pending, verdict.declined), (vec![1], vec![2], vec![]));
        later.pending = vec![1];
        assert_eq!(decide(&patch, 7, &later, &none).unwrap_err(), DecisionError::Contradiction(1));
        later.pending = vec![9];
        assert_eq!(decide(&patch, 7, &later, &none).unwrap_err(), DecisionError::UnknownHunk(9));
    }

    #[test]
    fn consent_to_one_patch_releases_no_other() {
        let (shown, other) = (patch("five"), patch("evil"));
        let signed = decision(&shown, &[1]);
        assert_eq!(decide(&other, 7, &signed, &none).unwrap_err(), DecisionError::OtherPatch);
        assert_eq!(
            decide(&shown, 8, &signed, &none).unwrap_err(),
            DecisionError::OtherApproval { given: 7, open: 8 }
        );
        let unknown = decide(&shown, 7, &decision(&shown, &[1, 3]), &none).unwrap_err();
        assert_eq!(unknown, DecisionError::UnknownHunk(3));
        let empty = Decision { digest: String::new(), ..signed };
        assert_eq!(decide(&shown, 7, &empty, &none).unwrap_err(), DecisionError::OtherPatch);
    }

    #[test]
    fn an_empty_patch_cannot_be_signed() {
        let nothing = PatchSet::default();
        assert!(decide(&nothing, 7, &decision(&nothing, &[]), &none).unwrap().approved.is_none());
    }
}
