//! The one way an event takes: numbered, stored, then shown.
//!
//! A clone of [`Events`] is given to whoever has something to say. It must not interpret events.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::protocol::{Envelope, Event, PROTOCOL_VERSION};
use crate::session::SessionLog;

/// Where events go.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    next: u64,
    log: SessionLog,
    observer: mpsc::UnboundedSender<Envelope>,
    store_failed: bool,
}

impl Events {
    /// Events of one session, stored in `log` and then sent to the observer.
    pub fn new(log: SessionLog) -> (Events, mpsc::UnboundedReceiver<Envelope>) {
        let (observer, receiver) = mpsc::unbounded_channel();
        let inner = Inner { next: 1, log, observer, store_failed: false };
        (Events { inner: Arc::new(Mutex::new(inner)) }, receiver)
    }

    /// Numbers, stores and shows one event.
    ///
    /// The file is written inside the lock, since the order of the numbers is the order of the
    /// lines. A disk that is full does not stop the work: the observer is warned, once.
    pub fn emit(&self, event: Event) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let envelope = inner.number(event);
        let stored = inner.log.append(&envelope);
        // An observer that left does not stop the work either: the log has it all.
        let _ = inner.observer.send(envelope);
        if let Err(error) = stored
            && !std::mem::replace(&mut inner.store_failed, true)
        {
            let text = format!("this session is no longer being recorded: {error:#}");
            let warning = inner.number(Event::Warning { text });
            let _ = inner.observer.send(warning);
        }
    }

    /// Says something that is worth knowing.
    pub fn warn(&self, text: impl Into<String>) {
        self.emit(Event::Warning { text: text.into() });
    }
}

impl Inner {
    fn number(&mut self, event: Event) -> Envelope {
        let seq = self.next;
        self.next += 1;
        Envelope { v: PROTOCOL_VERSION, seq, at_ms: crate::clock::now_ms(), event }
    }
}
