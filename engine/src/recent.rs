//! The newest rows of the tables that say what has happened, for whoever asks while it happens.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_schema::DataType;
use schema::{Draft, Micros};
use serde_json::{Map, Value};

/// The newest rows since the start, a bounded number. The thread that appends writes them.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    notes: VecDeque<Arc<Note>>,
    /// Rows noted since the start.
    noted: u64,
    /// Of these, gaps.
    gaps: u64,
}

/// A row.
#[derive(Debug)]
pub struct Note {
    /// Its number: it is the so-many-th since the start, from 1.
    pub number: u64,
    /// Its table.
    pub table: &'static str,
    /// Its columns, instants as RFC 3339.
    pub row: Map<String, Value>,
}

impl Recent {
    /// Notes the rows, if they are of a table that says what has happened.
    pub fn note(&self, draft: &Draft) {
        let table = draft.table().name;
        if !TABLES.contains(&table) {
            return;
        }
        for row in 0..draft.rows() {
            let columns = draft.columns();
            let columns = columns.map(|(name, column)| (name.to_owned(), value(column, row)));
            let columns = columns.collect();
            let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            ring.noted += 1;
            ring.gaps += u64::from(table == GAPS);
            let note = Note { number: ring.noted, table, row: columns };
            ring.notes.push_back(Arc::new(note));
            if ring.notes.len() > NOTES_MAX {
                ring.notes.pop_front();
            }
        }
    }

    /// The rows after the one of this number that are still here, oldest first.
    #[must_use]
    pub fn after(&self, number: u64) -> Vec<Arc<Note>> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ring.notes.partition_point(|note| note.number <= number);
        ring.notes.range(first..).cloned().collect()
    }

    /// How many rows were noted since the start, and how many of them are gaps.
    #[must_use]
    pub fn noted(&self) -> (u64, u64) {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (ring.noted, ring.gaps)
    }
}

fn value(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Dictionary(..) => {
            let names = column.as_dictionary::<Int32Type>();
            let texts = names.values().as_string_opt::<i32>();
            texts.zip(names.key(row)).map(|(texts, key)| texts.value(key)).into()
        }
        DataType::Timestamp(..) => {
            Micros(column.as_primitive::<TimestampMicrosecondType>().value(row)).to_string().into()
        }
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        _ => Value::Null,
    }
}

/// Rows that are kept.
pub const NOTES_MAX: usize = 2_000;
/// The table of gaps.
pub const GAPS: &str = "data_gaps";
/// The table of what has happened to options.
pub const EVENTS: &str = "lifecycle_events";
const TABLES: [&str; 2] = [GAPS, EVENTS];

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Origin;
    use schema::tables::{DataGap, IndexTick, Rows};

    fn gaps(count: usize) -> Draft {
        let mut rows = Rows::default();
        for _ in 0..count {
            rows.data_gaps.push(&DataGap {
                start_time: Micros(1),
                received_at: Micros(2),
                instrument: "*",
                end_time: None,
                duration_sec: Some(3),
                cause: "silent",
                shard: "btc-options-0",
                detail: None,
                created_at: Micros(2),
            });
        }
        rows.data_gaps.take(Origin::default()).unwrap()
    }

    #[test]
    fn the_newest_rows_are_kept_with_their_numbers() {
        let recent = Recent::default();
        recent.note(&gaps(2));
        let mut rows = Rows::default();
        let tick = IndexTick {
            timestamp: Micros(1),
            received_at: Micros(2),
            index_name: "btc_usd",
            price: 1.0,
        };
        rows.index_ticks.push(&tick);
        recent.note(&rows.index_ticks.take(Origin::default()).unwrap());
        assert_eq!(recent.noted(), (2, 2), "an index is nothing that has happened");
        let notes = recent.after(1);
        assert_eq!((notes.len(), notes[0].number, notes[0].table), (1, 2, GAPS));
        let expected = serde_json::json!({
            "start_time": "1970-01-01T00:00:00.000001Z",
            "received_at": "1970-01-01T00:00:00.000002Z",
            "instrument": "*",
            "end_time": null,
            "duration_sec": 3,
            "cause": "silent",
            "shard": "btc-options-0",
            "detail": null,
            "created_at": "1970-01-01T00:00:00.000002Z",
        });
        assert_eq!(Value::Object(notes[0].row.clone()), expected);
        recent.note(&gaps(NOTES_MAX));
        assert_eq!(recent.after(0).first().map(|note| note.number), Some(3));
        assert_eq!(recent.after(u64::MAX).len(), 0);
    }
}
