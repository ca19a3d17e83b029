//! What is found in each language, as a person would read it.

use countersign_index::extract::extract;
use countersign_index::{SyntaxErrors, lang, syntax_errors};
use insta::assert_snapshot;

use crate::support::indexed;

fn outline(fixture: &str, path: &str) -> String {
    let (_tree, index) = indexed(fixture);
    let symbols = index.outline(path).unwrap();
    let line = |symbol: &countersign_index::Symbol| {
        let container = symbol.container.as_deref().unwrap_or("-");
        let (kind, name) = (symbol.kind.name(), &symbol.name);
        let (start, end, doc) = (symbol.start_line, symbol.end_line, &symbol.doc);
        format!("{start}-{end} {kind} {name} in {container} | {} | {doc}", symbol.signature)
    };
    symbols.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn rust_outline() {
    assert_snapshot!(outline("rust", "src/parse.rs"));
    assert_snapshot!(outline("rust", "src/lib.rs"));
}

#[test]
fn python_outline() {
    assert_snapshot!(outline("python", "quill/document.py"));
    assert_snapshot!(outline("python", "quill/writers/html.py"));
}

#[test]
fn markdown_outline() {
    assert_snapshot!(outline("rust", "README.md"));
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
