//! The durable log between reading and storing.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

mod appender;
mod beginning;
mod columns;
pub mod disk;
mod error;
mod feed;
mod fields;
mod journal;
mod ledger;
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
pub use journal::{Journal, open};
pub use options::Options;
pub use recovery::{Recovery, Torn};
pub use resume::{Last, Resume, Shard, ShardFact, Watermark};
pub use syncer::Syncer;
