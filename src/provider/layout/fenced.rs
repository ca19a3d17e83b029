//! Grammars of an answer that is one code block: a whole file, or one definition.
//!
//! A few words may come first, where they are asked for; then the name of the file, where there is one;
//! then the block, whose end is the end of the answer. Left to itself, a small model goes on to explain what it
//! has written, which takes as long as writing it, or explains and never writes it.

use super::notation::{Rules, literal, quoted};
use crate::provider::{Fenced, Preface};

/// Spaces and line ends before the code: about as many words. Asked for a sentence or two, a 1.5B model writes 20
/// to 80 of them; without an end it repeats itself to its limit in one answer of four.
const MOST_SPACES: usize = 64;
const FENCE: &str = "```";

/// What stands right before the code, up to the language that may follow the fence.
pub(super) fn head(fenced: &Fenced) -> String {
    let name = fenced.name.iter().map(|name| format!("{name}\n"));
    name.chain([FENCE.to_owned()]).collect()
}

/// Every rule ends in the rule that goes on, so that llama.cpp's stacks do not grow.
pub(super) fn gbnf(fenced: &Fenced) -> String {
    let mut rules = Rules::default();
    match letters(fenced.preface) {
        Some(letters) => words(&mut rules, letters),
        None => rules.add("root", &["head".to_owned()]),
    }
    rules.add("head", &[format!("{} info", literal(&head(fenced)))]);
    let ended = || r#""\n" code"#.to_owned();
    rules.add("info", &[ended(), r"[^`\n] info".to_owned()]);
    rules.add("code", &[ended(), r"[^`\n] rest".to_owned(), r#""`" tick"#.to_owned()]);
    rules.add("rest", &[ended(), r"[^\n] rest".to_owned()]);
    rules.add("tick", &[ended(), r"[^`\n] rest".to_owned(), r#""`" ticks"#.to_owned()]);
    rules.add("ticks", &[ended(), r"[^`\n] rest".to_owned(), r#""`""#.to_owned()]);
    rules.text
}

/// What words are made of, as classes of characters: the first of a line, and all others.
fn letters(preface: Preface) -> Option<[&'static str; 2]> {
    match preface {
        Preface::Nothing => None,
        Preface::Ascii => Some(["[!-_a-~]", "[!-~]"]),
        Preface::Any => Some([r"[^`\n ]", r"[^ \n]"]),
    }
}

/// So many words before the head.
fn words(rules: &mut Rules, [first, other]: [&str; 2]) {
    rules.add("root", &["line0".to_owned()]);
    // At the beginning of a line, and in one, behind so many.
    for spaces in 0..MOST_SPACES {
        let goes_on = format!(r#"" " said{}"#, spaces + 1);
        let ends = format!(r#""\n" line{}"#, spaces + 1);
        let line = ["head".to_owned(), ends.clone(), goes_on.clone(), format!("{first} said{spaces}")];
        rules.add(&format!("line{spaces}"), &line);
        rules.add(&format!("said{spaces}"), &[format!("{other} said{spaces}"), goes_on, ends]);
    }
    rules.add(&format!("line{MOST_SPACES}"), &["head".to_owned()]);
    // Who may write on here, only without a space, does so to the end of all limits.
    rules.add(&format!("said{MOST_SPACES}"), &[r#""\n" head"#.to_owned()]);
}

/// One terminal, since the name of a file could begin a line of words as well.
pub(super) fn lark(fenced: &Fenced) -> String {
    let words = letters(fenced.preface).map_or_else(String::new, |[_, other]| {
        // The last space ends the line, too.
        let few = format!(r"({other}*[ \n]){{0,{MOST_SPACES}}}");
        let many = format!(r"({other}*[ \n]){{{}}}{other}* \n", MOST_SPACES - 1);
        format!(r"(/([^`\n][^\n]*)?\n/* & /{few}|{many}/) ")
    });
    let head = quoted(&head(fenced));
    let line = r"/([^`\n][^\n]*|`{1,2}([^`\n][^\n]*)?)?\n/";
    format!("start: ANSWER\nANSWER: {words}{head} /[^`\\n]*\\n/ {line}* \"{FENCE}\"\n")
}
