//! What the turn and the roles say to each other: typed values inside the process.
//!
//! Types that a model writes (`Planned`, `Action`) derive their JSON Schema here. Their field names
//! are chosen so that alphabetical order is the order of thinking, because some servers emit keys in
//! that order. This module must not know channels, prompts or where JSON came from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::provider::Layout;

/// Part of a file as a role sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Region {
    pub path: String,
    /// First and last line, 1-based, inclusive.
    pub start_line: u32,
    pub end_line: u32,
    /// Signature of the definition that surrounds a fragment.
    pub enclosing: Option<String>,
    pub text: String,
    /// The region is the whole file.
    pub whole: bool,
}

/// A file that was ranked but did not fit: its path and what it defines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Further {
    pub path: String,
    pub definitions: Vec<String>,
}

/// A definition that the request names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    pub name: String,
    pub kind: &'static str,
    pub path: String,
    /// First and last line, 1-based, inclusive.
    pub start_line: u32,
    pub end_line: u32,
}

/// The evidence of one turn, in the words of the prompts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    pub regions: Vec<Region>,
    pub further: Vec<Further>,
    /// Small models confuse names that resemble each other; code does not.
    pub named: Vec<Named>,
}

/// Turn to Architect.
#[derive(Debug, Clone, Serialize)]
pub struct PlanRequest {
    pub request: String,
    pub evidence: Evidence,
    /// What it asked before, and what was found, oldest first.
    #[serde(skip)]
    pub rounds: Vec<Round>,
    /// Every path that exists in the repository as the plan would find it.
    #[serde(skip)]
    pub paths: std::sync::Arc<std::collections::BTreeSet<String>>,
}

/// One time that the Architect asked instead of planning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Its answer, as it was written: what the server has in its cache.
    pub asked: String,
    pub findings: Vec<Finding>,
}

/// What a step does to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepAction {
    Edit,
    Create,
    Delete,
    Rename,
}

impl StepAction {
    /// The word that plans and messages use.
    pub fn word(self) -> &'static str {
        match self {
            StepAction::Edit => "edit",
            StepAction::Create => "create",
            StepAction::Delete => "delete",
            StepAction::Rename => "rename",
        }
    }
}

/// One step of a plan: one file, one purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub action: StepAction,
    /// Repository-relative path.
    pub file: String,
    /// Function, type or heading to change; empty when the whole file is meant.
    #[serde(default)]
    pub symbol: String,
    /// New path of a rename; empty otherwise.
    #[serde(default)]
    pub target: String,
    /// What to do, precisely.
    pub task: String,
}

/// What the Architect writes: steps, or questions when the evidence does not show enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanAnswer {
    pub analysis: String,
    #[serde(default)]
    pub questions: Vec<String>,
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// A plan that has passed its checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub summary: String,
    pub steps: Vec<Step>,
}

/// Architect to turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    Ready(Plan),
    /// What it wants to know before it plans, and the whole answer that says so.
    Needs {
        questions: Vec<String>,
        asked: String,
    },
}

/// Turn to Explorer.
#[derive(Debug, Clone)]
pub struct ExploreRequest {
    pub request: String,
    pub questions: Vec<String>,
    /// Lines that the Architect has before it: path, first and last line.
    pub shown: Vec<(String, u32, u32)>,
}

/// One read-only action of the Explorer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolName {
    Search,
    Regex,
    List,
    Read,
    Outline,
    References,
}

/// What the Explorer writes: its next action, or `answer` with the answer as argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExploreAnswer {
    pub action: ExploreAction,
    pub argument: String,
}

/// The Explorer's choices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExploreAction {
    Search,
    Regex,
    List,
    Read,
    Outline,
    References,
    Answer,
}

impl ExploreAction {
    /// The tool behind the action; `None` for the answer.
    pub fn tool(self) -> Option<ToolName> {
        Some(match self {
            ExploreAction::Search => ToolName::Search,
            ExploreAction::Regex => ToolName::Regex,
            ExploreAction::List => ToolName::List,
            ExploreAction::Read => ToolName::Read,
            ExploreAction::Outline => ToolName::Outline,
            ExploreAction::References => ToolName::References,
            ExploreAction::Answer => return None,
        })
    }
}

/// What the Explorer found for one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub question: String,
    pub answer: String,
    /// What the tools really returned: the answer can be checked against it.
    pub evidence: Vec<String>,
}

/// How the Coder is asked to write its edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum EditFormat {
    /// Blocks of lines to find and lines to put in their place.
    SearchReplace,
    /// The whole file.
    Whole,
    /// The whole text of the definition that the step names.
    Symbol,
    /// New lines for a range of lines, which are shown with tags.
    AnchoredLines,
}

impl EditFormat {
    /// Every form, the one that is preferred among equals first.
    pub const ALL: [EditFormat; 4] =
        [EditFormat::Symbol, EditFormat::SearchReplace, EditFormat::AnchoredLines, EditFormat::Whole];

    /// The form for people.
    pub fn describe(self) -> &'static str {
        match self {
            EditFormat::Symbol => "whole definitions",
            EditFormat::SearchReplace => "blocks",
            EditFormat::AnchoredLines => "tagged lines",
            EditFormat::Whole => "whole files",
        }
    }
}

/// Turn to Coder: one step, and the exact lines that it concerns.
#[derive(Debug, Clone, Serialize)]
pub struct StepRequest {
    pub request: String,
    pub step: Step,
    pub format: EditFormat,
    pub regions: Vec<Region>,
    /// Why the answer before this one was refused. The model is asked afresh and does not see that
    /// answer again, since small models repeat what they see.
    pub reasons: Vec<String>,
    /// What a check says about the lines that are shown, which were changed already; else empty.
    pub failure: String,
    /// What must hold besides, a line each: what tests of earlier answers said.
    pub examples: Vec<String>,
    /// What the failures that the request quotes say, a line each.
    pub in_short: Vec<String>,
    /// What the owner says about an earlier change of this step; else empty.
    pub feedback: String,
    /// Whether to say first what is wrong with the lines: a small model that is asked for code alone
    /// copies what it sees, however often it is told that it fails.
    pub diagnose: bool,
    /// What the answer looks like, where the model is to be held to it.
    #[serde(skip)]
    pub layout: Option<Layout>,
    /// Which of several answers to the same request this is, from 0: the others sample more freely.
    pub variation: u32,
    /// Answers that are wanted at once, at least 1.
    #[serde(skip)]
    pub draws: u32,
}

/// Coder to turn: the text with the edits in it. The edit engine reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoderAnswer {
    pub text: String,
    /// Why the last edit may be incomplete.
    pub cut: Option<Cut>,
    /// Other answers to the same request, all complete.
    pub further: Vec<String>,
}

/// Why an answer has no end of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The answer limit was reached.
    AtLimit,
    /// It repeated itself and was stopped.
    Repeating,
}
