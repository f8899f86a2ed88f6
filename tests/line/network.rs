//! The network between the program and the exchange: latency, segments of any size, stalls, and
//! every way in which a connection can be lost.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use tapedeck::reader::Link;
use tapedeck_tests::random::Random;

/// The two ways of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the exchange.
    Up,
    /// To the program.
    Down,
}

/// How a connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Both ends learn of it.
    Reset,
    /// The program believes in it, the exchange has seen it end.
    ForProgram,
    /// The exchange believes in it, the program has seen it end.
    ForExchange,
}

/// What the last bytes of a segment complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// A message that is surely understood.
    pub(super) message: bool,
    /// A ticker among such.
    pub(super) ticker: bool,
    /// What was sent, by its place among all of that.
    pub(super) sent: Range<usize>,
}

/// What arrives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) bytes: Vec<u8>,
    /// Nothing follows: the other end has hung up, or the connection is reset.
    pub(super) last: bool,
    pub(super) heard: Heard,
}

/// Every connection that is still good for something.
#[derive(Debug)]
pub(super) struct Network {
    sockets: BTreeMap<u64, Socket>,
    random: Random,
}

#[derive(Debug)]
struct Socket {
    latency_us: u64,
    jitter_us: u64,
    up: Road,
    down: Road,
}

#[derive(Debug, Default)]
struct Road {
    segments: VecDeque<(u64, Segment)>,
    newest_us: u64,
    stalled_until: u64,
    /// What is sent from now on goes nowhere.
    dead: bool,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        Self { sockets: BTreeMap::new(), random: Random(seed) }
    }

    /// A connection is made; its round trip, µs.
    pub(super) fn connect(&mut self, number: u64) -> u64 {
        let latency_us = 2_000 + self.random.next() % [30_000, 300_000][self.random.below(2)];
        let jitter_us = self.random.next() % [1, 20_000, 400_000][self.random.below(3)];
        let (up, down) = (Road::default(), Road::default());
        self.sockets.insert(number, Socket { latency_us, jitter_us: jitter_us + 1, up, down });
        2 * latency_us
    }

    /// Sends what a link has to say, if it has a connection.
    pub(super) fn flush(&mut self, number: Option<u64>, line: &mut Link, now: u64) {
        let Some(number) = number else { return };
        let bytes = line.take_output();
        if !bytes.is_empty() {
            self.send(number, Way::Up, bytes, false, now);
        }
    }

    /// Sends bytes in segments of any size; `last` behind them.
    pub(super) fn send(&mut self, number: u64, way: Way, bytes: Vec<u8>, last: bool, now: u64) {
        self.send_heard(number, way, (bytes, Heard::default()), last, now);
    }

    /// The same of bytes that end with a message.
    pub(super) fn send_heard(
        &mut self,
        number: u64,
        way: Way,
        (mut bytes, heard): (Vec<u8>, Heard),
        last: bool,
        now: u64,
    ) {
        let Some(socket) = self.sockets.get_mut(&number) else { return };
        let (latency_us, jitter_us) = (socket.latency_us, socket.jitter_us);
        let road = socket.road(way);
        if road.dead {
            return;
        }
        road.dead = last;
        while !bytes.is_empty() || last {
            let cut = if self.random.below(3) == 0 { self.random.chunk() } else { bytes.len() };
            let rest = bytes.split_off(cut.min(bytes.len()));
            let arrives = now + latency_us + self.random.next() % jitter_us;
            road.newest_us = road.newest_us.max(arrives);
            let ends = last && rest.is_empty();
            let heard = if rest.is_empty() { heard.clone() } else { Heard::default() };
            road.segments.push_back((road.newest_us, Segment { bytes, last: ends, heard }));
            if ends {
                break;
            }
            bytes = rest;
        }
    }

    /// When the next segment arrives.
    pub(super) fn due(&self) -> Option<u64> {
        let roads = self.sockets.values().flat_map(|socket| [&socket.up, &socket.down]);
        roads.filter_map(Road::due).min()
    }

    /// A segment that has arrived.
    pub(super) fn arrive(&mut self, now: u64) -> Option<(u64, Way, Segment)> {
        for (number, socket) in &mut self.sockets {
            for way in [Way::Up, Way::Down] {
                let road = socket.road(way);
                if road.due().is_some_and(|due| due <= now) {
                    let (_, segment) = road.segments.pop_front()?;
                    return Some((*number, way, segment));
                }
            }
        }
        None
    }

    /// Nothing moves until then; nothing is lost.
    pub(super) fn stall(&mut self, number: u64, until: u64) {
        if let Some(socket) = self.sockets.get_mut(&number) {
            socket.up.stalled_until = until;
            socket.down.stalled_until = until;
        }
    }

    /// Garbage comes behind what the exchange has sent.
    pub(super) fn garble(&mut self, number: u64, now: u64) {
        let garbage = (0..1 + self.random.below(40)).map(|_| self.random.next() as u8 | 0xf0);
        let garbage = garbage.collect();
        self.send(number, Way::Down, garbage, false, now);
    }

    /// The connection is lost at any byte of what is under way.
    pub(super) fn lose(&mut self, number: u64, loss: Loss, now: u64) {
        let Some(socket) = self.sockets.get_mut(&number) else { return };
        for way in [Way::Up, Way::Down] {
            let told = match loss {
                Loss::Reset => true,
                Loss::ForProgram => way == Way::Up,
                Loss::ForExchange => way == Way::Down,
            };
            let road = socket.road(way);
            // What a stall holds back is lost as a whole: it would arrive older than it looks.
            let stalled = road.stalled_until > now;
            let bytes: usize = road.segments.iter().map(|(_, segment)| segment.bytes.len()).sum();
            let keep = if stalled { 0 } else { self.random.below(bytes + 1) };
            // An end that is under way already comes all the same.
            let ends = road.segments.back().is_some_and(|(_, segment)| segment.last);
            road.cut(keep);
            road.stalled_until = 0;
            if told || ends {
                let at = road.newest_us.max(now);
                road.segments.push_back((at, Segment { last: true, ..Segment::default() }));
            }
            road.dead = true;
        }
    }

    /// Whether both ways are good.
    pub(super) fn is_sound(&self, number: u64, now: u64) -> bool {
        let sound = |road: &Road| !road.dead && road.stalled_until <= now;
        self.sockets.get(&number).is_some_and(|socket| sound(&socket.up) && sound(&socket.down))
    }

    /// The program's end is gone: what arrives there arrives nowhere.
    pub(super) fn forget(&mut self, number: u64) {
        self.sockets.remove(&number);
    }
}

impl Socket {
    fn road(&mut self, way: Way) -> &mut Road {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

impl Road {
    fn due(&self) -> Option<u64> {
        self.segments.front().map(|(at, _)| self.stalled_until.max(*at))
    }

    /// Keeps the first bytes of what is under way.
    fn cut(&mut self, mut keep: usize) {
        for (_, segment) in &mut self.segments {
            segment.last = false;
            if segment.bytes.len() > keep {
                segment.heard = Heard::default();
            }
            segment.bytes.truncate(keep);
            keep -= segment.bytes.len();
        }
        self.segments.retain(|(_, segment)| !segment.bytes.is_empty());
        self.newest_us = self.segments.back().map_or(0, |(at, _)| *at);
    }
}
