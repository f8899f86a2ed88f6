//! The queue by one thread; tests/interleavings.rs has more.

use std::time::Duration;

use schema::tables::{IndexTick, Rows};
use schema::{Draft, Micros, Origin};

use super::queue::{Item, Next, Refused, Urgency, queue};

fn draft() -> Draft {
    let mut rows = Rows::default();
    rows.index_ticks.push(&IndexTick {
        timestamp: Micros(1),
        received_at: Micros(2),
        index_name: "btc_usd",
        price: 1.0,
    });
    rows.index_ticks.take(Origin::default()).unwrap()
}

#[test]
fn a_full_queue_gives_the_item_back_and_keeps_a_reserve() {
    let bytes = draft().bytes();
    let (inlet, outlet) = queue(bytes);
    inlet.offer(Item::Rows(draft()), Urgency::Ordinary).unwrap();
    let refused = inlet.offer(Item::Rows(draft()), Urgency::Ordinary).unwrap_err();
    assert!(matches!(refused, Refused::Full(Item::Rows(_))));
    inlet.offer(Item::Rows(draft()), Urgency::Reserved).unwrap();
    assert_eq!(outlet.rows(), (2, 0));
    while matches!(outlet.take(Duration::ZERO), Next::Item(_)) {}
    assert_eq!(outlet.rows(), (2, 2));
    inlet.offer(Item::Rows(draft()), Urgency::Ordinary).unwrap();
}

#[test]
fn a_queue_ends_when_its_readers_are_gone() {
    let (inlet, outlet) = queue(1 << 20);
    inlet.offer(Item::Rows(draft()), Urgency::Ordinary).unwrap();
    drop(inlet);
    assert!(matches!(outlet.take(Duration::ZERO), Next::Item(_)));
    let next = outlet.take(Duration::from_secs(60));
    assert!(matches!(next, Next::Ended), "it does not wait for nobody");
}
