//! In which form the Coder is asked to answer, and in which other one when that fails. Pure: what is
//! known of the step in, a form out.
//!
//! A small model does best with the form that leaves it the least to get wrong: a definition that
//! the program has found, then a short file, then blocks. It must not know what was shown.

use crate::edit::grammar::{self, Definition};
use crate::message::{EditFormat, Step, StepAction};

/// Files of so few lines are asked for whole: nothing has to be found in them again.
const WHOLE_LINES: usize = 30;

/// And of so many, where most bodies are still to be written.
const STUB_LINES: usize = 100;
/// How a statement begins that stands for a body.
const STUBS: [&str; 7] = [
    "todo!(",
    "unimplemented!(",
    "raise NotImplementedError",
    "panic(\"",
    "throw new Error(",
    "throw new UnsupportedOperationException(",
    "throw new NotImplementedException(",
];

/// What the choice depends on.
pub(super) struct Target<'a> {
    pub step: &'a Step,
    /// The file as proposed so far; empty for a new one.
    pub text: &'a str,
    pub definitions: &'a [Definition],
    /// The file's whole text fits into one answer.
    pub fits_answer: bool,
    /// Forms that the model was tried in, the best first.
    pub ranked: &'a [EditFormat],
    /// The only form to ask for, where it is possible.
    pub fixed: Option<EditFormat>,
}

impl Target<'_> {
    pub fn first(&self) -> EditFormat {
        let possible = |form: &EditFormat| match form {
            EditFormat::Symbol => self.definition().is_some(),
            EditFormat::Whole => self.fits_answer,
            EditFormat::SearchReplace | EditFormat::AnchoredLines => true,
        };
        match self.step.action {
            StepAction::Create => EditFormat::Whole,
            _ if self.fixed.as_ref().is_some_and(possible) => self.fixed.unwrap_or(EditFormat::Whole),
            _ if self.text.lines().count() <= WHOLE_LINES => EditFormat::Whole,
            // Blocks would first repeat all of it.
            _ if self.definition().is_none() && self.fits_answer && self.is_to_be_written() => {
                EditFormat::Whole
            }
            _ => {
                let mut forms = self.ranked.iter().copied().chain(EditFormat::ALL);
                // The invariant behind it: blocks are always possible.
                forms.find(possible).unwrap_or(EditFormat::SearchReplace)
            }
        }
    }

    /// The form to try when answers in `format` were refused; `None` when there is no other way.
    pub fn after(&self, format: EditFormat) -> Option<EditFormat> {
        match format {
            _ if self.fixed == Some(format) => None,
            EditFormat::Whole if self.text.is_empty() => None,
            EditFormat::Symbol | EditFormat::Whole => Some(EditFormat::SearchReplace),
            EditFormat::SearchReplace if self.fits_answer => Some(EditFormat::Whole),
            EditFormat::SearchReplace => Some(EditFormat::AnchoredLines),
            EditFormat::AnchoredLines => None,
        }
    }

    /// Whether the file is short, and most of what it defines has no body yet.
    fn is_to_be_written(&self) -> bool {
        let begins_so = |line: &str| STUBS.iter().any(|stub| line.starts_with(stub));
        let is_stub = |line: &&str| matches!(line.trim(), "pass" | "...") || begins_so(line.trim());
        let stubs = self.text.lines().filter(is_stub).count();
        stubs > 1 && 2 * stubs >= self.definitions.len() && self.text.lines().count() <= STUB_LINES
    }

    /// The one definition that the step names.
    pub fn definition(&self) -> Option<&Definition> {
        match grammar::named(self.definitions, &self.step.symbol).as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(action: StepAction, symbol: &str) -> Step {
        Step { action, file: "a.py".into(), symbol: symbol.into(), target: String::new(), task: "t".into() }
    }

    fn check(action: StepAction, symbol: &str, lines: usize, fits_answer: bool, expected: &[EditFormat]) {
        let text: String = (0..lines / 2).map(|n| format!("def f{n}():\n    return 1\n")).collect::<String>()
            + "def twin():\n    pass\ndef twin():\n    pass\n";
        let text = if action == StepAction::Create { String::new() } else { text };
        let step = step(action, symbol);
        let definitions = grammar::definitions("a.py", &text);
        let target = Target {
            step: &step,
            text: &text,
            definitions: &definitions,
            fits_answer,
            ranked: &[],
            fixed: None,
        };
        let first = target.first();
        let found: Vec<EditFormat> = std::iter::once(first).chain(target.after(first)).collect();
        assert_eq!(found, expected, "{action:?} {symbol:?} {lines}");
    }

    #[test]
    fn a_form_that_the_model_was_measured_to_write_best_is_tried_first() {
        let text = "x = 1\n".repeat(100);
        let step = step(StepAction::Edit, "");
        let first = |ranked: &[EditFormat], fits_answer| {
            Target { step: &step, text: &text, definitions: &[], fits_answer, ranked, fixed: None }.first()
        };
        let ranked = [EditFormat::Symbol, EditFormat::Whole, EditFormat::AnchoredLines];
        assert_eq!(first(&ranked, true), EditFormat::Whole);
        assert_eq!(first(&ranked, false), EditFormat::AnchoredLines);
        assert_eq!(first(&[], false), EditFormat::SearchReplace);
    }

    #[test]
    fn a_file_that_is_to_be_written_is_asked_for_whole() {
        let first = |functions: usize, body: &str| {
            let text: String = (0..functions).map(|n| format!("def f{n}():\n    {body}\n\n")).collect();
            let step = step(StepAction::Edit, "");
            let definitions = grammar::definitions("a.py", &text);
            let target = Target {
                step: &step,
                text: &text,
                definitions: &definitions,
                fits_answer: true,
                ranked: &[EditFormat::SearchReplace],
                fixed: None,
            };
            target.first()
        };
        assert_eq!(first(20, "pass"), EditFormat::Whole);
        assert_eq!(first(20, "raise NotImplementedError()"), EditFormat::Whole);
        assert_eq!(first(20, "return 1"), EditFormat::SearchReplace);
        assert_eq!(first(60, "pass"), EditFormat::SearchReplace);
    }

    #[test]
    fn the_form_follows_the_step() {
        use EditFormat::*;
        use StepAction::*;
        check(Create, "", 0, true, &[Whole]);
        check(Edit, "f1", 10, true, &[Whole, SearchReplace]);
        check(Edit, "f1", 100, true, &[Symbol, SearchReplace]);
        check(Edit, "f1()", 100, false, &[Symbol, SearchReplace]);
        check(Edit, "", 100, true, &[SearchReplace, Whole]);
        check(Edit, "unknown", 100, false, &[SearchReplace, AnchoredLines]);
        check(Edit, "twin", 100, true, &[SearchReplace, Whole]);
    }
}
