//! The Coder: one step and the exact lines it concerns in, edit blocks out. Code never travels in
//! JSON, which costs small models several points of correctness.

use crate::mailbox::{Answerer, Mailbox};
use crate::message::{CoderAnswer, Cut, StepRequest};
use crate::provider::StopReason;
use crate::role::{CallError, Caller, Form};

/// Handle to the Coder's task.
pub type Coder = Mailbox<StepRequest, Result<CoderAnswer, CallError>>;

/// Starts the Coder.
pub fn spawn(caller: Caller) -> Coder {
    Mailbox::spawn("coder", Task { caller })
}

struct Task {
    caller: Caller,
}

impl Answerer<StepRequest, Result<CoderAnswer, CallError>> for Task {
    /// One call. Whether the edits can be used is for the gates to say; the turn asks afresh with
    /// their reasons.
    async fn answer(&mut self, request: StepRequest) -> Result<CoderAnswer, CallError> {
        let caller = &self.caller.varied(request.variation);
        let messages =
            [caller.system(serde_json::json!({"format": request.format}))?, caller.user(&request)?];
        let form = request.layout.as_ref().map_or(Form::Free, Form::Layout);
        let answer = caller.draw(&mut caller.allowance(), &messages, form, request.draws).await?;
        let cut = match answer.reason {
            StopReason::Complete => None,
            StopReason::Length => Some(Cut::AtLimit),
            StopReason::Repetition => Some(Cut::Repeating),
        };
        Ok(CoderAnswer { text: answer.text, cut, further: answer.further })
    }
}
