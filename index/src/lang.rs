//! Owns the table of languages: file name to grammar and query. It must not read files.
//!
//! Adding a language is one grammar crate, one file in `queries/` and one row here.

use std::sync::OnceLock;

use tree_sitter::{Parser, Query};

use crate::IndexError;
use crate::symbol::SymbolKind;

/// How the structure of a language is found.
#[derive(Debug, Clone, Copy)]
pub enum Structure {
    /// A tree-sitter grammar and a query over it.
    Grammar { grammar: fn() -> tree_sitter::Language, query: &'static str },
    /// Markdown headings.
    Headings,
}

/// One row of the table.
#[derive(Debug)]
pub struct Language {
    /// Lower-case name, as stored and shown.
    pub name: &'static str,
    /// File name extensions, lower case, without the dot.
    pub extensions: &'static [&'static str],
    pub structure: Structure,
    /// Node kinds that wrap a definition and belong to it, such as Python's decorators.
    pub wrappers: &'static [&'static str],
    /// How a line begins that belongs to the definition below it: comments and attributes.
    pub leads: &'static [&'static str],
    compiled: OnceLock<Result<Compiled, String>>,
}

/// A query with the meaning of each of its captures.
#[derive(Debug)]
pub struct Compiled {
    pub grammar: tree_sitter::Language,
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
}

const SLASHES: &[&str] = &["//", "/*", "*", "#[", "@"];

macro_rules! grammar {
    ($grammar:expr, $($file:literal),+) => {
        Structure::Grammar {
            grammar: || $grammar.into(),
            query: concat!($(include_str!(concat!("../queries/", $file))),+),
        }
    };
}

static LANGUAGES: [Language; 8] = [
    Language {
        name: "rust",
        extensions: &["rs"],
        structure: grammar!(tree_sitter_rust::LANGUAGE, "rust.scm"),
        wrappers: &[],
        leads: SLASHES,
        compiled: OnceLock::new(),
    },
    Language {
        name: "python",
        extensions: &["py", "pyi"],
        structure: grammar!(tree_sitter_python::LANGUAGE, "python.scm"),
        wrappers: &["decorated_definition"],
        leads: &["#", "@"],
        compiled: OnceLock::new(),
    },
    Language {
        name: "go",
        extensions: &["go"],
        structure: grammar!(tree_sitter_go::LANGUAGE, "go.scm"),
        wrappers: &[],
        leads: SLASHES,
        compiled: OnceLock::new(),
    },
    Language {
        name: "java",
        extensions: &["java"],
        structure: grammar!(tree_sitter_java::LANGUAGE, "java.scm"),
        wrappers: &[],
        leads: SLASHES,
        compiled: OnceLock::new(),
    },
    Language {
        name: "javascript",
        extensions: &["js", "jsx", "mjs", "cjs"],
        structure: grammar!(tree_sitter_javascript::LANGUAGE, "javascript.scm"),
        wrappers: &["export_statement"],
        leads: SLASHES,
        compiled: OnceLock::new(),
    },
    Language {
        name: "typescript",
        extensions: &["ts", "mts", "cts"],
        structure: grammar!(tree_sitter_typescript::LANGUAGE_TYPESCRIPT, "javascript.scm", "typescript.scm"),
        wrappers: &["export_statement"],
        leads: SLASHES,
        compiled: OnceLock::new(),
    },
    Language {
        name: "tsx",
        extensions: &["tsx"],
        structure: grammar!(tree_sitter_typescript::LANGUAGE_TSX, "javascript.scm", "typescript.scm"),
        wrappers: &["export_statement"],
        leads: SLASHES,
        compiled: OnceLock::new(),
    },
    Language {
        name: "markdown",
        extensions: &["md", "markdown", "mdown"],
        structure: Structure::Headings,
        wrappers: &[],
        leads: &[],
        compiled: OnceLock::new(),
    },
];

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
        Structure::Headings => language.name.to_owned(),
    };
    LANGUAGES.iter().map(describe).collect()
}

/// The language of a file by its name, or `None` where it is indexed as plain text.
pub fn for_path(path: &str) -> Option<&'static Language> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (_, extension) = name.rsplit_once('.')?;
    let extension = extension.to_ascii_lowercase();
    LANGUAGES.iter().find(|language| language.extensions.contains(&extension.as_str()))
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
        let compiled = self.compiled.get_or_init(|| Compiled::new(grammar(), query));
        compiled.as_ref().map(Some).map_err(|reason| IndexError::Data {
            name: format!("queries/{}.scm", self.name),
            reason: reason.clone(),
        })
    }
}

impl Compiled {
    fn new(grammar: tree_sitter::Language, source: &str) -> Result<Compiled, String> {
        Parser::new().set_language(&grammar).map_err(|error| error.to_string())?;
        let query = Query::new(&grammar, source).map_err(|error| error.to_string())?;
        let captures = query.capture_names().iter().map(|name| meaning(name)).collect::<Result<_, _>>()?;
        Ok(Compiled { grammar, query, captures })
    }
}

fn meaning(capture: &str) -> Result<Capture, String> {
    match capture.split_once('.').unwrap_or((capture, "")) {
        ("name", "") => Ok(Capture::Name),
        ("reference", _) => Ok(Capture::Reference),
        ("import", "") => Ok(Capture::Import),
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
    }

    #[test]
    fn a_capture_without_meaning_is_refused() {
        let error =
            Compiled::new(tree_sitter_rust::LANGUAGE.into(), "(struct_item) @definition.thing").unwrap_err();
        assert!(error.contains("definition.thing"), "{error}");
    }
}
