//! The protocols against a real llama.cpp server with a real, tiny model. Not part of `cargo test`:
//!
//! `COUNTERSIGN_SERVER=http://127.0.0.1:8080/v1 cargo test --test real_server`
//!
//! `tests/support/llama_server.py` starts such a server. What the model says is not judged here.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use countersign::answer;
use countersign::edit::layout;
use countersign::message::{EditFormat, ExploreAnswer, PlanAnswer};
use countersign::provider::{
    Anthropic, Api, ChatRequest, Chunk, Ending, Holding, Limits, Message, Narrowing, OpenAi, Preface,
    Provider, ProviderError, Quirks, Schema, Speaker, StopReason,
};
use countersign::region;
use futures::StreamExt as _;

fn url() -> String {
    std::env::var("COUNTERSIGN_SERVER").expect("COUNTERSIGN_SERVER is the address of a llama.cpp server")
}

fn limits() -> Limits {
    Limits { stall: Duration::from_secs(300), ..Limits::default() }
}

fn openai() -> Provider {
    Provider::OpenAi(OpenAi::new(&url(), None, "default", limits()).unwrap())
}

fn request(text: &str, answer_limit: u32) -> ChatRequest {
    let message = |speaker, text: &str| Message { speaker, text: text.to_owned() };
    ChatRequest {
        role: "architect".into(),
        messages: vec![message(Speaker::System, "You are brief."), message(Speaker::User, text)],
        schema: None,
        layout: None,
        draws: 1,
        window: 4096,
        answer_limit,
        temperature: 0.0,
        seed: Some(1),
        narrowing: Narrowing::default(),
    }
}

/// Pieces of the answer, and its end.
async fn answer(provider: &Provider, request: &ChatRequest) -> Result<(Vec<String>, Ending), ProviderError> {
    let mut stream = provider.chat(request).await?;
    let mut pieces = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk? {
            Chunk::Text(text) => pieces.push(text),
            Chunk::Thinking(_) | Chunk::Further(_) => {}
            Chunk::End(ending) => return Ok((pieces, ending)),
        }
    }
    panic!("the stream has no end");
}

fn words(count: usize) -> String {
    (0..count).map(|n| format!("word{n} ")).collect()
}

#[tokio::test]
async fn a_plan_is_kept_in_its_schema() {
    let provider = openai();
    let constrained = |schema: Schema, text: &str| ChatRequest { schema: Some(schema), ..request(text, 600) };
    let wanted = answer::schema_of::<PlanAnswer>("plan");
    let asked = constrained(wanted, "Say hello. Then plan one step that edits a.py.");
    let (pieces, ending) = answer(&provider, &asked).await.unwrap();
    let text = pieces.concat();
    assert!(text.trim_start().starts_with("{\"analysis\"") || text.contains("\"analysis\""), "{text}");
    if ending.reason == StopReason::Complete {
        let parsed = answer::json::<PlanAnswer>(&text).unwrap();
        assert!(parsed.repairs.is_empty(), "{:?} in {text}", parsed.repairs);
    }
    let wanted = answer::schema_of::<ExploreAnswer>("action");
    let (pieces, _) = answer(&provider, &constrained(wanted, "Answer with the word yes.")).await.unwrap();
    let text = pieces.concat();
    assert!(text.trim_start().starts_with('{') && text.contains("\"action\""), "{text}");
}

#[tokio::test]
async fn a_held_block_searches_for_lines_of_the_file() {
    let provider = openai();
    assert_eq!(provider.holding(), Holding::Unknown);
    provider.window().await.unwrap();
    assert_eq!(provider.holding(), Holding::Held, "the server says that it is llama.cpp");
    let file = "def größe(name):\n    if name == \"a\\\\b\":\n\treturn '[^]'\n    return name # 🦀\n";
    let region = region::whole("a.py", file);
    let blocks = layout::of(EditFormat::SearchReplace, "a.py", file, &[region], Preface::Nothing);
    assert!(blocks.is_some(), "every line is there once");
    for words in ["say what it does", "rename the function to size"] {
        let asked = ChatRequest { layout: blocks.clone(), ..request(&format!("{file}\n{words}"), 120) };
        let (pieces, ending) = answer(&provider, &asked).await.unwrap();
        let text = pieces.concat();
        let search = text.strip_prefix("a.py\n<<<<<<< SEARCH\n").expect("it begins as a block does");
        let (search, rest) = search.split_once("=======\n").unwrap_or_else(|| panic!("a search: {text}"));
        assert!(!search.is_empty() && file.contains(search), "{search:?} is no part of the file");
        if ending.reason == StopReason::Complete {
            assert!(rest.trim_end().ends_with(">>>>>>> REPLACE"), "{text}");
        }
    }
    assert_eq!(provider.holding(), Holding::Held);
}

#[tokio::test]
async fn a_held_code_block_is_all_that_comes() {
    let provider = openai();
    provider.window().await.unwrap();
    for (format, preface, head) in [
        (EditFormat::Whole, Preface::Nothing, "a.py\n```"),
        (EditFormat::Whole, Preface::Ascii, "\na.py\n```"),
        (EditFormat::Symbol, Preface::Any, "\n```"),
    ] {
        let layout = layout::of(format, "a.py", "x = 1\n", &[], preface);
        let asked = ChatRequest { layout, ..request("Write a function that adds two numbers.", 200) };
        let (pieces, ending) = answer(&provider, &asked).await.unwrap();
        let text = format!("\n{}", pieces.concat());
        if ending.reason == StopReason::Complete {
            let (before, code) = text.split_once(head).unwrap_or_else(|| panic!("no block: {text}"));
            // The line end that was put before the text, and those of 64 words.
            let spaces = before.matches([' ', '\n']).count();
            let may_speak = preface != Preface::Nothing;
            assert!(spaces <= 65 && (may_speak || before.trim().is_empty()), "{text}");
            assert!(preface != Preface::Ascii || before.is_ascii(), "{text}");
            assert!(code.ends_with("\n```") && code.matches("\n```").count() == 1, "{text}");
        }
    }
    assert_eq!(provider.holding(), Holding::Held);
}

#[tokio::test]
async fn answers_come_in_pieces_with_their_counts() {
    let provider = openai();
    let (pieces, ending) = answer(&provider, &request("Count from 1 to 10.", 40)).await.unwrap();
    assert!(pieces.len() > 5, "{pieces:?}");
    assert!(
        ending.prompt_tokens.is_some_and(|n| n > 10) && ending.answer_tokens.is_some_and(|n| n > 5),
        "{ending:?}"
    );
}

#[tokio::test]
async fn tokens_are_counted_exactly_before_a_call() {
    let provider = openai();
    let asked = request("fn main() { println!(\"größer 🦀\"); }", 4);
    let counted = provider.count(&asked.messages).await.expect("llama.cpp counts");
    let (_, ending) = answer(&provider, &asked).await.unwrap();
    let read = ending.prompt_tokens.unwrap();
    assert!(counted.abs_diff(read) <= 2, "{counted} counted, {read} read");
}

#[tokio::test]
async fn a_prefix_is_read_once() {
    let provider = openai();
    provider.window().await.unwrap();
    let mut asked = request(&format!("{}\nIs this long?", words(300)), 8);
    let (pieces, _) = answer(&provider, &asked).await.unwrap();
    asked.messages.push(Message { speaker: Speaker::Assistant, text: pieces.concat() });
    asked.messages.push(Message { speaker: Speaker::User, text: "Are you sure?".into() });
    let (_, ending) = answer(&provider, &asked).await.unwrap();
    let (sent, new) = (ending.prompt_tokens.unwrap(), ending.evaluated_tokens.unwrap());
    assert!(new * 4 < sent, "{new} of {sent} tokens were read again");
}

#[tokio::test]
async fn a_prompt_beyond_the_window_is_an_error() {
    let provider = openai();
    let window = provider.window().await.unwrap().expect("/props tells the window").tokens;
    let asked = request(&words(window as usize), 8);
    let end = answer(&provider, &asked).await;
    assert!(matches!(end, Err(ProviderError::Overflow { .. })), "{end:?}");
}

#[tokio::test]
async fn an_answer_that_is_dropped_frees_its_slot() {
    let provider = openai();
    let mut stream = provider.chat(&request("Write a very long story.", 1500)).await.unwrap();
    for _ in 0..3 {
        stream.next().await.expect("a piece").unwrap();
    }
    assert!(busy_slots() > 0, "the answer is running");
    drop(stream);
    let began = Instant::now();
    while busy_slots() > 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "the server still generates");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_messages_protocol_is_spoken() {
    let base = url();
    let base = base.trim_end_matches("/v1");
    let provider = Provider::Anthropic(Anthropic::new(base, None, "default", limits()).unwrap());
    let (pieces, ending) = answer(&provider, &request("Say hello.", 16)).await.unwrap();
    assert!(!pieces.concat().trim().is_empty());
    assert!(ending.prompt_tokens.is_some_and(|n| n > 10), "{ending:?}");
}

#[tokio::test]
async fn the_responses_api_is_spoken() {
    let quirks = Quirks { api: Api::Responses, ..Quirks::default() };
    let server = OpenAi::with_quirks(&url(), None, "default", limits(), quirks).unwrap();
    let provider = Provider::OpenAi(server);
    let mut asked = request("Count from 1 to 10.", 24);
    let (pieces, ending) = answer(&provider, &asked).await.unwrap();
    assert!(pieces.len() > 3, "{pieces:?}");
    let counts = (ending.prompt_tokens, ending.answer_tokens);
    assert!(matches!(counts, (Some(10..), Some(4..))), "{ending:?}");
    // What the model said goes back to it, as in a correction.
    asked.messages.push(Message { speaker: Speaker::Assistant, text: pieces.concat() });
    asked.messages.push(Message { speaker: Speaker::User, text: "Again.".into() });
    answer(&provider, &asked).await.unwrap();
}

/// Slots that are working, by `/slots`.
fn busy_slots() -> usize {
    let url = url();
    let host = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let mut socket = std::net::TcpStream::connect(&host).unwrap();
    write!(socket, "GET /slots HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    text.matches("\"is_processing\":true").count()
}
