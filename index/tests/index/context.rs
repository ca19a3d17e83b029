//! Ranking, pack and ledger on the fixtures.

use countersign_index::{Rule, Verdict, tokens};
use insta::assert_snapshot;

use crate::support::{Tree, context, context_tagged, indexed, ledger, ranked, update};

#[test]
fn the_ledger_explains_the_ranking() {
    let (_tree, index) = indexed("rust");
    assert_snapshot!(ledger(&context(&index, "Windows line ending is lost when printing", 300)));
}

#[test]
fn the_pack_quotes_passages_in_order() {
    let (_tree, index) = indexed("python");
    let context = context(&index, "escape quotes in `write_paragraph`", 220);
    assert_snapshot!(serde_json::to_string_pretty(&context.pack).unwrap());
}

#[test]
fn a_pack_never_exceeds_its_budget_and_counts_honestly() {
    let (_tree, index) = indexed("rust");
    for budget in [0, 1, 7, 50, 120, 300, 1_000, 100_000] {
        let context =
            context_tagged(&index, "parse error in line ending of printer", &["src/lib.rs"], budget);
        let pack = &context.pack;
        assert!(pack.tokens <= budget, "{} of {budget}", pack.tokens);
        let snippets: u32 = pack
            .snippets
            .iter()
            .map(|snippet| {
                let header = snippet.path.len() + snippet.enclosing.as_ref().map_or(0, String::len);
                assert_eq!(snippet.tokens, tokens(snippet.text.len() + header));
                snippet.tokens
            })
            .sum();
        assert!(snippets <= pack.tokens);
        for pair in pack.snippets.windows(2).filter(|pair| pair[0].path == pair[1].path) {
            assert!(pair[0].end_line + 1 < pair[1].start_line, "neighbours are one snippet");
        }
    }
}

#[test]
fn snippets_are_what_stands_in_the_file() {
    let tree = Tree::fixture("rust");
    let index = tree.index();
    for snippet in context(&index, "quoted cells and widths of columns", 500).pack.snippets {
        let source = std::fs::read_to_string(tree.root().join(&snippet.path)).unwrap();
        assert_eq!(&source[snippet.start_byte as usize..snippet.end_byte as usize], snippet.text);
        let lines: Vec<&str> = source.split_inclusive('\n').collect();
        assert_eq!(lines[snippet.start_line as usize - 1..snippet.end_line as usize].concat(), snippet.text);
    }
}

#[test]
fn a_tag_stands_above_all() {
    let (_tree, index) = indexed("rust");
    let found = context_tagged(&index, "quoted cells of parse_line", &["Cargo.toml", "./tests/"], 400);
    assert_eq!(ranked(&found)[..2], ["tests/tables.rs", "Cargo.toml"]);
    assert!(found.ledger.candidates[..2].iter().all(|c| matches!(c.verdict, Verdict::Kept { .. })));
    let unknown = context_tagged(&index, "x", &["src/no.rs", "../../etc/passwd", ""], 400);
    assert_eq!(unknown.ledger.unknown_tags, ["src/no.rs", "../../etc/passwd", ""]);
}

#[test]
fn a_path_in_the_request_is_nearly_a_tag() {
    let (_tree, index) = indexed("rust");
    assert_eq!(ranked(&context(&index, "parse quoted cells, see src/print.rs", 400))[0], "src/print.rs");
}

#[test]
fn a_traceback_leads_to_its_innermost_line() {
    let (_tree, index) = indexed("python");
    let text = "crash\n\nTraceback (most recent call last):\n  File \"/usr/lib/python3/site-packages/quill/writers/html.py\", line 23, in write\n    x\n  File \"/usr/lib/python3/site-packages/quill/document.py\", line 40, in count\nTypeError: no\n";
    let found = context(&index, text, 240);
    let candidate = |path| found.ledger.candidates.iter().find(|candidate| candidate.path == path).unwrap();
    let frame = |path| candidate(path).rules.iter().find(|rule| rule.rule == Rule::Frame).unwrap().points;
    assert!(frame("quill/document.py") > frame("quill/writers/html.py"));
    let Verdict::Kept { lines } = &candidate("quill/document.py").verdict else { panic!("not kept") };
    assert!(lines.iter().any(|(start, end)| (*start..=*end).contains(&40)), "{lines:?}");
}

#[test]
fn tests_are_ranked_down_unless_they_are_meant() {
    let (_tree, index) = indexed("python");
    let place =
        |text| ranked(&context(&index, text, 400)).iter().position(|path| *path == "tests/test_html.py");
    assert!(place("paragraph is escaped") > Some(0));
    assert_eq!(place("test paragraph is escaped"), Some(0));
}

#[test]
fn points_add_up_and_every_rule_says_why() {
    let (_tree, index) = indexed("rust");
    let found =
        context_tagged(&index, "the `LineEnding` of src/parse.rs:44 is Windows", &["src/lib.rs"], 400);
    for candidate in &found.ledger.candidates {
        let sum: f64 = candidate.rules.iter().map(|rule| rule.points).sum();
        assert!((sum - candidate.points).abs() < 1e-9);
        for rule in candidate.rules.iter().filter(|rule| rule.rule != Rule::Tag) {
            assert!(!rule.detail.is_empty(), "{:?} of {}", rule.rule, candidate.path);
        }
    }
    assert!(found.ledger.terms.iter().any(|term| term.term == "linend" && term.chunks > 0));
}

#[test]
fn nothing_to_say_is_not_an_error() {
    let (_tree, index) = indexed("rust");
    for text in ["", "   \n\n", "the of and", "zzzqqq", "```", "🦀", &"x".repeat(300_000)] {
        assert!(ranked(&context(&index, text, 400)).is_empty(), "{}", &text[..text.len().min(20)]);
    }
    let empty = Tree::empty();
    assert!(ranked(&context(&empty.index(), "parse", 400)).is_empty());
    let never_updated = Tree::fixture("rust");
    assert!(never_updated.open().files().unwrap().is_empty());
}

#[test]
fn other_scripts_are_found() {
    let tree = Tree::empty();
    tree.write("a.txt", "文件名不正确\n");
    tree.write("b.txt", "Größe der Übersicht\n");
    let index = tree.index();
    assert_eq!(ranked(&context(&index, "修正文件名", 100)), ["a.txt"]);
    assert_eq!(ranked(&context(&index, "übersicht", 100)), ["b.txt"]);
}

#[test]
fn a_file_that_changed_since_is_not_quoted() {
    let tree = Tree::fixture("rust");
    let mut index = tree.index();
    tree.write("src/parse.rs", "fn unrelated() {}\n");
    tree.remove("src/print.rs");
    let found = context(&index, "quoted parse_line print widths", 400);
    assert!(
        found
            .pack
            .snippets
            .iter()
            .all(|snippet| !["src/parse.rs", "src/print.rs"].contains(&snippet.path.as_str()))
    );
    let reason =
        |path: &str| found.ledger.candidates.iter().find(|c| c.path == path).unwrap().verdict.clone();
    for path in ["src/parse.rs", "src/print.rs"] {
        assert!(matches!(reason(path), Verdict::LeftOut { reason } if reason.contains("changed")));
    }
    assert!(index.references("parse_line").unwrap().is_empty());
    update(&mut index);
    assert_eq!(ranked(&context(&index, "unrelated", 400))[0], "src/parse.rs");
}

#[test]
fn search_gives_passages_best_first() {
    let (_tree, index) = indexed("rust");
    let hits = index.search("padding between columns", 3).unwrap();
    assert_eq!(hits[0].path, "src/print.rs");
    assert!(hits[0].text.contains("Writes the table with padding"));
    assert!(hits.is_sorted_by(|a, b| a.score >= b.score) && hits.len() <= 3);
}
