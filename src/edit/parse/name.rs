//! Which file a line of an answer names, through headings, bold, backticks, labels and comments.
//! Pure; it knows the planned paths and must not know blocks or the disk.

use crate::edit::Planned;

/// What a line that stands alone asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A path: what follows is about this file.
    Path(String),
    /// `CREATE path`: what follows is the text of a new file.
    Create(String),
    /// `SYMBOL path name`: what follows is the text of that definition.
    Symbol(String, String),
    /// `DELETE path`.
    Delete(String),
    /// `RENAME from -> to`.
    Rename(String, String),
}

/// Reads a line that consists of a path or a directive and decoration, and nothing else.
pub fn read(line: &str, planned: &Planned) -> Option<Line> {
    let (text, labelled) = bare(line);
    if text.is_empty() {
        return None;
    }
    if let Some(line) = directive(text, planned) {
        return Some(line);
    }
    let path = resolve(text, planned);
    (planned_exactly(&path, planned) || labelled || looks_like_path(text)).then_some(Line::Path(path))
}

/// The one planned path that a line of prose speaks of. Of two, neither is meant for sure.
pub fn mentioned(line: &str, planned: &Planned) -> Option<String> {
    let mut named = planned.paths().iter().filter(|path| mentions(line, path));
    let first = named.next()?;
    named.all(|other| other == first).then(|| first.clone())
}

/// The path as the plan spells it: without `./`, with `/` for `\`, and completed where the model
/// wrote only the end of exactly one planned path. Anything else stays, for the gate to refuse.
pub fn resolve(text: &str, planned: &Planned) -> String {
    let mut path = text.to_owned();
    if !path.contains('/') {
        path = path.replace('\\', "/");
    }
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.to_owned();
    }
    if planned_exactly(&path, planned) {
        return path;
    }
    let mut longer = planned
        .paths()
        .iter()
        .filter(|planned| planned.strip_suffix(path.as_str()).is_some_and(|front| front.ends_with('/')));
    match (longer.next(), longer.next()) {
        (Some(only), None) => only.clone(),
        _ => path,
    }
}

/// Takes the decoration off a line, layer by layer, and says whether a label such as `File:` was
/// among it.
fn bare(line: &str) -> (&str, bool) {
    const FRONT: &[&str] = &["//", "#", "--", "<!--", "/*", "- ", "* ", "> ", ";"];
    const LABELS: &[&str] = &["file:", "filename:", "file name:", "path:", "file path:", "filepath:"];
    const NOTES: &[&str] = &["(new file)", "(new)", "(modified)", "(updated)", "(unchanged)", "-->", "*/"];
    let mut text = line.trim();
    let mut labelled = false;
    loop {
        let before = text;
        for (open, close) in [("**", "**"), ("__", "__"), ("`", "`"), ("\"", "\""), ("'", "'"), ("[", "]")] {
            if let Some(inner) = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
                text = inner.trim();
            }
        }
        // The bold part may end before the colon or hold the label only: `**File:** a.rs`.
        text = text.trim_start_matches("**").trim_end_matches("**").trim();
        if let Some(front) = FRONT.iter().find(|front| text.starts_with(**front)) {
            text = text[front.len()..].trim_start();
        }
        let number = text.trim_start_matches(|c: char| c.is_ascii_digit());
        if let Some(rest) = number.strip_prefix(". ").filter(|_| number.len() < text.len()) {
            text = rest.trim_start();
        }
        for label in LABELS {
            if text.get(..label.len()).is_some_and(|front| front.eq_ignore_ascii_case(label)) {
                text = text[label.len()..].trim_start();
                labelled = true;
            }
        }
        for note in NOTES {
            text = text.strip_suffix(note).unwrap_or(text).trim_end();
        }
        text = text.strip_suffix(':').unwrap_or(text).trim_end();
        if text == before {
            return (text, labelled);
        }
    }
}

/// The keyword is in capitals and what follows is one path, so that prose such as "DELETE FROM
/// users" or "delete the old parser" is none.
fn directive(text: &str, planned: &Planned) -> Option<Line> {
    let (keyword, rest) = text.split_once([' ', ':'])?;
    let rest = rest.trim_start_matches(':').trim();
    let one = |text: &str| {
        let (path, _) = bare(text);
        let quoted = path.len() < text.trim().len() && text.contains('`');
        let single = !path.is_empty() && (quoted || !path.contains(char::is_whitespace));
        let path = resolve(path, planned);
        (single || planned_exactly(&path, planned)).then_some(path)
    };
    match keyword {
        "DELETE" => one(rest).map(Line::Delete),
        "CREATE" => one(rest).map(Line::Create),
        "SYMBOL" => {
            let (path, symbol) = rest.rsplit_once([' ', '#'])?;
            let symbol = symbol.trim_matches('`').trim_end_matches("()");
            let is_name = |c: char| c.is_alphanumeric() || "_.:$#~".contains(c);
            (!symbol.is_empty() && symbol.chars().all(is_name)).then_some(())?;
            Some(Line::Symbol(one(path)?, symbol.to_owned()))
        }
        "RENAME" => {
            let (from, to) =
                [" -> ", " → ", " => ", " to ", "->"].iter().find_map(|arrow| rest.split_once(arrow))?;
            Some(Line::Rename(one(from)?, one(to)?))
        }
        _ => None,
    }
}

fn planned_exactly(path: &str, planned: &Planned) -> bool {
    planned.paths().iter().any(|planned| planned == path)
}

/// One word that has a file's ending or a folder in front, or is one of the names that need none.
/// Prose that is taken for a path costs a refusal; a path that is taken for prose would let the block
/// below it land in the planned file.
fn looks_like_path(text: &str) -> bool {
    const NAMES: &[&str] =
        &["Makefile", "Dockerfile", "LICENSE", "README", "CHANGELOG", "Justfile", "Rakefile"];
    let file = text.rsplit(['/', '\\']).next().unwrap_or(text);
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending);
    let has_ending = (1..=10).contains(&ending.len())
        && ending.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !ending.chars().all(|c| c.is_ascii_digit());
    text.chars().all(|c| c.is_alphanumeric() || "_-./\\+@~".contains(c))
        && text.chars().any(char::is_alphanumeric)
        && (has_ending || NAMES.contains(&file) || (text.contains(['/', '\\']) && text != "and/or"))
}

/// Whether the path stands in the line as a word of its own.
fn mentions(line: &str, path: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/');
    line.match_indices(path).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + path.len()..]);
        let mut after = after.chars();
        let cut_behind = match after.next() {
            Some('.') => after.next().is_none_or(|c| !c.is_alphanumeric()),
            Some(c) => !part(c),
            None => true,
        };
        cut_behind && before.chars().next_back().is_none_or(|c| !part(c) && c != '.')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned() -> Planned {
        Planned::Only(vec!["src/lib.rs".into(), "docs/my notes.md".into(), "Makefile".into()])
    }

    fn check(line: &str, expected: Option<Line>) {
        assert_eq!(read(line, &planned()), expected, "{line:?}");
    }

    #[test]
    fn a_path_is_found_under_its_decoration() {
        for line in [
            "src/lib.rs",
            "  src/lib.rs:",
            "`src/lib.rs`",
            "**src/lib.rs**",
            "**`src/lib.rs`**:",
            "### src/lib.rs",
            "### `src/lib.rs`:",
            "File: src/lib.rs",
            "**File:** `src/lib.rs`",
            "**File: src/lib.rs**",
            "1. src/lib.rs",
            "- `src/lib.rs`",
            "// src/lib.rs",
            "# src/lib.rs",
            "<!-- src/lib.rs -->",
            "/* src/lib.rs */",
            "./src/lib.rs",
            "src\\lib.rs",
            "lib.rs",
            "src/lib.rs (modified)",
        ] {
            check(line, Some(Line::Path("src/lib.rs".into())));
        }
        check("docs/my notes.md", Some(Line::Path("docs/my notes.md".into())));
    }

    #[test]
    fn an_unplanned_path_is_still_a_path() {
        // It must reach the gate: taking the block for the file named before would be worse.
        check("src/other.rs", Some(Line::Path("src/other.rs".into())));
        check("../../etc/passwd.txt", Some(Line::Path("../../etc/passwd.txt".into())));
        check(".git/hooks/pre-commit", Some(Line::Path(".git/hooks/pre-commit".into())));
        check("/etc/passwd", Some(Line::Path("/etc/passwd".into())));
        check("hooks/pre-commit", Some(Line::Path("hooks/pre-commit".into())));
        check("File: /etc/passwd", Some(Line::Path("/etc/passwd".into())));
        check("Dockerfile", Some(Line::Path("Dockerfile".into())));
    }

    #[test]
    fn prose_is_no_path() {
        for line in
            ["", "Done.", "Here is the change:", "...", "v1.2", "and/or", "use std::io;", "x = a.b;", "**"]
        {
            check(line, None);
        }
    }

    #[test]
    fn directives() {
        check("DELETE src/lib.rs", Some(Line::Delete("src/lib.rs".into())));
        check("### DELETE `lib.rs`", Some(Line::Delete("src/lib.rs".into())));
        check("**DELETE: src/lib.rs**", Some(Line::Delete("src/lib.rs".into())));
        check("CREATE src/new.rs", Some(Line::Create("src/new.rs".into())));
        check("RENAME src/lib.rs -> src/a.rs", Some(Line::Rename("src/lib.rs".into(), "src/a.rs".into())));
        check("RENAME `src/lib.rs` → `src/a.rs`", Some(Line::Rename("src/lib.rs".into(), "src/a.rs".into())));
        check(
            "SYMBOL src/lib.rs Parser.parse",
            Some(Line::Symbol("src/lib.rs".into(), "Parser.parse".into())),
        );
        check("### SYMBOL `src/lib.rs` `f()`:", Some(Line::Symbol("src/lib.rs".into(), "f".into())));
        check("SYMBOL src/lib.rs", None);
        check("DELETE FROM users;", None);
        check("DELETE the old function", None);
        check("delete src/lib.rs", None);
    }

    #[test]
    fn a_mention_counts_when_it_is_the_only_one() {
        let one = |line| mentioned(line, &planned());
        assert_eq!(one("In `src/lib.rs`, add a line."), Some("src/lib.rs".into()));
        assert_eq!(one("Change src/lib.rs."), Some("src/lib.rs".into()));
        assert_eq!(one("Change src/lib.rs and the Makefile."), None);
        assert_eq!(one("Change src/lib.rs.bak, othersrc/lib.rs, ../src/lib.rs"), None);
    }

    #[test]
    fn a_short_name_is_completed_only_when_one_file_has_it() {
        let planned = Planned::Only(vec!["a/mod.rs".into(), "b/mod.rs".into()]);
        assert_eq!(resolve("mod.rs", &planned), "mod.rs");
        assert_eq!(resolve("b/mod.rs", &planned), "b/mod.rs");
        assert_eq!(resolve("od.rs", &Planned::Only(vec!["a/mod.rs".into()])), "od.rs");
    }
}
