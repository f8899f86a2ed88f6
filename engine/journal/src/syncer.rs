//! Makes what was appended durable, many records at a time.

use std::sync::{Arc, PoisonError};

use crate::JournalError;
use crate::ledger::Ledger;
use crate::resume::Watermark;

/// The thread beside the appender that waits for the disk.
#[derive(Debug)]
pub struct Syncer {
    ledger: Arc<Ledger>,
    ended: bool,
}

impl Syncer {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, ended: false }
    }

    /// Waits for the sync interval, or until much is unsynced, or until the appender is gone; then
    /// syncs. `None` when the appender is gone and everything is durable: the loop
    /// `while let Some(watermark) = syncer.wait_and_sync()? {}` is the whole thread.
    ///
    /// # Errors
    /// A failed sync, then and ever after.
    pub fn wait_and_sync(&mut self) -> Result<Option<Watermark>, JournalError> {
        if self.ended {
            return Ok(None);
        }
        let options = &self.ledger.options;
        let idle = |state: &mut crate::ledger::State| {
            let little = state.unsynced_bytes <= options.tail_bytes_max / 2;
            !state.closed && state.poison.is_none() && little
        };
        let state = self.ledger.state();
        let waited = self.ledger.changed.wait_timeout_while(state, options.sync_interval, idle);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        self.ended = state.closed;
        drop(state);
        self.sync().map(Some)
    }

    /// Makes everything appended so far durable and shows it to the feeds. The appender writes the
    /// watermark with its next call.
    ///
    /// # Errors
    /// A failed sync, then and ever after.
    pub fn sync(&mut self) -> Result<Watermark, JournalError> {
        self.ledger.sync()
    }
}
