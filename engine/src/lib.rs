//! The engine: exchange bytes become batches, batches become a durable tape.

pub mod clock;
pub mod config;
pub mod dial;
pub mod driver;
pub mod duration;
pub mod queue;
