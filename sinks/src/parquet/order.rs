//! The order of a table's rows on their way to files: by folder, name, time, sequence.

use std::collections::HashMap;

use arrow_array::DictionaryArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use schema::{Batch, Date, Micros, Partition, Table, instrument};

/// Every row of some batches of one table, in order. Rows stay where they are; only keys move.
#[derive(Debug)]
pub(super) struct Order<'a> {
    table: &'static Table,
    batches: Vec<&'a Batch>,
    keys: Vec<Key>,
    folders: Vec<String>,
}

/// Where a row goes, and where it is. Compares as files are sorted.
///
/// Invariant: `batch` and `row` grow as the journal's sequence does, so they break ties as it
/// would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    folder: u32,
    name: u32,
    time: i64,
    pub(super) batch: u32,
    pub(super) row: u32,
}

/// The rows of one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run<'a> {
    order: &'a Order<'a>,
    keys: &'a [Key],
}

impl<'a> Order<'a> {
    /// # Panics
    /// When the batches are not of one table, or not in the order of their sequence.
    pub(super) fn new(table: &'static Table, batches: Vec<&'a Batch>) -> Self {
        let mut next = i64::MIN;
        for batch in &batches {
            assert_eq!(batch.table().name, table.name, "one table at a time");
            assert!(batch.sequence() >= next, "the journal's sequence grows");
            next = batch.sequence() + index(batch.rows()) as i64;
        }
        let mut order = Self { table, batches, keys: Vec::new(), folders: Vec::new() };
        order.fill();
        order.keys.sort_unstable();
        order
    }

    /// The files to write, each with its folder below `DATA/parquet`.
    pub(super) fn runs(&'a self) -> impl Iterator<Item = (&'a str, Run<'a>)> {
        self.keys.chunk_by(|a, b| a.folder == b.folder).map(|keys| {
            let folder = &self.folders[keys[0].folder as usize];
            (folder.as_str(), Run { order: self, keys })
        })
    }

    fn fill(&mut self) {
        let table = self.table;
        let time = table.index_of(table.time).expect("a table has its time column");
        let names = Names::new(table, &self.batches);
        self.keys.reserve_exact(self.batches.iter().map(|batch| batch.rows()).sum());
        let mut folders = Folders { table, numbers: HashMap::new(), last: None };
        for (number, batch) in self.batches.iter().enumerate() {
            let times = batch.columns().column(time).as_primitive::<TimestampMicrosecondType>();
            let in_batch = names.of_batch(number);
            for row in 0..batch.rows() {
                let time = times.value(row);
                let (name, currency) = in_batch.as_ref().map_or((0, 0), |rows| rows.name(row));
                let folder = folders.number(currency, Micros(time).date());
                let (batch, row) = (index(number), index(row));
                self.keys.push(Key { folder, name, time, batch, row });
            }
        }
        self.folders = folders.paths(&names.currencies);
    }
}

impl<'a> Run<'a> {
    pub(super) fn table(&self) -> &'static Table {
        self.order.table
    }

    pub(super) fn batches(&self) -> &'a [&'a Batch] {
        &self.order.batches
    }

    pub(super) fn keys(&self) -> &'a [Key] {
        self.keys
    }

    /// The least and the greatest time.
    pub(super) fn times(&self) -> [i64; 2] {
        range(self.keys.iter().map(|key| key.time))
    }

    /// The least and the greatest sequence.
    pub(super) fn sequences(&self) -> [i64; 2] {
        let of = |key: &Key| self.order.batches[key.batch as usize].sequence() + i64::from(key.row);
        range(self.keys.iter().map(of))
    }
}

/// The partition's names: which come first, and which currency they belong to.
#[derive(Debug)]
struct Names<'a> {
    columns: Vec<&'a DictionaryArray<Int32Type>>,
    /// Of each text, its rank among all texts and its currency.
    ranks: HashMap<&'a str, (u32, u32)>,
    /// The folder names of the currencies.
    currencies: Vec<String>,
}

/// The names of one batch.
struct BatchNames<'a> {
    column: &'a DictionaryArray<Int32Type>,
    ranks: Vec<(u32, u32)>,
}

impl<'a> Names<'a> {
    fn new(table: &Table, batches: &[&'a Batch]) -> Self {
        let column = match table.partition {
            Partition::CurrencyAndDate(name) => table.index_of(name),
            Partition::Date | Partition::Whole | Partition::SqlOnly => None,
        };
        let column = |batch: &&'a Batch| column.map(|at| batch.columns().column(at));
        let columns = batches.iter().filter_map(column).map(AsArray::as_dictionary);
        let columns: Vec<&DictionaryArray<Int32Type>> = columns.collect();
        let texts = columns.iter().flat_map(|column| column.values().as_string::<i32>().iter());
        let mut texts: Vec<&str> = texts.flatten().collect();
        texts.sort_unstable();
        texts.dedup();
        let mut currencies = Vec::new();
        let mut ranks = HashMap::with_capacity(texts.len());
        for (rank, text) in texts.into_iter().enumerate() {
            let currency = hive_value(&instrument::currency(text));
            let known = currencies.iter().position(|other| *other == currency);
            let number = known.unwrap_or_else(|| {
                currencies.push(currency);
                currencies.len() - 1
            });
            ranks.insert(text, (index(rank), index(number)));
        }
        Self { columns, ranks, currencies }
    }

    /// `None` if the table's partition has no name.
    fn of_batch(&self, number: usize) -> Option<BatchNames<'a>> {
        let column = *self.columns.get(number)?;
        let texts = column.values().as_string::<i32>().iter();
        let ranks = texts.map(|text| text.map_or((0, 0), |text| self.ranks[text])).collect();
        Some(BatchNames { column, ranks })
    }
}

impl BatchNames<'_> {
    fn name(&self, row: usize) -> (u32, u32) {
        let key = self.column.key(row).expect("a partition's name is never missing");
        self.ranks[key]
    }
}

/// Numbers for the folders that rows go to, in the order of their first row.
struct Folders {
    table: &'static Table,
    numbers: HashMap<(u32, Date), u32>,
    last: Option<((u32, Date), u32)>,
}

impl Folders {
    fn number(&mut self, currency: u32, date: Date) -> u32 {
        let key = match self.table.partition {
            Partition::Whole => (0, Date(0)),
            Partition::CurrencyAndDate(_) | Partition::Date | Partition::SqlOnly => {
                (currency, date)
            }
        };
        if let Some((last, number)) = self.last
            && last == key
        {
            return number;
        }
        let next = index(self.numbers.len());
        let number = *self.numbers.entry(key).or_insert(next);
        self.last = Some((key, number));
        number
    }

    fn paths(&self, currencies: &[String]) -> Vec<String> {
        let mut folders: Vec<_> =
            self.numbers.iter().map(|(key, number)| (*number, *key)).collect();
        folders.sort_unstable();
        let name = self.table.name;
        let path = |(_, (currency, date)): (u32, (u32, Date))| match self.table.partition {
            Partition::CurrencyAndDate(_) => {
                format!("{name}/currency={}/date={date}", currencies[currency as usize])
            }
            Partition::Date => format!("{name}/date={date}"),
            Partition::Whole => name.to_owned(),
            Partition::SqlOnly => unreachable!("write() refuses a table that is SQL only"),
        };
        folders.into_iter().map(path).collect()
    }
}

/// A text as the value of a Hive key, which is a folder's name: anything but letters, digits,
/// `_`, `-` and `.` is percent-encoded. Names are the exchange's, so they may be anything; what
/// no folder can be called becomes Hive's null.
fn hive_value(text: &str) -> String {
    let mut value = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) {
            value.push(char::from(byte));
        } else {
            value.push_str(&format!("%{byte:02X}"));
        }
    }
    if value.is_empty() || value.len() > HIVE_VALUE_BYTES {
        return HIVE_NULL.to_owned();
    }
    value
}

fn range(values: impl Iterator<Item = i64>) -> [i64; 2] {
    values.fold([i64::MAX, i64::MIN], |[least, greatest], value| {
        [least.min(value), greatest.max(value)]
    })
}

fn index(number: usize) -> u32 {
    u32::try_from(number).expect("a flush is bounded far below 2^32 rows")
}

const HIVE_VALUE_BYTES: usize = 128;
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";
