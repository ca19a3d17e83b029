//! The keyboard while a turn runs: nothing but the wish to stop is read from it.
//!
//! On Unix the terminal is read here and not through crossterm's event stream. That stream's thread
//! ends at some moment after the stream: until then it holds the reader's lock, so that a question
//! could neither throw away what was typed ahead nor be sure of the keys typed after it. Here,
//! whoever has dropped the [`Keyboard`] has the terminal to itself.

#[cfg(unix)]
pub use unix::Keyboard;

#[cfg(not(unix))]
pub use console::Keyboard;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::thread::JoinHandle;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use tokio::sync::mpsc;

    /// How long the rest of a key's escape sequence may take to arrive: 30 ms.
    const REST_OF_A_KEY: Timespec = Timespec { tv_sec: 0, tv_nsec: 30_000_000 };

    const ESCAPE: u8 = 0x1b;

    /// Standard input, in a mode in which a read never waits (VMIN and VTIME 0).
    pub struct Keyboard {
        stops: mpsc::UnboundedReceiver<()>,
        /// Closed to end the thread.
        open: Option<OwnedFd>,
        reader: Option<JoinHandle<()>>,
    }

    impl Keyboard {
        /// # Errors
        /// When the system has no pipe or no thread to spare.
        pub fn listen() -> io::Result<Keyboard> {
            let (closed, open) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
            let (sender, stops) = mpsc::unbounded_channel();
            let read = move || {
                // The keyboard is gone, or nobody listens: the closed channel says so.
                let _ = read(&closed, &sender);
            };
            let reader = std::thread::Builder::new().name("keyboard".into()).spawn(read)?;
            Ok(Keyboard { stops, open: Some(open), reader: Some(reader) })
        }

        /// Waits for Esc or Ctrl-C and reads past everything else. Dropping the future loses nothing.
        ///
        /// # Errors
        /// When the keyboard is gone.
        pub async fn stop(&mut self) -> io::Result<()> {
            self.stops.recv().await.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        }
    }

    impl Drop for Keyboard {
        fn drop(&mut self) {
            self.open = None;
            if let Some(reader) = self.reader.take() {
                let _ = reader.join();
            }
        }
    }

    /// Reads until the other end of `closed` is gone.
    fn read(closed: &OwnedFd, stops: &mpsc::UnboundedSender<()>) -> io::Result<()> {
        let input = io::stdin();
        let mut escaped = false;
        loop {
            let mut waits = [PollFd::new(&input, PollFlags::IN), PollFd::new(closed, PollFlags::IN)];
            let patience = escaped.then_some(&REST_OF_A_KEY);
            let silent = match poll(&mut waits, patience) {
                Ok(ready) => ready == 0,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let [keys, closed] = waits.map(|wait| wait.revents());
            if !closed.is_empty() {
                return Ok(());
            }
            let mut bytes = [0; 256];
            let count = if silent { 0 } else { rustix::io::read(&input, &mut bytes)? };
            if count == 0 && keys.intersects(PollFlags::HUP | PollFlags::ERR) {
                return Ok(());
            }
            let stopped = match (escaped, wish(&bytes[..count])) {
                // Esc, and not the first byte of an arrow key that came in two pieces.
                (true, _) if !is_introducer(&bytes[..count]) => true,
                (_, typed) => {
                    escaped = typed == Typed::EndsInEscape;
                    typed == Typed::Stop
                }
            };
            if stopped {
                escaped = false;
                let _ = stops.send(());
            }
        }
    }

    #[derive(Debug, PartialEq, Eq)]
    enum Typed {
        Stop,
        EndsInEscape,
        Other,
    }

    /// What a piece of input means. Ctrl-C is a byte only where the terminal does not make it a
    /// signal. `ESC [` and `ESC O` begin arrow and function keys, `ESC` and a letter is Alt with it.
    fn wish(bytes: &[u8]) -> Typed {
        for (at, byte) in bytes.iter().enumerate() {
            match (byte, bytes.get(at + 1)) {
                (0x03, _) | (&ESCAPE, Some(&ESCAPE)) => return Typed::Stop,
                (&ESCAPE, None) => return Typed::EndsInEscape,
                _ => {}
            }
        }
        Typed::Other
    }

    /// Whether these bytes, after an `ESC`, are the rest of a key's sequence.
    fn is_introducer(bytes: &[u8]) -> bool {
        matches!(bytes.first(), Some(b'[' | b'O'))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_escape_and_control_c_stop() {
            for stops in [&b"\x03"[..], b"abc\x03", b"\x1b\x1b"] {
                assert_eq!(wish(stops), Typed::Stop, "{stops:?}");
            }
            for open in [&b"\x1b"[..], b"abc\x1b", b"\x1b[A\x1b"] {
                assert_eq!(wish(open), Typed::EndsInEscape, "{open:?}");
            }
            for other in [&b"c"[..], b"\r", b"\x1b[A", b"\x1bOP", b"\x1b[15~\x1b[A", b"\x1bx", b"\x1b[200~hi"]
            {
                assert_eq!(wish(other), Typed::Other, "{other:?}");
            }
        }
    }
}

#[cfg(not(unix))]
mod console {
    use std::io;

    use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
    use futures::StreamExt;

    /// The console's events.
    pub struct Keyboard {
        events: EventStream,
    }

    impl Keyboard {
        /// # Errors
        /// Never here; elsewhere, when standard input is nothing that can be waited for.
        pub fn listen() -> io::Result<Keyboard> {
            Ok(Keyboard { events: EventStream::new() })
        }

        /// Waits for Esc or Ctrl-C and reads past everything else.
        ///
        /// # Errors
        /// When the keyboard is gone.
        pub async fn stop(&mut self) -> io::Result<()> {
            loop {
                let event = self.events.next().await.ok_or(io::ErrorKind::UnexpectedEof)??;
                let Event::Key(key) = event else { continue };
                let control_c =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if key.kind == KeyEventKind::Press && (control_c || key.code == KeyCode::Esc) {
                    return Ok(());
                }
            }
        }
    }
}
