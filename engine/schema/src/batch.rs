//! Rows gathered into columns: a draft on its way to the journal, a batch on its way out of it.

use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::SchemaRef;

use crate::{Digest, Micros, Table};

/// A typed row of one table. Implemented by [`table!`](crate::table!) only.
pub trait Row {
    /// One builder a column.
    type Builders;
    /// The table the row belongs to.
    const TABLE: &'static Table;

    /// Empty columns.
    fn builders() -> Self::Builders;
    /// Adds the row to the columns.
    fn append(&self, builders: &mut Self::Builders);
    /// Takes the columns, without `sequence`, out of their builders.
    fn finish(builders: &mut Self::Builders) -> Vec<ArrayRef>;
    /// The digest of what the exchange sent in this row.
    fn digest(&self, digest: &mut Digest) -> u128;
}

/// Gathers the rows of one table until [`take`](Self::take).
pub struct Builder<R: Row> {
    schema: SchemaRef,
    builders: R::Builders,
    rows: usize,
}

impl<R: Row> Default for Builder<R> {
    fn default() -> Self {
        Self { schema: R::TABLE.arrow(), builders: R::builders(), rows: 0 }
    }
}

impl<R: Row> Builder<R> {
    /// Rows since the last [`take`](Self::take).
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row. Any lifetime will do: the cells are copied.
    pub fn push(&mut self, row: &impl Row<Builders = R::Builders>) {
        row.append(&mut self.builders);
        self.rows += 1;
    }

    /// The rows since the last call, or `None` if there were none.
    pub fn take(&mut self, origin: Origin) -> Option<Draft> {
        if self.rows == 0 {
            return None;
        }
        let rows = std::mem::take(&mut self.rows);
        let columns = R::finish(&mut self.builders);
        assert!(columns.iter().all(|column| column.len() == rows), "every column has every row");
        Some(Draft { table: R::TABLE, schema: Arc::clone(&self.schema), columns, rows, origin })
    }
}

impl<R: Row> fmt::Debug for Builder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({}: {} rows)", R::TABLE.name, self.rows)
    }
}

/// Where a batch was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The reader that received the rows; readers count from 0.
    pub reader: u16,
    /// Microseconds by which `received_at` may be late: the reader's pause after a wake-up.
    pub read_coalesce_us: u32,
}

/// Columns of one table that the journal has not numbered yet. Never empty.
#[derive(Debug)]
pub struct Draft {
    table: &'static Table,
    schema: SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
    origin: Origin,
}

impl Draft {
    /// The table of the rows.
    #[must_use]
    pub fn table(&self) -> &'static Table {
        self.table
    }

    /// How many rows; at least one.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Where the rows were received.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Memory held, bytes: what a queue counts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(|column| column.get_array_memory_size()).sum()
    }

    /// The first and the last `received_at` of the rows.
    #[must_use]
    pub fn received(&self) -> (Micros, Micros) {
        let times = self.times("received_at").expect("every recorded table has it");
        (Micros(times.value(0)), Micros(times.value(self.rows - 1)))
    }

    /// The earliest of the rows' own instants, where the table has such.
    #[must_use]
    pub fn said_from(&self) -> Option<Micros> {
        self.times("timestamp")?.iter().flatten().min().map(Micros)
    }

    /// The columns with their names; `sequence` is not there yet.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &ArrayRef)> {
        let fields = self.schema.fields().iter().enumerate();
        let named = fields.filter(|(index, _)| *index != Table::SEQUENCE);
        named.map(|(_, field)| field.name().as_str()).zip(&self.columns)
    }

    /// The column of that name, if the table has one of instants.
    fn times(&self, name: &str) -> Option<&TimestampMicrosecondArray> {
        let index = self.table.index_of(name)?;
        // `sequence` is not there yet.
        let index = if index > Table::SEQUENCE { index - 1 } else { index };
        self.columns[index].as_primitive_opt()
    }

    /// Gives the draft its place in the journal: record `position`, first row `sequence`.
    #[must_use]
    pub fn number(self, position: u64, sequence: i64) -> Batch {
        let rows = i64::try_from(self.rows).expect("a batch is bounded far below 2^63 rows");
        let numbers = Int64Array::from_iter_values(sequence..sequence + rows);
        let mut columns = self.columns;
        columns.insert(Table::SEQUENCE, Arc::new(numbers));
        let columns = RecordBatch::try_new(self.schema, columns)
            .expect("builders and schema come from one declaration");
        Batch::new(self.table, position, self.origin, columns)
    }
}

/// Columns of one table as the journal holds them. Never empty; `sequence` is contiguous.
#[derive(Clone, Debug)]
pub struct Batch {
    table: &'static Table,
    position: u64,
    origin: Origin,
    columns: RecordBatch,
    /// Looked at once: it is asked for wherever a batch waits.
    bytes: usize,
}

impl Batch {
    /// A batch read back from the journal, or made by [`Draft::number`].
    ///
    /// # Panics
    /// When the columns are not the table's, or there is no row: the journal checks both before.
    #[must_use]
    pub fn new(table: &'static Table, position: u64, origin: Origin, columns: RecordBatch) -> Self {
        assert!(columns.num_rows() > 0, "a batch is never empty");
        assert_eq!(columns.num_columns(), table.columns.len(), "columns of {}", table.name);
        let bytes = held(&columns);
        Self { table, position, origin, columns, bytes }
    }

    /// The table of the rows.
    #[must_use]
    pub fn table(&self) -> &'static Table {
        self.table
    }

    /// The journal's number of this record: contiguous from 1, over all tables.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where the rows were received.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The columns, in the table's order.
    #[must_use]
    pub fn columns(&self) -> &RecordBatch {
        &self.columns
    }

    /// When each row was received.
    #[must_use]
    pub fn received_at(&self) -> &TimestampMicrosecondArray {
        let index = self.table.index_of("received_at").expect("every recorded table has it");
        self.columns.column(index).as_primitive()
    }

    /// How many rows; at least one.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.columns.num_rows()
    }

    /// The number of the first row.
    #[must_use]
    pub fn sequence(&self) -> i64 {
        self.columns.column(Table::SEQUENCE).as_primitive::<Int64Type>().value(0)
    }

    /// Memory held, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Memory held by the columns, bytes. What was read from the journal may be one allocation that
/// many columns are parts of: each allocation counts once, and whole.
fn held(columns: &RecordBatch) -> usize {
    let mut parts: Vec<_> = columns.columns().iter().map(|column| column.to_data()).collect();
    let mut allocations = Vec::new();
    while let Some(part) = parts.pop() {
        let mut buffers: Vec<_> = part.buffers().iter().collect();
        if let Some(nulls) = part.nulls() {
            buffers.push(nulls.buffer());
        }
        allocations.extend(buffers.iter().map(|buffer| (buffer.data_ptr(), buffer.capacity())));
        parts.extend(part.child_data().iter().cloned());
    }
    allocations.sort_unstable();
    allocations.dedup();
    allocations.iter().map(|(_, bytes)| bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_counts_once() {
        let whole = Int64Array::from_iter_values(0..3_000);
        let parts: Vec<ArrayRef> =
            (0..3).map(|at| Arc::new(whole.slice(1_000 * at, 1_000)) as ArrayRef).collect();
        let named = parts.into_iter().enumerate().map(|(at, part)| (format!("c{at}"), part));
        let columns = RecordBatch::try_from_iter(named).unwrap();
        assert!((24_000..25_000).contains(&held(&columns)), "{}", held(&columns));
        assert!(columns.get_array_memory_size() > 72_000);
    }
}
