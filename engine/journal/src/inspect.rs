//! What `tapedeck inspect` says of a journal or of one segment. Changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use schema::Micros;

use crate::JournalError;
use crate::disk::Disk;
use crate::error::ErrorKind;
use crate::record::{Head, Kind};
use crate::recovery;
use crate::resume::{Checkpoint, Watermark, WatermarkNote};
use crate::scanner::{Found, Scanner};
use crate::segment;

/// Everything that can be said of a journal without writing.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Oldest first.
    pub segments: Vec<SegmentReport>,
    /// By table name, all segments together.
    pub tables: BTreeMap<String, TableReport>,
    /// Segments that a crash left unborn.
    pub drafts: Vec<PathBuf>,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// The file.
    pub path: PathBuf,
    /// Its length, bytes.
    pub bytes: u64,
    /// The journal's id; empty when the header cannot be read.
    pub journal: String,
    /// When it was begun.
    pub created: Micros,
    /// How often the journal had been opened before.
    pub opened_before: u64,
    /// Position of its first batch, if it has one.
    pub first_position: u64,
    /// Position of its last batch; one less than the first when it has none.
    pub last_position: u64,
    /// Sequence of its first row, if it has one.
    pub first_sequence: i64,
    /// Sequence that follows its last row.
    pub next_sequence: i64,
    /// Watermarks in it.
    pub watermarks: u64,
    /// The newest of them.
    pub watermark: Option<Watermark>,
    /// Instruments and shards in its checkpoint.
    pub checkpoint: Option<(usize, usize)>,
    /// Whether all of it can be read.
    pub state: State,
}

/// Whether a segment can be read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// To its last byte.
    Sound,
    /// It ends in bytes that a crash left half written; the next opening cuts them off.
    Torn {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        bytes: u64,
    },
    /// Bytes that were durable are not what was written: the sentence says where.
    Damaged(String),
}

/// One table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableReport {
    /// Batches.
    pub batches: u64,
    /// Rows.
    pub rows: u64,
    /// The earliest and the latest instant of the table's time column; missing when this program
    /// does not know the table.
    pub times: Option<(Micros, Micros)>,
}

/// Reads a journal's folder, the folder that holds it, or one segment. One record is in memory at a
/// time.
///
/// # Errors
/// When the disk refuses, when there is no journal, or when the one file given is no segment.
/// Damage within a segment is part of the report.
pub fn inspect(disk: &dyn Disk, path: &Path) -> Result<Report, JournalError> {
    let mut report = Report::default();
    if disk.open(path).is_ok_and(|mut file| file.read(&mut [0]).is_ok()) {
        // A file named by its path: its own header is all there is to judge it by.
        Scanner::open(disk, path)?;
        let segment = report.segment(disk, path, true)?;
        report.segments.push(segment);
        return Ok(report);
    }
    let folder = match recovery::journals(disk, path)?.as_slice() {
        [(_, folder)] => folder.clone(),
        _ => path.to_owned(),
    };
    let entries = disk.list(&folder).map_err(|error| JournalError::io("list", &folder, error))?;
    let mut paths = Vec::new();
    for path in entries.into_iter().filter(|entry| !entry.folder).map(|entry| entry.path) {
        match segment::number_of(&path) {
            Some(number) => paths.push((number, path)),
            None if segment::is_draft(&path) => report.drafts.push(path),
            None => {}
        }
    }
    if paths.is_empty() {
        let what = format!("there is no segment of a journal in {}", folder.display());
        return Err(JournalError::new(ErrorKind::Folder, what));
    }
    paths.sort();
    let last = paths.len() - 1;
    for (index, (_, path)) in paths.iter().enumerate() {
        let mut segment = report.segment(disk, path, index == last)?;
        segment.follow(report.segments.last());
        report.segments.push(segment);
    }
    Ok(report)
}

impl Report {
    /// Whether every segment is sound, or torn at the journal's end.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.segments.iter().all(|segment| !matches!(segment.state, State::Damaged(_)))
    }

    /// Rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|table| table.rows).sum()
    }

    fn segment(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        may_be_torn: bool,
    ) -> Result<SegmentReport, JournalError> {
        let mut segment = SegmentReport::unread(path);
        let read = self.read(disk, path, may_be_torn, &mut segment);
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::Damaged { .. } | ErrorKind::Newer) => {
                segment.state = State::Damaged(error.to_string());
            }
            read => read?,
        }
        Ok(segment)
    }

    fn read(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        may_be_torn: bool,
        segment: &mut SegmentReport,
    ) -> Result<(), JournalError> {
        let mut scanner = Scanner::open(disk, path)?;
        segment.begin(&scanner)?;
        loop {
            let (head, payload) = match scanner.next()? {
                Found::Record(head, payload) => (head, payload),
                Found::End => return Ok(()),
                Found::Bad(what) => {
                    let offset = scanner.offset();
                    if !may_be_torn || scanner.promised_bytes()? > offset {
                        return Err(scanner.damaged(what));
                    }
                    segment.state = State::Torn { offset, bytes: segment.bytes - offset };
                    return Ok(());
                }
            };
            match head.kind {
                Kind::Batch => self.batch(&scanner, &head, payload)?,
                Kind::Checkpoint => {
                    let checkpoint: Checkpoint = scanner.note(&payload)?;
                    let resume = &checkpoint.resume;
                    segment.checkpoint = Some((resume.instruments.len(), resume.shards.len()));
                }
                Kind::Watermark => {
                    let note: WatermarkNote = scanner.note(&payload)?;
                    segment.watermark = Some(note.watermark);
                    segment.watermarks += 1;
                }
                Kind::Schema | Kind::Shard | Kind::Later(_) => {}
            }
            segment.last_position = scanner.position();
            segment.next_sequence = scanner.sequence();
        }
    }

    fn batch(
        &mut self,
        scanner: &Scanner,
        head: &Head,
        payload: Vec<u8>,
    ) -> Result<(), JournalError> {
        let (name, times) = match scanner.stored(head) {
            Ok(stored) => {
                let column = stored.column(stored.table.time, payload);
                let column = column.map_err(|misfit| scanner.misfit(misfit))?;
                let times = column.as_deref().and_then(|column| {
                    let times = column.as_primitive_opt::<TimestampMicrosecondType>()?;
                    let times = times.iter().flatten();
                    Some((Micros(times.clone().min()?), Micros(times.max()?)))
                });
                (stored.table.name.to_owned(), times)
            }
            Err(error) if *error.kind() == ErrorKind::Newer => (UNKNOWN.to_owned(), None),
            Err(error) => return Err(error),
        };
        let none = TableReport { batches: 0, rows: 0, times: None };
        let table = self.tables.entry(name).or_insert(none);
        table.batches += 1;
        table.rows += u64::from(head.rows);
        table.times = match (table.times, times) {
            (Some((from, to)), Some((first, last))) => Some((from.min(first), to.max(last))),
            (known, new) => known.or(new),
        };
        Ok(())
    }
}

impl SegmentReport {
    fn unread(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            bytes: 0,
            journal: String::new(),
            created: Micros(0),
            opened_before: 0,
            first_position: 0,
            last_position: 0,
            first_sequence: 0,
            next_sequence: 0,
            watermarks: 0,
            watermark: None,
            checkpoint: None,
            state: State::Sound,
        }
    }

    fn begin(&mut self, scanner: &Scanner) -> Result<(), JournalError> {
        let header = scanner.header();
        self.bytes = scanner.file_bytes()?;
        self.journal = header.journal.to_string();
        self.created = header.created;
        self.opened_before = header.opened_before;
        self.first_position = header.first_position;
        self.last_position = scanner.position();
        self.first_sequence = header.first_sequence;
        self.next_sequence = header.first_sequence;
        Ok(())
    }

    /// Checks that the segment begins where the one before ended.
    fn follow(&mut self, before: Option<&Self>) {
        let Some(before) = before else { return };
        let whole = before.state == State::Sound && self.state == State::Sound;
        if whole && self.first_position != before.last_position + 1 {
            self.state = State::Damaged(format!(
                "{} begins with position {} where {} is due",
                self.path.display(),
                self.first_position,
                before.last_position + 1
            ));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            writeln!(f, "{segment}")?;
        }
        for draft in &self.drafts {
            writeln!(f, "{}: never begun", draft.display())?;
        }
        for (name, table) in &self.tables {
            write!(f, "{name}: {} rows in {} batches", table.rows, table.batches)?;
            match table.times {
                Some((from, to)) => writeln!(f, ", {from} to {to}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for SegmentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let State::Damaged(what) = &self.state {
            return f.write_str(what);
        }
        write!(
            f,
            "{}: {} bytes, begun {}, positions {} to {}, sequence {} to {}, {} watermarks",
            self.path.display(),
            self.bytes,
            self.created,
            self.first_position,
            self.last_position,
            self.first_sequence,
            self.next_sequence - 1,
            self.watermarks,
        )?;
        if let Some(watermark) = self.watermark {
            write!(f, " (position {}, through {})", watermark.position, watermark.through)?;
        }
        if let Some((instruments, shards)) = self.checkpoint {
            write!(f, ", checkpoint of {instruments} instruments and {shards} shards")?;
        }
        if let State::Torn { offset, bytes } = self.state {
            write!(f, ", torn at byte {offset}: {bytes} bytes will be cut off")?;
        }
        Ok(())
    }
}

/// The rows of tables that only a newer program knows.
const UNKNOWN: &str = "(unknown)";
