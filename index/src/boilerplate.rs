//! Owns what programs and issue templates write into every report: banners, lists of installed
//! packages, check boxes. Such lines are many and say nothing about which file is meant. Pure.

use std::sync::LazyLock;

/// Whether a trimmed line was written by a program or a template: it begins as one of
/// `boilerplate.txt`, or it names a package and its version.
pub fn is_boilerplate(line: &str) -> bool {
    BOILERPLATE.iter().any(|beginning| line.starts_with(beginning)) || is_package(line)
}

/// `numpy 1.21.0`, `numpy==1.21.0` and the lines of `pip list` and `conda list`.
fn is_package(line: &str) -> bool {
    let is_name = |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let is_version = |word: &str| {
        let digits = word.trim_start_matches('v');
        digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.contains('.')
            && digits.chars().all(|c| c.is_ascii_alphanumeric() || ".+-_".contains(c))
    };
    let words: Vec<&str> = line.split_whitespace().take(4).collect();
    match words[..] {
        [one] => one.split_once("==").is_some_and(|(name, version)| is_name(name) && is_version(version)),
        [name, version] | [name, version, _] => is_name(name) && is_version(version),
        _ => false,
    }
}

/// The lines of `boilerplate.txt`.
static BOILERPLATE: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let lines = include_str!("../boilerplate.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
});

#[cfg(test)]
mod tests {
    use super::is_boilerplate;

    #[test]
    fn what_people_write_stays() {
        for line in [
            "Python 3.6.0 |Continuum Analytics| (default)",
            "Type \"copyright\", \"credits\" or \"license\" for more information.",
            "- [x] I searched for a duplicate",
            "numpy 1.21.0",
            "numpy==1.21.0",
            "zipp            3.1.0     pypi_0",
        ] {
            assert!(is_boilerplate(line), "{line}");
        }
        for line in [
            "printer 2",
            "the printer 1.2.3 of today",
            "printer = 1.5",
            "x == printer 1.0",
            "Python crashes",
            "- the parser",
            "1.21.0",
            "",
        ] {
            assert!(!is_boilerplate(line), "{line}");
        }
    }
}
