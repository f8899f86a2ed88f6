//! The durable log between reading and storing.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

pub mod disk;
