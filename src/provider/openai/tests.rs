//! Against servers of the tests' own over real sockets, honest and hostile ones.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::testing::{Server, Wire, hasty, limits, request, told};
use super::super::{
    Ending, Message, ModelKind, Provider, Schema, SearchLine, Searchable, Speaker, StopReason,
};
use super::*;

const TEXT: &str = "ï🦀“x”";

/// A stream as llama.cpp sends it: role, text, thinking, reason, counts.
fn stream() -> Vec<u8> {
    let event = |delta: Value, reason: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let mut events = vec![event(json!({"role": "assistant", "content": null}), Value::Null)];
    events.push(event(json!({"reasoning_content": "hm ü"}), Value::Null));
    events.extend(TEXT.chars().map(|c| event(json!({"content": c.to_string()}), Value::Null)));
    events.push(event(json!({}), json!("stop")));
    events.push(json!({"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 20}}, "timings": {"prompt_n": 10, "cache_n": 20, "predicted_n": 5}}));
    let mut text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    text.push_str("data: [DONE]\n\n");
    text.into_bytes()
}

fn client(server: &Server) -> OpenAi {
    OpenAi::new(&format!("{}/v1", server.url), None, "m", limits()).unwrap()
}

async fn ask(server: &Server) -> Result<(String, Ending), ProviderError> {
    told(client(server).chat(&request("hello")).await?).await
}

/// For servers that fall silent.
async fn ask_hastily(server: &Server) -> Result<(String, Ending), ProviderError> {
    let client = OpenAi::new(&format!("{}/v1", server.url), None, "m", hasty()).unwrap();
    told(client.chat(&request("hello")).await?).await
}

async fn fails(server: &Server) -> ProviderError {
    ask(server).await.expect_err("this cannot be an answer")
}

fn assert_complete(told: Result<(String, Ending), ProviderError>, what: &str) {
    let (text, ending) = told.unwrap_or_else(|error| panic!("{what}: {error}"));
    let counts = (ending.prompt_tokens, ending.evaluated_tokens, ending.answer_tokens);
    assert_eq!(
        (text.as_str(), ending.reason, counts),
        (TEXT, StopReason::Complete, (Some(30), Some(10), Some(5))),
        "{what}"
    );
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_arrives_whole() {
    let stream = stream();
    let server = Server::start(|asked, mut wire| async move {
        let stream = self::stream();
        let at: usize = asked.json()["messages"][0]["content"].as_str().unwrap().parse().unwrap();
        wire.chunked("text/event-stream").await;
        wire.part(&stream[..at]).await;
        // Gives the first part time to be read alone.
        tokio::task::yield_now().await;
        wire.part(&stream[at..]).await;
        wire.raw(b"0\r\n\r\n").await;
    })
    .await;
    let client = client(&server);
    // Chunks of nothing would end the body, so the first and the last byte are not split off.
    for at in 1..stream.len() - 1 {
        let stream = client.chat(&request(&at.to_string())).await.unwrap();
        assert_complete(told(stream).await, &format!("cut at byte {at}"));
    }
}

#[tokio::test]
async fn line_ends_comments_and_names_of_events_are_read() {
    let text = String::from_utf8(stream()).unwrap();
    let server = Server::saying(200, "text/event-stream", text.replace('\n', "\r\n")).await;
    assert_complete(ask(&server).await, "CRLF");
    let chatty =
        format!(": waiting\n\nretry: 5\n\n{}", text.replace("data:", "id: 4\nevent: message\ndata:"));
    let server = Server::saying(200, "text/event-stream", chatty).await;
    assert_complete(ask(&server).await, "comments and ids");
    let server = Server::saying(200, "", text.replace("data: [DONE]\n\n", "")).await;
    assert_complete(ask(&server).await, "no [DONE], no content type");
    let unfinished = text.replace("data: [DONE]\n\n", "");
    let server = Server::saying(200, "text/event-stream", unfinished.trim_end()).await;
    assert_complete(ask(&server).await, "no last line end");
}

#[tokio::test]
async fn the_request_holds_schema_window_and_no_key() {
    let server = Server::saying(200, "text/event-stream", stream()).await;
    let mut asked = request("question");
    asked.messages.insert(0, Message { speaker: Speaker::System, text: "rules".into() });
    asked.schema = Some(Schema {
        name: "plan".into(),
        json: json!({"type": "object", "properties": {"z": {}, "a": {}}}),
    });
    told(client(&server).chat(&asked).await.unwrap()).await.unwrap();
    let sent = server.last("POST /v1/chat/completions");
    assert!(!sent.headers.contains("authorization"), "{}", sent.headers);
    let body = sent.json();
    assert_eq!(
        body["messages"],
        json!([{"role": "system", "content": "rules"}, {"role": "user", "content": "question"}])
    );
    assert_eq!(body["response_format"]["json_schema"]["strict"], json!(true));
    assert!(sent.body.contains(r#"{"z":{},"a":{}}"#), "the schema keeps its order: {}", sent.body);
    assert_eq!((&body["stream"], &body["max_tokens"], &body["seed"]), (&json!(true), &json!(100), &json!(7)));
    assert_eq!(
        (&body["stream_options"]["include_usage"], &body["cache_prompt"]),
        (&json!(true), &json!(true))
    );
}

#[tokio::test]
async fn a_key_is_sent_and_never_shown() {
    let server = Server::saying(
        401,
        "application/json",
        r#"{"error":{"message":"bad key sk-secret","code":"invalid_api_key"}}"#,
    )
    .await;
    let client = OpenAi::new(&server.url, Some("sk-secret".to_owned().into()), "m", limits()).unwrap();
    let error = client.chat(&request("x")).await.unwrap_err();
    assert!(server.last("POST /chat/completions").headers.contains("authorization: bearer sk-secret"));
    let shown = format!("{error} {error:?} {client:?} {:?}", Provider::OpenAi(client.clone()));
    assert!(
        !shown.contains("sk-secret") && shown.contains("[key]") && shown.contains("Check the API key"),
        "{shown}"
    );
    let broken = OpenAi::new(&server.url, Some("a\nb".to_owned().into()), "m", limits());
    assert!(matches!(broken, Err(ProviderError::Address { .. })));
}

#[tokio::test]
async fn an_error_in_mid_stream_is_an_error() {
    let begun = |rest: &str| {
        let text = String::from_utf8(stream()).unwrap();
        let at = text.find("data: {\"choices\":[{\"index\":0,\"delta\":{}").unwrap();
        format!("{}{rest}", &text[..at])
    };
    for rest in [
        "data: {\"error\":{\"message\":\"out of memory\",\"code\":500}}\n\n",
        "event: error\ndata: {\"message\":\"out of memory\"}\n\n",
        "event: error\ndata: {\"error\":\"out of memory\"}\n\n",
        "event: error\ndata: out of memory\n\n",
        "error: {\"code\":500,\"message\":\"out of memory\"}\n\n",
    ] {
        let server = Server::saying(200, "text/event-stream", begun(rest)).await;
        match fails(&server).await {
            ProviderError::ServerError { message, .. } => assert_eq!(message, "out of memory", "{rest}"),
            other => panic!("{rest}: {other}"),
        }
    }
    let full = r#"data: {"error":{"type":"exceed_context_size_error","message":"too long","n_prompt_tokens":9,"n_ctx":8}}"#;
    let server = Server::saying(200, "text/event-stream", begun(full)).await;
    assert!(matches!(
        fails(&server).await,
        ProviderError::Overflow { prompt_tokens: Some(9), window: Some(8), .. }
    ));
}

#[tokio::test]
async fn a_server_that_goes_away_is_noticed_at_every_byte() {
    let stream = stream();
    let reason = String::from_utf8_lossy(&stream).find("\"stop\"}]").unwrap();
    for at in (0..reason).step_by(97) {
        let part = stream[..at].to_vec();
        let server = Server::start(move |_, mut wire| {
            let part = part.clone();
            async move {
                wire.chunked("text/event-stream").await;
                wire.part(&part).await;
            }
        })
        .await;
        assert!(matches!(fails(&server).await, ProviderError::EndedEarly { .. }), "chunked, gone at {at}");
        let server = Server::saying(200, "text/event-stream", &stream[..at]).await;
        assert!(matches!(fails(&server).await, ProviderError::EndedEarly { .. }), "unframed, gone at {at}");
    }
    let server = Server::start(|_, wire| async move { drop(wire) }).await;
    assert!(matches!(fails(&server).await, ProviderError::Unreachable { .. }), "no answer at all");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let client = OpenAi::new(&url, None, "m", limits()).unwrap();
    let error = client.chat(&request("x")).await.unwrap_err();
    assert!(
        matches!(&error, ProviderError::Unreachable { url: at, cause } if *at == url && cause.contains("refused")),
        "{error}"
    );
}

#[tokio::test]
async fn the_first_token_may_take_longer_than_any_later_one() {
    let server = Server::start(|_, mut wire| async move {
        let stream = stream();
        wire.chunked("text/event-stream").await;
        wire.part(b": processing\n\n").await;
        tokio::time::sleep(hasty().stall + Duration::from_millis(40)).await;
        wire.part(&stream[..500]).await;
        wire.closed().await;
    })
    .await;
    // The second silence is the same length, and an error.
    let error = ask_hastily(&server).await.unwrap_err();
    assert!(matches!(error, ProviderError::Stalled { .. }), "{error}");
}

#[tokio::test]
async fn counts_that_never_come_are_not_waited_for() {
    let server = Server::start(|_, mut wire| async move {
        let text = String::from_utf8(stream()).unwrap();
        let at = text.find("data: {\"choices\":[],").unwrap();
        wire.chunked("text/event-stream").await;
        wire.part(&text.as_bytes()[..at]).await;
        wire.closed().await;
    })
    .await;
    let (text, ending) = ask_hastily(&server).await.map_err(|error| error.to_string()).unwrap();
    assert_eq!((text.as_str(), ending.prompt_tokens), (TEXT, None));
}

#[tokio::test]
async fn nonsense_is_named() {
    let page = "<!DOCTYPE html><html><title>Welcome</title></html>";
    for kind in ["text/html; charset=utf-8", "text/event-stream", ""] {
        let server = Server::saying(200, kind, page).await;
        let error = fails(&server).await;
        assert!(
            matches!(&error, ProviderError::Protocol { what, .. } if what.contains("an HTML page")),
            "{kind}: {error}"
        );
    }
    let server = Server::saying(200, "text/event-stream", "data: {\"choices\": 7}\n\n").await;
    assert!(matches!(fails(&server).await, ProviderError::Protocol { .. }));
    let server = Server::saying(200, "text/event-stream", "data: nonsense\n\n").await;
    assert!(matches!(fails(&server).await, ProviderError::Protocol { .. }));
    let server = Server::saying(200, "text/event-stream", b"data: \xff\xfe\n\n".to_vec()).await;
    assert!(matches!(fails(&server).await, ProviderError::Protocol { .. }));
    let server = Server::saying(200, "application/json", r#"{"error": "no model loaded"}"#).await;
    assert!(
        matches!(fails(&server).await, ProviderError::ServerError { message, .. } if message == "no model loaded")
    );
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let answer = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "length"}], "usage": {"prompt_tokens": 4, "completion_tokens": 2}});
    let server =
        Server::saying(200, "application/json", serde_json::to_string_pretty(&answer).unwrap()).await;
    let (text, ending) = ask(&server).await.unwrap();
    assert_eq!((text.as_str(), ending.reason, ending.prompt_tokens), ("whole", StopReason::Length, Some(4)));
}

#[tokio::test]
async fn refusals_are_told_apart_and_asked_once() {
    let overflow = r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}"#;
    let server = Server::saying(400, "application/json", overflow).await;
    assert!(matches!(
        fails(&server).await,
        ProviderError::Overflow { prompt_tokens: Some(5000), window: Some(4096), .. }
    ));
    let server =
        Server::saying(503, "application/json", r#"{"error":{"code":503,"message":"Loading model"}}"#).await;
    let error = fails(&server).await;
    assert!(
        matches!(&error, ProviderError::Busy { status: 503, message, .. } if message == "Loading model"),
        "{error}"
    );
    assert_eq!(server.asked().len(), 1, "nothing is retried behind our back");
    let server = Server::saying(500, "text/html", "<html><title>Oops</title>").await;
    assert!(
        matches!(fails(&server).await, ProviderError::Http { status: 500, body, .. } if body.contains("Oops"))
    );
    let server = Server::saying(
        404,
        "application/json",
        r#"{"error":{"message":"The model `m` does not exist","code":"model_not_found"}}"#,
    )
    .await;
    assert!(matches!(fails(&server).await, ProviderError::NoModel { model, .. } if model == "m"));
    let server = Server::start(|_, mut wire| async move {
        wire.raw(b"HTTP/1.1 429 Slow\r\nretry-after: 3600\r\ncontent-length: 4\r\n\r\nbusy").await;
    })
    .await;
    let start = Instant::now();
    assert!(matches!(fails(&server).await, ProviderError::Busy { status: 429, retry_after: Some(3600), .. }));
    assert!(start.elapsed() < Duration::from_secs(10), "an hour is not waited for");
}

#[tokio::test]
async fn a_redirect_is_refused() {
    let elsewhere = Server::saying(200, "text/event-stream", stream()).await;
    let to = format!("{}/v1/chat/completions", elsewhere.url.replace("http://", "http://user:secret@"));
    let server = Server::start(move |_, mut wire| {
        let to = to.clone();
        async move {
            wire.raw(format!("HTTP/1.1 307 There\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .await
        }
    })
    .await;
    let error = fails(&server).await;
    assert!(matches!(&error, ProviderError::Redirect { .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(elsewhere.asked().is_empty(), "the prompt went to a place that nobody gave");
}

#[tokio::test]
async fn an_endless_stream_ends() {
    async fn forever(mut wire: Wire, line: String) {
        wire.head(200, "text/event-stream").await;
        let many = line.repeat(1 + 60_000 / line.len());
        for _ in 0..1000 {
            wire.raw(many.as_bytes()).await;
        }
    }
    let text = |content: &str| format!("data: {}\n\n", json!({"choices": [{"delta": {"content": content}}]}));
    let said = text(&"la ".repeat(40));
    let server = Server::start(move |_, wire| forever(wire, said.clone())).await;
    let (_, ending) = ask(&server).await.unwrap();
    assert_eq!(ending.reason, StopReason::Length, "a server that ignores the limit is cut");
    for line in [text(""), ": alive\n".to_owned(), "x".to_owned(), "data: \"".to_owned(), "\n".to_owned()] {
        let server = Server::start(move |_, wire| forever(wire, line.clone())).await;
        let error = fails(&server).await;
        assert!(matches!(&error, ProviderError::Protocol { .. }), "{error}");
    }
}

#[tokio::test]
async fn dropping_an_answer_closes_the_connection() {
    let (closed, mut notice) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |_, mut wire| {
        let closed = closed.clone();
        async move {
            wire.chunked("text/event-stream").await;
            wire.part(&stream()[..500]).await;
            wire.closed().await;
            let _ = closed.send(());
        }
    })
    .await;
    let client = client(&server);
    let mut running = client.chat(&request("x")).await.unwrap();
    assert!(running.next().await.unwrap().is_ok());
    let start = Instant::now();
    drop(running);
    tokio::time::timeout(Duration::from_secs(5), notice.recv()).await.expect("the connection is closed");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn dropping_the_wait_for_an_answer_closes_the_connection() {
    let (closed, mut notice) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |_, wire| {
        let closed = closed.clone();
        async move {
            wire.closed().await;
            let _ = closed.send(());
        }
    })
    .await;
    let client = client(&server);
    let waited = tokio::time::timeout(Duration::from_millis(60), client.chat(&request("x"))).await;
    assert!(waited.is_err(), "there is no answer");
    tokio::time::timeout(Duration::from_secs(5), notice.recv()).await.expect("the connection is closed");
}

/// A server with these answers for these paths.
async fn answering(answers: &'static [(&'static str, &'static str)]) -> Server {
    Server::start(move |asked, mut wire| async move {
        match answers.iter().find(|(line, _)| *line == asked.line) {
            Some((_, body)) => wire.whole(200, "application/json", body.as_bytes()).await,
            None => wire.whole(404, "text/plain", b"404 page not found").await,
        }
    })
    .await
}

#[tokio::test]
async fn models_and_window_of_llama_cpp() {
    let server = answering(&[
        ("GET /props", r#"{"default_generation_settings":{"n_ctx":4096},"total_slots":1}"#),
        ("GET /v1/models", r#"{"object":"list","data":[{"id":"m.gguf","object":"model","owned_by":"llamacpp","meta":{"n_ctx":4096,"n_ctx_train":32768,"size":98}},{"id":"idle","owned_by":"llamacpp","status":{"value":"unloaded"},"meta":null}]}"#),
    ])
    .await;
    let client = client(&server);
    let window = client.window().await.unwrap().unwrap();
    assert_eq!(
        (window.tokens, window.kind, window.ask(None), window.ask(Some(2048))),
        (4096, WindowKind::Fixed, 4096, 2048)
    );
    let models = client.models().await.unwrap();
    assert_eq!(
        (models[0].name.as_str(), models[0].bytes, models[0].loaded, models[0].window),
        ("m.gguf", Some(98), true, Some(4096))
    );
}

#[tokio::test]
async fn models_and_window_of_lm_studio() {
    let server = answering(&[
        ("GET /props", r#"{"error":"Unexpected endpoint or method. (GET /props)"}"#),
        (
            "GET /api/v0/models",
            r#"{"object":"list","data":[{"id":"m","type":"llm","state":"loaded","max_context_length":32768,"loaded_context_length":4096},{"id":"other","type":"llm","state":"not-loaded","max_context_length":8192},{"id":"nomic","type":"embeddings","state":"not-loaded","max_context_length":2048}]}"#,
        ),
    ])
    .await;
    assert_eq!(client(&server).window().await.unwrap().unwrap().tokens, 4096);
    let idle = OpenAi::new(&format!("{}/v1", server.url), None, "other", limits()).unwrap();
    assert_eq!(idle.window().await.unwrap(), None, "its window is not known before it is loaded");
    let models = client(&server).models().await.unwrap();
    assert_eq!(
        models.iter().map(|model| (model.loaded, model.kind)).collect::<Vec<_>>(),
        [(true, ModelKind::Chat), (false, ModelKind::Chat), (false, ModelKind::Embedding)]
    );
}

#[tokio::test]
async fn models_and_window_of_vllm() {
    let server = answering(&[(
        "GET /v1/models",
        r#"{"object":"list","data":[{"id":"m","owned_by":"vllm","max_model_len":16384}]}"#,
    )])
    .await;
    assert_eq!(client(&server).window().await.unwrap().unwrap().tokens, 16384);
    assert!(client(&server).models().await.unwrap()[0].loaded);
}

#[tokio::test]
async fn a_missing_model_is_answered_with_those_there_are() {
    let server = Server::start(|asked, mut wire| async move {
        match asked.line.as_str() {
            "GET /v1/models" => {
                wire.whole(200, "application/json", br#"{"data":[{"id":"qwen"},{"id":"llama"}]}"#).await
            }
            "POST /v1/chat/completions" => {
                let error = br#"{"error":{"message":"The model `m` does not exist","code":404}}"#;
                wire.whole(404, "application/json", error).await;
            }
            _ => wire.whole(404, "text/plain", b"404 page not found").await,
        }
    })
    .await;
    let error = fails(&server).await;
    assert!(error.to_string().contains("no model `m`. It has: qwen, llama"), "{error}");
}

#[tokio::test]
async fn a_list_that_is_none_is_an_error() {
    let server = answering(&[("GET /v1/models", r#"{"welcome": "to my router"}"#)]).await;
    assert!(matches!(client(&server).models().await, Err(ProviderError::Protocol { .. })));
    let server = Server::saying(200, "text/html", "<html><title>Router</title>").await;
    let error = client(&server).models().await.unwrap_err();
    assert!(error.to_string().contains("Router"), "{error}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Whatever comes, the guard passes on lines that `async-openai` can read, and stops.
    #[test]
    fn no_bytes_upset_the_guard(parts in proptest::collection::vec(sse_like(), 0..20)) {
        let passed = transport::guarded_bytes(parts, 200);
        proptest::prop_assert!(passed.is_empty() || passed.ends_with(b"\n"));
    }
}

/// Bytes that are close to an event stream.
fn sse_like() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let known: Vec<&'static [u8]> = vec![
        b"data: {}",
        b"data:",
        b"event: error",
        b"error: x",
        b"\n",
        b"\r\n",
        b"\n\n",
        b": c",
        b"<html>",
        b"{\"a\":",
        b"\xff",
        b"da",
    ];
    prop_oneof![
        prop::sample::select(known).prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..6)
    ]
}

mod draws;
mod holding;
mod without_our_transport;

#[test]
fn nothing_is_read_ahead_on_the_machines_of_others() {
    let kept = |url: &str| {
        let openai = OpenAi::new(url, None, "m", limits()).unwrap();
        (Provider::OpenAi(openai).prompts_kept(), url.to_owned())
    };
    for (url, expected) in [("http://127.0.0.1:1/v1", 1), ("http://192.168.1.7:8080/v1", 0)] {
        assert_eq!(kept(url), (expected, url.to_owned()));
    }
}
