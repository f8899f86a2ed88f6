//! What waits to be written to one connection: bounded, so that a slow reader costs no memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use tokio::sync::Notify;

use crate::session::Outgoing;

/// The largest backlog in bytes before a connection is too slow.
pub(crate) const BACKLOG_BYTES_MAX: usize = 8 << 20;

/// One connection's queue. It lives on the exchange's one thread.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: RefCell<VecDeque<Outgoing>>,
    /// Taken and not yet settled.
    taken: RefCell<Vec<Outgoing>>,
    bytes: Cell<usize>,
    overflowed: Cell<bool>,
    filled: Notify,
    overflow: Notify,
}

impl Outbox {
    /// Adds a text; when it does not fit any more, everything waiting is dropped and the
    /// connection must end.
    pub(crate) fn push(&self, outgoing: Outgoing) {
        if self.overflowed.get() {
            return;
        }
        let bytes = self.bytes.get() + outgoing.text.len();
        if bytes > BACKLOG_BYTES_MAX {
            self.queue.borrow_mut().clear();
            self.overflowed.set(true);
            self.overflow.notify_one();
            return;
        }
        self.bytes.set(bytes);
        self.queue.borrow_mut().push_back(outgoing);
        self.filled.notify_one();
    }

    /// Takes up to `most` texts. They count against the bound until they are settled.
    pub(crate) fn take(&self, most: usize) -> Vec<Outgoing> {
        let mut queue = self.queue.borrow_mut();
        let count = most.min(queue.len());
        let batch: Vec<Outgoing> = queue.drain(..count).collect();
        self.taken.borrow_mut().extend_from_slice(&batch);
        batch
    }

    /// What was taken since the last call: written, or as far as anybody knows.
    pub(crate) fn settle(&self) -> Vec<Outgoing> {
        let taken = std::mem::take(&mut *self.taken.borrow_mut());
        let bytes: usize = taken.iter().map(|outgoing| outgoing.text.len()).sum();
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
        taken
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    pub(crate) async fn overflowed(&self) {
        if !self.overflowed.get() {
            self.overflow.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_its_bound() {
        let outbox = Outbox::default();
        let text = "x".repeat(1 << 20);
        for _ in 0..8 {
            outbox.push(Outgoing { channel: None, text: text.clone().into() });
        }
        let taken = outbox.take(3);
        assert_eq!(taken.len(), 3);
        assert_eq!(outbox.settle().len(), 3);
        assert!(outbox.settle().is_empty());
        for _ in 0..3 {
            outbox.push(Outgoing { channel: None, text: text.clone().into() });
        }
        assert!(!outbox.overflowed.get());
        outbox.push(Outgoing { channel: None, text: "x".into() });
        assert!(outbox.overflowed.get());
        assert!(outbox.take(100).is_empty());
    }
}
