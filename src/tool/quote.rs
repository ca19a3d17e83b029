//! Owns what of a tool's result is told to someone who did not ask for it.
//!
//! The Explorer reads sixty lines to find five; its answer names them, and the Architect needs no others. So of
//! lines that were read, those that speak of the question or of the answer are quoted, with their neighbours.
//! What a search returned is short and chosen by words already, and is quoted whole.

use std::collections::{BTreeMap, BTreeSet};

use crate::message::ToolName;
use crate::tool::{show, word};

/// Stands for lines that are not quoted; the numbers of the others say how many.
const LEFT_OUT: &str = "…\n";
/// Most lines that are quoted of one result.
const MOST_LINES: usize = 10;
/// Lines before and behind one that speaks of the question.
const NEIGHBOURS: usize = 2;
/// Shorter words are those of any sentence and any line.
const SHORTEST_WORD: usize = 4;

/// One call of a tool.
#[derive(Debug, Clone)]
pub struct Used {
    pub tool: ToolName,
    pub argument: String,
    pub result: String,
}

impl Used {
    /// What was asked and what came, for a reader who wants to know `about` something. Lines that are among
    /// those `shown` already (path, first and last line) are named, not repeated.
    pub fn quote(&self, about: &str, shown: &[(String, u32, u32)]) -> String {
        let asked = format!("{} {}", word(self.tool), self.argument.trim());
        if self.tool != ToolName::Read {
            return format!("{asked}:\n{}", self.result);
        }
        let (path, range) = show::place(self.argument.trim());
        let is_shown = |first: usize, last: usize| {
            shown
                .iter()
                .any(|(known, from, to)| known == path && *from as usize <= first && last <= *to as usize)
        };
        if range.is_some_and(|(first, last)| is_shown(first, last)) {
            return format!("{asked}: these lines are in the evidence above");
        }
        format!("{asked}:\n{}", narrowed(&self.result, about))
    }
}

/// The lines that speak of something, with their neighbours, in their order; the first lines where none does.
fn narrowed(result: &str, about: &str) -> String {
    let lines: Vec<&str> = result.lines().collect();
    if lines.len() <= MOST_LINES {
        return result.to_owned();
    }
    let kept = telling(&lines, &words(about).collect());
    let mut text = String::new();
    let mut next = 0;
    for at in kept.into_iter().chain([lines.len()]) {
        if at > next {
            text.push_str(LEFT_OUT);
        }
        next = at + 1;
        if let Some(line) = lines.get(at) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.trim_end().to_owned()
}

/// The places of the lines to keep: those with the rarest of the words come first.
fn telling(lines: &[&str], wanted: &BTreeSet<String>) -> BTreeSet<usize> {
    let found: Vec<BTreeSet<String>> =
        lines.iter().map(|line| words(line).filter(|word| wanted.contains(word)).collect()).collect();
    let mut frequency: BTreeMap<&str, usize> = BTreeMap::new();
    for word in found.iter().flatten() {
        *frequency.entry(word).or_default() += 1;
    }
    let worth = |words: &BTreeSet<String>| -> f64 {
        words.iter().map(|word| (lines.len() as f64 / frequency[word.as_str()] as f64).ln_1p()).sum()
    };
    let mut ranked: Vec<usize> = (0..lines.len()).filter(|at| !found[*at].is_empty()).collect();
    ranked.sort_by(|a, b| worth(&found[*b]).total_cmp(&worth(&found[*a])));
    let mut kept = BTreeSet::new();
    for at in ranked {
        let around = at.saturating_sub(NEIGHBOURS)..=(at + NEIGHBOURS).min(lines.len() - 1);
        let more = around.clone().filter(|at| !kept.contains(at)).count();
        if kept.len() + more <= MOST_LINES {
            kept.extend(around);
        }
    }
    if kept.is_empty() { (0..MOST_LINES).collect() } else { kept }
}

/// Words, in small letters; the parts of an identifier each for itself.
fn words(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(|c: char| !c.is_alphanumeric()).flat_map(humps);
    parts.filter(|part| part.chars().count() >= SHORTEST_WORD).map(str::to_lowercase)
}

/// The parts of `camelCase`.
fn humps(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let mut before = false;
        let end = rest.char_indices().find_map(|(at, c)| {
            let is_start = before && c.is_uppercase();
            before = c.is_lowercase();
            is_start.then_some(at)
        });
        let (part, later) = rest.split_at(end.unwrap_or(rest.len()));
        rest = later;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(tool: ToolName, argument: &str, result: &str) -> Used {
        Used { tool, argument: argument.into(), result: result.into() }
    }

    #[test]
    fn what_was_shown_already_is_not_quoted_again() {
        let shown = [("src/parse.py".to_owned(), 10, 60)];
        let check = |argument: &str, again: bool| {
            let text = used(ToolName::Read, argument, "10     x").quote("", &shown);
            assert!(text.starts_with(&format!("read {argument}:")), "{text}");
            assert_eq!(text.contains("\n10     x"), again, "{text}");
        };
        check("src/parse.py:10-60", false);
        check("src/parse.py:20", false);
        check("src/parse.py:9-60", true);
        check("src/parse.py:10-61", true);
        check("src/parse.py", true);
        check("src/other.py:10-60", true);
        let search = used(ToolName::Search, "src/parse.py:10-60", "r");
        assert_eq!(search.quote("", &shown), "search src/parse.py:10-60:\nr");
    }

    #[test]
    fn of_many_lines_those_that_speak_of_the_question_are_quoted() {
        let mut lines: Vec<String> = (1..=60).map(|number| format!("{number:<5}  pass")).collect();
        lines[29] = "30     def maxRetries(self):".into();
        lines[49] = "50     self.budget = {}".into();
        let read = |about: &str| used(ToolName::Read, "a.py", &lines.join("\n")).quote(about, &[]);
        let text = read("How many retries are there? budget.calls");
        let expected = "read a.py:\n…\n28     pass\n29     pass\n30     def maxRetries(self):\n31     pass\n32     pass\n…\n48     pass\n49     pass\n50     self.budget = {}\n51     pass\n52     pass\n…";
        assert_eq!(text, expected);
        let first = read("Où est-ce ?");
        assert!(first.contains("\n10     pass\n…"), "{first}");
        let list = used(ToolName::List, "", &lines.join("\n")).quote("budget", &[]);
        assert!(list.contains("\n1      pass\n") && list.ends_with("60     pass"), "{list}");
    }

    #[test]
    fn rare_words_come_before_common_ones() {
        let mut lines: Vec<String> = (1..=60).map(|number| format!("{number:<5}  call()")).collect();
        lines[44] = "45     limit_of_calls = 8".into();
        let text = used(ToolName::Read, "a.py", &lines.join("\n")).quote("the limit of a call", &[]);
        assert!(text.contains("limit_of_calls"), "{text}");
        assert!(text.lines().count() <= MOST_LINES + 6, "{text}");
    }
}
