//! The pages of the dialogue: hunks, reasons, help. Pure.

use crate::protocol::{Approval, ChangeKind, CheckResult, FileReview, HunkReview};
use crate::ui::diff;
use crate::ui::text::{Line, Tone, count, duration};

/// What stands above the first hunk.
pub fn head(approval: &Approval, hunks: usize, columns: usize) -> Vec<Line> {
    let files = approval.files.len() as u64;
    let title = format!("Review: {} in {}", count(hunks as u64, "hunk"), count(files, "file"));
    let mut lines = vec![Line::default(), Line::new(Tone::Heading, &title)];
    lines.extend(checks(&approval.checks).into_iter().flat_map(|line| line.wrap(columns, 4)));
    for file in approval.files.iter().filter(|file| file.hunks.is_empty()) {
        let text = format!("{} came without a hunk, so that there is nothing to decide", file.path);
        lines.extend(Line::new(Tone::Warning, &text).wrap(columns, 2));
    }
    lines
}

/// One hunk, whole, under the name of its file; `position` is its number and of how many.
pub fn place(file: &FileReview, hunk: &HunkReview, position: (usize, usize), columns: usize) -> Vec<Line> {
    let mut lines = vec![Line::default()];
    lines.extend(title(file).wrap(columns, 2));
    if let Some(why) = file.why.first() {
        lines.extend(Line::new(Tone::Dim, "  why: ").and(Tone::Dim, why).wrap(columns, 7));
    }
    let position = format!("hunk {} of {}  ", position.0, position.1);
    let head = Line::new(Tone::Strong, &position).and(Tone::Heading, &hunk.header).join(tier(hunk));
    lines.extend(head.wrap(columns, 2));
    lines.extend(diff::hunk(hunk, &file.path, columns));
    lines
}

/// All reasons for a file, and what the checks printed.
pub fn why(approval: &Approval, file: &FileReview, columns: usize) -> Vec<Line> {
    let mut lines = title(file).wrap(columns, 2);
    if file.why.is_empty() {
        lines.push(Line::new(Tone::Dim, "  no reasons were recorded"));
    }
    for why in &file.why {
        lines.extend(Line::new(Tone::Plain, "  - ").and(Tone::Plain, why).wrap(columns, 4));
    }
    for check in &approval.checks {
        lines.extend(labelled_check(check).wrap(columns, 2));
        lines.extend(output(&check.output_tail, columns));
    }
    lines
}

pub fn title(file: &FileReview) -> Line {
    let (verb, tone) = match file.change {
        ChangeKind::Create => ("create", Tone::Strong),
        ChangeKind::Modify => ("change", Tone::Strong),
        ChangeKind::Delete => ("DELETE", Tone::Bad),
        ChangeKind::Rename => ("RENAME", Tone::Warning),
    };
    let line = Line::new(tone, verb).and(Tone::Plain, " ");
    match file.change == ChangeKind::Rename || file.old_path != file.path {
        true => line.and(Tone::Strong, &file.old_path).and(Tone::Plain, " -> ").and(Tone::Strong, &file.path),
        false => line.and(Tone::Strong, &file.path),
    }
}

/// How the hunk was placed; anything but an exact match is worth a second look.
pub fn tier(hunk: &HunkReview) -> Line {
    let tone = if hunk.tier == "exact" { Tone::Dim } else { Tone::Warning };
    match hunk.tier.is_empty() {
        true => Line::default(),
        false => Line::new(tone, "  match: ").and(tone, &hunk.tier),
    }
}

fn checks(checks: &[CheckResult]) -> Vec<Line> {
    match checks {
        [] => vec![Line::new(Tone::Dim, "no check ran on this patch")],
        checks => checks.iter().map(labelled_check).collect(),
    }
}

/// How a check ended, in a few words.
pub fn check(result: &CheckResult) -> Line {
    let (tone, how) = match (result.passed, result.timed_out, result.exit_code) {
        (true, _, _) => (Tone::Good, "passed".to_string()),
        (false, true, _) => (Tone::Bad, "ran out of time".to_string()),
        (false, false, Some(code)) => (Tone::Bad, format!("FAILED with exit code {code}")),
        (false, false, None) => (Tone::Bad, "was killed".to_string()),
    };
    let took = format!(" after {}", duration(result.millis));
    Line::new(tone, &how).and(Tone::Dim, &took)
}

fn labelled_check(result: &CheckResult) -> Line {
    // An event of an earlier version has no command.
    let name = match result.command.as_str() {
        "" => "check ".to_owned(),
        command => format!("check {command}: "),
    };
    Line::new(Tone::Plain, &name).join(check(result))
}

/// The end of what a check printed, indented.
pub fn output(tail: &str, columns: usize) -> Vec<Line> {
    let indent = |part: Line| Line::new(Tone::Dim, "  | ").join(part);
    let room = columns.saturating_sub(4).max(8);
    tail.lines().flat_map(|line| Line::new(Tone::Dim, line).fold(room)).map(indent).collect()
}

/// What each key does.
pub fn help(columns: usize) -> Vec<Line> {
    let line = |(key, text): &(&str, &str)| {
        Line::new(Tone::Strong, &format!("  {key:<4}")).and(Tone::Plain, text).wrap(columns, 6)
    };
    let mut lines: Vec<Line> = super::KEYS.iter().flat_map(line).collect();
    lines.extend(Line::new(Tone::Dim, "  Nothing is written before the last answer.").wrap(columns, 2));
    lines
}
