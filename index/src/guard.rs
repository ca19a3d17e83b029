//! Owns which texts must not reach a parser. Grammars are C code: some of their scanners write
//! behind a buffer, stop the process or take for ever when a text nests deeper than anybody writes.
//! The checks count; they cost one look at each byte. Pure.

use std::collections::BTreeSet;

/// Brackets nested deeper are not parsed: the parser frees its stack by recursion and would exhaust
/// ours. Source that people write nests some tens deep.
const DEEPEST_NESTING: usize = 2_000;
/// Widths of indentation. Python's scanner keeps a stack of them, which is strictly ascending and
/// has room for 380; some text has a hundred because it is aligned.
const MOST_INDENTATIONS: usize = 250;
/// Widths are kept in 16 bits, so that a wider one would be taken for a small one again and again.
const WIDEST_INDENTATION: usize = 10_000;
/// Characters of the word that ends a here document. Ruby's scanner keeps the length in one byte and
/// checks it with an assertion.
const LONGEST_WORD: usize = 200;
/// Elements nested deeper: HTML's scanner copies the whole stack of tags at every token.
const DEEPEST_ELEMENT: usize = 500;
/// Lines that a command of a shell goes on over. Where such a chain ends open, the parser unrolls it in
/// every way in which it could have been read.
const LONGEST_CHAIN: usize = 200;

/// Elements without content.
const VOID_ELEMENTS: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
];

/// Whether the parser of `language` can be given `source`.
pub fn is_safe(language: &str, source: &str) -> bool {
    deepest_nesting(source) <= DEEPEST_NESTING
        && match language {
            "python" => has_few_indentations(source),
            "bash" => has_short_chains(source),
            "ruby" => has_short_words(source),
            "html" => deepest_element(source) <= DEEPEST_ELEMENT,
            _ => true,
        }
}

/// Depth of brackets, whatever they stand in.
fn deepest_nesting(source: &str) -> usize {
    let mut depth = 0usize;
    let mut deepest = 0;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Counts the widths as Python's scanner measures them: a tab is eight, a form feed or carriage
/// return begins anew, and a backslash at the end of a line carries the width to the next.
fn has_few_indentations(source: &str) -> bool {
    let mut widths = BTreeSet::new();
    let mut width = Some(0);
    let mut bytes = source.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, width) {
            (b'\n', _) => width = Some(0),
            (_, None) => {}
            (b' ', Some(now)) => width = Some(now + 1),
            (b'\t', Some(now)) => width = Some(now + 8),
            (b'\r' | 0x0c, Some(_)) => width = Some(0),
            (b'\\', Some(now)) => {
                bytes.next_if_eq(&b'\r');
                width = bytes.next_if_eq(&b'\n').map(|_| now);
            }
            (_, Some(now)) => {
                widths.insert(now);
                width = None;
                if now > WIDEST_INDENTATION || widths.len() > MOST_INDENTATIONS {
                    return false;
                }
            }
        }
    }
    true
}

/// Whether no here document, or what looks like one, has a word that is too long.
fn has_short_words(source: &str) -> bool {
    source.match_indices("<<").all(|(at, _)| {
        let rest = source[at + 2..].trim_start_matches(['-', '~']);
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
        let word = &rest[quote.map_or(0, char::len_utf8)..];
        let is_in_word = |c: char| quote.map_or(c.is_alphanumeric() || c == '_', |quote| c != quote);
        word.chars().take(LONGEST_WORD + 1).take_while(|&c| is_in_word(c)).count() <= LONGEST_WORD
    })
}

/// Elements that end where another one of their name begins. What they close besides does not matter:
/// a depth that is too great only means that a text is not parsed.
const SELF_ENDING: [&str; 9] = ["p", "li", "dt", "dd", "tr", "td", "th", "option", "optgroup"];

/// Whether no chain of lines that end in an operator is too long.
fn has_short_chains(source: &str) -> bool {
    let mut length = 0;
    source.lines().all(|line| {
        let line = line.trim_end();
        length = if line.ends_with(['|', '&', '\\']) { length + 1 } else { 0 };
        length <= LONGEST_CHAIN
    })
}

/// Depth of elements.
fn deepest_element(source: &str) -> usize {
    let mut open: Vec<&str> = Vec::new();
    let mut deepest = 0;
    for (at, _) in source.match_indices('<') {
        let rest = &source[at + 1..];
        let (is_end, rest) = match rest.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        // White space may stand before the name, and any letter in it.
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | ':')).unwrap_or(rest.len());
        let name = &rest[..end];
        if name.is_empty() || VOID_ELEMENTS.iter().any(|void| name.eq_ignore_ascii_case(void)) {
            continue;
        }
        if !is_end {
            let ends_last = open.last().is_some_and(|last| {
                last.eq_ignore_ascii_case(name)
                    && SELF_ENDING.iter().any(|known| name.eq_ignore_ascii_case(known))
            });
            if ends_last {
                continue;
            }
            open.push(name);
            deepest = deepest.max(open.len());
            if deepest > DEEPEST_ELEMENT {
                break;
            }
        } else if let Some(at) = open.iter().rposition(|known| known.eq_ignore_ascii_case(name)) {
            open.truncate(at);
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_safe() {
        for language in crate::lang::all() {
            let folder = format!("{}/tests/languages/{}", env!("CARGO_MANIFEST_DIR"), language.name);
            for entry in std::fs::read_dir(folder).unwrap() {
                let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
                assert!(is_safe(language.name, &source), "{}", language.name);
            }
        }
        let list = "<ul><li>a<li>b<br><p>c<p>d</ul>\n".repeat(2_000);
        assert!(is_safe("html", &list));
    }

    #[test]
    fn nesting_is_counted() {
        assert!(is_safe("c", &"((".repeat(1_000)));
        assert!(!is_safe("c", &"(".repeat(2_001)));
        assert!(is_safe("c", &"()".repeat(5_000)));
        assert!(!is_safe("html", &"<<A\n".repeat(1_000)));
        assert!(!is_safe("html", &"<li><p>".repeat(1_000)));
        assert!(!is_safe("html", &"<<<< \n é\n".repeat(1_000)));
    }

    #[test]
    fn indentation_is_measured_as_the_scanner_does() {
        let lines = |line: fn(usize) -> String| (0..600).map(line).collect::<String>();
        assert!(!is_safe("python", &lines(|n| format!("{}if a:\n", " ".repeat(n)))));
        assert!(is_safe("ruby", &lines(|n| format!("{}if a:\n", " ".repeat(n)))));
        assert!(is_safe("python", &lines(|n| format!("{}if a:\n", " ".repeat(n % 100)))));
        // As many characters each, but not as wide.
        assert!(!is_safe(
            "python",
            &lines(|n| format!("{}\x0c{}if a:\n", " ".repeat(600 - n), " ".repeat(n)))
        ));
        assert!(!is_safe(
            "python",
            &lines(|n| format!("{}{}if a:\n", "\t".repeat(n / 8), " ".repeat(n % 8)))
        ));
        assert!(!is_safe("python", &lines(|n| format!("{}a\n", " \\\n".repeat(n)))));
        assert!(!is_safe("python", &format!("{}a\n", "\t".repeat(8_193))));
    }

    #[test]
    fn chains_are_measured() {
        assert!(!is_safe("bash", &"key: |\n".repeat(1_000)));
        assert!(!is_safe("bash", &"a && \n".repeat(1_000)));
        assert!(is_safe("bash", &"a |\n  b\n".repeat(1_000)));
    }

    #[test]
    fn words_are_measured() {
        let word = "A".repeat(300);
        for text in [format!("<<{word}"), format!("a(<<~\"{word}\")"), format!("<<-'{}'", "é \n".repeat(100))]
        {
            assert!(!is_safe("ruby", &text), "{text}");
        }
        assert!(is_safe("ruby", &format!("a <<TEXT\n{word}\nTEXT\n")));
    }
}
