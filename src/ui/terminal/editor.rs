//! A hunk in its owner's editor: lines out to a private file, lines back in. It must not know what
//! becomes of them.

use std::io::Write as _;
use std::process::Command;

/// What stands below the lines in the editor.
const NOTE: &str = "\
# Above: the hunk. Lines with + or a space in front make up the file after the change; lines with -
# are what it takes away, and are ignored. Lines with # in front are left out. Leave nothing above to
# keep the hunk as it was.
";

/// Lets the owner edit `lines` and gives what is left of them; none, if everything was deleted.
///
/// # Errors
/// Why the editor could not be used, for people.
pub fn edit(editor: &[String], lines: &[String]) -> Result<Vec<String>, String> {
    let (program, arguments) =
        editor.split_first().ok_or("no editor is known; set VISUAL or EDITOR, such as EDITOR=nano")?;
    let prepared = || -> std::io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix("countersign-").suffix(".diff").tempfile()?;
        file.write_all((lines.join("\n") + "\n" + NOTE).as_bytes())?;
        Ok(file)
    };
    let file = prepared().map_err(|error| format!("cannot write a file for the editor: {error}"))?;
    let status = Command::new(program).args(arguments).arg(file.path()).status();
    let status = status
        .map_err(|error| format!("cannot start the editor {program:?}: {error}; see VISUAL and EDITOR"))?;
    if !status.success() {
        return Err(format!("the editor {program:?} ended with an error; the hunk is as it was"));
    }
    // Some editors write a new file under the old name, so that the open one is not read.
    let text = std::fs::read_to_string(file.path())
        .map_err(|error| format!("cannot read the edited hunk: {error}"))?;
    Ok(text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn check(script: &str, expected: Result<&[&str], &str>) {
        let lines = ["-old".to_owned(), "+new".to_owned()];
        let editor = ["sh".to_owned(), "-c".to_owned(), script.to_owned(), "sh".to_owned()];
        match (edit(&editor, &lines), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn lines_come_back_as_the_editor_left_them() {
        check("true", Ok(&["-old", "+new"]));
        check("sed -i s/new/newer/ \"$1\"", Ok(&["-old", "+newer"]));
        check("grep -v new \"$1\" > \"$1.2\"; mv \"$1.2\" \"$1\"", Ok(&["-old"]));
        check(": > \"$1\"", Ok(&[]));
        check("exit 1", Err("as it was"));
        let missing = edit(&["no-such-editor".to_owned()], &[]).unwrap_err();
        assert!(missing.contains("VISUAL and EDITOR"), "{missing}");
        assert!(edit(&[], &[]).unwrap_err().contains("set VISUAL"));
    }
}
