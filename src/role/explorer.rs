//! The Explorer: questions in, findings out. Read-only and bounded.
//!
//! Before the model is asked at all, the program searches for the question itself: often that is
//! the answer. What the tools returned travels with the finding, so that it can be checked.

use crate::answer;
use crate::mailbox::{Answerer, Mailbox};
use crate::message::{ExploreAnswer, ExploreRequest, Finding, ToolName};
use crate::protocol::Event;
use crate::provider::{Schema, StopReason};
use crate::retrieve::Retriever;
use crate::role::guard::Guard;
use crate::role::{CallError, Caller, Form, REPEATS};
use crate::tool::{self, Used};

/// Handle to the Explorer's task.
pub type Explorer = Mailbox<ExploreRequest, Result<Vec<Finding>, CallError>>;

/// Most results that go back to the Architect with one answer; the last ones, since a search
/// narrows.
const EVIDENCE_KEPT: usize = 2;

/// Starts the Explorer.
pub fn spawn(caller: Caller, retriever: Retriever) -> Explorer {
    let schema = answer::schema_of::<ExploreAnswer>("action");
    Mailbox::spawn("explorer", Task { caller, schema, retriever })
}

/// Said instead of an answer.
const OPEN: &str = "no answer within the allowed calls; see the results";

struct Task {
    caller: Caller,
    schema: Schema,
    retriever: Retriever,
}

impl Answerer<ExploreRequest, Result<Vec<Finding>, CallError>> for Task {
    async fn answer(&mut self, request: ExploreRequest) -> Result<Vec<Finding>, CallError> {
        let mut findings = Vec::new();
        for question in &request.questions {
            findings.push(self.explore(&request, question).await?);
        }
        Ok(findings)
    }
}

impl Task {
    async fn explore(&self, asked: &ExploreRequest, question: &str) -> Result<Finding, CallError> {
        let caller = &self.caller;
        let mut allowance = caller.allowance();
        let mut left = caller.model.bytes_of(caller.spec.budget.evidence_tokens(caller.model.window));
        let mut guard = Guard::default();
        let first = self.use_tool(ToolName::Search, question, &mut left).await?;
        // The first call of a guard repeats nothing.
        let _ = guard.call(ToolName::Search, question).and_then(|()| guard.result(&first));
        let used = |tool, argument: &str, result: &str| Used {
            tool,
            argument: argument.to_owned(),
            result: result.to_owned(),
        };
        let mut results = vec![used(ToolName::Search, question, &first)];
        let finding = |answer: String, results: &[Used]| {
            let about = format!("{question} {answer}");
            let last = &results[results.len().saturating_sub(EVIDENCE_KEPT)..];
            let evidence = last.iter().map(|used| used.quote(&about, &asked.shown)).collect();
            Finding { question: question.to_owned(), answer, evidence }
        };
        let values =
            serde_json::json!({"request": asked.request, "question": question, "first_result": first});
        let mut messages = vec![caller.system(serde_json::json!({}))?, caller.user(values)?];

        for call in 1..=caller.spec.budget.calls {
            let answer = match caller.call(&mut allowance, &messages, Form::Json(&self.schema)).await {
                // What the tools returned is kept, and the Architect goes on with it.
                Err(error @ CallError::Spent { .. }) => {
                    caller.events.warn(error.to_string());
                    return Ok(finding(OPEN.into(), &results));
                }
                answer => answer?,
            };
            let next = match answer.reason {
                StopReason::Length => Err("the answer was cut at its limit".to_owned()),
                StopReason::Repetition => Err(REPEATS.to_owned()),
                StopReason::Complete => {
                    answer::json::<ExploreAnswer>(&answer.text).map_err(|error| error.to_string())
                }
            };
            let wrong = match next {
                Ok(parsed) => {
                    caller.repaired(&parsed.repairs);
                    let argument = parsed.value.argument;
                    match parsed.value.action.tool() {
                        None => return Ok(finding(argument, &results)),
                        Some(tool) if !caller.spec.tools.contains(&tool) => {
                            format!("the tool {tool:?} is not available")
                        }
                        Some(tool) => match guard.call(tool, &argument) {
                            Err(repeated) => repeated,
                            Ok(()) => {
                                let result = self.use_tool(tool, &argument, &mut left).await?;
                                match guard.result(&result) {
                                    Err(repeated) => repeated,
                                    Ok(()) => {
                                        results.push(used(tool, &argument, &result));
                                        let last = call + 1 == caller.spec.budget.calls;
                                        let values = serde_json::json!({"tool": tool, "argument": argument, "result": result, "last": last});
                                        let text = caller
                                            .prompts
                                            .render("explorer.result.md", values)
                                            .map_err(CallError::Prompt)?;
                                        messages.extend(crate::role::exchange(&answer.text, text));
                                        continue;
                                    }
                                }
                            }
                        },
                    }
                }
                Err(wrong) => wrong,
            };
            caller.events.emit(Event::Corrected {
                role: "explorer".into(),
                reason: wrong.clone(),
                attempt: call,
            });
            if guard.is_going_round() {
                caller
                    .events
                    .warn(format!("the explorer goes round in circles; its question stays open: {question}"));
                break;
            }
            let again = "Reply again with one JSON object of the form {\"action\": …, \"argument\": …}.";
            messages.extend(caller.correct(&answer.text, &[wrong], again)?);
        }
        // A question that stays open is not an error: the Architect gets what the tools returned.
        Ok(finding(OPEN.into(), &results))
    }

    async fn use_tool(&self, tool: ToolName, argument: &str, left: &mut usize) -> Result<String, CallError> {
        let asked = argument.to_owned();
        let room = *left;
        let result = self
            .retriever
            .with(move |library| tool::run(library, tool, &asked, room))
            .await
            .map_err(CallError::Evidence)?;
        *left = left.saturating_sub(result.len());
        self.caller.events.emit(Event::ToolUsed {
            tool: tool::word(tool).into(),
            argument: argument.to_owned(),
            result_bytes: result.len() as u64,
        });
        Ok(result)
    }
}
