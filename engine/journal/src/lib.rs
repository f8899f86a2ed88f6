//! The durable log between reading and storing.

pub mod disk;
