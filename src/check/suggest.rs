//! What a compiler itself offers to correct: a `&` that is missing, a `mut`, an import. Pure: a check in, the
//! one that tells; its output in, corrections out.
//!
//! Known is rustc, by cargo, whose messages are described in "The rustc book", "JSON output". Its own tool
//! `cargo fix` takes only what is surely right, and only what compiles already; what is taken here is checked
//! afterwards in any case.

mod derive;

use std::ops::Range;

use serde::Deserialize;

use super::Check;
use derive::Missing;

/// Verbs of cargo that compile.
const VERBS: [&str; 4] = ["test", "check", "build", "clippy"];

/// One correction: all of its parts go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correction {
    /// Relative to where the compiler ran.
    pub file: String,
    /// Bytes of the file, and what belongs in their place.
    pub parts: Vec<(Range<usize>, String)>,
}

/// What a compiler said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Errors, each once.
    pub errors: usize,
    /// At most one for each error.
    pub corrections: Vec<Correction>,
    /// Of errors for which nothing is offered.
    missing: Missing,
}

impl Told {
    /// What there is to correct in the file of this path and text: what the compiler offers, and the traits that it
    /// misses of types that are declared there.
    pub fn in_file(&self, path: &str, text: &str) -> Vec<Correction> {
        let offered = self.corrections.iter().filter(|correction| correction.file == path).cloned();
        offered.chain(self.missing.in_file(path, text)).collect()
    }
}

/// The check that only compiles and tells what it would correct; `None` for what is no such compiler.
pub fn telling(check: &Check) -> Option<Check> {
    let program = check.argv.first()?.rsplit('/').next()?;
    let verb = check.argv.iter().skip(1).position(|word| !word.starts_with('+'))? + 1;
    let own = check.argv.iter().position(|word| word == "--").unwrap_or(check.argv.len());
    let tells = check.argv.iter().any(|word| word.starts_with("--message-format"));
    if program != "cargo" || verb >= own || tells || !VERBS.contains(&check.argv[verb].as_str()) {
        return None;
    }
    let mut argv = check.argv[..own].to_vec();
    argv.insert(verb + 1, "--message-format=json".to_owned());
    if argv[verb] == "test" && !argv.iter().any(|word| word == "--no-run") {
        argv.insert(verb + 2, "--no-run".to_owned());
    }
    Some(Check { argv, ..check.clone() })
}

/// Whether a check failed before anything ran.
pub fn could_not_compile(output: &str) -> bool {
    output.lines().any(|line| line.starts_with("error: could not compile"))
}

/// A line of cargo's output.
#[derive(Deserialize)]
struct Line {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    level: String,
    #[serde(default)]
    message: String,
    rendered: Option<String>,
    #[serde(default)]
    spans: Vec<Span>,
    #[serde(default)]
    children: Vec<Message>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    suggested_replacement: Option<String>,
    suggestion_applicability: Option<Applicability>,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Applicability {
    /// Surely right.
    MachineApplicable,
    /// Compiles, and may be what was meant.
    MaybeIncorrect,
    /// The compiler does not say, as for the lifetimes that it asks for.
    Unspecified,
    /// Has a gap for people to fill in.
    HasPlaceholders,
}

/// Reads what the check of [`telling`] printed; lines of other kinds are passed over.
pub fn told(output: &str) -> Told {
    let mut told = Told::default();
    let mut seen: Vec<String> = Vec::new();
    let mut unsure: Vec<Correction> = Vec::new();
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let Ok(Line { message }) = serde_json::from_str(line) else { continue };
        let text = message.rendered.clone().unwrap_or_default();
        // A library is compiled twice, for itself and for its tests.
        if message.level != "error" || message.spans.is_empty() || seen.contains(&text) {
            continue;
        }
        seen.push(text);
        told.errors += 1;
        let offered = message.children.iter().filter_map(|child| offer(&child.spans));
        // The surest; of equals the first.
        let Some((sureness, correction)) = offered.min_by_key(|(sureness, _)| *sureness) else {
            let notes = message.children.iter().map(|child| child.message.as_str());
            std::iter::once(message.message.as_str()).chain(notes).for_each(|said| told.missing.hear(said));
            continue;
        };
        let corrections =
            if sureness < Applicability::Unspecified { &mut told.corrections } else { &mut unsure };
        if !corrections.iter().any(|other| other.overlaps(&correction)) {
            corrections.push(correction);
        }
    }
    // Alone: one that is wrong would take the others with it.
    if told.corrections.is_empty() {
        told.corrections = unsure;
    }
    told
}

/// The correction of one suggestion, if a program may take it.
fn offer(spans: &[Span]) -> Option<(Applicability, Correction)> {
    let mut file: Option<&str> = None;
    let mut parts: Vec<(Range<usize>, String)> = Vec::new();
    let mut sureness = Applicability::MachineApplicable;
    for span in spans {
        let (Some(text), Some(applicability)) = (&span.suggested_replacement, span.suggestion_applicability)
        else {
            continue;
        };
        let range = span.byte_start..span.byte_end;
        // Several for one place are alternatives.
        if parts.iter().any(|(other, _)| *other == range) {
            sureness = sureness.max(Applicability::MaybeIncorrect);
            continue;
        }
        if file.is_some_and(|file| file != span.file_name) {
            return None;
        }
        file = Some(&span.file_name);
        sureness = sureness.max(applicability);
        parts.push((range, text.clone()));
    }
    parts.sort_by_key(|(range, _)| (range.start, range.end));
    let are_apart = parts.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start);
    let file = file.filter(|file| is_inside(file))?.replace('\\', "/");
    (sureness <= Applicability::Unspecified && are_apart).then_some((sureness, Correction { file, parts }))
}

/// Whether a path stays below where it begins.
fn is_inside(path: &str) -> bool {
    std::path::Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

impl Correction {
    fn overlaps(&self, other: &Correction) -> bool {
        let meet =
            |one: &Range<usize>, other: &Range<usize>| one.start <= other.end && other.start <= one.end;
        self.file == other.file
            && self.parts.iter().any(|(one, _)| other.parts.iter().any(|(two, _)| meet(one, two)))
    }
}

/// A text with corrections of it made, which must not overlap; `None` if one has no place in it.
pub fn corrected<'a>(text: &str, corrections: impl IntoIterator<Item = &'a Correction>) -> Option<String> {
    let mut parts: Vec<&(Range<usize>, String)> =
        corrections.into_iter().flat_map(|correction| &correction.parts).collect();
    parts.sort_by_key(|(range, _)| range.start);
    let mut new = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for (range, replacement) in parts {
        new.push_str(text.get(at..range.start)?);
        text.get(range.clone())?;
        new.push_str(replacement);
        at = range.end;
    }
    new.push_str(text.get(at..)?);
    Some(new)
}

#[cfg(test)]
mod tests;
