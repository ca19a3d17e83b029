//! Runs that go on without a terminal: what is known of each, and whether it still lives.
//!
//! One folder a job in the repository's data directory: `job.json`, what the run printed, and a lock
//! that the running process holds, so that a crash is told from work that goes on and a process id
//! that was given out again harms nobody. What happened in it is in its session's log. It must not
//! start processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::pending::PendingStore;
use crate::protocol::{Event, Outcome};
use crate::session;

/// Jobs that are kept; the oldest that is over goes first.
const MOST_KEPT: usize = 100;

/// How long a job's lock may be held by others before it is taken for a running process.
const PATIENCE: Duration = Duration::from_secs(2);

/// The jobs of one repository.
#[derive(Debug, Clone)]
pub struct JobStore {
    folder: PathBuf,
}

/// One job, as it was written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: String,
    pub request: String,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Known once the run has begun.
    pub session: Option<String>,
    pub pid: Option<u32>,
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its process has not begun yet.
    Queued,
    Running,
    /// It is over, and its patch waits for `countersign review`.
    WaitingForApproval,
    Done,
    Failed,
    Cancelled,
    /// Its process ended without an outcome.
    Crashed,
}

impl State {
    /// The state for people.
    pub fn describe(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::WaitingForApproval => "waiting for approval",
            State::Done => "done",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Crashed => "crashed",
        }
    }

    /// Whether nothing more happens by itself.
    pub fn is_over(self) -> bool {
        !matches!(self, State::Queued | State::Running)
    }
}

/// Held by the process that runs a job.
#[derive(Debug)]
pub struct Held {
    _lock: File,
}

impl JobStore {
    pub fn in_folder(folder: &Path) -> JobStore {
        JobStore { folder: folder.to_owned() }
    }

    /// Writes a new job down. Ids are times, as those of sessions, and sort by age.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create(&self, request: &str) -> anyhow::Result<Job> {
        crate::disk::private_folder(&self.folder)?;
        let now = crate::clock::stamp();
        let made = crate::disk::under_free_id(&now, |id| std::fs::create_dir(self.folder.join(id)));
        let made = made.context("cannot create a job")?;
        let (id, ()) = made.context("a thousand jobs began in one second")?;
        let at_ms = crate::clock::now_ms();
        let job = Job { id, request: request.to_owned(), at_ms, session: None, pid: None };
        self.write(&job)?;
        Ok(job)
    }

    /// Where the run prints.
    pub fn output(&self, job: &Job) -> PathBuf {
        self.folder.join(&job.id).join("output.txt")
    }

    /// Marks a job as running in this process, until the result is dropped or the process ends.
    ///
    /// # Errors
    /// Another process runs it already, or what the disk says.
    pub fn begin(&self, id: &str, session: &str) -> anyhow::Result<Held> {
        let lock = self.lock(id)?;
        let began = Instant::now();
        // Whoever asks for a job's state holds the lock for a moment, too.
        while lock.try_lock().is_err() {
            ensure!(began.elapsed() < PATIENCE, "the job {id} runs already");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut job = self.find(id)?;
        (job.session, job.pid) = (Some(session.to_owned()), Some(std::process::id()));
        self.write(&job)?;
        Ok(Held { _lock: lock })
    }

    /// All jobs, the oldest first.
    pub fn list(&self) -> anyhow::Result<Vec<Job>> {
        let mut jobs: Vec<Job> = self.ids()?.iter().filter_map(|id| self.read(id).ok()).collect();
        jobs.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(jobs)
    }

    /// A job by its id or the beginning of it.
    ///
    /// # Errors
    /// None or several fit.
    pub fn find(&self, id: &str) -> anyhow::Result<Job> {
        let ids = self.ids()?;
        let fitting: Vec<&String> = ids.iter().filter(|known| known.starts_with(id)).collect();
        match fitting.as_slice() {
            [one] => self.read(one),
            _ if ids.iter().any(|known| known == id) => self.read(id),
            [] => bail!("there is no job {id:?}; `countersign jobs list` shows them"),
            several => bail!("{id:?} fits {} jobs; write more of it", several.len()),
        }
    }

    /// Where a job is in its life.
    pub fn state(&self, job: &Job, sessions: &Path, pending: &PendingStore) -> anyhow::Result<State> {
        // Asked first: a process that ends in between has written its outcome before.
        let lives = self.lock(&job.id)?.try_lock().is_err();
        let Some(id) = &job.session else {
            // A process that has not begun after so long never will.
            let waits = crate::clock::now_ms().saturating_sub(job.at_ms) < 60_000;
            return Ok(if lives || waits { State::Queued } else { State::Crashed });
        };
        let replayed = session::replay(sessions, id)?;
        let outcome = replayed.envelopes.into_iter().rev().find_map(|envelope| match envelope.event {
            Event::TurnFinished { outcome, .. } => Some(outcome),
            _ => None,
        });
        Ok(match outcome {
            None if lives => State::Running,
            None => State::Crashed,
            Some(Outcome::Pending { id, .. }) => match pending.find(&id) {
                Ok(_) => State::WaitingForApproval,
                Err(_) => State::Done,
            },
            Some(Outcome::Done { .. } | Outcome::Declined { .. }) => State::Done,
            Some(Outcome::Cancelled) => State::Cancelled,
            Some(_) => State::Failed,
        })
    }

    /// Removes the oldest jobs that are over, so that not too many are kept.
    pub fn collect(&self, sessions: &Path, pending: &PendingStore) -> anyhow::Result<()> {
        let jobs = self.list()?;
        let surplus = jobs.len().saturating_sub(MOST_KEPT);
        let over = |job: &&Job| self.state(job, sessions, pending).is_ok_and(State::is_over);
        for job in jobs.iter().filter(over).take(surplus) {
            std::fs::remove_dir_all(self.folder.join(&job.id)).context("cannot remove an old job")?;
        }
        Ok(())
    }

    fn ids(&self) -> anyhow::Result<Vec<String>> {
        let entries = crate::disk::entries(&self.folder)?.into_iter().flatten();
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn read(&self, id: &str) -> anyhow::Result<Job> {
        let path = self.folder.join(id).join("job.json");
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("the job {id} is damaged"))
    }

    fn write(&self, job: &Job) -> anyhow::Result<()> {
        let folder = self.folder.join(&job.id);
        let written = crate::disk::replace(&folder.join("job.json"), &serde_json::to_vec_pretty(job)?);
        written.with_context(|| format!("cannot write the job {}", job.id))
    }

    fn lock(&self, id: &str) -> anyhow::Result<File> {
        let path = self.folder.join(id).join("lock");
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        opened.with_context(|| format!("cannot open {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Envelope, PROTOCOL_VERSION, Usage};
    use crate::session::SessionLog;

    struct Place {
        folder: tempfile::TempDir,
        jobs: JobStore,
    }

    impl Place {
        fn new() -> Place {
            let folder = tempfile::tempdir().unwrap();
            let jobs = JobStore::in_folder(&folder.path().join("jobs"));
            Place { folder, jobs }
        }

        fn state(&self, id: &str) -> State {
            let pending = PendingStore::in_folder(&self.folder.path().join("pending"));
            let job = self.jobs.find(id).unwrap();
            self.jobs.state(&job, &self.folder.path().join("sessions"), &pending).unwrap()
        }

        fn session(&self) -> (String, SessionLog) {
            SessionLog::create(&self.folder.path().join("sessions"), "20260101-000000").unwrap()
        }
    }

    fn ended(outcome: Outcome) -> Envelope {
        let event = Event::TurnFinished { turn: 1, outcome, usage: Usage::default(), millis: 1 };
        Envelope { v: PROTOCOL_VERSION, seq: 1, at_ms: 0, event }
    }

    #[test]
    fn a_job_is_queued_then_runs_and_then_is_what_its_outcome_says() {
        let place = Place::new();
        let job = place.jobs.create("do it").unwrap();
        assert_eq!(place.state(&job.id), State::Queued);
        let (session, mut log) = place.session();
        let held = place.jobs.begin(&job.id, &session).unwrap();
        assert_eq!(place.state(&job.id), State::Running);
        assert!(place.jobs.begin(&job.id, &session).unwrap_err().to_string().contains("runs already"));
        log.append(&ended(Outcome::Cancelled)).unwrap();
        drop(held);
        assert_eq!(place.state(&job.id), State::Cancelled);
        assert_eq!(place.jobs.list().unwrap()[0].pid, Some(std::process::id()));
    }

    #[test]
    fn a_process_that_ends_without_an_outcome_has_crashed_and_the_others_stay_whole() {
        let place = Place::new();
        let (one, two) = (place.jobs.create("one").unwrap(), place.jobs.create("two").unwrap());
        let (session, _log) = place.session();
        drop(place.jobs.begin(&one.id, &session).unwrap());
        assert_eq!(place.state(&one.id), State::Crashed);
        assert_eq!(place.state(&two.id), State::Queued);
        std::fs::write(place.folder.path().join("jobs").join(&one.id).join("job.json"), "{").unwrap();
        let left: Vec<String> = place.jobs.list().unwrap().into_iter().map(|job| job.id).collect();
        assert_eq!(left, std::slice::from_ref(&two.id));
        assert!(place.jobs.find("x").unwrap_err().to_string().contains("no job"));
        assert!(place.jobs.find(&one.id[..8]).unwrap_err().to_string().contains("fits 2 jobs"));
    }

    #[test]
    fn a_patch_that_nobody_decided_about_makes_a_job_wait() {
        let place = Place::new();
        let job = place.jobs.create("x").unwrap();
        let (session, mut log) = place.session();
        let held = place.jobs.begin(&job.id, &session).unwrap();
        log.append(&ended(Outcome::Pending { applied: 0, pending: 1, id: "000001".into() })).unwrap();
        drop(held);
        // It was decided about since.
        assert_eq!(place.state(&job.id), State::Done);
        let pending = PendingStore::in_folder(&place.folder.path().join("pending"));
        let note = crate::pending::Note::new(&session, "x", "x");
        pending.keep(&crate::edit::PatchSet::default(), note).unwrap();
        assert_eq!(place.state(&job.id), State::WaitingForApproval);
    }
}
