//! What has to hold, of a line that says what does not: for who is to write code anew and has not seen the code
//! that failed. Pure.

use super::{AFTER, DOES, GAVE, MUST, MUST_GIVE, MUST_RAISE, RAISED, python, stated};

/// A line of a digest without what came. Where Rust's code panicked, that stays: it is what must not happen again.
pub fn must_hold(line: &str) -> String {
    if let Some((code, rest)) = line.split_once(GAVE)
        && let Some((_, expected)) = rest.split_once(MUST_GIVE)
    {
        return format!("{code}{MUST}{expected}");
    }
    let held = must_raise(line).or_else(|| unraised(line)).or_else(|| instead(line));
    held.unwrap_or_else(|| line.to_owned())
}

/// What has to hold where another error came than has to, or none.
fn must_raise(line: &str) -> Option<String> {
    let (came, error) = line.split_once(MUST_RAISE)?;
    let end = came.find(RAISED).or_else(|| came.find(&format!("`{GAVE}")))?;
    Some(format!("{}` must raise {error}", &came[..end]))
}

/// What has to hold where an error came instead of a value.
fn unraised(line: &str) -> Option<String> {
    let (statement, told) = line.split_once(RAISED)?;
    let after = told.find(AFTER).map_or("", |at| &told[at..]);
    let statement = statement.strip_prefix('`')?;
    if let Some((code, error)) = python::raises(statement) {
        return Some(format!("`{code}` must raise {error}{after}"));
    }
    if let Some((code, value)) = stated::asked(statement) {
        return Some(format!("`{code}`{MUST}{value}{after}"));
    }
    let error = told.split([':', ',']).next().unwrap_or(told).trim();
    Some(format!("`{statement}` must not raise {error}{after}"))
}

/// What has to hold where a test of one statement came to something else.
fn instead(line: &str) -> Option<String> {
    let (test, rest) = line.split_once(DOES)?;
    let (body, told) = rest.split_once("`: ")?;
    let told = told.rsplit_once(" (").map_or(told, |(told, _place)| told);
    let (code, value) = stated::asked(body.trim_end_matches(';'))?;
    Some(format!("{test}: `{code}`{MUST}{value}, where there was: {told}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_left_out() {
        for (line, holds) in [
            ("a: `f(1)` gave [\n], but it must give 2, after `x`", "a: `f(1)` must give 2, after `x`"),
            ("`f(1)` gave no error, but it must raise ValueError", "`f(1)` must raise ValueError"),
            (
                "`f(1)` raised ValueError that says 'a', but it must raise ValueError that says 'b'",
                "`f(1)` must raise ValueError that says 'b'",
            ),
            (
                "`self.assertIs(A(1).f(\"x\"), True)` raised TypeError: no, in `return 1 & item` (a.py, line 7)",
                "`A(1).f(\"x\")` must give True",
            ),
            (
                "`self.assertEqual(a.read(), 1)` raised Empty: no, in `raise Empty()` (a.py, line 7), after `a = A(); a.write(1)`",
                "`a.read()` must give 1, after `a = A(); a.write(1)`",
            ),
            (
                "`a.write(1)` raised Full: no more, in `raise Full()` (a.py, line 7), after `a = A()`",
                "`a.write(1)` must not raise Full, after `a = A()`",
            ),
            (
                "`with self.assertRaises(ValueError) as err: f(1)` raised TypeError: no",
                "`f(1)` must raise ValueError",
            ),
            ("stub: not yet implemented", "stub: not yet implemented"),
        ] {
            assert_eq!(must_hold(line), holds, "{line}");
        }
    }
}
