//! The journal's two threads: one appends what the readers hand over, one makes it durable.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use journal::{Appender, Feed, JournalError, ShardFact, Syncer, Watermark};
use schema::{Micros, Now};

use crate::clock::Clock;
use crate::failure::{Failure, FailureKind};
use crate::metrics::Counter;
use crate::queue::{Item, Next, Outlet};
use crate::recent::Recent;
use crate::stop::Stop;

/// The two threads.
#[derive(Debug)]
pub struct Keeper {
    append: JoinHandle<Result<(), JournalError>>,
    sync: JoinHandle<Result<(), JournalError>>,
}

/// What the threads count.
#[derive(Debug, Default)]
pub struct Kept {
    /// Rows appended.
    pub rows: Counter,
    /// Record up to which everything is durable.
    pub durable: Counter,
    /// Gaps and events that were handed in lately.
    pub recent: Recent,
    /// Instant up to which everything received is durable, µs UTC; 0 before the first sync.
    pub through_us: Counter,
}

impl Keeper {
    /// Starts both threads. `readers` is how many hand over; `stop` says that nobody waits for room
    /// on a full disk any more; `trouble` is raised when the journal fails, so that everybody else
    /// ends too.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        outlet: Outlet,
        (appender, syncer, feed): (Appender, Syncer, Feed),
        readers: u16,
        clock: Clock,
        (stop, trouble): (Stop, Stop),
    ) -> std::io::Result<(Self, Arc<Kept>)> {
        let kept = Arc::new(Kept::default());
        kept.durable.set(feed.durable());
        let appending = Appending::new(appender, readers, Arc::clone(&kept), stop);
        let failed = trouble.clone();
        let append = thread::Builder::new().name("append".into()).spawn(move || {
            let _guard = failed.on_panic();
            // An outlet that is dropped tells the readers that nothing more is taken.
            let done = appending.run(&outlet);
            if done.is_err() {
                failed.raise();
            }
            done
        })?;
        let syncing = Syncing::new(syncer, feed, Arc::clone(&kept), clock.now());
        let sync = thread::Builder::new().name("fsync".into()).spawn(move || {
            let _guard = trouble.on_panic();
            let done = syncing.run(&clock);
            if done.is_err() {
                trouble.raise();
            }
            done
        })?;
        Ok((Self { append, sync }, kept))
    }

    /// Waits for both threads; they end when every reader is gone.
    ///
    /// # Errors
    /// What stopped the journal.
    pub fn join(self) -> Result<(), Failure> {
        let ended = |thread: JoinHandle<Result<(), JournalError>>, name: &str| match thread.join() {
            Ok(done) => done.map_err(|error| Failure::new(FailureKind::Storage, error)),
            Err(_) => Err(Failure::panicked(name)),
        };
        let appended = ended(self.append, "the append thread");
        let synced = ended(self.sync, "the fsync thread");
        appended.and(synced)
    }
}

/// Appends what the readers hand over, a step at a time.
#[derive(Debug)]
pub struct Appending {
    appender: Appender,
    /// Up to when each reader has handed over everything; `None` before its first word.
    through: Vec<Option<Micros>>,
    /// Times in a row that the disk was found full.
    full: u32,
    kept: Arc<Kept>,
    stop: Stop,
}

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An item was taken, or a full disk has room again: go on.
    On,
    /// Nothing came in time.
    Idle,
    /// The disk is full: somebody may be making room, and the queue still holds. Go on after
    /// [`ROOM_PAUSE`].
    Full,
    /// Every reader is gone and everything is appended: [`Appending::close`] follows.
    Ended,
}

impl Appending {
    /// Takes from `readers` readers. `stop` says that nobody waits for room any more.
    #[must_use]
    pub fn new(appender: Appender, readers: u16, kept: Arc<Kept>, stop: Stop) -> Self {
        Self { appender, through: vec![None; readers.into()], full: 0, kept, stop }
    }

    fn run(mut self, outlet: &Outlet) -> Result<(), JournalError> {
        loop {
            match self.step(outlet, WAIT)? {
                Step::On | Step::Idle => {}
                Step::Full => thread::sleep(ROOM_PAUSE),
                Step::Ended => return self.close(),
            }
        }
    }

    /// Takes one item, after waiting for at most `wait`; or tries again on a full disk.
    ///
    /// # Errors
    /// The journal is of no more use, or the disk is still full after a while.
    pub fn step(&mut self, outlet: &Outlet, wait: Duration) -> Result<Step, JournalError> {
        let (step, taken) = if self.full > 0 {
            (Step::On, self.appender.settle())
        } else {
            match outlet.take(wait) {
                Next::Item(item) => (Step::On, self.take(item)),
                Next::Idle => (Step::Idle, self.appender.settle()),
                Next::Ended => {
                    let (rows_in, rows_out) = outlet.rows();
                    assert_eq!(rows_in, rows_out, "the queue loses no row");
                    return Ok(Step::Ended);
                }
            }
        };
        match taken {
            Ok(()) => {
                self.full = 0;
                Ok(step)
            }
            // Nobody waits for room when everything is to end.
            Err(error) if error.is_full() && self.full < ROOM_TRIES && !self.stop.raised() => {
                tracing::error!("{error}");
                self.full += 1;
                Ok(Step::Full)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the journal once every reader is gone.
    ///
    /// # Errors
    /// When what was appended cannot be made durable.
    pub fn close(self) -> Result<(), JournalError> {
        let watermark = self.appender.close()?;
        self.kept.durable.set(watermark.position);
        Ok(())
    }

    fn take(&mut self, item: Item) -> Result<(), JournalError> {
        match item {
            Item::Rows(draft) => {
                self.kept.rows.add(draft.rows() as u64);
                self.kept.recent.note(&draft);
                self.appender.append(draft).map(drop)
            }
            Item::Through { reader, at } => self.through(reader, at),
            Item::Shard { shard, channels, at, unasked_since } => {
                let channels = channels.iter().map(String::from).collect();
                let shard = shard.to_string();
                self.appender.shard(ShardFact { shard, channels, at, unasked_since })
            }
        }
    }

    /// The journal is complete up to the slowest reader's word.
    fn through(&mut self, reader: u16, at: Micros) -> Result<(), JournalError> {
        if let Some(through) = self.through.get_mut(usize::from(reader)) {
            *through = Some(at);
        }
        match self.through.iter().copied().min().flatten() {
            Some(at) => self.appender.through(at),
            None => Ok(()),
        }
    }
}

/// Makes durable what is appended, and now and then lets go of segments that nobody needs.
#[derive(Debug)]
pub struct Syncing {
    syncer: Syncer,
    feed: Feed,
    kept: Arc<Kept>,
    trimmed_at: Duration,
}

impl Syncing {
    /// Nothing is synced yet.
    #[must_use]
    pub fn new(syncer: Syncer, feed: Feed, kept: Arc<Kept>, now: Now) -> Self {
        Self { syncer, feed, kept, trimmed_at: now.monotonic }
    }

    /// Syncs until the appender is gone.
    fn run(mut self, clock: &Clock) -> Result<(), JournalError> {
        while let Some(watermark) = self.syncer.wait_and_sync()? {
            self.synced(watermark, clock.now());
        }
        Ok(())
    }

    /// One sync, at once.
    ///
    /// # Errors
    /// A failed sync, then and ever after.
    pub fn step(&mut self, now: Now) -> Result<(), JournalError> {
        let watermark = self.syncer.sync()?;
        self.synced(watermark, now);
        Ok(())
    }

    fn synced(&mut self, watermark: Watermark, now: Now) {
        self.kept.durable.set(watermark.position);
        self.kept.through_us.set(u64::try_from(watermark.through.0).unwrap_or_default());
        if now.monotonic.saturating_sub(self.trimmed_at) < TRIM_INTERVAL {
            return;
        }
        self.trimmed_at = now.monotonic;
        match self.feed.trim(now) {
            Ok(removed) => removed.iter().for_each(|segment| {
                tracing::info!("{} is no longer needed", segment.display());
            }),
            // Too much is kept, nothing is lost; if the journal is poisoned, the sync says so.
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

const WAIT: Duration = Duration::from_millis(100);
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
/// How long a full disk is waited for: tries, and the pause between them.
const ROOM_TRIES: u32 = 20;
/// The pause after which a full disk is tried again.
pub const ROOM_PAUSE: Duration = Duration::from_millis(500);
