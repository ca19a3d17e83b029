//! A path in the form in which rules compare it. Pure; [`super::disk`] adds what the disk says.

use crate::sanitize;

/// A path, under every name by which a rule could know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The canonical path: relative to the root, `/` between names, no `.` and `..`.
    pub path: String,
    /// Other paths that are, or may be, the same file. Rules that tighten look at them as well.
    pub others: Vec<String>,
    /// Why the path is not certain to be one file under one name. Nothing uncertain is allowed.
    pub doubts: Vec<String>,
}

impl Place {
    /// What can be said without the disk.
    pub fn lexical(given: &str) -> Place {
        let mut doubts = Vec::new();
        let drive = given.as_bytes().get(1) == Some(&b':') && given.as_bytes()[0].is_ascii_alphabetic();
        if given.starts_with(['/', '~']) || drive {
            doubts.push("it is absolute; give a path relative to the repository's root".to_owned());
        }
        if given.contains('\\') {
            doubts.push("it holds a backslash, which separates names on some systems".to_owned());
        }
        if let Some(hidden) = given.chars().find(|c| sanitize::hides(*c)) {
            doubts.push(format!("it holds the invisible character {}", hidden.escape_unicode()));
        }
        let slashed = given.replace('\\', "/");
        let mut parts: Vec<&str> = Vec::new();
        for part in slashed.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    doubts.push("it holds `..`, which leads elsewhere behind a link".to_owned());
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        let path = parts.join("/");
        if path.is_empty() {
            doubts.push("it names no file".to_owned());
        }
        // Behind `./` it is a name like any other, but nobody who is given it without that knows so.
        if path.starts_with('~') && !given.starts_with('~') {
            doubts.push("it begins with `~`, which means a home folder".to_owned());
        }
        doubts.extend(parts.iter().filter_map(|part| alias(part)));
        let plain: Vec<String> = parts.iter().map(|part| plain(part)).collect();
        let plain = plain.join("/");
        let others = if plain == path { Vec::new() } else { vec![plain] };
        Place { path, others, doubts }
    }

    /// Every name, the canonical one first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.path.as_str()).chain(self.others.iter().map(String::as_str))
    }
}

/// Why some system may take the name for another one.
fn alias(part: &str) -> Option<String> {
    if part.ends_with(['.', ' ']) {
        return Some(format!("`{part}` ends with a dot or a space, which Windows leaves out"));
    }
    if part.contains(':') {
        return Some(format!("`{part}` holds a colon, which names a stream of a file on Windows"));
    }
    let short = part.split_once('~').is_some_and(|(front, rest)| {
        !front.is_empty() && front.len() <= 6 && rest.starts_with(|c: char| c.is_ascii_digit())
    });
    short.then(|| format!("`{part}` may be the short name of another file on Windows"))
}

/// The name that a forgiving system opens: without what it ignores.
fn plain(part: &str) -> String {
    let name: String = part.chars().filter(|c| !sanitize::hides(*c)).collect();
    let name = name.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_certain() {
        for (given, path) in [
            ("src/a.rs", "src/a.rs"),
            ("./src//a.rs", "src/a.rs"),
            ("src/./a.rs/", "src/a.rs"),
            (".github/x", ".github/x"),
            ("caf\u{e9}/na\u{ef}ve file.txt", "caf\u{e9}/na\u{ef}ve file.txt"),
        ] {
            let place = Place::lexical(given);
            assert_eq!(
                (place.path.as_str(), place.others.len(), place.doubts.len()),
                (path, 0, 0),
                "{given}"
            );
        }
    }

    #[test]
    fn what_some_system_reads_otherwise_is_in_doubt() {
        for (given, also) in [
            ("a/../b", "b"),
            ("../b", "b"),
            ("/etc/passwd", "etc/passwd"),
            ("Makefile.", "Makefile"),
            ("Makefile ", "Makefile"),
            ("secret./x", "secret/x"),
            ("./~", "~"),
            ("./~/x", "~/x"),
            ("secret\\x", "secret/x"),
            ("Makefile::$DATA", "Makefile"),
            ("C:\\x", "C/x"),
            ("Make\u{200c}file", "Makefile"),
            ("MAKEFI~1", "MAKEFI~1"),
            ("", ""),
            ("..", ""),
            (".", ""),
        ] {
            let place = Place::lexical(given);
            assert!(!place.doubts.is_empty(), "{given:?}");
            assert!(place.names().any(|name| name == also), "{given:?}: {place:?}");
        }
    }
}
