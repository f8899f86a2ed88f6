//! A book, rebuilt from rows of `book_changes`: what docs/books.md tells its readers to do.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use schema::tables::BookChange;

/// The book of one instrument, as far as the rows given so far say.
///
/// Invariant: while it [is whole](Self::is_whole), its levels are those of the exchange's book at
/// [`change_id`](Self::change_id), once every row of that message was taken.
#[derive(Clone, Debug, Default)]
pub struct Book {
    bids: BTreeMap<Price, f64>,
    asks: BTreeMap<Price, f64>,
    /// What the rows of one message have in common.
    message: Option<(i64, Option<i64>, bool)>,
    whole: bool,
}

/// A price as a key: in the order of numbers, also below zero.
#[derive(Clone, Copy, Debug)]
struct Price(f64);

impl Book {
    /// Takes the next row, in the order of `sequence`.
    pub fn take(&mut self, row: &BookChange<'_>) {
        let message = (row.change_id, row.prev_change_id, row.snapshot);
        if self.message != Some(message) {
            if row.snapshot {
                self.bids.clear();
                self.asks.clear();
                self.whole = true;
            } else {
                self.whole = self.whole && row.prev_change_id == self.change_id();
            }
            self.message = Some(message);
        }
        let (Some(price), Some(amount)) = (row.price, row.amount) else { return };
        let side = if row.side == Some("bid") { &mut self.bids } else { &mut self.asks };
        if amount == 0.0 {
            side.remove(&Price(price));
        } else {
            side.insert(Price(price), amount);
        }
    }

    /// Whether every change since a snapshot is there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The version of the newest message.
    #[must_use]
    pub fn change_id(&self) -> Option<i64> {
        self.message.map(|(change_id, ..)| change_id)
    }

    /// Prices and amounts, best first.
    pub fn bids(&self) -> impl Iterator<Item = (f64, f64)> {
        self.bids.iter().rev().map(|(price, amount)| (price.0, *amount))
    }

    /// Prices and amounts, best first.
    pub fn asks(&self) -> impl Iterator<Item = (f64, f64)> {
        self.asks.iter().map(|(price, amount)| (price.0, *amount))
    }
}

impl Ord for Price {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Price {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Price {}

#[cfg(test)]
mod tests {
    use schema::Micros;

    use super::*;

    /// Takes messages, a word each: `id<prev` or `id!` for a snapshot, then levels with the sign
    /// of their side; the book at the end, `?` if it is not whole.
    #[track_caller]
    fn check(messages: &[(&str, &[(f64, f64)])], expected: &str) {
        let mut book = Book::default();
        for (head, levels) in messages {
            let (id, prev) = head.split_once(['<', '!']).unwrap();
            let row = BookChange {
                timestamp: Micros(0),
                received_at: Micros(0),
                instrument: "X",
                change_id: id.parse().unwrap(),
                prev_change_id: prev.parse().ok(),
                snapshot: head.contains('!'),
                side: None,
                action: None,
                price: None,
                amount: None,
            };
            if levels.is_empty() {
                book.take(&row);
            }
            for (price, amount) in *levels {
                let side = Some(if *price < 50.0 { "bid" } else { "ask" });
                book.take(&BookChange { side, price: Some(*price), amount: Some(*amount), ..row });
            }
        }
        let show = |(price, amount)| format!("{price}:{amount}");
        let bids: Vec<_> = book.bids().map(show).collect();
        let asks: Vec<_> = book.asks().map(show).collect();
        let whole = if book.is_whole() { "" } else { " ?" };
        assert_eq!(format!("{} | {}{whole}", bids.join(" "), asks.join(" ")), expected);
    }

    #[test]
    fn a_book_is_its_snapshot_and_what_follows() {
        check(&[], " |  ?");
        check(&[("1!", &[])], " | ");
        check(&[("1!", &[(9.0, 1.0), (-1.0, 2.0), (60.0, 1.0)])], "9:1 -1:2 | 60:1");
        let change: &[_] = &[(9.0, 0.0), (10.0, 3.0), (59.0, 4.0)];
        check(&[("1!", &[(9.0, 1.0), (60.0, 1.0)]), ("7<1", change)], "10:3 | 59:4 60:1");
        check(&[("1!0", &[(9.0, 1.0)]), ("2<1", &[]), ("3<2", &[(8.0, 1.0)])], "9:1 8:1 | ");
    }

    #[test]
    fn a_broken_chain_is_mended_by_a_snapshot_alone() {
        let broken: &[(&str, &[_])] =
            &[("1!", &[(9.0, 1.0)]), ("4<3", &[(8.0, 1.0)]), ("5<4", &[(7.0, 1.0)])];
        check(broken, "9:1 8:1 7:1 |  ?");
        check(&[broken, &[("5!", &[(6.0, 1.0)])]].concat(), "6:1 | ");
        check(&[("4<3", &[(8.0, 1.0)])], "8:1 |  ?");
    }

    /// The first snapshot after a restart is recorded, although nothing may have happened.
    #[test]
    fn a_snapshot_may_be_repeated() {
        check(&[("1!", &[(9.0, 1.0)]), ("1!", &[(9.0, 1.0)]), ("2<1", &[(9.0, 5.0)])], "9:5 | ");
    }
}
