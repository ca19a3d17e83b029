//! Owns the call of parsers, bounded by counting: whatever the text, the work is at most in
//! proportion to its length, and the result does not depend on the machine. It must not know what
//! is looked for in a tree.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;

use tree_sitter::{ParseOptions, Parser, Tree};

use crate::guard;
use crate::lang::{Language, Structure};

/// The parser is given the text in pieces of this many bytes, so that it can be seen how often it
/// reads the same text again: an unclosed raw string makes it read to the end and start over.
const PIECE: usize = 4096;
/// Pieces the parser may ask for: so many, and so many times the text.
const PIECES: usize = 4_000;
const REREADS: usize = 32;
/// Hundreds of steps the parser may take: so many, and so many for each piece of the text. Source
/// takes 20 to 70 for a piece; text that can be read in many ways takes any number.
const STEPS: usize = 2_000;
const STEPS_A_PIECE: usize = 250;
/// Hundreds of steps with which the parser may look for a way out of an error when it sees none. Each
/// costs more the longer it takes, so that their number may not grow with the text.
const LOST_STEPS: usize = 1_000;
/// Work that looking for definitions may cost in broken parts: it grows with the square of the
/// number of nodes that lie side by side in one of them.
const BROKEN_WORK: u64 = 10_000_000;

/// Places that a parser could not make sense of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyntaxErrors {
    pub count: usize,
    /// Line of the first one, 1-based.
    pub first_line: Option<u32>,
}

/// What the parser says of `source`; `None` without a grammar, or when the parser gave up.
pub fn syntax_errors(language: &Language, source: &str) -> Option<SyntaxErrors> {
    parse(language, source).map(|parsed| parsed.errors)
}

/// A syntax tree, and how broken it is.
pub struct Parsed {
    pub tree: Tree,
    pub errors: SyntaxErrors,
    /// Whether so much of it is broken that nothing should be looked for in it.
    pub is_hopeless: bool,
}

thread_local! {
    /// A parser keeps its memory from one file to the next.
    static PARSER: RefCell<Parser> = RefCell::new(Parser::new());
}

/// The syntax tree, or `None` without a grammar or when it takes too much work, which only text that is
/// no source or is made for it does.
pub fn parse(language: &Language, source: &str) -> Option<Parsed> {
    let Structure::Grammar { grammar, .. } = language.structure else { return None };
    if !guard::is_safe(language.name, source) {
        return None;
    }
    let tree = PARSER.with_borrow_mut(|parser| parse_with(parser, &grammar(), source))?;
    Some(inspect(tree))
}

fn parse_with(parser: &mut Parser, grammar: &tree_sitter::Language, source: &str) -> Option<Tree> {
    parser.set_language(grammar).ok()?;
    // An earlier text may have been given up in the middle.
    parser.reset();
    let bytes = source.as_bytes();
    let most_pieces = PIECES + bytes.len() / PIECE * REREADS;
    let most_steps = STEPS + bytes.len() / PIECE * STEPS_A_PIECE;
    let (pieces, steps, lost) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let is_over = || pieces.get() > most_pieces || steps.get() > most_steps || lost.get() > LOST_STEPS;
    let mut give = |at: usize, _| {
        pieces.set(pieces.get() + 1);
        // A piece that ends within a character would be asked for again, and the parser does not
        // expect that it then gets nothing.
        let full = (at + PIECE).min(bytes.len());
        let whole = (at..=full).rev().find(|&end| source.is_char_boundary(end)).unwrap_or(at);
        let end = if is_over() { at } else { whole };
        bytes.get(at..end).unwrap_or_default()
    };
    let mut watch = |state: &tree_sitter::ParseState| {
        steps.set(steps.get() + 1);
        lost.set(lost.get() + usize::from(state.has_error()));
        if is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut watch);
    let tree = parser.parse_with_options(&mut give, None, Some(options));
    tree.filter(|_| !is_over())
}

fn inspect(tree: Tree) -> Parsed {
    let mut errors = SyntaxErrors::default();
    let mut work = 0;
    let mut cursor = tree.walk();
    'nodes: loop {
        let node = cursor.node();
        if node.is_error() {
            work += u64::from(node.child_count()).pow(2);
        }
        if node.is_error() || node.is_missing() {
            errors.count += 1;
            errors.first_line.get_or_insert(node.start_position().row as u32 + 1);
        }
        if node.has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                break 'nodes;
            }
        }
    }
    drop(cursor);
    Parsed { tree, errors, is_hopeless: work > BROKEN_WORK }
}
