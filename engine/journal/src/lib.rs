//! The durable log between reading and storing.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]
#![allow(dead_code)]

mod columns;
pub mod disk;
mod error;
mod fields;
mod record;
mod segment;

pub use error::{ErrorKind, JournalError};
