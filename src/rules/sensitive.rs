//! The table of what no rule and no mode can allow: `sensitive.toml` beside this file. Data.

use std::sync::LazyLock;

use globset::{GlobSet, GlobSetBuilder};
use serde::Deserialize;
use toml::Spanned;

use super::pattern::{self, WordGlob, program_name};

/// The name of the table, for messages.
pub const TABLE: &str = "sensitive.toml";

const TEXT: &str = include_str!("sensitive.toml");

/// A line of the table that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// From 1, in [`TABLE`].
    pub number: usize,
    pub pattern: String,
    pub reason: &'static str,
}

/// One reason of the table, with its paths or its programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub reason: &'static str,
    pub patterns: Vec<&'static str>,
}

/// The lines that name the path, in the order of the table.
pub fn path(path: &str) -> Vec<Line> {
    let fits = PATHS.set.matches(pattern::fold(path));
    fits.into_iter().map(|at| PATHS.lines[at].clone()).collect()
}

/// The lines that name the command, in the order of the table.
pub fn command(argv: &[String]) -> Vec<Line> {
    let Some((program, arguments)) = argv.split_first() else { return Vec::new() };
    let names = [program.clone(), program_name(program)];
    let fits = COMMANDS.iter().filter(|entry| {
        names.iter().any(|name| entry.program.tightens(name))
            && (entry.arguments.is_empty()
                || arguments.iter().any(|word| entry.arguments.iter().any(|glob| glob.tightens(word))))
    });
    fits.map(|entry| Line { number: entry.line, pattern: entry.name.clone(), reason: entry.reason }).collect()
}

/// What the table is about, for lists.
pub fn groups() -> Vec<Group> {
    let paths = DATA.paths.iter().map(|group| (group.reason.as_str(), &group.globs));
    let commands = DATA.commands.iter().map(|group| (group.reason.as_str(), &group.programs));
    let texts =
        |patterns: &'static [Spanned<String>]| patterns.iter().map(|one| one.get_ref().as_str()).collect();
    paths.chain(commands).map(|(reason, patterns)| Group { reason, patterns: texts(patterns) }).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    paths: Vec<Paths>,
    commands: Vec<Commands>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paths {
    reason: String,
    globs: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commands {
    reason: String,
    programs: Vec<Spanned<String>>,
    /// The command is meant with one of these among its arguments only; empty for all.
    #[serde(default)]
    arguments: Vec<String>,
}

/// Every pattern of the paths, with the line that it is from at the same place.
struct PathTable {
    set: GlobSet,
    lines: Vec<Line>,
}

struct CommandEntry {
    line: usize,
    name: String,
    program: WordGlob,
    arguments: Vec<WordGlob>,
    reason: &'static str,
}

// The table is built in, and a test reads all of it: what panics here never ships.
static DATA: LazyLock<Data> = LazyLock::new(|| toml::from_str(TEXT).expect("the built-in table is valid"));

static PATHS: LazyLock<PathTable> = LazyLock::new(|| {
    let mut set = GlobSetBuilder::new();
    let mut lines = Vec::new();
    for group in &DATA.paths {
        for glob in &group.globs {
            set.add(pattern::forgiving(glob.get_ref()).expect("a built-in pattern"));
            let pattern = glob.get_ref().clone();
            lines.push(Line { number: line(glob.span().start), pattern, reason: &group.reason });
        }
    }
    PathTable { set: set.build().expect("built-in patterns"), lines }
});

static COMMANDS: LazyLock<Vec<CommandEntry>> = LazyLock::new(|| {
    let glob = |word: &str| WordGlob::new(word).expect("a built-in pattern");
    let entry = |group: &'static Commands, program: &Spanned<String>| CommandEntry {
        line: line(program.span().start),
        name: program.get_ref().clone(),
        program: glob(program.get_ref()),
        arguments: group.arguments.iter().map(|word| glob(word)).collect(),
        reason: &group.reason,
    };
    DATA.commands
        .iter()
        .flat_map(|group| group.programs.iter().map(move |program| entry(group, program)))
        .collect()
});

fn line(offset: usize) -> usize {
    // Counted in bytes, since every start of the program does it for every pattern.
    TEXT.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_without_being_asked_is_in_the_table() {
        for named in [
            ".github/workflows/ci.yml",
            ".GitHub/Workflows/CI.yml",
            ".gitlab-ci.yml",
            "sub/.gitlab-ci.yml",
            ".circleci/config.yml",
            "Jenkinsfile",
            "azure-pipelines.yml",
            "bitbucket-pipelines.yml",
            ".woodpecker/build.yml",
            ".travis.yml",
            ".ci/run",
            "ci/run.sh",
            ".git/hooks/pre-commit",
            ".husky/pre-push",
            "hooks/pre-commit",
            "tools/hooks/post-merge",
            ".pre-commit-config.yaml",
            "lefthook.yml",
            ".gitattributes",
            "crates/a/build.rs",
            "BUILD.RS",
            "setup.py",
            "tests/conftest.py",
            "Makefile",
            "makefile",
            "GNUmakefile",
            "sub/CMakeLists.txt",
            "cmake/find.cmake",
            "app/build.gradle",
            "app/build.gradle.kts",
            "gradle/wrapper/gradle-wrapper.jar",
            "pom.xml",
            "package.json",
            "web/package.json",
            "vite.config.ts",
            ".eslintrc.js",
            "Cargo.toml",
            "Cargo.lock",
            "yarn.lock",
            "pnpm-lock.yaml",
            "go.sum",
            "poetry.lock",
            "uv.lock",
            "flake.lock",
            "rust-toolchain.toml",
            ".cargo/config.toml",
            ".vscode/tasks.json",
            ".idea/runConfigurations/x.xml",
            ".envrc",
            ".env",
            ".env.production",
            ".devcontainer/devcontainer.json",
            "countersign.toml",
            "COUNTERSIGN.TOML",
            "sub/countersign.toml",
            "Dockerfile.dev",
            "docker-compose.override.yml",
            "AGENTS.md",
            "server.pem",
            "x.csproj",
        ] {
            assert!(!path(named).is_empty(), "{named}");
        }
    }

    #[test]
    fn ordinary_files_are_not() {
        for named in [
            "src/main.rs",
            "src/build/mod.rs",
            "src/lock.rs",
            "src/hooks/use_state.ts",
            "README.md",
            "docs/ci.md",
            "tests/test_cli.py",
            "greeter/cli.py",
            "lib/config.js",
            "src/config.rs",
            "web/src/app.config.css",
            "data/rules.toml",
            "src/package.rs",
            "a.py",
            "src/ci/mod.rs",
        ] {
            assert_eq!(path(named), [], "{named}");
        }
    }

    fn is_named(line: &str) -> bool {
        let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        !command(&argv).is_empty()
    }

    #[test]
    fn commands_that_run_text_are_in_the_table() {
        for named in [
            "sh -c x",
            "/bin/bash x.sh",
            "BASH.EXE -c x",
            "env X=1 rm y",
            "sudo ls",
            "xargs rm",
            "python3 -c x",
            "python3.12 -Ic x",
            "node -e x",
            "node --eval=x",
            "perl -ne x",
            "find . -exec rm",
            "git -c core.pager=x log",
            "npx cowsay",
            "timeout 5 rm x",
        ] {
            assert!(is_named(named), "{named}");
        }
        for plain in [
            "git status",
            "cargo test --workspace",
            "python3 -m pytest",
            "node test.js",
            "find . -name x",
            "ls",
        ] {
            assert!(!is_named(plain), "{plain}");
        }
    }

    #[test]
    fn a_line_is_told_by_its_number() {
        for found in path("a/Cargo.lock").iter().chain(&path(".github/x")).chain(&command(&["sh".into()])) {
            let text = TEXT.lines().nth(found.number - 1).unwrap();
            assert!(text.contains(&format!("\"{}\"", found.pattern)), "{found:?}: {text}");
        }
    }

    #[test]
    fn the_table_has_no_line_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for group in &DATA.paths {
            for glob in &group.globs {
                assert!(seen.insert(glob.get_ref().clone()), "{} is there twice", glob.get_ref());
            }
        }
        assert!(groups().iter().all(|group| !group.patterns.is_empty() && !group.reason.is_empty()));
    }
}
