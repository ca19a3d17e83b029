//! `countersign context`: the evidence, without a model.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use countersign_index::{Budget, Candidate, Context, Explanation, Place, Request, Verdict};

use crate::cli::ContextArgs;
use crate::command::json;
use crate::config::Config;
use crate::retrieve::Library;
use crate::sanitize::visible;
use crate::turn::reasons;

/// Candidates that are printed for people with all their reasons; `--json` has every one.
const SHOWN: usize = 25;

pub fn context(config: &Config, arguments: ContextArgs) -> anyhow::Result<String> {
    let text = arguments.request.join(" ");
    let budget = arguments.budget.unwrap_or(config.evidence_tokens);
    if let Some(path) = arguments.why {
        let library = updated(config)?;
        let request = Request { text, tags: arguments.tag };
        let explanation = library.index.explain(&request, Budget { tokens: budget }, &path)?;
        return if arguments.json { json(&explanation) } else { Ok(why(&explanation)) };
    }
    let context = gather(config, &text, arguments.tag, budget)?;
    if arguments.json { json(&context) } else { Ok(render(&context)) }
}

/// Brings the index up to date and fills a pack.
pub fn gather(config: &Config, text: &str, tags: Vec<String>, tokens: u32) -> anyhow::Result<Context> {
    Ok(updated(config)?.index.context(&Request { text: text.to_owned(), tags }, Budget { tokens })?)
}

fn updated(config: &Config) -> anyhow::Result<Library> {
    let mut library = Library::open(&config.root, &config.data.index())?;
    library.update(&mut |_| ControlFlow::Continue(()))?;
    Ok(library)
}

/// Why a file is where it is, or is not there.
fn why(explanation: &Explanation) -> String {
    let path = visible(&explanation.path);
    match &explanation.place {
        Place::Ranked { rank, above, candidate } => {
            let mut text = format!("{path} is number {rank} of {} candidates", explanation.candidates);
            if let Some(above) = above {
                let _ = write!(text, "; the one above has {above:.2} points");
            }
            text.push('\n');
            line_of(&mut text, candidate);
            text
        }
        Place::NoRule => format!(
            "{path} is indexed, but shares no word, name or history with the request; --tag {path} puts it into the evidence\n"
        ),
        Place::Skipped { reason } => format!("{path} is not indexed: {}\n", reason.describe()),
        Place::Directory { files } => {
            format!("{path} is a folder with {files} indexed files; name one of them\n")
        }
        Place::Unknown => format!(
            "{path} is not in the tree, or a rule of .gitignore, .ignore or .git/info/exclude leaves it out\n"
        ),
    }
}

/// A candidate with its verdict and its reasons.
fn line_of(text: &mut String, candidate: &Candidate) {
    let verdict = match &candidate.verdict {
        Verdict::Kept { lines } => format!(
            "kept: {}",
            lines.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(", ")
        ),
        Verdict::Listed => "listed among further files".into(),
        Verdict::LeftOut { reason } => format!("left out: {reason}"),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:6.2}  {}  ({verdict})", candidate.points, visible(&candidate.path));
    for reason in reasons(candidate) {
        let _ = writeln!(text, "          {}", visible(&reason));
    }
}

/// The ledger first, since it is what one reads; then the pack, as the model gets it.
pub fn render(context: &Context) -> String {
    let mut text = String::new();
    let ledger = &context.ledger;
    let line = &mut text;
    // Writing to a string cannot fail.
    let _ = writeln!(line, "LEDGER: {} candidates\n", ledger.candidates.len());
    for candidate in ledger.candidates.iter().take(SHOWN) {
        line_of(line, candidate);
    }
    if ledger.candidates.len() > SHOWN {
        let _ = writeln!(line, "        … {} more; --json lists them all", ledger.candidates.len() - SHOWN);
    }
    for (reason, files) in &ledger.skipped {
        let _ = writeln!(line, "not indexed: {files} files, {}", reason.describe());
    }
    let pack = &context.pack;
    let _ = writeln!(line, "\nPACK: {} of {} tokens", pack.tokens, pack.budget);
    for snippet in &pack.snippets {
        let inside =
            snippet.enclosing.as_ref().map(|name| format!("  in {}", visible(name))).unwrap_or_default();
        let _ = writeln!(
            line,
            "\n── {}:{}-{}{inside}",
            visible(&snippet.path),
            snippet.start_line,
            snippet.end_line
        );
        for (number, source) in (snippet.start_line..).zip(snippet.text.lines()) {
            let _ = writeln!(line, "{number:5}  {}", visible(source));
        }
    }
    if !pack.tail.is_empty() {
        let _ = writeln!(line, "\nFURTHER FILES");
        for entry in &pack.tail {
            let _ = writeln!(line, "  {}: {}", visible(&entry.path), visible(&entry.definitions.join(", ")));
        }
    }
    text
}
