//! Where sinks read: what is durable, from memory while it is there, else from the segments.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use schema::{Batch, Now};

use crate::error::{ErrorKind, JournalError};
use crate::ledger::{Ledger, Segment, State};
use crate::record::Kind;
use crate::scanner::{Found, Scanner};

/// One reader of the journal. A clone reads on its own.
#[derive(Debug)]
pub struct Feed {
    ledger: Arc<Ledger>,
    /// The segment read last, and its number.
    cursor: Option<(u64, Scanner)>,
}

impl Feed {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, cursor: None }
    }

    /// The durable batches after a position, in order and without a hole: at least one if there is
    /// one, and no more once they hold `bytes_max`. Waits for the first at most `wait`; none then.
    ///
    /// Batches of the shared tail are shared, not copied. A poisoned journal still hands out what
    /// was durable, then its error.
    ///
    /// # Errors
    /// `Gone` and `Ahead` when the journal does not hold what follows `after`, `Damaged` when it
    /// cannot be read, `Newer` when a newer program wrote it, `Poisoned` at the end.
    pub fn read(
        &mut self,
        after: u64,
        bytes_max: usize,
        wait: Duration,
    ) -> Result<Vec<Arc<Batch>>, JournalError> {
        let durable = {
            let state = self.await_news(after, wait);
            let durable = state.synced.position;
            if after > durable {
                return Err(ahead(after, durable));
            }
            if after == durable {
                return state.check().map(|()| Vec::new());
            }
            if state.tail.front().is_some_and(|oldest| oldest.position() <= after + 1) {
                return Ok(read_tail(&state, after, bytes_max));
            }
            durable
        };
        let read = self.read_segments(after, durable, bytes_max);
        if read.is_err() {
            self.cursor = None;
        }
        read
    }

    /// The last durable position.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.ledger.state().synced.position
    }

    /// The oldest position kept, or the next one when nothing is: where a new sink begins.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.ledger.state().segments.front().map_or(1, |first| first.first_position)
    }

    /// Whether the appender is gone and nothing durable follows `after`.
    #[must_use]
    pub fn ended(&self, after: u64) -> bool {
        let state = self.ledger.state();
        state.closed
            && state.written.position == state.synced.position
            && state.synced.position <= after
    }

    /// Counts a sink in: segments with anything after `position` are kept for it.
    ///
    /// # Errors
    /// `Gone` and `Ahead` when the journal does not hold what follows `position`.
    pub fn attach(&self, sink: &str, position: u64) -> Result<(), JournalError> {
        let mut state = self.ledger.state();
        if position > state.synced.position {
            return Err(ahead(position, state.synced.position));
        }
        state.segment_of(position + 1)?;
        state.sinks.insert(sink.to_owned(), position);
        Ok(())
    }

    /// Says that a sink holds everything up to `position` durably. A lower position than before
    /// changes nothing.
    pub fn release(&self, sink: &str, position: u64) {
        let mut state = self.ledger.state();
        assert!(position <= state.synced.position, "a sink holds only what it was offered");
        if let Some(known) = state.sinks.get_mut(sink) {
            *known = position.max(*known);
        }
    }

    /// Counts a sink out: it is not waited for any more.
    pub fn detach(&self, sink: &str) {
        self.ledger.state().sinks.remove(sink);
    }

    /// Removes the segments that every sink is past and that ended longer ago than
    /// [`Options::keep`](crate::Options::keep), oldest first. Without a sink nothing is removed.
    ///
    /// # Errors
    /// When the disk refuses. A failed sync of the folder poisons the journal.
    pub fn trim(&self, now: Now) -> Result<Vec<PathBuf>, JournalError> {
        let mut removed = Vec::new();
        while let Some(oldest) = self.superfluous(now) {
            let ledger = &self.ledger;
            match ledger.disk.remove(&oldest.path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(JournalError::io("remove", &oldest.path, error));
                }
                Ok(()) | Err(_) => {}
            }
            {
                let mut state = ledger.state();
                if state.segments.front().is_some_and(|first| first.number == oldest.number) {
                    state.segments.pop_front();
                }
            }
            // Each for itself: removals that a power cut reorders would leave a hole.
            let _alone = ledger.alone();
            ledger
                .disk
                .sync_folder(&ledger.folder)
                .map_err(|error| ledger.poison("sync", &ledger.folder, error))?;
            removed.push(oldest.path);
        }
        Ok(removed)
    }

    /// The oldest segment, if nobody needs it.
    fn superfluous(&self, now: Now) -> Option<Segment> {
        let state = self.ledger.state();
        let (oldest, next) = (state.segments.front()?, state.segments.get(1)?);
        let passed = state.sinks.values().min()? + 1 >= next.first_position;
        let old = now.utc.since(next.created) >= self.ledger.options.keep;
        (state.poison.is_none() && passed && old).then(|| oldest.clone())
    }

    fn await_news(&self, after: u64, wait: Duration) -> std::sync::MutexGuard<'_, State> {
        let state = self.ledger.state();
        let idle = |state: &mut State| {
            state.synced.position == after && !state.closed && state.poison.is_none()
        };
        let waited = self.ledger.changed.wait_timeout_while(state, wait, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn read_segments(
        &mut self,
        after: u64,
        durable: u64,
        bytes_max: usize,
    ) -> Result<Vec<Arc<Batch>>, JournalError> {
        let mut batches: Vec<Arc<Batch>> = Vec::new();
        let mut bytes = 0;
        let mut wanted = after + 1;
        while wanted <= durable && (batches.is_empty() || bytes < bytes_max) {
            let batch = self.batch(wanted)?;
            bytes += batch.bytes();
            batches.push(Arc::new(batch));
            wanted += 1;
        }
        Ok(batches)
    }

    /// The batch at a durable position.
    fn batch(&mut self, position: u64) -> Result<Batch, JournalError> {
        let scanner = self.seek(position)?;
        loop {
            match scanner.next()? {
                Found::Record(head, payload) if head.kind == Kind::Batch => {
                    if head.position == position {
                        return scanner.batch(&head, payload);
                    }
                }
                Found::Record(..) => {}
                Found::End => {
                    let what = format!("it ends before position {position}, which was durable");
                    return Err(scanner.damaged(what));
                }
                Found::Bad(what) => return Err(scanner.damaged(what)),
            }
        }
    }

    /// The scanner of the segment that holds a position, before that position.
    fn seek(&mut self, position: u64) -> Result<&mut Scanner, JournalError> {
        let segment = self.ledger.state().segment_of(position)?.clone();
        let fits = |(number, scanner): &(u64, Scanner)| {
            *number == segment.number && scanner.position() < position
        };
        let cursor = match self.cursor.take().filter(fits) {
            Some(cursor) => cursor,
            None => (segment.number, Scanner::open(&*self.ledger.disk, &segment.path)?),
        };
        Ok(&mut self.cursor.insert(cursor).1)
    }
}

impl Clone for Feed {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.ledger))
    }
}

fn read_tail(state: &State, after: u64, bytes_max: usize) -> Vec<Arc<Batch>> {
    let mut bytes = 0;
    let durable = state.synced.position;
    let new = state.tail.iter().skip_while(|batch| batch.position() <= after);
    new.take_while(|batch| {
        let take = batch.position() <= durable && (bytes == 0 || bytes < bytes_max);
        bytes += batch.bytes();
        take
    })
    .cloned()
    .collect()
}

fn ahead(position: u64, durable: u64) -> JournalError {
    JournalError::new(ErrorKind::Ahead { durable }, format!("position {position}"))
}
