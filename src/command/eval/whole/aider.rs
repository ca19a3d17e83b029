//! Aider at work on one task, as its own benchmark runs it: one conversation, the files of the exercise in
//! the chat, no commits, no shell, no questions.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::agent::{Seen, Stopped};
use super::ground::Ground;
use super::proxy::Proxy;
use crate::cli::{PeerFormat, SamplingArgs};

const DRIVER: &str = include_str!("aider.py");

/// Flags with which it asks nobody, commits nothing and looks for nothing outside of its folder.
const ALONE: [&str; 13] = [
    "--no-auto-commits",
    "--no-dirty-commits",
    "--yes-always",
    "--no-check-update",
    "--no-analytics",
    "--no-gitignore",
    "--no-suggest-shell-commands",
    "--no-detect-urls",
    "--no-show-model-warnings",
    "--no-show-release-notes",
    "--no-fancy-input",
    "--no-pretty",
    "--no-restore-chat-history",
];

/// Lines of what it printed that are told when it ends too soon.
const LAST_LINES: usize = 5;

/// How often Aider answers to tests that fail again by itself, with `--auto-test`: its `max_reflections`.
pub const REFLECTIONS: usize = 3;

/// How long Aider may take to start, and to end after its input has ended.
const START: Duration = Duration::from_secs(120);
const GRACE: Duration = Duration::from_secs(5);

/// What Aider is told besides the request.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    pub python: &'a Path,
    pub format: PeerFormat,
    /// The model's name at the server.
    pub model: &'a str,
    /// Its context window in tokens, the same that our own agent works with.
    pub window: u32,
    pub sampling: SamplingArgs,
    pub seed: u32,
    /// Files to put into the chat; without any, Aider finds them by its map of the repository.
    pub files: &'a [String],
    /// `PATH` of the owner.
    pub path: &'a str,
}

/// Adds what keeps Aider to itself: nothing of the owner's settings or keys, and the network is not asked about
/// prices. What it writes of its own goes to `home`; `path` is the `PATH` of the owner.
pub fn leave_alone(command: &mut std::process::Command, home: &Path, path: impl AsRef<OsStr>) {
    command.args(ALONE);
    for (flag, name) in [("--chat-history-file", "chat.md"), ("--input-history-file", "input.txt")] {
        command.arg(flag).arg(home.join(name));
    }
    command.env_clear().env("PATH", path).env("HOME", home).env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("TERM", "dumb").env("PYTHONDONTWRITEBYTECODE", "1");
}

/// The end of what it printed, in one line.
pub fn last_words(log: &Path) -> String {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join(" / ")
}

/// Aider in one throw-away copy, ended when dropped.
pub struct Aider {
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    proxy: Proxy,
    pub version: String,
}

#[derive(Debug, Deserialize)]
struct Started {
    version: String,
}

#[derive(Debug, Deserialize)]
struct Answered {
    edited: Vec<String>,
    malformed: u32,
    error: Option<String>,
}

impl PeerFormat {
    pub fn name(self) -> &'static str {
        match self {
            PeerFormat::Whole => "whole",
            PeerFormat::Diff => "diff",
        }
    }
}

impl Aider {
    /// Starts it, behind a proxy that counts.
    ///
    /// # Errors
    /// When that Python has no Aider, or it does not start.
    pub async fn start(ground: &Ground, setup: Setup<'_>, url: &str) -> anyhow::Result<Aider> {
        let proxy = Proxy::start(url).await?;
        let home = ground.beside("home")?;
        let name = format!("openai/{}", setup.model);
        let file = |name: &str, text: String| -> anyhow::Result<String> {
            let path = home.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(path.display().to_string())
        };
        let driver = file("driver.py", DRIVER.to_owned())?;
        let facts = serde_json::json!({ &name: {
            "max_input_tokens": setup.window, "max_tokens": setup.window, "litellm_provider": "openai",
            "mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0,
        }});
        let facts = file("facts.json", facts.to_string())?;
        // YAML reads JSON.
        let settings = serde_json::json!([{
            "name": name, "edit_format": setup.format.name(), "use_repo_map": setup.files.is_empty(),
            "use_temperature": setup.sampling.temperature, "extra_params": { "seed": setup.seed },
        }]);
        let settings = file("settings.yml", settings.to_string())?;
        let log = home.join("log.txt");
        let errors = std::fs::File::create(&log).context("cannot write Aider's log")?;
        let mut command = Command::new(setup.python);
        command.arg(driver).args(["--model", &name, "--edit-format", setup.format.name()]);
        command.args(["--model-settings-file", &settings, "--model-metadata-file", &facts]);
        command.args(["--openai-api-base", &proxy.url(), "--openai-api-key", "none"]);
        leave_alone(command.as_std_mut(), &home, setup.path);
        // With the files in the chat there is nothing for a map to find.
        if !setup.files.is_empty() {
            command.args(["--map-tokens", "0"]);
        }
        command.args(setup.files).current_dir(ground.tree());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| {
            format!("cannot start {} for Aider; see --peer-python", setup.python.display())
        })?;
        let requests = child.stdin.take().context("no way to ask Aider")?;
        let mut answers = BufReader::new(child.stdout.take().context("no way to hear Aider")?).lines();
        let first =
            tokio::time::timeout(START, answers.next_line()).await.context("Aider does not start")??;
        let Some(first) = first else {
            bail!("Aider does not start with {}: {}", setup.python.display(), last_words(&log));
        };
        let Started { version } = serde_json::from_str(&first).context("Aider's first answer")?;
        Ok(Aider { child, requests, answers, proxy, version })
    }

    /// One request of the conversation, until `deadline` at the latest.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn attempt(&mut self, message: &str, deadline: Instant) -> anyhow::Result<Seen> {
        let began = Instant::now();
        let line = serde_json::json!({ "message": message }).to_string() + "\n";
        self.requests.write_all(line.as_bytes()).await.context("Aider has ended")?;
        let mut seen = Seen::default();
        match tokio::time::timeout_at(deadline.into(), self.answers.next_line()).await {
            Err(_) => {
                self.child.start_kill().context("Aider cannot be ended")?;
                (seen.stopped, seen.ended) = (Some(Stopped::Time), "killed".into());
            }
            Ok(Ok(Some(line))) => {
                let Answered { edited, malformed, error } =
                    serde_json::from_str(&line).context("Aider's answer")?;
                seen.applied = edited.into_iter().map(|path| (path, None)).collect();
                seen.refused = malformed;
                seen.stopped = error.as_ref().map(|_| Stopped::Agent);
                seen.ended = error.unwrap_or_else(|| "done".into());
            }
            Ok(_) => (seen.stopped, seen.ended) = (Some(Stopped::Agent), "it ended in the middle".into()),
        }
        seen.seconds = began.elapsed().as_secs_f64();
        seen.spent = self.proxy.take().await;
        Ok(seen)
    }

    /// Ends it.
    pub async fn stop(self) {
        let Aider { mut child, requests, .. } = self;
        drop(requests);
        // Otherwise it is killed when it is dropped.
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
    }
}
