//! Text to tokens and back, with the vocabularies of tiny models.

use countersign_inference::format::Format;
use countersign_inference::header::Architecture;
use countersign_inference::sample::Sample;
use countersign_inference::{Model, Options};
use proptest::prelude::*;
use std::io::Write;
use std::sync::OnceLock;

fn model(architecture: Architecture) -> Model {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&Sample { architecture, format: Format::Q4_0, seed: 1 }.gguf()).unwrap();
    Model::open(file.path(), &Options { threads: 1, context: 16 }).unwrap()
}

/// One with merged pairs, one with scored pieces.
fn both() -> &'static [Model; 2] {
    static BOTH: OnceLock<[Model; 2]> = OnceLock::new();
    BOTH.get_or_init(|| [model(Architecture::Qwen2), model(Architecture::Gemma3)])
}

fn texts<'a>(model: &'a Model, text: &str, special: bool) -> Vec<&'a str> {
    let bytes = |token| model.vocabulary().bytes(token);
    let tokens = model.vocabulary().encode(text, special);
    tokens.into_iter().map(|token| std::str::from_utf8(bytes(token)).unwrap_or("?")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_text_comes_back(text in "(\\PC|[ \n\t\r]|the|<\\|im_end\\|>){0,60}", special in any::<bool>()) {
        for model in both() {
            let tokens = model.vocabulary().encode(&text, special);
            let bytes: Vec<u8> = tokens.iter().flat_map(|token| model.vocabulary().bytes(*token)).copied().collect();
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), text.as_str());
            if !special {
                prop_assert!(!tokens.iter().any(|token| model.vocabulary().is_special(*token)));
            }
        }
    }
}

#[test]
fn neighbours_are_merged_by_rank_and_score() {
    let [pairs, pieces] = both();
    assert_eq!(texts(pairs, "in the end", true), ["in", " the", " ", "e", "n", "d"]);
    assert_eq!(texts(pairs, "x\n  y    z", true), ["x", "\n", " ", " ", "y", "  ", " ", " ", "z"]);
    assert_eq!(texts(pieces, "in the  end", true), ["in", " the", "  ", "e", "n", "d"]);
}

#[test]
fn marks_are_tokens_only_if_asked_for() {
    for model in both() {
        let vocabulary = model.vocabulary();
        assert_eq!(texts(model, "a<|im_end|>b", true), ["a", "<|im_end|>", "b"]);
        assert_eq!(texts(model, "a<|im_end|>b", false).concat(), "a<|im_end|>b");
        assert!(texts(model, "a<|im_end|>b", false).len() > 3);
        let end = vocabulary.encode("<|im_end|>", true)[0];
        assert!(vocabulary.is_end(end) && vocabulary.is_special(end) && vocabulary.ends().contains(&end));
        let plain = vocabulary.encode("a", true)[0];
        assert!(!vocabulary.is_end(plain) && !vocabulary.is_special(plain));
    }
}

#[test]
fn pieces_added_by_the_maker_are_found_first() {
    let [_, pieces] = both();
    assert_eq!(texts(pieces, "a\n\n\nb", false), ["a", "\n\n", "\n", "b"]);
}

#[test]
fn only_a_model_that_wants_it_begins_with_a_mark() {
    let [pairs, pieces] = both();
    assert_eq!(pairs.vocabulary().begin(), None);
    assert_eq!(pieces.vocabulary().begin(), Some(1));
}

#[test]
fn a_token_that_is_not_there_has_no_bytes() {
    let [pairs, _] = both();
    let vocabulary = pairs.vocabulary();
    assert_eq!(vocabulary.bytes(u32::MAX), b"");
    assert!(!vocabulary.is_special(u32::MAX) && !vocabulary.is_end(u32::MAX));
}

#[test]
fn a_word_without_end_is_no_trouble() {
    for model in both() {
        for text in ["the".repeat(50_000), " ".repeat(100_000), "\u{1f642}".repeat(20_000)] {
            assert_eq!(texts(model, &text, false).len(), model.vocabulary().encode(&text, false).len());
        }
    }
}
