//! Which trades of one instrument are recorded.
//!
//! PROTOCOL: trade_seq is the instrument's own counter: it starts at 1 and is contiguous. The
//! rule, in order:
//! 1. Above the highest: new; what was skipped is a hole.
//! 2. In a hole: late; the hole shrinks. Kept.
//! 3. Newer than every recorded trade by its timestamp: a repeat would have the timestamp that it
//!    had, so the counter has started again. Neither stored nor dropped: quarantined.
//! 4. Below the first trade that was ever recorded: late, and what lies between is a hole. Kept.
//! 5. Below a hole that had to be forgotten: it may be that hole's or a repeat. Quarantined.
//! 6. Anything else is recorded already: dropped and counted.

mod join;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use schema::{Micros, Now};
use serde::{Deserialize, Serialize};

/// The trades of one instrument that are recorded.
///
/// Invariant: `holes` are ascending, disjoint, not empty, and lie between `lowest` and `highest`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Sequence {
    /// The lowest and highest trade_seq known to be recorded; none before the first trade.
    span: Option<Span>,
    /// Whether everything below the span is taken as recorded: nobody knows where it begins.
    open: bool,
    /// When the first of all recorded trades was received, by our clock.
    begun: Option<Micros>,
    /// Ranges inside the span that are not recorded.
    holes: VecDeque<Missing>,
    /// The end of the highest hole that was forgotten.
    forgotten: Option<i64>,
    /// The newest timestamp of a trade taken here.
    newest: Option<Micros>,
    /// The shard by whose name holes are named, where that is not the one that has the channel.
    pub(super) named_by: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Span {
    lowest: i64,
    highest: i64,
    /// When these two happened.
    lowest_at: Micros,
    highest_at: Micros,
}

/// What is known of the trades that were recorded before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recorded {
    /// The highest trade_seq and when it happened.
    pub(super) highest: (i64, Micros),
    /// The lowest one; missing where nobody noted it, and all below are taken as recorded.
    pub(super) lowest: Option<(i64, Micros)>,
    /// When the first of them was received.
    pub(super) begun: Option<Micros>,
    /// When the newest row of the instrument was received.
    pub(super) received_at: Option<Micros>,
}

/// A range of trades that is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Missing {
    /// The first and last trade_seq, inclusive.
    pub(super) first: i64,
    pub(super) last: i64,
    /// When the trades on both sides of it happened. Once it is named these stay, because they
    /// are what identifies its row: then it may be a part of what was missing.
    pub(super) from: Micros,
    pub(super) to: Micros,
    /// When it was noticed; missing once it is named.
    pub(super) noticed: Option<Duration>,
    /// Whether the exchange was asked for them and has them no more.
    pub(super) lost: bool,
}

/// What a trade is to the instrument's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To be stored; before it, this many trades were skipped.
    New {
        /// Trades between the highest before and this one.
        skipped: u64,
    },
    /// To be stored, though younger ones are.
    Late {
        /// The hole that it lay in, if that was named already.
        named: Option<Missing>,
    },
    /// Stored already.
    Repeat,
    /// The counter started again.
    WentBack,
    /// In what may have been a hole.
    Forgotten,
}

impl Sequence {
    /// Trades are recorded by a process or a connection before, all that lie in the span. What was
    /// taken here above it stays, and what lies between is a hole.
    pub(super) fn resume(&mut self, recorded: Recorded) {
        let Recorded { highest: (seq, at), lowest, begun, received_at } = recorded;
        self.newest = self.newest.max(received_at);
        self.open = lowest.is_none();
        self.begun = [self.begun, begun].into_iter().flatten().min();
        self.forgotten = self.forgotten.filter(|end| *end > seq);
        let (lowest, lowest_at) = lowest.unwrap_or((seq, at));
        match self.span {
            Some(span) if span.highest > seq => {
                if span.lowest > lowest {
                    self.span = Some(Span { lowest, lowest_at, ..span });
                }
                self.holes.retain_mut(|hole| {
                    hole.first = seq.saturating_add(1).max(hole.first);
                    hole.first <= hole.last
                });
                if span.lowest > seq.saturating_add(1) {
                    let noticed = Duration::ZERO;
                    self.holes.push_front(Missing::between(
                        (seq, at),
                        (span.lowest, span.lowest_at),
                        noticed,
                    ));
                }
            }
            Some(_) | None => {
                self.span = Some(Span { lowest, highest: seq, lowest_at, highest_at: at });
                self.holes.clear();
            }
        }
    }

    /// These below the highest are not recorded, by whichever process. Their row may be written or
    /// not: nobody names them again unless they are asked for. To be told ascending, after
    /// [`resume`](Self::resume).
    pub(super) fn resume_hole(&mut self, first: i64, last: i64, from: Micros, to: Micros) {
        let Some(span) = self.span.as_mut().filter(|span| first <= last && last < span.highest)
        else {
            return;
        };
        let lowest = first.saturating_sub(1);
        if lowest < span.lowest {
            (span.lowest, span.lowest_at) = (lowest, from);
        }
        let hole = Missing { first, last, from, to, noticed: None, lost: false };
        let index = self.holes.partition_point(|other| other.first < first);
        self.holes.insert(index, hole);
    }

    /// Takes a trade in and says what to do with it. At most `limit` holes are remembered: name
    /// them before the last one [is taken](Self::is_full).
    pub(super) fn take(&mut self, seq: i64, timestamp: Micros, now: Now, limit: usize) -> Verdict {
        let verdict = self.place((seq, timestamp), now, limit);
        match verdict {
            Verdict::New { .. } | Verdict::Late { .. } => {
                self.newest = self.newest.max(Some(timestamp));
            }
            Verdict::Repeat | Verdict::WentBack | Verdict::Forgotten => {}
        }
        verdict
    }

    fn place(&mut self, trade: (i64, Micros), now: Now, limit: usize) -> Verdict {
        let ((seq, at), noticed) = (trade, now.monotonic);
        let Some(span) = self.span else {
            self.span = Some(Span { lowest: seq, highest: seq, lowest_at: at, highest_at: at });
            self.begun = Some(now.utc);
            return Verdict::New { skipped: 0 };
        };
        if seq > span.highest {
            self.span = Some(Span { highest: seq, highest_at: at, ..span });
            let skipped = seq.abs_diff(span.highest) - 1;
            if skipped > 0 {
                let before = (span.highest, span.highest_at);
                self.holes.push_back(Missing::between(before, trade, noticed));
                self.bound(limit);
            }
            return Verdict::New { skipped };
        }
        if let Some(hole) = self.fill(trade) {
            self.bound(limit);
            return Verdict::Late { named: hole.noticed.is_none().then_some(hole) };
        }
        if self.newest.is_some_and(|newest| at > newest) {
            return Verdict::WentBack;
        }
        if seq < span.lowest && !self.open {
            self.span = Some(Span { lowest: seq, lowest_at: at, ..span });
            if seq.abs_diff(span.lowest) > 1 {
                let after = (span.lowest, span.lowest_at);
                self.holes.push_front(Missing::between(trade, after, noticed));
                self.bound(limit);
            }
            return Verdict::Late { named: None };
        }
        let below = self.forgotten.is_some_and(|end| seq <= end);
        if below && seq >= span.lowest { Verdict::Forgotten } else { Verdict::Repeat }
    }

    /// The same on another monotonic clock.
    pub(super) fn reset_clock(&mut self, reset: impl Fn(Duration) -> Duration) {
        self.holes.iter_mut().for_each(|hole| hole.noticed = hole.noticed.map(&reset));
    }

    /// What is missing, ascending.
    pub(super) fn holes(&self) -> impl Iterator<Item = &Missing> {
        self.holes.iter()
    }

    /// Whether the next hole may push an older one out.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.holes.len() >= limit
    }

    /// When the oldest hole that has no name was noticed.
    pub(super) fn noticed(&self) -> Option<Duration> {
        self.holes.iter().filter_map(|hole| hole.noticed).min()
    }

    /// Names the holes that were noticed at `until` or before: where they begin in time, each
    /// once.
    pub(super) fn name(&mut self, until: Duration) -> Vec<Micros> {
        let due = |hole: &&mut Missing| hole.noticed.is_some_and(|at| at <= until);
        let mut named: Vec<Micros> = Vec::new();
        for hole in self.holes.iter_mut().filter(due) {
            hole.noticed = None;
            named.push(hole.from);
        }
        named.sort_unstable();
        named.dedup();
        named
    }

    /// The highest trade_seq that is recorded.
    pub(super) fn highest(&self) -> Option<i64> {
        self.span.map(|span| span.highest)
    }

    /// The lowest trade_seq that is recorded, if those below it would be new.
    pub(super) fn lowest(&self) -> Option<i64> {
        self.span.filter(|_| !self.open).map(|span| span.lowest)
    }

    /// Whether no trade was recorded yet at that instant of our clock: what happened then may lie
    /// below the first recorded one, where it makes no hole.
    pub(super) fn is_fresh(&self, then: Micros) -> bool {
        self.span.is_none() || self.begun.is_some_and(|begun| begun > then)
    }

    /// The first hole that is named and can still be had.
    pub(super) fn wanted(&self) -> Option<&Missing> {
        self.holes.iter().find(|hole| hole.noticed.is_none() && !hole.lost)
    }

    /// What is missing of these trades cannot be had any more: the holes that lie among them.
    pub(super) fn lose(&mut self, first: i64, last: i64) -> Vec<Missing> {
        let within = |hole: &&mut Missing| first <= hole.first && hole.last <= last;
        let holes = self.holes.iter_mut().filter(within);
        holes
            .map(|hole| {
                hole.lost = true;
                *hole
            })
            .collect()
    }

    /// Takes the trade out of the hole that it lies in: the hole as it was.
    fn fill(&mut self, (seq, at): (i64, Micros)) -> Option<Missing> {
        let index = self.holes.partition_point(|hole| hole.last < seq);
        let hole = *self.holes.get(index).filter(|hole| hole.first <= seq)?;
        self.holes.remove(index);
        let (mut before, mut after) = (hole, hole);
        (before.last, after.first) = (seq.saturating_sub(1), seq.saturating_add(1));
        if hole.noticed.is_some() {
            (before.to, after.from) = (at.max(hole.from), at.min(hole.to));
        }
        if seq < hole.last {
            self.holes.insert(index, after);
        }
        if hole.first < seq {
            self.holes.insert(index, before);
        }
        Some(hole)
    }

    /// Forgets the oldest holes beyond the limit.
    fn bound(&mut self, limit: usize) {
        while self.holes.len() > limit {
            let oldest = self.holes.pop_front().map(|hole| hole.last);
            self.forgotten = self.forgotten.max(oldest);
        }
    }
}

impl Missing {
    /// What lies between two trades. Timestamps need not follow the numbers.
    fn between(before: (i64, Micros), after: (i64, Micros), noticed: Duration) -> Self {
        Self {
            first: before.0.saturating_add(1),
            last: after.0.saturating_sub(1),
            from: before.1.min(after.1),
            to: before.1.max(after.1),
            noticed: Some(noticed),
            lost: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: Verdict = Verdict::New { skipped: 0 };
    const LATE: Verdict = Verdict::Late { named: None };

    /// All up to this trade were recorded before.
    fn until(seq: i64) -> Recorded {
        Recorded { highest: (seq, Micros(seq)), lowest: None, begun: None, received_at: None }
    }

    /// Takes trades whose timestamps grow with their numbers.
    #[track_caller]
    fn check(sequence: &mut Sequence, trades: &[(i64, Verdict)], holes: &[(i64, i64)]) {
        for (seq, expected) in trades {
            assert_eq!(
                sequence.take(*seq, Micros(*seq), Now::default(), 3),
                *expected,
                "trade {seq}"
            );
        }
        let found = sequence.holes().map(|hole| (hole.first, hole.last));
        assert_eq!(found.collect::<Vec<_>>(), holes);
    }

    #[test]
    fn a_repeat_is_dropped_and_a_hole_is_filled_once() {
        let trades = [
            (10, NEXT),
            (11, NEXT),
            (11, Verdict::Repeat),
            (15, Verdict::New { skipped: 3 }),
            (13, LATE),
            (13, Verdict::Repeat),
            (10, Verdict::Repeat),
            (12, LATE),
        ];
        check(&mut Sequence::default(), &trades, &[(14, 14)]);
    }

    #[test]
    fn before_the_first_nothing_is_recorded_unless_nobody_knows_it() {
        let fresh = [(10, NEXT), (7, LATE), (7, Verdict::Repeat), (8, LATE)];
        check(&mut Sequence::default(), &fresh, &[(9, 9)]);

        let mut known = Sequence::default();
        known.resume(Recorded { lowest: Some((10, Micros(10))), ..until(12) });
        assert_eq!(known.lowest(), Some(10));
        let trades = [(11, Verdict::Repeat), (10, Verdict::Repeat), (7, LATE), (8, LATE)];
        check(&mut known, &trades, &[(9, 9)]);

        let mut resumed = Sequence::default();
        resumed.resume(until(10));
        assert_eq!(resumed.lowest(), None);
        let trades = [
            (10, Verdict::Repeat),
            (7, Verdict::Repeat),
            (12, Verdict::New { skipped: 1 }),
            (9, Verdict::Repeat),
            (11, LATE),
        ];
        check(&mut resumed, &trades, &[]);
    }

    #[test]
    fn what_was_taken_before_resuming_stays() {
        let mut gap = Sequence::default();
        check(&mut gap, &[(10, NEXT), (12, Verdict::New { skipped: 1 })], &[(11, 11)]);
        gap.resume(until(7));
        check(&mut gap, &[(7, Verdict::Repeat), (9, LATE)], &[(8, 8), (11, 11)]);
        gap.resume(until(11));
        check(&mut gap, &[(8, Verdict::Repeat), (11, Verdict::Repeat), (13, NEXT)], &[]);
        gap.resume(until(20));
        check(&mut gap, &[(13, Verdict::Repeat), (22, Verdict::New { skipped: 1 })], &[(21, 21)]);
    }

    #[test]
    fn a_forgotten_hole_neither_loses_nor_doubles() {
        let trades = [
            (1, NEXT),
            (3, Verdict::New { skipped: 1 }),
            (5, Verdict::New { skipped: 1 }),
            (7, Verdict::New { skipped: 1 }),
            (9, Verdict::New { skipped: 1 }),
            (2, Verdict::Forgotten),
            (1, Verdict::Forgotten),
            (3, Verdict::Repeat),
            (4, LATE),
        ];
        check(&mut Sequence::default(), &trades, &[(6, 6), (8, 8)]);
    }

    #[test]
    fn a_counter_that_starts_again_is_not_a_repeat() {
        let mut sequence = Sequence::default();
        check(&mut sequence, &[(100, NEXT), (101, NEXT)], &[]);
        sequence.take(5, Micros(5), Now::default(), 3);
        assert_eq!(sequence.take(5, Micros(500), Now::default(), 3), Verdict::WentBack);
        assert_eq!(sequence.take(5, Micros(5), Now::default(), 3), Verdict::Repeat);
    }

    #[test]
    fn the_ends_of_the_range_are_trades_like_any_other() {
        let all = u64::MAX - 1;
        let mut sequence = Sequence::default();
        check(
            &mut sequence,
            &[(i64::MIN, NEXT), (i64::MAX, Verdict::New { skipped: all })],
            &[(i64::MIN + 1, i64::MAX - 1)],
        );
        check(
            &mut sequence,
            &[(i64::MAX, Verdict::Repeat), (0, LATE)],
            &[(i64::MIN + 1, -1), (1, i64::MAX - 1)],
        );
    }

    /// Whatever comes in whatever order: stored once, or refused; and no trade that was never
    /// stored is called a repeat.
    #[test]
    fn every_trade_is_stored_once_or_refused() {
        let mut state = 7_u64;
        for _ in 0..500 {
            let (mut sequence, mut stored) =
                (Sequence::default(), std::collections::BTreeSet::new());
            for _ in 0..60 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let seq = i64::try_from(state >> 33).unwrap() % 40;
                match sequence.take(seq, Micros(seq), Now::default(), 3) {
                    Verdict::New { .. } | Verdict::Late { .. } => {
                        assert!(stored.insert(seq), "{seq}");
                    }
                    Verdict::Repeat => assert!(stored.contains(&seq), "{seq} was lost"),
                    Verdict::Forgotten => {}
                    Verdict::WentBack => unreachable!("timestamps follow the numbers"),
                }
            }
        }
    }
}
