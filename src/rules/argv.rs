//! A command as words, and the signs that it was meant for a shell instead. Pure.
//!
//! Nothing here runs anything. A command is always run as words, without a shell; text that only a
//! shell would understand is looked through for what is denied, and never matched as a command.

/// Signs by which a shell joins, redirects or substitutes.
const SHELL: &[char] = &[';', '|', '&', '<', '>', '`', '$', '(', ')', '\n', '\r', '\0'];

/// What was typed or declared as a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub argv: Vec<String>,
    /// Why it may be something else than this program with these arguments.
    pub doubts: Vec<String>,
}

impl Command {
    /// Words as they would be passed to the program.
    pub fn words(argv: &[String]) -> Command {
        let mut doubts = Vec::new();
        if argv.first().is_none_or(|program| program.trim().is_empty()) {
            doubts.push("it names no program".to_owned());
        }
        if let Some((word, sign)) = argv.iter().find_map(|word| Some((word, shell_sign(word)?))) {
            doubts.push(format!(
                "{word:?} holds `{}`, which means something to a shell; words are never run by one",
                sign.escape_debug()
            ));
        }
        Command { argv: argv.to_vec(), doubts }
    }

    /// One line of text. Quotes join words; whatever else a shell would do makes it no command.
    pub fn line(text: &str) -> Command {
        if let Some(sign) = shell_sign(text) {
            let doubt = format!(
                "`{}` makes it a line for a shell, which is never matched as a command; give the program and \
                 its arguments",
                sign.escape_debug()
            );
            return Command {
                argv: text.split_whitespace().map(str::to_owned).collect(),
                doubts: vec![doubt],
            };
        }
        match shlex::split(text) {
            Some(argv) => Command::words(&argv),
            None => Command {
                argv: text.split_whitespace().map(str::to_owned).collect(),
                doubts: vec!["its quotes do not match".to_owned()],
            },
        }
    }

    /// Runs of words in which commands could be hidden: what follows a sign of a shell, what is quoted
    /// for one, and what another program would start. A command may begin at any word of a run. For
    /// rules that tighten.
    pub fn hidden(&self) -> Vec<Vec<String>> {
        let mut runs: Vec<Vec<String>> = Vec::new();
        let mut run: Vec<String> = Vec::new();
        for word in &self.argv {
            for (at, part) in word.split(SHELL).enumerate() {
                if at > 0 {
                    runs.push(std::mem::take(&mut run));
                }
                let inner = part.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned());
                run.extend(inner.filter(|word| !word.is_empty()));
            }
        }
        runs.push(run);
        runs
    }
}

/// The first sign of a shell in a text.
fn shell_sign(text: &str) -> Option<char> {
    text.chars().find(|c| SHELL.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_quotes_say() {
        let command = Command::line("cargo test --package 'a b'");
        assert_eq!(command.argv, ["cargo", "test", "--package", "a b"]);
        assert!(command.doubts.is_empty());
    }

    #[test]
    fn signs_of_a_shell_are_doubts() {
        for line in [
            "git status && x",
            "git status; x",
            "git status | x",
            "git status > x",
            "git status `x`",
            "git status $(x)",
            "git status $X",
            "git status\nx",
            "git status & x",
            "(git status)",
            "git 'status",
            "",
        ] {
            assert!(!Command::line(line).doubts.is_empty(), "{line:?}");
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert!(line == "git 'status" || !Command::words(&words).doubts.is_empty(), "{line:?}");
        }
    }

    #[test]
    fn hidden_commands_are_found() {
        for line in [
            "git status && rm -rf x",
            "git status&&rm -rf x",
            "sh -c 'rm -rf x'",
            "env A=1 rm -rf x",
            "echo `rm -rf x`",
            "echo $(rm -rf x)",
            "bash -c \"ls; 'rm' -rf x\"",
        ] {
            let hidden = Command::line(line).hidden();
            assert!(
                hidden.iter().any(|run| run.windows(2).any(|words| words == ["rm", "-rf"])),
                "{line}: {hidden:?}"
            );
        }
    }
}
