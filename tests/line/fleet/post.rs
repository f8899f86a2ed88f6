//! What the lifecycle and the recorders say to each other, on its way: as text, lost or late.

use tapedeck::fleet::{Brief, News};
use tapedeck_tests::random::Random;

/// A request of the lifecycle's, which waits for its answer.
#[derive(Debug)]
pub(super) struct Letter {
    /// The life of the lifecycle that wrote it.
    pub(super) life: u64,
    /// The recorder that it is for.
    pub(super) to: usize,
    /// What is under way: a brief there, or news back.
    pub(super) text: String,
    /// Whether the answer is lost.
    pub(super) unanswered: bool,
}

/// The way of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// When it arrives, µs from now; never, if it is lost.
    pub(super) there: Option<u64>,
    pub(super) unanswered: bool,
}

impl Way {
    /// As the weather is.
    pub(super) fn of(storm: bool, random: &mut Random) -> Self {
        let slow = random.pick(&[2_000, 20_000, 200_000]);
        let there = 200 + random.next() % slow;
        match random.below(if storm { 6 } else { usize::MAX }) {
            0 => Self { there: None, unanswered: true },
            1 => Self { there: Some(there), unanswered: true },
            // Nobody waits for it any more when it arrives.
            2 => Self { there: Some(TIMEOUT_US + random.next() % 6_000_000), unanswered: true },
            _ => Self { there: Some(there), unanswered: false },
        }
    }
}

pub(super) fn write(what: &impl serde::Serialize) -> String {
    serde_json::to_string(what).expect("it is JSON")
}

pub(super) fn brief(text: &str) -> Brief {
    serde_json::from_str(text).expect("a recorder understands a brief")
}

pub(super) fn news(text: &str) -> News {
    serde_json::from_str(text).expect("a lifecycle understands news")
}

/// `ANSWER_MAX` of the courier.
pub(super) const TIMEOUT_US: u64 = 3_000_000;
/// `PAUSE` of the courier.
pub(super) const PAUSE_US: u64 = 500_000;
