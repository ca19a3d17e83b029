//! The grammar in llguidance's form of Lark.

use std::fmt::Write as _;

use super::super::notation::quoted;
use super::{DIVIDER, END, MOST_BLOCKS, head, starts};
use crate::provider::Searchable;

/// A line of new text: anything that does not begin like a mark of the block.
const LINE: &str = r"/([^\n<=>][^\n]*|<{1,6}([^\n<][^\n]*)?|={1,6}([^\n=][^\n]*)?|>{1,6}([^\n>][^\n]*)?)?\n/";

/// There is a rule for each shown line, which says what may follow it, so the size is that of the
/// lines.
pub(in crate::provider) fn lark(searchable: &Searchable) -> String {
    let mut text = format!("start: block (/\\n{{1,2}}/ block){{0,{}}}\n", MOST_BLOCKS - 1);
    let heads: Vec<String> = searchable.files.iter().map(|file| quoted(&head(file))).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "block: head search {} LINE* {}", quoted(DIVIDER), quoted(END));
    let _ = writeln!(text, "head: {}", heads.join(" | "));
    let _ = writeln!(text, "LINE: {LINE}");
    for (r, region) in searchable.regions.iter().enumerate() {
        for (at, line) in region.iter().enumerate() {
            let next = match at + 1 < region.len() {
                true => format!(" l{r}_{}?", at + 1),
                false => String::new(),
            };
            let _ = writeln!(text, "l{r}_{at}: {}{next}", quoted(&format!("{}\n", line.text)));
        }
    }
    let starts = starts(searchable).map(|start| {
        let before = &searchable.regions[start.region][start.first..start.last];
        let before: Vec<String> = before.iter().map(|line| quoted(&format!("{}\n", line.text))).collect();
        format!("{} l{}_{}", before.join(" "), start.region, start.last)
    });
    let _ = writeln!(text, "search: {}", starts.collect::<Vec<_>>().join("\n  | "));
    text
}
