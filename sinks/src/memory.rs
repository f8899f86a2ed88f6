//! The memory sink: for tests, benches and dry runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schema::{Batch, Now};

use crate::{Accepted, Position, Sink, SinkError};

/// Counts batches, and keeps the newest ones in memory. A clone looks at the same memory, so that
/// a test can look while a worker owns the sink.
///
/// Everything accepted counts as durable, although nothing outlives the process: with this sink
/// alone, the journal forgets rows that are stored nowhere.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    keep_bytes_max: usize,
    journal: String,
    position: u64,
    rows: u64,
    batches: Vec<Arc<Batch>>,
    bytes: usize,
}

impl Memory {
    /// Keeps the newest batches up to `keep_bytes_max`, as [`Batch::bytes`] counts; with 0 it only
    /// counts.
    #[must_use]
    pub fn new(keep_bytes_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Held { keep_bytes_max, ..Held::default() })))
    }

    /// The batches kept, oldest first.
    #[must_use]
    pub fn batches(&self) -> Vec<Arc<Batch>> {
        self.held().batches.clone()
    }

    /// Rows accepted since the journal was opened, kept or not.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.held().rows
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn position(&self) -> Result<Position, SinkError> {
        Ok(Position(self.held().position))
    }
}

impl Sink for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn durable(&self) -> bool {
        false
    }

    fn open(&mut self, journal: &str) -> Result<Position, SinkError> {
        let mut held = self.held();
        if held.journal != journal {
            let keep_bytes_max = held.keep_bytes_max;
            *held = Held { keep_bytes_max, journal: journal.to_owned(), ..Held::default() };
        }
        Ok(Position(held.position))
    }

    fn write(&mut self, batches: &[Arc<Batch>]) -> Result<Accepted, SinkError> {
        let mut held = self.held();
        for batch in batches {
            held.take(batch);
        }
        Ok(Accepted(held.position))
    }

    fn flush(&mut self, _: Now) -> Result<Position, SinkError> {
        self.position()
    }

    fn close(&mut self) -> Result<Position, SinkError> {
        self.position()
    }
}

impl Held {
    fn take(&mut self, batch: &Arc<Batch>) {
        assert!(batch.position() > self.position, "no record comes twice");
        self.position = batch.position();
        self.rows += batch.rows() as u64;
        self.bytes += batch.bytes();
        self.batches.push(Arc::clone(batch));
        let mut spare = self.bytes.saturating_sub(self.keep_bytes_max);
        let too_old = |batch: &&Arc<Batch>| {
            let drop = spare > 0;
            spare = spare.saturating_sub(batch.bytes());
            drop
        };
        let too_old = self.batches.iter().take_while(too_old).count();
        self.bytes -= self.batches.drain(..too_old).map(|batch| batch.bytes()).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn the_newest_batches_are_kept() {
        let batches = Sample::new(1).batches(20);
        let rows: usize = batches.iter().map(|batch| batch.rows()).sum();
        let room = batches[18].bytes() + batches[19].bytes();
        for (keep_bytes_max, kept) in [(0, 0), (room, 2), (room - 1, 1), (usize::MAX, 20)] {
            let mut memory = Memory::new(keep_bytes_max);
            memory.open("j").unwrap();
            assert_eq!(memory.write(&batches).unwrap(), Accepted(20));
            assert_eq!((memory.rows(), memory.batches().len()), (rows as u64, kept));
        }
    }
}
