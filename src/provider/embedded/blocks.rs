//! The grammar of an answer in SEARCH/REPLACE blocks whose searches are found.
//!
//! A block names one of the files, and searches for consecutive lines of what is shown: whoever has
//! written the first one can only go on with the line that follows it. A search that would fit in
//! several places has to go on until it fits in one. What takes the lines' place is free text that
//! cannot be taken for the end of the block.

use std::fmt::Write as _;

use crate::provider::Searchable;

/// A line of new text: anything that does not begin like a mark of the block.
const LINE: &str = r"/([^\n<=>][^\n]*|<{1,6}([^\n<][^\n]*)?|={1,6}([^\n=][^\n]*)?|>{1,6}([^\n>][^\n]*)?)?\n/";
/// Blocks of one answer.
const MOST_BLOCKS: usize = 4;

/// The grammar in llguidance's form of Lark. There is a rule for each shown line, which says what may
/// follow it, so the size is that of the lines.
pub(super) fn lark(searchable: &Searchable) -> String {
    let mut text = format!("start: block (/\\n{{1,2}}/ block){{0,{}}}\n", MOST_BLOCKS - 1);
    let heads = searchable.files.iter().map(|file| quoted(&format!("{file}\n<<<<<<< SEARCH\n")));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "block: head search \"=======\\n\" LINE* \">>>>>>> REPLACE\"");
    let _ = writeln!(text, "head: {}", heads.collect::<Vec<_>>().join(" | "));
    let _ = writeln!(text, "LINE: {LINE}");
    let mut starts = Vec::new();
    for (r, region) in searchable.regions.iter().enumerate() {
        for (at, line) in region.iter().enumerate() {
            let next = match at + 1 < region.len() {
                true => format!(" l{r}_{}?", at + 1),
                false => String::new(),
            };
            let _ = writeln!(text, "l{r}_{at}: {}{next}", quoted(&format!("{}\n", line.text)));
            let Some(fewest) = line.fewest.filter(|fewest| *fewest >= 1) else { continue };
            let forced = region.get(at..at + fewest).unwrap_or_default();
            let Some((_, before)) = forced.split_last() else { continue };
            // A search that begins with a blank line says less than the one behind it.
            if line.text.trim().is_empty() {
                continue;
            }
            let before: Vec<String> = before.iter().map(|line| quoted(&format!("{}\n", line.text))).collect();
            starts.push(format!("{} l{r}_{}", before.join(" "), at + fewest - 1));
        }
    }
    let _ = writeln!(text, "search: {}", starts.join("\n  | "));
    text
}

/// A string of Lark, which is one of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
