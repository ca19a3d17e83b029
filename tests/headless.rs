//! Without a terminal and without `--json`: nobody can sign, so nothing is written.

use crate::support::{GREETER, Place, plan, replace};

#[test]
fn the_patch_is_printed_and_nothing_is_applied() {
    let place = Place::new(GREETER);
    let before = place.tree();
    let script = place.script(&[
        plan(&[("edit", "greeter/cli.py", "version", "return 2.0")]),
        replace("greeter/cli.py", "    return \"1.0\"", "    return \"2.0\""),
    ]);
    let run =
        place.run(&["run", "--script", script.to_str().unwrap(), "return 2.0"]).fails(4, "nobody can answer");
    assert_eq!(place.tree(), before);

    // What is on stdout is a patch that other tools take.
    let patch = place.root().join("../change.patch");
    std::fs::write(&patch, &run.stdout).unwrap();
    let applied = std::process::Command::new("git")
        .args(["apply", "-p1"])
        .arg(&patch)
        .current_dir(place.root())
        .env("GIT_CEILING_DIRECTORIES", place.root().parent().unwrap())
        .output()
        .unwrap();
    assert!(applied.status.success(), "{}\n{}", String::from_utf8_lossy(&applied.stderr), run.stdout);
    assert!(place.read("greeter/cli.py").contains("2.0"));
}

#[test]
fn a_session_needs_a_terminal() {
    let place = Place::new(GREETER);
    place.run(&[]).fails(2, "needs a terminal");
}
