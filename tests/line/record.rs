//! What happened in a world, for the judge; and a trace of it, printed when something is wrong.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use lifecycle::ChannelSet;

use super::lives::Lives;
use super::network::Heard;
use super::venue::Mischief;
use super::weather::{Fault, Incident, Ordered, Weather, follows};

/// Notes of one world.
#[derive(Debug)]
pub(super) struct Record {
    seed: u64,
    /// The shards' names, by link.
    pub(super) shards: Vec<Arc<str>>,
    /// By channel: which links may listen to it, and when.
    pub(super) homes: BTreeMap<String, Vec<Home>>,
    pub(super) readers: u16,
    pub(super) incidents: Vec<Incident>,
    /// Since when the wall clock was wrong by how much, µs.
    pub(super) wall: Vec<(u64, i64)>,
    /// By channel: from when to when everything on it is owed.
    pub(super) owed: BTreeMap<String, Vec<(u64, u64)>>,
    /// Spans in which the wall clock was set back and nothing about it has survived: nobody can say
    /// when they were.
    pub(super) blind: Vec<(u64, u64)>,
    /// When the program was gone, however it went.
    pub(super) deaths: Vec<u64>,
    /// When the program last made something durable.
    pub(super) synced_at: u64,
    pub(super) ended_at: u64,
    pub(super) lives: Lives,
    pub(super) delivered: Vec<Delivered>,
    /// What happened how often, by name.
    pub(super) seen: BTreeMap<String, u64>,
    trace: Vec<String>,
    now: u64,
}

/// A link may listen to a channel from the one moment to the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    pub(super) link: usize,
    pub(super) from: u64,
    pub(super) until: u64,
}

/// Frames that the program was given whole.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) at: u64,
    pub(super) link: usize,
    /// Where they are among all that were sent to the program.
    pub(super) sent: Range<usize>,
}

impl Record {
    pub(super) fn new(
        seed: u64,
        shards: Vec<Arc<str>>,
        goals: &[ChannelSet],
        readers: u16,
        weather: &Weather,
    ) -> Self {
        let mut record = Self {
            seed,
            lives: Lives::new(shards.len()),
            delivered: Vec::new(),
            shards,
            homes: BTreeMap::new(),
            readers,
            incidents: Vec::new(),
            wall: vec![(0, 0)],
            owed: BTreeMap::new(),
            blind: Vec::new(),
            deaths: Vec::new(),
            synced_at: 0,
            ended_at: 0,
            seen: BTreeMap::new(),
            trace: vec![format!("{weather:?}")],
            now: 0,
        };
        let nothing = vec![ChannelSet::default(); goals.len()];
        record.goals(0, &nothing, goals);
        for it in &weather.ordered {
            if let Some(causes) = it.causes() {
                record.saw(&it.name());
                let (from, until) = (it.from, it.until);
                record.incidents.push(Incident { causes, ends: false, from, until, link: None });
            }
        }
        record
    }

    /// Counts something that happened.
    pub(super) fn saw(&mut self, what: &str) {
        *self.seen.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn note(&mut self, now: u64, what: &str) {
        self.now = now;
        self.trace.push(format!("{:>11.6} {what}", now as f64 / 1e6));
    }

    pub(super) fn incident(&mut self, fault: Fault, from: u64, until: u64, link: Option<usize>) {
        let (causes, ends) = (fault.causes(), fault.ends());
        let incident = Incident { causes, ends, from, until, link };
        self.note(from, &format!("{fault:?} {link:?} until {:.6}", until as f64 / 1e6));
        self.incidents.push(incident);
    }

    /// The queue is so small that what a subscription brings may overflow it.
    pub(super) fn tight(&mut self) {
        let causes = &["overload_depth", "overload_quotes", "overload_all"];
        let (from, until) = (0, u64::MAX / 4);
        self.incidents.push(Incident { causes, ends: false, from, until, link: None });
    }

    /// The exchange has done something wrong.
    pub(super) fn mischief(&mut self, mischief: &Mischief, by: &Ordered, link: Option<usize>) {
        let Mischief { at, fault, about, text, .. } = mischief;
        let (causes, ends) = follows(by, fault, about, text);
        if !causes.is_empty() {
            self.note(*at, &format!("the exchange: {fault} {about} {link:?}"));
            let until = *at + by.lasts();
            self.incidents.push(Incident { causes, ends, from: *at, until, link });
        }
    }

    /// The program has ended itself: that must have a reason, and a sentence that says it.
    pub(super) fn failed(&mut self, now: u64, sentence: &str) {
        self.note(now, &format!("ends: {sentence}"));
        assert!(self.incidents.iter().any(|it| it.ends), "it ends for no reason: {sentence}");
    }

    /// The program is up again; whether its journal knew what had been recorded.
    pub(super) fn started(&mut self, now: u64, words: &str, resumed: bool) {
        self.note(now, words);
        // What the journal knows is older than the last sync by less than this; and a connection
        // that had fallen silent, which nobody noticed before the end, is not in it at all.
        let died = self.deaths.last().copied().unwrap_or(0);
        let since = self.synced_at.min(died.saturating_sub(NOTICED_US)).saturating_sub(BLIND_US);
        let back = |pair: &[(u64, i64)]| pair[1].1 < pair[0].1 && pair[1].0 >= since;
        if self.wall.windows(2).any(back) {
            self.blind.push((since, now + BLIND_US));
        }
        let first = self.owed.values().flatten().map(|(from, _)| *from).min();
        if let Some(first) = first.filter(|_| !resumed) {
            // The tape begins anew: nothing had reached the disk yet.
            let young = self.incidents.iter().any(|it| it.from < first + YOUNG_US);
            assert!(young, "a tape that is not young was forgotten");
            self.owed.clear();
            self.lives.forget(now);
        }
    }

    /// The program was given everything up to there.
    pub(super) fn heard(&mut self, now: u64, link: usize, heard: Heard) {
        let Heard { message, ticker, sent } = heard;
        self.lives.given(link, now);
        if message {
            self.lives.heard(link, ticker, now);
        }
        if !sent.is_empty() {
            self.delivered.push(Delivered { at: now, link, sent });
        }
    }

    pub(super) fn acknowledged<'a>(&mut self, now: u64, channels: impl Iterator<Item = &'a str>) {
        for channel in channels {
            let spans = self.owed.entry(channel.to_owned()).or_default();
            if spans.last().is_none_or(|(_, until)| *until != u64::MAX) {
                spans.push((now, u64::MAX));
            }
        }
    }

    /// The links have other goals. A channel that is in none any more is owed no longer; one that
    /// goes to another link is in two for a while.
    pub(super) fn goals(&mut self, now: u64, old: &[ChannelSet], new: &[ChannelSet]) {
        for (link, goal) in new.iter().enumerate() {
            for channel in goal.without(&old[link]) {
                let homes = self.homes.entry(channel.to_owned()).or_default();
                let elsewhere = |it: &&mut Home| !new[it.link].contains(channel);
                homes.iter_mut().filter(elsewhere).for_each(|it| it.until = now.min(it.until));
                if !homes.iter().any(|it| it.link == link && it.until == u64::MAX) {
                    homes.push(Home { link, from: now, until: u64::MAX });
                }
            }
        }
        for (link, goal) in old.iter().enumerate() {
            for channel in goal.without(&new[link]) {
                if new.iter().any(|goal| goal.contains(channel)) {
                    let homes = self.homes.entry(channel.to_owned()).or_default();
                    let here = homes.iter_mut().filter(|it| it.link == link);
                    here.for_each(|it| it.until = now.min(it.until));
                } else {
                    for (_, until) in self.owed.get_mut(channel).into_iter().flatten() {
                        *until = now.min(*until);
                    }
                }
            }
        }
    }

    /// The links that may have listened to a channel then, or so long before or after.
    pub(super) fn links(&self, channel: &str, at: u64, within: u64) -> Vec<usize> {
        let near = self.homes[channel]
            .iter()
            .filter(|home| home.from <= at + within && at <= home.until.saturating_add(within));
        near.map(|home| home.link).collect()
    }

    pub(super) fn wall_set(&mut self, now: u64, by: i64) {
        let (_, before) = self.wall[self.wall.len() - 1];
        self.note(now, &format!("the wall clock is set by {:.6}", by as f64 / 1e6));
        self.wall.push((now, before + by));
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in &self.trace {
                eprintln!("{line}");
            }
            let (seed, now) = (self.seed, self.now as f64 / 1e6);
            eprintln!("seed {seed}, {now:.6} s: SEED={seed} tests/run line plays it alone");
        }
    }
}

/// How far around such a span nobody knows when things were.
const BLIND_US: u64 = 6_000_000;
/// What a power cut may take of a tape's very beginning.
const YOUNG_US: u64 = 8_000_000;
/// A connection that has fallen silent is noticed within this.
const NOTICED_US: u64 = 26_000_000;
