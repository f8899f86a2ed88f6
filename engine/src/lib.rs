//! The engine: exchange bytes become batches, batches become a durable tape.

pub mod backoff;
pub mod book;
pub mod clock;
pub mod config;
pub mod control;
pub mod credits;
pub mod deribit;
pub mod dial;
pub mod driver;
pub mod duration;
pub mod endpoint;
pub mod export;
pub mod failure;
pub mod ferry;
pub mod fleet;
pub mod keeper;
pub mod lock;
pub mod logging;
pub mod metrics;
pub mod outbox;
pub mod pipeline;
pub mod probe;
pub mod progress;
pub mod queue;
// Not within the queue, whose file tests/interleavings.rs includes.
#[cfg(test)]
#[path = "queue/tests.rs"]
mod queue_tests;
pub mod reader;
pub mod recent;
pub mod recorder;
pub mod recording;
pub mod refill;
pub mod rest;
pub mod rpc;
pub mod selection;
pub mod session;
pub mod stop;
pub mod subscriptions;
mod sync;
pub mod tls;
pub mod transport;
pub mod websocket;
pub mod wire;
pub mod worker;
