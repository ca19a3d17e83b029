//! Reads role files. Built-in ones are embedded and load exactly as a user's do.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::message::ToolName;
use crate::prompt::Prompts;
use crate::provider::Narrowing;

/// Every file of `roles/`. A test holds the table against the folder.
const BUILT_IN: &[(&str, &str)] = &[
    ("architect.toml", include_str!("../../roles/architect.toml")),
    ("coder.toml", include_str!("../../roles/coder.toml")),
    ("explorer.toml", include_str!("../../roles/explorer.toml")),
];

/// What a role is: data that its owner may replace in the configuration folder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSpec {
    pub name: String,
    pub purpose: String,
    /// Tools that the role may use. Only the Explorer has any.
    pub tools: Vec<ToolName>,
    pub output: Output,
    /// Prompt that stays the same for every call of the role.
    pub system: String,
    /// Prompt that carries the request.
    pub user: String,
    pub budget: Budget,
    pub sampling: Sampling,
}

/// The type of what a role says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    Plan,
    Findings,
    Edits,
}

/// What a role may spend.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Model calls for one request to the role, corrections included.
    pub calls: u32,
    /// Most tokens of one answer.
    pub answer_tokens: u32,
    /// Share of the context window that evidence may fill, 0 to 1.
    pub evidence_share: f64,
    /// Most tokens, sent and answered, for one request to the role.
    #[serde(default = "usual_tokens")]
    pub tokens: u32,
    /// Longest time in seconds for one request to the role; a call that runs then is broken off.
    #[serde(default = "usual_seconds")]
    pub seconds: u32,
}

/// Eight full prompts of the usual window.
fn usual_tokens() -> u32 {
    64_000
}

/// A small model on a slow machine reads twenty tokens a second.
fn usual_seconds() -> u32 {
    3600
}

/// How the model samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    pub temperature: f32,
    /// Fixed seed, for servers that take one.
    pub seed: Option<u32>,
    /// These four go to servers on this machine and to the model in the process; hosted services get
    /// `top_p` alone, since some refuse what they do not know.
    pub top_k: Option<u32>,
    pub top_p: Option<f32>,
    pub min_p: Option<f32>,
    pub repeat_penalty: Option<f32>,
}

impl Sampling {
    /// The sampling of the n-th further answer to the same request: 0.2 warmer each time, up to 0.8 (at
    /// 1.0 a 1.5B model writes little that is of use), and with another seed, so that a server does not give the
    /// same answer again.
    pub fn varied(self, n: u32) -> Sampling {
        if n == 0 {
            return self;
        }
        let temperature = (self.temperature + 0.2 * n as f32).min(self.temperature.max(0.8));
        Sampling { temperature, seed: Some(self.seed.unwrap_or(0).wrapping_add(n)), ..self }
    }

    /// Which tokens may be drawn at all.
    pub fn narrowing(self) -> Narrowing {
        let Sampling { top_k, top_p, min_p, repeat_penalty, .. } = self;
        Narrowing { top_k, top_p, min_p, repeat_penalty }
    }
}

impl Budget {
    /// Most tokens of an answer in a window of this size: what the role file says, but at most a
    /// third of the window, so that evidence has room in a small one.
    pub fn answer_limit(&self, window: u32) -> u32 {
        self.answer_tokens.min(window / 3)
    }

    /// Tokens of evidence that fit a window of this size.
    pub fn evidence_tokens(&self, window: u32) -> u32 {
        (f64::from(window) * self.evidence_share) as u32
    }
}

/// The three roles of a turn.
#[derive(Debug, Clone)]
pub struct Roles {
    pub architect: RoleSpec,
    pub explorer: RoleSpec,
    pub coder: RoleSpec,
}

impl Roles {
    /// Loads the built-in roles, each replaced by the file of the same name in `own`, if there is one.
    ///
    /// # Errors
    /// Unknown keys, tools, outputs or prompts, and budgets that cannot work.
    pub fn load(own: Option<&Path>, prompts: &Prompts) -> anyhow::Result<Roles> {
        let one = |name: &str, output: Output| -> anyhow::Result<RoleSpec> {
            let file = format!("{name}.toml");
            // The invariant behind `unwrap`: the names below are those of the table.
            let built_in = BUILT_IN.iter().find(|(built_in, _)| *built_in == file).unwrap().1;
            let (place, text) = match own.map(|folder| folder.join(&file)).filter(|path| path.exists()) {
                Some(path) => (path.display().to_string(), std::fs::read_to_string(&path)?),
                None => (format!("roles/{file}"), built_in.to_owned()),
            };
            parse(&text, name, output, prompts).with_context(|| format!("in the role file {place}"))
        };
        Ok(Roles {
            architect: one("architect", Output::Plan)?,
            explorer: one("explorer", Output::Findings)?,
            coder: one("coder", Output::Edits)?,
        })
    }
}

fn parse(text: &str, name: &str, output: Output, prompts: &Prompts) -> anyhow::Result<RoleSpec> {
    let spec: RoleSpec = toml::from_str(text)?;
    ensure!(spec.name == name, "its name is {:?}, but the file says {name:?}", spec.name);
    ensure!(spec.output == output, "{name} must have the output {output:?}, not {:?}", spec.output);
    ensure!(
        output == Output::Findings || spec.tools.is_empty(),
        "only the explorer can use tools; remove them here"
    );
    for prompt in [&spec.system, &spec.user] {
        ensure!(prompts.has(prompt), "there is no prompt {prompt:?}");
    }
    let sampling = spec.sampling;
    let is_share = |share: Option<f32>| share.is_none_or(|share| (0.0..=1.0).contains(&share));
    ensure!(is_share(sampling.top_p) && is_share(sampling.min_p), "top_p and min_p must lie between 0 and 1");
    ensure!(
        sampling.repeat_penalty.is_none_or(|penalty| (0.1..=10.0).contains(&penalty)),
        "repeat_penalty must lie between 0.1 and 10"
    );
    let budget = spec.budget;
    ensure!(budget.calls >= 1, "budget.calls must be at least 1");
    ensure!(budget.answer_tokens >= 64, "budget.answer_tokens must be at least 64");
    ensure!(budget.tokens >= 1_000, "budget.tokens must be at least 1000");
    ensure!(budget.seconds >= 1, "budget.seconds must be at least 1");
    ensure!(
        budget.evidence_share > 0.0 && budget.evidence_share <= 0.9,
        "budget.evidence_share must lie between 0 and 0.9"
    );
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: (&str, &str), expected: &str) {
        let text = BUILT_IN[0].1.replacen(change.0, change.1, 1);
        let prompts = Prompts::load(None).unwrap();
        let error = parse(&text, "architect", Output::Plan, &prompts).unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }

    #[test]
    fn the_table_lists_every_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("roles");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "README.md")
            .collect();
        names.sort();
        let table: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, table);
    }

    #[test]
    fn built_in_roles_load() {
        let prompts = Prompts::load(None).unwrap();
        let roles = Roles::load(None, &prompts).unwrap();
        assert_eq!(roles.explorer.tools.len(), 6);
        assert_eq!(roles.coder.budget.evidence_tokens(10_000), 4_000);
        assert_eq!(roles.coder.budget.answer_limit(3_000), 1_000);
    }

    #[test]
    fn further_answers_are_sampled_more_freely() {
        let sampling =
            |temperature, seed| Sampling { temperature, seed, top_k: Some(20), ..Sampling::default() };
        assert_eq!(sampling(0.0, None).varied(0), sampling(0.0, None));
        assert_eq!(sampling(0.0, None).varied(2), sampling(0.4, Some(2)));
        assert_eq!(sampling(0.3, Some(7)).varied(4), sampling(0.8, Some(11)));
        assert_eq!(sampling(1.5, None).varied(1).temperature, 1.5);
    }

    #[test]
    fn mistakes_are_load_errors() {
        check(("purpose", "porpoise"), "unknown field `porpoise`");
        check(("tools = []", "tools = [\"shell\"]"), "unknown variant `shell`");
        check(("tools = []", "tools = [\"read\"]"), "only the explorer can use tools");
        check(("architect.user.md", "nowhere.md"), "there is no prompt \"nowhere.md\"");
        check(("0.55", "1.5"), "evidence_share");
        check(("[sampling]", "[sampling]\ntop_p = 1.5"), "top_p");
        check(("[sampling]", "[sampling]\nrepeat_penalty = 0"), "repeat_penalty");
        check(("\"plan\"", "\"edits\""), "must have the output");
    }
}
