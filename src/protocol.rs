//! What the engine and its observers say to each other: [`Op`] in, [`Event`] out.
//!
//! Plain serde data in the words of the person at the keyboard. It depends on no other module of
//! ours, so that a front end (terminal, JSON lines, an editor) can be written against this file
//! alone. Every event reaches the session store before anyone sees it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of the two enums below. It changes when a reader of the old form would misread the new.
pub const PROTOCOL_VERSION: u32 = 2;

/// What an observer may ask of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// Begin a turn. Refused with [`Event::Refused`] while another turn runs.
    Start(StartRequest),
    /// Answer one [`Event::ApprovalNeeded`]. Hunks that are not named are declined.
    Decide(Decision),
    /// Change what an open approval offers; another [`Event::ApprovalNeeded`] follows.
    Revise(Revision),
    /// Ask for a whole file of an open approval; [`Event::FileShown`] follows.
    Show(Show),
    /// Answer one [`Event::ChoiceNeeded`].
    Choose(Choice),
    /// Answer one [`Event::ChecksUnapproved`]. Checks that are not named do not run in this session.
    ApproveChecks(CheckAnswer),
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// [`Approval::id`].
    pub approval: u64,
    /// [`Approval::digest`].
    pub digest: String,
    /// Ids of the hunks to apply ([`HunkReview::id`]); all others are declined.
    pub accept: Vec<u32>,
    /// Ids of the hunks to keep for a later review; they are not applied now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<u32>,
    /// What should be different about declined hunks. Unless empty, nothing is applied yet: the Coder
    /// tries again, and the whole patch is shown anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feedback: Vec<Feedback>,
}

/// Why hunks were declined, in the owner's words for the Coder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// Ids of hunks of one file.
    pub hunks: Vec<u32>,
    pub text: String,
}

/// A change of an open approval by its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revision {
    /// [`Approval::id`].
    pub approval: u64,
    /// [`Approval::digest`].
    pub digest: String,
    /// [`HunkReview::id`].
    pub hunk: u32,
    /// Cut it into its runs of changed lines, or write other lines.
    pub change: HunkChange,
}

/// How a hunk is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum HunkChange {
    /// Into runs of changed lines, each decided by itself.
    Split {},
    /// To these lines, in the form of [`HunkReview::lines`]; those with `-` are ignored.
    Edit { lines: Vec<String> },
}

/// A wish to see a whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Show {
    /// [`Approval::id`].
    pub approval: u64,
    /// [`FileReview::path`].
    pub path: String,
}

/// The owner's answer to [`Event::ChoiceNeeded`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The id of the question.
    pub choice: u64,
    pub answer: AfterFailure,
}

/// What to do when a check fails on what was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterFailure {
    /// The Coder gets the check's output; what it proposes is reviewed.
    Repair,
    /// Take the change back.
    Undo,
    /// Leave it as it is.
    Keep,
}

/// The owner's answer to [`Event::ChecksUnapproved`]. It names the digest of what was shown, so that
/// consent to one check cannot release another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckAnswer {
    /// [`CheckQuestion::id`].
    pub question: u64,
    /// [`CheckQuestion::digest`].
    pub digest: String,
    /// [`CheckView::hash`] of each check that may run from now on.
    pub approve: Vec<String>,
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
    CallStarted {
        call: u32,
        role: String,
        estimated_tokens: u32,
        answer_limit: u32,
        window: u32,
        /// Answers that are asked for at once.
        draws: u32,
    },
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
    /// Checks may not run before their owner approves them; [`Op::ApproveChecks`] answers.
    ChecksUnapproved(CheckQuestion),
    /// What became of them, by hash. Those that were not approved are not asked about again in this
    /// session, unless they change.
    ChecksAnswered { question: u64, approved: Vec<String>, not_now: Vec<String> },
    /// The Coder tries again with the output of a check that failed.
    RepairStarted { attempt: u32, of: u32 },
    /// What does not compile was corrected as the compiler itself offers: how many places of each file.
    CompilerCorrected { files: BTreeMap<String, u32> },
    /// The request was carried out several times; one result was chosen.
    CandidatesCompared { candidates: Vec<CandidateView> },
    /// Rules or the mode have decided some files of a patch, or all of it. The others follow in an
    /// [`Event::ApprovalNeeded`] with the same id if `asked` says so; nothing is written before it is
    /// answered.
    RulesDecided { approval: u64, files: Vec<RuledFile>, asked: bool },
    /// The turn waits for the owner; [`Op::Decide`] answers. Without what rules have decided.
    ApprovalNeeded(Approval),
    /// A whole file of the open approval.
    FileShown { approval: u64, path: String, lines: Vec<String> },
    /// What was decided, and `by` whom: `owner`, or what decided (`rule: allow src/**`, `mode: auto`).
    /// One event for each of them. What waits has nobody's yes: it is under the name that would decide.
    Decided {
        approval: u64,
        accepted: Vec<u32>,
        declined: Vec<u32>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pending: Vec<u32>,
        by: String,
    },
    /// The owner sent hunks back to the Coder; nothing is decided yet.
    SentBack { approval: u64, feedback: Vec<Feedback> },
    /// Hunks wait for a later review, under this id.
    LeftPending { id: String, hunks: u32 },
    /// Changes are on the disk and were read back.
    Applied { change: String, files: Vec<AppliedFile> },
    /// A check failed on what was applied; [`Op::Choose`] answers.
    ChoiceNeeded { choice: u64, reason: String, options: Vec<AfterFailure> },
    /// A change was taken back.
    Undone { change: String },
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

/// Checks that nobody approved yet, with all that an approval is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckQuestion {
    pub id: u64,
    /// Binds the answer to these checks.
    pub digest: String,
    pub checks: Vec<CheckView>,
    /// Whether anything on this machine holds them back.
    pub sandboxed: bool,
    /// What does, or that nothing does, in a line.
    pub sandbox: String,
}

impl CheckQuestion {
    /// The answer that approves nothing.
    pub fn answer_with_none(&self) -> CheckAnswer {
        CheckAnswer { question: self.id, digest: self.digest.clone(), approve: Vec::new() }
    }
}

/// A check as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckView {
    /// Of everything below; the approval is kept under it.
    pub hash: String,
    /// Program and arguments; no shell sees them.
    pub argv: Vec<String>,
    /// The same as one line that a shell would read the same way.
    pub command: String,
    /// Relative to the root; empty is the root itself.
    pub directory: String,
    /// Where it comes from, such as `found by Cargo.toml`.
    pub source: String,
    /// Seconds after which it is ended.
    pub timeout_s: u64,
    /// Names of the owner's environment variables that it sees besides the usual ones.
    pub environment: Vec<String>,
    /// The text of the repository that says what the command does; empty when the arguments say it all.
    pub definition: String,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The command as one line that a shell would read the same way.
    #[serde(default)]
    pub command: String,
    pub passed: bool,
    /// `None` when it was killed.
    pub exit_code: Option<i32>,
    pub timed_out: bool,
    /// The end of what it printed, at most a few kilobytes.
    pub output_tail: String,
    pub millis: u64,
}

/// Everything the owner needs to sign or to refuse.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    pub id: u64,
    /// Binds the answer to this patch on this base.
    pub digest: String,
    pub files: Vec<FileReview>,
    /// Results of the checks on the scratch copy, when any ran.
    pub checks: Vec<CheckResult>,
    /// The approval that this one takes the place of: it was revised, or worked on again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<u64>,
    /// Why the last revision was not followed: this is the patch as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The results that this patch was chosen from, if there were several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<CandidateView>,
}

/// One of several results of the same request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    /// From 1, in the order in which they were made.
    pub number: u32,
    /// The earlier candidate that is the same patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<u32>,
    /// Steps of the plan that could not be carried out.
    pub failed_steps: u32,
    /// How its check ended; `None` when none ran.
    pub passed: Option<bool>,
    /// Lines.
    pub added: u32,
    pub removed: u32,
    pub chosen: bool,
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
    /// Hunks wait for a later review; what was approved is on the disk.
    Pending { applied: u32, pending: u32, id: String },
    /// Approved changes were taken back because a check failed on them.
    TakenBack { reason: String },
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
            Outcome::Pending { .. } => "pending",
            Outcome::TakenBack { .. } => "taken back",
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
            Outcome::Declined { .. } | Outcome::Pending { .. } => 4,
            Outcome::NoValidChange { .. } | Outcome::Incomplete { .. } => 5,
            Outcome::ChecksFailed { .. } | Outcome::TakenBack { .. } => 6,
            Outcome::Cancelled => 130,
            Outcome::Failed { code, .. } => *code,
        }
    }
}
