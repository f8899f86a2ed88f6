//! Wishes on their way from the control API to the steward, who alone may change the plan.

use crossbeam_channel::{Receiver, Sender, bounded};
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

/// What may be wished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Record it, whatever the configuration says.
    Pin,
    /// Do not record it.
    Exclude,
    /// Let this shard listen to it.
    Move(String),
}

/// What the steward has done about one instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The plan has changed; the exchange has not acknowledged it yet.
    Planned,
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

const WAITING_MAX: usize = 16;
