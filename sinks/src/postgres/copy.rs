//! Rows as the bytes of `COPY … FROM STDIN (FORMAT binary)`.

use std::fmt;

use schema::Batch;

use super::cells::Cells;
use super::refusal::Reason;
use super::target::Target;

/// The rows of one batch, on their way into one table.
pub(super) struct Rows<'a> {
    target: &'a Target,
    cells: Vec<Cells<'a>>,
}

/// A cell that cannot be stored as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The column.
    pub(super) column: String,
    /// What is wrong with it.
    pub(super) reason: Reason,
}

impl<'a> Rows<'a> {
    /// The rows of `batch`, whose table is the target's.
    pub(super) fn new(batch: &'a Batch, target: &'a Target) -> Self {
        let arrays = batch.columns().columns();
        let cells = |(at, column): &'a (usize, super::column::Column)| {
            let (kind, array) = (batch.table().columns[*at].kind, &arrays[*at]);
            let cells = column.kind.and_then(|sql| Cells::new(kind, array, sql, column.not_null));
            cells.expect("a target has only columns that can be written")
        };
        Self { target, cells: target.columns().iter().map(cells).collect() }
    }

    /// Appends a row, or leaves `out` as it was and says why the row cannot be stored.
    pub(super) fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let before = out.len();
        let count = i16::try_from(self.cells.len()).expect("PostgreSQL allows 1600 columns");
        out.extend_from_slice(&count.to_be_bytes());
        for (at, cells) in self.cells.iter().enumerate() {
            if let Err(reason) = cells.encode(row, out) {
                out.truncate(before);
                let column = self.target.columns()[at].1.name.clone();
                return Err(Refusal { column, reason });
            }
        }
        Ok(())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.column, self.reason)
    }
}

/// What a binary COPY begins with: its signature, no flags, no extension.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What it ends with.
pub(super) const TRAILER: &[u8] = &(-1_i16).to_be_bytes();
