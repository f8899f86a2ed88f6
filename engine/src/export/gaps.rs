//! The gaps of an interval, each once, with its end if it has one.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use schema::{Micros, instrument};
use serde::{Deserialize, Serialize};

use super::interval::{Interval, as_text, as_text_or_null};
use super::request::Request;

/// A span in which rows may be missing, as `data_gaps` has it (docs/gaps.md).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// From when rows may be missing.
    #[serde(with = "as_text")]
    pub from: Micros,
    /// From when none is; `None` while the gap is open.
    #[serde(with = "as_text_or_null")]
    pub to: Option<Micros>,
    /// Why.
    pub cause: String,
    /// The shard that listened.
    pub shard: String,
    /// The instrument, or `*` for all that the shard listens to.
    pub instrument: String,
    /// What exactly is missing.
    pub detail: Option<String>,
}

/// Gathers gaps out of the rows of `data_gaps`.
#[derive(Default)]
pub(super) struct Gaps(HashMap<Identity, (i64, Gap)>);

/// The identity of a row of `data_gaps`: shard, instrument, beginning, cause.
type Identity = (String, String, Micros, String);

impl Gaps {
    /// Adds rows. A gap that is written again, with its end, replaces what was known of it.
    ///
    /// # Panics
    /// When a column of `data_gaps` is not there: the reader of the archive checks that.
    pub(super) fn add(&mut self, rows: &RecordBatch) {
        let column = |name| rows.column_by_name(name).expect("a column of data_gaps");
        let instants = |name| column(name).as_primitive::<TimestampMicrosecondType>();
        let texts = |name| column(name).as_string::<i32>();
        let sequences = column("sequence").as_primitive::<Int64Type>();
        let (starts, ends, details) =
            (instants("start_time"), instants("end_time"), texts("detail"));
        let (causes, shards, names) = (texts("cause"), texts("shard"), texts("instrument"));
        for row in 0..rows.num_rows() {
            let gap = Gap {
                from: Micros(starts.value(row)),
                to: ends.is_valid(row).then(|| Micros(ends.value(row))),
                cause: causes.value(row).to_owned(),
                shard: shards.value(row).to_owned(),
                instrument: names.value(row).to_owned(),
                detail: details.is_valid(row).then(|| details.value(row).to_owned()),
            };
            let sequence = sequences.value(row);
            let known = self.0.entry(gap.identity()).or_insert_with(|| (sequence, gap.clone()));
            let newer = (gap.to.is_some(), sequence) > (known.1.to.is_some(), known.0);
            if newer {
                *known = (sequence, gap);
            }
        }
    }

    /// The gaps that touch the interval, oldest first.
    pub(super) fn of(self, interval: Interval) -> Vec<Gap> {
        let restarts: Vec<(i64, Gap)> =
            self.0.values().filter(|(_, gap)| gap.cause == RESTART).cloned().collect();
        let taken_over = |sequence: i64, gap: &Gap| {
            gap.to.is_none()
                && restarts.iter().any(|(later, restart)| {
                    *later > sequence && restart.shard == gap.shard && restart.from <= gap.from
                })
        };
        let gaps = self.0.into_values();
        let gaps = gaps.filter(|(sequence, gap)| !taken_over(*sequence, gap)).map(|(_, gap)| gap);
        let mut gaps: Vec<Gap> = gaps.filter(|gap| gap.touches(interval)).collect();
        gaps.sort();
        gaps
    }
}

impl Gap {
    fn identity(&self) -> Identity {
        (self.shard.clone(), self.instrument.clone(), self.from, self.cause.clone())
    }

    /// Whether some instant belongs to both.
    pub(super) fn touches(&self, interval: Interval) -> bool {
        self.from < interval.to() && self.to.is_none_or(|to| to > interval.from())
    }

    /// Whether rows of a file can be missing because of it.
    pub(super) fn concerns(&self, currency: Option<&str>, request: &Request) -> bool {
        if self.instrument == EVERYTHING {
            return true;
        }
        let same =
            currency.is_none_or(|currency| instrument::currency(&self.instrument) == currency);
        same && request.wants(&self.instrument)
    }
}

const EVERYTHING: &str = "*";
/// Takes over a gap that was open when the recorder ended (docs/gaps.md).
const RESTART: &str = "restart";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, StringArray};
    use schema::tables::{DataGap, Rows};
    use schema::{Kind, Origin};

    use super::*;

    fn row<'a>(shard: &'a str, cause: &'a str, from: i64, to: Option<i64>) -> DataGap<'a> {
        DataGap {
            start_time: Micros(from),
            received_at: Micros(from),
            instrument: "*",
            end_time: to.map(Micros),
            duration_sec: None,
            cause,
            shard,
            detail: None,
            created_at: Micros(from),
        }
    }

    #[track_caller]
    fn check(gaps: &[DataGap<'_>], interval: [i64; 2], expected: &[&str]) {
        let mut rows = Rows::default();
        gaps.iter().for_each(|gap| rows.data_gaps.push(gap));
        let batch = rows.data_gaps.take(Origin::default()).unwrap().number(1, 0);
        // As the archive's files have them.
        let schema = batch.table().parquet();
        let columns = batch.columns().columns().iter().zip(batch.table().columns);
        let columns = columns.map(|(column, about)| -> ArrayRef {
            if about.kind != Kind::Name {
                return Arc::clone(column);
            }
            let names = column.as_dictionary::<Int32Type>().downcast_dict::<StringArray>();
            Arc::new(names.unwrap().into_iter().collect::<StringArray>())
        });
        let batch = RecordBatch::try_new(schema, columns.collect()).unwrap();
        let mut gaps = Gaps::default();
        gaps.add(&batch);
        let interval = Interval::new(Micros(interval[0]), Micros(interval[1])).unwrap();
        let text = |gap: &Gap| {
            let to = gap.to.map_or("open".to_owned(), |to| to.0.to_string());
            format!("{} {} {}..{to}", gap.shard, gap.cause, gap.from.0)
        };
        assert_eq!(gaps.of(interval).iter().map(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_gap_stands_once_with_its_end() {
        let again = [row("a", "silent", 10, None), row("a", "silent", 10, Some(20))];
        check(&again, [0, 100], &["a silent 10..20"]);
        let open = [row("a", "silent", 10, None), row("b", "silent", 10, Some(20))];
        check(&open, [0, 100], &["a silent 10..open", "b silent 10..20"]);
    }

    #[test]
    fn a_restart_takes_over_what_was_open() {
        let open = row("a", "disconnected", 10, None);
        check(&[open, row("a", "restart", 10, Some(30))], [0, 100], &["a restart 10..30"]);
        check(
            &[open, row("b", "restart", 10, Some(30)), row("a", "restart", 20, Some(30))],
            [0, 100],
            &["a disconnected 10..open", "b restart 10..30", "a restart 20..30"],
        );
        check(
            &[row("a", "restart", 10, Some(30)), open],
            [0, 100],
            &["a disconnected 10..open", "a restart 10..30"],
        );
    }

    #[test]
    fn a_gap_elsewhere_is_left_out() {
        let gaps = [row("a", "silent", 10, Some(20)), row("a", "silent", 30, None)];
        check(&gaps, [0, 10], &[]);
        check(&gaps, [0, 11], &["a silent 10..20"]);
        check(&gaps, [20, 30], &[]);
        check(&gaps, [1_000, 2_000], &["a silent 30..open"]);
    }
}
