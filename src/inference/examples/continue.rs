//! Continues a text with the likeliest tokens: `cargo run --release --example continue -- MODEL.gguf TEXT [TOKENS]`.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use countersign_inference::{Model, Options, Session, physical_cores};
use std::ops::ControlFlow;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(text)) = (arguments.next(), arguments.next()) else {
        return Err("which model, and which text? MODEL.gguf TEXT [TOKENS]".into());
    };
    let count: usize = arguments.next().map_or(Ok(64), |count| count.parse())?;
    let start = Instant::now();
    let model = Model::open(path.as_ref(), &Options { threads: physical_cores(), context: 4096 })?;
    let mut session = Session::new(&model)?;
    let vocabulary = model.vocabulary();
    let mut tokens: Vec<u32> = vocabulary.begin().into_iter().collect();
    tokens.extend(vocabulary.encode(&text, true));
    println!(
        "{} kernels, opened in {:?}, {} tokens: {tokens:?}",
        model.instructions(),
        start.elapsed(),
        tokens.len()
    );
    let start = Instant::now();
    session.read(&tokens, &mut |_| ControlFlow::Continue(()))?;
    println!("read at {:.1} tokens/s", tokens.len() as f64 / start.elapsed().as_secs_f64());
    let start = Instant::now();
    let mut answer = Vec::new();
    for _ in 0..count {
        let likeliest = session.logits().iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let token = likeliest.expect("a token has been read").0 as u32;
        if vocabulary.is_end(token) {
            break;
        }
        answer.extend_from_slice(vocabulary.bytes(token));
        session.read(&[token], &mut |_| ControlFlow::Continue(()))?;
    }
    println!("{}", String::from_utf8_lossy(&answer));
    println!("continued at {:.1} tokens/s", count as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
