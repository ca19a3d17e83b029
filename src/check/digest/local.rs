//! The statement of a test with the values of its variables in their place: `f(input)` says nothing to who does
//! not see that `input` is `"x"`. Read without a grammar, in Python and Rust. Pure.

use std::sync::LazyLock;

use regex::Regex;

use super::statement::{self, is_word, unquoted};

/// Longest statement that comes of it, in bytes. One that would be longer stays as it is written.
const LONGEST: usize = 300;
/// How deep variables may stand in the values of others.
const DEEPEST: usize = 3;

static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:let (?:mut )?(?P<rust>[a-z_]\w*)(?:: [^=]+)?|(?P<python>[a-z_]\w*)) = (?P<value>.+)$")
        .expect("a built-in pattern is valid")
});

static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:pub |async |const |unsafe )*(?:fn|def) (?P<name>\w+)")
        .expect("a built-in pattern is valid")
});

/// The function of which a line without its indentation is the head.
pub(super) fn function(line: &str) -> Option<&str> {
    Some(HEAD.captures(line)?.name("name")?.as_str())
}

/// The statement that begins at a line, counted from 1, with its variables' values.
pub(super) fn at(text: &str, line: usize) -> Option<String> {
    let mut told = statement::at(text, line)?;
    let before = before(text, line);
    for _ in 0..DEEPEST {
        let next = inlined(&told, &before);
        if next == told || next.len() > LONGEST {
            break;
        }
        told = next;
    }
    Some(told)
}

/// The last `with` before a line, counted from 1, with the first statement in it.
pub(super) fn with(text: &str, line: usize) -> Option<String> {
    let mut before = before(text, line);
    let at = before.iter().rposition(|statement| statement.starts_with("with "))?;
    let with = before.swap_remove(at);
    Some(inlined(&with, &before))
}

/// What a test did before a line, counted from 1, with the things that the statement there calls methods of: what
/// they give depends on it. Nothing, if it calls none, or more was done than can be told.
pub(super) fn history(text: &str, line: usize) -> Option<String> {
    let told = statement::at(text, line)?;
    let before = before(text, line);
    let mut calls = unquoted(&told)?.into_iter().filter(|(_, _, c)| *c == '.').map(|(at, ..)| at);
    let called = calls.find_map(|at| {
        let name = told[..at].rsplit(|c| !is_word(c)).next()?;
        let is_set = |statement: &String| set(statement).is_some_and(|(set, _)| set == name);
        (!name.is_empty() && before.iter().any(is_set)).then_some(name)
    })?;
    let speaks_of_it = |statement: &&String| {
        let mut words = statement.split(|c| !is_word(c));
        words.any(|word| word == called) && !statement.contains("assert")
    };
    let done: Vec<String> =
        before.iter().filter(speaks_of_it).map(|statement| inlined(statement, &before)).collect();
    let done = done.join("; ");
    (done.len() <= LONGEST).then_some(done)
}

/// The statements of the function that stand before a line, those of blocks in it left out.
fn before(text: &str, line: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let Some(last) = lines.last() else { return Vec::new() };
    let is_head = |line: &&str| indent(line) < indent(last) && HEAD.is_match(line.trim_start());
    let Some(head) = lines.iter().rposition(is_head) else { return Vec::new() };
    // What a block, such as that of a `with`, is in counts as well.
    let own = lines[head + 1..].iter().find(|line| !line.trim().is_empty()).map_or(0, |line| indent(line));
    let starts = (head + 1..lines.len() - 1).filter(|at| indent(lines[*at]) == own && !lines[*at].is_empty());
    starts.filter_map(|at| statement::at(text, at + 1)).collect()
}

/// With the value of each variable that has one, one level deep.
fn inlined(told: &str, before: &[String]) -> String {
    let Some(characters) = unquoted(told) else { return told.to_owned() };
    let (mut new, mut from, mut next) = (String::new(), 0, 0);
    for (at, earlier, c) in characters {
        if at < next || !(c.is_alphabetic() || c == '_') || is_word(earlier) || ".:".contains(earlier) {
            continue;
        }
        let end = told[at..].find(|c| !is_word(c)).map_or(told.len(), |length| at + length);
        next = end;
        // A name of a function, of an argument or of a thing whose method is called stands for itself.
        let after = told[end..].chars().next().unwrap_or(')');
        if !",)]} ".contains(after) || told[end..].starts_with(" =") && !told[end..].starts_with(" ==") {
            continue;
        }
        if let Some(value) = value(&told[at..end], before) {
            new.push_str(&told[from..at]);
            new.push_str(value);
            from = end;
        }
    }
    new + &told[from..]
}

/// The variable that a statement sets, and to what.
fn set(statement: &str) -> Option<(&str, &str)> {
    let assigned = ASSIGNED.captures(statement)?;
    let name = assigned.name("rust").or(assigned.name("python"))?;
    Some((name.as_str(), assigned.name("value")?.as_str()))
}

/// What a variable was set to, if that is all that happens to it.
fn value<'a>(name: &str, before: &'a [String]) -> Option<&'a str> {
    let mut values = before.iter().filter_map(|statement| set(statement)).filter(|(set, _)| *set == name);
    let ((_, value), None) = (values.next()?, values.next()) else { return None };
    let may_change = [format!("{name}."), format!("mut {name}"), format!("{name}["), format!("{name} +=")];
    let changes = before.iter().any(|statement| may_change.iter().any(|sign| statement.contains(sign)));
    (statement::is_value(value) || statement::has_call(value)).then_some(value).filter(|_| !changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_told_by_their_values() {
        let python = "class T:\n    def test_a(self):\n        candidates = [\n            \"BANANA\",\n            \"x, y\",\n        ]\n        expected = []\n        self.assertCountEqual(find(\"expected\", candidates), expected)\n\n    def test_b(self):\n        account = Account()\n        account.open()\n        numbers = [1]\n        numbers.append(2)\n        self.assertEqual(account.sum(numbers, start=account), 3)\n\n    def test_c(self):\n        number = -1\n        with self.assertRaises(ValueError):\n            f(number)\n";
        for (line, expected) in [
            (8, "self.assertCountEqual(find(\"expected\", [\"BANANA\", \"x, y\",]), [])"),
            (15, "self.assertEqual(account.sum(numbers, start=account), 3)"),
            (19, "with self.assertRaises(ValueError): f(-1)"),
            (20, "f(-1)"),
        ] {
            assert_eq!(at(python, line).as_deref(), Some(expected), "line {line}");
        }
        let rust = "#[test]\nfn basic() {\n    let input = \"Portable, Graphics\";\n    let output = acronym::abbreviate(input);\n    let expected: &str = \"PNG\";\n    let mut seen = vec![1];\n    seen.push(2);\n    assert_eq!(output, expected);\n    assert_eq!(&seen, &[1, 2]);\n    assert_eq!(sum(&[output, output]), 3);\n}\n";
        for (line, expected) in [
            (8, "assert_eq!(acronym::abbreviate(\"Portable, Graphics\"), \"PNG\")"),
            (9, "assert_eq!(&seen, &[1, 2])"),
        ] {
            assert_eq!(at(rust, line).as_deref(), Some(expected), "line {line}");
        }
        let after = "account = Account(); account.open()";
        assert_eq!(history(python, 15).as_deref(), Some(after));
        assert_eq!([history(python, 8), history(python, 20), history(rust, 8)], [None, None, None]);
        let list = "#[test]\nfn t() {\n    let mut list = List::new();\n    let one = 1;\n    list.push(one);\n    assert_eq!(list.pop(), Some(2));\n}\n";
        assert_eq!(history(list, 6).as_deref(), Some("let mut list = List::new(); list.push(1)"));
        let long = format!("def test_a():\n    text = \"{}\"\n    assert f(text) == 1\n", "x".repeat(400));
        assert_eq!(at(&long, 3).as_deref(), Some("assert f(text) == 1"));
        assert_eq!(at("assert x == 1\n", 1).as_deref(), Some("assert x == 1"));
        assert_eq!(at("", 1), None);
    }
}
