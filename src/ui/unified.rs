//! An approval as a patch for tools: what `git apply` and `patch -p1` read.
//!
//! Pure, and exact to the byte: nothing is escaped for a screen here. It must not know where the
//! text goes.

use std::fmt::Write;

use super::diff;
use crate::protocol::{Approval, ChangeKind, FileReview, HunkReview};

/// All files of an approval as one patch in git's format. Modes are not part of an approval, so
/// that new and deleted files are given as plain ones.
pub fn patch(approval: &Approval) -> String {
    files(&approval.files)
}

/// The same for some files.
pub fn files(files: &[FileReview]) -> String {
    files.iter().map(file).collect()
}

fn file(file: &FileReview) -> String {
    let (old, new) = (quote("a/", &file.old_path), quote("b/", &file.path));
    let mut patch = format!("diff --git {old} {new}\n");
    let (from, to) = match file.change {
        ChangeKind::Create => {
            patch.push_str("new file mode 100644\n");
            ("/dev/null", new.as_str())
        }
        ChangeKind::Delete => {
            patch.push_str("deleted file mode 100644\n");
            (old.as_str(), "/dev/null")
        }
        ChangeKind::Rename => {
            let names = (quote("", &file.old_path), quote("", &file.path));
            // Writing to a string cannot fail.
            let _ = write!(patch, "rename from {}\nrename to {}\n", names.0, names.1);
            (old.as_str(), new.as_str())
        }
        ChangeKind::Modify => (old.as_str(), new.as_str()),
    };
    if file.hunks.iter().any(|hunk| !hunk.lines.is_empty()) {
        let _ = write!(patch, "--- {from}\n+++ {to}\n");
    }
    for hunk in &file.hunks {
        if hunk.lines.is_empty() {
            continue;
        }
        let _ = writeln!(patch, "{}", header(hunk));
        for line in &hunk.lines {
            // Context that lost its one space on the way is still context.
            let _ = writeln!(patch, "{}", if line.is_empty() { " " } else { line });
        }
    }
    patch
}

/// The hunk's own header, or one made of its lines for a header in words (`delete file`).
fn header(hunk: &HunkReview) -> String {
    if hunk.header.starts_with("@@ ") {
        return hunk.header.clone();
    }
    let without = |sign: char| hunk.lines.iter().filter(|line| !line.starts_with([sign, '\\'])).count();
    let (old, new) = (without('+'), without('-'));
    let (old_start, new_start) = diff::starts(&hunk.header);
    let start = |start: u64, lines: usize| if lines == 0 { 0 } else { start };
    format!("@@ -{},{old} +{},{new} @@", start(old_start, old), start(new_start, new))
}

/// A path as git writes it: quoted like a C string when a plain one could be misread.
fn quote(prefix: &str, path: &str) -> String {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\' && byte != 0x7f;
    if path.bytes().all(plain) {
        return format!("{prefix}{path}");
    }
    let mut quoted = format!("\"{prefix}");
    for character in path.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_ascii_control() => {
                let _ = write!(quoted, "\\{:03o}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(change: ChangeKind, old: &str, new: &str, header: &str, lines: &[&str]) -> FileReview {
        let hunk = HunkReview {
            id: 1,
            header: header.into(),
            lines: lines.iter().map(|line| line.to_string()).collect(),
            tier: "exact".into(),
        };
        FileReview { old_path: old.into(), path: new.into(), change, hunks: vec![hunk], why: vec![] }
    }

    #[test]
    fn one_of_each_kind() {
        let files = vec![
            review(ChangeKind::Modify, "a.rs", "a.rs", "@@ -1,2 +1,2 @@", &["-x", "+y", ""]),
            review(ChangeKind::Create, "n.rs", "n.rs", "create file", &["+one", "+two"]),
            review(
                ChangeKind::Delete,
                "d.rs",
                "d.rs",
                "delete file",
                &["-one", "\\ No newline at end of file"],
            ),
            review(ChangeKind::Rename, "o.rs", "p.rs", "rename file", &[]),
        ];
        let approval = Approval { id: 1, digest: "d".into(), files, ..Approval::default() };
        let expected = "\
diff --git a/a.rs b/a.rs
--- a/a.rs
+++ b/a.rs
@@ -1,2 +1,2 @@
-x
+y
 
diff --git a/n.rs b/n.rs
new file mode 100644
--- /dev/null
+++ b/n.rs
@@ -0,0 +1,2 @@
+one
+two
diff --git a/d.rs b/d.rs
deleted file mode 100644
--- a/d.rs
+++ /dev/null
@@ -1,1 +0,0 @@
-one
\\ No newline at end of file
diff --git a/o.rs b/p.rs
rename from o.rs
rename to p.rs
";
        assert_eq!(patch(&approval), expected);
    }

    #[test]
    fn a_path_cannot_forge_a_line() {
        let file = file(&review(ChangeKind::Modify, "a\n+++ b/x", "a\"\\\u{1b}", "@@ -1 +1 @@", &["+y"]));
        assert!(file.starts_with("diff --git \"a/a\\n+++ b/x\" \"b/a\\\"\\\\\\033\"\n"), "{file}");
    }
}
