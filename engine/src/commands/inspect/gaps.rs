//! The gaps that an archive names: the rows of its `data_gaps`.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use schema::Micros;

/// One gap, as a line for people.
pub(super) struct Gap {
    start: Micros,
    end: Option<Micros>,
    cause: String,
    shard: String,
    instrument: String,
}

/// Every gap below `DATA/parquet/data_gaps`, oldest first.
pub(super) fn read(archive: &Path) -> Result<Vec<Gap>, ParquetError> {
    let mut gaps = Vec::new();
    for file in files(&archive.join("data_gaps")) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.build()?;
        for batch in reader {
            let batch = batch?;
            gaps.extend((0..batch.num_rows()).filter_map(|row| Gap::of(&batch, row)));
        }
    }
    gaps.sort_by_key(|gap| gap.start);
    Ok(gaps)
}

/// The Parquet files of the table: one folder a day.
fn files(folder: &Path) -> Vec<PathBuf> {
    let below = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let mut files: Vec<PathBuf> = below(folder).iter().flat_map(|day| below(day)).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "parquet"));
    files
}

impl Gap {
    /// A row; `None` where a column is not what it should be.
    fn of(batch: &RecordBatch, row: usize) -> Option<Self> {
        let instant = |name: &str| {
            let times =
                batch.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
            times.is_valid(row).then(|| Micros(times.value(row)))
        };
        let text = |name: &str| {
            Some(batch.column_by_name(name)?.as_string_opt::<i32>()?.value(row).to_owned())
        };
        Some(Self {
            start: instant("start_time")?,
            end: instant("end_time"),
            cause: text("cause")?,
            shard: text("shard")?,
            instrument: text("instrument")?,
        })
    }
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { start, end, cause, shard, instrument } = self;
        let end = end.map_or_else(|| "open".into(), |end| end.to_string());
        write!(f, "{start} to {end}  {cause}  {shard}  {instrument}")
    }
}
