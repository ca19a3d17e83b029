//! The interactive session: one line of input after another, as commands for whoever runs them.
//!
//! It must not run anything itself. [`parse`] is pure; [`run`] reads a line, hands the command to
//! its caller, and shows the errors, so that a failed request does not end the session.

use anyhow::Context;
use inquire::error::CustomUserError;
use inquire::{Autocomplete, Text};

use super::terminal::ask::{left, line, on_keyboard, release_terminal};
use super::terminal::keys::{Process, Wishes};
use super::terminal::screen::Screen;
use super::text::{Line, Tone};
use super::{Audience, Settings};

/// What the owner typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A request for the engine.
    Request(String),
    Undo,
    Redo,
    /// Show the evidence for a request, without a model.
    Context(String),
    Sessions,
    Help,
    Quit,
}

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    Leave,
}

/// Names, arguments and explanations, in the order of the help.
const COMMANDS: [(&str, &str, &str); 6] = [
    ("/context", " <request>", "show the evidence for a request, without a model"),
    ("/undo", "", "take back the last applied change"),
    ("/redo", "", "apply again what was taken back"),
    ("/sessions", "", "list earlier sessions"),
    ("/help", "", "show this list"),
    ("/quit", "", "leave (so does Ctrl-C, twice)"),
];

/// Reads a line as a command; `None` for an empty one. A word after `/` that could be a path
/// (`/src/main.rs is wrong`) starts a request.
///
/// # Errors
/// The sentence to show: an unknown command, or one with an argument too many or too few.
pub fn parse(line: &str) -> Result<Option<Command>, String> {
    let text = line.trim();
    // A space in front sends anything as a request.
    let is_command = line.starts_with('/')
        && text[1..].split_whitespace().next().is_none_or(|word| word.chars().all(char::is_alphabetic));
    if !is_command {
        let request = || Command::Request(text.to_string());
        return Ok((!text.is_empty()).then(request));
    }
    let (name, argument) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let argument = argument.trim();
    let command = match name {
        "/context" if argument.is_empty() => {
            return Err("/context needs a request, as in `/context parse errors`".into());
        }
        "/context" => return Ok(Some(Command::Context(argument.to_string()))),
        "/undo" => Command::Undo,
        "/redo" => Command::Redo,
        "/sessions" => Command::Sessions,
        "/help" | "/" => Command::Help,
        "/quit" | "/exit" => Command::Quit,
        _ => {
            return Err(format!(
                "there is no command {name}; /help lists them, and a space before the / sends the line as a request"
            ));
        }
    };
    match argument {
        "" => Ok(Some(command)),
        _ => Err(format!("{name} takes no argument; a space before the / sends the line as a request")),
    }
}

/// Reads commands and has them run, until the owner leaves. An error of `act` is shown and ends
/// nothing; `/help` is answered here.
///
/// # Errors
/// When there is no terminal to talk to.
pub async fn run(
    settings: &Settings,
    mut act: impl AsyncFnMut(Command) -> anyhow::Result<Flow>,
) -> anyhow::Result<()> {
    if settings.audience == Audience::Nobody {
        anyhow::bail!("a session needs a terminal; use `countersign run \"<request>\"` or `--json` instead");
    }
    let mut screen = Screen::of_process(settings);
    let mut history = Vec::new();
    screen.print(&[Line::new(Tone::Dim, "Type a request, or /help. Esc cancels what runs, /quit leaves.")]);
    let mut leaving = false;
    loop {
        let line = match read(settings, &history).await? {
            Ok(line) => line,
            // A key that was meant to cancel a turn may come just after its end.
            Err(Left::Key) if !leaving => {
                screen.print(&[Line::new(Tone::Dim, "once more leaves the session")]);
                leaving = true;
                continue;
            }
            Err(Left::Key) => return Ok(()),
            Err(Left::Signal) => {
                // The cursor is behind the prompt.
                screen.print(&[Line::default()]);
                return Ok(());
            }
        };
        leaving = false;
        let columns = settings.columns();
        let command = match parse(&line) {
            Ok(None) => continue,
            Ok(Some(command)) => command,
            Err(reason) => {
                screen.print(&Line::new(Tone::Warning, &reason).wrap(columns, 2));
                continue;
            }
        };
        history.retain(|earlier| *earlier != line);
        history.push(line);
        if command == Command::Help {
            screen.print(&help(columns));
            continue;
        }
        match act(command).await {
            Ok(Flow::Continue) => {}
            Ok(Flow::Leave) => return Ok(()),
            Err(error) => {
                let text = format!("error: {error:#}");
                let lines = text.lines().flat_map(|line| Line::new(Tone::Bad, line).wrap(columns, 2));
                screen.print(&lines.collect::<Vec<_>>());
            }
        }
    }
}

fn help(columns: usize) -> Vec<Line> {
    let line = |(name, argument, text): &(&str, &str, &str)| {
        let name = format!("  {:<20}", format!("{name}{argument}"));
        Line::new(Tone::Strong, &name).and(Tone::Plain, text).wrap(columns, 22)
    };
    let mut lines =
        Line::new(Tone::Plain, "Anything else is a request: say what should change.").wrap(columns, 2);
    lines.extend(COMMANDS.iter().flat_map(line));
    lines
}

/// How a prompt was left without a line.
enum Left {
    /// Esc, Ctrl-C, Ctrl-D.
    Key,
    Signal,
}

/// One line from the keyboard.
async fn read(settings: &Settings, history: &[String]) -> anyhow::Result<Result<String, Left>> {
    // A turn before this one has taken the signals out of the system's hands for good.
    let mut signals = Wishes::Process(Box::new(Process::without_keyboard()?));
    let (colour, earlier) = (settings.colour, history.to_vec());
    let answer = on_keyboard(move || {
        let suggestions = Suggestions { earlier };
        line(Text::new("countersign").with_autocomplete(suggestions), colour)
    });
    tokio::select! {
        answer = answer => match answer.context("the prompt ended without an answer")? {
            Ok(line) => Ok(Ok(line)),
            Err(error) if left(&error) => Ok(Err(Left::Key)),
            Err(error) => Err(error).context("cannot read from the terminal"),
        },
        _ = signals.next() => {
            release_terminal();
            Ok(Err(Left::Signal))
        }
    }
}

/// Commands and earlier lines that contain what has been typed, the latest first.
#[derive(Clone)]
struct Suggestions {
    earlier: Vec<String>,
}

impl Autocomplete for Suggestions {
    fn get_suggestions(&mut self, typed: &str) -> Result<Vec<String>, CustomUserError> {
        // Nothing typed, nothing offered: Enter must never send what nobody chose.
        if typed.trim().is_empty() {
            return Ok(Vec::new());
        }
        let commands =
            COMMANDS.iter().map(|(name, ..)| name.to_string()).filter(|name| name.starts_with(typed));
        let earlier =
            self.earlier.iter().rev().filter(|line| line.contains(typed) && *line != typed).cloned();
        Ok(commands.chain(earlier).take(6).collect())
    }

    fn get_completion(&mut self, _: &str, chosen: Option<String>) -> Result<Option<String>, CustomUserError> {
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<Command>) {
        assert_eq!(parse(line), Ok(expected), "{line:?}");
    }

    #[test]
    fn commands_and_requests() {
        let request = |text: &str| Some(Command::Request(text.into()));
        check("", None);
        check("  \t ", None);
        check(" add a flag ", request("add a flag"));
        check("/undo", Some(Command::Undo));
        check("/redo  ", Some(Command::Redo));
        check("/context  parse   errors ", Some(Command::Context("parse   errors".into())));
        check("/sessions", Some(Command::Sessions));
        check("/help", Some(Command::Help));
        check("/", Some(Command::Help));
        check("/quit", Some(Command::Quit));
        check("/exit", Some(Command::Quit));
        check("/src/main.rs is wrong", request("/src/main.rs is wrong"));
        check("/etc/passwd", request("/etc/passwd"));
        check(" /undo", request("/undo"));
        check("undo", request("undo"));
        check("//", request("//"));
    }

    #[test]
    fn what_is_no_command_is_refused_with_a_way_out() {
        for (line, part) in [
            ("/undo everything", "no argument"),
            ("/context", "needs a request"),
            ("/context   ", "needs a request"),
            ("/unod", "no command /unod"),
            ("/UNDO", "no command /UNDO"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn every_command_of_the_help_is_one() {
        for (name, argument, _) in COMMANDS {
            let parsed = parse(&format!("{name}{argument}"));
            assert!(matches!(parsed, Ok(Some(command)) if !matches!(command, Command::Request(_))), "{name}");
        }
        assert!(help(40).iter().all(|line| line.width() <= 40));
    }

    #[test]
    fn suggestions_need_something_typed() {
        let mut suggestions = Suggestions { earlier: vec!["add a flag".into(), "add a test".into()] };
        assert!(suggestions.get_suggestions("").unwrap().is_empty());
        assert_eq!(suggestions.get_suggestions("add").unwrap(), ["add a test", "add a flag"]);
        assert_eq!(suggestions.get_suggestions("/un").unwrap(), ["/undo"]);
    }

    #[tokio::test]
    async fn without_a_terminal_there_is_no_session() {
        let mut settings = Settings::for_streams(crate::ui::Colour::Off);
        settings.audience = Audience::Nobody;
        let error = run(&settings, async |_| Ok(Flow::Continue)).await.unwrap_err();
        assert!(error.to_string().contains("countersign run"), "{error}");
    }
}
