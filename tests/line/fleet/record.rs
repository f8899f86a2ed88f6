//! What happened in a world, for the judge; and a trace of it, printed when something is wrong.

use std::collections::BTreeMap;
use std::ops::Range;

use lifecycle::{ChannelSet, instrument};

use super::super::lives::Lives;
use super::super::network::Heard;
use super::weather::Weather;
use super::world::{SHARDS, Wishes};

/// Notes of one world. Moments are µs since it began; what has not ended ends at the maximum.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) seed: u64,
    /// Whether nothing may be missing.
    pub(super) calm: bool,
    /// By channel: the shards that were to listen to it, from when it was acknowledged there.
    pub(super) homes: BTreeMap<String, Vec<Home>>,
    /// By channel: whenever it was acknowledged to a process that lived.
    pub(super) ears: BTreeMap<String, Vec<Home>>,
    /// By member: what its connections went through. A lifecycle has none.
    pub(super) lives: [Lives; 3],
    /// By channel: when it was in no goal, after it had been in one.
    pub(super) absent: BTreeMap<String, Vec<Range<u64>>>,
    /// By channel: the shards that it was on its way to, as those were told.
    pub(super) taking: BTreeMap<String, Vec<Home>>,
    wanted: ChannelSet,
    pub(super) wishes: Wishes,
    pub(super) troubles: Vec<Trouble>,
    pub(super) seen: BTreeMap<String, u64>,
    /// Every connection that was made.
    pub(super) connections: Vec<Connection>,
    pub(super) ended_at: u64,
    trace: Vec<String>,
}

/// A shard listened to a channel from the one moment to the other.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) shard: String,
    pub(super) from: u64,
    pub(super) until: u64,
}

impl Home {
    /// Whether a shard has it still.
    fn is_open(&self, shard: &str) -> bool {
        self.shard == shard && self.until == u64::MAX
    }
}

/// Something went wrong.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) what: What,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A member was not there.
    Death(usize),
    /// Its disk had no room.
    Full(usize),
    /// Connections or letters were lost.
    Network,
}

/// A connection of a recorder.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) member: usize,
    pub(super) link: usize,
    /// What was sent over it, in order, by its place among all that was.
    pub(super) sent: Vec<Range<usize>>,
    /// What was given whole to the recorder, and when: the first ones of those.
    pub(super) given: Vec<(u64, Range<usize>)>,
}

impl Connection {
    pub(super) fn shard(&self) -> &'static str {
        SHARDS[self.member][self.link]
    }
}

impl Record {
    pub(super) fn new(seed: u64, weather: &Weather) -> Self {
        Self {
            seed,
            calm: weather.is_calm(),
            homes: BTreeMap::new(),
            ears: BTreeMap::new(),
            lives: [SHARDS[0].len(), SHARDS[1].len(), 0].map(Lives::new),
            absent: BTreeMap::new(),
            taking: BTreeMap::new(),
            wanted: ChannelSet::default(),
            wishes: Wishes::default(),
            troubles: Vec::new(),
            seen: BTreeMap::new(),
            connections: Vec::new(),
            ended_at: 0,
            trace: vec![format!("{weather:?}")],
        }
    }

    pub(super) fn saw(&mut self, what: &str) {
        *self.seen.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn note(&mut self, what: &str, now: u64) {
        self.trace.push(format!("{:>11.6} {what}", now as f64 / 1e6));
    }

    pub(super) fn trouble(&mut self, what: What, span: Range<u64>) {
        let Range { start: from, end: until } = span;
        self.troubles.push(Trouble { from, until, what });
    }

    /// A member is there again.
    pub(super) fn begins(&mut self, member: usize, now: u64) {
        let own = self.troubles.iter_mut().filter(|it| it.what == What::Death(member));
        own.filter(|it| it.until == u64::MAX).for_each(|it| it.until = now);
    }

    /// A member is gone; with the power, or without.
    pub(super) fn dies(&mut self, member: usize, power: bool, now: u64) {
        let shards: &[&str] = SHARDS.get(member).map(|shards| &shards[..]).unwrap_or_default();
        (0..shards.len()).for_each(|link| self.idle(member, link));
        self.lives[member].died(now, power);
        for shard in shards {
            end(&mut self.ears, shard, &ChannelSet::default(), now);
            end(&mut self.taking, shard, &ChannelSet::default(), now);
        }
    }

    /// Whatever becomes of a connection that listens to nothing, nothing is missed.
    pub(super) fn idle(&mut self, member: usize, link: usize) {
        if !has_any(&self.ears, SHARDS[member][link]) {
            self.lives[member].idle(link);
        }
    }

    /// A recorder was given everything up to there.
    pub(super) fn given(&mut self, socket: u64, heard: Heard, now: u64) {
        let Connection { member, link, given, .. } = &mut self.connections[socket as usize - 1];
        let Heard { message, ticker, sent } = heard;
        let lives = &mut self.lives[*member];
        lives.given(*link, now);
        if message {
            lives.heard(*link, ticker, now);
        }
        if !sent.is_empty() {
            given.push((now, sent));
        }
    }

    /// The goals have these channels from now on. Those that they had, and have no more.
    pub(super) fn wants(&mut self, new: ChannelSet, now: u64) -> Vec<String> {
        let dropped: Vec<String> = self.wanted.without(&new).map(str::to_owned).collect();
        for channel in &dropped {
            self.absent.entry(channel.clone()).or_default().push(now..u64::MAX);
        }
        for channel in new.without(&self.wanted) {
            let last = self.absent.get_mut(channel).and_then(|all| all.last_mut());
            last.into_iter().for_each(|it| it.end = now);
        }
        self.wanted = new;
        dropped
    }

    /// Whether an instrument was in any goal.
    pub(super) fn knows(&self, name: &str) -> bool {
        let of = |channel: &str| instrument(channel) == name;
        self.wanted.iter().any(of) || self.absent.keys().any(|channel| of(channel))
    }

    /// A shard has these acknowledged from now on, and whether that is all that it is to have, and
    /// no others.
    pub(super) fn listens(&mut self, shard: &str, channels: &ChannelSet, whole: bool, now: u64) {
        if let Ok(name) = std::env::var("WATCH") {
            let own: Vec<&str> = channels.iter().filter(|it| it.contains(&name)).collect();
            self.note(&format!("{shard} has {own:?}"), now);
        }
        set(&mut self.ears, shard, channels, now);
        if whole {
            end(&mut self.homes, shard, channels, now);
        }
        begin(&mut self.homes, shard, channels, now);
    }

    /// Channels are on their way to the shards of a recorder, as it was told: each with its shard.
    pub(super) fn told(&mut self, member: usize, passages: &[(String, String)], now: u64) {
        for shard in SHARDS[member] {
            let own = passages.iter().filter(|(_, to)| to == shard);
            set(&mut self.taking, shard, &own.map(|(channel, _)| channel).collect(), now);
        }
    }

    /// A connection has had a turn.
    pub(super) fn turned(&mut self, member: usize, link: usize, now: u64) {
        if has_any(&self.taking, SHARDS[member][link]) {
            self.lives[member].takes(link, now);
        }
    }

    /// When nobody was to record an instrument, or a channel of all options: from when it was in no
    /// goal until somebody listens to it again.
    pub(super) fn unwanted(&self, name: &str) -> Vec<Range<u64>> {
        let of = |channel: &str| channel == name || instrument(channel) == name;
        let mut spans = Vec::new();
        for (channel, absent) in self.absent.iter().filter(|(channel, _)| of(channel)) {
            let ears = self.ears.get(channel).map(Vec::as_slice).unwrap_or_default();
            spans.extend(absent.iter().map(|span| {
                let again = ears.iter().filter(|it| it.until > span.end.saturating_add(TOLD_US));
                let again = again.map(|it| it.from.max(span.end)).min();
                span.start..again.unwrap_or(u64::MAX)
            }));
        }
        spans
    }
}

/// A shard has these channels from now on, and no others.
fn set(all: &mut BTreeMap<String, Vec<Home>>, shard: &str, channels: &ChannelSet, now: u64) {
    end(all, shard, channels, now);
    begin(all, shard, channels, now);
}

/// What a shard has, and is not among these channels, it has no more.
fn end(all: &mut BTreeMap<String, Vec<Home>>, shard: &str, channels: &ChannelSet, now: u64) {
    for (_, homes) in all.iter_mut().filter(|(channel, _)| !channels.contains(channel)) {
        let here = homes.iter_mut().filter(|it| it.is_open(shard));
        here.for_each(|it| it.until = now);
    }
}

/// A shard has these channels too from now on, unless it has them already.
fn begin(all: &mut BTreeMap<String, Vec<Home>>, shard: &str, channels: &ChannelSet, now: u64) {
    for channel in channels.iter() {
        let homes = all.entry(channel.to_owned()).or_default();
        if !homes.iter().any(|it| it.is_open(shard)) {
            homes.push(Home { shard: shard.to_owned(), from: now, until: u64::MAX });
        }
    }
}

fn has_any(all: &BTreeMap<String, Vec<Home>>, shard: &str) -> bool {
    all.values().flatten().any(|it| it.is_open(shard))
}

impl Drop for Record {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.trace.iter().for_each(|line| eprintln!("{line}"));
            eprintln!("seed {}: SEED={} plays it alone", self.seed, self.seed);
        }
    }
}

/// By when a recorder that still listens has been told that it is not to, if it can be told.
const TOLD_US: u64 = 5_000_000;
