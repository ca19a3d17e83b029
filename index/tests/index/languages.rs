//! What is found in each language, as a person would read it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use countersign_index::extract::extract;
use countersign_index::{SyntaxErrors, lang, syntax_errors};
use insta::assert_snapshot;

use crate::support::indexed;

/// Where the sources and the outlines of a language lie.
fn folder(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/languages").join(language)
}

/// What is found in a text, one finding a line.
fn outline(path: &str, source: &str) -> String {
    let language = lang::for_file(path, source);
    let found = extract(language, source).unwrap();
    let mut out = format!("language: {}\n", language.map_or("none", |language| language.name));
    if found.syntax_errors > 0 {
        out += &format!("syntax errors: {}\n", found.syntax_errors);
    }
    for symbol in &found.symbols {
        let container = symbol.container.as_deref().unwrap_or("-");
        let (kind, name) = (symbol.kind.name(), &symbol.name);
        let (start, end, doc) = (symbol.start_line, symbol.end_line, &symbol.doc);
        out += &format!("{start}-{end} {kind} {name} in {container} | {} | {doc}\n", symbol.signature);
    }
    for import in &found.imports {
        out += &format!("{} import {}\n", import.line, import.target);
    }
    let mut uses: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for found in &found.references {
        uses.entry(&found.name).or_default().push(found.line);
    }
    for (name, lines) in uses {
        out += &format!("use {name} {lines:?}\n");
    }
    out
}

/// Every language has a folder of sources; beside each lies its outline, which a person has read.
#[test]
fn outlines() {
    for language in lang::all() {
        let folder = folder(language.name);
        let entries = std::fs::read_dir(&folder)
            .unwrap_or_else(|_| panic!("{} has no sources in tests/languages", language.name));
        let mut sources: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        sources.retain(|path| !matches!(path.extension().and_then(OsStr::to_str), Some("snap" | "new")));
        assert!(!sources.is_empty(), "{} has no sources in tests/languages", language.name);
        sources.sort();
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(&folder);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| {
            for path in sources {
                let name = path.file_name().unwrap().to_str().unwrap();
                let source = std::fs::read_to_string(&path).unwrap();
                let found = lang::for_file(name, &source).map(|language| language.name);
                assert_eq!(found, Some(language.name), "{name}");
                assert_snapshot!(name, outline(name, &source));
            }
        });
    }
}

#[test]
fn imports_are_as_written() {
    let (_tree, index) = indexed("python");
    let imports = index.imports("quill/document.py").unwrap();
    let targets: Vec<_> = imports.iter().map(|import| import.target.as_str()).collect();
    assert_eq!(targets, ["dataclasses", "collections.abc", "typing"]);
}

#[test]
fn imports_name_the_files_that_they_mean() {
    let (_tree, index) = indexed("python");
    let imports = index.imports("quill/writers/html.py").unwrap();
    let seen: Vec<_> = imports.iter().map(|import| format!("{} {:?}", import.target, import.files)).collect();
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn references_name_path_and_line() {
    let (_tree, index) = indexed("rust");
    let references = index.references("parse_line").unwrap();
    let seen: Vec<_> =
        references.iter().map(|found| format!("{}:{} {}", found.path, found.line, found.text)).collect();
    assert_eq!(seen, ["src/parse.rs:50 table.rows.push(self.parse_line(line, number + 1)?);"]);
    assert!(index.references("no such name").unwrap().is_empty());
}

#[test]
fn syntax_errors_are_counted_in_unsaved_text() {
    let rust = lang::for_path("a.rs").unwrap();
    let errors = |text| syntax_errors(rust, text).unwrap();
    assert_eq!(errors("fn a() {}"), SyntaxErrors::default());
    assert_eq!(errors("\nfn a( {}").first_line, Some(2));
    assert_eq!(syntax_errors(lang::for_path("a.md").unwrap(), "# a"), None);
}

/// Every language, with a name of its files.
fn languages() -> impl Iterator<Item = (&'static lang::Language, String)> {
    lang::all().iter().map(|language| (language, format!("a.{}", language.extensions[0])))
}

fn check_hostile(language: &lang::Language, text: &str) {
    let found = extract(Some(language), text).unwrap();
    let covered: u32 = found.chunks.iter().map(|chunk| chunk.end_byte - chunk.start_byte).sum();
    assert_eq!(covered as usize, text.len(), "{}", language.name);
}

/// A parser that stops the process, or a query that takes the square of the length, fails this test
/// or makes it run for hours. Each text broke a grammar before it was guarded or bounded.
#[test]
fn hostile_sources_end_soon() {
    for (language, _) in languages() {
        for text in [
            "(".repeat(1 << 20),
            "{[(<".repeat(1 << 18),
            "([{}])\n".repeat(500),
            "# a\n".repeat(1_000),
            "}".repeat(3_000),
            "\u{0}\u{feff}é".repeat(1_000),
            "\u{feff}é".repeat(1_000),
            "a.".repeat(1_500),
            "a::".repeat(1_000),
            "key: |\n".repeat(400),
            "<<<<<<< a\n".repeat(600),
            "</a>".repeat(600),
            format!("<<{}\n", "A".repeat(300)),
            "- ".repeat(1_000),
        ] {
            check_hostile(language, &text);
        }
    }
}

/// Blocks by indentation, one in another: scanners keep a stack of them in a small buffer.
#[test]
fn deep_indentation_writes_behind_no_buffer() {
    for (language, _) in languages() {
        // Python's has room for 510, the others that count for less.
        let depth = if language.name == "python" { 700 } else { 280 };
        for line in ["if a:", "- a:"] {
            let deep: String = (0..depth).map(|depth| format!("{}{line}\n", " ".repeat(depth))).collect();
            check_hostile(language, &format!("{deep}{}x = f\"{{a}}\"\n", " ".repeat(depth)));
        }
    }
}

/// What is left of real sources when every few characters one is lost.
#[test]
fn broken_sources_are_read_as_far_as_possible() {
    for (language, path) in languages() {
        for entry in std::fs::read_dir(folder(language.name)).unwrap() {
            let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for step in [2, 7, 29] {
                let broken: String = source
                    .chars()
                    .enumerate()
                    .filter(|(at, _)| at % step != step - 1)
                    .map(|(_, c)| c)
                    .collect();
                check_hostile(language, &broken);
                let half: String = source.chars().take(source.chars().count() / step).collect();
                check_hostile(language, &half);
            }
            // The same every time, with a parser that has just read something else.
            let first = extract(Some(language), &source).unwrap();
            check_hostile(language, &source.replace(['}', ')'], "{"));
            assert_eq!(extract(Some(language), &source).unwrap(), first, "{path}");
        }
    }
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let depth = 20_000;
    let text = format!("fn a() {{ {}{} }}", "if x { ".repeat(depth), "}".repeat(depth));
    extract(lang::for_path("a.rs"), &text).unwrap();
    for (language, _) in languages() {
        for (open, close) in [("(", ")"), ("{", "}"), ("[", "]"), ("<a>", "</a>"), ("begin\n", "end\n")] {
            check_hostile(language, &format!("a = {}{}", open.repeat(1_500), close.repeat(1_500)));
        }
    }
}
