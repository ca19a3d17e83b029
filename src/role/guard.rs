//! Notices a model that goes round in circles: over what it calls, with which arguments, and what
//! comes back.
//!
//! Two calls that differ in their arguments and bring the same result are a circle as well. It must
//! not know what a tool does.

use std::collections::HashSet;

use crate::message::ToolName;

/// Repetitions in a row after which there is nothing more to expect.
const MOST_IN_A_ROW: u32 = 3;

/// What was called in one conversation, and what came back.
#[derive(Debug, Default)]
pub(super) struct Guard {
    calls: HashSet<(ToolName, String)>,
    results: HashSet<blake3::Hash>,
    in_a_row: u32,
}

impl Guard {
    /// Notes a call; the error is for the model, when the call was made before.
    pub(super) fn call(&mut self, tool: ToolName, argument: &str) -> Result<(), String> {
        // Blanks and case at the ends do not make another question of it.
        let argument = argument.split_whitespace().collect::<Vec<_>>().join(" ");
        if self.calls.insert((tool, argument)) {
            return Ok(());
        }
        self.in_a_row += 1;
        Err("that call was made before and gives the same result; use another one, or \"answer\"".into())
    }

    /// Notes a result; the error is for the model, when another call brought the same.
    pub(super) fn result(&mut self, result: &str) -> Result<(), String> {
        if self.results.insert(blake3::hash(result.as_bytes())) {
            self.in_a_row = 0;
            return Ok(());
        }
        self.in_a_row += 1;
        Err("that call gives the same result as an earlier one; use \"answer\" with what you know".into())
    }

    pub(super) fn is_going_round(&self) -> bool {
        self.in_a_row >= MOST_IN_A_ROW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_noticed_by_call_and_by_result() {
        let mut guard = Guard::default();
        assert!(guard.call(ToolName::List, "src").is_ok() && guard.result("a\nb").is_ok());
        assert!(guard.call(ToolName::List, " src ").is_err());
        assert!(guard.call(ToolName::Search, "src").is_ok(), "another tool is another call");
        assert!(guard.result("a\nb").is_err());
        assert!(!guard.is_going_round());
        assert!(guard.call(ToolName::Search, "src").is_err());
        assert!(guard.is_going_round());
    }

    #[test]
    fn something_new_begins_the_count_again() {
        let mut guard = Guard::default();
        for round in 0..10 {
            assert!(guard.call(ToolName::Read, &format!("file {round}")).is_ok());
            assert!(guard.result(&format!("text {round}")).is_ok());
            assert!(guard.call(ToolName::Read, "file 0").is_err());
            assert!(guard.call(ToolName::Read, "file  0").is_err());
            assert!(!guard.is_going_round());
        }
    }
}
