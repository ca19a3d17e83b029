//! Statements of tests, read without a grammar: enough to tell a call from the value that it must give. Pure.

use std::sync::LazyLock;

use regex::Regex;

/// Lines that a statement may have.
const LINES: usize = 12;

/// Calls of Rust that are values if what is in them is one.
const WRAPPERS: [&str; 4] = ["Some(", "Ok(", "Err(", "vec!["];

/// A variant or a constant by its path, with what follows it.
static VARIANT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(?:\w+::)+[A-Z]\w*(?P<rest>.*)$").expect("a built-in pattern is valid"));

/// A comparison of which one side is the code under test.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Compared {
    pub code: String,
    /// What it must give, as it is written there.
    pub value: String,
    pub is_first: bool,
}

/// The statement that begins at a line, counted from 1, in one line, with the first one in it if it is a head;
/// `None` if it does not end soon.
pub(super) fn at(text: &str, line: usize) -> Option<String> {
    let mut statement = String::new();
    for line in text.lines().skip(line.checked_sub(1)?).take(LINES) {
        let line = line.trim();
        let glued =
            statement.is_empty() || statement.ends_with(['(', '[', '{']) || line.starts_with([')', ']', '}']);
        if !glued {
            statement.push(' ');
        }
        statement.push_str(line);
        // The head of a `with` says nothing without the call in it.
        if is_whole(&statement) && !statement.ends_with(':') {
            return Some(statement.trim_end_matches(';').to_owned());
        }
    }
    None
}

/// The statements of a Rust function, in one line; `None` if there is no such function, or it is long.
pub(super) fn body(text: &str, function: &str) -> Option<String> {
    let head = format!("fn {function}(");
    let mut lines = text.lines().skip_while(|line| !line.trim_start().starts_with(&head)).map(str::trim_end);
    let first = lines.next()?;
    let indent = first.len() - first.trim_start().len();
    let end = format!("{:indent$}}}", "");
    let body: Vec<&str> = lines.take_while(|line| **line != end).take(LINES + 1).map(str::trim).collect();
    (body.len() <= LINES).then(|| body.join(" "))
}

/// Whether every bracket and quotation that a statement opens is closed in it.
pub(super) fn is_whole(statement: &str) -> bool {
    pieces(statement).is_some()
}

/// What `assertEqual(a, b)`, `assert_eq!(a, b)` and `assert a == b` compare, as far as one side is plainly a
/// value: that one is what is expected.
pub(super) fn compared(statement: &str) -> Option<Compared> {
    let statement = statement.trim().trim_end_matches(';');
    let (first, second) = match statement.strip_prefix("assert ") {
        Some(sides) => {
            sides.split_once(" == ").filter(|(first, second)| is_whole(first) && is_whole(second))?
        }
        None => {
            let open = statement.find('(')?;
            if !statement[..open].to_ascii_lowercase().contains("assert") {
                return None;
            }
            let inside = statement[open + 1..].strip_suffix(')')?;
            let pieces = pieces(inside)?;
            match pieces.as_slice() {
                [first, second, ..] => (*first, *second),
                _ => return None,
            }
        }
    };
    match (is_value(first), is_value(second)) {
        (false, true) => Some(Compared::of(first, second, true)),
        (true, false) => Some(Compared::of(second, first, false)),
        _ => None,
    }
}

impl Compared {
    fn of(code: &str, value: &str, is_first: bool) -> Compared {
        Compared { code: code.trim().to_owned(), value: value.trim().to_owned(), is_first }
    }
}

/// The condition of `assertTrue(x)`, `assert!(!x)` or `assert not x`, and the truth that it must have.
pub(super) fn condition(statement: &str) -> Option<(&str, bool)> {
    let statement = statement.trim().trim_end_matches(';');
    let (inside, wanted) = match statement.strip_prefix("assert ") {
        Some(condition) => (condition, true),
        None => {
            let (name, inside) = statement.strip_suffix(')')?.split_once('(')?;
            let wanted = match name.rsplit('.').next()? {
                "assert!" | "assertTrue" => true,
                "assertFalse" => false,
                _ => return None,
            };
            (inside, wanted)
        }
    };
    let first = *pieces(inside)?.first()?;
    let (condition, wanted) = match first.strip_prefix('!').or_else(|| first.strip_prefix("not ")) {
        Some(negated) => (negated.trim(), !wanted),
        None => (first, wanted),
    };
    // A comparison is more than a call that is true or not.
    let is_call = condition.ends_with(')') && has_call(condition);
    let compares = [" == ", " != ", " < ", " > ", " && ", " || ", " and ", " or ", " in "];
    (is_call && !compares.iter().any(|sign| condition.contains(sign))).then_some((condition, wanted))
}

/// Whether a text is a literal, a variant, or called what is expected.
pub(super) fn is_value(text: &str) -> bool {
    let mut plain = text.trim().trim_start_matches(['&', '*']);
    if ["expected", "want", "wanted"].contains(&plain) {
        return true;
    }
    while let Some(inner) = WRAPPERS.iter().find_map(|head| plain.strip_prefix(head)) {
        plain = inner.trim_start_matches('&');
    }
    let closes = |rest: &str| rest.trim_end_matches([')', ']']).is_empty();
    if let Some(variant) = VARIANT.captures(plain) {
        let rest = &variant["rest"];
        return closes(rest) || rest.strip_prefix('(').is_some_and(is_value);
    }
    // A call has a name before its bracket; literals of lists and text do not.
    let begins = plain.starts_with(['"', '\'', '[', '(', '{', '-', ']'])
        || plain.starts_with(|c: char| c.is_ascii_digit());
    begins && !has_call(plain)
        || ["True", "False", "None", "true", "false"].contains(&plain.trim_end_matches([')', ']']))
}

/// Whether a name stands before a bracket, outside of quotations.
pub(super) fn has_call(text: &str) -> bool {
    let is_call = |(_, before, c): &(usize, char, char)| *c == '(' && is_word(*before);
    unquoted(text).is_some_and(|characters| characters.iter().any(is_call))
}

/// The function or attribute that code asks for last: `f` of `g(1).f(2)`, `lst` of `Allergies(3).lst`.
pub(super) fn asks_for(code: &str) -> Option<&str> {
    let code = code.trim();
    let mut head = code;
    if code.ends_with(')') {
        let (mut depth, mut opens) = (0usize, None);
        for (at, _, c) in unquoted(code)? {
            match c {
                '(' => {
                    opens = if depth == 0 { Some(at) } else { opens };
                    depth += 1;
                }
                ')' => depth = depth.checked_sub(1)?,
                _ => {}
            }
        }
        head = &code[..opens?];
    }
    let name = head.rsplit(|c| !is_word(c)).next()?;
    (!name.is_empty()).then_some(name)
}

/// Whether a character may stand in a name.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The parts between commas that stand in no bracket and no quotation; `None` if one is left open.
pub(super) fn pieces(text: &str) -> Option<Vec<&str>> {
    let (mut depth, mut start) = (0usize, 0);
    let mut pieces = Vec::new();
    for (at, _, c) in unquoted(text)? {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                pieces.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        pieces.push(last);
    }
    (depth == 0).then_some(pieces)
}

/// The characters that stand in no quotation: the place of each, the one before it, and itself; `None` if a
/// quotation is left open.
pub(super) fn unquoted(text: &str) -> Option<Vec<(usize, char, char)>> {
    let (mut quote, mut before) = (None, ' ');
    let mut characters = Vec::new();
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open && before != '\\' => quote = None,
            Some(_) => {}
            // An apostrophe after a letter, or a lifetime, begins no text.
            None if c == '"' || c == '\'' && !before.is_alphanumeric() && before != '&' => quote = Some(c),
            None => characters.push((at, before, c)),
        }
        before = if before == '\\' && c == '\\' { ' ' } else { c };
    }
    quote.is_none().then_some(characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_told_with_its_truth() {
        for (statement, expected) in [
            ("assert!(is_prime(7))", Some(("is_prime(7)", true))),
            ("assert!(!is_prime(8), \"{} of {}\", 1, 2);", Some(("is_prime(8)", false))),
            ("self.assertTrue(f(\"a, b\"), \"m\")", Some(("f(\"a, b\")", true))),
            ("self.assertFalse(f(1))", Some(("f(1)", false))),
            ("assert not f(1)", Some(("f(1)", false))),
            ("assert f(1)", Some(("f(1)", true))),
            ("assert f(1) == g(1)", None),
            ("assert!(a < b)", None),
            ("assert_eq!(f(1), 2)", None),
            ("print(f(1))", None),
        ] {
            assert_eq!(condition(statement), expected, "{statement}");
        }
    }

    fn side(statement: &str) -> Option<(String, bool)> {
        compared(statement).map(|compared| (compared.code, compared.is_first))
    }

    #[test]
    fn the_side_that_is_no_value_is_the_code() {
        for (statement, code, is_first) in [
            ("self.assertEqual(f(\"a, b\"), 'x')", "f(\"a, b\")", true),
            (
                "self.assertIs(Allergies(0).allergic_to(\"eggs\"), False)",
                "Allergies(0).allergic_to(\"eggs\")",
                true,
            ),
            ("self.assertEqual([1, 2], f(3))", "f(3)", false),
            ("assert_eq!(sum(&[1, 2]), Some(3));", "sum(&[1, 2])", true),
            ("assert_eq!(output, expected)", "output", true),
            ("assert f(1) == [1, (2, 3)]", "f(1)", true),
            ("assertEqual(it('don\\'t'), \"x\")", "it('don\\'t')", true),
            ("assert_eq!(x::convert(&[1], 2), Ok(vec![5]))", "x::convert(&[1], 2)", true),
            ("assert_eq!(f(), Ok(vec![]))", "f()", true),
            ("assert_eq!(Err(Error::Empty), f())", "f()", false),
            ("assert_eq!(f(), Err(x::Error::Digit(2)))", "f()", true),
            ("assert_eq!(compare(&[1]), Comparison::Equal)", "compare(&[1])", true),
        ] {
            assert_eq!(side(statement), Some((code.to_owned(), is_first)), "{statement}");
        }
        for unclear in [
            "assertEqual(a(), b())",
            "assertTrue(f())",
            "f(1, 2)",
            "assert f()",
            "assertEqual(1, 2)",
            "assertEqual(",
            "assert_eq!(Ok(vec![g()]), f())",
            "assert_eq!(Vec::new(), f())",
            "assert_eq!(E::Of(g()), f())",
            "assert_eq!(Some(result), f())",
        ] {
            assert_eq!(side(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn what_is_asked_for_last_is_named() {
        for (code, name) in [
            ("f(1, \")\")", Some("f")),
            ("Allergies(257).lst", Some("lst")),
            ("x::g(a(1)).f(b(2))", Some("f")),
            ("err.exception.args[0]", None),
            ("(1, 2)", None),
            ("f(1", Some("1")),
            ("", None),
        ] {
            assert_eq!(asks_for(code), name, "{code}");
        }
    }

    #[test]
    fn statements_are_read_to_their_end() {
        let text = "fn a() {\n    assert_eq!(\n        f(\"x\"),\n        \"y\"\n    );\n}\nfn b() {\n}\n";
        assert_eq!(at(text, 2).as_deref(), Some("assert_eq!(f(\"x\"), \"y\")"));
        let with = "    with self.assertRaises(ValueError):\n        f(0)\n    g()\n";
        assert_eq!(at(with, 1).as_deref(), Some("with self.assertRaises(ValueError): f(0)"));
        assert_eq!(at(text, 90), None);
        assert_eq!(at("(\n", 1), None);
        assert_eq!(body(text, "a").as_deref(), Some("assert_eq!( f(\"x\"), \"y\" );"));
        assert_eq!(body(text, "b").as_deref(), Some(""));
        assert_eq!(body(text, "c"), None);
    }
}
