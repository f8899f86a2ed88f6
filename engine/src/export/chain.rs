//! Option quotes in the columns of tardis.dev's `options_chain`.
//!
//! Names, order and meaning of the columns are those of its documentation and of its open source
//! normaliser: times are µs UTC as integers, a symbol is upper case, an option expires at 08:00
//! UTC, and the exchange's 0.0 for "no bid", "no ask", "no trade" is a missing cell there.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use schema::Instrument;
use schema::instrument::Shape;

/// One column of the chain.
struct Column {
    name: &'static str,
    source: Source,
}

/// Where its cells come from.
#[derive(Clone, Copy)]
enum Source {
    Exchange,
    Symbol,
    Type,
    Strike,
    Expiration,
    /// An instant of this name, as µs.
    Time(&'static str),
    /// A text of this name.
    Text(&'static str),
    /// A number of this name.
    Number(&'static str),
    /// A number of this name; 0 is missing.
    Present(&'static str),
}

/// The chain's schema.
pub(super) fn schema() -> SchemaRef {
    let field = |column: &Column| {
        let kind = match column.source {
            Source::Exchange | Source::Symbol | Source::Type | Source::Text(_) => DataType::Utf8,
            Source::Time(_) | Source::Expiration => DataType::Int64,
            Source::Strike | Source::Number(_) | Source::Present(_) => DataType::Float64,
        };
        Field::new(column.name, kind, true)
    };
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

/// The columns of `option_quotes` that the chain is made from and sorted by.
pub(super) fn sources() -> Vec<&'static str> {
    let own = |column: &Column| match column.source {
        Source::Time(name) | Source::Text(name) | Source::Number(name) | Source::Present(name) => {
            Some(name)
        }
        Source::Exchange | Source::Symbol | Source::Type | Source::Strike | Source::Expiration => {
            None
        }
    };
    COLUMNS.iter().filter_map(own).chain([INSTRUMENT, SEQUENCE]).collect()
}

/// The rows of `option_quotes` as rows of the chain.
///
/// # Panics
/// When a column of [`sources`] is not there.
pub(super) fn from_quotes(quotes: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
    let contracts = Contracts::of(quotes.column_by_name(INSTRUMENT).expect(PROJECTED));
    let columns = COLUMNS.iter().map(|column| contracts.column(column.source, quotes)).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).expect("the columns are the schema's")
}

/// What the names of a batch say.
struct Contracts<'a> {
    names: &'a StringArray,
    known: HashMap<&'a str, Contract>,
}

/// What a name says about its option; nothing about what is no option.
#[derive(Clone, Default)]
struct Contract {
    symbol: String,
    kind: Option<&'static str>,
    strike: Option<f64>,
    expiration: Option<i64>,
}

impl<'a> Contracts<'a> {
    fn of(names: &'a ArrayRef) -> Self {
        let names = names.as_string::<i32>();
        let mut known = HashMap::new();
        for name in names.iter().flatten() {
            known.entry(name).or_insert_with(|| Contract::of(name));
        }
        Self { names, known }
    }

    fn each(&self) -> impl Iterator<Item = Option<&Contract>> {
        self.names.iter().map(|name| self.known.get(name?))
    }

    fn column(&self, source: Source, quotes: &RecordBatch) -> ArrayRef {
        let column = |name| quotes.column_by_name(name).expect(PROJECTED);
        match source {
            Source::Exchange => Arc::new(StringArray::from(vec![EXCHANGE; quotes.num_rows()])),
            Source::Symbol => self.texts(|contract| Some(&contract.symbol)),
            Source::Type => self.texts(|contract| contract.kind),
            Source::Strike => {
                let mut strikes = Float64Builder::new();
                self.each().for_each(|one| strikes.append_option(one.and_then(|one| one.strike)));
                Arc::new(strikes.finish())
            }
            Source::Expiration => {
                let mut times = Int64Builder::new();
                self.each().for_each(|one| times.append_option(one.and_then(|one| one.expiration)));
                Arc::new(times.finish())
            }
            Source::Time(name) => {
                let times = column(name).as_primitive::<TimestampMicrosecondType>();
                Arc::new(times.reinterpret_cast::<Int64Type>())
            }
            Source::Text(name) | Source::Number(name) => Arc::clone(column(name)),
            Source::Present(name) => {
                let numbers = column(name).as_primitive::<Float64Type>();
                let mut present = Float64Builder::with_capacity(numbers.len());
                numbers.iter().for_each(|one| present.append_option(one.filter(|one| *one != 0.0)));
                Arc::new(present.finish())
            }
        }
    }

    fn texts<'b>(&'b self, of: impl Fn(&'b Contract) -> Option<&'b str>) -> ArrayRef {
        let mut texts = StringBuilder::new();
        self.each().for_each(|one| texts.append_option(one.and_then(&of)));
        Arc::new(texts.finish())
    }
}

impl Contract {
    fn of(name: &str) -> Self {
        let symbol = name.to_uppercase();
        match Instrument::parse(name).shape {
            Shape::Option { expiry, strike, call } => Self {
                symbol,
                kind: Some(if call { "call" } else { "put" }),
                strike: Some(strike),
                expiration: Some(expiry.start().0 + EXPIRY_US),
            },
            Shape::Perpetual | Shape::Future { .. } | Shape::Spot | Shape::Other => {
                Self { symbol, ..Self::default() }
            }
        }
    }
}

const EXCHANGE: &str = "deribit";
const INSTRUMENT: &str = "instrument";
const SEQUENCE: &str = "sequence";
const PROJECTED: &str = "the columns of `sources` were read";
/// 08:00 UTC.
const EXPIRY_US: i64 = 8 * 3_600_000_000;

const COLUMNS: [Column; 24] = [
    Column { name: "exchange", source: Source::Exchange },
    Column { name: "symbol", source: Source::Symbol },
    Column { name: "timestamp", source: Source::Time("timestamp") },
    Column { name: "local_timestamp", source: Source::Time("received_at") },
    Column { name: "type", source: Source::Type },
    Column { name: "strike_price", source: Source::Strike },
    Column { name: "expiration", source: Source::Expiration },
    Column { name: "open_interest", source: Source::Number("open_interest") },
    Column { name: "last_price", source: Source::Present("last_price") },
    Column { name: "bid_price", source: Source::Present("best_bid_price") },
    Column { name: "bid_amount", source: Source::Present("best_bid_amount") },
    Column { name: "bid_iv", source: Source::Present("bid_iv") },
    Column { name: "ask_price", source: Source::Present("best_ask_price") },
    Column { name: "ask_amount", source: Source::Present("best_ask_amount") },
    Column { name: "ask_iv", source: Source::Present("ask_iv") },
    Column { name: "mark_price", source: Source::Number("mark_price") },
    Column { name: "mark_iv", source: Source::Number("mark_iv") },
    Column { name: "underlying_index", source: Source::Text("underlying_index") },
    Column { name: "underlying_price", source: Source::Number("underlying_price") },
    Column { name: "delta", source: Source::Number("delta") },
    Column { name: "gamma", source: Source::Number("gamma") },
    Column { name: "vega", source: Source::Number("vega") },
    Column { name: "theta", source: Source::Number("theta") },
    Column { name: "rho", source: Source::Number("rho") },
];
