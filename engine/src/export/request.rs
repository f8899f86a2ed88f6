//! What is asked of an export.

use std::fmt;

use clap::ValueEnum;
use schema::{Partition, Table, tables};
use serde::{Deserialize, Serialize};

use super::glob::Glob;
use super::interval::Interval;

/// Everything that decides what an export holds. Two exports of one archive that were asked the
/// same are equal byte for byte.
///
/// Invariant: every table exists, is kept in Parquet and has instruments if some are asked for;
/// the tardis schema has the one table that it is made from, and its own order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    tables: Vec<String>,
    interval: Interval,
    instruments: Vec<Glob>,
    format: Format,
    schema: Columns,
    order: Order,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Parquet, zstd.
    Parquet,
    /// Text: shortest digits, a missing cell is empty.
    Csv,
    /// Arrow IPC files (Feather), lz4.
    Arrow,
}

/// Whose columns a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Columns {
    /// The table's own, as in docs/tables.md.
    Tapedeck,
    /// Those of tardis.dev's `options_chain`.
    Tardis,
}

/// The order of a file's rows; `sequence` breaks ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Order {
    /// By instrument, then by the table's time: the archive's own, which costs no sorting.
    Instrument,
    /// By the table's time.
    Timestamp,
    /// By the time at which a row was received here: what a program would have seen.
    ReceivedAt,
}

impl Request {
    /// # Errors
    /// A sentence that says which wishes do not go together.
    pub fn new(
        mut tables: Vec<String>,
        interval: Interval,
        mut instruments: Vec<Glob>,
        format: Format,
        schema: Columns,
        order: Option<Order>,
    ) -> Result<Self, String> {
        let order = match schema {
            Columns::Tapedeck if tables.is_empty() => {
                return Err("name the tables to export: --table option_quotes,option_trades \
                            (docs/tables.md has them all)"
                    .to_owned());
            }
            Columns::Tapedeck => order.unwrap_or(Order::Instrument),
            Columns::Tardis => {
                if tables.iter().any(|table| table != CHAIN_TABLE) {
                    return Err(format!(
                        "the tardis schema is made from {CHAIN_TABLE} alone: leave out --table, \
                         or export the other tables into another --out"
                    ));
                }
                tables = vec![CHAIN_TABLE.to_owned()];
                if order.is_some_and(|order| order != Order::ReceivedAt) {
                    return Err(
                        "the tardis schema is ordered by local_timestamp: leave out --order"
                            .to_owned(),
                    );
                }
                Order::ReceivedAt
            }
        };
        // As they are declared, and once each: the same wish in other words is the same wish.
        let wanted = tables;
        let known = tables::ALL.iter().filter(|table| is_kept(table)).map(|table| table.name);
        let tables: Vec<String> =
            known.filter(|name| wanted.iter().any(|want| want == name)).map(Into::into).collect();
        for name in wanted {
            if !tables.contains(&name) {
                return Err(format!("there is no table {name:?}: docs/tables.md has them all"));
            }
            let table = tables::named(&name).expect("a known table");
            if !instruments.is_empty() && names(table).is_none() {
                return Err(format!("{name} has no instruments: export it without --instrument"));
            }
        }
        instruments.sort();
        instruments.dedup();
        Ok(Self { tables, interval, instruments, format, schema, order })
    }

    /// The tables, in the order in which they are declared.
    pub fn tables(&self) -> impl Iterator<Item = &'static Table> {
        self.tables.iter().map(|name| tables::named(name).expect("checked when it was made"))
    }

    /// The instants that are exported.
    #[must_use]
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// How rows are written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whose columns a file has.
    #[must_use]
    pub fn schema(&self) -> Columns {
        self.schema
    }

    /// The order of a file's rows.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// Whether rows of this instrument are asked for.
    #[must_use]
    pub fn wants(&self, instrument: &str) -> bool {
        self.instruments.is_empty() || self.instruments.iter().any(|glob| glob.matches(instrument))
    }

    /// Whether some instrument of the currency may be asked for.
    #[must_use]
    pub fn wants_currency(&self, currency: &str) -> bool {
        self.instruments.is_empty()
            || self.instruments.iter().any(|glob| glob.can_match_in(currency))
    }

    /// The first thing in which two requests differ, as a person would say it.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let globs = |request: &Self| {
            let globs: Vec<String> = request.instruments.iter().map(Glob::to_string).collect();
            if globs.is_empty() { "every instrument".to_owned() } else { globs.join(",") }
        };
        let parts = |request: &Self| {
            [
                ("--table", request.tables.join(",")),
                ("the interval", request.interval.to_string()),
                ("--instrument", globs(request)),
                ("--format", request.format.to_string()),
                ("--schema", request.schema.to_string()),
                ("--order", request.order.to_string()),
            ]
        };
        let mut pairs = parts(self).into_iter().zip(parts(other));
        let (mine, others) = pairs.find(|(mine, others)| mine != others)?;
        Some(format!("{} was {}, not {}", mine.0, mine.1, others.1))
    }
}

/// The column that holds a row's instrument or index.
pub(super) fn names(table: &Table) -> Option<&'static str> {
    match table.partition {
        Partition::CurrencyAndDate(name) => Some(name),
        Partition::Whole => Some("instrument_name"),
        Partition::Date | Partition::SqlOnly => None,
    }
}

/// Whether the archive has the table.
pub(super) fn is_kept(table: &Table) -> bool {
    table.partition != Partition::SqlOnly
}

impl Format {
    /// What a file's name ends in.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
        }
    }
}

macro_rules! as_on_the_command_line {
    ($($closed:ty),*) => {$(
        impl fmt::Display for $closed {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = self.to_possible_value().expect("no value is hidden");
                f.write_str(value.get_name())
            }
        }
    )*};
}

as_on_the_command_line!(Format, Columns, Order);

/// What the tardis schema is made from.
const CHAIN_TABLE: &str = "option_quotes";
