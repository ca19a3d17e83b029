//! The numbered steps of a change, as a seam for tests: each action on the disk is announced first,
//! and a test may let it fail, or stop there as if the process had been killed.

use std::io;

use super::ApplyError;

/// What a test makes of a step.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests let steps fail"))]
pub enum Fault {
    /// The action fails; cleaning up runs.
    Error(io::Error),
    /// The process is gone; nothing runs.
    Crash,
}

/// Called with what is about to be done.
pub type Steps<'a> = &'a mut dyn FnMut(&str) -> Result<(), Fault>;

/// Why a change came to a halt.
#[derive(Debug)]
pub enum Stop {
    Failed(ApplyError),
    Crashed,
}

impl From<ApplyError> for Stop {
    fn from(error: ApplyError) -> Self {
        Stop::Failed(error)
    }
}

/// Announces an action, then does it. `what` completes "could not …".
pub fn step<T>(steps: &mut Steps<'_>, what: &str, action: impl FnOnce() -> io::Result<T>) -> Result<T, Stop> {
    let failed = |source| Stop::Failed(ApplyError::Io { what: what.to_owned(), source });
    match steps(what) {
        Ok(()) => action().map_err(failed),
        Err(Fault::Error(error)) => Err(failed(error)),
        Err(Fault::Crash) => Err(Stop::Crashed),
    }
}

/// What runs outside of tests.
pub fn no_fault(_: &str) -> Result<(), Fault> {
    Ok(())
}

/// A stop as an error. Only tests crash, and they look at the [`Stop`] itself.
pub fn failure(stop: Stop) -> ApplyError {
    match stop {
        Stop::Failed(error) => error,
        Stop::Crashed => {
            ApplyError::Io { what: "go on".into(), source: io::Error::other("the process was stopped") }
        }
    }
}
