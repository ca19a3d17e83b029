//! Runs one check to its end and says how it went. Dropping the future ends the check with everything
//! that it started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
#[cfg(unix)]
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::Check;
use super::environment::{self, Folders};
use super::output::{self, Output};
use super::pace::Paces;
use super::scratch::{self, Workspace};
use crate::protocol::CheckResult;

/// How much of the output's end goes into events.
const TAIL_BYTES: usize = 4096;

/// What a check may use up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock time.
    pub seconds: u64,
    /// Memory of all its processes together.
    pub memory_bytes: u64,
    /// Processes and threads at the same time.
    pub processes: u64,
    /// One file that it writes.
    pub file_bytes: u64,
    /// What must stay free of the disk that it writes to.
    pub free_bytes: u64,
    /// What it prints.
    pub output_bytes: u64,
    /// Wall-clock time in which it may print nothing, once it is known how long it takes: this at least.
    pub silence_s: u64,
}

impl Limits {
    /// For this machine: three quarters of its memory, so that the machine stays usable.
    pub fn of_machine() -> Limits {
        let mut system = sysinfo::System::new();
        system.refresh_memory();
        Limits {
            seconds: super::DEFAULT_TIMEOUT_S,
            memory_bytes: (system.total_memory() / 4 * 3).max(1 << 30),
            processes: 4096,
            file_bytes: 4 << 30,
            free_bytes: 512 << 20,
            output_bytes: 256 << 20,
            silence_s: 20,
        }
    }
}

/// Where a check runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the workspace's copy.
    Scratch,
    /// In the repository itself, which it cannot write to except for build folders.
    Tree,
}

/// Everything that running checks of one repository needs.
#[derive(Debug, Clone)]
pub struct Runner {
    /// This program, which supervises checks in a process of its own.
    pub program: PathBuf,
    /// Canonical path of the repository.
    pub root: PathBuf,
    /// Our folder for its checks: copies, caches.
    pub folder: PathBuf,
    /// What no check may read: our own folders, and the owner's secrets are added.
    pub hidden: Vec<PathBuf>,
    /// The owner's environment, of which a check sees a part.
    pub variables: Variables,
    pub limits: Limits,
    pub paces: Paces,
    /// What the sandbox holds back, once it was tried.
    #[cfg(unix)]
    pub tried: Arc<tokio::sync::OnceCell<super::order::Confinement>>,
}

/// The owner's environment; its values do not show in logs.
#[derive(Clone)]
pub struct Variables(pub BTreeMap<String, String>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What holds checks back on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sandbox {
    /// Why it is no sandbox; `None` when it is one.
    pub warning: Option<String>,
    /// All of it in a line.
    pub description: String,
}

/// A check that ran.
#[derive(Debug, Clone)]
pub struct Ran {
    pub result: CheckResult,
    /// What it printed: beginning and end, at most 64 KiB.
    pub output: String,
    /// How the supervisor saw it.
    #[cfg(unix)]
    pub report: super::order::Report,
}

impl Runner {
    /// Claims a place to work in, which no other process uses until it is dropped.
    ///
    /// # Errors
    /// When our data folder cannot be written.
    pub fn workspace(&self) -> anyhow::Result<Workspace> {
        Workspace::claim(&self.folder)
    }

    /// Runs `check` to its end.
    ///
    /// # Errors
    /// Only if it cannot be started; that it fails is a result.
    pub async fn run(&self, check: &Check, workspace: &Workspace, place: Place) -> anyhow::Result<Ran> {
        ensure!(!check.argv.is_empty(), "the check is empty");
        let root = match place {
            Place::Scratch => workspace.tree(),
            Place::Tree => self.root.clone(),
        };
        let began = Instant::now();
        workspace.empty_temp()?;
        let (cache, temp, home) = (self.cache()?, workspace.temp(), workspace.home());
        let build = match place {
            Place::Scratch => workspace.build(),
            Place::Tree => self.folder.join(scratch::TREE_BUILD),
        };
        crate::disk::private_folder(&build)?;
        let build = build.canonicalize()?;
        let folders = Folders { cache: &cache, build: &build, temp: &temp, home: &home, checked: &root };
        let mut environment = environment::visible(&self.variables.0, &check.environment, folders);
        let mut writable = vec![cache.clone(), build.clone(), temp.clone()];
        match place {
            Place::Scratch => writable.push(root.clone()),
            Place::Tree => {
                let own = scratch::build_folders(&self.root, check)?;
                // What its owner has built already need not be built again.
                if own.iter().any(|folder| folder.ends_with("target")) {
                    environment.remove("CARGO_TARGET_DIR");
                }
                writable.extend(own);
            }
        }
        let folder = inside(&root, &check.directory)?;
        let least = Duration::from_secs(self.limits.silence_s);
        // The verdict on the tree itself has all the time that the check has.
        let patience = match place {
            Place::Scratch => self.paces.patience(&check.argv, least),
            Place::Tree => None,
        };
        let started = Instant::now();
        let mut ran = self.start(check, &folder, environment, writable, workspace, patience).await?;
        if !ran.result.timed_out {
            self.paces.note(&check.argv, started.elapsed());
        }
        // Where the copy lies says nothing to anybody; the same line reads the same in both places.
        let place = root.display().to_string();
        ran.output = ran.output.replace(&format!("{place}/"), "").replace(&place, ".");
        ran.result.command = check.command_line();
        ran.result.output_tail = tail(&ran.output, TAIL_BYTES).to_owned();
        ran.result.millis = began.elapsed().as_millis() as u64;
        workspace.empty_temp()?;
        Ok(ran)
    }

    fn cache(&self) -> anyhow::Result<PathBuf> {
        let cache = self.folder.join(scratch::CACHE);
        crate::disk::private_folder(&cache)?;
        // As the sandbox needs it.
        Ok(cache.canonicalize()?)
    }

    /// What cannot be read: our own folders and the owner's secrets, as far as they exist.
    #[cfg(unix)]
    fn all_hidden(&self) -> Vec<PathBuf> {
        let mut hidden: Vec<PathBuf> =
            self.hidden.iter().filter_map(|path| path.canonicalize().ok()).collect();
        if let Some(home) = self.variables.0.get("HOME") {
            hidden.extend(super::paths::secrets(Path::new(home)));
        }
        // A repository may lie in one of them, ~/.config for one; it is what the check is about.
        hidden.retain(|hidden| !self.root.starts_with(hidden));
        hidden
    }
}

/// A folder of the tree, which a link must not lead out of.
fn inside(root: &Path, directory: &str) -> anyhow::Result<PathBuf> {
    let folder = root.join(directory);
    let found =
        folder.canonicalize().with_context(|| format!("the check's directory {directory:?} is not there"))?;
    ensure!(
        found.starts_with(root.canonicalize()?),
        "the check's directory {directory:?} leads out of the repository"
    );
    Ok(found)
}

/// The end of a text, at most this many bytes, from the beginning of a line where there is one.
fn tail(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let start = output::ceil(text, text.len() - bytes);
    let end = &text[start..];
    end.find('\n').map_or(end, |at| &end[at + 1..])
}

/// Why no more was read of what a check prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Collected {
    All,
    TooMuch,
    /// Nothing came for so long.
    Silent(Duration),
}

impl Collected {
    /// Why the check was ended for that, in words.
    fn why(self, most: u64) -> Option<String> {
        match self {
            Collected::All => None,
            Collected::TooMuch => Some(format!("it printed more than {}", bytes(most))),
            Collected::Silent(patience) => Some(format!(
                "it printed nothing for {} seconds, much longer than it took before",
                patience.as_secs()
            )),
        }
    }
}

fn bytes(n: u64) -> String {
    match n {
        0..=0xF_FFFF => format!("{} KiB", n >> 10),
        0x10_0000..=0x3FFF_FFFF => format!("{} MiB", n >> 20),
        _ => format!("{} GiB", n >> 30),
    }
}

/// Reads to the end, or until more was printed than a check may print, or nothing for longer than it may.
async fn collect(
    stream: &mut (impl AsyncRead + Unpin),
    output: &mut Output,
    most: u64,
    patience: Option<Duration>,
) -> Collected {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut buffer);
        let came = match patience {
            Some(patience) => match tokio::time::timeout(patience, read).await {
                Ok(came) => came,
                Err(_) => return Collected::Silent(patience),
            },
            None => read.await,
        };
        match came {
            Ok(0) | Err(_) => return Collected::All,
            Ok(n) => output.push(&buffer[..n]),
        }
        if output.seen() > most {
            return Collected::TooMuch;
        }
    }
}

#[cfg(unix)]
mod supervised {
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::check::order::{Confinement, Ended, Order, Report};
    use crate::check::supervise::WORD;

    /// How long the supervisor may take to end everything after its own limit.
    const GRACE: Duration = Duration::from_secs(30);

    impl Runner {
        fn supervisor(&self, part: &str) -> Command {
            let mut command = Command::new(&self.program);
            // A group of its own: Ctrl-C in the terminal is for countersign, which then ends it in order.
            command.args([WORD, part]).env_clear().process_group(0);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        }

        /// What a sandbox holds back here, as a process found out that was put into it.
        ///
        /// # Errors
        /// When this program cannot start itself.
        pub async fn confinement(&self) -> anyhow::Result<Confinement> {
            let probe = async || {
                let output =
                    self.supervisor("probe").output().await.context("cannot start the supervisor")?;
                let said = String::from_utf8_lossy(&output.stderr);
                serde_json::from_slice(&output.stdout)
                    .with_context(|| format!("the supervisor of checks does not answer: {}", said.trim()))
            };
            self.tried.get_or_try_init(probe).await.cloned()
        }

        /// The same for people and programs.
        ///
        /// # Errors
        /// See [`Runner::confinement`].
        pub async fn sandbox(&self) -> anyhow::Result<Sandbox> {
            let confinement = self.confinement().await?;
            Ok(Sandbox { warning: confinement.warning(), description: confinement.describe() })
        }

        pub(super) async fn start(
            &self,
            check: &Check,
            folder: &Path,
            environment: BTreeMap<String, String>,
            writable: Vec<PathBuf>,
            workspace: &Workspace,
            patience: Option<Duration>,
        ) -> anyhow::Result<Ran> {
            let confinement = self.confinement().await?;
            let order = Order {
                argv: check.argv.clone(),
                folder: folder.to_owned(),
                environment,
                limits: Limits { seconds: check.timeout_s, ..self.limits.clone() },
                sandboxed: confinement.landlock > 0
                    || confinement.network != crate::check::order::Network::Open,
                own_network: confinement.network == crate::check::order::Network::Loopback,
                busy: Some(workspace.busy()),
                hidden: self.all_hidden(),
                writable,
            };
            let mut child = self.supervisor("watch").spawn().context("cannot start the supervisor")?;
            let mut stdin = child.stdin.take().context("no way to tell the supervisor")?;
            let mut stdout = child.stdout.take().context("no way to hear the supervisor")?;
            let mut stderr = child.stderr.take().context("no way to hear the check")?;
            stdin.write_all(format!("{}\n", serde_json::to_string(&order)?).as_bytes()).await?;
            // From here on `stdin` says that the check is wanted: once it is closed, by a drop of this
            // future or by the end of this process, the supervisor ends everything.
            let mut wanted = Some(stdin);
            let mut output = Output::default();
            let mut said = Vec::new();
            let work = async {
                let printed = async {
                    let most = self.limits.output_bytes;
                    let collected = collect(&mut stderr, &mut output, most, patience).await;
                    if collected != Collected::All {
                        wanted.take();
                        // The pipe must not be full, or the end of what is printed would not come.
                        tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await.ok();
                    }
                    collected
                };
                tokio::join!(printed, stdout.read_to_end(&mut said)).0
            };
            let limit = Duration::from_secs(check.timeout_s).saturating_add(GRACE);
            let collected = tokio::time::timeout(limit, work)
                .await
                .context("the supervisor of the check does not end")?;
            drop(wanted);
            let _ = child.wait().await;
            let report: Report = serde_json::from_slice(&said)
                .with_context(|| format!("the supervisor of the check failed: {}", output.text().trim()))?;
            if let Some(why) = report.not_started {
                anyhow::bail!("{why}");
            }
            Ok(Ran::new(report, output, &order.limits, collected))
        }
    }

    impl Ran {
        fn new(report: Report, output: Output, limits: &Limits, collected: Collected) -> Ran {
            let ended = collected.why(limits.output_bytes).or_else(|| match report.ended {
                None => None,
                Some(Ended::Timeout) => Some(format!("it ran longer than {} seconds", limits.seconds)),
                Some(Ended::Memory) => {
                    Some(format!("it held more than {} of memory", bytes(limits.memory_bytes)))
                }
                Some(Ended::Processes) => {
                    Some(format!("it had more than {} processes and threads", limits.processes))
                }
                Some(Ended::Disk) => {
                    Some(format!("it left less than {} free on the disk", bytes(limits.free_bytes)))
                }
                Some(Ended::Unwanted) => Some("nobody waited for it any more".to_owned()),
            });
            let mut text = output.text();
            if let Some(why) = &ended {
                let line_end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
                text.push_str(&format!("{line_end}[the check was ended: {why}]\n"));
            }
            let result = CheckResult {
                command: String::new(),
                passed: ended.is_none() && report.exit_code == Some(0),
                exit_code: report.exit_code.filter(|_| ended.is_none()),
                timed_out: report.ended == Some(Ended::Timeout) || matches!(collected, Collected::Silent(_)),
                output_tail: String::new(),
                millis: 0,
            };
            Ran { result, output: text, report }
        }
    }
}

#[cfg(not(unix))]
impl Runner {
    /// What a sandbox holds back here: nothing.
    ///
    /// # Errors
    /// None on this system.
    pub async fn sandbox(&self) -> anyhow::Result<Sandbox> {
        let why = "checks are not sandboxed and can do what you can: this system offers none";
        Ok(Sandbox { warning: Some(why.to_owned()), description: why.to_owned() })
    }

    async fn start(
        &self,
        check: &Check,
        folder: &Path,
        environment: BTreeMap<String, String>,
        _writable: Vec<PathBuf>,
        _workspace: &Workspace,
        // What it prints comes in two ways here, of which one may rightly be silent.
        _patience: Option<Duration>,
    ) -> anyhow::Result<Ran> {
        let mut command = Command::new(&check.argv[0]);
        command.args(&check.argv[1..]).current_dir(folder).env_clear().envs(environment);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| {
            format!("cannot start the check {:?}; is it installed and on the PATH?", check.argv[0])
        })?;
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let (mut printed, mut errors) = (Output::default(), Output::default());
        let most = self.limits.output_bytes;
        let finished = tokio::time::timeout(Duration::from_secs(check.timeout_s), async {
            if let (Some(stdout), Some(stderr)) = (&mut stdout, &mut stderr) {
                tokio::join!(
                    collect(stdout, &mut printed, most, None),
                    collect(stderr, &mut errors, most, None)
                );
            }
            child.wait().await
        })
        .await;
        let output = printed.text() + &errors.text();
        let (code, timed_out) = match finished {
            Ok(status) => (status.context("cannot wait for the check")?.code(), false),
            Err(_) => (None, true),
        };
        let result = CheckResult {
            command: String::new(),
            passed: code == Some(0),
            exit_code: code,
            timed_out,
            output_tail: String::new(),
            millis: 0,
        };
        Ok(Ran { result, output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_with_a_line() {
        assert_eq!(tail("abc", 10), "abc");
        assert_eq!(tail("one\ntwo\nthree\n", 8), "three\n");
        assert_eq!(tail("äääää", 5), "ää");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_stays_inside() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("/", root.path().join("out")).unwrap();
        assert!(inside(root.path(), "").is_ok() && inside(root.path(), "sub").is_ok());
        assert!(inside(root.path(), "out").unwrap_err().to_string().contains("leads out"));
        assert!(inside(root.path(), "..").unwrap_err().to_string().contains("leads out"));
        assert!(inside(root.path(), "none").unwrap_err().to_string().contains("not there"));
    }
}
