//! Several answers to one request, as llama.cpp's server sends them: mixed, each with counts of its own.

use futures::StreamExt as _;

use super::super::super::{ChatStream, Chunk};
use super::*;

/// What a server says about itself that has so many slots.
fn props(slots: u32) -> String {
    json!({"default_generation_settings": {"n_ctx": 4096}, "total_slots": slots, "build_info": "b1-x"})
        .to_string()
}

fn piece(number: u32, text: &str) -> String {
    let event = json!({"choices": [{"index": number, "delta": {"content": text}, "finish_reason": null}]});
    format!("data: {event}\n\n")
}

/// The end of an answer with its counts, of which the prompt's are those of all.
fn end(number: u32, reason: &str, tokens: u32) -> String {
    let event = json!({"choices": [{"index": number, "delta": {}, "finish_reason": reason}]});
    let counts = json!({
        "choices": [],
        "usage": {"prompt_tokens": 30, "completion_tokens": tokens},
        "timings": {"prompt_n": 10, "cache_n": 20, "predicted_n": tokens},
    });
    format!("data: {event}\n\ndata: {counts}\n\n")
}

const DONE: &str = "data: [DONE]\n\n";

/// A server with slots that says this, piece by piece, to who asks for several answers, and one to others.
async fn drawing(slots: u32, pieces: Vec<(u64, String)>) -> Server {
    Server::start(move |asked, mut wire| {
        let pieces = pieces.clone();
        async move {
            match asked.line.as_str() {
                "GET /props" => wire.whole(200, "application/json", props(slots).as_bytes()).await,
                _ if asked.json()["n"].is_u64() => {
                    wire.head(200, "text/event-stream").await;
                    for (wait, piece) in pieces {
                        tokio::time::sleep(Duration::from_millis(wait)).await;
                        wire.raw(piece.as_bytes()).await;
                    }
                }
                _ => {
                    let one = piece(0, "alone") + &end(0, "stop", 1) + DONE;
                    wire.whole(200, "text/event-stream", one.as_bytes()).await;
                }
            }
        }
    })
    .await
}

/// The first answer, the others, and the end.
async fn all(mut stream: ChatStream) -> Result<(String, Vec<String>, Ending), ProviderError> {
    let (mut first, mut further) = (String::new(), Vec::new());
    while let Some(chunk) = stream.next().await {
        match chunk? {
            Chunk::Text(text) => first.push_str(&text),
            Chunk::Further(text) => further.push(text),
            Chunk::Thinking(_) => {}
            Chunk::End(ending) => return Ok((first, further, ending)),
        }
    }
    panic!("no end")
}

async fn drawn(server: &Server, draws: u32) -> (String, Vec<String>, Ending) {
    let client = OpenAi::new(&format!("{}/v1", server.url), None, "m", hasty()).unwrap();
    client.window().await.unwrap();
    let stream = client.chat(&ChatRequest { draws, ..request("hello") }).await.unwrap();
    all_of(stream).await
}

#[tokio::test]
async fn mixed_answers_are_told_apart_and_counted_together() {
    let pieces = [
        piece(1, "on"),
        piece(0, "ze"),
        piece(2, "tw"),
        piece(1, "e"),
        end(1, "stop", 3),
        piece(3, "cut"),
        end(3, "length", 9),
        piece(0, "ro"),
        end(0, "stop", 4),
        piece(2, "o"),
        end(2, "stop", 5),
        DONE.to_owned(),
    ];
    let server = drawing(4, pieces.map(|piece| (0, piece)).to_vec()).await;
    let (first, further, ending) = drawn(&server, 4).await;
    assert_eq!((first.as_str(), further), ("zero", vec!["one".to_owned(), "two".to_owned()]));
    let counts = (ending.prompt_tokens, ending.evaluated_tokens, ending.answer_tokens);
    assert_eq!(counts, (Some(30), Some(10), Some(21)), "one prompt, the tokens of every answer");
    assert_eq!(server.last("POST /v1/chat/completions").json()["n"], 4);
}

#[tokio::test]
async fn one_answer_is_asked_for_as_ever() {
    let server = drawing(4, Vec::new()).await;
    assert_eq!(drawn(&server, 1).await.0, "alone");
    assert!(server.last("POST /v1/chat/completions").json()["n"].is_null());
}

#[tokio::test]
async fn as_many_as_there_are_slots_where_they_are_known() {
    let server = drawing(3, Vec::new()).await;
    let client = client(&server);
    assert_eq!(client.draws(), 1, "not known yet");
    client.window().await.unwrap();
    assert_eq!(client.draws(), 3);
    let other = answering(&[("GET /v1/models", r#"{"data":[{"id":"m","max_model_len":4096}]}"#)]).await;
    let client = self::client(&other);
    client.window().await.unwrap();
    assert_eq!(client.draws(), 1);
}

/// As llama.cpp's server was before it could.
#[tokio::test]
async fn a_server_that_refuses_several_is_asked_for_one_from_then_on() {
    let server = Server::start(|asked, mut wire| async move {
        match asked.line.as_str() {
            "GET /props" => wire.whole(200, "application/json", props(4).as_bytes()).await,
            _ if asked.json()["n"].is_u64() => {
                let error = br#"{"error":{"code":500,"message":"Only one completion choice is allowed"}}"#;
                wire.whole(500, "application/json", error).await;
            }
            _ => {
                let one = piece(0, "alone") + &end(0, "stop", 1) + DONE;
                wire.whole(200, "text/event-stream", one.as_bytes()).await;
            }
        }
    })
    .await;
    let client = client(&server);
    client.window().await.unwrap();
    for left in [1, 1] {
        let stream = client.chat(&ChatRequest { draws: 4, ..request("hello") }).await.unwrap();
        assert_eq!(told(stream).await.unwrap().0, "alone");
        assert_eq!(client.draws(), left);
    }
    let asked = server.asked().into_iter().filter(|asked| asked.line.starts_with("POST"));
    let several: Vec<bool> = asked.map(|asked| asked.json()["n"].is_u64()).collect();
    assert_eq!(several, [true, false, false]);
}

/// And more than were asked for are not taken.
#[tokio::test]
async fn a_server_may_send_fewer_or_more() {
    let one = piece(0, "zero") + &end(0, "stop", 1) + DONE;
    let server = drawing(4, vec![(0, one)]).await;
    assert_eq!(drawn(&server, 4).await.1, [""; 0]);
    let three = piece(0, "zero") + &piece(1, "one") + &piece(2, "two");
    let ends = end(2, "stop", 1) + &end(1, "stop", 1) + &end(0, "stop", 1) + DONE;
    let server = drawing(4, vec![(0, three + &ends)]).await;
    assert_eq!(drawn(&server, 2).await.1, ["one"]);
}

/// A model that goes round in one of them keeps the others for as long again, and no longer.
#[tokio::test]
async fn one_that_does_not_end_is_not_waited_for() {
    let endless = |number| std::iter::repeat_n((20, piece(number, "x")), 2000);
    let begin = vec![(0, piece(0, "zero") + &piece(1, "one")), (60, end(1, "stop", 1))];
    let pieces: Vec<_> = begin.into_iter().chain(endless(0)).collect();
    let (_, further, ending) = drawn(&drawing(2, pieces).await, 2).await;
    assert_eq!((further, ending.reason), (vec!["one".to_owned()], StopReason::Length));

    let begin = vec![(0, piece(0, "zero") + &piece(1, "one")), (60, end(0, "stop", 1))];
    let pieces: Vec<_> = begin.into_iter().chain(endless(1)).collect();
    let (first, further, ending) = drawn(&drawing(2, pieces).await, 2).await;
    assert_eq!((first.as_str(), further.len(), ending.reason), ("zero", 0, StopReason::Complete));
}

/// One that writes the same over and over is known by that, and the others are complete without it.
#[tokio::test]
async fn one_that_goes_round_in_circles_is_left_alone() {
    let endless =
        |number| std::iter::repeat_n((1, piece(number, "    elif asked: return 'Whatever.'\n")), 4000);
    let begin = vec![(0, piece(0, "zero") + &piece(1, "one") + &end(1, "stop", 1))];
    let later = (0, end(0, "stop", 1));
    let pieces: Vec<_> =
        begin.into_iter().chain(endless(2).take(30)).chain([later]).chain(endless(2)).collect();
    let began = std::time::Instant::now();
    let (first, further, ending) = drawn(&drawing(3, pieces).await, 3).await;
    assert_eq!(
        (first.as_str(), further, ending.reason),
        ("zero", vec!["one".to_owned()], StopReason::Complete)
    );
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

/// One that is short, since the model had nothing to say, does not end the others.
#[tokio::test]
async fn a_short_answer_leaves_the_others_time() {
    let all = (0..4).map(|number| piece(number, "x")).collect::<String>();
    let pieces = vec![
        (0, all),
        (100, end(3, "stop", 1)),
        (1_500, piece(0, "y") + &end(0, "stop", 2)),
        (100, piece(1, "y") + &end(1, "stop", 2) + &end(2, "stop", 2) + DONE),
    ];
    let server = drawing(4, pieces).await;
    let client = client(&server);
    client.window().await.unwrap();
    let stream = client.chat(&ChatRequest { draws: 4, ..request("hello") }).await.unwrap();
    let (first, further, ending) = all_of(stream).await;
    assert_eq!((first.as_str(), further.len(), ending.reason), ("xy", 3, StopReason::Complete));
}

async fn all_of(stream: ChatStream) -> (String, Vec<String>, Ending) {
    tokio::time::timeout(Duration::from_secs(20), all(stream)).await.expect("the answers end").unwrap()
}
