//! Checks that try to get out of their sandbox, to stay behind, or to use up the machine. Each attempt
//! is made by a program of its own and must fail; what a check needs must work.

mod agreement;
mod copies;
mod escapes;
mod limits;
mod lingering;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::Stdio;

use countersign::check::order::{Confinement, Ended, Network};
use countersign::check::run::{Ran, Variables};
use countersign::check::scratch::Workspace;
use countersign::check::{self, Check, Limits, Runner, Source};
use countersign::edit::PatchSet;
use countersign::edit::anchor::Tier;
use countersign::edit::patch::{FileChange, Side};
use countersign::protocol::Event;
use serde_json::json;

use crate::support::{CRATE, GREETER, Place, accept_all, cargo_folders, plan, replace};

fn runner(place: &Place) -> Runner {
    let variables = [
        ("PATH", std::env::var("PATH").unwrap()),
        ("HOME", place.root().join("../home").canonicalize().unwrap().display().to_string()),
        ("OPENAI_API_KEY", "sk-secret".to_owned()),
        ("SOMETHING_ELSE", "not passed on".to_owned()),
    ];
    Runner {
        program: PathBuf::from(env!("CARGO_BIN_EXE_countersign")),
        root: place.root().canonicalize().unwrap(),
        folder: place.data().join("checks"),
        hidden: vec![place.data(), place.config()],
        variables: Variables(variables.map(|(name, value)| (name.to_owned(), value)).into()),
        limits: Limits::of_machine(),
        paces: Default::default(),
        tried: Default::default(),
    }
}

/// What the sandbox holds back on this machine; `None`, with a message, where files are not confined.
#[expect(clippy::print_stderr, reason = "a test that is skipped has to say so")]
async fn confined(runner: &Runner) -> Option<Confinement> {
    let confinement = runner.confinement().await.unwrap();
    if !confinement.holds() {
        eprintln!("SKIPPED, this test proves nothing here: {}", confinement.describe());
        return None;
    }
    Some(confinement)
}

fn python(script: &str, arguments: &[&str]) -> Check {
    let argv = ["python3", "-c", script].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
    Check { timeout_s: 120, ..Check::of(argv, Source::Typed) }
}

/// A copy of the place's tree without changes.
fn copy(runner: &Runner) -> Workspace {
    let workspace = runner.workspace().unwrap();
    workspace.fill(&runner.root, &PatchSet::derive(Vec::new())).unwrap();
    workspace
}

async fn run(runner: &Runner, check: &Check) -> Ran {
    runner.run(check, &copy(runner), check::Place::Scratch).await.unwrap()
}

/// Defines `attempt(name, action)`, which prints whether the action got through.
const ATTEMPT: &str = r#"
import ctypes, os, shutil, socket, sys
def attempt(name, action):
    try:
        result = action()
        print(name, "got through", result)
    except OSError as error:
        print(name, "refused", error.strerror)
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    result = getattr(libc, function)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
"#;

/// Runs attempts and asserts that all of these, and no others, were refused.
#[track_caller]
fn all_refused(ran: &Ran, names: &[&str]) {
    let refused: Vec<&str> =
        ran.output.lines().filter_map(|line| Some(line.split_once(" refused")?.0)).collect();
    assert_eq!(refused, names, "{}", ran.output);
    assert!(!ran.output.contains("got through"), "{}", ran.output);
    assert!(ran.result.passed, "{ran:?}");
}

fn version_2() -> [serde_json::Value; 2] {
    [
        plan(&[("edit", "greeter/cli.py", "version", "return 2.0")]),
        replace("greeter/cli.py", "    return \"1.0\"", "    return \"2.0\""),
    ]
}
