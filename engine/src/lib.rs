//! The engine: exchange bytes become batches, batches become a durable tape.

pub mod clock;
pub mod config;
pub mod dial;
pub mod driver;
pub mod duration;
pub mod endpoint;
pub mod lock;
pub mod outbox;
pub mod queue;
pub mod recording;
