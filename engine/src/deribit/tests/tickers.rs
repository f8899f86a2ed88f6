//! Tickers and what hangs on them: indices and interest.

use super::*;

const CHANNEL: &str = "ticker.BTC-1JAN27-90000-C.100ms";

const FULL: &str = r#"{"timestamp":1799000000123,"state":"open","stats":{"high":0.0625,
"low":5.5e-2,"price_change":-3.25,"volume":12.5,"volume_usd":70125.75},"greeks":{"delta":0.4375,
"gamma":1.25e-5,"vega":101.5,"theta":-44.25,"rho":31.125},"index_price":88123.5,
"instrument_name":"BTC-1JAN27-90000-C","last_price":null,"settlement_price":0.058,
"min_price":0.001,"max_price":2.0e-1,"open_interest":410,"mark_price":0.0581,
"interest_rate":0,"estimated_delivery_price":88123.5,"best_ask_price":0.0585,
"best_bid_price":0.0,"mark_iv":51.25,"bid_iv":0.0,"ask_iv":"51.5","underlying_price":8.8250e4,
"underlying_index":"BTC-1JAN27","best_ask_amount":7.5,"best_bid_amount":0.0}"#;

#[test]
fn an_option_ticker_is_a_row() {
    let mut bench = Bench::new();
    bench.decode(CHANNEL, FULL);
    let rows = table(&mut bench.rows.option_quotes);
    assert_eq!(rows.len(), 1);
    let expected = [
        ("timestamp", "1799000000123000"),
        ("received_at", "1800000000000007"),
        ("sequence", "0"),
        ("instrument", OPTION),
        ("best_bid_price", "0.0"),
        ("best_bid_amount", "0.0"),
        ("best_ask_price", "0.0585"),
        ("best_ask_amount", "7.5"),
        ("underlying_price", "88250.0"),
        ("mark_price", "0.0581"),
        ("delta", "0.4375"),
        ("gamma", "1.25e-5"),
        ("theta", "-44.25"),
        ("vega", "101.5"),
        ("rho", "31.125"),
        ("implied_volatility", "51.25"),
        ("bid_iv", "0.0"),
        ("ask_iv", "51.5"),
        ("mark_iv", "51.25"),
        ("open_interest", "410.0"),
        ("volume_24h", "12.5"),
        ("state", "open"),
        ("underlying_index", "BTC-1JAN27"),
        ("index_price", "88123.5"),
        ("settlement_price", "0.058"),
        ("estimated_delivery_price", "88123.5"),
        ("min_price", "0.001"),
        ("max_price", "0.2"),
        ("interest_rate", "0.0"),
        ("high_24h", "0.0625"),
        ("low_24h", "0.055"),
        ("price_change_24h", "-3.25"),
        ("volume_usd_24h", "70125.75"),
    ];
    same(&rows[0], &expected);
    let tally = bench.decoder.tally();
    assert_eq!((tally.rows.of(Stored::OptionQuotes), tally.unknown_fields.len()), (1, 0));
}

#[test]
fn a_perpetual_ticker_is_a_row() {
    let mut bench = Bench::new();
    let data = r#"{"funding_8h":-2.5e-5,"current_funding":0.0,"interest_value":0.125,
        "best_bid_amount":10,"best_bid_price":88000,"best_ask_price":88000.5,
        "best_ask_amount":2.5e3,"open_interest":900000000,"mark_price":88000.25,
        "instrument_name":"ETH_USDC-PERPETUAL","last_price":88001.0,"index_price":87990.0,
        "stats":{"volume":1.5,"volume_notional":3.0,"volume_usd":2.0,"price_change":null,
        "low":1,"high":2},"state":"open","timestamp":1799000000001}"#;
    bench.decode("ticker.ETH_USDC-PERPETUAL.raw", data);
    let rows = table(&mut bench.rows.perpetual_quotes);
    assert_eq!(rows.len(), 1);
    let expected = [
        ("timestamp", "1799000000001000"),
        ("received_at", "1800000000000007"),
        ("sequence", "0"),
        ("instrument", "ETH_USDC-PERPETUAL"),
        ("best_bid_price", "88000.0"),
        ("best_bid_amount", "10.0"),
        ("best_ask_price", "88000.5"),
        ("best_ask_amount", "2500.0"),
        ("mark_price", "88000.25"),
        ("index_price", "87990.0"),
        ("funding_rate", "-2.5e-5"),
        ("open_interest", "900000000.0"),
        ("current_funding", "0.0"),
        ("interest_value", "0.125"),
        ("last_price", "88001.0"),
        ("state", "open"),
        ("high_24h", "2.0"),
        ("low_24h", "1.0"),
        ("volume_24h", "1.5"),
        ("volume_usd_24h", "2.0"),
        ("volume_notional_24h", "3.0"),
    ];
    same(&rows[0], &expected);
}

/// The same object with its keys in another order, at every level.
fn shuffled(json: &str, random: &mut Random) -> String {
    fn shuffle(value: &serde_json::Value, random: &mut Random) -> serde_json::Value {
        let Some(object) = value.as_object() else { return value.clone() };
        let mut entries: Vec<_> =
            object.iter().map(|(key, value)| (key.clone(), shuffle(value, random))).collect();
        for last in (1..entries.len()).rev() {
            entries.swap(last, random.below(last + 1));
        }
        serde_json::Value::Object(entries.into_iter().collect())
    }
    shuffle(&serde_json::from_str(json).unwrap(), random).to_string()
}

#[test]
fn key_order_does_not_matter_and_a_repeat_is_dropped() {
    let (mut bench, mut random) = (Bench::new(), Random(1));
    for _ in 0..50 {
        bench.decode(CHANNEL, &shuffled(FULL, &mut random));
    }
    assert_eq!(table(&mut bench.rows.option_quotes).len(), 1);
    assert_eq!(bench.duplicates(Stored::OptionQuotes), 49);
}

#[test]
fn a_tick_that_differs_in_one_field_is_kept() {
    let mut bench = Bench::new();
    let other = FULL.replace(r#""best_bid_amount":0.0"#, r#""best_bid_amount":0.5"#);
    bench.decode(CHANNEL, FULL).decode(CHANNEL, &other).decode(CHANNEL, FULL);
    assert_eq!(table(&mut bench.rows.option_quotes).len(), 3);
    assert_eq!(bench.duplicates(Stored::OptionQuotes), 0);
}

#[test]
fn a_resumed_ticker_is_a_repeat() {
    let mut before = Bench::new();
    before.decode(CHANNEL, FULL);
    let stored = before.rows.option_quotes.take(Origin::default()).unwrap().number(1, 0);
    let ticker = Some(schema::Digest::default().of(&stored, 0));

    let mut bench = Bench::new();
    bench.decoder.resume(OPTION, LastIdentity { ticker, ..LastIdentity::default() });
    bench.decode(CHANNEL, FULL);
    assert_eq!((bench.rows.rows(), bench.duplicates(Stored::OptionQuotes)), (0, 1));
}

#[test]
fn an_expired_option_says_so_in_words() {
    let mut bench = Bench::new();
    let data = r#"{"timestamp":1799000000123,"instrument_name":"BTC-1JAN27-90000-C",
        "state":"closed","estimated_delivery_price":"expired","delivery_price":"88123.25"}"#;
    bench.decode(CHANNEL, data);
    let rows = table(&mut bench.rows.option_quotes);
    assert_eq!(cell(&rows[0], "estimated_delivery_price"), "missing");
    assert_eq!(cell(&rows[0], "delivery_price"), "88123.25");
    assert_eq!(cell(&rows[0], "state"), "closed");
    assert_eq!(bench.decoder.tally().words_for_numbers, 1);
}

#[test]
fn unknown_fields_are_counted_with_a_sample() {
    let mut bench = Bench::new();
    let long = "z".repeat(500);
    let data = format!(
        r#"{{"timestamp":1799000000123,"new":{{"a":[1,2]}},"instrument_name":"{OPTION}",
        "greeks":{{"delta":0.5,"vanna":"{long}"}}}}"#
    );
    for _ in 0..3 {
        bench.decode(CHANNEL, &data);
    }
    let unknown = &bench.decoder.tally().unknown_fields;
    assert_eq!(unknown.keys().collect::<Vec<_>>(), ["ticker.greeks.vanna", "ticker.new"]);
    let new = &unknown["ticker.new"];
    assert_eq!((new.count, &*new.sample), (3, r#"{"a":[1,2]}"#));
    assert_eq!(unknown["ticker.greeks.vanna"].sample.len(), 200);
    assert_eq!(cell(&table(&mut bench.rows.option_quotes)[0], "delta"), "0.5");
}

#[test]
fn indices_and_interest_are_rows() {
    let mut bench = Bench::new();
    let price = r#"{"price":2.5e3,"index_name":"eth_usd","timestamp":1799000000000}"#;
    bench.decode("deribit_price_index.eth_usd", price);
    bench.decode("deribit_price_index.eth_usd", price);
    let interest = r#"{"interest":1.5e-4,"index_price":2500,"timestamp":1799000000000}"#;
    bench.decode("perpetual.ETH-PERPETUAL.100ms", interest);
    bench.decode("perpetual.ETH-PERPETUAL.100ms", interest);
    let ticks = table(&mut bench.rows.index_ticks);
    assert_eq!(ticks.len(), 1);
    assert_eq!(cell(&ticks[0], "index_name"), "eth_usd");
    assert_eq!(cell(&ticks[0], "price"), "2500.0");
    let interest = table(&mut bench.rows.perpetual_interest);
    assert_eq!(interest.len(), 1);
    assert_eq!(cell(&interest[0], "interest"), "0.00015");
    assert_eq!(cell(&interest[0], "index_price"), "2500.0");
    assert_eq!(bench.decoder.tally().duplicates_dropped.sum(), 2);
}

#[test]
fn what_has_no_table_is_counted_by_kind() {
    let mut bench = Bench::new();
    for channel in [
        "quote.BTC-PERPETUAL",
        "quote.BTC-1JAN27",
        "ticker.BTC-1JAN27.100ms",
        "ticker.BTC_USDT.100ms",
        "ticker.BTC-CS-1JAN27-70000_75000.100ms",
        "chart.trades.BTC-PERPETUAL.1",
        "platform_state",
    ] {
        bench.decode(channel, "{}");
    }
    let counted: Vec<_> =
        bench.decoder.tally().unsupported.iter().map(|(name, count)| (&**name, *count)).collect();
    let expected = [
        ("chart.trades", 1),
        ("platform_state", 1),
        ("quote", 2),
        ("ticker of a combo", 1),
        ("ticker of a future", 1),
        ("ticker of a spot pair", 1),
    ];
    assert_eq!(counted, expected);
    assert_eq!(bench.rows.rows(), 0);
}
