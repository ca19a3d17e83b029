//! Roles: narrow tasks with one job and one output type each, described by `roles/*.toml`.
//!
//! `spec` reads a role file, `call` makes one model call and watches its token counts; the three
//! roles are each a task behind a typed [`Mailbox`](crate::mailbox::Mailbox). No role knows another:
//! the turn carries what one says to the next.

mod architect;
mod call;
mod coder;
mod explorer;
mod guard;
mod limits;
mod spec;
mod warm;

pub use architect::{Architect, spawn as spawn_architect};
pub use call::{Allowance, CallError, Caller, Form, Model};
pub use coder::{Coder, spawn as spawn_coder};
pub use explorer::{Explorer, spawn as spawn_explorer};
pub use limits::TaskLimits;
pub use spec::{Budget, Output, RoleSpec, Roles, Sampling};
pub use warm::{Rules, read_rules};

use crate::provider::{Message, Speaker};

/// What a model is told whose answer went round in circles.
const REPEATS: &str = "the answer repeated the same text over and over: write each thing once";

/// Continues a conversation: what the model said, and what it is told. Messages are only ever
/// appended, so that a server keeps what it has read.
fn exchange(answer: &str, reply: String) -> [Message; 2] {
    [
        Message { speaker: Speaker::Assistant, text: answer.to_owned() },
        Message { speaker: Speaker::User, text: reply },
    ]
}
