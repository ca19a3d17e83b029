//! What a model can do, found out by asking it: speed, streaming, whether it keeps a schema, how it
//! prints tool calls, and in which form it writes edits best.
//!
//! It must not know how the results are shown or kept.

use std::time::Instant;

use anyhow::Context as _;
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::answer;
use crate::edit::gate::Gates;
use crate::edit::parse::{self, Expected, Format};
use crate::edit::{Overlay, Planned, grammar, searchable, tag};
use crate::measured::EditTrial;
use crate::message::{EditFormat, ExploreAnswer, Region, Step, StepAction, StepRequest};
use crate::prompt::Prompts;
use crate::provider::{
    ChatRequest, Chunk, Ending, Message, Narrowing, Provider, ProviderError, Schema, Searchable, Speaker,
    StopReason, retry,
};
use crate::region;
use crate::role::Roles;

const EDITS: &str = include_str!("edits.toml");

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

/// One edit of the built-in set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TinyEdit {
    file: String,
    symbol: String,
    task: String,
    before: String,
    after: String,
}

#[derive(Debug, Deserialize)]
struct Edits {
    edit: Vec<TinyEdit>,
}

/// What an answer is held to.
enum Held {
    Free,
    Schema(Schema),
    Blocks(Searchable),
}

/// One answer with its times.
struct Asked {
    text: String,
    ending: Ending,
    pieces: usize,
    first_ms: u64,
    rest_ms: u64,
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
    let speed =
        ask(provider, window, &["Count from 1 to 30, one number a line. Nothing else."], Held::Free, 90)
            .await?;
    announce("schema");
    let schema = schema(provider, window).await?;
    announce("tool calls");
    let dialect = dialect(&ask(provider, window, &[TOOLS], Held::Free, 120).await?.text);
    let edits: Edits = toml::from_str(EDITS).context("the built-in edits")?;
    let mut trial = EditTrial::default();
    for format in EditFormat::ALL {
        for (at, edit) in edits.edit.iter().enumerate() {
            // Not every tiny edit is about a definition that the index finds.
            let named = grammar::named(&grammar::definitions(&edit.file, &edit.before), &edit.symbol).len();
            if format == EditFormat::Symbol && named != 1 {
                continue;
            }
            announce(&format!("edits as {}, {} of {}", format.describe(), at + 1, edits.edit.len()));
            let right = tries(provider, window, prompts, roles, edit, format, None).await?;
            trial.forms.entry(format).or_default().add(right);
        }
    }
    if provider.holds_choices() {
        for (at, edit) in edits.edit.iter().enumerate() {
            announce(&format!("blocks held to the shown lines, {} of {}", at + 1, edits.edit.len()));
            let shown = [region::whole(&edit.file, &edit.before)];
            let Some(blocks) = searchable::of(&edit.file, &edit.before, &shown) else { continue };
            let format = EditFormat::SearchReplace;
            let right = tries(provider, window, prompts, roles, edit, format, Some(blocks)).await?;
            trial.held.get_or_insert_default().add(right);
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

async fn ask(
    provider: &Provider,
    window: u32,
    messages: &[&str],
    held: Held,
    answer_limit: u32,
) -> Result<Asked, ProviderError> {
    let speaker = |at| if at + 1 == messages.len() { Speaker::User } else { Speaker::System };
    let messages =
        messages.iter().enumerate().map(|(at, text)| Message { speaker: speaker(at), text: (*text).into() });
    let (schema, blocks) = match held {
        Held::Free => (None, None),
        Held::Schema(schema) => (Some(schema), None),
        Held::Blocks(blocks) => (None, Some(blocks)),
    };
    let request = ChatRequest {
        role: "trial".into(),
        messages: messages.collect(),
        schema,
        blocks,
        window,
        answer_limit: answer_limit.min(window / 3),
        temperature: 0.0,
        seed: Some(1),
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
            Chunk::Thinking(_) => {}
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
    )
    .await?;
    if provider.schema_form().is_some() {
        return Ok(SchemaKept::Refused);
    }
    let parsed = answer::json::<ExploreAnswer>(&asked.text);
    // An answer that was cut began well or not; the first character tells.
    let kept = match asked.ending.reason {
        StopReason::Complete => parsed.is_ok_and(|parsed| parsed.repairs.is_empty()),
        StopReason::Length => asked.text.trim_start().starts_with('{'),
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

/// Whether the model makes one edit right at the first attempt.
async fn tries(
    provider: &Provider,
    window: u32,
    prompts: &Prompts,
    roles: &Roles,
    edit: &TinyEdit,
    format: EditFormat,
    blocks: Option<Searchable>,
) -> anyhow::Result<bool> {
    let shown = match format {
        EditFormat::AnchoredLines => tag::tagged(&edit.before, 1),
        _ => edit.before.clone(),
    };
    let request = StepRequest {
        request: edit.task.clone(),
        step: Step {
            action: StepAction::Edit,
            file: edit.file.clone(),
            symbol: edit.symbol.clone(),
            target: String::new(),
            task: edit.task.clone(),
        },
        format,
        regions: vec![Region { text: shown, ..region::whole(&edit.file, &edit.before) }],
        reasons: Vec::new(),
        failure: String::new(),
        feedback: String::new(),
        searchable: None,
        variation: 0,
    };
    let system = prompts.render(&roles.coder.system, serde_json::json!({ "format": format }))?;
    let user = prompts.render(&roles.coder.user, &request)?;
    let held = blocks.map_or(Held::Free, Held::Blocks);
    let asked = ask(provider, window, &[&system, &user], held, 400).await?;
    Ok(result(edit, format, &asked.text)?.is_some_and(|text| same(&text, &edit.after)))
}

/// The file after the edits of an answer; `None` when they do not pass the gates.
fn result(edit: &TinyEdit, format: EditFormat, answer: &str) -> anyhow::Result<Option<String>> {
    let folder = tempfile::tempdir().context("cannot make a folder for the trial")?;
    std::fs::write(folder.path().join(&edit.file), &edit.before)?;
    let mut overlay = Overlay::open(folder.path())?;
    let planned = || Planned::Only(vec![edit.file.clone()]);
    let (format, symbol) = match format {
        EditFormat::SearchReplace => (Format::SearchReplace, None),
        EditFormat::Whole => (Format::Whole, None),
        EditFormat::Symbol => (Format::Symbol, Some(edit.symbol.clone())),
        EditFormat::AnchoredLines => (Format::AnchoredLines, None),
    };
    let expected = Expected { format, planned: planned(), symbol };
    let Ok(edits) = parse::parse(answer, &expected) else { return Ok(None) };
    if overlay.propose(&edits, &Gates::new(planned())).is_err() {
        return Ok(None);
    }
    Ok(overlay.read(&edit.file).ok().flatten())
}

/// Whether two texts differ in blank lines and line ends at most.
fn same(a: &str, b: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    lines(a) == lines(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::Score;
    use crate::provider::Scripted;

    fn edits() -> Vec<TinyEdit> {
        toml::from_str::<Edits>(EDITS).unwrap().edit
    }

    #[test]
    fn each_of_the_dozen_changes_its_file() {
        let edits = edits();
        assert_eq!(edits.len(), 12);
        for edit in &edits {
            assert!(!same(&edit.before, &edit.after), "{}", edit.file);
            let whole = format!("{}\n```\n{}```\n", edit.file, edit.after);
            let made = result(edit, EditFormat::Whole, &whole).unwrap();
            assert!(made.is_some_and(|made| same(&made, &edit.after)), "{}", edit.file);
        }
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
        let definitions = |edit: &TinyEdit| {
            let found = grammar::definitions(&edit.file, &edit.before);
            grammar::named(&found, &edit.symbol).len() == 1
        };
        let symbols = edits().iter().filter(|edit| definitions(edit)).count();
        let refusals = symbols + 2 * edits().len();
        lines.extend((0..refusals).map(|_| serde_json::json!({"text": "I cannot."})));
        lines.extend(
            edits()
                .iter()
                .map(|edit| serde_json::json!({"text": format!("{}\n```\n{}```\n", edit.file, edit.after)})),
        );
        let script: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let provider = Provider::Scripted(Scripted::parse("s", &script.join("\n")).unwrap());
        let prompts = Prompts::load(None).unwrap();
        let roles = Roles::load(None, &prompts).unwrap();
        let mut said = Vec::new();
        let trial = run(&provider, 8192, &prompts, &roles, |what| said.push(what.to_owned())).await.unwrap();
        assert_eq!(trial.edits.forms[&EditFormat::Whole], Score { tried: 12, right: 12 });
        assert_eq!(trial.edits.forms[&EditFormat::SearchReplace], Score { tried: 12, right: 0 });
        assert!(symbols > 5 && trial.edits.forms[&EditFormat::Symbol].tried as usize == symbols);
        assert_eq!(trial.edits.ranked()[0], EditFormat::Whole);
        assert_eq!((trial.schema, trial.dialect, trial.streams), (SchemaKept::Ignored, "Hermes tags", true));
        assert_eq!(said.len(), 3 + refusals + 12);
    }
}
