//! The journal's two threads: one appends what the readers hand over, one makes it durable.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use journal::{Appender, Feed, JournalError, ShardFact, Syncer};
use schema::Micros;

use crate::clock::Clock;
use crate::failure::{Failure, FailureKind};
use crate::metrics::Counter;
use crate::queue::{Item, Next, Outlet};
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
        let mut appending = Appending {
            appender,
            through: vec![None; readers.into()],
            kept: Arc::clone(&kept),
            stop,
        };
        let failed = trouble.clone();
        let append = thread::Builder::new().name("append".into()).spawn(move || {
            let _guard = failed.on_panic();
            // An outlet that is dropped tells the readers that nothing more is taken.
            let done = appending.run(&outlet).and_then(|()| appending.close());
            if done.is_err() {
                failed.raise();
            }
            done
        })?;
        let counted = Arc::clone(&kept);
        let sync = thread::Builder::new().name("fsync".into()).spawn(move || {
            let _guard = trouble.on_panic();
            let done = keep_durable(syncer, &feed, &clock, &counted);
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

struct Appending {
    appender: Appender,
    /// Up to when each reader has handed over everything; `None` before its first word.
    through: Vec<Option<Micros>>,
    kept: Arc<Kept>,
    stop: Stop,
}

impl Appending {
    fn run(&mut self, outlet: &Outlet) -> Result<(), JournalError> {
        loop {
            match outlet.take(WAIT) {
                Next::Item(item) => {
                    let taken = self.take(item);
                    self.find_room(taken)?;
                }
                Next::Idle => {
                    let settled = self.appender.settle();
                    self.find_room(settled)?;
                }
                Next::Ended => {
                    let (rows_in, rows_out) = outlet.rows();
                    assert_eq!(rows_in, rows_out, "the queue loses no row");
                    return Ok(());
                }
            }
        }
    }

    fn take(&mut self, item: Item) -> Result<(), JournalError> {
        match item {
            Item::Rows(draft) => {
                self.kept.rows.add(draft.rows() as u64);
                self.appender.append(draft).map(drop)
            }
            Item::Through { reader, at } => self.through(reader, at),
            Item::Shard { shard, channels, at } => {
                let channels = channels.iter().map(String::from).collect();
                self.appender.shard(ShardFact { shard: shard.to_string(), channels, at })
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

    /// A full disk is given a while: somebody may be making room, and the queue still holds. Not
    /// so when everything is to end.
    fn find_room(&mut self, mut taken: Result<(), JournalError>) -> Result<(), JournalError> {
        for _ in 0..ROOM_TRIES {
            match taken {
                Err(error) if error.is_full() && !self.stop.raised() => {
                    tracing::error!("{error}");
                    thread::sleep(ROOM_PAUSE);
                    taken = self.appender.settle();
                }
                done => return done,
            }
        }
        taken
    }

    fn close(self) -> Result<(), JournalError> {
        let watermark = self.appender.close()?;
        self.kept.durable.set(watermark.position);
        Ok(())
    }
}

/// Syncs until the appender is gone; now and then lets go of segments that nobody needs.
fn keep_durable(
    mut syncer: Syncer,
    feed: &Feed,
    clock: &Clock,
    kept: &Kept,
) -> Result<(), JournalError> {
    let mut trimmed_at = clock.now().monotonic;
    while let Some(watermark) = syncer.wait_and_sync()? {
        kept.durable.set(watermark.position);
        let now = clock.now();
        if now.monotonic.saturating_sub(trimmed_at) >= TRIM_INTERVAL {
            trimmed_at = now.monotonic;
            match feed.trim(now) {
                Ok(removed) => removed.iter().for_each(|segment| {
                    tracing::info!("{} is no longer needed", segment.display());
                }),
                // Too much is kept, nothing is lost; if the journal is poisoned, the sync says so.
                Err(error) => tracing::warn!("{error}"),
            }
        }
    }
    Ok(())
}

const WAIT: Duration = Duration::from_millis(100);
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
/// How long a full disk is waited for: tries, and the pause between them.
const ROOM_TRIES: u32 = 20;
const ROOM_PAUSE: Duration = Duration::from_millis(500);
