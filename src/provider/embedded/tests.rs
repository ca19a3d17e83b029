//! The provider with tiny models of random weights, whose answers are noise in a known form.

use std::time::Duration;

use countersign_inference::format::Format;
use countersign_inference::header::Architecture;
use countersign_inference::sample::Sample;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::*;
use crate::provider::testing::{request, told_within};
use crate::provider::{Chunk, Ending, Preface, Provider, Schema, Speaker, StopReason};
use crate::weights::Store;

/// A tiny model in a folder of its own, which has to outlive it.
fn tiny(architecture: Architecture, seed: u64) -> (tempfile::TempDir, Embedded) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    std::fs::write(&path, Sample { architecture, format: Format::Q8_0, seed }.gguf()).unwrap();
    let weights = Weights { threads: Some(1), store: Store::in_folder(folder.path()), ..Weights::default() };
    let embedded = Embedded::open(&weights, path.to_str().unwrap()).unwrap();
    (folder, embedded)
}

async fn answer(embedded: &Embedded, request: &ChatRequest) -> Result<(String, Ending), ProviderError> {
    told_within(Duration::from_secs(300), embedded.chat(request)).await
}

/// A schema whose every answer is short.
fn schema() -> Schema {
    let json = json!({
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["edit", "create"]},
            "name": {"type": "string", "maxLength": 12},
            "numbers": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 99}, "maxItems": 3},
            "sure": {"type": "boolean"},
        },
        "required": ["kind", "name", "numbers", "sure"],
        "additionalProperties": false,
    });
    Schema { name: "answer".into(), json }
}

#[tokio::test]
async fn every_answer_of_a_random_model_keeps_the_schema() {
    for (architecture, seed) in
        [(Architecture::Qwen2, 1), (Architecture::Llama, 2), (Architecture::Gemma3, 3)]
    {
        let (_folder, embedded) = tiny(architecture, seed);
        for temperature in [0.0, 1.0, 5.0] {
            let request = ChatRequest {
                schema: Some(schema()),
                temperature,
                answer_limit: 400,
                ..request("Say something.")
            };
            let (text, ending) = answer(&embedded, &request).await.unwrap();
            assert_eq!(ending.reason, StopReason::Complete, "{text}");
            let value: Value = serde_json::from_str(&text).unwrap();
            assert!(["edit", "create"].contains(&value["kind"].as_str().unwrap()), "{text}");
            assert!(value["name"].as_str().unwrap().chars().count() <= 12, "{text}");
            let numbers = value["numbers"].as_array().unwrap();
            assert!(numbers.len() <= 3 && numbers.iter().all(|n| n.as_u64().unwrap() <= 99), "{text}");
            assert!(value["sure"].is_boolean() && value.as_object().unwrap().len() == 4, "{text}");
        }
    }
}

#[tokio::test]
async fn every_block_of_a_random_model_is_found() {
    let text = "def a():\n    return 1\n\n\ndef b():\n    return 1\n";
    let shown = [crate::region::whole("a.py", text)];
    let blocks = crate::edit::layout::of(
        crate::message::EditFormat::SearchReplace,
        "a.py",
        text,
        &shown,
        Preface::Nothing,
    );
    assert!(blocks.is_some());
    let (_folder, embedded) = tiny(Architecture::Qwen3, 4);
    let mut complete = 0;
    for seed in 0..8 {
        let request = ChatRequest {
            layout: blocks.clone(),
            temperature: 1.0,
            seed: Some(seed),
            answer_limit: 120,
            ..request("Edit a.py.")
        };
        let (answer, _) = answer(&embedded, &request).await.unwrap();
        let search = answer.strip_prefix("a.py\n<<<<<<< SEARCH\n").unwrap();
        if let Some((search, _)) = search.split_once("=======\n") {
            assert_eq!(text.matches(search).count(), 1, "{search:?} is not in the file once");
            complete += 1;
        }
    }
    assert!(complete > 0, "no answer came as far as its replacement");
}

#[tokio::test]
async fn counts_limits_and_overflow_are_told_as_a_server_does() {
    let (_folder, embedded) = tiny(Architecture::Qwen2, 5);
    let asked = request("Count to ten.");
    let counted = embedded.count(&asked.messages).await.unwrap();
    let (_, ending) = answer(&embedded, &ChatRequest { answer_limit: 7, ..asked.clone() }).await.unwrap();
    assert_eq!(ending.prompt_tokens, Some(counted));
    assert_eq!((ending.evaluated_tokens, ending.reason), (Some(counted), StopReason::Length));
    assert!(ending.answer_tokens.unwrap() <= 7);
    let window = counted + 5;
    let (_, ending) =
        answer(&embedded, &ChatRequest { window, answer_limit: 100, ..asked.clone() }).await.unwrap();
    assert!(ending.answer_tokens.unwrap() <= 5, "the window ends the answer");
    let overflow = answer(&embedded, &ChatRequest { window: counted, ..asked }).await.unwrap_err();
    let expected = (Some(counted), Some(counted));
    assert!(
        matches!(&overflow, ProviderError::Overflow { prompt_tokens, window, .. } if (*prompt_tokens, *window) == expected),
        "{overflow:?}"
    );
}

#[tokio::test]
async fn a_prompt_that_goes_on_is_not_read_again_and_answers_the_same() {
    let (_folder, embedded) = tiny(Architecture::Qwen2, 6);
    let (_other_folder, fresh) = tiny(Architecture::Qwen2, 6);
    let first = ChatRequest { answer_limit: 20, ..request("What is this?") };
    let (said, start) = answer(&embedded, &first).await.unwrap();
    let mut longer = first.clone();
    longer.messages.push(Message { speaker: Speaker::Assistant, text: said });
    longer.messages.push(Message { speaker: Speaker::User, text: "And that?".into() });
    let (cached, ending) = answer(&embedded, &longer).await.unwrap();
    let (prompt, read) = (ending.prompt_tokens.unwrap(), ending.evaluated_tokens.unwrap());
    assert!(read < prompt && prompt - read >= start.prompt_tokens.unwrap() - 8, "{read} of {prompt}");
    let (anew, ending) = answer(&fresh, &longer).await.unwrap();
    assert_eq!(ending.evaluated_tokens, ending.prompt_tokens);
    assert_eq!(cached, anew);
    // Each role has a prompt of its own: another one in between changes nothing.
    let other = ChatRequest { role: "coder".into(), ..request("Something else entirely.") };
    answer(&embedded, &other).await.unwrap();
    let (_, ending) = answer(&embedded, &longer).await.unwrap();
    assert_eq!(ending.evaluated_tokens, Some(1));
}

#[tokio::test]
async fn a_stream_that_is_dropped_sets_the_thread_free() {
    let (_folder, embedded) = tiny(Architecture::Qwen2, 7);
    // More pieces than may wait: the thread stands still while nobody reads.
    let long = ChatRequest { answer_limit: 3000, temperature: 1.0, ..request("Go on and on.") };
    let mut stream = embedded.chat(&long);
    assert!(matches!(stream.next().await, Some(Ok(Chunk::Text(_)))));
    drop(stream);
    let asked = request("And now?");
    let counted = tokio::time::timeout(Duration::from_secs(300), embedded.count(&asked.messages)).await;
    assert!(counted.unwrap().is_some());
    // A question that nobody waits for any more is not even begun.
    drop(embedded.chat(&long));
    assert!(answer(&embedded, &asked).await.is_ok());
}

#[tokio::test]
async fn one_file_is_one_model_and_its_name_may_be_a_path() {
    let (folder, embedded) = tiny(Architecture::Llama, 8);
    let provider = Provider::Embedded(embedded.clone());
    assert_eq!(provider.model(), "tiny.gguf");
    let again = provider.with_model("tiny.gguf").unwrap();
    let Provider::Embedded(again) = &again else { panic!("another kind") };
    assert!(Arc::ptr_eq(&again.inner.engine, &embedded.inner.engine));
    let models = provider.models().await.unwrap();
    assert_eq!((models.len(), models[0].name.as_str(), models[0].loaded), (1, "tiny.gguf", false));
    answer(&embedded, &request("Hi")).await.unwrap();
    assert!(provider.models().await.unwrap()[0].loaded);
    assert_eq!(provider.window().await.unwrap().unwrap().tokens, 4096);
    let sized = provider.sized(None).await.unwrap();
    assert!(sized.tokens == 4096 && sized.why.contains("2 layers"), "{}", sized.why);
    std::fs::write(folder.path().join("broken.gguf"), b"GGUF and nothing more").unwrap();
    let broken = provider.with_model("broken.gguf").unwrap_err().to_string();
    assert!(broken.contains("broken.gguf cannot run in this process"), "{broken}");
    // A file with the name of a model is not taken for one: a repository may hold it.
    std::fs::copy(folder.path().join("tiny.gguf"), folder.path().join("qwen3-4b")).unwrap();
    assert!(provider.with_model(folder.path().join("qwen3-4b").to_str().unwrap()).is_err());
    let nowhere = provider.with_model("nowhere").unwrap_err().to_string();
    assert!(nowhere.contains("countersign models list"), "{nowhere}");
}

#[test]
fn the_window_follows_the_memory_and_the_choice_is_explained() {
    let (_folder, embedded) = tiny(Architecture::Qwen2, 9);
    let header = embedded.header();
    let all = memory::needed(header, 4096, 3);
    let one = memory::needed(header, 4096, 1);
    let plan = |free: u64| memory::plan(header, free);
    assert_eq!(
        (plan(2 * all).window, plan(2 * all).sessions),
        (4096, 3),
        "never beyond what it was trained for"
    );
    assert_eq!(plan((all + one) / 2 * 5 / 4).sessions, 1);
    let nothing = plan(0);
    assert!(nothing.sessions == 1 && nothing.why.contains("more than"), "{}", nothing.why);
    let mut huge = header.clone();
    (huge.context, huge.layers, huge.key_heads) = (1 << 20, 1 << 10, 1 << 10);
    assert_eq!(memory::plan(&huge, 1 << 50).window, 16_384);
    assert_eq!(memory::plan(&huge, 1 << 30).window, 4_096);
}
