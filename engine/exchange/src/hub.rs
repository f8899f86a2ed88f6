//! The middle of the exchange: events of the venue go out to sessions, requests come in.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tungstenite::Utf8Bytes;

use crate::clock::Clock;
use crate::counts::Counters;
use crate::desk::Desk;
use crate::error::ExchangeError;
use crate::limits::{Guests, Limits};
use crate::market::{Event, Market};
use crate::outbox::{BACKLOG_BYTES_MAX, Outbox};
use crate::random::Random;
use crate::replay::Replay;
use crate::rpc::{self, RpcError};
use crate::session::{Ending, Outgoing, Session};
use crate::topics::{Topic, Topics};
use crate::truth::{Line, Sent, TruthLog, What};
use crate::venue::Venue;
use crate::wire::{Era, Numbers, Order, Style, notification};

/// The hub, shared by the tasks of the exchange's one thread. Nobody holds a borrow over an await.
pub(crate) type Shared = Rc<RefCell<Hub>>;

/// Everything but the sockets.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) desk: Desk,
    pub(crate) clock: Clock,
    pub(crate) counters: Arc<Counters>,
    pub(crate) guests: Guests,
    seats: Seats,
    truth: Option<TruthLog>,
    pace: Pace,
    /// Decides which events are printed in an unusual way.
    whims: Random,
    connections: u64,
}

/// The backlog at which a replay waits.
const CROWDED_BYTES: usize = BACKLOG_BYTES_MAX / 4;

type Seats = HashMap<u64, Seat>;

#[derive(Debug)]
struct Seat {
    session: Session,
    address: IpAddr,
    outbox: Rc<Outbox>,
}

/// Turns time into a number of events.
#[derive(Debug)]
struct Pace {
    rate: u64,
    started: Option<Instant>,
    done: u64,
}

impl Hub {
    /// `rate` is the market's events a second.
    pub(crate) fn new(
        desk: Desk,
        limits: Limits,
        rate: u32,
        seed: u64,
        clock: Clock,
        truth: Option<TruthLog>,
        counters: Arc<Counters>,
    ) -> Hub {
        Hub {
            desk,
            clock,
            counters,
            guests: Guests::new(limits),
            seats: HashMap::new(),
            truth,
            pace: Pace { rate: rate.into(), started: None, done: 0 },
            whims: Random::new(seed ^ 0x0b5e_55ed),
            connections: 0,
        }
    }

    pub(crate) fn open(&mut self, address: IpAddr) -> (u64, Rc<Outbox>) {
        let now = self.clock.now();
        self.guests.arrive(address, now.monotonic);
        self.connections += 1;
        let (connection, outbox) = (self.connections, Rc::new(Outbox::default()));
        let session = Session::new(connection, now.monotonic);
        self.seats.insert(connection, Seat { session, address, outbox: Rc::clone(&outbox) });
        self.desk.note(connection, What::Open, now.utc_us, &[]);
        self.write_notes();
        self.counters.opened();
        (connection, outbox)
    }

    /// Answers a request; the ending follows the answer.
    pub(crate) fn receive(&mut self, connection: u64, text: &str) -> Result<(), Ending> {
        let now = self.clock.now();
        let Some(seat) = self.seats.get_mut(&connection) else { return Ok(()) };
        let (id, call) = rpc::read(text);
        let method = call.as_ref().map(|call| call.method.as_str()).unwrap_or_default();
        let paid = self.guests.pay(seat.address, method, now.monotonic);
        let call = if paid { call } else { Err(RpcError::too_many_requests()) };
        for outgoing in seat.session.receive(id, call, now, &mut self.desk) {
            hand(seat, outgoing);
        }
        self.write_notes();
        if paid { Ok(()) } else { Err(Ending::Spent) }
    }

    pub(crate) fn deadline(&self, connection: u64) -> Option<Instant> {
        self.seats.get(&connection)?.session.deadline()
    }

    pub(crate) fn tick(&mut self, connection: u64) -> Result<(), Ending> {
        let now = self.clock.now().monotonic;
        let Some(seat) = self.seats.get_mut(&connection) else { return Ok(()) };
        for outgoing in seat.session.tick(now)? {
            hand(seat, outgoing);
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, connection: u64) {
        let Some(mut seat) = self.seats.remove(&connection) else { return };
        self.guests.leave(seat.address);
        seat.session.end(&mut self.desk);
        let now_us = self.clock.now_us();
        self.desk.note(connection, What::Closed, now_us, &[]);
        self.write_notes();
        self.counters.closed();
    }

    /// Moves the venue to now and hands out what happened.
    pub(crate) fn step(&mut self) -> Result<(), ExchangeError> {
        let now = self.clock.now();
        match &mut self.desk.venue {
            Venue::Market(market) => {
                let now_ms = now.utc_us / 1000;
                for event in market.due(now_ms) {
                    let topics = &self.desk.topics;
                    tell(market, &event, topics, &mut self.seats, &mut self.whims);
                }
                for _ in 0..self.pace.due(now.monotonic) {
                    let (event, topics) = (market.advance(now_ms), &self.desk.topics);
                    tell(market, &event, topics, &mut self.seats, &mut self.whims);
                }
                mark_busy(&mut self.seats, now.monotonic);
            }
            Venue::Replay(replay) => {
                play(replay, &self.desk.topics, &mut self.seats, now.monotonic)?;
                if replay.is_over() {
                    self.counters.finish();
                }
            }
        }
        Ok(())
    }

    /// These texts are on their way; `certain` where the socket took them whole.
    pub(crate) fn sent(&mut self, connection: u64, written: Vec<Outgoing>, certain: bool) {
        let sent_at = self.clock.now_us();
        for outgoing in written {
            self.counters.sent(outgoing.channel.as_deref());
            let Some(truth) = &mut self.truth else { continue };
            let channel = outgoing.channel.as_deref().unwrap_or_default().to_owned();
            let frame = outgoing.text.as_str().to_owned();
            let line = Line::Sent(Sent { sent_at, connection, channel, frame, certain });
            if let Err(error) = truth.write(&line) {
                self.counters.failed(&error);
            }
        }
    }

    /// Hands a text to a connection from outside of the venue.
    #[cfg(test)]
    pub(crate) fn hand_to(&self, connection: u64, outgoing: &Outgoing) {
        self.seats.get(&connection).into_iter().for_each(|seat| hand(seat, outgoing.clone()));
    }

    pub(crate) fn flush_truth(&mut self) {
        if let Some(Err(error)) = self.truth.as_mut().map(TruthLog::flush) {
            self.counters.failed(&error);
        }
    }

    fn write_notes(&mut self) {
        for event in self.desk.notes.drain(..) {
            let line = Line::Event(event);
            if let Some(Err(error)) = self.truth.as_mut().map(|truth| truth.write(&line)) {
                self.counters.failed(&error);
            }
        }
    }
}

impl Pace {
    /// How many events are due. After a stall of more than a second the rest is let go.
    fn due(&mut self, now: Instant) -> u64 {
        let started = *self.started.get_or_insert(now);
        let target = now.duration_since(started).as_micros() as u64 * self.rate / 1_000_000;
        let due = (target - self.done).min(self.rate);
        self.done = target;
        due
    }
}

/// The one door to a connection: what may go wrong on purpose goes wrong here.
fn hand(seat: &Seat, outgoing: Outgoing) {
    seat.outbox.push(outgoing);
}

/// One event of the market, printed once for each era that has a listener.
fn tell(market: &Market, event: &Event, topics: &Topics, seats: &mut Seats, whims: &mut Random) {
    let (numbers, order) = (whims.once_in(8), whims.once_in(64).then(|| whims.bits()));
    if topics.is_empty() {
        return;
    }
    for channel in market.channels_of(event) {
        let Some(topic) = topics.get(channel) else { continue };
        for era in Era::ALL {
            if topic.readers.iter().all(|reader| reader.era != era) {
                continue;
            }
            let Some(data) = market.data(event, channel) else { continue };
            let usual = era.style();
            let style = Style {
                numbers: match usual.numbers {
                    Numbers::Short if numbers => Numbers::Whole,
                    usual => usual,
                },
                order: order.map_or(usual.order, Order::Shuffled),
            };
            let text = notification(&topic.name, data, style).into();
            spread(topic, Some(era), &text, seats);
        }
    }
}

/// Every frame of the recording that is due, verbatim. A market does not wait for its readers, but
/// a recording that is played faster than they read does.
fn play(
    replay: &mut Replay,
    topics: &Topics,
    seats: &mut Seats,
    now: Instant,
) -> Result<(), ExchangeError> {
    let mut played = false;
    let crowded = |seats: &Seats| seats.values().any(|seat| seat.outbox.bytes() > CROWDED_BYTES);
    while !crowded(seats)
        && let Some((channel, frame)) = replay.due(now)?
    {
        if let Some(topic) = topics.get(channel) {
            spread(topic, None, &frame.into(), seats);
            played = true;
        }
    }
    if played {
        mark_busy(seats, now);
    }
    Ok(())
}

fn spread(topic: &Topic, era: Option<Era>, text: &Utf8Bytes, seats: &Seats) {
    for reader in &topic.readers {
        if era.is_none_or(|era| era == reader.era)
            && let Some(seat) = seats.get(&reader.connection)
        {
            let channel = Some(Arc::clone(&topic.name));
            hand(seat, Outgoing { channel, text: text.clone() });
        }
    }
}

fn mark_busy(seats: &mut Seats, now: Instant) {
    for seat in seats.values_mut().filter(|seat| seat.session.is_listening()) {
        seat.session.told = now;
    }
}
