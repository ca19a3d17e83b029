//! Parse, run, exit code. It decides nothing.
#![allow(clippy::print_stderr, reason = "errors are for people, and this is where they end")]

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
#[cfg(unix)]
use countersign::check::supervise;
use countersign::cli::Cli;
use countersign::command;
use countersign::config::Environment;
use countersign::failure::Failure;
use countersign::sanitize::visible;

fn main() -> ExitCode {
    // Before any thread is started: a user namespace asks for that. It is no command for people, so it
    // is in neither help nor completions.
    #[cfg(unix)]
    if let Some(ended) = supervise::asked(std::env::args_os().skip(1)) {
        return match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let cli = Cli::parse();
    let environment = Environment::of_process();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let finished = runtime.block_on(command::dispatch(cli, &environment));
    // A question on the terminal may still hold a thread; nothing is left to wait for.
    runtime.shutdown_background();
    match finished {
        Ok(finished) => match std::io::stdout().write_all(finished.text.as_bytes()) {
            Ok(()) => ExitCode::from(finished.code),
            // Whoever reads has had enough, as in `countersign context … | head`.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(finished.code),
            Err(error) => {
                eprintln!("error: cannot write to stdout: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            let failure = Failure::of(&error);
            eprintln!("error: {}", visible(&failure.message));
            eprintln!("{}", failure.advice);
            ExitCode::from(failure.kind.code())
        }
    }
}
