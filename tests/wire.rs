//! The real binary against servers that speak the two wire formats over real sockets. What each
//! decoder makes of hostile bytes is tested beside it; this is about what a person sees.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::pty::Pty;
use crate::support::server::{Reply, Server};
use crate::support::{GREETER, Place, accept_all, converse};

const PLAN: &str = r#"{"analysis":"größer","questions":[],"steps":[{"action":"edit","file":"greeter/cli.py","symbol":"version","target":"","task":"return 2.0 — ünïcode"}]}"#;
const EDIT: &str = "greeter/cli.py\n<<<<<<< SEARCH\n    return \"1.0\"\n=======\n    return \"2.0 – größer\"\n>>>>>>> REPLACE\n";

fn answer_of(body: &serde_json::Value) -> &'static str {
    let system = body["messages"][0]["content"].as_str().unwrap_or_default();
    if system.contains("You plan") { PLAN } else { EDIT }
}

/// Ollama's stream: one JSON object a line.
fn ollama(body: &serde_json::Value) -> String {
    let mut lines: Vec<String> = answer_of(body)
        .chars()
        .map(|c| {
            json!({"model": "m", "message": {"role": "assistant", "content": c}, "done": false}).to_string()
        })
        .collect();
    let counted = body["messages"].to_string().len() / 4;
    lines.push(json!({"model": "m", "message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop", "prompt_eval_count": counted, "eval_count": 9}).to_string());
    lines.join("\n") + "\n"
}

/// The stream of OpenAI-compatible servers: server-sent events.
fn openai(body: &serde_json::Value) -> String {
    openai_saying(answer_of(body), body)
}

fn openai_saying(said: &str, body: &serde_json::Value) -> String {
    let mut text = String::new();
    for c in said.chars() {
        let chunk = json!({"choices": [{"index": 0, "delta": {"content": c}, "finish_reason": null}]});
        text.push_str(&format!("data: {chunk}\n\n"));
    }
    let counted = body["messages"].to_string().len() / 4;
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": counted, "completion_tokens": 9, "total_tokens": counted + 9}});
    text.push_str(&format!("data: {end}\n\ndata: {usage}\n\ndata: [DONE]\n\n"));
    text
}

fn run(place: &Place, arguments: &[&str]) -> crate::support::Conversation {
    let mut command = place.command();
    command.args(["run", "--json"]).args(arguments).arg("version 2.0");
    converse(command, accept_all)
}

#[test]
fn a_run_with_ollama_always_sends_the_window_and_survives_split_characters() {
    let place = Place::new(GREETER);
    let server = Server::start(|asked| match asked.line.split(' ').nth(1).unwrap() {
        "/api/chat" => Reply::stream("application/x-ndjson", &ollama(&asked.body), 7),
        "/api/show" => Reply::json(
            json!({"model_info": {"general.architecture": "qwen2", "qwen2.context_length": 32768}, "capabilities": ["completion"]}),
        ),
        "/api/tags" => Reply::json(
            json!({"models": [{"name": "m:latest", "model": "m:latest", "modified_at": "", "size": 5}]}),
        ),
        _ => Reply::json(json!({"models": []})),
    });
    run(&place, &["--provider", "ollama", "--url", &server.url, "--model", "m"]).exits(0);
    assert!(place.read("greeter/cli.py").contains("2.0 – größer"));
    let chats = server.bodies("/api/chat");
    assert_eq!(chats.len(), 2);
    for chat in &chats {
        assert_eq!(chat["options"]["num_ctx"], json!(8192), "the same window each time");
    }
    assert!(chats[0]["format"].is_object(), "the plan is constrained by its schema");
    assert!(chats[1]["format"].is_null(), "edits are never asked for as JSON");
}

#[test]
fn a_run_with_an_openai_compatible_server_sends_the_schema() {
    let place = Place::new(GREETER);
    let server = Server::start(|asked| match asked.line.split(' ').nth(1).unwrap() {
        "/v1/chat/completions" => Reply::stream("text/event-stream", &openai(&asked.body), 5),
        "/v1/models" => Reply::json(
            json!({"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "x"}]}),
        ),
        "/props" => Reply::json(json!({"default_generation_settings": {"n_ctx": 4096}})),
        _ => Reply::text(404, "text/plain", "not here"),
    });
    let run = run(&place, &["--url", &server.url]).exits(0);
    run.find(|event| match event {
        countersign::protocol::Event::SessionStarted { window, .. } => (*window == 4096).then_some(()),
        _ => None,
    });
    let chats = server.bodies("/chat/completions");
    assert_eq!(chats[0]["response_format"]["type"], "json_schema", "{:#}", chats[0]);
    assert!(chats[1]["response_format"].is_null());
    assert!(place.read("greeter/cli.py").contains("größer"));
}

#[test]
fn while_its_owner_types_a_session_has_the_rules_read() {
    let place = Place::new(GREETER);
    let server = Server::start(|asked| match asked.line.split(' ').nth(1).unwrap() {
        "/v1/chat/completions" => Reply::stream("text/event-stream", &openai(&asked.body), 4096),
        "/v1/models" => Reply::json(json!({"data": [{"id": "m"}]})),
        "/props" => Reply::json(
            json!({"default_generation_settings": {"n_ctx": 8192}, "total_slots": 3, "build_info": "b1-x"}),
        ),
        _ => Reply::text(404, "text/plain", "not here"),
    });
    let mut command = place.command();
    command.args(["--url", &server.url]);
    let mut terminal = Pty::spawn(&command, 100, 30);
    let began = Instant::now();
    let ahead = loop {
        let chats = server.bodies("/chat/completions");
        if chats.len() == 3 {
            break chats;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{chats:#?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    terminal.expect("? countersign");
    terminal.send_line("version 2.0");
    terminal.expect("? Apply?");
    terminal.send("y");
    terminal.expect("done: 1 hunk applied");
    terminal.expect("? countersign");
    terminal.send_line("/quit");
    assert_eq!(terminal.exit_code(), 0);
    let chats = server.bodies("/chat/completions");
    assert_eq!(chats.len(), 5, "nothing is read ahead twice");
    // Of the plan and of the edit, the rules and the slot are those that were read ahead.
    for (ahead, asked) in [(&ahead[0], &chats[3]), (&ahead[2], &chats[4])] {
        assert_eq!(ahead["messages"][0], asked["messages"][0]);
        assert_eq!(ahead["id_slot"], asked["id_slot"]);
        assert_eq!((&ahead["max_tokens"], &ahead["n"]), (&json!(1), &json!(null)), "{ahead:#}");
    }
}

#[test]
fn llama_cpp_gets_grammars_for_json_and_for_blocks_and_may_refuse_them() {
    for refuses in [false, true] {
        let place = Place::new(GREETER);
        let server = Server::start(move |asked| match asked.line.split(' ').nth(1).unwrap() {
            "/v1/chat/completions" if refuses && asked.body["grammar"].is_string() => Reply::text(
                400,
                "application/json",
                r#"{"error":{"code":400,"message":"failed to parse grammar","type":"invalid_request_error"}}"#,
            ),
            "/v1/chat/completions" => {
                // A step that names a definition is asked for as a whole one.
                let said = answer_of(&asked.body).replace("\"symbol\":\"version\"", "\"symbol\":\"\"");
                Reply::stream("text/event-stream", &openai_saying(&said, &asked.body), 4096)
            }
            "/v1/models" => Reply::json(json!({"data": [{"id": "m"}]})),
            "/props" => {
                Reply::json(json!({"default_generation_settings": {"n_ctx": 8192}, "build_info": "b1-x"}))
            }
            _ => Reply::text(404, "text/plain", "not here"),
        });
        let run = run(&place, &["--url", &server.url]).exits(0);
        assert!(place.read("greeter/cli.py").contains("größer"));
        let chats = server.bodies("/chat/completions");
        let plan = chats[0]["grammar"].as_str().expect("a plan has a grammar");
        assert!(plan.contains(r#""{\"analysis\": ""#) && chats[0]["response_format"].is_null(), "{plan}");
        if refuses {
            assert_eq!(chats.len(), 3, "the plan is asked for again once");
            assert!(chats[1..].iter().all(|chat| chat["grammar"].is_null()));
            assert!(chats[1]["response_format"].is_object() && chats[2]["response_format"].is_null());
        } else {
            assert_eq!(chats.len(), 2);
            let grammar = chats[1]["grammar"].as_str().expect("blocks have a grammar");
            assert!(grammar.contains(r#""greeter/cli.py\n<<<<<<< SEARCH\n""#), "{grammar}");
            assert!(grammar.contains(r#"return \"1.0\""#), "{grammar}");
        }
        let said = run.events.iter().filter(|event| match event {
            countersign::protocol::Event::Warning { text } => text.contains("refused the grammar"),
            _ => false,
        });
        assert_eq!(said.count(), usize::from(refuses), "{:#?}", run.events);
    }
}

/// A run whose Coder first says `first`, and what it was asked then and after.
fn asked_twice(first: String) -> [serde_json::Value; 2] {
    let place = Place::new(GREETER);
    let coders = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |asked| match asked.line.split(' ').nth(1).unwrap() {
        "/v1/chat/completions" => {
            let is_first = answer_of(&asked.body) == EDIT
                && coders.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            let said = if is_first { &first } else { answer_of(&asked.body) };
            Reply::stream("text/event-stream", &openai_saying(said, &asked.body), 4096)
        }
        "/v1/models" => Reply::json(
            json!({"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "x"}]}),
        ),
        "/props" => Reply::json(json!({"default_generation_settings": {"n_ctx": 8192}})),
        _ => Reply::text(404, "text/plain", "not here"),
    });
    run(&place, &["--url", &server.url]).exits(0);
    assert!(place.read("greeter/cli.py").contains("größer"));
    let chats = server.bodies("/chat/completions");
    let [_plan, first, second] = chats.as_slice() else { panic!("{} calls", chats.len()) };
    [first.clone(), second.clone()]
}

#[test]
fn an_answer_that_leads_nowhere_is_not_asked_for_in_the_same_way_again() {
    let endless = format!("greeter/cli.py\n{}", "    return \"1.0\"\n    pass\n".repeat(2_000));
    let nothing = EDIT.replace("2.0 – größer", "1.0");
    for first in [endless, nothing] {
        let [first, second] = asked_twice(first);
        assert_eq!(first["temperature"], 0.0);
        assert!(second["temperature"].as_f64() > Some(0.1), "{second:#}");
        assert_ne!(first["seed"], second["seed"]);
    }
}

#[test]
fn a_prompt_that_the_server_cut_is_an_error_and_nothing_is_written() {
    let place = Place::new(GREETER);
    let before = place.tree();
    let server = Server::start(|asked| match asked.line.split(' ').nth(1).unwrap() {
        "/v1/chat/completions" => {
            let text = openai(&asked.body);
            let at = text.find("\"prompt_tokens\":").unwrap() + "\"prompt_tokens\":".len();
            let end = at + text[at..].find([',', '}']).unwrap();
            Reply::stream("text/event-stream", &format!("{}100{}", &text[..at], &text[end..]), 64)
        }
        "/v1/models" => Reply::json(
            json!({"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "x"}]}),
        ),
        _ => Reply::text(404, "text/plain", "not here"),
    });
    let run = run(&place, &["--url", &server.url, "--window", "8192"]).exits(3);
    assert_eq!(place.tree(), before);
    run.find(|event| match event {
        countersign::protocol::Event::TurnFinished { outcome, .. } => {
            let text = format!("{outcome:?}");
            assert!(text.contains("cut the architect's prompt"), "{text}");
            Some(())
        }
        _ => None,
    });
}

fn fails_with(reply: impl Fn() -> Reply + Send + Sync + 'static, said: &str) {
    let place = Place::new(GREETER);
    let before = place.tree();
    let server = Server::start(move |asked| match asked.line.split(' ').nth(1).unwrap() {
        "/v1/chat/completions" => reply(),
        "/v1/models" => Reply::json(
            json!({"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "x"}]}),
        ),
        _ => Reply::text(404, "text/plain", "not here"),
    });
    let mut command = place.command();
    command.args(["run", "--url", &server.url, "--window", "8192", "version 2.0"]);
    let run = crate::support::Finished::of(command.output().unwrap()).fails(3, said);
    assert_eq!(place.tree(), before);
    assert!(run.stderr.contains("nothing was written"), "{}", run.stderr);
}

#[test]
fn each_way_in_which_a_server_fails_is_told_apart() {
    fails_with(|| Reply::text(200, "text/html", "<html>Welcome to nginx</html>"), "an HTML page");
    fails_with(
        || Reply::text(500, "application/json", r#"{"error":{"message":"out of memory"}}"#),
        "out of memory",
    );
    fails_with(
        || Reply {
            status: 200,
            kind: "text/event-stream",
            raw: vec![b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\"}}]}\n\n".to_vec()],
            torn: true,
        },
        "stopped in the middle",
    );
    fails_with(
        || {
            Reply::text(
                200,
                "text/event-stream",
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\"}}]}\n\ndata: {\"error\":{\"message\":\"GPU fell off\"}}\n\n",
            )
        },
        "GPU fell off",
    );
}

#[test]
fn a_server_that_is_down_is_named_with_what_to_try() {
    let place = Place::new(GREETER);
    let before = place.tree();
    let run = place.run(&["run", "--url", "http://127.0.0.1:1", "x"]).fails(3, "http://127.0.0.1:1");
    assert!(run.stderr.contains("doctor"), "{}", run.stderr);
    place.run(&["run", "--provider", "ollama", "x"]).fails(3, "Ollama at");
    assert_eq!(place.tree(), before);
}
