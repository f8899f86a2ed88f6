//! One sorted file on its way through a merge: the rows that are wanted, a few at a time.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::filter::filter_record_batch;
use journal::disk::Disk;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use schema::{Micros, Partition, Table};

use super::chunks::Chunks;
use super::merge::Selection;
use super::pages::{Context, Pages};
use super::{failure, marker};
use crate::SinkError;

/// A file, and the row of it that comes next.
///
/// Invariant: `row` is a row of `batch`, unless the cursor is at its end.
pub(super) struct Cursor {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    shape: Arc<Shape>,
    /// For each column of the shape, where the reader has it; `None` if the file is older than it.
    places: Vec<Option<usize>>,
    batch: RecordBatch,
    row: usize,
    rows: u64,
    bytes: usize,
}

/// What a merge takes from each file.
pub(super) struct Shape {
    table: &'static Table,
    selection: Selection,
    schema: SchemaRef,
    /// The columns of the table, in their order.
    columns: Vec<usize>,
    /// Whether a file may have columns that the table lacks: those would be lost.
    strict: bool,
    /// What decompresses the pages of all files.
    context: Context,
    /// Where the columns that files are sorted by stand among them.
    name: Option<usize>,
    time: usize,
    sequence: usize,
}

/// What a row is sorted by.
type Key<'a> = (&'a str, i64, i64);

impl Shape {
    pub(super) fn new(table: &'static Table, selection: &Selection) -> Self {
        let name = match table.partition {
            Partition::CurrencyAndDate(name) => table.index_of(name),
            Partition::Date | Partition::Whole | Partition::SqlOnly => None,
        };
        let time = table.index_of(table.time).expect("a table has its time column");
        let keys = [name, Some(time), Some(Table::SEQUENCE)];
        let wanted = |at: &usize| match &selection.columns {
            None => true,
            Some(names) => keys.contains(&Some(*at)) || names.contains(&table.columns[*at].name),
        };
        let columns: Vec<usize> = (0..table.columns.len()).filter(wanted).collect();
        let place = |column: usize| {
            columns.iter().position(|at| *at == column).expect("the keys are always wanted")
        };
        let schema = table.parquet().project(&columns).expect("columns of the table");
        Self {
            name: name.map(place),
            time: place(time),
            sequence: place(Table::SEQUENCE),
            strict: selection.strict,
            context: Context::new(),
            table,
            selection: selection.clone(),
            schema: Arc::new(schema),
            columns,
        }
    }

    pub(super) fn table(&self) -> &'static Table {
        self.table
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether a row group may have a wanted row, as far as its statistics say.
    fn may_hold(&self, group: &RowGroupMetaData) -> bool {
        let statistics = |place: usize| {
            let name = self.table.columns[self.columns[place]].name;
            let mut columns = group.columns().iter();
            columns.find(|column| column.column_path().parts() == [name])?.statistics()
        };
        if let Some(Statistics::Int64(times)) = statistics(self.time)
            && let (Some(least), Some(greatest)) = (times.min_opt(), times.max_opt())
            && (*greatest < self.selection.from.0 || *least >= self.selection.to.0)
        {
            return false;
        }
        let prefix = self.selection.prefix.as_bytes();
        if let Some(Statistics::ByteArray(names)) = self.name.and_then(statistics)
            && let (Some(least), Some(greatest)) = (names.min_opt(), names.max_opt())
        {
            let least = least.data().get(..prefix.len()).unwrap_or_else(|| least.data());
            return greatest.data() >= prefix && least <= prefix;
        }
        true
    }

    /// The wanted rows of a batch.
    fn select(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        let Selection { from, to, prefix, .. } = &self.selection;
        if (*from, *to) == (Micros(i64::MIN), Micros(i64::MAX)) && prefix.is_empty() {
            return Ok(batch);
        }
        let times = batch.column(self.time).as_primitive::<TimestampMicrosecondType>();
        let in_time = times.values().iter().map(|time| *time >= from.0 && *time < to.0);
        let wanted: BooleanArray = match self.name {
            None => in_time.map(Some).collect(),
            Some(name) => {
                let names = batch.column(name).as_string::<i32>().iter();
                let named = names.map(|name| name.unwrap_or_default().starts_with(&**prefix));
                in_time.zip(named).map(|(time, name)| Some(time && name)).collect()
            }
        };
        filter_record_batch(&batch, &wanted)
    }

    fn key<'a>(&self, batch: &'a RecordBatch, row: usize) -> Key<'a> {
        let text = |at: usize| batch.column(at).as_string::<i32>().value(row);
        let time = batch.column(self.time).as_primitive::<TimestampMicrosecondType>();
        let sequence = batch.column(self.sequence).as_primitive::<Int64Type>();
        (self.name.map_or("", text), time.value(row), sequence.value(row))
    }
}

impl Cursor {
    /// Opens a file at its first wanted row. The footer and a page a column are read.
    pub(super) fn open(
        disk: &dyn Disk,
        path: &Path,
        shape: &Arc<Shape>,
    ) -> Result<Self, SinkError> {
        let encoded = |error| failure::decoding(disk, path, error);
        let chunks = marker::open_source(disk, path).and_then(Chunks::new);
        let chunks = chunks.map_err(|error| failure::io(disk, "opening", path, error))?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let footer = ArrowReaderMetadata::load(&chunks, options).map_err(encoded)?;
        let mut places = Vec::with_capacity(shape.columns.len());
        let mut present = Vec::new();
        for at in &shape.columns {
            let column = &shape.table.columns[*at];
            let found = footer.schema().fields().find(column.name);
            if let Some((leaf, field)) = found {
                if *field.data_type() != column.kind.parquet() {
                    let what = format!("column {} is {}", column.name, field.data_type());
                    return Err(failure::stop(format!("reading {}", path.display()), what));
                }
                present.push((leaf, places.len()));
            } else if !column.nullable {
                let what = format!("it has no column {}", column.name);
                return Err(failure::stop(format!("reading {}", path.display()), what));
            }
            places.push(None);
        }
        if shape.strict && present.len() < footer.schema().fields().len() {
            let what = "a newer tapedeck wrote it, with columns that this one does not know";
            return Err(failure::stop(format!("reading {}", path.display()), what));
        }
        present.sort_unstable();
        for (order, (_, place)) in present.iter().enumerate() {
            places[*place] = Some(order);
        }
        let leaves: Vec<usize> = present.iter().map(|(leaf, _)| *leaf).collect();
        let groups = footer.metadata().row_groups().iter().enumerate();
        let groups: Vec<_> = groups.filter(|(_, group)| shape.may_hold(group)).collect();
        let rows = groups.iter().map(|(_, group)| u64::try_from(group.num_rows()).unwrap_or(0));
        let rows = rows.sum();
        let held = |group: &RowGroupMetaData| -> usize {
            let bytes = |leaf: &usize| {
                let bytes = group.column(*leaf).uncompressed_size();
                PAGE_BYTES.min(usize::try_from(bytes).unwrap_or(0))
            };
            leaves.iter().map(bytes).sum()
        };
        let bytes = groups.iter().map(|(_, group)| held(group)).max().unwrap_or(0);
        let groups = groups.iter().map(|(number, _)| *number).collect();
        let mask = ProjectionMask::leaves(footer.parquet_schema(), leaves);
        let levels = parquet_to_arrow_field_levels(footer.parquet_schema(), mask, None);
        let (chunks, context) = (Arc::new(chunks), shape.context.clone());
        let pages = Pages { chunks, footer: Arc::clone(footer.metadata()), groups, context };
        let reader = levels.and_then(|levels| {
            ParquetRecordBatchReader::try_new_with_row_groups(&levels, &pages, BATCH_ROWS, None)
        });
        let reader = reader.map_err(encoded)?;
        let batch = RecordBatch::new_empty(Arc::clone(&shape.schema));
        let (path, shape) = (path.to_owned(), Arc::clone(shape));
        let mut cursor = Self { path, reader, shape, places, batch, row: 0, rows, bytes };
        cursor.load(disk)?;
        Ok(cursor)
    }

    /// Rows of the row groups that are read: at least those that are wanted.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// About how much memory reading it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows at hand.
    pub(super) fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Where the next row stands in them.
    pub(super) fn row(&self) -> usize {
        self.row
    }

    pub(super) fn at_end(&self) -> bool {
        self.row == self.batch.num_rows()
    }

    /// How the next rows of two cursors are sorted.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        self.key(self.row).cmp(&other.key(other.row))
    }

    /// Where the rows at hand end that come before the next one of `other`, or with it if `ties`.
    pub(super) fn run_before(&self, other: &Self, ties: bool) -> usize {
        let limit = other.key(other.row);
        let before = |row: usize| match self.key(row).cmp(&limit) {
            Ordering::Less => true,
            Ordering::Equal => ties,
            Ordering::Greater => false,
        };
        // Runs are short or long: look ahead in doubling steps, then halve.
        let (mut low, mut step) = (self.row, 1);
        let mut high = self.row;
        while high < self.batch.num_rows() && before(high) {
            low = high + 1;
            high += step;
            step *= 2;
        }
        high = high.min(self.batch.num_rows());
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(middle) { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Goes on to a row at hand, or to the next rows of the file.
    pub(super) fn advance(&mut self, disk: &dyn Disk, row: usize) -> Result<(), SinkError> {
        self.row = row;
        if self.at_end() { self.load(disk) } else { Ok(()) }
    }

    /// Reads on until there are wanted rows, or the file ends.
    fn load(&mut self, disk: &dyn Disk) -> Result<(), SinkError> {
        let last = self.batch.num_rows().checked_sub(1);
        let last = last.map(|row| self.batch.slice(row, 1));
        self.row = 0;
        self.batch = RecordBatch::new_empty(Arc::clone(&self.shape.schema));
        while self.at_end() {
            let Some(read) = self.reader.next() else { break };
            let batch = read.and_then(|read| self.shape.select(self.fit(&read)?));
            self.batch =
                batch.map_err(|error| failure::decoding(disk, &self.path, error.into()))?;
        }
        let mut before = last.as_ref().map(|last| self.shape.key(last, 0));
        for row in 0..self.batch.num_rows() {
            let key = self.key(row);
            if before.is_some_and(|before| before > key) {
                let doing = format!("reading {}", self.path.display());
                return Err(failure::stop(
                    doing,
                    "its rows are not sorted, so tapedeck did not \
                                                 write it: move it out of the archive",
                ));
            }
            before = Some(key);
        }
        Ok(())
    }

    /// The columns of the shape; those that the file lacks are null.
    fn fit(&self, read: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let column = |(place, field): (&Option<usize>, &Arc<arrow_schema::Field>)| -> ArrayRef {
            match place {
                Some(order) => Arc::clone(read.column(*order)),
                None => new_null_array(field.data_type(), read.num_rows()),
            }
        };
        let columns = self.places.iter().zip(self.shape.schema.fields()).map(column).collect();
        let fitted = RecordBatch::try_new(Arc::clone(&self.shape.schema), columns)?;
        let name = self.shape.name.map(|at| fitted.column(at).as_string_opt::<i32>());
        match name.flatten().map(StringArray::null_count) {
            Some(nulls) if nulls > 0 => Err(ArrowError::InvalidArgumentError(
                "a row has no name to be sorted by".to_owned(),
            )),
            _ => Ok(fitted),
        }
    }

    fn key(&self, row: usize) -> Key<'_> {
        self.shape.key(&self.batch, row)
    }
}

/// Rows decoded at a time: the whole fan-in has so many in memory.
const BATCH_ROWS: usize = 1_024;
/// What a column's page and dictionary take at most, in files of this sink.
const PAGE_BYTES: usize = 64 << 10;
