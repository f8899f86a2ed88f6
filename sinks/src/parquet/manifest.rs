//! The manifest: which files the sink has durably finished. It is the sink's position.
//!
//! A text file of lines, each the CRC-32 of its JSON in eight hex digits, a space, the JSON. The
//! first line is the [`Header`], every other one a [`Line`]. Lines are only appended; when they
//! are many more than what they still say, and at every start, they are written anew, as short as
//! can be, into a file that takes the old one's place.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};

use journal::disk::{Disk, File};
use serde::{Deserialize, Serialize};

use super::failure;
use super::name::journal_id;
use super::survey::Hole;
use crate::SinkError;

/// The open manifest.
#[derive(Debug)]
pub(super) struct Manifest {
    data: PathBuf,
    file: Box<dyn File>,
    contents: Contents,
    /// Bytes when it was last written anew, and since.
    anew_bytes: u64,
    added_bytes: u64,
}

/// What a manifest says.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// The newest record of each journal.
    pub(super) positions: BTreeMap<String, u64>,
    /// Records that no flush stored, although later ones are stored.
    pub(super) holes: Vec<Hole>,
    /// Every file, by its path below `DATA/parquet`.
    pub(super) files: BTreeMap<String, Stored>,
    /// The greatest number of an exchange.
    pub(super) exchanges: u64,
    /// An exchange that was about to happen: only the folder says whether it did.
    pub(super) pending: Option<Exchange>,
    /// Bytes of a last line that was never finished.
    pub(super) torn_bytes: u64,
}

/// What a line says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    /// Records were stored.
    Flush(Entry),
    /// What all lines before said of journals.
    Kept { kept: Kept },
    /// A file that counts.
    File { file: Stored },
    /// An exchange is about to happen.
    Exchanging { exchanging: Exchange },
    /// The exchange of this number, the last one named, has happened.
    Exchanged { exchanged: u64 },
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

/// A folder's files make way for one that holds their rows, or for nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exchange {
    pub(super) number: u64,
    /// Below `DATA/parquet`, with slashes.
    pub(super) folder: String,
    pub(super) file: Option<Stored>,
    pub(super) replaces: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    positions: BTreeMap<String, u64>,
    holes: Vec<Hole>,
    exchanges: u64,
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
    /// reader sees and the disk does not have. This also cuts a torn end.
    pub(super) fn open(
        disk: &dyn Disk,
        data: &Path,
        contents: Contents,
    ) -> Result<Self, SinkError> {
        let written = write_anew(disk, data, &contents);
        let (file, anew_bytes) =
            written.map_err(|source| failure::io(disk, "writing", &Self::path(data), source))?;
        Ok(Self { data: data.to_owned(), file, contents, anew_bytes, added_bytes: 0 })
    }

    /// All that it says.
    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Adds a flush whose files are durable. After `Ok` it is the position.
    pub(super) fn append(&mut self, disk: &dyn Disk, entry: Entry) -> Result<(), SinkError> {
        self.add(disk, Line::Flush(entry))
    }

    /// Announces an exchange; one that was announced before has not happened.
    pub(super) fn begin(&mut self, disk: &dyn Disk, exchange: Exchange) -> Result<(), SinkError> {
        self.add(disk, Line::Exchanging { exchanging: exchange })
    }

    /// The exchange that was announced has happened, durably.
    pub(super) fn finish(&mut self, disk: &dyn Disk) -> Result<(), SinkError> {
        let pending = self.contents.pending.as_ref().expect("an exchange was announced");
        let exchanged = pending.number;
        self.add(disk, Line::Exchanged { exchanged })
    }

    fn add(&mut self, disk: &dyn Disk, added: Line) -> Result<(), SinkError> {
        let path = Self::path(&self.data);
        let failed = |source| failure::io(disk, "writing", &path, source);
        let bytes = line(&added);
        self.file.write_all(&bytes).and_then(|()| self.file.sync()).map_err(failed)?;
        self.added_bytes += bytes.len() as u64;
        self.contents.take(added).expect("a line of ours follows from those before");
        if self.added_bytes > ADDED_BYTES_MAX + 2 * self.anew_bytes {
            let written = write_anew(disk, &self.data, &self.contents);
            (self.file, self.anew_bytes) = written.map_err(failed)?;
            self.added_bytes = 0;
        }
        Ok(())
    }
}

/// Writes a manifest that says `contents` and nothing else, and gives it the old one's place in
/// one step.
fn write_anew(
    disk: &dyn Disk,
    data: &Path,
    contents: &Contents,
) -> io::Result<(Box<dyn File>, u64)> {
    let (path, unfinished) = (Manifest::path(data), folder(data).join(".manifest.tmp"));
    disk.create_folder(&folder(data))?;
    match disk.remove(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let header = Header { format: FORMAT, readable_from: FORMAT, sink: super::NAME.to_owned() };
    let mut bytes = line(&header);
    contents.lines().for_each(|one| bytes.extend(line(&one)));
    let mut file = disk.create(&unfinished)?;
    file.write_all(&bytes)?;
    file.sync()?;
    disk.rename(&unfinished, &path)?;
    disk.sync_folder(&folder(data))?;
    Ok((file, bytes.len() as u64))
}

impl Contents {
    /// Reads the manifest; `None` if there is none. Writes nothing.
    pub(super) fn read(disk: &dyn Disk, data: &Path) -> Result<Option<Self>, SinkError> {
        let path = Manifest::path(data);
        let failed = |source| failure::io(disk, "reading", &path, source);
        let source = match disk.open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            source => source.map_err(failed)?,
        };
        let damaged = |number: u64, what: &str| {
            let hint = "restore it, or move DATA/parquet and DATA/sinks/parquet away to begin anew";
            let doing = format!("reading {}", path.display());
            failure::stop(doing, format!("line {number} {what}: {hint}"))
        };
        let mut contents = Self::default();
        let (mut lines, mut bytes) = (BufReader::with_capacity(READ_BYTES, source), Vec::new());
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
                contents.torn_bytes += length;
                continue;
            };
            if contents.torn_bytes > 0 {
                return Err(damaged(number - 1, "is damaged, while later ones are whole"));
            }
            let understood =
                if number == 1 { check_header(json) } else { contents.take_json(json) };
            understood.map_err(|what| damaged(number, what))?;
        }
        Ok(Some(contents))
    }

    /// The exchange that was pending has happened.
    pub(super) fn settle(&mut self) {
        let Some(Exchange { file, replaces, .. }) = self.pending.take() else { return };
        for path in &replaces {
            self.files.remove(path);
        }
        self.files.extend(file.map(|file| (file.path.clone(), file)));
    }

    /// The files of a folder below `DATA/parquet`.
    pub(super) fn in_folder<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a Stored> {
        let below = format!("{folder}/");
        let files = self.files.range(below.clone()..);
        let inside = files.take_while(move |(path, _)| path.starts_with(&below));
        inside.map(|(_, stored)| stored)
    }

    fn take_json(&mut self, json: &[u8]) -> Result<(), &'static str> {
        self.take(serde_json::from_slice(json).map_err(|_| "is no entry")?)
    }

    fn take(&mut self, line: Line) -> Result<(), &'static str> {
        match line {
            Line::Flush(Entry { journal, from, to, files }) => {
                if !journal_id(&journal) || from < 1 || from > to {
                    return Err("is no entry");
                }
                let before = self.positions.get(&journal).copied().unwrap_or(0);
                if from <= before {
                    return Err("repeats records of an earlier one");
                }
                if from > before + 1 {
                    let (from, to) = (before + 1, from - 1);
                    self.holes.push(Hole { journal: journal.clone(), from, to });
                }
                self.positions.insert(journal, to);
                self.files.extend(files.into_iter().map(|file| (file.path.clone(), file)));
            }
            Line::Kept { kept: Kept { positions, holes, exchanges } } => {
                (self.positions, self.holes, self.exchanges) = (positions, holes, exchanges);
            }
            Line::File { file } => {
                self.files.insert(file.path.clone(), file);
            }
            Line::Exchanging { exchanging } => {
                self.exchanges = self.exchanges.max(exchanging.number);
                self.pending = Some(exchanging);
            }
            Line::Exchanged { exchanged } => {
                if self.pending.as_ref().is_none_or(|pending| pending.number != exchanged) {
                    return Err("ends an exchange that no line began");
                }
                self.settle();
            }
        }
        Ok(())
    }

    /// The fewest lines that say the same.
    fn lines(&self) -> impl Iterator<Item = Line> {
        let Self { positions, holes, exchanges, .. } = self;
        let (positions, holes, exchanges) = (positions.clone(), holes.clone(), *exchanges);
        let kept = Line::Kept { kept: Kept { positions, holes, exchanges } };
        let files = self.files.values().map(|file| Line::File { file: file.clone() });
        let pending = self.pending.clone().map(|exchanging| Line::Exchanging { exchanging });
        std::iter::once(kept).chain(files).chain(pending)
    }
}

fn check_header(json: &[u8]) -> Result<(), &'static str> {
    match serde_json::from_slice::<Header>(json).map(|header| header.readable_from) {
        Ok(from) if from <= FORMAT => Ok(()),
        Ok(_) => Err("asks for a newer tapedeck"),
        Err(_) => Err("is no header"),
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

/// The first format knew flushes only.
const FORMAT: u32 = 2;
const READ_BYTES: usize = 64 << 10;
/// What may be added before it is written anew, beside twice what it was then.
const ADDED_BYTES_MAX: u64 = 1 << 20;
