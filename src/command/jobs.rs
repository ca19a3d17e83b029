//! `countersign run --detach` and `countersign jobs`: runs that go on without a terminal.

use std::fmt::Write as _;
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::{JobArgs, JobsCommand, JsonFlag};
use crate::command::{Finished, json, run};
use crate::config::{self, Config};
use crate::failure::OrUsage as _;
use crate::job::{Job, JobStore, State};
use crate::pending::PendingStore;
use crate::sanitize::visible;
use crate::session;
use crate::ui::terminal::screen::Screen;
use crate::ui::terminal::view::View;

/// How often a job that is watched is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a job that is told to stop may take: an apply that has begun is finished first.
const STOPS_WITHIN: Duration = Duration::from_secs(15);
/// How much of what a run printed is shown.
const MOST_OUTPUT: usize = 64 * 1024;

fn store(config: &Config) -> JobStore {
    JobStore::in_folder(&config.data.jobs())
}

fn pending(config: &Config) -> PendingStore {
    PendingStore::in_folder(&config.data.pending())
}

fn state(config: &Config, job: &Job) -> anyhow::Result<State> {
    store(config).state(job, &config.data.sessions(), &pending(config))
}

/// Starts this very command line again, without its terminal.
pub fn detach(config: &Config, request: &str) -> anyhow::Result<Finished> {
    let jobs = store(config);
    jobs.collect(&config.data.sessions(), &pending(config))?;
    let job = jobs.create(request)?;
    let output = File::create(jobs.output(&job)).context("cannot create the job's output file")?;
    let errors = output.try_clone().context("cannot share the job's output file")?;
    let program = std::env::current_exe().context("cannot find this program to start it again")?;
    let mut command = Command::new(program);
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // What follows `--` is the request, whatever it looks like.
    let flags = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    let is_ours = |(at, argument): &(usize, &std::ffi::OsString)| *at < flags && *argument == "--detach";
    command.args(arguments.iter().enumerate().filter(|one| !is_ours(one)).map(|(_, argument)| argument));
    command.env(config::JOB, &job.id);
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    command.spawn().context("cannot start the job")?;
    let text = format!(
        "{}\n`countersign jobs attach {}` watches it; what it proposes waits for `countersign review`\n",
        job.id, job.id
    );
    Ok(text.into())
}

pub async fn jobs(config: &Config, command: JobsCommand) -> anyhow::Result<Finished> {
    let known = "`countersign jobs list` shows them.";
    match command {
        JobsCommand::List(JsonFlag { json }) => list(config, json).map(Finished::from),
        JobsCommand::Logs(JobArgs { job }) => {
            logs(config, &store(config).find(&job).or_usage(known)?).map(Finished::from)
        }
        JobsCommand::Cancel(JobArgs { job }) => {
            cancel(config, &store(config).find(&job).or_usage(known)?).await.map(Finished::from)
        }
        JobsCommand::Attach(JobArgs { job }) => {
            attach(config, &store(config).find(&job).or_usage(known)?).await
        }
    }
}

/// A job with its state, for programs.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    job: Job,
    state: State,
}

fn list(config: &Config, as_json: bool) -> anyhow::Result<String> {
    let rows = store(config).list()?.into_iter().map(|job| {
        let state = state(config, &job)?;
        Ok(Row { job, state })
    });
    let rows: Vec<Row> = rows.collect::<anyhow::Result<_>>()?;
    if as_json {
        return json(&rows);
    }
    if rows.is_empty() {
        return Ok("no jobs in this repository; `countersign run --detach \"…\"` starts one\n".into());
    }
    let mut text = String::new();
    for Row { job, state } in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  {}  {}", job.id, state.describe(), visible(&job.request));
    }
    Ok(text)
}

fn logs(config: &Config, job: &Job) -> anyhow::Result<String> {
    let mut text = match &job.session {
        Some(session) => crate::ui::transcript(&session::replay(&config.data.sessions(), session)?.envelopes),
        None => String::new(),
    };
    // What went wrong before there was a session is only here.
    let printed = std::fs::read(store(config).output(job)).unwrap_or_default();
    if job.session.is_none() && !printed.is_empty() {
        let from = printed.len().saturating_sub(MOST_OUTPUT);
        let printed = String::from_utf8_lossy(&printed[from..]).into_owned();
        printed.lines().for_each(|line| text += &(visible(line).into_owned() + "\n"));
    }
    text += &format!("job {}: {}\n", job.id, state(config, job)?.describe());
    Ok(text)
}

async fn cancel(config: &Config, job: &Job) -> anyhow::Result<String> {
    let before = state(config, job)?;
    let Some(pid) = job.pid.filter(|_| before == State::Running) else {
        return Ok(format!("job {} is {}; there is nothing to cancel\n", job.id, before.describe()));
    };
    terminate(pid)?;
    let began = tokio::time::Instant::now();
    while began.elapsed() < STOPS_WITHIN {
        let now = state(config, job)?;
        if now.is_over() {
            return Ok(format!("job {} is {}\n", job.id, now.describe()));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(format!("job {} was told to stop and is still at work\n", job.id))
}

/// The lock says that the process lives and is ours, so that its id is its own.
#[cfg(unix)]
fn terminate(pid: u32) -> anyhow::Result<()> {
    let pid = rustix::process::Pid::from_raw(pid as i32).context("the job has no valid process id")?;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("cannot stop the job")
}

#[cfg(not(unix))]
fn terminate(pid: u32) -> anyhow::Result<()> {
    let status = Command::new("taskkill").args(["/PID", &pid.to_string()]).status();
    let status = status.context("cannot run taskkill")?;
    anyhow::ensure!(status.success(), "taskkill could not stop the job");
    Ok(())
}

/// Shows what happens in a job until it is over. Ctrl-C leaves the job at work.
async fn attach(config: &Config, job: &Job) -> anyhow::Result<Finished> {
    let settings = run::settings(config);
    let mut screen = Screen::of_process(&settings);
    let (mut view, mut shown) = (View::default(), 0);
    loop {
        let job = store(config).find(&job.id)?;
        // Asked before the log is read, so that nothing is missed at the end.
        let state = state(config, &job)?;
        if let Some(session) = &job.session {
            let envelopes = session::replay(&config.data.sessions(), session)?.envelopes;
            for envelope in envelopes.iter().skip(shown) {
                screen.print(&view.lines(&envelope.event, settings.columns()));
            }
            shown = envelopes.len();
        }
        if state.is_over() {
            return Ok(format!("job {} is {}\n", job.id, state.describe()).into());
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot listen for Ctrl-C")?;
                return Ok(format!("job {} goes on\n", job.id).into());
            }
        }
    }
}
