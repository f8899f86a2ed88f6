//! Which trades are not recorded, as far as the recorded ones show: trade_seq is contiguous.

use schema::Micros;
use serde::{Deserialize, Serialize};

use crate::resume::micros;

/// Trades of an instrument that lie between recorded ones and are not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// The first `trade_seq` missing.
    pub first: i64,
    /// The last `trade_seq` missing.
    pub last: i64,
    /// When the earlier one of the trades on both sides happened.
    #[serde(with = "micros")]
    pub from: Micros,
    /// When the later one happened.
    #[serde(with = "micros")]
    pub to: Micros,
}

/// What lies between two recorded trades is missing, above or below all other holes.
pub(crate) fn open(holes: &mut Vec<Hole>, before: (i64, Micros), after: (i64, Micros)) {
    let (first, last) = (before.0.saturating_add(1), after.0.saturating_sub(1));
    let hole = Hole { first, last, from: before.1.min(after.1), to: before.1.max(after.1) };
    let index = holes.partition_point(|other| other.first < first);
    holes.insert(index, hole);
    if holes.len() > HOLES_MAX {
        holes.remove(0);
    }
}

/// Takes a trade in that is recorded, out of the hole that it lies in.
pub(crate) fn fill(holes: &mut Vec<Hole>, seq: i64) {
    let Some(index) = holes.iter().position(|hole| hole.first <= seq && seq <= hole.last) else {
        return;
    };
    let hole = holes.remove(index);
    let before = Hole { last: seq.saturating_sub(1), ..hole };
    let after = Hole { first: seq.saturating_add(1), ..hole };
    let left = [before, after].into_iter().filter(|it| it.first <= it.last);
    holes.splice(index..index, left);
}

/// Holes of one instrument that are remembered; of more the oldest are forgotten, as the decoder
/// forgets them.
const HOLES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_open_and_close() {
        let mut holes = Vec::new();
        let ranges = |holes: &[Hole]| -> Vec<(i64, i64)> {
            holes.iter().map(|hole| (hole.first, hole.last)).collect()
        };
        open(&mut holes, (6, Micros(60)), (10, Micros(55)));
        let hole = Hole { first: 7, last: 9, from: Micros(55), to: Micros(60) };
        assert_eq!(holes, [hole]);
        open(&mut holes, (10, Micros(55)), (12, Micros(70)));
        open(&mut holes, (1, Micros(10)), (4, Micros(40)));
        fill(&mut holes, 8);
        assert_eq!(ranges(&holes), [(2, 3), (7, 7), (9, 9), (11, 11)]);
        for seq in [2, 9, 8, 3, 11, 7, 7] {
            fill(&mut holes, seq);
        }
        assert_eq!(holes, []);
        for seq in 0..100 {
            open(&mut holes, (seq * 2, Micros(0)), (seq * 2 + 2, Micros(0)));
        }
        assert_eq!((holes.len(), holes[0].first), (64, 73));
    }
}
