//! Order books: changes as they come, and sampled depth.

use crate::{Json, Micros, Name, Partition, SqlName, table};

table! {
    /// One price level in one book message. A message without levels is one row without a side,
    /// so that the chain of change ids is complete: an empty book, if it is a snapshot. How to
    /// rebuild a book: docs/books.md.
    pub struct BookChange in "book_changes" {
        time: "timestamp",
        identity: ["instrument", "change_id", "sequence"],
        partition: Partition::CurrencyAndDate("instrument"),
        sql: SqlName::One("book_changes"),
    }
    /// The exchange's time of the message.
    timestamp: Micros, Instant;
    /// When the bytes were read here.
    received_at: Micros, Instant;
    sequence;
    /// The instrument's name.
    instrument: Name, Plain;
    /// The book's version after this message; a counter that instruments share.
    change_id: i64, Id;
    /// The version that this message changes: the `change_id` of the message before, or the chain
    /// is broken until the next snapshot. In a snapshot it is missing, or 0 for a new book.
    prev_change_id: Option<i64>, Id;
    /// Whether the message holds the whole book: whatever was known before is void.
    snapshot: bool, Plain;
    /// `bid` or `ask`.
    side: Option<Name>, Plain;
    /// `new`, `change` or `delete`, as sent. What counts is the amount: 0 removes the level.
    action: Option<Name>, Plain;
    /// The level's price.
    price: Option<f64>, Price;
    /// The level's new amount.
    amount: Option<f64>, Amount;
}

table! {
    /// The best levels of an option's book at one moment.
    pub struct OptionOrderbookDepth in "option_orderbook_depth" {
        time: "timestamp",
        identity: ["instrument", "timestamp", "sequence"],
        partition: Partition::CurrencyAndDate("instrument"),
        sql: SqlName::PerCurrency("option_orderbook_depth"),
    }
    /// The exchange's time of the book.
    timestamp: Micros, Instant;
    /// When the bytes were read here.
    received_at: Micros, Instant;
    sequence;
    /// The option's name.
    instrument: Name, Plain;
    /// Bids, best first: `[{"price":p,"amount":a},…]`.
    bids: Json, Plain;
    /// Asks, best first.
    asks: Json, Plain;
    /// Mark price of the option's newest ticker.
    mark_price: Option<f64>, Price;
    /// Underlying price of the option's newest ticker.
    underlying_price: Option<f64>, Usd;
    /// Open interest of the option's newest ticker.
    open_interest: Option<f64>, Amount;
    /// 24-hour volume of the option's newest ticker.
    volume_24h: Option<f64>, Amount;
    /// The book's version.
    change_id: Option<i64>, Id;
}

table! {
    /// The best levels of a perpetual's book at one moment.
    pub struct PerpetualOrderbookDepth in "perpetual_orderbook_depth" {
        time: "timestamp",
        identity: ["instrument", "timestamp", "sequence"],
        partition: Partition::CurrencyAndDate("instrument"),
        sql: SqlName::One("perpetuals_orderbook_depth"),
    }
    /// The exchange's time of the book.
    timestamp: Micros, Instant;
    /// When the bytes were read here.
    received_at: Micros, Instant;
    sequence;
    /// The perpetual's name.
    instrument: Name, Plain;
    /// Bids, best first: `[{"price":p,"amount":a},…]`.
    bids: Json, Plain;
    /// Asks, best first.
    asks: Json, Plain;
    /// Mark price of the newest ticker.
    mark_price: Option<f64>, Price;
    /// Index of the newest ticker.
    index_price: Option<f64>, Usd;
    /// 8-hour funding of the newest ticker.
    funding_rate: Option<f64>, Ratio;
    /// Open interest of the newest ticker.
    open_interest: Option<f64>, Amount;
    /// 24-hour volume of the newest ticker.
    volume_24h: Option<f64>, Amount;
    /// The book's version.
    change_id: Option<i64>, Id;
}
