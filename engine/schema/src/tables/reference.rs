//! What there is to trade.

use crate::{Json, Micros, Name, Partition, SqlName, Text, table};

table! {
    /// One observation of one instrument of any kind, as `public/get_instruments` describes it.
    /// The newest row of a name is its present state; older rows are its history.
    pub struct InstrumentRow in "instruments" {
        time: "observed_at",
        identity: ["instrument_name", "observed_at"],
        partition: Partition::Whole,
        sql: SqlName::One("instruments"),
    }
    /// When the exchange was asked.
    observed_at: Micros, Instant;
    /// When the answer was read here.
    received_at: Micros, Instant;
    sequence;
    /// The instrument's name.
    instrument_name: Text, Plain;
    /// option, future, spot, future_combo, option_combo.
    kind: Option<Name>, Plain;
    /// What stands before the name's first dash.
    currency: Name, Plain;
    /// The exchange's state: open, locked, settlement, delivered, inactive, halted, archivized.
    state: Option<Name>, Plain;
    /// `is_active`.
    is_active: Option<bool>, Plain;
    /// `reversed` or `linear`.
    instrument_type: Option<Name>, Plain;
    /// The exchange's number of the instrument.
    instrument_id: Option<i64>, Id;
    /// `call` or `put`.
    option_type: Option<Name>, Plain;
    /// Strike of an option.
    strike: Option<f64>, Usd;
    /// When it expires; the year 3000 for perpetuals.
    expiration_timestamp: Option<Micros>, Instant;
    /// When it was listed.
    creation_timestamp: Option<Micros>, Instant;
    /// `day`, `week`, `month` or `perpetual`.
    settlement_period: Option<Name>, Plain;
    /// Base currency.
    base_currency: Option<Name>, Plain;
    /// Quote currency.
    quote_currency: Option<Name>, Plain;
    /// Counter currency.
    counter_currency: Option<Name>, Plain;
    /// Currency of settlement.
    settlement_currency: Option<Name>, Plain;
    /// The index that it settles to.
    price_index: Option<Name>, Plain;
    /// Smallest price step.
    tick_size: Option<f64>, Price;
    /// Larger steps at higher prices: `[{"tick_size":t,"above_price":p},…]`.
    tick_size_steps: Option<Json>, Plain;
    /// Amount of one contract.
    contract_size: Option<f64>, Amount;
    /// Smallest amount of a trade.
    min_trade_amount: Option<f64>, Amount;
    /// Maker's commission.
    maker_commission: Option<f64>, Ratio;
    /// Taker's commission.
    taker_commission: Option<f64>, Ratio;
}

table! {
    /// One option as the predecessor's queries expect it. Kept by the database alone, from
    /// `instruments` and the times at which an option was first and last seen.
    pub struct InstrumentMetadata in "instrument_metadata" {
        time: "updated_at",
        identity: ["instrument_name"],
        partition: Partition::SqlOnly,
        sql: SqlName::One("instrument_metadata"),
    }
    /// When the row last changed.
    updated_at: Micros, Instant;
    /// When the row was made.
    created_at: Micros, Instant;
    sequence;
    /// The option's name.
    instrument_name: Text, Plain;
    /// What stands before the name's first dash.
    currency: Text, Plain;
    /// `option`.
    instrument_type: Option<Text>, Plain;
    /// Strike.
    strike_price: Option<f64>, Usd;
    /// When it expires.
    expiry_date: Option<Micros>, Instant;
    /// `call` or `put`.
    option_type: Option<Text>, Plain;
    /// Whether it still trades.
    is_active: bool, Plain;
    /// When it was first listed.
    listed_at: Option<Micros>, Instant;
    /// When it expired.
    expired_at: Option<Micros>, Instant;
    /// When it was last on the exchange's list.
    last_seen_at: Option<Micros>, Instant;
}
