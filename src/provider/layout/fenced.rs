//! Grammars of an answer that is one code block: a whole file, or one definition.
//!
//! A few lines of words may come first, where they are asked for; then the name of the file, where there is one;
//! then the block, whose end is the end of the answer. Left to itself, a small model goes on to explain what it
//! has written, which takes as long as writing it, or explains and never writes it.

use super::notation::{Rules, literal, quoted};
use crate::provider::Fenced;

/// Lines of words, blank ones included: with eight of them a 1.5B model that was asked for a sentence or two wrote
/// twice as much before its code as with as many as these.
const MOST_WORDS: usize = 3;
const FENCE: &str = "```";

/// What stands right before the code, up to the language that may follow the fence.
pub(super) fn head(fenced: &Fenced) -> String {
    let name = fenced.name.iter().map(|name| format!("{name}\n"));
    name.chain([FENCE.to_owned()]).collect()
}

/// Every rule ends in the rule that goes on, so that llama.cpp's stacks do not grow.
pub(super) fn gbnf(fenced: &Fenced) -> String {
    let mut rules = Rules::default();
    let head = format!("{} info", literal(&head(fenced)));
    let words = if fenced.words { MOST_WORDS } else { 0 };
    // What may come behind so many lines of words.
    let behind = |lines: usize| match lines < words {
        true => {
            vec![head.clone(), format!(r#""\n" words{}"#, lines + 1), format!(r"[^`\n] said{}", lines + 1)]
        }
        false => vec![head.clone()],
    };
    rules.add("root", &behind(0));
    for lines in 1..=words {
        rules.add(&format!("words{lines}"), &behind(lines));
        let on = [format!(r#""\n" words{lines}"#), format!(r"[^\n] said{lines}")];
        rules.add(&format!("said{lines}"), &on);
    }
    let ended = || r#""\n" code"#.to_owned();
    rules.add("info", &[ended(), r"[^`\n] info".to_owned()]);
    rules.add("code", &[ended(), r"[^`\n] rest".to_owned(), r#""`" tick"#.to_owned()]);
    rules.add("rest", &[ended(), r"[^\n] rest".to_owned()]);
    rules.add("tick", &[ended(), r"[^`\n] rest".to_owned(), r#""`" ticks"#.to_owned()]);
    rules.add("ticks", &[ended(), r"[^`\n] rest".to_owned(), r#""`""#.to_owned()]);
    rules.text
}

/// One terminal, since the name of a file could begin a line of words as well.
pub(super) fn lark(fenced: &Fenced) -> String {
    let words = match fenced.words {
        true => format!(r"/([^`\n][^\n]*)?\n/{{0,{MOST_WORDS}}} "),
        false => String::new(),
    };
    let head = quoted(&head(fenced));
    let line = r"/([^`\n][^\n]*|`{1,2}([^`\n][^\n]*)?)?\n/";
    format!("start: ANSWER\nANSWER: {words}{head} /[^`\\n]*\\n/ {line}* \"{FENCE}\"\n")
}
