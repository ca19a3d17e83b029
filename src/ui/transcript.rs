//! A stored session as a page of plain text: what the terminal showed, and the model's whole answers.

use super::terminal::view::View;
use super::text::{Line, Tone};
use super::unified;
use crate::protocol::{Envelope, Event};

/// Columns of the page.
const COLUMNS: usize = 100;

/// The session in the order of its events.
pub fn transcript(envelopes: &[Envelope]) -> String {
    let mut view = View::default();
    let mut page = String::new();
    let mut answer = String::new();
    for Envelope { event, .. } in envelopes {
        match event {
            Event::CallDelta { text, .. } => answer.push_str(text),
            Event::CallFinished { .. } => add(&mut page, &std::mem::take(&mut answer), "  | "),
            _ => {}
        }
        for line in view.lines(event, COLUMNS) {
            page.push_str(&line.text());
            page.push('\n');
        }
        if let Event::ApprovalNeeded(approval) = event {
            add(&mut page, &unified::patch(approval), "");
        }
    }
    page
}

/// Adds foreign text line by line, made visible.
fn add(page: &mut String, text: &str, indent: &str) {
    for line in text.lines() {
        page.push_str(indent);
        page.push_str(&Line::new(Tone::Plain, line).text());
        page.push('\n');
    }
}
