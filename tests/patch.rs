//! The edit engine by itself: `patch check`, `patch apply`, `history`, and parts of a change.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::{Finished, GREETER, Place};

fn piped(place: &Place, arguments: &[&str], input: &str) -> Finished {
    let mut command = place.command();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Finished::of(child.wait_with_output().unwrap())
}

const UNIFIED: &str = "--- a/greeter/text.py\n+++ b/greeter/text.py\n@@ -1,2 +1,2 @@\n def greeting(name):\n-    return \"Hello \" + name\n+    return \"Hi \" + name\n";
const CODEX: &str = "*** Begin Patch\n*** Update File: greeter/text.py\n@@ def greeting(name):\n-    return \"Hello \" + name\n+    return \"Hi \" + name\n*** End Patch\n";
const BLOCKS: &str = "greeter/text.py\n<<<<<<< SEARCH\n    return \"Hello \" + name\n=======\n    return \"Hi \" + name\n>>>>>>> REPLACE\n";
const WHOLE: &str = "greeter/text.py\n```python\ndef greeting(name):\n    return \"Hi \" + name\n```\n";
const SYMBOL: &str =
    "SYMBOL greeter/text.py greeting\n```\ndef greeting(name):\n    return \"Hi \" + name\n```\n";

#[test]
fn every_format_is_told_by_its_marks_and_applied() {
    let tagged = {
        let tag = countersign::edit::tag::tag(2, "    return \"Hello \" + name");
        format!("greeter/text.py\n<<<<<<< LINES {tag} {tag}\n    return \"Hi \" + name\n>>>>>>> REPLACE\n")
    };
    let formats = [
        ("unified", UNIFIED),
        ("codex", CODEX),
        ("search_replace", BLOCKS),
        ("whole", WHOLE),
        ("symbol", SYMBOL),
        ("anchored_lines", &tagged),
    ];
    for (format, patch) in formats {
        let place = Place::new(GREETER);
        let before = place.tree();
        let checked = piped(&place, &["patch", "check", "--json"], patch).succeeds();
        let report: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
        assert_eq!(report["format"], format);
        assert_eq!(report["files"][0]["hunks"], 1);
        assert_eq!(place.tree(), before, "check changes nothing");
        piped(&place, &["patch", "apply", "--format", format], patch).succeeds();
        assert_eq!(
            place.read("greeter/text.py"),
            "def greeting(name):\n    return \"Hi \" + name\n",
            "{format}"
        );
        place.run(&["undo"]).succeeds();
        assert_eq!(place.tree(), before);
        // The diff that was shown makes the same change.
        piped(&place, &["patch", "apply"], report["diff"].as_str().unwrap()).succeeds();
        assert!(place.read("greeter/text.py").contains("Hi "), "{format}");
    }
}

#[test]
fn a_refused_patch_says_why_and_changes_nothing() {
    let place = Place::new(GREETER);
    place.write("twice.txt", "x\ny\nx\n");
    let before = place.tree();
    let twice = "twice.txt\n<<<<<<< SEARCH\nx\n=======\nz\n>>>>>>> REPLACE\n";
    let outside = "*** Begin Patch\n*** Add File: ../evil\n+x\n*** End Patch\n";
    let git = "*** Begin Patch\n*** Add File: .git/hooks/post-checkout\n+x\n*** End Patch\n";
    for (patch, code) in
        [(twice, "ambiguous"), (outside, "bad_path"), (git, "bad_path"), ("Hello.", "no_edits")]
    {
        let checked = piped(&place, &["patch", "check", "--json"], patch);
        assert_eq!(checked.code, 5, "{checked:?}");
        let report: serde_json::Value = serde_json::from_str(&checked.stdout).unwrap();
        assert_eq!(report["refusals"][0]["code"], code);
        piped(&place, &["patch", "apply"], patch).fails(5, "nothing was written");
    }
    // One bad edit, and the good ones are not made either.
    piped(&place, &["patch", "apply"], &format!("{BLOCKS}\n{twice}")).fails(5, "twice.txt");
    assert_eq!(place.tree(), before);
    piped(&place, &["patch", "apply", "--first-match"], twice).succeeds();
    assert_eq!(place.read("twice.txt"), "z\ny\nx\n");
}

#[test]
fn a_guess_needs_the_word_of_its_owner() {
    let text = "def volume(box):\n    total = 0\n    for layer in box.layers:\n        total += area(layer) * layer.depth\n    assert total >= 0, box\n    return total\n";
    let search = text.replace("total += area(layer) *", "total = total + area(layer) *");
    let patch = format!(
        "a.py\n<<<<<<< SEARCH\n{search}=======\n{}>>>>>>> REPLACE\n",
        search.replace("return total", "return -total")
    );
    let place = Place::new(&[("a.py", text)]);
    let run = piped(&place, &["patch", "apply"], &patch);
    assert_eq!((run.code, place.read("a.py").as_str()), (4, text));
    assert!(run.stdout.contains("ONLY SIMILAR") && run.stdout.contains("--accept-similar"), "{}", run.stdout);
    piped(&place, &["patch", "apply", "--accept-similar"], &patch).succeeds();
    assert_eq!(place.read("a.py"), text.replace("return total", "return -total"));
}

#[test]
fn history_shows_hunks_that_can_be_taken_back() {
    let place = Place::new(GREETER);
    let lines: String = (0..40).map(|n| format!("line {n}\n")).collect();
    place.write("long.txt", &lines);
    let block = |n: usize| format!("long.txt\n<<<<<<< SEARCH\nline {n}\n=======\nnew {n}\n>>>>>>> REPLACE\n");
    piped(&place, &["patch", "apply"], &(block(3) + &block(30))).succeeds();
    let listed = place.run(&["history"]).succeeds().stdout;
    assert!(listed.contains("applied") && listed.contains("long.txt"), "{listed}");
    let id = listed.split_whitespace().next().unwrap();
    let shown = place.run(&["history", id]).succeeds().stdout;
    assert!(shown.contains("hunk 2: @@") && shown.contains("+new 30"), "{shown}");
    place.run(&["undo", id, "--hunk", "1"]).succeeds();
    assert_eq!(place.read("long.txt"), lines.replace("line 30\n", "new 30\n"));
    assert!(place.run(&["history"]).succeeds().stdout.contains("but for hunk 1"));
    place.write("long.txt", place.read("long.txt").replace("line 15\n", "mine\n"));
    place.run(&["undo"]).succeeds();
    assert_eq!(place.read("long.txt"), lines.replace("line 15\n", "mine\n"));
    place.run(&["redo", "--task"]).succeeds();
    place.run(&["undo", "--hunk", "9"]).fails(2, "no hunk 9");
    place.run(&["history", "nope"]).fails(2, "nope");
    let kept = place.run(&["history", "--keep", "0", "--json"]).succeeds().stdout;
    assert!(kept.contains("\"changes\": 1"), "{kept}");
    place.run(&["undo"]).fails(2, "no change");
}
