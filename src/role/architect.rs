//! The Architect: evidence in, plan or questions out. It has no tools.

use std::collections::BTreeSet;

use crate::answer;
use crate::mailbox::{Answerer, Mailbox};
use crate::message::{Plan, PlanAnswer, PlanRequest, Planned, Step, StepAction};
use crate::protocol::Event;
use crate::provider::{Schema, StopReason};
use crate::role::{CallError, Caller, Form};

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
        let mut messages = vec![caller.system(serde_json::json!({}))?, caller.user(&request)?];
        let schema = match caller.model.provider.holds_choices() {
            true => naming(&self.schema, &seen(&request)),
            false => self.schema.clone(),
        };
        let mut reason = String::new();
        let mut allowance = caller.allowance();
        for attempt in 1..=caller.spec.budget.calls {
            let answer = caller.call(&mut allowance, &messages, Form::Json(&schema)).await?;
            let parsed = match answer.reason {
                StopReason::Length => {
                    Err("the answer was cut at its limit: write fewer and shorter steps".to_owned())
                }
                StopReason::Complete => answer::json::<PlanAnswer>(&answer.text)
                    .map_err(|error| error.to_string())
                    .and_then(|parsed| {
                        caller.repaired(&parsed.repairs);
                        check(parsed.value, &request.paths)
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

/// The existing files that a plan can speak of: those in the evidence and in the Explorer's findings.
fn seen(request: &PlanRequest) -> BTreeSet<String> {
    let PlanRequest { evidence, findings, paths, .. } = request;
    let regions = evidence.regions.iter().map(|region| &region.path);
    let further = evidence.further.iter().map(|file| &file.path);
    let named = evidence.named.iter().map(|definition| &definition.path);
    let shown: BTreeSet<&String> = regions.chain(further).chain(named).collect();
    let told = |path: &&String| {
        findings.iter().any(|finding| {
            finding.answer.contains(path.as_str())
                || finding.evidence.iter().any(|quote| quote.contains(path.as_str()))
        })
    };
    paths.iter().filter(|path| shown.contains(path) || told(path)).cloned().collect()
}

/// The schema in which a step changes one of `files`, or creates another one. Small models copy the
/// path of the prompt's example otherwise, and when it is refused they create it.
fn naming(schema: &Schema, files: &BTreeSet<String>) -> Schema {
    let mut named = schema.clone();
    let Some(step) = named.json.pointer_mut("/properties/steps/items").filter(|_| !files.is_empty()) else {
        return named;
    };
    let kind = |actions: &[StepAction], file: serde_json::Value| {
        let mut kind = step.clone();
        let actions: Vec<&str> = actions.iter().map(|action| action.word()).collect();
        kind["properties"]["action"] = serde_json::json!({"type": "string", "enum": actions});
        kind["properties"]["file"] = file;
        kind
    };
    let existing = serde_json::json!({"type": "string", "enum": files});
    let new = serde_json::json!({"type": "string"});
    let kinds = [
        kind(&[StepAction::Edit, StepAction::Delete, StepAction::Rename], existing),
        kind(&[StepAction::Create], new),
    ];
    *step = serde_json::json!({"anyOf": kinds});
    named
}

/// Turns what the model wrote into a plan, or says what is wrong in words that it can act on.
fn check(answer: PlanAnswer, paths: &BTreeSet<String>) -> Result<Planned, String> {
    let questions: Vec<String> = answer
        .questions
        .iter()
        .map(|question| question.trim().to_owned())
        .filter(|q| !q.is_empty())
        .collect();
    if answer.steps.is_empty() {
        return match questions.len() {
            0 => Err("it has neither steps nor questions: write at least one step".into()),
            1..=MOST_QUESTIONS => Ok(Planned::Needs(questions)),
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
        check(serde_json::from_str(text).unwrap(), &paths.into())
    }

    fn step(file: &str, action: &str, target: &str) -> String {
        format!(
            r#"{{"analysis":"a","steps":[{{"action":"{action}","file":"{file}","target":"{target}","task":"t"}}]}}"#
        )
    }

    fn first_file(planned: Result<Planned, String>) -> Result<String, String> {
        match planned? {
            Planned::Ready(plan) => Ok(plan.steps[0].file.clone()),
            Planned::Needs(questions) => Err(format!("{questions:?}")),
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
    fn a_held_step_changes_a_file_that_is_there_or_creates_one() {
        let schema = answer::schema_of::<PlanAnswer>("plan");
        let named = naming(&schema, &["b.py".to_owned(), "a.py".to_owned()].into());
        let kinds = named.json.pointer("/properties/steps/items/anyOf").unwrap().as_array().unwrap();
        let of = |kind: usize, field: &str| kinds[kind]["properties"][field]["enum"].clone();
        assert_eq!(of(0, "action"), serde_json::json!(["edit", "delete", "rename"]));
        assert_eq!(of(0, "file"), serde_json::json!(["a.py", "b.py"]));
        assert_eq!(
            (of(1, "action"), of(1, "file")),
            (serde_json::json!(["create"]), serde_json::Value::Null)
        );
        assert_eq!(kinds[1]["required"], kinds[0]["required"]);
        assert_eq!(naming(&schema, &BTreeSet::new()), schema);
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
        assert_eq!(check_text(asks), Ok(Planned::Needs(vec!["where?".into()])));
        assert!(check_text(r#"{"analysis":"a"}"#).unwrap_err().contains("neither"));
    }
}
