//! The one typed request/reply channel between the turn and the roles.
//!
//! A [`Mailbox`] is the sending half; the task behind it handles one letter at a time. Whoever drops
//! the future of [`Mailbox::ask`] cancels the work: the task notices that nobody waits for the reply
//! and drops its own future, and with it the HTTP request underneath. It must not know roles.

use tokio::sync::{mpsc, oneshot};

/// The other side is gone: its task ended or panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {0} task is gone; please report this with the session's log (`countersign sessions`)")]
pub struct Gone(pub &'static str);

struct Letter<Req, Res> {
    request: Req,
    reply: oneshot::Sender<Res>,
}

/// A handle to a task that answers `Req` with `Res`.
pub struct Mailbox<Req, Res> {
    name: &'static str,
    inbox: mpsc::Sender<Letter<Req, Res>>,
}

impl<Req, Res> Clone for Mailbox<Req, Res> {
    fn clone(&self) -> Self {
        Mailbox { name: self.name, inbox: self.inbox.clone() }
    }
}

/// What a task behind a mailbox does with one request.
pub trait Answerer<Req, Res>: Send + 'static {
    fn answer(&mut self, request: Req) -> impl Future<Output = Res> + Send;
}

impl<Req: Send + 'static, Res: Send + 'static> Mailbox<Req, Res> {
    /// Starts a task that passes each request to `answerer`. The task ends when the last handle is
    /// dropped.
    pub fn spawn(name: &'static str, mut answerer: impl Answerer<Req, Res>) -> Self {
        let (inbox, mut letters) = mpsc::channel::<Letter<Req, Res>>(1);
        tokio::spawn(async move {
            while let Some(Letter { request, mut reply }) = letters.recv().await {
                let answer = tokio::select! {
                    answer = answerer.answer(request) => answer,
                    () = reply.closed() => continue,
                };
                // An error means that the asker left in this very moment; nobody misses the answer.
                let _ = reply.send(answer);
            }
        });
        Mailbox { name, inbox }
    }

    /// Sends a request and waits for its answer.
    pub async fn ask(&self, request: Req) -> Result<Res, Gone> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Letter { request, reply }).await.map_err(|_| Gone(self.name))?;
        answer.await.map_err(|_| Gone(self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo {
        started: mpsc::UnboundedSender<u32>,
    }

    impl Answerer<u32, u32> for Echo {
        async fn answer(&mut self, request: u32) -> u32 {
            self.started.send(request).unwrap();
            if request == 0 {
                std::future::pending::<()>().await;
            }
            request + 1
        }
    }

    #[tokio::test]
    async fn dropping_the_question_frees_the_task() {
        let (started, mut seen) = mpsc::unbounded_channel();
        let mailbox = Mailbox::spawn("echo", Echo { started });
        let stuck = tokio::spawn({
            let mailbox = mailbox.clone();
            async move { mailbox.ask(0).await }
        });
        assert_eq!(seen.recv().await, Some(0));
        stuck.abort();
        assert_eq!(mailbox.ask(41).await, Ok(42));
    }

    struct Panics;
    impl Answerer<(), ()> for Panics {
        async fn answer(&mut self, (): ()) {
            panic!("a role that dies");
        }
    }

    #[tokio::test]
    async fn a_dead_task_is_an_error_not_a_hang() {
        let mailbox = Mailbox::spawn("dead", Panics);
        assert_eq!(mailbox.ask(()).await, Err(Gone("dead")));
    }
}
