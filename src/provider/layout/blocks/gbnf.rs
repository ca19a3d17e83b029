//! The grammar in llama.cpp's notation, GBNF.
//!
//! llama.cpp keeps a stack for each way in which the text so far can go on, and tests its whole
//! vocabulary against every one of them whenever the model's own choice is refused. So the ways to
//! begin a search are a tree, in which what they have in common is there once, and every rule ends
//! in the rule that goes on: stacks do not grow, nothing is repeated by a count, and no rule can be
//! empty or begin with itself.

use super::super::notation::{Rules, literal};
use super::{DIVIDER, END, MOST_BLOCKS, head, starts};
use crate::provider::Searchable;

/// Characters of a mark. So many of them at the beginning of a line end a search or a block.
const MARK: usize = 7;

/// The grammar; `None` where nothing can be searched for. Names of rules may hold letters, digits
/// and hyphens only.
pub(in crate::provider) fn gbnf(searchable: &Searchable) -> Option<String> {
    let mut begun: Vec<Begun> = starts(searchable)
        .map(|start| {
            let region = &searchable.regions[start.region];
            let lines = region[start.first..=start.last].iter();
            Begun {
                text: lines.flat_map(|line| line.text.chars().chain(['\n'])).collect(),
                next: behind(start.region, start.last, region.len()),
            }
        })
        .collect();
    if begun.is_empty() || searchable.files.is_empty() {
        return None;
    }
    let mut rules = Rules::default();
    rules.add("root", &["block again1?".to_owned()]);
    for block in 1..MOST_BLOCKS {
        let more = if block + 1 < MOST_BLOCKS { format!(" again{}?", block + 1) } else { String::new() };
        rules.add(&format!("again{block}"), &[format!(r#""\n" "\n"? block{more}"#)]);
    }
    let heads = searchable.files.iter().map(|file| format!("{} search", literal(&head(file))));
    rules.add("block", &heads.collect::<Vec<_>>());
    begun.sort_unstable();
    tree(&begun, &mut rules);
    for (r, region) in searchable.regions.iter().enumerate() {
        for (at, line) in region.iter().enumerate().skip(1) {
            let line = literal(&format!("{}\n", line.text));
            let next = behind(r, at, region.len());
            rules.add(&behind(r, at - 1, region.len()), &["divided".to_owned(), format!("{line} {next}")]);
        }
    }
    rules.add("divided", &[format!("{} new", literal(DIVIDER))]);
    new_lines(&mut rules);
    Some(rules.text)
}

/// The rule of what may come behind a line of a search: the line that follows it, or the divider.
fn behind(region: usize, line: usize, lines: usize) -> String {
    match line + 1 < lines {
        true => format!("after{region}-{line}"),
        false => "divided".to_owned(),
    }
}

/// The text that a search begins with at least, and the rule of what may come behind it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Begun {
    text: Vec<char>,
    next: String,
}

/// The rule `search`, and one for each place at which the sorted `begun` part.
fn tree(begun: &[Begun], rules: &mut Rules) {
    let mut places = 1;
    // Those that agree in so many characters, under the name of the rule for what follows these.
    let mut open = vec![("search".to_owned(), 0, begun)];
    while let Some((name, agreed, begun)) = open.pop() {
        let mut ways = Vec::new();
        for same in begun.chunk_by(|a, b| a.text.get(agreed) == b.text.get(agreed)) {
            let (first, last) = (&same[0], &same[same.len() - 1]);
            if first.text.len() == agreed {
                ways.extend(same.iter().map(|begun| begun.next.clone()));
                continue;
            }
            // Sorted, so that all between the first and the last agree at least as far as these two.
            let common = first.text.iter().zip(&last.text).take_while(|(a, b)| a == b).count();
            let part = literal(&first.text[agreed..common].iter().collect::<String>());
            match same {
                [only] => ways.push(format!("{part} {}", only.next)),
                _ => {
                    let place = format!("search{places}");
                    places += 1;
                    ways.push(format!("{part} {place}"));
                    open.push((place, common, same));
                }
            }
        }
        // Regions that overlap begin alike.
        ways.dedup();
        rules.add(&name, &ways);
    }
}

/// The rule `new`: lines that do not begin like a mark, and the end of the block.
fn new_lines(rules: &mut Rules) {
    let ended = r#""\n" new"#.to_owned();
    let begun = |mark: char| format!("\"{mark}\" {}1", named(mark));
    rules.add("new", &[ended.clone(), r"[^\n<=>] rest".to_owned(), begun('<'), begun('='), begun('>')]);
    rules.add("rest", &[ended.clone(), r"[^\n] rest".to_owned()]);
    for mark in ['<', '=', '>'] {
        for count in 1..MARK {
            let mut ways = vec![ended.clone(), format!(r"[^\n{mark}] rest")];
            if count + 1 < MARK {
                ways.push(format!("\"{mark}\" {}{}", named(mark), count + 1));
            } else if let Some(end) = END.get(count..).filter(|_| mark == '>') {
                ways.push(literal(end));
            }
            rules.add(&format!("{}{count}", named(mark)), &ways);
        }
    }
}

/// Of the rules for lines that begin with this character.
fn named(mark: char) -> &'static str {
    match mark {
        '<' => "less",
        '=' => "equal",
        _ => "greater",
    }
}
