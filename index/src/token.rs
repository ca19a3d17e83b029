//! Owns how text becomes search tokens: words, their parts, a light stem, and compounds.
//! Pure. It must not know files, queries or weights; index and query must both go through it, or
//! they would not meet.

use std::borrow::Cow;

use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// Parts longer than this many bytes are data (hashes, base64), not words.
const LONGEST_PART: usize = 40;
/// Compounds longer than this many bytes are left out for the same reason.
const LONGEST_COMPOUND: usize = 64;

/// A maximal run of letters, digits and underscores, with its place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<'a> {
    pub text: &'a str,
    /// Byte offset of the first character.
    pub start: usize,
}

/// The words of a text, in order.
pub fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some((false, length)) = character(text, at) {
            at += length;
        }
        let start = at;
        while let Some((true, length)) = character(text, at) {
            at += length;
        }
        (start < at).then(|| Word { text: &text[start..at], start })
    })
}

/// Whether the character at byte `at` is part of a word, and its bytes. Nearly all source is ASCII, and
/// all of it is read by this.
fn character(text: &str, at: usize) -> Option<(bool, usize)> {
    match *text.as_bytes().get(at)? {
        byte if byte.is_ascii() => Some((byte == b'_' || byte.is_ascii_alphanumeric(), 1)),
        _ => text[at..].chars().next().map(|c| (is_word(c), c.len_utf8())),
    }
}

/// Marks belong to the letter before them: vowels of Hindi and Thai are such.
fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric() || !c.is_ascii() && is_combining_mark(c)
}

/// The text with one character where one or several may be written, as most editors write it.
pub fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// Appends the tokens of `text` to `out`, each followed by one space, and returns how many.
pub fn append_tokens(text: &str, out: &mut String) -> usize {
    let mut scratch = Scratch::default();
    words(&composed(text)).map(|word| append_word(word.text, &mut scratch, out)).sum()
}

/// What is used anew for each word.
#[derive(Default)]
struct Scratch {
    parts: Vec<(usize, usize)>,
    compound: String,
}

/// The tokens of a text as separate strings.
pub fn tokens(text: &str) -> Vec<String> {
    let mut joined = String::new();
    append_tokens(text, &mut joined);
    joined.split_ascii_whitespace().map(str::to_owned).collect()
}

/// The tokens of one word: its stemmed parts and, when there are several, their concatenation, so
/// that `line_ending`, `LineEnding` and "line ending" meet in `lineend`.
fn append_word(word: &str, scratch: &mut Scratch, out: &mut String) -> usize {
    let Scratch { parts, compound } = scratch;
    parts.clear();
    compound.clear();
    split(word, parts);
    let mut count = 0;
    let spaced = |&(start, end): &(usize, usize)| !word[start..end].starts_with(is_unspaced);
    let several = parts.len() > 1 && parts.iter().copied().filter(|part| spaced(part)).count() > 1;
    for &(start, end) in parts.iter() {
        let part = &word[start..end];
        if part.starts_with(is_unspaced) {
            count += append_unspaced(part, out);
            continue;
        }
        if part.len() > LONGEST_PART {
            continue;
        }
        let mark = out.len();
        append_stem(part, out);
        if several && compound.len() <= LONGEST_COMPOUND {
            compound.push_str(&out[mark..]);
        }
        if out.len() - mark < 2 {
            out.truncate(mark);
        } else {
            out.push(' ');
            count += 1;
        }
    }
    if several && (3..=LONGEST_COMPOUND).contains(&compound.len()) {
        out.push_str(compound);
        out.push(' ');
        count += 1;
    }
    count
}

/// Scripts written without spaces give overlapping pairs of characters.
fn append_unspaced(run: &str, out: &mut String) -> usize {
    let characters: Vec<char> = run.chars().collect();
    if characters.len() == 1 {
        out.push(characters[0]);
        out.push(' ');
        return 1;
    }
    for pair in characters.windows(2) {
        out.extend(pair);
        out.push(' ');
    }
    characters.len() - 1
}

/// Han, Hiragana, Katakana, Hangul, Thai, Lao, Burmese and Khmer: a run of them is not one word.
fn is_unspaced(c: char) -> bool {
    matches!(c as u32, 0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7af | 0xf900..=0xfaff | 0x20000..=0x2ffff)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Lower,
    Upper,
    Digit,
    Underscore,
    Unspaced,
}

fn class(c: char) -> Class {
    match c {
        '_' => Class::Underscore,
        'a'..='z' => Class::Lower,
        c if c.is_ascii_digit() => Class::Digit,
        c if c.is_uppercase() => Class::Upper,
        c if is_unspaced(c) => Class::Unspaced,
        _ => Class::Lower,
    }
}

/// Splits a word at underscores, at `aB`, before the last capital of `ABc`, and where a script
/// without spaces begins or ends. Digits stay with what stands before them (`utf8`, `py3`).
pub fn split(word: &str, parts: &mut Vec<(usize, usize)>) {
    if word.is_ascii() {
        split_at_classes(word.len(), word.bytes().map(|byte| class(char::from(byte))).enumerate(), parts);
    } else {
        split_at_classes(word.len(), word.char_indices().map(|(at, c)| (at, class(c))), parts);
    }
}

fn split_at_classes(
    end: usize,
    classes: impl Iterator<Item = (usize, Class)>,
    parts: &mut Vec<(usize, usize)>,
) {
    let mut start = 0;
    let mut classes = classes.peekable();
    let mut previous = Class::Underscore;
    while let Some((at, now)) = classes.next() {
        let breaks = match (previous, now) {
            (Class::Underscore, _) | (_, Class::Underscore) => true,
            (Class::Unspaced, other) | (other, Class::Unspaced) => other != Class::Unspaced,
            (Class::Lower | Class::Digit, Class::Upper) => true,
            (Class::Upper, Class::Upper) => classes.peek().is_some_and(|(_, next)| *next == Class::Lower),
            _ => false,
        };
        if breaks {
            if previous != Class::Underscore && start < at {
                parts.push((start, at));
            }
            start = at;
        }
        previous = now;
    }
    if previous != Class::Underscore && start < end {
        parts.push((start, end));
    }
}

/// Appends the lower-case stem of one part.
fn append_stem(part: &str, out: &mut String) {
    let mark = out.len();
    if !part.is_ascii() {
        out.extend(part.chars().flat_map(char::to_lowercase));
        return;
    }
    out.push_str(part);
    out[mark..].make_ascii_lowercase();
    stem(mark, out);
}

/// A light English stem in place, on `out[mark..]`: plural, `-ed`, `-ing`, final `-e` and `-y`.
/// It only shortens or replaces one ASCII letter, so that it costs nothing and never surprises.
fn stem(mark: usize, out: &mut String) {
    if out.len() - mark < 4 || !out.as_bytes()[mark..].iter().all(u8::is_ascii_lowercase) {
        return;
    }
    let ends = |out: &String, suffix: &str| out[mark..].ends_with(suffix);
    if ends(out, "ies") || ends(out, "sses") || ends(out, "xes") || ends(out, "ches") || ends(out, "shes") {
        out.truncate(out.len() - 2);
    } else if ends(out, "s") && !ends(out, "ss") && !ends(out, "us") && !ends(out, "is") {
        out.truncate(out.len() - 1);
    }
    for suffix in ["ing", "ed"] {
        let keep = out.len().saturating_sub(suffix.len());
        if ends(out, suffix)
            && keep >= mark + 3
            && out.as_bytes()[mark..keep].iter().any(is_vowel)
            && !ends(out, "eed")
        {
            out.truncate(keep);
            let tail = &out.as_bytes()[keep - 2..keep];
            if tail[0] == tail[1] && !matches!(tail[0], b'l' | b's' | b'z') {
                out.truncate(keep - 1);
            }
            break;
        }
    }
    let length = out.len() - mark;
    if length > 3 && ends(out, "e") {
        out.truncate(out.len() - 1);
    } else if length > 2 && ends(out, "y") && !is_vowel(&out.as_bytes()[out.len() - 2]) {
        out.truncate(out.len() - 1);
        out.push('i');
    }
}

fn is_vowel(byte: &u8) -> bool {
    matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u' | b'y')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(tokens(text), expected, "{text}");
    }

    #[test]
    fn the_three_spellings_meet() {
        check("line_ending", &["lin", "end", "linend"]);
        check("LineEnding", &["lin", "end", "linend"]);
        check("line ending", &["lin", "end"]);
        check("LINE_ENDINGS", &["lin", "end", "linend"]);
    }

    #[test]
    fn words_are_split_where_people_see_them() {
        check("HTTPServer2", &["http", "server2", "httpserver2"]);
        check("__init__", &["init"]);
        check("getXY", &["get", "xy", "getxy"]);
        check("a b c", &[]);
        check("x_y", &[]);
        check("utf8 py3", &["utf8", "py3"]);
    }

    #[test]
    fn stems_are_light() {
        check("parsing parsed parses parse", &["pars", "pars", "pars", "pars"]);
        check("queries query", &["queri", "queri"]);
        check("class classes", &["class", "class"]);
        check("status string bed need", &["status", "string", "bed", "need"]);
        check("running stopped calling", &["run", "stop", "call"]);
    }

    #[test]
    fn other_scripts_are_words_too() {
        check("Größe der Datei", &["größe", "der", "datei"]);
        check("файлы", &["файлы"]);
        check("文件名parser", &["文件", "件名", "parser"]);
        // However long a sentence without spaces is.
        assert_eq!(tokens(&"文件".repeat(30)).len(), 59);
        check("पासवर्ड cafe\u{301}", &["पासवर्ड", "café"]);
    }

    #[test]
    fn data_is_not_a_word() {
        check(&"a".repeat(41), &[]);
        check(&"ab_".repeat(400), &["ab"; 400]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_whole_tokens(text in ".{0,200}") {
            let mut out = String::new();
            let count = append_tokens(&text, &mut out);
            assert_eq!(out.split_ascii_whitespace().count(), count);
            assert!(tokens(&text).iter().all(|t| !t.is_empty() && !t.contains(char::is_whitespace)));
        }
    }
}
