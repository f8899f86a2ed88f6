//! PostgreSQL and TimescaleDB: the connection, and the migrations of what is stored there.

mod connection;
mod error;
pub mod migrations;
mod tls;

pub use connection::{Address, connect, with_session};
pub use error::{DatabaseError, DatabaseErrorKind};
