//! What the supervisor of a check is told, and what it tells: JSON on its standard streams.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::run::Limits;

/// What to run and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    pub argv: Vec<String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// All that it sees of the environment.
    pub environment: BTreeMap<String, String>,
    pub limits: Limits,
    /// Whether it runs in the sandbox; false only where none can be entered, which was said.
    pub sandboxed: bool,
    /// Whether it gets a network of its own.
    pub own_network: bool,
    /// A file to hold locked until the last process has ended.
    pub busy: Option<PathBuf>,
    /// What it must not read, canonical.
    pub hidden: Vec<PathBuf>,
    /// What it may write, and read even inside of something hidden.
    pub writable: Vec<PathBuf>,
}

/// What a sandbox holds back here. Each part is reported by the process that was put into it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Landlock's version of the running kernel; 0: files are not confined.
    pub landlock: u32,
    /// How the network is kept away.
    pub network: Network,
    /// Shared memory and pseudo-terminals are the check's own; otherwise it has none.
    pub devices: bool,
    /// Signals reach only the check's own processes.
    pub signals: bool,
    /// What is missing, and why.
    pub missing: Vec<String>,
}

impl Confinement {
    /// Whether files and the network are both held back.
    pub fn holds(&self) -> bool {
        self.landlock > 0 && self.network != Network::Open
    }

    /// Why it is no sandbox, in one line; `None` when it is one.
    pub fn warning(&self) -> Option<String> {
        let why = match self.missing.is_empty() {
            true => "this system offers none".to_owned(),
            false => self.missing.join("; "),
        };
        let warning = || format!("checks are not sandboxed and can do what you can: {why}");
        (!self.holds()).then(warning)
    }

    /// What is held back, for a person.
    pub fn describe(&self) -> String {
        if let Some(warning) = self.warning() {
            return warning;
        }
        let network = match self.network {
            Network::Open => "the network is open",
            Network::Closed => "no network",
            Network::Loopback => "no network but a loopback device of its own",
        };
        let signals = if self.signals { ", no signals to other processes" } else { "" };
        let missing: String = self.missing.iter().map(|missing| format!("; {missing}")).collect();
        format!(
            "checks are sandboxed (Landlock {}): they write only their copy and caches, {network}{signals}{missing}",
            self.landlock
        )
    }
}

/// How the network is kept away from a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// It is not.
    #[default]
    Open,
    /// No socket can be made at all.
    Closed,
    /// A network of its own, in which it finds only itself: servers of tests work.
    Loopback,
}

/// Why a check was ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Timeout,
    Memory,
    Processes,
    Disk,
    /// Whoever ordered it is gone.
    Unwanted,
}

/// How it went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Why it could not be started.
    pub not_started: Option<String>,
    /// `None` when a signal killed it.
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub ended: Option<Ended>,
    /// Processes that it left behind; none of them lives any more.
    pub left_behind: u32,
    /// Most bytes of memory that all its processes held at once, as far as they were measured.
    pub most_memory: u64,
}
