//! What one cell can hold.

use arrow_array::ArrayRef;
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder,
    StringDictionaryBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::types::Int32Type;
use arrow_schema::{DataType, TimeUnit};

use crate::{Digest, Micros};

/// The kinds of column. Every encoder matches on this exhaustively, so that a new kind does not
/// compile until each of them knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// An IEEE 754 double, exactly the number that the exchange wrote.
    Float,
    /// A 64-bit integer: ids, sequences, nanoseconds.
    Int,
    /// A JSON document as text.
    Json,
    /// Text of few distinct values (instrument names, states), dictionary-encoded in memory.
    Name,
    /// Any UTF-8 text.
    Text,
    /// An instant, microseconds UTC.
    Time,
}

impl Kind {
    /// The column's type in memory and in the journal.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Float => DataType::Float64,
            Self::Int => DataType::Int64,
            Self::Name => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Json | Self::Text => DataType::Utf8,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        }
    }

    /// The column's type in a Parquet file: a dictionary is an encoding there, not a type.
    #[must_use]
    pub fn parquet(self) -> DataType {
        match self {
            Self::Name => DataType::Utf8,
            Self::Bool | Self::Float | Self::Int | Self::Json | Self::Text | Self::Time => {
                self.arrow()
            }
        }
    }

    /// The column's type in a table that tapedeck makes in PostgreSQL.
    #[must_use]
    pub const fn sql(self) -> &'static str {
        match self {
            Self::Bool => "boolean",
            Self::Float => "numeric",
            Self::Int => "bigint",
            Self::Json => "jsonb",
            Self::Name | Self::Text => "text",
            Self::Time => "timestamptz",
        }
    }
}

/// A column of few distinct texts; its cells are `&str`.
#[derive(Debug)]
pub struct Name;

/// A column of texts; its cells are `&str`.
#[derive(Debug)]
pub struct Text;

/// A column of JSON documents; its cells are `&str`.
#[derive(Debug)]
pub struct Json;

/// A type that can stand after the colon of a column in [`table!`](crate::table!).
pub trait Cell {
    /// What a row holds in this column.
    type Value<'a>: Copy;
    /// What gathers the column.
    type Builder: ArrayBuilder;
    /// The column's kind.
    const KIND: Kind;
    /// Whether the cell may be missing.
    const NULLABLE: bool;

    /// An empty column.
    fn builder() -> Self::Builder;
    /// Adds a cell to the column.
    fn append(value: Self::Value<'_>, builder: &mut Self::Builder);
    /// Adds a cell to a row's digest.
    fn digest(value: Self::Value<'_>, digest: &mut Digest);
}

macro_rules! cells {
    ($($ty:ty: $value:ty => $kind:ident, $builder:ty, $new:expr, |$v:ident| $raw:expr;)*) => {$(
        impl Cell for $ty {
            type Value<'a> = $value;
            type Builder = $builder;
            const KIND: Kind = Kind::$kind;
            const NULLABLE: bool = false;

            fn builder() -> $builder {
                $new
            }

            fn append($v: Self::Value<'_>, builder: &mut $builder) {
                builder.append_value($raw);
            }

            fn digest($v: Self::Value<'_>, digest: &mut Digest) {
                digest.add($raw);
            }
        }

        impl Cell for Option<$ty> {
            type Value<'a> = Option<$value>;
            type Builder = $builder;
            const KIND: Kind = Kind::$kind;
            const NULLABLE: bool = true;

            fn builder() -> $builder {
                $new
            }

            fn append(value: Self::Value<'_>, builder: &mut $builder) {
                builder.append_option(value.map(|$v| $raw));
            }

            fn digest(value: Self::Value<'_>, digest: &mut Digest) {
                match value {
                    Some($v) => digest.add($raw),
                    None => digest.add_null(),
                }
            }
        }
    )*};
}

cells! {
    bool: bool => Bool, BooleanBuilder, BooleanBuilder::new(), |v| v;
    f64: f64 => Float, Float64Builder, Float64Builder::new(), |v| v;
    i64: i64 => Int, Int64Builder, Int64Builder::new(), |v| v;
    Micros: Micros => Time, TimestampMicrosecondBuilder,
        TimestampMicrosecondBuilder::new().with_timezone(UTC), |v| v.0;
    Name: &'a str => Name, StringDictionaryBuilder<Int32Type>,
        StringDictionaryBuilder::new(), |v| v;
    Text: &'a str => Text, StringBuilder, StringBuilder::new(), |v| v;
    Json: &'a str => Json, StringBuilder, StringBuilder::new(), |v| v;
}

/// Takes the column out of its builder, which is empty afterwards.
#[doc(hidden)]
pub fn finish(builder: &mut impl ArrayBuilder) -> ArrayRef {
    builder.finish()
}

const UTC: &str = "UTC";
