//! What the `archivist` stores, and how a test counts it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use schema::Date;

/// The journal that the records are of.
pub const JOURNAL: &str = "0b5b1f0e-0000-4000-8000-00000000c0de";
/// Rows of a record, all in one file.
pub const ROWS: i64 = 500;
/// Days that records are dealt out over.
pub const DAYS: u64 = 4;
/// With so many days kept after their end, only [`FIRST_DAY`] is old: the newest row is of the
/// last day.
pub const KEEP_DAYS: u32 = 2;
/// The first of the days: that of every record whose position [`DAYS`] divides.
pub const FIRST_DAY: Date = Date::from_civil(2026, 11, 20);

/// The number of a record's first row.
#[must_use]
pub fn first_row(position: u64) -> i64 {
    (i64::try_from(position).expect("a small number") - 1) * ROWS
}

/// Says in `DATA/stored` how many records are stored.
///
/// # Panics
/// When the disk does not take it.
pub fn note(data: &Path, stored: u64) {
    let unfinished = data.join(".stored.tmp");
    fs::write(&unfinished, stored.to_string()).expect("the disk takes it");
    fs::rename(&unfinished, data.join("stored")).expect("the disk takes it");
}

/// How many records are stored, as the archivist last said.
#[must_use]
pub fn noted(data: &Path) -> u64 {
    let text = fs::read_to_string(data.join("stored")).unwrap_or_default();
    text.parse().unwrap_or(0)
}

/// The files that a reader's `index_ticks/*/*/*.parquet` finds.
///
/// # Errors
/// When a folder that was listed is gone.
pub fn glob(data: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = vec![data.join("parquet/index_ticks")];
    for _ in 0..3 {
        let mut below = Vec::new();
        for folder in paths {
            match fs::read_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                entries => {
                    for entry in entries? {
                        below.push(entry?.path());
                    }
                }
            }
        }
        paths = below;
    }
    // As a glob that takes hidden names for any other.
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    Ok(paths)
}

/// Whether a file is there that is being merged, or was merged into another: no reader finds it.
#[must_use]
pub fn being_merged(data: &Path) -> bool {
    merging(data).next().is_some()
}

/// Whether a merged file has its name and is about to be published, or just was.
#[must_use]
pub fn being_published(data: &Path) -> bool {
    merging(data).any(|path| path.extension().is_some_and(|extension| extension == "parquet"))
}

/// Whether the manifest announces an exchange and does not end it: a kill came between the lines.
#[must_use]
pub fn between_the_lines(data: &Path) -> bool {
    let manifest = fs::read_to_string(data.join("sinks/parquet/manifest")).unwrap_or_default();
    manifest.lines().last().is_some_and(|line| line.contains("{\"exchanging\""))
}

fn merging(data: &Path) -> impl Iterator<Item = PathBuf> {
    let next = fs::read_dir(data.join("sinks/parquet/merging/next"));
    next.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// Files of each folder.
///
/// # Panics
/// When the archive cannot be listed.
#[must_use]
pub fn folders(data: &Path) -> BTreeMap<PathBuf, usize> {
    let mut folders = BTreeMap::new();
    for path in glob(data).expect("the archive can be listed") {
        *folders.entry(path.parent().unwrap_or(data).to_owned()).or_default() += 1;
    }
    folders
}

/// Whether markers stand among the files.
///
/// # Panics
/// When the archive cannot be listed.
#[must_use]
pub fn is_marked(data: &Path) -> bool {
    let paths = glob(data).expect("the archive can be listed");
    paths.iter().any(|path| sinks::parquet::successor(path).is_some())
}

/// Removes from the paths those of markers, each of which belongs to one of the others.
///
/// # Panics
/// When a marker belongs to nothing that was listed.
pub fn without_markers(paths: &mut Vec<PathBuf>) {
    let listed = paths.clone();
    paths.retain(|path| {
        let Some(successor) = sinks::parquet::successor(path) else { return true };
        let there = listed.contains(&path.with_file_name(&successor));
        assert!(there, "{} belongs to {successor}, which is not there", path.display());
        false
    });
}

/// How often each row is there, by its number; its price is checked on the way.
///
/// # Errors
/// [`ErrorKind::NotFound`] when a file was listed that has made way for another, or is a marker.
pub fn count(paths: &[PathBuf]) -> io::Result<Vec<u32>> {
    let mut counts = Vec::new();
    for path in paths {
        let failed = |error: ParquetError| io::Error::other(format!("{}: {error}", path.display()));
        let file = sinks::parquet::open(path)?;
        let file = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
        for batch in file.build().map_err(failed)? {
            let batch = batch.map_err(|error| failed(error.into()))?;
            let column = |name: &str| batch.column_by_name(name).expect("the table's column");
            let numbers = column("sequence").as_primitive::<Int64Type>().values();
            let prices = column("price").as_primitive::<Float64Type>().values();
            for (number, price) in numbers.iter().zip(prices) {
                assert!((price * 8.0 - *number as f64).abs() < 0.5, "row {number} is {price}");
                let at = usize::try_from(*number).expect("numbers begin at 0");
                if counts.len() <= at {
                    counts.resize(at + 1, 0);
                }
                counts[at] += 1;
            }
        }
    }
    Ok(counts)
}
