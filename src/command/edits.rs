//! The built-in set of single edits, and how a model is asked for one: as the Coder is, with its prompts,
//! and through the same gates.

use anyhow::Context as _;
use serde::Deserialize;

use super::trial::{Held, ask};
use crate::edit::gate::Gates;
use crate::edit::parse::{self, Expected, Format};
use crate::edit::{Code, Overlay, Planned, grammar, layout, tag};
use crate::message::{EditFormat, Region, Step, StepAction, StepRequest};
use crate::prompt::Prompts;
use crate::provider::{Ending, Layout, Preface, Provider, StopReason};
use crate::region;
use crate::role::{Roles, Sampling};

const EDITS: &str = include_str!("edits.toml");

/// One edit of the built-in set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SingleEdit {
    pub file: String,
    /// The definition that changes; empty where the file has none.
    pub symbol: String,
    pub task: String,
    /// The file.
    pub before: String,
    /// Text that is in it once, and what stands there after the edit.
    old: String,
    new: String,
    /// A Python script or Rust tests that tell a right result.
    pub tests: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edits {
    edit: Vec<SingleEdit>,
}

/// The whole set, in its order.
///
/// # Errors
/// A set that cannot be read.
pub fn all() -> anyhow::Result<Vec<SingleEdit>> {
    Ok(toml::from_str::<Edits>(EDITS).context("the built-in edits")?.edit)
}

impl SingleEdit {
    /// The file after the edit.
    pub fn after(&self) -> String {
        self.before.replacen(&self.old, &self.new, 1)
    }

    /// What an answer of this form can be held to, if it can be.
    pub fn layout(&self, format: EditFormat) -> Option<Layout> {
        layout::of(
            format,
            &self.file,
            &self.before,
            &[region::whole(&self.file, &self.before)],
            Preface::Nothing,
        )
    }

    /// Not every edit is about a definition that the index finds.
    pub fn can_be_asked_as(&self, format: EditFormat) -> bool {
        let definitions = || grammar::definitions(&self.file, &self.before);
        format != EditFormat::Symbol || grammar::named(&definitions(), &self.symbol).len() == 1
    }
}

/// How far an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It is no edit in the form that was asked for.
    Unread,
    Parsed,
    /// The edit has one place in the file.
    Anchored,
    /// It passes the gates.
    Gated,
}

/// What a model wrote for one edit, at its first attempt.
#[derive(Debug)]
pub struct Written {
    pub stage: Stage,
    /// The file with the edit in it, if it passes the gates.
    pub text: Option<String>,
    pub ending: Ending,
    pub millis: u64,
}

impl Written {
    /// Whether it is the expected result; blank lines and blanks at line ends do not count.
    pub fn is_expected(&self, edit: &SingleEdit) -> bool {
        self.text.as_ref().is_some_and(|text| same(text, &edit.after()))
    }
}

/// A model that is asked for edits.
pub struct Writer<'a> {
    pub provider: &'a Provider,
    pub window: u32,
    pub prompts: &'a Prompts,
    pub roles: &'a Roles,
    pub sampling: Sampling,
}

impl Writer<'_> {
    /// Asks for one edit, once; held to a layout, if that is given.
    ///
    /// # Errors
    /// What the server fails with, or a prompt that cannot be filled in.
    pub async fn write(
        &self,
        edit: &SingleEdit,
        format: EditFormat,
        layout: Option<Layout>,
    ) -> anyhow::Result<Written> {
        let shown = match format {
            EditFormat::AnchoredLines => tag::tagged(&edit.before, 1),
            _ => edit.before.clone(),
        };
        let request = StepRequest {
            request: edit.task.clone(),
            step: Step {
                action: StepAction::Edit,
                file: edit.file.clone(),
                symbol: edit.symbol.clone(),
                target: String::new(),
                task: edit.task.clone(),
            },
            format,
            regions: vec![Region { text: shown, ..region::whole(&edit.file, &edit.before) }],
            reasons: Vec::new(),
            failure: String::new(),
            examples: Vec::new(),
            in_short: Vec::new(),
            feedback: String::new(),
            layout: None,
            diagnose: false,
            variation: 0,
            draws: 1,
        };
        let system =
            self.prompts.render(&self.roles.coder.system, serde_json::json!({ "format": format }))?;
        let user = self.prompts.render(&self.roles.coder.user, &request)?;
        // Twice what the whole file takes.
        let limit = 200 + (edit.before.len() as u32) / 2;
        let held = layout.map_or(Held::Free, Held::Layout);
        let asked = ask(self.provider, self.window, &[&system, &user], held, limit, self.sampling).await?;
        let (stage, text) = match asked.ending.reason {
            StopReason::Complete => laid(edit, format, &asked.text)?,
            StopReason::Length | StopReason::Repetition => (Stage::Unread, None),
        };
        Ok(Written { stage, text, ending: asked.ending, millis: asked.first_ms + asked.rest_ms })
    }
}

/// Lays the edits of an answer over the file.
fn laid(edit: &SingleEdit, format: EditFormat, answer: &str) -> anyhow::Result<(Stage, Option<String>)> {
    let folder = tempfile::tempdir().context("cannot make a folder for a trial edit")?;
    std::fs::write(folder.path().join(&edit.file), &edit.before)?;
    let mut overlay = Overlay::open(folder.path())?;
    let planned = || Planned::Only(vec![edit.file.clone()]);
    let (format, symbol) = match format {
        EditFormat::SearchReplace => (Format::SearchReplace, None),
        EditFormat::Whole => (Format::Whole, None),
        EditFormat::Symbol => (Format::Symbol, Some(edit.symbol.clone())),
        EditFormat::AnchoredLines => (Format::AnchoredLines, None),
    };
    let expected = Expected { format, planned: planned(), symbol };
    let Ok(edits) = parse::parse(answer, &expected) else { return Ok((Stage::Unread, None)) };
    match overlay.propose(&edits, &Gates::new(planned())) {
        Ok(_) => Ok((Stage::Gated, overlay.read(&edit.file).ok().flatten())),
        Err(refusals) => {
            let no_place = [Code::NoMatch, Code::Ambiguous, Code::EmptySearch, Code::StaleBase];
            let placed = !refusals.iter().any(|refusal| no_place.contains(&refusal.code));
            Ok((if placed { Stage::Anchored } else { Stage::Parsed }, None))
        }
    }
}

/// Whether two texts differ in blank lines and line ends at most.
fn same(a: &str, b: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    lines(a) == lines(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_edit_changes_its_file_at_one_place() {
        let edits = all().unwrap();
        assert!(edits.len() >= 24);
        let of = |extension: &str| edits.iter().filter(|edit| edit.file.ends_with(extension)).count();
        assert!(of(".py") >= 10 && of(".rs") >= 5 && of(".js") >= 1 && of(".toml") >= 1);
        for edit in &edits {
            assert_eq!(edit.before.matches(&edit.old).count(), 1, "{}", edit.file);
            assert!(!same(&edit.before, &edit.after()), "{}", edit.file);
            let whole = format!("{}\n````\n{}````\n", edit.file, edit.after());
            let (stage, text) = laid(edit, EditFormat::Whole, &whole).unwrap();
            assert_eq!(stage, Stage::Gated, "{}", edit.file);
            assert!(same(&text.unwrap(), &edit.after()), "{}", edit.file);
        }
    }

    #[test]
    fn how_far_an_answer_came_is_told() {
        let edits = all().unwrap();
        let edit = edits.iter().find(|edit| edit.file == "greet.py").unwrap();
        let block = |search: &str, replace: &str| {
            format!("greet.py\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n")
        };
        let stage = |answer: &str| laid(edit, EditFormat::SearchReplace, answer).unwrap().0;
        assert_eq!(stage("I would rather not."), Stage::Unread);
        assert_eq!(stage(&block("def nothing_like_it():", "x")), Stage::Parsed);
        assert_eq!(stage(&block("def greet(name):", "def greet(name:")), Stage::Anchored);
        assert_eq!(stage(&block("def greet(name):", "def greet(name=\"\"):")), Stage::Gated);
    }
}
