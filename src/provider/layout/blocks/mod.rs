//! Grammars of an answer in SEARCH/REPLACE blocks whose searches are found.
//!
//! A block names one of the files, and searches for consecutive lines of what is shown: whoever has
//! written the first one can only go on with the line that follows it. A search that would fit in
//! several places has to go on until it fits in one. What takes the lines' place is free text that
//! cannot be taken for the end of the block.
//!
//! The same language in two notations: `lark` for llguidance, `gbnf` for llama.cpp.

mod gbnf;
mod lark;
#[cfg(test)]
pub(in crate::provider) mod tests;

pub(super) use gbnf::gbnf;
pub(super) use lark::lark;

use crate::provider::Searchable;

/// Blocks of one answer.
const MOST_BLOCKS: usize = 4;
/// Between what is searched for and what takes its place.
const DIVIDER: &str = "=======\n";
/// Behind what takes its place.
const END: &str = ">>>>>>> REPLACE";

/// What a block for a file begins with.
pub(super) fn head(file: &str) -> String {
    format!("{file}\n<<<<<<< SEARCH\n")
}

/// One way to begin a search: lines of one region that have to be there.
struct Start {
    region: usize,
    /// Indices of the lines in the region, the last one included.
    first: usize,
    last: usize,
}

/// The ways to begin a search, in the order of the lines.
fn starts(searchable: &Searchable) -> impl Iterator<Item = Start> + '_ {
    searchable.regions.iter().enumerate().flat_map(|(at, region)| {
        region.iter().enumerate().filter_map(move |(first, line)| {
            let last = first + line.fewest?.checked_sub(1)?;
            // A search that begins with a blank line says less than the one behind it.
            let says_something = !line.text.trim().is_empty();
            (says_something && last < region.len()).then_some(Start { region: at, first, last })
        })
    })
}
