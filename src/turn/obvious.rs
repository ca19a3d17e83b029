//! Plans that need no model: what the code knows, nobody is asked. Pure.

use std::collections::BTreeSet;

use countersign_index::{FileKind, lang};

use crate::message::{Evidence, Plan, Step, StepAction};
use crate::protocol::{Outcome, StartRequest};
use crate::turn::Stop;

/// What the summary of such a plan says.
const SUMMARY: &str = "the request concerns one file";

/// The plan of a request that tags the repository's only source file: one step, in the words of the
/// request. The Architect could say nothing else, and its paraphrase of a long request loses details.
/// Tests beside it are not meant, unless the first line speaks of them.
pub(super) fn plan(request: &StartRequest, paths: &BTreeSet<String>) -> Option<Plan> {
    let [tagged] = request.tags.as_slice() else { return None };
    let first_line = request.text.trim_start().lines().next().unwrap_or_default().to_lowercase();
    let tests_are_meant =
        first_line.split(|c: char| !c.is_alphanumeric()).any(|word| word.starts_with("test"));
    let is_meant = |path: &str| tests_are_meant || FileKind::of_path(path) != FileKind::Test;
    let mut sources = paths.iter().filter(|path| is_source(path) && is_meant(path));
    (sources.next() == Some(tagged) && sources.next().is_none())
        .then(|| Plan { summary: SUMMARY.into(), steps: vec![step(tagged, request)] })
}

/// The plan where the Architect is left out: a step for each tagged file, or for the first of the
/// evidence.
pub(super) fn without_architect(request: &StartRequest, evidence: &Evidence) -> Result<Plan, Stop> {
    let first = evidence.regions.first().map(|region| region.path.clone());
    let first = first.or_else(|| evidence.further.first().map(|further| further.path.clone()));
    let files = if request.tags.is_empty() { first.into_iter().collect() } else { request.tags.clone() };
    if files.is_empty() {
        let reason = "there is no file to change, and no architect to plan a new one".to_owned();
        return Err(Stop::Outcome(Outcome::NoValidChange { reason }));
    }
    let steps = files.iter().map(|file| step(file, request)).collect();
    Ok(Plan { summary: "no architect was asked".into(), steps })
}

fn step(file: &str, request: &StartRequest) -> Step {
    Step {
        action: StepAction::Edit,
        file: file.to_owned(),
        symbol: String::new(),
        target: String::new(),
        task: request.text.clone(),
    }
}

/// Whether a change could concern the file: all but what describes a build, a text or settings.
fn is_source(path: &str) -> bool {
    const DATA: &[&str] = &["toml", "json", "yaml", "markdown"];
    let name = path.rsplit('/').next().unwrap_or(path);
    match lang::for_path(path) {
        Some(language) => !DATA.contains(&language.name),
        None => !name.starts_with('.') && !name.ends_with(".lock") && !name.ends_with(".txt"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Region;

    fn asked(tags: &[&str]) -> StartRequest {
        StartRequest { text: "do it".into(), tags: tags.iter().map(|tag| (*tag).to_owned()).collect() }
    }

    fn files(plan: &Plan) -> Vec<&str> {
        plan.steps.iter().map(|step| step.file.as_str()).collect()
    }

    #[test]
    fn only_a_tag_on_the_only_source_file_needs_no_architect() {
        let check = |tags: &[&str], paths: &[&str], expected: bool| {
            let paths: BTreeSet<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            let made = plan(&asked(tags), &paths);
            assert_eq!(made.is_some(), expected, "{tags:?} in {paths:?}");
            assert!(made.is_none_or(|plan| files(&plan) == tags && plan.steps[0].task == "do it"));
        };
        let small = ["src/lib.rs", "Cargo.toml", "Cargo.lock", "README.md", ".gitignore"];
        check(&["src/lib.rs"], &small, true);
        check(&[], &small, false);
        check(&["README.md"], &small, false);
        check(&["src/lib.rs", "README.md"], &small, false);
        check(&["src/lib.rs"], &["src/lib.rs", "src/main.rs"], false);
        check(&["a.py"], &["a.py", "build.unknown"], false);
        check(&["a.py"], &["a.py", "a_test.py", "tests/b.py"], true);
        check(&["a_test.py"], &["a.py", "a_test.py"], false);
        let paths = ["a.py", "a_test.py"].map(str::to_owned).into();
        let request = StartRequest { text: "Add tests of the parser".into(), ..asked(&["a.py"]) };
        assert!(plan(&request, &paths).is_none(), "the other file is meant as well");
    }

    #[test]
    fn without_an_architect_tags_come_before_the_evidence() {
        let region = |path: &str| Region { ..crate::region::whole(path, "x") };
        let evidence = Evidence { regions: vec![region("a.py"), region("b.py")], ..Evidence::default() };
        let plan = |tags: &[&str], evidence: &Evidence| without_architect(&asked(tags), evidence);
        assert_eq!(plan(&[], &evidence).ok().map(|plan| files(&plan).join(" ")), Some("a.py".into()));
        let tagged = plan(&["b.py", "c.py"], &evidence).ok();
        assert_eq!(tagged.map(|plan| files(&plan).join(" ")), Some("b.py c.py".into()));
        assert!(plan(&[], &Evidence::default()).is_err(), "nothing to change");
    }
}
