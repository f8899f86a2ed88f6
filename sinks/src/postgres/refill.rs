//! Rows that a database lacks, stored from the archive: each once, whatever ends it in between.
//!
//! A hole is filled folder by folder of the archive, each in the archive's order, which does not
//! depend on how its files are cut. How many of a folder's rows are stored stands in the database
//! (`tapedeck_refills`) and moves in the transaction that stores them, as a sink's position does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow_array::builder::StringDictionaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
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
use super::session::{Patience, Session};
use super::step::{Step, literal};
use super::target::quoted;
use super::writer::{ANSWER_MAX, Writer, in_time};
use super::{MIGRATING_MAX, NAME, Options, PREPARE_MAX};

/// A database whose holes are being filled.
pub struct Refill {
    pipe: Pipe,
    cursor: Cursor,
    bytes_max: usize,
    position: u64,
    holes: Vec<Hole>,
    /// Holes that no program has noted, named in `data_gaps` alone.
    unnoted: u64,
    /// What is stored, by the hole's last record and the folder.
    stored: BTreeMap<(u64, String), Stored>,
    /// The folder that is being read.
    at: Option<At>,
}

/// Rows of a folder that are stored, or about to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// How many: those that come first in the archive's order.
    pub rows: u64,
    /// The number of the last one.
    pub last: i64,
}

/// A place in the archive.
struct At {
    key: (u64, String),
    taken: Stored,
    /// What was sent last.
    sent: Stored,
}

/// What an archive has of a journal.
#[derive(Clone, Copy, Debug)]
pub struct Archived {
    /// The newest record.
    pub position: u64,
    /// The number of its last row.
    pub row: i64,
}

/// What a session finds.
struct Found {
    place: Option<Place>,
    holes: Vec<Hole>,
    unnoted: u64,
    stored: BTreeMap<(u64, String), Stored>,
}

impl Refill {
    /// Opens a session and looks what the database lacks of the journal. One that has never had
    /// any of it lacks everything that is archived: a recorder will go on behind that. `now` ends
    /// the gap that says so.
    ///
    /// # Errors
    /// When the database is away, refuses, or is not what it must be.
    pub fn open(
        address: &Address,
        trust: &Arc<ClientConfig>,
        options: &Options,
        journal: &str,
        archived: Archived,
        now: Micros,
    ) -> Result<Self, DatabaseError> {
        let cursor = Cursor::new(NAME, journal, true);
        let (looker, migrations) = (cursor.clone(), options.migrations.clone());
        let (address, trust) = (address.clone(), Arc::clone(trust));
        let (writer, found) = Writer::start(async move || {
            let name = format!("tapedeck refill {}", looker.journal);
            let patience = Patience { opening: PREPARE_MAX, migrating: MIGRATING_MAX };
            let ready = Session::ready(&address, &trust, &name, migrations.as_ref(), patience);
            let mut session = ready.await?;
            let looking = async {
                session.look_again().await?;
                look(&session.client, &looker).await
            };
            let found = in_time(ANSWER_MAX, "looking at the database's tables", looking).await?;
            Ok((session, found))
        })?;
        let Found { place, holes, unnoted, stored } = found;
        let pipe = Pipe::new(writer, 0);
        let bytes_max = options.bytes_max;
        let position = place.map_or(archived.position, |place| place.position);
        let at = None;
        let mut refill = Self { pipe, cursor, bytes_max, position, holes, unnoted, stored, at };
        if place.is_none() {
            refill.begin_with(archived, now)?;
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

    /// How many holes are named in `data_gaps` and nowhere else, by a program that did not note
    /// them: which rows they had nobody knows.
    #[must_use]
    pub fn unnoted(&self) -> u64 {
        self.unnoted
    }

    /// How many rows of a hole are stored.
    #[must_use]
    pub fn stored(&self, hole: &Hole) -> u64 {
        let of_hole = self.stored.iter().filter(|((last, _), _)| *last == hole.last_record);
        of_hole.map(|(_, stored)| stored.rows).sum()
    }

    /// Turns to a folder of the archive. Says which of the hole's rows in it are stored and must
    /// not be given again.
    ///
    /// # Errors
    /// When what was given before cannot be stored.
    pub fn turn_to(&mut self, hole: &Hole, folder: &str) -> Result<Stored, DatabaseError> {
        self.finish()?;
        let key = (hole.last_record, folder.to_owned());
        let taken = self.stored.get(&key).copied().unwrap_or_default();
        self.at = Some(At { key, taken, sent: taken });
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
        let numbers = rows.column(Table::SEQUENCE).as_primitive::<Int64Type>();
        let Some(last) = numbers.values().last() else { return Ok(()) };
        let taken = &mut self.at.as_mut().expect(TURN_FIRST).taken;
        *taken = Stored { rows: taken.rows + rows.num_rows() as u64, last: *last };
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
        self.settle()
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
        let guard = format!(
            "UPDATE public.tapedeck_holes SET filled_at = now() \
             WHERE {key} AND last_record = {last_record} AND filled_at IS NULL"
        );
        let (gaps, since) = (quoted(gaps.target.name()), literal(SINCE));
        let (cause, shard, records) =
            (literal(hole::CAUSE), literal(NAME), literal(&hole.records()));
        let gap = format!(
            "UPDATE public.{gaps} SET detail = detail || {since} \
             WHERE sequence = {last_row} AND cause = {cause} AND shard = {shard} \
             AND starts_with(detail, {records}) AND right(detail, length({since})) <> {since}"
        );
        let doing = format!("noting that the records up to {last_record} are stored");
        self.pipe.send(Step::new(doing, guard, OTHER.to_owned()).and(gap), 0);
        let _ = self.pipe.settle()?;
        self.holes.retain(|other| other.last_record != hole.last_record);
        Ok(())
    }

    /// The first rows of this journal here: everything that is archived is a hole.
    fn begin_with(&mut self, archived: Archived, now: Micros) -> Result<(), DatabaseError> {
        let hole = Hole {
            first_record: 1,
            last_record: archived.position,
            first_row: Place::BEGINNING.row.map(|row| row + 1),
            last_row: archived.row,
            stored: 0,
        };
        self.pipe.take(hole.named(now, FIRST))?;
        self.pipe.send(self.cursor.first(&hole), 0);
        let _ = self.pipe.settle()?;
        self.holes = vec![hole];
        Ok(())
    }

    /// Begins to store what was taken, once what is under way is stored.
    fn send(&mut self) -> Result<(), DatabaseError> {
        self.settle()?;
        if let Some(at) = &mut self.at
            && !self.pipe.is_empty()
        {
            let step = step(&self.cursor, at);
            at.sent = at.taken;
            self.pipe.send(step, at.taken.rows);
        }
        Ok(())
    }

    /// Waits for what is under way.
    fn settle(&mut self) -> Result<(), DatabaseError> {
        let _ = self.pipe.settle()?;
        if let Some(at) = &self.at {
            let _ = self.stored.insert(at.key.clone(), at.sent);
        }
        Ok(())
    }
}

/// Moves on in a folder, from what was sent last to what was taken.
fn step(cursor: &Cursor, at: &At) -> Step {
    let At { key: (last_record, folder), taken: Stored { rows, last }, sent } = at;
    let (sink, journal) = (literal(cursor.sink), literal(&cursor.journal));
    let (key, quoted, before) = (cursor.key(), literal(folder), sent.rows);
    let guard = match before {
        0 => format!(
            "INSERT INTO public.tapedeck_refills \
             (sink, journal, last_record, folder, rows, sequence) VALUES \
             ({sink}, {journal}, {last_record}, {quoted}, {rows}, {last}) ON CONFLICT DO NOTHING"
        ),
        _ => format!(
            "UPDATE public.tapedeck_refills SET rows = {rows}, sequence = {last} WHERE {key} \
             AND last_record = {last_record} AND folder = {quoted} AND rows = {before}"
        ),
    };
    Step::new(format!("storing rows of {folder}"), guard, OTHER.to_owned())
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
    let stored = |row: &tokio_postgres::Row| {
        let key = (hole::counted(row.get(0))?, row.get::<_, String>(1));
        Ok((key, Stored { rows: hole::counted(row.get(2))?, last: row.get(3) }))
    };
    let stored = rows.iter().map(stored).collect::<Result<_, DatabaseError>>()?;
    let unnoted = client.query_one(UNNOTED, &[&hole::CAUSE, &NAME]).await.map_err(failed)?;
    Ok(Found { place, holes, unnoted: hole::counted(unnoted.get(0))?, stored })
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

const UNNOTED: &str = "SELECT count(*) FROM public.data_gaps g WHERE cause = $1 AND shard = $2 \
    AND NOT EXISTS (SELECT FROM public.tapedeck_holes h WHERE h.last_row = g.sequence)";
const STORED: &str = "SELECT last_record, folder, rows, sequence FROM public.tapedeck_refills \
    WHERE sink = $1 AND journal = $2";
const TURN_FIRST: &str = "a folder is turned to before its rows are taken";
const OTHER: &str = "another refill has done so meanwhile";
/// What is added to the `detail` in `data_gaps`.
const SINCE: &str = "; they were stored from the archive since";
/// Why records are missing where no recorder has been.
const FIRST: &str = "are in the archive alone: a refill came before the recorder";
