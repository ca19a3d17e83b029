//! Owns the ledger: for every candidate its points by rule, and what became of it. Plain data.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::kind::FileKind;
use crate::pack::Pack;
use crate::rank::Ranking;
use crate::snapshot::{Slot, Snapshot};
use crate::walk::SkipReason;

/// A rule that gives or takes points. The weights are in `weights.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    Tag,
    Mention,
    Frame,
    Chunk,
    File,
    History,
    Path,
    PathSuffix,
    Basename,
    Definition,
    DefinitionTokens,
    /// Taken from tests, documents and configuration, unless the request is about them.
    Kind,
    /// Taken from what is generated, vendored, minified or a lock file.
    Origin,
    Changed,
    /// Given when the others are counted, to files behind the best ones.
    Together,
}

impl Rule {
    /// Every rule, in the order of the ledger.
    pub const ALL: [Rule; 15] = [
        Rule::Tag,
        Rule::Mention,
        Rule::Frame,
        Rule::Chunk,
        Rule::File,
        Rule::History,
        Rule::Path,
        Rule::PathSuffix,
        Rule::Basename,
        Rule::Definition,
        Rule::DefinitionTokens,
        Rule::Kind,
        Rule::Origin,
        Rule::Changed,
        Rule::Together,
    ];

    /// Whether the owner's own word gives its points.
    pub(crate) fn is_owners(self) -> bool {
        matches!(self, Rule::Tag | Rule::Mention)
    }

    /// The name for programs, as in JSON and, but for `kind` and `origin`, in `weights.toml`.
    pub fn key(self) -> &'static str {
        match self {
            Rule::Tag => "tag",
            Rule::Mention => "mention",
            Rule::Frame => "frame",
            Rule::Chunk => "chunk",
            Rule::File => "file",
            Rule::History => "history",
            Rule::Path => "path",
            Rule::PathSuffix => "path_suffix",
            Rule::Basename => "basename",
            Rule::Definition => "definition",
            Rule::DefinitionTokens => "definition_tokens",
            Rule::Kind => "kind",
            Rule::Origin => "origin",
            Rule::Changed => "changed",
            Rule::Together => "together",
        }
    }

    /// The name for people, as in `path +1.20: parser`.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Tag => "tagged",
            Rule::Mention => "named in the request",
            Rule::Frame => "traceback frame",
            Rule::Chunk => "best passages",
            Rule::File => "whole file",
            Rule::History => "history",
            Rule::Path => "path words",
            Rule::PathSuffix => "path or module",
            Rule::Basename => "file name",
            Rule::Definition => "definition",
            Rule::DefinitionTokens => "defined names",
            Rule::Kind => "kind of file",
            Rule::Origin => "origin of file",
            Rule::Changed => "changed in git",
            Rule::Together => "changed together",
        }
    }
}

/// What one rule gave a candidate, and for what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RulePoints {
    pub rule: Rule,
    pub points: f64,
    /// The words, names, commits or lines that earned the points.
    pub detail: String,
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Lines of it are in the pack: first and last line of each snippet, 1-based, inclusive.
    Kept { lines: Vec<(u32, u32)> },
    /// Its path and definitions are in the pack's tail.
    Listed,
    /// It is not in the pack.
    LeftOut { reason: String },
}

/// One file that any rule gave points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub path: String,
    /// Sum of `rules`.
    pub points: f64,
    /// In the order of [`Rule`].
    pub rules: Vec<RulePoints>,
    pub kind: FileKind,
    /// What is worth knowing besides, such as `modified since HEAD`.
    pub labels: Vec<String>,
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A term of the request as it was looked up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RequestTerm {
    pub term: String,
    /// The word or words of the request it stands for.
    pub word: String,
    pub weight: f64,
    /// Chunks that contain it.
    pub chunks: u32,
}

/// Why the pack is what it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Best first; ties by path.
    pub candidates: Vec<Candidate>,
    /// The terms of the request that exist in the index, by term.
    pub terms: Vec<RequestTerm>,
    /// Tags that name no indexed file.
    pub unknown_tags: Vec<String>,
    /// Files that are not in the index, by reason.
    pub skipped: Vec<(SkipReason, u64)>,
}

/// Writes the ledger of a ranking and the pack that was made of it. `changed` are the files that
/// changed since the last update.
pub(crate) fn write(snapshot: &Snapshot, ranking: Ranking, pack: &Pack, changed: &[Slot]) -> Ledger {
    let mut kept: BTreeMap<&str, Vec<(u32, u32)>> = BTreeMap::new();
    for snippet in &pack.snippets {
        kept.entry(&snippet.path).or_default().push((snippet.start_line, snippet.end_line));
    }
    let listed: BTreeSet<&str> = pack.tail.iter().map(|entry| entry.path.as_str()).collect();
    let candidates = ranking.files.into_iter().map(|ranked| {
        let file = &snapshot.files[ranked.slot];
        let path = file.row.path.as_str();
        let verdict = match kept.remove(path) {
            Some(lines) => Verdict::Kept { lines },
            None if changed.contains(&ranked.slot) => {
                Verdict::LeftOut { reason: "it changed or went away since the index was updated".to_owned() }
            }
            None if listed.contains(path) => Verdict::Listed,
            None => Verdict::LeftOut { reason: "the budget was used by better evidence".to_owned() },
        };
        let mut labels = Vec::new();
        labels.extend(file.row.git.as_ref().map(|state| format!("{state} since HEAD")));
        if file.row.encoding != "utf-8" {
            labels.push(format!("read as {}", file.row.encoding));
        }
        if file.row.indexed < file.row.bytes {
            let (indexed, bytes) = (file.row.indexed, file.row.bytes);
            labels.push(format!("only its first {indexed} of {bytes} bytes are indexed"));
        }
        if file.row.syntax_errors > 0 {
            labels.push(format!("{} syntax errors", file.row.syntax_errors));
        }
        Candidate {
            path: path.to_owned(),
            points: ranked.points,
            rules: ranked.rules,
            kind: file.kind,
            labels,
            verdict,
        }
    });
    Ledger {
        candidates: candidates.collect(),
        terms: ranking.terms,
        unknown_tags: ranking.unknown_tags,
        skipped: snapshot.skipped.clone(),
    }
}
