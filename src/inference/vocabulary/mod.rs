//! Text to tokens and back, from the tables in a GGUF file.
//!
//! Two families are known: byte-level pairs with ranks (`gpt2`, of which the rule for words must be named and
//! known), and scored pieces (`llama`, that is, SentencePiece). Results are llama.cpp's; where something is
//! not known, the file is refused rather than guessed at. Knows nothing of tensors.

mod bytes;
mod merges;
mod pieces;
mod words;

use crate::error::Error;
use crate::gguf::{Array, Gguf, Value};
use aho_corasick::{AhoCorasick, MatchKind};
use merges::Merges;
use pieces::Pieces;
use std::collections::HashSet;
use words::Words;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// Steers the model, as the marks of a chat do; text never becomes one unless asked for.
    Control,
    /// Put in by the maker, and found in text before anything else.
    Added,
    /// One byte that is in no piece.
    Byte,
    Unused,
}

/// The tokens of a model.
pub struct Vocabulary {
    /// The bytes of all tokens, one after the other, and where each ends.
    text: Vec<u8>,
    ends: Vec<u32>,
    kinds: Vec<Kind>,
    family: Family,
    added: Special,
    /// The same with the control tokens.
    special: Special,
    ends_text: HashSet<u32>,
    begin: Option<u32>,
}

enum Family {
    Merges(Box<Merges>, Words),
    Pieces(Pieces),
}

/// Tokens that are found in text as they are.
struct Special {
    finder: Option<AhoCorasick>,
    tokens: Vec<u32>,
}

/// Names of tokens that end an answer, whatever the file says about them; as llama.cpp has them.
const ENDS: [&[u8]; 9] = [
    b"<|eot_id|>",
    b"<|im_end|>",
    b"<|end|>",
    b"<end_of_turn>",
    b"<|endoftext|>",
    b"<|eom_id|>",
    b"<|end_of_text|>",
    b"<EOT>",
    b"_<EOT>",
];

/// The longest vocabulary text that is believed: 128 MiB.
const MOST_TEXT: usize = 1 << 27;

impl Vocabulary {
    pub(crate) fn of(file: &[u8], gguf: &Gguf) -> Result<Self, Error> {
        let key = |name: &str| gguf.value(&format!("tokenizer.ggml.{name}"));
        let array = |name: &str| key(name).and_then(Value::array);
        let missing = |name: &str| Error::damaged(format!("it has no list tokenizer.ggml.{name}"));
        let tokens = array("tokens").ok_or_else(|| missing("tokens"))?;
        let kinds = kinds(array("token_type").ok_or_else(|| missing("token_type"))?, file);
        let model = key("model").and_then(|value| value.text(file)).unwrap_or("");
        let pairs = match model {
            "gpt2" => true,
            "llama" => false,
            _ => return Err(Error::unsupported(format!("its tokenizer is of the kind {model:?}"))),
        };
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for (stored, kind) in tokens.strings(file).zip(&kinds) {
            match kind {
                Kind::Text | Kind::Unused if pairs => bytes::decode(stored, &mut text),
                Kind::Text | Kind::Unused => pieces::decode(stored, &mut text),
                Kind::Byte => text.push(pieces::byte(stored).ok_or_else(|| {
                    let stored = String::from_utf8_lossy(stored);
                    Error::damaged(format!("the token {stored:?} should be a byte, like <0x0A>"))
                })?),
                Kind::Control | Kind::Added => text.extend_from_slice(stored),
            }
            if text.len() > MOST_TEXT {
                return Err(Error::damaged("its vocabulary has too much text"));
            }
            ends.push(text.len() as u32);
        }
        if ends.len() != tokens.len() || kinds.len() != tokens.len() {
            return Err(Error::damaged("its lists of tokens and of their types differ in length"));
        }
        let texts = Texts { text: &text, ends: &ends };
        let pre = key("pre").and_then(|value| value.text(file));
        let family = if pairs {
            let merges = array("merges").ok_or_else(|| missing("merges"))?;
            let words = Words::named(pre.unwrap_or(""))?;
            let merges = Merges::new(texts, &kinds, merges.strings(file), words.whole_first)?;
            Family::Merges(Box::new(merges), words)
        } else {
            let scores = array("scores").ok_or_else(|| missing("scores"))?;
            let scores = scores.scalars(file).map(|score| score.float().unwrap_or(0.0) as f32).collect();
            let space = key("add_space_prefix").and_then(Value::bool).unwrap_or(true);
            Family::Pieces(Pieces::new(texts, &kinds, scores, space)?)
        };
        let token = |name: &str| {
            let token = key(name).and_then(Value::whole).and_then(|token| u32::try_from(token).ok());
            token.filter(|token| (*token as usize) < kinds.len())
        };
        let mut ends_text: HashSet<u32> =
            ["eos_token_id", "eot_token_id", "eom_token_id"].into_iter().filter_map(token).collect();
        ends_text.extend((0..kinds.len()).filter_map(|token| {
            let named = kinds[token] != Kind::Text && ENDS.contains(&texts.of(token as u32));
            named.then_some(token as u32)
        }));
        // Where the file does not say: SentencePiece begins a text with its mark, and so does Llama 3.
        let adds = key("add_bos_token").and_then(Value::bool);
        let begins = adds.unwrap_or(!pairs || matches!(pre, Some("llama-bpe" | "llama3" | "llama-v3")));
        let begin = if begins { token("bos_token_id") } else { None };
        let added = Special::new(texts, &kinds, &[Kind::Added])?;
        let special = Special::new(texts, &kinds, &[Kind::Added, Kind::Control])?;
        Ok(Vocabulary { family, added, special, ends_text, begin, kinds, text, ends })
    }

    /// The tokens of a text. With `special`, the marks of control tokens in it become those tokens; without,
    /// they are text like any other, which is what text of a stranger should be.
    ///
    /// [`Vocabulary::begin`] is not put in front.
    pub fn encode(&self, text: &str, special: bool) -> Vec<u32> {
        let finder = if special { &self.special } else { &self.added };
        let mut tokens = Vec::new();
        let mut start = 0;
        for (place, token) in finder.find(text) {
            self.encode_plain(&text[start..place.start], start == 0, &mut tokens);
            tokens.push(token);
            start = place.end;
        }
        self.encode_plain(&text[start..], start == 0, &mut tokens);
        tokens
    }

    fn encode_plain(&self, text: &str, first: bool, tokens: &mut Vec<u32>) {
        if text.is_empty() {
            return;
        }
        match &self.family {
            Family::Merges(merges, words) => {
                words.each(text, &mut |word| merges.encode(word.as_bytes(), tokens));
            }
            Family::Pieces(pieces) => pieces.encode(text, first, tokens),
        }
    }

    /// The bytes of a token, which may be a part of a character. Empty for a token that is not there.
    pub fn bytes(&self, token: u32) -> &[u8] {
        if (token as usize) < self.len() {
            Texts { text: &self.text, ends: &self.ends }.of(token)
        } else {
            &[]
        }
    }

    /// Whether this token ends an answer.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends_text.contains(&token)
    }

    /// Every token that ends an answer, in order.
    pub fn ends(&self) -> Vec<u32> {
        let mut ends: Vec<_> = self.ends_text.iter().copied().collect();
        ends.sort_unstable();
        ends
    }

    /// The token that the model wants before every text, if it wants one.
    pub fn begin(&self) -> Option<u32> {
        self.begin
    }

    /// Whether a token steers the model instead of standing for text.
    pub fn is_special(&self, token: u32) -> bool {
        matches!(self.kinds.get(token as usize), Some(Kind::Control | Kind::Unused))
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// The bytes of every token.
#[derive(Clone, Copy)]
struct Texts<'a> {
    text: &'a [u8],
    ends: &'a [u32],
}

impl<'a> Texts<'a> {
    fn of(&self, token: u32) -> &'a [u8] {
        let token = token as usize;
        let start = if token == 0 { 0 } else { self.ends[token - 1] };
        &self.text[start as usize..self.ends[token] as usize]
    }

    fn all(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let texts = *self;
        (0..texts.ends.len() as u32).map(move |token| (token, texts.of(token)))
    }
}

/// ggml's types of tokens; unknown ones (2) steer the model as control tokens do.
fn kinds(types: &Array, file: &[u8]) -> Vec<Kind> {
    let kind = |value: Value| match value.whole() {
        Some(2 | 3) => Kind::Control,
        Some(4) => Kind::Added,
        Some(5) => Kind::Unused,
        Some(6) => Kind::Byte,
        _ => Kind::Text,
    };
    types.scalars(file).map(kind).collect()
}

impl Special {
    fn new(texts: Texts, kinds: &[Kind], of: &[Kind]) -> Result<Self, Error> {
        let wanted = |(token, text): &(u32, &[u8])| of.contains(&kinds[*token as usize]) && !text.is_empty();
        let (tokens, patterns): (Vec<u32>, Vec<&[u8]>) = texts.all().filter(wanted).unzip();
        let finder = (!patterns.is_empty())
            .then(|| AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns));
        let finder =
            finder.transpose().map_err(|error| Error::damaged(format!("its special tokens: {error}")))?;
        Ok(Special { finder, tokens })
    }

    /// Where special tokens are in a text, in order and apart. Only at the boundaries of characters: a token
    /// of a damaged file could be a part of one.
    fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (std::ops::Range<usize>, u32)> + 'a {
        let found = self.finder.iter().flat_map(move |finder| finder.find_iter(text));
        found
            .filter(|found| text.is_char_boundary(found.start()) && text.is_char_boundary(found.end()))
            .map(|found| (found.start()..found.end(), self.tokens[found.pattern().as_usize()]))
    }
}
