//! What is stored: tables, columns, units, and the batches that carry them.
//!
//! A table is declared once, in [`mod@tables`]. Everything else is read from that declaration: the
//! Arrow schema ([`Table::arrow`]), the row struct and its builders ([`Rows`](tables::Rows)), the
//! digest that recognises a repeated ticker ([`Row::digest`]), the reference page
//! ([`page::render`]), and in `sinks` the Parquet files and the SQL.

mod batch;
mod cell;
mod declare;
mod digest;
pub mod instrument;
pub mod page;
mod table;
pub mod tables;
mod time;

pub use batch::{Batch, Builder, Draft, Origin, Row};
#[doc(hidden)]
pub use cell::finish;
pub use cell::{Cell, Json, Kind, Name, Text};
pub use digest::Digest;
pub use instrument::Instrument;
pub use table::{Column, Partition, SqlName, Table, Unit};
pub use time::{Date, Micros, Now};
