//! What an exchange has done so far.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::error::ExchangeError;

/// A moment's counts; frames are counted once they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Websockets open now.
    pub connections: u64,
    /// Websockets ever opened.
    pub connections_total: u64,
    /// REST requests answered.
    pub requests: u64,
    /// Answers and heartbeats.
    pub answers: u64,
    /// Notifications of all kinds.
    pub frames: u64,
    /// Of them on `ticker.…`.
    pub tickers: u64,
    /// On `trades.…`; a frame can hold several trades.
    pub trades: u64,
    /// On `book.…`.
    pub books: u64,
    /// On `perpetual.…`.
    pub perpetuals: u64,
    /// On `deribit_price_index.…`.
    pub indexes: u64,
    /// On `quote.…` and any other channel.
    pub others: u64,
    /// Lines of a recording that were no notification.
    pub skipped: u64,
    /// Whether a recording has played to its end, or to where it could not be read.
    pub finished: bool,
    /// The first failure to write the truth log or to read on in a recording.
    pub failure: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    connections: AtomicU64,
    connections_total: AtomicU64,
    requests: AtomicU64,
    answers: AtomicU64,
    tickers: AtomicU64,
    trades: AtomicU64,
    books: AtomicU64,
    perpetuals: AtomicU64,
    indexes: AtomicU64,
    others: AtomicU64,
    skipped: AtomicU64,
    finished: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Counters {
    pub(crate) fn opened(&self) {
        self.connections.fetch_add(1, Relaxed);
        self.connections_total.fetch_add(1, Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    pub(crate) fn requested(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn skipped(&self, lines: u64) {
        self.skipped.store(lines, Relaxed);
    }

    pub(crate) fn finish(&self) {
        self.finished.store(true, Relaxed);
    }

    pub(crate) fn sent(&self, channel: Option<&str>) {
        let counter = match channel.map(|name| name.split('.').next().unwrap_or_default()) {
            None => &self.answers,
            Some("ticker") => &self.tickers,
            Some("trades") => &self.trades,
            Some("book") => &self.books,
            Some("perpetual") => &self.perpetuals,
            Some("deribit_price_index") => &self.indexes,
            Some(_) => &self.others,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn failed(&self, error: &ExchangeError) {
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert_with(|| error.to_string());
        }
    }

    pub(crate) fn read(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Relaxed);
        let kinds = [
            &self.tickers,
            &self.trades,
            &self.books,
            &self.perpetuals,
            &self.indexes,
            &self.others,
        ];
        Counts {
            connections: load(&self.connections),
            connections_total: load(&self.connections_total),
            requests: load(&self.requests),
            answers: load(&self.answers),
            frames: kinds.into_iter().map(load).sum(),
            tickers: load(&self.tickers),
            trades: load(&self.trades),
            books: load(&self.books),
            perpetuals: load(&self.perpetuals),
            indexes: load(&self.indexes),
            others: load(&self.others),
            skipped: load(&self.skipped),
            finished: self.finished.load(Relaxed),
            failure: self.failure.lock().ok().and_then(|failure| failure.clone()),
        }
    }
}
