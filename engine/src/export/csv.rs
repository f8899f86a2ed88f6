//! Rows as text: RFC 4180, a header, a line a row.
//!
//! A number is the shortest text that reads back as the same f64; it always shows that it is no
//! integer (`85000.0`), so that a reader that guesses a column's type from its beginning is not
//! wrong later. A missing cell is empty, an empty text is `""`. An instant is RFC 3339 with
//! microseconds.

use std::io::{self, Write};

use arrow_array::TimestampMicrosecondArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Schema};
use schema::Micros;

/// A column, cast once a batch.
pub(super) enum Cells<'a> {
    Bool(&'a BooleanArray),
    Float(&'a Float64Array),
    Int(&'a Int64Array),
    Text(&'a StringArray),
    Time(&'a TimestampMicrosecondArray),
}

/// Writes the names of the columns.
pub(super) fn header(schema: &Schema, out: &mut impl Write) -> io::Result<()> {
    for (at, field) in schema.fields().iter().enumerate() {
        out.write_all(if at == 0 { b"" } else { b"," })?;
        text(field.name(), out)?;
    }
    out.write_all(b"\n")
}

/// Writes a line a row.
pub(super) fn rows(batch: &RecordBatch, out: &mut impl Write) -> io::Result<()> {
    let columns: Vec<Cells<'_>> = batch.columns().iter().map(|column| Cells::of(column)).collect();
    for row in 0..batch.num_rows() {
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                out.write_all(b",")?;
            }
            column.write(row, out)?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

impl<'a> Cells<'a> {
    /// # Panics
    /// When it is a column of a type that no table has.
    pub(super) fn of(column: &'a dyn Array) -> Self {
        match column.data_type() {
            DataType::Boolean => Self::Bool(column.as_boolean()),
            DataType::Float64 => Self::Float(column.as_primitive::<Float64Type>()),
            DataType::Int64 => Self::Int(column.as_primitive::<Int64Type>()),
            DataType::Utf8 => Self::Text(column.as_string()),
            DataType::Timestamp(..) => {
                Self::Time(column.as_primitive::<TimestampMicrosecondType>())
            }
            other => panic!("no column of a table is {other}"),
        }
    }

    fn write(&self, row: usize, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Bool(cells) if cells.is_valid(row) => write!(out, "{}", cells.value(row)),
            Self::Float(cells) if cells.is_valid(row) => write!(out, "{:?}", cells.value(row)),
            Self::Int(cells) if cells.is_valid(row) => write!(out, "{}", cells.value(row)),
            Self::Text(cells) if cells.is_valid(row) => text(cells.value(row), out),
            Self::Time(cells) if cells.is_valid(row) => write!(out, "{}", Micros(cells.value(row))),
            Self::Bool(_) | Self::Float(_) | Self::Int(_) | Self::Text(_) | Self::Time(_) => Ok(()),
        }
    }
}

/// A text, in quotes where it would not be one cell, or not be seen at all, without them.
fn text(text: &str, out: &mut impl Write) -> io::Result<()> {
    if !text.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        return out.write_all(text.as_bytes());
    }
    write!(out, "\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn cells_are_written_so_that_they_read_back() {
        let floats = [0.1, 85_000.0, -0.0, 5e-324, 1e22, f64::MAX, 1.0 / 3.0, 0.000_06];
        let texts = ["plain", "", "a,b", "say \"hi\"", "two\nlines", "é", " ", "NULL"];
        let times = [0, 1_795_478_400_000_001, -1, 0, 0, 0, 0, 0];
        let batch = RecordBatch::try_from_iter([
            ("f", Arc::new(Float64Array::from(floats.to_vec())) as Arc<dyn Array>),
            ("t", Arc::new(StringArray::from(texts.to_vec()))),
            ("at", Arc::new(TimestampMicrosecondArray::from(times.to_vec()))),
            (
                "i",
                Arc::new(Int64Array::from(vec![
                    None,
                    Some(i64::MIN),
                    None,
                    None,
                    None,
                    None,
                    None,
                    None,
                ])),
            ),
        ])
        .unwrap();
        let mut out = Vec::new();
        header(&batch.schema(), &mut out).unwrap();
        rows(&batch, &mut out).unwrap();
        let expected = "f,t,at,i\n\
            0.1,plain,1970-01-01T00:00:00.000000Z,\n\
            85000.0,\"\",2026-11-24T00:00:00.000001Z,-9223372036854775808\n\
            -0.0,\"a,b\",1969-12-31T23:59:59.999999Z,\n\
            5e-324,\"say \"\"hi\"\"\",1970-01-01T00:00:00.000000Z,\n\
            1e22,\"two\nlines\",1970-01-01T00:00:00.000000Z,\n\
            1.7976931348623157e308,é,1970-01-01T00:00:00.000000Z,\n\
            0.3333333333333333, ,1970-01-01T00:00:00.000000Z,\n\
            6e-5,NULL,1970-01-01T00:00:00.000000Z,\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
