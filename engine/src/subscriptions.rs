//! Brings what the exchange has acknowledged to what the plan wants. Knows no protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lifecycle::{ChannelSet, Swap};

/// The channels of one connection, on their way to a goal.
///
/// Invariants: a channel of the goal is never let go, but to be [renewed](Self::renew); what is
/// gone is let go only when all that is new is acknowledged or refused; a channel is in one
/// unanswered request at most; a channel is acknowledged only after a reply that named it, on this
/// connection.
///
/// Requests of one connection are taken to be processed in the order in which they were sent;
/// their replies may come in any order, or not at all.
#[derive(Debug)]
pub struct Subscriptions {
    limits: Limits,
    goal: ChannelSet,
    generation: Option<u64>,
    acknowledged: ChannelSet,
    /// How often `acknowledged` has changed.
    changes: u64,
    /// Of requests that found no reply: the exchange may or may not send these.
    doubtful: ChannelSet,
    in_flight: Vec<Request>,
    refused: BTreeMap<String, Refusal>,
    /// Channels of a call that was rejected as a whole, and how many of them to ask for at once:
    /// halved until the one that spoils the call stands alone.
    suspects: BTreeMap<String, usize>,
    /// Channels of the goal that are to begin anew.
    renewing: BTreeMap<String, Renewal>,
    last_ticket: u64,
    failures: u32,
    paused_until: Duration,
    /// Before this moment there is no next request, unless something changes.
    due: Duration,
    touched: bool,
}

/// What fits into one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Channels of one request; at least one.
    pub channels_max: usize,
    /// Bytes of a request's channels as JSON strings with their commas.
    pub bytes_max: usize,
}

/// A request that is to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names the request until it is answered, failed or rejected.
    pub ticket: u64,
    /// What is asked.
    pub verb: Verb,
    /// For which channels; never none.
    pub channels: ChannelSet,
}

/// What a request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Send these.
    Subscribe,
    /// Send these no longer.
    Unsubscribe,
}

/// How far a channel is that begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewal {
    /// It is to be let go.
    Leaves,
    /// It is gone, and to be subscribed again.
    Returns,
}

#[derive(Debug, Default)]
struct Refusal {
    times: u32,
    retry_at: Duration,
}

impl Subscriptions {
    /// Nothing wanted, nothing acknowledged.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        assert!(limits.channels_max > 0, "a request has room for a channel");
        Self {
            limits,
            goal: ChannelSet::default(),
            generation: None,
            acknowledged: ChannelSet::default(),
            changes: 0,
            doubtful: ChannelSet::default(),
            in_flight: Vec::new(),
            refused: BTreeMap::new(),
            suspects: BTreeMap::new(),
            renewing: BTreeMap::new(),
            last_ticket: 0,
            failures: 0,
            paused_until: Duration::ZERO,
            due: Duration::ZERO,
            touched: true,
        }
    }

    /// Replaces the goal.
    pub fn swap(&mut self, swap: Swap) {
        assert!(Some(swap.generation) >= self.generation, "plans only go forward");
        self.generation = Some(swap.generation);
        self.goal = swap.goal;
        self.refused.retain(|channel, _| self.goal.contains(channel));
        self.suspects.retain(|channel, _| self.goal.contains(channel));
        self.renewing.retain(|channel, _| self.goal.contains(channel));
        for channel in self.goal.iter().filter(|c| json_bytes(c) > self.limits.bytes_max) {
            let never = Refusal { times: 1, retry_at: Duration::MAX };
            self.refused.insert(channel.to_owned(), never);
        }
        self.touch();
    }

    /// Lets a channel of the goal go and subscribes it again, so that the exchange sends what it
    /// sends at the beginning only. One that is not acknowledged is about to begin anyway.
    pub fn renew(&mut self, channel: &str) {
        if self.goal.contains(channel) && self.acknowledged.contains(channel) {
            self.renewing.insert(channel.to_owned(), Renewal::Leaves);
            self.touch();
        }
    }

    /// The channel has begun anew, so that a renewal that was not asked for yet is not needed.
    /// Whether it goes on from here: not if it was asked to go, and is about to begin once more.
    pub fn begun(&mut self, channel: &str) -> bool {
        let leaves = self.renewing.get(channel) == Some(&Renewal::Leaves);
        if leaves && self.acknowledged.contains(channel) {
            self.renewing.remove(channel);
            return true;
        }
        !leaves
    }

    /// A new connection: nothing is acknowledged or in flight. What was refused stays refused
    /// until its pause is over.
    pub fn reconnect(&mut self) {
        self.changes += u64::from(!self.acknowledged.is_empty());
        self.acknowledged = ChannelSet::default();
        self.doubtful = ChannelSet::default();
        self.in_flight.clear();
        self.suspects.clear();
        self.renewing.clear();
        self.failures = 0;
        self.paused_until = Duration::ZERO;
        self.touch();
    }

    /// The next request to send, if there is one now. Each must be followed by
    /// [`answered`](Self::answered), [`failed`](Self::failed), [`rejected`](Self::rejected) or
    /// [`reconnect`](Self::reconnect).
    pub fn request(&mut self, now: Duration) -> Option<Request> {
        if now < self.due {
            return None;
        }
        self.due = if self.in_flight.len() >= IN_FLIGHT_MAX {
            Duration::MAX
        } else if now < self.paused_until {
            self.paused_until
        } else {
            let (verb, channels) = self.next(now);
            if !channels.is_empty() {
                return Some(self.begin(verb, channels));
            }
            let idle = self.refused.iter().filter(|(channel, _)| !self.is_in_flight(channel));
            idle.map(|(_, refusal)| refusal.retry_at).min().unwrap_or(Duration::MAX)
        };
        None
    }

    /// When [`request`](Self::request) may next have one.
    #[must_use]
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Takes the reply to a request. Only what it lists is acknowledged: the exchange passes over
    /// channels that it does not serve without a word.
    pub fn answered<'a>(
        &mut self,
        ticket: u64,
        listed: impl IntoIterator<Item = &'a str>,
        now: Duration,
    ) {
        let Some(request) = self.end(ticket) else { return };
        self.failures = 0;
        let listed: BTreeSet<&str> = listed.into_iter().collect();
        for channel in request.channels.iter() {
            match request.verb {
                // Not listed means that it was not subscribed, so that it is gone either way.
                Verb::Unsubscribe => {
                    self.doubtful.remove(channel);
                    if let Some(renewal) = self.renewing.get_mut(channel) {
                        *renewal = Renewal::Returns;
                    }
                }
                Verb::Subscribe if listed.contains(channel) => {
                    self.doubtful.remove(channel);
                    self.suspects.remove(channel);
                    self.refused.remove(channel);
                    self.renewing.remove(channel);
                    self.changes += u64::from(self.acknowledged.insert(channel));
                }
                Verb::Subscribe => self.refuse(channel, now),
            }
        }
    }

    /// A request found no reply, or one that says "try again": it is repeated after a pause.
    pub fn failed(&mut self, ticket: u64, now: Duration) {
        let Some(request) = self.end(ticket) else { return };
        let pause = RETRY_MIN.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.paused_until = now.saturating_add(pause);
        self.doubtful.extend(request.channels.iter());
    }

    /// A request was rejected as a whole, and would be again: its channels are asked for in
    /// halves, so that one of them cannot keep the others from being served.
    pub fn rejected(&mut self, ticket: u64, now: Duration) {
        let Some(at) = self.in_flight.iter().position(|request| request.ticket == ticket) else {
            return;
        };
        let channels = match self.in_flight.get(at) {
            Some(request) if request.verb == Verb::Subscribe => request.channels.clone(),
            Some(_) | None => return self.failed(ticket, now),
        };
        self.end(ticket);
        let half = channels.len().div_ceil(2);
        for channel in channels.iter() {
            self.doubtful.insert(channel);
            if channels.len() == 1 {
                self.refuse(channel, now);
            } else if self.goal.contains(channel) {
                self.suspects.insert(channel.to_owned(), half);
            }
        }
    }

    /// A request was too large: from now on none has more than half as many channels. Counted
    /// from that request, because others as large are under way and will fail as well.
    pub fn too_large(&mut self, ticket: u64, now: Duration) {
        let request = self.in_flight.iter().find(|request| request.ticket == ticket);
        let half = request.map_or(usize::MAX, |request| request.channels.len().div_ceil(2));
        self.limits.channels_max = self.limits.channels_max.min(half);
        self.rejected(ticket, now);
    }

    /// What the exchange has acknowledged and we have not asked it to let go.
    #[must_use]
    pub fn acknowledged(&self) -> &ChannelSet {
        &self.acknowledged
    }

    /// Counts the changes of [`acknowledged`](Self::acknowledged).
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Channels of the goal that a reply has passed over, and none has acknowledged since.
    pub fn refused(&self) -> impl Iterator<Item = &str> {
        self.refused.keys().map(String::as_str)
    }

    /// Whether the exchange sends nothing of the channel any more on this connection.
    #[must_use]
    pub fn is_gone(&self, channel: &str) -> bool {
        let sent = self.acknowledged.contains(channel) || self.doubtful.contains(channel);
        !sent && !self.is_in_flight(channel)
    }

    /// Whether the channel is part of the goal.
    #[must_use]
    pub fn wants(&self, channel: &str) -> bool {
        self.goal.contains(channel)
    }

    /// Whether every channel of a goal is acknowledged or refused. One that is renewed is, too:
    /// whoever asked for that knows what it lacks.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let served = |channel| {
            self.acknowledged.contains(channel)
                || self.refused.contains_key(channel)
                || self.renewing.contains_key(channel)
        };
        self.generation.is_some() && self.goal.iter().all(served)
    }

    /// Whether there is a goal, and nothing in it.
    #[must_use]
    pub fn wants_nothing(&self) -> bool {
        self.generation.is_some() && self.goal.is_empty()
    }

    /// Whether there is a goal, and the exchange refuses whatever is in it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let mut goal = self.goal.iter();
        self.generation.is_some() && goal.all(|channel| self.refused.contains_key(channel))
    }

    /// The generation whose goal is complete, with nothing left to let go.
    #[must_use]
    pub fn reached(&self) -> Option<u64> {
        let leaving = self.in_flight.iter().any(|request| request.verb == Verb::Unsubscribe)
            || self.gone().next().is_some();
        self.generation.filter(|_| self.is_complete() && !leaving)
    }

    /// Requests without an answer.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether anything has changed since the last call.
    pub(crate) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    /// Whether [`take_touched`](Self::take_touched) would say so.
    pub(crate) fn is_touched(&self) -> bool {
        self.touched
    }

    /// Something has changed: there may be a request, and something to report.
    pub(crate) fn touch(&mut self) {
        self.due = Duration::ZERO;
        self.touched = true;
    }

    fn next(&self, now: Duration) -> (Verb, ChannelSet) {
        let may_ask = |channel: &str| match self.refused.get(channel) {
            Some(refusal) => refusal.retry_at <= now,
            None => true,
        };
        let leaves = |channel: &str| self.renewing.get(channel) == Some(&Renewal::Leaves);
        let new = self.goal.without(&self.acknowledged);
        let new = self.chunk(new.filter(|channel| may_ask(channel) && !leaves(channel)));
        if !new.is_empty() {
            return (Verb::Subscribe, new);
        }
        let leaving = self.renewing.keys().map(String::as_str).filter(|channel| leaves(channel));
        let leaving = self.chunk(leaving);
        if !leaving.is_empty() || !self.is_complete() {
            return (Verb::Unsubscribe, leaving);
        }
        (Verb::Unsubscribe, self.chunk(self.gone()))
    }

    /// What the exchange sends, or may send, and nobody wants.
    fn gone(&self) -> impl Iterator<Item = &str> {
        let doubtful = self.doubtful.without(&self.goal);
        let doubtful = doubtful.filter(|channel| !self.acknowledged.contains(channel));
        self.acknowledged.without(&self.goal).chain(doubtful)
    }

    /// As many of the channels as fit into one request and are in none.
    fn chunk<'a>(&self, channels: impl Iterator<Item = &'a str>) -> ChannelSet {
        let mut chunk = ChannelSet::default();
        let mut bytes = 0;
        let mut channels_max = None;
        for channel in channels.filter(|channel| !self.is_in_flight(channel)) {
            let suspected = self.suspects.get(channel).copied().unwrap_or(usize::MAX);
            let max = suspected.min(self.limits.channels_max);
            // Suspects of different calls, and others, do not share one.
            if *channels_max.get_or_insert(max) != max {
                continue;
            }
            bytes += json_bytes(channel);
            if chunk.len() >= max || bytes > self.limits.bytes_max {
                break;
            }
            chunk.insert(channel);
        }
        chunk
    }

    fn begin(&mut self, verb: Verb, channels: ChannelSet) -> Request {
        if verb == Verb::Unsubscribe {
            for channel in channels.iter() {
                let renewed = self.renewing.contains_key(channel);
                assert!(renewed || !self.goal.contains(channel), "{channel} is wanted");
                self.changes += u64::from(self.acknowledged.remove(channel));
            }
        }
        self.last_ticket += 1;
        let request = Request { ticket: self.last_ticket, verb, channels };
        self.in_flight.push(request.clone());
        request
    }

    fn end(&mut self, ticket: u64) -> Option<Request> {
        let at = self.in_flight.iter().position(|request| request.ticket == ticket)?;
        self.touch();
        Some(self.in_flight.swap_remove(at))
    }

    fn refuse(&mut self, channel: &str, now: Duration) {
        self.suspects.remove(channel);
        self.renewing.remove(channel);
        if !self.goal.contains(channel) {
            return;
        }
        let refusal = self.refused.entry(channel.to_owned()).or_default();
        let pause = REFUSED_MIN.saturating_mul(1 << refusal.times.min(DOUBLINGS_MAX));
        refusal.times = refusal.times.saturating_add(1);
        refusal.retry_at = now.saturating_add(pause.min(REFUSED_MAX));
    }

    fn is_in_flight(&self, channel: &str) -> bool {
        self.in_flight.iter().any(|request| request.channels.contains(channel))
    }
}

/// An upper bound of the channel's length as a JSON string with a comma.
fn json_bytes(channel: &str) -> usize {
    let escaped = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    channel.bytes().map(|byte| if escaped(byte) { 6 } else { 1 }).sum::<usize>() + 3
}

/// Requests without a reply at a time: enough to fill a round trip, few enough to lose.
const IN_FLIGHT_MAX: usize = 4;
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
const REFUSED_MIN: Duration = Duration::from_secs(60);
const REFUSED_MAX: Duration = Duration::from_secs(3600);
const DOUBLINGS_MAX: u32 = 10;

#[cfg(test)]
mod tests;
