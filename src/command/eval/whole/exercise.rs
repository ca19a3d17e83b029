//! Reads an exercise as Exercism and the polyglot set lay it out: instructions, a stub, tests and an
//! example solution, told apart by `.meta/config.json`.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::task::{Files, Task, is_inside, read_files};

/// What the agent does not see: instructions are in the request, the rest tells the solution.
const HIDDEN: &[&str] = &[".docs", ".meta", ".approaches", ".articles"];

/// Solution files that Aider's benchmark leaves out of the chat as well.
const MANIFESTS: &[&str] = &["Cargo.toml", "CMakeLists.txt"];

/// The parts of the instructions, in this order.
const INSTRUCTIONS: &[&str] = &["introduction.md", "instructions.md", "instructions.append.md"];

#[derive(Debug, Deserialize)]
struct Config {
    /// What explains a concept has a file of this name too, without these.
    files: Option<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    solution: Vec<String>,
    test: Vec<String>,
    #[serde(default, alias = "exemplar")]
    example: Vec<String>,
}

/// Languages whose tests can be run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Python,
    Rust,
}

impl Language {
    pub fn name(self) -> &'static str {
        match self {
            Language::Python => "python",
            Language::Rust => "rust",
        }
    }

    /// By the names of the solution files.
    fn of(files: &[String]) -> Option<Language> {
        let all = |extension: &str| files.iter().all(|file| file.ends_with(extension));
        match () {
            () if files.is_empty() => None,
            () if all(".py") => Some(Language::Python),
            () if all(".rs") => Some(Language::Rust),
            () => None,
        }
    }
}

/// Reads the exercise in `folder`; `None` if it is none, or its tests are in a language that cannot be
/// run here.
///
/// # Errors
/// What cannot be read or is not an exercise.
pub fn read(folder: &Path) -> anyhow::Result<Option<Task>> {
    let path = folder.join(".meta/config.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let config: Config = serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    let Some(Listed { solution, test, example }) = config.files else { return Ok(None) };
    let listed = || solution.iter().chain(&test).chain(&example);
    if let Some(outside) = listed().find(|path| !is_inside(path)) {
        anyhow::bail!("{}: {outside:?} leads out of the exercise", path.display());
    }
    let is_manifest = |file: &String| MANIFESTS.contains(&file.as_str());
    let tags: Vec<String> =
        solution.iter().filter(|file| !is_manifest(file) && !test.contains(file)).cloned().collect();
    let Some(language) = Language::of(&tags) else { return Ok(None) };
    let all = read_files(folder, &|path| path == "target" || path == ".git")?;
    let hidden = |path: &str| HIDDEN.contains(&path.split('/').next().unwrap_or(path));
    let is_test = |path: &str| {
        test.iter().any(|test| test == path) || (language == Language::Rust && path.starts_with("tests/"))
    };
    let part = |wanted: &dyn Fn(&str) -> bool| -> Files {
        all.iter()
            .filter(|(path, _)| wanted(path))
            .map(|(path, bytes)| (path.clone(), bytes.clone()))
            .collect()
    };
    let mut tree = part(&|path| !hidden(path) && !is_test(path) && !example.iter().any(|file| file == path));
    let mut oracle = part(&|path| is_test(path));
    ensure!(
        tags.iter().all(|tag| tree.contains_key(tag)),
        "{}: a solution file is missing",
        folder.display()
    );
    ensure!(!oracle.is_empty(), "{} has no tests", folder.display());
    let examples: Vec<(&String, &Vec<u8>)> =
        example.iter().filter_map(|path| all.get_key_value(path)).collect();
    let mut solved = Files::new();
    for (at, (_, bytes)) in examples.iter().enumerate().filter(|_| examples.len() == tags.len()) {
        solved.insert(tags[at].clone(), (*bytes).clone());
    }
    // What the example is built with besides the stub's own manifest.
    if let Some(manifest) = all.get(".meta/Cargo-example.toml") {
        solved.insert("Cargo.toml".into(), manifest.clone());
    }
    if language == Language::Rust {
        lock(&mut tree);
    }
    let names = |kind: &[&str]| kind.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (tests, check) = match language {
        Language::Python => {
            let files = test.iter().filter(|file| file.ends_with(".py"));
            (
                names(&["python3", "-m", "unittest"]).into_iter().chain(files.cloned()).collect(),
                Some(names(&["python3", "-c"]).into_iter().chain([imports(&tags)]).collect()),
            )
        }
        // The tests of an exercise are meant to be switched on one by one; all of them count.
        Language::Rust => (
            names(&["cargo", "test", "--offline", "--", "--include-ignored"]),
            Some(names(&["cargo", "check", "--offline"])),
        ),
    };
    // A lock file of the stub would contradict the manifest of the example.
    if solved.contains_key("Cargo.toml") {
        oracle.remove("Cargo.lock");
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    Ok(Some(Task {
        id: format!("{}/{name}", language.name()),
        language: language.name().to_owned(),
        request: request(folder, &tags, language)?,
        tree,
        needed: tags.clone(),
        tags,
        solution: solved,
        oracle,
        tests,
        check,
        ..Task::default()
    }))
}

/// The instructions with the words of Aider's benchmark around them, so that both agents read the same.
fn request(folder: &Path, tags: &[String], language: Language) -> anyhow::Result<String> {
    let mut text = String::new();
    for name in INSTRUCTIONS {
        let path = folder.join(".docs").join(name);
        match std::fs::read_to_string(&path) {
            Ok(part) => text.push_str(&part),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && *name != "instructions.md" => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
    }
    text.push_str(&format!(
        "\n####\n\nUse the above instructions to modify the supplied files: {}\n\
         Don't change the names of existing functions or classes, as they may be referenced from other code \
         like unit tests, etc.\n\
         Only use standard {} libraries, don't suggest installing any packages.\n",
        tags.join(" "),
        language.name()
    ));
    Ok(text)
}

/// Python that imports the modules: it finds what does not even load.
fn imports(files: &[String]) -> String {
    let modules = files.iter().map(|file| file.trim_end_matches(".py").replace('/', "."));
    modules.map(|module| format!("import {module}")).collect::<Vec<_>>().join("; ")
}

/// Adds the lock file of a package without dependencies: a check in the tree cannot write one.
fn lock(tree: &mut Files) {
    let manifest = tree.get("Cargo.toml").and_then(|bytes| std::str::from_utf8(bytes).ok());
    let Some(manifest) = manifest.and_then(|text| toml::from_str::<toml::Table>(text).ok()) else { return };
    let is_alone = ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .all(|key| manifest.get(key).and_then(toml::Value::as_table).is_none_or(toml::Table::is_empty));
    let of =
        |key: &str| manifest.get("package").and_then(|package| package.get(key)).and_then(|v| v.as_str());
    if let (true, Some(name), Some(version)) = (is_alone, of("name"), of("version")) {
        let text = format!(
            "# This file is automatically @generated by Cargo.\n# It is not intended for manual editing.\n\
             version = 4\n\n[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n"
        );
        tree.entry("Cargo.lock".into()).or_insert(text.into_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exercise(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        super::super::task::write_files(&files.collect(), folder.path()).unwrap();
        folder
    }

    const CONFIG: &str = r#"{"files":{"solution":["src/lib.rs","Cargo.toml"],"test":["tests/a.rs"],"example":[".meta/example.rs"]}}"#;

    #[test]
    fn tests_and_solution_are_not_in_the_tree() {
        let folder = exercise(&[
            (".meta/config.json", CONFIG),
            (".meta/example.rs", "pub fn a() -> u8 { 1 }"),
            (".docs/introduction.md", "# Introduction"),
            (".docs/instructions.md", "# Instructions\n\nReturn 1.\n"),
            (".docs/instructions.append.md", "Only here.\n"),
            ("src/lib.rs", "pub fn a() -> u8 { todo!() }"),
            ("Cargo.toml", "[package]\nname = \"a\"\nversion = \"1.0.0\"\n[dependencies]\n"),
            ("tests/a.rs", "#[test] fn t() { assert_eq!(a::a(), 1) }"),
            ("tests/common/mod.rs", ""),
        ]);
        let task = read(folder.path()).unwrap().unwrap();
        assert_eq!(task.tree.keys().collect::<Vec<_>>(), ["Cargo.lock", "Cargo.toml", "src/lib.rs"]);
        assert_eq!(task.oracle.keys().collect::<Vec<_>>(), ["tests/a.rs", "tests/common/mod.rs"]);
        assert_eq!((task.tags.as_slice(), task.needed.len()), (&["src/lib.rs".to_owned()][..], 1));
        assert_eq!(task.solved()["src/lib.rs"], b"pub fn a() -> u8 { 1 }");
        let (first, last) = (task.request.find("Introduction"), task.request.find("modify the supplied"));
        assert!(first < task.request.find("Return 1.") && task.request.find("Only here") < last);
    }

    #[test]
    fn other_languages_are_left_out_and_paths_that_lead_out_are_refused() {
        let go = CONFIG.replace("src/lib.rs", "a.go");
        assert!(read(exercise(&[(".meta/config.json", &go), ("a.go", "")]).path()).unwrap().is_none());
        for path in ["../out.rs", "/etc/passwd"] {
            let hostile = CONFIG.replace(".meta/example.rs", path);
            let error = read(exercise(&[(".meta/config.json", &hostile)]).path()).unwrap_err().to_string();
            assert!(error.contains("leads out"), "{error}");
        }
        let missing = read(exercise(&[(".meta/config.json", CONFIG)]).path());
        assert!(missing.is_err(), "no stub");
    }
}
