//! What is going on, as numbers that any thread may read.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use schema::Micros;
use serde::{Deserialize, Serialize};

use crate::deribit::{Counts, Stored};

/// One connection's numbers. Written by its reader, read by everybody.
#[derive(Debug)]
pub struct Line {
    /// The shard's name.
    pub shard: Arc<str>,
    state: AtomicU8,
    /// Messages received.
    pub messages: Counter,
    /// Bytes of messages received.
    pub bytes: Counter,
    /// Rows made.
    pub rows: Counter,
    /// Of these, quotes.
    pub quotes: Counter,
    /// Trades.
    pub trades: Counter,
    /// Books: samples and changes.
    pub depths: Counter,
    /// Channels that the exchange has acknowledged.
    pub acknowledged: Counter,
    /// Channels that the shard is to listen to.
    pub goal: Counter,
    /// Channels of these that the exchange has refused.
    pub refused: Counter,
    /// Times that a connection was tried.
    pub attempts: Counter,
    /// Times that the exchange took a connection.
    pub opened: Counter,
    /// Times that a connection was lost.
    pub lost: Counter,
    /// When the newest message came, µs UTC; 0 before the first.
    last_message: AtomicI64,
    /// The newest trouble, in a sentence.
    trouble: Mutex<Option<String>>,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waiting before the next attempt, or connecting.
    Connecting,
    /// Open; not every channel is acknowledged yet.
    Subscribing,
    /// Every channel that the exchange grants is acknowledged.
    Recording,
}

/// A number that only its owner changes.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to the number.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Sets the number.
    pub fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Line {
    /// Numbers of a connection that is not there yet.
    #[must_use]
    pub fn new(shard: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            shard,
            state: AtomicU8::new(State::Connecting as u8),
            messages: Counter::default(),
            bytes: Counter::default(),
            rows: Counter::default(),
            quotes: Counter::default(),
            trades: Counter::default(),
            depths: Counter::default(),
            acknowledged: Counter::default(),
            goal: Counter::default(),
            refused: Counter::default(),
            attempts: Counter::default(),
            opened: Counter::default(),
            lost: Counter::default(),
            last_message: AtomicI64::new(0),
            trouble: Mutex::default(),
        })
    }

    /// What the connection is doing.
    #[must_use]
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            state if state == State::Recording as u8 => State::Recording,
            state if state == State::Subscribing as u8 => State::Subscribing,
            _ => State::Connecting,
        }
    }

    /// Says what the connection is doing.
    pub fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Notes a message of so many bytes.
    pub fn message(&self, bytes: usize, at: Micros) {
        self.messages.add(1);
        self.bytes.add(bytes as u64);
        self.last_message.store(at.0, Ordering::Relaxed);
    }

    /// Sets the numbers of rows.
    pub fn count(&self, rows: &Counts) {
        let of = |tables: &[Stored]| tables.iter().map(|table| rows.of(*table)).sum();
        self.rows.set(rows.sum());
        self.quotes.set(of(&[Stored::OptionQuotes, Stored::PerpetualQuotes]));
        self.trades.set(of(&[Stored::OptionTrades, Stored::PerpetualTrades]));
        self.depths.set(of(&[Stored::OptionDepth, Stored::PerpetualDepth, Stored::BookChanges]));
    }

    /// Sets when the newest message came.
    pub fn set_last_message(&self, at: Option<Micros>) {
        self.last_message.store(at.unwrap_or_default().0, Ordering::Relaxed);
    }

    /// When the newest message came.
    #[must_use]
    pub fn last_message(&self) -> Option<Micros> {
        match self.last_message.load(Ordering::Relaxed) {
            0 => None,
            at => Some(Micros(at)),
        }
    }

    /// Keeps the newest trouble for whoever asks.
    pub fn set_trouble(&self, trouble: &str) {
        *self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Some(trouble.to_owned());
    }

    /// The newest trouble.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
