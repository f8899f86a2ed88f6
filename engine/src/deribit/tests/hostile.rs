//! Messages that no exchange should send.

use super::super::Tally;
use super::*;

const OPTION_TICKER: &str = "ticker.BTC-1JAN27-90000-C.raw";
const TICKER: &str = "ticker.BTC-PERPETUAL.raw";
const TRADES: &str = "trades.any.any.raw";
const BOOK: &str = "book.BTC-PERPETUAL.raw";
const INDEX: &str = "deribit_price_index.btc_usd";

#[track_caller]
fn refused(channel: &str, data: &str, reason: &str) {
    let mut bench = Bench::new();
    bench.decode(channel, data);
    assert_eq!(bench.decoder.tally().rows.sum(), 0, "{data}");
    let rows = table(&mut bench.rows.quarantine);
    assert_eq!(rows.len(), 1, "{data}");
    assert_eq!(cell(&rows[0], "reason"), reason, "{data}");
    assert_eq!(cell(&rows[0], "channel"), channel);
    assert_eq!(cell(&rows[0], "raw"), data);
}

#[test]
fn each_refusal_has_its_reason() {
    let broken = "not JSON, or a number beyond f64";
    let shape = "JSON of an unexpected shape";
    for (channel, data, reason) in [
        (TICKER, "", broken),
        (TICKER, "{", broken),
        (TICKER, r#"{"mark_price":1e400}"#, broken),
        (TICKER, "[]", shape),
        (TICKER, "5", shape),
        (TICKER, "null", "instrument_name is missing"),
        (TICKER, "{}", "instrument_name is missing"),
        (TRADES, "{}", shape),
        (TRADES, "null", shape),
        (TRADES, "", broken),
        (INDEX, r#"{"timestamp":1}"#, "price is missing"),
        (INDEX, r#"{"timestamp":1,"index_name":"x"}"#, "instrument_name differs from the channel"),
    ] {
        refused(channel, data, reason);
    }
    for (fields, reason) in [
        ("", "timestamp is missing"),
        (r#","timestamp":"soon""#, "timestamp cannot be understood"),
        (r#","timestamp":1e15"#, "timestamp cannot be understood"),
        (r#","timestamp":-1"#, "timestamp cannot be understood"),
        (r#","timestamp":1,"mark_iv":"x""#, "mark_iv cannot be understood"),
        (r#","timestamp":1,"delivery_price":"x""#, "delivery_price cannot be understood"),
        (r#","timestamp":1,"state":true"#, "state cannot be understood"),
        (r#","timestamp":1,"stats":7"#, shape),
    ] {
        let data = format!(r#"{{"instrument_name":"{OPTION}"{fields}}}"#);
        refused(OPTION_TICKER, &data, reason);
    }
    for (fields, reason) in [
        ("", "change_id is missing"),
        (r#","change_id":1,"prev_change_id":1.5"#, "prev_change_id cannot be understood"),
        (r#","change_id":1,"bids":"none""#, shape),
    ] {
        let data = format!(r#"{{"instrument_name":"BTC-PERPETUAL","timestamp":1{fields}}}"#);
        refused(BOOK, &data, reason);
    }
    let other = r#"{"instrument_name":"BTC-1JAN27-90000-P","timestamp":1,"change_id":1}"#;
    for channel in [OPTION_TICKER, BOOK, "book.BTC-PERPETUAL.none.1.raw"] {
        refused(channel, other, "instrument_name differs from the channel");
    }
}

#[test]
fn depth_of_nesting_is_bounded() {
    for deep in ["[", "{\"a\":"] {
        for channel in [TICKER, TRADES, BOOK] {
            refused(channel, &deep.repeat(200), "nested too deeply");
            let mut bench = Bench::new();
            bench.decode(channel, &deep.repeat(2_000_000));
            assert_eq!(bench.refused(), ["nested too deeply"]);
        }
    }
}

#[test]
fn the_quarantine_has_a_budget() {
    let mut bench = Bench::new();
    let long = format!("{{\"x\":\"{}", "é".repeat(5000));
    for _ in 0..150 {
        bench.decode(TICKER, &long);
    }
    bench.decode(TICKER, "{}");
    let now = bench.now;
    bench.decoder.quarantine("", "not a frame", b"\xff\xfe", now, &mut bench.rows);
    let rows = table(&mut bench.rows.quarantine);
    assert_eq!(rows.len(), 102);
    assert!(cell(&rows[0], "raw").len() <= 4096 + 2);
    assert_eq!(cell(&rows[101], "raw"), "\u{fffd}\u{fffd}");
    assert_eq!(bench.decoder.tally().quarantine_suppressed, 50);
    assert_eq!(bench.decoder.tally().quarantined.values().sum::<u64>(), 152);

    bench.now.monotonic += Duration::from_mins(1);
    bench.decode(TICKER, &long);
    assert_eq!(bench.refused().len(), 1);
}

#[test]
fn names_are_bounded() {
    let mut bench = Bench::new();
    for number in 0..1000 {
        bench.decode(&format!("channel{number}"), "{}");
        let now = bench.now;
        bench.decoder.quarantine("", &format!("reason {number}"), b"", now, &mut bench.rows);
        let data = format!(r#"{{"instrument_name":"BTC-PERPETUAL","timestamp":1,"f{number}":1}}"#);
        bench.decode(TICKER, &data);
    }
    let tally = bench.decoder.tally();
    for names in [tally.unsupported.len(), tally.unknown_fields.len(), tally.quarantined.len()] {
        assert_eq!(names, Tally::NAMES + 1);
    }
    assert_eq!(tally.unsupported[Tally::OTHERS], 936);
}

/// Random damage to good messages: never a panic, and every message is a row or in quarantine.
#[test]
fn damage_is_stored_or_quarantined() {
    let mut random = Random(4);
    let (mut stored, mut refused) = (0, 0);
    for _ in 0..40_000 {
        let (channel, data) = GOOD[random.below(GOOD.len())];
        let text = damaged(data, &mut random);
        let mut bench = Bench::new();
        bench.decode(channel, &text);
        let tally = bench.decoder.tally();
        let (kept, in_all) = (bench.rows.quarantine.rows(), bench.rows.rows());
        assert_eq!(usize::try_from(tally.rows.sum()).unwrap() + kept, in_all, "{text}");
        assert!(in_all > 0 || !tally.unsupported.is_empty(), "{channel} {text}");
        stored += usize::from(kept < in_all);
        refused += usize::from(kept > 0);
    }
    assert!(stored > 2_000 && refused > 10_000, "{stored} stored, {refused} refused");
}

fn damaged(text: &str, random: &mut Random) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(3) {
        let at = random.below(text.len().max(1));
        let other = ALPHABET[random.below(ALPHABET.len())];
        match random.below(12) {
            0 => text.truncate(at.max(1)),
            1..4 if !text.is_empty() => drop(text.remove(at)),
            4..8 => text.insert(at, other),
            _ if text.is_empty() => {}
            _ => text[at] = other,
        }
    }
    text.into_iter().collect()
}

const GOOD: [(&str, &str); 7] = [
    (
        TICKER,
        r#"{"timestamp":1799000000001,"instrument_name":"BTC-PERPETUAL","mark_price":1.5e3,
        "stats":{"volume":null,"high":"2"},"state":"open","extra":[{"a":"\u00e9"}]}"#,
    ),
    (
        OPTION_TICKER,
        r#"{"timestamp":1799000000001,"instrument_name":"BTC-1JAN27-90000-C","last_price":null,
        "greeks":{"delta":0.5,"gamma":1e-5},"estimated_delivery_price":"expired"}"#,
    ),
    (
        BOOK,
        r#"{"timestamp":1799000000001,"instrument_name":"BTC-PERPETUAL","change_id":5,
        "type":"snapshot","bids":[["new",1.5,2],["new",1,3e2]],"asks":[]}"#,
    ),
    (
        "book.BTC-PERPETUAL.none.10.100ms",
        r#"{"timestamp":1799000000001,"instrument_name":"BTC-PERPETUAL","change_id":5,
        "bids":[[1.5,2],[1,3e2]],"asks":[[2,2]]}"#,
    ),
    (
        TRADES,
        r#"[{"timestamp":1799000000001,"instrument_name":"BTC-PERPETUAL","trade_seq":1,
        "trade_id":"1","price":1.5,"amount":1e3,"direction":"buy","liquidation":"T"}]"#,
    ),
    (
        "perpetual.BTC-PERPETUAL.100ms",
        r#"{"timestamp":1799000000001,"interest":1e-5,"index_price":88000}"#,
    ),
    (INDEX, r#"{"timestamp":1799000000001,"price":88000.5,"index_name":"btc_usd"}"#),
];

const ALPHABET: [char; 22] = [
    '{', '}', '[', ']', '"', ':', ',', '\\', '0', '9', '-', '+', '.', 'e', 'E', 'n', 't', ' ', 'é',
    '\u{0}', '\u{ffff}', '/',
];
