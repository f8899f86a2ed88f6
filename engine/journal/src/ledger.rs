//! What appender, syncer and feeds share: how far is written, how far is durable, the newest rows.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use schema::{Batch, Micros};

use crate::beginning::Beginning;
use crate::disk::{Disk, Syncer};
use crate::error::{ErrorKind, JournalError};
use crate::resume::Watermark;
use crate::{Options, is_full};

/// Lock order: `alone`, then `state`. Nothing waits for the disk under `state`.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) options: Options,
    state: Mutex<State>,
    pub(crate) changed: Condvar,
    /// Held from before a sync until its outcome stands in the state: of two syncs at once the
    /// kernel tells only one that bytes were lost.
    alone: Mutex<()>,
}

#[derive(Debug)]
pub(crate) struct State {
    /// What failed first; nothing is taken or published after it.
    pub(crate) poison: Option<String>,
    /// The appender is gone.
    pub(crate) closed: bool,
    /// Oldest first; the last one is written.
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) syncer: Arc<dyn Syncer>,
    /// What is written: handed to the kernel as whole records.
    pub(crate) written: Mark,
    /// What is durable.
    pub(crate) synced: Mark,
    /// Something other than a watermark was written since the last sync began.
    pub(crate) news: bool,
    /// The last sync has no watermark record yet.
    pub(crate) watermark_due: bool,
    /// The newest batches, durable or not, contiguous up to `written.position`.
    pub(crate) tail: VecDeque<Arc<Batch>>,
    pub(crate) tail_bytes: usize,
    /// Bytes of the batches written since the last sync.
    pub(crate) unsynced_bytes: usize,
    /// By sink: the position up to which it is durable.
    pub(crate) sinks: BTreeMap<String, u64>,
}

/// While it lives, nobody else syncs.
#[derive(Debug)]
pub(crate) struct Alone<'a>(#[expect(dead_code, reason = "held, not read")] MutexGuard<'a, ()>);

/// A place in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) position: u64,
    pub(crate) through: Micros,
    /// In the last segment.
    pub(crate) bytes: u64,
}

/// A segment that the feeds may read.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) first_position: u64,
    pub(crate) created: Micros,
}

impl Mark {
    pub(crate) fn watermark(self) -> Watermark {
        Watermark { position: self.position, through: self.through }
    }
}

impl Ledger {
    /// `watermark` is durable, `last` is the segment that was begun after it, `older` those before.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        options: Options,
        watermark: Watermark,
        older: VecDeque<Segment>,
        last: &Beginning,
    ) -> Self {
        let mark =
            Mark { position: watermark.position, through: watermark.through, bytes: last.bytes };
        let mut segments = older;
        segments.push_back(Segment::of(last));
        let state = State {
            poison: None,
            closed: false,
            segments,
            syncer: Arc::clone(&last.syncer),
            written: mark,
            synced: mark,
            news: false,
            watermark_due: false,
            tail: VecDeque::new(),
            tail_bytes: 0,
            unsynced_bytes: 0,
            sinks: BTreeMap::new(),
        };
        let (state, changed, alone) = (Mutex::new(state), Condvar::new(), Mutex::new(()));
        Self { disk, folder, options, state, changed, alone }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked under the lock left whole values behind: each is set at once.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps every other sync out.
    pub(crate) fn alone(&self) -> Alone<'_> {
        Alone(self.alone.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes everything written so far durable, and only then shows it to the feeds.
    pub(crate) fn sync(&self) -> Result<Watermark, JournalError> {
        self.sync_alone(&self.alone())
    }

    /// [`sync`](Self::sync) for a caller that keeps other syncs out longer.
    pub(crate) fn sync_alone(&self, _alone: &Alone<'_>) -> Result<Watermark, JournalError> {
        let (target, news, syncer, path) = {
            let mut state = self.state();
            state.check()?;
            if state.written == state.synced {
                return Ok(state.synced.watermark());
            }
            let unsynced = state.written.bytes > state.synced.bytes;
            let path = state.segments.back().map(|last| last.path.clone()).unwrap_or_default();
            state.unsynced_bytes = 0;
            let news = std::mem::take(&mut state.news);
            (state.written, news, unsynced.then(|| Arc::clone(&state.syncer)), path)
        };
        if let Some(syncer) = syncer {
            syncer.sync().map_err(|error| self.poison("sync", &path, error))?;
        }
        let mut state = self.state();
        state.check()?;
        state.synced = target;
        state.watermark_due |= news;
        self.changed.notify_all();
        Ok(target.watermark())
    }

    /// Goes on in a new segment. Everything written must be durable, and no sync of the old segment
    /// may end after this: it would count the old one's bytes for the new one's.
    pub(crate) fn go_on_in(&self, next: &Beginning, _alone: &Alone<'_>) {
        let mut state = self.state();
        assert_eq!(state.written.position, state.synced.position, "a segment ends durable");
        state.segments.push_back(Segment::of(next));
        state.syncer = Arc::clone(&next.syncer);
        state.written.bytes = next.bytes;
        state.synced = state.written;
        state.watermark_due = false;
    }

    /// Counts a record that the kernel has taken whole.
    pub(crate) fn wrote(&self, bytes: u64, batch: Option<&Arc<Batch>>, news: bool) {
        let mut state = self.state();
        state.written.bytes = bytes;
        state.news |= news;
        let Some(batch) = batch else { return };
        assert_eq!(batch.position(), state.written.position + 1, "positions are contiguous");
        state.written.position = batch.position();
        let bytes = batch.bytes();
        state.tail.push_back(Arc::clone(batch));
        state.tail_bytes += bytes;
        state.unsynced_bytes += bytes;
        while state.tail_bytes > self.options.tail_bytes_max
            && let Some(oldest) = state.tail.pop_front()
        {
            state.tail_bytes -= oldest.bytes();
        }
        if state.unsynced_bytes > self.options.tail_bytes_max / 2 {
            self.changed.notify_all();
        }
    }

    /// Stops the journal for good, and says why.
    pub(crate) fn poison(&self, verb: &str, path: &Path, error: io::Error) -> JournalError {
        let mut state = self.state();
        state.poison.get_or_insert_with(|| format!("{verb} {} ({error})", path.display()));
        self.changed.notify_all();
        JournalError::io(verb, path, error)
    }

    /// The error of a write: a full disk can be gone on with, anything else is the end.
    pub(crate) fn refuse(
        &self,
        verb: &str,
        path: &Path,
        error: io::Error,
        needed_bytes: u64,
    ) -> JournalError {
        if !is_full(&error) {
            return self.poison(verb, path, error);
        }
        let free_bytes = self.disk.free_bytes(&self.folder).unwrap_or(0);
        let kind = ErrorKind::Full { free_bytes, needed_bytes };
        JournalError::new(kind, format!("{verb} {}", path.display()))
    }
}

impl State {
    /// Refuses when something failed before.
    pub(crate) fn check(&self) -> Result<(), JournalError> {
        self.poison.as_deref().map_or(Ok(()), |first| Err(JournalError::poisoned(first)))
    }

    /// The segment that holds a position.
    pub(crate) fn segment_of(&self, position: u64) -> Result<&Segment, JournalError> {
        let mut newest_first = self.segments.iter().rev();
        newest_first.find(|segment| segment.first_position <= position).ok_or_else(|| {
            let oldest = self.segments.front().map_or(1, |first| first.first_position);
            JournalError::new(ErrorKind::Gone { oldest }, format!("position {position}"))
        })
    }
}

impl Segment {
    fn of(begun: &Beginning) -> Self {
        Self {
            number: begun.header.number,
            path: begun.path.clone(),
            first_position: begun.header.first_position,
            created: begun.header.created,
        }
    }
}
