//! Books: levels in order, snapshots, repeats, and sampled depth.

use super::*;
use crate::session::Chain;

const PERPETUAL: &str = "BTC-PERPETUAL";
const CHANGES: &str = "book.BTC-PERPETUAL.raw";
const DEPTH: &str = "book.BTC-PERPETUAL.none.20.100ms";

fn book(fields: &str) -> String {
    format!(r#"{{"timestamp":1799000000000,"instrument_name":"{PERPETUAL}",{fields}}}"#)
}

/// The rows that a message makes: side, action, price, amount; and whether it is a snapshot.
#[track_caller]
fn check(bench: &mut Bench, fields: &str, snapshot: bool, expected: &[[&str; 4]]) {
    bench.decode(CHANGES, &book(fields));
    let rows = table(&mut bench.rows.book_changes);
    let found: Vec<[String; 4]> = rows
        .iter()
        .map(|row| ["side", "action", "price", "amount"].map(|name| cell(row, name)))
        .collect();
    assert_eq!(found, expected);
    assert!(rows.iter().all(|row| cell(row, "snapshot") == snapshot.to_string()));
}

#[test]
fn each_level_is_a_row_in_the_order_sent() {
    let mut bench = Bench::new();
    let snapshot = r#""type":"snapshot","change_id":10,
        "bids":[["new",88000,1.5e3],["new",87999.5,10]],"asks":[["new","88000.5","20"]]"#;
    let levels = [
        ["bid", "new", "88000.0", "1500.0"],
        ["bid", "new", "87999.5", "10.0"],
        ["ask", "new", "88000.5", "20.0"],
    ];
    check(&mut bench, snapshot, true, &levels);
    let change = r#""asks":[["delete",88000.5,0.0]],"bids":[["change",88000.0,30.0]],
        "prev_change_id":10,"change_id":17,"type":"change""#;
    let levels = [["bid", "change", "88000.0", "30.0"], ["ask", "delete", "88000.5", "0.0"]];
    check(&mut bench, change, false, &levels);
    let empty = r#""type":"change","prev_change_id":17,"change_id":18,"bids":[],"asks":[]"#;
    check(&mut bench, empty, false, &[["missing"; 4]]);
    assert_eq!(bench.decoder.tally().book_breaks, 0);
    assert_eq!(bench.decoder.tally().rows.of(Stored::BookChanges), 6);
}

#[test]
fn a_message_keeps_its_ids_as_sent() {
    let mut bench = Bench::new();
    let fields = r#""type":"snapshot","change_id":21,"prev_change_id":20,"bids":[["new",1,2]]"#;
    bench.decode(CHANGES, &book(fields));
    let expected = [
        ("timestamp", "1799000000000000"),
        ("received_at", "1800000000000007"),
        ("sequence", "0"),
        ("instrument", PERPETUAL),
        ("change_id", "21"),
        ("prev_change_id", "20"),
        ("snapshot", "true"),
        ("side", "bid"),
        ("action", "new"),
        ("price", "1.0"),
        ("amount", "2.0"),
    ];
    same(&table(&mut bench.rows.book_changes)[0], &expected);
}

#[test]
fn a_snapshot_is_recognised_without_its_type() {
    let level = [["bid", "new", "1.0", "2.0"]];
    for (head, snapshot) in [
        (r#""change_id":1,"#, true),
        (r#""change_id":1,"prev_change_id":0,"type":"change","#, true),
        (r#""change_id":1,"prev_change_id":null,"#, true),
        (r#""change_id":21,"prev_change_id":20,"type":"snapshot","#, true),
        (r#""change_id":21,"prev_change_id":20,"#, false),
    ] {
        let fields = format!(r#"{head}"bids":[["new",1,2]]"#);
        check(&mut Bench::new(), &fields, snapshot, &level);
    }
}

#[test]
fn a_repeated_message_is_dropped_whole_and_a_break_is_counted() {
    let mut bench = Bench::new();
    let snapshot = r#""type":"snapshot","change_id":10,"bids":[["new",1,2],["new",3,4]]"#;
    bench.decode(CHANGES, &book(snapshot));
    assert_eq!(table(&mut bench.rows.book_changes).len(), 2);
    check(&mut bench, snapshot, true, &[]);
    assert_eq!(bench.duplicates(Stored::BookChanges), 1);
    let broken = r#""type":"change","prev_change_id":12,"change_id":13,"asks":[["new",5,6]]"#;
    check(&mut bench, broken, false, &[["ask", "new", "5.0", "6.0"]]);
    assert_eq!(bench.decoder.tally().book_breaks, 1);
    let mended = r#""type":"snapshot","change_id":13,"asks":[["new",5,6]]"#;
    check(&mut bench, mended, true, &[["ask", "new", "5.0", "6.0"]]);
}

#[test]
fn a_chain_says_when_it_breaks_and_begins() {
    let mut bench = Bench::new();
    let mut say = |fields: &str| {
        bench.now.utc = Micros(bench.now.utc.0 + 1);
        bench.decoder.decode(CHANGES, &book(fields), bench.now, &mut bench.rows)
    };
    let begun = Chain::Begun(Micros(1_799_000_000_000_000));
    assert_eq!(say(r#""type":"snapshot","change_id":10"#), begun);
    assert_eq!(say(r#""type":"change","prev_change_id":10,"change_id":11"#), Chain::Quiet);
    let at = Micros(1_799_000_000_000_000);
    let since = Some(at);
    let broken = Chain::Broken { since, at, last: Some(11), prev: Some(12) };
    assert_eq!(say(r#""type":"change","prev_change_id":12,"change_id":13"#), broken);
    let again = Chain::Broken { since, at, last: Some(13), prev: Some(14) };
    assert_eq!(say(r#""type":"change","prev_change_id":14,"change_id":15"#), again);
    assert_eq!(say(r#""type":"snapshot","change_id":15"#), begun);
    assert_eq!(say(r#""type":"change","prev_change_id":15,"change_id":16"#), Chain::Quiet);
}

/// What the process before recorded may end in a broken chain: a snapshot makes it certain.
#[test]
fn after_a_restart_a_book_begins_anew() {
    let mut bench = Bench::new();
    let last = LastIdentity { change_id: Some(10), ..LastIdentity::default() };
    bench.decoder.resume(PERPETUAL, last);
    let snapshot = r#""type":"snapshot","change_id":10,"bids":[["new",1,2]]"#;
    check(&mut bench, snapshot, true, &[["bid", "new", "1.0", "2.0"]]);
    check(&mut bench, snapshot, true, &[]);
    let newer = r#""type":"snapshot","change_id":11,"bids":[["new",1,2]]"#;
    check(&mut bench, newer, true, &[["bid", "new", "1.0", "2.0"]]);
}

#[test]
fn half_a_book_is_refused() {
    for level in [
        r#"["new",1]"#,
        r#"["new",1,"x"]"#,
        r#"["new",1,2,3]"#,
        "[null,1,2]",
        "[1,1,2]",
        "[]",
        "[1]",
        "7",
        r#"{"price":1,"amount":2}"#,
        r#"["new",[1],2]"#,
    ] {
        let mut bench = Bench::new();
        let fields = format!(r#""change_id":1,"bids":[["new",1,2],{level},["new",1,2]]"#);
        bench.decode(CHANGES, &book(&fields));
        assert_eq!(table(&mut bench.rows.book_changes).len(), 0, "{level}");
        assert_eq!(bench.refused().len(), 1, "{level}");
    }
}

#[test]
fn depth_takes_its_marks_from_the_newest_ticker() {
    let mut bench = Bench::new();
    let depth = book(r#""change_id":5,"bids":[[88000.0,1.0e3],[87999.5,2]],"asks":[]"#);
    let later = depth.replace("1799000000000", "1799000000100");
    bench.decode(DEPTH, &depth);
    bench.decode(
        "ticker.BTC-PERPETUAL.100ms",
        r#"{"timestamp":1799000000050,"instrument_name":"BTC-PERPETUAL","mark_price":88001,
        "index_price":88002,"funding_8h":1e-4,"open_interest":5,"stats":{"volume":6}}"#,
    );
    bench.decode(DEPTH, &depth).decode(DEPTH, &later);
    let rows = table(&mut bench.rows.perpetual_orderbook_depth);
    assert_eq!(rows.len(), 2);
    assert_eq!(bench.duplicates(Stored::PerpetualDepth), 1);
    assert_eq!(cell(&rows[0], "mark_price"), "missing");
    let expected = [
        ("timestamp", "1799000000100000"),
        ("received_at", "1800000000000007"),
        ("sequence", "1"),
        ("instrument", PERPETUAL),
        ("bids", r#"[{"price":88000,"amount":1000},{"price":87999.5,"amount":2}]"#),
        ("asks", "[]"),
        ("mark_price", "88001.0"),
        ("index_price", "88002.0"),
        ("funding_rate", "0.0001"),
        ("open_interest", "5.0"),
        ("volume_24h", "6.0"),
        ("change_id", "5"),
    ];
    same(&rows[1], &expected);
}

#[test]
fn an_options_depth_has_an_options_marks() {
    let mut bench = Bench::new();
    bench.decode(
        "ticker.BTC-1JAN27-90000-C.100ms",
        r#"{"timestamp":1799000000050,"instrument_name":"BTC-1JAN27-90000-C","mark_price":0.05,
        "underlying_price":88002,"index_price":1,"open_interest":5,"stats":{"volume":6}}"#,
    );
    let depth = book(r#""change_id":5,"bids":[],"asks":[[0.06,1.5e-7]]"#);
    bench.decode("book.BTC-1JAN27-90000-C.none.20.100ms", &depth.replace(PERPETUAL, OPTION));
    let rows = table(&mut bench.rows.option_orderbook_depth);
    let expected = [
        ("timestamp", "1799000000000000"),
        ("received_at", "1800000000000007"),
        ("sequence", "0"),
        ("instrument", OPTION),
        ("bids", "[]"),
        ("asks", r#"[{"price":0.06,"amount":0.00000015}]"#),
        ("mark_price", "0.05"),
        ("underlying_price", "88002.0"),
        ("open_interest", "5.0"),
        ("volume_24h", "6.0"),
        ("change_id", "5"),
    ];
    same(&rows[0], &expected);
}
