//! What failed tests say in a line each: the call, what it gave, what it must give. A small model reads that
//! where it does not read a traceback.
//!
//! Known are unittest and pytest (`python`) and Rust's `assert_eq!` (`rust`). Which of two values came from the
//! code is told by the test's own line (`statement`), so the tree is asked for it. It must not know what a
//! digest is for.

mod local;
mod python;
mod rust;
mod stated;
mod statement;

pub use stated::stated;

use statement::Compared;

/// Most failures that are told.
const MOST: usize = 8;
/// Longest line of a digest, in characters: a value may be a whole file.
const LONGEST: usize = 400;

/// What stands between a call and what came of it, and between that and what has to come.
const GAVE: &str = " gave ";
const MUST_GIVE: &str = ", but it must give ";
/// What stands between a test and its statements.
const DOES: &str = " does `";
/// What stands between a call and what has to come where nothing came of it.
const MUST: &str = " must give ";

/// The text of a file of the tree, if there is such a file.
pub type Source<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What the failures in an output say, each once; empty where nothing is understood.
pub fn digest(output: &str, source: &Source<'_>) -> Vec<String> {
    let lines: Vec<&str> = output.lines().map(str::trim_end).collect();
    let mut told: Vec<String> = Vec::new();
    let found = python::unittest(&lines, source).into_iter().chain(python::pytest(&lines));
    for line in found.chain(rust::cargo(&lines, source)) {
        let line = match line.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{} …", &line[..end]),
            None => line,
        };
        if !told.contains(&line) && told.len() < MOST {
            told.push(line);
        }
    }
    told
}

/// A line of a digest without what came: what has to hold, for who has not seen what gave it. Where the code
/// panicked, that stays: it is what must not happen again.
pub fn must_hold(line: &str) -> String {
    match line.split_once(GAVE).and_then(|(code, rest)| Some((code, rest.split_once(MUST_GIVE)?.1))) {
        Some((code, expected)) => format!("{code}{MUST}{expected}"),
        None => instead(line).unwrap_or_else(|| line.to_owned()),
    }
}

/// What has to hold where a test of one statement came to something else.
fn instead(line: &str) -> Option<String> {
    let (test, rest) = line.split_once(DOES)?;
    let (body, told) = rest.split_once("`: ")?;
    let told = told.rsplit_once(" (").map_or(told, |(told, _place)| told);
    let (code, value) = stated::asked(body.trim_end_matches(';'))?;
    Some(format!("{test}: `{code}`{MUST}{value}, where there was: {told}"))
}

/// A line for a comparison of these two values, if it is known which of them came from the code.
fn gave(compared: Option<Compared>, values: Option<(&str, &str)>) -> Option<String> {
    let (Compared { code, is_first, .. }, (first, second)) = (compared?, values?);
    let (found, expected) = if is_first { (first, second) } else { (second, first) };
    Some(format!("`{code}`{GAVE}{found}{MUST_GIVE}{expected}"))
}

/// A line for a condition that did not have the truth that it must have, if the statement is one; `words` are
/// the language's for false and true.
fn truth(statement: &str, words: [&str; 2]) -> Option<String> {
    let (condition, wanted) = statement::condition(statement)?;
    let (gave, must) = (words[usize::from(!wanted)], words[usize::from(wanted)]);
    Some(format!("`{condition}`{GAVE}{gave}{MUST_GIVE}{must}"))
}

#[cfg(test)]
mod tests;
