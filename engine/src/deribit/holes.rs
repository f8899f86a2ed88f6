//! Missing trades, named: a row of `data_gaps` for what late trades have not filled after a grace.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use journal::{AND, FOR_GOOD, MISSING};
use schema::tables::Rows;
use schema::{Micros, Now};

use super::decoder::Decoder;
use super::identities::Known;
use super::sequence::{Missing, Sequence};
use crate::session::{CauseKind, Gap};

/// Instruments with holes that have no name yet, each once, and when to look at them.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<(Duration, Box<str>)>);

impl Waiting {
    /// Puts the instrument on the list, if it has such a hole and is not on it.
    pub(super) fn add(&mut self, instrument: &str, known: &mut Known) {
        if let Some(noticed) = known.trades.noticed().filter(|_| !known.waits) {
            known.waits = true;
            self.0.push_back((noticed.saturating_add(GRACE), instrument.into()));
        }
    }

    /// Takes an instrument off the list.
    pub(super) fn forget(&mut self, instrument: &str) {
        self.0.retain(|(_, name)| **name != *instrument);
    }

    /// When the first of them is to be looked at.
    pub(super) fn deadline(&self) -> Duration {
        self.0.front().map_or(Duration::MAX, |(due, _)| *due)
    }
}

impl Decoder {
    /// Names the holes whose grace is over; with `last`, all of them.
    pub(super) fn name_holes(&mut self, last: bool, now: Now, rows: &mut Rows) {
        for (instrument, span) in std::mem::take(&mut self.untold) {
            if let Some(known) = self.identities.get(&instrument) {
                write(&known.trades, (&self.shard, &instrument), span, ASKED, now, rows);
            }
        }
        let until = match last {
            true => Duration::MAX,
            false => now.monotonic.saturating_sub(GRACE),
        };
        for _ in 0..self.waiting.0.len() {
            if !last && self.waiting.deadline() > now.monotonic {
                return;
            }
            let Some((_, instrument)) = self.waiting.0.pop_front() else { return };
            // An instrument that was forgotten meanwhile has been silent for long.
            let Some(known) = self.identities.get_mut(&instrument) else { continue };
            known.waits = false;
            name(&mut known.trades, (&self.shard, &instrument), until, now, rows);
            self.mending.want(&instrument, now.monotonic);
            self.waiting.add(&instrument, known);
        }
    }
}

/// Names the instrument's holes that were noticed at `until` or before.
pub(super) fn name(
    trades: &mut Sequence,
    place: (&str, &str),
    until: Duration,
    now: Now,
    rows: &mut Rows,
) {
    for from in trades.name(until) {
        write(trades, place, (from, from), LATE, now, rows);
    }
}

/// Writes the row of the holes that begin at an instant. Several trades may share one: then they
/// share the row, because shard, instrument, beginning and cause are what identifies it. Without
/// such a hole the row says how all of them came after all, and keeps its end. Whichever shard has
/// the channel now, the row is written by the name of the one that named the instrument's first.
pub(super) fn write(
    trades: &Sequence,
    (shard, instrument): (&str, &str),
    (from, to): (Micros, Micros),
    came: &str,
    now: Now,
    rows: &mut Rows,
) {
    let named = |hole: &&Missing| hole.noticed.is_none() && hole.from == from;
    let end = trades.holes().filter(named).map(|hole| hole.to).fold(to, Micros::max);
    let mut detail = String::new();
    for hole in trades.holes().filter(named) {
        let separator = if detail.is_empty() { MISSING } else { AND };
        detail.push_str(separator);
        // Writing to a String cannot fail.
        let _ = match hole.first == hole.last {
            true => write!(detail, "{}", hole.first),
            false => write!(detail, "{}..{}", hole.first, hole.last),
        };
        if hole.lost {
            detail.push_str(FOR_GOOD);
        }
    }
    if detail.is_empty() {
        let _ = write!(detail, "none is missing: {came}");
    }
    let shard = trades.named_by.as_deref().unwrap_or(shard);
    let gap = Gap { shard, instrument, since: from, kind: CauseKind::TradeSeq };
    gap.write(Some(end), &detail, now, rows);
}

/// How missing trades came after all: by themselves.
pub(super) const LATE: &str = "they came late";
/// Or because they were asked for again.
pub(super) const ASKED: &str = "they were asked for again";
/// How long a trade may come after a younger one before it counts as missing. A process that is
/// killed within this time does not name the hole; so it is as short as what a restart's gap is
/// set back for messages that were under way.
const GRACE: Duration = Duration::from_secs(2);
