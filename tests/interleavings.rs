//! What the readers share with other threads, in every order in which their steps can fall: the
//! queue to the journal, the mailbox for goals, the board of what is acknowledged.
//!
//! The engine's own files, with loom's atomics and locks. Loom plays each order that the memory
//! model allows, so that one that goes wrong once in years goes wrong here.

use std::time::Duration;

use lifecycle::{ChannelSet, Swap};
use loom::thread;
use schema::tables::IndexTick;
use schema::{Builder, Draft, Micros, Origin};

use self::post::{Board, Mailbox};
use self::queue::{Inlet, Item, Next, Refused, Urgency, queue};

#[path = "../engine/src/reader/post.rs"]
#[allow(dead_code, unreachable_pub, reason = "the program uses all of it")]
mod post;
#[path = "../engine/src/queue.rs"]
#[allow(dead_code, unreachable_pub, reason = "the program uses all of it")]
mod queue;

/// Whoever has seen a change sees the channels of that change, or newer ones.
#[test]
fn a_board_shows_no_less_than_it_says() {
    loom::model(|| {
        let board = Board::default();
        let line = thread::spawn({
            let board = board.clone();
            move || (1..=2).for_each(|count| board.show(&channels(count)))
        });
        for _ in 0..2 {
            let changes = board.changes();
            assert!(board.channels().len() as u64 >= changes, "{changes} changes were announced");
        }
        line.join().unwrap();
        assert_eq!((board.changes(), board.channels().len()), (2, 2));
    });
}

/// A line gets goals in their order, and never misses the last one.
#[test]
fn the_newest_goal_arrives() {
    loom::model(|| {
        let mailbox = Mailbox::default();
        let plan = thread::spawn({
            let mailbox = mailbox.clone();
            move || (1..=3).for_each(|generation| mailbox.leave(goal(generation)))
        });
        let mut fetched: Vec<u64> =
            (0..2).filter_map(|_| mailbox.fetch()).map(|goal| goal.generation).collect();
        plan.join().unwrap();
        fetched.extend(mailbox.fetch().map(|goal| goal.generation));
        assert!(fetched.is_sorted_by(|a, b| a < b) && fetched.last() == Some(&3), "{fetched:?}");
        assert!(mailbox.fetch().is_none());
    });
}

/// What was taken comes out once, what was refused was given back, and room is kept.
#[test]
fn a_queue_counts_every_row() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let bytes = draft().bytes();
        let (inlet, outlet) = queue(bytes);
        let readers = [inlet.clone(), inlet.clone()];
        let readers = readers.map(|inlet| thread::spawn(move || offer(&inlet)));
        let mut received = 0;
        for _ in 0..2 {
            // One batch a reader may pass the bound with another.
            assert!(full(&inlet, bytes) <= 2 * bytes, "{} bytes wait", full(&inlet, bytes));
            received += usize::from(matches!(outlet.take(Duration::ZERO), Next::Item(_)));
        }
        let taken: usize = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        while let Next::Item(_) = outlet.take(Duration::ZERO) {
            received += 1;
        }
        assert_eq!((received, outlet.rows()), (taken, (taken as u64, taken as u64)));
        assert_eq!(full(&inlet, bytes), 0);
    });
}

/// The journal's end is not told of an end while rows are left: as `keeper.rs` asserts.
#[test]
fn a_queue_ends_when_all_is_out() {
    loom::model(|| {
        let (inlet, outlet) = queue(1 << 20);
        let reader = thread::spawn(move || offer(&inlet) + offer(&inlet));
        let mut received = 0;
        loop {
            match outlet.take(Duration::from_millis(1)) {
                Next::Item(_) => received += 1,
                Next::Idle => {}
                Next::Ended => break,
            }
        }
        assert_eq!(outlet.rows(), (received, received));
        assert_eq!(reader.join().unwrap() as u64, received);
    });
}

/// A journal that stops takes nothing more, and a reader notices.
#[test]
fn a_closed_queue_says_so() {
    loom::model(|| {
        let (inlet, outlet) = queue(1 << 20);
        let journal = thread::spawn(move || drop(outlet));
        let first = inlet.offer(Item::Rows(draft()), Urgency::Reserved);
        assert!(matches!(first, Ok(()) | Err(Refused::Closed)));
        journal.join().unwrap();
        let second = inlet.offer(Item::Rows(draft()), Urgency::Reserved);
        assert!(matches!(second, Err(Refused::Closed)));
    });
}

/// Offers an item: how many were taken.
fn offer(inlet: &Inlet) -> usize {
    match inlet.offer(Item::Rows(draft()), Urgency::Ordinary) {
        Ok(()) => 1,
        Err(Refused::Full(item)) => {
            assert!(item.into_draft().is_some(), "it was given back");
            0
        }
        Err(Refused::Closed) => panic!("the journal is at work"),
    }
}

/// Bytes that wait in the queue.
fn full(inlet: &Inlet, bytes_max: usize) -> usize {
    (inlet.usage_pct() * bytes_max as f64 / 100.0).round() as usize
}

fn draft() -> Draft {
    // Of one table alone: loom's threads have small stacks.
    let mut rows = Builder::<IndexTick<'static>>::default();
    let (timestamp, received_at) = (Micros(1), Micros(2));
    rows.push(&IndexTick { timestamp, received_at, index_name: "btc_usd", price: 1.0 });
    rows.take(Origin::default()).unwrap()
}

fn channels(count: usize) -> ChannelSet {
    let mut channels = ChannelSet::default();
    for number in 0..count {
        let _ = channels.insert(format!("c{number}"));
    }
    channels
}

fn goal(generation: u64) -> Swap {
    Swap { generation, goal: ChannelSet::default() }
}
