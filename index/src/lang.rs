//! Owns what a language is and which one a file is in. It must not read files.
//!
//! The languages themselves are the rows of `lang/table.rs`.

use std::sync::OnceLock;

use tree_sitter::{Parser, Query};

use crate::IndexError;
use crate::symbol::SymbolKind;

mod table;

use table::LANGUAGES;

/// How the structure of a language is found.
#[derive(Debug, Clone, Copy)]
pub enum Structure {
    /// A tree-sitter grammar and a query over it.
    Grammar { grammar: fn() -> tree_sitter::Language, query: &'static str },
    /// Markdown headings.
    Headings,
    /// Keys of YAML.
    Keys,
}

/// One row of the table.
#[derive(Debug)]
pub struct Language {
    /// Lower-case name, as stored and shown.
    pub name: &'static str,
    /// File name extensions, lower case, without the dot.
    pub extensions: &'static [&'static str],
    /// Whole file names, as they are written.
    pub file_names: &'static [&'static str],
    /// Programs that run it, as a `#!` line names them.
    pub interpreters: &'static [&'static str],
    pub structure: Structure,
    /// Node kinds that wrap a definition and belong to it, such as Python's decorators.
    pub wrappers: &'static [&'static str],
    /// How a line begins that belongs to the definition below it: comments and attributes.
    pub leads: &'static [&'static str],
    /// How a comment of several lines begins and ends.
    pub block_comment: Option<(&'static str, &'static str)>,
    /// Node kinds that end a signature where the grammar has no field `body`.
    pub bodies: &'static [&'static str],
    /// How attributes begin that stand before a definition and are no part of its signature.
    pub attributes: &'static [&'static str],
    compiled: OnceLock<Result<Compiled, String>>,
}

/// A query with the meaning of each of its captures.
#[derive(Debug)]
pub struct Compiled {
    pub query: Query,
    pub captures: Vec<Capture>,
}

/// What a capture name in a query file means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    Name,
    Definition(SymbolKind),
    Reference,
    Import,
    /// The name of what a definition belongs to but does not stand in, such as a receiver's type.
    Container,
    /// Where the signature of a definition ends that has no `body` of its own.
    Body,
    /// Only looked at by a predicate of its pattern.
    Condition,
}

/// Every language, in the order of the table.
pub fn all() -> &'static [Language] {
    &LANGUAGES
}

/// Each language with the version of its grammar's interface and the number of its node kinds.
pub fn grammars() -> Vec<String> {
    let describe = |language: &Language| match language.structure {
        Structure::Grammar { grammar, .. } => {
            let grammar = grammar();
            format!("{} {}.{}", language.name, grammar.abi_version(), grammar.node_kind_count())
        }
        Structure::Headings | Structure::Keys => language.name.to_owned(),
    };
    LANGUAGES.iter().map(describe).collect()
}

/// The language of a file by its name, or `None` where it is indexed as plain text. A `.h` counts
/// as C; [`for_file`] knows better.
pub fn for_path(path: &str) -> Option<&'static Language> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    LANGUAGES.iter().find(|language| language.file_names.contains(&name)).or_else(|| {
        let extension = extension?;
        LANGUAGES.iter().find(|language| language.extensions.contains(&extension.as_str()))
    })
}

/// The language of a file by its name and, where that leaves it open, by its text: a `.h` may be C,
/// C++ or Objective-C, and a script without extension says in its first line what runs it.
pub fn for_file(path: &str, source: &str) -> Option<&'static Language> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match for_path(path) {
        Some(language) if language.name == "c" && name.ends_with(".h") => header(source, language),
        None if !name.contains('.') => interpreter(source)
            .and_then(|program| LANGUAGES.iter().find(|language| language.interpreters.contains(&program))),
        known => known,
    }
}

/// Lines that no C header holds, by how they begin. A word is followed by white space or `<`.
const CPP_WORDS: [&str; 10] = [
    "class",
    "namespace",
    "template",
    "using",
    "public:",
    "private:",
    "protected:",
    "constexpr",
    "virtual",
    "explicit",
];

/// Objective-C has no grammar here, and its headers would only be errors in another's.
const OBJECTIVE_C_WORDS: [&str; 4] = ["@interface", "@protocol", "@class", "#import"];

fn header(source: &str, c: &'static Language) -> Option<&'static Language> {
    let begins = |line: &str, words: &[&str]| {
        let first = line.split([' ', '\t', '<']).next().unwrap_or_default();
        words.contains(&first)
    };
    for line in source.lines().map(str::trim) {
        if begins(line, &OBJECTIVE_C_WORDS) {
            return None;
        }
        if begins(line, &CPP_WORDS) {
            return by_name("cpp");
        }
    }
    Some(c)
}

/// The program of a `#!` line, without its directory and version: `python` of
/// `#!/usr/bin/env python3.12`.
fn interpreter(source: &str) -> Option<&str> {
    let line = source.strip_prefix("#!")?.lines().next()?;
    let program = |word: &'_ str| word.rsplit('/').next().unwrap_or(word).len();
    let mut words = line.split_whitespace().map(|word| &word[word.len() - program(word)..]);
    let named = match words.next()? {
        "env" => words.find(|word| !word.starts_with('-') && !word.contains('='))?,
        program => program,
    };
    Some(named.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'))
}

/// The language of this name.
pub fn by_name(name: &str) -> Option<&'static Language> {
    LANGUAGES.iter().find(|language| language.name == name)
}

impl Language {
    /// The compiled query, or `None` for a language without grammar.
    ///
    /// # Errors
    /// When the query file does not fit the grammar, which a test rules out for built-in languages.
    pub fn compiled(&self) -> Result<Option<&Compiled>, IndexError> {
        let Structure::Grammar { grammar, query } = self.structure else { return Ok(None) };
        let compiled = self.compiled.get_or_init(|| Compiled::new(&grammar(), query));
        compiled.as_ref().map(Some).map_err(|reason| IndexError::Data {
            name: format!("queries/{}.scm", self.name),
            reason: reason.clone(),
        })
    }
}

impl Compiled {
    fn new(grammar: &tree_sitter::Language, source: &str) -> Result<Compiled, String> {
        Parser::new().set_language(grammar).map_err(|error| error.to_string())?;
        let query = Query::new(grammar, source).map_err(|error| error.to_string())?;
        let captures = query.capture_names().iter().map(|name| meaning(name)).collect::<Result<_, _>>()?;
        Ok(Compiled { query, captures })
    }
}

fn meaning(capture: &str) -> Result<Capture, String> {
    match capture.split_once('.').unwrap_or((capture, "")) {
        ("name", "") => Ok(Capture::Name),
        ("reference", _) => Ok(Capture::Reference),
        ("import", "") => Ok(Capture::Import),
        ("container", "") => Ok(Capture::Container),
        ("body", "") => Ok(Capture::Body),
        (name, "") if name.starts_with('_') => Ok(Capture::Condition),
        ("definition", kind) => SymbolKind::by_name(kind)
            .map(Capture::Definition)
            .ok_or_else(|| format!("@definition.{kind} is not a kind of symbol")),
        _ => Err(format!("capture @{capture} has no meaning")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_fits_its_grammar() {
        for language in all() {
            language.compiled().unwrap();
        }
    }

    #[test]
    fn names_decide() {
        let name = |path| for_path(path).map(|language| language.name);
        assert_eq!(name("src/main.rs"), Some("rust"));
        assert_eq!(name("a.b/SETUP.PY"), Some("python"));
        assert_eq!(name("README.md"), Some("markdown"));
        assert_eq!(name("a.rs/Makefile"), None);
        assert_eq!(name("rs"), None);
        assert_eq!(name("gems/Rakefile"), Some("ruby"));
    }

    #[test]
    fn text_decides_where_the_name_does_not() {
        let name = |path, source| for_file(path, source).map(|language| language.name);
        assert_eq!(name("a.h", "#pragma once\nint f(struct a *class);\n"), Some("c"));
        assert_eq!(name("a.h", "#ifdef __cplusplus\nextern \"C\" {\n#endif\nvoid f(void);\n"), Some("c"));
        assert_eq!(name("a.h", "// class of its own\nnamespace a {\n}\n"), Some("cpp"));
        assert_eq!(name("a.h", "template<typename T>\nT f(T);\n"), Some("cpp"));
        assert_eq!(name("a.h", "@interface A : NSObject\n@end\n"), None);
        assert_eq!(name("bin/run", "#!/usr/bin/env -S FOO=1 python3.12 -u\n"), Some("python"));
        assert_eq!(name("bin/run", "#!/bin/sh\n"), Some("bash"));
        assert_eq!(name("bin/run", "#!\n"), None);
        assert_eq!(name("bin/run", "echo\n"), None);
        assert_eq!(name("notes.txt", "#!/bin/sh\n"), None);
    }

    #[test]
    fn a_capture_without_meaning_is_refused() {
        let error =
            Compiled::new(&tree_sitter_rust::LANGUAGE.into(), "(struct_item) @definition.thing").unwrap_err();
        assert!(error.contains("definition.thing"), "{error}");
    }
}
