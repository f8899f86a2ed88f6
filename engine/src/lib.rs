//! The engine: exchange bytes become batches, batches become a durable tape.

pub mod backoff;
pub mod clock;
pub mod config;
pub mod credits;
pub mod deribit;
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
pub mod rpc;
pub mod selection;
pub mod session;
pub mod stop;
pub mod subscriptions;
pub mod tls;
pub mod transport;
pub mod websocket;
