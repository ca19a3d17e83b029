//! Files that lie: refused, or run without harm.

use countersign_inference::format::Format;
use countersign_inference::header::Architecture;
use countersign_inference::sample::Sample;
use countersign_inference::{Error, Header, Model, Options, Session};
use std::io::Write;
use std::ops::ControlFlow;

fn sample() -> Vec<u8> {
    Sample { architecture: Architecture::Llama, format: Format::Q4_0, seed: 11 }.gguf()
}

/// Opens the file and, if that works, reads a few tokens. What it must not do is panic, hang or grow.
fn run(bytes: &[u8]) -> Result<(), Error> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let header = Header::read(file.path());
    let model = Model::open(file.path(), &Options { threads: 1, context: 64 })?;
    header?;
    let vocabulary = model.vocabulary();
    vocabulary.encode("the <|im_start|> of  x\n\u{1f642}", true);
    let mut session = Session::new(&model)?;
    let tokens: Vec<u32> =
        [0, 1, 2].into_iter().filter(|token| (*token as usize) < vocabulary.len()).collect();
    session.read(&tokens, &mut |_| ControlFlow::Continue(()))?;
    Ok(())
}

/// The file with the bytes after a key (and its type) replaced.
fn with(key: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = sample();
    let at = bytes.windows(key.len()).position(|window| window == key.as_bytes()).expect("the key")
        + key.len()
        + 4;
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

#[track_caller]
fn refused(bytes: &[u8], because: &str) {
    let error = run(bytes).expect_err("refused").to_string();
    assert!(error.contains(because), "{error}");
}

#[test]
fn the_sample_itself_runs() {
    run(&sample()).unwrap();
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever() {
    let bytes = sample();
    let ends = (0..9000).step_by(61).chain((9000..bytes.len()).step_by(20_011)).chain([bytes.len() - 1]);
    for end in ends {
        assert!(run(&bytes[..end]).is_err(), "{end} of {}", bytes.len());
    }
    refused(&bytes[..bytes.len() - 1], "is the file whole?");
    refused(b"", "ends inside");
    refused(b"not a model at all", "does not begin with the letters GGUF");
}

#[test]
fn flipped_bits_do_no_harm() {
    let bytes = sample();
    let mut state = 99u64;
    for _ in 0..400 {
        let mut damaged = bytes.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // The directory is where lengths and offsets are.
            let at = (state >> 33) as usize % 9000;
            damaged[at] ^= 1 << (state >> 60 & 7);
        }
        // Either is right; what matters is that it comes back.
        let _ = run(&damaged);
    }
}

#[test]
fn counts_and_lengths_that_lie_are_refused() {
    let mut bytes = sample();
    bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&bytes, "18446744073709551615 tensors");
    let mut bytes = sample();
    bytes[16..24].copy_from_slice(&(1u64 << 60).to_le_bytes());
    refused(&bytes, "metadata keys");
    let mut bytes = sample();
    bytes[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&bytes, "ends inside");
    // Lists: the kind of their members, then how many.
    for count in [u64::MAX, 1 << 61, 1 << 40] {
        let length = [&8u32.to_le_bytes()[..], &count.to_le_bytes()].concat();
        refused(&with("tokenizer.ggml.tokens", &length), "ends inside");
        let length = [&5u32.to_le_bytes()[..], &count.to_le_bytes()].concat();
        refused(&with("tokenizer.ggml.token_type", &length), "ends inside");
    }
    refused(&with("tokenizer.ggml.tokens", &9u32.to_le_bytes()), "unknown type 9");
}

#[test]
fn sizes_without_sense_are_refused() {
    for key in
        ["block_count", "embedding_length", "feed_forward_length", "attention.head_count", "context_length"]
    {
        for value in [0u32, u32::MAX] {
            refused(&with(&format!("llama.{key}"), &value.to_le_bytes()), key);
        }
    }
    refused(&with("llama.attention.head_count_kv", &3u32.to_le_bytes()), "cannot share");
    refused(&with("llama.attention.head_count_kv", &0u32.to_le_bytes()), "head_count_kv");
    refused(&with("llama.attention.key_length", &63u32.to_le_bytes()), "multiples of 16");
    refused(&with("llama.attention.key_length", &128u32.to_le_bytes()), "different lengths");
    refused(&with("llama.block_count", &3u32.to_le_bytes()), "blk.2.");
    refused(&with("llama.block_count", &1u32.to_le_bytes()), "it has a tensor \"blk.1.");
    refused(&with("llama.embedding_length", &512u32.to_le_bytes()), "the shape");
    refused(&with("llama.attention.layer_norm_rms_epsilon", &f32::NAN.to_le_bytes()), "no positive number");
    refused(&with("llama.rope.freq_base", &(-1f32).to_le_bytes()), "no positive number");
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let mut bytes = sample();
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    refused(
        &replaced(
            "architecture\u{8}\0\0\0\u{5}\0\0\0\0\0\0\0llama",
            "architecture\u{8}\0\0\0\u{5}\0\0\0\0\0\0\0mamba",
        ),
        "\"mamba\"",
    );
    refused(&replaced("qwen2", "qwenX"), "by the rule \"qwenX\"");
    refused(&replaced("gpt2", "bert"), "of the kind \"bert\"");
    // The storage type of a tensor comes after its name and its two sides.
    let mut bytes = sample();
    let name = b"blk.0.attn_q.weight";
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len() + 4 + 16;
    bytes[at] = 21;
    refused(&bytes, "ggml's type 21");
    bytes[at] = 2;
    bytes[at + 4] = 1;
    refused(&bytes, "lies outside of the file");
    bytes[at + 4..at + 12].copy_from_slice(&(u64::MAX - 31).to_le_bytes());
    refused(&bytes, "lies outside of the file");
}

#[test]
fn weights_that_are_no_numbers_give_logits_that_are_none() {
    let mut bytes = sample();
    let data = bytes.len() - 300_000;
    bytes[data..].fill(0xff);
    run(&bytes).unwrap();
}

#[test]
fn a_folder_or_nothing_is_no_model() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("none.gguf")] {
        assert!(matches!(Header::read(&path), Err(Error::File { .. })));
    }
}
