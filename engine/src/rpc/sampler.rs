//! Books sampled now and then: the best levels of each instrument, some instruments at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lifecycle::ChannelSet;

use crate::credits::{Credits, Rate};
use crate::subscriptions::Verb;

/// How a connection samples the books of its instruments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Levels, each side.
    pub depth: u8,
    /// How often an option's book is sampled; a perpetual's is once.
    pub every: Duration,
    /// Channels that the connection may have. What the goal leaves of them is room for samples.
    pub capacity: usize,
    /// Which of the connections that share an address this is, and how many they are: they take
    /// turns.
    pub turn: (u32, u32),
}

/// The samples of one connection.
///
/// The exchange sends a whole window of the book with every new subscription (PROTOCOL 3). So some
/// windows are subscribed, the first message of each is taken, and they are let go: a chunk. What
/// this asks for is in no goal and in no gap. It asks only while everything wanted is served, from
/// credits that nothing else may use, when they suffice for both requests of a chunk, and when it
/// is this connection's turn: the exchange counts the credits of an address, and many connections
/// that begin at once are asking too often.
#[derive(Debug)]
pub(super) struct Sampler {
    shard: Arc<str>,
    sampling: Sampling,
    /// What follows the instrument in the name of a window.
    suffix: String,
    credits: Credits,
    /// The time in which the credits of a chunk come back: a turn of every connection.
    period_us: u64,
    chunk_max: usize,
    /// The goal's tickers, by which its instruments are known, and its size.
    tickers: ChannelSet,
    goal: usize,
    /// Tickers of instruments that wait for their turn in this round.
    waiting: VecDeque<String>,
    /// Perpetuals that are sampled, or to be.
    perpetuals: BTreeSet<String>,
    phase: Phase,
    chunk: BTreeMap<String, Window>,
    round_at: Duration,
    round_began: Duration,
    /// Before the first turn from this moment on no chunk begins.
    not_before: Duration,
    /// Samples taken, and those that found no answer or no turn.
    pub(super) taken: u64,
    pub(super) missed: u64,
    missed_said: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// The chunk's subscription has no reply.
    Subscribing,
    /// Its messages are awaited.
    Collecting {
        until: Duration,
    },
    /// It is to be let go.
    Leaving {
        at: Duration,
    },
    /// These of it have been asked to go.
    Unsubscribing {
        asked: ChannelSet,
    },
}

/// One window of the chunk.
#[derive(Debug)]
struct Window {
    /// The instrument's ticker.
    ticker: String,
    /// Whether its first message is to come; else it was taken, or is not wanted any more.
    awaited: bool,
}

impl Sampler {
    /// Nothing to sample yet. `subscribing` is what the connection may ask for, of which the
    /// sampler's part is [`PART`].
    pub(super) fn new(shard: Arc<str>, sampling: Sampling, subscribing: Rate) -> Self {
        assert!(sampling.turn.0 < sampling.turn.1, "everybody has a turn");
        let part = subscribing.part(PART);
        let chunk = subscribing.cost.saturating_mul(2);
        let rate = Rate { pool: part.pool.max(chunk), ..part };
        Self {
            shard,
            sampling,
            suffix: format!(".none.{}.100ms", sampling.depth),
            credits: Credits::new(rate),
            period_us: chunk.saturating_mul(1_000_000).div_ceil(rate.refill),
            chunk_max: CHUNK_MAX,
            tickers: ChannelSet::default(),
            goal: 0,
            waiting: VecDeque::new(),
            perpetuals: BTreeSet::new(),
            phase: Phase::Idle,
            chunk: BTreeMap::new(),
            round_at: Duration::MAX,
            round_began: Duration::ZERO,
            not_before: Duration::ZERO,
            taken: 0,
            missed: 0,
            missed_said: 0,
        }
    }

    /// The goal is another: what is new is sampled with the round that is going on, what is gone
    /// is not.
    pub(super) fn swap(&mut self, goal: &ChannelSet) {
        let tickers: ChannelSet = goal.iter().filter(|it| it.starts_with("ticker.")).collect();
        self.waiting.retain(|ticker| tickers.contains(ticker));
        self.perpetuals.retain(|ticker| tickers.contains(ticker));
        let before = std::mem::replace(&mut self.tickers, tickers);
        self.goal = goal.len();
        if self.round_at != Duration::MAX {
            let new: Vec<String> = self.tickers.without(&before).map(str::to_owned).collect();
            self.wait(new);
        }
        for window in self.chunk.values_mut() {
            window.awaited &= self.tickers.contains(&window.ticker);
        }
    }

    /// A new connection: with the first, the first round begins.
    pub(super) fn connected(&mut self, now: Duration) {
        if self.round_at == Duration::MAX {
            self.round_at = now;
        }
    }

    /// The connection is gone, and with it the chunk: what it lacks waits again, at the front.
    pub(super) fn disconnected(&mut self) {
        self.phase = Phase::Idle;
        self.give_back();
        self.chunk.clear();
    }

    /// Whether a channel is one that only this asks for. If so, whether its message is a sample:
    /// the first since it was asked for, in time and of an instrument that is wanted.
    pub(super) fn hear(&mut self, channel: &str, now: Duration) -> Option<bool> {
        if !channel.starts_with("book.") || !channel.ends_with(&self.suffix) {
            return None;
        }
        let Some(window) = self.chunk.get_mut(channel).filter(|window| window.awaited) else {
            return Some(false);
        };
        window.awaited = false;
        self.taken += 1;
        self.leave_if_done(now);
        Some(true)
    }

    /// The next request, if there is one now. `served` gives the channels that the exchange sends,
    /// or none while it does not send all that is wanted. `marked` says whether an instrument's
    /// ticker was seen, without which a sample would lack its marks.
    pub(super) fn request<'a>(
        &mut self,
        served: impl FnOnce() -> Option<&'a ChannelSet>,
        marked: impl Fn(&str) -> bool,
        now: Duration,
    ) -> Option<(Verb, ChannelSet)> {
        match &self.phase {
            Phase::Leaving { at } if *at <= now && self.credits.take(now) => {
                let asked: ChannelSet =
                    self.chunk.keys().take(self.chunk_max).map(String::as_str).collect();
                self.phase = Phase::Unsubscribing { asked: asked.clone() };
                Some((Verb::Unsubscribe, asked))
            }
            Phase::Idle if !self.waiting.is_empty() && self.begins_at() <= now => {
                // Whether or not there is something to begin with: not again in this turn.
                self.not_before = now.saturating_add(Duration::from_micros(self.turn_us()));
                if self.has_turn(now)
                    && let Some(served) = served()
                {
                    self.choose(served, marked, now);
                }
                if self.chunk.is_empty() {
                    return None;
                }
                let paid = self.credits.take(now);
                assert!(paid, "there were credits a moment ago");
                self.phase = Phase::Subscribing;
                Some((Verb::Subscribe, self.chunk.keys().map(String::as_str).collect()))
            }
            Phase::Idle
            | Phase::Subscribing
            | Phase::Collecting { .. }
            | Phase::Leaving { .. }
            | Phase::Unsubscribing { .. } => None,
        }
    }

    /// The request is answered. What it does not list is not subscribed.
    pub(super) fn answered<'a>(&mut self, listed: impl Iterator<Item = &'a str>, now: Duration) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Subscribing => {
                let listed: BTreeSet<&str> = listed.collect();
                let passed_over = |name: &String, window: &mut Window| {
                    window.awaited && !listed.contains(&**name)
                };
                for (_, window) in self.chunk.extract_if(.., passed_over) {
                    self.missed += 1;
                    self.perpetuals.remove(&window.ticker);
                }
                self.phase = Phase::Collecting { until: now.saturating_add(COLLECT_MAX) };
                self.leave_if_done(now);
            }
            Phase::Unsubscribing { asked } => {
                self.chunk.retain(|window, _| !asked.contains(window));
                if !self.chunk.is_empty() {
                    self.phase = Phase::Leaving { at: now };
                }
            }
            other @ (Phase::Idle | Phase::Collecting { .. } | Phase::Leaving { .. }) => {
                self.phase = other;
            }
        }
    }

    /// The request found no reply, or none that helps: whatever was subscribed is let go.
    pub(super) fn failed(&mut self, now: Duration) {
        match self.phase {
            Phase::Subscribing => {
                self.give_up();
                self.phase = Phase::Leaving { at: now };
            }
            Phase::Unsubscribing { .. } => {
                self.phase = Phase::Leaving { at: now.saturating_add(RETRY) };
            }
            Phase::Idle | Phase::Collecting { .. } | Phase::Leaving { .. } => {}
        }
    }

    /// The request was too large: chunks are half as large from now on.
    pub(super) fn too_large(&mut self, now: Duration) {
        let asked = match &self.phase {
            Phase::Unsubscribing { asked } => asked.len(),
            Phase::Idle | Phase::Subscribing | Phase::Collecting { .. } | Phase::Leaving { .. } => {
                self.give_back();
                self.chunk.len()
            }
        };
        self.chunk_max = self.chunk_max.min(asked.div_ceil(2)).max(1);
        self.failed(now);
    }

    /// The exchange says that this address asks too often: no sample for a whole interval, whoever
    /// it was that asked.
    pub(super) fn throttled(&mut self, now: Duration) {
        self.not_before = now.saturating_add(self.sampling.every);
    }

    /// Lets time pass: a round may begin, and patience may end.
    pub(super) fn tick(&mut self, now: Duration) {
        if let Phase::Collecting { until } = self.phase
            && until <= now
        {
            self.give_up();
            self.leave_if_done(now);
        }
        if self.round_at <= now {
            self.begin_round(now);
        }
    }

    /// When [`tick`](Self::tick) or [`request`](Self::request) has something to do.
    pub(super) fn deadline(&self) -> Duration {
        let phase = match &self.phase {
            Phase::Idle if !self.waiting.is_empty() => self.begins_at(),
            Phase::Collecting { until } => *until,
            Phase::Leaving { at } => self.credits.ready_at().max(*at),
            Phase::Idle | Phase::Subscribing | Phase::Unsubscribing { .. } => Duration::MAX,
        };
        phase.min(self.round_at)
    }

    /// The first moment of a turn that is not too early.
    fn begins_at(&self) -> Duration {
        let earliest = self.credits.ready_for(2).max(self.not_before);
        if self.has_turn(earliest) {
            return earliest;
        }
        let left = self.period_us.saturating_sub(self.since_turn(earliest));
        earliest.saturating_add(Duration::from_micros(left))
    }

    /// Whether a turn began less than its length ago. One that passed is not made up for.
    fn has_turn(&self, at: Duration) -> bool {
        self.since_turn(at) < self.turn_us()
    }

    fn turn_us(&self) -> u64 {
        self.period_us / u64::from(self.sampling.turn.1)
    }

    /// Microseconds since this connection's turn last began. All connections have one clock.
    fn since_turn(&self, at: Duration) -> u64 {
        let (turn, of) = self.sampling.turn;
        let begins = self.period_us.saturating_mul(turn.into()) / u64::from(of);
        let at = u64::try_from(at.as_micros()).unwrap_or(u64::MAX / 2);
        (at + self.period_us - begins) % self.period_us
    }

    /// Everything waits again; what still waits from the round before comes first.
    fn begin_round(&mut self, now: Duration) {
        self.missed += self.waiting.len() as u64;
        if self.missed > self.missed_said {
            let missed = self.missed - self.missed_said;
            tracing::warn!(shard = &*self.shard, "{missed} samples of books were missed");
            self.missed_said = self.missed;
        }
        self.wait(self.tickers.iter().map(str::to_owned).collect());
        self.round_began = now;
        self.round_at = now.saturating_add(self.sampling.every);
    }

    /// Puts instruments at the end, but for those that wait already or are sampled once for all.
    fn wait(&mut self, tickers: Vec<String>) {
        let wait: BTreeSet<String> = self.waiting.iter().cloned().collect();
        for ticker in tickers {
            let once = instrument(&ticker).is_some_and(|name| name.ends_with("-PERPETUAL"));
            let taken = once && !self.perpetuals.insert(ticker.clone());
            if !taken && !wait.contains(&ticker) {
                self.waiting.push_back(ticker);
            }
        }
    }

    /// Makes a chunk of as many as there is room for out of those that wait. One whose ticker is
    /// refused is named already.
    fn choose(&mut self, served: &ChannelSet, marked: impl Fn(&str) -> bool, now: Duration) {
        let room = self.sampling.capacity.saturating_sub(self.goal).max(ROOM_MIN);
        let room = room.min(self.chunk_max);
        let patient = now < self.round_began.saturating_add(MARK_WAIT);
        for ticker in std::mem::take(&mut self.waiting) {
            let Some(name) = instrument(&ticker).filter(|_| served.contains(&ticker)) else {
                self.perpetuals.remove(&ticker);
                continue;
            };
            if self.chunk.len() >= room || patient && !marked(name) {
                self.waiting.push_back(ticker);
            } else {
                let window = format!("book.{name}{}", self.suffix);
                self.chunk.insert(window, Window { ticker, awaited: true });
            }
        }
    }

    fn leave_if_done(&mut self, now: Duration) {
        let done = self.chunk.values().all(|window| !window.awaited);
        if done && matches!(self.phase, Phase::Collecting { .. }) {
            self.phase = match self.chunk.is_empty() {
                true => Phase::Idle,
                false => Phase::Leaving { at: now },
            };
        }
    }

    /// What is awaited is not waited for any longer: it is tried again in the next round.
    fn give_up(&mut self) {
        for window in self.chunk.values_mut().filter(|window| window.awaited) {
            window.awaited = false;
            self.missed += 1;
            self.perpetuals.remove(&window.ticker);
        }
    }

    /// What is awaited waits for another chunk.
    fn give_back(&mut self) {
        for window in self.chunk.values_mut().rev().filter(|window| window.awaited) {
            window.awaited = false;
            self.waiting.push_front(window.ticker.clone());
        }
    }
}

/// `X` of `ticker.X.100ms`.
fn instrument(ticker: &str) -> Option<&str> {
    ticker.split('.').nth(1)
}

/// The sampler's part of what a connection may ask for; the rest is left to everything else.
pub(super) const PART: (u64, u64) = (1, 4);
/// Windows subscribed at a time.
const CHUNK_MAX: usize = 100;
/// Room for samples on a connection whose goal leaves none: it has that many channels too many for
/// a moment.
const ROOM_MIN: usize = 10;
/// How long the first messages of a chunk may take: 131 took 0.6 s (PROTOCOL 3).
const COLLECT_MAX: Duration = Duration::from_secs(5);
/// How long a sample waits for its instrument's ticker before it is taken without its marks.
const MARK_WAIT: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
