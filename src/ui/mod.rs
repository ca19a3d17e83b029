//! Front ends: loops that render [`Event`](crate::protocol::Event)s and send
//! [`Op`](crate::protocol::Op)s.
//!
//! This module owns every byte that the program prints while an engine runs. It must not contain
//! behaviour that another front end would need: whatever decides anything is the engine's.
//!
//! Reading order: [`text`] (styled lines, the one door for foreign text), [`diff`] and [`unified`]
//! (a patch for eyes and for tools), [`terminal`], [`json`], [`session`].

pub mod diff;
pub mod json;
pub mod progress;
pub mod session;
pub mod terminal;
pub mod text;
pub mod transcript;
pub mod unified;

use std::io::IsTerminal;

use crate::protocol::Outcome;
pub use text::Colour;
pub use transcript::transcript;

/// Why a front end stopped watching.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The turn is over.
    Turn(Outcome),
    /// The engine refused to begin a turn; its reason was shown.
    Refused(String),
    /// Its owner wants to leave (second Ctrl-C, a termination signal, `quit`).
    Quit,
    /// The engine closed its events without ending the turn.
    EngineGone,
}

/// Who can see and answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Keyboard and screen are a terminal: questions can be asked.
    Person,
    /// A pipe, a file or a job: plain lines, and nobody who could sign.
    Nobody,
}

/// What stands behind standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdout {
    /// Someone's screen: foreign text is escaped.
    Screen,
    /// A file or a program: bytes are exact, so that a patch can be applied.
    Data,
}

/// How the terminal front end shows things. The environment is not read here; whoever resolves the
/// configuration passes `NO_COLOR` in as [`Colour::Off`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub colour: Colour,
    pub audience: Audience,
    pub stdout: Stdout,
    /// Columns; `None` asks the terminal each time something is drawn.
    pub width: Option<u16>,
    /// Lines of a model's answer to show while it arrives, per call. The rest is counted.
    pub stream_lines: usize,
    /// Lines of the screen, for paging; `None` asks the terminal.
    pub height: Option<u16>,
    /// The owner's editor and its arguments; empty when none is known.
    pub editor: Vec<String>,
}

impl Settings {
    /// Settings that fit the streams of this process. `colour` is what its owner wants; a screen
    /// that is not a terminal gets none in any case.
    pub fn for_streams(colour: Colour) -> Settings {
        let screen = std::io::stderr().is_terminal();
        let keyboard = std::io::stdin().is_terminal();
        Settings {
            colour: if screen { colour } else { Colour::Off },
            audience: if screen && keyboard { Audience::Person } else { Audience::Nobody },
            stdout: if std::io::stdout().is_terminal() { Stdout::Screen } else { Stdout::Data },
            width: None,
            stream_lines: 8,
            height: None,
            editor: Vec::new(),
        }
    }

    /// Columns to draw in, never fewer than 20.
    pub fn columns(&self) -> usize {
        let asked = || match self.audience {
            Audience::Person => crossterm::terminal::size().ok().map(|(columns, _)| columns),
            Audience::Nobody => None,
        };
        // A terminal that does not know its size says 0.
        let columns = self.width.or_else(asked).filter(|columns| *columns > 0).unwrap_or(80);
        usize::from(columns).max(20)
    }

    /// Lines that fit the screen at once; `None` where that is not known or nobody watches.
    pub fn rows(&self) -> Option<usize> {
        let asked = || match self.audience {
            Audience::Person => crossterm::terminal::size().ok().map(|(_, rows)| rows),
            Audience::Nobody => None,
        };
        let rows = self.height.or_else(asked).filter(|rows| *rows > 0);
        rows.map(|rows| usize::from(rows).max(8))
    }
}
