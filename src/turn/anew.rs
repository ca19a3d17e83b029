//! What is shown of a file to who shall write functions of it anew: their heads without their bodies. A small
//! model that sees a wrong answer writes it again, whatever it is told about it. Pure.

use std::collections::BTreeSet;

use countersign_index::lang;

use crate::edit::grammar::{self, Begins, Definition};

/// Longer files are not written whole for a function or two.
const MOST_LINES: usize = 80;

/// How functions of a language begin, how the line ends behind which their body stands, and what stands for one.
const LANGUAGES: [(&str, &str, char, &str); 6] = [
    ("python", "def ", ':', "pass"),
    ("rust", "fn ", '{', "todo!()"),
    ("go", "func ", '{', "panic(\"to do\")"),
    ("javascript", "function ", '{', "throw new Error(\"to do\");"),
    ("typescript", "function ", '{', "throw new Error(\"to do\");"),
    ("tsx", "function ", '{', "throw new Error(\"to do\");"),
];

/// Lines besides the one function that is written anew from which on it is asked for alone: a file is written
/// whole more surely, but each of its lines is waited for.
const MANY_OTHERS: usize = 15;

/// A file in which functions are written anew.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Anew {
    /// Its text without their bodies.
    pub heads: String,
    /// The function, with what it belongs to, if it is the only one and most of the file is not it.
    pub only: Option<String>,
}

/// The text without the bodies of the functions that these failures name, or into which they point; `None` if there
/// are none, or the file is long, or has tests in it.
pub(super) fn without_bodies(path: &str, text: &str, failures: &str) -> Option<Anew> {
    let language = lang::for_file(path, text)?.name;
    let (_, function, opens, body) = LANGUAGES.iter().find(|(name, ..)| *name == language)?;
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > MOST_LINES || text.contains("#[test]") {
        return None;
    }
    let named: BTreeSet<&str> = failures.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let pointed: Vec<usize> = lines_of(path, failures);
    let is_head = |line: &str| {
        // What may stand before it: `pub(crate) async `, `export `.
        line.split_once(function)
            .is_some_and(|(before, _)| before.chars().all(|c| c.is_ascii_lowercase() || " \t()".contains(c)))
    };
    let (mut new, mut at) = (String::new(), 0);
    let mut elided: Vec<Definition> = Vec::new();
    for one in grammar::definitions(path, text) {
        let last = one.lines.end.min(lines.len());
        let mut own =
            (one.lines.start..last).skip_while(|line| grammar::begins(lines[*line]) != Begins::Code);
        let is_meant =
            named.contains(one.name.as_str()) || pointed.iter().any(|line| one.lines.contains(line));
        let head = own.next().filter(|line| is_meant && is_head(lines[*line]));
        let open = head.and_then(|head| (head..last).find(|line| lines[*line].trim_end().ends_with(*opens)));
        let end = last - usize::from(*opens == '{');
        let Some(open) = open.filter(|open| one.lines.start >= at && open + 1 < end) else { continue };
        lines[at..=open].iter().for_each(|line| new.extend([line, "\n"]));
        let indent = lines[open + 1].len() - lines[open + 1].trim_start().len();
        new.extend([&lines[open + 1][..indent], body, "\n"]);
        at = end;
        elided.push(one);
    }
    lines[at..].iter().for_each(|line| new.extend([line, "\n"]));
    let only = match elided.as_slice() {
        [] => return None,
        [one] => (lines.len() - one.lines.len() >= MANY_OTHERS).then(|| one.full_name()),
        _ => None,
    };
    Some(Anew { heads: new, only })
}

/// The lines of a file, from 0, that failures point to as compilers do: `src/lib.rs:3:5`.
fn lines_of(path: &str, failures: &str) -> Vec<usize> {
    let place = format!("{path}:");
    let numbers = failures.split(&place).skip(1).filter_map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse::<usize>().ok()?.checked_sub(1)
    });
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(path: &str, text: &str, failures: &str) -> Option<String> {
        without_bodies(path, text, failures).map(|anew| anew.heads)
    }

    #[test]
    fn one_function_of_a_longer_file_is_asked_for_alone() {
        let only = |text: &str, failures: &str| without_bodies("a.py", text, failures).unwrap().only;
        let others = "x = 1\n".repeat(MANY_OTHERS);
        let class = format!(
            "{others}class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n"
        );
        assert_eq!(only(&class, "`A().f()` gave 1").as_deref(), Some("A.f"));
        assert_eq!(
            only(&class, "`A().f(A().g())` gave 1"),
            None,
            "two are written with what is between them"
        );
        assert_eq!(only("def f():\n    return 1\n", "`f()` gave 1"), None);
    }

    #[test]
    fn functions_that_failures_name_lose_their_bodies() {
        let python = "import re\n\n\nclass School:\n    def __init__(self):\n        self.names = []\n\n    @property\n    def added(\n        self,\n    ):\n        \"\"\"Says it.\"\"\"\n        return 1\n\n\ndef other():\n    return 2\n";
        let expected = "import re\n\n\nclass School:\n    def __init__(self):\n        self.names = []\n\n    @property\n    def added(\n        self,\n    ):\n        pass\n\n\ndef other():\n    return 2\n";
        let failures = "`school.added()` gave 1, but it must give 2, after `school = School()`";
        assert_eq!(heads("a.py", python, failures).as_deref(), Some(expected));
        let rust = "/// A sum.\npub fn sum(of: &[i32]) -> i32 {\n    let x = 1;\n    x\n}\n\nstruct A;\nimpl A {\n    pub(crate) fn b(&self) -> i32 {\n        2\n    }\n}\n";
        let expected = "/// A sum.\npub fn sum(of: &[i32]) -> i32 {\n    todo!()\n}\n\nstruct A;\nimpl A {\n    pub(crate) fn b(&self) -> i32 {\n        todo!()\n    }\n}\n";
        assert_eq!(heads("a.rs", rust, "sums: `sum(&[A.b()])` gave 1").as_deref(), Some(expected));
        let helper = "fn one() -> i32 {\n    1\n}\n\nfn two() -> i32 {\n    one(2)\n}\n";
        let expected = "fn one() -> i32 {\n    1\n}\n\nfn two() -> i32 {\n    todo!()\n}\n";
        let pointed = "error[E0061]: this function takes 0 arguments\n --> src/a.rs:6:5\n";
        assert_eq!(heads("src/a.rs", helper, pointed).as_deref(), Some(expected));
    }

    #[test]
    fn nothing_is_hidden_where_that_would_lose_something() {
        let long = format!("def f():\n    return 1\n{}", "x = 1\n".repeat(80));
        for (path, text) in [
            ("a.py", long.as_str()),
            ("a.py", "def g():\n    return 1\n"),
            ("a.py", "def f(): return 1\n"),
            ("a.rs", "fn f() {\n    g();\n}\n#[test]\nfn t() {\n    f();\n}\n"),
            ("a.txt", "f\n"),
        ] {
            assert_eq!(without_bodies(path, text, "`f()` gave 1"), None, "{text}");
        }
    }
}
