//! Hosted services by name: data that says where they are and what they take.
//!
//! The built-in table is `presets.toml` beside this file; its owner's own rows win. This file must
//! not read the environment: it names the variable of a key, and others look it up.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::Deserialize;

use super::quirks::Quirks;
use super::{Anthropic, Limits, OpenAi, Provider, ProviderError};

const BUILT_IN: &str = include_str!("presets.toml");

/// One service.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// Its name for people.
    pub name: String,
    pub protocol: Protocol,
    pub base_url: String,
    /// The environment variable that holds the key.
    pub key_env: Option<String>,
    /// Context window in tokens, where the service's list of models does not tell.
    pub window: Option<u32>,
    #[serde(flatten)]
    pub quirks: Quirks,
}

/// What a service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Openai,
    Anthropic,
}

/// All presets by name: the built-in ones, and those of `own`, the text of a user's file.
///
/// # Errors
/// What is wrong in `own`, with its line.
pub fn all(own: Option<&str>) -> Result<BTreeMap<String, Preset>, toml::de::Error> {
    // The invariant behind `expect`: a test reads the built-in table.
    let mut presets: BTreeMap<String, Preset> =
        toml::from_str(BUILT_IN).expect("the built-in presets are valid");
    if let Some(own) = own {
        presets.extend(toml::from_str::<BTreeMap<String, Preset>>(own)?);
    }
    Ok(presets)
}

impl Preset {
    /// A provider for one model of the service.
    ///
    /// # Errors
    /// [`ProviderError::Address`] for an address or a key that cannot be used.
    pub fn provider(
        &self,
        key: Option<SecretString>,
        model: &str,
        limits: Limits,
    ) -> Result<Provider, ProviderError> {
        Ok(match self.protocol {
            Protocol::Openai => {
                Provider::OpenAi(OpenAi::with_quirks(&self.base_url, key, model, limits, self.quirks)?)
            }
            Protocol::Anthropic => Provider::Anthropic(Anthropic::new(&self.base_url, key, model, limits)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::quirks::{LimitName, SchemaForm};
    use super::super::testing::{Server, request, told};
    use super::super::{Schema, StopReason};
    use super::*;

    #[test]
    fn the_built_in_presets_can_be_used() {
        let presets = all(None).unwrap();
        let names: Vec<&str> = presets.keys().map(String::as_str).collect();
        assert_eq!(names, ["anthropic", "deepseek", "gemini", "groq", "mistral", "openai", "openrouter"]);
        for (name, preset) in &presets {
            assert!(preset.base_url.starts_with("https://"), "{name}");
            let key: SecretString = "k".to_owned().into();
            let provider = preset.provider(Some(key), "m", Limits::default()).unwrap();
            assert!(provider.describe().contains("https://"), "{}", provider.describe());
            assert!(preset.key_env.as_deref().is_some_and(|name| name.ends_with("_API_KEY")));
        }
        assert_eq!(presets["openai"].quirks.limit, LimitName::MaxCompletionTokens);
        assert_eq!(presets["deepseek"].quirks.schema, SchemaForm::JsonObject);
    }

    #[test]
    fn own_presets_add_and_win_and_mistakes_are_named() {
        let own = "[work]\nname = \"Work\"\nprotocol = \"openai\"\nbase_url = \"https://llm.example/v1\"\n\
                   [groq]\nname = \"Mine\"\nprotocol = \"openai\"\nbase_url = \"https://g.example\"";
        let presets = all(Some(own)).unwrap();
        assert_eq!((presets["work"].name.as_str(), presets["groq"].name.as_str()), ("Work", "Mine"));
        assert_eq!(presets["work"].quirks, Quirks::default());
        let error = all(Some("[x]\nname = \"X\"\nprotocol = \"smtp\"\nbase_url = \"\"")).unwrap_err();
        assert!(error.to_string().contains("smtp"), "{error}");
        assert!(all(Some("[x]\nname = \"X\"\nprotocol = \"openai\"\nbase_url = \"b\"\nsecret = 1")).is_err());
    }

    /// The fields of a request that a service documents. Some refuse all others.
    fn known(name: &str) -> Vec<&'static str> {
        let mut fields = vec!["model", "messages", "stream", "temperature"];
        fields.extend(match name {
            "openai" => {
                return vec!["model", "input", "stream", "store", "max_output_tokens", "temperature", "text"];
            }
            "anthropic" => {
                return vec![
                    "model",
                    "messages",
                    "system",
                    "stream",
                    "temperature",
                    "max_tokens",
                    "tools",
                    "tool_choice",
                ];
            }
            "mistral" => vec!["max_tokens", "random_seed", "response_format"],
            "groq" => vec!["max_completion_tokens", "seed", "stream_options"],
            "gemini" | "deepseek" => vec!["max_tokens", "response_format", "stream_options"],
            "openrouter" => vec!["max_tokens", "seed", "response_format", "stream_options"],
            other => panic!("{other} has no row here"),
        });
        fields
    }

    /// A service that takes what it knows, wants its key, and says one word in its own protocol.
    async fn service(name: &'static str, path: &'static str) -> Server {
        Server::start(move |asked, mut wire| async move {
            let key = match name {
                "anthropic" => "x-api-key: k",
                _ => "authorization: bearer k",
            };
            // To this machine, where the test is, llama.cpp's own fields are sent as well.
            let foreign = |field: &&String| {
                !known(name).contains(&field.as_str())
                    && !matches!(field.as_str(), "cache_prompt" | "id_slot")
            };
            let body = asked.json();
            let unknown = body.as_object().unwrap().keys().find(foreign).cloned();
            if asked.line != format!("POST {path}") || !asked.headers.contains(key) || unknown.is_some() {
                let text = format!("{} {:?} {unknown:?}", asked.line, asked.headers);
                return wire.whole(418, "text/plain", text.as_bytes()).await;
            }
            let events: Vec<Value> = match name {
                "openai" => vec![
                    json!({"type": "response.output_text.delta", "delta": "yes"}),
                    json!({"type": "response.completed", "response": {"status": "completed"}}),
                ],
                "anthropic" => vec![
                    json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "yes"}}),
                    json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
                    json!({"type": "message_stop"}),
                ],
                _ => vec![
                    json!({"choices": [{"index": 0, "delta": {"content": "yes"}, "finish_reason": "stop"}]}),
                ],
            };
            let text: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
            wire.whole(200, "text/event-stream", text.as_bytes()).await;
        })
        .await
    }

    #[tokio::test]
    async fn each_built_in_preset_asks_as_its_service_takes_it() {
        for (name, path) in [
            ("openai", "/v1/responses"),
            ("anthropic", "/v1/messages"),
            ("gemini", "/v1beta/openai/chat/completions"),
            ("deepseek", "/chat/completions"),
            ("openrouter", "/api/v1/chat/completions"),
            ("groq", "/openai/v1/chat/completions"),
            ("mistral", "/v1/chat/completions"),
        ] {
            let server = service(name, path).await;
            let mut preset = all(None).unwrap().remove(name).unwrap();
            let below = preset.base_url.splitn(4, '/').nth(3).unwrap_or_default();
            preset.base_url = format!("{}/{below}", server.url);
            let limits = super::super::testing::limits();
            let provider = preset.provider(Some("k".to_owned().into()), "m", limits).unwrap();
            let mut asked = request("hello");
            asked.schema = Some(Schema { name: "plan".into(), json: json!({"type": "object"}) });
            let answer = provider.chat(&asked).await;
            let (text, ending) =
                told(answer.unwrap_or_else(|error| panic!("{name}: {error}"))).await.unwrap();
            assert_eq!((text.as_str(), ending.reason), ("yes", StopReason::Complete), "{name}");
            assert_eq!(server.asked().len(), 1, "{name}: nothing had to be given up");
        }
    }
}
