//! Sorted Parquet files of one table, read as one: a k-way merge in bounded memory.
//!
//! Every file of the archive is a run sorted by name (instrument, index), time, sequence. A
//! [`Merge`] reads up to [`FAN_IN`] of them a page at a time and hands on record batches in that
//! order. [`merge`] takes any number: what is too many for one merge goes through passes, each of
//! which makes one longer run of several in a scratch folder.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave;
use journal::disk::Disk;
use schema::{Micros, Table};

use super::cursor::{Cursor, Shape};
use super::failure;
use super::passes::Passes;
use crate::SinkError;

/// Which rows and columns of a table a merge reads. The default is all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Rows from this instant on.
    pub from: Micros,
    /// Rows before this instant.
    pub to: Micros,
    /// Rows whose name (instrument, index) begins so. Row groups without such a name, or without
    /// a wanted time, are not read.
    pub prefix: String,
    /// Columns by name, `None` for all. Those that files are sorted by are always read.
    pub columns: Option<Vec<&'static str>>,
    /// Whether a file may have no column that this program's table lacks: it would be lost.
    pub strict: bool,
}

impl Default for Selection {
    fn default() -> Self {
        let (from, to) = (Micros(i64::MIN), Micros(i64::MAX));
        Self { from, to, prefix: String::new(), columns: None, strict: false }
    }
}

/// The rows of some sorted files, sorted: an iterator of record batches, none of them empty.
///
/// Its columns are the table's, in their order; a column that a file is older than is null there.
/// Files stay readable while it reads them, even if they are removed.
pub struct Merge {
    disk: Arc<dyn Disk>,
    shape: Arc<Shape>,
    cursors: Vec<Cursor>,
    /// Those not at their end, the one with the least row last.
    order: Vec<usize>,
    failed: bool,
}

/// Merges any number of files of `table`, in passes over `scratch` if they are many.
///
/// `scratch` is made if it is needed; its files are removed when the merge is dropped, the folder
/// stays. Memory: see [`Merge`].
///
/// # Errors
/// [`Retry`](crate::SinkErrorKind::Retry) if a file has vanished, which happens when its day was
/// merged in the meantime: list the folder again. [`Stop`](crate::SinkErrorKind::Stop) if one is
/// not what this sink writes.
pub fn merge(
    disk: &Arc<dyn Disk>,
    table: &'static Table,
    files: &[PathBuf],
    selection: &Selection,
    scratch: &Path,
) -> Result<Merged, SinkError> {
    let mut passes = Passes::new(disk, Shape::new(table, selection), files, scratch);
    while passes.step()? {}
    let merge = passes.last()?;
    Ok(Merged { merge, _passes: passes })
}

/// What [`merge`] reads: a [`Merge`], and the scratch files that live as long as it does.
#[derive(Debug)]
pub struct Merged {
    merge: Merge,
    _passes: Passes,
}

impl Merge {
    /// Opens the first files of the queue, as many as one merge can read and at most `most`, and
    /// takes them out of it.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        shape: &Arc<Shape>,
        files: &mut VecDeque<PathBuf>,
        most: usize,
    ) -> Result<Self, SinkError> {
        let mut cursors = Vec::<Cursor>::new();
        let mut bytes = 0;
        while cursors.len() < most.min(FAN_IN)
            && (cursors.len() < 2 || bytes < BYTES_MAX)
            && let Some(path) = files.pop_front()
        {
            let cursor = Cursor::open(&**disk, &path, shape)?;
            bytes += cursor.bytes();
            cursors.push(cursor);
        }
        let mut order: Vec<usize> = (0..cursors.len()).collect();
        order.retain(|at| !cursors[*at].at_end());
        order.sort_by(|a, b| cursors[*b].compare(&cursors[*a]).then(b.cmp(a)));
        let (disk, shape) = (Arc::clone(disk), Arc::clone(shape));
        Ok(Self { disk, shape, cursors, order, failed: false })
    }

    /// The columns of the batches.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(self.shape.schema())
    }

    /// How many rows there are at most; exactly so many if all were selected.
    #[must_use]
    pub fn rows_max(&self) -> u64 {
        self.cursors.iter().map(Cursor::rows).sum()
    }

    fn gather(&mut self) -> Result<Option<RecordBatch>, SinkError> {
        // Each batch at hand that gave a row, and for each row the batch and its place there.
        let mut batches = Vec::<RecordBatch>::new();
        let mut slots = vec![None; self.cursors.len()];
        let mut rows = Vec::with_capacity(OUT_ROWS);
        while rows.len() < OUT_ROWS
            && let Some(first) = self.order.pop()
        {
            let cursor = &self.cursors[first];
            let end = match self.order.last() {
                None => cursor.batch().num_rows(),
                Some(other) => cursor.run_before(&self.cursors[*other], first < *other),
            };
            let end = end.min(cursor.row() + OUT_ROWS - rows.len());
            assert!(end > cursor.row(), "the least row comes first");
            let slot = *slots[first].get_or_insert_with(|| {
                batches.push(cursor.batch().clone());
                batches.len() - 1
            });
            rows.extend((cursor.row()..end).map(|row| (slot, row)));
            if end == cursor.batch().num_rows() {
                slots[first] = None;
            }
            let cursor = &mut self.cursors[first];
            cursor.advance(&*self.disk, end)?;
            if !cursor.at_end() {
                self.insert(first);
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let columns = (0..self.shape.schema().fields().len()).map(|at| {
            let parts: Vec<&dyn Array> = batches.iter().map(|batch| &**batch.column(at)).collect();
            interleave(&parts, &rows)
        });
        let columns: Result<Vec<_>, _> = columns.collect();
        let merged = columns.and_then(|columns| RecordBatch::try_new(self.schema(), columns));
        merged.map(Some).map_err(|error| failure::stop("merging".to_owned(), error))
    }

    fn insert(&mut self, cursor: usize) {
        let later = |other: &usize| {
            let order = self.cursors[*other].compare(&self.cursors[cursor]);
            order.then(other.cmp(&cursor)).is_gt()
        };
        let at = self.order.partition_point(later);
        self.order.insert(at, cursor);
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch, SinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.gather();
        self.failed = next.is_err();
        next.transpose()
    }
}

impl Merged {
    /// The columns of the batches.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.merge.schema()
    }

    /// How many rows there are at most; exactly so many if all were selected.
    #[must_use]
    pub fn rows_max(&self) -> u64 {
        self.merge.rows_max()
    }
}

impl Iterator for Merged {
    type Item = Result<RecordBatch, SinkError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.merge.next()
    }
}

impl fmt::Debug for Merge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Merge({} files)", self.cursors.len())
    }
}

/// How many files one merge reads at most.
pub const FAN_IN: usize = 32;
/// How much memory the files that one merge reads may take, beside the first two.
const BYTES_MAX: usize = 40 << 20;
/// Rows handed on at a time.
const OUT_ROWS: usize = 8_192;
