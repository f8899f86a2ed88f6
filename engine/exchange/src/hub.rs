//! The middle of the exchange: events of the venue go out to sessions, requests come in. It knows
//! no socket and no clock: whoever drives it says what time it is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::channel::Channel;
use crate::clock::Now;
use crate::counts::Counters;
use crate::desk::Desk;
use crate::error::ExchangeError;
use crate::faults::{Cut, Denial, Door, Trouble};
use crate::floor::Refusal;
use crate::limits::{Guests, Limits};
use crate::market::Frames;
use crate::mischief::Mischief;
use crate::outgoing::{About, Outgoing};
use crate::random::Random;
use crate::rpc::{self, Call, RpcError};
use crate::session::Ending;
use crate::topics::Topic;
use crate::truth::{Line, Sent, What};
use crate::venue::Venue;
use crate::wire::{self, Era, notification};

mod seats;

use seats::{Out, Seat, Seats, beat, hand, mark_busy, pass, play, spread, tell};

/// Everything but the sockets.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) desk: Desk,
    pub(crate) counters: Arc<Counters>,
    pub(crate) guests: Guests,
    seats: Seats,
    /// What happened and was not yet asked for; `None` where nobody asks.
    truth: Option<Vec<Line>>,
    mischief: Mischief,
    pace: Pace,
    /// Decides which events are printed in an unusual way.
    whims: Random,
    connections: u64,
    /// When the venue moved last.
    moved: Now,
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
        mischief: Mischief,
        (rate, seed): (u32, u64),
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
            mischief,
            pace: Pace { rate: rate.into(), started: now.monotonic, done: 0 },
            whims: Random::new(seed ^ 0x0b5e_55ed),
            connections: 0,
            moved: now,
        }
    }

    /// Whether somebody may come in by a door.
    pub(crate) fn admit(&mut self, address: IpAddr, door: Door, now: Now) -> Result<(), Refusal> {
        let refusal = self.mischief.refuse(door, now);
        self.note();
        match refusal {
            Some(Some(status)) => Err(Refusal::Status(status)),
            Some(None) => Err(Refusal::HungUp),
            // A request under way is a connection too.
            None if !self.guests.admits(address) => Err(Refusal::Status(429)),
            None => Ok(()),
        }
    }

    /// Seats a guest who was admitted.
    pub(crate) fn open(&mut self, address: IpAddr, now: Now) -> u64 {
        self.guests.arrive(address, now.monotonic);
        self.connections += 1;
        let connection = self.connections;
        let shift = match &self.desk.venue {
            Venue::Market(market) if market.frames == Frames::Shifted => {
                Some(Duration::from_micros(self.desk.random.below(1_000_000)))
            }
            Venue::Market(_) | Venue::Replay(_) => None,
        };
        let seat = Seat::new(connection, address, shift, now.monotonic);
        self.seats.insert(connection, seat);
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
        let (id, mut call) = rpc::read(text);
        let method = call.as_ref().map(|call| call.method.as_str()).unwrap_or_default();
        let mut paid = self.guests.pay(seat.address, method, now.monotonic);
        match self.mischief.request(connection, method, now) {
            None => {}
            Some(Denial::Spent) => paid = false,
            Some(Denial::Error { code, message }) => call = Err(RpcError::ordered(code, message)),
            Some(Denial::Partial { keep }) => {
                let params = call.as_mut().ok().and_then(|call| call.params.get_mut("channels"));
                if let Some(Value::Array(channels)) = params {
                    self.mischief.omit(channels, keep);
                }
            }
        }
        let call = if paid { call } else { Err(RpcError::too_many_requests()) };
        for outgoing in seat.session.receive(id, call, now, &mut self.desk) {
            hand(seat, outgoing, &mut self.mischief, now);
        }
        if let Some(gathering) = &mut seat.gathering {
            let reads = |topic: &Topic| topic.readers.iter().any(|it| it.connection == connection);
            gathering.retain(|channel| self.desk.topics.get(channel).is_some_and(reads));
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
            method => self.desk.call(method, &call.params, us_in),
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
        let seats = seats.filter_map(Seat::deadline);
        seats.chain(venue).chain(self.mischief.deadline(self.moved)).min()
    }

    /// Lets a connection do what its deadline was for.
    pub(crate) fn tick(&mut self, connection: u64, now: Now) {
        let Some(seat) = self.seats.get_mut(&connection) else { return };
        match seat.session.tick(now.monotonic) {
            Ok(frames) => {
                for outgoing in frames {
                    hand(seat, outgoing, &mut self.mischief, now);
                }
            }
            Err(ending) => seat.outbox.end(ending),
        }
        self.note();
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
        let seat = self.seats.get_mut(&connection).filter(|seat| seat.stalled.is_none());
        seat.map(|seat| seat.outbox.take(most)).unwrap_or_default()
    }

    /// Why a connection must end, if it must.
    pub(crate) fn ending(&self, connection: u64) -> Option<Ending> {
        let seat = self.seats.get(&connection)?;
        // Whoever is stalled does not see the end either, unless the client itself went.
        let seen = |ending: &&Ending| {
            seat.stalled.is_none() || matches!(ending, Ending::Left | Ending::Stopping)
        };
        seat.outbox.ending().filter(seen).cloned()
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
        self.misbehave(now);
        let mut out = Out { seats: &mut self.seats, mischief: &mut self.mischief, now };
        match &mut self.desk.venue {
            Venue::Market(market) => {
                let (now_ms, topics) = (now.utc_us / 1000, &self.desk.topics);
                for event in market.due(now_ms) {
                    tell(market, &event, topics, &mut out, &mut self.whims);
                }
                for _ in 0..self.pace.due(now.monotonic) {
                    let event = market.advance(now_ms);
                    tell(market, &event, topics, &mut out, &mut self.whims);
                }
                beat(market, topics, &mut out, &mut self.whims);
                mark_busy(&mut self.seats, now.monotonic);
            }
            Venue::Replay(replay) => {
                play(replay, &self.desk.topics, &mut out)?;
                if replay.is_over() {
                    self.counters.finish();
                }
            }
        }
        self.note();
        Ok(())
    }

    /// What a fault does by itself: ends, stalls and troubles of the platform; and what it held up
    /// until now goes out.
    fn misbehave(&mut self, now: Now) {
        for seat in self.seats.values_mut() {
            if seat.stalled.is_some_and(|until| until <= now.monotonic) {
                seat.stalled = None;
                seat.outbox.stir();
            }
            for outgoing in seat.lane.due(now.monotonic) {
                pass(seat, outgoing);
            }
        }
        let connections = self.seated();
        for (connection, cut) in self.mischief.cut(&connections, now) {
            let Some(seat) = self.seats.get_mut(&connection) else { continue };
            match cut {
                Cut::Close { code, reason } => {
                    seat.outbox.end(Ending::Ordered { code, reason });
                }
                Cut::Stall { length } => {
                    let until = now.monotonic + length;
                    seat.stalled = Some(seat.stalled.map_or(until, |known| known.max(until)));
                }
            }
        }
        for (trouble, active) in self.mischief.turns(now) {
            let flag = wire::Value::Bool(active);
            let data = match &trouble {
                Trouble::Maintenance => {
                    self.desk.maintenance = active;
                    vec![("maintenance", flag)]
                }
                Trouble::Locked { index } => {
                    match active {
                        true => self.desk.locked.insert(index.clone()),
                        false => self.desk.locked.remove(index),
                    };
                    vec![("price_index", wire::Value::Text(index)), ("locked", flag)]
                }
            };
            let Some(topic) = self.desk.topics.get(Channel::Platform) else { continue };
            let style = Era::Modern.style();
            let text = notification(&topic.name, wire::Value::Object(data), style).into();
            let mut out = Out { seats: &mut self.seats, mischief: &mut self.mischief, now };
            spread(topic, &text, &mut out);
        }
    }

    /// What was taken is on its way; `certain` where the socket took it whole.
    pub(crate) fn sent(&mut self, connection: u64, certain: bool, now: Now) {
        let Some(seat) = self.seats.get_mut(&connection) else { return };
        for outgoing in seat.outbox.settle() {
            // The truth knows of garbage as the fault that it is.
            if outgoing.about == About::Garbage {
                continue;
            }
            let channel = outgoing.channel().map(AsRef::as_ref);
            self.counters.sent(channel);
            let Some(truth) = &mut self.truth else { continue };
            let channel = channel.unwrap_or_default().to_owned();
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
        let seat = self.seats.get_mut(&connection);
        seat.into_iter().for_each(|seat| pass(seat, outgoing.clone()));
    }

    fn note(&mut self) {
        let lines = self.desk.notes.drain(..).map(Line::Event);
        let lines = lines.chain(self.mischief.notes.drain(..).map(Line::Fault));
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
