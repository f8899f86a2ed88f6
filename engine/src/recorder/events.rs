//! The rows of `lifecycle_events`: what has happened to the options and their subscriptions.

use std::sync::Arc;

use journal::Told;
use lifecycle::{ChannelSet, Chronicle, Fact, Listener, Plan, Swap, Universe, Why};
use schema::instrument::{Instrument, Shape};
use schema::tables::{LifecycleEvent, Rows};
use schema::{Micros, Now};

use crate::fleet::End;
use crate::reader::Board;

/// Tells each fact once, over restarts too.
#[derive(Debug)]
pub(super) struct Events {
    chronicle: Chronicle,
    /// Where each shard shows what is acknowledged, in the plan's order.
    boards: Vec<Board>,
    /// What was compared last: changes of the boards, and changes of what is wanted.
    compared: Option<(u64, u64)>,
}

impl Events {
    /// What was told before is not told again.
    pub(super) fn new(told: &Told, ends: &[End]) -> Self {
        let boards = ends.iter().map(|end| end.board.clone()).collect();
        let subscribed = told.subscribed.iter();
        let subscribed = subscribed.map(|(name, shard)| (name.clone(), shard.as_str().into()));
        let chronicle = Chronicle::new(told.listed.clone(), subscribed.collect());
        Self { chronicle, boards, compared: None }
    }

    /// The exchange lists an instrument.
    pub(super) fn appeared(&mut self, name: &str, at: Micros, now: Now, rows: &mut Rows) {
        let fact = self.chronicle.appeared(name);
        fact.iter().for_each(|fact| push(fact, at, None, now, rows));
    }

    /// An instrument is over.
    pub(super) fn ended(&mut self, name: &str, why: Why, at: Micros, now: Now, rows: &mut Rows) {
        let details = format!(r#"{{"reason": "{}"}}"#, word(why));
        let fact = self.chronicle.ended(name);
        fact.iter().for_each(|fact| push(fact, at, Some(&details), now, rows));
    }

    /// Ends the options that were told as listed, are known to nobody any more, and have expired
    /// by their name: it happened while no recorder ran. One that has not expired may only be
    /// missing because less is recorded now.
    pub(super) fn end_missed(&mut self, universe: &Universe, now: Now, rows: &mut Rows) {
        let expired = |name: &str| match Instrument::parse(name).shape {
            Shape::Option { expiry, .. } => expiry < now.utc.date(),
            _ => false,
        };
        let gone = |name: &&str| universe.state(name).is_none() && expired(name);
        let gone: Vec<String> = self.chronicle.listed().filter(gone).map(str::to_owned).collect();
        for name in gone {
            self.ended(&name, Why::Expired, now.utc, now, rows);
        }
    }

    /// Compares what the exchange has acknowledged with what is wanted, if either has changed.
    pub(super) fn compare(&mut self, universe: &Universe, plan: &Plan, now: Now, rows: &mut Rows) {
        let shown = self.boards.iter().map(Board::changes).sum();
        let state = Some((shown, plan.generation()));
        if self.compared == state {
            return;
        }
        self.compared = state;
        let listener = |((shard, swap), board): ((Arc<str>, Swap), &Board)| Listener {
            shard,
            goal: swap.goal,
            acknowledged: ChannelSet::clone(&board.channels()),
        };
        let listeners: Vec<Listener> = plan.swaps().zip(&self.boards).map(listener).collect();
        for fact in self.chronicle.heard(&listeners, universe.recorded()) {
            push(&fact, now.utc, None, now, rows);
        }
    }
}

fn push(fact: &Fact, at: Micros, details: Option<&str>, now: Now, rows: &mut Rows) {
    rows.lifecycle_events.push(&LifecycleEvent {
        event_time: at,
        received_at: now.utc,
        event_type: fact.happened.word(),
        instrument_name: Some(&fact.instrument),
        currency: Some(&schema::instrument::currency(&fact.instrument)),
        collector_id: fact.shard.as_deref(),
        details,
        success: true,
        error_message: None,
        created_at: now.utc,
    });
}

fn word(why: Why) -> &'static str {
    match why {
        Why::Final => "final state",
        Why::Expired => "expired",
        Why::Unlisted => "unlisted",
    }
}
