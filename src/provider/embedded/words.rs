//! The vocabulary of a loaded model as the constraint and the prompt see it.

use countersign_inference::Model;
use regex::bytes::{Regex, RegexBuilder};

use super::constrain::Words;
use super::template::Part;

/// Bytes of all special tokens' texts together; the most in use (6,000 unused ones of Gemma) have
/// 80,000.
const MOST_SPECIAL: usize = 1 << 20;

pub(super) struct ModelWords(pub(super) Model);

impl Words for ModelWords {
    fn len(&self) -> usize {
        self.0.vocabulary().len()
    }

    fn bytes(&self, token: u32) -> &[u8] {
        self.0.vocabulary().bytes(token)
    }

    fn is_special(&self, token: u32) -> bool {
        self.0.vocabulary().is_special(token)
    }

    fn is_end(&self, token: u32) -> bool {
        self.0.vocabulary().is_end(token)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        self.0.vocabulary().encode(text, false)
    }
}

/// Finds texts of special tokens.
pub(super) struct Special(Option<Regex>);

impl Special {
    /// # Errors
    /// A vocabulary with more special tokens than any has.
    pub(super) fn of(words: &impl Words) -> Result<Special, String> {
        let special = (0..words.len() as u32).filter(|token| words.is_special(*token));
        let texts: Vec<String> = special
            .filter_map(|token| std::str::from_utf8(words.bytes(token)).ok())
            .filter(|text| !text.is_empty())
            .map(regex::escape)
            .collect();
        if texts.is_empty() {
            return Ok(Special(None));
        }
        if texts.iter().map(String::len).sum::<usize>() > MOST_SPECIAL {
            return Err("its special tokens are too long".to_owned());
        }
        let found = RegexBuilder::new(&texts.join("|")).size_limit(64 << 20).build();
        found.map(|found| Special(Some(found))).map_err(|_| "its special tokens are too many".to_owned())
    }

    pub(super) fn is_in(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|found| found.is_match(text.as_bytes()))
    }
}

/// The tokens of a prompt.
pub(super) fn encode(model: &Model, parts: &[Part]) -> Vec<u32> {
    let vocabulary = model.vocabulary();
    let mut tokens = Vec::new();
    for part in parts {
        match part {
            Part::Form(text) => tokens.extend(vocabulary.encode(text, true)),
            Part::Text(text) => tokens.extend(vocabulary.encode(text, false)),
        }
    }
    // Many templates write the token themselves, and twice is once too many.
    if let Some(begin) = vocabulary.begin()
        && tokens.first() != Some(&begin)
    {
        tokens.insert(0, begin);
    }
    tokens
}
