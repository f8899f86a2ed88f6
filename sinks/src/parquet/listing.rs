//! The files that count, one by one.

use std::collections::BTreeMap;
use std::path::Path;

use journal::disk::Disk;
use schema::Micros;

use super::days;
use super::manifest::{Contents, Stored};
use super::survey::Hole;
use crate::SinkError;

/// Every stored file of a data folder, according to the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files.
    pub files: Vec<Listed>,
    /// The newest record of each journal.
    pub positions: BTreeMap<String, u64>,
    /// Records that no flush stored, although later ones of the journal are stored.
    pub holes: Vec<Hole>,
}

/// One stored file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its path below `DATA/parquet`.
    pub path: String,
    /// The table.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes on the disk.
    pub bytes: u64,
    /// The least and the greatest time of a row.
    pub times: [Micros; 2],
    /// The least and the greatest sequence of a row.
    pub sequences: [i64; 2],
}

/// Lists the files of a data folder. Changes nothing, and may run beside a recorder.
///
/// # Errors
/// When the manifest cannot be read or is damaged.
pub fn list(disk: &dyn Disk, data: &Path) -> Result<Listing, SinkError> {
    let mut contents = Contents::read(disk, data)?.unwrap_or_default();
    days::look(disk, data, &mut contents)?;
    let Contents { positions, holes, files, .. } = contents;
    let listed = |file: Stored| Listed {
        path: file.path,
        table: file.table,
        rows: file.rows,
        bytes: file.bytes,
        times: file.time.map(Micros),
        sequences: file.sequence,
    };
    Ok(Listing { files: files.into_values().map(listed).collect(), positions, holes })
}
