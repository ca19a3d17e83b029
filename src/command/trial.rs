//! What a model can do, found out by asking it: speed, streaming, whether it keeps a schema, how it
//! prints tool calls, and in which form it writes edits best.
//!
//! It must not know how the results are shown or kept.

use std::time::Instant;

use futures::StreamExt as _;
use serde::Serialize;

use crate::answer;
use crate::command::edits::{self, SingleEdit, Writer};
use crate::measured::EditTrial;
use crate::message::{EditFormat, ExploreAnswer};
use crate::prompt::Prompts;
use crate::provider::{
    ChatRequest, Chunk, Ending, Holding, Layout, Message, Narrowing, Provider, ProviderError, Schema,
    Speaker, StopReason, retry,
};
use crate::role::{Roles, Sampling};

/// Results of a trial.
#[derive(Debug, Serialize)]
pub struct Trial {
    /// Prompt tokens read anew, each second; `None` where the server counts nothing.
    pub prompt_per_second: Option<f64>,
    /// Answer tokens each second.
    pub answer_per_second: Option<f64>,
    /// Until the first piece of the first answer, loading the model included.
    pub first_token_ms: u64,
    /// Whether the answer came in pieces.
    pub streams: bool,
    pub schema: SchemaKept,
    /// How a tool call looks when the model prints one.
    pub dialect: &'static str,
    pub edits: EditTrial,
}

/// What became of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaKept {
    Kept,
    Ignored,
    /// The server refused it and was asked without.
    Refused,
}

/// Bytes of the files that a trial edits: it has to be over in minutes. `eval edit` takes all.
const SMALL: usize = 250;

/// How the questions that are no edits are asked.
const PLAIN: Sampling =
    Sampling { temperature: 0.0, seed: Some(1), top_k: None, top_p: None, min_p: None, repeat_penalty: None };

/// What an answer is held to.
pub(super) enum Held {
    Free,
    Schema(Schema),
    Layout(Layout),
}

/// One answer with its times.
pub(super) struct Asked {
    pub text: String,
    pub ending: Ending,
    pub pieces: usize,
    pub first_ms: u64,
    pub rest_ms: u64,
}

/// Runs the whole trial; `announce` is told what is being tried.
pub async fn run(
    provider: &Provider,
    window: u32,
    prompts: &Prompts,
    roles: &Roles,
    mut announce: impl FnMut(&str),
) -> anyhow::Result<Trial> {
    // A model in this process is loaded by this; reading the prompt is timed by itself.
    let began = Instant::now();
    let hello = Message { speaker: Speaker::User, text: "Hello".into() };
    provider.count(&[hello]).await;
    let load_ms = began.elapsed().as_millis() as u64;
    announce("speed and streaming");
    let speed = ask(
        provider,
        window,
        &["Count from 1 to 30, one number a line. Nothing else."],
        Held::Free,
        90,
        PLAIN,
    )
    .await?;
    announce("schema");
    let schema = schema(provider, window).await?;
    announce("tool calls");
    let dialect = dialect(&ask(provider, window, &[TOOLS], Held::Free, 120, PLAIN).await?.text);
    let edits: Vec<SingleEdit> =
        edits::all()?.into_iter().filter(|edit| edit.before.len() <= SMALL).collect();
    let writer = Writer { provider, window, prompts, roles, sampling: PLAIN };
    let mut trial = EditTrial::default();
    for format in EditFormat::ALL {
        for (at, edit) in edits.iter().enumerate().filter(|(_, edit)| edit.can_be_asked_as(format)) {
            announce(&format!("edits as {}, {} of {}", format.describe(), at + 1, edits.len()));
            // As a step would be asked for. Blocks are tried in both ways, since one of them is to be chosen.
            let layout = edit.layout(format).filter(|layout| matches!(layout, Layout::Fenced(_)));
            let written = writer.write(edit, format, layout).await?;
            trial.forms.entry(format).or_default().add(written.is_expected(edit));
        }
    }
    if provider.holding() == Holding::Held {
        for (at, edit) in edits.iter().enumerate() {
            announce(&format!("blocks held to the shown lines, {} of {}", at + 1, edits.len()));
            let Some(blocks) = edit.layout(EditFormat::SearchReplace) else { continue };
            let written = writer.write(edit, EditFormat::SearchReplace, Some(blocks)).await?;
            trial.held.get_or_insert_default().add(written.is_expected(edit));
            if provider.holding() != Holding::Held {
                // The server does not hold answers after all: nothing was measured.
                trial.held = None;
                break;
            }
        }
    }
    let per_second = |tokens: Option<u32>, ms: u64| {
        tokens.filter(|tokens| *tokens > 0 && ms > 0).map(|tokens| f64::from(tokens) * 1000.0 / ms as f64)
    };
    Ok(Trial {
        prompt_per_second: per_second(speed.ending.evaluated_tokens, speed.first_ms),
        answer_per_second: per_second(speed.ending.answer_tokens, speed.rest_ms),
        first_token_ms: load_ms + speed.first_ms,
        streams: speed.pieces > 2,
        schema,
        dialect,
        edits: trial,
    })
}

/// Asks once; the last message is the user's, those before it the system's.
pub(super) async fn ask(
    provider: &Provider,
    window: u32,
    messages: &[&str],
    held: Held,
    answer_limit: u32,
    sampling: Sampling,
) -> Result<Asked, ProviderError> {
    let speaker = |at| if at + 1 == messages.len() { Speaker::User } else { Speaker::System };
    let messages =
        messages.iter().enumerate().map(|(at, text)| Message { speaker: speaker(at), text: (*text).into() });
    let (schema, layout) = match held {
        Held::Free => (None, None),
        Held::Schema(schema) => (Some(schema), None),
        Held::Layout(layout) => (None, Some(layout)),
    };
    let request = ChatRequest {
        role: "trial".into(),
        messages: messages.collect(),
        schema,
        layout,
        draws: 1,
        window,
        answer_limit: answer_limit.min(window / 3),
        temperature: sampling.temperature,
        seed: sampling.seed,
        narrowing: Narrowing::default(),
    };
    let began = Instant::now();
    let begun = retry::begin(provider, &request, retry::Patience::default(), |_| {}).await?;
    let first = Instant::now();
    let mut chunks = futures::stream::iter([Ok(begun.first)]).chain(begun.rest);
    let (mut text, mut pieces) = (String::new(), 0);
    while let Some(chunk) = chunks.next().await {
        match chunk? {
            Chunk::Text(part) => {
                pieces += 1;
                text.push_str(&part);
            }
            Chunk::Thinking(_) | Chunk::Further(_) => {}
            Chunk::End(ending) => {
                let first_ms = first.duration_since(began).as_millis() as u64;
                let rest_ms = first.elapsed().as_millis() as u64;
                return Ok(Asked { text, ending, pieces, first_ms, rest_ms });
            }
        }
    }
    Err(ProviderError::Protocol { url: provider.describe(), what: "the answer has no end".into() })
}

/// Asks for something else than the schema allows: only a server that enforces it answers in JSON.
async fn schema(provider: &Provider, window: u32) -> Result<SchemaKept, ProviderError> {
    let wanted = answer::schema_of::<ExploreAnswer>("action");
    let asked = ask(
        provider,
        window,
        &["Write the word hello in capital letters. No JSON."],
        Held::Schema(wanted),
        120,
        PLAIN,
    )
    .await?;
    if provider.schema_form().is_some() {
        return Ok(SchemaKept::Refused);
    }
    let parsed = answer::json::<ExploreAnswer>(&asked.text);
    // An answer that was cut began well or not; the first character tells.
    let kept = match asked.ending.reason {
        StopReason::Complete => parsed.is_ok_and(|parsed| parsed.repairs.is_empty()),
        StopReason::Length | StopReason::Repetition => asked.text.trim_start().starts_with('{'),
    };
    Ok(if kept { SchemaKept::Kept } else { SchemaKept::Ignored })
}

const TOOLS: &str = "You can call one function: explore(action: string, argument: string). Call it with the action \"search\" and the argument \"parse config file\", in the form in which you were trained to call functions.";

/// The dialect of a printed call, by its first mark.
fn dialect(text: &str) -> &'static str {
    let marks = [
        ("<tool_call>", "Hermes tags"),
        ("<function=", "function tags"),
        ("<invoke", "invoke tags"),
        ("[TOOL_CALLS]", "Mistral"),
        ("<|python_tag|>", "Llama"),
        ("<|channel|>", "harmony"),
        ("<｜tool", "DeepSeek"),
        ("```", "fenced"),
        ("{", "bare JSON"),
        ("explore(", "function call"),
    ];
    let found = marks.iter().filter_map(|(mark, name)| Some((text.find(mark)?, *name)));
    found.min().map_or("none", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::Score;
    use crate::provider::Scripted;

    fn edits() -> Vec<SingleEdit> {
        edits::all().unwrap().into_iter().filter(|edit| edit.before.len() <= SMALL).collect()
    }

    #[test]
    fn dialects_are_told_by_their_first_mark() {
        assert_eq!(dialect("Sure.\n<tool_call>\n{\"name\": …"), "Hermes tags");
        assert_eq!(dialect("```json\n{}\n```"), "fenced");
        assert_eq!(dialect("{\"name\": \"explore\"}"), "bare JSON");
        assert_eq!(dialect("I would search."), "none");
    }

    #[tokio::test]
    async fn a_model_that_writes_whole_files_only_is_found_out() {
        let mut lines = vec![
            serde_json::json!({"chunks": ["1\n", "2\n", "3\n"], "evaluated_tokens": 20, "answer_tokens": 6}),
            serde_json::json!({"text": "HELLO"}),
            serde_json::json!({"text": "<tool_call>{}</tool_call>"}),
        ];
        assert!((10..=16).contains(&edits().len()), "a trial of minutes");
        let symbols = edits().iter().filter(|edit| edit.can_be_asked_as(EditFormat::Symbol)).count();
        let refusals = symbols + 2 * edits().len();
        lines.extend((0..refusals).map(|_| serde_json::json!({"text": "I cannot."})));
        lines.extend(
            edits().iter().map(
                |edit| serde_json::json!({"text": format!("{}\n```\n{}```\n", edit.file, edit.after())}),
            ),
        );
        let script: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let provider = Provider::Scripted(Scripted::parse("s", &script.join("\n")).unwrap());
        let prompts = Prompts::load(None).unwrap();
        let roles = Roles::load(None, &prompts).unwrap();
        let mut said = Vec::new();
        let trial = run(&provider, 8192, &prompts, &roles, |what| said.push(what.to_owned())).await.unwrap();
        let all = edits().len() as u32;
        assert_eq!(trial.edits.forms[&EditFormat::Whole], Score { tried: all, right: all });
        assert_eq!(trial.edits.forms[&EditFormat::SearchReplace], Score { tried: all, right: 0 });
        assert!(symbols > 5 && trial.edits.forms[&EditFormat::Symbol].tried as usize == symbols);
        assert_eq!(trial.edits.ranked()[0], EditFormat::Whole);
        assert_eq!((trial.schema, trial.dialect, trial.streams), (SchemaKept::Ignored, "Hermes tags", true));
        assert_eq!(said.len(), 3 + refusals + edits().len());
    }
}
