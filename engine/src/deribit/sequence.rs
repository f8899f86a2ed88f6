//! Which trades of one instrument are recorded.
//!
//! PROTOCOL: trade_seq is the instrument's own counter: it starts at 1 and is contiguous. The
//! rule, in order:
//! 1. Above the highest: new; what was skipped is a hole.
//! 2. In a hole: late; the hole shrinks. Kept.
//! 3. Below the first trade that was ever seen, when nothing was recorded before this process:
//!    late, and what lies between is a hole. Kept.
//! 4. Newer than every recorded trade by its timestamp: a repeat would have the timestamp that it
//!    had, so the counter has started again. Neither stored nor dropped: quarantined.
//! 5. Below a hole that had to be forgotten: it may be that hole's or a repeat. Quarantined.
//! 6. Anything else is recorded already: dropped and counted.

use std::collections::VecDeque;

use schema::Micros;

/// The trades of one instrument that are recorded.
///
/// Invariant: `holes` are ascending, disjoint, not empty, and lie between `lowest` and `highest`.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// The lowest and highest trade_seq known to be recorded; none before the first trade.
    span: Option<Span>,
    /// Whether everything below the span is recorded, by a process before this one.
    resumed: bool,
    /// Ranges inside the span that are not recorded, first and last inclusive.
    holes: VecDeque<(i64, i64)>,
    /// The end of the highest hole that was forgotten.
    forgotten: Option<i64>,
    /// The newest timestamp of a trade taken here.
    newest: Option<Micros>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    lowest: i64,
    highest: i64,
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
    Late,
    /// Stored already.
    Repeat,
    /// The counter started again.
    WentBack,
    /// In what may have been a hole.
    Forgotten,
}

impl Sequence {
    /// Everything up to and including `seq` is recorded, by a process or a connection before.
    /// What was taken here above it stays, and what lies between is a hole.
    pub(super) fn resume(&mut self, seq: i64, received_at: Option<Micros>) {
        self.newest = self.newest.max(received_at);
        self.resumed = true;
        self.forgotten = self.forgotten.filter(|end| *end > seq);
        match self.span {
            Some(Span { lowest, highest }) if highest > seq => {
                self.span = Some(Span { lowest: lowest.min(seq), highest });
                self.holes.retain_mut(|(first, last)| {
                    *first = seq.saturating_add(1).max(*first);
                    first <= last
                });
                if lowest > seq.saturating_add(1) {
                    self.holes.push_front((seq + 1, lowest - 1));
                }
            }
            Some(_) | None => {
                self.span = Some(Span { lowest: seq, highest: seq });
                self.holes.clear();
            }
        }
    }

    /// Takes a trade in and says what to do with it. At most `limit` holes are remembered.
    pub(super) fn take(&mut self, seq: i64, timestamp: Micros, limit: usize) -> Verdict {
        let verdict = self.place(seq, timestamp, limit);
        match verdict {
            Verdict::New { .. } | Verdict::Late => self.newest = self.newest.max(Some(timestamp)),
            Verdict::Repeat | Verdict::WentBack | Verdict::Forgotten => {}
        }
        verdict
    }

    fn place(&mut self, seq: i64, timestamp: Micros, limit: usize) -> Verdict {
        let Some(Span { lowest, highest }) = self.span else {
            self.span = Some(Span { lowest: seq, highest: seq });
            return Verdict::New { skipped: 0 };
        };
        if seq > highest {
            self.span = Some(Span { lowest, highest: seq });
            let skipped = seq.abs_diff(highest) - 1;
            if skipped > 0 {
                self.holes.push_back((highest.saturating_add(1), seq.saturating_sub(1)));
                self.bound(limit);
            }
            return Verdict::New { skipped };
        }
        if self.fill(seq) {
            self.bound(limit);
            return Verdict::Late;
        }
        if seq < lowest && !self.resumed {
            self.span = Some(Span { lowest: seq, highest });
            if seq.abs_diff(lowest) > 1 {
                self.holes.push_front((seq.saturating_add(1), lowest.saturating_sub(1)));
                self.bound(limit);
            }
            return Verdict::Late;
        }
        if self.newest.is_some_and(|newest| timestamp > newest) {
            return Verdict::WentBack;
        }
        let below = self.forgotten.is_some_and(|end| seq <= end);
        if below && seq >= lowest { Verdict::Forgotten } else { Verdict::Repeat }
    }

    /// Ranges of trade_seq that are missing, first and last inclusive, ascending.
    pub(super) fn holes(&self) -> impl Iterator<Item = (i64, i64)> {
        self.holes.iter().copied()
    }

    /// Takes `seq` out of the hole that it lies in.
    fn fill(&mut self, seq: i64) -> bool {
        let at = self.holes.partition_point(|(_, last)| *last < seq);
        let Some((first, last)) = self.holes.get(at).copied() else { return false };
        if seq < first {
            return false;
        }
        self.holes.remove(at);
        if seq < last {
            self.holes.insert(at, (seq + 1, last));
        }
        if first < seq {
            self.holes.insert(at, (first, seq - 1));
        }
        true
    }

    /// Forgets the oldest holes beyond the limit.
    fn bound(&mut self, limit: usize) {
        while self.holes.len() > limit {
            let oldest = self.holes.pop_front().map(|(_, last)| last);
            self.forgotten = self.forgotten.max(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: Verdict = Verdict::New { skipped: 0 };

    /// Takes trades whose timestamps grow with their numbers.
    #[track_caller]
    fn check(sequence: &mut Sequence, trades: &[(i64, Verdict)], holes: &[(i64, i64)]) {
        for (seq, expected) in trades {
            assert_eq!(sequence.take(*seq, Micros(*seq), 3), *expected, "trade {seq}");
        }
        assert_eq!(sequence.holes().collect::<Vec<_>>(), holes);
    }

    #[test]
    fn a_repeat_is_dropped_and_a_hole_is_filled_once() {
        let trades = [
            (10, NEXT),
            (11, NEXT),
            (11, Verdict::Repeat),
            (15, Verdict::New { skipped: 3 }),
            (13, Verdict::Late),
            (13, Verdict::Repeat),
            (10, Verdict::Repeat),
            (12, Verdict::Late),
        ];
        check(&mut Sequence::default(), &trades, &[(14, 14)]);
    }

    #[test]
    fn before_the_first_nothing_is_recorded_unless_resumed() {
        let fresh = [(10, NEXT), (7, Verdict::Late), (7, Verdict::Repeat), (8, Verdict::Late)];
        check(&mut Sequence::default(), &fresh, &[(9, 9)]);

        let mut resumed = Sequence::default();
        resumed.resume(10, None);
        let trades = [
            (10, Verdict::Repeat),
            (7, Verdict::Repeat),
            (12, Verdict::New { skipped: 1 }),
            (9, Verdict::Repeat),
            (11, Verdict::Late),
        ];
        check(&mut resumed, &trades, &[]);
    }

    #[test]
    fn what_was_taken_before_resuming_stays() {
        let mut gap = Sequence::default();
        check(&mut gap, &[(10, NEXT), (12, Verdict::New { skipped: 1 })], &[(11, 11)]);
        gap.resume(7, None);
        check(&mut gap, &[(7, Verdict::Repeat), (9, Verdict::Late)], &[(8, 8), (11, 11)]);
        gap.resume(11, None);
        check(&mut gap, &[(8, Verdict::Repeat), (11, Verdict::Repeat), (13, NEXT)], &[]);
        gap.resume(20, None);
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
            (4, Verdict::Late),
        ];
        check(&mut Sequence::default(), &trades, &[(6, 6), (8, 8)]);
    }

    #[test]
    fn a_counter_that_starts_again_is_not_a_repeat() {
        let mut sequence = Sequence::default();
        check(&mut sequence, &[(100, NEXT), (101, NEXT)], &[]);
        sequence.take(5, Micros(5), 3);
        assert_eq!(sequence.take(5, Micros(500), 3), Verdict::WentBack);
        assert_eq!(sequence.take(5, Micros(5), 3), Verdict::Repeat);
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
            &[(i64::MAX, Verdict::Repeat), (0, Verdict::Late)],
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
                match sequence.take(seq, Micros(seq), 3) {
                    Verdict::New { .. } | Verdict::Late => assert!(stored.insert(seq), "{seq}"),
                    Verdict::Repeat => assert!(stored.contains(&seq), "{seq} was lost"),
                    Verdict::Forgotten => {}
                    Verdict::WentBack => unreachable!("timestamps follow the numbers"),
                }
            }
        }
    }
}
