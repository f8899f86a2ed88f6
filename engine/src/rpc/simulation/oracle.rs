//! What must be true of the client: of each request, of the gaps it names, and in the end.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::StringArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use schema::Origin;
use schema::tables::Rows;
use serde_json::Value;

use super::exchange::{Mode, is_window, ticker_of};
use super::{ARRIVED_US, FAULTS_US, World, utc};
use crate::session::Session;

impl World {
    pub(super) fn watch(&mut self, request: &Value) {
        let now = self.now().monotonic;
        let channels = request["params"]["channels"].as_array();
        let names: Vec<&str> = channels.into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(names.len() <= 250, "{} channels in a call", names.len());
        let windows = names.first().is_some_and(|name| is_window(name));
        let credits = match names.is_empty() {
            true => &mut self.asking,
            false if windows => &mut self.sampling,
            false => &mut self.subscribing,
        };
        assert!(credits.take(now), "asked too often");
        if windows {
            return self.watch_samples(request, &names);
        }
        // A broken book of the goal is let go, to begin anew.
        let books = &self.session.decoder().books;
        let broken = |name: &&str| books.get(*name).is_some_and(|book| !book.whole);
        let renewed = names.iter().all(|name| self.goal.contains(name) && broken(name));
        if request["method"] == "public/unsubscribe" && !renewed {
            let wanted = names.iter().find(|name| self.goal.contains(name));
            assert_eq!(wanted, None, "a channel of the goal is let go");
            let refused: BTreeSet<&str> = self.session.refused().collect();
            let served =
                |c: &&str| self.server.subscribed.contains(*c) || refused.contains(*c) || broken(c);
            let missing = self.goal.iter().find(|channel| !served(channel));
            let alive = self.server_up && self.server.mode != Mode::Mute;
            assert!(!alive || missing.is_none(), "unsubscribes before {missing:?} is served");
        }
    }

    /// Samples are asked for while everything else is served, and only of what is wanted.
    fn watch_samples(&self, request: &Value, names: &[&str]) {
        assert!(names.iter().all(|name| is_window(name)), "{names:?} share a call");
        if request["method"] == "public/subscribe" {
            assert!(self.session.subscriptions.is_complete() && !self.session.outage.is_open());
            let stray = names.iter().find(|name| !self.goal.contains(&ticker_of(name)));
            assert_eq!(stray, None, "nobody wants it");
        }
    }

    /// A change of a book shows the client what was lost before it; a snapshot hides it for ever.
    pub(super) fn prove(&mut self, text: &str) {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return };
        let (channel, data) = (&message["params"]["channel"], &message["params"]["data"]);
        let Some(seen) = data[0].as_u64() else { return };
        for (tick, (of, connection)) in &mut self.lost {
            if *tick < seen && *channel == **of && *connection == Some(self.connection) {
                *connection = data[3].is_i64().then_some(0);
            }
        }
        self.lost.retain(|_, (_, connection)| *connection != Some(0));
    }

    pub(super) fn is_settled(&self) -> bool {
        let served = |channel: &&str| !channel.contains("UNKNOWN") && !channel.contains("POISON");
        self.session.reached() == Some(self.generation)
            && self.session.subscriptions.in_flight() == 0
            && !self.session.outage.is_open()
            && self.server_up
            && self.server.mode == Mode::Well
            && self.goal.iter().filter(served).all(|channel| self.is_good(channel))
            && self.server.windows.is_empty()
            && self.goal.iter().filter(served).eq(self.server.subscribed.iter())
    }

    /// Whether a book is whole and up to date, and a ticker's instrument sampled since the faults.
    fn is_good(&self, channel: &str) -> bool {
        let tape = self.session.decoder();
        if channel.starts_with("book.") {
            let book = tape.books.get(channel);
            let known =
                book.is_some_and(|book| book.whole) || !self.server.books.contains_key(channel);
            return known && !self.unseen.contains(channel);
        }
        let window = channel.replace("ticker.", "book.").replace(".100ms", ".none.20.100ms");
        let since = utc(FAULTS_US + ARRIVED_US);
        let sampled = tape.sampled.get(&window).is_some_and(|at| *at > since);
        !self.sampled || !channel.starts_with("ticker.") || sampled
    }

    pub(super) fn check_gaps(mut self) {
        let now = self.now();
        self.session.finish(now, &mut self.rows);
        let gaps = gaps(&mut self.rows);
        assert!(gaps.values().all(Option::is_some), "a gap has no end: {gaps:#?}");
        for (tick, at_us, channel) in &self.owed {
            if !self.session.decoder().received.contains(tick) && !self.lost.contains_key(tick) {
                let instrument = channel.split('.').nth(1).unwrap();
                let covers = |((name, start), end): (&(String, i64), &Option<i64>)| {
                    let at = utc(*at_us).0;
                    (name == "*" || name == instrument)
                        && *start <= at
                        && end.is_none_or(|end| at < end)
                };
                assert!(gaps.iter().any(covers), "{channel} at {at_us} is in no gap: {gaps:#?}");
            }
        }
    }
}

/// The gaps written: instrument and start, and the end that the last row of them gives.
fn gaps(rows: &mut Rows) -> BTreeMap<(String, i64), Option<i64>> {
    let Some(draft) = rows.data_gaps.take(Origin::default()) else { return BTreeMap::new() };
    let batch = draft.number(1, 0);
    let column = |name| batch.columns().column_by_name(name).unwrap();
    let names = column("instrument").as_dictionary::<Int32Type>();
    let names = names.downcast_dict::<StringArray>().unwrap();
    let times = |name| column(name).as_primitive::<TimestampMicrosecondType>().iter();
    let keys = std::iter::zip(names, times("start_time"));
    let keys = keys.map(|(name, start)| (name.unwrap().to_owned(), start.unwrap()));
    std::iter::zip(keys, times("end_time")).collect()
}
