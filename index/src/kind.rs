//! Owns what a path alone says about a file: source, test, document or configuration. Pure.

use serde::{Deserialize, Serialize};

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    Source,
    Test,
    Document,
    Configuration,
}

const TEST_DIRECTORIES: &[&str] = &[
    "test",
    "tests",
    "testing",
    "__tests__",
    "spec",
    "specs",
    "e2e",
    "testdata",
    "test-data",
    "testutil",
    "testutils",
    "bench",
    "benches",
    "benchmark",
    "benchmarks",
    "fixture",
    "fixtures",
    "__mocks__",
    "mock",
    "mocks",
];
const DOCUMENT_DIRECTORIES: &[&str] =
    &["doc", "docs", "documentation", "example", "examples", "tutorial", "tutorials"];
const DOCUMENT_EXTENSIONS: &[&str] =
    &["md", "markdown", "rst", "txt", "adoc", "org", "tex", "ipynb", "html", "po", "roff", "1"];
const CONFIGURATION_EXTENSIONS: &[&str] = &[
    "toml",
    "yml",
    "yaml",
    "json",
    "cfg",
    "ini",
    "xml",
    "gradle",
    "properties",
    "cmake",
    "mk",
    "in",
    "ac",
    "am",
    "bazel",
    "bzl",
    "nix",
    "lock",
    "mod",
    "sum",
    "conf",
];

impl FileKind {
    /// Judges by directories and file name; a test directory decides before the extension does.
    pub fn of_path(path: &str) -> FileKind {
        let lower = path.to_ascii_lowercase();
        let (directories, name) = lower.rsplit_once('/').unwrap_or(("", &lower));
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        if directories.split('/').any(|directory| TEST_DIRECTORIES.contains(&directory))
            || is_test_name(path, stem, extension)
        {
            return FileKind::Test;
        }
        if DOCUMENT_EXTENSIONS.contains(&extension) {
            return FileKind::Document;
        }
        if CONFIGURATION_EXTENSIONS.contains(&extension) {
            return FileKind::Configuration;
        }
        if directories.split('/').any(|directory| DOCUMENT_DIRECTORIES.contains(&directory)) {
            return FileKind::Document;
        }
        match stem {
            "changelog" | "changes" | "license" | "copying" | "authors" | "readme" | "news"
                if extension.is_empty() =>
            {
                FileKind::Document
            }
            "makefile" | "dockerfile" | "gemfile" | "rakefile" | "justfile" if extension.is_empty() => {
                FileKind::Configuration
            }
            _ => FileKind::Source,
        }
    }
}

/// `test_x.py`, `x_test.go`, `x_spec.rb`, `x.spec.ts`, `XTest.java`, `XSpec.scala`, `tests.rs`.
fn is_test_name(path: &str, stem: &str, extension: &str) -> bool {
    let cased = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(stem, _)| stem);
    let ends_in_test = matches!(extension, "java" | "kt" | "scala" | "cs" | "swift" | "php")
        && ["Test", "Tests", "Spec"].iter().any(|mark| cased.ends_with(mark));
    let dotted = [".test", ".spec", ".tst", ".test-d"].iter().any(|mark| stem.ends_with(mark));
    let python = extension == "py" && (stem.starts_with("test_") || stem == "conftest");
    let suffixed = ["_test", "_tests", "_spec"].iter().any(|mark| stem.ends_with(mark));
    ends_in_test
        || dotted
        || python
        || suffixed
        || (matches!(stem, "test" | "tests") && !extension.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_tell() {
        for (path, kind) in [
            ("src/main.rs", FileKind::Source),
            ("src/contest.rs", FileKind::Source),
            ("lib/test_parser.py", FileKind::Test),
            ("pkg/parse_test.go", FileKind::Test),
            ("a/tests/data.json", FileKind::Test),
            ("src/Foo.spec.ts", FileKind::Test),
            ("FooTest.java", FileKind::Test),
            ("FooTests.swift", FileKind::Test),
            ("FooSpec.scala", FileKind::Test),
            ("models/foo_spec.rb", FileKind::Test),
            ("src/Specification.cs", FileKind::Source),
            ("docs/guide.md", FileKind::Document),
            ("examples/a.rs", FileKind::Document),
            ("LICENSE", FileKind::Document),
            ("Cargo.toml", FileKind::Configuration),
            ("Makefile", FileKind::Configuration),
        ] {
            assert_eq!(FileKind::of_path(path), kind, "{path}");
        }
    }
}
