//! What a check leaves running must end with it.

use super::*;

/// A pipe that a check can only open for reading: writing to it shows when the last reader is gone.
struct Alive(PathBuf);

impl Alive {
    fn new(place: &Place) -> Alive {
        let path = place.root().join("../alive");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        Alive(path.canonicalize().unwrap())
    }

    /// Waits until somebody has opened it.
    fn opened(&self) -> std::fs::File {
        std::fs::OpenOptions::new().write(true).open(&self.0).unwrap()
    }

    /// Waits until nobody has it open any more.
    fn gone(mut pipe: std::fs::File) {
        let error = loop {
            // Nobody reads: this blocks once the pipe is full, and ends with the last reader.
            if let Err(error) = pipe.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

/// Becomes a daemon by the book, which holds the pipe open; the first process goes on after it has.
const DAEMON: &str = r#"
import os, sys, time
ready, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        alive = os.open(sys.argv[1], os.O_RDONLY)
        os.write(told, b"x")
        os.close(told)
        time.sleep(600)
    os._exit(0)
os.read(ready, 1)
"#;

#[tokio::test]
async fn a_daemon_does_not_outlive_its_check() {
    let place = Place::new(GREETER);
    let (runner, alive) = (runner(&place), Alive::new(&place));
    let check = python(DAEMON, &[alive.path()]);
    let running = tokio::spawn(async move { run(&runner, &check).await });
    let pipe = tokio::task::spawn_blocking(move || alive.opened()).await.unwrap();
    let ran = running.await.unwrap();
    assert!(ran.result.passed && ran.report.left_behind >= 1, "{ran:?}");
    tokio::task::spawn_blocking(move || Alive::gone(pipe)).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_check_leaves_nothing_running() {
    let place = Place::new(GREETER);
    let (runner, alive) = (runner(&place), Alive::new(&place));
    let check = python(&format!("{DAEMON}\ntime.sleep(600)"), &[alive.path()]);
    let running = tokio::spawn(async move { run(&runner, &check).await });
    let pipe = tokio::task::spawn_blocking(move || alive.opened()).await.unwrap();
    running.abort();
    tokio::task::spawn_blocking(move || Alive::gone(pipe)).await.unwrap();
}

#[test]
fn a_check_ends_with_a_countersign_that_was_killed() {
    let place = Place::new(GREETER);
    let alive = Alive::new(&place);
    let script = place.script(&version_2());
    let check = python(&format!("{DAEMON}\ntime.sleep(600)"), &[alive.path()]).command_line();
    // The shell operators of the program are inside quotes.
    let mut command = place.command();
    command.args(["run", "--json", "--check", &check, "--script"]).arg(script).arg("version 2.0");
    let mut countersign = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pipe = alive.opened();
    countersign.kill().unwrap();
    countersign.wait().unwrap();
    Alive::gone(pipe);
}
