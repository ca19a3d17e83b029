//! Owns the reading of a request: weighted terms, names, paths and traceback frames. Pure. It must
//! not touch the index; whether a term exists is for `rank` to find out.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::LazyLock;

use crate::boilerplate::is_boilerplate;
use crate::look::{is_code_like, is_import, is_number_of_issue};
use crate::token::{composed, split, tokens, words};
use crate::weights::QueryWeights;

/// Terms of a request that are looked up; of a longer request the heaviest.
const MOST_TERMS: usize = 400;
/// Bytes of a request that are read.
const LONGEST_REQUEST: usize = 256 * 1024;

/// A request, analysed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query {
    /// By text.
    pub terms: Vec<Term>,
    /// Whole names as written, by text, with their weight.
    pub names: Vec<(String, f64)>,
    /// In order of appearance, without doubles.
    pub paths: Vec<Mention>,
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// Kinds of files the request is about, which are then not ranked down.
    pub about: About,
}

/// A search token with its weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    pub text: String,
    pub weight: f64,
    /// The word it was taken from, for people.
    pub word: String,
    /// Whether it only counts if some file holds a name made of these words.
    pub is_compound: bool,
}

/// Something in the request that may be a path, a file name or a module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// Components, outer first.
    pub parts: Vec<String>,
    pub kind: MentionKind,
}

/// How a mention is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MentionKind {
    /// With separators or an extension, in the title or prose.
    Path,
    /// The same in code or a traceback.
    PathInCode,
    /// `a.b.c` or `a::b::c`.
    Module,
    /// A word that may be the stem of a file name.
    Word,
}

/// A place in a file named by a traceback, a compiler or a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub parts: Vec<String>,
    pub line: u32,
}

/// Kinds of files that the first line or a tag speaks of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct About {
    pub tests: bool,
    pub documents: bool,
    pub configuration: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Title,
    Prose,
    Code,
}

/// A request with fewer terms than this is read again with its longer stop words.
const FEWEST_TERMS: usize = 2;

#[derive(Default)]
struct Tally {
    counts: BTreeMap<Part, u32>,
    word: String,
}

/// Analyses a request.
pub fn analyse(request: &str, weights: &QueryWeights) -> Query {
    let end =
        (0..=request.len().min(LONGEST_REQUEST)).rev().find(|at| request.is_char_boundary(*at)).unwrap_or(0);
    let request = &composed(&request[..end]);
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut compounds: BTreeMap<String, (f64, String)> = BTreeMap::new();
    let mut query = Query::default();
    let mut names: BTreeMap<String, f64> = BTreeMap::new();
    let mut calls_first = false;
    for (part, line) in parts(request) {
        tally(part, line, Stops::All, &mut tallies);
        identifiers(part, line, weights, &mut names);
        if part != Part::Code {
            let weight = if part == Part::Title { weights.compound_title } else { weights.compound_prose };
            neighbours(line, weight, &mut compounds);
        }
        if part == Part::Title {
            query.about = about(line);
        }
        // What a pasted example imports is what it uses, and seldom what is wrong.
        if part != Part::Code || !is_import(line) {
            mentions(part, line, &mut query.paths);
        }
        if let Some(frame) = frame(line) {
            calls_first |= line.trim_start().starts_with("at ");
            query.frames.push(frame);
        }
    }
    // Python prints the innermost frame last, Java and JavaScript ("at …") first.
    if !calls_first {
        query.frames.reverse();
    }
    if tallies.len() < FEWEST_TERMS {
        for (part, line) in parts(request) {
            tally(part, line, Stops::Short, &mut tallies);
        }
    }
    let mut seen = BTreeSet::new();
    query.paths.retain(|mention| seen.insert(mention.clone()));
    query.names = names.into_iter().collect();
    query.terms = weigh(tallies, compounds, weights);
    query
}

fn weigh(
    tallies: BTreeMap<String, Tally>,
    compounds: BTreeMap<String, (f64, String)>,
    weights: &QueryWeights,
) -> Vec<Term> {
    let mut terms: BTreeMap<String, Term> = BTreeMap::new();
    for (text, tally) in tallies {
        let parts = tally.counts.iter().map(|(part, &count)| {
            let weight = match part {
                Part::Title => weights.title,
                Part::Prose => weights.prose,
                Part::Code => weights.code,
            };
            weight * (1.0 + f64::from(count).ln())
        });
        let weight = parts.sum();
        terms.insert(text.clone(), Term { text, weight, word: tally.word, is_compound: false });
    }
    for (text, (weight, word)) in compounds {
        // A name that was also written as one word is already there, with at least this weight.
        terms.entry(text.clone()).or_insert(Term { text, weight, word, is_compound: true });
    }
    let mut terms: Vec<Term> = terms.into_values().filter(|term| term.weight > 0.0).collect();
    terms.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.text.cmp(&b.text)));
    terms.truncate(MOST_TERMS);
    terms.sort_by(|a, b| a.text.cmp(&b.text));
    terms
}

/// The lines of a request with the part they belong to. Comments of issue templates, and what
/// programs and templates write into every report, are dropped.
fn parts(request: &str) -> Vec<(Part, &str)> {
    let mut out = Vec::new();
    let mut fenced = false;
    let mut traced = false;
    let mut commented = false;
    for line in request.lines() {
        let inner = line.trim();
        if commented || inner.starts_with("<!--") {
            commented = !inner.contains("-->");
            continue;
        }
        if inner.starts_with("```") || inner.starts_with("~~~") {
            fenced = !fenced;
            continue;
        }
        if inner.is_empty() || !out.is_empty() && is_boilerplate(inner) {
            continue;
        }
        if inner.starts_with("Traceback (most recent call last)") {
            traced = true;
        }
        let indented = line.starts_with("    ") || line.starts_with('\t');
        let prompt = [">>>", "...", "In [", "Out[", "$ "].iter().any(|prompt| inner.starts_with(prompt));
        let part = if fenced || indented || prompt || traced {
            Part::Code
        } else if out.is_empty() {
            Part::Title
        } else {
            Part::Prose
        };
        // The line of the exception ends a traceback.
        if traced && !indented && !inner.starts_with("Traceback") && !inner.starts_with("File ") {
            traced = false;
        }
        out.push((part, line));
    }
    if let Some(first) = out.first_mut() {
        first.0 = Part::Title;
    }
    out
}

/// Which stop words are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stops {
    All,
    /// Those of fewer than four letters: "version" may be all that a request says.
    Short,
}

fn tally(part: Part, line: &str, stops: Stops, tallies: &mut BTreeMap<String, Tally>) {
    for word in words(line) {
        let counted_now = is_stop_word(word.text) && !is_code_like(line, word);
        match stops {
            Stops::All if counted_now || is_number_of_issue(line, word) => continue,
            Stops::Short if !counted_now || word.text.len() < 4 => continue,
            _ => {}
        }
        let found = tokens(word.text);
        let several = found.len() > 1;
        for token in found {
            if several && STOP_WORDS.contains(token.as_str()) {
                continue;
            }
            let tally = tallies.entry(token).or_default();
            *tally.counts.entry(part).or_default() += 1;
            if tally.word.is_empty() {
                tally.word = word.text.to_owned();
            }
        }
    }
}

/// Words that may be whole names in the source: those that look like code. A capital letter alone
/// says nothing, for every sentence begins with one.
fn identifiers(part: Part, line: &str, weights: &QueryWeights, names: &mut BTreeMap<String, f64>) {
    let weight = if part == Part::Code { weights.name_in_code } else { 1.0 };
    for word in words(line) {
        if word.text.len() >= 3 && !is_stop_word(word.text) && is_code_like(line, word) {
            let known = names.entry(word.text.to_owned()).or_default();
            *known = known.max(weight);
        }
    }
}

/// Two and three neighbouring words as one name: "line ending" may be written `line_ending`.
fn neighbours(line: &str, weight: f64, compounds: &mut BTreeMap<String, (f64, String)>) {
    let words: Vec<_> = words(line).collect();
    let plain: Vec<Option<String>> = words
        .iter()
        .map(|word| {
            // A single letter is no token, but it may begin a name: "v-if" is `vIf`.
            if word.text.len() == 1 {
                return Some(word.text.to_ascii_lowercase());
            }
            let mut parts = Vec::new();
            split(word.text, &mut parts);
            let mut found = tokens(word.text);
            if parts.len() == 1 && found.len() == 1 { found.pop() } else { None }
        })
        .collect();
    for length in [2, 3] {
        for at in 0..(words.len() + 1).saturating_sub(length) {
            let close = (at + 1..at + length).all(|next| {
                let end = words[next - 1].start + words[next - 1].text.len();
                matches!(&line[end..words[next].start], " " | "-")
            });
            let Some(parts) = plain[at..at + length].iter().map(Option::as_deref).collect::<Option<Vec<_>>>()
            else {
                continue;
            };
            let only_stop_words = words[at..at + length].iter().all(|word| is_stop_word(word.text));
            if close && !only_stop_words {
                let phrase =
                    words[at..at + length].iter().map(|word| word.text).collect::<Vec<_>>().join(" ");
                let entry = compounds.entry(parts.concat()).or_insert((0.0, phrase));
                entry.0 = entry.0.max(weight);
            }
        }
    }
}

fn about(title: &str) -> About {
    let mut about = About::default();
    for word in words(title) {
        match word.text.to_ascii_lowercase().as_str() {
            "test" | "tests" | "testing" | "testcase" | "testsuite" => about.tests = true,
            "doc" | "docs" | "documentation" | "readme" | "changelog" | "docstring" | "tutorial"
            | "example" | "examples" => about.documents = true,
            "config" | "configuration" | "ci" | "workflow" | "toml" | "yaml" | "cargo" | "dependency"
            | "dependencies" => about.configuration = true,
            _ => {}
        }
    }
    about
}

const DELIMITERS: &[char] =
    &['"', '\'', '`', '(', ')', '<', '>', '[', ']', '{', '}', ',', ';', '|', '*', '=', '#', '?'];

fn mentions(part: Part, line: &str, out: &mut Vec<Mention>) {
    for piece in line.split(|c: char| c.is_whitespace() || DELIMITERS.contains(&c)) {
        let piece = piece.trim_end_matches(['.', ':', '!']);
        let (path, _) = strip_position(piece);
        let path = path.replace('\\', "/");
        if path.len() < 3 || path.len() > 300 {
            continue;
        }
        let kind = if part == Part::Code { MentionKind::PathInCode } else { MentionKind::Path };
        let components = components(&path);
        if components.len() > 1 || has_extension(&path) {
            if components.iter().all(|part| part.chars().any(char::is_alphanumeric)) {
                out.push(Mention { parts: components, kind });
            }
            if has_extension(&path) && !path.contains('/') {
                push_module(&path, out);
            }
        } else if path.contains("::") || path.contains('.') {
            push_module(&path, out);
        } else {
            out.extend(
                words(&path)
                    .filter(|word| word.text.len() > 2 && !is_stop_word(word.text))
                    .map(|word| Mention { parts: vec![word.text.to_owned()], kind: MentionKind::Word }),
            );
        }
    }
}

fn push_module(path: &str, out: &mut Vec<Mention>) {
    let parts: Vec<String> =
        path.split(['.', ':']).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    for part in &parts {
        out.push(Mention { parts: vec![part.clone()], kind: MentionKind::Word });
    }
    if parts.len() > 1 {
        out.push(Mention { parts, kind: MentionKind::Module });
    }
}

fn components(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != "." && *part != "..")
        .map(str::to_owned)
        .collect()
}

/// Whether the last component ends in a dot and one to five letters or digits, not only digits.
fn has_extension(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && (1..=5).contains(&extension.len())
            && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && extension.bytes().any(|byte| byte.is_ascii_alphabetic())
            && !stem.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Splits `path:12` and `path:12:5`.
fn strip_position(piece: &str) -> (&str, Option<u32>) {
    let mut rest = piece;
    let mut line = None;
    for _ in 0..2 {
        let Some((before, number)) = rest.rsplit_once(':') else { break };
        let Ok(number) = number.parse::<u32>() else { break };
        rest = before;
        line = Some(number);
    }
    (rest, line)
}

fn frame(line: &str) -> Option<Frame> {
    let inner = line.trim_start();
    if let Some(rest) = inner.strip_prefix("File \"") {
        let (path, rest) = rest.split_once('"')?;
        let number = rest.strip_prefix(", line ")?;
        let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
        return Some(Frame {
            parts: components(&path.replace('\\', "/")),
            line: number[..digits].parse().ok()?,
        });
    }
    line.split(|c: char| c.is_whitespace() || DELIMITERS.contains(&c)).find_map(|piece| {
        let (path, line) = strip_position(piece.trim_end_matches([':', '.']));
        let path = path.replace('\\', "/");
        (has_extension(&path) && !path.contains("://"))
            .then_some(line)
            .flatten()
            .map(|line| Frame { parts: components(&path), line })
    })
}

/// Whether a word says nothing about which file is meant.
fn is_stop_word(word: &str) -> bool {
    word.len() <= 12 && STOP_WORDS.contains(word.to_ascii_lowercase().as_str())
}

/// The words of `stop_words.txt`.
static STOP_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = include_str!("../stop_words.txt").lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).collect()
});

#[cfg(test)]
mod tests;
