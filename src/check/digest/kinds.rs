//! What kind of value a function gives, and what kind it must give, where all failures of it agree: a small model
//! sees eight wrong values and not that each of them is a number in place of a list. Kinds are read from literals
//! and called as Python calls them. Pure.

use std::fmt;

use super::statement::{asks_for, pieces};
use super::{GAVE, MUST_GIVE};

/// Failures of one function that have to agree.
const AGREE: usize = 2;

/// What a literal is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Named(&'static str),
    /// Of elements of one kind, or of several, or of none.
    List(Option<Box<Kind>>),
}

impl Kind {
    fn of(value: &str) -> Option<Kind> {
        let value = value.trim();
        let inside = |open: char, close: char| value.strip_prefix(open)?.strip_suffix(close);
        if let Some(inside) = inside('[', ']') {
            let mut kinds = pieces(inside)?.into_iter().map(Kind::of);
            let first = kinds.next().flatten();
            let are_alike = first.is_some() && kinds.all(|kind| kind == first);
            return Some(Kind::List(first.filter(|_| are_alike).map(Box::new)));
        }
        let is_quoted = |quote: char| value.len() > 1 && inside(quote, quote).is_some();
        Some(Kind::Named(match value {
            "None" => "None",
            "True" | "False" | "true" | "false" => "bool",
            _ if is_quoted('"') || is_quoted('\'') => "str",
            _ if value.parse::<i128>().is_ok() => "int",
            _ if value.starts_with(|c: char| c == '-' || c.is_ascii_digit())
                && value.parse::<f64>().is_ok() =>
            {
                "float"
            }
            _ if inside('(', ')').is_some() => "tuple",
            _ if inside('{', '}').is_some() => "dict",
            _ => return None,
        }))
    }

    /// Both, if what is known of them is the same.
    fn and(self, other: Kind) -> Option<Kind> {
        match (self, other) {
            (Kind::List(None), list @ Kind::List(_)) | (list @ Kind::List(_), Kind::List(None)) => Some(list),
            (one, other) => (one == other).then_some(one),
        }
    }

    fn name(&self) -> String {
        match self {
            Kind::Named(name) => (*name).to_owned(),
            Kind::List(None) => "list".to_owned(),
            Kind::List(Some(of)) => format!("list of {}", of.name()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let article = match self {
            Kind::Named("None") => "",
            Kind::Named("int") => "an ",
            _ => "a ",
        };
        write!(f, "{article}{}", self.name())
    }
}

/// What is known of one function.
struct Known<'a> {
    name: &'a str,
    count: usize,
    /// What it gave and what it must give; `None` where failures differ in that.
    kinds: Option<(Kind, Kind)>,
}

/// A line for each function of which every failure gave one kind of value and must give another.
pub(super) fn kinds(lines: &[String]) -> Vec<String> {
    let mut known: Vec<Known> = Vec::new();
    for line in lines {
        let Some((code, rest)) = line.strip_prefix('`').and_then(|line| line.split_once(GAVE)) else {
            continue;
        };
        let Some((name, (gave, must))) = asks_for(code.trim_end_matches('`')).zip(rest.split_once(MUST_GIVE))
        else {
            continue;
        };
        let kinds = Kind::of(gave).zip(Kind::of(must));
        match known.iter_mut().find(|known| known.name == name) {
            None => known.push(Known { name, count: 1, kinds }),
            Some(known) => {
                known.count += 1;
                known.kinds =
                    known.kinds.take().zip(kinds).and_then(|((gave, must), (also, must_also))| {
                        gave.and(also).zip(must.and(must_also))
                    });
            }
        }
    }
    let told = known.into_iter().filter(|known| known.count >= AGREE).filter_map(|known| {
        let (gave, must) = known.kinds?;
        let differ = gave.clone().and(must.clone()).is_none();
        differ.then(|| format!("`{}`{GAVE}{gave} each time{MUST_GIVE}{must}", known.name))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Vec<String> {
        kinds(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_kind_that_is_always_wrong_is_told() {
        let lines = [
            "`rebase(2, [1, 0], 10)` gave 42, but it must give [4, 2]",
            "`rebase(2, [], 10)` gave 0, but it must give []",
            "`Allergies(257).lst` gave [1], but it must give ['eggs']",
            "`f(1)` gave 'x', but it must give 'y'",
            "`Allergies(0).lst` gave [], but it must give ['cats', 'a, b']",
            "`f(2)` gave 'a', but it must give 'b'",
            "`g(1)` raised TypeError: no",
            "`once(1)` gave None, but it must give 2.5",
            "`err.args[0]` gave 'a', but it must give 1",
        ];
        assert_eq!(
            told(&lines),
            [
                "`rebase` gave an int each time, but it must give a list of int",
                "`lst` gave a list of int each time, but it must give a list of str",
            ]
        );
    }

    #[test]
    fn where_failures_differ_nothing_is_told() {
        let differ = ["`f(1)` gave 1, but it must give [1]", "`f(2)` gave [2], but it must give [1]"];
        assert!(told(&differ).is_empty());
        let unknown = ["`f(1)` gave <X at 1>, but it must give [1]", "`f(2)` gave 2, but it must give [1]"];
        assert!(told(&unknown).is_empty());
        let one = ["`f(1)` gave 1, but it must give [1]", "`g(2)` gave 2, but it must give [1]"];
        assert!(told(&one).is_empty());
        let mixed = ["`f(1)` gave [1, 'a'], but it must give [1]", "`f(2)` gave [], but it must give [2]"];
        assert!(told(&mixed).is_empty(), "of several kinds, or of none, it may be what it must be");
    }

    #[test]
    fn kinds_of_literals() {
        for (value, kind) in [
            ("-3", "an int"),
            ("2.5", "a float"),
            ("\"a\"", "a str"),
            ("(1, 2)", "a tuple"),
            ("{'a': 1}", "a dict"),
            ("[[1], [2]]", "a list of list of int"),
            ("[]", "a list"),
            ("True", "a bool"),
        ] {
            assert_eq!(Kind::of(value).map(|kind| kind.to_string()).as_deref(), Some(kind), "{value}");
        }
        for unknown in ["nan", "Some(1)", "x", "'", "[1", ""] {
            assert_eq!(Kind::of(unknown), None, "{unknown}");
        }
    }
}
