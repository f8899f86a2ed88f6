//! Messages in, rows out. Every message here is invented.

use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use schema::tables::Rows;
use schema::{Builder, Kind, Micros, Now, Origin, Row};

use super::{Decoder, LastIdentity, Limits, Roster, Stored};
use crate::session::Question;

mod books;
mod handover;
mod holes;
mod hostile;
mod mending;
mod numbers;
mod tickers;
mod trades;

const OPTION: &str = "BTC-1JAN27-90000-C";

/// A decoder with what it has decoded.
struct Bench {
    decoder: Decoder,
    rows: Rows,
    now: Now,
    /// What was asked and is not answered.
    answers: Option<Question>,
}

impl Bench {
    fn new() -> Self {
        let now = Now { monotonic: Duration::from_secs(5), utc: Micros(1_800_000_000_000_007) };
        let decoder = Decoder::new(Limits::default());
        Self { decoder, rows: Rows::default(), now, answers: None }
    }

    fn decode(&mut self, channel: &str, data: &str) -> &mut Self {
        self.decoder.decode(channel, data, self.now, &mut self.rows);
        self
    }

    /// The reasons for which messages were refused, in order.
    fn refused(&mut self) -> Vec<String> {
        table(&mut self.rows.quarantine).into_iter().map(|row| cell(&row, "reason")).collect()
    }

    fn duplicates(&self, table: Stored) -> u64 {
        self.decoder.tally().duplicates_dropped.of(table)
    }
}

/// A row as name and text of every cell that is not missing, in column order.
type Cells = Vec<(&'static str, String)>;

/// Takes the rows out of a builder.
fn table<R: Row>(builder: &mut Builder<R>) -> Vec<Cells> {
    let Some(draft) = builder.take(Origin::default()) else { return Vec::new() };
    let batch = draft.number(1, 0);
    let rows = 0..batch.rows();
    rows.map(|row| cells(batch.columns(), R::TABLE.columns, row)).collect()
}

fn cells(batch: &RecordBatch, columns: &'static [schema::Column], row: usize) -> Cells {
    let mut cells = Vec::new();
    for (column, array) in columns.iter().zip(batch.columns()) {
        if array.is_null(row) {
            continue;
        }
        let text = match column.kind {
            Kind::Bool => array.as_boolean().value(row).to_string(),
            Kind::Float => format!("{:?}", array.as_primitive::<Float64Type>().value(row)),
            Kind::Int => array.as_primitive::<Int64Type>().value(row).to_string(),
            Kind::Name => {
                let names = array.as_dictionary::<Int32Type>();
                names.values().as_string::<i32>().value(names.key(row).unwrap()).to_owned()
            }
            Kind::Json | Kind::Text => array.as_string::<i32>().value(row).to_owned(),
            Kind::Time => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
        };
        cells.push((column.name, text));
    }
    cells
}

fn cell(cells: &Cells, name: &str) -> String {
    let found = cells.iter().find(|(column, _)| *column == name);
    found.map_or_else(|| "missing".to_owned(), |(_, text)| text.clone())
}

/// Asserts that exactly these cells are not missing.
#[track_caller]
fn same(cells: &Cells, expected: &[(&'static str, &str)]) {
    let expected: Cells = expected.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
    assert_eq!(cells, &expected);
}

/// Reproducible numbers: a linear congruential generator, its seed within.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        let mut next = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            self.0 >> 32
        };
        next() << 32 | next()
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.bits() >> 33).unwrap() % bound
    }
}
