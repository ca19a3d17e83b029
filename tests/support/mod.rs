//! A hermetic place for one test: a repository, a data directory, a configuration directory, and the
//! binary with nothing else in its environment.

pub mod pty;
pub mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use countersign::protocol::{Approval, Decision, Envelope, Event, Op};
use serde_json::json;

/// A repository and everything around it; gone when dropped.
pub struct Place {
    folder: tempfile::TempDir,
}

/// A Python package that is small enough to read and large enough to need evidence.
pub const GREETER: &[(&str, &str)] = &[
    ("README.md", "# greeter\n\nGreets people on the command line.\n"),
    (
        "greeter/cli.py",
        "import argparse\nimport sys\n\nfrom greeter.text import greeting\n\n\ndef parser():\n    parser = argparse.ArgumentParser(prog=\"greeter\")\n    parser.add_argument(\"name\")\n    return parser\n\n\ndef main(argv=None):\n    arguments = parser().parse_args(argv)\n    print(greeting(arguments.name))\n    return 0\n\n\nif __name__ == \"__main__\":\n    sys.exit(main())\n\n\n# The lines below only make this file long enough for anchored edits.\n\n\ndef usage():\n    return parser().format_usage()\n\n\ndef version():\n    return \"1.0\"\n\n\ndef describe():\n    return usage() + version()\n",
    ),
    ("greeter/text.py", "def greeting(name):\n    return \"Hello \" + name\n"),
    ("greeter/__init__.py", ""),
];

impl Place {
    /// A repository with these files.
    pub fn new(files: &[(&str, &str)]) -> Place {
        let folder = tempfile::tempdir().unwrap();
        for name in ["repository", "data", "config", "home"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let place = Place { folder };
        for (path, text) in files {
            place.write(path, text);
        }
        place
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root().join(path)).unwrap()
    }

    pub fn exists(&self, path: &str) -> bool {
        self.root().join(path).exists()
    }

    /// Every file below the root with its bytes, to compare trees.
    pub fn tree(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.root(), &mut files);
        files.sort();
        files
    }

    /// Writes a script for the scripted provider and gives its path.
    pub fn script(&self, answers: &[serde_json::Value]) -> PathBuf {
        let lines: Vec<String> = answers.iter().map(|answer| answer.to_string()).collect();
        let path = self.folder.path().join("script.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        path
    }

    /// The binary, in the repository, with a cleared environment.
    pub fn command(&self) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_countersign")))
    }

    /// The same for a copy of the binary.
    pub fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.root()).env_clear();
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command.stdin(Stdio::null());
        command
    }

    /// The environment of [`Place::command`].
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.display().to_string();
        vec![
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("HOME", text(self.folder.path().join("home"))),
            ("COUNTERSIGN_DATA_DIR", text(self.data())),
            ("COUNTERSIGN_CONFIG_DIR", text(self.config())),
            // Nothing listens there, so that no test ever finds a server of the machine's owner.
            ("OLLAMA_HOST", "127.0.0.1:1".into()),
        ]
    }

    /// Runs the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(self.command().args(arguments).output().unwrap())
    }

    /// Runs a request with a script and `--json`, and answers each approval with `decide`.
    pub fn run_json(
        &self,
        script: &[serde_json::Value],
        arguments: &[&str],
        decide: impl FnMut(&Approval) -> Vec<Op>,
    ) -> Conversation {
        let script = self.script(script);
        let mut command = self.command();
        command.args(["run", "--json", "--script"]).arg(script).args(arguments);
        converse(command, decide)
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), std::fs::read(&path).unwrap_or_default()));
        }
    }
}

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
}

impl Finished {
    pub fn of(output: Output) -> Finished {
        Finished {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap_or(-1),
        }
    }

    /// Asserts the exit code and that stderr says something.
    #[track_caller]
    pub fn fails(self, code: i32, said: &str) -> Finished {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(self.stderr.contains(said), "{said:?} is not in\n{}", self.stderr);
        self
    }

    #[track_caller]
    pub fn succeeds(self) -> Finished {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }
}

/// A `--json` run from its first event to its last.
#[derive(Debug)]
pub struct Conversation {
    pub events: Vec<Event>,
    pub code: i32,
}

impl Conversation {
    /// The first event that `pick` accepts.
    #[track_caller]
    pub fn find<T>(&self, pick: impl FnMut(&Event) -> Option<T>) -> T {
        self.events.iter().find_map(pick).unwrap_or_else(|| panic!("no such event in {:#?}", self.events))
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Conversation {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// Talks to a `--json` process: its events are collected, each approval is answered.
pub fn converse(command: Command, mut decide: impl FnMut(&Approval) -> Vec<Op>) -> Conversation {
    converse_with(command, |event| match event {
        Event::ApprovalNeeded(approval) => decide(approval),
        _ => Vec::new(),
    })
}

/// The same, with an answer to any event.
pub fn converse_with(mut command: Command, mut answer: impl FnMut(&Event) -> Vec<Op>) -> Conversation {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let mut events = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let envelope: Envelope =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!(envelope.seq, events.len() as u64 + 1, "events are numbered without gaps");
        for op in answer(&envelope.event) {
            writeln!(stdin, "{}", serde_json::to_string(&op).unwrap()).unwrap();
            stdin.flush().unwrap();
        }
        events.push(envelope.event);
    }
    drop(stdin);
    let code = child.wait().unwrap().code().unwrap_or(-1);
    assert_eq!(errors.join().unwrap(), "", "with --json everything is said in events");
    Conversation { events, code }
}

/// Accepts every hunk.
pub fn accept_all(approval: &Approval) -> Vec<Op> {
    accept(approval, &ids(approval))
}

/// Accepts these hunks.
pub fn accept(approval: &Approval, ids: &[u32]) -> Vec<Op> {
    vec![Op::Decide(Decision {
        approval: approval.id,
        digest: approval.digest.clone(),
        accept: ids.to_vec(),
        ..Decision::default()
    })]
}

pub fn ids(approval: &Approval) -> Vec<u32> {
    approval.files.iter().flat_map(|file| file.hunks.iter().map(|hunk| hunk.id)).collect()
}

/// An Architect's answer with these steps: action, file, symbol, task.
pub fn plan(steps: &[(&str, &str, &str, &str)]) -> serde_json::Value {
    let steps: Vec<_> = steps
        .iter()
        .map(|(action, file, symbol, task)| {
            let (file, target) = file.split_once(" -> ").unwrap_or((file, ""));
            json!({"action": action, "file": file, "symbol": symbol, "target": target, "task": task})
        })
        .collect();
    let text = json!({"analysis": "what to do", "questions": [], "steps": steps}).to_string();
    json!({"role": "architect", "text": text})
}

/// A Coder's answer with one search/replace block.
pub fn replace(path: &str, search: &str, replace: &str) -> serde_json::Value {
    let text = format!("{path}\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n");
    json!({"role": "coder", "text": text})
}

/// A Coder's answer with a whole file.
pub fn whole(path: &str, content: &str) -> serde_json::Value {
    json!({"role": "coder", "text": format!("{path}\n```\n{content}```\n")})
}
