//! Everything that happens, in the order of virtual time: one thread, no sleep, all of it drawn
//! from the seed.

mod strikes;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use journal::Options;
use journal::disk::Simulated;
use lifecycle::{ChannelSet, Group, Plan, Swap};
use schema::Micros;
use tapedeck::clock::Clock;
use tapedeck::reader::{self, Ending};
use tapedeck::session::Session;

use super::START_US;
use super::network::{Loss, Network, Segment, Way};
use super::program::{Frame, Program};
use super::record::Record;
use super::venue::{Out, Venue};
use super::weather::{Fault, Weather};
use tapedeck_tests::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The program is started.
    Start,
    /// What the threads of one life do.
    Turn(u64),
    Append(u64),
    Sync(u64),
    Follow(u64),
    Dial(u64, usize),
    Dialled(u64, usize, Call),
    Fault,
    /// The disk has room again.
    Room,
}

/// How an attempt to connect ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    Taken,
    /// Connected, but nothing ever comes.
    Mute,
    Refused,
    TimedOut,
}

/// The world of one seed.
#[derive(Debug)]
pub(super) struct World {
    random: Random,
    now: u64,
    clock: Clock,
    order: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    frame: Frame,
    disk: Simulated,
    program: Option<Program>,
    life: u64,
    network: Network,
    venue: Venue,
    weather: Weather,
    /// By link: the socket that it has.
    sockets: Vec<Option<u64>>,
    /// The links of all sockets that ever were; they count from 1.
    sockets_made: Vec<usize>,
    /// By link: the changes of its acknowledged channels that were seen.
    changes: Vec<u64>,
    goals: Vec<ChannelSet>,
    generation: u64,
    refused_until: u64,
    black_until: u64,
    slow_until: u64,
    /// The power is about to go.
    failing: bool,
    /// The weather is over, and so is what it had begun.
    calm: bool,
    record: Record,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let weather = Weather::of(&mut random);
        // Sometimes more than one request can ask for.
        let options = if random.below(8) == 0 { 160 } else { 4 + random.below(30) };
        let rate = 10 + random.below(40) as u32;
        let mut venue = Venue::new(random.next(), options, rate, &weather.rules);
        let plan = plan(&venue.instruments(), &mut random);
        let (shards, goals): (Vec<Arc<str>>, Vec<ChannelSet>) =
            plan.swaps().map(|(shard, swap)| (shard, swap.goal)).unzip();
        goals.iter().for_each(|goal| venue.observe(goal.iter(), 0));
        let frame = Frame::new(plan, &mut random);
        let links = goals.len();
        let record = Record::new(seed, shards, &goals, frame.readers, &weather);
        let clock = Clock::simulated(Micros(START_US));
        let disk = Simulated::new(random.next());
        let network = Network::new(random.next());
        let mut world = Self {
            random,
            now: 0,
            clock,
            order: 0,
            events: BinaryHeap::new(),
            frame,
            disk,
            program: None,
            life: 0,
            network,
            venue,
            weather,
            sockets: vec![None; links],
            sockets_made: Vec::new(),
            changes: vec![0; links],
            goals,
            generation: 1,
            refused_until: 0,
            black_until: 0,
            slow_until: 0,
            failing: false,
            calm: false,
            record,
        };
        world.after(0, Event::Start);
        world.after(4_000_000, Event::Fault);
        world
    }

    /// Lets time pass until the weather is over and everything is well again; then ends the
    /// program in order. What there is to judge.
    pub(super) fn run(mut self) -> (Record, Venue, Simulated) {
        let mut well_since = None;
        loop {
            let event = self.events.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
            let arrival = self.network.due().unwrap_or(u64::MAX);
            let next = event.min(arrival).min(self.venue.due());
            self.pass(next);
            if let Some((socket, way, segment)) = self.network.arrive(self.now) {
                self.arrived(socket, way, &segment);
            } else if self.venue.due() <= self.now {
                for (socket, out) in self.venue.step(self.now) {
                    self.send(socket, out);
                }
            } else if event <= self.now
                && let Some(Reverse((_, _, event))) = self.events.pop()
            {
                self.happen(event);
            }
            if !self.calm || !self.is_well() {
                well_since = None;
            } else if self.now >= *well_since.get_or_insert(self.now) + WELL_US {
                break;
            }
            assert!(self.now < self.weather.until + SETTLED_US, "it never settles");
        }
        self.drain();
        let program = self.program.take().expect("it is well");
        self.record.note(self.now, "the end");
        self.record.deaths.push(self.now);
        let (journal, sink) = program.end(&self.clock).expect("nothing is wrong any more");
        assert_eq!(journal, sink, "the sink has everything");
        for mischief in &self.venue.mischief {
            let link = mischief.socket.map(|socket| self.sockets_made[socket as usize - 1]);
            self.record.mischief(mischief, link);
        }
        (self.record, self.venue, self.disk)
    }

    /// The exchange falls silent, and what was under way arrives: all of it is owed.
    fn drain(&mut self) {
        self.record.ended_at = self.now;
        while let Some(due) = self.network.due().filter(|due| *due < self.now + WELL_US) {
            self.pass(due);
            if let Some((socket, way, segment)) = self.network.arrive(self.now) {
                self.arrived(socket, way, &segment);
            }
        }
    }

    /// How the journal is kept.
    pub(super) fn journal_options(&self) -> Options {
        self.frame.journal.clone()
    }

    fn pass(&mut self, to: u64) {
        let to = to.max(self.now);
        self.clock.advance(Duration::from_micros(to - self.now));
        self.now = to;
    }

    fn after(&mut self, us: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.now + us, self.order, event)));
    }

    fn seconds(&mut self, least: u64, most: u64) -> u64 {
        (least * 1_000_000) + self.random.next() % ((most - least) * 1_000_000)
    }

    /// Every shard has its goal.
    fn is_well(&self) -> bool {
        let reached = |link: &reader::Link| link.session().reached() == Some(self.generation);
        let sound = |socket: &Option<u64>| {
            socket.is_some_and(|socket| self.network.is_sound(socket, self.now))
        };
        self.program.as_ref().is_some_and(|program| program.links.iter().all(reached))
            && self.sockets.iter().all(sound)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start => self.start(),
            Event::Fault => self.fault(),
            Event::Room => self.disk.set_room(None),
            Event::Turn(life) if life == self.life => self.turn(),
            Event::Append(life) if life == self.life => self.append(),
            Event::Sync(life) if life == self.life => self.sync(),
            Event::Follow(life) if life == self.life => self.follow(),
            Event::Dial(life, link) if life == self.life => self.dial(link),
            Event::Dialled(life, link, call) if life == self.life => self.dialled(link, call),
            Event::Turn(_)
            | Event::Append(_)
            | Event::Sync(_)
            | Event::Follow(_)
            | Event::Dial(..)
            | Event::Dialled(..) => {}
        }
    }

    fn start(&mut self) {
        if self.program.is_some() {
            return;
        }
        self.life += 1;
        let life = self.life;
        match Program::start(&self.disk, &self.clock, &self.frame, &mut self.random) {
            Err(sentence) => self.failed(&sentence),
            Ok(program) => {
                let words = format!("start {life} after {}", program.found);
                self.record.started(self.now, &words, program.resumed);
                for (link, goal) in self.goals.iter().enumerate() {
                    let generation = self.generation;
                    program.swap(link, Swap { generation, goal: goal.clone() });
                    self.sockets[link] = None;
                    self.changes[link] = 0;
                }
                self.program = Some(program);
                self.after(0, Event::Append(life));
                self.after(0, Event::Follow(life));
                self.after(50_000, Event::Turn(life));
                self.after(1_000_000, Event::Sync(life));
                for link in 0..self.goals.len() {
                    self.after(0, Event::Dial(life, link));
                }
            }
        }
    }

    fn turn(&mut self) {
        let now = self.clock.now();
        for link in 0..self.goals.len() {
            let Some(program) = &mut self.program else { return };
            let (line, outbox) = program.link(link);
            let shut = line.turn(now, None, outbox);
            self.flush(link);
            if shut {
                self.received(link, &[], true);
            }
            self.watch(link);
        }
        if let Some(program) = &mut self.program {
            program.turn(now);
        }
        self.after(50_000, Event::Turn(self.life));
    }

    fn append(&mut self) {
        let Some(program) = &mut self.program else { return };
        let mut pause = 5_000 + self.random.next() % 40_000;
        if self.slow_until > self.now {
            pause = self.slow_until - self.now;
        } else {
            match program.append() {
                Ok(None) => {}
                Ok(Some(wait)) => pause = wait.as_micros() as u64,
                Err(sentence) => return self.failed(&sentence),
            }
        }
        self.after(pause, Event::Append(self.life));
    }

    fn sync(&mut self) {
        let Some(program) = &mut self.program else { return };
        if self.slow_until <= self.now {
            if let Err(sentence) = program.sync(self.clock.now()) {
                return self.failed(&sentence);
            }
            self.record.synced_at = self.now;
        }
        let pause = 900_000 + self.random.next() % 200_000;
        self.after(pause, Event::Sync(self.life));
    }

    fn follow(&mut self) {
        let Some(program) = &mut self.program else { return };
        match program.follow(&self.clock) {
            Ok(pause) => self.after(pause.as_micros() as u64, Event::Follow(self.life)),
            Err(sentence) => self.failed(&sentence),
        }
    }

    /// The program has ended itself, and is started again.
    fn failed(&mut self, sentence: &str) {
        self.record.failed(self.now, sentence);
        self.program = None;
        if std::mem::take(&mut self.failing) {
            self.disk = self.disk.cut();
        }
        self.disconnect(false);
        let pause = self.seconds(1, 8);
        self.record.incident(Fault::Kill, self.now, self.now + pause, None);
        self.after(pause, Event::Start);
    }

    /// The process or the machine is gone, and with it every socket.
    fn disconnect(&mut self, silently: bool) {
        self.record.deaths.push(self.now);
        self.life += 1;
        for socket in std::mem::take(&mut self.sockets).into_iter().flatten() {
            match silently {
                true => self.network.forget(socket),
                false => self.network.send(socket, Way::Up, Vec::new(), true, self.now),
            }
        }
        self.sockets = vec![None; self.goals.len()];
    }

    fn dial(&mut self, link: usize) {
        let Some(program) = &mut self.program else { return };
        program.links[link].connecting();
        let (call, pause) = if self.refused_until > self.now {
            (Call::Refused, 30_000)
        } else if self.black_until > self.now {
            match self.random.below(2) {
                0 => (Call::TimedOut, 10_000_000),
                _ => (Call::Mute, 30_000),
            }
        } else {
            (Call::Taken, 30_000)
        };
        self.after(pause, Event::Dialled(self.life, link, call));
    }

    fn dialled(&mut self, link: usize, call: Call) {
        let Some(program) = &mut self.program else { return };
        let error = match call {
            Call::Refused => Some(io::ErrorKind::ConnectionRefused),
            Call::TimedOut => Some(io::ErrorKind::TimedOut),
            Call::Taken | Call::Mute => None,
        };
        if let Some(kind) = error {
            return self.lost(link, Ending::broken(&io::Error::from(kind)));
        }
        self.sockets_made.push(link);
        let socket = self.sockets_made.len() as u64;
        self.network.connect(socket);
        if call == Call::Mute {
            self.network.lose(socket, Loss::ForProgram, self.now);
        }
        program.links[link].connected(self.clock.now()).expect("the endpoint is sound");
        self.sockets[link] = Some(socket);
        self.flush(link);
    }

    /// Sends what a link has to say.
    fn flush(&mut self, link: usize) {
        let (Some(program), Some(socket)) = (&mut self.program, self.sockets[link]) else { return };
        let bytes = program.links[link].take_output();
        if !bytes.is_empty() {
            self.network.send(socket, Way::Up, bytes, false, self.now);
        }
    }

    fn send(&mut self, socket: u64, out: Out) {
        if !out.bytes.is_empty() || out.last {
            self.network.send(socket, Way::Down, out.bytes, out.last, self.now);
        }
    }

    fn arrived(&mut self, socket: u64, way: Way, segment: &Segment) {
        match way {
            Way::Up => {
                if !segment.bytes.is_empty() {
                    let out = self.venue.receive(socket, &segment.bytes, self.now);
                    self.send(socket, out);
                }
                if segment.last {
                    self.venue.hang_up(socket, self.now);
                }
            }
            Way::Down => {
                let owner = self.sockets.iter().position(|it| *it == Some(socket));
                if let Some(link) = owner {
                    self.received(link, &segment.bytes, segment.last);
                    self.watch(link);
                }
            }
        }
    }

    /// A link reads.
    fn received(&mut self, link: usize, mut bytes: &[u8], last: bool) {
        let now = self.clock.now();
        while !bytes.is_empty() || last {
            let Some(program) = &mut self.program else { return };
            let (line, outbox) = program.link(link);
            let Some(mut input) = line.take_input() else { return };
            let room = (input.capacity() - input.len()).min(bytes.len());
            let (read, rest) = bytes.split_at(room);
            input.extend_from_slice(read);
            let ended = line.received(input, room, now, outbox);
            self.flush(link);
            if let Err(ending) = ended {
                return self.lost(link, ending);
            }
            bytes = rest;
        }
    }

    fn lost(&mut self, link: usize, ending: Ending) {
        let Some(program) = &mut self.program else { return };
        let shown = format!("{} lost: {ending:?}", self.record.shards[link]);
        self.record.note(self.now, &shown);
        let lost = program.links[link].lost(ending, self.clock.now());
        if let Some(socket) = self.sockets[link].take() {
            self.network.send(socket, Way::Up, Vec::new(), true, self.now);
        }
        match lost.hopeless {
            Some(failure) => self.failed(&failure.to_string()),
            None => self.after(lost.pause.as_micros() as u64, Event::Dial(self.life, link)),
        }
    }

    /// Sees what a link has got acknowledged.
    fn watch(&mut self, link: usize) {
        let Some(program) = &self.program else { return };
        let session = program.links[link].session();
        if self.changes[link] != session.changes() {
            self.changes[link] = session.changes();
            let wanted = |channel: &&str| self.goals[link].contains(channel);
            let channels = session.acknowledged().iter().filter(wanted);
            self.record.acknowledged(self.now, channels);
        }
    }
}

/// Two shards of options and one of the rest, with all that the recorder understands.
fn plan(instruments: &[String], random: &mut Random) -> Plan {
    let (mut options, mut rest) = (ChannelSet::default(), ChannelSet::default());
    let books = random.below(3) == 0;
    for name in instruments {
        let perpetual = name.ends_with("PERPETUAL");
        let group = if perpetual { &mut rest } else { &mut options };
        group.insert(format!("ticker.{name}.100ms"));
        group.insert(format!("trades.{name}.100ms"));
        if books {
            group.insert(format!("book.{name}.100ms"));
        }
        if perpetual {
            rest.insert(format!("perpetual.{name}.100ms"));
        }
    }
    rest.extend(["deribit_price_index.btc_usd", "deribit_price_index.eth_usd"]);
    let group = |name: &str, shards, channels| Group {
        name: name.to_owned(),
        shards,
        capacity: 500,
        channels,
    };
    let groups = [group("options", 1 + random.below(2), options), group("perpetuals", 1, rest)];
    Plan::first(&groups).unwrap()
}

/// How long everything must be well before the end.
const WELL_US: u64 = 6_000_000;
/// After the weather, by when everything must be well.
const SETTLED_US: u64 = 400_000_000;
