//! Where lines and the one moving line at the bottom are drawn.
//!
//! People's text goes to standard error, a patch to standard output. The moving line is
//! indicatif's; every other line passes through here, so that the two never tear each other. It
//! must not know what is worth showing.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ui::text::{Colour, Line, Tone};
use crate::ui::{Audience, Settings};

/// The two streams and the moving line.
pub struct Screen {
    people: Box<dyn Write + Send>,
    data: Box<dyn Write + Send>,
    colour: Colour,
    status: Option<ProgressBar>,
    /// What moves, or would if there were a terminal.
    label: Option<String>,
    /// Whether a moving line can be drawn at all.
    audience: Audience,
}

impl Screen {
    /// The streams of this process.
    pub fn of_process(settings: &Settings) -> Screen {
        Screen::new(settings, Box::new(std::io::stderr()), Box::new(std::io::stdout()))
    }

    pub fn new(settings: &Settings, people: Box<dyn Write + Send>, data: Box<dyn Write + Send>) -> Screen {
        Screen {
            people,
            data,
            colour: settings.colour,
            status: None,
            label: None,
            audience: settings.audience,
        }
    }

    /// Prints lines above the moving one. That nobody can read them stops nothing: the events are
    /// stored, and the answer to whatever is asked of nobody is no.
    pub fn print(&mut self, lines: &[Line]) {
        if lines.is_empty() {
            return;
        }
        let text: String = lines.iter().map(|line| line.paint(self.colour) + "\n").collect();
        let people = &mut self.people;
        let mut write = || {
            let _ = people.write_all(text.as_bytes());
            let _ = people.flush();
        };
        match &self.status {
            Some(status) => status.suspend(write),
            None => write(),
        }
    }

    /// Writes data, exact to the byte.
    ///
    /// # Errors
    /// When the reader of standard output is gone or the disk is full.
    pub fn data(&mut self, text: &str) -> std::io::Result<()> {
        self.data.write_all(text.as_bytes())?;
        self.data.flush()
    }

    /// Begins a moving line with a spinner and the time since now. Where there is no terminal it is
    /// printed once, so that a log shows what takes long.
    pub fn begin(&mut self, label: &str) {
        self.moving(label, "{spinner} {prefix} {elapsed} {wide_msg}");
    }

    /// Shows how far something has come, in a bar when its end is known.
    pub fn progress(&mut self, label: &str, done: u64, total: Option<u64>) {
        if self.label.as_deref() != Some(label) {
            let template = match total {
                Some(_) => "{prefix} [{bar:20}] {pos}/{len} {elapsed}",
                None => "{spinner} {prefix} {pos} {elapsed}",
            };
            self.moving(label, template);
        }
        if let Some(status) = &self.status {
            if let Some(total) = total {
                status.set_length(total);
            }
            status.set_position(done);
        }
    }

    /// Changes the text behind the time; it is cut at the edge of the screen, being decoration.
    pub fn message(&self, text: &str) {
        if let Some(status) = &self.status {
            status.set_message(plain(text));
        }
    }

    /// Removes the moving line.
    pub fn end(&mut self) {
        self.label = None;
        if let Some(status) = self.status.take() {
            status.finish_and_clear();
        }
    }

    fn moving(&mut self, label: &str, template: &str) {
        self.end();
        self.label = Some(label.to_string());
        if self.audience == Audience::Nobody {
            return self.print(&[Line::new(Tone::Dim, label).and(Tone::Dim, " ...")]);
        }
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        let status = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        status.set_style(style.tick_chars("|/-\\ ").progress_chars("##-"));
        status.set_prefix(plain(label));
        status.enable_steady_tick(Duration::from_millis(120));
        self.status = Some(status);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.end();
    }
}

/// The text as the moving line may hold it: escaped like every other.
fn plain(text: &str) -> String {
    Line::new(Tone::Plain, text).text()
}
