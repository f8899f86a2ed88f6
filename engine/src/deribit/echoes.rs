//! Messages that two connections may both have heard, while a channel goes from one to the other.
//!
//! Who is about to give a channel notes what it records; who has taken it drops those among what
//! it hears. Trades and books need no notes: their numbers tell.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use schema::Now;

use super::identities::Known;

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    /// A ticker, or an index price.
    Ticker,
    /// A perpetual's interest.
    Interest,
    /// A grouped book.
    Depth,
}

/// The digests of messages.
pub(super) type Digests = HashSet<u128>;

/// What is noted, and what others have noted.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    ticker: Ear,
    interest: Ear,
    depth: Ear,
}

/// The same of one voice.
#[derive(Debug, Default)]
struct Ear {
    noted: HashMap<Box<str>, Noted>,
    /// What the giver recorded, and until when its echo may come.
    taken: HashMap<Box<str>, (Digests, Duration)>,
}

/// What was recorded of one name.
#[derive(Debug, Default)]
struct Noted {
    /// Before the notes began: whoever takes the channel may hear it first of all, however old.
    before: Vec<u128>,
    since: VecDeque<(u128, Duration)>,
    /// Until when it is noted; missing while it is about to leave. Who was to take it may be told
    /// to try again, and still has what it heard the first time.
    until: Option<Duration>,
}

impl Echoes {
    /// Notes what is recorded of a name from now on; `last` was recorded last.
    pub(super) fn note(&mut self, voice: Voice, name: &str, last: Option<u128>) {
        let noted = self.ear(voice).noted.entry(name.into()).or_default();
        noted.before.extend(last);
        noted.until = None;
    }

    /// The name is not about to leave any more.
    pub(super) fn rest(&mut self, voice: Voice, name: &str, now: Duration) {
        if let Some(noted) = self.ear(voice).noted.get_mut(name) {
            noted.until = Some(now.saturating_add(NOTED_MAX));
        }
    }

    /// Notes no more: what was noted, and what others had recorded, which may not have been said
    /// here since.
    pub(super) fn end(&mut self, voice: Voice, name: &str) -> Digests {
        let Ear { noted, taken } = self.ear(voice);
        let noted = noted.remove(name).unwrap_or_default();
        let taken = taken.remove(name).map(|(digests, _)| digests).unwrap_or_default();
        let since = noted.since.into_iter().map(|(digest, _)| digest);
        since.chain(noted.before).chain(taken).collect()
    }

    /// What a name's giver has recorded.
    pub(super) fn take(&mut self, voice: Voice, name: &str, digests: Digests, now: Duration) {
        let taken = &mut self.ear(voice).taken;
        taken.retain(|_, (_, until)| *until > now);
        taken.insert(name.into(), (digests, now.saturating_add(ECHO_MAX)));
    }

    /// Another process has recorded this last, and nothing of it is known here but that.
    pub(super) fn expect(&mut self, voice: Voice, name: &str, digest: u128, now: Duration) {
        let until = now.saturating_add(EXPECTED_MAX);
        self.ear(voice).taken.insert(name.into(), (Digests::from([digest]), until));
    }

    /// Whether a message repeats the newest one before, or is one that the giver of its channel has
    /// recorded. It is the newest now, and noted where that is wanted.
    pub(super) fn repeats(
        &mut self,
        voice: Voice,
        name: &str,
        known: &mut Known,
        digest: u128,
        now: Now,
    ) -> bool {
        let echo = self.is_one(voice, name, digest, now);
        known.repeats_mut(voice).take(digest) || echo
    }

    fn is_one(&mut self, voice: Voice, name: &str, digest: u128, now: Now) -> bool {
        let Ear { noted, taken } = self.ear(voice);
        if let Some(notes) = noted.get_mut(name) {
            notes.since.push_back((digest, now.monotonic));
            let old = |at: Duration| now.monotonic.saturating_sub(at) > NOTED_MAX;
            while notes.since.front().is_some_and(|(_, at)| old(*at)) {
                notes.since.pop_front();
            }
            if notes.until.is_some_and(|until| until <= now.monotonic) {
                noted.remove(name);
            }
        }
        let Some((digests, until)) = taken.get(name) else { return false };
        if *until <= now.monotonic {
            taken.remove(name);
            return false;
        }
        digests.contains(&digest)
    }

    fn ear(&mut self, voice: Voice) -> &mut Ear {
        match voice {
            Voice::Ticker => &mut self.ticker,
            Voice::Interest => &mut self.interest,
            Voice::Depth => &mut self.depth,
        }
    }
}

/// No connection lags behind another by this much.
const ECHO_MAX: Duration = Duration::from_mins(1);
/// What was said last is said again to whoever subscribes, however late that is.
const EXPECTED_MAX: Duration = Duration::from_hours(24);
/// What is held elsewhere is younger than this.
const NOTED_MAX: Duration = Duration::from_mins(2);
