//! What the client has recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schema::tables::Rows;
use schema::{Micros, Now};
use serde_json::Value;

use super::GARBAGE;
use crate::session::{Chain, Decode, Held, Question};

/// A decoder of the simulation's messages: `N`, or `[N, at, change_id, prev]` of a book.
#[derive(Debug, Default)]
pub(super) struct Tape {
    pub(super) received: BTreeSet<u64>,
    /// By channel.
    pub(super) books: BTreeMap<String, Links>,
    /// When the newest sample of each window came.
    pub(super) sampled: BTreeMap<String, Micros>,
    pub(super) newest_sample: Option<String>,
}

/// The chain of one book.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) whole: bool,
    pub(super) last: Option<i64>,
    good_until: Option<Micros>,
}

impl Links {
    fn take(&mut self, id: i64, prev: Option<i64>, at: Micros) -> Chain {
        let (since, last) = (self.good_until, self.last.replace(id));
        match prev {
            None => {
                *self = Self { whole: true, last: Some(id), good_until: Some(at) };
                Chain::Begun(at)
            }
            Some(_) if self.whole && prev == last => {
                self.good_until = Some(at);
                Chain::Quiet
            }
            Some(_) => {
                self.whole = false;
                Chain::Broken { since, at, last, prev }
            }
        }
    }
}

impl Decode for Tape {
    type Estate = ();

    fn decode(&mut self, channel: &str, data: &str, _: Now, _: &mut Rows) -> Chain {
        let data: Value = serde_json::from_str(data).unwrap();
        let number = |at: usize| data[at].as_i64();
        self.received.insert(data.as_u64().or(data[0].as_u64()).unwrap());
        match (number(1), number(2)) {
            (Some(at), Some(id)) => {
                let book = self.books.entry(channel.to_owned()).or_default();
                book.take(id, number(3), Micros(at))
            }
            (_, _) => Chain::Quiet,
        }
    }

    fn sample(&mut self, channel: &str, data: &str, now: Now, _: &mut Rows) {
        self.sampled.insert(channel.to_owned(), now.utc);
        self.newest_sample = Some(channel.to_owned());
        assert!(self.received.insert(data.parse().unwrap()), "a sample is taken once");
    }

    fn has_marks(&self, _: &str) -> bool {
        true
    }

    fn unasked_since(&self) -> Option<Micros> {
        None
    }

    fn quarantine(&mut self, _: &str, _: &str, raw: &[u8], _: Now, _: &mut Rows) {
        assert_eq!(raw, GARBAGE.as_bytes());
    }

    fn missed(&mut self, _: &str, _: Micros, _: Now) {}

    fn question_at(&self) -> Duration {
        Duration::MAX
    }

    fn question(&mut self, _: Duration) -> Option<Question> {
        None
    }

    fn answered(&mut self, _: &Question, _: Option<(&str, bool)>, _: Now, _: &mut Rows) {}

    fn unanswered(&mut self, _: &Question, _: Duration) {}

    fn watch(&mut self, _: &str) {}

    fn unwatch(&mut self, _: &str, _: Now) {}

    fn give(&mut self, _: &str, _: Option<Micros>) {}

    fn adopt(&mut self, _: &str, (): (), _: &mut Vec<Held>, _: Option<Micros>, _: Now) {}

    fn settle(&mut self, _: bool, _: Now, _: &mut Rows) {}

    fn deadline(&self) -> Duration {
        Duration::MAX
    }
}
