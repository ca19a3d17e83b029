//! SentencePiece: in a text, the neighbours whose union has the highest score are merged until none is a piece.

use super::{Kind, Texts};
use crate::error::Error;
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// What stands for a space.
const SPACE: &str = "\u{2581}";

pub struct Pieces {
    /// Pieces as they are stored, with marks for spaces.
    tokens: HashMap<Box<str>, u32>,
    scores: Vec<f32>,
    bytes: HashMap<u8, u32>,
    /// For what is in no piece and has no byte.
    unknown: u32,
    /// Whether a text gets a space in front.
    space: bool,
}

/// Appends the bytes of a piece.
pub fn decode(stored: &[u8], out: &mut Vec<u8>) {
    let mut rest = stored;
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(SPACE.as_bytes()) {
            out.push(b' ');
            rest = after;
        } else {
            out.push(*first);
            rest = after;
        }
    }
}

/// The byte of a token like `<0x0A>`.
pub fn byte(stored: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(stored).ok()?.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

impl Pieces {
    pub fn new(texts: Texts, kinds: &[Kind], scores: Vec<f32>, space: bool) -> Result<Self, Error> {
        if scores.len() != kinds.len() {
            return Err(Error::damaged("its lists of tokens and of their scores differ in length"));
        }
        let mut tokens = HashMap::with_capacity(kinds.len());
        let mut bytes = HashMap::new();
        for (token, text) in texts.all() {
            match kinds[token as usize] {
                Kind::Byte => _ = bytes.entry(text[0]).or_insert(token),
                Kind::Control => {}
                _ => {
                    if let Ok(text) = std::str::from_utf8(text) {
                        tokens.entry(text.replace(' ', SPACE).into()).or_insert(token);
                    }
                }
            }
        }
        let unknown =
            texts.all().find(|(token, text)| kinds[*token as usize] == Kind::Control && *text == b"<unk>");
        Ok(Pieces { tokens, scores, bytes, unknown: unknown.map_or(0, |(token, _)| token), space })
    }

    /// Appends the tokens of a text; `first` if nothing is before it.
    pub fn encode(&self, text: &str, first: bool, out: &mut Vec<u32>) {
        let mut marked = if first && self.space { SPACE.to_owned() } else { String::new() };
        marked.extend(text.chars().map(|letter| if letter == ' ' { '\u{2581}' } else { letter }));
        let mut symbols: Vec<Symbol> = Vec::new();
        for (i, (start, letter)) in marked.char_indices().enumerate() {
            let before = i.wrapping_sub(1);
            symbols.push(Symbol { start, len: letter.len_utf8(), before, after: i + 1 });
        }
        let mut queue = BinaryHeap::new();
        for left in 1..symbols.len() {
            self.offer(&marked, &symbols, left - 1, &mut queue);
        }
        while let Some(offer) = queue.pop() {
            let left = offer.left;
            let right = symbols[left].after;
            // Passed over if one of both is not what it was.
            if symbols[left].len == 0
                || symbols.get(right).is_none_or(|symbol| symbols[left].len + symbol.len != offer.len)
            {
                continue;
            }
            let after = symbols[right].after;
            symbols[left].len = offer.len;
            symbols[left].after = after;
            symbols[right].len = 0;
            if let Some(symbol) = symbols.get_mut(after) {
                symbol.before = left;
            }
            self.offer(&marked, &symbols, left, &mut queue);
            if symbols[left].before < left {
                self.offer(&marked, &symbols, symbols[left].before, &mut queue);
            }
        }
        for symbol in symbols.iter().filter(|symbol| symbol.len > 0) {
            let piece = &marked[symbol.start..symbol.start + symbol.len];
            match self.tokens.get(piece) {
                Some(token) => out.push(*token),
                None => {
                    let token = |byte: u8| self.bytes.get(&byte).copied().unwrap_or(self.unknown);
                    out.extend(piece.bytes().map(token));
                }
            }
        }
    }

    /// Puts the pair that begins at `left` into the queue, if it is a piece.
    fn offer(&self, text: &str, symbols: &[Symbol], left: usize, queue: &mut BinaryHeap<Offer>) {
        let symbol = &symbols[left];
        let Some(right) = symbols.get(symbol.after) else { return };
        let len = symbol.len + right.len;
        if let Some(token) = self.tokens.get(&text[symbol.start..symbol.start + len]) {
            queue.push(Offer { score: self.scores[*token as usize], left, len });
        }
    }
}

struct Symbol {
    start: usize,
    /// Bytes; none once it has been merged into the one before.
    len: usize,
    before: usize,
    after: usize,
}

/// A pair that can be merged: the highest score first, then the leftmost.
struct Offer {
    score: f32,
    left: usize,
    len: usize,
}

impl Ord for Offer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left)).then(other.len.cmp(&self.len))
    }
}

impl PartialOrd for Offer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Offer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Offer {}
