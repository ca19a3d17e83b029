//! The process between countersign and a check. It starts the check inside the sandbox while staying
//! outside itself, holds it to its limits, and ends all that it started: when it is over, when a limit
//! is reached, and when countersign is gone, however it ended.
//!
//! `countersign __supervise watch` reads an [`Order`] from its standard input, which stays open as long
//! as somebody wants the check; it writes a [`Report`] to standard output, and the check's output goes
//! to its standard error. `enter` is the process that becomes the check; `probe` says what a sandbox
//! holds back here. Single-threaded at its start: a user namespace asks for that.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead as _, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus};

use super::order::{Confinement, Ended, Network, Order, Report};
use super::process::{self, Process};
use super::sandbox::{self, Isolation};

/// How often the check is looked after.
const TICK: Duration = Duration::from_millis(20);
/// How often its processes and the disk are measured, in ticks: reading `/proc` costs milliseconds.
const MEASURE_EVERY: u32 = 10;
/// First line of the process that becomes the check.
const READY: &str = "ready\n";

/// The first argument of such a process.
pub const WORD: &str = "__supervise";

/// What it is asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Look after a check.
    Watch,
    /// Become a check.
    Enter,
    /// Say what a sandbox holds back here.
    Probe,
    /// Say whether a network of its own is part of that.
    ProbeNetwork,
}

/// Runs what these arguments ask for to its end; `None` when they are for somebody else. An error is a
/// failure of the supervisor itself; what happens to the check is in the report.
pub fn asked(mut arguments: impl Iterator<Item = OsString>) -> Option<anyhow::Result<()>> {
    if arguments.next()? != WORD {
        return None;
    }
    let word = arguments.next().unwrap_or_default();
    let part = <Part as clap::ValueEnum>::from_str(&word.to_string_lossy(), false);
    Some(part.map_err(anyhow::Error::msg).and_then(run))
}

fn run(part: Part) -> anyhow::Result<()> {
    match part {
        Part::Watch => watch(),
        Part::Enter => enter(),
        Part::Probe => say(&probe()),
        Part::ProbeNetwork => {
            let tried = sandbox::enter(&[], &[], Isolation::Namespace);
            say(&tried.map_err(|error| format!("{error:#}")))
        }
    }
}

fn say(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    serde_json::to_writer(&mut stdout, value)?;
    Ok(stdout.flush()?)
}

/// Tries the sandbox on this process.
fn probe() -> Confinement {
    // A user namespace can fail halfway and leave its process useless, so another one tries it.
    let tried = own_program("probe-network")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|error| error.to_string())
        .and_then(|output| serde_json::from_slice(&output.stdout).map_err(|error| error.to_string()))
        .flatten();
    let why = match tried {
        Ok(confinement) => return confinement,
        Err(why) => why,
    };
    match sandbox::enter(&[], &[], Isolation::Filter) {
        Ok(mut confinement) => {
            if confinement.network == Network::Closed {
                let cost = format!("tests cannot reach servers of their own either ({why})");
                confinement.missing.push(cost);
            }
            confinement
        }
        Err(error) => {
            let missing = vec![format!("it cannot be entered: {error:#}")];
            Confinement { missing, ..Confinement::default() }
        }
    }
}

fn own_program(part: &str) -> Command {
    // By the link, so that a binary that was replaced meanwhile still starts itself.
    let mut command = match cfg!(target_os = "linux") {
        true => Command::new("/proc/self/exe"),
        false => Command::new(std::env::current_exe().unwrap_or_default()),
    };
    command.env_clear().args([WORD, part]);
    command
}

fn watch() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("cannot read the order")?;
    let order: Order = serde_json::from_str(&line).context("the order cannot be read")?;
    // Held until the last process is dead, so that nobody else uses the folder before.
    let _busy = match &order.busy {
        None => None,
        Some(path) => {
            let file = File::create(path).with_context(|| format!("{}", path.display()))?;
            file.lock().context("the folder of the check is in use")?;
            Some(file)
        }
    };
    // What the check leaves behind becomes a child of this process instead of vanishing.
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("cannot become the parent of what a check leaves behind")?;
    let (gone, unwanted) = mpsc::channel();
    std::thread::spawn(move || {
        // Whatever is read: the end of the input means that nobody waits any more.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = gone.send(());
    });
    let report = start(&order)
        .map(|check| attend(check, &order, &unwanted))
        .unwrap_or_else(|error| Report { not_started: Some(format!("{error:#}")), ..Report::default() });
    say(&report)
}

/// Starts the process that becomes the check, and returns when it has.
fn start(order: &Order) -> anyhow::Result<Pid> {
    let mut child = own_program("enter")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a process")?;
    let pid = Pid::from_raw(child.id() as i32).context("a process without a number")?;
    let mut stdout = child.stdout.take().context("no way to hear the process")?;
    let mut word = [0; READY.len()];
    // Only now it is bound to die with this process, so only now it learns what to do.
    stdout.read_exact(&mut word).context("the process ended at once")?;
    let mut stdin = child.stdin.take().context("no way to tell the process")?;
    stdin.write_all(&serde_json::to_vec(order)?)?;
    drop(stdin);
    // The pipe closes when the check itself has begun.
    let mut failure = String::new();
    stdout.read_to_string(&mut failure)?;
    if failure.is_empty() {
        return Ok(pid);
    }
    let _ = child.wait();
    Err(anyhow::Error::msg(failure))
}

/// Becomes the check, or says why not and fails.
fn enter() -> anyhow::Result<()> {
    // A copy that vanishes when the check begins: standard output is by then the check's own.
    let mut teller = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?);
    let error = match become_check(&mut teller) {
        Err(error) => error,
        Ok(never) => match never {},
    };
    teller.write_all(format!("{error:#}").as_bytes())?;
    Err(error)
}

fn become_check(teller: &mut File) -> anyhow::Result<std::convert::Infallible> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    teller.write_all(READY.as_bytes())?;
    let order: Order = serde_json::from_reader(std::io::stdin().lock()).context("no order came")?;
    // A session of its own: no terminal to type into, and a group that can be ended as one.
    rustix::process::setsid().context("cannot begin a session")?;
    limit(&order);
    // Should the machine run out of memory, the check goes first. Not every system knows how.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let isolation = if order.own_network { Isolation::Namespace } else { Isolation::Filter };
    if order.sandboxed {
        sandbox::enter(&order.hidden, &order.writable, isolation)?;
    }
    let (program, arguments) = order.argv.split_first().context("the check is empty")?;
    let output = rustix::io::dup(rustix::stdio::stderr()).context("no way to hear the check")?;
    let error = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&order.environment)
        .current_dir(&order.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::from(output))
        .exec();
    Err(error).with_context(|| {
        format!(
            "cannot start the check {program:?} in {}; is it installed and on the PATH?",
            order.folder.display()
        )
    })
}

/// Limits that the kernel keeps for each process.
fn limit(order: &Order) {
    let set = |resource, value: u64| {
        let hard = rustix::process::getrlimit(resource).maximum;
        let value = Some(hard.map_or(value, |hard| hard.min(value)));
        // Lowering a limit is always allowed.
        let _ = rustix::process::setrlimit(resource, Rlimit { current: value, maximum: value });
    };
    set(Resource::Fsize, order.limits.file_bytes);
    set(Resource::Core, 0);
    // This one counts all processes of the user, so what is there already is allowed for.
    let owner = rustix::process::getuid().as_raw();
    let present: u64 =
        process::all().iter().filter(|process| process.owner == owner).map(|process| process.threads).sum();
    if present > 0 {
        set(Resource::Nproc, present + order.limits.processes);
    }
}

/// Waits for the check, holds it to its limits, and ends everything.
fn attend(check: Pid, order: &Order, unwanted: &mpsc::Receiver<()>) -> Report {
    let began = Instant::now();
    let mut report = Report::default();
    let mut status = None;
    for tick in 0_u32.. {
        reap(check, &mut status);
        if status.is_some() {
            break;
        }
        if tick % MEASURE_EVERY == 0 {
            report.ended = measure(order, &mut report.most_memory);
        }
        if began.elapsed() >= Duration::from_secs(order.limits.seconds) {
            report.ended = Some(Ended::Timeout);
        }
        if report.ended.is_some() {
            break;
        }
        match unwanted.recv_timeout(TICK) {
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => report.ended = Some(Ended::Unwanted),
        }
        if report.ended.is_some() {
            break;
        }
    }
    report.left_behind = end_all(check, &mut status);
    if let Some(status) = status {
        report.exit_code = status.exit_status();
        report.signal = status.terminating_signal();
    }
    report
}

/// Takes note of processes that have ended; `status` is the check's own.
fn reap(check: Pid, status: &mut Option<WaitStatus>) {
    while let Ok(Some((pid, ended))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == check {
            *status = Some(ended);
        }
    }
}

/// The limit that the check has reached, if any.
fn measure(order: &Order, most_memory: &mut u64) -> Option<Ended> {
    let own = process::below(rustix::process::getpid().as_raw_nonzero().get(), &process::all());
    let memory: u64 = own.iter().map(|process: &Process| process.memory).sum();
    *most_memory = memory.max(*most_memory);
    if memory > order.limits.memory_bytes {
        return Some(Ended::Memory);
    }
    if own.iter().map(|process| process.threads).sum::<u64>() > order.limits.processes {
        return Some(Ended::Processes);
    }
    let full = order.writable.iter().any(|folder| {
        rustix::fs::statvfs(folder)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < order.limits.free_bytes)
    });
    full.then_some(Ended::Disk)
}

/// Kills everything below this process and counts what the check had left behind.
///
/// Only direct children are killed: their numbers cannot be given to others before this process has
/// taken note of their end. The children of a killed one become ours, so that the next round finds
/// them.
fn end_all(check: Pid, status: &mut Option<WaitStatus>) -> u32 {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut left_behind = BTreeSet::new();
    loop {
        reap(check, status);
        let children: Vec<Pid> = match cfg!(target_os = "linux") {
            true => {
                let all = process::all();
                let own = all.iter().filter(|process| process.parent == own);
                own.filter_map(|process| Pid::from_raw(process.pid)).collect()
            }
            // Elsewhere nobody hands orphans on: the check's group is all that can be found.
            false => {
                let _ = rustix::process::kill_process_group(check, Signal::KILL);
                Some(check).filter(|_| status.is_none()).into_iter().collect()
            }
        };
        if children.is_empty() {
            return left_behind.len() as u32;
        }
        for child in children {
            // An error means that it has ended by itself.
            if rustix::process::kill_process(child, Signal::KILL).is_ok() && child != check {
                left_behind.insert(child.as_raw_nonzero().get());
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
