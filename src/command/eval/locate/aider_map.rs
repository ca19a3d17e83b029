//! Aider's map of the repository at work on one tree, to compare with. Aider runs as another process and
//! asks no model.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::Context as _;
use countersign_index::Checkout;
use serde::Deserialize;

use crate::command::eval::whole::aider::{last_words, leave_alone};
use crate::failure::Failure;

const DRIVER: &str = include_str!("aider_map.py");

/// Aider in the tree, ended when dropped.
pub struct AiderMap {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Its HOME, with what it prints.
    home: tempfile::TempDir,
}

#[derive(Debug, Deserialize)]
struct Answer {
    files: Vec<String>,
}

/// The version of Aider that this Python has.
///
/// # Errors
/// When it has none.
pub fn version(python: &Path) -> anyhow::Result<String> {
    let mut command = Command::new(python);
    command.args(["-c", "import aider; print(aider.__version__)"]);
    let said = command.output().ok().filter(|output| output.status.success());
    let version = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    version.filter(|version| !version.is_empty()).ok_or_else(|| {
        let advice = "Make one with `python3 -m venv aider && aider/bin/pip install aider-chat`, and give --peer-python aider/bin/python.";
        Failure::usage(format!("{} has no Aider", python.display()), advice).into()
    })
}

impl AiderMap {
    /// Starts it, with as many tokens for the map as our pack has.
    pub fn start(python: &Path, checkout: &Checkout, budget: u32) -> anyhow::Result<AiderMap> {
        let home = tempfile::tempdir().context("cannot make a folder for Aider")?;
        let (driver, log) = (home.path().join("driver.py"), home.path().join("log.txt"));
        std::fs::write(&driver, DRIVER).context("cannot write Aider's driver")?;
        let log = std::fs::File::create(log).context("cannot write Aider's log")?;
        let mut command = Command::new(python);
        command.arg(driver).args(["--model", "openai/none", "--openai-api-key", "none"]);
        command.args(["--map-tokens", &budget.to_string()]).current_dir(checkout.root());
        leave_alone(&mut command, home.path(), std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", python.display()))?;
        let requests = child.stdin.take().context("no way to ask Aider")?;
        let answers = BufReader::new(child.stdout.take().context("no way to hear Aider")?);
        let mut map = AiderMap { child, requests, answers, home };
        map.answer()?;
        Ok(map)
    }

    /// Paths, best first.
    pub fn rank(&mut self, request: &str) -> anyhow::Result<Vec<String>> {
        let line = serde_json::json!({ "request": request }).to_string() + "\n";
        self.requests.write_all(line.as_bytes()).with_context(|| self.last_words())?;
        Ok(self.answer()?.files)
    }

    fn answer(&mut self) -> anyhow::Result<Answer> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("cannot hear Aider")?;
        serde_json::from_str(&line).with_context(|| self.last_words())
    }

    fn last_words(&self) -> String {
        format!("Aider has ended: {}", last_words(&self.home.path().join("log.txt")))
    }
}

impl Drop for AiderMap {
    fn drop(&mut self) {
        // One that has ended already cannot be ended, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
