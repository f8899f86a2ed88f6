//! PostgreSQL and TimescaleDB: every row once, by binary COPY.
//!
//! Rows wait as the journal's shared batches until they are old enough or many. One transaction
//! then moves the position that stands in the database itself (`tapedeck_sinks`) and copies the
//! rows of every table. If the position is not what it was, nothing is stored and it is read
//! again: so neither a crash of either side nor a lost answer can store a row twice or lose one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use schema::{Batch, Now};
use tokio::runtime::{Builder, Runtime};

use crate::waiting::Waiting;
use crate::{Accepted, Position, Sink, SinkError, SinkErrorKind};

mod catalog;
mod cells;
mod column;
mod connection;
mod copy;
mod cursor;
mod error;
mod failure;
mod hole;
mod load;
pub mod migrations;
mod numeric;
mod quarantine;
mod refusal;
mod session;
mod target;
mod tls;
mod transaction;

pub use connection::{Address, connect, with_session};
pub use cursor::position;
pub use error::{DatabaseError, DatabaseErrorKind};

use cursor::Cursor;
use session::Session;

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
    /// How long rows wait at most, counted from the first flush call that saw them.
    pub age_max: Duration,
    /// How much a transaction holds, as [`Batch::bytes`] counts; the batch that crosses it counts.
    pub bytes_max: usize,
    /// What the database is brought to when a session is opened; `None` leaves it as it is.
    pub migrations: Option<migrations::Options>,
}

impl Default for Options {
    fn default() -> Self {
        let migrations = Some(migrations::Options::default());
        Self { age_max: Duration::from_secs(1), bytes_max: 32 << 20, migrations }
    }
}

/// Everything between `open` and the first error.
struct Opened {
    session: Session,
    /// The session's own, so that its socket goes with it: a server must not wait for us.
    runtime: Runtime,
    durable: u64,
    accepted: u64,
    waiting: Waiting,
}

impl Opened {
    fn take(&mut self, batch: Arc<Batch>) {
        self.accepted = batch.position();
        self.waiting.push(batch);
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
        self.ready(journal, PREPARE_MAX, PREPARE_MAX)
    }

    fn ready(
        &mut self,
        journal: &str,
        patience: Duration,
        migrating_max: Duration,
    ) -> Result<Position, SinkError> {
        self.opened = None;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| SinkError {
            kind: SinkErrorKind::Retry,
            doing: "preparing to speak with the database".into(),
            source: Box::new(error),
        })?;
        let cursor = Cursor::new(NAME, journal, self.guarded);
        let (address, trust) = (&self.address, &self.trust);
        let migrations = self.options.migrations.as_ref();
        let opened = runtime.block_on(async {
            let opening = Session::open(address, trust, cursor);
            let mut session = in_time(patience, "opening a session", opening).await?;
            if let Some(options) = migrations {
                let migrating = session.migrate(options);
                in_time(migrating_max, "migrating the database", migrating).await?;
            }
            let position = in_time(patience, "looking at the database's tables", session.check());
            Ok((position.await?, session))
        });
        let (durable, session) = opened.map_err(failure::sink_error)?;
        self.opened = Some(Opened {
            session,
            runtime,
            durable,
            accepted: durable,
            waiting: Waiting::default(),
        });
        Ok(Position(durable))
    }

    /// Stores everything that waits. After an error the sink is closed.
    fn store(&mut self) -> Result<Position, SinkError> {
        let mut opened = self.opened.take().expect(OPEN_FIRST);
        if !opened.waiting.batches().is_empty() {
            let range = (opened.durable, opened.accepted);
            let (session, batches) = (&mut opened.session, opened.waiting.batches());
            let stored = in_time(ANSWER_MAX, "storing rows", session.store(batches, range));
            opened.runtime.block_on(stored).map_err(patient)?;
            opened.durable = opened.accepted;
            opened.waiting.clear();
        }
        let durable = opened.durable;
        self.opened = Some(opened);
        Ok(Position(durable))
    }
}

impl Sink for Postgres {
    fn name(&self) -> &str {
        NAME
    }

    fn open(&mut self, journal: &str) -> Result<Position, SinkError> {
        self.ready(journal, ANSWER_MAX, MIGRATING_MAX).map_err(wait)
    }

    fn write(&mut self, batches: &[Arc<Batch>]) -> Result<Accepted, SinkError> {
        for batch in batches {
            let opened = self.opened.as_mut().expect(OPEN_FIRST);
            assert!(batch.position() > opened.accepted, "no record comes twice");
            if batch.position() > opened.accepted + 1 {
                opened.take(hole::named(opened.accepted, batch));
            }
            opened.take(Arc::clone(batch));
            if opened.waiting.bytes() >= self.options.bytes_max {
                self.store()?;
            }
        }
        Ok(Accepted(self.opened.as_ref().expect(OPEN_FIRST).accepted))
    }

    fn flush(&mut self, now: Now) -> Result<Position, SinkError> {
        let opened = self.opened.as_mut().expect(OPEN_FIRST);
        match opened.waiting.is_old(now, self.options.age_max) {
            true => self.store(),
            false => Ok(Position(opened.durable)),
        }
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

/// Work that must come to an end.
async fn in_time<T>(
    patience: Duration,
    doing: &str,
    work: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
        let what = format!("{doing}: the database came to no end in {patience:?}");
        Err(DatabaseError::said(DatabaseErrorKind::Away, what))
    })
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
/// What takes longer waits for something that will not come.
const ANSWER_MAX: Duration = Duration::from_secs(300);
/// An index over a table that holds years is not made in minutes.
const MIGRATING_MAX: Duration = Duration::from_secs(6 * 3_600);

#[cfg(test)]
mod tests;
