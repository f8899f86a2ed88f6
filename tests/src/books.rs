//! Books as the wire has them and as they are stored, under the same keys.

use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use serde_json::Value;

use crate::tape::{cell, column, float, for_each_batch};

/// A row of `book_changes`.
#[derive(Clone, Debug)]
pub struct Change {
    /// The journal's order.
    pub sequence: i64,
    /// Whose book.
    pub instrument: String,
    /// The book after the message.
    pub change_id: i64,
    /// The book before it.
    pub prev_change_id: Option<i64>,
    /// Whether it is the whole book.
    pub snapshot: bool,
    /// `bid`, `ask`, or none.
    pub side: Option<String>,
    /// Price and amount, if there is a level.
    pub level: Option<(f64, f64)>,
    /// When it was read, µs UTC.
    pub received_at: i64,
}

/// Every row of `book_changes` below `DATA/parquet`, in the order of `sequence`.
#[must_use]
pub fn changes(data: &Path) -> Vec<Change> {
    let mut changes = Vec::new();
    for_each_batch(&data.join("parquet/book_changes"), |batch| {
        changes.extend((0..batch.num_rows()).map(|row| change(batch, row)));
    });
    changes.sort_by_key(|change: &Change| change.sequence);
    changes
}

fn change(batch: &RecordBatch, row: usize) -> Change {
    let text = |name| Some(cell(column(batch, name), row)).filter(|text| text != "-");
    let number = |name| text(name).map(|text| text.parse::<i64>().expect("a whole number"));
    let real = |name| text(name).map(|text| text.parse::<f64>().expect("a number"));
    Change {
        sequence: number("sequence").expect("every row has its place"),
        instrument: text("instrument").expect("a change has an instrument"),
        change_id: number("change_id").expect("a change has a version"),
        prev_change_id: number("prev_change_id"),
        snapshot: column(batch, "snapshot").as_boolean().value(row),
        side: text("side"),
        level: real("price").zip(real("amount")),
        received_at: number("received_at").expect("every row was read"),
    }
}

/// The keys of the rows that a message of `book.X.INTERVAL` makes.
#[must_use]
pub fn keys_of_message(data: &Value) -> Vec<String> {
    let snapshot = is_snapshot(data);
    let prev = data["prev_change_id"].as_i64().map_or("-".to_owned(), |id| id.to_string());
    let head = format!(
        "book_changes {} {} {} {prev} {snapshot}",
        data["instrument_name"].as_str().expect("a book has an instrument"),
        data["timestamp"].as_i64().expect("a book has a time") * 1_000,
        data["change_id"].as_i64().expect("a book has a version"),
    );
    let mut keys = Vec::new();
    for (side, name) in [("bids", "bid"), ("asks", "ask")] {
        for level in side_of(data, side) {
            let action = level[0].as_str().expect("a level has an action");
            let (price, amount) = (number(&level[1]), number(&level[2]));
            keys.push(format!("{head} {name} {action} {price} {amount}"));
        }
    }
    if keys.is_empty() {
        keys.push(format!("{head} - - - -"));
    }
    keys
}

/// The levels of a side; one that was not sent has none (a captured frame of 2022 lacks its asks).
fn side_of<'a>(data: &'a Value, side: &str) -> &'a [Value] {
    match &data[side] {
        Value::Null => &[],
        levels => levels.as_array().expect("a side is a list"),
    }
}

/// Whether the message is the whole book.
#[must_use]
pub fn is_snapshot(data: &Value) -> bool {
    data["type"] == "snapshot" || data["prev_change_id"] == 0 || data["prev_change_id"].is_null()
}

/// The key of the row that a window makes, with the marks of the newest ticker.
#[must_use]
pub fn key_of_window(data: &Value, ticker: Option<&Value>) -> String {
    let instrument = data["instrument_name"].as_str().expect("a window has an instrument");
    let (table, marks) = match instrument.ends_with("-PERPETUAL") {
        true => ("perpetual_orderbook_depth", PERPETUAL_MARKS.as_slice()),
        false => ("option_orderbook_depth", OPTION_MARKS.as_slice()),
    };
    let timestamp = data["timestamp"].as_i64().expect("a window has a time") * 1_000;
    let mut key = format!("{table} {instrument} {timestamp} {}", data["change_id"]);
    for side in ["bids", "asks"] {
        key.push_str(" |");
        for level in side_of(data, side) {
            key.push_str(&format!(" {}:{}", number(&level[0]), number(&level[1])));
        }
    }
    for (_, pointer) in marks {
        let mark = ticker.and_then(|ticker| ticker.pointer(pointer)).filter(|it| !it.is_null());
        key.push(' ');
        key.push_str(&mark.map_or("-".to_owned(), number));
    }
    key
}

type KeyOfRow = fn(&RecordBatch, usize) -> String;

/// The tables here, and the key of one of their rows.
pub(crate) const TABLES: [(&str, KeyOfRow); 3] = [
    ("book_changes", |batch, row| {
        let cells = ["instrument", "timestamp", "change_id", "prev_change_id"];
        let mut key = "book_changes".to_owned();
        for name in cells {
            key.push_str(&format!(" {}", cell(column(batch, name), row)));
        }
        key.push_str(&format!(" {}", column(batch, "snapshot").as_boolean().value(row)));
        for name in ["side", "action", "price", "amount"] {
            key.push_str(&format!(" {}", cell(column(batch, name), row)));
        }
        key
    }),
    ("option_orderbook_depth", |batch, row| {
        key_of_depth("option_orderbook_depth", &OPTION_MARKS, batch, row)
    }),
    ("perpetual_orderbook_depth", |batch, row| {
        key_of_depth("perpetual_orderbook_depth", &PERPETUAL_MARKS, batch, row)
    }),
];

fn key_of_depth(table: &str, marks: &[(&str, &str)], batch: &RecordBatch, row: usize) -> String {
    let cell = |name: &str| cell(column(batch, name), row);
    let mut key =
        format!("{table} {} {} {}", cell("instrument"), cell("timestamp"), cell("change_id"));
    for side in ["bids", "asks"] {
        key.push_str(" |");
        let levels: Value = serde_json::from_str(&cell(side)).expect("a side is JSON");
        for level in levels.as_array().expect("a side is a list") {
            key.push_str(&format!(" {}:{}", number(&level["price"]), number(&level["amount"])));
        }
    }
    for (name, _) in marks {
        key.push(' ');
        key.push_str(&cell(name));
    }
    key
}

fn number(value: &Value) -> String {
    float(value.as_f64().expect("a number"))
}

/// Column, and where the ticker has it.
const OPTION_MARKS: [(&str, &str); 4] = [
    ("mark_price", "/mark_price"),
    ("underlying_price", "/underlying_price"),
    ("open_interest", "/open_interest"),
    ("volume_24h", "/stats/volume"),
];
const PERPETUAL_MARKS: [(&str, &str); 5] = [
    ("mark_price", "/mark_price"),
    ("index_price", "/index_price"),
    ("funding_rate", "/funding_8h"),
    ("open_interest", "/open_interest"),
    ("volume_24h", "/stats/volume"),
];
