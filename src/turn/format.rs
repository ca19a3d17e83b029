//! In which form the Coder is asked to answer, and in which other one when that fails. Pure: what is
//! known of the step in, a form out.
//!
//! A small model does best with the form that leaves it the least to get wrong: a definition that
//! the program has found, then a short file, then blocks. It must not know what was shown.

use crate::edit::grammar::{self, Definition};
use crate::message::{EditFormat, Step, StepAction};

/// Files of so few lines are asked for whole: nothing has to be found in them again.
const WHOLE_LINES: usize = 30;

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

    fn check(action: StepAction, symbol: &str, lines: usize, fits_answer: bool, expected: &[EditFormat]) {
        let text: String = (0..lines / 2).map(|n| format!("def f{n}():\n    pass\n")).collect::<String>()
            + "def twin():\n    pass\ndef twin():\n    pass\n";
        let text = if action == StepAction::Create { String::new() } else { text };
        let step = Step {
            action,
            file: "a.py".into(),
            symbol: symbol.into(),
            target: String::new(),
            task: "t".into(),
        };
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
        let step = Step {
            action: StepAction::Edit,
            file: "a.py".into(),
            symbol: String::new(),
            target: String::new(),
            task: "t".into(),
        };
        let first = |ranked: &[EditFormat], fits_answer| {
            Target { step: &step, text: &text, definitions: &[], fits_answer, ranked, fixed: None }.first()
        };
        let ranked = [EditFormat::Symbol, EditFormat::Whole, EditFormat::AnchoredLines];
        assert_eq!(first(&ranked, true), EditFormat::Whole);
        assert_eq!(first(&ranked, false), EditFormat::AnchoredLines);
        assert_eq!(first(&[], false), EditFormat::SearchReplace);
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
