//! Seeded batches of every recorded table, for tests.

use std::sync::Arc;

use arrow_array::builder::{StringBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray,
};
use schema::{Batch, Column, Date, Kind, Origin, Partition, Table, tables};

/// Makes the records of one journal, in order.
#[derive(Debug)]
pub(crate) struct Sample {
    chance: u64,
    position: u64,
    sequence: i64,
    tame: bool,
    midnight: Date,
}

impl Sample {
    pub(crate) fn new(seed: u64) -> Self {
        let midnight = Date::from_civil(2026, 11, 24);
        Self { chance: seed, position: 0, sequence: 0, tame: false, midnight }
    }

    /// Only cells that a database gives back as they were: no NUL, no name that no table could
    /// have, JSON as `jsonb` prints it, one zero.
    pub(crate) fn tame(seed: u64) -> Self {
        Self { tame: true, ..Self::new(seed) }
    }

    /// From now on times are around the beginning of that day.
    pub(crate) fn turn_to(&mut self, midnight: Date) {
        self.midnight = midnight;
    }

    /// Small batches of narrow tables.
    pub(crate) fn batches(&mut self, count: usize) -> Vec<Arc<Batch>> {
        (0..count).map(|_| self.any()).collect()
    }

    /// One batch of every recorded table.
    pub(crate) fn every_table(&mut self, rows: usize) -> Vec<Arc<Batch>> {
        recorded().map(|table| self.batch(table, rows)).collect()
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// A few rows of a narrow table of any partition.
    fn any(&mut self) -> Arc<Batch> {
        let table = NARROW[self.below(NARROW.len())];
        let rows = 1 + self.below(4);
        self.batch(tables::named(table).unwrap(), rows)
    }

    pub(crate) fn batch(&mut self, table: &'static Table, rows: usize) -> Arc<Batch> {
        let column = |(at, column): (usize, &Column)| match at {
            Table::SEQUENCE => {
                let end = self.sequence + rows as i64;
                Arc::new(Int64Array::from_iter_values(self.sequence..end)) as ArrayRef
            }
            _ => self.column(column, rows),
        };
        let columns = table.columns.iter().enumerate().map(column).collect();
        let columns = RecordBatch::try_new(table.arrow(), columns).unwrap();
        self.position += 1;
        self.sequence += rows as i64;
        Arc::new(Batch::new(table, self.position, Origin::default(), columns))
    }

    fn column(&mut self, column: &Column, rows: usize) -> ArrayRef {
        match column.kind {
            Kind::Bool => {
                Arc::new(BooleanArray::from(self.cells(column, rows, |s| s.below(2) == 0)))
            }
            Kind::Float => Arc::new(Float64Array::from(self.cells(column, rows, Self::float))),
            Kind::Int => Arc::new(Int64Array::from(self.cells(column, rows, Self::int))),
            Kind::Time => {
                let times = self.cells(column, rows, Self::time);
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
            }
            Kind::Name => {
                let mut names = StringDictionaryBuilder::<Int32Type>::new();
                let known = if self.tame { &NAMES[..NAMES_TAME] } else { NAMES };
                names.extend(self.cells(column, rows, |s| known[s.below(known.len())]));
                Arc::new(names.finish())
            }
            Kind::Json | Kind::Text => {
                let mut texts = StringBuilder::new();
                let known = match (self.tame, column.kind) {
                    (false, _) => TEXTS,
                    (true, Kind::Json) => JSONS,
                    (true, _) => &TEXTS[..TEXTS_TAME],
                };
                texts.extend(self.cells(column, rows, |s| known[s.below(known.len())]));
                Arc::new(texts.finish())
            }
        }
    }

    fn cells<T>(
        &mut self,
        column: &Column,
        rows: usize,
        make: impl Fn(&mut Self) -> T,
    ) -> Vec<Option<T>> {
        let cell = |_| (!column.nullable || self.below(3) > 0).then(|| make(self));
        (0..rows).map(cell).collect()
    }

    fn float(&mut self) -> f64 {
        let values = [0.0, -0.0, 0.0005, 1e-9, 85_000.5, f64::MAX, f64::MIN_POSITIVE];
        match self.below(2) {
            0 => values[self.below(values.len())] + if self.tame { 0.0 } else { -0.0 },
            _ => self.below(1 << 40) as f64 / 1e4,
        }
    }

    fn int(&mut self) -> i64 {
        match self.below(8) {
            0 => i64::MIN,
            1 => i64::MAX,
            _ => self.below(1 << 20) as i64,
        }
    }

    /// Around a midnight, often equal.
    fn time(&mut self) -> i64 {
        self.midnight.start().0 + (self.below(20) as i64 - 10) * 1_000
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

fn recorded() -> impl Iterator<Item = &'static Table> {
    tables::ALL.iter().copied().filter(|table| table.partition != Partition::SqlOnly)
}

const NARROW: [&str; 9] = [
    "index_ticks",
    "index_ticks",
    "index_ticks",
    "perpetual_interest",
    "perpetual_interest",
    "perpetual_interest",
    "data_gaps",
    "quarantine",
    "instruments",
];
const NAMES: &[&str] = &[
    "BTC-PERPETUAL",
    "BTC-6OCT26-86000-C",
    "ETH-25DEC26-4000-P",
    "XRP_USDC-30JUN23-0d625-C",
    "btc_usd",
    "ÄÖ/..",
    "",
];
const NAMES_TAME: usize = 5;
const TEXTS: &[&str] =
    &["", "{}", "{\"a\":[1,null]}", "né\u{301} 💥\n", "../../etc/passwd", "né\u{301} 💥\0\n"];
const TEXTS_TAME: usize = 5;
const JSONS: &[&str] = &["{}", "[]", "{\"a\": [1, null]}", "\"né\u{301} 💥\""];
