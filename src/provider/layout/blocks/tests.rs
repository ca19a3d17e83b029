//! A reader of as much GBNF as is written here, and what the grammar takes by it. That it takes the
//! same as the other notation is tested where llguidance is (`embedded::constrain`).

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::provider::SearchLine;

/// One part of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(String),
    /// Any character but those from the first to the last of one of these.
    Not(Vec<[char; 2]>),
    /// Any character from the first to the last of one of these.
    Among(Vec<[char; 2]>),
    Rule(String),
    Maybe(Box<Part>),
}

/// What has to come, the next part last.
type Way = Vec<Part>;
type Rules = BTreeMap<String, Vec<Vec<Part>>>;

/// The characters up to this one, which is not escaped.
fn up_to(end: char, text: &str) -> (String, &str) {
    let (mut found, mut rest) = (String::new(), text.chars());
    while let Some(c) = rest.next() {
        match c {
            c if c == end => return (found, rest.as_str()),
            '\\' => found.push(match rest.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('x') => {
                    let code = u8::from_str_radix(&rest.as_str()[..2], 16).unwrap();
                    rest = rest.as_str()[2..].chars();
                    char::from(code)
                }
                Some(c @ ('\\' | '"' | '[' | ']' | '-')) => c,
                Some('u') => {
                    let code = u32::from_str_radix(&rest.as_str()[..4], 16).unwrap();
                    rest = rest.as_str()[4..].chars();
                    char::from_u32(code).unwrap()
                }
                other => panic!("llama.cpp knows no escape {other:?}"),
            }),
            c => found.push(c),
        }
    }
    panic!("there is no {end} in {text}");
}

/// Characters and ranges of them.
fn ranges(text: &str) -> Vec<[char; 2]> {
    let all: Vec<char> = text.chars().collect();
    let mut rest = all.as_slice();
    let mut ranges = Vec::new();
    while let [first, after @ ..] = rest {
        (ranges, rest) = match after {
            ['-', last, after @ ..] => ([ranges, vec![[*first, *last]]].concat(), after),
            _ => ([ranges, vec![[*first, *first]]].concat(), after),
        };
    }
    ranges
}

fn is_among(ranges: &[[char; 2]], c: char) -> bool {
    ranges.iter().any(|[first, last]| (*first..=*last).contains(&c))
}

fn parsed(grammar: &str) -> Rules {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut rules = Rules::new();
    for line in grammar.lines() {
        let (name, mut rest) = line.split_once(" ::= ").expect("one rule a line");
        assert!(name.chars().all(is_name), "{name}");
        let mut ways = vec![Vec::new()];
        while let Some(next) = rest.chars().next() {
            let way = ways.last_mut().unwrap();
            match next {
                ' ' => rest = &rest[1..],
                '|' => {
                    assert!(!way.is_empty(), "an empty way in {line}");
                    rest = &rest[1..];
                    ways.push(Vec::new());
                }
                '?' => {
                    let last = way.pop().expect("something that can be left out");
                    way.push(Part::Maybe(Box::new(last)));
                    rest = &rest[1..];
                }
                '"' => {
                    let (text, after) = up_to('"', &rest[1..]);
                    way.push(Part::Text(text));
                    rest = after;
                }
                '[' => {
                    let excluded = rest[1..].strip_prefix('^');
                    let (text, after) = up_to(']', excluded.unwrap_or(&rest[1..]));
                    way.push(match excluded {
                        Some(_) => Part::Not(ranges(&text)),
                        None => Part::Among(ranges(&text)),
                    });
                    rest = after;
                }
                _ => {
                    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                    assert!(end > 0, "{rest}");
                    way.push(Part::Rule(rest[..end].to_owned()));
                    rest = &rest[end..];
                }
            }
        }
        assert!(ways.iter().all(|way| !way.is_empty()), "an empty way in {line}");
        assert!(rules.insert(name.to_owned(), ways).is_none(), "{name} is there twice");
    }
    rules
}

/// The ways that begin with a character, as llama.cpp keeps them, and the one that is at its end.
fn expanded(rules: &Rules, ways: impl IntoIterator<Item = Way>) -> BTreeSet<Way> {
    let mut open: Vec<Way> = ways.into_iter().collect();
    let mut all = BTreeSet::new();
    while let Some(mut way) = open.pop() {
        match way.pop() {
            Some(Part::Rule(name)) => open.extend(rules[&name].iter().map(|parts| {
                let parts = parts.iter().rev().cloned();
                way.iter().cloned().chain(parts).collect()
            })),
            Some(Part::Maybe(part)) => {
                open.push(way.clone());
                way.push(*part);
                open.push(way);
            }
            Some(Part::Text(text)) if text.is_empty() => open.push(way),
            last => {
                way.extend(last);
                all.insert(way);
            }
        }
    }
    all
}

/// In which ways a text can go on.
fn ways(grammar: &str, text: &str) -> BTreeSet<Way> {
    let rules = parsed(grammar);
    let mut ways = expanded(&rules, [vec![Part::Rule("root".into())]]);
    for c in text.chars() {
        let on = ways.into_iter().filter_map(|mut way| {
            match way.pop()? {
                Part::Text(text) => way.push(Part::Text(text.strip_prefix(c)?.to_owned())),
                Part::Not(ranges) if is_among(&ranges, c) => return None,
                Part::Among(ranges) if !is_among(&ranges, c) => return None,
                _ => {}
            }
            Some(way)
        });
        ways = expanded(&rules, on.collect::<Vec<_>>());
    }
    ways
}

/// Whether a text can be written, and whether the answer may end behind it.
pub(in crate::provider) fn writes(grammar: &str, text: &str) -> Option<bool> {
    let ways = ways(grammar, text);
    (!ways.is_empty()).then(|| ways.contains(&Way::new()))
}

fn searchable(lines: &[(&str, Option<usize>)]) -> Searchable {
    let line = |(text, fewest): &(&str, Option<usize>)| SearchLine { text: (*text).into(), fewest: *fewest };
    Searchable { files: vec!["a.py".into()], regions: vec![lines.iter().map(line).collect()] }
}

fn block(search: &str, replace: &str) -> String {
    format!("a.py\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE")
}

#[test]
fn lines_of_any_characters_are_searched_for_as_they_are() {
    let hostile = [
        r#"say("\"hi\"", '\\n', "\t")"#,
        "\ttab # | ::= root",
        "[^\\]a-z] ^ - ] [",
        "größer 🦀\u{2028}é",
        "======",
        "<[12]> <token> {1,3} * + ?",
        "\"",
        "\\",
        "\u{7f}",
    ];
    let lines = hostile.map(|line| (line, Some(1)));
    let grammar = gbnf(&searchable(&lines)).unwrap();
    for (at, line) in hostile.iter().enumerate() {
        let search = format!("{line}\n");
        assert_eq!(writes(&grammar, &block(&search, &search)), Some(true), "{line}");
        assert_eq!(writes(&grammar, &block(&format!("{line}x\n"), "")), None, "{line}");
        if let Some(next) = hostile.get(at + 1) {
            assert_eq!(writes(&grammar, &block(&format!("{line}\n{next}\n"), "")), Some(true), "{line}");
        }
    }
}

#[test]
fn a_search_is_as_long_as_it_has_to_be_and_in_the_order_of_the_file() {
    let lines = [("a", Some(1)), ("  x", Some(2)), ("", None), ("ab", Some(1)), ("  x", None)];
    let grammar = gbnf(&searchable(&lines)).unwrap();
    for search in ["a\n", "a\n  x\n", "a\n  x\n\nab\n  x\n", "  x\n\n", "ab\n  x\n"] {
        assert_eq!(writes(&grammar, &block(search, "new\n")), Some(true), "{search:?}");
    }
    for search in ["", "\n", "  x\n", "b\n", "a\nab\n", "a\n\n", "ab\n  x\n\n", "a"] {
        assert_eq!(writes(&grammar, &block(search, "new\n")), None, "{search:?}");
    }
    assert_eq!(writes(&grammar, "b.py\n"), None);
    assert_eq!(writes(&grammar, "```"), None);
}

#[test]
fn new_lines_are_free_but_for_marks() {
    let grammar = gbnf(&searchable(&[("a", Some(1))])).unwrap();
    for new in
        ["", "\n\n", "======\n", "<<<<<< SEARCH\n", ">>>>>> REPLACE\n", "x =======\n", "> <\n", "\u{1}é\r\n"]
    {
        assert_eq!(writes(&grammar, &block("a\n", new)), Some(true), "{new:?}");
    }
    for new in ["x", "=======\n", "<<<<<<< SEARCH\n", ">>>>>>> REPLACE\n", ">>>>>>>\n"] {
        assert_ne!(writes(&grammar, &block("a\n", new)), Some(true), "{new:?}");
    }
    let all = vec![block("a\n", "x\n"); MOST_BLOCKS].join("\n\n");
    assert_eq!(writes(&grammar, &all), Some(true));
    assert_eq!(writes(&grammar, &format!("{all}\n")), None, "no more blocks than that");
    assert_eq!(writes(&grammar, &all.replace("\n\n", "\n\n\n")), None);
}

#[test]
fn where_nothing_can_be_searched_for_there_is_no_grammar() {
    assert_eq!(gbnf(&searchable(&[("a", None), ("  ", Some(1)), ("b", Some(2))])), None);
    assert_eq!(gbnf(&Searchable { files: Vec::new(), ..searchable(&[("a", Some(1))]) }), None);
}

#[test]
fn many_lines_leave_few_ways_at_a_time() {
    let lines: Vec<String> = (0..400).map(|n| format!("    value_{n} = {n}")).collect();
    let lines: Vec<(&str, Option<usize>)> = lines.iter().map(|line| (line.as_str(), Some(1))).collect();
    let grammar = gbnf(&searchable(&lines)).unwrap();
    assert_eq!(ways(&grammar, &head("a.py")).len(), 1, "all begin alike");
    assert_eq!(ways(&grammar, &format!("{}    value_", head("a.py"))).len(), 10, "a digit");
    let new = format!("{}    value_17 = 17\n=======\n", head("a.py"));
    for text in ["", "x", "x\ny", ">", ">>>>>>", "\n\n\n"] {
        assert!(ways(&grammar, &format!("{new}{text}")).len() <= 5, "{text:?}");
    }
}

#[test]
fn regions_that_overlap_are_taken_once() {
    let mut twice = searchable(&[("a", Some(1)), ("b", Some(1))]);
    twice.regions.push(twice.regions[0].clone());
    let grammar = gbnf(&twice).unwrap();
    assert_eq!(writes(&grammar, &block("a\nb\n", "x\n")), Some(true));
    assert_eq!(writes(&grammar, &block("b\n", "x\n")), Some(true));
}
