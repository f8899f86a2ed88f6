//! The contract suite: what every sink must do, run over each of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, StringArray};
use journal::disk::Simulated;
use schema::tables::DataGap;
use schema::{Batch, Kind, Micros, Now, Row, Table};

use crate::parquet::Options;
use crate::parquet::tests::stored;
use crate::sample::Sample;
use crate::{Accepted, Memory, Parquet, Position, Sink};

/// What a sink outlives its process in, and how to look into it.
pub(crate) trait Home {
    /// A sink as a new process makes it.
    fn sink(&mut self) -> Box<dyn Sink>;
    /// What is stored: of each table the columns, their rows in any order.
    fn stored(&self) -> Rows;
    /// Batches whose cells it gives back as they were.
    fn sample(&self, seed: u64) -> Sample {
        Sample::new(seed)
    }
    /// Whether anything outlives the process.
    const LASTS: bool;
}

/// Rows of each table, by sequence: each cell as text, `None` where it is missing.
pub(crate) type Rows = BTreeMap<(&'static str, i64), Vec<Vec<Option<String>>>>;

struct InMemory(Memory);

impl Home for InMemory {
    const LASTS: bool = false;

    fn sink(&mut self) -> Box<dyn Sink> {
        self.0 = Memory::new(usize::MAX);
        Box::new(self.0.clone())
    }

    fn stored(&self) -> Rows {
        rows(&self.0.batches())
    }
}

struct InParquet(Simulated);

impl Home for InParquet {
    const LASTS: bool = true;

    fn sink(&mut self) -> Box<dyn Sink> {
        let options = Options { age_max: AGE, ..Options::default() };
        Box::new(Parquet::new(Arc::new(self.0.clone()), Path::new("/data"), options))
    }

    fn stored(&self) -> Rows {
        let mut rows = Rows::new();
        for (table, columns) in stored(&self.0) {
            add(&mut rows, table, columns.columns());
        }
        rows
    }
}

pub(crate) fn check<H: Home>(home: impl Fn() -> H) {
    positions_are_reported(home());
    nothing_is_stored_twice(home());
    every_table_reads_back(home());
    journals_are_apart(home());
}

fn positions_are_reported<H: Home>(mut home: H) {
    let mut sink = home.sink();
    assert_eq!(sink.open("j").unwrap(), Position(0));
    assert_eq!(sink.write(&[]).unwrap(), Accepted(0));
    assert_eq!(sink.flush(at(0)).unwrap(), Position(0));
    assert_eq!(sink.close().unwrap(), Position(0));
    assert_eq!(sink.open("j").unwrap(), Position(0));
    let mut sample = home.sample(1);
    let (mut durable, mut accepted) = (Position(0), 0);
    for second in 1..=30 {
        let count = sample.below(4);
        let batches = sample.batches(count);
        accepted += count as u64;
        assert_eq!(sink.write(&batches).unwrap(), Accepted(accepted));
        let next = sink.flush(at(second)).unwrap();
        assert!(durable <= next && next <= Position(accepted), "{durable:?} {next:?}");
        durable = next;
    }
    assert!(durable > Position(0), "age alone makes rows durable");
    assert_eq!(sink.close().unwrap(), Position(accepted));
    assert_eq!(sink.open("j").unwrap(), Position(accepted), "the same process");
    if H::LASTS {
        assert_eq!(home.sink().open("j").unwrap(), Position(accepted), "another process");
    }
}

fn nothing_is_stored_twice<H: Home>(mut home: H) {
    let batches = home.sample(2).batches(60);
    let mut sink = home.sink();
    let mut position = sink.open("j").unwrap();
    for crash in 1..=3 {
        for (second, batch) in batches.iter().enumerate().skip(position.0 as usize).take(25) {
            sink.write(std::slice::from_ref(batch)).unwrap();
            sink.flush(at(second as u64)).unwrap();
        }
        if crash == 2 {
            position = sink.open("j").unwrap();
        } else {
            sink = home.sink();
            position = sink.open("j").unwrap();
        }
    }
    sink.write(&batches[position.0 as usize..]).unwrap();
    assert_eq!(sink.close().unwrap(), Position(60));
    assert!(home.stored() == rows(&batches), "rows were lost, doubled or changed");
}

fn every_table_reads_back<H: Home>(mut home: H) {
    let mut sample = home.sample(3);
    let mut batches = sample.every_table(1);
    batches.extend(sample.every_table(500));
    batches.push(sample.batch(DataGap::TABLE, 20_000));
    batches.extend(sample.every_table(70));
    let mut sink = home.sink();
    sink.open("j").unwrap();
    sink.write(&batches).unwrap();
    sink.close().unwrap();
    assert!(home.stored() == rows(&batches), "rows were lost, doubled or changed");
}

fn journals_are_apart<H: Home>(mut home: H) {
    let mut sink = home.sink();
    sink.open("one").unwrap();
    sink.write(&home.sample(4).batches(3)).unwrap();
    assert_eq!(sink.close().unwrap(), Position(3));
    assert_eq!(sink.open("two").unwrap(), Position(0));
    sink.write(&home.sample(5).batches(2)).unwrap();
    assert_eq!(sink.close().unwrap(), Position(2));
    if H::LASTS {
        assert_eq!(sink.open("one").unwrap(), Position(3));
        assert_eq!(home.sink().open("two").unwrap(), Position(2));
    }
}

/// The rows of batches.
pub(crate) fn rows(batches: &[Arc<Batch>]) -> Rows {
    let mut rows = Rows::new();
    for batch in batches {
        add(&mut rows, batch.table(), batch.columns().columns());
    }
    rows
}

/// Adds the rows of some columns.
pub(crate) fn add(rows: &mut Rows, table: &'static Table, columns: &[ArrayRef]) {
    let sequences = columns[Table::SEQUENCE].as_primitive::<Int64Type>().clone();
    let cells: Vec<_> = table
        .columns
        .iter()
        .zip(columns)
        .map(|(column, cells)| texts(column.kind, cells))
        .collect();
    for (row, sequence) in sequences.values().iter().enumerate() {
        let cells = cells.iter().map(|column| column[row].clone()).collect();
        rows.entry((table.name, *sequence)).or_default().push(cells);
    }
}

fn texts(kind: Kind, cells: &ArrayRef) -> Vec<Option<String>> {
    let plain = |texts: &StringArray| texts.iter().map(|text| text.map(str::to_owned)).collect();
    match kind {
        Kind::Json | Kind::Text => plain(cells.as_string()),
        Kind::Name => match cells.as_dictionary_opt::<Int32Type>() {
            None => plain(cells.as_string()),
            Some(names) => {
                let values: Vec<Option<String>> = plain(names.values().as_string());
                let text = |row| names.key(row).and_then(|key| values[key].clone());
                (0..names.len()).map(text).collect()
            }
        },
        Kind::Bool => {
            cells.as_boolean().iter().map(|cell| cell.map(|cell| cell.to_string())).collect()
        }
        Kind::Float => {
            let bits = |cell: f64| format!("{:016x}", cell.to_bits());
            let cells = cells.as_primitive::<Float64Type>();
            cells.iter().map(|cell| cell.map(bits)).collect()
        }
        Kind::Int => ints(cells.as_primitive::<Int64Type>().iter()),
        Kind::Time => {
            assert_eq!(cells.data_type(), &kind.arrow(), "an instant knows that it is UTC");
            let times = cells.as_primitive::<TimestampMicrosecondType>();
            ints(times.iter())
        }
    }
}

fn ints(cells: impl Iterator<Item = Option<i64>>) -> Vec<Option<String>> {
    cells.map(|cell| cell.map(|cell| cell.to_string())).collect()
}

fn at(second: u64) -> Now {
    Now { monotonic: Duration::from_secs(second), utc: Micros(0) }
}

pub(crate) const AGE: Duration = Duration::from_secs(7);

#[test]
fn memory_keeps_the_contract() {
    check(|| InMemory(Memory::new(usize::MAX)));
}

#[test]
fn parquet_keeps_the_contract() {
    check(|| InParquet(Simulated::new(1)));
}
