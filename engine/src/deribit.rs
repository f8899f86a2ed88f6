//! Deribit's public market data: a notification's JSON becomes rows.
//!
//! `channel` says what a notification is about; `wire` and `field` read its fields in whatever
//! form the exchange writes them; `ticker`, `trades`, `book`, `depth` and `index` turn them into
//! rows; `identities` and `sequence` know what was recorded before, so that a repeat is dropped;
//! `holes` names the trades that are missing, `mending` asks for them again, `latecomers` knows
//! of options that were listed unseen; `estate` is what goes with a channel to another connection,
//! and `echoes` knows what both have heard; `states` passes on what is said of instruments; `tally`
//! counts everything that is not a row; [`instruments`] reads the list of instruments.
//! Protocol: <https://docs.deribit.com>, sections "Subscriptions" and "Market data".
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod book;
mod channel;
mod decoder;
mod depth;
mod echoes;
mod estate;
mod field;
mod holes;
mod identities;
mod index;
pub mod instruments;
mod latecomers;
mod levels;
mod mending;
pub mod nesting;
mod quarantine;
mod refusal;
mod roster;
mod sequence;
mod states;
mod tally;
#[cfg(test)]
mod tests;
mod ticker;
mod trades;
mod wire;

pub use decoder::{Decoder, Hole, LastIdentity, Limits};
pub use estate::Estate;
pub use refusal::Refusal;
pub use roster::Roster;
pub use states::{Overheard, Said, Word};
pub use tally::{Counts, Stored, Tally, Unknown};

use std::time::Duration;

use schema::tables::Rows;
use schema::{Micros, Now};

use crate::session::{Chain, Decode, Held, Question};

impl Decode for Decoder {
    type Estate = Estate;

    fn decode(&mut self, channel: &str, data: &str, now: Now, rows: &mut Rows) -> Chain {
        self.decode(channel, data, now, rows)
    }

    fn sample(&mut self, channel: &str, data: &str, now: Now, rows: &mut Rows) {
        self.sample(channel, data, now, rows);
    }

    fn has_marks(&self, instrument: &str) -> bool {
        self.identities.get(instrument).is_some_and(|known| known.marks.seen)
    }

    fn quarantine(&mut self, channel: &str, reason: &str, raw: &[u8], now: Now, rows: &mut Rows) {
        self.quarantine(channel, reason, raw, now, rows);
    }

    fn missed(&mut self, channel: &str, since: Micros, now: Now) {
        self.missed(channel, since, now);
    }

    fn unasked_since(&self) -> Option<Micros> {
        let known = [self.mending.unasked_since(), self.latecomers.since()];
        known.into_iter().flatten().min()
    }

    fn question_at(&self) -> Duration {
        self.mending.due()
    }

    fn question(&mut self, now: Duration) -> Option<Question> {
        self.question(now)
    }

    fn answered(
        &mut self,
        question: &Question,
        trades: Option<(&str, bool)>,
        now: Now,
        rows: &mut Rows,
    ) {
        self.answered(question, trades, now, rows);
    }

    fn unanswered(&mut self, question: &Question, now: Duration) {
        self.mending.unanswered(&question.instrument, now);
    }

    fn watch(&mut self, channel: &str) {
        self.watch_channel(channel);
    }

    fn unwatch(&mut self, channel: &str, now: Now) {
        self.unwatch_channel(channel, now);
    }

    fn give(&mut self, channel: &str, missed: Option<Micros>) -> Estate {
        self.give_channel(channel, missed)
    }

    fn adopt(
        &mut self,
        channel: &str,
        estate: Estate,
        held: &mut Vec<Held>,
        missed: Option<Micros>,
        now: Now,
    ) {
        self.adopt_channel(channel, estate, held, missed, now);
    }

    fn settle(&mut self, last: bool, now: Now, rows: &mut Rows) {
        self.ask_for_latecomers(now.monotonic);
        self.name_holes(last, now, rows);
    }

    fn deadline(&self) -> Duration {
        match self.untold.is_empty() && !self.latecomers.are_due() {
            true => self.waiting.deadline(),
            false => Duration::ZERO,
        }
    }
}
