//! The manifest: which files the sink has durably finished. It is the sink's position.
//!
//! A text file of lines, each the CRC-32 of its JSON in eight hex digits, a space, the JSON. The
//! first line is the [`Header`], every other one an [`Entry`]: one flush. Lines are only appended.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use journal::disk::{Disk, File};
use serde::{Deserialize, Serialize};

use super::failure;
use super::name::journal_id;
use crate::SinkError;

/// The open manifest.
#[derive(Debug)]
pub(super) struct Manifest {
    path: PathBuf,
    file: Box<dyn File>,
}

/// What a manifest says.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The newest record of each journal.
    pub(super) positions: BTreeMap<String, u64>,
    /// Bytes of every file, by its path below `DATA/parquet`.
    pub(super) files: BTreeMap<String, u64>,
    /// Bytes of the lines that are whole.
    pub(super) whole_bytes: u64,
    /// Bytes of a last line that was never finished.
    pub(super) torn_bytes: u64,
}

/// One flush: records `from` to `to`, both inclusive, and the files made of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) journal: String,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) files: Vec<Stored>,
}

/// One file. `time` and `sequence` are the least and the greatest of its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    /// Below `DATA/parquet`, with slashes.
    pub(super) path: String,
    pub(super) table: String,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) time: [i64; 2],
    pub(super) sequence: [i64; 2],
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    /// The oldest format that a program must know to read this file.
    readable_from: u32,
    sink: String,
}

impl Manifest {
    /// Where the manifest of a data folder is.
    pub(super) fn path(data: &Path) -> PathBuf {
        folder(data).join("manifest")
    }

    /// Opens the manifest for appending, or makes it.
    ///
    /// What was read is written anew: a sync that failed earlier may have left lines that every
    /// reader sees and the disk does not have. This also cuts a torn end. The new file takes the
    /// old one's place in one step.
    pub(super) fn open(
        disk: &dyn Disk,
        data: &Path,
        contents: Option<&Contents>,
    ) -> Result<Self, SinkError> {
        let path = Self::path(data);
        let file = Self::rewrite(disk, data, contents)
            .map_err(|source| failure::io(disk, "writing", &path, source))?;
        Ok(Self { path, file })
    }

    fn rewrite(
        disk: &dyn Disk,
        data: &Path,
        contents: Option<&Contents>,
    ) -> io::Result<Box<dyn File>> {
        let (path, unfinished) = (Self::path(data), folder(data).join(".manifest.tmp"));
        disk.create_folder(&folder(data))?;
        match disk.remove(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = disk.create(&unfinished)?;
        match contents {
            Some(contents) => {
                let mut old = disk.open(&path)?.take(contents.whole_bytes);
                let copied = io::copy(&mut old, &mut file)?;
                assert_eq!(copied, contents.whole_bytes, "the manifest has one writer");
            }
            None => {
                let header =
                    Header { format: FORMAT, readable_from: FORMAT, sink: super::NAME.to_owned() };
                file.write_all(&line(&header))?;
            }
        }
        file.sync()?;
        disk.rename(&unfinished, &path)?;
        disk.sync_folder(&folder(data))?;
        Ok(file)
    }

    /// Adds a flush whose files are durable. After `Ok` it is the position.
    pub(super) fn append(&mut self, disk: &dyn Disk, entry: &Entry) -> Result<(), SinkError> {
        let written = self.file.write_all(&line(entry)).and_then(|()| self.file.sync());
        written.map_err(|source| failure::io(disk, "writing", &self.path, source))
    }
}

impl Contents {
    /// Reads the manifest; `None` if there is none.
    pub(super) fn read(disk: &dyn Disk, data: &Path) -> Result<Option<Self>, SinkError> {
        let mut contents = Self::default();
        let found = read(disk, data, |entry| {
            contents.positions.insert(entry.journal, entry.to);
            for file in entry.files {
                contents.files.insert(file.path, file.bytes);
            }
        })?;
        let Some((whole_bytes, torn_bytes)) = found else { return Ok(None) };
        Ok(Some(Self { whole_bytes, torn_bytes, ..contents }))
    }
}

/// Hands on every entry of the manifest in their order; returns the bytes of the whole lines and
/// of a torn end, or `None` without a manifest. Writes nothing.
pub(super) fn read(
    disk: &dyn Disk,
    data: &Path,
    mut each: impl FnMut(Entry),
) -> Result<Option<(u64, u64)>, SinkError> {
    let path = Manifest::path(data);
    let failed = |source| failure::io(disk, "reading", &path, source);
    let source = match disk.open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        source => source.map_err(failed)?,
    };
    let damaged = |number: u64, what: &str| {
        let hint = "restore it, or move DATA/parquet and DATA/sinks/parquet away to begin anew";
        failure::stop(
            format!("reading {}", path.display()),
            format!("line {number} {what}: {hint}"),
        )
    };
    let mut lines = BufReader::with_capacity(READ_BYTES, source);
    let mut positions = BTreeMap::<String, u64>::new();
    let (mut whole_bytes, mut torn_bytes, mut bytes) = (0, 0, Vec::new());
    for number in 1.. {
        bytes.clear();
        let length = lines.read_until(b'\n', &mut bytes).map_err(failed)? as u64;
        if length == 0 && number == 1 {
            return Err(damaged(number, "is missing"));
        }
        if length == 0 {
            break;
        }
        let Some(json) = checked(&bytes) else {
            if number == 1 {
                return Err(damaged(number, "is damaged"));
            }
            torn_bytes += length;
            continue;
        };
        if torn_bytes > 0 {
            return Err(damaged(number - 1, "is damaged, while later ones are whole"));
        }
        whole_bytes += length;
        if number == 1 {
            let header = serde_json::from_slice::<Header>(json);
            match header.map(|header| header.readable_from) {
                Ok(from) if from <= FORMAT => continue,
                Ok(_) => return Err(damaged(number, "asks for a newer tapedeck")),
                Err(_) => return Err(damaged(number, "is no header")),
            }
        }
        let entry = serde_json::from_slice::<Entry>(json);
        let Some(entry) = entry.ok().filter(Entry::is_sound) else {
            return Err(damaged(number, "is no entry"));
        };
        if entry.from <= positions.get(&entry.journal).copied().unwrap_or(0) {
            return Err(damaged(number, "repeats records of an earlier one"));
        }
        positions.insert(entry.journal.clone(), entry.to);
        each(entry);
    }
    Ok(Some((whole_bytes, torn_bytes)))
}

impl Entry {
    fn is_sound(&self) -> bool {
        journal_id(&self.journal) && self.from >= 1 && self.from <= self.to
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("sinks").join(super::NAME)
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(value).expect("plain data is always JSON");
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend_from_slice(&json);
    line.push(b'\n');
    line
}

/// The JSON of a line that is whole.
fn checked(line: &[u8]) -> Option<&[u8]> {
    let (crc, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let crc = std::str::from_utf8(crc).ok()?.strip_suffix(' ')?;
    (u32::from_str_radix(crc, 16).ok()? == crc32fast::hash(json)).then_some(json)
}

const FORMAT: u32 = 1;
const READ_BYTES: usize = 64 << 10;
