//! How large a window a model can have in the memory that is free, and how many roles' prompts can be
//! kept at once. Pure but for what it is told; it loads nothing.

use countersign_inference::{Header, memory_needed};

use crate::provider::size::{BUCKETS, Bytes, share};

/// Prompts that are kept: one for each role.
const MOST_SESSIONS: usize = 3;

/// What is decided before a model is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Tokens.
    pub window: u32,
    /// Prompts that are kept between calls.
    pub sessions: usize,
    /// The arithmetic, for people.
    pub why: String,
}

/// Bytes for a window with so many sessions.
pub(super) fn needed(header: &Header, window: u32, sessions: usize) -> u64 {
    let memory = memory_needed(header, window as usize);
    let each = memory.cache.saturating_add(memory.working);
    memory.weights.saturating_add(each.saturating_mul(sessions as u64))
}

/// Bytes for a model of which only the size is known: its file, and a fifth of it for the cache.
pub(super) fn roughly(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 5).saturating_add(200_000_000)
}

/// The largest window of the usual ones at which each role's prompt can be kept in four fifths of the
/// memory that is `free`; with less memory, one prompt at a time; and the smallest window if nothing
/// fits.
pub(super) fn plan(header: &Header, free: u64) -> Plan {
    let trained = u32::try_from(header.context).unwrap_or(u32::MAX);
    let room = share(free);
    let choices = [MOST_SESSIONS, 1]
        .into_iter()
        .flat_map(|sessions| BUCKETS.map(|window| (window.min(trained), sessions)));
    let fitting = choices.clone().find(|(window, sessions)| needed(header, *window, *sessions) <= room);
    // The invariant behind the default: there are usual windows.
    let (window, sessions) = fitting.or_else(|| choices.last()).unwrap_or((trained, 1));
    let memory = memory_needed(header, window as usize);
    let why = format!(
        "{} layers with {} KV heads of {} numbers twice in f16: {} for {window} tokens; {} of that for the roles' prompts, with weights of {} and buffers {}, {} {} of RAM (four fifths of what is free)",
        header.layers,
        header.key_heads,
        header.head_size,
        Bytes(memory.cache),
        times(sessions),
        Bytes(memory.weights),
        Bytes(needed(header, window, sessions)),
        if fitting.is_some() { "within" } else { "more than" },
        Bytes(room),
    );
    Plan { window, sessions, why }
}

fn times(sessions: usize) -> &'static str {
    if sessions == MOST_SESSIONS { "three times" } else { "once" }
}
