//! Instruments as `public/get_instruments` describes them (the fields of 2026).

use serde_json::{Map, Value, json};

use crate::black::Right;
use crate::name::{Kind, Name};

/// One instrument to describe.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) what: Name,
    /// A number that stays with the instrument.
    pub(crate) id: u64,
    /// ms since 1970.
    pub(crate) created_ms: i64,
    /// `day`, `week`, `month` or `perpetual`.
    pub(crate) period: &'static str,
    pub(crate) is_open: bool,
}

/// How a kind's prices and amounts are spaced: tick size, contract size, least amount.
struct Sizes {
    tick: f64,
    contract: f64,
    least: f64,
}

impl Listed {
    /// The description; keys stand in no meaningful order on the wire either.
    pub(crate) fn describe(&self) -> Value {
        let what = &self.what;
        let sizes = sizes(what);
        let linear = what.counter.is_some();
        let option = matches!(what.kind, Kind::Option { .. } | Kind::OptionCombo);
        let counter = what.counter.as_deref().unwrap_or("USD");
        let quote = if option && !linear { what.base.as_str() } else { counter };
        let mut fields = Map::new();
        let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
        put("state", json!(if self.is_open { "open" } else { "delivered" }));
        put("price_index", json!(what.index()));
        put("kind", json!(what.kind.word()));
        put("instrument_name", json!(self.name));
        put("maker_commission", json!(if option { 3e-4 } else { 0.0 }));
        put("taker_commission", json!(if option { 3e-4 } else { 5e-4 }));
        put("instrument_type", json!(if linear { "linear" } else { "reversed" }));
        put("underlying_type", json!("crypto"));
        put("expiration_timestamp", json!(what.kind.expiry_ms()));
        put("instrument_id", json!(self.id));
        put("product_group", json!(what.base));
        put("creation_timestamp", json!(self.created_ms));
        put("is_active", json!(self.is_open));
        put("contract_size", json!(sizes.contract));
        put("tick_size", json!(sizes.tick));
        put("counter_currency", json!(counter));
        put("min_trade_amount", json!(sizes.least));
        put("block_trade_commission", json!(if option { 3e-4 } else { 2.5e-4 }));
        put("block_trade_min_trade_amount", json!(if option { 25 } else { 200_000 }));
        put("block_trade_tick_size", json!(if option { 1e-4 } else { 0.01 }));
        put("settlement_currency", json!(what.currency()));
        put("settlement_period", json!(self.period));
        put("base_currency", json!(what.base));
        put("index_id", json!(if what.base == "BTC" { 1_000_033 } else { 1_000_034 }));
        put("quote_currency", json!(quote));
        let steps = match what.kind {
            Kind::Option { .. } if !linear => json!([{"tick_size": 5e-4, "above_price": 5e-3}]),
            _ => json!([]),
        };
        put("tick_size_steps", steps);
        put("lot_size", json!(1));
        put("base_currency_uuid", json!(uuid(&what.base)));
        put("quote_currency_uuid", json!(uuid(quote)));
        match what.kind {
            Kind::Option { strike, right, .. } => {
                put("strike", json!(strike));
                put("option_type", json!(if right == Right::Call { "call" } else { "put" }));
            }
            Kind::Perpetual | Kind::Future { .. } => {
                put("future_type", json!(if linear { "linear" } else { "reversed" }));
                put("max_leverage", json!(50));
                put("max_non_default_leverage", json!(5.0));
                put("max_liquidation_commission", json!(0.0075));
            }
            Kind::Spot | Kind::OptionCombo | Kind::FutureCombo => {}
        }
        Value::Object(fields)
    }
}

fn sizes(what: &Name) -> Sizes {
    let sizes = |tick, contract, least| Sizes { tick, contract, least };
    match (what.kind, what.base.as_str(), what.counter.is_some()) {
        (Kind::Option { .. } | Kind::OptionCombo, "BTC", false) => sizes(1e-4, 1.0, 0.1),
        (Kind::Option { .. } | Kind::OptionCombo, _, false) => sizes(1e-4, 1.0, 1.0),
        (Kind::Option { .. } | Kind::OptionCombo, _, true) => sizes(1e-4, 1.0, 1.0),
        (Kind::Spot, _, _) => sizes(1e-2, 1e-4, 1e-4),
        (_, "BTC", false) => sizes(0.5, 10.0, 10.0),
        (_, "ETH", false) => sizes(0.05, 1.0, 1.0),
        (_, _, _) => sizes(1e-3, 1.0, 1.0),
    }
}

/// A stable name-shaped number for a currency; nobody reads it.
fn uuid(currency: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in currency.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let (high, low) = (hash >> 32, hash & 0xffff_ffff);
    format!("{high:08x}-{:04x}-5000-8000-{low:08x}0000", low & 0xffff)
}
