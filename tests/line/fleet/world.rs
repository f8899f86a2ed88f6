//! Everything that happens, in the order of virtual time.

mod sockets;
mod speaking;
mod strikes;
mod turns;
mod wishes;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use exchange::MarketConfig;
use journal::Options;
use journal::disk::Simulated;
use lifecycle::{ChannelSet, Choices, Plan};
use schema::Now;
use tapedeck::config::Config;
use tapedeck::recorder::steward::{Question, Steward};
use tapedeck::recorder::{Catalogue, List};
use tapedeck::session::Session;
use tapedeck_tests::random::Random;

use super::super::network::Network;
use super::super::program::Frame;
use super::super::venue::Venue;
use super::member::{Managing, Member};
use super::post::Letter;
use super::record::Record;
use super::weather::Weather;
use wishes::Asked;
pub(super) use wishes::Wishes;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Start(usize),
    /// What the threads of one life of a member do.
    Turn(usize, u64),
    Append(usize, u64),
    Sync(usize, u64),
    Follow(usize, u64),
    Dial(usize, u64, usize),
    Dialled(usize, u64, usize),
    /// A recorder looks whether something is due.
    Look(usize, u64),
    /// The steward looks.
    Tend(u64),
    /// The lifecycle speaks to a recorder.
    Ask(u64, usize),
    Brief(u64),
    News(u64),
    /// Nobody waits for the answer any more.
    Late(u64),
    /// A disk has room again.
    Room(usize),
    Fault,
}

/// The world of one seed.
#[derive(Debug)]
pub(super) struct World {
    random: Random,
    now: u64,
    order: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    config: Config,
    frame: Frame,
    members: [Member; 3],
    managing: Option<Managing>,
    network: Network,
    venue: Venue,
    weather: Weather,
    /// By recorder and link: the socket that it has.
    sockets: [Vec<Option<u64>>; 2],
    letters: BTreeMap<u64, Letter>,
    /// By recorder: the letter whose answer is waited for.
    waits: [Option<u64>; 2],
    /// By recorder: until when no letter arrives.
    parted_until: [u64; 2],
    storm_until: u64,
    questions: Vec<(u64, Question)>,
    /// By recorder and link: its life, and the changes of its acknowledged channels, as seen last.
    changes: [Vec<(u64, u64)>; 2],
    /// Wishes that are waited for.
    answers: Vec<Asked>,
    calm: bool,
    record: Record,
}

/// What there is to judge.
pub(super) struct Past {
    pub(super) record: Record,
    pub(super) venue: Venue,
    pub(super) disks: Vec<(Simulated, Options)>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let weather = Weather::of(&mut random);
        let options = 16 + random.below(30);
        let rate = 10 + random.below(40) as u32;
        let market = MarketConfig { seed: random.next(), options, rate, ..MarketConfig::default() };
        let mut config = Config::default();
        config.exchange.batch_age_max = Duration::from_millis(random.pick(&[100, 1_000]));
        let member = |random: &mut Random| Member::new(random.next());
        let members = [member(&mut random), member(&mut random), member(&mut random)];
        let record = Record::new(seed, &weather);
        let mut world = Self {
            now: 0,
            order: 0,
            events: BinaryHeap::new(),
            frame: Frame::followed(config.clone()),
            config,
            members,
            managing: None,
            network: Network::new(random.next()),
            venue: Venue::new(market, ""),
            weather,
            sockets: SHARDS.map(|shards| vec![None; shards.len()]),
            letters: BTreeMap::new(),
            waits: [None; 2],
            parted_until: [0; 2],
            storm_until: 0,
            questions: Vec::new(),
            changes: SHARDS.map(|shards| vec![(0, 0); shards.len()]),
            answers: Vec::new(),
            calm: false,
            record,
            random,
        };
        world.observe();
        for member in 0..3 {
            let pause = world.random.next() % 3_000_000;
            world.after(pause, Event::Start(member));
        }
        world.after(20_000_000, Event::Fault);
        world
    }

    /// The observer listens to everything from the first moment on.
    fn observe(&mut self) {
        let lists = self.lists().expect("nobody has asked before");
        let catalogue = Catalogue::select(&self.config, &Choices::default(), lists);
        let groups = catalogue.expect("there are options").groups;
        for (_, swap) in Plan::first(&groups).expect("there is room").swaps() {
            self.venue.observe(swap.goal.iter(), self.now);
        }
        // Some shards are full at times.
        if self.random.below(3) == 0 {
            self.config.shards = self.config.shard_groups();
            for (shard, group) in std::iter::zip(&mut self.config.shards, &groups) {
                shard.capacity = (group.channels.len() + LISTED_MAX).div_ceil(shard.count);
            }
        }
    }

    /// Lets time pass until the weather is over and everything is well again; then ends everybody
    /// in order.
    pub(super) fn run(mut self) -> Past {
        let mut well_since = None;
        loop {
            let event = self.events.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
            let arrival = self.network.due().unwrap_or(u64::MAX);
            self.pass(event.min(arrival).min(self.venue.due()));
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
            match self.calm && self.is_well() {
                false => well_since = None,
                true if self.now >= *well_since.get_or_insert(self.now) + WELL_US => break,
                true => {}
            }
            let late = self.now > self.weather.until + SETTLED_US;
            assert!(!late, "it never settles: {}", self.unsettled());
        }
        self.end()
    }

    fn end(mut self) -> Past {
        self.record.ended_at = self.now;
        while let Some(due) = self.network.due().filter(|due| *due < self.now + WELL_US) {
            self.pass(due);
            if let Some((socket, way, segment)) = self.network.arrive(self.now) {
                self.arrived(socket, way, segment);
            }
        }
        let options = self.frame.journal.clone();
        let mut disks = Vec::new();
        for Member { disk, clock, program, .. } in self.members {
            let (journal, sink) = program.expect("it is well").end(&clock).expect("all is well");
            assert_eq!(journal, sink, "the sink has everything");
            disks.push((disk, options.clone()));
        }
        Past { record: self.record, venue: self.venue, disks }
    }

    fn pass(&mut self, to: u64) {
        let by = Duration::from_micros(to.max(self.now) - self.now);
        self.members.iter().for_each(|member| member.clock.advance(by));
        self.now = to.max(self.now);
    }

    fn after(&mut self, us: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((self.now + us, self.order, event)));
    }

    fn happen(&mut self, event: Event) {
        let alive = |member: usize, life: u64| self.members[member].life == life;
        match event {
            Event::Start(member) => self.start(member),
            Event::Turn(member, life) if alive(member, life) => self.turn(member),
            Event::Append(member, life) if alive(member, life) => self.append(member),
            Event::Sync(member, life) if alive(member, life) => self.sync(member),
            Event::Follow(member, life) if alive(member, life) => self.follow(member),
            Event::Dial(member, life, link) if alive(member, life) => self.dial(member, link),
            Event::Dialled(member, life, link) if alive(member, life) => self.dialled(member, link),
            Event::Look(member, life) if alive(member, life) => self.look(member),
            Event::Tend(life) if alive(LIFECYCLE, life) => self.tend(),
            Event::Ask(life, to) if alive(LIFECYCLE, life) => self.ask(to),
            Event::Brief(letter) => self.brief_arrives(letter),
            Event::News(letter) => self.news_arrive(letter),
            Event::Late(letter) => self.late(letter),
            Event::Room(member) => {
                self.members[member].full = false;
                self.members[member].disk.set_room(None);
            }
            Event::Fault => self.fault(),
            _ => {}
        }
    }

    fn start(&mut self, member: usize) {
        if self.members[member].program.is_some() {
            return;
        }
        if member == LIFECYCLE {
            if !self.start_lifecycle() {
                return self.after(3 * START_AGAIN_US, Event::Start(LIFECYCLE));
            }
        } else {
            let shards = SHARDS[member].map(String::from);
            let with = (&self.config, &self.frame);
            let begun = self.members[member].record(&shards, with, self.now, &mut self.random);
            if let Err(sentence) = begun {
                self.record.lives[member].refused();
                self.record.dies(member, false, self.now);
                self.full(member, &sentence);
                return self.after(START_AGAIN_US, Event::Start(member));
            }
            self.sockets[member].fill(None);
        }
        self.record.begins(member, self.now);
        let life = self.members[member].life;
        let found = self.members[member].program.as_ref().map(|it| it.found.clone());
        self.note(&format!("{} starts after {}", NAMES[member], found.unwrap_or_default()));
        self.after(0, Event::Append(member, life));
        self.after(0, Event::Follow(member, life));
        self.after(1_000_000, Event::Sync(member, life));
        if member == LIFECYCLE {
            self.after(TEND_US, Event::Tend(life));
            (0..2).for_each(|to| self.after(0, Event::Ask(life, to)));
            return;
        }
        self.after(50_000, Event::Turn(member, life));
        self.after(LOOK_US, Event::Look(member, life));
        for link in 0..self.sockets[member].len() {
            self.after(0, Event::Dial(member, life, link));
        }
    }

    /// What the exchange lists; nothing if it has been asked too often.
    fn lists(&mut self) -> Option<Vec<List>> {
        let now = self.now;
        let mut list = |it: &String| self.venue.list(it, now).ok();
        self.config.exchange.currencies.iter().map(&mut list).collect()
    }

    fn clock(&self, member: usize) -> Now {
        self.members[member].clock.now()
    }

    /// Every shard listens to what the plan says, and nothing is on its way.
    fn is_well(&self) -> bool {
        self.unsettled().is_empty()
    }

    /// What is not well.
    fn unsettled(&self) -> String {
        let steward = self.members[LIFECYCLE].program.as_ref().and_then(|it| it.steward.as_ref());
        let Some(steward) = steward else { return "there is no lifecycle".into() };
        let mut words = Vec::new();
        if self.members.iter().any(|member| member.full) {
            words.push("a disk is full".to_owned());
        }
        let moves = steward.moves();
        if moves > 0 {
            words.push(format!("{moves} channels are on their way"));
        }
        let goals: BTreeMap<String, ChannelSet> =
            steward.swaps().map(|(shard, swap)| (shard.to_string(), swap.goal)).collect();
        for (member, shards) in SHARDS.iter().enumerate() {
            let Some(program) = &self.members[member].program else {
                return format!("{} is dead", NAMES[member]);
            };
            for (link, shard) in shards.iter().enumerate() {
                let (session, goal) = (program.links[link].session(), &goals[*shard]);
                let sound = self.sockets[member][link]
                    .is_some_and(|socket| self.network.is_sound(socket, self.now));
                let lacks: Vec<&str> = goal.without(session.acknowledged()).collect();
                let strays: Vec<&str> = session.acknowledged().without(goal).collect();
                let unasked = session.unasked_since().is_some() || session.decoder().is_mending();
                if !sound || !lacks.is_empty() || !strays.is_empty() || unasked {
                    words.push(format!(
                        "{shard}: sound {sound}, trades are to be asked for {unasked}, lacks \
                         {lacks:?}, still has {strays:?}"
                    ));
                }
            }
        }
        if words.is_empty() {
            words = self.misplanned(steward);
        }
        words.join("; ")
    }

    /// These are the goals from now on.
    fn wants(&mut self, goals: &[ChannelSet]) {
        let new: ChannelSet = goals.iter().flat_map(ChannelSet::iter).collect();
        let dropped = self.record.wants(new, self.now);
        self.check_dropped(&dropped);
    }

    fn note(&mut self, what: &str) {
        self.record.note(what, self.now);
    }
}

fn steward(members: &mut [Member; 3]) -> Option<&mut Steward> {
    members[LIFECYCLE].program.as_mut().and_then(|it| it.steward.as_mut())
}

/// By recorder.
pub(super) const SHARDS: [[&str; 4]; 2] = [
    ["btc-options-0", "btc-options-1", "eth-options-0", "perpetuals"],
    ["btc-options-2", "eth-options-1", "eth-options-2", "eth-options-3"],
];
pub(super) const LIFECYCLE: usize = 2;
pub(super) const NAMES: [&str; 3] = ["recorder a", "recorder b", "the lifecycle"];
/// Fewer options of a currency than these are listed while a world lasts.
const LISTED_MAX: usize = 16;
/// How often a routine looks (`routine::TURN`).
const TEND_US: u64 = 100_000;
/// How often the control API lets a deputy look.
const LOOK_US: u64 = 250_000;
/// A process that could not start is started again after this; a lifecycle is patient with an
/// exchange that is asked too often.
const START_AGAIN_US: u64 = 1_000_000;
/// How long everything must be well before the end.
const WELL_US: u64 = 6_000_000;
/// After the weather, by when everything must be well.
const SETTLED_US: u64 = 300_000_000;
