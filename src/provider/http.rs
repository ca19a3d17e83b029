//! How we reach a server: addresses, the HTTP client and its rules, small JSON questions.
//!
//! The rules: no redirect is followed, no proxy stands between us and this machine, connecting has
//! a limit and waiting for the first token has none. This file must not know any server's dialect.

use std::net::IpAddr;
use std::sync::Once;
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::error::{ProviderError, excerpt, refused};
use super::{Limits, lines};

/// Longest wait for the answer to a question about models; such answers need no inference.
pub(super) const QUESTION_LIMIT: Duration = Duration::from_secs(10);

/// Most bytes of an answer that is not a stream. Lists of hosted models reach a megabyte.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// An address that was checked, and how it is shown: without credentials and query.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    url: Url,
    shown: String,
}

impl Address {
    /// Reads `http://host:port/path`, or the same without its scheme.
    pub(super) fn parse(text: &str) -> Result<Address, ProviderError> {
        let refuse =
            |why: &str| ProviderError::Address { address: without_login(text.trim()), why: why.to_owned() };
        let text = text.trim();
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut url = Url::parse(&full).map_err(|error| refuse(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("only http and https are spoken"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(refuse("it names no host"));
        }
        url.set_query(None);
        url.set_fragment(None);
        // 0.0.0.0 is where a server listens, not where a client can reliably reach it.
        match url.host_str() {
            Some("0.0.0.0") => drop(url.set_host(Some("127.0.0.1"))),
            Some("[::]") => drop(url.set_host(Some("[::1]"))),
            _ => {}
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        let mut bare = url.clone();
        // Both fail only for addresses without a host, which were refused above.
        let _ = bare.set_username("");
        let _ = bare.set_password(None);
        let shown = bare.as_str().trim_end_matches('/').to_owned();
        Ok(Address { url, shown })
    }

    /// For messages and for people.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Without a slash at its end, credentials included: for requests only.
    pub(super) fn base(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_owned()
    }

    /// The same server without the `/v1` under which it is OpenAI-compatible.
    pub(super) fn root(&self) -> String {
        let base = self.base();
        base.strip_suffix("/v1").map(str::to_owned).unwrap_or(base)
    }

    pub(super) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether the server is this machine.
    pub(super) fn is_this_machine(&self) -> bool {
        let host = self.host().trim_matches(['[', ']']);
        host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

fn without_login(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

/// rustls asks for one process-wide provider of cryptography; we use ring, which builds without
/// cmake or assembler on every system that we support.
pub fn install_cryptography() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that a provider is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The key to send, if there is one: an empty one is none.
///
/// # Errors
/// [`ProviderError::Address`] for a key that does not fit into a header.
pub(super) fn usable_key(
    address: &Address,
    key: Option<SecretString>,
    fits: impl Fn(&SecretString) -> bool,
) -> Result<Option<SecretString>, ProviderError> {
    let key = key.filter(|key| !key.expose_secret().trim().is_empty());
    match key.as_ref().is_none_or(fits) {
        true => Ok(key),
        false => Err(ProviderError::Address {
            address: address.shown().to_owned(),
            why: "its API key holds characters that no key has, such as a line end".to_owned(),
        }),
    }
}

/// The client for one server.
///
/// # Errors
/// [`ProviderError::Address`] when the system's certificates cannot be loaded.
pub(super) fn client(address: &Address, limits: &Limits) -> Result<reqwest::Client, ProviderError> {
    install_cryptography();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(limits.connect)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true);
    if address.is_this_machine() {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| ProviderError::Address {
        address: address.shown().to_owned(),
        why: format!("the HTTP client cannot be set up: {}", innermost(&error)),
    })
}

/// The error for a request that got no answer at all.
pub(super) fn unreachable(address: &Address, error: &reqwest::Error) -> ProviderError {
    let cause = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        excerpt(innermost(error).as_bytes())
    };
    ProviderError::Unreachable { url: address.shown().to_owned(), cause }
}

/// The first cause, which is the one that tells something: `connection refused`.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Lets a response with a good status pass and reads any other into an error.
pub(super) async fn accepted(
    address: &Address,
    model: &str,
    response: reqwest::Response,
) -> Result<reqwest::Response, ProviderError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if status.is_redirection() {
        let to = header("location").unwrap_or_else(|| "nowhere".to_owned());
        let to = excerpt(without_login(&to).as_bytes());
        return Err(ProviderError::Redirect { url: address.shown().to_owned(), to });
    }
    let retry_after = header("retry-after");
    // A server that fails may also fail to finish its error page.
    let body = tokio::time::timeout(QUESTION_LIMIT, body(response)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    Err(refused(address.shown(), status.as_u16(), retry_after.as_deref(), &body, model))
}

/// A response made of a body that was looked at.
pub(super) fn response_with(body: reqwest::Body) -> reqwest::Response {
    reqwest::Response::from(::http::Response::new(body))
}

/// A whole body, up to a limit that no honest server reaches.
pub(super) async fn body(response: reqwest::Response) -> Result<Vec<u8>, lines::Broken> {
    lines::whole(response.bytes_stream(), BODY_LIMIT).await
}

/// Asks a small question and reads the answer as JSON.
pub(super) async fn question(
    client: &reqwest::Client,
    address: &Address,
    url: &str,
    bearer: Option<&str>,
) -> Result<Value, ProviderError> {
    let asked = async {
        let mut request = client.get(url);
        if let Some(key) = bearer {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(|error| unreachable(address, &error))?;
        let response = accepted(address, "", response).await?;
        let bytes = body(response).await.map_err(|broken| broken.question(address.shown()))?;
        serde_json::from_slice(&bytes).map_err(|_| ProviderError::Protocol {
            url: address.shown().to_owned(),
            what: format!("it answers with something that is not JSON: {}", excerpt(&bytes)),
        })
    };
    within_limit(address, asked).await
}

/// Bounds a question that needs no inference.
pub(super) async fn within_limit<T>(
    address: &Address,
    asked: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    tokio::time::timeout(QUESTION_LIMIT, asked).await.unwrap_or_else(|_| {
        Err(ProviderError::Unreachable {
            url: address.shown().to_owned(),
            cause: format!("connected, but no answer within {} s", QUESTION_LIMIT.as_secs()),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match Address::parse(text) {
            Ok(address) => address.shown().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn addresses_are_read_leniently_and_shown_without_secrets() {
        assert_eq!(shown(" localhost:8080/v1/ "), "http://localhost:8080/v1");
        assert_eq!(shown("0.0.0.0:11434"), "http://127.0.0.1:11434");
        assert_eq!(shown("[::]:11434"), "http://[::1]:11434");
        assert_eq!(shown("https://me:secret@host/v1?key=abc#x"), "https://host/v1");
        assert!(!shown("ftp://me:secret@host").contains("secret"));
        assert!(!shown("http://me:secret@ho st").contains("secret"));
        assert!(shown("").contains("not the address"));
        assert!(shown("http://").contains("not the address"));
    }

    #[test]
    fn this_machine_is_known_by_name_and_number() {
        let here = |text: &str| Address::parse(text).unwrap().is_this_machine();
        assert!(here("localhost:1") && here("127.3.2.1:1") && here("[::1]:1"));
        assert!(!here("localhost.example.com") && !here("192.168.0.4") && !here("127.0.0.1.example.com"));
    }

    #[test]
    fn a_root_loses_only_its_version() {
        let root = |text: &str| Address::parse(text).unwrap().root();
        assert_eq!(root("http://h:1/v1/"), "http://h:1");
        assert_eq!(root("http://h:1/api/v1"), "http://h:1/api");
        assert_eq!(root("http://h:1"), "http://h:1");
    }
}
