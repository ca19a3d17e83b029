//! Any text, and any lines to find in it: where they land is one place, the tier keeps its word, and
//! no byte outside of the place changes.
#![no_main]

use countersign::edit::anchor::{self, Anchor, Miss, Several, Tier, content, locate, rewrite, splice};
use libfuzzer_sys::fuzz_target;

/// Between the text, the searched lines and the new ones.
const CUT: char = '\u{1}';

fuzz_target!(|input: (u8, u8, u8, &str)| {
    let (mode, start, length, rest) = input;
    let mut parts = rest.splitn(3, CUT);
    let mut next = || parts.next().unwrap_or_default();
    let (text, given, replace) = (next(), next(), next());
    let text = anchor::lines(text);
    // Half of the time what is searched comes from the text itself, with a line put in front or behind.
    let taken = text.iter().skip(usize::from(start)).take(usize::from(length % 32)).copied();
    let search: String = match mode % 4 {
        0 => given.to_owned(),
        1 => taken.collect(),
        2 => taken.map(|line| format!("  {}", line.trim())).map(|line| line + "\n").collect(),
        _ => taken.chain([given]).collect(),
    };
    let search = anchor::lines(&search);
    let region = (mode & 4 != 0).then(|| usize::from(start)..usize::from(start) + usize::from(length));
    let several = if mode & 8 == 0 { Several::Refuse } else { Several::First };
    let exact = exact_places(&text, &search);
    match locate(&text, &search, region.clone(), several) {
        Ok(found) => {
            sound(&text, &search, &found);
            if region.is_none() && several == Several::Refuse {
                assert_eq!(found.tier == Tier::Exact, exact.len() == 1, "one exact place is the place");
                assert!(exact.len() < 2, "of several places none is taken");
            }
            untouched(&text, &found, &search, &anchor::lines(replace));
        }
        Err(Miss::Several(places)) => {
            assert!(places.len() > 1 && several == Several::Refuse);
            assert!(places.iter().all(|line| *line < text.len()));
        }
        Err(Miss::Nowhere(nearest)) => {
            assert!(exact.is_empty(), "what is there is found");
            assert!(nearest.is_none_or(|nearest| nearest.lines.end <= text.len()));
        }
        Err(Miss::Empty) => assert!(search.iter().all(|line| line.trim().is_empty())),
    }
});

/// By counting: the windows whose lines are all equal.
fn exact_places(text: &[&str], search: &[&str]) -> Vec<usize> {
    if search.is_empty() || search.iter().all(|line| line.trim().is_empty()) {
        return Vec::new();
    }
    let equal =
        |at: &usize| search.iter().zip(&text[*at..]).all(|(sought, line)| content(sought) == content(line));
    (0..(text.len() + 1).saturating_sub(search.len())).filter(equal).collect()
}

/// The tier says what the lines are to what was searched.
fn sound(text: &[&str], search: &[&str], found: &Anchor) {
    assert!(!found.lines.is_empty() && found.lines.end <= text.len());
    assert_eq!(found.pairs.len(), search.len());
    let mut last = None;
    for (sought, at) in search.iter().zip(&found.pairs) {
        let Some(at) = *at else {
            assert!(found.tier >= Tier::Spacing, "only the last tiers leave out lines");
            continue;
        };
        assert!(at < found.lines.len() && last < Some(at), "pairs go down the place, each line once");
        last = Some(at);
        let (sought, line) = (content(sought), content(text[found.lines.start + at]));
        let bare = |text: &str| text.split_whitespace().collect::<String>();
        match found.tier {
            Tier::Exact => assert_eq!(sought, line),
            Tier::TrailingSpace => assert_eq!(sought.trim_end(), line.trim_end()),
            Tier::Indentation => assert_eq!(sought.trim(), line.trim()),
            Tier::Spacing if sought.is_ascii() && line.is_ascii() => assert_eq!(bare(sought), bare(line)),
            Tier::Spacing | Tier::Fuzzy => {}
            other => panic!("a search cannot end at {other:?}"),
        }
    }
}

/// Nothing changes but the place, and there nothing if the new lines are the old ones.
fn untouched(text: &[&str], found: &Anchor, search: &[&str], replace: &[&str]) {
    let range = found.lines.clone();
    let old: String = text[range.clone()].concat();
    assert_eq!(rewrite(text, found, search, search), Some(old), "nothing is asked for");
    let Some(new) = rewrite(text, found, search, replace) else { return };
    let after = splice(text, vec![(range.clone(), new.clone())]);
    let (above, below) = (text[..range.start].concat(), text[range.end..].concat());
    assert_eq!(after, format!("{above}{new}{below}"));
}
