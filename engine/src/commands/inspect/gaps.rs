//! The gaps that an archive names: the rows of its `data_gaps`.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, RecordBatch};
use journal::disk::System;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schema::Micros;

/// One gap, as a line for people.
pub(super) struct Gap {
    start: Micros,
    end: Option<Micros>,
    cause: String,
    shard: String,
    instrument: String,
}

/// Every gap that the archive of a data folder names, oldest first.
pub(super) fn read(data: &Path) -> Result<Vec<Gap>, Box<dyn Error>> {
    let mut looks = 1;
    loop {
        match look(data) {
            // A day was merged since the manifest was read: look again.
            Err(error) if looks < LOOKS_MAX && is_gone(&*error) => looks += 1,
            gaps => return gaps,
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

fn look(data: &Path) -> Result<Vec<Gap>, Box<dyn Error>> {
    let mut gaps = Vec::new();
    let files = sinks::parquet::list(&System, data)?.files;
    for file in files.iter().filter(|file| file.table == "data_gaps") {
        let file = sinks::parquet::open(&data.join("parquet").join(&file.path))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
        for batch in reader {
            let batch = batch?;
            gaps.extend((0..batch.num_rows()).filter_map(|row| Gap::of(&batch, row)));
        }
    }
    gaps.sort_by_key(|gap| gap.start);
    Ok(gaps)
}

fn is_gone(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::NotFound)
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

const LOOKS_MAX: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
