//! The exchange without its building: no socket, no thread, no clock. Whoever holds it says what
//! time it is, so that days pass in seconds.
//!
//! The same setup, the same calls at the same times give the same texts, byte for byte.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::Source;
use crate::clock::Now;
use crate::counts::{Counters, Counts};
use crate::desk::{Credentials, Desk};
use crate::error::ExchangeError;
use crate::faults::{Door, Faults};
use crate::hub::Hub;
use crate::limits::Limits;
use crate::market::{Market, MarketConfig};
use crate::mischief::Mischief;
use crate::oracle::Oracle;
use crate::outgoing::{self, Form};
use crate::replay::Replay;
use crate::rpc::Call;
use crate::session::Ending;
use crate::truth::Line;
use crate::venue::Venue;

/// What exchange to make.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where the data comes from; a market's seed decides everything that is random.
    pub source: Source,
    /// What one address may do.
    pub limits: Limits,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// The one account; without it nobody can authenticate.
    pub credentials: Option<Credentials>,
}

impl Default for Setup {
    fn default() -> Setup {
        let source = Source::Market(MarketConfig::default());
        Setup { source, limits: Limits::default(), faults: Faults::default(), credentials: None }
    }
}

impl Setup {
    pub(crate) fn hub(
        self,
        truthful: bool,
        counters: Arc<Counters>,
        now: Now,
    ) -> Result<Hub, ExchangeError> {
        let (venue, rate, seed) = match self.source {
            Source::Market(config) => {
                let market = Market::new(&config, now.utc_us / 1000)?;
                let rate = match config.rate {
                    0 => market.natural_rate(),
                    rate => rate,
                };
                (Venue::Market(Box::new(market)), rate, config.seed)
            }
            Source::Replay(config) => {
                let replay = Replay::new(config)?;
                counters.skipped(replay.skipped);
                (Venue::Replay(Box::new(replay)), 0, 1)
            }
        };
        let desk = Desk::new(venue, seed, self.credentials);
        let mischief = Mischief::new(self.faults, seed, now);
        Ok(Hub::new(desk, self.limits, mischief, (rate, seed), truthful, counters, now))
    }
}

/// An exchange in the hands of one caller.
#[derive(Debug)]
pub struct Floor {
    hub: Hub,
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The handshake or the request is answered with this HTTP status.
    Status(u16),
    /// The connection is closed without an answer.
    HungUp,
}

/// What a connection was handed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// In the order of the wire.
    pub frames: Vec<Frame>,
    /// Set when the exchange ended the connection behind these frames; it is gone then.
    pub ending: Option<Farewell>,
}

/// One frame for a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The channel of a notification; `None` for an answer or a heartbeat.
    pub channel: Option<Arc<str>>,
    /// The text; empty for bytes that are none.
    pub text: String,
    /// How it lies in frames and on the wire.
    pub form: Form,
}

impl Frame {
    /// The server's bytes for it, in pieces with a pause between them.
    #[must_use]
    pub fn pieces(&self) -> (Vec<Vec<u8>>, Duration) {
        outgoing::pieces(self.text.as_bytes(), &self.form)
    }
}

/// How the exchange ended a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    /// The close frame's code; `None` where it hangs up without one (a client sees 1006).
    pub code: Option<u16>,
    /// The close frame's reason.
    pub reason: String,
}

impl Floor {
    /// Makes the market, or reads the recording, as it stands at a time.
    pub fn new(setup: Setup, now: Now) -> Result<Floor, ExchangeError> {
        Ok(Floor { hub: setup.hub(true, Arc::default(), now)? })
    }

    /// A new websocket, by its number from 1.
    pub fn open(&mut self, now: Now) -> Result<u64, Refusal> {
        self.open_from(HERE, now)
    }

    /// A websocket from an address of its own: what it asks for takes nothing from the others.
    pub fn open_elsewhere(&mut self, now: Now) -> Result<u64, Refusal> {
        self.open_from(ELSEWHERE, now)
    }

    fn open_from(&mut self, address: IpAddr, now: Now) -> Result<u64, Refusal> {
        self.hub.admit(address, Door::Websocket, now)?;
        Ok(self.hub.open(address, now))
    }

    /// A text from a client; what it leads to is there to be taken at once.
    pub fn receive(&mut self, connection: u64, text: &str, now: Now) {
        self.hub.receive(connection, text, now);
    }

    /// The client hung up, with a close frame or without.
    pub fn hang_up(&mut self, connection: u64, now: Now) {
        self.hub.end(connection, Ending::Left);
        self.hub.close(connection, now);
    }

    /// A request over HTTP, as `public/get_instruments` with its parameters: a status and a body.
    pub fn ask(
        &mut self,
        method: &str,
        params: &Map<String, Value>,
        now: Now,
    ) -> Result<(u16, String), Refusal> {
        self.hub.admit(HERE, Door::Rest, now)?;
        let call = Call { method: method.to_owned(), params: params.clone() };
        Ok(self.hub.ask(HERE, None, Ok(call), now))
    }

    /// When [`step`](Floor::step) has something to do next; `None` when only a client can move it.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.hub.deadline()
    }

    /// Does what is due. What is noticed late happens late: step at each
    /// [`deadline`](Floor::deadline).
    pub fn step(&mut self, now: Now) -> Result<(), ExchangeError> {
        for connection in self.hub.seated() {
            if self.hub.deadline_of(connection).is_some_and(|at| at <= now.monotonic) {
                self.hub.tick(connection, now);
            }
        }
        self.hub.step(now)
    }

    /// Everything that waits for a connection.
    pub fn take(&mut self, connection: u64, now: Now) -> Taken {
        let waiting = self.hub.take(connection, usize::MAX);
        self.hub.sent(connection, true, now);
        let frames = waiting.into_iter().map(|outgoing| Frame {
            channel: outgoing.channel().cloned(),
            text: outgoing.text.as_str().to_owned(),
            form: outgoing.form,
        });
        let frames = frames.collect();
        let Some(ending) = self.hub.ending(connection) else {
            return Taken { frames, ending: None };
        };
        self.hub.close(connection, now);
        let (code, reason) = ending.farewell().unzip();
        let reason = reason.unwrap_or_default().to_owned();
        Taken { frames, ending: Some(Farewell { code, reason }) }
    }

    /// The connections that are open, and those whose ending was not yet taken.
    #[must_use]
    pub fn connections(&self) -> Vec<u64> {
        self.hub.seated()
    }

    /// What happened since the last call: what each connection was handed, on which channel and
    /// when, what was subscribed and let go, and what went wrong on purpose.
    pub fn truth(&mut self) -> Vec<Line> {
        self.hub.truth()
    }

    /// What was done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.hub.counters.read()
    }

    /// The market as it really is; `None` for a recording.
    #[must_use]
    pub fn oracle(&self) -> Option<Oracle<'_>> {
        match &self.hub.desk.venue {
            Venue::Market(market) => Some(Oracle { market }),
            Venue::Replay(_) => None,
        }
    }
}

/// Everybody here comes from one address,
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// but for those that come from this one.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

#[cfg(test)]
mod tests;
