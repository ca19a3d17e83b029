//! Tool calls as models print them when nobody reads them: in tags, as a call in some language, between
//! the marks of a chat template. It must not know which tools there are.

use serde_json::{Map, Value};

use super::lenient::{self, Failure, Read, Repairs, TAGS};

/// Longest tag or mark that is looked for.
const LONGEST: usize = 200;

/// Marks that say nothing by themselves.
const MARKS: [&str; 18] = [
    "<tool_call>",
    "</tool_call>",
    "<tool_calls>",
    "</tool_calls>",
    "<function_calls>",
    "</function_calls>",
    "<function_call>",
    "</function_call>",
    "</function>",
    "</invoke>",
    "<tools>",
    "</tools>",
    "<answer>",
    "</answer>",
    "[TOOL_CALLS]",
    "[/TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
];

/// Length of the mark that begins here: one of the list, or a chat template's own, such as
/// `<|im_end|>`.
pub(super) fn mark(rest: &str) -> Option<usize> {
    if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(**mark)) {
        return Some(mark.len());
    }
    for (open, close) in [("<|", "|>"), ("<｜", "｜>")] {
        if let Some(inner) = rest.strip_prefix(open)
            && let Some(end) = near(inner, close)
            && !inner[..end].contains(char::is_whitespace)
        {
            return Some(open.len() + end + close.len());
        }
    }
    None
}

/// The first place of a short text not far from the beginning.
fn near(text: &str, wanted: &str) -> Option<usize> {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].find(wanted)
}

/// What a channel of the harmony format is for.
pub(super) enum Channel {
    /// Reasoning, with its length; without one, it goes on to the end.
    Thinking(Option<usize>),
    /// The length of the head, after which the message itself comes.
    Message(usize),
}

/// `<|channel|>analysis<|message|>…<|end|>`.
pub(super) fn channel(rest: &str) -> Option<Channel> {
    const MESSAGE: &str = "<|message|>";
    let inner = rest.strip_prefix("<|channel|>")?;
    let end = near(inner, MESSAGE)?;
    let head = rest.len() - inner.len() + end + MESSAGE.len();
    if !inner[..end].trim_start().starts_with("analysis") {
        return Some(Channel::Message(head));
    }
    let stop = ["<|end|>", "<|start|>", "<|channel|>", "<|return|>"]
        .iter()
        .filter_map(|mark| rest[head..].find(mark))
        .min();
    Some(Channel::Thinking(stop.map(|stop| head + stop)))
}

/// Length of a tag that opens a call: `<function=name>`, `<invoke name="…">`, `<function name="…">`.
pub(super) fn opening_tag(rest: &str) -> Option<usize> {
    let opens = ["<function=", "<function name=", "<invoke name="].iter().any(|open| rest.starts_with(open));
    if !opens {
        return None;
    }
    let end = near(rest, ">")?;
    (!rest[..end].contains('\n')).then_some(end + 1)
}

/// The parameters behind an opening tag, each in tags of its own; `None` where there are none, since
/// some models put JSON between the tags instead.
pub(super) fn parameters(text: &str, start: usize) -> Option<Result<Read, Failure>> {
    let mut at = start;
    let mut fields = Map::new();
    let mut repairs = Repairs::only(TAGS);
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let rest = &text[at..];
        let Some((name, head)) = parameter(rest) else {
            if fields.is_empty() {
                return None;
            }
            if let Some(close) = ["</function>", "</invoke>"].iter().find(|close| rest.starts_with(**close)) {
                let value = Value::Object(fields);
                return Some(Ok(Read { value, end: at + close.len(), repairs }));
            }
            return Some(Err(match rest.is_empty() {
                true => Failure::cut(text.len(), "a call is not closed"),
                false => Failure::wrong(at, "a parameter or the end of the call is missing"),
            }));
        };
        let Some(length) = rest[head..].find("</parameter>") else {
            return Some(Err(Failure::cut(text.len(), "a parameter is not closed")));
        };
        let written = &rest[head..head + length];
        let written = written.strip_prefix('\n').unwrap_or(written);
        let written = written.strip_suffix('\n').unwrap_or(written);
        let value = match structured(written) {
            Some(read) => {
                repairs = repairs.and(read.repairs);
                read.value
            }
            None => Value::String(written.to_owned()),
        };
        if fields.insert(name, value).is_some() {
            return Some(Err(Failure::wrong(at, "a parameter is given twice")));
        }
        at += head + length + "</parameter>".len();
    }
}

/// A list or an object that fills a parameter; everything else is text.
fn structured(written: &str) -> Option<Read> {
    let trimmed = written.trim();
    if !trimmed.starts_with(['[', '{']) {
        return None;
    }
    lenient::value(trimmed, 0).ok().filter(|read| read.end == trimmed.len())
}

/// Name and length of `<parameter=name>` or `<parameter name="name">`.
fn parameter(rest: &str) -> Option<(String, usize)> {
    let inner = rest.strip_prefix("<parameter")?;
    let end = near(inner, ">")?;
    let name = inner[..end].trim();
    let name = name.strip_prefix("name").map_or(name, str::trim_start).strip_prefix('=')?;
    let name = name.trim().trim_matches(['"', '\'']);
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    plain.then(|| (name.to_owned(), rest.len() - inner.len() + end + 1))
}
