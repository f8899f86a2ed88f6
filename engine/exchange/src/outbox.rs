//! What waits to be written to one connection: bounded, so that a slow reader costs no memory.

use std::collections::VecDeque;

use crate::outgoing::Outgoing;
use crate::session::Ending;

/// The largest backlog in bytes before a connection is too slow.
pub(crate) const BACKLOG_BYTES_MAX: usize = 8 << 20;

/// One connection's queue, and why it ends.
///
/// Invariant: after an ending nothing is added any more.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Outgoing>,
    /// Taken and not yet settled.
    taken: Vec<Outgoing>,
    bytes: usize,
    ending: Option<Ending>,
    stirred: bool,
}

impl Outbox {
    /// Adds a text; when it does not fit any more, the connection must end.
    pub(crate) fn push(&mut self, outgoing: Outgoing) {
        if self.ending.is_some() {
            return;
        }
        let bytes = self.bytes + outgoing.text.len();
        if bytes > BACKLOG_BYTES_MAX {
            self.end(Ending::Slow);
            return;
        }
        self.bytes = bytes;
        self.queue.push_back(outgoing);
        self.stirred = true;
    }

    /// Ends the connection; the first reason counts.
    pub(crate) fn end(&mut self, ending: Ending) {
        if self.ending.is_none() {
            if !ending.lets_finish() {
                self.queue.clear();
            }
            self.ending = Some(ending);
            self.stirred = true;
        }
    }

    pub(crate) fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Takes up to `most` texts. They count against the bound until they are settled.
    pub(crate) fn take(&mut self, most: usize) -> Vec<Outgoing> {
        let count = most.min(self.queue.len());
        let batch: Vec<Outgoing> = self.queue.drain(..count).collect();
        self.taken.extend_from_slice(&batch);
        batch
    }

    /// What was taken since the last call: written, or as far as anybody knows.
    pub(crate) fn settle(&mut self) -> Vec<Outgoing> {
        let taken = std::mem::take(&mut self.taken);
        let bytes: usize = taken.iter().map(|outgoing| outgoing.text.len()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        taken
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Makes whoever writes look again.
    pub(crate) fn stir(&mut self) {
        self.stirred = true;
    }

    /// Whether something has come since the last call.
    pub(crate) fn stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_holds_more_than_its_bound() {
        let mut outbox = Outbox::default();
        let text = "x".repeat(1 << 20);
        for _ in 0..8 {
            outbox.push(Outgoing::heartbeat(text.clone()));
        }
        let taken = outbox.take(3);
        assert_eq!(taken.len(), 3);
        assert_eq!(outbox.settle().len(), 3);
        assert!(outbox.settle().is_empty());
        for _ in 0..3 {
            outbox.push(Outgoing::heartbeat(text.clone()));
        }
        assert_eq!(outbox.ending(), None);
        assert_eq!([outbox.stirred(), outbox.stirred()], [true, false]);
        outbox.push(Outgoing::heartbeat("x".to_owned()));
        assert_eq!(outbox.ending(), Some(&Ending::Slow));
        assert!(outbox.take(100).is_empty());
        outbox.push(Outgoing::heartbeat("x".to_owned()));
        assert!(outbox.take(100).is_empty(), "nothing comes after the end");
    }
}
