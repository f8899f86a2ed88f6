//! What is asked on which connection, and in which order.

use std::time::Duration;

use serde_json::{Value, json};

use super::evidence::{Asked, Role, Step, Tape};
use super::line::{Line, LineError};
use super::pace::Pace;

/// What the script needs to know of the exchange before it can name channels.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    /// Every option of the list, in its order.
    pub(super) names: Vec<String>,
    /// Those that are listened to one by one: the middle of an expiry that is some days ahead.
    pub(super) chosen: Vec<String>,
}

impl Listing {
    /// Reads an answer to `get_instruments`; what is not there is left out.
    #[must_use]
    pub(super) fn read(answer: &str, now_ms: i64) -> Self {
        let answer: Value = serde_json::from_str(answer).unwrap_or_default();
        let entries = answer.get("result").and_then(Value::as_array);
        let mut open = Vec::new();
        let mut names = Vec::new();
        for entry in entries.into_iter().flatten() {
            let Some(name) = entry.get("instrument_name").and_then(Value::as_str) else { continue };
            names.push(name.to_owned());
            let expiry = entry.get("expiration_timestamp").and_then(Value::as_i64);
            let strike = entry.get("strike").and_then(Value::as_f64);
            if let (Some(expiry), Some(strike)) = (expiry, strike)
                && expiry > now_ms + DAY_MS
            {
                open.push((expiry, strike, name.to_owned()));
            }
        }
        let nearest = open.iter().map(|(expiry, _, _)| *expiry).min();
        open.retain(|(expiry, _, _)| Some(*expiry) == nearest);
        open.sort_by(|(_, one, _), (_, other, _)| one.total_cmp(other));
        let first = (open.len() / 2).saturating_sub(OPTIONS / 2);
        let chosen = open.into_iter().skip(first).take(OPTIONS).map(|(_, _, name)| name);
        Self { chosen: chosen.collect(), names }
    }

    /// The tickers of the chosen options.
    pub(super) fn tickers(&self) -> impl Iterator<Item = String> {
        self.chosen.iter().map(|name| format!("ticker.{name}.100ms"))
    }
}

/// The first connection: nearly every question.
pub(super) fn main(line: &mut Line<'_>, listing: &Listing, pace: &Pace) -> Result<(), LineError> {
    let mut channels: Vec<String> = MAIN.iter().map(ToString::to_string).collect();
    channels.extend(listing.tickers());
    channels.extend(UNKNOWN.iter().map(ToString::to_string));
    line.ask(Step::Subscribe, &subscribe(1, &channels))?;
    line.ask(Step::Heartbeat, &request(2, "set_heartbeat", &json!({"interval": 10})))?;
    line.ask(Step::IdNumber, &request(7, "test", &json!({})))?;
    line.ask(Step::IdText, &request("seven", "test", &json!({})))?;
    line.ask(Step::IdNone, r#"{"jsonrpc":"2.0","method":"public/test","params":{}}"#)?;
    line.ask(Step::MethodUnknown, &request(8, "no_such_method", &json!({})))?;
    line.ask(Step::SubscribeUnknown, &subscribe(11, &UNKNOWN))?;
    line.ask(Step::SubscribeRaw, &subscribe(12, &[REFUSED, RAW]))?;
    line.ask(Step::HeartbeatFast, &request(13, "set_heartbeat", &json!({"interval": 5})))?;
    line.ask(Step::SubscribeTwice, &subscribe(14, &[BOOK]))?;
    line.listen(pace.now().monotonic + SETTLE)?;
    let left = json!({ "channels": [BOOK, REFUSED, UNKNOWN[0]] });
    line.ask(Step::Unsubscribe, &request(15, "unsubscribe", &left))?;
    line.ask(Step::SubscribeAgain, &subscribe(16, &[BOOK]))?;
    trades(line)?;
    line.listen(pace.end().saturating_sub(LAST))?;
    let newest = json!({"instrument_name": PERPETUAL, "count": 1000, "sorting": "desc"});
    line.ask(Step::TradesEnd, &request(30, LAST_TRADES, &newest))?;
    line.listen(pace.end())
}

/// Trades by their numbers: how much, from where to where, how far back.
fn trades(line: &mut Line<'_>) -> Result<(), LineError> {
    let mut ask = |step, id: u32, mut params: Value| {
        params["instrument_name"] = PERPETUAL.into();
        line.ask(step, &request(id, LAST_TRADES, &params)).map(|()| newest(line.tape()))
    };
    ask(Step::TradesTooMany, 20, json!({"count": 1001}))?;
    // Without a number to start from the later questions are still asked: their answers say why.
    let newest = ask(Step::Trades, 21, json!({"count": 1000, "sorting": "desc"}))?.unwrap_or(100);
    let (from, to) = (newest - 12, newest - 3);
    let range =
        |count: u32| json!({"start_seq": from, "end_seq": to, "count": count, "sorting": "asc"});
    ask(Step::TradesRange, 22, range(1000))?;
    ask(Step::TradesPage, 23, range(4))?;
    let (from, to) = (newest + 1_000_000, newest + 1_000_009);
    ask(Step::TradesBeyond, 24, json!({"start_seq": from, "end_seq": to, "count": 10}))?;
    let oldest = json!({"start_seq": 1, "count": 1, "sorting": "asc"});
    ask(Step::TradesOldest, 25, oldest)?;
    Ok(())
}

/// The second connection: the same channels, to compare.
pub(super) fn twin(line: &mut Line<'_>, listing: &Listing, pace: &Pace) -> Result<(), LineError> {
    let mut channels: Vec<String> = TWIN.iter().map(ToString::to_string).collect();
    channels.extend(listing.tickers());
    line.ask(Step::Subscribe, &subscribe(1, &channels))?;
    line.listen(pace.end())
}

/// A connection that subscribes nothing.
pub(super) fn idle(line: &mut Line<'_>, pace: &Pace) -> Result<(), LineError> {
    line.ask(Step::Heartbeat, &request(1, "set_heartbeat", &json!({"interval": 10})))?;
    line.listen(pace.end())
}

/// A connection with more channels than one call may name. Trades: they send nothing at first.
pub(super) fn crowd(line: &mut Line<'_>, listing: &Listing, pace: &Pace) -> Result<(), LineError> {
    let channels = |from: usize, count: usize| -> Vec<String> {
        let names = listing.names.iter().skip(from).take(count);
        names.map(|name| format!("trades.{name}.100ms")).collect()
    };
    line.ask(Step::CrowdFirst, &subscribe(1, &channels(0, CALL_CHANNELS)))?;
    line.ask(Step::CrowdSecond, &subscribe(2, &channels(CALL_CHANNELS, CALL_CHANNELS)))?;
    line.ask(Step::CrowdMore, &subscribe(3, &channels(2 * CALL_CHANNELS, 1)))?;
    line.listen(pace.now().monotonic + SETTLE)
}

/// A connection that may be hung up on for what it says.
pub(super) fn crude(line: &mut Line<'_>) -> Result<(), LineError> {
    line.ask(Step::JsonInvalid, r#"{"jsonrpc":"2.0","id":1,"method":"#)?;
    line.ask(Step::JsonAfter, &request(2, "test", &json!({})))
}

/// The host for subscriptions: whether it answers and sends.
pub(super) fn streams(line: &mut Line<'_>, pace: &Pace) -> Result<(), LineError> {
    line.ask(Step::Subscribe, &subscribe(1, &[PERPETUAL_TICKER]))?;
    line.ask(Step::Instruments, &request(2, "get_time", &json!({})))?;
    line.listen(pace.now().monotonic + SETTLE)
}

/// What the REST interface was asked.
#[must_use]
pub(super) fn rest(asked: Asked) -> Tape {
    let mut tape = Tape::new(Role::Rest, asked.sent);
    tape.asked.push(asked);
    tape
}

/// The number of the newest trade in the answer that came last.
fn newest(tape: &Tape) -> Option<i64> {
    let answer = tape.asked.last()?.answer.as_ref()?;
    let answer: Value = serde_json::from_str(&answer.text).ok()?;
    let trades = answer.pointer("/result/trades")?.as_array()?;
    trades.iter().filter_map(|trade| trade.get("trade_seq")?.as_i64()).max()
}

fn subscribe(id: u32, channels: &[impl AsRef<str>]) -> String {
    let channels: Vec<&str> = channels.iter().map(AsRef::as_ref).collect();
    request(id, "subscribe", &json!({ "channels": channels }))
}

fn request(id: impl Into<Value>, method: &str, params: &Value) -> String {
    let (id, method) = (id.into(), format!("public/{method}"));
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

/// The question about the list, for the REST interface.
pub(super) const LIST: &str = "get_instruments?currency=BTC&kind=option&expired=false";
pub(super) const PERPETUAL: &str = "BTC-PERPETUAL";
pub(super) const PERPETUAL_TICKER: &str = "ticker.BTC-PERPETUAL.100ms";
pub(super) const BOOK: &str = "book.BTC-PERPETUAL.100ms";
pub(super) const BOOK_SLOW: &str = "book.BTC-PERPETUAL.agg2";
pub(super) const TRADES: &str = "trades.BTC-PERPETUAL.100ms";
pub(super) const OPTION_TRADES: [&str; 2] = ["trades.option.BTC.100ms", "trades.option.ETH.100ms"];
pub(super) const MARKS: &str = "markprice.options.btc_usd";
pub(super) const INDEX: &str = "deribit_price_index.eth_usd";
pub(super) const PLATFORM: &str = "platform_state";
pub(super) const STATES: &str = "instrument.state.any.any";
/// Good, but only ever asked for together with a raw one.
pub(super) const REFUSED: &str = "deribit_price_index.btc_usd";
const RAW: &str = "book.BTC-PERPETUAL.raw";
/// A wrong instrument, a wrong interval and a wrong class.
pub(super) const UNKNOWN: [&str; 3] =
    ["book.NOPE-PERPETUAL.100ms", "ticker.BTC-PERPETUAL.50ms", "bogus.channel"];
const MAIN: [&str; 10] = [
    BOOK,
    PERPETUAL_TICKER,
    TRADES,
    BOOK_SLOW,
    OPTION_TRADES[0],
    OPTION_TRADES[1],
    MARKS,
    INDEX,
    PLATFORM,
    STATES,
];
const TWIN: [&str; 3] = [BOOK, PERPETUAL_TICKER, TRADES];
const LAST_TRADES: &str = "get_last_trades_by_instrument";
/// How many options are listened to one by one.
const OPTIONS: usize = 4;
/// How many channels one call names; the exchange documents 500 at most.
pub(super) const CALL_CHANNELS: usize = 250;
/// How long something is given to happen, or not to.
const SETTLE: Duration = Duration::from_secs(2);
/// How long before the end the last question is asked.
const LAST: Duration = Duration::from_secs(2);
const DAY_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, end: i64, strike: f64) -> Value {
        json!({"instrument_name": name, "expiration_timestamp": end, "strike": strike})
    }

    #[test]
    fn the_middle_of_the_next_expiry_but_todays_is_chosen() {
        let mut list = vec![entry("TODAY", 1_000, 50.0), entry("LATER", 3 * DAY_MS, 50.0)];
        let strikes = [9.0, 1.0, 5.0, 4.0, 6.0, 2.0, 8.0];
        list.extend(strikes.map(|strike| entry(&format!("S{strike}"), 2 * DAY_MS, strike)));
        let listing = Listing::read(&json!({ "result": list }).to_string(), 0);
        assert_eq!(listing.chosen, ["S2", "S4", "S5", "S6"]);
        assert_eq!(listing.names.len(), 9);
        assert!(Listing::read("no list", 0).names.is_empty());
    }
}
