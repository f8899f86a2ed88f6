//! One transaction: the rows of every table, and the position behind them.

use std::collections::VecDeque;
use std::mem;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::SinkExt;
use schema::tables::Quarantined;
use schema::{Batch, Row};

use super::copy::{HEADER, Rows, TRAILER};
use super::error::{DatabaseError, DatabaseErrorKind};
use super::failure::{Meaning, blamed_row, meaning, sentence};
use super::load::{Load, Refused};
use super::quarantine;
use super::session::{Destination, Session};

impl Session {
    /// Stores the batches and moves the position from `from` to `to`: both, or neither.
    ///
    /// A row that the server does not take goes to the quarantine in the same transaction.
    pub(super) async fn store(
        &mut self,
        batches: &[Arc<Batch>],
        (from, to): (u64, u64),
    ) -> Result<(), DatabaseError> {
        let mut refused = Vec::new();
        let loads = Load::deal(batches, &mut refused);
        let dealt = self.destined(&loads).await?;
        let done = self.attempt(&dealt, refused.clone(), (from, to), Care::None).await;
        match done {
            Err(error) if meaning(&error) == Meaning::Row => {
                tracing::warn!("{error}: looking for the row");
                self.run("ROLLBACK").await?;
                // Somebody may have changed a table: then it is not the row that is to blame.
                self.look_again().await?;
                let dealt = self.destined(&loads).await?;
                self.attempt(&dealt, refused, (from, to), Care::Savepoints).await
            }
            done => done,
        }
    }

    async fn destined<'a>(
        &mut self,
        loads: &'a [Load],
    ) -> Result<Vec<(&'a Load, Destination)>, DatabaseError> {
        let mut dealt = Vec::new();
        for load in loads {
            dealt.push((load, self.destination(load).await?));
        }
        Ok(dealt)
    }

    async fn attempt(
        &mut self,
        loads: &[(&Load, Destination)],
        mut refused: Vec<Refused>,
        (from, to): (u64, u64),
        care: Care,
    ) -> Result<(), DatabaseError> {
        self.run("BEGIN").await?;
        self.cursor.advance(&self.client, from, to).await?;
        if care == Care::Savepoints {
            // What would fail at the end must fail where its row can be found.
            self.run("SET CONSTRAINTS ALL IMMEDIATE").await?;
        }
        for (load, destination) in loads {
            match care {
                Care::None => refused.extend(self.copy(load, destination).await?),
                Care::Savepoints => self.copy_apart(load, destination, &mut refused).await?,
            }
        }
        let mut names: Vec<&str> = loads.iter().map(|(load, _)| load.name.as_str()).collect();
        if !refused.is_empty() {
            self.keep_apart(&refused).await?;
            names.push(Quarantined::TABLE.name);
        }
        self.verify(&names).await?;
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
            let error = match self.copy(&load, destination).await {
                Ok(more) => {
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

    async fn keep_apart(&mut self, refused: &[Refused]) -> Result<(), DatabaseError> {
        let load = quarantine::load(refused, self.cursor.sink);
        let destination = self.destination(&load).await?;
        let again = self.copy(&load, &destination).await?;
        again.first().map_or(Ok(()), |row| {
            let what = format!("the quarantine does not take a row: {}", row.why);
            Err(DatabaseError::said(DatabaseErrorKind::Incompatible, what))
        })
    }

    /// Copies rows, and says which of them cannot be sent. While the server works on a chunk the
    /// next one is encoded: what was sent lies in the socket.
    async fn copy(
        &self,
        load: &Load,
        destination: &Destination,
    ) -> Result<Vec<Refused>, DatabaseError> {
        let failed =
            |error| DatabaseError::of(format!("writing the database's table {}", load.name), error);
        let mut copy = pin!(self.client.copy_in(&destination.copy).await.map_err(failed)?);
        let (mut chunk, mut refused, mut sent) = (fresh_chunk(), Vec::new(), 0_u64);
        chunk.extend_from_slice(HEADER);
        for part in &load.parts {
            let rows = Rows::new(&part.batch, &destination.target);
            for row in &part.rows {
                match rows.encode(*row as usize, &mut chunk) {
                    Ok(()) => sent += 1,
                    Err(refusal) => refused.push(Refused {
                        batch: Arc::clone(&part.batch),
                        row: *row as usize,
                        name: load.name.clone(),
                        why: refusal.to_string(),
                    }),
                }
                if chunk.len() >= CHUNK_BYTES {
                    let full = mem::replace(&mut chunk, fresh_chunk());
                    copy.send(Bytes::from(full)).await.map_err(failed)?;
                }
            }
        }
        chunk.extend_from_slice(TRAILER);
        copy.send(Bytes::from(chunk)).await.map_err(failed)?;
        let stored = copy.finish().await.map_err(failed)?;
        if stored != sent {
            let what = format!(
                "the database's table {} took {stored} of {sent} rows: a trigger or a rule drops \
                 some",
                load.name
            );
            return Err(DatabaseError::said(DatabaseErrorKind::Incompatible, what));
        }
        Ok(refused)
    }

    async fn run(&self, statement: &str) -> Result<(), DatabaseError> {
        let done = self.client.batch_execute(statement).await;
        done.map_err(|error| DatabaseError::of(format!("{statement} in the database"), error))
    }
}

/// How a transaction is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Care {
    /// At full speed; a row that the server does not take ends it.
    None,
    /// In parts that can be taken back.
    Savepoints,
}

fn fresh_chunk() -> Vec<u8> {
    // A row that crosses the bound still fits, unless it is a very long one.
    Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 16)
}

/// What is handed to the socket at a time.
const CHUNK_BYTES: usize = 64 << 10;
