//! Rows as JSON values, to compare with what was sent.

use std::collections::BTreeMap;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use schema::tables::Rows;
use schema::{Batch, Kind, Origin};
use serde_json::Value;

/// The cells of a row by column; missing ones are null.
pub(super) type Cells = BTreeMap<&'static str, Value>;

/// Takes every row, by table.
pub(super) fn rows_of(rows: &mut Rows) -> BTreeMap<&'static str, Vec<Cells>> {
    let mut tables = BTreeMap::new();
    rows.take_from(1, Origin::default(), |draft| {
        let batch = draft.number(1, 0);
        let cells = (0..batch.rows()).map(|row| cells(&batch, row)).collect();
        tables.insert(batch.table().name, cells);
    });
    tables
}

fn cells(batch: &Batch, row: usize) -> Cells {
    let columns = batch.table().columns.iter().zip(batch.columns().columns());
    columns.map(|(column, array)| (column.name, cell(column.kind, array, row))).collect()
}

fn cell(kind: Kind, array: &dyn Array, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match kind {
        Kind::Bool => array.as_boolean().value(row).into(),
        Kind::Float => array.as_primitive::<Float64Type>().value(row).into(),
        Kind::Int => array.as_primitive::<Int64Type>().value(row).into(),
        Kind::Name => {
            let names = array.as_dictionary::<Int32Type>();
            names.values().as_string::<i32>().value(names.key(row).unwrap()).into()
        }
        Kind::Json | Kind::Text => array.as_string::<i32>().value(row).into(),
        Kind::Time => array.as_primitive::<TimestampMicrosecondType>().value(row).into(),
    }
}
