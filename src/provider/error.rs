//! What can go wrong between us and a model server, and how a server's own words are read.
//!
//! Every message says what happened, where, and what to try next. Text that came from a server is
//! cleaned of control characters and cut before it enters a message. This file must not know how
//! bytes are fetched.

use serde_json::Value;

/// Why a model could not be asked, or its answer not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The address in the configuration cannot be used at all.
    #[error("`{address}` is not the address of a model server: {why}. Give one like http://127.0.0.1:11434")]
    Address { address: String, why: String },
    /// Nobody answered.
    #[error("no model server answers at {url} ({cause}). Start it, or give the address where it runs")]
    Unreachable { url: String, cause: String },
    /// The server exists and refused the request.
    #[error("the model server at {url} refused the request with status {status}: {body}. {}", http_advice(*.status))]
    Http { url: String, status: u16, body: String },
    /// The server is loading a model or has too much to do.
    #[error(
        "the model server at {url} cannot answer now (status {status}): {message}. {}",
        wait_advice(*.retry_after)
    )]
    Busy {
        url: String,
        status: u16,
        message: String,
        /// Seconds that the server asks us to wait.
        retry_after: Option<u64>,
    },
    /// The server points elsewhere. Prompts hold source code, so they follow no redirect.
    #[error(
        "the model server at {url} redirects to {to}; prompts are only sent to the address you gave. If you trust that place, use it as the address"
    )]
    Redirect { url: String, to: String },
    /// What came back is not what such a server sends.
    #[error(
        "{url} does not speak like a model server: {what}. Check the address and that the server is of the configured kind"
    )]
    Protocol { url: String, what: String },
    /// The server reported an error of its own, perhaps in the middle of an answer.
    #[error("the model server at {url} failed: {message}. Its log may say more; then try again")]
    ServerError { url: String, message: String },
    /// The prompt does not fit into the window.
    #[error(
        "the prompt ({}) does not fit into the context window ({}) of the model server at {url}. Ask for less evidence, or start the server with a larger window",
        counted(*.prompt_tokens),
        counted(*.window)
    )]
    Overflow { url: String, prompt_tokens: Option<u32>, window: Option<u32> },
    /// The connection closed before the answer was complete.
    #[error(
        "the model server at {url} stopped in the middle of an answer, after {received} bytes of text ({cause}). It may have run out of memory: look at its log, then try again or take a smaller model"
    )]
    EndedEarly { url: String, received: u64, cause: String },
    /// The answer began and then nothing came for too long.
    #[error(
        "the model server at {url} sent nothing for {seconds} s in the middle of an answer. See whether it still works, then try again"
    )]
    Stalled { url: String, seconds: u64 },
    /// The server does not have the model.
    #[error("the model server at {url} has no model `{model}`. {}", models_advice(.available))]
    NoModel { url: String, model: String, available: Vec<String> },
    /// A model file of our own cannot be used.
    #[error("the model {model} cannot run in this process: {what}")]
    Model { model: String, what: String },
    /// A model of our own does not fit.
    #[error(
        "the model {model} needs {:.1} GB of memory with a window of {window} tokens, and {:.1} GB are free. Close other programs, set a smaller --window, or take a smaller model: `countersign models list` shows them",
        *.needed as f64 / 1e9,
        *.free as f64 / 1e9
    )]
    Memory { model: String, window: u32, needed: u64, free: u64 },
    /// A scripted answer is missing, malformed, or was asked for by the wrong role.
    #[error("script {path}: {what}")]
    Script { path: String, what: String },
}

fn http_advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "Check the API key",
        404 => "Check the address; an OpenAI-compatible one usually ends in /v1",
        500..=599 => "Its log may say more; then try again",
        _ => "Check the model's name and the server's version",
    }
}

fn wait_advice(retry_after: Option<u64>) -> String {
    match retry_after {
        Some(seconds) => format!("Try again in {seconds} s"),
        None => "Wait until its model is loaded, then try again".to_owned(),
    }
}

fn counted(tokens: Option<u32>) -> String {
    tokens.map_or("of unknown size".to_owned(), |tokens| format!("{tokens} tokens"))
}

fn models_advice(available: &[String]) -> String {
    if available.is_empty() {
        "Load one there first".to_owned()
    } else {
        format!("It has: {}", available.join(", "))
    }
}

/// Most characters of server text in a message.
const EXCERPT: usize = 300;

/// Server text made safe for a message: one line, no control or direction-changing characters, cut.
/// A page of HTML becomes its title.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(16 * 1024)]);
    if let Some(title) = html_title(&text) {
        return title;
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut kept: String = text.chars().filter(|c| !unsafe_to_show(*c)).take(EXCERPT + 1).collect();
    if kept.is_empty() {
        return "(empty)".to_owned();
    }
    if kept.chars().count() > EXCERPT {
        kept.pop();
        kept.push('…');
    }
    kept
}

fn html_title(text: &str) -> Option<String> {
    let head: String = text.trim_start().chars().take(15).collect::<String>().to_ascii_lowercase();
    if !(head.starts_with("<!doctype html") || head.starts_with("<html")) {
        return None;
    }
    // Lowercasing ASCII keeps every byte position, so that a find in one text is valid in the other.
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let start = start + "<title>".len();
        let end = lower[start..].find("</title>")? + start;
        Some(text[start..end].split_whitespace().collect::<Vec<_>>().join(" "))
    });
    Some(match title {
        Some(title) if !title.is_empty() => {
            let title: String = title.chars().filter(|c| !unsafe_to_show(*c)).take(80).collect();
            format!("an HTML page, “{title}”")
        }
        _ => "an HTML page".to_owned(),
    })
}

fn unsafe_to_show(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The error for an answer with a status other than success.
pub(super) fn refused(
    url: &str,
    status: u16,
    retry_after: Option<&str>,
    body: &[u8],
    model: &str,
) -> ProviderError {
    let url = url.to_owned();
    let said = serde_json::from_slice::<Value>(body).map(|value| Said::of(&value));
    let said = said.unwrap_or_else(|_| Said { message: excerpt(body), ..Said::default() });
    if said.overflows() {
        return ProviderError::Overflow { url, prompt_tokens: said.prompt_tokens, window: said.window };
    }
    if status == 404 && said.names_missing_model() {
        return ProviderError::NoModel { url, model: model.to_owned(), available: Vec::new() };
    }
    if status == 429 || status == 503 {
        let retry_after = retry_after.and_then(|value| value.trim().parse().ok());
        return ProviderError::Busy { url, status, message: said.message, retry_after };
    }
    ProviderError::Http { url, status, body: said.message }
}

/// The error for an error object inside an answer that began well.
pub(super) fn reported(url: &str, error: &Value) -> ProviderError {
    let said = Said::of(error);
    let url = url.to_owned();
    if said.overflows() {
        return ProviderError::Overflow { url, prompt_tokens: said.prompt_tokens, window: said.window };
    }
    ProviderError::ServerError { url, message: said.message }
}

/// An error in a server's words, in whichever of the known shapes: `{"error":"…"}`,
/// `{"error":{"message":…}}`, and Ollama's JSON inside a JSON string.
#[derive(Debug, Default, PartialEq)]
struct Said {
    message: String,
    /// Both `type` and `code`: servers disagree about which of the two names the kind.
    kinds: Vec<String>,
    prompt_tokens: Option<u32>,
    window: Option<u32>,
}

impl Said {
    fn of(value: &Value) -> Said {
        let mut said = Said::default();
        said.read(value, 4);
        if said.message.is_empty() {
            said.message = value.to_string();
        }
        said.message = excerpt(said.message.as_bytes());
        said
    }

    /// Inner values are read later and win, since they are the more precise.
    fn read(&mut self, value: &Value, depth: u8) {
        if depth == 0 {
            return;
        }
        match value {
            Value::String(text) => {
                self.message = text.clone();
                if let Some(inner) = text.find('{').and_then(|at| serde_json::from_str(&text[at..]).ok()) {
                    self.read(&inner, depth - 1);
                }
            }
            Value::Object(fields) => {
                for name in ["type", "code"] {
                    if let Some(kind) = fields.get(name).and_then(Value::as_str) {
                        self.kinds.push(kind.to_owned());
                    }
                }
                self.prompt_tokens = number(fields.get("n_prompt_tokens")).or(self.prompt_tokens);
                self.window = number(fields.get("n_ctx")).or(self.window);
                for name in ["detail", "message", "error"] {
                    if let Some(inner) = fields.get(name).filter(|inner| !inner.is_null()) {
                        self.read(inner, depth - 1);
                    }
                }
            }
            _ => {}
        }
    }

    fn overflows(&self) -> bool {
        const KINDS: [&str; 2] = ["exceed_context_size_error", "context_length_exceeded"];
        const PHRASES: [&str; 6] = [
            "exceeds the available context size",
            "exceeds the context length",
            "exceeds maximum context length",
            "maximum context length is",
            "exceeds the context window",
            "prompt is too long",
        ];
        let message = self.message.to_ascii_lowercase();
        self.kinds.iter().any(|kind| KINDS.contains(&kind.as_str()))
            || PHRASES.iter().any(|phrase| message.contains(phrase))
    }

    fn names_missing_model(&self) -> bool {
        self.kinds.iter().any(|kind| kind == "model_not_found")
            || self.message.to_ascii_lowercase().contains("model")
    }
}

fn number(value: Option<&Value>) -> Option<u32> {
    value?.as_u64().and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, body: &str) -> ProviderError {
        refused("http://host:1", status, None, body.as_bytes(), "m")
    }

    fn overflow(prompt_tokens: Option<u32>, window: Option<u32>) -> ProviderError {
        ProviderError::Overflow { url: "http://host:1".into(), prompt_tokens, window }
    }

    #[test]
    fn overflow_is_recognised_in_each_dialect() {
        let llama = r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}"#;
        assert_eq!(error(400, llama), overflow(Some(5000), Some(4096)));
        let ollama = serde_json::json!({ "error": llama }).to_string();
        assert_eq!(error(400, &ollama), overflow(Some(5000), Some(4096)));
        let prefixed = serde_json::json!({ "error": format!("llama runner: {llama}") }).to_string();
        assert_eq!(error(500, &prefixed), overflow(Some(5000), Some(4096)));
        let vllm = r#"{"object":"error","message":"This model's maximum context length is 2048 tokens. However, you requested 3000 tokens","type":"BadRequestError","code":400}"#;
        assert_eq!(error(400, vllm), overflow(None, None));
        let openai = r#"{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
        assert_eq!(error(400, openai), overflow(None, None));
    }

    #[test]
    fn an_html_page_is_named_by_its_title() {
        let page = "<!DOCTYPE html><html><head><TITLE> 502 Bad\nGateway </TITLE></head>".to_owned();
        let ProviderError::Http { body, .. } = error(502, &page) else { panic!("not Http") };
        assert_eq!(body, "an HTML page, “502 Bad Gateway”");
        assert_eq!(excerpt("<html>\u{130}<title>x".as_bytes()), "an HTML page");
    }

    #[test]
    fn server_text_cannot_move_the_cursor_or_fill_the_screen() {
        let evil = format!("{{\"error\":\"\\u001b[2Jgone\\u202e {}\"}}", "x".repeat(10_000));
        let ProviderError::Http { body, .. } = error(400, &evil) else { panic!("not Http") };
        assert!(!body.contains(['\u{1b}', '\u{202e}']), "{body:?}");
        assert!(body.chars().count() <= EXCERPT + 1);
    }

    #[test]
    fn a_missing_model_and_a_missing_page_differ() {
        assert!(matches!(error(404, r#"{"error":"model 'm' not found"}"#), ProviderError::NoModel { .. }));
        assert!(matches!(error(404, "404 page not found"), ProviderError::Http { status: 404, .. }));
    }

    #[test]
    fn nested_errors_end() {
        let mut text = "x".to_owned();
        for _ in 0..20 {
            text = serde_json::json!({ "error": text }).to_string();
        }
        assert!(matches!(error(400, &text), ProviderError::Http { .. }));
    }
}
