//! Through which shard a row came, as far as the exchange's log and the recorder's gaps can tell.
//!
//! A gap of one connection is no excuse for what another one lost. No row says which it came
//! through; but what the exchange sent over one connection belongs together, and the shard is one
//! that has a gap at the last frame of each such connection that was lost.

use std::collections::BTreeSet;

use crate::tape::{Gap, Tape};
use crate::truth::{Connection, Truth};

/// What may have come through which shard.
#[derive(Debug)]
pub struct Shards(Vec<Group>);

/// What came over the same connections, and the shards that may have had them.
#[derive(Debug)]
struct Group {
    subjects: BTreeSet<String>,
    /// The last frames of connections that were lost, µs UTC.
    ended: Vec<i64>,
    /// Empty where the gaps do not tell.
    shards: BTreeSet<String>,
}

impl Shards {
    /// Finds them out; `end` is when the recorder was asked to end, µs UTC.
    #[must_use]
    pub fn new(truth: &Truth, tape: &Tape, end: i64) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for Connection { subjects, newest, closed } in truth.connections.values() {
            let lost = closed.is_some_and(|closed| closed < end);
            let ended = lost.then_some(*newest).into_iter().collect();
            let mut group = Group { subjects: subjects.clone(), ended, shards: BTreeSet::new() };
            let together = |other: &mut Group| !other.subjects.is_disjoint(subjects);
            for other in groups.extract_if(.., together) {
                group.subjects.extend(other.subjects);
                group.ended.extend(other.ended);
            }
            groups.push(group);
        }
        let mut shards: BTreeSet<&str> = BTreeSet::new();
        shards.extend(tape.gaps.iter().filter(|gap| is_whole(gap)).map(|gap| &*gap.shard));
        for group in &mut groups {
            let fits = |shard: &&&str| group.ended.iter().all(|at| is_in_gap(tape, shard, *at));
            group.shards = shards.iter().filter(fits).map(|shard| (*shard).to_owned()).collect();
        }
        Self(groups)
    }

    /// Whether the gap may be the reason why a row of that table and instrument is missing.
    #[must_use]
    pub fn explains(&self, gap: &Gap, table: &str, instrument: &str) -> bool {
        let subject = subject(table, instrument);
        let group = self.0.iter().find(|group| group.subjects.contains(&subject));
        let shards = group.map(|group| &group.shards).filter(|shards| !shards.is_empty());
        let here = shards.is_none_or(|shards| !is_whole(gap) || shards.contains(&gap.shard));
        here && gap.concerns(table, instrument)
    }

    /// Of how many groups of connections the shard is known, and how many there are.
    #[must_use]
    pub fn known(&self) -> (usize, usize) {
        (self.0.iter().filter(|group| group.shards.len() == 1).count(), self.0.len())
    }
}

/// What a channel is about, with the table that its rows are in.
#[must_use]
pub(crate) fn subject(table: &str, instrument: &str) -> String {
    format!("{table} {instrument}")
}

/// A gap of all that a connection carries. That of an overload has a reader's name.
fn is_whole(gap: &Gap) -> bool {
    gap.instrument == "*" && !gap.cause.starts_with("overload")
}

fn is_in_gap(tape: &Tape, shard: &str, at: i64) -> bool {
    let mut gaps = tape.gaps.iter().filter(|gap| is_whole(gap) && gap.shard == shard);
    gaps.any(|gap| gap.start - APART_US <= at && gap.end.is_none_or(|end| at <= end + APART_US))
}

/// What was sent last was under way.
const APART_US: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(shard: &str, start: i64, end: i64) -> Gap {
        Gap {
            start,
            end: Some(end),
            cause: "disconnected".to_owned(),
            shard: shard.to_owned(),
            instrument: "*".to_owned(),
            detail: String::new(),
            written: end,
        }
    }

    #[test]
    fn a_shard_is_one_that_lost_its_connections_when_they_ended() {
        const S: i64 = 1_000_000;
        let mut truth = Truth::default();
        let connections =
            [("A B", Some(10)), ("B C", Some(30)), ("D", Some(10)), ("D", Some(99)), ("E", None)];
        for (number, (names, ended)) in (1..).zip(connections) {
            let subjects = names.split(' ').map(|name| subject("t", name)).collect();
            // The exchange learns of it late.
            let (newest, closed) = (ended.unwrap_or(5) * S, ended.map(|at| at * S + 40 * S));
            truth.connections.insert(number, Connection { subjects, newest, closed });
        }
        let gaps = vec![gap("x", 9 * S, 12 * S), gap("y", 9 * S, 12 * S), gap("x", 29 * S, 31 * S)];
        let tape = Tape { gaps, ..Tape::default() };
        let shards = Shards::new(&truth, &tape, 90 * S);
        let explains = |index: usize, name| shards.explains(&tape.gaps[index], "t", name);
        // Connections 1 and 2 are one shard's because of B: x, for only x has a gap at 30.
        assert!(["A", "B", "C"].iter().all(|name| explains(0, name) && !explains(1, name)));
        // What ended with the recorder does not count; both are possible.
        assert!(explains(0, "D") && explains(1, "D"));
        assert!(explains(1, "E") && explains(1, "never sent"));
        assert_eq!(shards.known(), (1, 3));
    }
}
