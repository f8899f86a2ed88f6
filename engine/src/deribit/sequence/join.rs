//! What two know of the same trades, put together: a trade that either has recorded is recorded.

use std::time::Duration;

use schema::Micros;

use super::{Missing, Sequence, Span};

/// Trades that one of them has not recorded.
#[derive(Clone, Copy)]
struct Lack {
    first: i64,
    last: i64,
    /// What is known of them, where they are a hole and not just outside of the span.
    hole: Option<Missing>,
}

impl Sequence {
    /// Takes in what another one has recorded, of which nothing is known here.
    pub(in crate::deribit) fn join(&mut self, other: Self, now: Duration) {
        let (Some(ours), Some(theirs)) = (self.span, other.span) else {
            if other.span.is_some() {
                *self = other;
            }
            return;
        };
        let (low, high) = (lower(ours, theirs), higher(ours, theirs));
        let span = Span {
            lowest: low.lowest,
            lowest_at: low.lowest_at,
            highest: high.highest,
            highest_at: high.highest_at,
        };
        let between = (lower_top(ours, theirs), upper_bottom(ours, theirs));
        let mut holes: Vec<Missing> = Vec::new();
        for one in self.lacks(ours, span) {
            for two in other.lacks(theirs, span) {
                let (first, last) = (one.first.max(two.first), one.last.min(two.last));
                if first <= last {
                    let new = || Missing::between(between.0, between.1, now);
                    let hole = one.hole.or(two.hole).unwrap_or_else(new);
                    holes.push(Missing { first, last, ..hole });
                }
            }
        }
        holes.sort_unstable_by_key(|hole| hole.first);
        self.holes = holes.into();
        self.span = Some(span);
        self.open |= other.open;
        self.begun = [self.begun, other.begun].into_iter().flatten().min();
        self.forgotten = self.forgotten.max(other.forgotten);
        self.newest = self.newest.max(other.newest);
        self.named_by = self.named_by.take().or(other.named_by);
    }

    /// What of a longer span is not recorded here.
    fn lacks(&self, own: Span, whole: Span) -> Vec<Lack> {
        let mut lacks = Vec::with_capacity(self.holes.len() + 2);
        if whole.lowest < own.lowest && !self.open {
            let last = own.lowest.saturating_sub(1);
            lacks.push(Lack { first: whole.lowest, last, hole: None });
        }
        let hole = |hole: &Missing| Lack { first: hole.first, last: hole.last, hole: Some(*hole) };
        lacks.extend(self.holes.iter().map(hole));
        if own.highest < whole.highest {
            let first = own.highest.saturating_add(1);
            lacks.push(Lack { first, last: whole.highest, hole: None });
        }
        lacks
    }
}

fn lower(one: Span, two: Span) -> Span {
    if one.lowest <= two.lowest { one } else { two }
}

fn higher(one: Span, two: Span) -> Span {
    if one.highest >= two.highest { one } else { two }
}

/// The end of the span that ends first.
fn lower_top(one: Span, two: Span) -> (i64, Micros) {
    let span = if one.highest <= two.highest { one } else { two };
    (span.highest, span.highest_at)
}

/// The beginning of the span that begins last.
fn upper_bottom(one: Span, two: Span) -> (i64, Micros) {
    let span = if one.lowest >= two.lowest { one } else { two };
    (span.lowest, span.lowest_at)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use schema::Now;

    use super::super::Verdict;
    use super::*;

    fn taken(trades: &[i64]) -> Sequence {
        let mut sequence = Sequence::default();
        for seq in trades {
            sequence.take(*seq, Micros(*seq), Now::default(), 100);
        }
        sequence
    }

    fn recorded(sequence: &Sequence) -> BTreeSet<i64> {
        let span = sequence.span.expect("a trade");
        let holes = || sequence.holes.iter();
        let missing = |seq: &i64| holes().any(|hole| (hole.first..=hole.last).contains(seq));
        (span.lowest..=span.highest).filter(|seq| !missing(seq)).collect()
    }

    /// Any two sets of trades.
    #[test]
    fn what_either_has_recorded_is_recorded() {
        for seed in 1..300_u64 {
            let mut random = seed;
            let mut draw = |below: u64| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (random >> 33) % below
            };
            let mut some = || -> Vec<i64> {
                let (from, length) = (1 + draw(20) as i64, 1 + draw(20) as i64);
                (from..from + length).filter(|_| draw(3) > 0).collect()
            };
            let (ours, theirs) = (some(), some());
            if ours.is_empty() || theirs.is_empty() {
                continue;
            }
            let mut sequence = taken(&ours);
            sequence.join(taken(&theirs), Duration::ZERO);
            let all: BTreeSet<i64> = ours.iter().chain(&theirs).copied().collect();
            assert_eq!(recorded(&sequence), all, "seed {seed}: {ours:?} {theirs:?}");
            let holes: Vec<(i64, i64)> =
                sequence.holes().map(|hole| (hole.first, hole.last)).collect();
            assert!(holes.is_sorted() && holes.iter().all(|(first, last)| first <= last));
            for seq in all {
                let again = sequence.take(seq, Micros(0), Now::default(), 100);
                assert_eq!(again, Verdict::Repeat, "seed {seed}");
            }
        }
    }
}
