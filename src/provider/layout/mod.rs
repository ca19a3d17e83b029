//! Grammars of answers that carry code: SEARCH/REPLACE blocks ([`blocks`]) and one code block ([`fenced`]);
//! and of answers in JSON ([`json`]).
//!
//! Those of code are one language in two notations, Lark for llguidance and GBNF for llama.cpp. A test holds them
//! to the same texts (`embedded::constrain`). llguidance reads schemas itself.

pub(super) mod blocks;
pub(super) mod fenced;
mod json;
mod notation;

use super::{ChatRequest, Layout, Preface, Schema};

/// What holds an answer of llama.cpp.
pub(super) struct Grammar {
    /// In its notation, GBNF.
    pub gbnf: String,
    /// With what the answer has to begin, one of these; empty where it may begin with any words.
    pub heads: Vec<String>,
}

/// The grammar of what a request asks for; `None` where it leaves the answer free, where nothing can be written,
/// and where the server has to read the schema itself.
pub(super) fn grammar(request: &ChatRequest) -> Option<Grammar> {
    match (&request.schema, &request.layout) {
        (Some(Schema { json, .. }), _) => {
            let is_object = json["type"] == "object";
            Some(Grammar {
                gbnf: json::gbnf(json)?,
                heads: is_object.then(|| "{".to_owned()).into_iter().collect(),
            })
        }
        (None, Some(layout)) => Some(Grammar { gbnf: gbnf(layout)?, heads: heads(layout) }),
        (None, None) => None,
    }
}

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
fn heads(layout: &Layout) -> Vec<String> {
    match layout {
        Layout::Blocks(searchable) => searchable.files.iter().map(|file| blocks::head(file)).collect(),
        Layout::Fenced(fenced) if fenced.preface == Preface::Nothing => vec![fenced::head(fenced)],
        Layout::Fenced(_) => Vec::new(),
    }
}
