//! Owns the step from an import to the files of the tree that it means, as far as a language's rules
//! tell that from names alone. Pure: it knows paths, not their content, so that build files and
//! search paths do not count. What is not in the tree resolves to nothing.

use std::collections::HashMap;

/// Files of a package or directory that are named.
const MOST_FILES: usize = 50;
const SCRIPT_EXTENSIONS: [&str; 10] =
    ["", ".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".json", ".vue"];

/// The paths of a tree, by their last component.
pub struct Paths<'a> {
    by_name: HashMap<&'a str, Vec<&'a str>>,
    by_directory: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Paths<'a> {
    /// `paths` in any order.
    pub fn new(paths: impl IntoIterator<Item = &'a str>) -> Paths<'a> {
        let mut all: Vec<&str> = paths.into_iter().collect();
        all.sort_unstable();
        let mut found = Paths { by_name: HashMap::new(), by_directory: HashMap::new() };
        for path in all {
            let (directory, name) = split(path);
            found.by_name.entry(name).or_default().push(path);
            found.by_directory.entry(directory).or_default().push(path);
        }
        found
    }

    fn exact(&self, path: &str) -> Option<&'a str> {
        self.by_name.get(split(path).1)?.iter().copied().find(|known| *known == path)
    }

    /// The file whose path ends in `ending`; of several the one nearest to `from`, if only one is.
    fn ending(&self, ending: &str, from: &str) -> Option<&'a str> {
        let all = self.by_name.get(split(ending).1)?.iter().copied();
        let near = |path: &str| path.split('/').zip(from.split('/')).take_while(|(a, b)| a == b).count();
        let mut found: Vec<(usize, &str)> =
            all.filter(|path| ends_in(path, ending)).map(|path| (near(path), path)).collect();
        found.sort_unstable();
        match found[..] {
            [] => None,
            [(_, only)] => Some(only),
            [.., (second, _), (first, best)] => (first > second).then_some(best),
        }
    }

    /// Files with this extension in the directory, the only one, whose path is or ends in `ending`.
    fn directory(&self, ending: &str, extension: &str) -> Vec<&'a str> {
        let mut found = self.by_directory.iter().filter(|(directory, files)| {
            ends_in(directory, ending) && files.iter().any(|file| file.ends_with(extension))
        });
        let (Some((_, files)), None) = (found.next(), found.next()) else { return Vec::new() };
        files.iter().copied().filter(|file| file.ends_with(extension)).take(MOST_FILES).collect()
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn ends_in(path: &str, ending: &str) -> bool {
    path.strip_suffix(ending).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// `relative` as seen from a directory, without `.` and `..`; `None` when it leaves the tree.
fn join(directory: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The directory of a path and those above it, the nearest first, the root as an empty text.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(split(path).0), |directory| {
        (!directory.is_empty()).then(|| split(directory).0)
    })
}

/// The files that `target`, as it is written in the file `from`, means; by path.
pub fn resolve<'a>(language: &str, from: &str, target: &str, paths: &Paths<'a>) -> Vec<&'a str> {
    let one = |found: Option<&'a str>| found.into_iter().collect();
    let written = target.trim_matches(['"', '\'', '`', '<', '>']);
    match language {
        "rust" => one(rust(from, target, paths)),
        "python" => one(python(from, target, paths)),
        "go" => go(written, paths),
        "java" => dotted(from, target, ".java", paths),
        "kotlin" => dotted(from, target, ".kt", paths),
        "scala" => dotted(from, target, ".scala", paths),
        "c_sharp" => (0..target.matches('.').count().max(1))
            .map(|skip| paths.directory(&target.split('.').skip(skip).collect::<Vec<_>>().join("/"), ".cs"))
            .find(|files| !files.is_empty())
            .unwrap_or_default(),
        "javascript" | "typescript" | "tsx" => one(script(from, written, paths)),
        "c" | "cpp" => one(near(from, written, paths)),
        "ruby" => one(ruby(from, written, paths)),
        "php" => one(php(from, target, paths)),
        "bash" => one(shell(from, written, paths)),
        "lua" => one(lua(from, written, paths)),
        "zig" => one(written.ends_with(".zig").then(|| relative(from, written, paths)).flatten()),
        "css" => one(web(from, written, paths)),
        "html" => one(web(from, written, paths)),
        _ => Vec::new(),
    }
}

fn relative<'a>(from: &str, target: &str, paths: &Paths<'a>) -> Option<&'a str> {
    paths.exact(&join(split(from).0, target)?)
}

/// Beside the file, or else anywhere.
fn near<'a>(from: &str, target: &str, paths: &Paths<'a>) -> Option<&'a str> {
    relative(from, target, paths).or_else(|| paths.ending(target.trim_start_matches("./"), from))
}

fn rust<'a>(from: &str, target: &str, paths: &Paths<'a>) -> Option<&'a str> {
    let end = target.find(['{', '*', ' ']).unwrap_or(target.len());
    let parts: Vec<&str> = target[..end].split("::").filter(|part| !part.is_empty()).collect();
    let (directory, name) = split(from);
    // Modules of `a/b.rs` lie in `a/b/`, those of `a/mod.rs` in `a/`.
    let own = match name {
        "mod.rs" | "lib.rs" | "main.rs" => directory.to_owned(),
        name => join(directory, name.strip_suffix(".rs")?)?,
    };
    let module = |base: &str, parts: &[&str]| {
        (1..=parts.len()).rev().find_map(|length| {
            let path = join(base, &parts[..length].join("/"))?;
            paths.exact(&format!("{path}.rs")).or_else(|| paths.exact(&format!("{path}/mod.rs")))
        })
    };
    match parts.split_first()? {
        (&"crate", rest) => {
            let root = ancestors(from).find(|directory| {
                ["lib.rs", "main.rs"]
                    .iter()
                    .any(|root| join(directory, root).is_some_and(|path| paths.exact(&path).is_some()))
            })?;
            module(root, rest)
        }
        (&"self", rest) => module(&own, rest),
        (&"super", _) => {
            let ups = parts.iter().take_while(|part| **part == "super").count();
            let base = join(&own, &"../".repeat(ups))?;
            module(&base, &parts[ups..])
        }
        (name, []) => module(&own, &[*name]),
        (name, _) => {
            let package = |name: &str| paths.ending(&format!("{name}/src/lib.rs"), from);
            package(name).or_else(|| package(&name.replace('_', "-")))
        }
    }
}

fn python<'a>(from: &str, target: &str, paths: &Paths<'a>) -> Option<&'a str> {
    let module = |base: &str, dotted: &str| {
        let path = join(base, &dotted.replace('.', "/"))?;
        let package = join(&path, "__init__.py")?;
        paths.exact(&format!("{path}.py")).filter(|_| !dotted.is_empty()).or_else(|| paths.exact(&package))
    };
    let name = target.trim_start_matches('.');
    match target.len() - name.len() {
        0 => ancestors(from).chain(["src"]).find_map(|base| module(base, name)),
        dots => module(&join(split(from).0, &"../".repeat(dots - 1))?, name),
    }
}

/// Packages are directories below the module's path, which begins with a host.
fn go<'a>(target: &str, paths: &Paths<'a>) -> Vec<&'a str> {
    let parts: Vec<&str> = target.split('/').collect();
    if !parts[0].contains('.') {
        return Vec::new();
    }
    let directory =
        (1..parts.len()).find_map(|skip| paths.by_directory.get(parts[skip..].join("/").as_str()));
    let files = directory.into_iter().flatten().copied();
    files.filter(|file| file.ends_with(".go") && !file.ends_with("_test.go")).take(MOST_FILES).collect()
}

/// A class by its package, or a member of it, or all of a package.
fn dotted<'a>(from: &str, target: &str, extension: &str, paths: &Paths<'a>) -> Vec<&'a str> {
    let end = target.find(['{', '*', ' ']).unwrap_or(target.len());
    let parts: Vec<&str> = target[..end].split('.').filter(|part| !matches!(*part, "" | "_")).collect();
    for length in [parts.len(), parts.len().saturating_sub(1)] {
        // A name alone would find what only happens to be called so.
        for skip in 0..length.saturating_sub(1) {
            let path = parts[skip..length].join("/");
            if let Some(file) = paths.ending(&format!("{path}{extension}"), from) {
                return vec![file];
            }
        }
    }
    if parts.len() < 2 { Vec::new() } else { paths.directory(&parts.join("/"), extension) }
}

fn script<'a>(from: &str, target: &str, paths: &Paths<'a>) -> Option<&'a str> {
    if !target.starts_with('.') {
        return None;
    }
    let path = join(split(from).0, target)?;
    // TypeScript imports `a.ts` by the name that it will have.
    let source = [".js", ".mjs", ".cjs"].iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(&path);
    let with =
        |base: &str| SCRIPT_EXTENSIONS.iter().find_map(|ending| paths.exact(&format!("{base}{ending}")));
    with(&path).or_else(|| with(source)).or_else(|| with(&join(&path, "index")?))
}

fn ruby<'a>(from: &str, target: &str, paths: &Paths<'a>) -> Option<&'a str> {
    let name = format!("{}.rb", target.strip_suffix(".rb").unwrap_or(target));
    let in_library = |base: &str| paths.exact(&join(base, &format!("lib/{name}"))?);
    relative(from, &name, paths)
        .or_else(|| ancestors(from).find_map(in_library))
        .or_else(|| paths.ending(&name, from).filter(|_| name.contains('/') && !name.starts_with('.')))
}

/// A class by its namespace, or a file by the text at the end of an expression.
fn php<'a>(from: &str, target: &str, paths: &Paths<'a>) -> Option<&'a str> {
    if let Some(end) = target.rfind(['\'', '"']) {
        let quote = &target[end..=end];
        let file = target[..end].rsplit(quote).next()?.trim_start_matches('/');
        return near(from, file, paths);
    }
    let parts: Vec<&str> = target.split('\\').filter(|part| !part.is_empty()).collect();
    (0..parts.len().saturating_sub(1))
        .find_map(|skip| paths.ending(&format!("{}.php", parts[skip..].join("/")), from))
}

/// Behind what only the shell knows: `$(dirname "$0")/a.sh`, `"$HERE/a.sh"`.
fn shell<'a>(from: &str, target: &str, paths: &Paths<'a>) -> Option<&'a str> {
    let known = match target.rfind(['$', ')', '}']) {
        Some(at) => target[at..].split_once('/')?.1,
        None => target,
    };
    let known = known.trim_matches(['"', '\'']);
    near(from, known, paths).or_else(|| paths.exact(known))
}

fn lua<'a>(from: &str, target: &str, paths: &Paths<'a>) -> Option<&'a str> {
    let path = if target.ends_with(".lua") {
        target.to_owned()
    } else {
        format!("{}.lua", target.replace('.', "/"))
    };
    let package = format!("{}/init.lua", path.strip_suffix(".lua")?);
    let at = |base: &str| paths.exact(&join(base, &path)?).or_else(|| paths.exact(&join(base, &package)?));
    ancestors(from).find_map(at).or_else(|| paths.ending(&path, from).filter(|_| path.contains('/')))
}

/// By the page, or from the root of the site, wherever that is in the tree.
fn web<'a>(from: &str, target: &str, paths: &Paths<'a>) -> Option<&'a str> {
    let target = target.split(['?', '#']).next().filter(|target| !target.is_empty())?;
    if target.contains(':') || target.starts_with("//") {
        return None;
    }
    match target.strip_prefix('/') {
        Some(path) => paths.ending(path, from),
        None => relative(from, target, paths),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(language: &str, from: &str, target: &str, tree: &[&str], expected: &[&str]) {
        let mut all = tree.to_vec();
        all.push(from);
        let paths = Paths::new(all);
        assert_eq!(resolve(language, from, target, &paths), expected, "{language}: {target}");
    }

    #[test]
    fn modules_of_rust() {
        let tree = [
            "a/src/lib.rs",
            "a/src/token.rs",
            "a/src/parse/mod.rs",
            "a/src/parse/number.rs",
            "my-b/src/lib.rs",
        ];
        check("rust", "a/src/scan.rs", "crate::token::{self, Kind}", &tree, &["a/src/token.rs"]);
        check("rust", "a/src/parse/mod.rs", "number", &tree, &["a/src/parse/number.rs"]);
        check("rust", "a/src/parse/number.rs", "super::super::token::Kind", &tree, &["a/src/token.rs"]);
        check("rust", "a/src/scan.rs", "my_b::Thing", &tree, &["my-b/src/lib.rs"]);
        check("rust", "a/src/scan.rs", "std::fmt", &tree, &[]);
    }

    #[test]
    fn modules_of_python() {
        let tree =
            ["src/app/__init__.py", "src/app/models/__init__.py", "src/app/models/user.py", "setup.py"];
        check("python", "src/app/views.py", ".models.user", &tree, &["src/app/models/user.py"]);
        check("python", "src/app/views.py", "app.models", &tree, &["src/app/models/__init__.py"]);
        check("python", "src/app/models/group.py", "..", &tree, &["src/app/__init__.py"]);
        check("python", "src/app/views.py", "....x", &tree, &[]);
        check("python", "src/app/views.py", "os.path", &tree, &[]);
    }

    #[test]
    fn packages() {
        let go = ["internal/store/a.go", "internal/store/a_test.go", "net/http/x.go"];
        check("go", "main.go", "\"example.org/shop/internal/store\"", &go, &["internal/store/a.go"]);
        check("go", "main.go", "\"net/http\"", &go, &[]);
        let java = ["src/org/example/Store.java", "src/org/example/money/Cent.java", "src/List.java"];
        check("java", "src/org/example/A.java", "org.example.Store", &java, &[java[0]]);
        check("java", "src/org/example/A.java", "org.example.Store.open", &java, &[java[0]]);
        check("java", "src/org/example/A.java", "org.example.money", &java, &[java[1]]);
        check("java", "src/org/example/A.java", "java.util.List", &java, &[]);
        let sharp = ["Shop/Data/Order.cs", "Shop/Data/Item.cs", "Shop/Data/a.txt"];
        check("c_sharp", "Shop/Main.cs", "Shop.Data", &sharp, &["Shop/Data/Item.cs", "Shop/Data/Order.cs"]);
        check("c_sharp", "Shop/Main.cs", "System.Collections", &sharp, &[]);
        let php = ["app/Models/User.php", "bootstrap.php"];
        check("php", "app/Http/A.php", "App\\Models\\User", &php, &[php[0]]);
        check("php", "app/Http/A.php", "__DIR__ . '/../../bootstrap.php'", &php, &[php[1]]);
        let scala = ["src/org/example/jobs/Job.scala"];
        check("scala", "src/A.scala", "org.example.jobs.{Job, Other => O}", &scala, &scala);
        check(
            "kotlin",
            "src/A.kt",
            "org.example.jobs",
            &["x/org/example/jobs/J.kt"],
            &["x/org/example/jobs/J.kt"],
        );
    }

    #[test]
    fn files_by_their_place() {
        let script = ["lib/a.ts", "lib/index.js", "lib/b.tsx"];
        check("typescript", "lib/c.ts", "'./a.js'", &script, &["lib/a.ts"]);
        check("tsx", "lib/sub/c.tsx", "'..'", &script, &["lib/index.js"]);
        check("javascript", "lib/c.js", "'./b'", &script, &["lib/b.tsx"]);
        check("javascript", "lib/c.js", "'react'", &script, &[]);
        let c = ["include/util/hash.h", "src/ring.h", "old/src/ring.h"];
        check("c", "src/ring.c", "\"ring.h\"", &c, &["src/ring.h"]);
        check("cpp", "src/ring.cc", "<util/hash.h>", &c, &["include/util/hash.h"]);
        check("c", "elsewhere/a.c", "\"ring.h\"", &c, &[]);
        let ruby = ["lib/post/mailer.rb", "lib/post.rb"];
        check("ruby", "lib/post/all.rb", "mailer", &ruby, &[ruby[0]]);
        check("ruby", "spec/a.rb", "post", &ruby, &[ruby[1]]);
        check("ruby", "spec/a.rb", "erb", &ruby, &[]);
        let shell = ["bin/lib/log.sh"];
        check("bash", "bin/run", "\"$(dirname \"${BASH_SOURCE[0]}\")/lib/log.sh\"", &shell, &shell);
        check("bash", "bin/run", "\"$HERE/lib/log.sh\"", &shell, &shell);
        check("bash", "bin/run", "\"$HOME\"", &shell, &[]);
        check("lua", "a/b.lua", "settings.lexer", &["settings/lexer.lua"], &["settings/lexer.lua"]);
        check("lua", "a/b.lua", "settings", &["settings/init.lua"], &["settings/init.lua"]);
        check("zig", "src/a.zig", "config.zig", &["src/config.zig"], &["src/config.zig"]);
        check("zig", "src/a.zig", "std", &["std"], &[]);
        let web = ["public/assets/site.css", "public/js/a.js"];
        check("html", "public/index.html", "/assets/site.css?v=1", &web, &[web[0]]);
        check("html", "public/index.html", "js/a.js", &web, &[web[1]]);
        check("html", "public/index.html", "https://example.org/js/a.js", &web, &[]);
        check("css", "public/assets/b.css", "../js/../assets/site.css", &web, &[web[0]]);
    }

    #[test]
    fn nothing_outside_the_tree_is_named() {
        for language in crate::lang::all() {
            for target in [
                "../../../etc/passwd",
                "//etc/passwd",
                "\"$(x)/../../../etc/passwd\"",
                "....",
                "",
                "\"",
                "::",
                "..\\..",
                "{",
            ] {
                check(language.name, "a/b.txt", target, &["etc/passwd"], &[]);
            }
        }
    }
}
