//! Measures what it is worth to hold a model's SEARCH blocks to the lines that are shown: the dozen tiny
//! edits of `countersign doctor --trial`, asked for in blocks, with and without.
//!
//! `cargo run --release --example held_blocks -- MODEL.gguf...` prints the table of
//! `src/provider/README.md`. Greedy, so the same build and file give the same table.
#![allow(clippy::print_stdout, reason = "it is a program for a terminal")]

use countersign::edit::gate::Gates;
use countersign::edit::parse::{self, Expected, Format};
use countersign::edit::{Code, Overlay, Planned, searchable};
use countersign::message::{EditFormat, Step, StepAction, StepRequest};
use countersign::prompt::Prompts;
use countersign::provider::{
    ChatRequest, Chunk, Embedded, Message, Narrowing, Provider, Searchable, Speaker, StopReason,
};
use countersign::region;
use countersign::weights::Weights;
use futures::StreamExt as _;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
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

/// How far answers came.
#[derive(Debug, Default)]
struct Shares {
    asked: u32,
    parsed: u32,
    anchored: u32,
    passed: u32,
    right: u32,
    tokens: u32,
}

#[tokio::main]
async fn main() {
    let edits: Edits = toml::from_str(include_str!("../src/command/edits.toml")).expect("the edits");
    println!(
        "| model | blocks | parse | anchor | pass the gates | right | tokens |\n|---|---|---|---|---|---|---|"
    );
    for path in std::env::args().skip(1) {
        let provider = Provider::Embedded(Embedded::open(&Weights::default(), &path).expect("a model"));
        for held in [false, true] {
            let mut shares = Shares::default();
            for edit in &edits.edit {
                measure(&provider, edit, held, &mut shares).await;
            }
            let Shares { asked, parsed, anchored, passed, right, tokens } = shares;
            let how = if held { "held" } else { "free" };
            println!(
                "| {} | {how} | {parsed} of {asked} | {anchored} | {passed} | {right} | {tokens} |",
                provider.model()
            );
        }
    }
}

/// Asks for one edit, and counts how far its answer comes.
async fn measure(provider: &Provider, edit: &TinyEdit, held: bool, shares: &mut Shares) {
    let regions = vec![region::whole(&edit.file, &edit.before)];
    let blocks = searchable::of(&edit.file, &edit.before, &regions).expect("lines that can be searched");
    let request = StepRequest {
        request: edit.task.clone(),
        step: Step {
            action: StepAction::Edit,
            file: edit.file.clone(),
            symbol: edit.symbol.clone(),
            target: String::new(),
            task: edit.task.clone(),
        },
        format: EditFormat::SearchReplace,
        regions,
        reasons: Vec::new(),
        failure: String::new(),
        feedback: String::new(),
        searchable: None,
        variation: 0,
    };
    let prompts = Prompts::load(None).expect("the built-in prompts");
    let system = prompts.render("coder.system.md", serde_json::json!({"format": request.format}));
    let user = prompts.render("coder.user.md", &request);
    let texts = [(Speaker::System, system), (Speaker::User, user)];
    let messages = texts.map(|(speaker, text)| Message { speaker, text: text.expect("a prompt") });
    shares.asked += 1;
    let Some((text, tokens)) = answer(provider, messages.to_vec(), held.then_some(blocks)).await else {
        return;
    };
    shares.tokens += tokens;
    let planned = || Planned::Only(vec![edit.file.clone()]);
    let expected = Expected { format: Format::SearchReplace, planned: planned(), symbol: None };
    let Ok(parsed) = parse::parse(&text, &expected) else { return };
    shares.parsed += 1;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(&edit.file), &edit.before).expect("a file");
    let mut overlay = Overlay::open(folder.path()).expect("the folder");
    let proposed = overlay.propose(&parsed, &Gates::new(planned()));
    let missed = |code| matches!(code, Code::NoMatch | Code::Ambiguous | Code::EmptySearch);
    if let Err(refusals) = &proposed {
        shares.anchored += u32::from(!refusals.iter().any(|refusal| missed(refusal.code)));
        return;
    }
    shares.anchored += 1;
    shares.passed += 1;
    let made = overlay.read(&edit.file).ok().flatten().unwrap_or_default();
    shares.right += u32::from(lines(&made) == lines(&edit.after));
}

/// The text of a whole answer with its tokens; `None` for one that was cut.
async fn answer(
    provider: &Provider,
    messages: Vec<Message>,
    blocks: Option<Searchable>,
) -> Option<(String, u32)> {
    let request = ChatRequest {
        role: "coder".into(),
        messages,
        schema: None,
        blocks,
        window: 4096,
        answer_limit: 400,
        temperature: 0.0,
        seed: Some(1),
        narrowing: Narrowing::default(),
    };
    let mut stream = provider.chat(&request).await.expect("an answer");
    let mut text = String::new();
    loop {
        match stream.next().await.expect("an end").expect("an answer") {
            Chunk::Text(part) => text.push_str(&part),
            Chunk::Thinking(_) => {}
            Chunk::End(ending) => {
                let tokens = ending.answer_tokens.unwrap_or(0);
                return (ending.reason == StopReason::Complete).then_some((text, tokens));
            }
        }
    }
}

/// Lines without blank ones and blanks at their ends, which are not compared.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect()
}
