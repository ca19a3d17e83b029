//! Definitions that an answer leaves out without having been asked to. Pure.
//!
//! A small model that writes a whole file anew forgets what the request does not speak of, or moves it
//! where nobody finds it. It is told so once; whoever means it says it again.

use std::sync::LazyLock;

use regex::Regex;

use crate::edit::grammar::Definition;

/// What the model is told of definitions of `before` that are not in `after`; `None` where nothing is
/// missing, or where `wanted`, the words of the request and of the step, ask for it.
pub(super) fn told(before: &[Definition], after: &[Definition], wanted: &str) -> Option<String> {
    let same =
        |one: &Definition, other: &Definition| one.name == other.name && one.container == other.container;
    let is_missing = |one: &&Definition| !after.iter().any(|other| same(one, other));
    let mut names: Vec<String> = Vec::new();
    for one in before.iter().filter(is_missing).filter(|one| !asks_for(wanted, &one.name)) {
        let name = match &one.container {
            // What stood in something that is missing itself is missing with it.
            Some(container) if names.contains(&format!("`{container}`")) => continue,
            Some(container) => format!("`{}` of `{container}`", one.name),
            None => format!("`{}`", one.name),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let (last, first) = names.split_last()?;
    let all = if first.is_empty() { last.clone() } else { format!("{} and {last}", first.join(", ")) };
    Some(format!(
        "The answer leaves out {all}, which the file defines and others may use. Write all of the file, with \
         that in its place, unless the task is to take it away."
    ))
}

/// Whether the words may ask for a definition of this name to go.
fn asks_for(wanted: &str, name: &str) -> bool {
    // The invariant behind `unwrap`: the pattern is fixed, and a test uses it.
    static CHANGES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?i)\b(renam|remov|delet|drop|mov|inlin|merg|extract|split|replac|rewrit|clean|dead|unused)",
        )
        .unwrap()
    });
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_named = wanted.split(|c| !is_word(c)).any(|word| word == name);
    is_named && CHANGES.is_match(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defined(names: &[(&str, Option<&str>)]) -> Vec<Definition> {
        let one = |(name, container): &(&str, Option<&str>)| Definition {
            name: (*name).to_owned(),
            container: container.map(str::to_owned),
            lines: 0..1,
            lead: 0,
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn what_is_left_out_is_named_unless_it_is_asked_for() {
        let before = defined(&[("Character", None), ("__init__", Some("Character")), ("modifier", None)]);
        let inside =
            defined(&[("Character", None), ("__init__", Some("Character")), ("modifier", Some("Character"))]);
        let task = "Add the modifier of the constitution to the hitpoints.";
        assert_eq!(told(&before, &before, task), None);
        let said = told(&before, &inside, task).unwrap();
        assert!(said.contains("leaves out `modifier`,"), "{said}");
        let said = told(&before, &[], task).unwrap();
        assert!(said.contains("leaves out `Character` and `modifier`,"), "{said}");
        for asked in ["Rename modifier to bonus", "modifier is dead code", "Move `modifier` into the class"] {
            assert_eq!(told(&before, &inside, asked), None, "{asked}");
        }
        assert!(told(&before, &inside, "Remove the comments").is_some(), "another removal");
        let shrunk = defined(&[("Character", None), ("modifier", None)]);
        assert!(told(&before, &shrunk, task).unwrap().contains("`__init__` of `Character`"));
    }
}
