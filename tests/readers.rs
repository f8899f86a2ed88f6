//! DuckDB, polars and pandas read from our Parquet files exactly what was written.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, StringDictionaryBuilder,
    TimestampMicrosecondBuilder,
};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, RecordBatch};
use journal::disk::System;
use schema::{Batch, Kind, Origin, Partition, Table, tables};
use serde_json::{Value, json};
use sinks::{Parquet, Sink};
use tapedeck_tests::{python, skip};
use tempfile::TempDir;

#[test]
fn duckdb() {
    check("duckdb");
}

#[test]
fn polars() {
    check("polars");
}

#[test]
fn pandas() {
    check("pandas");
}

// Every cell of every table, its type, and the columns that the folders' names add.
fn check(reader: &str) {
    let Some(python) = python() else {
        return skip(&format!("readers::{reader}"), "no Python with readers: tests/run --install");
    };
    let mut script = python.script(&format!("tests/readers/read_{reader}.py"));
    let output = script.arg(tape()).output().expect("Python runs");
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{out}{err}");
    let tables = recorded().count();
    let rows = tables * BATCHES * ROWS;
    assert_eq!(
        out.trim_end(),
        format!("{reader}: {tables} tables, {rows} rows as written"),
        "{err}"
    );
}

#[test]
fn a_wrong_cell_is_found() {
    let Some(python) = python() else {
        let name = "readers::a_wrong_cell_is_found";
        return skip(name, "no Python with readers: tests/run --install");
    };
    let folder = write();
    let path = folder.path().join("expected.json");
    let expected = fs::read_to_string(&path).expect("the test wrote it");
    // The sign of a zero: a difference that == does not see.
    let changed = expected.replacen("\"0x8000000000000000\"", "\"0x0000000000000000\"", 1);
    assert_ne!(changed, expected);
    fs::write(&path, changed).expect("our own file");
    for reader in ["duckdb", "polars", "pandas"] {
        let mut script = python.script(&format!("tests/readers/read_{reader}.py"));
        let output = script.arg(folder.path()).output().expect("Python runs");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && err.contains("-0.0 instead of 0.0"), "{err}");
    }
}

// Written once; each reader is started by a test of its own.
pub(crate) fn tape() -> &'static Path {
    static TAPE: OnceLock<TempDir> = OnceLock::new();
    TAPE.get_or_init(write).path()
}

// A data folder as the sink leaves it, and beside it what a reader must find.
fn write() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = sinks::parquet::Options::default();
    let mut sink = Parquet::new(Arc::new(System), folder.path(), options);
    let mut expected = serde_json::Map::new();
    let (mut position, mut sequence) = (0, 0);
    for _ in 0..BATCHES {
        // Closed each time, so that a folder has several files.
        sink.open(JOURNAL).expect("the folder is ours");
        for table in recorded() {
            position += 1;
            let rows: Vec<_> = (sequence..).take(ROWS).map(|row| cells(table, row)).collect();
            sequence += ROWS;
            let batch = Batch::new(table, position, Origin::default(), columns(table, &rows));
            sink.write(&[Arc::new(batch)]).expect("the disk takes it");
            let entry = expected.entry(table.name).or_insert_with(|| describe(table));
            entry["rows"].as_array_mut().expect("a list").extend(rows.into_iter().map(Value::from));
        }
        sink.close().expect("the disk takes it");
    }
    let path = folder.path().join("expected.json");
    fs::write(path, Value::from(expected).to_string()).expect("the disk takes it");
    folder
}

fn describe(table: &Table) -> Value {
    let columns = table.columns.iter();
    let columns: Vec<_> =
        columns.map(|column| json!([column.name, format!("{:?}", column.kind)])).collect();
    let name = match table.partition {
        Partition::CurrencyAndDate(name) => Some(name),
        Partition::Date | Partition::Whole | Partition::SqlOnly => None,
    };
    let dated = table.partition != Partition::Whole;
    let currencies: serde_json::Map<_, _> =
        NAMES.iter().map(|(name, currency)| ((*name).to_owned(), json!(currency))).collect();
    json!({
        "columns": columns,
        "currency_of": name,
        "date_of": dated.then_some(table.time),
        "currencies": currencies,
        "rows": [],
    })
}

// A cell is written down as JSON that Python reads without a loss: a float as its bits, a time
// as microseconds.
fn cells(table: &Table, row: usize) -> Vec<Value> {
    let cell = |(at, column): (usize, &schema::Column)| {
        if at == Table::SEQUENCE {
            return json!(row);
        }
        if column.nullable && (row + at).is_multiple_of(3) {
            return Value::Null;
        }
        // Rows and columns differ; the lengths of the lists below have no factor in common with 5.
        let turn = row + 5 * at;
        match column.kind {
            Kind::Bool => json!(turn.is_multiple_of(2)),
            Kind::Float => json!(format!("{:#018x}", FLOATS[turn % FLOATS.len()].to_bits())),
            Kind::Int => json!(INTS[turn % INTS.len()]),
            Kind::Json => json!(DOCUMENTS[turn % DOCUMENTS.len()]),
            Kind::Name => json!(NAMES[turn % NAMES.len()].0),
            Kind::Text => json!(TEXTS[turn % TEXTS.len()]),
            Kind::Time => json!(MIDNIGHT_US + OFFSETS_US[turn % OFFSETS_US.len()]),
        }
    };
    table.columns.iter().enumerate().map(cell).collect()
}

fn columns(table: &Table, rows: &[Vec<Value>]) -> RecordBatch {
    let column = |(at, column): (usize, &schema::Column)| {
        array(column.kind, &rows.iter().map(|row| &row[at]).collect::<Vec<_>>())
    };
    let columns = table.columns.iter().enumerate().map(column).collect();
    RecordBatch::try_new(table.arrow(), columns).expect("the cells have their columns' kinds")
}

fn array(kind: Kind, cells: &[&Value]) -> ArrayRef {
    macro_rules! build {
        ($builder:expr, $value:expr) => {{
            let mut builder = $builder;
            cells.iter().for_each(|cell| builder.append_option($value(cell)));
            Arc::new(builder.finish())
        }};
    }
    let float = |cell: &&Value| {
        let bits = cell.as_str()?.strip_prefix("0x")?;
        Some(f64::from_bits(u64::from_str_radix(bits, 16).expect("sixteen digits")))
    };
    match kind {
        Kind::Bool => build!(BooleanBuilder::new(), |cell: &&Value| cell.as_bool()),
        Kind::Float => build!(Float64Builder::new(), float),
        Kind::Int => build!(Int64Builder::new(), |cell: &&Value| cell.as_i64()),
        Kind::Json | Kind::Text => {
            build!(StringBuilder::new(), |cell: &&Value| cell.as_str().map(str::to_owned))
        }
        Kind::Name => build!(StringDictionaryBuilder::<Int32Type>::new(), |cell: &&Value| cell
            .as_str()
            .map(str::to_owned)),
        Kind::Time => {
            build!(TimestampMicrosecondBuilder::new().with_timezone("UTC"), |cell: &&Value| cell
                .as_i64())
        }
    }
}

fn recorded() -> impl Iterator<Item = &'static Table> {
    tables::ALL.iter().copied().filter(|table| table.partition != Partition::SqlOnly)
}

const JOURNAL: &str = "0b5b1f0e-0000-4000-8000-00000000c0de";
const BATCHES: usize = 3;
const ROWS: usize = 40;
// 2026-11-24T00:00:00Z
const MIDNIGHT_US: i64 = 1_795_478_400_000_000;
const OFFSETS_US: [i64; 6] = [-1, 0, 1, 86_399_999_999, -86_400_000_000, 28_800_123_456];
const FLOATS: [f64; 11] = [
    0.0,
    -0.0,
    0.30000000000000004,
    5e-324,
    f64::MIN_POSITIVE,
    f64::MAX,
    f64::MIN,
    -4.467407940520975e-5,
    85_000.5,
    1e22,
    1.0 / 3.0,
];
const INTS: [i64; 7] =
    [0, 1, -1, i64::MIN, i64::MAX, 225_046_781_992_378_368, 9_007_199_254_740_993];
// Each with the currency whose folder it belongs to.
const NAMES: [(&str, &str); 6] = [
    ("BTC-PERPETUAL", "BTC"),
    ("BTC-6OCT26-86000-C", "BTC"),
    ("ETH-25DEC26-4000-P", "ETH"),
    ("XRP_USDC-30JUN23-0d625-C", "XRP_USDC"),
    ("btc_usd", "BTC"),
    ("NA-PERPETUAL", "NA"),
];
const TEXTS: [&str; 6] =
    ["", "plain", "né\u{301} 💥", "two\nlines\t\"quoted\"", "nul\0nul", "NULL"];
const DOCUMENTS: [&str; 4] = ["{}", "[1.0,2]", "{\"a\":null}", "\"é\""];
