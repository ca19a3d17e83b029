//! What the assertions of a test say must hold, for who has no run of it: a test that does not compile says
//! nothing of what it asks for. Pure.

use std::collections::BTreeSet;

use super::statement::{self, is_word};
use super::{LONGEST, MUST, local, spread};

/// What the assertions of a test file, in Rust or Python, ask of functions with these names: a line for each as
/// in [`super::must_hold`], in the order of the file.
pub fn stated(text: &str, names: &BTreeSet<String>) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut test = "";
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        test = local::function(line).unwrap_or(test);
        if !(line.starts_with("assert") || line.starts_with("self.assert")) {
            continue;
        }
        let Some((code, value)) = local::at(text, number).and_then(|statement| asked(&statement)) else {
            continue;
        };
        let line = format!("{test}: `{code}`{MUST}{value}");
        if calls(&code, names) && line.len() <= LONGEST && !told.contains(&line) {
            told.push(line);
        }
    }
    spread(told)
}

/// The code of an assertion and what it must give.
pub(super) fn asked(statement: &str) -> Option<(String, String)> {
    if let Some(compared) = statement::compared(statement) {
        return Some((compared.code, compared.value));
    }
    let (condition, wanted) = statement::condition(statement)?;
    let is_rust = statement.starts_with("assert!");
    let words = if is_rust { ["false", "true"] } else { ["False", "True"] };
    Some((condition.to_owned(), words[usize::from(wanted)].to_owned()))
}

/// Whether the code calls a function with one of these names.
fn calls(code: &str, names: &BTreeSet<String>) -> bool {
    let opens = code.match_indices('(').filter_map(|(at, _)| code[..at].rsplit(|c| !is_word(c)).next());
    opens.into_iter().any(|name| names.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn assertions_say_what_they_ask_for_without_a_run() {
        let rust = "use x as y;\n\nfn square(x: i32) -> i32 {\n    x * x\n}\n\n#[test]\nfn squares() {\n    let input = vec![2, 3];\n    let expected = vec![4, 9];\n    assert_eq!(\n        y::map(input, square),\n        expected\n    );\n    assert_eq!(other(1), 2);\n}\n\n#[test]\nfn is_prime() {\n    assert!(!y::prime(4));\n    assert_eq!(y::map(vec![], square), y::none());\n}\n";
        let expected = [
            "squares: `y::map(vec![2, 3], square)` must give vec![4, 9]",
            "is_prime: `y::prime(4)` must give false",
        ];
        assert_eq!(stated(rust, &names(&["map", "prime"])), expected);
        let python = "class T:\n    def test_a(self):\n        text = 'x'\n        self.assertEqual(f(text), 1)\n        self.assertEqual(f('x'), 1)\n";
        assert_eq!(stated(python, &names(&["f"])), ["test_a: `f('x')` must give 1"]);
        assert!(stated(python, &names(&["g"])).is_empty());
        assert!(stated("assert_eq!(f(", &names(&["f"])).is_empty());
    }
}
