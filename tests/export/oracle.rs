//! The tardis schema against tardis.dev's own normaliser: captured tickers, replayed, recorded and
//! exported, are what the normaliser makes of the same messages.

use std::collections::HashMap;

use serde_json::Value;
use tapedeck_tests::{shared, skip};

use super::export;
use crate::market::{Market, text};

#[test]
fn the_chain_is_what_its_normaliser_makes() {
    let Some(shared) = shared() else {
        let name = "export::oracle::the_chain_is_what_its_normaliser_makes";
        return skip(name, "there is no ../shared with captures");
    };
    let market = Market::start(&["--replay", text(&shared.join("captures"))]);
    let channels = market.url.replace("ws://", "http://").replace("/ws/api/v2", "/channels");
    market.record(&["--for", "8s", "--channels-from", &channels]);
    let out = market.folder.path().join("out");
    let flags = ["--schema", "tardis", "--format", "csv", "--from", "2026-01-01", "--to"];
    let printed = export(&market.data(), &out, &[&flags[..], &["2100-01-01"]].concat());
    let mut rows = HashMap::new();
    for entry in std::fs::read_dir(&out).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "csv") {
            read(&std::fs::read_to_string(path).unwrap(), &mut rows);
        }
    }
    let oracle = std::fs::read_to_string(shared.join("captures/oracle/tardis_normalized.jsonl"));
    // Two of the captured messages are one ticker.
    let mut compared = std::collections::HashSet::new();
    for line in oracle.unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        for summary in line["normalized"].as_array().unwrap() {
            // A ticker of a combo has greeks too; it is not an option's.
            if summary["type"] != "option_summary" || summary["expirationDate"] == Value::Null {
                continue;
            }
            let time: jiff::Timestamp = summary["timestamp"].as_str().unwrap().parse().unwrap();
            let key = (text_of(&summary["symbol"]), time.as_microsecond().to_string());
            let Some(row) = rows.get(&key) else { continue };
            compare(summary, row);
            compared.insert(key);
        }
    }
    assert_eq!(compared.len(), rows.len(), "each row has its twin: {printed}");
    assert!(compared.len() >= 20, "{printed}");
}

/// The rows of a CSV file without quoted cells, by symbol and timestamp.
fn read(csv: &str, rows: &mut HashMap<(String, String), HashMap<String, String>>) {
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    assert_eq!(header.join(","), HEADER);
    for line in lines {
        let cells = line.split(',').map(str::to_owned);
        let row: HashMap<String, String> =
            header.iter().map(|name| (*name).to_owned()).zip(cells).collect();
        rows.insert((row["symbol"].clone(), row["timestamp"].clone()), row);
    }
}

#[track_caller]
fn compare(summary: &Value, row: &HashMap<String, String>) {
    let date = |value: &Value| {
        let time: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
        time.as_microsecond().to_string()
    };
    assert_eq!(row["exchange"], "deribit");
    assert_eq!(row["type"], text_of(&summary["optionType"]));
    assert_eq!(row["expiration"], date(&summary["expirationDate"]));
    // A text of the capture that no number can be made of is left out by both.
    let index = summary["underlyingIndex"].as_str().unwrap_or_default();
    assert_eq!(row["underlying_index"], index);
    for (column, name) in NUMBERS {
        let (ours, theirs) = (row[column].parse::<f64>().ok(), summary[name].as_f64());
        assert_eq!(ours, theirs, "{column} of {summary}");
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

const HEADER: &str = "exchange,symbol,timestamp,local_timestamp,type,strike_price,expiration,\
                      open_interest,last_price,bid_price,bid_amount,bid_iv,ask_price,ask_amount,\
                      ask_iv,mark_price,mark_iv,underlying_index,underlying_price,delta,gamma,\
                      vega,theta,rho";
const NUMBERS: [(&str, &str); 17] = [
    ("strike_price", "strikePrice"),
    ("open_interest", "openInterest"),
    ("last_price", "lastPrice"),
    ("bid_price", "bestBidPrice"),
    ("bid_amount", "bestBidAmount"),
    ("bid_iv", "bestBidIV"),
    ("ask_price", "bestAskPrice"),
    ("ask_amount", "bestAskAmount"),
    ("ask_iv", "bestAskIV"),
    ("mark_price", "markPrice"),
    ("mark_iv", "markIV"),
    ("underlying_price", "underlyingPrice"),
    ("delta", "delta"),
    ("gamma", "gamma"),
    ("vega", "vega"),
    ("theta", "theta"),
    ("rho", "rho"),
];
