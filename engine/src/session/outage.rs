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
}

#[derive(Debug)]
struct Open {
    since: Micros,
    /// A moment of the gap: what tells whether the wall clock was set during it.
    seen: Option<Now>,
    cause: Cause,
    repeats: u32,
}

impl Outage {
    /// No gap.
    #[must_use]
    pub fn new(shard: Arc<str>) -> Self {
        Self { shard, open: None }
    }

    /// Whether a gap is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Since when data may be missing, while a gap is open.
    #[must_use]
    pub fn since(&self) -> Option<Micros> {
        self.open.as_ref().map(|open| open.since)
    }

    /// Data may be missing from `since` on. A gap that is open already keeps its cause and only
    /// ever grows.
    pub fn open(&mut self, since: Micros, cause: Cause) {
        match &mut self.open {
            Some(open) => {
                open.since = open.since.min(since);
                open.repeats = open.repeats.saturating_add(1);
            }
            None => self.open = Some(Open { since, seen: None, cause, repeats: 0 }),
        }
    }

    /// Notes a moment of the gap, the first one counts: call it soon after the gap was opened.
    pub fn seen(&mut self, now: Now) {
        if let Some(open) = &mut self.open {
            open.seen.get_or_insert(now);
        }
    }

    /// Data is complete again: writes the row.
    pub fn close(&mut self, now: Now, rows: &mut Rows) {
        if let Some(mut open) = self.open.take() {
            // The wall clock may have been set meanwhile, and nobody knows which setting is right:
            // the gap is the span that either tells. It never ends before it began.
            let set_us = open.seen.map_or(0, |seen| set_us(seen, now));
            open.since = open.since.min(Micros(open.since.0.saturating_add(set_us)));
            let end = open.seen.map_or(now.utc, |seen| latest(seen, now)).max(open.since);
            open.write(&self.shard, Some(end), now, rows);
        }
    }

    /// Nobody will see the end of an open gap: writes the row without one.
    pub fn abandon(&mut self, now: Now, rows: &mut Rows) {
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
