//! What answers decide, and that nothing unseen is accepted.

use super::*;
use crate::protocol::{ChangeKind, CheckResult};

fn hunk(id: u32) -> HunkReview {
    let lines = vec![format!("-old {id}"), format!("+new {id}")];
    HunkReview { id, header: format!("@@ -{id} +{id} @@"), lines, tier: "exact".into() }
}

/// Two files of two hunks (1, 2) and one of one (3), then one of two (4, 5).
fn approval() -> Approval {
    let file = |path: &str, ids: &[u32]| FileReview {
        old_path: path.into(),
        path: path.into(),
        change: ChangeKind::Modify,
        hunks: ids.iter().map(|id| hunk(*id)).collect(),
        why: vec!["step 1: make it so".into(), "path +1.20: \"a\"".into()],
    };
    let files = vec![file("a.rs", &[1, 2]), file("b.rs", &[3]), file("c.rs", &[4, 5])];
    Approval { id: 7, digest: "abc".into(), files, ..Approval::default() }
}

/// Presses keys until the review is over; gives the decision and every line shown. A key that is no
/// answer fails the test.
fn decide(approval: Approval, keys: &str) -> (Decision, String) {
    let mut review = Review::new(approval, 80);
    let mut keys = keys.chars();
    let mut text = String::new();
    let mut add = |lines: &[Line]| lines.iter().for_each(|line| text += &(line.text() + "\n"));
    loop {
        match review.next_question() {
            Next::Ask(lines, prompt) => {
                add(&lines);
                let key = keys.next().expect("the keys suffice");
                match prompt.key(key).expect("a valid key") {
                    Key::Answer(answer) => review.answer(answer, 80),
                    Key::Feedback => review.answer(Answer::SendBack("shorter".into()), 80),
                    key => panic!("{key:?}"),
                }
            }
            Next::Done(lines, decision) => {
                add(&lines);
                assert_eq!((decision.approval, decision.digest.as_str()), (7, "abc"));
                assert_eq!(keys.as_str(), "", "keys left over");
                return (decision, text);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn answers_decide_what_they_say() {
    for (keys, accept, pending) in [
        ("yyyyy", vec![1, 2, 3, 4, 5], vec![]),
        ("nnnnn", vec![], vec![]),
        ("ynyny", vec![1, 3, 5], vec![]),
        ("ayyd", vec![1, 2, 3], vec![]),
        ("dyyn", vec![3, 4], vec![]),
        ("Ay", vec![1, 2, 3, 4, 5], vec![]),
        ("yAy", vec![1, 2, 3, 4, 5], vec![]),
        ("q", vec![], vec![1, 2, 3, 4, 5]),
        ("yq", vec![1], vec![2, 3, 4, 5]),
        ("w?w?ynq", vec![1], vec![3, 4, 5]),
        ("Anq", vec![], vec![1, 2, 3, 4, 5]),
        ("Aq", vec![], vec![1, 2, 3, 4, 5]),
        ("A?wnyq", vec![1], vec![2, 3, 4, 5]),
        // Back and forth: 3 first, then what was passed over.
        ("jjyq", vec![3], vec![1, 2, 4, 5]),
        ("jjyyyyy", vec![1, 2, 3, 4, 5], vec![]),
        ("kyq", vec![5], vec![1, 2, 3, 4]),
        // An answer is taken back, also one that was given to a whole file.
        ("yunyyyy", vec![2, 3, 4, 5], vec![]),
        ("duyyyyy", vec![1, 2, 3, 4, 5], vec![]),
        ("uyq", vec![1], vec![2, 3, 4, 5]),
        // Answered again: the last answer counts.
        ("yknyyyy", vec![2, 3, 4, 5], vec![]),
        ("yjdyq", vec![1, 4], vec![2, 5]),
    ] {
        let (decision, _) = decide(approval(), keys);
        assert_eq!((decision.accept, decision.pending), (accept, pending), "keys {keys}");
    }
}

#[test]
fn feedback_goes_with_its_hunk() {
    let (decision, text) = decide(approval(), "yfyyy");
    assert_eq!(decision.accept, [1, 3, 4, 5]);
    assert_eq!(decision.feedback, [Feedback { hunks: vec![2], text: "shorter".into() }]);
    assert!(text.contains("sent back to the coder"), "{text}");
}

#[test]
fn what_was_answered_stands_for_the_same_hunks_of_the_next_approval() {
    let mut review = Review::new(approval(), 80);
    for answer in [Answer::Yes, Answer::No, Answer::SendBack("no".into())] {
        review.next_question();
        review.answer(answer, 80);
    }
    let mut next = approval();
    (next.id, next.digest) = (8, "def".into());
    next.files[1].hunks[0].lines = vec!["+better".into()];
    // Another id, the same lines in the same place.
    next.files[0].hunks[0].id = 9;
    let mut review = review.without_feedback().revised(next, 80);
    let Next::Ask(lines, Prompt::Hunk) = review.next_question() else { panic!("a question") };
    let text: String = lines.iter().map(|line| line.text() + "\n").collect();
    assert!(text.contains("+ better") && !text.contains("new 1"), "{text}");
    review.answer(Answer::Yes, 80);
    review.answer(Answer::Leave, 80);
    let Next::Done(_, decision) = review.next_question() else { panic!("the end") };
    assert_eq!((decision.approval, decision.accept, decision.pending), (8, vec![3, 9], vec![4, 5]));
}

#[test]
fn a_hunk_can_be_split_edited_and_seen_whole() {
    let mut review = Review::new(approval(), 80);
    review.next_question();
    review.answer(Answer::Split, 80);
    let Next::Revise(_, split) = review.next_question() else { panic!("a revision") };
    assert_eq!((split.approval, split.hunk, split.change), (7, 1, HunkChange::Split {}));
    review.answer(Answer::Whole, 80);
    assert_eq!(review.next_question(), Next::Show(vec![], Show { approval: 7, path: "a.rs".into() }));
    review.answer(Answer::Edit, 80);
    let Next::Edit(_, lines) = review.next_question() else { panic!("an edit") };
    assert_eq!(review.edited(lines), None);
    assert_eq!(review.edited(vec![]), None);
    let edited = review.edited(vec!["+mine".into()]).unwrap();
    assert_eq!(edited.change, HunkChange::Edit { lines: vec!["+mine".into()] });
    let refused = Approval { id: 8, refused: Some("it does not parse".into()), ..approval() };
    let Next::Ask(lines, Prompt::Hunk) = review.revised(refused, 80).next_question() else { panic!() };
    assert_eq!(lines[0].text(), "it does not parse");
}

#[test]
fn every_hunk_is_shown_before_it_can_be_accepted() {
    for answers in ["yyyyy", "ayyay", "Ay", "yyAy", "yyyay"] {
        let (decision, text) = decide(approval(), answers);
        assert_eq!(decision.accept.len(), 5, "answers {answers}");
        for id in 1..=5 {
            assert_eq!(text.matches(&format!("+ new {id}")).count(), 1, "hunk {id} of {answers}: {text}");
        }
    }
}

#[test]
fn an_approval_without_hunks_accepts_nothing() {
    let mut empty = approval();
    empty.files.iter_mut().for_each(|file| file.hunks.clear());
    let (decision, text) = decide(empty, "");
    assert!(decision.accept.is_empty());
    assert!(text.contains("a.rs came without a hunk"), "{text}");
}

#[test]
fn an_id_used_twice_needs_both_answers() {
    let mut twice = approval();
    twice.files[1].hunks[0].id = 1;
    assert_eq!(decide(twice.clone(), "ynnnn").0.accept, Vec::<u32>::new());
    assert_eq!(decide(twice.clone(), "ynq").0.accept, Vec::<u32>::new());
    assert_eq!(decide(twice, "ynynn").0.accept, vec![1]);
}

fn screen(approval: Approval, columns: usize) -> String {
    let Next::Ask(lines, prompt) = Review::new(approval, columns).next_question() else {
        panic!("a question")
    };
    assert!(lines.iter().all(|line| line.width() <= columns));
    assert!(prompt.text().len() <= 36);
    let text: Vec<String> = lines.iter().map(Line::text).collect();
    text.join("\n")
}

#[test]
fn a_hunk_stands_with_its_evidence() {
    let mut failing = approval();
    failing.files[0].hunks[0].tier = "whitespace".into();
    failing.checks = vec![CheckResult {
        command: "cargo test".into(),
        passed: false,
        exit_code: Some(101),
        timed_out: false,
        output_tail: "boom\n".into(),
        millis: 3_200,
    }];
    let expected = "
Review: 5 hunks in 3 files
check cargo test: FAILED with exit code 101 after 3.2 s

change a.rs
  why: step 1: make it so
hunk 1 of 5  @@ -1 +1 @@  match: whitespace
1   - old 1
  1 + new 1";
    assert_eq!(screen(failing.clone(), 80), expected);
    let narrow = "
Review: 5 hunks in 3 files
check cargo test: FAILED with exit code
    101 after 3.2 s

change a.rs
  why: step 1: make it so
hunk 1 of 5  @@ -1 +1 @@  match:
  whitespace
1 - old 1
1 + new 1";
    assert_eq!(screen(failing, 40), narrow);
}

#[test]
fn why_gives_all_reasons_and_the_check_output() {
    let mut checked = approval();
    checked.checks = vec![CheckResult {
        command: "cargo test".into(),
        passed: true,
        exit_code: Some(0),
        timed_out: false,
        output_tail: "ok \u{1b}[2J\nall good".into(),
        millis: 12,
    }];
    let (_, text) = decide(checked, "wq");
    assert!(text.contains("  - step 1: make it so\n  - path +1.20: \"a\"\n"), "{text}");
    assert!(text.contains("check cargo test: passed after 12 ms\n  | ok "), "{text}");
    assert!(text.contains("  | all good"));
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn hostile_names_reasons_and_tiers_are_escaped() {
    let evil = "x\u{1b}]0;t\u{7}\u{202e}\r\n\u{200b}";
    let mut hostile = approval();
    for file in &mut hostile.files {
        (file.path, file.old_path, file.why) = (evil.into(), "b".into(), vec![evil.into()]);
        file.hunks.iter_mut().for_each(|hunk| (hunk.tier, hunk.header) = (evil.into(), evil.into()));
    }
    let (_, text) = decide(hostile, "wAy");
    let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}' || c == '\u{200b}';
    assert!(!text.contains(bad), "{text:?}");
}

proptest::proptest! {
    /// Whatever is pressed: what is accepted had been shown before the answer that accepted it.
    #[test]
    fn nothing_unseen_is_accepted(pressed in "[yndaAwjkufq?]{0,40}") {
        let mut review = Review::new(approval(), 60);
        let mut seen = String::new();
        let mut pressed = pressed.chars();
        let decision = loop {
            match review.next_question() {
                Next::Done(_, decision) => break decision,
                Next::Ask(lines, prompt) => {
                    lines.iter().for_each(|line| seen += &(line.text() + "\n"));
                    let Some(key) = pressed.next() else { break review.leave_all() };
                    match prompt.key(key) {
                        Ok(Key::Answer(answer)) => review.answer(answer, 60),
                        Ok(Key::Feedback) => review.answer(Answer::SendBack("x".into()), 60),
                        _ => {}
                    }
                    for (at, verdict) in review.verdicts.iter().enumerate() {
                        let shown = seen.contains(&format!("+ new {}\n", review.hunk(at).id));
                        proptest::prop_assert!(*verdict != Some(Verdict::Accepted) || shown);
                    }
                }
                _ => unreachable!("no such key is pressed"),
            }
        };
        let unseen = decision.accept.iter().filter(|id| !seen.contains(&format!("+ new {id}\n"))).count();
        proptest::prop_assert_eq!(unseen, 0);
    }
}
