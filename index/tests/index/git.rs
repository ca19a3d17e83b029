//! What git adds, and that no state of it is a failure.

use countersign_index::{Context, Rule, Weights};

use crate::support::{Tree, context, ranked, update};

const START: u64 = 1_700_000_000;

fn two_files() -> Tree {
    let tree = Tree::empty();
    tree.write("one.py", "def first(): pass\n");
    tree.write("two.py", "def second(): pass\n");
    tree.git(&["init", "-q"]);
    tree
}

#[test]
fn history_finds_what_the_text_does_not_say() {
    let tree = two_files();
    tree.commit("start", START);
    tree.write("two.py", "def second(): return 2\n");
    tree.commit("repair the flux capacitor\n\nSigned-off-by: Marty <m@example.org>", START + 100);
    let index = tree.index();
    let found = context(&index, "flux capacitor overheats", 400);
    assert_eq!(ranked(&found), ["two.py"]);
    let rule = &found.ledger.candidates[0].rules[0];
    assert_eq!((rule.rule, rule.detail.as_str()), (Rule::History, "\"repair the flux capacitor\""));
    assert!(ranked(&context(&index, "marty", 400)).is_empty(), "trailers are not about files");
}

#[test]
fn renames_are_followed() {
    let tree = two_files();
    tree.commit("flux capacitor", START);
    tree.git(&["mv", "one.py", "uno.py"]);
    tree.commit("rename", START + 1);
    tree.write("uno.py", "def changed(): pass\n");
    tree.commit("edit", START + 2);
    tree.write("lib/uno.py", "def moved_and_changed(): pass\n");
    tree.remove("uno.py");
    tree.commit("move", START + 3);
    assert_eq!(ranked(&context(&tree.index(), "flux capacitor", 400)), ["lib/uno.py", "two.py"]);
}

#[test]
fn only_new_commits_are_read_and_the_answer_is_as_if_all_were() {
    let tree = two_files();
    tree.commit("flux", START);
    let mut index = tree.index();
    tree.write("one.py", "def first(): return 1\n");
    tree.commit("capacitor", START + 50);
    tree.git(&["checkout", "-q", "-b", "side", "HEAD~1"]);
    tree.write("two.py", "def second(): return 3\n");
    tree.commit("sideways capacitor", START + 60);
    update(&mut index);
    for branch in ["side", "-"] {
        tree.git(&["checkout", "-q", branch]);
        update(&mut index);
        for request in ["flux", "capacitor", "sideways"] {
            let json = |index| serde_json::to_string(&context(index, request, 400)).unwrap();
            assert_eq!(json(&index), json(&tree.rebuilt()), "{branch} {request}");
        }
    }
}

#[test]
fn changed_files_are_labelled_and_win_ties_only() {
    let tree = Tree::empty();
    for name in ["a.py", "b.py", "c.py"] {
        tree.write(name, "def needle(): pass\n");
    }
    tree.git(&["init", "-q"]);
    tree.commit("start", START);
    tree.write("c.py", "def needle(): past\n");
    tree.write("d.py", "def other(): pass\n");
    let found = context(&tree.index(), "needle", 400);
    assert_eq!(ranked(&found), ["c.py", "a.py", "b.py"]);
    assert_eq!(found.ledger.candidates[0].labels, ["modified since HEAD"]);
    let files = tree.index().files().unwrap();
    assert_eq!(files[3].git.as_deref(), Some("new"));
    assert_eq!(files[0].git, None);
}

#[test]
fn windows_line_ends_are_not_a_change() {
    let tree = Tree::empty();
    tree.write("a.py", "def a():\n    pass\n");
    tree.git(&["init", "-q"]);
    tree.commit("start", START);
    tree.write("a.py", "def a():\r\n    pass\r\n");
    assert_eq!(tree.index().files().unwrap()[0].git, None);
}

#[test]
fn a_directory_below_the_repository_sees_its_part() {
    let tree = Tree::empty();
    tree.write("sub/a.py", "def a(): pass\n");
    tree.write("other/b.py", "def b(): pass\n");
    tree.git(&["init", "-q"]);
    tree.commit("flux capacitor", START);
    let mut index = countersign_index::Index::open(&tree.root().join("sub"), &tree.store()).unwrap();
    update(&mut index);
    assert_eq!(ranked(&context(&index, "flux", 400)), ["a.py"]);
    assert_eq!(index.files().unwrap()[0].git, None);
}

#[test]
fn no_state_of_git_is_a_failure() {
    let unborn = two_files();
    assert_eq!(update(&mut unborn.open()).git, None);

    let shallow = two_files();
    shallow.commit("one", START);
    shallow.write("one.py", "def first(): return 1\n");
    shallow.commit("flux", START + 1);
    let clone = Tree::empty();
    let origin = format!("file://{}", shallow.root().display());
    clone.git(&["clone", "-q", "--depth", "1", &origin, "."]);
    let mut index = clone.open();
    assert_eq!(update(&mut index).files, 2);
    assert!(ranked(&context(&index, "flux", 400)).is_empty(), "what the last commit touched is unknown");
    clone.git(&["fetch", "-q", "--unshallow"]);
    update(&mut index);
    assert_eq!(ranked(&context(&index, "flux", 400)), ["one.py"], "the history was deepened");

    let breakages: [fn(&Tree); 5] = [
        |tree| tree.write(".git/HEAD", "garbage"),
        |tree| tree.write(".git/config", "[core\nbroken"),
        |tree| std::fs::remove_dir_all(tree.root().join(".git/objects")).unwrap(),
        |tree| std::fs::remove_dir_all(tree.root().join(".git/refs")).unwrap(),
        |tree| {
            std::fs::remove_dir_all(tree.root().join(".git")).unwrap();
            tree.write(".git", "gitdir: /nonexistent\n");
        },
    ];
    for (number, break_it) in breakages.into_iter().enumerate() {
        let tree = two_files();
        tree.commit("start", START);
        let mut index = tree.index();
        break_it(&tree);
        tree.write("three.py", "def third(): pass\n");
        let report = update(&mut index);
        assert_eq!(report.files, 3, "{number}");
        assert_eq!(ranked(&context(&index, "third", 400)), ["three.py"], "{number}");
        assert_eq!(update(&mut index).git, report.git, "{number}: the note stays");
    }
}

#[test]
fn nothing_of_the_repository_runs() {
    let tree = two_files();
    tree.commit("start", START);
    let mark = tree.root().join("../ran");
    let script = tree.root().join("../evil.sh");
    std::fs::write(&script, format!("#!/bin/sh\ntouch {}\ncat\n", mark.display())).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = script.display();
    tree.write(
        ".git/config",
        format!("[core]\n\trepositoryformatversion = 0\n\tfsmonitor = {script}\n\tpager = {script}\n\tsshCommand = {script}\n[filter \"evil\"]\n\tclean = {script}\n\tsmudge = {script}\n\tprocess = {script}\n[diff \"evil\"]\n\ttextconv = {script}\n"),
    );
    tree.write(".gitattributes", "* filter=evil diff=evil\n");
    tree.write("one.py", "def first(): return 1\n");
    let index = tree.index();
    assert_eq!(index.files().unwrap()[0].git.as_deref(), Some("modified"));
    assert!(!mark.exists());
}

/// Five files that say "flux" ever less often, and four that say it once, in a history that touches
/// `d.py` together with the first.
fn best_and_others() -> Tree {
    let tree = Tree::empty();
    for place in 1..=5 {
        tree.write(&format!("best{place}.py"), "flux = 1\n".repeat(20 - 3 * place));
    }
    for name in ["b", "c", "d", "test_e"] {
        tree.write(&format!("{name}.py"), "flux = 1\n\nother = 2\n");
    }
    tree.git(&["init", "-q"]);
    tree.commit("start", START);
    tree
}

#[test]
fn what_changed_together_with_the_best_comes_nearer_and_the_best_stand() {
    let tree = best_and_others();
    for round in 1..=3 {
        tree.write("best1.py", format!("{}# {round}\n", "flux = 1\n".repeat(17)));
        for name in ["d.py", "test_e.py"] {
            tree.write(name, format!("flux = 1\n\nother = {}\n", 2 + round));
        }
        tree.commit("unrelated", START + round);
    }
    let mut index = tree.index();
    let found = context(&index, "flux", 400);
    let best = ["best1.py", "best2.py", "best3.py", "best4.py", "best5.py"];
    let paths = ranked(&found);
    assert_eq!(paths[..5], best);
    assert_eq!(paths[5..], ["d.py", "b.py", "c.py", "test_e.py"], "equals stand by path");
    let rule = found.ledger.candidates[5].rules.last().unwrap();
    assert_eq!((rule.rule, rule.detail.as_str()), (Rule::Together, "best1.py, 4 commits"));
    assert!(found.ledger.candidates[4].points > found.ledger.candidates[5].points);
    let is_lifted =
        |at: usize| found.ledger.candidates[at].rules.iter().any(|rule| rule.rule == Rule::Together);
    assert!((0..5).all(|at| !is_lifted(at)) && !is_lifted(8), "neither the best nor what is ranked down");
    index.set_weights(Weights::built_in().unwrap().without(Rule::Together));
    let without = context(&index, "flux", 400);
    let paths = ranked(&without);
    assert_eq!(paths[..5], best);
    assert_eq!(paths[5..], ["b.py", "c.py", "d.py", "test_e.py"]);
    let quoted = |found: &Context| {
        let lines = found.pack.snippets.iter().map(|snippet| (snippet.path.clone(), snippet.start_line));
        lines.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(quoted(&found), quoted(&without), "the stage orders and quotes nothing else");
}

#[test]
fn no_weight_moves_the_best_five() {
    let tree = best_and_others();
    for round in 0..6u64 {
        for (at, name) in ["best1", "best2", "best3", "best4", "best5", "b", "c", "d"].iter().enumerate() {
            if (at as u64 + 1) * (round + 3) % 5 < 2 {
                let path = format!("{name}.py");
                let before = std::fs::read_to_string(tree.root().join(&path)).unwrap();
                tree.write(&path, format!("{before}# {round}\n"));
            }
        }
        tree.commit("unrelated", START + 1 + round);
    }
    let mut index = tree.index();
    let mut weights = Weights::built_in().unwrap();
    let mut answers = Vec::new();
    for together in [0.0, 2.0, 1e6] {
        weights.rules.together = together;
        index.set_weights(weights.clone());
        let found = context(&index, "flux", 400);
        let points: Vec<f64> = found.ledger.candidates.iter().map(|candidate| candidate.points).collect();
        assert!(points.is_sorted_by(|a, b| a >= b), "{points:?}");
        answers.push(ranked(&found).into_iter().take(5).map(str::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(answers[0].len(), 5);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}
