use proptest::prelude::*;

use super::*;
use crate::provider::{Fenced, Layout, Message, Narrowing, Preface, Schema, SearchLine, Searchable, Speaker};

/// A vocabulary of all single bytes, a few longer tokens, one special token, and the end.
struct Bytes {
    words: Vec<Vec<u8>>,
}

const SPECIAL: u32 = 256;
const END: u32 = 257;

impl Bytes {
    fn new() -> Bytes {
        let mut words: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![byte]).collect();
        words.extend(
            [&b"<|special|>"[..], b"<|end|>", b"{\"", b"\": ", b"def ", b"\n    ", b"true"]
                .map(<[u8]>::to_vec),
        );
        Bytes { words }
    }
}

impl Words for Bytes {
    fn len(&self) -> usize {
        self.words.len()
    }

    fn bytes(&self, token: u32) -> &[u8] {
        &self.words[token as usize]
    }

    fn is_special(&self, token: u32) -> bool {
        token == SPECIAL
    }

    fn is_end(&self, token: u32) -> bool {
        token == END
    }

    /// The longest token at each place.
    fn encode(&self, text: &str) -> Vec<u32> {
        let mut rest = text.as_bytes();
        let mut tokens = Vec::new();
        while !rest.is_empty() {
            let ordinary = (0..self.words.len()).filter(|at| *at < 256 || *at > END as usize);
            let best = ordinary
                .filter(|at| rest.starts_with(&self.words[*at]))
                .max_by_key(|at| self.words[*at].len());
            let best = best.expect("every byte is a token");
            tokens.push(best as u32);
            rest = &rest[self.words[best].len()..];
        }
        tokens
    }
}

fn request(schema: Option<serde_json::Value>, layout: Option<Layout>) -> ChatRequest {
    ChatRequest {
        role: "r".into(),
        messages: vec![Message { speaker: Speaker::User, text: "x".into() }],
        schema: schema.map(|json| Schema { name: "s".into(), json }),
        layout,
        draws: 1,
        window: 1024,
        answer_limit: 100,
        temperature: 0.0,
        seed: None,
        narrowing: Narrowing::default(),
    }
}

/// Whether a text can be written, and whether the answer may end behind it.
fn writes(constrainer: &Constrainer, request: &ChatRequest, text: &str) -> Option<bool> {
    let words = Bytes::new();
    let mut constraint = constrainer.of(request).unwrap().unwrap();
    let mut rest = words.encode(text);
    loop {
        match constraint.next().unwrap() {
            Next::Any => unreachable!("there is a constraint"),
            Next::End => return rest.is_empty().then_some(true),
            Next::Forced(forced) => {
                let common = forced.iter().zip(&rest).take_while(|(a, b)| a == b).count();
                if common < forced.len().min(rest.len()) {
                    // Other tokens of the same bytes would do; bytes decide.
                    let bytes = |tokens: &[u32]| {
                        tokens.iter().flat_map(|token| words.bytes(*token).to_vec()).collect::<Vec<u8>>()
                    };
                    let (forced, left) = (bytes(&forced), bytes(&rest));
                    if !left.starts_with(&forced) && !forced.starts_with(&left) {
                        return None;
                    }
                }
                if rest.is_empty() {
                    return Some(false);
                }
                let token = rest.remove(0);
                if constraint.take(&[token]).is_err() {
                    return None;
                }
            }
            Next::Allowed(allowed) => {
                assert!(!allowed.is_allowed(SPECIAL), "a special token is never allowed");
                let Some(token) = (!rest.is_empty()).then(|| rest.remove(0)) else {
                    return Some(allowed.is_allowed(END));
                };
                if !allowed.is_allowed(token) {
                    return None;
                }
                constraint.take(&[token]).unwrap();
            }
        }
    }
}

fn constrainer() -> Constrainer {
    Constrainer::new(Arc::new(Bytes::new())).unwrap()
}

#[test]
fn a_schema_lets_only_its_own_json_through() {
    let constrainer = constrainer();
    let plan = crate::answer::schema_of::<crate::message::PlanAnswer>("plan");
    let request = request(Some(plan.json), None);
    let good = r#"{"analysis": "a é \"q\" 😀", "questions": [], "steps": [{"action": "edit", "file": "a.py", "symbol": "", "target": "", "task": "t"}]}"#;
    assert_eq!(writes(&constrainer, &request, good), Some(true));
    assert_eq!(writes(&constrainer, &request, &good[..40]), Some(false));
    let llama_cpp = crate::provider::layout::grammar(&request).unwrap().gbnf;
    assert_eq!(layout::blocks::tests::writes(&llama_cpp, good), Some(true), "one spelling everywhere");
    for bad in [
        "Sure! {",
        "```json",
        "[",
        "{\"steps\"",
        "{\"analysis\": 1",
        "{\"analysis\": \"a\"}",
        "{ ",
        "{\n",
        "{\"analysis\":\"",
        r#"{"analysis": "a","q"#,
        r#"{"analysis": "a", "questions": [], "steps": [{"action": "destroy""#,
        "{\"analysis\": \"a\nb\"",
    ] {
        assert_eq!(writes(&constrainer, &request, bad), None, "{bad:?}");
    }
}

fn searchable(lines: &[(&str, Option<usize>)]) -> Searchable {
    let line = |(text, fewest): &(&str, Option<usize>)| SearchLine { text: (*text).into(), fewest: *fewest };
    Searchable { files: vec!["a.py".into()], regions: vec![lines.iter().map(line).collect()] }
}

#[test]
fn a_search_can_only_be_what_is_shown() {
    let constrainer = constrainer();
    let lines = [
        ("def a():", Some(1)),
        ("    return 1", Some(2)),
        ("", None),
        ("def \"b\"(): # é\\", Some(1)),
        ("    return 1", None),
    ];
    let request = request(None, Some(Layout::Blocks(searchable(&lines))));
    let block = |search: &str, replace: &str| {
        format!("a.py\n<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE")
    };
    let good = [
        block("def a():\n", "def c():\n"),
        block("def a():\n    return 1\n\n", "\n< <= = == ======\n>>> x\n    é\n"),
        block("def \"b\"(): # é\\\n    return 1\n", ""),
        block("    return 1\n\n", "x\n"),
        format!("{}\n{}", block("def a():\n", "x\n"), block("def \"b\"(): # é\\\n", "y\n")),
    ];
    for good in &good {
        assert_eq!(writes(&constrainer, &request, good), Some(true), "{good}");
    }
    let bad = [
        "Here is".to_owned(),
        "b.py\n".to_owned(),
        "```".to_owned(),
        block("def c():\n", ""),
        // Lines that do not follow each other.
        block("def a():\n\n", ""),
        // Fits twice, so it has to go on.
        block("    return 1\n", "x\n"),
        block("\n", "x\n"),
        block("", "x\n"),
        block("def a():\n", "=======\n"),
        block("def a():\n", "<<<<<<< SEARCH\n"),
        block("def a():\n", ">>>>>>> REPLACE\nx"),
    ];
    for bad in &bad {
        assert_eq!(writes(&constrainer, &request, bad), None, "{bad}");
    }
}

fn fenced(name: Option<&str>, preface: Preface) -> ChatRequest {
    request(None, Some(Layout::Fenced(Fenced { name: name.map(str::to_owned), preface })))
}

#[test]
fn a_code_block_is_the_whole_answer() {
    let constrainer = constrainer();
    let block = "a.py\n```python\nx = 1\n\n`y` ``\n``z\n    ```\n```";
    for (name, preface, good, rest) in [
        (Some("a.py"), Preface::Nothing, block.to_owned(), "\nThis"),
        (Some("a.py"), Preface::Any, block.to_owned(), "\n"),
        (Some("a.py"), Preface::Ascii, format!("It is wrong.\n- `x`\n\n{block}"), "x"),
        (Some("a.py"), Preface::Any, format!("Fälsch, 错了.\n\n{block}"), "x"),
        (Some("a.py"), Preface::Ascii, format!("See:\na.py\n{block}"), "x"),
        (None, Preface::Nothing, "```\né\n```".to_owned(), "`"),
        (None, Preface::Ascii, "So:\n```\né\n```".to_owned(), "\n"),
    ] {
        assert_eq!(writes(&constrainer, &fenced(name, preface), &good), Some(true), "{good}");
        assert_eq!(writes(&constrainer, &fenced(name, preface), &format!("{good}{rest}")), None, "{good}");
    }
    for (name, preface, bad) in [
        (Some("a.py"), Preface::Nothing, "It"),
        (Some("a.py"), Preface::Nothing, "```"),
        (Some("a.py"), Preface::Any, "So:\n```"),
        (Some("a.py"), Preface::Ascii, "Fä"),
        (Some("a.py"), Preface::Ascii, "错"),
        (Some("a.py"), Preface::Ascii, &format!("{}b", "a\n".repeat(64))),
        (Some("a.py"), Preface::Any, &format!("{}b", "a\n".repeat(64))),
        (Some("a.py"), Preface::Any, &format!("{}\n", "a\n".repeat(64))),
        (Some("a.py"), Preface::Any, &format!("{}b", "a ".repeat(64))),
        (None, Preface::Nothing, "a.py\n"),
        (None, Preface::Nothing, "```a`"),
    ] {
        assert_eq!(writes(&constrainer, &fenced(name, preface), bad), None, "{bad}");
    }
    for longest in ["w\n".repeat(64), "w ".repeat(64) + "\n", "w".repeat(900) + "\n"] {
        let longest = format!("{longest}a.py\n```\n```");
        assert_eq!(
            writes(&constrainer, &fenced(Some("a.py"), Preface::Any), &longest),
            Some(true),
            "{longest}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Answers as they could be, and some that are a little off.
    #[test]
    fn both_notations_take_the_same_code_blocks(
        name in proptest::option::of("[ab.\\\\\"]{1,3}"),
        preface in proptest::sample::select(vec![Preface::Nothing, Preface::Ascii, Preface::Any]),
        said in proptest::collection::vec("[abé. `]{0,3}", 0..10),
        many in proptest::option::of((0usize..66, "[a ]{0,2}")),
        code in proptest::collection::vec("[`a ]{0,4}", 0..5),
        off in proptest::option::of((0usize..40, "[a`\n]")),
    ) {
        let mut said = said.iter().filter(|_| preface != Preface::Nothing).map(|line| format!("{line}\n")).collect::<String>();
        if let Some((times, word)) = many.filter(|_| preface != Preface::Nothing) {
            said = format!("{}\n{said}", format!("{word} ").repeat(times));
        }
        let head = name.iter().map(|name| format!("{name}\n")).collect::<String>();
        let mut text = format!("{said}{head}```a\n{}```", code.iter().map(|line| format!("{line}\n")).collect::<String>());
        if let Some((at, other)) = off {
            let at = at.min(text.len() - 1);
            let next = (at + 1..).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
            let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.replace_range(at..next, &other);
        }
        let request = fenced(name.as_deref(), preface);
        let grammar = layout::gbnf(request.layout.as_ref().unwrap()).unwrap();
        let expected = CONSTRAINER.with(|constrainer| writes(constrainer, &request, &text));
        prop_assert_eq!(layout::blocks::tests::writes(&grammar, &text), expected, "{}\n{}", text, grammar);
    }

    /// Answers as they could be, and some that are a little off.
    #[test]
    fn both_notations_take_the_same_blocks(
        lines in proptest::collection::vec(("[ab=>]{0,3}", proptest::option::of(1usize..4)), 1..8),
        cut in 0usize..8,
        blocks in proptest::collection::vec((0usize..8, 0usize..4, "([<=>]{0,7}|x)[a\n]{0,2}\n?"), 1..4),
        between in "\n{0,3}",
        off in proptest::option::of((0usize..80, "[a=>\n ]")),
    ) {
        let line = |(text, fewest): &(String, Option<usize>)| SearchLine { text: text.clone(), fewest: *fewest };
        let (one, other) = lines.split_at(cut.min(lines.len()));
        let regions = [one, other].map(|lines| lines.iter().map(line).collect()).to_vec();
        let layout = Layout::Blocks(Searchable { files: vec!["a.py".into()], regions });
        let Some(grammar) = layout::gbnf(&layout) else { return Ok(()) };
        let block = |(first, count, new): &(usize, usize, String)| {
            let search = lines.iter().skip(*first).take(*count).map(|(text, _)| format!("{text}\n"));
            format!("a.py\n<<<<<<< SEARCH\n{}=======\n{new}>>>>>>> REPLACE", search.collect::<String>())
        };
        let mut text = blocks.iter().map(block).collect::<Vec<_>>().join(&between);
        if let Some((at, other)) = off {
            let at = at.min(text.len() - 1);
            text.replace_range(at..=at, &other);
        }
        let expected = CONSTRAINER.with(|constrainer| writes(constrainer, &request(None, Some(layout)), &text));
        prop_assert_eq!(layout::blocks::tests::writes(&grammar, &text), expected, "{}\n{}", text, grammar);
    }
}

thread_local! {
    static CONSTRAINER: Constrainer = constrainer();
}

#[test]
fn a_schema_that_is_none_is_refused_and_nothing_asked_is_nothing() {
    let constrainer = constrainer();
    let refused = constrainer.of(&request(Some(serde_json::json!({"type": "no such type"})), None));
    assert!(refused.is_err());
    assert!(constrainer.of(&request(None, None)).unwrap().is_none());
}
