//! One transaction: the rows of every table, and the position behind them.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use futures_util::SinkExt;
use schema::tables::Quarantined;
use schema::{Batch, Row};

use super::error::{DatabaseError, DatabaseErrorKind};
use super::failure::{Meaning, blamed_row, meaning, sentence};
use super::gathered::Gathered;
use super::load::{Load, Refused};
use super::parcel::Parcel;
use super::quarantine;
use super::session::{Destination, Session};
use super::step::Step;
use crate::waiting::Waiting;

impl Session {
    /// Stores what was gathered and does what the step says: both, or neither.
    ///
    /// A row that the server does not take goes to the quarantine in the same transaction. The
    /// records are given back: memory is freed best by the thread that it came from.
    pub(super) async fn store(
        &mut self,
        gathered: Gathered,
        step: &Step,
    ) -> Result<Waiting, DatabaseError> {
        let (waiting, parcels, refused) = gathered.apart();
        match self.store_whole(parcels, &refused, step).await {
            Err(error) if meaning(&error) == Meaning::Row => {
                tracing::warn!("{error}: looking for the row");
                self.run("ROLLBACK").await?;
                // Somebody may have changed a table: then it is not the row that is to blame.
                self.look_again().await?;
                self.store_apart(waiting.batches(), step).await?;
            }
            done => done?,
        }
        Ok(waiting)
    }

    /// At full speed: a row that the server does not take ends it.
    async fn store_whole(
        &mut self,
        mut parcels: Vec<(String, Parcel)>,
        refused: &[Refused],
        step: &Step,
    ) -> Result<(), DatabaseError> {
        if !refused.is_empty() {
            let parcel = self.quarantined(refused).await?;
            parcels.push((Quarantined::TABLE.name.to_owned(), parcel));
        }
        let destinations: Vec<(String, Destination)> = parcels
            .iter()
            .map(|(name, parcel)| (name.clone(), parcel.destination().clone()))
            .collect();
        step.begin(&self.client).await?;
        // One behind the other: a COPY that is asked for before the last has succeeded would cost
        // the session when that fails, since the library then sends a Sync too many.
        for (name, parcel) in parcels {
            self.copy(name, parcel).await?;
        }
        self.verify(&destinations).await?;
        self.run("COMMIT").await?;
        quarantine::report(refused);
        Ok(())
    }

    /// In parts that can be taken back.
    async fn store_apart(
        &mut self,
        batches: &[Arc<Batch>],
        step: &Step,
    ) -> Result<(), DatabaseError> {
        let mut refused = Vec::new();
        let mut dealt = Vec::new();
        for load in Load::deal(batches, &mut refused) {
            let destination = self.destination(&load).await?;
            dealt.push((load, destination));
        }
        step.begin(&self.client).await?;
        // What would fail at the end must fail where its row can be found.
        self.run("SET CONSTRAINTS ALL IMMEDIATE").await?;
        for (load, destination) in &dealt {
            self.copy_apart(load, destination, &mut refused).await?;
        }
        let mut destinations: Vec<(String, Destination)> =
            dealt.into_iter().map(|(load, destination)| (load.name, destination)).collect();
        if !refused.is_empty() {
            let name = Quarantined::TABLE.name.to_owned();
            let parcel = self.quarantined(&refused).await?;
            destinations.push((name.clone(), parcel.destination().clone()));
            self.copy(name, parcel).await?;
        }
        self.verify(&destinations).await?;
        self.run("COMMIT").await?;
        quarantine::report(&refused);
        Ok(())
    }

    /// Copies what can be copied and refuses the rest, row by row.
    async fn copy_apart(
        &self,
        load: &Load,
        destination: &Destination,
        refused: &mut Vec<Refused>,
    ) -> Result<(), DatabaseError> {
        let mut todo = VecDeque::from([load.clone()]);
        while let Some(load) = todo.pop_front() {
            self.run("SAVEPOINT part").await?;
            let (mut parcel, mut more) =
                (Parcel::new(destination.clone(), &self.chunks), Vec::new());
            parcel.add(&load, &mut more);
            let error = match self.copy(load.name.clone(), parcel).await {
                Ok(()) => {
                    refused.extend(more);
                    self.run("RELEASE part").await?;
                    continue;
                }
                Err(error) if meaning(&error) == Meaning::Row => error,
                Err(error) => return Err(error),
            };
            self.run("ROLLBACK TO part").await?;
            let rows = load.rows();
            if rows == 1 {
                refused.extend(load.refuse(&sentence(&error)));
                continue;
            }
            // The row that is blamed alone, or the halves: the server counts what it was sent,
            // which is less than this when rows were refused before.
            let (from, to) = match blamed_row(&error).filter(|row| *row < rows) {
                Some(row) => (row, row + 1),
                None => (rows / 2, rows / 2),
            };
            let parts = [load.some(to..rows), load.some(from..to), load.some(0..from)];
            for part in parts.into_iter().filter(|part| part.rows() > 0) {
                todo.push_front(part);
            }
        }
        Ok(())
    }

    /// Refused rows as rows of the quarantine.
    async fn quarantined(&mut self, refused: &[Refused]) -> Result<Parcel, DatabaseError> {
        let load = quarantine::load(refused, super::NAME);
        let (mut parcel, mut again) =
            (Parcel::new(self.destination(&load).await?, &self.chunks), Vec::new());
        parcel.add(&load, &mut again);
        again.first().map_or(Ok(parcel), |row| {
            let what = format!("the quarantine does not take a row: {}", row.why);
            Err(DatabaseError::said(DatabaseErrorKind::Incompatible, what))
        })
    }

    /// Copies rows.
    async fn copy(&self, name: String, parcel: Parcel) -> Result<(), DatabaseError> {
        let failed =
            |error| DatabaseError::of(format!("writing the database's table {name}"), error);
        let statement = &parcel.destination().copy;
        let mut copy = pin!(self.client.copy_in(statement).await.map_err(failed)?);
        let sent = parcel.rows();
        for chunk in parcel.chunks() {
            copy.feed(chunk).await.map_err(failed)?;
        }
        let stored = copy.finish().await.map_err(failed)?;
        if stored != sent {
            let what = format!(
                "the database's table {name} took {stored} of {sent} rows: a trigger or a rule \
                 drops some"
            );
            return Err(DatabaseError::said(DatabaseErrorKind::Incompatible, what));
        }
        Ok(())
    }

    async fn run(&self, statement: &str) -> Result<(), DatabaseError> {
        let done = self.client.batch_execute(statement).await;
        done.map_err(|error| DatabaseError::of(format!("{statement} in the database"), error))
    }
}
