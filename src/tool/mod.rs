//! The read-only tools that a role file may name.
//!
//! Each is a function from the index and one argument to text. Only indexed files are ever read:
//! what the walk left out (ignored, hidden, outside the root, behind a symbolic link) stays out of
//! reach. A mistake of the model (an unknown path, a bad expression) is an answer, not an error.

mod find;
mod quote;
mod show;

use crate::message::ToolName;
use crate::retrieve::Library;

pub use quote::Used;

/// Most lines of one result; what is left out is counted in its last line.
const MOST_LINES: usize = 60;

/// Runs a tool. The result has at most `room` bytes.
///
/// # Errors
/// Only when the index itself cannot be read.
pub fn run(library: &mut Library, tool: ToolName, argument: &str, room: usize) -> anyhow::Result<String> {
    let argument = argument.trim();
    let lines = match tool {
        ToolName::Search => find::search(library, argument)?,
        ToolName::Regex => find::regex(library, argument)?,
        ToolName::References => find::references(library, argument)?,
        ToolName::List => show::list(library, argument)?,
        ToolName::Read => show::read(library, argument)?,
        ToolName::Outline => show::outline(library, argument)?,
    };
    Ok(bounded(&lines, room))
}

/// The name of a tool as role files and events write it.
pub fn word(tool: ToolName) -> &'static str {
    match tool {
        ToolName::Search => "search",
        ToolName::Regex => "regex",
        ToolName::List => "list",
        ToolName::Read => "read",
        ToolName::Outline => "outline",
        ToolName::References => "references",
    }
}

/// Whole lines up to the limits, and a count of those that are missing: never a silent cut.
fn bounded(lines: &[String], room: usize) -> String {
    if lines.is_empty() {
        return "nothing found".into();
    }
    let mut text = String::new();
    for (shown, line) in lines.iter().enumerate() {
        if shown == MOST_LINES || text.len() + line.len() + 1 > room {
            text.push_str(&format!("({} more lines are not shown)", lines.len() - shown));
            break;
        }
        text.push_str(line);
        text.push('\n');
    }
    text.trim_end().to_owned()
}

/// The indexed path that is meant, or an answer which says that there is none.
fn known_path(library: &Library, written: &str) -> anyhow::Result<Result<String, String>> {
    let written = written.trim().trim_matches('`').trim_start_matches("./");
    let paths = library.paths()?;
    if paths.contains(written) {
        return Ok(Ok(written.to_owned()));
    }
    let name = written.rsplit('/').next().unwrap_or(written);
    let near: Vec<&str> = paths
        .iter()
        .filter(|path| path.rsplit('/').next() == Some(name))
        .take(5)
        .map(String::as_str)
        .collect();
    Ok(Err(match near.as_slice() {
        [] => format!("there is no file {written:?}"),
        near => format!("there is no file {written:?}; there is {}", near.join(", ")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library() -> (tempfile::TempDir, Library) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        std::fs::create_dir_all(root.join("src")).unwrap();
        std::fs::write(root.join("src/parse.py"), "def parse(text):\n    return text.split()\n").unwrap();
        std::fs::write(root.join("src/main.py"), "from parse import parse\n\nprint(parse('a b'))\n").unwrap();
        std::fs::write(root.join("secret.txt"), "hidden").unwrap();
        std::fs::write(root.join(".gitignore"), "secret.txt\n").unwrap();
        let mut library = Library::open(&root, &folder.path().join("index")).unwrap();
        library.index.update(&mut |_| std::ops::ControlFlow::Continue(())).unwrap();
        (folder, library)
    }

    fn check(tool: ToolName, argument: &str, expected: &str) {
        let (_folder, mut library) = library();
        let result = run(&mut library, tool, argument, 4000).unwrap();
        assert!(result.contains(expected), "{tool:?} {argument:?} gave:\n{result}");
    }

    #[test]
    fn each_tool_answers() {
        check(ToolName::Search, "parse text", "src/parse.py");
        check(ToolName::Regex, r"parse\(.*\)", "src/main.py:3: print(parse('a b'))");
        check(ToolName::References, "parse", "src/main.py");
        check(ToolName::List, "", "src/");
        check(ToolName::List, "src", "src/main.py");
        check(ToolName::Read, "src/parse.py:2-2", "2          return text.split()");
        check(ToolName::Outline, "src/parse.py", "1-2 function parse");
    }

    #[test]
    fn mistakes_are_answers() {
        check(ToolName::Read, "parse.py", "there is src/parse.py");
        check(ToolName::Read, "../../etc/passwd", "there is no file");
        check(ToolName::Read, "secret.txt", "there is no file");
        check(ToolName::Read, "src/parse.py:9-3", "has 2 lines");
        check(ToolName::Regex, "(", "not a regular expression");
        check(ToolName::List, "nowhere", "nothing found");
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let lines: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert!(bounded(&lines, 10_000).ends_with("(40 more lines are not shown)"));
        assert!(bounded(&lines, 20).ends_with("(90 more lines are not shown)"));
    }
}
