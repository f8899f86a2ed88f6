//! `manifest.json`: what was asked, what each file holds, and what is missing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use schema::Micros;
use serde::{Deserialize, Serialize};

use super::digest;
use super::gaps::Gap;
use super::interval::{Interval, as_text};
use super::output;
use super::request::Request;
use super::trouble;
use crate::failure::Failure;

/// What an export holds, and what it does not.
///
/// Invariant: a file that stands in it is durable under its name, with these bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// What was asked.
    pub request: Request,
    /// Whether every file is there.
    pub finished: bool,
    /// What the archive had when the export last ran.
    pub archive: Held,
    /// The parts of the interval of which the archive had no rows at all.
    pub not_held: Vec<Absence>,
    /// The gaps of the whole interval that the recorder named.
    pub gaps: Vec<Gap>,
    /// The files, in the order in which they are made.
    pub files: Vec<Entry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path below the manifest's folder.
    pub path: String,
    /// The table.
    pub table: String,
    /// The currency, where the archive keeps currencies apart.
    pub currency: Option<String>,
    /// The instants whose rows it has; all before the end for `instruments`.
    pub interval: Interval,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// The SHA-256 of its bytes.
    pub sha256: String,
    /// The digest of its rows, the same in every format (docs/research.md).
    pub rows_sha256: String,
    /// What the archive had when the file was made: if it has more, the file is made anew.
    pub source: Source,
    /// The gaps in which rows of this file may be missing.
    pub gaps: Vec<Gap>,
}

/// A part of the archive, as far as compaction does not change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Rows in the folders that were read.
    pub rows: u64,
    /// Their least and their greatest sequence.
    pub sequence: [i64; 2],
}

/// What the whole archive held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The newest stored record of each journal.
    pub records: BTreeMap<String, u64>,
    /// Records that are not stored although later ones are.
    pub holes: Vec<String>,
}

/// A part of the interval that the archive does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absence {
    /// From when.
    #[serde(with = "as_text")]
    pub from: Micros,
    /// To when.
    #[serde(with = "as_text")]
    pub to: Micros,
    /// Why.
    pub why: String,
}

impl Manifest {
    /// The manifest of an export that has no file yet.
    pub(super) fn new(request: Request) -> Self {
        Self {
            format: FORMAT,
            request,
            finished: false,
            archive: Held::default(),
            not_held: Vec::new(),
            gaps: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Reads the manifest of a folder; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is none of ours.
    pub fn read(folder: &Path) -> Result<Option<Self>, Failure> {
        let path = Self::path(folder);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(trouble::storage(format_args!(
                    "cannot read {}: {error}",
                    path.display()
                )));
            }
        };
        match serde_json::from_str::<Self>(&text) {
            Ok(manifest) if manifest.format <= FORMAT => Ok(Some(manifest)),
            Ok(_) => Err(trouble::usage(format_args!(
                "{} was written by a newer tapedeck: export into another --out",
                path.display()
            ))),
            Err(error) => Err(trouble::usage(format_args!(
                "{} is no manifest of an export ({error}): export into another --out",
                path.display()
            ))),
        }
    }

    /// Makes it the folder's manifest, durably.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let path = Self::path(folder);
        let mut text = serde_json::to_string_pretty(self).expect("plain data is always JSON");
        text.push('\n');
        output::replace(&path, text.as_bytes()).map_err(|error| trouble::writing(&path, &error))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("manifest.json")
    }

    /// The entry of a file.
    pub(super) fn entry(&self, path: &str) -> Option<&Entry> {
        self.files.iter().find(|entry| entry.path == path)
    }

    /// Enters a file, in the place of what was known of it; whether that changes anything.
    pub(super) fn enter(&mut self, entry: Entry) -> bool {
        match self.files.iter_mut().find(|known| known.path == entry.path) {
            Some(known) if *known == entry => return false,
            Some(known) => *known = entry,
            None => self.files.push(entry),
        }
        true
    }

    /// Rows of all files.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|entry| entry.rows).sum()
    }
}

impl Entry {
    /// Whether the file below the folder has the bytes that the manifest says.
    pub(super) fn is_whole(&self, folder: &Path) -> bool {
        let read = || {
            let file = File::open(folder.join(&self.path))?;
            if file.metadata()?.len() != self.bytes {
                return Ok((String::new(), 0));
            }
            digest::sha256(file)
        };
        let read: std::io::Result<(String, u64)> = read();
        read.is_ok_and(|(sha256, bytes)| sha256 == self.sha256 && bytes == self.bytes)
    }
}

const FORMAT: u32 = 1;
