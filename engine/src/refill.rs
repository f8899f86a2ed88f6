//! A database's holes, filled from the archive.
//!
//! Which records a database lacks it knows itself (`sinks::postgres::Hole`). Their rows are those
//! of the archive with the numbers between the hole's first and last row. A recorder may be at
//! work meanwhile, and files of the archive may be merged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use journal::disk::{Disk, System};
use schema::{Table, tables};
use sinks::parquet::{FAN_IN, Selection, merge};
use sinks::postgres::{self, Archived, DatabaseError, DatabaseErrorKind, Hole, Stored};

use crate::clock::Clock;
use crate::export::archive::{Archive, Missing};
use crate::failure::{Failure, FailureKind};
use crate::lock::{Lock, LockError};
use crate::recorder::Database;
use crate::stop::Stop;

/// A database that is being filled.
#[derive(Debug)]
pub struct Refill<'a> {
    data: &'a Path,
    archive: Archive,
    journal: String,
    archived: Archived,
    into: postgres::Refill,
    /// Rows that this run has given.
    rows: u64,
    told: Instant,
    /// One run has a data folder.
    _lock: Lock,
}

/// What became of a hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All its rows are in the database.
    Filled,
    /// The archive has no more of it: so many rows are in neither.
    Lacking(u64),
    /// It reaches beyond the archive, whose newest record this is: a copy, or a backup.
    Newer(u64),
    /// Nobody knows which rows it had: an older program moved the database's position.
    Unknown,
}

/// What the archive of a data folder has, and of which journal.
///
/// # Errors
/// When it cannot be read, is empty, or has rows of several journals, which it cannot tell apart.
pub fn archived(data: &Path) -> Result<(String, Archived), Failure> {
    of_archive(data, &Archive::look(data)?)
}

impl<'a> Refill<'a> {
    /// Opens the archive and the database.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn open(data: &'a Path, database: &Database) -> Result<Self, Failure> {
        let archive = Archive::look(data)?;
        let (journal, archived) = of_archive(data, &archive)?;
        let scratch = data.join(SCRATCH);
        let lock = Lock::take(&scratch).map_err(|error| taken(data, error))?;
        clear(&scratch)?;
        let Database { address, trust, options } = database;
        let now = Clock::system().now().utc;
        let into = postgres::Refill::open(address, trust, options, &journal, archived, now);
        let (into, told) = (into.map_err(|error| failure(&error))?, Instant::now());
        Ok(Self { data, archive, journal, archived, into, rows: 0, told, _lock: lock })
    }

    /// The journal whose rows these are.
    #[must_use]
    pub fn journal(&self) -> &str {
        &self.journal
    }

    /// How far the recorder's sink is in it.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.into.position()
    }

    /// What the database lacks.
    #[must_use]
    pub fn holes(&self) -> Vec<Hole> {
        self.into.holes().to_vec()
    }

    /// Holes of which only `data_gaps` knows.
    #[must_use]
    pub fn unnoted(&self) -> u64 {
        self.into.unnoted()
    }

    /// Rows that were stored since it was opened.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Stores what the archive has of a hole. A folder that cannot be read is left out, and is the
    /// error in the end.
    ///
    /// # Errors
    /// When the archive cannot be read, is not the one that this hole was begun from, the database
    /// is away or refuses, or `stop` is raised. What is stored stays stored, and the next run goes
    /// on behind it.
    pub fn fill(&mut self, hole: &Hole, stop: &Stop) -> Result<Outcome, Failure> {
        let (Some(first), Some(rows)) = (hole.first_row, hole.rows()) else {
            return Ok(Outcome::Unknown);
        };
        if hole.last_record > self.archived.position {
            return Ok(Outcome::Newer(self.archived.position));
        }
        let mut unread = None;
        // Instruments come first, so that what happens to one is known of it.
        for table in tables::ALL {
            let folders = self.archive.folders(table).iter();
            let with = folders.filter(|folder| {
                folder.sequence[0] <= hole.last_row && folder.sequence[1] >= first
            });
            let with: Vec<String> = with.map(|folder| folder.below.clone()).collect();
            for below in with {
                match self.folder(hole, table, &below, stop) {
                    Err(failure) if failure.kind() == FailureKind::Storage => {
                        unread.get_or_insert(failure);
                    }
                    done => done?,
                }
            }
        }
        let stored = self.into.stored(hole);
        match (unread, rows.checked_sub(stored)) {
            (Some(failure), _) => Err(failure),
            (None, Some(0)) => {
                self.into.close(hole).map_err(|error| failure(&error))?;
                Ok(Outcome::Filled)
            }
            (None, Some(lacking)) => Ok(Outcome::Lacking(lacking)),
            (None, None) => Err(storage(format_args!(
                "{stored} rows are stored of {rows} that the records {} to {} had: please report \
                 this",
                hole.first_record, hole.last_record
            ))),
        }
    }

    /// Stores what a folder has of it.
    fn folder(
        &mut self,
        hole: &Hole,
        table: &'static Table,
        below: &str,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let Self { data, archive, into, rows: count, told, .. } = self;
        let (data, span) = (*data, [hole.first_row.unwrap_or(i64::MAX), hole.last_row]);
        archive.patiently(data, |archive| {
            // A day may be removed meanwhile.
            let Some(folder) = archive.folder(table, below) else { return Ok(()) };
            let files = folder.files_with(span);
            room(data, &files)?;
            let disk: Arc<dyn Disk> = Arc::new(System);
            let all = Selection { strict: true, ..Selection::default() };
            let archived = merge(&disk, table, &files, &all, &data.join(SCRATCH))?;
            let stored = into.turn_to(hole, below).map_err(|error| lost(&error))?;
            let mut known = Known { left: stored.rows, stored, below };
            for rows in archived {
                if stop.raised() {
                    return Err(stopped().into());
                }
                let rows = known.without(within(span, &rows?))?;
                into.take(table, &rows).map_err(|error| lost(&error))?;
                *count += rows.num_rows() as u64;
                if told.elapsed() >= BETWEEN_WORDS {
                    *told = Instant::now();
                    eprintln!("{count} rows taken, now those of {below}");
                }
            }
            known.end()?;
            into.finish().map_err(|error| lost(&error))
        })
    }
}

/// What is stored of a folder and is passed over.
struct Known<'a> {
    stored: Stored,
    left: u64,
    below: &'a str,
}

impl Known<'_> {
    /// The rows that are not stored. The last one that is must be the one that was.
    fn without(&mut self, rows: RecordBatch) -> Result<RecordBatch, Failure> {
        if self.left == 0 {
            return Ok(rows);
        }
        let count = rows.num_rows();
        let known = usize::try_from(self.left).map_or(count, |left| left.min(count));
        self.left -= known as u64;
        if self.left == 0 && numbers(&rows)[known - 1] != self.stored.last {
            return Err(self.other());
        }
        Ok(rows.slice(known, count - known))
    }

    /// All of the folder was seen.
    fn end(&self) -> Result<(), Failure> {
        if self.left == 0 { Ok(()) } else { Err(self.other()) }
    }

    fn other(&self) -> Failure {
        storage(format_args!(
            "{} has other rows than those that were stored from it: this is not the archive that \
             was begun with, go on with that one",
            self.below
        ))
    }
}

/// The rows of a batch that are the hole's.
fn within([first, last]: [i64; 2], rows: &RecordBatch) -> RecordBatch {
    let wanted = |number: &i64| (first..=last).contains(number);
    if numbers(rows).iter().all(wanted) {
        return rows.clone();
    }
    let wanted: BooleanArray = numbers(rows).iter().map(|number| Some(wanted(number))).collect();
    filter_record_batch(rows, &wanted).expect("a choice a row")
}

fn numbers(rows: &RecordBatch) -> &[i64] {
    rows.column(Table::SEQUENCE).as_primitive::<Int64Type>().values()
}

/// Many files go through passes over the disk, which a recorder needs more.
fn room(data: &Path, files: &[PathBuf]) -> Result<(), Failure> {
    if files.len() <= FAN_IN {
        return Ok(());
    }
    let sizes = files.iter().map(|path| fs::metadata(path).map_or(0, |file| file.len()));
    // What one pass has read goes when the next has written it.
    let needed = 2 * sizes.sum::<u64>() + ROOM_BYTES;
    let failed = |error| storage(format_args!("cannot measure {}: {error}", data.display()));
    let free = System.free_bytes(data).map_err(failed)?;
    if free >= needed {
        return Ok(());
    }
    Err(storage(format_args!(
        "{needed} bytes are needed in {} for a while, and {free} are free: make room, then {AGAIN}",
        data.display()
    )))
}

fn of_archive(data: &Path, archive: &Archive) -> Result<(String, Archived), Failure> {
    let data = data.display();
    if let Some(table) = archive.strangers().first() {
        return Err(storage(format_args!(
            "the archive in {data} has a table {table}, which this tapedeck does not know: use a \
             newer one"
        )));
    }
    let mut journals = archive.positions().iter();
    match (journals.next(), archive.last_row(), journals.len()) {
        (Some((journal, position)), Some(row), 0) => {
            Ok((journal.clone(), Archived { position: *position, row }))
        }
        (_, _, 0) => {
            Err(storage(format_args!("the archive in {data} is empty: there is nothing to store")))
        }
        (_, _, more) => Err(storage(format_args!(
            "the archive in {data} has rows of {} journals, which merged files do not tell apart: \
             tapedeck cannot say which of them the database lacks",
            more + 1
        ))),
    }
}

fn taken(data: &Path, error: LockError) -> Failure {
    match error {
        LockError::InUse { holder, .. } => {
            let data = data.display();
            let sentence = format!("{holder} is at work in {data}/{SCRATCH}: wait for its end");
            Failure::new(FailureKind::InUse, sentence)
        }
        LockError::Unwritable { .. } => error.into(),
    }
}

/// Removes what a run left that was killed.
fn clear(scratch: &Path) -> Result<(), Failure> {
    let failed =
        |error: io::Error| storage(format_args!("cannot clear {}: {error}", scratch.display()));
    for entry in fs::read_dir(scratch).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "tmp") {
            fs::remove_file(&path).map_err(failed)?;
        }
    }
    Ok(())
}

fn lost(error: &DatabaseError) -> Missing {
    Missing::Failed(failure(error))
}

fn failure(error: &DatabaseError) -> Failure {
    use DatabaseErrorKind::{Away, Busy, Unwritable};
    match error.kind {
        Away | Busy | Unwritable => {
            Failure::new(FailureKind::Database, format_args!("{error}; {AGAIN}"))
        }
        _ => Failure::new(FailureKind::Database, error),
    }
}

fn storage(sentence: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Storage, sentence)
}

/// A signal came before the end.
fn stopped() -> Failure {
    Failure::new(FailureKind::Interrupted, format_args!("stopped before all was stored; {AGAIN}"))
}

/// Below the data folder: what many files of one folder are merged in.
const SCRATCH: &str = "refill";
const AGAIN: &str = "run the same command again: it goes on where it ended";
const BETWEEN_WORDS: Duration = Duration::from_secs(10);
/// What is left free for everything else.
const ROOM_BYTES: u64 = 256 << 20;
