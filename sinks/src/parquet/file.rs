//! One Parquet file: sorted rows of one table, encoded column by column.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::interleave::interleave;
use journal::disk::{Disk, File};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowWriterOptions, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use schema::{Column, Kind, Partition, Table, Unit};

use super::failure;
use super::order::Run;
use crate::SinkError;

/// Writes a run into a new file at `path` and syncs it; returns its bytes.
///
/// `facts` go into the file's metadata, under names that begin with `tapedeck.`. One column is
/// gathered, encoded and written before the next, so that only one has an encoder's memory.
pub(super) fn write(
    disk: &dyn Disk,
    path: &Path,
    run: Run<'_>,
    facts: &[(&str, String)],
) -> Result<u64, SinkError> {
    let encode = |error| failure::encoding(disk, path, error);
    let schema = run.table().parquet();
    let writer = create(disk, path, run.table(), &schema, facts)?;
    let (mut writer, columns) = writer.into_serialized_writer().map_err(encode)?;
    let sources = sources(run);
    for (number, keys) in run.keys().chunks(RUN_GROUP_ROWS).enumerate() {
        let writers = columns.create_column_writers(number).map_err(encode)?;
        let mut group = writer.next_row_group().map_err(encode)?;
        for ((mut column, source), field) in writers.into_iter().zip(&sources).zip(schema.fields())
        {
            for keys in keys.chunks(CHUNK_ROWS) {
                let row = |key: &super::order::Key| (key.batch as usize, key.row as usize);
                let rows: Vec<_> = keys.iter().map(row).collect();
                let cells = source.gather(&rows).map_err(|error| encode(error.into()))?;
                for leaf in compute_leaves(field, &cells).map_err(encode)? {
                    column.write(&leaf).map_err(encode)?;
                }
            }
            let chunk = column.close().map_err(encode)?;
            chunk.append_to_row_group(&mut group).map_err(encode)?;
        }
        group.close().map_err(encode)?;
    }
    let written = writer.finish().map_err(encode)?;
    assert_eq!(written.file_metadata().num_rows() as usize, run.keys().len(), "rows in, rows out");
    let bytes = writer.bytes_written() as u64;
    writer.inner_mut().sync().map_err(|error| failure::io(disk, "syncing", path, error))?;
    Ok(bytes)
}

/// A file that is written as its rows come, sorted already.
pub(super) struct Writing {
    path: PathBuf,
    writer: ArrowWriter<Box<dyn File>>,
    rows: u64,
    synced_bytes: usize,
}

impl Writing {
    /// Makes a new file at `path` for the columns of `schema`, which are some of the table's.
    pub(super) fn create(
        disk: &dyn Disk,
        path: &Path,
        table: &Table,
        schema: &SchemaRef,
        facts: &[(&str, String)],
    ) -> Result<Self, SinkError> {
        let writer = create(disk, path, table, schema, facts)?;
        Ok(Self { path: path.to_owned(), writer, rows: 0, synced_bytes: 0 })
    }

    /// Takes rows. Syncs now and then, so that the last sync is short.
    pub(super) fn write(&mut self, disk: &dyn Disk, batch: &RecordBatch) -> Result<(), SinkError> {
        let written = self.writer.write(batch);
        written.map_err(|error| failure::encoding(disk, &self.path, error))?;
        self.rows += batch.num_rows() as u64;
        let bytes = self.writer.bytes_written();
        if bytes - self.synced_bytes >= SYNC_BYTES {
            self.synced_bytes = bytes;
            self.sync(disk)?;
        }
        Ok(())
    }

    /// Ends the file and makes its bytes durable; returns its rows and bytes.
    pub(super) fn finish(mut self, disk: &dyn Disk) -> Result<(u64, u64), SinkError> {
        let footer = self.writer.finish();
        let footer = footer.map_err(|error| failure::encoding(disk, &self.path, error))?;
        assert_eq!(footer.file_metadata().num_rows() as u64, self.rows, "rows in, rows out");
        self.sync(disk)?;
        Ok((self.rows, self.writer.bytes_written() as u64))
    }

    fn sync(&mut self, disk: &dyn Disk) -> Result<(), SinkError> {
        let synced = self.writer.inner_mut().sync();
        synced.map_err(|error| failure::io(disk, "syncing", &self.path, error))
    }
}

impl fmt::Debug for Writing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writing({}, {} rows)", self.path.display(), self.rows)
    }
}

fn create(
    disk: &dyn Disk,
    path: &Path,
    table: &Table,
    schema: &SchemaRef,
    facts: &[(&str, String)],
) -> Result<ArrowWriter<Box<dyn File>>, SinkError> {
    let options = ArrowWriterOptions::new()
        .with_properties(properties(table, schema, facts))
        .with_skip_arrow_metadata(true);
    let file = disk.create(path).map_err(|error| failure::io(disk, "creating", path, error))?;
    let writer = ArrowWriter::try_new_with_options(file, Arc::clone(schema), options);
    writer.map_err(|error: ParquetError| failure::encoding(disk, path, error))
}

/// One column of every batch of a run.
enum Source<'a> {
    /// Dictionaries, one a batch: rows become plain text on their way out.
    Names(Vec<&'a DictionaryArray<Int32Type>>),
    /// Columns whose type is the file's.
    Plain(Vec<&'a dyn Array>),
}

impl Source<'_> {
    /// The column's cells of the rows, each given as (batch, row).
    fn gather(&self, rows: &[(usize, usize)]) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Plain(columns) => interleave(columns, rows),
            Self::Names(columns) => {
                let texts: Vec<_> =
                    columns.iter().map(|column| column.values().as_string::<i32>()).collect();
                let mut gathered =
                    StringBuilder::with_capacity(rows.len(), rows.len() * NAME_BYTES);
                for &(batch, row) in rows {
                    let text = columns[batch].key(row).filter(|key| texts[batch].is_valid(*key));
                    gathered.append_option(text.map(|key| texts[batch].value(key)));
                }
                Ok(Arc::new(gathered.finish()))
            }
        }
    }
}

fn sources(run: Run<'_>) -> Vec<Source<'_>> {
    let source = |(at, column): (usize, &Column)| {
        let columns = run.batches().iter().map(|batch| batch.columns().column(at));
        match column.kind {
            Kind::Name => Source::Names(columns.map(AsArray::as_dictionary).collect()),
            Kind::Bool | Kind::Float | Kind::Int | Kind::Json | Kind::Text | Kind::Time => {
                Source::Plain(columns.map(|column| &**column).collect())
            }
        }
    };
    run.table().columns.iter().enumerate().map(source).collect()
}

/// Dictionaries where values repeat (sorted by instrument, prices do), differences where they
/// grow. A number column of many values leaves its dictionary early: that costs less and takes
/// less than a large dictionary whose entries are used once. Pages have statistics where files
/// are searched: name, time, sequence.
fn properties(table: &Table, schema: &SchemaRef, facts: &[(&str, String)]) -> WriterProperties {
    let fact = |(name, value): &(&str, String)| {
        KeyValue::new(format!("tapedeck.{name}"), Some(value.clone()))
    };
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).expect("a valid level")))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(sorting(table, schema)))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_key_value_metadata(Some(facts.iter().map(fact).collect()));
    for column in table.columns {
        if matches!(column.unit, Unit::Instant | Unit::Nanoseconds | Unit::Id) {
            properties = properties
                .set_column_dictionary_enabled(ColumnPath::from(column.name), false)
                .set_column_encoding(ColumnPath::from(column.name), Encoding::DELTA_BINARY_PACKED);
        }
    }
    for column in table.columns.iter().filter(|column| column.kind == Kind::Float) {
        properties = properties.set_column_dictionary_page_size_limit(
            ColumnPath::from(column.name),
            FLOAT_DICTIONARY_BYTES,
        );
    }
    for column in sorted_by(table) {
        properties = properties.set_column_statistics_enabled(
            ColumnPath::from(table.columns[column].name),
            EnabledStatistics::Page,
        );
    }
    properties.build()
}

fn sorting(table: &Table, schema: &SchemaRef) -> Vec<SortingColumn> {
    let ascending = |column: usize| {
        let place = schema.index_of(table.columns[column].name);
        let place = place.expect("a file has the columns that it is sorted by");
        SortingColumn {
            column_idx: i32::try_from(place).expect("a table has few columns"),
            descending: false,
            nulls_first: false,
        }
    };
    sorted_by(table).map(ascending).collect()
}

/// The columns that a file is sorted by.
fn sorted_by(table: &Table) -> impl Iterator<Item = usize> {
    let name = match table.partition {
        Partition::CurrencyAndDate(name) => table.index_of(name),
        Partition::Date | Partition::Whole | Partition::SqlOnly => None,
    };
    let time = table.index_of(table.time);
    [name, time, Some(Table::SEQUENCE)].into_iter().flatten()
}

const CHUNK_ROWS: usize = 8_192;
/// A run waits in memory anyway.
const RUN_GROUP_ROWS: usize = 1 << 20;
/// A file that is written as rows come holds a row group, encoded, in memory.
const ROW_GROUP_ROWS: usize = 128 << 10;
/// A merge holds a page of each column of each file in memory.
const PAGE_ROWS: usize = 8_192;
const SYNC_BYTES: usize = 16 << 20;
const FLOAT_DICTIONARY_BYTES: usize = 64 << 10;
const ZSTD_LEVEL: i32 = 1;
const NAME_BYTES: usize = 24;
