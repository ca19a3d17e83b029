//! `countersign rules`: what may happen without asking, and why a path or a command gets its verdict.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::{RulesCommand, RulesTestArgs};
use crate::command::json;
use crate::config::Config;
use crate::rules::{self, Authority, Explanation, Mode, Rules, Tested, Verdict, sensitive};
use crate::sanitize::visible;

pub fn rules(config: &Config, command: RulesCommand) -> anyhow::Result<String> {
    let Authority { mode, rules: all } = config.tightened();
    match command {
        RulesCommand::List(arguments) => {
            let listed = Listed::new(mode, &all);
            if arguments.json { json(&listed) } else { Ok(listed.render()) }
        }
        RulesCommand::Test(arguments) => {
            let explained = test(config, &all, &arguments);
            let problems = all.problems().to_vec();
            let tested = Test { mode, verdict_of_mode: of_mode(mode, &explained), explained, problems };
            if arguments.json { json(&tested) } else { Ok(tested.render()) }
        }
    }
}

/// One word is a path, several are a command; one argument with spaces is a line.
fn test(config: &Config, all: &Rules, arguments: &RulesTestArgs) -> Explanation {
    match arguments.tested.as_slice() {
        words if arguments.path => all.explain_path(&rules::disk::place(&config.root, &words.join(" "))),
        [line] if arguments.run || line.chars().any(char::is_whitespace) => all.explain_line(line),
        [path] => {
            // As other programs print it.
            let inside = Path::new(path).strip_prefix(&config.root).ok().and_then(Path::to_str);
            all.explain_path(&rules::disk::place(&config.root, inside.unwrap_or(path)))
        }
        words => all.explain_command(words),
    }
}

/// What the mode makes of the verdict.
fn of_mode(mode: Mode, explained: &Explanation) -> &'static str {
    let undecided =
        explained.matched.iter().all(|one| one.verdict == Verdict::Allow) && explained.doubts.is_empty();
    match (&explained.tested, explained.verdict, mode) {
        (Tested::Run { .. }, Verdict::Allow | Verdict::Ask, _) => {
            "as a check it is run once you have approved it (`countersign checks`) or typed it"
        }
        (Tested::Run { .. }, Verdict::Deny, _) => "it is never run",
        (_, Verdict::Deny, _) => "a change of it is refused",
        (_, _, Mode::Plan) => "mode plan changes nothing",
        (_, _, Mode::Deny) => "mode deny prints a change of it and applies nothing",
        (_, Verdict::Allow, _) => {
            "a planned edit is applied without asking; deletions, renames, changes of the executable bit and \
             places found by likeness are asked"
        }
        (_, Verdict::Ask, Mode::Auto) if undecided => {
            "mode auto applies an exact, planned edit without asking; everything else is asked"
        }
        (_, Verdict::Ask, _) => "a change of it is asked",
    }
}

#[derive(Serialize)]
struct Test {
    mode: Mode,
    #[serde(flatten)]
    explained: Explanation,
    verdict_of_mode: &'static str,
    problems: Vec<String>,
}

impl Test {
    /// Writing to a string cannot fail, here and below.
    fn render(&self) -> String {
        let mut text = String::new();
        let page = &mut text;
        match &self.explained.tested {
            Tested::Path { path, others } => {
                let _ = writeln!(page, "path     {}", visible(path));
                for other in others {
                    let _ = writeln!(page, "         also {}", visible(other));
                }
            }
            Tested::Run { argv } => {
                let words: Vec<String> = argv.iter().map(|word| format!("{word:?}")).collect();
                let _ = writeln!(page, "command  {}", visible(&words.join(" ")));
            }
        }
        let _ = writeln!(page, "verdict  {}", self.explained.verdict.word());
        let _ = writeln!(page, "by       {}", visible(&self.explained.by));
        let _ = writeln!(page, "mode     {}: {}", self.mode.word(), self.verdict_of_mode);
        for one in &self.explained.matched {
            let sign = if one.won { "*" } else { " " };
            let (text, place) = (visible(&one.text), visible(&one.place));
            let _ = writeln!(page, "       {sign} {:5} {place}: {text}", one.verdict.word());
        }
        for doubt in &self.explained.doubts {
            let _ = writeln!(page, "doubt    {}", visible(doubt));
        }
        problems(page, &self.problems);
        text
    }
}

fn problems(page: &mut String, problems: &[String]) {
    for problem in problems {
        let _ = writeln!(page, "problem  {}", visible(problem));
    }
}

#[derive(Serialize)]
struct Listed {
    mode: Mode,
    rules: Vec<ListedRule>,
    /// What is wrong with the repository's file.
    problems: Vec<String>,
    /// What no rule can allow, by reason.
    built_in: Vec<BuiltIn>,
}

#[derive(Serialize)]
struct ListedRule {
    verdict: Verdict,
    rule: String,
    place: String,
}

#[derive(Serialize)]
struct BuiltIn {
    reason: &'static str,
    patterns: Vec<&'static str>,
}

impl Listed {
    fn new(mode: Mode, all: &Rules) -> Listed {
        let listed = |rule: &rules::Rule| ListedRule {
            verdict: rule.verdict,
            rule: rule.to_string(),
            place: rule.place(),
        };
        Listed {
            mode,
            rules: all.all().iter().map(listed).collect(),
            problems: all.problems().to_vec(),
            built_in: sensitive::groups()
                .into_iter()
                .map(|group| BuiltIn { reason: group.reason, patterns: group.patterns })
                .collect(),
        }
    }

    fn render(&self) -> String {
        let mut text = String::new();
        let page = &mut text;
        let _ = writeln!(page, "mode  {}", self.mode.word());
        if self.rules.is_empty() {
            let _ = writeln!(page, "no rules; `countersign rules --help` shows how to write some");
        }
        for rule in &self.rules {
            let _ = writeln!(page, "{}  ({})", visible(&rule.rule), rule.place);
        }
        problems(page, &self.problems);
        let _ = writeln!(page, "\nasked whatever a rule allows (--json lists every pattern):");
        for group in &self.built_in {
            let _ = writeln!(page, "  {:4}  {}", group.patterns.len(), group.reason);
        }
        let kinds = "deletions, renames, changes of the executable bit, files outside of the plan, places \
                     found by likeness, and patches that fail a check";
        let _ = writeln!(page, "        {kinds}");
        text
    }
}
