//! Ranks the files of a repository for a request, and says why.
//!
//! `locate ROOT STORE REQUEST [--tag PATH]... [--budget TOKENS] [--json]` prints the ledger and
//! the pack. `locate ROOT STORE --tasks FILE` answers many requests: it reads JSON lines with
//! `id` and `query` and prints, for each, one JSON line with `ranked_files` and `pack`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use countersign_index::{Budget, Context, Index, Request, Verdict, tokens};
use serde_json::{Value, json};

const USAGE: &str =
    "usage: locate ROOT STORE (REQUEST | --tasks FILE) [--tag PATH]... [--budget TOKENS] [--json]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut positional = Vec::new();
    let mut request = Request::default();
    let mut budget = Budget { tokens: 4_000 };
    let mut tasks = None;
    let mut as_json = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--tag" => request.tags.push(value()?),
            "--budget" => budget.tokens = value()?.parse()?,
            "--tasks" => tasks = Some(value()?),
            "--json" => as_json = true,
            _ => positional.push(argument),
        }
    }
    let (root, store) = match &positional[..] {
        [root, store, text] if tasks.is_none() => {
            request.text = text.clone();
            (root, store)
        }
        [root, store] if tasks.is_some() => (root, store),
        _ => return Err(USAGE.into()),
    };
    let mut index = Index::open(Path::new(root), Path::new(store))?;
    let began = Instant::now();
    let report = index.update(&mut |_| ControlFlow::Continue(()))?;
    eprintln!("index: {} in {:.2} s", serde_json::to_string(&report)?, began.elapsed().as_secs_f64());
    if let Some(tasks) = tasks {
        for line in std::fs::read_to_string(tasks)?.lines() {
            println!("{}", predict(&index, &serde_json::from_str(line)?, budget)?);
        }
        return Ok(());
    }
    let context = index.context(&request, budget)?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&context)?);
    } else {
        print(&context);
    }
    Ok(())
}

fn predict(index: &Index, task: &Value, budget: Budget) -> Result<Value, Box<dyn Error>> {
    let text = task["query"].as_str().ok_or("a task has no query")?.to_owned();
    let request = Request { text, tags: Vec::new() };
    let began = Instant::now();
    let context = index.context(&request, budget)?;
    let seconds = began.elapsed().as_secs_f64();
    let ranked: Vec<&str> =
        context.ledger.candidates.iter().take(50).map(|candidate| candidate.path.as_str()).collect();
    let snippets = context.pack.snippets.iter().map(|snippet| {
        json!({"path": snippet.path, "bytes": snippet.text.len(), "start": snippet.start_line, "end": snippet.end_line})
    });
    let tail = context.pack.tail.iter().map(|entry| json!({"path": entry.path, "bytes": entry.path.len()}));
    let pack: Vec<Value> = snippets.chain(tail).collect();
    Ok(json!({"id": task["id"], "ranked_files": ranked, "seconds": seconds, "pack": pack}))
}

fn print(context: &Context) {
    for candidate in context.ledger.candidates.iter().take(20) {
        let verdict = match &candidate.verdict {
            Verdict::Kept { lines } => format!("kept {lines:?}"),
            Verdict::Listed => "listed".to_owned(),
            Verdict::LeftOut { reason } => format!("left out: {reason}"),
        };
        println!("{:7.2}  {}  ({verdict})", candidate.points, candidate.path);
        for rule in &candidate.rules {
            println!("         {} {:+.2}: {}", rule.rule.name(), rule.points, rule.detail);
        }
    }
    let pack = &context.pack;
    println!("pack: {} of {} tokens", pack.tokens, pack.budget);
    for snippet in &pack.snippets {
        let enclosing = snippet.enclosing.as_deref().unwrap_or_default();
        println!("--- {}:{}-{} {enclosing}", snippet.path, snippet.start_line, snippet.end_line);
        print!("{}", snippet.text);
    }
    for entry in &pack.tail {
        let cost = tokens(entry.path.len());
        println!("+ {} ({cost}): {}", entry.path, entry.definitions.join(", "));
    }
}
