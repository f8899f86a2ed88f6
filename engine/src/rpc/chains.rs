//! Books whose chain of changes is broken: each is subscribed anew, and its gap is named.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use schema::tables::Rows;
use schema::{Micros, Now};

use super::Connection;
use super::refusals::instrument;
use crate::session::{CauseKind, Chain, Decode, Gap, latest};

/// The broken books of one connection, by channel.
///
/// A book is let go and subscribed again, because the exchange sends the whole of it only with a
/// new subscription (PROTOCOL 3). Its gap begins with the last message that could be relied on
/// and ends with the next snapshot, wherever that comes from. What breaks again and again, or
/// stays without a snapshot, is asked for ever more rarely.
#[derive(Debug)]
pub(super) struct Chains {
    shard: Arc<str>,
    episodes: BTreeMap<String, Episode>,
}

#[derive(Debug)]
struct Episode {
    /// Missing once the book is whole again.
    gap: Option<Open>,
    /// How often the book was subscribed anew in this episode.
    renewals: u32,
    /// When it is to be subscribed anew; when it is forgotten, once whole.
    due: Duration,
}

/// An open gap.
#[derive(Debug)]
struct Open {
    since: Micros,
    /// It lasts at least until then, by the exchange's clock.
    until: Micros,
    detail: String,
    /// When it was noticed.
    seen: Now,
}

impl Chains {
    pub(super) fn new(shard: Arc<str>) -> Self {
        Self { shard, episodes: BTreeMap::new() }
    }

    /// Whether the channel's book is known to be broken.
    pub(super) fn is_open(&self, channel: &str) -> bool {
        self.episodes.get(channel).is_some_and(|episode| episode.gap.is_some())
    }

    /// A change of `until`, by the exchange's clock, does not follow: opens the gap.
    pub(super) fn broke(
        &mut self,
        channel: &str,
        (since, until): (Micros, Micros),
        detail: String,
        now: Now,
        rows: &mut Rows,
    ) {
        let fresh = || Episode { gap: None, renewals: 0, due: Duration::ZERO };
        let episode = self.episodes.entry(channel.to_owned()).or_insert_with(fresh);
        if episode.gap.is_none() {
            let open = Open { since, until, detail, seen: now };
            open.write(&self.shard, channel, None, now, rows);
            episode.gap = Some(open);
            episode.due = now.monotonic.saturating_add(pause(episode.renewals));
        }
    }

    /// The whole book as of `at`, by the exchange's clock, has come: closes the gap, if there is
    /// one.
    pub(super) fn begun(&mut self, channel: &str, at: Micros, now: Now, rows: &mut Rows) {
        let Some(episode) = self.episodes.get_mut(channel) else { return };
        if let Some(mut open) = episode.gap.take() {
            open.until = open.until.max(at);
            open.close(&self.shard, channel, now, rows);
            episode.due = now.monotonic.saturating_add(HELD);
        }
    }

    /// A channel that is to be subscribed anew.
    pub(super) fn renewal(&mut self, now: Duration) -> Option<String> {
        self.episodes.retain(|_, episode| episode.gap.is_some() || episode.due > now);
        let due =
            |(_, episode): &(&String, &mut Episode)| episode.gap.is_some() && episode.due <= now;
        let (channel, episode) = self.episodes.iter_mut().find(due)?;
        episode.renewals = episode.renewals.saturating_add(1);
        episode.due = now.saturating_add(pause(episode.renewals).max(SNAPSHOT_MAX));
        Some(channel.clone())
    }

    /// When [`renewal`](Self::renewal) has something to do.
    pub(super) fn deadline(&self) -> Duration {
        self.episodes.values().map(|episode| episode.due).min().unwrap_or(Duration::MAX)
    }

    /// Ends the gaps of channels that nobody wants any more.
    pub(super) fn retain(&mut self, wanted: impl Fn(&str) -> bool, now: Now, rows: &mut Rows) {
        let shard = &self.shard;
        self.episodes.retain(|channel, episode| {
            let stays = wanted(channel);
            if let Some(open) = episode.gap.take_if(|_| !stays) {
                open.close(shard, channel, now, rows);
            }
            stays
        });
    }
}

impl Open {
    /// What was lost lies in the gap by either clock, ours as it was set before or since.
    fn close(&self, shard: &str, channel: &str, now: Now, rows: &mut Rows) {
        let end = latest(self.seen, now).max(self.until).max(self.since);
        self.write(shard, channel, Some(end), now, rows);
    }

    fn write(&self, shard: &str, channel: &str, end: Option<Micros>, now: Now, rows: &mut Rows) {
        let (since, kind) = (self.since, CauseKind::BookChain);
        let gap = Gap { shard, instrument: instrument(channel), since, kind };
        gap.write(end, &self.detail, now, rows);
    }
}

/// Before a book that was subscribed anew so often is so again.
fn pause(renewals: u32) -> Duration {
    match renewals.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => PAUSE_MIN.saturating_mul(1 << doublings.min(10)).min(PAUSE_MAX),
    }
}

impl<D: Decode> Connection<D> {
    /// Follows what a notification was to its book.
    pub(super) fn link(&mut self, channel: &str, chain: Chain, now: Now, rows: &mut Rows) {
        match chain {
            Chain::Quiet => {}
            Chain::Begun(at) => {
                if self.subscriptions.begun(channel) {
                    self.chains.begun(channel, at, now, rows);
                }
            }
            Chain::Broken { since, at, last, prev } => {
                if self.chains.is_open(channel) {
                    return;
                }
                self.counters.books_broken += 1;
                let id = |id: Option<i64>| id.map_or("none".to_owned(), |id| id.to_string());
                let detail =
                    format!("change_id {} is followed by one after {}", id(last), id(prev));
                // Nothing before this connection was promised of a book that never began.
                let since = since.unwrap_or(self.connected_at);
                // Set back meanwhile, our clock tells another beginning.
                let since = match since > now.utc {
                    true => self.settings.before_under_way(now.utc),
                    false => since,
                };
                self.chains.broke(channel, (since, at), detail, now, rows);
            }
        }
    }
}

/// For two requests and the snapshot. Too short is harmless: a channel whose request is under way
/// is not renewed.
const SNAPSHOT_MAX: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// A book that was whole for so long has no past.
const HELD: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    const BOOK: &str = "book.X.100ms";

    fn at(second: u64) -> Now {
        let monotonic = Duration::from_secs(second);
        Now { monotonic, utc: Micros(0).plus(monotonic) }
    }

    /// The seconds in which a book is subscribed anew that breaks for the first time in second 0,
    /// and again in each second in which `whole` says that it was mended, within two hours.
    #[track_caller]
    fn check(whole: fn(u64) -> bool, expected: &[u64]) {
        let (mut chains, mut rows) = (Chains::new("s".into()), Rows::default());
        let mut renewed = Vec::new();
        for second in 0..7_200 {
            if whole(second) {
                chains.begun(BOOK, at(second).utc, at(second), &mut rows);
            }
            if second == 0 || whole(second) {
                let span = (at(second).utc, at(second).utc);
                chains.broke(BOOK, span, String::new(), at(second), &mut rows);
            }
            assert!(chains.deadline() >= at(second).monotonic || second == 0);
            while let Some(channel) = chains.renewal(at(second).monotonic) {
                assert_eq!(channel, BOOK);
                renewed.push(second);
            }
        }
        assert_eq!(renewed, expected);
    }

    #[test]
    fn a_book_without_a_snapshot_is_asked_for_ever_more_rarely() {
        let renewed = [0, 10, 20, 40, 80, 160, 320, 640, 1_240, 1_840, 2_440, 3_040, 3_640, 4_240];
        check(|_| false, &[&renewed[..], &[4_840, 5_440, 6_040, 6_640]].concat());
    }

    #[test]
    fn a_book_that_breaks_again_at_once_is_asked_for_ever_more_rarely_too() {
        let renewed =
            [0, 6, 17, 38, 80, 160, 320, 640, 1_240, 1_840, 2_440, 3_040, 3_640, 4_240, 4_840];
        let mended = |second| matches!(second, 1 | 7 | 18 | 40 | 5_000);
        check(mended, &[&renewed[..], &[5_600, 6_200, 6_800]].concat());
    }
}
