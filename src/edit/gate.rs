//! Whether an edit may stand: paths, placeholders, syntax, deletions. Pure; the overlay asks.
//!
//! Gates judge what would be in the tree, never what the model says about it. They must not write,
//! and know languages only through the functions that are passed in, but for how files are cut (`parts`).

mod parts;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use regex::Regex;
use similar::DiffOp;

use super::{Code, Planned, Refusal, anchor, anchor::Several, grammar, grammar::Definition};
use crate::sanitize;

/// What the edits of one answer are held against.
pub struct Gates<'a> {
    pub planned: Planned,
    /// By path, the lines that the model was shown: searched first.
    pub regions: BTreeMap<String, Region>,
    pub deletion: Deletion,
    pub several: Several,
    /// Counts the syntax errors of a file's text; `None` for a language that nobody parses.
    pub syntax: &'a (dyn Fn(&str, &str) -> Option<Syntax> + Sync),
    /// The definitions of a file's text, in its order.
    pub definitions: &'a (dyn Fn(&str, &str) -> Vec<Definition> + Sync),
}

impl Gates<'static> {
    /// With the index's parsers, and nothing shown, planned to be deleted, or ambiguous allowed.
    pub fn new(planned: Planned) -> Gates<'static> {
        Gates {
            planned,
            regions: BTreeMap::new(),
            deletion: Deletion::Limited,
            several: Several::Refuse,
            syntax: &grammar::syntax,
            definitions: &grammar::definitions,
        }
    }
}

/// Lines of a file, from 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    pub first_line: usize,
    pub last_line: usize,
}

/// Whether the plan speaks of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Files and any number of lines may go.
    Planned,
    /// Files that are said to go may go, but not [`DELETED_SHARE`] of another one.
    Named,
    /// No file may go, and not [`DELETED_SHARE`] of one either.
    Limited,
}

/// What a parser says of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    pub errors: usize,
    /// Line of the first error, from 1.
    pub first_line: Option<usize>,
}

/// Of a file's lines, the share in percent that may go without a plan.
pub const DELETED_SHARE: usize = 30;

/// Up to this many lines may go whatever their share.
pub const DELETED_LINES: usize = 20;

/// A path that may be touched at all, and is planned.
pub fn path(path: &str, planned: &Planned) -> Result<(), Refusal> {
    if let Some(problem) = path_problem(path) {
        return Err(Refusal::new(
            Code::BadPath,
            sanitize::visible(path),
            format!("This path cannot be used: {problem}. Give a path relative to the repository's root."),
        ));
    }
    if planned.allows(path) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::UnplannedPath,
        path,
        format!("This file is not part of the step. Change only: {}.", planned.paths().join(", ")),
    ))
}

/// A path at which a file may be made: usable on every system that may check the tree out.
pub fn new_path(path: &str) -> Result<(), Refusal> {
    const RESERVED: &[&str] = &["con", "prn", "aux", "nul", "conin$", "conout$"];
    let bad =
        |problem: String| Err(Refusal::new(Code::BadPath, path, format!("{problem}. Choose another name.")));
    for part in path.split('/') {
        let stem = part.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
        let numbered = ["com", "lpt"].iter().any(|port| {
            stem.strip_prefix(port).is_some_and(|rest| {
                rest.chars().count() == 1 && rest.contains(|c: char| "0123456789¹²³".contains(c))
            })
        });
        if RESERVED.contains(&stem.as_str()) || numbered {
            return bad(format!("`{part}` is a reserved name on Windows"));
        }
        if let Some(sign) = part.chars().find(|c| "<>:\"|?*".contains(*c)) {
            return bad(format!("`{sign}` in `{part}` is not allowed in names on Windows"));
        }
    }
    Ok(())
}

fn path_problem(path: &str) -> Option<String> {
    if path.is_empty() {
        return Some("it is empty".into());
    }
    if path.len() > 1024 {
        return Some("it is too long".into());
    }
    if let Some(hidden) = path.chars().find(|c| sanitize::hides(*c)) {
        return Some(format!("it holds the invisible character {}", hidden.escape_unicode()));
    }
    if path.contains('\\') {
        return Some("it holds a backslash; write `/` between directories".into());
    }
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    if path.starts_with(['/', '~']) || drive {
        return Some("it is absolute".into());
    }
    path.split('/').find_map(part_problem)
}

fn part_problem(part: &str) -> Option<String> {
    if part.is_empty() {
        return Some("it holds an empty part (`//`, or `/` at the end)".into());
    }
    if part == "." || part == ".." {
        return Some(format!("it holds `{part}`"));
    }
    if part.len() > 255 {
        return Some("a part of it is too long".into());
    }
    // Windows drops dots and spaces at the end, and what follows a colon is a stream of the file.
    let name = part.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']).to_lowercase();
    let short = name.strip_prefix("git~").is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()));
    if name == ".git" || short {
        return Some("git's own directory is never touched".into());
    }
    part.ends_with(['.', ' ']).then(|| format!("`{part}` ends with a dot or a space"))
}

/// New text in which something stands for code that was left out. Lines that `base` has as well
/// are the project's own. Prose is not judged: its examples leave things out on purpose.
pub fn placeholder(path: &str, base: &str, new: &str) -> Result<(), Refusal> {
    if is_prose(path) {
        return Ok(());
    }
    let mut own: Option<BTreeSet<&str>> = None;
    for line in new.lines().map(str::trim).filter(|line| is_placeholder(line)) {
        let own = own.get_or_insert_with(|| base.lines().map(str::trim).collect());
        if !own.contains(line) {
            return Err(Refusal::new(
                Code::Elision,
                path,
                format!(
                    "The line `{}` stands for code that was left out. Write all of the code, or change \
                     fewer lines.",
                    sanitize::visible(line)
                ),
            ));
        }
    }
    Ok(())
}

/// Whether a line says that something was left out, such as `// ... existing code ...`.
pub fn is_placeholder(line: &str) -> bool {
    static COMMENT: LazyLock<Regex> = LazyLock::new(|| regex(r"^(?://+!?|#+|/\*+|--+|<!--+|;+|%+|\{/\*)\s*"));
    static DOTS: LazyLock<Regex> = LazyLock::new(|| regex(r"^[(\[{<]*\s*(?:\.{3,}|…)\s*[)\]}>]*$"));
    static DOTTED: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r"(?x)^[(\[{<]*\s*(?:\.{3,}|…)\s+[\w\s,'’()/`-]*\b
              (?:rest|remain\w*|existing|unchanged|previous|original|omitted|other|same|before|your|more|code|elided)
              \b[\w\s,'’()/`.-]*(?:\.{3,}|…)?\s*[)\]}>]*$",
        )
    });
    // "… rest of the tests …" without the dots in front: few words, of which the first says it.
    static TRAILING: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r"(?x)^\(?(?:(?:the|all|keep|your)\s+)*
              (?:rest|remaining|existing|unchanged|previous|original|other|same|more|code)\b(?:\s+[\w']+){0,3}\s*
              (?:\.{3,}|…)\)?$",
        )
    });
    static WORDS: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r"(?x)^\(?(?:
              (?:keep\s+|the\s+|all\s+)*(?:rest|remainder)\s+of\s+(?:the\s+|your\s+)?(?:\w+\s+){0,2}
                (?:code|file|function|method|class|module|implementation|body|program|imports|struct|enum|tests?)
                (?:\s+(?:goes|is|are|remains?|stays?|here|unchanged|the|same|as|before|below|above))*
            | (?:keep\s+|the\s+|all\s+|your\s+)*(?:existing|previous|original|remaining|unchanged)\s+
                (?:code|implementation|contents?|logic)
                (?:\s+(?:goes|is|are|remains?|stays?|here|unchanged|the|same|as|before|below|above))*
            | (?:keep\s+|the\s+|all\s+|your\s+)*(?:existing|previous|original|remaining|other)\s+
                (?:\w+\s+)?(?:functions?|methods?|imports?|tests?|lines?|fields?|items?)\s+
                (?:(?:goes|go|is|are|remains?|stays?|the)\s+)*(?:here|unchanged|same|as\s+before)
            | (?:the\s+)?rest\s+(?:(?:of\s+it|is|remains|stays|the)\s+)*(?:unchanged|same|as\s+before|omitted)
            | (?:code|lines|imports|functions)\s+(?:\w+\s+)?(?:omitted|unchanged)(?:\s+for\s+brevity)?
            | same\s+as\s+(?:before|above|the\s+original)
            )\)?\.?$",
        )
    });
    let line = line.trim().to_lowercase();
    if ["///", "//!", "/**"].iter().any(|doc| line.starts_with(doc)) {
        return false; // documentation quotes examples
    }
    let Some(sign) = COMMENT.find(&line) else { return DOTTED.is_match(&line) };
    let text =
        line[sign.end()..].trim_end_matches("*/}").trim_end_matches("*/").trim_end_matches("-->").trim();
    DOTS.is_match(text) || DOTTED.is_match(text) || TRAILING.is_match(text) || WORDS.is_match(text)
}

/// Whether a file holds text about code rather than code.
pub fn is_prose(path: &str) -> bool {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["md", "markdown", "mdx", "mkd", "rst", "txt", "adoc"]
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
}

/// Our own patterns are constants and are tested, so they compile.
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a constant pattern")
}

/// No more syntax errors than before. A new file may have none.
pub fn syntax(path: &str, before: Option<&str>, after: &str, gates: &Gates<'_>) -> Result<(), Refusal> {
    let touched = before.and_then(|before| parts::touched(path, before, after));
    let is_whole = |text: &str| (gates.syntax)(path, text).is_some_and(|syntax| syntax.errors == 0);
    if touched.is_some_and(|parts| parts.iter().all(|(old, new)| is_whole(new) && is_whole(old))) {
        return Ok(());
    }
    let Some(now) = (gates.syntax)(path, after) else { return Ok(()) };
    if now.errors == 0 {
        return Ok(());
    }
    let had = before.and_then(|text| (gates.syntax)(path, text)).map_or(0, |syntax| syntax.errors);
    if now.errors <= had {
        return Ok(());
    }
    let at = now
        .first_line
        .and_then(|line| Some((line, after.lines().nth(line.checked_sub(1)?)?)))
        .map_or(String::new(), |(line, text)| {
            format!(" The first is at line {line} of the new text: `{}`.", text.trim())
        });
    Err(Refusal::new(
        Code::MoreSyntaxErrors,
        path,
        format!(
            "With this change the file has {} syntax error(s), without it {had}.{at} Check brackets, quotes and \
             indentation, and that the block replaces all of what it is meant to.",
            now.errors
        ),
    ))
}

/// No large part of a file goes unless the plan says so.
pub fn deletion(path: &str, before: &str, after: &str, allowed: Deletion) -> Result<(), Refusal> {
    if allowed == Deletion::Planned {
        return Ok(());
    }
    let (old, new) = (anchor::lines(before), anchor::lines(after));
    if old.len() <= DELETED_LINES {
        return Ok(());
    }
    let (mut gone, mut come) = (0, 0);
    for op in anchor::diff(&old, &new) {
        if !matches!(op, DiffOp::Equal { .. }) {
            gone += op.old_range().len();
            come += op.new_range().len();
        }
    }
    let lost = gone.saturating_sub(come);
    if lost <= DELETED_LINES || lost * 100 <= old.len() * DELETED_SHARE {
        return Ok(());
    }
    Err(Refusal::new(
        Code::LargeDeletion,
        path,
        format!(
            "This would delete {lost} of the file's {} lines, which the step does not ask for. Keep the lines \
             that the step is not about.",
            old.len()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_may_never_be_touched() {
        for bad in [
            "",
            "/etc/passwd",
            "~/.bashrc",
            "C:/x",
            "c:x",
            "..",
            "../x",
            "a/../../x",
            "a/./b",
            "./a",
            "a//b",
            "a/",
            "a\\b",
            "\\\\server\\share",
            ".git/config",
            ".GIT/config",
            "sub/.Git/hooks/pre-commit",
            ".git",
            "git~1/config",
            "GIT~1",
            ".git./config",
            ".git /config",
            ".git::$INDEX_ALLOCATION/config",
            ".g\u{200c}it/config",
            "a\nb",
            "a\0b",
            "a\u{1b}[2J",
            "a\u{202e}sr.txt",
            "a./b",
            "a /b",
        ] {
            let refusal = path(bad, &Planned::Any).expect_err(bad);
            assert_eq!(refusal.code, Code::BadPath, "{bad:?}");
            assert!(!refusal.path.contains(sanitize::hides), "{bad:?}");
        }
        assert!(path(&"a/".repeat(600), &Planned::Any).is_err());
        assert!(path(&"a".repeat(256), &Planned::Any).is_err());
    }

    #[test]
    fn ordinary_paths_may() {
        for good in [
            "a",
            "src/lib.rs",
            ".github/x.yml",
            ".gitignore",
            "a b/ü.md",
            "...x",
            "x.git/y",
            "aux.c",
            "digit~1",
        ] {
            assert_eq!(path(good, &Planned::Any), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn new_files_have_names_that_every_system_takes() {
        for bad in ["nul", "AUX.rs", "src/con.txt", "com1", "lpt9.x/a", "a:b", "what?.md", "a|b", "COM¹"] {
            assert_eq!(new_path(bad).map_err(|refusal| refusal.code), Err(Code::BadPath), "{bad}");
        }
        for good in ["console.rs", "com.rs", "com10", "null", "src/auxiliary.rs"] {
            assert_eq!(new_path(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn only_what_is_planned() {
        let planned = Planned::Only(vec!["src/a.rs".into()]);
        assert_eq!(path("src/a.rs", &planned), Ok(()));
        let refusal = path("src/b.rs", &planned).unwrap_err();
        assert_eq!(refusal.code, Code::UnplannedPath);
        assert!(refusal.message.contains("src/a.rs"));
        assert!(path("src/A.rs", &planned).is_err());
        assert!(path("a", &Planned::Only(vec![])).is_err());
    }

    #[test]
    fn placeholders_are_known() {
        for line in [
            "// ... existing code ...",
            "// ...",
            "# ...",
            "    # rest unchanged",
            "... rest of code ...",
            "… rest of the file …",
            "[... rest of the file ...]",
            "// rest of the code remains the same",
            "# Rest of your function here",
            "/* ... other methods ... */",
            "<!-- ... existing content ... -->",
            "// (existing code)",
            "// existing code here",
            "# keep the existing implementation",
            "// other functions remain unchanged",
            "// ... (rest of the tests)",
            "-- previous code unchanged",
            "{/* ... existing code ... */}",
            "// code omitted for brevity",
            "# same as before",
            "// Existing code...",
            "# remaining tests here...",
        ] {
            assert!(is_placeholder(line), "{line}");
        }
    }

    #[test]
    fn code_and_comments_are_no_placeholders() {
        for line in [
            "...",
            "    ...",
            "def f(): ...",
            "...rest,",
            "...other.fields,",
            "let [first, ...rest] = list;",
            "..Default::default()",
            "// The rest of the arguments are passed to the child process unchanged by us.",
            "# Wait for the remaining tasks...to finish",
            "// existing users keep their name",
            "// other fields",
            "print(\"... existing code ...\")",
            "// Loads the file, then parses it...",
            "* other",
            "// unchanged files are skipped",
            "for i in 0...3 {",
            "/// // ... some other code ...",
            "//! ...",
            "* ...",
            "// Unlock the mutex before sleeping...",
            "# Check the platform, which is the same each time...",
            "",
        ] {
            assert!(!is_placeholder(line), "{line}");
        }
    }

    #[test]
    fn the_projects_own_placeholders_may_stay() {
        let line = "    // ... existing code ...\n";
        assert_eq!(placeholder("a", line, line), Ok(()));
        assert_eq!(placeholder("README.md", "", line), Ok(()), "an example in prose");
        assert_eq!(placeholder("a", "", line).map_err(|refusal| refusal.code), Err(Code::Elision));
    }

    fn gates(syntax: &(dyn Fn(&str, &str) -> Option<Syntax> + Sync)) -> Gates<'_> {
        Gates { syntax, ..Gates::new(Planned::Any) }
    }

    #[test]
    fn syntax_may_not_get_worse() {
        let count = |path: &str, text: &str| {
            let first_line = text.lines().position(|line| line.contains('!')).map(|line| line + 1);
            path.ends_with(".rs").then(|| Syntax { errors: text.matches('!').count(), first_line })
        };
        let gates = gates(&count);
        assert_eq!(syntax("a.rs", Some("!!"), "!!", &gates), Ok(()));
        assert_eq!(syntax("a.rs", Some("!!"), "!", &gates), Ok(()));
        assert_eq!(syntax("a.txt", Some(""), "!", &gates), Ok(()));
        let refusal = syntax("a.rs", Some("!"), "ok\n!!\n", &gates).unwrap_err();
        assert_eq!(refusal.code, Code::MoreSyntaxErrors);
        assert!(refusal.message.contains("2 syntax") && refusal.message.contains("line 2"), "{refusal}");
        assert!(syntax("new.rs", None, "!", &gates).is_err());
    }

    #[test]
    fn large_deletions_need_a_plan() {
        let text = |lines: std::ops::Range<usize>| lines.map(|n| format!("{n}\n")).collect::<String>();
        let check =
            |before: usize, after| deletion("a", &text(0..before), &text(after), Deletion::Limited).is_ok();
        assert!(check(100, 0..70));
        assert!(!check(100, 0..69));
        assert!(check(20, 0..0));
        assert!(!check(30, 0..0));
        assert!(check(100, 200..300), "what is replaced is not lost");
        assert_eq!(deletion("a", &text(0..100), "", Deletion::Planned), Ok(()));
    }
}
