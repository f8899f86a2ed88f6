//! How far a sink is in a journal, kept beside the rows: the guard of "exactly once".

use tokio_postgres::SimpleQueryMessage::CommandComplete;
use tokio_postgres::{Client, GenericClient};

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
}

impl Cursor {
    /// The position of this sink in this journal; one that does not move leaves the rows alone.
    pub(super) fn new(sink: &'static str, journal: &str, moves: bool) -> Self {
        Self { sink, journal: journal.to_owned(), moves }
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

    /// Begins the transaction that stores rows, and moves the position in it. Whoever finds another
    /// position than it expects must not store anything: another session has done so, or still
    /// does.
    pub(super) async fn begin(
        &self,
        client: &Client,
        from: u64,
        to: u64,
    ) -> Result<(), DatabaseError> {
        let doing = || format!("moving the position of journal {} to {to}", self.journal);
        let failed = |error| DatabaseError::of(doing(), error);
        if !self.moves {
            return client.batch_execute("BEGIN").await.map_err(failed);
        }
        // In one message, so that the server is waited for once.
        let begin = format!(
            "BEGIN; UPDATE public.tapedeck_sinks SET position = {to}, updated_at = now() \
             WHERE sink = {} AND journal = {} AND position = {from}",
            literal(self.sink),
            literal(&self.journal)
        );
        let answers = client.simple_query(&begin).await.map_err(failed)?;
        let moved = answers.iter().any(|answer| matches!(answer, CommandComplete(1)));
        if moved {
            return Ok(());
        }
        let what = format!("{}: it is no longer {from} and is read again", doing());
        Err(DatabaseError::said(DatabaseErrorKind::Busy, what))
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

/// A text as SQL takes it whatever is in it: a session of ours has standard strings.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

const BEGIN: &str = "INSERT INTO public.tapedeck_sinks (sink, journal, position) \
    VALUES ($1, $2, 0) ON CONFLICT (sink, journal) DO NOTHING";
const READ: &str =
    "SELECT position FROM public.tapedeck_sinks WHERE sink = $1 AND journal = $2 FOR UPDATE";
const IS_THERE: &str = "SELECT to_regclass('public.tapedeck_sinks') IS NOT NULL";
const LOOK: &str = "SELECT position FROM public.tapedeck_sinks WHERE sink = $1 AND journal = $2";
