//! Every cell against the message itself, as another JSON parser reads it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Line;
use super::cells::Cells;

/// Compares every cell that a message fills with the message.
pub(super) fn compare(line: &Line, tables: &BTreeMap<&'static str, Vec<Cells>>) {
    for (table, rows) in tables {
        match *table {
            "book_changes" => levels(line, rows),
            "option_orderbook_depth" | "perpetual_orderbook_depth" => depth(line, &rows[0]),
            "option_trades" | "perpetual_trades" => {
                let sent = line.data.as_array().unwrap();
                assert_eq!(sent.len(), rows.len(), "{}", line.name());
                for (cells, trade) in rows.iter().zip(sent) {
                    fields(line, cells, trade);
                }
            }
            _ => fields(line, &rows[0], &line.data),
        }
    }
}

/// Compares every cell of an instrument with its entry in the exchange's answer.
pub(super) fn compare_instrument(cells: &Cells, entry: &Value) {
    for (column, cell) in cells {
        let same = match *column {
            "observed_at" | "received_at" | "sequence" | "currency" => continue,
            "expiration_timestamp" | "creation_timestamp" => {
                cell.as_i64() == entry[column].as_i64().map(|millis| millis * 1000)
            }
            "tick_size_steps" => {
                let steps = cell.as_str().map(|text| serde_json::from_str(text).unwrap());
                steps.unwrap_or(Value::Null) == entry[column]
            }
            _ => equal(cell, &entry[column]),
        };
        assert!(same, "{column}: {cell} is not {}", entry[column]);
    }
}

fn fields(line: &Line, cells: &Cells, sent: &Value) {
    for (column, cell) in cells {
        let value = match *column {
            "received_at" | "sequence" => continue,
            "timestamp" => {
                assert_eq!(cell.as_i64(), sent["timestamp"].as_i64().map(|millis| millis * 1000));
                continue;
            }
            "instrument" if sent.get("instrument_name").is_none() => continue,
            "liquidation" if cell.is_boolean() => {
                assert_eq!(cell.as_bool(), Some(sent.get("liquidation").is_some()));
                continue;
            }
            "instrument" => &sent["instrument_name"],
            "liquidation_side" => &sent["liquidation"],
            "implied_volatility" => &sent["mark_iv"],
            "funding_rate" => &sent["funding_8h"],
            "delta" | "gamma" | "theta" | "vega" | "rho" => &sent["greeks"][column],
            day => match day.strip_suffix("_24h") {
                Some(name) => &sent["stats"][name],
                None => &sent[column],
            },
        };
        // Around an expiry the estimate is a word.
        let value = if value == "expired" { &Value::Null } else { value };
        assert!(equal(cell, value), "{}: {column}: {cell} is not {value}", line.name());
    }
}

fn levels(line: &Line, rows: &[Cells]) {
    let sides = [("bid", "bids"), ("ask", "asks")];
    let sent: Vec<(&str, &Value)> = sides
        .into_iter()
        .flat_map(|(side, key)| {
            line.data[key].as_array().into_iter().flatten().map(move |level| (side, level))
        })
        .collect();
    assert_eq!(rows.len(), sent.len().max(1), "{}", line.name());
    for (cells, (side, level)) in rows.iter().zip(sent) {
        assert_eq!(cells["side"], side);
        for (index, column) in ["action", "price", "amount"].into_iter().enumerate() {
            assert!(equal(&cells[column], &level[index]), "{}: {level}", line.name());
        }
    }
    for cells in rows {
        for column in ["change_id", "prev_change_id"] {
            assert!(equal(&cells[column], &line.data[column]), "{}: {column}", line.name());
        }
        assert_eq!(
            cells["timestamp"].as_i64(),
            line.data["timestamp"].as_i64().map(|ms| ms * 1000)
        );
        assert_eq!(cells["instrument"], line.data["instrument_name"]);
    }
}

fn depth(line: &Line, cells: &Cells) {
    for side in ["bids", "asks"] {
        let stored: Value = serde_json::from_str(cells[side].as_str().unwrap()).unwrap();
        let sent = line.data[side].as_array().unwrap();
        assert_eq!(stored.as_array().unwrap().len(), sent.len());
        for (level, sent) in stored.as_array().unwrap().iter().zip(sent) {
            assert!(equal(&level["price"], &sent[0]) && equal(&level["amount"], &sent[1]));
        }
    }
    assert!(equal(&cells["change_id"], &line.data["change_id"]));
    assert_eq!(cells["timestamp"].as_i64(), line.data["timestamp"].as_i64().map(|ms| ms * 1000));
}

/// Integers are equal as integers, other numbers as f64, whichever way they are written.
pub(super) fn equal(cell: &Value, sent: &Value) -> bool {
    match (cell.as_i64(), sent.as_i64()) {
        (Some(cell), Some(sent)) => cell == sent,
        _ if cell.is_number() && sent.is_number() => cell.as_f64() == sent.as_f64(),
        _ => cell == sent,
    }
}
