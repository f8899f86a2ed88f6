//! The thread that has the session: it stores one transaction after the other while the sink's own
//! thread reads and encodes the next.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

use super::error::{DatabaseError, DatabaseErrorKind};
use super::gathered::Gathered;
use super::load::Load;
use super::session::{Destination, Session};
use super::step::Step;
use crate::waiting::Waiting;

/// A session at work. When it is dropped the session ends, whatever it is doing: what was not
/// committed is not stored.
pub(super) struct Writer {
    jobs: mpsc::UnboundedSender<Job>,
    /// Nothing is ever sent: the thread notices that it is gone.
    presence: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a session is asked for. They are done in order.
enum Job {
    /// Where the rows of this table go.
    Find(Load, oneshot::Sender<Result<Destination, DatabaseError>>),
    /// To store this with that step.
    Store(Gathered, Step, oneshot::Sender<Result<Waiting, DatabaseError>>),
}

/// A transaction on its way.
pub(super) struct UnderWay(oneshot::Receiver<Result<Waiting, DatabaseError>>);

impl Writer {
    /// Opens a session as `open` says, and with it what that found.
    pub(super) fn start<T: Send + 'static>(
        open: impl AsyncFnOnce() -> Result<(Session, T), DatabaseError> + Send + 'static,
    ) -> Result<(Self, T), DatabaseError> {
        let (jobs, todo) = mpsc::unbounded_channel();
        let (presence, mut absence) = oneshot::channel::<()>();
        let (opened, opening) = oneshot::channel();
        let work = async move || match open().await {
            Ok((session, found)) => {
                // Nobody listens if it was given up meanwhile: then it ends at once.
                let _ = opened.send(Ok(found));
                follow(session, todo).await;
            }
            Err(error) => drop(opened.send(Err(error))),
        };
        let failed = |error: std::io::Error| DatabaseError {
            kind: DatabaseErrorKind::Away,
            doing: "preparing to speak with the database".into(),
            source: Some(Box::new(error)),
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let thread = thread::Builder::new().name("sql-session".into()).spawn(move || {
            // The runtime is the session's own, so that its socket goes with it: a server must not
            // wait for us.
            runtime.block_on(async {
                tokio::select! {
                    _ = &mut absence => {}
                    () = work() => {}
                }
            });
        });
        let thread = Some(thread.map_err(failed)?);
        let mut writer = Self { jobs, presence: Some(presence), thread };
        let found = opening.blocking_recv().unwrap_or_else(|_| Err(writer.ended()))?;
        Ok((writer, found))
    }

    /// Where the rows of a load go. Waits for what is under way.
    pub(super) fn find(&mut self, load: &Load) -> Result<Destination, DatabaseError> {
        let (asker, answer) = oneshot::channel();
        // A thread that is gone is noticed by the missing answer.
        let _ = self.jobs.send(Job::Find(load.empty(), asker));
        answer.blocking_recv().unwrap_or_else(|_| Err(self.ended()))
    }

    /// Begins to store this with that step.
    pub(super) fn store(&self, gathered: Gathered, step: Step) -> UnderWay {
        let (asker, answer) = oneshot::channel();
        let _ = self.jobs.send(Job::Store(gathered, step, asker));
        UnderWay(answer)
    }

    /// Whether a transaction has come to its end; `None` while it is under way.
    pub(super) fn look(&mut self, under_way: &mut UnderWay) -> Option<Result<(), DatabaseError>> {
        match under_way.0.try_recv() {
            Ok(done) => Some(done.map(drop)),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(self.ended())),
        }
    }

    /// Waits for the end of a transaction.
    pub(super) fn wait(&mut self, under_way: UnderWay) -> Result<(), DatabaseError> {
        under_way.0.blocking_recv().unwrap_or_else(|_| Err(self.ended())).map(drop)
    }

    /// The thread has ended without an answer. If it panicked, so do we.
    fn ended(&mut self) -> DatabaseError {
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
        let what = "the database's session has ended".to_owned();
        DatabaseError::said(DatabaseErrorKind::Away, what)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.presence = None;
        if let Some(thread) = self.thread.take() {
            // A panic was told where its answer was missing.
            let _ = thread.join();
        }
    }
}

/// Does what is asked until nobody asks any more.
async fn follow(mut session: Session, mut todo: mpsc::UnboundedReceiver<Job>) {
    while let Some(job) = todo.recv().await {
        // Whoever does not wait for the answer has given the session up.
        match job {
            Job::Find(load, asker) => {
                let finding = session.destination(&load);
                let _ = asker.send(in_time(ANSWER_MAX, "finding a table", finding).await);
            }
            Job::Store(gathered, step, asker) => {
                let storing = session.store(gathered, &step);
                let _ = asker.send(in_time(ANSWER_MAX, "storing rows", storing).await);
            }
        }
    }
}

/// Work that must come to an end.
pub(super) async fn in_time<T>(
    patience: Duration,
    doing: &str,
    work: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
        let what = format!("{doing}: the database came to no end in {patience:?}");
        Err(DatabaseError::said(DatabaseErrorKind::Away, what))
    })
}

/// What takes longer waits for something that will not come.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(300);
