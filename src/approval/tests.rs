//! What can be signed, by whom, and what nothing can sign.

use super::*;
use crate::edit::{
    anchor::Tier,
    patch::{FileChange, Side},
};
use crate::rules::{self, Mode};

fn patch(text: &str) -> PatchSet {
    let side = |text: &str| Some(("a.rs".to_owned(), Side::new(text.as_bytes(), None)));
    let lines: String = (0..30).map(|n| format!("{n}\n")).collect();
    let after = lines.replace("\n5\n", &format!("\n{text}\n")).replace("\n25\n", "\n");
    PatchSet::derive(vec![FileChange { before: side(&lines), after: side(&after), tier: Tier::Exact }])
}

/// As if there were no rules.
fn asked(patch: &PatchSet) -> Ruling {
    by_rules(patch, &BTreeSet::new(), &Authority::default(), &[], &Place::lexical)
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
    let shown = review(7, &patch, &asked(&patch), &why, Vec::new());
    assert_eq!((shown.id, &shown.digest), (7, &patch.digest()));
    assert_eq!(shown.files[0].why, ["step 1"]);
    assert_eq!(shown.files[0].hunks[0].lines, [" 2", " 3", " 4", "-5", "+five", " 6", " 7", " 8"]);
    assert_eq!(shown.files[0].hunks[1].id, 2);
    assert_eq!(shown.files[0].hunks[1].tier, "exact");
}

#[test]
fn only_accepted_hunks_are_signed() {
    let patch = patch("five");
    let verdict = decide(&patch, 7, &asked(&patch), &decision(&patch, &[2, 2]), &none).unwrap();
    assert_eq!((verdict.accepted, verdict.declined), (vec![2], vec![1]));
    let signed = verdict.approved.unwrap();
    let text = String::from_utf8(signed.get().files()[0].after().unwrap().bytes.to_vec()).unwrap();
    assert!(text.contains("\n5\n") && !text.contains("\n25\n"));
    let all = decide(&patch, 7, &asked(&patch), &decision(&patch, &[1, 2]), &none).unwrap();
    assert_eq!(all.approved.unwrap().into_inner(), patch);
    let none = decide(&patch, 7, &asked(&patch), &decision(&patch, &[]), &none).unwrap();
    assert!(none.approved.is_none());
    assert_eq!(none.declined, [1, 2]);
}

#[test]
fn what_waits_is_neither_accepted_nor_declined() {
    let patch = patch("five");
    let mut later = decision(&patch, &[1]);
    later.pending = vec![2];
    let verdict = decide(&patch, 7, &asked(&patch), &later, &none).unwrap();
    assert_eq!((verdict.accepted, verdict.pending, verdict.declined), (vec![1], vec![2], vec![]));
    later.pending = vec![1];
    assert_eq!(
        decide(&patch, 7, &asked(&patch), &later, &none).unwrap_err(),
        DecisionError::Contradiction(1)
    );
    later.pending = vec![9];
    assert_eq!(decide(&patch, 7, &asked(&patch), &later, &none).unwrap_err(), DecisionError::UnknownHunk(9));
}

#[test]
fn consent_to_one_patch_releases_no_other() {
    let (shown, other) = (patch("five"), patch("evil"));
    let signed = decision(&shown, &[1]);
    assert_eq!(decide(&other, 7, &asked(&other), &signed, &none).unwrap_err(), DecisionError::OtherPatch);
    assert_eq!(
        decide(&shown, 8, &asked(&shown), &signed, &none).unwrap_err(),
        DecisionError::OtherApproval { given: 7, open: 8 }
    );
    let unknown = decide(&shown, 7, &asked(&shown), &decision(&shown, &[1, 3]), &none).unwrap_err();
    assert_eq!(unknown, DecisionError::UnknownHunk(3));
    let empty = Decision { digest: String::new(), ..signed };
    assert_eq!(decide(&shown, 7, &asked(&shown), &empty, &none).unwrap_err(), DecisionError::OtherPatch);
}

#[test]
fn an_empty_patch_cannot_be_signed() {
    let nothing = PatchSet::default();
    assert!(
        decide(&nothing, 7, &asked(&nothing), &decision(&nothing, &[]), &none).unwrap().approved.is_none()
    );
}

const RULES: &str = "[[rules]]\nverdict = \"allow\"\npath = \"src/**\"\n\
                     [[rules]]\nverdict = \"deny\"\npath = \"private/**\"\n";

fn authority(mode: Mode) -> Authority {
    #[derive(serde::Deserialize)]
    struct File {
        rules: Vec<rules::Written>,
    }
    let file: File = toml::from_str(RULES).unwrap();
    Authority { mode, rules: rules::Rules::of_owner(rules::written::owner(file.rules).unwrap()) }
}

/// Hunk 1 in `docs/`, 2 in `private/`, 3 in `src/`; each of one line, with this tier.
fn three_files(tier: Tier) -> PatchSet {
    let side = |path: &str, text: &str| Some((path.to_owned(), Side::new(text.as_bytes(), None)));
    let change = |path: &str| FileChange { before: side(path, "old\n"), after: side(path, "new\n"), tier };
    PatchSet::derive(vec![change("src/a.rs"), change("private/b.rs"), change("docs/c.md")])
}

fn ruled(patch: &PatchSet, mode: Mode) -> Ruling {
    let planned = BTreeSet::from(["src/a.rs", "private/b.rs", "docs/c.md"]);
    by_rules(patch, &planned, &authority(mode), &[], &Place::lexical)
}

#[test]
fn rules_decide_their_part_and_the_owner_sees_the_rest_only() {
    let patch = three_files(Tier::Exact);
    let ruling = ruled(&patch, Mode::Ask);
    assert!(ruling.asks());
    let shown = review(7, &patch, &ruling, &BTreeMap::new(), Vec::new());
    assert_eq!(shown.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["docs/c.md"]);
    let told: Vec<(String, bool, String)> = ruling
        .decided(&patch, &BTreeMap::new())
        .into_iter()
        .map(|one| (one.file.path, one.allowed, one.by))
        .collect();
    assert_eq!(
        told,
        [
            ("private/b.rs".into(), false, "rule: deny private/**".into()),
            ("src/a.rs".into(), true, "rule: allow src/**".into())
        ]
    );
    assert_eq!(ruling.denials(&patch), ["private/b.rs (rule: deny private/**)"]);

    let verdict = decide(&patch, 7, &ruling, &decision(&patch, &[1]), &none).unwrap();
    assert_eq!((verdict.accepted, verdict.declined), (vec![1, 3], vec![2]));
    let share = |by: &str, accepted: &[u32], declined: &[u32]| Share {
        by: by.into(),
        accepted: accepted.to_vec(),
        declined: declined.to_vec(),
        pending: Vec::new(),
    };
    assert_eq!(
        verdict.shares,
        [
            share("owner", &[1], &[]),
            share("rule: allow src/**", &[3], &[]),
            share("rule: deny private/**", &[], &[2])
        ]
    );
    // The owner may decline the rest; what a rule allows stands by itself.
    let verdict = decide(&patch, 7, &ruling, &decision(&patch, &[]), &none).unwrap();
    assert_eq!(verdict.accepted, [3]);
    assert_eq!(verdict.approved.unwrap().get().files().len(), 1);
}

#[test]
fn a_yes_reaches_nothing_that_was_not_asked() {
    let patch = three_files(Tier::Exact);
    let ruling = ruled(&patch, Mode::Ask);
    for hunk in [2, 3, 4] {
        let error = decide(&patch, 7, &ruling, &decision(&patch, &[1, hunk]), &none).unwrap_err();
        assert_eq!(error, DecisionError::UnknownHunk(hunk));
    }
}

#[test]
fn a_ruling_on_one_patch_releases_no_other() {
    let (shown, other) = (three_files(Tier::Exact), patch("evil"));
    let auto = ruled(&shown, Mode::Auto);
    assert_eq!(without_asking(&other, &auto, &none).unwrap_err(), DecisionError::OtherPatch);
    let forged = decide(&other, 7, &auto, &decision(&other, &[1]), &none).unwrap_err();
    assert_eq!(forged, DecisionError::OtherPatch);
    // The same files, found by likeness: another digest is not needed for another answer.
    let guessed = three_files(Tier::Fuzzy);
    assert!(ruled(&guessed, Mode::Auto).asks());
}

#[test]
fn what_is_left_to_ask_is_never_signed_without_asking() {
    let patch = three_files(Tier::Exact);
    let error = without_asking(&patch, &ruled(&patch, Mode::Ask), &none).unwrap_err();
    assert_eq!(error, DecisionError::LeftToAsk);
    let verdict = without_asking(&patch, &ruled(&patch, Mode::Auto), &none).unwrap();
    assert_eq!((verdict.accepted, verdict.declined), (vec![1, 3], vec![2]));
    assert_eq!(verdict.shares[0].by, "mode: auto");
    for mode in [Mode::Deny, Mode::Plan] {
        let verdict = without_asking(&patch, &ruled(&patch, mode), &none).unwrap();
        assert!(verdict.approved.is_none() && verdict.accepted.is_empty());
    }
}

#[test]
fn what_nobody_answers_holds_back_what_rules_allow() {
    let patch = three_files(Tier::Exact);
    let ruling = ruled(&patch, Mode::Ask);
    let mut nobody = decision(&patch, &[]);
    nobody.pending = vec![1];
    let verdict = decide(&patch, 7, &ruling, &nobody, &none).unwrap();
    assert!(verdict.approved.is_none() && verdict.accepted.is_empty());
    assert_eq!((verdict.pending, verdict.declined), (vec![1, 3], vec![2]));
    let allowed = verdict.shares.iter().find(|share| share.by == "rule: allow src/**").unwrap();
    assert_eq!((&allowed.accepted, &allowed.pending), (&vec![], &vec![3]));
    // What is not asked cannot be kept either.
    for hunk in [2, 3] {
        nobody.pending = vec![1, hunk];
        let error = decide(&patch, 7, &ruling, &nobody, &none).unwrap_err();
        assert_eq!(error, DecisionError::UnknownHunk(hunk));
    }
}

#[test]
fn what_was_asked_is_asked_again_and_nothing_is_loosened() {
    let patch = three_files(Tier::Exact);
    let before = BTreeSet::from(["src/a.rs".to_owned(), "private/b.rs".to_owned()]);
    let ruling = ruled(&patch, Mode::Auto).asking_again(&patch, &before);
    assert_eq!(ruling.asked(), BTreeSet::from([3]));
    assert_eq!(ruling.denials(&patch), ["private/b.rs (rule: deny private/**)"]);
    assert_eq!(without_asking(&patch, &ruling, &none).unwrap_err(), DecisionError::LeftToAsk);
    assert_eq!(decide(&patch, 7, &ruling, &decision(&patch, &[]), &none).unwrap().accepted, [1]);
}

#[test]
fn a_typed_command_answers_what_is_asked_and_not_what_is_denied() {
    let patch = patch("five");
    let asked = asked(&patch);
    assert!(by_command(&patch, &asked, Guesses::Declined).is_some());
    let denied = three_files(Tier::Exact);
    assert!(by_command(&denied, &ruled(&denied, Mode::Auto), Guesses::Accepted).is_none());
    assert!(by_command(&denied, &asked, Guesses::Accepted).is_none(), "a ruling on another patch");
    let deny = by_rules(&patch, &BTreeSet::new(), &authority(Mode::Deny), &[], &Place::lexical);
    assert!(by_command(&patch, &deny, Guesses::Accepted).is_none());
}

#[test]
fn a_file_outside_of_the_plan_is_asked_whatever_allows_it() {
    let patch = three_files(Tier::Exact);
    for mode in [Mode::Ask, Mode::Auto] {
        let planned = BTreeSet::from(["docs/c.md"]);
        let ruling = by_rules(&patch, &planned, &authority(mode), &[], &Place::lexical);
        assert!(ruling.is_asked(3), "{mode:?}");
        let shown = review(7, &patch, &ruling, &BTreeMap::new(), Vec::new());
        let asked = shown.files.iter().find(|file| file.path == "src/a.rs").unwrap();
        assert_eq!(asked.why, ["it is asked: the plan does not name the file"]);
    }
}

#[test]
fn new_executables_are_asked() {
    let side = |mode: Option<u32>| Some(("src/run.sh".to_owned(), Side::new(b"x".as_slice(), mode)));
    let planned = BTreeSet::from(["src/run.sh"]);
    for (before, after, asks) in [
        (None, side(Some(0o755)), true),
        (None, side(None), false),
        (None, side(Some(0o644)), false),
        (side(Some(0o644)), side(Some(0o744)), true),
        (side(Some(0o755)), side(Some(0o644)), true),
        (side(Some(0o755)), None, true),
    ] {
        let change = FileChange { before, after, tier: Tier::Exact };
        let patch = PatchSet::derive(vec![change.clone()]);
        let ruling = by_rules(&patch, &planned, &authority(Mode::Auto), &[], &Place::lexical);
        assert_eq!(ruling.asks(), asks, "{change:?}");
    }
}
