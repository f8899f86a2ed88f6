//! What the exchange quotes: tickers, the perpetual's interest, index prices.

use crate::{Micros, Name, Partition, SqlName, table};

table! {
    /// One ticker of one option: best bid and ask, mark, volatilities, greeks, open interest.
    pub struct OptionQuote in "option_quotes" {
        time: "timestamp",
        identity: ["instrument", "timestamp", "sequence"],
        partition: Partition::CurrencyAndDate("instrument"),
        sql: SqlName::PerCurrency("option_quotes"),
    }
    /// The exchange's time of the ticker (`timestamp`, sent in milliseconds).
    timestamp: Micros, Instant;
    /// When the bytes were read here.
    received_at: Micros, Instant;
    sequence;
    /// The option's name.
    instrument: Name, Plain;
    /// Best bid; 0.0 when there is none, as sent.
    best_bid_price: Option<f64>, Price;
    /// Amount at the best bid; 0.0 when there is none.
    best_bid_amount: Option<f64>, Amount;
    /// Best ask; 0.0 when there is none, as sent.
    best_ask_price: Option<f64>, Price;
    /// Amount at the best ask; 0.0 when there is none.
    best_ask_amount: Option<f64>, Amount;
    /// Price of the underlying future or index that the mark is computed from.
    underlying_price: Option<f64>, Usd;
    /// The exchange's mark price.
    mark_price: Option<f64>, Price;
    /// `greeks.delta`.
    delta: Option<f64>, Delta;
    /// `greeks.gamma`.
    gamma: Option<f64>, PerUsd;
    /// `greeks.theta`.
    theta: Option<f64>, UsdPerDay;
    /// `greeks.vega`.
    vega: Option<f64>, UsdPerVolPoint;
    /// `greeks.rho`.
    rho: Option<f64>, UsdPerRatePoint;
    /// The same number as `mark_iv`, under the predecessor's name.
    implied_volatility: Option<f64>, Percent;
    /// Volatility implied by the best bid; 0.0 when there is none.
    bid_iv: Option<f64>, Percent;
    /// Volatility implied by the best ask; 0.0 when there is none.
    ask_iv: Option<f64>, Percent;
    /// Volatility of the mark price.
    mark_iv: Option<f64>, Percent;
    /// Open contracts, in units of the underlying coin.
    open_interest: Option<f64>, Amount;
    /// Price of the last trade; missing when there was none.
    last_price: Option<f64>, Price;
    /// `stats.volume`: traded in the last 24 hours.
    volume_24h: Option<f64>, Amount;
    /// `state`: open, closed, and whatever else the exchange names.
    state: Option<Name>, Plain;
    /// `underlying_index`: the future's name, `SYN.…` or `index_price`.
    underlying_index: Option<Name>, Plain;
    /// The underlying index.
    index_price: Option<f64>, Usd;
    /// Mark at the last daily settlement; not sent for fresh options.
    settlement_price: Option<f64>, Price;
    /// Final price at expiry; sent once the option is closed.
    delivery_price: Option<f64>, Usd;
    /// Estimated delivery price; missing where the exchange sends the text "expired".
    estimated_delivery_price: Option<f64>, Usd;
    /// Lowest price that an order may have.
    min_price: Option<f64>, Price;
    /// Highest price that an order may have.
    max_price: Option<f64>, Price;
    /// Interest rate used for the mark.
    interest_rate: Option<f64>, Ratio;
    /// `stats.high`: highest trade of 24 hours.
    high_24h: Option<f64>, Price;
    /// `stats.low`: lowest trade of 24 hours.
    low_24h: Option<f64>, Price;
    /// `stats.price_change` of 24 hours.
    price_change_24h: Option<f64>, Percent;
    /// `stats.volume_usd`.
    volume_usd_24h: Option<f64>, Usd;
}

table! {
    /// One ticker of one perpetual future.
    pub struct PerpetualQuote in "perpetual_quotes" {
        time: "timestamp",
        identity: ["instrument", "timestamp", "sequence"],
        partition: Partition::CurrencyAndDate("instrument"),
        sql: SqlName::One("perpetuals_quotes"),
    }
    /// The exchange's time of the ticker (`timestamp`, sent in milliseconds).
    timestamp: Micros, Instant;
    /// When the bytes were read here.
    received_at: Micros, Instant;
    sequence;
    /// The perpetual's name.
    instrument: Name, Plain;
    /// Best bid; 0.0 when there is none.
    best_bid_price: Option<f64>, Price;
    /// Amount at the best bid.
    best_bid_amount: Option<f64>, Amount;
    /// Best ask; 0.0 when there is none.
    best_ask_price: Option<f64>, Price;
    /// Amount at the best ask.
    best_ask_amount: Option<f64>, Amount;
    /// The exchange's mark price.
    mark_price: Option<f64>, Price;
    /// The index that the perpetual follows.
    index_price: Option<f64>, Usd;
    /// `funding_8h`: funding of the last 8 hours.
    funding_rate: Option<f64>, Ratio;
    /// Open contracts.
    open_interest: Option<f64>, Amount;
    /// `current_funding`: the rate at this moment.
    current_funding: Option<f64>, Ratio;
    /// `interest_value`: what the 8-hour funding is computed from.
    interest_value: Option<f64>, Ratio;
    /// Price of the last trade.
    last_price: Option<f64>, Price;
    /// `state`.
    state: Option<Name>, Plain;
    /// Mark at the last daily settlement.
    settlement_price: Option<f64>, Price;
    /// Final price; sent when closed.
    delivery_price: Option<f64>, Usd;
    /// Estimated delivery price; missing where the exchange sends a text.
    estimated_delivery_price: Option<f64>, Usd;
    /// Lowest price that an order may have.
    min_price: Option<f64>, Price;
    /// Highest price that an order may have.
    max_price: Option<f64>, Price;
    /// `stats.high`: highest trade of 24 hours.
    high_24h: Option<f64>, Price;
    /// `stats.low`: lowest trade of 24 hours.
    low_24h: Option<f64>, Price;
    /// `stats.price_change` of 24 hours.
    price_change_24h: Option<f64>, Percent;
    /// `stats.volume`: traded in 24 hours, in the base coin.
    volume_24h: Option<f64>, Amount;
    /// `stats.volume_usd`.
    volume_usd_24h: Option<f64>, Usd;
    /// `stats.volume_notional`.
    volume_notional_24h: Option<f64>, Usd;
}

table! {
    /// One message of a perpetual's own channel (`perpetual.X`): index and interest.
    pub struct PerpetualInterest in "perpetual_interest" {
        time: "timestamp",
        identity: ["instrument", "timestamp", "sequence"],
        partition: Partition::CurrencyAndDate("instrument"),
        sql: SqlName::One("perpetuals_interest"),
    }
    /// The exchange's time of the message.
    timestamp: Micros, Instant;
    /// When the bytes were read here.
    received_at: Micros, Instant;
    sequence;
    /// The perpetual's name.
    instrument: Name, Plain;
    /// The index that the perpetual follows.
    index_price: Option<f64>, Usd;
    /// `interest`: the current interest rate.
    interest: Option<f64>, Ratio;
}

table! {
    /// One price of an index (`deribit_price_index.X`).
    pub struct IndexTick in "index_ticks" {
        time: "timestamp",
        identity: ["index_name", "timestamp", "sequence"],
        partition: Partition::CurrencyAndDate("index_name"),
        sql: SqlName::One("index_ticks"),
    }
    /// The exchange's time of the price.
    timestamp: Micros, Instant;
    /// When the bytes were read here.
    received_at: Micros, Instant;
    sequence;
    /// The index's name: `btc_usd`.
    index_name: Name, Plain;
    /// The index.
    price: f64, Usd;
}
