//! What was traded.

use crate::{Micros, Name, Partition, SqlName, Text, table};

table! {
    /// One trade of one option.
    pub struct OptionTrade in "option_trades" {
        time: "timestamp",
        identity: ["instrument", "trade_seq"],
        partition: Partition::CurrencyAndDate("instrument"),
        sql: SqlName::PerCurrency("option_trades"),
    }
    /// The exchange's time of the trade (`timestamp`, sent in milliseconds).
    timestamp: Micros, Instant;
    /// When the bytes were read here.
    received_at: Micros, Instant;
    sequence;
    /// The option's name.
    instrument: Name, Plain;
    /// The exchange's id: unique in a currency, a text.
    trade_id: Text, Plain;
    /// Price.
    price: f64, Price;
    /// Amount.
    amount: f64, Amount;
    /// The taker's side: `buy` or `sell`.
    direction: Name, Plain;
    /// Volatility implied by the price.
    iv: Option<f64>, Percent;
    /// The index when it was traded.
    index_price: Option<f64>, Usd;
    /// The instrument's own counter of trades: contiguous from 1.
    trade_seq: i64, Id;
    /// 0 plus tick, 1 zero-plus, 2 minus, 3 zero-minus.
    tick_direction: Option<i64>, Id;
    /// The mark price when it was traded.
    mark_price: Option<f64>, Price;
    /// Number of contracts.
    contracts: Option<f64>, Contracts;
    /// Who was liquidated: `M` maker, `T` taker, `MT` both; missing for ordinary trades.
    liquidation: Option<Name>, Plain;
    /// The block trade that this is a leg of.
    block_trade_id: Option<Text>, Plain;
    /// Legs of that block trade.
    block_trade_leg_count: Option<i64>, Count;
    /// The combo whose trade made this leg.
    combo_id: Option<Name>, Plain;
    /// The combo's trade that made this leg.
    combo_trade_id: Option<Text>, Plain;
    /// The block request for quote behind the trade.
    block_rfq_id: Option<i64>, Id;
    /// Match id of the exchange's newer engine; beyond 2^53.
    starbase_match_id: Option<i64>, Id;
    /// Time of the newer engine.
    starbase_timestamp: Option<i64>, Nanoseconds;
    /// True for a trade that was asked for again, because it had not arrived when it happened:
    /// `received_at` is then the answer's. Missing for all others.
    repaired: Option<bool>, Plain;
}

table! {
    /// One trade of one perpetual future.
    pub struct PerpetualTrade in "perpetual_trades" {
        time: "timestamp",
        identity: ["instrument", "trade_seq"],
        partition: Partition::CurrencyAndDate("instrument"),
        sql: SqlName::One("perpetuals_trades"),
    }
    /// The exchange's time of the trade (`timestamp`, sent in milliseconds).
    timestamp: Micros, Instant;
    /// When the bytes were read here.
    received_at: Micros, Instant;
    sequence;
    /// The perpetual's name.
    instrument: Name, Plain;
    /// The exchange's id: unique in a currency, a text.
    trade_id: Text, Plain;
    /// Price.
    price: f64, Price;
    /// Amount.
    amount: f64, Amount;
    /// The taker's side: `buy` or `sell`.
    direction: Name, Plain;
    /// 0 plus tick, 1 zero-plus, 2 minus, 3 zero-minus.
    tick_direction: Option<i64>, Id;
    /// Whether either side was liquidated: the exchange sent the key `liquidation`.
    liquidation: bool, Plain;
    /// Who was liquidated: `M` maker, `T` taker, `MT` both.
    liquidation_side: Option<Name>, Plain;
    /// The index when it was traded.
    index_price: Option<f64>, Usd;
    /// The instrument's own counter of trades: contiguous from 1.
    trade_seq: i64, Id;
    /// The mark price when it was traded.
    mark_price: Option<f64>, Price;
    /// Number of contracts.
    contracts: Option<f64>, Contracts;
    /// The block trade that this is a leg of.
    block_trade_id: Option<Text>, Plain;
    /// Legs of that block trade.
    block_trade_leg_count: Option<i64>, Count;
    /// The combo whose trade made this leg.
    combo_id: Option<Name>, Plain;
    /// The combo's trade that made this leg.
    combo_trade_id: Option<Text>, Plain;
    /// The block request for quote behind the trade.
    block_rfq_id: Option<i64>, Id;
    /// Match id of the exchange's newer engine; beyond 2^53.
    starbase_match_id: Option<i64>, Id;
    /// Time of the newer engine.
    starbase_timestamp: Option<i64>, Nanoseconds;
    /// True for a trade that was asked for again, because it had not arrived when it happened:
    /// `received_at` is then the answer's. Missing for all others.
    repaired: Option<bool>, Plain;
}
