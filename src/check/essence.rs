//! The part of a failing output that says what is wrong: errors with their lines, what was expected
//! and what came, the frames that lie in the repository. For a model with little room, and for people
//! who are asked.
//!
//! Known forms are found line by line; of anything else the beginning and the end are kept.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::output::{ceil, floor};

/// One form of a failure, from the line that begins it to the line before the one that ends it.
struct Form {
    begin: Regex,
    end: Regex,
}

/// Where a failure begins and what comes after it, by tool.
const FORMS: [(&str, &str); 15] = [
    // rustc: "error[E0308]: mismatched types". Blocks end with an empty line.
    (r"^error(\[E\d+\])?: ", r"^$|^(error|warning)"),
    // cargo test
    (r"^---- .+ stdout ----$", r"^(---- .+ stdout ----|failures:)$"),
    (r"^test \S+ has been running for over \d+ seconds$", r""),
    // pytest
    (r"^_{3,} \S.* _{3,}$", r"^(_{3,} \S.* _{3,}|={3,} .+ ={3,})$"),
    // unittest
    (r"^(FAIL|ERROR): \S+ \(", r"^(={20,}|Ran \d+ tests? in )"),
    // Python without a test framework
    (r"^Traceback \(most recent call last\):", r"^$"),
    // go test
    (r"^\s*--- FAIL: ", r"^(\s*--- |FAIL|PASS|ok\s|panic: |=== )"),
    (r"^panic: ", r"^(FAIL|exit status)"),
    (r"^\S+\.go:\d+(:\d+)?: ", r""),
    // Jest, Vitest
    (r"^\s+● ", r"^(\s+● |Test Suites: |Tests: )"),
    (r"^ FAIL  ", r"^⎯+"),
    // javac, alone or by Maven
    (r"^(\S+\.(java|kt):\d+: error: |\[ERROR\] \S+\.(java|kt):\[\d+,\d+\])", r"^(\S|$)"),
    // Gradle
    (r"^\* What went wrong:", r"^\* "),
    (r"^\S+ > .+ FAILED$", r"^$"),
    // TypeScript
    (r"^\S+\.[cm]?tsx?[:(]\d+.* error TS\d+: ", r"^(\S|$)"),
];

/// Lines that begin like a failure and only count them.
const SUMMARIES: &str = r"^error: (could not compile|test failed|aborting due|\d+ targets? failed)";

/// How rustc begins to tell a warning. The next line says where.
const WARNINGS: &str = r"^warning(\[\S+\])?: ";

/// How people say that tests fail. That something is to be tested for errors is no such word.
const SAID: &str = r"(?i)\b(tests?|checks?|build|ci)\s+((still|now|all|also|is|are|was|were|has|have)\s+)?(fail\w*|red|broken)\b|\b(fail(ing|ed)|broken|red)\s+((unit|integration)\s+)?(tests?|checks?|build)\b|\btest(ing|s)?\s+(errors|failures?)\b";

/// The last of these ends the essence.
const VERDICTS: &str = r"^(test result: FAILED|FAILED \(|\d+ (failed|error)|={3,} .*\d+ (failed|error).* ={3,}$|\s*Tests:?\s.*failed|error: could not compile|FAIL\t|\d+ errors?$)";

/// Lines that say nothing.
const NOISE: &str = r"^(-{20,}|(_ )+_? ?|stack backtrace:|note: (Some details are omitted|run with `RUST_BACKTRACE).*|Hint: make sure your test modules.*|\[signal .*)$";

/// Parts of paths and names that lie outside of any repository.
const FOREIGN: &str = r"/site-packages/|/dist-packages/|/lib/python\d|node_modules/|node:internal|/rustc/|/\.cargo/registry/|/src/(testing|runtime)/|/pkg/mod/|\bat (java\.base/|jdk\.internal|org\.junit|org\.gradle|org\.apache\.maven|sun\.reflect)";

/// The lines by which a frame tells its place: Python's, pytest's, Rust's, Go's, JavaScript's, Java's.
const FRAME: &str = r#"^(  File ".+", line \d+|\S+\.py:\d+: in |\s+at \S|\t/\S+\.go:\d+|\s+❯ )"#;

struct Patterns {
    forms: Vec<Form>,
    summary: Regex,
    warning: Regex,
    said: Regex,
    verdict: Regex,
    noise: Regex,
    foreign: Regex,
    frame: Regex,
}

// All of them are constants above; a test uses every one.
static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let regex = |text: &str| Regex::new(text).expect("a built-in pattern is valid");
    Patterns {
        forms: FORMS.iter().map(|(begin, end)| Form { begin: regex(begin), end: regex(end) }).collect(),
        summary: regex(SUMMARIES),
        warning: regex(WARNINGS),
        said: regex(SAID),
        verdict: regex(VERDICTS),
        noise: regex(NOISE),
        foreign: regex(FOREIGN),
        frame: regex(FRAME),
    }
});

/// What matters of the output of a check that failed, at most `most` bytes: the first failure as far
/// as it fits, then others, then the tool's own verdict.
pub fn essence(output: &str, most: usize) -> String {
    let lines: Vec<&str> = output.lines().map(str::trim_end).collect();
    let failures = failures(&lines);
    if failures.is_empty() {
        return both_ends(output.trim(), most);
    }
    let verdict = lines.iter().rev().find(|line| PATTERNS.verdict.is_match(line)).copied().unwrap_or("");
    // Room for the verdict and for the number of failures that are left out.
    let room = most.saturating_sub(verdict.len() + 48);
    let mut text = both_ends(&failures[0], room);
    let mut told = 1;
    for failure in &failures[1..] {
        if text.len() + 2 + failure.len() > room {
            break;
        }
        text = text + "\n\n" + failure;
        told += 1;
    }
    match failures.len() - told {
        0 => {}
        more => text.push_str(&format!("\n\n[… {more} more]")),
    }
    if !verdict.is_empty() && !text.ends_with(verdict) {
        text = text + "\n\n" + verdict;
    }
    both_ends(&text, most)
}

/// Whether this is the line by which a tool begins to tell a failure.
pub(super) fn begins_a_failure(line: &str) -> bool {
    PATTERNS.forms.iter().any(|form| form.begin.is_match(line))
}

/// Whether a compiler begins to tell a warning with the first of these lines.
pub(super) fn begins_a_warning(lines: &[&str]) -> bool {
    let [first, second, ..] = lines else { return false };
    PATTERNS.warning.is_match(first) && second.trim_start().starts_with("--> ")
}

/// Whether a text has a failure in it that a tool told; or warnings alone, in words that speak of a failure: a
/// paste is cut where it is long, and compilers tell their warnings first.
pub fn tells_a_failure(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.iter().any(|line| begins_a_failure(line))
        || (0..lines.len()).any(|at| begins_a_warning(&lines[at..]))
            && super::paste::speaks_of_a_failure(text)
}

/// Whether the words of a text say that tests fail, as people do who paste nothing of it, or only what a program
/// printed before its tests had failed.
pub fn says_that_tests_fail(text: &str) -> bool {
    PATTERNS.said.is_match(&super::without_failures(text))
}

/// Whether a text tells of a check that did not end: to run it again would cost its whole time.
pub fn tells_of_no_end(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_end);
    lines.any(|line| {
        line.starts_with("test ") && line.contains(" has been running for over ")
            || line.starts_with("[the check was ended: it ran longer")
            || line.starts_with("[the check was ended: it printed nothing")
    })
}

/// Whether a text quotes a failure that is in an output: one of the lines by which tools begin to tell it, or a
/// warning.
pub fn tells_the_same(text: &str, output: &str) -> bool {
    let told = messages(text);
    messages(output).iter().any(|line| told.contains(line))
}

/// The lines by which tools begin to tell something.
fn messages(text: &str) -> HashSet<&str> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    // Python's traceback begins with the same words whatever failed.
    let begins = |at: &usize| {
        begins_a_failure(lines[*at]) && !lines[*at].starts_with("Traceback ")
            || begins_a_warning(&lines[*at..])
    };
    (0..lines.len()).filter(begins).map(|at| lines[at]).collect()
}

/// Whether a command says that something was not permitted to it.
pub fn tells_a_denial(output: &str) -> bool {
    const WORDS: [&str; 6] = [
        "Permission denied",
        "Operation not permitted",
        "Read-only file system",
        "os error 13",
        "EACCES",
        "EPERM",
    ];
    WORDS.iter().any(|word| output.contains(word))
}

/// The failures in order, without their noise and without doubles.
fn failures(lines: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let begins = |form: &&Form| form.begin.is_match(lines[at]);
        let form = PATTERNS.forms.iter().find(begins).filter(|_| !PATTERNS.summary.is_match(lines[at]));
        let Some(form) = form else {
            at += 1;
            continue;
        };
        let length = lines[at + 1..].iter().position(|line| form.end.is_match(line));
        let end = length.map_or(lines.len(), |length| at + 1 + length);
        let failure = clean(&lines[at..end]);
        // rustc says the same about a library and about its tests.
        if !failure.is_empty() && !found.contains(&failure) {
            found.push(failure);
        }
        at = end;
    }
    found
}

/// Without noise, foreign frames and repeated empty lines.
fn clean(lines: &[&str]) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        if PATTERNS.noise.is_match(line)
            || (line.is_empty() && kept.last().is_none_or(|last| last.is_empty()))
        {
            continue;
        }
        if PATTERNS.frame.is_match(line) && PATTERNS.foreign.is_match(line) {
            // Python's frames are followed by their code.
            if line.contains(".py") {
                while lines
                    .get(at)
                    .is_some_and(|next| next.starts_with("    ") && !PATTERNS.frame.is_match(next))
                {
                    at += 1;
                }
            }
            continue;
        }
        // Rust and Go name a function before the place.
        let place = lines.get(at).filter(|next| names_function(line, next));
        if place.is_some_and(|place| PATTERNS.foreign.is_match(place)) {
            at += 1;
            continue;
        }
        kept.push(line);
    }
    kept.join("\n").trim_end().to_owned()
}

/// Whether a line names the function whose place is on the next one.
fn names_function(line: &str, next: &str) -> bool {
    let rust = next.starts_with("             at ")
        && line.trim_start().split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    rust || (next.starts_with("\t/") && PATTERNS.frame.is_match(next))
}

/// The beginning and the end of a text, whole lines where possible, at most `most` bytes.
fn both_ends(text: &str, most: usize) -> String {
    const CUT: &str = "\n[…]\n";
    if text.len() <= most {
        return text.to_owned();
    }
    let Some(room) = most.checked_sub(CUT.len()) else { return String::new() };
    // The beginning of an error says more than its end.
    let head = &text[..floor(text, room * 2 / 3)];
    let head = head.rfind('\n').map_or(head, |end| &head[..end]);
    let tail = &text[ceil(text, text.len() - (room - head.len()).min(room / 2))..];
    let tail = tail.find('\n').map_or(tail, |start| &tail[start + 1..]);
    format!("{head}{CUT}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../fixtures/checks/", $name))
        };
    }

    /// Every line of `expected` is in the essence, in this order; nothing of `absent` is.
    #[track_caller]
    fn check(output: &str, expected: &[&str], absent: &[&str]) {
        let text = essence(output, 2000);
        let mut rest = text.as_str();
        for line in expected {
            let Some(at) = rest.find(line) else { panic!("{line:?} is missing or too early in\n{text}") };
            rest = &rest[at + line.len()..];
        }
        for line in absent {
            assert!(!text.contains(line), "{line:?} is in\n{text}");
        }
        assert!(text.len() < output.len(), "nothing was left out of\n{text}");
    }

    #[test]
    fn a_request_that_pastes_a_failure_is_told_from_one_that_speaks_of_one() {
        let pasted =
            "The dates are wrong:\n\nTraceback (most recent call last):\n  File \"a.py\", line 3, in f";
        assert!(tells_a_failure(pasted));
        assert!(tells_a_failure("fix it\nerror[E0308]: mismatched types\n --> src/lib.rs:3:5"));
        assert!(!tells_a_failure("print an error: the file is missing, and a traceback with --verbose"));
        let warning = "warning: unused variable: `x`\n --> src/lib.rs:3:5\n";
        assert!(tells_a_failure(&format!("The tests fail.\n\n{warning}")));
        assert!(!tells_a_failure(&format!("I do not want to see this.\n\n{warning}")));
        assert!(!tells_a_failure("The tests fail.\nwarning: they are slow\n"));
        let hangs = "running 1 test\ntest zero has been running for over 60 seconds\n";
        assert!(tells_a_failure(hangs) && tells_of_no_end(hangs));
        assert!(tells_of_no_end("[the check was ended: it ran longer than 180 seconds]"));
        assert!(!tells_of_no_end("The check was ended: it ran longer than I like."));
    }

    #[test]
    fn people_say_that_tests_fail() {
        for says in [
            "Two tests fail since Monday.",
            "the build is broken",
            "Mend the failing unit tests",
            "See the testing errors above.",
        ] {
            assert!(says_that_tests_fail(says), "{says}");
        }
        for other in
            ["add a test for the error", "test that errors are told", "check the failure path", "it fails"]
        {
            assert!(!says_that_tests_fail(other), "{other}");
        }
    }

    #[test]
    fn the_same_failure_is_told_by_the_line_that_begins_it() {
        let output = "F\nFAIL: test_a (t.T.test_a)\nTraceback (most recent call last):\n";
        assert!(tells_the_same("mend\nFAIL: test_a (t.T.test_a)\n", output));
        assert!(!tells_the_same("FAIL: test_b (t.T.test_b)\nTraceback (most recent call last):", output));
        assert!(!tells_the_same("mend test_a", output));
        let warning = "warning: unused variable: `x`\n --> src/lib.rs:3:5\n";
        assert!(tells_the_same(warning, &format!("{warning}\nerror[E0308]: mismatched types\n")));
        assert!(!tells_the_same("warning: unused variable: `x`", warning));
    }

    #[test]
    fn rustc() {
        check(
            fixture!("rustc.txt"),
            &[
                "error[E0425]: cannot find value `sums`",
                "8 |     sums",
                "error[E0308]: mismatched types",
                "could not compile",
            ],
            &["Compiling", "For more information", "waiting for other jobs"],
        );
    }

    #[test]
    fn cargo_test() {
        check(
            fixture!("cargo-test.txt"),
            &[
                "---- tests::sums stdout ----",
                "panicked at src/lib.rs:18:9",
                "  left: 6",
                " right: 7",
                "shop::tests::sums",
                "at ./src/lib.rs:18:9",
                "index out of bounds",
                "shop::first",
                "test result: FAILED. 1 passed; 2 failed",
            ],
            &["/rustc/", "core::panicking", "RUST_BACKTRACE", "... ok"],
        );
    }

    #[test]
    fn pytest() {
        check(
            fixture!("pytest.txt"),
            &[
                "test_cart",
                ">       assert lines ==",
                "E         {'items': [1, 2, 3]} != {'items': [1, 2, 4]}",
                "tests/test_cart.py:6: AssertionError",
                "shop/price.py:3: in total",
                "4 failed, 1 passed",
            ],
            &["short test summary", "_ _ _"],
        );
        check(
            fixture!("pytest-collect.txt"),
            &[
                "ERROR collecting tests/test_broken.py",
                "tests/test_broken.py:1: in <module>",
                "cannot import name 'subtotal'",
            ],
            &["importlib", "_gcd_import", "Hint:"],
        );
    }

    #[test]
    fn unittest() {
        check(
            fixture!("unittest.txt"),
            &[
                "ERROR: test_negative",
                "line 8, in price",
                "ValueError: negative count: -1",
                "FAIL: test_sum",
                "AssertionError: 10 != 11",
                "FAILED (failures=1, errors=1)",
            ],
            &["-----", "====="],
        );
    }

    #[test]
    fn python_alone() {
        let output = "loading\nTraceback (most recent call last):\n  File \"/home/ada/shop/a.py\", line 1, in <module>\n    import b\n  File \"/usr/lib/python3/site-packages/b.py\", line 9, in <module>\n    raise KeyError(1)\nKeyError: 1\n\nbye\n";
        check(
            output,
            &["a.py\", line 1", "import b", "KeyError: 1"],
            &["site-packages", "raise", "loading", "bye"],
        );
    }

    #[test]
    fn go() {
        check(
            fixture!("go.txt"),
            &["--- FAIL: TestSum", "price_test.go:7: Total() = 6, want 7", "two is not one"],
            &["ok  "],
        );
        check(
            fixture!("go-panic.txt"),
            &[
                "TestNil",
                "panic: runtime error",
                "shop/price.Total",
                "/home/ada/shop/price/price.go:10",
                "price_test.go:22",
            ],
            &["testing.go", "runtime/panic.go", "[signal"],
        );
        check(fixture!("go-build.txt"), &["price/price.go:12:9: undefined: som"], &["# shop"]);
    }

    #[test]
    fn javascript() {
        check(
            fixture!("jest.txt"),
            &[
                "● total › sums",
                "-   \"sum\": 7,",
                "+   \"sum\": 6,",
                "j/price.test.js:5:44",
                "● total › negative",
                "j/price.js:3:31",
                "2 failed, 1 passed",
            ],
            &["Snapshots", "✓ empty"],
        );
        check(
            fixture!("vitest.txt"),
            &[
                "FAIL  vt/price.test.mjs > sums",
                "-   \"sum\": 7,",
                "vt/price.test.mjs:5:42",
                "RangeError: negative count",
                "2 failed",
            ],
            &["Duration", "RUN"],
        );
        let typescript = "> tsc\n\nsrc/a.ts(3,7): error TS2322: Type 'string' is not assignable to type 'number'.\n  because\nsrc/b.ts:1:1 - error TS2304: Cannot find name 'x'.\n\nFound 2 errors.\n";
        check(typescript, &["TS2322", "  because", "TS2304"], &["> tsc", "Found"]);
    }

    #[test]
    fn java() {
        // Nothing of what javac alone prints is too much.
        let output = format!("> Task :compileJava FAILED\n{}", fixture!("javac.txt"));
        check(
            &output,
            &[
                "Price.java:5: error: incompatible types",
                "^",
                "Price.java:6: error: cannot find symbol",
                "symbol:   variable sums",
                "2 errors",
            ],
            &["> Task"],
        );
        let gradle = "> Task :test\n\nPriceTest > sums() FAILED\n    org.opentest4j.AssertionFailedError: expected: <7> but was: <6>\n        at org.junit.jupiter.api.AssertEquals.fail(AssertEquals.java:1)\n        at app//shop.PriceTest.sums(PriceTest.java:9)\n\n3 tests completed, 1 failed\n\n* What went wrong:\nExecution failed for task ':test'.\n\n* Try:\n> Run with --stacktrace\n";
        check(
            gradle,
            &[
                "PriceTest > sums() FAILED",
                "expected: <7> but was: <6>",
                "PriceTest.java:9",
                "Execution failed for task",
            ],
            &["AssertEquals.java", "--stacktrace"],
        );
    }

    #[test]
    fn of_anything_else_both_ends_stay() {
        let output: String = (1..=1000).map(|n| format!("line {n}\n")).collect();
        let text = essence(&output, 200);
        assert!(text.starts_with("line 1\n") && text.ends_with("line 1000"), "{text}");
        assert!(text.contains("\n[…]\n") && text.len() <= 200);
        assert_eq!(essence("  \n", 100), "");
        assert_eq!(essence("short\n", 100), "short");
    }

    #[test]
    fn it_never_takes_more_room_than_there_is() {
        for output in [
            fixture!("pytest.txt"),
            fixture!("cargo-test.txt"),
            fixture!("vitest.txt"),
            "ä".repeat(500).as_str(),
        ] {
            for most in [0, 1, 7, 50, 100, 333, 1000] {
                let text = essence(output, most);
                assert!(text.len() <= most, "{} bytes instead of {most}:\n{text}", text.len());
            }
        }
        let tight = essence(fixture!("pytest.txt"), 700);
        assert!(
            tight.contains("[1, 2, 4]") && tight.contains("more]") && tight.ends_with("in 0.27s"),
            "{tight}"
        );
    }
}
