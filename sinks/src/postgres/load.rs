//! Rows on their way into one table of the database, and which table that is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use schema::{Batch, Partition, SqlName, Table, instrument};

use super::migrations::Currency;

/// Rows of one table of the database, in the order of the journal.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// The declaration of the rows.
    pub(super) table: &'static Table,
    /// The table.
    pub(super) name: String,
    /// The currency whose table it is, if each has its own.
    pub(super) currency: Option<Currency>,
    /// The rows.
    pub(super) parts: Vec<Part>,
}

/// Rows of one batch.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The batch.
    pub(super) batch: Arc<Batch>,
    /// Which of its rows, ascending.
    pub(super) rows: Vec<u32>,
}

/// A row that cannot be stored where it belongs.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// Its batch.
    pub(super) batch: Arc<Batch>,
    /// Its place there.
    pub(super) row: usize,
    /// The table it was meant for.
    pub(super) name: String,
    /// Why it cannot be stored.
    pub(super) why: String,
}

impl Load {
    /// Deals the rows of the batches out over the tables of the database.
    pub(super) fn deal(batches: &[Arc<Batch>], refused: &mut Vec<Refused>) -> Vec<Self> {
        let mut loads: BTreeMap<String, Self> = BTreeMap::new();
        for load in batches.iter().flat_map(|batch| Self::of(batch, refused)) {
            match loads.get_mut(&load.name) {
                Some(known) => known.parts.extend(load.parts),
                None => drop(loads.insert(load.name.clone(), load)),
            }
        }
        loads.into_values().collect()
    }

    /// The rows of one batch: a load for each table.
    pub(super) fn of(batch: &Arc<Batch>, refused: &mut Vec<Refused>) -> Vec<Self> {
        let table = batch.table();
        let load = |name: String, currency: Option<Currency>, rows: Vec<u32>| {
            let parts = vec![Part { batch: Arc::clone(batch), rows }];
            Self { table, name, currency, parts }
        };
        match table.sql {
            SqlName::One(name) => {
                let rows = u32::try_from(batch.rows()).expect("a batch is bounded");
                vec![load(name.to_owned(), None, (0..rows).collect())]
            }
            SqlName::PerCurrency(name) => by_currency(batch, name, refused)
                .into_iter()
                .map(|(currency, rows)| {
                    load(format!("{}_{name}", currency.sql()), Some(currency), rows)
                })
                .collect(),
        }
    }

    /// The same table without rows.
    pub(super) fn empty(&self) -> Self {
        let (name, currency) = (self.name.clone(), self.currency.clone());
        Self { table: self.table, name, currency, parts: Vec::new() }
    }

    /// How many rows.
    pub(super) fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len()).sum()
    }

    /// Those of its rows.
    pub(super) fn some(&self, range: Range<usize>) -> Self {
        let mut parts = Vec::new();
        let mut before = 0;
        for part in &self.parts {
            let within = |at: usize| at.saturating_sub(before).min(part.rows.len());
            let rows = &part.rows[within(range.start)..within(range.end)];
            if !rows.is_empty() {
                parts.push(Part { batch: Arc::clone(&part.batch), rows: rows.to_vec() });
            }
            before += part.rows.len();
        }
        Self { parts, ..self.empty() }
    }

    /// Its rows as refused ones.
    pub(super) fn refuse<'a>(&'a self, why: &'a str) -> impl Iterator<Item = Refused> + 'a {
        self.parts.iter().flat_map(move |part| {
            part.rows.iter().map(move |row| Refused {
                batch: Arc::clone(&part.batch),
                row: *row as usize,
                name: self.name.clone(),
                why: why.to_owned(),
            })
        })
    }
}

/// The rows of each currency. A batch has few distinct names: each is looked at once.
fn by_currency(
    batch: &Arc<Batch>,
    table: &str,
    refused: &mut Vec<Refused>,
) -> BTreeMap<Currency, Vec<u32>> {
    let Partition::CurrencyAndDate(column) = batch.table().partition else {
        unreachable!("a table a currency has a column that names it")
    };
    let at = batch.table().index_of(column).expect("checked where tables are declared");
    let names = batch.columns().column(at).as_dictionary::<Int32Type>();
    let texts = names.values().as_string::<i32>();
    let currencies: Vec<Result<Currency, String>> = (0..texts.len())
        .map(|key| instrument::currency(texts.value(key)).parse::<Currency>())
        .collect();
    let mut rows: BTreeMap<Currency, Vec<u32>> = BTreeMap::new();
    for (row, key) in (0_u32..).zip(names.keys().values()) {
        match &currencies[*key as usize] {
            // Found by reference: a currency is copied when it is new.
            Ok(currency) => match rows.get_mut(currency) {
                Some(rows) => rows.push(row),
                None => drop(rows.insert(currency.clone(), vec![row])),
            },
            Err(why) => refused.push(Refused {
                batch: Arc::clone(batch),
                row: row as usize,
                name: table.to_owned(),
                why: format!("{column}: {why}"),
            }),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;
    use schema::tables;

    fn rows(load: &Load) -> Vec<(u64, u32)> {
        let rows = |part: &Part| {
            let position = part.batch.position();
            part.rows.iter().map(move |row| (position, *row)).collect::<Vec<_>>()
        };
        load.parts.iter().flat_map(rows).collect()
    }

    #[test]
    fn every_row_is_dealt_once_or_refused() {
        let mut sample = Sample::new(7);
        let mut refused = Vec::new();
        let quotes = tables::named("option_quotes").unwrap();
        let batches: Vec<_> = (0..3).map(|_| sample.batch(quotes, 200)).collect();
        let loads = Load::deal(&batches, &mut refused);
        let names: Vec<&str> = loads.iter().map(|load| load.name.as_str()).collect();
        assert_eq!(names, ["btc_option_quotes", "eth_option_quotes", "xrp_usdc_option_quotes"]);
        assert!(!refused.is_empty(), "the sample has names that no table could have");
        let dealt: usize = loads.iter().map(Load::rows).sum();
        assert_eq!(dealt + refused.len(), 600);
    }

    #[test]
    fn a_load_can_be_cut_anywhere() {
        let batches = Sample::new(8).batches(20);
        for load in Load::deal(&batches, &mut Vec::new()) {
            let whole = rows(&load);
            for at in 0..=whole.len() {
                let (first, second) = (load.some(0..at), load.some(at..whole.len()));
                assert_eq!([rows(&first), rows(&second)].concat(), whole);
                assert_eq!(first.rows(), at);
            }
        }
    }
}
