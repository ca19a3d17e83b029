//! One question to the person at the keyboard, by inquire, off the async threads.
//!
//! A prompt blocks until a key comes, and nothing can wake it. It therefore runs on a plain thread:
//! a runtime waits for its blocking tasks when it ends, but never for such a thread, so that the
//! process can leave while a question is open. Only one thread reads the keyboard at a time. This
//! file must not know what an answer leads to.

use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use inquire::ui::RenderConfig;
use inquire::validator::Validation;
use inquire::{InquireError, Text};
use tokio::sync::oneshot;

use super::review::{Answer, Prompt};
use crate::ui::text::Colour;

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Said(Answer),
    /// Esc or Ctrl-C.
    Stop,
    /// The terminal could not be read; the reason.
    Broken(String),
}

/// Held by the thread that reads the keyboard.
static KEYBOARD: Mutex<()> = Mutex::new(());

/// Whether a question, perhaps one nobody waits for any more, still reads the keyboard.
pub(in crate::ui) fn keyboard_taken() -> bool {
    matches!(KEYBOARD.try_lock(), Err(TryLockError::WouldBlock))
}

/// Undoes what an abandoned prompt did to the terminal: modes, paste brackets, a hidden cursor.
pub(in crate::ui) fn release_terminal() {
    if keyboard_taken() {
        let _ = crossterm::execute!(
            std::io::stderr(),
            crossterm::event::DisableBracketedPaste,
            crossterm::cursor::Show
        );
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

/// Asks about hunks. Input that is no answer is refused in place and asked for again.
pub fn ask(prompt: Prompt, colour: Colour) -> oneshot::Receiver<Reply> {
    on_keyboard(move || {
        let text = prompt.text();
        let valid = move |typed: &str| {
            Ok(match prompt.parse(typed) {
                Ok(_) => Validation::Valid,
                Err(hint) => Validation::Invalid(hint.into()),
            })
        };
        match line(Text::new(&text).with_validator(valid), colour) {
            Ok(typed) => prompt.parse(&typed).map_or_else(|hint| Reply::Broken(hint.into()), Reply::Said),
            Err(error) if left(&error) => Reply::Stop,
            Err(error) => Reply::Broken(error.to_string()),
        }
    })
}

/// Runs a prompt on a thread of its own once the keyboard is free, after throwing away what was
/// typed before the question could be read.
pub(in crate::ui) fn on_keyboard<T: Send + 'static>(
    prompt: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        // A poisoned lock only says that an earlier prompt panicked; the keyboard is free.
        let keyboard = match KEYBOARD.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                // Raw, so that Esc reaches the old prompt without Enter.
                let _raw = Raw::enter();
                leave_note("The question above is closed; press Esc to go on.");
                KEYBOARD.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
            }
        };
        let raw = Raw::enter();
        drain();
        let said = prompt();
        drop(raw);
        // Whoever gets the answer may want the keyboard at once.
        drop(keyboard);
        let _ = sender.send(said);
    });
    receiver
}

/// Raw mode until dropped. inquire enters it as well, which changes nothing, and leaves it earlier.
struct Raw;

impl Raw {
    fn enter() -> Raw {
        // Should it fail, so will the prompt, and that says why.
        let _ = crossterm::terminal::enable_raw_mode();
        Raw
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = crossterm::terminal::disable_raw_mode();
    }
}

#[expect(clippy::print_stderr, reason = "the prompt that must go has the screen")]
fn leave_note(text: &str) {
    eprint!("\r\n{text}\r\n");
}

#[expect(clippy::print_stderr, reason = "the prompt has the screen")]
fn end_line() {
    eprint!("\r\n");
}

/// Throws away type-ahead. To be called in raw mode: elsewhere a line without its Enter stays
/// unread, and would answer the question.
fn drain() {
    while crossterm::event::poll(Duration::ZERO).unwrap_or(false) {
        if crossterm::event::read().is_err() {
            break;
        }
    }
}

/// Runs a prompt for one line. inquire would read `NO_COLOR` itself; colour is a setting here.
pub(in crate::ui) fn line(prompt: Text<'_, '_>, colour: Colour) -> Result<String, InquireError> {
    let looks = match colour {
        Colour::On => RenderConfig::default_colored(),
        Colour::Off => RenderConfig::empty(),
    };
    let typed = prompt.with_render_config(looks).prompt();
    if let Err(InquireError::OperationInterrupted) = typed {
        // inquire leaves the cursor behind the question.
        end_line();
    }
    typed
}

/// Whether a prompt was left by Esc or Ctrl-C.
pub(in crate::ui) fn left(error: &InquireError) -> bool {
    matches!(error, InquireError::OperationCanceled | InquireError::OperationInterrupted)
}
