//! A sink's thread: follows the journal with the sink's own durable position.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use journal::{ErrorKind, Feed};
use sinks::{Position, Sink, SinkError, SinkErrorKind};

use crate::clock::Clock;
use crate::metrics::Counter;
use crate::stop::Stop;

/// One sink on its thread.
#[derive(Debug)]
pub struct Worker {
    /// The sink's name.
    pub name: String,
    progress: Arc<Progress>,
    thread: JoinHandle<Result<Position, SinkError>>,
}

/// How far a sink is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Up to which record it has taken what it was given.
    pub accepted: Counter,
    /// Up to which record everything is durable in it.
    pub durable: Counter,
    /// Times that it failed and was opened again.
    pub retries: Counter,
}

impl Worker {
    /// Starts the sink's thread. It ends when `finish` is raised and everything durable in the
    /// journal is durable in the sink, or when the sink fails for good, which raises `trouble`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        sink: Box<dyn Sink>,
        journal: &str,
        feed: Feed,
        clock: Clock,
        finish: Stop,
        trouble: Stop,
    ) -> std::io::Result<Self> {
        let name = sink.name().to_owned();
        let progress = Arc::new(Progress::default());
        let mut following = Following {
            sink,
            journal: journal.to_owned(),
            feed,
            clock,
            finish,
            progress: Arc::clone(&progress),
        };
        let thread = thread::Builder::new().name(format!("sink-{name}")).spawn(move || {
            let _guard = trouble.on_panic();
            let done = following.run();
            if done.is_err() {
                trouble.raise();
            }
            done
        })?;
        Ok(Self { name, progress, thread })
    }

    /// How far the sink is.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the thread: the position that is durable.
    ///
    /// # Errors
    /// What stopped the sink.
    pub fn join(self) -> Result<Position, SinkError> {
        self.thread.join().unwrap_or_else(|_| {
            Err(SinkError {
                kind: SinkErrorKind::Stop,
                doing: "storing".into(),
                source: "its thread panicked, which is a defect: please report the log".into(),
            })
        })
    }
}

struct Following {
    sink: Box<dyn Sink>,
    journal: String,
    feed: Feed,
    clock: Clock,
    finish: Stop,
    progress: Arc<Progress>,
}

impl Following {
    fn run(&mut self) -> Result<Position, SinkError> {
        let mut pause = RETRY_PAUSE_MIN;
        loop {
            let before = self.progress.durable.get();
            match self.follow() {
                Err(error) if error.kind == SinkErrorKind::Retry && !self.finish.raised() => {
                    let name = self.sink.name();
                    tracing::warn!(sink = name, "{error}; trying again in {pause:?}");
                    self.progress.retries.add(1);
                    // Progress since the last trouble: this is a new one.
                    if self.progress.durable.get() > before {
                        pause = RETRY_PAUSE_MIN;
                    }
                    self.wait(pause);
                    pause = RETRY_PAUSE_MAX.min(pause * 2);
                }
                done => return done,
            }
        }
    }

    /// Opens the sink and follows the journal until the end or an error.
    fn follow(&mut self) -> Result<Position, SinkError> {
        let opened = self.sink.open(&self.journal)?;
        let mut accepted = self.attach(opened)?;
        self.release(opened);
        loop {
            // Asked before the read: what is durable now is read before the sink is closed.
            let last = self.finish.raised();
            let batches = self
                .feed
                .read(accepted, READ_BYTES_MAX, WAIT)
                .map_err(|error| journal_failed(&error))?;
            if let Some(newest) = batches.last() {
                accepted = self.sink.write(&batches)?.0;
                assert_eq!(accepted, newest.position(), "a sink takes all that it is given");
                self.progress.accepted.set(accepted);
            }
            let durable = self.sink.flush(self.clock.now())?;
            self.release(durable);
            if last && batches.is_empty() && accepted >= self.feed.durable() {
                let durable = self.sink.close()?;
                self.release(durable);
                return Ok(durable);
            }
        }
    }

    /// Counts the sink in, and says after which record it goes on: its own position, unless the
    /// journal has let go of what follows it.
    fn attach(&self, opened: Position) -> Result<u64, SinkError> {
        if !self.sink.durable() {
            // It forgets: the journal must not forget on its word, and it begins where it can.
            return Ok(opened.0.max(self.feed.oldest().saturating_sub(1)));
        }
        match self.feed.attach(self.sink.name(), opened.0) {
            Ok(()) => Ok(opened.0),
            Err(error) => match error.kind() {
                ErrorKind::Gone { oldest } => {
                    let (name, from, to) = (self.sink.name(), opened.0 + 1, oldest - 1);
                    tracing::error!(
                        sink = name,
                        "records {from} to {to} are no longer in the journal and never reach this \
                         sink: it had been away for longer than journal.keep"
                    );
                    let first = oldest.saturating_sub(1);
                    self.feed.attach(name, first).map_err(|error| journal_failed(&error))?;
                    Ok(first)
                }
                _ => Err(journal_failed(&error)),
            },
        }
    }

    fn release(&self, durable: Position) {
        self.progress.durable.set(durable.0);
        self.feed.release(self.sink.name(), durable.0);
    }

    fn wait(&self, pause: Duration) {
        let mut left = pause;
        while !left.is_zero() && !self.finish.raised() {
            thread::sleep(WAIT.min(left));
            left = left.saturating_sub(WAIT);
        }
    }
}

/// A journal that cannot be read again will not be readable by trying.
fn journal_failed(error: &journal::JournalError) -> SinkError {
    SinkError {
        kind: SinkErrorKind::Stop,
        doing: "reading the journal".into(),
        source: error.to_string().into(),
    }
}

const WAIT: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(500);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(30);
/// What a sink that lags is given at a time.
const READ_BYTES_MAX: usize = 8 << 20;
