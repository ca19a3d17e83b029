//! What failed tests say in a line each: the call, what it gave, what it must give. A small model reads that
//! where it does not read a traceback.
//!
//! Known are unittest and pytest (`python`) and Rust's `assert_eq!` (`rust`). Which of two values came from the
//! code is told by the test's own line (`statement`), so the tree is asked for it. It must not know what a
//! digest is for.

mod holds;
mod kinds;
mod local;
mod python;
mod rust;
mod stated;
mod statement;

pub use holds::must_hold;
pub use stated::stated;

use std::collections::{BTreeMap, BTreeSet};

use statement::Compared;

/// Most failures that are told.
const MOST: usize = 8;
/// Longest line of a digest, in characters: a value may be a whole file.
const LONGEST: usize = 400;

/// What stands between a call and what came of it, and between that and what has to come.
const GAVE: &str = " gave ";
const MUST_GIVE: &str = ", but it must give ";
/// What stands between a statement and the error that came of it, and before the error that has to come.
const RAISED: &str = "` raised ";
const MUST_RAISE: &str = ", but it must raise ";
/// Before what was done until then.
const AFTER: &str = ", after `";
/// What stands between a test and its statements.
const DOES: &str = " does `";
/// What stands between a call and what has to come where nothing came of it.
const MUST: &str = " must give ";

/// The text of a file of the tree, if there is such a file.
pub type Source<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What the failures in an output say, each once; empty where nothing is understood. Of many, some of each
/// function, and before them what kinds of values are wrong.
pub fn digest(output: &str, source: &Source<'_>) -> Vec<String> {
    let lines: Vec<&str> = output.lines().map(str::trim_end).collect();
    let mut told: Vec<String> = Vec::new();
    let found = python::unittest(&lines, source).into_iter().chain(python::pytest(&lines));
    for line in found.chain(rust::cargo(&lines, source)) {
        if !told.contains(&line) {
            told.push(line);
        }
    }
    let mut all = kinds::kinds(&told);
    all.extend(spread(told));
    let cut = |line: String| match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    };
    all.into_iter().map(cut).collect()
}

/// The first lines of each function in turn, in their order: those of one alone would say nothing of the others.
fn spread(lines: Vec<String>) -> Vec<String> {
    let mut turns: BTreeMap<Option<String>, usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, usize)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let turn = turns.entry(function(line)).or_default();
        ranked.push((*turn, at));
        *turn += 1;
    }
    ranked.sort_unstable();
    let chosen: BTreeSet<usize> = ranked.into_iter().take(MOST).map(|(_, at)| at).collect();
    lines.into_iter().enumerate().filter(|(at, _)| chosen.contains(at)).map(|(_, line)| line).collect()
}

/// The function that a line of a digest is about.
fn function(line: &str) -> Option<String> {
    let (_, rest) = line.split_once('`')?;
    let code = rest.split_once(RAISED).or_else(|| rest.split_once('`'))?.0;
    let code = stated::asked(code).map_or_else(|| code.to_owned(), |(code, _)| code);
    statement::asks_for(&code).map(str::to_owned)
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
