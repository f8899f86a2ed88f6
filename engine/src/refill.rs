//! A database's holes, filled from the archive.
//!
//! Which records a database lacks it knows itself (`sinks::postgres::Hole`). Their rows are those
//! of the archive with the numbers between the hole's first and last row. A recorder may be at
//! work meanwhile, and files of the archive may be merged.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use journal::disk::{Disk, System};
use schema::{Table, tables};
use sinks::parquet::{Selection, merge};
use sinks::postgres::{self, Archived, DatabaseError, Hole};

use crate::export::archive::{Archive, Missing};
use crate::failure::{Failure, FailureKind};
use crate::lock::Lock;
use crate::recorder::Database;
use crate::stop::Stop;

/// A database that is being filled.
#[derive(Debug)]
pub struct Refill<'a> {
    data: &'a Path,
    archive: Archive,
    journal: String,
    into: postgres::Refill,
    /// Rows that this run has stored.
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
        let lock = Lock::take(&scratch)?;
        clear(&scratch)?;
        let Database { address, trust, options } = database;
        let into = postgres::Refill::open(address, trust, options, &journal, archived);
        let (into, told) = (into.map_err(|error| failure(&error))?, Instant::now());
        Ok(Self { data, archive, journal, into, rows: 0, told, _lock: lock })
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

    /// Rows that were stored since it was opened.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Stores what the archive has of a hole.
    ///
    /// # Errors
    /// When the archive cannot be read, the database is away or refuses, or `stop` is raised. What
    /// is stored stays stored, and the next run goes on behind it.
    pub fn fill(&mut self, hole: &Hole, stop: &Stop) -> Result<Outcome, Failure> {
        let (Some(first), Some(rows)) = (hole.first_row, hole.rows()) else {
            return Ok(Outcome::Unknown);
        };
        for table in tables::ALL {
            let folders = self.archive.folders(table).iter();
            let concerned = folders.filter(|folder| {
                folder.sequence[0] <= hole.last_row && folder.sequence[1] >= first
            });
            let concerned: Vec<String> = concerned.map(|folder| folder.below.clone()).collect();
            for below in concerned {
                self.folder(hole, table, &below, stop)?;
            }
        }
        match rows.saturating_sub(self.into.stored(hole)) {
            0 => {
                self.into.close(hole).map_err(|error| failure(&error))?;
                Ok(Outcome::Filled)
            }
            lacking => Ok(Outcome::Lacking(lacking)),
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
        let disk: Arc<dyn Disk> = Arc::new(System);
        archive.patiently(data, |archive| {
            // A day may be removed meanwhile.
            let Some(folder) = archive.folder(table, below) else { return Ok(()) };
            let all = Selection::default();
            let archived = merge(&disk, table, &folder.files, &all, &data.join(SCRATCH))?;
            let mut stored = into.turn_to(hole, below).map_err(|error| lost(&error))?;
            for rows in archived {
                if stop.raised() {
                    return Err(stopped().into());
                }
                let rows = of_hole(hole, &rows?);
                let known = usize::try_from(stored)
                    .map_or(rows.num_rows(), |stored| stored.min(rows.num_rows()));
                stored -= known as u64;
                let rows = rows.slice(known, rows.num_rows() - known);
                into.take(table, &rows).map_err(|error| lost(&error))?;
                *count += rows.num_rows() as u64;
                if told.elapsed() >= BETWEEN_WORDS {
                    *told = Instant::now();
                    eprintln!("{count} rows stored, now those of {below}");
                }
            }
            into.finish().map_err(|error| lost(&error))
        })
    }
}

/// The rows of a batch that are the hole's.
fn of_hole(hole: &Hole, rows: &RecordBatch) -> RecordBatch {
    let first = hole.first_row.unwrap_or(i64::MAX);
    let numbers = rows.column(Table::SEQUENCE).as_primitive::<Int64Type>().values();
    let wanted = |number: &i64| (first..=hole.last_row).contains(number);
    if numbers.iter().all(wanted) {
        return rows.clone();
    }
    let wanted: BooleanArray = numbers.iter().map(|number| Some(wanted(number))).collect();
    filter_record_batch(rows, &wanted).expect("a choice a row")
}

fn of_archive(data: &Path, archive: &Archive) -> Result<(String, Archived), Failure> {
    let mut journals = archive.positions().iter();
    let storage = |sentence: String| Err(Failure::new(FailureKind::Storage, sentence));
    let data = data.display();
    match (journals.next(), archive.last_row(), archive.times(), journals.len()) {
        (Some((journal, position)), Some(row), Some([_, until]), 0) => {
            Ok((journal.clone(), Archived { position: *position, row, until }))
        }
        (_, _, _, 0) => {
            storage(format!("the archive in {data} is empty: there is nothing to store"))
        }
        (_, _, _, more) => storage(format!(
            "the archive in {data} has rows of {} journals, which merged files do not tell apart: \
             tapedeck cannot say which of them the database lacks",
            more + 1
        )),
    }
}

/// Removes what a run left that was killed.
fn clear(scratch: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let sentence = format!("cannot clear {}: {error}", scratch.display());
        Failure::new(FailureKind::Storage, sentence)
    };
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
    Failure::new(FailureKind::Database, format_args!("{error}; {AGAIN}"))
}

/// A signal came before the end.
fn stopped() -> Failure {
    Failure::new(FailureKind::Interrupted, format_args!("stopped before all was stored; {AGAIN}"))
}

/// Below the data folder: what many files of one folder are merged in.
const SCRATCH: &str = "refill";
const AGAIN: &str = "run the same command again: it goes on where it ended";
const BETWEEN_WORDS: Duration = Duration::from_secs(10);
