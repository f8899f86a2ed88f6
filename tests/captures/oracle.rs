//! What tardis-dev makes of each line, and how its values relate to our columns.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use schema::Micros;
use schema::instrument::{Instrument, Shape};
use serde_json::Value;

use super::Line;
use super::cells::Cells;
use super::wire::equal;

/// The normalised messages of each line, by file and line number.
pub(super) fn read(folder: &Path) -> BTreeMap<(String, u64), Value> {
    let text = fs::read_to_string(folder.join("oracle/tardis_normalized.jsonl")).unwrap();
    let entry = |line: &str| {
        let mut entry: Value = serde_json::from_str(line).unwrap();
        let place = (entry["file"].as_str().unwrap().to_owned(), entry["line"].as_u64().unwrap());
        (place, entry["normalized"].take())
    };
    text.lines().map(entry).collect()
}

/// Compares the rows of a line with its normalised messages; returns how many were compared.
pub(super) fn compare(
    line: &Line,
    normalized: &Value,
    tables: &BTreeMap<&'static str, Vec<Cells>>,
) -> u64 {
    let messages = normalized.as_array().map_or(&[][..], Vec::as_slice);
    let mut compared = 0;
    let mut trades = tables
        .iter()
        .filter(|(table, _)| table.ends_with("_trades"))
        .flat_map(|(_, rows)| rows)
        .peekable();
    let mut last_trade = None;
    for message in messages {
        let quote = || {
            let quotes = tables.get("option_quotes").or_else(|| tables.get("perpetual_quotes"));
            &quotes.expect("a ticker makes a quote")[0]
        };
        match message["type"].as_str() {
            Some("option_summary") => option_summary(line, message, quote()),
            Some("derivative_ticker") => derivative_ticker(line, message, quote()),
            Some("book_ticker") => book_ticker(line, message, quote()),
            Some("trade") => {
                last_trade = trades.next();
                trade(line, message, last_trade.expect("a row a trade"));
            }
            Some("liquidation") => liquidation(line, message, last_trade.expect("its trade")),
            Some("book_change") => book_change(line, message, tables),
            // It fails on a message without one of the sides; ours is compared with the wire.
            None if message["tardis_error"].is_string() => continue,
            other => panic!("{}: the oracle says {other:?}", line.name()),
        }
        compared += 1;
    }
    assert!(trades.peek().is_none(), "{}: more trades than the oracle has", line.name());
    compared
}

fn option_summary(line: &Line, message: &Value, cells: &Cells) {
    head(line, message, cells);
    let Shape::Option { strike, call, expiry } = parsed(cells).shape else {
        panic!("{}: an option", line.name());
    };
    assert_eq!(message["optionType"], if call { "call" } else { "put" });
    assert_eq!(message["strikePrice"].as_f64(), Some(strike));
    assert_eq!(message["expirationDate"], format!("{expiry}T08:00:00.000Z"));
    for (theirs, ours) in [
        ("lastPrice", "last_price"),
        ("openInterest", "open_interest"),
        ("markPrice", "mark_price"),
        ("markIV", "mark_iv"),
        ("delta", "delta"),
        ("gamma", "gamma"),
        ("vega", "vega"),
        ("theta", "theta"),
        ("rho", "rho"),
        ("underlyingPrice", "underlying_price"),
        ("underlyingIndex", "underlying_index"),
    ] {
        same(line, &message[theirs], &cells[ours], ours);
    }
    for (theirs, ours) in [
        ("bestBidPrice", "best_bid_price"),
        ("bestBidAmount", "best_bid_amount"),
        ("bestBidIV", "bid_iv"),
        ("bestAskPrice", "best_ask_price"),
        ("bestAskAmount", "best_ask_amount"),
        ("bestAskIV", "ask_iv"),
    ] {
        same_or_zero(line, &message[theirs], &cells[ours], ours);
    }
}

fn derivative_ticker(line: &Line, message: &Value, cells: &Cells) {
    head(line, message, cells);
    for (theirs, ours) in [
        ("lastPrice", "last_price"),
        ("openInterest", "open_interest"),
        ("fundingRate", "current_funding"),
        ("indexPrice", "index_price"),
        ("markPrice", "mark_price"),
    ] {
        same(line, &message[theirs], &cells[ours], ours);
    }
}

fn book_ticker(line: &Line, message: &Value, cells: &Cells) {
    head(line, message, cells);
    for (theirs, ours) in [
        ("bidPrice", "best_bid_price"),
        ("bidAmount", "best_bid_amount"),
        ("askPrice", "best_ask_price"),
        ("askAmount", "best_ask_amount"),
    ] {
        same_or_zero(line, &message[theirs], &cells[ours], ours);
    }
}

fn trade(line: &Line, message: &Value, cells: &Cells) {
    head(line, message, cells);
    let fields =
        [("id", "trade_id"), ("price", "price"), ("amount", "amount"), ("side", "direction")];
    for (theirs, ours) in fields {
        same(line, &message[theirs], &cells[ours], ours);
    }
}

/// The oracle's side is that of who was liquidated; ours is the taker's.
fn liquidation(line: &Line, message: &Value, cells: &Cells) {
    head(line, message, cells);
    same(line, &message["id"], &cells["trade_id"], "trade_id");
    let maker = cells["liquidation_side"] == "M";
    assert_eq!(message["side"] == cells["direction"], !maker, "{}", line.name());
}

fn book_change(line: &Line, message: &Value, tables: &BTreeMap<&'static str, Vec<Cells>>) {
    let depth = tables.iter().find(|(table, _)| table.ends_with("_orderbook_depth"));
    if let Some((_, rows)) = depth {
        head(line, message, &rows[0]);
        return grouped(line, message, &rows[0]);
    }
    let rows = &tables["book_changes"];
    head(line, message, &rows[0]);
    for (side, key) in [("bid", "bids"), ("ask", "asks")] {
        let ours: Vec<_> = rows.iter().filter(|cells| cells["side"] == side).collect();
        let theirs = message[key].as_array().unwrap();
        assert_eq!(ours.len(), theirs.len(), "{}", line.name());
        for (cells, level) in ours.iter().zip(theirs) {
            same(line, &level["price"], &cells["price"], "price");
            same(line, &level["amount"], &cells["amount"], "amount");
        }
    }
    for cells in rows {
        assert_eq!(cells["snapshot"], message["isSnapshot"], "{}", line.name());
    }
}

/// The oracle expects `[action, price, amount]` and reads a grouped book's `[price, amount]` one
/// place off: what it calls the price is the amount, and it has no amount. Our prices are compared
/// with the message itself, in `wire`.
fn grouped(line: &Line, message: &Value, cells: &Cells) {
    for side in ["bids", "asks"] {
        let ours: Value = serde_json::from_str(cells[side].as_str().unwrap()).unwrap();
        let (ours, theirs) = (ours.as_array().unwrap(), message[side].as_array().unwrap());
        assert_eq!(ours.len(), theirs.len(), "{}", line.name());
        for (our, their) in ours.iter().zip(theirs) {
            assert_eq!(their.get("amount"), None);
            same(line, &their["price"], &our["amount"], "amount");
        }
    }
}

/// Name and time. The oracle writes names in capitals, also the `d` that is a decimal point.
fn head(line: &Line, message: &Value, cells: &Cells) {
    let name = cells["instrument"].as_str().unwrap();
    assert_eq!(message["symbol"], name.to_uppercase(), "{}", line.name());
    let timestamp = Micros(cells["timestamp"].as_i64().unwrap()).to_string();
    let expected = message["timestamp"].as_str().unwrap().replace('Z', "000Z");
    assert_eq!(timestamp, expected, "{}", line.name());
}

fn parsed(cells: &Cells) -> Instrument<'_> {
    Instrument::parse(cells["instrument"].as_str().unwrap())
}

#[track_caller]
fn same(line: &Line, theirs: &Value, ours: &Value, column: &str) {
    assert!(equal(ours, theirs), "{}: {column} is {ours}, not {theirs}", line.name());
}

/// The oracle leaves out what the exchange sends as zero for "none".
#[track_caller]
fn same_or_zero(line: &Line, theirs: &Value, ours: &Value, column: &str) {
    if theirs.is_null() {
        let none = ours.is_null() || ours.as_f64() == Some(0.0);
        assert!(none, "{}: {column} is {ours}, and the oracle has none", line.name());
    } else {
        same(line, theirs, ours, column);
    }
}
