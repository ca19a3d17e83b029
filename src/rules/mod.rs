//! What may happen without asking, what has to be asked, and what may not happen at all.
//!
//! Paths and words in, a verdict with its reasons out. A deny wins over an ask, an ask over an allow;
//! where no rule matches, the answer is ask. Rules that tighten match generously (every name, any
//! case), rules that loosen exactly, and [`sensitive`] things are never allowed. Pure but for
//! [`disk`]. Nothing that a model wrote about itself reaches this module: it sees paths, kinds of
//! change and words of commands. It must not decide about patches; [`crate::approval`] does.

pub mod argv;
pub mod disk;
pub mod judge;
mod mode;
pub mod pattern;
pub mod place;
pub mod sensitive;
pub mod written;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use judge::{Authority, Change, Ruled};
pub use mode::Mode;
pub use place::Place;
pub use written::{REPOSITORY_FILE, Written};

use argv::Command;
use pattern::{PathGlob, WordsGlob};

/// What a rule says. Ordered: the stricter one is the greater, and the greatest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Allow,
    Ask,
    Deny,
}

impl Verdict {
    /// The word that files and messages use.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Ask => "ask",
            Verdict::Deny => "deny",
        }
    }
}

/// Whose file a rule is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `config.toml` of the owner.
    Owner,
    /// `countersign.toml` of the repository.
    Repository,
}

impl Origin {
    /// The name of the file.
    pub fn file(self) -> &'static str {
        match self {
            Origin::Owner => "config.toml",
            Origin::Repository => REPOSITORY_FILE,
        }
    }
}

/// What a rule is about.
#[derive(Debug, Clone)]
pub enum Pattern {
    Path(PathGlob),
    Run(WordsGlob),
}

/// One rule. Its text (`allow src/**`) names it in events and reports.
#[derive(Debug, Clone)]
pub struct Rule {
    pub verdict: Verdict,
    pub pattern: Pattern,
    pub origin: Origin,
    /// From 1, in its file.
    pub number: usize,
}

impl Rule {
    /// Where it is written, such as `config.toml, rule 2`.
    pub fn place(&self) -> String {
        format!("{}, rule {}", self.origin.file(), self.number)
    }

    fn loosens(&self) -> bool {
        self.verdict == Verdict::Allow
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Pattern::Path(glob) => write!(out, "{} {glob}", self.verdict.word()),
            Pattern::Run(words) => write!(out, "{} run {words}", self.verdict.word()),
        }
    }
}

/// A set of rules. Their order has no meaning.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// What is wrong with the repository's file.
    problems: Vec<String>,
    /// The repository's file may have tightened more than could be read.
    unread: bool,
}

/// A verdict with everything that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was tested, in canonical form: a path, or words as JSON would list them.
    pub tested: Tested,
    pub verdict: Verdict,
    /// What decided, such as `rule: deny secrets/**`.
    pub by: String,
    /// Every rule and every line of the built-in table that matches.
    pub matched: Vec<Matched>,
    /// Why what was tested is not certain to be what it looks like. Nothing in doubt is allowed.
    pub doubts: Vec<String>,
}

/// The canonical form of what was tested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tested {
    Path {
        path: String,
        /// Other names that tightening rules look at.
        others: Vec<String>,
    },
    Run {
        argv: Vec<String>,
    },
}

/// One match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Matched {
    pub verdict: Verdict,
    /// The rule's text, or the pattern and the reason of the table.
    pub text: String,
    /// Such as `config.toml, rule 2` or `sensitive.toml:14`.
    pub place: String,
    /// It decided.
    pub won: bool,
}

impl Rules {
    /// The owner's rules.
    pub fn of_owner(rules: Vec<Rule>) -> Rules {
        Rules { rules, problems: Vec::new(), unread: false }
    }

    /// The same with what a repository adds: it can only tighten.
    pub fn tightened(mut self, repository: written::Repository) -> Rules {
        self.rules.extend(repository.rules.into_iter().filter(|rule| !rule.loosens()));
        self.problems.extend(repository.problems);
        self.unread |= repository.unread;
        self
    }

    /// Every rule, the owner's first.
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// What is wrong with the repository's file; a sentence each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What is to be done about running this program with these arguments.
    pub fn command(&self, argv: &[String]) -> Verdict {
        self.explain_command(argv).verdict
    }

    /// The same with its reasons.
    pub fn explain_command(&self, argv: &[String]) -> Explanation {
        self.explain(&Command::words(argv))
    }

    /// The verdict about a command as it is typed. A line that needs a shell matches no rule that
    /// allows.
    pub fn explain_line(&self, line: &str) -> Explanation {
        self.explain(&Command::line(line))
    }

    fn explain(&self, command: &Command) -> Explanation {
        let lines = sensitive::command(&command.argv);
        // What another program would start is looked through only where one would be started: an
        // argument that reads `rm` is not a command.
        let hidden = match command.doubts.is_empty() && lines.is_empty() {
            true => Vec::new(),
            false => command.hidden(),
        };
        let starts =
            |run: &Vec<String>, words: &WordsGlob| (0..run.len()).any(|start| words.tightens(&run[start..]));
        let hits = |rule: &Rule| match &rule.pattern {
            Pattern::Path(_) => false,
            Pattern::Run(words) if rule.loosens() => words.loosens(&command.argv),
            Pattern::Run(words) => {
                words.tightens(&command.argv) || hidden.iter().any(|run| starts(run, words))
            }
        };
        let tested = Tested::Run { argv: command.argv.clone() };
        self.conclude(tested, &hits, &lines, command.doubts.clone())
    }

    /// What is to be done about a change of this path.
    pub fn explain_path(&self, place: &Place) -> Explanation {
        let hits = |rule: &Rule| match &rule.pattern {
            Pattern::Run(_) => false,
            Pattern::Path(glob) if rule.loosens() => glob.loosens(&place.path),
            Pattern::Path(glob) => place.names().any(|name| glob.tightens(name)),
        };
        let mut lines: Vec<sensitive::Line> = Vec::new();
        for line in place.names().flat_map(sensitive::path) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let tested = Tested::Path { path: place.path.clone(), others: place.others.clone() };
        self.conclude(tested, &hits, &lines, place.doubts.clone())
    }

    fn conclude(
        &self,
        tested: Tested,
        hits: &dyn Fn(&Rule) -> bool,
        lines: &[sensitive::Line],
        mut doubts: Vec<String>,
    ) -> Explanation {
        if self.unread {
            doubts.push(format!("{REPOSITORY_FILE} of the repository could not be read whole"));
        }
        let mut matched: Vec<Matched> = self
            .rules
            .iter()
            .filter(|rule| hits(rule))
            .map(|rule| Matched {
                verdict: rule.verdict,
                text: rule.to_string(),
                place: rule.place(),
                won: false,
            })
            .collect();
        let of_rules = matched.iter().map(|rule| rule.verdict).max();
        matched.extend(lines.iter().map(|line| Matched {
            verdict: Verdict::Ask,
            text: format!("{} ({})", line.pattern, line.reason),
            place: format!("{}:{}", sensitive::TABLE, line.number),
            won: false,
        }));
        let mut verdict = of_rules.unwrap_or(Verdict::Ask);
        if !lines.is_empty() || !doubts.is_empty() {
            verdict = verdict.max(Verdict::Ask);
        }
        matched.iter_mut().for_each(|one| one.won = one.verdict == verdict);
        let by = match (matched.iter().find(|one| one.won), doubts.first()) {
            (Some(one), _) if one.place.starts_with(sensitive::TABLE) => format!("built in: {}", one.text),
            (Some(one), _) => format!("rule: {}", one.text),
            (None, Some(doubt)) => format!("not certain: {doubt}"),
            (None, None) => "no rule matches, and then it is asked".to_owned(),
        };
        Explanation { tested, verdict, by, matched, doubts }
    }
}

#[cfg(test)]
mod tests;
