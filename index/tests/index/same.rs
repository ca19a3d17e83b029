//! Same tree and request, same bytes: whatever happened before.

use proptest::prelude::*;

use crate::support::{Tree, context_tagged, update};

const REQUESTS: [&str; 4] = [
    "parse the line ending of a `Reader`",
    "alpha_beta is wrong in src/b.rs",
    "Traceback\n  File \"src/a.py\", line 2, in f\nError: gamma",
    "delta gamma alpha",
];

/// Everything an index says, as bytes.
pub fn everything(index: &countersign_index::Index) -> String {
    let mut out = String::new();
    for request in REQUESTS {
        out += &serde_json::to_string(&context_tagged(index, request, &["src/c.md"], 300)).unwrap();
        out += &serde_json::to_string(&index.search(request, 10).unwrap()).unwrap();
    }
    let files = index.files().unwrap();
    for file in &files {
        out += &serde_json::to_string(&index.outline(&file.path).unwrap()).unwrap();
    }
    out += &serde_json::to_string(&files).unwrap();
    out += &serde_json::to_string(&index.references("alpha_beta").unwrap()).unwrap();
    out
}

#[test]
fn twice_is_the_same() {
    let tree = Tree::fixture("rust");
    let first = everything(&tree.index());
    assert_eq!(everything(&tree.index()), first);
    assert_eq!(everything(&tree.rebuilt()), first);
}

#[derive(Debug, Clone)]
enum Edit {
    Write(usize, Vec<usize>),
    Remove(usize),
    Update,
}

const PATHS: [&str; 8] = [
    "src/a.py",
    "src/b.rs",
    "src/c.md",
    "d.txt",
    "src/tests/e.rs",
    "zeta/alpha.py",
    ".gitattributes",
    "src/.gitattributes",
];
const LINES: [&str; 12] = [
    "*.rs linguist-generated\n",
    "# @generated, do not edit: *.py -linguist-vendored\n",
    "fn alpha_beta() { parse_line(); }\n",
    "def gamma(x):\n    return alpha_beta(x)\n",
    "# Delta heading\n",
    "class Reader:\n    def line_ending(self): pass\n",
    "impl Reader { fn line_ending(&self) -> u8 { 0 } }\n",
    "alpha gamma delta parse line ending\n",
    "\n",
    "\"unclosed {[(\n",
    "LineEnding alphaBeta\n",
    "struct Reader;\n",
];

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let write = (0..PATHS.len(), prop::collection::vec(0..LINES.len(), 0..12));
    let edit = prop_oneof![
        4 => write.prop_map(|(path, lines)| Edit::Write(path, lines)),
        1 => (0..PATHS.len()).prop_map(Edit::Remove),
        2 => Just(Edit::Update),
    ];
    prop::collection::vec(edit, 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// The order of edits and updates decides ids, segments and deleted documents. None of it
    /// may show.
    #[test]
    fn an_index_with_a_past_equals_a_new_one(edits in edits()) {
        let tree = Tree::empty();
        let mut index = tree.open();
        for edit in edits {
            match edit {
                Edit::Write(path, lines) => {
                    let content: String = lines.iter().map(|line| LINES[*line]).collect();
                    tree.write(PATHS[path], content);
                }
                Edit::Remove(path) => drop(std::fs::remove_file(tree.root().join(PATHS[path]))),
                Edit::Update => drop(update(&mut index)),
            }
        }
        update(&mut index);
        prop_assert_eq!(everything(&index), everything(&tree.rebuilt()));
    }

    /// Whoever names what has changed gets what an update of everything gives.
    #[test]
    fn an_update_of_named_paths_equals_one_of_everything(edits in edits(), by_directory in any::<bool>()) {
        let tree = Tree::empty();
        tree.write("src/.hidden/x.py", "x = 1\n");
        let mut index = tree.index();
        let mut changed = std::collections::BTreeSet::new();
        for edit in edits {
            let path = match edit {
                Edit::Write(path, lines) => {
                    let content: String = lines.iter().map(|line| LINES[*line]).collect();
                    // Some are binary, and are counted as such.
                    tree.write(PATHS[path], if lines.len() == 7 { "\0".to_owned() } else { content });
                    PATHS[path]
                }
                Edit::Remove(path) => {
                    drop(std::fs::remove_file(tree.root().join(PATHS[path])));
                    PATHS[path]
                }
                Edit::Update => {
                    let paths: Vec<String> = std::mem::take(&mut changed).into_iter().collect();
                    index.update_paths(&paths, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
                    continue;
                }
            };
            let named = if by_directory { path.split('/').next().unwrap() } else { path };
            changed.insert(named.to_owned());
        }
        let paths: Vec<String> = changed.into_iter().collect();
        let report = index.update_paths(&paths, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
        prop_assert_eq!(everything(&index), everything(&tree.rebuilt()));
        let mut again = tree.open();
        let whole = update(&mut again);
        prop_assert_eq!((whole.added, whole.updated, whole.removed), (0, 0, 0));
        prop_assert_eq!(whole.skipped, report.skipped);
    }
}
