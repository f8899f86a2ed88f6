//! Batches that a sink has accepted and not stored yet.

use std::sync::Arc;
use std::time::Duration;

use schema::{Batch, Now};

/// What waits, in the journal's order, until it is old enough or much.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    batches: Vec<Arc<Batch>>,
    bytes: usize,
    /// The first time that anybody asked for its age.
    since: Option<Duration>,
}

impl Waiting {
    /// One more.
    pub(crate) fn push(&mut self, batch: Arc<Batch>) {
        self.bytes += batch.bytes();
        self.batches.push(batch);
    }

    /// The batches, oldest first.
    pub(crate) fn batches(&self) -> &[Arc<Batch>] {
        &self.batches
    }

    /// How much waits, as [`Batch::bytes`] counts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether something waits, and has for so long, counted from the first call that saw it.
    pub(crate) fn is_old(&mut self, now: Now, age_max: Duration) -> bool {
        if self.batches.is_empty() {
            return false;
        }
        let since = *self.since.get_or_insert(now.monotonic);
        now.monotonic.saturating_sub(since) >= age_max
    }

    /// All is stored: nothing waits.
    pub(crate) fn clear(&mut self) {
        self.batches.clear();
        (self.bytes, self.since) = (0, None);
    }
}
