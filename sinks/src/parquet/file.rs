//! One Parquet file: gathers sorted rows out of the batches and encodes them.

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, DictionaryArray, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::interleave::interleave;
use journal::disk::Disk;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use schema::{Column, Kind, Partition, Table, Unit};

use super::failure;
use super::order::Run;
use crate::SinkError;

/// Writes a run into a new file at `path` and syncs it; returns its bytes.
///
/// `facts` go into the file's metadata, under names that begin with `tapedeck.`.
pub(super) fn write(
    disk: &dyn Disk,
    path: &Path,
    run: Run<'_>,
    facts: &[(&str, String)],
) -> Result<u64, SinkError> {
    let create = |error| failure::io(disk, "creating", path, error);
    let encode = |error| failure::encoding(disk, path, error);
    let schema = run.table().parquet();
    let options = ArrowWriterOptions::new()
        .with_properties(properties(run.table(), facts))
        .with_skip_arrow_metadata(true);
    let file = disk.create(path).map_err(create)?;
    let mut writer =
        ArrowWriter::try_new_with_options(file, Arc::clone(&schema), options).map_err(encode)?;
    let columns = sources(run);
    for keys in run.keys().chunks(CHUNK_ROWS) {
        let rows: Vec<_> = keys.iter().map(|key| (key.batch as usize, key.row as usize)).collect();
        let gathered: Result<Vec<_>, _> =
            columns.iter().map(|column| column.gather(&rows)).collect();
        let chunk = gathered.and_then(|columns| RecordBatch::try_new(Arc::clone(&schema), columns));
        writer.write(&chunk.map_err(|error| encode(error.into()))?).map_err(encode)?;
    }
    let written = writer.finish().map_err(encode)?;
    assert_eq!(written.file_metadata().num_rows() as usize, run.keys().len(), "rows in, rows out");
    writer.inner_mut().sync().map_err(|error| failure::io(disk, "syncing", path, error))?;
    Ok(writer.bytes_written() as u64)
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
fn properties(table: &Table, facts: &[(&str, String)]) -> WriterProperties {
    let fact = |(name, value): &(&str, String)| {
        KeyValue::new(format!("tapedeck.{name}"), Some(value.clone()))
    };
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).expect("a valid level")))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(Some(sorting(table)))
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

fn sorting(table: &Table) -> Vec<SortingColumn> {
    let ascending = |column: usize| SortingColumn {
        column_idx: i32::try_from(column).expect("a table has few columns"),
        descending: false,
        nulls_first: false,
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
const ROW_GROUP_ROWS: usize = 1 << 20;
const FLOAT_DICTIONARY_BYTES: usize = 64 << 10;
const ZSTD_LEVEL: i32 = 1;
const NAME_BYTES: usize = 24;
