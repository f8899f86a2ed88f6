//! What Parquet files themselves say they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::statistics::Statistics;
use schema::{Micros, Table, tables};

use super::name::FileName;
use super::survey::Holding;
use super::{days, failure, marker};
use crate::SinkError;

/// What some Parquet files hold, according to their footers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The tables found, by name.
    pub tables: BTreeMap<String, Holding>,
    /// Files that no process finished writing; no reader's `*.parquet` finds them.
    pub unfinished: Vec<PathBuf>,
    /// Parquet files that tapedeck did not write.
    pub foreign: Vec<PathBuf>,
    /// Files that cannot be read, with the reason.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// Reads the footers of one Parquet file, or of all below a folder. Symbolic links below it are
/// not followed. Changes nothing.
///
/// # Errors
/// When there is nothing at `path`, or a folder cannot be listed. A file that cannot be read is
/// no error but a part of the answer.
pub fn inspect(path: &Path) -> Result<Inspection, SinkError> {
    let mut inspection = Inspection::default();
    let looked = fs::metadata(path).and_then(|about| {
        if about.is_dir() {
            return inspection.folder(path);
        }
        inspection.file(path);
        Ok(())
    });
    match looked {
        Ok(()) => Ok(inspection),
        Err(source) => Err(failure::stop(format!("inspecting {}", path.display()), source)),
    }
}

impl Inspection {
    fn folder(&mut self, folder: &Path) -> io::Result<()> {
        let entries: Result<Vec<_>, io::Error> = fs::read_dir(folder)?.collect();
        let mut paths: Vec<PathBuf> = entries?.into_iter().map(|entry| entry.path()).collect();
        paths.sort_unstable();
        let listed: BTreeSet<PathBuf> = paths.iter().cloned().collect();
        for path in paths {
            let about = fs::symlink_metadata(&path)?;
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if about.is_dir() && name == days::HIDDEN {
                // On its way in or out; no reader looks there.
            } else if about.is_dir() {
                self.folder(&path)?;
            } else if about.is_file() {
                if FileName::is_unfinished(name) {
                    self.unfinished.push(path);
                } else if name.ends_with(".parquet") && !is_marker_of(&path, &listed) {
                    self.file(&path);
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) {
        match read(path) {
            Ok(Some((table, holding))) => {
                self.tables.entry(table).or_insert(Holding::NOTHING).add(holding);
            }
            Ok(None) => self.foreign.push(path.to_owned()),
            Err(error) => self.unreadable.push((path.to_owned(), error.to_string())),
        }
    }
}

/// Whether it is a marker that was listed together with what it belongs to: nothing is missing.
fn is_marker_of(path: &Path, listed: &BTreeSet<PathBuf>) -> bool {
    marker::successor(path).is_some_and(|name| listed.contains(&path.with_file_name(name)))
}

/// The table and what the file holds of it; `None` if tapedeck did not write it.
fn read(path: &Path) -> Result<Option<(String, Holding)>, ParquetError> {
    let file = marker::open(path)?;
    let bytes = file.metadata()?.len();
    let footer = ParquetMetaDataReader::new().parse_and_finish(&file)?;
    let facts = footer.file_metadata().key_value_metadata();
    let table = facts.into_iter().flatten().find(|fact| fact.key == "tapedeck.table");
    let Some(name) = table.and_then(|fact| fact.value.clone()) else { return Ok(None) };
    let rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0);
    let mut holding = Holding { files: 1, rows, bytes, ..Holding::NOTHING };
    if let Some(table) = tables::named(&name) {
        holding.times = range(&footer, table.time).map(Micros);
        holding.sequences = range(&footer, table.columns[Table::SEQUENCE].name);
    }
    Ok(Some((name, holding)))
}

/// The least and the greatest value of an integer column, from its statistics.
fn range(footer: &ParquetMetaData, column: &str) -> [i64; 2] {
    let mut range = [i64::MAX, i64::MIN];
    for group in footer.row_groups() {
        let mut columns = group.columns().iter();
        let column = columns.find(|chunk| chunk.column_path().parts() == [column]);
        if let Some(Statistics::Int64(values)) = column.and_then(|chunk| chunk.statistics()) {
            let least = values.min_opt().copied().unwrap_or(i64::MIN);
            let greatest = values.max_opt().copied().unwrap_or(i64::MAX);
            range = [range[0].min(least), range[1].max(greatest)];
        }
    }
    range
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (table, holding) in &self.tables {
            writeln!(f, "{table}: {holding}")?;
        }
        for path in &self.unfinished {
            writeln!(f, "{}: never finished", path.display())?;
        }
        for path in &self.foreign {
            writeln!(f, "{}: not written by tapedeck", path.display())?;
        }
        for (path, reason) in &self.unreadable {
            writeln!(f, "{}: {reason}", path.display())?;
        }
        Ok(())
    }
}
