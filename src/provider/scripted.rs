//! Answers replayed from a file: for tests, for demonstrations, and to reproduce a session.
//!
//! A script is JSON lines, one answer a line, in the order in which they are asked for:
//!
//! ```json
//! {"model": "recorded-7b", "window": 8192}
//! {"role": "architect", "expect": ["src/main.rs"], "text": "{\"steps\": []}", "prompt_tokens": 812}
//! {"role": "coder", "chunks": ["<<<<", {"delay_ms": 20}, {"thinking": "hm"}, {"error": "out of memory"}]}
//! {"role": "coder", "text": "one answer", "further": ["another to the same request"]}
//! {"error": "the server is down"}
//! ```
//!
//! The first line may be such a header. An answer has one of `text`, `chunks` and `error`; `role` and
//! `expect` are checked against what is asked, and `further` ones come only where the header says how many
//! `draws` there can be, so that a script which has gone stale says so instead
//! of answering the wrong question. This file must not know what any answer means.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;

use super::error::{ProviderError, excerpt};
use super::{
    ChatRequest, ChatStream, Chunk, Ending, Limits, ModelInfo, ModelKind, StopReason, Window, WindowKind,
};

/// A provider that replays a script. Clones share the place in it.
#[derive(Debug, Clone)]
pub struct Scripted {
    script: Arc<Script>,
    limits: Limits,
}

#[derive(Debug)]
struct Script {
    path: String,
    header: Header,
    answers: Vec<(usize, Answer)>,
    next: Mutex<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(default = "scripted_name")]
    model: String,
    #[serde(default = "scripted_window")]
    window: u32,
    /// Answers to one request that it can be asked for.
    #[serde(default = "one")]
    draws: u32,
    /// What the script is about, for its readers.
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

fn scripted_name() -> String {
    "scripted".to_owned()
}

fn scripted_window() -> u32 {
    Window::USUAL
}

fn one() -> u32 {
    1
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    role: Option<String>,
    #[serde(default)]
    expect: OneOrMany,
    text: Option<String>,
    chunks: Option<Vec<Piece>>,
    error: Option<String>,
    /// Answers to the same request besides this one.
    #[serde(default)]
    further: Vec<String>,
    /// Before anything comes.
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    stop: Stop,
    prompt_tokens: Option<u32>,
    evaluated_tokens: Option<u32>,
    answer_tokens: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            OneOrMany::None => &[],
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Piece {
    Text(String),
    Special(Special),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Special {
    Thinking(String),
    DelayMs(u64),
    Error(String),
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stop {
    #[default]
    Complete,
    Length,
    /// The connection closes without an end.
    Closed,
}

impl Scripted {
    /// Reads a script file.
    ///
    /// # Errors
    /// [`ProviderError::Script`] when the file cannot be read or a line of it is malformed.
    pub fn open(path: &Path) -> Result<Scripted, ProviderError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ProviderError::Script {
            path: shown.clone(),
            what: format!("it cannot be read: {error}. Give the path of a file of JSON lines"),
        })?;
        Scripted::parse(&shown, &text)
    }

    /// Reads a script; `path` is only shown.
    ///
    /// # Errors
    /// [`ProviderError::Script`] naming the first malformed line.
    pub fn parse(path: &str, text: &str) -> Result<Scripted, ProviderError> {
        let refuse = |line: usize, what: String| ProviderError::Script {
            path: path.to_owned(),
            what: format!("line {line}: {what}"),
        };
        let mut header =
            Header { model: scripted_name(), window: scripted_window(), draws: one(), _note: None };
        let mut answers = Vec::new();
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
        if let Some((_, first)) = lines.peek()
            && let Ok(found) = serde_json::from_str(first)
        {
            header = found;
            lines.next();
        }
        for (index, line) in lines {
            let number = index + 1;
            let answer: Answer = serde_json::from_str(line)
                .map_err(|error| refuse(number, format!("not an answer ({error})")))?;
            let given = [answer.text.is_some(), answer.chunks.is_some(), answer.error.is_some()];
            if given.iter().filter(|given| **given).count() != 1 {
                return Err(refuse(number, "give exactly one of `text`, `chunks` and `error`".to_owned()));
            }
            answers.push((number, answer));
        }
        let script = Script { path: path.to_owned(), header, answers, next: Mutex::new(0) };
        Ok(Scripted { script: Arc::new(script), limits: Limits::default() })
    }

    pub(super) fn model(&self) -> &str {
        &self.script.header.model
    }

    pub(super) fn shown(&self) -> &str {
        &self.script.path
    }

    pub(super) fn window(&self) -> Window {
        Window { tokens: self.script.header.window, kind: WindowKind::Fixed, source: "the script" }
    }

    pub(super) fn draws(&self) -> u32 {
        self.script.header.draws
    }

    pub(super) fn models(&self) -> Vec<ModelInfo> {
        vec![ModelInfo {
            name: self.model().to_owned(),
            bytes: None,
            loaded: true,
            memory: None,
            window: Some(self.script.header.window),
            kind: ModelKind::Chat,
        }]
    }

    /// Answers that were not asked for yet. A test ends with none.
    pub fn remaining(&self) -> usize {
        let next = self.script.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.script.answers.len() - *next
    }

    pub(super) fn chat(&self, request: &ChatRequest) -> Result<ChatStream, ProviderError> {
        let (line, answer) = self.take(request)?;
        let shown = format!("{}:{line}", self.script.path);
        let chunks = pieces(&shown, answer);
        let chunks = futures::stream::iter(chunks).filter_map(|(delay, item)| async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            item
        });
        Ok(ChatStream::watched(chunks, &shown, self.limits, request.answer_limit))
    }

    /// The next answer, if it is the one for this request.
    fn take(&self, request: &ChatRequest) -> Result<(usize, Answer), ProviderError> {
        let refuse = |what: String| ProviderError::Script { path: self.script.path.clone(), what };
        let mut next = self.script.next.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((line, answer)) = self.script.answers.get(*next) else {
            return Err(refuse(format!(
                "all {} answers are used up, and the {} asks once more. Add a line for it",
                self.script.answers.len(),
                request.role
            )));
        };
        if let Some(role) = &answer.role
            && *role != request.role
        {
            return Err(refuse(format!(
                "line {line} is for the {role}, but the {} asks. Reorder the script",
                request.role
            )));
        }
        let missing =
            answer.expect.as_slice().iter().find(|wanted| {
                !request.messages.iter().any(|message| message.text.contains(wanted.as_str()))
            });
        if let Some(missing) = missing {
            let last = request.messages.last().map_or("", |message| message.text.as_str());
            return Err(refuse(format!(
                "line {line} expects the prompt to contain {missing:?}, which it does not. Its last message: {}",
                excerpt(last.as_bytes())
            )));
        }
        if answer.further.len() >= request.draws as usize {
            return Err(refuse(format!(
                "line {line} has {} answers, but {} are asked for",
                answer.further.len() + 1,
                request.draws
            )));
        }
        *next += 1;
        Ok((*line, answer.clone()))
    }
}

type Timed = (Duration, Option<Result<Chunk, ProviderError>>);

fn pieces(shown: &str, answer: Answer) -> Vec<Timed> {
    let now = Duration::ZERO;
    let fail = |message: String| ProviderError::ServerError { url: shown.to_owned(), message };
    let mut timed: Vec<Timed> = vec![(Duration::from_millis(answer.delay_ms), None)];
    if let Some(text) = answer.text {
        timed.push((now, Some(Ok(Chunk::Text(text)))));
    }
    for piece in answer.chunks.into_iter().flatten() {
        timed.push(match piece {
            Piece::Text(text) => (now, Some(Ok(Chunk::Text(text)))),
            Piece::Special(Special::Thinking(text)) => (now, Some(Ok(Chunk::Thinking(text)))),
            Piece::Special(Special::DelayMs(delay)) => (Duration::from_millis(delay), None),
            Piece::Special(Special::Error(message)) => (now, Some(Err(fail(message)))),
        });
    }
    if let Some(message) = answer.error {
        timed.push((now, Some(Err(fail(message)))));
    }
    timed.extend(answer.further.into_iter().map(|text| (now, Some(Ok(Chunk::Further(text))))));
    let reason = match answer.stop {
        Stop::Complete => StopReason::Complete,
        Stop::Length => StopReason::Length,
        Stop::Closed => return timed,
    };
    let (prompt_tokens, evaluated_tokens) = (answer.prompt_tokens, answer.evaluated_tokens);
    let ending = Ending { reason, prompt_tokens, evaluated_tokens, answer_tokens: answer.answer_tokens };
    timed.push((now, Some(Ok(Chunk::End(ending)))));
    timed
}

#[cfg(test)]
mod tests {
    use super::super::testing::{request, told};
    use super::*;

    async fn ask(script: &Scripted, role: &str) -> Result<(String, Ending), ProviderError> {
        let mut asked = request("the question");
        asked.role = role.to_owned();
        told(script.chat(&asked)?).await
    }

    #[tokio::test]
    async fn a_script_is_replayed_in_order_across_clones() {
        let script = Scripted::parse(
            "s.jsonl",
            r#"{"model": "m", "window": 4096}

               {"role": "architect", "text": "one", "prompt_tokens": 7}
               {"chunks": ["t", {"thinking": "…"}, {"delay_ms": 1}, "wo"], "stop": "length"}"#,
        )
        .unwrap();
        let clone = script.clone();
        assert_eq!(script.window().tokens, 4096);
        let (text, ending) = ask(&script, "architect").await.unwrap();
        assert_eq!((text.as_str(), ending.prompt_tokens), ("one", Some(7)));
        let (text, ending) = ask(&clone, "coder").await.unwrap();
        assert_eq!((text.as_str(), ending.reason), ("two", StopReason::Length));
        let error = ask(&script, "coder").await.unwrap_err().to_string();
        assert!(error.contains("all 2 answers are used up, and the coder asks once more"), "{error}");
        assert_eq!(script.remaining(), 0);
    }

    #[tokio::test]
    async fn a_stale_script_says_so_and_keeps_its_place() {
        let script = Scripted::parse("s", r#"{"role": "coder", "expect": "missing", "text": "x"}"#).unwrap();
        let error = ask(&script, "architect").await.unwrap_err().to_string();
        assert!(error.contains("line 1 is for the coder, but the architect asks"), "{error}");
        let error = ask(&script, "coder").await.unwrap_err().to_string();
        assert!(error.contains(r#"contain "missing""#) && error.contains("the question"), "{error}");
        assert_eq!(script.remaining(), 1);
    }

    #[tokio::test]
    async fn errors_and_early_ends_can_be_scripted() {
        let script = Scripted::parse(
            "s",
            r#"{"error": "down"}
               {"chunks": ["par", {"error": "out of memory"}]}
               {"text": "par", "stop": "closed"}"#,
        )
        .unwrap();
        assert!(
            matches!(ask(&script, "r").await, Err(ProviderError::ServerError { message, .. }) if message == "down")
        );
        assert!(
            matches!(ask(&script, "r").await, Err(ProviderError::ServerError { message, .. }) if message == "out of memory")
        );
        assert!(matches!(ask(&script, "r").await, Err(ProviderError::EndedEarly { received: 3, .. })));
    }

    #[tokio::test]
    async fn the_example_among_the_fixtures_replays() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scripts/two-answers.jsonl");
        let script = Scripted::open(&path).unwrap();
        let mut asked = request("add a --version flag");
        asked.role = "architect".to_owned();
        let (text, ending) = told(script.chat(&asked).unwrap()).await.unwrap();
        assert_eq!((text.as_str(), ending.prompt_tokens), (r#"{"reason": "r", "steps": []}"#, Some(812)));
        assert!(matches!(ask(&script, "coder").await, Err(ProviderError::ServerError { .. })));
    }

    #[test]
    fn malformed_lines_are_named() {
        let refused = |text: &str| Scripted::parse("s", text).unwrap_err().to_string();
        assert!(refused("{\"text\": \"a\"}\n{\"txet\": \"b\"}").contains("line 2"));
        assert!(refused(r#"{"text": "a", "error": "b"}"#).contains("exactly one of"));
        assert!(refused(r#"{"role": "coder"}"#).contains("exactly one of"));
        assert!(refused("not json").contains("line 1"));
        assert!(refused(r#"{"text": "a", "stop": "never"}"#).contains("line 1"));
    }

    #[test]
    fn a_missing_file_is_an_error_for_people() {
        let error = Scripted::open(Path::new("no/such/script.jsonl")).unwrap_err().to_string();
        assert!(error.contains("no/such/script.jsonl") && error.contains("cannot be read"), "{error}");
    }
}
