//! Globs over paths and over the words of a command. Pure.
//!
//! A pattern is compared in two ways. To *loosen*, it has to match exactly as it is spelled. To
//! *tighten*, it also matches what some file system takes for the same name (another case, another
//! composition of characters) and everything below a folder that it matches. Whatever is uncertain is
//! thereby decided for the stricter side, and no file system has to be probed.

use std::fmt;

use globset::{Glob, GlobBuilder, GlobMatcher};
use unicode_normalization::UnicodeNormalization as _;

/// A name as the most forgiving file system compares it: without case and composition.
pub fn fold(text: &str) -> String {
    // To upper case first: that undoes letters with several small forms, and ligatures.
    text.nfc().collect::<String>().to_uppercase().to_lowercase().nfc().collect()
}

/// One composition for each character.
pub fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// A glob over repository paths, read as in `.gitignore`: without `/`, or with one at its end only, it
/// is a name in any folder; another one counts from the root. `/` at its end means a folder with
/// everything in it. `*` and `?` stay within a name, `**` does not.
#[derive(Debug, Clone)]
pub struct PathGlob {
    text: String,
    exact: GlobMatcher,
    folded: GlobMatcher,
}

impl PathGlob {
    /// # Errors
    /// The sentence to show: what is wrong with the pattern.
    pub fn new(text: &str) -> Result<PathGlob, String> {
        let (exact, folded) = both(&anchored(text)?, Separators::Count)?;
        Ok(PathGlob {
            text: text.to_owned(),
            exact: exact.compile_matcher(),
            folded: folded.compile_matcher(),
        })
    }

    /// Exactly this path, as it is spelled (in composed characters).
    pub fn loosens(&self, path: &str) -> bool {
        self.exact.is_match(composed(path))
    }

    /// This path, a folder on the way to it, or what may be another spelling of one of them.
    pub fn tightens(&self, path: &str) -> bool {
        let path = fold(path);
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.into_iter().any(|end| self.folded.is_match(&path[..end]))
    }
}

impl fmt::Display for PathGlob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// A glob over the words of a command: one glob a word, and `**` at the end for any that follow.
#[derive(Debug, Clone)]
pub struct WordsGlob {
    words: Vec<String>,
    matchers: Vec<WordGlob>,
    rest: bool,
}

/// A glob over one word.
#[derive(Debug, Clone)]
pub struct WordGlob {
    exact: GlobMatcher,
    folded: GlobMatcher,
}

impl WordGlob {
    /// # Errors
    /// The sentence to show: what is wrong with the glob.
    pub fn new(word: &str) -> Result<WordGlob, String> {
        let (exact, folded) = both(word, Separators::Ignored)?;
        Ok(WordGlob { exact: exact.compile_matcher(), folded: folded.compile_matcher() })
    }

    pub fn loosens(&self, word: &str) -> bool {
        self.exact.is_match(composed(word))
    }

    pub fn tightens(&self, word: &str) -> bool {
        self.folded.is_match(fold(word))
    }
}

impl WordsGlob {
    /// # Errors
    /// The sentence to show: what is wrong with the pattern.
    pub fn new(words: &[String]) -> Result<WordsGlob, String> {
        let Some(program) = words.first().filter(|word| !word.is_empty()) else {
            return Err(
                "`run` is empty; write the program and its arguments, such as [\"cargo\", \"test\", \"**\"]"
                    .into(),
            );
        };
        if program.trim_matches('*').is_empty() {
            return Err("`run` has to name its program in the first word".into());
        }
        if program.contains(char::is_whitespace) && words.len() == 1 {
            return Err(format!(
                "`run` is a list of words, not a line for a shell: write {:?}",
                program.split_whitespace().collect::<Vec<_>>()
            ));
        }
        let (last, front) = words.split_last().map_or(("", words), |(last, front)| (last.as_str(), front));
        let rest = last == "**";
        if front.iter().any(|word| word == "**") {
            return Err("`**` stands for all words that follow, so it can only be the last".into());
        }
        let matched = if rest { front } else { words };
        let matchers = matched.iter().map(|word| WordGlob::new(word)).collect::<Result<_, _>>()?;
        Ok(WordsGlob { words: words.to_vec(), matchers, rest })
    }

    /// Exactly these words. The program is what is written: `git` is not `./git`.
    pub fn loosens(&self, argv: &[String]) -> bool {
        self.fits(argv) && self.matchers.iter().zip(argv).all(|(glob, word)| glob.loosens(word))
    }

    /// These words in any case, with the program wherever it lies.
    pub fn tightens(&self, argv: &[String]) -> bool {
        let Some((program, arguments)) = argv.split_first() else { return false };
        let Some((first, others)) = self.matchers.split_first() else { return false };
        self.fits(argv)
            && (first.tightens(program) || first.tightens(&program_name(program)))
            && others.iter().zip(arguments).all(|(glob, word)| glob.tightens(word))
    }

    fn fits(&self, argv: &[String]) -> bool {
        match self.rest {
            true => argv.len() >= self.matchers.len(),
            false => argv.len() == self.matchers.len(),
        }
    }
}

impl fmt::Display for WordsGlob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |word: &String| match word.is_empty() || word.contains(char::is_whitespace) {
            true => format!("{word:?}"),
            false => word.clone(),
        };
        out.write_str(&self.words.iter().map(shown).collect::<Vec<_>>().join(" "))
    }
}

/// The name of a program without its folder and the ending of Windows, folded.
pub fn program_name(program: &str) -> String {
    let name = fold(program.rsplit(['/', '\\']).next().unwrap_or_default());
    let name = name.trim_end_matches(['.', ' ']);
    let ending = [".exe", ".cmd", ".bat", ".com", ".ps1"].iter().find_map(|ending| name.strip_suffix(ending));
    ending.filter(|name| !name.is_empty()).unwrap_or(name).to_owned()
}

/// The glob of a path that some file system could take for one that `text` means, for a whole table.
/// It is compared with a [`fold`]ed path.
///
/// # Errors
/// The sentence to show: what is wrong with the pattern.
pub fn forgiving(text: &str) -> Result<Glob, String> {
    Ok(both(&anchored(text)?, Separators::Count)?.1)
}

/// A path's pattern as a glob that counts from the root.
fn anchored(text: &str) -> Result<String, String> {
    let said = |problem: &str| Err(format!("the pattern {text:?} {problem}"));
    let rooted = text.strip_prefix('/').or_else(|| text.strip_prefix("./"));
    let pattern = rooted.unwrap_or(text);
    if pattern.trim().is_empty() {
        return said("is empty; write `**` for every file");
    }
    if pattern.split('/').any(|part| part == "." || part == "..") {
        return said("holds `.` or `..`; count from the repository's root");
    }
    if pattern.starts_with(['~', '/']) || pattern.contains("//") || pattern.as_bytes().get(1) == Some(&b':') {
        return said("is no path below the repository's root");
    }
    let name = pattern.strip_suffix('/').unwrap_or(pattern);
    let anywhere = if rooted.is_some() || name.contains('/') { "" } else { "**/" };
    // A folder is meant with everything in it.
    let below = if name.len() < pattern.len() { "/**" } else { "" };
    Ok(format!("{anywhere}{name}{below}"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Separators {
    /// `*` does not reach across `/`.
    Count,
    Ignored,
}

/// The pattern as it is spelled, and the one that errs on the side of matching.
fn both(pattern: &str, separators: Separators) -> Result<(Glob, Glob), String> {
    let build = |pattern: &str| {
        GlobBuilder::new(pattern)
            .literal_separator(separators == Separators::Count)
            .backslash_escape(true)
            .empty_alternates(true)
            .build()
            .map_err(|error| format!("the pattern {pattern:?} cannot be read: {}", error.kind()))
    };
    if !pattern.is_ascii() && pattern.contains('[') {
        return Err(format!(
            "the pattern {pattern:?} has `[…]` beside characters that are not ASCII; write {{a,b}} instead"
        ));
    }
    Ok((build(&composed(pattern))?, build(&widened(&fold(pattern)))?))
}

/// The matcher compares bytes: `?` and `[!…]` would miss a character of several bytes.
fn widened(pattern: &str) -> String {
    let mut wide = String::with_capacity(pattern.len());
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                wide.push(c);
                wide.extend(chars.next());
            }
            '?' => wide.push_str("{?,??,???,????}"),
            '[' => {
                let mut class = String::from('[');
                // A `]` at the very beginning is part of the class.
                let mut first = true;
                for next in chars.by_ref() {
                    class.push(next);
                    if next == ']' && !first {
                        break;
                    }
                    first = first && matches!(next, '!' | '^');
                }
                match class[1..].starts_with(['!', '^']) {
                    true => wide.push_str(&format!("{{{class},??,???,????}}")),
                    false => wide.push_str(&class),
                }
            }
            c => wide.push(c),
        }
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (loosens, tightens)
    fn path(pattern: &str, path: &str) -> (bool, bool) {
        let glob = PathGlob::new(pattern).unwrap();
        (glob.loosens(path), glob.tightens(path))
    }

    #[test]
    fn paths_loosen_as_they_are_spelled() {
        for (pattern, tried, expected) in [
            ("src/**", "src/a.rs", (true, true)),
            ("src/**", "src/a/b.rs", (true, true)),
            ("src/*", "src/a/b.rs", (false, true)),
            ("src/**", "SRC/a.rs", (false, true)),
            ("src/**", "other/src/a.rs", (false, false)),
            ("src/", "src/a/b.rs", (true, true)),
            ("src/", "x/src/a/b.rs", (true, true)),
            ("/src/", "x/src/a/b.rs", (false, false)),
            ("src/", "src", (false, false)),
            ("src", "src/a/b.rs", (false, true)),
            ("src", "x/src/b.rs", (false, true)),
            ("*.md", "docs/a.md", (true, true)),
            ("/*.md", "docs/a.md", (false, false)),
            ("/*.md", "a.md", (true, true)),
            ("./a.md", "a.md", (true, true)),
            ("docs/*.md", "docs/a.md", (true, true)),
            ("a{b,c}.rs", "ac.rs", (true, true)),
            ("caf\u{e9}.txt", "cafe\u{301}.txt", (true, true)),
            ("cafe\u{301}.txt", "caf\u{e9}.txt", (true, true)),
            ("CAF\u{c9}.txt", "cafe\u{301}.txt", (false, true)),
            ("secret?.txt", "secret\u{e9}.txt", (false, true)),
            ("secret[!x].txt", "secret\u{1f600}.txt", (false, true)),
            ("secret[!x].txt", "secretx.txt", (false, false)),
            ("secrets/**", "\u{17f}ecrets/a", (false, true)),
            ("files/**", "\u{fb01}les/a", (false, true)),
            ("**", "a/b", (true, true)),
            ("a\\*", "a*", (true, true)),
            ("a\\*", "ab", (false, false)),
        ] {
            assert_eq!(path(pattern, tried), expected, "{pattern} {tried}");
        }
    }

    #[test]
    fn patterns_that_mean_nothing_are_refused() {
        for bad in
            ["", " ", "/", "./", "a//b", "../x", "a/../b", "~/x", "C:/x", "a[", "{a", "//x", "[\u{e9}]"]
        {
            assert!(PathGlob::new(bad).is_err(), "{bad:?}");
        }
    }

    /// (loosens, tightens)
    fn words(pattern: &[&str], argv: &[&str]) -> (bool, bool) {
        let owned = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let glob = WordsGlob::new(&owned(pattern)).unwrap();
        (glob.loosens(&owned(argv)), glob.tightens(&owned(argv)))
    }

    #[test]
    fn words_are_matched_one_by_one() {
        for (pattern, argv, expected) in [
            (&["git", "status"][..], &["git", "status"][..], (true, true)),
            (&["git", "status"], &["git", "status", "-s"], (false, false)),
            (&["git", "status", "**"], &["git", "status", "-s", "x"], (true, true)),
            (&["git", "status", "**"], &["git", "status"], (true, true)),
            (&["git", "*"], &["git", "log"], (true, true)),
            (&["git", "*"], &["git"], (false, false)),
            (&["git", "*"], &["git", "log", "-p"], (false, false)),
            (&["git", "status"], &["git status"], (false, false)),
            (&["git", "status"], &["./git", "status"], (false, true)),
            (&["git", "status"], &["C:\\evil\\GIT.EXE", "status"], (false, true)),
            (&["rm", "**"], &["/bin/rm", "-rf", "x"], (false, true)),
            (&["cargo", "test", "--*"], &["cargo", "test", "--a/b"], (true, true)),
            (&["cargo", "test"], &[], (false, false)),
        ] {
            assert_eq!(words(pattern, argv), expected, "{pattern:?} {argv:?}");
        }
    }

    #[test]
    fn lines_for_a_shell_and_programs_without_a_name_are_refused() {
        for bad in [&[][..], &[""], &["*"], &["**"], &["git status"], &["git", "**", "x"], &["git", "["]] {
            let words: Vec<String> = bad.iter().map(|word| word.to_string()).collect();
            assert!(WordsGlob::new(&words).is_err(), "{bad:?}");
        }
    }
}
