//! Refused rows as rows of the table `quarantine`: what they hold, and why they are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use schema::tables::Quarantined;
use schema::{Batch, Kind, Micros, Origin, Row, Table};
use serde_json::{Map, Value};

use super::load::{Load, Part, Refused};

/// The rows as a load of the quarantine.
pub(super) fn load(refused: &[Refused], source: &str) -> Load {
    let mut builders = Quarantined::builders();
    for refused in refused {
        Quarantined {
            received_at: Micros(refused.batch.received_at().value(refused.row)),
            channel: &refused.name,
            reason: &refused.why,
            raw: &whole(&refused.batch, refused.row).to_string(),
            source,
        }
        .append(&mut builders);
    }
    let table = Quarantined::TABLE;
    let sequence = |refused: &Refused| {
        let numbers = refused.batch.columns().column(Table::SEQUENCE);
        numbers.as_primitive::<Int64Type>().value(refused.row)
    };
    let sequences = Int64Array::from_iter_values(refused.iter().map(sequence));
    let mut columns = Quarantined::finish(&mut builders);
    columns.insert(Table::SEQUENCE, Arc::new(sequences));
    let columns = RecordBatch::try_new(table.arrow(), columns).expect("one declaration");
    let rows = (0..).take(refused.len()).collect();
    let batch = Arc::new(Batch::new(table, 0, Origin::default(), columns));
    let parts = vec![Part { batch, rows }];
    Load { table, name: table.name.to_owned(), currency: None, parts }
}

/// Says in the log how many rows were refused, for each table and reason.
pub(super) fn report(refused: &[Refused]) {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for refused in refused {
        *counts.entry((&refused.name, &refused.why)).or_default() += 1;
    }
    for ((table, why), rows) in counts.iter().take(REASONS_MAX) {
        tracing::warn!(table, rows, "{why}: kept in the table quarantine");
    }
    if counts.len() > REASONS_MAX {
        let more = counts.len() - REASONS_MAX;
        tracing::warn!(more, "and for other reasons: see the table quarantine");
    }
}

/// A row as JSON: what is null is left out, a number that JSON has no word for is a text.
fn whole(batch: &Batch, row: usize) -> Value {
    let columns = batch.table().columns.iter().zip(batch.columns().columns());
    let cells = columns.filter(|(_, array)| array.is_valid(row));
    let cells =
        cells.map(|(column, array)| (column.name.to_owned(), cell(column.kind, array, row)));
    Value::Object(cells.collect::<Map<_, _>>())
}

fn cell(kind: Kind, array: &ArrayRef, row: usize) -> Value {
    match kind {
        Kind::Bool => array.as_boolean().value(row).into(),
        Kind::Float => {
            let value = array.as_primitive::<Float64Type>().value(row);
            if value.is_finite() { value.into() } else { value.to_string().into() }
        }
        Kind::Int => array.as_primitive::<Int64Type>().value(row).into(),
        Kind::Time => {
            let time = array.as_primitive::<TimestampMicrosecondType>().value(row);
            Micros(time).to_string().into()
        }
        Kind::Json | Kind::Text => array.as_string::<i32>().value(row).into(),
        Kind::Name => {
            let names = array.as_dictionary::<Int32Type>();
            let key = names.keys().value(row) as usize;
            names.values().as_string::<i32>().value(key).into()
        }
    }
}

/// A poisoned stream must not fill the log as well.
const REASONS_MAX: usize = 8;
