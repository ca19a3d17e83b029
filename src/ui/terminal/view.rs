//! Events as lines that stay on the screen.
//!
//! Pure but for what it remembers of the turn, so that the last lines can sum it up. It must not
//! know about progress bars, questions, or whether anyone is watching.

use std::collections::BTreeMap;

use super::review::{check, output, tier, title};
use crate::protocol::{
    AppliedFile, CandidateView, ChangeKind, CheckPlace, Event, HunkReview, LedgerRow, Outcome, RuledFile,
    SnippetView, StepView, Usage,
};
use crate::ui::diff;
use crate::ui::text::{Line, Tone, count, duration, meter, thousands};

/// A model call that has begun.
struct Call {
    estimated: u32,
    window: u32,
}

/// What the turn has shown so far.
#[derive(Default)]
pub struct View {
    calls: BTreeMap<u32, Call>,
    applied: Vec<AppliedFile>,
    declined: usize,
    /// How often each repair of an answer's form was needed.
    repairs: BTreeMap<String, u32>,
}

impl View {
    /// The lines that an event leaves on the screen; none for mere progress.
    pub fn lines(&mut self, event: &Event, columns: usize) -> Vec<Line> {
        let mut page = Page { columns, lines: Vec::new() };
        match event {
            Event::SessionStarted { session, root, provider, model, window, window_source } => {
                page.add(
                    0,
                    Line::new(Tone::Dim, "session ")
                        .and(Tone::Dim, session)
                        .and(Tone::Dim, " in ")
                        .and(Tone::Dim, root),
                );
                let window = format!(", window {} tokens", thousands((*window).into()));
                let line = Line::new(Tone::Strong, model).and(Tone::Dim, " by ").and(Tone::Plain, provider);
                page.add(2, line.and(Tone::Plain, &window).and(Tone::Dim, &format!(" ({window_source})")));
            }
            Event::TurnStarted { .. } => *self = View::default(),
            Event::IndexReady { files, updated, removed, skipped, millis } => {
                let text = format!(
                    "index: {}, {} read, {} gone, {}",
                    count(*files, "file"),
                    thousands(*updated),
                    thousands(*removed),
                    duration(*millis)
                );
                page.add(2, Line::new(Tone::Plain, &text));
                if !skipped.is_empty() {
                    let reason = |part: &crate::protocol::Skipped| {
                        format!("{} {}", thousands(part.files), part.reason)
                    };
                    let reasons: Vec<String> = skipped.iter().map(reason).collect();
                    page.add(4, Line::new(Tone::Dim, "  not indexed: ").and(Tone::Dim, &reasons.join(", ")));
                }
            }
            Event::PackReady { tokens, budget, snippets, ledger, candidates } => {
                let text = format!(
                    "evidence: {} of {} tokens, {} out of {}",
                    thousands((*tokens).into()),
                    thousands((*budget).into()),
                    count(snippets.len() as u64, "part"),
                    count(*candidates, "candidate")
                );
                page.add(2, Line::new(Tone::Heading, &text));
                page.pack(snippets, ledger);
            }
            Event::CallStarted { call, estimated_tokens, window, .. } => {
                self.calls.insert(*call, Call { estimated: *estimated_tokens, window: *window });
            }
            Event::CallDelayed { role, attempt, wait_ms, reason, .. } => {
                let text = format!(": attempt {attempt} in {}: ", duration(*wait_ms));
                page.add(
                    2,
                    Line::new(Tone::Warning, role).and(Tone::Warning, &text).and(Tone::Plain, reason),
                );
            }
            Event::CallFinished { call, role, usage } => page.call(role, self.calls.remove(call), usage),
            Event::Repaired { role, repairs } => {
                for name in repairs {
                    *self.repairs.entry(name.clone()).or_default() += 1;
                }
                let text = format!(": the answer's form was mended: {}", repairs.join(", "));
                page.add(4, Line::new(Tone::Dim, "  ").and(Tone::Dim, role).and(Tone::Dim, &text));
            }
            Event::Corrected { role, reason, attempt } => {
                let text = format!(": answer {attempt} was unusable and is asked for again: ");
                page.add(
                    2,
                    Line::new(Tone::Warning, role).and(Tone::Warning, &text).and(Tone::Plain, reason),
                );
            }
            Event::Questions { questions } => {
                page.add(2, Line::new(Tone::Heading, "the architect asks"));
                questions.iter().for_each(|question| page.item(Tone::Plain, question));
            }
            Event::ToolUsed { tool, argument, result_bytes } => {
                let bytes = format!("  {}", count(*result_bytes, "byte"));
                page.add(
                    4,
                    Line::new(Tone::Dim, "  ")
                        .and(Tone::Plain, tool)
                        .and(Tone::Plain, " ")
                        .and(Tone::Plain, argument)
                        .and(Tone::Dim, &bytes),
                );
            }
            Event::Findings { question, answer, evidence } => {
                page.add(2, Line::new(Tone::Strong, "found: ").and(Tone::Dim, question));
                page.text(2, answer);
                evidence.iter().for_each(|evidence| page.item(Tone::Dim, evidence));
            }
            Event::PlanReady { summary, steps } => page.plan(summary, steps),
            Event::StepStarted { step, of, title } => {
                let text = format!("step {step} of {of}: ");
                page.add(2, Line::new(Tone::Heading, &text).and(Tone::Strong, title));
            }
            Event::EditRefused { step, reasons, attempt } => {
                let text = format!("step {step}: edit {attempt} was refused");
                page.add(2, Line::new(Tone::Warning, &text));
                reasons.iter().for_each(|reason| page.item(Tone::Plain, reason));
            }
            Event::StepProposed { step, files } => {
                let text = format!("step {step}: proposed a change of ");
                page.add(2, Line::new(Tone::Plain, &text).and(Tone::Plain, &files.join(", ")));
            }
            Event::CheckStarted { .. } => {}
            Event::CheckFinished { command, place, result } => {
                let command = command.join(" ");
                let line = Line::new(Tone::Plain, "check ").and(Tone::Plain, &command);
                let line = line.and(Tone::Dim, self::place(*place));
                page.add(2, line.and(Tone::Plain, ": ").join(check(result)));
                if !result.passed {
                    page.lines.extend(output(&result.output_tail, columns));
                }
            }
            Event::RulesDecided { files, .. } => files.iter().for_each(|file| page.ruled(file)),
            Event::RepairStarted { attempt, of } => {
                let text = format!("repair {attempt} of {of}: the coder gets the output of the check");
                page.add(2, Line::new(Tone::Heading, &text));
            }
            Event::CompilerCorrected { files } => {
                for (path, places) in files {
                    let text =
                        format!("corrected as the compiler offers, {}: ", count((*places).into(), "place"));
                    page.labelled(Tone::Plain, &text, path);
                }
            }
            Event::CandidatesCompared { candidates } => page.candidates(candidates),
            Event::FileShown { path, lines, .. } => page.file(path, lines),
            Event::SentBack { feedback, .. } => {
                for part in feedback {
                    let hunks = format!("back to the coder: {}: ", count(part.hunks.len() as u64, "hunk"));
                    page.labelled(Tone::Heading, &hunks, &part.text);
                }
            }
            Event::LeftPending { id, hunks } => {
                let text = format!("{} left pending as ", count((*hunks).into(), "hunk"));
                let next = format!("; `countersign review {id}` goes on with it");
                page.add(2, Line::new(Tone::Plain, &text).and(Tone::Strong, id).and(Tone::Dim, &next));
            }
            Event::ChecksUnapproved(question) => {
                let checks = count(question.checks.len() as u64, "check");
                let text = format!("{checks} of this repository may not run before you approve:");
                page.add(2, Line::new(Tone::Heading, &text));
            }
            Event::ChecksAnswered { approved, not_now, .. } => {
                let text = format!("checks: {} approved, {} not now", approved.len(), not_now.len());
                page.add(2, Line::new(Tone::Plain, &text));
            }
            Event::ChoiceNeeded { reason, .. } => page.labelled(Tone::Bad, "check failed: ", reason),
            Event::Undone { change } => {
                self.applied.clear();
                page.add(2, Line::new(Tone::Plain, "taken back: change ").and(Tone::Strong, change));
            }
            Event::Decided { accepted, declined, pending, by, .. } => {
                self.declined += declined.len();
                let mut text = format!("decided: {} accepted, {} declined, ", accepted.len(), declined.len());
                if !pending.is_empty() {
                    text += &format!("{} pending, ", pending.len());
                }
                text += "by ";
                page.add(2, Line::new(Tone::Plain, &text).and(Tone::Plain, by));
            }
            Event::Applied { files, .. } => self.applied.extend(files.iter().cloned()),
            Event::Warning { text } => page.labelled(Tone::Warning, "warning: ", text),
            Event::Refused { reason } => page.labelled(Tone::Bad, "refused: ", reason),
            Event::TurnFinished { outcome, usage, millis, .. } => {
                page.finish(outcome, &self.applied, self.declined, usage, *millis);
                if !self.repairs.is_empty() {
                    let counted: Vec<String> =
                        self.repairs.iter().map(|(name, times)| format!("{name} {times}")).collect();
                    let text = format!("answers mended in form: {}", counted.join(", "));
                    page.add(2, Line::new(Tone::Dim, &text));
                }
            }
            Event::IndexProgress { .. }
            | Event::CallDelta { .. }
            | Event::CallThinking { .. }
            | Event::ApprovalNeeded(_) => {}
        }
        page.lines
    }
}

fn place(place: CheckPlace) -> &'static str {
    match place {
        CheckPlace::Scratch => " (scratch copy)",
        CheckPlace::Tree => " (in the tree)",
    }
}

/// Lines under way, wrapped as they are added.
struct Page {
    columns: usize,
    lines: Vec<Line>,
}

impl Page {
    fn add(&mut self, hanging: usize, line: Line) {
        self.lines.extend(line.wrap(self.columns, hanging));
    }

    fn item(&mut self, tone: Tone, text: &str) {
        self.text_after("  - ", tone, text);
    }

    /// Text of several lines, indented.
    fn text(&mut self, indent: usize, text: &str) {
        self.text_after(&" ".repeat(indent), Tone::Plain, text);
    }

    /// Text of several lines under one bullet.
    fn text_after(&mut self, first: &str, tone: Tone, text: &str) {
        for (at, line) in text.lines().enumerate() {
            let lead = if at == 0 { first.to_string() } else { " ".repeat(first.len()) };
            self.add(first.len(), Line::new(Tone::Dim, &lead).and(tone, line));
        }
    }

    fn labelled(&mut self, tone: Tone, label: &str, text: &str) {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        self.add(2, Line::new(tone, label).and(Tone::Plain, first));
        lines.for_each(|line| self.add(2, Line::new(Tone::Plain, "  ").and(Tone::Plain, line)));
    }

    /// The parts of the pack: where, how large, how many points, and the first reason.
    fn pack(&mut self, snippets: &[SnippetView], ledger: &[LedgerRow]) {
        let place = |part: &SnippetView| format!("{}:{}-{}", part.path, part.start_line, part.end_line);
        let widest =
            snippets.iter().map(|part| Line::new(Tone::Plain, &place(part)).width()).max().unwrap_or(0);
        let place_columns = widest.min(self.columns / 2);
        for part in snippets {
            let row = ledger.iter().find(|row| row.path == part.path);
            let points = row.map_or(String::new(), |row| format!("{:+.2}", row.points));
            let reason = row.and_then(|row| row.reasons.first()).map_or("", String::as_str);
            let place = Line::new(Tone::Plain, "  ").and(Tone::Strong, &place(part));
            let rest = Line::new(Tone::Plain, &format!("{:>6}", thousands(part.tokens.into())))
                .and(Tone::Dim, &format!(" {points:>7}  "))
                .and(Tone::Dim, reason);
            let pad = (place_columns + 2).saturating_sub(place.width());
            if self.columns < 60 || place.width() > place_columns + 2 {
                // Too long for a row: the path has a line of its own.
                self.add(4, place);
                self.add(8, Line::new(Tone::Plain, "  ").join(rest));
            } else {
                let hanging = place_columns + 2 + 16;
                let hanging = if hanging + 20 > self.columns { 8 } else { hanging };
                self.add(hanging, place.and(Tone::Plain, &" ".repeat(pad)).join(rest));
            }
        }
    }

    /// A file that is decided without asking: by what, and every line of it.
    fn ruled(&mut self, file: &RuledFile) {
        let (tone, said) = match file.allowed {
            true => (Tone::Warning, "applied without asking"),
            false => (Tone::Bad, "declined"),
        };
        self.lines.push(Line::default());
        self.add(2, title(&file.file));
        let by = Line::new(tone, "  ").and(tone, said).and(Tone::Plain, ", by ").and(Tone::Plain, &file.by);
        self.add(4, by);
        for hunk in &file.file.hunks {
            self.add(2, Line::new(Tone::Heading, &hunk.header).join(tier(hunk)));
            self.lines.extend(diff::hunk(hunk, &file.file.path, self.columns));
        }
    }

    fn plan(&mut self, summary: &str, steps: &[StepView]) {
        self.labelled(Tone::Heading, "plan: ", summary);
        for (at, step) in steps.iter().enumerate() {
            let number = format!("{:>3}. ", at + 1);
            let mut line = Line::new(Tone::Dim, &number).and(Tone::Plain, &step.action);
            line = line.and(Tone::Plain, " ").and(Tone::Strong, &step.file);
            if let Some(symbol) = &step.symbol {
                line = line.and(Tone::Plain, " ").and(Tone::Heading, symbol);
            }
            if let Some(target) = &step.target {
                line = line.and(Tone::Plain, " to ").and(Tone::Strong, target);
            }
            self.add(5, line);
            self.text(5, &step.task);
        }
    }

    /// The context meter of a finished call, with the server's count where it gave one.
    fn call(&mut self, role: &str, call: Option<Call>, usage: &Usage) {
        let mut line = Line::new(Tone::Plain, role).and(Tone::Plain, "  ");
        if let Some(call) = call {
            let used = usage.prompt_tokens.unwrap_or(call.estimated);
            let about = if usage.prompt_tokens.is_some() { "" } else { "about " };
            let numbers =
                format!("{about}{} / {} tokens ", thousands(used.into()), thousands(call.window.into()));
            let cells = if self.columns < 60 { 8 } else { 20 };
            // From four fifths on there is little room left for an answer.
            let tight = u64::from(used) * 5 >= u64::from(call.window) * 4;
            let tone = if tight { Tone::Warning } else { Tone::Plain };
            line = line
                .and(Tone::Plain, &numbers)
                .and(tone, &meter(used, call.window, cells))
                .and(Tone::Plain, " ");
        }
        let mut parts = Vec::new();
        if let (Some(prompt), Some(new)) = (usage.prompt_tokens, usage.evaluated_tokens)
            && new < prompt
        {
            parts.push(format!("{} of them new", thousands(new.into())));
        }
        if let Some(tokens) = usage.answer_tokens {
            parts.push(format!("answered {}", thousands(tokens.into())));
        }
        parts.push(duration(usage.millis));
        self.add(2, line.and(Tone::Dim, &parts.join(", ")));
    }

    /// The results that one was chosen from.
    fn candidates(&mut self, candidates: &[CandidateView]) {
        self.add(2, Line::new(Tone::Heading, &count(candidates.len() as u64, "candidate")));
        for one in candidates {
            let check = match one.passed {
                Some(true) => "check passed",
                Some(false) => "check failed",
                None => "not checked",
            };
            let mut text = format!("{check}, +{} -{} lines", one.added, one.removed);
            if one.failed_steps > 0 {
                text += &format!(", {} failed", count(one.failed_steps.into(), "step"));
            }
            if let Some(same) = one.same_as {
                text = format!("the same as {same}");
            }
            let (mark, tone) = if one.chosen { ("* ", Tone::Strong) } else { ("  ", Tone::Plain) };
            self.add(6, Line::new(tone, &format!("  {mark}{}: {text}", one.number)));
        }
    }

    /// A whole file as a diff.
    fn file(&mut self, path: &str, lines: &[String]) {
        self.add(2, Line::new(Tone::Heading, "whole file ").and(Tone::Strong, path));
        let whole =
            HunkReview { id: 0, header: "@@ -1 +1 @@".into(), lines: lines.to_vec(), tier: String::new() };
        self.lines.extend(crate::ui::diff::hunk(&whole, path, self.columns));
    }

    fn finish(
        &mut self,
        outcome: &Outcome,
        applied: &[AppliedFile],
        declined: usize,
        usage: &Usage,
        millis: u64,
    ) {
        self.lines.push(Line::default());
        match outcome {
            Outcome::Done { applied, declined, summary } => {
                let text = format!("done: {} applied, {declined} declined", count((*applied).into(), "hunk"));
                self.add(2, Line::new(Tone::Good, &text));
                self.text(2, summary);
            }
            Outcome::Incomplete { applied, declined, reason } => {
                let text =
                    format!("incomplete: {} applied, {declined} declined", count((*applied).into(), "hunk"));
                self.add(2, Line::new(Tone::Warning, &text));
                self.labelled(Tone::Bad, "left out: ", reason);
            }
            Outcome::Planned { summary } => {
                self.add(2, Line::new(Tone::Good, "planned, and mode plan stops here"));
                self.text(2, summary);
            }
            Outcome::Declined { reason } => self.labelled(Tone::Warning, "declined: ", reason),
            Outcome::Pending { applied, pending, id } => {
                let text = format!(
                    "pending: {} applied, {pending} left for `countersign review {id}`",
                    count((*applied).into(), "hunk")
                );
                self.add(2, Line::new(Tone::Warning, &text));
            }
            Outcome::TakenBack { reason } => self.labelled(Tone::Warning, "taken back: ", reason),
            Outcome::NoValidChange { reason } => self.labelled(Tone::Bad, "no valid change: ", reason),
            Outcome::ChecksFailed { reason } => {
                self.labelled(Tone::Bad, "applied, but a check failed: ", reason)
            }
            Outcome::Cancelled => self.add(2, Line::new(Tone::Warning, "cancelled")),
            Outcome::Failed { reason, advice, .. } => {
                self.labelled(Tone::Bad, "failed: ", reason);
                self.labelled(Tone::Strong, "try: ", advice);
            }
        }
        for file in applied {
            self.applied(file);
        }
        if applied.is_empty() {
            self.add(2, Line::new(Tone::Plain, "nothing was written"));
        }
        if declined > 0 && !matches!(outcome, Outcome::Done { .. } | Outcome::Incomplete { .. }) {
            self.add(2, Line::new(Tone::Plain, &format!("{} declined", count(declined as u64, "hunk"))));
        }
        self.usage(usage, millis);
        if !applied.is_empty() {
            self.add(
                2,
                Line::new(Tone::Dim, "next: ")
                    .and(Tone::Strong, "countersign undo")
                    .and(Tone::Dim, " takes it back"),
            );
        }
    }

    /// One file as it is on the disk now.
    fn applied(&mut self, file: &AppliedFile) {
        let verb = match file.change {
            ChangeKind::Create => "created",
            ChangeKind::Modify => "changed",
            ChangeKind::Delete => "deleted",
            ChangeKind::Rename => "renamed",
        };
        let line = Line::new(Tone::Plain, &format!("  {verb} ")).and(Tone::Strong, &file.path);
        let state = match &file.hash {
            Some(_) => format!("  {} on disk", count(file.bytes, "byte")),
            None => "  gone from the disk".to_string(),
        };
        self.add(4, line.and(Tone::Dim, &state));
    }

    fn usage(&mut self, usage: &Usage, millis: u64) {
        let mut parts = vec![count(usage.calls.into(), "call")];
        if let Some(tokens) = usage.prompt_tokens {
            parts.push(format!("{} tokens sent", thousands(tokens.into())));
            if let Some(new) = usage.evaluated_tokens.filter(|new| *new <= tokens && tokens > 0) {
                let saved = 100 - u64::from(new) * 100 / u64::from(tokens);
                parts.push(format!("{} of them evaluated ({saved}% saved)", thousands(new.into())));
            }
        }
        if let Some(tokens) = usage.answer_tokens {
            parts.push(format!("{} answered", thousands(tokens.into())));
        }
        parts.push(duration(millis));
        self.add(2, Line::new(Tone::Dim, &parts.join(", ")));
    }
}

#[cfg(test)]
mod tests;
