//! What a request says besides the failures that were pasted into it.
//!
//! Once a check has been run, its output says all of that, and says it of the lines as they are now.

use std::sync::LazyLock;

use regex::Regex;

use super::essence::{begins_a_failure, begins_a_warning};

/// Lines of test runners around their failures.
const CHATTER: &str = concat!(
    r"^([.FEsxuX]{2,}|running \d+ tests?|test \S+ \.\.\. \w+.*|successes:|failures:|\s+(Compiling|Running|Finished|Doc-tests) .*",
    r"|Ran \d+ tests? in .*|warning: .* generated \d+ warnings?.*|test result: .*|FAILED( \(.*\))?|error: test failed.*|[=-]{10,}.*|collected \d+ items?|platform \S+ -- .*)$",
);

/// Lines within a failure that begin as prose does.
const TELLING: &str = concat!(
    r"^(Traceback |During handling |The above exception |File |First |Second |Element counts |Diff |Stdout:|Stderr:",
    r"|[\w.]+(Error|Exception|Warning)\b|[\w./-]+:\d+|thread '|note: |help: |assertion |left: |right: |Expected|Received|stack backtrace|error|warning)",
);

static CHATTERS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(CHATTER).expect("a built-in pattern is valid"));
static TELLS: LazyLock<Regex> = LazyLock::new(|| Regex::new(TELLING).expect("a built-in pattern is valid"));

/// The request without pasted failures and what test runners say around them. A paragraph that reads as prose
/// stays, also behind a failure that was cut before its end.
pub fn without_failures(request: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut within = false;
    let mut after_blank = true;
    let lines: Vec<&str> = request.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let plain = line.trim_end();
        let is_chatter = CHATTERS.is_match(plain);
        let was_within = within;
        within = begins_a_failure(plain)
            || begins_a_warning(&lines[at..])
            || within && !(after_blank && is_prose(plain));
        if was_within && !within && kept.last().is_some_and(|last| !last.is_empty()) {
            kept.push("");
        }
        after_blank = plain.is_empty() || is_chatter;
        let repeats_blank = plain.is_empty() && kept.last().is_none_or(|last| last.is_empty());
        if !within && !repeats_blank && !is_chatter {
            kept.push(*line);
        }
    }
    kept.join("\n").trim_end().to_owned()
}

/// Whether what is said around pastes speaks of a failure.
pub(super) fn speaks_of_a_failure(request: &str) -> bool {
    let rest = without_failures(request).to_ascii_lowercase();
    let mut words = rest.split(|c: char| !c.is_alphanumeric());
    words.any(|word| word.starts_with("fail") || ["error", "errors", "broken"].contains(&word))
}

/// Whether a line begins as people write: with a letter or a mark of Markdown, and in several words.
fn is_prose(line: &str) -> bool {
    let begins = line.starts_with(|c: char| c.is_alphabetic() || "#*".contains(c));
    begins
        && (line.contains(' ') || line.starts_with('#'))
        && !TELLS.is_match(line)
        && !CHATTERS.is_match(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_goes_and_what_people_say_stays() {
        let python = "Mend it.\n\n.F.E\n======================================================================\nFAIL: test_a (t.T.test_a)\n----------------------------------------------------------------------\nTraceback (most recent call last):\n  File \"/x/t.py\", line 3, in test_a\n    self.assertEqual(f(1), 2)\n                     ^^^^\nAssertionError: Lists differ: ['1'] != ['2']\n\nFirst differing element 0:\n'1'\n'2'\n\n- ['1']\n+ ['2'] : first\n\n\n======================================================================\nERROR: test_b (t.T.test_b)\n----------------------------------------------------------------------\nTraceback (most recent call last):\n  File \"/x/t.py\", line 9, in test_b\n";
        let rest = "\n####\n\nThe tests are right.\nKeep `f` as it is called.";
        for end in [
            "",
            "    f(2)\nTypeError: no\n\n----------------------------------------------------------------------\nRan 4 tests in 0.001s\n\nFAILED (failures=1, errors=1)\n",
        ] {
            let request = format!("{python}{end}{rest}");
            assert_eq!(without_failures(&request), format!("Mend it.\n{rest}"), "{request}");
        }
        let cargo = "f fails:\n   Compiling x v0.1.0 (/x)\n    Finished `test` profile in 0.2s\n     Running tests/x.rs (target/debug/deps/x-1)\n\nrunning 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\n\nthread 'b' (7) panicked at tests/x.rs:3:5:\nassertion `left == right` failed\n  left: 1\n right: 2\nnote: run with `RUST_BACKTRACE=1`\n\n\nfailures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored\n\nerror: test failed, to rerun pass `--test x`\n\nDo not change the tests.\n";
        assert_eq!(without_failures(cargo), "f fails:\n\nDo not change the tests.");
        let pytest = "____ test_a ____\n\n    def test_a():\n>       assert f(1) == 2\nE       assert 1 == 2\nE        +  where 1 = f(1)\n\nt.py:4: AssertionError\n";
        assert_eq!(without_failures(pytest), "");
        let warned = "Convert them.\n\n   Compiling x v0.1.0 (/x)\nwarning: unused variable: `base`\n  --> src/lib.rs:42:9\n   |\n42 |     let base = from;\n   |         ^^^^ help: prefix it with an underscore\n   |\n   = note: on by default\n\nwarning: `x` (lib) generated 1 warning (run `cargo f\n####\n\nFix the errors.";
        assert_eq!(without_failures(warned), "Convert them.\n\n####\n\nFix the errors.");
    }

    #[test]
    fn a_request_without_a_paste_is_as_it_was() {
        let request = "# Add a flag\n\n- `--verbose` prints more\n  than now:\n\n```\nerror messages\n```\nIt must not fail.";
        assert_eq!(without_failures(request), request);
    }
}
