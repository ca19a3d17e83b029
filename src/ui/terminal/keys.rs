//! Esc, Ctrl-C and signals while a turn runs, and the terminal's modes around them.
//!
//! A full raw mode would stop `\n` from returning the cursor and Ctrl-C from being a signal. So on
//! Unix only line buffering and echo are switched off (ICANON, ECHO); output processing and signals
//! stay, every `\n` in the program remains right, and Ctrl-C works even if this loop is stuck in
//! something. Elsewhere the raw mode of the console touches input alone. What the modes were is
//! restored by a guard, also when something panics. This file must not know what a wish leads to.

use std::io;

use super::keyboard::Keyboard;

/// What the owner wants while the program works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Esc or Ctrl-C: stop the turn; a second one stops the program.
    Stop,
    /// A termination signal.
    Quit,
}

/// Where wishes come from.
pub enum Wishes {
    /// Signals, and the keyboard where there is one.
    Process(Box<Process>),
    /// A test's own.
    #[cfg(test)]
    Scripted(tokio::sync::mpsc::UnboundedReceiver<Wish>),
}

impl Wishes {
    /// The next wish. Dropping the future loses none.
    pub async fn next(&mut self) -> Wish {
        match self {
            Wishes::Process(process) => process.next().await,
            #[cfg(test)]
            Wishes::Scripted(wishes) => match wishes.recv().await {
                Some(wish) => wish,
                None => std::future::pending().await,
            },
        }
    }

    /// Leaves the keyboard to a question, and the terminal as it was before the turn.
    pub fn pause(&mut self) {
        if let Some(process) = self.process() {
            process.keyboard = None;
            process.modes.iter().for_each(Modes::restore);
        }
    }

    /// Listens to the keyboard again, after the question has let go of it.
    pub fn resume(&mut self) {
        if let Some(process) = self.process()
            && process.modes.is_some()
            && !super::ask::keyboard_taken()
        {
            process.modes.iter().for_each(Modes::apply_again);
            // Without a keyboard there are still signals.
            process.keyboard = Keyboard::listen().ok();
        }
    }

    fn process(&mut self) -> Option<&mut Process> {
        match self {
            Wishes::Process(process) => Some(process),
            #[cfg(test)]
            Wishes::Scripted(_) => None,
        }
    }
}

/// The signals of this process and its keyboard.
pub struct Process {
    signals: Signals,
    keyboard: Option<Keyboard>,
    modes: Option<Modes>,
}

impl Process {
    /// Listens for signals.
    ///
    /// # Errors
    /// When the system refuses a signal handler.
    pub fn without_keyboard() -> io::Result<Process> {
        Ok(Process { signals: Signals::listen()?, keyboard: None, modes: None })
    }

    /// Listens for signals and keys. The terminal's modes are restored when this is dropped.
    ///
    /// # Errors
    /// When the system refuses a signal handler or standard input is no terminal.
    pub fn with_keyboard() -> io::Result<Process> {
        let signals = Signals::listen_on_terminal()?;
        let modes = Some(Modes::without_echo()?);
        let keyboard = if super::ask::keyboard_taken() { None } else { Keyboard::listen().ok() };
        Ok(Process { signals, keyboard, modes })
    }

    async fn next(&mut self) -> Wish {
        loop {
            tokio::select! {
                signal = self.signals.next() => match signal {
                    Signal::Wish(wish) => return wish,
                    Signal::Suspend => if let Some(modes) = &self.modes { modes.suspend() },
                    Signal::Continued => if let Some(modes) = &self.modes { modes.apply_again() },
                },
                stop = stop(&mut self.keyboard) => match stop {
                    Ok(()) => return Wish::Stop,
                    // The keyboard is gone; signals remain.
                    Err(_) => self.keyboard = None,
                },
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The reader lets go before the modes change under it.
        self.keyboard = None;
    }
}

async fn stop(keyboard: &mut Option<Keyboard>) -> io::Result<()> {
    match keyboard {
        Some(keyboard) => keyboard.stop().await,
        None => std::future::pending().await,
    }
}

enum Signal {
    Wish(Wish),
    /// Ctrl-Z.
    #[cfg_attr(not(unix), allow(dead_code, reason = "other systems do not stop and continue"))]
    Suspend,
    /// We were stopped, and a shell may have changed the modes meanwhile.
    #[cfg_attr(not(unix), allow(dead_code, reason = "other systems do not stop and continue"))]
    Continued,
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    continued: tokio::signal::unix::Signal,
    /// Only where modes must be put back before we stop; elsewhere the system's way is right.
    suspend: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            continued: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
            suspend: None,
        })
    }

    fn listen_on_terminal() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        let suspend = signal(SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()))?;
        Ok(Signals { suspend: Some(suspend), ..Signals::listen()? })
    }

    async fn next(&mut self) -> Signal {
        let suspend = async {
            match &mut self.suspend {
                Some(suspend) => suspend.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(()) = suspend => Signal::Suspend,
            Some(()) = self.interrupt.recv() => Signal::Wish(Wish::Stop),
            Some(()) = self.terminate.recv() => Signal::Wish(Wish::Quit),
            Some(()) = self.continued.recv() => Signal::Continued,
            else => std::future::pending().await,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Signals> {
        Ok(Signals)
    }

    fn listen_on_terminal() -> io::Result<Signals> {
        Ok(Signals)
    }

    async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Wish(Wish::Stop),
            Err(_) => std::future::pending().await,
        }
    }
}

/// The terminal's modes as they were, put back on drop.
#[cfg(unix)]
struct Modes {
    before: rustix::termios::Termios,
}

#[cfg(unix)]
impl Modes {
    fn without_echo() -> io::Result<Modes> {
        let modes = Modes { before: rustix::termios::tcgetattr(io::stdin())? };
        modes.apply()?;
        Ok(modes)
    }

    fn apply(&self) -> io::Result<()> {
        use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcsetattr};
        let mut quiet = self.before.clone();
        quiet.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // A read gives what is there, perhaps nothing, and never waits.
        quiet.special_codes[SpecialCodeIndex::VMIN] = 0;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        Ok(tcsetattr(io::stdin(), OptionalActions::Now, &quiet)?)
    }

    /// Gives the terminal back as it was and stops until someone continues us.
    fn suspend(&self) {
        self.restore();
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP);
    }

    fn restore(&self) {
        let now = rustix::termios::OptionalActions::Now;
        let _ = rustix::termios::tcsetattr(io::stdin(), now, &self.before);
    }

    fn apply_again(&self) {
        // In the middle of a question the question's own modes count.
        if !super::ask::keyboard_taken() {
            let _ = self.apply();
        }
    }
}

#[cfg(unix)]
impl Drop for Modes {
    fn drop(&mut self) {
        super::ask::release_terminal();
        self.restore();
    }
}

#[cfg(not(unix))]
struct Modes;

#[cfg(not(unix))]
impl Modes {
    fn without_echo() -> io::Result<Modes> {
        crossterm::terminal::enable_raw_mode()?;
        Ok(Modes)
    }

    fn suspend(&self) {}

    fn restore(&self) {
        let _ = crossterm::terminal::disable_raw_mode();
    }

    fn apply_again(&self) {
        let _ = crossterm::terminal::enable_raw_mode();
    }
}

#[cfg(not(unix))]
impl Drop for Modes {
    fn drop(&mut self) {
        super::ask::release_terminal();
        let _ = crossterm::terminal::disable_raw_mode();
    }
}
