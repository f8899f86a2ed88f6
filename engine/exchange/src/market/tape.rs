//! The newest trades of one instrument, kept so that they can be asked for again.

use std::collections::VecDeque;

use crate::market::Trade;

/// The exchange gives public trades back for about a day.
pub(crate) const KEPT_MS: i64 = 86_400_000;

/// Trades in the order of their sequence, without a hole: none older than a day, and never more
/// than the bound. The sequence is contiguous, so that a number is a place.
#[derive(Debug, Clone)]
pub(crate) struct Tape {
    trades: VecDeque<Trade>,
    trades_max: usize,
}

/// Which trades, in which order, and how many at most. Bounds are inclusive.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) seq: (Option<i64>, Option<i64>),
    pub(crate) timestamp_ms: (Option<i64>, Option<i64>),
    /// Oldest first: the oldest ones, where there are more than `count`.
    pub(crate) ascending: bool,
    pub(crate) count: usize,
}

impl Tape {
    pub(crate) fn new(trades_max: usize) -> Tape {
        Tape { trades: VecDeque::new(), trades_max }
    }

    pub(crate) fn keep(&mut self, trade: &Trade) {
        let last_seq = self.trades.back().map(|last| last.trade_seq);
        assert!(last_seq.is_none_or(|last| trade.trade_seq == last + 1), "a hole in the tape");
        self.trades.push_back(trade.clone());
        self.forget(trade.timestamp_ms);
    }

    /// Oldest first.
    pub(crate) fn trades(&self) -> impl Iterator<Item = &Trade> {
        self.trades.iter()
    }

    /// Drops what is too old at a time, or too much.
    pub(crate) fn forget(&mut self, now_ms: i64) {
        let old = |trade: &Trade| trade.timestamp_ms < now_ms.saturating_sub(KEPT_MS);
        while self.trades.len() > self.trades_max || self.trades.front().is_some_and(old) {
            self.trades.pop_front();
        }
        if self.trades.is_empty() {
            self.trades.shrink_to_fit();
        }
    }

    /// The trades that are still kept at a time, and whether there are more than asked for.
    pub(crate) fn find(&self, wanted: &Wanted, now_ms: i64) -> (Vec<&Trade>, bool) {
        let within = |bounds: (Option<i64>, Option<i64>), number: i64| {
            bounds.0.is_none_or(|from| number >= from) && bounds.1.is_none_or(|to| number <= to)
        };
        let kept = (Some(now_ms.saturating_sub(KEPT_MS)), None);
        let found = |trade: &&Trade| {
            within(wanted.seq, trade.trade_seq)
                && within(wanted.timestamp_ms, trade.timestamp_ms)
                && within(kept, trade.timestamp_ms)
        };
        let most = wanted.count + 1;
        let mut trades: Vec<&Trade> = if wanted.ascending {
            self.trades.iter().filter(found).take(most).collect()
        } else {
            self.trades.iter().rev().filter(found).take(most).collect()
        };
        let more = trades.len() > wanted.count;
        trades.truncate(wanted.count);
        (trades, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(trade_seq: i64, timestamp_ms: i64) -> Trade {
        Trade {
            timestamp_ms,
            trade_seq,
            trade_id: trade_seq.to_string(),
            price: 1.0,
            amount: 1.0,
            contracts: 1.0,
            buy: true,
            index: 1.0,
            mark: 1.0,
            tick_direction: 0,
            iv: None,
            liquidation: None,
            block: None,
            starbase: None,
        }
    }

    /// Sequences 11 to 20, two in each millisecond from 1000.
    fn tape() -> Tape {
        let mut tape = Tape::new(100);
        (11..=20).for_each(|seq| tape.keep(&trade(seq, 1000 + (seq - 11) / 2)));
        tape
    }

    fn check(wanted: &Wanted, expected: &[i64], more: bool) {
        let tape = tape();
        let (trades, has_more) = tape.find(wanted, 1004);
        let seqs: Vec<i64> = trades.iter().map(|trade| trade.trade_seq).collect();
        assert_eq!((seqs.as_slice(), has_more), (expected, more), "{wanted:?}");
    }

    #[test]
    fn bounds_are_inclusive_and_more_is_exact() {
        let all = (None, None);
        let seq = |from, to, ascending, count| Wanted {
            seq: (from, to),
            timestamp_ms: all,
            ascending,
            count,
        };
        check(&seq(Some(13), Some(15), true, 10), &[13, 14, 15], false);
        check(&seq(Some(13), Some(15), true, 3), &[13, 14, 15], false);
        check(&seq(Some(13), Some(15), true, 2), &[13, 14], true);
        check(&seq(Some(13), Some(15), false, 2), &[15, 14], true);
        check(&seq(Some(1), Some(12), true, 10), &[11, 12], false);
        check(&seq(Some(21), Some(30), true, 10), &[], false);
        check(&seq(Some(15), Some(13), true, 10), &[], false);
        check(&seq(None, None, false, 1), &[20], true);
        let time =
            Wanted { seq: all, timestamp_ms: (Some(1001), Some(1002)), ascending: true, count: 9 };
        check(&time, &[13, 14, 15, 16], false);
    }

    #[test]
    fn a_day_is_kept_and_never_too_much() {
        let all =
            Wanted { seq: (None, None), timestamp_ms: (None, None), ascending: true, count: 99 };
        let tape = tape();
        assert_eq!(tape.find(&all, 1002 + KEPT_MS).0.len(), 6, "what is too old is not shown");
        let mut small = Tape::new(4);
        (1..=9).for_each(|seq| small.keep(&trade(seq, 1000)));
        assert_eq!(small.find(&all, 1000).0.first().map(|trade| trade.trade_seq), Some(6));
        small.keep(&trade(10, 1001 + KEPT_MS));
        assert_eq!(small.trades.len(), 1, "and not held");
        small.forget(1002 + 2 * KEPT_MS);
        assert!(small.trades.is_empty());
    }
}
