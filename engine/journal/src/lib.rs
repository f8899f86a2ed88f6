//! The durable log between reading and storing.
//!
//! ```text
//! Draft → appender → NNNNNN.seg → syncer → feed → sinks
//!         numbers,    records      fsync    offers what is durable: the shared batch from memory,
//!         writes      with CRC              or read back from the segments
//! ```
//!
//! # On the disk
//!
//! `DATA/journal/ID/NNNNNN.seg`, where ID is a UUID minted with the folder. A segment is a header
//! and records, each under a CRC that also covers its place, so that bytes of another file or
//! another place are never taken for a record. First comes a checkpoint (the newest identities of
//! every instrument, each shard's channels); before a table's first batch stands its schema: every
//! segment can be read alone. Batches are Arrow IPC messages, lz4, without schema and `sequence`.
//!
//! Batches have contiguous positions from 1, rows have contiguous sequences from 0, over all
//! tables. Both are asserted when written and checked when read.
//!
//! # What survives
//!
//! What [`Appender::append`] returned survives kill -9; what a [`Watermark`] covers survives a
//! power cut. Only that is offered to sinks. After a failed write or sync the journal is poisoned.
//!
//! # A tear or damage?
//!
//! A power cut may leave anything in bytes that were not synced: zeros, garbage, whole records
//! after lost ones. Such a tear is cut off when the journal is opened, and reported. Damage of
//! durable bytes is an error, and nothing is changed. They are told apart so:
//!
//! - A segment is synced before the next one exists, and a segment has its name only once its
//!   header and checkpoint are durable. So a tear lies in the last segment, behind the checkpoint.
//! - After each sync a watermark record says how many bytes of the segment were durable before it.
//!   If a bad record stands at an offset below what any watermark after it promises, it was durable
//!   once: damage. If no later watermark covers it, it is a tear.
//!
//! So only what lies behind the newest watermark, one sync interval, can be damaged and be taken
//! for a tear.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

mod appender;
mod beginning;
mod columns;
pub mod disk;
mod ending;
mod error;
mod feed;
mod fields;
mod inspect;
mod journal;
mod ledger;
mod missing;
mod options;
mod record;
mod recovery;
mod resume;
mod scanner;
mod segment;
mod syncer;

pub use appender::Appender;
use error::is_full;
pub use error::{ErrorKind, JournalError};
pub use feed::Feed;
pub use inspect::{Report, SegmentReport, State, TableReport, inspect};
pub use journal::{Journal, open};
pub use missing::Hole;
pub use options::Options;
pub use recovery::{Recovery, Torn};
pub use resume::{
    AND, FOR_GOOD, Last, MISSING, MISSING_TRADES, Named, Resume, Shard, ShardFact, Told, Watermark,
};
pub use syncer::Syncer;
