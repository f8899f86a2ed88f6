//! How far a sink is in a journal, kept beside the rows: the guard of "exactly once".

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use schema::Batch;
use tokio_postgres::Client;

use super::error::{DatabaseError, DatabaseErrorKind};
use super::hole::Hole;
use super::step::{Step, literal};

/// One row of `tapedeck_sinks`.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// The sink's name.
    pub(super) sink: &'static str,
    /// The journal's id.
    pub(super) journal: String,
    /// Whether it follows the rows at all.
    moves: bool,
}

/// A place in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The newest record before it.
    pub(super) position: u64,
    /// The number of that record's last row; `None` where a program that did not keep it was the
    /// last to move the position, or the rows have none.
    pub(super) row: Option<i64>,
}

impl Place {
    /// Before everything.
    pub(super) const BEGINNING: Self = Self { position: 0, row: Some(-1) };

    /// Behind a batch. A journal numbers all its rows; a table made to measure may have no numbers.
    pub(super) fn behind(batch: &Batch) -> Self {
        let numbers = batch.columns().column_by_name("sequence");
        let numbers = numbers.and_then(|column| column.as_primitive_opt::<Int64Type>());
        Self { position: batch.position(), row: numbers.map(|it| it.value(batch.rows() - 1)) }
    }
}

impl Cursor {
    /// The position of this sink in this journal; one that does not move leaves the rows alone.
    pub(super) fn new(sink: &'static str, journal: &str, moves: bool) -> Self {
        Self { sink, journal: journal.to_owned(), moves }
    }

    /// The place, after whoever is moving it has come to an end; the beginning, if there was none.
    pub(super) async fn read(&self, client: &Client) -> Result<Place, DatabaseError> {
        self.is_kept(client).await?;
        let key: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&self.sink, &self.journal];
        client.execute(BEGIN, &key).await.map_err(|error| self.unread(error))?;
        let place = self.look(client).await?;
        place.ok_or_else(|| {
            let what = format!("{}: somebody takes it away", self.reading());
            DatabaseError::said(DatabaseErrorKind::Busy, what)
        })
    }

    /// The place, if the sink has one.
    pub(super) async fn look(&self, client: &Client) -> Result<Option<Place>, DatabaseError> {
        self.is_kept(client).await?;
        let row = client.query_opt(READ, &[&self.sink, &self.journal]).await;
        let Some(row) = row.map_err(|error| self.unread(error))? else { return Ok(None) };
        let position = u64::try_from(row.get::<_, i64>(0)).map_err(|_| {
            let what =
                format!("{}: it is negative, which only a hand can have done", self.reading());
            DatabaseError::said(DatabaseErrorKind::Incompatible, what)
        })?;
        Ok(Some(Place { position, row: row.get(1) }))
    }

    /// Moves the position from `from` to `to`, and notes what lies in between and never came.
    /// Whoever finds another position than `from` must not store anything: another session has
    /// done so, or still does.
    pub(super) fn step(&self, from: u64, to: Place, holes: &[Hole]) -> Step {
        if !self.moves {
            return Step::none();
        }
        let Place { position, row } = to;
        let doing = format!("moving the position of journal {} to {position}", self.journal);
        let (key, row) = (self.key(), number(row));
        let guard = format!(
            "UPDATE public.tapedeck_sinks SET position = {position}, sequence = {row}, \
             sequence_at = {position}, updated_at = now() WHERE {key} AND position = {from}"
        );
        let notes: Vec<String> = holes.iter().map(|hole| self.note(hole)).collect();
        let lost = format!("it is no longer {from} and is read again");
        Step::new(doing, guard, lost).and(notes.join("; "))
    }

    /// Begins behind what the archive has, as the first of this journal: the hole is its to fill.
    pub(super) fn first(&self, hole: &Hole) -> Step {
        let (sink, journal) = (literal(self.sink), literal(&self.journal));
        let Hole { last_record, last_row, .. } = hole;
        let doing = format!("beginning with journal {}", self.journal);
        let guard = format!(
            "INSERT INTO public.tapedeck_sinks (sink, journal, position, sequence, sequence_at) \
             VALUES ({sink}, {journal}, {last_record}, {last_row}, {last_record}) \
             ON CONFLICT (sink, journal) DO NOTHING"
        );
        Step::new(doing, guard, "a recorder has begun meanwhile".to_owned()).and(self.note(hole))
    }

    /// What picks its row out.
    pub(super) fn key(&self) -> String {
        format!("sink = {} AND journal = {}", literal(self.sink), literal(&self.journal))
    }

    fn note(&self, hole: &Hole) -> String {
        let (sink, journal) = (literal(self.sink), literal(&self.journal));
        let Hole { first_record, last_record, first_row, last_row, .. } = hole;
        let first_row = number(*first_row);
        format!(
            "INSERT INTO public.tapedeck_holes \
             (sink, journal, first_record, last_record, first_row, last_row) VALUES \
             ({sink}, {journal}, {first_record}, {last_record}, {first_row}, {last_row})"
        )
    }

    /// An older database has no room for what is kept with the position.
    async fn is_kept(&self, client: &Client) -> Result<(), DatabaseError> {
        let there = client.query_one(IS_KEPT, &[]).await.map_err(|error| self.unread(error))?;
        if there.get::<_, bool>(0) {
            return Ok(());
        }
        let what = format!("{}: it has no place there yet: run tapedeck migrate", self.reading());
        Err(DatabaseError::said(DatabaseErrorKind::Incompatible, what))
    }

    fn unread(&self, error: tokio_postgres::Error) -> DatabaseError {
        DatabaseError::of(self.reading(), error)
    }

    fn reading(&self) -> String {
        format!("reading the position of journal {}", self.journal)
    }
}

/// How far the sink is in a journal; `None` where it has never been. Changes nothing.
///
/// # Errors
/// When the database cannot be read.
pub async fn position(client: &Client, journal: &str) -> Result<Option<u64>, DatabaseError> {
    let failed = |error| DatabaseError::of("reading the position in the database".into(), error);
    if !client.query_one(IS_THERE, &[]).await.map_err(failed)?.get::<_, bool>(0) {
        return Ok(None);
    }
    let row = client.query_opt(LOOK, &[&super::NAME, &journal]).await.map_err(failed)?;
    Ok(row.and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok()))
}

fn number(number: Option<i64>) -> String {
    number.map_or_else(|| "NULL".to_owned(), |number| number.to_string())
}

const BEGIN: &str = "INSERT INTO public.tapedeck_sinks \
    (sink, journal, position, sequence, sequence_at) VALUES ($1, $2, 0, -1, 0) \
    ON CONFLICT (sink, journal) DO NOTHING";
const READ: &str = "SELECT position, \
    CASE WHEN sequence_at = position THEN sequence WHEN position = 0 THEN -1 END \
    FROM public.tapedeck_sinks WHERE sink = $1 AND journal = $2 FOR UPDATE";
const IS_KEPT: &str = "SELECT to_regclass('public.tapedeck_holes') IS NOT NULL";
const IS_THERE: &str = "SELECT to_regclass('public.tapedeck_sinks') IS NOT NULL";
const LOOK: &str = "SELECT position FROM public.tapedeck_sinks WHERE sink = $1 AND journal = $2";
