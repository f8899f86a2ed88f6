//! The recorder: exchange bytes become batches.

pub mod backoff;
pub mod credits;
pub mod rpc;
pub mod session;
pub mod subscriptions;
