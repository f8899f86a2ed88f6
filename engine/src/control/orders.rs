//! Wishes on their way from the control API to the steward, who alone may change the plan.

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// What is wished of some instruments.
#[derive(Debug)]
pub struct Order {
    /// What.
    pub verb: Verb,
    /// Of which instruments.
    pub instruments: Vec<String>,
    /// Where the steward says what has become of each.
    pub reply: oneshot::Sender<Vec<Outcome>>,
}

/// Where whoever gave an order waits for what has become of each instrument.
pub type Answer = oneshot::Receiver<Vec<Outcome>>;

impl Order {
    /// An order, and where its answer comes.
    #[must_use]
    pub fn new(verb: Verb, instruments: Vec<String>) -> (Self, Answer) {
        let (reply, answer) = oneshot::channel();
        (Self { verb, instruments, reply }, answer)
    }
}

/// What may be wished.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Verb {
    /// Record it, whatever the configuration says.
    Pin,
    /// Do not record it.
    Exclude,
    /// Let this shard listen to it.
    Move(String),
}

/// What has become of the wish about one instrument.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// The plan has changed; the exchange has not acknowledged it yet.
    Planned,
    /// The exchange has acknowledged it.
    Done,
    /// It was like that before.
    Already,
    /// Nothing was done, and why.
    Refused(String),
}

/// Where orders are given. Clones give to the same steward.
#[derive(Clone, Debug)]
pub struct Orders(Sender<Order>);

/// Where the steward takes them.
#[derive(Debug)]
pub struct Intake(Receiver<Order>);

/// A way for orders.
#[must_use]
pub fn orders() -> (Orders, Intake) {
    let (sender, receiver) = bounded(WAITING_MAX);
    (Orders(sender), Intake(receiver))
}

impl Orders {
    /// Gives an order without waiting. Whether it was taken: too many may be waiting.
    #[must_use]
    pub fn give(&self, order: Order) -> bool {
        self.0.try_send(order).is_ok()
    }
}

impl Intake {
    /// The next order, if one waits.
    #[must_use]
    pub fn next(&self) -> Option<Order> {
        self.0.try_recv().ok()
    }
}

/// Why an order was not taken.
pub(crate) const CROWDED: &str = "too many changes wait already";
const WAITING_MAX: usize = 16;
