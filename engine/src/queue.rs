//! The bounded queue between the readers and the journal.
//!
//! Lock-free on the readers' side; bounded in bytes, with a reserve that only what must not be
//! lost may use. Every row that goes in is counted, and so is every row that comes out.

use std::sync::Arc;
use std::time::Duration;

use lifecycle::ChannelSet;
use schema::{Draft, Micros};

use crate::sync::{
    AtomicU64, AtomicUsize, Ordering, Receiver, RecvTimeoutError, Sender, TryRecvError,
    TrySendError, bounded,
};

/// What a reader hands to the journal.
#[derive(Debug)]
pub enum Item {
    /// Rows of one table.
    Rows(Draft),
    /// Everything that this reader received up to the instant has been handed over before.
    Through {
        /// The reader.
        reader: u16,
        /// The instant, of `received_at`.
        at: Micros,
    },
    /// What the exchange has acknowledged to a shard has changed.
    Shard {
        /// The shard's name.
        shard: Arc<str>,
        /// All channels that it listens to now.
        channels: ChannelSet,
        /// Since when.
        at: Micros,
        /// Since when it has trades to ask for.
        unasked_since: Option<Micros>,
    },
}

/// How much an item wants to be kept when room is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It may use the room that everybody may use.
    Ordinary,
    /// It may use the reserve too: gaps, trades, shard facts.
    Reserved,
}

/// The readers' end. Each reader has a clone.
#[derive(Clone, Debug)]
pub struct Inlet {
    sender: Sender<Item>,
    shared: Arc<Shared>,
}

/// What the journal's end found.
#[derive(Debug)]
pub enum Next {
    /// An item.
    Item(Item),
    /// Nothing came in time.
    Idle,
    /// Every reader is gone and nothing is left.
    Ended,
}

/// The journal's end.
#[derive(Debug)]
pub struct Outlet {
    receiver: Receiver<Item>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    bytes_max: usize,
    bytes: AtomicUsize,
    rows_in: AtomicU64,
    rows_out: AtomicU64,
}

/// A queue of at most `bytes_max` bytes of columns, plus the reserve.
#[must_use]
pub fn queue(bytes_max: usize) -> (Inlet, Outlet) {
    let (sender, receiver) = bounded(ITEMS_MAX);
    let shared = Arc::new(Shared { bytes_max, ..Shared::default() });
    let inlet = Inlet { sender, shared: Arc::clone(&shared) };
    (inlet, Outlet { receiver, shared })
}

impl Inlet {
    /// Hands an item over without ever waiting.
    ///
    /// # Errors
    /// Gives the item back when there is no room for it; [`Refused::Closed`] when the journal has
    /// stopped.
    pub fn offer(&self, item: Item, urgency: Urgency) -> Result<(), Refused> {
        let (bytes, rows) = item.size();
        let max = match urgency {
            Urgency::Ordinary => self.shared.bytes_max,
            Urgency::Reserved => self.shared.bytes_max + RESERVE_BYTES,
        };
        // Several readers may pass this check together: the bound is kept to one batch a reader.
        // An empty queue takes anything: a batch larger than the bound must not wait for ever.
        let waiting = self.shared.bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting + bytes > max {
            return Err(Refused::Full(item));
        }
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shared.rows_in.fetch_add(rows, Ordering::Relaxed);
        self.sender.try_send(item).map_err(|error| {
            self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.rows_in.fetch_sub(rows, Ordering::Relaxed);
            match error {
                TrySendError::Full(item) => Refused::Full(item),
                TrySendError::Disconnected(_) => Refused::Closed,
            }
        })
    }

    /// How full the queue is, percent of its ordinary bytes.
    #[must_use]
    pub fn usage_pct(&self) -> f64 {
        self.shared.bytes.load(Ordering::Relaxed) as f64 * 100.0 / self.shared.bytes_max as f64
    }
}

/// Why an item was not taken.
#[derive(Debug)]
pub enum Refused {
    /// There is no room; the item comes back.
    Full(Item),
    /// The journal has stopped and will take nothing more.
    Closed,
}

impl Outlet {
    /// The next item, after waiting for at most `wait`.
    pub fn take(&self, wait: Duration) -> Next {
        // Waiting begins with spinning, which whoever does not wait need not do.
        let taken = match wait.is_zero() {
            true => self.receiver.try_recv(),
            false => self.receiver.recv_timeout(wait).map_err(|error| match error {
                RecvTimeoutError::Timeout => TryRecvError::Empty,
                RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
            }),
        };
        let item = match taken {
            Ok(item) => item,
            Err(TryRecvError::Empty) => return Next::Idle,
            Err(TryRecvError::Disconnected) => return Next::Ended,
        };
        let (bytes, rows) = item.size();
        self.shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.shared.rows_out.fetch_add(rows, Ordering::Relaxed);
        Next::Item(item)
    }

    /// Rows that went in and rows that came out, so far.
    #[must_use]
    pub fn rows(&self) -> (u64, u64) {
        let shared = &self.shared;
        (shared.rows_in.load(Ordering::Relaxed), shared.rows_out.load(Ordering::Relaxed))
    }
}

impl Item {
    /// The rows, if it is rows.
    #[must_use]
    pub fn into_draft(self) -> Option<Draft> {
        match self {
            Self::Rows(draft) => Some(draft),
            Self::Through { .. } | Self::Shard { .. } => None,
        }
    }

    fn size(&self) -> (usize, u64) {
        match self {
            Self::Rows(draft) => (draft.bytes(), draft.rows() as u64),
            Self::Through { .. } | Self::Shard { .. } => (0, 0),
        }
    }
}

/// Items, whatever their size: bounds what markers and small batches cost.
const ITEMS_MAX: usize = 8_192;
/// Room beyond the bound for what must not be lost.
const RESERVE_BYTES: usize = 2 << 20;
