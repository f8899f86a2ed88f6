//! What the manifest says is stored: of each table the rows, of each journal the records.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use journal::disk::Disk;
use schema::Micros;
use serde::{Deserialize, Serialize};

use super::days;
use super::manifest::{Contents, Stored};
use crate::SinkError;

/// What a data folder's Parquet files hold, according to the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The tables that have rows, by name.
    pub tables: BTreeMap<String, Holding>,
    /// The newest record of each journal.
    pub positions: BTreeMap<String, u64>,
    /// Records that no flush stored, although later ones of the journal are stored.
    pub holes: Vec<Hole>,
    /// Bytes of a last line of the manifest that was never finished.
    pub torn_bytes: u64,
}

/// What some files of one table hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// How many files.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Their bytes on the disk.
    pub bytes: u64,
    /// The least and the greatest time of a row.
    pub times: [Micros; 2],
    /// The least and the greatest sequence of a row.
    pub sequences: [i64; 2],
}

/// Records of a journal that are not stored, both ends inclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// The journal's id.
    pub journal: String,
    /// The first record that is missing.
    pub from: u64,
    /// The last record that is missing.
    pub to: u64,
}

/// Reads the manifest of a data folder; nothing is stored where there is none. Changes nothing,
/// and may run beside a recorder.
///
/// # Errors
/// When the manifest cannot be read or is damaged.
pub fn survey(disk: &dyn Disk, data: &Path) -> Result<Survey, SinkError> {
    let mut contents = Contents::read(disk, data)?.unwrap_or_default();
    days::look(disk, data, &mut contents)?;
    let Contents { positions, holes, files, torn_bytes, .. } = contents;
    let mut survey = Survey { tables: BTreeMap::new(), positions, holes, torn_bytes };
    for file in files.into_values() {
        let holding = Holding::of(&file);
        survey.tables.entry(file.table).or_insert(Holding::NOTHING).add(holding);
    }
    Ok(survey)
}

impl Holding {
    pub(super) const NOTHING: Self = Self {
        files: 0,
        rows: 0,
        bytes: 0,
        times: [Micros(i64::MAX), Micros(i64::MIN)],
        sequences: [i64::MAX, i64::MIN],
    };

    fn of(file: &Stored) -> Self {
        Self {
            files: 1,
            rows: file.rows,
            bytes: file.bytes,
            times: file.time.map(Micros),
            sequences: file.sequence,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.rows += other.rows;
        self.bytes += other.bytes;
        let [least, greatest] = &mut self.times;
        (*least, *greatest) = ((*least).min(other.times[0]), (*greatest).max(other.times[1]));
        let [least, greatest] = &mut self.sequences;
        *least = (*least).min(other.sequences[0]);
        *greatest = (*greatest).max(other.sequences[1]);
    }
}

/// `12 files, 345 rows, 6789 bytes, TIME to TIME, sequence 0 to 344`.
impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, rows, bytes, times, sequences } = self;
        write!(f, "{files} files, {rows} rows, {bytes} bytes")?;
        if *rows > 0 {
            write!(f, ", {} to {}", times[0], times[1])?;
            write!(f, ", sequence {} to {}", sequences[0], sequences[1])?;
        }
        Ok(())
    }
}

impl fmt::Display for Hole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { journal, from, to } = self;
        write!(f, "journal {journal}: records {from} to {to} are not stored")
    }
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (table, holding) in &self.tables {
            writeln!(f, "{table}: {holding}")?;
        }
        for (journal, position) in &self.positions {
            writeln!(f, "journal {journal}: stored up to record {position}")?;
        }
        for hole in &self.holes {
            writeln!(f, "{hole}")?;
        }
        if self.torn_bytes > 0 {
            writeln!(f, "the manifest's last {} bytes were never finished", self.torn_bytes)?;
        }
        Ok(())
    }
}
