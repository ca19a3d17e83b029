//! One question to the person at the keyboard, off the async threads: a key, a line, or an editor.
//!
//! A prompt blocks until a key comes, and nothing can wake it. It therefore runs on a plain thread:
//! a runtime waits for its blocking tasks when it ends, but never for such a thread, so that the
//! process can leave while a question is open. Only one thread reads the keyboard at a time. This
//! file must not know what an answer leads to.

use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use inquire::ui::RenderConfig;
use inquire::{InquireError, Text};
use tokio::sync::oneshot;

use super::review::{Key, Prompt};
use crate::ui::text::{Colour, Line, Tone};

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Key(Key),
    /// A line of text; empty if its owner thought better of it.
    Text(String),
    /// The lines of a hunk, as the editor left them.
    Edited(Vec<String>),
    /// The editor could not be used; the reason.
    NotEdited(String),
    /// Esc or Ctrl-C.
    Stop,
    /// The terminal could not be read; the reason.
    Broken(String),
}

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Question {
    Prompt(Prompt),
    /// To change these lines of a hunk in an editor.
    Edit(Vec<String>),
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

/// Asks. A key that is no answer is refused in place and asked for again; Enter is no answer to
/// anything that could be signed. `editor` is a program and its arguments.
pub fn ask(question: Question, colour: Colour, editor: Vec<String>) -> oneshot::Receiver<Reply> {
    on_keyboard(move || match question {
        Question::Prompt(prompt @ Prompt::Feedback) => match line(Text::new(&prompt.text()), colour) {
            Ok(typed) => Reply::Text(typed),
            Err(error) if left(&error) => Reply::Text(String::new()),
            Err(error) => Reply::Broken(error.to_string()),
        },
        Question::Prompt(prompt) => key(&prompt, colour),
        Question::Edit(lines) => {
            let cooked = Cooked::enter();
            let edited = super::editor::edit(&editor, &lines);
            drop(cooked);
            edited.map_or_else(Reply::NotEdited, Reply::Edited)
        }
    })
}

/// Waits for a key that answers.
fn key(prompt: &Prompt, colour: Colour) -> Reply {
    let question = Line::new(Tone::Good, "? ").and(Tone::Strong, &prompt.text()).paint(colour) + " ";
    show(&question);
    loop {
        let pressed = match crossterm::event::read() {
            Ok(Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. })) => (code, modifiers),
            Ok(_) => continue,
            Err(error) => return Reply::Broken(error.to_string()),
        };
        let control = pressed.1.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        let typed = match pressed.0 {
            KeyCode::Esc => break,
            KeyCode::Char('c' | 'd') if control => break,
            KeyCode::Char(typed) if !control => typed,
            KeyCode::Enter => '\r',
            _ => continue,
        };
        match prompt.key(typed) {
            Ok(key) => {
                show(&format!("{}\r\n", typed.escape_default().to_string().replace("\\r", "")));
                return Reply::Key(key);
            }
            Err(_) if typed == '\r' => {}
            Err(hint) => show(&format!("\r\n  {hint}\r\n{question}")),
        }
    }
    show("\r\n");
    Reply::Stop
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
                show("\r\nThe question above is closed; press Esc to go on.\r\n");
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

/// The modes of the terminal as they were before raw mode, until dropped.
struct Cooked;

impl Cooked {
    fn enter() -> Cooked {
        let _ = crossterm::terminal::disable_raw_mode();
        Cooked
    }
}

impl Drop for Cooked {
    fn drop(&mut self) {
        let _ = crossterm::terminal::enable_raw_mode();
    }
}

#[expect(clippy::print_stderr, reason = "the question has the screen")]
fn show(text: &str) {
    eprint!("{text}");
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
        show("\r\n");
    }
    typed
}

/// Whether the person agrees; Enter alone is the answer that `usual` says, Esc and Ctrl-C are no.
///
/// # Errors
/// A terminal that cannot be read.
pub async fn agrees(question: &str, usual: bool, colour: Colour) -> anyhow::Result<bool> {
    let question = format!("{question} {}", if usual { "[Y/n]" } else { "[y/N]" });
    let answered = on_keyboard(move || {
        loop {
            match line(Text::new(&question), colour) {
                Ok(typed) => match typed.trim().to_ascii_lowercase().as_str() {
                    "" => return Ok(usual),
                    "y" | "yes" => return Ok(true),
                    "n" | "no" => return Ok(false),
                    _ => show("Please answer y or n.\r\n"),
                },
                Err(error) if left(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    });
    Ok(answered.await??)
}

/// Whether a prompt was left by Esc or Ctrl-C.
pub(in crate::ui) fn left(error: &InquireError) -> bool {
    matches!(error, InquireError::OperationCanceled | InquireError::OperationInterrupted)
}
