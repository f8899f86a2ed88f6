//! Connection and exchange in virtual time, with everything that can go wrong between them.
//!
//! The oracle: whatever the exchange had to say on a channel that was acknowledged and wanted is
//! received, or a gap names its time; and in the end exactly the goal is subscribed, every book is
//! whole, and every book was sampled. A failure names its seed.

mod exchange;
mod oracle;
mod tape;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use lifecycle::{ChannelSet, Swap};
use schema::tables::Rows;
use schema::{Micros, Now};
use serde_json::{Value, json};

use super::settings::{ASKING, SUBSCRIBING};
use super::{Allowance, Connection, Sampling, Settings};
use crate::backoff::{Backoff, Random};
use crate::credits::{Credits, Rate};
use crate::session::{Cause, Session, SessionError};
use exchange::{Exchange, Mode, is_window, ticker_of};
use tape::Tape;

#[test]
fn every_tick_is_received_or_in_a_gap() {
    let seeds = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(400);
    let first = std::env::var("SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for seed in first..first + seeds {
        let outcome = std::panic::catch_unwind(|| World::new(seed).run());
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Connect,
    /// The client's message reaches the server.
    Request(u64, String),
    /// The server lets a message go.
    Say(u64, String),
    /// It reaches the client.
    Arrive(u64, String),
    /// The client learns that the socket is gone.
    Closed(u64, String),
    TestRequest(u64),
    Fault,
    /// Something happens on the market.
    Tick,
}

struct World {
    random: Random,
    now_us: u64,
    order: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    session: Connection<Tape>,
    backoff: Backoff,
    rows: Rows,
    server: Exchange,
    /// The number of the newest connection, and whether each side believes in it.
    connection: u64,
    client_up: bool,
    server_up: bool,
    transit_us: u64,
    asking: Credits,
    subscribing: Credits,
    sampling: Credits,
    sampled: bool,
    universe: Vec<String>,
    goal: ChannelSet,
    generation: u64,
    changes: u64,
    /// Acknowledged since it is in the goal.
    expected: BTreeSet<String>,
    owed: Vec<(u64, u64, String)>,
    /// Books of which something was lost, and nothing was sent since.
    unseen: BTreeSet<String>,
    /// What was lost of books, and on which connection: nobody can know of it before a later change
    /// there.
    lost: BTreeMap<u64, (String, Option<u64>)>,
    ticks: u64,
    /// When it is looked again whether everything has settled.
    looks_at_us: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let instruments = [30, 30, 30, 350][(random.bits() % 4) as usize];
        let name = |i: u64| match i {
            3 => "UNKNOWN-3".to_owned(),
            7 if seed.is_multiple_of(3) => "POISON-7".to_owned(),
            _ => format!("BTC-{i}"),
        };
        let channels = |i| ["ticker", "trades", "book"].map(|it| format!("{it}.{}.100ms", name(i)));
        // The exchange has just been asked by others, or not for a long time.
        let quiet = Duration::from_millis([0, 1_000, 60_000][(random.bits() % 3) as usize]);
        let sampled = !seed.is_multiple_of(4);
        let allowance = Allowance::after(quiet, sampled, Duration::ZERO);
        let mut settings = Settings::new("btc-options-0".into(), allowance);
        settings.silent_data_max = Duration::from_secs(90);
        let server = Exchange::new(&mut random, seed ^ 1);
        let tape = if sampled { SUBSCRIBING.part((3, 4)) } else { SUBSCRIBING };
        let part = SUBSCRIBING.part((1, TURNS.into())).part((1, 4));
        let chunk = 2 * part.cost;
        let mut world = Self {
            now_us: 0,
            order: 0,
            events: BinaryHeap::new(),
            asking: Credits::after(ASKING, quiet, Duration::ZERO),
            subscribing: Credits::after(tape, quiet, Duration::ZERO),
            sampling: Credits::new(Rate { pool: chunk.max(part.pool), ..part }),
            sampled,
            session: Connection::new(settings, Tape::default()),
            backoff: Backoff::new(seed),
            rows: Rows::default(),
            server,
            connection: 0,
            client_up: false,
            server_up: false,
            transit_us: 0,
            universe: (0..instruments).flat_map(channels).collect(),
            goal: ChannelSet::default(),
            generation: 0,
            changes: 0,
            expected: BTreeSet::new(),
            owed: Vec::new(),
            unseen: BTreeSet::new(),
            lost: BTreeMap::new(),
            ticks: 0,
            looks_at_us: 0,
            random,
        };
        if world.sampled {
            let turn = (world.random.bits() as u32 % TURNS, TURNS);
            let every = Duration::from_secs(60);
            world.session.sample(Sampling { depth: 20, every, capacity: 500, turn });
        }
        world.swap();
        world.after(0, Event::Connect);
        world.after(0, Event::Tick);
        world.after(5_000_000, Event::Fault);
        world
    }

    fn run(mut self) {
        loop {
            let deadline = u64::try_from(self.session.deadline().as_micros()).unwrap_or(u64::MAX);
            let next = self.events.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
            self.now_us = self.now_us.max(next.min(deadline));
            if next <= deadline {
                let Some(Reverse((_, _, event))) = self.events.pop() else { break };
                self.happen(event);
            } else {
                let outcome = self.session.tick(self.now(), &mut self.rows);
                self.judge(outcome);
                self.pump();
                let after = self.session.deadline();
                assert!(after > self.now().monotonic, "the deadline does not move");
            }
            self.pump();
            if self.now_us > self.looks_at_us {
                self.looks_at_us = self.now_us.max(FAULTS_US + ARRIVED_US) + LOOK_US;
                if self.now_us > FAULTS_US + ARRIVED_US && self.is_settled() {
                    break;
                }
            }
            assert!(self.now_us < END_US, "never settles: {:#?}", self.session.subscriptions);
        }
        self.check_gaps();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Connect => self.connect(),
            Event::Request(connection, text) if self.serves(connection) => {
                let request: Value = serde_json::from_str(&text).unwrap();
                let silent = !self.server.heartbeats;
                if let Some((reply, delay_ms)) = self.server.serve(&request) {
                    self.after(delay_ms * 1_000, Event::Say(connection, reply));
                }
                if silent && self.server.heartbeats {
                    self.after(10_600_000, Event::TestRequest(connection));
                }
                let began = std::mem::take(&mut self.server.began);
                began.iter().for_each(|channel| self.begin(channel));
                let windows = self.server.windows.len();
                assert!(windows <= 100, "{windows} windows at a time");
            }
            Event::Say(connection, text) if self.serves(connection) => self.say(text),
            Event::Arrive(connection, text) if self.client_up && connection == self.connection => {
                self.prove(&text);
                let mut message = text.into_bytes();
                let outcome = self.session.receive(&mut message, self.now(), &mut self.rows);
                if let Some(window) = self.session.decoder_mut().newest_sample.take() {
                    assert!(self.goal.contains(&ticker_of(&window)), "{window} is not wanted");
                }
                self.judge(outcome);
            }
            Event::Closed(connection, why) if self.client_up && connection == self.connection => {
                self.end(Cause::closed(Some(1000), &why), crate::session::Policy::Retry);
            }
            Event::TestRequest(connection) if self.serves(connection) => {
                assert!(self.server.untested < 2, "a test request stays unanswered");
                self.server.untested += u32::from(self.server.mode != Mode::Mute);
                self.say(
                    json!({"params": {"type": "test_request"}, "method": "heartbeat"}).to_string(),
                );
                self.after(10_600_000, Event::TestRequest(connection));
            }
            Event::Fault => self.fault(),
            Event::Tick => self.market_tick(),
            Event::Request(..)
            | Event::Say(..)
            | Event::Arrive(..)
            | Event::Closed(..)
            | Event::TestRequest(_) => {}
        }
    }

    fn connect(&mut self) {
        if self.random.bits().is_multiple_of(5) && self.now_us < FAULTS_US {
            let pause = self.backoff.pause(Duration::ZERO, crate::session::Policy::Retry);
            return self.after(u64::try_from(pause.as_micros()).unwrap(), Event::Connect);
        }
        self.connection += 1;
        (self.client_up, self.server_up) = (true, true);
        self.transit_us = 5_000 + self.random.bits() % 1_500_000;
        self.server.connect();
        self.session.connected(self.now());
    }

    fn fault(&mut self) {
        if self.now_us > FAULTS_US {
            self.server.whims = self.server.whims.none();
            return;
        }
        match self.random.bits() % 10 {
            0..5 => self.swap(),
            5..7 => self.hang_up("bye"),
            7 => self.server.mode = Mode::Mute,
            // Without tickers nothing tells a server that sends no data from a market at rest.
            8 if self.session.acknowledged().iter().any(super::is_ticker) => {
                self.server.mode = Mode::Dataless;
            }
            _ if self.random.bits().is_multiple_of(2) => self.say(GARBAGE.to_owned()),
            _ => {
                let error = json!({"code": 10028, "message": "too_many_requests"});
                self.say(json!({ "error": error }).to_string());
                self.hang_up("");
            }
        }
        let pause = self.random.bits() % 20_000_000;
        self.after(pause, Event::Fault);
    }

    fn swap(&mut self) {
        self.generation += 1;
        let random = &mut self.random;
        let goal = self.universe.iter().filter(|_| random.bits().is_multiple_of(2));
        self.goal = goal.map(String::as_str).collect();
        self.expected.retain(|channel| self.goal.contains(channel));
        self.session.swap(Swap { generation: self.generation, goal: self.goal.clone() });
        self.observe();
    }

    fn hang_up(&mut self, why: &str) {
        if self.server_up {
            self.server_up = false;
            self.after(self.transit_us, Event::Closed(self.connection, why.to_owned()));
        }
    }

    fn market_tick(&mut self) {
        let at = (self.random.bits() % self.universe.len() as u64) as usize;
        let channel = self.universe[at].clone();
        self.ticks += 1;
        if self.now_us < FAULTS_US && self.expected.contains(&channel) {
            self.owed.push((self.ticks, self.now_us, channel.clone()));
        }
        let data = match channel.starts_with("book.") {
            true => {
                let prev = self.server.changed(&channel);
                json!([self.ticks, utc(self.now_us).0, self.server.change_id, prev])
            }
            false => json!(self.ticks),
        };
        self.tell(&channel, &data);
        if let Some(window) = self.server.windows.last().cloned() {
            self.begin(&window);
        }
        self.after(50_000, Event::Tick);
    }

    /// What a channel says to a new listener at once.
    fn begin(&mut self, channel: &str) {
        self.ticks += 1;
        if is_window(channel) {
            self.tell(channel, &json!(self.ticks));
        } else if let Some(id) = self.server.books.get(channel) {
            self.tell(channel, &json!([self.ticks, utc(self.now_us).0, id]));
        }
    }

    /// Data sets out, to whoever listens; that of a book, and of its window, may be lost.
    fn tell(&mut self, channel: &str, data: &Value) {
        if !self.server.sends(channel) {
            return;
        }
        if channel.starts_with("book.") && self.server.loses() {
            self.unseen.insert(channel.to_owned());
            self.lost.insert(self.ticks, (channel.to_owned(), Some(self.connection)));
            return;
        }
        self.unseen.remove(channel);
        let params = json!({"channel": channel, "data": data});
        self.say(json!({"params": params, "method": "subscription"}).to_string());
    }

    /// The server's message sets out, if it can.
    fn say(&mut self, text: String) {
        if self.server_up && self.server.mode != Mode::Mute {
            self.after(self.transit_us, Event::Arrive(self.connection, text));
        }
    }

    fn judge(&mut self, outcome: Result<(), SessionError>) {
        if let Err(error) = outcome {
            self.end(error.cause(), error.policy());
        }
    }

    fn end(&mut self, cause: Cause, policy: crate::session::Policy) {
        (self.client_up, self.server_up) = (false, false);
        self.session.disconnected(cause, self.now());
        let pause = self.backoff.pause(self.session.flowed(), policy);
        self.after(u64::try_from(pause.as_micros()).unwrap(), Event::Connect);
    }

    /// Sends what is to be sent, and watches what it is.
    fn pump(&mut self) {
        let mut out = Vec::new();
        while self.session.transmit(self.now(), &mut out) {
            assert!(out.len() <= 32_000, "{} bytes in a frame", out.len());
            let text = String::from_utf8(std::mem::take(&mut out)).unwrap();
            self.watch(&serde_json::from_str(&text).unwrap());
            self.after(self.transit_us, Event::Request(self.connection, text));
        }
        self.observe();
    }

    fn observe(&mut self) {
        if self.changes != self.session.changes() {
            self.changes = self.session.changes();
            let wanted = |channel: &&str| self.goal.contains(channel);
            let served = self.session.acknowledged().iter().filter(wanted);
            self.expected.extend(served.map(str::to_owned));
        }
    }

    fn serves(&self, connection: u64) -> bool {
        self.server_up && connection == self.connection
    }

    fn after(&mut self, us: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.now_us + us, self.order, event)));
    }

    fn now(&self) -> Now {
        Now { monotonic: Duration::from_micros(self.now_us), utc: utc(self.now_us) }
    }
}

fn utc(us: u64) -> Micros {
    Micros(1_800_000_000_000_000 + i64::try_from(us).unwrap())
}

/// Connections that take turns with their samples.
const TURNS: u32 = 8;
const GARBAGE: &str = "{\"jsonrpc\":";
const FAULTS_US: u64 = 300_000_000;
/// By then what was said before the last fault has arrived, if it ever does.
const ARRIVED_US: u64 = 5_000_000;
const LOOK_US: u64 = 500_000;
const END_US: u64 = 4 * 3_600_000_000;
