//! Traits that can be derived and are missing. rustc offers them itself where the type is of the crate that it
//! compiles; what tests beside a library miss it only says.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::Correction;

const DERIVABLE: [&str; 9] =
    ["Clone", "Copy", "Debug", "Default", "Eq", "Hash", "Ord", "PartialEq", "PartialOrd"];

/// Names of types, each with the traits that it has to have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missing(BTreeMap<String, BTreeSet<&'static str>>);

impl Missing {
    /// Takes note of what one sentence of the compiler says.
    pub(super) fn hear(&mut self, said: &str) {
        let Some((name, wanted)) = type_and_trait(said) else { return };
        let Some(known) = DERIVABLE.into_iter().find(|known| *known == wanted) else { return };
        self.0.entry(name.to_owned()).or_default().insert(known);
    }

    /// An attribute for each of the types that this text declares, once.
    pub(super) fn in_file(&self, path: &str, text: &str) -> Vec<Correction> {
        let attribute = |(name, traits): (&String, &BTreeSet<&str>)| {
            let declared = format!(r"(?m)^([ \t]*)(?:pub(?:\([^)]*\))?\s+)?(?:struct|enum)\s+{name}\b");
            // The name is one of an identifier.
            let declared = Regex::new(&declared).ok()?;
            let mut places = declared.captures_iter(text);
            let (Some(place), None) = (places.next(), places.next()) else { return None };
            let start = place.get(0)?.start();
            let traits: Vec<&str> = traits.iter().copied().collect();
            let line = format!("{}#[derive({})]\n", &place[1], traits.join(", "));
            Some(Correction { file: path.to_owned(), parts: vec![(start..start, line)] })
        };
        self.0.iter().filter_map(attribute).collect()
    }
}

/// The last names of a type and of the trait that it does not have.
fn type_and_trait(said: &str) -> Option<(&str, &str)> {
    let has_not =
        said.split_once("` doesn't implement `").or_else(|| said.split_once("` does not implement `"));
    let (name, wanted) = if let Some((before, after)) = has_not {
        (before.rsplit('`').next()?, up_to_quote(after)?)
    } else if let Some((_, bound)) = said.split_once("the trait bound `") {
        up_to_quote(bound)?.split_once(": ")?
    } else {
        let (_, kind) = said.split_once("no method named `clone` found for ")?;
        let name = kind.strip_prefix("struct `").or_else(|| kind.strip_prefix("enum `"))?;
        (up_to_quote(name)?, "Clone")
    };
    let name = last(name.split('<').next()?);
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name.then(|| (name, last(wanted)))
}

fn up_to_quote(text: &str) -> Option<&str> {
    Some(text.split_once('`')?.0)
}

/// The last name of a path.
fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a text after these sentences.
    fn derived(said: &[&str], text: &str) -> String {
        let mut missing = Missing::default();
        said.iter().for_each(|said| missing.hear(said));
        super::super::corrected(text, &missing.in_file("src/lib.rs", text)).unwrap()
    }

    #[test]
    fn what_tests_of_a_library_miss_is_derived() {
        let said = [
            "binary operation `==` cannot be applied to type `clock::Clock`",
            "`clock::Clock` does not implement `PartialEq`",
            "`clock::Clock` doesn't implement `Debug`",
            "`clock::Clock` doesn't implement `Debug`",
            "`clock::Clock` doesn't implement `std::fmt::Display`",
            "no method named `clone` found for struct `clock::Clock` in the current scope",
            "the trait bound `clock::a::Kind<u8>: std::hash::Hash` is not satisfied",
            "the trait bound `clock::Clock: From<u8>` is not satisfied",
        ];
        let text = "/// A clock.\npub struct Clock {\n    kind: a::Kind<u8>,\n}\n\nmod a {\n    #[repr(u8)]\n    pub(crate) enum Kind<T> {}\n}\n";
        let expected = "/// A clock.\n#[derive(Clone, Debug, PartialEq)]\npub struct Clock {\n    kind: a::Kind<u8>,\n}\n\nmod a {\n    #[repr(u8)]\n    #[derive(Hash)]\n    pub(crate) enum Kind<T> {}\n}\n";
        assert_eq!(derived(&said, text), expected);
    }

    #[test]
    fn only_a_type_that_is_declared_once_is_meant() {
        let said = ["`a::Clock` doesn't implement `Debug`"];
        for text in [
            "pub struct Clocks;\n",
            "// struct Clock\n",
            "struct Clock;\nmod b {\n    struct Clock;\n}\n",
            "impl Clock {}\n",
        ] {
            assert_eq!(derived(&said, text), text);
        }
    }

    #[test]
    fn other_sentences_say_nothing() {
        for said in [
            "",
            "`",
            "` doesn't implement `",
            "`a` doesn't implement `Debug",
            "the trait bound `a` is not satisfied",
            "`(a::B, u8)` doesn't implement `Debug`",
            "no method named `clone` found for reference `&a::B`",
            "mismatched types",
        ] {
            let mut missing = Missing::default();
            missing.hear(said);
            assert_eq!(missing, Missing::default(), "{said}");
        }
    }
}
