//! Any server with an OpenAI-compatible API: llama.cpp, LM Studio, vLLM, hosted ones with a key.
//!
//! `async-openai` builds the requests, holds the key and decodes the event stream. What it does not
//! notice (error pages, overlong streams, errors outside the data) is caught below it, in
//! [`transport`]. This file must not know roles or prompts.

mod answer;
mod further;
mod responses;
mod transport;
mod wire;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_openai::Client;
use async_openai::config::Config;
use async_openai::error::OpenAIError;
use async_openai::traits::RequestOptionsBuilder as _;
use async_openai::types::stream::StreamResponse;
use futures::{StreamExt, stream};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::error::{ProviderError, excerpt, reported};
use super::http::{self, Address};
use super::layout;
use super::quirks::{Api, Holding, LimitName, Quirks, SchemaForm};
use super::stream::wire_limit;
use super::{ChatRequest, ChatStream, Limits, Message, ModelInfo, Window, WindowKind};
use answer::{Answer, Held};
use further::Further;
use transport::{Told, Transport};
use wire::{Body, Event};

/// How long an exact count before a call may take; an estimate is worth no longer wait.
const COUNT_LIMIT: Duration = Duration::from_secs(2);

/// One model behind one OpenAI-compatible server.
#[derive(Clone)]
pub struct OpenAi {
    inner: Arc<Inner>,
}

struct Inner {
    address: Address,
    key: Option<SecretString>,
    http: reqwest::Client,
    model: String,
    limits: Limits,
    quirks: Mutex<Quirks>,
    /// What the preset said, to notice what was given up since.
    expected: Quirks,
    slots: Mutex<Slots>,
    /// Whether answers are held to a grammar here.
    holding: Mutex<Holding>,
    /// Whether `/tokenize` and `/apply-template` are there: unknown until asked.
    counts: Mutex<Option<bool>>,
}

/// llama.cpp's slots: each keeps the prompt that it read last. One for each role, as far as they go,
/// so that the roles do not push each other's prompts out.
#[derive(Debug, Default)]
struct Slots {
    /// How many there are; zero until `/props` has told.
    total: usize,
    /// Roles in the order in which they asked first.
    roles: Vec<String>,
}

impl Slots {
    /// The slot of a role; `None` where there is nothing to choose.
    fn of(&mut self, role: &str) -> Option<usize> {
        if self.total < 2 {
            return None;
        }
        let known = self.roles.iter().position(|known| known == role);
        let place = known.unwrap_or_else(|| {
            self.roles.push(role.to_owned());
            self.roles.len() - 1
        });
        Some(place % self.total)
    }
}

impl std::fmt::Debug for OpenAi {
    /// Without the key and without a login in the address.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inner { address, model, .. } = &*self.inner;
        formatter
            .debug_struct("OpenAi")
            .field("url", &address.shown())
            .field("model", model)
            .finish_non_exhaustive()
    }
}

impl OpenAi {
    /// `base` is what the path `/chat/completions` is appended to; it usually ends in `/v1`.
    ///
    /// # Errors
    /// [`ProviderError::Address`] for an address or a key that cannot be sent.
    pub fn new(
        base: &str,
        key: Option<SecretString>,
        model: &str,
        limits: Limits,
    ) -> Result<OpenAi, ProviderError> {
        let address = Address::parse(base)?;
        // OpenAI itself refuses the old name of the limit, and has the newer API; everybody else knows
        // the old ones.
        let host = address.host();
        let quirks = match host == "openai.com" || host.ends_with(".openai.com") {
            true => {
                Quirks { api: Api::Responses, limit: LimitName::MaxCompletionTokens, ..Quirks::default() }
            }
            false => Quirks::default(),
        };
        OpenAi::with_quirks(base, key, model, limits, quirks)
    }

    /// The same for a server whose deviations from the protocol are known.
    ///
    /// # Errors
    /// As for [`OpenAi::new`].
    pub fn with_quirks(
        base: &str,
        key: Option<SecretString>,
        model: &str,
        limits: Limits,
        quirks: Quirks,
    ) -> Result<OpenAi, ProviderError> {
        let address = Address::parse(base)?;
        let key = http::usable_key(&address, key, |key| authorization(key).is_some())?;
        let http = http::client(&address, &limits)?;
        let inner = Inner {
            address,
            key,
            http,
            model: model.to_owned(),
            limits,
            quirks: Mutex::new(quirks),
            expected: quirks,
            slots: Mutex::default(),
            holding: Mutex::default(),
            counts: Mutex::default(),
        };
        Ok(OpenAi { inner: Arc::new(inner) })
    }

    /// The same server with another model.
    pub(super) fn with_model(&self, model: &str) -> Result<OpenAi, ProviderError> {
        let Inner { address, key, limits, expected, .. } = &*self.inner;
        let other = OpenAi::with_quirks(&address.base(), key.clone(), model, *limits, *expected)?;
        // A server that says so has one model, whatever it is called.
        *other.inner.holding.lock().unwrap_or_else(PoisonError::into_inner) = self.holding();
        Ok(other)
    }

    /// The constraint that is left after refusals; `None` when none was refused.
    pub(super) fn schema_form(&self) -> Option<SchemaForm> {
        let now = self.inner.quirks().schema;
        (now != self.inner.expected.schema).then_some(now)
    }

    pub(super) fn holding(&self) -> Holding {
        self.inner.holding()
    }

    /// As many as llama.cpp has slots; the last one at other servers.
    pub(super) fn prompts_kept(&self) -> usize {
        match self.inner.address.is_this_machine() {
            true => self.inner.slots().total.max(1),
            false => 0,
        }
    }

    pub(super) fn draws(&self) -> u32 {
        self.inner.draws(self.inner.quirks())
    }

    pub(super) fn model(&self) -> &str {
        &self.inner.model
    }

    pub(super) fn shown(&self) -> &str {
        self.inner.address.shown()
    }

    pub(super) async fn chat(&self, request: &ChatRequest) -> Result<ChatStream, ProviderError> {
        let inner = &self.inner;
        let slot = inner.slot(&request.role);
        let wanted = layout::grammar(request);
        let (events, told, held, draws) = loop {
            let told = Told::default();
            let quirks = inner.quirks();
            let draws = request.draws.min(inner.draws(quirks));
            let client = inner.client(&told, wire_limit(request.answer_limit.saturating_mul(draws)));
            let holds = inner.holding() == Holding::Held && quirks.api == Api::Chat;
            // A form that a preset denies or a server has refused stays away.
            let holds = holds && (request.schema.is_none() || quirks.schema == SchemaForm::JsonSchema);
            let grammar = wanted.as_ref().filter(|_| holds);
            let gbnf = grammar.map(|grammar| grammar.gbnf.as_str());
            let error = match inner.begin(request, &client, quirks, slot, gbnf, draws).await {
                Ok(events) if grammar.is_none() => break (events, told, None, draws),
                // Older servers of llama.cpp read the grammar when the stream is already open.
                Ok(mut events) => match events.next().await {
                    Some(Ok(Event { error: Some(error), .. })) => reported(self.shown(), &error),
                    first => {
                        let events: StreamResponse<Event> = Box::pin(stream::iter(first).chain(events));
                        let held = grammar.map(|grammar| Held::new(grammar.heads.clone()));
                        break (events, told, held, draws);
                    }
                },
                Err(error) => inner.failure(error, &told),
            };
            // What is tried without it either works or fails for another reason.
            if grammar.is_some() && refuses_grammar(&error) {
                inner.leave_free(Holding::Refused);
                continue;
            }
            // A server that refuses a field names it. It is left out from now on: the answer is
            // validated anyway, and an answer without a constraint is better than none.
            match inner.less(quirks, &error) {
                Some(less) => *inner.quirks.lock().unwrap_or_else(PoisonError::into_inner) = less,
                None => return Err(self.with_available(error).await),
            }
        };
        let answer = Answer::new(inner.clone(), events, told, held, Further::new(draws, request.texts()));
        let chunks = stream::unfold(answer, |mut answer| async move {
            let item = answer.next().await?;
            Some((item, answer))
        });
        Ok(ChatStream::watched(chunks, inner.address.shown(), inner.limits, request.answer_limit))
    }

    /// Says which models there are to someone who asked for one that is not there.
    async fn with_available(&self, error: ProviderError) -> ProviderError {
        let ProviderError::NoModel { url, model, .. } = error else { return error };
        let listed = self.models().await.unwrap_or_default();
        let available = listed.iter().map(|model| excerpt(model.name.as_bytes())).take(20).collect();
        ProviderError::NoModel { url, model, available }
    }

    /// LM Studio tells more about its models at an address of its own; else what every server tells.
    pub(super) async fn models(&self) -> Result<Vec<ModelInfo>, ProviderError> {
        if self.inner.is_private()
            && let Ok(list) = self.inner.ask("/api/v0/models").await
            && let Some(models) = wire::lm_studio_models(&list)
        {
            return Ok(models);
        }
        let list = self.inner.listed().await?;
        wire::listed_models(&list).ok_or_else(|| ProviderError::Protocol {
            url: self.shown().to_owned(),
            what: format!("its list of models is not one: {}", excerpt(list.to_string().as_bytes())),
        })
    }

    /// From llama.cpp's `/props`, LM Studio's `/api/v0/models`, or vLLM's `max_model_len`, whichever
    /// the server has.
    pub(super) async fn window(&self) -> Result<Option<Window>, ProviderError> {
        let fixed = |tokens, source| Window { tokens, kind: WindowKind::Fixed, source };
        if self.inner.is_private() {
            let props = self.inner.ask("/props").await.unwrap_or_default();
            if let Some(tokens) = wire::props_window(&props) {
                let total = props["total_slots"].as_u64().and_then(|slots| usize::try_from(slots).ok());
                self.inner.slots().total = total.unwrap_or(0);
                self.inner.probed(wire::props_holding(&props));
                return Ok(Some(fixed(tokens, "/props of llama.cpp")));
            }
            if let Some(models) =
                self.inner.ask("/api/v0/models").await.ok().and_then(|list| wire::lm_studio_models(&list))
            {
                // An idle model will be loaded with a window that LM Studio decides; its maximum
                // would be a guess, and guesses about windows are how prompts get cut.
                let mine = models.into_iter().find(|model| model.name == self.model() && model.loaded);
                return Ok(mine
                    .and_then(|model| model.window)
                    .map(|tokens| fixed(tokens, "/api/v0/models of LM Studio")));
            }
        }
        let list = self.inner.listed().await?;
        Ok(wire::listed_window(&list, self.model()).map(|tokens| fixed(tokens, "/v1/models")))
    }
}

impl OpenAi {
    /// llama.cpp's own count: its template around the messages, its tokens of the result.
    pub(super) async fn count(&self, messages: &[Message]) -> Option<u32> {
        let inner = &self.inner;
        let known = *inner.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.is_private() || known == Some(false) {
            return None;
        }
        let began = Instant::now();
        let counted = tokio::time::timeout(COUNT_LIMIT, inner.counted(messages)).await.ok().flatten();
        // A server that is busy with something else is asked again next time, one without not.
        if counted.is_some() || (known.is_none() && began.elapsed() < COUNT_LIMIT) {
            *inner.counts.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted.is_some());
        }
        counted
    }
}

impl Inner {
    fn quirks(&self) -> Quirks {
        *self.quirks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holding(&self) -> Holding {
        *self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what the server says about itself, unless it has shown otherwise.
    fn probed(&self, says: Holding) {
        let mut holding = self.holding.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*holding, Holding::Unknown | Holding::Held) {
            *holding = says;
        }
    }

    /// Holds no more answers.
    fn leave_free(&self, why: Holding) {
        *self.holding.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    fn slot(&self, role: &str) -> Option<usize> {
        self.slots().of(role)
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many answers to one prompt it writes side by side: as many as llama.cpp has slots.
    fn draws(&self, quirks: Quirks) -> u32 {
        let can = quirks.slots && quirks.draws && quirks.api == Api::Chat && self.address.is_this_machine();
        let total = self.slots().total;
        if can { u32::try_from(total).unwrap_or(1).max(1) } else { 1 }
    }

    async fn begin(
        &self,
        request: &ChatRequest,
        client: &Client<Settings>,
        quirks: Quirks,
        slot: Option<usize>,
        grammar: Option<&str>,
        draws: u32,
    ) -> Result<StreamResponse<Event>, OpenAIError> {
        match quirks.api {
            Api::Chat => {
                let body = Body::new(request, &self.model, &self.address, quirks, slot, grammar, draws);
                client.chat().create_stream_byot::<_, Event>(body).await
            }
            Api::Responses => {
                let body = responses::Body::new(request, &self.model, &self.address, quirks, slot);
                let chat = client.chat().path("/responses")?;
                let events = chat.create_stream_byot::<_, responses::Event>(body).await?;
                Ok(Box::pin(events.map(|event| event.map(|responses::Event(event)| event))))
            }
        }
    }

    /// What to try after a refusal, if anything.
    fn less(&self, quirks: Quirks, error: &ProviderError) -> Option<Quirks> {
        match error {
            ProviderError::Http { status: 404 | 405 | 501, .. } if quirks.api == Api::Responses => {
                Some(Quirks { api: Api::Chat, ..quirks })
            }
            ProviderError::Http { status: 400 | 422 | 500, body, .. } => quirks.without(body),
            _ => None,
        }
    }

    async fn counted(&self, messages: &[Message]) -> Option<u32> {
        let said = serde_json::json!({ "messages": wire::said(messages) });
        let filled = self.post("/apply-template", &said).await?;
        let prompt = filled["prompt"].as_str()?;
        let asked = serde_json::json!({"content": prompt, "add_special": true, "parse_special": true});
        let tokens = self.post("/tokenize", &asked).await?;
        u32::try_from(tokens["tokens"].as_array()?.len()).ok()
    }

    async fn post(&self, path: &str, body: &Value) -> Option<Value> {
        let mut request = self.http.post(format!("{}{path}", self.address.root())).json(body);
        if let Some(key) = &self.key {
            request = request.bearer_auth(key.expose_secret());
        }
        let response = request.send().await.ok()?;
        let response = http::accepted(&self.address, &self.model, response).await.ok()?;
        serde_json::from_slice(&http::body(response).await.ok()?).ok()
    }

    /// Whether questions beyond the API that everybody has may be asked: a hosted service has
    /// nothing to say there, and need not learn that we tried.
    fn is_private(&self) -> bool {
        self.key.is_none() || self.address.is_this_machine()
    }

    fn client(self: &Arc<Self>, told: &Told, limit: usize) -> Client<Settings> {
        let settings = Settings { base: self.address.base(), key: self.key.clone().unwrap_or_default() };
        Client::build(self.http.clone(), settings).with_http_service(Transport {
            http: self.http.clone(),
            address: self.address.clone(),
            model: self.model.clone(),
            limit,
            told: told.clone(),
        })
    }

    /// A question about the server, beside the OpenAI-compatible part.
    async fn ask(&self, path: &str) -> Result<Value, ProviderError> {
        let url = format!("{}{path}", self.address.root());
        let key = self.key.as_ref().map(ExposeSecret::expose_secret);
        http::question(&self.http, &self.address, &url, key).await.map_err(|error| self.without_key(error))
    }

    async fn listed(self: &Arc<Self>) -> Result<Value, ProviderError> {
        let told = Told::default();
        let client = self.client(&told, wire_limit(0));
        http::within_limit(&self.address, async {
            client.models().list_byot::<Value>().await.map_err(|error| self.failure(error, &told))
        })
        .await
    }

    /// Our own error where the transport found one, else what `async-openai` says.
    fn failure(&self, error: OpenAIError, told: &Told) -> ProviderError {
        let url = self.address.shown().to_owned();
        let error = match told.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(found) => found,
            None => match error {
                OpenAIError::Reqwest(error) => http::unreachable(&self.address, &error),
                OpenAIError::JSONDeserialize(error, content) => ProviderError::Protocol {
                    url,
                    what: format!("an event cannot be read ({error}): {}", excerpt(content.as_bytes())),
                },
                other => ProviderError::Protocol { url, what: excerpt(other.to_string().as_bytes()) },
            },
        };
        self.without_key(error)
    }

    /// Servers like to repeat the key that they refuse.
    fn without_key(&self, mut error: ProviderError) -> ProviderError {
        if let Some(key) = &self.key
            && let ProviderError::Http { body: text, .. }
            | ProviderError::Busy { message: text, .. }
            | ProviderError::ServerError { message: text, .. }
            | ProviderError::Protocol { what: text, .. }
            | ProviderError::Redirect { to: text, .. } = &mut error
        {
            *text = text.replace(key.expose_secret(), "[key]");
        }
        error
    }
}

/// Whether a server says no to the grammar of an answer.
fn refuses_grammar(error: &ProviderError) -> bool {
    match error {
        ProviderError::Http { status: 400 | 422 | 500, body: said, .. }
        | ProviderError::ServerError { message: said, .. } => said.to_ascii_lowercase().contains("grammar"),
        _ => false,
    }
}

fn authorization(key: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret().trim())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What `async-openai` needs to know. Its own `OpenAIConfig` reads the environment, sends an empty
/// bearer token where there is no key, and panics on a key with a line end.
#[derive(Clone)]
struct Settings {
    base: String,
    key: SecretString,
}

impl Config for Settings {
    fn headers(&self) -> HeaderMap {
        let key = Some(&self.key).filter(|key| !key.expose_secret().is_empty());
        key.and_then(authorization).map(|value| (AUTHORIZATION, value)).into_iter().collect()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}

#[cfg(test)]
mod tests;
