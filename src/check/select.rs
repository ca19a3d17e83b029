//! Which tests concern a change: they run first, so that a failure is known in seconds.
//!
//! A test concerns a file when it uses a name that the file defines, imports it, or is named after it.
//! This is a guess for the sake of speed alone: the whole check runs afterwards in any case.

use std::collections::BTreeSet;
use std::path::Path;

use countersign_index::{FileKind, Index};
use serde::Deserialize;

use super::Check;

/// More tests than this are not a selection.
const MOST_TESTS: usize = 20;
/// Names of one file that are looked up; a file of constants has thousands.
const MOST_NAMES: usize = 60;
/// A name that more tests use says nothing: `new`, `main`.
const COMMON: usize = 12;

/// The part of `check` that concerns the files `changed`; `None` when it cannot be told, when nothing
/// is found, or when it would be about everything. Paths are relative to the root, with `/`.
pub fn select(index: &Index, changed: &[&str], check: &Check) -> Option<Check> {
    // In a part of the tree, tools name files relative to that.
    if !check.directory.is_empty() || changed.iter().any(|path| settles_everything(path)) {
        return None;
    }
    let tool = Tool::of(&check.argv)?;
    let tests: BTreeSet<String> =
        tests_of(index, changed).into_iter().filter(|path| !path.starts_with('-')).collect();
    let argv = match tool {
        Tool::Pytest => pytest(&check.argv, &tests),
        Tool::Unittest => unittest(&check.argv, &tests),
        Tool::Go => go(&check.argv, changed, &tests),
        Tool::Cargo => cargo(&check.argv, index.root(), changed, &tests),
    }?;
    Some(Check { argv, ..check.clone() })
}

/// Files that decide about all tests.
fn settles_everything(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(
        name,
        "conftest.py"
            | "pyproject.toml"
            | "setup.py"
            | "setup.cfg"
            | "tox.ini"
            | "pytest.ini"
            | "Cargo.lock"
            | "Cargo.toml"
            | "build.rs"
            | "go.mod"
            | "go.sum"
    )
}

/// Tools that can be asked for some of their tests.
enum Tool {
    Pytest,
    Unittest,
    Go,
    Cargo,
}

impl Tool {
    /// The tool of a command that asks for all of its tests.
    fn of(argv: &[String]) -> Option<Tool> {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        let program = words.first()?.rsplit('/').next()?;
        match (program, &words[1..]) {
            ("pytest" | "py.test", rest) if all_flags(rest) => Some(Tool::Pytest),
            (_, ["-m", "pytest", rest @ ..]) if all_flags(rest) => Some(Tool::Pytest),
            (_, ["-m", "unittest", "discover", rest @ ..]) if all_flags(rest) => Some(Tool::Unittest),
            ("go", ["test", rest @ .., "./..."]) if all_flags(rest) => Some(Tool::Go),
            ("cargo", ["test", rest @ ..]) if all_flags(rest) => Some(Tool::Cargo),
            _ => None,
        }
    }
}

/// Whether these are flags without values of their own. `-k name` is a selection already, as a bare
/// `--` is.
fn all_flags(words: &[&str]) -> bool {
    words.iter().all(|word| word.starts_with('-') && *word != "--")
}

/// The test files that concern these files.
pub fn tests_of(index: &Index, changed: &[&str]) -> BTreeSet<String> {
    let Ok(files) = index.files() else { return BTreeSet::new() };
    let tests: BTreeSet<&str> =
        files.iter().filter(|file| file.kind == FileKind::Test).map(|file| file.path.as_str()).collect();
    let mut found: BTreeSet<String> = BTreeSet::new();
    for path in changed {
        if tests.contains(path) {
            found.insert((*path).to_owned());
            continue;
        }
        // A new file has no outline, and no test uses it yet.
        let names: BTreeSet<String> =
            index.outline(path).unwrap_or_default().into_iter().map(|symbol| symbol.name).collect();
        for name in names.iter().take(MOST_NAMES) {
            let users: BTreeSet<String> = index
                .references(name)
                .unwrap_or_default()
                .into_iter()
                .map(|reference| reference.path)
                .filter(|path| tests.contains(path.as_str()))
                .collect();
            if users.len() <= COMMON {
                found.extend(users);
            }
        }
        let stem = stem(path);
        let module = module(path);
        for test in &tests {
            let imports = || {
                let imports = index.imports(test).unwrap_or_default();
                imports.iter().any(|import| asks_for(&import.target, module.as_deref(), &names))
            };
            if named_after(test, stem) || imports() {
                found.insert((*test).to_owned());
            }
        }
    }
    found
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name)
}

/// `test_x.py`, `x_test.go`, `x.spec.ts`, `XTest.java` for `x`.
fn named_after(test: &str, name: &str) -> bool {
    let stem = stem(test);
    [format!("test_{name}"), format!("{name}_test"), format!("{name}Test"), name.to_owned()]
        .iter()
        .any(|known| known == stem)
}

/// How Python imports a file: `a.b` for `a/b.py`, `src/a/b.py` and `a/b/__init__.py`.
fn module(path: &str) -> Option<String> {
    let path = path.strip_suffix(".py")?;
    let path = path.strip_suffix("/__init__").unwrap_or(path);
    Some(path.strip_prefix("src/").unwrap_or(path).replace('/', "."))
}

/// Whether the text of an import names this module, something in it, or one of these names. Names
/// that are used inside of a macro's arguments, as in `assert_eq!`, are known by this alone.
fn asks_for(target: &str, module: Option<&str>, names: &BTreeSet<String>) -> bool {
    let in_module = |word: &str| {
        let rest = module.and_then(|module| word.strip_prefix(module));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut words = target.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    words.any(|word| in_module(word) || names.contains(word))
}

fn python_tests(tests: &BTreeSet<String>) -> Option<Vec<&String>> {
    let is_test = |path: &&String| {
        let stem = stem(path);
        path.ends_with(".py") && (stem.starts_with("test_") || stem.ends_with("_test"))
    };
    let found: Vec<&String> = tests.iter().filter(is_test).collect();
    (1..=MOST_TESTS).contains(&found.len()).then_some(found)
}

fn pytest(argv: &[String], tests: &BTreeSet<String>) -> Option<Vec<String>> {
    let mut argv = argv.to_vec();
    argv.extend(python_tests(tests)?.into_iter().cloned());
    Some(argv)
}

/// By the names of modules, which takes packages on the way: unittest imports.
fn unittest(argv: &[String], tests: &BTreeSet<String>) -> Option<Vec<String>> {
    let modules = python_tests(tests)?.into_iter().filter_map(|path| path.strip_suffix(".py"));
    let flags = argv.iter().skip(4).cloned();
    let mut selected: Vec<String> = argv[..3].to_vec();
    selected.extend(flags);
    selected.extend(modules.map(|path| path.replace('/', ".")));
    Some(selected)
}

/// The packages, which are folders, of the changed files and of tests that use them.
fn go(argv: &[String], changed: &[&str], tests: &BTreeSet<String>) -> Option<Vec<String>> {
    let folder = |path: &str| format!("./{}", path.rsplit_once('/').map_or("", |(folder, _)| folder));
    let files = changed.iter().copied().chain(tests.iter().map(String::as_str));
    let packages: BTreeSet<String> = files.filter(|path| path.ends_with(".go")).map(folder).collect();
    if !(1..=MOST_TESTS).contains(&packages.len()) {
        return None;
    }
    let mut argv = argv[..argv.len() - 1].to_vec();
    argv.extend(packages);
    Some(argv)
}

/// The part of a manifest that tells its test targets.
#[derive(Default, Deserialize)]
struct Manifest {
    package: Option<Package>,
    workspace: Option<toml::Table>,
    #[serde(default)]
    test: Vec<Target>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    #[serde(default = "yes")]
    autotests: bool,
}

#[derive(Deserialize)]
struct Target {
    name: Option<String>,
    path: Option<String>,
}

fn yes() -> bool {
    true
}

impl Manifest {
    fn read(folder: &Path) -> Option<Manifest> {
        toml::from_str(&std::fs::read_to_string(folder.join("Cargo.toml")).ok()?).ok()
    }

    /// The target of an integration test, by its path relative to the package.
    fn target(&self, path: &str) -> Option<String> {
        let declared = self.test.iter().find(|target| target.path.as_deref() == Some(path));
        if let Some(target) = declared {
            return target.name.clone();
        }
        let name = path.strip_prefix("tests/")?.strip_suffix(".rs")?;
        let automatic = self.package.as_ref().is_some_and(|package| package.autotests);
        (automatic && !name.contains('/')).then(|| name.to_owned())
    }
}

/// The packages of a workspace, or of a single package its unit tests and the integration tests that
/// concern the change.
fn cargo(argv: &[String], root: &Path, changed: &[&str], tests: &BTreeSet<String>) -> Option<Vec<String>> {
    let top = Manifest::read(root)?;
    let paths = || {
        changed.iter().copied().chain(tests.iter().map(String::as_str)).filter(|path| path.ends_with(".rs"))
    };
    let mut argv = argv.to_vec();
    if top.workspace.is_some() {
        let packages: BTreeSet<String> = paths().filter_map(|path| package_of(root, path)).collect();
        // With one package in all, naming it selects nothing.
        if packages.is_empty() || packages.len() > MOST_TESTS {
            return None;
        }
        argv.retain(|word| word != "--workspace" && word != "--all");
        for package in packages {
            argv.extend(["-p".to_owned(), package]);
        }
        return Some(argv);
    }
    let targets: BTreeSet<String> = tests.iter().filter_map(|path| top.target(path)).collect();
    if targets.is_empty() || targets.len() > MOST_TESTS {
        return None;
    }
    if changed.iter().any(|path| path.starts_with("src/")) {
        argv.push(if root.join("src/lib.rs").is_file() { "--lib" } else { "--bins" }.to_owned());
    }
    for target in targets {
        argv.extend(["--test".to_owned(), target]);
    }
    Some(argv)
}

/// The name of the package that a file belongs to.
fn package_of(root: &Path, path: &str) -> Option<String> {
    let folders = Path::new(path).ancestors().skip(1);
    let manifest = folders.filter_map(|folder| Manifest::read(&root.join(folder))).next()?;
    Some(manifest.package?.name)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::check::Source;

    #[track_caller]
    fn check(files: &[(&str, &str)], changed: &[&str], command: &str, expected: Option<&str>) {
        let root = tempfile::tempdir().unwrap();
        let store = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let mut index = Index::open(root.path(), &store.path().join("index")).unwrap();
        index.update(&mut |_| ControlFlow::Continue(())).unwrap();
        let whole = Check::of(super::super::split(command).unwrap(), Source::Typed);
        let selected = select(&index, changed, &whole).map(|check| check.command_line());
        assert_eq!(selected.as_deref(), expected);
    }

    const PYTHON: &[(&str, &str)] = &[
        ("shop/__init__.py", ""),
        ("shop/price.py", "def total(items):\n    return sum(items)\n"),
        ("shop/mail.py", "def send(text):\n    return text\n"),
        ("tests/__init__.py", ""),
        (
            "tests/test_cart.py",
            "from shop.price import total\n\n\ndef test_total():\n    assert total([1]) == 1\n",
        ),
        (
            "tests/test_mail.py",
            "from shop import mail\n\n\ndef test_send():\n    assert mail.send('a') == 'a'\n",
        ),
        ("tests/test_other.py", "def test_other():\n    assert True\n"),
    ];

    #[test]
    fn python_tests_are_chosen_by_what_they_use() {
        check(PYTHON, &["shop/price.py"], "pytest -q", Some("pytest -q tests/test_cart.py"));
        check(
            PYTHON,
            &["shop/mail.py", "tests/test_other.py"],
            "python3 -m pytest",
            Some("python3 -m pytest tests/test_mail.py tests/test_other.py"),
        );
        check(
            PYTHON,
            &["shop/price.py"],
            "python3 -m unittest discover -q",
            Some("python3 -m unittest -q tests.test_cart"),
        );
    }

    #[test]
    fn what_cannot_be_told_is_left_whole() {
        check(PYTHON, &["shop/price.py"], "pytest tests/test_mail.py", None);
        check(PYTHON, &["shop/price.py"], "pytest -k mail", None);
        check(PYTHON, &["shop/price.py"], "npm test", None);
        check(PYTHON, &["shop/price.py", "conftest.py"], "pytest", None);
        check(PYTHON, &["shop/price.py"], "cargo test", None);
    }

    #[test]
    fn go_packages_are_folders() {
        let files = [
            ("go.mod", "module x\n"),
            ("price/price.go", "package price\n\nfunc Total(n int) int { return n }\n"),
            (
                "cart/cart_test.go",
                "package cart\n\nimport \"x/price\"\n\nfunc TestCart() { price.Total(1) }\n",
            ),
            ("mail/mail.go", "package mail\n"),
        ];
        check(&files, &["price/price.go"], "go test ./...", Some("go test ./cart ./price"));
        check(&files, &["price/price.go"], "go test -race ./...", Some("go test -race ./cart ./price"));
        check(&files, &["price/price.go"], "go test ./price", None);
    }

    #[test]
    fn cargo_has_packages_and_targets() {
        let package = "[package]\nname = \"shop\"\n";
        let code = ("src/lib.rs", "pub fn total(n: u32) -> u32 {\n    n\n}\n");
        let cart =
            ("tests/cart.rs", "use shop::total;\n\n#[test]\nfn cart() {\n    assert_eq!(total(1), 1);\n}\n");
        let other = ("tests/other.rs", "#[test]\nfn other() {}\n");
        check(
            &[("Cargo.toml", package), code, cart, other],
            &["src/lib.rs"],
            "cargo test",
            Some("cargo test --lib --test cart"),
        );
        // A file of `tests/` that is no target of its own must not be named as one.
        let one = "[package]\nname = \"shop\"\nautotests = false\n[[test]]\nname = \"all\"\npath = \"tests/all.rs\"\n";
        check(&[("Cargo.toml", one), code, cart, other], &["src/lib.rs"], "cargo test", None);
        let workspace = "[workspace]\nmembers = [\"a\", \"b\"]\n";
        let a = "[package]\nname = \"shop-a\"\n";
        let b = "[package]\nname = \"shop-b\"\n";
        check(
            &[
                ("Cargo.toml", workspace),
                ("a/Cargo.toml", a),
                ("a/src/lib.rs", "pub fn sum_all() {}\n"),
                ("b/Cargo.toml", b),
                ("b/src/lib.rs", "pub fn b() {}\n"),
            ],
            &["a/src/lib.rs"],
            "cargo test --workspace",
            Some("cargo test -p shop-a"),
        );
    }

    #[test]
    fn a_file_name_is_no_flag() {
        let files = [("-x_test.py", "import a\n"), ("a.py", "def f():\n    pass\n")];
        check(&files, &["a.py"], "pytest", None);
    }
}
