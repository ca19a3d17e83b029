//! Speed and memory of a model, beside llama.cpp's server with the same file, in one run:
//!
//! `cargo bench -p countersign-inference -- [--answers] MODEL.gguf [THREADS [SERVER COMMAND …]]`
//!
//! In the server's command `{model}`, `{port}` and `{threads}` are filled in, for example
//! `llama-server -m {model} --port {port} -t {threads} -c 4096 -np 1`. Both take turns, and of several
//! rounds the best counts. On a machine that does other things as well, tokens per second of processor time
//! say more than those by the clock. With `--answers`
//! the answers to 20 prompts are compared instead, and it fails if they differ by more than rounding explains.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

mod server;

use countersign_inference::{Model, Options, Session, physical_cores};
use server::Server;
use std::error::Error;
use std::ops::ControlFlow;
use std::process::Command;
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
/// After this long no other round is begun.
const ENOUGH: Duration = Duration::from_secs(120);
const CONTEXT: usize = 4096;
/// Tokens of the prompt and of the answer that are timed.
const READ: usize = 288;
const WRITTEN: usize = 48;
/// Tokens of the answers that are compared.
const ANSWER: usize = 64;
/// What rounding explains: llama.cpp with and without flash attention differs from itself by 0.09 in the mean
/// for a model of 135M in 4 bits, and larger models by less; answers part where the other's choice is lower by
/// 0.7 at most. Another processor rounds otherwise, and what is computed wrongly is off by far more.
const MOST_DIFFERENCE: f64 = 0.4;
const LARGEST_GAP: f32 = 2.0;
const PROMPTS: &str = include_str!("prompts.txt");

fn main() -> Result<(), Box<dyn Error>> {
    // cargo bench adds `--bench`.
    let answers_only = std::env::args().any(|argument| argument == "--answers");
    let mut arguments =
        std::env::args().skip(1).filter(|argument| !["--bench", "--answers"].contains(&&**argument));
    let Some(path) = arguments.next() else {
        println!(
            "no model is given, so nothing is measured: cargo bench -p countersign-inference -- MODEL.gguf"
        );
        return Ok(());
    };
    let threads = arguments.next().map_or(Ok(physical_cores()), |threads| threads.parse())?;
    let rest: Vec<String> = arguments.collect();
    if rest == ["--once"] {
        return once(&path, threads);
    }
    let mut own = Own::open(&path, threads)?;
    println!("{path}, {threads} threads, {} kernels", own.model.instructions());
    let mut server = if rest.is_empty() { None } else { Some(Server::start(&rest, &path, threads)?) };
    if let (true, Some(server)) = (answers_only, &server) {
        compare_answers(&mut own, server)?;
        return compare_tokens(&own.model, server);
    }
    let prompt = long_prompt(&own.model);
    let (mut best, mut other) = (Speed::default(), Speed::default());
    let (id, short) = (std::process::id(), &prompt[..8]);
    let begun = Instant::now();
    for round in 0..ROUNDS {
        if round > 0 && begun.elapsed() > ENOUGH {
            break;
        }
        best.read.improve(measure(id, prompt.len(), || own.run(&prompt, 1).map(|run| run.1.read))?);
        best.written.improve(measure(id, WRITTEN, || own.run(short, WRITTEN).map(|run| run.1.written))?);
        if let Some(server) = &server {
            let id = server.id();
            other
                .read
                .improve(measure(id, prompt.len(), || server.run(&prompt, 1).map(|run| run.rates.read))?);
            other
                .written
                .improve(measure(id, WRITTEN, || server.run(short, WRITTEN).map(|run| run.rates.written))?);
        }
    }
    best.resident = resident(id);
    other.resident = server.as_ref().map_or(0.0, |server| resident(server.id()));
    drop(own);
    let mut first = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let status =
            Command::new(std::env::current_exe()?).args([&path, &threads.to_string(), "--once"]).status()?;
        first.0 = first.0.min(start.elapsed());
        assert!(status.success(), "the model cannot be run by itself");
        if server.take().is_some() || !rest.is_empty() {
            let start = Instant::now();
            let fresh = Server::start(&rest, &path, threads)?;
            fresh.run(&prompt[..16], 1)?;
            first.1 = first.1.min(start.elapsed());
        }
    }
    let file = std::fs::metadata(&path)?.len() as f64;
    println!("\n| | here | llama.cpp | ratio |\n|---|---|---|---|");
    row("prompt, tokens/s", best.read.second, other.read.second);
    row("prompt, tokens/s of processor time", best.read.processor, other.read.processor);
    row("answer, tokens/s", best.written.second, other.written.second);
    row("answer, tokens/s of processor time", best.written.processor, other.written.processor);
    row("resident, share of the file", best.resident / file, other.resident / file);
    row("start to first token, s", first.0.as_secs_f64(), first.1.as_secs_f64());
    Ok(())
}

fn row(name: &str, here: f64, there: f64) {
    if there > 0.0 && there < 1e9 {
        println!("| {name} | {here:.2} | {there:.2} | {:.2} |", here / there);
    } else {
        println!("| {name} | {here:.2} | | |");
    }
}

/// What one of both can do, and its bytes of memory.
#[derive(Default)]
struct Speed {
    read: Pace,
    written: Pace,
    resident: f64,
}

/// Tokens per second of the clock, and per second of processor time.
#[derive(Default)]
struct Pace {
    second: f64,
    processor: f64,
}

impl Pace {
    fn improve(&mut self, other: Pace) {
        self.second = self.second.max(other.second);
        self.processor = self.processor.max(other.processor);
    }
}

/// Tokens per second of a prompt, and of the answer after its first token.
#[derive(Default)]
struct Rates {
    read: f64,
    written: f64,
}

/// Runs something that returns its tokens per second, and counts the processor time of the process.
fn measure<T>(process: u32, tokens: usize, run: impl FnOnce() -> Result<f64, T>) -> Result<Pace, T> {
    let before = processor_time(process);
    let second = run()?;
    let used = processor_time(process) - before;
    Ok(Pace { second, processor: if used > 0.0 { tokens as f64 / used } else { 0.0 } })
}

/// Seconds that a process has computed; zero where the system has no `/proc`.
fn processor_time(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // After the name, which may hold spaces, in hundredths: the 12th and 13th are user and system time.
    let after = status.rsplit_once(')').map_or("", |(_, after)| after);
    after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
        / 100.0
}

struct Own {
    model: Model,
    session: Session,
}

impl Own {
    fn open(path: &str, threads: usize) -> Result<Self, Box<dyn Error>> {
        let model = Model::open(path.as_ref(), &Options { threads, context: CONTEXT })?;
        Ok(Own { session: Session::new(&model)?, model })
    }

    /// The likeliest tokens after a prompt.
    fn run(&mut self, prompt: &[u32], count: usize) -> Result<(Vec<u32>, Rates), Box<dyn Error>> {
        let go_on = &mut |_| ControlFlow::Continue(());
        self.session.truncate(0);
        let start = Instant::now();
        self.session.read(prompt, go_on)?;
        let read = prompt.len() as f64 / start.elapsed().as_secs_f64();
        let start = Instant::now();
        let mut answer = Vec::new();
        loop {
            let token = likeliest(self.session.logits());
            if self.model.vocabulary().is_end(token) {
                break;
            }
            answer.push(token);
            if answer.len() == count {
                break;
            }
            self.session.read(&[token], go_on)?;
        }
        let written = answer.len().saturating_sub(1) as f64 / start.elapsed().as_secs_f64();
        Ok((answer, Rates { read, written }))
    }
}

fn likeliest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    best.expect("something has been read").0 as u32
}

/// Prompts again and again, until there is enough.
fn long_prompt(model: &Model) -> Vec<u32> {
    let text = PROMPTS.replace("\\n", "\n");
    let mut tokens: Vec<u32> = model.vocabulary().begin().into_iter().collect();
    while tokens.len() < READ {
        tokens.extend(model.vocabulary().encode(&text, false));
    }
    tokens.truncate(READ);
    tokens
}

/// From a fresh process to the first token.
fn once(path: &str, threads: usize) -> Result<(), Box<dyn Error>> {
    let mut own = Own::open(path, threads)?;
    let prompt = long_prompt(&own.model);
    own.run(&prompt[..16], 1)?;
    Ok(())
}

/// The greedy answers to each prompt, and where they part.
fn compare_answers(own: &mut Own, server: &Server) -> Result<(), Box<dyn Error>> {
    let (mut same, mut largest, mut differences) = (0, 0f32, Vec::new());
    for prompt in PROMPTS.lines() {
        let text = prompt.replace("\\n", "\n");
        let mut tokens: Vec<u32> = own.model.vocabulary().begin().into_iter().collect();
        tokens.extend(own.model.vocabulary().encode(&text, false));
        let (here, _) = own.run(&tokens, ANSWER)?;
        let mut there = server.run(&tokens, ANSWER)?;
        // The server's last token is the one that ends the answer.
        there.tokens.retain(|token| !own.model.vocabulary().is_end(*token));
        own.run(&tokens, 1)?;
        let logits = own.session.logits();
        let all = logits.iter().map(|logit| f64::from(*logit).exp()).sum::<f64>().ln();
        let difference = |(token, log): &(u32, f64)| (f64::from(logits[*token as usize]) - all - log).abs();
        differences.extend(there.candidates.iter().map(difference));
        if here == there.tokens {
            same += 1;
            continue;
        }
        let pairs = here.iter().zip(&there.tokens);
        let at = pairs.take_while(|(here, there)| here == there).count();
        // Read as it was before, so that the logits are those of the place where they part.
        own.run(&tokens, at + 1)?;
        let logits = own.session.logits();
        let best = logits[likeliest(logits) as usize];
        // How near the two were for us: what llama.cpp took instead was how much less likely here?
        match there.tokens.get(at) {
            Some(token) => {
                let gap = best - logits[*token as usize];
                largest = gap.max(largest);
                println!(
                    "{prompt:.30?} parts at token {at}, where the other's choice is {gap:.3} lower here"
                );
            }
            None => println!("{prompt:.30?} goes on at token {at}, where the other ends"),
        }
    }
    println!("{same} of {} greedy answers of {ANSWER} tokens are identical", PROMPTS.lines().count());
    let mean = differences.iter().sum::<f64>() / differences.len().max(1) as f64;
    println!("logarithms of the first token's probability differ by {mean:.4} in the mean");
    if mean < MOST_DIFFERENCE && largest < LARGEST_GAP {
        Ok(())
    } else {
        Err("the answers differ by more than rounding explains".into())
    }
}

/// Whether texts become the same tokens.
fn compare_tokens(model: &Model, server: &Server) -> Result<(), Box<dyn Error>> {
    let source = include_str!("main.rs");
    let texts = PROMPTS.lines().map(|line| line.replace("\\n", "\n")).chain([
        source.to_owned(),
        "  \n\n \t x  y\u{a0}\u{3000}z\r\n\r\n  ".to_owned(),
        "Ünïcödé 東京タワー 🙂👩‍👩‍👧 e\u{301} ١٢٣ 12345 I'LL they'Ve\u{2028}x".to_owned(),
        "<|im_start|>user\n<start_of_turn>\n\n\n<td>        indented".to_owned(),
    ]);
    let (mut same, mut all) = (0, 0);
    for text in texts {
        for special in [false, true] {
            let (here, there) = (model.vocabulary().encode(&text, special), server.tokens(&text, special)?);
            all += 1;
            if here == there {
                same += 1;
            } else {
                let at = here.iter().zip(&there).position(|(here, there)| here != there).unwrap_or(0);
                println!("{text:.40?}: other tokens from {at} on: {:?} {:?}", &here[at..], &there[at..]);
            }
        }
    }
    println!("{same} of {all} texts become the same tokens");
    if same == all { Ok(()) } else { Err("texts become other tokens".into()) }
}

/// Bytes of memory that a process holds; zero where the system has no `/proc`.
fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).map_or(0.0, |kib: f64| kib * 1024.0)
}
