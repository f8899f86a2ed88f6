//! What is really so in a market: for tests that compare it with what a client believes.

use crate::market::book::Ladder;
use crate::market::instrument::{Contract, Stage};
use crate::market::{self, Market};
use crate::name::NEVER_MS;

/// A look into a market.
#[derive(Debug, Clone, Copy)]
pub struct Oracle<'a> {
    pub(crate) market: &'a Market,
}

/// An instrument, listed now or once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instrument {
    /// `BTC-6OCT26-86000-C`.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// ms since 1970.
    pub created_ms: i64,
    /// ms since 1970; the exchange's end of time for a perpetual.
    pub expiry_ms: i64,
    /// The newest trade's sequence; the next one is one more.
    pub trade_seq: i64,
}

/// Where an instrument is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is quoted and traded.
    Open,
    /// It has expired and is not paid out yet.
    Settlement,
    /// It is paid out.
    Delivered,
}

/// A whole book; prices and amounts are those that the wire carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Book {
    /// The newest change; 0 for a book that never was anything but empty.
    pub change_id: i64,
    /// (price, amount), best first.
    pub bids: Vec<(f64, f64)>,
    /// (price, amount), best first.
    pub asks: Vec<(f64, f64)>,
}

/// A trade.
#[derive(Debug, Clone, PartialEq)]
pub struct Trade {
    /// From 1 for each instrument, without a hole.
    pub trade_seq: i64,
    /// Unique in its currency.
    pub trade_id: String,
    /// ms since 1970.
    pub timestamp_ms: i64,
    /// As on the wire.
    pub price: f64,
    /// As on the wire.
    pub amount: f64,
}

impl Oracle<'_> {
    /// Every instrument that is or was listed, in the order of listing.
    #[must_use]
    pub fn instruments(&self) -> Vec<Instrument> {
        let instruments = self.market.instruments().iter().map(|it| Instrument {
            name: it.name.to_string(),
            state: match it.stage {
                Stage::Open => State::Open,
                Stage::Settling => State::Settlement,
                Stage::Delivered(_) => State::Delivered,
            },
            created_ms: it.created_ms,
            expiry_ms: match it.contract {
                Contract::Perpetual => NEVER_MS,
                Contract::Option { expiry_ms, .. } => expiry_ms,
            },
            trade_seq: it.trade_seq,
        });
        instruments.collect()
    }

    /// An instrument's book as it is now.
    #[must_use]
    pub fn book(&self, instrument: &str) -> Option<Book> {
        let it = self.market.at(self.market.find(instrument)?);
        let side = |ladder: &Ladder| {
            let level = |(ticks, lots): &(i64, i64)| (it.grid.price(*ticks), it.grid.amount(*lots));
            ladder.levels().iter().map(level).collect()
        };
        let (bids, asks) = (side(&it.book.bids), side(&it.book.asks));
        Some(Book { change_id: it.book.change_id, bids, asks })
    }

    /// An instrument's newest trades, oldest first, as far back as the exchange keeps them: a day,
    /// and at most 4,000 of an option and 50,000 of a perpetual.
    #[must_use]
    pub fn trades(&self, instrument: &str) -> Option<Vec<Trade>> {
        let it = self.market.at(self.market.find(instrument)?);
        let trade = |trade: &market::Trade| Trade {
            trade_seq: trade.trade_seq,
            trade_id: trade.trade_id.clone(),
            timestamp_ms: trade.timestamp_ms,
            price: trade.price,
            amount: trade.amount,
        };
        Some(it.tape.trades().map(trade).collect())
    }

    /// Dollars for one coin, of an index such as `btc_usd`.
    #[must_use]
    pub fn index(&self, name: &str) -> Option<f64> {
        let coin = self.market.coins().iter().find(|coin| coin.index_name == name);
        coin.map(|coin| coin.index)
    }
}
