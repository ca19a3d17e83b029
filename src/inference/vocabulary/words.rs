//! How a text is cut into words before pairs are merged: the rules that `tokenizer.ggml.pre` names.

use crate::error::Error;
use regex::Regex;

/// The rules of one family of models.
pub struct Words {
    /// Applied one after the other: each cuts what the one before has left.
    rules: Vec<Rule>,
    /// Whether a word that is a token is taken as it is.
    pub whole_first: bool,
}

struct Rule {
    pattern: Regex,
    /// What `\s+(?!\S)` before `\s+` does: of white space before a word, the last character goes with the word.
    last_space_apart: bool,
}

/// Contractions in any case, a word with the character before it, numbers of up to `$digits`, punctuation with
/// the line ends after it, line ends, white space.
macro_rules! llama3 {
    ($digits:literal) => {
        concat!(
            r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
            $digits,
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+"
        )
    };
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";

impl Words {
    /// The rules of that name, as in llama.cpp's `llama-vocab.cpp`.
    pub fn named(name: &str) -> Result<Self, Error> {
        let words = |rules: &[&str], whole_first| Words {
            rules: rules.iter().map(|rule| Rule::new(rule)).collect(),
            whole_first,
        };
        Ok(match name {
            "qwen2" | "deepseek-r1-qwen" => words(&[llama3!("")], false),
            "llama-bpe" | "llama3" | "llama-v3" => words(&[llama3!("{1,3}")], true),
            "gpt-2" => words(&[GPT2], false),
            "smollm" | "starcoder" | "refact" | "command-r" => words(&[r"\p{N}", GPT2], false),
            _ => {
                return Err(Error::unsupported(format!("its tokenizer cuts words by the rule {name:?}")));
            }
        })
    }

    /// Calls `word` with each word of the text, in order.
    pub fn each(&self, text: &str, word: &mut dyn FnMut(&str)) {
        each(&self.rules, text, word);
    }
}

fn each(rules: &[Rule], text: &str, word: &mut dyn FnMut(&str)) {
    match rules.split_first() {
        None => word(text),
        Some((rule, rest)) => rule.cut(text, &mut |part| each(rest, part, word)),
    }
}

impl Rule {
    fn new(pattern: &str) -> Self {
        Rule {
            pattern: Regex::new(pattern).expect("one of the patterns above"),
            last_space_apart: pattern.ends_with(r"\s+"),
        }
    }

    /// Calls `part` with each match, and with what lies between matches.
    fn cut(&self, text: &str, part: &mut dyn FnMut(&str)) {
        let mut start = 0;
        while let Some(found) = self.pattern.find_at(text, start) {
            if found.start() > start {
                part(&text[start..found.start()]);
            }
            let mut end = found.end();
            if self.last_space_apart && end < text.len() {
                end -= self.given_back(found.as_str());
            }
            part(&text[found.start()..end]);
            start = end;
        }
        if start < text.len() {
            part(&text[start..]);
        }
    }

    /// Bytes at the end of a match that go with the next word.
    fn given_back(&self, found: &str) -> usize {
        // Rules that keep line ends by themselves match no others as white space.
        let lines_apart = self.pattern.as_str().contains(r"\s*[\r\n]+");
        let last = found.chars().next_back().expect("no pattern matches nothing");
        let only_space = found.chars().all(char::is_whitespace);
        if only_space && found.len() > last.len_utf8() && !(lines_apart && matches!(last, '\r' | '\n')) {
            last.len_utf8()
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: &str, text: &str, expected: &[&str]) {
        let mut words = Vec::new();
        Words::named(rule).unwrap().each(text, &mut |word| words.push(word.to_owned()));
        assert_eq!(words, expected);
    }

    #[test]
    fn words_are_cut_as_the_rule_says() {
        check("qwen2", "I'M 12 cats", &["I", "'M", " ", "1", "2", " cats"]);
        check("qwen2", "a  b\n\n  c\n   ", &["a", " ", " b", "\n\n", " ", " c", "\n", "   "]);
        check("qwen2", "fn x() {\n\ty;", &["fn", " x", "()", " {\n", "\ty", ";"]);
        check("llama-bpe", "12345 ", &["123", "45", " "]);
        check("gpt-2", "I'M 12 cats\n\n  x", &["I", "'", "M", " 12", " cats", "\n\n ", " x"]);
        check("smollm", "v12\n\nx", &["v", "1", "2", "\n", "\n", "x"]);
        check("qwen2", "\u{3000}\u{3000}字", &["\u{3000}", "\u{3000}字"]);
    }

    #[test]
    fn an_unknown_rule_is_refused() {
        assert!(Words::named("default").is_err());
        assert!(Words::named("").is_err());
    }
}
