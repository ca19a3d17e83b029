//! What a check may use up: processes, memory, output, disk and time.

use super::*;

/// Runs a check under other limits and says how it was ended.
async fn ended(script: &str, limits: impl FnOnce(&mut Limits)) -> Ran {
    let place = Place::new(GREETER);
    let mut runner = runner(&place);
    limits(&mut runner.limits);
    run(&runner, &python(script, &[])).await
}

#[tokio::test]
async fn many_processes_are_ended() {
    let script = "import os, time\n\
         for _ in range(10_000):\n    if os.fork() == 0:\n        time.sleep(600)\n\
         time.sleep(600)";
    let ran = ended(script, |limits| limits.processes = 60).await;
    // A user who is not root meets the kernel's limit first, and the program ends by itself.
    assert!(ran.report.ended == Some(Ended::Processes) || ran.output.contains("BlockingIOError"), "{ran:?}");
    assert!(!ran.result.passed, "{ran:?}");
}

#[tokio::test]
async fn memory_is_limited_for_all_processes_together() {
    let script = "import os, time\n\
         for _ in range(8):\n    if os.fork() == 0:\n        break\n\
         held = bytearray(100 << 20)\ntime.sleep(600)";
    let ran = ended(script, |limits| limits.memory_bytes = 400 << 20).await;
    assert_eq!(ran.report.ended, Some(Ended::Memory), "{ran:?}");
    assert!(ran.output.contains("more than 400 MiB of memory"), "{ran:?}");
}

#[tokio::test]
async fn output_is_limited_and_bounded() {
    let ran = ended("while True: print('y' * 1000)", |limits| limits.output_bytes = 4 << 20).await;
    assert!(!ran.result.passed && ran.output.contains("printed more than 4 MiB"), "{}", ran.output.len());
    assert!(ran.output.len() < 70 * 1024 && ran.result.output_tail.len() <= 4096);
}

#[tokio::test]
async fn a_large_file_is_cut_off() {
    let script = "open('large', 'wb').write(bytes(3 << 20))";
    let ran = ended(script, |limits| limits.file_bytes = 1 << 20).await;
    assert!(!ran.result.passed && ran.output.contains("File too large"), "{ran:?}");
}

#[tokio::test]
async fn the_disk_is_not_filled() {
    // More than any disk has free: the check is ended before it has written anything.
    let ran = ended("import time\ntime.sleep(600)", |limits| limits.free_bytes = u64::MAX).await;
    assert_eq!(ran.report.ended, Some(Ended::Disk), "{ran:?}");
}

#[tokio::test]
async fn a_check_that_hangs_is_ended() {
    let place = Place::new(GREETER);
    let check =
        Check { timeout_s: 1, ..python("import time\nprint('here', flush=True)\ntime.sleep(600)", &[]) };
    let ran = run(&runner(&place), &check).await;
    assert!(ran.result.timed_out && !ran.result.passed && ran.result.exit_code.is_none(), "{ran:?}");
    assert!(ran.output.contains("ran longer than 1 seconds"), "{ran:?}");
}

/// A loop without an end must not take all the time that a check has for its work.
#[tokio::test]
async fn a_check_that_falls_silent_is_ended_once_its_pace_is_known() {
    let place = Place::new(GREETER);
    let mut runner = runner(&place);
    runner.limits.silence_s = 1;
    let script =
        "import os, time\nprint('here', flush=True)\nif os.path.exists('hangs'):\n    time.sleep(600)";
    let check = python(script, &[]);
    let whole = run(&runner, &check).await;
    assert!(whole.result.passed, "{whole:?}");
    let workspace = copy(&runner);
    std::fs::write(workspace.tree().join("hangs"), "").unwrap();
    let began = std::time::Instant::now();
    let silent = runner.run(&check, &workspace, check::Place::Scratch).await.unwrap();
    assert!(
        silent.result.timed_out && !silent.result.passed && silent.result.exit_code.is_none(),
        "{silent:?}"
    );
    assert!(silent.output.contains("here") && silent.output.contains("it printed nothing for"), "{silent:?}");
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    assert!(check::tells_of_no_end(&silent.output));
}

#[tokio::test]
async fn results_are_told_apart() {
    let place = Place::new(GREETER);
    let runner = runner(&place);
    assert!(run(&runner, &python("", &[])).await.result.passed);
    let failed = run(&runner, &python("import sys\nprint('why', file=sys.stderr)\nsys.exit(3)", &[])).await;
    assert_eq!((failed.result.passed, failed.result.exit_code), (false, Some(3)));
    assert_eq!(failed.output, "why\n");
    let killed = run(&runner, &python("import os\nos.kill(os.getpid(), 9)", &[])).await;
    assert_eq!((killed.result.passed, killed.report.signal), (false, Some(9)));
    let missing = Check::of(vec!["no-such-program-anywhere".into()], Source::Typed);
    let error = runner.run(&missing, &copy(&runner), check::Place::Scratch).await.unwrap_err();
    assert!(error.to_string().contains("on the PATH"), "{error:#}");
}
