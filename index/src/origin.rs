//! Owns the question whether a file is written here by hand: or generated, copied from elsewhere,
//! squeezed, or kept by a package manager. Pure. What the names and headers are is data
//! (`origins.toml`).

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;

/// Lines at the beginning of a file in which a header is looked for.
const HEADER_LINES: usize = 40;
/// Bytes of a line that are read as header.
const HEADER_LINE: usize = 400;
/// A line longer than this many bytes was not written by hand,
const LONG_LINE: usize = 500;
/// and a text of at least this many bytes, mostly in such lines, is not read by people either.
const SMALLEST_MINIFIED: usize = 2_000;

/// Where a file comes from that is not written here by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub kind: OriginKind,
    /// What tells, for people: `its name ends in .pb.go`.
    pub reason: String,
}

/// The ways in which files come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginKind {
    /// Written by a program.
    Generated,
    /// Copied from another project.
    Vendored,
    /// Written for machines, in very long lines.
    Minified,
    /// Exact versions, kept by a package manager.
    Lock,
}

impl Origin {
    /// The form in which it is stored.
    pub(crate) fn to_stored(&self) -> String {
        format!("{}: {}", self.kind.name(), self.reason)
    }

    /// The opposite of [`Origin::to_stored`].
    pub(crate) fn stored(text: &str) -> Option<Origin> {
        let (name, reason) = text.split_once(": ")?;
        let kinds = [OriginKind::Generated, OriginKind::Vendored, OriginKind::Minified, OriginKind::Lock];
        let kind = kinds.into_iter().find(|kind| kind.name() == name)?;
        Some(Origin { kind, reason: reason.to_owned() })
    }
}

impl OriginKind {
    /// For people and as it is stored.
    pub fn name(self) -> &'static str {
        match self {
            OriginKind::Generated => "generated",
            OriginKind::Vendored => "vendored",
            OriginKind::Minified => "minified",
            OriginKind::Lock => "lock file",
        }
    }

    /// Whether nobody looks for the definitions in such a file, so that it is not parsed.
    pub fn is_plain(self) -> bool {
        matches!(self, OriginKind::Minified | OriginKind::Lock)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    vendored_directories: Vec<String>,
    lock_files: Vec<String>,
    generated_names: Vec<String>,
    minified_names: Vec<String>,
    header_marks: Vec<String>,
    header_beginnings: Vec<String>,
    header_warnings: Vec<String>,
}

/// A test reads the file, so that this cannot fail in a program that was built.
#[allow(clippy::expect_used)]
static DATA: LazyLock<Data> =
    LazyLock::new(|| toml::from_str(include_str!("../origins.toml")).expect("origins.toml is a valid table"));

/// What the text says; what the name says is found by [`of_path`].
pub fn of_text(path: &str, source: &str) -> Option<Origin> {
    if let Some(line) = header(source) {
        let reason = format!("line {line} says so");
        return Some(Origin { kind: OriginKind::Generated, reason });
    }
    let is_prose = crate::lang::for_path(path).is_none_or(|language| language.name == "markdown");
    let long: usize = source.lines().map(str::len).filter(|&length| length > LONG_LINE).sum();
    if !is_prose && source.len() >= SMALLEST_MINIFIED && long * 2 > source.len() {
        let longest = source.lines().map(str::len).max().unwrap_or(0);
        let reason = format!("most of it stands in lines of up to {longest} bytes");
        return Some(Origin { kind: OriginKind::Minified, reason });
    }
    None
}

/// Where a file comes from: by what `.gitattributes` say, by its name, by what its text said.
pub fn of_file(path: &str, text: Option<Origin>, attributes: &Attributes) -> Option<Origin> {
    let said = |name: &str| format!("{name} in .gitattributes");
    let denied = |kind: OriginKind| match kind {
        OriginKind::Vendored => attributes.vendored(path) == Some(false),
        OriginKind::Generated | OriginKind::Minified | OriginKind::Lock => {
            attributes.generated(path) == Some(false)
        }
    };
    let found =
        of_path(path).filter(|origin| !denied(origin.kind)).or(text.filter(|origin| !denied(origin.kind)));
    found.or_else(|| {
        if attributes.generated(path) == Some(true) {
            Some(Origin { kind: OriginKind::Generated, reason: said("linguist-generated") })
        } else if attributes.vendored(path) == Some(true) {
            Some(Origin { kind: OriginKind::Vendored, reason: said("linguist-vendored") })
        } else {
            None
        }
    })
}

/// What directories and file name say.
pub fn of_path(path: &str) -> Option<Origin> {
    let lower = path.to_ascii_lowercase();
    let (directories, name) = lower.rsplit_once('/').unwrap_or(("", &lower));
    let found = |kind, reason| Some(Origin { kind, reason });
    if DATA.lock_files.iter().any(|known| known == name) {
        return found(OriginKind::Lock, "a package manager keeps it".to_owned());
    }
    let ending = |endings: &[String]| endings.iter().find(|ending| name.ends_with(*ending)).cloned();
    if let Some(ending) = ending(&DATA.minified_names) {
        return found(OriginKind::Minified, format!("its name ends in {ending}"));
    }
    if let Some(ending) = ending(&DATA.generated_names) {
        return found(OriginKind::Generated, format!("its name ends in {ending}"));
    }
    let vendored = directories
        .split('/')
        .find(|directory| DATA.vendored_directories.iter().any(|known| known == directory));
    vendored.and_then(|directory| found(OriginKind::Vendored, format!("it lies in {directory}/")))
}

/// The line, 1-based, of a comment that says that the file is generated.
fn header(source: &str) -> Option<usize> {
    let lines: Vec<Option<String>> = source.lines().take(HEADER_LINES).map(comment).collect();
    let has = |line: &Option<String>, phrases: &[String]| {
        line.as_ref().is_some_and(|line| phrases.iter().any(|phrase| line.contains(phrase)))
    };
    let says_generated = |at: usize| {
        lines.get(at).is_some_and(|line| line.as_ref().is_some_and(|line| line.contains("generated")))
    };
    for (at, line) in lines.iter().enumerate() {
        let begins = line
            .as_ref()
            .is_some_and(|line| DATA.header_beginnings.iter().any(|phrase| line.starts_with(phrase)));
        let is_near = says_generated(at) || says_generated(at + 1) || at > 0 && says_generated(at - 1);
        if begins || has(line, &DATA.header_marks) || is_near && has(line, &DATA.header_warnings) {
            return Some(at + 1);
        }
    }
    None
}

/// A line of a comment in lower case, without the marks before it. Whether a line belongs to a
/// comment is guessed by how it begins, in any language.
fn comment(line: &str) -> Option<String> {
    const MARKS: [&str; 11] = ["//", "/*", "*", "#", "--", ";", "<!--", "%", "\"\"\"", "{-", "(*"];
    let line = line.trim().trim_start_matches('\u{feff}');
    let mark = MARKS.iter().find(|mark| line.starts_with(**mark))?;
    let end = (0..=line.len().min(HEADER_LINE)).rev().find(|&at| line.is_char_boundary(at))?;
    let text = line.get(mark.len()..end)?.trim_start_matches(['/', '*', '#', '-', ';', '!', ' ', '\t']);
    Some(text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_path(path: &str) -> Option<OriginKind> {
        of_path(path).map(|origin| origin.kind)
    }

    fn by_text(path: &str, source: &str) -> Option<OriginKind> {
        of_text(path, source).map(|origin| origin.kind)
    }

    #[test]
    fn names_tell() {
        assert_eq!(by_path("web/node_modules/left-pad/index.js"), Some(OriginKind::Vendored));
        assert_eq!(by_path("Third_Party/zlib/inflate.c"), Some(OriginKind::Vendored));
        assert_eq!(by_path("src/vendor.rs"), None);
        assert_eq!(by_path("src/Cargo.lock"), Some(OriginKind::Lock));
        assert_eq!(by_path("api/user.pb.go"), Some(OriginKind::Generated));
        assert_eq!(by_path("js/jquery.min.js"), Some(OriginKind::Minified));
        assert_eq!(by_path("src/admin.js"), None);
        assert_eq!(by_path(""), None);
    }

    #[test]
    fn headers_tell() {
        let generated = Some(OriginKind::Generated);
        assert_eq!(by_text("a.go", "// Code generated by stringer. DO NOT EDIT.\n\npackage a\n"), generated);
        assert_eq!(by_text("a.rs", "// @generated by protoc\n"), generated);
        assert_eq!(by_text("a.cs", "//----\n// <auto-generated>\n//     by a tool\n"), generated);
        assert_eq!(
            by_text("a.py", "# -*- coding: utf-8 -*-\n# Autogenerated by Thrift\n#\n# DO NOT EDIT\n"),
            generated
        );
        assert_eq!(by_text("a.c", "/*\n * This file was generated by lex.\n */\n"), generated);
        assert_eq!(by_text("a.html", "<!-- generated, changes will be lost -->\n"), generated);
        assert_eq!(
            by_text("a.c", "/* Made by bison.\n * It was generated from a.y;\n * do not modify. */\n"),
            generated
        );
    }

    #[test]
    fn what_only_speaks_of_generating_does_not() {
        assert_eq!(by_text("a.rs", "//! Reads generated files.\n"), None);
        assert_eq!(by_text("a.py", "MARK = '@generated'\nWARNING = 'generated: DO NOT EDIT'\n"), None);
        assert_eq!(by_text("a.go", "// Names that users do not edit.\n\n\n// Ids are generated.\n"), None);
        let late = format!("{}// @generated\n", "fn a() {}\n".repeat(HEADER_LINES));
        assert_eq!(by_text("a.rs", &late), None);
    }

    #[test]
    fn long_lines_tell() {
        assert_eq!(by_text("a.js", &"function a(){}".repeat(500)), Some(OriginKind::Minified));
        assert_eq!(by_text("a.md", &"a long paragraph ".repeat(500)), None);
        assert_eq!(by_text("a.txt", &"data ".repeat(5_000)), None);
        let one_long = format!("{}var data = '{}';\n", "function a() {}\n".repeat(200), "x".repeat(2_000));
        assert_eq!(by_text("a.js", &one_long), None);
        assert_eq!(by_text("a.js", "a()"), None);
    }
}
