//! Copies of the tree, and what is built of them.

use super::*;

#[tokio::test]
async fn in_the_tree_only_build_folders_are_written() {
    let place = Place::new(GREETER);
    place.write(".gitignore", "/target\n");
    place.write("target/old", "");
    place.write("build/source.py", "not ignored");
    let runner = runner(&place);
    if confined(&runner).await.is_none() {
        return;
    }
    let script = format!(
        "{ATTEMPT}{}",
        r#"
def write(path):
    with open(path, "w") as file:
        file.write("x")
attempt("source", lambda: write("greeter/cli.py"))
attempt("new", lambda: write("new.py"))
attempt("tracked", lambda: write("build/source.py"))
write("target/new")
write(os.environ["TMPDIR"] + "/temp")
write(os.environ["GOCACHE"] + "-beside")
"#
    );
    let workspace = runner.workspace().unwrap();
    let ran = runner.run(&python(&script, &[]), &workspace, check::Place::Tree).await.unwrap();
    all_refused(&ran, &["source", "new", "tracked"]);
    assert!(place.exists("target/new") && !place.exists("new.py"));
}

#[tokio::test]
async fn what_a_check_leaves_in_its_copy_leads_nowhere() {
    let place = Place::new(GREETER);
    let runner = runner(&place);
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("cli.py"), "mine").unwrap();
    let script = "import os, shutil, sys\n\
         shutil.rmtree('greeter')\nos.symlink(sys.argv[1], 'greeter')\n\
         os.remove('README.md')\nos.mkdir('README.md')\nos.mkdir('README.md/deep')\nos.chmod('README.md', 0)\n\
         os.symlink(sys.argv[1], '.venv')\nos.mkfifo('pipe')\nopen('extra', 'w').close()\n";
    let ran = run(&runner, &python(script, &[outside.path().to_str().unwrap()])).await;
    assert!(ran.result.passed, "{ran:?}");
    let workspace = copy(&runner);
    let text = |path: &str| std::fs::read_to_string(workspace.tree().join(path)).unwrap();
    assert_eq!(text("greeter/cli.py"), place.read("greeter/cli.py"));
    assert_eq!(text("README.md"), place.read("README.md"));
    for name in ["pipe", "extra", ".venv"] {
        assert!(workspace.tree().join(name).symlink_metadata().is_err(), "{name} is still there");
    }
    let left: Vec<_> =
        std::fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["cli.py"]);
    assert_eq!(std::fs::read_to_string(outside.path().join("cli.py")).unwrap(), "mine");
}

/// Cargo tells by times what is built. What was built of a copy must not pass for the tree, nor the
/// other way round, nor one content of a copy for another.
#[tokio::test]
async fn what_was_built_of_a_copy_does_not_stand_for_the_tree() {
    let good = "pub fn one() -> u8 {\n    1\n}\n";
    let bad = "pub fn one() -> u8 {\n    x\n}\n";
    let place = Place::new(&[CRATE[0], CRATE[1], ("src/lib.rs", bad)]);
    let mut runner = runner(&place);
    runner.variables.0.extend(cargo_folders().map(|(name, folder)| (name.to_owned(), folder)));
    let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::options()
        .write(true)
        .open(place.root().join("src/lib.rs"))
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let check = Check::typed("cargo check").unwrap();
    let change = |text: &str| {
        let side = |text: &str| Some(("src/lib.rs".to_owned(), Side::new(text.as_bytes(), None)));
        PatchSet::derive(vec![FileChange { before: side(bad), after: side(text), tier: Tier::Exact }])
    };
    let workspace = runner.workspace().unwrap();
    for (text, passes) in [(good, true), (bad, false), (good, true)] {
        workspace.fill(&runner.root, &change(text)).unwrap();
        let ran = runner.run(&check, &workspace, check::Place::Scratch).await.unwrap();
        assert_eq!(ran.result.passed, passes, "{ran:?}");
    }
    let tree = runner.run(&check, &workspace, check::Place::Tree).await.unwrap();
    assert!(!tree.result.passed && tree.output.contains("cannot find value `x`"), "{tree:?}");
    assert!(!place.exists("target"), "{tree:?}");
    // With a folder for it, the tree's own build is used.
    place.write(".gitignore", "/target\n");
    place.write("target/.keep", "");
    place.write("src/lib.rs", good);
    let tree = runner.run(&check, &workspace, check::Place::Tree).await.unwrap();
    assert!(tree.result.passed && place.exists("target/debug"), "{tree:?}");
}

#[tokio::test]
async fn two_checks_have_two_copies() {
    let place = Place::new(GREETER);
    let runner = runner(&place);
    let (one, two) = (copy(&runner), copy(&runner));
    assert_ne!(one.tree(), two.tree());
    let first = one.tree();
    drop(one);
    assert_eq!(copy(&runner).tree(), first);
}
