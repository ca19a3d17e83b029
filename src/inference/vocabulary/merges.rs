//! Byte pair encoding: in a word, the neighbours of the lowest rank are merged until none can be.

use super::{Kind, Texts, bytes};
use crate::error::Error;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

pub struct Merges {
    /// The token of each single byte, or [`NONE`]. Some vocabularies lack control characters; as in llama.cpp,
    /// they become no token, but what is before and after them is not merged.
    singles: [u32; 256],
    /// A pair of tokens: its rank, and the token that it becomes.
    pairs: HashMap<(u32, u32), (u32, u32)>,
    /// Tokens by their bytes, where a word that is a token is taken as it is.
    whole: Option<HashMap<Box<[u8]>, u32>>,
}

/// No token.
const NONE: u32 = u32::MAX;

impl Merges {
    pub fn new<'a>(
        texts: Texts,
        kinds: &[Kind],
        merges: impl Iterator<Item = &'a [u8]>,
        whole_first: bool,
    ) -> Result<Self, Error> {
        let plain = texts.all().filter(|(token, _)| kinds[*token as usize] == Kind::Text);
        let mut tokens: HashMap<&[u8], u32> = HashMap::with_capacity(kinds.len());
        for (token, text) in plain {
            tokens.entry(text).or_insert(token);
        }
        let mut singles = [NONE; 256];
        for (byte, single) in (0..=255u8).zip(&mut singles) {
            *single = tokens.get(&[byte][..]).copied().unwrap_or(NONE);
        }
        if singles.iter().all(|single| *single == NONE) {
            return Err(Error::damaged("its vocabulary has no token for any byte"));
        }
        let mut pairs = HashMap::with_capacity(merges.size_hint().0);
        let (mut text, mut rank) = (Vec::new(), 0);
        for merge in merges {
            // The space between both; letters that stand for bytes are never a space.
            let space = merge.iter().skip(1).position(|byte| *byte == b' ').map(|at| at + 1);
            if let Some(space) = space {
                text.clear();
                bytes::decode(&merge[..space], &mut text);
                let middle = text.len();
                bytes::decode(&merge[space + 1..], &mut text);
                let token = |text: &[u8]| tokens.get(text).copied();
                // A merge of, or into, what is no token could never be of use.
                if let (Some(left), Some(right), Some(both)) =
                    (token(&text[..middle]), token(&text[middle..]), token(&text))
                {
                    pairs.entry((left, right)).or_insert((rank, both));
                }
            }
            rank += 1;
        }
        let whole =
            whole_first.then(|| tokens.into_iter().map(|(text, token)| (text.into(), token)).collect());
        Ok(Merges { singles, pairs, whole })
    }

    /// Appends the tokens of a word.
    pub fn encode(&self, word: &[u8], out: &mut Vec<u32>) {
        if let Some(token) = self.whole.as_ref().and_then(|whole| whole.get(word)) {
            return out.push(*token);
        }
        let mut symbols: Vec<Symbol> = Vec::with_capacity(word.len());
        for (i, byte) in word.iter().enumerate() {
            let before = i.wrapping_sub(1);
            symbols.push(Symbol {
                token: self.singles[usize::from(*byte)],
                before,
                after: i + 1,
                gone: false,
            });
        }
        let mut queue = BinaryHeap::new();
        for left in 1..symbols.len() {
            self.offer(&symbols, left - 1, &mut queue);
        }
        while let Some(Reverse((_, left, pair, both))) = queue.pop() {
            let right = symbols[left].after;
            let current =
                |at: usize| symbols.get(at).filter(|symbol| !symbol.gone).map(|symbol| symbol.token);
            // Passed over if one of both has become something else since.
            if (current(left), current(right)) != (Some(pair.0), Some(pair.1)) {
                continue;
            }
            let after = symbols[right].after;
            symbols[right].gone = true;
            symbols[left].token = both;
            symbols[left].after = after;
            if let Some(symbol) = symbols.get_mut(after) {
                symbol.before = left;
            }
            self.offer(&symbols, left, &mut queue);
            if symbols[left].before < left {
                self.offer(&symbols, symbols[left].before, &mut queue);
            }
        }
        out.extend(
            symbols.iter().filter(|symbol| !symbol.gone && symbol.token != NONE).map(|symbol| symbol.token),
        );
    }

    /// Puts the pair that begins at `left` into the queue, if it can be merged: by rank, then by place.
    fn offer(&self, symbols: &[Symbol], left: usize, queue: &mut BinaryHeap<Offer>) {
        let Some(right) = symbols.get(symbols[left].after) else { return };
        let pair = (symbols[left].token, right.token);
        if let Some((rank, both)) = self.pairs.get(&pair) {
            queue.push(Reverse((*rank, left, pair, *both)));
        }
    }
}

/// Rank, place of the left one, both tokens, and what they become.
type Offer = Reverse<(u32, usize, (u32, u32), u32)>;

struct Symbol {
    token: u32,
    before: usize,
    after: usize,
    gone: bool,
}
