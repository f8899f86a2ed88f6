//! Trades: values, order, and their place in the sequence.

use super::super::Hole;
use super::*;

const ALL: &str = "trades.any.any.raw";

fn trade(instrument: &str, seq: i64, more: &str) -> String {
    format!(
        r#"{{"timestamp":{},"price":0.0625,"amount":2.5,"direction":"buy",
        "instrument_name":"{instrument}","trade_seq":{seq},"trade_id":"T-{seq}"{more}}}"#,
        1_799_000_000_000 + seq
    )
}

fn feed(bench: &mut Bench, trades: &[String]) -> Vec<String> {
    bench.decode(ALL, &format!("[{}]", trades.join(",")));
    table(&mut bench.rows.option_trades).iter().map(|row| cell(row, "trade_seq")).collect()
}

fn feed_seqs(bench: &mut Bench, seqs: &[i64]) -> Vec<String> {
    feed(bench, &seqs.iter().map(|seq| trade(OPTION, *seq, "")).collect::<Vec<_>>())
}

#[test]
fn an_option_trade_is_a_row() {
    let mut bench = Bench::new();
    let more = r#","iv":51.5,"index_price":88123.5,"mark_price":6.2e-2,"tick_direction":1,
        "contracts":2.5,"block_trade_id":771,"block_trade_leg_count":2,"block_rfq_id":"41",
        "combo_id":"BTC-CS-1JAN27-1_2","combo_trade_id":9007199254740993,"liquidation":"MT",
        "starbase_match_id":725000000000000123,"starbase_timestamp":1799000000007000123"#;
    bench.decode("trades.BTC-1JAN27-90000-C.raw", &format!("[{}]", trade(OPTION, 7, more)));
    let rows = table(&mut bench.rows.option_trades);
    assert_eq!(rows.len(), 1);
    let expected = [
        ("timestamp", "1799000000007000"),
        ("received_at", "1800000000000007"),
        ("sequence", "0"),
        ("instrument", OPTION),
        ("trade_id", "T-7"),
        ("price", "0.0625"),
        ("amount", "2.5"),
        ("direction", "buy"),
        ("iv", "51.5"),
        ("index_price", "88123.5"),
        ("trade_seq", "7"),
        ("tick_direction", "1"),
        ("mark_price", "0.062"),
        ("contracts", "2.5"),
        ("liquidation", "MT"),
        ("block_trade_id", "771"),
        ("block_trade_leg_count", "2"),
        ("combo_id", "BTC-CS-1JAN27-1_2"),
        ("combo_trade_id", "9007199254740993"),
        ("block_rfq_id", "41"),
        ("starbase_match_id", "725000000000000123"),
        ("starbase_timestamp", "1799000000007000123"),
    ];
    same(&rows[0], &expected);
}

#[test]
fn a_perpetual_trade_says_who_was_liquidated() {
    let mut bench = Bench::new();
    let ordinary = trade("BTC-PERPETUAL", 1, "");
    let liquidated = trade("BTC-PERPETUAL", 2, r#","liquidation":"T""#);
    bench.decode("trades.BTC-PERPETUAL.raw", &format!("[{ordinary},{liquidated}]"));
    let rows = table(&mut bench.rows.perpetual_trades);
    let found: Vec<_> =
        rows.iter().map(|row| ["liquidation", "liquidation_side"].map(|c| cell(row, c))).collect();
    assert_eq!(found, [["false", "missing"], ["true", "T"]]);
}

#[test]
fn each_trade_goes_to_its_own_instruments_table() {
    let mut bench = Bench::new();
    let trades = [
        trade(OPTION, 1, ""),
        trade("BTC-PERPETUAL", 1, ""),
        trade("BTC-25DEC26", 1, ""),
        trade("BTC-CS-1JAN27-1_2", 1, r#","legs":[{"trade_seq":1}]"#),
        trade("BTC_USDT", 1, ""),
    ];
    feed(&mut bench, &trades);
    let tally = bench.decoder.tally();
    assert_eq!(tally.rows.of(Stored::OptionTrades), 1);
    assert_eq!(tally.rows.of(Stored::PerpetualTrades), 1);
    let unsupported: Vec<_> = tally.unsupported.keys().map(String::as_str).collect();
    assert_eq!(unsupported, ["trades of a combo", "trades of a future", "trades of a spot pair"]);
    assert!(tally.unknown_fields.is_empty());
}

#[test]
fn one_bad_trade_disturbs_no_other() {
    let mut bench = Bench::new();
    let trades = [
        trade(OPTION, 1, ""),
        trade(OPTION, 2, "").replace("\"price\":0.0625", "\"price\":1e999"),
        trade(OPTION, 3, "").replace("\"buy\"", "\"hold\""),
        trade(OPTION, 4, "").replace("\"trade_id\":\"T-4\"", "\"trade_id\":null"),
        "17".to_owned(),
        trade(OPTION, 5, "").replace("\"amount\":2.5", "\"amount\":[2.5]"),
        trade(OPTION, 6, ""),
    ];
    assert_eq!(feed(&mut bench, &trades), ["1", "6"]);
    let reasons = [
        "not JSON, or a number beyond f64",
        "direction cannot be understood",
        "trade_id is missing",
        "JSON of an unexpected shape",
        "amount cannot be understood",
    ];
    assert_eq!(bench.refused(), reasons);
}

#[test]
fn a_broken_array_is_refused_whole() {
    for data in [format!("[{},{{", trade(OPTION, 1, "")), "[]]".to_owned()] {
        let mut bench = Bench::new();
        bench.decode(ALL, &data);
        assert_eq!(bench.rows.option_trades.rows(), 0);
        assert_eq!(bench.refused(), ["not JSON, or a number beyond f64"]);
    }
}

#[test]
fn repeats_are_dropped_and_late_trades_kept() {
    let mut bench = Bench::new();
    assert_eq!(feed_seqs(&mut bench, &[5, 6, 6, 9]), ["5", "6", "9"]);
    let holes: Vec<_> = bench.decoder.holes().collect();
    assert_eq!(holes, [Hole { instrument: OPTION, first: 7, last: 8 }]);
    assert_eq!(feed_seqs(&mut bench, &[8, 8, 5, 7, 9]), ["8", "7"]);
    assert_eq!(bench.decoder.holes().count(), 0);
    let tally = bench.decoder.tally();
    assert_eq!(tally.duplicates_dropped.of(Stored::OptionTrades), 4);
    assert_eq!((tally.late_trades, tally.holes_opened, tally.trades_missed), (2, 1, 2));
}

#[test]
fn a_restart_neither_doubles_nor_hides_a_hole() {
    let mut bench = Bench::new();
    let last = LastIdentity { trade_seq: Some(20), ..LastIdentity::default() };
    bench.decoder.resume(OPTION, last);
    assert_eq!(feed_seqs(&mut bench, &[19, 20, 23]), ["23"]);
    let holes: Vec<_> = bench.decoder.holes().collect();
    assert_eq!(holes, [Hole { instrument: OPTION, first: 21, last: 22 }]);
}

/// A trade that happened after everything recorded is no repeat, whatever its number.
#[test]
fn a_counter_that_starts_again_across_a_restart_is_quarantined() {
    let mut bench = Bench::new();
    let received_at = Some(Micros(1_799_000_000_400_000));
    let last = LastIdentity { trade_seq: Some(900), received_at, ..LastIdentity::default() };
    bench.decoder.resume(OPTION, last);
    assert!(feed(&mut bench, &[trade(OPTION, 500, "")]).is_empty());
    assert_eq!(bench.refused(), ["trade_seq went back"]);
}

#[test]
fn a_counter_that_starts_again_is_quarantined_not_dropped() {
    let mut bench = Bench::new();
    assert_eq!(feed_seqs(&mut bench, &[500, 501]), ["500", "501"]);
    let again = trade(OPTION, 500, "").replace("1799000000500", "1799000009999");
    assert!(feed(&mut bench, &[again, trade(OPTION, 500, "")]).is_empty());
    assert_eq!(bench.refused(), ["trade_seq went back"]);
    assert_eq!(bench.duplicates(Stored::OptionTrades), 1);
}

/// A trade that could not be read is not recorded: read well later, it fills its hole.
#[test]
fn a_refused_trade_leaves_a_hole() {
    let mut bench = Bench::new();
    let bad = trade(OPTION, 2, "").replace("2.5", "null");
    assert_eq!(feed(&mut bench, &[trade(OPTION, 1, ""), bad, trade(OPTION, 3, "")]), ["1", "3"]);
    assert_eq!(feed_seqs(&mut bench, &[2]), ["2"]);
}
