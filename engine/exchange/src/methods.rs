//! The public methods that need no connection: the same over REST and the websocket.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::channel::{Channel, InstrumentId, Interval};
use crate::listing::Listed;
use crate::market::Market;
use crate::market::tape::Wanted;
use crate::name::day_of;
use crate::rpc::RpcError;
use crate::venue::Venue;
use crate::wire::{self, Era, write_value};

type Params = Map<String, Value>;

const CURRENCIES: [&str; 6] = ["BTC", "ETH", "USDC", "USDT", "EURR", "any"];
const KINDS: [&str; 5] = ["option", "future", "spot", "option_combo", "future_combo"];

/// The most trades of one answer.
const TRADES_MAX: i64 = 1000;

/// Answers a method at a time in µs since 1970.
pub(crate) fn call(
    venue: &Venue,
    method: &str,
    params: &Params,
    now_us: i64,
) -> Result<Value, RpcError> {
    let now_ms = now_us / 1000;
    match method {
        "public/get_time" => Ok(json!(now_ms)),
        "public/get_currencies" => Ok(currencies(venue, now_ms)),
        "public/get_instruments" => instruments(venue, params, now_ms),
        "public/get_instrument" => instrument(venue, params, now_ms),
        "public/get_expirations" => expirations(venue, params, now_ms),
        "public/get_index_price" => index_price(venue, params),
        "public/ticker" => state(venue, params, |id| Channel::Ticker(id, Interval::Raw)),
        "public/get_order_book" => order_book(venue, params),
        "public/get_book_summary_by_currency" => summaries(venue, params),
        "public/get_book_summary_by_instrument" => summary(venue, params),
        "public/get_last_trades_by_instrument"
        | "public/get_last_trades_by_instrument_and_time" => last_trades(venue, params),
        _ => Err(RpcError::no_method()),
    }
}

fn instruments(venue: &Venue, params: &Params, now_ms: i64) -> Result<Value, RpcError> {
    let wanted = wanted(params)?;
    let expired = flag(params, "expired")?;
    let listed = venue.listed(now_ms).into_iter();
    let listed = listed.filter(|it| it.is_open != expired && wanted(it));
    Ok(listed.map(|it| it.describe()).collect())
}

/// Those of a currency, `any` where none is named, and of a kind.
fn wanted(params: &Params) -> Result<impl Fn(&Listed) -> bool, RpcError> {
    let currency = optional_word(params, "currency")?.unwrap_or("any");
    if !CURRENCIES.contains(&currency) {
        return Err(RpcError::params("currency", "invalid value"));
    }
    let kind = optional_word(params, "kind")?.unwrap_or("any");
    if kind != "any" && !KINDS.contains(&kind) {
        return Err(RpcError::params("kind", "invalid value"));
    }
    Ok(move |it: &Listed| it.what.is_of(currency) && (kind == "any" || kind == it.what.kind.word()))
}

fn summaries(venue: &Venue, params: &Params) -> Result<Value, RpcError> {
    let Venue::Market(market) = venue else { return Err(RpcError::no_method()) };
    word(params, "currency")?;
    let wanted = wanted(params)?;
    let listed = venue.listed(market.now_ms()).into_iter();
    let listed = listed.filter(|it| it.is_open && wanted(it));
    let ids = listed.filter_map(|it| market.find(&it.name));
    Ok(ids.filter_map(|id| market.summary(id)).map(|data| to_json(&data)).collect())
}

fn summary(venue: &Venue, params: &Params) -> Result<Value, RpcError> {
    let (market, id) = market_instrument(venue, params)?;
    Ok(market.summary(id).iter().map(to_json).collect())
}

fn instrument(venue: &Venue, params: &Params, now_ms: i64) -> Result<Value, RpcError> {
    let name = word(params, "instrument_name")?;
    let found = venue.listed(now_ms).into_iter().find(|it| it.name == name);
    found.map(|it| it.describe()).ok_or_else(|| not_found("instrument_name"))
}

fn currencies(venue: &Venue, now_ms: i64) -> Value {
    let listed = venue.listed(now_ms);
    let names: BTreeSet<&str> = listed.iter().map(|it| it.what.currency()).collect();
    let describe = |name| json!({"currency": name, "currency_long": name, "coin_type": name});
    names.into_iter().map(describe).collect()
}

fn expirations(venue: &Venue, params: &Params, now_ms: i64) -> Result<Value, RpcError> {
    let currency = word(params, "currency")?;
    let wanted = word(params, "kind")?;
    let mut kinds = Map::new();
    for kind in ["option", "future"] {
        let listed = venue
            .listed(now_ms)
            .into_iter()
            .filter(|it| it.is_open && it.what.kind.word() == kind && it.what.is_of(currency));
        let days: BTreeSet<i64> = listed.map(|it| it.what.kind.expiry_ms()).collect();
        let name = |day: i64| match day {
            crate::name::NEVER_MS => "PERPETUAL".to_owned(),
            day => day_of(day),
        };
        if wanted == "any" || wanted == kind {
            kinds.insert(kind.to_owned(), days.into_iter().map(name).collect());
        }
    }
    Ok(json!({ currency.to_lowercase(): kinds }))
}

fn index_price(venue: &Venue, params: &Params) -> Result<Value, RpcError> {
    let name = word(params, "index_name")?;
    let Venue::Market(market) = venue else { return Err(not_found("index_name")) };
    let coin = market.coins().iter().find(|coin| coin.index_name == name);
    let coin = coin.ok_or_else(|| not_found("index_name"))?;
    Ok(json!({"index_price": coin.index, "estimated_delivery_price": coin.index}))
}

fn order_book(venue: &Venue, params: &Params) -> Result<Value, RpcError> {
    let depth = match params.get("depth").map(|depth| (depth.as_u64(), depth.as_str())) {
        None => 5,
        Some((Some(depth), _)) => depth,
        Some((None, text)) => text
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| RpcError::params("depth", "wrong format"))?,
    };
    if ![1, 5, 10, 20, 50, 100, 1000, 10_000].contains(&depth) {
        return Err(RpcError::params("depth", "invalid value"));
    }
    let depth = u8::try_from(depth).unwrap_or(u8::MAX);
    let mut book = state(venue, params, |id| Channel::Ticker(id, Interval::Raw))?;
    let window = state(venue, params, |id| Channel::Window(id, depth, Interval::Hundred))?;
    if let (Some(book), Value::Object(window)) = (book.as_object_mut(), window) {
        book.extend(window);
    }
    Ok(book)
}

/// What a channel of an instrument would say now.
fn state(
    venue: &Venue,
    params: &Params,
    channel: impl Fn(u32) -> Channel,
) -> Result<Value, RpcError> {
    let (market, id) = market_instrument(venue, params)?;
    Ok(market.state(channel(id)).map(|data| to_json(&data)).unwrap_or_default())
}

/// The trades that the channels have sent, as long as they are kept.
fn last_trades(venue: &Venue, params: &Params) -> Result<Value, RpcError> {
    let (market, id) = market_instrument(venue, params)?;
    let count = match optional_number(params, "count")?.unwrap_or(10) {
        ..1 => return Err(RpcError::params("count", "value must be >= 1")),
        count if count > TRADES_MAX => return Err(RpcError::params("count", "value is too high")),
        count => count as usize,
    };
    let ascending = match optional_word(params, "sorting")? {
        Some("asc") => true,
        None | Some("desc" | "default") => false,
        Some(_) => return Err(RpcError::params("sorting", "invalid value")),
    };
    let number = |name| optional_number(params, name);
    let seq = (number("start_seq")?, number("end_seq")?);
    let timestamp_ms = (number("start_timestamp")?, number("end_timestamp")?);
    let (trades, more) = market.trades(id, &Wanted { seq, timestamp_ms, ascending, count });
    Ok(json!({"trades": to_json(&trades), "has_more": more}))
}

/// The instrument that is asked for, open or not.
fn market_instrument<'a>(
    venue: &'a Venue,
    params: &Params,
) -> Result<(&'a Market, InstrumentId), RpcError> {
    let name = word(params, "instrument_name")?;
    let Venue::Market(market) = venue else { return Err(not_found("instrument_name")) };
    let id = market.find(name).ok_or_else(|| not_found("instrument_name"))?;
    Ok((market.as_ref(), id))
}

fn to_json(data: &wire::Value<'_>) -> Value {
    let mut text = String::new();
    write_value(&mut text, data, Era::Modern.style());
    serde_json::from_str(&text).unwrap_or_default()
}

fn not_found(param: &str) -> RpcError {
    RpcError::params(param, "instrument not found")
}

fn word<'a>(params: &'a Params, name: &str) -> Result<&'a str, RpcError> {
    optional_word(params, name)?.ok_or_else(|| RpcError::params(name, "param is required"))
}

fn optional_word<'a>(params: &'a Params, name: &str) -> Result<Option<&'a str>, RpcError> {
    match params.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(word)) => Ok(Some(word)),
        Some(_) => Err(RpcError::params(name, "wrong format")),
    }
}

/// A whole number; in a query it is a text.
fn optional_number(params: &Params, name: &str) -> Result<Option<i64>, RpcError> {
    let number = match params.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    number.map(Some).ok_or_else(|| RpcError::params(name, "wrong format"))
}

/// A flag; in a query it is a text.
fn flag(params: &Params, name: &str) -> Result<bool, RpcError> {
    match params.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(Value::String(text)) if text == "true" => Ok(true),
        Some(Value::String(text)) if text == "false" => Ok(false),
        Some(_) => Err(RpcError::params(name, "wrong format")),
    }
}
