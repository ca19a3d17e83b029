//! The Architect: evidence in, plan or questions out. It has no tools.

use std::collections::BTreeSet;

use crate::answer;
use crate::mailbox::{Answerer, Mailbox};
use crate::message::{Plan, PlanAnswer, PlanRequest, Planned, Round, Step, StepAction};
use crate::protocol::Event;
use crate::provider::{Schema, StopReason};
use crate::role::{CallError, Caller, Form, REPEATS};

/// Handle to the Architect's task.
pub type Architect = Mailbox<PlanRequest, Result<Planned, CallError>>;

/// Most steps of one plan: what a person can review at once, and a small model keep in mind.
const MOST_STEPS: usize = 8;
/// Most questions at a time.
const MOST_QUESTIONS: usize = 3;

/// Starts the Architect.
pub fn spawn(caller: Caller) -> Architect {
    let schema = answer::schema_of::<PlanAnswer>("plan");
    Mailbox::spawn("architect", Task { caller, schema })
}

struct Task {
    caller: Caller,
    schema: Schema,
}

impl Answerer<PlanRequest, Result<Planned, CallError>> for Task {
    async fn answer(&mut self, request: PlanRequest) -> Result<Planned, CallError> {
        let caller = &self.caller;
        let schema = with_paths(&self.schema, &shown(&request));
        let mut messages = vec![caller.system(serde_json::json!({}))?, caller.user(&request)?];
        // Behind everything that the server has read already.
        for Round { asked, findings } in &request.rounds {
            let values = serde_json::json!({"findings": findings});
            let text = caller.prompts.render("architect.findings.md", values).map_err(CallError::Prompt)?;
            messages.extend(crate::role::exchange(asked, text));
        }
        let mut reason = String::new();
        let mut allowance = caller.allowance();
        for attempt in 1..=caller.spec.budget.calls {
            let answer = caller.call(&mut allowance, &messages, Form::Json(&schema)).await?;
            let parsed = match answer.reason {
                StopReason::Length => {
                    Err("the answer was cut at its limit: write fewer and shorter steps".to_owned())
                }
                StopReason::Repetition => Err(REPEATS.to_owned()),
                StopReason::Complete => answer::json::<PlanAnswer>(&answer.text)
                    .map_err(|error| error.to_string())
                    .and_then(|parsed| {
                        caller.repaired(&parsed.repairs);
                        check(parsed.value, &request.paths, &answer.text)
                    }),
            };
            match parsed {
                Ok(planned) => return Ok(planned),
                Err(wrong) => reason = wrong,
            }
            caller.events.emit(Event::Corrected {
                role: "architect".into(),
                reason: reason.clone(),
                attempt,
            });
            let again = "Reply again with one JSON object of the same form.";
            messages.extend(caller.correct(&answer.text, std::slice::from_ref(&reason), again)?);
        }
        Err(CallError::OutOfCalls { role: "architect".into(), calls: caller.spec.budget.calls, reason })
    }
}

/// The existing paths that the model has read of: in the evidence, in the request, in what the Explorer
/// found. It cannot mean another one.
fn shown(request: &PlanRequest) -> BTreeSet<&str> {
    let evidence = &request.evidence;
    let regions = evidence.regions.iter().map(|region| region.path.as_str());
    let further = evidence.further.iter().map(|further| further.path.as_str());
    let named = evidence.named.iter().map(|definition| definition.path.as_str());
    let findings = request.rounds.iter().flat_map(|round| &round.findings);
    let told = findings.flat_map(|finding| std::iter::once(&finding.answer).chain(&finding.evidence));
    let told: Vec<&str> = told.chain([&request.request]).map(String::as_str).collect();
    let read_of = |path: &&str| told.iter().any(|text| text.contains(*path));
    let read_of = request.paths.iter().map(String::as_str).filter(read_of);
    regions.chain(further).chain(named).chain(read_of).collect()
}

/// The schema of a plan for this very request: only a file that is made may have a path of the model's
/// own. Small models copy the path of an example or make one up.
fn with_paths(plan: &Schema, paths: &BTreeSet<&str>) -> Schema {
    let mut schema = plan.clone();
    let step = &mut schema.json["properties"]["steps"]["items"];
    let variant = |actions: &[StepAction], file: serde_json::Value| {
        let mut variant = step.clone();
        variant["properties"]["action"] = serde_json::json!({"type": "string", "enum": actions});
        variant["properties"]["file"] = file;
        variant
    };
    let made = variant(&[StepAction::Create], serde_json::json!({"type": "string"}));
    let known = [StepAction::Edit, StepAction::Delete, StepAction::Rename];
    *step = match paths.is_empty() {
        true => made,
        false => {
            let known = variant(&known, serde_json::json!({"type": "string", "enum": paths}));
            serde_json::json!({"anyOf": [known, made]})
        }
    };
    schema
}

/// Turns what the model wrote into a plan, or says what is wrong in words that it can act on. `text` is
/// what it wrote.
fn check(answer: PlanAnswer, paths: &BTreeSet<String>, text: &str) -> Result<Planned, String> {
    let questions: Vec<String> = answer
        .questions
        .iter()
        .map(|question| question.trim().to_owned())
        .filter(|q| !q.is_empty())
        .collect();
    if answer.steps.is_empty() {
        return match questions.len() {
            0 => Err("it has neither steps nor questions: write at least one step".into()),
            1..=MOST_QUESTIONS => Ok(Planned::Needs { questions, asked: text.to_owned() }),
            n => Err(format!("{n} questions are too many; ask at most {MOST_QUESTIONS}")),
        };
    }
    if answer.steps.len() > MOST_STEPS {
        return Err(format!("{} steps are too many; use at most {MOST_STEPS}", answer.steps.len()));
    }
    let steps = answer
        .steps
        .into_iter()
        .enumerate()
        .map(|(i, step)| check_step(step, paths).map_err(|wrong| format!("step {}: {wrong}", i + 1)))
        .collect::<Result<Vec<Step>, String>>()?;
    Ok(Planned::Ready(Plan { summary: answer.analysis.trim().to_owned(), steps }))
}

fn check_step(mut step: Step, paths: &BTreeSet<String>) -> Result<Step, String> {
    step.symbol = step.symbol.trim().trim_matches('`').to_owned();
    step.target = step.target.trim().trim_matches('`').to_owned();
    let written = step.file.trim().trim_matches('`').trim_start_matches("./").to_owned();
    if written.is_empty() {
        return Err("\"file\" is empty".into());
    }
    if step.task.trim().is_empty() && matches!(step.action, StepAction::Edit | StepAction::Create) {
        return Err("\"task\" is empty: say what to change".into());
    }
    if step.action == StepAction::Create {
        if paths.contains(&written) {
            return Err(format!("{written} exists already; use \"edit\""));
        }
        step.file = written;
        return Ok(step);
    }
    step.file = existing(&written, paths)?;
    if step.action == StepAction::Rename {
        if step.target.is_empty() {
            return Err("a \"rename\" needs its new path in \"target\"".into());
        }
        if paths.contains(&step.target) {
            return Err(format!("{} exists already", step.target));
        }
    }
    Ok(step)
}

/// The one existing path that is meant: as written, or the only one that ends like it.
fn existing(written: &str, paths: &BTreeSet<String>) -> Result<String, String> {
    if paths.contains(written) {
        return Ok(written.to_owned());
    }
    let tail = format!("/{written}");
    let mut fitting: Vec<&String> = paths.iter().filter(|path| path.ends_with(&tail)).collect();
    match fitting.as_slice() {
        [one] => return Ok((*one).clone()),
        [] => {}
        several => {
            let names: Vec<&str> = several.iter().take(5).map(|path| path.as_str()).collect();
            return Err(format!("{written:?} could be {}; write the whole path", names.join(" or ")));
        }
    }
    let name = written.rsplit('/').next().unwrap_or(written);
    fitting = paths.iter().filter(|path| path.rsplit('/').next() == Some(name)).collect();
    match fitting.as_slice() {
        [] => Err(format!("there is no file {written:?}; use a path from the evidence, or \"create\"")),
        near => {
            let names: Vec<&str> = near.iter().take(5).map(|path| path.as_str()).collect();
            Err(format!("there is no file {written:?}; did you mean {}?", names.join(" or ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> Result<Planned, String> {
        let paths = ["src/main.rs", "src/cli/mod.rs", "src/io/mod.rs", "README.md"].map(String::from);
        check(serde_json::from_str(text).unwrap(), &paths.into(), text)
    }

    fn step(file: &str, action: &str, target: &str) -> String {
        format!(
            r#"{{"analysis":"a","steps":[{{"action":"{action}","file":"{file}","target":"{target}","task":"t"}}]}}"#
        )
    }

    fn first_file(planned: Result<Planned, String>) -> Result<String, String> {
        match planned? {
            Planned::Ready(plan) => Ok(plan.steps[0].file.clone()),
            Planned::Needs { questions, .. } => Err(format!("{questions:?}")),
        }
    }

    #[test]
    fn a_path_is_found_by_its_end_only_when_that_is_clear() {
        assert_eq!(first_file(check_text(&step("src/main.rs", "edit", ""))), Ok("src/main.rs".into()));
        assert_eq!(first_file(check_text(&step("./main.rs", "edit", ""))), Ok("src/main.rs".into()));
        let unclear = check_text(&step("mod.rs", "edit", "")).unwrap_err();
        assert!(unclear.contains("src/cli/mod.rs or src/io/mod.rs"), "{unclear}");
        let unknown = check_text(&step("lib/main.rs", "edit", "")).unwrap_err();
        assert!(unknown.contains("did you mean src/main.rs?"), "{unknown}");
    }

    #[test]
    fn an_unknown_path_cannot_be_written_but_for_a_new_file() {
        let plan = answer::schema_of::<PlanAnswer>("plan");
        let schema = with_paths(&plan, &BTreeSet::from(["src/a.rs", "b.md"]));
        let variants = &schema.json["properties"]["steps"]["items"]["anyOf"];
        assert_eq!(variants[0]["properties"]["file"]["enum"], serde_json::json!(["b.md", "src/a.rs"]));
        assert_eq!(
            variants[0]["properties"]["action"]["enum"],
            serde_json::json!(["edit", "delete", "rename"])
        );
        assert_eq!(variants[1]["properties"]["action"]["enum"], serde_json::json!(["create"]));
        assert!(variants[1]["properties"]["file"]["enum"].is_null());
        assert_eq!(variants[1]["required"], variants[0]["required"]);
        let empty = with_paths(&plan, &BTreeSet::new());
        assert!(!empty.json.to_string().contains("\"edit\""), "there is nothing to edit");
    }

    #[test]
    fn paths_of_the_request_and_of_findings_are_known() {
        let finding = crate::message::Finding {
            question: "where?".into(),
            answer: "in src/c.rs".into(),
            evidence: vec!["src/d.rs:1-2\nfn d() {}".into()],
        };
        let request = PlanRequest {
            request: "mend src/b.rs as not/there.rs".into(),
            evidence: Default::default(),
            rounds: vec![Round { asked: String::new(), findings: vec![finding] }],
            paths: std::sync::Arc::new(
                ["src/a.rs", "src/b.rs", "src/c.rs", "src/d.rs"].map(String::from).into(),
            ),
        };
        assert_eq!(shown(&request), BTreeSet::from(["src/b.rs", "src/c.rs", "src/d.rs"]));
    }

    #[test]
    fn creating_over_a_file_or_renaming_onto_one_is_refused() {
        assert!(check_text(&step("README.md", "create", "")).unwrap_err().contains("exists already"));
        assert!(check_text(&step("README.md", "rename", "")).unwrap_err().contains("target"));
        assert!(
            check_text(&step("README.md", "rename", "src/main.rs")).unwrap_err().contains("exists already")
        );
        assert_eq!(first_file(check_text(&step("docs/new.md", "create", ""))), Ok("docs/new.md".into()));
    }

    #[test]
    fn questions_count_only_without_steps() {
        let both = r#"{"analysis":"a","questions":["where?"],"steps":[{"action":"edit","file":"README.md","task":"t"}]}"#;
        assert!(matches!(check_text(both), Ok(Planned::Ready(_))));
        let asks = r#"{"analysis":"a","questions":["where?"," "],"steps":[]}"#;
        let needs = Planned::Needs { questions: vec!["where?".into()], asked: asks.into() };
        assert_eq!(check_text(asks), Ok(needs));
        assert!(check_text(r#"{"analysis":"a"}"#).unwrap_err().contains("neither"));
    }
}
