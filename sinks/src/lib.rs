//! Where batches go.

mod sink;

pub use sink::{Accepted, Position, Sink, SinkError, SinkErrorKind};
