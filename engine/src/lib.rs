//! The engine: exchange bytes become batches, batches become a durable tape.

pub mod clock;
pub mod config;
pub mod dial;
pub mod driver;
pub mod duration;
pub mod endpoint;
pub mod failure;
pub mod lock;
pub mod logging;
pub mod metrics;
pub mod outbox;
pub mod queue;
pub mod recording;
pub mod rest;
pub mod selection;
pub mod stop;
