//! JSON-RPC as Deribit speaks it: one connection's conversation, from login to heartbeat.
//!
//! | file | what |
//! |---|---|
//! | `envelope.rs` | one message taken apart |
//! | `request.rs` | what we say, and what has no reply yet |
//! | `reply.rs` | what replies and errors mean |
//! | `login.rs` | credentials and tokens |
//! | `watchdog.rs` | silence |
//! | `refusals.rs` | the gaps of refused channels |
//! | `chains.rs` | books that lost a change |
//! | `sampler.rs` | books sampled now and then |
//! | `mender.rs` | missing trades asked for again |
//! | `crossing.rs` | channels that go to another connection |
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod chains;
mod crossing;
mod envelope;
mod login;
mod mender;
mod refusals;
mod reply;
mod request;
mod sampler;
mod settings;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod watchdog;

use std::time::Duration;

use lifecycle::{ChannelSet, Swap};
use schema::tables::Rows;
use schema::{Micros, Now};
use sonic_rs::LazyValue;

use crate::session::{Cause, Counters, Decode, Outage, Session, SessionError};
use crate::subscriptions::{Request, Subscriptions};
use chains::Chains;
use crossing::Crossing;
use envelope::Message;
pub use login::Credentials;
use login::Login;
use mender::Mender;
use refusals::Refusals;
use request::{Pending, Purpose};
use sampler::Sampler;
pub use sampler::Sampling;
pub use settings::{Allowance, Settings};
use watchdog::Watchdog;

/// A shard's conversation with Deribit.
///
/// After the handshake it says hello, logs in if it has credentials, asks for heartbeats and then
/// subscribes; login is awaited, because raw channels without it fail a whole call (PROTOCOL 3).
#[derive(Debug)]
pub struct Connection<D: Decode> {
    settings: Settings,
    decoder: D,
    login: Option<Login>,
    subscriptions: Subscriptions,
    pending: Pending,
    owed: Owed,
    phase: Phase,
    watchdog: Watchdog,
    outage: Outage,
    refusals: Refusals,
    chains: Chains,
    sampler: Option<Sampler>,
    mender: Mender,
    crossing: Option<Crossing<D::Estate>>,
    connected_at: Micros,
    counters: Counters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Down,
    LoggingIn,
    Open,
}

/// What is to be sent besides subscriptions.
#[derive(Debug, Default)]
struct Owed {
    /// Answers to test requests, and probes.
    tests: u32,
    hello: bool,
    login: bool,
    heartbeat: bool,
}

impl Owed {
    fn any(&self) -> bool {
        self.tests > 0 || self.hello || self.login || self.heartbeat
    }
}

impl<D: Decode> Connection<D> {
    /// Not connected, nothing wanted.
    #[must_use]
    pub fn new(settings: Settings, decoder: D) -> Self {
        let shard = || settings.shard.clone();
        Self {
            login: settings.credentials.clone().map(Login::new),
            subscriptions: Subscriptions::new(settings.limits),
            pending: Pending::default(),
            owed: Owed::default(),
            phase: Phase::Down,
            watchdog: Watchdog::new(settings.idle_max, settings.silent_data_max),
            outage: Outage::new(shard()),
            refusals: Refusals::new(shard()),
            chains: Chains::new(shard()),
            sampler: None,
            mender: Mender::new(settings.allowance.mending.clone()),
            crossing: None,
            connected_at: Micros::default(),
            counters: Counters::default(),
            settings,
            decoder,
        }
    }

    /// Also samples the books of the tickers' instruments, from the part of the credits that the
    /// allowance leaves for that. To be said before the first swap.
    pub fn sample(&mut self, sampling: Sampling) {
        let rate = settings::SUBSCRIBING.part((1, sampling.turn.1.into()));
        self.sampler = Some(Sampler::new(self.settings.shard.clone(), sampling, rate));
    }

    /// What decodes.
    pub fn decoder(&self) -> &D {
        &self.decoder
    }

    /// What decodes.
    pub fn decoder_mut(&mut self) -> &mut D {
        &mut self.decoder
    }

    /// Up to when everything was received. What the exchange had sent and we had not read is
    /// older than the last message that we read, by what was under way.
    fn received_until(&self) -> Micros {
        self.settings.before_under_way(self.watchdog.received_until())
    }

    /// Logged in, or there is no need to be.
    fn open(&mut self) {
        if self.phase != Phase::Open {
            self.phase = Phase::Open;
            self.owed.heartbeat = true;
        }
    }

    /// Follows what the subscriptions have become: gaps end, refusals begin.
    fn settle(&mut self, now: Now, rows: &mut Rows) {
        let idle = self.subscriptions.wants_nothing();
        if self.phase == Phase::Down && !idle || !self.subscriptions.take_touched() {
            return;
        }
        let tickers = self.subscriptions.acknowledged().iter().any(is_ticker);
        self.watchdog.expect_tickers(tickers, now);
        self.follow_refusals(now, rows);
        self.chains.retain(|channel| self.subscriptions.wants(channel), now, rows);
        if self.phase == Phase::Open
            && self.subscriptions.is_complete()
            && let Some(since) = self.outage.close(now, rows)
        {
            self.ask_for_missed(since, now);
        }
    }

    fn transmit_sample(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        let Some(sampler) = self.sampler.as_mut().filter(|_| self.phase == Phase::Open) else {
            return false;
        };
        let (subscriptions, outage) = (&self.subscriptions, &self.outage);
        // Samples have time until everything that is wanted is served.
        let rests = || subscriptions.is_complete() && subscriptions.in_flight() == 0;
        let served = || (!outage.is_open() && rests()).then(|| subscriptions.acknowledged());
        let marked = |instrument: &str| self.decoder.has_marks(instrument);
        let Some((verb, channels)) = sampler.request(served, marked, now) else { return false };
        let purpose = Purpose::Sample { channels: channels.len() };
        request::channels(out, self.pending.begin(purpose, now), verb, &channels);
        true
    }

    fn malformed(&mut self, channel: &str, reason: &str, raw: &[u8], now: Now, rows: &mut Rows) {
        self.counters.malformed += 1;
        // The reply to a login carries tokens, even if it is not understood.
        let raw = if self.pending.has_login() { b"(withheld during login)" } else { raw };
        self.decoder.quarantine(channel, reason, raw, now, rows);
    }

    /// Writes the first of what is owed.
    fn transmit_owed(&mut self, now: Duration, out: &mut Vec<u8>) {
        let owed = &mut self.owed;
        if owed.tests > 0 {
            owed.tests -= 1;
            request::call(out, self.pending.begin(Purpose::Test, now), "public/test", |_| {});
        } else if std::mem::take(&mut owed.hello) {
            let id = self.pending.begin(Purpose::Hello, now);
            let version = ("client_version", env!("CARGO_PKG_VERSION"));
            let members = [("client_name", &*self.settings.client_name), version];
            request::call(out, id, "public/hello", |out| request::texts(out, &members));
        } else if std::mem::take(&mut owed.login) {
            let id = self.pending.begin(Purpose::Login, now);
            if let Some(login) = &self.login {
                login.write(out, id);
            }
        } else if std::mem::take(&mut owed.heartbeat) {
            let id = self.pending.begin(Purpose::Heartbeat, now);
            let seconds = self.settings.heartbeat.as_secs().max(HEARTBEAT_MIN_S);
            let interval = format!("\"interval\":{seconds}");
            request::call(out, id, "public/set_heartbeat", |out| {
                out.extend_from_slice(interval.as_bytes());
            });
        }
    }

    fn transmit_channels(&mut self, now: Duration, out: &mut Vec<u8>) -> bool {
        if self.phase != Phase::Open || self.subscriptions.due() > now {
            return false;
        }
        let mut credits = self.settings.allowance.subscribing.lock();
        if credits.ready_at() > now {
            return false;
        }
        let Some(Request { ticket, verb, channels }) = self.subscriptions.request(now) else {
            return false;
        };
        let paid = credits.take(now);
        drop(credits);
        assert!(paid, "there were credits a moment ago");
        let purpose = Purpose::Channels { ticket, channels: channels.len() };
        request::channels(out, self.pending.begin(purpose, now), verb, &channels);
        true
    }
}

impl<D: Decode> Session for Connection<D> {
    fn connected(&mut self, now: Now) {
        assert!(self.phase == Phase::Down, "one socket at a time");
        self.phase = Phase::LoggingIn;
        self.owed = Owed { hello: !self.settings.client_name.is_empty(), ..Owed::default() };
        self.watchdog.connected(now);
        self.connected_at = now.utc;
        self.outage.seen(now);
        self.connect_crossings();
        if let Some(sampler) = &mut self.sampler {
            sampler.connected(now.monotonic);
        }
        match &mut self.login {
            Some(login) => {
                login.reset();
                self.owed.login = true;
            }
            None => self.open(),
        }
        self.subscriptions.touch();
    }

    fn receive(
        &mut self,
        message: &mut [u8],
        now: Now,
        rows: &mut Rows,
    ) -> Result<(), SessionError> {
        self.counters.messages += 1;
        self.watchdog.frame(now);
        match Message::parse(message) {
            Ok(Message::Notification { channel, data }) => {
                self.counters.notifications += 1;
                self.watchdog.data(is_ticker(&channel), now);
                let data = data.as_raw_str();
                let sampler = self.sampler.as_mut();
                if let Some(first) = sampler.and_then(|it| it.hear(&channel, now.monotonic)) {
                    if first {
                        self.decoder.sample(&channel, data, now, rows);
                    }
                    return Ok(());
                }
                if self.keeps(&channel, data, now) {
                    return Ok(());
                }
                let chain = self.decoder.decode(&channel, data, now, rows);
                self.link(&channel, chain, now, rows);
                return Ok(());
            }
            Ok(Message::Heartbeat) => return Ok(()),
            Ok(Message::TestRequest) => {
                self.counters.test_requests += 1;
                self.owed.tests = self.owed.tests.saturating_add(1);
                return Ok(());
            }
            Ok(Message::Reply { id, result }) => {
                self.reply(id, result.as_ref().map(LazyValue::as_raw_str), now, rows)?;
            }
            Ok(Message::Failure { id, failure }) => self.failure(id, &failure, now, rows)?,
            Err(malformed) => {
                self.malformed(&malformed.channel, malformed.reason, message, now, rows);
            }
        }
        self.settle(now, rows);
        Ok(())
    }

    fn swap(&mut self, swap: Swap) {
        if let Some(sampler) = &mut self.sampler {
            sampler.swap(&swap.goal);
        }
        self.expect_crossings(&swap.goal);
        self.subscriptions.swap(swap);
    }

    fn transmit(&mut self, now: Now, out: &mut Vec<u8>) -> bool {
        let now = now.monotonic;
        if self.phase == Phase::Down {
            return false;
        }
        let sent = if self.owed.any() {
            let paid = self.settings.allowance.asking.take(now);
            if paid {
                self.transmit_owed(now, out);
            }
            paid
        } else {
            false
        };
        let sent = sent
            || self.transmit_channels(now, out)
            || self.transmit_question(now, out)
            || self.transmit_sample(now, out);
        self.counters.requests += u64::from(sent);
        sent
    }

    fn deadline(&self) -> Duration {
        if self.phase == Phase::Down {
            return Duration::MAX;
        }
        if self.subscriptions.is_touched() {
            return Duration::ZERO;
        }
        let mut deadline = self.pending.deadline().min(self.watchdog.deadline());
        if let Some(login) = &self.login {
            deadline = deadline.min(login.renew_at());
        }
        deadline = deadline.min(self.decoder.deadline()).min(self.chains.deadline());
        if self.owed.any() {
            deadline = deadline.min(self.settings.allowance.asking.ready_at());
        }
        if self.phase == Phase::Open {
            // The credits are everybody's: looked at only by who is about to spend some.
            let due = self.subscriptions.due();
            if due < deadline {
                deadline = deadline.min(due.max(self.settings.allowance.subscribing.ready_at()));
            }
            deadline = deadline.min(self.sampler.as_ref().map_or(Duration::MAX, Sampler::deadline));
            deadline = deadline.min(self.question_at());
        }
        deadline
    }

    fn tick(&mut self, now: Now, rows: &mut Rows) -> Result<(), SessionError> {
        self.outage.follow(now, rows);
        self.follow_crossings(now, rows);
        // Whatever it had is with others, or nobody wants it: nothing is missed any more.
        if self.subscriptions.wants_nothing()
            && let Some(since) = self.outage.close(now, rows)
        {
            self.ask_for_missed(since, now);
        }
        if self.phase == Phase::Down {
            self.settle(now, rows);
            return Ok(());
        }
        while let Some(purpose) = self.pending.expired(now.monotonic) {
            self.counters.unanswered += 1;
            self.lost(purpose, now)?;
        }
        if let Some(login) = &mut self.login
            && login.renew_at() <= now.monotonic
        {
            login.renewing();
            self.owed.login = true;
        }
        if self.decoder.deadline() <= now.monotonic {
            self.decoder.settle(false, now, rows);
        }
        if self.chains.deadline() <= now.monotonic {
            self.chains.retain(|channel| self.subscriptions.wants(channel), now, rows);
            while let Some(channel) = self.chains.renewal(now.monotonic) {
                self.counters.books_renewed += 1;
                self.subscriptions.renew(&channel);
            }
        }
        if let Some(sampler) = &mut self.sampler {
            sampler.tick(now.monotonic);
            self.counters.samples = sampler.taken;
            self.counters.samples_missed = sampler.missed;
        }
        self.owed.tests += u32::from(self.watchdog.check(now)?);
        self.settle(now, rows);
        Ok(())
    }

    fn disconnected(&mut self, cause: Cause, now: Now) {
        if !self.subscriptions.acknowledged().is_empty() {
            self.outage.open(self.received_until(), cause);
            self.outage.seen(self.watchdog.heard_until());
        } else {
            self.outage.failed();
        }
        self.outage.seen(now);
        self.phase = Phase::Down;
        self.owed = Owed::default();
        self.pending.clear();
        self.subscriptions.reconnect();
        if let Some(sampler) = &mut self.sampler {
            sampler.disconnected();
        }
        self.question_lost(now.monotonic);
    }

    fn outage(&mut self, since: Micros, until: Micros, cause: Cause) {
        self.outage.open(since, cause);
        self.outage.lasted(until);
        self.subscriptions.touch();
    }

    fn unasked(&mut self, since: Micros) {
        self.mender.owe(since);
    }

    fn finish(&mut self, now: Now, rows: &mut Rows) {
        self.follow_crossings(now, rows);
        self.decoder.settle(true, now, rows);
        self.outage.abandon(now, rows);
        // The next process opens a gap of its own from here on, and asks for these again.
        let _ = self.refusals.update(std::iter::empty(), now, rows);
        self.chains.retain(|_| false, now, rows);
    }

    fn acknowledged(&self) -> &ChannelSet {
        self.subscriptions.acknowledged()
    }

    fn alive_until(&self, now: Now) -> Option<Micros> {
        let receiving = !self.subscriptions.acknowledged().is_empty();
        let alive = self.outage.since().or_else(|| receiving.then(|| self.received_until()));
        // Everything has gone to other shards, or was let go: nothing is missed, but for what is
        // refused, which has gaps of its own.
        let used = self.subscriptions.changes() > 0 || self.outage.has_been();
        let idle = used && self.subscriptions.is_refused();
        let alive = alive.or_else(|| idle.then(|| self.settings.before_under_way(now.utc)))?;
        Some(self.held_since().map_or(alive, |held| held.min(alive)))
    }

    fn unasked_since(&self) -> Option<Micros> {
        self.trades_unasked_since()
    }

    fn changes(&self) -> u64 {
        self.subscriptions.changes()
    }

    fn reached(&self) -> Option<u64> {
        self.subscriptions.reached()
    }

    fn refused(&self) -> impl Iterator<Item = &str> {
        self.subscriptions.refused()
    }

    fn last_data(&self) -> Option<Now> {
        self.watchdog.last_data()
    }

    fn flowed(&self) -> Duration {
        self.watchdog.flowed()
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Tickers come at least each second or so, whatever the market does (PROTOCOL 7).
fn is_ticker(channel: &str) -> bool {
    channel.starts_with("ticker.")
}

const HEARTBEAT_MIN_S: u64 = 10;
