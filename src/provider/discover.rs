//! What model servers run on this machine, and which model of theirs to take.
//!
//! Only asked when nothing was configured. All places are asked at once and briefly; everything found
//! is returned, so that the program can say what it chose and `doctor` can list the rest. The choice
//! depends on what the servers answer and never on which answers first. This file must not read the
//! environment: places are given.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use secrecy::SecretString;

use super::error::ProviderError;
use super::http::Address;
use super::{Limits, ModelInfo, ModelKind, Ollama, OpenAi, Provider};

/// To find out that nothing listens.
const CONNECT: Duration = Duration::from_millis(300);
/// To hear which models there are.
const ANSWER: Duration = Duration::from_millis(1500);

/// Models above this are rarely what a laptop answers quickly with.
const COMFORTABLE_BYTES: u64 = 10_000_000_000;

/// What to expect at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    Ollama,
    LlamaCpp,
    LmStudio,
}

impl ServerKind {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            ServerKind::Ollama => "Ollama",
            ServerKind::LlamaCpp => "llama.cpp",
            ServerKind::LmStudio => "LM Studio",
        }
    }
}

/// Where a server may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub kind: ServerKind,
    /// Base address as [`Place::provider`] needs it.
    pub url: String,
}

impl Place {
    /// A provider for one of its models.
    ///
    /// # Errors
    /// [`ProviderError::Address`] when the address cannot be used.
    pub fn provider(&self, model: &str, limits: Limits) -> Result<Provider, ProviderError> {
        let key: Option<SecretString> = None;
        Ok(match self.kind {
            ServerKind::Ollama => Provider::Ollama(Ollama::new(&self.url, model, limits)?),
            ServerKind::LlamaCpp | ServerKind::LmStudio => {
                Provider::OpenAi(OpenAi::new(&self.url, key, model, limits)?)
            }
        })
    }
}

/// The usual places, in order of preference. `ollama_host` is the value of Ollama's own variable
/// `OLLAMA_HOST`, in any form that Ollama takes: `host`, `:port`, `host:port`, or a whole address.
pub fn usual_places(ollama_host: Option<&str>) -> Vec<Place> {
    let ollama = ollama_host.map(str::trim).filter(|host| !host.is_empty());
    vec![
        Place {
            kind: ServerKind::Ollama,
            url: ollama.map_or_else(|| "http://127.0.0.1:11434".to_owned(), ollama_address),
        },
        Place { kind: ServerKind::LlamaCpp, url: "http://127.0.0.1:8080/v1".to_owned() },
        Place { kind: ServerKind::LmStudio, url: "http://127.0.0.1:1234/v1".to_owned() },
    ]
}

/// Ollama's rule: its port is 11434, unless a scheme is given, which then brings its own.
fn ollama_address(host: &str) -> String {
    let host = host.trim_matches(['"', '\'']);
    let (scheme, rest) = match host.split_once("://") {
        Some(("ollama", rest)) => (None, rest),
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, host),
    };
    if let Some(scheme) = scheme {
        return format!("{scheme}://{rest}");
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // A bare IPv6 address has colons, none of which starts a port.
    let authority = match authority.parse::<std::net::Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => authority.to_owned(),
    };
    let authority = if authority.starts_with(':') { format!("127.0.0.1{authority}") } else { authority };
    let has_port = authority.rfind(':').is_some_and(|colon| !authority[colon..].contains(']'));
    let authority = match authority.is_empty() {
        true => "127.0.0.1:11434".to_owned(),
        false if has_port => authority,
        false => format!("{authority}:11434"),
    };
    format!("http://{authority}{path}")
}

/// What one place answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub place: Place,
    /// Sorted by name.
    pub models: Result<Vec<ModelInfo>, ProviderError>,
    /// How long the answer took.
    pub millis: u64,
}

/// The model that is taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub place: Place,
    pub model: String,
    /// For people: `loaded, made for code`.
    pub why: String,
}

/// Everything found, in the order of the places given, and the choice, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    pub found: Vec<Found>,
    pub choice: Option<Choice>,
}

/// Asks all places at once. With `wanted`, only a model of that name is chosen (Ollama's `:latest`
/// may be left out).
pub async fn discover(places: &[Place], wanted: Option<&str>) -> Discovery {
    let found = futures::future::join_all(places.iter().map(ask)).await;
    let choice = choose(&found, wanted);
    Discovery { found, choice }
}

async fn ask(place: &Place) -> Found {
    let start = Instant::now();
    let models = tokio::time::timeout(ANSWER, async {
        let limits = Limits { connect: CONNECT, ..Limits::default() };
        place.provider("", limits)?.models().await
    });
    let models = models.await.unwrap_or_else(|_| {
        let url = Address::parse(&place.url).map_or(place.url.clone(), |address| address.shown().to_owned());
        let cause = format!("connected, but no answer within {} ms", ANSWER.as_millis());
        Err(ProviderError::Unreachable { url, cause })
    });
    let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Found { place: place.clone(), models, millis }
}

/// The best model of all: a pure function of what was found.
fn choose(found: &[Found], wanted: Option<&str>) -> Option<Choice> {
    let offers = found.iter().enumerate().flat_map(|(rank, found)| {
        let models = found.models.as_deref().unwrap_or_default();
        models.iter().map(move |model| (rank, &found.place, model))
    });
    if let Some(wanted) = wanted {
        let exact = offers.filter(|(_, _, model)| {
            model.name == wanted || model.name.strip_suffix(":latest") == Some(wanted)
        });
        let best = exact.min_by_key(|(rank, _, model)| (*rank, !model.loaded));
        return best.map(|(_, place, model)| Choice {
            place: place.clone(),
            model: model.name.clone(),
            why: "asked for".to_owned(),
        });
    }
    let (_, place, model) = offers
        .filter(|(_, _, model)| model.kind == ModelKind::Chat)
        .min_by_key(|(rank, _, model)| (preference(model), *rank, model.name.clone()))?;
    Some(Choice { place: place.clone(), model: model.name.clone(), why: reasons(model) })
}

/// The best of one server's models; `None` if none of them can answer.
pub fn best(models: &[ModelInfo]) -> Option<&ModelInfo> {
    let chat = models.iter().filter(|model| model.kind == ModelKind::Chat);
    chat.min_by_key(|model| (preference(model), &model.name))
}

/// Smaller is better: in memory, made for code, made for conversation, of a comfortable size; then
/// the larger of two that fit.
fn preference(model: &ModelInfo) -> (bool, bool, bool, bool, Reverse<u64>) {
    let too_big = model.bytes.is_some_and(|bytes| bytes > COMFORTABLE_BYTES);
    let size = model.bytes.filter(|_| !too_big).unwrap_or(0);
    (!model.loaded, too_big, !codes(&model.name), !converses(&model.name), Reverse(size))
}

fn codes(name: &str) -> bool {
    has_any(name, &["code", "codestral", "devstral", "starcoder"])
}

/// Ollama's names say nothing about this, since its plain tags are tuned for conversation; only a
/// name that says `base` or `text` is not.
fn converses(name: &str) -> bool {
    has_any(name, &["instruct", "chat", "-it"]) || !has_any(name, &["base", "-text", "-pt"])
}

fn has_any(name: &str, signs: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    signs.iter().any(|sign| name.contains(sign))
}

fn reasons(model: &ModelInfo) -> String {
    let reasons = [
        (model.loaded, "loaded"),
        (codes(&model.name), "made for code"),
        (model.bytes.is_some_and(|bytes| bytes > COMFORTABLE_BYTES), "large for a laptop"),
    ];
    let reasons: Vec<_> = reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect();
    if reasons.is_empty() { "the best of what there is".to_owned() } else { reasons.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Server;
    use super::*;

    fn place(kind: ServerKind, url: &str) -> Place {
        let suffix = if kind == ServerKind::Ollama { "" } else { "/v1" };
        Place { kind, url: format!("{url}{suffix}") }
    }

    fn model(name: &str, gigabytes: u64) -> ModelInfo {
        let bytes = Some(gigabytes * 1_000_000_000).filter(|bytes| *bytes > 0);
        let kind = super::super::kind_by_name(name);
        ModelInfo { name: name.to_owned(), bytes, loaded: false, memory: None, window: None, kind }
    }

    fn loaded(name: &str) -> ModelInfo {
        ModelInfo { loaded: true, ..model(name, 0) }
    }

    fn chosen(ollama: Vec<ModelInfo>, llama_cpp: Vec<ModelInfo>, wanted: Option<&str>) -> Option<String> {
        let found = |kind, models| Found { place: place(kind, "http://h"), models: Ok(models), millis: 0 };
        let found = [found(ServerKind::Ollama, ollama), found(ServerKind::LlamaCpp, llama_cpp)];
        choose(&found, wanted)
            .map(|choice| format!("{}: {} ({})", choice.place.kind.name(), choice.model, choice.why))
    }

    #[test]
    fn a_loaded_model_comes_first_then_one_for_code_of_a_good_size() {
        let many = || {
            vec![
                model("nomic-embed-text:latest", 1),
                model("llama3.2:3b", 2),
                model("qwen2.5-coder:7b", 5),
                model("qwen2.5-coder:32b", 20),
                model("qwen2.5-coder:7b-base", 5),
            ]
        };
        assert_eq!(chosen(many(), vec![], None).unwrap(), "Ollama: qwen2.5-coder:7b (made for code)");
        assert_eq!(chosen(many(), vec![loaded("any.gguf")], None).unwrap(), "llama.cpp: any.gguf (loaded)");
        let busy = vec![loaded("nomic-embed-text"), loaded("llama3.2:3b"), model("qwen2.5-coder:7b", 5)];
        assert_eq!(chosen(busy, vec![loaded("any.gguf")], None).unwrap(), "Ollama: llama3.2:3b (loaded)");
        assert_eq!(chosen(vec![model("all-minilm", 1)], vec![], None), None);
        assert_eq!(
            chosen(vec![model("mixtral", 26)], vec![], None).unwrap(),
            "Ollama: mixtral (large for a laptop)"
        );
    }

    #[test]
    fn a_wanted_model_is_taken_or_nothing() {
        let there = || vec![model("qwen:7b", 5), model("llama3:latest", 5)];
        assert_eq!(
            chosen(there(), vec![loaded("x")], Some("llama3")).unwrap(),
            "Ollama: llama3:latest (asked for)"
        );
        assert_eq!(chosen(there(), vec![loaded("x")], Some("qwen")), None);
    }

    #[test]
    fn the_variable_of_ollama_is_read_as_ollama_does() {
        let read = |value: &str| usual_places(Some(value)).remove(0).url;
        assert_eq!(usual_places(None)[0].url, "http://127.0.0.1:11434");
        assert_eq!(read("  "), "http://127.0.0.1:11434");
        assert_eq!(read("box"), "http://box:11434");
        assert_eq!(read(":5000"), "http://127.0.0.1:5000");
        assert_eq!(read("\"0.0.0.0\""), "http://0.0.0.0:11434");
        assert_eq!(read("https://box/ollama"), "https://box/ollama");
        assert_eq!(read("box:80/ollama"), "http://box:80/ollama");
        assert_eq!(read("::1"), "http://[::1]:11434");
        assert_eq!(read("[::1]"), "http://[::1]:11434");
        assert_eq!(read("[::1]:5000"), "http://[::1]:5000");
    }

    #[tokio::test]
    async fn everything_that_answers_is_found_and_silence_is_not_waited_for() {
        let ollama = Server::start(|asked, mut wire| async move {
            match asked.line.as_str() {
                "GET /api/tags" => {
                    wire.whole(
                        200,
                        "application/json",
                        br#"{"models":[{"name":"qwen:7b","modified_at":"","size":5}]}"#,
                    )
                    .await
                }
                _ => wire.whole(404, "text/plain", b"404").await,
            }
        })
        .await;
        // Port 8080 is popular: something that is no model server has to be told apart.
        let other = Server::saying(200, "text/html", "<html><title>Jenkins</title></html>").await;
        let silent = Server::start(|_, wire| wire.closed()).await;
        let places = [
            place(ServerKind::Ollama, &ollama.url),
            place(ServerKind::LlamaCpp, &other.url),
            place(ServerKind::LmStudio, &silent.url),
            place(ServerKind::LmStudio, "http://127.0.0.1:1"),
        ];
        let start = Instant::now();
        let discovery = discover(&places, None).await;
        assert!(start.elapsed() < ANSWER * 10, "{:?}", start.elapsed());
        assert_eq!(discovery.choice.unwrap().model, "qwen:7b");
        let told: Vec<_> = discovery
            .found
            .iter()
            .map(|found| match &found.models {
                Ok(models) => models[0].name.clone(),
                Err(error) => error.to_string(),
            })
            .collect();
        assert_eq!(told[0], "qwen:7b");
        assert!(told[1].contains("Jenkins"), "{}", told[1]);
        assert!(told[2].contains("no answer within 1500 ms"), "{}", told[2]);
        assert!(told[3].contains("refused"), "{}", told[3]);
    }
}
