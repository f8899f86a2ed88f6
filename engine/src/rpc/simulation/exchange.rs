//! The exchange as far as subscriptions see it, with its whims.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::backoff::Random;

/// One connection's server. Requests are processed in the order of their arrival.
pub(super) struct Exchange {
    pub(super) random: Random,
    pub(super) whims: Whims,
    /// What the connection is subscribed to: the truth.
    pub(super) subscribed: BTreeSet<String>,
    pub(super) mode: Mode,
    pub(super) heartbeats: bool,
    /// Test requests without an answer.
    pub(super) untested: u32,
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
            channels_max: [1_000, 1_000, 20, 7][(random.bits() % 4) as usize],
        }
    }

    /// The faults are over; what is a rule stays.
    pub(super) fn none(self) -> Self {
        Self { lost: 0, late: 0, retriable: 0, passed_over: 0, ..self }
    }
}

impl Exchange {
    pub(super) fn connect(&mut self) {
        self.subscribed.clear();
        (self.mode, self.heartbeats, self.untested) = (Mode::Well, false, 0);
    }

    /// Does what a request asks. The reply and its delay in ms, unless it gets lost.
    pub(super) fn serve(&mut self, request: &Value) -> Option<(String, u64)> {
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
                        self.subscribed.insert((*name).to_owned());
                        served.push(*name);
                    }
                }
                Some(json!(served))
            }
            "public/unsubscribe" => {
                let gone = names.iter().filter(|name| self.subscribed.remove(**name));
                Some(json!(gone.collect::<Vec<_>>()))
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

    fn chance(&mut self, of_100: u64) -> bool {
        self.random.bits() % 100 < of_100
    }
}
