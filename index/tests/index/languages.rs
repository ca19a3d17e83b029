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
    let errors = |text| syntax_errors(rust, text).unwrap().unwrap();
    assert_eq!(errors("fn a() {}"), SyntaxErrors::default());
    assert_eq!(errors("\nfn a( {}").first_line, Some(2));
    assert_eq!(syntax_errors(lang::for_path("a.md").unwrap(), "# a").unwrap(), None);
}

#[test]
fn hostile_sources_end_soon() {
    for path in ["a.rs", "a.py", "a.md", "a.txt"] {
        for text in [
            "(".repeat(100_000),
            "{[(<".repeat(50_000),
            "# a\n".repeat(60_000),
            "\u{0}\u{feff}é".repeat(9_000),
        ] {
            let found = extract(lang::for_path(path), &text).unwrap();
            let covered: u32 = found.chunks.iter().map(|chunk| chunk.end_byte - chunk.start_byte).sum();
            assert_eq!(covered as usize, text.len(), "{path}");
        }
    }
}

#[test]
fn deep_nesting_does_not_exhaust_the_stack() {
    let depth = 20_000;
    let text = format!("fn a() {{ {}{} }}", "if x { ".repeat(depth), "}".repeat(depth));
    extract(lang::for_path("a.rs"), &text).unwrap();
    let classes: String = (0..500).map(|depth| format!("{}class C{depth}:\n", " ".repeat(depth))).collect();
    extract(lang::for_path("a.py"), &classes).unwrap();
}
