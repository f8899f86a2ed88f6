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
        let following = Following::new(sink, journal, feed, finish, Arc::clone(&progress));
        let thread = thread::Builder::new().name(format!("sink-{name}")).spawn(move || {
            let _guard = trouble.on_panic();
            let done = following.run(&clock);
            if done.is_err() {
                trouble.raise();
            }
            done
        })?;
        Ok(Self { name, progress, thread })
    }

    /// How far the sink is.
    #[must_use]
    pub fn progress(&self) -> &Arc<Progress> {
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

/// A sink that follows the journal, a step at a time.
#[derive(Debug)]
pub struct Following {
    sink: Box<dyn Sink>,
    journal: String,
    feed: Feed,
    finish: Stop,
    progress: Arc<Progress>,
    /// Up to which record the sink has taken what it was given; `None` while it is closed.
    accepted: Option<u64>,
    /// How long the next trouble is waited out, if there was no progress since the last one.
    pause: Duration,
    /// What was durable when the sink was opened last.
    durable_before: u64,
}

/// What a step has done.
#[derive(Debug)]
pub enum Step {
    /// It goes on.
    On,
    /// The sink failed and may be tried again after this long.
    Again(Duration),
    /// Everything durable in the journal is durable in the sink, up to this position.
    Ended(Position),
}

impl Following {
    /// A sink that is not open yet. `finish` says that it is to end once it has everything.
    #[must_use]
    pub fn new(
        sink: Box<dyn Sink>,
        journal: &str,
        feed: Feed,
        finish: Stop,
        progress: Arc<Progress>,
    ) -> Self {
        let (accepted, pause) = (None, RETRY_PAUSE_MIN);
        let journal = journal.to_owned();
        Self { sink, journal, feed, finish, progress, accepted, pause, durable_before: 0 }
    }

    fn run(mut self, clock: &Clock) -> Result<Position, SinkError> {
        loop {
            match self.step(clock, WAIT)? {
                Step::On => {}
                Step::Again(pause) => self.wait(pause),
                Step::Ended(position) => return Ok(position),
            }
        }
    }

    /// Opens the sink, or gives it what is new and lets it make that durable; waits at most `wait`
    /// for something new.
    ///
    /// # Errors
    /// The sink has failed for good, or has failed while everything ends.
    pub fn step(&mut self, clock: &Clock, wait: Duration) -> Result<Step, SinkError> {
        let error = match self.follow(clock, wait) {
            Err(error) if error.kind == SinkErrorKind::Retry && !self.finish.raised() => error,
            done => return done,
        };
        // Progress since the last trouble: this is a new one.
        if self.progress.durable.get() > self.durable_before {
            self.pause = RETRY_PAUSE_MIN;
        }
        let pause = self.pause;
        let name = self.sink.name();
        tracing::warn!(sink = name, "{error}; trying again in {pause:?}");
        self.progress.retries.add(1);
        self.pause = RETRY_PAUSE_MAX.min(pause * 2);
        self.accepted = None;
        Ok(Step::Again(pause))
    }

    fn follow(&mut self, clock: &Clock, wait: Duration) -> Result<Step, SinkError> {
        let Some(accepted) = self.accepted else {
            self.durable_before = self.progress.durable.get();
            let opened = self.sink.open(&self.journal)?;
            self.accepted = Some(self.attach(opened)?);
            self.release(opened);
            return Ok(Step::On);
        };
        // Asked before the read: what is durable now is read before the sink is closed.
        let last = self.finish.raised();
        let batches = self
            .feed
            .read(accepted, READ_BYTES_MAX, wait)
            .map_err(|error| journal_failed(&error))?;
        if let Some(newest) = batches.last() {
            let accepted = self.sink.write(&batches)?.0;
            assert_eq!(accepted, newest.position(), "a sink takes all that it is given");
            self.progress.accepted.set(accepted);
            self.accepted = Some(accepted);
            if accepted >= self.feed.durable() {
                self.sink.caught_up();
            }
        }
        let durable = self.sink.flush(clock.now())?;
        self.release(durable);
        if last && batches.is_empty() && accepted >= self.feed.durable() {
            let durable = self.sink.close()?;
            self.release(durable);
            return Ok(Step::Ended(durable));
        }
        Ok(Step::On)
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
                        "records {from} to {to} are no longer in the journal for this sink, which \
                         asks for them too late (docs/gaps.md, sink_away)"
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
