//! A gap a refused instrument: open while the exchange does not acknowledge what we ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lifecycle::is_trades;
use schema::tables::Rows;
use schema::{Micros, Now};

use crate::session::{CauseKind, Gap, SET_BACK_MIN_US, latest, set_us};

/// The open gaps of refused channels. A row each instrument, so that a reader of one instrument's
/// tape is not told of another's; the row names the channels.
#[derive(Debug)]
pub(super) struct Refusals {
    shard: Arc<str>,
    open: BTreeMap<String, Episode>,
}

#[derive(Debug, PartialEq, Eq)]
struct Episode {
    since: Micros,
    /// When it was opened.
    seen: Now,
    channels: BTreeSet<String>,
}

impl Refusals {
    pub(super) fn new(shard: Arc<str>) -> Self {
        Self { shard, open: BTreeMap::new() }
    }

    /// Since when a channel of trades is refused.
    pub(super) fn trades_since(&self) -> Option<Micros> {
        let trades = |it: &&Episode| it.channels.iter().any(|name| is_trades(name));
        self.open.values().filter(trades).map(|episode| episode.since).min()
    }

    /// Writes what has changed: an open row when an instrument's refused channels are new or
    /// others, and a row with its end when they were refused and are not any more. Gives what has
    /// ended: since when, and which channels; some may be refused further on.
    pub(super) fn update<'a>(
        &mut self,
        refused: impl Iterator<Item = &'a str>,
        now: Now,
        rows: &mut Rows,
    ) -> Vec<(Micros, BTreeSet<String>)> {
        let mut channels: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for channel in refused {
            channels.entry(instrument(channel)).or_default().insert(channel.to_owned());
        }
        let shard = &*self.shard;
        // Two episodes of one instrument must differ in their beginning, or they are one row.
        let (mut after, mut ended) = (BTreeMap::new(), Vec::new());
        self.open.retain(|instrument, episode| {
            let stays = channels.get(&**instrument) == Some(&episode.channels);
            if !stays {
                episode.close(shard, instrument, now, rows);
                after.insert(instrument.clone(), Micros(episode.since.0.saturating_add(1)));
                ended.push((episode.since, std::mem::take(&mut episode.channels)));
            }
            stays
        });
        for (instrument, channels) in channels {
            if !self.open.contains_key(instrument) {
                let since = after.get(instrument).copied().unwrap_or(now.utc).max(now.utc);
                let episode = Episode { since, seen: now, channels };
                episode.write(shard, instrument, None, now, rows);
                self.open.insert(instrument.to_owned(), episode);
            }
        }
        ended
    }
}

impl Episode {
    /// The wall clock may have been set meanwhile, and nobody knows which setting is right. The
    /// open row must keep its beginning: set back, the other setting's span is a row of its own.
    fn close(&self, shard: &str, name: &str, now: Now, rows: &mut Rows) {
        let set_us = set_us(self.seen, now);
        let end = latest(self.seen, now).max(self.since);
        self.write(shard, name, Some(end), now, rows);
        if set_us < -SET_BACK_MIN_US {
            let since = Micros(self.since.0.saturating_add(set_us));
            let channels = self.channels.clone();
            let other = Self { since, seen: now, channels };
            other.write(shard, name, Some(now.utc.max(since)), now, rows);
        }
    }

    fn write(&self, shard: &str, name: &str, end: Option<Micros>, now: Now, rows: &mut Rows) {
        let kind = CauseKind::SubscriptionRefused;
        let gap = Gap { shard, instrument: name, since: self.since, kind };
        let channels: Vec<&str> = self.channels.iter().map(String::as_str).collect();
        gap.write(end, &channels.join(" "), now, rows);
    }
}

/// The instrument of a channel: its second part, as in `ticker.BTC-PERPETUAL.100ms`. A channel of
/// many, such as `trades.option.BTC.100ms`, gives `option.BTC`.
pub(super) fn instrument(channel: &str) -> &str {
    let Some((_, rest)) = channel.split_once('.') else { return channel };
    match rest.split_once('.') {
        Some((kind, more)) if kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
            let end = kind.len() + 1 + more.find('.').unwrap_or(more.len());
            rest.get(..end).unwrap_or(rest)
        }
        Some((instrument, _)) => instrument,
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::TimestampMicrosecondType;
    use schema::Origin;

    use super::*;

    #[test]
    fn instruments_are_read_from_channels() {
        for (channel, expected) in [
            ("ticker.BTC-6OCT26-86000-C.100ms", "BTC-6OCT26-86000-C"),
            ("book.BTC-PERPETUAL.none.10.100ms", "BTC-PERPETUAL"),
            ("trades.option.BTC.100ms", "option.BTC"),
            ("trades.option_combo.any.raw", "option_combo.any"),
            ("deribit_price_index.btc_usd", "btc_usd"),
            ("platform_state", "platform_state"),
            ("é.", ""),
            ("a.b.", "b."),
        ] {
            assert_eq!(instrument(channel), expected, "{channel}");
        }
    }

    /// Applies refused sets a second apart; the start and end of the rows written, in seconds.
    #[track_caller]
    fn check(steps: &[&str], expected: &[(i64, Option<i64>)]) {
        let mut refusals = Refusals::new("s".into());
        let mut rows = Rows::default();
        for (second, refused) in std::iter::zip(1.., steps) {
            let now = Now { utc: Micros(second * 1_000_000), ..Now::default() };
            refusals.update(refused.split_whitespace(), now, &mut rows);
        }
        assert_eq!(spans(&mut rows), expected);
    }

    /// Beginning and end of each row, seconds.
    fn spans(rows: &mut Rows) -> Vec<(i64, Option<i64>)> {
        let batch = rows.data_gaps.take(Origin::default()).unwrap().number(1, 0);
        let column = |name| batch.columns().column_by_name(name).unwrap();
        let times = |name| column(name).as_primitive::<TimestampMicrosecondType>().iter();
        let seconds = |us: i64| us / 1_000_000;
        std::iter::zip(times("start_time"), times("end_time"))
            .map(|(start, end)| (seconds(start.unwrap()), end.map(seconds)))
            .collect()
    }

    #[test]
    fn an_episode_in_which_the_clock_is_set_back_is_told_by_either_setting() {
        let (mut refusals, mut rows) = (Refusals::new("s".into()), Rows::default());
        let now = |monotonic, utc: i64| Now {
            monotonic: std::time::Duration::from_secs(monotonic),
            utc: Micros(utc * 1_000_000),
        };
        refusals.update(["t.X.1"].into_iter(), now(0, 100), &mut rows);
        refusals.update(std::iter::empty(), now(10, 50), &mut rows);
        assert_eq!(spans(&mut rows), [(100, None), (100, Some(110)), (40, Some(50))]);
    }

    #[test]
    fn an_episode_is_written_when_it_begins_and_when_it_ends() {
        check(&["t.X.1", "t.X.1", "", ""], &[(1, None), (1, Some(3))]);
        check(&["t.X.1 t.Y.1", "t.Y.1"], &[(1, None), (1, None), (1, Some(2))]);
        check(&["t.X.1", "t.X.1 b.X.1"], &[(1, None), (1, Some(2)), (2, None)]);
    }
}
