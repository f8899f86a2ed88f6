//! The middle of the exchange: events of the venue go out to sessions, requests come in. It knows
//! no socket and no clock: whoever drives it says what time it is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tungstenite::Utf8Bytes;

use crate::clock::Now;
use crate::counts::Counters;
use crate::desk::Desk;
use crate::error::ExchangeError;
use crate::limits::{Guests, Limits};
use crate::market::{Event, Market};
use crate::methods;
use crate::outbox::{BACKLOG_BYTES_MAX, Outbox};
use crate::random::Random;
use crate::replay::Replay;
use crate::rpc::{self, Call, RpcError};
use crate::session::{Ending, Outgoing, Session};
use crate::topics::{Topic, Topics};
use crate::truth::{Line, Sent, What};
use crate::venue::Venue;
use crate::wire::{Era, Numbers, Order, Style, notification};

/// Everything but the sockets.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) desk: Desk,
    pub(crate) counters: Arc<Counters>,
    pub(crate) guests: Guests,
    seats: Seats,
    /// What happened and was not yet asked for; `None` where nobody asks.
    truth: Option<Vec<Line>>,
    pace: Pace,
    /// Decides which events are printed in an unusual way.
    whims: Random,
    connections: u64,
    /// When the venue moved last.
    moved: Now,
}

/// The backlog at which a replay waits.
const CROWDED_BYTES: usize = BACKLOG_BYTES_MAX / 4;

/// In the order of their numbers, so that the same seed does the same in the same order.
type Seats = BTreeMap<u64, Seat>;

#[derive(Debug)]
struct Seat {
    session: Session,
    address: IpAddr,
    outbox: Outbox,
}

/// Turns time into a number of events.
#[derive(Debug)]
struct Pace {
    /// Events a second.
    rate: u64,
    started: Duration,
    done: u64,
}

impl Hub {
    /// `rate` is the market's events a second; `truthful` where somebody asks for the truth.
    pub(crate) fn new(
        desk: Desk,
        limits: Limits,
        rate: u32,
        seed: u64,
        truthful: bool,
        counters: Arc<Counters>,
        now: Now,
    ) -> Hub {
        Hub {
            desk,
            counters,
            guests: Guests::new(limits),
            seats: BTreeMap::new(),
            truth: truthful.then(Vec::new),
            pace: Pace { rate: rate.into(), started: now.monotonic, done: 0 },
            whims: Random::new(seed ^ 0x0b5e_55ed),
            connections: 0,
            moved: now,
        }
    }

    /// Seats a guest, whom [`Guests::admits`] has let in.
    pub(crate) fn open(&mut self, address: IpAddr, now: Now) -> u64 {
        self.guests.arrive(address, now.monotonic);
        self.connections += 1;
        let connection = self.connections;
        let session = Session::new(connection, now.monotonic);
        self.seats.insert(connection, Seat { session, address, outbox: Outbox::default() });
        self.desk.note(connection, What::Open, now.utc_us, &[]);
        self.note();
        self.counters.opened();
        connection
    }

    /// Answers a request over a websocket.
    pub(crate) fn receive(&mut self, connection: u64, text: &str, now: Now) {
        let Some(seat) = self.seats.get_mut(&connection) else { return };
        if seat.outbox.ending().is_some() {
            return;
        }
        let (id, call) = rpc::read(text);
        let method = call.as_ref().map(|call| call.method.as_str()).unwrap_or_default();
        let paid = self.guests.pay(seat.address, method, now.monotonic);
        let call = if paid { call } else { Err(RpcError::too_many_requests()) };
        for outgoing in seat.session.receive(id, call, now, &mut self.desk) {
            hand(seat, outgoing);
        }
        if !paid {
            seat.outbox.end(Ending::Spent);
        }
        self.note();
    }

    /// Answers a request over HTTP: a status and a JSON text.
    pub(crate) fn ask(
        &mut self,
        address: IpAddr,
        id: Option<Value>,
        call: Result<Call, RpcError>,
        now: Now,
    ) -> (u16, String) {
        let us_in = now.utc_us;
        let name = call.as_ref().map(|call| call.method.as_str()).unwrap_or_default();
        if !self.guests.pay(address, name, now.monotonic) {
            let spent = Err(RpcError::too_many_requests());
            return (429, rpc::answer(id, spent, us_in, us_in, true));
        }
        let outcome = call.and_then(|call| match call.method.as_str() {
            "public/auth" => self.desk.authenticate(&call.params),
            private if private.starts_with("private/") => Err(RpcError::unauthorized()),
            method => methods::call(&self.desk.venue, method, &call.params, us_in),
        });
        let status = if outcome.is_ok() { 200 } else { 400 };
        let us_out = us_in + 20 + self.desk.random.below(200) as i64;
        (status, rpc::answer(id, outcome, us_in, us_out, true))
    }

    /// When a connection has something to do by itself.
    pub(crate) fn deadline_of(&self, connection: u64) -> Option<Duration> {
        self.seats.get(&connection)?.session.deadline()
    }

    /// When anything at all has something to do: the venue or a connection.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let after = |at_us: i64| {
            let wait = u64::try_from(at_us.saturating_sub(self.moved.utc_us)).unwrap_or(0);
            self.moved.monotonic + Duration::from_micros(wait)
        };
        let venue = match &self.desk.venue {
            Venue::Market(market) => {
                let calendar = market.due_ms().map(|at_ms| after(at_ms.saturating_mul(1000)));
                [calendar, self.pace.deadline()].into_iter().flatten().min()
            }
            Venue::Replay(replay) => replay.deadline(),
        };
        let seats = self.seats.values().filter(|seat| seat.outbox.ending().is_none());
        seats.filter_map(|seat| seat.session.deadline()).chain(venue).min()
    }

    /// Lets a connection do what its deadline was for.
    pub(crate) fn tick(&mut self, connection: u64, now: Now) {
        let Some(seat) = self.seats.get_mut(&connection) else { return };
        match seat.session.tick(now.monotonic) {
            Ok(frames) => frames.into_iter().for_each(|outgoing| hand(seat, outgoing)),
            Err(ending) => seat.outbox.end(ending),
        }
    }

    /// Every connection's number.
    pub(crate) fn seated(&self) -> Vec<u64> {
        self.seats.keys().copied().collect()
    }

    /// The connections for which something has come since the last call.
    pub(crate) fn stirred(&mut self) -> Vec<u64> {
        let stirred = self.seats.iter_mut().filter_map(|(id, seat)| {
            let stirred = seat.outbox.stirred();
            stirred.then_some(*id)
        });
        stirred.collect()
    }

    /// Up to `most` texts to write, to be settled with [`sent`](Hub::sent).
    pub(crate) fn take(&mut self, connection: u64, most: usize) -> Vec<Outgoing> {
        self.seats.get_mut(&connection).map(|seat| seat.outbox.take(most)).unwrap_or_default()
    }

    /// Why a connection must end, if it must.
    pub(crate) fn ending(&self, connection: u64) -> Option<Ending> {
        self.seats.get(&connection)?.outbox.ending().cloned()
    }

    /// Ends a connection from outside of the conversation.
    pub(crate) fn end(&mut self, connection: u64, ending: Ending) {
        if let Some(seat) = self.seats.get_mut(&connection) {
            seat.outbox.end(ending);
        }
    }

    /// Forgets a connection that has ended.
    pub(crate) fn close(&mut self, connection: u64, now: Now) {
        let Some(mut seat) = self.seats.remove(&connection) else { return };
        self.guests.leave(seat.address);
        seat.session.end(&mut self.desk);
        self.desk.note(connection, What::Closed, now.utc_us, &[]);
        self.note();
        self.counters.closed();
    }

    /// Moves the venue to now and hands out what happened.
    pub(crate) fn step(&mut self, now: Now) -> Result<(), ExchangeError> {
        self.moved = now;
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

    /// What was taken is on its way; `certain` where the socket took it whole.
    pub(crate) fn sent(&mut self, connection: u64, certain: bool, now: Now) {
        let Some(seat) = self.seats.get_mut(&connection) else { return };
        for outgoing in seat.outbox.settle() {
            self.counters.sent(outgoing.channel.as_deref());
            let Some(truth) = &mut self.truth else { continue };
            let channel = outgoing.channel.as_deref().unwrap_or_default().to_owned();
            let frame = outgoing.text.as_str().to_owned();
            let sent_at = now.utc_us;
            truth.push(Line::Sent(Sent { sent_at, connection, channel, frame, certain }));
        }
    }

    /// What happened since the last call.
    pub(crate) fn truth(&mut self) -> Vec<Line> {
        self.truth.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Hands a text to a connection from outside of the venue.
    #[cfg(test)]
    pub(crate) fn hand_to(&mut self, connection: u64, outgoing: &Outgoing) {
        self.seats.get_mut(&connection).into_iter().for_each(|seat| hand(seat, outgoing.clone()));
    }

    fn note(&mut self) {
        let lines = self.desk.notes.drain(..).map(Line::Event);
        match &mut self.truth {
            Some(truth) => truth.extend(lines),
            None => lines.for_each(drop),
        }
    }
}

impl Pace {
    /// How many events are due. After a stall of more than a second the rest is let go.
    fn due(&mut self, now: Duration) -> u64 {
        let target = now.saturating_sub(self.started).as_micros() as u64 * self.rate / 1_000_000;
        let due = target.saturating_sub(self.done).min(self.rate);
        self.done = self.done.max(target);
        due
    }

    /// When the next event is due.
    fn deadline(&self) -> Option<Duration> {
        let micros = ((self.done + 1) * 1_000_000).div_ceil(self.rate.max(1));
        (self.rate > 0).then(|| self.started + Duration::from_micros(micros))
    }
}

/// The one door to a connection: what may go wrong on purpose goes wrong here.
fn hand(seat: &mut Seat, outgoing: Outgoing) {
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
    now: Duration,
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

fn spread(topic: &Topic, era: Option<Era>, text: &Utf8Bytes, seats: &mut Seats) {
    for reader in &topic.readers {
        if era.is_none_or(|era| era == reader.era)
            && let Some(seat) = seats.get_mut(&reader.connection)
        {
            let channel = Some(Arc::clone(&topic.name));
            hand(seat, Outgoing { channel, text: text.clone() });
        }
    }
}

fn mark_busy(seats: &mut Seats, now: Duration) {
    for seat in seats.values_mut().filter(|seat| seat.session.is_listening()) {
        seat.session.told = now;
    }
}
