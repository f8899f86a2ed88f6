//! Everything that happens, in the order of virtual time: one thread, no sleep, all of it drawn
//! from the seed.

mod days;
mod plans;
mod sockets;
mod strikes;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use exchange::MarketConfig;
use journal::Options;
use journal::disk::Simulated;
use lifecycle::{ChannelSet, Group, Handover, Plan};
use schema::Micros;
use tapedeck::clock::Clock;
use tapedeck::reader;
use tapedeck::recorder::steward::Steward;
use tapedeck::session::Session;

use super::START_US;
use super::network::{Network, Way};
use super::program::{Frame, Program, TIGHT_BYTES};
use super::record::Record;
use super::venue::Venue;
use super::weather::{Fault, Weather};
use days::Asked;
pub(super) use days::{OUTAGES, Outage};
use plans::groups;
use sockets::Call;
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
    /// The steward looks.
    Tend(u64),
    /// Channels go on their way.
    Hand(u64),
    /// Something that this world has in store.
    Fate(usize),
    /// The disk has room again.
    Room,
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
    /// What there is to listen to, where no steward says it.
    groups: Vec<Group>,
    /// The way of this life's links to the newest plan, without a steward.
    handover: Handover,
    refused_until: u64,
    black_until: u64,
    slow_until: u64,
    /// The program ends the connection that it is about to lose.
    gives_up: bool,
    /// The power is about to go.
    failing: bool,
    /// The weather is over, and so is what it had begun.
    calm: bool,
    record: Record,
    /// How much of the exchange's mischief is written down.
    noticed: usize,
    /// The steward's questions, with the answer where the exchange has it already.
    asked: Vec<Asked>,
    /// When it was last looked whether everything open is planned.
    checked: u64,
    /// What this world has in store.
    outages: Vec<Outage>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let weather = Weather::of(&mut random);
        // Sometimes more than one request can ask for.
        let options = if random.below(8) == 0 { 160 } else { 4 + random.below(30) };
        let rate = 10 + random.below(40) as u32;
        let seeded = random.next();
        let market = MarketConfig { seed: seeded, options, rate, ..MarketConfig::default() };
        let venue = Venue::new(market, &weather.rules);
        let groups = groups(&venue.instruments(), &mut random);
        let plan = Plan::first(&groups).unwrap();
        let frame = Frame::new(&mut random);
        let mut world = Self::of((seed, random), weather, venue, frame, plan);
        world.groups = groups;
        world.after(4_000_000, Event::Fault);
        world
    }

    /// Where nothing goes wrong of itself.
    fn of(
        (seed, mut random): (u64, Random),
        weather: Weather,
        mut venue: Venue,
        frame: Frame,
        plan: Plan,
    ) -> Self {
        let (shards, goals): (Vec<Arc<str>>, Vec<ChannelSet>) =
            plan.swaps().map(|(shard, swap)| (shard, swap.goal)).unzip();
        goals.iter().for_each(|goal| venue.observe(goal.iter(), 0));
        let links = goals.len();
        let mut record = Record::new(seed, shards, &goals, frame.readers, &weather);
        if frame.queue_bytes_max <= TIGHT_BYTES {
            record.tight();
        }
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
            groups: Vec::new(),
            handover: Handover::new(plan),
            refused_until: 0,
            black_until: 0,
            slow_until: 0,
            gives_up: false,
            failing: false,
            calm: false,
            record,
            noticed: 0,
            asked: Vec::new(),
            checked: 0,
            outages: Vec::new(),
        };
        world.after(0, Event::Start);
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
            self.notice();
            if let Some((socket, way, segment)) = self.network.arrive(self.now) {
                self.arrived(socket, way, segment);
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
            assert!(
                self.now < self.weather.until + SETTLED_US,
                "it never settles: {}",
                self.unsettled()
            );
        }
        self.drain();
        let program = self.program.take().expect("it is well");
        self.record.note(self.now, "the end");
        self.record.deaths.push(self.now);
        let (journal, sink) = program.end(&self.clock).expect("nothing is wrong any more");
        assert_eq!(journal, sink, "the sink has everything");
        self.notice();
        self.venue.count(&mut self.record.seen);
        (self.record, self.venue, self.disk)
    }

    /// Writes down what the exchange has done wrong.
    fn notice(&mut self) {
        while let Some(mischief) = self.venue.mischief.get(self.noticed) {
            let link = mischief.socket.map(|socket| self.sockets_made[socket as usize - 1]);
            let ordered = self.weather.ordered(mischief.rule);
            self.record.saw(&ordered.name());
            self.record.mischief(mischief, ordered, link);
            self.noticed += 1;
        }
    }

    /// The exchange falls silent, and what was under way arrives: all of it is owed.
    fn drain(&mut self) {
        self.record.ended_at = self.now;
        while let Some(due) = self.network.due().filter(|due| *due < self.now + WELL_US) {
            self.pass(due);
            if let Some((socket, way, segment)) = self.network.arrive(self.now) {
                self.arrived(socket, way, segment);
            }
        }
    }

    /// What this world has in store.
    pub(super) fn outages(&self) -> &[Outage] {
        &self.outages
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

    /// Every shard has its goal, and no trade is asked for any more.
    fn is_well(&self) -> bool {
        let steward = self.program.as_ref().and_then(|program| program.steward.as_ref());
        // What the exchange refuses a shard stays where it was.
        let refused = |channel: &str, shard: &str| {
            let link = self.record.shards.iter().position(|it| **it == *shard).unwrap();
            let links = self.program.as_ref().map(|program| &program.links[link]);
            links.is_some_and(|link| link.session().refused().any(|it| it == channel))
        };
        let moves = self.handover.moves().filter(|it| !refused(it.channel, it.to));
        let moves = steward.map_or(moves.count(), Steward::moves);
        let reached = |link: &reader::Link| {
            let session = link.session();
            session.reached() == Some(self.generation) && !session.decoder().is_mending()
        };
        let sound = |socket: &Option<u64>| {
            socket.is_some_and(|socket| self.network.is_sound(socket, self.now))
        };
        moves == 0
            && self.program.as_ref().is_some_and(|program| program.links.iter().all(reached))
            && self.sockets.iter().all(sound)
    }

    /// Which links are not well, for whoever looks for the reason.
    fn unsettled(&self) -> String {
        let Some(program) = &self.program else { return "there is no program".into() };
        let link = |(link, it): (usize, &reader::Link)| {
            let (session, shard) = (it.session(), &self.record.shards[link]);
            let (reached, mending) = (session.reached(), session.decoder().is_mending());
            format!("{shard}: {reached:?} of {}, mending {mending}", self.generation)
        };
        let links = program.links.iter().enumerate().map(link).collect::<Vec<_>>().join("; ");
        let moves: Vec<_> = self.handover.moves().collect();
        format!("{links}; {moves:?}")
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start => self.start(),
            Event::Fault => self.fault(),
            Event::Room => self.disk.set_room(None),
            Event::Tend(life) if life == self.life => self.tend(),
            Event::Hand(life) if life == self.life => {
                self.hand();
                self.after(HAND_US, Event::Hand(life));
            }
            Event::Fate(number) => self.meet(number),
            Event::Turn(life) if life == self.life => self.turn(),
            Event::Append(life) if life == self.life => self.append(),
            Event::Sync(life) if life == self.life => self.sync(),
            Event::Follow(life) if life == self.life => self.follow(),
            Event::Dial(life, link) if life == self.life => self.dial(link),
            Event::Dialled(life, link, call) if life == self.life => self.dialled(link, call),
            Event::Tend(_)
            | Event::Hand(_)
            | Event::Turn(_)
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
        let Some(lists) = self.lists() else { return };
        self.life += 1;
        let life = self.life;
        let plan = self.handover.plan().clone();
        match Program::start(&plan, &self.disk, &self.clock, &self.frame, lists, &mut self.random) {
            Err(sentence) => {
                self.record.lives.refused();
                self.failed(&sentence);
            }
            Ok(program) => {
                let words = format!("start {life} after {}", program.found);
                self.record.started(self.now, &words, program.resumed);
                self.sockets.fill(None);
                self.changes.fill(0);
                self.program = Some(program);
                match self.frame.followed {
                    Some(_) => self.after(TEND_US, Event::Tend(life)),
                    None => {
                        self.handover = Handover::new(plan);
                        self.after(HAND_US, Event::Hand(life));
                    }
                }
                self.replan();
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
                self.gives_up = true;
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
                Ok(None) => self.record.lives.drained(self.now),
                Ok(Some(wait)) => {
                    self.record.saw(MISHAPS[FULL]);
                    pause = wait.as_micros() as u64;
                }
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
            self.record.lives.synced();
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
        self.record.saw(MISHAPS[ENDED]);
        self.program = None;
        let power_cut = std::mem::take(&mut self.failing);
        if power_cut {
            self.disk = self.disk.cut();
        }
        self.record.lives.died(self.now, power_cut);
        self.disconnect(false);
        let pause = self.seconds(1, 8);
        self.record.incident(Fault::Kill, self.now, self.now + pause, None);
        self.after(pause, Event::Start);
    }

    /// The process or the machine is gone, and with it every socket.
    fn disconnect(&mut self, silently: bool) {
        self.record.deaths.push(self.now);
        self.life += 1;
        self.asked.clear();
        for socket in std::mem::take(&mut self.sockets).into_iter().flatten() {
            match silently {
                true => self.network.forget(socket),
                false => self.network.send(socket, Way::Up, Vec::new(), true, self.now),
            }
        }
        self.sockets = vec![None; self.goals.len()];
    }
}

/// What is seen of the program: the first ones are what [`Call`]s come to, in their order.
pub(super) const MISHAPS: [&str; 6] = [
    "a dial is answered",
    "a dial meets silence",
    "a dial is refused",
    "a dial times out",
    "the disk is found full",
    "the program ends itself",
];
const FULL: usize = 4;
const ENDED: usize = 5;
/// How long everything must be well before the end.
const WELL_US: u64 = 6_000_000;
/// How often the steward looks; its thread does ten times as often.
const TEND_US: u64 = 1_000_000;
/// How often it is looked how far channels on their way are.
const HAND_US: u64 = 100_000;
/// After the weather, by when everything must be well.
const SETTLED_US: u64 = 400_000_000;
