//! Rows that a database lacks, stored from the archive: each once, whatever ends it in between.
//!
//! A hole is filled folder by folder of the archive, each in the archive's order, which does not
//! depend on how its files are cut. How many of a folder's rows are stored stands in the database
//! (`tapedeck_refills`) and moves in the transaction that stores them, as a sink's position does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch};
use rustls::ClientConfig;
use schema::tables::DataGap;
use schema::{Batch, Kind, Micros, Origin, Row, Table};
use tokio_postgres::Client;

use super::connection::Address;
use super::cursor::{Cursor, Place};
use super::error::DatabaseError;
use super::hole::{self, Hole};
use super::load::Load;
use super::pipe::Pipe;
use super::session::Session;
use super::step::{Step, literal};
use super::target::quoted;
use super::writer::{ANSWER_MAX, Writer, in_time};
use super::{MIGRATING_MAX, NAME, Options};

/// A database whose holes are being filled.
pub struct Refill {
    pipe: Pipe,
    cursor: Cursor,
    bytes_max: usize,
    position: u64,
    holes: Vec<Hole>,
    /// Rows that are stored, by the hole's last record and the folder.
    stored: BTreeMap<(u64, String), u64>,
    /// The folder that is being read.
    at: Option<At>,
}

/// A place in the archive.
struct At {
    key: (u64, String),
    /// Rows of it that were taken.
    taken: u64,
}

/// What an archive has of a journal.
#[derive(Clone, Copy, Debug)]
pub struct Archived {
    /// The newest record.
    pub position: u64,
    /// The number of its last row.
    pub row: i64,
    /// When its newest row was received.
    pub until: Micros,
}

/// What a session finds.
struct Found {
    place: Option<Place>,
    holes: Vec<Hole>,
    stored: BTreeMap<(u64, String), u64>,
}

impl Refill {
    /// Opens a session and looks what the database lacks of the journal. One that has never had
    /// any of it lacks everything that is archived: a recorder will go on behind that.
    ///
    /// # Errors
    /// When the database is away, refuses, or is not what it must be.
    pub fn open(
        address: &Address,
        trust: &Arc<ClientConfig>,
        options: &Options,
        journal: &str,
        archived: Archived,
    ) -> Result<Self, DatabaseError> {
        let cursor = Cursor::new(NAME, journal, true);
        let (looker, migrations) = (cursor.clone(), options.migrations.clone());
        let (address, trust) = (address.clone(), Arc::clone(trust));
        let (writer, found) = Writer::start(async move || {
            let name = format!("tapedeck refill {}", looker.journal);
            let opening = Session::open(&address, &trust, &name, NAME);
            let mut session = in_time(OPENING_MAX, "opening a session", opening).await?;
            if let Some(options) = &migrations {
                let migrating = session.migrate(options);
                in_time(MIGRATING_MAX, "migrating the database", migrating).await?;
            }
            let looking = async {
                session.look_again().await?;
                look(&session.client, &looker).await
            };
            let found = in_time(ANSWER_MAX, "looking at the database's tables", looking).await?;
            Ok((session, found))
        })?;
        let Found { place, holes, stored } = found;
        let pipe = Pipe::new(writer, 0);
        let bytes_max = options.bytes_max;
        let position = place.map_or(archived.position, |place| place.position);
        let mut refill = Self { pipe, cursor, bytes_max, position, holes, stored, at: None };
        if place.is_none() {
            refill.begin_with(archived)?;
        }
        Ok(refill)
    }

    /// How far the recorder's sink is in the journal.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What the database lacks.
    #[must_use]
    pub fn holes(&self) -> &[Hole] {
        &self.holes
    }

    /// How many rows of a hole are stored.
    #[must_use]
    pub fn stored(&self, hole: &Hole) -> u64 {
        let of_hole = self.stored.iter().filter(|((last, _), _)| *last == hole.last_record);
        of_hole.map(|(_, rows)| rows).sum()
    }

    /// Turns to a folder of the archive. Says how many of the hole's rows in it are stored: those
    /// that come first in the archive's order, which must not be given again.
    ///
    /// # Errors
    /// When what was given before cannot be stored.
    pub fn turn_to(&mut self, hole: &Hole, folder: &str) -> Result<u64, DatabaseError> {
        self.finish()?;
        let key = (hole.last_record, folder.to_owned());
        let taken = self.stored.get(&key).copied().unwrap_or_default();
        self.at = Some(At { key, taken });
        self.pipe.begin_at(taken);
        Ok(taken)
    }

    /// Takes the next rows of the hole in that folder, with the columns of the archive.
    ///
    /// # Errors
    /// When the database is away or refuses. What is stored by then stays so.
    ///
    /// # Panics
    /// Before [`turn_to`](Self::turn_to).
    pub fn take(&mut self, table: &'static Table, rows: &RecordBatch) -> Result<(), DatabaseError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.at.as_mut().expect(TURN_FIRST).taken += rows.num_rows() as u64;
        let batch = Batch::new(table, 0, Origin::default(), journaled(table, rows));
        self.pipe.take(Arc::new(batch))?;
        if self.pipe.bytes() >= self.bytes_max {
            self.send()?;
        }
        Ok(())
    }

    /// Stores all that was taken.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn finish(&mut self) -> Result<(), DatabaseError> {
        self.send()?;
        let _ = self.settle()?;
        Ok(())
    }

    /// Notes that all rows of a hole are stored.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn close(&mut self, hole: &Hole) -> Result<(), DatabaseError> {
        self.finish()?;
        self.at = None;
        let table = DataGap::TABLE;
        let schema::SqlName::One(name) = table.sql else { unreachable!("there is one") };
        let (name, parts) = (name.to_owned(), Vec::new());
        let gaps = self.pipe.find(&Load { table, name, currency: None, parts })?;
        let (key, Hole { last_record, last_row, .. }) = (self.cursor.key(), hole);
        let sql = format!(
            "UPDATE public.tapedeck_holes SET filled_at = now() \
             WHERE {key} AND last_record = {last_record} AND filled_at IS NULL; \
             UPDATE public.{} SET detail = detail || {} \
             WHERE sequence = {last_row} AND cause = {} AND shard = {} AND detail = {}",
            quoted(gaps.target.name()),
            literal(FILLED),
            literal(hole::CAUSE),
            literal(NAME),
            literal(&hole.detail()),
        );
        let doing = format!("noting that the records up to {last_record} are stored");
        self.pipe.send(Step::new(doing, sql, OTHER.to_owned()), 0);
        let _ = self.pipe.settle()?;
        self.holes.retain(|other| other.last_record != hole.last_record);
        Ok(())
    }

    /// The first rows of this journal here: everything that is archived is a hole.
    fn begin_with(&mut self, archived: Archived) -> Result<(), DatabaseError> {
        let hole = Hole {
            first_record: 1,
            last_record: archived.position,
            first_row: Place::BEGINNING.row.map(|row| row + 1),
            last_row: archived.row,
            stored: 0,
        };
        self.pipe.take(hole.named(archived.until))?;
        self.pipe.send(self.cursor.first(&hole), 0);
        let _ = self.pipe.settle()?;
        self.holes = vec![hole];
        Ok(())
    }

    /// Begins to store what was taken, once what is under way is stored.
    fn send(&mut self) -> Result<(), DatabaseError> {
        let stored = self.settle()?;
        if let Some(at) = &self.at
            && !self.pipe.is_empty()
        {
            self.pipe.send(self.step(at, stored), at.taken);
        }
        Ok(())
    }

    /// Waits for what is under way. Says how many rows of the folder are stored then.
    fn settle(&mut self) -> Result<u64, DatabaseError> {
        let stored = self.pipe.settle()?;
        if let Some(at) = &self.at {
            let _ = self.stored.insert(at.key.clone(), stored);
        }
        Ok(stored)
    }

    fn step(&self, at: &At, stored: u64) -> Step {
        let (key, (last, folder), taken) = (self.cursor.key(), &at.key, at.taken);
        let (sink, journal) = (literal(self.cursor.sink), literal(&self.cursor.journal));
        let quoted = literal(folder);
        let sql = match stored {
            0 => format!(
                "INSERT INTO public.tapedeck_refills (sink, journal, last_record, folder, rows) \
                 VALUES ({sink}, {journal}, {last}, {quoted}, {taken}) ON CONFLICT DO NOTHING"
            ),
            _ => format!(
                "UPDATE public.tapedeck_refills SET rows = {taken} WHERE {key} \
                 AND last_record = {last} AND folder = {quoted} AND rows = {stored}"
            ),
        };
        Step::new(format!("storing rows of {folder}"), sql, OTHER.to_owned())
    }
}

impl fmt::Debug for Refill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refill({}, {} holes)", self.cursor.journal, self.holes.len())
    }
}

async fn look(client: &Client, cursor: &Cursor) -> Result<Found, DatabaseError> {
    let place = cursor.look(client).await?;
    let holes = hole::holes(client, &cursor.journal).await?;
    let failed = |error| DatabaseError::of("reading how far a refill is".into(), error);
    let rows = client.query(STORED, &[&cursor.sink, &cursor.journal]).await.map_err(failed)?;
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    let stored = |row: &tokio_postgres::Row| {
        ((number(row.get(0)), row.get::<_, String>(1)), number(row.get(2)))
    };
    Ok(Found { place, holes, stored: rows.iter().map(stored).collect() })
}

/// The archive's columns as the journal has them.
fn journaled(table: &Table, rows: &RecordBatch) -> RecordBatch {
    let columns = table.columns.iter().zip(rows.columns()).map(|(column, cells)| {
        if column.kind != Kind::Name {
            return Arc::clone(cells);
        }
        let mut names = StringDictionaryBuilder::<Int32Type>::new();
        cells.as_string::<i32>().iter().for_each(|name| names.append_option(name));
        Arc::new(names.finish()) as ArrayRef
    });
    RecordBatch::try_new(table.arrow(), columns.collect()).expect("the archive's columns are ours")
}

const OPENING_MAX: Duration = Duration::from_secs(15);
const STORED: &str = "SELECT last_record, folder, rows FROM public.tapedeck_refills \
    WHERE sink = $1 AND journal = $2";
const TURN_FIRST: &str = "a folder is turned to before its rows are taken";
const OTHER: &str = "another refill has done so meanwhile";
/// What is added to the `detail` in `data_gaps`.
const FILLED: &str = "; they were stored from the archive since";
