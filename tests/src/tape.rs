//! What a recorder stored, read back from its Parquet files by the parquet crate alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::books;

/// The rows of an archive that the simulator's truth can judge.
#[derive(Debug, Default)]
pub struct Tape {
    /// One key a row: the table and every value that the wire carried.
    pub keys: Vec<String>,
    /// When the row of each key was received, µs UTC.
    pub received: Vec<i64>,
    /// The gaps, each as the newest row about it says.
    pub gaps: Vec<Gap>,
    /// The newest `received_at` of the rows, µs UTC; 0 without rows.
    pub newest_received: i64,
}

/// A row of `data_gaps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// From when, µs UTC.
    pub start: i64,
    /// To when; `None` while open.
    pub end: Option<i64>,
    /// Why.
    pub cause: String,
    /// The shard.
    pub shard: String,
    /// Whose data, `*` for all of the shard's.
    pub instrument: String,
    /// What exactly.
    pub detail: String,
    /// When the row was written, µs UTC.
    pub written: i64,
}

impl Gap {
    /// Whether a row of that table and instrument may be missing because of this.
    #[must_use]
    pub fn concerns(&self, table: &str, instrument: &str) -> bool {
        let table = match self.cause.as_str() {
            "book_chain" => table == "book_changes",
            "trade_seq" => table.ends_with("_trades"),
            _ => true,
        };
        table && (self.instrument == "*" || self.instrument == instrument)
    }
}

/// The columns of a table that make a row's key, each with its place on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// The table.
    pub table: &'static str,
    /// The column that holds the instrument's or index's name.
    pub name: &'static str,
    /// Column and JSON pointer.
    values: &'static [(&'static str, &'static str)],
}

impl Columns {
    /// `ticker` of an option.
    pub const OPTION_QUOTES: Self = Self {
        table: "option_quotes",
        name: "instrument",
        values: &[
            ("best_bid_price", "/best_bid_price"),
            ("best_bid_amount", "/best_bid_amount"),
            ("best_ask_price", "/best_ask_price"),
            ("best_ask_amount", "/best_ask_amount"),
            ("underlying_price", "/underlying_price"),
            ("mark_price", "/mark_price"),
            ("delta", "/greeks/delta"),
            ("gamma", "/greeks/gamma"),
            ("theta", "/greeks/theta"),
            ("vega", "/greeks/vega"),
            ("rho", "/greeks/rho"),
            ("implied_volatility", "/mark_iv"),
            ("bid_iv", "/bid_iv"),
            ("ask_iv", "/ask_iv"),
            ("mark_iv", "/mark_iv"),
            ("open_interest", "/open_interest"),
            ("last_price", "/last_price"),
            ("volume_24h", "/stats/volume"),
            ("state", "/state"),
            ("underlying_index", "/underlying_index"),
            ("index_price", "/index_price"),
            ("settlement_price", "/settlement_price"),
            ("estimated_delivery_price", "/estimated_delivery_price"),
            ("min_price", "/min_price"),
            ("max_price", "/max_price"),
            ("interest_rate", "/interest_rate"),
            ("high_24h", "/stats/high"),
            ("low_24h", "/stats/low"),
            ("price_change_24h", "/stats/price_change"),
            ("volume_usd_24h", "/stats/volume_usd"),
        ],
    };
    /// `ticker` of a perpetual.
    pub const PERPETUAL_QUOTES: Self = Self {
        table: "perpetual_quotes",
        name: "instrument",
        values: &[
            ("best_bid_price", "/best_bid_price"),
            ("best_bid_amount", "/best_bid_amount"),
            ("best_ask_price", "/best_ask_price"),
            ("best_ask_amount", "/best_ask_amount"),
            ("mark_price", "/mark_price"),
            ("index_price", "/index_price"),
            ("funding_rate", "/funding_8h"),
            ("open_interest", "/open_interest"),
            ("current_funding", "/current_funding"),
            ("interest_value", "/interest_value"),
            ("last_price", "/last_price"),
            ("state", "/state"),
            ("settlement_price", "/settlement_price"),
            ("min_price", "/min_price"),
            ("max_price", "/max_price"),
            ("volume_24h", "/stats/volume"),
            ("volume_usd_24h", "/stats/volume_usd"),
            ("volume_notional_24h", "/stats/volume_notional"),
        ],
    };
    /// A trade of an option.
    pub const OPTION_TRADES: Self = Self {
        table: "option_trades",
        name: "instrument",
        values: &[
            ("trade_seq", "/trade_seq"),
            ("trade_id", "/trade_id"),
            ("price", "/price"),
            ("amount", "/amount"),
            ("direction", "/direction"),
            ("iv", "/iv"),
            ("index_price", "/index_price"),
            ("tick_direction", "/tick_direction"),
            ("mark_price", "/mark_price"),
            ("contracts", "/contracts"),
            ("liquidation", "/liquidation"),
            ("starbase_match_id", "/starbase_match_id"),
            ("starbase_timestamp", "/starbase_timestamp"),
        ],
    };
    /// A trade of a perpetual.
    pub const PERPETUAL_TRADES: Self = Self {
        table: "perpetual_trades",
        name: "instrument",
        values: &[
            ("trade_seq", "/trade_seq"),
            ("trade_id", "/trade_id"),
            ("price", "/price"),
            ("amount", "/amount"),
            ("direction", "/direction"),
            ("index_price", "/index_price"),
            ("tick_direction", "/tick_direction"),
            ("mark_price", "/mark_price"),
            ("contracts", "/contracts"),
            ("liquidation_side", "/liquidation"),
            ("starbase_match_id", "/starbase_match_id"),
            ("starbase_timestamp", "/starbase_timestamp"),
        ],
    };
    /// `perpetual.X`.
    pub const PERPETUAL_INTEREST: Self = Self {
        table: "perpetual_interest",
        name: "instrument",
        values: &[("index_price", "/index_price"), ("interest", "/interest")],
    };
    /// `deribit_price_index.X`.
    pub const INDEX_TICKS: Self =
        Self { table: "index_ticks", name: "index_name", values: &[("price", "/price")] };

    /// Every table of which the wire carries rows, books apart.
    pub const ALL: [Self; 6] = [
        Self::OPTION_QUOTES,
        Self::PERPETUAL_QUOTES,
        Self::OPTION_TRADES,
        Self::PERPETUAL_TRADES,
        Self::PERPETUAL_INTEREST,
        Self::INDEX_TICKS,
    ];

    /// The key of a row as the wire has it.
    #[must_use]
    pub fn key_of_wire(&self, name: Option<&str>, data: &Value) -> String {
        let millis = data["timestamp"].as_f64().expect("it has a time") as i64;
        let mut key = format!("{} {} {}", self.table, name.unwrap_or_default(), millis * 1_000);
        for (_, pointer) in self.values {
            key.push(' ');
            match data.pointer(pointer) {
                None | Some(Value::Null) => key.push('-'),
                // A price that is a word is no price: "expired".
                Some(Value::String(_)) if pointer.ends_with("_price") => key.push('-'),
                // Ids beyond 2^53 are compared as the integers that they are.
                Some(Value::Number(number)) => match number.as_i64() {
                    Some(integer) => key.push_str(&integer.to_string()),
                    None => key.push_str(&float(number.as_f64().expect("a number"))),
                },
                Some(Value::String(text)) => key.push_str(text),
                Some(other) => panic!("{pointer} is {other}"),
            }
        }
        key
    }

    /// The key of a stored row.
    #[must_use]
    pub fn key_of_row(&self, batch: &RecordBatch, row: usize) -> String {
        let cell = |name: &str| cell(column(batch, name), row);
        let mut key = format!("{} {} {}", self.table, cell(self.name), cell("timestamp"));
        for (name, _) in self.values {
            key.push(' ');
            key.push_str(&cell(name));
        }
        key
    }
}

impl Tape {
    /// Reads every Parquet file below `DATA/parquet`.
    #[must_use]
    pub fn read(data: &Path) -> Self {
        let mut tape = Self::default();
        for columns in Columns::ALL {
            for_each_batch(&data.join("parquet").join(columns.table), |batch| {
                let rows = 0..batch.num_rows();
                for row in rows {
                    let received = instant(batch, "received_at", row).unwrap_or_default();
                    tape.keys.push(columns.key_of_row(batch, row));
                    tape.received.push(received);
                    tape.newest_received = tape.newest_received.max(received);
                }
            });
        }
        for (table, key) in books::TABLES {
            for_each_batch(&data.join("parquet").join(table), |batch| {
                for row in 0..batch.num_rows() {
                    tape.keys.push(key(batch, row));
                    let received = instant(batch, "received_at", row).unwrap_or_default();
                    tape.received.push(received);
                }
            });
        }
        tape.gaps = gaps(data);
        tape
    }
}

/// A row that has the identity of an earlier one replaces it.
fn gaps(data: &Path) -> Vec<Gap> {
    let mut gaps = BTreeMap::new();
    for_each_batch(&data.join("parquet/data_gaps"), |batch| {
        for row in 0..batch.num_rows() {
            let text = |name| cell(column(batch, name), row);
            let gap = Gap {
                start: instant(batch, "start_time", row).expect("a gap has a start"),
                end: instant(batch, "end_time", row),
                cause: text("cause"),
                shard: text("shard"),
                instrument: text("instrument"),
                detail: text("detail"),
                written: instant(batch, "created_at", row).expect("a row has its time"),
            };
            let identity =
                (gap.start, gap.shard.clone(), gap.instrument.clone(), gap.cause.clone());
            let sequence: i64 = text("sequence").parse().expect("every row has its place");
            let newest = gaps.entry(identity).or_insert((sequence, gap.clone()));
            if newest.0 < sequence {
                *newest = (sequence, gap);
            }
        }
    });
    gaps.into_values().map(|(_, gap)| gap).collect()
}

/// Every Parquet file below the folder.
#[must_use]
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry is readable").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Hands every batch of the Parquet files below the folder to `then`.
///
/// # Panics
/// When a file cannot be read.
pub fn for_each_batch(folder: &Path, mut then: impl FnMut(&RecordBatch)) {
    for path in files(folder) {
        let file = File::open(&path).expect("a Parquet file is readable");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(ParquetRecordBatchReaderBuilder::build)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for batch in reader {
            then(&batch.unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        }
    }
}

/// A column by its name.
#[must_use]
pub fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).unwrap_or_else(|| panic!("the file has a column {name}"))
}

/// A time, µs UTC.
#[must_use]
pub fn instant(batch: &RecordBatch, name: &str, row: usize) -> Option<i64> {
    let times = column(batch, name).as_primitive::<TimestampMicrosecondType>();
    times.is_valid(row).then(|| times.value(row))
}

/// A cell as text, `-` where it is missing.
#[must_use]
pub fn cell(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "-".into();
    }
    if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
        return float(floats.value(row));
    }
    if let Some(integers) = array.as_primitive_opt::<Int64Type>() {
        return integers.value(row).to_string();
    }
    if let Some(times) = array.as_primitive_opt::<TimestampMicrosecondType>() {
        return times.value(row).to_string();
    }
    if let Some(flags) = array.as_boolean_opt() {
        return flags.value(row).to_string();
    }
    // Names: texts in Parquet, numbered texts in the journal.
    if let Some(names) = array.as_dictionary_opt::<Int32Type>() {
        let key = names.key(row).expect("a cell that is not null has a key");
        return names.values().as_string::<i32>().value(key).to_owned();
    }
    array.as_string::<i32>().value(row).to_owned()
}

/// A number as the shortest text that gives it back; whole numbers without a point, since the
/// wire writes `2700`, `2700.0` and `2.7e3` for the same number.
pub(crate) fn float(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return format!("{number:.0}").replace("-0", "0");
    }
    format!("{number:?}")
}
