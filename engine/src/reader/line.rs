//! One connection of a reader: dial, speak, hang up, and again.

use std::cell::{Cell, RefCell};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use lifecycle::Swap;
use monoio::buf::IoBufMut;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt, OwnedWriteHalf, Splitable};
use rustls::ClientConfig;
use schema::Now;

use super::Shared;
use crate::backoff::Backoff;
use crate::deribit::{Decoder, Tally};
use crate::dial::Dial;
use crate::endpoint::Endpoint;
use crate::failure::{Failure, FailureKind};
use crate::metrics::{self, State};
use crate::queue::Item;
use crate::rpc::Connection;
use crate::session::{Cause, CauseKind, Counters, Policy, Session, SessionError};
use crate::websocket::Event;
use crate::wire::{Wire, WireError};

/// A shard's conversation with Deribit, with the decoder that makes its rows.
pub type Talk = Connection<Decoder>;

/// The one-slot mailbox through which a plan reaches a line: a newer swap replaces an older one.
#[derive(Clone, Debug)]
pub struct Mailbox(Arc<ArrayQueue<Swap>>);

impl Default for Mailbox {
    fn default() -> Self {
        Self(Arc::new(ArrayQueue::new(1)))
    }
}

impl Mailbox {
    /// Leaves a swap; one that was not fetched yet is forgotten.
    pub fn leave(&self, swap: Swap) {
        self.0.force_push(swap);
    }

    fn fetch(&self) -> Option<Swap> {
        self.0.pop()
    }
}

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
pub(super) struct Line {
    shared: Rc<Shared>,
    shard: Arc<str>,
    connection: u32,
    endpoint: Endpoint,
    tls: Option<Arc<ClientConfig>>,
    mailbox: Mailbox,
    meters: Arc<metrics::Line>,
    session: RefCell<Talk>,
    backoff: RefCell<Backoff>,
    seed: Cell<u64>,
    open: RefCell<Option<Open>>,
    /// The changes and the second of the last fact that the journal took.
    told: Cell<(u64, u64)>,
}

/// What lives as long as one socket.
struct Open {
    /// Which of the line's sockets this is.
    number: u64,
    wire: Wire,
    /// A second handle, to shut the socket down while a read is under way.
    handle: TcpStream,
    /// `None` while a flush is writing.
    writer: Option<OwnedWriteHalf<monoio::net::TcpStream>>,
    writing_since: Option<Duration>,
    upgraded: bool,
    opened_at: Duration,
    /// Why it was shut down from here.
    verdict: Option<Ending>,
}

/// How a connection ended.
#[derive(Debug)]
struct Ending {
    cause: Cause,
    policy: Policy,
}

impl Ending {
    fn new(kind: CauseKind, detail: impl Into<String>) -> Self {
        Self { cause: Cause { kind, detail: detail.into() }, policy: Policy::Retry }
    }

    fn session(error: &SessionError) -> Self {
        Self { cause: error.cause(), policy: error.policy() }
    }

    fn wire(error: &WireError) -> Self {
        let cause = Cause { kind: CauseKind::Disconnected, detail: error.to_string() };
        Self { cause, policy: error.policy() }
    }

    /// The socket has ended: what that means at this point of the conversation.
    fn end(ended: Result<(), WireError>) -> Self {
        match ended {
            Ok(()) => Self::new(CauseKind::Disconnected, "the exchange hung up"),
            Err(error) => Self::wire(&error),
        }
    }

    fn closed(code: Option<u16>, reason: &str) -> Self {
        Self { cause: Cause::closed(code, reason), policy: Policy::Retry }
    }
}

impl Line {
    pub(super) fn new(setup: LineSetup, shared: Rc<Shared>) -> Self {
        Self {
            shared,
            shard: setup.shard,
            connection: setup.connection,
            endpoint: setup.endpoint,
            tls: setup.tls,
            mailbox: setup.mailbox,
            meters: setup.meters,
            session: RefCell::new(setup.session),
            backoff: RefCell::new(setup.backoff),
            seed: Cell::new(setup.seed),
            open: RefCell::default(),
            told: Cell::default(),
        }
    }

    /// Connects and reconnects until the reader stops.
    pub(super) async fn live(self: Rc<Self>) {
        let mut attempts = 0;
        while !self.shared.stop.raised() {
            self.meters.set_state(State::Connecting);
            let ending = match self.dial().await {
                // The stop may have come while the connection was made.
                Ok(_) if self.shared.stop.raised() => return,
                Ok(socket) => self.converse(socket).await,
                Err(ending) => ending,
            };
            if let Some(open) = self.open.borrow_mut().take() {
                // A flush that still writes would keep the descriptor alive.
                let _ = open.handle.shutdown(Shutdown::Both);
            }
            if self.shared.stop.raised() {
                return;
            }
            attempts += 1;
            let pause = self.lost(&ending, attempts);
            self.sleep(pause).await;
        }
    }

    /// Notes the end of a connection, gives up if the exchange can never be reached this way, and
    /// says how long to wait before the next attempt.
    fn lost(&self, ending: &Ending, attempts: u32) -> Duration {
        let words = format!("{}: {}", self.endpoint, ending.cause.detail);
        tracing::warn!(shard = &*self.shard, cause = ending.cause.kind.name(), "{words}");
        self.meters.lost.add(1);
        self.meters.set_trouble(&words);
        let hopeless = ending.policy == Policy::Stop || attempts >= FIRST_ATTEMPTS_MAX;
        if hopeless && !self.shared.reached.raised() {
            (self.shared.refuse)(Failure::new(FailureKind::Exchange, words));
        }
        let mut session = self.session.borrow_mut();
        let flowed = session.flowed();
        session.disconnected(ending.cause.clone(), self.shared.clock.now());
        self.backoff.borrow_mut().pause(flowed, ending.policy)
    }

    async fn dial(&self) -> Result<TcpStream, Ending> {
        let dial = Dial::start(&self.endpoint.host, self.endpoint.port, CONNECT_TIMEOUT);
        loop {
            if let Some(result) = dial.poll() {
                return result
                    .map_err(|error| Ending::new(CauseKind::Disconnected, error.to_string()));
            }
            if self.shared.stop.raised() {
                return Err(Ending::new(CauseKind::Disconnected, "stopped"));
            }
            monoio::time::sleep(DIAL_POLL).await;
        }
    }

    /// One socket's life, from its first byte to the reason of its end.
    async fn converse(self: &Rc<Self>, socket: TcpStream) -> Ending {
        let broken =
            |error: std::io::Error| Ending::new(CauseKind::Disconnected, error.to_string());
        let mut read_half = match self.open(socket) {
            Ok(half) => half,
            Err(error) => return broken(error),
        };
        Rc::clone(self).flush().await;
        while let Some(input) = self.take_input() {
            let filled = input.len();
            let room = input.capacity();
            let (result, slice) = read_half.read(input.slice_mut(filled..room)).await;
            self.shared.pause.after_read();
            let ending = match result {
                Ok(bytes) => self.received(slice.into_inner(), bytes).err(),
                Err(error) => Some(broken(error)),
            };
            // Also after an error: a close frame or an alert may tell the exchange why.
            Rc::clone(self).flush().await;
            self.shared.pause.handled();
            if let Some(ending) = ending {
                let verdict = self.open.borrow_mut().as_mut().and_then(|open| open.verdict.take());
                return verdict.unwrap_or(ending);
            }
        }
        unreachable!("a socket's state lives until its conversation ends")
    }

    fn take_input(&self) -> Option<Vec<u8>> {
        self.open.borrow_mut().as_mut().map(|open| open.wire.take_input())
    }

    fn open(
        &self,
        socket: TcpStream,
    ) -> std::io::Result<monoio::io::OwnedReadHalf<monoio::net::TcpStream>> {
        socket.set_nonblocking(self.shared.driver.nonblocking_sockets())?;
        let handle = socket.try_clone()?;
        let seed = self.seed.replace(self.seed.get().wrapping_mul(SEED_STEP).wrapping_add(1));
        let wire = Wire::new(&self.endpoint, self.tls.clone(), seed)
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        let (read_half, writer) = monoio::net::TcpStream::from_std(socket)?.into_split();
        *self.open.borrow_mut() = Some(Open {
            number: seed,
            wire,
            handle,
            writer: Some(writer),
            writing_since: None,
            upgraded: false,
            opened_at: self.shared.clock.now().monotonic,
            verdict: None,
        });
        Ok(read_half)
    }

    /// Everything that the read brings: events, rows, requests to send.
    fn received(&self, input: Vec<u8>, bytes: usize) -> Result<(), Ending> {
        let now = self.shared.clock.now();
        let mut open = self.open.borrow_mut();
        let Some(open) = open.as_mut() else { return Ok(()) };
        open.wire.put_input(input).map_err(|error| Ending::wire(&error))?;
        let mut session = self.session.borrow_mut();
        let mut outbox = self.shared.outbox.borrow_mut();
        while let Some(event) = open.wire.next().map_err(|error| Ending::wire(&error))? {
            match event {
                Event::Open => {
                    open.upgraded = true;
                    session.connected(now);
                    self.meters.set_state(State::Subscribing);
                }
                Event::Text(message) => {
                    self.meters.message(message.len(), now.utc);
                    if let Some(frames) = &self.shared.frames {
                        frames.keep(self.connection, now.utc, message);
                    }
                    let rows = &mut outbox.rows;
                    session.receive(message, now, rows).map_err(|error| Ending::session(&error))?;
                }
                Event::Closed { code, reason } => return Err(Ending::closed(code, reason)),
                Event::Binary(_) | Event::Ping(_) | Event::Pong(_) => {}
            }
        }
        open.pump(&mut session, now);
        outbox.turn(now);
        match bytes {
            0 => Err(Ending::end(open.wire.end())),
            _ => Ok(()),
        }
    }

    /// Looks after the line: the mailbox, deadlines, the session's facts.
    pub(super) fn turn(&self, now: Now) {
        let mut session = self.session.borrow_mut();
        if let Some(swap) = self.mailbox.fetch() {
            self.meters.goal.set(swap.goal.len() as u64);
            session.swap(swap);
        }
        let mut open = self.open.borrow_mut();
        if let Some(open) = open.as_mut() {
            let rows = &mut self.shared.outbox.borrow_mut().rows;
            if let Err(ending) = open.check(&mut session, now, rows) {
                open.verdict.get_or_insert(ending);
                // The read that is under way ends, and takes the verdict along.
                let _ = open.handle.shutdown(Shutdown::Both);
            } else if open.upgraded {
                open.pump(&mut session, now);
            }
        }
        self.tell_facts(&session, now);
    }

    /// Tells the journal what the exchange has acknowledged and up to when the shard is alive:
    /// at each change, and once a second.
    fn tell_facts(&self, session: &Talk, now: Now) {
        self.meters.rows.set(session.decoder().tally().rows.sum());
        let acknowledged = session.acknowledged();
        self.meters.acknowledged.set(acknowledged.len() as u64);
        if !acknowledged.is_empty() {
            self.shared.reached.raise();
            self.meters.set_state(match session.reached() {
                Some(_) => State::Recording,
                None => State::Subscribing,
            });
        }
        let told = (session.changes(), now.monotonic.as_secs());
        if told == self.told.get() {
            return;
        }
        let Some(at) = session.alive_until() else { return };
        let (shard, channels) = (Arc::clone(&self.shard), acknowledged.clone());
        if self.shared.outbox.borrow_mut().fact(Item::Shard { shard, channels, at }) {
            self.told.set(told);
        }
    }

    /// Writes what waits. One flush at a time: another one finds the writer taken and leaves.
    pub(super) async fn flush(self: Rc<Self>) {
        loop {
            let (number, mut writer, bytes) = {
                let mut open = self.open.borrow_mut();
                let Some(open) = open.as_mut() else { return };
                let Some(writer) = open.writer.take() else { return };
                // An encryption that fails here fails the read too, which has the better words.
                let bytes = open.wire.take_output().unwrap_or_default();
                if bytes.is_empty() {
                    open.writer = Some(writer);
                    return;
                }
                open.writing_since = Some(self.shared.clock.now().monotonic);
                (open.number, writer, bytes)
            };
            let (result, _) = writer.write_all(bytes).await;
            let mut open = self.open.borrow_mut();
            // While this was writing, the line may have gone on to another socket.
            let Some(open) = open.as_mut().filter(|open| open.number == number) else { return };
            open.writing_since = None;
            open.writer = Some(writer);
            // A failed write is a dead socket: the read says so with the better reason.
            if result.is_err() {
                return;
            }
        }
    }

    /// Shuts the socket down: the read that is under way ends.
    pub(super) fn hang_up(&self) {
        if let Some(open) = self.open.borrow_mut().as_mut() {
            let _ = open.handle.shutdown(Shutdown::Both);
        }
    }

    /// The account of the line's life; an open gap is written.
    pub(super) fn finish(&self, now: Now) -> Report {
        let mut session = self.session.borrow_mut();
        session.finish(now, &mut self.shared.outbox.borrow_mut().rows);
        let tally = session.decoder().tally().clone();
        self.meters.rows.set(tally.rows.sum());
        Report {
            shard: Arc::clone(&self.shard),
            counters: *session.counters(),
            tally,
            refused: session.refused().map(String::from).collect(),
            lost: self.meters.lost.get(),
        }
    }

    async fn sleep(&self, pause: Duration) {
        let mut left = pause;
        while !left.is_zero() && !self.shared.stop.raised() {
            monoio::time::sleep(DIAL_POLL.min(left)).await;
            left = left.saturating_sub(DIAL_POLL);
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
        rows: &mut schema::tables::Rows,
    ) -> Result<(), Ending> {
        let late = |since: Duration| now.monotonic.saturating_sub(since) > STUCK_MAX;
        if self.writing_since.is_some_and(late) {
            let words = "the exchange takes nothing we send for 10 s";
            return Err(Ending::new(CauseKind::Silent, words));
        }
        if !self.upgraded {
            return match late(self.opened_at) {
                true => {
                    let words = "the exchange does not answer the handshake for 10 s";
                    Err(Ending::new(CauseKind::Silent, words))
                }
                false => Ok(()),
            };
        }
        session.tick(now, rows).map_err(|error| Ending::session(&error))
    }
}

/// How long an answer may be missing on the socket's level.
const STUCK_MAX: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DIAL_POLL: Duration = Duration::from_millis(20);
/// A line that never reached the exchange gives up after so many attempts.
const FIRST_ATTEMPTS_MAX: u32 = 3;
const SEED_STEP: u64 = 6_364_136_223_846_793_005;
