//! Days of the whole exchange: options are listed and expire, a steward keeps the plan, and what
//! happens to a recorder in that time happens to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use exchange::{MarketConfig, State};
use lifecycle::{ChannelSet, Plan, Swap};
use tapedeck::config::Config;
use tapedeck::failure::{Failure, FailureKind};
use tapedeck::recorder::steward::Question;
use tapedeck::recorder::{Catalogue, List, Unlisted};
use tapedeck_tests::random::Random;

use super::{Event, Frame, TEND_US, Venue, Weather, World};
use crate::line::network::Loss;
use crate::line::weather::Fault;

/// A question of the steward's, and the answer, if the exchange gave it as soon as it was asked.
#[derive(Debug)]
pub(super) struct Asked {
    due: u64,
    question: Question,
    answer: Option<Result<List, Unlisted>>,
}

/// From when to when nothing can be recorded, in µs, because of the exchange or of ourselves.
#[derive(Clone, Copy, Debug)]
pub(in crate::line) struct Outage {
    pub(in crate::line) from: u64,
    pub(in crate::line) until: u64,
    /// Whether the recorder is off, not the exchange away.
    off: bool,
}

/// Those of a week.
pub(in crate::line) const OUTAGES: [Outage; 2] = [
    // The exchange is away when options expire on the third day.
    Outage { from: 2 * DAY_US - 10 * MINUTE_US, until: 2 * DAY_US + 16 * MINUTE_US, off: false },
    // The recorder is off for three hours of the fifth.
    Outage { from: 4 * DAY_US + 6 * HOUR_US, until: 4 * DAY_US + 9 * HOUR_US, off: true },
];

impl World {
    /// 1,548 options for so many days, from a minute before eight o'clock on.
    pub(in crate::line) fn of_days(days: u64, seed: u64) -> Self {
        let mut random = Random(seed);
        let weather = Weather::of_days(days, &mut random);
        let market = MarketConfig { rate: 1, busy: 60, ..MarketConfig::default() };
        Self::followed((seed, random), weather, market, &OUTAGES)
    }

    /// An exchange that is away for a quarter of an hour around eight o'clock: options are listed
    /// and traded of which nobody hears before it is back.
    pub(in crate::line) fn over_eight(seed: u64) -> Self {
        let mut random = Random(seed);
        let from = 10_000_000 + random.next() % (MINUTE_US / 2);
        let until = 10 * MINUTE_US + random.next() % (7 * MINUTE_US);
        let weather = Weather::calm(until + 12 * MINUTE_US);
        let market = MarketConfig { rate: 20, busy: 200, ..MarketConfig::default() };
        Self::followed((seed, random), weather, market, &[Outage { from, until, off: false }])
    }

    /// A world with a steward.
    fn followed(
        (seed, mut random): (u64, Random),
        weather: Weather,
        market: MarketConfig,
        outages: &[Outage],
    ) -> Self {
        let market = MarketConfig { seed: random.next(), strikes: 6, ..market };
        let mut venue = Venue::new(market, &weather.rules);
        let mut config = Config::default();
        // Few rows come at a time, and each batch takes the memory of some.
        config.exchange.batch_age_max = Duration::from_secs(1);
        let currencies = config.exchange.currencies.iter();
        let lists = currencies.map(|it| venue.list(it, 0).expect("it answers")).collect();
        let catalogue = Catalogue::select(&config, &Default::default(), lists);
        let plan = Plan::first(&catalogue.expect("there are options").groups);
        let plan = plan.expect("there is room");
        let mut world = Self::of((seed, random), weather, venue, Frame::followed(config), plan);
        world.after(MINUTE_US, Event::Fault);
        let calm = world.weather.until;
        for outage in outages.iter().filter(|it| it.until < calm) {
            world.after(outage.from, Event::Fate(world.outages.len()));
            world.outages.push(*outage);
        }
        world
    }

    /// What a steward begins with. Without an answer of the exchange the program ends, and is
    /// started again.
    pub(super) fn lists(&mut self) -> Option<Vec<List>> {
        let Some(config) = &self.frame.followed else { return Some(Vec::new()) };
        if self.is_away() {
            self.after(5_000_000, Event::Start);
            return None;
        }
        let now = self.now;
        let mut list = |it: &String| self.venue.list(it, now).expect("it answers");
        Some(config.exchange.currencies.iter().map(&mut list).collect())
    }

    /// Whether the exchange does not answer questions.
    fn is_away(&self) -> bool {
        self.refused_until.max(self.black_until) > self.now
    }

    /// What the steward's threads do: its turn, and questions, whose answers may be as old as they.
    pub(super) fn tend(&mut self) {
        let (now, away) = (self.clock.now(), self.is_away());
        let Some(steward) = self.program.as_mut().and_then(|it| it.steward.as_mut()) else {
            return;
        };
        let (due, later) =
            std::mem::take(&mut self.asked).into_iter().partition(|it: &Asked| it.due <= self.now);
        self.asked = later;
        for Asked { question, answer, .. } in due {
            let answer = answer.unwrap_or_else(|| self.venue.list(&question.currency, self.now));
            steward.answered(question, answer, now);
        }
        steward.turn(now);
        while let Some(question) = steward.question(now) {
            let early = away || self.random.below(2) == 0;
            let answer = early.then(|| match away {
                true => Err(Failure::new(FailureKind::Exchange, "no answer").into()),
                false => self.venue.list(&question.currency, self.now),
            });
            let due = self.now + self.random.next() % 3_000_000;
            self.asked.push(Asked { due, question, answer });
        }
        self.replan();
        self.check_planned();
        self.after(TEND_US, Event::Tend(self.life));
    }

    /// The links may have other goals now.
    pub(super) fn replan(&mut self) {
        let steward = self.program.as_ref().and_then(|it| it.steward.as_ref());
        let swaps: Vec<(Arc<str>, Swap)> = match steward {
            Some(steward) => steward.swaps().collect(),
            None => self.handover.swaps().collect(),
        };
        let taking: BTreeSet<&str> = match steward {
            Some(_) => BTreeSet::new(),
            None => self.handover.moves().map(|moving| moving.to).collect(),
        };
        for (link, shard) in self.record.shards.iter().enumerate() {
            if taking.contains(&**shard) {
                self.record.lives.takes(link, self.now);
            }
        }
        self.generation = swaps[0].1.generation;
        let goals: Vec<ChannelSet> = swaps.into_iter().map(|(_, swap)| swap.goal).collect();
        if goals == self.goals {
            return;
        }
        self.record.goals(self.now, &self.goals, &goals);
        goals.iter().for_each(|goal| self.venue.observe(goal.iter(), self.now));
        let channels: usize = goals.iter().map(ChannelSet::len).sum();
        self.record.note(self.now, &format!("{channels} channels are in goals"));
        self.goals = goals;
    }

    /// Every instrument that has been open for a while is in exactly one goal, and what is over for
    /// a while in none.
    fn check_planned(&mut self) {
        if self.now < self.checked + MINUTE_US {
            return;
        }
        self.checked = self.now;
        let hindered = |from: &u64, until: &u64| *from <= self.now && self.now < *until + LEARNT_US;
        let started = self.record.deaths.last().map_or(0, |at| *at);
        let incidents = self.record.incidents.iter();
        let hindered =
            incidents.filter(|it| !it.causes.is_empty()).any(|it| hindered(&it.from, &it.until))
                || self.now < started + LEARNT_US;
        let mut planned: BTreeSet<&str> = BTreeSet::new();
        for goal in &self.goals {
            for channel in goal.iter() {
                assert!(planned.insert(channel), "{channel} is in two goals");
            }
        }
        if hindered {
            return;
        }
        let wall = |ms: i64| (ms * 1_000 - crate::line::START_US).max(0) as u64;
        for it in self.venue.listed() {
            let ticker = format!("ticker.{}.100ms", it.name);
            let is = planned.contains(&*ticker);
            let old = wall(it.created_ms) + LEARNT_US < self.now;
            match it.state {
                State::Open => assert!(is || !old, "{} is open and not planned", it.name),
                _ => {
                    let over = wall(it.expiry_ms) + LINGERS_US < self.now;
                    assert!(!is || !over, "{} is over and still planned", it.name);
                }
            }
        }
    }

    /// An outage that this world has in store begins.
    pub(super) fn meet(&mut self, number: usize) {
        let Outage { from, until, off } = self.outages[number];
        if off {
            if self.program.is_some() {
                self.power_off(until - from);
            }
            return;
        }
        self.black_until = until;
        self.record.incident(Fault::BlackHole, from, until, None);
        for link in 0..self.sockets.len() {
            if let Some(socket) = self.sockets[link] {
                self.network.lose(socket, Loss::ForProgram, from);
                self.record.incident(Fault::ForProgram, from, until, Some(link));
            }
        }
    }
}

const MINUTE_US: u64 = 60_000_000;
const HOUR_US: u64 = 60 * MINUTE_US;
const DAY_US: u64 = 24 * HOUR_US;
/// Within this a recorder has learnt of an option: it asks each five minutes (`lifecycle.refresh`),
/// and waits that long at most after failures.
const LEARNT_US: u64 = 11 * MINUTE_US;
/// By when after its expiry an option is let go: an hour at most after the last word about it
/// (`EXPIRED_MAX` of the universe), and a refresh.
const LINGERS_US: u64 = 90 * MINUTE_US;
