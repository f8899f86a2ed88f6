//! An instrument as `public/get_book_summary_by_currency` sums it up: null where nothing is bid or
//! asked, and marks to eight digits where tickers have four.

use crate::channel::InstrumentId;
use crate::market::Market;
use crate::market::instrument::{Contract, More, round};
use crate::wire::Value;

impl Market {
    /// The summary; `None` before the first quote.
    pub(crate) fn summary(&self, instrument: InstrumentId) -> Option<Value<'_>> {
        let it = self.at(instrument);
        let (ticker, coin) = (it.ticker.as_ref()?, self.coins().get(usize::from(it.currency))?);
        let price = |level: Option<(i64, i64)>| level.map(|(ticks, _)| it.grid.price(ticks));
        let (bid, ask) = (price(ticker.bid), price(ticker.ask));
        let middle = bid.zip(ask).map(|(bid, ask)| round(f64::midpoint(bid, ask), 8));
        let maybe = |number: Option<f64>| number.map_or(Value::Null, Value::Float);
        let quote = match it.contract {
            Contract::Perpetual => "USD",
            Contract::Option { .. } => coin.name.as_str(),
        };
        let mut fields = vec![
            ("high", maybe(it.stats.high)),
            ("low", maybe(it.stats.low)),
            ("last", maybe(it.stats.last_price)),
            ("instrument_name", Value::Text(&it.name)),
            ("bid_price", maybe(bid)),
            ("ask_price", maybe(ask)),
            ("mid_price", maybe(middle)),
            ("open_interest", Value::Float(it.grid.amount(it.open_interest_lots))),
            ("price_change", maybe(it.stats.price_change())),
            ("volume", Value::Float(it.stats.volume)),
            ("volume_usd", Value::Float(it.stats.volume_usd)),
            ("creation_timestamp", Value::Int(self.now_ms())),
            ("base_currency", Value::Text(&coin.name)),
            ("quote_currency", Value::Text(quote)),
            ("estimated_delivery_price", Value::Float(ticker.index)),
        ];
        match &ticker.more {
            More::Option { underlying, mark_iv, .. } => {
                let exact = it.terms().map(|terms| round(terms.price(mark_iv / 100.0), 8));
                fields.extend([
                    ("mark_price", maybe(exact)),
                    ("mark_iv", Value::Float(*mark_iv)),
                    ("interest_rate", Value::Float(0.0)),
                    ("underlying_price", Value::Float(*underlying)),
                    ("underlying_index", Value::Text(it.underlying())),
                ]);
            }
            More::Perpetual { current_funding, funding_8h, .. } => fields.extend([
                ("mark_price", Value::Float(ticker.mark)),
                ("funding_8h", Value::Float(*funding_8h)),
                ("current_funding", Value::Float(*current_funding)),
                ("volume_notional", Value::Float(it.stats.volume_usd)),
            ]),
        }
        Some(Value::Object(fields))
    }
}
