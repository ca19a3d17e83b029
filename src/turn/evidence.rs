//! The first stage of a turn: bring the index up to date, and fill the pack.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_index::{Budget, Candidate, Context, Progress, Request, Verdict};

use crate::events::Events;
use crate::message::{Evidence, Further, Named, Region};
use crate::protocol::{Event, LedgerRow, Skipped, SnippetView, StartRequest};
use crate::retrieve::Library;
use crate::turn::{Desk, Stop};

/// Ledger rows that travel with the event. The whole ledger is what `countersign context` prints.
const LEDGER_ROWS: usize = 20;
/// How often the pack is filled anew when the server counts more tokens than were estimated. What does
/// not fit then is said before the Architect is asked.
const MOST_TRIES: usize = 3;
/// Least time between two progress events.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// Most definitions that are pointed out to the Architect.
const NAMED_SHOWN: usize = 8;
/// Most names of files that stand in for the pack where it is left out.
const NAMES_ALONE: usize = 200;
/// Reasons of the ledger that are shown with a hunk.
const REASONS_SHOWN: usize = 3;

/// The evidence of a turn.
pub(super) struct Gathered {
    pub evidence: Evidence,
    /// Every indexed path.
    pub paths: Arc<BTreeSet<String>>,
    /// The first reasons of each candidate, by path.
    pub reasons: HashMap<String, Vec<String>>,
}

pub(super) async fn gather(desk: &Desk, request: &StartRequest) -> Result<Gathered, Stop> {
    update(desk).await?;
    let share = desk.roles.architect.budget.evidence_tokens(desk.architect_model.window);
    // The index counts four bytes a token; the model's own tokens decide what fits its window.
    let mut room = (desk.architect_model.bytes_of(share) / 4) as u32;
    let mut tries = 0;
    let (context, named, paths) = loop {
        let budget = Budget { tokens: desk.evidence_tokens.min(room) };
        let asked = Request { text: request.text.clone(), tags: request.tags.clone() };
        let found = desk
            .retriever
            .with(move |library| {
                let context = library.index.context(&asked, budget)?;
                let named = named(library, &asked.text, &context)?;
                Ok((context, named, library.paths()?))
            })
            .await?;
        let pack = &found.0.pack;
        let text: Vec<&str> = pack.snippets.iter().map(|snippet| snippet.text.as_str()).collect();
        let counted = desk.architect_model.tokens_of(&text.join("\n")).await;
        tries += 1;
        if counted <= share || pack.snippets.is_empty() || tries == MOST_TRIES {
            break found;
        }
        // Denser than was thought: whole snippets go, the lowest in rank first.
        room = (u64::from(budget.tokens) * u64::from(share) * 95 / (u64::from(counted) * 100)) as u32;
    };
    if desk.parts.evidence {
        desk.events.emit(pack_event(&context));
    }
    let reasons = context
        .ledger
        .candidates
        .iter()
        .map(|candidate| {
            let mut reasons = reasons(candidate);
            reasons.truncate(REASONS_SHOWN);
            (candidate.path.clone(), reasons)
        })
        .collect();
    let evidence = match desk.parts.evidence {
        true => evidence(context, named),
        false => names_alone(&paths),
    };
    Ok(Gathered { evidence, paths: Arc::new(paths), reasons })
}

/// What is known of a tree without any evidence.
fn names_alone(paths: &BTreeSet<String>) -> Evidence {
    let further = paths.iter().take(NAMES_ALONE);
    let further = further.map(|path| Further { path: path.clone(), definitions: Vec::new() });
    Evidence { further: further.collect(), ..Evidence::default() }
}

async fn update(desk: &Desk) -> Result<(), Stop> {
    let began = Instant::now();
    let events = desk.events.clone();
    let report = desk.retriever.update(throttled(events)).await?;
    if let Some(rebuilt) = &report.rebuilt {
        desk.events.warn(format!("the index was rebuilt: {rebuilt}"));
    }
    if let Some(note) = &report.git {
        desk.events.warn(note.clone());
    }
    if report.files == 0 {
        desk.events.warn(format!("there is nothing to read in {}: no evidence", desk.root.display()));
    }
    desk.events.emit(Event::IndexReady {
        files: report.files,
        updated: report.added + report.updated,
        removed: report.removed,
        skipped: report
            .skipped
            .iter()
            .map(|(reason, files)| Skipped { reason: reason.describe().into(), files: *files })
            .collect(),
        millis: began.elapsed().as_millis() as u64,
    });
    Ok(())
}

/// Progress events, at most ten a second.
fn throttled(events: Events) -> impl FnMut(Progress) + Send + 'static {
    let mut last: Option<Instant> = None;
    move |progress: Progress| {
        if last.is_none_or(|last| last.elapsed() >= PROGRESS_EVERY) {
            last = Some(Instant::now());
            events.emit(Event::IndexProgress {
                phase: progress.phase.describe().into(),
                done: progress.done,
                total: progress.total,
            });
        }
    }
}

/// One line a rule, such as `path +1.20: parser`.
pub(crate) fn reasons(candidate: &Candidate) -> Vec<String> {
    let mut rules: Vec<_> = candidate.rules.iter().collect();
    // Stable: rules with equal points stay in the order of the table.
    rules.sort_by(|a, b| b.points.total_cmp(&a.points));
    rules
        .iter()
        .map(|rule| match rule.detail.as_str() {
            "" => format!("{} {:+.2}", rule.rule.name(), rule.points),
            detail => format!("{} {:+.2}: {detail}", rule.rule.name(), rule.points),
        })
        .collect()
}

fn pack_event(context: &Context) -> Event {
    let snippets = context
        .pack
        .snippets
        .iter()
        .map(|snippet| SnippetView {
            path: snippet.path.clone(),
            start_line: snippet.start_line,
            end_line: snippet.end_line,
            tokens: snippet.tokens,
        })
        .collect();
    let ledger = context
        .ledger
        .candidates
        .iter()
        .take(LEDGER_ROWS)
        .map(|candidate| LedgerRow {
            path: candidate.path.clone(),
            points: candidate.points,
            kept: matches!(candidate.verdict, Verdict::Kept { .. }),
            reasons: reasons(candidate),
        })
        .collect();
    Event::PackReady {
        tokens: context.pack.tokens,
        budget: context.pack.budget,
        snippets,
        ledger,
        candidates: context.ledger.candidates.len() as u64,
    }
}

/// Definitions in the pack's files whose names the request spells out. Only words that look like
/// code count: `run` in prose is a verb.
fn named(library: &Library, request: &str, context: &Context) -> anyhow::Result<Vec<Named>> {
    let words: BTreeSet<&str> = identifiers(request);
    let mut files: Vec<&str> = context.pack.snippets.iter().map(|snippet| snippet.path.as_str()).collect();
    files.dedup();
    let mut named = Vec::new();
    for path in files {
        for symbol in library.index.outline(path)? {
            if words.contains(symbol.name.as_str()) && named.len() < NAMED_SHOWN {
                named.push(Named {
                    name: symbol.name,
                    kind: symbol.kind.name(),
                    path: path.to_owned(),
                    start_line: symbol.start_line,
                    end_line: symbol.end_line,
                });
            }
        }
    }
    Ok(named)
}

/// Words of a text that are spelled as code is: `fromRoman`, `from_roman`, `Parser`, `parse()`, or
/// anything in backticks.
fn identifiers(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = BTreeSet::new();
    for (at, _) in text.char_indices().filter(|(at, c)| is_part(*c) && !text[..*at].ends_with(is_part)) {
        let end = text[at..].find(|c| !is_part(c)).map_or(text.len(), |end| at + end);
        let word = &text[at..end];
        let inner_capital = word.chars().skip(1).any(char::is_uppercase);
        let called = text[end..].starts_with('(');
        let quoted = text[..at].matches('`').count() % 2 == 1;
        let is_type =
            word.starts_with(char::is_uppercase) && at > 0 && !text[..at].trim_end().ends_with(['.', '\n']);
        if word.contains('_') || inner_capital || called || quoted || is_type {
            found.insert(word);
        }
    }
    found
}

fn evidence(context: Context, named: Vec<Named>) -> Evidence {
    let regions = context
        .pack
        .snippets
        .into_iter()
        .map(|snippet| Region {
            path: snippet.path,
            start_line: snippet.start_line,
            end_line: snippet.end_line,
            enclosing: snippet.enclosing,
            text: snippet.text,
            whole: false,
        })
        .collect();
    let further = context
        .pack
        .tail
        .into_iter()
        .map(|entry| Further { path: entry.path, definitions: entry.definitions })
        .collect();
    Evidence { regions, further, named }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_spelled_as_code_are_told_from_prose() {
        let check =
            |text, expected: &[&str]| assert_eq!(identifiers(text), expected.iter().copied().collect());
        check("fromRoman() should accept lower case", &["fromRoman"]);
        check("Make parse() run twice", &["parse"]);
        check("rename `load` to read_all, as in Config. Then run it.", &["load", "read_all", "Config"]);
        check("The größe of Maß_einheit. Fix it", &["Maß_einheit"]);
        check("", &[]);
    }
}
