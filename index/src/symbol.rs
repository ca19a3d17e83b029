//! Owns the plain data that extraction yields: symbols, references, imports, chunks.
//! It must not know how they are found or stored.

use serde::{Deserialize, Serialize};

/// What a symbol is. Of two kinds that queries find for one definition, the first here counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymbolKind {
    Function,
    Method,
    Enum,
    Class,
    Struct,
    Trait,
    Interface,
    Implementation,
    Module,
    Macro,
    Type,
    Constant,
    Field,
    Heading,
    /// A key of a configuration or data file.
    Key,
    /// The selectors of a style rule, or the name of its animation.
    Selector,
    /// An element of markup with an id.
    Element,
    /// A table or view of a database.
    Table,
}

const KINDS: [(SymbolKind, &str); 18] = [
    (SymbolKind::Function, "function"),
    (SymbolKind::Method, "method"),
    (SymbolKind::Enum, "enum"),
    (SymbolKind::Class, "class"),
    (SymbolKind::Struct, "struct"),
    (SymbolKind::Trait, "trait"),
    (SymbolKind::Interface, "interface"),
    (SymbolKind::Implementation, "implementation"),
    (SymbolKind::Module, "module"),
    (SymbolKind::Macro, "macro"),
    (SymbolKind::Type, "type"),
    (SymbolKind::Constant, "constant"),
    (SymbolKind::Field, "field"),
    (SymbolKind::Heading, "heading"),
    (SymbolKind::Key, "key"),
    (SymbolKind::Selector, "selector"),
    (SymbolKind::Element, "element"),
    (SymbolKind::Table, "table"),
];

impl SymbolKind {
    /// The name used in query files, in the store and in output.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self).map_or("symbol", |(_, name)| name)
    }

    /// The kind of this name.
    pub fn by_name(name: &str) -> Option<SymbolKind> {
        KINDS.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    /// Whether functions inside it are its methods.
    pub fn has_methods(self) -> bool {
        use SymbolKind::*;
        matches!(self, Class | Struct | Enum | Trait | Interface | Implementation)
    }

    /// Whether a chunk begins where such a symbol does. Constants, keys and the like are too small.
    pub fn begins_chunk(self) -> bool {
        use SymbolKind::*;
        !matches!(self, Constant | Field | Type | Key | Selector | Element)
    }
}

/// Something a file defines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    pub name: String,
    pub kind: SymbolKind,
    /// Name of the symbol around it.
    pub container: Option<String>,
    /// The declaration up to its body, on one line, at most 200 characters.
    pub signature: String,
    /// First and last line, 1-based, inclusive; attributes count, comments above do not.
    pub start_line: u32,
    pub end_line: u32,
    /// Half-open range of bytes in the decoded text.
    pub start_byte: u32,
    pub end_byte: u32,
    /// First paragraph of its documentation, on one line, at most 200 characters; may be empty.
    pub doc: String,
}

/// A use of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Use {
    pub name: String,
    /// 1-based.
    pub line: u32,
}

/// Something a file asks for from elsewhere, as written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Import {
    pub target: String,
    /// 1-based.
    pub line: u32,
}

/// A run of whole lines. The chunks of a file cover it without gap or overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// First and last line, 1-based, inclusive.
    pub start_line: u32,
    pub end_line: u32,
    /// Half-open range of bytes in the decoded text.
    pub start_byte: u32,
    pub end_byte: u32,
}

/// Everything that is known about one text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// By place, outer before inner.
    pub symbols: Vec<Symbol>,
    /// By name, then line; a name counts once a line.
    pub references: Vec<Use>,
    /// By place.
    pub imports: Vec<Import>,
    pub chunks: Vec<Chunk>,
    pub lines: u32,
    /// Places where the parser had to recover; 0 for text without grammar.
    pub syntax_errors: u32,
    /// The parser gave up on this text, and it was chunked as plain text.
    pub gave_up: bool,
}
