//! One column of a batch as the cells of a binary COPY: how, is decided once a batch.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use schema::Kind;

use super::column::SqlKind;
use super::numeric::{Decimal, Room};
use super::refusal::Reason;

/// The cells of one column.
pub(super) struct Cells<'a> {
    values: Values<'a>,
    not_null: bool,
}

enum Values<'a> {
    Bool(&'a BooleanArray),
    Float8(&'a Float64Array),
    Float4(&'a Float64Array),
    Numeric(&'a Float64Array, Option<Room>),
    WholeFloat(&'a Float64Array, u32),
    Int(&'a Int64Array, u32),
    IntFloat(&'a Int64Array),
    IntNumeric(&'a Int64Array, Option<Room>),
    /// Few distinct texts: each is checked and encoded once.
    Names(&'a Int32Array, Vec<Result<Box<[u8]>, Reason>>),
    Text(&'a StringArray, Option<usize>),
    /// With what stands before the text: a `jsonb` begins with its version.
    Json(&'a StringArray, &'static [u8]),
    Time(&'a TimestampMicrosecondArray),
    Date(&'a TimestampMicrosecondArray),
}

impl<'a> Cells<'a> {
    /// How the cells of a column are written into a column of the database; `None` when they
    /// cannot be.
    pub(super) fn new(
        kind: Kind,
        array: &'a ArrayRef,
        sql: SqlKind,
        not_null: bool,
    ) -> Option<Self> {
        let values = match (kind, sql) {
            (Kind::Bool, SqlKind::Bool) => Values::Bool(array.as_boolean()),
            (Kind::Float, sql) => float(array.as_primitive::<Float64Type>(), sql)?,
            (Kind::Int, sql) => int(array.as_primitive::<Int64Type>(), sql)?,
            (Kind::Name, SqlKind::Text(max)) => {
                let names = array.as_dictionary::<Int32Type>();
                let texts = names.values().as_string::<i32>();
                let encoded = |text: Option<&str>| {
                    let mut cell = Vec::new();
                    put_text(text.unwrap_or_default(), max, &mut cell)?;
                    Ok(cell.into_boxed_slice())
                };
                Values::Names(names.keys(), texts.iter().map(encoded).collect())
            }
            (Kind::Text | Kind::Json, SqlKind::Text(max)) => Values::Text(array.as_string(), max),
            (Kind::Json, SqlKind::Json) => Values::Json(array.as_string(), b""),
            (Kind::Json, SqlKind::Jsonb) => Values::Json(array.as_string(), &[1]),
            (Kind::Time, SqlKind::Time) => Values::Time(array.as_primitive()),
            (Kind::Time, SqlKind::Date) => {
                Values::Date(array.as_primitive::<TimestampMicrosecondType>())
            }
            (Kind::Bool | Kind::Name | Kind::Text | Kind::Json | Kind::Time, _) => return None,
        };
        Some(Self { values, not_null })
    }

    /// Whether cells of this kind can be written into such a column at all.
    pub(super) fn fit(kind: Kind, sql: SqlKind) -> bool {
        let empty = arrow_array::new_empty_array(&kind.arrow());
        Cells::new(kind, &empty, sql, false).is_some()
    }

    /// Appends the cell of a row. After a refusal `out` may end in a part of it.
    pub(super) fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        if self.is_null(row) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            return if self.not_null { Err(Reason::Missing) } else { Ok(()) };
        }
        match &self.values {
            Values::Bool(array) => put(&[u8::from(array.value(row))], out),
            Values::Float8(array) => put(&finite(array.value(row))?.to_be_bytes(), out),
            Values::Float4(array) => put(&single(finite(array.value(row))?)?.to_be_bytes(), out),
            Values::Numeric(array, room) => {
                put_decimal(Decimal::of(array.value(row))?, *room, out)?;
            }
            Values::WholeFloat(array, bytes) => {
                let whole = Decimal::of(array.value(row))?.integer().ok_or(Reason::Digits)?;
                put_int(whole, *bytes, out)?;
            }
            Values::Int(array, bytes) => put_int(array.value(row), *bytes, out)?,
            Values::IntFloat(array) => {
                let (value, float) = (array.value(row), array.value(row) as f64);
                if float as i128 != i128::from(value) {
                    return Err(Reason::Digits);
                }
                put(&float.to_be_bytes(), out);
            }
            Values::IntNumeric(array, room) => {
                put_decimal(Decimal::of_int(array.value(row)), *room, out)?;
            }
            Values::Names(keys, cells) => match &cells[keys.value(row) as usize] {
                Ok(cell) => out.extend_from_slice(cell),
                Err(reason) => return Err(*reason),
            },
            Values::Text(array, max) => put_text(array.value(row), *max, out)?,
            Values::Json(array, before) => put_json(array.value(row), before, out)?,
            Values::Time(array) => put(&instant(array.value(row))?.to_be_bytes(), out),
            Values::Date(array) => {
                let day = instant(array.value(row))?.div_euclid(DAY_US);
                put(&i32::try_from(day).map_err(|_| Reason::Time)?.to_be_bytes(), out);
            }
        }
        Ok(())
    }

    fn is_null(&self, row: usize) -> bool {
        match &self.values {
            Values::Bool(array) => array.is_null(row),
            Values::Float8(array)
            | Values::Float4(array)
            | Values::Numeric(array, _)
            | Values::WholeFloat(array, _) => array.is_null(row),
            Values::Int(array, _) | Values::IntFloat(array) | Values::IntNumeric(array, _) => {
                array.is_null(row)
            }
            Values::Names(keys, _) => keys.is_null(row),
            Values::Text(array, _) | Values::Json(array, _) => array.is_null(row),
            Values::Time(array) | Values::Date(array) => array.is_null(row),
        }
    }
}

fn float(array: &Float64Array, sql: SqlKind) -> Option<Values<'_>> {
    Some(match sql {
        SqlKind::Float8 => Values::Float8(array),
        SqlKind::Float4 => Values::Float4(array),
        SqlKind::Numeric(room) => Values::Numeric(array, room),
        SqlKind::Int(bytes) => Values::WholeFloat(array, bytes),
        SqlKind::Bool | SqlKind::Text(_) | SqlKind::Json | SqlKind::Jsonb => return None,
        SqlKind::Time | SqlKind::Date => return None,
    })
}

fn int(array: &Int64Array, sql: SqlKind) -> Option<Values<'_>> {
    Some(match sql {
        SqlKind::Int(bytes) => Values::Int(array, bytes),
        SqlKind::Float8 => Values::IntFloat(array),
        SqlKind::Numeric(room) => Values::IntNumeric(array, room),
        SqlKind::Float4 | SqlKind::Bool | SqlKind::Text(_) => return None,
        SqlKind::Json | SqlKind::Jsonb | SqlKind::Time | SqlKind::Date => return None,
    })
}

fn put(cell: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(cell.len()).expect("a cell is far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(cell);
}

fn put_decimal(value: Decimal, room: Option<Room>, out: &mut Vec<u8>) -> Result<(), Reason> {
    if let Some(room) = room {
        value.check(room)?;
    }
    value.encode(out);
    Ok(())
}

fn put_int(value: i64, bytes: u32, out: &mut Vec<u8>) -> Result<(), Reason> {
    let unused = 64 - 8 * bytes;
    if value << unused >> unused != value {
        return Err(Reason::TooLarge);
    }
    put(&value.to_be_bytes()[8 - bytes as usize..], out);
    Ok(())
}

fn put_text(text: &str, max: Option<usize>, out: &mut Vec<u8>) -> Result<(), Reason> {
    if text.contains('\0') {
        return Err(Reason::Nul);
    }
    // A text has at most as many characters as bytes.
    if let Some(max) = max
        && text.len() > max
    {
        let has = text.chars().count();
        if has > max {
            return Err(Reason::TooLong { has, max });
        }
    }
    put(text.as_bytes(), out);
    Ok(())
}

fn put_json(text: &str, before: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| Reason::NotJson)?;
    let length = u32::try_from(before.len() + text.len()).expect("a cell is far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(before);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn finite(value: f64) -> Result<f64, Reason> {
    if value.is_finite() { Ok(value) } else { Err(Reason::NotFinite) }
}

/// A `real` shows the shortest digits of its 32 bits: they must be those of the 64.
fn single(value: f64) -> Result<f32, Reason> {
    let single = value as f32;
    let mut buffer = zmij::Buffer::new();
    if !single.is_finite() {
        return Err(Reason::TooLarge);
    }
    match buffer.format_finite(single).parse::<f64>() {
        Ok(shown) if shown == value => Ok(single),
        Ok(_) | Err(_) => Err(Reason::Digits),
    }
}

/// Microseconds since 2000, where PostgreSQL's time begins.
fn instant(micros: i64) -> Result<i64, Reason> {
    match micros.checked_sub(EPOCH_US) {
        Some(instant) if (TIME_MIN..TIME_END).contains(&instant) => Ok(instant),
        _ => Err(Reason::Time),
    }
}

const DAY_US: i64 = 86_400_000_000;
/// 2000-01-01 since 1970.
const EPOCH_US: i64 = 946_684_800_000_000;
/// 4714-11-24 BC and the end of 294276 AD since 2000 (`timestamp.h`).
const TIME_MIN: i64 = -211_813_488_000_000_000;
const TIME_END: i64 = 9_223_371_331_200_000_000;
