//! Grammars of answers that carry code: SEARCH/REPLACE blocks ([`blocks`]) and one code block ([`fenced`]).
//!
//! Each is one language in two notations, Lark for llguidance and GBNF for llama.cpp. A test holds them to the
//! same texts (`embedded::constrain`).

pub(super) mod blocks;
pub(super) mod fenced;
mod notation;

use super::{Layout, Preface};

/// The grammar in llama.cpp's notation, GBNF; `None` where nothing can be written by it.
pub(super) fn gbnf(layout: &Layout) -> Option<String> {
    match layout {
        Layout::Blocks(searchable) => blocks::gbnf(searchable),
        Layout::Fenced(fenced) => Some(fenced::gbnf(fenced)),
    }
}

/// The grammar in llguidance's form of Lark.
pub(super) fn lark(layout: &Layout) -> String {
    match layout {
        Layout::Blocks(searchable) => blocks::lark(searchable),
        Layout::Fenced(fenced) => fenced::lark(fenced),
    }
}

/// With what an answer has to begin, one of these; empty where it may begin with any words.
pub(super) fn heads(layout: &Layout) -> Vec<String> {
    match layout {
        Layout::Blocks(searchable) => searchable.files.iter().map(|file| blocks::head(file)).collect(),
        Layout::Fenced(fenced) if fenced.preface == Preface::Nothing => vec![fenced::head(fenced)],
        Layout::Fenced(_) => Vec::new(),
    }
}
