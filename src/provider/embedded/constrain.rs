//! Which tokens may come next, so that the answer has the form that was asked for.
//!
//! A thin layer over llguidance, which walks the vocabulary as a trie. It must not know why a form is
//! asked for.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::{Matcher, ParserFactory};
use toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::provider::{ChatRequest, layout};

/// Bytes of a token; longer ones are never allowed. The longest in use are runs of 128 blanks.
const MOST_BYTES: usize = 1024;

/// A vocabulary as the constraint sees it.
pub(super) trait Words: Send + Sync + 'static {
    fn len(&self) -> usize;
    fn bytes(&self, token: u32) -> &[u8];
    fn is_special(&self, token: u32) -> bool;
    fn is_end(&self, token: u32) -> bool;
    /// The tokens of a text as the model was trained on them.
    fn encode(&self, text: &str) -> Vec<u32>;
}

/// The vocabulary of one model as a trie. Made once, since it walks the whole vocabulary.
pub(super) struct Constrainer {
    factory: ParserFactory,
}

/// The constraint of one answer.
pub(super) struct Constraint {
    matcher: Matcher,
}

/// What may come next.
pub(super) enum Next {
    /// Anything; said where there is no constraint.
    Any,
    /// One of these tokens, or an end token if that is among them.
    Allowed(toktrie::SimpleVob),
    /// Nothing else can come than these tokens; there is at least one.
    Forced(Vec<u32>),
    /// The answer is complete.
    End,
}

struct Environment<W> {
    words: Arc<W>,
    trie: TokTrie,
}

impl<W: Words> TokenizerEnv for Environment<W> {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| self.words.encode(text))
    }
}

impl Constrainer {
    /// # Errors
    /// A vocabulary without an end token, or one that cannot be laid out.
    pub(super) fn new<W: Words>(words: Arc<W>) -> Result<Constrainer, String> {
        let length = u32::try_from(words.len()).map_err(|_| "its vocabulary is too large")?;
        let ends: Vec<u32> = (0..length).filter(|token| words.is_end(*token)).collect();
        let end = *ends.first().ok_or("its vocabulary has no end token")?;
        let marker = TokTrie::SPECIAL_TOKEN_MARKER;
        let word = |token: u32| {
            let bytes = words.bytes(token);
            // The marker is also the byte 255, which no text has: such a token is never allowed either.
            // An end token that is not marked as special would end an answer inside of free text.
            let is_text = !words.is_special(token) && !words.is_end(token);
            let plain = is_text && bytes.len() <= MOST_BYTES && bytes.first() != Some(&marker);
            match plain {
                true => bytes.to_vec(),
                false => [&[marker], format!("[{token}]").as_bytes()].concat(),
            }
        };
        let list: Vec<Vec<u8>> = (0..length).map(word).collect();
        let trie = TokTrie::from(&TokRxInfo::new(length, end), &list).with_eos_tokens(&ends);
        let environment: TokEnv = Arc::new(Environment { words, trie });
        let factory = ParserFactory::new_simple(&environment);
        let mut factory = factory.map_err(|error| format!("its vocabulary cannot be used: {error:#}"))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Constrainer { factory })
    }

    /// The constraint that a request asks for, if it asks for one.
    ///
    /// # Errors
    /// A schema that cannot be enforced.
    pub(super) fn of(&self, request: &ChatRequest) -> Result<Option<Constraint>, String> {
        let grammar = match (&request.schema, &request.layout) {
            (Some(schema), _) => {
                let mut json = schema.json.clone();
                if let Some(fields) = json.as_object_mut() {
                    // One spelling, as in `layout::json`: most of it need not be sampled then, and a small model
                    // that has lost its way cannot write blanks until the answer is full.
                    let spelling = serde_json::json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "});
                    fields.insert("x-guidance".into(), spelling);
                }
                TopLevelGrammar::from_json_schema(json)
            }
            (None, Some(layout)) => TopLevelGrammar::from_lark(layout::lark(layout)),
            (None, None) => return Ok(None),
        };
        let matcher = Matcher::new(self.factory.create_parser(grammar));
        match matcher.get_error() {
            Some(error) => Err(error),
            None => Ok(Some(Constraint { matcher })),
        }
    }
}

impl Constraint {
    /// What may come next.
    ///
    /// # Errors
    /// A form that takes too long to follow.
    pub(super) fn next(&mut self) -> Result<Next, String> {
        if self.matcher.is_stopped() {
            return match self.matcher.get_error() {
                Some(error) => Err(error),
                None => Ok(Next::End),
            };
        }
        let forced = self.matcher.compute_ff_tokens();
        if !forced.is_empty() {
            return Ok(Next::Forced(forced));
        }
        self.matcher.compute_mask().map(Next::Allowed).map_err(|error| format!("{error:#}"))
    }

    /// Goes on behind these tokens, which were allowed.
    ///
    /// # Errors
    /// A token that was not.
    pub(super) fn take(&mut self, tokens: &[u32]) -> Result<(), String> {
        self.matcher.consume_tokens(tokens).map_err(|error| format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests;
