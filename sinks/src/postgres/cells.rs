//! One column of a batch as the cells of a binary COPY: how, is decided once a batch.

use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, StringArray};
use arrow_buffer::NullBuffer;
use schema::Kind;

use super::column::SqlKind;
use super::numeric::{Decimal, Numbers, Room};
use super::refusal::Reason;

/// The cells of one column.
pub(super) struct Cells<'a> {
    values: Values<'a>,
    /// Where cells are missing.
    nulls: Option<&'a NullBuffer>,
    not_null: bool,
}

enum Values<'a> {
    Bool(&'a BooleanArray),
    Float8(&'a [f64]),
    Float4(&'a [f64]),
    Numeric(Numbers<'a>),
    Bounded(&'a [f64], Room),
    WholeFloat(&'a [f64], u32),
    Int(&'a [i64], u32),
    IntFloat(&'a [i64]),
    IntNumeric(&'a [i64], Option<Room>),
    Names(&'a [i32], Names),
    Text(&'a StringArray, Option<usize>),
    /// With what stands before the text: a `jsonb` begins with its version.
    Json(&'a StringArray, &'static [u8]),
    Time(&'a [i64]),
    Date(&'a [i64]),
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
        let times = || array.as_primitive::<TimestampMicrosecondType>().values();
        let values = match (kind, sql) {
            (Kind::Bool, SqlKind::Bool) => Values::Bool(array.as_boolean()),
            (Kind::Float, sql) => float(array.as_primitive::<Float64Type>().values(), sql)?,
            (Kind::Int, sql) => int(array.as_primitive::<Int64Type>().values(), sql)?,
            (Kind::Name, SqlKind::Text(max)) => {
                let names = array.as_dictionary::<Int32Type>();
                let texts = Names::new(names.values().as_string(), max);
                Values::Names(names.keys().values(), texts)
            }
            (Kind::Text | Kind::Json, SqlKind::Text(max)) => Values::Text(array.as_string(), max),
            (Kind::Json, SqlKind::Json) => Values::Json(array.as_string(), b""),
            (Kind::Json, SqlKind::Jsonb) => Values::Json(array.as_string(), &[1]),
            (Kind::Time, SqlKind::Time) => Values::Time(times()),
            (Kind::Time, SqlKind::Date) => Values::Date(times()),
            (Kind::Bool | Kind::Name | Kind::Text | Kind::Json | Kind::Time, _) => return None,
        };
        Some(Self { values, nulls: array.nulls(), not_null })
    }

    /// Whether cells of this kind can be written into such a column at all.
    pub(super) fn fit(kind: Kind, sql: SqlKind) -> bool {
        let empty = arrow_array::new_empty_array(&kind.arrow());
        Cells::new(kind, &empty, sql, false).is_some()
    }

    /// Appends the cell of a row. After a refusal `out` may end in a part of it.
    #[inline]
    pub(super) fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(&(-1_i32).to_be_bytes());
            return if self.not_null { Err(Reason::Missing) } else { Ok(()) };
        }
        match &self.values {
            // Almost every cell is one.
            Values::Numeric(numbers) => numbers.encode(row, out),
            others => others.encode(row, out),
        }
    }
}

impl Values<'_> {
    fn encode(&self, row: usize, out: &mut Vec<u8>) -> Result<(), Reason> {
        match self {
            Self::Bool(array) => put(&[u8::from(array.value(row))], out),
            Self::Float8(values) => put(&finite(values[row])?.to_be_bytes(), out),
            Self::Float4(values) => put(&single(finite(values[row])?)?.to_be_bytes(), out),
            Self::Numeric(numbers) => numbers.encode(row, out)?,
            Self::Bounded(values, room) => {
                put_decimal(Decimal::of(values[row])?, Some(*room), out)?;
            }
            Self::WholeFloat(values, bytes) => {
                let whole = Decimal::of(values[row])?.integer().ok_or(Reason::Digits)?;
                put_int(whole, *bytes, out)?;
            }
            Self::Int(values, bytes) => put_int(values[row], *bytes, out)?,
            Self::IntFloat(values) => {
                let (value, float) = (values[row], values[row] as f64);
                if float as i128 != i128::from(value) {
                    return Err(Reason::Digits);
                }
                put(&float.to_be_bytes(), out);
            }
            Self::IntNumeric(values, room) => {
                put_decimal(Decimal::of_int(values[row]), *room, out)?;
            }
            Self::Names(keys, names) => out.extend_from_slice(names.cell(keys[row])?),
            Self::Text(array, max) => put_text(array.value(row), *max, out)?,
            Self::Json(array, before) => put_json(array.value(row), before, out)?,
            Self::Time(values) => put(&instant(values[row])?.to_be_bytes(), out),
            Self::Date(values) => {
                let day = instant(values[row])?.div_euclid(DAY_US);
                put(&i32::try_from(day).map_err(|_| Reason::Time)?.to_be_bytes(), out);
            }
        }
        Ok(())
    }
}

/// Few distinct texts: each is checked and encoded once.
struct Names {
    cells: Vec<u8>,
    /// Where each lies there.
    places: Vec<Result<Range<usize>, Reason>>,
}

impl Names {
    fn new(texts: &StringArray, max: Option<usize>) -> Self {
        let mut cells = Vec::with_capacity(texts.value_data().len() + 4 * texts.len());
        let places = texts.iter().map(|text| {
            let from = cells.len();
            put_text(text.unwrap_or_default(), max, &mut cells)?;
            Ok(from..cells.len())
        });
        let places = places.collect();
        Self { cells, places }
    }

    fn cell(&self, key: i32) -> Result<&[u8], Reason> {
        let place = self.places[key as usize].as_ref().map_err(|reason| *reason)?;
        Ok(&self.cells[place.clone()])
    }
}

fn float(values: &[f64], sql: SqlKind) -> Option<Values<'_>> {
    Some(match sql {
        SqlKind::Float8 => Values::Float8(values),
        SqlKind::Float4 => Values::Float4(values),
        SqlKind::Numeric(None) => Values::Numeric(Numbers::new(values)),
        SqlKind::Numeric(Some(room)) => Values::Bounded(values, room),
        SqlKind::Int(bytes) => Values::WholeFloat(values, bytes),
        SqlKind::Bool | SqlKind::Text(_) | SqlKind::Json | SqlKind::Jsonb => return None,
        SqlKind::Time | SqlKind::Date => return None,
    })
}

fn int(values: &[i64], sql: SqlKind) -> Option<Values<'_>> {
    Some(match sql {
        SqlKind::Int(bytes) => Values::Int(values, bytes),
        SqlKind::Float8 => Values::IntFloat(values),
        SqlKind::Numeric(room) => Values::IntNumeric(values, room),
        SqlKind::Float4 | SqlKind::Bool | SqlKind::Text(_) => return None,
        SqlKind::Json | SqlKind::Jsonb | SqlKind::Time | SqlKind::Date => return None,
    })
}

#[inline]
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
