//! Owns what the leaves of a syntax tree mean to a reader: keyword, text, comment. By the names that
//! grammars give their nodes, which agree from language to language, so that none needs a query of its
//! own. It must not know colours.

use std::ops::Range;

use tree_sitter::{Node, TreeCursor};

use crate::lang;
use crate::parse::parse;

/// What a piece of source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    Keyword,
    /// Text in quotes, with its quotes; a character too.
    Text,
    Comment,
    Number,
    /// `true`, `None`, `nil` and their like.
    Constant,
    Type,
}

/// A piece of source that is worth telling apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Bytes of the source, on boundaries of characters.
    pub range: Range<usize>,
    pub kind: TokenKind,
}

/// The tokens of `source` in its order, none overlapping another. It need not be a whole file: a parser
/// makes what it can of a part. Nothing for a file without a grammar, or when the parser gave up.
///
/// ```
/// use countersign_index::{TokenKind, highlight};
/// let tokens = highlight("a.rs", "let a = 1;");
/// assert_eq!(tokens[0].range, 0..3);
/// assert_eq!(tokens[0].kind, TokenKind::Keyword);
/// ```
pub fn highlight(path: &str, source: &str) -> Vec<Token> {
    let Some(parsed) = lang::for_file(path, source).and_then(|language| parse(language, source)) else {
        return Vec::new();
    };
    let mut tokens = Vec::new();
    let mut cursor = parsed.tree.walk();
    loop {
        let node = cursor.node();
        let found = kind(&node, source);
        if let Some(kind) = found {
            push(&mut tokens, node.byte_range(), kind, source);
        }
        // A text in quotes may hold code (`f"{a}"`), which is left in its colour: what stands in quotes
        // reads as one.
        if found.is_none() && cursor.goto_first_child() {
            continue;
        }
        if !next(&mut cursor) {
            return tokens;
        }
    }
}

/// The next node that is not below this one.
fn next(cursor: &mut TreeCursor<'_>) -> bool {
    while !cursor.goto_next_sibling() {
        if !cursor.goto_parent() {
            return false;
        }
    }
    true
}

fn push(tokens: &mut Vec<Token>, range: Range<usize>, kind: TokenKind, source: &str) {
    // Grammars end a line comment behind the line in some languages.
    let Some(text) = source.get(range.clone()) else { return };
    let range = range.start..range.start + text.trim_end_matches(['\r', '\n']).len();
    if !range.is_empty() && tokens.last().is_none_or(|last| last.range.end <= range.start) {
        tokens.push(Token { range, kind });
    }
}

fn kind(node: &Node<'_>, source: &str) -> Option<TokenKind> {
    let name = node.kind();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if !node.is_named() {
        let text = source.get(node.byte_range())?;
        let is_word = text.len() > 1 && text.chars().all(|c| c.is_ascii_alphabetic() || c == '_' || c == '!');
        // `fn`, but not the macro's name before a `!`, which grammars call an identifier.
        return (is_word && text.starts_with(|c: char| c.is_ascii_alphabetic()))
            .then_some(TokenKind::Keyword);
    }
    if has(&["comment"]) {
        return Some(TokenKind::Comment);
    }
    if has(&["type_identifier", "primitive_type", "predefined_type", "builtin_type", "integral_type"]) {
        return Some(TokenKind::Type);
    }
    let is_leaf = node.child_count() == 0;
    let in_quotes = has(&["string", "char_literal", "character_literal", "heredoc_body", "rune_literal"]);
    // Not a node that only says where such a text may stand.
    if in_quotes && (is_leaf || is_quoted(node, source)) || name == "literal" && is_quoted(node, source) {
        return Some(TokenKind::Text);
    }
    if !is_leaf && !has(&["literal", "number", "boolean"]) {
        return None;
    }
    let is_number = has(&["number", "integer", "float", "int_literal", "decimal"]);
    let first = source.get(node.byte_range())?.chars().next()?;
    if is_number && (first.is_ascii_digit() || first == '.' || first == '-') {
        return Some(TokenKind::Number);
    }
    if !is_leaf && !has(&["boolean"]) {
        return None;
    }
    match name {
        "true" | "false" | "none" | "null" | "nil" | "None" | "self" | "this" | "undefined" => {
            Some(TokenKind::Constant)
        }
        _ if has(&["boolean", "bool_literal", "null_literal"]) => Some(TokenKind::Constant),
        // Words that a grammar names because they stand for themselves, such as Rust's `mut`.
        _ if has(&["_specifier", "keyword", "modifier"]) || name == "crate" || name == "super" => {
            Some(TokenKind::Keyword)
        }
        _ => None,
    }
}

/// Whether a node begins with a quote, after a prefix of letters, or is a text without quotes of its own.
fn is_quoted(node: &Node<'_>, source: &str) -> bool {
    let text = source.get(node.byte_range()).unwrap_or_default();
    let prefix = |c: char| c.is_ascii_alphabetic() || matches!(c, '#' | '$' | '@' | '%');
    text.trim_start_matches(prefix).starts_with(['"', '\'', '`', '[', '|', '\\', '<'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, source: &str, expected: &[(&str, TokenKind)]) {
        let tokens = highlight(path, source);
        let found: Vec<_> = tokens.iter().map(|token| (&source[token.range.clone()], token.kind)).collect();
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn languages_agree_on_what_is_what() {
        use TokenKind::{Comment, Constant, Keyword, Number, Text, Type};
        let rust = "// c\nfn f(a: u8) -> String {\n    let b = \"x\\n\";\n    g!(a, 'c', 1.5, true)\n}\n";
        check(
            "a.rs",
            rust,
            &[
                ("// c", Comment),
                ("fn", Keyword),
                ("u8", Type),
                ("String", Type),
                ("let", Keyword),
                ("\"x\\n\"", Text),
                ("'c'", Text),
                ("1.5", Number),
                ("true", Constant),
            ],
        );
        check(
            "a.py",
            "    # c\n    if x is None:\n        return f\"a{x}\", 2\n",
            &[
                ("# c", Comment),
                ("if", Keyword),
                ("is", Keyword),
                ("None", Constant),
                ("return", Keyword),
                ("f\"a{x}\"", Text),
                ("2", Number),
            ],
        );
        check(
            "a.ts",
            "const a: string = `b${c}`; // d\n",
            &[("const", Keyword), ("string", Type), ("`b${c}`", Text), ("// d", Comment)],
        );
        check(
            "a.go",
            "package a\nvar b = \"c\" /* d */\n",
            &[("package", Keyword), ("var", Keyword), ("\"c\"", Text), ("/* d */", Comment)],
        );
        check("a.toml", "# c\na = \"b\"\n", &[("# c", Comment), ("\"b\"", Text)]);
        check("a.json", "{\"a\": [1, null]}", &[("\"a\"", Text), ("1", Number), ("null", Constant)]);
        check(
            "a.sql",
            "SELECT a FROM b WHERE c = 'd'; -- e\n",
            &[("SELECT", Keyword), ("FROM", Keyword), ("WHERE", Keyword), ("'d'", Text), ("-- e", Comment)],
        );
        check("a.txt", "if \"a\"", &[]);
    }

    #[test]
    fn tokens_are_in_order_and_on_characters_in_every_language() {
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/languages");
        let mut seen = 0;
        let mut folders = vec![fixtures];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let Ok(source) = std::fs::read_to_string(entry.path()) else { continue };
                let path = entry.file_name().into_string().unwrap();
                let tokens = highlight(&path, &source);
                seen += usize::from(!tokens.is_empty());
                assert!(tokens.is_sorted_by(|a, b| a.range.end <= b.range.start), "{path}");
                assert!(tokens.iter().all(|token| source.get(token.range.clone()).is_some()), "{path}");
            }
        }
        assert!(seen > 20, "{seen}");
    }
}
