//! What does not compile is corrected as the compiler itself offers, before a model is asked again.

use countersign::protocol::{Approval, Event, Op};

use crate::support::{CRATE, Conversation, Place, accept_all, cargo_folders, converse, plan, whole};

const TESTS: &str = "\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn adds() {\n        assert_eq!(super::total(&[1, 2]), 3);\n    }\n}\n";

/// A crate whose one function is to add numbers.
fn shop() -> Place {
    Place::new(&[
        CRATE[0],
        CRATE[1],
        ("src/lib.rs", &format!("pub fn total(_: &[u32]) -> u32 {{\n    0\n}}\n{TESTS}")),
    ])
}

/// A run with `cargo test` as its check.
fn run(
    place: &Place,
    answers: &[serde_json::Value],
    arguments: &[&str],
    decide: impl FnMut(&Approval) -> Vec<Op>,
) -> Conversation {
    let mut command = place.json(answers);
    command.envs(cargo_folders()).args(["--check", "cargo test --offline"]);
    command.args(arguments).arg("total must add");
    converse(command, decide)
}

fn answer(function: &str) -> [serde_json::Value; 2] {
    [
        plan(&[("edit", "src/lib.rs", "", "add the numbers")]),
        whole("src/lib.rs", &format!("{function}{TESTS}")),
    ]
}

/// An import that is missing hides that a variable cannot be changed.
#[test]
fn an_import_and_a_mut_are_known_without_a_model() {
    let place = shop();
    let function = "pub fn total(numbers: &[u32]) -> u32 {\n    let seen: BTreeMap<u32, u32> = BTreeMap::new();\n    let sum = 0;\n    for number in numbers {\n        sum += number;\n    }\n    sum + seen.len() as u32\n}\n";
    let run = run(&place, &answer(function), &[], accept_all).exits(0);
    let files = run.find(|event| match event {
        Event::CompilerCorrected { files } => Some(files.clone()),
        _ => None,
    });
    assert_eq!(files.into_iter().collect::<Vec<_>>(), [("src/lib.rs".to_owned(), 2)]);
    assert!(!run.events.iter().any(|event| matches!(event, Event::RepairStarted { .. })));
    let approval = run.find(|event| match event {
        Event::ApprovalNeeded(approval) => Some(approval.clone()),
        _ => None,
    });
    assert!(approval.checks.iter().all(|check| check.passed), "{approval:#?}");
    let why = approval.files[0].why.join("\n");
    assert!(why.contains("corrected in 2 places as the compiler offers"), "{why}");
    let text = place.read("src/lib.rs");
    assert!(
        text.starts_with("use std::collections::BTreeMap;\n") && text.contains("let mut sum = 0;"),
        "{text}"
    );
}

/// For a type of another crate than the one that it compiles rustc only says what is missing.
#[test]
fn what_tests_beside_a_library_miss_is_derived() {
    let tests =
        "use shop::Price;\n\n#[test]\nfn equal() {\n    assert_eq!(Price::new(1), Price::new(1));\n}\n";
    let place = Place::new(&[CRATE[0], CRATE[1], ("src/lib.rs", ""), ("tests/price.rs", tests)]);
    let text = "pub struct Price {\n    cents: u32,\n}\n\nimpl Price {\n    pub fn new(cents: u32) -> Price {\n        Price { cents }\n    }\n\n    pub fn cents(&self) -> u32 {\n        self.cents\n    }\n}\n";
    let answers = [plan(&[("edit", "src/lib.rs", "", "add prices")]), whole("src/lib.rs", text)];
    let run = run(&place, &answers, &[], accept_all).exits(0);
    assert!(!run.events.iter().any(|event| matches!(event, Event::RepairStarted { .. })));
    assert_eq!(place.read("src/lib.rs"), format!("#[derive(Debug, PartialEq)]\n{text}"));
}

/// A failure that a request tells of is corrected in the tree, where that is all it takes.
#[test]
fn what_does_not_compile_in_the_tree_needs_no_model_either() {
    let tests = "use shop::Price;\n\n#[test]\nfn equal() {\n    assert_eq!(Price(1), Price(1));\n}\n";
    let text = "pub struct Price(pub u32);\n";
    let place = Place::new(&[CRATE[0], CRATE[1], ("src/lib.rs", text), ("tests/price.rs", tests)]);
    let mut command = place.json(&[plan(&[("edit", "src/lib.rs", "", "mend it")])]);
    command.envs(cargo_folders()).args(["--check", "cargo test --offline"]);
    command.arg("mend it\nerror[E0277]: `Price` doesn't implement `Debug`\n");
    converse(command, accept_all).exits(0);
    assert_eq!(place.read("src/lib.rs"), format!("#[derive(Debug, PartialEq)]\n{text}"));
}

#[test]
fn what_the_compiler_has_no_answer_to_is_the_models() {
    let place = shop();
    let function = "pub fn total(numbers: &[u32]) -> u32 {\n    numbers.add_up()\n}\n";
    let run = run(&place, &answer(function), &["--repairs", "0"], |_| vec![Op::Cancel]).exits(130);
    assert!(!run.events.iter().any(|event| matches!(event, Event::CompilerCorrected { .. })));
    assert_eq!(place.read("src/lib.rs"), shop().read("src/lib.rs"));
}
