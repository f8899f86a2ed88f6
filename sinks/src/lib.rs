//! Where batches go.

#[cfg(test)]
mod contract;
mod memory;
pub mod parquet;
pub mod postgres;
#[cfg(test)]
mod sample;
mod sink;
mod waiting;

pub use self::parquet::Parquet;
pub use self::postgres::Postgres;
pub use memory::Memory;
pub use sink::{Accepted, Position, Sink, SinkError, SinkErrorKind};
