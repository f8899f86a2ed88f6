//! One shard's connection without its socket: bytes and [`Now`] go in; bytes to send, verdicts and
//! pauses come out.
//!
//! The reader's line drives it with monoio's sockets and timers; the simulation of the whole line
//! drives it with a network of its own. Whoever drives it repeats: [`Link::connected`], then
//! [`Link::take_input`], a read, [`Link::received`] until that fails, and [`Link::lost`]; after
//! each call [`Link::take_output`] is sent. [`Link::turn`] is called many times a second meanwhile.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use schema::Now;

use super::ending::Ending;
use super::post::{Board, Mailbox};
use crate::backoff::Backoff;
use crate::deribit::{Decoder, Tally};
use crate::endpoint::Endpoint;
use crate::failure::{Failure, FailureKind};
use crate::metrics::{self, State};
use crate::outbox::Outbox;
use crate::queue::Item;
use crate::recording::Frames;
use crate::rpc::Connection;
use crate::session::{CauseKind, Counters, Policy, Session};
use crate::stop::Stop;
use crate::websocket::Event;
use crate::wire::Wire;

/// A shard's conversation with Deribit, with the decoder that makes its rows.
pub type Talk = Connection<Decoder>;

/// What one connection is made of.
#[derive(Debug)]
pub struct LineSetup {
    /// The shard's name.
    pub shard: Arc<str>,
    /// Its number, in recordings.
    pub connection: u32,
    /// Where the exchange is.
    pub endpoint: Endpoint,
    /// Whom to trust; missing for an endpoint without TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// The conversation.
    pub session: Talk,
    /// How reconnects are spread.
    pub backoff: Backoff,
    /// Where swaps come from.
    pub mailbox: Mailbox,
    /// Where acknowledged channels are shown.
    pub board: Board,
    /// Where numbers go.
    pub meters: Arc<metrics::Line>,
    /// For masks and handshake keys: from the system's entropy.
    pub seed: u64,
}

/// What a line saw in its life.
#[derive(Debug)]
pub struct Report {
    /// The shard's name.
    pub shard: Arc<str>,
    /// What the session counted.
    pub counters: Counters,
    /// What the decoder counted.
    pub tally: Tally,
    /// Channels that the exchange never acknowledged.
    pub refused: Vec<String>,
    /// Connections that were lost.
    pub lost: u64,
}

/// A connection and everything that outlives its sockets.
#[derive(Debug)]
pub struct Link {
    setup: LineSetup,
    frames: Option<Frames>,
    /// Raised once any line of the whole pipeline has had a channel acknowledged.
    reached: Stop,
    open: Option<Open>,
    /// Whether there is anything to listen to.
    wanted: bool,
    /// Connections that ended, or were never made.
    attempts: u32,
    /// The changes and the second of the last fact that the journal took.
    told: (u64, u64),
}

/// What lives as long as one socket.
#[derive(Debug)]
struct Open {
    wire: Wire,
    upgraded: bool,
    opened_at: Duration,
    /// Why it is to be shut down from here.
    verdict: Option<Ending>,
}

/// What follows the end of a connection.
#[derive(Debug)]
pub struct Lost {
    /// How long to wait before the next attempt.
    pub pause: Duration,
    /// Why there is little hope: nothing was ever reached, and something is wrong for good.
    pub hopeless: Option<Failure>,
}

impl Link {
    /// Not connected. `reached` is raised once any channel has been acknowledged.
    #[must_use]
    pub fn new(setup: LineSetup, frames: Option<Frames>, reached: Stop) -> Self {
        Self { setup, frames, reached, open: None, wanted: false, attempts: 0, told: (0, 0) }
    }

    /// Where the exchange is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.setup.endpoint
    }

    /// The conversation.
    #[must_use]
    pub fn session(&self) -> &Talk {
        &self.setup.session
    }

    /// Whether there is anything to listen to: a connection for nothing would only use up the
    /// exchange's patience. Known after the first [`turn`](Self::turn).
    #[must_use]
    pub fn wanted(&self) -> bool {
        self.wanted
    }

    /// A connection is being made.
    pub fn connecting(&self) {
        self.setup.meters.set_state(State::Connecting);
        self.setup.meters.attempts.add(1);
    }

    /// A socket is connected: the handshake waits to be sent. Gives the socket's number.
    ///
    /// # Errors
    /// When the endpoint cannot be asked for.
    pub fn connected(&mut self, now: Now) -> Result<u64, Ending> {
        let number = self.setup.seed;
        self.setup.seed = number.wrapping_mul(SEED_STEP).wrapping_add(1);
        let wire = Wire::new(&self.setup.endpoint, self.setup.tls.clone(), number);
        let wire = wire.map_err(|error| Ending::broken(&error))?;
        let opened_at = now.monotonic;
        self.open = Some(Open { wire, upgraded: false, opened_at, verdict: None });
        Ok(number)
    }

    /// The vector that the next read appends to; none without a socket.
    #[must_use]
    pub fn take_input(&mut self) -> Option<Vec<u8>> {
        self.open.as_mut().map(|open| open.wire.take_input())
    }

    /// Everything that a read of so many bytes brings: events, rows, requests to send. No byte is
    /// the end of the socket.
    ///
    /// # Errors
    /// How the connection ended. What waits in the output may still tell the exchange why.
    pub fn received(
        &mut self,
        input: Vec<u8>,
        bytes: usize,
        now: Now,
        outbox: &mut Outbox,
    ) -> Result<(), Ending> {
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        let LineSetup { session, meters, connection, .. } = &mut self.setup;
        open.wire.put_input(input).map_err(|error| Ending::wire(&error))?;
        while let Some(event) = open.wire.next().map_err(|error| Ending::wire(&error))? {
            match event {
                Event::Open => {
                    open.upgraded = true;
                    session.connected(now);
                    meters.set_state(State::Subscribing);
                    meters.opened.add(1);
                }
                Event::Text(message) => {
                    meters.message(message.len(), now.utc);
                    if let Some(frames) = &self.frames {
                        frames.keep(*connection, now.utc, message);
                    }
                    let rows = &mut outbox.rows;
                    session.receive(message, now, rows).map_err(|error| Ending::session(&error))?;
                }
                Event::Closed { code, reason } => return Err(Ending::closed(code, reason)),
                Event::Binary(_) | Event::Ping(_) | Event::Pong(_) => {}
            }
        }
        open.pump(session, now);
        outbox.turn(now);
        match bytes {
            0 => Err(Ending::end(open.wire.end())),
            _ => Ok(()),
        }
    }

    /// The bytes to send now; none if nothing waits.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        // An encryption that fails here fails the read too, which has the better words.
        let output = self.open.as_mut().map(|open| open.wire.take_output());
        output.and_then(Result::ok).unwrap_or_default()
    }

    /// Looks after the line: the mailbox, deadlines, the session's facts. Whether the socket is to
    /// be shut down, so that the read ends; [`lost`](Self::lost) then knows why. `writing_since`
    /// is when the write that is under way began.
    #[must_use]
    pub fn turn(&mut self, now: Now, writing_since: Option<Duration>, outbox: &mut Outbox) -> bool {
        let session = &mut self.setup.session;
        if let Some(swap) = self.setup.mailbox.fetch() {
            self.setup.meters.goal.set(swap.goal.len() as u64);
            self.wanted = !swap.goal.is_empty();
            session.swap(swap);
        }
        let mut shut = false;
        if let Some(open) = self.open.as_mut() {
            if let Err(ending) = open.check(session, now, writing_since, &mut outbox.rows) {
                open.verdict.get_or_insert(ending);
                shut = true;
            } else if open.upgraded {
                open.pump(session, now);
            }
        } else {
            // Only the gap goes on: nothing is asked that could have no answer.
            let _ = session.tick(now, &mut outbox.rows);
        }
        if self.setup.session.has_replayed() {
            outbox.flush(now);
            if outbox.is_empty() {
                self.setup.session.handed_over();
            }
        }
        self.tell_facts(now, outbox);
        self.give(now, outbox);
        shut
    }

    /// Tells the journal what the exchange has acknowledged and up to when the shard is alive:
    /// at each change, and once a second.
    fn tell_facts(&mut self, now: Now, outbox: &mut Outbox) {
        let LineSetup { session, meters, shard, board, .. } = &self.setup;
        meters.count(&session.decoder().tally().rows);
        meters.refused.set(session.refused().count() as u64);
        let acknowledged = session.acknowledged();
        meters.acknowledged.set(acknowledged.len() as u64);
        let told = (session.changes(), now.monotonic.as_secs());
        if told == self.told {
            return;
        }
        if !acknowledged.is_empty() {
            self.reached.raise();
            meters.set_state(match session.reached() {
                Some(_) => State::Recording,
                None => State::Subscribing,
            });
        }
        let Some(at) = session.alive_until(now) else { return };
        let (shard, channels) = (Arc::clone(shard), acknowledged.clone());
        let unasked_since = session.unasked_since();
        if outbox.fact(Item::Shard { shard, channels, at, unasked_since }) {
            if told.0 != self.told.0 {
                board.show(acknowledged);
            }
            self.told = told;
        }
    }

    /// Gives away the channels that are to go to other shards and that nothing comes of any more,
    /// once the journal was told so and has what came of them.
    fn give(&mut self, now: Now, outbox: &mut Outbox) {
        let session = &mut self.setup.session;
        if session.gives() && session.changes() == self.told.0 {
            outbox.flush(now);
            // What the taker records must not come before what came of them here.
            if outbox.is_empty() {
                session.give(now);
            }
        }
    }

    /// Notes the end of a connection, or that none was made, and says what follows.
    #[must_use]
    pub fn lost(&mut self, ending: Ending, now: Now) -> Lost {
        let verdict = self.open.take().and_then(|open| open.verdict);
        let Ending { cause, policy } = verdict.unwrap_or(ending);
        let LineSetup { session, meters, shard, endpoint, backoff, .. } = &mut self.setup;
        let words = format!("{endpoint}: {}", cause.detail);
        tracing::warn!(shard = &**shard, cause = cause.kind.name(), "{words}");
        meters.lost.add(1);
        meters.set_trouble(&words);
        self.attempts += 1;
        let hopeless = policy == Policy::Stop || self.attempts >= FIRST_ATTEMPTS_MAX;
        let hopeless = hopeless && !self.reached.raised();
        let hopeless = hopeless.then(|| Failure::new(FailureKind::Exchange, words));
        let flowed = session.flowed();
        session.disconnected(cause, now);
        Lost { pause: backoff.pause(flowed, policy), hopeless }
    }

    /// The account of the line's life; an open gap is written.
    pub fn finish(&mut self, now: Now, outbox: &mut Outbox) -> Report {
        let LineSetup { session, meters, shard, .. } = &mut self.setup;
        session.finish(now, &mut outbox.rows);
        let tally = session.decoder().tally().clone();
        meters.count(&tally.rows);
        Report {
            shard: Arc::clone(shard),
            counters: *session.counters(),
            tally,
            refused: session.refused().map(String::from).collect(),
            lost: meters.lost.get(),
        }
    }
}

impl Open {
    /// Puts every request that the session has into the websocket.
    fn pump(&mut self, session: &mut Talk, now: Now) {
        let mut request = Vec::new();
        while session.transmit(now, &mut request) {
            // What is not sent has no answer, and the session's own deadline notices.
            let _ = self.wire.send_text(&request);
            request.clear();
        }
    }

    /// Whether the connection may live on.
    fn check(
        &mut self,
        session: &mut Talk,
        now: Now,
        writing_since: Option<Duration>,
        rows: &mut schema::tables::Rows,
    ) -> Result<(), Ending> {
        let late = |since: Duration| now.monotonic.saturating_sub(since) > STUCK_MAX;
        if writing_since.is_some_and(late) {
            let words = "the exchange takes nothing we send for 10 s";
            return Err(Ending::new(CauseKind::Silent, words));
        }
        if !self.upgraded && late(self.opened_at) {
            let words = "the exchange does not answer the handshake for 10 s";
            return Err(Ending::new(CauseKind::Silent, words));
        }
        // During the handshake, too: gaps and channels that go elsewhere do not wait for it.
        session.tick(now, rows).map_err(|error| Ending::session(&error))
    }
}

/// How long an answer may be missing on the socket's level.
const STUCK_MAX: Duration = Duration::from_secs(10);
/// A line that never reached the exchange gives up after so many attempts.
const FIRST_ATTEMPTS_MAX: u32 = 3;
const SEED_STEP: u64 = 6_364_136_223_846_793_005;

#[cfg(test)]
mod tests;
