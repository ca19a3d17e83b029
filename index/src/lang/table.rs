//! Owns the table of languages: data, one row for each.

use std::sync::OnceLock;

use super::{Language, Structure};

const SLASHES: &[&str] = &["//", "/*", "#[", "@"];
const HASHES: &[&str] = &["#"];
const DASHES: &[&str] = &["--"];
/// Comments of several lines.
const STARS: (&str, &str) = ("/*", "*/");

macro_rules! grammar {
    ($grammar:expr, $($file:literal),+) => {
        Structure::Grammar {
            grammar: || $grammar.into(),
            query: concat!($(include_str!(concat!("../../queries/", $file))),+),
        }
    };
}

pub(super) static LANGUAGES: [Language; 25] = [
    row("rust", &["rs"], grammar!(tree_sitter_rust::LANGUAGE, "rust.scm"))
        .led_by(SLASHES)
        .with_block_comments(STARS),
    row("python", &["py", "pyi"], grammar!(tree_sitter_python::LANGUAGE, "python.scm"))
        .led_by(&["#", "@"])
        .wrapped_in(&["decorated_definition"])
        .run_by(&["python", "pypy"]),
    row("go", &["go"], grammar!(tree_sitter_go::LANGUAGE, "go.scm"))
        .led_by(SLASHES)
        .with_block_comments(STARS),
    row("java", &["java"], grammar!(tree_sitter_java::LANGUAGE, "java.scm"))
        .led_by(SLASHES)
        .with_block_comments(STARS)
        .with_attributes(&["@"]),
    row(
        "javascript",
        &["js", "jsx", "mjs", "cjs"],
        grammar!(tree_sitter_javascript::LANGUAGE, "javascript.scm", "javascript_fields.scm"),
    )
    .led_by(SLASHES)
    .with_block_comments(STARS)
    .wrapped_in(&["export_statement"])
    .run_by(&["node"]),
    row(
        "typescript",
        &["ts", "mts", "cts"],
        grammar!(tree_sitter_typescript::LANGUAGE_TYPESCRIPT, "javascript.scm", "typescript.scm"),
    )
    .led_by(SLASHES)
    .with_block_comments(STARS)
    .wrapped_in(&["export_statement"])
    .with_attributes(&["@"])
    .run_by(&["deno", "bun", "ts-node", "tsx"]),
    row("tsx", &["tsx"], grammar!(tree_sitter_typescript::LANGUAGE_TSX, "javascript.scm", "typescript.scm"))
        .led_by(SLASHES)
        .with_block_comments(STARS)
        .wrapped_in(&["export_statement"])
        .with_attributes(&["@"]),
    row("kotlin", &["kt", "kts"], grammar!(tree_sitter_kotlin_ng::LANGUAGE, "kotlin.scm"))
        .with_bodies(&["class_body", "enum_class_body", "function_body"])
        .led_by(SLASHES)
        .with_block_comments(STARS)
        .with_attributes(&["@"]),
    row("c", &["c", "h"], grammar!(tree_sitter_c::LANGUAGE, "c.scm", "c_macros.scm"))
        .led_by(SLASHES)
        .with_block_comments(STARS),
    row(
        "cpp",
        &["cpp", "cc", "cxx", "c++", "hpp", "hh", "hxx", "h++", "ipp", "tpp", "inl", "cu", "cuh", "ino"],
        grammar!(tree_sitter_cpp::LANGUAGE, "c.scm", "cpp.scm"),
    )
    .led_by(SLASHES)
    .with_block_comments(STARS)
    .wrapped_in(&["template_declaration"])
    .with_bodies(&["field_initializer_list"])
    .with_attributes(&["[["]),
    row("c_sharp", &["cs", "csx"], grammar!(tree_sitter_c_sharp::LANGUAGE, "c_sharp.scm"))
        .with_bodies(&["accessor_list", "arrow_expression_clause"])
        .led_by(SLASHES)
        .with_block_comments(STARS)
        .with_attributes(&["["]),
    row("ruby", &["rb", "rake", "gemspec", "ru"], grammar!(tree_sitter_ruby::LANGUAGE, "ruby.scm"))
        .led_by(HASHES)
        .with_block_comments(("=begin", "=end"))
        .named(&["Gemfile", "Rakefile", "Vagrantfile", "Podfile", "Fastfile", "Brewfile", "Guardfile"])
        .run_by(&["ruby", "jruby"]),
    row("php", &["php", "phtml", "php5", "php7"], grammar!(tree_sitter_php::LANGUAGE_PHP, "php.scm"))
        .led_by(&["//", "/*", "#"])
        .with_block_comments(STARS)
        .with_attributes(&["#["])
        .run_by(&["php"]),
    row("swift", &["swift"], grammar!(tree_sitter_swift::LANGUAGE, "swift.scm"))
        .with_bodies(&["computed_property", "protocol_property_requirements"])
        .led_by(SLASHES)
        .with_block_comments(STARS)
        .with_attributes(&["@"]),
    row("scala", &["scala", "sc", "sbt"], grammar!(tree_sitter_scala::LANGUAGE, "scala.scm"))
        .led_by(SLASHES)
        .with_block_comments(STARS)
        .with_attributes(&["@"])
        .run_by(&["scala", "scala-cli"]),
    row("bash", &["sh", "bash", "bats", "ebuild"], grammar!(tree_sitter_bash::LANGUAGE, "bash.scm"))
        .led_by(HASHES)
        .named(&["PKGBUILD", "APKBUILD"])
        .run_by(&["bash", "sh", "dash", "ash", "ksh", "bats"]),
    row("lua", &["lua", "rockspec"], grammar!(tree_sitter_lua::LANGUAGE, "lua.scm"))
        .led_by(DASHES)
        .with_block_comments(("--[[", "]]"))
        .run_by(&["lua", "luajit", "texlua"]),
    row("zig", &["zig", "zon"], grammar!(tree_sitter_zig::LANGUAGE, "zig.scm"))
        .with_bodies(&["block"])
        .led_by(&["//"]),
    row("html", &["html", "htm", "xhtml"], grammar!(tree_sitter_html::LANGUAGE, "html.scm"))
        .led_by(&["<!--"])
        .with_block_comments(("<!--", "-->")),
    row("css", &["css"], grammar!(tree_sitter_css::LANGUAGE, "css.scm"))
        .with_bodies(&["block", "keyframe_block_list"])
        .led_by(&["/*"])
        .with_block_comments(STARS),
    row("sql", &["sql", "psql", "pgsql"], grammar!(tree_sitter_sequel::LANGUAGE, "sql.scm"))
        .with_bodies(&["column_definitions", "create_query", "function_body"])
        .led_by(&["--", "/*"])
        .with_block_comments(STARS),
    row("toml", &["toml"], grammar!(tree_sitter_toml_ng::LANGUAGE, "toml.scm"))
        .led_by(HASHES)
        .named(&["Pipfile"]),
    row("yaml", &["yml", "yaml"], Structure::Keys).led_by(HASHES),
    row("json", &["json", "jsonc", "webmanifest"], grammar!(tree_sitter_json::LANGUAGE, "json.scm"))
        .led_by(SLASHES)
        .with_block_comments(STARS),
    row("markdown", &["md", "markdown", "mdown"], Structure::Headings),
];

const fn row(name: &'static str, extensions: &'static [&'static str], structure: Structure) -> Language {
    Language {
        name,
        extensions,
        file_names: &[],
        interpreters: &[],
        structure,
        wrappers: &[],
        leads: &[],
        block_comment: None,
        bodies: &[],
        attributes: &[],
        compiled: OnceLock::new(),
    }
}

impl Language {
    const fn led_by(mut self, leads: &'static [&'static str]) -> Language {
        self.leads = leads;
        self
    }

    const fn with_block_comments(mut self, marks: (&'static str, &'static str)) -> Language {
        self.block_comment = Some(marks);
        self
    }

    const fn with_bodies(mut self, kinds: &'static [&'static str]) -> Language {
        self.bodies = kinds;
        self
    }

    const fn wrapped_in(mut self, wrappers: &'static [&'static str]) -> Language {
        self.wrappers = wrappers;
        self
    }

    const fn with_attributes(mut self, attributes: &'static [&'static str]) -> Language {
        self.attributes = attributes;
        self
    }

    const fn named(mut self, file_names: &'static [&'static str]) -> Language {
        self.file_names = file_names;
        self
    }

    const fn run_by(mut self, interpreters: &'static [&'static str]) -> Language {
        self.interpreters = interpreters;
        self
    }
}
