//! Answers that are held to a grammar, by servers that do, do not, or say so and do not.

use super::super::super::Layout;
use super::*;

/// What llama.cpp says about itself, with a template.
fn props(template: &str) -> String {
    let generation = json!({"n_ctx": 4096});
    json!({"default_generation_settings": generation, "total_slots": 1, "build_info": "b1-x", "chat_template": template})
        .to_string()
}

const HEAD: &str = "a.py\n<<<<<<< SEARCH\n";

fn held_request() -> ChatRequest {
    let line = SearchLine { text: "x = 1".into(), fewest: Some(1) };
    let blocks = Searchable { files: vec!["a.py".into()], regions: vec![vec![line]] };
    ChatRequest { layout: Some(Layout::Blocks(blocks)), ..request("hello") }
}

/// A server of llama.cpp that says this to a chat with a grammar, and a block to one without.
async fn holding(status: u16, to_grammar: String) -> Server {
    Server::start(move |asked, mut wire| {
        let to_grammar = to_grammar.clone();
        async move {
            if asked.line == "GET /props" {
                return wire.whole(200, "application/json", props("").as_bytes()).await;
            }
            match asked.json()["grammar"].is_string() {
                true => wire.whole(status, "text/event-stream", to_grammar.as_bytes()).await,
                false => wire.whole(200, "text/event-stream", saying("free").as_bytes()).await,
            }
        }
    })
    .await
}

fn saying(text: &str) -> String {
    let event = json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]});
    format!("data: {event}\n\ndata: [DONE]\n\n")
}

/// What two answers say, whether each was asked for with a grammar, and what is known then.
async fn asked_twice(server: &Server) -> (Vec<String>, Vec<bool>, Holding) {
    let client = client(server);
    client.window().await.unwrap();
    assert_eq!(client.holding(), Holding::Held);
    let mut said = Vec::new();
    for _ in 0..2 {
        said.push(told(client.chat(&held_request()).await.unwrap()).await.unwrap().0);
    }
    let chats = server.asked().into_iter().filter(|asked| asked.line.starts_with("POST"));
    (said, chats.map(|asked| asked.json()["grammar"].is_string()).collect(), client.holding())
}

#[tokio::test]
async fn blocks_are_held_by_llama_cpp_alone() {
    let held = format!("{HEAD}x = 1\n=======\n>>>>>>> REPLACE");
    let server = holding(200, saying(&held)).await;
    let unprobed = client(&server);
    told(unprobed.chat(&held_request()).await.unwrap()).await.unwrap();
    let (said, grammars, last) = asked_twice(&server).await;
    assert_eq!(
        (grammars.as_slice(), last),
        (&[false, true, true][..], Holding::Held),
        "known once it is asked"
    );
    assert_eq!(said, [held.clone(), held]);
    let sent = server.last("POST /v1/chat/completions").json();
    assert_eq!(sent["grammar"], layout::gbnf(&held_request().layout.unwrap()).unwrap());
    assert!(sent["response_format"].is_null());
    // A schema says more than blocks.
    unprobed.window().await.unwrap();
    let schema = Some(Schema { name: "s".into(), json: json!({}) });
    told(unprobed.chat(&ChatRequest { schema, ..held_request() }).await.unwrap()).await.unwrap();
    let sent = server.last("POST /v1/chat/completions").json();
    assert!(sent["grammar"].is_null() && sent["response_format"].is_object(), "one that is not known here");
    let schema = Some(Schema { name: "s".into(), json: json!({"type": "null"}) });
    let known = ChatRequest { schema, ..held_request() };
    told(unprobed.chat(&known).await.unwrap()).await.unwrap();
    let sent = server.last("POST /v1/chat/completions").json();
    assert!(sent["grammar"].as_str().unwrap().contains("null") && sent["response_format"].is_null());
    assert_eq!(unprobed.with_model("other").unwrap().holding(), Holding::Held);
}

#[test]
fn models_that_think_first_and_other_servers_are_left_free() {
    let of = |props: &str| wire::props_holding(&serde_json::from_str(props).unwrap());
    assert_eq!(of(&props("{{ messages }}")), Holding::Held);
    for template in ["{{ '<think>\\n' }}", "<|channel|>analysis", "<|channel>thought", "[THINK]"] {
        assert_eq!(of(&props(template)), Holding::Unknown, "{template}");
    }
    for other in ["{}", r#"{"default_generation_settings":{"n_ctx":4096}}"#, r#"{"build_info":"b1"}"#] {
        assert_eq!(of(other), Holding::Unknown, "{other}");
    }
}

#[tokio::test]
async fn a_grammar_that_is_refused_is_left_out_once() {
    let error = r#"{"error":{"code":400,"message":"Failed to initialize samplers: failed to parse grammar","type":"invalid_request_error"}}"#;
    for (status, answer) in
        [(400, error.to_owned()), (200, format!("data: {error}\n\n")), (200, format!("error: {error}\n\n"))]
    {
        let server = holding(status, answer).await;
        let expected = (vec!["free".to_owned(); 2], vec![true, false, false], Holding::Refused);
        assert_eq!(asked_twice(&server).await, expected, "{status}");
    }
}

#[tokio::test]
async fn a_grammar_that_is_not_kept_is_left_out_then() {
    let thought =
        json!({"choices": [{"index": 0, "delta": {"reasoning_content": HEAD}, "finish_reason": "stop"}]});
    for (answer, text) in [(saying("Sure!"), "Sure!"), (format!("data: {thought}\n\n"), "")] {
        let server = holding(200, answer).await;
        let expected = (vec![text.to_owned(), "free".to_owned()], vec![true, false], Holding::Ignored);
        assert_eq!(asked_twice(&server).await, expected);
    }
    // Cut inside its first lines.
    let server = holding(200, saying(&HEAD[..9])).await;
    assert_eq!(asked_twice(&server).await.2, Holding::Held);
}

#[tokio::test]
async fn other_errors_are_not_taken_for_a_refused_grammar() {
    for (status, answer) in [
        (400, r#"{"error":{"message":"the image is broken"}}"#.to_owned()),
        (200, "data: {\"error\":{\"message\":\"out of memory\"}}\n\n".to_owned()),
    ] {
        let server = holding(status, answer).await;
        let client = client(&server);
        client.window().await.unwrap();
        let failed = match client.chat(&held_request()).await {
            Ok(stream) => told(stream).await.map(drop),
            Err(error) => Err(error),
        };
        let error = failed.expect_err("the server failed");
        assert!(matches!(error, ProviderError::Http { .. } | ProviderError::ServerError { .. }), "{error}");
        assert_eq!(client.holding(), Holding::Held);
        assert_eq!(server.asked().len(), 2, "nothing is asked again");
    }
}
