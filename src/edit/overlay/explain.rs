//! What a refused edit is told: what was wrong, where, and what to do instead, in short words. Pure.

use std::ops::Range;

use crate::{
    edit::{
        Code, Refusal,
        anchor::{self, Miss, Several},
        diff::Lost,
        gate,
        grammar::{self, Definition},
        tag,
        tree::TreeError,
    },
    sanitize,
};

pub fn refused(path: &str, error: TreeError) -> Refusal {
    let code = match &error {
        TreeError::NotAFile { .. } => Code::NotAFile,
        TreeError::TooLarge => Code::TooLarge,
        TreeError::Io(_) => Code::Unreadable,
    };
    Refusal::new(code, path, format!("The file cannot be used: {error}."))
}

pub fn no_such_file(path: &str) -> Refusal {
    Refusal::new(
        Code::NoSuchFile,
        path,
        "There is no such file. Check the path; to make a new file, leave the SEARCH part empty.",
    )
}

pub fn no_match_in_empty(path: &str) -> Refusal {
    Refusal::new(Code::NoMatch, path, "The file is empty: leave the SEARCH part empty to give it a text.")
}

pub fn exists(path: &str) -> Refusal {
    Refusal::new(
        Code::AddOverExisting,
        path,
        "The file exists already. Change it with SEARCH/REPLACE blocks, or choose another path.",
    )
}

pub fn no_change(path: &str) -> Refusal {
    Refusal::new(
        Code::NoOp,
        path,
        "The edit changes nothing: the new lines are the old ones. Leave it out, or write what shall be different.",
    )
}

pub fn collision(path: &str, other: &str) -> Refusal {
    let other = sanitize::visible(other);
    Refusal::new(
        Code::BadPath,
        path,
        format!(
            "There is `{other}`, which some systems cannot keep beside this path. Use that one or another name."
        ),
    )
}

/// Most lines and characters of a file that a message quotes.
const QUOTED_LINES: usize = 12;
const QUOTED_WIDTH: usize = 200;

/// A block and the text in which it was searched.
pub struct Sought<'a> {
    pub path: &'a str,
    pub lines: &'a [&'a str],
    pub search: &'a str,
    pub replace: &'a str,
    /// The definitions of the text, when they are needed.
    pub definitions: &'a dyn Fn() -> Vec<Definition>,
}

pub fn missed(sought: &Sought<'_>, miss: Miss) -> Refusal {
    let Sought { path, lines, search, replace, .. } = *sought;
    match miss {
        Miss::Empty => Refusal::new(
            Code::EmptySearch,
            path,
            "The SEARCH part is empty, and the file has content. Copy the lines that shall be replaced into it.",
        ),
        Miss::Several(places) => {
            let definitions = (sought.definitions)();
            let shown: Vec<String> = places
                .iter()
                .take(SHOWN_PLACES)
                .map(|at| match grammar::around(&definitions, *at) {
                    Some(around) => {
                        format!("line {} in `{}`", at + 1, sanitize::visible(&around.full_name()))
                    }
                    None => format!("line {}", at + 1),
                })
                .collect();
            let more = if places.len() > SHOWN_PLACES { ", …" } else { "" };
            Refusal::new(
                Code::Ambiguous,
                path,
                format!(
                    "The SEARCH lines are in the file {} times ({}{more}). Add lines before or after, so that only \
                     the place you mean fits.",
                    places.len(),
                    shown.join(", ")
                ),
            )
        }
        Miss::Nowhere(nearest) => {
            if let Some(line) = search.lines().find(|line| gate::is_placeholder(line)) {
                return Refusal::new(
                    Code::Elision,
                    path,
                    format!(
                        "The SEARCH part holds `{}`, which stands for lines that were left out. Copy the lines \
                         themselves, or search for fewer.",
                        sanitize::visible(line.trim())
                    ),
                );
            }
            let new = anchor::lines(replace);
            if let Ok(there) = anchor::locate(lines, &new, None, Several::Refuse)
                && !there.tier.is_guess()
            {
                return Refusal::new(
                    Code::NoMatch,
                    path,
                    format!(
                        "The SEARCH lines are not in the file, but the new lines are, at {}. Leave this block out \
                         if the change is already made.",
                        shown_range(&there.lines)
                    ),
                );
            }
            let hint = nearest.map_or_else(
                || "Nothing in the file resembles them. Copy the lines from the file as it is shown.".to_owned(),
                |nearest| {
                    format!(
                        "The nearest lines are these, at {}:\n{}\nCopy them as they are, with their indentation.",
                        shown_range(&nearest.lines),
                        quote(&lines[nearest.lines.clone()])
                    )
                },
            );
            Refusal::new(Code::NoMatch, path, format!("The SEARCH lines are not in the file. {hint}"))
        }
    }
}

pub fn lost(sought: &Sought<'_>, lost: Lost) -> Refusal {
    let refuse = |code, message: String| Refusal::new(code, sought.path, message);
    match lost {
        Lost::Missed(miss) => missed(sought, miss),
        Lost::Header(header) => refuse(
            Code::NoMatch,
            format!(
                "The file has no line `{}`, under which a hunk is to be. Copy a line of the file behind `@@`, or \
                 none.",
                sanitize::visible(&header)
            ),
        ),
        Lost::OutOfOrder(at) => refuse(
            Code::NoMatch,
            format!(
                "The lines of a hunk are at line {}, above the hunk before it. Give the hunks of a file in the \
                 order of the file.",
                at + 1
            ),
        ),
        Lost::Nowhere => refuse(
            Code::EmptySearch,
            "A hunk adds lines and does not say where. Give it lines of the file around the new ones.".into(),
        ),
    }
}

/// A block whose new lines do not fit into its place.
pub fn unfit(path: &str, lines: &[&str], range: &Range<usize>) -> Refusal {
    Refusal::new(
        Code::NoMatch,
        path,
        format!(
            "The SEARCH lines are only nearly those at {}, and the new lines do not fit in there:\n{}\nCopy the \
             lines as they are, with their indentation.",
            shown_range(range),
            quote(&lines[range.clone()])
        ),
    )
}

/// No definition has the name.
pub fn no_such_definition(path: &str, symbol: &str, definitions: &[Definition]) -> Refusal {
    let names: Vec<String> = definitions.iter().take(20).map(Definition::full_name).collect();
    let known = match names.is_empty() {
        true => "No definition of it is known.".to_owned(),
        false => format!("It has: {}.", sanitize::visible(&names.join(", "))),
    };
    let symbol = sanitize::visible(symbol);
    Refusal::new(Code::NoMatch, path, format!("The file has no definition `{symbol}`. {known}"))
}

/// Several definitions have the name.
pub fn several_definitions(path: &str, symbol: &str, found: &[&Definition]) -> Refusal {
    let shown: Vec<String> = found
        .iter()
        .take(SHOWN_PLACES)
        .map(|one| format!("`{}` at line {}", sanitize::visible(&one.full_name()), one.lines.start + 1))
        .collect();
    Refusal::new(
        Code::Ambiguous,
        path,
        format!(
            "The file has {} definitions `{}`: {}. Use another form for this change, with lines that are there \
             once.",
            found.len(),
            sanitize::visible(symbol),
            shown.join(", ")
        ),
    )
}

/// The new text of a definition is something else.
pub fn not_that_definition(path: &str, symbol: &str) -> Refusal {
    Refusal::new(
        Code::Malformed,
        path,
        format!(
            "The text is not `{0}` alone: write the whole definition of `{0}`, from its first line to its last, \
             without what is around it.",
            sanitize::visible(symbol)
        ),
    )
}

/// A tag names no line.
pub fn no_such_tag(path: &str, lines: &[&str], given: &str) -> Refusal {
    let now = tag::read(given)
        .and_then(|(number, _)| Some((number, lines.get(number.checked_sub(1)?)?)))
        .map_or(String::new(), |(number, line)| {
            format!(
                " Line {number} is now `{}{}{}`.",
                tag::tag(number, line),
                tag::SIGN,
                anchor::content(line).trim_end()
            )
        });
    Refusal::new(
        Code::NoMatch,
        path,
        format!(
            "No line has the tag `{}`.{now} Copy the tags as they are shown in front of the lines.",
            sanitize::visible(given)
        ),
    )
}

/// The last tag comes before the first.
pub fn tags_reversed(path: &str) -> Refusal {
    Refusal::new(Code::Malformed, path, "The tag of the last line comes before that of the first. Swap them.")
}

/// Most places of a block that are listed.
const SHOWN_PLACES: usize = 10;

fn quote(lines: &[&str]) -> String {
    let mut shown: Vec<String> = lines
        .iter()
        .take(QUOTED_LINES)
        .map(|line| {
            let line = anchor::content(line);
            match line.char_indices().nth(QUOTED_WIDTH) {
                Some((end, _)) => {
                    format!("{}… ({} characters more)", &line[..end], line[end..].chars().count())
                }
                None => line.to_owned(),
            }
        })
        .collect();
    if lines.len() > QUOTED_LINES {
        shown.push(format!("({} lines more)", lines.len() - QUOTED_LINES));
    }
    shown.join("\n")
}

pub fn shown_range(lines: &Range<usize>) -> String {
    match lines.len() {
        1 => format!("line {}", lines.start + 1),
        _ => format!("lines {}-{}", lines.start + 1, lines.end),
    }
}
