//! How far a sink is in a journal, kept beside the rows: the guard of "exactly once".

use tokio_postgres::{Client, GenericClient, Statement};

use super::error::{DatabaseError, DatabaseErrorKind};

/// One row of `tapedeck_sinks`.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// The sink's name.
    pub(super) sink: &'static str,
    /// The journal's id.
    pub(super) journal: String,
    /// Whether it follows the rows at all.
    moves: bool,
    /// What moves it, once it has been moved in this session.
    moving: Option<Statement>,
}

impl Cursor {
    /// The position of this sink in this journal; one that does not move leaves the rows alone.
    pub(super) fn new(sink: &'static str, journal: &str, moves: bool) -> Self {
        Self { sink, journal: journal.to_owned(), moves, moving: None }
    }

    /// The position, after whoever is moving it has come to an end.
    pub(super) async fn read(&self, client: &impl GenericClient) -> Result<u64, DatabaseError> {
        let doing = || format!("reading the position of journal {}", self.journal);
        let failed = |error| DatabaseError::of(doing(), error);
        let key: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&self.sink, &self.journal];
        client.execute(BEGIN, &key).await.map_err(failed)?;
        let row = client.query_one(READ, &key).await.map_err(failed)?;
        u64::try_from(row.get::<_, i64>(0)).map_err(|_| {
            let what = format!("{}: it is negative, which only a hand can have done", doing());
            DatabaseError::said(DatabaseErrorKind::Incompatible, what)
        })
    }

    /// Moves the position in the transaction that stores the rows. Whoever finds another position
    /// than it expects must not store anything: another session has done so, or still does.
    pub(super) async fn advance(
        &mut self,
        client: &impl GenericClient,
        from: u64,
        to: u64,
    ) -> Result<(), DatabaseError> {
        if !self.moves {
            return Ok(());
        }
        let doing = || format!("moving the position of journal {} to {to}", self.journal);
        let failed = |error| DatabaseError::of(doing(), error);
        let moving = match &self.moving {
            Some(known) => known,
            None => self.moving.insert(client.prepare(MOVE).await.map_err(failed)?),
        };
        let moved =
            client.execute(moving, &[&self.sink, &self.journal, &sql(from), &sql(to)]).await;
        match moved.map_err(failed)? {
            1 => Ok(()),
            _ => {
                let what = format!("{}: it is no longer {from} and is read again", doing());
                Err(DatabaseError::said(DatabaseErrorKind::Busy, what))
            }
        }
    }
}

/// How far the sink is in a journal; 0 where it has never been. Changes nothing.
///
/// # Errors
/// When the database cannot be read.
pub async fn position(client: &Client, journal: &str) -> Result<u64, DatabaseError> {
    let failed = |error| DatabaseError::of("reading the position in the database".into(), error);
    if !client.query_one(IS_THERE, &[]).await.map_err(failed)?.get::<_, bool>(0) {
        return Ok(0);
    }
    let row = client.query_opt(LOOK, &[&super::NAME, &journal]).await.map_err(failed)?;
    Ok(row.and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok()).unwrap_or_default())
}

fn sql(position: u64) -> i64 {
    i64::try_from(position).expect("a journal ends far below 2^63 records")
}

const BEGIN: &str = "INSERT INTO public.tapedeck_sinks (sink, journal, position) \
    VALUES ($1, $2, 0) ON CONFLICT (sink, journal) DO NOTHING";
const READ: &str =
    "SELECT position FROM public.tapedeck_sinks WHERE sink = $1 AND journal = $2 FOR UPDATE";
const MOVE: &str = "UPDATE public.tapedeck_sinks SET position = $4, updated_at = now() \
    WHERE sink = $1 AND journal = $2 AND position = $3";
const IS_THERE: &str = "SELECT to_regclass('public.tapedeck_sinks') IS NOT NULL";
const LOOK: &str = "SELECT position FROM public.tapedeck_sinks WHERE sink = $1 AND journal = $2";
