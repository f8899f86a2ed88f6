//! Records that the journal had let go of when the database asked for them: a row of `data_gaps`,
//! and one of `tapedeck_holes`, by which the archive fills them.

use std::sync::Arc;

use schema::tables::DataGap;
use schema::{Batch, Builder, Micros, Origin};
use tokio_postgres::Client;

use super::cursor::Place;
use super::error::{DatabaseError, DatabaseErrorKind};

/// Records that a database lacks.
///
/// Invariant: `first_record ≤ last_record`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first of them.
    pub first_record: u64,
    /// The last of them.
    pub last_record: u64,
    /// The number of their first row; `None` where a program that did not keep it was the last to
    /// move the position.
    pub first_row: Option<i64>,
    /// The number of their last row.
    pub last_row: i64,
    /// How many of their rows have been stored from the archive.
    pub stored: u64,
}

impl Hole {
    /// What lies between the last record that was taken and `next`, if anything does.
    pub(super) fn between(taken: Place, next: &Batch) -> Option<Self> {
        (next.position() > taken.position + 1).then(|| Self {
            first_record: taken.position + 1,
            last_record: next.position() - 1,
            first_row: taken.row.map(|row| row + 1),
            last_row: next.sequence() - 1,
            stored: 0,
        })
    }

    /// How many rows they have; `None` if that is not known.
    #[must_use]
    pub fn rows(&self) -> Option<u64> {
        u64::try_from(self.last_row - self.first_row? + 1).ok()
    }

    /// How the `detail` of its row in `data_gaps` begins.
    pub(super) fn records(&self) -> String {
        format!("records {} to {} ", self.first_record, self.last_record)
    }

    /// Its row in `data_gaps`, which ends at `end`; `why` follows the records. It stands where the
    /// last of the missing records would: so it is stored with what follows it, and once.
    pub(super) fn named(&self, end: Micros, why: &str) -> Arc<Batch> {
        let detail = self.records() + why;
        let mut gap = Builder::<DataGap<'static>>::default();
        gap.push(&DataGap {
            // Nobody knows any more when they were received. A row of the same start would take
            // the place of an earlier hole's.
            start_time: Micros(self.first_record.cast_signed()),
            received_at: end,
            instrument: "*",
            end_time: Some(end),
            duration_sec: None,
            cause: CAUSE,
            shard: super::NAME,
            detail: Some(&detail),
            created_at: end,
        });
        let gap = gap.take(Origin::default()).expect("it has a row");
        Arc::new(gap.number(self.last_record, self.last_row))
    }
}

/// The earliest instant at which a row of the batch was received.
pub(super) fn begins(batch: &Batch) -> Micros {
    let oldest = batch.received_at().values().iter().copied().min();
    Micros(oldest.expect("a batch has a row"))
}

/// What the database lacks of a journal, as far as it knows. Changes nothing.
///
/// # Errors
/// When the database cannot be read.
pub async fn holes(client: &Client, journal: &str) -> Result<Vec<Hole>, DatabaseError> {
    let failed = |error| {
        let doing = format!("reading what the database lacks of journal {journal}");
        DatabaseError::of(doing, error)
    };
    if !client.query_one(IS_THERE, &[]).await.map_err(failed)?.get::<_, bool>(0) {
        return Ok(Vec::new());
    }
    let rows = client.query(OPEN, &[&super::NAME, &journal]).await.map_err(failed)?;
    let hole = |row: &tokio_postgres::Row| {
        Ok(Hole {
            first_record: counted(row.get(0))?,
            last_record: counted(row.get(1))?,
            first_row: row.get(2),
            last_row: row.get(3),
            stored: counted(row.get(4))?,
        })
    };
    rows.iter().map(hole).collect()
}

/// A number that we have stored ourselves, and that is never negative.
pub(super) fn counted(number: i64) -> Result<u64, DatabaseError> {
    u64::try_from(number).map_err(|_| {
        let what = format!("{number} stands in a place of ours, which only a hand can have done");
        DatabaseError::said(DatabaseErrorKind::Incompatible, what)
    })
}

/// Why it is missing, as its row in `data_gaps` says.
pub(super) const LET_GO: &str = "were no longer in the journal when the database asked for them";
/// The `cause` of its row in `data_gaps`.
pub(super) const CAUSE: &str = "sink_away";
const IS_THERE: &str = "SELECT to_regclass('public.tapedeck_holes') IS NOT NULL";
const OPEN: &str = "SELECT first_record, last_record, first_row, last_row, \
        (SELECT coalesce(sum(f.rows), 0)::bigint FROM public.tapedeck_refills f \
            WHERE f.sink = h.sink AND f.journal = h.journal AND f.last_record = h.last_record) \
    FROM public.tapedeck_holes h WHERE sink = $1 AND journal = $2 AND filled_at IS NULL \
    ORDER BY first_record";
