//! Against servers of the tests' own over real sockets, honest and hostile ones.

use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::json;

use super::super::testing::{Asked, Server, Wire, hasty, limits, request, told};
use super::super::{ModelKind, Schema};
use super::*;

const TEXT: &str = "ï🦀“x”";
const SHOW: &str = r#"{"capabilities":["completion"],"model_info":{"general.architecture":"qwen2","qwen2.context_length":32768,"qwen2.embedding_length":1536}}"#;

fn line(text: &str) -> String {
    json!({"model": "m", "created_at": "2025-01-01T00:00:00Z", "message": {"role": "assistant", "content": text}, "done": false}).to_string() + "\n"
}

fn last(reason: &str) -> String {
    json!({"model": "m", "created_at": "2025-01-01T00:00:00Z", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": reason, "total_duration": 5, "load_duration": 1, "prompt_eval_count": 30, "prompt_eval_duration": 1, "eval_count": 5, "eval_duration": 1}).to_string() + "\n"
}

fn stream() -> String {
    let mut text =
        json!({"message": {"role": "assistant", "content": "", "thinking": "hm ü"}, "done": false})
            .to_string();
    text.push('\n');
    text.extend(TEXT.chars().map(|c| line(&c.to_string())));
    text + &last("stop")
}

/// A server whose chat is the given function, and whose other answers are those of an honest one.
async fn chatting<F, Fut>(chat: F) -> Server
where
    F: Fn(Asked, Wire) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let chat = Arc::new(chat);
    Server::start(move |asked, mut wire| {
        let chat = chat.clone();
        async move {
            match asked.line.as_str() {
                "POST /api/chat" => chat(asked, wire).await,
                "POST /api/show" => wire.whole(200, "application/json", SHOW.as_bytes()).await,
                "GET /api/tags" => {
                    let tags = r#"{"models":[{"name":"qwen:7b","modified_at":"x","size":7},{"name":"nomic-embed-text:latest","modified_at":"x","size":1}]}"#;
                    wire.whole(200, "application/json", tags.as_bytes()).await;
                }
                "GET /api/ps" => {
                    let running = r#"{"models":[{"name":"qwen:7b","context_length":4096,"size":10,"size_vram":4}]}"#;
                    wire.whole(200, "application/json", running.as_bytes()).await;
                }
                _ => wire.whole(404, "text/plain", b"404 page not found").await,
            }
        }
    })
    .await
}

async fn saying(status: u16, body: impl Into<String>) -> Server {
    let body = body.into();
    chatting(move |_, mut wire| {
        let body = body.clone();
        async move { wire.whole(status, "application/x-ndjson", body.as_bytes()).await }
    })
    .await
}

fn client(server: &Server) -> Ollama {
    Ollama::new(&server.url, "m", limits()).unwrap()
}

async fn ask(server: &Server) -> Result<(String, Ending), ProviderError> {
    told(client(server).chat(&request("hello")).await?).await
}

/// For servers that fall silent.
async fn ask_hastily(server: &Server) -> Result<(String, Ending), ProviderError> {
    let client = Ollama::new(&server.url, "m", hasty()).unwrap();
    told(client.chat(&request("hello")).await?).await
}

async fn fails(server: &Server) -> ProviderError {
    ask(server).await.expect_err("this cannot be an answer")
}

fn assert_complete(told: Result<(String, Ending), ProviderError>, what: &str) {
    let (text, ending) = told.unwrap_or_else(|error| panic!("{what}: {error}"));
    let counts = (ending.prompt_tokens, ending.answer_tokens);
    assert_eq!(
        (text.as_str(), ending.reason, counts),
        (TEXT, StopReason::Complete, (Some(30), Some(5))),
        "{what}"
    );
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_arrives_whole() {
    let server = chatting(|asked, mut wire| async move {
        let stream = stream();
        let at: usize = asked.json()["messages"][0]["content"].as_str().unwrap().parse().unwrap();
        wire.chunked("application/x-ndjson").await;
        wire.part(&stream.as_bytes()[..at]).await;
        tokio::task::yield_now().await;
        wire.part(&stream.as_bytes()[at..]).await;
        wire.raw(b"0\r\n\r\n").await;
    })
    .await;
    let client = client(&server);
    for at in 1..stream().len() - 1 {
        let stream = client.chat(&request(&at.to_string())).await.unwrap();
        assert_complete(told(stream).await, &format!("cut at byte {at}"));
    }
}

#[tokio::test]
async fn the_end_counts_and_not_the_line_end() {
    assert_complete(ask(&saying(200, stream().trim_end()).await).await, "no last line end");
    assert_complete(ask(&saying(200, stream().replace('\n', "\r\n\r\n")).await).await, "blank lines");
    assert_complete(ask(&saying(200, stream() + "trailing nonsense\n").await).await, "text after the end");
    let (_, ending) = ask(&saying(200, line("x") + &last("length")).await).await.unwrap();
    assert_eq!(ending.reason, StopReason::Length);
    let old = json!({"message": {"content": "x"}, "done": true, "eval_count": 100}).to_string();
    let (text, ending) = ask(&saying(200, old).await).await.unwrap();
    assert_eq!(
        (text.as_str(), ending.reason, ending.prompt_tokens),
        ("x", StopReason::Length, None),
        "text and end in one line"
    );
}

#[tokio::test]
async fn the_request_holds_window_schema_and_no_cut() {
    let server = saying(200, stream()).await;
    let mut asked = request("question");
    asked.schema = Some(Schema {
        name: "plan".into(),
        json: json!({"type": "object", "properties": {"z": {}, "a": {}}}),
    });
    asked.seed = Some(u32::MAX);
    told(client(&server).chat(&asked).await.unwrap()).await.unwrap();
    let sent = server.last("POST /api/chat");
    let body = sent.json();
    let options = &body["options"];
    assert_eq!(
        (&options["num_ctx"], &options["num_predict"], &options["seed"]),
        (&json!(4096), &json!(100), &json!(i32::MAX))
    );
    assert_eq!(
        (&body["stream"], &body["truncate"], &body["shift"]),
        (&json!(true), &json!(false), &json!(false))
    );
    assert_eq!((&body["keep_alive"], body.get("think")), (&json!("30m"), None));
    assert!(
        sent.body.contains(r#""properties":{"z":{},"a":{}}"#),
        "the schema keeps its order: {}",
        sent.body
    );
    assert_eq!(body["messages"][0]["content"], json!("question"));
}

#[tokio::test]
async fn only_a_model_that_thinks_is_told_not_to() {
    let server = Server::start(|asked, mut wire| async move {
        if asked.line == "POST /api/show" {
            wire.whole(200, "application/json", br#"{"capabilities":["completion","thinking"]}"#).await;
        } else {
            wire.whole(200, "application/x-ndjson", stream().as_bytes()).await;
        }
    })
    .await;
    let client = client(&server);
    for _ in 0..2 {
        told(client.chat(&request("x")).await.unwrap()).await.unwrap();
    }
    assert_eq!(server.last("POST /api/chat").json()["think"], json!(false));
    assert_eq!(server.asked().iter().filter(|asked| asked.line == "POST /api/show").count(), 1, "asked once");
    assert_eq!(client.window().await.unwrap(), None);
}

#[tokio::test]
async fn a_server_that_cannot_show_can_still_chat() {
    let server = Server::start(|asked, mut wire| async move {
        match asked.line.as_str() {
            "POST /api/chat" => wire.whole(200, "application/x-ndjson", stream().as_bytes()).await,
            _ => wire.whole(404, "text/plain", b"404 page not found").await,
        }
    })
    .await;
    assert_complete(ask(&server).await, "no /api/show");
}

#[tokio::test]
async fn an_error_in_mid_stream_is_an_error() {
    let server = saying(200, line("par") + "{\"error\":\"llama runner process has terminated\"}\n").await;
    assert!(
        matches!(fails(&server).await, ProviderError::ServerError { message, .. } if message.contains("terminated"))
    );
    let server = saying(200, line("par") + "{\"error\":\"gone\"}").await;
    assert!(matches!(fails(&server).await, ProviderError::ServerError { message, .. } if message == "gone"));
}

#[tokio::test]
async fn a_server_that_goes_away_is_noticed_at_every_byte() {
    let stream = stream();
    let end = stream.find("\"done\":true").unwrap();
    for at in (0..end).step_by(61) {
        let part = stream.as_bytes()[..at].to_vec();
        let server = chatting(move |_, mut wire| {
            let part = part.clone();
            async move {
                wire.chunked("application/x-ndjson").await;
                wire.part(&part).await;
            }
        })
        .await;
        assert!(matches!(fails(&server).await, ProviderError::EndedEarly { .. }), "chunked, gone at {at}");
    }
    let boundary = stream.find('\n').unwrap() + 1;
    let server = saying(200, &stream[..boundary]).await;
    assert!(matches!(fails(&server).await, ProviderError::EndedEarly { .. }), "unframed");
    let server = chatting(|_, wire| async move { drop(wire) }).await;
    assert!(matches!(fails(&server).await, ProviderError::Unreachable { .. }), "no answer at all");
}

#[tokio::test]
async fn the_first_token_may_take_longer_than_any_later_one() {
    let server = chatting(|_, mut wire| async move {
        wire.chunked("application/x-ndjson").await;
        tokio::time::sleep(hasty().stall + Duration::from_millis(40)).await;
        wire.part(line("x").as_bytes()).await;
        wire.closed().await;
    })
    .await;
    assert!(matches!(ask_hastily(&server).await, Err(ProviderError::Stalled { .. })));
}

#[tokio::test]
async fn nonsense_is_named() {
    let server = saying(200, "<!DOCTYPE html><title>Router</title>\n").await;
    assert!(
        matches!(fails(&server).await, ProviderError::Protocol { what, .. } if what.contains("an HTML page, “Router”"))
    );
    let server = saying(200, "{\"message\": 7}\n").await;
    assert!(matches!(fails(&server).await, ProviderError::Protocol { .. }));
    let server = chatting(|_, mut wire| async move {
        wire.whole(200, "application/x-ndjson", b"{\"message\":{\"content\":\"\xff\"}}\n").await
    })
    .await;
    assert!(matches!(fails(&server).await, ProviderError::Protocol { .. }));
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let inner = r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}"#;
    let server = saying(400, json!({"error": inner}).to_string()).await;
    assert!(matches!(
        fails(&server).await,
        ProviderError::Overflow { prompt_tokens: Some(5000), window: Some(4096), .. }
    ));
    let server =
        saying(503, r#"{"error":"server busy, please try again. maximum pending requests exceeded"}"#).await;
    assert!(matches!(fails(&server).await, ProviderError::Busy { status: 503, .. }));
    let server = saying(404, r#"{"error":"model 'm' not found"}"#).await;
    let error = fails(&server).await;
    assert!(
        matches!(&error, ProviderError::NoModel { available, .. } if *available == ["nomic-embed-text:latest", "qwen:7b"]),
        "{error}"
    );
    assert!(error.to_string().contains("It has: nomic-embed-text:latest, qwen:7b"), "{error}");
}

#[tokio::test]
async fn a_model_that_is_not_there_is_known_before_the_chat() {
    let server = Server::start(|asked, mut wire| async move {
        match asked.line.as_str() {
            "POST /api/show" => {
                wire.whole(404, "application/json", br#"{"error":"model 'm' not found"}"#).await
            }
            "GET /api/tags" => wire.whole(200, "application/json", br#"{"models":[]}"#).await,
            _ => panic!("{}", asked.line),
        }
    })
    .await;
    let error = fails(&server).await;
    assert!(matches!(&error, ProviderError::NoModel { available, .. } if available.is_empty()), "{error}");
    assert!(error.to_string().contains("Load one there first"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_refused() {
    let elsewhere = saying(200, stream()).await;
    let to = elsewhere.url.clone();
    let server = Server::start(move |asked, mut wire| {
        let to = to.clone();
        async move {
            let path = asked.line.split_once(' ').map_or("", |(_, path)| path);
            wire.raw(
                format!("HTTP/1.1 308 There\r\nlocation: {to}{path}\r\ncontent-length: 0\r\n\r\n").as_bytes(),
            )
            .await;
        }
    })
    .await;
    assert!(matches!(fails(&server).await, ProviderError::Redirect { .. }));
    assert!(client(&server).models().await.is_err());
    assert!(elsewhere.asked().is_empty(), "neither prompts nor questions go elsewhere");
}

#[tokio::test]
async fn an_endless_stream_ends() {
    let forever = |line: String| {
        chatting(move |_, mut wire| {
            let many = line.repeat(1 + 60_000 / line.len());
            async move {
                wire.head(200, "application/x-ndjson").await;
                for _ in 0..1000 {
                    wire.raw(many.as_bytes()).await;
                }
            }
        })
    };
    let (_, ending) = ask(&forever(line(&"la ".repeat(40))).await).await.unwrap();
    assert_eq!(ending.reason, StopReason::Length);
    for nothing in [line(""), "\n".to_owned(), "{".to_owned()] {
        assert!(matches!(fails(&forever(nothing).await).await, ProviderError::Protocol { .. }));
    }
}

#[tokio::test]
async fn dropping_an_answer_closes_the_connection() {
    let (closed, mut notice) = tokio::sync::mpsc::unbounded_channel();
    let server = chatting(move |_, mut wire| {
        let closed = closed.clone();
        async move {
            wire.chunked("application/x-ndjson").await;
            wire.part(line("x").as_bytes()).await;
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
async fn models_and_window() {
    let server = saying(200, stream()).await;
    let client = client(&server);
    let window = client.window().await.unwrap().unwrap();
    assert_eq!((window.tokens, window.kind), (32768, WindowKind::Maximum));
    assert_eq!((window.ask(None), window.ask(Some(4096)), window.ask(Some(1 << 20))), (8192, 4096, 32768));
    let models = client.models().await.unwrap();
    assert_eq!(
        (models[0].name.as_str(), models[0].loaded, models[0].window, models[0].bytes),
        ("qwen:7b", true, Some(4096), Some(7))
    );
    assert_eq!(models[0].memory, Some(Memory { bytes: 10, on_gpu: 4 }));
    assert_eq!((models[1].kind, models[1].loaded), (ModelKind::Embedding, false));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Whatever bytes come in whatever parts, an answer ends in one end or one error.
    #[test]
    fn no_bytes_upset_the_decoder(parts in proptest::collection::vec(ndjson_like(), 0..20)) {
        let body = futures::stream::iter(parts.into_iter().map(Ok));
        let mut answer = Answer { lines: Lines::new(body, 300), url: String::new(), answer_limit: 10, ready: Vec::new() };
        let chunks = futures::stream::poll_fn(move |context| std::pin::pin!(answer.next()).poll(context));
        let stream = ChatStream::watched(chunks, "", limits(), 10);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let items: Vec<_> = runtime.block_on(stream.collect());
        let (last, before) = items.split_last().expect("never nothing");
        proptest::prop_assert!(matches!(last, Err(_) | Ok(Chunk::End(_))));
        proptest::prop_assert!(before.iter().all(|item| matches!(item, Ok(Chunk::Text(_) | Chunk::Thinking(_)))));
    }
}

/// Bytes that are close to an answer.
fn ndjson_like() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let known: Vec<&'static [u8]> = vec![
        b"{\"message\":{\"content\":\"x\"}}",
        b"{\"message\":{\"thinking\":\"x\"},\"done\":true}",
        b"{\"error\":1}",
        b"{\"message\":",
        b"{}",
        b"\n",
        b"\r\n",
        b"\xff",
    ];
    prop_oneof![4 => prop::sample::select(known).prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 0..6)]
}

/// What `ollama-rs` 0.3.6 does with a stream. When one of these fails, it has been mended, and its
/// decoder can take the place of ours as far as that defect goes.
mod without_our_decoder {
    use super::*;

    async fn told(server: &Server) -> Vec<Result<String, ()>> {
        http::install_cryptography();
        let http = ollama_http::Client::builder().no_proxy().build().unwrap();
        let url = ollama_http::Url::parse(&server.url).unwrap();
        let api = ollama_rs::Ollama::builder().url(url).reqwest_client(http).build();
        let asked = ChatMessageRequest::new("m".to_owned(), vec![ChatMessage::user("x".to_owned())]);
        let stream = api.send_chat_messages_stream(asked).await.unwrap();
        stream.map(|item| item.map(|reply| reply.message.content)).collect().await
    }

    #[tokio::test]
    async fn text_is_dropped_where_a_character_is_split() {
        let whole = line("one") + &line("🦀") + &last("stop");
        let at = whole.find('🦀').unwrap() + 2;
        let server = chatting(move |_, mut wire| {
            let bytes = whole.clone().into_bytes();
            async move {
                wire.chunked("application/x-ndjson").await;
                wire.part(&bytes[..at]).await;
                // Two reads make two parts; without the pause they might be read as one.
                tokio::time::sleep(Duration::from_millis(50)).await;
                wire.part(&bytes[at..]).await;
                wire.raw(b"0\r\n\r\n").await;
            }
        })
        .await;
        assert_eq!(
            told(&server).await,
            Vec::<Result<String, ()>>::new(),
            "not one word of the answer is left"
        );
    }

    #[tokio::test]
    async fn an_error_in_mid_stream_passes_for_the_end() {
        let server = saying(200, line("par") + "{\"error\":\"out of memory\"}\n").await;
        assert_eq!(told(&server).await, [Ok("par".to_owned())], "half an answer, and no error");
    }
}
