//! What the engine and its observers say to each other: [`Op`] in, [`Event`] out.
//!
//! Plain serde data in the words of the person at the keyboard. It depends on no other module of
//! ours, so that a front end (terminal, JSON lines, an editor) can be written against this file
//! alone. Every event reaches the session store before anyone sees it.

use serde::{Deserialize, Serialize};

/// Version of the two enums below. It changes when a reader of the old form would misread the new.
pub const PROTOCOL_VERSION: u32 = 1;

/// What an observer may ask of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Begin a turn. Refused with [`Event::Refused`] while another turn runs.
    Start(StartRequest),
    /// Answer one [`Event::ApprovalNeeded`]. Hunks that are not named are declined.
    Decide(Decision),
    /// Nobody is there who could answer that approval: nothing of its patch is applied, not even what
    /// rules allow.
    Unanswered { approval: u64 },
    /// Stop the running turn; the tree stays as it was or is fully changed.
    Cancel,
    /// Stop the running turn, if any, and end the engine.
    Quit,
}

/// A request in its owner's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartRequest {
    /// What is wanted, as typed.
    pub text: String,
    /// Repository-relative paths that must be in the evidence.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// The owner's answer to one approval. It names the digest that was shown, so that consent to one
/// patch cannot release another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// [`Approval::id`].
    pub approval: u64,
    /// [`Approval::digest`].
    pub digest: String,
    /// Ids of the hunks to apply ([`HunkReview::id`]); all others are declined.
    pub accept: Vec<u32>,
}

/// One stored event: a numbered, dated line of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`PROTOCOL_VERSION`] at the time of writing.
    pub v: u32,
    /// Position in the session, from 1, without gaps.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// First event of every session.
    SessionStarted {
        session: String,
        root: String,
        provider: String,
        model: String,
        window: u32,
        window_source: String,
    },
    /// A turn began.
    TurnStarted { turn: u32, request: StartRequest },
    /// The index is being brought up to date; sent at most ten times a second.
    IndexProgress { phase: String, done: u64, total: Option<u64> },
    /// The index is up to date.
    IndexReady { files: u64, updated: u64, removed: u64, skipped: Vec<Skipped>, millis: u64 },
    /// The evidence that every role of this turn will see.
    PackReady {
        tokens: u32,
        budget: u32,
        snippets: Vec<SnippetView>,
        ledger: Vec<LedgerRow>,
        candidates: u64,
    },
    /// A model call is about to be made.
    CallStarted { call: u32, role: String, estimated_tokens: u32, answer_limit: u32, window: u32 },
    /// The server could not answer yet; it is asked again after a wait. Only before the first text.
    CallDelayed { call: u32, role: String, attempt: u32, wait_ms: u64, reason: String },
    /// Text of the model as it arrives.
    CallDelta { call: u32, text: String },
    /// The model is thinking aloud; not part of its answer.
    CallThinking { call: u32, text: String },
    /// The call ended with an answer.
    CallFinished { call: u32, role: String, usage: Usage },
    /// An answer could not be used; the model was told why and is asked again.
    Corrected { role: String, reason: String, attempt: u32 },
    /// An answer was read although its form was not the one asked for; each repair by its name.
    Repaired { role: String, repairs: Vec<String> },
    /// The Architect wants to know something before it plans.
    Questions { questions: Vec<String> },
    /// The Explorer used a read-only tool.
    ToolUsed { tool: String, argument: String, result_bytes: u64 },
    /// What the Explorer found.
    Findings { question: String, answer: String, evidence: Vec<String> },
    /// What will be done.
    PlanReady { summary: String, steps: Vec<StepView> },
    /// Work on one step began.
    StepStarted { step: u32, of: u32, title: String },
    /// Proposed edits did not pass the gates.
    EditRefused { step: u32, reasons: Vec<String>, attempt: u32 },
    /// A step's edits are in the overlay; nothing was written.
    StepProposed { step: u32, files: Vec<String> },
    /// A check is running in a scratch copy or in the tree.
    CheckStarted { command: Vec<String>, place: CheckPlace },
    /// A check ended.
    CheckFinished { command: Vec<String>, place: CheckPlace, result: CheckResult },
    /// Rules or the mode have decided some files of a patch, or all of it. The others follow in an
    /// [`Event::ApprovalNeeded`] with the same id if `asked` says so; nothing is written before it is
    /// answered.
    RulesDecided { approval: u64, files: Vec<RuledFile>, asked: bool },
    /// The turn waits for the owner; [`Op::Decide`] answers. Without what rules have decided.
    ApprovalNeeded(Approval),
    /// What was decided, and `by` whom: `owner`, `nobody`, or what decided (`rule: allow src/**`,
    /// `mode: auto`). One event for each of them.
    Decided { approval: u64, accepted: Vec<u32>, declined: Vec<u32>, by: String },
    /// Changes are on the disk and were read back.
    Applied { change: String, files: Vec<AppliedFile> },
    /// Something is worth knowing but stops nothing.
    Warning { text: String },
    /// An op could not be followed.
    Refused { reason: String },
    /// Last event of a turn.
    TurnFinished { turn: u32, outcome: Outcome, usage: Usage, millis: u64 },
}

/// Files that are not in the index, by reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub reason: String,
    pub files: u64,
}

/// A part of a file as it was put into the pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SnippetView {
    pub path: String,
    /// First and last line, 1-based, inclusive.
    pub start_line: u32,
    pub end_line: u32,
    pub tokens: u32,
}

/// Why one candidate file was kept or left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerRow {
    pub path: String,
    pub points: f64,
    pub kept: bool,
    /// One line a rule, such as `path +1.20: "parser"`.
    pub reasons: Vec<String>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    pub action: String,
    pub file: String,
    pub symbol: Option<String>,
    /// New path of a rename.
    pub target: Option<String>,
    pub task: String,
}

/// Where a check runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckPlace {
    /// A throw-away copy of the tree with the proposed changes.
    Scratch,
    /// The real tree, after apply.
    Tree,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    pub passed: bool,
    /// `None` when it was killed.
    pub exit_code: Option<i32>,
    pub timed_out: bool,
    /// The end of what it printed, at most a few kilobytes.
    pub output_tail: String,
    pub millis: u64,
}

/// Everything the owner needs to sign or to refuse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    pub id: u64,
    /// Binds the answer to this patch on this base.
    pub digest: String,
    pub files: Vec<FileReview>,
    /// Results of the checks on the scratch copy, when any ran.
    pub checks: Vec<CheckResult>,
}

/// One file of an approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileReview {
    /// Path before the change; equal to `path` unless the file is renamed.
    pub old_path: String,
    /// Path after the change (of the deleted file, when `change` is a deletion).
    pub path: String,
    pub change: ChangeKind,
    pub hunks: Vec<HunkReview>,
    /// Why this file: the plan's step and the first reasons of the ledger.
    pub why: Vec<String>,
}

/// A file of a patch that is decided without asking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuledFile {
    #[serde(flatten)]
    pub file: FileReview,
    /// It will be applied; otherwise it is declined.
    pub allowed: bool,
    /// What decided, such as `rule: allow src/**` or `mode: deny`.
    pub by: String,
}

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Create,
    Modify,
    Delete,
    Rename,
}

/// One hunk. A created, deleted or purely renamed file is one hunk as well, so that everything is
/// decided by hunk id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HunkReview {
    /// Unique within the approval, from 1.
    pub id: u32,
    /// `@@ -a,b +c,d @@`, or a line such as `delete file`.
    pub header: String,
    /// Unified diff lines with their ` `, `+`, `-` or `\` in front, without line ends.
    pub lines: Vec<String>,
    /// How the model's text was found in the file, such as `exact`.
    pub tier: String,
}

/// A file as it is on the disk after apply, read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedFile {
    pub path: String,
    pub change: ChangeKind,
    /// blake3 of the bytes read back; `None` for a file that is gone.
    pub hash: Option<String>,
    pub bytes: u64,
}

/// Tokens of one call or of a whole turn. `None` where the server did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub calls: u32,
    /// Prompt tokens as the server counted them.
    pub prompt_tokens: Option<u32>,
    /// Prompt tokens the server really read anew (the others came from its cache).
    pub evaluated_tokens: Option<u32>,
    pub answer_tokens: Option<u32>,
    pub millis: u64,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// Approved changes are on the disk.
    Done { applied: u32, declined: u32, summary: String },
    /// The mode is to stop after the plan; nothing was asked and nothing was written.
    Planned { summary: String },
    /// Nothing was approved; nothing was written.
    Declined { reason: String },
    /// The model could not produce a valid change; nothing was written.
    NoValidChange { reason: String },
    /// Approved changes are on the disk, but some steps of the plan have none.
    Incomplete { applied: u32, declined: u32, reason: String },
    /// Changes are on the disk and a check failed on them.
    ChecksFailed { reason: String },
    /// The owner stopped it.
    Cancelled,
    /// It could not go on; `code` is the exit code of README's table.
    Failed { code: u8, reason: String, advice: String },
}

impl Outcome {
    /// The outcome in a word, for lists.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Done { .. } => "done",
            Outcome::Planned { .. } => "planned",
            Outcome::Declined { .. } => "declined",
            Outcome::NoValidChange { .. } => "no valid change",
            Outcome::Incomplete { .. } => "incomplete",
            Outcome::ChecksFailed { .. } => "checks failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Failed { .. } => "failed",
        }
    }

    /// The exit code of README's table.
    pub fn exit_code(&self) -> u8 {
        match self {
            Outcome::Done { .. } | Outcome::Planned { .. } => 0,
            Outcome::Declined { .. } => 4,
            Outcome::NoValidChange { .. } | Outcome::Incomplete { .. } => 5,
            Outcome::ChecksFailed { .. } => 6,
            Outcome::Cancelled => 130,
            Outcome::Failed { code, .. } => *code,
        }
    }
}
