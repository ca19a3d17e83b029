//! Each tier by example, and by random texts against exact oracles.

use proptest::prelude::*;

use super::*;

fn check(text: &str, search: &str, expected: Result<(usize, Tier), Miss>) {
    let found = locate(&lines(text), &lines(search), None, Several::Refuse)
        .map(|anchor| (anchor.lines.start, anchor.tier));
    assert_eq!(found, expected, "{search:?} in {text:?}");
}

fn apply(text: &str, search: &str, replace: &str) -> String {
    let text = lines(text);
    let search = lines(search);
    let anchor = locate(&text, &search, None, Several::Refuse).unwrap();
    let replacement = rewrite(&text, &anchor, &search, &lines(replace)).unwrap();
    splice(&text, vec![(anchor.lines, replacement)])
}

#[test]
fn whole_lines_only() {
    check("a\nb\nc\n", "b\n", Ok((1, Tier::Exact)));
    check("a\nb\nc\n", "b\nc\n", Ok((1, Tier::Exact)));
    check("abc\n", "b\n", Err(Miss::Nowhere(None)));
    check("a\n", "a\nb\n", Err(Miss::Nowhere(None)));
    check("", "a\n", Err(Miss::Nowhere(None)));
}

#[test]
fn two_places_are_none() {
    check("x\na\nx\n", "x\n", Err(Miss::Several(vec![0, 2])));
    // Overlapping places count as well.
    check("x\nx\nx\n", "x\nx\n", Err(Miss::Several(vec![0, 1])));
    check("x \ny\nx\t\n", "x\n", Err(Miss::Several(vec![0, 2])));
}

#[test]
fn the_first_tier_that_matches_decides() {
    check("x \nx\n", "x\n", Ok((1, Tier::Exact)));
    check("x \ny\n", "x\n", Ok((0, Tier::TrailingSpace)));
    check("x\ny\n", "x  \n", Ok((0, Tier::TrailingSpace)));
    check(" x\n", "x\n", Ok((0, Tier::Indentation)));
    check(" x\nx \n", "x\n", Ok((1, Tier::TrailingSpace)));
    check("  x = 1\n", "x  =  1\n", Ok((0, Tier::Spacing)));
    check("x=1\n", "x = 1\n", Err(Miss::Nowhere(None)));
}

#[test]
fn blank_lines_are_no_place() {
    check("a\n\nb\n", "", Err(Miss::Empty));
    check("a\n\nb\n", "\n", Err(Miss::Empty));
    check("a\n\nb\n", " \t\n\n", Err(Miss::Empty));
}

#[test]
fn the_region_comes_first() {
    let text = lines("x\ny\nx\nz\n");
    let at = |region| locate(&text, &["x\n"], Some(region), Several::Refuse).map(|anchor| anchor.lines.start);
    assert_eq!(at(2..4), Ok(2));
    assert_eq!(at(0..1), Ok(0));
    assert_eq!(at(1..2), Err(Miss::Several(vec![0, 2])));
    assert_eq!(at(0..3), Err(Miss::Several(vec![0, 2])));
    assert_eq!(at(90..99), Err(Miss::Several(vec![0, 2])));
    assert_eq!(locate(&text, &["z\n"], Some(0..2), Several::Refuse).unwrap().lines, 3..4);
}

#[test]
fn line_ends_of_the_file_stay() {
    assert_eq!(apply("a\r\nb\r\nc\r\n", "b\n", "x\ny\n"), "a\r\nx\r\ny\r\nc\r\n");
    assert_eq!(apply("a\nb\n", "b\n", "x\n"), "a\nx\n");
    // The lines of the place decide where a file is mixed; context keeps its own.
    assert_eq!(apply("a\nb\r\nc\n", "a\nb\n", "a\nx\n"), "a\nx\nc\n");
    assert_eq!(apply("a\r\nb\n", "a\n", "a\nx\n"), "a\r\nx\r\nb\n");
}

#[test]
fn the_end_of_the_file_stays() {
    assert_eq!(apply("a\nb", "b\n", "x\n"), "a\nx");
    assert_eq!(apply("a\nb", "b\n", "b\nc\n"), "a\nb\nc");
    assert_eq!(apply("a\nb", "b\n", "c\nb\n"), "a\nc\nb");
    assert_eq!(apply("a\nb", "b\n", ""), "a\n");
    assert_eq!(apply("a\r\nb", "b\n", "b\nc\n"), "a\r\nb\r\nc");
    assert_eq!(apply("b", "b\n", "x\ny\n"), "x\ny");
    assert_eq!(apply("a\nb\n", "b", "x"), "a\nx\n");
}

#[test]
fn context_lines_keep_their_trailing_space() {
    assert_eq!(apply("a  \nb\t\nc\n", "a\nb\n", "a\nx\nb\n"), "a  \nx\nb\t\nc\n");
}

#[test]
fn the_nearest_lines_are_found() {
    let text = "fn one() {}\n\nfn total(items: &[u32]) -> u32 {\n    items.iter().sum()\n}\n";
    let text = lines(text);
    let search = ["fn total(items: &Vec<u32>) -> u32 {\n", "    items.iter().sum()\n"];
    let Err(Miss::Nowhere(Some(nearest))) = locate(&text, &search, None, Several::Refuse) else { panic!() };
    assert_eq!(nearest.lines, 2..4);
    assert!(nearest.ratio > 0.9, "{nearest:?}");
    assert_eq!(locate(&text, &["struct Unrelated;\n"], None, Several::Refuse), Err(Miss::Nowhere(None)));
}

proptest! {
    /// An exact copy of lines lands where it was taken from, or is refused because there are two.
    #[test]
    fn a_copy_lands_where_it_came_from(text in "([abc ]{0,3}\r?\n){1,12}[abc]{0,2}", start in 0usize..12, len in 1usize..4) {
        let text = lines(&text);
        let start = start % text.len();
        let end = (start + len).min(text.len());
        let search: Vec<&str> = text[start..end].iter().map(|line| content(line)).collect();
        match locate(&text, &search, None, Several::Refuse) {
            Ok(anchor) => prop_assert_eq!(anchor, Anchor::lines(start..end, Tier::Exact)),
            Err(Miss::Several(places)) => prop_assert!(places.contains(&start) && places.len() > 1),
            Err(Miss::Empty) => prop_assert!(search.iter().all(|line| line.trim().is_empty())),
            Err(miss) => prop_assert!(false, "{:?}", miss),
        }
    }

    /// Outside of the place not a byte changes, and inside only the asked lines do.
    #[test]
    fn only_the_place_changes(text in "([ab]{0,2}\r?\n){0,6}[ab]{0,2}", new in "([ab]{0,2}\n){0,4}", start in 0usize..7, len in 1usize..3) {
        let text = lines(&text);
        prop_assume!(!text.is_empty());
        let start = start % text.len();
        let end = (start + len).min(text.len());
        let old: Vec<&str> = text[start..end].iter().map(|line| content(line)).collect();
        let new = lines(&new);
        let result = splice(&text, vec![(start..end, rewrite(&text, &Anchor::lines(start..end, Tier::Exact), &old, &new).unwrap())]);
        prop_assert!(result.starts_with(&text[..start].concat()));
        prop_assert!(result.ends_with(&text[end..].concat()));
        let got: Vec<&str> = lines(&result).iter().map(|line| content(line)).collect();
        let mut want: Vec<&str> = text[..start].iter().map(|line| content(line)).collect();
        want.extend(new.iter().map(|line| content(line)));
        want.extend(text[end..].iter().map(|line| content(line)));
        // Without a final newline an empty last line cannot be told from none.
        while want.len() > got.len() && want.last() == Some(&"") { want.pop(); }
        prop_assert_eq!(got, want);
    }

    /// Whatever a tier forgives, the block lands where it came from, or nowhere. Lines are unlike each
    /// other here, so the right place is known for sure.
    #[test]
    fn no_tier_lands_in_a_wrong_place(
        seed in any::<u64>(), count in 8usize..40, start in 0usize..40, len in 1usize..12, harm in 0usize..5,
    ) {
        let mut random = Random(seed);
        let text: Vec<String> = (0..count).map(|_| random.line()).collect();
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        let start = start % count;
        let end = (start + len).min(count);
        let search: Vec<String> = match harm {
            0 => text[start..end].iter().map(|line| line.trim_end().to_owned() + &" ".repeat(random.below(3))).collect(),
            1 => text[start..end].iter().map(|line| format!("    {line}")).collect(),
            2 => text[start..end].iter().map(|line| line.replacen(" = ", "  =\t", 1)).collect(),
            3 => text[start..end].iter().map(|line| random.misspell(line)).collect(),
            _ => {
                let mut lines: Vec<String> = text[start..end].iter().map(|line| (*line).to_owned()).collect();
                lines.insert(random.below(lines.len() + 1), random.line());
                lines
            }
        };
        let search: Vec<&str> = search.iter().map(String::as_str).collect();
        match locate(&text, &search, None, Several::Refuse) {
            Ok(anchor) => prop_assert_eq!(anchor.lines, start..end, "{:?}", anchor.tier),
            Err(miss) => prop_assert!(harm > 2 || matches!(miss, Miss::Several(_)), "{:?}", miss),
        }
    }

    /// A place that holds the very lines is never passed over for one that only resembles them.
    #[test]
    fn an_equal_place_wins_over_a_similar_one(seed in any::<u64>(), count in 12usize..30, region in 0usize..12) {
        let mut random = Random(seed);
        let mut text: Vec<String> = (0..count).map(|_| random.line()).collect();
        let copied = text[2..8].to_vec();
        let harmed: Vec<String> = copied.iter().map(|line| random.misspell(line)).collect();
        text.splice(10..10, harmed);
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        let search: Vec<&str> = copied.iter().map(String::as_str).collect();
        let found = locate(&text, &search, Some(region..region + 10), Several::Refuse).unwrap();
        prop_assert_eq!((found.lines, found.tier), (2..8, Tier::Exact));
    }

    /// Lines that an edit keeps have the file's bytes afterwards, at every tier.
    #[test]
    fn kept_lines_keep_their_bytes(seed in any::<u64>(), count in 6usize..30, harm in 0usize..3) {
        let mut random = Random(seed);
        let text: Vec<String> = (0..count).map(|_| random.line()).collect();
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        let search: Vec<String> = text[1..5]
            .iter()
            .map(|line| match harm {
                0 => format!("{} \n", line.trim_end()),
                1 => format!("\t{line}"),
                _ => line.replacen(" = ", "\t= ", 1),
            })
            .collect();
        let search: Vec<&str> = search.iter().map(String::as_str).collect();
        let Ok(anchor) = locate(&text, &search, None, Several::Refuse) else { return Err(TestCaseError::reject("twins")) };
        let mut replace = search.clone();
        let added = format!("{}new line\n", front(search[0]));
        replace.insert(2, &added);
        let rewritten = rewrite(&text, &anchor, &search, &replace).unwrap();
        let got = splice(&text, vec![(anchor.lines, rewritten)]);
        let mut want: Vec<String> = text.iter().map(|line| (*line).to_owned()).collect();
        want.insert(3, format!("{}new line\n", front(text[1])));
        prop_assert_eq!(got, want.concat());
    }
}

/// Lines of letters that have next to nothing in common, from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        // Knuth's linear congruential generator: the same everywhere.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn word(&mut self) -> String {
        (0..4 + self.below(5)).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }

    fn line(&mut self) -> String {
        format!(
            "{}{} = {} {} {}\n",
            " ".repeat(4 * self.below(3)),
            self.word(),
            self.word(),
            self.word(),
            self.word()
        )
    }

    fn misspell(&mut self, line: &str) -> String {
        let letters: Vec<usize> =
            line.match_indices(|c: char| c.is_ascii_lowercase()).map(|(at, _)| at).collect();
        let at = letters[self.below(letters.len())];
        format!("{}q{}", &line[..at], &line[at + 1..])
    }
}

#[test]
fn a_shifted_block_is_shifted_back() {
    assert_eq!(
        apply("if x:\n    a = 1\n    b = 2\n", "a = 1\nb = 2\n", "a = 1\nif c:\n    b = 3\n"),
        "if x:\n    a = 1\n    if c:\n        b = 3\n"
    );
    assert_eq!(
        apply("\ta\n\t\tb\n", "    a\n        b\n", "    a\n        c\n            d\n"),
        "\ta\n\t\tc\n\t\t\td\n"
    );
    let (text, search) = (lines("  a\n"), lines("    a\n"));
    let anchor = locate(&text, &search, None, Several::Refuse).unwrap();
    assert_eq!(rewrite(&text, &anchor, &search, &lines(" b\n")), None, "left of the margin");
}

#[test]
fn a_first_line_that_lost_its_indentation_gets_it_back() {
    let text = "class A:\n    def f(self):\n        return 1\n";
    let search = "def f(self):\n        return 1\n";
    assert_eq!(apply(text, search, "def f(self):\n        return 2\n"), text.replace('1', "2"));
    let wider = text.replace("self", "self, x").replace('1', "x");
    assert_eq!(apply(text, search, "def f(self, x):\n        return x\n"), wider);
    check("    a\n        b\n", "  a\n        b\n", Ok((0, Tier::Indentation)));
    check("a\n        b\n", "    a\n        b\n", Err(Miss::Nowhere(None)));
}

#[test]
fn blank_lines_around_a_block_are_forgiven() {
    assert_eq!(apply("a\nb\nc\n", "\nb\nc\n\n", "x\nc\n"), "a\nx\nc\n");
    assert_eq!(apply("a\nb\nc\n", "\nb\n", "\nx\n"), "a\nx\nc\n");
    check("a\nb\n", "\nb\n", Ok((1, Tier::Spacing)));
}

#[test]
fn typography_is_forgiven_and_kept() {
    assert_eq!(
        apply("say \u{201c}hi\u{201d} \u{2014} now\nb\n", "say \"hi\" - now\nb\n", "say \"hi\" - now\nc\n"),
        "say \u{201c}hi\u{201d} \u{2014} now\nc\n"
    );
}

#[test]
fn lines_that_the_model_did_not_see_are_not_lost() {
    let text = "def volume(box):\n    total = 0\n    # every layer counts\n    for layer in box.layers:\n        total += area(layer) * layer.depth\n    assert total >= 0, box\n    return total\n";
    let search = text.replace("    # every layer counts\n", "");
    let replace = search.replace("return total", "return round(total)");
    assert_eq!(apply(text, &search, &replace), text.replace("return total", "return round(total)"));
    // Replacing all around it would drop it: refused.
    let (text, search) = (lines(text), lines(&search));
    let anchor = locate(&text, &search, None, Several::Refuse).unwrap();
    assert_eq!(anchor.tier, Tier::Fuzzy);
    assert_eq!(rewrite(&text, &anchor, &search, &lines("pass\n")), None);
}

#[test]
fn the_first_of_several_only_on_demand() {
    let text = lines("x\ny\nx\n");
    assert_eq!(locate(&text, &["x\n"], None, Several::First).unwrap().lines, 0..1);
    assert_eq!(locate(&text, &["x\n"], Some(1..3), Several::First).unwrap().lines, 2..3);
}
