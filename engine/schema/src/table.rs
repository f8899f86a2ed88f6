//! A table as a value.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};

use crate::Kind;

/// One stored table. Two tables are the same table when their names are equal.
///
/// Invariants, checked where a table is declared: column names are unique; `time`, the columns of
/// `identity` and the partition's name column exist, are not nullable and have the right kind;
/// the column `sequence` stands third and belongs to the journal alone.
#[derive(Debug)]
pub struct Table {
    /// The name in the journal and in Parquet (`DATA/parquet/NAME/`).
    pub name: &'static str,
    /// What a row is.
    pub doc: &'static str,
    /// The columns in their order. They are only ever appended to.
    pub columns: &'static [Column],
    /// The column that says when a row happened; it decides the row's UTC date.
    pub time: &'static str,
    /// The columns that identify a row: two rows equal in these are one row.
    pub identity: &'static [&'static str],
    /// How Parquet files are laid out in folders.
    pub partition: Partition,
    /// The table's name in SQL.
    pub sql: SqlName,
}

/// One column of a table.
#[derive(Debug)]
pub struct Column {
    /// The name, the same in Arrow, Parquet and SQL.
    pub name: &'static str,
    /// What it is and where it comes from.
    pub doc: &'static str,
    /// What its cells hold.
    pub kind: Kind,
    /// Whether a cell may be missing.
    pub nullable: bool,
    /// What its numbers count.
    pub unit: Unit,
}

/// The folders above a table's Parquet files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// `currency=BTC/date=2026-11-24/`, the currency read from the named column.
    CurrencyAndDate(&'static str),
    /// `date=2026-11-24/`.
    Date,
    /// No folder: a small table that is read whole.
    Whole,
    /// Not in Parquet: a view of another table that only the database keeps.
    SqlOnly,
}

/// What a table is called in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlName {
    /// One table.
    One(&'static str),
    /// A table a currency: the lower-case currency, an underscore, this.
    PerCurrency(&'static str),
}

/// What a number counts. Every column has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Not a number.
    Plain,
    /// The instrument's quote unit: BTC or ETH for inverse options, USD for inverse perpetuals,
    /// the quote currency for linear instruments.
    Price,
    /// The underlying coin for options, USD for inverse perpetuals, the base coin for linear ones.
    Amount,
    /// US dollars (the exchange's index currency).
    Usd,
    /// Percent: `52.3` is 52.3 %.
    Percent,
    /// A pure ratio: `0.0001` is 0.01 %.
    Ratio,
    /// The change of the option's coin value with the underlying: coins per coin.
    Delta,
    /// The change of delta when the underlying moves by one USD.
    PerUsd,
    /// USD for one percentage point of volatility.
    UsdPerVolPoint,
    /// USD a day.
    UsdPerDay,
    /// USD for one percentage point of interest.
    UsdPerRatePoint,
    /// Contracts of the instrument's contract size.
    Contracts,
    /// A whole number of things.
    Count,
    /// A number that only names or orders.
    Id,
    /// Microseconds since 1970 UTC.
    Instant,
    /// Nanoseconds since 1970 UTC.
    Nanoseconds,
    /// Seconds.
    Seconds,
    /// Rows a second.
    PerSecond,
    /// Bytes.
    Bytes,
}

impl Table {
    /// The Arrow schema of a batch, `sequence` included. Made once a table by the caller.
    #[must_use]
    pub fn arrow(&self) -> SchemaRef {
        self.fields(|column| column.kind.arrow())
    }

    /// The schema of the table's Parquet files.
    #[must_use]
    pub fn parquet(&self) -> SchemaRef {
        self.fields(|column| column.kind.parquet())
    }

    fn fields(&self, kind: impl Fn(&Column) -> arrow_schema::DataType) -> SchemaRef {
        let field = |column: &Column| {
            let unit = HashMap::from([("unit".to_owned(), column.unit.text().to_owned())]);
            Field::new(column.name, kind(column), column.nullable).with_metadata(unit)
        };
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// Where the named column stands.
    #[must_use]
    pub const fn index_of(&self, name: &str) -> Option<usize> {
        let mut i = 0;
        while i < self.columns.len() {
            if same(self.columns[i].name, name) {
                return Some(i);
            }
            i += 1;
        }
        None
    }

    /// Where the journal's `sequence` stands in every table.
    pub const SEQUENCE: usize = 2;

    /// Evaluated at compile time by [`table!`](crate::table!): a wrong table does not compile.
    #[doc(hidden)]
    pub const fn check(&self) {
        assert!(!self.identity.is_empty(), "a table needs an identity");
        assert!(same(self.columns[Self::SEQUENCE].name, "sequence"), "sequence stands third");
        assert!(matches!(self.columns[Self::SEQUENCE].kind, Kind::Int), "sequence counts");
        let time = self.required(self.time);
        assert!(matches!(time.kind, Kind::Time), "the time column must hold instants");
        let mut i = 0;
        while i < self.identity.len() {
            self.required(self.identity[i]);
            i += 1;
        }
        if let Partition::CurrencyAndDate(name) = self.partition {
            assert!(
                matches!(self.required(name).kind, Kind::Name),
                "a currency is read from a name"
            );
        }
        self.check_unique();
    }

    const fn check_unique(&self) {
        let mut i = 0;
        while i < self.columns.len() {
            let Some(first) = self.index_of(self.columns[i].name) else { unreachable!() };
            assert!(first == i, "two columns have the same name");
            i += 1;
        }
    }

    const fn required(&self, name: &str) -> &Column {
        match self.index_of(name) {
            Some(i) => {
                assert!(!self.columns[i].nullable, "this column must not be optional");
                &self.columns[i]
            }
            None => panic!("this column is not among the columns"),
        }
    }
}

impl Column {
    /// Whether the exchange sent this cell, so that it tells one row from the next. The local
    /// clock and the journal's number do not.
    pub(crate) fn digested(&self) -> bool {
        self.name != "received_at" && self.name != "sequence"
    }
}

impl Unit {
    /// The unit in words, for the reference page and the schema's metadata.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Price => "quote unit",
            Self::Amount => "amount unit",
            Self::Usd => "USD",
            Self::Percent => "%",
            Self::Ratio => "ratio",
            Self::Delta => "coin/coin",
            Self::PerUsd => "1/USD",
            Self::UsdPerVolPoint => "USD/vol point",
            Self::UsdPerDay => "USD/day",
            Self::UsdPerRatePoint => "USD/rate point",
            Self::Contracts => "contracts",
            Self::Count => "count",
            Self::Id => "id",
            Self::Instant => "µs UTC",
            Self::Nanoseconds => "ns UTC",
            Self::Seconds => "s",
            Self::PerSecond => "1/s",
            Self::Bytes => "bytes",
        }
    }
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
