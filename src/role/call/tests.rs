//! Calls over scripts: limits, sums, and what counts teach.

use super::*;
use crate::provider::Scripted;
use crate::role::Roles;
use crate::session::SessionLog;

fn caller(folder: &std::path::Path, script: &str) -> Caller {
    let (_, log) = SessionLog::create(folder, "20260101-000000").unwrap();
    let (events, _) = Events::new(log);
    let prompts = Arc::new(Prompts::load(None).unwrap());
    let spec = Roles::load(None, &prompts).unwrap().architect;
    let provider = Provider::Scripted(Scripted::parse("s", script).unwrap());
    Caller { spec, prompts, model: Model::new(provider, 8192), events }
}

fn asked() -> Vec<Message> {
    vec![Message { speaker: Speaker::User, text: "plan ".repeat(200) }]
}

const ANSWERS: &str = r#"{"text": "a", "prompt_tokens": 600, "answer_tokens": 500, "evaluated_tokens": 600}
    {"text": "b", "prompt_tokens": 600, "answer_tokens": 500, "evaluated_tokens": 10}
    {"text": "c", "prompt_tokens": 600}"#;

#[tokio::test]
async fn a_task_and_a_role_end_at_their_limits_and_say_which() {
    let folder = tempfile::tempdir().unwrap();
    let mut caller = caller(folder.path(), ANSWERS);
    caller.spec.budget.tokens = 1_000;
    let mut allowance = caller.allowance();
    caller.call(&mut allowance, &asked(), Form::Free).await.unwrap();
    let error = caller.call(&mut allowance, &asked(), Form::Free).await.unwrap_err().to_string();
    assert_eq!(error, "the architect stops here: its own limit of 1000 tokens is reached");

    // Another request to the role has an account of its own; the task has not.
    caller.call(&mut caller.allowance(), &asked(), Form::Free).await.unwrap();
    caller.model.limits.calls = 2;
    let error = caller.call(&mut caller.allowance(), &asked(), Form::Free).await.unwrap_err().to_string();
    assert_eq!(error, "the architect stops here: the task's limit of 2 calls is reached");
    let spent = caller.model.take_usage();
    assert_eq!((spent.calls, spent.prompt_tokens, spent.evaluated_tokens), (2, Some(1200), Some(610)));
    assert!(
        caller.call(&mut caller.allowance(), &asked(), Form::Free).await.is_ok(),
        "a new task begins at nothing"
    );
}

#[tokio::test]
async fn a_call_that_takes_longer_than_its_role_may_is_broken_off() {
    let folder = tempfile::tempdir().unwrap();
    let slow = r#"{"chunks": ["one ", {"delay_ms": 600000}, "two"]}"#;
    let mut caller = caller(folder.path(), slow);
    caller.spec.budget.seconds = 1;
    let error = caller.call(&mut caller.allowance(), &asked(), Form::Free).await.unwrap_err().to_string();
    assert_eq!(error, "the architect stops here: its own limit of 1 seconds is reached");
    let spent = caller.model.take_usage();
    assert!(spent.calls == 1 && spent.millis >= 1_000, "{spent:?}");
    caller.model = Model::new(Provider::Scripted(Scripted::parse("s", slow).unwrap()), 8192);
    caller.spec.budget.seconds = 3_600;
    caller.model.limits.time = Duration::from_millis(20);
    let error = caller.call(&mut caller.allowance(), &asked(), Form::Free).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the architect stops here: the task's limit of 0 minutes of the model's time is reached"
    );
}

#[tokio::test]
async fn tokens_that_no_server_counts_are_spent_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut caller = caller(folder.path(), "{\"text\": \"a\"}\n{\"text\": \"b\"}");
    caller.model.limits.tokens = 300;
    caller.call(&mut caller.allowance(), &asked(), Form::Free).await.unwrap();
    let error = caller.call(&mut caller.allowance(), &asked(), Form::Free).await.unwrap_err().to_string();
    assert_eq!(error, "the architect stops here: the task's limit of 300 tokens is reached");
}

#[tokio::test]
async fn a_sum_is_told_only_when_every_call_was_counted() {
    let folder = tempfile::tempdir().unwrap();
    let caller = caller(folder.path(), ANSWERS);
    for _ in 0..3 {
        caller.call(&mut caller.allowance(), &asked(), Form::Free).await.unwrap();
    }
    let spent = caller.model.take_usage();
    assert_eq!((spent.prompt_tokens, spent.evaluated_tokens, spent.answer_tokens), (Some(1800), None, None));
}

#[tokio::test]
async fn counts_teach_the_estimate_of_later_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Measurements::in_folder(&folder.path().join("models"));
    let script = "{\"text\": \"a\", \"prompt_tokens\": 258}\n".repeat(4);
    let mut caller = caller(folder.path(), &script);
    caller.model = caller.model.measured_in(kept.clone());
    for _ in 0..4 {
        caller.call(&mut caller.allowance(), &asked(), Form::Free).await.unwrap();
    }
    let (samples, error) = caller.model.estimate_error().unwrap();
    assert_eq!(samples, 4);
    assert!(error < 0.01, "{error}");
    assert_eq!(kept.of("scripted").tokens.estimate(Size { bytes: 1_000, messages: 1 }), 258);
}
