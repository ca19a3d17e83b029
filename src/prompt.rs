//! Strict templates: an undefined variable is an error, never an empty string.
//!
//! It owns the table of built-in prompts and how a user's own ones replace them. It must not know
//! providers or roles.

use std::path::Path;

use anyhow::Context as _;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

/// Every file of `prompts/`. A test holds the table against the folder.
const BUILT_IN: &[(&str, &str)] = &[
    ("architect.system.md", include_str!("../prompts/architect.system.md")),
    ("architect.user.md", include_str!("../prompts/architect.user.md")),
    ("coder.system.md", include_str!("../prompts/coder.system.md")),
    ("coder.user.md", include_str!("../prompts/coder.user.md")),
    ("correction.md", include_str!("../prompts/correction.md")),
    ("explorer.result.md", include_str!("../prompts/explorer.result.md")),
    ("explorer.system.md", include_str!("../prompts/explorer.system.md")),
    ("explorer.user.md", include_str!("../prompts/explorer.user.md")),
];

/// All prompts, parsed.
#[derive(Debug)]
pub struct Prompts {
    environment: Environment<'static>,
}

impl Prompts {
    /// Loads the built-in prompts, each replaced by the file of the same name in `own`, if there is
    /// one. `own` is a folder of the user's configuration, never of a repository.
    pub fn load(own: Option<&Path>) -> anyhow::Result<Prompts> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.context("the built-in template syntax")?);
        environment.add_filter("fenced", fenced);
        for (name, text) in BUILT_IN {
            let text = match own {
                Some(folder) => read_own(&folder.join(name))?.unwrap_or_else(|| text.to_string()),
                None => text.to_string(),
            };
            environment
                .add_template_owned(*name, text)
                .with_context(|| format!("the prompt {name} is not a valid template"))?;
        }
        Ok(Prompts { environment })
    }

    /// Whether a prompt of this name exists.
    pub fn has(&self, name: &str) -> bool {
        self.environment.get_template(name).is_ok()
    }

    /// Fills in a template. Surrounding blank lines go, since they cost tokens and say nothing.
    pub fn render(&self, name: &str, values: impl Serialize) -> anyhow::Result<String> {
        let template = self.environment.get_template(name)?;
        let text = template
            .render(Value::from(Serde(values)))
            .with_context(|| format!("cannot fill in the prompt {name}"))?;
        Ok(text.trim().to_owned())
    }
}

fn read_own(path: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Puts text between fences that are longer than any run of backticks in it, so that a file cannot
/// close the block that it is quoted in.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{fence}\n{text}{end}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_every_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "README.md")
            .collect();
        names.sort();
        let table: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, table);
    }

    #[test]
    fn an_undefined_variable_is_an_error() {
        let prompts = Prompts::load(None).unwrap();
        let error = prompts.render("correction.md", serde_json::json!({"reasons": ["x"]})).unwrap_err();
        assert!(format!("{error:#}").contains("undefined"), "{error:#}");
    }

    #[test]
    fn a_quoted_file_cannot_close_its_fence() {
        assert_eq!(fenced("a\n```\nb"), "````\na\n```\nb\n````");
        assert_eq!(fenced("plain\n"), "```\nplain\n```");
    }

    #[test]
    fn own_prompts_replace_built_in_ones() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("correction.md"), "mine: {{ again }}").unwrap();
        let prompts = Prompts::load(Some(folder.path())).unwrap();
        let text = prompts.render("correction.md", serde_json::json!({"again": "go"})).unwrap();
        assert_eq!(text, "mine: go");
    }
}
