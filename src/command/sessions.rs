//! `countersign sessions`: list them, or show one again.

use std::fmt::Write as _;

use crate::cli::SessionsArgs;
use crate::command::json;
use crate::config::Config;
use crate::sanitize::visible;
use crate::session;

pub fn sessions(config: &Config, arguments: SessionsArgs) -> anyhow::Result<String> {
    let folder = config.data.sessions();
    match arguments.session {
        None => list(&session::list(&folder)?, arguments.json),
        Some(id) => show(session::replay(&folder, &id)?, arguments.json),
    }
}

/// Sessions, newest last, as `/sessions` shows them too.
pub fn list(sessions: &[session::SessionSummary], as_json: bool) -> anyhow::Result<String> {
    if as_json {
        return json(&sessions);
    }
    if sessions.is_empty() {
        return Ok("no sessions yet in this repository\n".into());
    }
    let mut text = String::new();
    for session in sessions {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  {} events", session.id, session.events);
        for (number, request) in session.requests.iter().enumerate() {
            let outcome = session.outcomes.get(number).map_or("unfinished", String::as_str);
            let _ = writeln!(text, "    {} ({outcome})", visible(request));
        }
    }
    Ok(text)
}

fn show(replay: session::Replay, as_json: bool) -> anyhow::Result<String> {
    if as_json {
        let lines: Result<Vec<String>, _> = replay.envelopes.iter().map(serde_json::to_string).collect();
        return Ok(lines?.join("\n") + "\n");
    }
    let mut text = crate::ui::transcript(&replay.envelopes);
    if replay.damaged_lines > 0 {
        let _ = writeln!(text, "{} lines of this session's log could not be read", replay.damaged_lines);
    }
    Ok(text)
}
