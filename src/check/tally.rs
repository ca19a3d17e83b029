//! How many tests passed, as the tool that ran them says it. Pure.

use std::sync::LazyLock;

use regex::Regex;

/// Tests that passed; `None` where the output does not say.
///
/// Known are unittest, cargo, pytest, Jest and Vitest; what several runs of one tool say is added up.
pub fn passed(output: &str) -> Option<u32> {
    // The invariant behind `expect`: the patterns are fixed, and a test uses every one.
    static PLAIN: LazyLock<[Regex; 3]> = LazyLock::new(|| {
        [
            r"(?m)^test result: \w+\. (\d+) passed",
            r"(?m)^=*\s?(?:\d+ failed, )?(\d+) passed\b.* in [\d.]+s",
            r"(?m)^\s*Tests:?\s.*?(\d+) passed",
        ]
        .map(|pattern| Regex::new(pattern).expect("a built-in pattern is valid"))
    });
    unittest(output).or_else(|| {
        PLAIN.iter().find_map(|pattern| {
            let counts = pattern.captures_iter(output).filter_map(|found| found[1].parse::<u32>().ok());
            counts.reduce(u32::saturating_add)
        })
    })
}

/// It tells how many ran, and how many of them failed or had an error.
fn unittest(output: &str) -> Option<u32> {
    static RAN: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = r"(?m)^Ran (\d+) tests? in .*\n+(OK|FAILED)\b(.*)$";
        Regex::new(pattern).expect("a built-in pattern is valid")
    });
    static BROKEN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?:failures|errors|skipped)=(\d+)").expect("a built-in pattern is valid")
    });
    let runs = RAN.captures_iter(output).filter_map(|run| {
        let ran: u32 = run[1].parse().ok()?;
        let broken = BROKEN.captures_iter(&run[3]).filter_map(|found| found[1].parse::<u32>().ok());
        Some(ran.saturating_sub(broken.fold(0, u32::saturating_add)))
    });
    runs.reduce(u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_is_understood() {
        for (output, expected) in [
            ("..\nRan 12 tests in 0.001s\n\nOK\n", Some(12)),
            ("Ran 12 tests in 0.001s\n\nOK (skipped=2)\n", Some(10)),
            ("Ran 17 tests in 0.1s\n\nFAILED (failures=2, errors=1)\n", Some(14)),
            // An import that fails is one test with an error.
            ("Ran 1 test in 0.000s\n\nFAILED (errors=1)\n", Some(0)),
            (
                "test result: ok. 0 passed; 0 failed\n\ntest result: FAILED. 7 passed; 1 failed; 0 ignored\n",
                Some(7),
            ),
            ("error: could not compile `x` (lib) due to 2 previous errors", None),
            ("=========== 4 failed, 11 passed in 0.12s ===========", Some(11)),
            ("11 passed, 1 warning in 0.12s", Some(11)),
            ("Tests:       1 failed, 5 passed, 6 total", Some(5)),
            ("      Tests  2 failed | 3 passed (5)", Some(3)),
            ("5 passed the exam", None),
            ("", None),
        ] {
            assert_eq!(passed(output), expected, "{output}");
        }
    }
}
