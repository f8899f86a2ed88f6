//! What the control API knows: numbers that other threads write, and pictures that they replace.

use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use schema::Micros;

use super::health::{self, Facts, Health, Watch};
use super::limits::Limits;
use super::orders::Orders;
use super::overview::Published;
use super::token::Guard;
use crate::clock::Clock;
use crate::fleet::Deputy;
use crate::keeper::Kept;
use crate::metrics::{Counter, Line};
use crate::queue::Inlet;
use crate::reader::Board;
use crate::stop::Stop;
use crate::sync::lock;
use crate::worker::Progress;

/// What it is made of.
#[derive(Debug)]
pub struct Sources {
    /// The time.
    pub clock: Clock,
    /// The shards in their order.
    pub shards: Vec<Shard>,
    /// What the journal has kept.
    pub kept: Arc<Kept>,
    /// How often it is synced.
    pub sync_interval: Duration,
    /// The sinks, by name.
    pub sinks: Vec<(String, Arc<Progress>)>,
    /// The way to the journal, for how full it is.
    pub inlet: Inlet,
    /// Raised when something has failed for good.
    pub trouble: Stop,
    /// What is recorded.
    pub published: Published,
    /// Where wishes go; none where the channels were given by hand.
    pub orders: Option<Orders>,
    /// Does what a lifecycle says, where one manages this recorder.
    pub deputy: Option<Arc<Mutex<Deputy>>>,
}

/// A shard, as it is watched.
#[derive(Debug)]
pub struct Shard {
    /// The currency whose options it records; none for everything else.
    pub currency: Option<String>,
    /// Its numbers.
    pub line: Arc<Line>,
    /// What the exchange has acknowledged.
    pub board: Board,
}

/// The shared state of every answer.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) sources: Sources,
    pub(super) started: Micros,
    pub(super) guard: Guard,
    pub(super) requests: Requests,
    /// Those who listen to events.
    pub(super) listeners: AtomicUsize,
    limits: Mutex<Limits>,
    watch: Mutex<Watch>,
    health: Mutex<Arc<Health>>,
}

/// What was asked of us, and how it ended.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Requests let in.
    pub(super) admitted: Counter,
    /// Requests that were more than the address may make.
    pub(super) throttled: Counter,
    /// Connections that were one too many.
    pub(super) turned_away: Counter,
}

impl Hub {
    pub(super) fn new(sources: Sources, guard: Guard, per_second: u32) -> Self {
        let hub = Self {
            started: sources.clock.now().utc,
            sources,
            guard,
            requests: Requests::default(),
            listeners: AtomicUsize::default(),
            limits: Mutex::new(Limits::new(per_second)),
            watch: Mutex::default(),
            health: Mutex::default(),
        };
        hub.look();
        hub
    }

    /// Judges anew whether all is well.
    pub(super) fn look(&self) {
        let health = lock(&self.watch).look(&self.facts(), self.sources.clock.now());
        *lock(&self.health) = Arc::new(health);
    }

    /// Whether all is well, as it was judged last.
    pub(super) fn health(&self) -> Arc<Health> {
        Arc::clone(&lock(&self.health))
    }

    /// The shards' names.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        self.sources.shards.iter().map(|shard| Arc::clone(&shard.line.shard)).collect()
    }

    /// Up to when everything received is durable.
    pub(super) fn through(&self) -> Option<Micros> {
        let through = i64::try_from(self.sources.kept.through_us.get()).ok();
        through.filter(|us| *us > 0).map(Micros)
    }

    /// Whether the address may make a request now.
    pub(super) fn admit(&self, address: IpAddr) -> bool {
        let admitted = lock(&self.limits).admit(address, self.sources.clock.now().monotonic);
        match admitted {
            true => self.requests.admitted.add(1),
            false => self.requests.throttled.add(1),
        }
        admitted
    }

    /// Whether the address may have one connection more.
    pub(super) fn enter(&self, address: IpAddr) -> bool {
        let room = lock(&self.limits).enter(address, self.sources.clock.now().monotonic);
        if !room {
            self.requests.turned_away.add(1);
        }
        room
    }

    /// A connection of the address has ended.
    pub(super) fn leave(&self, address: IpAddr) {
        lock(&self.limits).leave(address);
    }

    fn facts(&self) -> Facts {
        let Sources { shards, kept, sinks, inlet, trouble, sync_interval, .. } = &self.sources;
        let sink = |(name, progress): &(String, Arc<Progress>)| health::Sink {
            name: name.clone(),
            accepted: progress.accepted.get(),
        };
        Facts {
            shards: shards.iter().map(Shard::facts).collect(),
            through: self.through(),
            sync_interval: *sync_interval,
            durable: kept.durable.get(),
            queue_pct: inlet.usage_pct(),
            sinks: sinks.iter().map(sink).collect(),
            troubled: trouble.raised(),
        }
    }
}

impl Shard {
    fn facts(&self) -> health::Shard {
        let Line { goal, acknowledged, refused, .. } = &*self.line;
        health::Shard {
            state: self.line.state(),
            goal: goal.get(),
            acknowledged: acknowledged.get(),
            refused: refused.get(),
            last_message: self.line.last_message(),
            trouble: self.line.trouble(),
        }
    }
}
