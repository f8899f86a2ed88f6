//! PostgreSQL and TimescaleDB: every row once, by binary COPY.
//!
//! Rows are encoded as they come and wait until nothing more is to be had, or until they are old
//! enough or many. One transaction then moves the position that stands in the database itself
//! (`tapedeck_sinks`) and copies the rows of every table. If the position is not what it was,
//! nothing is stored and it is read again: so neither a crash of either side nor a lost answer can
//! store a row twice or lose one. While one transaction is under way the next is gathered, and
//! nothing of it is sent before the server has said that the first is committed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use schema::{Batch, Now};

use crate::{Accepted, Position, Sink, SinkError, SinkErrorKind};

mod catalog;
mod cells;
mod column;
mod connection;
mod copy;
mod cursor;
mod error;
mod failure;
mod gathered;
mod hole;
mod load;
pub mod migrations;
mod numeric;
mod parcel;
mod pipe;
mod quarantine;
mod refill;
mod refusal;
mod session;
mod step;
mod target;
mod tls;
mod transaction;
mod writer;

pub use connection::{Address, connect, with_session};
pub use cursor::position;
pub use error::{DatabaseError, DatabaseErrorKind};
pub use hole::{Hole, holes};
pub use refill::{Archived, Refill, Stored};

use cursor::{Cursor, Place};
use pipe::Pipe;
use session::{Patience, Session};
use writer::{ANSWER_MAX, Writer, in_time};

/// The database sink.
///
/// A database that is away is a normal state, and so is one that somebody has to mend first: a
/// password that was changed must not end a recording. What nobody will mend by waiting is told
/// once, by [`prepare`](Self::prepare), before anything is recorded; the sink itself always asks
/// to be tried again.
pub struct Postgres {
    address: Address,
    trust: Arc<ClientConfig>,
    options: Options,
    /// Whether the position is moved with the rows: always, but in a bench.
    guarded: bool,
    opened: Option<Opened>,
}

/// How the database is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long rows wait at most, counted from the first flush call that saw them. They wait at
    /// all only while there is more to be had.
    pub age_max: Duration,
    /// How much memory a transaction takes, its records and their encoded rows; the record that
    /// crosses it counts. There are two: one under way, and the next.
    pub bytes_max: usize,
    /// What the database is brought to when a session is opened; `None` leaves it as it is.
    pub migrations: Option<migrations::Options>,
}

impl Default for Options {
    fn default() -> Self {
        let migrations = Some(migrations::Options::default());
        Self { age_max: Duration::from_secs(1), bytes_max: 16 << 20, migrations }
    }
}

/// Everything between `open` and the first error.
struct Opened {
    pipe: Pipe,
    cursor: Cursor,
    /// What was accepted.
    accepted: Place,
    /// What lies between the accepted records of the next transaction and never came.
    holes: Vec<Hole>,
    /// Nothing more is to be had.
    caught_up: bool,
    /// When rows were stored last because of that.
    stored_at: Option<Duration>,
}

impl Opened {
    fn take(&mut self, batch: &Arc<Batch>) -> Result<(), DatabaseError> {
        if let Some(hole) = Hole::between(self.accepted, batch) {
            self.pipe.take(hole.named(hole::begins(batch), hole::LET_GO))?;
            self.holes.push(hole);
        }
        self.accepted = Place::behind(batch);
        self.pipe.take(Arc::clone(batch))
    }

    /// Begins to store what was gathered, once what is under way is stored.
    fn send(&mut self) -> Result<(), DatabaseError> {
        let stored = self.pipe.settle()?;
        if !self.pipe.is_empty() {
            let step = self.cursor.step(stored, self.accepted, &self.holes);
            self.holes.clear();
            self.pipe.send(step, self.accepted.position);
        }
        Ok(())
    }

    /// Whether what was gathered waits for nothing.
    fn is_due(&mut self, now: Now, age_max: Duration) -> bool {
        if self.pipe.is_empty() {
            return false;
        }
        let rested = self.stored_at.is_none_or(|at| now.monotonic.saturating_sub(at) >= REST);
        let due = self.caught_up && rested;
        if due {
            self.stored_at = Some(now.monotonic);
        }
        due || self.pipe.is_old(now, age_max)
    }
}

impl Postgres {
    /// A sink that writes into that database, to be opened before use.
    #[must_use]
    pub fn new(address: Address, trust: Arc<ClientConfig>, options: Options) -> Self {
        Self { address, trust, options, guarded: true, opened: None }
    }

    /// Leaves the position where it is, so that a bench can tell what moving it costs: rows are
    /// then no longer stored once.
    #[cfg(feature = "bench")]
    #[must_use]
    pub fn unguarded(mut self) -> Self {
        self.guarded = false;
        self
    }

    /// Opens the sink for a journal, so that what is wrong can be told before anything is
    /// recorded. Needed by nothing: [`open`](Sink::open) does the same.
    ///
    /// # Errors
    /// [`SinkErrorKind::Retry`] when the database is away, or takes too long;
    /// [`SinkErrorKind::Stop`] when waiting will not help: a wrong password, a missing database, a
    /// table that does not fit.
    pub fn prepare(&mut self, journal: &str) -> Result<Position, SinkError> {
        self.ready(journal, Patience { opening: PREPARE_MAX, migrating: PREPARE_MAX })
    }

    fn ready(&mut self, journal: &str, patience: Patience) -> Result<Position, SinkError> {
        self.opened = None;
        let cursor = Cursor::new(NAME, journal, self.guarded);
        let looker = cursor.clone();
        let (address, trust) = (self.address.clone(), Arc::clone(&self.trust));
        let migrations = self.options.migrations.clone();
        let opened = Writer::start(async move || {
            let name = format!("tapedeck {}", looker.journal);
            let ready = Session::ready(&address, &trust, &name, migrations.as_ref(), patience);
            let mut session = ready.await?;
            let looking = async {
                session.look_again().await?;
                looker.read(&session.client).await
            };
            let doing = "looking at the database's tables";
            let place = in_time(patience.opening, doing, looking).await?;
            Ok((session, place))
        });
        let (writer, accepted) = opened.map_err(failure::sink_error)?;
        let pipe = Pipe::new(writer, accepted.position);
        let (holes, caught_up, stored_at) = (Vec::new(), false, None);
        self.opened = Some(Opened { pipe, cursor, accepted, holes, caught_up, stored_at });
        Ok(Position(accepted.position))
    }

    /// Stores all that waits.
    fn store(&mut self) -> Result<Position, SinkError> {
        self.work(|opened| {
            opened.send()?;
            opened.pipe.settle().map(drop)
        })
    }

    /// Begins to store what waits as one transaction, as a bench wants it cut.
    ///
    /// # Errors
    /// As [`close`](Sink::close).
    #[cfg(feature = "bench")]
    pub fn cut(&mut self) -> Result<Position, SinkError> {
        self.work(Opened::send)
    }

    /// Works with the session, and says what is durable then. After an error the sink is closed.
    fn work(
        &mut self,
        work: impl FnOnce(&mut Opened) -> Result<(), DatabaseError>,
    ) -> Result<Position, SinkError> {
        let mut opened = self.opened.take().expect(OPEN_FIRST);
        work(&mut opened).map_err(patient)?;
        let stored = opened.pipe.stored();
        self.opened = Some(opened);
        Ok(Position(stored))
    }
}

impl Sink for Postgres {
    fn name(&self) -> &str {
        NAME
    }

    fn open(&mut self, journal: &str) -> Result<Position, SinkError> {
        let patience = Patience { opening: ANSWER_MAX, migrating: MIGRATING_MAX };
        self.ready(journal, patience).map_err(wait)
    }

    fn write(&mut self, batches: &[Arc<Batch>]) -> Result<Accepted, SinkError> {
        let bytes_max = self.options.bytes_max;
        let _ = self.work(|opened| {
            opened.caught_up &= batches.is_empty();
            for batch in batches {
                assert!(batch.position() > opened.accepted.position, "no record comes twice");
                opened.take(batch)?;
                if opened.pipe.bytes() >= bytes_max {
                    opened.send()?;
                }
            }
            Ok(())
        })?;
        Ok(Accepted(self.opened.as_ref().expect(OPEN_FIRST).accepted.position))
    }

    fn caught_up(&mut self) {
        self.opened.as_mut().expect(OPEN_FIRST).caught_up = true;
    }

    fn flush(&mut self, now: Now) -> Result<Position, SinkError> {
        let age_max = self.options.age_max;
        if self.opened.as_mut().expect(OPEN_FIRST).is_due(now, age_max) {
            return self.store();
        }
        self.work(|opened| opened.pipe.look().map(drop))
    }

    fn close(&mut self) -> Result<Position, SinkError> {
        self.store()
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opened = self.opened.is_some();
        write!(f, "Postgres({}, {})", self.address, if opened { "open" } else { "closed" })
    }
}

/// An error of a sink that is at work.
fn patient(error: DatabaseError) -> SinkError {
    wait(failure::sink_error(error))
}

/// What waiting does not mend, somebody will: the recording goes on until then.
fn wait(mut error: SinkError) -> SinkError {
    if error.kind == SinkErrorKind::Stop {
        error.kind = SinkErrorKind::Retry;
        error.doing.push_str(" (it needs somebody; all is kept in the journal meanwhile)");
    }
    error
}

/// The sink's name, in the database too.
pub const NAME: &str = "postgres";
const OPEN_FIRST: &str = "a sink is opened before use, and again after an error";
/// A recording does not wait longer for its database.
const PREPARE_MAX: Duration = Duration::from_secs(15);
/// Between transactions for few rows each: at most a few in a second.
const REST: Duration = Duration::from_millis(250);
/// An index over a table that holds years is not made in minutes.
const MIGRATING_MAX: Duration = Duration::from_secs(6 * 3_600);

#[cfg(test)]
mod tests;
