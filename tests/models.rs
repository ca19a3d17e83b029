//! What people who run coding agents on local models suffer from, one test each, in the order of how
//! often they report it. The real binary against servers of the tests' own, over real sockets.

use countersign::protocol::{Event, Outcome};
use serde_json::{Value, json};

use crate::support::server::{Asked, Reply, Server};
use crate::support::{Conversation, Finished, GREETER, Place, accept_all, converse, plan, replace};

const SEARCH_GOOD: &str =
    "greeter/cli.py\n<<<<<<< SEARCH\n    return \"1.0\"\n=======\n    return \"2.0\"\n>>>>>>> REPLACE\n";
const SEARCH_BAD: &str =
    "greeter/cli.py\n<<<<<<< SEARCH\n    return \"1.1\"\n=======\n    return \"2.0\"\n>>>>>>> REPLACE\n";

fn plan_text() -> String {
    let answer = plan(&[("edit", "greeter/cli.py", "version", "return 2.0")]);
    answer["text"].as_str().unwrap().to_owned()
}

fn is_plan(body: &Value) -> bool {
    body["messages"][0]["content"].as_str().unwrap_or_default().contains("You plan")
}

/// The path that was asked for.
fn path(asked: &Asked) -> &str {
    asked.line.split(' ').nth(1).unwrap_or_default()
}

/// One answer in OpenAI's stream, with a count that is plausible.
fn events(deltas: &[Value], body: &Value) -> Reply {
    let mut text = String::new();
    for delta in deltas {
        text.push_str(&format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta}]})));
    }
    let counted = body["messages"].to_string().len() / 4;
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": counted, "completion_tokens": 9}});
    text.push_str(&format!("data: {end}\n\ndata: {usage}\n\ndata: [DONE]\n\n"));
    Reply::stream("text/event-stream", &text, 7)
}

/// An OpenAI-compatible server whose answers are made by `chat`.
fn openai(props: Value, chat: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |asked| match path(asked) {
        "/v1/chat/completions" => chat(&asked.body),
        "/v1/models" => Reply::json(json!({"object": "list", "data": [{"id": "m", "object": "model"}]})),
        "/props" if !props.is_null() => Reply::json(props.clone()),
        _ => Reply::text(404, "text/plain", "not here"),
    })
}

/// An Ollama with one model.
fn ollama(show: Value, ps: Value, chat: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |asked| match path(asked) {
        "/api/chat" => chat(&asked.body),
        "/api/show" => Reply::json(show.clone()),
        "/api/ps" => Reply::json(json!({ "models": [ps.clone()] })),
        "/api/tags" => Reply::json(
            json!({"models": [{"name": "m:latest", "modified_at": "", "size": 1_000_000_000_u64}]}),
        ),
        _ => Reply::text(404, "text/plain", "not here"),
    })
}

fn ollama_answer(text: &str, counted: usize) -> Reply {
    let lines = [
        json!({"message": {"role": "assistant", "content": text}, "done": false}),
        json!({"message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "stop", "prompt_eval_count": counted, "eval_count": 9}),
    ];
    Reply::stream("application/x-ndjson", &format!("{}\n{}\n", lines[0], lines[1]), 64)
}

fn good(body: &Value) -> Reply {
    let text = if is_plan(body) { plan_text() } else { SEARCH_GOOD.to_owned() };
    events(&[json!({ "content": text })], body)
}

fn run(place: &Place, server: &Server, more: &[&str]) -> Conversation {
    let mut command = place.command();
    command.args(["run", "--json", "--url", &server.url]).args(more).arg("version 2.0");
    converse(command, accept_all)
}

#[test]
fn pain_01_silent_truncation_at_the_servers_small_default_window() {
    let place = Place::new(GREETER);
    let before = place.tree();
    let show =
        json!({"model_info": {"general.architecture": "q", "q.context_length": 32768}, "capabilities": []});
    let server = ollama(show, json!({}), |_| ollama_answer(&plan_text(), 60));
    let run = run(&place, &server, &["--provider", "ollama", "--model", "m"]).exits(3);
    assert_eq!(place.tree(), before);
    let chat = &server.bodies("/api/chat")[0];
    assert_eq!(chat["options"]["num_ctx"], 8192);
    assert_eq!((&chat["truncate"], &chat["shift"]), (&json!(false), &json!(false)));
    run.find(|event| match event {
        Event::TurnFinished { outcome, .. } => {
            format!("{outcome:?}").contains("it cut the architect's prompt").then_some(())
        }
        _ => None,
    });
}

#[test]
fn pain_02_tool_calls_printed_as_text() {
    for call in [
        "<tool_call>\n{\"name\": \"plan\", \"arguments\": PLAN}\n</tool_call>",
        "<|python_tag|>{\"name\": \"plan\", \"parameters\": PLAN}",
        "[TOOL_CALLS][{\"name\": \"plan\", \"arguments\": PLAN}]",
        "Here it is:\n```json\n{\"function\": {\"name\": \"plan\", \"arguments\": PLAN}}\n```",
    ] {
        let place = Place::new(GREETER);
        let text = call.replace("PLAN", &plan_text());
        let server = openai(Value::Null, move |body| match is_plan(body) {
            true => events(&[json!({ "content": text })], body),
            false => good(body),
        });
        let run = run(&place, &server, &[]).exits(0);
        run.find(|event| matches!(event, Event::Repaired { role, repairs } if role == "architect" && repairs.iter().any(|name| name == "tool call unwrapped")).then_some(()));
        assert!(place.read("greeter/cli.py").contains("2.0"), "{call}");
    }
}

/// Whether the request says why an earlier answer was refused.
fn is_corrected(body: &Value) -> bool {
    let messages = body["messages"].to_string();
    messages.contains("cannot be used") || messages.contains("was refused")
}

#[test]
fn pain_03_edits_that_fail_to_apply() {
    let place = Place::new(GREETER);
    let server = openai(Value::Null, |body| {
        let corrected = is_corrected(body);
        let text = match (is_plan(body), corrected) {
            (true, _) => plan_text(),
            (false, true) => SEARCH_GOOD.to_owned(),
            (false, false) => SEARCH_BAD.to_owned(),
        };
        events(&[json!({ "content": text })], body)
    });
    let run = run(&place, &server, &[]).exits(0);
    run.find(|event| matches!(event, Event::EditRefused { attempt: 1, .. }).then_some(()));
    assert!(place.read("greeter/cli.py").contains("2.0"));
}

#[test]
fn pain_04_a_huge_fixed_prompt() {
    let place = Place::new(GREETER);
    let server = openai(Value::Null, good);
    run(&place, &server, &[]).exits(0);
    for chat in server.bodies("/chat/completions") {
        let system = chat["messages"][0]["content"].as_str().unwrap().len();
        assert!(system < 2_500, "{system} bytes before the evidence");
        assert!(chat["tools"].is_null(), "no tools are described to a server");
    }
}

#[test]
fn pain_05_a_wrong_window_assumed() {
    let place = Place::new(GREETER);
    let server = openai(json!({"default_generation_settings": {"n_ctx": 4096}}), good);
    let run = run(&place, &server, &["--window", "131072"]).exits(0);
    run.find(|event| match event {
        Event::SessionStarted { window: 4096, window_source, .. } => {
            window_source.contains("/props").then_some(())
        }
        _ => None,
    });
    run.find(|event| {
        matches!(event, Event::Warning { text } if text.contains("less than what was asked for"))
            .then_some(())
    });
}

#[test]
fn pain_06_what_does_not_fit_is_said_before_asking_instead_of_compacted_late() {
    let place = Place::new(GREETER);
    let server = openai(json!({"default_generation_settings": {"n_ctx": 1024}}), good);
    let long = "the program has to say its version number ".repeat(100);
    let run = run(&place, &server, &[&long]).exits(2);
    assert_eq!(server.bodies("/chat/completions").len(), 0);
    run.find(|event| match event {
        Event::TurnFinished { outcome: Outcome::Failed { reason, .. }, .. } => {
            reason.contains("window is 1024").then_some(())
        }
        _ => None,
    });
}

#[test]
fn pain_07_identical_calls_in_a_loop() {
    let place = Place::new(GREETER);
    let asks = |argument: &str| json!({"role": "explorer", "text": format!("{{\"action\": \"list\", \"argument\": \"{argument}\"}}")});
    let mut script = vec![
        json!({"role": "architect", "text": "{\"analysis\": \"?\", \"questions\": [\"Where?\"], \"steps\": []}"}),
        asks("greeter"),
        // The same in other words, and what comes back is the same.
        asks("greeter/"),
        asks(" greeter "),
        asks("./greeter"),
        plan(&[("edit", "greeter/cli.py", "version", "return 2.0")]),
    ];
    script.push(replace("greeter/cli.py", "    return \"1.0\"", "    return \"2.0\""));
    let run = place.run_json(&script, &["return version 2.0"], accept_all).exits(0);
    run.find(|event| {
        matches!(event, Event::Warning { text } if text.contains("goes round in circles")).then_some(())
    });
}

#[test]
fn pain_08_the_cache_broken_on_each_turn() {
    let place = Place::new(GREETER);
    let props = json!({"default_generation_settings": {"n_ctx": 8192}, "total_slots": 3});
    let server = openai(props, |body| {
        let corrected = is_corrected(body);
        let text = match (is_plan(body), corrected) {
            (true, false) => "{\"analysis\": \"a\", \"questions\": [], \"steps\": []}".to_owned(),
            (true, true) => plan_text(),
            (false, true) => SEARCH_GOOD.to_owned(),
            (false, false) => SEARCH_BAD.to_owned(),
        };
        events(&[json!({ "content": text })], body)
    });
    run(&place, &server, &[]).exits(0);
    let chats = server.bodies("/chat/completions");
    assert_eq!(chats.len(), 4, "two answers and their corrections");
    let messages = |at: usize| chats[at]["messages"].as_array().unwrap().clone();
    for (first, corrected) in [(0, 1), (2, 3)] {
        // The Architect's correction is a message of its own; the Coder is asked afresh, with the
        // reasons behind what it was told before.
        let text = |at: usize| {
            messages(at)
                .iter()
                .map(|m| m["content"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
                .join("\n")
        };
        let (before, after) = (text(first), text(corrected));
        assert!(after.starts_with(&before), "a correction only appends:\n{before}\n---\n{after}");
    }
    let slots: Vec<_> = chats.iter().map(|chat| chat["id_slot"].as_u64()).collect();
    assert_eq!(slots, [Some(0), Some(0), Some(1), Some(1)], "one slot a role");
    assert!(chats.iter().all(|chat| chat["cache_prompt"] == true));
}

#[test]
fn pain_08_findings_stand_behind_all_that_was_sent_before() {
    const ASKS: &str = r#"{"analysis": "?", "questions": ["Where?"], "steps": []}"#;
    const FOUND: &str = r#"{"action": "answer", "argument": "in version()"}"#;
    let place = Place::new(GREETER);
    let props = json!({"default_generation_settings": {"n_ctx": 8192}, "total_slots": 3});
    let server = openai(props, |body| {
        let system = body["messages"][0]["content"].as_str().unwrap();
        let is_first = body["messages"].as_array().unwrap().len() == 2;
        let text = match (is_plan(body), is_first) {
            (true, true) => ASKS.to_owned(),
            (true, false) => plan_text(),
            (false, _) if system.contains("read-only tools") => FOUND.to_owned(),
            (false, _) => SEARCH_GOOD.to_owned(),
        };
        events(&[json!({ "content": text })], body)
    });
    run(&place, &server, &[]).exits(0);
    let chats = server.bodies("/chat/completions");
    let slots: Vec<_> = chats.iter().map(|chat| chat["id_slot"].as_u64().unwrap()).collect();
    assert_eq!(slots, [0, 1, 0, 2], "architect, explorer, architect, coder");
    let messages = |at: usize| chats[at]["messages"].as_array().unwrap().clone();
    let [first, again] = [messages(0), messages(2)];
    assert_eq!(again[..2], first, "the request is not moved");
    assert_eq!(again[2], json!({"role": "assistant", "content": ASKS}), "as it was written");
    let found = again[3]["content"].as_str().unwrap();
    assert!(again.len() == 4 && found.contains("in version()"), "{found}");
}

#[test]
fn pain_09_malformed_json_ends_the_run() {
    let place = Place::new(GREETER);
    let python = "Sure!\n{'analysis': 'a', 'questions': None, 'steps': [{'action': 'edit', 'file': 'greeter/cli.py', 'symbol': 'version', 'task': 'return 2.0',},],}";
    let server = openai(Value::Null, move |body| match is_plan(body) {
        true => events(&[json!({ "content": python })], body),
        false => good(body),
    });
    let run = run(&place, &server, &[]).exits(0);
    let repairs = run.find(|event| match event {
        Event::Repaired { repairs, .. } => Some(repairs.clone()),
        _ => None,
    });
    for name in ["Python word", "single quotes", "trailing comma", "text around the JSON"] {
        assert!(repairs.iter().any(|repair| repair == name), "{name} is not in {repairs:?}");
    }
}

#[test]
fn pain_10_reasoning_leaks_or_hides_the_answer() {
    let draft = "{\"analysis\": \"draft\", \"steps\": [{\"action\": \"delete\", \"file\": \"README.md\", \"task\": \"\"}]}";
    for apart in [true, false] {
        let place = Place::new(GREETER);
        let server = openai(Value::Null, move |body| match (is_plan(body), apart) {
            (true, true) => {
                events(&[json!({ "reasoning_content": draft }), json!({"content": plan_text()})], body)
            }
            (true, false) => {
                events(&[json!({"content": format!("<think>{draft}</think>{}", plan_text())})], body)
            }
            (false, _) => good(body),
        });
        run(&place, &server, &[]).exits(0);
        assert!(place.exists("README.md") && place.read("greeter/cli.py").contains("2.0"));
    }
}

#[test]
fn pain_11_time_outs_while_a_model_is_loading() {
    let place = Place::new(GREETER);
    let asked = std::sync::atomic::AtomicU32::new(0);
    let server =
        openai(Value::Null, move |body| match asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Reply::text(
                503,
                "application/json",
                r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
            ),
            _ => good(body),
        });
    let run = run(&place, &server, &[]).exits(0);
    run.find(|event| match event {
        Event::CallDelayed { attempt: 2, reason, .. } => reason.contains("Loading model").then_some(()),
        _ => None,
    });
}

#[test]
fn pain_12_a_window_too_big_that_spills_to_the_cpu() {
    let place = Place::new(GREETER);
    let show = json!({"model_info": {
        "general.architecture": "q", "q.context_length": 131_072, "q.block_count": 28,
        "q.attention.head_count": 28, "q.attention.head_count_kv": 4, "q.embedding_length": 3584,
    }, "capabilities": []});
    // Half of it was pushed out of the GPU by the window that somebody asked for.
    let ps = json!({"name": "m:latest", "model": "m:latest", "size": 8_000_000_000_u64, "size_vram": 1_500_000_000_u64, "context_length": 131_072});
    let server = ollama(show, ps, |body| {
        let text = if is_plan(body) { plan_text() } else { SEARCH_GOOD.to_owned() };
        ollama_answer(&text, body["messages"].to_string().len() / 4)
    });
    let run = run(&place, &server, &["--provider", "ollama", "--model", "m"]).exits(0);
    for chat in server.bodies("/api/chat") {
        assert_eq!(chat["options"]["num_ctx"], 4096);
    }
    run.find(|event| match event {
        Event::SessionStarted { window_source, .. } => {
            window_source.contains("57.3 kB a token").then_some(())
        }
        _ => None,
    });
}

#[test]
fn pain_13_hidden_traffic_while_local() {
    let place = Place::new(GREETER);
    let trap = Server::start(|_| Reply::text(200, "text/plain", "caught"));
    let server = openai(Value::Null, good);
    let mut command = place.command();
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"] {
        command.env(name, &trap.url);
    }
    command.args(["run", "--json", "--url", &server.url, "version 2.0"]);
    converse(command, accept_all).exits(0);

    let place = Place::new(GREETER);
    // The head of an answer takes further lines after its kind.
    let kind: &'static str = Box::leak(format!("text/plain\r\nlocation: {}/v1/x", trap.url).into_boxed_str());
    let server =
        openai(Value::Null, move |_| Reply { status: 307, kind, raw: vec![b"moved".to_vec()], torn: false });
    let run = run(&place, &server, &[]).exits(3);
    run.find(|event| match event {
        Event::TurnFinished { outcome, .. } => format!("{outcome:?}").contains("redirects to").then_some(()),
        _ => None,
    });
    assert_eq!(trap.asked.lock().unwrap().len(), 0, "nothing but the configured server is asked");
}

#[test]
fn pain_14_approval_bypassed() {
    let place = Place::new(GREETER);
    let before = place.tree();
    let server = openai(Value::Null, good);
    let mut command = place.command();
    command.args(["run", "--url", &server.url, "version 2.0"]);
    Finished::of(command.output().unwrap()).fails(4, "nothing was written");
    assert_eq!(place.tree(), before);
}

#[test]
fn pain_15_done_but_the_file_is_unchanged() {
    let place = Place::new(GREETER);
    let server = openai(Value::Null, good);
    let run = run(&place, &server, &[]).exits(0);
    let (path, hash) = run.find(|event| match event {
        Event::Applied { files, .. } => Some((files[0].path.clone(), files[0].hash.clone())),
        _ => None,
    });
    let on_disk = blake3::hash(place.read(&path).as_bytes()).to_hex().to_string();
    assert_eq!(hash, Some(on_disk), "what is called done was read back");
}

#[test]
fn a_recorded_run_is_replayed_by_its_script() {
    let place = Place::new(GREETER);
    let server = openai(Value::Null, |body| {
        let corrected = is_corrected(body);
        let text = match (is_plan(body), corrected) {
            (true, _) => plan_text(),
            (false, true) => SEARCH_GOOD.to_owned(),
            (false, false) => SEARCH_BAD.to_owned(),
        };
        events(&[json!({"reasoning_content": "hm"}), json!({ "content": text })], body)
    });
    let record = place.data().join("session.jsonl");
    run(&place, &server, &["--record", record.to_str().unwrap()]).exits(0);
    let wanted = place.tree();

    let again = Place::new(GREETER);
    let mut command = again.command();
    command.args(["run", "--json", "--script", record.to_str().unwrap(), "version 2.0"]);
    let replayed = converse(command, accept_all).exits(0);
    replayed.find(|event| matches!(event, Event::EditRefused { attempt: 1, .. }).then_some(()));
    let texts = |tree: Vec<(std::path::PathBuf, Vec<u8>)>| {
        tree.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>()
    };
    assert_eq!(texts(again.tree()), texts(wanted));
    // A file that is there is somebody's.
    let mut command = again.command();
    command.args(["run", "--url", &server.url, "--record", record.to_str().unwrap(), "x"]);
    Finished::of(command.output().unwrap()).fails(3, "new file");
}

#[test]
fn each_role_can_have_a_model_of_its_own() {
    let place = Place::new(GREETER);
    let server = openai(Value::Null, good);
    run(&place, &server, &["--model", "small", "--coder-model", "large"]).exits(0);
    let asked: Vec<_> = server.bodies("/chat/completions").iter().map(|chat| chat["model"].clone()).collect();
    assert_eq!(asked, ["small", "large"]);
}

#[test]
fn evidence_that_is_denser_than_was_thought_is_trimmed_by_the_servers_own_count() {
    let place = Place::new(GREETER);
    let line = |n: usize| format!("def version_{n}(version):\n    return \"2.0 version {n}\"\n\n\n");
    place.write("greeter/versions.py", (0..200).map(line).collect::<String>());
    // A token a byte, which is three times as many as are estimated.
    let contents = |body: &Value| {
        let said = body["messages"].as_array().unwrap().iter();
        said.map(|message| message["content"].as_str().unwrap().to_owned()).collect::<String>()
    };
    let server = Server::start(move |asked| match path(asked) {
        "/v1/models" => Reply::json(json!({"data": [{"id": "m"}]})),
        "/props" => Reply::json(json!({"default_generation_settings": {"n_ctx": 6000}, "total_slots": 1})),
        "/apply-template" => Reply::json(json!({ "prompt": contents(&asked.body) })),
        "/tokenize" => {
            let bytes = asked.body["content"].as_str().unwrap().len();
            Reply::json(json!({ "tokens": vec![0; bytes] }))
        }
        "/v1/chat/completions" => {
            let text = if is_plan(&asked.body) { plan_text() } else { SEARCH_GOOD.to_owned() };
            let choice = json!({"index": 0, "delta": {"content": text}, "finish_reason": "stop"});
            let usage = json!({"prompt_tokens": contents(&asked.body).len(), "completion_tokens": 9});
            let events = [json!({ "choices": [choice] }), json!({"choices": [], "usage": usage})];
            let text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
            Reply::stream("text/event-stream", &text, 64)
        }
        _ => Reply::text(404, "text/plain", "not here"),
    });
    let run = run(&place, &server, &[]).exits(0);
    let kept = run.find(|event| match event {
        Event::PackReady { snippets, .. } => Some(snippets.len()),
        _ => None,
    });
    assert!(kept > 0, "what fits is kept");
    let sent = contents(&server.bodies("/v1/chat/completions")[0]);
    assert!(sent.len() < 6000 && sent.contains("greeter/cli.py"), "{} bytes", sent.len());
}

#[test]
fn a_preset_is_asked_at_its_address_with_its_key() {
    let place = Place::new(GREETER);
    let server = openai(Value::Null, good);
    let preset = format!(
        "[work]\nname = \"Work\"\nprotocol = \"openai\"\nbase_url = \"{}/v1\"\nkey_env = \"WORK_KEY\"\nwindow = 8192",
        server.url
    );
    std::fs::write(place.config().join("presets.toml"), preset).unwrap();
    let mut command = place.command();
    command.env("WORK_KEY", "k").args(["run", "--json", "--preset", "work", "--model", "m", "version 2.0"]);
    converse(command, accept_all).exits(0);
    assert!(place.read("greeter/cli.py").contains("2.0"));
    assert!(server.bodies("/v1/chat/completions").iter().all(|chat| chat["model"] == "m"));
}

#[test]
fn a_refused_schema_is_left_out_and_said() {
    let place = Place::new(GREETER);
    let server = openai(Value::Null, |body| match body["response_format"]["type"].as_str() {
        Some("json_schema") => Reply::text(
            400,
            "application/json",
            r#"{"error":{"message":"response_format json_schema is not supported"}}"#,
        ),
        _ => good(body),
    });
    let run = run(&place, &server, &[]).exits(0);
    run.find(|event| {
        matches!(event, Event::Warning { text } if text.contains("refused the answer's schema")).then_some(())
    });
}

#[test]
fn models_are_listed_chosen_and_pulled() {
    let place = Place::new(GREETER);
    let show =
        json!({"model_info": {"general.architecture": "q", "q.context_length": 32768}, "capabilities": []});
    let server = Server::start(move |asked| match path(asked) {
        "/api/show" if asked.body.to_string().contains("nowhere") => {
            Reply::text(404, "application/json", r#"{"error":"model 'nowhere' not found"}"#)
        }
        "/api/show" => Reply::json(show.clone()),
        "/api/tags" => Reply::json(
            json!({"models": [{"name": "m:latest", "modified_at": "", "size": 1_000_000_000_u64}]}),
        ),
        "/api/pull" if asked.body.to_string().contains("nowhere") => Reply::stream(
            "application/x-ndjson",
            "{\"error\":\"pull model manifest: file does not exist\"}\n",
            64,
        ),
        "/api/pull" => Reply::stream(
            "application/x-ndjson",
            "{\"status\":\"pulling\",\"total\":10,\"completed\":5}\n{\"status\":\"success\"}\n",
            9,
        ),
        _ => Reply::json(json!({"models": []})),
    });
    let models = |arguments: &[&str]| {
        let mut command = place.command();
        command.args(["models"]).args(arguments).args(["--provider", "ollama", "--url", &server.url]);
        Finished::of(command.output().unwrap())
    };
    let listed = models(&["list"]).succeeds().stdout;
    assert!(listed.contains("m:latest") && listed.contains("1.0 GB"), "{listed}");
    let shown = models(&["show", "m"]).succeeds().stdout;
    assert!(shown.contains("window   8192 tokens") && shown.contains("nothing was counted"), "{shown}");
    assert!(models(&["pull", "m"]).succeeds().stdout.contains("m is there"));
    models(&["pull", "nowhere"]).fails(3, "file does not exist");
    models(&["use", "nowhere"]).fails(3, "no model `nowhere`");
    models(&["use", "m"]).succeeds();
    let config = std::fs::read_to_string(place.config().join("config.toml")).unwrap();
    assert_eq!(config, "model = \"m\"\n");
    let silent = place.run(&["models", "list", "--url", "http://127.0.0.1:1"]);
    silent.fails(3, "no model server answers");
    place.run(&["models", "list", "--preset", "nowhere"]).fails(2, "known are");
}
