//! Owns what `.gitattributes` say of where files come from: `linguist-generated`,
//! `linguist-vendored` and `linguist-documentation`. Pure. It must not read files.
//!
//! Rules are git's: of several patterns that match a path the last one counts, and a file in a
//! deeper directory comes after those above it. A pattern without `/` matches a name anywhere below.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::{Deserialize, Serialize};

/// Bytes of one file that are read.
pub const LONGEST_FILE: u64 = 256 * 1024;
/// Rules and bytes of a pattern that count; more would be made to cost.
const MOST_RULES: usize = 4_000;
const LONGEST_PATTERN: usize = 500;

/// The attributes, as they are written.
const NAMES: [&str; 3] = ["linguist-generated", "linguist-vendored", "linguist-documentation"];

/// One line of one file about one attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Path of the file that says so.
    pub file: String,
    pub pattern: String,
    /// Index in [`NAMES`].
    attribute: usize,
    /// Set, or unset by `-name` or `name=false`.
    value: bool,
}

/// The rules in the text of the file at `path`, in order.
pub fn rules(path: &str, text: &str) -> Vec<Rule> {
    let mut rules = Vec::new();
    for line in text.lines().map(str::trim) {
        let Some((pattern, states)) = pattern(line) else { continue };
        for state in states.split_whitespace() {
            let (name, value) = match state.strip_prefix('-').or_else(|| state.strip_prefix('!')) {
                Some(name) => (name, false),
                None => match state.split_once('=') {
                    Some((name, value)) => (name, value != "false"),
                    None => (state, true),
                },
            };
            if let Some(attribute) = NAMES.iter().position(|known| *known == name) {
                rules.push(Rule { file: path.to_owned(), pattern: pattern.clone(), attribute, value });
            }
        }
    }
    rules
}

/// The pattern of a line and the rest of it. Comments, macros and negated patterns, which git
/// refuses, have none.
fn pattern(line: &str) -> Option<(String, &str)> {
    if let Some(quoted) = line.strip_prefix('"') {
        let end = quoted.find('"')?;
        return Some((quoted[..end].to_owned(), &quoted[end + 1..]));
    }
    let (pattern, rest) = line.split_once([' ', '\t'])?;
    let is_usable = !pattern.starts_with(['#', '!']) && !pattern.starts_with("[attr]");
    (is_usable && pattern.len() <= LONGEST_PATTERN).then(|| (pattern.to_owned(), rest))
}

/// Rules, ready to be asked.
pub struct Attributes {
    matchers: [Option<Gitignore>; 3],
}

impl Attributes {
    /// `rules` in any order of files. Patterns that cannot be read say nothing, nor do those that
    /// are too long: rules of an archive have not been through [`rules`].
    pub fn new(mut rules: Vec<Rule>) -> Attributes {
        rules.retain(|rule| rule.pattern.len() <= LONGEST_PATTERN);
        // Stable: the order within a file stays.
        rules.sort_by(|a, b| {
            (a.file.matches('/').count(), &a.file).cmp(&(b.file.matches('/').count(), &b.file))
        });
        rules.truncate(MOST_RULES);
        let matcher = |attribute: usize| {
            let mut builder = GitignoreBuilder::new("");
            let mine: Vec<&Rule> = rules.iter().filter(|rule| rule.attribute == attribute).collect();
            for rule in &mine {
                // One line that cannot be read must not make the others silent.
                drop(builder.add_line(None, &glob(rule)));
            }
            (!mine.is_empty()).then(|| builder.build().ok()).flatten()
        };
        Attributes { matchers: std::array::from_fn(matcher) }
    }

    pub fn generated(&self, path: &str) -> Option<bool> {
        self.get(0, path)
    }

    pub fn vendored(&self, path: &str) -> Option<bool> {
        self.get(1, path)
    }

    pub fn documentation(&self, path: &str) -> Option<bool> {
        self.get(2, path)
    }

    /// `None`: nothing is said of this path.
    fn get(&self, attribute: usize, path: &str) -> Option<bool> {
        match self.matchers[attribute].as_ref()?.matched(path, false) {
            Match::None => None,
            Match::Ignore(_) => Some(true),
            Match::Whitelist(_) => Some(false),
        }
    }
}

/// A rule as a line of an ignore file at the root: what is unset is let through.
fn glob(rule: &Rule) -> String {
    let directory = rule.file.rsplit_once('/').map_or("", |(directory, _)| directory);
    let escaped: String = directory
        .chars()
        .flat_map(|c| "*?[]{}\\".contains(c).then_some('\\').into_iter().chain([c]))
        .collect();
    let sign = if rule.value { "" } else { "!" };
    let pattern = rule.pattern.strip_prefix('/').unwrap_or(&rule.pattern);
    match (directory.is_empty(), rule.pattern.contains('/')) {
        (true, true) => format!("{sign}/{pattern}"),
        (true, false) => format!("{sign}{pattern}"),
        (false, true) => format!("{sign}/{escaped}/{pattern}"),
        (false, false) => format!("{sign}/{escaped}/**/{pattern}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(files: &[(&str, &str)]) -> Attributes {
        Attributes::new(files.iter().flat_map(|(path, text)| rules(path, text)).collect())
    }

    #[test]
    fn the_last_match_counts() {
        let found = attributes(&[(
            ".gitattributes",
            "# linguist-generated\n*.go linguist-generated\nhand.go -linguist-generated\n\"a b.go\" linguist-generated=false\n",
        )]);
        assert_eq!(found.generated("x/a.go"), Some(true));
        assert_eq!(found.generated("x/hand.go"), Some(false));
        assert_eq!(found.generated("a b.go"), Some(false));
        assert_eq!(found.generated("a.rs"), None);
        assert_eq!(found.vendored("x/a.go"), None);
    }

    #[test]
    fn deeper_files_come_later_and_speak_of_what_is_below() {
        let found = attributes(&[
            ("lib/[x]/.gitattributes", "*.c -linguist-vendored\n/top.h linguist-vendored=true\n"),
            (".gitattributes", "lib/** linguist-vendored text=auto\ndocs/*.rb linguist-documentation\n"),
        ]);
        assert_eq!(found.vendored("lib/a.c"), Some(true));
        assert_eq!(found.vendored("lib/[x]/deep/a.c"), Some(false));
        assert_eq!(found.vendored("lib/[x]/top.h"), Some(true));
        assert_eq!(found.vendored("other/lib/a.c"), None);
        assert_eq!(found.documentation("docs/a.rb"), Some(true));
        assert_eq!(found.documentation("docs/b/a.rb"), None);
    }

    #[test]
    fn hostile_lines_say_nothing() {
        let long = format!("{} linguist-generated\n", "a".repeat(10_000));
        let braces = format!("{} linguist-generated\n", "{a,b}".repeat(90));
        let many = "[[[ linguist-generated\n*.x linguist-vendored\n".repeat(20_000);
        let found = attributes(&[
            ("a/.gitattributes", &long),
            ("b/.gitattributes", &braces),
            (".gitattributes", &many),
        ]);
        assert_eq!(found.generated(&"a".repeat(10_000)), None);
        assert_eq!(found.vendored("a.x"), Some(true));
    }
}
