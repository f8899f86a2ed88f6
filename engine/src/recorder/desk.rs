//! Where the recorder's own threads hand in rows that no reader makes.

use std::collections::VecDeque;

use schema::tables::Rows;
use schema::{Draft, Origin};

use crate::queue::{Inlet, Item, Refused, Urgency};

/// Rows on their way to the journal. What finds no room now waits, in its order.
#[derive(Debug)]
pub(super) struct Desk {
    /// Where rows are written.
    pub(super) rows: Rows,
    held: VecDeque<Draft>,
    inlet: Inlet,
}

impl Desk {
    /// Nothing waits.
    pub(super) fn new(inlet: Inlet) -> Self {
        Self { rows: Rows::default(), held: VecDeque::new(), inlet }
    }

    /// Hands in what there is room for. Called again and again.
    pub(super) fn hand_over(&mut self) {
        let held = &mut self.held;
        self.rows.take_from(1, Origin::default(), |draft| held.push_back(draft));
        while let Some(draft) = self.held.pop_front() {
            match self.inlet.offer(Item::Rows(draft), Urgency::Reserved) {
                Ok(()) => {}
                Err(Refused::Full(Item::Rows(draft))) => return self.held.push_front(draft),
                Err(Refused::Full(_) | Refused::Closed) => return,
            }
        }
    }

    /// How full the way to the journal is, percent.
    pub(super) fn usage_pct(&self) -> f64 {
        self.inlet.usage_pct()
    }
}
