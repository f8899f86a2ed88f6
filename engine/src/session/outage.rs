//! The span in which a shard may have missed data, and its row.

use std::sync::Arc;

use schema::tables::{DataGap, Rows};
use schema::{Micros, Now};

use crate::session::{Cause, CauseKind};

/// The open gap of a shard, if there is one. One gap is one row, however often the connection was
/// lost before everything was acknowledged again.
#[derive(Debug)]
pub struct Outage {
    shard: Arc<str>,
    open: Option<Open>,
    /// Whether there ever was one.
    ever: bool,
}

#[derive(Debug)]
struct Open {
    since: Micros,
    /// It lasted at least until then, on the clock of an earlier process.
    until: Option<Micros>,
    /// A moment of the gap: what tells whether the wall clock was set during it.
    seen: Option<Now>,
    cause: Cause,
    repeats: u32,
}

impl Outage {
    /// No gap.
    #[must_use]
    pub fn new(shard: Arc<str>) -> Self {
        Self { shard, open: None, ever: false }
    }

    /// Whether a gap is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether a gap is open, or was.
    #[must_use]
    pub fn has_been(&self) -> bool {
        self.ever
    }

    /// Since when data may be missing, while a gap is open.
    #[must_use]
    pub fn since(&self) -> Option<Micros> {
        self.open.as_ref().map(|open| open.since)
    }

    /// Data may be missing from `since` on. A gap that is open already keeps its cause and only
    /// ever grows.
    pub fn open(&mut self, since: Micros, cause: Cause) {
        self.ever = true;
        match &mut self.open {
            Some(open) => {
                open.since = open.since.min(since);
                open.repeats = open.repeats.saturating_add(1);
            }
            None => self.open = Some(Open { since, until: None, seen: None, cause, repeats: 0 }),
        }
    }

    /// One attempt more has failed to end the gap, if there is one. That says nothing about when it
    /// began: the clock may have been set back behind that.
    pub fn failed(&mut self) {
        if let Some(open) = &mut self.open {
            open.repeats = open.repeats.saturating_add(1);
        }
    }

    /// The open gap lasted at least until then, as an earlier process knew.
    pub fn lasted(&mut self, until: Micros) {
        if let Some(open) = &mut self.open {
            open.until = Some(until);
        }
    }

    /// Notes a moment of the gap, the first one counts: call it soon after the gap was opened.
    pub fn seen(&mut self, now: Now) {
        if let Some(open) = &mut self.open {
            // Set back since the earlier process: its clock is the setting that was seen first.
            let utc = open.until.map_or(now.utc, |until| until.max(now.utc));
            open.seen.get_or_insert(Now { utc, ..now });
        }
    }

    /// Data is complete again: writes the row. Since when it may be missing, if a gap was open.
    pub fn close(&mut self, now: Now, rows: &mut Rows) -> Option<Micros> {
        let mut open = self.open.take()?;
        // The wall clock may have been set meanwhile, and nobody knows which setting is right: the
        // gap is the span that either tells. It never ends before it began.
        let set_us = open.seen.map_or(0, |seen| set_us(seen, now));
        open.since = open.since.min(Micros(open.since.0.saturating_add(set_us)));
        let end = open.seen.map_or(now.utc, |seen| latest(seen, now)).max(open.since);
        open.write(&self.shard, Some(end), now, rows);
        Some(open.since)
    }

    /// Notes a moment of an open gap. Where the wall clock was set back, what the old setting tells
    /// is written at once: a process that dies before the gap ends leaves the rest of it to the
    /// next one, which knows the new setting alone.
    pub fn follow(&mut self, now: Now, rows: &mut Rows) {
        self.seen(now);
        let Some(open) = &mut self.open else { return };
        let Some(seen) = open.seen else { return };
        let set_us = set_us(seen, now);
        if set_us >= -SET_BACK_MIN_US {
            return;
        }
        open.write(&self.shard, Some(latest(seen, now).max(open.since)), now, rows);
        open.since = Micros(open.since.0.saturating_add(set_us)).min(now.utc);
        open.seen = Some(now);
    }

    /// Nobody will see the end of an open gap: writes the row without one.
    pub fn abandon(&mut self, now: Now, rows: &mut Rows) {
        self.follow(now, rows);
        if let Some(open) = self.open.take() {
            open.write(&self.shard, None, now, rows);
        }
    }
}

impl Open {
    fn write(&self, shard: &str, end: Option<Micros>, now: Now, rows: &mut Rows) {
        let repeats = match self.repeats {
            0 => String::new(),
            n => format!("; then failed {n} times more before the goal was reached"),
        };
        let gap = Gap { shard, instrument: "*", since: self.since, kind: self.cause.kind };
        gap.write(end, &format!("{}{repeats}", self.cause.detail), now, rows);
    }
}

/// By how much the wall clock was set between two moments, µs.
pub(crate) fn set_us(earlier: Now, later: Now) -> i64 {
    let elapsed = later.monotonic.saturating_sub(earlier.monotonic);
    later.utc.0.saturating_sub(earlier.utc.plus(elapsed).0)
}

/// The moment `now`, or what the clock would show if it had not been set back since `earlier`.
pub(crate) fn latest(earlier: Now, now: Now) -> Micros {
    now.utc.max(Micros(now.utc.0.saturating_sub(set_us(earlier, now))))
}

/// What identifies a row of `data_gaps`: writing it again with an end closes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap<'a> {
    pub(crate) shard: &'a str,
    pub(crate) instrument: &'a str,
    pub(crate) since: Micros,
    pub(crate) kind: CauseKind,
}

/// Whose rows a channel carries, as a gap names it: an instrument's, or everything's.
pub(crate) fn whose(channel: &str) -> &str {
    match lifecycle::instrument(channel) {
        name if name == channel => "*",
        name => name,
    }
}

impl Gap<'_> {
    /// Writes the row; without `end` the gap is open.
    pub(crate) fn write(&self, end: Option<Micros>, detail: &str, now: Now, rows: &mut Rows) {
        let seconds = |end: Micros| i64::try_from(end.since(self.since).as_secs()).unwrap_or(0);
        rows.data_gaps.push(&DataGap {
            start_time: self.since,
            received_at: now.utc,
            instrument: self.instrument,
            end_time: end,
            duration_sec: end.map(seconds),
            cause: self.kind.name(),
            shard: self.shard,
            detail: Some(detail).filter(|detail| !detail.is_empty()),
            created_at: now.utc,
        });
    }
}

/// Less than this is a clock that is kept right.
pub(crate) const SET_BACK_MIN_US: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::TimestampMicrosecondType;
    use schema::Origin;
    use std::time::Duration;

    use super::*;

    fn at(second: u64, utc: i64) -> Now {
        Now { monotonic: Duration::from_secs(second), utc: Micros(utc * 1_000_000) }
    }

    /// A gap from 100 s on the wall clock that is still open when the process ends 20 s later, and
    /// the clock shows `utc`: the rows, from and to, s.
    #[track_caller]
    fn check(utc: i64, expected: &[(i64, Option<i64>)]) {
        let (mut outage, mut rows) = (Outage::new("s".into()), Rows::default());
        outage.open(Micros(100_000_000), Cause::closed(None, ""));
        outage.follow(at(0, 100), &mut rows);
        outage.follow(at(10, utc - 10), &mut rows);
        outage.abandon(at(20, utc), &mut rows);
        let batch = rows.data_gaps.take(Origin::default()).expect("a row").number(1, 0);
        let times = |name| {
            let column = batch.columns().column_by_name(name).expect("a column").clone();
            let times = column.as_primitive::<TimestampMicrosecondType>().clone();
            times.iter().map(|at| at.map(|at| at / 1_000_000)).collect::<Vec<_>>()
        };
        let starts = times("start_time").into_iter().map(|at| at.expect("it began"));
        let spans: Vec<_> = std::iter::zip(starts, times("end_time")).collect();
        assert_eq!(spans, expected);
    }

    #[test]
    fn a_gap_in_which_the_clock_is_set_back_is_told_by_either_setting() {
        check(120, &[(100, None)]);
        check(150, &[(100, None)]);
        check(60, &[(100, Some(110)), (40, None)]);
    }
}
