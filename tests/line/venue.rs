//! The exchange's side of the network: websockets of tungstenite before the simulated exchange,
//! and an observer among its guests, who has a perfect line and forgets nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use exchange::truth::{self, Line};
use exchange::{
    Farewell, Faults, Floor, Form, Frame, Limits, MarketConfig, Now, Refusal, Setup, Source,
};
use serde_json::json;
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::recorder::{List, Unlisted};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

use super::START_US;
use super::network::Heard;

/// A frame of a channel that somebody was sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// µs since the simulation began.
    pub(super) at: u64,
    pub(super) channel: Arc<str>,
    pub(super) text: Arc<str>,
}

/// What goes out to a socket.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) bytes: Vec<u8>,
    /// The exchange hangs up behind these bytes.
    pub(super) last: bool,
    /// What these bytes complete.
    pub(super) heard: Heard,
}

/// The exchange and its doors.
#[derive(Debug)]
pub(super) struct Venue {
    floor: Floor,
    peers: BTreeMap<u64, Peer>,
    observer: u64,
    observed: BTreeSet<String>,
    /// What the observer was sent.
    pub(super) market: Vec<Sent>,
    /// What the program was sent, on whichever connection.
    pub(super) sent: Vec<Sent>,
    /// What the exchange did wrong on purpose.
    pub(super) mischief: Vec<Mischief>,
    /// The sockets that seats were given to, for good.
    seats: BTreeMap<u64, u64>,
    /// The newest text of each channel.
    newest: HashMap<Arc<str>, Arc<str>>,
    /// What was asked for in subscribe calls that are not answered, by seat and id.
    asked: BTreeMap<(u64, u64), Vec<String>>,
    /// What the exchange does by itself, how often.
    seen: BTreeMap<&'static str, u64>,
}

/// Something that the exchange did wrong on purpose.
#[derive(Debug)]
pub(super) struct Mischief {
    /// µs since the simulation began.
    pub(super) at: u64,
    pub(super) fault: String,
    /// Where its entry begins in the faults file.
    pub(super) rule: usize,
    /// The socket that it happened to.
    pub(super) socket: Option<u64>,
    /// A channel, or a method.
    pub(super) about: String,
    /// The message as it was meant; of a gap what is missing.
    pub(super) text: String,
}

#[derive(Debug)]
struct Peer {
    seat: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The head of the request, as far as it has come.
    Knocking(Vec<u8>),
    Open(Box<WebSocket<Pipe>>),
}

/// A websocket's socket.
#[derive(Debug, Default)]
struct Pipe {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Venue {
    pub(super) fn new(config: MarketConfig, rules: &str) -> Self {
        let source = Source::Market(config);
        let faults = Faults::parse(rules).unwrap();
        let setup = Setup { source, limits: Limits::default(), faults, credentials: None };
        let mut floor = Floor::new(setup, moment(0)).unwrap();
        let observer = floor.open_elsewhere(moment(0)).unwrap();
        let (market, sent, mischief) = (Vec::new(), Vec::new(), Vec::new());
        let (seats, newest, asked, seen) = Default::default();
        let (peers, observed) = (BTreeMap::new(), BTreeSet::new());
        Self {
            floor,
            peers,
            observer,
            observed,
            market,
            sent,
            mischief,
            seats,
            newest,
            asked,
            seen,
        }
    }

    /// Instruments that are open, in the order of listing.
    pub(super) fn instruments(&self) -> Vec<String> {
        let listed = self.floor.oracle().unwrap().instruments();
        let open = listed.into_iter().filter(|it| it.state == exchange::State::Open);
        open.map(|it| it.name).collect()
    }

    /// Instruments that are not open any more: nobody can subscribe to them.
    pub(super) fn expired(&self) -> BTreeSet<String> {
        let listed = self.floor.oracle().unwrap().instruments();
        let expired = listed.into_iter().filter(|it| it.state != exchange::State::Open);
        expired.map(|it| it.name).collect()
    }

    /// Every instrument that is or was listed.
    pub(super) fn listed(&self) -> Vec<exchange::Instrument> {
        self.floor.oracle().unwrap().instruments()
    }

    /// The answer to a question for the list of a currency's instruments.
    pub(super) fn list(&mut self, currency: &str, now: u64) -> Result<List, Unlisted> {
        let params = json!({ "currency": currency, "expired": false });
        let params = params.as_object().expect("an object");
        match self.floor.ask("public/get_instruments", params, moment(now)) {
            Ok((200, answer)) => List::parse(currency, &answer),
            refused => Err(Failure::new(FailureKind::Exchange, format_args!("{refused:?}")).into()),
        }
    }

    /// The observer listens to these too.
    pub(super) fn observe<'a>(&mut self, channels: impl Iterator<Item = &'a str>, now: u64) {
        let new: Vec<&str> = channels.filter(|it| self.observed.insert((*it).to_owned())).collect();
        for some in new.chunks(250) {
            let params = json!({ "channels": some });
            let request = json!({"id": 1, "method": "public/subscribe", "params": params});
            self.floor.receive(self.observer, &request.to_string(), moment(now));
            self.look(now);
        }
    }

    /// Counts what the exchange did by itself.
    pub(super) fn count(&self, seen: &mut BTreeMap<String, u64>) {
        let listed = self.floor.oracle().unwrap().instruments();
        let new = listed.iter().filter(|it| it.created_ms * 1_000 > START_US).count() as u64;
        let bursts = self.market.iter().filter(|sent| {
            sent.channel.starts_with("trades.") && sent.text.matches("\"trade_seq\"").count() > 100
        });
        let mut quiet = BTreeMap::new();
        let silent = self.market.iter().filter(|sent| sent.channel.starts_with("ticker."));
        let silent = silent.filter(|sent| {
            quiet.insert(&sent.channel, sent.at).is_some_and(|before| sent.at - before > MINUTE_US)
        });
        let counted = [
            (NATURE[2], self.expired().len() as u64),
            (NATURE[3], new),
            (NATURE[4], bursts.count() as u64),
            (NATURE[5], silent.count() as u64),
        ];
        let all = self.seen.iter().map(|(what, times)| (*what, *times)).chain(counted);
        for (what, times) in all.filter(|(_, times)| *times > 0) {
            *seen.entry(what.to_owned()).or_default() += times;
        }
    }

    /// When [`step`](Self::step) has something to do.
    pub(super) fn due(&self) -> u64 {
        let due = self.floor.deadline().unwrap_or(Duration::MAX);
        u64::try_from(due.as_micros()).unwrap_or(u64::MAX)
    }

    /// Lets the market and the heartbeats go on; what goes out, by socket.
    pub(super) fn step(&mut self, now: u64) -> Vec<(u64, Out)> {
        self.floor.step(moment(now)).unwrap();
        self.look(now);
        let open: Vec<u64> = self.peers.keys().copied().collect();
        open.into_iter().map(|number| (number, self.write(number, now))).collect()
    }

    /// Bytes from a socket that may be new; what goes out to it.
    pub(super) fn receive(&mut self, number: u64, bytes: &[u8], now: u64) -> Out {
        let knocking = || Peer { seat: 0, stage: Stage::Knocking(Vec::new()) };
        let peer = self.peers.entry(number).or_insert_with(knocking);
        match &mut peer.stage {
            Stage::Knocking(head) => {
                head.extend_from_slice(bytes);
                if !head.ends_with(b"\r\n\r\n") {
                    return Out::default();
                }
                let pipe = Pipe { incoming: std::mem::take(head), outgoing: Vec::new() };
                match self.floor.open(moment(now)) {
                    Ok(seat) => {
                        self.seats.insert(seat, number);
                        let socket = tungstenite::accept(pipe).expect("our handshake is sound");
                        *peer = Peer { seat, stage: Stage::Open(Box::new(socket)) };
                    }
                    Err(refusal) => {
                        self.peers.remove(&number);
                        let head = match refusal {
                            Refusal::HungUp => String::new(),
                            Refusal::Status(status) => {
                                format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n")
                            }
                        };
                        return Out { bytes: head.into_bytes(), last: true, ..Out::default() };
                    }
                }
            }
            Stage::Open(socket) => socket.get_mut().incoming.extend_from_slice(bytes),
        }
        self.read(number, now)
    }

    /// The socket has ended.
    pub(super) fn hang_up(&mut self, number: u64, now: u64) {
        if let Some(Peer { seat, stage: Stage::Open(_) }) = self.peers.remove(&number) {
            self.floor.hang_up(seat, moment(now));
        }
        self.look(now);
    }

    fn read(&mut self, number: u64, now: u64) -> Out {
        loop {
            let Some(Peer { seat, stage: Stage::Open(socket) }) = self.peers.get_mut(&number)
            else {
                return Out::default();
            };
            match socket.read() {
                Ok(Message::Text(text)) => {
                    let seat = *seat;
                    self.floor.receive(seat, text.as_str(), moment(now));
                    if let Some((id, channels)) = asked(text.as_str()) {
                        self.asked.insert((seat, id), channels);
                    }
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Closed by either side, or nonsense: the exchange hangs up.
                Err(_) => {
                    let _ = socket.flush();
                    let bytes = std::mem::take(&mut socket.get_mut().outgoing);
                    self.hang_up(number, now);
                    return Out { bytes, last: true, ..Out::default() };
                }
            }
        }
        self.look(now);
        self.write(number, now)
    }

    /// What waits for a connection, as bytes.
    fn write(&mut self, number: u64, now: u64) -> Out {
        let Some(Peer { seat, stage: Stage::Open(socket) }) = self.peers.get_mut(&number) else {
            return Out::default();
        };
        let taken = self.floor.take(*seat, moment(now));
        let first = self.sent.len();
        let mut completes = Heard::default();
        for frame in taken.frames {
            let (message, ticker) = understood(&frame);
            completes.message |= message;
            completes.ticker |= ticker;
            // In the exchange's own frames: some are none.
            let _ = socket.flush();
            let (pieces, _) = frame.pieces();
            pieces.iter().for_each(|piece| socket.get_mut().outgoing.extend_from_slice(piece));
            let Frame { channel, text, .. } = frame;
            match channel {
                Some(channel) => {
                    let text = shared(&mut self.newest, &channel, text);
                    self.sent.push(Sent { at: now, channel, text });
                }
                None => answered(&mut self.asked, &mut self.seen, *seat, &text),
            }
        }
        let last = taken.ending.is_some();
        if let Some(Farewell { code: Some(code), reason }) = taken.ending {
            if let Some(what) = FAREWELLS.iter().find(|what| what.ends_with(&reason)) {
                *self.seen.entry(what).or_default() += 1;
            }
            let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
            let _ = socket.close(Some(frame));
        }
        let _ = socket.flush();
        let bytes = std::mem::take(&mut socket.get_mut().outgoing);
        if last {
            self.peers.remove(&number);
        }
        completes.sent = first..self.sent.len();
        Out { bytes, last, heard: completes }
    }

    /// The observer reads.
    fn look(&mut self, now: u64) {
        for Frame { channel, text, .. } in self.floor.take(self.observer, moment(now)).frames {
            if let Some(channel) = channel {
                let text = shared(&mut self.newest, &channel, text);
                self.market.push(Sent { at: now, channel, text });
            }
        }
        for line in self.floor.truth() {
            let Line::Fault(truth::Fault { fault, rule, at, connection, about, text }) = line
            else {
                continue;
            };
            let socket = self.seats.get(&connection).copied();
            let at = u64::try_from(at - START_US).unwrap();
            self.mischief.push(Mischief { at, fault, rule, socket, about, text });
        }
    }
}

/// Whether a frame is surely understood by the program, and is a ticker.
fn understood(frame: &Frame) -> (bool, bool) {
    let message = !matches!(frame.form, Form::Bytes(_)) && frame.text.ends_with('}');
    let ticker = frame
        .channel
        .as_ref()
        .is_some_and(|channel| channel.starts_with("ticker.") && frame.text.contains(&**channel));
    (message, message && ticker)
}

/// What two guests are sent takes the memory of one.
fn shared(newest: &mut HashMap<Arc<str>, Arc<str>>, channel: &Arc<str>, text: String) -> Arc<str> {
    if let Some(before) = newest.get(channel).filter(|before| ***before == *text) {
        return Arc::clone(before);
    }
    let text: Arc<str> = text.into();
    newest.insert(Arc::clone(channel), Arc::clone(&text));
    text
}

/// The id and the channels of a subscribe call.
fn asked(text: &str) -> Option<(u64, Vec<String>)> {
    let call: serde_json::Value = serde_json::from_str(text).ok()?;
    let wanted = call["method"] == "public/subscribe";
    let channels = call["params"]["channels"].as_array().filter(|_| wanted)?;
    let names = channels.iter().filter_map(|it| it.as_str()).map(str::to_owned);
    Some((call["id"].as_u64()?, names.collect()))
}

/// Counts how a subscribe call was acknowledged.
fn answered(
    asked: &mut BTreeMap<(u64, u64), Vec<String>>,
    seen: &mut BTreeMap<&'static str, u64>,
    seat: u64,
    text: &str,
) {
    let Ok(reply) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let Some(id) = reply["id"].as_u64() else { return };
    let (Some(mut wanted), Some(got)) = (asked.remove(&(seat, id)), reply["result"].as_array())
    else {
        return;
    };
    let names: BTreeSet<&str> = got.iter().filter_map(|it| it.as_str()).collect();
    let all = wanted.len();
    wanted.retain(|name| names.contains(&**name));
    if wanted.len() < all {
        *seen.entry(NATURE[0]).or_default() += 1;
    }
    if !wanted.iter().eq(got.iter().filter_map(|it| it.as_str())) {
        *seen.entry(NATURE[1]).or_default() += 1;
    }
}

/// The exchange's clock is always right.
fn moment(us: u64) -> Now {
    Now { monotonic: Duration::from_micros(us), utc_us: START_US + us as i64 }
}

impl Read for Pipe {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = room.len().min(self.incoming.len());
        room[..bytes].copy_from_slice(&self.incoming[..bytes]);
        self.incoming.drain(..bytes);
        Ok(bytes)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the exchange does without being told to.
pub(super) const NATURE: [&str; 8] = [
    "an acknowledgement leaves channels out",
    "an acknowledgement is in another order",
    "an option expires",
    "an option is listed",
    "more than 100 trades in a frame",
    "an option is silent for a minute",
    FAREWELLS[0],
    FAREWELLS[1],
];
/// How it hangs up by itself.
const FAREWELLS: [&str; 2] = ["it hangs up: heartbeat close", "it hangs up: too_many_requests"];
const MINUTE_US: u64 = 60_000_000;
