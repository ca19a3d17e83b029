//! `countersign checks`: which commands could say whether a change works, and which of them may run.

use std::fmt::Write as _;

use anyhow::bail;
use serde::Serialize;

use crate::check::Check;
use crate::check::found::{Finder, allowance, denial};
use crate::check::scratch::Workspace;
use crate::check::trust::Trust;
use crate::cli::{ChecksArgs, ChecksCommand, ChosenChecks};
use crate::command::json;
use crate::config::Config;
use crate::failure::{Failure, OrUsage as _};
use crate::rules::Rules;
use crate::sanitize::visible;

/// How much of a hash is shown.
const SHOWN: usize = 8;

/// One check for a program.
#[derive(Debug, Serialize)]
struct Row<'a> {
    hash: String,
    /// It may run: approved by hash, or by a rule.
    approved: bool,
    /// The rule that allows or denies it, if one does.
    rule: Option<String>,
    command: String,
    #[serde(flatten)]
    check: &'a Check,
}

/// Everything that `checks` says.
#[derive(Debug, Serialize)]
struct Report<'a> {
    checks: Vec<Row<'a>>,
    /// Approvals whose check is not here any more, or has changed: hash and command.
    unused: Vec<(&'a str, &'a str)>,
    /// What could not be read.
    problems: Vec<String>,
}

pub fn checks(config: &Config, arguments: ChecksArgs) -> anyhow::Result<String> {
    let finder = finder(config);
    let (all, problems) = finder.all();
    let mut trust = finder.trust()?;
    match arguments.command.unwrap_or(ChecksCommand::List) {
        ChecksCommand::List => {}
        ChecksCommand::Clean if Workspace::remove_all(&config.data.checks())? => {}
        ChecksCommand::Clean => {
            let advice = "Wait until it has ended, or cancel it.";
            return Err(Failure::usage("a check of this repository is running", advice).into());
        }
        ChecksCommand::Approve(chosen) => {
            let hashes: Vec<String> = all.iter().map(Check::hash).collect();
            for hash in pick(&chosen, &hashes)? {
                let check = all.iter().find(|check| check.hash() == hash);
                trust.approve(check.expect("a hash is picked from these"), crate::clock::now_ms())?;
            }
        }
        ChecksCommand::Revoke(chosen) => {
            let hashes: Vec<String> = trust.approved().keys().cloned().collect();
            for hash in pick(&chosen, &hashes)? {
                trust.revoke(&hash)?;
            }
        }
    }
    let report = report(&all, &trust, &finder.rules, problems);
    if arguments.json { json(&report) } else { Ok(render(&report)) }
}

/// Where the checks of this repository are found, and held against what its owner approved.
pub fn finder(config: &Config) -> Finder {
    Finder {
        root: config.root.clone(),
        own: config.checks.clone(),
        rules: config.authority.rules.clone(),
        approvals: config.data.checks(),
    }
}

/// A check that was typed, unless a rule denies it.
///
/// # Errors
/// A rule that denies it, as a mistake of use.
pub fn not_denied(check: Check, rules: &Rules) -> anyhow::Result<Check> {
    let Some(by) = denial(&check, rules) else { return Ok(check) };
    let message = format!("the check is denied ({by}): `{}`", check.command_line());
    Err(Failure::usage(message, "`countersign rules test` explains it; --no-check runs none.").into())
}

/// The hashes that are meant.
fn pick(chosen: &ChosenChecks, hashes: &[String]) -> anyhow::Result<Vec<String>> {
    if chosen.all {
        return Ok(hashes.to_vec());
    }
    let one = |beginning: &String| -> anyhow::Result<String> {
        let mut found = hashes.iter().filter(|hash| hash.starts_with(beginning.as_str()));
        match (found.next(), found.next()) {
            (Some(hash), None) => Ok(hash.clone()),
            (None, _) => bail!("there is no check {beginning:?}"),
            (Some(_), Some(_)) => bail!("several checks begin with {beginning:?}"),
        }
    };
    let picked: anyhow::Result<Vec<String>> = chosen.check.iter().map(one).collect();
    picked.or_usage("`countersign checks` lists them with the beginnings of their hashes.")
}

fn report<'a>(all: &'a [Check], trust: &'a Trust, rules: &Rules, problems: Vec<String>) -> Report<'a> {
    let row = |check: &'a Check| {
        let denied = denial(check, rules);
        let allowed = allowance(check, rules);
        Row {
            hash: check.hash(),
            approved: denied.is_none() && (trust.allows(check) || allowed.is_some()),
            rule: denied.or(allowed),
            command: check.command_line(),
            check,
        }
    };
    let checks: Vec<Row<'a>> = all.iter().map(row).collect();
    let unused = trust
        .approved()
        .iter()
        .filter(|(hash, _)| !checks.iter().any(|row| row.hash == **hash))
        .map(|(hash, approval)| (hash.as_str(), approval.command.as_str()))
        .collect();
    Report { checks, unused, problems }
}

fn render(report: &Report<'_>) -> String {
    let mut text = String::new();
    let page = &mut text;
    // Writing to a string cannot fail.
    for row in &report.checks {
        let state = match (row.approved, &row.rule) {
            (true, None) => "approved",
            (true, Some(_)) => "allowed",
            (false, None) => "not approved",
            (false, Some(_)) => "denied",
        };
        let _ = writeln!(page, "{}  {:12}  {}", &row.hash[..SHOWN], state, visible(&row.command));
        let mut facts = vec![row.check.source.describe()];
        facts.extend(row.rule.clone());
        if !row.check.directory.is_empty() {
            facts.push(format!("in {}", row.check.directory));
        }
        facts.push(format!("at most {} s", row.check.timeout_s));
        if !row.check.environment.is_empty() {
            facts.push(format!("sees {}", row.check.environment.join(", ")));
        }
        let _ = writeln!(page, "          {}", visible(&facts.join(", ")));
        // Who approves should see what. A long file is for an editor.
        let lines: Vec<&str> = row.check.definition.lines().collect();
        if !row.approved && row.rule.is_none() {
            for line in lines.iter().take(20) {
                let _ = writeln!(page, "          | {}", visible(line));
            }
            if lines.len() > 20 {
                let _ = writeln!(page, "          | … {} more lines", lines.len() - 20);
            }
        }
    }
    for (hash, command) in &report.unused {
        let _ = writeln!(page, "{}  approved, but not here or changed: {}", &hash[..SHOWN], visible(command));
    }
    for problem in &report.problems {
        let _ = writeln!(page, "problem: {}", visible(problem));
    }
    if report.checks.is_empty() {
        let _ = writeln!(
            page,
            "No checks were found. Declare one as [[checks]] with run = \"…\" in your config.toml, or\n\
             give one with `countersign run --check \"…\"`."
        );
    } else if report.checks.iter().any(|row| !row.approved && row.rule.is_none()) {
        let _ = writeln!(page, "\n`countersign checks approve HASH` lets one run in this repository.");
    }
    text
}
