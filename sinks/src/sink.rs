//! The contract between the worker and a place where batches go.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use schema::{Batch, Now};

/// A place where batches go.
///
/// A sink owns its thread, so it may block. It is called from that thread only, with the journal's
/// records in the order of their positions, none left out and none twice. Only the first record
/// after `open` may lie further on than the position asked for, when the journal has forgotten
/// what is between; the caller names that gap.
pub trait Sink: Send + fmt::Debug {
    /// The name in the configuration, in `DATA/sinks/NAME` and in messages.
    fn name(&self) -> &str;

    /// Whether what it holds outlives the process. Only then may the journal forget on its word.
    fn durable(&self) -> bool {
        true
    }

    /// Makes the sink ready for `journal` and says what it durably holds of it, so that the
    /// worker goes on from there. May be called again at any time, after an error above all: what
    /// was accepted and is not durable is forgotten, and will be given again.
    ///
    /// # Errors
    /// [`SinkErrorKind::Retry`] when a later try may succeed, [`SinkErrorKind::Stop`] otherwise.
    fn open(&mut self, journal: &str) -> Result<Position, SinkError>;

    /// Takes the records. `Ok` means accepted, not durable.
    ///
    /// # Errors
    /// After an error nothing, part or all of the records may have been taken: the worker opens
    /// the sink again and goes on from the position it then reports.
    fn write(&mut self, batches: &[Arc<Batch>]) -> Result<Accepted, SinkError>;

    /// Says that the journal holds nothing more that is durable. A sink that gathers rows, to store
    /// many at a time, then knows that it waits for none. Said again after each
    /// [`write`](Self::write) that this is true of.
    fn caught_up(&mut self) {}

    /// Lets time pass and makes accepted records durable when the sink thinks it is time; says
    /// what is durable now. Only that lets the journal forget.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn flush(&mut self, now: Now) -> Result<Position, SinkError>;

    /// Makes everything accepted durable, and says up to where.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn close(&mut self) -> Result<Position, SinkError>;
}

/// Up to which record of the journal (inclusive) everything is durable in a sink; 0 is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// Up to which record (inclusive) a sink has taken what it was given. It may still lose it: only
/// a [`Position`] is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accepted(pub u64);

/// What went wrong, said so that the caller knows what to do next.
#[derive(Debug)]
pub struct SinkError {
    /// What to do next.
    pub kind: SinkErrorKind,
    /// What was being done, with the place: "writing DATA/parquet/option_quotes/…".
    pub doing: String,
    /// What came in the way.
    pub source: Box<dyn Error + Send + Sync>,
}

/// What a worker does after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkErrorKind {
    /// The same call may succeed later: the disk is full, the database is away.
    Retry,
    /// The sink is unusable: its files are damaged, its password is wrong.
    Stop,
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.source)
    }
}

impl Error for SinkError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
