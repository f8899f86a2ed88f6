//! One instrument's order book, in whole ticks and lots so that no rounding can creep in.

use crate::random::Random;

/// How prices and amounts of an instrument are spaced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    /// Ticks in one unit of price: 10,000 for an option's 0.0001.
    pub(crate) ticks_per_unit: f64,
    /// Above so many ticks only each so-manieth is allowed: (50, 5) for 0.0005 above 0.005.
    pub(crate) coarse: Option<(i64, i64)>,
    /// The amount of a lot is `lot_times / lot_over`: 10/1 dollars, or 1/10 coin.
    pub(crate) lot_times: f64,
    pub(crate) lot_over: f64,
}

impl Grid {
    /// Dividing whole numbers gives the f64 nearest to the decimal, so it prints short.
    pub(crate) fn price(&self, ticks: i64) -> f64 {
        ticks as f64 / self.ticks_per_unit
    }

    pub(crate) fn amount(&self, lots: i64) -> f64 {
        lots as f64 * self.lot_times / self.lot_over
    }

    /// The highest allowed tick at or below a price.
    pub(crate) fn floor(&self, price: f64) -> i64 {
        let ticks = (price * self.ticks_per_unit + 1e-9).floor() as i64;
        ticks - ticks.rem_euclid(self.step(ticks))
    }

    pub(crate) fn above(&self, ticks: i64) -> i64 {
        ticks + self.step(ticks)
    }

    pub(crate) fn below(&self, ticks: i64) -> i64 {
        ticks - self.step(ticks - 1)
    }

    fn step(&self, ticks: i64) -> i64 {
        match self.coarse {
            Some((from, step)) if ticks >= from => step,
            _ => 1,
        }
    }
}

/// A level's word in a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    New,
    Change,
    Delete,
}

impl Action {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Action::New => "new",
            Action::Change => "change",
            Action::Delete => "delete",
        }
    }
}

/// One touched level: what, ticks, lots (0 for a delete).
pub(crate) type Touch = (Action, i64, i64);

/// What one event did to a book. Bids descend, asks ascend; a level is touched once at most.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct BookChange {
    pub(crate) prev_change_id: i64,
    pub(crate) change_id: i64,
    pub(crate) bids: Vec<Touch>,
    pub(crate) asks: Vec<Touch>,
}

impl BookChange {
    /// Whether the book is as it was.
    pub(crate) fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }

    /// A level that is touched twice is told once, as seen from before the first touch.
    pub(crate) fn touch(touched: &mut Vec<Touch>, (action, ticks, lots): Touch) {
        let Some(at) = touched.iter().position(|(_, known, _)| *known == ticks) else {
            touched.push((action, ticks, lots));
            return;
        };
        let was = touched.swap_remove(at).0;
        match (was, action) {
            (Action::New, Action::Delete) => {}
            (Action::New, Action::New | Action::Change) => {
                touched.push((Action::New, ticks, lots));
            }
            (Action::Change | Action::Delete, Action::New | Action::Change) => {
                touched.push((Action::Change, ticks, lots));
            }
            (Action::Change | Action::Delete, Action::Delete) => {
                touched.push((Action::Delete, ticks, 0));
            }
        }
    }
}

/// Which side of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Bid,
    Ask,
}

/// A side's levels, best first: (ticks, lots).
#[derive(Debug, Clone)]
pub(crate) struct Ladder {
    side: Side,
    levels: Vec<(i64, i64)>,
    touched: Vec<Touch>,
}

impl Ladder {
    fn new(side: Side) -> Ladder {
        Ladder { side, levels: Vec::new(), touched: Vec::new() }
    }

    pub(crate) fn levels(&self) -> &[(i64, i64)] {
        &self.levels
    }

    pub(crate) fn best(&self) -> Option<(i64, i64)> {
        self.levels.first().copied()
    }

    /// Moves the best level to `best`, or empties the side; now and then a deeper level moves too.
    fn requote(&mut self, best: Option<i64>, grid: &Grid, depth: usize, random: &mut Random) {
        let Some(best) = best else {
            while let Some((ticks, _)) = self.levels.first().copied() {
                self.delete(ticks);
            }
            return;
        };
        while let Some((ticks, _)) = self.best().filter(|(ticks, _)| self.better(*ticks, best)) {
            self.delete(ticks);
        }
        let missing = self.best().is_none_or(|(ticks, _)| ticks != best);
        if missing || random.once_in(2) {
            self.set(best, lots(random));
        }
        if self.levels.len() > depth {
            while let Some((ticks, _)) =
                self.levels.last().copied().filter(|_| self.levels.len() > depth)
            {
                self.delete(ticks);
            }
        } else if let Some((last, _)) = self.levels.last().copied() {
            let next = match self.side {
                Side::Bid => grid.below(last - random.below(3) as i64),
                Side::Ask => grid.above(last + random.below(3) as i64),
            };
            let next =
                if next % grid.step(next) == 0 { next } else { next - next % grid.step(next) };
            if self.levels.len() < depth && next > 0 && self.better(last, next) {
                self.set(next, lots(random));
            }
        }
        if random.once_in(3) && self.levels.len() > 2 {
            let at = 1 + random.index(self.levels.len() - 1);
            if let Some((ticks, _)) = self.levels.get(at).copied() {
                self.set(ticks, lots(random));
            }
        }
    }

    /// Takes up to `lots` from the best level; gives its price and what was taken.
    fn take(&mut self, lots: i64) -> Option<(i64, i64)> {
        let (ticks, there) = self.best()?;
        let taken = lots.min(there);
        if taken == there {
            self.delete(ticks);
        } else {
            self.set(ticks, there - taken);
        }
        Some((ticks, taken))
    }

    fn better(&self, ticks: i64, than: i64) -> bool {
        match self.side {
            Side::Bid => ticks > than,
            Side::Ask => ticks < than,
        }
    }

    fn set(&mut self, ticks: i64, lots: i64) {
        let at = self.levels.partition_point(|(known, _)| self.better(*known, ticks));
        match self.levels.get_mut(at) {
            Some(level) if level.0 == ticks => {
                if level.1 != lots {
                    level.1 = lots;
                    self.touch(Action::Change, ticks, lots);
                }
            }
            Some(_) | None => {
                self.levels.insert(at, (ticks, lots));
                self.touch(Action::New, ticks, lots);
            }
        }
    }

    fn delete(&mut self, ticks: i64) {
        self.levels.retain(|(known, _)| *known != ticks);
        self.touch(Action::Delete, ticks, 0);
    }

    fn touch(&mut self, action: Action, ticks: i64, lots: i64) {
        BookChange::touch(&mut self.touched, (action, ticks, lots));
    }

    fn told(&mut self) -> Vec<Touch> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable_by_key(|(_, ticks, _)| match self.side {
            Side::Bid => -ticks,
            Side::Ask => *ticks,
        });
        touched
    }
}

/// Both sides, and the id of the newest change.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    pub(crate) bids: Ladder,
    pub(crate) asks: Ladder,
    pub(crate) change_id: i64,
    depth: usize,
}

impl Book {
    /// An empty book that keeps up to `depth` levels a side.
    pub(crate) fn new(depth: usize) -> Book {
        let (bids, asks) = (Ladder::new(Side::Bid), Ladder::new(Side::Ask));
        Book { bids, asks, change_id: 0, depth }
    }

    /// Moves both best prices. A bid never meets an ask.
    pub(crate) fn requote(
        &mut self,
        bid: Option<i64>,
        ask: Option<i64>,
        grid: &Grid,
        random: &mut Random,
    ) {
        assert!(bid.zip(ask).is_none_or(|(bid, ask)| bid < ask), "a book must not cross");
        self.bids.requote(bid, grid, self.depth, random);
        self.asks.requote(ask, grid, self.depth, random);
    }

    /// A taker's order meets the best level of the side it takes from.
    pub(crate) fn take(&mut self, side: Side, lots: i64) -> Option<(i64, i64)> {
        match side {
            Side::Bid => self.bids.take(lots),
            Side::Ask => self.asks.take(lots),
        }
    }

    /// What has changed since the last call, under the next id of the exchange's one counter;
    /// `None` for a book that did not move.
    pub(crate) fn told(&mut self, counter: &mut i64, random: &mut Random) -> Option<BookChange> {
        let (bids, asks) = (self.bids.told(), self.asks.told());
        if bids.is_empty() && asks.is_empty() {
            return None;
        }
        *counter += 1 + random.below(9) as i64;
        let prev_change_id = std::mem::replace(&mut self.change_id, *counter);
        Some(BookChange { prev_change_id, change_id: *counter, bids, asks })
    }
}

fn lots(random: &mut Random) -> i64 {
    // Many small orders, few large ones.
    let size = 1 + random.below(400) as i64;
    if random.once_in(8) { size * 25 } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const OPTION: Grid =
        Grid { ticks_per_unit: 10_000.0, coarse: Some((50, 5)), lot_times: 1.0, lot_over: 10.0 };

    #[test]
    fn prices_stay_on_the_grid() {
        assert_eq!(OPTION.floor(0.00493), 49);
        assert_eq!(OPTION.floor(0.0069), 65);
        assert_eq!(OPTION.above(49), 50);
        assert_eq!(OPTION.above(50), 55);
        assert_eq!(OPTION.below(50), 49);
        assert_eq!(OPTION.below(55), 50);
        assert_eq!(OPTION.price(28), 0.0028);
    }

    #[test]
    fn changes_rebuild_the_book() {
        let mut random = Random::new(5);
        let (mut book, mut counter) = (Book::new(8), 1000);
        let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
        let mut last = 0;
        for _ in 0..3000 {
            let bid = 10 + random.below(40) as i64;
            let bid = (!random.once_in(20)).then_some(bid);
            let ask = bid.unwrap_or(10) + 1 + random.below(3) as i64;
            book.requote(bid, Some(ask), &OPTION, &mut random);
            if random.once_in(4) {
                book.take(Side::Bid, 100_000);
                book.take(Side::Ask, 3);
            }
            let Some(change) = book.told(&mut counter, &mut random) else { continue };
            assert_eq!(change.prev_change_id, last);
            assert!(change.change_id > last);
            last = change.change_id;
            for (known, touched) in [(&mut bids, &change.bids), (&mut asks, &change.asks)] {
                for (action, ticks, lots) in touched {
                    let was = match action {
                        Action::Delete => known.remove(ticks),
                        Action::New | Action::Change => known.insert(*ticks, *lots),
                    };
                    assert_eq!(was.is_none(), *action == Action::New, "{change:?}");
                }
            }
            assert!(bids.iter().rev().map(|(t, l)| (*t, *l)).eq(book.bids.levels.iter().copied()));
            assert!(asks.iter().map(|(t, l)| (*t, *l)).eq(book.asks.levels.iter().copied()));
            assert!(book.bids.levels.len() <= 8 && book.asks.levels.len() <= 8);
        }
    }
}
