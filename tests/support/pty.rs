//! A program in a pseudo-terminal, as a person would meet it: `expect` text, `send` keys.
//!
//! rexpect starts and ends the process; the reading is our own, because rexpect takes each byte for
//! a character and looks for text only ten times a second. It must not know what the program is.

use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rexpect::process::{PtyProcess, Signal, WaitStatus};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Escape, as sent by the key of that name.
pub const ESCAPE: &str = "\u{1b}";
/// Ctrl-C.
pub const CONTROL_C: &str = "\u{3}";
/// The Enter key.
pub const ENTER: &str = "\r";

/// A running program and everything it has printed.
pub struct Pty {
    process: PtyProcess,
    keyboard: std::fs::File,
    output: Arc<(Mutex<Output>, Condvar)>,
    /// Bytes of the plain output that earlier expectations have used up.
    seen: usize,
}

#[derive(Default)]
struct Output {
    raw: Vec<u8>,
    plain: Vec<u8>,
    escape: Escape,
    ended: bool,
}

impl Pty {
    /// Starts `command` in a terminal of the given size, with echo and line editing on as a shell
    /// leaves them.
    pub fn spawn(command: &Command, columns: u16, rows: u16) -> Pty {
        let mut shell = Command::new("/bin/sh");
        // The size must be there before the program looks for it.
        shell.arg("-c").arg(format!("stty sane cols {columns} rows {rows} && exec \"$0\" \"$@\""));
        shell.arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        shell.env_clear();
        // `Command` does not tell whether its environment was cleared: what it names is all there is.
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        shell.env("PATH", path).env("TERM", "xterm-256color");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        with_usual_signals(&mut shell);
        let mut process = PtyProcess::new(shell).expect("a pseudo-terminal");
        process.set_kill_timeout(Some(1_000));
        let keyboard = process.get_file_handle().expect("a handle to write to");
        let mut screen = process.get_file_handle().expect("a handle to read from");
        let output = Arc::new((Mutex::new(Output::default()), Condvar::new()));
        let sink = Arc::clone(&output);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                // On Linux the end of the program is an error here, elsewhere it is 0 bytes.
                let read = screen.read(&mut buffer).unwrap_or(0);
                let mut output = sink.0.lock().expect("no reader panics");
                output.take(&buffer[..read]);
                output.ended = read == 0;
                sink.1.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Pty { process, keyboard, output, seen: 0 }
    }

    /// Waits until `text` is printed after what earlier expectations have matched, and gives what
    /// came before it. Colours and cursor movements are not part of the text.
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let (lock, news) = &*self.output;
        let mut output = lock.lock().expect("the reading thread does not panic");
        loop {
            let rest = String::from_utf8_lossy(&output.plain[self.seen..]).into_owned();
            if let Some(at) = rest.find(text) {
                // Invalid bytes would be longer in `rest`; the end is found again in the bytes.
                let bytes = &output.plain[self.seen..];
                let place = bytes.windows(text.len()).position(|part| part == text.as_bytes());
                self.seen += place.expect("what is in the text is in the bytes") + text.len();
                return rest[..at].to_string();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!output.ended, "the program ended without {text:?}; after the last match:\n{rest}");
            assert!(!left.is_zero(), "no {text:?} within {PATIENCE:?}; after the last match:\n{rest}");
            output = news.wait_timeout(output, left).expect("the reading thread does not panic").0;
        }
    }

    /// Types keys.
    pub fn send(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
        self.keyboard.flush().expect("the terminal takes keys");
    }

    /// Types a line and Enter.
    pub fn send_line(&mut self, line: &str) {
        self.send(&format!("{line}{ENTER}"));
    }

    /// Sends a signal to the program.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal).expect("the program runs");
    }

    /// Everything printed so far, without escape sequences.
    pub fn text(&self) -> String {
        let output = self.output.0.lock().expect("the reading thread does not panic");
        String::from_utf8_lossy(&output.plain).into_owned()
    }

    /// Everything printed so far, byte for byte.
    pub fn raw(&self) -> Vec<u8> {
        self.output.0.lock().expect("the reading thread does not panic").raw.clone()
    }

    /// Waits for the program to end by itself and gives its exit code.
    pub fn exit_code(self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        {
            let (lock, news) = &*self.output;
            let mut output = lock.lock().expect("the reading thread does not panic");
            while !output.ended {
                let left = deadline.saturating_duration_since(Instant::now());
                let plain = String::from_utf8_lossy(&output.plain).into_owned();
                assert!(!left.is_zero(), "still running after {PATIENCE:?}:\n{plain}");
                output = news.wait_timeout(output, left).expect("the reading thread does not panic").0;
            }
        }
        match self.process.wait().expect("the program was started") {
            WaitStatus::Exited(_, code) => code,
            other => panic!("the program did not exit: {other:?}\n{}", self.text()),
        }
    }
}

/// A program inherits which signals are ignored, and who runs tests in the background of a script may
/// ignore those of the keyboard. Under a terminal of its own they do what they usually do.
fn with_usual_signals(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt as _;
        let reset = || {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGTSTP] {
                // SAFETY: between fork and exec only functions like this one may be called; it takes no
                // memory and no lock.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            Ok(())
        };
        // SAFETY: see above.
        unsafe { command.pre_exec(reset) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

impl Output {
    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        for byte in bytes {
            if self.escape.is_text(*byte) {
                self.plain.push(*byte);
            }
        }
    }
}

/// Where in an escape sequence the output is.
#[derive(Default, Clone, Copy)]
enum Escape {
    #[default]
    Outside,
    Begun,
    /// `ESC [`, until a letter or the like.
    Control,
    /// `ESC ]`, until BEL or `ESC \`.
    Command,
}

impl Escape {
    fn is_text(&mut self, byte: u8) -> bool {
        let (next, text) = match (*self, byte) {
            (Escape::Outside | Escape::Control, 0x1b) => (Escape::Begun, false),
            (Escape::Outside, _) => (Escape::Outside, true),
            (Escape::Begun, b'[') => (Escape::Control, false),
            (Escape::Begun, b']') => (Escape::Command, false),
            (Escape::Begun, _) => (Escape::Outside, false),
            (Escape::Control, 0x40..=0x7e) => (Escape::Outside, false),
            (Escape::Control, _) => (Escape::Control, false),
            (Escape::Command, 0x07) => (Escape::Outside, false),
            (Escape::Command, 0x1b) => (Escape::Begun, false),
            (Escape::Command, _) => (Escape::Command, false),
        };
        *self = next;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).env("GREETING", "grüße");
        command
    }

    #[test]
    fn size_text_and_exit_code() {
        let mut pty =
            Pty::spawn(&shell("stty size; printf '\\033[1m%s\\033[0m\\n' \"$GREETING\"; exit 7"), 40, 12);
        pty.expect("12 40");
        assert_eq!(pty.expect("grüße").trim(), "");
        assert!(pty.raw().windows(4).any(|part| part == b"\x1b[1m"));
        assert_eq!(pty.exit_code(), 7);
    }

    #[test]
    fn keys_and_signals_arrive() {
        let script = "trap 'echo stopped' INT; trap 'echo ended; exit 130' TERM; \
                      read line; echo \"got $line\"; while :; do read line; done";
        let mut pty = Pty::spawn(&shell(script), 80, 24);
        pty.send_line(&format!("hello{ESCAPE}"));
        pty.expect("got hello");
        pty.send(CONTROL_C);
        pty.expect("stopped");
        pty.signal(Signal::SIGTERM);
        pty.send(ENTER);
        pty.expect("ended");
        assert_eq!(pty.exit_code(), 130);
    }
}
