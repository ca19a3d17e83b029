//! Models in the process: getting their files, and runs of the real binary with a tiny random one.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign::protocol::{Event, Outcome};
use countersign_inference::format::Format;
use countersign_inference::header::Architecture;
use countersign_inference::sample::Sample;
use serde_json::Value;

use crate::support::pty::{ENTER, Pty};
use crate::support::{Finished, GREETER, Place, accept_all, converse};

fn tiny() -> Vec<u8> {
    Sample { architecture: Architecture::Qwen2, format: Format::Q8_0, seed: 1 }.gguf()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hub with one file, from where it is asked; it stops in the middle as long as it is told to.
struct Hub {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
    holds: Arc<AtomicBool>,
}

impl Hub {
    fn start(content: Vec<u8>) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heads, holds) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, holding) = (heads.clone(), holds.clone());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (log, content, holds) = (log.clone(), content.clone(), holding.load(Ordering::SeqCst));
                std::thread::spawn(move || {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                        head.push(byte[0]);
                    }
                    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
                    log.lock().unwrap().push(head.clone());
                    // Whoever is killed does not hear all of it.
                    let _ = send(&mut stream, &head, &content, holds);
                });
            }
        });
        Hub { url, heads, holds }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn send(stream: &mut TcpStream, head: &str, content: &[u8], holds: bool) -> std::io::Result<()> {
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    let start: usize = range.and_then(|range| range.trim_end_matches('-').parse().ok()).unwrap_or(0);
    let all = content.len();
    let status = match start {
        0 => "200 OK\r\n".to_owned(),
        _ => format!("206 Partial Content\r\ncontent-range: bytes {start}-{}/{all}\r\n", all - 1),
    };
    write!(stream, "HTTP/1.1 {status}content-length: {}\r\nconnection: close\r\n\r\n", all - start)?;
    if holds {
        stream.write_all(&content[start..all / 2])?;
        // Until the other side is gone.
        return stream.read(&mut [0]).map(drop);
    }
    stream.write_all(&content[start..])
}

/// A place whose manifest knows the tiny model, as the first one to offer, and its hub.
fn place_with(hub: &Hub, content: &[u8]) -> Place {
    let place = Place::new(GREETER);
    let manifest = format!(
        "[[model]]\nname = \"tiny\"\ntitle = \"A tiny model\"\nfile = \"tiny-q8_0.gguf\"\nbytes = {}\nsha256 = \"{}\"\nlicence = \"MIT\"\nquantisation = \"Q8_0\"\ncontext = 4096\noffer = true\n[[model.source]]\nhub = \"owner/tiny\"\n",
        content.len(),
        sha256(content)
    );
    std::fs::write(place.config().join("models.toml"), manifest).unwrap();
    assert!(hub.url.starts_with("http://127.0.0.1:"));
    place
}

fn command(place: &Place, hub: &Hub, arguments: &[&str]) -> Command {
    let mut command = place.command();
    command.env("HF_ENDPOINT", &hub.url).args(arguments);
    command
}

fn run(place: &Place, hub: &Hub, arguments: &[&str]) -> Finished {
    Finished::of(command(place, hub, arguments).output().unwrap())
}

#[test]
fn a_model_file_is_got_listed_checked_and_removed() {
    let content = tiny();
    let hub = Hub::start(content.clone());
    let place = place_with(&hub, &content);
    let file = place.data().join("weights/tiny-q8_0.gguf");
    let listed = run(&place, &hub, &["models", "list", "--provider", "embedded"]).succeeds().stdout;
    let (here, to_get) = listed.split_once("to get with").unwrap();
    assert!(
        !here.contains("tiny") && to_get.contains("tiny  (this process") && to_get.contains("MIT"),
        "{listed}"
    );
    let pulled = run(&place, &hub, &["models", "pull", "tiny"]).succeeds().stdout;
    assert!(pulled.contains("licence: MIT"), "{pulled}");
    assert_eq!(std::fs::read(&file).unwrap(), content);
    assert!(hub.heads()[0].starts_with("get /owner/tiny/resolve/main/tiny-q8_0.gguf "));
    let verified = run(&place, &hub, &["models", "verify", "tiny"]).succeeds().stdout;
    assert!(verified.contains("is whole"), "{verified}");
    let listed = run(&place, &hub, &["models", "list", "--json", "--provider", "embedded"]).succeeds().stdout;
    let rows: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let row = rows.iter().find(|row| row["name"] == "tiny").unwrap();
    assert!(row["to_get"] == false && row["licence"] == "MIT" && row["fits"] == true, "{row}");
    let shown = run(&place, &hub, &["models", "show", "tiny", "--provider", "embedded"]).succeeds().stdout;
    assert!(shown.contains("window   4096 tokens") && shown.contains("KV heads"), "{shown}");
    let used = run(&place, &hub, &["models", "use", "tiny"]).succeeds().stdout;
    assert!(used.contains("tiny of this process"), "{used}");
    let doctor = run(&place, &hub, &["doctor"]).succeeds().stdout;
    assert!(doctor.contains("tiny of this process"), "{doctor}");
    // Damage is found, and mended by the next pull.
    let mut damaged = content.clone();
    damaged[5000] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    run(&place, &hub, &["models", "verify", "tiny"]).fails(2, "not what it should be");
    run(&place, &hub, &["models", "pull", "tiny"]).succeeds();
    assert_eq!(std::fs::read(&file).unwrap(), content);
    run(&place, &hub, &["models", "rm", "tiny"]).succeeds();
    assert!(!file.exists());
    run(&place, &hub, &["models", "rm", "tiny"]).fails(2, "is not in");
    run(&place, &hub, &["models", "rm", "../tiny"]).fails(2, "no model is called");
    run(&place, &hub, &["models", "pull", "nowhere", "--provider", "embedded"])
        .fails(2, "no model is called");
}

#[test]
fn a_pull_that_was_killed_goes_on_where_it_was() {
    let content = tiny();
    let hub = Hub::start(content.clone());
    let place = place_with(&hub, &content);
    hub.holds.store(true, Ordering::SeqCst);
    let mut pull = command(&place, &hub, &["models", "pull", "tiny"]).spawn().unwrap();
    let partial = place.data().join("weights/tiny-q8_0.gguf.partial");
    let deadline = Instant::now() + Duration::from_secs(60);
    while partial.metadata().map_or(0, |found| found.len()) < content.len() as u64 / 4 {
        assert!(Instant::now() < deadline, "nothing arrives");
        std::thread::sleep(Duration::from_millis(5));
    }
    pull.kill().unwrap();
    pull.wait().unwrap();
    let had = partial.metadata().unwrap().len();
    hub.holds.store(false, Ordering::SeqCst);
    run(&place, &hub, &["models", "pull", "tiny"]).succeeds();
    assert!(hub.heads()[1].contains(&format!("range: bytes={had}-\r\n")), "{:?}", hub.heads());
    assert_eq!(std::fs::read(place.data().join("weights/tiny-q8_0.gguf")).unwrap(), content);
    assert!(!partial.exists());
}

/// Writes the tiny model beside the repository's files, where nothing indexes it, and gives its path.
fn own_file(place: &Place) -> PathBuf {
    let path = place.config().join("tiny.gguf");
    std::fs::write(&path, tiny()).unwrap();
    path
}

#[test]
fn even_a_random_model_answers_in_the_form_that_is_asked_for() {
    let place = Place::new(GREETER);
    let model = own_file(&place);
    let record = place.config().join("answers.jsonl");
    let mut command = place.command();
    command.args(["run", "--json", "--model"]).arg(&model).arg("--record").arg(&record);
    command.args(["--window", "4096", "return version 2.0"]);
    let run = converse(command, accept_all);
    run.find(|event| match event {
        Event::SessionStarted { provider, model, window: 4096, .. } => {
            (provider.starts_with("this process") && model == "tiny.gguf").then_some(())
        }
        _ => None,
    });
    // It has nothing to say: the text is as good as noise, but its form is that of a plan to the last byte.
    run.find(|event| {
        matches!(
            event,
            Event::TurnFinished { outcome: Outcome::NoValidChange { .. } | Outcome::Failed { .. }, .. }
        )
        .then_some(())
    });
    let recorded = std::fs::read_to_string(&record).unwrap();
    let answers: Vec<Value> =
        recorded.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    let plans: Vec<String> =
        answers.iter().filter(|answer| answer["role"] == "architect").map(text_of).collect();
    assert!(!plans.is_empty(), "{recorded}");
    for plan in plans {
        let mut read = serde_json::Deserializer::from_str(&plan).into_iter::<Value>();
        match read.next() {
            Some(Ok(plan)) => assert!(plan["analysis"].is_string() && plan["steps"].is_array(), "{plan}"),
            Some(Err(error)) => {
                let words: String = plan.split_whitespace().collect();
                assert!(error.is_eof() && words.starts_with("{\"analysis\":\""), "{error}: {plan:?}");
            }
            None => panic!("an empty answer"),
        }
    }
}

/// The text of a recorded answer.
fn text_of(answer: &Value) -> String {
    match (&answer["text"], &answer["chunks"]) {
        (Value::String(text), _) => text.clone(),
        (_, Value::Array(chunks)) => chunks.iter().filter_map(Value::as_str).collect(),
        _ => panic!("no text in {answer}"),
    }
}

#[test]
fn files_that_are_no_models_are_refused_in_words() {
    let place = Place::new(GREETER);
    let broken = place.config().join("broken.gguf");
    std::fs::write(&broken, &tiny()[..3000]).unwrap();
    let run = |model: &str| place.run(&["run", "--provider", "embedded", "--model", model, "x"]);
    run(broken.to_str().unwrap()).fails(3, "cannot run in this process");
    run("/nowhere/at-all.gguf").fails(3, "there is no such file");
    run("qwen3-4b").fails(3, "countersign models pull qwen3-4b");
}

#[test]
fn without_any_model_the_error_says_how_to_get_one() {
    let content = tiny();
    let hub = Hub::start(content.clone());
    let place = place_with(&hub, &content);
    for arguments in [&["run", "x"][..], &["run", "--json", "x"], &["run", "--provider", "embedded", "x"]] {
        let finished = run(&place, &hub, arguments);
        finished.fails(3, "countersign models pull tiny");
    }
    assert!(hub.heads().is_empty(), "nothing is got without consent");
}

#[test]
fn a_person_without_a_model_is_offered_one() {
    let content = tiny();
    let hub = Hub::start(content.clone());
    let place = place_with(&hub, &content);
    let file = place.data().join("weights/tiny-q8_0.gguf");
    let run = command(&place, &hub, &["run", "return version 2.0"]);
    let mut refused = Pty::spawn(&run, 80, 30);
    refused.expect("A tiny model");
    refused.expect("MIT");
    refused.expect("[Y/n]");
    refused.send("n");
    refused.send(ENTER);
    assert_eq!(refused.exit_code(), 3);
    assert!(!file.exists() && hub.heads().is_empty());
    let mut agreed = Pty::spawn(&run, 80, 30);
    agreed.expect("[Y/n]");
    agreed.send(ENTER);
    agreed.expect("by this process");
    assert_eq!(std::fs::read(&file).unwrap(), content);
    // What it answers is noise; that it is asked is what counts.
    agreed.expect("architect");
    agreed.send("\u{3}");
    assert_ne!(agreed.exit_code(), 0);
    assert!(place.read("greeter/cli.py").contains("1.0"));
}
