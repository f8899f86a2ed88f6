//! The way of rows into transactions: one is stored while the next is gathered and encoded.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use schema::{Batch, Now};

use super::error::DatabaseError;
use super::gathered::Gathered;
use super::load::Load;
use super::parcel::Chunks;
use super::session::Destination;
use super::step::Step;
use super::writer::{UnderWay, Writer};

/// A session, and what is on its way to it.
pub(super) struct Pipe {
    writer: Writer,
    /// Where the rows of a table go, by its name; as far as that was needed.
    destinations: HashMap<String, Destination>,
    /// How far the last transaction that is stored went.
    stored: u64,
    /// One that is being stored, and how far it goes.
    under_way: Option<(UnderWay, u64)>,
    /// What comes behind it.
    gathered: Gathered,
    chunks: Chunks,
}

impl Pipe {
    /// An empty one.
    pub(super) fn new(writer: Writer, stored: u64) -> Self {
        let (destinations, chunks) = (HashMap::new(), Chunks::default());
        Self {
            writer,
            destinations,
            stored,
            under_way: None,
            gathered: Gathered::default(),
            chunks,
        }
    }

    /// Gathers a record.
    pub(super) fn take(&mut self, batch: Arc<Batch>) -> Result<(), DatabaseError> {
        let (writer, destinations) = (&mut self.writer, &mut self.destinations);
        self.gathered.push(batch, &self.chunks, |load| {
            if let Some(known) = destinations.get(&load.name) {
                return Ok(known.clone());
            }
            let found = writer.find(load)?;
            let _ = destinations.insert(load.name.clone(), found.clone());
            Ok(found)
        })
    }

    /// Where the rows of a load go.
    pub(super) fn find(&mut self, load: &Load) -> Result<Destination, DatabaseError> {
        self.writer.find(load)
    }

    /// Begins to store what was gathered; `to` is how far that goes. Nothing else may be under way.
    pub(super) fn send(&mut self, step: Step, to: u64) {
        assert!(self.under_way.is_none(), "one transaction after the other");
        let under_way = self.writer.store(mem::take(&mut self.gathered), step);
        self.under_way = Some((under_way, to));
    }

    /// Waits for what is under way. Says how far all is stored then.
    pub(super) fn settle(&mut self) -> Result<u64, DatabaseError> {
        if let Some((under_way, to)) = self.under_way.take() {
            self.writer.wait(under_way)?;
            self.stored = to;
        }
        Ok(self.stored)
    }

    /// Looks whether what is under way is stored. Says how far all is stored.
    pub(super) fn look(&mut self) -> Result<u64, DatabaseError> {
        if let Some((mut under_way, to)) = self.under_way.take() {
            match self.writer.look(&mut under_way) {
                Some(done) => {
                    done?;
                    self.stored = to;
                }
                None => self.under_way = Some((under_way, to)),
            }
        }
        Ok(self.stored)
    }

    /// How far all is stored, as far as it was looked.
    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    /// Whether nothing is gathered.
    pub(super) fn is_empty(&self) -> bool {
        self.gathered.is_empty()
    }

    /// Memory that what is gathered holds, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.gathered.bytes()
    }

    /// Whether what is gathered has waited so long.
    pub(super) fn is_old(&mut self, now: Now, age_max: Duration) -> bool {
        self.gathered.is_old(now, age_max)
    }
}
