//! From a model's text to a typed value: lenient in form, strict in meaning.
//!
//! Small models wrap their JSON in fences, prose, reasoning or a tool call, and write it as Python or
//! JavaScript would. None of that changes what they mean, so it is repaired, and each repair is named.
//! What could change the meaning is refused with a message that the model can act on: a missing
//! field, a cut ending, two different answers. Nothing is ever made up, least of all an empty object.
//!
//! It must not know what is asked for, who asks, or how often.

mod dialect;
mod lenient;
mod scan;
mod schema;
mod strict;

use serde::de::DeserializeOwned;
use serde_json::Value;

use scan::{Candidate, Found};

pub use schema::schema_of;

/// A value, and what had to be forgiven to read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed<T> {
    pub value: T,
    /// Names of the repairs, each once, in alphabetical order; empty for an answer in perfect form.
    pub repairs: Vec<&'static str>,
}

/// Why an answer cannot be used. The messages are written for the model: they go back to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    #[error("Your answer is empty. Answer with one JSON object and nothing else.")]
    Empty,
    #[error(
        "Your answer holds only reasoning and no result. Think shorter, then answer with one JSON object."
    )]
    OnlyThinking,
    #[error("Your answer holds no JSON object. Answer with one JSON object and nothing else.")]
    NoJson,
    #[error(
        "Your answer ends in the middle of the JSON, in {place}. Give the whole JSON object again, shorter."
    )]
    Truncated {
        /// Such as `steps[1].file`.
        place: String,
    },
    #[error(
        "Your JSON is malformed at line {line}, column {column}: {problem}, near `{near}`. Give the whole JSON object again."
    )]
    Syntax {
        /// Both from 1; columns count characters.
        line: usize,
        column: usize,
        problem: String,
        near: String,
    },
    #[error("Your JSON does not fit at {place}: {problem}. Give the whole JSON object again, corrected.")]
    Mismatch {
        /// Such as `steps[1].file`, or `the top level`.
        place: String,
        problem: String,
    },
    #[error("Your answer holds {count} different JSON objects that each fit. Give exactly one.")]
    Ambiguous { count: usize },
}

/// Reads the one `T` in a model's answer. `T` should be a struct: single words and bare numbers
/// cannot be told from prose.
///
/// Takes time linear in the length of `text` and never panics.
///
/// # Errors
/// [`AnswerError`], whose text is meant for the model.
pub fn json<T: DeserializeOwned>(text: &str) -> Result<Parsed<T>, AnswerError> {
    if text.trim().is_empty() {
        return Err(AnswerError::Empty);
    }
    if text.trim_start().starts_with('"')
        && let Ok(inner) = serde_json::from_str::<String>(text)
    {
        let mut parsed = json_in(&inner)?;
        note(&mut parsed.repairs, "JSON inside a string");
        return Ok(parsed);
    }
    json_in(text)
}

fn json_in<T: DeserializeOwned>(text: &str) -> Result<Parsed<T>, AnswerError> {
    let found = scan::scan(text);
    // An unfinished or broken object makes everything beside it doubtful.
    if let Some(fatal) = &found.fatal {
        return Err(scan::explain(text, fatal));
    }
    let mut fitting: Vec<(Value, Parsed<T>)> = Vec::new();
    let mut misfit: Option<(usize, strict::Misfit)> = None;
    for candidate in &found.candidates {
        if is_empty(&candidate.value) && found.has_prose {
            // `{}` and `[]` in prose or code are no answer; that they might fit is chance.
            continue;
        }
        match fit(candidate) {
            Ok(parsed) => {
                if !fitting.iter().any(|(value, _)| *value == candidate.value) {
                    fitting.push((candidate.value.clone(), parsed));
                }
            }
            // Of several that do not fit, the longest is most likely the answer.
            Err(problem) if misfit.as_ref().is_none_or(|(length, _)| *length <= candidate.length) => {
                misfit = Some((candidate.length, problem));
            }
            Err(_) => {}
        }
    }
    if fitting.len() > 1 {
        return Err(AnswerError::Ambiguous { count: fitting.len() });
    }
    let Some((_, mut parsed)) = fitting.pop() else {
        return Err(match misfit {
            Some((_, problem)) => AnswerError::Mismatch { place: problem.place, problem: problem.problem },
            None => nothing(text, &found),
        });
    };
    for (seen, name) in [
        (found.has_prose, "text around the JSON"),
        (found.has_fence, "code fence"),
        (found.has_thinking, "reasoning before the answer"),
        (found.candidates.len() > 1, "several JSON values"),
    ] {
        if seen {
            note(&mut parsed.repairs, name);
        }
    }
    Ok(parsed)
}

/// Why there was nothing to fit.
fn nothing(text: &str, found: &Found) -> AnswerError {
    match &found.failure {
        Some(failure) => scan::explain(text, failure),
        None if found.has_thinking && !found.has_prose => AnswerError::OnlyThinking,
        None => AnswerError::NoJson,
    }
}

fn note(repairs: &mut Vec<&'static str>, name: &'static str) {
    if let Err(at) = repairs.binary_search(&name) {
        repairs.insert(at, name);
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Reads a candidate as it is, or what a call, a list of one or a wrapper around it holds.
fn fit<T: DeserializeOwned>(candidate: &Candidate) -> Result<Parsed<T>, strict::Misfit> {
    let repairs = candidate.repairs.names();
    let parsed = |fit: strict::Fit<T>, more: Vec<&'static str>| {
        let mut parsed = Parsed { value: fit.value, repairs: repairs.clone() };
        let unknown = (fit.ignored > 0).then_some(UNKNOWN_FIELD);
        fit.repairs.into_iter().chain(more).chain(unknown).for_each(|name| note(&mut parsed.repairs, name));
        parsed
    };
    let direct = match strict::read::<T>(&candidate.value) {
        Ok(fit) if fit.ignored == 0 => return Ok(parsed(fit, Vec::new())),
        other => other,
    };
    let mut value = candidate.value.clone();
    let mut removed = Vec::new();
    for _ in 0..MOST_WRAPPERS {
        let Some((inner, wrapping, more)) = unwrapped(&value) else { break };
        removed.push(wrapping);
        removed.extend(more);
        if let Ok(fit) = strict::read::<T>(&inner) {
            return Ok(parsed(fit, removed));
        }
        value = inner;
    }
    direct.map(|fit| parsed(fit, Vec::new()))
}

const UNKNOWN_FIELD: &str = "unknown field left out";

/// `{"tool_calls": [{"function": {"name": …, "arguments": "…"}}]}` has three.
const MOST_WRAPPERS: usize = 4;

type Unwrapped = (Value, &'static str, Vec<&'static str>);

/// What is inside a list of one, a tool call that was printed as text, or a wrapper of one field.
fn unwrapped(value: &Value) -> Option<Unwrapped> {
    match value {
        Value::Array(items) => match items.as_slice() {
            [one @ Value::Object(_)] => {
                Some(called(one).unwrap_or_else(|| (one.clone(), "list of one", Vec::new())))
            }
            _ => None,
        },
        Value::Object(fields) => called(value).or_else(|| {
            let only = fields.values().next().filter(|_| fields.len() == 1);
            // The schema's own form, filled in: its words around the fields that were asked for.
            let echoed =
                fields.get("properties").filter(|_| fields.get("type").is_some_and(|t| t == "object"));
            let inner = only.or(echoed).filter(|inner| inner.is_object() || inner.is_array())?;
            Some((inner.clone(), "wrapper removed", Vec::new()))
        }),
        _ => None,
    }
}

/// The arguments of `{"name": …, "arguments": …}` in its usual spellings.
fn called(value: &Value) -> Option<Unwrapped> {
    const NAME: &str = "tool call unwrapped";
    let call = match &value["function"] {
        inner @ Value::Object(_) => inner,
        _ => value,
    };
    let named = ["name", "function", "tool", "tool_name"].iter().any(|name| call[*name].is_string());
    let arguments =
        ["arguments", "parameters", "input", "args", "tool_input"].iter().find_map(|name| call.get(*name))?;
    if !named {
        return None;
    }
    match arguments {
        Value::Object(_) => Some((arguments.clone(), NAME, Vec::new())),
        // OpenAI's form: the arguments are JSON inside a string.
        Value::String(text) => {
            let parsed =
                lenient::value(text.trim(), 0).ok().filter(|parsed| parsed.end == text.trim().len())?;
            Some((parsed.value, NAME, parsed.repairs.names()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
