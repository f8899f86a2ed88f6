//! The exchange as far as subscriptions see it, with its whims.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::backoff::Random;

/// One connection's server. Requests are processed in the order of their arrival.
pub(super) struct Exchange {
    pub(super) random: Random,
    pub(super) whims: Whims,
    /// What the connection is subscribed to: the truth. Windows are apart.
    pub(super) subscribed: BTreeSet<String>,
    pub(super) windows: BTreeSet<String>,
    /// What the last request has added to them.
    pub(super) began: Vec<String>,
    pub(super) mode: Mode,
    pub(super) heartbeats: bool,
    /// Test requests without an answer.
    pub(super) untested: u32,
    /// The newest version of each book that has ever changed, and of them all.
    pub(super) books: BTreeMap<String, i64>,
    pub(super) change_id: i64,
}

/// How a server treats its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Well,
    /// The socket is open and nothing comes.
    Mute,
    /// Everything is answered, but there is no data.
    Dataless,
}

/// What a seed decides about the exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whims {
    /// Chances in 100, while faults last.
    pub(super) lost: u64,
    pub(super) late: u64,
    pub(super) retriable: u64,
    pub(super) passed_over: u64,
    /// Of what a book has to say.
    pub(super) unsaid: u64,
    /// Calls with more channels are too large.
    pub(super) channels_max: usize,
}

impl Whims {
    pub(super) fn of(random: &mut Random) -> Self {
        Self {
            lost: random.bits() % 6,
            late: random.bits() % 4,
            retriable: random.bits() % 6,
            passed_over: random.bits() % 4,
            unsaid: random.bits() % 12,
            channels_max: [1_000, 1_000, 20, 7][(random.bits() % 4) as usize],
        }
    }

    /// The faults are over; what is a rule stays.
    pub(super) fn none(self) -> Self {
        Self { lost: 0, late: 0, retriable: 0, passed_over: 0, unsaid: 0, ..self }
    }
}

impl Exchange {
    pub(super) fn new(random: &mut Random, seed: u64) -> Self {
        Self {
            whims: Whims::of(random),
            random: Random::new(seed),
            subscribed: BTreeSet::new(),
            windows: BTreeSet::new(),
            began: Vec::new(),
            mode: Mode::Well,
            heartbeats: false,
            untested: 0,
            books: BTreeMap::new(),
            change_id: 0,
        }
    }

    pub(super) fn connect(&mut self) {
        self.subscribed.clear();
        self.windows.clear();
        (self.mode, self.heartbeats, self.untested) = (Mode::Well, false, 0);
    }

    /// Does what a request asks. The reply and its delay in ms, unless it gets lost.
    pub(super) fn serve(&mut self, request: &Value) -> Option<(String, u64)> {
        self.began.clear();
        if self.mode == Mode::Mute {
            return None;
        }
        let id = &request["id"];
        let channels = request["params"]["channels"].as_array();
        let names: Vec<&str> = channels.into_iter().flatten().filter_map(Value::as_str).collect();
        let reply = if names.len() > self.whims.channels_max {
            json!({"error": {"code": -32600, "message": "request entity too large"}})
        } else if !names.is_empty() && self.chance(self.whims.retriable) {
            json!({"id": id, "error": {"code": 13028, "message": "temporarily_unavailable"}})
        } else {
            let method = request["method"].as_str().unwrap();
            match self.perform(method, &names) {
                Some(result) => json!({"usIn": 1, "result": result, "id": id}),
                None => json!({"id": id, "error": {"code": -32602, "message": "Invalid params"}}),
            }
        };
        if self.chance(self.whims.lost) {
            return None;
        }
        let late = self.chance(self.whims.late);
        let delay = if late { 12_000 } else { self.random.bits() % 2_000 };
        Some((reply.to_string(), delay))
    }

    fn perform(&mut self, method: &str, names: &[&str]) -> Option<Value> {
        match method {
            "public/subscribe" => {
                if names.iter().any(|name| name.contains("POISON")) {
                    return None;
                }
                let mut served = Vec::new();
                for name in names.iter().rev() {
                    let known = !name.contains("UNKNOWN");
                    if known && !self.chance(self.whims.passed_over) {
                        if self.channels(name).insert((*name).to_owned()) {
                            self.began.push((*name).to_owned());
                        }
                        served.push(*name);
                    }
                }
                Some(json!(served))
            }
            "public/unsubscribe" => {
                let mut gone = names.to_vec();
                gone.retain(|name| self.channels(name).remove(*name));
                Some(json!(gone))
            }
            "public/set_heartbeat" => {
                self.heartbeats = true;
                Some(json!("ok"))
            }
            "public/test" => {
                self.untested = 0;
                Some(json!({"version": "1.2.26"}))
            }
            "public/hello" => Some(json!({"version": "1.2.26"})),
            other => panic!("{other} is not modelled"),
        }
    }

    /// Whether somebody listens.
    pub(super) fn sends(&self, channel: &str) -> bool {
        self.mode == Mode::Well
            && (self.subscribed.contains(channel) || self.windows.contains(channel))
    }

    fn channels(&mut self, name: &str) -> &mut BTreeSet<String> {
        if is_window(name) { &mut self.windows } else { &mut self.subscribed }
    }

    /// A book changes: its version before, none if it is new.
    pub(super) fn changed(&mut self, book: &str) -> Option<i64> {
        self.change_id += 1 + i64::from(self.chance(30));
        self.books.insert(book.to_owned(), self.change_id)
    }

    /// Whether a message gets lost.
    pub(super) fn loses(&mut self) -> bool {
        self.chance(self.whims.unsaid)
    }

    fn chance(&mut self, of_100: u64) -> bool {
        self.random.bits() % 100 < of_100
    }
}

/// Whether the channel is what a sampler asks for.
pub(super) fn is_window(channel: &str) -> bool {
    channel.ends_with(".none.20.100ms")
}

/// The ticker of a window's instrument.
pub(super) fn ticker_of(window: &str) -> String {
    window.replace("book.", "ticker.").replace(".none.20", "")
}
