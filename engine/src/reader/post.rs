//! What goes back and forth between the plan and a line: a mailbox for goals, a board for what the
//! exchange has acknowledged.

use std::sync::{Arc, PoisonError};

use lifecycle::{ChannelSet, Swap};

use crate::sync::{ArrayQueue, AtomicU64, Mutex, Ordering};

/// The one-slot mailbox through which a plan reaches a line: a newer swap replaces an older one.
#[derive(Clone, Debug)]
pub struct Mailbox(Arc<ArrayQueue<Swap>>);

impl Default for Mailbox {
    fn default() -> Self {
        Self(Arc::new(ArrayQueue::new(1)))
    }
}

impl Mailbox {
    /// Leaves a swap; one that was not fetched yet is forgotten.
    pub fn leave(&self, swap: Swap) {
        self.0.force_push(swap);
    }

    pub(crate) fn fetch(&self) -> Option<Swap> {
        self.0.pop()
    }
}

/// Where a line shows which channels the exchange has acknowledged, once the journal was told.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Shown>);

#[derive(Debug, Default)]
struct Shown {
    changes: AtomicU64,
    channels: Mutex<Arc<ChannelSet>>,
}

impl Board {
    pub(crate) fn show(&self, channels: &ChannelSet) {
        // Copied outside of the lock, so that whoever looks holds up nobody.
        let channels = Arc::new(channels.clone());
        *self.0.channels.lock().unwrap_or_else(PoisonError::into_inner) = channels;
        self.0.changes.fetch_add(1, Ordering::Release);
    }

    /// Counts the changes: equal means that nothing is new.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    /// The channels now.
    #[must_use]
    pub fn channels(&self) -> Arc<ChannelSet> {
        Arc::clone(&self.0.channels.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
