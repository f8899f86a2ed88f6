//! Rows on their way into one transaction: encoded as they come, so that nothing is left to be done
//! for them when the server is ready.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schema::{Batch, Now};

use super::error::DatabaseError;
use super::load::{Load, Refused};
use super::parcel::{Chunks, Parcel};
use super::session::Destination;
use crate::waiting::Waiting;

/// The rows of one transaction.
#[derive(Default)]
pub(super) struct Gathered {
    /// The records. They are kept until all is stored: if the server refuses a row it is looked
    /// for among them.
    waiting: Waiting,
    /// Their rows, by the name of the table of the database.
    parcels: BTreeMap<String, Parcel>,
    /// Those that have no place there.
    refused: Vec<Refused>,
}

impl Gathered {
    /// Adds a record. `find` knows where the rows of a table go.
    pub(super) fn push(
        &mut self,
        batch: Arc<Batch>,
        chunks: &Chunks,
        mut find: impl FnMut(&Load) -> Result<Destination, DatabaseError>,
    ) -> Result<(), DatabaseError> {
        for load in Load::of(&batch, &mut self.refused) {
            if !self.parcels.contains_key(&load.name) {
                let parcel = Parcel::new(find(&load)?, chunks);
                let _ = self.parcels.insert(load.name.clone(), parcel);
            }
            let parcel = self.parcels.get_mut(&load.name).expect("it was just made");
            parcel.add(&load, &mut self.refused);
        }
        self.waiting.push(batch);
        Ok(())
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.batches().is_empty()
    }

    /// Memory held, bytes: the records and their encoded rows.
    pub(super) fn bytes(&self) -> usize {
        self.waiting.bytes() + self.parcels.values().map(Parcel::bytes).sum::<usize>()
    }

    /// As [`Waiting::is_old`].
    pub(super) fn is_old(&mut self, now: Now, age_max: Duration) -> bool {
        self.waiting.is_old(now, age_max)
    }

    /// Takes it apart: the records, their rows, and those without a place.
    pub(super) fn apart(self) -> (Waiting, Vec<(String, Parcel)>, Vec<Refused>) {
        (self.waiting, self.parcels.into_iter().collect(), self.refused)
    }
}
